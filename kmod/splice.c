// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bytes that move between files inside the kernel: splice, copy_file_range,
 * clone and deduplicate.
 */
#include <linux/cred.h>
#include <linux/pipe_fs_i.h>
#include <linux/splice.h>

#include "path.h"
#include "trace.h"

static ssize_t splice_read(struct file *in, loff_t *ppos,
			   struct pipe_inode_info *pipe, size_t len,
			   unsigned int flags)
{
	struct orchfs_io io;
	ssize_t ret;

	ret = orchfs_io_begin(in->private_data, 0, &io);
	if (ret)
		return ret;
	ret = -EINVAL;
	/* a volume without page cache has no pages to give */
	if (IS_DAX(file_inode(io.file)))
		ret = copy_splice_read(io.file, ppos, pipe, len, flags);
	else if (io.file->f_op->splice_read)
		ret = io.file->f_op->splice_read(io.file, ppos, pipe, len,
						 flags);
	orchfs_io_end(&io);
	return ret;
}

/**
 * orchfs_splice_read() - ->splice_read of regular files
 * @in: of orchfs
 * @ppos: where from
 * @pipe: locked by the caller
 * @len: bytes
 * @flags: SPLICE_F_*
 *
 * The pipe gets the backing file's pages, or copies on a DAX volume and of a
 * remote file.
 *
 * Return: bytes or an error of the backing file.
 */
ssize_t orchfs_splice_read(struct file *in, loff_t *ppos,
			   struct pipe_inode_info *pipe, size_t len,
			   unsigned int flags)
{
	loff_t pos = *ppos;
	ssize_t ret;

	ret = splice_read(in, ppos, pipe, len, flags);
	if (orchfs_renewed(in->private_data, false, &ret))
		ret = orchfs_told(splice_read(in, ppos, pipe, len, flags));
	file_accessed(in);
	trace_orchfs_io(ORCHFS_TRACE_SPLICE_READ, file_inode(in), pos, len,
			ret);
	return ret;
}

static int splice_prepare_write(struct file *out)
{
	struct inode *inode = file_inode(out);
	int ret;

	ret = orchfs_drop_privs(out, false);
	if (!ret && (IS_SYNC(inode) || (out->f_flags & O_DSYNC)))
		ret = orchfs_durable_names(inode, false);
	return ret;
}

static void splice_written(struct file *out, struct orchfs_io *io, ssize_t ret)
{
	if (ret > 0)
		orchfs_attr_written(file_inode(out), file_inode(io->file));
}

/* Out of the gate */
static ssize_t splice_sync(struct file *out, ssize_t ret)
{
	int err = ret > 0 ? orchfs_written_sync(out) : 0;

	return err ?: ret;
}

static bool splice_pipe_ready(const struct pipe_inode_info *pipe)
{
	return !pipe_empty(READ_ONCE(pipe->head), READ_ONCE(pipe->tail)) ||
	       !READ_ONCE(pipe->writers);
}

/*
 * Wait for something to write, or the end. In a gate nobody may wait for what
 * a user may never do.
 */
static int splice_wait_pipe(struct pipe_inode_info *pipe, unsigned int flags)
{
	if (splice_pipe_ready(pipe) || (flags & SPLICE_F_NONBLOCK))
		return 0;
	return wait_event_interruptible(pipe->rd_wait,
					splice_pipe_ready(pipe));
}

static ssize_t splice_write_ready(struct pipe_inode_info *pipe,
				  struct file *out, loff_t *ppos, size_t len,
				  unsigned int flags)
{
	struct orchfs_file *of = out->private_data;
	struct orchfs_io io;
	ssize_t ret;

	ret = orchfs_io_begin(of, ORCHFS_IO_WRITE, &io);
	if (ret)
		return ret;
	orchfs_mark_written(of);
	ret = -EINVAL;
	if (io.file->f_op->splice_write) {
		file_start_write(io.file);
		ret = io.file->f_op->splice_write(pipe, io.file, ppos, len,
						  flags | SPLICE_F_NONBLOCK);
		file_end_write(io.file);
	}
	splice_written(out, &io, ret);
	orchfs_io_end(&io);
	return splice_sync(out, ret);
}

/**
 * orchfs_splice_write() - ->splice_write of regular files
 * @pipe: not locked
 * @out: of orchfs
 * @ppos: where to
 * @len: bytes
 * @flags: SPLICE_F_*
 *
 * Calls the backing file's own: it would take the pipe's lock before the
 * backing file system's freeze protection if it were called for @out.
 *
 * Return: bytes or an error of the backing file.
 */
ssize_t orchfs_splice_write(struct pipe_inode_info *pipe, struct file *out,
			    loff_t *ppos, size_t len, unsigned int flags)
{
	bool again = true, renew = true;
	loff_t pos = *ppos;
	ssize_t ret;

	ret = splice_prepare_write(out);
	while (!ret) {
		ret = splice_wait_pipe(pipe, flags);
		if (ret)
			break;
		ret = splice_write_ready(pipe, out, ppos, len, flags);
		if (orchfs_no_space(ret) && again &&
		    orchfs_space_returns(file_inode(out)->i_sb)) {
			again = false;
			ret = 0;
			continue;
		}
		if (renew && orchfs_renewed(out->private_data, true, &ret)) {
			renew = false;
			continue;
		}
		/* Somebody else emptied the pipe first. */
		if (ret != -EAGAIN || (flags & SPLICE_F_NONBLOCK))
			break;
		ret = 0;
	}
	if (!renew)
		ret = orchfs_told(ret);
	trace_orchfs_io(ORCHFS_TRACE_SPLICE_WRITE, file_inode(out), pos, len,
			ret);
	return ret;
}

/*
 * Enter two gates. Nobody waits for one while he is in the other, or a swap of
 * the other would wait for him.
 */
static int splice_begin_pair(struct file *in, struct file *out, bool write,
			     struct orchfs_io *io_in, struct orchfs_io *io_out)
{
	int ret;

	for (;;) {
		ret = orchfs_io_begin(out->private_data,
				      write ? ORCHFS_IO_WRITE : 0, io_out);
		if (ret)
			return ret;
		ret = orchfs_io_begin(in->private_data, ORCHFS_IO_NOWAIT,
				      io_in);
		if (!ret)
			return 0;
		orchfs_io_end(io_out);
		if (ret != -EAGAIN)
			return ret;
		ret = orchfs_io_begin(in->private_data, 0, io_in);
		if (ret)
			return ret;
		orchfs_io_end(io_in);
	}
}

static void splice_end_pair(struct orchfs_io *io_in, struct orchfs_io *io_out)
{
	orchfs_io_end(io_in);
	orchfs_io_end(io_out);
}

/*
 * Between backing files the security modules judge the daemon, who opened them:
 * the caller was judged for @in and @out. But space and quota are the caller's.
 */
static struct cred *splice_cred(const struct file *backing)
{
	const struct cred *caller = current_cred();
	const struct cred *old = override_creds(backing->f_cred);
	struct cred *cred = prepare_creds();

	revert_creds(old);
	if (!cred)
		return NULL;
	cred->fsuid = caller->fsuid;
	cred->fsgid = caller->fsgid;
	set_groups(cred, caller->group_info);
	if (caller->user_ns == cred->user_ns)
		cred->cap_effective = caller->cap_effective;
	else
		cap_clear(cred->cap_effective);
	return cred;
}

static ssize_t splice_copy_as(const struct cred *cred, struct file *in,
			      loff_t pos_in, struct file *out, loff_t pos_out,
			      size_t len, unsigned int flags)
{
	const struct cred *old = override_creds(cred);
	ssize_t ret;

	ret = vfs_copy_file_range(in, pos_in, out, pos_out, len, flags);
	revert_creds(old);
	return ret;
}

static ssize_t splice_copy(struct file *in, loff_t pos_in, struct file *out,
			   loff_t pos_out, size_t len, unsigned int flags)
{
	struct orchfs_io io_in, io_out;
	struct cred *cred;
	ssize_t ret;

	ret = splice_begin_pair(in, out, true, &io_in, &io_out);
	if (ret)
		return ret;
	orchfs_mark_written(out->private_data);
	if (file_inode(io_in.file)->i_sb != file_inode(io_out.file)->i_sb)
		flags |= COPY_FILE_SPLICE;
	ret = -ENOMEM;
	cred = splice_cred(io_out.file);
	if (cred) {
		ret = splice_copy_as(cred, io_in.file, pos_in, io_out.file,
				     pos_out, len, flags);
		put_cred(cred);
	}
	splice_written(out, &io_out, ret);
	splice_end_pair(&io_in, &io_out);
	file_accessed(in);
	return splice_sync(out, ret);
}

/* orchfs_renewed() of two: it isn't known which of them was refused. */
static bool splice_renewed(struct file *in, struct file *out, ssize_t *ret)
{
	ssize_t ret_in = *ret, ret_out = *ret;
	bool renewed = orchfs_renewed(in->private_data, false, &ret_in);

	renewed |= orchfs_renewed(out->private_data, true, &ret_out);
	*ret = ret_in == *ret ? ret_out : ret_in;
	return renewed;
}

/**
 * orchfs_copy_file_range() - ->copy_file_range of regular files
 * @in: of orchfs
 * @pos_in: where from
 * @out: of orchfs, not always the same mount
 * @pos_out: where to
 * @len: bytes
 * @flags: 0
 *
 * Backing file to backing file.
 *
 * Return: bytes, or an error.
 */
ssize_t orchfs_copy_file_range(struct file *in, loff_t pos_in,
			       struct file *out, loff_t pos_out, size_t len,
			       unsigned int flags)
{
	ssize_t ret;

	ret = splice_prepare_write(out);
	/* The end of a remote file is looked at before it is read. */
	if (!ret)
		ret = orchfs_attr_refresh(file_inode(in));
	if (!ret)
		ret = splice_copy(in, pos_in, out, pos_out, len, flags);
	if (splice_renewed(in, out, &ret))
		ret = splice_copy(in, pos_in, out, pos_out, len, flags);
	if (orchfs_no_space(ret) && orchfs_space_returns(file_inode(out)->i_sb))
		ret = splice_copy(in, pos_in, out, pos_out, len, flags);
	ret = orchfs_told(ret);
	trace_orchfs_io(ORCHFS_TRACE_COPY, file_inode(out), pos_out, len, ret);
	return ret;
}

/* Needs no space; whether the caller may was asked for @in and @out. */
static loff_t splice_dedupe(struct orchfs_io *io_in, loff_t pos_in,
			    struct orchfs_io *io_out, loff_t pos_out,
			    loff_t len, unsigned int flags)
{
	const struct cred *old = override_creds(io_out->file->f_cred);
	loff_t ret;

	ret = vfs_dedupe_file_range_one(io_in->file, pos_in, io_out->file,
					pos_out, len, flags);
	revert_creds(old);
	return ret;
}

static loff_t splice_clone(struct orchfs_io *io_in, loff_t pos_in,
			   struct orchfs_io *io_out, loff_t pos_out,
			   loff_t len, unsigned int flags)
{
	struct cred *cred = splice_cred(io_out->file);
	const struct cred *old;
	loff_t ret;

	if (!cred)
		return -ENOMEM;
	old = override_creds(cred);
	ret = vfs_clone_file_range(io_in->file, pos_in, io_out->file, pos_out,
				   len, flags);
	revert_creds(old);
	put_cred(cred);
	return ret;
}

/**
 * orchfs_remap_file_range() - ->remap_file_range of regular files
 * @in: of orchfs
 * @pos_in: where from
 * @out: of orchfs
 * @pos_out: where to
 * @len: bytes, 0 for all to the end
 * @flags: REMAP_FILE_*
 *
 * Return: bytes; -EPERM for an immutable @out; -EXDEV when the two lie on
 * different file systems; -EOPNOTSUPP when theirs can't.
 */
loff_t orchfs_remap_file_range(struct file *in, loff_t pos_in,
			       struct file *out, loff_t pos_out, loff_t len,
			       unsigned int flags)
{
	bool dedup = flags & REMAP_FILE_DEDUP;
	struct orchfs_io io_in, io_out;
	loff_t ret = 0;

	if (flags & ~(REMAP_FILE_DEDUP | REMAP_FILE_ADVISORY))
		return -EINVAL;
	/* open for writing since before; the backing file isn't immutable */
	if (IS_IMMUTABLE(file_inode(out)))
		return -EPERM;
	if (!dedup)
		ret = splice_prepare_write(out);
	if (!ret)
		ret = splice_begin_pair(in, out, out->f_mode & FMODE_WRITE,
					&io_in, &io_out);
	if (ret)
		return ret;
	if (dedup) {
		ret = splice_dedupe(&io_in, pos_in, &io_out, pos_out, len,
				    flags);
	} else {
		orchfs_mark_written(out->private_data);
		ret = splice_clone(&io_in, pos_in, &io_out, pos_out, len,
				   flags);
		splice_written(out, &io_out, ret);
	}
	splice_end_pair(&io_in, &io_out);
	if (!dedup)
		ret = splice_sync(out, ret);
	trace_orchfs_io(ORCHFS_TRACE_CLONE, file_inode(out), pos_out, len, ret);
	return ret;
}
