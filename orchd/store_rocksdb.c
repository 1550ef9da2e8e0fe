// SPDX-License-Identifier: Apache-2.0
/*
 * The store in RocksDB. A commit is in the kernel's page cache before it
 * returns (manual_wal_flush is off); only the log's fsync is left to the
 * barrier.
 *
 * After a power cut the store must be a prefix of what was committed. Within
 * one log RocksDB sees to that (point-in-time recovery), but of two logs the
 * newer may have reached the drive while the older has lost its tail. So logs
 * are changed here, never by RocksDB itself: the old one is synced first, and
 * memtables may grow to four times the size at which that happens. That also
 * bounds the log.
 */
#include <errno.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "store_impl.h"

/*
 * In 2 GiB or more: 64 MiB of blocks, and 16 MiB of log, then a new log and
 * memtable. Less memory has less of both: Documentation/daemon.md, "Memory".
 */
#define BLOCK_PART	32
#define BLOCK_MIN	(8UL << 20)
#define BLOCK_MAX	(64UL << 20)
#define LOG_PART	128
#define LOG_MIN		(2UL << 20)
#define LOG_MAX		(16UL << 20)
#define WRITE_LOGS	4		/* a memtable holds as many logs */
/*
 * Of memory: from here on the tables' indexes and filters stay. One of them is
 * larger than a part of the cache, so below each look-up may read it anew.
 */
#define INDEX_APART	(1ULL << 30)
#define LEVELS		7
/* The memtable: groups of store_prefix.c, each a skip list. */
#define GROUP_BYTES	64		/* of log, for each of the groups */
#define GROUP_HEIGHT	8
#define GROUP_BRANCHING	4

struct rdb {
	rocksdb_t *db;
	rocksdb_options_t *options;
	rocksdb_cache_t *cache;
	rocksdb_readoptions_t *read;
	rocksdb_writeoptions_t *write;
	rocksdb_flushoptions_t *flush;
	rocksdb_writebatch_t *batch;
	size_t log_max;
	size_t log_bytes;	/* written since the log was new */
};

struct store_snap {
	const rocksdb_snapshot_t *snap;
	rocksdb_readoptions_t *read;
};

struct rdb_iter {
	struct store_iter base;
	rocksdb_iterator_t *it;
	rocksdb_readoptions_t *read;
	size_t hi_len;
	char hi[];		/* RocksDB refers to it */
};

/* errno for RocksDB's words, which are all that its C interface gives. */
static int error_code(const char *text)
{
	if (strstr(text, "No space left"))
		return -ENOSPC;
	if (!strncmp(text, "Corruption", 10))
		return -EUCLEAN;
	return -EIO;
}

static int take_error(char *text)
{
	int rc;

	if (!text)
		return 0;
	rc = error_code(text);
	rocksdb_free(text);
	return rc;
}

static int open_error(char *text, const char **why)
{
	static _Thread_local char copy[256];
	int rc = error_code(text);

	snprintf(copy, sizeof(copy), "%s", text);
	*why = copy;
	if (strstr(text, "No such file"))
		rc = -EUCLEAN;
	else if (rc == -EIO && strstr(text, "lock"))
		rc = -EBUSY;
	rocksdb_free(text);
	return rc;
}

static void set_tables(struct rdb *r)
{
	rocksdb_block_based_table_options_t *t;

	t = rocksdb_block_based_options_create();
	r->cache = rocksdb_cache_create_lru(memory_share(BLOCK_PART, BLOCK_MIN,
							 BLOCK_MAX));
	if (memory_size() < INDEX_APART) {
		/* else they grow with the number of tables */
		rocksdb_block_based_options_set_cache_index_and_filter_blocks(
			t, 1);
		rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(
			t, 1);
	}
	rocksdb_block_based_options_set_block_cache(t, r->cache);
	rocksdb_block_based_options_set_filter_policy(t,
				rocksdb_filterpolicy_create_bloom_full(10));
	rocksdb_options_set_block_based_table_factory(r->options, t);
	rocksdb_block_based_options_destroy(t);
}

static char *prefix_transform(void *ctx, const char *key, size_t len,
			      size_t *out)
{
	(void)ctx;
	*out = store_prefix_len((struct store_key){ key, len });
	return (char *)key;
}

static unsigned char prefix_in_domain(void *ctx, const char *key, size_t len)
{
	(void)ctx;
	(void)key;
	(void)len;
	return 1;
}

static const char *prefix_name(void *ctx)
{
	(void)ctx;
	return "orchfs.group.2";
}

static void prefix_destroy(void *ctx)
{
	(void)ctx;
}

/* No part of the format: tables made with other prefixes can be read. */
static void set_memtable(const struct rdb *r, rocksdb_options_t *p)
{
	rocksdb_options_set_prefix_extractor(p,
		rocksdb_slicetransform_create(NULL, prefix_destroy,
					      prefix_transform,
					      prefix_in_domain,
					      prefix_in_domain, prefix_name));
	/* one thread writes, and this memtable could not take two */
	rocksdb_options_set_allow_concurrent_memtable_write(p, 0);
	rocksdb_options_set_hash_skip_list_rep(p, r->log_max / GROUP_BYTES,
					       GROUP_HEIGHT, GROUP_BRANCHING);
}

static void set_options(struct rdb *r, const struct store_opts *o, bool zstd)
{
	const size_t buffer = WRITE_LOGS * r->log_max;
	rocksdb_options_t *p = r->options;
	int levels[LEVELS] = { 0 };

	for (int i = 2; zstd && i < LEVELS; i++)
		levels[i] = rocksdb_zstd_compression;
	rocksdb_options_set_compression(p, rocksdb_no_compression);
	rocksdb_options_set_compression_per_level(p, levels, LEVELS);
	rocksdb_options_set_create_if_missing(p, o->create);
	rocksdb_options_set_error_if_exists(p, o->create);
	rocksdb_options_set_paranoid_checks(p, 1);
	rocksdb_options_set_manual_wal_flush(p, 0);
	rocksdb_options_set_wal_recovery_mode(p,
				rocksdb_point_in_time_recovery);
	rocksdb_options_set_write_buffer_size(p, buffer);
	rocksdb_options_set_max_write_buffer_number(p, 4);
	rocksdb_options_set_max_total_wal_size(p, 8 * buffer);
	rocksdb_options_set_max_open_files(p, 1024);
	rocksdb_options_set_max_background_jobs(p, 2);
	rocksdb_options_set_stats_dump_period_sec(p, 0);
	rocksdb_options_set_info_log_level(p, 2);
	rocksdb_options_set_max_log_file_size(p, 1 << 20);
	rocksdb_options_set_keep_log_file_num(p, 2);
	set_memtable(r, p);
	set_tables(r);
}

static void rdb_free(struct rdb *r)
{
	if (r->db)
		rocksdb_close(r->db);
	if (r->batch)
		rocksdb_writebatch_destroy(r->batch);
	if (r->flush)
		rocksdb_flushoptions_destroy(r->flush);
	if (r->write)
		rocksdb_writeoptions_destroy(r->write);
	if (r->read)
		rocksdb_readoptions_destroy(r->read);
	if (r->options)
		rocksdb_options_destroy(r->options);
	if (r->cache)
		rocksdb_cache_destroy(r->cache);
	free(r);
}

static int try_open(struct rdb *r, const char *db, const struct store_opts *o,
		    bool zstd, char **err)
{
	r->options = rocksdb_options_create();
	set_options(r, o, zstd);
	if (o->read_only)
		r->db = rocksdb_open_for_read_only(r->options, db, 0, err);
	else
		r->db = rocksdb_open(r->options, db, err);
	if (!*err)
		return 0;
	rocksdb_options_destroy(r->options);
	rocksdb_cache_destroy(r->cache);
	r->options = NULL;
	r->cache = NULL;
	return -EIO;
}

static int rdb_open(struct store *st, const char *db,
		    const struct store_opts *o, const char **why)
{
	struct rdb *r = calloc(1, sizeof(*r));
	char *err = NULL;

	if (!r)
		return -ENOMEM;
	r->log_max = memory_share(LOG_PART, LOG_MIN, LOG_MAX);
	if (try_open(r, db, o, true, &err) && strstr(err, "ZSTD")) {
		/* A library that was built without it. */
		rocksdb_free(err);
		err = NULL;
		try_open(r, db, o, false, &err);
	}
	if (err) {
		rdb_free(r);
		return open_error(err, why);
	}
	r->read = rocksdb_readoptions_create();
	r->write = rocksdb_writeoptions_create();
	r->flush = rocksdb_flushoptions_create();
	rocksdb_flushoptions_set_wait(r->flush, 0);
	r->batch = rocksdb_writebatch_create();
	st->db = r;
	return 0;
}

static void rdb_close(struct store *st)
{
	rdb_free(st->db);
}

static int rdb_get(struct store *st, struct store_snap *sn,
		   struct store_key k, void **val, size_t *len)
{
	struct rdb *r = st->db;
	char *err = NULL, *p;

	p = rocksdb_get(r->db, sn ? sn->read : r->read, k.p, k.len, len, &err);
	if (err)
		return take_error(err);
	if (!p)
		return -ENOENT;
	*val = p;
	return 0;
}

static int rdb_sync(struct store *st)
{
	struct rdb *r = st->db;
	char *err = NULL;

	rocksdb_flush_wal(r->db, 1, &err);
	return take_error(err);
}

/* Nothing is committed between the sync and the change of logs. */
static int change_log(struct store *st)
{
	struct rdb *r = st->db;
	char *err = NULL;
	int rc;

	rc = rdb_sync(st);
	if (rc) {
		store_fail(st);
		return -EIO;
	}
	rocksdb_flush(r->db, r->flush, &err);
	rc = take_error(err);
	if (!rc)
		r->log_bytes = 0;
	return rc;
}

static int rdb_write(struct store *st, const struct store_buf *ops)
{
	struct rdb *r = st->db;
	struct store_key k, v;
	char *err = NULL;
	size_t pos = 0;
	bool del;
	int rc;

	if (r->log_bytes >= r->log_max) {
		rc = change_log(st);
		if (rc)
			return rc;
	}
	rocksdb_writebatch_clear(r->batch);
	while (store_buf_next(ops, &pos, &k, &v, &del)) {
		if (del)
			rocksdb_writebatch_delete(r->batch, k.p, k.len);
		else
			rocksdb_writebatch_put(r->batch, k.p, k.len, v.p,
					       v.len);
	}
	rocksdb_write(r->db, r->write, r->batch, &err);
	r->log_bytes += ops->len;
	rc = take_error(err);
	/* No space is found out before anything is written. */
	if (rc && rc != -ENOSPC)
		store_fail(st);
	return rc;
}

static struct store_snap *rdb_snapshot(struct store *st)
{
	struct rdb *r = st->db;
	struct store_snap *sn = calloc(1, sizeof(*sn));

	if (!sn)
		return NULL;
	sn->snap = rocksdb_create_snapshot(r->db);
	sn->read = rocksdb_readoptions_create();
	rocksdb_readoptions_set_snapshot(sn->read, sn->snap);
	return sn;
}

static void rdb_snapshot_free(struct store *st, struct store_snap *sn)
{
	struct rdb *r = st->db;

	rocksdb_readoptions_destroy(sn->read);
	rocksdb_release_snapshot(r->db, sn->snap);
	free(sn);
}

static struct store_iter *rdb_scan(struct store *st, struct store_snap *sn,
				   struct store_key lo, struct store_key hi)
{
	struct rdb *r = st->db;
	struct rdb_iter *it = calloc(1, sizeof(*it) + hi.len);

	if (!it)
		return NULL;
	it->base.st = st;
	it->read = rocksdb_readoptions_create();
	if (sn)
		rocksdb_readoptions_set_snapshot(it->read, sn->snap);
	if (store_range_is_group(lo, hi))
		rocksdb_readoptions_set_prefix_same_as_start(it->read, 1);
	else
		rocksdb_readoptions_set_total_order_seek(it->read, 1);
	if (hi.len) {
		it->hi_len = hi.len;
		memcpy(it->hi, hi.p, hi.len);
		rocksdb_readoptions_set_iterate_upper_bound(it->read, it->hi,
							    it->hi_len);
	}
	it->it = rocksdb_create_iterator(r->db, it->read);
	rocksdb_iter_seek(it->it, lo.p, lo.len);
	return &it->base;
}

static bool rdb_valid(const struct store_iter *base)
{
	const struct rdb_iter *it = (const void *)base;

	return rocksdb_iter_valid(it->it);
}

static void rdb_next(struct store_iter *base)
{
	struct rdb_iter *it = (void *)base;

	rocksdb_iter_next(it->it);
}

static struct store_key rdb_key(const struct store_iter *base)
{
	const struct rdb_iter *it = (const void *)base;
	struct store_key k;

	k.p = rocksdb_iter_key(it->it, &k.len);
	return k;
}

static struct store_key rdb_value(const struct store_iter *base)
{
	const struct rdb_iter *it = (const void *)base;
	struct store_key v;

	v.p = rocksdb_iter_value(it->it, &v.len);
	return v;
}

static int rdb_error(const struct store_iter *base)
{
	const struct rdb_iter *it = (const void *)base;
	char *err = NULL;

	rocksdb_iter_get_error(it->it, &err);
	return take_error(err);
}

static void rdb_iter_free(struct store_iter *base)
{
	struct rdb_iter *it = (void *)base;

	rocksdb_iter_destroy(it->it);
	rocksdb_readoptions_destroy(it->read);
	free(it);
}

static int rdb_settle(struct store *st)
{
	struct rdb *r = st->db;

	return r->log_bytes ? change_log(st) : 0;
}

static bool rdb_settling(struct store *st)
{
	struct rdb *r = st->db;
	uint64_t nr = 0;

	return !rocksdb_property_int(r->db, "rocksdb.num-immutable-mem-table",
				     &nr) && nr;
}

/* Flushes memtables, so the log is changed here, too. */
static int rdb_checkpoint(struct store *st, const char *db)
{
	struct rdb *r = st->db;
	rocksdb_checkpoint_t *cp;
	char *err = NULL;
	int rc;

	rc = rdb_sync(st);
	if (rc) {
		store_fail(st);
		return -EIO;
	}
	cp = rocksdb_checkpoint_object_create(r->db, &err);
	if (err)
		return take_error(err);
	rocksdb_checkpoint_create(cp, db, 0, &err);
	rocksdb_checkpoint_object_destroy(cp);
	r->log_bytes = 0;
	return take_error(err);
}

const struct store_ops store_rocksdb_ops = {
	.name = "rocksdb",
	.on_disk = true,
	.open = rdb_open,
	.close = rdb_close,
	.get = rdb_get,
	.write = rdb_write,
	.sync = rdb_sync,
	.snapshot = rdb_snapshot,
	.snapshot_free = rdb_snapshot_free,
	.scan = rdb_scan,
	.valid = rdb_valid,
	.next = rdb_next,
	.key = rdb_key,
	.value = rdb_value,
	.error = rdb_error,
	.iter_free = rdb_iter_free,
	.checkpoint = rdb_checkpoint,
	.settle = rdb_settle,
	.settling = rdb_settling,
};

struct rocksdb_t *store_rocksdb_handle(struct store *st)
{
	return st->ops->open == rdb_open ? ((struct rdb *)st->db)->db : NULL;
}
