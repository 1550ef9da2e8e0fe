/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The data path: to a backing file, which may be on this node or, by
 * remote_fs.c, on another. It takes every layout that layout_decode.c lets
 * through. Here are an open file, and an I/O that has passed the gate.
 */
#ifndef _ORCHFS_PATH_H
#define _ORCHFS_PATH_H

#include <linux/fs.h>

#include "layout.h"
#include "remote.h"

/**
 * struct orchfs_backing - a backing file of one open file
 * @file: opened from the anchor of a layout
 * @layout: counted; the last one that @file was good for. I/O that passes the
 *	gate with the same one may use @file (files_lock; read under RCU)
 * @node: on orchfs_file.backings (files_lock)
 * @rcu: orchfs_io_begin() may be looking at it
 */
struct orchfs_backing {
	struct file *file;
	struct orchfs_layout *layout;
	struct list_head node;
	struct rcu_head rcu;
};

/**
 * struct orchfs_file - an open file
 * @oi: the inode's; this file is a user of it
 * @file: the file of orchfs
 * @backing: the one used last, or NULL: nothing was read or written yet
 * @backings: all of them; more than one only after swaps (oi->files_lock)
 * @node: on orchfs_open_inode.files once there is a backing file
 * @lock: opening backing files
 * @wb_since: errors of the instance @wb_instance up to here were there at open
 * @wb_instance: its number; 0: none
 * @wb_err: error of a backing file that was closed after a swap
 */
struct orchfs_file {
	struct orchfs_open_inode *oi;
	struct file *file;
	struct orchfs_backing __rcu *backing;
	struct list_head backings;
	struct list_head node;
	struct mutex lock;
	errseq_t wb_since;
	u64 wb_instance;
	int wb_err;
};

/**
 * struct orchfs_io - an I/O that is in a gate
 * @gate: to be left
 * @file: the backing file, good until then
 */
struct orchfs_io {
	struct orchfs_gate *gate;
	struct file *file;
};

#define ORCHFS_IO_WRITE		(1U << 0)
#define ORCHFS_IO_NOWAIT	(1U << 1)

int orchfs_io_begin_slow(struct orchfs_file *of, unsigned int how,
			 struct orchfs_io *io);

/**
 * orchfs_io_begin() - pass the gate and find the backing file
 * @of: the open file
 * @how: ORCHFS_IO_*
 * @io: filled in on success, to be ended with orchfs_io_end()
 *
 * No upcall where the layout grants what the file was opened for. The backing
 * file is kept by the gate: it is closed only after the gate has drained, or
 * with the file itself.
 *
 * Return: 0; -EAGAIN with ORCHFS_IO_NOWAIT; -EINTR; errors of opening the
 * backing file and of orchfs_layout_want().
 */
static inline int orchfs_io_begin(struct orchfs_file *of, unsigned int how,
				  struct orchfs_io *io)
{
	const struct orchfs_backing *b;
	struct orchfs_gate *gate;

	rcu_read_lock();
	gate = rcu_dereference(of->oi->gate);
	if (unlikely(!percpu_ref_tryget_live_rcu(&gate->io)))
		goto slow_unlock;
	b = rcu_dereference(of->backing);
	if (unlikely(!b ||
		     READ_ONCE(b->layout) != rcu_access_pointer(gate->layout)))
		goto slow_leave;
	if (unlikely((how & ORCHFS_IO_WRITE) &&
		     !(b->file->f_mode & FMODE_WRITE)))
		goto slow_leave;
	io->gate = gate;
	io->file = b->file;
	rcu_read_unlock();
	return 0;

slow_leave:
	orchfs_gate_leave(gate);
slow_unlock:
	rcu_read_unlock();
	return orchfs_io_begin_slow(of, how, io);
}

static inline void orchfs_io_end(struct orchfs_io *io)
{
	orchfs_gate_leave(io->gate);
}

/* path_local.c */
int orchfs_local_init(void);
void orchfs_local_exit(void);
ssize_t orchfs_local_read(struct orchfs_file *of, struct kiocb *iocb,
			  struct iov_iter *to);
ssize_t orchfs_local_write(struct orchfs_file *of, struct kiocb *iocb,
			   struct iov_iter *from);
void orchfs_local_sweep(struct orchfs_open_inode *oi,
			const struct orchfs_layout *lay);
void orchfs_local_close(struct orchfs_file *of);
bool orchfs_renewed_slow(struct orchfs_file *of, bool write, ssize_t *ret);

static inline bool orchfs_renewed(struct orchfs_file *of, bool write,
				  ssize_t *ret)
{
	return orchfs_refused(*ret) && orchfs_renewed_slow(of, write, ret);
}

/* file.c */
int orchfs_drop_privs(struct file *file, bool nowait);
int orchfs_written_sync(struct file *file);

static inline void orchfs_mark_written(struct orchfs_file *of)
{
	if (unlikely(!READ_ONCE(of->oi->written)))
		WRITE_ONCE(of->oi->written, true);
}

/* mmap.c, splice.c */
int orchfs_mmap(struct file *file, struct vm_area_struct *vma);
ssize_t orchfs_splice_read(struct file *in, loff_t *ppos,
			   struct pipe_inode_info *pipe, size_t len,
			   unsigned int flags);
ssize_t orchfs_splice_write(struct pipe_inode_info *pipe, struct file *out,
			    loff_t *ppos, size_t len, unsigned int flags);
ssize_t orchfs_copy_file_range(struct file *in, loff_t pos_in,
			       struct file *out, loff_t pos_out, size_t len,
			       unsigned int flags);
loff_t orchfs_remap_file_range(struct file *in, loff_t pos_in,
			       struct file *out, loff_t pos_out, loff_t len,
			       unsigned int flags);

#endif
