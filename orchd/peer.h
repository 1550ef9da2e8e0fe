/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that owns a namespace's connections (orchd-peer), and the one
 * that carries out what comes by them (orchd-peerop).
 */
#ifndef ORCHD_PEER_H
#define ORCHD_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peer_conn.h"
#include "peer_frame.h"
#include "work.h"

struct cluster;
struct peer;
struct served;

/* One node's link, as told to people. */
struct peer_link {
	uint32_t node;
	bool up;
	int64_t since;			/* wall clock, s; 0: never was */
	char address[80];
	char why[256];			/* it is not up */
	bool refused;			/* told that it may not */
};

/*
 * A request for the namespace thread: op, attach, handles, ready, renew_lease
 * and notes at the authority, invalidate at an agent.
 */
struct peer_request {
	struct work w;			/* peer_ns.c's, as the last ones */
	struct peer *p;
	uint32_t node;			/* who asks; authenticated */
	uint64_t link;
	peer_frame *f;			/* freed with the request */
	uint64_t id;
	size_t size, len;
	uint8_t *buf;
};

/*
 * What the namespace thread hears of links: cluster.handler, set before
 * peer_start(). Called in that thread, in the order in which it came; never
 * after peer_stop(). A link has a number that is never used again.
 */
struct peer_handler {
	/* an earlier link of that node is down by then */
	void (*up)(struct served *sv, uint32_t node, uint64_t link);
	void (*down)(struct served *sv, uint32_t node, uint64_t link,
		     const char *why);
	/* takes @r: peer_reply() once, now or later, also when it is down */
	void (*request)(struct served *sv, struct peer_request *r);
};

/* What the namespace thread asks a node; a part of what the asker keeps. */
struct peer_question {
	/*
	 * in the namespace thread, once, also after peer_stop(); takes @f,
	 * NULL when @rc < 0: -errno of the node's own failure (wait.failure is
	 * set), -ETIMEDOUT, or the link is down. @q may be freed or used again.
	 */
	void (*done)(struct peer_question *q, int rc, const char *why,
		     peer_frame *f);
	struct work w;			/* the rest is peer_ns.c's */
	struct peer_wait wait;
	struct peer *p;
	uint64_t link;
	uint32_t ms;
	size_t len;
	uint8_t *buf;
	int rc;
	peer_frame *f;
	char why[160];
};

/** peer_start() - listen (authority) or connect (agent). */
int peer_start(struct cluster *cl, struct peer **out);
/** peer_stop() - by the namespace thread */
void peer_stop(struct peer *p);

/*
 * By the namespace thread; both go out in the order of these calls, but for
 * questions that wait: what is sent later may overtake these.
 */

/**
 * peer_send() - ask a node; any number of questions may be under way, those
 * that it doesn't take yet wait. @f is packed here.
 * Return: 0; -ENOMEM, -EMSGSIZE, -ESHUTDOWN: q->done isn't called.
 */
int peer_send(struct peer *p, uint64_t link, peer_frame *f, uint32_t ms,
	      struct peer_question *q);
/**
 * peer_reply() - answer a request, which is gone then. @f is packed here; NULL,
 * or no memory for it: the link is closed.
 */
void peer_reply(struct peer_request *r, peer_frame *f);
/** peer_fail() - the same with a failure */
void peer_fail(struct peer_request *r, int rc, const char *why);
/** peer_drop() - close a link. Return: 0 or -ENOMEM. */
int peer_drop(struct peer *p, uint64_t link, int rc, const char *why);

/**
 * peer_call() - any other thread: ask the authority and wait
 * Return: 0 and *out, to be freed by frame_free(); -errno and a text.
 */
int peer_call(struct peer *p, const peer_frame *f, uint32_t ms,
	      peer_frame **out, char *why, size_t len);
/** peer_recheck() - any thread: close links of nodes that were removed. */
void peer_recheck(struct peer *p);
/** peer_new_tls() - any thread: the node has another certificate. */
int peer_new_tls(struct peer *p);
/** peer_link() - any thread: of a node; of an agent: its only one. */
void peer_link(struct peer *p, uint32_t node, struct peer_link *out);

#endif
