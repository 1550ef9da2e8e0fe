// SPDX-License-Identifier: Apache-2.0
/*
 * What memory knows of inodes: which nodes have a layout, or use one without
 * names, and whose instance is dirty. The dirty ones are in the store as rows of table W, so a start reads
 * just these.
 *
 * Layout generations come from one count per namespace. Each start reserves a
 * range that no run can use up, so a grant writes nothing and is above all
 * that an earlier daemon gave out.
 */
#include <errno.h>
#include <stdlib.h>

#include "ns_impl.h"

#define FIRST_SIZE		256

static size_t bucket(const struct live_table *t, uint64_t ino)
{
	return (size_t)((ino * 0x9e3779b97f4a7c15ULL) >> 32) & (t->size - 1);
}

struct live *live_find(struct ns *ns, uint64_t ino)
{
	const struct live_table *t = &ns->live;
	struct live *l;

	if (!t->size)
		return NULL;
	for (l = t->buckets[bucket(t, ino)]; l; l = l->next) {
		if (l->ino == ino)
			return l;
	}
	return NULL;
}

static int grow(struct live_table *t)
{
	struct live_table bigger = { .nr = t->nr };

	bigger.size = t->size ? t->size * 2 : FIRST_SIZE;
	bigger.buckets = calloc(bigger.size, sizeof(*bigger.buckets));
	if (!bigger.buckets)
		return -ENOMEM;
	for (size_t i = 0; i < t->size; i++) {
		struct live *l = t->buckets[i], *next;

		for (; l; l = next) {
			size_t b = bucket(&bigger, l->ino);

			next = l->next;
			l->next = bigger.buckets[b];
			bigger.buckets[b] = l;
		}
	}
	free(t->buckets);
	*t = bigger;
	return 0;
}

/* Find or make; NULL without memory. */
struct live *live_get(struct ns *ns, uint64_t ino)
{
	struct live_table *t = &ns->live;
	struct live *l = live_find(ns, ino);
	size_t b;

	if (l)
		return l;
	if (t->nr >= t->size && grow(t))
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->ino = ino;
	b = bucket(t, ino);
	l->next = t->buckets[b];
	t->buckets[b] = l;
	t->nr++;
	return l;
}

/* NULL where it has nothing. */
struct hold *hold_find(struct live *l, uint32_t origin)
{
	struct hold *h = &l->own;

	while (h && h->origin != origin)
		h = hold_next(l, h);
	return h;
}

/* Find or make; NULL without memory. */
struct hold *hold_get(struct ns *ns, struct live *l, uint32_t origin)
{
	struct hold *h = hold_find(l, origin);

	if (h)
		return h;
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->origin = origin;
	h->next = l->others;
	l->others = h;
	ns->holders[origin % HOLDERS / 64] |= 1ULL << origin % 64;
	return h;
}

/* False: that node has none, of any inode. This machine may always. */
bool hold_any(const struct ns *ns, uint32_t origin)
{
	return !origin ||
	       ns->holders[origin % HOLDERS / 64] >> origin % 64 & 1;
}

struct hold *hold_next(struct live *l, struct hold *h)
{
	if (!h)
		return &l->own;
	return h == &l->own ? l->others : h->next;
}

/* Has any node a layout? */
bool live_out(struct live *l)
{
	for (struct hold *h = NULL; (h = hold_next(l, h)); ) {
		if (h->out)
			return true;
	}
	return false;
}

/* Has any node one that it may write by? */
bool live_written(struct live *l)
{
	for (struct hold *h = NULL; (h = hold_next(l, h)); ) {
		if (h->out && h->written)
			return true;
	}
	return false;
}

bool live_written_elsewhere(struct ns *ns, uint64_t ino, uint32_t origin)
{
	struct live *l = live_find(ns, ino);
	struct hold *h = NULL;

	while (l && (h = hold_next(l, h))) {
		if (h->out && h->written && h->origin != origin)
			return true;
	}
	return false;
}

/* Has any node a layout of it, or to tell that it is done with it? */
bool live_held(struct live *l)
{
	for (struct hold *h = NULL; (h = hold_next(l, h)); ) {
		if (h->out || h->nameless)
			return true;
	}
	return false;
}

static void live_free_one(struct live *l)
{
	struct hold *h;

	while ((h = l->others)) {
		l->others = h->next;
		free(h);
	}
	free(l);
}

/* Forget an inode that is neither held nor dirty, nor being moved. */
void live_drop_idle(struct ns *ns, uint64_t ino)
{
	struct live_table *t = &ns->live;
	struct live **pp;

	if (!t->size)
		return;
	for (pp = &t->buckets[bucket(t, ino)]; *pp; pp = &(*pp)->next) {
		struct live *l = *pp;

		if (l->ino != ino)
			continue;
		if (!live_held(l) && !l->dirty && !l->moving) {
			*pp = l->next;
			live_free_one(l);
			t->nr--;
		}
		return;
	}
}

bool live_dirty(struct ns *ns, uint64_t ino)
{
	const struct live *l = live_find(ns, ino);

	return l && l->dirty;
}

/* The dirty ones of an earlier run. */
int live_load(struct ns *ns)
{
	struct scan s;
	struct key k;
	int rc;

	rc = scan_begin(ns, &s, key_table(&k, 'W'));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		struct store_key sk = scan_key(&s);
		struct live *l;

		if (sk.len != 9) {
			rc = -EUCLEAN;
			break;
		}
		l = live_get(ns, key_num_at(sk, 0));
		if (!l)
			rc = -ENOMEM;
		else
			l->dirty = true;
	}
	return scan_end(&s, rc);
}

void live_free(struct ns *ns)
{
	struct live_table *t = &ns->live;

	for (size_t i = 0; i < t->size; i++) {
		struct live *l = t->buckets[i], *next;

		for (; l; l = next) {
			next = l->next;
			live_free_one(l);
		}
	}
	free(t->buckets);
	*t = (struct live_table){ 0 };
}

/* A generation above all before it and above @at_least. */
uint64_t live_generation(struct ns *ns, uint64_t at_least)
{
	if (ns->last_generation < at_least)
		ns->last_generation = at_least;
	return ++ns->last_generation;
}

/* The latest of the layouts that are outside; @none where there is none. */
uint64_t live_generation_out(struct ns *ns, uint64_t ino, uint64_t none)
{
	struct live *l = live_find(ns, ino);
	struct hold *h = NULL;
	uint64_t last = 0;

	while (l && (h = hold_next(l, h))) {
		if (h->out && h->generation > last)
			last = h->generation;
	}
	return last ? last : none;
}

/* Did this daemon grant it? */
bool live_own(const struct ns *ns, uint64_t generation)
{
	return generation >= ns->first_generation;
}
