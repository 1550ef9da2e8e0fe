/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by lock.c (what the VFS calls), lock_ask.c (requests) and lock_nl.c
 * (recalls, and what the daemon reads). Documentation/coherence.md, "Locks".
 *
 * Lock order: orchfs_locks.sem > the VFS's lists of locks. Nothing waits for
 * the daemon under it.
 */
#ifndef _ORCHFS_LOCK_H
#define _ORCHFS_LOCK_H

#include <linux/filelock.h>
#include <linux/rwsem.h>

#include "channel.h"

/* Of a channel: the rest of its requests is for what others ask. */
#define ORCHFS_LOCK_WAITS_MAX	512

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
	atomic_t granted;
	atomic_t leased;
	wait_queue_head_t wq;
	spinlock_t lock;
	struct list_head waiters;
};

/* lock.c */
void orchfs_locks_wake(struct orchfs_locks *li);
u64 orchfs_lock_owner(const void *owner);
void orchfs_lock_describe(const struct file_lock *fl, struct orchfs_lock *l);

/* lock_ask.c */
int orchfs_lock_ask(struct orchfs_locks *li, const struct orchfs_lock *l,
		    struct orchfs_result *res, u32 *lost);
void orchfs_lock_release(struct inode *inode, const struct orchfs_lock *l,
			 bool wait);

/* lock_nl.c */
int orchfs_locks_dump_start(struct netlink_callback *cb,
			    struct orchfs_channel *ch);

#endif
