// SPDX-License-Identifier: GPL-2.0-only
/*
 * POSIX ACLs. The daemon keeps them as xattrs, in the format of getxattr(2).
 * Attributes of an inode tell that it has none, so those that have none cost
 * nothing; others are fetched once and cached with the inode until its
 * attributes have to be asked for again.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/slab.h>

#include "vfs.h"
#include "trace.h"

/* As many as XFS takes. */
#define ORCHFS_ACL_ENTRIES_MAX	5461

static const char *orchfs_acl_name(int type)
{
	return type == ACL_TYPE_ACCESS ? XATTR_NAME_POSIX_ACL_ACCESS :
					 XATTR_NAME_POSIX_ACL_DEFAULT;
}

/* Is it known without asking that there is no such ACL? */
static bool orchfs_acl_none(const struct inode *inode, int type)
{
	u32 flag = type == ACL_TYPE_ACCESS ? ORCHFS_ATTR_NO_ACL :
					     ORCHFS_ATTR_NO_DEFACL;

	return (READ_ONCE(ORCHFS_I(inode)->flags) & flag) &&
	       !orchfs_inode_stale(inode);
}

static struct posix_acl *orchfs_acl_decode(const struct orchfs_result *res)
{
	ssize_t len = orchfs_result_value(res, NULL, 0);
	struct posix_acl *acl;
	void *value;

	if (len <= 0)
		return len ? ERR_PTR(len) : NULL;
	value = kvmalloc(len, GFP_KERNEL);
	if (!value)
		return ERR_PTR(-ENOMEM);
	len = orchfs_result_value(res, value, len);
	acl = len < 0 ? ERR_PTR(len) :
	      posix_acl_from_xattr(&init_user_ns, value, len);
	kvfree(value);
	return acl;
}

/**
 * orchfs_get_inode_acl() - an ACL that the VFS hasn't cached
 * @inode: the inode
 * @type: ACL_TYPE_*
 * @rcu: don't sleep
 *
 * Return: the ACL, NULL for none, -ECHILD in RCU walk, other errors.
 */
struct posix_acl *orchfs_get_inode_acl(struct inode *inode, int type, bool rcu)
{
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_GETXATTR,
		.node = inode->i_ino,
		.xattr_name = orchfs_acl_name(type),
	};
	struct orchfs_result res;
	struct posix_acl *acl;
	int ret;

	if (orchfs_acl_none(inode, type))
		return NULL;
	if (rcu)
		return ERR_PTR(-ECHILD);
	ret = orchfs_upcall(inode->i_sb, &args, &res);
	if (ret == -ENODATA)
		acl = NULL;
	else
		acl = ret ? ERR_PTR(ret) : orchfs_acl_decode(&res);
	orchfs_result_free(&res);
	trace_orchfs_inode_op(ORCHFS_TRACE_GETXATTR, inode,
			      PTR_ERR_OR_ZERO(acl));
	return acl;
}

/**
 * orchfs_acl_encode() - an ACL as the daemon keeps it
 * @acl: the ACL
 * @type: ACL_TYPE_*
 * @x: filled on 0; kvfree() its value
 *
 * Return: 0, -E2BIG for more entries than XFS takes, -ENOMEM.
 */
int orchfs_acl_encode(const struct posix_acl *acl, int type,
		      struct orchfs_xattr *x)
{
	size_t len = posix_acl_xattr_size(acl->a_count);
	void *value;
	int ret;

	if (acl->a_count > ORCHFS_ACL_ENTRIES_MAX)
		return -E2BIG;
	value = kvmalloc(len, GFP_KERNEL);
	if (!value)
		return -ENOMEM;
	ret = posix_acl_to_xattr(&init_user_ns, acl, value, len);
	if (ret < 0) {
		kvfree(value);
		return ret;
	}
	x->name = orchfs_acl_name(type);
	x->value = value;
	x->len = len;
	return 0;
}

static int orchfs_acl_upcall(struct inode *inode, struct posix_acl *acl,
			     int type, const umode_t *mode)
{
	struct orchfs_attr attr = { .ino = inode->i_ino };
	struct orchfs_xattr x = {};
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_SETXATTR,
		.flags = IS_SYNC(inode) ? ORCHFS_REQ_FLAG_DURABLE : 0,
		.node = inode->i_ino,
		.xattr_name = orchfs_acl_name(type),
		.has_now = true,
		.now = orchfs_now(inode),
	};
	struct orchfs_result res;
	int ret;

	if (mode) {
		attr.mode = *mode;
		args.valid = ORCHFS_SET_MODE;
		args.attr = &attr;
	}
	if (acl) {
		ret = orchfs_acl_encode(acl, type, &x);
		if (ret)
			return ret;
		args.xattr_value = x.value;
		args.xattr_len = x.len;
	} else {
		args.flags |= ORCHFS_REQ_FLAG_XATTR_REMOVE;
	}
	ret = orchfs_upcall(inode->i_sb, &args, &res);
	if (!ret) {
		orchfs_inode_apply(inode, &res.attr, res.txn);
		set_cached_acl(inode, type, acl);
	}
	orchfs_result_free(&res);
	kvfree(x.value);
	return ret;
}

/**
 * orchfs_set_acl() - set or remove an ACL, one upcall
 * @idmap: of the mount
 * @dentry: its inode is locked; the caller has checked type and ownership
 * @acl: NULL to remove
 * @type: ACL_TYPE_*
 *
 * The mode that goes with an access ACL changes in the same transaction. One
 * that says no more than the mode isn't kept.
 *
 * Return: 0; -E2BIG; errors of orchfs_upcall().
 */
int orchfs_set_acl(struct mnt_idmap *idmap, struct dentry *dentry,
		   struct posix_acl *acl, int type)
{
	struct inode *inode = d_inode(dentry);
	bool with_mode = acl && type == ACL_TYPE_ACCESS;
	umode_t mode;
	int ret;

	ret = orchfs_inode_stale(inode) ? orchfs_inode_revalidate(inode) : 0;
	if (ret)
		return ret;
	if (acl && acl->a_count > ORCHFS_ACL_ENTRIES_MAX)
		return -E2BIG;
	if (!acl && orchfs_acl_none(inode, type))
		return 0;
	mode = inode->i_mode;
	if (with_mode)
		ret = posix_acl_update_mode(idmap, inode, &mode, &acl);
	if (!ret)
		ret = orchfs_acl_upcall(inode, acl, type,
					with_mode ? &mode : NULL);
	/* somebody else has removed it */
	if (ret == -ENODATA && !acl) {
		set_cached_acl(inode, type, NULL);
		ret = 0;
	}
	trace_orchfs_inode_op(ORCHFS_TRACE_SETXATTR, inode, ret);
	return ret;
}

/**
 * orchfs_acl_chmod() - the ACL that goes with a new mode
 * @inode: locked; its attributes are valid
 * @mode: that it gets
 * @out: the ACL with a reference, or NULL when the mode alone tells
 *
 * Return: 0; errors of get_inode_acl(); -ENOMEM.
 */
int orchfs_acl_chmod(struct inode *inode, umode_t mode, struct posix_acl **out)
{
	struct posix_acl *acl;
	int ret;

	*out = NULL;
	if (S_ISLNK(inode->i_mode) || !((inode->i_mode ^ mode) & S_IRWXUGO))
		return 0;
	acl = get_inode_acl(inode, ACL_TYPE_ACCESS);
	if (IS_ERR_OR_NULL(acl))
		return PTR_ERR_OR_ZERO(acl);
	/* consumes the reference, also where it fails */
	ret = __posix_acl_chmod(&acl, GFP_KERNEL, mode);
	if (!ret)
		*out = acl;
	return ret;
}

static void orchfs_acl_flag_locked(struct inode *inode, int type, bool none)
{
	struct posix_acl *acl = type == ACL_TYPE_ACCESS ?
		READ_ONCE(inode->i_acl) : READ_ONCE(inode->i_default_acl);

	lockdep_assert_held(&inode->i_lock);
	if (none && acl)
		set_cached_acl(inode, type, NULL);
	else if (!none && !acl)
		forget_cached_acl(inode, type);
}

/**
 * orchfs_acl_apply_locked() - attributes tell which ACLs there are
 * @inode: i_lock is held
 * @flags: ORCHFS_ATTR_*
 */
void orchfs_acl_apply_locked(struct inode *inode, u32 flags)
{
	orchfs_acl_flag_locked(inode, ACL_TYPE_ACCESS,
			       flags & ORCHFS_ATTR_NO_ACL);
	orchfs_acl_flag_locked(inode, ACL_TYPE_DEFAULT,
			       flags & ORCHFS_ATTR_NO_DEFACL);
}
