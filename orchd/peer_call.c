// SPDX-License-Identifier: Apache-2.0
/* Requests about the cluster itself: what others ask, and what is asked here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "fault.h"
#include "log.h"
#include "peer_impl.h"

/* --- requests --- */

struct request {
	struct work w;
	struct peer *p;
	uint64_t conn, id, deadline;
	struct cluster_from from;
	peer_frame *f, out;
	size_t size;
	struct arena *a;
	Orchfs__Peer__Failure failure;
	bool recheck;
	char why[VOLUME_WHY];
};

static void request_free(struct request *r)
{
	arena_free(r->a);
	frame_free(r->f);
	free(r);
}

/* In orchd-peer again. */
static void request_done(struct work *w)
{
	struct request *r = container_of(w, struct request, w);
	char why[PEER_WHY];
	struct peer_conn *c = peer_find(&r->p->set, r->conn);

	if (c && r->out.body_case == PEER_BODY(JOINED) &&
	    fault_hit("lose-joined"))
		peer_end(c, -ESHUTDOWN, "fault point lose-joined");
	if (r->f->body_case == PEER_BODY(JOIN) &&
	    r->out.body_case == PEER_BODY(FAILURE)) {
		snprintf(why, sizeof(why), "it does not join: %.480s",
			 r->failure.text);
		peer_log_refused(r->p, r->from.address, why);
	}
	peer_answer(&r->p->set, r->conn, r->id, r->size, &r->out);
	if (r->recheck)
		peer_recheck_now(r->p);
	request_free(r);
}

/* In orchd-peerop. */
static void request_run(struct work *w)
{
	struct request *r = container_of(w, struct request, w);
	int rc = -ETIMEDOUT;

	if (peer_now() < r->deadline)
		rc = cluster_op(r->p->cl, r->a, &r->from, r->f, &r->out,
				&r->recheck, r->why, sizeof(r->why));
	if (rc < 0) {
		orchfs__peer__failure__init(&r->failure);
		r->failure.status = rc;
		r->failure.text = *r->why ? r->why : strerror(-rc);
		r->out.body_case = PEER_BODY(FAILURE);
		r->out.failure = &r->failure;
	}
	r->w.run = request_done;
	if (!work_post(&r->p->queue, &r->w))
		request_free(r);
}

void peer_op(struct peer *p, struct peer_conn *c, peer_frame *f, size_t size)
{
	struct request *r = calloc(1, sizeof(*r));

	if (r)
		r->a = arena_new();
	if (!r || !r->a) {	/* who asked has a deadline */
		free(r);
		frame_free(f);
		return;
	}
	r->p = p;
	r->conn = c->id;
	r->id = f->id;
	r->from.node = c->node;
	r->from.serial = c->serial;
	strcpy(r->from.address, c->address_text);
	r->f = f;
	r->size = size;
	r->deadline = peer_now() + f->wait_ms;
	orchfs__peer__frame__init(&r->out);
	r->w.run = request_run;
	work_post(&r->p->ops.q, &r->w);
}

/* --- calls of other threads --- */

struct call {
	struct work w;
	struct peer_wait wait;
	struct peer *p;
	const peer_frame *f;
	uint32_t ms;
	peer_frame *answer;
	char *why;
	size_t why_len;
	int rc;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
};

static void call_end(struct call *c, int rc)
{
	pthread_mutex_lock(&c->lock);
	c->rc = rc;
	c->done = true;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

static void call_done(struct peer_wait *w, int rc, const char *why,
		      peer_frame *f)
{
	struct call *c = container_of(w, struct call, wait);

	c->answer = f;
	snprintf(c->why, c->why_len, "%s", why);
	call_end(c, rc);
}

static void unreachable(struct call *c)
{
	struct peer_link l;
	char who[256];

	cluster_authority_text(c->p->cl, who, sizeof(who));
	peer_link(c->p, c->p->cl->authority, &l);
	snprintf(c->why, c->why_len, "no connection to the authority, %s%s%s%s",
		 who, *l.why ? ": " : "", l.why, l.refused ? "" :
		 ": see that orchd runs there and can be reached; orchctl "
		 "status tells when it is connected");
}

static void call_run(struct work *w)
{
	struct call *c = container_of(w, struct call, w);
	struct peer_conn *conn = peer_of_node(&c->p->set,
					      c->p->cl->authority);
	peer_frame f = *c->f;
	int rc = -ENOTCONN;

	if (conn)
		rc = peer_ask(conn, &f, c->ms, &c->wait);
	if (!rc)
		return;
	if (rc == -ENOTCONN)
		unreachable(c);
	else
		snprintf(c->why, c->why_len, "the authority was not asked: %s",
			 strerror(-rc));
	call_end(c, rc);
}

int peer_call(struct peer *p, const peer_frame *f, uint32_t ms,
	      peer_frame **out, char *why, size_t len)
{
	struct call c = {
		.w.run = call_run, .wait.done = call_done, .p = p, .f = f,
		.ms = ms, .why = why, .why_len = len,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};

	if (!work_post(&p->queue, &c.w))
		return -ESHUTDOWN;
	/* the peer thread ends each call, by its deadline at the latest */
	pthread_mutex_lock(&c.lock);
	while (!c.done)
		pthread_cond_wait(&c.changed, &c.lock);
	pthread_mutex_unlock(&c.lock);
	if (!c.rc)
		*out = c.answer;
	return c.rc;
}
