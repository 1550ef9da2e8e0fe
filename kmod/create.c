// SPDX-License-Identifier: GPL-2.0-only
/*
 * What makes an inode: create, mkdir, mknod, symlink, O_TMPFILE, and the open
 * that looks up or creates on the way. One upcall each.
 */
#include <linux/cred.h>
#include <linux/namei.h>

#include "vfs.h"
#include "trace.h"

/* Owner and mode as inode_init_owner() has them. */
static void orchfs_args_owner(struct orchfs_args *args,
			      const struct inode *dir, umode_t mode)
{
	args->mode = mode;
	args->uid = from_kuid(&init_user_ns, current_fsuid());
	args->gid = from_kgid(&init_user_ns, current_fsgid());
	if (dir->i_mode & S_ISGID) {
		args->gid = from_kgid(&init_user_ns, dir->i_gid);
		if (S_ISDIR(mode))
			args->mode |= S_ISGID;
	}
}

static void orchfs_args_create(struct orchfs_args *args, struct inode *dir,
			       const struct qstr *name, umode_t mode, u32 flags)
{
	*args = (struct orchfs_args) {
		.kind = ORCHFS_KIND_CREATE,
		.flags = flags | orchfs_durable_flag(dir),
		.node = dir->i_ino,
		.name = name,
		.has_now = true,
		.now = orchfs_now(dir),
	};
	orchfs_args_owner(args, dir, mode);
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
static int orchfs_make(enum orchfs_trace_namei op, struct inode *dir,
		       struct dentry *dentry, umode_t mode, dev_t rdev,
		       const char *target)
{
	struct orchfs_stamp stamp = orchfs_stamp_take(dir);
	struct orchfs_args args;
	struct orchfs_result res;
	struct dentry *alias;
	struct inode *inode;
	int ret;

	orchfs_args_create(&args, dir, &dentry->d_name, mode,
			   ORCHFS_REQ_FLAG_EXCL);
	args.rdev = rdev;
	args.target = target;

	ret = orchfs_upcall(dir->i_sb, &args, &res);
	trace_orchfs_namei(op, dir, &dentry->d_name, ret);
	if (!ret) {
		orchfs_dir_changed(dir, &args.now, res.txn, S_ISDIR(mode));
		inode = orchfs_result_inode(dir->i_sb, &res, &stamp);
		alias = orchfs_splice(inode, dentry, &stamp);
		ret = PTR_ERR_OR_ZERO(alias);
		if (!ret)
			dput(alias);
	}
	if (ret)
		orchfs_name_failed(dir, dentry, ret);
	orchfs_result_free(&res);
	return ret;
}

int orchfs_create(struct mnt_idmap *idmap, struct inode *dir,
		  struct dentry *dentry, umode_t mode, bool excl)
{
	return orchfs_make(ORCHFS_TRACE_CREATE, dir, dentry, mode, 0, NULL);
}

int orchfs_mkdir(struct mnt_idmap *idmap, struct inode *dir,
		 struct dentry *dentry, umode_t mode)
{
	return orchfs_make(ORCHFS_TRACE_MKDIR, dir, dentry, mode | S_IFDIR, 0,
			   NULL);
}

int orchfs_mknod(struct mnt_idmap *idmap, struct inode *dir,
		 struct dentry *dentry, umode_t mode, dev_t rdev)
{
	return orchfs_make(ORCHFS_TRACE_MKNOD, dir, dentry, mode, rdev, NULL);
}

int orchfs_symlink(struct mnt_idmap *idmap, struct inode *dir,
		   struct dentry *dentry, const char *target)
{
	if (strlen(target) > ORCHFS_TARGET_MAX)
		return -ENAMETOOLONG;
	return orchfs_make(ORCHFS_TRACE_SYMLINK, dir, dentry, S_IFLNK | 0777, 0,
			   target);
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
	struct orchfs_args args;
	struct orchfs_result res;
	struct inode *inode;
	int ret;

	orchfs_args_create(&args, dir, NULL, mode | S_IFREG,
			   ORCHFS_REQ_FLAG_TMPFILE |
			   ORCHFS_REQ_FLAG_LAYOUT | ORCHFS_REQ_FLAG_WRITE);
	ret = orchfs_upcall(dir->i_sb, &args, &res);
	if (!ret) {
		inode = orchfs_result_inode(dir->i_sb, &res, &stamp);
		ret = PTR_ERR_OR_ZERO(inode);
		if (ret)
			orchfs_note_forget(orchfs_channel_of(dir),
					   res.attr.ino);
	}
	if (!ret) {
		/* without memory now, eviction tries once more */
		orchfs_inode_may_forget(inode);
		orchfs_result_install(inode, &res);
		d_mark_tmpfile(file, inode);
		d_instantiate(file->f_path.dentry, inode);
	}
	orchfs_result_free(&res);
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
static void orchfs_args_open(struct orchfs_args *args, struct inode *dir,
			     const struct qstr *name, unsigned int flags,
			     umode_t mode)
{
	u32 rflags = ORCHFS_REQ_FLAG_LAYOUT;

	if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC))
		rflags |= ORCHFS_REQ_FLAG_WRITE;
	if (flags & O_CREAT) {
		if (flags & O_EXCL)
			rflags |= ORCHFS_REQ_FLAG_EXCL;
		orchfs_args_create(args, dir, name, mode, rflags);
		return;
	}
	*args = (struct orchfs_args) {
		.kind = ORCHFS_KIND_LOOKUP,
		.flags = rflags,
		.node = dir->i_ino,
		.name = name,
	};
}

/**
 * orchfs_atomic_open() - look up, create and open in one upcall
 * @dir: the directory, locked; for writing when @flags has O_CREAT
 * @dentry: in look-up, or negative and valid
 * @file: to be opened
 * @flags: O_TRUNC is left to the VFS, which truncates through setattr
 * @mode: with umask applied
 */
int orchfs_atomic_open(struct inode *dir, struct dentry *dentry,
		       struct file *file, unsigned int flags, umode_t mode)
{
	struct orchfs_stamp stamp = orchfs_stamp_take(dir);
	struct orchfs_args args;
	struct orchfs_result res;
	struct dentry *alias;
	int ret;

	if (dentry->d_name.len > ORCHFS_NAME_MAX)
		return -ENAMETOOLONG;
	if (!(flags & O_CREAT) && !d_in_lookup(dentry))
		return -ENOENT;
	if (flags & O_DIRECTORY)
		return orchfs_open_plain(dir, dentry, file);

	orchfs_args_open(&args, dir, &dentry->d_name, flags, mode | S_IFREG);
	ret = orchfs_upcall(dir->i_sb, &args, &res);
	if (ret == -ENOENT && !(flags & O_CREAT)) {
		orchfs_splice(NULL, dentry, &stamp);
	} else if (ret) {
		orchfs_name_failed(dir, dentry, ret);
	} else {
		if ((flags & O_CREAT) &&
		    !(res.flags & ORCHFS_REQ_FLAG_EXISTING)) {
			file->f_mode |= FMODE_CREATED;
			orchfs_dir_changed(dir, &args.now, res.txn, 0);
		}
		alias = orchfs_splice(orchfs_result_inode(dir->i_sb, &res,
							  &stamp),
				      dentry, &stamp);
		ret = PTR_ERR_OR_ZERO(alias);
		if (!ret) {
			ret = orchfs_open_found(file, dentry, alias, &res);
			dput(alias);
		}
	}
	orchfs_result_free(&res);
	trace_orchfs_namei(ORCHFS_TRACE_ATOMIC_OPEN, dir, &dentry->d_name, ret);
	return ret;
}
