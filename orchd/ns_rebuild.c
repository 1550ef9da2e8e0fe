// SPDX-License-Identifier: Apache-2.0
/*
 * The records of a namespace whose store was lost: an export of it, brought
 * to what lies on the volumes. Offline, nobody else uses the store.
 */
#include "ns_rebuild.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ns_impl.h"

/* Far above what a lost store can have handed out after the export. */
#define NUMBERS_AHEAD		(1ULL << 32)
#define NODES_AHEAD		1024
#define GENERATIONS_AHEAD	(NS_GENERATIONS << 10)

static const char lost_found[] = "lost+found";

static int get(struct store *st, struct arena *a, struct store_key k,
	       const ProtobufCMessageDescriptor *d, void *m)
{
	struct store_key v;
	void *p;
	int rc;

	rc = store_get(st, NULL, k, &p, &v.len);
	if (!rc)
		rc = arena_own(a, p);
	v.p = p;
	return rc ? rc : record_unpack(a, d, v, m);
}

static int put(struct store_batch *b, struct arena *a, struct store_key k,
	       const ProtobufCMessage *m)
{
	size_t len;
	void *p;
	int rc = record_pack(a, m, &p, &len);

	if (!rc)
		store_put(b, k, p, len);
	return rc;
}

/*
 * No store hands out a number each microsecond, so the clock is above all that
 * another one made of the same records has used. It fits into a double.
 */
static uint64_t clock_number(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

struct counter {
	const char *name;
	uint64_t seen, ahead, clock;
};

static int renew_counter(struct store *st, struct store_batch *b,
			 struct arena *a, const struct counter *c)
{
	Orchfs__Store__Counter *m;
	struct key k;
	int rc;

	key_bytes(key_begin(&k, 'A'), c->name, strlen(c->name));
	rc = get(st, a, key_of(&k), &orchfs__store__counter__descriptor, &m);
	/* those of jobs and nodes are made by the first */
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	if (m->limit <= c->seen)
		m->limit = c->seen + 1;
	if (m->limit > UINT64_MAX / 4)
		return -EUCLEAN;
	/* unless the clock is wrong */
	m->limit = c->clock > m->limit ? c->clock : m->limit + c->ahead;
	return put(b, a, key_of(&k), &m->base);
}

static int renew_super(struct store *st, struct store_batch *b,
		       struct arena *a, uint64_t epoch)
{
	const struct store_key k = { "Ssuper", 6 };
	Orchfs__Store__Super *m;
	char none[1] = "";
	int rc;

	rc = get(st, a, k, &orchfs__store__super__descriptor, &m);
	if (rc)
		return rc;
	m->epoch = (m->epoch > epoch ? m->epoch : epoch) + 1;
	m->incarnation = (uint64_t)time(NULL) << 24;
	m->boot_id = none;
	m->clean = false;
	return put(b, a, k, &m->base);
}

static int drop_table(struct store *st, struct store_batch *b, char table)
{
	struct store_iter *it;
	struct key lo, hi;
	int rc;

	key_table(&lo, table);
	hi = lo;
	it = store_scan(st, NULL, key_of(&lo), key_of(key_after(&hi)));
	if (!it)
		return -ENOMEM;
	for (; store_iter_valid(it); store_iter_next(it))
		store_del(b, store_iter_key(it));
	rc = store_iter_error(it);
	store_iter_free(it);
	return rc;
}

int ns_rebuild_renew(struct store *st, const struct ns_seen *seen)
{
	const uint64_t clock = clock_number();
	const struct counter counters[] = {
		{ "ino", seen->ino, NUMBERS_AHEAD, clock },
		{ "instance", seen->instance, NUMBERS_AHEAD, clock },
		{ "volume", seen->volume, 0, 0 },
		{ "deletion", 0, NUMBERS_AHEAD, 0 },
		{ "layout", 0, GENERATIONS_AHEAD, 0 },
		{ "job", 0, NUMBERS_AHEAD, 0 },
		{ "node", seen->node, NODES_AHEAD, 0 },
	};
	struct store_batch *b = store_batch_new(st);
	struct arena *a = arena_new();
	uint64_t seq;
	int rc = a && b ? renew_super(st, b, a, seen->epoch) : -ENOMEM;

	for (size_t i = 0; !rc && i < sizeof(counters) / sizeof(*counters);
	     i++)
		rc = renew_counter(st, b, a, &counters[i]);
	if (!rc)
		rc = drop_table(st, b, 'J');
	if (!rc)
		rc = store_commit(b, &seq);
	store_batch_free(b);
	arena_free(a);
	return rc;
}

static uint32_t key_u32_at(struct store_key k)
{
	const uint8_t *p = k.p;

	return (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 8 | p[4];
}

static int same_cluster(struct store *st, struct store *old, struct arena *a)
{
	const struct store_key k = { "Scluster", 8 };
	Orchfs__Store__Cluster *m[2];
	int rc;

	rc = get(st, a, k, &orchfs__store__cluster__descriptor, &m[0]);
	if (!rc)
		rc = get(old, a, k, &orchfs__store__cluster__descriptor,
			 &m[1]);
	if (rc)
		return rc;
	return m[0]->ca_sha256.len == m[1]->ca_sha256.len &&
	       !memcmp(m[0]->ca_sha256.data, m[1]->ca_sha256.data,
		       m[0]->ca_sha256.len) ? 0 : -ENOENT;
}

static int take_removed(struct store_batch *b, struct arena *a,
			struct store_key k, struct store_key v, uint64_t seq)
{
	Orchfs__Store__Node *m;
	void *p;
	int rc;

	rc = record_unpack(a, &orchfs__store__node__descriptor, v, &p);
	m = p;
	if (rc || m->state == ORCHFS__STORE__NODE_STATE__NODE_IN)
		return rc;
	m->change = seq;
	return put(b, a, k, &m->base);
}

int ns_rebuild_removed(struct store *st, struct store *old,
		       struct ns_seen *seen)
{
	struct store_batch *b = store_batch_new(st);
	struct store_iter *it = NULL;
	struct arena *a = arena_new();
	uint64_t seq = store_next_seq(st);
	struct key lo, hi;
	int rc = a && b ? same_cluster(st, old, a) : -ENOMEM;

	key_table(&lo, 'K');
	hi = lo;
	if (!rc) {
		it = store_scan(old, NULL, key_of(&lo), key_of(key_after(&hi)));
		rc = it ? 0 : -ENOMEM;
	}
	for (; !rc && store_iter_valid(it); store_iter_next(it)) {
		struct store_key k = store_iter_key(it);

		rc = k.len == 5 ? take_removed(b, a, k, store_iter_value(it),
					       seq) : -EUCLEAN;
		if (!rc)
			seen->node = key_u32_at(k);
	}
	if (!rc)
		rc = store_iter_error(it);
	if (!rc)
		rc = store_commit(b, &seq);
	store_iter_free(it);
	store_batch_free(b);
	arena_free(a);
	return rc;
}

int ns_rebuild_drop(struct store *st, char table)
{
	struct store_batch *b = store_batch_new(st);
	uint64_t seq;
	int rc = b ? drop_table(st, b, table) : -ENOMEM;

	if (!rc)
		rc = store_commit(b, &seq);
	store_batch_free(b);
	return rc;
}

static int forget_orphan(struct ns *ns, uint64_t ino)
{
	struct tnode *n;
	struct txn t;
	int rc;

	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	rc = txn_inode(&t, ino, &n);
	if (rc == -ENOENT) {
		orphan_del(&t, ino);
		rc = 0;
	} else if (!rc && !n->i.nlink) {
		rc = inode_forget(&t, n);
	}
	if (!rc)
		return txn_commit(&t, NULL);
	txn_abort(&t);
	return rc;
}

int ns_rebuild_orphans(struct ns *ns)
{
	struct scan s;
	struct key k;
	int rc;

	rc = scan_begin(ns, &s, key_table(&k, 'O'));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s))
		rc = scan_key(&s).len == 9 ?
			forget_orphan(ns, key_num_at(scan_key(&s), 0)) :
			-EUCLEAN;
	return scan_end(&s, rc);
}

/* Its file: 0 there, -ENOENT missing, -ENODEV the volume is not there. */
static int look(struct ns *ns, uint64_t ino, const struct instance *n,
		struct ns_backing_stat *s)
{
	return ns->ops->stat(ns->ctx, n->volume, ino, n->version, n->instance,
			     s);
}

static bool moved_to(const struct ns_found *f, const struct instance *n)
{
	return ns_found_whole(f) && f->version == n->version &&
	       f->instance > n->instance;
}

int ns_rebuild_judge(struct ns *ns, const struct ns_found *f,
		     enum ns_found_as *as)
{
	struct ns_backing_stat s;
	struct instance n;
	struct inode i;
	int rc;

	arena_reset(ns->scratch);
	rc = inode_load(ns, f->ino, &i);
	if (rc) {
		*as = NS_FOUND_NEW;
		return rc == -ENOENT ? 0 : rc;
	}
	*as = NS_FOUND_SPARE;
	if (!S_ISREG(i.mode))
		return 0;
	rc = instance_valid(ns, &i, &n);
	if (rc == -EIO) {
		*as = NS_FOUND_LACKING;
		return 0;
	}
	if (rc)
		return rc;
	if (n.version == f->version && n.instance == f->instance &&
	    n.volume == f->volume) {
		*as = NS_FOUND_RECORDED;
		return 0;
	}
	rc = look(ns, f->ino, &n, &s);
	if (rc == -ENOENT || (rc == -ENODEV && moved_to(f, &n)))
		*as = NS_FOUND_LACKING;
	return rc == -ENOENT || rc == -ENODEV ? 0 : rc;
}

static void time_now(struct orchfs_time *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	t->sec = ts.tv_sec;
	t->nsec = (uint32_t)ts.tv_nsec;
}

int ns_rebuild_dir(struct ns *ns, uint64_t *ino)
{
	struct op_req rq = {
		.kind = ORCHFS_KIND_CREATE,
		.node = ORCHFS_ROOT_INO,
		.mode = S_IFDIR | 0700,
	};
	struct op_reply rep = { .arena = arena_new() };
	char name[32];
	int rc = rep.arena ? -EEXIST : -ENOMEM;

	time_now(&rq.now);
	rq.name.s = name;
	for (unsigned int n = 0; rc == -EEXIST && n < 1000; n++) {
		if (n)
			snprintf(name, sizeof(name), "%s.%u", lost_found, n);
		else
			snprintf(name, sizeof(name), "%s", lost_found);
		rq.name.len = strlen(name);
		rq.kind = ORCHFS_KIND_LOOKUP;
		ns_execute(ns, &rq, &rep);
		rc = rep.status;
		if (!rc && !S_ISDIR(rep.attr.mode))
			rc = -EEXIST;
		if (rc != -ENOENT)
			continue;
		rq.kind = ORCHFS_KIND_CREATE;
		ns_execute(ns, &rq, &rep);
		rc = rep.status;
	}
	if (!rc)
		*ino = rep.attr.ino;
	arena_free(rep.arena);
	return rc;
}

/* Dirty, with no times to compare with: the sweep takes all of the file. */
static int put_instance(struct txn *t, const struct ns_found *f)
{
	Orchfs__Store__Version v = ORCHFS__STORE__VERSION__INIT;
	const struct instance n = {
		.version = f->version,
		.instance = f->instance,
		.volume = f->volume,
		.state = INSTANCE(VALID),
		.dirty = true,
	};
	struct key k;

	v.change = t->seq;
	v.state = ORCHFS__STORE__VERSION_STATE__VERSION_HEAD;
	txn_put_msg(t, key_num2(&k, 'V', f->ino, f->version), &v.base);
	txn_put_instance(t, f->ino, &n);
	return txn_set_dirty(t, f->ino, true);
}

static uint8_t tier_of_volume(struct ns *ns, uint32_t id)
{
	const struct ns_volume *v = volume_find(ns, id);

	return v ? (uint8_t)v->tier : 0;
}

static void fill_inode(const struct ns *ns, struct inode *i,
		       const struct ns_found *f)
{
	i->generation = inode_generation(ns, i->ino);
	i->mode = S_IFREG | (f->mode & 0777);
	i->uid = f->uid;
	i->gid = f->gid;
	i->nlink = 1;
	i->size = f->stat.size;
	i->blocks = f->stat.blocks;
	i->atime = f->atime;
	i->mtime = f->stat.mtime;
	i->ctime = f->stat.ctime;
	i->btime = f->stat.mtime;
	i->version = f->version;
}

int ns_rebuild_name(struct ns *ns, uint64_t dir, const struct ns_found *f)
{
	struct tnode *parent, *n;
	struct op_name name;
	uint64_t cookie = 0;
	struct entry e;
	char text[24];
	struct txn t;
	int rc;

	arena_reset(ns->scratch);
	name.s = text;
	snprintf(text, sizeof(text), "%" PRIu64, f->ino);
	name.len = strlen(text);
	txn_begin(&t, ns);
	rc = dir_get(&t, dir, &parent);
	if (!rc)
		rc = entry_find_or_free(ns, dir, &name, &e, &cookie);
	if (!rc)
		rc = -EEXIST;
	if (rc != -ENOENT)
		goto abort;
	rc = -ENOMEM;
	n = txn_new_inode(&t, f->ino);
	if (!n)
		goto abort;
	fill_inode(ns, &n->i, f);
	n->have_tier = true;
	n->tier = tier_of_volume(ns, f->volume);
	entry_put(&t, dir, cookie, &name, &n->i);
	rc = put_instance(&t, f);
	if (!rc)
		return txn_commit(&t, NULL);
abort:
	txn_abort(&t);
	return rc;
}

static int drop_instances(struct txn *t, const struct inode *i, uint8_t *tier)
{
	struct instance n;
	struct scan s;
	struct key k;
	int rc;

	rc = scan_begin(t->ns, &s, key_num(&k, 'N', i->ino));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		rc = record_unpack_instance(t->ns->scratch, scan_key(&s),
					    scan_value(&s), &n);
		if (!rc && n.version == i->version &&
		    n.state == INSTANCE(VALID))
			*tier = tier_of_volume(t->ns, n.volume);
		store_del(t->b, scan_key(&s));
	}
	return scan_end(&s, rc);
}

int ns_rebuild_place(struct ns *ns, const struct ns_found *f)
{
	struct tnode *n;
	struct txn t;
	struct key k;
	int rc;

	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	rc = txn_inode(&t, f->ino, &n);
	if (!rc)
		rc = drop_instances(&t, &n->i, &n->tier_before);
	if (rc) {
		txn_abort(&t);
		return rc;
	}
	if (n->i.version != f->version)
		txn_del(&t, key_num2(&k, 'V', f->ino, n->i.version));
	n->i.version = f->version;
	n->have_tier = true;
	n->retiered = true;
	n->tier = tier_of_volume(ns, f->volume);
	n->dirty = true;
	rc = put_instance(&t, f);
	if (!rc)
		return txn_commit(&t, NULL);
	txn_abort(&t);
	return rc;
}

static int mark_written(struct ns *ns, uint64_t ino, const struct instance *n)
{
	struct instance copy = *n;
	struct txn t;
	int rc;

	txn_begin(&t, ns);
	copy.dirty = true;
	copy.base_mtime = copy.base_ctime = (struct orchfs_time){ 0 };
	txn_put_instance(&t, ino, &copy);
	rc = txn_set_dirty(&t, ino, true);
	if (!rc)
		return txn_commit(&t, NULL);
	txn_abort(&t);
	return rc;
}

static bool since(const struct ns_backing_stat *s,
		  const struct orchfs_time *when)
{
	return s->ctime.sec > when->sec ||
	       (s->ctime.sec == when->sec && s->ctime.nsec >= when->nsec);
}

static int drop_record(struct ns *ns, struct store_key k)
{
	struct txn t;

	txn_begin(&t, ns);
	store_del(t.b, k);
	return txn_commit(&t, NULL);
}

static int check_record(struct ns *ns, struct store_key k, struct store_key v,
			const struct orchfs_time *when,
			void (*missing)(void *ctx, uint64_t ino), void *ctx,
			struct ns_rebuild_sums *sums)
{
	const uint64_t ino = key_num_at(k, 0);
	struct ns_backing_stat s;
	struct instance n;
	struct inode i;
	int rc;

	arena_reset(ns->scratch);
	rc = record_unpack_instance(ns->scratch, k, v, &n);
	if (rc)
		return rc;
	if (n.state != INSTANCE(VALID))
		return drop_record(ns, k);
	rc = look(ns, ino, &n, &s);
	if (rc == -ENODEV) {
		sums->away++;
		return 0;
	}
	if (rc == -ENOENT) {
		rc = inode_load(ns, ino, &i);
		if (rc || !i.nlink)
			return rc;
		sums->missing++;
		missing(ctx, ino);
		return 0;
	}
	if (rc)
		return rc;
	sums->files++;
	/* put_instance() has marked it, or a writer's record would say so */
	if (!since(&s, when) || (n.dirty && !n.base_ctime.sec))
		return 0;
	sums->since++;
	return mark_written(ns, ino, &n);
}

int ns_rebuild_records(struct ns *ns, const struct orchfs_time *when,
		       void (*missing)(void *ctx, uint64_t ino), void *ctx,
		       struct ns_rebuild_sums *sums)
{
	struct scan s;
	struct key k;
	int rc;

	*sums = (struct ns_rebuild_sums){ 0 };
	arena_reset(ns->scratch);
	rc = scan_begin(ns, &s, key_table(&k, 'N'));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s))
		rc = check_record(ns, scan_key(&s), scan_value(&s), when,
				  missing, ctx, sums);
	return scan_end(&s, rc);
}
