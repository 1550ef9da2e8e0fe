/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An authority without volumes of its own, and homes that are the test. The
 * engine, pools, deleter and all of home*.c are real; links, kernel, clock and
 * sync thread are the test.
 */
#ifndef HOME_UTIL_H
#define HOME_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "exec.h"
#include "home.h"
#include "peer.h"

#define A		1U
#define B		2U		/* home of volume VOL */
#define C		3U
#define NODES		4
#define VOL		1U
#define ROOT		ORCHFS_ROOT_INO
#define F(x)		ORCHFS_REQ_FLAG_##x
#define K(x)		ORCHFS_KIND_##x
#define RW		(F(LAYOUT) | F(WRITE))
#define ASKED_MAX	64

/* An answer to a request of a node. */
struct got {
	bool answered;
	int rc;
	int body;
	struct op_reply rep;		/* no pointers but entries' number */
	uint32_t volume_number;
	uint8_t uuid[16];
};

/* A question that a node has not answered. */
struct asked {
	uint32_t node;
	struct peer_question *q;
	peer_frame *f;
	uint32_t ms;			/* so long it waits */
};

extern struct served sv;
extern struct asked asked[ASKED_MAX];
extern size_t nr_asked;
extern uint64_t clock_ms;
extern unsigned int drops;

int home_setup(void **state);
int home_teardown(void **state);
/* What the sync thread and the loop do. */
void turn(void);
/* The next daemon on the same store. */
void restart(void);
void link_up(uint32_t node);
void link_down(uint32_t node);
void seconds(unsigned int nr);
/* Its session ends. */
void over(uint32_t node);
void attach(uint32_t node);
void attach_bare(uint32_t node);
/* B attaches, its volume gets files. */
void home_ready(void);

void ask(uint32_t node, peer_frame *f, struct got *g);
void op(uint32_t node, struct op_req rq, struct got *g);
void do_create(uint32_t node, const char *name, uint32_t flags,
	       struct got *g);
/* A file on the volume of B, open for writing at @node. */
uint64_t make(uint32_t node, const char *name, uint64_t *generation);
void do_getattr(uint32_t node, uint64_t ino, struct got *g);
void do_unlink(uint32_t node, const char *name, struct got *g);
void note_return(uint32_t node, uint64_t ino, uint64_t generation,
		 uint64_t size);
void tell_state(uint32_t node, uint32_t volume, uint32_t state);

/* The question of that kind that a node has; it must be there. */
struct asked *find(uint32_t node, int body);
size_t count(uint32_t node, int body);
/* Answer it; @f: NULL: with that failure. */
void give(struct asked *a, peer_frame *f, int rc);
void give_done(struct asked *a);
/* All files of it are there, of that size. */
void give_made(struct asked *a);
void give_looked(struct asked *a, uint64_t size);
void give_glimpsed(struct asked *a, uint64_t size);
/* the same, of files with that mtime and ctime */
void give_glimpsed_of(struct asked *a, uint64_t size, int64_t time);
void give_deleted(struct asked *a, int status);
bool parked(void);
bool dirty(uint64_t ino);
uint64_t deletions(void);

#endif
