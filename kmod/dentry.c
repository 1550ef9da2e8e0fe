// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names in the dentry cache: how long they are valid, and how they end.
 *
 * A dentry is stamped with the channel's epoch (d_time) and the directory's
 * generation of names (d_fsdata) that were current when its name was asked
 * for. It is valid while both are unchanged and the channel's lease lasts.
 * Invalidation is a change of one
 * of them, so it takes no lock that a task waiting for the daemon may hold;
 * unused dentries are pruned later from a work item.
 */
#include <linux/dcache.h>
#include <linux/namei.h>

#include "vfs.h"
#include "trace.h"

/* The same where no directory is there yet. */
struct orchfs_stamp orchfs_stamp_sb(const struct super_block *sb)
{
	struct orchfs_stamp stamp = {
		.epoch = orchfs_epoch(sb),
		.mark = atomic64_read(&ORCHFS_SB(sb)->channel->marks),
	};

	return stamp;
}

/**
 * orchfs_stamp_take() - what is asked for now will be stamped with this
 * @dir: the directory of the names, or any inode where none are asked for
 *
 * To be called before the request is made: an invalidation that comes while it
 * is under way makes the answer old.
 */
struct orchfs_stamp orchfs_stamp_take(const struct inode *dir)
{
	struct orchfs_stamp stamp = orchfs_stamp_sb(dir->i_sb);

	stamp.names = READ_ONCE(ORCHFS_I(dir)->names);
	return stamp;
}

/**
 * orchfs_stamp_next() - the same, and later than what was asked for before
 * @inode: whose attributes are asked for
 *
 * Two answers that tell of the same record may differ in what changes without
 * notice. The one that was asked for later counts.
 */
struct orchfs_stamp orchfs_stamp_next(const struct inode *inode)
{
	struct orchfs_stamp stamp = orchfs_stamp_take(inode);

	stamp.mark = atomic64_inc_return(&orchfs_channel_of(inode)->marks);
	return stamp;
}

/**
 * orchfs_stamp_set() - the name was found to be what the dentry says
 * @dentry: positive or negative
 * @stamp: taken before the daemon was asked
 *
 * Two that set a stamp at a time may leave one half of each; such a stamp is
 * valid only if both halves are.
 */
void orchfs_stamp_set(struct dentry *dentry, const struct orchfs_stamp *stamp)
{
	WRITE_ONCE(dentry->d_fsdata, (void *)stamp->names);
	WRITE_ONCE(dentry->d_time, stamp->epoch);
}

/* Epochs count from 1, so 0 is older than any. */
void orchfs_stamp_clear(struct dentry *dentry)
{
	WRITE_ONCE(dentry->d_time, 0);
}

/* Is what was asked for at that time still valid? */
bool orchfs_stamp_current(const struct inode *dir,
			  const struct orchfs_stamp *stamp)
{
	return stamp->epoch >= orchfs_epoch_believed(dir->i_sb) &&
	       stamp->names == READ_ONCE(ORCHFS_I(dir)->names);
}

/* Is the name valid, as long as the caller keeps its directory? */
bool orchfs_stamp_valid(const struct inode *dir, const struct dentry *dentry)
{
	struct orchfs_stamp stamp = {
		.epoch = READ_ONCE(dentry->d_time),
		.names = (unsigned long)READ_ONCE(dentry->d_fsdata),
	};

	return orchfs_stamp_current(dir, &stamp);
}

/* 1: the dentry is right, 0: it is not, else -errno. */
static int orchfs_revalidate_upcall(struct inode *dir, struct dentry *dentry)
{
	struct orchfs_stamp stamp = orchfs_stamp_take(dir);
	struct inode *inode = d_inode(dentry);
	struct name_snapshot name;
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_LOOKUP,
		.node = dir->i_ino,
		.name = &name.name,
	};
	struct orchfs_result res;
	int ret;

	take_dentry_name_snapshot(&name, dentry);
	ret = orchfs_upcall(dir->i_sb, &args, &res);
	trace_orchfs_namei(ORCHFS_TRACE_REVALIDATE, dir, &name.name, ret);
	release_dentry_name_snapshot(&name);

	/* 0 ends what is mounted below: only where the daemon has said so */
	if (ret == -ENOENT) {
		ret = !inode;
	} else if ((ret == -ESTALE || ret == -ENOTDIR) && res.answered) {
		ret = 0;
	} else if (!ret) {
		ret = inode && inode->i_ino == res.attr.ino &&
		      ORCHFS_I(inode)->generation == res.attr.generation &&
		      !inode_wrong_type(inode, res.attr.mode);
		if (ret)
			orchfs_inode_update(inode, &res.attr, 0, 0, &stamp);
	}
	orchfs_result_free(&res);
	if (ret > 0)
		orchfs_stamp_set(dentry, &stamp);
	return ret;
}

/*
 * LOOKUP_REVAL, which comes after ESTALE, asks for nothing more: names have no
 * timeout, and whoever met the ESTALE marked what was contradicted.
 */
static int orchfs_d_revalidate(struct dentry *dentry, unsigned int flags)
{
	struct dentry *parent;
	struct inode *dir;
	int ret;

	/* what a handle has found has no name that could be wrong */
	if (IS_ROOT(dentry))
		return 1;
	if (flags & LOOKUP_RCU) {
		dir = d_inode_rcu(READ_ONCE(dentry->d_parent));
		if (!dir || !orchfs_stamp_valid(dir, dentry))
			return -ECHILD;
		return 1;
	}

	parent = dget_parent(dentry);
	dir = d_inode(parent);
	if (orchfs_stamp_valid(dir, dentry)) {
		ret = 1;
	} else if (d_really_is_negative(dentry) &&
		   (flags & (LOOKUP_CREATE | LOOKUP_RENAME_TARGET))) {
		/* look-up knows what it may leave to the operation */
		ret = 0;
	} else {
		ret = orchfs_revalidate_upcall(dir, dentry);
	}
	dput(parent);
	return ret;
}

/*
 * A listing that is cached promises that stat of its entries costs nothing:
 * the next reader gets them anew.
 */
static void orchfs_d_prune(struct dentry *dentry)
{
	struct inode *dir = d_inode(dentry->d_parent);

	if (!dir || IS_ROOT(dentry) || d_unhashed(dentry) ||
	    d_really_is_negative(dentry))
		return;
	if (!READ_ONCE(ORCHFS_I(dir)->listing_cold))
		WRITE_ONCE(ORCHFS_I(dir)->listing_cold, true);
}

const struct dentry_operations orchfs_dentry_ops = {
	.d_revalidate	= orchfs_d_revalidate,
	.d_prune	= orchfs_d_prune,
};

/*
 * Another node removed the last name: a dentry that is in use goes with its
 * last user, as it does where this kernel removes it, and the inode with it.
 */
static void orchfs_drop_names(struct inode *inode)
{
	struct dentry *alias;

	while ((alias = d_find_alias(inode))) {
		d_invalidate(alias);
		dput(alias);
		/* one alone, and it is found unhashed, too */
		if (S_ISDIR(inode->i_mode))
			break;
	}
}

static void orchfs_prune_node(struct super_block *sb, u64 node)
{
	struct inode *inode = ilookup(sb, node);
	struct dentry *alias;

	if (!inode)
		return;
	/* names known to be absent in a removed directory keep it, too */
	if (S_ISDIR(inode->i_mode) && !inode->i_nlink) {
		alias = d_find_any_alias(inode);
		if (alias)
			shrink_dcache_parent(alias);
		dput(alias);
	}
	d_prune_aliases(inode);
	if (!inode->i_nlink)
		orchfs_drop_names(inode);
	iput(inode);
}

/**
 * orchfs_prune_work() - drop unused dentries of what was invalidated
 * @work: orchfs_sb.prune_work
 *
 * Dropping the last reference of an inode sends notices only, so nothing here
 * waits for the daemon.
 */
void orchfs_prune_work(struct work_struct *work)
{
	struct orchfs_sb *sbi = container_of(work, struct orchfs_sb,
					     prune_work);
	unsigned long node;
	void *entry;
	bool all;

	spin_lock(&sbi->lock);
	all = sbi->prune_all;
	sbi->prune_all = false;
	spin_unlock(&sbi->lock);

	if (all)
		shrink_dcache_sb(sbi->sb);
	xa_for_each(&sbi->prune, node, entry) {
		xa_erase(&sbi->prune, node);
		orchfs_prune_node(sbi->sb, node);
		cond_resched();
	}
}

/**
 * orchfs_prune_queue() - unused dentries shall go
 * @sb: the caller holds a reference
 * @node: of this inode; 0: of all
 *
 * May sleep to allocate. There are no more of them than inodes in memory.
 */
void orchfs_prune_queue(struct super_block *sb, u64 node)
{
	struct orchfs_sb *sbi = ORCHFS_SB(sb);
	bool all;

	all = !node || xa_is_err(xa_store(&sbi->prune, node, xa_mk_value(1),
					  GFP_KERNEL));
	spin_lock(&sbi->lock);
	if (!sbi->dying) {
		sbi->prune_all |= all;
		schedule_work(&sbi->prune_work);
	}
	spin_unlock(&sbi->lock);
}

/**
 * orchfs_super_invalidate() - names and attributes are no longer valid
 * @sb: the caller holds a reference
 * @node: an inode; 0: all of the namespace
 * @name: a name in it; NULL: the inode itself and, of a directory, all names
 *
 * Called by the handler of a message: bumps generations under i_lock at most.
 * One name is treated as all names of its directory, as finding its dentry
 * may mean dropping its last reference here.
 */
void orchfs_super_invalidate(struct super_block *sb, u64 node,
			     const struct qstr *name)
{
	if (!node) {
		atomic64_inc(&ORCHFS_SB(sb)->channel->epoch);
		orchfs_prune_queue(sb, 0);
		return;
	}

	if (orchfs_super_mark(sb, node, name ? ORCHFS_MARK_NAMES :
				       ORCHFS_MARK_ATTR))
		orchfs_prune_queue(sb, node);
}
