// SPDX-License-Identifier: Apache-2.0
/* Jobs: how they begin, end, are given up and found again. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "log.h"
#include "mover.h"

static void now_time(struct orchfs_time *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	t->sec = ts.tv_sec;
	t->nsec = (uint32_t)ts.tv_nsec;
}

void job_begins(struct ns_job *rec)
{
	now_time(&rec->started);
}

void mover_changed(struct served *sv)
{
	pthread_mutex_lock(&sv->lock);
	sv->mover_news = ++sv->mover_changes;
	pthread_cond_broadcast(&sv->changed);
	pthread_mutex_unlock(&sv->lock);
}

void mover_stepped(struct served *sv)
{
	pthread_mutex_lock(&sv->lock);
	sv->mover_changes++;
	pthread_mutex_unlock(&sv->lock);
}

struct mover_job *mover_find(struct served *sv, uint64_t id)
{
	struct mover_job *j = sv->mover ? sv->mover->jobs : NULL;

	while (j && j->rec.id != id)
		j = j->next;
	return j;
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
	copy_stop(&j->sv->mover->pace, &j->copy.stop);
}

void job_unwind(struct mover_job *j, enum ns_job_state end)
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
	copy_batch_end(&j->copy);
	far_free(j);
	free(j);
}

/* How its drain ended is what there is to say of a volume without new files. */
static bool job_tells(struct served *sv, const struct mover_job *j)
{
	const struct volume *v;

	if (!j->rec.drain || mover_drain_of(sv, j->rec.volume) != j)
		return false;
	v = served_volume(sv, j->rec.volume);
	return v && v->rec.draining;
}

void jobs_prune(struct served *sv)
{
	struct mover_job *j, **p = &sv->mover->jobs;
	unsigned int ended = 0;

	for (j = sv->mover->jobs; j; j = j->next)
		ended += j->phase == JOB_ENDED;
	while ((j = *p) && ended > MOVER_KEPT) {
		if (j->phase != JOB_ENDED || job_tells(sv, j) ||
		    ns_job_del(sv->ns, j->rec.id)) {
			p = &j->next;
			continue;
		}
		*p = j->next;
		job_free(j);
		ended--;
	}
}

void job_end(struct mover_job *j, enum ns_job_state state)
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

struct mover_job *job_add(struct served *sv, const struct ns_job *rec)
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
	if (v->rec.draining) {
		snprintf(why, VOLUME_WHY, "volume %s is being drained; orchctl "
			 "volume drain %s --cancel takes that back",
			 v->rec.name, v->rec.name);
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
	job_begins(&rec);
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
	struct volume *v;
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
	v = rec.drain ? served_volume(sv, rec.volume) : NULL;
	rc = v ? ns_drain_back(sv->ns, rec.volume, &rec) :
		 ns_job_put(sv->ns, &rec);
	if (rc)
		return rc;
	if (v)
		v->rec.draining = false;
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
	struct ns_move_entry e = { 0 };
	struct mover_file *f;
	int rc = 0;

	if (m->step == NS_MOVE_COPY) {
		m->text[0] = 0;
		rc = ns_move_abort(j->sv->ns, m, &j->rec);
		if (!rc)
			return 0;
		log_err(j->sv->name, "job %llu: inode %llu: cannot take the "
			"move back: %s; it is tried again",
			(unsigned long long)j->rec.id,
			(unsigned long long)m->ino, strerror(-rc));
	}
	f = file_new(j, m);
	if (f && rc) {
		f->aborting = true;
		file_waits(f);
		return 0;
	}
	if (f)
		rc = ns_move_park(j->sv->ns, m);
	if (!f || rc) {
		free(f);
		return -ENOMEM;
	}
	if (!ns_move_stat(j->sv->ns, m->ino, &e))
		f->size = e.size;
	j->moved_before++;
	j->files++;
	j->total += f->size;
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
	j->files += j->rec.moved;
	j->total += j->rec.bytes;
	rc = ns_move_stat(j->sv->ns, j->rec.ino, &e);
	j->single = !rc && S_ISREG(e.mode);
	if (!rc || rc == -ENOENT)
		rc = ns_job_moves(j->sv->ns, j->rec.id, SIZE_MAX, load_move,
				  &l);
	/* a record that is damaged is no reason to serve nothing */
	if (rc && rc != -ENOMEM) {
		job_fail(j, "its records cannot be read: %s: run orchctl fsck",
			 strerror(-rc));
		log_err(j->sv->name, "job %llu: %s",
			(unsigned long long)j->rec.id, j->rec.text);
		rc = 0;
	}
	for (size_t i = 0; i < l.nr && !rc; i++)
		rc = resume_one(j, &l.m[i]);
	free(l.m);
	if (!rc && j->phase != JOB_UNWIND)
		log_info(j->sv->name, "job %llu goes on",
			 (unsigned long long)j->rec.id);
	return rc;
}

int mover_start(struct served *sv)
{
	struct mover *mv = calloc(1, sizeof(*mv));
	struct mover_job *j;
	int rc;

	if (!mv)
		return -ENOMEM;
	mv->sv = sv;
	copy_pace_init(&mv->pace);
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
	swaps_drop(sv);
	mover_free_dead(mv);
	while ((j = mv->jobs)) {
		mv->jobs = j->next;
		job_free(j);
	}
	sv->mover = NULL;
	copy_pace_destroy(&mv->pace);
	free(mv);
}
