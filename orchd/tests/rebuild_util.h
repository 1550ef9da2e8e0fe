/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A namespace "t" with the volumes v1 and v2, without a daemon, and what is
 * made of them when the store is lost.
 */
#ifndef REBUILD_UTIL_H
#define REBUILD_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those above */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup.h"
#include "export.h"
#include "ns_move.h"
#include "rebuild.h"
#include "store.h"

extern char dir[256];
extern char report[16384];	/* of the last rebuild() */

struct world {
	struct store *st;
	struct ns *ns;
	struct volume *v[3];
	uint64_t ino, instance;
	uint32_t next;		/* volume of the next file */
};
extern struct world now;	/* open */

char *sub(const char *name);

void open_store(const char *name, bool create);
void close_store(void);

struct op_reply execute(struct op_req rq);
struct op_req request(uint32_t kind, uint64_t node, const char *name);
uint64_t create(uint64_t parent, const char *name, uint32_t mode);
uint64_t lookup(uint64_t parent, const char *name);
uint64_t make_file(uint64_t parent, const char *name, const char *text);

/* The path of a backing file. */
char *backing(uint32_t volume, uint64_t ino, uint64_t instance);
uint64_t instance_of(uint64_t ino, uint32_t *volume);

void move_away(uint64_t ino, uint64_t from, uint64_t to);
/* What a move leaves that is cut short: all of its size, none of its bytes. */
void make_part(uint32_t volume, uint64_t ino, uint64_t instance, off_t size);

void export_to(uint32_t volume);
/* Of "t" into "new" from both volumes, where @o names no others. */
int rebuild(struct rebuild_opts o, char *why);
void rebuilt(void);
/* The report has this number. */
void told(const char *name, unsigned int n);

/* All rows of one table as they are. */
char *rows(char table);

int setup(void **state);
int teardown(void **state);

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
