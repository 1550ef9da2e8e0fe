// SPDX-License-Identifier: Apache-2.0
/*
 * The authority between its own kernel and other nodes: sessions, what a change
 * makes known to whom, which answers wait. The engine and all that executes and
 * answers are real; the test is the links, the kernel, the clock and the sync
 * thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include "arena.h"
#include "cluster.h"
#include "data.h"
#include "exec.h"
#include "nl.h"
#include "ns_cluster.h"
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

static struct served sv;
static struct cluster cl;
static char dir[64];
static uint64_t clock_ms, next_ino, next_link;
static uint64_t links[NODES], sequence[NODES];
static struct said said[SAID_MAX];
static size_t nr_said;
static unsigned int drops, fences;
static bool no_files, fencing, deaf;
static const struct orchfs_lock *own_lock;	/* what the own kernel has */
static bool own_asks;				/* it decides no more alone */
static char peer_memory;

/* --- in the place of the rest --- */

static uint64_t test_clock(void)
{
	return clock_ms;
}

bool __wrap_pool_ready(struct served *s, uint32_t origin);
bool __wrap_pool_ready(struct served *s, uint32_t origin)
{
	(void)s;
	(void)origin;
	return !no_files;
}

void __wrap_sync_request(struct served *s, uint64_t txn);
void __wrap_sync_request(struct served *s, uint64_t txn)
{
	(void)s;
	(void)txn;
}

int __wrap_token_make(struct served *s, uint32_t node, uint32_t volume,
		      uint64_t ino, uint64_t version, uint64_t instance,
		      bool write, uint8_t out[OP_TOKEN_LEN]);
int __wrap_token_make(struct served *s, uint32_t node, uint32_t volume,
		      uint64_t ino, uint64_t version, uint64_t instance,
		      bool write, uint8_t out[OP_TOKEN_LEN])
{
	(void)s;
	(void)version;
	(void)instance;
	assert_int_equal(volume, 1);
	memset(out, (int)(node + ino + write), OP_TOKEN_LEN);
	return 0;
}

struct volume *__wrap_served_volume(struct served *s, uint32_t id);
struct volume *__wrap_served_volume(struct served *s, uint32_t id)
{
	static struct volume v = { .root_fd = 0 };

	(void)s;
	assert_int_equal(id, 1);
	return &v;
}

bool __wrap_volume_online(const struct volume *v);
bool __wrap_volume_online(const struct volume *v)
{
	(void)v;
	return true;
}

int __wrap_data_fence_node(struct served *s, uint32_t node);
int __wrap_data_fence_node(struct served *s, uint32_t node)
{
	(void)s;
	(void)node;
	fences++;
	return 0;
}

bool __wrap_data_fencing(const struct served *s, uint32_t node);
bool __wrap_data_fencing(const struct served *s, uint32_t node)
{
	(void)s;
	(void)node;
	return fencing;
}

/* The own kernel hears of invalidations and locks alone here. */
int __wrap_channel_send(struct channel *ch, struct nl_msg *m, uint32_t *seq);
int __wrap_channel_send(struct channel *ch, struct nl_msg *m, uint32_t *seq)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];
	struct said *s;

	(void)ch;
	(void)seq;
	if (nl_cmd(nlmsg_hdr(m)) == ORCHFS_CMD_POLL) {
		nlmsg_free(m);
		return 0;
	}
	if (deaf) {
		nlmsg_free(m);
		return -ENOBUFS;
	}
	assert_in_range(nr_said, 0, SAID_MAX - 1);
	assert_int_equal(genlmsg_parse(nlmsg_hdr(m), 0, tb, ORCHFS_A_MSG_MAX,
				       NULL), 0);
	if (nl_cmd(nlmsg_hdr(m)) == ORCHFS_CMD_LOCK_RECALL) {
		own_asks = true;
		if (!tb[ORCHFS_A_MSG_NODE]) {
			nlmsg_free(m);
			return 0;
		}
	}
	s = &said[nr_said++];
	*s = (struct said){ .nr = 1 };
	if (nl_cmd(nlmsg_hdr(m)) == ORCHFS_CMD_LOCK_RECALL)
		s->recall = tb[ORCHFS_A_MSG_LOST] ? 1 :
			    nla_get_u64(tb[ORCHFS_A_MSG_REQUEST_ID]);
	else
		assert_int_equal(nl_cmd(nlmsg_hdr(m)), ORCHFS_CMD_INVALIDATE);
	s->ino[0] = nla_get_u64(tb[ORCHFS_A_MSG_NODE]);
	s->nameless[0] = tb[ORCHFS_A_MSG_ATTR];
	nlmsg_free(m);
	return 0;
}

/* The own kernel's dump of locks; one that decides alone tells none. */
int __wrap_channel_call(struct channel *ch, struct nl_msg *m, channel_fn fn,
			void *ctx);
int __wrap_channel_call(struct channel *ch, struct nl_msg *m, channel_fn fn,
			void *ctx)
{
	(void)ch;
	assert_int_equal(nl_cmd(nlmsg_hdr(m)), ORCHFS_CMD_LOCKS);
	nlmsg_free(m);
	if (!own_lock || !own_asks)
		return 0;
	m = nlmsg_alloc();
	assert_non_null(genlmsg_put(m, 0, 0, 30, 0, 0, ORCHFS_CMD_LOCKS, 1));
	nla_put_u64(m, ORCHFS_A_MSG_NODE, LOCKED);
	nla_put(m, ORCHFS_A_MSG_LOCKS, sizeof(*own_lock), own_lock);
	fn(ctx, nlmsg_hdr(m));
	nlmsg_free(m);
	return 0;
}

int __wrap_peer_send(struct peer *p, uint64_t link, peer_frame *f, uint32_t ms,
		     struct peer_question *q);
int __wrap_peer_send(struct peer *p, uint64_t link, peer_frame *f, uint32_t ms,
		     struct peer_question *q)
{
	struct said *s = &said[nr_said++];
	struct op_stale stale;

	(void)p;
	(void)ms;
	assert_in_range(nr_said, 1, SAID_MAX);
	*s = (struct said){ .q = q };
	while (s->node < NODES && links[s->node] != link)
		s->node++;
	assert_in_range(s->node, B, C);
	if (f->body_case == PEER_BODY(LOCK_RECALL)) {
		s->ino[0] = f->lock_recall->ino;
		s->recall = f->lock_recall->lost ? 1 : f->lock_recall->number;
		return 0;
	}
	assert_int_equal(f->body_case, PEER_BODY(INVALIDATE));
	s->nr = f->invalidate->n_stale;
	assert_in_range(s->nr, 0, 8);
	for (size_t i = 0; i < s->nr; i++) {
		assert_int_equal(op_wire_get_stale(f->invalidate->stale[i],
						   &stale), 0);
		s->ino[i] = stale.ino;
		s->nameless[i] = stale.has_attr;
	}
	return 0;
}

static void request_end(struct peer_request *r, struct got *g)
{
	assert_false(g->answered);
	g->answered = true;
	frame_free(r->f);
	free(r);
}

/* Where its answer goes: a request of the test has it as its number. */
static struct got *got_of(struct peer_request *r)
{
	return (struct got *)(uintptr_t)r->id;
}

void __wrap_peer_reply(struct peer_request *r, peer_frame *f);
void __wrap_peer_reply(struct peer_request *r, peer_frame *f)
{
	struct got *g = got_of(r);

	g->rc = !f;
	if (f)
		g->body = (int)f->body_case;
	if (f && f->body_case == PEER_BODY(OP_REPLY)) {
		g->rep.arena = arena_new();
		assert_int_equal(op_wire_get_reply(f->op_reply, &g->rep), 0);
		arena_free(g->rep.arena);
	}
	if (f && f->body_case == PEER_BODY(LEASE))
		g->lease_ms = f->lease->lease_ms;
	request_end(r, g);
}

void __wrap_peer_fail(struct peer_request *r, int rc, const char *why);
void __wrap_peer_fail(struct peer_request *r, int rc, const char *why)
{
	(void)why;
	got_of(r)->rc = rc;
	request_end(r, got_of(r));
}

int __wrap_peer_drop(struct peer *p, uint64_t link, int rc, const char *why);
int __wrap_peer_drop(struct peer *p, uint64_t link, int rc, const char *why)
{
	(void)p;
	(void)link;
	(void)rc;
	(void)why;
	drops++;
	return 0;
}

static int take(void *ctx, uint32_t origin, struct ns_backing *out)
{
	(void)ctx;
	(void)origin;
	*out = (struct ns_backing){ .ino = next_ino, .instance = next_ino,
				    .volume = 1 };
	next_ino++;
	return 0;
}

static void put_back(void *ctx, const struct ns_backing *b)
{
	(void)ctx;
	(void)b;
}

static int backing(void *ctx, uint32_t volume, uint64_t ino, uint64_t version,
		   uint64_t instance, struct ns_backing_stat *out)
{
	(void)ctx;
	(void)volume;
	(void)ino;
	(void)version;
	(void)instance;
	memset(out, 0, sizeof(*out));
	out->size = 7;
	return 0;
}

static int own(void *ctx, uint32_t volume, uint64_t ino, uint64_t version,
	       uint64_t instance, const struct ns_owner *owner)
{
	(void)ctx;
	(void)volume;
	(void)ino;
	(void)version;
	(void)instance;
	(void)owner;
	return 0;
}

static const struct ns_backing_ops ops = {
	.take = take, .put_back = put_back, .stat = backing, .own = own,
	.holders = exec_holders, .untold = exec_untold,
};

/* --- the authority --- */

static void start(void)
{
	const char *why;

	sv.waiters_tail = &sv.waiters;
	sv.parked_tail = &sv.parked;
	assert_int_equal(ns_open(sv.st, &ops, &sv, "boot", &sv.ns, &why), 0);
	assert_int_equal(ns_reserve(sv.ns, "ino", 4096, &next_ino), 0);
	cl.node = A;
	cl.peer = (struct peer *)(void *)&peer_memory;
	sv.cluster = &cl;
	sv.attached = true;
	sv.own_mount = 99;
}

static void stop(void)
{
	sv.attached = false;
	sv.cluster = NULL;
	sessions_stop(&sv);
	assert_null(sv.waiters);
	assert_null(sv.parked);
	arena_free(sv.arena);
	sv.arena = NULL;
	assert_int_equal(ns_close(sv.ns), 0);
	memset(links, 0, sizeof(links));
	for (size_t i = 0; i < nr_said; i++)
		if (said[i].q)
			said[i].q->done(said[i].q, -ENOTCONN, "", NULL);
	nr_said = 0;
}

static int setup(void **state)
{
	const struct ns_node first = { .number = A, .name = "a" };
	static const uint8_t uuid[16] = "0123456789abcdef", ca[32] = { 1 };
	struct ns_join j = { .secret_sha256 = { 7 } };
	struct store_opts o = { .create = true };
	const char *why;
	uint32_t number;

	(void)state;
	memset(&sv, 0, sizeof(sv));
	memset(sequence, 0, sizeof(sequence));
	drops = fences = 0;
	no_files = fencing = deaf = own_asks = false;
	own_lock = NULL;
	peer_clock = test_clock;
	clock_ms = 1000000;
	strcpy(sv.name, "t");
	strcpy(dir, "/tmp/session-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(work_queue_init(&sv.queue), 0);
	assert_int_equal(store_open("memory", dir, &o, &sv.st, &why), 0);
	assert_int_equal(ns_format(sv.st, "t", uuid), 0);
	sv.recent = calloc(RECENT_MAX, sizeof(*sv.recent));
	start();
	assert_int_equal(ns_cluster_begin(sv.ns, ca, &first), 0);
	for (unsigned int n = B; n <= C; n++) {
		j.secret_sha256[1] = j.key_sha256[1] = (uint8_t)n;
		snprintf(j.name, sizeof(j.name), "%c", 'a' + (int)n - 1);
		assert_int_equal(ns_invite(sv.ns, j.secret_sha256, A, 0, 9),
				 0);
		assert_int_equal(ns_join(sv.ns, &j, &number), 0);
	}
	assert_int_equal(store_barrier(sv.st), 0);
	return sessions_start(&sv);
}

static int teardown(void **state)
{
	(void)state;
	stop();
	store_close(sv.st);
	free(sv.recent);
	work_queue_destroy(&sv.queue);
	rmdir(dir);
	return 0;
}

/* What the sync thread and the loop do. */
static void turn(void)
{
	assert_true(store_barrier(sv.st) >= 0);
	sessions_durable(&sv);
	answer_run(&sv);
	work_run(&sv.queue);
}

/* A tick each second, and one at the end. */
static void pass(uint64_t ms)
{
	for (uint64_t step; ms; ms -= step) {
		step = ms < 1000 ? ms : 1000;
		clock_ms += step;
		sessions_tick(&sv);
	}
}

/* The next daemon on the same store. */
static void restart(void)
{
	stop();
	start();
	assert_int_equal(sessions_start(&sv), 0);
}

/* --- nodes --- */

static void ask(uint32_t node, peer_frame *f, struct got *g)
{
	struct peer_request *r = calloc(1, sizeof(*r));
	struct frame_in in = { .max = PEER_FRAME_MAX };
	const uint8_t *p;
	uint8_t *buf;
	size_t len, size;

	memset(g, 0, sizeof(*g));
	buf = frame_pack(f, &len);
	p = buf;
	assert_int_equal(frame_feed(&in, &p, &len, &r->f, &size), 1);
	frame_in_free(&in);
	free(buf);
	r->node = node;
	r->link = links[node];
	r->id = (uintptr_t)g;
	sessions_handler.request(&sv, r);
}

static void link_up(uint32_t node)
{
	links[node] = ++next_link;
	sessions_handler.up(&sv, node, links[node]);
}

static void link_down(uint32_t node)
{
	sessions_handler.down(&sv, node, links[node], "cut");
	links[node] = 0;
}

/* @held: an inode that its kernel holds, 0: none */
static void tell_of(uint32_t node, uint8_t boot, uint64_t held, bool mounted,
		    struct got *g)
{
	Orchfs__Peer__Attach at = ORCHFS__PEER__ATTACH__INIT;
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(ATTACH);
	peer_frame h = PEER_FRAME_INIT(HANDLES);
	peer_frame ready = PEER_FRAME_INIT(READY);
	const struct ns_handle handle = { .ino = held, .opens = 1 };
	uint64_t session = node;
	struct arena *a = arena_new();
	uint8_t id[16] = { boot };

	at.boot_id.data = id;
	at.boot_id.len = 16;
	at.session = &session;
	at.n_session = mounted;
	f.attach = &at;
	ask(node, &f, g);
	assert_int_equal(g->body, PEER_BODY(DONE));
	h.handles = op_wire_handles(a, &handle, held != 0);
	ask(node, &h, g);
	assert_int_equal(g->body, PEER_BODY(DONE));
	ready.ready = &empty;
	ask(node, &ready, g);
	arena_free(a);
}

static void tell(uint32_t node, uint8_t boot, uint64_t held, struct got *g)
{
	tell_of(node, boot, held, true, g);
}

static void attach_mounted(uint32_t node, bool mounted)
{
	struct got g;

	link_up(node);
	tell_of(node, (uint8_t)node, 0, mounted, &g);
	turn();
	assert_int_equal(g.body, PEER_BODY(LEASE));
	assert_int_equal(g.lease_ms, LEASE);
}

static void attach(uint32_t node)
{
	attach_mounted(node, true);
}

static void op(uint32_t node, struct op_req rq, struct got *g)
{
	peer_frame f = PEER_FRAME_INIT(OP);
	struct arena *a = arena_new();

	rq.id = 1;
	rq.session = node;
	rq.now.sec = 5;
	if (rq.sequence)
		rq.sequence = rq.flags & F(RESENT) ? sequence[node] :
			      ++sequence[node];
	f.op = op_wire_op(a, &rq);
	ask(node, &f, g);
	arena_free(a);
}

static struct op_name nm(const char *s)
{
	return (struct op_name){ s, strlen(s) };
}

static void do_create(uint32_t node, const char *name, uint32_t flags,
		      struct got *g)
{
	op(node, (struct op_req){ .kind = K(CREATE), .sequence = 1,
				  .node = ROOT, .name = nm(name), .mode = REG,
				  .flags = flags }, g);
}

static void do_lookup(uint32_t node, const char *name, struct got *g)
{
	op(node, (struct op_req){ .kind = K(LOOKUP), .node = ROOT,
				  .name = nm(name) }, g);
}

static void do_getattr(uint32_t node, uint64_t ino, struct got *g)
{
	op(node, (struct op_req){ .kind = K(GETATTR), .node = ino }, g);
}

static void do_unlink(uint32_t node, const char *name, struct got *g)
{
	op(node, (struct op_req){ .kind = K(UNLINK), .sequence = 1,
				  .node = ROOT, .name = nm(name) }, g);
}

static void do_chmod(uint32_t node, uint64_t ino, struct got *g)
{
	op(node, (struct op_req){ .kind = K(SETATTR), .sequence = 1,
				  .node = ino, .valid = ORCHFS_SET_MODE,
				  .attr = { .mode = 0600 } }, g);
}

static void do_open(uint32_t node, uint64_t ino, struct got *g)
{
	op(node, (struct op_req){ .kind = K(OPEN), .node = ino,
				  .flags = F(WRITE) }, g);
}

static void note(uint32_t node, uint32_t kind, uint64_t ino, struct got *g)
{
	const struct ns_note n = { .kind = kind, .node = ino,
				   .generation = UINT64_MAX / 2,
				   .session = node };
	peer_frame f = PEER_FRAME_INIT(NOTES);
	struct arena *a = arena_new();

	f.notes = op_wire_notes(a, &n, 1);
	ask(node, &f, g);
	assert_true(g->answered);
	arena_free(a);
}

static void renew(uint32_t node, struct got *g)
{
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(RENEW_LEASE);

	f.renew_lease = &empty;
	ask(node, &f, g);
}

/* Is there something to a node of that inode? It is looked at once. */
static bool was_told(uint32_t node, uint64_t ino, bool nameless)
{
	for (size_t i = 0; i < nr_said; i++) {
		for (size_t k = 0; k < said[i].nr; k++) {
			if (said[i].node != node || said[i].ino[k] != ino ||
			    said[i].nameless[k] != nameless)
				continue;
			said[i].ino[k] = UINT64_MAX;
			return true;
		}
	}
	return false;
}

/* A node's kernel has all that it was told. */
static void ack(uint32_t node)
{
	for (size_t i = 0; i < nr_said; i++) {
		struct peer_question *q = said[i].q;

		if (said[i].node != node || !q)
			continue;
		said[i].q = NULL;
		q->done(q, 0, "", NULL);
	}
	turn();
}

static uint64_t orphans(void)
{
	struct ns_counts c;

	assert_int_equal(ns_counts(sv.ns, &c), 0);
	return c.orphans;
}

/* --- tests --- */

static void test_attach(void **state)
{
	struct session_info i[NODES];
	struct got g, g2;

	(void)state;
	assert_int_equal(sessions_info(&sv, i, NODES), 0);
	link_up(B);
	do_lookup(B, "f", &g);
	assert_int_equal(g.rc, -ENOTCONN);
	/* the record of its lease is durable before it has it */
	tell(B, B, 0, &g);
	assert_false(g.answered);
	do_lookup(B, "f", &g2);
	assert_int_equal(g2.rc, -ENOTCONN);
	/* nor by the next link */
	link_down(B);
	assert_int_equal(g.rc, -ENOTCONN);
	link_up(B);
	tell(B, B, 0, &g);
	assert_false(g.answered);
	turn();
	assert_int_equal(g.body, PEER_BODY(LEASE));
	do_lookup(B, "f", &g2);
	assert_int_equal(g2.rep.status, -ENOENT);
	assert_int_equal(sessions_info(&sv, i, NODES), 1);
	assert_true(i[0].node == B && i[0].up && i[0].rows == 1);
	assert_int_equal(i[0].lease_ms, LEASE + LEASE / 100 + 100);
	/* not while the own kernel isn't known */
	sv.attached = false;
	link_up(C);
	{
		Orchfs__Peer__Attach at = ORCHFS__PEER__ATTACH__INIT;
		peer_frame f = PEER_FRAME_INIT(ATTACH);

		f.attach = &at;
		ask(C, &f, &g);
		assert_int_equal(g.rc, -EAGAIN);
		sv.attached = true;
		ask(C, &f, &g);
		assert_int_equal(g.rc, -EPROTO);
	}
}

static void test_change(void **state)
{
	struct got g, b, c;
	uint64_t f;

	(void)state;
	attach(B);
	attach(C);
	do_lookup(C, "f", &c);
	assert_int_equal(c.rep.status, -ENOENT);
	/* durable, and known to all, before it is answered */
	do_create(B, "f", 0, &b);
	assert_false(b.answered);
	assert_true(was_told(0, ROOT, false));
	assert_true(was_told(C, ROOT, false));
	turn();
	assert_false(b.answered);
	/* whoever hears of it waits as well: executed at once */
	do_lookup(C, "f", &c);
	assert_false(c.answered);
	do_getattr(B, ROOT, &g);
	assert_false(g.answered);
	ack(C);
	assert_true(b.answered && g.answered);
	f = b.rep.attr.ino;
	/* and who has made it hears of it first */
	assert_false(c.answered);
	ack(B);
	assert_true(c.answered);
	assert_int_equal(c.rep.attr.ino, f);
	/* what nobody was told of costs nothing */
	do_chmod(C, f, &c);
	assert_true(was_told(B, f, false) && was_told(0, f, false));
	ack(B);
	assert_true(c.answered);
	do_chmod(C, f, &c);
	assert_false(was_told(B, f, false));
	turn();
	assert_true(c.answered);
	ack(C);
	/* one that fails changes nothing */
	do_create(B, "f", F(EXCL), &b);
	assert_int_equal(b.rep.status, -EEXIST);
	assert_false(was_told(C, ROOT, false));
	/* sent again it is answered */
	link_down(C);
	do_lookup(B, "f", &g);
	do_chmod(B, f, &b);
	assert_false(b.answered || g.answered);
	attach(C);
	ack(C);
	assert_true(b.answered && g.answered);
}

static void test_layouts(void **state)
{
	struct got b, c;
	uint64_t f;

	(void)state;
	attach(B);
	attach(C);
	do_create(B, "f", F(LAYOUT) | F(WRITE), &b);
	turn();
	assert_true(b.answered && b.rep.has_layout);
	assert_int_equal(b.rep.layout.home, A);
	f = b.rep.attr.ino;
	assert_int_equal(b.rep.layout.token[0], (uint8_t)(B + f + 1));
	assert_false(was_told(0, f, false));
	ack(B);
	do_getattr(C, f, &c);
	assert_true(c.answered);
	assert_true(c.rep.attr.flags & ORCHFS_ATTR_LIVE);
	assert_int_equal(c.rep.attr.size, 7);
	/* C writes, too: what B was told of size and times ends */
	do_open(C, f, &c);
	assert_true(was_told(B, f, false));
	ack(B);
	assert_true(c.answered && c.rep.has_layout);
	note(B, K(NOTE_RETURN), f, &b);
	assert_int_equal(b.body, PEER_BODY(DONE));
	/* the last to write returns: the record changes, and is told */
	do_getattr(B, f, &b);
	assert_true(b.rep.attr.flags & ORCHFS_ATTR_LIVE);
	note(C, K(NOTE_RETURN), f, &c);
	assert_true(was_told(B, f, false));
	ack(B);
	do_getattr(B, f, &b);
	assert_true(b.answered && !(b.rep.attr.flags & ORCHFS_ATTR_LIVE));
}

static void test_unlinked(void **state)
{
	struct got g, b, c;
	uint64_t f;

	(void)state;
	attach(B);
	attach(C);
	do_create(B, "f", 0, &b);
	turn();
	ack(B);
	f = b.rep.attr.ino;
	do_lookup(C, "f", &c);
	ack(B);
	assert_true(c.answered);
	do_unlink(B, "f", &b);
	assert_true(was_told(C, f, true) && was_told(0, f, true));
	assert_true(was_told(C, ROOT, false));
	ack(C);
	assert_true(b.answered);
	assert_int_equal(b.rep.attr2.nlink, 0);
	note(B, K(NOTE_FORGET), f, &g);
	assert_int_equal(orphans(), 1);
	do_getattr(C, f, &c);
	ack(B);
	assert_int_equal(c.rep.status, 0);
	/* the own kernel has unmounted it, and C's forgets it */
	assert_int_equal(exec_notes(&sv, 0, &(struct ns_note){
			 .kind = K(NOTE_UMOUNT), .session = 99 }, 1), 0);
	assert_int_equal(orphans(), 1);
	note(C, K(NOTE_FORGET), f, &g);
	assert_int_equal(orphans(), 0);
}

static void test_deadline(void **state)
{
	struct got g, b, c;
	uint64_t f;

	(void)state;
	attach(B);
	attach(C);
	do_create(C, "f", F(LAYOUT) | F(WRITE), &c);
	turn();
	ack(C);
	f = c.rep.attr.ino;
	do_lookup(B, "f", &g);
	ack(C);
	assert_true(g.answered);
	link_down(C);
	do_unlink(B, "f", &b);
	turn();
	assert_false(b.answered);
	pass(LEASE / 2);
	renew(B, &g);
	assert_int_equal(g.body, PEER_BODY(LEASE));
	pass(LEASE / 2 + LEASE / 100 + 99);
	turn();
	assert_false(b.answered);
	/* its writes may be under way: what it holds stays so long */
	fencing = true;
	pass(1);
	turn();
	assert_true(b.answered);
	assert_int_equal(fences, 1);
	note(B, K(NOTE_FORGET), f, &g);
	assert_int_equal(exec_notes(&sv, 0, &(struct ns_note){
			 .kind = K(NOTE_FORGET), .node = f }, 1), 0);
	assert_int_equal(orphans(), 1);
	fencing = false;
	sessions_tick(&sv);
	turn();
	assert_int_equal(orphans(), 0);
	/* it comes back as if nothing had been, but for what it asks again */
	attach(C);
	do_create(C, "f", F(EXCL) | F(RESENT), &c);
	ack(B);
	assert_int_equal(c.rep.status, -ESTALE);
	do_lookup(C, "f", &c);
	ack(B);
	assert_int_equal(c.rep.status, -ENOENT);
	/* who renews without acknowledging ends as well */
	renew(B, &g);
	do_create(B, "g", 0, &b);
	for (int i = 0; i < 3; i++) {
		pass(LEASE / 2);
		renew(B, &g);
		assert_int_equal(g.rc, 0);
		renew(C, &g);
		assert_int_equal(g.rc, i < 2 ? 0 : -EBUSY);
		sessions_tick(&sv);
	}
	assert_false(b.answered);
	pass(LEASE / 2 + LEASE / 100 + 100);
	renew(B, &g);
	sessions_tick(&sv);
	turn();
	assert_true(b.answered);
	assert_int_equal(drops, 1);
}

/* The authority stands still, whatever for: who may ask again loses nothing. */
static void test_pause(void **state)
{
	struct session_info i[NODES];
	struct got b, c;

	(void)state;
	attach(B);
	attach(C);
	pass(LEASE / 2);
	clock_ms += 5 * LEASE;
	renew(B, &b);
	assert_int_equal(b.body, PEER_BODY(LEASE));
	sessions_tick(&sv);
	renew(C, &c);
	assert_int_equal(c.body, PEER_BODY(LEASE));
	assert_int_equal(fences, 0);
	assert_int_equal(sessions_info(&sv, i, NODES), 2);
	assert_int_equal(i[0].lease_ms, LEASE + LEASE / 100 + 100);
	/* nor does who is awaited */
	restart();
	clock_ms += 5 * LEASE;
	sessions_tick(&sv);
	assert_int_equal(sessions_info(&sv, i, NODES), 2);
	pass(LEASE + LEASE / 100 + 100);
	assert_int_equal(sessions_info(&sv, i, NODES), 0);
}

/* Its answers were lost, and it is away for longer than its lease. */
static void test_away(void **state)
{
	struct got b;

	(void)state;
	attach(B);
	do_create(B, "f", F(EXCL), &b);
	link_down(B);
	assert_int_equal(b.rc, -ENOTCONN);
	pass(LEASE + LEASE / 100 + 100);
	assert_int_equal(fences, 1);
	restart();
	attach(B);
	do_create(B, "f", F(EXCL) | F(RESENT), &b);
	turn();
	assert_int_equal(b.rep.status, 0);
	do_unlink(B, "f", &b);
	link_down(B);
	pass(LEASE + LEASE / 100 + 100);
	turn();
	attach(B);
	op(B, (struct op_req){ .kind = K(UNLINK), .sequence = 1, .node = ROOT,
			       .name = nm("f"), .flags = F(RESENT) }, &b);
	turn();
	assert_int_equal(b.rep.status, 0);
}

static void test_restart(void **state)
{
	struct session_info i[NODES];
	struct got g, b;

	(void)state;
	attach(B);
	attach(C);
	do_create(B, "f", 0, &b);
	turn();
	assert_int_equal(b.rep.status, 0);
	restart();
	assert_int_equal(sessions_info(&sv, i, NODES), 2);
	assert_true(i[0].awaited && i[1].awaited);
	attach(B);
	do_lookup(B, "f", &b);
	turn();
	assert_false(b.answered);
	ack(B);
	assert_false(b.answered);
	/* C isn't heard of: its lease ends */
	pass(LEASE / 2);
	renew(B, &g);
	pass(LEASE / 2 + LEASE / 100 + 99);
	turn();
	assert_false(b.answered);
	pass(1);
	turn();
	assert_true(b.answered);
	assert_int_equal(b.rep.status, 0);
	/* once more: B alone is waited for, and it comes */
	restart();
	assert_int_equal(sessions_info(&sv, i, NODES), 1);
	attach(C);
	do_lookup(C, "f", &g);
	assert_false(g.answered);
	attach(B);
	assert_false(g.answered);
	ack(B);
	assert_true(g.answered);
}

/* Nobody can come without the cluster's files: all are waited for and end. */
static void test_no_files(void **state)
{
	struct session_info i[NODES];
	const struct ns_node *n;
	struct got g;
	size_t nr;

	(void)state;
	attach(B);
	do_create(B, "f", F(LAYOUT) | F(WRITE), &g);
	turn();
	stop();
	start();
	sv.cluster = NULL;
	strcpy(sv.dir, dir);
	cluster_start(&sv);
	assert_non_null(sv.cluster);
	assert_null(sv.cluster->peer);
	assert_non_null(strstr(sv.cluster->problem, "ca.crt"));
	assert_int_equal(sessions_info(&sv, i, NODES), 1);
	assert_true(i[0].awaited);
	pass(LEASE + LEASE / 100 + 99);
	assert_int_equal(sessions_info(&sv, i, NODES), 1);
	pass(1);
	assert_int_equal(sessions_info(&sv, i, NODES), 0);
	n = ns_nodes(sv.ns, &nr);
	assert_int_equal(n[1].lease_ms, 0);
	assert_false(n[1].awaited);
	cluster_stop(&sv);
	data_free(&sv);
}

static void test_links(void **state)
{
	Orchfs__Peer__Op bad = ORCHFS__PEER__OP__INIT;
	peer_frame f = PEER_FRAME_INIT(OP);
	struct got g, b, b2;

	(void)state;
	attach(B);
	/* parked: tried again, or dropped with its link */
	no_files = true;
	do_create(B, "f", 0, &b);
	turn();
	assert_false(b.answered);
	exec_unpark(&sv);
	turn();
	assert_false(b.answered);
	no_files = false;
	exec_unpark(&sv);
	turn();
	turn();
	assert_true(b.answered && !b.rep.status);
	no_files = true;
	do_create(B, "g", 0, &b);
	no_files = false;
	do_create(B, "h", 0, &b2);
	link_down(B);
	assert_int_equal(b.rc, -ENOTCONN);
	assert_int_equal(b2.rc, -ENOTCONN);
	attach(B);
	do_lookup(B, "g", &g);
	assert_int_equal(g.rep.status, -ENOENT);
	do_lookup(B, "h", &g);
	assert_int_equal(g.rep.status, 0);
	/* nonsense is refused, and that is all */
	bad.id = 1;
	bad.kind = 999;
	f.op = &bad;
	ask(B, &f, &g);
	assert_true(g.answered && g.rep.status < 0);
	/* of a kernel that has it mounted no more nothing is held */
	do_create(B, "i", F(LAYOUT) | F(WRITE), &b);
	turn();
	note(B, K(NOTE_UMOUNT), 0, &g);
	{
		struct session_info i[1];
		struct ns_held held;

		assert_int_equal(sessions_info(&sv, i, 1), 0);
		ns_held(sv.ns, B, &held);
		assert_int_equal(held.layouts + held.nameless, 0);
	}
}

/* A node costs what it has mounted. */
static void test_mount(void **state)
{
	const struct op_req mount = { .kind = K(MOUNT) };
	struct session_info i[NODES];
	struct got g, c;

	(void)state;
	attach_mounted(B, false);
	assert_true(lease_none(sv.lease));
	assert_false(ns_awaits(sv.ns));
	renew(B, &g);
	assert_int_equal(g.body, PEER_BODY(LEASE));
	pass(3 * LEASE);
	assert_int_equal(fences, 0);
	restart();
	assert_false(ns_awaits(sv.ns));
	assert_true(lease_none(sv.lease));
	attach_mounted(B, false);
	attach(C);
	ack(C);
	/* what it may believe is recorded before it is told anything */
	op(B, mount, &g);
	assert_false(g.answered);
	turn();
	assert_int_equal(g.rep.status, 0);
	do_lookup(B, "f", &g);
	assert_true(g.answered);
	do_create(C, "f", 0, &c);
	turn();
	assert_true(was_told(B, ROOT, false));
	assert_false(c.answered);
	pass(LEASE / 2);
	renew(C, &g);
	renew(B, &g);
	assert_int_equal(g.body, PEER_BODY(LEASE));
	/* it unmounts: nobody waits for it any more */
	note(B, K(NOTE_UMOUNT), 0, &g);
	turn();
	assert_true(c.answered);
	assert_int_equal(sessions_info(&sv, i, NODES), 1);
	assert_int_equal(i[0].node, C);
	/* nor after a restart */
	op(B, mount, &g);
	ack(C);
	assert_int_equal(g.rep.status, 0);
	assert_int_equal(sessions_info(&sv, i, NODES), 2);
	note(B, K(NOTE_UMOUNT), 0, &g);
	turn();
	restart();
	assert_int_equal(sessions_info(&sv, i, NODES), 1);
	/* one that mounts while the own kernel can't be told */
	attach(C);
	note(C, K(NOTE_UMOUNT), 0, &g);
	attach_mounted(B, false);
	attach_lost(&sv);
	op(B, mount, &g);
	turn();
	assert_false(g.answered);
	sv.attached = true;
	assert_int_equal(sessions_attached(&sv), 0);
	turn();
	assert_true(g.answered);
}

/* A daemon is away from its own kernel, which goes on believing. */
static void test_own_away(void **state)
{
	struct got g, b, c, u;
	uint64_t f, missed;

	(void)state;
	attach(B);
	attach(C);
	do_create(B, "f", 0, &b);
	turn();
	f = b.rep.attr.ino;
	deaf = true;
	do_chmod(B, f, &b);
	assert_true(sv.need_detach);
	deaf = false;
	turn();
	assert_false(b.answered);
	missed = sv.missed;
	attach_lost(&sv);
	assert_true(sv.missed > missed);
	do_lookup(C, "f", &c);
	ack(B);
	assert_false(b.answered || c.answered);
	/* what it has in use it may have still */
	do_unlink(B, "f", &u);
	ack(C);
	note(B, K(NOTE_FORGET), f, &g);
	note(C, K(NOTE_FORGET), f, &g);
	assert_int_equal(orphans(), 1);
	assert_false(b.answered);
	sv.attached = true;
	assert_int_equal(sessions_attached(&sv), 0);
	assert_true(was_told(0, f, true));
	turn();
	ack(B);
	assert_true(b.answered && c.answered && u.answered);
	assert_int_equal(exec_notes(&sv, 0, &(struct ns_note){
			 .kind = K(NOTE_FORGET), .node = f }, 1), 0);
	assert_int_equal(orphans(), 0);
	/* where it has nothing mounted nobody waits */
	sv.own_mount = 0;
	attach_lost(&sv);
	do_create(B, "g", 0, &b);
	turn();
	assert_true(b.answered);
	sv.attached = true;
}

/* Files that only a slot of the own kernel names: it has had its time. */
static void test_own_asks(void **state)
{
	struct op_req rq = { .kind = K(CREATE), .node = ROOT, .mode = REG,
			     .flags = F(TMPFILE), .session = 99,
			     .sequence = 1 };
	struct op_reply rep = { 0 };
	const uint64_t session = 99;

	(void)state;
	ns_execute(sv.ns, &rq, &rep);
	assert_int_equal(rep.status, 0);
	arena_free(rep.arena);
	assert_int_equal(ns_reconcile(sv.ns, 0, &session, 1, NULL, 0), 0);
	sv.asks_until = now_ms() + 100000;
	attach_tick(&sv);
	assert_int_equal(orphans(), 1);
	sv.asks_until = now_ms();
	attach_tick(&sv);
	assert_int_equal(orphans(), 0);
}

/* --- locks --- */

static struct orchfs_lock a_lock(uint32_t type, uint32_t flags)
{
	return (struct orchfs_lock){ .owner = 5, .end = 9, .type = type,
				     .flags = flags, .pid = 11 };
}

/* @id: of the request; a cancel is of that one */
static void do_lock(uint32_t node, uint64_t id, uint32_t type, uint32_t flags,
		    struct got *g)
{
	struct op_req rq = { .id = id, .kind = K(LOCK), .node = LOCKED,
			     .session = node, .lock = a_lock(type, flags) };
	peer_frame f = PEER_FRAME_INIT(OP);
	struct arena *a = arena_new();

	if (flags & ORCHFS_LOCK_CANCEL) {
		rq.lock.id = id;
		rq.id += 1000;
	}
	f.op = op_wire_op(a, &rq);
	ask(node, &f, g);
	arena_free(a);
}

/* The number of the last recall of a node, which is looked at once; 0: none. */
static uint64_t recalled(uint32_t node)
{
	for (size_t i = nr_said; i--; ) {
		uint64_t number = said[i].recall;

		if (said[i].node != node || said[i].ino[0] != LOCKED)
			continue;
		said[i].recall = 0;
		return number;
	}
	return 0;
}

static void own_holds(uint64_t number, const struct orchfs_lock *l)
{
	struct nl_msg *m = nlmsg_alloc();

	assert_non_null(genlmsg_put(m, 0, 0, 30, 0, 0, ORCHFS_CMD_LOCK_HELD,
				    1));
	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, number);
	nla_put_u64(m, ORCHFS_A_MSG_NODE, LOCKED);
	if (l)
		nla_put(m, ORCHFS_A_MSG_LOCKS, sizeof(*l), l);
	nla_put_flag(m, ORCHFS_A_MSG_EOF);
	lock_event(&sv, nlmsg_hdr(m));
	nlmsg_free(m);
}

static void holds(uint32_t node, uint64_t number, struct orchfs_lock *l)
{
	const struct op_locks v = { .ino = LOCKED, .nr = l ? 1 : 0, .l = l };
	peer_frame f = PEER_FRAME_INIT(LOCK_HELD);
	struct arena *a = arena_new();
	struct got g;

	f.lock_held = op_wire_held(a, &v, number, true);
	ask(node, &f, &g);
	assert_int_equal(g.body, PEER_BODY(DONE));
	arena_free(a);
}

static void tell_attach(uint32_t node, struct got *g)
{
	Orchfs__Peer__Attach at = ORCHFS__PEER__ATTACH__INIT;
	peer_frame f = PEER_FRAME_INIT(ATTACH);
	uint64_t session = node;
	uint8_t id[16] = { (uint8_t)node };

	at.boot_id.data = id;
	at.boot_id.len = 16;
	at.session = &session;
	at.n_session = 1;
	f.attach = &at;
	ask(node, &f, g);
}

/* It attaches, and holds that lock. */
static void attach_with(uint32_t node, struct orchfs_lock *l)
{
	const struct op_locks v = { .ino = LOCKED, .nr = 1, .l = l };
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame locks = PEER_FRAME_INIT(LOCKS);
	peer_frame ready = PEER_FRAME_INIT(READY);
	struct arena *a = arena_new();
	struct got g;

	link_up(node);
	tell_attach(node, &g);
	locks.locks = op_wire_locks(a, &v, 1);
	ask(node, &locks, &g);
	assert_int_equal(g.body, PEER_BODY(DONE));
	ready.ready = &empty;
	ask(node, &ready, &g);
	turn();
	assert_int_equal(g.body, PEER_BODY(LEASE));
	arena_free(a);
}

static void test_locks(void **state)
{
	struct orchfs_lock w = a_lock(ORCHFS_LOCK_WRITE, 0);
	struct got b, c, g;
	uint64_t number;

	(void)state;
	attach(B);
	attach(C);
	/* the own kernel decides until it is asked; B gets what it gives */
	do_lock(B, 1, ORCHFS_LOCK_WRITE, 0, &b);
	assert_false(b.answered);
	own_holds(recalled(0), NULL);
	assert_true(b.answered);
	assert_int_equal(b.rep.flags, ORCHFS_REQ_FLAG_LEASE);
	/* C waits for B's lock, and gets it */
	do_lock(C, 1, ORCHFS_LOCK_WRITE, ORCHFS_LOCK_WAIT, &c);
	number = recalled(B);
	assert_true(number > 1);
	do_lock(B, 2, ORCHFS_LOCK_READ, ORCHFS_LOCK_TEST, &g);
	assert_false(g.answered);
	holds(B, number, &w);
	assert_true(g.answered);
	assert_int_equal(g.rep.lock.type, ORCHFS_LOCK_NONE);
	assert_false(c.answered);
	do_lock(B, 1, ORCHFS_LOCK_NONE, 0, &b);
	assert_int_equal(b.rep.status, 0);
	assert_true(c.answered);
	assert_int_equal(c.rep.status, 0);
	do_lock(B, 1, ORCHFS_LOCK_READ, ORCHFS_LOCK_TEST, &b);
	assert_int_equal(b.rep.lock.type, ORCHFS_LOCK_WRITE);
	assert_int_equal(b.rep.lock.node, C);
	/* who has no link any more waits for nothing, but has its lock */
	do_lock(B, 3, ORCHFS_LOCK_WRITE, ORCHFS_LOCK_WAIT, &b);
	link_down(C);
	assert_false(b.answered);
	link_down(B);
	assert_int_equal(b.rc, -ENOTCONN);
	attach(B);
	attach_with(C, &w);
	assert_int_equal(recalled(C), 0);
	do_lock(B, 3, ORCHFS_LOCK_WRITE, 0, &b);
	assert_int_equal(b.rep.status, -EAGAIN);
	/* the next daemon gives nothing before all have told what they have */
	restart();
	attach(B);
	do_lock(B, 2, ORCHFS_LOCK_WRITE, ORCHFS_LOCK_WAIT, &g);
	do_lock(B, 3, ORCHFS_LOCK_WRITE, 0, &b);
	assert_false(b.answered);
	/* but who is interrupted doesn't wait for that */
	assert_false(g.answered);
	do_lock(B, 2, ORCHFS_LOCK_NONE, ORCHFS_LOCK_CANCEL, &c);
	assert_true(c.answered && g.answered);
	assert_int_equal(g.rep.status, -EINTR);
	assert_false(b.answered);
	attach_with(C, &w);
	sessions_tick(&sv);
	turn();
	assert_true(b.answered);
	assert_int_equal(b.rep.status, -EAGAIN);
	/* a session that ends loses its locks, once nothing of it comes */
	do_lock(B, 3, ORCHFS_LOCK_WRITE, ORCHFS_LOCK_WAIT, &b);
	link_down(C);
	ack(B);
	pass(LEASE / 2);
	renew(B, &g);
	assert_int_equal(g.body, PEER_BODY(LEASE));
	fencing = true;
	pass(LEASE / 2 + LEASE / 100 + 100);
	assert_false(b.answered);
	fencing = false;
	sessions_tick(&sv);
	assert_false(b.answered);	/* the next daemon wouldn't know */
	turn();
	assert_true(b.answered);
	assert_int_equal(b.rep.status, 0);
	attach_with(C, &w);
	assert_int_equal(recalled(C), 1);
	do_lock(C, 1, ORCHFS_LOCK_WRITE, 0, &c);
	assert_int_equal(c.rep.status, -EAGAIN);
	/* nobody has it mounted there any more */
	note(B, K(NOTE_UMOUNT), 0, &g);
	do_lock(C, 1, ORCHFS_LOCK_WRITE, 0, &c);
	assert_int_equal(c.rep.status, 0);
}

/* A kernel that comes later knows that others have locks, and has none of theirs. */
static void test_own_locks(void **state)
{
	struct orchfs_lock w = a_lock(ORCHFS_LOCK_WRITE, 0);
	struct got b, c;

	(void)state;
	attach(B);
	attach(C);
	/* without others' locks it isn't asked for anything */
	own_lock = &w;
	assert_int_equal(lock_own(&sv), 0);
	assert_false(own_asks);
	/* there is no module when B locks */
	sv.attached = false;
	sv.no_module = true;
	do_lock(B, 1, ORCHFS_LOCK_WRITE, 0, &b);
	assert_int_equal(b.rep.flags, ORCHFS_REQ_FLAG_LEASE);
	/* then it comes, with a lock that it hasn't got */
	sv.no_module = false;
	assert_int_equal(lock_own(&sv), 0);
	assert_true(own_asks);
	assert_int_equal(recalled(0), 1);
	/* one that was detached is believed: nobody else could lock */
	do_lock(B, 1, ORCHFS_LOCK_NONE, 0, &b);
	note(B, K(NOTE_UMOUNT), 0, &c);
	clock_ms += 2000;
	sessions_tick(&sv);
	own_asks = false;
	do_lock(C, 1, ORCHFS_LOCK_WRITE, 0, &c);
	assert_false(c.answered);
	assert_int_equal(lock_own(&sv), 0);
	assert_true(own_asks);
	assert_int_equal(recalled(0), 0);
	assert_true(c.answered);
	assert_int_equal(c.rep.status, -EAGAIN);
}

/* What a session had is given on when nothing of it comes, and not back. */
static void test_locks_over(void **state)
{
	struct orchfs_lock w = a_lock(ORCHFS_LOCK_WRITE, 0);
	struct got b, c;

	(void)state;
	attach(B);
	attach(C);
	link_down(B);
	attach_with(B, &w);
	do_lock(C, 1, ORCHFS_LOCK_WRITE, ORCHFS_LOCK_WAIT, &c);
	assert_false(c.answered);
	link_down(B);
	ack(C);
	pass(LEASE / 2);
	renew(C, &b);
	fencing = true;
	pass(LEASE / 2 + LEASE / 100 + 100);
	/* it comes back at once */
	link_up(B);
	tell_attach(B, &b);
	assert_int_equal(b.rc, -EAGAIN);
	turn();
	assert_false(c.answered);
	link_down(B);
	fencing = false;
	sessions_tick(&sv);
	turn();
	assert_true(c.answered);
	assert_int_equal(c.rep.status, 0);
	do_lock(C, 1, ORCHFS_LOCK_NONE, 0, &c);
	/* the next daemon doesn't know who had it meanwhile */
	restart();
	attach(C);
	attach_with(B, &w);
	assert_int_equal(recalled(B), 1);
	/* nor, of one that isn't heard of, what is to be given up */
	link_down(B);
	attach_with(B, &w);
	restart();
	attach(C);
	pass(LEASE / 2);
	renew(C, &c);
	fencing = true;
	pass(LEASE / 2 + LEASE / 100 + 100);
	do_lock(C, 1, ORCHFS_LOCK_WRITE, 0, &c);
	sessions_tick(&sv);
	turn();
	assert_int_equal(recalled(0), 0);
	fencing = false;
	sessions_tick(&sv);
	turn();
	turn();
	own_holds(recalled(0), NULL);
	assert_true(c.answered);
	assert_int_equal(c.rep.status, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_attach), T(test_change), T(test_layouts),
		T(test_unlinked), T(test_deadline), T(test_pause),
		T(test_away), T(test_restart),
		T(test_no_files), T(test_links), T(test_mount),
		T(test_own_away), T(test_own_asks),
		T(test_locks), T(test_own_locks), T(test_locks_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
