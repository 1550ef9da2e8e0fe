// SPDX-License-Identifier: Apache-2.0
/*
 * Operations a second and latencies. Each repetition does all operations once,
 * and after each one RocksDB alone does the same puts or gets, so that both see
 * the same machine.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench.h"

#define DIRS		64U	/* where files are made */
#define DURABLE_OPS	100U	/* for each client */
#define LISTING		100U	/* files for a listing */

struct ops_run {
	const struct bench_opts *opts;
	struct tree tree;
	struct raw *raw, *three;
	uint64_t dirs[DIRS];
	struct capture writes, gets;
	struct requests r;
	struct outcome o, alone;
	struct row row;
	uint64_t next_file;		/* names are never used twice */
	uint64_t chance;
};

/* --- requests --- */

static uint64_t pick(struct ops_run *x, uint64_t below)
{
	return mix(bench_seed, x->chance++) % below;
}

static void add(struct ops_run *x, struct request rq)
{
	if (x->row.durable)
		rq.flags |= ORCHFS_REQ_FLAG_DURABLE;
	requests_add(&x->r, &rq);
}

static void add_create(struct ops_run *x, uint64_t n)
{
	char name[NAME_MAX_];

	file_name(name, n);
	add(x, (struct request){
		.kind = ORCHFS_KIND_CREATE, .node = x->dirs[n % DIRS],
		.name = name, .mode = S_IFREG | 0644,
		.flags = ORCHFS_REQ_FLAG_EXCL });
}

static void renamed(char name[NAME_MAX_], uint64_t n)
{
	file_name(name, n);
	name[0] = 'g';
}

static void add_rename(struct ops_run *x, uint64_t n)
{
	char name[NAME_MAX_], to[NAME_MAX_];

	file_name(name, n);
	renamed(to, n);
	add(x, (struct request){
		.kind = ORCHFS_KIND_RENAME, .node = x->dirs[n % DIRS],
		.node2 = x->dirs[n % DIRS], .name = name, .name2 = to });
}

static void add_unlink(struct ops_run *x, uint64_t n)
{
	char name[NAME_MAX_];

	renamed(name, n);
	add(x, (struct request){
		.kind = ORCHFS_KIND_UNLINK, .node = x->dirs[n % DIRS],
		.name = name });
}

static void add_lookup(struct ops_run *x, uint64_t n)
{
	char name[NAME_MAX_];

	n = pick(x, x->tree.files);
	file_name(name, n);
	add(x, (struct request){
		.kind = ORCHFS_KIND_LOOKUP,
		.node = x->tree.dirs[n / PER_DIR], .name = name });
}

static void add_stat(struct ops_run *x, uint64_t n)
{
	n = pick(x, x->tree.files);
	add(x, (struct request){
		.kind = ORCHFS_KIND_GETATTR, .node = x->tree.inos[n] });
}

static void add_readdir(struct ops_run *x, uint64_t n)
{
	n = pick(x, (x->tree.files + PER_DIR - 1) / PER_DIR);
	add(x, (struct request){
		.kind = ORCHFS_KIND_READDIR, .node = x->tree.dirs[n] });
}

/* --- running --- */

static bool wanted(const struct ops_run *x, const char *work)
{
	return !x->opts->only || !fnmatch(x->opts->only, work, 0);
}

static void print(struct ops_run *x, const char *work, const char *who,
		  struct outcome *o, size_t nr, uint64_t behind)
{
	x->row.work = work;
	x->row.who = who;
	if (wanted(x, work))
		row_print(&x->row, o, nr, behind);
}

static void make_requests(struct ops_run *x, size_t nr,
			  void (*one)(struct ops_run *x, uint64_t n))
{
	requests_clear(&x->r);
	for (size_t i = 0; i < nr; i++)
		one(x, x->next_file + i);
}

/* What was written meanwhile, so that both have the same rows. */
static void follow(struct ops_run *x)
{
	if (x->raw)
		raw_write(x->raw, &x->writes, 1, false, &x->alone);
	capture_clear(&x->writes);
}

static void run_write(struct ops_run *x, const char *work, size_t nr,
		      void (*one)(struct ops_run *x, uint64_t n))
{
	const bool unlink = one == add_unlink;
	uint64_t behind = 0;

	make_requests(x, nr, one);
	engine_run(x->tree.e, &x->r, x->row.clients, &x->o);
	if (x->raw) {
		raw_write(x->raw, &x->writes, x->row.durable ?
			  x->row.clients : 1, x->row.durable, &x->alone);
		print(x, work, "raw", &x->alone, x->writes.nr, 0);
	}
	if (x->raw && one == add_create && !x->row.durable) {
		raw_write_three(x->three, &x->writes, &x->alone);
		print(x, work, "three", &x->alone, x->writes.nr, 0);
	}
	capture_clear(&x->writes);
	if (unlink)
		behind = engine_forget(x->tree.e, x->o.ino, nr);
	follow(x);
	print(x, work, "orchd", &x->o, nr, behind);
}

/* Which keys it reads is found out before, untimed. */
static void run_read(struct ops_run *x, const char *work, size_t nr,
		     void (*one)(struct ops_run *x, uint64_t n))
{
	struct store *st = x->tree.e->sv.st;
	const bool beside = x->raw && one != add_readdir;

	if (!wanted(x, work))
		return;
	make_requests(x, nr, one);
	if (beside) {
		capture_clear(&x->gets);
		capture_store(st, NULL, &x->gets);
		engine_run(x->tree.e, &x->r, x->row.clients, &x->o);
		capture_store(st, &x->writes, NULL);
	}
	engine_run(x->tree.e, &x->r, x->row.clients, &x->o);
	if (!x->o.entries)
		print(x, work, "orchd", &x->o, nr, 0);
	else if (x->o.entries == nr * PER_DIR || x->tree.files % PER_DIR)
		print(x, work, "orchd", &x->o, nr, 0);
	else
		die("%s: %llu entries instead of %llu", work,
		    (unsigned long long)x->o.entries,
		    (unsigned long long)(nr * PER_DIR));
	if (beside) {
		raw_read(x->raw, &x->gets, nr, &x->alone);
		print(x, work, "raw", &x->alone, nr, 0);
	}
}

static void repetition(struct ops_run *x)
{
	size_t nr = x->opts->ops;

	if (x->row.durable && nr > DURABLE_OPS * x->row.clients)
		nr = DURABLE_OPS * x->row.clients;
	run_write(x, "create", nr, add_create);
	if (!x->row.durable) {
		run_read(x, "lookup", nr, add_lookup);
		run_read(x, "stat", nr, add_stat);
		run_read(x, "readdir", (nr + LISTING - 1) / LISTING,
			 add_readdir);
	}
	run_write(x, "rename", nr, add_rename);
	x->o.ino = must_alloc(nr * sizeof(*x->o.ino));
	run_write(x, "unlink", nr, add_unlink);
	free(x->o.ino);
	x->o.ino = NULL;
	x->next_file += nr;
}

static void after_chunk(void *ctx)
{
	follow(ctx);
}

static struct raw *open_raw(const struct bench_opts *o, const char *what)
{
	char dir[4096];

	snprintf(dir, sizeof(dir), "%s/%s", o->dir, what);
	return raw_open(dir);
}

void bench_ops(const struct bench_opts *o)
{
	static const unsigned int clients[] = { 1, 4, 16, 64 };
	const bool rocksdb = !strcmp(o->store, "rocksdb");
	struct ops_run x = { .opts = o, .next_file = 1ULL << 32 };
	struct engine *e;
	char dir[4096];

	snprintf(dir, sizeof(dir), "%s/%s", o->dir, o->store);
	e = engine_open(o->store, dir, true);
	if (rocksdb) {
		x.raw = open_raw(o, "raw");
		x.three = open_raw(o, "three");
		capture_store(e->sv.st, &x.writes, NULL);
	}
	tree_make(&x.tree, e, o->files, true, after_chunk, &x);
	tree_dirs(e, o->files / PER_DIR + 1, DIRS, x.dirs);
	follow(&x);
	x.row.store = o->store;
	x.row.files = o->files;
	for (x.row.rep = 0; x.row.rep < o->reps; x.row.rep++)
		for (int durable = 0; durable <= rocksdb; durable++)
			for (size_t c = 0; c < 4; c++) {
				x.row.durable = durable;
				x.row.clients = clients[c];
				repetition(&x);
			}
	tree_free(&x.tree);
	engine_close(e);
	raw_close(x.raw);
	raw_close(x.three);
	capture_free(&x.writes);
	capture_free(&x.gets);
	requests_free(&x.r);
	outcome_free(&x.o);
	outcome_free(&x.alone);
}
