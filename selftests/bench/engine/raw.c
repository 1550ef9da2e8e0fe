// SPDX-License-Identifier: Apache-2.0
/*
 * RocksDB with the options of the store and nothing above it: the limit of what
 * the engine can reach. It makes logs and memtables as it likes itself.
 */
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct raw {
	struct store *st;
	rocksdb_t *db;
};

/* One pass over the batches, by several threads. */
struct pass {
	struct raw *r;
	const struct capture *c;
	struct outcome *o;
	atomic_size_t next;
	bool sync, three;
};

static void must_db(char *err)
{
	if (err)
		die("RocksDB: %s", err);
}

struct raw *raw_open(const char *dir)
{
	const struct store_opts so = { .create = true };
	struct raw *r = must_alloc(sizeof(*r));
	const char *why = "";

	must(store_open("rocksdb", dir, &so, &r->st, &why), dir);
	r->db = store_rocksdb_handle(r->st);
	return r;
}

void raw_close(struct raw *r)
{
	if (r)
		store_close(r->st);
	free(r);
}

static uint64_t number_at(struct store_key k)
{
	uint64_t x = 0;

	for (size_t i = 1; i < 9 && i < k.len; i++)
		x = x << 8 | ((const uint8_t *)k.p)[i];
	return x;
}

/* The number of the file that a create has made. */
static uint64_t created(const struct store_buf *ops)
{
	struct store_key k, v;
	size_t pos = 0;
	bool del;

	while (store_buf_next(ops, &pos, &k, &v, &del))
		if (*(const char *)k.p == 'N')
			return number_at(k);
	return 0;
}

static bool is_one_of_three(struct store_key k, uint64_t ino)
{
	switch (*(const char *)k.p) {
	case 'E':
		return true;
	case 'I':
	case 'N':
		return number_at(k) == ino;
	default:
		return false;
	}
}

static void fill(rocksdb_writebatch_t *b, const struct store_buf *ops,
		 bool three)
{
	const uint64_t ino = three ? created(ops) : 0;
	struct store_key k, v;
	size_t pos = 0;
	bool del;

	rocksdb_writebatch_clear(b);
	while (store_buf_next(ops, &pos, &k, &v, &del)) {
		if (three && (del || !is_one_of_three(k, ino)))
			continue;
		if (del)
			rocksdb_writebatch_delete(b, k.p, k.len);
		else
			rocksdb_writebatch_put(b, k.p, k.len, v.p, v.len);
	}
}

static void *write_some(void *arg)
{
	struct pass *p = arg;
	rocksdb_writeoptions_t *wo = rocksdb_writeoptions_create();
	rocksdb_writebatch_t *b = rocksdb_writebatch_create();
	const uint64_t cpu = clock_cpu();
	size_t i;

	rocksdb_writeoptions_set_sync(wo, p->sync);
	while ((i = atomic_fetch_add(&p->next, 1)) < p->c->nr) {
		const struct store_buf ops = capture_at(p->c, i);
		const uint64_t begin = clock_ns();
		char *err = NULL;

		fill(b, &ops, p->three);
		rocksdb_write(p->r->db, wo, b, &err);
		must_db(err);
		p->o->late[i] = (uint32_t)(clock_ns() - begin);
	}
	atomic_fetch_add(&p->o->cpu, clock_cpu() - cpu);
	rocksdb_writebatch_destroy(b);
	rocksdb_writeoptions_destroy(wo);
	return NULL;
}

static void write_all(struct pass *p, unsigned int threads)
{
	pthread_t t[CLIENTS_MAX];
	uint64_t begin;

	p->o->late = must_grow(p->o->late, &p->o->size, p->c->nr,
			       sizeof(*p->o->late));
	p->o->cpu = 0;
	begin = clock_ns();
	for (unsigned int i = 1; i < threads; i++)
		must(-pthread_create(&t[i], NULL, write_some, p), "thread");
	write_some(p);
	for (unsigned int i = 1; i < threads; i++)
		pthread_join(t[i], NULL);
	p->o->ns = clock_ns() - begin;
}

void raw_write(struct raw *r, const struct capture *c, unsigned int threads,
	       bool sync, struct outcome *o)
{
	struct pass p = { .r = r, .c = c, .o = o, .sync = sync };

	write_all(&p, threads);
}

void raw_write_three(struct raw *r, const struct capture *c,
		     struct outcome *o)
{
	struct pass p = { .r = r, .c = c, .o = o, .three = true };

	write_all(&p, 1);
}

static void read_one(struct raw *r, rocksdb_readoptions_t *ro,
		     const struct store_buf *k)
{
	char *err = NULL, *v;
	size_t len;

	v = rocksdb_get(r->db, ro, (char *)k->p, k->len, &len, &err);
	must_db(err);
	if (!v)
		die("RocksDB alone doesn't have a key");
	rocksdb_free(v);
}

void raw_read(struct raw *r, const struct capture *c, size_t nr,
	      struct outcome *o)
{
	rocksdb_readoptions_t *ro = rocksdb_readoptions_create();
	const uint64_t begin = clock_ns(), cpu = clock_cpu();
	const size_t each = c->nr / nr;
	size_t at = 0;

	if (each * nr != c->nr)
		die("%zu operations read %zu keys", nr, c->nr);
	o->late = must_grow(o->late, &o->size, nr, sizeof(*o->late));
	for (size_t i = 0; i < nr; i++) {
		const uint64_t from = clock_ns();

		for (size_t j = 0; j < each; j++) {
			const struct store_buf k = capture_at(c, at++);

			read_one(r, ro, &k);
		}
		o->late[i] = (uint32_t)(clock_ns() - from);
	}
	o->ns = clock_ns() - begin;
	o->cpu = clock_cpu() - cpu;
	rocksdb_readoptions_destroy(ro);
}
