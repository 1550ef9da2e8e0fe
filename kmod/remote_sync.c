// SPDX-License-Identifier: GPL-2.0-only
/*
 * Remote instances that were written and not committed. A super block knows
 * them whether or not there still is a layout of them: what was written is at
 * the peer alone, and only the answer to a COMMIT tells whether it has lost it.
 * So a sync sends one for each, and so does, after a while, a work, which keeps
 * them few.
 */
#include <linux/fs.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "layout.h"
#include "remote.h"

#define UNSYNCED_MAX	4096
#define PASS_COMMITS	16

/**
 * struct orchfs_commit - a COMMIT, and what was known when it began
 * @rio: the request
 * @ri: the instance
 * @unsynced: of it, as the next two
 * @verifier: likewise
 * @writes: likewise
 */
struct orchfs_commit {
	struct orchfs_rio rio;
	struct orchfs_rinode *ri;
	bool unsynced;
	u64 verifier;
	u64 writes;
};

/**
 * struct pass_slot - a COMMIT of a pass
 * @commit: what it is
 * @u: whose pass
 * @busy: is in use
 * @ended: the peer has answered (lock of @u)
 * @renewed: it was refused, and there was a newer token
 */
struct pass_slot {
	struct orchfs_commit commit;
	struct orchfs_unsynced *u;
	bool busy;
	bool ended;
	bool renewed;
};

/**
 * struct orchfs_unsynced - those of a super block
 * @sb: the super block; NULL in tests
 * @wb_err: gets what syncfs is to tell
 * @age: in jiffies, from when on the work commits
 * @work: does
 * @mutex: one pass at a time; the slots are its
 * @slots: COMMITs under way
 * @nr_busy: of them
 * @wq: one has ended, or @stopped
 * @lock: what follows; outside of i_lock of the instances
 * @list: orchfs_rinode.unsynced_node, in the order of unsynced_nr; each holds
 *	its inode
 * @nr: how many
 * @last: the highest unsynced_nr
 * @stopped: the work does nothing any more
 */
struct orchfs_unsynced {
	struct super_block *sb;
	errseq_t *wb_err;
	unsigned long age;
	struct delayed_work work;
	struct mutex mutex;
	struct pass_slot slots[PASS_COMMITS];
	unsigned int nr_busy;
	wait_queue_head_t wq;
	spinlock_t lock;
	struct list_head list;
	unsigned int nr;
	u64 last;
	bool stopped;
};

/* --- the list --- */

static void unsynced_add(struct orchfs_rinode *ri)
{
	struct orchfs_unsynced *u = READ_ONCE(ri->unsynced_in);

	if (!u || !list_empty_careful(&ri->unsynced_node))
		return;
	spin_lock(&u->lock);
	if (list_empty(&ri->unsynced_node)) {
		ihold(&ri->netfs.inode);
		ri->unsynced_nr = ++u->last;
		ri->unsynced_since = jiffies;
		list_add_tail(&ri->unsynced_node, &u->list);
		u->nr++;
	}
	if (!u->stopped && u->nr > UNSYNCED_MAX)
		mod_delayed_work(system_unbound_wq, &u->work, 0);
	else if (!u->stopped)
		queue_delayed_work(system_unbound_wq, &u->work, u->age);
	spin_unlock(&u->lock);
}

/* Off the list, unless something isn't durable after all. */
static void unsynced_settle(struct orchfs_rinode *ri)
{
	struct orchfs_unsynced *u = READ_ONCE(ri->unsynced_in);
	struct inode *inode = &ri->netfs.inode;
	bool settled;

	if (!u || list_empty_careful(&ri->unsynced_node))
		return;
	spin_lock(&u->lock);
	spin_lock(&inode->i_lock);
	settled = !ri->unsynced && !list_empty(&ri->unsynced_node);
	if (settled) {
		list_del_init(&ri->unsynced_node);
		u->nr--;
	}
	spin_unlock(&inode->i_lock);
	spin_unlock(&u->lock);
	if (settled)
		iput(inode);
}

/* What was written may be lost: its openers hear of it, and so does syncfs. */
static void unsynced_lost(struct orchfs_rinode *ri, int err)
{
	struct orchfs_unsynced *u = READ_ONCE(ri->unsynced_in);

	mapping_set_error(ri->netfs.inode.i_mapping, err);
	if (u)
		errseq_set(u->wb_err, err);
}

/**
 * orchfs_remote_written() - the peer has carried out a write
 * @ri: the instance
 * @verifier: of the answer
 * @synced: it is durable
 * @end: the file is at least as long now
 *
 * A verifier other than that of the writes before says that those may be lost,
 * and they are here no more: who syncs hears of it.
 */
void orchfs_remote_written(struct orchfs_rinode *ri, u64 verifier, bool synced,
			   loff_t end)
{
	struct inode *inode = &ri->netfs.inode;
	bool lost;

	spin_lock(&inode->i_lock);
	/* together: an answer that was asked for before must find both */
	ri->writes++;
	if (end > i_size_read(inode))
		i_size_write(inode, end);
	lost = ri->unsynced && ri->verifier != verifier;
	if (!synced || lost)
		ri->unsynced = !synced;
	ri->verifier = verifier;
	spin_unlock(&inode->i_lock);
	if (unlikely(lost))
		unsynced_lost(ri, -EIO);
	if (!synced)
		unsynced_add(ri);
}

/* Nobody needs it any more, or nobody can tell. */
static void unsynced_give_up(struct orchfs_rinode *ri)
{
	struct inode *inode = &ri->netfs.inode;

	spin_lock(&inode->i_lock);
	ri->unsynced = false;
	spin_unlock(&inode->i_lock);
	unsynced_settle(ri);
}

/**
 * orchfs_remote_forget() - a file without names has no user any more
 * @inode: of its instance
 */
void orchfs_remote_forget(struct inode *inode)
{
	unsynced_give_up(ORCHFS_RI(inode));
}

/* --- a COMMIT --- */

static void commit_begin(struct orchfs_rinode *ri, struct orchfs_commit *c)
{
	struct inode *inode = &ri->netfs.inode;

	c->ri = ri;
	spin_lock(&inode->i_lock);
	c->unsynced = ri->unsynced;
	c->verifier = ri->verifier;
	c->writes = ri->writes;
	spin_unlock(&inode->i_lock);
	orchfs_rio_init(ri, &c->rio, ORCHFS_OP_COMMIT);
}

/* Is that the end of what was written, as the peer says? */
static bool commit_failed(int ret)
{
	return ret == -EIO || ret == -ENOSPC || ret == -EDQUOT ||
	       ret == -EACCES || ret == -ENOENT;
}

/* What its answer tells; the return value is that of orchfs_remote_commit(). */
static int commit_end(struct orchfs_commit *c)
{
	struct orchfs_rinode *ri = c->ri;
	struct inode *inode = &ri->netfs.inode;
	int ret = orchfs_rio_error(c->rio.err);
	bool lost;

	/* Who may not write has nothing to commit. */
	if (ret == -EACCES && !c->unsynced)
		return 0;
	if (ret && !(c->rio.answered && commit_failed(ret)))
		return ret;
	/* Of a file that is gone nothing is. */
	lost = ret ? ret != -ENOENT :
		c->unsynced && c->rio.verifier != c->verifier;

	spin_lock(&inode->i_lock);
	/* writes that were answered meanwhile have their own verifier */
	if (ri->writes == c->writes) {
		ri->unsynced = false;
		if (!ret)
			ri->verifier = c->rio.verifier;
	}
	spin_unlock(&inode->i_lock);
	if (lost)
		unsynced_lost(ri, ret ?: -EIO);
	unsynced_settle(ri);
	return ret;
}

/**
 * orchfs_remote_commit() - what was written becomes durable
 * @inode: of an instance
 *
 * What was lost before it was durable, since the last commit, is noted in the
 * mapping; so is an error of the peer's disk, which is told once only.
 *
 * Return: 0; -EINTR; -EIO when no connection came in time; the peer's error.
 */
int orchfs_remote_commit(struct inode *inode)
{
	struct orchfs_rinode *ri = ORCHFS_RI(inode);
	struct orchfs_commit c;

	commit_begin(ri, &c);
	orchfs_rio_wait(ri->remote, &c.rio);
	return commit_end(&c);
}

/* --- COMMITs for all --- */

static void slot_done(struct orchfs_rio *rio)
{
	struct pass_slot *slot = container_of(rio, struct pass_slot,
					      commit.rio);
	struct orchfs_unsynced *u = slot->u;

	/* It is looked at under the lock, and gone then. */
	spin_lock(&u->lock);
	slot->ended = true;
	wake_up(&u->wq);
	spin_unlock(&u->lock);
}

static void slot_submit(struct pass_slot *slot, struct orchfs_rinode *ri)
{
	slot->ended = false;
	commit_begin(ri, &slot->commit);
	slot->commit.rio.done = slot_done;
	orchfs_rio_submit(ri->remote, &slot->commit.rio);
}

static void slot_begin(struct orchfs_unsynced *u, struct orchfs_rinode *ri)
{
	struct pass_slot *slot = u->slots;

	while (slot->busy)
		slot++;
	slot->u = u;
	slot->busy = true;
	slot->renewed = false;
	u->nr_busy++;
	slot_submit(slot, ri);
}

/*
 * The next, with a reference for the caller; it goes to the end, as it may have
 * to stay.
 */
static struct orchfs_rinode *unsynced_take(struct orchfs_unsynced *u, u64 upto,
					   unsigned long age)
{
	struct orchfs_rinode *ri;

	spin_lock(&u->lock);
	ri = list_first_entry_or_null(&u->list, struct orchfs_rinode,
				      unsynced_node);
	if (ri && (ri->unsynced_nr > upto ||
		   (u->nr <= UNSYNCED_MAX &&
		    time_before(jiffies, ri->unsynced_since + age))))
		ri = NULL;
	if (ri) {
		ihold(&ri->netfs.inode);
		ri->unsynced_nr = ++u->last;
		ri->unsynced_since = jiffies;
		list_move_tail(&ri->unsynced_node, &u->list);
	}
	spin_unlock(&u->lock);
	return ri;
}

/* A fresh layout brings a token, where the file is in memory. */
static int unsynced_renew(struct orchfs_unsynced *u,
			  const struct orchfs_rinode *ri)
{
	struct inode *outer = u->sb ? ilookup(u->sb, ri->id.ino) : NULL;
	int ret = -ESTALE;

	if (outer && S_ISREG(outer->i_mode))
		ret = orchfs_layout_renew(outer, false);
	iput(outer);
	return ret;
}

/*
 * Returns an error to be told. Where a COMMIT is refused a sync gets a newer
 * token, and without one nobody can tell; the work leaves that to a sync, as
 * long as there are few.
 */
static int slot_end(struct pass_slot *slot, bool sync)
{
	struct orchfs_rinode *ri = slot->commit.ri;
	struct orchfs_unsynced *u = slot->u;
	int ret = commit_end(&slot->commit);

	if (sync && orchfs_refused(ret) && !slot->renewed) {
		slot->renewed = true;
		ret = unsynced_renew(u, ri);
		if (!ret) {
			slot_submit(slot, ri);
			return 0;
		}
	}
	if (orchfs_refused(ret) && (sync || READ_ONCE(u->nr) > UNSYNCED_MAX)) {
		unsynced_lost(ri, -EIO);
		unsynced_give_up(ri);
	}
	slot->busy = false;
	u->nr_busy--;
	iput(&ri->netfs.inode);
	return ret == -ENOENT ? 0 : orchfs_told(ret);
}

static struct pass_slot *pass_ended(struct orchfs_unsynced *u)
{
	struct pass_slot *ended = NULL;
	int i;

	spin_lock(&u->lock);
	for (i = 0; i < PASS_COMMITS && !ended; i++)
		if (u->slots[i].busy && u->slots[i].ended)
			ended = &u->slots[i];
	spin_unlock(&u->lock);
	return ended;
}

static void pass_cancel(struct orchfs_unsynced *u)
{
	int i;

	for (i = 0; i < PASS_COMMITS; i++)
		if (u->slots[i].busy)
			orchfs_rio_cancel(&u->slots[i].commit.rio);
}

/* One that has ended; NULL when it is time to stop, with the error in *ret. */
static struct pass_slot *pass_wait(struct orchfs_unsynced *u, bool sync,
				   long *patience, int *ret)
{
	struct pass_slot *slot;
	long left;

	left = wait_event_killable_timeout(u->wq, (slot = pass_ended(u)) ||
					   (!sync && READ_ONCE(u->stopped)),
					   *patience);
	if (slot)
		*patience = max(left, 1);
	else
		*ret = left < 0 ? -EINTR : -EIO;
	return slot;
}

/* Commit what is on the list now: all, or what has waited for long. */
static int pass_run(struct orchfs_unsynced *u, bool sync, long patience)
{
	u64 upto = READ_ONCE(u->last);
	struct orchfs_rinode *ri;
	struct pass_slot *slot;
	int ret = 0, err = 0;

	for (;;) {
		while (!err && u->nr_busy < PASS_COMMITS &&
		       (ri = unsynced_take(u, upto, sync ? 0 : u->age)))
			slot_begin(u, ri);
		if (!u->nr_busy)
			break;
		slot = NULL;
		if (!err) {
			slot = pass_wait(u, sync, &patience, &err);
			if (!slot)
				pass_cancel(u);
		}
		if (!slot)
			wait_event(u->wq, (slot = pass_ended(u)));
		ret = slot_end(slot, sync && !err) ?: ret;
	}
	return err ?: ret;
}

static void unsynced_work(struct work_struct *work)
{
	struct orchfs_unsynced *u = container_of(to_delayed_work(work),
						 struct orchfs_unsynced, work);

	if (mutex_trylock(&u->mutex)) {
		pass_run(u, false, MAX_SCHEDULE_TIMEOUT);
		mutex_unlock(&u->mutex);
	}
	spin_lock(&u->lock);
	if (!list_empty(&u->list) && !u->stopped)
		queue_delayed_work(system_unbound_wq, &u->work, u->age);
	spin_unlock(&u->lock);
}

/**
 * orchfs_unsynced_commit() - commit all that was written until now
 * @u: of a super block; NULL is fine
 * @patience: jiffies to wait for the peers, in which one may also be killed
 *
 * Return: 0; -EINTR; an error of a peer, or -EIO where one can't be asked. What
 * was lost is told by wb_err.
 */
int orchfs_unsynced_commit(struct orchfs_unsynced *u, long patience)
{
	int ret;

	if (!u || list_empty_careful(&u->list))
		return 0;
	if (mutex_lock_killable(&u->mutex))
		return -EINTR;
	ret = pass_run(u, true, patience);
	mutex_unlock(&u->mutex);
	return ret;
}

/**
 * orchfs_unsynced_new() - nothing is unsynced yet
 * @sb: of the inodes that tokens are renewed by, or NULL
 * @wb_err: gets errors that syncfs tells
 * @age: jiffies after which a COMMIT is sent where nobody syncs
 *
 * Return: it, or NULL.
 */
struct orchfs_unsynced *orchfs_unsynced_new(struct super_block *sb,
					    errseq_t *wb_err,
					    unsigned long age)
{
	struct orchfs_unsynced *u = kzalloc(sizeof(*u), GFP_KERNEL);

	if (!u)
		return NULL;
	u->sb = sb;
	u->wb_err = wb_err;
	u->age = age;
	INIT_DELAYED_WORK(&u->work, unsynced_work);
	mutex_init(&u->mutex);
	init_waitqueue_head(&u->wq);
	spin_lock_init(&u->lock);
	INIT_LIST_HEAD(&u->list);
	return u;
}

/**
 * orchfs_unsynced_stop() - commit nothing any more but when asked to
 * @u: of a super block whose inodes will go; NULL is fine
 *
 * Waits for the work, not for the peers.
 */
void orchfs_unsynced_stop(struct orchfs_unsynced *u)
{
	if (!u)
		return;
	spin_lock(&u->lock);
	u->stopped = true;
	wake_up(&u->wq);
	spin_unlock(&u->lock);
	cancel_delayed_work_sync(&u->work);
}

/**
 * orchfs_unsynced_end() - let go of what is on the list
 * @u: stopped; nobody writes any more. NULL is fine
 *
 * Return: how many may have lost something.
 */
unsigned int orchfs_unsynced_end(struct orchfs_unsynced *u)
{
	struct orchfs_rinode *ri;
	unsigned int nr = 0;

	while (u && (ri = unsynced_take(u, U64_MAX, 0))) {
		nr += ri->unsynced;
		unsynced_give_up(ri);
		iput(&ri->netfs.inode);
	}
	return nr;
}

/**
 * orchfs_unsynced_free() - undo orchfs_unsynced_new()
 * @u: after orchfs_unsynced_end(), if anything was ever written; NULL is fine
 */
void orchfs_unsynced_free(struct orchfs_unsynced *u)
{
	if (!u)
		return;
	WARN_ON_ONCE(!list_empty(&u->list));
	mutex_destroy(&u->mutex);
	kfree(u);
}
