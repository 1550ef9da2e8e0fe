// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inodes whose last name was taken by another node, or unseen by its caller.
 * The daemon keeps them until every kernel that may use them has told that it
 * doesn't: at eviction where the inode is in memory. Where it isn't, an answer
 * that was asked for before may still bring it, so note-forget waits until all
 * of these are applied.
 */
#include <linux/slab.h>

#include "channel.h"

/* May an inode come to memory with an answer of this kind? */
static bool orchfs_kind_brings(u32 kind)
{
	switch (kind) {
	case ORCHFS_KIND_MOUNT:
	case ORCHFS_KIND_LOOKUP:
	case ORCHFS_KIND_GETATTR:
	case ORCHFS_KIND_CREATE:
	case ORCHFS_KIND_READDIR:
		return true;
	default:
		return false;
	}
}

/**
 * orchfs_answer_begin() - something is about to be asked for
 * @ch: the channel
 * @kind: ORCHFS_KIND_*
 * @res: empty; orchfs_answer_end() it when the answer is applied
 */
void orchfs_answer_begin(struct orchfs_channel *ch, u32 kind,
			 struct orchfs_result *res)
{
	if (!orchfs_kind_brings(kind))
		return;
	res->answers = &orchfs_net_of(ch->net)->answers;
	res->answers_idx = srcu_down_read(res->answers);
	__release(res->answers);
}

/**
 * orchfs_answer_end() - no inode comes to memory any more with an answer
 * @res: may be empty
 */
void orchfs_answer_end(struct orchfs_result *res)
{
	struct srcu_struct *answers = res->answers;

	if (!answers)
		return;
	res->answers = NULL;
	__acquire(answers);
	srcu_up_read(answers, res->answers_idx);
}

/* Nothing that was asked for before brings the inode now. Consumes note. */
static void orchfs_unlinked_end(struct orchfs_channel *ch,
				struct super_block *sb,
				struct orchfs_note *note)
{
	const struct orchfs_attr attr = note->attr;

	if (sb && orchfs_super_unlinked(sb, &attr, &note))
		orchfs_note_free(note);
	else
		orchfs_note_queue(ch, note);
}

static void orchfs_unlinked_rcu(struct rcu_head *rcu)
{
	struct orchfs_channel *ch = container_of(rcu, struct orchfs_channel,
						 gone_rcu);

	queue_work(orchfs_channel_wq, &ch->gone_work);
}

/* Begin to wait for what is under way now; that has a reference of its own. */
static bool orchfs_unlinked_next_locked(struct orchfs_channel *ch)
{
	lockdep_assert_held(&ch->lock);
	ch->gone_waits = !list_empty(&ch->gone_next);
	list_splice_tail_init(&ch->gone_next, &ch->gone);
	return ch->gone_waits;
}

static void orchfs_unlinked_wait(struct orchfs_channel *ch)
{
	call_srcu(&orchfs_net_of(ch->net)->answers, &ch->gone_rcu,
		  orchfs_unlinked_rcu);
}

static void orchfs_unlinked_work(struct work_struct *work)
{
	struct orchfs_channel *ch = container_of(work, struct orchfs_channel,
						 gone_work);
	struct orchfs_note *note, *next;
	struct super_block *sb;
	LIST_HEAD(gone);
	u32 nr = 0;
	bool again;

	spin_lock(&ch->lock);
	list_splice_init(&ch->gone, &gone);
	spin_unlock(&ch->lock);

	sb = orchfs_channel_sb_get(ch);
	list_for_each_entry_safe(note, next, &gone, link) {
		list_del_init(&note->link);
		orchfs_unlinked_end(ch, sb, note);
		nr++;
	}
	orchfs_channel_sb_put(ch, sb);

	spin_lock(&ch->lock);
	ch->nr_gone -= nr;
	again = orchfs_unlinked_next_locked(ch);
	spin_unlock(&ch->lock);
	if (again)
		orchfs_unlinked_wait(ch);
	else
		orchfs_channel_put(ch);
}

/* Keep the notice until the answers are applied that are under way. */
static void orchfs_unlinked_later(struct orchfs_channel *ch,
				  struct orchfs_note *note)
{
	bool begin = false, kept;

	spin_lock(&ch->lock);
	kept = ch->nr_gone < ORCHFS_NOTES_MAX;
	if (kept) {
		list_add_tail(&note->link, &ch->gone_next);
		ch->nr_gone++;
		begin = !ch->gone_waits && orchfs_unlinked_next_locked(ch);
	} else {
		ch->notes_lost = true;
	}
	spin_unlock(&ch->lock);
	if (!kept)
		orchfs_note_free(note);
	if (begin) {
		orchfs_channel_get(ch);
		orchfs_unlinked_wait(ch);
	}
}

/**
 * orchfs_unlinked() - an inode has lost its last name
 * @ch: the channel; the caller holds a reference
 * @sb: its superblock, which the caller keeps; NULL: none, so nothing is in
 *	memory or comes there
 * @attr: of the inode; what counts is ino, and generation and change if given
 *
 * May sleep to allocate. Note-forget follows when the inode isn't in memory,
 * and else when it leaves it.
 */
void orchfs_unlinked(struct orchfs_channel *ch, struct super_block *sb,
		     const struct orchfs_attr *attr)
{
	struct orchfs_note *note = orchfs_note_alloc(GFP_KERNEL);
	bool found;

	if (note) {
		note->kind = ORCHFS_KIND_NOTE_FORGET;
		note->node = attr->ino;
		note->attr = *attr;
	}
	found = sb && orchfs_super_unlinked(sb, attr, &note);
	if (found)
		orchfs_note_free(note);
	else if (!note)
		orchfs_notes_lost(ch);
	else if (sb)
		orchfs_unlinked_later(ch, note);
	else
		orchfs_note_queue(ch, note);
	/* an answer that is under way is older */
	if (sb && !found)
		orchfs_super_mark(sb, attr->ino, ORCHFS_MARK_ATTR);
}

/**
 * orchfs_unlinked_init() - of a new channel
 * @ch: zeroed
 */
void orchfs_unlinked_init(struct orchfs_channel *ch)
{
	INIT_LIST_HEAD(&ch->gone);
	INIT_LIST_HEAD(&ch->gone_next);
	INIT_WORK(&ch->gone_work, orchfs_unlinked_work);
}

/**
 * orchfs_unlinked_flush() - wait for what was begun
 * @on: its channels have no daemon and no superblock
 *
 * A second round may follow the first, and no third.
 */
void orchfs_unlinked_flush(struct orchfs_net *on)
{
	int round;

	for (round = 0; round < 2; round++) {
		srcu_barrier(&on->answers);
		flush_workqueue(orchfs_channel_wq);
	}
}
