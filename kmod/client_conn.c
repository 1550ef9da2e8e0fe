// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections to peers. client_send.c sends; one thread receives, straight into
 * the pages of who asked. Whoever finds a reason ends the connection, and a work
 * takes it apart: what was under way goes to another.
 */
#include <linux/file.h>
#include <linux/kthread.h>
#include <linux/net.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <net/sock.h>

#include "client_impl.h"
#include "trace.h"

static atomic64_t client_last_id;
/* They differ from those of a kernel that was here before. */
static atomic_t client_last_hello;

/**
 * orchfs_client_end() - end a connection
 * @conn: whose memory is safe: the caller holds the peer's lock, or is the
 *	receiver or the sender
 * @reason: ORCHFS_REASON_*; the first counts
 */
void orchfs_client_end(struct orchfs_client_conn *conn, int reason)
{
	if (test_and_set_bit(ORCHFS_CLIENT_ENDING, &conn->flags))
		return;
	conn->reason = reason;
	trace_orchfs_client_end(conn->id, conn->peer->node, reason);
	queue_work(orchfs_client_wq, &conn->end_work);
}

/* --- receiving --- */

/* 0, or the reason to end: @closed, when not even a byte came. */
static int client_recv(struct orchfs_client_conn *conn, void *buf, size_t len,
		       int closed)
{
	struct kvec kv = { .iov_base = buf, .iov_len = len };
	struct iov_iter iter;
	int ret;

	iov_iter_kvec(&iter, ITER_DEST, &kv, 1, len);
	while (iov_iter_count(&iter)) {
		ret = orchfs_tcp_recv_some(conn->tcp.sock, &iter);
		if (ret == -EAGAIN) {
			if (orchfs_client_ending(conn))
				return ORCHFS_REASON_SOCKET;
			orchfs_tcp_wait(conn->tcp.sock);
		} else if (ret <= 0) {
			return !ret && iov_iter_count(&iter) == len ? closed :
				ORCHFS_REASON_SOCKET;
		}
	}
	return 0;
}

/*
 * What there is, into the pages of who asked, if he still waits: only while
 * something is there are they held, so that nobody waits for a peer that
 * doesn't go on.
 */
static int client_recv_some(struct orchfs_client_conn *conn,
			    struct orchfs_slot *slot, u32 done, u32 len)
{
	struct orchfs_rio *rio = NULL;
	struct iov_iter iter;
	int ret;

	spin_lock(&conn->peer->lock);
	if (slot->call) {
		rio = orchfs_call_rio(slot->call);
		rio->receiving = true;
	}
	spin_unlock(&conn->peer->lock);
	if (rio) {
		iter = rio->iter;
		iov_iter_advance(&iter, done);
		iov_iter_truncate(&iter, len - done);
	} else {
		iov_iter_discard(&iter, ITER_DEST, len - done);
	}
	ret = orchfs_tcp_recv_some(conn->tcp.sock, &iter);
	if (rio) {
		spin_lock(&conn->peer->lock);
		rio->receiving = false;
		spin_unlock(&conn->peer->lock);
		orchfs_peer_wake(conn->peer);
	}
	return ret;
}

static int client_recv_data(struct orchfs_client_conn *conn,
			    struct orchfs_slot *slot, u32 len)
{
	u32 done = 0;
	int ret;

	while (done < len) {
		ret = client_recv_some(conn, slot, done, len);
		if (ret == -EAGAIN) {
			if (orchfs_client_ending(conn))
				return ORCHFS_REASON_SOCKET;
			orchfs_tcp_wait(conn->tcp.sock);
			continue;
		}
		if (ret <= 0)
			return ORCHFS_REASON_SOCKET;
		done += ret;
	}
	return 0;
}

static bool client_sender_active(struct orchfs_client_conn *conn,
				 const struct orchfs_call *call)
{
	bool active;

	spin_lock(&conn->peer->lock);
	active = conn->active && conn->sending == call;
	spin_unlock(&conn->peer->lock);
	return active;
}

/*
 * Was that sent which is answered: 0, or the reason to end. The last byte may
 * have been answered before the sender has come back from sending it.
 */
static int client_check_sent(struct orchfs_client_conn *conn, u32 tag)
{
	u32 nr = tag & (ORCHFS_PDU_REQUESTS_MAX - 1);
	struct orchfs_slot *slot = &conn->slots[nr];
	struct orchfs_call *call = NULL;
	bool known;

	spin_lock(&conn->peer->lock);
	known = test_bit(nr, conn->used) && slot->tag == tag;
	if (known)
		call = slot->call;
	if (call && call->state == ORCHFS_CALL_SENDING && conn->active) {
		spin_unlock(&conn->peer->lock);
		wait_event(conn->peer->wq, !client_sender_active(conn, call));
		spin_lock(&conn->peer->lock);
		call = slot->call;
	}
	if (call && call->state != ORCHFS_CALL_SENT)
		known = false;
	spin_unlock(&conn->peer->lock);
	return known ? 0 : ORCHFS_REASON_TAG;
}

/* Is it an answer to what was asked: 0, or the reason to end. */
static int client_check_reply(const struct orchfs_slot *slot,
			      const struct orchfs_pdu *pdu)
{
	bool append = pdu->flags & ORCHFS_PDU_APPEND;

	if (pdu->opcode != slot->opcode)
		return ORCHFS_REASON_OPCODE;
	if (pdu->status && pdu->opcode == ORCHFS_OP_END)
		return ORCHFS_REASON_FIELD;
	if (pdu->status)
		return pdu->opcode == ORCHFS_OP_HELLO ?
			ORCHFS_REASON_VERSION : 0;
	if (pdu->flags & ORCHFS_PDU_DATA_CRC || append != slot->append)
		return ORCHFS_REASON_FLAGS;
	if (pdu->opcode == ORCHFS_OP_BIND && !pdu->handle)
		return ORCHFS_REASON_FIELD;
	if ((pdu->opcode == ORCHFS_OP_READ && pdu->data_len > slot->count) ||
	    (pdu->opcode == ORCHFS_OP_WRITE && pdu->count > slot->count))
		return ORCHFS_REASON_LENGTH;
	return 0;
}

static int client_hello(struct orchfs_client_conn *conn, const u8 *data,
			u32 len)
{
	struct orchfs_hello hello;
	int reason = orchfs_hello_decode(data, len, &hello);

	if (reason)
		return reason;
	if (hello.version_min != hello.version_max ||
	    hello.version_min < ORCHFS_HELLO_VERSION_MIN ||
	    hello.version_max > ORCHFS_HELLO_VERSION)
		return ORCHFS_REASON_VERSION;
	if (hello.max_data < ORCHFS_PDU_DATA_MIN || !hello.max_requests ||
	    !hello.max_handles ||
	    (hello.max_bytes && (!is_power_of_2(hello.unit) ||
				 hello.unit > ORCHFS_PDU_DATA_MAX)))
		return ORCHFS_REASON_FIELD;
	spin_lock(&conn->peer->lock);
	conn->version = hello.version_max;
	conn->max_data = min(hello.max_data, ORCHFS_PDU_DATA_MAX);
	conn->max_requests = min_t(u32, hello.max_requests,
				   ORCHFS_PDU_REQUESTS_MAX);
	conn->max_handles = hello.max_handles;
	if (hello.max_bytes) {
		conn->max_bytes = hello.max_bytes;
		conn->unit = hello.unit;
	}
	conn->usable = !orchfs_client_ending(conn);
	spin_unlock(&conn->peer->lock);
	return 0;
}

/* 0, or the reason to end. */
static int client_ponged(struct orchfs_client_conn *conn,
			 const struct orchfs_pdu *pdu)
{
	bool known;

	spin_lock(&conn->peer->lock);
	known = conn->pinged && pdu->tag == conn->ping_tag &&
		conn->ping.state != ORCHFS_CALL_QUEUED;
	conn->pinged &= !known;
	spin_unlock(&conn->peer->lock);
	return known ? 0 : ORCHFS_REASON_TAG;
}

/* The call has its answer. */
static void client_answered(struct orchfs_client_conn *conn,
			    const struct orchfs_pdu *pdu,
			    const struct orchfs_remote_attr *attr)
{
	u32 nr = pdu->tag & (ORCHFS_PDU_REQUESTS_MAX - 1);
	struct orchfs_call *call;
	LIST_HEAD(ended);

	spin_lock(&conn->peer->lock);
	call = conn->slots[nr].call;
	orchfs_client_release_locked(conn, nr);
	if (call && orchfs_call_is_rio(call)) {
		if (call->opcode == ORCHFS_OP_GETATTR && !pdu->status)
			orchfs_call_rio(call)->attr = *attr;
		orchfs_rio_replied_locked(orchfs_call_rio(call), conn, pdu,
					  &ended);
	} else if (call && call->opcode == ORCHFS_OP_END) {
		orchfs_past_replied_locked(orchfs_call_past(call), &ended);
	} else if (call && call != &conn->hello) {
		orchfs_bind_replied_locked(orchfs_call_bind(call), pdu,
					   &ended);
	}
	orchfs_peer_feed_locked(conn, &ended);
	spin_unlock(&conn->peer->lock);
	orchfs_rio_tell(&ended);
}

/* One reply; 0, or the reason to end. */
static int client_receive(struct orchfs_client_conn *conn)
{
	struct orchfs_remote_attr attr = {};
	u8 buf[ORCHFS_PDU_LEN];
	struct orchfs_slot *slot;
	struct orchfs_pdu pdu;
	int reason;

	reason = client_recv(conn, buf, sizeof(buf), ORCHFS_REASON_CLOSED);
	if (!reason)
		reason = orchfs_pdu_decode_reply(buf, sizeof(buf), &pdu);
	if (!reason && pdu.opcode == ORCHFS_OP_PING)
		return client_ponged(conn, &pdu);
	if (!reason)
		reason = client_check_sent(conn, pdu.tag);
	if (reason)
		return reason;
	/* Only this thread takes tags out of their slots from here on. */
	slot = &conn->slots[pdu.tag & (ORCHFS_PDU_REQUESTS_MAX - 1)];
	reason = client_check_reply(slot, &pdu);
	if (!reason && pdu.opcode == ORCHFS_OP_READ)
		reason = client_recv_data(conn, slot, pdu.data_len);
	else if (!reason && pdu.data_len)
		reason = client_recv(conn, buf, pdu.data_len,
				     ORCHFS_REASON_SOCKET);
	if (!reason && pdu.opcode == ORCHFS_OP_HELLO)
		reason = client_hello(conn, buf, pdu.data_len);
	if (!reason && pdu.opcode == ORCHFS_OP_GETATTR && !pdu.status)
		reason = orchfs_remote_attr_decode(buf, pdu.data_len, &attr);
	if (!reason)
		client_answered(conn, &pdu, &attr);
	return reason;
}

static_assert(sizeof(struct orchfs_wire_attr) <= ORCHFS_PDU_LEN);
static_assert(sizeof(struct orchfs_wire_hello) <= ORCHFS_PDU_LEN);

static int client_receiver(void *data)
{
	struct orchfs_client_conn *conn = data;
	int reason;

	/* What comes may be what write-back or reclaim wait for. */
	memalloc_noio_save();
	do {
		reason = client_receive(conn);
	} while (!reason && !orchfs_client_ending(conn));
	if (reason)
		orchfs_client_end(conn, reason);
	/* The work that ends the connection stops the thread. */
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (kthread_should_stop())
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

/* --- beginning and end --- */

static void client_lost_locked(struct orchfs_client_conn *conn,
			       struct orchfs_call *call,
			       struct list_head *ended)
{
	orchfs_client_release_locked(conn, call->slot);
	if (orchfs_call_is_rio(call)) {
		orchfs_rio_lost_locked(orchfs_call_rio(call), conn, ended);
		return;
	}
	if (call->opcode == ORCHFS_OP_END) {
		orchfs_past_lost_locked(orchfs_call_past(call), ended);
		return;
	}
	if (call == &conn->hello)
		return;
	list_del_init(&call->link);
	if (!orchfs_call_bind(call)->remote)
		orchfs_bind_free_locked(orchfs_call_bind(call));
}

/* Nobody sends or receives any more: what was under way goes elsewhere. */
static void client_lose_calls(struct orchfs_client_conn *conn)
{
	struct orchfs_peer *peer = conn->peer;
	struct orchfs_bind *bind, *tmp_bind;
	struct orchfs_call *call, *tmp;
	LIST_HEAD(ended);
	u32 nr;

	spin_lock(&peer->lock);
	list_for_each_entry_safe(call, tmp, &conn->unbinds, link)
		orchfs_bind_free_locked(orchfs_call_bind(call));
	for_each_set_bit(nr, conn->used, ORCHFS_PDU_REQUESTS_MAX)
		if (conn->slots[nr].call)
			client_lost_locked(conn, conn->slots[nr].call, &ended);
	list_for_each_entry_safe(bind, tmp_bind, &conn->binds, on_conn)
		orchfs_bind_lost_locked(bind, &ended);
	orchfs_past_drop_locked(conn->past);
	if (!list_empty(&peer->waiting))
		orchfs_peer_arm_locked(peer, jiffies);
	spin_unlock(&peer->lock);
	orchfs_peer_wake(peer);
	orchfs_rio_tell(&ended);
}

static void client_end_work(struct work_struct *work)
{
	struct orchfs_client_conn *conn =
		container_of(work, struct orchfs_client_conn, end_work);
	struct orchfs_peer *peer = conn->peer;
	unsigned int flags = memalloc_noio_save();
	bool busy;

	/* From here on nothing is put on it. */
	spin_lock(&peer->lock);
	conn->usable = false;
	list_del(&conn->link);
	peer->nr_conns--;
	busy = conn->in_flight;
	spin_unlock(&peer->lock);

	/* What is left in the socket isn't sent: it will be, by another. */
	if (busy)
		sock_no_linger(conn->tcp.sock->sk);

	orchfs_tcp_stop(&conn->tcp);
	kthread_stop_put(conn->receiver);
	orchfs_client_send_exit(conn);
	/* Reset before anything is sent elsewhere. */
	__fput_sync(conn->tcp.sock->file);
	client_lose_calls(conn);
	orchfs_client_event(peer, orchfs_message_peer_gone(conn));
	kvfree(conn);
	orchfs_peer_put(peer);
	memalloc_noio_restore(flags);
}

static u32 client_hello_id(void)
{
	u32 id;

	if (!atomic_read(&client_last_hello))
		atomic_cmpxchg(&client_last_hello, 0, get_random_u32());
	do {
		id = atomic_inc_return(&client_last_hello);
	} while (!id);
	return id;
}

static struct orchfs_client_conn *client_new(struct orchfs_peer *peer,
					     struct socket *sock)
{
	struct orchfs_client_conn *conn = kvzalloc(sizeof(*conn), GFP_KERNEL);

	if (!conn)
		return NULL;
	conn->past = orchfs_past_new(client_hello_id());
	if (!conn->past) {
		kvfree(conn);
		return NULL;
	}
	conn->peer = peer;
	conn->id = atomic64_inc_return(&client_last_id);
	conn->tcp.sock = sock;
	INIT_WORK(&conn->end_work, client_end_work);
	orchfs_client_send_init(conn);
	conn->since = jiffies;
	conn->max_requests = 1;
	conn->max_bytes = U32_MAX;
	conn->unit = 1;
	conn->hello.opcode = ORCHFS_OP_HELLO;
	INIT_LIST_HEAD(&conn->hello.link);
	conn->ping.opcode = ORCHFS_OP_PING;
	INIT_LIST_HEAD(&conn->ping.link);
	INIT_LIST_HEAD(&conn->queue);
	INIT_LIST_HEAD(&conn->unbinds);
	INIT_LIST_HEAD(&conn->binds);
	return conn;
}

/* A daemon that came later knows only those that it has brought. */
static void client_replace_locked(struct orchfs_peer *peer)
{
	struct orchfs_client_conn *conn;

	list_for_each_entry(conn, &peer->conns, link) {
		if (!conn->stale || conn->leaving)
			continue;
		conn->leaving = true;
		if (!conn->in_flight)
			orchfs_client_end(conn, ORCHFS_REASON_REPLACED);
		return;
	}
}

static int client_enter(struct orchfs_client_conn *conn)
{
	struct orchfs_peer *peer = conn->peer;
	int ret = -EMFILE;

	spin_lock(&peer->lock);
	if (peer->nr_conns < ORCHFS_CLIENT_CONNS_MAX) {
		client_replace_locked(peer);
		refcount_inc(&peer->refs);
		list_add_tail(&conn->link, &peer->conns);
		peer->nr_conns++;
		orchfs_client_queue_locked(conn, &conn->hello);
		ret = 0;
	}
	spin_unlock(&peer->lock);
	return ret;
}

/**
 * orchfs_client_start() - use a connection to a peer
 * @peer: the peer; a reference is taken
 * @sock: connected; its file's reference is consumed on success
 * @id: set to the connection's number
 *
 * Return: 0; -EBUSY when the socket is used already; -EMFILE when there are
 * too many connections; -ENOMEM, -EINTR.
 */
int orchfs_client_start(struct orchfs_peer *peer, struct socket *sock, u64 *id)
{
	struct orchfs_client_conn *conn = client_new(peer, sock);
	struct task_struct *receiver;
	int ret;

	if (!conn)
		return -ENOMEM;
	receiver = kthread_create(client_receiver, conn, "orchfs-peer/%u",
				  peer->node);
	if (IS_ERR(receiver)) {
		ret = PTR_ERR(receiver);
		goto err_free;
	}
	get_task_struct(receiver);
	conn->receiver = get_task_struct(receiver);
	ret = orchfs_tcp_start(&conn->tcp);
	if (ret)
		goto err_stop_receiver;
	*id = conn->id;
	ret = client_enter(conn);
	if (ret)
		goto err_stop_tcp;
	/* It may have ended by now, and the thread with it. */
	wake_up_process(receiver);
	put_task_struct(receiver);
	return 0;

err_stop_tcp:
	orchfs_tcp_stop(&conn->tcp);
err_stop_receiver:
	kthread_stop_put(receiver);
	put_task_struct(receiver);
err_free:
	kfree(conn->past);
	kvfree(conn);
	return ret;
}
