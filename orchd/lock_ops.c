// SPDX-License-Identifier: Apache-2.0
/*
 * Locks of several nodes: what passes between kernels and the table of them.
 * A kernel is known there by its node's number.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exec.h"
#include "locks.h"
#include "log.h"
#include "nl.h"
#include "ns_cluster.h"
#include "peer.h"

/* A request that the table answers. */
struct lock_ask {
	struct lock_ask *next;
	struct asker who;
	uint64_t id;			/* its kernel's */
};

static uint32_t node_of(const struct served *sv, uint32_t origin)
{
	return origin ? origin : sv->lock_self;
}

/* Most are answered at once, and those are in front. */
static void on_answer(void *ctx, uint32_t node, uint64_t id, int status,
		      uint32_t flags, const struct orchfs_lock *lock)
{
	struct op_reply rep = { .status = status, .flags = flags };
	struct served *sv = ctx;
	struct lock_ask **pp = &sv->lock_asks, *a;

	while ((a = *pp) && (a->id != id || node_of(sv, a->who.origin) != node))
		pp = &a->next;
	if (!a)
		return;
	*pp = a->next;
	if (lock) {
		rep.has_lock = true;
		rep.lock = *lock;
		if (lock->node == node)
			rep.lock.node = 0;
	}
	answer_now(sv, &a->who, &rep);
	free(a);
}

/*
 * The own kernel without the module, or without the mount, holds nothing. What
 * it has lost it is told while it attaches.
 */
static bool recall_own(struct served *sv, uint64_t ino, uint64_t number,
		       bool lost)
{
	if (!sv->attached && !lost)
		return !sv->no_module;
	if (channel_send(&sv->ch, nl_encode_lock_recall(sv->ch.family, number,
							ino, lost), NULL) < 0)
		log_debug(sv->name, "a recall of locks will be sent again");
	return true;
}

static bool on_recall(void *ctx, uint32_t node, uint64_t ino, uint64_t number,
		      bool lost)
{
	Orchfs__Peer__LockRecall m = ORCHFS__PEER__LOCK_RECALL__INIT;
	peer_frame f = PEER_FRAME_INIT(LOCK_RECALL);
	struct served *sv = ctx;

	if (node == sv->lock_self)
		return recall_own(sv, ino, number, lost);
	m.ino = ino;
	m.number = number;
	m.lost = lost;
	f.lock_recall = &m;
	/* what isn't answered is sent again, until the session ends */
	if (sessions_send(sv, node, &f, lost) < 0 && lost)
		log_warn(sv->name, "node %u cannot be told that its locks of "
			 "inode %llu are lost", node, (unsigned long long)ino);
	return true;
}

static const struct locks_ops table_ops = {
	.answer = on_answer,
	.recall = on_recall,
};

int lock_start(struct served *sv)
{
	sv->lock_self = ns_cluster(sv->ns)->authority;
	if (!sv->locks)
		sv->locks = locks_new(sv->lock_self, &table_ops, sv);
	return sv->locks ? 0 : -ENOMEM;
}

void lock_stop(struct served *sv)
{
	lock_drop(sv, 0);
	locks_free(sv->locks);
	sv->locks = NULL;
}

/* There may be locks of an earlier run that aren't told or given up yet. */
static bool some_unheard(const struct served *sv)
{
	return lease_awaits(sv->lease) || sessions_unheard(sv);
}

/* None is given until then. */
static bool too_early(const struct served *sv, const struct orchfs_lock *l)
{
	return some_unheard(sv) && l->type != ORCHFS_LOCK_NONE &&
	       !(l->flags & ORCHFS_LOCK_CANCEL);
}

void lock_tick(struct served *sv)
{
	if (!sv->locks)
		return;
	locks_tick(sv->locks, peer_now());
	if (!sv->lock_parked || some_unheard(sv))
		return;
	sv->lock_parked = false;
	exec_unpark(sv);
}

bool lock_request(struct served *sv, const struct asker *who,
		  const struct op_req *op)
{
	struct op_reply rep = { 0 };
	struct lock_ask *a;

	if (!sv->locks) {	/* of a cluster that it isn't any more */
		if (op->lock.type != ORCHFS_LOCK_NONE)
			rep.flags = ORCHFS_REQ_FLAG_LEASE;
		answer_now(sv, who, &rep);
		return true;
	}
	if (too_early(sv, &op->lock)) {
		sv->lock_parked = true;
		return false;
	}
	if (op->lock.flags & ORCHFS_LOCK_CANCEL &&
	    exec_cancel(sv, op->origin, op->lock.id)) {
		answer_now(sv, who, &rep);
		return true;
	}
	a = calloc(1, sizeof(*a));
	if (!a) {
		answer_status(sv, who, -ENOLCK);
		return true;
	}
	a->who = *who;
	a->id = op->id;
	a->next = sv->lock_asks;
	sv->lock_asks = a;
	locks_request(sv->locks, node_of(sv, op->origin), op->id, op->node,
		      &op->lock, peer_now());
	return true;
}

int lock_own(struct served *sv)
{
	struct held_locks h = { .nr = 0 };
	int rc = 0;

	if (!sv->locks)
		return 0;
	/*
	 * Others may have some, of an earlier run too: it may not decide alone.
	 * What it has is told once it knows that.
	 */
	if (some_unheard(sv) || locks_count(sv->locks).inodes)
		rc = channel_send(&sv->ch, nl_encode_lock_recall(
						sv->ch.family, 0, 0, false),
				  NULL);
	if (!rc)
		rc = attach_locks(sv, &h);
	if (!rc) {
		locks_reclaim_begin(sv->locks, sv->lock_self);
		for (size_t i = 0; i < h.nr; i++)
			locks_reclaim(sv->locks, sv->lock_self, h.v[i].ino,
				      h.v[i].lease, h.v[i].l, h.v[i].nr,
				      false);
		locks_reclaim_end(sv->locks, sv->lock_self, peer_now());
	}
	held_locks_free(&h);
	return rc;
}

void lock_event(struct served *sv, struct nlmsghdr *nlh)
{
	struct op_locks v;
	uint64_t number;
	bool eof;
	int rc;

	rc = nl_decode_held(nlh, &v, &number, &eof);
	if (rc) {
		log_err(sv->name, "locks that are held: %s", strerror(-rc));
		return;
	}
	if (sv->locks)
		locks_held(sv->locks, sv->lock_self, v.ino, number, v.l,
			   v.nr, eof, peer_now());
	free(v.l);
}

void lock_drop(struct served *sv, uint32_t origin)
{
	struct lock_ask **pp = &sv->lock_asks, *a;

	if (!sv->locks)
		return;
	locks_forget_waits(sv->locks, node_of(sv, origin));
	while ((a = *pp)) {
		if (a->who.origin != origin) {
			pp = &a->next;
			continue;
		}
		*pp = a->next;
		if (a->who.peer)
			peer_fail(a->who.peer, -ENOTCONN, "the link is down");
		free(a);
	}
}

void lock_gone(struct served *sv, uint32_t origin)
{
	if (sv->locks)
		locks_node_gone(sv->locks, node_of(sv, origin), peer_now());
}
