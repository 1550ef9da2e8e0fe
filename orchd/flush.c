// SPDX-License-Identifier: Apache-2.0
/*
 * sync and syncfs: the volumes first, then a barrier. Writing back a volume
 * may take long, so a worker does it; requests that come meanwhile share the
 * next round.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "served.h"

struct flush_wait {
	struct flush_wait *next;
	uint64_t id;
};

struct flush_round {
	struct work w;
	struct served *sv;
	uint64_t epoch;
	struct flush_wait *waits;
	int rc;
	size_t nr;
	struct volume *volume[];
};

static void waits_free(struct flush_wait *w)
{
	struct flush_wait *next;

	for (; w; w = next) {
		next = w->next;
		free(w);
	}
}

static void round_free(struct flush_round *r)
{
	for (size_t i = 0; i < r->nr; i++)
		volume_put(r->volume[i]);
	waits_free(r->waits);
	free(r);
}

/* namespace thread */
static void round_done(struct work *w)
{
	struct flush_round *r = container_of(w, struct flush_round, w);
	struct served *sv = r->sv;

	sv->flusher.busy = false;
	if (sv->attached && r->epoch == sv->flusher.epoch)
		for (struct flush_wait *i = r->waits; i; i = i->next)
			nl_ops_flushed(sv, i->id, r->rc);
	else	/* the kernel has asked again, and nobody was told */
		sv->flusher.lost |= r->rc != 0;
	round_free(r);
	flush_kick(sv);
}

/* worker */
static void round_run(struct work *w)
{
	struct flush_round *r = container_of(w, struct flush_round, w);

	for (size_t i = 0; i < r->nr; i++) {
		struct volume *v = r->volume[i];

		if (!syncfs(v->root_fd))
			continue;
		r->rc = -errno;
		volume_error(v, r->rc);
		log_err(r->sv->name, "volume %s: cannot write it back: %s",
			v->rec.name, strerror(-r->rc));
	}
	r->w.run = round_done;
	if (!work_post(&r->sv->queue, &r->w))
		round_free(r);
}

static size_t pick_volumes(struct served *sv, struct volume **out)
{
	struct volume *v;
	size_t nr = 0;

	for (v = sv->volumes; v; v = v->next) {
		bool had = !volume_online(v);

		for (size_t i = 0; i < nr && !had; i++)
			had = out[i]->dev == v->dev;
		if (!had)
			out[nr++] = volume_get(v);
	}
	return nr;
}

void flush_kick(struct served *sv)
{
	struct flusher *f = &sv->flusher;
	struct flush_round *r;
	struct volume *v;
	size_t max = 0;

	if (f->busy || f->stopped || sv->pausing || !f->waits)
		return;
	for (v = sv->volumes; v; v = v->next)
		max++;
	r = calloc(1, sizeof(*r) + max * sizeof(*r->volume));
	if (!r)
		return;		/* the timer tries again */
	r->w.run = round_run;
	r->sv = sv;
	r->epoch = f->epoch;
	r->rc = f->lost ? -EIO : 0;
	f->lost = false;
	r->nr = pick_volumes(sv, r->volume);
	r->waits = f->waits;
	f->waits = NULL;
	f->busy = true;
	work_post(&f->worker.q, &r->w);
}

int flush_request(struct served *sv, uint64_t id)
{
	struct flush_wait *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->id = id;
	w->next = sv->flusher.waits;
	sv->flusher.waits = w;
	flush_kick(sv);
	return 0;
}

void flush_drop(struct served *sv)
{
	sv->flusher.epoch++;
	waits_free(sv->flusher.waits);
	sv->flusher.waits = NULL;
}

int flush_start(struct served *sv)
{
	sv->flusher.stopped = false;
	return worker_start(&sv->flusher.worker, "orchd-flush");
}

/* It isn't asked any more, so nobody else would tell. */
void flush_lost(struct served *sv)
{
	sv->flusher.lost = true;
}

/* What has not begun is left to the next daemon. */
void flush_stop(struct served *sv)
{
	sv->flusher.stopped = true;
	worker_stop(&sv->flusher.worker);
}
