// SPDX-License-Identifier: Apache-2.0
/* A batch of files is given to the worker, and comes back. */
#include <errno.h>

#include "cluster.h"
#include "data.h"
#include "fault.h"
#include "log.h"
#include "mover.h"

static void copy_end(struct work *w)
{
	copy_done(container_of(w, struct mover_job, w));
}

static void copy_far_begin(struct work *w)
{
	struct mover_job *j = container_of(w, struct mover_job, w);

	if (j->sv->ns && !j->sv->mover->stopped)
		far_copy(j);
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
	if (!volume_far(j->to))
		copy_run(&j->copy);
	j->w.run = volume_far(j->to) ? copy_far_begin : copy_end;
	work_post(&j->sv->queue, &j->w);
}

/* A source that isn't here is read by a token. */
static int find_source(struct mover_job *j, struct mover_file *f)
{
	struct served *sv = j->sv;
	struct volume *v = served_volume(sv, f->m.from_volume);

	if (!v)
		return -EIO;
	if (!volume_far(v)) {
		f->c.source = volume_get(v);
		return 0;
	}
	f->c.node = v->rec.home;
	if (volume_far(j->to))
		return 0;	/* who copies gets one */
	if (!volume_online(v) || !sv->cluster ||
	    copy_reach(&j->copy, sv->cluster, v->rec.home))
		return -EHOSTDOWN;
	return token_make(sv, sv->cluster->node, v->rec.id, f->m.ino,
			  f->m.version, f->m.from, false, f->c.token);
}

static void describe(struct mover_job *j, struct mover_file *f)
{
	struct copy_file *c = &f->c;
	struct ns_move_entry e;

	c->ino = f->m.ino;
	c->version = f->m.version;
	c->from = f->m.from;
	c->to = f->m.to;
	if (!ns_move_stat(j->sv->ns, f->m.ino, &e))
		c->owner = e.owner;
	c->rc = find_source(j, f);
}

void copy_start(struct mover_job *j)
{
	struct copy_batch *b = &j->copy;

	b->pace = &j->sv->mover->pace;
	b->to = j->to;
	b->rate = j->rec.rate;
	b->nr = j->nr;
	j->renewed_at = now_ms();
	copy_batch_end(b);	/* of the one before */
	atomic_store(&b->verifying, false);
	for (size_t i = 0; i < j->nr; i++) {
		describe(j, j->batch[i]);
		b->file[i] = &j->batch[i]->c;
	}
	j->w.run = worker_run;
	j->copying = true;
	work_post(&j->worker.q, &j->w);
}
