// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a connection to a peer has in flight: slots, and sending. Who asks sends,
 * or a work does, without blocking. Another looks whether anything comes.
 */
#include <linux/mm.h>
#include <linux/cred.h>
#include <linux/net.h>
#include <linux/sched/mm.h>

#include "client_impl.h"

#define SLOT_BITS	8

#define CALLER_SENDS	4

static_assert(1 << SLOT_BITS == ORCHFS_PDU_REQUESTS_MAX);

/* HELLO's data, at least, go where a token does. */
static_assert(sizeof(struct orchfs_wire_hello) <= ORCHFS_TOKEN_LEN);

/* --- slots --- */

/* Does who asked send it? Nobody else does then. */
static bool client_claimed_locked(struct orchfs_client_conn *conn,
				  struct orchfs_call *call)
{
	if (!orchfs_call_is_rio(call) || !orchfs_call_rio(call)->prompt ||
	    conn->busy || orchfs_client_ending(conn))
		return false;
	conn->busy = true;
	orchfs_call_rio(call)->sender = conn;
	return true;
}

/* Bytes that it counts for in the server's budget */
static u32 client_cost(const struct orchfs_client_conn *conn,
		       const struct orchfs_rio *rio)
{
	u32 before = rio->opcode == ORCHFS_OP_READ ?
		rio->offset & (conn->unit - 1) : 0;

	return round_up(before + rio->count, conn->unit);
}

/**
 * orchfs_client_queue_locked() - have a call sent
 * @conn: has a slot; the caller holds the peer's lock
 * @call: on no list
 *
 * A request may have its caller send: orchfs_rio.sender.
 */
void orchfs_client_queue_locked(struct orchfs_client_conn *conn,
				struct orchfs_call *call)
{
	u32 nr = find_first_zero_bit(conn->used, ORCHFS_PDU_REQUESTS_MAX);
	struct orchfs_slot *slot = &conn->slots[nr];

	lockdep_assert_held(&conn->peer->lock);
	__set_bit(nr, conn->used);
	conn->in_flight++;
	*slot = (struct orchfs_slot){
		.call = call,
		.tag = conn->next_tag++ << SLOT_BITS | nr,
		.opcode = call->opcode,
	};
	if (orchfs_call_is_rio(call)) {
		slot->count = orchfs_call_rio(call)->count;
		slot->held = client_cost(conn, orchfs_call_rio(call));
		conn->held += slot->held;
		slot->append = orchfs_call_rio(call)->flags &
			ORCHFS_PDU_APPEND;
	}
	call->conn = conn;
	call->slot = nr;
	call->state = ORCHFS_CALL_QUEUED;
	list_add_tail(&call->link, &conn->queue);
	/* The work that ends it takes the lock before it cancels these. */
	if (orchfs_client_ending(conn))
		return;
	if (!client_claimed_locked(conn, call))
		queue_delayed_work(orchfs_client_wq, &conn->send_work, 0);
	queue_delayed_work(orchfs_client_wq, &conn->quiet_work,
			   conn->quiet_time);
}

/**
 * orchfs_client_release_locked() - a slot is free
 * @conn: the connection; the caller holds the peer's lock, and feeds it then
 * @slot: which
 */
void orchfs_client_release_locked(struct orchfs_client_conn *conn, u16 slot)
{
	lockdep_assert_held(&conn->peer->lock);
	conn->slots[slot].call = NULL;
	conn->held -= conn->slots[slot].held;
	__clear_bit(slot, conn->used);
	conn->in_flight--;
}

/* --- sending --- */

static u32 client_hello_data(const struct orchfs_client_conn *conn, u8 *buf)
{
	struct orchfs_hello hello = {
		.version_min = ORCHFS_HELLO_VERSION_MIN,
		.version_max = ORCHFS_HELLO_VERSION,
		.max_data = ORCHFS_PDU_DATA_MAX,
		.max_requests = ORCHFS_PDU_REQUESTS_MAX,
		.id = conn->past->id,
	};

	orchfs_hello_encode(&hello, buf);
	return sizeof(struct orchfs_wire_hello);
}

static u32 client_bind_data_locked(struct orchfs_bind *bind, u8 *buf)
{
	struct orchfs_remote *r = bind->remote;

	memcpy(buf, r->token, ORCHFS_TOKEN_LEN);
	bind->token = r->token_nr;
	bind->rights = r->rights;
	return ORCHFS_TOKEN_LEN;
}

/*
 * The data of a small WRITE, to be sent in one piece with its header: how many
 * pieces of memory, 0 for those that are sent behind it.
 */
static unsigned int client_copied(const struct orchfs_rio *rio, struct kvec *kv)
{
	const struct bio_vec *bv = rio->iter.bvec;
	unsigned int i;

	if (!iov_iter_is_bvec(&rio->iter) || rio->iter.iov_offset ||
	    rio->iter.nr_segs > ORCHFS_CLIENT_COPY_PAGES ||
	    iov_iter_count(&rio->iter) != rio->count ||
	    rio->count > ORCHFS_CLIENT_COPY)
		return 0;
	for (i = 0; i < rio->iter.nr_segs; i++) {
		if (PageHighMem(bv[i].bv_page))
			return 0;
		kv[i].iov_base = page_address(bv[i].bv_page) + bv[i].bv_offset;
		kv[i].iov_len = bv[i].bv_len;
	}
	return i;
}

/* Header, and data but for those of a large WRITE. */
static void client_head_locked(struct orchfs_client_conn *conn,
			       struct orchfs_call *call)
{
	u8 *small = conn->head + ORCHFS_PDU_LEN;
	const struct orchfs_rio *rio;
	struct orchfs_pdu pdu = {
		.opcode = call->opcode,
		.tag = call == &conn->ping ? conn->ping_tag :
			conn->slots[call->slot].tag,
	};
	struct orchfs_bind *bind;
	unsigned int nr;
	u32 len = 0;

	lockdep_assert_held(&conn->peer->lock);
	switch (call->opcode) {
	case ORCHFS_OP_HELLO:
		len = client_hello_data(conn, small);
		pdu.data_len = len;
		break;
	case ORCHFS_OP_BIND:
		bind = orchfs_call_bind(call);
		len = client_bind_data_locked(bind, small);
		pdu.data_len = len;
		break;
	case ORCHFS_OP_UNBIND:
		bind = orchfs_call_bind(call);
		pdu.handle = bind->handle;
		break;
	case ORCHFS_OP_END:
		pdu.handle = orchfs_call_past(call)->id;
		break;
	case ORCHFS_OP_PING:
		break;
	default:
		rio = orchfs_call_rio(call);
		pdu.flags = rio->flags;
		pdu.handle = rio->handle;
		pdu.offset = rio->offset;
		pdu.length = rio->length;
		if (call->opcode == ORCHFS_OP_WRITE)
			pdu.data_len = rio->count;
		else if (call->opcode == ORCHFS_OP_READ)
			pdu.count = rio->count;
		else
			pdu.count = rio->mode;
	}
	orchfs_pdu_encode(&pdu, conn->head);
	conn->kv[0].iov_base = conn->head;
	conn->kv[0].iov_len = ORCHFS_PDU_LEN + len;
	nr = call->opcode == ORCHFS_OP_WRITE ?
		client_copied(orchfs_call_rio(call), conn->kv + 1) : 0;
	conn->stage = nr ? 2 : 1;
	conn->splice = false;
	iov_iter_kvec(&conn->iter, ITER_SOURCE, conn->kv, 1 + nr,
		      conn->kv[0].iov_len + (nr ? pdu.data_len : 0));
}

/* Some pages, of the slab, may not be referred to. */
static bool client_may_splice(const struct iov_iter *iter)
{
	unsigned int i;

	if (iov_iter_is_xarray(iter) || iov_iter_is_folioq(iter))
		return true;
	if (!iov_iter_is_bvec(iter))
		return false;
	for (i = 0; i < iter->nr_segs; i++)
		if (!sendpages_ok(iter->bvec[i].bv_page, iter->bvec[i].bv_len,
				  iter->bvec[i].bv_offset))
			return false;
	return true;
}

/*
 * What is to be sent, from now until client_sent() the sender's. Without any
 * it is the sender no more, and unless it is the work the connection may be
 * gone.
 */
static struct orchfs_call *client_next(struct orchfs_client_conn *conn)
{
	struct orchfs_peer *peer = conn->peer;
	struct orchfs_call *call;
	bool ending;

	spin_lock(&peer->lock);
	ending = orchfs_client_ending(conn);
	call = ending ? NULL : conn->sending;
	if (!call && !ending) {
		call = list_first_entry_or_null(&conn->queue,
						struct orchfs_call, link);
		if (call) {
			list_del_init(&call->link);
			call->state = ORCHFS_CALL_SENDING;
			conn->sending = call;
			client_head_locked(conn, call);
		}
	}
	conn->active = call;
	conn->busy = call;
	spin_unlock(&peer->lock);
	if (ending)
		orchfs_peer_wake(peer);
	return call;
}

static void client_sent(struct orchfs_client_conn *conn, bool all)
{
	spin_lock(&conn->peer->lock);
	conn->active = false;
	if (all) {
		conn->sending->state = ORCHFS_CALL_SENT;
		conn->sending = NULL;
	}
	spin_unlock(&conn->peer->lock);
	orchfs_peer_wake(conn->peer);
}

/* The socket has no room: the work goes on when it has. As client_next(). */
static void client_stop_sending(struct orchfs_client_conn *conn, bool work)
{
	struct orchfs_peer *peer = conn->peer;

	spin_lock(&peer->lock);
	conn->busy = false;
	if (!work)
		queue_delayed_work(orchfs_client_wq, &conn->send_work, 0);
	else if (orchfs_tcp_idle(conn->tcp.sock))
		mod_delayed_work(orchfs_client_wq, &conn->send_work, HZ / 10);
	spin_unlock(&peer->lock);
	orchfs_peer_wake(peer);
}

static int client_send(struct orchfs_client_conn *conn,
		       struct orchfs_call *call)
{
	bool data = call->opcode == ORCHFS_OP_WRITE;
	int ret;

	if (conn->stage == 1) {
		ret = orchfs_tcp_send(conn->tcp.sock, &conn->iter, false,
				      data);
		if (ret || !data)
			return ret;
		conn->iter = orchfs_call_rio(call)->iter;
		iov_iter_truncate(&conn->iter, orchfs_call_rio(call)->count);
		conn->splice = client_may_splice(&conn->iter);
		conn->stage = 2;
	}
	return orchfs_tcp_send(conn->tcp.sock, &conn->iter, conn->splice,
			       false);
}

/*
 * By who is the sender. It may be sending for write-back or reclaim. A caller
 * isn't asked whether it may use the daemon's socket, and has better things to
 * do than to send for everybody.
 */
static void client_send_all(struct orchfs_client_conn *conn, bool work)
{
	const struct cred *old = override_creds(orchfs_client_cred);
	unsigned int flags = memalloc_noio_save();
	struct orchfs_call *call;
	unsigned int nr = 0;
	int ret;

	while ((call = client_next(conn))) {
		ret = client_send(conn, call);
		client_sent(conn, !ret);
		/* kTLS tells a caller of a signal, before anything was sent */
		if (ret == -EAGAIN || (!work && ret == -EINTR) ||
		    (!ret && !work && ++nr == CALLER_SENDS)) {
			client_stop_sending(conn, work);
			break;
		}
		if (ret)
			orchfs_client_end(conn, ORCHFS_REASON_SOCKET);
		cond_resched();
	}
	memalloc_noio_restore(flags);
	revert_creds(old);
}

/**
 * orchfs_client_send() - send what waits, by a caller
 * @conn: orchfs_rio.sender of its request; may be gone when this returns
 */
void orchfs_client_send(struct orchfs_client_conn *conn)
{
	client_send_all(conn, false);
}

static void client_send_work(struct work_struct *work)
{
	struct orchfs_client_conn *conn =
		container_of(to_delayed_work(work), struct orchfs_client_conn,
			     send_work);
	bool busy;

	spin_lock(&conn->peer->lock);
	busy = conn->busy;
	conn->busy = true;
	spin_unlock(&conn->peer->lock);
	/* Who is the sender finds what this one would. */
	if (!busy)
		client_send_all(conn, true);
}

static void client_writable(struct orchfs_tcp *tcp)
{
	struct orchfs_client_conn *conn =
		container_of(tcp, struct orchfs_client_conn, tcp);

	if (!orchfs_client_ending(conn))
		queue_delayed_work(orchfs_client_wq, &conn->send_work, 0);
}

/* --- silence --- */

/* Behind what has begun, before all else; the last one has been sent. */
static void client_ping_locked(struct orchfs_client_conn *conn)
{
	conn->pinged = true;
	conn->ping_tag = conn->next_tag++ << SLOT_BITS;
	conn->ping.state = ORCHFS_CALL_QUEUED;
	list_add(&conn->ping.link, &conn->queue);
	queue_delayed_work(orchfs_client_wq, &conn->send_work, 0);
}

/*
 * Nothing came since the last look, and nothing was taken: a server that only
 * takes its time answers a PING at once.
 */
static void client_quiet_locked(struct orchfs_client_conn *conn)
{
	if (++conn->quiet >= ORCHFS_CLIENT_QUIET_MAX)
		orchfs_client_end(conn, ORCHFS_REASON_SILENT);
	else if (conn->usable && !conn->pinged &&
		 conn->ping.state != ORCHFS_CALL_SENDING)
		client_ping_locked(conn);
}

static void client_quiet_work(struct work_struct *work)
{
	struct orchfs_client_conn *conn =
		container_of(to_delayed_work(work), struct orchfs_client_conn,
			     quiet_work);
	u64 moved = orchfs_tcp_moved(conn->tcp.sock);

	spin_lock(&conn->peer->lock);
	if (moved != conn->moved || !conn->in_flight)
		conn->quiet = 0;
	else if (!orchfs_client_ending(conn))
		client_quiet_locked(conn);
	conn->moved = moved;
	if (conn->in_flight && !orchfs_client_ending(conn))
		queue_delayed_work(orchfs_client_wq, &conn->quiet_work,
				   conn->quiet_time);
	spin_unlock(&conn->peer->lock);
}

/* --- beginning and end --- */

/**
 * orchfs_client_send_init() - prepare to send
 * @conn: a new connection; its socket isn't used yet
 */
void orchfs_client_send_init(struct orchfs_client_conn *conn)
{
	conn->tcp.writable = client_writable;
	INIT_DELAYED_WORK(&conn->send_work, client_send_work);
	INIT_DELAYED_WORK(&conn->quiet_work, client_quiet_work);
	conn->quiet_time = ORCHFS_CLIENT_QUIET;
}

static bool client_is_busy(struct orchfs_client_conn *conn)
{
	bool busy;

	spin_lock(&conn->peer->lock);
	busy = conn->busy;
	spin_unlock(&conn->peer->lock);
	return busy;
}

/**
 * orchfs_client_send_exit() - wait until nobody sends
 * @conn: is ending, and the peer's lock was taken since; its socket is shut
 */
void orchfs_client_send_exit(struct orchfs_client_conn *conn)
{
	wait_event(conn->peer->wq, !client_is_busy(conn));
	cancel_delayed_work_sync(&conn->send_work);
	cancel_delayed_work_sync(&conn->quiet_work);
}
