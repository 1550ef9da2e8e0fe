// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections. One thread receives: header, checks, budget, data. Requests go
 * to workers or are answered on the spot; replies are queued, and who has
 * answered sends them, or a work where the socket has no room, without blocking. Whoever finds a reason ends the connection, and a
 * work takes it apart:
 *
 *	running -> ending -> gone
 */
#include <linux/file.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/slab.h>
#include <net/sock.h>

#include "serve.h"
#include "trace.h"

static_assert(sizeof(struct orchfs_wire_attr) <= ORCHFS_SERVE_SMALL);
static_assert(sizeof(struct orchfs_wire_hello) <= ORCHFS_SERVE_SMALL);

#define OTHERS_SENT	4

/* Budget of all connections of this kernel. */
static atomic_long_t serve_held;
static DECLARE_WAIT_QUEUE_HEAD(serve_budget_wq);
static atomic64_t serve_last_id;
static struct kmem_cache *serve_req_cache;

/**
 * orchfs_conn_init() - make the cache of requests
 *
 * Return: 0 or -ENOMEM.
 */
int orchfs_conn_init(void)
{
	serve_req_cache = KMEM_CACHE(orchfs_serve_req, 0);
	return serve_req_cache ? 0 : -ENOMEM;
}

/**
 * orchfs_conn_exit() - undo orchfs_conn_init()
 */
void orchfs_conn_exit(void)
{
	kmem_cache_destroy(serve_req_cache);
}

static long serve_budget(void)
{
	return (totalram_pages() << PAGE_SHIFT) / 16;
}

/*
 * A connection that holds nothing is always let through, or those who don't
 * read their replies could starve it.
 */
static bool conn_hold(struct orchfs_serve_conn *conn, u32 bytes)
{
	bool ok;

	spin_lock(&conn->lock);
	ok = !conn->held ||
	     (conn->held + bytes <= conn->limits.max_bytes &&
	      atomic_long_read(&serve_held) + bytes <= serve_budget());
	if (ok) {
		conn->held += bytes;
		conn->held_most = max(conn->held_most, conn->held);
		atomic_long_add(bytes, &serve_held);
	}
	spin_unlock(&conn->lock);
	return ok;
}

static void conn_unhold(struct orchfs_serve_conn *conn, u32 bytes)
{
	if (!bytes)
		return;
	spin_lock(&conn->lock);
	conn->held -= bytes;
	spin_unlock(&conn->lock);
	atomic_long_sub(bytes, &serve_held);
	if (wq_has_sleeper(&serve_budget_wq))
		wake_up_all(&serve_budget_wq);
}

/**
 * orchfs_conn_release_data() - the pages of a request are needed no more
 * @req: the request
 */
void orchfs_conn_release_data(struct orchfs_serve_req *req)
{
	orchfs_req_free_pages(req);
	conn_unhold(req->conn, req->held);
	req->held = 0;
}

static void conn_free_req(struct orchfs_serve_req *req)
{
	orchfs_conn_release_data(req);
	kmem_cache_free(serve_req_cache, req);
}

/**
 * orchfs_conn_end() - end a connection
 * @conn: whose memory is safe: by serve_lock, or as it has a request
 * @reason: ORCHFS_REASON_*; the first counts
 */
void orchfs_conn_end(struct orchfs_serve_conn *conn, int reason)
{
	if (test_and_set_bit(ORCHFS_CONN_ENDING, &conn->flags))
		return;
	conn->reason = reason;
	trace_orchfs_serve_end(conn->id, conn->peer, reason);
	queue_work(conn->serve->ends, &conn->end_work);
	wake_up_all(&serve_budget_wq);
}

/* --- sending --- */

/* A PING counts for itself: it may be asked at the limit, too. */
static void conn_uncount_locked(struct orchfs_serve_conn *conn,
				struct orchfs_serve_req *req)
{
	hash_del(&req->tag);
	if (req->pdu.opcode == ORCHFS_OP_PING)
		conn->pinged = false;
	else
		conn->in_flight--;
}

/* The sender is it no more when there is none. */
static struct orchfs_serve_req *conn_next_reply(struct orchfs_serve_conn *conn)
{
	struct orchfs_serve_req *req;

	spin_lock(&conn->lock);
	req = list_first_entry_or_null(&conn->replies, struct orchfs_serve_req,
				       link);
	if (req) {
		list_del_init(&req->link);
		/* Before its first byte: the peer may use the tag then. */
		conn_uncount_locked(conn, req);
	} else {
		conn->busy = false;
	}
	spin_unlock(&conn->lock);
	return req;
}

static bool conn_become_sender(struct orchfs_serve_conn *conn)
{
	bool busy;

	spin_lock(&conn->lock);
	busy = conn->busy;
	conn->busy = true;
	spin_unlock(&conn->lock);
	/* Who is it finds what this one would. */
	return !busy;
}

static void conn_stop_sending(struct orchfs_serve_conn *conn)
{
	spin_lock(&conn->lock);
	conn->busy = false;
	spin_unlock(&conn->lock);
}

static int conn_send_req(struct orchfs_serve_conn *conn,
			 struct orchfs_serve_req *req)
{
	int ret;

	if (!req->stage) {
		orchfs_pdu_encode(&req->reply, req->head);
		req->kv.iov_base = req->head;
		req->kv.iov_len = ORCHFS_PDU_LEN + req->small_len;
		iov_iter_kvec(&req->iter, ITER_SOURCE, &req->kv, 1,
			      req->kv.iov_len);
		req->stage = 1;
	}
	if (req->stage == 1) {
		ret = orchfs_tcp_send(conn->tcp.sock, &req->iter, false,
				      req->bytes);
		if (ret || !req->bytes)
			return ret;
		iov_iter_bvec(&req->iter, ITER_SOURCE, req->bv, req->nr_bv,
			      req->bytes);
		req->stage = 2;
	}
	return orchfs_tcp_send(conn->tcp.sock, &req->iter, true, false);
}

/* By who is the sender. */
static void conn_send_all(struct orchfs_serve_conn *conn, bool work)
{
	struct orchfs_serve_req *req;
	unsigned int nr = 0;
	int ret;

	while (!orchfs_conn_ending(conn)) {
		req = conn->sending ?: conn_next_reply(conn);
		if (!req)
			return;
		conn->sending = req;
		ret = conn_send_req(conn, req);
		if (ret == -EAGAIN) {
			conn_stop_sending(conn);
			if (!work)
				queue_delayed_work(conn->serve->wq,
						   &conn->send_work, 0);
			else if (orchfs_tcp_idle(conn->tcp.sock))
				mod_delayed_work(conn->serve->wq,
						 &conn->send_work, HZ / 10);
			return;
		}
		if (ret) {
			orchfs_conn_end(conn, ORCHFS_REASON_SOCKET);
			break;
		}
		if (req->last)
			orchfs_conn_end(conn, ORCHFS_REASON_VERSION);
		conn_free_req(req);
		conn->sending = NULL;
		/* who has answered one doesn't send for all */
		if (!work && ++nr == OTHERS_SENT) {
			conn_stop_sending(conn);
			queue_delayed_work(conn->serve->wq, &conn->send_work,
					   0);
			return;
		}
		cond_resched();
	}
	conn_stop_sending(conn);
}

static void conn_send_work(struct work_struct *work)
{
	struct orchfs_serve_conn *conn =
		container_of(to_delayed_work(work), struct orchfs_serve_conn,
			     send_work);

	if (conn_become_sender(conn))
		conn_send_all(conn, true);
}

static void conn_writable(struct orchfs_tcp *tcp)
{
	struct orchfs_serve_conn *conn =
		container_of(tcp, struct orchfs_serve_conn, tcp);

	if (!orchfs_conn_ending(conn))
		queue_delayed_work(conn->serve->wq, &conn->send_work, 0);
}

/* What a drive says doesn't look like what only holes and modes are told. */
static int conn_error(const struct orchfs_serve_req *req, int err)
{
	bool seek = req->pdu.opcode == ORCHFS_OP_SEEK;

	if ((err == -ENODATA && !seek) ||
	    (err == -EOPNOTSUPP && !seek &&
	     req->pdu.opcode != ORCHFS_OP_ALLOCATE))
		return -EIO;
	return err;
}

/**
 * orchfs_conn_reply() - answer a request
 * @req: with what is to be answered in reply, small or bv; consumed
 * @err: 0 or a negative errno, with which nothing else is answered
 */
void orchfs_conn_reply(struct orchfs_serve_req *req, int err)
{
	struct orchfs_serve_conn *conn = req->conn;

	trace_orchfs_serve_reply(conn->id, conn->peer, req->pdu.opcode,
				 req->pdu.tag, req->pdu.offset,
				 req->pdu.count ?: req->pdu.data_len, err);
	req->reply.opcode = req->pdu.opcode;
	req->reply.tag = req->pdu.tag;
	req->reply.flags |= ORCHFS_PDU_REPLY;
	if (err) {
		atomic64_inc(&conn->refused);
		req->reply = (struct orchfs_pdu){
			.opcode = req->pdu.opcode,
			.flags = ORCHFS_PDU_REPLY,
			.tag = req->pdu.tag,
			.status = orchfs_pdu_status(conn_error(req, err)),
		};
		req->small_len = 0;
		orchfs_conn_release_data(req);
	}
	req->reply.data_len = req->small_len + req->bytes;
	spin_lock(&conn->lock);
	list_add_tail(&req->link, &conn->replies);
	spin_unlock(&conn->lock);
	if (conn_become_sender(conn))
		conn_send_all(conn, false);
}

/**
 * orchfs_conn_work() - let a worker do a request
 * @req: orchfs_conn_worked() must come
 * @wq: whose worker
 */
void orchfs_conn_work(struct orchfs_serve_req *req, struct workqueue_struct *wq)
{
	spin_lock(&req->conn->lock);
	req->conn->working++;
	req->conn->changing += orchfs_req_changes(req);
	spin_unlock(&req->conn->lock);
	queue_work(wq, &req->work);
}

/* What reads or syncs on a drive that hangs keeps no END waiting. */
static void conn_check_enders_locked(struct orchfs_serve_conn *conn)
{
	lockdep_assert_held(&conn->lock);
	if (conn->stopped && !conn->changing)
		queue_work(conn->serve->ends, &conn->enders_work);
}

/*
 * The receiver, or a request at a worker, has done with the connection. No
 * queue waits for it: that of a drive that hangs would keep others waiting.
 */
static void conn_unused(struct orchfs_serve_conn *conn, bool changes)
{
	spin_lock(&conn->lock);
	if (changes)
		conn->changing--;
	conn_check_enders_locked(conn);
	if (!--conn->working)
		queue_work(conn->serve->ends, &conn->last_work);
	spin_unlock(&conn->lock);
}

/**
 * orchfs_conn_worked() - answer a request, at a worker
 * @req: as orchfs_conn_reply(); the connection may be gone when this returns
 * @err: likewise
 */
void orchfs_conn_worked(struct orchfs_serve_req *req, int err)
{
	struct orchfs_serve_conn *conn = req->conn;
	bool changes = orchfs_req_changes(req);

	orchfs_conn_reply(req, err);
	conn_unused(conn, changes);
}

/* --- receiving --- */

/* 0, or the reason to end: @closed, when not even a byte came. */
static int conn_recv(struct orchfs_serve_conn *conn, struct iov_iter *iter,
		     int closed)
{
	size_t want = iov_iter_count(iter);
	int ret = orchfs_tcp_recv(conn->tcp.sock, iter);

	if (ret == want)
		return 0;
	return ret ? ORCHFS_REASON_SOCKET : closed;
}

static int conn_recv_buf(struct orchfs_serve_conn *conn, void *buf, size_t len,
			 int closed)
{
	struct kvec kv = { .iov_base = buf, .iov_len = len };
	struct iov_iter iter;

	iov_iter_kvec(&iter, ITER_DEST, &kv, 1, len);
	return conn_recv(conn, &iter, closed);
}

static int conn_check_order(struct orchfs_serve_conn *conn,
			    const struct orchfs_pdu *pdu)
{
	bool hello = pdu->opcode == ORCHFS_OP_HELLO;

	if (conn->hello == hello)
		return ORCHFS_REASON_ORDER;
	if (pdu->opcode >= ORCHFS_OP_END &&
	    conn->version < ORCHFS_HELLO_VERSION_END)
		return ORCHFS_REASON_OPCODE;
	conn->hello = true;
	return 0;
}

/* From here on it is in flight; 0, or the reason to end. */
static int conn_enter(struct orchfs_serve_req *req)
{
	bool ping = req->pdu.opcode == ORCHFS_OP_PING;
	struct orchfs_serve_conn *conn = req->conn;
	struct orchfs_serve_req *other;
	int ret = 0;

	spin_lock(&conn->lock);
	hash_for_each_possible(conn->tags, other, tag, req->pdu.tag)
		if (other->pdu.tag == req->pdu.tag)
			ret = ORCHFS_REASON_TAG;
	if (!ret && (ping ? conn->pinged :
		     conn->in_flight >= conn->limits.max_requests))
		ret = ORCHFS_REASON_TOO_MANY;
	if (!ret) {
		hash_add(conn->tags, &req->tag, req->pdu.tag);
		conn->in_flight += !ping;
		conn->pinged |= ping;
	}
	spin_unlock(&conn->lock);
	return ret;
}

static void conn_leave(struct orchfs_serve_req *req)
{
	struct orchfs_serve_conn *conn = req->conn;

	spin_lock(&conn->lock);
	conn_uncount_locked(conn, req);
	spin_unlock(&conn->lock);
}

/* Stop reading until there is room. 0, or the reason to end. */
static int conn_budget(struct orchfs_serve_req *req)
{
	struct orchfs_serve_conn *conn = req->conn;
	u32 bytes = 0;
	bool held;

	/* in pages, as memory is held */
	if (req->pdu.opcode == ORCHFS_OP_READ)
		bytes = PAGE_ALIGN(offset_in_page(req->pdu.offset) +
				   req->pdu.count);
	else if (req->pdu.opcode == ORCHFS_OP_WRITE)
		bytes = PAGE_ALIGN(req->pdu.data_len);
	if (!bytes)
		return 0;
	held = conn_hold(conn, bytes);
	if (!held) {
		atomic64_inc(&conn->waits);
		wait_event_interruptible(serve_budget_wq,
					 (held = conn_hold(conn, bytes)) ||
					 orchfs_conn_ending(conn));
	}
	if (!held)
		return ORCHFS_REASON_SOCKET;
	req->held = bytes;
	return 0;
}

/* 0 with *err set to 0 or -EBADMSG, or the reason to end. */
static int conn_recv_data(struct orchfs_serve_req *req, int *err)
{
	struct orchfs_serve_conn *conn = req->conn;
	u32 crc, len = req->pdu.data_len;
	struct iov_iter iter;
	int ret;

	*err = 0;
	if (req->pdu.opcode == ORCHFS_OP_WRITE) {
		if (orchfs_req_pages(req, len))
			return ORCHFS_REASON_MEMORY;
		iov_iter_bvec(&iter, ITER_DEST, req->bv, req->nr_bv, len);
		ret = conn_recv(conn, &iter, ORCHFS_REASON_SOCKET);
	} else {
		ret = conn_recv_buf(conn, req->small, len,
				    ORCHFS_REASON_SOCKET);
	}
	if (ret || !(req->pdu.flags & ORCHFS_PDU_DATA_CRC))
		return ret;
	crc = req->bv ? orchfs_req_crc(req) :
		orchfs_pdu_crc(0, req->small, len);
	if (crc != req->pdu.data_crc)
		*err = -EBADMSG;
	return 0;
}

static struct orchfs_serve_req *conn_new_req(struct orchfs_serve_conn *conn,
					     const struct orchfs_pdu *pdu)
{
	struct orchfs_serve_req *req = kmem_cache_zalloc(serve_req_cache,
							 GFP_KERNEL);

	if (!req)
		return NULL;
	INIT_LIST_HEAD(&req->link);
	INIT_LIST_HEAD(&req->admitted);
	req->conn = conn;
	req->pdu = *pdu;
	return req;
}

/* One request; 0, or the reason to end. */
static int conn_receive(struct orchfs_serve_conn *conn)
{
	struct orchfs_serve_req *req;
	u8 head[ORCHFS_PDU_LEN];
	struct orchfs_pdu pdu;
	int reason, err = 0;

	reason = conn_recv_buf(conn, head, sizeof(head),
			       ORCHFS_REASON_CLOSED);
	if (reason)
		return reason;
	reason = orchfs_pdu_decode_request(head, sizeof(head), &pdu);
	if (!reason)
		reason = conn_check_order(conn, &pdu);
	if (reason)
		return reason;
	req = conn_new_req(conn, &pdu);
	if (!req)
		return ORCHFS_REASON_MEMORY;
	reason = conn_enter(req);
	if (reason)
		goto err_free;
	atomic64_inc(&conn->requests);
	reason = conn_budget(req);
	if (!reason && pdu.data_len)
		reason = conn_recv_data(req, &err);
	if (reason)
		goto err_leave;
	if (err)
		orchfs_conn_reply(req, err);
	else
		orchfs_req_dispatch(req);
	return 0;

err_leave:
	conn_leave(req);
err_free:
	conn_free_req(req);
	return reason;
}

static int conn_receiver(void *data)
{
	struct orchfs_serve_conn *conn = data;
	int reason;

	do {
		reason = conn_receive(conn);
	} while (!reason && !orchfs_conn_ending(conn));
	if (reason)
		orchfs_conn_end(conn, reason);
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

/* --- connections that their client has given up --- */

/* Those that can't be carried out any more when @conn is gone. */
static void conn_answer_enders(struct list_head *enders, int err)
{
	struct orchfs_serve_req *req, *next;

	list_for_each_entry_safe(req, next, enders, link) {
		list_del_init(&req->link);
		orchfs_conn_worked(req, err);
	}
}

/* Its own ENDs: two connections may not wait for each other. */
static void conn_drop_enders(struct orchfs_serve_conn *conn)
{
	struct orchfs_net *on = orchfs_net_of(conn->serve->net);
	struct orchfs_serve_req *req, *next;
	struct orchfs_serve_conn *other;
	LIST_HEAD(dropped);

	mutex_lock(&on->serve_lock);
	list_for_each_entry(other, &conn->serve->conns, link)
		list_for_each_entry_safe(req, next, &other->enders, link)
			if (req->conn == conn)
				list_move_tail(&req->link, &dropped);
	mutex_unlock(&on->serve_lock);
	conn_answer_enders(&dropped, -ESTALE);
}

/**
 * orchfs_conn_await() - answer when an earlier connection of the peer has ended
 * @req: an END; consumed
 *
 * It ends if it didn't yet, and with it what is under way there. None that is
 * unknown can have anything under way.
 */
void orchfs_conn_await(struct orchfs_serve_req *req)
{
	struct orchfs_serve_conn *conn = req->conn, *other;
	struct orchfs_net *on = orchfs_net_of(conn->serve->net);
	bool found = false;

	mutex_lock(&on->serve_lock);
	list_for_each_entry(other, &conn->serve->conns, link) {
		if (other == conn || other->peer != conn->peer ||
		    !READ_ONCE(other->hello_id) ||
		    READ_ONCE(other->hello_id) != req->pdu.handle)
			continue;
		found = true;
		spin_lock(&conn->lock);
		conn->working++;
		spin_unlock(&conn->lock);
		list_add_tail(&req->link, &other->enders);
		orchfs_conn_end(other, ORCHFS_REASON_REPLACED);
		spin_lock(&other->lock);
		conn_check_enders_locked(other);
		spin_unlock(&other->lock);
		break;
	}
	mutex_unlock(&on->serve_lock);
	if (!found)
		orchfs_conn_reply(req, 0);
}

/* --- beginning and end --- */

static void conn_drop_replies(struct orchfs_serve_conn *conn)
{
	struct orchfs_serve_req *req;

	if (conn->sending)
		conn_free_req(conn->sending);
	while ((req = conn_next_reply(conn)))
		conn_free_req(req);
}

static void conn_end_work(struct work_struct *work)
{
	struct orchfs_serve_conn *conn =
		container_of(work, struct orchfs_serve_conn, end_work);

	orchfs_tcp_stop(&conn->tcp);
	kthread_stop_put(conn->receiver);
	conn_drop_enders(conn);
	spin_lock(&conn->lock);
	conn->stopped = true;
	spin_unlock(&conn->lock);
	conn_unused(conn, false);
}

static void conn_enders_work(struct work_struct *work)
{
	struct orchfs_serve_conn *conn =
		container_of(work, struct orchfs_serve_conn, enders_work);
	struct orchfs_net *on = orchfs_net_of(conn->serve->net);
	LIST_HEAD(enders);

	mutex_lock(&on->serve_lock);
	list_splice_init(&conn->enders, &enders);
	mutex_unlock(&on->serve_lock);
	conn_answer_enders(&enders, 0);
}

/* The receiver has stopped, and no worker has a request. */
static void conn_last_work(struct work_struct *work)
{
	struct orchfs_serve_conn *conn =
		container_of(work, struct orchfs_serve_conn, last_work);
	struct orchfs_serve *serve = conn->serve;
	struct orchfs_net *on = orchfs_net_of(serve->net);
	LIST_HEAD(handles);
	LIST_HEAD(enders);

	/* Who queued this is through with the connection. */
	spin_lock(&conn->lock);
	spin_unlock(&conn->lock);
	cancel_delayed_work_sync(&conn->send_work);
	conn_drop_replies(conn);
	orchfs_handle_take_all(conn, NULL, &handles);
	orchfs_handle_put_list(&handles);
	__fput_sync(conn->tcp.sock->file);

	mutex_lock(&on->serve_lock);
	list_del(&conn->link);
	list_splice_init(&conn->enders, &enders);
	mutex_unlock(&on->serve_lock);
	conn_answer_enders(&enders, 0);
	cancel_work_sync(&conn->enders_work);
	/* Who is told finds it on no list. */
	orchfs_serve_event(serve, orchfs_message_serve_gone(conn));
	mutex_lock(&on->serve_lock);
	serve->nr_conns--;
	wake_up_all(&serve->idle);
	mutex_unlock(&on->serve_lock);
	xa_destroy(&conn->handles);
	kfree(conn);
}

static struct orchfs_serve_conn *
conn_new(struct orchfs_serve *serve, struct socket *sock, u32 peer,
	 const struct orchfs_serve_limits *limits)
{
	struct orchfs_serve_conn *conn = kzalloc(sizeof(*conn), GFP_KERNEL);

	if (!conn)
		return NULL;
	conn->serve = serve;
	conn->id = atomic64_inc_return(&serve_last_id);
	conn->peer = peer;
	conn->limits = *limits;
	conn->tcp.sock = sock;
	conn->tcp.writable = conn_writable;
	INIT_DELAYED_WORK(&conn->send_work, conn_send_work);
	INIT_WORK(&conn->end_work, conn_end_work);
	INIT_WORK(&conn->enders_work, conn_enders_work);
	INIT_WORK(&conn->last_work, conn_last_work);
	conn->working = 1;
	xa_init_flags(&conn->handles, XA_FLAGS_ALLOC);
	spin_lock_init(&conn->lock);
	hash_init(conn->tags);
	INIT_LIST_HEAD(&conn->replies);
	INIT_LIST_HEAD(&conn->enders);
	return conn;
}

/**
 * orchfs_conn_start() - serve a peer
 * @serve: the server; the caller holds serve_lock
 * @sock: connected; its file's reference is consumed on success
 * @peer: number of the node
 * @limits: checked
 * @id: set to the connection's number
 *
 * Return: 0; -EBUSY when the socket is used already; -EMFILE when there are
 * too many connections; -ENOMEM, -EINTR.
 */
int orchfs_conn_start(struct orchfs_serve *serve, struct socket *sock, u32 peer,
		      const struct orchfs_serve_limits *limits, u64 *id)
{
	struct orchfs_serve_conn *conn;
	int ret;

	if (serve->nr_conns >= ORCHFS_SERVE_CONNS_MAX)
		return -EMFILE;
	conn = conn_new(serve, sock, peer, limits);
	if (!conn)
		return -ENOMEM;
	conn->receiver = kthread_create(conn_receiver, conn, "orchfs-recv/%u",
					peer);
	if (IS_ERR(conn->receiver)) {
		ret = PTR_ERR(conn->receiver);
		goto err_free;
	}
	get_task_struct(conn->receiver);
	ret = orchfs_tcp_start(&conn->tcp);
	if (ret)
		goto err_stop_receiver;
	*id = conn->id;
	list_add_tail(&conn->link, &serve->conns);
	serve->nr_conns++;
	wake_up_process(conn->receiver);
	return 0;

err_stop_receiver:
	kthread_stop_put(conn->receiver);
err_free:
	kfree(conn);
	return ret;
}
