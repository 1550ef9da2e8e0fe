// SPDX-License-Identifier: Apache-2.0
/* Jobs: which runs, its batches of files, its end. Namespace thread. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fault.h"
#include "log.h"
#include "mover.h"

#define WALK_BUDGET	512
#define NUMBERS		256
#define SWITCH_MAX	64	/* waiting files that are tried each second */

static atomic_uint_fast64_t rate_of_all;

void mover_set_rate(uint64_t rate)
{
	atomic_store(&rate_of_all, rate);
}

uint64_t mover_rate(void)
{
	return atomic_load(&rate_of_all);
}

static void now_time(struct orchfs_time *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	t->sec = ts.tv_sec;
	t->nsec = (uint32_t)ts.tv_nsec;
}

void mover_changed(struct served *sv)
{
	pthread_mutex_lock(&sv->lock);
	sv->mover_changes++;
	pthread_cond_broadcast(&sv->changed);
	pthread_mutex_unlock(&sv->lock);
}

struct mover_job *mover_find(struct served *sv, uint64_t id)
{
	struct mover_job *j = sv->mover ? sv->mover->jobs : NULL;

	while (j && j->rec.id != id)
		j = j->next;
	return j;
}

bool mover_uses(struct served *sv, const struct volume *v)
{
	struct mover_job *j = sv->mover ? sv->mover->jobs : NULL;

	for (; j; j = j->next)
		if (j->phase != JOB_ENDED && j->rec.volume == v->rec.id)
			return true;
	return false;
}

/* Where the kernel isn't attached it may have open files that nobody knows. */
static bool mover_ready(struct served *sv)
{
	return sv->ns && !sv->mover->stopped && !sv->stopping &&
	       (sv->attached || sv->no_module);
}

static void job_put_record(struct mover_job *j)
{
	int rc = ns_job_put(j->sv->ns, &j->rec);

	if (rc < 0)
		log_err(j->sv->name, "job %llu: cannot record it: %s",
			(unsigned long long)j->rec.id, strerror(-rc));
}

static void job_stop_worker(struct mover_job *j)
{
	pthread_mutex_lock(&j->sv->mover->lock);
	atomic_store(&j->stop, true);
	pthread_cond_broadcast(&j->sv->mover->cond);
	pthread_mutex_unlock(&j->sv->mover->lock);
}

/* What is at hand is taken back, then the job ends as @end. */
static void job_unwind(struct mover_job *j, enum ns_job_state end)
{
	if (j->phase == JOB_UNWIND || j->phase == JOB_ENDED)
		return;
	j->phase = JOB_UNWIND;
	j->end = end;
	job_stop_worker(j);
	mover_changed(j->sv);
}

void job_fail(struct mover_job *j, const char *fmt, ...)
{
	va_list ap;

	if (j->phase == JOB_UNWIND || j->phase == JOB_ENDED)
		return;
	va_start(ap, fmt);
	vsnprintf(j->rec.text, sizeof(j->rec.text), fmt, ap);
	va_end(ap);
	job_unwind(j, NS_JOB_FAILED);
}

static void job_free(struct mover_job *j)
{
	struct mover_file *f;

	if (j->worker.started)
		worker_stop(&j->worker);
	for (size_t i = 0; i < j->nr; i++)
		file_free(j->batch[i]);
	while ((f = j->waiting)) {
		j->waiting = f->next;
		file_free(f);
	}
	walk_free(&j->walk);
	volume_put(j->to);
	free(j);
}

static void jobs_prune(struct served *sv)
{
	struct mover_job *j, **p = &sv->mover->jobs;
	unsigned int ended = 0;

	for (j = sv->mover->jobs; j; j = j->next)
		ended += j->phase == JOB_ENDED;
	while ((j = *p) && ended > MOVER_KEPT) {
		if (j->phase != JOB_ENDED || ns_job_del(sv->ns, j->rec.id)) {
			p = &j->next;
			continue;
		}
		*p = j->next;
		job_free(j);
		ended--;
	}
}

static void job_end(struct mover_job *j, enum ns_job_state state)
{
	j->phase = JOB_ENDED;
	j->rec.state = state;
	j->rec.skipped = j->left;
	j->rec.there = j->there > j->moved_before ?
		       j->there - j->moved_before : 0;
	now_time(&j->rec.ended);
	j->text[0] = 0;
	job_put_record(j);
	if (j->worker.started)
		worker_stop(&j->worker);
	j->worker.started = false;
	walk_free(&j->walk);
	volume_put(j->to);
	j->to = NULL;
	log_info(j->sv->name, "job %llu: %s: %llu files moved, %llu left%s%s",
		 (unsigned long long)j->rec.id,
		 state == NS_JOB_DONE ? "done" :
		 state == NS_JOB_FAILED ? "failed" : "cancelled",
		 (unsigned long long)j->rec.moved,
		 (unsigned long long)j->left, j->rec.text[0] ? ": " : "",
		 j->rec.text);
	mover_changed(j->sv);
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
	nl_ops_unpark(j->sv);
	mover_changed(j->sv);
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
	struct volume *v;
	int rc = 0;

	for (size_t i = 0; i < j->nr && !rc; i++) {
		struct mover_file *f = j->batch[i];

		m[i] = &f->m;
		rc = number_take_one(j->sv, &f->m.to);
		v = served_volume(j->sv, f->m.from_volume);
		if (v)
			f->from = volume_get(v);
		else
			rc = -EIO;
	}
	if (!rc)
		rc = ns_move_begin(j->sv->ns, m, j->nr, &j->txn);
	for (size_t i = 0; i < j->nr && rc; i++) {
		j->batch[i]->m.to = 0;
		j->batch[i]->m.rc = -ENOENT;
	}
	return rc;
}

/* All of them have been fenced, or cannot be. */
void batch_fenced(struct mover_job *j)
{
	int rc = 0;

	if (--j->fencing)
		return;
	batch_drop(j, false);
	if (j->phase != JOB_UNWIND && j->nr)
		rc = batch_record(j);
	if (rc)
		job_fail(j, "cannot record what is to be moved: %s",
			 strerror(-rc));
	if (j->phase == JOB_UNWIND)
		for (size_t i = 0; i < j->nr; i++)
			j->batch[i]->fenced = false;
	batch_drop(j, true);
	served_txn(j->sv);
	if (!j->nr)
		return;
	for (size_t i = 0; i < j->nr; i++) {
		sm_move(&j->batch[i]->sm, MOVE_COPY);
		atomic_store(&j->batch[i]->phase, MOVE_COPY);
	}
	mover_changed(j->sv);
	copy_start(j);
}

/* The worker has done what it could. */
void copy_done(struct mover_job *j)
{
	struct mover_file *f[MOVER_BATCH];
	size_t nr = j->nr;

	j->copying = false;
	atomic_store(&j->reading, 0);
	/* What was begun is found by the next start. */
	if (!j->sv->ns || j->sv->mover->stopped)
		return;
	memcpy(f, j->batch, sizeof(f));
	for (size_t i = 0; i < nr; i++)
		file_copied(f[i]);
	mover_kick(j->sv);
}

/* Take it into the batch, unless it isn't to be moved. */
static int batch_add(struct mover_job *j, const struct ns_move_entry *e)
{
	struct ns_move m = {
		.job = j->rec.id, .ino = e->ino, .to_volume = j->rec.volume,
	};
	struct mover_file *f;
	int rc;

	if (e->volume == j->rec.volume) {
		j->there += !j->walks;
		return 0;
	}
	f = file_new(j, &m);
	if (!f)
		return -ENOMEM;
	f->size = e->size;
	rc = ns_move_watch(j->sv->ns, &f->m);
	if (rc == -EBUSY || rc == -EIO) {
		/* One of its own waits: it was counted when it began to. */
		struct mover_file *w = j->waiting;

		while (w && w->m.ino != e->ino)
			w = w->next;
		if (!w) {
			file_say(f, rc == -EBUSY ? "another job is at it" :
				 "it has no contents that can be used");
			strcpy(j->last, f->m.text);
			j->left++;
			ns_move_abort(j->sv->ns, &f->m, &j->rec);
		}
		rc = -ENOENT;
	}
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
		if (e.volume == j->rec.volume)
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

/* At the end of a walk: another one, or the end of the job. */
static bool walk_ended(struct mover_job *j)
{
	j->walks++;
	walk_restart(&j->walk);
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
	if (j->nr)
		return false;
	switch (j->phase) {
	case JOB_COUNT:
		return count_more(j);
	case JOB_WALK:
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

static void free_dead(struct mover *mv)
{
	struct mover_file *f;

	while ((f = mv->dead)) {
		mv->dead = f->next;
		file_free(f);
	}
}

static void jobs_begin(struct served *sv)
{
	unsigned int running = 0;
	struct mover_job *j;

	for (j = sv->mover->jobs; j; j = j->next)
		running += j->phase != JOB_ENDED && j->phase != JOB_QUEUED;
	for (j = sv->mover->jobs; j && running < MOVER_RUNNING; j = j->next) {
		if (j->phase != JOB_QUEUED ||
		    worker_start(&j->worker, "orchd-move") < 0)
			continue;
		j->phase = JOB_COUNT;
		running++;
		if (j->rec.cancel)
			job_unwind(j, NS_JOB_CANCELLED);
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
	free_dead(mv);
	jobs_prune(sv);
	served_txn(sv);
	if (more)
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
		pthread_mutex_lock(&j->sv->mover->lock);
		atomic_store(&f->stop, true);
		pthread_cond_broadcast(&j->sv->mover->cond);
		pthread_mutex_unlock(&j->sv->mover->lock);
	}
}

/* A swap whose end was never told. */
static void swap_overdue(struct mover_file *f, uint64_t now)
{
	if (f->swapping && now > f->deadline)
		nl_ops_swap_lost(f->job->sv, &f->swap);
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
		for (size_t i = j->nr; i-- > 0 && !j->copying; )
			if (i < j->nr)
				swap_overdue(j->batch[i], now);
		for (f = j->waiting; f; f = next) {
			next = f->next;
			swap_overdue(f, now);
		}
	}
	mover_kick(sv);
}

static struct mover_job *job_add(struct served *sv, const struct ns_job *rec)
{
	struct mover_job *j = calloc(1, sizeof(*j)), **p = &sv->mover->jobs;

	if (!j)
		return NULL;
	j->sv = sv;
	j->rec = *rec;
	j->phase = rec->state == NS_JOB_RUNNING ? JOB_QUEUED : JOB_ENDED;
	j->left = rec->skipped;
	j->moved_before = rec->moved;
	while (*p)
		p = &(*p)->next;
	*p = j;
	return j;
}

static int check_target(struct served *sv, const struct ns_job *want,
			const struct ns_move_entry *e, char *why)
{
	struct volume *v = served_volume(sv, want->volume);

	if (!volume_online(v)) {
		snprintf(why, VOLUME_WHY, "%s", v->problem);
		return -ENXIO;
	}
	if (v->removing) {
		snprintf(why, VOLUME_WHY, "volume %s is being removed",
			 v->rec.name);
		return -EBUSY;
	}
	if (!S_ISREG(e->mode) && !S_ISDIR(e->mode)) {
		snprintf(why, VOLUME_WHY, "%.200s is neither a file nor a "
			 "directory: there is nothing to move", want->label);
		return -EINVAL;
	}
	if (S_ISREG(e->mode) && e->volume == want->volume) {
		snprintf(why, VOLUME_WHY, "%.200s is on volume %s already",
			 want->label, v->rec.name);
		return -EEXIST;
	}
	return 0;
}

static int check_other_jobs(struct served *sv, uint64_t ino, char *why)
{
	struct mover_job *j;

	for (j = sv->mover->jobs; j; j = j->next) {
		bool at = j->rec.ino == ino;

		for (size_t i = 0; i < j->nr && !at; i++)
			at = j->batch[i]->m.ino == ino;
		for (struct mover_file *f = j->waiting; f && !at; f = f->next)
			at = f->m.ino == ino;
		if (!at || j->phase == JOB_ENDED)
			continue;
		snprintf(why, VOLUME_WHY, "job %llu is moving it: wait for its "
			 "end, or give it up with orchctl jobs cancel %llu",
			 (unsigned long long)j->rec.id,
			 (unsigned long long)j->rec.id);
		return -EBUSY;
	}
	return 0;
}

int mover_new(struct served *sv, const struct ns_job *want, char *why,
	      uint64_t *id)
{
	struct ns_job rec = *want;
	struct ns_move_entry e;
	struct mover_job *j;
	int rc;

	rc = ns_move_stat(sv->ns, want->ino, &e);
	if (rc == -ENOENT)
		snprintf(why, VOLUME_WHY, "%.200s has been deleted",
			 want->label);
	if (!rc)
		rc = check_target(sv, want, &e, why);
	if (!rc)
		rc = check_other_jobs(sv, want->ino, why);
	if (rc)
		return rc;
	now_time(&rec.started);
	rc = ns_job_new(sv->ns, &rec);
	if (rc)
		return rc;
	j = job_add(sv, &rec);
	if (!j)
		return -ENOMEM;	/* the next start finds it */
	j->single = S_ISREG(e.mode);
	*id = rec.id;
	mover_changed(sv);
	mover_kick(sv);
	return 0;
}

int mover_cancel(struct served *sv, uint64_t id, char *why)
{
	struct mover_job *j = mover_find(sv, id);
	struct ns_job rec;
	int rc;

	if (!j) {
		snprintf(why, VOLUME_WHY, "there is no job %llu: orchctl jobs "
			 "list shows those there are", (unsigned long long)id);
		return -ENOENT;
	}
	if (j->phase == JOB_ENDED) {
		snprintf(why, VOLUME_WHY, "job %llu has ended already",
			 (unsigned long long)id);
		return -EALREADY;
	}
	rec = j->rec;
	rec.cancel = true;
	rc = ns_job_put(sv->ns, &rec);
	if (rc)
		return rc;
	j->rec = rec;
	if (j->phase != JOB_QUEUED)
		job_unwind(j, NS_JOB_CANCELLED);
	mover_kick(sv);
	return 0;
}

static int load_job(void *ctx, const struct ns_job *rec)
{
	return job_add(ctx, rec) ? 0 : -ENOMEM;
}

struct load {
	struct mover_job *job;
	struct ns_move *m;
	size_t nr, max;
};

static int load_move(void *ctx, const struct ns_move *m)
{
	struct load *l = ctx;

	if (m->step == NS_MOVE_LEFT)
		return 0;
	if (l->nr == l->max) {
		size_t max = l->max * 2 + 16;
		void *p = realloc(l->m, max * sizeof(*l->m));

		if (!p)
			return -ENOMEM;
		l->m = p;
		l->max = max;
	}
	l->m[l->nr++] = *m;
	return 0;
}

static int resume_one(struct mover_job *j, struct ns_move *m)
{
	struct mover_file *f;
	int rc = 0;

	if (m->step == NS_MOVE_COPY) {
		m->text[0] = 0;
		return ns_move_abort(j->sv->ns, m, &j->rec);
	}
	f = file_new(j, m);
	if (f)
		rc = ns_move_park(j->sv->ns, m);
	if (!f || rc) {
		free(f);
		return -ENOMEM;
	}
	j->moved_before++;
	file_waits(f);
	return 0;
}

/* What the daemon before was at. */
static int resume(struct mover_job *j)
{
	struct load l = { .job = j };
	struct ns_move_entry e;
	int rc;

	if (j->phase == JOB_ENDED)
		return 0;
	rc = ns_move_stat(j->sv->ns, j->rec.ino, &e);
	j->single = !rc && S_ISREG(e.mode);
	if (!rc || rc == -ENOENT)
		rc = ns_job_moves(j->sv->ns, j->rec.id, SIZE_MAX, load_move,
				  &l);
	for (size_t i = 0; i < l.nr && !rc; i++)
		rc = resume_one(j, &l.m[i]);
	free(l.m);
	log_info(j->sv->name, "job %llu goes on",
		 (unsigned long long)j->rec.id);
	return rc;
}

int mover_start(struct served *sv)
{
	struct mover *mv = calloc(1, sizeof(*mv));
	pthread_condattr_t a;
	struct mover_job *j;
	int rc;

	if (!mv)
		return -ENOMEM;
	mv->sv = sv;
	pthread_mutex_init(&mv->lock, NULL);
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&mv->cond, &a);
	pthread_condattr_destroy(&a);
	sv->mover = mv;
	rc = ns_jobs(sv->ns, load_job, sv);
	for (j = mv->jobs; j && !rc; j = j->next)
		rc = resume(j);
	if (!rc)
		mover_kick(sv);
	return rc;
}

/* What is under way is left as it is: the next start goes on with it. */
void mover_stop(struct served *sv)
{
	struct mover *mv = sv->mover;
	struct mover_job *j;

	if (!mv)
		return;
	mv->stopped = true;
	for (j = mv->jobs; j; j = j->next) {
		job_stop_worker(j);
		if (j->worker.started)
			worker_stop(&j->worker);
		j->worker.started = false;
	}
	work_run(&sv->queue);	/* what they have posted */
	nl_ops_drop_swaps(sv);
	free_dead(mv);
	while ((j = mv->jobs)) {
		mv->jobs = j->next;
		job_free(j);
	}
	sv->mover = NULL;
	pthread_mutex_destroy(&mv->lock);
	pthread_cond_destroy(&mv->cond);
	free(mv);
}
