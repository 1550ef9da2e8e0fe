// SPDX-License-Identifier: Apache-2.0
/*
 * Between links and the namespace thread: what comes is posted to its queue,
 * what it sends to the queue of orchd-peer, each in order.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer_impl.h"

/* --- links up and down --- */

struct peer_event {
	struct work w;
	struct peer *p;
	uint32_t node;
	uint64_t link;
	char why[PEER_WHY];
};

static struct peer_event *event_new(struct peer *p, const struct peer_conn *c)
{
	struct peer_event *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	atomic_fetch_add(&p->refs, 1);
	e->p = p;
	e->node = c->node;
	e->link = c->id;
	return e;
}

static void event_free(struct peer_event *e)
{
	if (e)
		peer_put(e->p);
	free(e);
}

static void event_post(struct peer_event *e, void (*run)(struct work *w))
{
	e->w.run = run;
	if (!work_post(&e->p->sv->queue, &e->w))
		event_free(e);
}

static void up_run(struct work *w)
{
	struct peer_event *e = container_of(w, struct peer_event, w);

	if (!e->p->stopped)
		e->p->handler->up(e->p->sv, e->node, e->link);
	event_free(e);
}

static void down_run(struct work *w)
{
	struct peer_event *e = container_of(w, struct peer_event, w);

	if (!e->p->stopped)
		e->p->handler->down(e->p->sv, e->node, e->link, e->why);
	event_free(e);
}

bool peer_ns_up(struct peer *p, struct peer_conn *c)
{
	struct peer_event *e;

	if (!p->handler)
		return true;
	e = event_new(p, c);
	c->down = e ? event_new(p, c) : NULL;
	if (!c->down) {
		event_free(e);
		return false;
	}
	event_post(e, up_run);
	return true;
}

void peer_ns_down(struct peer *p, struct peer_conn *c, int rc)
{
	struct peer_event *e = c->down;

	(void)p;
	if (!e)
		return;
	c->down = NULL;
	snprintf(e->why, sizeof(e->why), "%s", *c->why ? c->why :
		 strerror(-rc));
	event_post(e, down_run);
}

/* --- requests --- */

static void request_free(struct peer_request *r)
{
	frame_free(r->f);
	free(r->buf);
	peer_put(r->p);
	free(r);
}

static void request_run(struct work *w)
{
	struct peer_request *r = container_of(w, struct peer_request, w);

	if (r->p->stopped)
		request_free(r);
	else
		r->p->handler->request(r->p->sv, r);
}

static bool is_ns(const struct peer *p, const struct peer_conn *c, int body)
{
	if (!p->handler || !c->node)
		return false;
	if (p->cl->agent)
		return body == PEER_BODY(INVALIDATE) ||
		       (body >= PEER_BODY(LOCK_RECALL) &&
			body <= PEER_BODY(COPY_WATCH));
	return (body >= PEER_BODY(OP) && body <= PEER_BODY(NOTES)) ||
	       body == PEER_BODY(LOCKS) || body == PEER_BODY(LOCK_HELD) ||
	       (body >= PEER_BODY(VOLUME_STATES) &&
		body <= PEER_BODY(CONTROL));
}

bool peer_ns_takes(struct peer *p, struct peer_conn *c, peer_frame *f,
		   size_t size)
{
	struct peer_request *r;

	if (!is_ns(p, c, (int)f->body_case))
		return false;
	r = calloc(1, sizeof(*r));
	if (!r) {	/* who asked has a deadline */
		frame_free(f);
		return true;
	}
	atomic_fetch_add(&p->refs, 1);
	r->p = p;
	r->node = c->node;
	r->link = c->id;
	r->f = f;
	r->id = f->id;
	r->size = size;
	r->w.run = request_run;
	if (!work_post(&p->sv->queue, &r->w))
		request_free(r);
	return true;
}

static void reply_run(struct work *w)
{
	struct peer_request *r = container_of(w, struct peer_request, w);
	struct peer_conn *c = peer_find(&r->p->set, r->link);

	if (c && !r->buf)
		peer_end(c, -EIO, "a request can't be answered");
	else if (c)
		peer_answer_packed(&r->p->set, r->link, r->size, r->buf,
				   r->len);
	else
		free(r->buf);
	r->buf = NULL;
	request_free(r);
}

void peer_reply(struct peer_request *r, peer_frame *f)
{
	if (f) {
		f->id = r->id;
		r->buf = frame_pack(f, &r->len);
	}
	if (r->buf && r->len > PEER_FRAME_MAX + 4) {
		free(r->buf);
		r->buf = NULL;
		peer_fail(r, -EMSGSIZE, "the answer is too long");
		return;
	}
	frame_free(r->f);
	r->f = NULL;
	r->w.run = reply_run;
	if (!work_post(&r->p->queue, &r->w))
		request_free(r);
}

void peer_fail(struct peer_request *r, int rc, const char *why)
{
	Orchfs__Peer__Failure m = ORCHFS__PEER__FAILURE__INIT;
	peer_frame f = PEER_FRAME_INIT(FAILURE);

	m.status = rc;
	m.text = (char *)why;
	f.failure = &m;
	peer_reply(r, &f);
}

/* --- questions --- */

static void question_told(struct work *w)
{
	struct peer_question *q = container_of(w, struct peer_question, w);

	q->done(q, q->rc, q->why, q->f);
}

/* In orchd-peer. The namespace thread runs what is posted after its stop. */
static void question_done(struct peer_wait *w, int rc, const char *why,
			  peer_frame *f)
{
	struct peer_question *q = container_of(w, struct peer_question, wait);

	q->rc = rc;
	q->f = f;
	snprintf(q->why, sizeof(q->why), "%s", why);
	q->w.run = question_told;
	work_post(&q->p->sv->queue, &q->w);
}

static void question_run(struct work *w)
{
	struct peer_question *q = container_of(w, struct peer_question, w);
	struct peer_conn *c = peer_find(&q->p->set, q->link);
	int rc = -ENOTCONN;

	q->wait.done = question_done;
	q->wait.failure = false;
	if (c)
		rc = peer_ask_packed(c, q->buf, q->len, q->ms, &q->wait);
	else
		free(q->buf);
	if (rc < 0)
		question_done(&q->wait, rc, "the link is down", NULL);
}

int peer_send(struct peer *p, uint64_t link, peer_frame *f, uint32_t ms,
	      struct peer_question *q)
{
	f->wait_ms = ms;
	q->buf = frame_pack(f, &q->len);
	if (!q->buf)
		return -ENOMEM;
	if (q->len + 16 > PEER_FRAME_MAX) {
		free(q->buf);
		return -EMSGSIZE;
	}
	q->p = p;
	q->link = link;
	q->ms = ms;
	q->w.run = question_run;
	if (work_post(&p->queue, &q->w))
		return 0;
	free(q->buf);
	return -ESHUTDOWN;
}

struct drop {
	struct work w;
	struct peer *p;
	uint64_t link;
	int rc;
	char why[PEER_WHY];
};

static void drop_run(struct work *w)
{
	struct drop *d = container_of(w, struct drop, w);
	struct peer_conn *c = peer_find(&d->p->set, d->link);

	if (c)
		peer_end(c, d->rc, d->why);
	free(d);
}

int peer_drop(struct peer *p, uint64_t link, int rc, const char *why)
{
	struct drop *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->p = p;
	d->link = link;
	d->rc = rc;
	snprintf(d->why, sizeof(d->why), "%s", why);
	d->w.run = drop_run;
	if (!work_post(&p->queue, &d->w))
		free(d);
	return 0;
}
