// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads and writes of remote instances. Each is a request to the peer, straight
 * from and to the caller's pages, so the peer's page cache is the truth and
 * nobody has anything to recall.
 *
 * What fits into one request, which is nearly everything, is done with the
 * request and a few page descriptors on the stack; asynchronous I/O has them in
 * memory of its own, and is always completed by a worker: pages are made dirty
 * there, which takes page locks, and who holds one may wait for the very thread
 * that receives replies.
 */
#include <linux/bvec.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/uio.h>

#include "remote.h"

/* Enough for 4 KiB anywhere in memory */
#define PIECE_BVECS	2

/**
 * struct remote_piece - a request with the pages that it moves
 * @rio: the request
 * @bv: pages of the caller, pinned; @nr of them
 * @nr: 0 where the caller's iterator has pages that stay by themselves
 * @room: of @bv
 * @few: @bv of small pieces
 */
struct remote_piece {
	struct orchfs_rio rio;
	struct bio_vec *bv;
	unsigned int nr;
	unsigned int room;
	struct bio_vec few[PIECE_BVECS];
};

/**
 * struct remote_aio - an asynchronous read or write of one piece
 * @piece: what is moved
 * @iocb: the caller's
 * @again: it was refused once
 * @work: when the peer has answered
 */
struct remote_aio {
	struct remote_piece piece;
	struct kiocb *iocb;
	bool again;
	struct work_struct work;
};

static struct workqueue_struct *remote_wq;

int __init orchfs_remote_io_init(void)
{
	remote_wq = alloc_workqueue("orchfs-remote", WQ_MEM_RECLAIM, 0);
	return remote_wq ? 0 : -ENOMEM;
}

void orchfs_remote_io_exit(void)
{
	destroy_workqueue(remote_wq);
}

/**
 * orchfs_rio_init() - begin a request to a remote instance
 * @ri: the instance
 * @rio: to be filled in
 * @opcode: ORCHFS_OP_*
 */
void orchfs_rio_init(struct orchfs_rinode *ri, struct orchfs_rio *rio,
		     u8 opcode)
{
	memset(rio, 0, sizeof(*rio));
	rio->opcode = opcode;
	rio->deadline = jiffies + READ_ONCE(ri->patience) * HZ;
}

/**
 * orchfs_rio_run() - make a request and wait killably
 * @ri: the instance
 * @rio: the request
 *
 * Return: 0; -EINTR; -EIO when no connection came in time; the peer's error.
 */
int orchfs_rio_run(struct orchfs_rinode *ri, struct orchfs_rio *rio)
{
	return orchfs_rio_error(orchfs_rio_wait(ri->remote, rio));
}

/* --- pieces --- */

static int piece_room(struct remote_piece *p, struct iov_iter *iter, size_t len)
{
	/* Each segment may begin and end within a page. */
	unsigned int pages = iov_iter_npages(iter, len / PAGE_SIZE +
					     2 * iter->nr_segs);

	p->bv = p->few;
	p->room = PIECE_BVECS;
	if (pages <= PIECE_BVECS)
		return 0;
	p->bv = kvmalloc_array(pages, sizeof(*p->bv), GFP_KERNEL);
	if (!p->bv)
		return -ENOMEM;
	p->room = pages;
	return 0;
}

static void piece_add(struct remote_piece *p, struct page **pages, size_t len,
		      size_t off)
{
	while (len) {
		size_t part = min(len, PAGE_SIZE - off);

		bvec_set_page(&p->bv[p->nr++], *pages++, part, off);
		len -= part;
		off = 0;
	}
}

/* Pins at most len bytes of the user's memory; returns how many. */
static ssize_t piece_pin(struct remote_piece *p, struct iov_iter *iter,
			 size_t len)
{
	size_t done = 0, off;
	ssize_t got;

	got = piece_room(p, iter, len);
	if (got)
		return got;
	while (done < len && p->nr < p->room) {
		unsigned int room = p->room - p->nr;
		/* The far half of what is free: what is filled stays behind. */
		struct page **pages = (struct page **)&p->bv[p->room] - room;

		got = iov_iter_extract_pages(iter, &pages, len - done, room, 0,
					     &off);
		if (got <= 0)
			break;
		piece_add(p, pages, got, off);
		done += got;
	}
	return done ?: got ?: -EFAULT;
}

static void piece_unpin(struct remote_piece *p, bool dirty)
{
	unsigned int i;

	for (i = 0; i < p->nr; i++)
		unpin_user_page_range_dirty_lock(p->bv[i].bv_page, 1, dirty);
	if (p->bv != p->few)
		kvfree(p->bv);
}

/*
 * Give the request the next bytes of the iterator, which goes on: its pages
 * themselves where they are the kernel's.
 */
static int piece_begin(struct orchfs_rinode *ri, struct remote_piece *p,
		       u8 opcode, struct iov_iter *iter)
{
	ssize_t len = min_t(size_t, iov_iter_count(iter),
			    orchfs_peer_max_data(ri->peer));

	orchfs_rio_init(ri, &p->rio, opcode);
	p->nr = 0;
	p->bv = p->few;
	if (user_backed_iter(iter)) {
		len = piece_pin(p, iter, len);
		if (len < 0) {
			piece_unpin(p, false);
			return len;
		}
		iov_iter_bvec(&p->rio.iter, iov_iter_rw(iter) == WRITE ?
			      ITER_SOURCE : ITER_DEST, p->bv, p->nr, len);
	} else {
		p->rio.iter = *iter;
		iov_iter_truncate(&p->rio.iter, len);
		iov_iter_advance(iter, len);
	}
	p->rio.count = len;
	return 0;
}

/* Bytes that were moved; the iterator goes back to where they end. */
static size_t piece_end(struct remote_piece *p, struct iov_iter *iter)
{
	size_t done = p->rio.err ? 0 : p->rio.done_bytes;

	iov_iter_revert(iter, p->rio.count - done);
	piece_unpin(p, iov_iter_rw(iter) == READ && done);
	return done;
}

/* --- read --- */

static ssize_t remote_read_sync(struct orchfs_rinode *ri, struct kiocb *iocb,
				struct iov_iter *to)
{
	struct remote_piece p;
	size_t total = 0, done;
	int ret;

	do {
		ret = piece_begin(ri, &p, ORCHFS_OP_READ, to);
		if (ret)
			break;
		p.rio.offset = iocb->ki_pos;
		p.rio.prompt = user_backed_iter(to);
		ret = orchfs_rio_run(ri, &p.rio);
		done = piece_end(&p, to);
		iocb->ki_pos += done;
		total += done;
	} while (!ret && done == p.rio.count && iov_iter_count(to));
	return total ?: ret;
}

/* --- write --- */

/* What was read ahead of these bytes is old now. */
static void remote_drop_pages(struct inode *inode, loff_t pos, loff_t len)
{
	if (unlikely(inode->i_mapping->nrpages))
		invalidate_inode_pages2_range(inode->i_mapping,
					      pos >> PAGE_SHIFT,
					      (pos + len - 1) >> PAGE_SHIFT);
}

static void write_begin(struct kiocb *iocb, struct orchfs_rio *rio)
{
	if (iocb->ki_flags & IOCB_APPEND)
		rio->flags |= ORCHFS_PDU_APPEND;
	else
		rio->offset = iocb->ki_pos;
	if (iocb_is_dsync(iocb))
		rio->flags |= ORCHFS_PDU_FUA;
}

static void write_end(struct orchfs_rinode *ri, struct kiocb *iocb,
		      const struct orchfs_rio *rio)
{
	struct inode *inode = &ri->netfs.inode;
	loff_t pos = iocb->ki_pos;

	if (rio->err) {
		/* nobody knows whether it was carried out */
		if (rio->flags & ORCHFS_PDU_APPEND)
			pos = i_size_read(inode);
		if (!orchfs_refused(orchfs_rio_error(rio->err)))
			remote_drop_pages(inode, pos, rio->count);
		return;
	}
	if (rio->flags & ORCHFS_PDU_APPEND)
		pos = rio->reply_offset;
	iocb->ki_pos = pos + rio->done_bytes;
	orchfs_remote_written(ri, rio->verifier, rio->flags & ORCHFS_PDU_FUA,
			      iocb->ki_pos);
	remote_drop_pages(inode, pos, rio->done_bytes);
}

static ssize_t remote_write_sync(struct orchfs_rinode *ri, struct kiocb *iocb,
				 struct iov_iter *from)
{
	struct remote_piece p;
	size_t total = 0;
	int ret;

	do {
		ret = piece_begin(ri, &p, ORCHFS_OP_WRITE, from);
		if (ret)
			break;
		write_begin(iocb, &p.rio);
		p.rio.prompt = user_backed_iter(from);
		ret = orchfs_rio_run(ri, &p.rio);
		write_end(ri, iocb, &p.rio);
		total += piece_end(&p, from);
	} while (!ret && iov_iter_count(from));
	return total ?: ret;
}

/* --- asynchronous --- */

/*
 * One upcall from within the gate, which is where this I/O is until it ends: if
 * the instance has moved, the swap that the answer brings can't drain, and its
 * deadline passes. For a token that has run out, the answer brings a new one.
 */
static bool aio_try_again(struct remote_aio *aio)
{
	bool write = aio->piece.rio.opcode == ORCHFS_OP_WRITE;
	struct file *file = aio->iocb->ki_filp;
	struct orchfs_rio *rio = &aio->piece.rio;

	if (aio->again || orchfs_remote_renew(file, write))
		return false;
	aio->again = true;
	rio->err = 0;
	rio->deadline = jiffies +
		READ_ONCE(ORCHFS_RI(file_inode(file))->patience) * HZ;
	orchfs_rio_submit(ORCHFS_RI(file_inode(file))->remote, rio);
	return true;
}

static void aio_work(struct work_struct *work)
{
	struct remote_aio *aio = container_of(work, struct remote_aio, work);
	struct orchfs_rio *rio = &aio->piece.rio;
	struct kiocb *iocb = aio->iocb;
	struct orchfs_rinode *ri = ORCHFS_RI(file_inode(iocb->ki_filp));
	long ret = orchfs_rio_error(rio->err);

	if (orchfs_refused(ret)) {
		if (aio_try_again(aio))
			return;
		ret = -EIO;
	}
	if (!ret)
		ret = rio->done_bytes;
	if (rio->opcode == ORCHFS_OP_WRITE)
		write_end(ri, iocb, rio);
	else if (ret > 0)
		iocb->ki_pos += ret;
	piece_unpin(&aio->piece, rio->opcode == ORCHFS_OP_READ && ret > 0);
	kfree(aio);
	iocb->ki_complete(iocb, ret);
}

static void aio_done(struct orchfs_rio *rio)
{
	struct remote_aio *aio = container_of(rio, struct remote_aio,
					      piece.rio);

	queue_work(remote_wq, &aio->work);
}

static ssize_t remote_aio(struct orchfs_rinode *ri, struct kiocb *iocb,
			  struct iov_iter *iter, u8 opcode)
{
	struct remote_aio *aio = kmalloc(sizeof(*aio), GFP_KERNEL);
	int ret;

	if (!aio)
		return -ENOMEM;
	ret = piece_begin(ri, &aio->piece, opcode, iter);
	if (ret) {
		kfree(aio);
		return ret;
	}
	aio->iocb = iocb;
	aio->again = false;
	INIT_WORK(&aio->work, aio_work);
	aio->piece.rio.done = aio_done;
	if (opcode == ORCHFS_OP_WRITE)
		write_begin(iocb, &aio->piece.rio);
	else
		aio->piece.rio.offset = iocb->ki_pos;
	orchfs_rio_submit(ri->remote, &aio->piece.rio);
	return -EIOCBQUEUED;
}

/* What takes several requests keeps its submitter. */
static bool remote_is_aio(const struct orchfs_rinode *ri, struct kiocb *iocb,
			  const struct iov_iter *iter)
{
	return !is_sync_kiocb(iocb) &&
	       iov_iter_count(iter) <= orchfs_peer_max_data(ri->peer);
}

/* --- operations of files --- */

static ssize_t remote_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	struct orchfs_rinode *ri = ORCHFS_RI(inode);
	loff_t max = inode->i_sb->s_maxbytes;

	if (!iov_iter_count(to) || iocb->ki_pos >= max)
		return 0;
	if (iocb->ki_flags & IOCB_NOWAIT)
		return -EAGAIN;
	iov_iter_truncate(to, max - iocb->ki_pos);
	if (remote_is_aio(ri, iocb, to))
		return remote_aio(ri, iocb, to, ORCHFS_OP_READ);
	return remote_read_sync(ri, iocb, to);
}

/*
 * The limit of a file's size that a process has counts from the end that is
 * known here, where it appends.
 */
static ssize_t remote_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct orchfs_rinode *ri = ORCHFS_RI(file_inode(iocb->ki_filp));
	ssize_t ret;

	if (iocb->ki_flags & IOCB_NOWAIT)
		return -EAGAIN;
	ret = generic_write_checks(iocb, from);
	if (ret <= 0)
		return ret;
	if (remote_is_aio(ri, iocb, from))
		return remote_aio(ri, iocb, from, ORCHFS_OP_WRITE);
	return remote_write_sync(ri, iocb, from);
}

static int remote_fsync(struct file *file, loff_t start, loff_t end,
			int datasync)
{
	int ret = orchfs_remote_commit(file_inode(file));
	int err;

	/* It is asked again, and what is noted is told then. */
	if (orchfs_refused(ret) || ret == -EINTR)
		return ret;
	err = file_check_and_advance_wb_err(file);
	return ret ?: err;
}

/* -EOPNOTSUPP: the peer can't tell, so all is data. */
static loff_t remote_seek(struct orchfs_rinode *ri, loff_t offset, bool hole)
{
	struct orchfs_rio rio;
	int ret;

	if (offset < 0)
		return -ENXIO;
	orchfs_rio_init(ri, &rio, ORCHFS_OP_SEEK);
	rio.offset = offset;
	rio.mode = hole ? ORCHFS_SEEK_HOLE : ORCHFS_SEEK_DATA;
	ret = orchfs_rio_run(ri, &rio);
	if (ret == -ENODATA)
		return -ENXIO;
	if (!ret && rio.reply_offset < offset)
		return -EIO;
	return ret ?: rio.reply_offset;
}

static loff_t remote_llseek(struct file *file, loff_t offset, int whence)
{
	struct inode *inode = file_inode(file);
	loff_t ret;

	if (whence == SEEK_DATA || whence == SEEK_HOLE) {
		ret = remote_seek(ORCHFS_RI(inode), offset,
				  whence == SEEK_HOLE);
		if (ret >= 0)
			return vfs_setpos(file, ret, inode->i_sb->s_maxbytes);
		if (ret != -EOPNOTSUPP)
			return ret;
	}
	ret = orchfs_remote_ask(inode);

	if (ret)
		return ret;
	return generic_file_llseek_size(file, offset, whence,
					inode->i_sb->s_maxbytes,
					i_size_read(inode));
}

/*
 * Only what may be done twice: a lost answer tells nothing. The limit of a
 * file's size is the caller's, who is here.
 */
static long remote_fallocate(struct file *file, int mode, loff_t offset,
			     loff_t len)
{
	struct inode *inode = file_inode(file);
	struct orchfs_rinode *ri = ORCHFS_RI(inode);
	bool keep = mode & FALLOC_FL_KEEP_SIZE;
	struct orchfs_rio rio;
	loff_t size;
	int ret = 0;

	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE |
		     FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	if (!keep && offset + len > i_size_read(inode))
		ret = orchfs_remote_ask(inode);
	size = i_size_read(inode);
	if (!ret && !keep)
		ret = inode_newsize_ok(inode, max(offset + len, size));
	if (ret)
		return ret;
	orchfs_rio_init(ri, &rio, ORCHFS_OP_ALLOCATE);
	rio.offset = offset;
	rio.length = len;
	rio.mode = mode;
	ret = orchfs_rio_run(ri, &rio);
	if (!ret)
		orchfs_remote_written(ri, rio.verifier, false,
				      keep ? 0 : offset + len);
	/* of a last page, what is behind its end; it may have failed half-way */
	if (!orchfs_refused(ret))
		remote_drop_pages(inode, min(offset, size),
				  offset + len - min(offset, size));
	if (!ret && file->f_flags & O_DSYNC)
		ret = remote_fsync(file, 0, LLONG_MAX, 0);
	return ret;
}

static int remote_open(struct inode *inode, struct file *file)
{
	file->f_mode |= FMODE_CAN_ODIRECT;
	return 0;
}

const struct file_operations orchfs_remote_fops = {
	.owner		= THIS_MODULE,
	.open		= remote_open,
	.llseek		= remote_llseek,
	.read_iter	= remote_read_iter,
	.write_iter	= remote_write_iter,
	.fsync		= remote_fsync,
	.fallocate	= remote_fallocate,
	.mmap		= orchfs_remote_mmap,
	.splice_read	= copy_splice_read,
	.splice_write	= iter_file_splice_write,
};
