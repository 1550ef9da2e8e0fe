// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many ranges are locked, by each user and by all. The authority has to
 * keep what several nodes hold, and a node's share of its table is for all of
 * its users. Counted are the locks in the VFS's lists, as the VFS copies and
 * frees them, from when this kernel had to ask for the first time.
 */
#include <linux/cred.h>
#include <linux/slab.h>
#include <linux/uidgid.h>
#include <linux/xarray.h>

#include "lock.h"

static struct orchfs_lock_user *orchfs_user_of(const struct file_lock *fl)
{
	/* there is no member for others; NFS keeps who owns it here, too */
	return (struct orchfs_lock_user *)fl->fl_u.nfs4_fl.owner;
}

static void orchfs_user_set(struct file_lock *fl, struct orchfs_lock_user *u)
{
	fl->fl_u.nfs4_fl.owner = (struct nfs4_lock_state *)u;
}

static void orchfs_user_put(struct orchfs_lock_user *u)
{
	struct xarray *users = &u->sbi->lock_users;

	if (!atomic_dec_and_lock(&u->nr, &users->xa_lock))
		return;
	__xa_erase(users, u->uid);
	xa_unlock(users);
	kfree(u);
}

/* With a reference; NULL where there is none and no memory for one. */
static struct orchfs_lock_user *orchfs_user_get(struct orchfs_sb *sbi,
						const struct file *file)
{
	u32 uid = __kuid_val(file->f_cred->fsuid);
	struct orchfs_lock_user *u, *new = NULL;

	do {
		xa_lock(&sbi->lock_users);
		u = xa_load(&sbi->lock_users, uid);
		if (u)
			atomic_inc(&u->nr);
		xa_unlock(&sbi->lock_users);
		if (u)
			break;
		if (!new)
			new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
		if (!new)
			return NULL;
		new->sbi = sbi;
		new->uid = uid;
		atomic_set(&new->nr, 1);
		u = xa_cmpxchg(&sbi->lock_users, uid, NULL, new,
			       GFP_KERNEL_ACCOUNT);
		if (!u)
			return new;
	} while (!xa_is_err(u));
	kfree(new);
	return xa_is_err(u) ? NULL : u;
}

static void orchfs_range_copied(struct file_lock *new, struct file_lock *fl)
{
	struct orchfs_lock_user *u = orchfs_user_of(fl);

	atomic_inc(&u->nr);
	atomic_inc(&u->sbi->lock_ranges);
	orchfs_user_set(new, u);
}

static void orchfs_range_freed(struct file_lock *fl)
{
	struct orchfs_lock_user *u = orchfs_user_of(fl);

	atomic_dec(&u->sbi->lock_ranges);
	orchfs_user_put(u);
}

static const struct file_lock_operations orchfs_range_ops = {
	.fl_copy_lock		= orchfs_range_copied,
	.fl_release_private	= orchfs_range_freed,
};

/**
 * orchfs_ranges_begin() - a lock is about to be asked for
 * @file: open
 * @fl: it; from now on copies of it are counted
 *
 * Return: 0, or -ENOLCK where the user or all have too many.
 */
int orchfs_ranges_begin(const struct file *file, struct file_lock *fl)
{
	struct orchfs_sb *sbi = ORCHFS_SB(file_inode(file)->i_sb);
	struct orchfs_lock_user *u;

	if (!READ_ONCE(sbi->channel->locks_ask) || fl->fl_ops)
		return 0;
	u = orchfs_user_get(sbi, file);
	if (!u)
		return -ENOLCK;
	if (atomic_read(&u->nr) > ORCHFS_RANGES_USER_MAX ||
	    atomic_read(&sbi->lock_ranges) >= ORCHFS_RANGES_MAX) {
		orchfs_user_put(u);
		return -ENOLCK;
	}
	orchfs_user_set(fl, u);
	fl->fl_ops = &orchfs_range_ops;
	return 0;
}

/**
 * orchfs_ranges_end() - undo orchfs_ranges_begin(), whatever it returned
 * @fl: the lock that was asked for
 */
void orchfs_ranges_end(struct file_lock *fl)
{
	struct orchfs_lock_user *u = orchfs_user_of(fl);

	if (fl->fl_ops != &orchfs_range_ops)
		return;
	fl->fl_ops = NULL;
	orchfs_user_set(fl, NULL);
	orchfs_user_put(u);
}

/* Is that in the midst of one that is held? */
static bool orchfs_range_cuts(struct orchfs_locks *li,
			      const struct orchfs_lock *l)
{
	struct orchfs_lock wide = *l, held[2];

	if (!l->start || l->end >= OFFSET_MAX)
		return false;
	wide.start--;
	wide.end++;
	return orchfs_held_range(li->inode, &wide, held, 2) == 1 &&
	       held[0].start == wide.start && held[0].end == wide.end;
}

/**
 * orchfs_ranges_cut() - may a range be unlocked?
 * @li: of the inode
 * @file: open
 * @l: owner, kind and range
 *
 * One that leaves two of one takes room, too. To the last byte, or from the
 * first, it never does, so no close is refused.
 *
 * Return: 0 or -ENOLCK.
 */
int orchfs_ranges_cut(struct orchfs_locks *li, const struct file *file,
		      const struct orchfs_lock *l)
{
	struct orchfs_sb *sbi = ORCHFS_SB(li->inode->i_sb);
	int all = atomic_read(&sbi->lock_ranges), of_user;
	struct orchfs_lock_user *u;

	if (likely(all < ORCHFS_RANGES_USER_MAX) || !orchfs_range_cuts(li, l))
		return 0;
	u = orchfs_user_get(sbi, file);
	if (!u)
		return -ENOLCK;
	of_user = atomic_read(&u->nr);
	orchfs_user_put(u);
	return all >= ORCHFS_RANGES_MAX + ORCHFS_RANGES_CUT_MAX ||
	       of_user > ORCHFS_RANGES_USER_MAX + ORCHFS_RANGES_CUT_MAX ?
	       -ENOLCK : 0;
}
