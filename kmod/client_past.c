// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections that have ended here. What they were sent, the server may still
 * carry out: requests that change a file go on only when it has answered an END,
 * on another connection, so that none of them comes behind what follows it.
 */
#include <linux/slab.h>

#include "client_impl.h"

static void past_free_unused(struct orchfs_past *past)
{
	if (!past->refs && past->call.state == ORCHFS_CALL_IDLE)
		kfree(past);
}

/**
 * orchfs_past_new() - for the time after a connection
 * @id: that its HELLO told
 *
 * Return: it, until orchfs_past_drop_locked(); NULL without memory.
 */
struct orchfs_past *orchfs_past_new(u32 id)
{
	struct orchfs_past *past = kzalloc(sizeof(*past), GFP_KERNEL);

	if (!past)
		return NULL;
	past->id = id;
	past->refs = 1;
	past->call.opcode = ORCHFS_OP_END;
	INIT_LIST_HEAD(&past->call.link);
	INIT_LIST_HEAD(&past->waiting);
	return past;
}

/**
 * orchfs_past_drop_locked() - the connection is gone
 * @past: of it; goes with the last request that was sent there
 */
void orchfs_past_drop_locked(struct orchfs_past *past)
{
	past->refs--;
	past_free_unused(past);
}

/**
 * orchfs_past_get_locked() - a request was sent as a whole
 * @past: of the connection, which has ended
 * @rio: the request
 */
void orchfs_past_get_locked(struct orchfs_past *past, struct orchfs_rio *rio)
{
	past->refs++;
	rio->past = past;
}

/**
 * orchfs_past_put_locked() - what happens to a request is known, or not any more
 * @rio: may have none
 */
void orchfs_past_put_locked(struct orchfs_rio *rio)
{
	struct orchfs_past *past = rio->past;

	if (!past)
		return;
	rio->past = NULL;
	orchfs_past_drop_locked(past);
}

/**
 * orchfs_past_wait_locked() - ask whether a request may go on
 * @rio: on no list; has a past. The caller holds the peer's lock
 * @conn: has a slot, and a server that knows END
 */
void orchfs_past_wait_locked(struct orchfs_rio *rio,
			     struct orchfs_client_conn *conn)
{
	struct orchfs_past *past = rio->past;

	lockdep_assert_held(&conn->peer->lock);
	rio->call.conn = NULL;
	rio->call.state = ORCHFS_CALL_ENDING;
	list_add_tail(&rio->call.link, &past->waiting);
	if (past->call.state == ORCHFS_CALL_IDLE)
		orchfs_client_queue_locked(conn, &past->call);
}

/**
 * orchfs_past_replied_locked() - END was answered
 * @past: without a slot any more; freed. The caller holds the peer's lock
 * @ended: gets requests that can't go on
 *
 * An append may have been carried out, so it isn't sent again.
 */
void orchfs_past_replied_locked(struct orchfs_past *past,
				struct list_head *ended)
{
	struct orchfs_call *call, *tmp;
	LIST_HEAD(waiting);

	list_splice_init(&past->waiting, &waiting);
	list_for_each_entry_safe(call, tmp, &waiting, link) {
		struct orchfs_rio *rio = orchfs_call_rio(call);

		list_del_init(&call->link);
		orchfs_past_put_locked(rio);
		if (rio->flags & ORCHFS_PDU_APPEND)
			orchfs_rio_end_locked(rio, -EIO, ended);
		else
			orchfs_rio_route_locked(rio, ended);
	}
	past->call.state = ORCHFS_CALL_IDLE;
	past_free_unused(past);
}

/**
 * orchfs_past_lost_locked() - the connection that END was on has ended
 * @past: without a slot any more; the caller holds the peer's lock
 * @ended: gets requests that can't go on
 */
void orchfs_past_lost_locked(struct orchfs_past *past, struct list_head *ended)
{
	struct orchfs_call *call, *tmp;
	LIST_HEAD(waiting);

	list_del_init(&past->call.link);
	list_splice_init(&past->waiting, &waiting);
	/* the first of them asks again; it stays as long as there is one */
	past->refs++;
	past->call.state = ORCHFS_CALL_IDLE;
	list_for_each_entry_safe(call, tmp, &waiting, link) {
		list_del_init(&call->link);
		orchfs_rio_wait_anew_locked(orchfs_call_rio(call));
		orchfs_rio_again_locked(orchfs_call_rio(call), -EIO, ended);
	}
	orchfs_past_drop_locked(past);
}
