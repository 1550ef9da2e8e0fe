// SPDX-License-Identifier: Apache-2.0
/*
 * What other nodes may believe: rows, invalidations, answers that wait. The
 * last test is random, against nodes that cache what they are told:
 * ORCHFS_TEST_SEED=N and ORCHFS_TEST_OPS=N replay and prolong a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lease.h"

#define A	0U		/* the authority's own kernel */
#define B	2U
#define C	3U

struct sent {
	uint32_t node;
	uint64_t seq, ino[LEASE_BATCH];
	bool nameless[LEASE_BATCH];
	size_t nr;
};

static struct lease *l;
static struct sent sent[4096];
static size_t nr_sent;
static uint32_t ended[8];
static size_t nr_ended, nr_ready;
static int send_error;

static int do_send(void *ctx, uint32_t node, uint64_t seq,
		   const struct op_stale *s, size_t nr)
{
	struct sent *m = &sent[nr_sent];

	(void)ctx;
	if (send_error)
		return send_error;
	assert_true(nr_sent < 4096 && nr <= LEASE_BATCH);
	*m = (struct sent){ .node = node, .seq = seq, .nr = nr };
	for (size_t i = 0; i < nr; i++) {
		m->ino[i] = s[i].ino;
		m->nameless[i] = s[i].has_attr;
	}
	nr_sent++;
	return 0;
}

static void do_ready(void *ctx, struct lease_wait *w)
{
	(void)ctx;
	assert_int_equal(w->nr, 0);
	assert_null(w->refs);
	nr_ready++;
}

static void do_ended(void *ctx, uint32_t node)
{
	(void)ctx;
	ended[nr_ended++ % 8] = node;
}

static const struct lease_ops ops = { do_send, do_ready, do_ended };

static int setup(void **state)
{
	(void)state;
	nr_sent = nr_ended = nr_ready = 0;
	send_error = 0;
	l = lease_new(&ops, NULL);
	return l ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	lease_free(l);
	return 0;
}

static void attach(uint32_t node)
{
	assert_int_equal(lease_attach(l, node, true, 1000), 0);
	lease_up(l, node, 1000);
}

static void change(uint32_t origin, uint64_t ino)
{
	lease_changed(l, origin, ino, NULL, 0);
	lease_flush(l);
}

static size_t stale(uint32_t node)
{
	struct lease_info i;

	assert_int_equal(lease_info(l, node, &i), 0);
	return i.stale;
}

static size_t waits(struct lease_wait *w, uint32_t origin, uint64_t ino)
{
	*w = (struct lease_wait){ 0 };
	assert_int_equal(lease_wait_for(l, w, origin, ino), 0);
	return w->nr;
}

static void test_none(void **state)
{
	struct lease_wait w;
	uint32_t nodes[4];

	(void)state;
	assert_true(lease_none(NULL) && lease_none(l));
	lease_told(l, B, 7);
	change(A, 7);
	assert_int_equal(waits(&w, A, 7), 0);
	assert_int_equal(lease_holders(l, 7, nodes, 4), 0);
	lease_end(l, B);
	lease_tick(l, 99999);
	assert_int_equal(nr_sent + nr_ended, 0);
	assert_int_equal(lease_renew(l, B, 0, 1), -ENOENT);
}

static void test_change(void **state)
{
	struct lease_wait w, w2, none;
	uint32_t nodes[4];

	(void)state;
	attach(B);
	attach(C);
	lease_told(l, B, 7);
	lease_told(l, C, 7);
	lease_told(l, C, 8);
	assert_int_equal(lease_holders(l, 7, nodes, 4), 2);
	assert_int_equal(lease_holders(l, 8, nodes, 4), 1);
	assert_int_equal(nodes[0], C);
	change(B, 7);
	assert_int_equal(nr_sent, 1);
	assert_int_equal(sent[0].node, C);
	assert_int_equal(sent[0].nr, 1);
	assert_int_equal(sent[0].ino[0], 7);
	/* it is told, so once is enough, but it may have it in memory */
	change(B, 7);
	assert_int_equal(nr_sent, 1);
	assert_int_equal(lease_holders(l, 7, nodes, 4), 2);
	/* all but the one that is told before its answer comes */
	assert_int_equal(waits(&w, B, 7), 1);
	assert_int_equal(waits(&w2, A, 7), 1);
	assert_int_equal(waits(&none, C, 7), 0);
	assert_int_equal(waits(&none, B, 8), 0);
	lease_acked(l, C, 77);
	lease_acked(l, B, sent[0].seq);
	assert_int_equal(nr_ready, 0);
	lease_wait_drop(&w2);
	lease_acked(l, C, sent[0].seq);
	assert_int_equal(nr_ready, 1);
	assert_int_equal(waits(&none, B, 7), 0);
	/* a row again: told again */
	lease_told(l, C, 7);
	change(A, 7);
	assert_int_equal(nr_sent, 3);
	assert_int_equal(waits(&w, A, 7), 2);
	lease_end(l, C);
	assert_int_equal(nr_ended, 1);
	assert_int_equal(w.nr, 1);
	lease_end(l, B);
	assert_int_equal(nr_ready, 2);
	assert_true(lease_none(l));
}

static void test_nameless(void **state)
{
	const struct orchfs_attr attr = { .ino = 7 };
	uint32_t nodes[4];

	(void)state;
	attach(B);
	attach(C);
	lease_told(l, B, 7);
	change(A, 7);
	/* told or not: what it has in memory it has to let go of */
	lease_changed(l, A, 7, &attr, 0);
	lease_flush(l);
	assert_int_equal(nr_sent, 2);
	assert_false(sent[0].nameless[0]);
	assert_true(sent[1].nameless[0] && sent[1].node == B);
	lease_forgot(l, B, 7);
	lease_forgot(l, B, 9);
	assert_int_equal(lease_holders(l, 7, nodes, 4), 0);
}

/* A link that comes back brings what wasn't acknowledged. */
static void test_link(void **state)
{
	struct lease_wait w;

	(void)state;
	attach(B);
	lease_told(l, B, 7);
	lease_told(l, B, 8);
	change(A, 7);
	lease_down(l, B);
	assert_int_equal(lease_renew(l, B, 0, 5000), -ENOENT);
	change(A, 8);
	assert_int_equal(nr_sent, 1);
	assert_int_equal(waits(&w, A, 7), 1);
	/* nor can it be told before its answer now */
	lease_wait_drop(&w);
	assert_int_equal(waits(&w, B, 7), 1);
	attach(B);
	lease_flush(l);
	assert_int_equal(nr_sent, 2);
	assert_int_equal(sent[1].nr, 2);
	assert_true(sent[1].seq > sent[0].seq);
	lease_acked(l, B, sent[0].seq);
	assert_int_equal(nr_ready, 0);
	lease_acked(l, B, sent[1].seq);
	assert_int_equal(nr_ready, 1);
	assert_int_equal(stale(B), 0);
	/* one that can't be told has its link down */
	send_error = -ENOMEM;
	lease_told(l, B, 7);
	change(A, 7);
	assert_int_equal(stale(B), 1);
	assert_int_equal(lease_renew(l, B, 0, 5000), -ENOENT);
	/* another kernel: what the last one was told is of no interest */
	assert_int_equal(waits(&w, A, 7), 1);
	assert_int_equal(lease_attach(l, B, false, 1000), 0);
	assert_int_equal(nr_ready, 2);
	assert_int_equal(nr_ended, 0);
}

static void test_deadline(void **state)
{
	struct lease_wait w;

	(void)state;
	attach(B);
	attach(C);
	lease_told(l, B, 7);
	lease_changed(l, A, 7, NULL, 500);
	lease_flush(l);
	assert_int_equal(waits(&w, A, 7), 1);
	lease_tick(l, 999);
	assert_int_equal(nr_ended, 0);
	/* who doesn't acknowledge doesn't get more time for ever */
	assert_int_equal(lease_renew(l, B, 500, 1200), 0);
	assert_int_equal(lease_renew(l, B, 501, 2000), -EBUSY);
	assert_int_equal(lease_renew(l, C, 501, 2000), 0);
	assert_int_equal(lease_renew(l, C, 501, 1100), 0);
	lease_tick(l, 1199);
	assert_int_equal(nr_ended, 0);
	lease_tick(l, 1200);
	assert_int_equal(nr_ended, 1);
	assert_int_equal(ended[0], B);
	assert_int_equal(nr_ready, 1);
	lease_tick(l, 1999);
	assert_int_equal(nr_ended, 1);
	lease_tick(l, 2000);
	assert_int_equal(nr_ended, 2);
	assert_true(lease_none(l));
}

/* A node that leaves isn't waited for; what it still says counts for nothing. */
static void test_leave(void **state)
{
	struct lease_wait w;

	(void)state;
	attach(B);
	lease_told(l, B, 7);
	change(A, 7);
	assert_int_equal(waits(&w, A, 7), 1);
	lease_leave(l, B);
	lease_leave(l, C);
	assert_int_equal(nr_ready, 1);
	assert_int_equal(nr_ended, 0);
	assert_true(lease_none(l));
	attach(B);
	lease_told(l, B, 7);
	change(A, 7);
	assert_int_equal(nr_sent, 2);
	assert_int_equal(waits(&w, A, 7), 1);
	lease_acked(l, B, sent[0].seq);
	assert_int_equal(nr_ready, 1);
	lease_acked(l, B, sent[1].seq);
	assert_int_equal(nr_ready, 2);
}

/* While this end stood still nobody could renew. */
static void test_pause(void **state)
{
	(void)state;
	lease_now(l, 5000);
	assert_int_equal(lease_attach(l, B, true, 10000), 0);
	lease_up(l, B, 10000);
	assert_int_equal(lease_attach(l, C, true, 9000), 0);
	lease_up(l, C, 9000);
	lease_tick(l, 6000);
	lease_now(l, 66000);
	/* its own time is counted from then on */
	assert_int_equal(lease_renew(l, C, 0, 76000), 0);
	lease_tick(l, 66001);
	lease_tick(l, 68000);
	lease_tick(l, 69999);
	assert_int_equal(nr_ended, 0);
	lease_tick(l, 70000);
	assert_int_equal(nr_ended, 1);
	assert_int_equal(ended[0], B);
	for (uint64_t t = 71000; t < 76000; t += 1000)
		lease_tick(l, t);
	assert_int_equal(nr_ended, 1);
	lease_tick(l, 76000);
	assert_int_equal(nr_ended, 2);
}

/* After a restart: all wait for those that may believe anything. */
static void test_grace(void **state)
{
	struct lease_wait w, w2;
	uint32_t nodes[4];

	(void)state;
	assert_int_equal(lease_await(l, B, 1000), 0);
	assert_int_equal(lease_await(l, C, 500), 0);
	assert_int_equal(waits(&w, A, 7), 2);
	assert_int_equal(waits(&w2, B, 0), 2);
	assert_int_equal(lease_holders(l, 7, nodes, 4), 0);
	change(A, 7);
	assert_int_equal(nr_sent, 0);
	lease_tick(l, 500);
	assert_int_equal(ended[0], C);
	assert_int_equal(nr_ready, 0);
	/* what it believes of before ends when its kernel has attached */
	attach(B);
	lease_flush(l);
	assert_int_equal(nr_sent, 1);
	assert_int_equal(sent[0].ino[0], 0);
	assert_int_equal(nr_ready, 0);
	lease_acked(l, B, sent[0].seq);
	assert_int_equal(nr_ready, 2);
	assert_int_equal(waits(&w, A, 7), 0);
	/* or at once, where it is another kernel */
	assert_int_equal(lease_await(l, C, 500), 0);
	assert_int_equal(waits(&w, A, 7), 1);
	assert_int_equal(lease_attach(l, C, false, 1000), 0);
	assert_int_equal(nr_ready, 3);
}

/* The own kernel can't be told: so nobody is. */
static void test_own_lost(void **state)
{
	struct lease_wait w, w2;

	(void)state;
	attach(B);
	lease_own_lost(l);
	lease_own_lost(l);
	lease_told(l, B, 7);
	change(A, 7);
	assert_int_equal(waits(&w, B, 7), 1);
	assert_int_equal(waits(&w2, B, 8), 1);
	lease_acked(l, B, sent[0].seq);
	lease_tick(l, 1);
	assert_int_equal(nr_ready, 0);
	lease_own_back(l);
	assert_int_equal(nr_ready, 2);
	lease_own_back(l);
	assert_int_equal(waits(&w, B, 8), 0);
	/* and again; it ends with the table */
	lease_own_lost(l);
	assert_int_equal(waits(&w, B, 8), 1);
}

static void test_full(void **state)
{
	struct lease_wait w;
	struct lease_info i;
	uint32_t nodes[4];
	uint64_t ino = 1;

	(void)state;
	attach(B);
	attach(C);
	lease_now(l, 500);
	for (; !stale(B); ino++)
		lease_told(l, B, ino);
	assert_true(ino > LEASE_ROWS_MAX / 2);
	assert_int_equal(lease_info(l, B, &i), 0);
	assert_int_equal(i.rows, 1);
	lease_flush(l);
	assert_int_equal(nr_sent, 1);
	assert_int_equal(sent[0].ino[0], 0);
	assert_int_equal(waits(&w, A, 3), 1);
	/* it has to acknowledge that as well */
	assert_int_equal(lease_renew(l, B, 500, 1200), 0);
	assert_int_equal(lease_renew(l, B, 501, 1200), -EBUSY);
	/* what it has in memory nobody knows */
	assert_int_equal(lease_holders(l, 12345, nodes, 4), 1);
	lease_acked(l, B, sent[0].seq);
	assert_int_equal(nr_ready, 1);
	change(A, 3);
	assert_int_equal(nr_sent, 1);
	change(A, ino - 1);
	assert_int_equal(nr_sent, 2);
}

/* However many: so many messages are under way, and none is lost. */
static void test_many(void **state)
{
	const size_t nr = (LEASE_ASKED_MAX + 2) * LEASE_BATCH;
	struct lease_wait w;
	size_t seen = 0;

	(void)state;
	attach(B);
	for (uint64_t ino = 1; ino <= nr; ino++) {
		lease_told(l, B, ino);
		lease_changed(l, A, ino, NULL, 0);
		if (ino <= LEASE_ASKED_MAX)
			lease_flush(l);
	}
	assert_int_equal(nr_sent, LEASE_ASKED_MAX);
	assert_int_equal(waits(&w, B, nr), 1);
	for (size_t i = 0; i < nr_sent; i++) {
		seen += sent[i].nr;
		lease_acked(l, B, sent[i].seq);
		lease_flush(l);
	}
	assert_int_equal(seen, nr);
	assert_int_equal(nr_ready, 1);
	assert_int_equal(stale(B), 0);
}

/* Who made a change hears of it before others do. */
static void test_echo(void **state)
{
	struct lease_wait change = { 0 }, own, other, own_change = { 0 };

	(void)state;
	lease_echo(l, B, 7);		/* it has no session */
	attach(B);
	attach(C);
	lease_told(l, B, 7);
	lease_changed(l, B, 7, NULL, 0);
	lease_echo(l, B, 7);
	lease_answer(l, &change);
	assert_int_equal(waits(&own, B, 7), 0);
	assert_int_equal(waits(&other, C, 7), 1);
	lease_flush(l);
	assert_int_equal(nr_sent, 0);
	/* on its way: what comes behind it tells when it has arrived */
	lease_sent(&change);
	lease_flush(l);
	assert_int_equal(nr_sent, 1);
	assert_true(sent[0].node == B && !sent[0].nr);
	assert_int_equal(nr_ready, 0);
	lease_acked(l, B, sent[0].seq);
	assert_int_equal(nr_ready, 1);
	assert_int_equal(waits(&other, C, 7), 0);
	/* nobody has asked: it is found out once in a while */
	lease_echo(l, B, 7);
	lease_answer(l, &change);
	lease_sent(&change);
	lease_flush(l);
	assert_int_equal(nr_sent, 1);
	lease_tick(l, 1);
	assert_int_equal(nr_sent, 2);
	lease_acked(l, B, sent[1].seq);
	lease_tick(l, 2);
	assert_int_equal(nr_sent, 2);
	/* lost with its link: when it has attached again */
	lease_echo(l, B, 7);
	lease_answer(l, &change);
	lease_down(l, B);
	lease_wait_drop(&change);
	assert_int_equal(waits(&other, C, 7), 1);
	attach(B);
	lease_flush(l);
	assert_int_equal(nr_sent, 3);
	lease_acked(l, B, sent[2].seq);
	assert_int_equal(nr_ready, 2);
	/* the own kernel has what it is given */
	lease_echo(l, A, 7);
	lease_answer(l, &own_change);
	assert_int_equal(waits(&other, C, 7), 1);
	lease_sent(&own_change);
	assert_int_equal(nr_ready, 3);
	/* one that dies before it is answered */
	lease_echo(l, B, 7);
	lease_answer(l, &change);
	assert_int_equal(waits(&other, C, 7), 1);
	lease_end(l, B);
	assert_int_equal(nr_ready, 4);
	assert_null(change.echo);
	lease_echo(l, C, 7);		/* never answered */
}

/* --- random --- */

#define NODES	3
#define INOS	6
#define QUEUE	512
#define ASKED	24

/* On the way to a node: an answer, or an invalidation. */
struct message {
	uint64_t seq;			/* 0: an answer */
	uint64_t ino[LEASE_BATCH], version;
	size_t nr;
	unsigned int asked;		/* told so often when it was asked */
};

struct answer {
	struct lease_wait w;
	bool used, waiting;
	uint32_t to;
	struct message m;
	unsigned int link;
};

struct peer {
	bool in, up;
	uint64_t until;			/* its own lease */
	uint64_t cache[INOS];		/* versions that it believes; 0: none */
	unsigned int told[INOS];	/* invalidations so far */
	struct message queue[QUEUE];
	size_t nr;
	unsigned int link;
};

static struct peer peers[NODES + 1];	/* [0]: the own kernel */
static struct answer answers[ASKED];
static uint64_t truth[INOS], now;
static unsigned int heard, waited, cut;

static int rnd(int n)
{
	return rand() % n;
}

static void push(uint32_t node, const struct message *m)
{
	struct peer *p = &peers[node];

	if (!p->up)
		return;
	assert_true(p->nr < QUEUE);
	p->queue[p->nr++] = *m;
}

static int model_send(void *ctx, uint32_t node, uint64_t seq,
		      const struct op_stale *s, size_t nr)
{
	struct message m = { .seq = seq, .nr = nr };

	(void)ctx;
	assert_true(peers[node].up);
	for (size_t i = 0; i < nr; i++)
		m.ino[i] = s[i].ino;
	push(node, &m);
	return 0;
}

static bool believes(const struct peer *p, int ino)
{
	return p->in && now < p->until && p->cache[ino];
}

/* The point of it all: nobody still believes what was before. */
static void hear(uint32_t node, const struct message *m)
{
	const int ino = (int)m->ino[0];
	struct peer *p = &peers[node];

	for (uint32_t n = 0; n <= NODES; n++) {
		if (n != node && believes(&peers[n], ino))
			assert_true(peers[n].cache[ino] >= m->version);
	}
	/* one that something overtook is used, and not kept */
	if (m->asked == p->told[ino] && p->cache[ino] < m->version)
		p->cache[ino] = m->version;
	heard++;
}

static void model_ready(void *ctx, struct lease_wait *w)
{
	struct answer *a = (struct answer *)w;

	(void)ctx;
	assert_true(a->used && a->waiting);
	a->waiting = false;
}

static void give(void)
{
	for (int i = 0; i < ASKED; i++) {
		struct answer *a = &answers[i];

		if (!a->used || a->waiting)
			continue;
		a->used = false;
		if (a->to && a->link == peers[a->to].link)
			push(a->to, &a->m);
		else if (!a->to)
			hear(0, &a->m);
		if (a->to && a->link != peers[a->to].link)
			lease_wait_drop(&a->w);
		else
			lease_sent(&a->w);
	}
	lease_flush(l);
}

static void model_ended(void *ctx, uint32_t node)
{
	(void)ctx;
	assert_true(now > peers[node].until);
	peers[node].in = peers[node].up = false;
	peers[node].nr = 0;
	peers[node].link++;
}

static void forget(struct peer *p, int ino)
{
	p->cache[ino] = 0;
	p->told[ino]++;
}

/* A node asks for so much at a time, as a kernel has so many tasks. */
static void ask(uint32_t node, int ino, bool change)
{
	struct answer *a = answers;

	while (a < answers + ASKED && a->used)
		a++;
	if (a == answers + ASKED)
		return;
	*a = (struct answer){ .used = true, .to = node,
			      .link = peers[node].link };
	if (change) {
		truth[ino]++;
		lease_changed(l, node, (uint64_t)ino, NULL, now);
		lease_echo(l, node, (uint64_t)ino);
		if (node)
			forget(&peers[0], ino);
	}
	lease_told(l, node, (uint64_t)ino);
	a->m.ino[0] = (uint64_t)ino;
	a->m.version = truth[ino];
	a->m.asked = peers[node].told[ino];
	assert_int_equal(lease_wait_for(l, &a->w, node, (uint64_t)ino), 0);
	lease_answer(l, &a->w);
	a->waiting = a->w.nr;
	waited += a->waiting;
	lease_flush(l);
}

static void deliver(uint32_t node)
{
	struct peer *p = &peers[node];
	struct message m;

	if (!p->nr)
		return;
	m = p->queue[0];
	memmove(p->queue, p->queue + 1, --p->nr * sizeof(m));
	if (!m.seq) {
		hear(node, &m);
		return;
	}
	for (size_t i = 0; i < m.nr; i++) {
		for (int ino = 1; ino < INOS; ino++) {
			if (!m.ino[i] || m.ino[i] == (uint64_t)ino)
				forget(p, ino);
		}
	}
	lease_acked(l, node, m.seq);
	lease_flush(l);
}

static void cut_link(uint32_t node)
{
	struct peer *p = &peers[node];

	if (!p->up)
		return;
	lease_down(l, node);
	p->up = false;
	p->nr = 0;
	p->link++;
	cut++;
}

static void come(uint32_t node)
{
	struct peer *p = &peers[node];

	if (p->up)
		return;
	memset(p->cache, 0, sizeof(p->cache));
	p->in = p->up = true;
	p->until = now + 90;
	assert_int_equal(lease_attach(l, node, rnd(4), now + 100), 0);
	lease_up(l, node, now + 100);
	lease_flush(l);
}

static void step(void)
{
	uint32_t node = (uint32_t)rnd(NODES) + 1;
	struct peer *p = &peers[node];
	int what = rnd(100);

	if (what < 2)
		cut_link(node);
	else if (what < 12)
		come(node);
	else if (what < 20 && p->up && !lease_renew(l, node, now - 50,
						    now + 100))
		p->until = now + 90;
	else if (what < 24)
		ask(0, rnd(INOS - 1) + 1, rnd(2));
	else if (what < 60 && p->up)
		ask(node, rnd(INOS - 1) + 1, !rnd(3));
	else
		deliver(node);
	now += (uint64_t)rnd(2);
	lease_tick(l, now);
	give();
}

/* With all links up nobody waits for ever. */
static void drain(void)
{
	for (uint32_t n = 1; n <= NODES; n++)
		come(n);
	for (int i = 0; i < 20 * QUEUE; i++) {
		deliver((uint32_t)i % NODES + 1);
		give();
	}
	for (int i = 0; i < ASKED; i++)
		assert_false(answers[i].used);
	for (uint32_t n = 1; n <= NODES; n++)
		assert_int_equal(stale(n), 0);
}

static void test_random(void **state)
{
	static const struct lease_ops model = {
		model_send, model_ready, model_ended,
	};
	const char *s = getenv("ORCHFS_TEST_SEED");
	const char *n = getenv("ORCHFS_TEST_OPS");
	unsigned int seed = s ? (unsigned int)atol(s) :
			    (unsigned int)time(NULL);
	long nr = n ? atol(n) : 200000;

	(void)state;
	print_message("ORCHFS_TEST_SEED=%u ORCHFS_TEST_OPS=%ld\n", seed, nr);
	srand(seed);
	lease_free(l);
	l = lease_new(&model, NULL);
	assert_non_null(l);
	now = 1000;
	peers[0].in = true;
	peers[0].until = UINT64_MAX;
	for (int i = 0; i < INOS; i++)
		truth[i] = 1;
	for (long i = 0; i < nr; i++)
		step();
	print_message("%u answers heard, %u had waited, %u links cut\n", heard,
		      waited, cut);
	drain();
	assert_true(heard > nr / 50 && waited > heard / 20 && cut > nr / 200);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_none), T(test_change), T(test_nameless), T(test_link),
		T(test_deadline), T(test_leave), T(test_pause), T(test_grace),
		T(test_own_lost), T(test_full), T(test_many),
		T(test_echo),
		T(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
