/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of the own kernel and of other nodes: executed at once, or parked;
 * what they changed is made known, and they are answered when that is known
 * and durable. Namespace thread. Documentation/coherence.md.
 */
#ifndef ORCHD_EXEC_H
#define ORCHD_EXEC_H

#include "lease.h"
#include "op.h"
#include "served.h"

struct nlmsghdr;
struct peer_question;
struct peer_request;

/* Who asks. Answered once, by the channel or by the link that it came by. */
struct asker {
	uint32_t origin;		/* node; 0: the own kernel */
	uint32_t kind;
	uint64_t id;			/* the own kernel's number */
	struct peer_request *peer;	/* another node's; the answer takes it */
};

/* exec.c */

/** exec_kernel() - a request of the own kernel */
void exec_kernel(struct served *sv, struct nlmsghdr *nlh);
/** exec_node() - a request "op" of another node, which it takes */
void exec_node(struct served *sv, struct peer_request *r);
/** exec_notes() - notices; what they change is made known, too */
int exec_notes(struct served *sv, uint32_t origin,
	       const struct ns_note *notes, size_t nr);
/** exec_cancel() - end a parked request for a lock; false: there is none */
bool exec_cancel(struct served *sv, uint32_t origin, uint64_t id);
/** exec_unpark() - try those that are parked again: soon, not in this call */
void exec_unpark(struct served *sv);
/**
 * exec_changed() - an inode or the names in it were changed by @origin: other
 * kernels are told before anybody hears of it
 * @attr: it has lost its last name; or NULL
 */
void exec_changed(struct served *sv, uint32_t origin, uint64_t ino,
		  const struct orchfs_attr *attr);
/**
 * exec_own_lost() - the own kernel isn't told of what others change: they don't
 * hear of it either, until it has attached anew and asks for all again
 */
void exec_own_lost(struct served *sv);
/** exec_untold() - ns_backing_ops.untold */
void exec_untold(void *sv, uint64_t ino);
/** exec_holders() - ns_backing_ops.holders */
size_t exec_holders(void *sv, uint64_t ino, uint32_t *nodes, size_t max);

/* answer.c */

/** answer_now() - whatever is under way. @rep's arena stays the caller's. */
void answer_now(struct served *sv, const struct asker *who,
		struct op_reply *rep);
void answer_status(struct served *sv, const struct asker *who, int status);
/**
 * answer() - as soon as transaction @txn (0: none) is durable and nobody
 * believes any more what was before @op
 * Return: true: it waits, and rep's arena is its own.
 */
bool answer(struct served *sv, const struct asker *who,
	    const struct op_req *op, struct op_reply *rep, uint64_t txn);
/**
 * layout_place() - from where a node's kernel (0: this machine's) has a file,
 * other than by this machine's volume: home, token. Return: 0 or -errno.
 */
int layout_place(struct served *sv, uint32_t node, const struct volume *v,
		 uint64_t ino, struct op_layout *l);
/** answer_barrier() - all that was acknowledged is durable */
void answer_barrier(struct served *sv, const struct asker *who);
/** answer_flushed() - the same, and the volumes were written back: @rc */
void answer_flushed(struct served *sv, const struct asker *who, int rc);
/** answer_run() - those whose time has come */
void answer_run(struct served *sv);
/** answer_ready() - lease_ops.ready */
void answer_ready(void *sv, struct lease_wait *w);
/**
 * answer_drop() - nobody waits by that channel or link any more: what waits
 * for an answer, or is parked. @link: of another node
 */
void answer_drop(struct served *sv, uint32_t origin, uint64_t link);
void exec_drop(struct served *sv, uint32_t origin, uint64_t link);
bool asker_gone(const struct asker *who, uint32_t origin, uint64_t link);

/* lock_ops.c: requests for locks, and what kernels tell of theirs */

int lock_start(struct served *sv);
void lock_stop(struct served *sv);
void lock_tick(struct served *sv);	/* each second */
/** lock_request() - Return: false: not now, to be tried again. */
bool lock_request(struct served *sv, const struct asker *who,
		  const struct op_req *op);
/** lock_own() - the own kernel attaches: what it has */
int lock_own(struct served *sv);
/** lock_event() - of the own kernel: "lock-held" */
void lock_event(struct served *sv, struct nlmsghdr *nlh);
/** lock_drop() - nobody waits by that channel or link any more */
void lock_drop(struct served *sv, uint32_t origin);
/** lock_gone() - a kernel has no locks any more */
void lock_gone(struct served *sv, uint32_t origin);

/* node_session.c */

/**
 * sessions_send() - ask another node something, without waiting
 * @telling: also before it is up
 * Return: 0 or -errno. @f is packed at once.
 */
int sessions_send(struct served *sv, uint32_t node, peer_frame *f,
		  bool telling);

/**
 * sessions_ask() - peer_send() to a node whose session is up
 * Return: 0; -ENOTCONN, or what that does.
 */
int sessions_ask(struct served *sv, uint32_t node, peer_frame *f, uint32_t ms,
		 struct peer_question *q);
/** sessions_attached() - the own kernel is: what others did meanwhile */
int sessions_attached(struct served *sv);
/** sessions_durable() - more of the store is */
void sessions_durable(struct served *sv);
/** sessions_unheard() - one of an earlier run ends, and has told no locks */
bool sessions_unheard(const struct served *sv);
/** sessions_start() - the cluster's nodes may come */
int sessions_start(struct served *sv);
/** sessions_stop() - none comes any more (peer_stop()) */
void sessions_stop(struct served *sv);
void sessions_tick(struct served *sv);	/* each second */
extern const struct peer_handler sessions_handler;
/**
 * sessions_mounted() - a kernel has begun to mount, by that session
 * What it believes from now on is told by the answer to that, which waits until
 * all that was committed before is durable. Return: 0 or -errno.
 */
int sessions_mounted(struct served *sv, uint32_t origin, uint64_t session);
/** sessions_unmounted() - Return: 0; -ENOENT: it has another one; -errno. */
int sessions_unmounted(struct served *sv, uint32_t origin, uint64_t session);

/* Of another node, for people. */
struct session_info {
	uint32_t node;
	bool up, awaited;
	int64_t lease_ms;		/* left; below 0: over */
	uint64_t rows, stale;		/* told; not yet acknowledged */
	struct ns_held held;
	uint64_t requests;
	uint64_t questions;		/* to its volumes */
};
/** sessions_info() - up to @max, in order of numbers. Return: their number. */
size_t sessions_info(struct served *sv, struct session_info *out, size_t max);

#endif
