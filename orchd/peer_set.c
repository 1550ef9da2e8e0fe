// SPDX-License-Identifier: Apache-2.0
/* All connections of a namespace: bounds, deadlines, who is who. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "peer_conn.h"

static uint64_t boottime_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t (*peer_clock)(void) = boottime_ms;

uint64_t peer_now(void)
{
	return peer_clock();
}

void peer_set_free(struct peer_set *s)
{
	struct peer_conn *c;

	for (c = s->conns; c; c = c->next)
		peer_end(c, -ESHUTDOWN, "orchd stops");
	while (s->conns)
		conn_free(s->conns);
}

static bool same_host(const struct address *a, const struct address *b)
{
	const struct sockaddr_in6 *a6 = (const void *)&a->sa;
	const struct sockaddr_in6 *b6 = (const void *)&b->sa;
	const struct sockaddr_in *a4 = (const void *)&a->sa;
	const struct sockaddr_in *b4 = (const void *)&b->sa;

	if (a->sa.ss_family != b->sa.ss_family)
		return false;
	if (a->sa.ss_family == AF_INET6)
		/* a network of 64 bits is easily one machine's */
		return !memcmp(&a6->sin6_addr, &b6->sin6_addr, 8);
	return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
}

/* Those that are not authenticated, with those that are being closed. */
static void count_new(struct peer_set *s, const struct address *a,
		      unsigned int *all, unsigned int *same)
{
	*all = *same = 0;
	for (struct peer_conn *c = s->conns; c; c = c->next) {
		if (!c->server || (c->state == PEER_UP && c->node))
			continue;
		++*all;
		if (same_host(&c->address, a))
			++*same;
	}
}

void peer_accept(struct peer_set *s, int fd, const struct address *a)
{
	const char *why = NULL;
	char text[NS_NODE_ADDRESS];
	struct peer_conn *c = NULL;
	unsigned int all, same;
	int one = 1;

	count_new(s, a, &all, &same);
	if (all >= PEER_NEW_MAX)
		why = "there are too many connections that are not "
		      "authenticated";
	else if (same >= PEER_NEW_ADDRESS_MAX)
		why = "there are too many connections of this address that "
		      "are not authenticated";
	if (!why) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c = conn_new(s, fd, true, a, 0);
		why = "out of memory";
	}
	if (c) {
		conn_watch(c);
		return;
	}
	address_text(a, text);
	s->ops->turned_away(s, text, why);
	close(fd);
}

static int dial(struct peer_set *s, const struct address *a, uint32_t data_to)
{
	struct peer_conn *c;
	int fd, one = 1;

	fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC |
		    SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (const struct sockaddr *)&a->sa, a->len) < 0 &&
	    errno != EINPROGRESS) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	c = conn_new(s, fd, false, a, data_to);
	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	conn_watch(c);
	return 0;
}

int peer_dial(struct peer_set *s, const struct address *a)
{
	return dial(s, a, 0);
}

int peer_dial_data(struct peer_set *s, const struct address *a, uint32_t node)
{
	return dial(s, a, node);
}

struct peer_conn *peer_find(struct peer_set *s, uint64_t id)
{
	struct peer_conn *c;

	for (c = s->conns; c && c->id != id; c = c->next)
		;
	return c && c->state != PEER_CLOSING ? c : NULL;
}

struct peer_conn *peer_of_node(struct peer_set *s, uint32_t node)
{
	struct peer_conn *c;

	for (c = s->conns; c; c = c->next)
		if (c->node == node && c->state == PEER_UP)
			return c;
	return NULL;
}

int peer_ask(struct peer_conn *c, peer_frame *f, uint32_t ms,
	     struct peer_wait *w)
{
	int rc;

	if (c->state != PEER_UP)
		return -ENOTCONN;
	w->size = orchfs__peer__frame__get_packed_size(f);
	if (w->size + 16 > PEER_FRAME_MAX)
		return -EMSGSIZE;
	if (c->asked >= c->asked_max ||
	    c->asked_bytes + w->size + 16 > c->asked_bytes_max)
		return -EAGAIN;
	f->id = ++c->next_request;
	f->wait_ms = ms;
	w->size = orchfs__peer__frame__get_packed_size(f);
	rc = conn_send(c, f);
	if (rc < 0)
		return rc;
	w->buf = NULL;
	w->failure = false;
	w->id = f->id;
	w->deadline = peer_now() + ms;
	conn_wait(c, w);
	c->asked++;
	c->asked_bytes += w->size;
	conn_watch(c);
	return 0;
}

int peer_ask_packed(struct peer_conn *c, uint8_t *buf, size_t len,
		    uint32_t ms, struct peer_wait *w)
{
	if (c->state != PEER_UP) {
		free(buf);
		return -ENOTCONN;
	}
	w->buf = buf;
	w->failure = false;
	w->size = len;
	w->deadline = peer_now() + ms;
	w->next = NULL;
	*c->later_tail = w;
	c->later_tail = &w->next;
	conn_later(c);
	return 0;
}

void peer_answer_packed(struct peer_set *s, uint64_t id, size_t size,
			uint8_t *buf, size_t len)
{
	struct peer_conn *c = peer_find(s, id);

	if (!c) {
		free(buf);
		return;
	}
	c->owed--;
	c->owed_bytes -= size;
	s->owed_bytes -= size;
	/* without memory it is never answered: who asked has a deadline */
	if (!conn_send_packed(c, buf, len))
		conn_watch(c);
}

void peer_answer(struct peer_set *s, uint64_t id, uint64_t request,
		 size_t size, peer_frame *f)
{
	size_t len = 0;
	uint8_t *buf;

	f->id = request;
	buf = frame_pack(f, &len);
	peer_answer_packed(s, id, size, buf, len);
}

void peer_end(struct peer_conn *c, int rc, const char *why)
{
	if (c->state == PEER_CLOSING)
		return;
	snprintf(c->why, sizeof(c->why), "%s", why);
	conn_end(c, rc);
}

/* Take those that are late out of a list. Return: the new end of it. */
static struct peer_wait **expire(struct peer_wait **p,
				 struct peer_wait **late, uint64_t now)
{
	struct peer_wait *w;

	while ((w = *p)) {
		if (now < w->deadline) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		w->next = *late;
		*late = w;
	}
	return p;
}

static void expire_waits(struct peer_conn *c, uint64_t now)
{
	struct peer_wait *late = NULL, *w;

	c->waits_tail = expire(&c->waits, &late, now);
	for (w = late; w; w = w->next) {
		c->asked--;
		c->asked_bytes -= w->size;
	}
	c->later_tail = expire(&c->later, &late, now);
	while ((w = late)) {
		late = w->next;
		free(w->buf);
		w->done(w, -ETIMEDOUT, "no answer in time", NULL);
	}
	if (c->later)
		conn_later(c);
}

static int send_ping(struct peer_conn *c, uint64_t now)
{
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(PING);
	int rc;

	f.ping = &empty;
	c->pinged = now;
	rc = conn_send(c, &f);
	conn_watch(c);
	return rc;
}

/* Return: 0, or why it is to be closed. */
static int check(struct peer_conn *c, uint64_t now, const char **why)
{
	*why = c->state == PEER_CONNECTING ? "no answer within 10 seconds" :
	       "its TLS handshake and hello took longer than 10 seconds";
	if (c->state != PEER_UP)
		return now >= c->deadline ? -ETIMEDOUT : 0;
	*why = "its certificate has expired";
	/* a server has another one by now, most likely: worth another try */
	if (c->node && pki_time() > c->expires)
		return c->server ? -EKEYEXPIRED : -ESHUTDOWN;
	*why = "joining took longer than 30 seconds";
	if (c->end && now >= c->end)
		return -ETIMEDOUT;
	*why = "nothing was heard of it for 15 seconds";
	if (now >= c->heard + PEER_DEAD_MS)
		return -ETIMEDOUT;
	*why = "a message did not come completely within 10 seconds";
	if (c->frame_deadline && now >= c->frame_deadline)
		return -ETIMEDOUT;
	expire_waits(c, now);
	*why = "out of memory";
	if (now >= c->heard + PEER_PING_MS && now >= c->pinged + PEER_PING_MS)
		return send_ping(c, now);
	return 0;
}

void peer_tick(struct peer_set *s)
{
	struct peer_conn *c, *next;
	uint64_t now = peer_now();
	const char *why;
	int rc;

	for (c = s->conns; c; c = next) {
		next = c->next;
		if (c->state == PEER_CLOSING) {
			if (now >= c->deadline)
				conn_free(c);
			continue;
		}
		rc = check(c, now, &why);
		if (rc < 0)
			peer_end(c, rc, why);
	}
}
