/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of the client, shared by client.c (peers), client_rio.c (requests),
 * client_bind.c (handles), client_conn.c (connections), client_send.c (what
 * these have in flight), client_past.c (what they had) and client_nl.c. See
 * Documentation/remote.md.
 *
 * Lock order: orchfs_net.peers_lock > orchfs_peer.lock. Nothing is told, sent
 * or waited for under them.
 */
#ifndef _ORCHFS_CLIENT_IMPL_H
#define _ORCHFS_CLIENT_IMPL_H

#include <linux/bitmap.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "channel.h"
#include "client.h"
#include "transport.h"

#define ORCHFS_CLIENT_CONNS_MAX		16
#define ORCHFS_CLIENT_TRIES		16
#define ORCHFS_CLIENT_WANT		HZ	/* between two peer-want */
#define ORCHFS_CLIENT_LATER		(HZ / 10)
#define ORCHFS_CLIENT_HELLO		(10 * HZ)
/* So much is cheaper to copy than to send apart from its header. */
#define ORCHFS_CLIENT_COPY_PAGES	3
#define ORCHFS_CLIENT_COPY		SZ_8K
#define ORCHFS_CLIENT_QUIET		(5 * HZ)
#define ORCHFS_CLIENT_QUIET_MAX		3

/**
 * enum orchfs_call_state - where a call is
 * @ORCHFS_CALL_IDLE: ended, or not begun
 * @ORCHFS_CALL_WAITING: on orchfs_peer.waiting, for a connection or a slot
 * @ORCHFS_CALL_LATER: on orchfs_peer.later
 * @ORCHFS_CALL_BINDING: on orchfs_bind.waiting, for a handle
 * @ORCHFS_CALL_ENDING: on orchfs_past.waiting, for the end of a connection
 * @ORCHFS_CALL_PENDING: an UNBIND, on orchfs_client_conn.unbinds, for a slot
 * @ORCHFS_CALL_QUEUED: on orchfs_client_conn.queue; has a slot
 * @ORCHFS_CALL_SENDING: is orchfs_client_conn.sending; has a slot
 * @ORCHFS_CALL_SENT: on no list; has a slot
 */
enum orchfs_call_state {
	ORCHFS_CALL_IDLE,
	ORCHFS_CALL_WAITING,
	ORCHFS_CALL_LATER,
	ORCHFS_CALL_BINDING,
	ORCHFS_CALL_ENDING,
	ORCHFS_CALL_PENDING,
	ORCHFS_CALL_QUEUED,
	ORCHFS_CALL_SENDING,
	ORCHFS_CALL_SENT,
};

/**
 * struct orchfs_peer - a node whose data server is asked
 * @link: on orchfs_net.peers (peers_lock)
 * @refs: of remotes and connections, and of @tick while it is pending
 * @net: outlives it
 * @uuid: of the namespace
 * @node: number
 * @wq: somebody lets go of a request
 * @tick: deadlines, later tries, peer-want
 * @lock: what follows, and all of connections, remotes and requests that
 *	says so
 * @conns: connections
 * @nr_conns: how many
 * @waiting: requests, until there is a connection, or a slot on one
 * @later: requests that were refused for the moment
 * @armed: @tick will run at
 * @tick_at: jiffies
 * @wanted: peer-want was told at
 * @wanted_at: jiffies
 */
struct orchfs_peer {
	struct list_head link;
	refcount_t refs;
	struct net *net;
	u8 uuid[16];
	u32 node;
	wait_queue_head_t wq;
	struct delayed_work tick;
	spinlock_t lock;
	struct list_head conns;
	u32 nr_conns;
	struct list_head waiting;
	struct list_head later;
	bool armed;
	unsigned long tick_at;
	bool wanted;
	unsigned long wanted_at;
};

/**
 * struct orchfs_remote - an instance of a peer
 * @refs: users
 * @peer: holds a reference
 * @id: which
 * @token: the newest; this and what follows by the peer's lock
 * @token_nr: counts them; 0: there was none yet
 * @rights: of it
 * @epoch: of it
 * @refused: it is no good any more
 * @cancelled: no request of it goes on
 * @binds: one for each connection at most
 */
struct orchfs_remote {
	refcount_t refs;
	struct orchfs_peer *peer;
	struct orchfs_remote_id id;
	u8 token[ORCHFS_TOKEN_LEN];
	u32 token_nr;
	u32 rights;
	u64 epoch;
	bool refused;
	bool cancelled;
	struct list_head binds;
};

/**
 * struct orchfs_bind - a remote's handle on a connection
 * @call: BIND, or UNBIND; idle between the two
 * @on_remote: on orchfs_remote.binds
 * @on_conn: on orchfs_client_conn.binds, the one used last at the end
 * @remote: NULL when it isn't wanted any more
 * @conn: where
 * @handle: 0 until it is known
 * @token: number of the token
 * @rights: of that
 * @waiting: requests
 */
struct orchfs_bind {
	struct orchfs_call call;
	struct list_head on_remote;
	struct list_head on_conn;
	struct orchfs_remote *remote;
	struct orchfs_client_conn *conn;
	u64 handle;
	u32 token;
	u32 rights;
	struct list_head waiting;
};

/**
 * struct orchfs_past - a connection that has ended here, and maybe not there
 * @call: END; idle, or it has a slot on another
 * @id: that HELLO told
 * @refs: requests that were sent there and may be under way, and the
 *	connection
 * @waiting: those that wait for the answer
 */
struct orchfs_past {
	struct orchfs_call call;
	u32 id;
	unsigned int refs;
	struct list_head waiting;
};

/* What a tag in flight stands for */
struct orchfs_slot {
	struct orchfs_call *call;	/* NULL: nobody waits for the reply */
	u32 tag;
	u32 count;			/* bytes that the reply may tell of */
	u32 held;			/* of the server's budget */
	u8 opcode;
	bool append;
};

#define ORCHFS_CLIENT_ENDING	0

/**
 * struct orchfs_client_conn - a connection to a peer
 * @link: on orchfs_peer.conns
 * @peer: holds a reference
 * @id: number, never used again
 * @tcp: its socket
 * @receiver: thread
 * @flags: ORCHFS_CLIENT_ENDING
 * @reason: why; who set the flag
 * @send_work: sends
 * @end_work: ends it
 * @quiet_work: looks whether anything comes, while something is in flight
 * @quiet_time: jiffies between two looks
 * @moved: orchfs_tcp_moved() at the last
 * @quiet: looks since then that found the same
 * @head: header of what is being sent, and a token or HELLO's data (sender,
 *	as what follows)
 * @kv: of that, and of the pages of a small WRITE
 * @iter: what is still to be sent
 * @stage: 0 nothing was, 1 @head, 2 the data
 * @splice: pages of the data may be taken
 * @since: jiffies of its beginning
 * @past: for the time after it
 * @usable: HELLO was answered; this and what follows by the peer's lock
 * @stale: the daemon that brought it has gone
 * @leaving: takes nothing new
 * @busy: somebody is the sender: @send_work, or a caller
 * @active: the sender is within a send
 * @version: of HELLO's reply
 * @max_data: likewise, as the next two
 * @max_requests: 1 until then
 * @max_handles: likewise
 * @max_bytes: likewise; what the server's receiver doesn't wait for
 * @unit: of that
 * @hello: the first call
 * @ping: one that takes no slot
 * @ping_tag: of it
 * @pinged: it isn't answered yet
 * @queue: calls to be sent
 * @sending: the one that is; kept while the socket has no room
 * @orphan: is that one, where nobody waits for it any more
 * @unbinds: calls that wait for a slot
 * @binds: handles, but those that are being unbound
 * @nr_binds: how many
 * @in_flight: slots in use
 * @held: of @max_bytes
 * @next_tag: counts them
 * @used: slots
 * @slots: by the low bits of a tag
 */
struct orchfs_client_conn {
	struct list_head link;
	struct orchfs_peer *peer;
	u64 id;
	struct orchfs_tcp tcp;
	struct task_struct *receiver;
	unsigned long flags;
	int reason;
	struct delayed_work send_work;
	struct work_struct end_work;
	struct delayed_work quiet_work;
	unsigned long quiet_time;
	u64 moved;
	unsigned int quiet;
	u8 head[ORCHFS_PDU_LEN + ORCHFS_TOKEN_LEN];
	struct kvec kv[1 + ORCHFS_CLIENT_COPY_PAGES];
	struct iov_iter iter;
	int stage;
	bool splice;
	unsigned long since;
	struct orchfs_past *past;
	bool usable;
	bool stale;
	bool leaving;
	bool busy;
	bool active;
	u32 version;
	u32 max_data;
	u32 max_requests;
	u32 max_handles;
	u32 max_bytes;
	u32 unit;
	struct orchfs_call hello;
	struct orchfs_call ping;
	u32 ping_tag;
	bool pinged;
	struct list_head queue;
	struct orchfs_call *sending;
	struct orchfs_call orphan;
	struct list_head unbinds;
	struct list_head binds;
	u32 nr_binds;
	u32 in_flight;
	u32 held;
	u32 next_tag;
	DECLARE_BITMAP(used, ORCHFS_PDU_REQUESTS_MAX);
	struct orchfs_slot slots[ORCHFS_PDU_REQUESTS_MAX];
};

static inline bool orchfs_client_ending(const struct orchfs_client_conn *conn)
{
	return test_bit(ORCHFS_CLIENT_ENDING, &conn->flags);
}

/* For any request: the server goes on reading while it is within its budget. */
static inline bool orchfs_client_has_slot(const struct orchfs_client_conn *conn)
{
	return conn->in_flight < conn->max_requests &&
		(!conn->held || conn->held + ORCHFS_PDU_DATA_MAX +
		 conn->unit <= conn->max_bytes);
}

static inline bool orchfs_client_takes(const struct orchfs_client_conn *conn)
{
	return conn->usable && !conn->leaving;
}

static inline struct orchfs_rio *orchfs_call_rio(struct orchfs_call *call)
{
	return container_of(call, struct orchfs_rio, call);
}

static inline struct orchfs_bind *orchfs_call_bind(struct orchfs_call *call)
{
	return container_of(call, struct orchfs_bind, call);
}

static inline struct orchfs_past *orchfs_call_past(struct orchfs_call *call)
{
	return container_of(call, struct orchfs_past, call);
}

static inline bool orchfs_call_is_rio(const struct orchfs_call *call)
{
	return call->opcode >= ORCHFS_OP_READ &&
		call->opcode != ORCHFS_OP_PING &&
		call->opcode != ORCHFS_OP_END;
}

/* It must not be carried out behind what its caller does next. */
static inline bool orchfs_rio_changes(const struct orchfs_rio *rio)
{
	return rio->opcode == ORCHFS_OP_WRITE ||
		rio->opcode == ORCHFS_OP_TRUNCATE ||
		rio->opcode == ORCHFS_OP_ALLOCATE;
}

/* client.c */
extern struct workqueue_struct *orchfs_client_wq;
extern const struct cred *orchfs_client_cred;
bool orchfs_peer_usable_locked(struct orchfs_peer *peer);
void orchfs_peer_arm_locked(struct orchfs_peer *peer, unsigned long at);
void orchfs_peer_feed_locked(struct orchfs_client_conn *conn,
			     struct list_head *ended);
void orchfs_peer_wake(struct orchfs_peer *peer);

/* client_rio.c */
void orchfs_rio_route_locked(struct orchfs_rio *rio, struct list_head *ended);
void orchfs_rio_place_locked(struct orchfs_rio *rio,
			     struct orchfs_client_conn *conn,
			     struct list_head *ended);
void orchfs_rio_end_locked(struct orchfs_rio *rio, int err,
			   struct list_head *ended);
void orchfs_rio_later_locked(struct orchfs_rio *rio, int err);
void orchfs_rio_unserved_locked(struct orchfs_rio *rio,
				struct list_head *ended);
void orchfs_rio_wait_anew_locked(struct orchfs_rio *rio);
void orchfs_rio_again_locked(struct orchfs_rio *rio, int err,
			     struct list_head *ended);
void orchfs_rio_lost_locked(struct orchfs_rio *rio,
			    struct orchfs_client_conn *conn,
			    struct list_head *ended);
void orchfs_rio_replied_locked(struct orchfs_rio *rio,
			       struct orchfs_client_conn *conn,
			       const struct orchfs_pdu *pdu,
			       struct list_head *ended);
void orchfs_rio_tell(struct list_head *ended);

/* client_bind.c */
int orchfs_bind_init(void);
void orchfs_bind_exit(void);
struct orchfs_bind *orchfs_bind_find_locked(struct orchfs_remote *r,
					    struct orchfs_client_conn *conn);
struct orchfs_bind *orchfs_bind_new_locked(struct orchfs_remote *r,
					   struct orchfs_client_conn *conn);
void orchfs_bind_retire_locked(struct orchfs_bind *bind);
void orchfs_bind_replied_locked(struct orchfs_bind *bind,
				const struct orchfs_pdu *pdu,
				struct list_head *ended);
void orchfs_bind_lost_locked(struct orchfs_bind *bind,
			     struct list_head *ended);
void orchfs_bind_free_locked(struct orchfs_bind *bind);

/* client_past.c */
struct orchfs_past *orchfs_past_new(u32 id);
void orchfs_past_drop_locked(struct orchfs_past *past);
void orchfs_past_get_locked(struct orchfs_past *past, struct orchfs_rio *rio);
void orchfs_past_put_locked(struct orchfs_rio *rio);
void orchfs_past_wait_locked(struct orchfs_rio *rio,
			     struct orchfs_client_conn *conn);
void orchfs_past_replied_locked(struct orchfs_past *past,
				struct list_head *ended);
void orchfs_past_lost_locked(struct orchfs_past *past,
			     struct list_head *ended);

/* client_conn.c */
int orchfs_client_start(struct orchfs_peer *peer, struct socket *sock,
			u64 *id);
void orchfs_client_end(struct orchfs_client_conn *conn, int reason);

/* client_send.c */
void orchfs_client_queue_locked(struct orchfs_client_conn *conn,
				struct orchfs_call *call);
void orchfs_client_send(struct orchfs_client_conn *conn);
void orchfs_client_release_locked(struct orchfs_client_conn *conn, u16 slot);
void orchfs_client_send_init(struct orchfs_client_conn *conn);
void orchfs_client_send_exit(struct orchfs_client_conn *conn);

/* client_nl.c */
void orchfs_client_event(struct orchfs_peer *peer, struct sk_buff *skb);
struct sk_buff *orchfs_message_peer_gone(const struct orchfs_client_conn *conn);
struct sk_buff *orchfs_message_peer_want(const struct orchfs_peer *peer);

#endif
