// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attributes: stat, permission, chmod and the like, times.
 */
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/posix_acl.h>
#include <linux/stat.h>

#include "layout.h"
#include "vfs.h"
#include "trace.h"

/**
 * orchfs_now() - the time that goes with a request
 * @inode: for the granularity of its super block
 */
struct orchfs_time orchfs_now(struct inode *inode)
{
	struct timespec64 ts = current_time(inode);

	return (struct orchfs_time){ .sec = ts.tv_sec, .nsec = ts.tv_nsec };
}

/**
 * orchfs_inode_revalidate() - ask for the attributes of an inode
 * @inode: the inode
 *
 * Return: 0 and the attributes are valid; -ESTALE when the daemon doesn't know
 * the inode or the number is another's; other errors of orchfs_upcall().
 */
int orchfs_inode_revalidate(struct inode *inode)
{
	struct orchfs_stamp stamp = orchfs_stamp_next(inode);
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_GETATTR,
		.node = inode->i_ino,
	};
	struct orchfs_result res;
	int ret;

	ret = orchfs_upcall(inode->i_sb, &args, &res);
	if (ret == -ENOENT)
		ret = -ESTALE;
	if (!ret && (res.attr.ino != inode->i_ino ||
		     res.attr.generation != ORCHFS_I(inode)->generation))
		ret = -ESTALE;
	if (!ret)
		orchfs_inode_update(inode, &res.attr, 0, 0, &stamp);
	else if (ret == -ESTALE && res.answered)
		orchfs_inode_mark_stale(inode);
	orchfs_result_free(&res);
	return ret;
}

int orchfs_permission(struct mnt_idmap *idmap, struct inode *inode, int mask)
{
	int ret;

	ret = orchfs_moved_walk(inode, mask);
	if (ret)
		return ret;
	if (unlikely(orchfs_inode_stale(inode))) {
		if (mask & MAY_NOT_BLOCK)
			return -ECHILD;
		ret = orchfs_inode_revalidate(inode);
		trace_orchfs_inode_op(ORCHFS_TRACE_PERMISSION, inode, ret);
		if (ret)
			return ret;
	}
	return generic_permission(idmap, inode, mask);
}

/* Another node writes the file, and there is no backing file to tell of it. */
static bool orchfs_attr_changes_unseen(const struct inode *inode)
{
	const struct orchfs_inode *oi = ORCHFS_I(inode);

	return unlikely(READ_ONCE(oi->flags) & ORCHFS_ATTR_LIVE) &&
	       S_ISREG(inode->i_mode) && !rcu_access_pointer(oi->layout);
}

/*
 * Another node has changed the inode while a layout is held here. What the
 * backing file says is seen first; then the daemon's answer tells what its times
 * are, if nobody writes meanwhile.
 */
static int orchfs_attr_foreign(struct inode *inode)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);
	int ret;

	orchfs_attr_from_backing(inode);
	ret = orchfs_attr_refresh(inode);
	if (ret)
		return ret;
	spin_lock(&inode->i_lock);
	/* 1 has a meaning */
	WRITE_ONCE(oi->foreign, atomic64_add_return(2,
			&orchfs_channel_of(inode)->marks));
	spin_unlock(&inode->i_lock);
	return 0;
}

/*
 * Bring all attributes up to date; asks the daemon once at most, and not for
 * those that the caller has just listed: ls -l of files that another node
 * writes costs what the listing costs.
 */
static int orchfs_attr_current(struct dentry *dentry, unsigned int flags)
{
	struct inode *inode = d_inode(dentry);
	bool ask = (flags & AT_STATX_FORCE_SYNC) || orchfs_inode_stale(inode);
	int ret;

	if (!ask && orchfs_attr_changes_unseen(inode) &&
	    orchfs_listed_take(dentry))
		return 0;
	if (flags & AT_STATX_DONT_SYNC)
		ask = false;
	else if (!ask)
		ask = orchfs_attr_changes_unseen(inode);
	ret = 0;
	if (!(flags & AT_STATX_DONT_SYNC) && S_ISREG(inode->i_mode) &&
	    unlikely(READ_ONCE(ORCHFS_I(inode)->foreign)) &&
	    rcu_access_pointer(ORCHFS_I(inode)->layout)) {
		ret = orchfs_attr_foreign(inode);
		ask = true;
	}
	if (ask && !ret)
		ret = orchfs_inode_revalidate(inode);
	if (ret || !S_ISREG(inode->i_mode))
		return ret;
	orchfs_attr_from_backing(inode);
	if (flags & AT_STATX_DONT_SYNC)
		return 0;
	ret = orchfs_attr_refresh(inode);
	/* the layout may have gone meanwhile */
	if (!ret && !ask && orchfs_attr_changes_unseen(inode))
		ret = orchfs_inode_revalidate(inode);
	return ret;
}

int orchfs_getattr(struct mnt_idmap *idmap, const struct path *path,
		   struct kstat *stat, u32 mask, unsigned int flags)
{
	struct inode *inode = d_inode(path->dentry);
	int ret;

	ret = orchfs_attr_current(path->dentry, flags);
	if (!ret) {
		generic_fillattr(idmap, mask, inode, stat);
		generic_fill_statx_attr(inode, stat);
		stat->attributes_mask |= STATX_ATTR_NODUMP;
		if (ORCHFS_I(inode)->flags & ORCHFS_ATTR_NODUMP)
			stat->attributes |= STATX_ATTR_NODUMP;
		if ((mask & STATX_DIOALIGN) && S_ISREG(inode->i_mode))
			orchfs_attr_dioalign(inode, stat);
		if (mask & STATX_CHANGE_COOKIE)
			orchfs_attr_change(inode, stat);
		stat->btime = ORCHFS_I(inode)->btime;
		stat->result_mask |= STATX_BTIME;
	}
	trace_orchfs_inode_op(ORCHFS_TRACE_GETATTR, inode, ret);
	return ret;
}

static void orchfs_attr_put_time(__s64 *sec, __u32 *nsec, struct timespec64 ts)
{
	*sec = ts.tv_sec;
	*nsec = ts.tv_nsec;
}

static bool orchfs_attr_before(const struct orchfs_attr *attr,
			       struct timespec64 ctime)
{
	struct timespec64 told = { attr->ctime, attr->ctime_nsec };

	return timespec64_compare(&told, &ctime) < 0;
}

/*
 * What setattr asks the daemon for. A size change leaves its own mark on the
 * backing file's times, so then only times that were given count.
 */
static u32 orchfs_setattr_args(struct mnt_idmap *idmap,
			       const struct inode *inode,
			       const struct iattr *iattr,
			       struct orchfs_attr *attr)
{
	struct user_namespace *ns = i_user_ns(inode);
	unsigned int ia_valid = iattr->ia_valid;
	u32 valid = 0;

	if (ia_valid & ATTR_SIZE) {
		if (!(ia_valid & ATTR_MTIME_SET))
			ia_valid &= ~ATTR_MTIME;
		if (!(ia_valid & ATTR_ATIME_SET))
			ia_valid &= ~ATTR_ATIME;
	}
	if (ia_valid & ATTR_MODE) {
		valid |= ORCHFS_SET_MODE;
		attr->mode = (inode->i_mode & S_IFMT) |
			     (iattr->ia_mode & S_IALLUGO);
	}
	if (ia_valid & ATTR_UID) {
		valid |= ORCHFS_SET_UID;
		attr->uid = from_kuid(&init_user_ns,
				      from_vfsuid(idmap, ns,
						  iattr->ia_vfsuid));
	}
	if (ia_valid & ATTR_GID) {
		valid |= ORCHFS_SET_GID;
		attr->gid = from_kgid(&init_user_ns,
				      from_vfsgid(idmap, ns,
						  iattr->ia_vfsgid));
	}
	if (ia_valid & ATTR_ATIME) {
		valid |= ORCHFS_SET_ATIME;
		orchfs_attr_put_time(&attr->atime, &attr->atime_nsec,
				     iattr->ia_atime);
	}
	if (ia_valid & ATTR_MTIME) {
		valid |= ORCHFS_SET_MTIME;
		orchfs_attr_put_time(&attr->mtime, &attr->mtime_nsec,
				     iattr->ia_mtime);
	}
	/* A chown that changes nothing still counts as a change. */
	if (valid || ((ia_valid & ATTR_CTIME) && !(ia_valid & ATTR_SIZE))) {
		valid |= ORCHFS_SET_CTIME;
		orchfs_attr_put_time(&attr->ctime, &attr->ctime_nsec,
				     iattr->ia_ctime);
	}
	return valid;
}

/*
 * Note what the backing file's times are before they are overruled, and
 * overrule them by what the caller said: the reply may show those of the
 * backing file.
 */
static void orchfs_setattr_apply(struct inode *inode, const struct iattr *iattr,
				 u32 valid, struct orchfs_result *res,
				 const struct orchfs_stamp *stamp)
{
	if (S_ISREG(inode->i_mode))
		orchfs_attr_from_backing(inode);
	if (S_ISREG(inode->i_mode) && (valid & ORCHFS_SET_MTIME))
		orchfs_attr_refresh(inode);
	if (valid & ORCHFS_SET_MTIME) {
		spin_lock(&inode->i_lock);
		orchfs_attr_base_locked(inode);
		spin_unlock(&inode->i_lock);
	}
	if (valid & ORCHFS_SET_ATIME)
		orchfs_attr_put_time(&res->attr.atime, &res->attr.atime_nsec,
				     iattr->ia_atime);
	if (valid & ORCHFS_SET_MTIME)
		orchfs_attr_put_time(&res->attr.mtime, &res->attr.mtime_nsec,
				     iattr->ia_mtime);
	/* unless somebody else's change was later */
	if (orchfs_attr_before(&res->attr, iattr->ia_ctime))
		orchfs_attr_put_time(&res->attr.ctime, &res->attr.ctime_nsec,
				     iattr->ia_ctime);
	orchfs_inode_update(inode, &res->attr, res->txn, valid, stamp);
}

/* What of that isn't so already, here and in the record. */
static u32 orchfs_setattr_news(struct inode *inode, u32 valid,
			       const struct orchfs_attr *attr)
{
	struct timespec64 atime = { attr->atime, attr->atime_nsec };
	struct timespec64 own, told;

	spin_lock(&inode->i_lock);
	own = inode_get_atime(inode);
	told = ORCHFS_I(inode)->told_atime;
	spin_unlock(&inode->i_lock);
	if (attr->mode == inode->i_mode)
		valid &= ~ORCHFS_SET_MODE;
	if (attr->uid == i_uid_read(inode))
		valid &= ~ORCHFS_SET_UID;
	if (attr->gid == i_gid_read(inode))
		valid &= ~ORCHFS_SET_GID;
	if (timespec64_equal(&atime, &own) && timespec64_equal(&atime, &told))
		valid &= ~ORCHFS_SET_ATIME;
	return valid;
}

/*
 * tar and rsync set owner, mode and times of what they write, mostly to what
 * they are: then only the backing file's times change.
 */
static bool orchfs_setattr_touch(struct inode *inode, const struct iattr *iattr,
				 u32 valid, const struct orchfs_attr *attr)
{
	struct iattr times = *iattr;

	if (!S_ISREG(inode->i_mode) || IS_SYNC(inode) ||
	    orchfs_setattr_news(inode, valid, attr) &
	    ~(ORCHFS_SET_MTIME | ORCHFS_SET_CTIME))
		return false;
	if (!(valid & ORCHFS_SET_MTIME))
		times.ia_valid &= ~(ATTR_MTIME | ATTR_MTIME_SET);
	return orchfs_touch(inode, &times);
}

/* @acl: that goes with the mode, or NULL */
static int orchfs_setattr_upcall(struct mnt_idmap *idmap, struct inode *inode,
				 const struct iattr *iattr,
				 struct posix_acl *acl)
{
	struct orchfs_stamp stamp = orchfs_stamp_take(inode);
	struct orchfs_attr attr = { .ino = inode->i_ino };
	struct orchfs_xattr x = {};
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_SETATTR,
		.flags = IS_SYNC(inode) ? ORCHFS_REQ_FLAG_DURABLE : 0,
		.node = inode->i_ino,
		.attr = &attr,
		.has_now = true,
		.xattrs = &x,
		.nr_xattrs = !!acl,
	};
	struct orchfs_result res;
	int ret;

	args.valid = orchfs_setattr_args(idmap, inode, iattr, &attr);
	if (!args.valid)
		return 0;
	if (!acl && orchfs_setattr_touch(inode, iattr, args.valid, &attr))
		return 0;
	args.now.sec = attr.ctime;
	args.now.nsec = attr.ctime_nsec;
	if (acl) {
		ret = orchfs_acl_encode(acl, ACL_TYPE_ACCESS, &x);
		if (ret)
			return ret;
	}
	ret = orchfs_upcall(inode->i_sb, &args, &res);
	if (!ret) {
		orchfs_setattr_apply(inode, iattr, args.valid, &res, &stamp);
		if (acl)
			set_cached_acl(inode, ACL_TYPE_ACCESS, acl);
	}
	orchfs_result_free(&res);
	kvfree(x.value);
	return ret;
}

static int orchfs_setattr_owner(struct mnt_idmap *idmap, struct inode *inode,
				const struct iattr *iattr)
{
	struct posix_acl *acl = NULL;
	int ret = 0;

	if (iattr->ia_valid & ATTR_MODE)
		ret = orchfs_acl_chmod(inode, iattr->ia_mode, &acl);
	if (!ret)
		ret = orchfs_setattr_upcall(idmap, inode, iattr, acl);
	posix_acl_release(acl);
	return ret;
}

/* A data server leaves the times alone where the size stays; open doesn't. */
static bool orchfs_setattr_same_size(struct inode *inode,
				     const struct iattr *iattr)
{
	return ORCHFS_I(inode)->remote && (iattr->ia_valid & ATTR_MTIME) &&
	       i_size_read(inode) == iattr->ia_size &&
	       !orchfs_attr_refresh(inode) &&
	       i_size_read(inode) == iattr->ia_size;
}

/*
 * The contents change when the privileges of the old ones are gone, as at a
 * write. Times that were given come last, as cutting moves them.
 */
static int orchfs_setattr_size(struct mnt_idmap *idmap, struct inode *inode,
			       const struct iattr *iattr)
{
	unsigned int owner = ATTR_MODE | ATTR_UID | ATTR_GID;
	bool same = orchfs_setattr_same_size(inode, iattr);
	struct iattr part = *iattr;
	int ret;

	part.ia_valid &= owner | ATTR_SIZE | ATTR_CTIME;
	ret = orchfs_setattr_owner(idmap, inode, &part);
	if (ret)
		return ret;
	ret = orchfs_truncate(inode, iattr);
	trace_orchfs_inode_op(ORCHFS_TRACE_TRUNCATE, inode, ret);
	if (ret)
		return ret;
	part.ia_valid = iattr->ia_valid & ~owner;
	if (same)
		part.ia_valid |= ATTR_MTIME_SET;
	return orchfs_setattr_upcall(idmap, inode, &part, NULL);
}

int orchfs_setattr(struct mnt_idmap *idmap, struct dentry *dentry,
		   struct iattr *iattr)
{
	struct inode *inode = d_inode(dentry);
	int ret;

	ret = orchfs_inode_stale(inode) || orchfs_attr_changes_unseen(inode) ?
	      orchfs_inode_revalidate(inode) : 0;
	if (!ret)
		ret = setattr_prepare(idmap, dentry, iattr);
	if (!ret && (iattr->ia_valid & ATTR_SIZE))
		ret = orchfs_setattr_size(idmap, inode, iattr);
	else if (!ret)
		ret = orchfs_setattr_owner(idmap, inode, iattr);
	trace_orchfs_inode_op(ORCHFS_TRACE_SETATTR, inode, ret);
	return ret;
}

/* Those that nothing but memory knows: of a regular file the volume does. */
static bool orchfs_time_untold(const struct inode *inode, int flags)
{
	return (flags & S_ATIME) || special_file(inode->i_mode);
}

/**
 * orchfs_update_time() - times move in the kernel alone
 * @inode: the inode
 * @flags: S_ATIME and the like
 *
 * The access time, and all times of a FIFO or device, go to the daemon when
 * the inode leaves, or with a later notice; nothing is lost but their last
 * change where the machine dies. The other times of a regular file are those
 * of its backing file.
 *
 * Return: 0; -EAGAIN never, as nothing here waits.
 */
int orchfs_update_time(struct inode *inode, int flags)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);
	struct orchfs_note *note;

	inode_update_timestamps(inode, flags);
	if (!orchfs_time_untold(inode, flags) || !inode->i_nlink)
		return 0;
	if (!READ_ONCE(oi->note_attr)) {
		note = orchfs_note_alloc(GFP_NOWAIT | __GFP_NOWARN);
		if (!note)
			return 0;
		if (cmpxchg(&oi->note_attr, NULL, note))
			orchfs_note_free(note);
	}
	WRITE_ONCE(oi->attr_dirty, true);
	trace_orchfs_inode_op(ORCHFS_TRACE_UPDATE_TIME, inode, 0);
	return 0;
}

const struct inode_operations orchfs_file_iops = {
	.permission	= orchfs_permission,
	.getattr	= orchfs_getattr,
	.setattr	= orchfs_setattr,
	.listxattr	= orchfs_listxattr,
	.get_inode_acl	= orchfs_get_inode_acl,
	.set_acl	= orchfs_set_acl,
	.update_time	= orchfs_update_time,
	.fiemap		= orchfs_fiemap,
	.fileattr_get	= orchfs_fileattr_get,
	.fileattr_set	= orchfs_fileattr_set,
};

const struct inode_operations orchfs_symlink_iops = {
	.get_link	= simple_get_link,
	.permission	= orchfs_permission,
	.getattr	= orchfs_getattr,
	.setattr	= orchfs_setattr,
	.listxattr	= orchfs_listxattr,
	.update_time	= orchfs_update_time,
};

const struct inode_operations orchfs_special_iops = {
	.permission	= orchfs_permission,
	.getattr	= orchfs_getattr,
	.setattr	= orchfs_setattr,
	.listxattr	= orchfs_listxattr,
	.get_inode_acl	= orchfs_get_inode_acl,
	.set_acl	= orchfs_set_acl,
	.update_time	= orchfs_update_time,
};
