// SPDX-License-Identifier: GPL-2.0-only
/*
 * Channels: daemons attach to them and go away, superblocks are bound to them
 * and go away, in any order.
 *
 *	              attach            ready
 *	(new) ------> attaching ------> ready
 *	                 ^  \           /
 *	          attach |   socket closed
 *	                 |   v
 *	                detached ------> dead
 *	                        umount
 *
 * A channel whose socket closes while no superblock is bound is dead at once.
 * A dead one is skipped by everybody and freed with its last reference.
 */
#include <linux/fs_context.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/uuid.h>
#include <net/netns/generic.h>

#include "channel.h"
#include "client.h"
#include "layout.h"
#include "nl_gen.h"
#include "trace.h"

unsigned int orchfs_net_id;
u8 orchfs_boot_id[16];
struct workqueue_struct *orchfs_channel_wq;

/**
 * orchfs_net_of() - what orchfs keeps for a network namespace
 * @net: alive
 *
 * Return: never NULL.
 */
struct orchfs_net *orchfs_net_of(struct net *net)
{
	return net_generic(net, orchfs_net_id);
}

static int orchfs_channel_send(struct orchfs_channel *ch, struct sk_buff *skb,
			       u32 portid)
{
	return genlmsg_unicast(ch->net, skb, portid);
}

/**
 * orchfs_channel_new() - make a channel without daemon and superblock
 * @net: outlives the channel
 * @uuid: 16 bytes
 * @name: of the namespace
 *
 * Return: the channel with one reference, on no list; NULL without memory.
 */
struct orchfs_channel *orchfs_channel_new(struct net *net, const u8 *uuid,
					  const char *name)
{
	struct orchfs_channel *ch = kzalloc(sizeof(*ch), GFP_KERNEL);

	if (!ch)
		return NULL;
	INIT_LIST_HEAD(&ch->link);
	refcount_set(&ch->refs, 1);
	ch->net = net;
	memcpy(ch->uuid, uuid, sizeof(ch->uuid));
	strscpy(ch->name, name, sizeof(ch->name));
	ch->send = orchfs_channel_send;
	spin_lock_init(&ch->lock);
	ch->state = ORCHFS_DETACHED;
	xa_init(&ch->table);
	INIT_LIST_HEAD(&ch->waiting);
	INIT_LIST_HEAD(&ch->notes);
	INIT_LIST_HEAD(&ch->events);
	init_waitqueue_head(&ch->wq);
	init_waitqueue_head(&ch->slot_wq);
	INIT_DELAYED_WORK(&ch->notes_work, orchfs_note_work);
	orchfs_unlinked_init(ch);
	atomic64_set(&ch->epoch, 1);
	trace_orchfs_channel(ORCHFS_TRACE_CHANNEL_NEW, ch->name, 0);
	return ch;
}

/**
 * orchfs_channel_put() - drop a reference
 * @ch: may sleep if it is the last one
 */
void orchfs_channel_put(struct orchfs_channel *ch)
{
	struct orchfs_net *on = orchfs_net_of(ch->net);

	if (!refcount_dec_and_mutex_lock(&ch->refs, &on->lock))
		return;
	list_del_rcu(&ch->link);
	mutex_unlock(&on->lock);

	trace_orchfs_channel(ORCHFS_TRACE_CHANNEL_FREE, ch->name, 0);
	WARN_ON_ONCE(ch->requests || ch->nr_notes || ch->nr_events ||
		     ch->nr_gone);
	xa_destroy(&ch->table);
	kfree_rcu(ch, rcu);
}

/**
 * orchfs_channel_by_port() - the channel that a socket is the daemon of
 * @net: network namespace of the socket
 * @portid: its port
 *
 * Return: the channel with a reference for the caller, or NULL.
 */
struct orchfs_channel *orchfs_channel_by_port(struct net *net, u32 portid)
{
	struct orchfs_net *on = orchfs_net_of(net);
	struct orchfs_channel *ch;

	rcu_read_lock();
	list_for_each_entry_rcu(ch, &on->channels, link)
		if (READ_ONCE(ch->portid) == portid &&
		    refcount_inc_not_zero(&ch->refs))
			goto out;
	ch = NULL;
out:
	rcu_read_unlock();
	return ch;
}

/**
 * orchfs_channel_by_uuid() - the channel of a namespace
 * @net: its network namespace
 * @uuid: 16 bytes
 *
 * Return: the channel with a reference for the caller, or NULL.
 */
struct orchfs_channel *orchfs_channel_by_uuid(struct net *net, const u8 *uuid)
{
	struct orchfs_net *on = orchfs_net_of(net);
	struct orchfs_channel *ch;

	rcu_read_lock();
	list_for_each_entry_rcu(ch, &on->channels, link)
		if (!memcmp(ch->uuid, uuid, sizeof(ch->uuid)) &&
		    READ_ONCE(ch->state) != ORCHFS_DEAD &&
		    refcount_inc_not_zero(&ch->refs))
			goto out;
	ch = NULL;
out:
	rcu_read_unlock();
	return ch;
}

static bool orchfs_channel_dead(struct orchfs_channel *ch)
{
	return READ_ONCE(ch->state) == ORCHFS_DEAD;
}

/*
 * Which channel a daemon may have: the one of this UUID that has no daemon,
 * NULL when there is none yet, or an error with its text.
 */
static struct orchfs_channel *
orchfs_attach_choose(struct orchfs_net *on, const u8 *uuid, const char *name,
		     u32 portid, struct netlink_ext_ack *extack)
{
	struct orchfs_channel *ch, *found = NULL;
	bool named = false;

	lockdep_assert_held(&on->lock);
	list_for_each_entry(ch, &on->channels, link) {
		if (orchfs_channel_dead(ch))
			continue;
		if (READ_ONCE(ch->portid) == portid) {
			NL_SET_ERR_MSG(extack,
				       "this socket is a daemon already: use one socket for each namespace");
			return ERR_PTR(-EBUSY);
		}
		if (!memcmp(ch->uuid, uuid, sizeof(ch->uuid)))
			found = ch;
		else if (!strcmp(ch->name, name))
			named = true;
	}
	if (found && strcmp(found->name, name)) {
		NL_SET_ERR_MSG_FMT(extack,
				   "namespace is mounted under the name %.40s: serve it by that name, or unmount it",
				   found->name);
		return ERR_PTR(-EINVAL);
	}
	if (found && READ_ONCE(found->portid)) {
		NL_SET_ERR_MSG(extack,
			       "another daemon serves this namespace: stop it first");
		return ERR_PTR(-EBUSY);
	}
	if (named) {
		NL_SET_ERR_MSG(extack,
			       "another namespace of this name is served or mounted here: unmount it and stop its daemon, or give one of them another name");
		return ERR_PTR(-EBUSY);
	}
	return found;
}

/* The daemon's own reference comes with it; -ESTALE when umount was faster. */
static int orchfs_attach_to(struct orchfs_channel *ch, u64 incarnation,
			    u32 portid, bool *mounted)
{
	int ret = -ESTALE;

	spin_lock(&ch->lock);
	if (ch->state == ORCHFS_DETACHED) {
		WRITE_ONCE(ch->state, ORCHFS_ATTACHING);
		WRITE_ONCE(ch->portid, portid);
		ch->attach++;
		ch->incarnation = incarnation;
		*mounted = ch->sb;
		ret = 0;
	}
	spin_unlock(&ch->lock);
	return ret;
}

/**
 * orchfs_channel_attach() - a daemon comes
 * @net: its network namespace
 * @uuid: 16 bytes
 * @name: of the namespace, checked
 * @incarnation: tells daemons apart
 * @portid: its socket's port; the daemon is there until that closes
 * @extack: gets the text of an error
 * @mounted: set on 0: whether a superblock is bound
 *
 * Return: 0, -EBUSY, -EINVAL, -ENOMEM.
 */
int orchfs_channel_attach(struct net *net, const u8 *uuid, const char *name,
			  u64 incarnation, u32 portid,
			  struct netlink_ext_ack *extack, bool *mounted)
{
	struct orchfs_net *on = orchfs_net_of(net);
	struct orchfs_channel *ch;
	int ret = 0;

	mutex_lock(&on->lock);
	ch = orchfs_attach_choose(on, uuid, name, portid, extack);
	if (IS_ERR(ch)) {
		ret = PTR_ERR(ch);
		goto out;
	}
	if (ch && !orchfs_attach_to(ch, incarnation, portid, mounted)) {
		/* Not dead, so the superblock's reference was still there. */
		orchfs_channel_get(ch);
		goto out;
	}
	ch = orchfs_channel_new(net, uuid, name);
	if (!ch) {
		ret = -ENOMEM;
		goto out;
	}
	orchfs_attach_to(ch, incarnation, portid, mounted);
	list_add_tail_rcu(&ch->link, &on->channels);
out:
	mutex_unlock(&on->lock);
	if (!ret)
		trace_orchfs_channel(ORCHFS_TRACE_CHANNEL_ATTACH, name, portid);
	return ret;
}

/**
 * orchfs_channel_ready() - the daemon wants requests
 * @ch: the channel
 * @portid: of the daemon
 * @durable: what its store has made durable
 *
 * Another incarnation than before, or one that may have carried out a change
 * that was given up, makes all that is cached be revalidated. Saying it twice
 * is the same as saying it once.
 *
 * Return: 0, or -ENOTCONN when the daemon is not attached any more.
 */
int orchfs_channel_ready(struct orchfs_channel *ch, u32 portid, u64 durable)
{
	u64 epoch;
	bool renewed;
	int ret = 0;

	spin_lock(&ch->lock);
	if (ch->portid != portid) {
		ret = -ENOTCONN;
	} else if (ch->state == ORCHFS_ATTACHING) {
		renewed = ch->incarnation != ch->seen_incarnation;
		if (renewed || ch->unsure) {
			epoch = atomic64_inc_return(&ch->epoch);
			/*
			 * A store that was restored may know less than the last
			 * did, and counts on from lower transactions.
			 */
			if (renewed) {
				WRITE_ONCE(ch->renewed, epoch);
				atomic64_set(&ch->durable, durable);
			}
		}
		ch->seen_incarnation = ch->incarnation;
		ch->unsure = false;
		WRITE_ONCE(ch->state, ORCHFS_READY);
	}
	spin_unlock(&ch->lock);
	if (ret)
		return ret;
	orchfs_channel_durable(ch, durable);
	trace_orchfs_channel(ORCHFS_TRACE_CHANNEL_READY, ch->name, portid);
	return 0;
}

/**
 * orchfs_channel_durable() - the daemon told what is durable
 * @ch: the channel
 * @txn: highest durable transaction; a lower one than known changes nothing
 */
void orchfs_channel_durable(struct orchfs_channel *ch, u64 txn)
{
	s64 old = atomic64_read(&ch->durable);

	while (txn > (u64)old &&
	       !atomic64_try_cmpxchg(&ch->durable, &old, txn))
		;
}

/**
 * orchfs_channel_lease() - the daemon told how long the cache may be believed
 * @ch: the channel
 * @until_ms: CLOCK_BOOTTIME, 0: for ever
 *
 * What the daemon says of what is cached no more has been said before. It goes
 * on to count when the daemon has gone.
 */
void orchfs_channel_lease(struct orchfs_channel *ch, u64 until_ms)
{
	u64 until = until_ms > U64_MAX / NSEC_PER_MSEC ? U64_MAX :
		    until_ms * NSEC_PER_MSEC;

	/* after the epoch; pairs with orchfs_lease_over() */
	atomic64_set_release(&ch->lease, until);
}

/**
 * orchfs_channel_detach() - the daemon has gone
 * @ch: the channel; the caller has a reference of its own
 * @portid: of the daemon's socket; does nothing when that is not the daemon
 *
 * Cached names, attributes, open files and their I/O go on.
 */
void orchfs_channel_detach(struct orchfs_channel *ch, u32 portid)
{
	LIST_HEAD(requests);
	LIST_HEAD(events);
	LIST_HEAD(notes);

	spin_lock(&ch->lock);
	if (!portid || ch->portid != portid) {
		spin_unlock(&ch->lock);
		return;
	}
	WRITE_ONCE(ch->state, ch->sb ? ORCHFS_DETACHED : ORCHFS_DEAD);
	WRITE_ONCE(ch->portid, 0);
	/* Deliveries under way to this daemon see that it has gone. */
	ch->attach++;
	orchfs_request_detach_locked(ch, &requests);
	list_splice_init(&ch->notes, &notes);
	list_splice_init(&ch->events, &events);
	ch->nr_notes = 0;
	ch->nr_events = 0;
	ch->notes_lost = false;
	ch->strays = 0;
	spin_unlock(&ch->lock);

	trace_orchfs_channel(ORCHFS_TRACE_CHANNEL_DETACH, ch->name, portid);
	orchfs_request_drop_list(ch, &requests);
	orchfs_note_drop_list(&notes);
	orchfs_event_drop_list(&events);
	/* Notices are sent under ch->lock or not at all from here on. */
	orchfs_note_cancel(ch);
	orchfs_serve_detached(ch);
	orchfs_client_detached(ch);
	orchfs_channel_put(ch);
}

/**
 * orchfs_channel_find() - a mount looks for its namespace
 * @net: network namespace of the mount
 * @name: of the namespace
 * @fc: gets the text of an error
 *
 * Return: the channel with a reference for the caller; -ENOTCONN when no
 * daemon is there at all, -ENOENT when none serves this namespace.
 */
struct orchfs_channel *orchfs_channel_find(struct net *net, const char *name,
					   struct fs_context *fc)
{
	struct orchfs_net *on = orchfs_net_of(net);
	struct orchfs_channel *ch;
	bool served = false;

	mutex_lock(&on->lock);
	list_for_each_entry(ch, &on->channels, link) {
		if (orchfs_channel_dead(ch))
			continue;
		if (!strcmp(ch->name, name) && refcount_inc_not_zero(&ch->refs))
			goto out;
		served |= READ_ONCE(ch->portid);
	}
	ch = NULL;
out:
	mutex_unlock(&on->lock);
	if (ch)
		return ch;
	if (served) {
		errorfc(fc, "no namespace '%s' is served here: see 'orchctl status'",
			name);
		return ERR_PTR(-ENOENT);
	}
	errorfc(fc, "no orchd is running here: start it first");
	return ERR_PTR(-ENOTCONN);
}

/**
 * orchfs_channel_bind() - a superblock begins to use the channel
 * @ch: a reference is held for the superblock
 * @sb: the superblock
 *
 * A new session begins.
 *
 * Return: 0, -ENOTCONN when daemon and channel have gone meanwhile, -EBUSY
 * when another superblock is bound.
 */
int orchfs_channel_bind(struct orchfs_channel *ch, struct super_block *sb)
{
	u64 session;
	int ret = 0;

	do {
		session = get_random_u64();
	} while (!session);

	spin_lock(&ch->lock);
	if (ch->state == ORCHFS_DEAD) {
		ret = -ENOTCONN;
	} else if (ch->sb) {
		ret = -EBUSY;
	} else {
		ch->sb = sb;
		ch->session = session;
	}
	spin_unlock(&ch->lock);
	if (!ret)
		trace_orchfs_channel(ORCHFS_TRACE_CHANNEL_BIND, ch->name,
				     READ_ONCE(ch->portid));
	return ret;
}

static bool orchfs_channel_sb_idle(struct orchfs_channel *ch)
{
	bool idle;

	spin_lock(&ch->lock);
	idle = !ch->sb_users;
	spin_unlock(&ch->lock);
	return idle;
}

/**
 * orchfs_channel_sb_end() - the superblock is about to end
 * @ch: the channel
 * @sb: the superblock; nothing of it is gone yet
 *
 * Waits for the handlers that use it, so that it ends before umount returns.
 * They wait for nothing themselves. May be called twice, and for a superblock
 * that is not bound.
 */
void orchfs_channel_sb_end(struct orchfs_channel *ch, struct super_block *sb)
{
	bool bound;

	spin_lock(&ch->lock);
	bound = ch->sb == sb;
	if (bound)
		ch->sb_ending = true;
	spin_unlock(&ch->lock);
	if (bound)
		wait_event(ch->wq, orchfs_channel_sb_idle(ch));
}

/**
 * orchfs_channel_unbind() - the superblock has ended
 * @ch: the superblock's reference is still to be put
 *
 * After orchfs_channel_sb_end(). Never waits. Upcalls after it fail with -EIO unless a daemon is there.
 */
void orchfs_channel_unbind(struct orchfs_channel *ch)
{
	bool dead = false;

	spin_lock(&ch->lock);
	ch->sb = NULL;
	ch->sb_ending = false;
	if (ch->state == ORCHFS_DETACHED) {
		WRITE_ONCE(ch->state, ORCHFS_DEAD);
		dead = true;
	}
	spin_unlock(&ch->lock);
	if (dead)
		orchfs_client_detached(ch);
	wake_up_all(&ch->wq);
	wake_up_all(&ch->slot_wq);
	trace_orchfs_channel(ORCHFS_TRACE_CHANNEL_UNBIND, ch->name,
			     READ_ONCE(ch->portid));
}

/**
 * orchfs_channel_sb_get() - the superblock, for a message handler
 * @ch: the channel
 *
 * It holds up umount until orchfs_channel_sb_put(), so nothing that takes long
 * may be waited for.
 *
 * Return: the superblock; NULL when none is bound or it is ending.
 */
struct super_block *orchfs_channel_sb_get(struct orchfs_channel *ch)
{
	struct super_block *sb;

	spin_lock(&ch->lock);
	sb = ch->sb_ending ? NULL : ch->sb;
	if (sb)
		ch->sb_users++;
	spin_unlock(&ch->lock);
	return sb;
}

/**
 * orchfs_channel_sb_put() - undo orchfs_channel_sb_get()
 * @ch: the channel
 * @sb: the superblock, may be NULL
 */
void orchfs_channel_sb_put(struct orchfs_channel *ch, struct super_block *sb)
{
	bool wake;

	if (!sb)
		return;
	spin_lock(&ch->lock);
	wake = !--ch->sb_users && ch->sb_ending;
	spin_unlock(&ch->lock);
	if (wake)
		wake_up(&ch->wq);
}

static int orchfs_netlink_notify(struct notifier_block *nb,
				 unsigned long event, void *data)
{
	struct netlink_notify *n = data;
	struct orchfs_channel *ch;

	if (event != NETLINK_URELEASE || n->protocol != NETLINK_GENERIC)
		return NOTIFY_DONE;
	ch = orchfs_channel_by_port(n->net, n->portid);
	if (ch) {
		orchfs_channel_detach(ch, n->portid);
		orchfs_channel_put(ch);
	}
	return NOTIFY_DONE;
}

static struct notifier_block orchfs_netlink_notifier = {
	.notifier_call	= orchfs_netlink_notify,
};

static int __net_init orchfs_net_init(struct net *net)
{
	struct orchfs_net *on = orchfs_net_of(net);
	int ret;

	ret = init_srcu_struct(&on->answers);
	if (ret)
		return ret;
	mutex_init(&on->lock);
	INIT_LIST_HEAD(&on->channels);
	mutex_init(&on->serve_lock);
	INIT_LIST_HEAD(&on->serves);
	orchfs_client_net_init(on);
	return 0;
}

/* Any channel that still has a daemon, with a reference. */
static struct orchfs_channel *orchfs_net_attached(struct orchfs_net *on)
{
	struct orchfs_channel *ch;

	mutex_lock(&on->lock);
	list_for_each_entry(ch, &on->channels, link)
		if (READ_ONCE(ch->portid) && refcount_inc_not_zero(&ch->refs))
			goto out;
	ch = NULL;
out:
	mutex_unlock(&on->lock);
	return ch;
}

/*
 * Superblocks and sockets hold the network namespace, so it has neither when
 * it ends. When the module goes, sockets may be left.
 */
static void __net_exit orchfs_net_exit(struct net *net)
{
	struct orchfs_net *on = orchfs_net_of(net);
	struct orchfs_channel *ch;

	/* Nobody can get a layout any more; those that go let peers go. */
	if (!list_empty(&on->peers))
		orchfs_layout_quiesce();
	orchfs_client_net_exit(on);
	orchfs_serve_net_exit(on);
	while ((ch = orchfs_net_attached(on))) {
		orchfs_channel_detach(ch, READ_ONCE(ch->portid));
		orchfs_channel_put(ch);
	}
	/* Works hold references; those of swaps queue nothing on the other. */
	orchfs_layout_flush_swaps();
	orchfs_unlinked_flush(on);
	flush_workqueue(orchfs_channel_wq);
	WARN_ON_ONCE(!list_empty(&on->channels));
	mutex_destroy(&on->serve_lock);
	mutex_destroy(&on->lock);
	cleanup_srcu_struct(&on->answers);
}

static struct pernet_operations orchfs_net_ops = {
	.init	= orchfs_net_init,
	.exit	= orchfs_net_exit,
	.id	= &orchfs_net_id,
	.size	= sizeof(struct orchfs_net),
};

/**
 * orchfs_channel_init() - register with netlink
 *
 * Return: 0 or a negative errno.
 */
int orchfs_channel_init(void)
{
	int ret;

	generate_random_uuid(orchfs_boot_id);
	orchfs_channel_wq = alloc_workqueue("orchfs-channel",
					    WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!orchfs_channel_wq)
		return -ENOMEM;
	ret = orchfs_serve_init();
	if (ret)
		goto err_destroy_channel_wq;
	ret = register_pernet_subsys(&orchfs_net_ops);
	if (ret)
		goto err_serve_exit;
	ret = netlink_register_notifier(&orchfs_netlink_notifier);
	if (ret)
		goto err_unregister_pernet;
	ret = genl_register_family(&orchfs_nl_family);
	if (ret)
		goto err_unregister_notifier;
	return 0;

err_unregister_notifier:
	netlink_unregister_notifier(&orchfs_netlink_notifier);
err_unregister_pernet:
	unregister_pernet_subsys(&orchfs_net_ops);
err_serve_exit:
	orchfs_serve_exit();
err_destroy_channel_wq:
	destroy_workqueue(orchfs_channel_wq);
	return ret;
}

/**
 * orchfs_channel_exit() - undo orchfs_channel_init()
 *
 * Daemons that are attached are detached; their sockets stay open and get
 * errors.
 */
void orchfs_channel_exit(void)
{
	genl_unregister_family(&orchfs_nl_family);
	netlink_unregister_notifier(&orchfs_netlink_notifier);
	unregister_pernet_subsys(&orchfs_net_ops);
	orchfs_serve_exit();
	destroy_workqueue(orchfs_channel_wq);
}
