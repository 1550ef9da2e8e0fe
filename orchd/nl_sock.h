/* SPDX-License-Identifier: Apache-2.0 */
/* The socket of one namespace's channel; the namespace thread's alone. */
#ifndef ORCHD_NL_SOCK_H
#define ORCHD_NL_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nl_msg;
struct nl_sock;
struct nlmsghdr;

struct channel {
	struct nl_sock *sk;
	int fd;				/* -1: closed */
	uint16_t family;
	uint32_t port, seq;
	bool overrun;			/* ENOBUFS: the kernel has more */
	bool lost;			/* a message: attach again */
	char error[256];		/* text of the last refusal */
	uint8_t *buf;
	struct channel_msg *deferred, **deferred_tail;
};

typedef void (*channel_fn)(void *ctx, struct nlmsghdr *nlh);

/** channel_open() - -ENOENT when the module orchfs is not loaded. */
int channel_open(struct channel *ch);
void channel_close(struct channel *ch);
/** channel_send() - frees @m (NULL: -ENOMEM). @seq, if set, its number. */
int channel_send(struct channel *ch, struct nl_msg *m, uint32_t *seq);
/**
 * channel_receive() - pass up to @max messages to fn. Return: how many, 0
 * when none is left, -errno when the socket is broken.
 */
int channel_receive(struct channel *ch, int max, channel_fn fn, void *ctx);
/**
 * channel_call() - send and wait for the end of the answer. Events that come
 * meanwhile are kept; channel_deferred() hands them out.
 * Return: 0 or -errno of the kernel, with ch->error.
 */
int channel_call(struct channel *ch, struct nl_msg *m, channel_fn fn,
		 void *ctx);
void channel_deferred(struct channel *ch, channel_fn fn, void *ctx);
/** channel_error() - the code of an NLMSG_ERROR; keeps its text. */
int channel_error(struct channel *ch, struct nlmsghdr *nlh);

#endif
