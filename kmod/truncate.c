// SPDX-License-Identifier: GPL-2.0-only
/*
 * Truncate and flush: done to the backing inode, open or not.
 */
#include <linux/cred.h>
#include <linux/fiemap.h>
#include <linux/mount.h>
#include <linux/pagemap.h>

#include "layout.h"

static int truncate_backing(const struct orchfs_layout *lay,
			    const struct iattr *iattr)
{
	const struct path *path = &orchfs_layout_first(lay)->anchor;
	/* Times that the caller gave are the record's, not the backing file's. */
	struct iattr ia = {
		.ia_valid = iattr->ia_valid &
			    (ATTR_SIZE | ATTR_MTIME | ATTR_CTIME),
		.ia_size = iattr->ia_size,
	};
	const struct cred *old;
	int ret;

	ret = mnt_want_write(path->mnt);
	if (ret)
		return ret;
	old = override_creds(lay->cred);
	inode_lock(lay->inode);
	ret = notify_change(mnt_idmap(path->mnt), path->dentry, &ia, NULL);
	inode_unlock(lay->inode);
	revert_creds(old);
	mnt_drop_write(path->mnt);
	return ret;
}

/**
 * orchfs_truncate() - change the size of a file
 * @dentry: of orchfs; i_rwsem of its inode is held
 * @iattr: with ATTR_SIZE
 *
 * Counts as I/O, so a swap waits for it. Costs an upcall where no layout that
 * grants writing is held.
 *
 * Return: 0; errors of orchfs_layout_want() and of the backing file system.
 */
int orchfs_truncate(struct dentry *dentry, struct iattr *iattr)
{
	struct inode *inode = d_inode(dentry);
	struct orchfs_open_inode *oi;
	struct orchfs_layout *lay;
	struct orchfs_gate *gate;
	bool same;
	int ret;

	ret = orchfs_layout_attach(inode, true, false, &oi);
	if (ret)
		return ret;
	gate = orchfs_layout_pass(inode, oi, true, false, &lay);
	ret = PTR_ERR_OR_ZERO(gate);
	if (ret)
		goto out_detach;
	/* truncate() to the size that the file has changes nothing. */
	same = !(iattr->ia_valid & ATTR_MTIME) &&
	       i_size_read(lay->inode) == iattr->ia_size;
	ret = truncate_backing(lay, iattr);
	if (!ret && !same) {
		WRITE_ONCE(oi->written, true);
		orchfs_attr_written(inode, lay->inode);
	}
	orchfs_gate_leave(gate);
	orchfs_layout_put(lay);
out_detach:
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
	struct orchfs_open_inode *oi;
	struct orchfs_layout *lay;
	struct orchfs_gate *gate;
	int ret;

	/* xattrs are not with the contents */
	ret = fiemap_prep(inode, info, start, &len, 0);
	if (ret)
		return ret;
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
