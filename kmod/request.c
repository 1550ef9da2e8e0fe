// SPDX-License-Identifier: GPL-2.0-only
/*
 * Life of a request.
 *
 * The table of the channel is the truth, messages are deliveries. A request
 * is admitted (it has room in the table and, if it changes something, a slot
 * of the session), entered (waiting), delivered (sent) and answered (done).
 * Answer, fatal signal and deadline race for it by its state, which changes
 * under the channel's lock only; whoever loses does nothing.
 *
 *	waiting --deliver--> sent --reply--> done
 *	   ^  |               |  |
 *	   |  give up         |  give up
 *	   |  v               |  v
 *	   |  done            |  given up --reply, or daemon gone--> done
 *	   +---daemon gone----+
 */
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/unaligned.h>

#include "channel.h"
#include "trace.h"

static struct kmem_cache *orchfs_request_cache;

/**
 * orchfs_kind_mutates() - does this kind take a slot
 * @kind: ORCHFS_KIND_*
 *
 * Return: true for kinds that must not be carried out twice.
 */
bool orchfs_kind_mutates(u32 kind)
{
	switch (kind) {
	case ORCHFS_KIND_CREATE:
	case ORCHFS_KIND_LINK:
	case ORCHFS_KIND_UNLINK:
	case ORCHFS_KIND_RENAME:
	case ORCHFS_KIND_SETATTR:
	case ORCHFS_KIND_SETXATTR:
		return true;
	default:
		return false;
	}
}

/**
 * orchfs_request_put() - drop a reference
 * @req: the request; the last reference frees message and untaken result
 */
void orchfs_request_put(struct orchfs_request *req)
{
	if (!refcount_dec_and_test(&req->refs))
		return;
	orchfs_result_free(&req->res);
	kfree_skb(req->msg);
	kmem_cache_free(orchfs_request_cache, req);
}

/* Room in the table and a slot, both or none. */
static int orchfs_try_admit(struct orchfs_channel *ch,
			    struct orchfs_request *req)
{
	unsigned long slot;
	int ret = -EAGAIN;

	spin_lock(&ch->lock);
	if (ch->state == ORCHFS_DEAD) {
		ret = -EIO;
		goto out;
	}
	if (ch->requests >= ORCHFS_REQUESTS_MAX)
		goto out;
	if (orchfs_kind_mutates(req->kind)) {
		slot = find_first_zero_bit(ch->slots, ORCHFS_SLOTS);
		if (slot == ORCHFS_SLOTS)
			goto out;
		__set_bit(slot, ch->slots);
		req->slot = slot;
		req->sequence = ++ch->slot_seq[slot];
	}
	ch->requests++;
	ret = 0;
out:
	spin_unlock(&ch->lock);
	return ret;
}

/* Those that need a slot wait apart from those that need only room. */
static wait_queue_head_t *orchfs_admit_queue(struct orchfs_channel *ch,
					     const struct orchfs_request *req)
{
	return orchfs_kind_mutates(req->kind) ? &ch->slot_wq : &ch->wq;
}

/*
 * Waiters are exclusive, or each freed slot would wake all of them. A request
 * that ends wakes one in each queue, since the first waiter for a slot may have
 * no use for the room that it leaves. Whoever leaves a queue passes the wake-up
 * on: a killed waiter may have been the one that was woken.
 */
static int orchfs_wait_admit(struct orchfs_channel *ch,
			     struct orchfs_request *req,
			     unsigned long deadline)
{
	wait_queue_head_t *wq = orchfs_admit_queue(ch, req);
	DEFINE_WAIT(wait);
	long left;
	int ret;

	for (;;) {
		prepare_to_wait_exclusive(wq, &wait, TASK_KILLABLE);
		ret = orchfs_try_admit(ch, req);
		if (ret != -EAGAIN)
			break;
		ret = -EINTR;
		if (fatal_signal_pending(current))
			break;
		ret = -ETIME;
		left = (long)(deadline - jiffies);
		if (left <= 0)
			break;
		schedule_timeout(left);
	}
	finish_wait(wq, &wait);
	wake_up(wq);
	return ret;
}

/**
 * orchfs_request_new() - make a request and admit it
 * @ch: the channel
 * @kind: ORCHFS_KIND_*
 * @flags: ORCHFS_REQ_FLAG_*
 * @deadline: in jiffies
 *
 * May wait, killably, for room in the table and for a slot. The request is
 * given back by orchfs_request_discard() or entered.
 *
 * Return: the request with one reference, -EINTR when killed, -ETIME past the
 * deadline, -EIO when the channel is dead, -ENOMEM.
 */
struct orchfs_request *orchfs_request_new(struct orchfs_channel *ch, u32 kind,
					  u32 flags, unsigned long deadline)
{
	struct orchfs_request *req;
	int ret;

	req = kmem_cache_zalloc(orchfs_request_cache, GFP_KERNEL);
	if (!req)
		return ERR_PTR(-ENOMEM);
	refcount_set(&req->refs, 1);
	INIT_LIST_HEAD(&req->link);
	init_completion(&req->done);
	req->state = ORCHFS_REQ_WAITING;
	req->id = atomic64_inc_return(&ch->next_id);
	req->kind = kind;
	req->flags = flags;
	req->slot = ORCHFS_NO_SLOT;

	ret = orchfs_try_admit(ch, req);
	if (ret == -EAGAIN)
		ret = orchfs_wait_admit(ch, req, deadline);
	if (ret) {
		orchfs_request_put(req);
		return ERR_PTR(ret);
	}
	return req;
}

/* Give back what admission gave. */
static void orchfs_release_locked(struct orchfs_channel *ch,
				  struct orchfs_request *req)
{
	lockdep_assert_held(&ch->lock);
	if (req->slot != ORCHFS_NO_SLOT)
		__clear_bit(req->slot, ch->slots);
	ch->requests--;
}

static void orchfs_wake_waiters(struct orchfs_channel *ch)
{
	if (wq_has_sleeper(&ch->wq))
		wake_up(&ch->wq);
	if (wq_has_sleeper(&ch->slot_wq))
		wake_up(&ch->slot_wq);
}

/**
 * orchfs_request_discard() - give back a request that was not entered
 * @ch: the channel
 * @req: consumed; the sequence of its slot is used by the next one
 */
void orchfs_request_discard(struct orchfs_channel *ch,
			    struct orchfs_request *req)
{
	spin_lock(&ch->lock);
	if (req->slot != ORCHFS_NO_SLOT)
		ch->slot_seq[req->slot]--;
	orchfs_release_locked(ch, req);
	spin_unlock(&ch->lock);
	orchfs_wake_waiters(ch);
	orchfs_request_put(req);
}

/* An umount's last sync doesn't wait for the next daemon, nor does an unlock. */
static bool orchfs_request_leaves_locked(const struct orchfs_channel *ch,
					 const struct orchfs_request *req)
{
	lockdep_assert_held(&ch->lock);
	if (req->state == ORCHFS_REQ_GIVEN_UP)
		return false;
	return req->leaves || (req->kind == ORCHFS_KIND_BARRIER && ch->sb &&
			       READ_ONCE(ORCHFS_SB(ch->sb)->dying));
}

/**
 * orchfs_request_enter() - put an admitted request in the table
 * @ch: the channel
 * @req: its message is complete; the table takes a reference of its own
 *
 * Return: 0, or -ENOMEM, -EIO, or without a daemon -ENOTCONN for what doesn't
 * wait for the next one; then the caller discards it.
 */
int orchfs_request_enter(struct orchfs_channel *ch, struct orchfs_request *req)
{
	int ret;

	/* With the place reserved, storing under the lock can't fail. */
	ret = xa_reserve(&ch->table, req->id, GFP_KERNEL);
	if (ret)
		return ret;

	spin_lock(&ch->lock);
	if (ch->state == ORCHFS_DEAD) {
		ret = -EIO;
	} else if (ch->state == ORCHFS_DETACHED &&
		   orchfs_request_leaves_locked(ch, req)) {
		ret = -ENOTCONN;
	} else {
		refcount_inc(&req->refs);
		xa_store(&ch->table, req->id, req, GFP_NOWAIT);
		list_add_tail(&req->link, &ch->waiting);
	}
	spin_unlock(&ch->lock);
	if (ret)
		xa_release(&ch->table, req->id);
	return ret;
}

/* Out of the table; the caller drops the table's reference after unlocking. */
static void orchfs_remove_locked(struct orchfs_channel *ch,
				 struct orchfs_request *req)
{
	lockdep_assert_held(&ch->lock);
	list_del_init(&req->link);
	xa_erase(&ch->table, req->id);
	orchfs_release_locked(ch, req);
	req->state = ORCHFS_REQ_DONE;
}

/* A delivery that failed is as if it had not been tried. */
static void orchfs_request_undeliver(struct orchfs_channel *ch,
				     struct orchfs_request *req, u32 attach)
{
	bool removed = false;

	spin_lock(&ch->lock);
	if (req->attach == attach && req->state == ORCHFS_REQ_SENT) {
		req->state = ORCHFS_REQ_WAITING;
		list_add(&req->link, &ch->waiting);
	} else if (req->attach == attach &&
		   req->state == ORCHFS_REQ_GIVEN_UP) {
		orchfs_remove_locked(ch, req);
		removed = true;
	}
	spin_unlock(&ch->lock);
	if (removed) {
		orchfs_wake_waiters(ch);
		orchfs_request_put(req);
	}
}

/**
 * orchfs_request_deliver_one() - send the first waiting request
 * @ch: the channel
 *
 * It counts as sent from before it is: its answer may come before sending
 * returns. Never waits for the daemon.
 *
 * Return: true when one was sent, false when none waits, the daemon isn't
 * ready or its socket is full.
 */
bool orchfs_request_deliver_one(struct orchfs_channel *ch)
{
	struct orchfs_request *req = NULL;
	u32 portid, attach;
	struct sk_buff *skb;
	int ret;

	spin_lock(&ch->lock);
	if (ch->state == ORCHFS_READY)
		req = list_first_entry_or_null(&ch->waiting,
					       struct orchfs_request, link);
	if (!req) {
		spin_unlock(&ch->lock);
		return false;
	}
	list_del_init(&req->link);
	req->state = ORCHFS_REQ_SENT;
	req->attach = ch->attach;
	refcount_inc(&req->refs);
	attach = ch->attach;
	portid = ch->portid;
	spin_unlock(&ch->lock);

	skb = skb_clone(req->msg, GFP_KERNEL);
	ret = skb ? ch->send(ch, skb, portid) : -ENOMEM;
	if (ret)
		orchfs_request_undeliver(ch, req, attach);
	orchfs_request_put(req);
	return !ret;
}

/**
 * orchfs_request_deliver() - send what waits, in order, until it fails
 * @ch: the channel
 *
 * What the socket had no room for goes out with the daemon's next message.
 */
void orchfs_request_deliver(struct orchfs_channel *ch)
{
	while (orchfs_request_deliver_one(ch))
		cond_resched();
}

/**
 * orchfs_request_expect() - find the request that an answer is for
 * @ch: the channel
 * @id: of the request
 *
 * Return: the request with a reference, or NULL when no answer is expected
 * from the daemon that is attached now.
 */
struct orchfs_request *orchfs_request_expect(struct orchfs_channel *ch, u64 id)
{
	struct orchfs_request *req;

	spin_lock(&ch->lock);
	req = xa_load(&ch->table, id);
	if (req && (req->state == ORCHFS_REQ_SENT ||
		    req->state == ORCHFS_REQ_GIVEN_UP))
		refcount_inc(&req->refs);
	else
		req = NULL;
	spin_unlock(&ch->lock);
	return req;
}

/* It was carried out, or may have been, and its caller doesn't know. */
static void orchfs_request_doubt(struct orchfs_channel *ch,
				 struct super_block *sb,
				 const struct orchfs_request *req)
{
	unsigned int i;

	if (!req->nodes[0]) {
		atomic64_inc(&ch->epoch);
		return;
	}
	for (i = 0; sb && i < ARRAY_SIZE(req->nodes); i++)
		if (req->nodes[i])
			orchfs_super_mark(sb, req->nodes[i],
					  ORCHFS_MARK_DOUBT);
}

/* The daemon keeps inodes without links until it hears that nobody has them. */
static void orchfs_late_orphan(struct orchfs_channel *ch,
			       struct super_block *sb,
			       const struct orchfs_request *req,
			       const struct orchfs_result *res)
{
	if ((req->flags & ORCHFS_REQ_FLAG_TMPFILE) && res->has_attr)
		orchfs_note_forget(ch, res->attr.ino);
	if (!sb || !res->has_attr2)
		return;
	/* what a rename replaced needn't be known to its caller */
	if (res->attr2.nlink)
		orchfs_super_mark(sb, res->attr2.ino, ORCHFS_MARK_ATTR);
	else
		orchfs_unlinked(ch, sb, &res->attr2);
}

/*
 * The caller had gone. If it was a change, what it concerns was marked before,
 * so it is marked again.
 */
static void orchfs_request_late(struct orchfs_channel *ch,
				const struct orchfs_request *req, int status,
				const struct orchfs_result *res)
{
	struct super_block *sb = NULL;

	if (res->layout)
		orchfs_note_stray(ch);
	if (req->locks && !status)
		orchfs_lock_late(ch, req, res);
	if (!orchfs_kind_mutates(req->kind))
		return;
	if (req->nodes[0])
		sb = orchfs_channel_sb_get(ch);
	orchfs_request_doubt(ch, sb, req);
	orchfs_late_orphan(ch, sb, req, res);
	orchfs_channel_sb_put(ch, sb);
}

/**
 * orchfs_request_unusable() - it was carried out, and its answer can't be used
 * @ch: the channel
 * @req: a reference is held by the caller
 */
void orchfs_request_unusable(struct orchfs_channel *ch,
			     const struct orchfs_request *req)
{
	struct super_block *sb = NULL;

	if (!orchfs_kind_mutates(req->kind))
		return;
	if (req->nodes[0])
		sb = orchfs_channel_sb_get(ch);
	orchfs_request_doubt(ch, sb, req);
	orchfs_channel_sb_put(ch, sb);
}

/**
 * orchfs_request_complete() - an answer arrived
 * @ch: the channel
 * @req: a reference is held by the caller
 * @status: 0 or a negative errno
 * @res: moved into the request when true is returned, untouched otherwise
 *
 * Return: true when the answer won; false when the caller of the request has
 * gone or it was answered before, and then @res still is the caller's.
 */
bool orchfs_request_complete(struct orchfs_channel *ch,
			     struct orchfs_request *req, int status,
			     struct orchfs_result *res)
{
	bool removed = false, won = false;

	spin_lock(&ch->lock);
	if (req->state == ORCHFS_REQ_SENT) {
		req->status = status;
		req->res = *res;
		memset(res, 0, sizeof(*res));
		orchfs_lock_answered(req);
		won = true;
	}
	if (won || req->state == ORCHFS_REQ_GIVEN_UP) {
		orchfs_remove_locked(ch, req);
		removed = true;
	}
	spin_unlock(&ch->lock);
	if (!removed)
		return false;

	if (won) {
		orchfs_lock_told(ch, req);
		complete(&req->done);
	} else {
		orchfs_request_late(ch, req, status, res);
	}
	orchfs_wake_waiters(ch);
	orchfs_request_put(req);
	return won;
}

/**
 * orchfs_request_give_up() - signal or deadline
 * @ch: the channel
 * @req: a reference is held by the caller, and its superblock
 *
 * Given up doesn't mean not done. When a change may have been carried out,
 * the inodes that it concerns and all names in them are revalidated before
 * their next use.
 *
 * Return: true when it was given up, false when an answer came first.
 */
bool orchfs_request_give_up(struct orchfs_channel *ch,
			    struct orchfs_request *req)
{
	bool removed = false, unsure;
	struct super_block *sb;

	spin_lock(&ch->lock);
	if (req->state == ORCHFS_REQ_DONE) {
		spin_unlock(&ch->lock);
		return false;
	}
	unsure = req->state == ORCHFS_REQ_SENT || req->sent;
	if (req->state == ORCHFS_REQ_WAITING) {
		orchfs_remove_locked(ch, req);
		removed = true;
	} else {
		req->state = ORCHFS_REQ_GIVEN_UP;
	}
	sb = ch->sb;
	spin_unlock(&ch->lock);

	if (unsure && orchfs_kind_mutates(req->kind))
		orchfs_request_doubt(ch, sb, req);
	if (removed) {
		orchfs_wake_waiters(ch);
		orchfs_request_put(req);
	}
	return true;
}

/**
 * orchfs_request_withdraw() - take a request back that no daemon has now
 * @ch: the channel
 * @req: a reference is held by the caller
 *
 * Return: false when it was sent or answered.
 */
bool orchfs_request_withdraw(struct orchfs_channel *ch,
			     struct orchfs_request *req)
{
	bool removed;

	spin_lock(&ch->lock);
	removed = req->state == ORCHFS_REQ_WAITING;
	if (removed)
		orchfs_remove_locked(ch, req);
	spin_unlock(&ch->lock);
	if (removed) {
		orchfs_wake_waiters(ch);
		orchfs_request_put(req);
	}
	return removed;
}

/* The daemon that got it has gone. */
static void orchfs_mark_resent_locked(struct orchfs_request *req)
{
	void *flags = req->msg->data + req->flags_at;

	req->sent = true;
	put_unaligned(get_unaligned((u32 *)flags) | ORCHFS_REQ_FLAG_RESENT,
		      (u32 *)flags);
}

/**
 * orchfs_request_detach_locked() - the daemon has gone
 * @ch: the channel, locked
 * @dropped: gets the requests that were given up, for
 *	orchfs_request_drop_list() after unlocking
 *
 * What was sent waits again, in the old order and before what was never sent.
 */
void orchfs_request_detach_locked(struct orchfs_channel *ch,
				  struct list_head *dropped)
{
	struct orchfs_request *req;
	LIST_HEAD(again);
	unsigned long id;

	lockdep_assert_held(&ch->lock);
	xa_for_each(&ch->table, id, req) {
		if (orchfs_request_leaves_locked(ch, req)) {
			req->status = -ENOTCONN;
			orchfs_remove_locked(ch, req);
			complete(&req->done);
			list_add_tail(&req->link, dropped);
		} else if (req->state == ORCHFS_REQ_SENT) {
			orchfs_mark_resent_locked(req);
			req->state = ORCHFS_REQ_WAITING;
			list_add_tail(&req->link, &again);
		} else if (req->state == ORCHFS_REQ_GIVEN_UP) {
			if (orchfs_kind_mutates(req->kind))
				ch->unsure = true;
			orchfs_remove_locked(ch, req);
			list_add_tail(&req->link, dropped);
		}
	}
	list_splice(&again, &ch->waiting);
}

/**
 * orchfs_request_drop_list() - second half of a detach, without the lock
 * @ch: the channel
 * @dropped: what orchfs_request_detach_locked() gave
 */
void orchfs_request_drop_list(struct orchfs_channel *ch,
			      struct list_head *dropped)
{
	struct orchfs_request *req, *next;

	list_for_each_entry_safe(req, next, dropped, link) {
		list_del_init(&req->link);
		orchfs_request_put(req);
	}
	wake_up_all(&ch->wq);
	wake_up_all(&ch->slot_wq);
}

/* Deliver and wait; the caller still has its reference afterwards. */
static int orchfs_upcall_wait(struct super_block *sb,
			      struct orchfs_request *req,
			      unsigned long deadline,
			      struct orchfs_result *res)
{
	struct orchfs_channel *ch = ORCHFS_SB(sb)->channel;
	long left;

	orchfs_request_deliver(ch);
	left = max_t(long, deadline - jiffies, 0);
	left = wait_for_completion_killable_timeout(&req->done, left);
	if (left <= 0 && orchfs_request_give_up(ch, req))
		return left ? -EINTR : ORCHFS_SB(sb)->upcall_errno;
	if (!req->status) {
		req->res.answers = res->answers;
		req->res.answers_idx = res->answers_idx;
		*res = req->res;
		memset(&req->res, 0, sizeof(req->res));
	}
	res->answered = true;
	return req->status;
}

/**
 * orchfs_upcall_enter() - make a request and put it in the table
 * @sb: whose channel it is
 * @args: what is asked; used only until the message is built
 * @deadline: for room in the table, in jiffies; one that has passed: don't wait
 *
 * Return: the request with a reference for the caller, to be delivered; else
 * an error as of orchfs_upcall(), -ETIME past the deadline, or -ENOTCONN for
 * one that leaves with the daemon when there is none.
 */
struct orchfs_request *orchfs_upcall_enter(struct super_block *sb,
					   const struct orchfs_args *args,
					   unsigned long deadline)
{
	struct orchfs_channel *ch = ORCHFS_SB(sb)->channel;
	struct orchfs_request *req;
	int ret;

	req = orchfs_request_new(ch, args->kind, args->flags, deadline);
	if (IS_ERR(req))
		return req;
	req->nodes[0] = args->node;
	req->nodes[1] = args->node2;
	req->nodes[2] = args->changed[0];
	req->nodes[3] = args->changed[1];
	req->leaves = args->leaves;
	req->locks = args->locks;
	if (args->lock)
		req->lock = *args->lock;
	ret = orchfs_message_request(ch, args, req);
	if (!ret)
		ret = orchfs_request_enter(ch, req);
	if (ret) {
		orchfs_request_discard(ch, req);
		return ERR_PTR(ret);
	}
	trace_orchfs_upcall_submit(ch->name, req->id, args->kind, args->flags,
				   args->node);
	return req;
}

static int orchfs_upcall_run(struct super_block *sb,
			     const struct orchfs_args *args,
			     struct orchfs_result *res, u64 *id)
{
	unsigned long deadline = jiffies + ORCHFS_SB(sb)->upcall_timeout * HZ;
	struct orchfs_request *req;
	int ret;

	req = orchfs_upcall_enter(sb, args, deadline);
	if (IS_ERR(req))
		return PTR_ERR(req) == -ETIME ? ORCHFS_SB(sb)->upcall_errno :
						PTR_ERR(req);
	*id = req->id;
	ret = orchfs_upcall_wait(sb, req, deadline, res);
	orchfs_request_put(req);
	return ret;
}

/**
 * orchfs_upcall() - ask the daemon and wait killably
 * @sb: whose deadline and errno count
 * @args: what is asked; used only until the message is built
 * @res: filled on 0, empty otherwise; the caller frees it in every case
 *
 * May be called under locks of the VFS. While no daemon is there the request
 * waits for one, up to the deadline. After a change that ended with -EINTR or
 * the mount's errno the names and attributes concerned are unknown; they are
 * revalidated before their next use.
 *
 * Return: 0, the daemon's status, -EINTR when killed, the mount's
 * upcall_errno past the deadline, -EPROTO for a malformed answer, -EIO when
 * the channel is dead, -ENOMEM, -ENAMETOOLONG.
 */
int orchfs_upcall(struct super_block *sb, const struct orchfs_args *args,
		  struct orchfs_result *res)
{
	struct orchfs_channel *ch = ORCHFS_SB(sb)->channel;
	struct orchfs_counter *counter = &ch->counters[args->kind];
	unsigned int nofs = memalloc_nofs_save();
	u64 start = ktime_get_ns();
	u64 id = 0;
	int ret;

	memset(res, 0, sizeof(*res));
	atomic64_inc(&counter->count);
	orchfs_answer_begin(ch, args->kind, res);
	ret = orchfs_upcall_run(sb, args, res, &id);
	if (ret)
		orchfs_answer_end(res);
	if (ret && ret != -ENOENT && ret != -EEXIST && ret != -ENODATA)
		atomic64_inc(&counter->errors);
	memalloc_nofs_restore(nofs);
	trace_orchfs_upcall_done(ch->name, id, args->kind, ret,
				 ktime_get_ns() - start);
	return ret;
}

/**
 * orchfs_result_free() - release what a result holds
 * @res: may be empty; it is empty afterwards
 */
void orchfs_result_free(struct orchfs_result *res)
{
	if (res->layout)
		orchfs_layout_put(res->layout);
	kfree(res->target);
	kfree(res->name);
	consume_skb(res->skb);
	orchfs_answer_end(res);
	memset(res, 0, sizeof(*res));
}

/**
 * orchfs_barrier() - make a transaction durable
 * @sb: the superblock
 * @node: inode concerned, 0 for the whole namespace
 * @txn: what must be durable
 *
 * Return: 0 at once when @txn is known to be durable, else as orchfs_upcall().
 */
int orchfs_barrier(struct super_block *sb, u64 node, u64 txn)
{
	struct orchfs_channel *ch = ORCHFS_SB(sb)->channel;
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_BARRIER,
		.node = node,
	};
	struct orchfs_result res;
	int ret;

	if (txn <= (u64)atomic64_read(&ch->durable))
		return 0;
	ret = orchfs_upcall(sb, &args, &res);
	orchfs_result_free(&res);
	return ret;
}

/**
 * orchfs_request_init() - make the caches of requests and notices
 *
 * Return: 0 or -ENOMEM.
 */
int orchfs_request_init(void)
{
	int ret;

	orchfs_request_cache = KMEM_CACHE(orchfs_request, SLAB_ACCOUNT);
	if (!orchfs_request_cache)
		return -ENOMEM;
	ret = orchfs_note_init();
	if (ret)
		goto err_request_cache_destroy;
	return 0;

err_request_cache_destroy:
	kmem_cache_destroy(orchfs_request_cache);
	return ret;
}

/**
 * orchfs_request_exit() - undo orchfs_request_init()
 */
void orchfs_request_exit(void)
{
	orchfs_note_exit();
	kmem_cache_destroy(orchfs_request_cache);
}
