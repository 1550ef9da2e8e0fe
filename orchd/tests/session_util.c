// SPDX-License-Identifier: Apache-2.0
#include "session_util.h"

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
#include "nl.h"

struct served sv;
struct said said[SAID_MAX];
size_t nr_said;
uint64_t clock_ms, sequence[NODES];
unsigned int drops, fences;
bool no_files, fencing, no_fence, deaf;
const struct orchfs_lock *own_lock;
bool own_asks;
static struct cluster cl;
char dir[64];
static uint64_t next_ino, next_link;
static uint64_t links[NODES];
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
	if (no_fence)
		return -ENOMEM;
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

void start(void)
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

void stop(void)
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

int setup(void **state)
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
	no_files = fencing = no_fence = deaf = own_asks = false;
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

int teardown(void **state)
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
void turn(void)
{
	assert_true(store_barrier(sv.st) >= 0);
	sessions_durable(&sv);
	answer_run(&sv);
	work_run(&sv.queue);
}

/* A tick each second, and one at the end. */
void pass(uint64_t ms)
{
	for (uint64_t step; ms; ms -= step) {
		step = ms < 1000 ? ms : 1000;
		clock_ms += step;
		sessions_tick(&sv);
	}
}

/* The next daemon on the same store. */
void restart(void)
{
	stop();
	start();
	assert_int_equal(sessions_start(&sv), 0);
}

/* --- nodes --- */

void ask(uint32_t node, peer_frame *f, struct got *g)
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

void link_up(uint32_t node)
{
	links[node] = ++next_link;
	sessions_handler.up(&sv, node, links[node]);
}

void link_down(uint32_t node)
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

void tell(uint32_t node, uint8_t boot, uint64_t held, struct got *g)
{
	tell_of(node, boot, held, true, g);
}

void attach_mounted(uint32_t node, bool mounted)
{
	struct got g;

	link_up(node);
	tell_of(node, (uint8_t)node, 0, mounted, &g);
	turn();
	assert_int_equal(g.body, PEER_BODY(LEASE));
	assert_int_equal(g.lease_ms, LEASE);
}

void attach(uint32_t node)
{
	attach_mounted(node, true);
}

void op(uint32_t node, struct op_req rq, struct got *g)
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

struct op_name nm(const char *s)
{
	return (struct op_name){ s, strlen(s) };
}

void do_create(uint32_t node, const char *name, uint32_t flags,
	       struct got *g)
{
	op(node, (struct op_req){ .kind = K(CREATE), .sequence = 1,
				  .node = ROOT, .name = nm(name), .mode = REG,
				  .flags = flags }, g);
}

void do_lookup(uint32_t node, const char *name, struct got *g)
{
	op(node, (struct op_req){ .kind = K(LOOKUP), .node = ROOT,
				  .name = nm(name) }, g);
}

void do_getattr(uint32_t node, uint64_t ino, struct got *g)
{
	op(node, (struct op_req){ .kind = K(GETATTR), .node = ino }, g);
}

void do_unlink(uint32_t node, const char *name, struct got *g)
{
	op(node, (struct op_req){ .kind = K(UNLINK), .sequence = 1,
				  .node = ROOT, .name = nm(name) }, g);
}

void do_chmod(uint32_t node, uint64_t ino, struct got *g)
{
	op(node, (struct op_req){ .kind = K(SETATTR), .sequence = 1,
				  .node = ino, .valid = ORCHFS_SET_MODE,
				  .attr = { .mode = 0600 } }, g);
}

void do_open(uint32_t node, uint64_t ino, struct got *g)
{
	op(node, (struct op_req){ .kind = K(OPEN), .node = ino,
				  .flags = F(WRITE) }, g);
}

void note(uint32_t node, uint32_t kind, uint64_t ino, struct got *g)
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

void renew(uint32_t node, struct got *g)
{
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(RENEW_LEASE);

	f.renew_lease = &empty;
	ask(node, &f, g);
}

/* Is there something to a node of that inode? It is looked at once. */
bool was_told(uint32_t node, uint64_t ino, bool nameless)
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
void ack(uint32_t node)
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

uint64_t orphans(void)
{
	struct ns_counts c;

	assert_int_equal(ns_counts(sv.ns, &c), 0);
	return c.orphans;
}
