/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the metadata engine share. */
#ifndef ENGINE_UTIL_H
#define ENGINE_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those above */
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena.h"
#include "ns.h"
#include "store_impl.h"

#define ROOT	ORCHFS_ROOT_INO
#define F(x)	ORCHFS_REQ_FLAG_##x
#define K(x)	ORCHFS_KIND_##x

/* A backing file of the pool that tests pretend to have. */
struct fake_file {
	uint64_t ino, instance;
	struct ns_backing_stat s;
	bool missing;
	bool free;		/* in the pool */
	uint32_t uid, gid, projid;
};

struct fake {
	struct fake_file *files;
	size_t nr, size;
	uint64_t next_ino, next_instance, left;
	int64_t clock;		/* of the backing files */
	int take_error, own_error, stat_error;
	bool timed;		/* files have their times with them */
	unsigned int stats, put_backs, owns, unsettled;
	uint32_t holders[8];	/* nodes that may have any inode */
	size_t nr_holders;
};

struct env {
	const char *engine;
	char dir[64];
	struct store *st;
	struct ns *ns;
	bool full;
	struct fake fake;
	struct op_reply rep;	/* of the last request */
	uint64_t session;	/* of this machine; node n's is n more */
	uint32_t origin;	/* who asks and tells */
	uint64_t sequence[64];
	int64_t now;
};

/* Test states: the name of the engine. */
int env_open(struct env *e, const char *engine);
void env_close(struct env *e);
/* Close and open again: the namespace; the store too where it persists. */
void env_restart(struct env *e, bool orderly);

/* The n-th commit from now (0: the next) fails with err, and all later ones
 * until env_heal(). */
void env_fail(struct env *e, unsigned int n, int err);
void env_heal(struct env *e);

/* Is the drive of the store full? With rocksdb; over restarts. */
void env_full(struct env *e, bool full);

struct fake_file *fake_find(struct env *e, uint64_t ino);
/* What an application does to an open file. */
void fake_write(struct env *e, uint64_t ino, uint64_t size);
void fake_refill(struct env *e);

struct op_req env_req(struct env *e, uint32_t kind, uint32_t slot);
int env_run(struct env *e, const struct op_req *rq);
struct op_name nm(const char *s);

/* Shorthand; each returns the status and leaves the reply in e->rep. */
int do_create(struct env *e, uint64_t dir, const char *name, uint32_t mode,
	      uint32_t flags, uint64_t *ino);
int do_symlink(struct env *e, uint64_t dir, const char *name,
	       const char *target);
int do_lookup(struct env *e, uint64_t dir, const char *name);
int do_getattr(struct env *e, uint64_t ino);
int do_open(struct env *e, uint64_t ino, bool write);
int do_link(struct env *e, uint64_t ino, uint64_t dir, const char *name);
int do_unlink(struct env *e, uint64_t dir, const char *name, uint32_t flags);
int do_rename(struct env *e, uint64_t dir, const char *name, uint64_t dir2,
	      const char *name2, uint32_t flags);
int do_setxattr(struct env *e, uint64_t ino, const char *name,
		const void *value, size_t len, uint32_t flags);
int do_getxattr(struct env *e, uint64_t ino, const char *name);
int do_readdir(struct env *e, uint64_t dir, uint64_t cookie, uint32_t max);
int do_forget(struct env *e, uint64_t ino);
int do_return(struct env *e, uint64_t ino, uint64_t generation);

/* engine_check.c: the rules of Documentation/store-format.md. */
void env_check(struct env *e);

#define BOTH(f)								\
	{ #f " (memory)", f, NULL, NULL, (void *)"memory" },		\
	{ #f " (rocksdb)", f, NULL, NULL, (void *)"rocksdb" }

#endif
