// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extended attributes: user, trusted, security. The daemon keeps them under
 * their full names. Attributes of an inode tell that it has none, or no
 * security.capability, which spares the upcall that every first write would
 * cost otherwise.
 */
#include <linux/capability.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/xattr.h>

#include "vfs.h"
#include "trace.h"

/* Is it known without asking that there is no such attribute? */
static bool orchfs_xattr_none(const struct inode *inode, const char *name)
{
	u32 flags = READ_ONCE(ORCHFS_I(inode)->flags);

	if (orchfs_inode_stale(inode))
		return false;
	if (flags & ORCHFS_ATTR_NO_XATTR)
		return true;
	return (flags & ORCHFS_ATTR_NO_CAP) && name &&
	       !strcmp(name, XATTR_NAME_CAPS);
}

static int orchfs_xattr_get(const struct xattr_handler *handler,
			    struct dentry *dentry, struct inode *inode,
			    const char *name, void *buffer, size_t size)
{
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_GETXATTR,
		.node = inode->i_ino,
		.xattr_name = xattr_full_name(handler, name),
	};
	struct orchfs_result res;
	ssize_t ret;

	if (orchfs_xattr_none(inode, args.xattr_name))
		return -ENODATA;
	ret = orchfs_upcall(inode->i_sb, &args, &res);
	if (!ret)
		ret = orchfs_result_value(&res, size ? buffer : NULL, size);
	orchfs_result_free(&res);
	trace_orchfs_inode_op(ORCHFS_TRACE_GETXATTR, inode, ret);
	return ret;
}

static int orchfs_xattr_set(const struct xattr_handler *handler,
			    struct mnt_idmap *idmap, struct dentry *dentry,
			    struct inode *inode, const char *name,
			    const void *value, size_t size, int flags)
{
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_SETXATTR,
		.flags = IS_SYNC(inode) ? ORCHFS_REQ_FLAG_DURABLE : 0,
		.node = inode->i_ino,
		.xattr_name = xattr_full_name(handler, name),
		.xattr_value = value,
		.xattr_len = size,
		.has_now = true,
		.now = orchfs_now(inode),
	};
	struct orchfs_result res;
	int ret;

	if (flags & XATTR_CREATE)
		args.flags |= ORCHFS_REQ_FLAG_XATTR_CREATE;
	if (flags & XATTR_REPLACE)
		args.flags |= ORCHFS_REQ_FLAG_XATTR_REPLACE;
	if (!value) {
		args.flags |= ORCHFS_REQ_FLAG_XATTR_REMOVE;
		if (orchfs_xattr_none(inode, args.xattr_name))
			return -ENODATA;
	}

	ret = orchfs_upcall(inode->i_sb, &args, &res);
	if (!ret && res.has_attr)
		orchfs_inode_apply(inode, &res.attr, res.txn);
	else if (!ret)
		orchfs_inode_mark_stale(inode);
	orchfs_result_free(&res);
	trace_orchfs_inode_op(ORCHFS_TRACE_SETXATTR, inode, ret);
	return ret;
}

/* Drop the names that the caller may not see; returns what is left. */
static ssize_t orchfs_xattr_visible(char *names, size_t len)
{
	bool trusted = capable(CAP_SYS_ADMIN);
	char *to = names, *from = names, *end = names + len;

	if (len && end[-1])
		return -EPROTO;
	while (from < end) {
		size_t n = strlen(from) + 1;

		if (trusted || strncmp(from, XATTR_TRUSTED_PREFIX,
				       XATTR_TRUSTED_PREFIX_LEN)) {
			memmove(to, from, n);
			to += n;
		}
		from += n;
	}
	return to - names;
}

static ssize_t orchfs_xattr_list(const struct orchfs_result *res, char *list,
				 size_t size)
{
	ssize_t len = orchfs_result_value(res, NULL, 0);
	char *names;

	if (len <= 0)
		return len;
	names = kvmalloc(len, GFP_KERNEL);
	if (!names)
		return -ENOMEM;
	len = orchfs_result_value(res, names, len);
	if (len > 0)
		len = orchfs_xattr_visible(names, len);
	if (len > 0 && size) {
		if (len <= size)
			memcpy(list, names, len);
		else
			len = -ERANGE;
	}
	kvfree(names);
	return len;
}

ssize_t orchfs_listxattr(struct dentry *dentry, char *list, size_t size)
{
	struct inode *inode = d_inode(dentry);
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_LISTXATTR,
		.node = inode->i_ino,
	};
	struct orchfs_result res;
	ssize_t ret;

	if (orchfs_xattr_none(inode, NULL))
		return 0;
	ret = orchfs_upcall(inode->i_sb, &args, &res);
	if (!ret)
		ret = orchfs_xattr_list(&res, list, size);
	orchfs_result_free(&res);
	trace_orchfs_inode_op(ORCHFS_TRACE_LISTXATTR, inode, ret);
	return ret;
}

static const struct xattr_handler orchfs_xattr_user = {
	.prefix	= XATTR_USER_PREFIX,
	.get	= orchfs_xattr_get,
	.set	= orchfs_xattr_set,
};

static const struct xattr_handler orchfs_xattr_trusted = {
	.prefix	= XATTR_TRUSTED_PREFIX,
	.get	= orchfs_xattr_get,
	.set	= orchfs_xattr_set,
};

static const struct xattr_handler orchfs_xattr_security = {
	.prefix	= XATTR_SECURITY_PREFIX,
	.get	= orchfs_xattr_get,
	.set	= orchfs_xattr_set,
};

const struct xattr_handler * const orchfs_xattr_handlers[] = {
	&orchfs_xattr_user,
	&orchfs_xattr_trusted,
	&orchfs_xattr_security,
	NULL,
};
