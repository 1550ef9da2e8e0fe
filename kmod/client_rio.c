// SPDX-License-Identifier: GPL-2.0-only
/*
 * Remote instances and requests to them. Whoever takes a request off its list,
 * or out of its slot, under the peer's lock, ends it or sends it on its way
 * again:
 *
 *	idle -> waiting, later, binding, ending -> queued -> sending -> sent -> idle
 */
#include <linux/completion.h>
#include <linux/slab.h>

#include "client_impl.h"
#include "trace.h"

/* --- remote instances --- */

/**
 * orchfs_remote_new() - a remote instance
 * @peer: whose; a reference is taken
 * @id: which
 *
 * Requests need a token: orchfs_remote_token().
 *
 * Return: it, with a reference for the caller; NULL without memory.
 */
struct orchfs_remote *orchfs_remote_new(struct orchfs_peer *peer,
					const struct orchfs_remote_id *id)
{
	struct orchfs_remote *r = kzalloc(sizeof(*r), GFP_KERNEL);

	if (!r)
		return NULL;
	refcount_set(&r->refs, 1);
	refcount_inc(&peer->refs);
	r->peer = peer;
	r->id = *id;
	INIT_LIST_HEAD(&r->binds);
	return r;
}

/**
 * orchfs_remote_get() - take a reference
 * @r: the caller has one
 *
 * Return: @r.
 */
struct orchfs_remote *orchfs_remote_get(struct orchfs_remote *r)
{
	refcount_inc(&r->refs);
	return r;
}

/**
 * orchfs_remote_put() - drop a reference
 * @r: no request of the caller's is under way. The last one gives its handles
 *	up, which nothing waits for; in any task context, without locks
 */
void orchfs_remote_put(struct orchfs_remote *r)
{
	struct orchfs_peer *peer = r->peer;
	struct orchfs_client_conn *conn;
	struct orchfs_bind *bind;
	LIST_HEAD(ended);

	if (!refcount_dec_and_test(&r->refs))
		return;
	spin_lock(&peer->lock);
	while (!list_empty(&r->binds)) {
		bind = list_first_entry(&r->binds, struct orchfs_bind,
					on_remote);
		conn = bind->conn;
		orchfs_bind_retire_locked(bind);
		/* one that wasn't sent yet leaves its slot */
		orchfs_peer_feed_locked(conn, &ended);
	}
	spin_unlock(&peer->lock);
	orchfs_rio_tell(&ended);
	orchfs_peer_put(peer);
	kfree(r);
}

static bool remote_token_fits(const struct orchfs_remote *r,
			      const struct orchfs_token *t)
{
	return !memcmp(t->ns_uuid, r->peer->uuid, sizeof(t->ns_uuid)) &&
		t->volume == r->id.volume && t->ino == r->id.ino &&
		t->version == r->id.version && t->instance == r->id.instance;
}

/* One of an earlier epoch, or with fewer rights, is kept for worse times. */
static bool remote_token_better_locked(const struct orchfs_remote *r,
				       const struct orchfs_token *t,
				       const u8 *token)
{
	lockdep_assert_held(&r->peer->lock);
	if (!r->token_nr)
		return true;
	if (!memcmp(r->token, token, ORCHFS_TOKEN_LEN))
		return false;
	if (t->epoch != r->epoch)
		return t->epoch > r->epoch;
	return r->refused || !(r->rights & ~t->rights);
}

/**
 * orchfs_remote_token() - a layout has brought a token
 * @r: the instance
 * @token: ignored when the one that is there is better
 *
 * Return: 0; -EINVAL when it is none for this instance.
 */
int orchfs_remote_token(struct orchfs_remote *r,
			const u8 token[ORCHFS_TOKEN_LEN])
{
	struct orchfs_token t;

	if (orchfs_token_decode(token, ORCHFS_TOKEN_LEN, &t) ||
	    !remote_token_fits(r, &t))
		return -EINVAL;
	spin_lock(&r->peer->lock);
	if (remote_token_better_locked(r, &t, token)) {
		memcpy(r->token, token, sizeof(r->token));
		r->rights = t.rights;
		r->epoch = t.epoch;
		r->refused = false;
		r->token_nr++;
	}
	spin_unlock(&r->peer->lock);
	return 0;
}

/* --- where a request goes --- */

/**
 * orchfs_rio_end_locked() - a request has ended
 * @rio: on no list and without a slot; the caller holds the peer's lock
 * @err: 0 or a negative errno
 * @ended: for orchfs_rio_tell()
 */
void orchfs_rio_end_locked(struct orchfs_rio *rio, int err,
			   struct list_head *ended)
{
	orchfs_past_put_locked(rio);
	rio->err = err;
	rio->call.conn = NULL;
	rio->call.state = ORCHFS_CALL_IDLE;
	list_add_tail(&rio->call.link, ended);
}

/**
 * orchfs_rio_tell() - tell the ends of requests
 * @ended: those; the caller holds no lock
 */
void orchfs_rio_tell(struct list_head *ended)
{
	struct orchfs_call *call, *tmp;

	list_for_each_entry_safe(call, tmp, ended, link) {
		struct orchfs_rio *rio = orchfs_call_rio(call);

		list_del_init(&call->link);
		trace_orchfs_remote_done(rio->remote->peer->node,
					 rio->remote->id.ino, rio->opcode,
					 rio->offset, rio->count, rio->err);
		/* It may be gone when this returns, and so may the remote. */
		rio->done(rio);
	}
}

/**
 * orchfs_rio_later_locked() - try a request again soon, until its deadline
 * @rio: on no list and without a slot; the caller holds the peer's lock
 * @err: what it will end with
 */
void orchfs_rio_later_locked(struct orchfs_rio *rio, int err)
{
	struct orchfs_peer *peer = rio->remote->peer;

	lockdep_assert_held(&peer->lock);
	rio->last_err = err;
	rio->call.conn = NULL;
	rio->call.state = ORCHFS_CALL_LATER;
	list_add_tail(&rio->call.link, &peer->later);
	orchfs_peer_arm_locked(peer, jiffies + ORCHFS_CLIENT_LATER);
}

/**
 * orchfs_rio_unserved_locked() - the volume isn't served
 * @rio: on no list and without a slot; the caller holds the peer's lock
 * @ended: gets it when that goes on
 *
 * A daemon that has just begun may be about to serve it.
 */
void orchfs_rio_unserved_locked(struct orchfs_rio *rio,
				struct list_head *ended)
{
	if (++rio->tries > ORCHFS_CLIENT_TRIES)
		orchfs_rio_end_locked(rio, -ENXIO, ended);
	else
		orchfs_rio_later_locked(rio, -ENXIO);
}

static void rio_wait_locked(struct orchfs_rio *rio)
{
	struct orchfs_peer *peer = rio->remote->peer;
	unsigned long at = jiffies;

	lockdep_assert_held(&peer->lock);
	rio->call.conn = NULL;
	rio->call.state = ORCHFS_CALL_WAITING;
	list_add_tail(&rio->call.link, &peer->waiting);
	if (orchfs_peer_usable_locked(peer))
		return;
	if (peer->wanted && time_before(at, peer->wanted_at +
					ORCHFS_CLIENT_WANT))
		at = peer->wanted_at + ORCHFS_CLIENT_WANT;
	if (time_before(rio->deadline, at))
		at = rio->deadline;
	orchfs_peer_arm_locked(peer, at);
}

/* What a token must allow for it, any of these. */
static u32 rio_rights(const struct orchfs_rio *rio)
{
	switch (rio->opcode) {
	case ORCHFS_OP_READ:
		return ORCHFS_RIGHT_READ;
	case ORCHFS_OP_WRITE:
	case ORCHFS_OP_ALLOCATE:
		return ORCHFS_RIGHT_WRITE;
	case ORCHFS_OP_TRUNCATE:
		return ORCHFS_RIGHT_TRUNCATE;
	default:
		return 0;
	}
}

/**
 * orchfs_rio_place_locked() - put a request on a connection
 * @rio: on no list; the caller holds the peer's lock
 * @conn: has a slot
 * @ended: gets it when the server doesn't take as much
 */
void orchfs_rio_place_locked(struct orchfs_rio *rio,
			     struct orchfs_client_conn *conn,
			     struct list_head *ended)
{
	struct orchfs_remote *r = rio->remote;
	struct orchfs_bind *bind = orchfs_bind_find_locked(r, conn);

	if (rio->past && conn->version >= ORCHFS_HELLO_VERSION_END) {
		orchfs_past_wait_locked(rio, conn);
		return;
	}
	/* this server can't tell what has become of it */
	if (rio->past && (rio->killed || rio->flags & ORCHFS_PDU_APPEND)) {
		orchfs_rio_end_locked(rio, rio->killed ? -EINTR : -EIO, ended);
		return;
	}
	orchfs_past_put_locked(rio);
	if (rio->count > conn->max_data) {
		orchfs_rio_end_locked(rio, -EIO, ended);
		return;
	}
	if (rio->opcode >= ORCHFS_OP_END &&
	    conn->version < ORCHFS_HELLO_VERSION_END) {
		orchfs_rio_end_locked(rio, -EOPNOTSUPP, ended);
		return;
	}
	if (bind && bind->handle && bind->token != r->token_nr &&
	    rio_rights(rio) & r->rights & ~bind->rights) {
		orchfs_bind_retire_locked(bind);
		bind = NULL;
	}
	if (!bind && orchfs_client_has_slot(conn))
		bind = orchfs_bind_new_locked(r, conn);
	if (!bind) {
		/* an UNBIND took the last slot, but there may be others */
		if (orchfs_client_has_slot(conn))
			orchfs_rio_later_locked(rio, -ENOMEM);
		else
			orchfs_rio_route_locked(rio, ended);
		return;
	}
	if (!bind->handle) {
		rio->call.state = ORCHFS_CALL_BINDING;
		list_add_tail(&rio->call.link, &bind->waiting);
		return;
	}
	list_move_tail(&bind->on_conn, &conn->binds);
	rio->handle = bind->handle;
	rio->token = bind->token;
	orchfs_client_queue_locked(conn, &rio->call);
}

/* The one with the least in flight. */
static struct orchfs_client_conn *rio_choose_locked(struct orchfs_peer *peer)
{
	struct orchfs_client_conn *conn, *best = NULL;

	lockdep_assert_held(&peer->lock);
	list_for_each_entry(conn, &peer->conns, link) {
		if (!orchfs_client_takes(conn) ||
		    !orchfs_client_has_slot(conn))
			continue;
		if (!best || conn->in_flight < best->in_flight)
			best = conn;
	}
	return best;
}

/**
 * orchfs_rio_route_locked() - send a request on its way
 * @rio: on no list and without a slot; the caller holds the peer's lock
 * @ended: gets it when it can't go
 */
void orchfs_rio_route_locked(struct orchfs_rio *rio, struct list_head *ended)
{
	struct orchfs_client_conn *conn;

	bool killed = rio->remote->cancelled || (rio->killed && !rio->past);

	if (!rio->remote->token_nr || killed) {
		orchfs_rio_end_locked(rio, killed ? -EINTR : -EKEYREJECTED,
				      ended);
		return;
	}
	conn = rio_choose_locked(rio->remote->peer);
	if (conn)
		orchfs_rio_place_locked(rio, conn, ended);
	else
		rio_wait_locked(rio);
}

/**
 * orchfs_rio_again_locked() - send a request on its way again
 * @rio: on no list and without a slot; the caller holds the peer's lock
 * @err: what it ends with if that was too often
 * @ended: gets it then
 */
void orchfs_rio_again_locked(struct orchfs_rio *rio, int err,
			     struct list_head *ended)
{
	rio->last_err = err;
	if (++rio->tries > ORCHFS_CLIENT_TRIES)
		orchfs_rio_end_locked(rio, err, ended);
	else
		orchfs_rio_route_locked(rio, ended);
}

/**
 * orchfs_rio_wait_anew_locked() - wait for another connection, to ask an END
 * @rio: lost with its connection; the caller holds the peer's lock
 *
 * It was sent in time. However long it has been under way since, a connection
 * is waited for as long again, to learn what has become of it.
 */
void orchfs_rio_wait_anew_locked(struct orchfs_rio *rio)
{
	unsigned long deadline = jiffies + rio->patience;

	if (time_after(deadline, rio->deadline))
		rio->deadline = deadline;
}

/**
 * orchfs_rio_lost_locked() - the connection of a request has ended
 * @rio: has a slot there; the caller holds the peer's lock
 * @conn: the connection
 * @ended: gets it if it can't be sent again
 *
 * One that was sent as a whole may be carried out still, and one that changes
 * the file goes on when it isn't any more. An append isn't sent again then, as
 * twice is not as good as once. One of which only a part was sent wasn't.
 */
void orchfs_rio_lost_locked(struct orchfs_rio *rio,
			    struct orchfs_client_conn *conn,
			    struct list_head *ended)
{
	bool sent = rio->call.state == ORCHFS_CALL_SENT;

	list_del_init(&rio->call.link);
	if (sent && orchfs_rio_changes(rio) &&
	    conn->version >= ORCHFS_HELLO_VERSION_END) {
		orchfs_past_get_locked(conn->past, rio);
		orchfs_rio_wait_anew_locked(rio);
	}
	if (sent && !rio->past && rio->flags & ORCHFS_PDU_APPEND)
		orchfs_rio_end_locked(rio, -EIO, ended);
	else
		orchfs_rio_again_locked(rio, -EIO, ended);
}

static void rio_refused_locked(struct orchfs_rio *rio,
			       struct orchfs_client_conn *conn, int err,
			       struct list_head *ended)
{
	struct orchfs_remote *r = rio->remote;
	struct orchfs_bind *bind = orchfs_bind_find_locked(r, conn);
	bool newer = r->token_nr != rio->token;

	switch (err) {
	case -EAGAIN:
		orchfs_rio_later_locked(rio, -EIO);
		return;
	case -ENXIO:
		orchfs_rio_unserved_locked(rio, ended);
		return;
	case -EKEYEXPIRED:
	case -ESTALE:
		r->refused |= !newer;
		break;
	case -EBADF:
		newer = true;
		break;
	case -EACCES:
		if (!newer)
			bind = NULL;
		break;
	default:
		newer = false;
		bind = NULL;
	}
	/* Unless another request was faster. */
	if (bind && bind->handle == rio->handle)
		orchfs_bind_retire_locked(bind);
	if (newer) {
		orchfs_rio_again_locked(rio, err == -EBADF ? -EIO : err,
					ended);
	} else {
		rio->answered = true;
		orchfs_rio_end_locked(rio, err, ended);
	}
}

/**
 * orchfs_rio_replied_locked() - a reply has come
 * @rio: without a slot any more; the caller holds the peer's lock
 * @conn: where from
 * @pdu: the reply, checked
 * @ended: gets the request if that was its end
 */
void orchfs_rio_replied_locked(struct orchfs_rio *rio,
			       struct orchfs_client_conn *conn,
			       const struct orchfs_pdu *pdu,
			       struct list_head *ended)
{
	int err = orchfs_pdu_errno(pdu->status);

	lockdep_assert_held(&conn->peer->lock);
	if (err) {
		rio_refused_locked(rio, conn, err, ended);
		return;
	}
	rio->answered = true;
	rio->verifier = pdu->verifier;
	rio->reply_offset = pdu->offset;
	rio->done_bytes = rio->opcode == ORCHFS_OP_READ ? pdu->data_len :
		pdu->count;
	orchfs_rio_end_locked(rio, 0, ended);
}

/* --- for callers --- */

static bool rio_valid(const struct orchfs_rio *rio)
{
	bool write = rio->opcode == ORCHFS_OP_WRITE;
	u64 room = S64_MAX - min_t(u64, rio->count, S64_MAX);

	if (rio->flags & ~(write ? ORCHFS_PDU_FUA | ORCHFS_PDU_APPEND : 0))
		return false;
	if (rio->offset > room ||
	    (rio->offset && rio->flags & ORCHFS_PDU_APPEND))
		return false;
	switch (rio->opcode) {
	case ORCHFS_OP_READ:
	case ORCHFS_OP_WRITE:
		return rio->count && rio->count <= ORCHFS_PDU_DATA_MAX &&
			iov_iter_count(&rio->iter) >= rio->count &&
			iov_iter_rw(&rio->iter) == (write ? WRITE : READ) &&
			!user_backed_iter(&rio->iter);
	case ORCHFS_OP_TRUNCATE:
	case ORCHFS_OP_SEEK:
		return !rio->count;
	case ORCHFS_OP_ALLOCATE:
		return !rio->count && rio->length &&
			rio->length <= S64_MAX - rio->offset;
	case ORCHFS_OP_COMMIT:
	case ORCHFS_OP_GETATTR:
		return !rio->count && !rio->offset;
	default:
		return false;
	}
}

/**
 * orchfs_rio_submit() - begin a request
 * @r: to which instance; the caller keeps it until the end
 * @rio: filled but for what is private; orchfs_rio.done() tells its end,
 *	perhaps before this returns
 *
 * Never waits, and allocates nothing that is waited for: write-back and reclaim
 * may call it.
 */
void orchfs_rio_submit(struct orchfs_remote *r, struct orchfs_rio *rio)
{
	struct orchfs_client_conn *sender;
	LIST_HEAD(ended);

	rio->err = 0;
	rio->answered = false;
	rio->done_bytes = 0;
	rio->patience = max_t(long, rio->deadline - jiffies, 0);
	rio->verifier = 0;
	rio->reply_offset = 0;
	rio->remote = r;
	rio->handle = 0;
	rio->token = 0;
	rio->sender = NULL;
	rio->past = NULL;
	rio->killed = false;
	rio->last_err = 0;
	rio->tries = 0;
	rio->receiving = false;
	rio->call = (struct orchfs_call){ .opcode = rio->opcode };
	INIT_LIST_HEAD(&rio->call.link);

	spin_lock(&r->peer->lock);
	if (WARN_ON_ONCE(!rio_valid(rio)))
		orchfs_rio_end_locked(rio, -EINVAL, &ended);
	else
		orchfs_rio_route_locked(rio, &ended);
	/* From now on others may queue it. */
	sender = rio->sender;
	rio->prompt = false;
	spin_unlock(&r->peer->lock);
	orchfs_rio_tell(&ended);
	if (sender)
		orchfs_client_send(sender);
}

/* Somebody copies to its pages, or sends its header, for the moment. */
static bool rio_held_locked(const struct orchfs_rio *rio)
{
	return rio->receiving || (rio->call.state == ORCHFS_CALL_SENDING &&
				  rio->call.conn->active);
}

/* It may be carried out, or its pages are being sent. */
static bool rio_begun_locked(const struct orchfs_rio *rio)
{
	return orchfs_rio_changes(rio) &&
		(rio->past || rio->call.state == ORCHFS_CALL_SENDING ||
		 rio->call.state == ORCHFS_CALL_SENT);
}

static bool rio_held(struct orchfs_rio *rio)
{
	struct orchfs_peer *peer = rio->remote->peer;
	bool held;

	spin_lock(&peer->lock);
	held = rio_held_locked(rio);
	spin_unlock(&peer->lock);
	return held;
}

/*
 * Returns whether its end won't be told any more. One that changes the file and
 * is begun is told: who asked for it may hold locks of the file until then.
 */
static bool rio_withdraw_locked(struct orchfs_rio *rio,
				struct list_head *ended)
{
	struct orchfs_client_conn *conn = rio->call.conn;

	if (rio_begun_locked(rio)) {
		rio->killed = true;
		return false;
	}
	switch (rio->call.state) {
	case ORCHFS_CALL_IDLE:
		return false;
	case ORCHFS_CALL_QUEUED:
		list_del_init(&rio->call.link);
		orchfs_client_release_locked(conn, rio->call.slot);
		orchfs_peer_feed_locked(conn, ended);
		break;
	case ORCHFS_CALL_SENDING:
		/* The rest of its header is sent without it. */
		conn->orphan = rio->call;
		INIT_LIST_HEAD(&conn->orphan.link);
		conn->sending = &conn->orphan;
		fallthrough;
	case ORCHFS_CALL_SENT:
		/* The slot is free when the reply comes. */
		conn->slots[rio->call.slot].call = NULL;
		break;
	default:
		list_del_init(&rio->call.link);
	}
	rio->call.state = ORCHFS_CALL_IDLE;
	rio->call.conn = NULL;
	return true;
}

static bool rio_withdraw(struct orchfs_rio *rio)
{
	struct orchfs_peer *peer = rio->remote->peer;
	LIST_HEAD(ended);
	bool ret;

	spin_lock(&peer->lock);
	while (!rio_begun_locked(rio) && rio_held_locked(rio)) {
		spin_unlock(&peer->lock);
		wait_event(peer->wq, !rio_held(rio));
		spin_lock(&peer->lock);
	}
	ret = rio_withdraw_locked(rio, &ended);
	spin_unlock(&peer->lock);
	orchfs_rio_tell(&ended);
	return ret;
}

static void rio_wake(struct orchfs_rio *rio)
{
	complete(rio->waiter);
}

/**
 * orchfs_rio_wait() - do a request
 * @r: to which instance
 * @rio: filled but for done() and what is private
 *
 * A caller that is killed leaves nothing behind here. What changes the file and
 * was sent, if in part, is waited for, as at home: the caller's locks go to
 * others next.
 *
 * Return: orchfs_rio.err; -EINTR when the caller is killed.
 */
int orchfs_rio_wait(struct orchfs_remote *r, struct orchfs_rio *rio)
{
	DECLARE_COMPLETION_ONSTACK(done);

	/* the next piece of a long write, say: nothing ends the wait for it */
	if (orchfs_rio_changes(rio) && fatal_signal_pending(current)) {
		rio->err = -EINTR;
		rio->answered = false;
		rio->done_bytes = 0;
		return -EINTR;
	}
	rio->done = rio_wake;
	rio->waiter = &done;
	orchfs_rio_submit(r, rio);
	if (wait_for_completion_killable(&done)) {
		if (rio_withdraw(rio))
			rio->err = -EINTR;
		else
			wait_for_completion(&done);
	}
	return rio->err;
}

/**
 * orchfs_rio_cancel() - end a request early
 * @rio: submitted; its end may have been told already, and is when this returns
 *	or, by somebody else, soon
 *
 * Not for what changes a file.
 */
void orchfs_rio_cancel(struct orchfs_rio *rio)
{
	if (rio_withdraw(rio)) {
		rio->err = -EINTR;
		rio->done(rio);
	}
}

static void remote_cancel_list_locked(struct orchfs_remote *r,
				      struct list_head *calls,
				      struct list_head *ended)
{
	struct orchfs_call *call, *tmp;

	list_for_each_entry_safe(call, tmp, calls, link) {
		struct orchfs_rio *rio = orchfs_call_rio(call);

		if (rio->remote != r)
			continue;
		list_del_init(&call->link);
		orchfs_rio_end_locked(rio, -EINTR, ended);
	}
}

static struct orchfs_rio *slot_rio_of(const struct orchfs_slot *slot,
				      const struct orchfs_remote *r)
{
	struct orchfs_rio *rio;

	if (!slot->call || !orchfs_call_is_rio(slot->call))
		return NULL;
	rio = orchfs_call_rio(slot->call);
	return rio->remote == r ? rio : NULL;
}

static void remote_cancel_slots_locked(struct orchfs_remote *r,
				       struct orchfs_client_conn *conn,
				       struct list_head *ended)
{
	struct orchfs_rio *rio;
	u32 nr;

	for_each_set_bit(nr, conn->used, ORCHFS_PDU_REQUESTS_MAX) {
		rio = slot_rio_of(&conn->slots[nr], r);
		if (rio && !rio_held_locked(rio) &&
		    rio_withdraw_locked(rio, ended))
			orchfs_rio_end_locked(rio, -EINTR, ended);
	}
}

static bool remote_held(struct orchfs_remote *r)
{
	struct orchfs_client_conn *conn;
	bool held = false;
	u32 nr;

	spin_lock(&r->peer->lock);
	list_for_each_entry(conn, &r->peer->conns, link)
		for_each_set_bit(nr, conn->used, ORCHFS_PDU_REQUESTS_MAX) {
			struct orchfs_rio *rio = slot_rio_of(&conn->slots[nr],
							     r);

			held |= rio && rio_held_locked(rio);
		}
	spin_unlock(&r->peer->lock);
	return held;
}

static void remote_cancel(struct orchfs_remote *r)
{
	struct orchfs_peer *peer = r->peer;
	struct orchfs_client_conn *conn;
	struct orchfs_bind *bind;
	LIST_HEAD(ended);

	spin_lock(&peer->lock);
	r->cancelled = true;
	remote_cancel_list_locked(r, &peer->waiting, &ended);
	remote_cancel_list_locked(r, &peer->later, &ended);
	list_for_each_entry(bind, &r->binds, on_remote)
		remote_cancel_list_locked(r, &bind->waiting, &ended);
	list_for_each_entry(conn, &peer->conns, link)
		remote_cancel_slots_locked(r, conn, &ended);
	spin_unlock(&peer->lock);
	orchfs_rio_tell(&ended);
}

/**
 * orchfs_remote_cancel() - end all requests early, and those to come
 * @r: of an instance that nobody writes to any more
 *
 * They end with -EINTR. Waits for those only that are being copied to or from.
 */
void orchfs_remote_cancel(struct orchfs_remote *r)
{
	remote_cancel(r);
	while (remote_held(r)) {
		wait_event(r->peer->wq, !remote_held(r));
		remote_cancel(r);
	}
}
