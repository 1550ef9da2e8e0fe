// SPDX-License-Identifier: GPL-2.0-only
/*
 * What makes an inode: create, mkdir, mknod, symlink, O_TMPFILE, and the open
 * that looks up or creates on the way. One upcall each.
 */
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/namei.h>
#include <linux/posix_acl.h>
#include <linux/security.h>
#include <linux/slab.h>

#include "vfs.h"
#include "trace.h"

/**
 * struct orchfs_making - an inode that is being made
 * @args: the request
 * @acl: that it begins with, or NULL; likewise the other two
 * @default_acl: of a directory
 * @label: of the security module
 * @label_len: bytes
 * @xattrs: the same as they travel
 */
struct orchfs_making {
	struct orchfs_args args;
	struct posix_acl *acl;
	struct posix_acl *default_acl;
	void *label;
	u32 label_len;
	struct orchfs_xattr xattrs[3];
};

/**
 * orchfs_args_owner() - owner and mode as inode_init_owner() has them
 * @args: of a request that makes an inode
 * @idmap: of the mount
 * @dir: its directory
 * @mode: with type, umask applied
 */
void orchfs_args_owner(struct orchfs_args *args, struct mnt_idmap *idmap,
		       const struct inode *dir, umode_t mode)
{
	struct user_namespace *ns = i_user_ns(dir);

	args->mode = mode;
	args->uid = from_kuid(&init_user_ns, mapped_fsuid(idmap, ns));
	args->gid = from_kgid(&init_user_ns, mapped_fsgid(idmap, ns));
	if (dir->i_mode & S_ISGID) {
		args->gid = from_kgid(&init_user_ns, dir->i_gid);
		if (S_ISDIR(mode))
			args->mode |= S_ISGID;
	}
}

static int orchfs_making_acl(struct orchfs_making *m,
			     const struct posix_acl *acl, int type)
{
	int ret;

	if (!acl)
		return 0;
	ret = orchfs_acl_encode(acl, type, &m->xattrs[m->args.nr_xattrs]);
	if (!ret)
		m->args.nr_xattrs++;
	return ret;
}

/* The label comes last: orchfs_making_end() frees the values before it. */
static int orchfs_making_label(struct orchfs_making *m, struct dentry *dentry)
{
	struct orchfs_xattr *x = &m->xattrs[m->args.nr_xattrs];
	int ret;

	ret = security_dentry_init_security(dentry, m->args.mode,
					    &dentry->d_name, &x->name,
					    &m->label, &m->label_len);
	if (ret)
		return ret == -EOPNOTSUPP ? 0 : ret;
	if (!m->label_len)
		return 0;
	x->value = m->label;
	x->len = m->label_len;
	m->args.nr_xattrs++;
	return 0;
}

static void orchfs_making_end(struct orchfs_making *m)
{
	unsigned int i;

	for (i = 0; i < m->args.nr_xattrs; i++)
		if (m->xattrs[i].value != m->label)
			kvfree(m->xattrs[i].value);
	posix_acl_release(m->acl);
	posix_acl_release(m->default_acl);
	kfree(m->label);
}

/*
 * All that the new inode begins with is in the one request that makes it. An
 * upcall more where the directory has a default ACL that isn't cached.
 */
static int orchfs_making_begin(struct orchfs_making *m, struct mnt_idmap *idmap,
			       struct inode *dir, struct dentry *dentry,
			       umode_t mode, u32 flags)
{
	int ret;

	*m = (struct orchfs_making) {
		.args = {
			.kind = ORCHFS_KIND_CREATE,
			.flags = flags | orchfs_durable_flag(dir),
			.node = dir->i_ino,
			.has_now = true,
			.now = orchfs_now(dir),
			.xattrs = m->xattrs,
		},
	};
	if (!(flags & ORCHFS_REQ_FLAG_TMPFILE))
		m->args.name = &dentry->d_name;
	/* applies the umask */
	ret = posix_acl_create(dir, &mode, &m->default_acl, &m->acl);
	if (ret)
		return ret;
	orchfs_args_owner(&m->args, idmap, dir, mode);
	ret = orchfs_making_acl(m, m->acl, ACL_TYPE_ACCESS);
	if (!ret)
		ret = orchfs_making_acl(m, m->default_acl, ACL_TYPE_DEFAULT);
	if (!ret)
		ret = orchfs_making_label(m, dentry);
	if (ret)
		orchfs_making_end(m);
	return ret;
}

/* The inode was made, not found: what it began with is known. */
static void orchfs_making_done(struct orchfs_making *m, struct inode *inode)
{
	if (m->acl)
		set_cached_acl(inode, ACL_TYPE_ACCESS, m->acl);
	if (m->default_acl)
		set_cached_acl(inode, ACL_TYPE_DEFAULT, m->default_acl);
	/* where that fails the module asks for the xattr */
	if (m->label_len)
		security_inode_notifysecctx(inode, m->label, m->label_len);
}

/* The inode of a reply to create or lookup, valid as of stamp. */
static struct inode *orchfs_result_inode(struct super_block *sb,
					 const struct orchfs_result *res,
					 const struct orchfs_stamp *stamp)
{
	struct inode *inode;

	inode = orchfs_iget(sb, &res->attr, res->target,
			    res->target ? strlen(res->target) : 0, stamp);
	if (!IS_ERR(inode))
		orchfs_inode_txn(inode, res->txn);
	return inode;
}

/* Make an inode under a name that must not exist. */
static int orchfs_make(enum orchfs_trace_namei op, struct mnt_idmap *idmap,
		       struct inode *dir, struct dentry *dentry, umode_t mode,
		       dev_t rdev, const char *target)
{
	struct orchfs_stamp stamp = orchfs_stamp_take(dir);
	struct orchfs_making m;
	struct orchfs_result res;
	struct dentry *alias;
	struct inode *inode;
	int ret;

	ret = orchfs_making_begin(&m, idmap, dir, dentry, mode,
				  ORCHFS_REQ_FLAG_EXCL);
	if (ret)
		return ret;
	m.args.rdev = rdev;
	m.args.target = target;

	ret = orchfs_upcall(dir->i_sb, &m.args, &res);
	trace_orchfs_namei(op, dir, &dentry->d_name, ret);
	if (!ret) {
		orchfs_dir_changed(dir, &m.args.now, res.txn, S_ISDIR(mode));
		inode = orchfs_result_inode(dir->i_sb, &res, &stamp);
		if (!IS_ERR(inode))
			orchfs_making_done(&m, inode);
		alias = orchfs_splice(inode, dentry, &stamp);
		ret = PTR_ERR_OR_ZERO(alias);
		if (!ret)
			dput(alias);
	}
	if (ret)
		orchfs_name_failed(dir, dentry, ret);
	orchfs_result_free(&res);
	orchfs_making_end(&m);
	return ret;
}

int orchfs_create(struct mnt_idmap *idmap, struct inode *dir,
		  struct dentry *dentry, umode_t mode, bool excl)
{
	return orchfs_make(ORCHFS_TRACE_CREATE, idmap, dir, dentry, mode, 0,
			   NULL);
}

int orchfs_mkdir(struct mnt_idmap *idmap, struct inode *dir,
		 struct dentry *dentry, umode_t mode)
{
	return orchfs_make(ORCHFS_TRACE_MKDIR, idmap, dir, dentry,
			   mode | S_IFDIR, 0, NULL);
}

int orchfs_mknod(struct mnt_idmap *idmap, struct inode *dir,
		 struct dentry *dentry, umode_t mode, dev_t rdev)
{
	return orchfs_make(ORCHFS_TRACE_MKNOD, idmap, dir, dentry, mode, rdev,
			   NULL);
}

int orchfs_symlink(struct mnt_idmap *idmap, struct inode *dir,
		   struct dentry *dentry, const char *target)
{
	if (strlen(target) > ORCHFS_TARGET_MAX)
		return -ENAMETOOLONG;
	return orchfs_make(ORCHFS_TRACE_SYMLINK, idmap, dir, dentry,
			   S_IFLNK | 0777, 0, target);
}

/*
 * Put the layout of a reply on the inode. Where that fails, open asks again
 * and has the error that counts.
 */
static void orchfs_result_install(struct inode *inode,
				  struct orchfs_result *res)
{
	struct orchfs_layout *lay = res->layout;

	res->layout = NULL;
	if (lay)
		orchfs_layout_install(inode, lay);
}

int orchfs_tmpfile(struct mnt_idmap *idmap, struct inode *dir,
		   struct file *file, umode_t mode)
{
	struct orchfs_stamp stamp = orchfs_stamp_take(dir);
	struct orchfs_making m;
	struct orchfs_result res;
	struct inode *inode;
	int ret;

	ret = orchfs_making_begin(&m, idmap, dir, file->f_path.dentry,
				  mode | S_IFREG, ORCHFS_REQ_FLAG_TMPFILE |
				  ORCHFS_REQ_FLAG_LAYOUT |
				  ORCHFS_REQ_FLAG_WRITE);
	if (ret)
		return ret;
	ret = orchfs_upcall(dir->i_sb, &m.args, &res);
	if (!ret) {
		inode = orchfs_result_inode(dir->i_sb, &res, &stamp);
		ret = PTR_ERR_OR_ZERO(inode);
		if (ret)
			orchfs_note_forget(orchfs_channel_of(dir),
					   res.attr.ino);
	}
	if (!ret) {
		orchfs_making_done(&m, inode);
		/* without memory now, eviction tries once more */
		orchfs_inode_may_forget(inode);
		orchfs_result_install(inode, &res);
		d_mark_tmpfile(file, inode);
		d_instantiate(file->f_path.dentry, inode);
	}
	orchfs_result_free(&res);
	orchfs_making_end(&m);
	trace_orchfs_namei(ORCHFS_TRACE_TMPFILE, dir, NULL, ret);
	return finish_open_simple(file, ret);
}

/*
 * Open what was made; leave what was found to the VFS, which has not looked
 * at its permissions yet: nothing of an open (write access, leases broken,
 * events) may be seen before. It finds the layout cached then. Consumes
 * nothing.
 */
static int orchfs_open_found(struct file *file, struct dentry *dentry,
			     struct dentry *alias, struct orchfs_result *res)
{
	struct dentry *found = alias ?: dentry;
	struct inode *inode = d_inode(found);

	/* the VFS goes on from here: follows, opens by f_op, or refuses */
	if (!S_ISREG(inode->i_mode))
		return finish_no_open(file, dget(alias));

	orchfs_result_install(inode, res);
	if (!(file->f_mode & FMODE_CREATED))
		return finish_no_open(file, dget(alias));
	return finish_open(file, found, NULL);
}

static int orchfs_open_plain(struct inode *dir, struct dentry *dentry,
			     struct file *file)
{
	struct dentry *res = orchfs_lookup(dir, dentry, 0);

	return IS_ERR(res) ? PTR_ERR(res) : finish_no_open(file, res);
}

/* The request of an open: look up, or create if asked for, with a layout. */
static int orchfs_open_begin(struct orchfs_making *m, struct file *file,
			     struct inode *dir, struct dentry *dentry,
			     unsigned int flags, umode_t mode)
{
	u32 rflags = ORCHFS_REQ_FLAG_LAYOUT;

	/* where the VFS will refuse writing, nobody is to count as a writer */
	if (((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)) &&
	    !__mnt_is_readonly(file->f_path.mnt))
		rflags |= ORCHFS_REQ_FLAG_WRITE;
	if (flags & O_CREAT) {
		if (flags & O_EXCL)
			rflags |= ORCHFS_REQ_FLAG_EXCL;
		return orchfs_making_begin(m, file_mnt_idmap(file), dir,
					   dentry, mode, rflags);
	}
	*m = (struct orchfs_making) {
		.args = {
			.kind = ORCHFS_KIND_LOOKUP,
			.flags = rflags,
			.node = dir->i_ino,
			.name = &dentry->d_name,
		},
	};
	return 0;
}

/* The reply of status 0 to the request of an open. */
static int orchfs_open_end(struct orchfs_making *m, struct file *file,
			   struct inode *dir, struct dentry *dentry,
			   struct orchfs_result *res,
			   const struct orchfs_stamp *stamp)
{
	struct dentry *alias;
	struct inode *inode;
	int ret;

	inode = orchfs_result_inode(dir->i_sb, res, stamp);
	if (m->args.kind == ORCHFS_KIND_CREATE &&
	    !(res->flags & ORCHFS_REQ_FLAG_EXISTING)) {
		file->f_mode |= FMODE_CREATED;
		orchfs_dir_changed(dir, &m->args.now, res->txn, 0);
		if (!IS_ERR(inode))
			orchfs_making_done(m, inode);
	}
	alias = orchfs_splice(inode, dentry, stamp);
	ret = PTR_ERR_OR_ZERO(alias);
	if (ret == -ESTALE)
		orchfs_moved_missed(dentry, res->attr.ino);
	if (ret)
		return ret;
	ret = orchfs_open_found(file, dentry, alias, res);
	dput(alias);
	return ret;
}

/**
 * orchfs_atomic_open() - look up, create and open in one upcall
 * @dir: the directory, locked; for writing when @flags has O_CREAT
 * @dentry: in look-up, or negative and valid
 * @file: to be opened
 * @flags: O_TRUNC is left to the VFS, which truncates through setattr
 * @mode: the umask is applied here, as default ACLs may overrule it
 */
int orchfs_atomic_open(struct inode *dir, struct dentry *dentry,
		       struct file *file, unsigned int flags, umode_t mode)
{
	struct orchfs_stamp stamp = orchfs_stamp_take(dir);
	struct orchfs_making m;
	struct orchfs_result res;
	int ret;

	if (dentry->d_name.len > ORCHFS_NAME_MAX)
		return -ENAMETOOLONG;
	if (!(flags & O_CREAT) && !d_in_lookup(dentry))
		return -ENOENT;
	if (flags & O_DIRECTORY)
		return orchfs_open_plain(dir, dentry, file);

	ret = orchfs_open_begin(&m, file, dir, dentry, flags, mode | S_IFREG);
	if (ret)
		return ret;
	ret = orchfs_upcall(dir->i_sb, &m.args, &res);
	if (ret == -ENOENT && !(flags & O_CREAT))
		orchfs_splice(NULL, dentry, &stamp);
	else if (ret)
		orchfs_name_failed(dir, dentry, ret);
	else
		ret = orchfs_open_end(&m, file, dir, dentry, &res, &stamp);
	orchfs_result_free(&res);
	orchfs_making_end(&m);
	trace_orchfs_namei(ORCHFS_TRACE_ATOMIC_OPEN, dir, &dentry->d_name, ret);
	return ret;
}
