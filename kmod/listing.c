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
