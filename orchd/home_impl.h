/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by home*.c. */
#ifndef ORCHD_HOME_IMPL_H
#define ORCHD_HOME_IMPL_H

#include "home.h"
#include "ns_cluster.h"
#include "peer.h"
#include "served.h"

#define HOME_ASK_MS	600000U		/* as long as its link lives */
#define HOME_GLIMPSE_MS	60000U		/* a kernel's callers wait no longer */
#define HOME_FILES	4096U		/* of a look */
#define HOME_GLIMPSES	1024U		/* of a frame */
#define HOME_DELETES	512U		/* the same */

/* A fence that a home hasn't acknowledged. */
struct home_fence {
	struct home_fence *next;
	uint32_t node;
	bool asked;
};

/* A node with a session, which may have volumes. */
struct home {
	struct home *next;
	uint32_t node;
	uint64_t link;			/* 0: down */
	uint64_t up_at;			/* ms */
	uint64_t serves_until;		/* by peer_now(), without a link */
	bool told;			/* by that link, states of volumes */
	bool news;			/* its volumes are to be told ... */
	uint64_t news_at;		/* ... not before (ms) */
	bool rekey;			/* with other keys */
	bool leaving;			/* it may be removed: no new volumes */
	uint64_t peers;			/* sum of what it was told of nodes */
	uint64_t questions;		/* that it was asked, for people */
	struct home_fence *fences;
	bool unfenced;			/* some are missing there */
	uint64_t fences_at;		/* ms: a refused one isn't asked before */
	struct ns_volume *adding;	/* its number is given */
	struct ns_volume *removed;	/* to be named once more */
	struct peer_request *added;	/* to be answered when ... */
	uint64_t added_txn;		/* ... that is durable */
};

struct home_make;
struct glimpse;

struct homes {
	struct home *list;
	uint64_t peers;			/* sum of what all nodes are to know */
	struct home_make *makes;	/* whose ranges aren't durable yet */
	unsigned int owns;		/* under way */

	/* home_stat.c */
	uint64_t clock;			/* of requests and questions */
	uint64_t since;			/* of the request at hand; 0: none */
	struct glimpse **buckets;
	size_t nr;
	bool ask;			/* some are to be asked for */
	bool unsettled;			/* some couldn't be, and now may */
};

/* A question; freed after its end. */
struct home_ask {
	struct peer_question q;
	struct served *sv;
	uint32_t node;
	uint64_t link;
	/*
	 * once; @f stays the caller's and is the answer that is wanted, else
	 * @rc < 0. The namespace may be about to close: sv->homes is NULL then
	 */
	void (*done)(struct served *sv, struct home_ask *a, int rc,
		     const peer_frame *f);
	int body;			/* of the answer that is wanted */
	uint32_t ms;			/* 0: HOME_ASK_MS */
};

/* home.c */
struct home *home_find(const struct served *sv, uint32_t node);
/**
 * home_ask() - Return: 0; -errno: done isn't called, and @a is the caller's.
 */
int home_ask(struct served *sv, uint32_t node, peer_frame *f, int body,
	     struct home_ask *a);
/** home_refused() - the link is closed: what it says makes no sense */
void home_refused(struct served *sv, struct home_ask *a, const char *why);
/** home_session() - does it have one, or may it have one yet? */
bool home_session(const struct served *sv, uint32_t node);
void home_read_stat(const Orchfs__Peer__Stat *m, struct ns_backing_stat *s);

/* home_volume.c */
void home_states(struct served *sv, struct home *h, struct peer_request *r);
void home_add(struct served *sv, struct home *h, struct peer_request *r);
void home_added(struct served *sv, struct home *h);
int home_tell_volumes(struct served *sv, struct home *h);

/* home_pool.c */
/** home_look() - at what was made before; files are taken again then */
void home_look(struct served *sv, struct volume *v);
void home_makes_send(struct served *sv);	/* as far as they are durable */
void home_makes_drop(struct served *sv);

/* home_stat.c */
void home_owned(struct served *sv, struct peer_request *r);
void glimpses_ask(struct served *sv);
void glimpses_tick(struct served *sv);
void glimpses_drop(struct served *sv, uint32_t node);
void glimpses_free(struct served *sv);

/* home_io.c */
/** home_fences_again() - all that tokens are left for: it may know none */
void home_fences_again(struct served *sv, struct home *h);
void home_fences_ask(struct served *sv, struct home *h);
void home_fences_drop(struct home *h);

#endif
