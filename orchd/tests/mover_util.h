/* SPDX-License-Identifier: Apache-2.0 */
/* A namespace "t" with the volumes v1 and v2, served without the module. */
#ifndef MOVER_UTIL_H
#define MOVER_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those above */
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mover.h"

#define WAIT_MS		60000
#define FILES		5
#define SIZE		(300 * 1024)

extern char dir[256];
extern uint64_t inos[FILES];

char *sub(const char *name);

/* Faults of the daemon; @point "": none but those of the test's drive. */
void faults(const char *point);

void make_namespace(uint64_t reserve);
struct store *store_of_test(bool create);

struct served *start(void);
void stop(struct served *sv);

/* Run fn(arg) in the namespace thread. */
void in_ns(struct served *sv, void (*fn)(struct served *, void *), void *arg);

/* --- in the namespace thread --- */

int execute(struct served *sv, const struct op_req *rq, struct op_reply *rep);

/* d/f0 d/f1 d/f2 d/e/f3 d/e/f4; *arg: d */
void make_tree(struct served *sv, void *arg);

/* @arg: a struct begin */
void begin_job(struct served *sv, void *arg);
void begin_drain(struct served *sv, void *arg);

/* Exactly one instance, valid, on this volume, with the right bytes. */
void check_file(struct served *sv, unsigned int n, uint32_t volume);
/* @arg: the number of a volume */
void no_instance(struct served *sv, void *arg);

/* --- in the test --- */

struct served *start_with_tree(uint64_t *dir);

struct begin {
	struct ns_job want;
	uint64_t id;
	int rc;
	char why[VOLUME_WHY];
};

struct begin move_to(struct served *sv, uint64_t ino, uint32_t volume,
		     uint64_t rate);
struct begin drain(struct served *sv, uint32_t volume, uint64_t rate);
struct begin undrain(struct served *sv, uint32_t volume);

/* Until it has ended, or until it copies. */
struct ns_job wait_for(struct served *sv, uint64_t id, bool copying);

struct ns_job wait_until(struct served *sv, uint64_t id,
			 bool (*fn)(const struct mover_job *j));

/* Which volume a new file gets; it goes again. */
uint32_t new_file_on(struct served *sv);

/* Nothing is left to delete, and no file on a volume that no record names. */
void check_clean(struct served *sv);
void expect_all_on(struct served *sv, uint32_t volume);

int setup(void **state);
int teardown(void **state);

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
