// SPDX-License-Identifier: Apache-2.0
/* A batch of files is given to the worker, and comes back. */
#include <string.h>

#include "fault.h"
#include "log.h"
#include "mover.h"

static void copy_end(struct work *w)
{
	copy_done(container_of(w, struct mover_job, w));
}

/* worker: nothing is copied before its record is durable */
static void worker_run(struct work *w)
{
	struct mover_job *j = container_of(w, struct mover_job, w);
	int rc = 0;

	fault_point("move-begun");
	if (store_durable(j->sv->st) < j->txn)
		rc = store_barrier(j->sv->st);
	if (rc < 0)
		sync_fatal(j->sv, rc);
	copy_run(&j->copy);
	j->w.run = copy_end;
	work_post(&j->sv->queue, &j->w);
}

static void describe(struct mover_file *f)
{
	struct copy_file *c = &f->c;

	c->ino = f->m.ino;
	c->version = f->m.version;
	c->from = f->m.from;
	c->to = f->m.to;
}

void copy_start(struct mover_job *j)
{
	struct copy_batch *b = &j->copy;

	b->pace = &j->sv->mover->pace;
	b->to = j->to;
	b->rate = j->rec.rate;
	b->nr = j->nr;
	atomic_store(&b->verifying, false);
	for (size_t i = 0; i < j->nr; i++) {
		describe(j->batch[i]);
		b->file[i] = &j->batch[i]->c;
	}
	j->w.run = worker_run;
	j->copying = true;
	work_post(&j->worker.q, &j->w);
}
