// SPDX-License-Identifier: GPL-2.0-only
/*
 * Layouts of inodes: getting one, installing what a reply brought, swapping,
 * and who keeps an inode open.
 *
 * The layout of an inode (orchfs_inode.layout) and its open inode change under
 * i_lock, so that a first open, a last close and a swap see one or the other.
 */
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/slab.h>

#include "channel.h"
#include "layout.h"
#include "path.h"
#include "remote.h"
#include "trace.h"
#include "vfs.h"

/* Layouts whose memory and anchors go. It waits for nothing of orchfs. */
static struct workqueue_struct *orchfs_free_wq;
static LLIST_HEAD(orchfs_dead_layouts);
static atomic64_t orchfs_layout_serial;

static void layout_free(struct orchfs_layout *lay)
{
	u32 i;

	trace_orchfs_layout_ref(ORCHFS_TRACE_REF_FREE, lay->serial,
				lay->generation, 0);
	for (i = 0; i < lay->nr_mirrors; i++)
		path_put(&lay->mirrors[i].anchor);
	put_cred(lay->cred);
	kfree(lay);
}

static void layout_free_work(struct work_struct *work)
{
	struct llist_node *list = llist_del_all(&orchfs_dead_layouts);
	struct orchfs_layout *lay, *next;

	llist_for_each_entry_safe(lay, next, list, dead)
		layout_free(lay);
}

static DECLARE_WORK(orchfs_free_work, layout_free_work);

static void layout_free_rcu(struct rcu_head *rcu)
{
	struct orchfs_layout *lay = container_of(rcu, struct orchfs_layout, rcu);

	if (llist_add(&lay->dead, &orchfs_dead_layouts))
		queue_work(orchfs_free_wq, &orchfs_free_work);
}

static void layout_trace_ref(enum orchfs_trace_layout_ref why,
			     const struct orchfs_layout *lay, int delta)
{
	trace_orchfs_layout_ref(why, lay->serial, lay->generation,
				refcount_read(&lay->refs) + delta);
}

/**
 * orchfs_layout_get() - take a further reference
 * @lay: the caller has one, or a lock that keeps one
 *
 * Return: @lay.
 */
struct orchfs_layout *orchfs_layout_get(struct orchfs_layout *lay)
{
	refcount_inc(&lay->refs);
	layout_trace_ref(ORCHFS_TRACE_REF_GET, lay, 0);
	return lay;
}

/**
 * orchfs_layout_tryget() - take a reference of what RCU keeps
 * @lay: found under rcu_read_lock()
 *
 * Return: false if it is on its way out.
 */
bool orchfs_layout_tryget(struct orchfs_layout *lay)
{
	if (!refcount_inc_not_zero(&lay->refs))
		return false;
	layout_trace_ref(ORCHFS_TRACE_REF_GET, lay, 0);
	return true;
}

/**
 * orchfs_layout_put() - drop a reference
 * @lay: the layout
 *
 * Any context. Anchors are released after a grace period, by a worker.
 */
void orchfs_layout_put(struct orchfs_layout *lay)
{
	layout_trace_ref(ORCHFS_TRACE_REF_PUT, lay, -1);
	if (refcount_dec_and_test(&lay->refs))
		call_rcu(&lay->rcu, layout_free_rcu);
}

/**
 * orchfs_layout_alloc() - memory for a layout
 * @nr_segs: segments
 * @nr_mirrors: mirrors of all segments
 *
 * Return: all zero but the counts, with one reference; NULL.
 */
struct orchfs_layout *orchfs_layout_alloc(u32 nr_segs, u32 nr_mirrors)
{
	struct orchfs_layout *lay;
	size_t segs_at;

	segs_at = struct_size(lay, mirrors, nr_mirrors);
	lay = kzalloc(segs_at + nr_segs * sizeof(*lay->segs),
		      GFP_KERNEL_ACCOUNT);
	if (!lay)
		return NULL;
	refcount_set(&lay->refs, 1);
	lay->nr_segs = nr_segs;
	lay->nr_mirrors = nr_mirrors;
	lay->segs = (void *)lay + segs_at;
	lay->serial = atomic64_inc_return(&orchfs_layout_serial);
	trace_orchfs_layout_ref(ORCHFS_TRACE_REF_NEW, lay->serial, 0, 1);
	return lay;
}

int __init orchfs_layout_init(void)
{
	int ret;

	ret = orchfs_gate_init();
	if (ret)
		return ret;
	ret = orchfs_layout_set_init();
	if (ret)
		goto err_gate_exit;
	ret = -ENOMEM;
	orchfs_free_wq = alloc_workqueue("orchfs-free", WQ_MEM_RECLAIM, 0);
	if (!orchfs_free_wq)
		goto err_set_exit;
	return 0;

err_set_exit:
	orchfs_layout_set_exit();
err_gate_exit:
	orchfs_gate_exit();
	return ret;
}

/* Until no layout that was put still pins a backing file. */
static void layout_flush_dead(void)
{
	rcu_barrier();
	flush_workqueue(orchfs_free_wq);
}

void orchfs_layout_exit(void)
{
	orchfs_layout_set_exit();
	orchfs_gate_exit();
	layout_flush_dead();
	destroy_workqueue(orchfs_free_wq);
}

/**
 * orchfs_layout_quiesce() - wait until put layouts have let go of their anchors
 *
 * At the end of a super block, so that the volume can be unmounted next; and
 * where space is wanted, so that deleted files give theirs back.
 */
void orchfs_layout_quiesce(void)
{
	orchfs_gate_trim();
	/* Gates that were retired put layouts. */
	rcu_barrier();
	layout_flush_dead();
}

/**
 * orchfs_layout_of() - the layout that an inode holds
 * @inode: a regular file of orchfs
 *
 * Return: a reference, or NULL.
 */
struct orchfs_layout *orchfs_layout_of(struct inode *inode)
{
	struct orchfs_layout *lay;

	rcu_read_lock();
	do {
		lay = rcu_dereference(ORCHFS_I(inode)->layout);
	} while (lay && !orchfs_layout_tryget(lay));
	rcu_read_unlock();
	return lay;
}

u64 orchfs_layout_generation(struct inode *inode)
{
	struct orchfs_layout *lay;
	u64 generation;

	rcu_read_lock();
	lay = rcu_dereference(ORCHFS_I(inode)->layout);
	generation = lay ? lay->generation : 0;
	rcu_read_unlock();
	return generation;
}

u32 orchfs_open_count(struct inode *inode)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);
	u32 opens;

	spin_lock(&inode->i_lock);
	opens = ii->open ? ii->open->opens : 0;
	spin_unlock(&inode->i_lock);
	return opens;
}

static struct orchfs_layout *layout_locked(struct orchfs_inode *ii)
{
	return rcu_dereference_protected(ii->layout,
				lockdep_is_held(&ii->vfs_inode.i_lock));
}

/* Replace the layout of the inode; returns the one before. Consumes lay. */
static struct orchfs_layout *layout_replace_locked(struct orchfs_inode *ii,
						   struct orchfs_layout *lay)
{
	struct orchfs_layout *old = layout_locked(ii);

	rcu_assign_pointer(ii->layout, lay);
	WRITE_ONCE(ii->remote, orchfs_is_remote(lay->inode));
	orchfs_attr_seen_locked(&ii->vfs_inode, lay);
	if (lay->writable &&
	    !(old && old->writable && old->instance == lay->instance))
		orchfs_attr_base_locked(&ii->vfs_inode);
	return old;
}

/*
 * A mapped area can't be redirected or stopped, nor a writable one be made
 * read-only. May sleep.
 */
static bool layout_pinned(const struct orchfs_layout *old,
			  const struct orchfs_layout *new)
{
	if (old->instance != new->instance)
		return orchfs_layout_mapped_sure(old);
	return old->inode && old->writable && !new->writable &&
	       mapping_writably_mapped(old->inode->i_mapping);
}

/* Do both allow all that the old one allows, in the same place? */
static bool layout_upgrades(const struct orchfs_layout *old,
			    const struct orchfs_layout *new)
{
	return old->nr_segs && new->nr_segs && old->instance == new->instance &&
	       new->writable >= old->writable;
}

static void layout_commit(struct inode *inode, struct orchfs_layout *lay)
{
	struct orchfs_layout *old;

	orchfs_layout_get(lay);
	spin_lock(&inode->i_lock);
	old = layout_replace_locked(ORCHFS_I(inode), lay);
	spin_unlock(&inode->i_lock);
	if (old)
		orchfs_layout_put(old);
}

/*
 * An mmap leaves its gate before its area is linked to the backing file, but
 * not before the area holds that file. So a backing file that somebody beside
 * its opener holds may be about to be mapped. A mistake costs an EBUSY. Where
 * only the right to write goes, only a file that can write matters.
 */
static bool layout_mapping_made(struct orchfs_open_inode *oi,
				const struct orchfs_layout *old,
				const struct orchfs_layout *new)
{
	fmode_t matters = FMODE_READ;
	const struct orchfs_backing *b;
	struct orchfs_file *of;
	bool held = false;

	if (old->instance == new->instance) {
		if (new->writable >= old->writable)
			return false;
		matters = FMODE_WRITE;
	}
	spin_lock(&oi->files_lock);
	list_for_each_entry(of, &oi->files, node)
		list_for_each_entry(b, &of->backings, node)
			held |= (b->file->f_mode & matters) &&
				file_count(b->file) > 1;
	spin_unlock(&oi->files_lock);
	return held;
}

static int layout_swap_open(struct inode *inode, struct orchfs_open_inode *oi,
			    struct orchfs_layout *lay, unsigned long deadline)
{
	struct orchfs_layout *old;
	struct orchfs_swap swap;
	int ret;

	lockdep_assert_held(&oi->swap_lock);

	old = orchfs_gate_layout(oi);
	ret = -EBUSY;
	if (layout_pinned(old, lay))
		goto out_put_old;
	ret = orchfs_swap_begin(oi, lay, deadline, &swap);
	if (ret)
		goto out_put_old;
	ret = orchfs_swap_drain(oi, &swap, deadline);
	/* in this order: an area is linked before its maker lets go */
	if (!ret && (layout_mapping_made(oi, old, lay) ||
		     layout_pinned(old, lay)))
		ret = -EBUSY;
	if (ret) {
		orchfs_swap_abandon(oi, &swap);
	} else {
		/* The last news from the old instance, then the new one's. */
		orchfs_attr_from_backing(inode);
		layout_commit(inode, lay);
		orchfs_swap_commit(oi, &swap);
		orchfs_local_sweep(oi, lay);
	}
out_put_old:
	orchfs_layout_put(old);
	return ret;
}

static u64 layout_floor(struct super_block *sb)
{
	return atomic64_read(&ORCHFS_SB(sb)->layout_floor);
}

/*
 * The last news of a mapping that has ended are taken over before the layout
 * goes: the times of another instance count as seen. Without an open file no
 * mapping is made.
 */
static bool layout_may_go(struct inode *inode, const struct orchfs_layout *old,
			  const struct orchfs_layout *new)
{
	if (!old)
		return true;
	orchfs_attr_from_backing(inode);
	return !layout_pinned(old, new);
}

/*
 * With i_lock held and the layout, which doesn't change then, in @out (a
 * reference): whether it could be replaced.
 */
static bool layout_look(struct inode *inode, const struct orchfs_layout *new,
			struct orchfs_layout **out)
	__acquires(&inode->i_lock)
{
	struct orchfs_layout *old, *now;
	bool may;

	for (;;) {
		old = orchfs_layout_of(inode);
		may = layout_may_go(inode, old, new);
		spin_lock(&inode->i_lock);
		now = layout_locked(ORCHFS_I(inode));
		if (now == old)
			break;
		spin_unlock(&inode->i_lock);
		if (old)
			orchfs_layout_put(old);
	}
	*out = old;
	return may;
}

/*
 * The open inode, with a user added; or NULL after the layout was replaced,
 * as nobody uses it. Consumes nothing.
 */
static struct orchfs_open_inode *
layout_use_or_replace(struct inode *inode, struct orchfs_layout *lay, int *ret)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);
	struct orchfs_layout *old, *held = NULL;
	struct orchfs_open_inode *oi;
	bool may;

	*ret = 0;
	may = layout_look(inode, lay, &old);
	oi = ii->open;
	if (oi)
		oi->users++;
	else if (old ? old->generation >= lay->generation :
		       lay->generation < layout_floor(inode->i_sb))
		*ret = -ESTALE;
	else if (!may)
		*ret = -EBUSY;
	else
		held = layout_replace_locked(ii, orchfs_layout_get(lay));
	spin_unlock(&inode->i_lock);
	if (held)
		orchfs_layout_put(held);
	if (old)
		orchfs_layout_put(old);
	return oi;
}

/**
 * orchfs_layout_swap() - publish a new layout and drain the old one
 * @inode: a regular file that holds a layout, open or not
 * @lay: the new layout; the caller keeps its reference
 * @deadline: jiffies
 *
 * I/O that begins from now on uses the new layout, or waits for the end of the
 * swap where both can't be used at once. On failure the old layout is back.
 *
 * Return: 0 when no I/O uses the old layout any more; -ETIMEDOUT; -EBUSY when
 * a mapping keeps the old instance; -ESTALE for a generation that isn't higher
 * than the one held; -ENOMEM.
 */
int orchfs_layout_swap(struct inode *inode, struct orchfs_layout *lay,
		       unsigned long deadline)
{
	struct orchfs_open_inode *oi;
	int ret;

	oi = layout_use_or_replace(inode, lay, &ret);
	if (oi) {
		mutex_lock(&oi->swap_lock);
		ret = layout_swap_open(inode, oi, lay, deadline);
		mutex_unlock(&oi->swap_lock);
		orchfs_layout_detach(inode, oi, false);
	}
	trace_orchfs_layout(ORCHFS_TRACE_LAYOUT_SWAP, inode, lay->generation,
			    ret);
	return ret;
}

static int layout_install_open(struct inode *inode,
			       struct orchfs_open_inode *oi,
			       struct orchfs_layout *lay)
{
	unsigned long patience = ORCHFS_SB(inode->i_sb)->upcall_timeout * HZ;
	struct orchfs_layout *old;
	int ret = 0;

	if (mutex_lock_killable(&oi->swap_lock))
		return -EINTR;
	old = orchfs_gate_layout(oi);
	/*
	 * Who opens for reading gets a layout for reading. It takes nobody's
	 * right to write away: layout-set does, and no reply overtakes that.
	 */
	if (old->instance == lay->instance && old->writable)
		lay->writable = true;
	if (old->generation >= lay->generation) {
		ret = 0;
	} else if (layout_upgrades(old, lay)) {
		layout_commit(inode, lay);
		orchfs_gate_upgrade(oi, lay);
	} else {
		ret = layout_swap_open(inode, oi, lay, jiffies + patience);
	}
	mutex_unlock(&oi->swap_lock);
	orchfs_layout_put(old);
	return ret;
}

/**
 * orchfs_layout_install() - put a layout that a reply brought on the inode
 * @inode: a regular file
 * @lay: its reference is consumed in every case
 *
 * A reply that was overtaken by a newer layout is dropped. More rights to the
 * same instance are published at once; anything else is a swap, with the
 * mount's upcall_timeout as its deadline.
 *
 * Return: 0, also for a layout that was dropped; -ENOMEM; -EINTR; errors of
 * orchfs_layout_swap().
 */
int orchfs_layout_install(struct inode *inode, struct orchfs_layout *lay)
{
	u64 generation = lay->generation;
	struct orchfs_open_inode *oi;
	int ret;

	ret = orchfs_note_reserve(inode);
	if (ret)
		goto out_put;
	oi = layout_use_or_replace(inode, lay, &ret);
	if (oi) {
		ret = layout_install_open(inode, oi, lay);
		orchfs_layout_detach(inode, oi, false);
	} else {
		orchfs_layout_idle(inode, false);
	}
	if (ret == -ESTALE)
		ret = 0;
	if (!ret)
		orchfs_attr_from_backing(inode);
out_put:
	if (ret)
		orchfs_note_stray(orchfs_channel_of(inode));
	orchfs_layout_put(lay);
	trace_orchfs_layout(ORCHFS_TRACE_LAYOUT_INSTALL, inode, generation,
			    ret);
	return ret;
}

static bool layout_granted(struct inode *inode, bool write)
{
	struct orchfs_layout *lay;
	bool granted;

	rcu_read_lock();
	lay = rcu_dereference(ORCHFS_I(inode)->layout);
	granted = lay && orchfs_layout_grants(lay, write);
	rcu_read_unlock();
	return granted;
}

static int layout_ask(struct inode *inode, bool write)
{
	struct orchfs_stamp stamp = orchfs_stamp_next(inode);
	struct orchfs_args args = {
		.kind = ORCHFS_KIND_OPEN,
		.flags = write ? ORCHFS_REQ_FLAG_WRITE : 0,
		.node = inode->i_ino,
	};
	struct orchfs_result res;
	struct orchfs_layout *lay;
	int ret;

	ret = orchfs_upcall(inode->i_sb, &args, &res);
	if (ret)
		return ret;
	lay = res.layout;
	res.layout = NULL;
	if (res.has_attr && res.attr.ino == inode->i_ino)
		orchfs_inode_update(inode, &res.attr, res.txn, 0, &stamp);
	orchfs_result_free(&res);
	if (!lay)
		return -EPROTO;
	if (!orchfs_layout_grants(lay, write)) {
		orchfs_layout_put(lay);
		return -EPROTO;
	}
	return orchfs_layout_install(inode, lay);
}

/**
 * orchfs_layout_want() - ask the daemon for a layout, unless there is one
 * @inode: a regular file
 * @write: it must grant writing
 *
 * The caller is in no gate: the daemon may want to swap before it answers. If
 * a swap overtook the answer the daemon is asked again.
 *
 * Return: 0; -EINTR; -EPROTO when the reply doesn't grant what was asked;
 * errors of orchfs_upcall() and orchfs_layout_install().
 */
int orchfs_layout_want(struct inode *inode, bool write)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);
	int ret = 0;

	if (mutex_lock_killable(&ii->open_lock))
		return -EINTR;
	while (!ret && !layout_granted(inode, write))
		ret = layout_ask(inode, write);
	mutex_unlock(&ii->open_lock);
	return ret;
}

/**
 * orchfs_layout_renew() - a data server has refused what the layout brought
 * @inode: a regular file
 * @write: it must grant writing
 *
 * The caller should be in no gate, as for orchfs_layout_want(). Asks once for
 * all who come while it is asked.
 *
 * Return: 0 if the daemon has answered: try again, once; errors as of
 * orchfs_layout_want().
 */
int orchfs_layout_renew(struct inode *inode, bool write)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);
	unsigned int renewals = READ_ONCE(ii->renewals);
	int ret = 0;

	if (mutex_lock_killable(&ii->open_lock))
		return -EINTR;
	if (ii->renewals == renewals) {
		/* not less than what is held */
		ret = layout_ask(inode, write || layout_granted(inode, true));
		if (!ret)
			WRITE_ONCE(ii->renewals, renewals + 1);
	}
	mutex_unlock(&ii->open_lock);
	return ret;
}

/* Add a user to the open inode, making it from fresh where there is none. */
static struct orchfs_open_inode *
layout_attach_locked(struct inode *inode, struct orchfs_open_inode *fresh,
		     bool open)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);
	struct orchfs_layout *lay = layout_locked(ii);
	struct orchfs_open_inode *oi = ii->open;
	int ret;

	lockdep_assert_held(&inode->i_lock);

	if (!oi) {
		orchfs_oi_start(fresh, inode, lay);
		oi = fresh;
		ii->open = oi;
	}
	if (open) {
		ret = orchfs_iomode_get(&oi->mode, ORCHFS_IOMODE_PASSTHROUGH,
					orchfs_layout_mapped(lay));
		/* No other mode is ever asked for yet. */
		WARN_ON_ONCE(ret);
		oi->opens++;
	}
	oi->users++;
	WRITE_ONCE(ii->lru_used, true);
	return oi;
}

/**
 * orchfs_layout_attach() - become a user of an inode's layout
 * @inode: a regular file
 * @write: the layout must grant writing
 * @open: the user is an open file
 * @out: the open inode, until orchfs_layout_detach()
 *
 * No upcall where a layout that grants this is held.
 *
 * Return: 0; -ENOMEM; errors of orchfs_layout_want().
 */
int orchfs_layout_attach(struct inode *inode, bool write, bool open,
			 struct orchfs_open_inode **out)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);
	struct orchfs_open_inode *fresh = NULL, *oi = NULL;
	struct orchfs_layout *lay;
	bool granted;
	int ret = 0;

	for (;;) {
		spin_lock(&inode->i_lock);
		lay = layout_locked(ii);
		granted = lay && orchfs_layout_grants(lay, write);
		if (granted && (ii->open || fresh))
			oi = layout_attach_locked(inode, fresh, open);
		spin_unlock(&inode->i_lock);
		if (oi)
			break;
		if (granted) {
			fresh = orchfs_oi_alloc();
			ret = fresh ? 0 : -ENOMEM;
		} else {
			ret = orchfs_layout_want(inode, write);
		}
		if (ret)
			break;
	}
	if (fresh != oi)
		orchfs_oi_free(fresh);
	*out = oi;
	return ret;
}

/**
 * orchfs_layout_detach() - end of orchfs_layout_attach()
 * @inode: as there
 * @oi: as there
 * @open: as there
 *
 * Doesn't wait.
 */
void orchfs_layout_detach(struct inode *inode, struct orchfs_open_inode *oi,
			  bool open)
{
	bool last, written;

	spin_lock(&inode->i_lock);
	if (open) {
		oi->opens--;
		orchfs_iomode_put(&oi->mode);
	}
	last = !--oi->users;
	if (last)
		ORCHFS_I(inode)->open = NULL;
	spin_unlock(&inode->i_lock);
	if (!last)
		return;
	written = READ_ONCE(oi->written);
	orchfs_oi_free(oi);
	orchfs_layout_idle(inode, written);
}

/**
 * orchfs_layout_pass() - enter the gate when I/O can go on
 * @inode: a regular file
 * @oi: its open inode; the caller is a user of it
 * @write: the layout must grant writing
 * @nowait: fail instead of waiting
 * @out: the layout, with a reference, on success
 *
 * Waits where the layout blocks I/O, asks the daemon where the right to write
 * was lost in a swap.
 *
 * Return: the gate, to be left with orchfs_gate_leave(); -EAGAIN, -EINTR,
 * errors of orchfs_layout_want().
 */
struct orchfs_gate *orchfs_layout_pass(struct inode *inode,
				       struct orchfs_open_inode *oi,
				       bool write, bool nowait,
				       struct orchfs_layout **out)
{
	struct orchfs_layout *lay;
	struct orchfs_gate *gate;
	bool closed;
	int ret;

	for (;;) {
		gate = orchfs_gate_enter(oi, &lay);
		closed = orchfs_layout_blocked(lay) || READ_ONCE(gate->held);
		if (!closed && orchfs_layout_grants(lay, write))
			break;
		orchfs_gate_leave(gate);
		orchfs_layout_put(lay);
		if (nowait)
			return ERR_PTR(-EAGAIN);
		ret = closed ? orchfs_gate_wait(oi) :
			       orchfs_layout_want(inode, write);
		if (ret)
			return ERR_PTR(ret);
	}
	*out = lay;
	return gate;
}
