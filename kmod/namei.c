// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names: lookup, link, unlink, rmdir, rename. One upcall each. Those that make
 * an inode are in create.c.
 */
#include <linux/cred.h>
#include <linux/fsnotify.h>
#include <linux/namei.h>
#include <linux/percpu-rwsem.h>
#include <linux/security.h>
#include <linux/xattr.h>

#include "vfs.h"
#include "trace.h"

/**
 * orchfs_splice() - put an inode under a dentry
 * @inode: its reference is consumed in every case; NULL for a negative dentry;
 *	may be an ERR_PTR
 * @dentry: negative; in look-up, hashed or not
 * @stamp: taken before the daemon was asked
 *
 * Return: NULL when @dentry is it; the dentry that a directory has already,
 * with a reference; an ERR_PTR.
 */
struct dentry *orchfs_splice(struct inode *inode, struct dentry *dentry,
			     const struct orchfs_stamp *stamp)
{
	struct dentry *alias;

	if (!d_unhashed(dentry))
		d_drop(dentry);
	orchfs_stamp_set(dentry, stamp);
	if (!IS_ERR_OR_NULL(inode) && S_ISDIR(inode->i_mode))
		alias = orchfs_splice_dir(inode, dentry);
	else
		alias = d_splice_alias(inode, dentry);
	if (!IS_ERR_OR_NULL(alias))
		orchfs_stamp_set(alias, stamp);
	return alias;
}

/**
 * orchfs_name_failed() - draw the conclusions of a failure
 * @dir: the directory
 * @dentry: the name
 * @ret: what the daemon said
 *
 * Where the answer contradicts the cache, the name is looked up again at its
 * next use. A request that was given up has marked what it concerns already.
 */
void orchfs_name_failed(struct inode *dir, struct dentry *dentry, int ret)
{
	switch (ret) {
	case -ESTALE:
		orchfs_inode_mark_stale(dir);
		fallthrough;
	case -ENOENT:
	case -EEXIST:
	case -EISDIR:
	case -ENOTDIR:
	case -EPROTO:
		orchfs_stamp_clear(dentry);
		orchfs_listing_drop(dir);
	}
}

/*
 * May a rename replace what nobody has looked at? The checks that the VFS makes
 * for a victim are the daemon's then, but for those of the security modules:
 * labels are theirs to judge, and Landlock, whose users can't gain privileges,
 * has a right of its own for removing.
 */
static bool orchfs_target_can_wait(const struct inode *dir)
{
	return !IS_APPEND(dir) && !task_no_new_privs(current) &&
	       !security_ismaclabel(XATTR_SELINUX_SUFFIX) &&
	       !security_ismaclabel(XATTR_SMACK_SUFFIX);
}

/*
 * A look-up isn't told its mount. Who comes to create through one that may be
 * written to holds off freezing; if nobody does, the mount is read-only. Where
 * others write at the same time, it isn't found out.
 */
static bool orchfs_no_writer(struct super_block *sb)
{
	struct percpu_rw_semaphore *sem = sb->s_writers.rw_sem;

	return !percpu_is_read_locked(&sem[SB_FREEZE_WRITE - 1]);
}

/*
 * An exclusive create and a rename's target need no look-up of their own: the
 * operation tells whether the name exists. Only for those who may create:
 * others shall hear EEXIST before EACCES or EROFS.
 */
static bool orchfs_lookup_can_wait(struct inode *dir, unsigned int flags)
{
	bool create = (flags & LOOKUP_CREATE) && (flags & LOOKUP_EXCL);
	bool target = (flags & LOOKUP_RENAME_TARGET) &&
		      !(flags & LOOKUP_REVAL) && orchfs_target_can_wait(dir);

	if (!create && !target)
		return false;
	if (create && orchfs_no_writer(dir->i_sb))
		return false;
	return !inode_permission(&nop_mnt_idmap, dir, MAY_WRITE | MAY_EXEC);
}

/* Who changes names has the directory's lock, so nobody else looks this up. */
static bool orchfs_changes_names(const struct dentry *dentry)
{
	return !d_in_lookup(dentry);
}

/* Does the VFS begin again after ESTALE? Others look up without any flags. */
static bool orchfs_begins_again(const struct dentry *dentry, unsigned int flags)
{
	return !(flags & LOOKUP_REVAL) &&
	       (flags || orchfs_changes_names(dentry));
}

/*
 * Rename looks its names up one after the other. Where another node renames in
 * between, both may be found to be of one inode, which for the VFS are two links
 * of it, and nothing to do. So it shall look again where a name that is in use
 * leads to the inode, but isn't valid any more.
 */
static bool orchfs_seen_elsewhere(struct inode *inode)
{
	struct dentry *alias;
	bool seen = false;

	spin_lock(&inode->i_lock);
	hlist_for_each_entry(alias, &inode->i_dentry, d_u.d_alias) {
		spin_lock(&alias->d_lock);
		seen |= d_count(alias) > 0 && !d_unhashed(alias) &&
			!IS_ROOT(alias) &&
			!orchfs_stamp_valid(d_inode(alias->d_parent), alias);
		spin_unlock(&alias->d_lock);
	}
	spin_unlock(&inode->i_lock);
	return seen;
}

struct dentry *orchfs_lookup(struct inode *dir, struct dentry *dentry,
			     unsigned int flags)
{
	struct orchfs_stamp stamp = orchfs_stamp_take(dir);
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_LOOKUP,
		.node = dir->i_ino,
		.name = &dentry->d_name,
	};
	struct orchfs_result res;
	struct inode *inode = NULL;
	bool again = orchfs_begins_again(dentry, flags), elsewhere = false;
	struct dentry *alias;
	u64 ino = 0;
	int ret;

	if (dentry->d_name.len > ORCHFS_NAME_MAX)
		return ERR_PTR(-ENAMETOOLONG);
	if (orchfs_lookup_can_wait(dir, flags))
		return NULL;

	ret = orchfs_upcall(dir->i_sb, &args, &res);
	trace_orchfs_namei(ORCHFS_TRACE_LOOKUP, dir, &dentry->d_name, ret);
	if (!ret)
		inode = orchfs_iget(dir->i_sb, &res.attr, res.target,
				    res.target ? strlen(res.target) : 0,
				    &stamp);
	orchfs_result_free(&res);
	if (ret && ret != -ENOENT) {
		orchfs_name_failed(dir, dentry, ret);
		return ERR_PTR(ret);
	}
	if (again && !IS_ERR_OR_NULL(inode)) {
		elsewhere = orchfs_changes_names(dentry) &&
			    orchfs_seen_elsewhere(inode);
		ino = inode->i_ino;
	}
	alias = orchfs_splice(inode, dentry, &stamp);
	if (ino && alias == ERR_PTR(-ESTALE))
		orchfs_moved_missed(dentry, ino);
	if (!elsewhere || IS_ERR(alias))
		return alias;
	dput(alias);
	return ERR_PTR(-ESTALE);
}

static int orchfs_link(struct dentry *old_dentry, struct inode *dir,
		       struct dentry *dentry)
{
	struct orchfs_stamp stamp = orchfs_stamp_take(dir);
	struct inode *inode = d_inode(old_dentry);
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_LINK,
		.flags = orchfs_durable_flag(dir),
		.node = inode->i_ino,
		.node2 = dir->i_ino,
		.name2 = &dentry->d_name,
		.has_now = true,
		.now = orchfs_now(dir),
	};
	struct orchfs_result res;
	int ret;

	ret = orchfs_upcall(dir->i_sb, &args, &res);
	trace_orchfs_namei(ORCHFS_TRACE_LINK, dir, &dentry->d_name, ret);
	if (!ret) {
		orchfs_inode_update(inode, &res.attr, res.txn, 0, &stamp);
		orchfs_dir_changed(dir, &args.now, res.txn, 0);
		ihold(inode);
		/* only directories have aliases that could come back */
		ret = PTR_ERR_OR_ZERO(orchfs_splice(inode, dentry, &stamp));
	} else {
		orchfs_name_failed(dir, dentry, ret);
	}
	orchfs_result_free(&res);
	return ret;
}

/* The victim's record after the operation; a reply may be too old to tell. */
static void orchfs_victim_apply(struct inode *victim,
				const struct orchfs_result *res)
{
	if (res->has_attr2 && res->attr2.ino == victim->i_ino)
		orchfs_inode_apply(victim, &res->attr2, res->txn);
	else
		orchfs_inode_mark_stale(victim);
}

static int orchfs_remove(struct inode *dir, struct dentry *dentry, bool is_dir)
{
	struct orchfs_stamp stamp = orchfs_stamp_take(dir);
	struct inode *inode = d_inode(dentry);
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_UNLINK,
		.flags = orchfs_durable_flag(dir) |
			 (is_dir ? ORCHFS_REQ_FLAG_DIR : 0),
		.node = dir->i_ino,
		.name = &dentry->d_name,
		.node2 = inode->i_ino,
		.has_now = true,
		.now = orchfs_now(dir),
	};
	struct orchfs_result res;
	int ret;

	ret = orchfs_inode_may_forget(inode);
	if (ret)
		return ret;
	ret = orchfs_upcall(dir->i_sb, &args, &res);
	trace_orchfs_namei(is_dir ? ORCHFS_TRACE_RMDIR : ORCHFS_TRACE_UNLINK,
			   dir, &dentry->d_name, ret);
	if (!ret) {
		orchfs_victim_apply(inode, &res);
		orchfs_dir_changed(dir, &args.now, res.txn, is_dir ? -1 : 0);
		/* it becomes a negative dentry */
		orchfs_stamp_set(dentry, &stamp);
	} else {
		orchfs_name_failed(dir, dentry, ret);
	}
	orchfs_result_free(&res);
	return ret;
}

static int orchfs_unlink(struct inode *dir, struct dentry *dentry)
{
	return orchfs_remove(dir, dentry, false);
}

static int orchfs_rmdir(struct inode *dir, struct dentry *dentry)
{
	return orchfs_remove(dir, dentry, true);
}

/*
 * The victim of a rename that the VFS didn't know. Where the inode is in
 * memory, it has to be as if the VFS had known it; without a dentry nobody else
 * will tell those who watch it. Else the daemon may forget it.
 */
static void orchfs_unseen_victim(struct super_block *sb,
				 const struct orchfs_result *res)
{
	struct inode *victim = ilookup(sb, res->attr2.ino);

	if (!victim) {
		if (!res->attr2.nlink) {
			orchfs_note_forget(ORCHFS_SB(sb)->channel,
					   res->attr2.ino);
			WRITE_ONCE(ORCHFS_SB(sb)->removed, true);
		}
		return;
	}
	/* without memory now, eviction tries once more */
	orchfs_inode_may_forget(victim);
	orchfs_inode_apply(victim, &res->attr2, res->txn);
	if (S_ISDIR(victim->i_mode))
		inode_set_flags(victim, S_DEAD, S_DEAD);
	fsnotify_link_count(victim);
	if (!victim->i_nlink && hlist_empty(&victim->i_dentry))
		fsnotify_inoderemove(victim);
	iput(victim);
}

/*
 * The daemon has gone by names, which another node may have changed since the
 * VFS looked: what it moved counts. Where that is another inode than the VFS
 * moves now, the name is looked up again at its next use.
 */
static void orchfs_moved(struct dentry *dentry, const struct orchfs_attr *attr,
			 const struct orchfs_stamp *stamp)
{
	const struct inode *inode = d_inode(dentry);

	if (inode && attr->ino == inode->i_ino)
		orchfs_stamp_set(dentry, stamp);
	else
		orchfs_stamp_clear(dentry);
}

/* @inode: that the VFS moves; what the daemon moved is told of, too */
static void orchfs_moved_apply(struct inode *inode,
			       const struct orchfs_attr *attr, u64 txn)
{
	struct inode *moved;

	orchfs_inode_apply(inode, attr, txn);
	if (attr->ino == inode->i_ino)
		return;
	moved = ilookup(inode->i_sb, attr->ino);
	if (moved)
		orchfs_inode_apply(moved, attr, txn);
	iput(moved);
}

static void orchfs_replaced(struct super_block *sb, struct inode *target,
			    const struct orchfs_result *res)
{
	if (target)
		orchfs_victim_apply(target, res);
	if (res->has_attr2 && !(target && res->attr2.ino == target->i_ino))
		orchfs_unseen_victim(sb, res);
}

/* Directories and inodes after a rename that succeeded. */
static void orchfs_renamed(struct inode *old_dir, struct dentry *old_dentry,
			   struct inode *new_dir, struct dentry *new_dentry,
			   const struct orchfs_args *args,
			   const struct orchfs_result *res)
{
	struct inode *inode = d_inode(old_dentry);
	struct inode *other = d_inode(new_dentry);
	bool exchange = args->flags & ORCHFS_REQ_FLAG_EXCHANGE;
	int gone = S_ISDIR(res->attr.mode);
	int come = res->has_attr2 && S_ISDIR(res->attr2.mode);

	orchfs_moved_apply(inode, &res->attr, res->txn);
	if (!exchange)
		orchfs_replaced(old_dir->i_sb, other, res);
	else if (res->has_attr2)
		orchfs_moved_apply(other, &res->attr2, res->txn);

	/* sub-directories: one goes over, one comes back or is no more */
	if (old_dir == new_dir) {
		orchfs_dir_changed(old_dir, &args->now, res->txn,
				   exchange ? 0 : -come);
		return;
	}
	orchfs_dir_changed(old_dir, &args->now, res->txn,
			   (exchange ? come : 0) - gone);
	orchfs_dir_changed(new_dir, &args->now, res->txn, gone - come);
}

/* Whose inodes the caller may replace in a directory; -1: everybody's. */
static u32 orchfs_may_replace(const struct inode *dir)
{
	kuid_t fsuid = current_fsuid();

	if (!(dir->i_mode & S_ISVTX) || uid_eq(fsuid, dir->i_uid) ||
	    capable(CAP_FOWNER))
		return -1;
	return from_kuid(&init_user_ns, fsuid);
}

/*
 * Flags of a rename, and what they need. A target that was looked up and isn't
 * there must not be there; one that wasn't, because its look-up could wait, has
 * no hashed dentry.
 */
static int orchfs_rename_args(struct orchfs_args *args,
			      const struct mnt_idmap *idmap,
			      const struct inode *new_dir,
			      const struct dentry *new_dentry,
			      unsigned int flags)
{
	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	if (flags & RENAME_EXCHANGE) {
		args->flags |= ORCHFS_REQ_FLAG_EXCHANGE;
	} else if (flags & RENAME_NOREPLACE) {
		args->flags |= ORCHFS_REQ_FLAG_NOREPLACE;
	} else if (d_really_is_negative(new_dentry)) {
		if (!(flags & RENAME_WHITEOUT) && d_unhashed(new_dentry) &&
		    idmap == &nop_mnt_idmap && orchfs_target_can_wait(new_dir)) {
			args->flags |= ORCHFS_REQ_FLAG_UNSEEN;
			args->uid = orchfs_may_replace(new_dir);
		} else {
			args->flags |= ORCHFS_REQ_FLAG_NOREPLACE;
		}
	}
	return 0;
}

/* New contents shall not come to disk long after the name they replace. */
static void orchfs_rename_flush(struct inode *inode, umode_t victim)
{
	if (S_ISREG(inode->i_mode) && S_ISREG(victim))
		orchfs_flush(inode);
}

static void orchfs_rename_failed(struct inode *old_dir,
				 struct dentry *old_dentry,
				 struct inode *new_dir,
				 struct dentry *new_dentry, int ret)
{
	orchfs_name_failed(old_dir, old_dentry, ret);
	orchfs_name_failed(new_dir, new_dentry, ret);
}

static int orchfs_rename(struct mnt_idmap *idmap, struct inode *old_dir,
			 struct dentry *old_dentry, struct inode *new_dir,
			 struct dentry *new_dentry, unsigned int flags)
{
	struct orchfs_stamp old_stamp = orchfs_stamp_take(old_dir);
	struct orchfs_stamp new_stamp = orchfs_stamp_take(new_dir);
	struct inode *inode = d_inode(old_dentry);
	struct inode *target = d_inode(new_dentry);
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_RENAME,
		.flags = orchfs_durable_flag(old_dir) |
			 orchfs_durable_flag(new_dir),
		.node = old_dir->i_ino,
		.name = &old_dentry->d_name,
		.node2 = new_dir->i_ino,
		.name2 = &new_dentry->d_name,
		.changed = { inode->i_ino, target ? target->i_ino : 0 },
		.has_now = true,
		.now = orchfs_now(old_dir),
	};
	struct orchfs_result res;
	int ret;

	ret = orchfs_rename_args(&args, idmap, new_dir, new_dentry, flags);
	if (ret)
		return ret;
	if (flags & RENAME_WHITEOUT) {
		args.flags |= ORCHFS_REQ_FLAG_WHITEOUT;
		orchfs_args_owner(&args, idmap, old_dir,
				  S_IFCHR | WHITEOUT_MODE);
	}
	if (target && !(flags & RENAME_EXCHANGE)) {
		ret = orchfs_inode_may_forget(target);
		if (ret)
			return ret;
		orchfs_rename_flush(inode, target->i_mode);
	}

	ret = orchfs_upcall(old_dir->i_sb, &args, &res);
	trace_orchfs_namei(ORCHFS_TRACE_RENAME, new_dir, &new_dentry->d_name,
			   ret);
	if (!ret) {
		if (!target && res.has_attr2)
			orchfs_rename_flush(inode, res.attr2.mode);
		orchfs_renamed(old_dir, old_dentry, new_dir, new_dentry, &args,
			       &res);
		/* the VFS moves the dentries when this returns */
		orchfs_moved(old_dentry, &res.attr, &new_stamp);
		orchfs_moved(new_dentry, &res.attr2, &old_stamp);
	} else if (ret == -EEXIST && !target && !(flags & RENAME_NOREPLACE)) {
		/* there is a target that has to be looked at: start again */
		orchfs_stamp_clear(new_dentry);
		ret = -ESTALE;
	} else {
		orchfs_rename_failed(old_dir, old_dentry, new_dir, new_dentry,
				     ret);
	}
	orchfs_result_free(&res);
	return ret;
}

const struct inode_operations orchfs_dir_iops = {
	.lookup		= orchfs_lookup,
	.atomic_open	= orchfs_atomic_open,
	.create		= orchfs_create,
	.tmpfile	= orchfs_tmpfile,
	.link		= orchfs_link,
	.unlink		= orchfs_unlink,
	.symlink	= orchfs_symlink,
	.mkdir		= orchfs_mkdir,
	.rmdir		= orchfs_rmdir,
	.mknod		= orchfs_mknod,
	.rename		= orchfs_rename,
	.permission	= orchfs_permission,
	.getattr	= orchfs_getattr,
	.setattr	= orchfs_setattr,
	.listxattr	= orchfs_listxattr,
	.get_inode_acl	= orchfs_get_inode_acl,
	.set_acl	= orchfs_set_acl,
	.update_time	= orchfs_update_time,
	.fileattr_get	= orchfs_fileattr_get,
	.fileattr_set	= orchfs_fileattr_set,
};
