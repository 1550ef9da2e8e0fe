// SPDX-License-Identifier: GPL-2.0-only
/*
 * Directories: readdir, seek, fsync.
 *
 * The daemon lists up to ORCHFS_READDIR_BATCH entries at a time, with their
 * attributes. All of them go to the dentry and inode caches at once, so that
 * the stat calls that follow cost nothing; the names stay with the open file
 * until the reader has had them. The position is the cookie of the last entry
 * delivered; 0 stands before ".", 1 before "..", 2 before the first entry.
 */
#include <linux/dcache.h>
#include <linux/fs_types.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "vfs.h"
#include "trace.h"

#define ORCHFS_DIR_POS_FIRST	2
#define ORCHFS_COOKIE_MIN	3

struct orchfs_dir_entry {
	u64 cookie;
	u64 ino;
	u32 name;			/* offset in orchfs_dir_batch.names */
	u8 len;
	u8 type;			/* DT_* */
};

/**
 * struct orchfs_dir_batch - what one readdir upcall brought
 * @start: position at which it was asked for
 * @nr: entries
 * @at: entries that the reader has had
 * @eof: nothing comes after it
 * @names: bytes of all names, behind @entries
 * @names_len: their number
 * @entries: in order of their cookies
 */
struct orchfs_dir_batch {
	loff_t start;
	unsigned int nr;
	unsigned int at;
	bool eof;
	char *names;
	u32 names_len;
	struct orchfs_dir_entry entries[];
};

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
	orchfs_inode_apply(inode, &de->attr, 0);
	orchfs_inode_valid(inode, stamp->epoch);
	orchfs_stamp_set(dentry, stamp);
	return true;
}

/* Names don't change meanwhile: the reader holds the directory's i_rwsem. */
static void orchfs_prime(struct dentry *parent, const struct orchfs_dirent *de,
			 const struct orchfs_stamp *stamp)
{
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
				    de->target_len);
		if (IS_ERR(inode)) {
			d_lookup_done(dentry);
		} else {
			orchfs_inode_valid(inode, stamp->epoch);
			alias = orchfs_splice(inode, dentry, stamp);
			d_lookup_done(dentry);
			if (!IS_ERR(alias))
				dput(alias);
		}
	}
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
	entry->name = batch->names_len;
	entry->len = de->name.len;
	memcpy(batch->names + entry->name, de->name.name, entry->len);
	batch->names_len += entry->len;

	orchfs_prime(fill->parent, de, &fill->stamp);
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
	size_t head;
	int ret;

	ret = orchfs_result_entries(res, orchfs_dir_measure, &size);
	if (ret < 0)
		return ERR_PTR(ret);
	if (!size.nr && !res->eof)
		return ERR_PTR(-EPROTO);
	head = struct_size(batch, entries, size.nr);
	batch = kvmalloc(head + size.names_len, GFP_KERNEL_ACCOUNT);
	if (!batch)
		return ERR_PTR(-ENOMEM);
	batch->start = pos;
	batch->nr = 0;
	batch->at = 0;
	batch->eof = res->eof;
	batch->names = (char *)batch + head;
	batch->names_len = 0;
	fill->batch = batch;
	ret = orchfs_result_entries(res, orchfs_dir_fill, fill);
	if (ret < 0) {
		kvfree(batch);
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

	ret = orchfs_upcall(dir->i_sb, &args, &res);
	batch = ret ? ERR_PTR(ret) : orchfs_dir_batch(&res, &fill, pos);
	orchfs_result_free(&res);
	trace_orchfs_inode_op(ORCHFS_TRACE_READDIR, dir,
			      IS_ERR(batch) ? PTR_ERR(batch) : batch->nr);
	return batch;
}

/* Position of the reader when the first @at entries were delivered. */
static loff_t orchfs_dir_batch_pos(const struct orchfs_dir_batch *batch,
				   unsigned int at)
{
	return at ? batch->entries[at - 1].cookie : batch->start;
}

/*
 * Does the batch go on at pos? A program that seeks back inside of it is
 * served from it too, but one that starts anew sees what is there now.
 */
static bool orchfs_dir_batch_seek(struct orchfs_dir_batch *batch, loff_t pos)
{
	unsigned int at;

	if (orchfs_dir_batch_pos(batch, batch->at) == pos)
		return batch->at < batch->nr || batch->eof;
	if (pos <= ORCHFS_DIR_POS_FIRST)
		return false;
	for (at = 0; at < batch->nr; at++) {
		if (orchfs_dir_batch_pos(batch, at) == pos) {
			batch->at = at;
			return true;
		}
	}
	return false;
}

/* false: the caller's buffer is full. */
static bool orchfs_dir_emit(struct orchfs_dir_batch *batch,
			    struct dir_context *ctx)
{
	while (batch->at < batch->nr) {
		struct orchfs_dir_entry *entry = &batch->entries[batch->at];

		if (!dir_emit(ctx, batch->names + entry->name, entry->len,
			      entry->ino, entry->type))
			return false;
		ctx->pos = entry->cookie;
		batch->at++;
	}
	return true;
}

static int orchfs_readdir(struct file *file, struct dir_context *ctx)
{
	struct orchfs_dir_batch *batch = file->private_data;

	if (!ctx->pos) {
		kvfree(batch);
		batch = file->private_data = NULL;
	}
	if (!dir_emit_dots(file, ctx))
		return 0;

	for (;;) {
		if (!batch || !orchfs_dir_batch_seek(batch, ctx->pos)) {
			kvfree(batch);
			file->private_data = NULL;
			batch = orchfs_dir_read(file, ctx->pos);
			if (IS_ERR(batch))
				return PTR_ERR(batch);
			file->private_data = batch;
		}
		if (!orchfs_dir_emit(batch, ctx) || batch->eof)
			return 0;
	}
}

static int orchfs_dir_release(struct inode *inode, struct file *file)
{
	kvfree(file->private_data);
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

	return orchfs_barrier(inode->i_sb, inode->i_ino,
			      atomic64_read(&ORCHFS_I(inode)->txn));
}

const struct file_operations orchfs_dir_fops = {
	.llseek		= orchfs_dir_llseek,
	.read		= generic_read_dir,
	.iterate_shared	= orchfs_readdir,
	.release	= orchfs_dir_release,
	.fsync		= orchfs_dir_fsync,
};
