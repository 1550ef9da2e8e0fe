// SPDX-License-Identifier: Apache-2.0
/* Super, sequence, numbers, volumes, pools, deletions, sessions. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchctl.h"
#include "fsck.h"

#define TABLES "SAIERVNXODMTLPJKQCHUW"
#define FORMAT 4U

static void check_synced(struct fsck *f)
{
	uint64_t synced = 0;
	char *path;
	FILE *in;

	if (!f->store || f->online)
		return;
	path = xasprintf("%s/synced", f->store);
	in = fopen(path, "re");
	if (in && fscanf(in, "%" SCNu64, &synced) == 1 && synced > f->seq)
		problem(f, RULE_SUPER, 0, false,
			"transactions up to %" PRIu64 " were durable, the store ends at %" PRIu64 ": the drive lost data; restore from a backup",
			synced, f->seq);
	if (in)
		fclose(in);
	free(path);
}

static void load_seq(struct fsck *f)
{
	struct fkey k;
	uint64_t seq;
	size_t len;
	void *v;

	v = db_get(f, key_bytes(key_begin(&k, 'S'), "seq", 3), &len);
	f->seq = 0;
	if (v && len == sizeof(seq)) {
		memcpy(&seq, v, sizeof(seq));
		f->seq = le64toh(seq);
	} else {
		problem(f, RULE_SUPER, 0, false,
			"the sequence of the last transaction is missing");
	}
	free(v);
	f->next_seq = f->seq + 1;
	check_synced(f);
}

int load_super(struct fsck *f)
{
	Orchfs__Store__Super *s;
	struct fkey k;
	size_t len;
	void *v;

	v = db_get(f, key_bytes(key_begin(&k, 'S'), "super", 5), &len);
	s = v ? orchfs__store__super__unpack(NULL, len, v) : NULL;
	free(v);
	if (!s || !s->format)
		return fail(RC_FAILED, "%s is no store of orchfs, or its first record is lost: restore from a backup (orchctl restore)",
			    f->store);
	if (s->format > FORMAT)
		return fail(RC_FAILED, "%s has format %u, this orchctl knows %u: use a newer orchctl",
			    f->store, s->format, FORMAT);
	free(f->name);
	f->name = xasprintf("%s", s->name);
	f->epoch = s->epoch;
	f->hash_key_ok = s->hash_key.len == 16;
	if (f->hash_key_ok)
		memcpy(f->hash_key, s->hash_key.data, 16);
	else
		problem(f, RULE_SUPER, 0, false,
			"the key of the names' hash is damaged: names cannot be looked up; restore from a backup");
	memset(f->uuid, 0, 16);
	if (s->uuid.len == 16)
		memcpy(f->uuid, s->uuid.data, 16);
	else
		problem(f, RULE_SUPER, 0, false,
			"the namespace's UUID is damaged: restore from a backup");
	orchfs__store__super__free_unpacked(s, NULL);
	load_seq(f);
	return RC_OK;
}

static void bad_row(struct fsck *f, const struct row *r)
{
	char hex[41];
	size_t i;

	for (i = 0; i < r->klen && i < 20; i++)
		sprintf(hex + 2 * i, "%02x", r->key[i]);
	hex[2 * i] = 0;
	problem(f, RULE_RECORD, 0, false,
		"a record with key %s%s cannot be understood: restore from a backup, or report it",
		hex, r->klen > 20 ? "..." : "");
}

static uint64_t *limit_named(struct fsck *f, const uint8_t *name, size_t len)
{
	static const char *const names[] = {
		"ino", "instance", "volume", "deletion", "layout", "job",
		"node",
	};
	uint64_t *const limits[] = {
		&f->limit_ino, &f->limit_instance, &f->limit_volume,
		&f->limit_deletion, &f->limit_layout, &f->limit_job,
		&f->limit_node,
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (len == strlen(names[i]) && !memcmp(name, names[i], len))
			return limits[i];
	return NULL;
}

static void load_counters(struct fsck *f)
{
	Orchfs__Store__Counter *c;
	uint64_t *limit;
	struct row r;

	f->limit_ino = f->limit_instance = 0;
	f->limit_volume = f->limit_deletion = f->limit_layout = 0;
	f->limit_job = f->limit_node = 0;
	for (rows_table(f, &r, 'A'); rows_valid(&r); rows_next(&r)) {
		limit = limit_named(f, r.key + 1, r.klen - 1);
		c = orchfs__store__counter__unpack(NULL, r.vlen, r.val);
		if (limit && c)
			*limit = c->limit;
		else
			bad_row(f, &r);
		if (c)
			orchfs__store__counter__free_unpacked(c, NULL);
	}
	rows_end(f, &r);
}

void *grown(void *p, size_t nr, size_t size)
{
	/* A power of two each time. */
	if (nr & (nr - 1))
		return p;
	p = realloc(p, (nr ? 2 * nr : 1) * size);
	if (!p)
		exit(fail(RC_FAILED, "out of memory"));
	return p;
}

static void load_volumes(struct fsck *f)
{
	Orchfs__Store__Volume *m;
	struct fvol *v;
	struct row r;

	for (rows_table(f, &r, 'L'); rows_valid(&r); rows_next(&r)) {
		m = orchfs__store__volume__unpack(NULL, r.vlen, r.val);
		if (r.klen != 5 || !m || m->uuid.len != 16 || !*m->path) {
			bad_row(f, &r);
		} else if (!volume_of(f, get_be32(r.key + 1))) {
			f->vols = grown(f->vols, f->nr_vols, sizeof(*v));
			v = &f->vols[f->nr_vols++];
			memset(v, 0, sizeof(*v));
			v->id = get_be32(r.key + 1);
			v->tier = m->tier;
			v->name = xasprintf("%s", m->name);
			v->path = xasprintf("%s", m->path);
			memcpy(v->uuid, m->uuid.data, 16);
			v->kind = m->kind;
			v->home = m->home;
			v->root = -1;
		}
		if (m && r.klen == 5) {
			see_change(f, m->change);
			if (get_be32(r.key + 1) > f->max_volume)
				f->max_volume = get_be32(r.key + 1);
		}
		if (m)
			orchfs__store__volume__free_unpacked(m, NULL);
	}
	rows_end(f, &r);
}

static void load_pool(struct fsck *f, const struct row *r)
{
	Orchfs__Store__PoolRange *m;
	struct fpool *p;

	m = orchfs__store__pool_range__unpack(NULL, r->vlen, r->val);
	if (r->klen != 13 || !m || get_be64(r->key + 5) != m->first_ino) {
		bad_row(f, r);
	} else {
		f->pools = grown(f->pools, f->nr_pools, sizeof(*p));
		p = &f->pools[f->nr_pools++];
		p->volume = get_be32(r->key + 1);
		p->ino = m->first_ino;
		p->count = m->count;
		p->instance = m->first_instance;
		if (m->count && p->ino + m->count - 1 > f->max_ino)
			f->max_ino = p->ino + m->count - 1;
		if (m->count && p->instance + m->count - 1 > f->max_instance)
			f->max_instance = p->instance + m->count - 1;
		if (!volume_of(f, p->volume) && !f->confirm)
			problem(f, RULE_VOLUME, 0, false,
				"files made ahead are on volume %u, which is not there",
				p->volume);
	}
	if (m)
		orchfs__store__pool_range__free_unpacked(m, NULL);
}

static int compare_back(const void *pa, const void *pb)
{
	const struct fback *a = pa, *b = pb;

	if (a->volume != b->volume)
		return a->volume < b->volume ? -1 : 1;
	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	if (a->version != b->version)
		return a->version < b->version ? -1 : 1;
	if (a->instance != b->instance)
		return a->instance < b->instance ? -1 : 1;
	return 0;
}

static void load_deletion(struct fsck *f, const struct row *r)
{
	Orchfs__Store__Deletion *m;

	m = orchfs__store__deletion__unpack(NULL, r->vlen, r->val);
	if (r->klen != 9 || !m) {
		bad_row(f, r);
	} else {
		f->deletions = grown(f->deletions, f->nr_deletions,
				     sizeof(*f->deletions));
		f->deletions[f->nr_deletions++] = (struct fback){
			m->volume, m->ino, m->version, m->instance,
		};
		if (get_be64(r->key + 1) > f->max_deletion)
			f->max_deletion = get_be64(r->key + 1);
	}
	if (m)
		orchfs__store__deletion__free_unpacked(m, NULL);
}

/* Sessions and slots are only looked at: the daemon drops those it can. */
static void load_session(struct fsck *f, const struct row *r)
{
	const ProtobufCMessageDescriptor *d = r->key[0] == 'M' ?
		&orchfs__store__session__descriptor :
		&orchfs__store__slot__descriptor;
	ProtobufCMessage *m;

	m = protobuf_c_message_unpack(d, NULL, r->vlen, r->val);
	if (!m || r->klen != (r->key[0] == 'M' ? 9u : 13u))
		bad_row(f, r);
	if (m)
		protobuf_c_message_free_unpacked(m, NULL);
}

static void each_row(struct fsck *f, char table,
		     void (*fn)(struct fsck *f, const struct row *r))
{
	struct row r;

	for (rows_table(f, &r, table); rows_valid(&r); rows_next(&r))
		fn(f, &r);
	rows_end(f, &r);
}

/* Rows of tables that no format has. */
static void check_tables(struct fsck *f)
{
	struct fkey k = { .len = 0 };
	struct row r;
	char next;

	rows_begin(f, &r, &k);
	while (rows_valid(&r)) {
		if (!r.klen || !r.key[0] || !strchr(TABLES, r.key[0]))
			bad_row(f, &r);
		if (!r.klen || r.key[0] == 0xff)
			break;
		next = (char)(r.key[0] + 1);
		rocksdb_iter_seek(r.it, &next, 1);
	}
	rows_end(f, &r);
}

void volumes_free(struct fsck *f)
{
	while (f->nr_vols) {
		f->nr_vols--;
		free(f->vols[f->nr_vols].name);
		free(f->vols[f->nr_vols].path);
	}
	free(f->vols);
	f->vols = NULL;
}

void small_free(struct fsck *f)
{
	free(f->pools);
	free(f->deletions);
	free(f->at);
	f->pools = NULL;
	f->deletions = NULL;
	f->at = NULL;
	f->nr_pools = f->nr_deletions = f->nr_at = 0;
}

void load_small(struct fsck *f)
{
	small_free(f);
	f->max_change = 0;
	f->max_ino = f->max_instance = f->max_volume = f->max_deletion = 0;
	f->max_layout = f->max_job = f->max_node = 0;
	check_tables(f);
	load_counters(f);
	load_volumes(f);
	each_row(f, 'P', load_pool);
	each_row(f, 'D', load_deletion);
	if (f->nr_deletions)
		qsort(f->deletions, f->nr_deletions, sizeof(*f->deletions),
		      compare_back);
	f->n.deletions = f->nr_deletions;
	load_jobs(f);
	load_nodes(f);
	each_row(f, 'M', load_session);
	each_row(f, 'T', load_session);
}

static void check_number(struct fsck *f, const char *name, uint64_t limit,
			 uint64_t max)
{
	Orchfs__Store__Counter c = ORCHFS__STORE__COUNTER__INIT;
	struct fkey k;

	if (!max || max < limit ||
	    !problem(f, RULE_NUMBER, 0, true,
		     "%s number %" PRIu64 " is in use, but only those below %" PRIu64 " are reserved",
		     name, max, limit))
		return;
	c.limit = max + 1;
	op_put_msg(f, key_bytes(key_begin(&k, 'A'), name, strlen(name)),
		   &c.base);
}

void check_numbers(struct fsck *f)
{
	check_number(f, "ino", f->limit_ino, f->max_ino);
	check_number(f, "instance", f->limit_instance, f->max_instance);
	check_number(f, "volume", f->limit_volume, f->max_volume);
	check_number(f, "layout", f->limit_layout, f->max_layout);
	check_number(f, "deletion", f->limit_deletion, f->max_deletion);
	check_number(f, "job", f->limit_job, f->max_job);
	check_number(f, "node", f->limit_node, f->max_node);
	/* This repair's own records carry the sequence that it will get. */
	if (f->max_change <= f->seq ||
	    (f->overlay && rocksdb_writebatch_wi_count(f->overlay) &&
	     f->max_change == f->next_seq))
		return;
	if (problem(f, RULE_CHANGE, 0, f->max_change < UINT64_MAX,
		    "records up to transaction %" PRIu64 " are there, but the last one is said to be %" PRIu64,
		    f->max_change, f->seq)) {
		uint64_t seq = htole64(f->max_change);
		struct fkey k;

		op_put(f, key_bytes(key_begin(&k, 'S'), "seq", 3), &seq,
		       sizeof(seq));
	}
}

struct fvol *volume_of(struct fsck *f, uint32_t id)
{
	size_t i;

	for (i = 0; i < f->nr_vols; i++)
		if (f->vols[i].id == id)
			return &f->vols[i];
	return NULL;
}

bool in_pool(struct fsck *f, const struct fback *b)
{
	const struct fpool *p;
	size_t i;

	for (i = 0; i < f->nr_pools; i++) {
		p = &f->pools[i];
		if (p->volume == b->volume && b->ino >= p->ino &&
		    b->ino - p->ino < p->count && b->version == 1 &&
		    b->instance == p->instance + (b->ino - p->ino))
			return true;
	}
	return false;
}

bool in_deletions(struct fsck *f, const struct fback *b)
{
	return f->nr_deletions &&
	       bsearch(b, f->deletions, f->nr_deletions, sizeof(*b),
		       compare_back);
}
