// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "work.h"

#define THREAD_STACK	(1024 * 1024)

int work_queue_init(struct work_queue *q)
{
	q->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->efd < 0)
		return -errno;
	pthread_mutex_init(&q->lock, NULL);
	q->head = NULL;
	q->tail = &q->head;
	q->posted = q->begun = 0;
	q->closed = false;
	return 0;
}

void work_queue_destroy(struct work_queue *q)
{
	close(q->efd);
	pthread_mutex_destroy(&q->lock);
}

static void queue_kick(struct work_queue *q)
{
	uint64_t one = 1;

	if (write(q->efd, &one, sizeof(one)) < 0)
		return;		/* the counter is full: it is readable */
}

bool work_post(struct work_queue *q, struct work *w)
{
	bool ok;

	w->next = NULL;
	pthread_mutex_lock(&q->lock);
	ok = !q->closed;
	if (ok) {
		*q->tail = w;
		q->tail = &w->next;
		q->posted++;
	}
	pthread_mutex_unlock(&q->lock);
	if (ok)
		queue_kick(q);
	return ok;
}

/* Taken one by one: work that waits for other work runs it from here. */
static struct work *queue_take(struct work_queue *q, uint64_t end)
{
	struct work *w = NULL;

	pthread_mutex_lock(&q->lock);
	if (q->begun < end) {
		q->begun++;
		w = q->head;
		q->head = w->next;
		if (!q->head)
			q->tail = &q->head;
	}
	pthread_mutex_unlock(&q->lock);
	return w;
}

void work_run(struct work_queue *q)
{
	struct work *w;
	uint64_t n;

	if (read(q->efd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		return;
	pthread_mutex_lock(&q->lock);
	n = q->posted;
	pthread_mutex_unlock(&q->lock);
	while ((w = queue_take(q, n)))
		w->run(w);
}

void work_close(struct work_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closed = true;
	pthread_mutex_unlock(&q->lock);
	queue_kick(q);
}

static bool queue_ended(struct work_queue *q)
{
	bool ended;

	pthread_mutex_lock(&q->lock);
	ended = q->closed && !q->head;
	pthread_mutex_unlock(&q->lock);
	return ended;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct pollfd p = { .fd = w->q.efd, .events = POLLIN };

	while (!queue_ended(&w->q)) {
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			break;
		work_run(&w->q);
	}
	return NULL;
}

int worker_start(struct worker *w, const char *name)
{
	int rc;

	rc = work_queue_init(&w->q);
	if (rc < 0)
		return rc;
	rc = thread_start(&w->thread, name, worker_main, w);
	if (rc < 0) {
		work_queue_destroy(&w->q);
		return rc;
	}
	w->started = true;
	return 0;
}

void worker_stop(struct worker *w)
{
	if (!w->started)
		return;
	work_close(&w->q);
	pthread_join(w->thread, NULL);
	work_queue_destroy(&w->q);
	w->started = false;
}

int thread_start(pthread_t *t, const char *name, void *(*fn)(void *),
		 void *arg)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int rc;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	/* signals are the main thread's, which reads them from a descriptor */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(t, &attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (rc)
		return -rc;
	pthread_setname_np(*t, name);
	return 0;
}
