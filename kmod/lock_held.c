// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the VFS's lists have of an inode's locks. They tell owners by addresses,
 * the daemon is told numbers. Files are only compared with here: they may be on
 * their way out.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "lock.h"

/**
 * orchfs_locks_find() - locks of an inode that is in memory
 * @sbi: of its superblock
 * @node: inode number
 *
 * Return: them, with a reference to the inode, or NULL.
 */
struct orchfs_locks *orchfs_locks_find(struct orchfs_sb *sbi, u64 node)
{
	struct orchfs_locks *li;

	xa_lock(&sbi->locks);
	li = xa_load(&sbi->locks, node);
	if (li && !igrab(li->inode))
		li = NULL;	/* nothing is held of one that goes */
	xa_unlock(&sbi->locks);
	return li;
}

static void orchfs_held_add(struct orchfs_held *held,
			    const struct list_head *list)
{
	struct file_lock *fl;

	list_for_each_entry(fl, list, c.flc_list) {
		if (held->nr < held->room)
			orchfs_lock_describe(fl, &held->locks[held->nr]);
		held->nr++;
	}
}

static void orchfs_held_fill(struct file_lock_context *ctx,
			     struct orchfs_held *held)
{
	held->nr = 0;
	spin_lock(&ctx->flc_lock);
	orchfs_held_add(held, &ctx->flc_posix);
	orchfs_held_add(held, &ctx->flc_flock);
	spin_unlock(&ctx->flc_lock);
}

/**
 * orchfs_held_get() - all that is held of an inode
 * @inode: the inode
 * @held: filled; the caller frees its locks in every case
 *
 * Return: 0 or -ENOMEM.
 */
int orchfs_held_get(struct inode *inode, struct orchfs_held *held)
{
	struct file_lock_context *ctx = locks_inode_context(inode);

	*held = (struct orchfs_held){};
	if (!ctx)
		return 0;
	for (;;) {
		orchfs_held_fill(ctx, held);
		if (held->nr <= held->room)
			return 0;
		kvfree(held->locks);
		held->room = held->nr + 16;
		held->locks = kvmalloc_array(held->room, sizeof(*held->locks),
					     GFP_KERNEL);
		if (!held->locks)
			return -ENOMEM;
	}
}

/* Is it of that owner and kind, and in that range? */
static bool orchfs_held_is(const struct file_lock *fl,
			   const struct orchfs_lock *l, struct orchfs_lock *is)
{
	orchfs_lock_describe(fl, is);
	return orchfs_lock_touches(is, l);
}

static int orchfs_held_list(const struct list_head *list,
			    const struct orchfs_lock *l,
			    struct orchfs_lock *out, int max)
{
	struct file_lock *fl;
	struct orchfs_lock is;
	int n = 0;

	list_for_each_entry(fl, list, c.flc_list) {
		if (!orchfs_held_is(fl, l, &is))
			continue;
		if (n == max)
			return -E2BIG;
		is.start = max(is.start, l->start);
		is.end = min(is.end, l->end);
		out[n++] = is;
	}
	return n;
}

/**
 * orchfs_held_range() - what an owner has of a range
 * @inode: the inode
 * @l: owner, kind and range
 * @out: filled in order, cut to the range
 * @max: room there
 *
 * Return: how many, or -E2BIG.
 */
int orchfs_held_range(struct inode *inode, const struct orchfs_lock *l,
		      struct orchfs_lock *out, int max)
{
	struct file_lock_context *ctx = locks_inode_context(inode);
	int n;

	if (!ctx)
		return 0;
	spin_lock(&ctx->flc_lock);
	n = orchfs_held_list(l->flags & ORCHFS_LOCK_FLOCK ? &ctx->flc_flock :
			     &ctx->flc_posix, l, out, max);
	spin_unlock(&ctx->flc_lock);
	return n;
}

static struct file_lock *orchfs_held_first(const struct list_head *list,
					   const struct orchfs_lock *l)
{
	struct orchfs_lock is;
	struct file_lock *fl;

	list_for_each_entry(fl, list, c.flc_list)
		if (!l || orchfs_held_is(fl, l, &is))
			return fl;
	return NULL;
}

/* One lock, to be taken out; false when there is none. @l: NULL: any */
static bool orchfs_held_one(struct file_lock_context *ctx,
			    const struct orchfs_lock *l, struct file_lock *un)
{
	struct file_lock *fl;

	spin_lock(&ctx->flc_lock);
	fl = orchfs_held_first(&ctx->flc_posix, l);
	if (!fl)
		fl = orchfs_held_first(&ctx->flc_flock, l);
	if (fl) {
		locks_init_lock(un);
		un->c.flc_file = fl->c.flc_file;
		un->c.flc_owner = fl->c.flc_owner;
		un->c.flc_pid = fl->c.flc_pid;
		un->c.flc_flags = fl->c.flc_flags &
				  (FL_POSIX | FL_OFDLCK | FL_FLOCK);
		un->c.flc_type = F_UNLCK;
		un->fl_start = l ? l->start : 0;
		un->fl_end = l ? l->end : OFFSET_MAX;
	}
	spin_unlock(&ctx->flc_lock);
	return fl;
}

/**
 * orchfs_held_drop() - take out of the lists what isn't held any more
 * @inode: the inode
 * @l: owner, kind and range; NULL: all of everybody
 *
 * Return: the number of owners that had some.
 */
unsigned int orchfs_held_drop(struct inode *inode, const struct orchfs_lock *l)
{
	struct file_lock_context *ctx = locks_inode_context(inode);
	struct file_lock un;
	unsigned int n = 0;

	if (!ctx)
		return 0;
	while (orchfs_held_one(ctx, l, &un)) {
		if (locks_lock_inode_wait(inode, &un))
			break;
		n++;
		cond_resched();
	}
	return n;
}
