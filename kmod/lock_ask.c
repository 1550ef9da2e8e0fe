// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests for locks. One that waits for a lock has no deadline, and ends
 * early by another request, which cancels it: the answer to the first one
 * tells which of both came first. An unlock is never taken back: it stays in
 * the table when its caller goes, and if the daemon goes too the next one
 * reads which locks are held.
 */
#include <linux/freezer.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "lock.h"
#include "trace.h"

#define ORCHFS_CANCEL_AGAIN	HZ

static struct orchfs_request *orchfs_lock_enter(struct inode *inode,
						struct orchfs_args *args,
						unsigned long deadline)
{
	struct orchfs_channel *ch = orchfs_channel_of(inode);
	unsigned int nofs = memalloc_nofs_save();
	struct orchfs_request *req;

	args->kind = ORCHFS_KIND_LOCK;
	args->node = inode->i_ino;
	atomic64_inc(&ch->counters[ORCHFS_KIND_LOCK].count);
	req = orchfs_upcall_enter(inode->i_sb, args, deadline);
	if (!IS_ERR(req))
		orchfs_request_deliver(ch);
	memalloc_nofs_restore(nofs);
	return req;
}

static unsigned long orchfs_lock_deadline(const struct inode *inode)
{
	return jiffies + ORCHFS_SB(inode->i_sb)->upcall_timeout * HZ;
}

/* The answer to the request comes soon, if the daemon has got it. */
static void orchfs_lock_cancel(struct inode *inode, u64 id)
{
	const struct orchfs_lock l = {
		.id = id,
		.flags = ORCHFS_LOCK_CANCEL,
	};
	struct orchfs_args args = { .lock = &l, .leaves = true };
	struct orchfs_request *req;

	req = orchfs_lock_enter(inode, &args, jiffies);
	if (!IS_ERR(req))
		orchfs_request_put(req);
}

/*
 * Not to be waited for any longer. The daemon may get the cancel before the
 * request, if that has to wait on its way, so it is told again. When the
 * machine is suspended it may be frozen already, and wakes later.
 */
static int orchfs_lock_end_wait(struct inode *inode, struct orchfs_request *req)
{
	struct orchfs_channel *ch = orchfs_channel_of(inode);
	unsigned long deadline = orchfs_lock_deadline(inode);
	long left;

	do {
		if (orchfs_request_withdraw(ch, req))
			return -EINTR;
		orchfs_lock_cancel(inode, req->id);
		left = wait_for_completion_killable_timeout(&req->done,
							    ORCHFS_CANCEL_AGAIN);
		try_to_freeze();
	} while (!left && time_before(jiffies, deadline));
	return left <= 0 && orchfs_request_give_up(ch, req) ? -EINTR : 0;
}

/* 0 when there is an answer, else an errno as of orchfs_upcall(). */
static int orchfs_lock_wait(struct inode *inode, struct orchfs_request *req,
			    bool for_long)
{
	struct orchfs_sb *sbi = ORCHFS_SB(inode->i_sb);
	long left;

	/* frozen where it waits, as there is nobody to answer a cancel then */
	if (for_long)
		return wait_for_completion_state(&req->done,
						 TASK_INTERRUPTIBLE |
						 TASK_FREEZABLE) ?
		       orchfs_lock_end_wait(inode, req) : 0;
	left = wait_for_completion_killable_timeout(&req->done,
						    sbi->upcall_timeout * HZ);
	if (left <= 0 && orchfs_request_give_up(sbi->channel, req))
		return left ? -EINTR : sbi->upcall_errno;
	return 0;
}

/* 0 with the answer in @req, else as orchfs_lock_ask(). */
static int orchfs_lock_answer(struct inode *inode, struct orchfs_request *req,
			      bool for_long)
{
	int ret = orchfs_lock_wait(inode, req, for_long);

	if (!ret)
		ret = req->status;
	if (ret == -EINTR && for_long)
		ret = -ERESTARTSYS;	/* interrupted before it was granted */
	return ret;
}

/**
 * orchfs_lock_ask() - ask for a lock, or what is in its way
 * @li: of the inode; on 0 orchfs_locks.leased is counted up if the answer has
 *	the flag lease, else @granted if it isn't a test. The caller counts down
 * @l: what is wanted; with ORCHFS_LOCK_WAIT as long as it takes
 * @res: filled on 0, empty otherwise; the caller frees it in every case
 * @lost: set on 0 to what orchfs_locks.lost was when it was answered
 *
 * Return: 0, the daemon's status, -ERESTARTSYS when waiting was interrupted,
 * -ENOLCK when too many wait, else as orchfs_upcall().
 */
int orchfs_lock_ask(struct orchfs_locks *li, const struct orchfs_lock *l,
		    struct orchfs_result *res, u32 *lost)
{
	struct orchfs_args args = { .lock = l, .locks = li };
	struct inode *inode = li->inode;
	struct orchfs_channel *ch = orchfs_channel_of(inode);
	bool for_long = l->flags & ORCHFS_LOCK_WAIT;
	u64 start = ktime_get_ns();
	struct orchfs_request *req;
	int ret = -ENOLCK;

	memset(res, 0, sizeof(*res));
	if (for_long && atomic_inc_return(&ch->lock_waits) >
			ORCHFS_LOCK_WAITS_MAX)
		goto out;
	req = orchfs_lock_enter(inode, &args, orchfs_lock_deadline(inode));
	ret = PTR_ERR_OR_ZERO(req);
	if (ret)
		goto out;
	ret = orchfs_lock_answer(inode, req, for_long);
	if (!ret) {
		*res = req->res;
		*lost = req->lost;
		memset(&req->res, 0, sizeof(req->res));
	}
	trace_orchfs_upcall_done(ch->name, req->id, ORCHFS_KIND_LOCK, ret,
				 ktime_get_ns() - start);
	orchfs_request_put(req);
out:
	if (for_long)
		atomic_dec(&ch->lock_waits);
	return ret;
}

/**
 * orchfs_lock_release() - tell that a range is not locked any more
 * @inode: the inode
 * @l: owner, range and kind
 * @wait: until others can have it, or the caller is killed
 */
void orchfs_lock_release(struct inode *inode, const struct orchfs_lock *l,
			 bool wait)
{
	struct orchfs_lock none = *l;
	struct orchfs_args args = { .lock = &none, .leaves = true };
	struct orchfs_request *req;

	none.type = ORCHFS_LOCK_NONE;
	none.flags &= ORCHFS_LOCK_FLOCK | ORCHFS_LOCK_OFD;
	req = orchfs_lock_enter(inode, &args,
				wait ? orchfs_lock_deadline(inode) : jiffies);
	if (IS_ERR(req))
		return;
	if (wait)
		wait_for_completion_killable_timeout(&req->done,
			ORCHFS_SB(inode->i_sb)->upcall_timeout * HZ);
	orchfs_request_put(req);
}

/**
 * orchfs_lock_answered() - the answer to a request for a lock won
 * @req: it, in the table; its channel is locked
 *
 * Before the next message of the daemon is looked at, which may be a recall.
 */
void orchfs_lock_answered(struct orchfs_request *req)
{
	struct orchfs_locks *li = req->locks;

	if (!li || req->status)
		return;
	req->lost = READ_ONCE(li->lost);
	if (req->res.flags & ORCHFS_REQ_FLAG_LEASE)
		atomic_inc(&li->leased);
	else if (!(req->lock.flags & ORCHFS_LOCK_TEST))
		atomic_inc(&li->granted);
}

/**
 * orchfs_lock_late() - a lock was granted, but its caller was killed
 * @ch: the channel
 * @req: what was asked for
 * @res: the answer
 *
 * If no request can be made for lack of memory the lock stays until the daemon
 * reads the locks anew.
 */
void orchfs_lock_late(struct orchfs_channel *ch,
		      const struct orchfs_request *req,
		      const struct orchfs_result *res)
{
	struct orchfs_lock none = req->lock;
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_LOCK,
		.node = req->nodes[0],
		.lock = &none,
		.leaves = true,
	};
	struct orchfs_request *undo;
	struct super_block *sb;

	if (res->flags & ORCHFS_REQ_FLAG_LEASE ||
	    none.flags & ORCHFS_LOCK_TEST)
		return;
	sb = orchfs_channel_sb_get(ch);
	if (!sb)
		return;
	none.type = ORCHFS_LOCK_NONE;
	none.flags &= ORCHFS_LOCK_FLOCK | ORCHFS_LOCK_OFD;
	undo = orchfs_upcall_enter(sb, &args, jiffies);
	if (!IS_ERR(undo))
		orchfs_request_put(undo);
	orchfs_channel_sb_put(ch, sb);
}
