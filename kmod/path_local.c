// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local path: a backing file on this node, called with the caller's own
 * iterator and credentials.
 *
 * Each open file opens its own backing file, at its first I/O: read-ahead,
 * O_SYNC and error state belong to one opener. Flags that fcntl can change
 * (O_APPEND, O_DIRECT, O_NONBLOCK) are left out there and come with each kiocb
 * instead.
 *
 * Buffered I/O is synchronous in every file system, or is repeated by its
 * issuer (IOCB_NOWAIT, IOCB_WAITQ), so its kiocb is on the stack. Only
 * asynchronous direct I/O needs one that lives on.
 */
#include <linux/backing-file.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "path.h"
#include "trace.h"

/* Not to be had of a file that another one stands before. */
#define ORCHFS_IOCB_DROP \
	(IOCB_DIO_CALLER_COMP | IOCB_AIO_RW | IOCB_EVENTFD)
#define ORCHFS_OPEN_DROP \
	(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_DIRECTORY | __O_TMPFILE | \
	 O_APPEND | O_DIRECT | O_NONBLOCK | FASYNC)

/**
 * struct orchfs_aio - asynchronous direct I/O under way
 * @iocb: what the backing file system works on
 * @refs: submission and completion
 * @gate: entered once more for the completion
 * @outer: the caller's
 * @work: completes what can't be completed in interrupt context
 * @res: result, for @work
 */
struct orchfs_aio {
	struct kiocb iocb;
	refcount_t refs;
	struct orchfs_gate *gate;
	struct kiocb *outer;
	struct work_struct work;
	long res;
};

static struct kmem_cache *orchfs_aio_cache;
static struct kmem_cache *orchfs_backing_cache;
static struct workqueue_struct *orchfs_aio_wq;

int __init orchfs_local_init(void)
{
	orchfs_aio_cache = KMEM_CACHE(orchfs_aio, SLAB_HWCACHE_ALIGN |
				      SLAB_ACCOUNT);
	if (!orchfs_aio_cache)
		return -ENOMEM;
	orchfs_backing_cache = KMEM_CACHE(orchfs_backing, SLAB_ACCOUNT);
	if (!orchfs_backing_cache)
		goto err_destroy_aio_cache;
	orchfs_aio_wq = alloc_workqueue("orchfs-aio", WQ_MEM_RECLAIM, 0);
	if (!orchfs_aio_wq)
		goto err_destroy_backing_cache;
	return 0;

err_destroy_backing_cache:
	kmem_cache_destroy(orchfs_backing_cache);
err_destroy_aio_cache:
	kmem_cache_destroy(orchfs_aio_cache);
	return -ENOMEM;
}

void orchfs_local_exit(void)
{
	destroy_workqueue(orchfs_aio_wq);
	/* Backings are freed after a grace period. */
	rcu_barrier();
	kmem_cache_destroy(orchfs_backing_cache);
	kmem_cache_destroy(orchfs_aio_cache);
}

static bool backing_suits(const struct file *outer, const struct file *file,
			  const struct orchfs_layout *lay)
{
	bool write = (outer->f_mode & FMODE_WRITE) && lay->writable;

	return file_inode(file) == lay->inode &&
	       write == !!(file->f_mode & FMODE_WRITE);
}

/* A backing file that is open already and good for this layout too. */
static struct orchfs_backing *backing_reuse(struct orchfs_file *of,
					    struct orchfs_layout *lay)
{
	struct orchfs_layout *old = NULL;
	struct orchfs_backing *b;

	spin_lock(&of->oi->files_lock);
	list_for_each_entry(b, &of->backings, node) {
		if (!backing_suits(of->file, b->file, lay))
			continue;
		if (b->layout != lay) {
			old = b->layout;
			WRITE_ONCE(b->layout, orchfs_layout_get(lay));
		}
		rcu_assign_pointer(of->backing, b);
		spin_unlock(&of->oi->files_lock);
		if (old)
			orchfs_layout_put(old);
		return b;
	}
	spin_unlock(&of->oi->files_lock);
	return NULL;
}

/* Another backing file of this opener may have seen fewer errors. */
static void backing_inherit_errors_locked(struct orchfs_file *of,
					  const struct orchfs_layout *lay,
					  struct file *file)
{
	struct inode *inode = file_inode(file);
	const struct orchfs_backing *b;

	lockdep_assert_held(&of->oi->files_lock);

	if (of->wb_instance == lay->instance)
		file->f_wb_err = of->wb_since;
	of->wb_instance = 0;
	list_for_each_entry(b, &of->backings, node)
		if (file_inode(b->file) == inode)
			file->f_wb_err = b->file->f_wb_err;
}

static struct orchfs_backing *backing_open(struct orchfs_file *of,
					   struct orchfs_layout *lay)
{
	unsigned int flags = (of->file->f_flags & ~ORCHFS_OPEN_DROP) |
			     O_NOATIME;
	struct orchfs_backing *b;
	struct file *file;

	if (!lay->writable)
		flags = (flags & ~O_ACCMODE) | O_RDONLY;
	b = kmem_cache_alloc(orchfs_backing_cache, GFP_KERNEL);
	if (!b)
		return ERR_PTR(-ENOMEM);
	file = backing_file_open(of->file, flags,
				 &orchfs_layout_first(lay)->anchor, lay->cred);
	if (IS_ERR(file)) {
		kmem_cache_free(orchfs_backing_cache, b);
		return ERR_CAST(file);
	}
	b->file = file;
	b->layout = orchfs_layout_get(lay);
	spin_lock(&of->oi->files_lock);
	/* Errors that happened since the open are this opener's too. */
	backing_inherit_errors_locked(of, lay, file);
	list_add(&b->node, &of->backings);
	if (list_empty(&of->node))
		list_add(&of->node, &of->oi->files);
	rcu_assign_pointer(of->backing, b);
	spin_unlock(&of->oi->files_lock);
	return b;
}

/* The caller is in a gate with this layout. */
static struct orchfs_backing *backing_get(struct orchfs_file *of,
					  struct orchfs_layout *lay,
					  bool nowait)
{
	struct orchfs_backing *b;

	if (nowait) {
		if (!mutex_trylock(&of->lock))
			return ERR_PTR(-EAGAIN);
	} else if (mutex_lock_killable(&of->lock)) {
		return ERR_PTR(-EINTR);
	}
	b = backing_reuse(of, lay);
	if (!b) {
		b = backing_open(of, lay);
		trace_orchfs_io(ORCHFS_TRACE_REOPEN, file_inode(of->file), 0,
				0, PTR_ERR_OR_ZERO(b));
	}
	mutex_unlock(&of->lock);
	return b;
}

/**
 * orchfs_io_begin_slow() - orchfs_io_begin() where something has to be done
 * @of: as there
 * @how: as there
 * @io: as there
 *
 * Waits where the layout is blocked, asks for the right to write where it was
 * lost, opens a backing file.
 *
 * Return: as there.
 */
int orchfs_io_begin_slow(struct orchfs_file *of, unsigned int how,
			 struct orchfs_io *io)
{
	bool nowait = how & ORCHFS_IO_NOWAIT;
	struct orchfs_layout *lay;
	struct orchfs_backing *b;
	struct orchfs_gate *gate;

	gate = orchfs_layout_pass(file_inode(of->file), of->oi,
				  how & ORCHFS_IO_WRITE, nowait, &lay);
	if (IS_ERR(gate))
		return PTR_ERR(gate);
	b = backing_get(of, lay, nowait);
	orchfs_layout_put(lay);
	if (IS_ERR(b)) {
		orchfs_gate_leave(gate);
		return PTR_ERR(b);
	}
	io->gate = gate;
	io->file = b->file;
	return 0;
}

static void backing_free_rcu(struct rcu_head *rcu)
{
	kmem_cache_free(orchfs_backing_cache,
			container_of(rcu, struct orchfs_backing, rcu));
}

static void backing_free_list(struct list_head *dead)
{
	struct orchfs_backing *b, *next;

	list_for_each_entry_safe(b, next, dead, node) {
		fput(b->file);
		orchfs_layout_put(b->layout);
		/* orchfs_io_begin() may be looking at it. */
		call_rcu(&b->rcu, backing_free_rcu);
	}
}

static void backing_sweep_locked(struct orchfs_file *of,
				 const struct orchfs_layout *lay,
				 struct list_head *dead)
{
	struct orchfs_backing *b, *next;
	int err;

	lockdep_assert_held(&of->oi->files_lock);

	list_for_each_entry_safe(b, next, &of->backings, node) {
		if (backing_suits(of->file, b->file, lay))
			continue;
		if (file_inode(b->file) == lay->inode) {
			/* the next one goes on from there */
			of->wb_instance = lay->instance;
			of->wb_since = READ_ONCE(b->file->f_wb_err);
		} else {
			err = file_check_and_advance_wb_err(b->file);
			if (err)
				of->wb_err = err;
		}
		if (rcu_access_pointer(of->backing) == b)
			RCU_INIT_POINTER(of->backing, NULL);
		list_move(&b->node, dead);
	}
}

/**
 * orchfs_local_sweep() - close backing files that a swap has made useless
 * @oi: drained of all layouts before @lay; the caller holds swap_lock
 * @lay: the current layout
 *
 * Idle files would keep the old instance in use otherwise.
 */
void orchfs_local_sweep(struct orchfs_open_inode *oi,
			const struct orchfs_layout *lay)
{
	struct orchfs_file *of;
	LIST_HEAD(dead);

	lockdep_assert_held(&oi->swap_lock);

	spin_lock(&oi->files_lock);
	list_for_each_entry(of, &oi->files, node)
		backing_sweep_locked(of, lay, &dead);
	spin_unlock(&oi->files_lock);
	backing_free_list(&dead);
}

/**
 * orchfs_local_close() - close the backing files of a file
 * @of: at its release: no I/O is in flight, none can begin
 */
void orchfs_local_close(struct orchfs_file *of)
{
	LIST_HEAD(dead);

	if (list_empty_careful(&of->node))
		return;
	spin_lock(&of->oi->files_lock);
	list_del_init(&of->node);
	list_splice_init(&of->backings, &dead);
	RCU_INIT_POINTER(of->backing, NULL);
	spin_unlock(&of->oi->files_lock);
	backing_free_list(&dead);
}

static void iocb_clone(struct kiocb *to, const struct kiocb *from,
		       struct file *file)
{
	*to = (struct kiocb) {
		.ki_filp = file,
		.ki_pos = from->ki_pos,
		.ki_flags = from->ki_flags & ~ORCHFS_IOCB_DROP,
		.ki_ioprio = from->ki_ioprio,
	};
}

static void aio_put(struct orchfs_aio *aio)
{
	if (refcount_dec_and_test(&aio->refs))
		kmem_cache_free(orchfs_aio_cache, aio);
}

/* The outer file, and with it all that is below, may go with the last call. */
static void aio_finish(struct orchfs_aio *aio, long res)
{
	struct kiocb *outer = aio->outer;

	outer->ki_pos = aio->iocb.ki_pos;
	orchfs_gate_leave(aio->gate);
	aio_put(aio);
	outer->ki_complete(outer, res);
}

static void aio_finish_write(struct orchfs_aio *aio, long res)
{
	kiocb_end_write(&aio->iocb);
	aio_finish(aio, res);
}

/* Task context: i_lock isn't taken with interrupts off. */
static void aio_write_written(struct orchfs_aio *aio, long res)
{
	if (res > 0)
		orchfs_attr_written(file_inode(aio->outer->ki_filp),
				    file_inode(aio->iocb.ki_filp));
	else if (res != -EAGAIN)
		orchfs_contents_changed(file_inode(aio->outer->ki_filp));
}

static void aio_read_done(struct kiocb *iocb, long res)
{
	aio_finish(container_of(iocb, struct orchfs_aio, iocb), res);
}

static void aio_write_work(struct work_struct *work)
{
	struct orchfs_aio *aio = container_of(work, struct orchfs_aio, work);

	aio_write_written(aio, aio->res);
	aio_finish_write(aio, aio->res);
}

static void aio_write_done(struct kiocb *iocb, long res)
{
	struct orchfs_aio *aio = container_of(iocb, struct orchfs_aio, iocb);

	if (!in_task() && res > 0 &&
	    orchfs_attr_stale(file_inode(aio->outer->ki_filp),
			      file_inode(iocb->ki_filp))) {
		aio->res = res;
		INIT_WORK(&aio->work, aio_write_work);
		queue_work(orchfs_aio_wq, &aio->work);
		return;
	}
	if (in_task())
		aio_write_written(aio, res);
	else
		orchfs_contents_changed(file_inode(aio->outer->ki_filp));
	aio_finish_write(aio, res);
}

/* Freeze protection of the backing file system, as for any writer there. */
static bool local_start_write(struct file *file, bool nowait)
{
	struct super_block *sb = file_inode(file)->i_sb;

	if (nowait)
		return sb_start_write_trylock(sb);
	sb_start_write(sb);
	return true;
}

static ssize_t local_aio(struct kiocb *outer, struct iov_iter *iter,
			 struct orchfs_io *io, bool write)
{
	struct orchfs_aio *aio;
	ssize_t ret;

	aio = kmem_cache_alloc(orchfs_aio_cache, GFP_KERNEL);
	if (!aio)
		return -ENOMEM;
	iocb_clone(&aio->iocb, outer, io->file);
	refcount_set(&aio->refs, 2);
	aio->outer = outer;
	aio->gate = io->gate;
	percpu_ref_get(&aio->gate->io);

	if (write) {
		ret = -EAGAIN;
		if (!local_start_write(io->file, outer->ki_flags & IOCB_NOWAIT))
			goto out_leave;
		/* It ends in another task: see kiocb_start_write(). */
		__sb_writers_release(file_inode(io->file)->i_sb,
				     SB_FREEZE_WRITE);
		if (iocb_is_dsync(outer))
			aio->iocb.ki_flags |= IOCB_DSYNC;
		aio->iocb.ki_complete = aio_write_done;
		ret = io->file->f_op->write_iter(&aio->iocb, iter);
	} else {
		aio->iocb.ki_complete = aio_read_done;
		ret = io->file->f_op->read_iter(&aio->iocb, iter);
	}
	if (ret == -EIOCBQUEUED) {
		aio_put(aio);
		return ret;
	}
	if (write) {
		aio_write_written(aio, ret);
		kiocb_end_write(&aio->iocb);
	}
	outer->ki_pos = aio->iocb.ki_pos;
out_leave:
	orchfs_gate_leave(aio->gate);
	kmem_cache_free(orchfs_aio_cache, aio);
	return ret;
}

static bool local_is_aio(const struct kiocb *iocb)
{
	return (iocb->ki_flags & IOCB_DIRECT) && iocb->ki_complete;
}

static bool local_can_direct(const struct kiocb *iocb, const struct file *file)
{
	return !(iocb->ki_flags & IOCB_DIRECT) ||
	       (file->f_mode & FMODE_CAN_ODIRECT);
}

static ssize_t backing_read(struct orchfs_file *of, struct kiocb *iocb,
			    struct iov_iter *to)
{
	struct orchfs_io io;
	struct kiocb kiocb;
	ssize_t ret;

	ret = orchfs_io_begin(of, iocb->ki_flags & IOCB_NOWAIT ?
			      ORCHFS_IO_NOWAIT : 0, &io);
	if (unlikely(ret))
		return ret;
	if (unlikely(!local_can_direct(iocb, io.file))) {
		ret = -EINVAL;
	} else if (local_is_aio(iocb)) {
		ret = local_aio(iocb, to, &io, false);
	} else {
		iocb_clone(&kiocb, iocb, io.file);
		/* If it queues a wait there, the issuer reads again. */
		kiocb.ki_waitq = iocb->ki_waitq;
		ret = io.file->f_op->read_iter(&kiocb, to);
		iocb->ki_pos = kiocb.ki_pos;
	}
	orchfs_io_end(&io);
	return ret;
}

/**
 * orchfs_renewed_slow() - a data server has refused what came through a gate
 * @of: the open file
 * @write: it was a write
 * @ret: what came of it, and on false what to tell the caller
 *
 * The gate has been left.
 *
 * Return: true where there is a fresh layout: try again, once.
 */
bool orchfs_renewed_slow(struct orchfs_file *of, bool write, ssize_t *ret)
{
	struct inode *inode = file_inode(of->file);

	if (!READ_ONCE(ORCHFS_I(inode)->remote))
		return false;
	*ret = orchfs_layout_renew(inode, write);
	if (!*ret)
		return true;
	*ret = orchfs_told(*ret);
	return false;
}

/**
 * orchfs_local_read() - read through the backing file
 * @of: the open file
 * @iocb: of the file of orchfs
 * @to: where to
 *
 * Return: as for ->read_iter.
 */
ssize_t orchfs_local_read(struct orchfs_file *of, struct kiocb *iocb,
			  struct iov_iter *to)
{
	ssize_t ret = backing_read(of, iocb, to);

	if (orchfs_renewed(of, false, &ret))
		ret = orchfs_told(backing_read(of, iocb, to));
	return ret;
}

static ssize_t backing_write(struct orchfs_file *of, struct kiocb *iocb,
			     struct iov_iter *from)
{
	bool nowait = iocb->ki_flags & IOCB_NOWAIT;
	struct orchfs_io io;
	struct kiocb kiocb;
	ssize_t ret;

	ret = orchfs_io_begin(of, ORCHFS_IO_WRITE |
			      (nowait ? ORCHFS_IO_NOWAIT : 0), &io);
	if (unlikely(ret))
		return ret;
	orchfs_mark_written(of);
	if (unlikely(!local_can_direct(iocb, io.file))) {
		ret = -EINVAL;
	} else if (local_is_aio(iocb)) {
		ret = local_aio(iocb, from, &io, true);
	} else if (!local_start_write(io.file, nowait)) {
		ret = -EAGAIN;
	} else {
		iocb_clone(&kiocb, iocb, io.file);
		if (iocb_is_dsync(iocb))
			kiocb.ki_flags |= IOCB_DSYNC;
		ret = io.file->f_op->write_iter(&kiocb, from);
		file_end_write(io.file);
		iocb->ki_pos = kiocb.ki_pos;
		if (ret > 0)
			orchfs_attr_written(file_inode(of->file),
					    file_inode(io.file));
		else if (ret != -EAGAIN)
			/* it may have failed after it had changed pages */
			orchfs_contents_changed(file_inode(of->file));
	}
	orchfs_io_end(&io);
	return ret;
}

/**
 * orchfs_local_write() - write through the backing file
 * @of: the open file
 * @iocb: of the file of orchfs
 * @from: where from
 *
 * Privileges of the file have been dropped, its name is durable if it has to
 * be.
 *
 * Return: as for ->write_iter.
 */
ssize_t orchfs_local_write(struct orchfs_file *of, struct kiocb *iocb,
			   struct iov_iter *from)
{
	ssize_t ret = backing_write(of, iocb, from);

	if (orchfs_renewed(of, true, &ret))
		ret = orchfs_told(backing_write(of, iocb, from));
	return ret;
}
