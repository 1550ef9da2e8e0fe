// SPDX-License-Identifier: Apache-2.0
/*
 * Numbers that are never reused. A range is reserved durably before any of it
 * is used: the next one is asked for in an ordinary transaction while half of
 * the present one is left, so that waiting for it is rare.
 */
#include <errno.h>
#include <string.h>

#include "ns_impl.h"

#define RANGE	8192

static struct key *number_key(struct key *k, const char *name)
{
	return key_bytes(key_begin(k, 'A'), name, strlen(name));
}

/* -EUCLEAN: there must be one. */
int number_read_limit(struct ns *ns, const char *name, uint64_t *limit)
{
	Orchfs__Store__Counter *m;
	struct store_key v;
	struct key k;
	void *p;
	int rc;

	rc = ns_get(ns, number_key(&k, name), &v);
	if (rc)
		return rc == -ENOENT ? -EUCLEAN : rc;
	rc = record_unpack(ns->scratch, &orchfs__store__counter__descriptor, v,
			   &p);
	if (rc)
		return rc;
	m = p;
	if (!m->limit)
		return -EUCLEAN;
	*limit = m->limit;
	return 0;
}

/* Into the batch. */
int number_put_limit(struct ns *ns, const char *name, uint64_t limit)
{
	Orchfs__Store__Counter m = ORCHFS__STORE__COUNTER__INIT;
	struct key k;
	size_t len;
	void *p;
	int rc;

	m.limit = limit;
	rc = record_pack(ns->scratch, &m.base, &p, &len);
	if (rc)
		return rc;
	store_put(ns->batch, key_of(number_key(&k, name)), p, len);
	return 0;
}

int number_load(struct ns *ns, struct number *n, const char *name)
{
	memset(n, 0, sizeof(*n));
	n->name = name;
	return number_read_limit(ns, name, &n->limit);
}

/* A transaction and a barrier of its own. */
static int reserve_now(struct ns *ns, const char *name, uint64_t from,
		       uint64_t count)
{
	uint64_t seq;
	int rc;

	if (count > UINT64_MAX / 4 - from)
		return -ENOSPC;
	store_batch_clear(ns->batch);
	if (!strcmp(name, ns->deletion.name))
		store_batch_urgent(ns->batch);
	rc = number_put_limit(ns, name, from + count);
	if (!rc)
		rc = store_commit(ns->batch, &seq);
	if (!rc)
		rc = store_barrier(ns->st);
	store_batch_clear(ns->batch);
	return rc;
}

/**
 * number_ensure() - have that many ready. Before txn_begin() only: it may
 * commit a transaction.
 */
int number_ensure(struct ns *ns, struct number *n, uint64_t count)
{
	int rc;

	if (n->end - n->next >= count)
		return 0;
	if (n->ahead_end) {
		if (store_durable(ns->st) < n->ahead_txn) {
			rc = store_barrier(ns->st);
			if (rc)
				return rc;
		}
		n->next = n->ahead;
		n->end = n->ahead_end;
		n->ahead = n->ahead_end = 0;
		if (n->end - n->next >= count)
			return 0;
	}
	if (count < RANGE)
		count = RANGE;
	rc = reserve_now(ns, n->name, n->limit, count);
	if (rc)
		return rc;
	n->next = n->limit;
	n->end = n->limit + count;
	n->limit = n->end;
	return 0;
}

/* After number_ensure(). */
uint64_t number_take(struct number *n)
{
	n->used = true;
	return n->next++;
}

/* Ask for the next range in this transaction; *limit: its end, 0 if not. */
void number_refill(struct txn *t, struct number *n, uint64_t *limit)
{
	*limit = 0;
	if (!n->used || n->ahead_end || n->end - n->next > RANGE / 2)
		return;
	if (number_put_limit(t->ns, n->name, n->limit + RANGE))
		t->error = -ENOMEM;
	else
		*limit = n->limit + RANGE;
}

void number_committed(struct number *n, uint64_t limit, uint64_t txn)
{
	if (!limit)
		return;
	n->ahead = n->limit;
	n->ahead_end = limit;
	n->ahead_txn = txn;
	n->limit = limit;
}

int ns_reserve(struct ns *ns, const char *what, uint64_t n, uint64_t *first)
{
	uint64_t from;
	int rc;

	if (!n)
		return -EINVAL;
	arena_reset(ns->scratch);
	if (!strcmp(what, "ino")) {
		from = ns->ino.limit;
	} else if (!strcmp(what, "instance") || !strcmp(what, "volume")) {
		rc = number_read_limit(ns, what, &from);
		if (rc)
			return rc;
	} else {
		return -EINVAL;
	}
	rc = reserve_now(ns, what, from, n);
	if (rc)
		return rc;
	if (!strcmp(what, "ino"))
		ns->ino.limit = from + n;
	*first = from;
	return 0;
}
