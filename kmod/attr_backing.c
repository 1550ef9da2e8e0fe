// SPDX-License-Identifier: GPL-2.0-only
/*
 * Size, blocks and times of an inode that holds a layout: they are those of
 * the backing file. See Documentation/layouts.md, "Who knows the size".
 */
#include <linux/fs.h>
#include <linux/iversion.h>

#include "layout.h"
#include "remote.h"

static bool time_is(struct timespec64 a, struct timespec64 b)
{
	return timespec64_equal(&a, &b);
}

/* Is this the backing inode of the layout held? */
static const struct orchfs_layout *
layout_of_backing_locked(struct inode *inode, const struct inode *backing)
{
	const struct orchfs_layout *lay;

	lay = rcu_dereference_protected(ORCHFS_I(inode)->layout,
					lockdep_is_held(&inode->i_lock));
	return lay && lay->inode == backing ? lay : NULL;
}

/*
 * The peer is asked for the times when somebody wants to know; what it says
 * first goes with those that the inode has then.
 */
static void attr_seen_remote_locked(struct inode *inode,
				    const struct orchfs_layout *lay)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);

	lockdep_assert_held(&inode->i_lock);

	if (ii->seen_instance != lay->instance) {
		ii->seen_instance = lay->instance;
		ii->seen = ORCHFS_SEEN_NONE;
	}
	orchfs_remote_held(lay->inode, inode,
			   ORCHFS_SB(inode->i_sb)->upcall_timeout);
}

/**
 * orchfs_attr_seen_locked() - a layout was put on the inode
 * @inode: i_lock is held
 * @lay: the layout
 *
 * The times of an instance that the inode hasn't seen go with the times that
 * the inode has now, whatever they are: only a change counts.
 */
void orchfs_attr_seen_locked(struct inode *inode,
			     const struct orchfs_layout *lay)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);

	lockdep_assert_held(&inode->i_lock);

	if (!lay->inode)
		return;
	if (orchfs_is_remote(lay->inode)) {
		attr_seen_remote_locked(inode, lay);
		return;
	}
	if (ii->seen_instance != lay->instance) {
		ii->seen_instance = lay->instance;
		ii->seen_mtime = inode_get_mtime(lay->inode);
		ii->seen_ctime = inode_get_ctime(lay->inode);
	}
	i_size_write(inode, i_size_read(lay->inode));
}

/**
 * orchfs_attr_base_locked() - the daemon looks at the backing file's mtime
 * @inode: i_lock is held
 *
 * It did when it granted writing, or when it set an mtime in the record: as
 * long as the backing file has that one, the record's counts. Where an instance
 * was not settled since the last grant the daemon goes by that one's.
 */
void orchfs_attr_base_locked(struct inode *inode)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);
	const struct orchfs_layout *lay;
	struct timespec64 mtime;

	lockdep_assert_held(&inode->i_lock);
	lay = rcu_dereference_protected(ii->layout,
					lockdep_is_held(&inode->i_lock));
	if (!lay || !lay->inode)
		return;
	mtime = inode_get_mtime(lay->inode);
	if (time_is(mtime, ii->base_mtime))
		return;
	ii->base_before = ii->base_mtime;
	ii->base_mtime = mtime;
}

/**
 * orchfs_attr_stale() - would orchfs_attr_written() change anything?
 * @inode: of orchfs
 * @backing: its backing inode
 *
 * Any context; no lock, so only good for skipping work.
 */
bool orchfs_attr_stale(struct inode *inode, struct inode *backing)
{
	struct timespec64 ctime = inode_get_ctime(backing);
	struct timespec64 own = inode_get_ctime(inode);

	return i_size_read(inode) != i_size_read(backing) ||
	       !time_is(inode_get_mtime(inode), inode_get_mtime(backing)) ||
	       !time_is(ORCHFS_I(inode)->seen_ctime, ctime) ||
	       timespec64_compare(&own, &ctime) < 0;
}

/**
 * orchfs_attr_behind_locked() - has the backing file changed since it was seen?
 * @inode: i_lock is held
 * @lay: its layout
 */
bool orchfs_attr_behind_locked(struct inode *inode,
			       const struct orchfs_layout *lay)
{
	const struct orchfs_inode *ii = ORCHFS_I(inode);

	lockdep_assert_held(&inode->i_lock);
	if (orchfs_is_remote(lay->inode))
		return false;
	return lay->inode &&
	       (!time_is(ii->seen_mtime, inode_get_mtime(lay->inode)) ||
		!time_is(ii->seen_ctime, inode_get_ctime(lay->inode)));
}

/* One that goes back isn't overtaken by answers of before. */
static void attr_mtime_locked(struct inode *inode, struct timespec64 mtime)
{
	struct timespec64 own = inode_get_mtime(inode);

	if (timespec64_compare(&mtime, &own) < 0)
		ORCHFS_I(inode)->touched = atomic64_inc_return(
			&orchfs_channel_of(inode)->marks);
	inode_set_mtime_to_ts(inode, mtime);
}

static void attr_ctime_locked(struct inode *inode, struct timespec64 ctime)
{
	struct timespec64 own = inode_get_ctime(inode);

	if (timespec64_compare(&ctime, &own) > 0)
		inode_set_ctime_to_ts(inode, ctime);
}

/*
 * The times are the peer's, who will be asked. Records that were asked for
 * before the write don't have them.
 */
static void attr_written_remote(struct inode *inode, struct inode *backing)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);

	spin_lock(&inode->i_lock);
	ii->touched = atomic64_inc_return(&orchfs_channel_of(inode)->marks);
	if (layout_of_backing_locked(inode, backing)) {
		i_size_write(inode, i_size_read(backing));
		WRITE_ONCE(ii->seen, ORCHFS_SEEN_WRITTEN);
	}
	spin_unlock(&inode->i_lock);
}

/**
 * orchfs_attr_written() - the backing file was written through this inode
 * @inode: of orchfs
 * @backing: of the layout that was written through
 *
 * That it was written is known, so its mtime counts even where it looks like
 * one that was seen: the clock has ticks. Takes i_lock if anything changed.
 */
void orchfs_attr_written(struct inode *inode, struct inode *backing)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);

	orchfs_contents_changed(inode);
	if (unlikely(READ_ONCE(ii->foreign) > 1))
		WRITE_ONCE(ii->foreign, 1);
	if (orchfs_is_remote(backing)) {
		attr_written_remote(inode, backing);
		return;
	}
	if (!orchfs_attr_stale(inode, backing))
		return;
	spin_lock(&inode->i_lock);
	attr_mtime_locked(inode, inode_get_mtime(backing));
	attr_ctime_locked(inode, inode_get_ctime(backing));
	if (layout_of_backing_locked(inode, backing)) {
		i_size_write(inode, i_size_read(backing));
		ii->seen_mtime = inode_get_mtime(backing);
		ii->seen_ctime = inode_get_ctime(backing);
	}
	WRITE_ONCE(ii->attr_dirty, true);
	spin_unlock(&inode->i_lock);
}

static bool attr_changed(struct inode *inode, const struct kstat *stat)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);

	if (READ_ONCE(ii->remote) && READ_ONCE(ii->seen) != ORCHFS_SEEN_TIMES)
		return true;
	return i_size_read(inode) != stat->size ||
	       READ_ONCE(inode->i_blocks) != stat->blocks ||
	       !time_is(ii->seen_mtime, stat->mtime) ||
	       !time_is(ii->seen_ctime, stat->ctime);
}

/*
 * Times of before the layout came, other nodes' writes among them, are in the
 * record, unless a node has the file that may have written it since; then an
 * mtime that is later than any change of the record is news.
 */
static bool attr_mtime_news_locked(struct inode *inode,
				   const struct kstat *stat)
{
	const struct orchfs_inode *ii = ORCHFS_I(inode);
	struct timespec64 ctime = inode_get_ctime(inode);

	lockdep_assert_held(&inode->i_lock);

	if (ii->remote && ii->seen == ORCHFS_SEEN_WRITTEN)
		return true;
	if (ii->remote && ii->seen == ORCHFS_SEEN_NONE)
		return (ii->flags & ORCHFS_ATTR_LIVE) &&
		       timespec64_compare(&stat->mtime, &ctime) > 0;
	return !time_is(ii->seen_mtime, stat->mtime);
}

static void attr_apply_locked(struct inode *inode, const struct kstat *stat)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);
	bool known = !ii->remote || ii->seen != ORCHFS_SEEN_NONE;
	bool news = attr_mtime_news_locked(inode, stat);

	lockdep_assert_held(&inode->i_lock);

	inode->i_blocks = stat->blocks;
	if (news)
		attr_mtime_locked(inode, stat->mtime);
	if (news || (known && !time_is(ii->seen_ctime, stat->ctime)))
		attr_ctime_locked(inode, stat->ctime);
	ii->seen_mtime = stat->mtime;
	ii->seen_ctime = stat->ctime;
	/* those of a remote one are no news to who has it */
	if (ii->remote)
		WRITE_ONCE(ii->seen, ORCHFS_SEEN_TIMES);
	else
		WRITE_ONCE(ii->attr_dirty, true);
}

static void attr_apply(struct inode *inode, struct inode *backing,
		       const struct kstat *stat)
{
	spin_lock(&inode->i_lock);
	if (layout_of_backing_locked(inode, backing)) {
		/* Not from stat: a writer may have been here since. */
		i_size_write(inode, i_size_read(backing));
		attr_apply_locked(inode, stat);
	}
	spin_unlock(&inode->i_lock);
}

/**
 * orchfs_attr_from_backing() - bring size, blocks and times up to date
 * @inode: a regular file
 *
 * Does nothing without a layout, or with one that has no instance, or a remote
 * one: see orchfs_attr_refresh(). Doesn't wait for other nodes.
 *
 * Return: whether there is nothing more to learn from the backing file; not so
 * if its file system has shut down, which may be for good.
 */
bool orchfs_attr_from_backing(struct inode *inode)
{
	struct orchfs_layout *lay = orchfs_layout_of(inode);
	struct kstat stat;
	bool ask = lay && lay->inode && !orchfs_is_remote(lay->inode);
	int ret = 0;

	if (!lay)
		return true;
	if (ask)
		ret = vfs_getattr_nosec(&orchfs_layout_first(lay)->anchor,
					&stat, STATX_SIZE | STATX_BLOCKS |
					STATX_MTIME | STATX_CTIME,
					AT_STATX_DONT_SYNC);
	if (ask && !ret && attr_changed(inode, &stat))
		attr_apply(inode, lay->inode, &stat);
	orchfs_layout_put(lay);
	return !ret;
}

/**
 * orchfs_attr_touched() - the backing file was given a ctime by this inode
 * @inode: a regular file
 * @backing: of the layout that it was done through, a local one
 *
 * As with orchfs_attr_written() it counts though it may look like one that was
 * seen: in the same tick the daemon may have given the backing file an owner.
 */
void orchfs_attr_touched(struct inode *inode, struct inode *backing)
{
	orchfs_attr_from_backing(inode);
	spin_lock(&inode->i_lock);
	attr_ctime_locked(inode, inode_get_ctime(backing));
	WRITE_ONCE(ORCHFS_I(inode)->attr_dirty, true);
	spin_unlock(&inode->i_lock);
}

static int attr_ask(struct inode *inode)
{
	struct orchfs_layout *lay = orchfs_layout_of(inode);
	struct kstat stat;
	int ret = 0;

	if (!lay)
		return 0;
	if (orchfs_is_remote(lay->inode)) {
		ret = vfs_getattr_nosec(&orchfs_layout_first(lay)->anchor,
					&stat, STATX_SIZE | STATX_BLOCKS |
					STATX_MTIME | STATX_CTIME,
					AT_STATX_FORCE_SYNC);
		if (!ret && attr_changed(inode, &stat))
			attr_apply(inode, lay->inode, &stat);
	}
	orchfs_layout_put(lay);
	return ret;
}

/**
 * orchfs_attr_refresh() - the same, where the backing file is another node's
 * @inode: a regular file
 *
 * Does nothing for a file that isn't remote. The caller is in no gate.
 *
 * Return: 0; -EINTR; -EIO where the other node can't be asked; errors of
 * orchfs_layout_renew().
 */
int orchfs_attr_refresh(struct inode *inode)
{
	int ret;

	if (likely(!READ_ONCE(ORCHFS_I(inode)->remote)))
		return 0;
	ret = attr_ask(inode);
	if (orchfs_refused(ret)) {
		ret = orchfs_layout_renew(inode, false);
		if (!ret)
			ret = attr_ask(inode);
	}
	return orchfs_refused(ret) ? -EIO : ret;
}

/**
 * orchfs_attr_change() - the change cookie, which nfsd's clients go by
 * @inode: of any type
 * @stat: gets it, unless contents change unseen as there is no layout
 *
 * The transaction that wrote the record last, plus the backing file's own
 * counter where contents change without one. Instances are numbered in order,
 * so what a new one begins with is more than an old one has come to.
 */
void orchfs_attr_change(struct inode *inode, struct kstat *stat)
{
	u64 change = READ_ONCE(ORCHFS_I(inode)->change);
	struct orchfs_layout *lay;
	bool known = true;

	if (S_ISREG(inode->i_mode)) {
		lay = orchfs_layout_of(inode);
		if (!lay)
			return;
		known = lay->inode && IS_I_VERSION(lay->inode);
		if (known)
			change += inode_query_iversion(lay->inode) +
				  (lay->instance << 40);
		orchfs_layout_put(lay);
	}
	if (!known)
		return;
	stat->change_cookie = change;
	stat->attributes |= STATX_ATTR_CHANGE_MONOTONIC;
	stat->result_mask |= STATX_CHANGE_COOKIE;
}

/**
 * orchfs_attr_dioalign() - how direct I/O has to be aligned
 * @inode: a regular file
 * @stat: filled if the volume's file system tells
 *
 * Asks for a layout where none is held: one upcall, only for who asks for
 * STATX_DIOALIGN.
 */
void orchfs_attr_dioalign(struct inode *inode, struct kstat *stat)
{
	struct orchfs_open_inode *oi;
	struct orchfs_layout *lay;
	struct kstat lower;

	if (orchfs_layout_attach(inode, false, false, &oi))
		return;
	lay = orchfs_layout_of(inode);
	if (lay && lay->inode &&
	    !vfs_getattr_nosec(&orchfs_layout_first(lay)->anchor, &lower,
			       STATX_DIOALIGN, AT_STATX_DONT_SYNC) &&
	    (lower.result_mask & STATX_DIOALIGN)) {
		stat->dio_mem_align = lower.dio_mem_align;
		stat->dio_offset_align = lower.dio_offset_align;
		stat->result_mask |= STATX_DIOALIGN;
	}
	if (lay)
		orchfs_layout_put(lay);
	orchfs_layout_detach(inode, oi, false);
}
