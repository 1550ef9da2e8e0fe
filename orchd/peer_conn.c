// SPDX-License-Identifier: Apache-2.0
/*
 * One connection. Functions return 0 or -errno with c->why set; only
 * conn_event() and peer_set.c act on that, by conn_end().
 */
#include "peer_conn.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "config.h"
#include "work.h"

#define READS		16	/* in one turn */
#define RECORD		16384

static void conn_event(struct loop_source *s, uint32_t events);

/* The peer's own words are shown to people. */
static void plain(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

__attribute__((format(printf, 3, 4)))
static int because(struct peer_conn *c, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
	plain(c->why);
	return rc;
}

void conn_watch(struct peer_conn *c)
{
	uint32_t events = 0;

	if (c->state == PEER_CONNECTING) {
		events = EPOLLOUT;
	} else if (c->state == PEER_HANDSHAKE || c->state == PEER_LEAVING) {
		events = c->want_write ? EPOLLOUT : EPOLLIN;
	} else if (c->state == PEER_CLOSING) {
		events = EPOLLIN;
	} else {
		if (c->out)
			events |= EPOLLOUT;
		if (c->out_bytes <= PEER_BYTES_MAX)
			events |= EPOLLIN;
	}
	loop_mod(c->set->loop, &c->source, events);
}

struct peer_conn *conn_new(struct peer_set *s, int fd, bool server,
			   const struct address *a, uint32_t data_to)
{
	struct peer_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->set = s;
	c->id = ++s->next_id;
	c->server = server;
	c->data_to = data_to;
	c->state = server ? PEER_HANDSHAKE : PEER_CONNECTING;
	c->source.fd = fd;
	c->source.fn = conn_event;
	c->address = *a;
	address_text(a, c->address_text);
	c->in.max = PEER_FRAME_NEW;
	c->out_tail = &c->out;
	c->waits_tail = &c->waits;
	c->later_tail = &c->later;
	c->deadline = peer_now() + PEER_HELLO_MS;
	c->ssl = peer_tls_session(s->tls, fd, server);
	if (!c->ssl || (data_to && !peer_tls_data(c->ssl)) ||
	    loop_add(s->loop, &c->source, 0) < 0) {
		SSL_free(c->ssl);
		free(c);
		return NULL;
	}
	c->next = s->conns;
	s->conns = c;
	s->nr_new++;
	return c;
}

static void free_out(struct peer_conn *c)
{
	struct peer_out *o;

	while ((o = c->out)) {
		c->out = o->next;
		free(o->p);
		free(o);
	}
	c->out_tail = &c->out;
	c->out_bytes = 0;
}

void conn_free(struct peer_conn *c)
{
	struct peer_conn **p;

	for (p = &c->set->conns; *p != c; p = &(*p)->next)
		;
	*p = c->next;
	if (c->source.fd >= 0) {
		loop_del(c->set->loop, &c->source);
		close(c->source.fd);
	}
	SSL_free(c->ssl);
	frame_in_free(&c->in);
	free_out(c);
	free(c);
}

/* Who waits is told; the id of the last one was before those. */
static void drop_waits(struct peer_conn *c, int rc)
{
	struct peer_wait *w;

	while ((w = c->waits)) {
		c->waits = w->next;
		w->done(w, rc, c->why, NULL);
	}
	c->waits_tail = &c->waits;
	while ((w = c->later)) {
		c->later = w->next;
		free(w->buf);
		w->done(w, rc, c->why, NULL);
	}
	c->later_tail = &c->later;
	c->asked = 0;
	c->asked_bytes = 0;
}

static int flush(struct peer_conn *c)
{
	struct peer_out *o;

	while ((o = c->out)) {
		size_t n = 0;

		ERR_clear_error();
		if (!SSL_write_ex(c->ssl, o->p + o->pos, o->len - o->pos,
				  &n)) {
			int e = SSL_get_error(c->ssl, 0);

			if (e == SSL_ERROR_WANT_WRITE ||
			    e == SSL_ERROR_WANT_READ)
				return 0;
			return peer_tls_why(c->ssl, c->server, c->why,
					    sizeof(c->why));
		}
		o->pos += n;
		c->out_bytes -= n;
		if (o->pos < o->len)
			continue;
		c->out = o->next;
		if (!c->out)
			c->out_tail = &c->out;
		free(o->p);
		free(o);
	}
	return 0;
}

/* Queued, and sent when there is room. */
int conn_send_packed(struct peer_conn *c, uint8_t *buf, size_t len)
{
	struct peer_out *o = buf ? calloc(1, sizeof(*o)) : NULL;

	if (!o) {
		free(buf);
		return because(c, -ENOMEM, "out of memory");
	}
	o->p = buf;
	o->len = len;
	*c->out_tail = o;
	c->out_tail = &o->next;
	c->out_bytes += len;
	return 0;
}

int conn_send(struct peer_conn *c, const peer_frame *f)
{
	size_t len = 0;
	uint8_t *buf = frame_pack(f, &len);

	return conn_send_packed(c, buf, len);
}

static bool alive(const struct peer_conn *c)
{
	return c->state == PEER_HELLO || c->state == PEER_UP ||
	       c->state == PEER_LEAVING;
}

/* Best effort: it is told why. */
static void say_bye(struct peer_conn *c, int rc)
{
	Orchfs__Peer__Bye bye = ORCHFS__PEER__BYE__INIT;
	peer_frame f = PEER_FRAME_INIT(BYE);
	char why[PEER_WHY];

	strcpy(why, c->why);
	bye.status = rc;
	bye.text = why;
	f.bye = &bye;
	if (!conn_send(c, &f) && !flush(c))
		SSL_shutdown(c->ssl);
	ERR_clear_error();
	strcpy(c->why, why);	/* the first failure is the one to tell */
}

/* Its reason is in c->why. The connection is freed once the peer has read. */
void conn_end(struct peer_conn *c, int rc)
{
	struct peer_set *s = c->set;

	if (c->state == PEER_CLOSING)
		return;
	if (alive(c) && rc != -ECONNRESET)
		say_bye(c, rc);
	if (c->state == PEER_UP && c->node)
		s->nr_up--;
	else
		s->nr_new--;
	s->owed_bytes -= c->owed_bytes;
	c->state = PEER_CLOSING;
	c->deadline = rc == -ECONNRESET ? 0 : peer_now() + PEER_LINGER_MS;
	shutdown(c->source.fd, SHUT_WR);
	free_out(c);
	conn_watch(c);
	drop_waits(c, rc);
	s->ops->closed(s, c, rc);
}

static int send_hello(struct peer_conn *c)
{
	Orchfs__Peer__Hello h = ORCHFS__PEER__HELLO__INIT;
	const struct peer_self *me = &c->set->self;
	peer_frame f = PEER_FRAME_INIT(HELLO);

	h.version_min = me->version_min;
	h.version_max = me->version_max;
	h.uuid.data = (uint8_t *)me->uuid;
	h.uuid.len = sizeof(me->uuid);
	h.node = me->node;
	h.boot_id = (char *)me->boot_id;
	h.incarnation = me->incarnation;
	h.epoch = me->epoch;
	h.authority = me->authority;
	h.max_requests = PEER_REQUESTS_MAX;
	h.max_bytes = PEER_BYTES_MAX;
	h.software = (char *)ORCHD_VERSION;
	f.hello = &h;
	return conn_send(c, &f);
}

/* Say close_notify, behind which nothing of ours is TLS. */
static int leave(struct peer_conn *c)
{
	int n, e;

	ERR_clear_error();
	n = SSL_shutdown(c->ssl);
	e = n < 0 ? SSL_get_error(c->ssl, n) : SSL_ERROR_NONE;
	c->want_write = e == SSL_ERROR_WANT_WRITE;
	if (n >= 0 || c->want_write)
		return 0;
	return peer_tls_why(c->ssl, c->server, c->why, sizeof(c->why));
}

/*
 * One for data. The server says no by a bye, yes by its close_notify; the
 * client's is its own yes. OpenSSL reads record by record, so what comes behind
 * the peer's close_notify stays in the socket, for who gets it.
 */
static int begin_leaving(struct peer_conn *c)
{
	struct peer_set *s = c->set;
	int rc;

	c->state = PEER_LEAVING;
	c->want_write = false;
	if (!s->ops->data)
		return because(c, -EPROTO, "it takes no connections for data");
	if (!c->server)
		return c->node == c->data_to ? 0 :
		       because(c, -EKEYREJECTED, "node %u answers there, not "
			       "node %u", c->node, c->data_to);
	if (!c->node)
		return because(c, -EACCES, "it has no certificate: join the "
			       "cluster first");
	rc = s->ops->admit(s, c, c->why, sizeof(c->why));
	return rc < 0 ? rc : leave(c);
}

/* Is it a connection for data? -EPROTO: neither that nor a link. */
static int is_data(const struct peer_conn *c)
{
	const unsigned char *proto;
	unsigned int len;
	bool data;

	SSL_get0_alpn_selected(c->ssl, &proto, &len);
	data = len == strlen(PEER_ALPN_DATA) &&
	       !memcmp(proto, PEER_ALPN_DATA, len);
	if (!data && (len != strlen(PEER_ALPN) ||
		      memcmp(proto, PEER_ALPN, len)))
		return -EPROTO;
	return c->server || data == (c->data_to != 0) ? data : -EPROTO;
}

/* The handshake is done: who is it? */
static int identify(struct peer_conn *c)
{
	int rc = 0, data = is_data(c);
	X509 *x;

	if (data < 0)
		return because(c, data, "it does not speak %s", c->data_to ?
			       PEER_ALPN_DATA : PEER_ALPN);
	x = SSL_get1_peer_certificate(c->ssl);
	if (x && SSL_get_verify_result(c->ssl) != X509_V_OK)
		rc = -EKEYREJECTED;
	if (x && !rc)
		rc = pki_identity(x, c->set->self.uuid, &c->node);
	if (x && !rc)
		rc = pki_serial(x, &c->serial);
	if (x && !rc)
		c->expires = pki_expires(x);
	X509_free(x);
	if (rc < 0)
		return because(c, rc, "its certificate is of no node of this "
			       "namespace");
	if (data)
		return begin_leaving(c);
	if (!c->node)
		c->end = peer_now() + PEER_JOIN_MS;
	c->state = PEER_HELLO;
	c->heard = peer_now();
	return send_hello(c);
}

static int handshake(struct peer_conn *c)
{
	int n, e, rc;

	ERR_clear_error();
	n = SSL_do_handshake(c->ssl);
	if (n == 1)
		return identify(c);
	e = SSL_get_error(c->ssl, n);
	c->want_write = e == SSL_ERROR_WANT_WRITE;
	if (c->want_write || e == SSL_ERROR_WANT_READ)
		return 0;
	rc = peer_tls_why(c->ssl, c->server, c->why, sizeof(c->why));
	return rc == -ECONNRESET ? because(c, rc, "the connection was closed "
					   "in the TLS handshake") : rc;
}

static int connected(struct peer_conn *c)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(c->source.fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err)
		return because(c, -ECONNRESET, "%s", strerror(err));
	c->state = PEER_HANDSHAKE;
	return handshake(c);
}

static int check_hello(struct peer_conn *c, const Orchfs__Peer__Hello *h)
{
	const struct peer_self *me = &c->set->self;

	if (h->version_max < me->version_min ||
	    h->version_min > me->version_max)
		return because(c, -EPROTONOSUPPORT, "protocol versions %u to "
			       "%u and %u to %u have none in common: upgrade "
			       "orchd where the lower ones are", me->version_min,
			       me->version_max, h->version_min,
			       h->version_max);
	if (h->uuid.len != 16 || memcmp(h->uuid.data, me->uuid, 16))
		return because(c, -EXDEV, "it is of another namespace");
	if (h->node != c->node)
		return because(c, -EKEYREJECTED, "it calls itself node %u, "
			       "its certificate is of %u", h->node, c->node);
	if (strlen(h->boot_id) >= sizeof(c->hello.boot_id) ||
	    !h->max_requests)
		return because(c, -EBADMSG, "its hello is malformed");
	return 0;
}

static int hear_hello(struct peer_conn *c, const Orchfs__Peer__Hello *h)
{
	struct peer_set *s = c->set;
	int rc;

	rc = check_hello(c, h);
	if (rc < 0)
		return rc;
	c->hello = (struct peer_self){
		.version_min = h->version_min, .version_max = h->version_max,
		.node = h->node, .incarnation = h->incarnation,
		.epoch = h->epoch, .authority = h->authority,
	};
	memcpy(c->hello.uuid, h->uuid.data, 16);
	strcpy(c->hello.boot_id, h->boot_id);
	c->asked_max = h->max_requests;
	c->asked_bytes_max = h->max_bytes;
	if (c->node && s->nr_up >= PEER_UP_MAX)
		return because(c, -EBUSY, "there are too many connections");
	rc = s->ops->admit(s, c, c->why, sizeof(c->why));
	if (rc < 0)
		return rc;
	c->state = PEER_UP;
	if (c->node) {
		s->nr_new--;
		s->nr_up++;
		c->in.max = PEER_FRAME_MAX;
	}
	s->ops->up(s, c);
	return 0;
}

static int hear_request(struct peer_conn *c, peer_frame *f, size_t size)
{
	if (!c->node && c->server && f->body_case != PEER_BODY(JOIN))
		return because(c, -EACCES, "it has no certificate: join the "
			       "cluster first");
	if (!c->node && c->server &&
	    (c->owed || ++c->requests > PEER_JOIN_REQUESTS))
		return because(c, -E2BIG, "it asks to join more than once at a "
			       "time, or more than %u times",
			       PEER_JOIN_REQUESTS);
	if (f->id <= c->last_request)
		return because(c, -EBADMSG, "the id of a request is not above "
			       "the one before");
	if (c->owed >= PEER_REQUESTS_MAX ||
	    c->owed_bytes + size > PEER_BYTES_MAX)
		return because(c, -E2BIG, "it has sent more requests than %u, "
			       "or more than %u bytes of them, without "
			       "waiting for answers", PEER_REQUESTS_MAX,
			       PEER_BYTES_MAX);
	c->last_request = f->id;
	c->owed++;
	c->owed_bytes += size;
	c->set->owed_bytes += size;
	return 1;
}

/* All peers together have sent more than there may be: not now. */
static void decline(struct peer_conn *c, const peer_frame *f, size_t size)
{
	Orchfs__Peer__Failure m = ORCHFS__PEER__FAILURE__INIT;
	peer_frame out = PEER_FRAME_INIT(FAILURE);

	m.status = -EBUSY;
	m.text = "the authority has too much to do: try again";
	out.failure = &m;
	peer_answer(c->set, c->id, f->id, size, &out);
}

void conn_wait(struct peer_conn *c, struct peer_wait *w)
{
	w->next = NULL;
	*c->waits_tail = w;
	c->waits_tail = &w->next;
}

void conn_later(struct peer_conn *c)
{
	struct peer_wait *w;

	while ((w = c->later) && c->asked < c->asked_max &&
	       c->asked_bytes + w->size <= c->asked_bytes_max) {
		c->later = w->next;
		if (!c->later)
			c->later_tail = &c->later;
		w->id = ++c->next_request;
		frame_set_id(w->buf, &w->size, w->id);
		conn_wait(c, w);
		c->asked++;
		c->asked_bytes += w->size;
		/* without memory it is never answered, and has a deadline */
		conn_send_packed(c, w->buf, w->size);
		w->buf = NULL;
	}
	conn_watch(c);
}

/* Takes @f. */
static int hear_answer(struct peer_conn *c, peer_frame *f)
{
	struct peer_wait **p, *w;

	if (!f->id || f->id > c->next_request) {
		frame_free(f);
		return because(c, -EBADMSG, "it answers what was not asked");
	}
	for (p = &c->waits; *p && (*p)->id != f->id; p = &(*p)->next)
		;
	w = *p;
	if (!w) {
		frame_free(f);	/* too late */
		return 0;
	}
	*p = w->next;
	if (!*p)
		c->waits_tail = p;
	c->asked--;
	c->asked_bytes -= w->size;
	if (f->body_case == PEER_BODY(FAILURE) && f->failure->status < 0) {
		plain(f->failure->text);
		w->failure = true;
		w->done(w, f->failure->status, f->failure->text, NULL);
		frame_free(f);
	} else {
		w->done(w, 0, "", f);
	}
	if (c->later)
		conn_later(c);
	return 0;
}

static int hear_bye(struct peer_conn *c, const Orchfs__Peer__Bye *b)
{
	int rc = b->status < 0 && b->status > -4096 ? b->status : -ESHUTDOWN;

	/* of somebody, of whom nothing is known, nothing is told */
	if (c->server && !c->node)
		return because(c, -ESHUTDOWN, "it has ended the connection");
	return because(c, rc, "%.400s", b->text);
}

/* Takes @f. */
static int hear(struct peer_conn *c, peer_frame *f, size_t size)
{
	int rc = 0, body = (int)f->body_case;

	if (body == PEER_BODY(BYE)) {
		rc = hear_bye(c, f->bye);
	} else if (c->state == PEER_LEAVING) {
		rc = because(c, -EBADMSG, "it has sent what is no bye on a "
			     "connection for data");
	} else if (c->state == PEER_HELLO) {
		rc = body == PEER_BODY(HELLO) ? hear_hello(c, f->hello) :
		     because(c, -EBADMSG, "its first message is no hello");
	} else if (body == PEER_BODY(PING)) {
		peer_frame pong = PEER_FRAME_INIT(PONG);
		Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;

		pong.pong = &empty;
		rc = conn_send(c, &pong);
	} else if (body >= PEER_BODY(FAILURE)) {
		return hear_answer(c, f);
	} else if (body >= PEER_BODY(JOIN)) {
		rc = hear_request(c, f, size);
	} else if (body != PEER_BODY(PONG)) {
		rc = because(c, -EBADMSG, "it has sent what is no message "
			     "here (%d)", body);
	}
	if (rc == 1 && c->set->owed_bytes > PEER_ALL_MAX) {
		decline(c, f, size);
		rc = 0;
	}
	if (rc == 1) {
		c->set->ops->request(c->set, c, f, size);
		return 0;
	}
	frame_free(f);
	return rc;
}

static int feed(struct peer_conn *c, const uint8_t *p, size_t len)
{
	peer_frame *f;
	size_t size;
	int rc = 0;

	while (len && alive(c)) {
		if (!c->in.have)
			c->frame_deadline = peer_now() + PEER_FRAME_MS;
		rc = frame_feed(&c->in, &p, &len, &f, &size);
		if (rc == -EMSGSIZE)
			return because(c, rc, "it has sent a message that is "
				       "longer than %u bytes", c->in.max);
		if (rc < 0)
			return because(c, rc, "it has sent a malformed "
				       "message");
		if (!rc)
			break;
		c->frame_deadline = 0;
		rc = hear(c, f, size);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int receive(struct peer_conn *c)
{
	uint8_t buf[RECORD];
	int rc = 0, e;
	size_t n;

	for (int i = 0; i < READS && alive(c) && !rc; i++) {
		ERR_clear_error();
		if (SSL_read_ex(c->ssl, buf, sizeof(buf), &n)) {
			c->heard = peer_now();
			rc = feed(c, buf, n);
			continue;
		}
		e = SSL_get_error(c->ssl, 0);
		if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
			return 0;
		if (e == SSL_ERROR_ZERO_RETURN && c->state == PEER_LEAVING)
			return 0;
		if (e == SSL_ERROR_ZERO_RETURN)
			return because(c, -ECONNRESET, "the connection was "
				       "closed");
		return peer_tls_why(c->ssl, c->server, c->why,
				    sizeof(c->why));
	}
	return rc;
}

/* Return: 1 when the socket was handed over: @c is gone. */
static int leaving(struct peer_conn *c)
{
	struct peer_set *s = c->set;
	int fd, rc = 0;

	if (c->want_write)
		rc = leave(c);
	if (rc || c->want_write)
		return rc;
	if (!(SSL_get_shutdown(c->ssl) & SSL_RECEIVED_SHUTDOWN))
		rc = receive(c);
	if (rc || !(SSL_get_shutdown(c->ssl) & SSL_RECEIVED_SHUTDOWN))
		return rc;
	if (!(SSL_get_shutdown(c->ssl) & SSL_SENT_SHUTDOWN))
		rc = leave(c);
	if (rc || c->want_write)
		return rc;
	fd = c->source.fd;
	loop_del(s->loop, &c->source);
	c->source.fd = -1;
	s->nr_new--;
	s->ops->data(s, c, fd);
	conn_free(c);
	return 1;
}

/* What it had on the way is thrown away, or it wouldn't get our last words. */
static void discard(struct peer_conn *c)
{
	uint8_t buf[RECORD];
	ssize_t n;

	n = recv(c->source.fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (!n || (n < 0 && errno != EAGAIN && errno != EINTR))
		conn_free(c);
}

static void conn_event(struct loop_source *s, uint32_t events)
{
	struct peer_conn *c = container_of(s, struct peer_conn, source);
	int rc = 0;

	if (c->state == PEER_CLOSING) {
		discard(c);
		return;
	}
	if (c->state == PEER_CONNECTING)
		rc = connected(c);
	else if (c->state == PEER_HANDSHAKE)
		rc = handshake(c);
	else if (c->state == PEER_LEAVING)
		rc = leaving(c);
	else if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		rc = receive(c);
	if (rc == 1)
		return;
	if (!rc && alive(c))
		rc = flush(c);
	if (rc < 0)
		conn_end(c, rc);
	else if (c->state != PEER_CLOSING)
		conn_watch(c);
}
