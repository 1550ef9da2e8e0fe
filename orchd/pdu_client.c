// SPDX-License-Identifier: Apache-2.0
/*
 * One thread has a client for itself. Requests and replies are sent and
 * received as a whole; the socket doesn't block, so each wait has its end.
 */
#include "pdu_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pdu.h"

#include "data_impl.h"
#include "peer_conn.h"

#define TURN_MS		100	/* so soon it hears that it is to stop */
#define ALIGN		4096

/* A READ that is under way, or has been answered. */
struct slot {
	char *buf;		/* of ORCHFS_PDU_DATA_MAX */
	uint32_t tag;
	off_t at;
	size_t want, got;
	int rc;
	bool done;
};

struct pdu_client {
	int fd;
	struct pdu_dial d;
	bool broken;
	uint32_t tag;
	uint64_t handle;
	uint32_t max_data, max_requests;
	struct slot slot[PDU_WINDOW];	/* a ring, in order of offsets */
	unsigned int first, nr;
};

static int broken(struct pdu_client *c, int rc)
{
	c->broken = true;
	return rc;
}

bool pdu_client_broken(const struct pdu_client *c)
{
	return c->broken;
}

static bool stopped(const struct pdu_dial *d)
{
	return d->stopped && d->stopped(d->ctx);
}

/* --- bytes --- */

static int wait_for(struct pdu_client *c, short events, uint64_t end)
{
	struct pollfd p = { .fd = c->fd, .events = events };
	int n;

	for (;;) {
		if (stopped(&c->d))
			return broken(c, -ECANCELED);
		if (peer_now() >= end)
			return broken(c, -ETIMEDOUT);
		n = poll(&p, 1, TURN_MS);
		if (n < 0 && errno != EINTR)
			return broken(c, -errno);
		if (n > 0)
			return 0;
	}
}

static int send_all(struct pdu_client *c, const void *buf, size_t len)
{
	const uint64_t end = peer_now() + PDU_WAIT_MS;
	const char *p = buf;

	while (len) {
		ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		int rc = 0;

		if (n < 0 && errno == EAGAIN)
			rc = wait_for(c, POLLOUT, end);
		else if (n < 0 && errno != EINTR)
			return broken(c, -ECONNRESET);
		if (rc < 0)
			return rc;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* A server that sends something each half minute is alive. */
static int receive_all(struct pdu_client *c, void *buf, size_t len)
{
	uint64_t end = peer_now() + PDU_WAIT_MS;
	char *p = buf;

	while (len) {
		ssize_t n = recv(c->fd, p, len, MSG_DONTWAIT);
		int rc = 0;

		if (n < 0 && errno == EAGAIN)
			rc = wait_for(c, POLLIN, end);
		else if (!n || (n < 0 && errno != EINTR))
			return broken(c, -ECONNRESET);
		if (rc < 0)
			return rc;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			end = peer_now() + PDU_WAIT_MS;
		}
	}
	return 0;
}

/* --- requests --- */

static int request(struct pdu_client *c, struct orchfs_pdu *p,
		   const void *data)
{
	char head[ORCHFS_PDU_LEN];
	int rc;

	p->tag = ++c->tag;
	orchfs_pdu_encode(p, head);
	rc = send_all(c, head, sizeof(head));
	return rc || !p->data_len ? rc : send_all(c, data, p->data_len);
}

static int reply(struct pdu_client *c, struct orchfs_pdu *p)
{
	char head[ORCHFS_PDU_LEN];
	int rc = receive_all(c, head, sizeof(head));

	if (!rc && orchfs_pdu_decode_reply(head, sizeof(head), p))
		rc = broken(c, -EPROTO);
	return rc;
}

/* One request and its reply, with nothing else under way. */
static int call(struct pdu_client *c, struct orchfs_pdu *p, const void *data,
		void *out, size_t len)
{
	const uint8_t opcode = p->opcode;
	int rc = c->broken ? -ECONNRESET : request(c, p, data);

	if (!rc)
		rc = reply(c, p);
	if (rc)
		return rc;
	if (p->opcode != opcode || p->tag != c->tag ||
	    p->data_len != (p->status ? 0 : len))
		return broken(c, -EPROTO);
	if (!p->status && len)
		rc = receive_all(c, out, len);
	return rc || !p->status ? rc : orchfs_pdu_errno(p->status);
}

static int hello(struct pdu_client *c)
{
	struct orchfs_hello h = {
		.version_min = 1, .version_max = 1,
		.max_data = ORCHFS_PDU_DATA_MAX,
		.max_requests = PDU_WINDOW, .max_handles = 1,
	};
	struct orchfs_pdu p = {
		.opcode = ORCHFS_OP_HELLO,
		.data_len = sizeof(struct orchfs_wire_hello),
	};
	char buf[sizeof(struct orchfs_wire_hello)];
	int rc;

	orchfs_hello_encode(&h, buf);
	rc = call(c, &p, buf, buf, sizeof(buf));
	if (rc)
		return rc;
	if (orchfs_hello_decode(buf, sizeof(buf), &h) || h.version_min != 1 ||
	    h.version_max != 1 || h.max_data < ALIGN || !h.max_requests)
		return broken(c, -EPROTO);
	c->max_data = h.max_data < ORCHFS_PDU_DATA_MAX ? h.max_data :
		      ORCHFS_PDU_DATA_MAX;
	c->max_requests = h.max_requests;
	return 0;
}

int pdu_client_new(int fd, const struct pdu_dial *d, struct pdu_client **out)
{
	struct pdu_client *c = calloc(1, sizeof(*c));
	int rc;

	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	c->fd = fd;
	c->d = *d;
	rc = hello(c);
	if (rc)
		pdu_client_free(c);
	else
		*out = c;
	return rc;
}

void pdu_client_free(struct pdu_client *c)
{
	if (!c)
		return;
	close(c->fd);
	for (unsigned int i = 0; i < PDU_WINDOW; i++)
		free(c->slot[i].buf);
	free(c);
}

int pdu_bind(struct pdu_client *c, const uint8_t token[ORCHFS_TOKEN_LEN])
{
	struct orchfs_pdu p = {
		.opcode = ORCHFS_OP_BIND, .handle = c->handle,
		.data_len = ORCHFS_TOKEN_LEN,
	};
	int rc = call(c, &p, token, NULL, 0);

	if (!rc)
		c->handle = p.handle;
	return rc;
}

int pdu_unbind(struct pdu_client *c)
{
	struct orchfs_pdu p = {
		.opcode = ORCHFS_OP_UNBIND, .handle = c->handle,
	};

	if (!c->handle)
		return 0;
	c->handle = 0;
	return call(c, &p, NULL, NULL, 0);
}

int pdu_getattr(struct pdu_client *c, struct pdu_attr *out)
{
	struct orchfs_pdu p = {
		.opcode = ORCHFS_OP_GETATTR, .handle = c->handle,
	};
	char buf[sizeof(struct orchfs_wire_attr)];
	struct orchfs_remote_attr a;
	int rc = call(c, &p, NULL, buf, sizeof(buf));

	if (!rc && orchfs_remote_attr_decode(buf, sizeof(buf), &a))
		rc = broken(c, -EPROTO);
	if (rc)
		return rc;
	*out = (struct pdu_attr){
		.size = a.size, .blocks = a.blocks, .change = a.change,
		.atime = { a.atime_sec, a.atime_nsec },
		.mtime = { a.mtime_sec, a.mtime_nsec },
	};
	return 0;
}

/* --- reading --- */

static struct slot *slot_at(struct pdu_client *c, unsigned int i)
{
	return &c->slot[(c->first + i) % PDU_WINDOW];
}

static int ask(struct pdu_client *c, off_t at, size_t len)
{
	struct slot *s = slot_at(c, c->nr);
	struct orchfs_pdu p = {
		.opcode = ORCHFS_OP_READ, .flags = ORCHFS_PDU_DATA_CRC,
		.handle = c->handle, .offset = (uint64_t)at,
		.count = (uint32_t)len,
	};
	int rc;

	if (!s->buf)
		s->buf = aligned_alloc(ALIGN, ORCHFS_PDU_DATA_MAX);
	if (!s->buf)
		return broken(c, -ENOMEM);
	rc = request(c, &p, NULL);
	if (rc)
		return rc;
	s->tag = p.tag;
	s->at = at;
	s->want = len;
	s->done = false;
	c->nr++;
	return 0;
}

/* The next reply, of whichever request. */
static int hear(struct pdu_client *c)
{
	struct orchfs_pdu p;
	struct slot *s = NULL;
	int rc = reply(c, &p);

	if (rc)
		return rc;
	for (unsigned int i = 0; i < c->nr && !s; i++) {
		s = slot_at(c, i);
		if (s->done || s->tag != p.tag)
			s = NULL;
	}
	if (!s || p.opcode != ORCHFS_OP_READ || p.data_len > s->want ||
	    (!p.status && p.data_len && !(p.flags & ORCHFS_PDU_DATA_CRC)))
		return broken(c, -EPROTO);
	rc = receive_all(c, s->buf, p.data_len);
	if (rc)
		return rc;
	s->rc = p.status ? orchfs_pdu_errno(p.status) : 0;
	s->got = p.data_len;
	s->done = true;
	if (p.data_len &&
	    orchfs_pdu_crc(0, s->buf, p.data_len) != p.data_crc)
		return broken(c, -ECONNRESET);	/* damaged on the way */
	return 0;
}

/* An error of the server: what is under way comes first. */
static int drain(struct pdu_client *c, int rc)
{
	for (unsigned int i = 0; i < c->nr && !c->broken; ) {
		if (slot_at(c, i)->done)
			i++;
		else
			hear(c);
	}
	c->nr = 0;
	return rc;
}

int pdu_read(struct pdu_client *c, off_t begin, off_t end, size_t chunk,
	     unsigned int window, pdu_fn fn, void *ctx)
{
	off_t at = begin;
	struct slot *s;
	int rc = c->broken ? -ECONNRESET : 0;

	chunk = chunk < c->max_data ? chunk : c->max_data;
	window = window < c->max_requests ? window : c->max_requests;
	c->nr = 0;
	while (!rc && (at < end || c->nr)) {
		while (!rc && at < end && c->nr < window) {
			size_t len = end - at < (off_t)chunk ?
				     (size_t)(end - at) : chunk;

			rc = ask(c, at, len);
			at += (off_t)len;
		}
		s = slot_at(c, 0);
		while (!rc && !s->done)
			rc = hear(c);
		if (rc)
			break;
		if (s->rc || s->got < s->want)
			return drain(c, s->rc ? s->rc : -ESTALE);
		rc = fn(ctx, s->buf, s->got, s->at);
		if (rc)
			return broken(c, rc);
		c->first = (c->first + 1) % PDU_WINDOW;
		c->nr--;
	}
	return rc;
}

/* --- connecting --- */

struct dialling {
	struct peer_set set;
	int fd, rc;
	char *why;
	size_t len;
};

static void dial_data(struct peer_set *s, struct peer_conn *c, int fd)
{
	struct dialling *g = s->ctx;

	(void)c;
	data_socket(fd);
	g->fd = fd;
}

static void dial_closed(struct peer_set *s, struct peer_conn *c, int rc)
{
	struct dialling *g = s->ctx;

	snprintf(g->why, g->len, "%s: %s", c->address_text, c->why);
	g->rc = rc;
}

static const struct peer_ops dial_ops = {
	.data = dial_data, .closed = dial_closed,
};

static int dial_wait(struct dialling *g, const struct pdu_dial *d)
{
	while (g->fd < 0 && !g->rc) {
		int n = loop_turn(g->set.loop, TURN_MS);

		if (n < 0)
			return n;
		if (stopped(d))
			return -ECANCELED;
		peer_tick(&g->set);
	}
	return g->rc;
}

int pdu_dial(const struct pdu_dial *d, struct pdu_client **out, char *why,
	     size_t len)
{
	struct dialling g = { .fd = -1, .why = why, .len = len };
	struct address a;
	struct loop loop;
	int rc = loop_init(&loop);

	if (rc < 0)
		return rc;
	*why = 0;
	g.set.loop = &loop;
	g.set.ops = &dial_ops;
	g.set.ctx = &g;
	g.set.tls = d->tls;
	memcpy(g.set.self.uuid, d->uuid, 16);
	g.set.self.node = d->self;
	rc = address_parse(d->address, &a);
	if (!rc)
		rc = peer_dial_data(&g.set, &a, d->node);
	if (!rc)
		rc = dial_wait(&g, d);
	g.rc = rc;
	peer_set_free(&g.set);
	loop_destroy(&loop);
	if (!rc)
		rc = pdu_client_new(g.fd, d, out);
	else if (g.fd >= 0)
		close(g.fd);
	if (rc && !*why)
		snprintf(why, len, "%s: %s", d->address, strerror(-rc));
	return rc;
}
