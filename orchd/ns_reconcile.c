// SPDX-License-Identifier: Apache-2.0
/*
 * After attach: what a node's kernel still holds, against what the store has.
 * Sessions that it doesn't list lose their records, orphans that no node holds are
 * collected, dirty instances that no node may write are settled.
 *
 * An answer may still be on its way to the kernel when it lists its handles,
 * so two things stay although they are not listed: orphans that a live slot of
 * a kernel names, and layouts that this very daemon granted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ns_impl.h"
#include "ns_move.h"

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

typedef int (*key_fn)(struct ns *ns, uint64_t x, struct store_key v,
		      void *ctx);

/* All keys of a table that are one number. */
static int each_key(struct ns *ns, char table, key_fn fn, void *ctx)
{
	struct scan s;
	struct key k;
	int rc;

	rc = scan_begin(ns, &s, key_table(&k, table));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		if (scan_key(&s).len != 9)
			rc = -EUCLEAN;
		else
			rc = fn(ns, key_num_at(scan_key(&s), 0),
				scan_value(&s), ctx);
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

struct dead_sessions {
	const struct numbers *live;
	struct numbers dead;
};

static int see_session(struct ns *ns, uint64_t id, struct store_key v,
		       void *ctx)
{
	struct dead_sessions *d = ctx;
	void *p;
	int rc;

	if (has(d->live, id))
		return 0;
	rc = record_unpack(ns->scratch, &orchfs__store__session__descriptor,
			   v, &p);
	if (!rc && ((Orchfs__Store__Session *)p)->node == ns->origin)
		rc = add(&d->dead, id);
	arena_reset(ns->scratch);
	return rc;
}

static int end_sessions(struct ns *ns, const struct numbers *live)
{
	struct dead_sessions d = { .live = live };
	int rc;

	rc = each_key(ns, 'M', see_session, &d);
	if (!rc)
		rc = in_batches(ns, &d.dead, session_delete);
	for (size_t i = 0; i < d.dead.nr && !rc; i++)
		session_forget(ns, d.dead.p[i]);
	free(d.dead.p);
	return rc;
}

/* May requests of that session come again? */
static int asks_again(struct ns *ns, uint64_t session, bool *does)
{
	uint32_t of = 0;
	int rc = session_origin(ns, session, &of);
	const bool *asks = rc ? NULL : cluster_asks(ns, of);

	*does = asks && *asks;
	return rc == -ENOENT ? 0 : rc;
}

/* Inodes that an answer names which a node may ask for again. */
static int named_by_slots(struct ns *ns, struct numbers *out)
{
	Orchfs__Store__Slot *m;
	uint64_t session = 0;
	bool again = false;
	struct scan s;
	struct key k;
	int rc;
	void *p;

	rc = scan_begin(ns, &s, key_table(&k, 'T'));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		if (session != key_num_at(scan_key(&s), 0)) {
			session = key_num_at(scan_key(&s), 0);
			rc = asks_again(ns, session, &again);
		}
		if (rc || !again)
			continue;
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

/* What @origin doesn't list it has no layout of. */
static bool in_use(struct live *l, uint32_t origin)
{
	for (struct hold *h = NULL; (h = hold_next(l, h)); ) {
		if (h->nameless || (h->out && h->origin != origin))
			return true;
	}
	return false;
}

struct orphans {
	const struct numbers *held;
	struct numbers gone;
};

/* A node that lists one tells when it is done with it. */
static int see_orphan(struct ns *ns, uint64_t ino, struct store_key v,
		      void *ctx)
{
	struct orphans *o = ctx;
	struct live *l = live_find(ns, ino);
	struct hold *h;

	(void)v;
	if (has(o->held, ino)) {
		l = live_get(ns, ino);
		h = l ? hold_get(ns, l, ns->origin) : NULL;
		if (!h)
			return -ENOMEM;
		h->nameless = true;
		return 0;
	}
	if (l && in_use(l, ns->origin))
		return 0;
	return add(&o->gone, ino);
}

/* Who asks for an answer again that names one hears of it then. */
static int spare_named(struct ns *ns, struct numbers *gone)
{
	struct numbers named = { 0 };
	size_t nr = 0;
	int rc;

	rc = named_by_slots(ns, &named);
	for (size_t i = 0; i < gone->nr; i++) {
		if (!has(&named, gone->p[i]))
			gone->p[nr++] = gone->p[i];
	}
	gone->nr = nr;
	free(named.p);
	return rc;
}

static int collect_orphans(struct ns *ns, const struct numbers *held)
{
	struct orphans o = { .held = held };
	int rc;

	rc = each_key(ns, 'O', see_orphan, &o);
	/* slots are read for them alone: there are many */
	if (!rc && o.gone.nr && !ns->awaited) {
		rc = spare_named(ns, &o.gone);
		if (!rc)
			rc = in_batches(ns, &o.gone, remove_orphan);
	}
	free(o.gone.p);
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

/* Layouts that it has, and what they were granted for isn't told. */
static int load_handles(struct ns *ns, const struct ns_handle *handles,
			size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		const struct ns_handle *n = &handles[i];
		struct hold *h;
		struct live *l;

		if (!n->generation)
			continue;
		l = live_get(ns, n->ino);
		h = l ? hold_get(ns, l, ns->origin) : NULL;
		if (!h)
			return -ENOMEM;
		h->written |= !h->out;
		h->out = true;
		l->shared |= ns->origin != 0;
		if (h->generation < n->generation)
			h->generation = n->generation;
		if (ns->last_generation < n->generation)
			ns->last_generation = n->generation;
	}
	return 0;
}

/* Is the layout of who tells no longer outside? */
static bool came_back(struct ns *ns, const struct hold *h,
		      const struct numbers *layouts, uint64_t ino,
		      bool any_session)
{
	if (!h->out || !any_session)
		return true;
	return !has(layouts, ino) && !live_own(ns, h->generation);
}

/* What a node doesn't list it holds no more; or it holds, and has told so. */
static void drop_holds(struct ns *ns, const struct numbers *held,
		       const struct numbers *layouts, bool any_session)
{
	for (size_t b = 0; b < ns->live.size; b++) {
		struct live *l = ns->live.buckets[b];

		for (; l; l = l->next) {
			struct hold *h = hold_find(l, ns->origin);

			if (!h)
				continue;
			if (came_back(ns, h, layouts, l->ino, any_session))
				h->out = h->written = false;
			if (!has(held, l->ino))
				h->nameless = false;
		}
	}
}

/* The dirty ones that no node may write, and those that are of no interest. */
static int settle_returned(struct ns *ns)
{
	struct numbers dirty = { 0 }, idle = { 0 };
	int rc = 0;

	for (size_t b = 0; b < ns->live.size && !rc; b++) {
		struct live *l = ns->live.buckets[b];

		for (; l && !rc; l = l->next) {
			if (l->dirty && !live_written(l) && !ns->awaited)
				rc = add(&dirty, l->ino);
			else if (!l->dirty)
				rc = add(&idle, l->ino);
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

/*
 * It has told what it holds: settle and collect what is nobody's now.
 * @anew: it held nothing before, so nothing has become so. Where others are still
 * awaited nothing is settled either, and all that lives needn't be looked at:
 * after a start each node comes once.
 */
static int told(struct ns *ns, const struct numbers *held,
		const struct numbers *layouts, bool any_session, bool anew)
{
	bool *asks = cluster_asks(ns, ns->origin);
	int rc;

	if (asks)
		*asks = any_session;
	if (!anew)
		drop_holds(ns, held, layouts, any_session);
	cluster_node_told(ns, ns->origin);
	rc = collect_orphans(ns, held);
	if (rc || (anew && ns->awaited))
		return rc;
	return settle_returned(ns);
}

int ns_asked(struct ns *ns, uint32_t origin)
{
	const struct numbers none = { 0 };
	bool *asks = cluster_asks(ns, origin);

	if (!asks || !*asks)
		return 0;
	*asks = false;
	arena_reset(ns->scratch);
	ns->origin = origin;
	return collect_orphans(ns, &none);
}

int ns_node_gone(struct ns *ns, uint32_t origin)
{
	const struct numbers none = { 0 };

	arena_reset(ns->scratch);
	ns->origin = origin;
	return told(ns, &none, &none, false, false);
}

int ns_settle_all(struct ns *ns)
{
	arena_reset(ns->scratch);
	return settle_returned(ns);
}

int ns_reconcile(struct ns *ns, uint32_t origin, const uint64_t *sessions,
		 size_t nr_sessions, const struct ns_handle *handles,
		 size_t nr_handles)
{
	struct numbers live = { 0 }, held = { 0 }, layouts = { 0 };
	const bool anew = nr_sessions && !hold_any(ns, origin);
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
	ns->origin = origin;
	if (!rc)
		rc = end_sessions(ns, &live);
	if (!rc)
		rc = load_handles(ns, handles, nr_handles);
	if (!rc)
		rc = told(ns, &held, &layouts, nr_sessions > 0, anew);
	free(live.p);
	free(held.p);
	free(layouts.p);
	return rc;
}

int ns_nameless(struct ns *ns, uint32_t origin, ns_attr_fn fn, void *ctx)
{
	struct orchfs_attr a;
	struct inode i;
	int rc = 0;

	ns->origin = origin;
	for (size_t b = 0; b < ns->live.size && !rc; b++) {
		struct live *l = ns->live.buckets[b];

		for (; l && !rc; l = l->next) {
			const struct hold *h = hold_find(l, origin);

			if (!h || !h->nameless)
				continue;
			arena_reset(ns->scratch);
			rc = inode_load(ns, l->ino, &i);
			if (!rc)
				rc = inode_fill(ns, &i, &a);
			if (rc == -NS_PARKED) {	/* nobody asks for its size */
				inode_attr(ns, &i, &a);
				rc = 0;
			}
			if (!rc)
				rc = fn(ctx, &a);
			else if (rc == -ENOENT)
				rc = 0;
		}
	}
	return rc;
}

void ns_held(struct ns *ns, uint32_t origin, struct ns_held *out)
{
	memset(out, 0, sizeof(*out));
	for (size_t b = 0; b < ns->live.size; b++) {
		struct live *l = ns->live.buckets[b];

		for (; l; l = l->next) {
			const struct hold *h = hold_find(l, origin);

			out->layouts += h && h->out;
			out->written += h && h->out && h->written;
			out->nameless += h && h->nameless;
		}
	}
}
