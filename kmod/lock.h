/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by lock.c (what the VFS calls), lock_ask.c (requests), lock_held.c
 * (the VFS's lists), lock_count.c (how many) and lock_nl.c (recalls, and what
 * the daemon reads).
 * Documentation/coherence.md, "Locks".
 *
 * Lock order: orchfs_locks.sem > orchfs_locks.order > the VFS's lists of locks.
 * Nothing waits for the daemon under them.
 */
#ifndef _ORCHFS_LOCK_H
#define _ORCHFS_LOCK_H

#include <linux/filelock.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>

#include "channel.h"

/* Of a channel: the rest of its requests is for what others ask. */
#define ORCHFS_LOCK_WAITS_MAX	512

/*
 * Ranges that are locked here; the authority has room for 131,072 of a node.
 * Where unlocks cut one in two there may be some more.
 */
#define ORCHFS_RANGES_MAX	120000
#define ORCHFS_RANGES_USER_MAX	30000
#define ORCHFS_RANGES_CUT_MAX	4096

struct netlink_callback;

/**
 * struct orchfs_locks - locks of one inode; made with the first
 * @inode: whose
 * @sem: held for reading to decide by the VFS's lists alone, for writing to
 *	change who decides
 * @lease: this kernel decides alone (@sem)
 * @lost: times that all of it was lost (@sem); what was granted, or leased,
 *	before the last isn't, wherever it is on its way
 * @recall: on orchfs_sb.recalls, with a reference to the inode, or empty
 *	(orchfs_sb.lock)
 * @recall_id: of the last recall (orchfs_sb.lock)
 * @order: where the daemon decides it is held to change the lists and to enter
 *	requests, so that numbers of requests are in the order of changes
 * @asking: requests for locks whose answer isn't in the lists yet (@order)
 * @granted: answers whose lock isn't in the VFS's lists yet
 * @leased: answers whose lease isn't in @lease yet
 * @wq: those two fell to 0
 * @lock: @waiters
 * @waiters: tasks that wait for a lock which this kernel decides about
 */
struct orchfs_locks {
	struct inode *inode;
	struct rw_semaphore sem;
	bool lease;
	u32 lost;
	struct list_head recall;
	u64 recall_id;
	struct mutex order;
	struct list_head asking;
	atomic_t granted;
	atomic_t leased;
	wait_queue_head_t wq;
	spinlock_t lock;
	struct list_head waiters;
};

/**
 * struct orchfs_asking - a request for a lock, until its answer is in the lists
 * @link: on orchfs_locks.asking, or empty (@order)
 * @l: what is wanted
 * @lost: orchfs_locks.lost when it was answered
 * @overtaken: its owner has changed something in the range since (@order): what
 *	is granted may be gone
 */
struct orchfs_asking {
	struct list_head link;
	struct orchfs_lock l;
	u32 lost;
	bool overtaken;
};

/**
 * struct orchfs_lock_user - who has files open that are locked
 * @sbi: of the superblock, in whose lock_users this is
 * @uid: in the initial user namespace
 * @nr: ranges that are locked, and tasks that are about to lock one; the last
 *	one that goes, goes under the lock of lock_users
 */
struct orchfs_lock_user {
	struct orchfs_sb *sbi;
	u32 uid;
	atomic_t nr;
};

/* Locks of one inode. */
struct orchfs_held {
	struct orchfs_lock *locks;
	unsigned int nr;
	unsigned int room;
};

/* Of the same owner and kind, and have they bytes in common? */
static inline bool orchfs_lock_touches(const struct orchfs_lock *a,
				       const struct orchfs_lock *b)
{
	return a->owner == b->owner &&
	       !((a->flags ^ b->flags) & ORCHFS_LOCK_FLOCK) &&
	       a->start <= b->end && b->start <= a->end;
}

/* lock.c */
void orchfs_locks_wake(struct orchfs_locks *li);
u64 orchfs_lock_owner(const void *owner);
void orchfs_lock_describe(const struct file_lock *fl, struct orchfs_lock *l);
int orchfs_flock_unlock(struct inode *inode, const struct file_lock *fl);

/* lock_ask.c */
void orchfs_lock_deliver(struct inode *inode);
int orchfs_lock_ask(struct orchfs_locks *li, struct orchfs_asking *a,
		    const struct file_lock *fl, struct orchfs_result *res);
int orchfs_lock_test(struct orchfs_locks *li, const struct orchfs_lock *l,
		     struct orchfs_result *res, u32 *lost);
struct orchfs_request *orchfs_locks_tell(struct orchfs_locks *li,
					 const struct orchfs_lock *l);
void orchfs_locks_settle(struct orchfs_locks *li, const struct orchfs_lock *l);
void orchfs_unlock_wait(struct orchfs_locks *li, const struct orchfs_lock *l,
			struct orchfs_request *req);

/* lock_held.c */
struct orchfs_locks *orchfs_locks_find(struct orchfs_sb *sbi, u64 node);
int orchfs_held_get(struct inode *inode, struct orchfs_held *held);
int orchfs_held_range(struct inode *inode, const struct orchfs_lock *l,
		      struct orchfs_lock *out, int max);
unsigned int orchfs_held_drop(struct inode *inode, const struct orchfs_lock *l);

/* lock_count.c */
int orchfs_ranges_begin(const struct file *file, struct file_lock *fl);
void orchfs_ranges_end(struct file_lock *fl);
int orchfs_ranges_cut(struct orchfs_locks *li, const struct file *file,
		      const struct orchfs_lock *l);

/* lock_nl.c */
int orchfs_locks_dump_start(struct netlink_callback *cb,
			    struct orchfs_channel *ch);

#endif
