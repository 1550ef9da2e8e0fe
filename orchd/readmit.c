// SPDX-License-Identifier: Apache-2.0
/*
 * Refused volumes of a namespace that is served: every few seconds, and when
 * orchctl volume add names one, a worker looks whether the right marker is
 * there now. If so the volume is checked as at a start and used again. A sweep
 * that it owes takes long: the worker lists, the namespace thread compares step
 * by step between requests. Files there can be opened meanwhile, none is made.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "nl.h"
#include "served.h"

#define READMIT_MS	5000
#define SWEEP_STEP	64		/* files compared between requests */

struct readmit_round {
	struct work w;
	struct served *sv;
	size_t nr;
	struct volume *probe[];
};

static void round_free(struct readmit_round *r)
{
	for (size_t i = 0; i < r->nr; i++)
		volume_put(r->probe[i]);
	free(r);
}

static bool same_marker(const struct volume *a, const struct volume *b)
{
	static const uint8_t none[16];

	return memcmp(a->marker.volume_uuid, none, 16) &&
	       !memcmp(a->marker.volume_uuid, b->marker.volume_uuid, 16);
}

/* Of one that was in use since then its last marker is known. */
static uint64_t known_txn(const struct served *sv, const struct volume *v)
{
	uint64_t txn = v->marker.durable_txn;

	return atomic_load(&v->health) == VOLUME_LOST && txn > sv->start_txn ?
	       txn : sv->start_txn;
}

/* Its problem, or an empty text when it may be used. */
static void judge(struct readmit_round *r, const struct volume *v,
		  const struct volume *p, char *why)
{
	const struct served *sv = r->sv;

	snprintf(why, VOLUME_WHY, "%s", volume_online(p) ? "" : p->problem);
	for (size_t i = 0; i < r->nr; i++)
		if (r->probe[i] != p && same_marker(p, r->probe[i]))
			volume_pair_text(p, r->probe[i], why);
	if (!*why && volume_newer(p, sv->epoch, known_txn(sv, v)))
		snprintf(why, VOLUME_WHY, "volume %s: its marker knows "
			 "transaction %llu and the store was at %llu when "
			 "orchd started: an old copy of the store? Stop orchd "
			 "and put the right one back", p->rec.name,
			 (unsigned long long)p->marker.durable_txn,
			 (unsigned long long)sv->start_txn);
}

/* Who waits for the end of a round. */
static void round_told(struct served *sv)
{
	pthread_mutex_lock(&sv->lock);
	sv->readmit.rounds++;
	pthread_cond_broadcast(&sv->changed);
	pthread_mutex_unlock(&sv->lock);
}

static void adopted(struct served *sv, struct volume *v)
{
	v->settling = false;
	log_info(sv->name, "volume %s is back: %s", v->rec.name, v->rec.path);
	deleter_again(sv);
	deleter_marks(sv, true);
	served_txn(sv);
}

struct resweep {
	struct work w;
	struct served *sv;
	struct volume *v;
	struct sweep *s;
	int rc;
};

static void resweep_free(struct resweep *r)
{
	sweep_free(r->s);
	volume_put(r->v);
	free(r);
}

/* namespace thread; r->rc is negative when it failed */
static void resweep_end(struct work *w)
{
	struct resweep *r = container_of(w, struct resweep, w);
	struct served *sv = r->sv;
	struct volume *v = r->v;

	v->settling = false;
	/* one that was cut short by a stop is owed still */
	if (sv->ns && !sv->stopping && served_volume(sv, v->rec.id) == v &&
	    volume_online(v) && !v->removing) {
		if (!r->rc)
			r->rc = serve_swept(sv, v);
		if (!r->rc)
			adopted(sv, v);
		else
			serve_unsettled(sv, v, r->rc);
		if (sv->attached)
			attach_tell(sv);
	}
	round_told(sv);
	resweep_free(r);
}

/* To the namespace thread, unless it has ended. */
static void resweep_post(struct resweep *r, void (*run)(struct work *w))
{
	r->w.run = run;
	if (!work_post(&r->sv->queue, &r->w))
		resweep_free(r);
}

/* worker */
static void resweep_barrier(struct work *w)
{
	struct resweep *r = container_of(w, struct resweep, w);

	r->rc = store_barrier(r->sv->st);
	if (r->rc < 0)
		sync_fatal(r->sv, r->rc);
	resweep_post(r, resweep_end);
}

/* namespace thread */
static void resweep_step(struct work *w)
{
	struct resweep *r = container_of(w, struct resweep, w);
	struct served *sv = r->sv;

	/* left to the next start, or to nobody */
	if (!sv->ns || sv->stopping || r->v->removing ||
	    !volume_online(r->v)) {
		resweep_end(w);
		return;
	}
	if (!r->rc)
		r->rc = sweep_step(r->s, SWEEP_STEP);
	served_txn(sv);
	if (r->rc > 0) {
		r->rc = 0;
		resweep_post(r, resweep_step);
	} else if (r->rc < 0) {
		resweep_end(w);
	} else {
		r->w.run = resweep_barrier;
		if (!work_post(&sv->deleter.worker.q, &r->w))
			resweep_free(r);
	}
}

/* worker */
static void resweep_list(struct work *w)
{
	struct resweep *r = container_of(w, struct resweep, w);

	r->rc = sweep_list(r->s);
	resweep_post(r, resweep_step);
}

static int resweep_begin(struct served *sv, struct volume *v)
{
	struct resweep *r = calloc(1, sizeof(*r));
	int rc = r ? sweep_new(sv, v, &r->s) : -ENOMEM;

	if (rc) {
		free(r);
		return rc;
	}
	r->w.run = resweep_list;
	r->sv = sv;
	r->v = volume_get(v);
	if (!work_post(&sv->deleter.worker.q, &r->w)) {
		resweep_free(r);
		return -ESHUTDOWN;
	}
	v->settling = true;
	return 0;
}

bool readmit_settle(struct served *sv, struct volume *v)
{
	bool owes;
	int rc;

	if (serve_settle(sv, v, &owes))
		return false;
	if (!owes) {
		adopted(sv, v);
		return false;
	}
	rc = resweep_begin(sv, v);
	if (rc)
		serve_unsettled(sv, v, rc);
	return !rc;
}

/* namespace thread */
static void round_done(struct work *w)
{
	struct readmit_round *r = container_of(w, struct readmit_round, w);
	struct served *sv = r->sv;
	char why[VOLUME_WHY];
	bool sweeps = false;

	sv->readmit.busy = false;
	sv->readmit.next = now_ms() + READMIT_MS;
	for (size_t i = 0; sv->ns && !sv->stopping && i < r->nr; i++) {
		struct volume *v = served_volume(sv, r->probe[i]->rec.id);

		if (!v || volume_there(v) || v->removing)
			continue;
		judge(r, v, r->probe[i], why);
		if (!*why) {
			volume_take(v, r->probe[i]);
			sweeps |= readmit_settle(sv, v);
		} else if (strcmp(why, v->problem)) {
			strcpy(v->problem, why);
			log_err(sv->name, "%s", why);
		}
	}
	if (sv->ns && sv->attached)
		attach_tell(sv);
	deleter_kick(sv);
	if (!sweeps)
		round_told(sv);
	round_free(r);
}

/* worker: the path of a drive that is gone may hang */
static void round_run(struct work *w)
{
	struct readmit_round *r = container_of(w, struct readmit_round, w);

	for (size_t i = 0; i < r->nr; i++)
		volume_open(r->probe[i], r->sv->uuid);
	r->w.run = round_done;
	if (!work_post(&r->sv->queue, &r->w))
		round_free(r);
}

/*
 * The kernel's cached layouts would keep a file system mounted that is to be
 * repaired, and be used although the volume is refused. Files that are closed
 * later come with the next round.
 */
static void let_go(struct served *sv)
{
	struct volume *v;

	for (v = sv->volumes; v && sv->attached; v = v->next)
		if (!volume_far(v) && v->root_fd < 0)
			channel_send(&sv->ch,
				     nl_encode_layout_drop(sv->ch.family,
							   v->rec.id), NULL);
}

static bool refused(const struct volume *v)
{
	return !volume_far(v) && v->root_fd < 0 && !v->removing;
}

void readmit_kick(struct served *sv)
{
	struct readmit_round *r;
	struct volume *v;
	size_t nr = 0;

	for (v = sv->volumes; v; v = v->next)
		nr += refused(v);
	if (!nr || sv->readmit.busy || sv->deleter.stopped)
		return;
	r = calloc(1, sizeof(*r) + nr * sizeof(*r->probe));
	if (!r)
		return;
	let_go(sv);
	r->w.run = round_run;
	r->sv = sv;
	for (v = sv->volumes; v && r->nr < nr; v = v->next) {
		if (!refused(v))
			continue;
		r->probe[r->nr] = volume_new(&v->rec);
		if (!r->probe[r->nr])
			break;
		r->nr++;
	}
	/* No deletion begins until this has ended, so none is under way when
	 * a volume's descriptor is set. */
	sv->readmit.busy = true;
	work_post(&sv->deleter.worker.q, &r->w);
}

void readmit_tick(struct served *sv)
{
	if (sv->ns && now_ms() >= sv->readmit.next)
		readmit_kick(sv);
}
