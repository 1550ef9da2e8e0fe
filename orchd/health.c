// SPDX-License-Identifier: Apache-2.0
/*
 * Volumes that are in use are looked at, each by its own thread, now and then
 * and soon after an error. What follows: Documentation/volumes.md. Those that
 * are not in use are the business of readmit.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data.h"
#include "exec.h"
#include "log.h"
#include "served.h"
#include "steward.h"

#define LOOK_MS		5000
#define SILENT_MS	10000

struct look {
	struct work w;
	struct served *sv;
	struct volume *v;
	bool readonly;
	int rc;
};

int health_worker(struct volume *v)
{
	return v->worker.started ? 0 : worker_start(&v->worker, "orchd-volume");
}

static void tell(struct served *sv)
{
	if (sv->agent)
		steward_news(sv);
	else if (sv->attached)
		attach_tell(sv);
}

/* What was not written back is missing there. */
static void owe_sweep(struct served *sv, struct volume *v)
{
	int rc;

	v->unclean = true;
	if (sv->agent)
		return;
	flush_lost(sv);
	rc = serve_owe_sweep(sv, v);
	if (rc < 0)
		log_err(sv->name, "volume %s: cannot note that it has to be "
			"compared with the store: %s", v->rec.name,
			strerror(-rc));
}

/* From now on its files give EIO and new ones go elsewhere. */
static void lose(struct served *sv, struct volume *v, int why)
{
	atomic_store(&v->health, VOLUME_LOST);
	v->silent = false;
	snprintf(v->problem, sizeof(v->problem), "volume %s: %.200s cannot be "
		 "read: %s: its drive fails or is gone, its files give EIO. "
		 "Close what is open there, unmount it, check the drive and "
		 "mount it; orchd takes it back", v->rec.name, v->rec.path,
		 strerror(-why));
	log_err(sv->name, "%s", v->problem);
	owe_sweep(sv, v);
	tell(sv);
}

/* Nobody but the list has a reference, and so its descriptor, any more. */
static void let_go(struct served *sv, struct volume *v)
{
	char why[VOLUME_WHY];

	if (v->pool_busy || v->look_busy || atomic_load(&v->refs) != 1 ||
	    data_holds(sv, v->rec.id))
		return;
	strcpy(why, v->problem);
	pool_unload(sv, v);
	volume_refuse(v, why);
	log_info(sv->name, "volume %s is closed: it can be unmounted once its "
		 "files are", v->rec.name);
	if (!sv->agent)
		readmit_kick(sv);
}

static void became_readonly(struct served *sv, struct volume *v)
{
	volume_readonly(v);
	log_err(sv->name, "%s", v->problem);
	tell(sv);
}

/* The next look comes back to it while a batch is under way. */
static void became_writable(struct served *sv, struct volume *v)
{
	if (v->pool_busy)
		return;
	atomic_store(&v->health, VOLUME_SOUND);
	v->problem[0] = 0;
	v->pool_error = 0;
	if (!sv->agent) {
		pool_unload(sv, v);
		readmit_settle(sv, v);
		deleter_kick(sv);
	}
	tell(sv);
}

static void answered(struct served *sv, struct volume *v)
{
	if (!v->silent)
		return;
	v->silent = false;
	v->problem[0] = 0;
	if (atomic_load(&v->health) == VOLUME_READONLY)
		volume_readonly(v);
	log_info(sv->name, "volume %s answers again", v->rec.name);
	tell(sv);
}

/* namespace thread */
static void look_done(struct work *w)
{
	struct look *l = container_of(w, struct look, w);
	struct volume *v = l->v;
	struct served *sv = l->sv;
	int health = atomic_load(&v->health);

	v->look_busy = false;
	v->doubted = false;
	if ((sv->ns || sv->agent) && served_volume(sv, v->rec.id) == v &&
	    volume_online(v)) {
		answered(sv, v);
		if (l->rc < 0)
			lose(sv, v, l->rc);
		else if (l->readonly && health == VOLUME_SOUND)
			became_readonly(sv, v);
		else if (!l->readonly && health == VOLUME_READONLY)
			became_writable(sv, v);
		if (sv->ns)
			exec_unpark(sv);
	}
	volume_put(v);
	free(l);
}

static void look_free(struct work *w)
{
	struct look *l = container_of(w, struct look, w);

	volume_put(l->v);
	free(l);
}

/* the volume's thread */
static void look_run(struct work *w)
{
	struct look *l = container_of(w, struct look, w);

	l->rc = volume_look(l->v->root_fd, &l->readonly);
	l->w.run = look_done;
	if (!work_post(&l->sv->queue, &l->w))
		look_free(&l->w);
}

static void look(struct served *sv, struct volume *v)
{
	struct look *l;

	if (health_worker(v) < 0)
		return;
	l = calloc(1, sizeof(*l));
	if (!l)
		return;
	/* an error from now on is a reason to look again */
	v->doubted = atomic_exchange(&v->doubt, false);
	l->w.run = look_run;
	l->sv = sv;
	l->v = volume_get(v);
	v->look_busy = true;
	v->looked_at = now_ms();
	work_post(&v->worker.q, &l->w);
}

static void no_answer(struct served *sv, struct volume *v)
{
	v->silent = true;
	snprintf(v->problem, sizeof(v->problem), "volume %s: %.200s has not "
		 "answered for %d seconds: what uses it waits, new files go "
		 "elsewhere. Check the drive", v->rec.name, v->rec.path,
		 SILENT_MS / 1000);
	log_err(sv->name, "%s", v->problem);
	tell(sv);
}

/* A look waits behind a batch of the pool, which may take long. */
static void wait_for_look(struct served *sv, struct volume *v, uint64_t now)
{
	unsigned int steps = atomic_load(&v->pool_steps);

	if (steps != v->look_steps) {
		v->look_steps = steps;
		v->looked_at = now;
	} else if (!v->silent && now > v->looked_at + SILENT_MS) {
		no_answer(sv, v);
	}
}

void health_tick(struct served *sv)
{
	uint64_t now = now_ms();
	struct volume *v;

	if ((!sv->ns && !sv->agent) || sv->pool.stopped)
		return;
	for (v = sv->volumes; v; v = v->next) {
		if (volume_far(v) || v->root_fd < 0)
			continue;
		if (!volume_online(v)) {
			let_go(sv, v);
			continue;
		}
		volume_measure(v);
		if (v->look_busy) {
			wait_for_look(sv, v, now);
		} else if (atomic_load(&v->doubt) ||
			   now > v->looked_at + LOOK_MS) {
			look(sv, v);
		}
	}
}
