// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of remote instances, for mappings that are not written through: of
 * programs, and of what is only read. Reads and writes go past them; a write
 * from here drops what it has made old, and so does the next look at the
 * attributes after a write from elsewhere, at the latest when the file is
 * mapped.
 */
#include <linux/bvec.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/netfs.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "remote.h"

/**
 * struct map_read - read-ahead of at most what one request carries
 * @rio: the request
 * @subreq: of netfs
 */
struct map_read {
	struct orchfs_rio rio;
	struct netfs_io_subrequest *subreq;
};

static void map_failed(struct orchfs_rinode *ri, int err)
{
	if (err == -ENXIO || orchfs_refused(err))
		atomic_inc(&ri->refusals);
}

/* Unlocks pages, and may begin the next request: nothing waits here. */
static void map_read_done(struct orchfs_rio *rio)
{
	struct map_read *read = container_of(rio, struct map_read, rio);
	struct netfs_io_subrequest *subreq = read->subreq;

	if (rio->err) {
		map_failed(ORCHFS_RI(subreq->rreq->inode), rio->err);
		subreq->error = rio->err;
	} else {
		subreq->transferred += rio->done_bytes;
		if (rio->done_bytes < rio->count)
			__set_bit(NETFS_SREQ_HIT_EOF, &subreq->flags);
	}
	kfree(read);
	netfs_read_subreq_terminated(subreq);
}

static int map_prepare_read(struct netfs_io_subrequest *subreq)
{
	struct netfs_io_request *rreq = subreq->rreq;

	rreq->io_streams[0].sreq_max_len =
		orchfs_peer_max_data(ORCHFS_RI(rreq->inode)->peer);
	return 0;
}

static void map_issue_read(struct netfs_io_subrequest *subreq)
{
	struct orchfs_rinode *ri = ORCHFS_RI(subreq->rreq->inode);
	struct map_read *read = kmalloc(sizeof(*read), GFP_KERNEL);

	if (!read) {
		subreq->error = -ENOMEM;
		netfs_read_subreq_terminated(subreq);
		return;
	}
	read->subreq = subreq;
	orchfs_rio_init(ri, &read->rio, ORCHFS_OP_READ);
	read->rio.offset = subreq->start + subreq->transferred;
	read->rio.count = subreq->len - subreq->transferred;
	read->rio.iter = subreq->io_iter;
	read->rio.done = map_read_done;
	orchfs_rio_submit(ri->remote, &read->rio);
}

const struct netfs_request_ops orchfs_remote_netfs_ops = {
	.prepare_read	= map_prepare_read,
	.issue_read	= map_issue_read,
};

static int map_read_part(struct orchfs_rinode *ri, struct folio *folio,
			 size_t at, u32 *done)
{
	size_t len = min_t(size_t, folio_size(folio) - at,
			   orchfs_peer_max_data(ri->peer));
	struct orchfs_rio rio;
	struct bio_vec bv;
	int ret;

	orchfs_rio_init(ri, &rio, ORCHFS_OP_READ);
	rio.offset = folio_pos(folio) + at;
	rio.count = len;
	bvec_set_folio(&bv, folio, len, at);
	iov_iter_bvec(&rio.iter, ITER_DEST, &bv, 1, len);
	ret = orchfs_rio_run(ri, &rio);
	*done = ret ? 0 : rio.done_bytes;
	return ret;
}

/*
 * Only for pages that read-ahead failed on. netfs_read_folio() would wait for
 * the peer also when the caller is killed.
 */
static int map_read_folio(struct file *file, struct folio *folio)
{
	struct orchfs_rinode *ri = ORCHFS_RI(folio->mapping->host);
	size_t at = 0;
	u32 done;
	int ret;

	do {
		ret = map_read_part(ri, folio, at, &done);
		at += done;
	} while (!ret && done && at < folio_size(folio));
	if (ret) {
		map_failed(ri, ret);
	} else {
		folio_zero_segment(folio, at, folio_size(folio));
		folio_mark_uptodate(folio);
	}
	folio_unlock(folio);
	return ret;
}

const struct address_space_operations orchfs_remote_aops = {
	.read_folio	= map_read_folio,
	.readahead	= netfs_readahead,
	.release_folio	= netfs_release_folio,
	.invalidate_folio = netfs_invalidate_folio,
	.dirty_folio	= noop_dirty_folio,
};

/*
 * Something that a second look may find: a good token, where one was refused
 * since there were so many refusals, or a file that grew.
 */
static bool map_try_again(const struct vm_fault *vmf, int refusals)
{
	struct file *file = vmf->vma->vm_file;
	struct inode *inode = file_inode(file);
	struct orchfs_rinode *ri = ORCHFS_RI(inode);
	loff_t end = (loff_t)vmf->pgoff << PAGE_SHIFT;

	if (atomic_read(&ri->refusals) != refusals)
		return !orchfs_remote_renew(file, false);
	if (end < i_size_read(inode))
		return false;
	return !orchfs_remote_ask(inode) && end < i_size_read(inode);
}

/* What fails is read by each who faults on it, in here. */
static vm_fault_t map_fault(struct vm_fault *vmf)
{
	const struct inode *inode = file_inode(vmf->vma->vm_file);
	int refusals = atomic_read(&ORCHFS_RI(inode)->refusals);
	vm_fault_t ret = filemap_fault(vmf);

	if (likely(ret != VM_FAULT_SIGBUS) || !map_try_again(vmf, refusals))
		return ret;
	return filemap_fault(vmf);
}

static const struct vm_operations_struct map_vm_ops = {
	.fault		= map_fault,
	.map_pages	= filemap_map_pages,
};

/**
 * orchfs_remote_mmap() - ->mmap of remote instances
 * @file: a backing file
 * @vma: to be filled in
 *
 * Stores to shared pages have no way to the peer yet.
 *
 * Return: 0; -ENODEV for a shared area that is to be written to; errors of
 * orchfs_remote_ask().
 */
int orchfs_remote_mmap(struct file *file, struct vm_area_struct *vma)
{
	int ret;

	if ((vma->vm_flags & VM_SHARED) && (vma->vm_flags & VM_WRITE))
		return -ENODEV;
	ret = orchfs_remote_ask(file_inode(file));
	if (ret)
		return ret;
	if (vma->vm_flags & VM_SHARED)
		vm_flags_clear(vma, VM_MAYWRITE);
	vma->vm_ops = &map_vm_ops;
	return 0;
}
