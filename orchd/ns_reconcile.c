// SPDX-License-Identifier: Apache-2.0
/*
 * After attach: what the kernel still holds, against what the store has.
 * Sessions that ended lose their records, orphans that nobody holds are
 * collected, dirty instances whose layout nobody holds are settled.
 *
 * An answer may still be on its way to the kernel when it lists its handles,
 * so two things stay although they are not listed: orphans that a live slot
 * names, and layouts that this very daemon granted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ns_impl.h"

#define BATCH		256
#define INSTANCES	16

/* Numbers, to be sorted and searched. */
struct numbers {
	uint64_t *p;
	size_t nr, size;
};

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int add(struct numbers *n, uint64_t x)
{
	if (n->nr == n->size) {
		size_t size = n->size ? n->size * 2 : 64;
		uint64_t *p = realloc(n->p, size * sizeof(*p));

		if (!p)
			return -ENOMEM;
		n->p = p;
		n->size = size;
	}
	n->p[n->nr++] = x;
	return 0;
}

static void sort(struct numbers *n)
{
	if (n->nr)
		qsort(n->p, n->nr, sizeof(*n->p), compare);
}

static bool has(const struct numbers *n, uint64_t x)
{
	return n->nr && bsearch(&x, n->p, n->nr, sizeof(*n->p), compare);
}

/* The first numbers of a table's keys that are in neither list. */
static int collect(struct ns *ns, char table, const struct numbers *but,
		   const struct numbers *but2, struct numbers *out)
{
	struct scan s;
	struct key k;
	int rc;

	rc = scan_begin(ns, &s, key_table(&k, table));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		uint64_t x = key_num_at(scan_key(&s), 0);

		if (scan_key(&s).len != 9)
			rc = -EUCLEAN;
		else if (!has(but, x) && !has(but2, x))
			rc = add(out, x);
	}
	return scan_end(&s, rc);
}

typedef int (*each_fn)(struct txn *t, uint64_t x);

/* Call fn for all of them, BATCH in one transaction. */
static int in_batches(struct ns *ns, const struct numbers *n, each_fn fn)
{
	for (size_t done = 0; done < n->nr; done += BATCH) {
		struct txn t;
		int rc;

		arena_reset(ns->scratch);
		rc = number_ensure(ns, &ns->deletion, BATCH * INSTANCES);
		if (rc)
			return rc;
		txn_begin(&t, ns);
		txn_urgent(&t);
		for (size_t i = done; i < n->nr && i < done + BATCH && !rc;
		     i++)
			rc = fn(&t, n->p[i]);
		if (rc) {
			txn_abort(&t);
			return rc;
		}
		rc = txn_commit(&t, NULL);
		if (rc)
			return rc;
	}
	return 0;
}

static int end_sessions(struct ns *ns, const struct numbers *live)
{
	static const struct numbers none;
	struct numbers dead = { 0 };
	int rc;

	rc = collect(ns, 'M', live, &none, &dead);
	if (!rc)
		rc = in_batches(ns, &dead, session_delete);
	for (size_t i = 0; i < dead.nr && !rc; i++)
		session_forget(ns, dead.p[i]);
	free(dead.p);
	return rc;
}

/* Inodes that an answer names which may be asked for again. */
static int named_by_slots(struct ns *ns, struct numbers *out)
{
	Orchfs__Store__Slot *m;
	struct scan s;
	struct key k;
	void *p;
	int rc;

	rc = scan_begin(ns, &s, key_table(&k, 'T'));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		rc = record_unpack(ns->scratch,
				   &orchfs__store__slot__descriptor,
				   scan_value(&s), &p);
		if (rc)
			break;
		m = p;
		if (m->node)
			rc = add(out, m->node);
		if (!rc && m->node2)
			rc = add(out, m->node2);
		arena_reset(ns->scratch);
	}
	sort(out);
	return scan_end(&s, rc);
}

static int remove_orphan(struct txn *t, uint64_t ino)
{
	struct tnode *n;
	int rc;

	rc = txn_inode(t, ino, &n);
	if (rc == -ENOENT) {
		orphan_del(t, ino);
		return 0;
	}
	/* One that has names is for fsck to explain. */
	if (rc || n->i.nlink)
		return rc;
	return inode_remove(t, n);
}

static int collect_orphans(struct ns *ns, const struct numbers *held)
{
	struct numbers named = { 0 }, gone = { 0 };
	int rc;

	rc = named_by_slots(ns, &named);
	if (!rc)
		rc = collect(ns, 'O', held, &named, &gone);
	if (!rc)
		rc = in_batches(ns, &gone, remove_orphan);
	free(named.p);
	free(gone.p);
	return rc;
}

static int settle(struct txn *t, uint64_t ino)
{
	struct tnode *n;
	int rc;

	rc = txn_inode(t, ino, &n);
	if (rc == -ENOENT)
		return txn_set_dirty(t, ino, false);
	return rc ? rc : node_settle(t, n, true);
}

static int load_handles(struct ns *ns, const struct ns_handle *handles,
			size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		const struct ns_handle *h = &handles[i];
		struct live *l;

		if (!h->generation)
			continue;
		l = live_get(ns, h->ino);
		if (!l)
			return -ENOMEM;
		l->out = true;
		if (l->generation < h->generation)
			l->generation = h->generation;
		if (ns->last_generation < h->generation)
			ns->last_generation = h->generation;
	}
	return 0;
}

/* Is this layout no longer outside? */
static bool came_back(struct ns *ns, const struct live *l,
		      const struct numbers *layouts, bool any_session)
{
	if (!l->out)
		return true;
	if (!any_session)
		return true;
	return !has(layouts, l->ino) && !live_own(ns, l->generation);
}

static int settle_returned(struct ns *ns, const struct numbers *layouts,
			   bool any_session)
{
	struct numbers dirty = { 0 }, idle = { 0 };
	int rc = 0;

	for (size_t b = 0; b < ns->live.size && !rc; b++) {
		struct live *l = ns->live.buckets[b];

		for (; l && !rc; l = l->next) {
			if (!came_back(ns, l, layouts, any_session))
				continue;
			l->out = false;
			rc = add(l->dirty ? &dirty : &idle, l->ino);
		}
	}
	if (!rc)
		rc = in_batches(ns, &dirty, settle);
	for (size_t i = 0; i < idle.nr; i++)
		live_drop_idle(ns, idle.p[i]);
	free(dirty.p);
	free(idle.p);
	return rc;
}

int ns_reconcile(struct ns *ns, const uint64_t *sessions, size_t nr_sessions,
		 const struct ns_handle *handles, size_t nr_handles)
{
	struct numbers live = { 0 }, held = { 0 }, layouts = { 0 };
	int rc = 0;

	for (size_t i = 0; i < nr_sessions && !rc; i++)
		rc = add(&live, sessions[i]);
	for (size_t i = 0; i < nr_handles && !rc; i++) {
		rc = add(&held, handles[i].ino);
		if (!rc && handles[i].generation)
			rc = add(&layouts, handles[i].ino);
	}
	sort(&live);
	sort(&held);
	sort(&layouts);
	arena_reset(ns->scratch);
	if (!rc)
		rc = end_sessions(ns, &live);
	if (!rc)
		rc = collect_orphans(ns, &held);
	if (!rc)
		rc = load_handles(ns, handles, nr_handles);
	if (!rc)
		rc = settle_returned(ns, &layouts, nr_sessions > 0);
	free(live.p);
	free(held.p);
	free(layouts.p);
	return rc;
}
