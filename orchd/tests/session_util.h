/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The authority between its own kernel and other nodes. The engine and all that
 * executes and answers are real; the test is the links, the kernel, the clock
 * and the sync thread.
 */
#ifndef SESSION_UTIL_H
#define SESSION_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those above */
#include <cmocka.h>

#include <sys/stat.h>

#include "exec.h"
#include "ns_cluster.h"
#include "op_wire.h"
#include "peer.h"

#define A		1U
#define B		2U
#define C		3U
#define NODES		4
#define ROOT		ORCHFS_ROOT_INO
#define REG		(S_IFREG | 0644)
#define F(x)		ORCHFS_REQ_FLAG_##x
#define K(x)		ORCHFS_KIND_##x
#define LEASE		10000U
#define SAID_MAX	256
#define LOCKED		77U		/* an inode */

/* An answer to a request of the test. */
struct got {
	bool answered;
	int rc;				/* of a failure; 1: the link is closed */
	int body;
	struct op_reply rep;		/* no pointers */
	uint32_t home;
	uint32_t lease_ms;
};

/* What a node, or the own kernel (0), was told. */
struct said {
	uint32_t node;
	struct peer_question *q;	/* NULL: it is acknowledged */
	uint64_t ino[8];
	bool nameless[8];
	size_t nr;
	uint64_t recall;		/* of locks: its number; 1: they are lost */
};

extern struct served sv;
extern struct said said[SAID_MAX];
extern size_t nr_said;
extern char dir[64];
extern uint64_t clock_ms, sequence[NODES];
extern unsigned int drops, fences;
extern bool no_files, fencing, no_fence, deaf;
extern const struct orchfs_lock *own_lock;	/* what the own kernel has */
extern bool own_asks;				/* it decides no more alone */

void start(void);
void stop(void);
int setup(void **state);
int teardown(void **state);
void turn(void);
void pass(uint64_t ms);
void restart(void);
void ask(uint32_t node, peer_frame *f, struct got *g);
void link_up(uint32_t node);
void link_down(uint32_t node);
void tell(uint32_t node, uint8_t boot, uint64_t held, struct got *g);
void attach_mounted(uint32_t node, bool mounted);
void attach(uint32_t node);
void op(uint32_t node, struct op_req rq, struct got *g);
struct op_name nm(const char *s);
void do_create(uint32_t node, const char *name, uint32_t flags,
	       struct got *g);
void do_lookup(uint32_t node, const char *name, struct got *g);
void do_getattr(uint32_t node, uint64_t ino, struct got *g);
void do_unlink(uint32_t node, const char *name, struct got *g);
void do_chmod(uint32_t node, uint64_t ino, struct got *g);
void do_open(uint32_t node, uint64_t ino, struct got *g);
void note(uint32_t node, uint32_t kind, uint64_t ino, struct got *g);
void renew(uint32_t node, struct got *g);
bool was_told(uint32_t node, uint64_t ino, bool nameless);
void ack(uint32_t node);
uint64_t orphans(void);

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
