// SPDX-License-Identifier: GPL-2.0-only
/*
 * The listing of a directory, kept between readers.
 *
 * Batches are immutable and follow each other without gaps from the start.
 * They are valid as the names of the directory are, until one of them changes
 * or a dentry that a batch made is pruned. Readers hold the directory's
 * i_rwsem for reading and whoever changes names for writing, so a batch can't
 * be older than a change that this kernel made.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "vfs.h"

/* Entries that one directory keeps; the rest is asked for each time. */
#define ORCHFS_LISTING_MAX	65536

/**
 * struct orchfs_listing - batches of one directory; under its i_lock
 * @stamp: taken before the first of them was asked for
 * @batches: in order of position
 * @nr: entries in all of them
 */
struct orchfs_listing {
	struct orchfs_stamp stamp;
	struct list_head batches;
	unsigned int nr;
};

/**
 * orchfs_dir_batch_alloc() - memory of a batch
 * @nr: entries that it will have
 * @names_len: bytes of their names
 *
 * Return: an empty batch with one reference, or NULL.
 */
struct orchfs_dir_batch *orchfs_dir_batch_alloc(unsigned int nr,
						size_t names_len)
{
	struct orchfs_dir_batch *batch;
	size_t head = struct_size(batch, entries, nr);

	batch = kvmalloc(head + names_len, GFP_KERNEL_ACCOUNT);
	if (!batch)
		return NULL;
	refcount_set(&batch->refs, 1);
	INIT_LIST_HEAD(&batch->link);
	batch->nr = 0;
	batch->eof = false;
	batch->names = (char *)batch + head;
	return batch;
}

void orchfs_dir_batch_put(struct orchfs_dir_batch *batch)
{
	if (batch && refcount_dec_and_test(&batch->refs))
		kvfree(batch);
}

/**
 * orchfs_dir_batch_find() - where a reader is in a batch
 * @batch: the batch
 * @pos: cookie of the last entry that was delivered, or the batch's start
 *
 * Return: index of the entry that comes next, the number of entries when the
 * reader had all; -ENOENT when @pos isn't one of the batch.
 */
int orchfs_dir_batch_find(const struct orchfs_dir_batch *batch, loff_t pos)
{
	unsigned int lo = 0, hi = batch->nr;

	if (pos == batch->start)
		return 0;
	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (batch->entries[mid].cookie < pos)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == batch->nr || batch->entries[lo].cookie != pos)
		return -ENOENT;
	return lo + 1;
}

static void orchfs_listing_free(struct orchfs_listing *listing)
{
	struct orchfs_dir_batch *batch, *next;

	if (!listing)
		return;
	list_for_each_entry_safe(batch, next, &listing->batches, link) {
		list_del_init(&batch->link);
		orchfs_dir_batch_put(batch);
	}
	kfree(listing);
}

static struct orchfs_listing *orchfs_listing_take_locked(struct inode *dir)
{
	struct orchfs_listing *listing = ORCHFS_I(dir)->listing;

	lockdep_assert_held(&dir->i_lock);
	ORCHFS_I(dir)->listing = NULL;
	return listing;
}

/**
 * orchfs_listing_drop() - names changed, or the directory leaves
 * @dir: any inode
 */
void orchfs_listing_drop(struct inode *dir)
{
	struct orchfs_listing *listing;

	if (!READ_ONCE(ORCHFS_I(dir)->listing))
		return;
	spin_lock(&dir->i_lock);
	listing = orchfs_listing_take_locked(dir);
	spin_unlock(&dir->i_lock);
	orchfs_listing_free(listing);
}

/**
 * orchfs_listing_get() - the batch that goes on at a position
 * @dir: the directory
 * @pos: the position
 *
 * Return: the batch with a reference, NULL when it isn't cached.
 */
struct orchfs_dir_batch *orchfs_listing_get(struct inode *dir, loff_t pos)
{
	struct orchfs_inode *oi = ORCHFS_I(dir);
	struct orchfs_listing *stale = NULL;
	struct orchfs_dir_batch *batch, *found = NULL;

	if (!READ_ONCE(oi->listing))
		return NULL;
	spin_lock(&dir->i_lock);
	if (oi->listing && (READ_ONCE(oi->listing_cold) ||
			    !orchfs_stamp_current(dir, &oi->listing->stamp)))
		stale = orchfs_listing_take_locked(dir);
	if (oi->listing) {
		list_for_each_entry(batch, &oi->listing->batches, link) {
			if (pos != batch->start &&
			    pos >= orchfs_dir_batch_end(batch))
				continue;
			if (orchfs_dir_batch_find(batch, pos) >= 0) {
				refcount_inc(&batch->refs);
				found = batch;
			}
			break;
		}
	}
	spin_unlock(&dir->i_lock);
	orchfs_listing_free(stale);
	return found;
}

/**
 * orchfs_listing_begin() - a reader is about to ask from the start
 * @dir: the directory; dentries that are pruned from now on count
 */
void orchfs_listing_begin(struct inode *dir)
{
	orchfs_listing_drop(dir);
	WRITE_ONCE(ORCHFS_I(dir)->listing_cold, false);
}

/* Does the batch go on where the listing ends, and is there room? */
static bool orchfs_listing_fits(const struct orchfs_listing *listing,
				const struct orchfs_dir_batch *batch)
{
	const struct orchfs_dir_batch *last;

	if (list_empty(&listing->batches))
		return batch->start == ORCHFS_DIR_POS_FIRST;
	last = list_last_entry(&listing->batches, struct orchfs_dir_batch,
			       link);
	return !last->eof && orchfs_dir_batch_end(last) == batch->start &&
	       listing->nr + batch->nr <= ORCHFS_LISTING_MAX;
}

/**
 * orchfs_listing_add() - keep a batch for the next reader
 * @dir: the directory
 * @batch: the listing takes a reference of its own
 * @stamp: taken before the batch was asked for
 *
 * A batch that doesn't continue the listing is not kept; nor is one where
 * memory is short.
 */
void orchfs_listing_add(struct inode *dir, struct orchfs_dir_batch *batch,
			const struct orchfs_stamp *stamp)
{
	struct orchfs_inode *oi = ORCHFS_I(dir);
	struct orchfs_listing *listing, *spare = NULL;

	if (batch->start == ORCHFS_DIR_POS_FIRST) {
		spare = kmalloc(sizeof(*spare), GFP_KERNEL_ACCOUNT);
		if (!spare)
			return;
		spare->stamp = *stamp;
		INIT_LIST_HEAD(&spare->batches);
		spare->nr = 0;
	}
	spin_lock(&dir->i_lock);
	if (!oi->listing && spare) {
		WRITE_ONCE(oi->listing, spare);
		spare = NULL;
	}
	listing = oi->listing;
	if (listing && orchfs_stamp_current(dir, &listing->stamp) &&
	    orchfs_listing_fits(listing, batch)) {
		refcount_inc(&batch->refs);
		list_add_tail(&batch->link, &listing->batches);
		listing->nr += batch->nr;
	}
	spin_unlock(&dir->i_lock);
	kfree(spare);
}

/*
 * Files that another node writes are listed with attributes that may be old
 * the moment after. Who stats an entry while it reads the directory may have
 * what the listing told, once: it could not have told the two apart. The mark
 * of a listing is who reads, and since when; directory and files have it.
 */
#define ORCHFS_LISTED_MAX	(5 * HZ)

/**
 * orchfs_listed_begin() - a task reads a directory
 * @dir: the directory
 * @first: from its start
 *
 * Return: the mark of what it lists; 0: another task has begun meanwhile.
 */
u64 orchfs_listed_begin(struct inode *dir, bool first)
{
	u64 *listed = &ORCHFS_I(dir)->listed;
	u32 task = task_pid_nr(current);
	u64 mark = READ_ONCE(*listed);

	if (!first)
		return (u32)mark == task ? mark : 0;
	mark = (u64)(u32)jiffies << 32 | task;
	WRITE_ONCE(*listed, mark);
	return mark;
}

/**
 * orchfs_listed_add() - an entry was listed
 * @inode: the entry's
 * @mark: of the listing
 */
void orchfs_listed_add(struct inode *inode, u64 mark)
{
	if (S_ISREG(inode->i_mode) &&
	    (READ_ONCE(ORCHFS_I(inode)->flags) & ORCHFS_ATTR_LIVE))
		WRITE_ONCE(ORCHFS_I(inode)->listed, mark);
}

/**
 * orchfs_listed_end() - an open directory is closed
 * @dir: the directory
 */
void orchfs_listed_end(struct inode *dir)
{
	if (READ_ONCE(ORCHFS_I(dir)->listed))
		WRITE_ONCE(ORCHFS_I(dir)->listed, 0);
}

/**
 * orchfs_listed_take() - may the caller have what a listing told?
 * @dentry: an entry of a directory
 *
 * Return: true once for each time that the task which asks has listed it, while
 * it has the directory open, and for some seconds.
 */
bool orchfs_listed_take(struct dentry *dentry)
{
	u64 *listed = &ORCHFS_I(d_inode(dentry))->listed;
	u64 mark = READ_ONCE(*listed);
	struct inode *dir;
	bool same;

	if ((u32)mark != task_pid_nr(current) ||
	    (u32)jiffies - (u32)(mark >> 32) > ORCHFS_LISTED_MAX)
		return false;
	rcu_read_lock();
	dir = d_inode_rcu(READ_ONCE(dentry->d_parent));
	same = dir && READ_ONCE(ORCHFS_I(dir)->listed) == mark;
	rcu_read_unlock();
	return same && cmpxchg64(listed, mark, 0) == mark;
}
