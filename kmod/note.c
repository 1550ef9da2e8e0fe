// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel tells the daemon and nobody waits for: notices, and the end
 * of a layout-set. A notice is made in memory that was allocated with the
 * inode, so that reclaim never allocates or waits to queue one. They are sent
 * in batches by a work item, which waits a little for more of them. When the daemon goes they are dropped: the next
 * one reads the handles.
 */
#include <linux/slab.h>

#include "channel.h"
#include "trace.h"

#define ORCHFS_EVENTS_MAX	4096

/* A layout-done message on its way; sent as a clone until one is taken. */
struct orchfs_event {
	struct list_head link;
	struct sk_buff *skb;
};

static struct kmem_cache *orchfs_note_cache;

/**
 * orchfs_note_alloc() - memory for one notice
 * @gfp: how
 *
 * Return: an empty notice, owned by the caller until it is queued; or NULL.
 */
struct orchfs_note *orchfs_note_alloc(gfp_t gfp)
{
	struct orchfs_note *note = kmem_cache_zalloc(orchfs_note_cache, gfp);

	if (note)
		INIT_LIST_HEAD(&note->link);
	return note;
}

/**
 * orchfs_note_free() - free a notice that was not queued
 * @note: may be NULL
 */
void orchfs_note_free(struct orchfs_note *note)
{
	if (note)
		kmem_cache_free(orchfs_note_cache, note);
}

/**
 * orchfs_note_drop_list() - free notices that nobody will be told
 * @notes: a list of the caller's own
 */
void orchfs_note_drop_list(struct list_head *notes)
{
	struct orchfs_note *note, *next;

	list_for_each_entry_safe(note, next, notes, link)
		orchfs_note_free(note);
	INIT_LIST_HEAD(notes);
}

static void orchfs_event_free(struct orchfs_event *event)
{
	kfree_skb(event->skb);
	kfree(event);
}

/**
 * orchfs_event_drop_list() - free events that nobody will be told
 * @events: a list of the caller's own
 */
void orchfs_event_drop_list(struct list_head *events)
{
	struct orchfs_event *event, *next;

	list_for_each_entry_safe(event, next, events, link)
		orchfs_event_free(event);
	INIT_LIST_HEAD(events);
}

/*
 * The work holds a reference of the channel from here to its end. With a delay
 * it only sees to it that the work will run.
 */
static void orchfs_note_kick_locked(struct orchfs_channel *ch,
				    unsigned long delay)
{
	bool pending;

	lockdep_assert_held(&ch->lock);
	if (delay && delayed_work_pending(&ch->notes_work))
		return;
	orchfs_channel_get(ch);
	if (delay)
		pending = !queue_delayed_work(orchfs_channel_wq,
					      &ch->notes_work, delay);
	else
		pending = mod_delayed_work(orchfs_channel_wq, &ch->notes_work,
					   0);
	/* The caller has a reference: this is never the last one. */
	if (pending)
		orchfs_channel_put(ch);
}

/**
 * orchfs_note_cancel() - the daemon has gone: nothing will be sent
 * @ch: the channel, detached; the caller holds a reference
 */
void orchfs_note_cancel(struct orchfs_channel *ch)
{
	if (cancel_delayed_work(&ch->notes_work))
		orchfs_channel_put(ch);
}

/* A single one waits for company; the end of a session does not. */
static unsigned long orchfs_note_delay_locked(const struct orchfs_channel *ch,
					      u32 kind)
{
	lockdep_assert_held(&ch->lock);
	if (kind == ORCHFS_KIND_NOTE_UMOUNT ||
	    ch->nr_notes >= ORCHFS_NOTES_BATCH)
		return 0;
	return ORCHFS_NOTES_DELAY;
}

/**
 * orchfs_note_queue() - queue a notice
 * @ch: the channel
 * @note: consumed
 *
 * Never sleeps, never fails. Without a daemon it is dropped. Above the limit
 * it is dropped too, and the daemon is told to read the handles again; the end
 * of a session is always kept.
 */
void orchfs_note_queue(struct orchfs_channel *ch, struct orchfs_note *note)
{
	/* Once queued it may be gone. */
	u32 kind = note->kind;
	u64 node = note->node;
	bool queued = false, ready;

	if (WARN_ON_ONCE(kind >= ORCHFS_NR_KINDS)) {
		orchfs_note_free(note);
		return;
	}
	atomic64_inc(&ch->counters[kind].count);

	spin_lock(&ch->lock);
	ready = ch->state == ORCHFS_READY;
	if (!ready && ch->state != ORCHFS_ATTACHING)
		goto out;
	if (ch->nr_notes >= ORCHFS_NOTES_MAX &&
	    kind != ORCHFS_KIND_NOTE_UMOUNT) {
		ch->notes_lost = true;
		atomic64_inc(&ch->counters[kind].errors);
		goto out;
	}
	list_add_tail(&note->link, &ch->notes);
	ch->nr_notes++;
	queued = true;
	if (ready)
		orchfs_note_kick_locked(ch, orchfs_note_delay_locked(ch, kind));
out:
	spin_unlock(&ch->lock);

	trace_orchfs_note(ch->name, kind, node, queued);
	if (!queued)
		orchfs_note_free(note);
}

/**
 * orchfs_note_forget() - tell that nobody holds an inode without links
 * @ch: the channel
 * @node: an inode that isn't in memory, so none was reserved with it
 *
 * May sleep to allocate. Where that fails the daemon reads the handles.
 */
void orchfs_note_forget(struct orchfs_channel *ch, u64 node)
{
	struct orchfs_note *note = orchfs_note_alloc(GFP_KERNEL);

	if (!note) {
		spin_lock(&ch->lock);
		ch->notes_lost = true;
		spin_unlock(&ch->lock);
		return;
	}
	note->kind = ORCHFS_KIND_NOTE_FORGET;
	note->node = node;
	orchfs_note_queue(ch, note);
}

/**
 * orchfs_note_flush() - send what is queued before the request that comes
 * @ch: the channel
 *
 * What the socket has no room for goes later.
 */
void orchfs_note_flush(struct orchfs_channel *ch)
{
	spin_lock(&ch->lock);
	if (ch->state == ORCHFS_READY && !list_empty(&ch->notes))
		orchfs_note_kick_locked(ch, 0);
	spin_unlock(&ch->lock);
	flush_delayed_work(&ch->notes_work);
}

/**
 * orchfs_notes_lost() - the daemon shall read the handles
 * @ch: the channel
 *
 * Something that it should have been told of couldn't be kept.
 */
void orchfs_notes_lost(struct orchfs_channel *ch)
{
	spin_lock(&ch->lock);
	ch->notes_lost = true;
	spin_unlock(&ch->lock);
}

/**
 * orchfs_note_stray() - a layout that was granted is not held by anybody
 * @ch: the channel
 *
 * The daemon goes on believing that it is outside, and asks the volume for the
 * inode's size now and then, until the next layout of the inode comes back. It
 * is not told of each: another layout of the inode may be on its way, which a
 * note-return would end too. After so many it reads the handles.
 */
void orchfs_note_stray(struct orchfs_channel *ch)
{
	spin_lock(&ch->lock);
	if (++ch->strays >= ORCHFS_STRAYS_MAX) {
		ch->strays = 0;
		ch->notes_lost = true;
	}
	spin_unlock(&ch->lock);
}

/**
 * orchfs_event_queue() - send a message that nobody waits for
 * @ch: the channel
 * @skb: consumed; NULL: there was no memory for it
 *
 * May sleep to allocate. Dropped when the daemon has gone. If it can't be kept
 * the daemon is told to read again what there is.
 *
 * Return: false when it was dropped.
 */
bool orchfs_event_queue(struct orchfs_channel *ch, struct sk_buff *skb)
{
	struct orchfs_event *event;
	bool queued = false;

	if (!skb)
		goto err_lost;
	event = kmalloc(sizeof(*event), GFP_KERNEL);
	if (!event)
		goto err_free_skb;
	event->skb = skb;

	spin_lock(&ch->lock);
	if (ch->state == ORCHFS_READY || ch->state == ORCHFS_ATTACHING) {
		queued = ch->nr_events < ORCHFS_EVENTS_MAX;
		if (queued) {
			list_add_tail(&event->link, &ch->events);
			ch->nr_events++;
			orchfs_note_kick_locked(ch, 0);
		} else {
			ch->notes_lost = true;
		}
	}
	spin_unlock(&ch->lock);
	if (!queued)
		orchfs_event_free(event);
	return queued;

err_free_skb:
	kfree_skb(skb);
err_lost:
	orchfs_notes_lost(ch);
	return false;
}

/**
 * orchfs_layout_done() - tell the daemon the end of a layout-set
 * @sb: the superblock; the caller keeps it alive
 * @request_id: as the daemon gave it
 * @node: inode number
 * @generation: of the layout that is in use now
 * @status: 0, or a negative errno with which the old layout is in use
 * @writers: how often the file is open for writing
 *
 * May sleep to allocate. Dropped when the daemon has gone; the next one reads
 * the generation from the handles.
 */
void orchfs_layout_done(struct super_block *sb, u64 request_id, u64 node,
			u64 generation, int status, u32 writers)
{
	/* The daemon reads the generation from the handles if it is lost. */
	orchfs_event_queue(ORCHFS_SB(sb)->channel,
			   orchfs_message_layout_done(request_id, node,
						      generation, status,
						      writers));
}

/* Take up to a batch; its length, 0 when there is none or nobody to tell. */
static unsigned int orchfs_note_take(struct orchfs_channel *ch,
				     struct list_head *batch, u32 *portid,
				     u32 *attach)
{
	unsigned int n = 0;

	spin_lock(&ch->lock);
	while (ch->state == ORCHFS_READY && n < ORCHFS_NOTES_BATCH &&
	       !list_empty(&ch->notes)) {
		list_move_tail(ch->notes.next, batch);
		n++;
	}
	ch->nr_notes -= n;
	*portid = ch->portid;
	*attach = ch->attach;
	spin_unlock(&ch->lock);
	return n;
}

/* Put a batch back unless its daemon has gone. */
static void orchfs_note_untake(struct orchfs_channel *ch,
			       struct list_head *batch, unsigned int n,
			       u32 attach)
{
	spin_lock(&ch->lock);
	if (ch->attach == attach && ch->state == ORCHFS_READY) {
		list_splice_init(batch, &ch->notes);
		ch->nr_notes += n;
		ch->notes_stuck = true;
	}
	spin_unlock(&ch->lock);
}

/* Returns whether to go on. */
static bool orchfs_note_send_batch(struct orchfs_channel *ch)
{
	struct sk_buff *skb;
	LIST_HEAD(batch);
	unsigned int n;
	u32 portid, attach;
	bool sent;

	n = orchfs_note_take(ch, &batch, &portid, &attach);
	if (!n)
		return false;
	skb = orchfs_message_notes(&batch);
	sent = skb && !ch->send(ch, skb, portid);
	if (!sent)
		orchfs_note_untake(ch, &batch, n, attach);
	orchfs_note_drop_list(&batch);
	return sent;
}

static bool orchfs_event_send_one(struct orchfs_channel *ch)
{
	struct orchfs_event *event = NULL;
	struct sk_buff *skb;
	u32 portid, attach;

	spin_lock(&ch->lock);
	if (ch->state == ORCHFS_READY)
		event = list_first_entry_or_null(&ch->events,
						 struct orchfs_event, link);
	if (event) {
		list_del_init(&event->link);
		ch->nr_events--;
	}
	portid = ch->portid;
	attach = ch->attach;
	spin_unlock(&ch->lock);
	if (!event)
		return false;

	skb = skb_clone(event->skb, GFP_KERNEL);
	if (skb && !ch->send(ch, skb, portid)) {
		orchfs_event_free(event);
		return true;
	}
	spin_lock(&ch->lock);
	if (ch->attach == attach && ch->state == ORCHFS_READY) {
		list_add(&event->link, &ch->events);
		ch->nr_events++;
		event = NULL;
	}
	spin_unlock(&ch->lock);
	if (event)
		orchfs_event_free(event);
	return false;
}

/**
 * orchfs_note_work() - send what is queued until the socket is full
 * @work: orchfs_channel.notes_work; drops the reference it came with
 */
void orchfs_note_work(struct work_struct *work)
{
	struct orchfs_channel *ch = container_of(to_delayed_work(work),
						 struct orchfs_channel,
						 notes_work);

	while (orchfs_event_send_one(ch))
		cond_resched();
	while (orchfs_note_send_batch(ch))
		cond_resched();
	orchfs_channel_put(ch);
}

/* The socket was full, or they came before the daemon was ready. */
static void orchfs_note_resume(struct orchfs_channel *ch)
{
	spin_lock(&ch->lock);
	if (ch->state == ORCHFS_READY &&
	    (ch->notes_stuck || !list_empty(&ch->events)))
		orchfs_note_kick_locked(ch, 0);
	else if (ch->state == ORCHFS_READY && !list_empty(&ch->notes))
		orchfs_note_kick_locked(ch, ORCHFS_NOTES_DELAY);
	ch->notes_stuck = false;
	spin_unlock(&ch->lock);
}

/**
 * orchfs_channel_kick() - the daemon lives: send it what waits
 * @ch: the channel; the caller holds a reference
 */
void orchfs_channel_kick(struct orchfs_channel *ch)
{
	if (!list_empty_careful(&ch->notes) || !list_empty_careful(&ch->events))
		orchfs_note_resume(ch);
	if (!list_empty_careful(&ch->waiting))
		orchfs_request_deliver(ch);
}

/**
 * orchfs_note_init() - make the cache of notices
 *
 * Return: 0 or -ENOMEM.
 */
int orchfs_note_init(void)
{
	orchfs_note_cache = KMEM_CACHE(orchfs_note, SLAB_RECLAIM_ACCOUNT |
				       SLAB_ACCOUNT);
	return orchfs_note_cache ? 0 : -ENOMEM;
}

/**
 * orchfs_note_exit() - undo orchfs_note_init()
 */
void orchfs_note_exit(void)
{
	kmem_cache_destroy(orchfs_note_cache);
}
