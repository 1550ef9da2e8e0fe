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

#include "exec.h"
#include "home.h"
#include "log.h"
#include "peer.h"
#include "served.h"

struct flush_wait {
	struct flush_wait *next;
	struct asker who;
};

struct flush_round {
	struct work w;
	struct served *sv;
	struct flush_wait *waits;	/* the namespace thread's */
	bool untold;			/* some have gone */
	unsigned int parts;		/* under way: here, and at homes */
	int here, far;			/* how they have ended */
	size_t nr;
	struct volume *volume[];
};

/* Those that aren't answered: who asked is told by the end of its link. */
static void waits_free(struct flush_wait *w)
{
	struct flush_wait *next;

	for (; w; w = next) {
		next = w->next;
		if (w->who.peer)
			peer_fail(w->who.peer, -ENOTCONN, "the link is down");
		free(w);
	}
}

/* Return: are there any? */
static bool waits_drop(struct flush_wait **pp, uint32_t origin, uint64_t link)
{
	struct flush_wait *w;
	bool any = false;

	while ((w = *pp)) {
		if (!asker_gone(&w->who, origin, link)) {
			pp = &w->next;
			continue;
		}
		any = true;
		*pp = w->next;
		w->next = NULL;
		waits_free(w);
	}
	return any;
}

static void round_free(struct flush_round *r)
{
	for (size_t i = 0; i < r->nr; i++)
		volume_put(r->volume[i]);
	waits_free(r->waits);
	free(r);
}

/* namespace thread */
static void part_done(struct flush_round *r)
{
	const int rc = r->here ? r->here : r->far;
	struct served *sv = r->sv;
	struct flush_wait *i;

	if (--r->parts)
		return;
	sv->flusher.busy = false;
	sv->flusher.round = NULL;
	/* with the links: the kernel asks the next daemon */
	if (!r->here && r->far && sv->stopping) {
		round_free(r);
		return;
	}
	/* those who have asked again were told nothing */
	sv->flusher.lost |= rc && (r->untold || !sv->ns);
	while ((i = r->waits) && sv->ns) {
		r->waits = i->next;
		answer_flushed(sv, &i->who, rc);
		free(i);
	}
	round_free(r);
	flush_kick(sv);
}

static void round_done(struct work *w)
{
	part_done(container_of(w, struct flush_round, w));
}

static void far_done(void *ctx, int rc)
{
	struct flush_round *r = ctx;

	if (rc)
		r->far = rc;
	part_done(r);
}

/* worker */
static void round_run(struct work *w)
{
	struct flush_round *r = container_of(w, struct flush_round, w);

	for (size_t i = 0; i < r->nr; i++) {
		struct volume *v = r->volume[i];

		if (!syncfs(v->root_fd))
			continue;
		r->here = -errno;
		volume_error(v, r->here);
		log_err(r->sv->name, "volume %s: cannot write it back: %s",
			v->rec.name, strerror(-r->here));
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
		bool had = !volume_here(v);

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
	unsigned int asked;
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
	r->here = f->lost ? -EIO : 0;
	f->lost = false;
	r->nr = pick_volumes(sv, r->volume);
	r->waits = f->waits;
	f->waits = NULL;
	f->round = r;
	f->busy = true;
	r->far = home_flush(sv, far_done, r, &asked);
	r->parts = 1 + asked;
	work_post(&f->worker.q, &r->w);
}

int flush_request(struct served *sv, const struct asker *who)
{
	struct flush_wait *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->who = *who;
	w->next = sv->flusher.waits;
	sv->flusher.waits = w;
	flush_kick(sv);
	return 0;
}

void flush_drop(struct served *sv, uint32_t origin, uint64_t link)
{
	struct flush_round *r = sv->flusher.round;

	waits_drop(&sv->flusher.waits, origin, link);
	if (r)
		r->untold |= waits_drop(&r->waits, origin, link);
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
