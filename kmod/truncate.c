// SPDX-License-Identifier: GPL-2.0-only
/*
 * Truncate and flush: done to the backing inode, open or not.
 */
#include <linux/cred.h>
#include <linux/exportfs.h>
#include <linux/fiemap.h>
#include <linux/mount.h>
#include <linux/pagemap.h>

#include "layout.h"
#include "remote.h"
#include "trace.h"

static int backing_change(const struct orchfs_layout *lay, struct iattr *ia)
{
	const struct path *path = &orchfs_layout_first(lay)->anchor;
	const struct cred *old;
	int ret;

	ret = mnt_want_write(path->mnt);
	if (ret)
		return ret;
	old = override_creds(lay->cred);
	inode_lock(lay->inode);
	ret = notify_change(mnt_idmap(path->mnt), path->dentry, ia, NULL);
	inode_unlock(lay->inode);
	revert_creds(old);
	mnt_drop_write(path->mnt);
	return ret;
}

/* truncate() to the size that the file has changes nothing. */
static bool backing_same(const struct inode *backing, const struct iattr *ia)
{
	return (ia->ia_valid & ATTR_SIZE) && !(ia->ia_valid & ATTR_MTIME) &&
	       i_size_read(backing) == ia->ia_size;
}

/* Answers that were asked for before don't count for mtime. */
static void backing_touched(struct inode *inode)
{
	spin_lock(&inode->i_lock);
	ORCHFS_I(inode)->touched =
		atomic64_inc_return(&orchfs_channel_of(inode)->marks);
	spin_unlock(&inode->i_lock);
}

/* A ctime alone leaves an mtime that utimes has set in the record. */
static void backing_changed(struct inode *inode, struct inode *backing,
			    unsigned int ia_valid)
{
	if (ia_valid & (ATTR_SIZE | ATTR_MTIME)) {
		orchfs_attr_written(inode, backing);
	} else {
		orchfs_contents_changed(inode);
		orchfs_attr_touched(inode, backing);
	}
}

/*
 * Counts as I/O, so a swap waits for it. With @ask it costs an upcall where no
 * layout that grants writing is held; without, it fails there and doesn't wait
 * for a swap (a layout that was just dropped is asked for again, though).
 */
static int backing_setattr(struct inode *inode, struct iattr *ia, bool ask)
{
	struct orchfs_open_inode *oi;
	struct orchfs_layout *lay;
	struct orchfs_gate *gate;
	bool same;
	int ret;

	ret = orchfs_layout_attach(inode, ask, false, &oi);
	if (ret)
		return ret;
	gate = orchfs_layout_pass(inode, oi, true, !ask, &lay);
	ret = PTR_ERR_OR_ZERO(gate);
	if (ret)
		goto out_detach;
	same = backing_same(lay->inode, ia);
	ret = backing_change(lay, ia);
	if (!ret && !same) {
		WRITE_ONCE(oi->written, true);
		if (!ask && (ia->ia_valid & ATTR_MTIME))
			backing_touched(inode);
		backing_changed(inode, lay->inode, ia->ia_valid);
	}
	orchfs_gate_leave(gate);
	orchfs_layout_put(lay);
out_detach:
	orchfs_layout_detach(inode, oi, false);
	return ret;
}

/**
 * orchfs_truncate() - change the size of a file
 * @inode: i_rwsem is held
 * @iattr: with ATTR_SIZE
 *
 * Return: 0; errors of orchfs_layout_want() and of the backing file system.
 */
int orchfs_truncate(struct inode *inode, const struct iattr *iattr)
{
	/* Times that the caller gave are the record's, not the backing file's. */
	struct iattr ia = {
		.ia_valid = iattr->ia_valid &
			    (ATTR_SIZE | ATTR_MTIME | ATTR_CTIME),
		.ia_size = iattr->ia_size,
	};

	int ret = backing_setattr(inode, &ia, true);

	if (orchfs_refused(ret)) {
		ret = orchfs_layout_renew(inode, true);
		if (!ret)
			ret = backing_setattr(inode, &ia, true);
	}
	ret = orchfs_told(ret);
	if (!ret)
		ret = orchfs_attr_refresh(inode);
	if (!ret && IS_SYNC(inode))
		ret = orchfs_commit_times(inode);
	if (!ret && IS_SYNC(inode))
		ret = orchfs_durable_names(inode, false);
	return ret;
}

/*
 * The daemon takes the backing file's mtime when it isn't the one that it saw
 * there last; so a new one must be neither that nor, where the inode's own is
 * the record's, what is there.
 */
static bool backing_keeps_mtime(struct inode *inode, struct inode *backing,
				struct timespec64 mtime)
{
	struct timespec64 kept = timestamp_truncate(mtime, backing);
	struct timespec64 there = inode_get_mtime(backing);
	struct timespec64 own = inode_get_mtime(inode);
	struct timespec64 base, before;

	spin_lock(&inode->i_lock);
	base = ORCHFS_I(inode)->base_mtime;
	before = ORCHFS_I(inode)->base_before;
	spin_unlock(&inode->i_lock);
	if (!timespec64_equal(&kept, &mtime))
		return false;
	if (timespec64_equal(&mtime, &there))
		return timespec64_equal(&mtime, &own);
	return !timespec64_equal(&mtime, &base) &&
	       !timespec64_equal(&mtime, &before);
}

/* A volume that is frozen would be waited for. */
static bool backing_keeps_times(struct inode *inode, const struct iattr *ia)
{
	struct orchfs_layout *lay = orchfs_layout_of(inode);
	bool ret = false;

	if (!lay)
		return false;
	if (lay->writable && lay->inode && !orchfs_is_remote(lay->inode) &&
	    READ_ONCE(lay->inode->i_sb->s_writers.frozen) == SB_UNFROZEN)
		ret = !(ia->ia_valid & ATTR_MTIME) ||
		      backing_keeps_mtime(inode, lay->inode, ia->ia_mtime);
	orchfs_layout_put(lay);
	return ret;
}

/**
 * orchfs_touch() - let the backing file have a new mtime or ctime
 * @inode: a regular file; i_rwsem is held
 * @iattr: ATTR_MTIME, maybe, and ATTR_CTIME; all else is as it was
 *
 * While the file may be written through this mount these two are those of its
 * backing file, so the record needn't be asked to change.
 *
 * Return: whether it was done; if not, the daemon is to be asked.
 */
bool orchfs_touch(struct inode *inode, const struct iattr *iattr)
{
	struct iattr ia = {
		.ia_valid = ATTR_CTIME | (iattr->ia_valid &
					  (ATTR_MTIME | ATTR_MTIME_SET)),
		.ia_mtime = iattr->ia_mtime,
	};

	return backing_keeps_times(inode, &ia) &&
	       !backing_setattr(inode, &ia, false);
}

static int backing_fiemap(struct inode *inode, struct fiemap_extent_info *info,
			  u64 start, u64 len)
{
	struct orchfs_open_inode *oi;
	struct orchfs_layout *lay;
	struct orchfs_gate *gate;
	int ret;

	ret = orchfs_layout_attach(inode, false, false, &oi);
	if (ret)
		return ret;
	gate = orchfs_layout_pass(inode, oi, false, false, &lay);
	ret = PTR_ERR_OR_ZERO(gate);
	if (!ret) {
		ret = -EOPNOTSUPP;
		if (lay->inode->i_op->fiemap)
			ret = lay->inode->i_op->fiemap(lay->inode, info, start,
						       len);
		orchfs_gate_leave(gate);
		orchfs_layout_put(lay);
	}
	orchfs_layout_detach(inode, oi, false);
	return ret;
}

/**
 * orchfs_fiemap() - where the volume's file system keeps the contents
 * @inode: a regular file
 * @info: filled
 * @start: first byte
 * @len: bytes
 *
 * Return: 0; -EBADR for those of xattrs, which the daemon keeps; -EOPNOTSUPP
 * where the volume can't tell; errors of orchfs_layout_attach().
 */
int orchfs_fiemap(struct inode *inode, struct fiemap_extent_info *info,
		  u64 start, u64 len)
{
	int ret;

	/* xattrs are not with the contents */
	ret = fiemap_prep(inode, info, start, &len, 0);
	if (!ret)
		ret = backing_fiemap(inode, info, start, len);
	trace_orchfs_inode_op(ORCHFS_TRACE_FIEMAP, inode, ret);
	return ret;
}

static int backing_commit(struct inode *inode)
{
	struct orchfs_layout *lay = orchfs_layout_of(inode);
	const struct export_operations *ops;
	int ret = 0;

	if (!lay)
		return 0;
	ops = lay->inode ? lay->inode->i_sb->s_export_op : NULL;
	if (ops && ops->commit_metadata)
		ret = ops->commit_metadata(lay->inode);
	else if (orchfs_is_remote(lay->inode))
		ret = orchfs_remote_commit(lay->inode);
	else if (lay->inode)
		ret = sync_inode_metadata(lay->inode, 1);
	orchfs_layout_put(lay);
	return ret;
}

/**
 * orchfs_commit_times() - make the backing file's times and size durable
 * @inode: of any type; the caller is in no gate
 *
 * The size, too: a truncate that nfsd has answered stays.
 *
 * Return: 0 or the error of the backing file system.
 */
int orchfs_commit_times(struct inode *inode)
{
	int ret;

	if (!S_ISREG(inode->i_mode))
		return 0;
	ret = backing_commit(inode);
	if (orchfs_refused(ret)) {
		ret = orchfs_layout_renew(inode, false);
		if (!ret)
			ret = backing_commit(inode);
	}
	return orchfs_told(ret);
}

/**
 * orchfs_flush() - start writing back the contents
 * @inode: of any type
 *
 * Doesn't wait and reports nothing: who wants to know calls fsync.
 */
void orchfs_flush(struct inode *inode)
{
	struct orchfs_layout *lay;

	if (!S_ISREG(inode->i_mode))
		return;
	lay = orchfs_layout_of(inode);
	if (!lay)
		return;
	if (lay->inode)
		filemap_flush(lay->inode->i_mapping);
	orchfs_layout_put(lay);
}
