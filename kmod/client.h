/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What this kernel asks of other nodes' data servers; see "The client" in
 * Documentation/remote.md. remote_fs.c and tests use this; what is inside is
 * in client_impl.h.
 */
#ifndef _ORCHFS_CLIENT_H
#define _ORCHFS_CLIENT_H

#include <linux/list.h>
#include <linux/uio.h>

#include "pdu.h"

struct net;
struct orchfs_channel;
struct orchfs_client_conn;
struct orchfs_net;
struct orchfs_past;
struct orchfs_peer;
struct orchfs_remote;

/**
 * struct orchfs_remote_id - which copy of which file, of one peer
 * @volume: of that node
 * @ino: of the file
 * @version: of its contents
 * @instance: of these
 */
struct orchfs_remote_id {
	u32 volume;
	u64 ino;
	u64 version;
	u64 instance;
};

/**
 * struct orchfs_call - private: what is sent and answered on a connection
 * @link: on the list that @state tells
 * @conn: where it has a slot
 * @slot: which
 * @opcode: ORCHFS_OP_*
 * @state: enum orchfs_call_state
 */
struct orchfs_call {
	struct list_head link;
	struct orchfs_client_conn *conn;
	u16 slot;
	u8 opcode;
	u8 state;
};

/**
 * struct orchfs_rio - one request to a remote instance
 * @opcode: READ, WRITE, COMMIT, GETATTR, TRUNCATE, ALLOCATE or SEEK (ORCHFS_OP_*)
 * @flags: of a WRITE: ORCHFS_PDU_FUA, ORCHFS_PDU_APPEND
 * @offset: of READ and WRITE, 0 with APPEND; of ALLOCATE; TRUNCATE: the new
 *	size; SEEK: from where
 * @count: of READ and WRITE, 1 to orchfs_peer_max_data()
 * @mode: of ALLOCATE: ORCHFS_ALLOC_*; of SEEK: ORCHFS_SEEK_*
 * @length: of ALLOCATE, at least 1
 * @iter: @count bytes: where to (READ, ITER_DEST) or from (WRITE,
 *	ITER_SOURCE). Of kernel pages (BVEC, KVEC, XARRAY, FOLIOQ), which the
 *	caller keeps until the end. It isn't advanced
 * @deadline: jiffies until when to wait for a connection
 * @prompt: the caller may send it itself: it isn't within a send of a socket,
 *	nor a fault, which may be within one
 * @done: told the end, once; in any task context, without locks; may sleep
 *	shortly, and submit again. orchfs_rio_wait() sets it
 * @err: 0 or a negative errno, valid at the end as all that follow
 * @answered: and that is the peer's word
 * @done_bytes: of READ: less than @count only at the end of the file; of
 *	WRITE: at least 1, and the rest is the caller's to send
 * @verifier: of WRITE, COMMIT, TRUNCATE and ALLOCATE
 * @reply_offset: of a WRITE with APPEND: where it began; of SEEK: what it found
 * @attr: of GETATTR
 * @call: private, as all that follow
 * @remote: it is for
 * @waiter: of orchfs_rio_wait()
 * @handle: that it was sent with
 * @token: number of the token that this was bound with
 * @sender: the connection that the caller has to send on
 * @patience: jiffies from submission to @deadline
 * @past: the connection that it was lost on, where it may be under way still
 * @last_err: why it has to be sent again
 * @tries: how often it was
 * @receiving: data are being copied into @iter
 * @killed: the caller was, so it isn't sent again
 *
 * The caller's, but for the time between submission and end.
 */
struct orchfs_rio {
	u8 opcode;
	u32 flags;
	u64 offset;
	u32 count;
	u32 mode;
	u64 length;
	struct iov_iter iter;
	unsigned long deadline;
	bool prompt;
	void (*done)(struct orchfs_rio *rio);

	int err;
	bool answered;
	u32 done_bytes;
	u64 verifier;
	u64 reply_offset;
	struct orchfs_remote_attr attr;

	struct orchfs_call call;
	struct orchfs_remote *remote;
	void *waiter;
	u64 handle;
	u32 token;
	struct orchfs_client_conn *sender;
	unsigned long patience;
	struct orchfs_past *past;
	int last_err;
	u8 tries;
	bool receiving;
	bool killed;
};

/* client.c */
int orchfs_client_init(void);
void orchfs_client_exit(void);
void orchfs_client_net_init(struct orchfs_net *on);
void orchfs_client_net_exit(struct orchfs_net *on);
void orchfs_client_detached(struct orchfs_channel *ch);

struct orchfs_peer *orchfs_peer_get(struct net *net, const u8 *uuid, u32 node);
void orchfs_peer_put(struct orchfs_peer *peer);
u32 orchfs_peer_max_data(struct orchfs_peer *peer);

/* client_rio.c */
struct orchfs_remote *orchfs_remote_new(struct orchfs_peer *peer,
					const struct orchfs_remote_id *id);
struct orchfs_remote *orchfs_remote_get(struct orchfs_remote *r);
void orchfs_remote_put(struct orchfs_remote *r);
int orchfs_remote_token(struct orchfs_remote *r,
			const u8 token[ORCHFS_TOKEN_LEN]);
void orchfs_rio_submit(struct orchfs_remote *r, struct orchfs_rio *rio);
int orchfs_rio_wait(struct orchfs_remote *r, struct orchfs_rio *rio);
void orchfs_rio_cancel(struct orchfs_rio *rio);
void orchfs_remote_cancel(struct orchfs_remote *r);

#endif
