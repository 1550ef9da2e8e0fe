// SPDX-License-Identifier: GPL-2.0-only
/*
 * Handles: a remote instance is bound on a connection when it is first asked
 * there, and again with another token when the handle is no good any more.
 * What was sent with the old one ends as it will: the server looks handles up
 * in the order of arrival.
 */
#include <linux/mempool.h>
#include <linux/slab.h>

#include "client_impl.h"

#define BIND_RESERVE	16

static mempool_t *bind_pool;

/**
 * orchfs_bind_init() - memory for handles
 *
 * Some is kept, so that write-back goes on when there is no other.
 *
 * Return: 0 or -ENOMEM.
 */
int orchfs_bind_init(void)
{
	bind_pool = mempool_create_kmalloc_pool(BIND_RESERVE,
						sizeof(struct orchfs_bind));
	return bind_pool ? 0 : -ENOMEM;
}

/**
 * orchfs_bind_exit() - undo orchfs_bind_init()
 */
void orchfs_bind_exit(void)
{
	mempool_destroy(bind_pool);
}

/**
 * orchfs_bind_find_locked() - a remote's handle on a connection
 * @r: the remote
 * @conn: the connection; the caller holds the peer's lock
 *
 * Return: it, perhaps not known yet; NULL when there is none.
 */
struct orchfs_bind *orchfs_bind_find_locked(struct orchfs_remote *r,
					    struct orchfs_client_conn *conn)
{
	struct orchfs_bind *bind;

	lockdep_assert_held(&r->peer->lock);
	list_for_each_entry(bind, &r->binds, on_remote)
		if (bind->conn == conn)
			return bind;
	return NULL;
}

static void bind_unlink_locked(struct orchfs_bind *bind)
{
	if (!bind->remote)
		return;
	list_del(&bind->on_remote);
	list_del(&bind->on_conn);
	bind->conn->nr_binds--;
	bind->remote = NULL;
}

/**
 * orchfs_bind_free_locked() - free a handle
 * @bind: without a slot; nothing waits for it
 */
void orchfs_bind_free_locked(struct orchfs_bind *bind)
{
	bind_unlink_locked(bind);
	mempool_free(bind, bind_pool);
}

static void bind_unbind_locked(struct orchfs_bind *bind)
{
	struct orchfs_client_conn *conn = bind->conn;

	bind->call.opcode = ORCHFS_OP_UNBIND;
	if (orchfs_client_has_slot(conn)) {
		orchfs_client_queue_locked(conn, &bind->call);
		return;
	}
	bind->call.state = ORCHFS_CALL_PENDING;
	list_add_tail(&bind->call.link, &conn->unbinds);
}

/**
 * orchfs_bind_retire_locked() - give a handle up
 * @bind: of a remote; nothing waits for it
 *
 * One that isn't known yet is given up when it is.
 */
void orchfs_bind_retire_locked(struct orchfs_bind *bind)
{
	struct orchfs_client_conn *conn = bind->conn;

	lockdep_assert_held(&conn->peer->lock);
	WARN_ON_ONCE(!list_empty(&bind->waiting));
	bind_unlink_locked(bind);
	if (bind->handle) {
		bind_unbind_locked(bind);
	} else if (bind->call.state == ORCHFS_CALL_QUEUED) {
		list_del(&bind->call.link);
		orchfs_client_release_locked(conn, bind->call.slot);
		orchfs_bind_free_locked(bind);
	}
}

/* The server takes no more handles: the one that wasn't used longest goes. */
static bool bind_make_room_locked(struct orchfs_client_conn *conn)
{
	struct orchfs_bind *bind;

	if (conn->nr_binds < conn->max_handles)
		return true;
	list_for_each_entry(bind, &conn->binds, on_conn) {
		if (bind->handle) {
			orchfs_bind_retire_locked(bind);
			return true;
		}
	}
	return false;
}

/**
 * orchfs_bind_new_locked() - bind a remote on a connection
 * @r: isn't yet, there; the caller holds the peer's lock
 * @conn: has a slot
 *
 * Return: a handle that isn't known yet; NULL when it must be tried later.
 */
struct orchfs_bind *orchfs_bind_new_locked(struct orchfs_remote *r,
					   struct orchfs_client_conn *conn)
{
	struct orchfs_bind *bind;

	lockdep_assert_held(&r->peer->lock);
	if (!bind_make_room_locked(conn) || !orchfs_client_has_slot(conn))
		return NULL;
	bind = mempool_alloc(bind_pool, GFP_NOWAIT | __GFP_NOWARN);
	if (!bind)
		return NULL;
	memset(bind, 0, sizeof(*bind));
	INIT_LIST_HEAD(&bind->call.link);
	INIT_LIST_HEAD(&bind->waiting);
	bind->call.opcode = ORCHFS_OP_BIND;
	bind->remote = r;
	bind->conn = conn;
	list_add_tail(&bind->on_remote, &r->binds);
	list_add_tail(&bind->on_conn, &conn->binds);
	conn->nr_binds++;
	orchfs_client_queue_locked(conn, &bind->call);
	return bind;
}

/* Send on their way, or end, those that waited for a handle. */
static void bind_release_locked(struct list_head *waiting, int err, bool newer,
				struct list_head *ended)
{
	struct orchfs_call *call, *tmp;

	list_for_each_entry_safe(call, tmp, waiting, link) {
		struct orchfs_rio *rio = orchfs_call_rio(call);

		list_del_init(&call->link);
		if (!err)
			orchfs_rio_route_locked(rio, ended);
		else if (newer)
			orchfs_rio_again_locked(rio, err, ended);
		else if (err == -EAGAIN || err == -ENFILE)
			orchfs_rio_later_locked(rio, -EIO);
		else if (err == -ENXIO)
			orchfs_rio_unserved_locked(rio, ended);
		else
			orchfs_rio_end_locked(rio, err, ended);
	}
}

static void bind_place_locked(struct orchfs_bind *bind,
			      struct list_head *waiting,
			      struct list_head *ended)
{
	struct orchfs_client_conn *conn = bind->conn;
	struct orchfs_call *call, *tmp;

	list_for_each_entry_safe(call, tmp, waiting, link) {
		struct orchfs_rio *rio = orchfs_call_rio(call);

		list_del_init(&call->link);
		if (!orchfs_client_takes(conn) || !orchfs_client_has_slot(conn))
			orchfs_rio_route_locked(rio, ended);
		else
			orchfs_rio_place_locked(rio, conn, ended);
	}
}

/**
 * orchfs_bind_replied_locked() - BIND or UNBIND was answered
 * @bind: without a slot any more; the caller holds the peer's lock
 * @pdu: the reply, checked
 * @ended: gets requests that waited for the handle and can't go on
 */
void orchfs_bind_replied_locked(struct orchfs_bind *bind,
				const struct orchfs_pdu *pdu,
				struct list_head *ended)
{
	int err = orchfs_pdu_errno(pdu->status);
	struct orchfs_remote *r = bind->remote;
	LIST_HEAD(waiting);
	bool newer;

	bind->call.state = ORCHFS_CALL_IDLE;
	if (bind->call.opcode == ORCHFS_OP_UNBIND) {
		orchfs_bind_free_locked(bind);
		return;
	}
	list_splice_init(&bind->waiting, &waiting);
	if (!err) {
		bind->handle = pdu->handle;
		if (r)
			bind_place_locked(bind, &waiting, ended);
		else
			bind_unbind_locked(bind);
		return;
	}
	newer = r && r->token_nr != bind->token;
	if (r && !newer && (err == -EKEYEXPIRED || err == -ESTALE ||
			    err == -EKEYREJECTED))
		r->refused = true;
	if (err == -ENFILE)
		bind->conn->max_handles = max(bind->conn->nr_binds - 1, 1U);
	orchfs_bind_free_locked(bind);
	bind_release_locked(&waiting, err, newer, ended);
}

/**
 * orchfs_bind_lost_locked() - the connection of a handle has ended
 * @bind: of a remote; freed. The caller holds the peer's lock
 * @ended: gets requests that waited for it and can't go on
 */
void orchfs_bind_lost_locked(struct orchfs_bind *bind, struct list_head *ended)
{
	LIST_HEAD(waiting);

	list_splice_init(&bind->waiting, &waiting);
	orchfs_bind_free_locked(bind);
	bind_release_locked(&waiting, 0, false, ended);
}
