/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by locks.c, who decides and who waits, and locks_held.c, ranges. */
#ifndef ORCHD_LOCKS_IMPL_H
#define ORCHD_LOCKS_IMPL_H

#include "locks.h"

#define OWNER_BUCKETS	256

#define LOCK_KINDS	2		/* of fcntl(2), and of flock(2) */

/* What a node has, of all inodes. */
struct lock_node {
	struct lock_node *next;
	uint32_t number;
	size_t nr_held;
};

struct held {
	struct held *left, *right;
	uint64_t last;		/* byte of those below, and of this */
	uint64_t serial;	/* tells those apart that begin alike */
	uint64_t priority;	/* those below have lower ones */
	struct lock_node *of;
	struct orchfs_lock l;	/* node: whose; id: of the last request */
	bool stale;		/* not told again yet; see locks_reclaim() */
};

/* A request that waits: for a lock, or for a recall of its inode's lease. */
struct wait {
	struct wait *next;
	struct wait *owner_next;	/* in locks.waiting; for a lock only */
	struct wait *todo;		/* of a search */
	struct inode_locks *in;
	uint64_t id;
	uint64_t seen;			/* number of the search that met it */
	struct orchfs_lock l;
};

struct inode_locks {
	struct inode_locks *next;
	uint64_t ino;
	uint32_t lease;		/* node that decides alone; 0: the table does */
	bool lease_stale;
	bool recalling;
	uint64_t number;	/* of the recall */
	uint64_t sent;		/* when it was, or was answered in part */
	uint64_t ended;		/* when the last one was; 0: never */
	uint64_t contended;	/* until then nobody gets the lease */
	struct held *held[LOCK_KINDS];
	uint32_t refused;	/* node that tells, but has lost its locks */
	bool no_room;		/* for what the recall is answered with */
	struct wait *waits;	/* for locks, oldest first */
	struct wait *queue;	/* for the end of the recall, likewise */
};

struct locks {
	const struct locks_ops *ops;
	void *ctx;
	uint32_t self;
	struct inode_locks **buckets;
	size_t size, nr, hand;
	size_t nr_held, nr_leases, nr_waits;
	uint64_t number;	/* of recalls and searches */
	uint64_t serial;	/* of ranges */
	uint64_t random;	/* state of their priorities */
	struct lock_node *nodes;
	struct wait *waiting[OWNER_BUCKETS];
};

bool lock_same_owner(const struct orchfs_lock *a, const struct orchfs_lock *b);
/* flock(2) and fcntl(2) know nothing of each other. */
unsigned int lock_kind(const struct orchfs_lock *l);
bool lock_conflict(const struct orchfs_lock *a, const struct orchfs_lock *b);
const struct held *lock_in_the_way(const struct inode_locks *in,
				   const struct orchfs_lock *l);
/* The next one in order of those with a byte of that range; NULL: the first. */
struct held *held_next(const struct inode_locks *in, unsigned int kind,
		       uint64_t start, uint64_t end, const struct held *after);
/* Nothing is added or removed meanwhile. */
#define for_each_held(h, in, kind, start, end) \
	for ((h) = held_next(in, kind, start, end, NULL); (h); \
	     (h) = held_next(in, kind, start, end, h))
/* Has a later request of the owner changed something in that range? */
bool held_newer(const struct inode_locks *in, const struct orchfs_lock *l);
void held_remove(struct locks *t, struct inode_locks *in, struct held *h);
/* Set what the owner has of a range, nobody being in the way: 0 or -ENOLCK. */
int held_apply(struct locks *t, struct inode_locks *in,
	       const struct orchfs_lock *want);
/* @stale_only: just what wasn't told again */
void held_drop(struct locks *t, struct inode_locks *in, uint32_t node,
	       bool stale_only);

#endif
