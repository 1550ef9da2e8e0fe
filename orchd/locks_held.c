// SPDX-License-Identifier: Apache-2.0
/* The ranges of one inode that are locked. */
#include <errno.h>
#include <stdlib.h>

#include "locks_impl.h"

bool lock_same_owner(const struct orchfs_lock *a, const struct orchfs_lock *b)
{
	return a->node == b->node && a->owner == b->owner;
}

static bool overlap(const struct orchfs_lock *a, const struct orchfs_lock *b)
{
	return a->start <= b->end && b->start <= a->end;
}

bool lock_same_kind(const struct orchfs_lock *a, const struct orchfs_lock *b)
{
	return !((a->flags ^ b->flags) & ORCHFS_LOCK_FLOCK);
}

bool lock_conflict(const struct orchfs_lock *a, const struct orchfs_lock *b)
{
	return lock_same_kind(a, b) && !lock_same_owner(a, b) &&
	       overlap(a, b) &&
	       (a->type == ORCHFS_LOCK_WRITE || b->type == ORCHFS_LOCK_WRITE);
}

const struct held *lock_in_the_way(const struct inode_locks *in,
				   const struct orchfs_lock *l)
{
	const struct held *h;

	for (h = in->held; h; h = h->next)
		if (lock_conflict(&h->l, l))
			return h;
	return NULL;
}

void held_remove(struct locks *t, struct held **pp)
{
	struct held *h = *pp;

	*pp = h->next;
	free(h);
	t->nr_held--;
}

static void add_held(struct locks *t, struct inode_locks *in, struct held *h,
		     const struct orchfs_lock *l, uint64_t start, uint64_t end)
{
	h->l = *l;
	h->l.start = start;
	h->l.end = end;
	h->l.flags &= ORCHFS_LOCK_FLOCK | ORCHFS_LOCK_OFD;
	h->stale = false;
	h->next = in->held;
	in->held = h;
	t->nr_held++;
}

/* What the owner has of the range goes. @spare is used where one is cut in two. */
static void carve(struct locks *t, struct inode_locks *in,
		  const struct orchfs_lock *l, struct held **spare)
{
	struct held **pp = &in->held, *h;

	while ((h = *pp)) {
		uint64_t end = h->l.end;

		if (h->stale || !lock_same_owner(&h->l, l) ||
		    !lock_same_kind(&h->l, l) ||
		    !overlap(&h->l, l)) {
			pp = &h->next;
		} else if (h->l.start < l->start) {
			h->l.end = l->start - 1;
			if (end > l->end) {
				add_held(t, in, *spare, &h->l, l->end + 1, end);
				*spare = NULL;
				return;
			}
			pp = &h->next;
		} else if (end > l->end) {
			h->l.start = l->end + 1;
			pp = &h->next;
		} else {
			held_remove(t, pp);
		}
	}
}

bool held_newer(const struct inode_locks *in, const struct orchfs_lock *l)
{
	const struct held *h;

	for (h = in->held; h; h = h->next)
		if (h->l.id > l->id && !h->stale && lock_same_kind(&h->l, l) &&
		    lock_same_owner(&h->l, l) && overlap(&h->l, l))
			return true;
	return false;
}

/* Take in neighbours of the same type; the range is free of the owner's. */
static void join(struct locks *t, struct inode_locks *in, struct orchfs_lock *l)
{
	struct held **pp = &in->held, *h;

	while ((h = *pp)) {
		if (h->stale || h->l.type != l->type ||
		    !lock_same_owner(&h->l, l) || !lock_same_kind(&h->l, l)) {
			pp = &h->next;
		} else if (l->start && h->l.end == l->start - 1) {
			l->start = h->l.start;
			l->id = h->l.id > l->id ? h->l.id : l->id;
			held_remove(t, pp);
		} else if (h->l.start && l->end == h->l.start - 1) {
			l->end = h->l.end;
			l->id = h->l.id > l->id ? h->l.id : l->id;
			held_remove(t, pp);
		} else {
			pp = &h->next;
		}
	}
}

int held_apply(struct locks *t, struct inode_locks *in,
	       const struct orchfs_lock *want)
{
	struct held *spare = malloc(sizeof(*spare));
	struct held *h = malloc(sizeof(*h));
	struct orchfs_lock l = *want;

	if (!spare || !h || (t->nr_held + 2 > LOCKS_HELD_MAX &&
			     l.type != ORCHFS_LOCK_NONE)) {
		free(spare);
		free(h);
		return -ENOLCK;
	}
	carve(t, in, &l, &spare);
	if (l.type != ORCHFS_LOCK_NONE) {
		join(t, in, &l);
		add_held(t, in, h, &l, l.start, l.end);
		h = NULL;
	}
	free(spare);
	free(h);
	return 0;
}

void held_drop(struct locks *t, struct inode_locks *in, uint32_t node,
	       bool stale_only)
{
	struct held **pp = &in->held;

	while (*pp) {
		if ((*pp)->l.node == node && (!stale_only || (*pp)->stale))
			held_remove(t, pp);
		else
			pp = &(*pp)->next;
	}
}
