// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings are mappings of the backing file: a fault costs what it costs there
 * and comes here only to see whether orchfs is frozen, where a page becomes
 * writable. They hold the backing file, which holds the dentry of
 * orchfs; the layout stays as long as the backing file's pages are mapped.
 */
#include <linux/backing-file.h>
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "path.h"
#include "trace.h"

/**
 * orchfs_layout_mapped() - is its instance mapped?
 * @lay: any layout
 *
 * An area that is being extended is out of the tree for a moment, but a shared
 * one that may be written stays counted: see orchfs_layout_mapped_sure().
 */
bool orchfs_layout_mapped(const struct orchfs_layout *lay)
{
	return lay->inode && (mapping_mapped(lay->inode->i_mapping) ||
			      mapping_writably_mapped(lay->inode->i_mapping));
}

/**
 * orchfs_layout_mapped_sure() - the same, of areas that change their size too
 * @lay: any layout
 *
 * May sleep. Whoever takes an area out for a moment holds the lock meanwhile.
 */
bool orchfs_layout_mapped_sure(const struct orchfs_layout *lay)
{
	bool mapped;

	if (!lay->inode)
		return false;
	i_mmap_lock_read(lay->inode->i_mapping);
	mapped = orchfs_layout_mapped(lay);
	i_mmap_unlock_read(lay->inode->i_mapping);
	return mapped;
}

/**
 * struct orchfs_vm_ops - operations of an area that may be written to
 * @link: orchfs_sb.vm_ops; entries are added under its lock and stay
 * @sb: whose freezing holds stores back
 * @lower: operations of the backing file system
 * @ops: the same, with those that make a page writable replaced
 *
 * One for each backing file system of a superblock. Areas keep the superblock,
 * by the path of their backing file.
 */
struct orchfs_vm_ops {
	struct list_head link;
	struct super_block *sb;
	const struct vm_operations_struct *lower;
	struct vm_operations_struct ops;
};

static const struct orchfs_vm_ops *vm_ops_of(const struct vm_fault *vmf)
{
	return container_of(vmf->vma->vm_ops, struct orchfs_vm_ops, ops);
}

static vm_fault_t lower_page_mkwrite(const struct orchfs_vm_ops *own,
				     struct vm_fault *vmf)
{
	vm_fault_t ret;

	sb_start_pagefault(own->sb);
	ret = own->lower->page_mkwrite(vmf);
	sb_end_pagefault(own->sb);
	return ret;
}

/* Of SIGBUS nobody tells the reason, which may be want of space. */
static vm_fault_t orchfs_page_mkwrite(struct vm_fault *vmf)
{
	const struct orchfs_vm_ops *own = vm_ops_of(vmf);
	vm_fault_t ret = lower_page_mkwrite(own, vmf);

	if (unlikely(ret & VM_FAULT_SIGBUS) && orchfs_space_returns(own->sb))
		ret = lower_page_mkwrite(own, vmf);
	return ret;
}

static vm_fault_t orchfs_pfn_mkwrite(struct vm_fault *vmf)
{
	const struct orchfs_vm_ops *own = vm_ops_of(vmf);
	vm_fault_t ret;

	sb_start_pagefault(own->sb);
	ret = own->lower->pfn_mkwrite(vmf);
	sb_end_pagefault(own->sb);
	return ret;
}

static const struct vm_operations_struct *
vm_ops_find(const struct orchfs_sb *sbi,
	    const struct vm_operations_struct *lower)
{
	const struct orchfs_vm_ops *own;

	list_for_each_entry_rcu(own, &sbi->vm_ops, link,
				lockdep_is_held(&sbi->lock))
		if (own->lower == lower)
			return &own->ops;
	return NULL;
}

static struct orchfs_vm_ops *vm_ops_new(struct super_block *sb,
					const struct vm_operations_struct *lower)
{
	struct orchfs_vm_ops *own = kmalloc(sizeof(*own), GFP_KERNEL);

	if (!own)
		return NULL;
	own->sb = sb;
	own->lower = lower;
	own->ops = *lower;
	if (lower->page_mkwrite)
		own->ops.page_mkwrite = orchfs_page_mkwrite;
	if (lower->pfn_mkwrite)
		own->ops.pfn_mkwrite = orchfs_pfn_mkwrite;
	return own;
}

/* Stores to the area wait while orchfs is frozen, which its volume needn't be. */
static int vm_ops_wrap(struct super_block *sb, struct vm_area_struct *vma)
{
	struct orchfs_sb *sbi = ORCHFS_SB(sb);
	const struct vm_operations_struct *ops;
	struct orchfs_vm_ops *own = NULL;

	rcu_read_lock();
	ops = vm_ops_find(sbi, vma->vm_ops);
	rcu_read_unlock();
	if (!ops) {
		own = vm_ops_new(sb, vma->vm_ops);
		if (!own)
			return -ENOMEM;
		spin_lock(&sbi->lock);
		ops = vm_ops_find(sbi, vma->vm_ops);
		if (!ops) {
			ops = &own->ops;
			list_add_rcu(&own->link, &sbi->vm_ops);
			own = NULL;
		}
		spin_unlock(&sbi->lock);
		kfree(own);
	}
	vma->vm_ops = ops;
	return 0;
}

/**
 * orchfs_mmap_sb_exit() - nothing is mapped any more
 * @sbi: on its way out
 */
void orchfs_mmap_sb_exit(struct orchfs_sb *sbi)
{
	struct orchfs_vm_ops *own, *next;

	list_for_each_entry_safe(own, next, &sbi->vm_ops, link)
		kfree(own);
}

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
	int ret;

	/* The backing file is asked too, but in the gate. */
	ret = orchfs_attr_refresh(inode);
	if (!ret && write)
		ret = orchfs_durable_names(inode, false);
	if (!ret)
		ret = mmap_begin(of, write ? ORCHFS_IO_WRITE : 0, &io);
	if (ret)
		return ret;
	if (write) {
		orchfs_mark_written(of);
		orchfs_mapped(inode);
	}
	ret = orchfs_told(backing_file_mmap(io.file, vma, &ctx));
	/* A remote file isn't written to by a mapping. */
	if (!ret && (vma->vm_flags & VM_SHARED) &&
	    (vma->vm_flags & VM_MAYWRITE))
		ret = vm_ops_wrap(inode->i_sb, vma);
	orchfs_io_end(&io);
	trace_orchfs_io(ORCHFS_TRACE_MMAP, inode, pos, len, ret);
	return ret;
}
