// SPDX-License-Identifier: Apache-2.0
/*
 * The authority's locks: fixed cases, then nodes that lock at random against a
 * model that knows each byte. ORCH_SEED=N and ORCH_OPS=N replay and prolong.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/orchfs_nl.h>

#include "locks.h"

#define NODES	3	/* 1 is the authority's own */
#define OWNERS	3
#define INODES	3
#define BYTES	12
#define KINDS	2
#define PENDING	1	/* not answered */
#define ANSWERS	64
#define END	(((uint64_t)1 << 63) - 1)

struct answer {
	int status;	/* PENDING */
	uint32_t flags;
	struct orchfs_lock lock;
};

static struct answer answers[ANSWERS];
static uint64_t order[ANSWERS];		/* in which they came */
static unsigned int nr_order;
static uint64_t recalls[NODES + 1][INODES + 1];	/* number of the last, or 0 */
static unsigned int lost, nr_recalls;
static bool no_kernel;

static void on_answer(void *ctx, uint32_t node, uint64_t id, int status,
		      uint32_t flags, const struct orchfs_lock *lock)
{
	struct answer *a = &answers[id];

	(void)ctx;
	(void)node;
	assert_true(id < ANSWERS);
	assert_int_equal(a->status, PENDING);
	a->status = status;
	order[nr_order++ % ANSWERS] = id;
	a->flags = flags;
	if (lock)
		a->lock = *lock;
}

static bool on_recall(void *ctx, uint32_t node, uint64_t ino, uint64_t number,
		      bool is_lost)
{
	(void)ctx;
	assert_true(node && node <= NODES && ino && ino <= INODES);
	if (is_lost) {
		lost++;
		return true;
	}
	assert_true(number);
	nr_recalls++;
	recalls[node][ino] = number;
	return !no_kernel;
}

static const struct locks_ops ops = {
	.answer = on_answer,
	.recall = on_recall,
};

static struct locks *begin(uint32_t self)
{
	struct locks *t = locks_new(self, &ops, NULL);

	assert_non_null(t);
	memset(answers, 0, sizeof(answers));
	memset(recalls, 0, sizeof(recalls));
	lost = 0;
	nr_recalls = 0;
	no_kernel = false;
	return t;
}

static struct orchfs_lock range(uint64_t owner, uint32_t type, uint32_t flags,
				uint64_t start, uint64_t end)
{
	return (struct orchfs_lock){
		.owner = owner, .type = type, .flags = flags,
		.start = start, .end = end, .pid = (int32_t)owner,
	};
}

/* PENDING, a status, or 100 when the lease was given. */
#define LEASE 100
static int ask(struct locks *t, uint32_t node, uint64_t id, uint64_t ino,
	       struct orchfs_lock l, uint64_t now)
{
	answers[id] = (struct answer){ .status = PENDING };
	locks_request(t, node, id, ino, &l, now);
	return answers[id].flags ? LEASE : answers[id].status;
}

#define R	ORCHFS_LOCK_READ
#define W	ORCHFS_LOCK_WRITE
#define N	ORCHFS_LOCK_NONE
#define WAIT	ORCHFS_LOCK_WAIT

/* Two nodes without a lease, so that each request is decided. */
static struct locks *contended(void)
{
	struct locks *t = begin(0);

	for (uint64_t ino = 1; ino <= INODES; ino++) {
		struct orchfs_lock l = range(99, R, 0, 0, 0);

		assert_int_equal(ask(t, 2, 0, ino, l, 1), LEASE);
		assert_int_equal(ask(t, 3, 1, ino, range(1, R, 0, 0, 0), 1),
				 PENDING);
		locks_held(t, 2, ino, recalls[2][ino], &l, 1, true, 1);
		assert_int_equal(answers[1].status, 0);
		assert_int_equal(ask(t, 2, 0, ino, range(99, N, 0, 0, END), 1),
				 0);
		assert_int_equal(ask(t, 3, 1, ino, range(1, N, 0, 0, END), 1),
				 0);
	}
	assert_int_equal(locks_count(t).held, 0);
	return t;
}

static void test_ranges(void **state)
{
	struct locks *t = contended();

	(void)state;
	assert_int_equal(ask(t, 2, 2, 1, range(1, W, 0, 0, 99), 1), 0);
	assert_int_equal(ask(t, 2, 2, 1, range(1, R, 0, 40, 59), 1), 0);
	assert_int_equal(locks_count(t).held, 3);
	assert_int_equal(ask(t, 3, 3, 1, range(1, R, 0, 40, 59), 1), 0);
	assert_int_equal(ask(t, 3, 3, 1, range(1, R, 0, 40, 60), 1), -EAGAIN);
	assert_int_equal(ask(t, 3, 3, 1,
			     range(1, R, ORCHFS_LOCK_TEST, 0, END), 1), 0);
	assert_int_equal(answers[3].lock.type, W);
	assert_int_equal(answers[3].lock.start, 0);
	assert_int_equal(answers[3].lock.node, 2);
	assert_int_equal(answers[3].lock.pid, 1);
	/* an upgrade is refused while another reads, and nothing is lost */
	assert_int_equal(ask(t, 2, 2, 1, range(1, W, 0, 0, END), 1), -EAGAIN);
	assert_int_equal(locks_count(t).held, 4);
	assert_int_equal(ask(t, 3, 3, 1, range(1, N, 0, 0, END), 1), 0);
	assert_int_equal(ask(t, 2, 2, 1, range(1, W, 0, 0, END), 1), 0);
	assert_int_equal(locks_count(t).held, 1);
	/* neighbours become one, and a hole makes two of one */
	assert_int_equal(ask(t, 2, 2, 1, range(1, N, 0, 10, 19), 1), 0);
	assert_int_equal(locks_count(t).held, 2);
	assert_int_equal(ask(t, 2, 2, 1, range(1, W, 0, 10, 19), 1), 0);
	assert_int_equal(locks_count(t).held, 1);
	/* flock knows nothing of it */
	assert_int_equal(ask(t, 3, 3, 1,
			     range(7, W, ORCHFS_LOCK_FLOCK, 0, END), 1), 0);
	assert_int_equal(ask(t, 2, 3, 1,
			     range(7, R, ORCHFS_LOCK_FLOCK, 0, END), 1),
			 -EAGAIN);
	assert_int_equal(ask(t, 2, 2, 1, range(1, W, 0, 9, 8), 1), -EINVAL);
	assert_int_equal(ask(t, 2, 2, 1, range(1, 3, 0, 0, 8), 1), -EINVAL);
	assert_int_equal(ask(t, 2, 2, 1, range(1, R, 1U << 9, 0, 8), 1),
			 -EINVAL);
	locks_free(t);
}

static void test_waiting(void **state)
{
	struct locks *t = contended();

	(void)state;
	assert_int_equal(ask(t, 2, 2, 1, range(1, W, 0, 0, 9), 1), 0);
	assert_int_equal(ask(t, 3, 3, 1, range(1, R, WAIT, 0, 9), 1), PENDING);
	assert_int_equal(ask(t, 3, 4, 1, range(2, R, WAIT, 5, 5), 1), PENDING);
	assert_int_equal(ask(t, 3, 5, 1, range(3, W, WAIT, 5, 5), 1), PENDING);
	assert_int_equal(locks_count(t).waiting, 3);
	/* a lesser lock lets the readers in */
	assert_int_equal(ask(t, 2, 2, 1, range(1, R, 0, 0, 9), 1), 0);
	assert_int_equal(answers[3].status, 0);
	assert_int_equal(answers[4].status, 0);
	assert_int_equal(answers[5].status, PENDING);
	/* a waiter that is interrupted, and one that was granted before */
	assert_int_equal(ask(t, 3, 6, 1,
			     (struct orchfs_lock){ .id = 5,
				.flags = ORCHFS_LOCK_CANCEL }, 1), 0);
	assert_int_equal(answers[5].status, -EINTR);
	assert_int_equal(ask(t, 3, 6, 1,
			     (struct orchfs_lock){ .id = 4,
				.flags = ORCHFS_LOCK_CANCEL }, 1), 0);
	assert_int_equal(answers[4].status, 0);
	/* another node can't end it */
	assert_int_equal(ask(t, 3, 5, 1, range(3, W, WAIT, 5, 5), 1), PENDING);
	assert_int_equal(ask(t, 2, 6, 1,
			     (struct orchfs_lock){ .id = 5,
				.flags = ORCHFS_LOCK_CANCEL }, 1), 0);
	assert_int_equal(answers[5].status, PENDING);
	/* a node that ends lets the rest go on */
	assert_int_equal(ask(t, 3, 6, 1, range(1, N, 0, 0, END), 1), 0);
	assert_int_equal(ask(t, 3, 6, 1, range(2, N, 0, 0, END), 1), 0);
	assert_int_equal(answers[5].status, PENDING);
	locks_node_gone(t, 2, 1);
	assert_int_equal(answers[5].status, 0);
	assert_int_equal(locks_count(t).held, 1);
	locks_free(t);
}

/* Requests of an owner arrive in another order than they were made in. */
static void test_order(void **state)
{
	struct locks *t = contended();

	(void)state;
	assert_int_equal(ask(t, 2, 10, 1, range(1, W, 0, 0, 9), 1), 0);
	/* an unlock of before doesn't take it, nor does another lock */
	assert_int_equal(ask(t, 2, 9, 1, range(1, N, 0, 0, 99), 1), -ESTALE);
	assert_int_equal(ask(t, 2, 9, 1, range(1, R, 0, 9, 19), 1), -ESTALE);
	assert_int_equal(ask(t, 2, 9, 1, range(1, N, 0, 10, 99), 1), 0);
	assert_int_equal(ask(t, 2, 9, 1, range(2, R, 0, 10, 19), 1), 0);
	assert_int_equal(ask(t, 3, 11, 1, range(1, R, 0, 9, 9), 1), -EAGAIN);
	/* nor does one that waited longer */
	assert_int_equal(ask(t, 3, 12, 1, range(3, W, 0, 30, 39), 1), 0);
	assert_int_equal(ask(t, 2, 13, 1, range(1, W, WAIT, 20, 39), 1),
			 PENDING);
	assert_int_equal(ask(t, 2, 14, 1, range(1, R, 0, 20, 29), 1), 0);
	assert_int_equal(ask(t, 3, 15, 1, range(3, N, 0, 0, END), 1), 0);
	assert_int_equal(answers[13].status, -ESTALE);
	/* neighbours that became one are as new as the newer */
	assert_int_equal(ask(t, 2, 16, 1, range(4, R, 0, 50, 59), 1), 0);
	assert_int_equal(ask(t, 2, 18, 1, range(4, R, 0, 60, 69), 1), 0);
	assert_int_equal(ask(t, 2, 17, 1, range(4, N, 0, 50, 59), 1), -ESTALE);
	assert_int_equal(ask(t, 2, 19, 1, range(4, N, 0, 50, 59), 1), 0);
	/* what is told anew is older than all requests */
	locks_node_gone(t, 3, 1);
	locks_reclaim_begin(t, 2);
	locks_reclaim(t, 2, 1, false, &(struct orchfs_lock){
		      .owner = 1, .type = W, .end = 9 }, 1, false);
	locks_reclaim_end(t, 2, 1);
	assert_int_equal(ask(t, 2, 2, 1, range(1, N, 0, 0, 99), 1), 0);
	assert_int_equal(locks_count(t).held, 0);
	locks_free(t);
}

static void test_deadlock(void **state)
{
	struct locks *t = contended();

	(void)state;
	assert_int_equal(ask(t, 2, 2, 1, range(1, W, 0, 0, 0), 1), 0);
	assert_int_equal(ask(t, 3, 3, 2, range(1, W, 0, 0, 0), 1), 0);
	assert_int_equal(ask(t, 3, 4, 3, range(2, W, 0, 0, 0), 1), 0);
	assert_int_equal(ask(t, 2, 2, 2, range(1, W, WAIT, 0, 0), 1), PENDING);
	assert_int_equal(ask(t, 3, 3, 3, range(1, R, WAIT, 0, 0), 1), PENDING);
	assert_int_equal(ask(t, 3, 4, 1, range(2, R, WAIT, 0, 0), 1),
			 -EDEADLK);
	/* an open file has no task that could wait */
	assert_int_equal(ask(t, 3, 4, 1,
			     range(2, R, WAIT | ORCHFS_LOCK_OFD, 0, 0), 1),
			 PENDING);
	/* both upgrade the same bytes */
	assert_int_equal(ask(t, 2, 5, 3, range(5, R, 0, 7, 7), 1), 0);
	assert_int_equal(ask(t, 3, 6, 3, range(6, R, 0, 7, 7), 1), 0);
	assert_int_equal(ask(t, 2, 5, 3, range(5, W, WAIT, 7, 7), 1), PENDING);
	assert_int_equal(ask(t, 3, 6, 3, range(6, W, WAIT, 7, 7), 1),
			 -EDEADLK);
	locks_free(t);
}

static void test_lease(void **state)
{
	struct locks *t = begin(1);
	struct orchfs_lock mine[2];
	uint64_t number;

	(void)state;
	/* the own kernel decides about what nobody else asked for */
	assert_int_equal(ask(t, 1, 1, 1, range(1, W, 0, 0, 9), 5000), LEASE);
	assert_int_equal(locks_count(t).inodes, 0);
	assert_int_equal(ask(t, 2, 2, 1, range(1, R, WAIT, 0, 9), 5000),
			 PENDING);
	assert_int_equal(nr_recalls, 1);
	/* what it sends after it let go waits for the list */
	assert_int_equal(ask(t, 1, 1, 1, range(1, N, 0, 9, 9), 5000), PENDING);
	mine[0] = range(1, W, 0, 0, 3);
	mine[1] = range(1, W, 0, 4, 9);
	/* an answer that takes longer than until it is asked for again does */
	number = recalls[1][1];
	locks_held(t, 1, 1, number, mine, 1, false, 5000);
	locks_tick(t, 5999);
	assert_int_equal(nr_recalls, 1);
	locks_tick(t, 6000);
	assert_int_equal(nr_recalls, 2);
	assert_int_equal(recalls[1][1], number);
	/* one of another recall doesn't; this one was cut, and begins again */
	locks_held(t, 1, 1, number - 1, mine, 1, true, 6000);
	assert_int_equal(answers[1].status, PENDING);
	locks_held(t, 1, 1, number, mine, 1, false, 6000);
	locks_held(t, 1, 1, number, mine + 1, 1, true, 6000);
	assert_int_equal(answers[1].status, 0);
	assert_int_equal(answers[2].status, PENDING);
	assert_int_equal(locks_count(t).held, 1);
	/* the answer to the second one is too late */
	assert_int_equal(ask(t, 1, 1, 1, range(1, N, 0, 0, 8), 6000), 0);
	locks_held(t, 1, 1, number, mine, 2, true, 6000);
	assert_int_equal(locks_count(t).held, 1);
	assert_int_equal(answers[2].status, 0);
	/* alone, but it was contended just now */
	assert_int_equal(ask(t, 2, 2, 1, range(1, R, 0, 0, 9), 6999), 0);
	assert_int_equal(ask(t, 2, 2, 1, range(1, R, 0, 0, 9), 7000), LEASE);
	assert_int_equal(locks_count(t).held, 0);
	/* nothing held: the next one gets the lease at once */
	assert_int_equal(ask(t, 3, 3, 1, range(1, R, 0, 0, 9), 9000), PENDING);
	locks_held(t, 2, 1, recalls[2][1], NULL, 0, true, 9000);
	assert_int_equal(answers[3].flags, ORCHFS_REQ_FLAG_LEASE);
	/* but not if they take turns */
	assert_int_equal(ask(t, 2, 2, 1, range(1, R, 0, 0, 9), 9001), PENDING);
	locks_held(t, 3, 1, recalls[3][1], NULL, 0, true, 9001);
	assert_int_equal(answers[2].flags, 0);
	assert_int_equal(answers[2].status, 0);
	locks_free(t);
}

/* One node's ranges leave room for others', and none is forgotten unsaid. */
static void test_room(void **state)
{
	struct locks *t = contended();
	struct orchfs_lock l[3];
	uint64_t at = 0;

	(void)state;
	/* two have leases, of locks that nobody knows */
	assert_int_equal(ask(t, 2, 2, 2, range(9, W, 0, 0, 9), 5000), LEASE);
	assert_int_equal(ask(t, 3, 3, 3, range(9, W, 0, 0, 9), 5000), LEASE);
	/* so many that a list of them would take minutes, and in any order */
	while (ask(t, 2, 2, 1, range(1 + at % 7, R, 0, at * 40503 % (1 << 18) * 2,
				     at * 40503 % (1 << 18) * 2), 1) == 0)
		at++;
	assert_int_equal(answers[2].status, -ENOLCK);
	assert_int_equal(locks_count(t).held, LOCKS_NODE_MAX - 1);
	assert_int_equal(ask(t, 3, 4, 1, range(1, R, 0, 1, 9), 1), 0);
	/* what is cut by an unlock finds some for a while */
	assert_int_equal(ask(t, 2, 2, 1, range(1, N, 0, 0, 0), 1), 0);
	assert_int_equal(ask(t, 2, 2, 1, range(1, R, 0, 1 << 20, 2 << 20), 1),
			 0);
	for (at = 0; at < 2 * LOCKS_CUT_MAX; at++)
		if (ask(t, 2, 2, 1, range(1, N, 0, (1 << 20) + 1 + at * 2,
					  (1 << 20) + 1 + at * 2), 1))
			break;
	assert_in_range(at, LOCKS_CUT_MAX - 2, LOCKS_CUT_MAX);
	/* what a lease's end brings is lost as a whole, and that is said */
	for (unsigned int i = 0; i < 3; i++)
		l[i] = range(9, W, 0, i * 2, i * 2);
	assert_int_equal(ask(t, 3, 5, 2, range(1, R, WAIT, 0, 0), 5000),
			 PENDING);
	locks_held(t, 2, 2, recalls[2][2], l, 2, false, 5000);
	locks_held(t, 2, 2, recalls[2][2], l + 2, 1, true, 5000);
	assert_int_equal(lost, 1);
	assert_int_equal(answers[5].status, 0);
	/* so is what is told anew, whatever of it comes last */
	locks_reclaim_begin(t, 3);
	locks_reclaim(t, 3, 3, true, NULL, 0, false);
	locks_reclaim_end(t, 3, 1);
	assert_int_equal(lost, 1);
	locks_reclaim_begin(t, 3);
	locks_reclaim(t, 3, 1, false, &(struct orchfs_lock){
		      .owner = 1, .type = W, .end = 1 << 20 }, 1, false);
	locks_reclaim(t, 3, 1, false, &(struct orchfs_lock){
		      .owner = 1, .type = R, .start = 3 << 20,
		      .end = 3 << 20 }, 1, false);
	locks_reclaim_end(t, 3, 1);
	assert_int_equal(lost, 3);
	locks_node_gone(t, 2, 1);
	assert_int_equal(locks_count(t).held, 0);
	locks_free(t);
}

static void test_no_kernel(void **state)
{
	struct locks *t = begin(1);

	(void)state;
	no_kernel = true;
	assert_int_equal(ask(t, 2, 2, 1, range(1, R, 0, 0, 9), 5000), LEASE);
	assert_int_equal(ask(t, 3, 3, 1, range(1, R, 0, 0, 9), 5000), LEASE);
	locks_node_gone(t, 3, 5000);
	assert_int_equal(locks_count(t).inodes, 0);
	locks_free(t);
}

static void test_reclaim(void **state)
{
	struct locks *t = contended();
	struct orchfs_lock l = range(1, W, 0, 0, 9);

	(void)state;
	assert_int_equal(ask(t, 2, 2, 1, l, 1), 0);
	assert_int_equal(ask(t, 2, 2, 2, l, 1), 0);
	assert_int_equal(ask(t, 3, 3, 1, range(1, W, WAIT, 0, 9), 1), PENDING);
	assert_int_equal(ask(t, 3, 4, 2, range(1, W, WAIT, 0, 9), 1), PENDING);
	locks_reclaim_begin(t, 2);
	locks_reclaim(t, 2, 1, false, &l, 1, false);
	assert_int_equal(answers[4].status, PENDING);
	locks_reclaim_end(t, 2, 1);
	assert_int_equal(answers[3].status, PENDING);
	assert_int_equal(answers[4].status, 0);
	/* what somebody else has now isn't given back */
	locks_reclaim_begin(t, 2);
	locks_reclaim(t, 2, 1, false, &l, 1, false);
	locks_reclaim(t, 2, 2, false, &l, 1, false);
	locks_reclaim(t, 2, 2, true, NULL, 0, false);
	locks_reclaim_end(t, 2, 1);
	assert_int_equal(lost, 2);
	/* nor anything to whose session ended */
	locks_reclaim_begin(t, 2);
	locks_reclaim(t, 2, 1, false, &l, 1, true);
	locks_reclaim_end(t, 2, 1);
	assert_int_equal(lost, 3);
	assert_int_equal(answers[3].status, 0);
	/* a lease that is told again while it is recalled */
	locks_free(t);
	t = begin(0);
	assert_int_equal(ask(t, 2, 2, 1, l, 1), LEASE);
	assert_int_equal(ask(t, 3, 3, 1, l, 1), PENDING);
	locks_reclaim_begin(t, 2);
	locks_tick(t, 5000);
	locks_reclaim(t, 2, 1, true, NULL, 0, false);
	locks_reclaim_end(t, 2, 5000);
	assert_int_equal(answers[3].status, PENDING);
	assert_int_equal(nr_recalls, 1);
	locks_tick(t, 5000);
	assert_int_equal(nr_recalls, 2);
	/* or that was let go of, but the list was lost */
	locks_reclaim_begin(t, 2);
	locks_reclaim(t, 2, 1, false, &l, 1, false);
	locks_reclaim_end(t, 2, 5000);
	assert_int_equal(answers[3].status, -EAGAIN);
	locks_free(t);
}

/* --- nodes at random --- */

enum state { ASK, LEASED, SHARED };

static struct {
	struct locks *t;
	uint64_t now;
	enum state state[NODES + 1][INODES + 1];
	/* what the application has, byte by byte */
	uint8_t has[INODES + 1][KINDS][NODES + 1][OWNERS + 1][BYTES];
	/* what each owner waits for: id 0 is none */
	struct {
		uint64_t ino;
		struct orchfs_lock l;
		bool sent;
	} wait[NODES + 1][OWNERS + 1];
} m;

static uint64_t id_of(uint32_t node, uint64_t owner)
{
	return node * (OWNERS + 1) + owner;
}

static unsigned int kind_of(const struct orchfs_lock *l)
{
	return l->flags & ORCHFS_LOCK_FLOCK ? 1 : 0;
}

static unsigned int last(const struct orchfs_lock *l)
{
	return l->end == END ? BYTES - 1 : (unsigned int)l->end;
}

/* The byte is in the way of @l. */
static bool hinders(uint32_t node, uint64_t owner, uint8_t has,
		    const struct orchfs_lock *l, uint32_t asker)
{
	if (node == asker && owner == l->owner)
		return false;
	return has == W || (has == R && l->type == W);
}

/* @only: a node that decides alone, or 0 */
static bool free_for(uint64_t ino, const struct orchfs_lock *l, uint32_t asker,
		     uint32_t only, bool edges[NODES + 1][OWNERS + 1])
{
	bool ok = true;

	for (uint32_t n = 1; n <= NODES; n++) {
		for (uint64_t o = 1; o <= OWNERS; o++) {
			for (uint64_t b = l->start; b <= last(l); b++) {
				if (only && only != n)
					continue;
				if (!hinders(n, o, m.has[ino][kind_of(l)][n][o][b],
					     l, asker))
					continue;
				ok = false;
				if (edges)
					edges[n][o] = true;
			}
		}
	}
	return ok;
}

static void set(uint64_t ino, uint32_t node, const struct orchfs_lock *l)
{
	for (uint64_t b = l->start; b <= last(l); b++)
		m.has[ino][kind_of(l)][node][l->owner][b] = (uint8_t)l->type;
}

static bool recalling(uint64_t ino)
{
	for (uint32_t n = 1; n <= NODES; n++)
		if (recalls[n][ino])
			return true;
	return false;
}

/* Can what blocks the owner be reached from itself? Posix locks only. */
static bool reaches(uint32_t node, uint64_t owner, uint64_t ino,
		    const struct orchfs_lock *l)
{
	bool seen[NODES + 1][OWNERS + 1] = { 0 };
	bool more = true;

	if (l->flags & ORCHFS_LOCK_FLOCK)
		return false;
	free_for(ino, l, node, 0, seen);
	while (more) {
		more = false;
		for (uint32_t n = 1; n <= NODES; n++) {
			for (uint64_t o = 1; o <= OWNERS; o++) {
				bool next[NODES + 1][OWNERS + 1] = { 0 };
				const struct orchfs_lock *w = &m.wait[n][o].l;

				if (!seen[n][o] || !m.wait[n][o].ino ||
				    kind_of(w))
					continue;
				if (!m.wait[n][o].sent ||
				    recalling(m.wait[n][o].ino) ||
				    answers[id_of(n, o)].status != PENDING)
					continue;
				free_for(m.wait[n][o].ino, w, n, 0, next);
				for (uint32_t i = 1; i <= NODES; i++)
					for (uint64_t j = 1; j <= OWNERS; j++)
						if (next[i][j] && !seen[i][j])
							more = seen[i][j] = true;
			}
		}
	}
	return seen[node][owner];
}

/* The answer to a request that is decided: it must be the only right one. */
static void take(uint32_t node, uint64_t owner)
{
	struct answer *a = &answers[id_of(node, owner)];
	uint64_t ino = m.wait[node][owner].ino;
	struct orchfs_lock l = m.wait[node][owner].l;

	if (!ino)
		return;
	m.wait[node][owner].ino = 0;
	if (a->flags) {
		assert_int_equal(a->status, 0);
		m.state[node][ino] = LEASED;
		return;		/* the caller tries again */
	}
	if (l.flags & ORCHFS_LOCK_TEST && !a->status) {
		assert_int_equal(a->lock.type == N,
				 free_for(ino, &l, node, 0, NULL));
		return;
	}
	switch (a->status) {
	case 0:
		assert_true(l.type == N || free_for(ino, &l, node, 0, NULL));
		set(ino, node, &l);
		m.state[node][ino] = SHARED;
		break;
	case -EAGAIN:
		assert_false(l.flags & WAIT);
		assert_false(free_for(ino, &l, node, 0, NULL));
		m.state[node][ino] = SHARED;
		break;
	case -EDEADLK:
		assert_true(reaches(node, owner, ino, &l));
		m.state[node][ino] = SHARED;
		break;
	default:
		assert_int_equal(a->status, -EINTR);
	}
}

/* Take what was answered; all that waits has a reason, and no circle. */
static void settle(void)
{
	assert_true(nr_order <= ANSWERS);
	for (unsigned int i = 0; i < nr_order; i++)
		take((uint32_t)order[i] / (OWNERS + 1),
		     order[i] % (OWNERS + 1));
	nr_order = 0;
	for (uint32_t n = 1; n <= NODES; n++) {
		for (uint64_t o = 1; o <= OWNERS; o++) {
			const struct orchfs_lock *w = &m.wait[n][o].l;
			uint64_t ino = m.wait[n][o].ino;

			if (!ino || !m.wait[n][o].sent || recalling(ino))
				continue;
			assert_true(w->flags & WAIT);
			assert_false(free_for(ino, w, n, 0, NULL));
			assert_false(reaches(n, o, ino, w));
		}
	}
}

static struct orchfs_lock random_lock(uint64_t owner)
{
	static const uint32_t types[] = { N, R, R, W, W };
	struct orchfs_lock l = range(owner, types[random() % 5], 0, 0, END);

	if (random() % 3 == 0) {
		l.flags |= ORCHFS_LOCK_FLOCK;
	} else {
		l.start = (uint64_t)random() % BYTES;
		l.end = l.start + (uint64_t)random() % (BYTES - l.start);
		if (l.end == BYTES - 1)
			l.end = END;
		if (l.type != N && random() % 6 == 0)
			l.flags |= ORCHFS_LOCK_TEST;
	}
	if (l.type != N && !(l.flags & ORCHFS_LOCK_TEST) && random() % 2)
		l.flags |= WAIT;
	return l;
}

/* As the kernel does: flock(2) lets go first, an unlock needs no permission. */
static void before(uint64_t ino, uint32_t node, const struct orchfs_lock *l)
{
	struct orchfs_lock none = *l;

	none.type = N;
	if (l->type == N || l->flags & ORCHFS_LOCK_FLOCK)
		set(ino, node, &none);
}

static void send_wait(uint32_t node, uint64_t owner)
{
	uint64_t id = id_of(node, owner);

	answers[id] = (struct answer){ .status = PENDING };
	m.wait[node][owner].sent = true;
	locks_request(m.t, node, id, m.wait[node][owner].ino,
		      &m.wait[node][owner].l, m.now);
}

static void do_lock(uint32_t node, uint64_t owner)
{
	uint64_t ino = 1 + (uint64_t)random() % INODES;
	struct orchfs_lock l = random_lock(owner);

	if (m.wait[node][owner].ino)
		return;
	if (m.state[node][ino] == LEASED ||
	    (m.state[node][ino] == ASK && l.type == N)) {
		/* nobody else has any, which is what the lease is for */
		if (m.state[node][ino] == LEASED)
			assert_int_equal(free_for(ino, &l, node, 0, NULL),
					 free_for(ino, &l, node, node, NULL));
		if (!(l.flags & ORCHFS_LOCK_TEST) &&
		    (l.type == N || free_for(ino, &l, node, node, NULL)))
			set(ino, node, &l);
		return;
	}
	before(ino, node, &l);
	m.wait[node][owner].ino = ino;
	m.wait[node][owner].l = l;
	send_wait(node, owner);
}

static size_t list_of(uint32_t node, uint64_t ino, struct orchfs_lock *l)
{
	size_t nr = 0;

	for (unsigned int k = 0; k < KINDS; k++) {
		for (uint64_t o = 1; o <= OWNERS; o++) {
			const uint8_t *has = m.has[ino][k][node][o];

			for (uint64_t b = 0; b < BYTES; b++) {
				if (!has[b])
					continue;
				if (k && b)
					continue;
				l[nr] = range(o, has[b],
					      k ? ORCHFS_LOCK_FLOCK : 0, b,
					      k || b == BYTES - 1 ? END : b);
				nr++;
			}
		}
	}
	return nr;
}

static void do_recall(uint32_t node, uint64_t ino)
{
	struct orchfs_lock l[KINDS * OWNERS * BYTES];
	uint64_t number = recalls[node][ino];
	size_t nr, half;

	if (!number)
		return;
	recalls[node][ino] = 0;
	m.state[node][ino] = SHARED;
	nr = list_of(node, ino, l);
	half = nr ? (size_t)random() % nr : 0;
	if (half)
		locks_held(m.t, node, ino, number, l, half, false, m.now);
	locks_held(m.t, node, ino, number, l + half, nr - half, true, m.now);
}

static void do_cancel(uint32_t node, uint64_t owner)
{
	struct orchfs_lock c = { .id = id_of(node, owner),
				 .flags = ORCHFS_LOCK_CANCEL };
	uint64_t ino = m.wait[node][owner].ino;

	if (!ino || m.wait[node][owner].l.type == N)
		return;
	answers[0] = (struct answer){ .status = PENDING };
	locks_request(m.t, node, 0, ino, &c, m.now);
	assert_int_equal(answers[0].status, 0);
	assert_int_not_equal(answers[c.id].status, PENDING);
}

static void do_crash(uint32_t node)
{
	for (uint64_t ino = 1; ino <= INODES; ino++) {
		for (unsigned int k = 0; k < KINDS; k++)
			memset(m.has[ino][k][node], 0,
			       sizeof(m.has[ino][k][node]));
		m.state[node][ino] = ASK;
		recalls[node][ino] = 0;
	}
	memset(m.wait[node], 0, sizeof(m.wait[node]));
	locks_node_gone(m.t, node, m.now);
}

/* The link was lost, or the authority started anew. */
static void tell_again(uint32_t node)
{
	struct orchfs_lock l[KINDS * OWNERS * BYTES];

	for (uint64_t o = 1; o <= OWNERS; o++)
		m.wait[node][o].sent = false;
	locks_reclaim_begin(m.t, node);
	for (uint64_t ino = 1; ino <= INODES; ino++) {
		size_t nr = list_of(node, ino, l);

		if (m.state[node][ino] != LEASED)
			recalls[node][ino] = 0;	/* else it comes again */
		if (m.state[node][ino] == LEASED)
			locks_reclaim(m.t, node, ino, true, NULL, 0, false);
		else if (nr)
			locks_reclaim(m.t, node, ino, false, l, nr, false);
	}
	locks_reclaim_end(m.t, node, m.now);
	assert_int_equal(lost, 0);
}

static void send_again(uint32_t node)
{
	for (uint64_t o = 1; o <= OWNERS; o++) {
		if (!m.wait[node][o].ino ||
		    answers[id_of(node, o)].status != PENDING)
			continue;
		send_wait(node, o);
		settle();
	}
}

static void do_restart(void)
{
	locks_free(m.t);
	m.t = locks_new(1, &ops, NULL);
	assert_non_null(m.t);
	for (uint32_t n = 1; n <= NODES; n++)
		tell_again(n);
	settle();
	for (uint32_t n = 1; n <= NODES; n++)
		send_again(n);
}

static void step(void)
{
	uint32_t node = 1 + (uint32_t)random() % NODES;
	uint64_t owner = 1 + (uint64_t)random() % OWNERS;
	int what = (int)(random() % 1000);

	if (what < 700) {
		do_lock(node, owner);
	} else if (what < 850) {
		do_recall(node, 1 + (uint64_t)random() % INODES);
	} else if (what < 900) {
		do_cancel(node, owner);
	} else if (what < 980) {
		m.now += (uint64_t)random() % 900;
		locks_tick(m.t, m.now);
	} else if (what < 988) {
		do_crash(node);
	} else if (what < 996) {
		tell_again(node);
		settle();
		send_again(node);
	} else {
		do_restart();
	}
	settle();
}

static void test_random(void **state)
{
	const char *s = getenv("ORCH_SEED"), *n = getenv("ORCH_OPS");
	unsigned int seed = s ? (unsigned int)atol(s) : 1;
	unsigned long nr = n ? strtoul(n, NULL, 0) : 200000;

	(void)state;
	print_message("ORCH_SEED=%u ORCH_OPS=%lu\n", seed, nr);
	srandom(seed);
	memset(&m, 0, sizeof(m));
	m.t = begin(1);
	m.now = 10000;
	nr_order = 0;
	while (nr--)
		step();
	for (uint32_t i = 1; i <= NODES; i++) {
		do_crash(i);
		settle();
	}
	m.now += 2 * LOCKS_CONTENDED_MS;
	locks_tick(m.t, m.now);
	assert_int_equal(locks_count(m.t).inodes, 0);
	assert_int_equal(locks_count(m.t).held, 0);
	assert_int_equal(locks_count(m.t).waiting, 0);
	locks_free(m.t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_deadlock),
		cmocka_unit_test(test_lease),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_no_kernel),
		cmocka_unit_test(test_reclaim),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
