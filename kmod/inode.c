// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inodes: their cache, what a reply's attributes do to them, their end.
 *
 * Attributes come in replies that may overtake each other. The record of an
 * inode carries the transaction that last wrote it (attr.change), and a reply
 * that is older than what the inode has is not applied, unless what it has is
 * from an earlier daemon: the store may have gone back. Names and attributes
 * are valid as long as the channel's epoch is the one in which they were asked
 * for, and its lease lasts. What a regular file's backing file knows (size, blocks, times) comes
 * from there while a layout is held, see Documentation/vfs.md.
 */
#include <linux/fs.h>
#include <linux/posix_acl.h>
#include <linux/slab.h>

#include "vfs.h"
#include "trace.h"

static struct kmem_cache *orchfs_inode_cache;

static void orchfs_inode_init_once(void *p)
{
	struct orchfs_inode *oi = p;

	inode_init_once(&oi->vfs_inode);
	mutex_init(&oi->open_lock);
	INIT_LIST_HEAD(&oi->lru);
	INIT_LIST_HEAD(&oi->mapped);
}

int __init orchfs_inode_init(void)
{
	orchfs_inode_cache = kmem_cache_create("orchfs_inode",
					       sizeof(struct orchfs_inode), 0,
					       SLAB_RECLAIM_ACCOUNT |
					       SLAB_ACCOUNT,
					       orchfs_inode_init_once);
	return orchfs_inode_cache ? 0 : -ENOMEM;
}

void orchfs_inode_exit(void)
{
	kmem_cache_destroy(orchfs_inode_cache);
}

static void orchfs_raise64(atomic64_t *v, u64 to)
{
	s64 old = atomic64_read(v);

	while ((u64)old < to && !atomic64_try_cmpxchg(v, &old, to))
		;
}

struct inode *orchfs_alloc_inode(struct super_block *sb)
{
	struct orchfs_inode *oi;

	oi = alloc_inode_sb(sb, orchfs_inode_cache, GFP_KERNEL);
	if (!oi)
		return NULL;
	oi->change = 0;
	atomic64_set(&oi->txn, 0);
	oi->epoch = 0;
	oi->asked = 0;
	oi->mark = 0;
	oi->answered = 0;
	oi->unlinked = 0;
	oi->doubted = false;
	oi->generation = 0;
	oi->flags = 0;
	oi->projid = 0;
	oi->version = 0;
	oi->names = 0;
	oi->listing = NULL;
	oi->listing_cold = false;
	oi->listed = 0;
	oi->foreign = 0;
	oi->btime = (struct timespec64){};
	RCU_INIT_POINTER(oi->layout, NULL);
	oi->open = NULL;
	oi->seen_instance = 0;
	oi->seen_mtime = (struct timespec64){};
	oi->seen_ctime = (struct timespec64){};
	oi->base_mtime = (struct timespec64){};
	oi->base_before = (struct timespec64){};
	oi->told_atime = (struct timespec64){};
	oi->touched = 0;
	oi->changed = 0;
	oi->note_attr = NULL;
	oi->note_forget = NULL;
	oi->lru_used = false;
	oi->locks = NULL;
	oi->attr_dirty = false;
	return &oi->vfs_inode;
}

void orchfs_free_inode(struct inode *inode)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);

	if (S_ISLNK(inode->i_mode))
		kfree(inode->i_link);
	orchfs_note_free(oi->note_attr);
	orchfs_note_free(oi->note_forget);
	kmem_cache_free(orchfs_inode_cache, oi);
}

/* The daemon takes an mtime that goes back, and a ctime only forward. */
static void orchfs_note_special(const struct inode *inode,
				struct orchfs_note *note)
{
	struct timespec64 mtime = inode_get_mtime(inode);
	struct timespec64 ctime = inode_get_ctime(inode);

	note->valid |= ORCHFS_SET_MTIME | ORCHFS_SET_CTIME;
	note->attr.mtime = mtime.tv_sec;
	note->attr.mtime_nsec = mtime.tv_nsec;
	note->attr.ctime = ctime.tv_sec;
	note->attr.ctime_nsec = ctime.tv_nsec;
}

/*
 * The access time of a file without layout is told here, and the times of FIFOs
 * and devices; layout.c tells what it knows of the others.
 */
static void orchfs_note_times(struct inode *inode)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);
	struct timespec64 atime = inode_get_atime(inode);
	struct orchfs_note *note = oi->note_attr;

	if (!oi->attr_dirty || !note || !inode->i_nlink)
		return;
	oi->note_attr = NULL;
	oi->attr_dirty = false;
	note->kind = ORCHFS_KIND_NOTE_ATTR;
	note->node = inode->i_ino;
	note->valid = ORCHFS_SET_ATIME;
	note->attr.ino = inode->i_ino;
	note->attr.change = oi->change;
	note->attr.atime = atime.tv_sec;
	note->attr.atime_nsec = atime.tv_nsec;
	if (special_file(inode->i_mode))
		orchfs_note_special(inode, note);
	orchfs_note_queue(orchfs_channel_of(inode), note);
}

/*
 * The daemon collects an inode without links when no kernel holds it. A lost
 * notice costs nothing but time: the handles it reads at its next attach tell
 * it the same.
 */
static void orchfs_note_forgotten(struct inode *inode)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);
	struct orchfs_note *note = oi->note_forget;

	if (inode->i_nlink) {
		/* its last name may be gone: the handles will tell */
		if (oi->doubted)
			orchfs_notes_lost(orchfs_channel_of(inode));
		return;
	}
	if (!note)
		note = orchfs_note_alloc(GFP_NOWAIT | __GFP_NOWARN);
	if (note) {
		oi->note_forget = NULL;
		note->kind = ORCHFS_KIND_NOTE_FORGET;
		note->node = inode->i_ino;
		orchfs_note_queue(orchfs_channel_of(inode), note);
	} else {
		orchfs_notes_lost(orchfs_channel_of(inode));
	}
	/* a sync that begins from now on tells the daemon of it first */
	if (S_ISREG(inode->i_mode))
		WRITE_ONCE(ORCHFS_SB(inode->i_sb)->removed, true);
}

void orchfs_evict_inode(struct inode *inode)
{
	const struct orchfs_inode *oi = ORCHFS_I(inode);
	bool bad = is_bad_inode(inode);

	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
	orchfs_listing_drop(inode);
	orchfs_locks_evict(inode);
	if (!bad && S_ISREG(inode->i_mode)) {
		orchfs_unmapped(inode);
		/* may mark it */
		orchfs_layout_evict(inode);
	}
	/* an answer that is under way may bring it back */
	orchfs_raise64(&orchfs_channel_of(inode)->absent,
		       max3(oi->mark, oi->touched, oi->changed));
	if (bad)
		return;
	trace_orchfs_inode_op(ORCHFS_TRACE_EVICT, inode, inode->i_nlink);
	orchfs_note_times(inode);
	orchfs_note_forgotten(inode);
}

/**
 * orchfs_inode_may_forget() - get the memory for note-forget
 * @inode: loses a link in the operation that comes
 *
 * Eviction happens in reclaim, where there is no memory to ask for. The caller
 * holds the inode's i_rwsem.
 *
 * Return: 0 or -ENOMEM.
 */
int orchfs_inode_may_forget(struct inode *inode)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);
	struct orchfs_note *note;

	if (READ_ONCE(oi->note_forget))
		return 0;
	note = orchfs_note_alloc(GFP_KERNEL_ACCOUNT);
	if (!note)
		return -ENOMEM;
	if (cmpxchg(&oi->note_forget, NULL, note))
		orchfs_note_free(note);
	return 0;
}

/**
 * orchfs_inode_txn() - a later fsync of inode must find txn durable
 * @inode: the inode, or the directory whose names changed
 * @txn: 0 when the operation wrote nothing
 */
void orchfs_inode_txn(struct inode *inode, u64 txn)
{
	if (!txn)
		return;
	orchfs_raise64(&ORCHFS_I(inode)->txn, txn);
	orchfs_raise64(&ORCHFS_SB(inode->i_sb)->txn, txn);
}

/**
 * orchfs_inode_stale() - must the attributes be asked for again?
 * @inode: the inode
 *
 * Takes no lock and may be called in RCU walk.
 */
bool orchfs_inode_stale(const struct inode *inode)
{
	return READ_ONCE(ORCHFS_I(inode)->epoch) <
	       orchfs_epoch_believed(inode->i_sb);
}

/* Epochs count from 1, so 0 is older than any. */
static void orchfs_mark_locked(struct inode *inode)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);

	lockdep_assert_held(&inode->i_lock);
	oi->mark = atomic64_inc_return(&orchfs_channel_of(inode)->marks);
	WRITE_ONCE(oi->epoch, 0);
}

/**
 * orchfs_inode_mark_stale() - the daemon contradicts what is cached
 * @inode: its attributes, and the names that lead to it, are asked for again
 */
void orchfs_inode_mark_stale(struct inode *inode)
{
	struct dentry *alias;

	spin_lock(&inode->i_lock);
	orchfs_mark_locked(inode);
	hlist_for_each_entry(alias, &inode->i_dentry, d_u.d_alias)
		orchfs_stamp_clear(alias);
	spin_unlock(&inode->i_lock);
	trace_orchfs_inode_op(ORCHFS_TRACE_STALE, inode, 0);
}

/**
 * orchfs_super_mark() - names in a directory are unknown, or all of an inode is
 * @sb: its inodes don't go away as a whole meanwhile
 * @node: inode number
 * @what: of it is unknown
 *
 * May be called by the handler of a message. Answers that are under way don't
 * make valid what is marked, not even where the inode comes to memory with
 * them.
 *
 * Return: whether the inode is in memory.
 */
bool orchfs_super_mark(struct super_block *sb, u64 node, enum orchfs_mark what)
{
	struct orchfs_channel *ch = ORCHFS_SB(sb)->channel;
	struct inode *inode;
	bool found = false;

	rcu_read_lock();
	inode = find_inode_by_ino_rcu(sb, node);
	if (inode) {
		spin_lock(&inode->i_lock);
		found = !(inode->i_state & (I_FREEING | I_WILL_FREE));
		if (found && what != ORCHFS_MARK_NAMES)
			orchfs_mark_locked(inode);
		if (found && what == ORCHFS_MARK_ATTR)
			WRITE_ONCE(ORCHFS_I(inode)->foreign, 1);
		if (found && what == ORCHFS_MARK_DOUBT)
			ORCHFS_I(inode)->doubted = true;
		WRITE_ONCE(ORCHFS_I(inode)->names, ORCHFS_I(inode)->names + 1);
		spin_unlock(&inode->i_lock);
		trace_orchfs_namei(ORCHFS_TRACE_INVALIDATE, inode, NULL, what);
	}
	rcu_read_unlock();
	if (!found)
		orchfs_raise64(&ch->absent, atomic64_inc_return(&ch->marks));
	return found;
}

/**
 * orchfs_super_unlinked() - an inode lost its last link unseen
 * @sb: its inodes don't go away as a whole meanwhile
 * @attr: the inode's; what counts is ino, and generation and change if given
 * @note: memory for note-forget, which the inode may take, or NULL
 *
 * May be called by the handler of a message. Eviction, which is hastened, tells
 * the daemon then.
 *
 * Return: whether the inode is in memory.
 */
bool orchfs_super_unlinked(struct super_block *sb,
			   const struct orchfs_attr *attr,
			   struct orchfs_note **note)
{
	struct orchfs_inode *oi;
	struct inode *inode;
	bool found = false;

	rcu_read_lock();
	inode = find_inode_by_ino_rcu(sb, attr->ino);
	if (inode) {
		oi = ORCHFS_I(inode);
		spin_lock(&inode->i_lock);
		found = !(inode->i_state & (I_FREEING | I_WILL_FREE)) &&
			(!attr->generation ||
			 oi->generation == attr->generation);
		if (found) {
			orchfs_mark_locked(inode);
			oi->unlinked = oi->mark;
			oi->change = max(oi->change, attr->change);
			WRITE_ONCE(oi->names, oi->names + 1);
			if (inode->i_nlink)
				clear_nlink(inode);
			if (*note && !cmpxchg(&oi->note_forget, NULL, *note))
				*note = NULL;
		}
		spin_unlock(&inode->i_lock);
		trace_orchfs_inode_op(ORCHFS_TRACE_STALE, inode, found);
	}
	rcu_read_unlock();
	if (found)
		orchfs_prune_queue(sb, attr->ino);
	return found;
}

/*
 * Attributes that were asked for at that time were applied. Those that were
 * asked for without a lease are used once, and so are the ACLs.
 */
static void orchfs_valid_locked(struct inode *inode,
				const struct orchfs_stamp *stamp)
{
	struct orchfs_channel *ch = orchfs_channel_of(inode);
	struct orchfs_inode *oi = ORCHFS_I(inode);

	lockdep_assert_held(&inode->i_lock);
	if (oi->mark > stamp->mark ||
	    (u64)atomic64_read(&ch->absent) > stamp->mark)
		return;
	if (oi->epoch < stamp->epoch || orchfs_lease_over(inode->i_sb)) {
		/* ACLs are as old as the attributes were */
		forget_all_cached_acls(inode);
		orchfs_acl_apply_locked(inode, oi->flags);
		oi->doubted = false;
		WRITE_ONCE(oi->epoch, max(oi->epoch, stamp->epoch));
	}
}

static bool orchfs_time_after(struct timespec64 a, struct timespec64 b)
{
	return timespec64_compare(&a, &b) > 0;
}

/* Was that asked for before the kernel knew better, by itself? */
static bool orchfs_before_touch_locked(const struct inode *inode,
				       const struct orchfs_stamp *stamp)
{
	u64 touched = ORCHFS_I(inode)->touched;

	lockdep_assert_held(&inode->i_lock);
	return touched && !(stamp && stamp->mark >= touched);
}

/*
 * Is that the same record as the inode has, asked for before what it has was?
 * Then it may be older in what changes without notice.
 */
static bool orchfs_overtaken_locked(const struct inode *inode,
				    const struct orchfs_attr *attr,
				    const struct orchfs_stamp *stamp)
{
	const struct orchfs_inode *oi = ORCHFS_I(inode);

	lockdep_assert_held(&inode->i_lock);
	return stamp && stamp->mark < oi->answered &&
	       attr->change == oi->change;
}

/*
 * Was the file written in the clock's tick of the mtime that the daemon looked
 * at last? It can't tell that from no write, and goes by the record's.
 */
static bool orchfs_written_unseen_locked(const struct inode *inode)
{
	const struct orchfs_inode *oi = ORCHFS_I(inode);
	struct timespec64 own = inode_get_mtime(inode);

	lockdep_assert_held(&inode->i_lock);
	return !oi->foreign && !oi->remote &&
	       (timespec64_equal(&own, &oi->base_mtime) ||
		timespec64_equal(&own, &oi->base_before));
}

/*
 * The record's mtime, if it may be later than what the kernel knows. A record
 * that was changed since, by another node, is right also where it goes back.
 */
static void orchfs_apply_mtime_locked(struct inode *inode,
				      const struct orchfs_attr *attr,
				      bool explicit, bool forward)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);
	struct timespec64 mtime = { attr->mtime, attr->mtime_nsec };
	struct timespec64 ctime = { attr->ctime, attr->ctime_nsec };

	lockdep_assert_held(&inode->i_lock);

	if (!forward || (!orchfs_written_unseen_locked(inode) &&
			 (orchfs_time_after(mtime, inode_get_mtime(inode)) ||
			  (!explicit && (oi->foreign || oi->remote) &&
			   orchfs_time_after(ctime, inode_get_ctime(inode))))))
		inode_set_mtime_to_ts(inode, mtime);
	/* it comes from who knows of all writes before it was asked for */
	if (oi->seen == ORCHFS_SEEN_WRITTEN)
		WRITE_ONCE(oi->seen, ORCHFS_SEEN_NONE);
}

/*
 * mtime and ctime follow the record unless the kernel knows better: a layout
 * is held (the backing file's times go ahead of the record's) or a notice with
 * later times is under way. Then they only go forward. atime is kept here and
 * told late, so it only goes forward always.
 */
static void orchfs_apply_times_locked(struct inode *inode,
				      const struct orchfs_attr *attr,
				      u32 explicit,
				      const struct orchfs_stamp *stamp)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);
	struct timespec64 atime = { attr->atime, attr->atime_nsec };
	struct timespec64 mtime = { attr->mtime, attr->mtime_nsec };
	struct timespec64 ctime = { attr->ctime, attr->ctime_nsec };
	bool forward, known;

	lockdep_assert_held(&inode->i_lock);

	known = oi->foreign > 1 && stamp && stamp->mark >= oi->foreign;
	if (known || (oi->foreign && !rcu_access_pointer(oi->layout) && stamp &&
		      stamp->mark >= oi->mark))
		WRITE_ONCE(oi->foreign, 0);
	forward = !known && (rcu_access_pointer(oi->layout) ||
			     (oi->attr_dirty && !oi->remote &&
			      !(attr->flags & ORCHFS_ATTR_LIVE) &&
			      (S_ISREG(inode->i_mode) ||
			       special_file(inode->i_mode))));
	oi->told_atime = atime;
	if ((explicit & ORCHFS_SET_ATIME) ||
	    orchfs_time_after(atime, inode_get_atime(inode)))
		inode_set_atime_to_ts(inode, atime);
	if (explicit & ORCHFS_SET_MTIME)
		inode_set_mtime_to_ts(inode, mtime);
	else if (!orchfs_before_touch_locked(inode, stamp))
		orchfs_apply_mtime_locked(inode, attr, explicit, forward);
	if ((explicit & ORCHFS_SET_CTIME) || !forward ||
	    orchfs_time_after(ctime, inode_get_ctime(inode)))
		inode_set_ctime_to_ts(inode, ctime);
}

static void orchfs_apply_size_locked(struct inode *inode,
				     const struct orchfs_attr *attr,
				     const struct orchfs_stamp *stamp)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);

	lockdep_assert_held(&inode->i_lock);

	/* what another node writes this one knows no better */
	if (S_ISREG(inode->i_mode) &&
	    (rcu_access_pointer(oi->layout) ||
	     (oi->attr_dirty && !oi->remote &&
	      !(attr->flags & ORCHFS_ATTR_LIVE)) ||
	     orchfs_before_touch_locked(inode, stamp)))
		return;
	i_size_write(inode, attr->size);
	inode->i_blocks = attr->blocks;
}

/* Names don't come back: what was asked for before they went doesn't count. */
static void orchfs_apply_nlink_locked(struct inode *inode,
				      const struct orchfs_attr *attr,
				      const struct orchfs_stamp *stamp)
{
	u64 unlinked = ORCHFS_I(inode)->unlinked;

	lockdep_assert_held(&inode->i_lock);
	if (unlinked && !(stamp && stamp->mark >= unlinked))
		return;
	if (inode->i_nlink != attr->nlink)
		set_nlink(inode, attr->nlink);
	/* a rename that the VFS took for its end has replaced another one */
	if (IS_DEADDIR(inode) && attr->nlink)
		inode_set_flags(inode, 0, S_DEAD);
}

/*
 * What chattr has set, what is known of xattrs, and whether another node
 * writes: that is not in the record, and an answer that was overtaken doesn't
 * know.
 */
static void orchfs_apply_flags_locked(struct inode *inode,
				      const struct orchfs_attr *attr,
				      bool overtaken)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);
	u32 live = overtaken ? oi->flags : attr->flags;
	unsigned int flags = 0;

	lockdep_assert_held(&inode->i_lock);

	oi->projid = attr->projid;
	WRITE_ONCE(oi->flags, (attr->flags & ~ORCHFS_ATTR_LIVE) |
			      (live & ORCHFS_ATTR_LIVE));
	orchfs_acl_apply_locked(inode, attr->flags);
	if (attr->flags & ORCHFS_ATTR_IMMUTABLE)
		flags |= S_IMMUTABLE;
	if (attr->flags & ORCHFS_ATTR_APPEND)
		flags |= S_APPEND;
	if (attr->flags & ORCHFS_ATTR_NOATIME)
		flags |= S_NOATIME;
	if (attr->flags & ORCHFS_ATTR_SYNC)
		flags |= S_SYNC;
	inode_set_flags(inode, flags,
			S_IMMUTABLE | S_APPEND | S_NOATIME | S_SYNC);
	if (is_sxid(inode->i_mode) || !(attr->flags & ORCHFS_ATTR_NO_CAP))
		inode_set_flags(inode, 0, S_NOSEC);
}

static void orchfs_apply_locked(struct inode *inode,
				const struct orchfs_attr *attr, u32 explicit,
				const struct orchfs_stamp *stamp)
{
	bool overtaken = orchfs_overtaken_locked(inode, attr, stamp);
	struct orchfs_inode *oi = ORCHFS_I(inode);

	lockdep_assert_held(&inode->i_lock);

	if (stamp) {
		oi->asked = max(oi->asked, stamp->epoch);
		oi->answered = max(oi->answered, stamp->mark);
	}
	/*
	 * What wrote the record is what an fsync must find durable, also when
	 * this inode was in memory before, and forgotten, or when the reply of
	 * the operation itself never came.
	 */
	orchfs_inode_txn(inode, attr->change);
	oi->change = attr->change;
	oi->version = attr->version;
	oi->btime.tv_sec = attr->btime;
	oi->btime.tv_nsec = attr->btime_nsec;
	inode->i_mode = attr->mode;
	i_uid_write(inode, attr->uid);
	i_gid_write(inode, attr->gid);
	orchfs_apply_nlink_locked(inode, attr, stamp);
	orchfs_apply_times_locked(inode, attr, explicit, stamp);
	if (!overtaken)
		orchfs_apply_size_locked(inode, attr, stamp);
	orchfs_apply_flags_locked(inode, attr, overtaken);
}

/*
 * Is that what the inode has, or later? Transactions tell, among those of one
 * store: what is here from before the last daemon of another incarnation gives
 * way to whatever that one says, and its answers don't come back.
 */
static bool orchfs_attr_news_locked(const struct inode *inode,
				    const struct orchfs_attr *attr,
				    const struct orchfs_stamp *stamp)
{
	u64 renewed = READ_ONCE(orchfs_channel_of(inode)->renewed);
	const struct orchfs_inode *oi = ORCHFS_I(inode);

	lockdep_assert_held(&inode->i_lock);
	if (stamp && (oi->asked < renewed) != (stamp->epoch < renewed))
		return oi->asked < renewed;
	return attr->change >= oi->change;
}

/**
 * orchfs_inode_update() - apply a reply's attributes
 * @inode: whose attributes they are
 * @attr: of a reply
 * @txn: transaction of the operation, 0 if it wrote nothing
 * @explicit: ORCHFS_SET_ATIME, _MTIME, _CTIME: these were set by the caller
 *	and may go back
 * @stamp: taken before the daemon was asked, the attributes are valid as of
 *	then; NULL: they aren't
 */
void orchfs_inode_update(struct inode *inode, const struct orchfs_attr *attr,
			 u64 txn, u32 explicit,
			 const struct orchfs_stamp *stamp)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);

	orchfs_inode_txn(inode, txn);
	if (attr->ino != inode->i_ino || attr->generation != oi->generation ||
	    inode_wrong_type(inode, attr->mode)) {
		orchfs_inode_mark_stale(inode);
		return;
	}
	spin_lock(&inode->i_lock);
	if (txn)
		oi->changed = atomic64_inc_return(
			&orchfs_channel_of(inode)->marks);
	if (orchfs_attr_news_locked(inode, attr, stamp)) {
		if (txn || !orchfs_overtaken_locked(inode, attr, stamp))
			orchfs_apply_locked(inode, attr, explicit, stamp);
	} else if (txn && stamp) {
		/* begun before a daemon that has told of the inode since */
		orchfs_mark_locked(inode);
	}
	if (stamp)
		orchfs_valid_locked(inode, stamp);
	spin_unlock(&inode->i_lock);
}

void orchfs_inode_apply(struct inode *inode, const struct orchfs_attr *attr,
			u64 txn)
{
	orchfs_inode_update(inode, attr, txn, 0, NULL);
}

/**
 * orchfs_dir_changed() - a name below dir was made, removed or moved
 * @dir: its inode; i_rwsem is held for writing
 * @now: time that went with the request
 * @txn: the transaction, 0 when nothing was written
 * @nlink_delta: change in the number of sub-directories
 *
 * Does what the daemon did to the directory's record. Where the inode has
 * already seen that transaction, because a getattr went by, there is nothing
 * left to do.
 */
void orchfs_dir_changed(struct inode *dir, const struct orchfs_time *now,
			u64 txn, int nlink_delta)
{
	struct orchfs_inode *oi = ORCHFS_I(dir);
	struct timespec64 ts = orchfs_timespec(now);

	if (!txn)
		return;
	orchfs_inode_txn(dir, txn);
	orchfs_listing_drop(dir);
	spin_lock(&dir->i_lock);
	oi->changed = atomic64_inc_return(&orchfs_channel_of(dir)->marks);
	if (oi->change < txn) {
		oi->change = txn;
		inode_set_mtime_to_ts(dir, ts);
		inode_set_ctime_to_ts(dir, ts);
		if (nlink_delta)
			set_nlink(dir, dir->i_nlink + nlink_delta);
	}
	spin_unlock(&dir->i_lock);
}

static int orchfs_init_symlink(struct inode *inode, const char *target, u32 len)
{
	char *link;

	if (!target)
		return -EPROTO;
	link = kmemdup_nul(target, len, GFP_KERNEL_ACCOUNT);
	if (!link)
		return -ENOMEM;
	inode->i_link = link;
	inode->i_op = &orchfs_symlink_iops;
	return 0;
}

static int orchfs_init_new(struct inode *inode, const struct orchfs_attr *attr,
			   const char *target, u32 target_len,
			   const struct orchfs_stamp *stamp)
{
	struct orchfs_inode *oi = ORCHFS_I(inode);
	int ret = 0;

	inode->i_mode = attr->mode;
	switch (attr->mode & S_IFMT) {
	case S_IFREG:
		inode->i_op = &orchfs_file_iops;
		inode->i_fop = &orchfs_file_fops;
		break;
	case S_IFDIR:
		inode->i_op = &orchfs_dir_iops;
		inode->i_fop = &orchfs_dir_fops;
		break;
	case S_IFLNK:
		ret = orchfs_init_symlink(inode, target, target_len);
		break;
	default:
		inode->i_op = &orchfs_special_iops;
		init_special_inode(inode, attr->mode,
				   MKDEV(attr->rdev_major, attr->rdev_minor));
	}
	if (ret)
		return ret;
	oi->generation = attr->generation;
	inode->i_generation = attr->generation;
	spin_lock(&inode->i_lock);
	orchfs_apply_locked(inode, attr, ORCHFS_SET_ATIME, stamp);
	orchfs_valid_locked(inode, stamp);
	spin_unlock(&inode->i_lock);
	return 0;
}

/**
 * orchfs_iget() - find or make the inode that attr describes
 * @sb: the super block
 * @attr: of a reply, which message.c has checked; applied if it isn't older
 *	than what the inode has
 * @target: of a symlink, not NUL-terminated; needed for a new inode only
 * @target_len: its length
 * @stamp: taken before the daemon was asked
 *
 * Return: the inode with a reference; -EPROTO for a symlink without target,
 * -ESTALE when the number belongs to another inode, -ENOMEM.
 */
struct inode *orchfs_iget(struct super_block *sb, const struct orchfs_attr *attr,
			  const char *target, u32 target_len,
			  const struct orchfs_stamp *stamp)
{
	struct inode *inode;
	int ret;

	inode = iget_locked(sb, attr->ino);
	if (!inode)
		return ERR_PTR(-ENOMEM);

	if (inode->i_state & I_NEW) {
		ret = orchfs_init_new(inode, attr, target, target_len, stamp);
		trace_orchfs_inode_op(ORCHFS_TRACE_IGET, inode, ret);
		if (ret) {
			iget_failed(inode);
			return ERR_PTR(ret);
		}
		unlock_new_inode(inode);
		return inode;
	}

	if (is_bad_inode(inode) ||
	    ORCHFS_I(inode)->generation != attr->generation ||
	    inode_wrong_type(inode, attr->mode)) {
		orchfs_inode_mark_stale(inode);
		iput(inode);
		return ERR_PTR(-ESTALE);
	}
	orchfs_inode_update(inode, attr, 0, 0, stamp);
	return inode;
}
