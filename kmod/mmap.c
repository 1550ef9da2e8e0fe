// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings are mappings of the backing file: a fault costs what it costs there
 * and never comes here. They hold the backing file, which holds the dentry of
 * orchfs; the layout stays as long as the backing file's pages are mapped.
 */
#include <linux/backing-file.h>
#include <linux/cred.h>
#include <linux/mm.h>

#include "path.h"
#include "trace.h"

static void mmap_accessed(struct file *file)
{
	file_accessed(file);
}

/*
 * An area that is mapped stays with its instance. While a swap may still be
 * abandoned it isn't known which one that is.
 */
static int mmap_begin(struct orchfs_file *of, unsigned int how,
		      struct orchfs_io *io)
{
	int ret;

	for (;;) {
		ret = orchfs_io_begin(of, how, io);
		if (ret || !READ_ONCE(io->gate->unsettled))
			return ret;
		orchfs_io_end(io);
		ret = orchfs_gate_wait_settled(of->oi);
		if (ret)
			return ret;
	}
}

/**
 * orchfs_mmap() - ->mmap of regular files
 * @file: of orchfs
 * @vma: to be filled in; mmap_lock is held for writing
 *
 * What is written through a mapping is seen by nobody on its way, so the names
 * are made durable first. That may cost one upcall.
 *
 * Return: 0; -EINTR; errors of orchfs_barrier() and of the backing file.
 */
int orchfs_mmap(struct file *file, struct vm_area_struct *vma)
{
	bool write = (vma->vm_flags & VM_SHARED) &&
		     (vma->vm_flags & VM_MAYWRITE);
	struct orchfs_file *of = file->private_data;
	struct inode *inode = file_inode(file);
	size_t len = vma->vm_end - vma->vm_start;
	loff_t pos = (loff_t)vma->vm_pgoff << PAGE_SHIFT;
	struct backing_file_ctx ctx = {
		.cred = current_cred(),
		.user_file = file,
		.accessed = mmap_accessed,
	};
	struct orchfs_io io;
	int ret = 0;

	if (write)
		ret = orchfs_durable_names(inode, false);
	if (!ret)
		ret = mmap_begin(of, write ? ORCHFS_IO_WRITE : 0, &io);
	if (ret)
		return ret;
	if (write) {
		orchfs_mark_written(of);
		orchfs_mapped(inode);
	}
	ret = backing_file_mmap(io.file, vma, &ctx);
	orchfs_io_end(&io);
	trace_orchfs_io(ORCHFS_TRACE_MMAP, inode, pos, len, ret);
	return ret;
}
