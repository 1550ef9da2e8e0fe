// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests for locks. One that waits for a lock has no deadline, and ends
 * early by another request, which cancels it: the answer to the first one
 * tells which of both came first. An unlock is never taken back: it stays in
 * the table when its caller goes, and if the daemon goes too the next one
 * reads which locks are held.
 *
 * What the lists have and what the daemon believes change apart, and requests
 * may arrive in another order than they were made in. So their numbers are in
 * the order in which the lists changed, and the daemon refuses one (-ESTALE)
 * after a later one of the same owner and range. Where the daemon may believe
 * something else than the lists have, it is told what those have.
 */
#include <linux/freezer.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "lock.h"
#include "trace.h"

#define ORCHFS_CANCEL_AGAIN	HZ
#define ORCHFS_TELL_MAX		16	/* ranges that an owner keeps */

/* To be delivered. Errors as of orchfs_upcall_enter(). */
static struct orchfs_request *orchfs_lock_enter(struct inode *inode,
						struct orchfs_args *args,
						unsigned long deadline)
{
	unsigned int nofs = memalloc_nofs_save();
	struct orchfs_request *req;

	args->kind = ORCHFS_KIND_LOCK;
	args->node = inode->i_ino;
	req = orchfs_upcall_enter(inode->i_sb, args, deadline);
	memalloc_nofs_restore(nofs);
	if (!IS_ERR(req))
		atomic64_inc(&orchfs_channel_of(inode)->
			     counters[ORCHFS_KIND_LOCK].count);
	return req;
}

/**
 * orchfs_lock_deliver() - send what was entered
 * @inode: for which; none of its locks' locks is held
 */
void orchfs_lock_deliver(struct inode *inode)
{
	unsigned int nofs = memalloc_nofs_save();

	orchfs_request_deliver(orchfs_channel_of(inode));
	memalloc_nofs_restore(nofs);
}

/* Until there is room for a request: 0, -EINTR, -ETIME, -EIO or -ENOMEM. */
static int orchfs_lock_room(struct inode *inode, unsigned long deadline)
{
	struct orchfs_channel *ch = orchfs_channel_of(inode);
	struct orchfs_request *req;

	req = orchfs_request_new(ch, ORCHFS_KIND_LOCK, 0, deadline);
	if (IS_ERR(req))
		return PTR_ERR(req);
	orchfs_request_discard(ch, req);
	return 0;
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
	if (IS_ERR(req))
		return;
	orchfs_lock_deliver(inode);
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

static int orchfs_lock_errno(const struct inode *inode, int err)
{
	return err == -ETIME ? ORCHFS_SB(inode->i_sb)->upcall_errno : err;
}

/* Answers of before that are on their way to the lists may be wrong now. */
static void orchfs_locks_overtake(struct orchfs_locks *li,
				  const struct orchfs_lock *l)
{
	struct orchfs_asking *a;

	lockdep_assert_held(&li->order);
	list_for_each_entry(a, &li->asking, link)
		if (orchfs_lock_touches(&a->l, l))
			a->overtaken = true;
}

/* By then flock(2) has let go of what it had. */
static struct orchfs_request *orchfs_lock_begin(struct orchfs_locks *li,
						struct orchfs_asking *a,
						const struct file_lock *fl)
{
	struct orchfs_args args = { .lock = &a->l, .locks = li };
	unsigned long deadline = orchfs_lock_deadline(li->inode);
	struct orchfs_request *req;
	int ret;

	for (;;) {
		mutex_lock(&li->order);
		req = orchfs_lock_enter(li->inode, &args, jiffies);
		if (!IS_ERR(req)) {
			if (a->l.flags & ORCHFS_LOCK_FLOCK)
				orchfs_flock_unlock(li->inode, fl);
			orchfs_locks_overtake(li, &a->l);
			list_add(&a->link, &li->asking);
		}
		mutex_unlock(&li->order);
		if (!IS_ERR(req) || PTR_ERR(req) != -ETIME)
			return req;
		ret = orchfs_lock_room(li->inode, deadline);
		if (ret)
			return ERR_PTR(ret);
	}
}

static int orchfs_lock_finish(struct inode *inode, struct orchfs_request *req,
			      bool for_long, u64 start,
			      struct orchfs_result *res, u32 *lost)
{
	int ret;

	orchfs_lock_deliver(inode);
	ret = orchfs_lock_answer(inode, req, for_long);
	if (!ret) {
		*res = req->res;
		*lost = req->lost;
		memset(&req->res, 0, sizeof(req->res));
	}
	trace_orchfs_upcall_done(orchfs_channel_of(inode)->name, req->id,
				 ORCHFS_KIND_LOCK, ret,
				 ktime_get_ns() - start);
	orchfs_request_put(req);
	return ret;
}

/**
 * orchfs_lock_ask() - ask for a lock
 * @li: of the inode; on 0 orchfs_locks.leased is counted up if the answer has
 *	the flag lease, else @granted. The caller counts down
 * @a: what is wanted, with ORCHFS_LOCK_WAIT as long as it takes; on no list. The
 *	caller takes it off orchfs_locks.asking in every case
 * @fl: the same
 * @res: filled on 0, empty otherwise; the caller frees it in every case
 *
 * Return: 0, the daemon's status, -ERESTARTSYS when waiting was interrupted,
 * -ENOLCK when too many wait, else as orchfs_upcall().
 */
int orchfs_lock_ask(struct orchfs_locks *li, struct orchfs_asking *a,
		    const struct file_lock *fl, struct orchfs_result *res)
{
	struct orchfs_channel *ch = orchfs_channel_of(li->inode);
	bool for_long = a->l.flags & ORCHFS_LOCK_WAIT;
	u64 start = ktime_get_ns();
	struct orchfs_request *req;
	int ret = -ENOLCK;

	memset(res, 0, sizeof(*res));
	if (for_long && atomic_inc_return(&ch->lock_waits) >
			ORCHFS_LOCK_WAITS_MAX)
		goto out;
	req = orchfs_lock_begin(li, a, fl);
	ret = orchfs_lock_errno(li->inode, PTR_ERR_OR_ZERO(req));
	if (!ret)
		ret = orchfs_lock_finish(li->inode, req, for_long, start, res,
					 &a->lost);
out:
	if (for_long)
		atomic_dec(&ch->lock_waits);
	return ret;
}

/**
 * orchfs_lock_test() - ask what is in the way of a lock
 * @li: of the inode; on 0 orchfs_locks.leased is counted up if the answer has
 *	the flag lease. The caller counts down
 * @l: the lock
 * @res: filled on 0, empty otherwise; the caller frees it in every case
 * @lost: set on 0 to what orchfs_locks.lost was when it was answered
 *
 * Return: as orchfs_upcall().
 */
int orchfs_lock_test(struct orchfs_locks *li, const struct orchfs_lock *l,
		     struct orchfs_result *res, u32 *lost)
{
	struct orchfs_args args = { .lock = l, .locks = li };
	struct inode *inode = li->inode;
	u64 start = ktime_get_ns();
	struct orchfs_request *req;

	memset(res, 0, sizeof(*res));
	req = orchfs_lock_enter(inode, &args, orchfs_lock_deadline(inode));
	if (IS_ERR(req))
		return orchfs_lock_errno(inode, PTR_ERR(req));
	return orchfs_lock_finish(inode, req, false, start, res, lost);
}

/* --- what the lists have --- */

static int orchfs_tell_one(struct orchfs_locks *li, const struct orchfs_lock *l,
			   u32 type, u64 start, u64 end,
			   struct orchfs_request **last)
{
	const struct orchfs_lock is = {
		.owner = l->owner,
		.start = start,
		.end = end,
		.type = type,
		.flags = l->flags & (ORCHFS_LOCK_FLOCK | ORCHFS_LOCK_OFD),
		.pid = l->pid,
	};
	struct orchfs_args args = { .lock = &is, .leaves = true };
	struct orchfs_request *req;

	req = orchfs_lock_enter(li->inode, &args, jiffies);
	if (IS_ERR(req))
		return PTR_ERR(req);
	orchfs_locks_overtake(li, &is);
	if (*last)
		orchfs_request_put(*last);
	*last = req;
	return 0;
}

/* What the lists have is more than the daemon may have granted. */
static bool orchfs_held_beyond(const struct orchfs_lock *l,
			       const struct orchfs_lock *held, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (held[i].type != l->type &&
		    (l->flags & ORCHFS_LOCK_FLOCK ||
		     l->type == ORCHFS_LOCK_READ))
			return true;
	return false;
}

/**
 * orchfs_locks_tell() - tell what an owner has of a range
 * @li: of the inode; its order is held
 * @l: owner, kind and range; type: what the daemon may believe that it has
 *
 * A weaker lock that was held before @l was granted is kept. More than a few
 * of them, or a stronger one, are lost: the lists never have more than the
 * daemon knows.
 *
 * Return: the last request that was made, to be delivered, with a reference;
 * NULL if there was none to make; -ETIME without room for it, or another error.
 */
struct orchfs_request *orchfs_locks_tell(struct orchfs_locks *li,
					 const struct orchfs_lock *l)
{
	struct orchfs_lock held[ORCHFS_TELL_MAX];
	struct orchfs_request *last = NULL;
	u64 at = l->start, end;
	int n, i, ret = 0;

	lockdep_assert_held(&li->order);
	n = orchfs_held_range(li->inode, l, held, ARRAY_SIZE(held));
	if (n < 0 || (l->type && orchfs_held_beyond(l, held, n))) {
		orchfs_held_drop(li->inode, l);
		pr_warn_ratelimited("orchfs: inode %lu: an owner of locks lost some, as one was granted too late\n",
				    li->inode->i_ino);
		n = 0;
	}
	for (i = 0; i <= n && !ret; i++) {
		end = i < n ? held[i].start : l->end + 1;
		if (at < end)
			ret = orchfs_tell_one(li, l, ORCHFS_LOCK_NONE, at,
					      end - 1, &last);
		if (i == n || ret)
			break;
		if (l->type == ORCHFS_LOCK_WRITE &&
		    held[i].type == ORCHFS_LOCK_READ)
			ret = orchfs_tell_one(li, l, ORCHFS_LOCK_READ,
					      held[i].start, held[i].end,
					      &last);
		at = held[i].end + 1;
	}
	if (ret && last)
		orchfs_request_put(last);
	return ret ? ERR_PTR(ret) : last;
}

/**
 * orchfs_locks_settle() - the same, and nobody waits for it
 * @li: of the inode; its order is held
 * @l: as orchfs_locks_tell()
 *
 * To be delivered. Where no request can be made the daemon is to read all locks
 * anew. Without one the next does so anyway.
 */
void orchfs_locks_settle(struct orchfs_locks *li, const struct orchfs_lock *l)
{
	struct orchfs_request *req = orchfs_locks_tell(li, l);

	if (!IS_ERR_OR_NULL(req))
		orchfs_request_put(req);
	else if (IS_ERR(req) && PTR_ERR(req) != -ENOTCONN)
		orchfs_notes_lost(orchfs_channel_of(li->inode));
}

/**
 * orchfs_unlock_wait() - until others can have what was let go of
 * @li: of the inode
 * @l: owner, range and kind
 * @req: of orchfs_locks_tell(); consumed
 *
 * Or the caller is killed: no close fails for that.
 */
void orchfs_unlock_wait(struct orchfs_locks *li, const struct orchfs_lock *l,
			struct orchfs_request *req)
{
	struct inode *inode = li->inode;
	unsigned long deadline = orchfs_lock_deadline(inode);

	while (IS_ERR(req) && PTR_ERR(req) == -ETIME &&
	       !orchfs_lock_room(inode, deadline)) {
		mutex_lock(&li->order);
		req = orchfs_locks_tell(li, l);
		mutex_unlock(&li->order);
	}
	if (IS_ERR(req) && PTR_ERR(req) != -ENOTCONN)
		orchfs_notes_lost(orchfs_channel_of(inode));
	if (IS_ERR_OR_NULL(req))
		return;
	orchfs_lock_deliver(inode);
	wait_for_completion_killable_timeout(&req->done,
		ORCHFS_SB(inode->i_sb)->upcall_timeout * HZ);
	orchfs_request_put(req);
}

/* --- answers that nobody waits for --- */

/* Of an inode that isn't in memory nothing is held. */
static void orchfs_lock_forgotten(struct super_block *sb, u64 node,
				  const struct orchfs_lock *l)
{
	struct orchfs_lock none = *l;
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_LOCK,
		.node = node,
		.lock = &none,
		.leaves = true,
	};
	struct orchfs_request *req;

	none.type = ORCHFS_LOCK_NONE;
	none.flags &= ORCHFS_LOCK_FLOCK | ORCHFS_LOCK_OFD;
	req = orchfs_upcall_enter(sb, &args, jiffies);
	if (!IS_ERR(req))
		orchfs_request_put(req);
	else if (PTR_ERR(req) != -ENOTCONN)
		orchfs_notes_lost(ORCHFS_SB(sb)->channel);
}

/* The daemon may believe something else than the lists have. */
static void orchfs_lock_doubt(struct orchfs_channel *ch,
			      const struct orchfs_request *req)
{
	struct super_block *sb = orchfs_channel_sb_get(ch);
	unsigned int nofs = memalloc_nofs_save();
	struct orchfs_locks *li = NULL;

	if (sb)
		li = orchfs_locks_find(ORCHFS_SB(sb), req->nodes[0]);
	if (li) {
		mutex_lock(&li->order);
		orchfs_locks_settle(li, &req->lock);
		mutex_unlock(&li->order);
		iput(li->inode);
	} else if (sb) {
		orchfs_lock_forgotten(sb, req->nodes[0], &req->lock);
	}
	memalloc_nofs_restore(nofs);
	orchfs_channel_sb_put(ch, sb);
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
 * orchfs_lock_told() - what was told of a range is answered
 * @ch: the channel
 * @req: any request that was answered
 *
 * If it came after a later one it is told anew what the lists have now.
 */
void orchfs_lock_told(struct orchfs_channel *ch,
		      const struct orchfs_request *req)
{
	if (req->kind == ORCHFS_KIND_LOCK && req->leaves &&
	    req->status == -ESTALE)
		orchfs_lock_doubt(ch, req);
}

/**
 * orchfs_lock_late() - a lock was granted, but its caller has gone
 * @ch: the channel
 * @req: what was asked for
 * @res: the answer
 */
void orchfs_lock_late(struct orchfs_channel *ch,
		      const struct orchfs_request *req,
		      const struct orchfs_result *res)
{
	if (!(res->flags & ORCHFS_REQ_FLAG_LEASE) &&
	    !(req->lock.flags & ORCHFS_LOCK_TEST))
		orchfs_lock_doubt(ch, req);
}
