// SPDX-License-Identifier: Apache-2.0
/* orchctl move, volume drain and jobs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "arena.h"
#include "ctl.h"
#include "mover.h"

#define FILES_MAX	1000
#define FILES_BYTES	(CTL_FRAME_MAX / 2)	/* of their names and texts */
#define WAIT_MAX_MS	60000
#define LOOK_MS		200

struct move_job {
	struct job j;
	struct ctl_call *c;
	struct ns_job want;
	const char *volume;
	uint64_t id;
	bool files, back;
};

static int run(struct ctl_call *c, struct served *sv, struct move_job *m,
	       int (*fn)(struct served *, struct job *))
{
	m->c = c;
	m->j.fn = fn;
	m->j.done = false;
	return served_call(sv, &m->j, 0);
}

static const char *job_state(const struct mover_job *j)
{
	if (j->phase == JOB_QUEUED)
		return "queued";
	if (j->phase != JOB_ENDED)
		return j->text[0] && !j->nr ? "waiting" : "running";
	return j->rec.state == NS_JOB_DONE ? "done" :
	       j->rec.state == NS_JOB_FAILED ? "failed" : "cancelled";
}

static const char *job_step(const struct mover_job *j)
{
	if (j->phase == JOB_ENDED)
		return job_state(j);
	if (j->copying && atomic_load(&j->copy.verifying))
		return move_states[MOVE_VERIFY].name;
	if (j->nr)
		return move_states[j->batch[0]->sm.state].name;
	return move_states[j->waiting ? MOVE_SWITCH : MOVE_PLAN].name;
}

/* Why it failed, or what it waits for. */
static const char *job_text(struct ctl_call *c, const struct mover_job *j)
{
	char text[64];

	if (j->phase != JOB_QUEUED || jobs_running(j->sv) < MOVER_RUNNING)
		return j->rec.text[0] ? j->rec.text : j->text;
	snprintf(text, sizeof(text), "waits for its turn: %d jobs run at a "
		 "time", MOVER_RUNNING);
	return ctl_strdup(c, text);
}

static Orchfs__Control__JobInfo *job_info(struct ctl_call *c,
					  struct mover_job *j)
{
	Orchfs__Control__JobInfo *i = arena_zalloc(c->a, sizeof(*i));
	struct volume *v = served_volume(j->sv, j->rec.volume);

	if (!i)
		return NULL;
	orchfs__control__job_info__init(i);
	i->id = j->rec.id;
	i->ino = j->rec.ino;
	i->label = ctl_strdup(c, j->rec.label);
	i->volume = ctl_strdup(c, v ? v->rec.name : "(gone)");
	i->state = ctl_strdup(c, job_state(j));
	i->step = ctl_strdup(c, job_step(j));
	i->text = ctl_strdup(c, job_text(c, j));
	i->files = j->files;
	i->total = j->total;
	i->moved = j->rec.moved;
	i->bytes = j->rec.bytes;
	i->reading = atomic_load(&j->copy.reading);
	i->there = j->rec.there;
	i->skipped = j->left;
	i->waiting = j->nr_waiting;
	i->rate = j->rec.rate;
	i->started = j->rec.started.sec;
	i->ended = j->rec.ended.sec;
	i->cancel = j->rec.cancel;
	i->drain = j->rec.drain;
	return i;
}

struct files {
	struct ctl_call *c;
	struct served *sv;
	Orchfs__Control__JobInfo *i;
	struct ns_move *m;
	size_t nr, max;
};

static int collect(void *ctx, const struct ns_move *m)
{
	struct files *f = ctx;

	if (f->nr == f->max) {
		size_t max = f->max * 2 + 32;
		void *p = realloc(f->m, max * sizeof(*f->m));

		if (!p)
			return -ENOMEM;
		f->m = p;
		f->max = max;
	}
	f->m[f->nr++] = *m;
	return 0;
}

static Orchfs__Control__JobFile *one_file(struct files *f,
					  const struct ns_move *m)
{
	static const char *const steps[] = { "copy", "switch", "left" };
	Orchfs__Control__JobFile *o = arena_zalloc(f->c->a, sizeof(*o));
	char **paths = NULL;
	size_t nr = 0;

	if (!o)
		return NULL;
	orchfs__control__job_file__init(o);
	o->ino = m->ino;
	o->state = ctl_strdup(f->c, steps[m->step]);
	o->text = ctl_strdup(f->c, m->text);
	o->path = ctl_strdup(f->c, "");
	if (!ns_paths(f->sv->ns, m->ino, &paths, &nr, 1)) {
		if (nr)
			o->path = ctl_strdup(f->c, paths[0]);
		for (size_t i = 0; i < nr; i++)
			free(paths[i]);
		free(paths);
	}
	return o;
}

/* Only as many as fit into an answer; a path that doesn't alone isn't told. */
static bool fits(Orchfs__Control__JobFile *o, size_t *bytes)
{
	const size_t base = 64 + strlen(o->text);

	if (base + strlen(o->path) > FILES_BYTES)
		*o->path = 0;
	*bytes += base + strlen(o->path);
	return *bytes <= FILES_BYTES;
}

static int job_files(struct files *f, uint64_t id)
{
	int rc = ns_job_moves(f->sv->ns, id, FILES_MAX, collect, f);
	size_t bytes = 0;

	if (!rc)
		f->i->file = arena_zalloc(f->c->a, (f->nr + 1) *
					  sizeof(*f->i->file));
	for (size_t i = 0; !rc && f->i->file && i < f->nr; i++) {
		Orchfs__Control__JobFile *o = one_file(f, &f->m[i]);

		if (o && !fits(o, &bytes))
			break;
		if (o)
			f->i->file[f->i->n_file++] = o;
	}
	free(f->m);
	return rc;
}

static int get_run(struct served *sv, struct job *job)
{
	struct move_job *m = container_of(job, struct move_job, j);
	struct mover_job *j = mover_find(sv, m->id);
	struct files f = { .c = m->c, .sv = sv };

	if (!j) {
		snprintf(m->c->message, VOLUME_WHY, "there is no job %llu: "
			 "orchctl jobs list shows those there are",
			 (unsigned long long)m->id);
		return -ENOENT;
	}
	f.i = m->c->resp.job = job_info(m->c, j);
	if (!f.i)
		return -ENOMEM;
	return m->files ? job_files(&f, m->id) : 0;
}

static int list_run(struct served *sv, struct job *job)
{
	struct move_job *m = container_of(job, struct move_job, j);
	Orchfs__Control__JobList *l = arena_zalloc(m->c->a, sizeof(*l));
	struct mover_job *j = sv->mover->jobs;
	size_t nr = 0;

	for (; j; j = j->next)
		nr++;
	if (!l)
		return -ENOMEM;
	orchfs__control__job_list__init(l);
	l->job = arena_zalloc(m->c->a, (nr + 1) * sizeof(*l->job));
	for (j = sv->mover->jobs; j && l->job; j = j->next) {
		l->job[l->n_job] = job_info(m->c, j);
		if (l->job[l->n_job])
			l->n_job++;
	}
	m->c->resp.jobs = l;
	return 0;
}

static struct volume *find_volume(struct served *sv, struct move_job *m)
{
	struct volume *v = sv->volumes;

	while (v && strcmp(v->rec.name, m->volume))
		v = v->next;
	if (!v)
		snprintf(m->c->message, VOLUME_WHY, "there is no volume %.64s: "
			 "orchctl volume list shows those there are",
			 m->volume);
	return v;
}

static int new_run(struct served *sv, struct job *job)
{
	struct move_job *m = container_of(job, struct move_job, j);
	struct volume *v = find_volume(sv, m);
	int rc;

	if (!v)
		return -ENOENT;
	m->want.volume = v->rec.id;
	rc = mover_new(sv, &m->want, m->c->message, &m->id);
	if (!rc)
		rc = get_run(sv, job);
	return rc;
}

static int drain_run(struct served *sv, struct job *job)
{
	struct move_job *m = container_of(job, struct move_job, j);
	struct volume *v = find_volume(sv, m);
	int rc;

	if (!v)
		return -ENOENT;
	m->want.volume = v->rec.id;
	if (m->back)
		rc = mover_undrain(sv, v, m->c->message, &m->id);
	else
		rc = mover_drain(sv, &m->want, m->c->message, &m->id);
	return rc || !m->id ? rc : get_run(sv, job);
}

static int cancel_run(struct served *sv, struct job *job)
{
	struct move_job *m = container_of(job, struct move_job, j);
	int rc = mover_cancel(sv, m->id, m->c->message);

	return rc ? rc : get_run(sv, job);
}

/* What a person is told is durable: that it begins, or is given up. */
int ctl_move(struct ctl_call *c)
{
	const Orchfs__Control__Move *q = c->req->move;
	struct move_job *m = job_new(sizeof(*m), NULL);
	struct served *sv;
	int rc;

	if (!m)
		return -ENOMEM;
	m->want.ino = q->ino;
	m->want.rate = q->rate;
	m->volume = q->volume;
	snprintf(m->want.label, sizeof(m->want.label), "%s", q->label);
	rc = ctl_served(c, q->ns, &sv);
	if (!rc) {
		rc = run(c, sv, m, new_run);
		if (!rc)
			rc = sync_wait(sv, atomic_load(&sv->last_txn));
		served_release(sv);
	}
	job_put(&m->j);
	return rc;
}

int ctl_volume_drain(struct ctl_call *c)
{
	const Orchfs__Control__VolumeDrain *q = c->req->volume_drain;
	struct move_job *m = job_new(sizeof(*m), NULL);
	struct served *sv;
	int rc;

	if (!m)
		return -ENOMEM;
	m->want.rate = q->rate;
	m->back = q->back;
	m->volume = q->name;
	snprintf(m->want.label, sizeof(m->want.label), "drain of volume %s",
		 q->name);
	rc = ctl_served(c, q->ns, &sv);
	if (!rc) {
		rc = run(c, sv, m, drain_run);
		if (!rc)
			rc = sync_wait(sv, atomic_load(&sv->last_txn));
		served_release(sv);
	}
	job_put(&m->j);
	return rc;
}

int ctl_job_list(struct ctl_call *c)
{
	struct move_job *m = job_new(sizeof(*m), NULL);
	struct served *sv;
	int rc;

	if (!m)
		return -ENOMEM;
	rc = ctl_served(c, c->req->job_list->name, &sv);
	if (!rc) {
		rc = run(c, sv, m, list_run);
		served_release(sv);
	}
	job_put(&m->j);
	return rc;
}

static void after_ms(struct timespec *t, uint64_t ms)
{
	clock_gettime(CLOCK_MONOTONIC, t);
	t->tv_sec += (time_t)(ms / 1000);
	t->tv_nsec += (long)(ms % 1000) * 1000000;
	if (t->tv_nsec >= 1000000000) {
		t->tv_nsec -= 1000000000;
		t->tv_sec++;
	}
}

/*
 * Steps of files come by the hundred a second: they are told of a few times a
 * second, the rest at once.
 */
static void wait_change(struct served *sv, uint64_t seen, uint32_t ms)
{
	uint64_t now = now_ms(), end = now + ms, look = now + LOOK_MS;
	struct timespec t;

	pthread_mutex_lock(&sv->lock);
	while (now < end && !sv->closing && sv->mover_news <= seen &&
	       (now < look || sv->mover_changes == seen)) {
		after_ms(&t, end - now < LOOK_MS ? end - now : LOOK_MS);
		pthread_cond_timedwait(&sv->changed, &sv->lock, &t);
		now = now_ms();
	}
	pthread_mutex_unlock(&sv->lock);
}

int ctl_job_get(struct ctl_call *c)
{
	const Orchfs__Control__JobRef *q = c->req->job_get;
	struct move_job *m = job_new(sizeof(*m), NULL);
	struct served *sv;
	int rc;

	if (!m)
		return -ENOMEM;
	m->id = q->id;
	m->files = q->files;
	rc = ctl_served(c, q->ns, &sv);
	if (!rc) {
		if (q->wait_ms)
			wait_change(sv, q->seen, q->wait_ms < WAIT_MAX_MS ?
				    q->wait_ms : WAIT_MAX_MS);
		pthread_mutex_lock(&sv->lock);
		c->resp.changes = sv->mover_changes;
		pthread_mutex_unlock(&sv->lock);
		rc = run(c, sv, m, get_run);
		served_release(sv);
	}
	job_put(&m->j);
	return rc;
}

int ctl_job_cancel(struct ctl_call *c)
{
	struct move_job *m = job_new(sizeof(*m), NULL);
	struct served *sv;
	int rc;

	if (!m)
		return -ENOMEM;
	m->id = c->req->job_cancel->id;
	rc = ctl_served(c, c->req->job_cancel->ns, &sv);
	if (!rc) {
		rc = run(c, sv, m, cancel_run);
		if (!rc)
			rc = sync_wait(sv, atomic_load(&sv->last_txn));
		served_release(sv);
	}
	job_put(&m->j);
	return rc;
}
