/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent: the namespace's store is another node's, this one hands its
 * kernel's requests to it. Namespace thread. Documentation/daemon.md, "Agents".
 */
#ifndef ORCHD_AGENT_H
#define ORCHD_AGENT_H

#include "peer.h"
#include "served.h"
#include "steward.h"

#define AGENT_OPS_MAX	960		/* under way; some room is left */
#define AGENT_LOCK_WAITS_MAX 512	/* of them */
#define AGENT_BYTES_MAX	(12U << 20)	/* of them */
#define AGENT_QUEUE_MAX	8192		/* those that wait; a kernel has 4096 */
#define AGENT_RECENT	1024

enum agent_state {
	AGENT_AWAY,		/* no link, or no module: detached */
	AGENT_TELLING,		/* attached; what the kernel holds is told */
	AGENT_READY,
};

/* A question to the authority; forgotten when the link is lost. */
struct agent_call {
	struct peer_question q;
	struct served *sv;
	uint64_t link, asked_at;
	/* @f stays the caller's. Return: true, and @c is not freed */
	bool (*done)(struct served *sv, struct agent_call *c, int rc,
		     const char *why, peer_frame *f);
};

struct agent_kept;
struct agent_op;

struct agent {
	enum agent_state state;
	uint64_t link;			/* 0: down */
	uint64_t dropping;		/* link to be closed */
	uint64_t telling_at;
	uint64_t lease_from, lease_ms, lease_until;
	bool renewing;
	uint64_t durable;		/* transaction of the authority */
	uint64_t incarnation;		/* of the last attachment */
	struct arena *arena;
	unsigned int under_way;
	size_t bytes;
	unsigned int lock_waits;	/* of those under way */
	struct agent_op *queue, **queue_tail;
	unsigned int queued;
	/* inodes that the kernel may not have made yet, a ring */
	struct {
		uint64_t ino, at;
	} recent[AGENT_RECENT];
	size_t recent_pos;
	struct agent_kept *kept, **kept_tail;	/* agent_op.c */
	struct steward steward;
};

/* agent.c */

extern const struct peer_handler agent_handler;

/** agent_main() - the namespace thread of an agent */
void agent_main(struct served *sv);
/** agent_begin() - it was held back until now */
void agent_begin(struct served *sv);
void agent_free(struct served *sv);
/** agent_lost() - begin anew: the kernel and the authority keep what matters */
void agent_lost(struct served *sv, const char *why);
/**
 * agent_ask() - send a question
 * Return: 0; -ENOMEM, -EMSGSIZE, -ESHUTDOWN, and @c is the caller's.
 */
int agent_ask(struct served *sv, struct agent_call *c, peer_frame *f,
	      uint32_t ms);

/* agent_op.c */

/** agent_event() - a message of the kernel */
void agent_event(void *sv, struct nlmsghdr *nlh);
/** agent_request() - of the authority; takes @r */
void agent_request(struct served *sv, struct peer_request *r);
/** agent_layout_set() - one of these; takes @r */
void agent_layout_set(struct served *sv, struct peer_request *r);
void agent_go(struct served *sv);	/* what waits, as far as there is room */
void agent_drop_queue(struct served *sv);
/** agent_keeps() - does one about that inode wait? */
bool agent_keeps(const struct served *sv, uint64_t ino);
/** agent_answer_kept() - those that waited for a volume to be opened */
void agent_answer_kept(struct served *sv);

#endif
