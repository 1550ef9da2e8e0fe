// SPDX-License-Identifier: GPL-2.0-only
/*
 * Layouts that are cached of inodes that nobody has open, and what is told to
 * the daemon when they go.
 *
 * The list is in order of the last close that found the inode off the list; an
 * inode that was used since gets a second round. So opening and closing a file
 * again takes no lock of the super block. Nothing here waits for the daemon:
 * notices use memory that was reserved when the layout came.
 */
#include <linux/mm.h>
#include <linux/shrinker.h>
#include <linux/slab.h>

#include "channel.h"
#include "layout.h"
#include "remote.h"
#include "trace.h"

#define ORCHFS_LRU_MAX		65536
#define ORCHFS_LRU_BATCH	16

/**
 * struct orchfs_drop_work - a volume to let go of
 * @work: on orchfs_channel_wq
 * @ch: of @sb, counted
 * @sb: orchfs_channel_sb_get()
 * @volume: its number
 */
struct orchfs_drop_work {
	struct work_struct work;
	struct orchfs_channel *ch;
	struct super_block *sb;
	u32 volume;
};

/**
 * orchfs_note_reserve() - memory for what is told of an inode later
 * @inode: a regular file
 *
 * Return: 0 or -ENOMEM.
 */
int orchfs_note_reserve(struct inode *inode)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);
	struct orchfs_note *note;

	if (READ_ONCE(ii->note_attr))
		return 0;
	note = orchfs_note_alloc(GFP_KERNEL);
	if (!note)
		return -ENOMEM;
	if (cmpxchg(&ii->note_attr, NULL, note))
		orchfs_note_free(note);
	return 0;
}

static void note_attr_fill(struct orchfs_note *note, struct inode *inode)
{
	struct timespec64 ts;

	note->valid = ORCHFS_SET_ATIME;
	/* who has a remote file's contents knows the rest */
	if (!READ_ONCE(ORCHFS_I(inode)->remote))
		note->valid |= ORCHFS_SET_SIZE | ORCHFS_SET_MTIME |
			       ORCHFS_SET_CTIME;
	note->attr.ino = inode->i_ino;
	note->attr.change = READ_ONCE(ORCHFS_I(inode)->change);
	note->attr.size = i_size_read(inode);
	note->attr.blocks = inode->i_blocks;
	note->attr.version = ORCHFS_I(inode)->version;
	ts = inode_get_atime(inode);
	note->attr.atime = ts.tv_sec;
	note->attr.atime_nsec = ts.tv_nsec;
	ts = inode_get_mtime(inode);
	note->attr.mtime = ts.tv_sec;
	note->attr.mtime_nsec = ts.tv_nsec;
	ts = inode_get_ctime(inode);
	note->attr.ctime = ts.tv_sec;
	note->attr.ctime_nsec = ts.tv_nsec;
}

/*
 * Tell what is known of the inode, with the generation of a layout that was
 * dropped (0: none). Without memory the attributes stay dirty; a return that
 * isn't told costs the daemon a stat later.
 */
static void layout_tell(struct inode *inode, u64 generation)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);
	bool dirty = READ_ONCE(ii->attr_dirty);
	struct orchfs_note *note;

	if (!inode->i_nlink || (!dirty && !generation))
		return;
	note = xchg(&ii->note_attr, NULL);
	if (!note)
		return;
	note->kind = generation ? ORCHFS_KIND_NOTE_RETURN :
				  ORCHFS_KIND_NOTE_ATTR;
	note->generation = generation;
	note->node = inode->i_ino;
	if (dirty) {
		WRITE_ONCE(ii->attr_dirty, false);
		note_attr_fill(note, inode);
	}
	orchfs_note_queue(orchfs_channel_of(inode), note);
}

static bool layout_still_mapped(struct inode *inode)
{
	struct orchfs_layout *lay = orchfs_layout_of(inode);
	bool mapped;

	if (!lay)
		return false;
	mapped = orchfs_layout_mapped_sure(lay);
	orchfs_layout_put(lay);
	return mapped;
}

/*
 * Drop the layout if nobody uses it. A mapping outlives the file that made it
 * and keeps its layout, as the instance must stay where it is. At eviction no
 * such mapping can be left, as it holds the dentry; what is mapped then was
 * mapped on the volume itself.
 */
static bool layout_drop(struct inode *inode, enum orchfs_trace_layout why)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);
	struct orchfs_layout *lay;
	u64 generation;
	bool told, ask;

	if (why != ORCHFS_TRACE_LAYOUT_EVICT && layout_still_mapped(inode))
		return false;
	told = orchfs_attr_from_backing(inode);
	spin_lock(&inode->i_lock);
	lay = rcu_dereference_protected(ii->layout,
					lockdep_is_held(&inode->i_lock));
	/*
	 * Behind: it was mapped until now; there will be another time. Not on
	 * a volume that is lost, whose drive shall be let go.
	 */
	if (!lay || ii->open ||
	    (why != ORCHFS_TRACE_LAYOUT_EVICT &&
	     (orchfs_layout_mapped(lay) ||
	      (told && orchfs_attr_behind_locked(inode, lay))))) {
		spin_unlock(&inode->i_lock);
		return false;
	}
	RCU_INIT_POINTER(ii->layout, NULL);
	/* other nodes may change its times now, and the record with them */
	ii->seen_instance = 0;
	/* what the daemon has seen of a file before it was written is on its way */
	if (lay->writable)
		ii->touched = atomic64_inc_return(
			&orchfs_channel_of(inode)->marks);
	spin_unlock(&inode->i_lock);
	generation = lay->generation;
	/* nobody has asked the peer since it was written */
	ask = ii->remote && ii->seen == ORCHFS_SEEN_WRITTEN;
	if (!inode->i_nlink && orchfs_is_remote(lay->inode))
		orchfs_remote_forget(lay->inode);
	orchfs_layout_put(lay);
	if (ask && why != ORCHFS_TRACE_LAYOUT_EVICT)
		orchfs_super_mark(inode->i_sb, inode->i_ino, ORCHFS_MARK_ATTR);
	trace_orchfs_layout(why, inode, generation, 0);
	layout_tell(inode, generation);
	return true;
}

/* The oldest inode of the list that wasn't used since, off the list. */
static struct inode *lru_take(struct orchfs_sb *sbi, unsigned long *scan)
{
	struct orchfs_inode *ii;
	struct inode *inode = NULL;

	spin_lock(&sbi->lru_lock);
	while (*scan && !inode && !list_empty(&sbi->lru)) {
		(*scan)--;
		ii = list_first_entry(&sbi->lru, struct orchfs_inode, lru);
		if (READ_ONCE(ii->lru_used)) {
			WRITE_ONCE(ii->lru_used, false);
			list_move_tail(&ii->lru, &sbi->lru);
			continue;
		}
		list_del_init(&ii->lru);
		sbi->nr_lru--;
		inode = igrab(&ii->vfs_inode);
	}
	spin_unlock(&sbi->lru_lock);
	return inode;
}

/* It can't go yet, but it counts. */
static void lru_return(struct inode *inode)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);
	struct orchfs_sb *sbi = ORCHFS_SB(inode->i_sb);

	spin_lock(&sbi->lru_lock);
	if (list_empty(&ii->lru) && rcu_access_pointer(ii->layout)) {
		list_add_tail(&ii->lru, &sbi->lru);
		sbi->nr_lru++;
	}
	spin_unlock(&sbi->lru_lock);
}

/* The super block is kept active by the caller. */
static unsigned long lru_trim(struct super_block *sb, unsigned long scan)
{
	unsigned long dropped = 0;
	struct inode *inode;

	while ((inode = lru_take(ORCHFS_SB(sb), &scan))) {
		if (layout_drop(inode, ORCHFS_TRACE_LAYOUT_SHRINK))
			dropped++;
		else
			lru_return(inode);
		iput(inode);
		cond_resched();
	}
	return dropped;
}

static void lru_add(struct inode *inode)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);
	struct orchfs_sb *sbi = ORCHFS_SB(inode->i_sb);
	unsigned long nr;

	if (!list_empty_careful(&ii->lru))
		return;
	spin_lock(&sbi->lru_lock);
	if (list_empty(&ii->lru)) {
		list_add_tail(&ii->lru, &sbi->lru);
		sbi->nr_lru++;
		WRITE_ONCE(ii->lru_used, false);
	}
	nr = sbi->nr_lru;
	spin_unlock(&sbi->lru_lock);
	if (nr > ORCHFS_LRU_MAX)
		lru_trim(inode->i_sb, ORCHFS_LRU_BATCH);
}

static void lru_del(struct inode *inode)
{
	struct orchfs_inode *ii = ORCHFS_I(inode);
	struct orchfs_sb *sbi = ORCHFS_SB(inode->i_sb);

	if (list_empty_careful(&ii->lru))
		return;
	spin_lock(&sbi->lru_lock);
	if (!list_empty(&ii->lru)) {
		list_del_init(&ii->lru);
		sbi->nr_lru--;
	}
	spin_unlock(&sbi->lru_lock);
}

/**
 * orchfs_layout_idle() - nobody uses the inode any more
 * @inode: a regular file whose layout stays cached
 * @tell: it was written: tell the daemon its size and times
 */
void orchfs_layout_idle(struct inode *inode, bool tell)
{
	if (tell) {
		orchfs_attr_from_backing(inode);
		layout_tell(inode, 0);
		/* For the return of the layout; if it fails, none is told. */
		orchfs_note_reserve(inode);
	}
	lru_add(inode);
}

/**
 * orchfs_layout_evict() - the inode leaves the kernel
 * @inode: a regular file that nobody uses, without mappings
 *
 * Queues the return of the layout with what is known of size and times. An
 * inode without links is told by note-forget, which returns its layout too.
 * Doesn't wait.
 */
void orchfs_layout_evict(struct inode *inode)
{
	lru_del(inode);
	layout_drop(inode, ORCHFS_TRACE_LAYOUT_EVICT);
}

static bool layout_on_volume(struct inode *inode, u32 volume)
{
	struct orchfs_layout *lay;
	bool found;

	rcu_read_lock();
	lay = rcu_dereference(ORCHFS_I(inode)->layout);
	found = lay && lay->nr_segs && orchfs_layout_first(lay)->volume == volume;
	rcu_read_unlock();
	return found;
}

/* Each inode of the list comes up twice where it was used meanwhile. */
static void layout_drop_work(struct work_struct *work)
{
	struct orchfs_drop_work *w =
		container_of(work, struct orchfs_drop_work, work);
	struct orchfs_sb *sbi = ORCHFS_SB(w->sb);
	unsigned long scan = 2 * READ_ONCE(sbi->nr_lru);
	struct inode *inode;

	while ((inode = lru_take(sbi, &scan))) {
		if (!layout_on_volume(inode, w->volume) ||
		    !layout_drop(inode, ORCHFS_TRACE_LAYOUT_SHRINK))
			lru_return(inode);
		iput(inode);
		cond_resched();
	}
	orchfs_channel_sb_put(w->ch, w->sb);
	orchfs_channel_put(w->ch);
	kfree(w);
}

/**
 * orchfs_layout_drop_volume() - drop layouts that keep a volume in use
 * @sb: super block that the caller keeps from going away
 * @volume: number of the volume
 *
 * Queues that. Layouts of inodes that are open or mapped stay.
 *
 * Return: 0 or -ENOMEM.
 */
int orchfs_layout_drop_volume(struct super_block *sb, u32 volume)
{
	struct orchfs_channel *ch = ORCHFS_SB(sb)->channel;
	struct orchfs_drop_work *w = kmalloc(sizeof(*w), GFP_KERNEL);

	if (!w)
		return -ENOMEM;
	w->sb = orchfs_channel_sb_get(ch);
	if (!w->sb) {
		kfree(w);
		return 0;
	}
	w->ch = orchfs_channel_get(ch);
	w->volume = volume;
	INIT_WORK(&w->work, layout_drop_work);
	queue_work(orchfs_channel_wq, &w->work);
	return 0;
}

static unsigned long lru_count(struct shrinker *shrinker,
			       struct shrink_control *sc)
{
	struct super_block *sb = shrinker->private_data;

	return vfs_pressure_ratio(READ_ONCE(ORCHFS_SB(sb)->nr_lru));
}

static unsigned long lru_scan(struct shrinker *shrinker,
			      struct shrink_control *sc)
{
	struct super_block *sb = shrinker->private_data;
	unsigned long dropped;

	/* The last reference of an inode or an anchor may go. */
	if (!(sc->gfp_mask & __GFP_FS))
		return SHRINK_STOP;
	/* While this is held, umount doesn't find the inodes in use here. */
	if (!down_read_trylock(&sb->s_umount))
		return SHRINK_STOP;
	dropped = SHRINK_STOP;
	if (sb->s_root && (sb->s_flags & SB_ACTIVE))
		dropped = lru_trim(sb, sc->nr_to_scan);
	up_read(&sb->s_umount);
	return dropped;
}

/**
 * orchfs_layout_sb_init() - prepare a super block for layouts
 * @sb: with orchfs_sb in s_fs_info
 *
 * Return: 0, to be undone by orchfs_layout_sb_exit(), or -ENOMEM.
 */
int orchfs_layout_sb_init(struct super_block *sb)
{
	struct orchfs_sb *sbi = ORCHFS_SB(sb);

	spin_lock_init(&sbi->lru_lock);
	INIT_LIST_HEAD(&sbi->lru);
	sbi->nr_lru = 0;
	sbi->shrinker = shrinker_alloc(0, "orchfs-layout:%s", sb->s_id);
	if (!sbi->shrinker)
		return -ENOMEM;
	sbi->shrinker->count_objects = lru_count;
	sbi->shrinker->scan_objects = lru_scan;
	sbi->shrinker->private_data = sb;
	shrinker_register(sbi->shrinker);
	return 0;
}

/**
 * orchfs_layout_sb_exit() - no inode of the super block is left
 * @sb: the super block; one that orchfs_layout_sb_init() failed on is fine
 *
 * Waits until no backing file is in use because of it.
 */
void orchfs_layout_sb_exit(struct super_block *sb)
{
	struct orchfs_sb *sbi = ORCHFS_SB(sb);

	if (!sbi->shrinker)
		return;
	shrinker_free(sbi->shrinker);
	sbi->shrinker = NULL;
	WARN_ON_ONCE(!list_empty(&sbi->lru));
	orchfs_layout_quiesce();
}
