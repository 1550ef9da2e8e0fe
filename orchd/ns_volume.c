// SPDX-License-Identifier: Apache-2.0
/* Records of volumes and of their pools. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ns_impl.h"

static struct key *volume_key(struct key *k, uint32_t id)
{
	return key_u32(key_begin(k, 'L'), id);
}

static struct key *pool_key(struct key *k, uint32_t volume, uint64_t first)
{
	return key_u64(key_u32(key_begin(k, 'P'), volume), first);
}

static uint32_t key_volume(struct store_key k)
{
	const uint8_t *b = k.p;

	return (uint32_t)b[1] << 24 | (uint32_t)b[2] << 16 |
	       (uint32_t)b[3] << 8 | b[4];
}

const struct ns_volume *volume_find(const struct ns *ns, uint32_t id)
{
	for (size_t i = 0; i < ns->nr_volumes; i++) {
		if (ns->volumes[i].id == id)
			return &ns->volumes[i];
	}
	return NULL;
}

/* 0 also where there is no such volume. */
uint32_t volume_home(const struct ns *ns, uint32_t id)
{
	const struct ns_volume *v = volume_find(ns, id);

	return v ? v->home : 0;
}

/* Is any of them far? */
bool volumes_far(const struct ns *ns)
{
	for (size_t i = 0; i < ns->nr_volumes; i++) {
		if (ns->volumes[i].home)
			return true;
	}
	return false;
}

static int grow_volumes(struct ns *ns)
{
	struct ns_volume *p;

	p = realloc(ns->volumes, (ns->nr_volumes + 1) * sizeof(*p));
	if (!p)
		return -ENOMEM;
	ns->volumes = p;
	return 0;
}

static int decode(struct ns *ns, struct store_key k, struct store_key v,
		  struct ns_volume *out)
{
	Orchfs__Store__Volume *m;
	void *p;
	int rc;

	if (k.len != 5)
		return -EUCLEAN;
	rc = record_unpack(ns->scratch, &orchfs__store__volume__descriptor, v,
			   &p);
	if (rc)
		return rc;
	m = p;
	if (m->uuid.len != sizeof(out->uuid) || m->tier > UINT8_MAX ||
	    strlen(m->name) >= sizeof(out->name) ||
	    strlen(m->path) >= sizeof(out->path))
		return -EUCLEAN;
	memset(out, 0, sizeof(*out));
	out->id = key_volume(k);
	strcpy(out->name, m->name);
	strcpy(out->path, m->path);
	memcpy(out->uuid, m->uuid.data, sizeof(out->uuid));
	out->tier = m->tier;
	out->reserve = m->reserve;
	out->draining = m->draining;
	out->home = m->home;
	return 0;
}

int volumes_load(struct ns *ns)
{
	struct scan s;
	struct key k;
	int rc;

	rc = scan_begin(ns, &s, key_table(&k, 'L'));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		rc = grow_volumes(ns);
		if (!rc)
			rc = decode(ns, scan_key(&s), scan_value(&s),
				    &ns->volumes[ns->nr_volumes]);
		if (!rc)
			ns->nr_volumes++;
	}
	return scan_end(&s, rc);
}

/* When it was added stays as it was. */
static int added_time(struct ns *ns, uint32_t id, Orchfs__Store__Time *out)
{
	Orchfs__Store__Volume *m;
	struct store_key v;
	struct timespec ts;
	struct key k;
	void *p;
	int rc;

	rc = ns_get(ns, volume_key(&k, id), &v);
	if (rc == -ENOENT) {
		clock_gettime(CLOCK_REALTIME, &ts);
		out->sec = ts.tv_sec;
		out->nsec = (uint32_t)ts.tv_nsec;
		return 0;
	}
	if (!rc)
		rc = record_unpack(ns->scratch,
				   &orchfs__store__volume__descriptor, v, &p);
	if (rc)
		return rc;
	m = p;
	if (m->added) {
		out->sec = m->added->sec;
		out->nsec = m->added->nsec;
	}
	return 0;
}

static int check_volume(struct ns *ns, const struct ns_volume *v)
{
	const struct ns_volume *old = volume_find(ns, v->id);
	uint64_t count;
	int rc;

	if (!v->id || v->tier > UINT8_MAX ||
	    !memchr(v->name, 0, sizeof(v->name)) ||
	    !memchr(v->path, 0, sizeof(v->path)))
		return -EINVAL;
	if (!old || old->tier == v->tier)
		return 0;
	/* The rows of the heat index hold the tier. */
	rc = ns_volume_instances(ns, v->id, &count);
	if (rc)
		return rc;
	return count ? -EBUSY : 0;
}

/* Into the transaction. */
int volume_row_put(struct txn *t, const struct ns_volume *v)
{
	Orchfs__Store__Volume m = ORCHFS__STORE__VOLUME__INIT;
	Orchfs__Store__Time added = ORCHFS__STORE__TIME__INIT;
	struct key k;
	int rc;

	rc = added_time(t->ns, v->id, &added);
	if (rc)
		return rc;
	m.change = t->seq;
	m.name = (char *)v->name;
	m.path = (char *)v->path;
	m.uuid.data = (uint8_t *)v->uuid;
	m.uuid.len = sizeof(v->uuid);
	m.kind = ORCHFS__STORE__VOLUME_KIND__VOLUME_LOCAL;
	m.tier = v->tier;
	m.added = &added;
	m.reserve = v->reserve;
	m.draining = v->draining;
	m.home = v->home;
	txn_put_msg(t, volume_key(&k, v->id), &m.base);
	return 0;
}

/**
 * ns_volume_put() - add a volume or change its record.
 * Return: 0; -EBUSY: another tier for one that has instances.
 */
int ns_volume_put(struct ns *ns, const struct ns_volume *v)
{
	struct ns_volume *slot;
	struct txn t;
	int rc;

	arena_reset(ns->scratch);
	rc = check_volume(ns, v);
	if (!rc)
		rc = grow_volumes(ns);
	if (rc)
		return rc;
	txn_begin(&t, ns);
	rc = volume_row_put(&t, v);
	if (rc) {
		txn_abort(&t);
		return rc;
	}
	rc = txn_commit(&t, NULL);
	if (rc)
		return rc;
	slot = (struct ns_volume *)volume_find(ns, v->id);
	if (!slot)
		slot = &ns->volumes[ns->nr_volumes++];
	*slot = *v;
	return 0;
}

int ns_volume_instances(struct ns *ns, uint32_t id, uint64_t *count)
{
	return ns_count_instances(ns->st, id, count);
}

static bool is_one_of(uint32_t id, const uint32_t *v, size_t nr)
{
	while (nr && v[nr - 1] != id)
		nr--;
	return nr;
}

/* fn returns whether it goes on. */
static int each_on(struct store *st, const uint32_t *v, size_t nr,
		   uint64_t from, bool (*fn)(void *ctx, uint64_t ino),
		   void *ctx)
{
	struct arena *a = arena_new();
	struct key lo, hi;
	struct instance n;
	bool more = true;
	struct scan s;
	int rc = 0;

	if (!a)
		return -ENOMEM;
	key_after(key_table(&hi, 'N'));
	s.it = store_scan(st, NULL, key_of(key_num(&lo, 'N', from)),
			  key_of(&hi));
	if (!s.it) {
		arena_free(a);
		return -ENOMEM;
	}
	for (; more && scan_valid(&s) && !rc; scan_next(&s)) {
		rc = record_unpack_instance(a, scan_key(&s), scan_value(&s),
					    &n);
		if (!rc && is_one_of(n.volume, v, nr))
			more = fn(ctx, key_num_at(scan_key(&s), 0));
		arena_reset(a);
	}
	arena_free(a);
	return scan_end(&s, rc);
}

struct home_page {
	uint64_t *ino;
	size_t nr, max;
	uint64_t count;
};

static bool count_one(void *ctx, uint64_t ino)
{
	struct home_page *p = ctx;

	if (p->nr < p->max)
		p->ino[p->nr++] = ino;
	p->count++;
	return true;
}

int ns_home_files(struct store *st, const uint32_t *v, size_t nr,
		  uint64_t *ino, size_t max, uint64_t *count)
{
	struct home_page p = { .ino = ino, .max = max };
	int rc = each_on(st, v, nr, 0, count_one, &p);

	*count = p.count;
	return rc;
}

/* One may have several there. */
static bool page_one(void *ctx, uint64_t ino)
{
	struct home_page *p = ctx;

	if (!p->nr || p->ino[p->nr - 1] != ino)
		p->ino[p->nr++] = ino;
	return p->nr < p->max;
}

int ns_home_page(struct store *st, const uint32_t *v, size_t nr,
		 uint64_t after, uint64_t *ino, size_t max, size_t *got)
{
	struct home_page p = { .ino = ino, .max = max };
	int rc = each_on(st, v, nr, after + 1, page_one, &p);

	*got = p.nr;
	return rc;
}

int ns_count_instances(struct store *st, uint32_t id, uint64_t *count)
{
	return ns_home_files(st, &id, 1, NULL, 0, count);
}

/* Pools and deletions of a volume that goes: there is nobody to do them. */
static int drop_pending(struct txn *t, uint32_t id)
{
	struct scan s;
	struct key k;
	int rc;

	rc = scan_begin(t->ns, &s, key_u32(key_begin(&k, 'P'), id));
	if (rc)
		return rc;
	for (; scan_valid(&s); scan_next(&s))
		store_del(t->b, scan_key(&s));
	rc = scan_end(&s, 0);
	return rc ? rc : deletion_drop_volume(t, id);
}

/**
 * ns_volume_del() - drop a volume's record, pool ranges and deletions.
 * Return: 0; -ENOENT; -EBUSY: it has instances.
 */
int ns_volume_del(struct ns *ns, uint32_t id)
{
	struct ns_volume *v = (struct ns_volume *)volume_find(ns, id);
	uint64_t count;
	struct txn t;
	struct key k;
	int rc;

	if (!v)
		return -ENOENT;
	arena_reset(ns->scratch);
	rc = ns_volume_instances(ns, id, &count);
	if (rc || count)
		return rc ? rc : -EBUSY;
	txn_begin(&t, ns);
	txn_urgent(&t);
	txn_del(&t, volume_key(&k, id));
	rc = drop_pending(&t, id);
	if (rc) {
		txn_abort(&t);
		return rc;
	}
	rc = txn_commit(&t, NULL);
	if (rc)
		return rc;
	ns->nr_volumes--;
	memmove(v, v + 1, (size_t)(ns->volumes + ns->nr_volumes - v) *
		sizeof(*v));
	return 0;
}

/* *out is malloced. */
int ns_volumes(struct ns *ns, struct ns_volume **out, size_t *nr)
{
	struct ns_volume *p;

	p = malloc((ns->nr_volumes + 1) * sizeof(*p));
	if (!p)
		return -ENOMEM;
	if (ns->nr_volumes)
		memcpy(p, ns->volumes, ns->nr_volumes * sizeof(*p));
	*out = p;
	*nr = ns->nr_volumes;
	return 0;
}

int ns_pool_put(struct ns *ns, uint32_t volume, uint64_t first_ino,
		uint64_t first_instance, uint32_t count)
{
	Orchfs__Store__PoolRange m = ORCHFS__STORE__POOL_RANGE__INIT;
	struct txn t;
	struct key k;

	if (!volume_find(ns, volume))
		return -ENOENT;
	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	m.first_ino = first_ino;
	m.count = count;
	m.first_instance = first_instance;
	txn_put_msg(&t, pool_key(&k, volume, first_ino), &m.base);
	return txn_commit(&t, NULL);
}

int ns_pool_del(struct ns *ns, uint32_t volume, uint64_t first_ino)
{
	struct txn t;
	struct key k;

	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	txn_urgent(&t);
	txn_del(&t, pool_key(&k, volume, first_ino));
	return txn_commit(&t, NULL);
}

/* fn may call the engine. */
int ns_pools(struct ns *ns, ns_pool_fn fn, void *ctx)
{
	Orchfs__Store__PoolRange *m;
	struct scan s;
	struct key k;
	void *p;
	int rc;

	arena_reset(ns->scratch);
	rc = scan_begin(ns, &s, key_table(&k, 'P'));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		struct store_key sk = scan_key(&s);

		rc = sk.len == 13 ? 0 : -EUCLEAN;
		if (!rc)
			rc = record_unpack(ns->scratch,
				&orchfs__store__pool_range__descriptor,
				scan_value(&s), &p);
		if (rc)
			break;
		m = p;
		rc = fn(ctx, key_volume(sk), m->first_ino, m->first_instance,
			m->count);
	}
	return scan_end(&s, rc);
}
