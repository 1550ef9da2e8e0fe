// SPDX-License-Identifier: Apache-2.0
/*
 * The store in memory: a sorted array of counted records. It is the model
 * that tests hold RocksDB against, so it is simple and not fast: an insert
 * moves pointers, an iterator and a snapshot copy those that they show.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_impl.h"

struct rec {
	atomic_uint refs;
	size_t klen, vlen;
	uint8_t data[];		/* key, value */
};

struct vec {
	struct rec **p;
	size_t nr, size;
};

struct mem {
	pthread_mutex_t lock;	/* recs */
	struct vec recs;
};

struct store_snap {
	struct vec recs;
};

struct mem_iter {
	struct store_iter base;
	struct vec recs;
	size_t pos;
};

static void rec_put(struct rec *r)
{
	if (atomic_fetch_sub(&r->refs, 1) == 1)
		free(r);
}

static void vec_release(struct vec *v)
{
	for (size_t i = 0; i < v->nr; i++)
		rec_put(v->p[i]);
	free(v->p);
}

static int compare(const struct rec *r, struct store_key k)
{
	size_t n = r->klen < k.len ? r->klen : k.len;
	int c = n ? memcmp(r->data, k.p, n) : 0;

	if (c)
		return c;
	return r->klen < k.len ? -1 : r->klen > k.len;
}

/* Index of the first record that is not below k. */
static size_t lower_bound(const struct vec *v, struct store_key k)
{
	size_t lo = 0, hi = v->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (compare(v->p[mid], k) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool found(const struct vec *v, size_t i, struct store_key k)
{
	return i < v->nr && !compare(v->p[i], k);
}

static int vec_reserve(struct vec *v, size_t more)
{
	size_t size = v->nr + more;
	struct rec **p;

	if (size <= v->size)
		return 0;
	size += size / 2;
	p = realloc(v->p, size * sizeof(struct rec *));
	if (!p)
		return -ENOMEM;
	v->p = p;
	v->size = size;
	return 0;
}

static int vec_copy(struct vec *to, const struct vec *from, size_t lo,
		    size_t hi)
{
	if (lo >= hi)
		return 0;
	if (vec_reserve(to, hi - lo))
		return -ENOMEM;
	for (size_t i = lo; i < hi; i++) {
		atomic_fetch_add(&from->p[i]->refs, 1);
		to->p[to->nr++] = from->p[i];
	}
	return 0;
}

static int mem_open(struct store *st, const char *db,
		    const struct store_opts *o, const char **why)
{
	struct mem *m = calloc(1, sizeof(*m));

	(void)db;
	(void)o;
	(void)why;
	if (!m)
		return -ENOMEM;
	pthread_mutex_init(&m->lock, NULL);
	st->db = m;
	return 0;
}

static void mem_close(struct store *st)
{
	struct mem *m = st->db;

	vec_release(&m->recs);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static int vec_get(const struct vec *v, struct store_key k, void **val,
		   size_t *len)
{
	size_t i = lower_bound(v, k);
	const struct rec *r;
	void *copy;

	if (!found(v, i, k))
		return -ENOENT;
	r = v->p[i];
	copy = malloc(r->vlen + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, r->data + r->klen, r->vlen);
	*val = copy;
	*len = r->vlen;
	return 0;
}

static int mem_get(struct store *st, struct store_snap *sn,
		   struct store_key k, void **val, size_t *len)
{
	struct mem *m = st->db;
	int rc;

	if (sn)
		return vec_get(&sn->recs, k, val, len);
	pthread_mutex_lock(&m->lock);
	rc = vec_get(&m->recs, k, val, len);
	pthread_mutex_unlock(&m->lock);
	return rc;
}

static struct rec *rec_new(struct store_key k, struct store_key v)
{
	struct rec *r = malloc(sizeof(*r) + k.len + v.len);

	if (!r)
		return NULL;
	atomic_init(&r->refs, 1);
	r->klen = k.len;
	r->vlen = v.len;
	memcpy(r->data, k.p, k.len);
	if (v.len)
		memcpy(r->data + k.len, v.p, v.len);
	return r;
}

/* The new records of a batch in its order, NULL for a delete. */
static int make_records(const struct store_buf *ops, struct vec *out)
{
	struct store_key k, v;
	size_t pos = 0;
	bool del;

	while (store_buf_next(ops, &pos, &k, &v, &del)) {
		struct rec *r = NULL;

		if (vec_reserve(out, 1))
			return -ENOMEM;
		if (!del) {
			r = rec_new(k, v);
			if (!r)
				return -ENOMEM;
		}
		out->p[out->nr++] = r;
	}
	return 0;
}

static void apply(struct vec *v, struct store_key k, struct rec *r)
{
	size_t i = lower_bound(v, k);

	if (found(v, i, k)) {
		rec_put(v->p[i]);
		if (r) {
			v->p[i] = r;
			return;
		}
		v->nr--;
		memmove(v->p + i, v->p + i + 1, (v->nr - i) * sizeof(*v->p));
	} else if (r) {
		memmove(v->p + i + 1, v->p + i, (v->nr - i) * sizeof(*v->p));
		v->p[i] = r;
		v->nr++;
	}
}

/* Everything that can fail comes first. */
static int mem_write(struct store *st, const struct store_buf *ops)
{
	struct mem *m = st->db;
	struct vec made = { 0 };
	struct store_key k, v;
	size_t pos = 0, i = 0;
	bool del;
	int rc;

	rc = make_records(ops, &made);
	pthread_mutex_lock(&m->lock);
	if (!rc)
		rc = vec_reserve(&m->recs, made.nr);
	if (!rc) {
		while (store_buf_next(ops, &pos, &k, &v, &del))
			apply(&m->recs, k, made.p[i++]);
	}
	pthread_mutex_unlock(&m->lock);
	for (; i < made.nr; i++) {
		if (made.p[i])
			rec_put(made.p[i]);
	}
	free(made.p);
	return rc;
}

static int mem_sync(struct store *st)
{
	(void)st;
	return 0;
}

static struct store_snap *mem_snapshot(struct store *st)
{
	struct mem *m = st->db;
	struct store_snap *sn = calloc(1, sizeof(*sn));
	int rc;

	if (!sn)
		return NULL;
	pthread_mutex_lock(&m->lock);
	rc = vec_copy(&sn->recs, &m->recs, 0, m->recs.nr);
	pthread_mutex_unlock(&m->lock);
	if (rc) {
		free(sn);
		return NULL;
	}
	return sn;
}

static void mem_snapshot_free(struct store *st, struct store_snap *sn)
{
	(void)st;
	vec_release(&sn->recs);
	free(sn);
}

static struct store_iter *mem_scan(struct store *st, struct store_snap *sn,
				   struct store_key lo, struct store_key hi)
{
	struct mem *m = st->db;
	struct mem_iter *it = calloc(1, sizeof(*it));
	const struct vec *from = sn ? &sn->recs : &m->recs;
	int rc;

	if (!it)
		return NULL;
	it->base.st = st;
	pthread_mutex_lock(&m->lock);
	rc = vec_copy(&it->recs, from, lower_bound(from, lo),
		      hi.len ? lower_bound(from, hi) : from->nr);
	pthread_mutex_unlock(&m->lock);
	if (rc) {
		free(it);
		return NULL;
	}
	return &it->base;
}

static bool mem_valid(const struct store_iter *base)
{
	const struct mem_iter *it = (const void *)base;

	return it->pos < it->recs.nr;
}

static void mem_next(struct store_iter *base)
{
	struct mem_iter *it = (void *)base;

	it->pos++;
}

static struct store_key mem_key(const struct store_iter *base)
{
	const struct mem_iter *it = (const void *)base;
	const struct rec *r = it->recs.p[it->pos];

	return (struct store_key){ r->data, r->klen };
}

static struct store_key mem_value(const struct store_iter *base)
{
	const struct mem_iter *it = (const void *)base;
	const struct rec *r = it->recs.p[it->pos];

	return (struct store_key){ r->data + r->klen, r->vlen };
}

static int mem_error(const struct store_iter *base)
{
	(void)base;
	return 0;
}

static void mem_iter_free(struct store_iter *base)
{
	struct mem_iter *it = (void *)base;

	vec_release(&it->recs);
	free(it);
}

const struct store_ops store_mem_ops = {
	.name = "memory",
	.open = mem_open,
	.close = mem_close,
	.get = mem_get,
	.write = mem_write,
	.sync = mem_sync,
	.snapshot = mem_snapshot,
	.snapshot_free = mem_snapshot_free,
	.scan = mem_scan,
	.valid = mem_valid,
	.next = mem_next,
	.key = mem_key,
	.value = mem_value,
	.error = mem_error,
	.iter_free = mem_iter_free,
};
