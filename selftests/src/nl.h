/* SPDX-License-Identifier: GPL-2.0-only */
/* Raw netlink messages to the family "orchfs", good ones and bad ones. */
#ifndef SELFTEST_NL_H
#define SELFTEST_NL_H

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/orchfs_nl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include "util.h"


#define MSG_MAX		65536
#define NO_ANSWER	1		/* no errno has this sign */

struct msg {
	union {
		struct nlmsghdr h;
		char buf[MSG_MAX];
	};
};

static uint32_t nl_seq;
static unsigned int sent_total;

/* Gets what the kernel sends on its own while an answer is waited for. */
static void (*nl_event)(const struct nlmsghdr *h);

/* Gets the answer itself, before its end or acknowledgement. */
static void (*nl_answer)(const struct nlmsghdr *h);

static inline void msg_start(struct msg *m, int type, int flags, int cmd)
{
	struct genlmsghdr *g;

	memset(m, 0, 64);
	m->h.nlmsg_type = type;
	m->h.nlmsg_flags = NLM_F_REQUEST | flags;
	m->h.nlmsg_seq = ++nl_seq;
	m->h.nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN;
	g = NLMSG_DATA(&m->h);
	g->cmd = cmd;
	g->version = 1;
}

static inline void *msg_room(struct msg *m, int type, size_t len)
{
	struct nlattr *a = (void *)(m->buf + m->h.nlmsg_len);

	if (m->h.nlmsg_len + NLA_HDRLEN + NLA_ALIGN(len) > MSG_MAX - 64)
		return m->buf + MSG_MAX - 64;	/* full: goes nowhere */
	memset(a, 0, NLA_HDRLEN + NLA_ALIGN(len));
	a->nla_type = type;
	a->nla_len = NLA_HDRLEN + len;
	m->h.nlmsg_len += NLA_HDRLEN + NLA_ALIGN(len);
	return (char *)a + NLA_HDRLEN;
}

static inline void put(struct msg *m, int type, const void *data, size_t len)
{
	if (m->h.nlmsg_len + NLA_HDRLEN + NLA_ALIGN(len) <= MSG_MAX - 64)
		memcpy(msg_room(m, type, len), data, len);
}

static inline void put32(struct msg *m, int type, uint32_t v)
{
	put(m, type, &v, sizeof(v));
}

static inline void put64(struct msg *m, int type, uint64_t v)
{
	put(m, type, &v, sizeof(v));
}

static inline size_t nest(struct msg *m, int type)
{
	size_t at = m->h.nlmsg_len;

	msg_room(m, type | NLA_F_NESTED, 0);
	return at;
}

static inline void nest_end(struct msg *m, size_t at)
{
	((struct nlattr *)(m->buf + at))->nla_len = m->h.nlmsg_len - at;
}

static inline int nl_open(void)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	struct timeval tv = { .tv_sec = 10 };
	int one = 1, fd;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
		die("netlink socket: %m");
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	return fd;
}

/* NO_ANSWER, or what sendto() says where the kernel refuses to take it. */
static inline int nl_send(int fd, struct msg *m, size_t len)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };

	sent_total++;
	if (sendto(fd, m, len, 0, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return NO_ANSWER;
}

/* The errno in the answer of a message that asks for one. */
static inline int nl_wait(int fd, uint32_t want_seq)
{
	static struct msg m;
	struct nlmsghdr *h;
	ssize_t n;

	for (;;) {
		n = recv(fd, &m, sizeof(m), 0);
		if (n < 0 && errno == ENOBUFS)
			continue;
		if (n < 0)
			return NO_ANSWER;
		for (h = &m.h; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			if (!h->nlmsg_seq && nl_event)
				nl_event(h);
			if (h->nlmsg_seq != want_seq)
				continue;
			if (nl_answer)
				nl_answer(h);
			if (h->nlmsg_type == NLMSG_ERROR)
				return *(int *)NLMSG_DATA(h);
			if (h->nlmsg_type == NLMSG_DONE)
				return h->nlmsg_len >= NLMSG_LENGTH(4) ?
					*(int *)NLMSG_DATA(h) : 0;
		}
	}
}

static inline int call(int fd, struct msg *m)
{
	int ret;

	if (!(m->h.nlmsg_flags & NLM_F_DUMP))
		m->h.nlmsg_flags |= NLM_F_ACK;
	ret = nl_send(fd, m, m->h.nlmsg_len);
	return ret == NO_ANSWER ? nl_wait(fd, m->h.nlmsg_seq) : ret;
}

static inline int find_family(void)
{
	static struct msg m;
	struct nlattr *a;
	int fd = nl_open();
	ssize_t n, at = NLMSG_HDRLEN + GENL_HDRLEN;

	msg_start(&m, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY);
	put(&m, CTRL_ATTR_FAMILY_NAME, ORCHFS_FAMILY_NAME,
	    sizeof(ORCHFS_FAMILY_NAME));
	nl_send(fd, &m, m.h.nlmsg_len);
	n = recv(fd, &m, sizeof(m), 0);
	close(fd);
	if (n < at || m.h.nlmsg_type != GENL_ID_CTRL)
		return -1;
	while (at + NLA_HDRLEN <= n) {
		a = (void *)(m.buf + at);
		if ((a->nla_type & NLA_TYPE_MASK) == CTRL_ATTR_FAMILY_ID)
			return *(uint16_t *)(a + 1);
		at += NLA_ALIGN(a->nla_len);
	}
	return -1;
}

#endif
