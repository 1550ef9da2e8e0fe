// SPDX-License-Identifier: Apache-2.0
/*
 * Before an upgrade stops a namespace: does each of its workers get on? All
 * requests would wait for one that hangs in a volume, and for a sync or a copy
 * that takes minutes. Nothing long is begun from here on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "mover.h"
#include "served.h"

#define POLL_NS		100000000	/* counts of steps are looked at */

struct pause;

/* Work that a worker runs when it is done with what it is at. */
struct probe {
	struct work w;
	struct pause *of;
	enum { PROBE_PLAIN, PROBE_VOLUME, PROBE_JOB } kind;
	uint64_t id;
	unsigned int seen;	/* its steps at the begin */
	int fd;			/* a volume's root, or -1 */
	bool back;		/* under sv->lock */
	char what[400];
};

/* Called in the namespace thread again and again; each probe has a reference. */
struct pause {
	struct job j;
	struct probe *probe;
	size_t nr;
	bool ready;
	char why[VOLUME_WHY];
};

static void pause_release(struct job *j)
{
	struct pause *p = container_of(j, struct pause, j);

	for (size_t i = 0; i < p->nr; i++)
		if (p->probe[i].fd >= 0)
			close(p->probe[i].fd);
	free(p->probe);
}

/* worker; where the volume is frozen or dead it ends with that */
static void probe_run(struct work *w)
{
	struct probe *b = container_of(w, struct probe, w);
	struct served *sv = b->of->j.sv;

	if (b->fd >= 0 && !futimens(b->fd, NULL))
		fsync(b->fd);
	pthread_mutex_lock(&sv->lock);
	b->back = true;
	pthread_cond_broadcast(&sv->changed);
	pthread_mutex_unlock(&sv->lock);
	job_put(&b->of->j);
}

static void probe_send(struct pause *p, struct worker *to, struct probe b)
{
	struct probe *out = &p->probe[p->nr];

	if (!to->started)
		return;
	*out = b;
	out->w.run = probe_run;
	out->of = p;
	p->nr++;
	atomic_fetch_add(&p->j.refs, 1);
	if (work_post(&to->q, &out->w))
		return;
	out->back = true;
	job_put(&p->j);
}

static void probe_volume(struct pause *p, struct volume *v)
{
	struct probe b = {
		.kind = PROBE_VOLUME, .id = v->rec.id, .fd = -1,
		.seen = atomic_load(&v->pool_steps),
	};

	snprintf(b.what, sizeof(b.what), "volume %s does not answer: is its "
		 "file system frozen, or does its drive fail? Thaw or check "
		 "it (%.200s), then try again", v->rec.name, v->rec.path);
	if (volume_here(v) && volume_writable(v) && !health_worker(v))
		b.fd = fcntl(v->root_fd, F_DUPFD_CLOEXEC, 0);
	probe_send(p, &v->worker, b);
}

static void probe_job(struct pause *p, struct mover_job *j)
{
	struct probe b = {
		.kind = PROBE_JOB, .id = j->rec.id, .fd = -1,
		.seen = atomic_load(&j->copy.steps),
	};

	snprintf(b.what, sizeof(b.what), "job %llu waits for a volume that "
		 "does not answer: see orchctl volume list, then try again",
		 (unsigned long long)j->rec.id);
	probe_send(p, &j->worker, b);
}

static int pause_begin(struct served *sv, struct pause *p)
{
	struct mover_job *j;
	struct volume *v;
	size_t max = 3;

	for (v = sv->volumes; v; v = v->next)
		max++;
	for (j = sv->mover ? sv->mover->jobs : NULL; j; j = j->next)
		max++;
	p->probe = calloc(max, sizeof(*p->probe));
	if (!p->probe)
		return -ENOMEM;
	sv->pausing = true;
	atomic_store(&sv->exporter.stopped, true);
	for (v = sv->volumes; v; v = v->next)
		probe_volume(p, v);
	probe_send(p, &sv->flusher.worker, (struct probe){ .fd = -1,
		   .what = "volumes are being written back for a sync: try "
			   "again when it has ended" });
	for (j = sv->mover ? sv->mover->jobs : NULL; j; j = j->next)
		probe_job(p, j);
	probe_send(p, &sv->deleter.worker, (struct probe){ .fd = -1,
		   .what = "the removal of files takes long: try again when "
			   "orchctl status counts no deletions" });
	probe_send(p, &sv->exporter.worker, (struct probe){ .fd = -1,
		   .what = "the names are being written to the volumes, which "
			   "takes long: try again later" });
	return 0;
}

/* What takes long but gets on ends soon when it is told to. */
static bool probe_moves(struct served *sv, const struct probe *b)
{
	struct mover_job *j;
	struct volume *v;

	switch (b->kind) {
	case PROBE_VOLUME:
		v = served_volume(sv, (uint32_t)b->id);
		return !v || atomic_load(&v->pool_steps) != b->seen;
	case PROBE_JOB:
		j = mover_find(sv, b->id);
		return !j || atomic_load(&j->copy.steps) != b->seen;
	default:
		return false;
	}
}

/* The next daemon would have to begin it again, before it serves anybody. */
static bool sweep_under_way(struct served *sv, char *why)
{
	struct volume *v;

	for (v = sv->volumes; v; v = v->next) {
		if (!v->settling)
			continue;
		snprintf(why, VOLUME_WHY, "volume %s is being compared with "
			 "the store: try again when orchd's log says that it "
			 "is back", v->rec.name);
		return true;
	}
	return false;
}

static int pause_run(struct served *sv, struct job *job)
{
	struct pause *p = container_of(job, struct pause, j);
	int rc = p->probe ? 0 : pause_begin(sv, p);

	p->ready = !sweep_under_way(sv, p->why);
	for (size_t i = 0; i < p->nr && p->ready; i++) {
		const struct probe *b = &p->probe[i];
		bool back;

		pthread_mutex_lock(&sv->lock);
		back = b->back;
		pthread_mutex_unlock(&sv->lock);
		if (back || probe_moves(sv, b))
			continue;
		p->ready = false;
		strcpy(p->why, b->what);
	}
	return rc;
}

static void pause_wait(struct served *sv)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += POLL_NS;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&sv->lock);
	pthread_cond_timedwait(&sv->changed, &sv->lock, &t);
	pthread_mutex_unlock(&sv->lock);
}

int served_pause(struct served *sv, uint64_t end, char *why, size_t len)
{
	struct pause *p = job_new(sizeof(*p), pause_run);
	uint64_t now;
	int rc;

	if (!p)
		return -ENOMEM;
	p->j.release = pause_release;
	for (;;) {
		now = now_ms();
		p->j.done = false;
		rc = served_call(sv, &p->j, now < end ? (int)(end - now) +
				 1000 : 1000);
		if (rc || p->ready || now >= end)
			break;
		pause_wait(sv);
	}
	if (rc == -ETIMEDOUT)
		snprintf(why, len, "namespace %s does not answer: see orchctl "
			 "volume list, then try again", sv->name);
	else if (rc && rc != -ESHUTDOWN)
		snprintf(why, len, "%s", strerror(-rc));
	else if (!rc && !p->ready)
		snprintf(why, len, "%s", p->why);
	if (rc == -ESHUTDOWN)
		rc = 0;			/* nothing to stop there */
	else if (!rc && !p->ready)
		rc = -EBUSY;
	job_put(&p->j);
	return rc;
}

static int resume_run(struct served *sv, struct job *job)
{
	(void)job;
	sv->pausing = false;
	atomic_store(&sv->exporter.stopped, false);
	flush_kick(sv);
	mover_kick(sv);
	return 0;
}

void served_resume(struct served *sv)
{
	struct job *j = job_new(sizeof(*j), resume_run);

	if (!j)
		abort();
	served_call(sv, j, 1000);	/* late it is run as well */
	job_put(j);
}
