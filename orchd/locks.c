// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <linux/orchfs_nl.h>

#include "locks_impl.h"

#define FIRST_SIZE	256
#define RECALL_SCAN	64	/* buckets looked at to find an old lease */

/* --- inodes --- */

static size_t hash(uint64_t n)
{
	return (size_t)((n * 0x9e3779b97f4a7c15ULL) >> 32);
}

static struct inode_locks *find(const struct locks *t, uint64_t ino)
{
	struct inode_locks *in;

	for (in = t->buckets[hash(ino) & (t->size - 1)]; in; in = in->next)
		if (in->ino == ino)
			return in;
	return NULL;
}

static void grow(struct locks *t)
{
	size_t size = t->size * 2;
	struct inode_locks **b = calloc(size, sizeof(*b));

	if (!b)
		return;	/* slower */
	for (size_t i = 0; i < t->size; i++) {
		struct inode_locks *in = t->buckets[i], *next;

		for (; in; in = next) {
			size_t at = hash(in->ino) & (size - 1);

			next = in->next;
			in->next = b[at];
			b[at] = in;
		}
	}
	free(t->buckets);
	t->buckets = b;
	t->size = size;
}

static struct inode_locks *make(struct locks *t, uint64_t ino)
{
	struct inode_locks *in = calloc(1, sizeof(*in));
	size_t at;

	if (!in)
		return NULL;
	if (t->nr >= t->size)
		grow(t);
	at = hash(ino) & (t->size - 1);
	in->ino = ino;
	in->next = t->buckets[at];
	t->buckets[at] = in;
	t->nr++;
	return in;
}

static bool has_held(const struct inode_locks *in)
{
	return in->held[0] || in->held[1];
}

static bool idle(const struct inode_locks *in, uint64_t now)
{
	return !in->lease && !has_held(in) && !in->waits && !in->queue &&
	       now >= in->contended;
}

static void forget_idle(struct locks *t, uint64_t now)
{
	for (size_t i = 0; i < t->size; i++) {
		struct inode_locks **pp = &t->buckets[i], *in;

		while ((in = *pp)) {
			if (!idle(in, now)) {
				pp = &in->next;
				continue;
			}
			*pp = in->next;
			free(in);
			t->nr--;
		}
	}
}

static void set_lease(struct locks *t, struct inode_locks *in, uint32_t node)
{
	if (in->lease)
		t->nr_leases--;
	if (node)
		t->nr_leases++;
	in->lease = node;
	in->lease_stale = false;
	in->recalling = false;
	in->no_room = false;
}

/* --- who waits --- */

static struct wait **owner_bucket(struct locks *t, const struct orchfs_lock *l)
{
	return &t->waiting[hash(l->owner + l->node) & (OWNER_BUCKETS - 1)];
}

/* OFD locks and those of flock(2) belong to no task: no cycle is seen. */
static bool in_cycles(const struct orchfs_lock *l)
{
	return !(l->flags & (ORCHFS_LOCK_FLOCK | ORCHFS_LOCK_OFD));
}

static struct wait *wait_new(struct inode_locks *in, uint64_t id,
			     const struct orchfs_lock *l)
{
	struct wait *w = calloc(1, sizeof(*w));

	if (w) {
		w->in = in;
		w->id = id;
		w->l = *l;
		w->l.id = id;
	}
	return w;
}

static void append(struct wait **list, struct wait *w)
{
	while (*list)
		list = &(*list)->next;
	w->next = NULL;
	*list = w;
}

static void park(struct locks *t, struct inode_locks *in, struct wait *w)
{
	struct wait **b = owner_bucket(t, &w->l);

	append(&in->waits, w);
	w->owner_next = *b;
	*b = w;
	t->nr_waits++;
}

/* Take one off in->waits; the caller frees it. */
static struct wait *unpark(struct locks *t, struct wait **pp)
{
	struct wait *w = *pp, **b = owner_bucket(t, &w->l);

	*pp = w->next;
	while (*b != w)
		b = &(*b)->owner_next;
	*b = w->owner_next;
	t->nr_waits--;
	return w;
}

static void answer(struct locks *t, const struct wait *w, int status,
		   uint32_t flags)
{
	t->ops->answer(t->ctx, w->l.node, w->id, status, flags, NULL);
}

/* Those whose locks are in the way of @l, and who wait themselves, go on todo. */
static bool blocked_by(struct locks *t, const struct inode_locks *in,
		       const struct orchfs_lock *l,
		       const struct orchfs_lock *asker, uint64_t search,
		       struct wait **todo)
{
	const struct held *h;
	struct wait *w;

	for_each_held(h, in, lock_kind(l), l->start, l->end) {
		if (!lock_conflict(&h->l, l) || !in_cycles(&h->l))
			continue;
		if (lock_same_owner(&h->l, asker))
			return true;
		for (w = *owner_bucket(t, &h->l); w; w = w->owner_next) {
			if (w->seen == search || !lock_same_owner(&w->l, &h->l) ||
			    !in_cycles(&w->l))
				continue;
			w->seen = search;
			w->todo = *todo;
			*todo = w;
		}
	}
	return false;
}

/* Would the owner wait for somebody who waits, in the end, for it? */
static bool deadlock(struct locks *t, const struct inode_locks *in,
		     const struct orchfs_lock *l)
{
	uint64_t search = ++t->number;
	struct wait *todo = NULL, *w;

	if (!in_cycles(l))
		return false;
	if (blocked_by(t, in, l, l, search, &todo))
		return true;
	while ((w = todo)) {
		todo = w->todo;
		if (blocked_by(t, w->in, &w->l, l, search, &todo))
			return true;
	}
	return false;
}

/* Grant what is free now, oldest first. A grant may weaken what its owner had. */
static void retry(struct locks *t, struct inode_locks *in)
{
	struct wait **pp = &in->waits, *w;
	int rc;

	while ((w = *pp)) {
		if (lock_in_the_way(in, &w->l)) {
			pp = &w->next;
			continue;
		}
		unpark(t, pp);
		rc = held_newer(in, &w->l) ? -ESTALE :
		     held_apply(t, in, &w->l);
		answer(t, w, rc, 0);
		free(w);
		pp = &in->waits;
	}
}

/* --- leases --- */

static void run(struct locks *t, struct inode_locks *in, struct wait *w,
		uint64_t now);

/* The node has let go of its lease, or has gone. */
static void recalled(struct locks *t, struct inode_locks *in, uint64_t now)
{
	struct wait *w, *next = in->queue;
	bool quiet = !in->ended || now - in->ended >= LOCKS_CONTENDED_MS;

	set_lease(t, in, 0);
	if (has_held(in) || !quiet)
		in->contended = now + LOCKS_CONTENDED_MS;
	in->ended = now;
	in->queue = NULL;
	while ((w = next)) {
		next = w->next;
		/* one of them may have got the lease */
		run(t, in, w, now);
	}
}

static bool send_recall(struct locks *t, struct inode_locks *in, uint64_t now)
{
	in->sent = now;
	return t->ops->recall(t->ctx, in->lease, in->ino, in->number, false);
}

/*
 * Returns whether there is something to wait for. Sent again it is the same
 * one, or an answer that takes its time would never do.
 */
static bool recall(struct locks *t, struct inode_locks *in, uint64_t now)
{
	in->recalling = true;
	in->number = ++t->number;
	held_drop(t, in, in->lease, false);
	return send_recall(t, in, now);
}

static bool alone(const struct inode_locks *in, uint32_t node)
{
	const struct held *h;
	const struct wait *w;

	for (unsigned int k = 0; k < LOCK_KINDS; k++)
		for_each_held(h, in, k, 0, UINT64_MAX)
			if (h->l.node != node)
				return false;
	for (w = in->waits; w; w = w->next)
		if (w->l.node != node)
			return false;
	return true;
}

/* It has all the locks that there are, and decides from here on. */
static void give_lease(struct locks *t, struct inode_locks *in, uint32_t node)
{
	struct wait *w;

	set_lease(t, in, node);
	held_drop(t, in, node, false);
	while (in->waits) {
		w = unpark(t, &in->waits);
		answer(t, w, 0, ORCHFS_REQ_FLAG_LEASE);
		free(w);
	}
}

/* Too many: an old lease is asked for, the locks of which may be long gone. */
static void recall_some(struct locks *t, uint64_t now)
{
	for (int i = 0; i < RECALL_SCAN; i++) {
		struct inode_locks *in = t->buckets[t->hand++ & (t->size - 1)];

		for (; in; in = in->next) {
			if (!in->lease || in->recalling)
				continue;
			if (!recall(t, in, now))
				recalled(t, in, now);
			return;
		}
	}
}

/* --- requests --- */

/* The first one of the file that is in the way. */
static void run_test(struct locks *t, struct inode_locks *in, struct wait *w)
{
	const struct held *first = lock_in_the_way(in, &w->l);
	struct orchfs_lock l = w->l;

	l.type = ORCHFS_LOCK_NONE;
	if (first)
		l = first->l;
	l.id = 0;
	t->ops->answer(t->ctx, w->l.node, w->id, 0, 0, &l);
	free(w);
}

static void run_unlock(struct locks *t, struct inode_locks *in, struct wait *w)
{
	int rc = held_apply(t, in, &w->l);

	answer(t, w, rc, 0);
	free(w);
	if (!rc)
		retry(t, in);
}

/* flock(2) lets go of what it had before it looks whether it gets the other. */
static void convert(struct locks *t, struct inode_locks *in,
		    const struct orchfs_lock *l)
{
	struct held *h;

	for_each_held(h, in, lock_kind(l), l->start, l->end) {
		if (!lock_same_owner(&h->l, l) || h->l.type == l->type)
			continue;
		held_remove(t, in, h);
		retry(t, in);
		return;
	}
}

static void run_lock(struct locks *t, struct inode_locks *in, struct wait *w)
{
	int rc = 0;

	if (w->l.flags & ORCHFS_LOCK_FLOCK)
		convert(t, in, &w->l);
	if (lock_in_the_way(in, &w->l)) {
		if (!(w->l.flags & ORCHFS_LOCK_WAIT))
			rc = -EAGAIN;
		else if (deadlock(t, in, &w->l))
			rc = -EDEADLK;
		if (!rc) {
			park(t, in, w);
			return;
		}
	} else {
		rc = held_apply(t, in, &w->l);
	}
	answer(t, w, rc, 0);
	free(w);
	if (!rc)	/* it may have been a lesser lock than before */
		retry(t, in);
}

static void run(struct locks *t, struct inode_locks *in, struct wait *w,
		uint64_t now)
{
	bool unlock = w->l.type == ORCHFS_LOCK_NONE;
	bool test = w->l.flags & ORCHFS_LOCK_TEST;

	if (in->lease == w->l.node && !in->recalling) {
		answer(t, w, 0, unlock ? 0 : ORCHFS_REQ_FLAG_LEASE);
		free(w);
		return;
	}
	if (unlock && in->lease && in->lease != w->l.node) {
		answer(t, w, 0, 0);	/* it holds none */
		free(w);
		return;
	}
	if (in->lease && (in->recalling || recall(t, in, now))) {
		append(&in->queue, w);
		return;
	}
	set_lease(t, in, 0);	/* its kernel has gone */
	if (test) {
		run_test(t, in, w);
	} else if (held_newer(in, &w->l)) {
		answer(t, w, -ESTALE, 0);
		free(w);
	} else if (unlock) {
		run_unlock(t, in, w);
	} else if (now >= in->contended && alone(in, w->l.node)) {
		give_lease(t, in, w->l.node);
		answer(t, w, 0, ORCHFS_REQ_FLAG_LEASE);
		free(w);
	} else {
		run_lock(t, in, w);
	}
}

static bool valid(const struct orchfs_lock *l)
{
	return l->type <= ORCHFS_LOCK_WRITE && l->start <= l->end &&
	       !(l->flags & ~ORCHFS_LOCK_ALL) &&
	       !(l->flags & ORCHFS_LOCK_TEST &&
		 (l->type == ORCHFS_LOCK_NONE ||
		  l->flags & ORCHFS_LOCK_FLOCK));
}

static bool cancel_in(struct locks *t, struct wait **pp, bool parked,
		      uint32_t node, uint64_t id)
{
	struct wait *w;

	for (; (w = *pp); pp = &w->next) {
		if (w->l.node != node || w->id != id)
			continue;
		if (parked)
			unpark(t, pp);
		else
			*pp = w->next;
		answer(t, w, -EINTR, 0);
		free(w);
		return true;
	}
	return false;
}

void locks_request(struct locks *t, uint32_t node, uint64_t id, uint64_t ino,
		   const struct orchfs_lock *l, uint64_t now)
{
	struct inode_locks *in = find(t, ino);
	struct wait *w;

	if (l->flags & ORCHFS_LOCK_CANCEL) {
		if (in && !cancel_in(t, &in->waits, true, node, l->id))
			cancel_in(t, &in->queue, false, node, l->id);
		t->ops->answer(t->ctx, node, id, 0, 0, NULL);
		return;
	}
	if (!valid(l)) {
		t->ops->answer(t->ctx, node, id, -EINVAL, 0, NULL);
		return;
	}
	/* what isn't known is its own kernel's business, or nobody's */
	if (!in && (node == t->self || l->type == ORCHFS_LOCK_NONE)) {
		t->ops->answer(t->ctx, node, id, 0,
			       l->type == ORCHFS_LOCK_NONE ? 0 :
			       ORCHFS_REQ_FLAG_LEASE, NULL);
		return;
	}
	if (!in) {
		in = make(t, ino);
		if (in)
			set_lease(t, in, t->self);
	}
	w = in ? wait_new(in, id, l) : NULL;
	if (!w) {
		t->ops->answer(t->ctx, node, id, -ENOLCK, 0, NULL);
		return;
	}
	w->l.node = node;
	run(t, in, w, now);
	if (t->nr > LOCKS_INODES_MAX)
		recall_some(t, now);
}

/* As its kernel tells; false where there is no room. */
static bool apply_told(struct locks *t, struct inode_locks *in, uint32_t node,
		       const struct orchfs_lock *l, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		struct orchfs_lock one = l[i];

		one.node = node;
		one.id = 0;
		if (valid(&one) && one.type != ORCHFS_LOCK_NONE &&
		    held_apply(t, in, &one))
			return false;
	}
	return true;
}

void locks_held(struct locks *t, uint32_t node, uint64_t ino, uint64_t number,
		const struct orchfs_lock *l, size_t nr, bool eof, uint64_t now)
{
	struct inode_locks *in = find(t, ino);

	if (!in || !in->recalling || in->lease != node || in->number != number)
		return;
	if (!in->no_room)
		in->no_room = !apply_told(t, in, node, l, nr);
	in->sent = now;
	if (!eof)
		return;
	if (in->no_room) {
		held_drop(t, in, node, false);
		t->ops->recall(t->ctx, node, ino, 0, true);
	}
	recalled(t, in, now);
}

/* --- kernels that come and go --- */

static void drop_waits(struct locks *t, struct inode_locks *in, uint32_t node)
{
	struct wait **pp, *w;

	for (pp = &in->waits; (w = *pp); ) {
		if (w->l.node == node)
			free(unpark(t, pp));
		else
			pp = &w->next;
	}
	for (pp = &in->queue; (w = *pp); ) {
		if (w->l.node != node) {
			pp = &w->next;
			continue;
		}
		*pp = w->next;
		free(w);
	}
}

/* Nothing is added or removed meanwhile. */
#define for_each_inode(t, i, in) \
	for ((i) = 0; (i) < (t)->size; (i)++) \
		for ((in) = (t)->buckets[i]; (in); (in) = (in)->next)

void locks_forget_waits(struct locks *t, uint32_t node)
{
	struct inode_locks *in;
	size_t i;

	for_each_inode(t, i, in)
		drop_waits(t, in, node);
}

void locks_reclaim_begin(struct locks *t, uint32_t node)
{
	struct inode_locks *in;
	struct held *h;
	size_t i;

	for_each_inode(t, i, in) {
		drop_waits(t, in, node);
		in->refused = in->refused == node ? 0 : in->refused;
		if (in->lease == node)
			in->lease_stale = true;
		for (unsigned int k = 0; k < LOCK_KINDS; k++)
			for_each_held(h, in, k, 0, UINT64_MAX)
				if (h->l.node == node)
					h->stale = true;
	}
}

static bool taken(const struct inode_locks *in, uint32_t node, bool lease,
		  const struct orchfs_lock *l, size_t nr)
{
	if (in->refused == node || (in->lease && in->lease != node))
		return true;
	if (lease)
		return !alone(in, node);
	for (size_t i = 0; i < nr; i++) {
		struct orchfs_lock one = l[i];
		const struct held *h;

		one.node = node;
		for_each_held(h, in, lock_kind(&one), one.start, one.end)
			if (h->l.node != node && lock_conflict(&h->l, &one))
				return true;
	}
	return false;
}

/* All of an inode or nothing: its kernel lets go of all. */
static void refuse(struct locks *t, struct inode_locks *in, uint32_t node,
		   uint64_t ino)
{
	if (in) {
		in->refused = node;
		held_drop(t, in, node, false);
	}
	t->ops->recall(t->ctx, node, ino, 0, true);
}

void locks_reclaim(struct locks *t, uint32_t node, uint64_t ino, bool lease,
		   const struct orchfs_lock *l, size_t nr, bool lost)
{
	struct inode_locks *in = find(t, ino);

	if (!lost && !in && lease && node == t->self)
		return;		/* as with all that isn't known */
	if (!lost && !in)
		in = make(t, ino);
	if (lost || !in || taken(in, node, lease, l, nr)) {
		refuse(t, in, node, ino);
		return;
	}
	if (lease && in->lease == node) {
		in->lease_stale = false;	/* a recall may go on */
	} else if (lease) {
		held_drop(t, in, node, false);
		set_lease(t, in, node);
	}
	if (!apply_told(t, in, node, l, nr))
		refuse(t, in, node, ino);
}

void locks_reclaim_end(struct locks *t, uint32_t node, uint64_t now)
{
	struct inode_locks *in;
	size_t i;

	for_each_inode(t, i, in) {
		in->refused = in->refused == node ? 0 : in->refused;
		held_drop(t, in, node, true);
		if (in->lease == node && in->lease_stale)
			recalled(t, in, now);
		if (!in->lease)
			retry(t, in);
	}
	forget_idle(t, now);
}

void locks_node_gone(struct locks *t, uint32_t node, uint64_t now)
{
	locks_reclaim_begin(t, node);
	locks_reclaim_end(t, node, now);
}

void locks_tick(struct locks *t, uint64_t now)
{
	struct inode_locks *in;
	size_t i;

	for_each_inode(t, i, in) {
		if (!in->recalling || in->lease_stale ||
		    now - in->sent < LOCKS_RESEND_MS)
			continue;
		if (!send_recall(t, in, now))
			recalled(t, in, now);
	}
	forget_idle(t, now);
}

struct locks_counts locks_count(const struct locks *t)
{
	return (struct locks_counts){
		.inodes = t->nr,
		.leases = t->nr_leases,
		.held = t->nr_held,
		.waiting = t->nr_waits,
	};
}

struct locks *locks_new(uint32_t self, const struct locks_ops *ops, void *ctx)
{
	struct locks *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->size = FIRST_SIZE;
	t->buckets = calloc(t->size, sizeof(*t->buckets));
	if (!t->buckets) {
		free(t);
		return NULL;
	}
	if (getrandom(&t->random, sizeof(t->random), 0) < 0)
		t->random = (uintptr_t)t;
	t->self = self;
	t->ops = ops;
	t->ctx = ctx;
	return t;
}

void locks_free(struct locks *t)
{
	struct inode_locks *in, *next;

	if (!t)
		return;
	for (size_t i = 0; i < t->size; i++) {
		for (in = t->buckets[i]; in; in = next) {
			next = in->next;
			for (unsigned int k = 0; k < LOCK_KINDS; k++)
				while (in->held[k])
					held_remove(t, in, in->held[k]);
			while (in->waits)
				free(unpark(t, &in->waits));
			while (in->queue) {
				struct wait *w = in->queue;

				in->queue = w->next;
				free(w);
			}
			free(in);
		}
	}
	for (struct lock_node *n = t->nodes, *next_node; n; n = next_node) {
		next_node = n->next;
		free(n);
	}
	free(t->buckets);
	free(t);
}
