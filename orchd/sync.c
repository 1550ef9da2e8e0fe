// SPDX-License-Identifier: Apache-2.0
/*
 * The sync thread: group commit. While a barrier runs, later requests for one
 * gather and share the next. A second after a commit a barrier is made in any
 * case.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "exec.h"
#include "fault.h"
#include "home.h"
#include "log.h"
#include "served.h"

#define SYNC_INTERVAL_MS	1000

void sync_fatal(struct served *sv, int rc)
{
	log_err(sv->name, "the store %s cannot be made durable: %s. orchd "
		"stops; check the drive, then start it again", sv->dir,
		strerror(-rc));
	_exit(1);
}

static void sync_deadline(struct timespec *t)
{
	clock_gettime(CLOCK_MONOTONIC, t);
	t->tv_sec += SYNC_INTERVAL_MS / 1000;
}

/*
 * Return false to stop. Called and returns with the lock held. What counts is
 * what those who wait were told: another thread's barrier tells nobody.
 */
static bool sync_sleep(struct syncer *s)
{
	struct timespec end;
	bool timed = false;

	while (!s->stop && s->want <= s->told) {
		if (!atomic_load(&s->dirty)) {
			timed = false;
			pthread_cond_wait(&s->wake, &s->lock);
			continue;
		}
		if (!timed)
			sync_deadline(&end);
		timed = true;
		if (pthread_cond_timedwait(&s->wake, &s->lock, &end) ==
		    ETIMEDOUT)
			break;
	}
	return !s->stop;
}

static void *sync_main(void *arg)
{
	struct served *sv = arg;
	struct syncer *s = &sv->sync;
	int rc;

	pthread_mutex_lock(&s->lock);
	while (sync_sleep(s)) {
		/* before the barrier: what comes during it counts anew */
		atomic_store(&s->dirty, false);
		pthread_mutex_unlock(&s->lock);
		rc = fault_hit("fail-barrier") ? -EIO :
						  store_barrier(sv->st);
		if (rc < 0)
			sync_fatal(sv, rc);
		if (!atomic_exchange(&s->posted, true) &&
		    !work_post(&sv->queue, &s->durable_work))
			atomic_store(&s->posted, false);
		pthread_mutex_lock(&s->lock);
		s->told = store_durable(sv->st);
		pthread_cond_broadcast(&s->done);
	}
	pthread_cond_broadcast(&s->done);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void sync_durable(struct work *w)
{
	struct syncer *s = container_of(w, struct syncer, durable_work);
	struct served *sv = container_of(s, struct served, sync);

	atomic_store(&s->posted, false);
	if (!sv->ns)
		return;
	sessions_durable(sv);
	homes_durable(sv);
	answer_run(sv);
	deleter_kick(sv);
	deleter_marks(sv, false);
}

int sync_start(struct served *sv)
{
	struct syncer *s = &sv->sync;
	pthread_condattr_t a;
	int rc;

	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, &a);
	pthread_cond_init(&s->done, &a);
	pthread_condattr_destroy(&a);
	s->durable_work.run = sync_durable;
	s->stop = false;
	s->told = store_durable(sv->st);
	rc = thread_start(&s->thread, "orchd-sync", sync_main, sv);
	s->started = !rc;
	return rc;
}

void sync_stop(struct served *sv)
{
	struct syncer *s = &sv->sync;

	if (!s->started)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	s->started = false;
}

void sync_request(struct served *sv, uint64_t txn)
{
	struct syncer *s = &sv->sync;

	pthread_mutex_lock(&s->lock);
	if (txn > s->want) {
		s->want = txn;
		pthread_cond_signal(&s->wake);
	}
	pthread_mutex_unlock(&s->lock);
}

void sync_dirty(struct served *sv)
{
	struct syncer *s = &sv->sync;

	if (atomic_exchange(&s->dirty, true))
		return;
	pthread_mutex_lock(&s->lock);
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

int sync_wait(struct served *sv, uint64_t txn)
{
	struct syncer *s = &sv->sync;
	int rc = 0;

	sync_request(sv, txn);
	pthread_mutex_lock(&s->lock);
	while (!s->stop && store_durable(sv->st) < txn)
		pthread_cond_wait(&s->done, &s->lock);
	if (s->stop)
		rc = -ESHUTDOWN;
	pthread_mutex_unlock(&s->lock);
	return rc;
}
