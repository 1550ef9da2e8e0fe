// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files: open, release, and what isn't moving bytes. Reads and writes go to
 * the data path; mmap.c and splice.c have the rest.
 */
#include <linux/fadvise.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "path.h"
#include "trace.h"

static struct kmem_cache *orchfs_file_cache;

int __init orchfs_file_init(void)
{
	int ret;

	orchfs_file_cache = KMEM_CACHE(orchfs_file, SLAB_ACCOUNT);
	if (!orchfs_file_cache)
		return -ENOMEM;
	ret = orchfs_local_init();
	if (ret)
		kmem_cache_destroy(orchfs_file_cache);
	return ret;
}

void orchfs_file_exit(void)
{
	orchfs_local_exit();
	kmem_cache_destroy(orchfs_file_cache);
}

/* What the VFS wants to know of the backing file before it is opened. */
static int file_mirror_mode(struct orchfs_file *of)
{
	struct orchfs_layout *lay;
	int ret;

	for (;;) {
		lay = orchfs_gate_layout(of->oi);
		if (!orchfs_layout_blocked(lay))
			break;
		orchfs_layout_put(lay);
		ret = orchfs_gate_wait(of->oi);
		if (ret)
			return ret;
	}
	of->file->f_mode |= orchfs_layout_first(lay)->f_mode &
			    (FMODE_NOWAIT | FMODE_CAN_ODIRECT);
	of->wb_instance = lay->instance;
	of->wb_since = filemap_sample_wb_err(lay->inode->i_mapping);
	orchfs_layout_put(lay);
	return 0;
}

static int file_open(struct inode *inode, struct file *file)
{
	struct orchfs_file *of;
	int ret;

	ret = generic_file_open(inode, file);
	if (ret)
		return ret;
	of = kmem_cache_zalloc(orchfs_file_cache, GFP_KERNEL);
	if (!of)
		return -ENOMEM;
	of->file = file;
	INIT_LIST_HEAD(&of->backings);
	INIT_LIST_HEAD(&of->node);
	mutex_init(&of->lock);
	ret = orchfs_layout_attach(inode, file->f_mode & FMODE_WRITE, true,
				   &of->oi);
	if (ret)
		goto err_free;
	ret = file_mirror_mode(of);
	if (ret)
		goto err_detach;
	file->private_data = of;
	return 0;

err_detach:
	orchfs_layout_detach(inode, of->oi, true);
err_free:
	kmem_cache_free(orchfs_file_cache, of);
	return ret;
}

/**
 * orchfs_open() - ->open of regular files
 * @inode: the inode
 * @file: being opened
 *
 * No upcall where a layout with the rights is held. The backing file is opened
 * by the first I/O.
 *
 * Return: 0 or an error of orchfs_layout_attach().
 */
int orchfs_open(struct inode *inode, struct file *file)
{
	int ret = file_open(inode, file);

	trace_orchfs_inode_op(ORCHFS_TRACE_OPEN, inode, ret);
	return ret;
}

/*
 * Who closes a file that it wrote brings the times over, which others may look
 * at next. One that exits can't be killed any more, and a kernel thread never
 * could: then whoever looks will ask.
 */
static bool file_may_ask(void)
{
	return !(current->flags & (PF_EXITING | PF_KTHREAD)) &&
	       !fatal_signal_pending(current);
}

static int orchfs_release(struct inode *inode, struct file *file)
{
	struct orchfs_file *of = file->private_data;

	orchfs_local_close(of);
	if (READ_ONCE(ORCHFS_I(inode)->seen) == ORCHFS_SEEN_WRITTEN &&
	    file_may_ask())
		orchfs_attr_refresh(inode);
	orchfs_layout_detach(inode, of->oi, true);
	mutex_destroy(&of->lock);
	kmem_cache_free(orchfs_file_cache, of);
	trace_orchfs_inode_op(ORCHFS_TRACE_RELEASE, inode, 0);
	return 0;
}

/**
 * orchfs_drop_privs() - a write takes setuid and file capabilities away
 * @file: of orchfs
 * @nowait: fail instead of asking
 *
 * Costs nothing once the inode is known to have none (S_NOSEC).
 *
 * Return: 0; -EAGAIN; errors of file_remove_privs().
 */
int orchfs_drop_privs(struct file *file, bool nowait)
{
	struct inode *inode = file_inode(file);
	int ret;

	if (likely(IS_NOSEC(inode)))
		return 0;
	if (nowait)
		return -EAGAIN;
	inode_lock(inode);
	ret = file_remove_privs(file);
	inode_unlock(inode);
	return ret;
}

/**
 * orchfs_durable_names() - before synchronous writes and writable mappings
 * @inode: whose names and instance record shall be durable
 * @nowait: fail instead of asking
 *
 * The write itself changes no record, so it doesn't matter that this comes
 * first.
 *
 * Return: 0; -EAGAIN; errors of orchfs_barrier().
 */
int orchfs_durable_names(struct inode *inode, bool nowait)
{
	u64 txn = atomic64_read(&ORCHFS_I(inode)->txn);

	if (txn <= atomic64_read(&orchfs_channel_of(inode)->durable))
		return 0;
	if (nowait)
		return -EAGAIN;
	return orchfs_barrier(inode->i_sb, inode->i_ino, txn);
}

static ssize_t orchfs_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *file = iocb->ki_filp;
	size_t len = iov_iter_count(to);
	loff_t pos = iocb->ki_pos;
	ssize_t ret;

	if (!len)
		return 0;
	ret = orchfs_local_read(file->private_data, iocb, to);
	trace_orchfs_io(ORCHFS_TRACE_READ, file_inode(file), pos, len, ret);
	/* Who submits keeps the file until here, queued or not. */
	if (ret >= 0 || ret == -EIOCBQUEUED)
		file_accessed(file);
	return ret;
}

/*
 * A short write may have come to the end of the space, too: unless nothing is
 * left of what the backing file system has cut at a limit. What was appended
 * stays in one piece, and what goes on by itself isn't added to.
 */
static bool file_out_of_space(struct kiocb *iocb, const struct iov_iter *from,
			      size_t len, ssize_t ret)
{
	if (iocb->ki_flags & IOCB_NOWAIT)
		return false;
	if (ret <= 0 || ret == len)
		return orchfs_no_space(ret);
	return iov_iter_count(from) && !(iocb->ki_flags & IOCB_APPEND) &&
	       is_sync_kiocb(iocb);
}

/* @ret: how it went so far */
static ssize_t file_write_rest(struct kiocb *iocb, struct iov_iter *from,
			       ssize_t ret)
{
	ssize_t more;

	if (ret > 0)
		iov_iter_advance(from, ret);
	more = orchfs_local_write(iocb->ki_filp->private_data, iocb, from);
	if (ret <= 0)
		return more;
	return more < 0 ? ret : ret + more;
}

static ssize_t orchfs_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	bool nowait = iocb->ki_flags & IOCB_NOWAIT;
	struct file *file = iocb->ki_filp;
	size_t len = iov_iter_count(from);
	/* the backing file system may cut it at a limit */
	struct iov_iter all = *from;
	loff_t pos = iocb->ki_pos;
	ssize_t ret;

	if (!len)
		return 0;
	ret = orchfs_drop_privs(file, nowait);
	if (!ret && iocb_is_dsync(iocb))
		ret = orchfs_durable_names(file_inode(file), nowait);
	if (!ret)
		ret = orchfs_local_write(file->private_data, iocb, from);
	if (unlikely(file_out_of_space(iocb, from, len, ret)) &&
	    orchfs_space_returns(file_inode(file)->i_sb)) {
		*from = all;
		ret = file_write_rest(iocb, from, ret);
	}
	trace_orchfs_io(ORCHFS_TRACE_WRITE, file_inode(file), pos, len, ret);
	return ret;
}

static ssize_t file_fsync(struct orchfs_file *of, loff_t start, loff_t end,
			  int datasync)
{
	struct orchfs_io io;
	ssize_t ret;

	ret = orchfs_io_begin(of, 0, &io);
	if (!ret) {
		ret = vfs_fsync_range(io.file, start, end, datasync);
		orchfs_io_end(&io);
	}
	return ret;
}

/* Again, once, where another node has refused it. */
static ssize_t file_fsync_renewed(struct file *file, loff_t start, loff_t end,
				  int datasync)
{
	struct orchfs_file *of = file->private_data;
	ssize_t ret = file_fsync(of, start, end, datasync);

	if (orchfs_renewed(of, file->f_mode & FMODE_WRITE, &ret))
		ret = orchfs_told(file_fsync(of, start, end, datasync));
	return ret;
}

/**
 * orchfs_written_sync() - end of an operation that takes no kiocb
 * @file: of orchfs; the caller has left the gate
 *
 * The backing file knows of O_SYNC and O_DSYNC, but not of a mount with sync.
 *
 * Return: 0 or what vfs_fsync() returns.
 */
int orchfs_written_sync(struct file *file)
{
	if (!IS_SYNC(file_inode(file)))
		return 0;
	return file_fsync_renewed(file, 0, LLONG_MAX, 0);
}

static int orchfs_fsync(struct file *file, loff_t start, loff_t end,
			int datasync)
{
	struct orchfs_file *of = file->private_data;
	struct inode *inode = file_inode(file);
	ssize_t ret;
	int err;

	ret = file_fsync_renewed(file, start, end, datasync);
	err = xchg(&of->wb_err, 0);
	if (!ret)
		ret = err;
	if (!ret)
		ret = orchfs_durable_names(inode, false);
	trace_orchfs_io(ORCHFS_TRACE_FSYNC, inode, start, end - start, ret);
	return ret;
}

/* The backing file's size; the inode's own where no layout is held. */
static loff_t file_size(struct inode *inode)
{
	const struct orchfs_layout *lay;
	loff_t size;

	rcu_read_lock();
	lay = rcu_dereference(ORCHFS_I(inode)->layout);
	size = i_size_read(lay && lay->inode ? lay->inode : inode);
	rcu_read_unlock();
	return size;
}

/* Moves the backing file's position, which nobody uses. */
static loff_t file_seek(struct file *file, loff_t offset, int whence)
{
	struct orchfs_io io;
	loff_t ret;

	ret = orchfs_io_begin(file->private_data, 0, &io);
	if (ret)
		return ret;
	ret = vfs_llseek(io.file, offset, whence);
	orchfs_io_end(&io);
	return ret;
}

static loff_t orchfs_llseek(struct file *file, loff_t offset, int whence)
{
	struct inode *inode = file_inode(file);
	ssize_t err;
	loff_t ret;

	if (whence != SEEK_SET && whence != SEEK_CUR) {
		ret = orchfs_attr_refresh(inode);
		if (ret)
			return ret;
	}
	if (whence != SEEK_HOLE && whence != SEEK_DATA)
		return generic_file_llseek_size(file, offset, whence,
						inode->i_sb->s_maxbytes,
						file_size(inode));
	ret = file_seek(file, offset, whence);
	if (ret < 0) {
		err = ret;
		ret = orchfs_renewed(file->private_data, false, &err) ?
			orchfs_told(file_seek(file, offset, whence)) : err;
	}
	trace_orchfs_io(ORCHFS_TRACE_SEEK, inode, offset, 0, ret);
	if (ret >= 0)
		ret = vfs_setpos(file, ret, inode->i_sb->s_maxbytes);
	return ret;
}

static long file_fallocate(struct file *file, int mode, loff_t offset,
			   loff_t len)
{
	struct orchfs_file *of = file->private_data;
	struct inode *inode = file_inode(file);
	struct orchfs_io io;
	long ret;

	ret = orchfs_io_begin(of, ORCHFS_IO_WRITE, &io);
	if (ret)
		return ret;
	ret = -EOPNOTSUPP;
	/* the VFS knows the limit of ours only */
	if (offset + len > file_inode(io.file)->i_sb->s_maxbytes) {
		ret = -EFBIG;
	} else if (io.file->f_op->fallocate) {
		orchfs_mark_written(of);
		file_start_write(io.file);
		ret = io.file->f_op->fallocate(io.file, mode, offset, len);
		file_end_write(io.file);
	}
	if (!ret)
		orchfs_attr_written(inode, file_inode(io.file));
	else
		/* zeroing may free the range, and then find no space */
		orchfs_contents_changed(inode);
	orchfs_io_end(&io);
	return ret ?: orchfs_written_sync(file);
}

/* A layout that was refused is asked for anew, once. */
static long file_fallocate_renewed(struct file *file, int mode, loff_t offset,
				   loff_t len)
{
	ssize_t ret = file_fallocate(file, mode, offset, len);

	if (orchfs_renewed(file->private_data, true, &ret))
		ret = orchfs_told(file_fallocate(file, mode, offset, len));
	return ret;
}

static long orchfs_fallocate(struct file *file, int mode, loff_t offset,
			     loff_t len)
{
	struct inode *inode = file_inode(file);
	long ret;

	ret = orchfs_drop_privs(file, false);
	if (!ret && (IS_SYNC(inode) || (file->f_flags & O_DSYNC)))
		ret = orchfs_durable_names(inode, false);
	if (!ret)
		ret = file_fallocate_renewed(file, mode, offset, len);
	if (orchfs_no_space(ret) && orchfs_space_returns(inode->i_sb))
		ret = file_fallocate_renewed(file, mode, offset, len);
	trace_orchfs_io(ORCHFS_TRACE_FALLOCATE, inode, offset, len, ret);
	return ret;
}

static int orchfs_fadvise(struct file *file, loff_t offset, loff_t len,
			  int advice)
{
	struct orchfs_io io;
	int ret;

	ret = orchfs_io_begin(file->private_data, 0, &io);
	if (ret)
		return ret;
	ret = vfs_fadvise(io.file, offset, len, advice);
	orchfs_io_end(&io);
	trace_orchfs_io(ORCHFS_TRACE_FADVISE, file_inode(file), offset, len,
			ret);
	return ret;
}

const struct file_operations orchfs_file_fops = {
	.owner			= THIS_MODULE,
	.open			= orchfs_open,
	.release		= orchfs_release,
	.llseek			= orchfs_llseek,
	.read_iter		= orchfs_read_iter,
	.write_iter		= orchfs_write_iter,
	.fsync			= orchfs_fsync,
	.lock			= orchfs_lock,
	.flock			= orchfs_flock,
	.mmap			= orchfs_mmap,
	.get_unmapped_area	= thp_get_unmapped_area,
	.fallocate		= orchfs_fallocate,
	.fadvise		= orchfs_fadvise,
	.splice_read		= orchfs_splice_read,
	.splice_write		= orchfs_splice_write,
	.copy_file_range	= orchfs_copy_file_range,
	.remap_file_range	= orchfs_remap_file_range,
	.fop_flags		= FOP_BUFFER_RASYNC | FOP_BUFFER_WASYNC |
				  FOP_DIO_PARALLEL_WRITE,
};
