// SPDX-License-Identifier: Apache-2.0
/*
 * Links as the namespace threads of two daemons see them: what is asked and
 * answered, in which order, and what happens when a link is lost. The test is
 * both namespace threads; the rest is real.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster.h"
#include "peer.h"

#define WAIT_MS	20000

static const uint8_t uuid[16] = "namespace-uuid--";

/* One daemon: its namespace thread's part is the test. */
struct side {
	struct served sv;
	struct cluster cl;
	unsigned int ups, downs;
	uint64_t link;			/* the last that was up */
	char why[512];
	void (*request)(struct side *s, struct peer_request *r);
	unsigned int requests;
};

static struct {
	EVP_PKEY *ca_key, *key;
	X509 *ca;
	struct ns_node nodes[2];
	struct side a, b;		/* authority, agent */
} w;

static struct side *side_of(struct served *sv)
{
	return container_of(sv, struct side, sv);
}

static void side_up(struct served *sv, uint32_t node, uint64_t link)
{
	struct side *s = side_of(sv);

	assert_int_equal(node, s == &w.a ? 2 : 1);
	assert_int_not_equal(link, s->link);
	s->link = link;
	s->ups++;
}

static void side_down(struct served *sv, uint32_t node, uint64_t link,
		      const char *why)
{
	struct side *s = side_of(sv);

	assert_int_equal(node, s == &w.a ? 2 : 1);
	assert_int_equal(link, s->link);
	snprintf(s->why, sizeof(s->why), "%s", why);
	s->downs++;
}

static void side_request(struct served *sv, struct peer_request *r)
{
	struct side *s = side_of(sv);

	assert_int_equal(r->node, s == &w.a ? 2 : 1);
	assert_int_equal(r->link, s->link);
	s->requests++;
	s->request(s, r);
}

static const struct peer_handler handler = {
	.up = side_up,
	.down = side_down,
	.request = side_request,
};

/* Run both namespace threads until *@what is @n. */
static void until(const unsigned int *what, unsigned int n)
{
	struct pollfd p[2] = {
		{ .fd = w.a.sv.queue.efd, .events = POLLIN },
		{ .fd = w.b.sv.queue.efd, .events = POLLIN },
	};

	while (*what != n) {
		assert_true(*what < n);
		assert_true(poll(p, 2, WAIT_MS) > 0);
		if (p[0].revents)
			work_run(&w.a.sv.queue);
		if (p[1].revents)
			work_run(&w.b.sv.queue);
	}
}

static int free_port(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (void *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (void *)&in, &len), 0);
	close(fd);
	return ntohs(in.sin_port);
}

static void side_init(struct side *s, uint32_t node, int port)
{
	struct pki_issue i = {
		.ca = w.ca, .ca_key = w.ca_key, .key = w.key, .uuid = uuid,
		.node = node, .name = "n", .now = pki_time(),
		.seconds = PKI_YEAR,
	};
	struct cluster *cl = &s->cl;

	memset(s, 0, sizeof(*s));
	assert_int_equal(work_queue_init(&s->sv.queue), 0);
	pthread_mutex_init(&s->sv.lock, NULL);
	pthread_mutex_init(&cl->lock, NULL);
	cl->sv = &s->sv;
	cl->handler = &handler;
	strcpy(cl->ns, "models");
	memcpy(cl->uuid, uuid, 16);
	strcpy(cl->boot_id, "boot");
	cl->node = node;
	cl->authority = 1;
	cl->agent = node != 1;
	cl->epoch = 1;
	snprintf(cl->address[0], sizeof(cl->address[0]), "127.0.0.1:%d", port);
	cl->nr_addresses = 1;
	cl->ca = w.ca;
	cl->key = w.key;
	cl->cert = pki_issue(&i, &w.nodes[node - 1].serial);
	w.nodes[node - 1].number = node;
	strcpy(w.nodes[node - 1].name, "n");
	assert_non_null(cl->cert);
}

static void side_stop(struct side *s)
{
	if (s->cl.peer)
		peer_stop(s->cl.peer);
	s->cl.peer = NULL;
	work_close(&s->sv.queue);
	work_run(&s->sv.queue);
}

static int setup(void **state)
{
	int port = free_port();

	(void)state;
	memset(&w, 0, sizeof(w));
	w.ca_key = pki_key_new();
	w.key = pki_key_new();
	w.ca = pki_ca_new(w.ca_key, "models", pki_time());
	side_init(&w.a, 1, port);
	side_init(&w.b, 2, port);
	w.a.cl.nodes = w.nodes;
	w.a.cl.nr_nodes = 2;
	assert_int_equal(peer_start(&w.a.cl, &w.a.cl.peer), 0);
	assert_int_equal(peer_start(&w.b.cl, &w.b.cl.peer), 0);
	until(&w.b.ups, 1);
	until(&w.a.ups, 1);
	return 0;
}

static int teardown(void **state)
{
	struct side *sides[] = { &w.b, &w.a };

	(void)state;
	for (int i = 0; i < 2; i++) {
		side_stop(sides[i]);
		work_queue_destroy(&sides[i]->sv.queue);
		X509_free(sides[i]->cl.cert);
	}
	EVP_PKEY_free(w.ca_key);
	EVP_PKEY_free(w.key);
	X509_free(w.ca);
	return 0;
}

/* --- questions --- */

#define OPS	3000

struct ask {
	struct peer_question q;
	unsigned int done;
	int rc;
	uint64_t txn;
	char why[160];
};

static unsigned int answers, failures;

static void ask_done(struct peer_question *q, int rc, const char *why,
		     peer_frame *f)
{
	struct ask *a = container_of(q, struct ask, q);

	assert_true((rc < 0) == !f);
	a->done++;
	a->rc = rc;
	snprintf(a->why, sizeof(a->why), "%s", why);
	if (f && f->body_case == PEER_BODY(OP_REPLY))
		a->txn = f->op_reply->txn;
	if (f)
		answers++;
	else
		failures++;
	frame_free(f);
}

static int ask_op(struct ask *a, uint64_t id, uint32_t ms)
{
	Orchfs__Peer__Op op = ORCHFS__PEER__OP__INIT;
	peer_frame f = PEER_FRAME_INIT(OP);

	*a = (struct ask){ .q.done = ask_done };
	op.id = id;
	f.op = &op;
	return peer_send(w.b.cl.peer, w.b.link, &f, ms, &a->q);
}

static void reply_txn(struct peer_request *r, uint64_t txn)
{
	Orchfs__Peer__OpReply m = ORCHFS__PEER__OP_REPLY__INIT;
	peer_frame f = PEER_FRAME_INIT(OP_REPLY);

	m.txn = txn;
	f.op_reply = &m;
	peer_reply(r, &f);
}

static void reply_done(struct peer_request *r)
{
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(DONE);

	f.done = &empty;
	peer_reply(r, &f);
}

/* Each op is answered, and what it made stale is told behind the answer. */
static struct ask stale[OPS];

static void answer_and_tell(struct side *s, struct peer_request *r)
{
	Orchfs__Peer__Invalidate m = ORCHFS__PEER__INVALIDATE__INIT;
	peer_frame f = PEER_FRAME_INIT(INVALIDATE);
	uint64_t id = r->f->op->id;

	assert_int_equal(r->f->body_case, PEER_BODY(OP));
	assert_int_equal(id, s->requests);
	reply_txn(r, id);
	m.seq = id;
	f.invalidate = &m;
	stale[id - 1] = (struct ask){ .q.done = ask_done };
	assert_int_equal(peer_send(s->cl.peer, s->link, &f, WAIT_MS,
				   &stale[id - 1].q), 0);
}

static struct ask ops[OPS];

static void hear_stale(struct side *s, struct peer_request *r)
{
	uint64_t seq = r->f->invalidate->seq;

	/* after its answer; before the next one's, if it had not to wait */
	assert_int_equal(seq, s->requests);
	assert_int_equal(ops[seq - 1].done, 1);
	assert_int_equal(ops[seq - 1].txn, seq);
	if (seq <= PEER_REQUESTS_MAX)
		assert_int_equal(ops[seq].done, 0);
	reply_done(r);
}

static void test_order(void **state)
{
	(void)state;
	answers = failures = 0;
	w.a.request = answer_and_tell;
	w.b.request = hear_stale;
	for (uint64_t i = 0; i < OPS; i++)
		assert_int_equal(ask_op(&ops[i], i + 1, WAIT_MS), 0);
	until(&answers, 2 * OPS);
	assert_int_equal(failures, 0);
	assert_int_equal(w.a.requests, OPS);
	assert_int_equal(w.b.requests, OPS);
	for (int i = 0; i < OPS; i++)
		assert_int_equal(stale[i].done, 1);
}

#define KEPT	100

static struct peer_request *kept[KEPT];

static void keep(struct side *s, struct peer_request *r)
{
	kept[s->requests - 1] = r;
}

static void ask_some(unsigned int n)
{
	answers = failures = 0;
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(ask_op(&ops[i], i + 1, WAIT_MS), 0);
	until(&w.a.requests, n);
}

static void test_late(void **state)
{
	(void)state;
	w.a.request = keep;
	ask_some(KEPT);
	for (int i = KEPT; i--; ) {
		if (i % 10)
			reply_txn(kept[i], kept[i]->f->op->id);
		else
			peer_fail(kept[i], -EBUSY, "not now");
	}
	until(&answers, KEPT - KEPT / 10);
	until(&failures, KEPT / 10);
	for (unsigned int i = 0; i < KEPT; i++) {
		assert_int_equal(ops[i].rc, i % 10 ? 0 : -EBUSY);
		assert_int_equal(ops[i].txn, i % 10 ? i + 1 : 0);
		if (i % 10 == 0)
			assert_string_equal(ops[i].why, "not now");
	}
}

static void test_lost(void **state)
{
	uint64_t first = w.b.link;

	(void)state;
	w.a.request = keep;
	ask_some(KEPT);
	assert_int_equal(peer_drop(w.a.cl.peer, w.a.link, -ESTALE,
				   "its lease has ended"), 0);
	until(&failures, KEPT);
	until(&w.b.downs, 1);
	until(&w.a.downs, 1);
	assert_int_equal(ops[KEPT - 1].rc, -ESTALE);
	assert_string_equal(w.b.why, "its lease has ended");
	/* an answer to nobody, and a question */
	for (int i = 0; i < KEPT; i++)
		reply_txn(kept[i], 1);
	assert_int_equal(ask_op(&ops[0], 1, WAIT_MS), 0);
	until(&failures, KEPT + 1);
	assert_int_equal(ops[0].rc, -ENOTCONN);
	/* it comes back by itself, under another number */
	until(&w.b.ups, 2);
	until(&w.a.ups, 2);
	assert_int_not_equal(w.b.link, first);
	w.a.requests = 0;
	ask_some(1);
	reply_txn(kept[0], 7);
	until(&answers, 1);
	assert_int_equal(ops[0].txn, 7);
}

/* What can't be answered doesn't stay open for ever. */
static void test_unanswered(void **state)
{
	(void)state;
	w.a.request = keep;
	ask_some(2);
	peer_reply(kept[0], NULL);
	until(&failures, 2);
	until(&w.b.downs, 1);
	until(&w.a.downs, 1);
	reply_txn(kept[1], 1);
}

static void test_too_long(void **state)
{
	static uint8_t big[PEER_FRAME_MAX];
	Orchfs__Peer__OpReply m = ORCHFS__PEER__OP_REPLY__INIT;
	Orchfs__Peer__Op op = ORCHFS__PEER__OP__INIT;
	peer_frame rep = PEER_FRAME_INIT(OP_REPLY);
	peer_frame f = PEER_FRAME_INIT(OP);

	(void)state;
	w.a.request = keep;
	ask_some(1);
	m.value.data = op.name.data = big;
	m.value.len = op.name.len = sizeof(big);
	rep.op_reply = &m;
	peer_reply(kept[0], &rep);
	until(&failures, 1);
	assert_int_equal(ops[0].rc, -EMSGSIZE);
	f.op = &op;
	assert_int_equal(peer_send(w.b.cl.peer, w.b.link, &f, WAIT_MS,
				   &ops[0].q), -EMSGSIZE);
	assert_int_equal(w.b.downs, 0);
}

static void test_deadline(void **state)
{
	(void)state;
	w.a.request = keep;
	answers = failures = 0;
	assert_int_equal(ask_op(&ops[0], 1, 1), 0);
	until(&failures, 1);
	assert_int_equal(ops[0].rc, -ETIMEDOUT);
	if (!w.a.requests)
		until(&w.a.requests, 1);
	reply_txn(kept[0], 1);
	ask_op(&ops[1], 2, WAIT_MS);
	until(&w.a.requests, 2);
	reply_txn(kept[1], 2);
	until(&answers, 1);
	assert_int_equal(ops[0].done, 1);
	assert_int_equal(w.b.downs, 0);
}

/* Each question is told once; what came isn't handed out any more. */
static void test_stop(void **state)
{
	(void)state;
	w.a.request = keep;
	ask_some(KEPT);
	side_stop(&w.b);
	assert_int_equal(failures, KEPT);
	assert_int_equal(ops[0].rc, -ESHUTDOWN);
	assert_int_equal(w.b.downs, 0);
	side_stop(&w.a);
	for (int i = 0; i < KEPT; i++)
		reply_txn(kept[i], 1);
	assert_int_equal(w.a.requests, KEPT);
}

/* Each end takes only what is its business. */
static void test_direction(void **state)
{
	Orchfs__Peer__Invalidate m = ORCHFS__PEER__INVALIDATE__INIT;
	peer_frame f = PEER_FRAME_INIT(INVALIDATE);
	Orchfs__Peer__Op op = ORCHFS__PEER__OP__INIT;
	peer_frame o = PEER_FRAME_INIT(OP);

	(void)state;
	w.a.request = w.b.request = keep;
	answers = failures = 0;
	f.invalidate = &m;
	ops[0] = ops[1] = (struct ask){ .q.done = ask_done };
	assert_int_equal(peer_send(w.b.cl.peer, w.b.link, &f, WAIT_MS,
				   &ops[0].q), 0);
	o.op = &op;
	assert_int_equal(peer_send(w.a.cl.peer, w.a.link, &o, WAIT_MS,
				   &ops[1].q), 0);
	until(&failures, 2);
	assert_int_equal(ops[0].rc, -EOPNOTSUPP);
	assert_int_equal(ops[1].rc, -EPERM);
	assert_int_equal(w.a.requests + w.b.requests, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_order),
		TEST(test_late),
		TEST(test_lost),
		TEST(test_unanswered),
		TEST(test_too_long),
		TEST(test_deadline),
		TEST(test_stop),
		TEST(test_direction),
	};

	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
