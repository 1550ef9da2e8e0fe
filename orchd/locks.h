/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The authority's locks: of the inodes that several nodes lock, and the leases
 * of those that one node locks alone. Pure: messages are the caller's, and so
 * is the clock. Documentation/coherence.md, "Locks", tells the rules.
 *
 * A node is known by its number. Nobody but the namespace thread comes here.
 */
#ifndef ORCHD_LOCKS_H
#define ORCHD_LOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/orchfs.h>

#define LOCKS_RESEND_MS		1000	/* a recall without an answer */
#define LOCKS_CONTENDED_MS	1000	/* no lease after one was recalled */
#define LOCKS_HELD_MAX		(1 << 20)	/* ranges */
#define LOCKS_NODE_MAX		(1 << 17)	/* of them of a node */
#define LOCKS_CUT_MAX		(1 << 12)	/* more, where unlocks cut */
#define LOCKS_INODES_MAX	(1 << 18)	/* from here leases are recalled */

struct locks;

/**
 * struct locks_ops - what the table has to say; none of them calls it
 * @answer: ends a request. @flags: ORCHFS_REQ_FLAG_LEASE or 0. @lock: of a
 *	test that found one what is in the way, of one that didn't type NONE;
 *	else NULL
 * @recall: asks a node for the lease of an inode's locks; locks_held() with
 *	this @number answers. False: the node has no kernel that could hold
 *	any. One that can't be reached now is asked again. With @lost it is told
 *	that it holds nothing of this inode any more; that has no answer
 */
struct locks_ops {
	void (*answer)(void *ctx, uint32_t node, uint64_t id, int status,
		       uint32_t flags, const struct orchfs_lock *lock);
	bool (*recall)(void *ctx, uint32_t node, uint64_t ino, uint64_t number,
		       bool lost);
};

/**
 * locks_new() - a table without locks
 * @self: node whose kernel decides about inodes that the table doesn't know
 */
struct locks *locks_new(uint32_t self, const struct locks_ops *ops, void *ctx);
void locks_free(struct locks *t);

/**
 * locks_request() - lock, unlock, test or cancel
 * @id: of the request, for its answer; no other of the node that waits has it.
 *	Those of an owner are in the order in which it made them
 * @now: in ms
 *
 * Answered at once or later, but once. Errors: -EAGAIN, -EDEADLK, -ENOLCK,
 * -EINVAL; -EINTR to one that was cancelled; -ESTALE to one that arrives after a
 * later one of the same owner, which has locked some of that range.
 */
void locks_request(struct locks *t, uint32_t node, uint64_t id, uint64_t ino,
		   const struct orchfs_lock *l, uint64_t now);

/**
 * locks_held() - what a node holds, as a recall asked; with @eof that is all
 *
 * Where there is no room for it the node has lost all of this inode. It may be
 * told twice, or begun anew: what it let go of meanwhile it tells by
 * unlocks, which wait for the end of this.
 */
void locks_held(struct locks *t, uint32_t node, uint64_t ino, uint64_t number,
		const struct orchfs_lock *l, size_t nr, bool eof, uint64_t now);

/**
 * locks_reclaim_begin() - a kernel tells anew what it has
 *
 * Its requests that waited are forgotten: it sends them again. What it doesn't
 * tell until locks_reclaim_end() it hasn't any more.
 */
void locks_reclaim_begin(struct locks *t, uint32_t node);
/**
 * locks_reclaim() - one inode: a lease, or locks
 * @lost: the node's session had ended, so it gets nothing back
 */
void locks_reclaim(struct locks *t, uint32_t node, uint64_t ino, bool lease,
		   const struct orchfs_lock *l, size_t nr, bool lost);
void locks_reclaim_end(struct locks *t, uint32_t node, uint64_t now);

/** locks_forget_waits() - what a node waits for it will ask for anew */
void locks_forget_waits(struct locks *t, uint32_t node);

/** locks_node_gone() - its session has ended, or it has unmounted. */
void locks_node_gone(struct locks *t, uint32_t node, uint64_t now);

/** locks_tick() - once a second or so: sends recalls again, forgets. */
void locks_tick(struct locks *t, uint64_t now);

struct locks_counts {
	size_t inodes, leases, held, waiting;
};
struct locks_counts locks_count(const struct locks *t);

#endif
