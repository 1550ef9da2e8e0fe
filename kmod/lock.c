// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks of files: flock(2), and fcntl(2)'s of processes and of open files.
 *
 * What is held is always in the VFS's own lists. Who decides: this kernel, by
 * those lists, where nobody asked it to ask (no other node has the namespace)
 * or where it has the lease of the inode's locks; else each lock, unlock and
 * test is a request, and a lock goes to the lists when it has been granted. It
 * leaves them before the unlock is told, so they never have more than the
 * authority knows.
 */
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/siphash.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "lock.h"
#include "vfs.h"

static siphash_key_t orchfs_owner_key;

/* A task that waits for a lock by the lists of this kernel. */
struct orchfs_lock_waiter {
	struct list_head link;
	struct file_lock *fl;
};

/* What the lists alone can't decide. */
#define ORCHFS_MUST_ASK		(FILE_LOCK_DEFERRED + 1)

/**
 * orchfs_lock_owner() - the number of an owner
 * @owner: as the VFS has it, an address
 *
 * Different for different owners, without telling their addresses.
 *
 * Return: the number.
 */
u64 orchfs_lock_owner(const void *owner)
{
	u64 v = (unsigned long)owner;
	u32 left = v >> 32, right = v, i;

	for (i = 0; i < 4; i++) {
		u32 mixed = left ^ (u32)siphash_2u32(right, i,
						     &orchfs_owner_key);

		left = right;
		right = mixed;
	}
	return (u64)left << 32 | right;
}

/**
 * orchfs_lock_describe() - a lock as the daemon is told of it
 * @fl: of the VFS
 * @l: filled
 */
void orchfs_lock_describe(const struct file_lock *fl, struct orchfs_lock *l)
{
	*l = (struct orchfs_lock){
		.owner = orchfs_lock_owner(fl->c.flc_owner),
		.start = fl->fl_start,
		.end = fl->fl_end,
		.pid = fl->c.flc_pid,
	};
	if (fl->c.flc_type == F_RDLCK)
		l->type = ORCHFS_LOCK_READ;
	else if (fl->c.flc_type == F_WRLCK)
		l->type = ORCHFS_LOCK_WRITE;
	if (fl->c.flc_flags & FL_FLOCK) {
		l->flags |= ORCHFS_LOCK_FLOCK;
		l->start = 0;
		l->end = OFFSET_MAX;
	}
	if (fl->c.flc_flags & FL_OFDLCK) {
		l->flags |= ORCHFS_LOCK_OFD;
		l->pid = -1;
	}
	if (fl->c.flc_flags & FL_SLEEP)
		l->flags |= ORCHFS_LOCK_WAIT;
}

/* --- who decides --- */

static struct orchfs_locks *orchfs_locks_get(struct inode *inode)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);
	struct orchfs_locks *li = smp_load_acquire(&oi->locks);
	struct orchfs_locks *old;

	if (li)
		return li;
	li = kzalloc(sizeof(*li), GFP_KERNEL_ACCOUNT);
	if (!li)
		return ERR_PTR(-ENOLCK);
	li->inode = inode;
	init_rwsem(&li->sem);
	init_waitqueue_head(&li->wq);
	spin_lock_init(&li->lock);
	INIT_LIST_HEAD(&li->waiters);
	INIT_LIST_HEAD(&li->recall);
	mutex_init(&li->order);
	INIT_LIST_HEAD(&li->asking);
	/* a recall that finds none was before anything was decided */
	old = xa_cmpxchg(&ORCHFS_SB(inode->i_sb)->locks, inode->i_ino, NULL, li,
			 GFP_KERNEL_ACCOUNT);
	if (!old) {
		/* whoever didn't find it has said before that it must ask */
		smp_mb();
		smp_store_release(&oi->locks, li);
		return li;
	}
	kfree(li);
	return xa_is_err(old) ? ERR_PTR(-ENOLCK) : old;
}

/**
 * orchfs_locks_evict() - the inode goes
 * @inode: without locks
 *
 * A lease of theirs goes with it: the daemon finds none when it recalls that.
 */
void orchfs_locks_evict(struct inode *inode)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);

	if (!oi->locks)
		return;
	xa_erase(&ORCHFS_SB(inode->i_sb)->locks, inode->i_ino);
	kfree(oi->locks);
	oi->locks = NULL;
}

/* Must the daemon be asked? True until the next change of that under sem. */
static bool orchfs_locks_asked(const struct orchfs_locks *li)
{
	const struct super_block *sb = li->inode->i_sb;

	if (!READ_ONCE(ORCHFS_SB(sb)->channel->locks_ask))
		return false;
	return !READ_ONCE(li->lease) || orchfs_lease_over(sb);
}

/**
 * orchfs_locks_wake() - who decides has changed
 * @li: those that wait by the VFS's lists look again
 */
void orchfs_locks_wake(struct orchfs_locks *li)
{
	struct orchfs_lock_waiter *w;

	spin_lock(&li->lock);
	list_for_each_entry(w, &li->waiters, link)
		wake_up(&w->fl->c.flc_wait);
	spin_unlock(&li->lock);
}

static void orchfs_locks_landed(struct orchfs_locks *li, atomic_t *count)
{
	if (atomic_dec_and_test(count))
		wake_up_all(&li->wq);
}

/*
 * Locks that were granted before must be in the lists that decide now. A lease
 * that was lost meanwhile is not believed.
 */
static void orchfs_locks_take_lease(struct orchfs_locks *li, u32 lost)
{
	wait_event(li->wq, !atomic_read(&li->granted));
	down_write(&li->sem);
	if (li->lost == lost)
		WRITE_ONCE(li->lease, true);
	up_write(&li->sem);
	orchfs_locks_landed(li, &li->leased);
}

/* --- decided here --- */

/* One try; FILE_LOCK_DEFERRED when it is in the queue of what is in its way. */
static int orchfs_lock_try(struct orchfs_locks *li, struct file *file,
			   struct file_lock *fl)
{
	int ret = ORCHFS_MUST_ASK;

	down_read(&li->sem);
	if (!orchfs_locks_asked(li))
		ret = posix_lock_file(file, fl, NULL);
	up_read(&li->sem);
	return ret;
}

static int orchfs_posix_local(struct orchfs_locks *li, struct file *file,
			      struct file_lock *fl)
{
	struct orchfs_lock_waiter w = { .fl = fl };
	int ret;

	/* its owner wants to be told, and doesn't wait here */
	if (fl->fl_lmops)
		return orchfs_lock_try(li, file, fl);
	spin_lock(&li->lock);
	list_add(&w.link, &li->waiters);
	spin_unlock(&li->lock);
	for (;;) {
		ret = orchfs_lock_try(li, file, fl);
		if (ret != FILE_LOCK_DEFERRED)
			break;
		ret = wait_event_interruptible(fl->c.flc_wait,
					       list_empty(&fl->c.flc_blocked_member) ||
					       orchfs_locks_asked(li));
		if (ret)
			break;
		/* it may be in a queue that doesn't count any more */
		locks_delete_block(fl);
	}
	locks_delete_block(fl);
	spin_lock(&li->lock);
	list_del(&w.link);
	spin_unlock(&li->lock);
	return ret;
}

/**
 * orchfs_flock_unlock() - let go of a lock of flock(2), in the lists
 * @inode: the inode
 * @fl: its file is the owner
 *
 * Return: 0, or -ENOENT when there was none.
 */
int orchfs_flock_unlock(struct inode *inode, const struct file_lock *fl)
{
	struct file_lock un;

	locks_init_lock(&un);
	un.c.flc_file = fl->c.flc_file;
	un.c.flc_owner = fl->c.flc_owner;
	un.c.flc_pid = fl->c.flc_pid;
	un.c.flc_flags = FL_FLOCK | FL_EXISTS;
	un.c.flc_type = F_UNLCK;
	un.fl_end = OFFSET_MAX;
	return locks_lock_inode_wait(inode, &un);
}

/*
 * The VFS has no way to wait for a lock of flock(2) without taking it. One that
 * was taken when this kernel had to ask is given back: to lose what was held
 * is what flock(2) may do when it converts.
 */
static int orchfs_flock_local(struct orchfs_locks *li, struct file *file,
			      struct file_lock *fl)
{
	unsigned int flags = fl->c.flc_flags;
	int ret = ORCHFS_MUST_ASK;
	struct orchfs_lock l;

	fl->c.flc_flags &= ~FL_SLEEP;
	down_read(&li->sem);
	if (!orchfs_locks_asked(li))
		ret = locks_lock_file_wait(file, fl);
	up_read(&li->sem);
	fl->c.flc_flags = flags;
	if (ret != -EAGAIN || !(flags & FL_SLEEP))
		return ret;

	ret = locks_lock_file_wait(file, fl);
	if (ret)
		return ret;
	orchfs_lock_describe(fl, &l);
	down_read(&li->sem);
	if (orchfs_locks_asked(li)) {
		ret = ORCHFS_MUST_ASK;
		/* it may have been told by a recall meanwhile */
		mutex_lock(&li->order);
		orchfs_flock_unlock(li->inode, fl);
		orchfs_locks_settle(li, &l);
		mutex_unlock(&li->order);
	}
	up_read(&li->sem);
	if (ret)
		orchfs_lock_deliver(li->inode);
	return ret;
}

/* --- decided by the daemon --- */

/*
 * A lock that was granted goes to the lists. It doesn't if it was lost or
 * overtaken meanwhile, or if there is something in its way that is about to go:
 * then it has to be tried again.
 */
static int orchfs_lock_insert(struct orchfs_locks *li, struct file *file,
			      struct file_lock *fl,
			      const struct orchfs_asking *a)
{
	unsigned int flags = fl->c.flc_flags;
	int ret = ORCHFS_MUST_ASK;

	lockdep_assert_held(&li->order);
	if (li->lost != a->lost)
		return ret;
	if (!a->overtaken) {
		fl->c.flc_flags &= ~FL_SLEEP;
		ret = locks_lock_file_wait(file, fl);
		fl->c.flc_flags = flags;
	}
	if (ret)
		orchfs_locks_settle(li, &a->l);
	return ret == -EAGAIN && flags & FL_SLEEP ? ORCHFS_MUST_ASK : ret;
}

static int orchfs_lock_land(struct orchfs_locks *li, struct file *file,
			    struct file_lock *fl, struct orchfs_asking *a)
{
	int ret;

	down_read(&li->sem);
	mutex_lock(&li->order);
	list_del_init(&a->link);
	ret = orchfs_lock_insert(li, file, fl, a);
	mutex_unlock(&li->order);
	up_read(&li->sem);
	/* before a recall tells what is held */
	orchfs_locks_landed(li, &li->granted);
	if (ret)
		orchfs_lock_deliver(li->inode);
	return ret;
}

/* If flock(2) has asked, it has nothing any more, and the table may not know. */
static void orchfs_lock_refused(struct orchfs_locks *li,
				struct orchfs_asking *a, int ret)
{
	mutex_lock(&li->order);
	if (a->l.flags & ORCHFS_LOCK_FLOCK && ret && ret != -EAGAIN &&
	    !list_empty(&a->link))
		orchfs_locks_settle(li, &a->l);
	list_del_init(&a->link);
	mutex_unlock(&li->order);
	orchfs_lock_deliver(li->inode);
}

/* The VFS has nothing to do for a lock of flock(2) that is held already. */
static bool orchfs_flock_held(const struct orchfs_locks *li,
			      const struct orchfs_lock *l)
{
	struct orchfs_lock held;

	return l->flags & ORCHFS_LOCK_FLOCK &&
	       orchfs_held_range(li->inode, l, &held, 1) == 1 &&
	       held.type == l->type;
}

/* ORCHFS_MUST_ASK: it has to be tried again. */
static int orchfs_lock_shared(struct orchfs_locks *li, struct file *file,
			      struct file_lock *fl)
{
	struct orchfs_asking a = { .link = LIST_HEAD_INIT(a.link) };
	struct orchfs_result res;
	int ret;

	orchfs_lock_describe(fl, &a.l);
	if (orchfs_flock_held(li, &a.l))
		return 0;
	ret = orchfs_lock_ask(li, &a, fl, &res);
	if (!ret && !(res.flags & ORCHFS_REQ_FLAG_LEASE)) {
		ret = orchfs_lock_land(li, file, fl, &a);
	} else {
		orchfs_lock_refused(li, &a, ret);
		if (!ret)
			orchfs_locks_take_lease(li, a.lost);
		/* something later of this owner came before it */
		if (!ret || ret == -ESTALE)
			ret = ORCHFS_MUST_ASK;
	}
	orchfs_result_free(&res);
	return ret;
}

static int orchfs_lock_get(struct orchfs_locks *li, struct file *file,
			   struct file_lock *fl)
{
	int ret = orchfs_ranges_begin(file, fl);

	if (ret)
		return ret;
	do {
		ret = fl->c.flc_flags & FL_FLOCK ?
		      orchfs_flock_local(li, file, fl) :
		      orchfs_posix_local(li, file, fl);
		if (ret == ORCHFS_MUST_ASK)
			ret = orchfs_lock_shared(li, file, fl);
	} while (ret == ORCHFS_MUST_ASK && !fatal_signal_pending(current));
	orchfs_ranges_end(fl);
	return ret == ORCHFS_MUST_ASK ? -EINTR : ret;
}

/*
 * Here it is over at once, whatever becomes of the request: a close or the end
 * of a process doesn't fail. What cuts a range in two may find no room.
 */
static int orchfs_lock_put(struct orchfs_locks *li, struct file *file,
			   struct file_lock *fl)
{
	unsigned int flags = fl->c.flc_flags;
	struct orchfs_request *req = NULL;
	struct orchfs_lock l;
	bool asked;
	int ret;

	orchfs_lock_describe(fl, &l);
	ret = orchfs_ranges_cut(li, file, &l);
	if (ret)
		return ret;
	down_read(&li->sem);
	asked = orchfs_locks_asked(li);
	if (asked) {
		fl->c.flc_flags |= FL_EXISTS;
		mutex_lock(&li->order);
		ret = locks_lock_file_wait(file, fl);
		if (!ret)
			req = orchfs_locks_tell(li, &l);
		mutex_unlock(&li->order);
		fl->c.flc_flags = flags;
	} else {
		ret = locks_lock_file_wait(file, fl);
	}
	up_read(&li->sem);
	if (asked && ret == -ENOENT)
		return flags & FL_EXISTS ? ret : 0;
	if (req)
		orchfs_unlock_wait(li, &l, req);
	return ret;
}

/* --- what is in the way --- */

static void orchfs_lock_conflict(struct file_lock *fl,
				 const struct orchfs_lock *l)
{
	if (l->type == ORCHFS_LOCK_NONE) {
		fl->c.flc_type = F_UNLCK;
		return;
	}
	fl->c.flc_type = l->type == ORCHFS_LOCK_READ ? F_RDLCK : F_WRLCK;
	fl->fl_start = l->start;
	fl->fl_end = l->end;
	/* the number of a process elsewhere isn't one here */
	fl->c.flc_pid = l->node && l->pid > 0 ? -l->pid : l->pid;
}

/* What is in the lists is what the daemon would tell, and has better numbers. */
static int orchfs_lock_test_once(struct orchfs_locks *li, struct file *file,
				 struct file_lock *fl)
{
	unsigned char type = fl->c.flc_type;
	struct orchfs_result res;
	struct orchfs_lock l;
	bool asked;
	u32 lost;
	int ret;

	orchfs_lock_describe(fl, &l);
	l.flags &= ~ORCHFS_LOCK_WAIT;
	l.flags |= ORCHFS_LOCK_TEST;
	down_read(&li->sem);
	asked = orchfs_locks_asked(li);
	posix_test_lock(file, fl);
	up_read(&li->sem);
	if (!asked || type == F_UNLCK || fl->c.flc_type != F_UNLCK)
		return 0;
	fl->c.flc_type = type;
	ret = orchfs_lock_test(li, &l, &res, &lost);
	if (!ret && res.flags & ORCHFS_REQ_FLAG_LEASE) {
		orchfs_locks_take_lease(li, lost);
		ret = ORCHFS_MUST_ASK;
	} else if (!ret) {
		orchfs_lock_conflict(fl, &res.lock);
	}
	orchfs_result_free(&res);
	return ret;
}

/**
 * orchfs_lock() - locks of fcntl(2)
 * @file: open
 * @cmd: F_GETLK, F_SETLK or F_SETLKW, whatever the width
 * @fl: what is wanted; FL_SLEEP in it tells whether to wait
 *
 * Return: 0, -EAGAIN, -EDEADLK, -ENOLCK, -ERESTARTSYS, or as orchfs_upcall().
 */
int orchfs_lock(struct file *file, int cmd, struct file_lock *fl)
{
	struct inode *inode = file_inode(file);
	struct orchfs_locks *li = orchfs_locks_get(inode);
	int ret;

	if (IS_ERR(li))
		return lock_is_unlock(fl) ? locks_lock_file_wait(file, fl) :
					    PTR_ERR(li);
	if (IS_GETLK(cmd)) {
		do {
			ret = orchfs_lock_test_once(li, file, fl);
		} while (ret == ORCHFS_MUST_ASK &&
			 !fatal_signal_pending(current));
		return ret == ORCHFS_MUST_ASK ? -EINTR : ret;
	}
	return lock_is_unlock(fl) ? orchfs_lock_put(li, file, fl) :
				    orchfs_lock_get(li, file, fl);
}

/**
 * orchfs_flock() - locks of flock(2)
 * @file: open
 * @cmd: F_SETLK or F_SETLKW
 * @fl: what is wanted; FL_SLEEP in it tells whether to wait
 *
 * Return: as orchfs_lock().
 */
int orchfs_flock(struct file *file, int cmd, struct file_lock *fl)
{
	return orchfs_lock(file, F_SETLK, fl);
}

/**
 * orchfs_lock_init() - draw the key that hides the owners' addresses
 */
void orchfs_lock_init(void)
{
	get_random_bytes(&orchfs_owner_key, sizeof(orchfs_owner_key));
}
