// SPDX-License-Identifier: GPL-2.0-only
/*
 * Peers: nodes whose data servers are asked. Requests that find no connection
 * wait here until the daemon brings one, or their deadline.
 */
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "client_impl.h"

struct workqueue_struct *orchfs_client_wq;
/* What is sent by callers is sent with. */
const struct cred *orchfs_client_cred;

static struct orchfs_peer *peer_find_locked(struct orchfs_net *on,
					    const u8 *uuid, u32 node)
{
	struct orchfs_peer *peer;

	lockdep_assert_held(&on->peers_lock);
	list_for_each_entry(peer, &on->peers, link) {
		if (peer->node == node &&
		    !memcmp(peer->uuid, uuid, sizeof(peer->uuid))) {
			refcount_inc(&peer->refs);
			return peer;
		}
	}
	return NULL;
}

static void peer_tick(struct work_struct *work);

static struct orchfs_peer *peer_new(struct net *net, const u8 *uuid, u32 node)
{
	struct orchfs_peer *peer = kzalloc(sizeof(*peer), GFP_KERNEL);

	if (!peer)
		return NULL;
	refcount_set(&peer->refs, 1);
	peer->net = net;
	memcpy(peer->uuid, uuid, sizeof(peer->uuid));
	peer->node = node;
	init_waitqueue_head(&peer->wq);
	INIT_DELAYED_WORK(&peer->tick, peer_tick);
	spin_lock_init(&peer->lock);
	INIT_LIST_HEAD(&peer->conns);
	INIT_LIST_HEAD(&peer->waiting);
	INIT_LIST_HEAD(&peer->later);
	return peer;
}

/**
 * orchfs_peer_get() - a peer, made if there is none
 * @net: network namespace, which outlives it
 * @uuid: of the namespace, 16 bytes
 * @node: its number
 *
 * Return: the peer with a reference for the caller; NULL without memory.
 */
struct orchfs_peer *orchfs_peer_get(struct net *net, const u8 *uuid, u32 node)
{
	struct orchfs_net *on = orchfs_net_of(net);
	struct orchfs_peer *peer, *made;

	spin_lock(&on->peers_lock);
	peer = peer_find_locked(on, uuid, node);
	spin_unlock(&on->peers_lock);
	if (peer)
		return peer;

	made = peer_new(net, uuid, node);
	if (!made)
		return NULL;
	spin_lock(&on->peers_lock);
	peer = peer_find_locked(on, uuid, node);
	if (!peer)
		list_add_tail(&made->link, &on->peers);
	spin_unlock(&on->peers_lock);
	if (!peer)
		return made;
	kfree(made);
	return peer;
}

/**
 * orchfs_peer_put() - drop a reference
 * @peer: gone with the last one, which nothing waits for; in any task context
 */
void orchfs_peer_put(struct orchfs_peer *peer)
{
	struct orchfs_net *on = orchfs_net_of(peer->net);

	if (refcount_dec_not_one(&peer->refs))
		return;
	/* Whoever finds it on the list may take another just now. */
	spin_lock(&on->peers_lock);
	if (!refcount_dec_and_test(&peer->refs)) {
		spin_unlock(&on->peers_lock);
		return;
	}
	list_del(&peer->link);
	spin_unlock(&on->peers_lock);
	WARN_ON_ONCE(!list_empty(&peer->waiting) || !list_empty(&peer->later));
	kfree(peer);
}

/**
 * orchfs_peer_max_data() - how much a READ or a WRITE may be for
 * @peer: the peer
 *
 * Return: what all its connections take; when there is none, what they usually
 * do.
 */
u32 orchfs_peer_max_data(struct orchfs_peer *peer)
{
	struct orchfs_client_conn *conn;
	u32 max_data = ORCHFS_PDU_DATA_MAX;

	spin_lock(&peer->lock);
	list_for_each_entry(conn, &peer->conns, link)
		if (orchfs_client_takes(conn))
			max_data = min(max_data, conn->max_data);
	spin_unlock(&peer->lock);
	return max_data;
}

/**
 * orchfs_peer_wake() - somebody has let go of a request
 * @peer: who may be waited for
 */
void orchfs_peer_wake(struct orchfs_peer *peer)
{
	if (wq_has_sleeper(&peer->wq))
		wake_up_all(&peer->wq);
}

/* While it is pending it has a reference; the caller has another. */
static void peer_queue_locked(struct orchfs_peer *peer, unsigned long delay)
{
	lockdep_assert_held(&peer->lock);
	refcount_inc(&peer->refs);
	if (mod_delayed_work(orchfs_client_wq, &peer->tick, delay))
		refcount_dec(&peer->refs);
}

/**
 * orchfs_peer_arm_locked() - see to it that deadlines are looked at
 * @peer: the caller holds a reference and the lock
 * @at: jiffies
 */
void orchfs_peer_arm_locked(struct orchfs_peer *peer, unsigned long at)
{
	unsigned long now = jiffies;

	lockdep_assert_held(&peer->lock);
	if (peer->armed && time_before_eq(peer->tick_at, at))
		return;
	peer->armed = true;
	peer->tick_at = at;
	peer_queue_locked(peer, time_after(at, now) ? at - now : 0);
}

/**
 * orchfs_peer_feed_locked() - a connection has a slot
 * @conn: gets what waits for one; the caller holds the peer's lock
 * @ended: gets requests that can't go on
 */
void orchfs_peer_feed_locked(struct orchfs_client_conn *conn,
			     struct list_head *ended)
{
	struct orchfs_peer *peer = conn->peer;
	struct orchfs_call *call;

	lockdep_assert_held(&peer->lock);
	while (orchfs_client_has_slot(conn)) {
		call = list_first_entry_or_null(&conn->unbinds,
						struct orchfs_call, link);
		if (call) {
			list_del_init(&call->link);
			orchfs_client_queue_locked(conn, call);
			continue;
		}
		call = list_first_entry_or_null(&peer->waiting,
						struct orchfs_call, link);
		if (!call || !orchfs_client_takes(conn))
			break;
		list_del_init(&call->link);
		orchfs_rio_place_locked(orchfs_call_rio(call), conn, ended);
	}
	if (conn->leaving && !conn->in_flight)
		orchfs_client_end(conn, ORCHFS_REASON_REPLACED);
}

/**
 * orchfs_peer_usable_locked() - is there a connection
 * @peer: the caller holds the lock
 *
 * Return: true when one takes requests, though perhaps not at once.
 */
bool orchfs_peer_usable_locked(struct orchfs_peer *peer)
{
	struct orchfs_client_conn *conn;

	lockdep_assert_held(&peer->lock);
	list_for_each_entry(conn, &peer->conns, link)
		if (orchfs_client_takes(conn))
			return true;
	return false;
}

/* End what has waited too long; the time of the next that will have. */
static unsigned long peer_expire_locked(struct orchfs_peer *peer,
					unsigned long next,
					struct list_head *ended)
{
	struct orchfs_call *call, *tmp;
	struct orchfs_rio *rio;

	lockdep_assert_held(&peer->lock);
	list_for_each_entry_safe(call, tmp, &peer->waiting, link) {
		rio = orchfs_call_rio(call);
		if (time_after_eq(jiffies, rio->deadline)) {
			list_del_init(&call->link);
			orchfs_rio_end_locked(rio, rio->last_err ?: -EIO,
					      ended);
		} else if (time_before(rio->deadline, next)) {
			next = rio->deadline;
		}
	}
	return next;
}

static void peer_retry_locked(struct orchfs_peer *peer,
			      struct list_head *ended)
{
	struct orchfs_call *call, *tmp;
	struct orchfs_rio *rio;
	LIST_HEAD(later);

	lockdep_assert_held(&peer->lock);
	list_splice_init(&peer->later, &later);
	list_for_each_entry_safe(call, tmp, &later, link) {
		rio = orchfs_call_rio(call);
		list_del_init(&call->link);
		if (time_after_eq(jiffies, rio->deadline))
			orchfs_rio_end_locked(rio, rio->last_err ?: -EIO,
					      ended);
		else
			orchfs_rio_route_locked(rio, ended);
	}
}

/* A server that doesn't answer HELLO is in the way of others. */
static void peer_hellos_locked(struct orchfs_peer *peer)
{
	struct orchfs_client_conn *conn;

	list_for_each_entry(conn, &peer->conns, link)
		if (!conn->usable && time_after(jiffies, conn->since +
						ORCHFS_CLIENT_HELLO))
			orchfs_client_end(conn, ORCHFS_REASON_STALLED);
}

/* Returns whether the daemon shall be asked for a connection. */
static bool peer_tick_locked(struct orchfs_peer *peer, struct list_head *ended)
{
	unsigned long next = jiffies + ORCHFS_CLIENT_WANT;
	bool want = false;

	lockdep_assert_held(&peer->lock);
	peer->armed = false;
	peer_retry_locked(peer, ended);
	if (orchfs_peer_usable_locked(peer) || list_empty(&peer->waiting))
		return false;
	peer_hellos_locked(peer);
	next = peer_expire_locked(peer, next, ended);
	if (list_empty(&peer->waiting))
		return false;
	if (!peer->wanted || time_after_eq(jiffies, peer->wanted_at +
					   ORCHFS_CLIENT_WANT)) {
		want = true;
		peer->wanted = true;
		peer->wanted_at = jiffies;
	}
	orchfs_peer_arm_locked(peer, next);
	return want;
}

static void peer_tick(struct work_struct *work)
{
	struct orchfs_peer *peer = container_of(to_delayed_work(work),
						struct orchfs_peer, tick);
	unsigned int flags = memalloc_noio_save();
	LIST_HEAD(ended);
	bool want;

	spin_lock(&peer->lock);
	want = peer_tick_locked(peer, &ended);
	spin_unlock(&peer->lock);
	if (want)
		orchfs_client_event(peer, orchfs_message_peer_want(peer));
	orchfs_rio_tell(&ended);
	orchfs_peer_put(peer);
	memalloc_noio_restore(flags);
}

/**
 * orchfs_client_detached() - the daemon of a namespace has gone
 * @ch: its channel, detached
 *
 * Connections go on, for those who have the namespace mounted; the next daemon
 * doesn't know them, and each that it brings replaces one.
 */
void orchfs_client_detached(struct orchfs_channel *ch)
{
	struct orchfs_net *on = orchfs_net_of(ch->net);
	bool dead = READ_ONCE(ch->state) == ORCHFS_DEAD;
	struct orchfs_client_conn *conn;
	struct orchfs_peer *peer;

	spin_lock(&on->peers_lock);
	list_for_each_entry(peer, &on->peers, link) {
		if (memcmp(peer->uuid, ch->uuid, sizeof(peer->uuid)))
			continue;
		spin_lock(&peer->lock);
		list_for_each_entry(conn, &peer->conns, link) {
			conn->stale = true;
			if (dead)
				orchfs_client_end(conn, ORCHFS_REASON_ENDED);
		}
		spin_unlock(&peer->lock);
	}
	spin_unlock(&on->peers_lock);
}

/**
 * orchfs_client_net_init() - prepare a network namespace
 * @on: of it
 */
void orchfs_client_net_init(struct orchfs_net *on)
{
	spin_lock_init(&on->peers_lock);
	INIT_LIST_HEAD(&on->peers);
}

/**
 * orchfs_client_net_exit() - end all connections to peers
 * @on: of a network namespace that ends, or of any when the module does; no
 *	command comes any more, and nobody has a remote instance
 */
void orchfs_client_net_exit(struct orchfs_net *on)
{
	struct orchfs_client_conn *conn;
	struct orchfs_peer *peer;

	spin_lock(&on->peers_lock);
	list_for_each_entry(peer, &on->peers, link) {
		spin_lock(&peer->lock);
		list_for_each_entry(conn, &peer->conns, link)
			orchfs_client_end(conn, ORCHFS_REASON_ENDED);
		/* A tick that is pending ends with nothing to do. */
		if (peer->armed)
			peer_queue_locked(peer, 0);
		spin_unlock(&peer->lock);
	}
	spin_unlock(&on->peers_lock);
	/* The works that end them hold the last references. */
	flush_workqueue(orchfs_client_wq);
	WARN_ON_ONCE(!list_empty(&on->peers));
}

/**
 * orchfs_client_init() - what all connections share
 *
 * Return: 0 or -ENOMEM.
 */
int orchfs_client_init(void)
{
	int ret = orchfs_bind_init();

	if (ret)
		return ret;
	ret = -ENOMEM;
	orchfs_client_cred = prepare_kernel_cred(&init_task);
	if (!orchfs_client_cred)
		goto err_bind_exit;
	orchfs_client_wq = alloc_workqueue("orchfs-client",
					   WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!orchfs_client_wq)
		goto err_put_cred;
	return 0;

err_put_cred:
	put_cred(orchfs_client_cred);
err_bind_exit:
	orchfs_bind_exit();
	return ret;
}

/**
 * orchfs_client_exit() - undo orchfs_client_init()
 */
void orchfs_client_exit(void)
{
	destroy_workqueue(orchfs_client_wq);
	put_cred(orchfs_client_cred);
	orchfs_bind_exit();
}
