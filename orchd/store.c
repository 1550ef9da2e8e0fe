// SPDX-License-Identifier: Apache-2.0
/*
 * The store's back-end independent half: batches, sequence numbers and the
 * barrier.
 *
 * Locks: write_lock is held over a commit, sync.lock never over I/O. Neither
 * is taken under the other.
 */
#include "store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "store_impl.h"

#define SETTLE_TURNS	2000	/* of 2 ms */

static const struct store_ops *const engines[] = {
	&store_rocksdb_ops,
	&store_mem_ops,
};

static const struct store_key seq_key = { "Sseq", 4 };

static void put_le64(uint8_t *p, uint64_t x)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(x >> (8 * i));
}

static uint64_t get_le64(const uint8_t *p)
{
	uint64_t x = 0;

	for (int i = 7; i >= 0; i--)
		x = (x << 8) | p[i];
	return x;
}

/* Read 'S' "seq"; an empty store has none and stands at 0. */
static int load_sequence(struct store *st, uint64_t *seq, const char **why)
{
	void *val;
	size_t len;
	int rc;

	rc = st->ops->get(st, NULL, seq_key, &val, &len);
	if (rc == -ENOENT) {
		*seq = 0;
		return 0;
	}
	if (rc) {
		*why = "the last sequence number cannot be read";
		return rc;
	}
	if (len != 8) {
		free(val);
		*why = "the last sequence number is malformed";
		return -EUCLEAN;
	}
	*seq = get_le64(val);
	free(val);
	return 0;
}

/* The end of the store must not be older than what once was durable. */
static int check_sequence(struct store *st, const char **why)
{
	uint64_t last, synced = 0;
	int rc;

	rc = load_sequence(st, &last, why);
	if (rc)
		return rc;
	if (st->ops->on_disk) {
		rc = store_dir_read_synced(st, &synced);
		if (rc) {
			*why = "the file 'synced' is malformed";
			return rc;
		}
	}
	if (last < synced) {
		*why = "transactions that were durable are missing";
		return -EUCLEAN;
	}
	st->last = last;
	/* The back ends write back what they replay at open. */
	st->durable = last;
	return 0;
}

static const struct store_ops *find_engine(const char *name)
{
	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
		if (!strcmp(engines[i]->name, name))
			return engines[i];
	}
	return NULL;
}

static int open_db(struct store *st, const char *dir,
		   const struct store_opts *o, const char **why)
{
	char db[4096] = "";
	int rc;

	if (st->ops->on_disk) {
		if ((size_t)snprintf(db, sizeof(db), "%s/db", dir) >=
		    sizeof(db))
			return -ENAMETOOLONG;
		rc = store_dir_open(st, dir, o, why);
		if (rc)
			return rc;
	}
	rc = st->ops->open(st, db, o, why);
	if (rc)
		return rc;
	return check_sequence(st, why);
}

int store_open(const char *engine, const char *dir, const struct store_opts *o,
	       struct store **out, const char **why)
{
	static const struct store_opts defaults;
	const struct store_ops *ops = find_engine(engine);
	const char *text = NULL;
	struct store *st;
	int rc;

	if (!o)
		o = &defaults;
	if (!ops || (o->create && o->read_only))
		return -EINVAL;
	st = calloc(1, sizeof(*st));
	if (!st)
		return -ENOMEM;
	st->ops = ops;
	st->read_only = o->read_only;
	st->dir.lock_fd = st->dir.synced_fd = st->dir.reserve_fd = -1;
	pthread_mutex_init(&st->write_lock, NULL);
	pthread_mutex_init(&st->sync.lock, NULL);
	pthread_cond_init(&st->sync.cond, NULL);
	rc = open_db(st, dir, o, &text);
	if (rc) {
		store_close(st);
		if (why)
			*why = text;
		return rc;
	}
	*out = st;
	return 0;
}

void store_close(struct store *st)
{
	if (!st)
		return;
	if (st->db)
		st->ops->close(st);
	store_dir_close(st);
	pthread_cond_destroy(&st->sync.cond);
	pthread_mutex_destroy(&st->sync.lock);
	pthread_mutex_destroy(&st->write_lock);
	free(st);
}

int store_get(struct store *st, struct store_snap *sn, struct store_key k,
	      void **val, size_t *len)
{
	return st->ops->get(st, sn, k, val, len);
}

struct store_batch *store_batch_new(struct store *st)
{
	struct store_batch *b = calloc(1, sizeof(*b));

	if (b)
		b->st = st;
	return b;
}

void store_batch_clear(struct store_batch *b)
{
	b->ops.len = 0;
	b->expects.len = 0;
	b->urgent = false;
	b->failed = false;
}

void store_batch_free(struct store_batch *b)
{
	if (!b)
		return;
	free(b->ops.p);
	free(b->expects.p);
	free(b);
}

void store_batch_urgent(struct store_batch *b)
{
	b->urgent = true;
}

/* A failure is remembered: the commit returns -ENOMEM. */
static void add(struct store_batch *b, struct store_buf *buf,
		struct store_key k, const void *v, size_t len, bool del)
{
	const size_t need = sizeof(struct store_rec) +
			    (k.len + len + 3) / 4 * 4;
	struct store_rec *r;

	if (k.len >= STORE_DELETE || len >= STORE_DELETE) {
		b->failed = true;
		return;
	}
	if (need > buf->size - buf->len) {
		size_t size = (buf->size + need) * 2;
		uint8_t *p = realloc(buf->p, size);

		if (!p) {
			b->failed = true;
			return;
		}
		buf->p = p;
		buf->size = size;
	}
	r = (void *)(buf->p + buf->len);
	r->klen = (uint32_t)k.len;
	r->vlen = del ? STORE_DELETE : (uint32_t)len;
	memcpy(r + 1, k.p, k.len);
	if (len)
		memcpy((uint8_t *)(r + 1) + k.len, v, len);
	buf->len += need;
}

void store_put(struct store_batch *b, struct store_key k, const void *v,
	       size_t len)
{
	add(b, &b->ops, k, v, len, false);
}

void store_del(struct store_batch *b, struct store_key k)
{
	add(b, &b->ops, k, NULL, 0, true);
}

void store_expect_absent(struct store_batch *b, struct store_key k)
{
	add(b, &b->expects, k, NULL, 0, true);
}

void store_expect_value(struct store_batch *b, struct store_key k,
			const void *v, size_t len)
{
	add(b, &b->expects, k, v, len, false);
}

static int check_expects(struct store_batch *b)
{
	struct store_key k, want;
	size_t pos = 0;
	bool absent;

	while (store_buf_next(&b->expects, &pos, &k, &want, &absent)) {
		void *val;
		size_t len;
		int rc = b->st->ops->get(b->st, NULL, k, &val, &len);
		bool same;

		if (rc == -ENOENT) {
			if (absent)
				continue;
			return -EAGAIN;
		}
		if (rc)
			return rc;
		same = !absent && len == want.len &&
		       !memcmp(val, want.p, len);
		free(val);
		if (!same)
			return -EAGAIN;
	}
	return 0;
}

static int commit_locked(struct store_batch *b, uint64_t *seq)
{
	struct store *st = b->st;
	const uint64_t next = st->last + 1;
	const size_t len = b->ops.len;
	uint8_t le[8];
	int rc;

	if (st->sync.failed)
		return st->sync.failed;
	rc = check_expects(b);
	if (rc)
		return rc;
	if (st->ops->on_disk) {
		rc = store_dir_room(st, len, b->urgent);
		if (rc)
			return rc;
	}
	put_le64(le, next);
	store_put(b, seq_key, le, sizeof(le));
	rc = b->failed ? -ENOMEM : st->ops->write(st, &b->ops);
	if (rc) {
		b->ops.len = len;
		return rc;
	}
	st->last = next;
	*seq = next;
	return 0;
}

int store_commit(struct store_batch *b, uint64_t *seq)
{
	struct store *st = b->st;
	int rc;

	if (st->read_only)
		return -EROFS;
	if (b->failed)
		return -ENOMEM;
	pthread_mutex_lock(&st->write_lock);
	rc = commit_locked(b, seq);
	pthread_mutex_unlock(&st->write_lock);
	if (!rc)
		store_batch_clear(b);
	return rc;
}

uint64_t store_next_seq(struct store *st)
{
	return st->last + 1;
}

uint64_t store_durable(struct store *st)
{
	return st->durable;
}

/* One sync for all who wait. Called and returns with sync.lock held. */
static void run_sync_locked(struct store *st)
{
	uint64_t upto;
	int rc;

	st->sync.running = true;
	pthread_mutex_unlock(&st->sync.lock);
	/* Commits publish their number after they were written. */
	upto = st->last;
	rc = st->ops->sync(st);
	if (!rc && st->ops->on_disk)
		rc = store_dir_write_synced(st, upto);
	pthread_mutex_lock(&st->sync.lock);
	st->sync.running = false;
	if (rc)
		st->sync.failed = -EIO;
	else if (st->durable < upto)
		st->durable = upto;
	pthread_cond_broadcast(&st->sync.cond);
}

int store_barrier(struct store *st)
{
	const uint64_t want = st->last;
	int rc;

	if (st->read_only)
		return -EROFS;
	pthread_mutex_lock(&st->sync.lock);
	while (!st->sync.failed && st->durable < want) {
		if (st->sync.running)
			pthread_cond_wait(&st->sync.cond, &st->sync.lock);
		else
			run_sync_locked(st);
	}
	rc = st->durable >= want ? 0 : st->sync.failed;
	pthread_mutex_unlock(&st->sync.lock);
	return rc;
}

int store_failed(struct store *st)
{
	return st->sync.failed;
}

struct store_snap *store_snapshot(struct store *st)
{
	return st->ops->snapshot(st);
}

void store_snapshot_free(struct store *st, struct store_snap *sn)
{
	if (sn)
		st->ops->snapshot_free(st, sn);
}

struct store_iter *store_scan(struct store *st, struct store_snap *sn,
			      struct store_key lo, struct store_key hi)
{
	return st->ops->scan(st, sn, lo, hi);
}

bool store_iter_valid(const struct store_iter *it)
{
	return it->st->ops->valid(it);
}

void store_iter_next(struct store_iter *it)
{
	it->st->ops->next(it);
}

struct store_key store_iter_key(const struct store_iter *it)
{
	return it->st->ops->key(it);
}

struct store_key store_iter_value(const struct store_iter *it)
{
	return it->st->ops->value(it);
}

int store_iter_error(const struct store_iter *it)
{
	return it->st->ops->error(it);
}

void store_iter_free(struct store_iter *it)
{
	if (it)
		it->st->ops->iter_free(it);
}

/* The back end has no way to tell the end of it. */
void store_settle(struct store *st)
{
	const struct timespec t = { .tv_nsec = 2000000 };
	int rc;

	if (!st->ops->settle || st->read_only)
		return;
	pthread_mutex_lock(&st->write_lock);
	rc = st->ops->settle(st);
	pthread_mutex_unlock(&st->write_lock);
	for (int i = 0; !rc && i < SETTLE_TURNS && st->ops->settling(st); i++)
		nanosleep(&t, NULL);
}

static int checkpoint_locked(struct store *st, const char *dir)
{
	char db[4096];
	int rc;

	if ((size_t)snprintf(db, sizeof(db), "%s/db", dir) >= sizeof(db))
		return -ENAMETOOLONG;
	if (mkdir(dir, 0700))
		return -errno;
	rc = st->ops->checkpoint(st, db);
	return rc ? rc : store_dir_mark(dir, st->last);
}

int store_checkpoint(struct store *st, const char *dir)
{
	int rc;

	if (!st->ops->checkpoint)
		return -EOPNOTSUPP;
	if (st->read_only)
		return -EROFS;
	pthread_mutex_lock(&st->write_lock);
	rc = checkpoint_locked(st, dir);
	pthread_mutex_unlock(&st->write_lock);
	return rc;
}
