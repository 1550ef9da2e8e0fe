/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work between threads. A queue belongs to one thread, which runs what others
 * post; its eventfd joins the owner's event loop. A worker is a thread with a
 * queue and nothing else.
 */
#ifndef ORCHD_WORK_H
#define ORCHD_WORK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct work {
	struct work *next;
	void (*run)(struct work *w);	/* may free or post the work again */
};

struct work_queue {
	int efd;
	pthread_mutex_t lock;		/* the rest */
	struct work *head, **tail;
	uint64_t posted, begun;		/* so many ever */
	bool closed;
};

int work_queue_init(struct work_queue *q);
void work_queue_destroy(struct work_queue *q);
/** work_post() - false when the queue is closed; the work is the caller's. */
bool work_post(struct work_queue *q, struct work *w);
/** work_run() - by the owner: run all posted so far. Work may call it, too. */
void work_run(struct work_queue *q);
/** work_close() - by the owner: refuse more; what was posted still runs. */
void work_close(struct work_queue *q);

struct worker {
	struct work_queue q;
	pthread_t thread;
	bool started;
};

int worker_start(struct worker *w, const char *name);
/** worker_stop() - runs what was posted, then joins. Accepts one not started. */
void worker_stop(struct worker *w);

/** thread_start() - signals blocked, named, small stack. */
int thread_start(pthread_t *t, const char *name, void *(*fn)(void *),
		 void *arg);

#define container_of(p, type, member) \
	((type *)((char *)(p) - offsetof(type, member)))

#endif
