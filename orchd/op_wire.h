/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations, notices and invalidations as the messages of proto/peer.proto.
 * Pure functions. What is made points into the arena and into what it was
 * made of, NULL is no memory. What is read has been checked: lengths, ranges,
 * names, numbers; it points into the message.
 */
#ifndef ORCHD_OP_WIRE_H
#define ORCHD_OP_WIRE_H

#include "ns.h"
#include "peer_frame.h"

#define OP_WIRE_SESSIONS_MAX	64
#define OP_WIRE_HANDLES_MAX	4096	/* of one message */
#define OP_WIRE_NOTES_MAX	1024
#define OP_WIRE_STALE_MAX	4096
#define OP_WIRE_LOCKS_MAX	256
#define OP_LOCKS_MAX		(ORCHFS_CHUNK_MAX / ORCHFS_LOCK_LEN)
#define OP_WIRE_LISTING_MAX	(512 * 1024)	/* a listing is cut there */

/* An inode that other nodes have changed. */
struct op_stale {
	uint64_t ino;			/* 0: the whole namespace */
	bool has_attr;			/* it has no name left */
	struct orchfs_attr attr;
};

Orchfs__Peer__Op *op_wire_op(struct arena *a, const struct op_req *op);
/** op_wire_get_op() - Return: 0, -EPROTO, -EINVAL, -E2BIG. */
int op_wire_get_op(const Orchfs__Peer__Op *m, struct op_req *op);

/** op_wire_reply() - a listing that is too long loses its tail and its end */
Orchfs__Peer__OpReply *op_wire_reply(struct arena *a,
				     const struct op_reply *rep);
/** op_wire_get_reply() - uses rep->arena. Return: 0, -EPROTO, -ENOMEM. */
int op_wire_get_reply(const Orchfs__Peer__OpReply *m, struct op_reply *rep);

Orchfs__Peer__Handles *op_wire_handles(struct arena *a,
				       const struct ns_handle *h, size_t nr);
/** op_wire_get_handles() - @h: room for OP_WIRE_HANDLES_MAX */
int op_wire_get_handles(const Orchfs__Peer__Handles *m, struct ns_handle *h,
			size_t *nr);

/* What a kernel has of the locks of an inode. */
struct op_locks {
	uint64_t ino;
	bool lease;			/* else: */
	size_t nr;			/* at most OP_LOCKS_MAX */
	struct orchfs_lock *l;
};

Orchfs__Peer__Locks *op_wire_locks(struct arena *a, const struct op_locks *v,
				   size_t nr);
/**
 * op_wire_get_locks() - one of m->inode, which are OP_WIRE_LOCKS_MAX at most
 * Return: 0, -EPROTO, -ENOMEM. The locks are in @a.
 */
int op_wire_get_locks(struct arena *a, const Orchfs__Peer__InodeLocks *m,
		      struct op_locks *v);
Orchfs__Peer__LockHeld *op_wire_held(struct arena *a, const struct op_locks *v,
				     uint64_t number, bool eof);
int op_wire_get_held(struct arena *a, const Orchfs__Peer__LockHeld *m,
		     struct op_locks *v);

Orchfs__Peer__Layout *op_wire_layout(struct arena *a,
				     const struct op_layout *l);
/** op_wire_get_layout() - Return: 0 or -EPROTO. */
int op_wire_get_layout(const Orchfs__Peer__Layout *m, struct op_layout *l);

Orchfs__Peer__Notes *op_wire_notes(struct arena *a, const struct ns_note *n,
				   size_t nr);
/** op_wire_get_notes() - @n: room for OP_WIRE_NOTES_MAX */
int op_wire_get_notes(const Orchfs__Peer__Notes *m, struct ns_note *n,
		      size_t *nr);

Orchfs__Peer__Invalidate *op_wire_invalidate(struct arena *a, uint64_t seq,
					     const struct op_stale *s,
					     size_t nr);
/** op_wire_get_stale() - one of m->stale, which are OP_WIRE_STALE_MAX at most */
int op_wire_get_stale(const Orchfs__Peer__Stale *m, struct op_stale *s);

#endif
