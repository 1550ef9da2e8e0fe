// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "arena.h"
#include "ctl.h"
#include "log.h"
#include "served.h"

#define BACKLOG	64

struct ctl_conn {
	struct ctl_conn *next;
	struct loop_source source;
	struct ctl *ctl;
	uint64_t id;
	uint8_t head[4];
	uint8_t *in;
	size_t have, want;	/* of the frame at hand, its head included */
	uint64_t deadline;	/* ms; 0: no frame has begun */
	int fd;			/* received, not yet used */
	uint8_t *out;
	size_t out_len, out_pos;
	int give[CTL_GIVE];	/* with the first byte of it */
	bool busy;		/* a request runs */
	bool closing;		/* after the response */
	char *checkpoint;
};

struct ctl {
	struct ctl_config c;
	struct loop *loop;
	struct loop_source listen, queue_source;
	struct work_queue queue;
	int lock_fd;
	struct ctl_conn *conns;
	unsigned int nr_conns, active;
	uint64_t next_id;
	atomic_bool stopping;
	bool listening, given;
	atomic_uint_fast64_t held_for;	/* connection; 0: all */
};

static void conn_event(struct loop_source *s, uint32_t events);

const char *ctl_state_dir(const struct ctl *ctl)
{
	return ctl->c.state_dir;
}

bool ctl_stopping(const struct ctl *ctl)
{
	return ctl->stopping;
}

unsigned int ctl_active(const struct ctl *ctl)
{
	return ctl->active;
}

int ctl_frame_length(const uint8_t h[4])
{
	uint32_t n = h[0] | h[1] << 8 | h[2] << 16 | (uint32_t)h[3] << 24;

	return n > CTL_FRAME_MAX ? -EMSGSIZE : (int)n;
}

static void conn_close(struct ctl_conn *c)
{
	struct ctl_conn **p;

	for (p = &c->ctl->conns; *p != c; p = &(*p)->next)
		;
	*p = c->next;
	c->ctl->nr_conns--;
	loop_del(c->ctl->loop, &c->source);
	close(c->source.fd);
	if (c->fd >= 0)
		close(c->fd);
	if (c->checkpoint)
		remove_tree(c->checkpoint);
	free(c->checkpoint);
	free(c->in);
	free(c->out);
	free(c);
}

static void conn_watch(struct ctl_conn *c)
{
	uint32_t events = 0;	/* a full close is always told */

	if (c->out)
		events |= EPOLLOUT;
	else if (!c->busy)
		events |= EPOLLIN;
	loop_mod(c->ctl->loop, &c->source, events);
}

static ssize_t conn_send(struct ctl_conn *c)
{
	struct iovec iov = { c->out + c->out_pos, c->out_len - c->out_pos };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	union {
		char buf[CMSG_SPACE(sizeof(c->give))];
		struct cmsghdr align;
	} u = { 0 };
	struct cmsghdr *h;

	if (!c->out_pos && c->give[0] >= 0) {
		m.msg_control = u.buf;
		m.msg_controllen = sizeof(u.buf);
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(c->give));
		memcpy(CMSG_DATA(h), c->give, sizeof(c->give));
	}
	return sendmsg(c->source.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Return false when the connection is gone. */
static bool conn_flush(struct ctl_conn *c)
{
	while (c->out_pos < c->out_len) {
		ssize_t n = conn_send(c);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			conn_close(c);
			return false;
		}
		c->out_pos += (size_t)n;
	}
	if (c->out_pos == c->out_len) {
		free(c->out);
		c->out = NULL;
		c->out_pos = c->out_len = 0;
		c->give[0] = -1;
		if (c->closing) {
			conn_close(c);
			return false;
		}
	}
	conn_watch(c);
	return true;
}

static uint8_t *frame_pack(const Orchfs__Control__Response *r, size_t *len)
{
	size_t n = orchfs__control__response__get_packed_size(r);
	uint8_t *out = malloc(n + 4);

	if (!out)
		return NULL;
	for (int i = 0; i < 4; i++)
		out[i] = n >> 8 * i & 0xff;
	orchfs__control__response__pack(r, out + 4);
	*len = n + 4;
	return out;
}

/* Answer from the main thread and close. */
static void conn_refuse(struct ctl_conn *c, int status, const char *text)
{
	Orchfs__Control__Response r = ORCHFS__CONTROL__RESPONSE__INIT;

	r.status = status;
	r.message = (char *)text;
	r.last = true;
	c->out = frame_pack(&r, &c->out_len);
	c->closing = true;
	if (!c->out) {
		conn_close(c);
		return;
	}
	conn_flush(c);
}

static void call_free(struct ctl_call *call)
{
	if (call->fd >= 0)
		close(call->fd);
	if (call->req)
		orchfs__control__request__free_unpacked(call->req, NULL);
	if (call->remote)
		orchfs__control__response__free_unpacked(call->remote, NULL);
	arena_free(call->a);
	free(call->out);
	if (call->checkpoint)
		remove_tree(call->checkpoint);
	free(call->checkpoint);
	free(call);
}

/* main thread: the request's thread has ended */
static void call_done(struct work *w)
{
	struct ctl_call *call = container_of(w, struct ctl_call, w);
	struct ctl *ctl = call->ctl;
	struct ctl_conn *c;
	bool stop = call->stop;

	ctl->active--;
	if (call->after)
		call->after(call);
	for (c = ctl->conns; c && c->id != call->conn; c = c->next)
		;
	if (c) {
		c->busy = false;
		c->out = call->out;
		c->out_len = call->out_len;
		memcpy(c->give, call->give, sizeof(c->give));
		call->out = NULL;
		if (call->checkpoint) {
			if (c->checkpoint)
				remove_tree(c->checkpoint);
			free(c->checkpoint);
			c->checkpoint = call->checkpoint;
			call->checkpoint = NULL;
		}
		if (!c->out)
			conn_close(c);
		else
			conn_flush(c);
	}
	call_free(call);
	if (stop)
		ctl->c.stop(ctl->c.ctx);
}

static void *call_main(void *arg)
{
	struct ctl_call *call = arg;
	int rc;

	rc = ctl_run(call);
	call->resp.status = rc;
	if (!call->message[0] && rc < 0)
		snprintf(call->message, sizeof(call->message), "%s",
			 strerror(-rc));
	call->resp.message = call->message;
	call->resp.last = true;
	call->out = frame_pack(&call->resp, &call->out_len);
	call->w.run = call_done;
	work_post(&call->ctl->queue, &call->w);
	return NULL;
}

static pid_t peer_pid(int fd)
{
	socklen_t len = sizeof(struct ucred);
	struct ucred u;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &len) ? 0 : u.pid;
}

static void conn_request(struct ctl_conn *c, const uint8_t *p, size_t len)
{
	struct ctl_call *call;
	pthread_t t;

	call = calloc(1, sizeof(*call));
	if (!call) {
		conn_refuse(c, -ENOMEM, "out of memory");
		return;
	}
	orchfs__control__response__init(&call->resp);
	call->ctl = c->ctl;
	call->conn = c->id;
	call->fd = c->fd;
	c->fd = -1;
	call->pid = peer_pid(c->source.fd);
	call->give[0] = -1;
	call->a = arena_new();
	call->req = orchfs__control__request__unpack(NULL, len, p);
	if (!call->req || !call->a) {
		call_free(call);
		conn_refuse(c, -EBADMSG, "malformed request");
		return;
	}
	if (call->req->version != 1) {
		call_free(call);
		conn_refuse(c, -EPROTO, "unknown protocol version: use "
			    "orchctl and orchd of the same release");
		return;
	}
	c->busy = true;
	c->ctl->active++;
	conn_watch(c);
	if (thread_start(&t, "orchd-ctl", call_main, call) < 0) {
		c->ctl->active--;
		c->busy = false;
		call_free(call);
		conn_refuse(c, -EAGAIN, "cannot start a thread");
		return;
	}
	pthread_detach(t);
}

static void take_fds(struct ctl_conn *c, struct msghdr *m)
{
	struct cmsghdr *h;

	for (h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		size_t n;

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int),
			       sizeof(fd));
			if (c->fd >= 0)
				close(c->fd);
			c->fd = fd;
		}
	}
}

static ssize_t conn_recv(struct ctl_conn *c, void *p, size_t len)
{
	union {
		char buf[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} u;
	struct iovec iov = { p, len };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = u.buf, .msg_controllen = sizeof(u.buf),
	};
	ssize_t n;

	do {
		n = recvmsg(c->source.fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		take_fds(c, &m);
	return n < 0 ? -errno : n;
}

/* Return: 1 a frame is complete, 0 more is needed, -errno. */
static int conn_read(struct ctl_conn *c)
{
	ssize_t n;
	int len;

	while (c->have < 4) {
		n = conn_recv(c, c->head + c->have, 4 - c->have);
		if (n <= 0)
			return n == -EAGAIN ? 0 : n ? (int)n : -ECONNRESET;
		if (!c->have)
			c->deadline = now_ms() + c->ctl->c.frame_ms;
		c->have += (size_t)n;
		if (c->have < 4)
			continue;
		len = ctl_frame_length(c->head);
		if (len < 0)
			return len;
		c->want = 4 + (size_t)len;
		c->in = malloc((size_t)len + 1);
		if (!c->in)
			return -ENOMEM;
	}
	while (c->have < c->want) {
		n = conn_recv(c, c->in + c->have - 4, c->want - c->have);
		if (n <= 0)
			return n == -EAGAIN ? 0 : n ? (int)n : -ECONNRESET;
		c->have += (size_t)n;
	}
	return 1;
}

static bool held_from(const struct ctl_conn *c)
{
	uint64_t held_for = atomic_load(&c->ctl->held_for);

	return held_for && held_for != c->id;
}

static void conn_readable(struct ctl_conn *c)
{
	uint8_t *in;
	size_t len;
	int rc;

	rc = conn_read(c);
	if (!rc)
		return;
	if (rc == -EMSGSIZE) {
		conn_refuse(c, rc, "the request is larger than 1 MiB");
		return;
	}
	if (rc < 0) {
		conn_close(c);
		return;
	}
	in = c->in;
	len = c->want - 4;
	c->in = NULL;
	c->have = c->want = 0;
	c->deadline = 0;
	if (c->ctl->stopping)
		conn_refuse(c, -ESHUTDOWN, "orchd is stopping");
	else if (held_from(c))
		conn_refuse(c, -EAGAIN, "orchd is being replaced: try again");
	else
		conn_request(c, in, len);
	free(in);
}

static void conn_event(struct loop_source *s, uint32_t events)
{
	struct ctl_conn *c = container_of(s, struct ctl_conn, source);

	if (events & (EPOLLERR | EPOLLHUP))
		conn_close(c);
	else if (c->out && events & EPOLLOUT)
		conn_flush(c);
	else if (!c->busy && !c->out && events & EPOLLIN)
		conn_readable(c);
}

static bool peer_allowed(int fd)
{
	socklen_t len = sizeof(struct ucred);
	struct ucred u;

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &len) &&
	       u.uid == 0;
}

static void listen_event(struct loop_source *s, uint32_t events)
{
	struct ctl *ctl = container_of(s, struct ctl, listen);
	struct ctl_conn *c;
	int fd;

	(void)events;
	fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	c->ctl = ctl;
	c->id = ++ctl->next_id;
	c->fd = -1;
	c->give[0] = -1;
	c->source.fd = fd;
	c->source.fn = conn_event;
	if (loop_add(ctl->loop, &c->source, EPOLLIN) < 0) {
		close(fd);
		free(c);
		return;
	}
	c->next = ctl->conns;
	ctl->conns = c;
	ctl->nr_conns++;
	if (!peer_allowed(fd))
		conn_refuse(c, -EPERM, "only root may control orchd");
	else if (ctl->nr_conns > CTL_CONN_MAX)
		conn_refuse(c, -EAGAIN, "too many control connections: try "
			    "again");
}

void ctl_tick(struct ctl *ctl)
{
	struct ctl_conn *c, *next;
	uint64_t now = now_ms();

	for (c = ctl->conns; c; c = next) {
		next = c->next;
		if (c->deadline && now > c->deadline && !c->out)
			conn_refuse(c, -ETIMEDOUT, "the request did not come "
				    "completely within 10 seconds");
	}
}

static void ctl_queue_event(struct loop_source *s, uint32_t events)
{
	(void)events;
	work_run(&container_of(s, struct ctl, queue_source)->queue);
}

static int lock_socket(const char *path, char *why)
{
	char lock[200];
	int fd, rc;

	snprintf(lock, sizeof(lock), "%s.lock", path);
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		rc = -errno;
		snprintf(why, VOLUME_WHY, "%s: %s", lock, strerror(-rc));
		return rc;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
		snprintf(why, VOLUME_WHY, "another orchd has the control "
			 "socket %s: stop it, or give --socket", path);
		close(fd);
		return rc;
	}
	return fd;
}

static int listen_socket(const char *path, char *why)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd, rc = 0;

	strcpy(a.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	unlink(path);		/* of a daemon that died: we hold the lock */
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    chmod(path, 0600) < 0 || listen(fd, BACKLOG) < 0)
		rc = -errno;
	if (!rc)
		return fd;
	snprintf(why, VOLUME_WHY, "control socket %s: %s", path,
		 strerror(-rc));
	close(fd);
	return rc;
}

static int make_dir(const char *path, char *why)
{
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *dir;

	if (strlen(path) + 6 > sizeof(copy)) {
		snprintf(why, VOLUME_WHY, "the path of the control socket is "
			 "too long: %s", path);
		return -ENAMETOOLONG;
	}
	strcpy(copy, path);
	dir = dirname(copy);
	if (!mkdir(dir, 0755))
		return chmod(dir, 0755) < 0 ? -errno : 0;
	if (errno == EEXIST)
		return 0;
	snprintf(why, VOLUME_WHY, "cannot make %s: %s", dir, strerror(errno));
	return -errno;
}

int ctl_listen(struct ctl *ctl)
{
	int rc;

	if (ctl->listening)
		return 0;
	/* also where it listens: peers are told whose socket it is */
	if (listen(ctl->listen.fd, BACKLOG) < 0)
		return -errno;
	rc = loop_add(ctl->loop, &ctl->listen, EPOLLIN);
	ctl->listening = !rc;
	return rc;
}

void ctl_deafen(struct ctl *ctl)
{
	if (ctl->listening)
		loop_del(ctl->loop, &ctl->listen);
	ctl->listening = false;
}

void ctl_give(const struct ctl *ctl, int fds[CTL_GIVE])
{
	fds[0] = ctl->listen.fd;
	fds[1] = ctl->lock_fd;
}

void ctl_given(struct ctl *ctl)
{
	ctl->given = true;
}

void ctl_hold(struct ctl *ctl, uint64_t conn)
{
	atomic_store(&ctl->held_for, conn);
}

static int ctl_watch(struct ctl *ctl)
{
	int rc = 0;

	ctl->listen.fn = listen_event;
	if (!ctl->c.given)
		rc = ctl_listen(ctl);
	if (rc < 0)
		return rc;
	ctl->queue_source.fd = ctl->queue.efd;
	ctl->queue_source.fn = ctl_queue_event;
	return loop_add(ctl->loop, &ctl->queue_source, EPOLLIN);
}

static int own_socket(struct ctl *ctl, char *why)
{
	int rc = make_dir(ctl->c.path, why);

	if (!rc)
		rc = ctl->lock_fd = lock_socket(ctl->c.path, why);
	if (rc >= 0)
		rc = ctl->listen.fd = listen_socket(ctl->c.path, why);
	return rc;
}

int ctl_start(struct loop *loop, const struct ctl_config *c, struct ctl **out,
	      char *why)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));
	int rc;

	if (!ctl)
		return -ENOMEM;
	ctl->c = *c;
	if (!ctl->c.frame_ms)
		ctl->c.frame_ms = CTL_FRAME_MS;
	ctl->loop = loop;
	ctl->lock_fd = ctl->listen.fd = -1;
	rc = work_queue_init(&ctl->queue);
	if (rc < 0) {
		free(ctl);
		return rc;
	}
	if (c->given) {
		ctl->lock_fd = c->lock_fd;
		ctl->listen.fd = c->listen_fd;
	} else {
		rc = own_socket(ctl, why);
	}
	if (rc >= 0)
		rc = ctl_watch(ctl);
	if (rc < 0) {
		ctl_free(ctl);
		return rc;
	}
	*out = ctl;
	return 0;
}

void ctl_stop(struct ctl *ctl)
{
	ctl->stopping = true;
	ctl_deafen(ctl);
	if (ctl->listen.fd >= 0) {
		close(ctl->listen.fd);
		if (!ctl->given)
			unlink(ctl->c.path);
	}
	ctl->listen.fd = -1;
}

void ctl_free(struct ctl *ctl)
{
	if (!ctl)
		return;
	ctl_stop(ctl);
	while (ctl->conns)
		conn_close(ctl->conns);
	work_queue_destroy(&ctl->queue);
	if (ctl->lock_fd >= 0)
		close(ctl->lock_fd);
	free(ctl);
}
