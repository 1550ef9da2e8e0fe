// SPDX-License-Identifier: GPL-2.0-only
/*
 * Directories: readdir, seek, fsync.
 *
 * The daemon lists up to ORCHFS_READDIR_BATCH entries at a time, with their
 * attributes. All of them go to the dentry and inode caches at once, so that
 * the stat calls that follow cost nothing; the names stay with the open file
 * until the reader has had them, and with the directory for the next reader
 * (listing.c). The position is the cookie of the last entry delivered; 0 stands
 * before ".", 1 before "..", 2 before the first entry.
 */
#include <linux/dcache.h>
#include <linux/fs_types.h>

#include "vfs.h"
#include "trace.h"

#define ORCHFS_COOKIE_MIN	3

/* Entries and bytes; cookies grow. */
struct orchfs_dir_size {
	u64 last;
	unsigned int nr;
	u32 names_len;
};

static int orchfs_dir_measure(void *arg, const struct orchfs_dirent *de)
{
	struct orchfs_dir_size *size = arg;

	if (de->cookie < ORCHFS_COOKIE_MIN || de->cookie > LLONG_MAX ||
	    de->cookie <= size->last)
		return -EPROTO;
	if (size->nr == ORCHFS_READDIR_BATCH)
		return -EPROTO;
	size->last = de->cookie;
	size->nr++;
	size->names_len += de->name.len;
	return 0;
}

/* What an entry's answer is valid for, and where it goes. */
struct orchfs_dir_fill {
	struct dentry *parent;
	struct orchfs_stamp stamp;
	struct orchfs_dir_batch *batch;
	u32 names_len;
	u64 listed;
	bool live;
};

/* A cached dentry says the same as the entry: refresh it. */
static bool orchfs_prime_same(struct dentry *dentry,
			      const struct orchfs_dirent *de,
			      const struct orchfs_stamp *stamp)
{
	struct inode *inode = d_inode(dentry);

	if (!inode || inode->i_ino != de->attr.ino ||
	    ORCHFS_I(inode)->generation != de->attr.generation)
		return false;
	orchfs_inode_update(inode, &de->attr, 0, 0, stamp);
	orchfs_stamp_set(dentry, stamp);
	return true;
}

/* Names don't change meanwhile: the reader holds the directory's i_rwsem. */
static void orchfs_prime(struct orchfs_dir_fill *fill,
			 const struct orchfs_dirent *de)
{
	const struct orchfs_stamp *stamp = &fill->stamp;
	struct dentry *parent = fill->parent;
	DECLARE_WAIT_QUEUE_HEAD_ONSTACK(wq);
	struct dentry *dentry, *alias;
	struct qstr name = de->name;
	struct inode *inode;

	name.hash = full_name_hash(parent, name.name, name.len);
	dentry = d_lookup(parent, &name);
	if (dentry && !orchfs_prime_same(dentry, de, stamp)) {
		d_invalidate(dentry);
		dput(dentry);
		dentry = NULL;
	}
	if (!dentry)
		dentry = d_alloc_parallel(parent, &name, &wq);
	if (IS_ERR(dentry))
		return;
	if (d_in_lookup(dentry)) {
		inode = orchfs_iget(parent->d_sb, &de->attr, de->target,
				    de->target_len, stamp);
		if (IS_ERR(inode)) {
			d_lookup_done(dentry);
		} else {
			alias = orchfs_splice(inode, dentry, stamp);
			d_lookup_done(dentry);
			if (!IS_ERR(alias))
				dput(alias);
		}
	}
	if (d_really_is_positive(dentry))
		orchfs_listed_add(d_inode(dentry), fill->listed);
	dput(dentry);
}

static int orchfs_dir_fill(void *arg, const struct orchfs_dirent *de)
{
	struct orchfs_dir_fill *fill = arg;
	struct orchfs_dir_batch *batch = fill->batch;
	struct orchfs_dir_entry *entry = &batch->entries[batch->nr++];

	entry->cookie = de->cookie;
	entry->ino = de->attr.ino;
	entry->type = fs_umode_to_dtype(de->attr.mode);
	entry->name = fill->names_len;
	entry->len = de->name.len;
	memcpy(batch->names + entry->name, de->name.name, entry->len);
	fill->names_len += entry->len;

	fill->live |= de->attr.flags & ORCHFS_ATTR_LIVE;
	orchfs_prime(fill, de);
	return 0;
}

static struct orchfs_dir_batch *orchfs_dir_batch(struct orchfs_result *res,
						 struct orchfs_dir_fill *fill,
						 loff_t pos)
{
	struct orchfs_dir_size size = {
		.last = pos == ORCHFS_DIR_POS_FIRST ? 0 : pos,
	};
	struct orchfs_dir_batch *batch;
	int ret;

	ret = orchfs_result_entries(res, orchfs_dir_measure, &size);
	if (ret < 0)
		return ERR_PTR(ret);
	batch = orchfs_dir_batch_alloc(size.nr, size.names_len);
	if (!batch)
		return ERR_PTR(-ENOMEM);
	batch->start = pos;
	batch->eof = res->eof;
	fill->batch = batch;
	ret = orchfs_result_entries(res, orchfs_dir_fill, fill);
	if (ret < 0) {
		orchfs_dir_batch_put(batch);
		return ERR_PTR(ret);
	}
	return batch;
}

static struct orchfs_dir_batch *orchfs_dir_read(struct file *file, loff_t pos)
{
	struct inode *dir = file_inode(file);
	struct orchfs_dir_fill fill = {
		.parent = file_dentry(file),
		.stamp = orchfs_stamp_take(dir),
		.listed = orchfs_listed_begin(dir, pos == ORCHFS_DIR_POS_FIRST),
	};
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_READDIR,
		.node = dir->i_ino,
		.cookie = pos == ORCHFS_DIR_POS_FIRST ? 0 : pos,
		.max_entries = ORCHFS_READDIR_BATCH,
	};
	struct orchfs_dir_batch *batch;
	struct orchfs_result res;
	int ret;

	if (pos == ORCHFS_DIR_POS_FIRST)
		orchfs_listing_begin(dir);
	ret = orchfs_upcall(dir->i_sb, &args, &res);
	batch = ret ? ERR_PTR(ret) : orchfs_dir_batch(&res, &fill, pos);
	orchfs_result_free(&res);
	if (!IS_ERR(batch))
		orchfs_listing_add(dir, batch, &fill.stamp);
	/* the next reader's stat calls ask each, but for a new listing */
	if (fill.live)
		WRITE_ONCE(ORCHFS_I(dir)->listing_cold, true);
	trace_orchfs_inode_op(ORCHFS_TRACE_READDIR, dir,
			      IS_ERR(batch) ? PTR_ERR(batch) : batch->nr);
	return batch;
}

/* Deliver from entry @at on; false: the caller's buffer is full. */
static bool orchfs_dir_emit(const struct orchfs_dir_batch *batch,
			    unsigned int at, struct dir_context *ctx)
{
	for (; at < batch->nr; at++) {
		const struct orchfs_dir_entry *entry = &batch->entries[at];

		if (!dir_emit(ctx, batch->names + entry->name, entry->len,
			      entry->ino, entry->type))
			return false;
		ctx->pos = entry->cookie;
	}
	return true;
}

/*
 * The batch that goes on at pos: the one that the reader has, unless it is
 * through; one of the listing; or a new one.
 */
static struct orchfs_dir_batch *orchfs_dir_next(struct file *file, loff_t pos)
{
	struct orchfs_dir_batch *batch = file->private_data;

	if (batch && orchfs_dir_batch_find(batch, pos) >= 0 &&
	    (batch->eof || pos != orchfs_dir_batch_end(batch)))
		return batch;

	file->private_data = NULL;
	orchfs_dir_batch_put(batch);
	batch = orchfs_listing_get(file_inode(file), pos);
	if (!batch)
		batch = orchfs_dir_read(file, pos);
	if (!IS_ERR(batch))
		file->private_data = batch;
	return batch;
}

/* A reader that starts anew sees what is there now. */
static int orchfs_readdir(struct file *file, struct dir_context *ctx)
{
	struct orchfs_dir_batch *batch;

	if (!ctx->pos) {
		orchfs_dir_batch_put(file->private_data);
		file->private_data = NULL;
	}
	if (!dir_emit_dots(file, ctx))
		return 0;

	do {
		batch = orchfs_dir_next(file, ctx->pos);
		if (IS_ERR(batch))
			return PTR_ERR(batch);
	} while (orchfs_dir_emit(batch, orchfs_dir_batch_find(batch, ctx->pos),
				 ctx) && !batch->eof);
	return 0;
}

static int orchfs_dir_release(struct inode *inode, struct file *file)
{
	orchfs_dir_batch_put(file->private_data);
	orchfs_listed_end(inode);
	return 0;
}

/* Cookies use all of 63 bits, and a directory has no end to seek from. */
static loff_t orchfs_dir_llseek(struct file *file, loff_t offset, int whence)
{
	if (whence != SEEK_SET && whence != SEEK_CUR)
		return -EINVAL;
	return generic_file_llseek_size(file, offset, whence, LLONG_MAX, 0);
}

static int orchfs_dir_fsync(struct file *file, loff_t start, loff_t end,
			    int datasync)
{
	struct inode *inode = file_inode(file);
	int ret;

	/*
	 * A barrier always: who syncs a directory after changes below it counts
	 * on those, too, and they are in records of other directories.
	 */
	ret = orchfs_barrier(inode->i_sb, inode->i_ino, U64_MAX);
	trace_orchfs_io(ORCHFS_TRACE_FSYNC, inode, start, end - start, ret);
	return ret;
}

const struct file_operations orchfs_dir_fops = {
	.llseek		= orchfs_dir_llseek,
	.read		= generic_read_dir,
	.iterate_shared	= orchfs_readdir,
	.release	= orchfs_dir_release,
	.fsync		= orchfs_dir_fsync,
	.lock		= orchfs_lock,
	.flock		= orchfs_flock,
};
