// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names in the dentry cache: how long they are valid, and how they end.
 *
 * A dentry is stamped with the channel's epoch (d_time) and the directory's
 * generation of names (d_fsdata) that were current when its name was asked
 * for. It is valid while both are unchanged. Invalidation is a change of one
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
	return stamp->epoch >= orchfs_epoch(dir->i_sb) &&
	       stamp->names == READ_ONCE(ORCHFS_I(dir)->names);
}

static bool orchfs_stamp_valid(const struct inode *dir,
			       const struct dentry *dentry)
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

static void orchfs_prune_node(struct super_block *sb, u64 node)
{
	struct inode *inode = ilookup(sb, node);

	if (!inode)
		return;
	d_prune_aliases(inode);
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
	u64 nodes[ORCHFS_PRUNE_MAX];
	unsigned int i, nr;
	bool all;

	spin_lock(&sbi->lock);
	nr = sbi->prune_nr;
	all = sbi->prune_all;
	memcpy(nodes, sbi->prune_nodes, nr * sizeof(nodes[0]));
	sbi->prune_nr = 0;
	sbi->prune_all = false;
	spin_unlock(&sbi->lock);

	if (all) {
		shrink_dcache_sb(sbi->sb);
		return;
	}
	for (i = 0; i < nr; i++)
		orchfs_prune_node(sbi->sb, nodes[i]);
}

static void orchfs_prune_queue(struct orchfs_sb *sbi, u64 node)
{
	spin_lock(&sbi->lock);
	if (!sbi->dying) {
		if (!node || sbi->prune_nr == ORCHFS_PRUNE_MAX)
			sbi->prune_all = true;
		else
			sbi->prune_nodes[sbi->prune_nr++] = node;
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
		orchfs_prune_queue(ORCHFS_SB(sb), 0);
		return;
	}

	if (orchfs_super_mark(sb, node, name ? ORCHFS_MARK_NAMES :
				       ORCHFS_MARK_ATTR))
		orchfs_prune_queue(ORCHFS_SB(sb), node);
}
