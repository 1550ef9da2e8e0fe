/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files share that answer the VFS: super.c, inode.c, attr.c,
 * namei.c, create.c, dentry.c, dir.c, xattr.c. See Documentation/vfs.md.
 */
#ifndef _ORCHFS_VFS_H
#define _ORCHFS_VFS_H

#include "orchfs.h"

struct seq_file;

static inline u64 orchfs_epoch(const struct super_block *sb)
{
	return atomic64_read(&ORCHFS_SB(sb)->channel->epoch);
}

/*
 * Is the time over for which the daemon promised that what is cached is right?
 * There is no such limit where no other node changes anything. The clock is
 * the exact one: a kernel that was stopped finds its lease over.
 */
static inline bool orchfs_lease_over(const struct super_block *sb)
{
	u64 until = atomic64_read_acquire(&ORCHFS_SB(sb)->channel->lease);

	return unlikely(until) && ktime_get_boottime_ns() >= until;
}

/*
 * The epoch that what is cached must be of to be believed, more than any
 * without a lease. Of lease and epoch the lease is read first: a daemon that
 * renews it raises the epoch before.
 */
static inline u64 orchfs_epoch_believed(const struct super_block *sb)
{
	return orchfs_lease_over(sb) ? U64_MAX : orchfs_epoch(sb);
}

static inline struct timespec64 orchfs_timespec(const struct orchfs_time *t)
{
	return (struct timespec64){ .tv_sec = t->sec, .tv_nsec = t->nsec };
}

/* super.c, params.c */

#define ORCHFS_TIMEOUT_DEFAULT	60
#define ORCHFS_TIMEOUT_MAX	600

/**
 * struct orchfs_fc - what a mount asks for
 * @timeout: upcall_timeout, 0 when not given
 * @error: upcall_errno, negative, 0 when not given
 * @whole: mount the root even where the source names a directory
 */
struct orchfs_fc {
	unsigned int timeout;
	int error;
	bool whole;
};

int orchfs_get_tree(struct fs_context *fc);
int orchfs_show_options(struct seq_file *m, struct dentry *root);
int orchfs_options_agree(struct fs_context *fc, const struct super_block *sb);

/**
 * struct orchfs_stamp - when something was asked for
 * @epoch: of the channel
 * @mark: of the channel
 * @names: of the directory
 */
struct orchfs_stamp {
	u64 epoch;
	u64 mark;
	unsigned long names;
};

/* inode.c */
void orchfs_inode_update(struct inode *inode, const struct orchfs_attr *attr,
			 u64 txn, u32 explicit,
			 const struct orchfs_stamp *stamp);
void orchfs_inode_mark_stale(struct inode *inode);
/* Memory for note-forget, before an operation that may leave no link. */
int orchfs_inode_may_forget(struct inode *inode);
/* A name below dir was made, removed or moved by transaction txn at now. */
void orchfs_dir_changed(struct inode *dir, const struct orchfs_time *now,
			u64 txn, int nlink_delta);

/* dentry.c */

struct orchfs_stamp orchfs_stamp_sb(const struct super_block *sb);
struct orchfs_stamp orchfs_stamp_take(const struct inode *dir);
struct orchfs_stamp orchfs_stamp_next(const struct inode *inode);
void orchfs_stamp_set(struct dentry *dentry, const struct orchfs_stamp *stamp);
bool orchfs_stamp_current(const struct inode *dir,
			  const struct orchfs_stamp *stamp);
bool orchfs_stamp_valid(const struct inode *dir, const struct dentry *dentry);
/* What the name stands for isn't known any more. */
void orchfs_stamp_clear(struct dentry *dentry);
void orchfs_prune_work(struct work_struct *work);

/* namei.c */
struct dentry *orchfs_lookup(struct inode *dir, struct dentry *dentry,
			     unsigned int flags);
struct dentry *orchfs_splice(struct inode *inode, struct dentry *dentry,
			     const struct orchfs_stamp *stamp);
/* An operation on a name failed by ret: what the name is may be unknown. */
void orchfs_name_failed(struct inode *dir, struct dentry *dentry, int ret);

/* ORCHFS_REQ_FLAG_DURABLE where each change of names is to be durable. */
static inline u32 orchfs_durable_flag(const struct inode *dir)
{
	return IS_DIRSYNC(dir) ? ORCHFS_REQ_FLAG_DURABLE : 0;
}

/* moved.c */
struct dentry *orchfs_splice_dir(struct inode *inode, struct dentry *dentry);
void orchfs_moved_missed(const struct dentry *dentry, u64 ino);
int orchfs_moved_walk(struct inode *dir, int mask);
void orchfs_moved_sb_exit(struct orchfs_sb *sbi);

/* acl.c */
int orchfs_acl_encode(const struct posix_acl *acl, int type,
		      struct orchfs_xattr *x);
int orchfs_acl_chmod(struct inode *inode, umode_t mode, struct posix_acl **out);
void orchfs_acl_apply_locked(struct inode *inode, u32 flags);

/* create.c */
void orchfs_args_owner(struct orchfs_args *args, struct mnt_idmap *idmap,
		       const struct inode *dir, umode_t mode);
int orchfs_create(struct mnt_idmap *idmap, struct inode *dir,
		  struct dentry *dentry, umode_t mode, bool excl);
int orchfs_mkdir(struct mnt_idmap *idmap, struct inode *dir,
		 struct dentry *dentry, umode_t mode);
int orchfs_mknod(struct mnt_idmap *idmap, struct inode *dir,
		 struct dentry *dentry, umode_t mode, dev_t rdev);
int orchfs_symlink(struct mnt_idmap *idmap, struct inode *dir,
		   struct dentry *dentry, const char *target);
int orchfs_tmpfile(struct mnt_idmap *idmap, struct inode *dir,
		   struct file *file, umode_t mode);
int orchfs_atomic_open(struct inode *dir, struct dentry *dentry,
		       struct file *file, unsigned int flags, umode_t mode);


/* listing.c: what readdir knows of a directory */

#define ORCHFS_DIR_POS_FIRST	2

struct orchfs_dir_entry {
	u64 cookie;
	u64 ino;
	u32 name;			/* offset in orchfs_dir_batch.names */
	u8 len;
	u8 type;			/* DT_* */
};

/**
 * struct orchfs_dir_batch - what one readdir upcall brought; immutable
 * @refs: open directories that are at it, and the listing
 * @link: orchfs_listing.batches
 * @start: position at which it was asked for
 * @nr: entries
 * @eof: nothing comes after it
 * @names: bytes of all names, behind @entries
 * @entries: in order of their cookies
 */
struct orchfs_dir_batch {
	refcount_t refs;
	struct list_head link;
	loff_t start;
	unsigned int nr;
	bool eof;
	char *names;
	struct orchfs_dir_entry entries[];
};

/* Position of a reader that had all of it. */
static inline loff_t orchfs_dir_batch_end(const struct orchfs_dir_batch *batch)
{
	return batch->nr ? batch->entries[batch->nr - 1].cookie : batch->start;
}

struct orchfs_dir_batch *orchfs_dir_batch_alloc(unsigned int nr,
						size_t names_len);
void orchfs_dir_batch_put(struct orchfs_dir_batch *batch);
int orchfs_dir_batch_find(const struct orchfs_dir_batch *batch, loff_t pos);
struct orchfs_dir_batch *orchfs_listing_get(struct inode *dir, loff_t pos);
void orchfs_listing_begin(struct inode *dir);
void orchfs_listing_add(struct inode *dir, struct orchfs_dir_batch *batch,
			const struct orchfs_stamp *stamp);
void orchfs_listing_drop(struct inode *dir);
u64 orchfs_listed_begin(struct inode *dir, bool first);
void orchfs_listed_add(struct inode *inode, u64 mark);
void orchfs_listed_end(struct inode *dir);
bool orchfs_listed_take(struct dentry *dentry);

#endif
