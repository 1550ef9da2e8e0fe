// SPDX-License-Identifier: GPL-2.0-only
/*
 * Directories that another node has moved. Here a directory has one dentry,
 * which is where it was; who looks it up at its new place moves it there. For
 * that the VFS wants the lock of renames across directories, and doesn't wait
 * for it, as the caller has that of the new place. A rename of that kind has it
 * itself, so it never gets it. Then look-up says ESTALE, and the VFS begins
 * again. On its way it comes through the new place without any lock: that is
 * where the dentry is moved, for the task that has failed.
 */
#include <linux/dcache.h>
#include <linux/namei.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "vfs.h"

#define UNPLACED_MAX	64		/* the oldest go */
#define UNPLACED_TIME	(HZ / 2)	/* it comes at once, or not */

/* A look-up that has failed. */
struct orchfs_unplaced {
	struct list_head link;		/* orchfs_sb.unplaced */
	const struct task_struct *task;	/* whose; only compared */
	u64 dir, ino;
	unsigned long since;		/* jiffies */
	struct qstr name;
	char text[];
};

static void unplaced_del_locked(struct orchfs_sb *sbi,
				struct orchfs_unplaced *u)
{
	lockdep_assert_held(&sbi->lock);
	list_del(&u->link);
	WRITE_ONCE(sbi->nr_unplaced, sbi->nr_unplaced - 1);
}

static void unplaced_free(struct list_head *list)
{
	struct orchfs_unplaced *u, *next;

	list_for_each_entry_safe(u, next, list, link)
		kfree(u);
}

/**
 * orchfs_moved_missed() - a look-up of a directory has failed by ESTALE
 * @dentry: its name, in a directory that is locked
 * @ino: the directory found
 *
 * To be called where the VFS begins again after that, not for who looks up with
 * locks of his own. Without memory it begins again for nothing.
 */
void orchfs_moved_missed(const struct dentry *dentry, u64 ino)
{
	struct orchfs_sb *sbi = ORCHFS_SB(dentry->d_sb);
	const struct qstr *name = &dentry->d_name;
	struct orchfs_unplaced *u, *old = NULL;

	u = kmalloc(struct_size(u, text, name->len), GFP_KERNEL);
	if (!u)
		return;
	memcpy(u->text, name->name, name->len);
	u->name = *name;
	u->name.name = u->text;
	u->task = current;
	u->dir = d_inode(dentry->d_parent)->i_ino;
	u->ino = ino;
	u->since = jiffies;
	spin_lock(&sbi->lock);
	if (sbi->nr_unplaced == UNPLACED_MAX) {
		old = list_first_entry(&sbi->unplaced, struct orchfs_unplaced,
				       link);
		unplaced_del_locked(sbi, old);
	}
	list_add_tail(&u->link, &sbi->unplaced);
	WRITE_ONCE(sbi->nr_unplaced, sbi->nr_unplaced + 1);
	spin_unlock(&sbi->lock);
	kfree(old);
}

/* This task's in a directory. @take: it is the caller's, else only a hint */
static struct orchfs_unplaced *unplaced_find(const struct inode *dir, bool take)
{
	struct orchfs_sb *sbi = ORCHFS_SB(dir->i_sb);
	struct orchfs_unplaced *u, *next, *mine = NULL;
	LIST_HEAD(expired);

	spin_lock(&sbi->lock);
	list_for_each_entry_safe(u, next, &sbi->unplaced, link) {
		if (time_after(jiffies, u->since + UNPLACED_TIME)) {
			unplaced_del_locked(sbi, u);
			list_add(&u->link, &expired);
		} else if (u->task == current && u->dir == dir->i_ino) {
			mine = u;
		}
	}
	if (mine && take)
		unplaced_del_locked(sbi, mine);
	spin_unlock(&sbi->lock);
	unplaced_free(&expired);
	return mine;
}

/* Does the daemon still say that it is there? */
static bool place_is(struct inode *dir, const struct orchfs_unplaced *u)
{
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_LOOKUP,
		.node = dir->i_ino,
		.name = &u->name,
	};
	struct orchfs_result res;
	bool is;

	is = !orchfs_upcall(dir->i_sb, &args, &res) && res.attr.ino == u->ino;
	orchfs_result_free(&res);
	return is;
}

/* As d_splice_alias() does it; all its locks are held. */
static void place_locked(struct dentry *parent, struct dentry *alias,
			 const struct orchfs_unplaced *u)
{
	struct orchfs_stamp stamp = orchfs_stamp_take(d_inode(parent));
	struct dentry *there;

	if (is_subdir(parent, alias) || IS_DEADDIR(d_inode(parent)) ||
	    !place_is(d_inode(parent), u))
		return;
	there = d_lookup(parent, &u->name);
	if (there == alias)
		goto out;
	if (there)
		d_invalidate(there);
	dput(there);
	there = d_alloc(parent, &u->name);
	if (!there)
		return;
	d_move(alias, there);
	orchfs_stamp_set(alias, &stamp);
out:
	dput(there);
}

/* The caller has no lock of any directory. */
static void place(struct dentry *parent, const struct orchfs_unplaced *u)
{
	struct inode *inode = ilookup(parent->d_sb, u->ino);
	struct dentry *alias, *from;

	alias = inode && S_ISDIR(inode->i_mode) ? d_find_any_alias(inode) :
						  NULL;
	iput(inode);
	if (!alias)
		return;
	from = dget_parent(alias);
	if (alias != alias->d_sb->s_root && from != parent &&
	    !IS_ERR(lock_rename(parent, from))) {
		if (alias->d_parent == from)
			place_locked(parent, alias, u);
		unlock_rename(parent, from);
	}
	dput(from);
	dput(alias);
}

/**
 * orchfs_moved_walk() - a path walk comes through a directory
 * @dir: the directory, permission for which is asked
 * @mask: what is asked
 *
 * Return: 0, or -ECHILD where that is to be left to ref walk.
 */
int orchfs_moved_walk(struct inode *dir, int mask)
{
	struct orchfs_unplaced *u;
	struct dentry *parent;

	if (likely(!READ_ONCE(ORCHFS_SB(dir->i_sb)->nr_unplaced)) ||
	    (mask & ~MAY_NOT_BLOCK) != MAY_EXEC || !S_ISDIR(dir->i_mode))
		return 0;
	if (mask & MAY_NOT_BLOCK)
		return unplaced_find(dir, false) ? -ECHILD : 0;
	u = unplaced_find(dir, true);
	parent = u ? d_find_any_alias(dir) : NULL;
	if (parent)
		place(parent, u);
	dput(parent);
	kfree(u);
	return 0;
}

/**
 * orchfs_splice_dir() - d_splice_alias() of a directory
 * @inode: its reference is consumed
 * @dentry: negative, its directory is locked
 *
 * What isn't in use at the old place goes; then nothing has to move.
 */
struct dentry *orchfs_splice_dir(struct inode *inode, struct dentry *dentry)
{
	struct dentry *alias;

	ihold(inode);
	alias = d_splice_alias(inode, dentry);
	if (alias != ERR_PTR(-ESTALE)) {
		iput(inode);
		return alias;
	}
	alias = d_find_any_alias(inode);
	if (alias)
		shrink_dcache_parent(alias);
	dput(alias);
	d_prune_aliases(inode);
	return d_splice_alias(inode, dentry);
}

/** orchfs_moved_sb_exit() - nobody uses the mount any more */
void orchfs_moved_sb_exit(struct orchfs_sb *sbi)
{
	unplaced_free(&sbi->unplaced);
}
