// SPDX-License-Identifier: GPL-2.0-only
/*
 * What chattr(1) and xfs_io(8) set: flags of an inode and its project. The VFS
 * enforces immutable and append-only.
 */
#include <linux/fs.h>
#include <linux/fileattr.h>

#include "vfs.h"
#include "trace.h"

static const struct {
	u32 attr;		/* ORCHFS_ATTR_* */
	u32 xflag;		/* FS_XFLAG_* */
} orchfs_xflags[] = {
	{ ORCHFS_ATTR_IMMUTABLE,	FS_XFLAG_IMMUTABLE },
	{ ORCHFS_ATTR_APPEND,		FS_XFLAG_APPEND },
	{ ORCHFS_ATTR_NODUMP,		FS_XFLAG_NODUMP },
	{ ORCHFS_ATTR_NOATIME,		FS_XFLAG_NOATIME },
	{ ORCHFS_ATTR_SYNC,		FS_XFLAG_SYNC },
	{ ORCHFS_ATTR_PROJINHERIT,	FS_XFLAG_PROJINHERIT },
};

/**
 * orchfs_fileattr_get() - ->fileattr_get
 * @dentry: of any type
 * @fa: filled
 *
 * Return: 0; -ENOTTY for what is neither file nor directory; errors of
 * orchfs_inode_revalidate().
 */
int orchfs_fileattr_get(struct dentry *dentry, struct fileattr *fa)
{
	struct inode *inode = d_inode(dentry);
	const struct orchfs_inode *oi = ORCHFS_I(inode);
	u32 xflags = 0;
	int i, ret;

	if (d_is_special(dentry))
		return -ENOTTY;
	ret = orchfs_inode_stale(inode) ? orchfs_inode_revalidate(inode) : 0;
	trace_orchfs_inode_op(ORCHFS_TRACE_FILEATTR_GET, inode, ret);
	if (ret)
		return ret;
	for (i = 0; i < ARRAY_SIZE(orchfs_xflags); i++)
		if (READ_ONCE(oi->flags) & orchfs_xflags[i].attr)
			xflags |= orchfs_xflags[i].xflag;
	fileattr_fill_xflags(fa, xflags);
	fa->fsx_projid = READ_ONCE(oi->projid);
	return 0;
}

static int orchfs_fileattr_upcall(struct inode *inode,
				  const struct fileattr *fa, u32 flags)
{
	struct orchfs_stamp stamp = orchfs_stamp_take(inode);
	struct orchfs_attr attr = {
		.ino = inode->i_ino,
		.flags = flags,
		.projid = fa->fsx_projid,
	};
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_SETATTR,
		.flags = IS_SYNC(inode) ? ORCHFS_REQ_FLAG_DURABLE : 0,
		.node = inode->i_ino,
		.valid = ORCHFS_SET_FLAGS | ORCHFS_SET_CTIME,
		.attr = &attr,
		.has_now = true,
		.now = orchfs_now(inode),
	};
	struct orchfs_result res;
	int ret;

	attr.ctime = args.now.sec;
	attr.ctime_nsec = args.now.nsec;
	if (fa->fsx_valid)
		args.valid |= ORCHFS_SET_PROJID;
	ret = orchfs_upcall(inode->i_sb, &args, &res);
	if (!ret)
		orchfs_inode_update(inode, &res.attr, res.txn, 0, &stamp);
	orchfs_result_free(&res);
	return ret;
}

/**
 * orchfs_fileattr_set() - ->fileattr_set, one upcall
 * @idmap: of the mount; the caller has checked what needs it
 * @dentry: its inode is locked
 * @fa: wanted
 *
 * Return: 0; -ENOTTY as above; -EOPNOTSUPP for what can't be kept; errors of
 * orchfs_upcall().
 */
int orchfs_fileattr_set(struct mnt_idmap *idmap, struct dentry *dentry,
			struct fileattr *fa)
{
	struct inode *inode = d_inode(dentry);
	u32 flags = 0, known = FS_XFLAG_HASATTR;
	int i, ret;

	if (d_is_special(dentry))
		return -ENOTTY;
	for (i = 0; i < ARRAY_SIZE(orchfs_xflags); i++) {
		known |= orchfs_xflags[i].xflag;
		if (fa->fsx_xflags & orchfs_xflags[i].xflag)
			flags |= orchfs_xflags[i].attr;
	}
	if ((fa->fsx_xflags & ~known) || fa->fsx_extsize ||
	    fa->fsx_cowextsize || (fa->flags & ~FS_COMMON_FL))
		return -EOPNOTSUPP;
	if (!S_ISDIR(inode->i_mode))
		flags &= ~ORCHFS_ATTR_PROJINHERIT;
	ret = orchfs_fileattr_upcall(inode, fa, flags);
	trace_orchfs_inode_op(ORCHFS_TRACE_FILEATTR_SET, inode, ret);
	return ret;
}
