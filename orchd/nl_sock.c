// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include "fault.h"
#include "nl.h"
#include "nl_sock.h"

#define SOCK_BUF	(4 << 20)
#define SOCK_SMALL	2048	/* for a test: a few messages */
/*
 * Messages that one system call may bring. The longest is a request with an
 * extended attribute of 64 KiB; only pages that are used take memory.
 */
#define RECV_MSGS	8
#define RECV_BUF	(128 << 10)
#define CALL_MS		20000

struct channel_msg {
	struct channel_msg *next;
	struct nlmsghdr nlh[];
};

static void channel_options(struct channel *ch)
{
	int in = fault_enabled("small-socket") ? SOCK_SMALL : SOCK_BUF;
	int out = SOCK_BUF, on = 1;

	/* a smaller buffer works too: the kernel's table keeps requests */
	setsockopt(ch->fd, SOL_SOCKET, SO_RCVBUFFORCE, &in, sizeof(in));
	setsockopt(ch->fd, SOL_SOCKET, SO_SNDBUFFORCE, &out, sizeof(out));
	setsockopt(ch->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(ch->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
}

int channel_open(struct channel *ch)
{
	int rc;

	memset(ch, 0, sizeof(*ch));
	ch->fd = -1;
	ch->deferred_tail = &ch->deferred;
	ch->buf = malloc((size_t)RECV_MSGS * RECV_BUF);
	ch->sk = nl_socket_alloc();
	if (!ch->sk || !ch->buf) {
		rc = -ENOMEM;
		goto fail;
	}
	if (genl_connect(ch->sk) < 0) {
		rc = -EIO;
		goto fail;
	}
	rc = genl_ctrl_resolve(ch->sk, ORCHFS_FAMILY_NAME);
	if (rc < 0) {
		rc = rc == -NLE_OBJ_NOTFOUND ? -ENOENT : -EIO;
		goto fail;
	}
	ch->family = (uint16_t)rc;
	ch->fd = nl_socket_get_fd(ch->sk);
	ch->port = nl_socket_get_local_port(ch->sk);
	nl_socket_set_nonblocking(ch->sk);
	channel_options(ch);
	return 0;
fail:
	channel_close(ch);
	return rc;
}

void channel_close(struct channel *ch)
{
	struct channel_msg *m;

	while ((m = ch->deferred)) {
		ch->deferred = m->next;
		free(m);
	}
	if (ch->sk)
		nl_socket_free(ch->sk);
	free(ch->buf);
	memset(ch, 0, sizeof(*ch));
	ch->deferred_tail = &ch->deferred;
	ch->fd = -1;
}

int channel_send(struct channel *ch, struct nl_msg *m, uint32_t *seq)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct nlmsghdr *nlh;
	ssize_t n;
	int rc = 0;

	if (!m)
		return -ENOMEM;
	nlh = nlmsg_hdr(m);
	if (!++ch->seq)
		ch->seq = 1;	/* 0 is for events */
	nlh->nlmsg_seq = ch->seq;
	nlh->nlmsg_pid = ch->port;
	if (seq)
		*seq = ch->seq;
	do {
		n = sendto(ch->fd, nlh, nlh->nlmsg_len, 0,
			   (struct sockaddr *)&kernel, sizeof(kernel));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		rc = -errno;
	nlmsg_free(m);
	return rc;
}

struct received {
	struct mmsghdr msg[RECV_MSGS];
	struct sockaddr_nl from[RECV_MSGS];
	struct iovec iov[RECV_MSGS];
};

static void received_init(struct channel *ch, struct received *r)
{
	memset(r->msg, 0, sizeof(r->msg));
	for (int i = 0; i < RECV_MSGS; i++) {
		r->iov[i].iov_base = ch->buf + (size_t)i * RECV_BUF;
		r->iov[i].iov_len = RECV_BUF;
		r->msg[i].msg_hdr = (struct msghdr) {
			.msg_name = &r->from[i],
			.msg_namelen = sizeof(r->from[i]),
			.msg_iov = &r->iov[i], .msg_iovlen = 1,
		};
	}
}

/* As many datagrams as there are: their number, 0 for none, -errno. */
static int receive_some(struct channel *ch, struct received *r)
{
	int n;

	for (;;) {
		received_init(ch, r);
		n = recvmmsg(ch->fd, r->msg, RECV_MSGS, MSG_DONTWAIT, NULL);
		if (n >= 0)
			return n;
		if (errno == EAGAIN)
			return 0;
		if (errno == ENOBUFS)
			ch->overrun = true;
		else if (errno != EINTR)
			return -errno;
	}
}

static bool from_kernel(struct channel *ch, const struct mmsghdr *m)
{
	const struct sockaddr_nl *from = m->msg_hdr.msg_name;

	if (m->msg_hdr.msg_namelen != sizeof(*from) || from->nl_pid)
		return false;
	if (m->msg_hdr.msg_flags & MSG_TRUNC) {
		ch->lost = true;
		return false;
	}
	return true;
}

int channel_receive(struct channel *ch, int max, channel_fn fn, void *ctx)
{
	struct received r;
	int count = 0, n;

	do {
		n = receive_some(ch, &r);
		if (n < 0)
			return n;
		for (int i = 0; i < n; i++) {
			struct nlmsghdr *nlh = r.iov[i].iov_base;
			int rem = (int)r.msg[i].msg_len;

			if (!from_kernel(ch, &r.msg[i]))
				continue;
			for (; nlmsg_ok(nlh, rem);
			     nlh = nlmsg_next(nlh, &rem)) {
				fn(ctx, nlh);
				if (ch->fd < 0)
					return -ENOTCONN;
			}
		}
		count += n;
	} while (n == RECV_MSGS && count < max);
	return count;
}

int channel_error(struct channel *ch, struct nlmsghdr *nlh)
{
	struct nlmsgerr *e = nlmsg_data(nlh);
	struct nlattr *a;
	int rem, skip;

	ch->error[0] = 0;
	if (nlmsg_datalen(nlh) < (int)sizeof(*e))
		return -EPROTO;
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return e->error;
	skip = (int)sizeof(*e);
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		skip += (int)(e->msg.nlmsg_len - NLMSG_HDRLEN);
	rem = nlmsg_datalen(nlh) - skip;
	if (skip < 0 || rem <= 0)
		return e->error;
	for (a = (struct nlattr *)((char *)e + skip); nla_ok(a, rem);
	     a = nla_next(a, &rem))
		if (nla_type(a) == NLMSGERR_ATTR_MSG)
			nla_strlcpy(ch->error, a, sizeof(ch->error));
	return e->error;
}

struct call {
	struct channel *ch;
	uint32_t seq;
	channel_fn fn;
	void *ctx;
	bool done;
	bool interrupted;
	int rc;
};

static void defer(struct channel *ch, struct nlmsghdr *nlh)
{
	struct channel_msg *m = malloc(sizeof(*m) + nlh->nlmsg_len);

	if (!m) {
		ch->lost = true;	/* a poll would not bring it again */
		return;
	}
	m->next = NULL;
	memcpy(m->nlh, nlh, nlh->nlmsg_len);
	*ch->deferred_tail = m;
	ch->deferred_tail = &m->next;
}

static void call_message(void *ctx, struct nlmsghdr *nlh)
{
	struct call *c = ctx;

	if (nlh->nlmsg_seq != c->seq) {
		/* refusals of what was sent before count, too */
		if (nlh->nlmsg_type >= NLMSG_MIN_TYPE ||
		    nlh->nlmsg_type == NLMSG_ERROR)
			defer(c->ch, nlh);
		return;
	}
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		c->interrupted = true;
	switch (nlh->nlmsg_type) {
	case NLMSG_ERROR:
		c->rc = channel_error(c->ch, nlh);
		c->done = true;
		return;
	case NLMSG_DONE:
		if (nlmsg_datalen(nlh) >= (int)sizeof(int))
			c->rc = *(int *)nlmsg_data(nlh);
		c->done = true;
		return;
	case NLMSG_NOOP:
		return;
	}
	if (c->fn)
		c->fn(c->ctx, nlh);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int channel_call(struct channel *ch, struct nl_msg *m, channel_fn fn,
		 void *ctx)
{
	struct call c = { .ch = ch, .fn = fn, .ctx = ctx };
	struct pollfd p = { .fd = ch->fd, .events = POLLIN };
	int64_t end = now_ms() + CALL_MS;
	int rc;

	ch->error[0] = 0;
	rc = channel_send(ch, m, &c.seq);
	while (!rc && !c.done) {
		int64_t left = end - now_ms();

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
		rc = channel_receive(ch, 64, call_message, &c);
		if (rc > 0)
			rc = 0;
	}
	if (rc < 0)
		return rc;
	return c.interrupted ? -EINTR : c.rc;
}

void channel_deferred(struct channel *ch, channel_fn fn, void *ctx)
{
	struct channel_msg *m;

	while (ch->fd >= 0 && (m = ch->deferred)) {
		ch->deferred = m->next;
		if (!ch->deferred)
			ch->deferred_tail = &ch->deferred;
		fn(ctx, m->nlh);
		free(m);
	}
}
