// SPDX-License-Identifier: GPL-2.0-only
/*
 * Swaps that the daemon asks for by layout-set: queued, as they wait for I/O.
 */
#include <linux/fs.h>
#include <linux/slab.h>

#include "channel.h"
#include "layout.h"
#include "trace.h"

struct orchfs_layout_work {
	struct work_struct work;
	struct orchfs_channel *ch;	/* a reference */
	struct super_block *sb;		/* a user of it */
	struct orchfs_layout *lay;
	u64 node;
	u64 request_id;
	unsigned long deadline;
};

static struct workqueue_struct *orchfs_swap_wq;

/**
 * orchfs_layout_set_init() - make the queue of swaps
 *
 * Return: 0 or -ENOMEM.
 */
int orchfs_layout_set_init(void)
{
	orchfs_swap_wq = alloc_workqueue("orchfs-swap", WQ_UNBOUND, 0);
	return orchfs_swap_wq ? 0 : -ENOMEM;
}

/**
 * orchfs_layout_set_exit() - undo orchfs_layout_set_init()
 */
void orchfs_layout_set_exit(void)
{
	destroy_workqueue(orchfs_swap_wq);
}

/**
 * orchfs_layout_flush_swaps() - wait for works that hold a channel
 */
void orchfs_layout_flush_swaps(void)
{
	flush_workqueue(orchfs_swap_wq);
}

/*
 * A swap found no layout. One that a reply brought before it may be on its way
 * to the inode still, and must not arrive after it. Generations are counted
 * for all inodes together, so others may have to ask again because of this.
 */
static void layout_raise_floor(struct super_block *sb, u64 generation)
{
	atomic64_t *floor = &ORCHFS_SB(sb)->layout_floor;
	s64 old = atomic64_read(floor);

	while ((u64)old < generation &&
	       !atomic64_try_cmpxchg(floor, &old, generation))
		;
}

static int layout_set_inode(struct orchfs_layout_work *w, u32 *writers)
{
	struct inode *inode = ilookup(w->sb, w->node);
	int ret = -ENOENT;

	if (!inode)
		return ret;
	if (S_ISREG(inode->i_mode) && orchfs_layout_generation(inode)) {
		ret = orchfs_layout_swap(inode, w->lay, w->deadline);
		/* Who opens it from now on finds the new layout. */
		*writers = max(atomic_read(&inode->i_writecount), 0);
	}
	iput(inode);
	return ret;
}

static void layout_set_work(struct work_struct *work)
{
	struct orchfs_layout_work *w =
		container_of(work, struct orchfs_layout_work, work);
	u32 writers = 0;
	int ret;

	ret = layout_set_inode(w, &writers);
	if (ret == -ENOENT) {
		layout_raise_floor(w->sb, w->lay->generation);
		/* Pairs with the i_lock of who installs one: seen by either. */
		ret = layout_set_inode(w, &writers);
	}
	orchfs_layout_done(w->sb, w->request_id, w->node, w->lay->generation,
			   ret, writers);
	orchfs_layout_put(w->lay);
	orchfs_channel_sb_put(w->ch, w->sb);
	orchfs_channel_put(w->ch);
	kfree(w);
}

/**
 * orchfs_layout_set() - queue the swap that the daemon asks for
 * @sb: super block that the caller keeps from going away
 * @node: inode number
 * @lay: its reference is consumed in every case
 * @request_id: for orchfs_layout_done()
 * @timeout_ms: deadline of the drain, from now
 *
 * Doesn't sleep on anything but memory. The end of the super block waits for
 * the swap; no I/O is left then, so that isn't for long. After 0,
 * orchfs_layout_done() is called exactly once: with 0, with errors of
 * orchfs_layout_swap(), or with -ENOENT when the inode holds no layout here.
 *
 * Return: 0; -ENOENT when the super block is on its way out; -ENOMEM.
 */
int orchfs_layout_set(struct super_block *sb, u64 node,
		      struct orchfs_layout *lay, u64 request_id,
		      unsigned int timeout_ms)
{
	struct orchfs_channel *ch = ORCHFS_SB(sb)->channel;
	struct orchfs_layout_work *w;
	int ret;

	ret = -ENOMEM;
	w = kmalloc(sizeof(*w), GFP_KERNEL);
	if (!w)
		goto err_put_layout;
	ret = -ENOENT;
	w->sb = orchfs_channel_sb_get(ch);
	if (!w->sb)
		goto err_free_work;
	w->ch = orchfs_channel_get(ch);
	INIT_WORK(&w->work, layout_set_work);
	w->lay = lay;
	w->node = node;
	w->request_id = request_id;
	w->deadline = jiffies + msecs_to_jiffies(timeout_ms);
	queue_work(orchfs_swap_wq, &w->work);
	return 0;

err_free_work:
	kfree(w);
err_put_layout:
	orchfs_layout_put(lay);
	return ret;
}
