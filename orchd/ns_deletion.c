// SPDX-License-Identifier: Apache-2.0
/*
 * Backing files to unlink. A file goes only after the transaction that ordered
 * it is durable; which one that was is kept in memory for the latest, all
 * that a start finds are durable.
 */
#include <errno.h>
#include <string.h>

#include "ns_impl.h"

int deletion_add(struct txn *t, uint64_t ino, const struct instance *n)
{
	Orchfs__Store__Deletion m = ORCHFS__STORE__DELETION__INIT;
	struct number *num = &t->ns->deletion;
	struct key k;

	if (num->next == num->end)
		return -EAGAIN;
	m.volume = n->volume;
	m.ino = ino;
	m.version = n->version;
	m.instance = n->instance;
	txn_put_msg(t, key_num(&k, 'D', number_take(num)), &m.base);
	t->deletions = true;
	return 0;
}

void deletion_committed(struct txn *t)
{
	struct deletion_log *l = &t->ns->deletions;
	const uint64_t durable = store_durable(t->ns->st);
	size_t old = 0;

	if (!t->deletions)
		return;
	while (old < l->nr && l->mark[old].txn <= durable)
		l->durable_end = l->mark[old++].end;
	l->nr -= old;
	memmove(l->mark, l->mark + old, l->nr * sizeof(l->mark[0]));
	/* Full: the last two become one, of the later transaction. */
	if (l->nr == DELETION_MARKS)
		l->nr--;
	l->mark[l->nr].end = t->ns->deletion.next;
	l->mark[l->nr].txn = t->seq;
	l->nr++;
}

/* 0: of an earlier run, or durable for long. */
static uint64_t made_by(const struct ns *ns, uint64_t seq)
{
	const struct deletion_log *l = &ns->deletions;

	if (seq < l->durable_end)
		return 0;
	for (size_t i = 0; i < l->nr; i++) {
		if (seq < l->mark[i].end)
			return l->mark[i].txn;
	}
	return 0;
}

static int decode(struct ns *ns, struct scan *s, struct ns_deletion *out)
{
	Orchfs__Store__Deletion *m;
	void *p;
	int rc;

	if (scan_key(s).len != 9)
		return -EUCLEAN;
	rc = record_unpack(ns->scratch, &orchfs__store__deletion__descriptor,
			   scan_value(s), &p);
	if (rc)
		return rc;
	m = p;
	*out = (struct ns_deletion){
		.seq = key_num_at(scan_key(s), 0),
		.volume = m->volume,
		.ino = m->ino,
		.version = m->version,
		.instance = m->instance,
	};
	out->txn = made_by(ns, out->seq);
	return 0;
}

/* All of one volume. */
int deletion_drop_volume(struct txn *t, uint32_t id)
{
	struct ns_deletion d;
	struct scan s;
	struct key k;
	int rc;

	rc = scan_begin(t->ns, &s, key_table(&k, 'D'));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		rc = decode(t->ns, &s, &d);
		if (!rc && d.volume == id)
			store_del(t->b, scan_key(&s));
	}
	return scan_end(&s, rc);
}

int ns_deletions(struct ns *ns, uint64_t after, struct ns_deletion *out,
		 size_t max)
{
	struct key lo, hi;
	struct scan s;
	size_t n = 0;
	int rc;

	if (after == UINT64_MAX)
		return 0;
	arena_reset(ns->scratch);
	key_num(&lo, 'D', after + 1);
	key_after(key_table(&hi, 'D'));
	rc = scan_from(ns, &s, &lo, &hi);
	if (rc)
		return rc;
	for (; scan_valid(&s) && n < max && n < INT32_MAX && !rc;
	     scan_next(&s)) {
		rc = decode(ns, &s, &out[n]);
		if (!rc)
			n++;
	}
	rc = scan_end(&s, rc);
	return rc ? rc : (int)n;
}

uint64_t ns_deletion_last(const struct ns *ns)
{
	return ns->deletion.next - 1;
}

int ns_deletions_done(struct ns *ns, const uint64_t *seqs, size_t nr)
{
	struct txn t;
	struct key k;

	if (!nr)
		return 0;
	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	txn_urgent(&t);
	for (size_t i = 0; i < nr; i++)
		txn_del(&t, key_num(&k, 'D', seqs[i]));
	return txn_commit(&t, NULL);
}
