// SPDX-License-Identifier: Apache-2.0
/*
 * The ranges of one inode that are locked: a treap by first byte for each kind,
 * which knows the last byte of each subtree.
 */
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

unsigned int lock_kind(const struct orchfs_lock *l)
{
	return l->flags & ORCHFS_LOCK_FLOCK ? 1 : 0;
}

bool lock_conflict(const struct orchfs_lock *a, const struct orchfs_lock *b)
{
	return lock_kind(a) == lock_kind(b) && !lock_same_owner(a, b) &&
	       overlap(a, b) &&
	       (a->type == ORCHFS_LOCK_WRITE || b->type == ORCHFS_LOCK_WRITE);
}

/* --- the treap --- */

static bool before(const struct held *a, const struct held *b)
{
	return a->l.start != b->l.start ? a->l.start < b->l.start :
	       a->serial < b->serial;
}

/* Nobody who locks can know it, or could make the tree deep. */
static uint64_t draw(struct locks *t)
{
	uint64_t z = t->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static void update(struct held *h)
{
	h->last = h->l.end;
	if (h->left && h->left->last > h->last)
		h->last = h->left->last;
	if (h->right && h->right->last > h->last)
		h->last = h->right->last;
}

/* All of @l are before all of @r. */
static struct held *merge(struct held *l, struct held *r)
{
	if (!l || !r)
		return l ? l : r;
	if (l->priority > r->priority) {
		l->right = merge(l->right, r);
		update(l);
		return l;
	}
	r->left = merge(l, r->left);
	update(r);
	return r;
}

static void split(struct held *root, const struct held *at, struct held **l,
		  struct held **r)
{
	if (!root) {
		*l = *r = NULL;
	} else if (before(root, at)) {
		split(root->right, at, &root->right, r);
		*l = root;
		update(root);
	} else {
		split(root->left, at, l, &root->left);
		*r = root;
		update(root);
	}
}

static void insert(struct inode_locks *in, struct held *h)
{
	struct held **root = &in->held[lock_kind(&h->l)], *l, *r;

	h->left = h->right = NULL;
	update(h);
	split(*root, h, &l, &r);
	*root = merge(merge(l, h), r);
}

static struct held *without(struct held *root, const struct held *h)
{
	if (root == h)
		return merge(h->left, h->right);
	if (before(h, root))
		root->left = without(root->left, h);
	else
		root->right = without(root->right, h);
	update(root);
	return root;
}

static void take_out(struct inode_locks *in, const struct held *h)
{
	struct held **root = &in->held[lock_kind(&h->l)];

	*root = without(*root, h);
}

static struct held *next_in(struct held *h, uint64_t start, uint64_t end,
			    const struct held *after)
{
	struct held *found;

	if (!h || h->last < start)
		return NULL;
	if (!after || before(after, h)) {
		found = next_in(h->left, start, end, after);
		if (found)
			return found;
		if (h->l.start <= end && h->l.end >= start)
			return h;
	}
	return h->l.start > end ? NULL : next_in(h->right, start, end, after);
}

struct held *held_next(const struct inode_locks *in, unsigned int kind,
		       uint64_t start, uint64_t end, const struct held *after)
{
	return next_in(in->held[kind], start, end, after);
}

/* --- what is held --- */

const struct held *lock_in_the_way(const struct inode_locks *in,
				   const struct orchfs_lock *l)
{
	const struct held *h;

	for_each_held(h, in, lock_kind(l), l->start, l->end)
		if (lock_conflict(&h->l, l))
			return h;
	return NULL;
}

void held_remove(struct locks *t, struct inode_locks *in, struct held *h)
{
	take_out(in, h);
	h->of->nr_held--;
	t->nr_held--;
	free(h);
}

static void add_held(struct locks *t, struct inode_locks *in, struct held *h,
		     struct lock_node *of, const struct orchfs_lock *l,
		     uint64_t start, uint64_t end)
{
	h->l = *l;
	h->l.start = start;
	h->l.end = end;
	h->l.flags &= ORCHFS_LOCK_FLOCK | ORCHFS_LOCK_OFD;
	h->stale = false;
	h->serial = ++t->serial;
	h->priority = draw(t);
	h->of = of;
	insert(in, h);
	of->nr_held++;
	t->nr_held++;
}

/* The owner's first one with a byte of that range. */
static struct held *own(const struct inode_locks *in,
			const struct orchfs_lock *l, uint64_t start,
			uint64_t end)
{
	struct held *h;

	for_each_held(h, in, lock_kind(l), start, end)
		if (!h->stale && lock_same_owner(&h->l, l))
			return h;
	return NULL;
}

/* What the owner has of the range goes. @spare is used where one is cut in two. */
static void carve(struct locks *t, struct inode_locks *in,
		  const struct orchfs_lock *l, struct held **spare)
{
	struct held *h;

	while ((h = own(in, l, l->start, l->end))) {
		uint64_t start = h->l.start, end = h->l.end;

		if (start >= l->start && end <= l->end) {
			held_remove(t, in, h);
			continue;
		}
		take_out(in, h);
		if (start < l->start)
			h->l.end = l->start - 1;
		else
			h->l.start = l->end + 1;
		insert(in, h);
		if (start < l->start && end > l->end) {
			add_held(t, in, *spare, h->of, &h->l, l->end + 1, end);
			*spare = NULL;
		}
	}
}

bool held_newer(const struct inode_locks *in, const struct orchfs_lock *l)
{
	const struct held *h;

	for_each_held(h, in, lock_kind(l), l->start, l->end)
		if (h->l.id > l->id && !h->stale && lock_same_owner(&h->l, l))
			return true;
	return false;
}

static void join_one(struct locks *t, struct inode_locks *in,
		     struct orchfs_lock *l, struct held *h)
{
	if (!h || h->l.type != l->type)
		return;
	if (h->l.start < l->start)
		l->start = h->l.start;
	else
		l->end = h->l.end;
	if (h->l.id > l->id)
		l->id = h->l.id;
	held_remove(t, in, h);
}

/* Take in neighbours of the same type; the range is free of the owner's. */
static void join(struct locks *t, struct inode_locks *in, struct orchfs_lock *l)
{
	uint64_t at = l->start - 1;

	if (l->start)
		join_one(t, in, l, own(in, l, at, at));
	at = l->end + 1;
	if (at)
		join_one(t, in, l, own(in, l, at, at));
}

static struct lock_node *node_get(struct locks *t, uint32_t number)
{
	struct lock_node *n = t->nodes;

	while (n && n->number != number)
		n = n->next;
	if (n)
		return n;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->number = number;
	n->next = t->nodes;
	t->nodes = n;
	return n;
}

/* An unlock may cut one in two, where a lock finds no room any more. */
static bool no_room(const struct locks *t, const struct lock_node *n,
		    const struct orchfs_lock *l)
{
	size_t more = l->type == ORCHFS_LOCK_NONE ? LOCKS_CUT_MAX : 0;

	return n->nr_held + 2 > LOCKS_NODE_MAX + more ||
	       t->nr_held + 2 > LOCKS_HELD_MAX + more;
}

int held_apply(struct locks *t, struct inode_locks *in,
	       const struct orchfs_lock *want)
{
	struct held *spare = malloc(sizeof(*spare));
	struct held *h = malloc(sizeof(*h));
	struct lock_node *n = node_get(t, want->node);
	struct orchfs_lock l = *want;

	if (!spare || !h || !n || no_room(t, n, &l)) {
		free(spare);
		free(h);
		return -ENOLCK;
	}
	carve(t, in, &l, &spare);
	if (l.type != ORCHFS_LOCK_NONE) {
		join(t, in, &l);
		add_held(t, in, h, n, &l, l.start, l.end);
		h = NULL;
	}
	free(spare);
	free(h);
	return 0;
}

void held_drop(struct locks *t, struct inode_locks *in, uint32_t node,
	       bool stale_only)
{
	for (unsigned int kind = 0; kind < LOCK_KINDS; kind++) {
		struct held *h = held_next(in, kind, 0, UINT64_MAX, NULL), *next;

		for (; h; h = next) {
			next = held_next(in, kind, 0, UINT64_MAX, h);
			if (h->l.node == node && (!stale_only || h->stale))
				held_remove(t, in, h);
		}
	}
}
