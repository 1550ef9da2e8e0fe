// SPDX-License-Identifier: Apache-2.0
/*
 * Refused volumes of a namespace that is served: every few seconds, and when
 * orchctl volume add names one, a worker looks whether the right marker is
 * there now. If so the volume is checked as at a start and used again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "served.h"

#define READMIT_MS	5000

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

/* Its problem, or an empty text when it may be used. */
static void judge(struct readmit_round *r, const struct volume *p, char *why)
{
	const struct served *sv = r->sv;

	snprintf(why, VOLUME_WHY, "%s", p->problem);
	for (size_t i = 0; i < r->nr; i++)
		if (r->probe[i] != p && same_marker(p, r->probe[i]))
			volume_pair_text(p, r->probe[i], why);
	if (!*why && volume_newer(p, sv->epoch, sv->start_txn))
		snprintf(why, VOLUME_WHY, "volume %s: its marker knows "
			 "transaction %llu and the store was at %llu when "
			 "orchd started: an old copy of the store? Stop orchd "
			 "and put the right one back", p->rec.name,
			 (unsigned long long)p->marker.durable_txn,
			 (unsigned long long)sv->start_txn);
}

static void adopt(struct served *sv, struct volume *v, struct volume *p)
{
	volume_take(v, p);
	if (serve_settle(sv, v) < 0) {
		log_err(sv->name, "%s", v->problem);
		return;
	}
	log_info(sv->name, "volume %s is back: %s", v->rec.name, v->rec.path);
	deleter_again(sv);
	deleter_marks(sv, true);
	served_txn(sv);
}

/* namespace thread */
static void round_done(struct work *w)
{
	struct readmit_round *r = container_of(w, struct readmit_round, w);
	struct served *sv = r->sv;
	char why[VOLUME_WHY];

	sv->readmit.busy = false;
	sv->readmit.next = now_ms() + READMIT_MS;
	for (size_t i = 0; sv->ns && !sv->stopping && i < r->nr; i++) {
		struct volume *v = served_volume(sv, r->probe[i]->rec.id);

		if (!v || volume_online(v) || v->removing)
			continue;
		judge(r, r->probe[i], why);
		if (!*why) {
			adopt(sv, v, r->probe[i]);
		} else if (strcmp(why, v->problem)) {
			strcpy(v->problem, why);
			log_err(sv->name, "%s", why);
		}
	}
	if (sv->ns && sv->attached)
		attach_tell(sv);
	deleter_kick(sv);
	pthread_mutex_lock(&sv->lock);
	sv->readmit.rounds++;
	pthread_cond_broadcast(&sv->changed);
	pthread_mutex_unlock(&sv->lock);
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

void readmit_kick(struct served *sv)
{
	struct readmit_round *r;
	struct volume *v;
	size_t nr = 0;

	for (v = sv->volumes; v; v = v->next)
		nr += !volume_online(v) && !v->removing;
	if (!nr || sv->readmit.busy || sv->deleter.stopped)
		return;
	r = calloc(1, sizeof(*r) + nr * sizeof(*r->probe));
	if (!r)
		return;
	r->w.run = round_run;
	r->sv = sv;
	for (v = sv->volumes; v && r->nr < nr; v = v->next) {
		if (volume_online(v) || v->removing)
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
