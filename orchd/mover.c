// SPDX-License-Identifier: Apache-2.0
/* What is done next: jobs in turn, their walks and batches of files. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "exec.h"
#include "home.h"
#include "log.h"
#include "mover.h"
#include "ns_cluster.h"

#define WALK_BUDGET	512
#define NUMBERS		256
#define SETTLE_MS	10000
#define PAUSE_MS	2000	/* what was lost may be back */
#define SWITCH_MAX	64	/* waiting files that are tried each second */

/* Where the kernel isn't attached it may have open files that nobody knows. */
static bool mover_ready(struct served *sv)
{
	return sv->ns && !sv->mover->stopped && !sv->stopping && !sv->pausing &&
	       (sv->attached || sv->no_module);
}

/* A file of the batch, or one that waited, is done with. */
static void file_leave(struct mover_file *f)
{
	struct mover_job *j = f->job;
	struct mover_file **p;

	for (size_t i = 0; i < j->nr; i++) {
		if (j->batch[i] != f)
			continue;
		memmove(&j->batch[i], &j->batch[i + 1],
			(--j->nr - i) * sizeof(j->batch[0]));
		return;
	}
	for (p = &j->waiting; *p; p = &(*p)->next) {
		if (*p != f)
			continue;
		*p = f->next;
		j->nr_waiting--;
		return;
	}
}

static bool is_waiting(const struct mover_file *f)
{
	const struct mover_file *w = f->job->waiting;

	while (w && w != f)
		w = w->next;
	return w;
}

/* Freed at the end of the turn: who calls may be looking at it. */
void file_ended(struct mover_file *f)
{
	struct mover_job *j = f->job;

	ns_move_unwatch(j->sv->ns, f->m.ino);
	file_leave(f);
	f->next = j->sv->mover->dead;
	j->sv->mover->dead = f;
	served_txn(j->sv);
	exec_unpark(j->sv);
	mover_stepped(j->sv);
	mover_kick(j->sv);
}

void file_waits(struct mover_file *f)
{
	struct mover_job *j = f->job;

	if (is_waiting(f))
		return;
	file_leave(f);
	f->next = j->waiting;
	j->waiting = f;
	j->nr_waiting++;
	mover_changed(j->sv);
	mover_kick(j->sv);
}

static int number_take_one(struct served *sv, uint64_t *out)
{
	struct mover *mv = sv->mover;
	int rc;

	if (!mv->instances) {
		rc = ns_reserve(sv->ns, "instance", NUMBERS, &mv->instance);
		if (rc)
			return rc;
		mv->instances = NUMBERS;
	}
	*out = mv->instance++;
	mv->instances--;
	return 0;
}

/* Those that could not be begun leave the batch. */
static void batch_drop(struct mover_job *j, bool begun)
{
	for (size_t i = j->nr; i-- > 0; ) {
		struct mover_file *f = j->batch[i];

		if (f->fenced && (!begun || !f->m.rc))
			continue;
		if (begun) {
			f->m.to = 0;
			if (f->m.rc == -EBUSY)
				file_say(f, "opened for writing meanwhile");
			else if (f->m.rc == -EIO && source_away(f))
				j->lost = true;
			else if (f->m.rc && f->m.rc != -ENOENT)
				file_say(f, "its contents cannot be read: %s",
					 strerror(-f->m.rc));
		}
		file_give_up(f);
	}
}

static int batch_record(struct mover_job *j)
{
	struct ns_move *m[MOVER_BATCH];
	int rc = 0;

	for (size_t i = 0; i < j->nr && !rc; i++) {
		struct mover_file *f = j->batch[i];

		m[i] = &f->m;
		rc = number_take_one(j->sv, &f->m.to);
	}
	if (!rc)
		rc = ns_move_begin(j->sv->ns, m, j->nr, &j->txn);
	for (size_t i = 0; i < j->nr && rc; i++) {
		j->batch[i]->m.to = 0;
		j->batch[i]->m.rc = -ENOENT;
	}
	return rc;
}

/*
 * Nothing kept the target while they were fenced. A drain of it that has found
 * it empty mustn't get files any more.
 */
static bool target_gone(struct mover_job *j)
{
	const struct volume *v = j->to;
	bool gone = v->removing || v->rec.draining ||
		    served_volume(j->sv, v->rec.id) != v;

	/* a drain finds another one with its next walk */
	if (gone && !j->rec.drain)
		job_fail(j, "volume %s is being %s", v->rec.name,
			 v->rec.draining && !v->removing ? "drained" :
							   "removed");
	return gone;
}

/*
 * What nodes have written to files of other homes is taken over into their
 * records first; those homes are asked. Return: whether that goes on.
 */
static bool batch_unsettled(struct mover_job *j)
{
	struct ns *ns = j->sv->ns;
	bool dirty = false;

	homes_asking(j->sv, j->arrived);
	for (size_t i = 0; i < j->nr; i++) {
		const struct volume *v;

		v = served_volume(j->sv, j->batch[i]->m.from_volume);
		if (!v || !volume_far(v))
			continue;
		ns_settle_dirty(ns, j->batch[i]->m.ino);
		dirty |= ns_move_dirty(ns, j->batch[i]->m.ino);
	}
	homes_asking(j->sv, 0);
	served_txn(j->sv);
	return dirty && now_ms() < j->settle_by;
}

static void batch_begin(struct mover_job *j);
static void batch_settle(struct mover_job *j);

/* All of them have been fenced, or cannot be. */
void batch_fenced(struct mover_job *j)
{
	if (--j->fencing)
		return;
	batch_drop(j, false);
	j->arrived = homes_arrived(j->sv);
	j->settle_by = now_ms() + SETTLE_MS;
	j->settling = true;
	batch_settle(j);
}

static void batch_settle(struct mover_job *j)
{
	if (!j->settling || (j->phase != JOB_UNWIND && batch_unsettled(j)))
		return;
	j->settling = false;
	batch_begin(j);
}

static void batch_begin(struct mover_job *j)
{
	bool gone;
	int rc = 0;

	gone = j->nr && target_gone(j);
	if (j->phase != JOB_UNWIND && j->nr && !gone)
		rc = batch_record(j);
	if (rc)
		job_fail(j, "cannot record what is to be moved: %s",
			 strerror(-rc));
	if (j->phase == JOB_UNWIND || gone)
		for (size_t i = 0; i < j->nr; i++)
			j->batch[i]->fenced = false;
	batch_drop(j, true);
	served_txn(j->sv);
	if (!j->nr)
		return;
	for (size_t i = 0; i < j->nr; i++)
		sm_move(&j->batch[i]->sm, MOVE_COPY);
	mover_stepped(j->sv);
	copy_start(j);
}

/* The worker has done what it could. */
void copy_done(struct mover_job *j)
{
	struct mover_file *f[MOVER_BATCH];
	size_t nr = j->nr;

	j->copying = false;
	atomic_store(&j->copy.reading, 0);
	/* What was begun is found by the next start. */
	if (!j->sv->ns || j->sv->mover->stopped)
		return;
	memcpy(f, j->batch, sizeof(f));
	for (size_t i = 0; i < nr; i++)
		file_copied(f[i]);
	mover_kick(j->sv);
}

void job_leave(struct mover_job *j, uint64_t ino, const char *fmt, ...)
{
	struct ns_move m = { .job = j->rec.id, .ino = ino };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m.text, sizeof(m.text), fmt, ap);
	va_end(ap);
	strcpy(j->last, m.text);
	if (j->left++ >= MOVER_LEFT)
		m.text[0] = 0;
	ns_move_abort(j->sv->ns, &m, &j->rec);
}

/* One of its own waits: it was counted when it began to. */
static void batch_refuse(struct mover_job *j, uint64_t ino, int why)
{
	const struct mover_file *w = j->waiting;

	while (w && w->m.ino != ino)
		w = w->next;
	if (!w)
		job_leave(j, ino, "%s", why == -EBUSY ?
			  "another job is at it" :
			  "it has no contents that can be used");
}

/* It may have been moved since it was listed. */
static int batch_watch_file(struct mover_job *j, struct mover_file *f)
{
	int rc = ns_move_watch(j->sv->ns, &f->m);

	if (rc == -EBUSY || rc == -EIO) {
		batch_refuse(j, f->m.ino, rc);
		return -ENOENT;
	}
	if (rc || (f->m.from_volume != f->m.to_volume &&
		   (!j->rec.drain || f->m.from_volume == j->rec.volume)))
		return rc;
	ns_move_unwatch(j->sv->ns, f->m.ino);
	return -ENOENT;
}

/* Take it into the batch, unless it isn't to be moved. */
static int batch_add(struct mover_job *j, const struct ns_move_entry *e)
{
	struct ns_move m = {
		.job = j->rec.id, .ino = e->ino, .to_volume = j->rec.volume,
	};
	struct mover_file *f;
	int rc;

	if (j->rec.drain) {
		rc = drain_take(j, e);
		if (rc)
			return rc == -ENOENT ? 0 : rc;
		m.to_volume = j->to->rec.id;
	} else if (e->volume == j->rec.volume) {
		j->there += !j->walks;
		return 0;
	}
	f = file_new(j, &m);
	if (!f)
		return -ENOMEM;
	f->size = e->size;
	rc = batch_watch_file(j, f);
	if (rc) {
		file_free(f);
		return rc == -ENOENT ? 0 : rc;
	}
	j->batch[j->nr++] = f;
	return 0;
}

/* Return: 1 a batch is there or the walk has ended; 0 more to look at. */
static int batch_gather(struct mover_job *j)
{
	unsigned int budget = WALK_BUDGET;
	struct ns_move_entry e;
	uint64_t bytes = 0;
	int rc = 1;

	while (j->nr < MOVER_BATCH && bytes < MOVER_BATCH_BYTES) {
		rc = walk_next(j, &budget, &e);
		if (rc == 1)
			rc = batch_add(j, &e);
		else
			break;
		if (rc)
			break;
		if (j->nr && j->batch[j->nr - 1]->m.ino == e.ino)
			bytes += e.size;
	}
	if (rc == -EAGAIN)
		return j->nr > 0;
	if (rc < 0)
		job_fail(j, "the walk of the tree ended early: %s",
			 strerror(-rc));
	if (!rc && !j->nr)
		j->phase = j->phase == JOB_WALK ? JOB_WAIT : j->phase;
	return 1;
}

static void batch_start(struct mover_job *j)
{
	size_t nr = j->nr;

	j->again = true;
	j->fencing = nr;
	for (size_t i = 0; i < nr; i++)
		file_fence(j->batch[i]);
}

static bool target_ready(struct mover_job *j)
{
	struct volume *v = served_volume(j->sv, j->rec.volume);

	if (ns_awaits(j->sv->ns)) {
		strcpy(j->text, "waits until all nodes have told what they "
		       "have open");
		return false;
	}
	if (j->rec.drain)
		return drain_ready(j);
	if (!v) {
		job_fail(j, "the volume has been removed");
		return false;
	}
	if (!volume_online(v)) {
		snprintf(j->text, sizeof(j->text), "waits for its volume: "
			 "%.200s", v->problem);
		return false;
	}
	if (v->removing) {
		job_fail(j, "volume %s is being removed", v->rec.name);
		return false;
	}
	if (v->rec.draining) {
		job_fail(j, "volume %s is being drained", v->rec.name);
		return false;
	}
	j->text[0] = 0;
	if (!j->to)
		j->to = volume_get(v);
	return true;
}

static bool count_more(struct mover_job *j)
{
	unsigned int budget = WALK_BUDGET;
	struct ns_move_entry e;
	int rc;

	while ((rc = walk_next(j, &budget, &e)) == 1) {
		if ((e.volume == j->rec.volume) != j->rec.drain)
			continue;
		j->files++;
		j->total += e.size;
	}
	if (rc == -EAGAIN)
		return true;
	if (rc < 0)
		job_fail(j, "the tree cannot be read: %s", strerror(-rc));
	walk_restart(&j->walk);
	if (j->phase == JOB_COUNT)
		j->phase = JOB_WALK;
	mover_changed(j->sv);
	return true;
}

/* A home is asked what a copy is like, or was: its switch has yet to end. */
static bool is_looking(const struct mover_job *j)
{
	const struct mover_file *f = j->waiting;

	while (f && f->told != -EAGAIN && (f->told || !f->swapping))
		f = f->next;
	return f;
}

/* At the end of a walk: another one, or the end of the job. */
static bool walk_ended(struct mover_job *j)
{
	if (j->rec.drain)
		return drain_ended(j);
	if (is_looking(j))
		return false;
	walk_restart(&j->walk);
	if (j->lost) {
		j->lost = j->again = false;
		j->left = 0;
		j->pause_until = now_ms() + PAUSE_MS;
		strcpy(j->text, "waits: a node that has to do with it can't be "
		       "reached");
		j->phase = JOB_WALK;
		mover_changed(j->sv);
		return false;
	}
	j->walks++;
	if (j->again && j->walks < MOVER_WALKS &&
	    !(j->single && (j->left || j->rec.moved || j->nr_waiting))) {
		j->again = false;
		j->left = 0;
		j->phase = JOB_WALK;
		return true;
	}
	if (j->nr_waiting) {
		j->walks = MOVER_WALKS;
		snprintf(j->text, sizeof(j->text), "%zu copied, but mapped or "
			 "in use where they were: waits until they are not",
			 j->nr_waiting);
		mover_changed(j->sv);
		return false;
	}
	if (!j->single || j->rec.moved) {
		job_end(j, NS_JOB_DONE);
		return false;
	}
	job_fail(j, "%s", j->last[0] ? j->last : "it was deleted meanwhile");
	return true;
}

static void waiting_try(struct mover_job *j)
{
	uint64_t now = now_ms();
	struct mover_file *f, *next;
	unsigned int n = 0;

	if (ns_awaits(j->sv->ns))
		return;		/* who has them isn't known */
	for (f = j->waiting; f && n < SWITCH_MAX; f = next) {
		next = f->next;
		if (f->swapping || now < f->retry_at)
			continue;
		n++;
		file_switch(f);
	}
}

/* Return: whether there is more to do at once. */
static bool job_turn(struct mover_job *j)
{
	waiting_try(j);
	if (j->settling)
		batch_settle(j);
	if (j->nr)
		return false;
	/* a reference would keep a lost drive in use */
	if (j->to && !volume_online(j->to)) {
		volume_put(j->to);
		j->to = NULL;
	}
	switch (j->phase) {
	case JOB_COUNT:
		return count_more(j);
	case JOB_WALK:
		if (now_ms() < j->pause_until)
			return false;
		if (!target_ready(j))
			return j->phase == JOB_UNWIND;
		if (!batch_gather(j))
			return true;
		if (j->nr)
			batch_start(j);
		return !j->nr;
	case JOB_WAIT:
		return walk_ended(j);
	case JOB_UNWIND:
		if (j->waiting)
			return false;
		job_end(j, j->end);
		return false;
	default:
		return false;
	}
}

void mover_free_dead(struct mover *mv)
{
	struct mover_file *f;

	while ((f = mv->dead)) {
		mv->dead = f->next;
		file_free(f);
	}
}

unsigned int jobs_running(const struct served *sv)
{
	unsigned int running = 0;
	const struct mover_job *j;

	/* a drain may wait for files that are open for days */
	for (j = sv->mover->jobs; j; j = j->next)
		running += j->phase != JOB_ENDED && j->phase != JOB_QUEUED &&
			   !(j->rec.drain && j->phase == JOB_WAIT);
	return running;
}

static void jobs_begin(struct served *sv)
{
	unsigned int running;
	struct mover_job *j;

	/* takes back what was done, which needs no turn */
	for (j = sv->mover->jobs; j; j = j->next)
		if (j->phase == JOB_QUEUED && j->rec.cancel)
			job_unwind(j, NS_JOB_CANCELLED);
	running = jobs_running(sv);
	for (j = sv->mover->jobs; j && running < MOVER_RUNNING; j = j->next) {
		if (j->phase != JOB_QUEUED ||
		    worker_start(&j->worker, "orchd-move") < 0)
			continue;
		j->phase = JOB_COUNT;
		running++;
	}
}

static void mover_turn(struct work *w)
{
	struct mover *mv = container_of(w, struct mover, turn_work);
	struct served *sv = mv->sv;
	struct mover_job *j;
	bool more = false;

	mv->turn_posted = false;
	if (!mover_ready(sv))
		return;
	jobs_begin(sv);
	for (j = mv->jobs; j; j = j->next)
		more |= job_turn(j);
	mover_free_dead(mv);
	jobs_prune(sv);
	served_txn(sv);
	if (more)
		mover_kick(sv);
}

void mover_looked(struct served *sv)
{
	struct mover_job *j = sv->mover ? sv->mover->jobs : NULL;
	bool any = false;

	for (; j; j = j->next) {
		any |= j->settling;
		for (struct mover_file *f = j->waiting; f; f = f->next) {
			if (!f->looking)
				continue;
			f->retry_at = 0;
			any = true;
		}
	}
	if (any)
		mover_kick(sv);
}

void mover_kick(struct served *sv)
{
	struct mover *mv = sv->mover;

	if (!mv || mv->turn_posted || mv->stopped)
		return;
	mv->turn_work.run = mover_turn;
	mv->turn_posted = work_post(&sv->queue, &mv->turn_work);
}

/* A copy that is of no use any more needn't be finished. */
static void batch_watch(struct mover_job *j)
{
	for (size_t i = 0; j->copying && i < j->nr; i++) {
		struct mover_file *f = j->batch[i];
		struct ns_move_entry e;

		if (!ns_move_written(j->sv->ns, f->m.ino) &&
		    ns_move_stat(j->sv->ns, f->m.ino, &e) != -ENOENT)
			continue;
		copy_stop(&j->sv->mover->pace, &f->c.stop);
	}
}

void mover_tick(struct served *sv)
{
	uint64_t now = now_ms();
	struct mover_file *f, *next;
	struct mover_job *j;

	if (!sv->mover)
		return;
	for (j = sv->mover->jobs; j; j = j->next) {
		batch_watch(j);
		far_tick(j);
		for (size_t i = j->nr; i-- > 0 && !j->copying; )
			if (i < j->nr)
				round_tick(j->batch[i], now);
		for (f = j->waiting; f; f = next) {
			next = f->next;
			round_tick(f, now);
		}
	}
	mover_kick(sv);
}
