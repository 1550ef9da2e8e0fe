/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by peer*.c only. */
#ifndef ORCHD_PEER_IMPL_H
#define ORCHD_PEER_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "cluster.h"
#include "peer.h"
#include "peer_conn.h"

/* A link's, for the namespace thread. */
struct peer_event;

struct peer {
	struct cluster *cl;
	const struct peer_handler *handler;
	struct served *sv;
	atomic_int refs;		/* requests that aren't answered */
	bool stopped;			/* the namespace thread's */
	pthread_t thread;
	struct worker ops;
	struct loop loop;
	struct work_queue queue;
	struct loop_source queue_source, timer_source, listen_source;
	struct peer_set set;
	struct address where;		/* it listens there; len 0: not yet */
	bool listening, stopping;
	struct work stop_work, recheck_work;
	atomic_bool recheck_posted;

	/* an agent's */
	bool dialling;
	uint64_t dial_at, up_at, pause;
	unsigned int turn;

	uint64_t renew_at;
	struct work renew_work;
	bool renewing;

	/* lines of refusals */
	unsigned int log_left;
	uint64_t log_at, log_dropped;

	pthread_mutex_t lock;		/* the rest; a leaf */
	struct peer_link *links;
	size_t nr_links;
};

/* peer.c: in orchd-peer */
void peer_put(struct peer *p);
void peer_log_refused(struct peer *p, const char *address, const char *why);
void peer_recheck_now(struct peer *p);

/* peer_listen.c: in orchd-peer, again and again */
void peer_listen(struct peer *p);
/** peer_listen_beside() - an agent's link is up: where nothing else was said */
void peer_listen_beside(struct peer *p, const struct peer_conn *c);
void peer_renew_tick(struct peer *p);

/* peer_call.c: in orchd-peer; takes @f */
void peer_op(struct peer *p, struct peer_conn *c, peer_frame *f, size_t size);

/* peer_ns.c: in orchd-peer */

/** peer_ns_up() - Return: false without memory; the link can't be used. */
bool peer_ns_up(struct peer *p, struct peer_conn *c);
void peer_ns_down(struct peer *p, struct peer_conn *c, int rc);
/** peer_ns_takes() - is it for the namespace thread? It takes @f then. */
bool peer_ns_takes(struct peer *p, struct peer_conn *c, peer_frame *f,
		   size_t size);

#endif
