/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the benchmark of the metadata engine share:
 * Documentation/performance.md, "The metadata engine".
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "op.h"
#include "served.h"
#include "store_impl.h"

#define CLIENTS_MAX	64U	/* a session has as many slots */
#define PER_DIR		1000U
#define NAME_MAX_	32

struct nlmsghdr;

/* --- main.c --- */

/* All of them end the program with a text when something fails. */
__attribute__((noreturn, format(printf, 1, 2)))
void die(const char *fmt, ...);
void must(int rc, const char *what);
void *must_alloc(size_t n);
void *must_grow(void *p, size_t *size, size_t want, size_t one);
uint64_t resident(void);	/* bytes of this process */
uint64_t clock_ns(void);
uint64_t clock_cpu(void);	/* of this thread */
uint64_t clock_process(void);	/* of all threads */
/* A deterministic sequence: the same seed, the same keys. */
uint64_t mix(uint64_t seed, uint64_t n);
extern uint64_t bench_seed;

/* --- capture.c: what the engine does with its store --- */

/* Batches that were committed, or keys that were read. */
struct capture {
	uint8_t *p;
	size_t len, size;
	size_t *end;		/* of each */
	size_t nr, nr_size;
};
struct store_buf capture_at(const struct capture *c, size_t i);
void capture_clear(struct capture *c);
void capture_free(struct capture *c);
/** capture_store() - @writes, @gets: NULL: not these. Until the next call. */
void capture_store(struct store *st, struct capture *writes,
		   struct capture *gets);

/* --- request.c: messages, as the kernel makes them --- */

struct requests {
	uint8_t *p;
	size_t len, size;
	size_t *at;
	size_t nr, nr_size;
};
struct nlmsghdr *request_at(const struct requests *r, size_t i);
void request_address(struct nlmsghdr *h, uint64_t id, uint32_t slot,
		     uint64_t sequence);
void requests_clear(struct requests *r);
void requests_free(struct requests *r);
/* One more; what the kind doesn't have is 0 or NULL. */
struct request {
	uint32_t kind, flags, mode;
	uint64_t node, node2;
	const char *name, *name2;
};
void requests_add(struct requests *r, const struct request *rq);

/* --- engine.c: one namespace behind its channel --- */

struct engine {
	struct served sv;
	const char *kind;		/* of the store */
	uint64_t next_ino, ino_left;	/* of the files that it pretends to have */
	uint64_t sequence[CLIENTS_MAX];
	uint64_t open_ns, ready_ns;	/* of the store; and of the namespace */
};
struct engine *engine_open(const char *kind, const char *dir, bool create);
void engine_close(struct engine *e);

/* What came of requests, in their order. */
struct outcome {
	uint64_t *ino;		/* of the answers; NULL: not wanted */
	uint32_t *late;		/* ns from asking until the answer */
	size_t size;
	uint64_t ns;		/* all of it */
	atomic_uint_least64_t cpu;	/* ns of the threads that did it */
	uint64_t entries;	/* of listings */
};
void outcome_free(struct outcome *o);
/**
 * engine_run() - @clients clients send them all; each sends the next one when
 * it has its answer
 */
void engine_run(struct engine *e, const struct requests *r,
		unsigned int clients, struct outcome *o);
/** engine_forget() - the kernel is done with inodes that have no name */
uint64_t engine_forget(struct engine *e, const uint64_t *ino, size_t nr);

/* --- tree.c: its files --- */

struct tree {
	struct engine *e;
	uint64_t *dirs, *inos;		/* inos: NULL: not remembered */
	uint64_t files;
};
void file_name(char name[NAME_MAX_], uint64_t n);
/** tree_dirs() - make directories in the root, numbered from @first */
void tree_dirs(struct engine *e, uint64_t first, size_t nr, uint64_t *out);
/**
 * tree_make() - @files files, PER_DIR in each directory
 * @made: called after each chunk with what was committed; or NULL
 */
void tree_make(struct tree *t, struct engine *e, uint64_t files, bool inos,
	       void (*made)(void *ctx), void *ctx);
void tree_free(struct tree *t);

/* --- raw.c: RocksDB without an engine --- */

struct raw;
struct raw *raw_open(const char *dir);
void raw_close(struct raw *r);
/** raw_write() - the same batches by @threads threads; @sync: each durable */
void raw_write(struct raw *r, const struct capture *c, unsigned int threads,
	       bool sync, struct outcome *o);
/** raw_write_three() - of each no more than inode, entry and instance */
void raw_write_three(struct raw *r, const struct capture *c,
		     struct outcome *o);
/** raw_read() - @nr operations, each as many of the keys */
void raw_read(struct raw *r, const struct capture *c, size_t nr,
	      struct outcome *o);

/* --- rows --- */

/* What a row is of. */
struct row {
	const char *work, *store, *who;
	uint64_t files;
	unsigned int clients, rep;
	bool durable;
};
void row_print(const struct row *row, struct outcome *o, size_t nr,
	       uint64_t behind);

/* --- ops.c, grow.c, scale.c --- */

struct bench_opts {
	const char *dir, *store, *only;
	uint64_t files, ops;
	unsigned int reps;
};
void bench_ops(const struct bench_opts *o);
void bench_grow(const struct bench_opts *o, const char *self);
void bench_scale(const struct bench_opts *o);
/* In a process of its own: print what a start takes; go on until killed. */
void bench_start(const char *dir, uint64_t files, const char *label);
void bench_kill(const char *dir, uint64_t files);

#endif
