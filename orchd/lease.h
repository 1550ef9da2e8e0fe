/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What other nodes' kernels may believe: the inodes that each was told of, the
 * invalidations under way, and which answers wait for them. No I/O and no
 * clock: times are ms of CLOCK_BOOTTIME, given by who calls. Namespace thread.
 * Documentation/coherence.md.
 */
#ifndef ORCHD_LEASE_H
#define ORCHD_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "op_wire.h"

#define LEASE_ROWS_MAX	(1U << 20)	/* of a node */
#define LEASE_BATCH	256U		/* inodes in a message */
#define LEASE_ASKED_MAX	32U		/* messages under way to a node */

#define LEASE_PAUSE_MS	2000U		/* without lease_now(): a pause */
#define LEASE_ECHO_MAX	1024U		/* then it is asked what has arrived */

struct lease;
struct lease_ref;
struct stale;

/* An answer, or a part of it. */
struct lease_wait {
	struct lease_ref *refs;		/* what it waits for; lease.c's */
	size_t nr;			/* 0: nothing */
	struct stale *echo;		/* what it tells its node of; lease.c's */
};

struct lease_ops {
	/*
	 * Tell a node whose link is up; lease_acked() once its kernel knows.
	 * Return: 0; -errno: its link goes down.
	 */
	int (*send)(void *ctx, uint32_t node, uint64_t seq,
		    const struct op_stale *s, size_t nr);	/* nr: or 0 */
	/* it waits for nothing any more; not from lease_wait_for() */
	void (*ready)(void *ctx, struct lease_wait *w);
	/* its session has ended, and so has all that it was told */
	void (*ended)(void *ctx, uint32_t node);
};

/* Of a node, for people. */
struct lease_info {
	bool up, awaited;
	uint64_t deadline;
	size_t rows, stale;		/* stale: not acknowledged */
};

struct lease *lease_new(const struct lease_ops *ops, void *ctx);
/** lease_free() - nobody waits any more */
void lease_free(struct lease *l);

/** lease_none() - no node has a session: nothing below costs anything */
bool lease_none(const struct lease *l);
/**
 * lease_await() - a node may have leases of an earlier run until @deadline: all
 * answers wait until it has attached, or for that long
 */
int lease_await(struct lease *l, uint32_t node, uint64_t deadline);
/** lease_awaits() - there is one that hasn't attached yet */
bool lease_awaits(const struct lease *l);
/**
 * lease_attach() - a node has told what it holds: from now on what changes is
 * recorded, and told once it is up
 * @same: it may be the kernel of the session that it has, or may have: what
 * that hasn't acknowledged is sent again. Else it believes nothing of before
 * @deadline: of its session
 */
int lease_attach(struct lease *l, uint32_t node, bool same, uint64_t deadline);
/** lease_up() - it is told that it has attached */
void lease_up(struct lease *l, uint32_t node, uint64_t deadline);
/** lease_down() - its link is down; the session goes on to its deadline */
void lease_down(struct lease *l, uint32_t node);
/**
 * lease_own_lost() - the own kernel can't be told of changes, and goes on
 * believing: no other node hears of anything until lease_own_back()
 */
void lease_own_lost(struct lease *l);
/** lease_own_back() - it believes nothing of before any more, or is no more */
void lease_own_back(struct lease *l);
/**
 * lease_renew() - only upwards
 * Return: 0; -ENOENT it has no session; -EBUSY an invalidation of before
 * @since wasn't acknowledged: who waits for that shall not wait for ever.
 */
int lease_renew(struct lease *l, uint32_t node, uint64_t since,
		uint64_t deadline);
/**
 * lease_leave() - a node has nothing mounted, or no more: it believes nothing,
 * and costs nothing until lease_attach()
 */
void lease_leave(struct lease *l, uint32_t node);
/** lease_end() - a node is given up */
void lease_end(struct lease *l, uint32_t node);
/**
 * lease_now() - the time by which the next deadlines are counted
 * To be called each second at least. Where it wasn't, nobody could be heard, and
 * all deadlines of before are later by as much.
 */
void lease_now(struct lease *l, uint64_t now);
/** lease_tick() - it is that time: sessions past their deadline end */
void lease_tick(struct lease *l, uint64_t now);

/**
 * lease_told() - a node's answer tells of an inode: enter it
 * Before another change of it is told to anybody.
 */
void lease_told(struct lease *l, uint32_t node, uint64_t ino);
/** lease_forgot() - its kernel no longer has an inode that lost its names */
void lease_forgot(struct lease *l, uint32_t node, uint64_t ino);
/** lease_holders() - nodes that may have an inode in memory; their number */
size_t lease_holders(const struct lease *l, uint64_t ino, uint32_t *nodes,
		     size_t max);
/**
 * lease_changed() - an inode, or the names in it, have changed: tell those who
 * may believe otherwise, but not @origin
 * @attr: it has lost its last name; or NULL
 */
void lease_changed(struct lease *l, uint32_t origin, uint64_t ino,
		   const struct orchfs_attr *attr, uint64_t now);
/** lease_tell() - the same, to one node, whatever it was told */
void lease_tell(struct lease *l, uint32_t node, uint64_t ino,
		const struct orchfs_attr *attr, uint64_t now);
/**
 * lease_echo() - @origin changed it by a request, and believes otherwise itself
 * until it has the answer: others hear of it then
 */
void lease_echo(struct lease *l, uint32_t origin, uint64_t ino);
/** lease_answer() - that answer is @w; what was executed since the last one */
void lease_answer(struct lease *l, struct lease_wait *w);
/** lease_sent() - it is given; the own kernel has it by then */
void lease_sent(struct lease_wait *w);
/** lease_flush() - send what is to be sent */
void lease_flush(struct lease *l);
/** lease_acked() - a node's kernel knows what message @seq tells */
void lease_acked(struct lease *l, uint32_t node, uint64_t seq);

/**
 * lease_wait_for() - an answer to @origin tells of an inode, or of names in it
 * Return: 0; -ENOMEM: it may not be given.
 */
int lease_wait_for(struct lease *l, struct lease_wait *w, uint32_t origin,
		   uint64_t ino);
/** lease_wait_drop() - it isn't given any more: its node asks again */
void lease_wait_drop(struct lease_wait *w);

/** lease_info() - Return: 0 or -ENOENT. */
int lease_info(const struct lease *l, uint32_t node, struct lease_info *out);

#endif
