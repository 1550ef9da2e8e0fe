// SPDX-License-Identifier: Apache-2.0
/*
 * The metadata engine and several nodes: layouts of an inode with each of
 * them, files without names, sessions, and what a restart waits for. Node 0 is
 * this machine.
 */
#include "engine_util.h"

#include "ns_cluster.h"
#include "ns_move.h"
#include "proto/store.pb-c.h"

#define REG	(S_IFREG | 0644)
#define RW	(F(LAYOUT) | F(WRITE))
#define B	2U
#define C	3U
#define LIVE	ORCHFS_ATTR_LIVE

static struct env e;

/* A cluster of nodes 1, B and C; @all of them may have any inode. */
static void begin(void **state, bool all)
{
	const struct ns_node first = { .number = 1, .name = "a" };
	static const uint8_t ca[32] = { 1 };
	struct ns_join j = { .secret_sha256 = { 7 } };
	uint32_t number;

	env_open(&e, *state);
	assert_int_equal(ns_cluster_begin(e.ns, ca, &first), 0);
	for (unsigned int n = B; n <= C; n++) {
		j.secret_sha256[1] = j.key_sha256[1] = (uint8_t)n;
		snprintf(j.name, sizeof(j.name), "%c", 'a' + (int)n - 1);
		assert_int_equal(ns_invite(e.ns, j.secret_sha256, 1, 0, 1000),
				 0);
		assert_int_equal(ns_join(e.ns, &j, &number), 0);
		assert_int_equal(number, n);
	}
	if (!all)
		return;
	e.fake.nr_holders = 3;
	e.fake.holders[1] = B;
	e.fake.holders[2] = C;
}

static void end(void)
{
	env_check(&e);
	env_close(&e);
}

static void as(uint32_t origin)
{
	e.origin = origin;
}

static uint64_t make(const char *name, uint32_t flags)
{
	uint64_t ino = 0;

	assert_int_equal(do_create(&e, ROOT, name, REG, flags, &ino), 0);
	return ino;
}

/* Open it; the layout's generation. */
static uint64_t open_as(uint32_t origin, uint64_t ino, bool write)
{
	as(origin);
	assert_int_equal(do_open(&e, ino, write), 0);
	assert_true(e.rep.has_layout);
	assert_int_equal(e.rep.layout.writable, write);
	return e.rep.layout.generation;
}

static bool is_live(uint32_t origin, uint64_t ino)
{
	as(origin);
	assert_int_equal(do_getattr(&e, ino), 0);
	return e.rep.attr.flags & LIVE;
}

static bool dirty(uint64_t ino)
{
	struct ns_instance *in;
	uint64_t v, g;
	size_t nr;
	bool d;

	assert_int_equal(ns_where(e.ns, ino, &v, &g, &in, &nr), 0);
	assert_int_equal(nr, 1);
	d = in[0].dirty;
	free(in);
	return d;
}

static uint64_t orphans(void)
{
	struct ns_counts c;

	assert_int_equal(ns_counts(e.ns, &c), 0);
	return c.orphans;
}

static int reconcile(uint32_t origin, const struct ns_handle *h, size_t nr)
{
	const uint64_t session = e.session + origin;

	return ns_reconcile(e.ns, origin, &session, 1, h, nr);
}

static int gone(uint32_t origin)
{
	return ns_reconcile(e.ns, origin, NULL, 0, NULL, 0);
}

/* A layout comes back with what its node has seen of the size. */
static void return_sized(uint32_t origin, uint64_t ino, uint64_t generation,
			 uint64_t size)
{
	const struct ns_note n = {
		.kind = K(NOTE_RETURN), .node = ino, .generation = generation,
		.valid = ORCHFS_SET_SIZE, .attr = { .size = size },
	};

	assert_int_equal(ns_note(e.ns, origin, &n, 1), 0);
}

static void test_live(void **state)
{
	uint64_t f, gb, gc;

	begin(state, false);
	f = make("f", 0);
	assert_false(is_live(0, f) || is_live(B, f));
	gb = open_as(B, f, true);
	assert_false(e.rep.layout.written);
	assert_true(is_live(0, f));
	assert_false(is_live(B, f));
	assert_int_equal(do_readdir(&e, ROOT, 0, 0), 0);
	assert_false(e.rep.entries[0].attr.flags & LIVE);
	as(C);
	assert_int_equal(do_readdir(&e, ROOT, 0, 0), 0);
	assert_true(e.rep.entries[0].attr.flags & LIVE);
	gc = open_as(C, f, true);
	assert_false(e.rep.layout.written);
	open_as(C, f, true);
	assert_true(e.rep.layout.written);
	gc = e.rep.layout.generation;
	assert_true(is_live(B, f) && is_live(C, f));
	/* reading says nothing to others */
	as(B);
	assert_int_equal(do_return(&e, f, gb), 0);
	open_as(B, f, false);
	assert_false(is_live(C, f));
	assert_true(is_live(B, f));
	as(C);
	assert_int_equal(do_return(&e, f, gc), 0);
	assert_false(is_live(0, f) || is_live(B, f) || is_live(C, f));
	/* made with a layout */
	as(B);
	f = make("g", RW);
	gb = e.rep.layout.generation;
	assert_true(is_live(0, f) && is_live(C, f));
	assert_false(is_live(B, f));
	as(B);
	assert_int_equal(do_return(&e, f, gb), 0);
	assert_false(is_live(0, f));
	end();
}

/* The record takes the size over when the last that writes has done so. */
static void test_returns(void **state)
{
	uint64_t f, g0, gb, gc;

	begin(state, false);
	f = make("f", 0);
	gb = open_as(B, f, true);
	gc = open_as(C, f, true);
	g0 = open_as(0, f, false);
	fake_write(&e, f, 100);
	return_sized(B, f, gb, 50);
	assert_true(dirty(f));
	as(0);
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.size, 100);
	/* an older one, and a node that has none: nothing */
	as(C);
	assert_int_equal(do_return(&e, f, gc - 2), 0);
	as(B);
	assert_int_equal(do_return(&e, f, gc + 9), 0);
	assert_true(dirty(f));
	/* what it believes of the size counts for nothing */
	fake_write(&e, f, 300);
	return_sized(C, f, gc, 200);
	assert_false(dirty(f));
	as(0);
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.size, 300);
	assert_int_equal(do_return(&e, f, g0), 0);
	/* one node alone is believed, as ever */
	g0 = open_as(0, f, true);
	return_sized(0, f, g0, 301);
	assert_false(dirty(f));
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.size, 301);
	end();
}

static void test_unsent(void **state)
{
	struct op_layout lay;
	uint64_t f, gb;

	begin(state, false);
	f = make("f", 0);
	gb = open_as(B, f, true);
	open_as(0, f, true);
	lay = e.rep.layout;
	assert_true(is_live(B, f));
	ns_layout_unsent(e.ns, 0, f, &lay);
	assert_false(is_live(B, f));
	assert_true(is_live(0, f) && dirty(f));
	as(B);
	assert_int_equal(do_return(&e, f, gb), 0);
	assert_false(dirty(f));
	end();
}

/* Removed by one node; each that may have it tells when it is done. */
static void test_unlink_open(void **state)
{
	static const uint32_t order[][3] = {
		{ 0, B, C }, { C, B, 0 }, { B, 0, C },
	};
	uint64_t f, g;

	begin(state, true);
	for (int i = 0; i < 3; i++) {
		as(0);
		f = make("f", 0);
		g = open_as(C, f, true);
		as(B);
		assert_int_equal(do_unlink(&e, ROOT, "f", 0), 0);
		assert_int_equal(e.rep.attr2.nlink, 0);
		fake_write(&e, f, 10);
		for (int n = 0; n < 3; n++) {
			as(order[i][n]);
			assert_int_equal(do_getattr(&e, f), 0);
			if (order[i][n] == C)
				assert_int_equal(do_return(&e, f, g), 0);
			assert_int_equal(do_forget(&e, f), 0);
			assert_int_equal(orphans(), n < 2);
		}
		assert_int_equal(do_getattr(&e, f), -ESTALE);
	}
	end();
}

/* A layout keeps it as well, and a session that ends lets go of all. */
static void test_unlink_dies(void **state)
{
	uint64_t f;

	begin(state, false);
	f = make("f", 0);
	open_as(B, f, true);
	as(0);
	assert_int_equal(do_unlink(&e, ROOT, "f", 0), 0);
	assert_int_equal(do_forget(&e, f), 0);
	assert_int_equal(orphans(), 1);
	assert_int_equal(gone(C), 0);
	assert_int_equal(orphans(), 1);
	assert_int_equal(gone(B), 0);
	assert_int_equal(orphans(), 0);
	/* who asks about one is another that has to tell */
	e.fake.nr_holders = 0;
	as(0);
	f = make("f", 0);
	assert_int_equal(do_unlink(&e, ROOT, "f", 0), 0);
	as(C);
	assert_int_equal(do_getattr(&e, f), 0);
	as(0);
	assert_int_equal(do_forget(&e, f), 0);
	assert_int_equal(orphans(), 1);
	as(C);
	assert_int_equal(do_forget(&e, f), 0);
	assert_int_equal(orphans(), 0);
	end();
}

static int count(void *ctx, const struct orchfs_attr *a)
{
	assert_int_equal(a->nlink, 0);
	++*(int *)ctx;
	return 0;
}

static int nameless(uint32_t origin)
{
	int nr = 0;

	assert_int_equal(ns_nameless(e.ns, origin, count, &nr), 0);
	return nr;
}

static void test_tmpfile(void **state)
{
	uint64_t f;

	begin(state, true);
	as(B);
	assert_int_equal(do_create(&e, ROOT, NULL, REG, F(TMPFILE) | RW, &f),
			 0);
	/* nobody else has heard of it */
	assert_int_equal(nameless(B), 1);
	assert_int_equal(nameless(0) + nameless(C), 0);
	as(0);
	assert_int_equal(do_forget(&e, f), 0);
	assert_int_equal(orphans(), 1);
	as(B);
	assert_int_equal(do_link(&e, f, ROOT, "f"), 0);
	assert_int_equal(nameless(B), 0);
	assert_int_equal(do_forget(&e, f), 0);
	assert_int_equal(do_lookup(&e, ROOT, "f"), 0);
	assert_int_equal(do_unlink(&e, ROOT, "f", 0), 0);
	assert_int_equal(nameless(0) + nameless(B) + nameless(C), 3);
	/* a commit that fails leaves nothing behind */
	make("g", 0);
	env_fail(&e, 0, -EIO);
	assert_int_equal(do_unlink(&e, ROOT, "g", 0), -EIO);
	env_heal(&e);
	assert_int_equal(nameless(0) + nameless(B) + nameless(C), 3);
	assert_int_equal(gone(0), 0);
	assert_int_equal(gone(C), 0);
	assert_int_equal(nameless(B), 1);
	assert_int_equal(gone(B), 0);
	assert_int_equal(orphans(), 0);
	end();
}

static void test_sessions(void **state)
{
	struct ns_note n = { .kind = K(NOTE_UMOUNT) };
	struct op_req rq[2];

	begin(state, false);
	for (unsigned int i = 0; i < 2; i++) {
		as(i ? C : B);
		rq[i] = env_req(&e, K(CREATE), 3);
		rq[i].node = ROOT;
		rq[i].name = nm(i ? "c" : "b");
		rq[i].mode = S_IFDIR | 0755;
		rq[i].flags = F(EXCL);
		assert_int_equal(env_run(&e, &rq[i]), 0);
	}
	for (int round = 0; round < 2; round++) {
		/* sent again it is answered, to its own node */
		rq[0].origin = B;
		assert_int_equal(env_run(&e, &rq[0]), 0);
		rq[0].origin = C;
		assert_int_equal(env_run(&e, &rq[0]), -EPROTO);
		rq[0].origin = 0;
		assert_int_equal(env_run(&e, &rq[0]), -EPROTO);
		n.session = e.session + B;
		assert_int_equal(ns_note(e.ns, C, &n, 1), 0);
		env_restart(&e, round);
	}
	/* that of a node that was away, too */
	rq[0].origin = B;
	assert_int_equal(ns_node_gone(e.ns, B), 0);
	assert_int_equal(env_run(&e, &rq[0]), 0);
	env_restart(&e, true);
	assert_int_equal(env_run(&e, &rq[0]), 0);
	/* of a node that doesn't list it: its slots go, and no other's */
	assert_int_equal(gone(B), 0);
	assert_int_equal(env_run(&e, &rq[0]), -EEXIST);
	assert_int_equal(env_run(&e, &rq[1]), 0);
	n.session = e.session + C;
	assert_int_equal(ns_note(e.ns, C, &n, 1), 0);
	assert_int_equal(env_run(&e, &rq[1]), -EEXIST);
	/* and with a node that is removed */
	as(B);
	rq[0] = env_req(&e, K(UNLINK), 3);
	rq[0].node = ROOT;
	rq[0].name = nm("b");
	rq[0].flags = F(DIR);
	assert_int_equal(env_run(&e, &rq[0]), 0);
	assert_int_equal(env_run(&e, &rq[0]), 0);
	assert_int_equal(ns_node_remove(e.ns, B, 1, 1000), 0);
	assert_int_equal(env_run(&e, &rq[0]), -ENOENT);
	end();
}

/* A file that only the answer tells of, which nobody has heard: asked again. */
static void unheard(void **state, bool last_is_gone)
{
	struct op_req rq;
	uint64_t f, txn;

	begin(state, false);
	assert_int_equal(ns_node_leases(e.ns, B, 10000, &txn), 0);
	assert_int_equal(ns_node_leases(e.ns, C, 10000, &txn), 0);
	as(B);
	rq = env_req(&e, K(CREATE), 3);
	rq.node = ROOT;
	rq.mode = REG;
	rq.flags = F(TMPFILE) | RW;
	assert_int_equal(env_run(&e, &rq), 0);
	f = e.rep.attr.ino;
	env_restart(&e, false);
	assert_int_equal(reconcile(0, NULL, 0), 0);
	assert_int_equal(reconcile(B, NULL, 0), 0);
	assert_int_equal(last_is_gone ? ns_node_gone(e.ns, C) :
			 reconcile(C, NULL, 0), 0);
	assert_int_equal(ns_asked(e.ns, 0), 0);
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.attr.ino, f);
	assert_int_equal(ns_asked(e.ns, B), 0);
	assert_int_equal(nameless(B), 1);
	as(B);
	assert_int_equal(do_forget(&e, f), 0);
	assert_int_equal(orphans(), 0);
	/* one that isn't asked for again */
	rq.sequence = ++e.sequence[3];
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(reconcile(B, NULL, 0), 0);
	assert_int_equal(reconcile(C, NULL, 0), 0);
	assert_int_equal(orphans(), 1);
	assert_int_equal(ns_asked(e.ns, C), 0);
	assert_int_equal(orphans(), 1);
	assert_int_equal(ns_asked(e.ns, B), 0);
	assert_int_equal(orphans(), 0);
	assert_int_equal(ns_asked(e.ns, B), 0);
	end();
}

static void test_unheard(void **state)
{
	unheard(state, false);
	unheard(state, true);
}

/* What a node that was away holds isn't kept for what its slots tell. */
static void test_gone(void **state)
{
	uint64_t f;

	begin(state, false);
	as(B);
	assert_int_equal(do_create(&e, ROOT, NULL, REG, F(TMPFILE) | RW, &f),
			 0);
	assert_int_equal(reconcile(B, NULL, 0), 0);
	assert_int_equal(orphans(), 1);
	assert_int_equal(ns_node_gone(e.ns, B), 0);
	assert_int_equal(orphans(), 0);
	end();
}

static void test_reconcile(void **state)
{
	struct ns_handle h = { 0 };
	uint64_t f;

	begin(state, false);
	f = make("f", 0);
	open_as(B, f, true);
	fake_write(&e, f, 70);
	/* others come and go */
	assert_int_equal(reconcile(0, NULL, 0), 0);
	assert_int_equal(reconcile(C, NULL, 0), 0);
	assert_int_equal(gone(0), 0);
	assert_true(dirty(f) && is_live(C, f));
	/* granted by this run: the answer may be on its way */
	assert_int_equal(reconcile(B, NULL, 0), 0);
	assert_true(dirty(f) && is_live(C, f));
	h.ino = f;
	h.generation = e.rep.layout.generation;
	assert_int_equal(reconcile(B, &h, 1), 0);
	assert_true(dirty(f));
	assert_int_equal(gone(B), 0);
	assert_false(dirty(f) || is_live(C, f));
	end();
}

/* A restart settles and collects nothing before all have told. */
static void test_restart(void **state)
{
	struct ns_handle h[2] = { { 0 }, { 0 } };
	uint64_t f, g, txn, written;
	uint64_t gf, orphan;
	const struct ns_node *n;
	size_t nr;

	begin(state, true);
	assert_int_equal(ns_node_leases(e.ns, 9, 10000, &txn), -ENOENT);
	assert_int_equal(ns_node_leases(e.ns, B, 10000, &txn), 0);
	assert_int_equal(txn, ns_txn(e.ns));
	written = txn;
	assert_int_equal(ns_node_leases(e.ns, C, 5000, &txn), 0);
	/* who asks for the same again has to wait for it as well */
	assert_int_equal(ns_node_leases(e.ns, B, 10000, &txn), 0);
	assert_int_equal(txn, written);
	f = make("f", 0);
	g = make("g", 0);
	orphan = make("o", 0);
	open_as(0, g, true);
	gf = open_as(C, f, true);
	as(0);
	assert_int_equal(do_unlink(&e, ROOT, "o", 0), 0);
	fake_write(&e, g, 7);
	env_restart(&e, false);
	n = ns_nodes(e.ns, &nr);
	assert_int_equal(nr, 3);
	assert_false(n[0].awaited);
	assert_true(n[1].awaited && n[2].awaited);
	assert_int_equal(n[1].lease_ms, 10000);
	assert_int_equal(ns_node_leases(e.ns, B, 10000, &txn), 0);
	assert_int_equal(txn, 0);
	assert_int_equal(gone(0), 0);
	assert_true(dirty(f) && dirty(g));
	assert_int_equal(orphans(), 1);
	assert_true(ns_awaits(e.ns));
	assert_int_equal(do_forget(&e, orphan), 0);
	assert_int_equal(gone(B), 0);
	assert_int_equal(orphans(), 1);
	h[0].ino = f;
	h[0].generation = gf;
	h[1].ino = orphan;
	h[1].opens = 1;
	assert_int_equal(reconcile(C, h, 2), 0);
	assert_true(dirty(f));
	assert_false(dirty(g));
	assert_int_equal(nameless(C), 1);
	assert_true(is_live(B, f));
	assert_false(ns_awaits(e.ns));
	as(C);
	assert_int_equal(do_return(&e, f, gf), 0);
	assert_int_equal(do_forget(&e, orphan), 0);
	assert_int_equal(orphans(), 0);
	assert_false(dirty(f));
	assert_int_equal(ns_node_leases(e.ns, B, 0, &txn), 0);
	assert_int_equal(ns_node_leases(e.ns, C, 0, &txn), 0);
	/* and none of that where no node may hold anything */
	orphan = make("o", 0);
	assert_int_equal(do_unlink(&e, ROOT, "o", 0), 0);
	env_restart(&e, false);
	assert_int_equal(gone(0), 0);
	assert_int_equal(orphans(), 0);
	end();
}

/* Nodes that have a file that is being moved. */
static void test_move(void **state)
{
	struct ns_move m = { 0 };
	struct op_layout lay;
	uint32_t nodes[4];
	struct ns_held held;
	struct op_req rq;
	uint64_t f, g;

	begin(state, false);
	f = make("f", 0);
	g = open_as(C, f, true);
	m.ino = f;
	assert_int_equal(ns_move_watch(e.ns, &m), 0);
	open_as(0, f, false);
	assert_false(ns_move_written(e.ns, f));
	as(B);
	rq = env_req(&e, K(LOOKUP), 64);
	rq.node = ROOT;
	rq.name = nm("f");
	rq.flags = F(LAYOUT);
	assert_int_equal(env_run(&e, &rq), 0);
	assert_true(e.rep.has_layout);
	assert_false(ns_move_written(e.ns, f));
	assert_true(is_live(B, f));
	assert_int_equal(ns_move_holders(e.ns, f, nodes, 1), 2);
	assert_int_equal(ns_move_holders(e.ns, f, nodes, 4), 2);
	assert_int_equal(nodes[0] + nodes[1], B + C);
	/* C may write no more, B has let go of it; nobody gets one meanwhile */
	assert_int_equal(ns_move_layout(e.ns, &m, false, &lay), 0);
	assert_true(lay.generation > g);
	as(B);
	assert_int_equal(do_open(&e, f, false), -NS_PARKED);
	ns_move_swapped_at(e.ns, &m, C, lay.generation, 0);
	ns_move_swapped_at(e.ns, &m, B, lay.generation, -ENOENT);
	ns_move_swapped(e.ns, &m, false, 0);
	assert_int_equal(ns_move_holders(e.ns, f, nodes, 4), 1);
	assert_int_equal(nodes[0], C);
	assert_false(is_live(B, f));
	/* an answer of before is late */
	as(C);
	assert_int_equal(do_return(&e, f, g), 0);
	assert_int_equal(ns_move_holders(e.ns, f, nodes, 4), 1);
	/* one of two could not: nobody knows which it is */
	assert_int_equal(ns_move_layout(e.ns, &m, false, &lay), 0);
	ns_move_swapped_at(e.ns, &m, C, lay.generation, -ENOTCONN);
	assert_int_equal(ns_move_holders(e.ns, f, nodes, 4), 1);
	ns_move_swapped(e.ns, &m, false, 0);
	g = open_as(B, f, true);
	assert_true(ns_move_written(e.ns, f));
	assert_true(dirty(f));
	assert_true(is_live(C, f));
	ns_move_unwatch(e.ns, f);
	ns_held(e.ns, B, &held);
	assert_int_equal(held.layouts, 1);
	assert_int_equal(held.written, 1);
	as(B);
	assert_int_equal(do_return(&e, f, g), 0);
	assert_false(dirty(f));
	end();
}

static uint32_t stored_format(void)
{
	static const struct store_key super = { "Ssuper", 6 };
	Orchfs__Store__Super *m;
	uint32_t format;
	size_t len;
	void *p;

	assert_int_equal(store_get(e.st, NULL, super, &p, &len), 0);
	m = orchfs__store__super__unpack(NULL, len, p);
	assert_non_null(m);
	format = m->format;
	orchfs__store__super__free_unpacked(m, NULL);
	free(p);
	return format;
}

/* Who doesn't know leases would wait for nobody: it refuses the store. */
static void test_format(void **state)
{
	static const struct ns_backing_ops none;
	const char *why;
	struct ns *ns;
	uint64_t txn;

	begin(state, false);
	assert_int_equal(ns_raise_format(e.ns), 0);
	assert_int_equal(stored_format(), 3);
	assert_int_equal(ns_node_leases(e.ns, B, 0, &txn), 0);
	env_fail(&e, 0, -EIO);
	assert_int_equal(ns_node_leases(e.ns, B, 10000, &txn), -EIO);
	env_heal(&e);
	assert_int_equal(stored_format(), 3);
	assert_int_equal(ns_node_leases(e.ns, B, 10000, &txn), 0);
	assert_int_equal(stored_format(), 4);
	assert_int_equal(ns_node_leases(e.ns, B, 0, &txn), 0);
	env_restart(&e, true);
	assert_int_equal(ns_raise_format(e.ns), 0);
	assert_int_equal(stored_format(), 4);
	ns_set_newest_format(3);
	assert_int_equal(ns_open(e.st, &none, NULL, "boot", &ns, &why),
			 -EPROTO);
	ns_set_newest_format(4);
	end();
}

/* B is the home of the volume from now on. */
static void go_far(void)
{
	struct ns_volume *v;
	size_t nr;

	assert_int_equal(ns_volumes(e.ns, &v, &nr), 0);
	v->home = B;
	assert_int_equal(ns_volume_put(e.ns, v), 0);
	free(v);
	e.fake.timed = true;
}

static uint64_t make_owned(uint32_t origin, const char *name, uint32_t flags)
{
	struct op_req rq;

	as(origin);
	rq = env_req(&e, K(CREATE), 1);
	rq.node = ROOT;
	rq.name = nm(name);
	rq.mode = REG;
	rq.flags = flags;
	rq.uid = 7;
	assert_int_equal(env_run(&e, &rq), 0);
	return e.rep.attr.ino;
}

/* A new file is looked at nowhere; its home gives it away if it opens it. */
static void test_far_create(void **state)
{
	struct ns_backing_stat s = { .mtime = { .sec = 50 },
				     .ctime = { .sec = 60 } };
	uint64_t f, g, h;

	begin(state, false);
	go_far();
	f = make_owned(B, "f", RW);
	assert_true(e.rep.has_layout);
	assert_int_equal(e.fake.stats + e.fake.owns, 0);
	g = make_owned(C, "g", RW);
	assert_int_equal(e.fake.owns, 1);
	assert_int_equal(fake_find(&e, g)->uid, 7);
	make_owned(B, "h", 0);
	assert_int_equal(e.fake.owns, 2);
	assert_int_equal(e.fake.stats, 0);
	/* what the home's open has changed is no write */
	h = fake_find(&e, f)->instance;
	assert_int_equal(ns_based(e.ns, 1, f, 1, h, &s, true), 0);
	assert_int_equal(ns_based(e.ns, 2, f, 1, h, &s, true), 0);
	assert_int_equal(ns_based(e.ns, 1, f, 1, h + 999, &s, true), 0);
	fake_find(&e, f)->s.mtime.sec = 50;
	fake_find(&e, f)->s.ctime.sec = 60;
	as(0);
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_not_equal(e.rep.attr.mtime, 50);
	fake_write(&e, f, 9);
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.mtime, fake_find(&e, f)->s.mtime.sec);
	end();
}

/* A home that gives a file away late hides no write that came before. */
static void test_far_owned_late(void **state)
{
	struct ns_backing_stat s;
	uint64_t f;

	begin(state, false);
	go_far();
	f = make_owned(C, "f", RW);
	fake_write(&e, f, 9);
	s = fake_find(&e, f)->s;
	s.ctime.sec = s.mtime.sec + 1;
	fake_find(&e, f)->s = s;
	assert_int_equal(ns_based(e.ns, 1, f, 1, fake_find(&e, f)->instance,
				  &s, false), 0);
	as(0);
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.mtime, s.mtime.sec);
	assert_int_equal(e.rep.attr.ctime, s.ctime.sec);
	/* nor does one that made up for it when it opened the file */
	assert_int_equal(ns_based(e.ns, 1, f, 1, fake_find(&e, f)->instance,
				  &s, true), 0);
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.mtime, s.mtime.sec);
	end();
}

/* utimes while the home is away: not what was written before it. */
static void test_far_utimes_away(void **state)
{
	struct op_req rq;
	uint64_t f;

	begin(state, false);
	go_far();
	f = make_owned(B, "f", RW);
	fake_write(&e, f, 9);
	e.fake.stat_error = -NS_AWAY;
	as(C);
	rq = env_req(&e, K(SETATTR), 2);
	rq.node = f;
	rq.valid = ORCHFS_SET_MTIME;
	rq.attr.mtime = 1234;
	rq.now = fake_find(&e, f)->s.mtime;
	rq.now.sec++;
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.rep.attr.mtime, 1234);
	e.fake.stat_error = 0;
	as(0);
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.mtime, 1234);
	fake_find(&e, f)->s.mtime.sec = rq.now.sec + 1;
	fake_find(&e, f)->s.ctime.sec = rq.now.sec + 1;
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.mtime, rq.now.sec + 1);
	end();
}

/* Nothing is changed before the home has told what is needed. */
static void test_far_parked(void **state)
{
	struct ns_counts before, after;
	uint64_t f, clean, txn;
	struct op_req rq;

	begin(state, false);
	go_far();
	as(B);
	f = make("f", RW);
	make("g", RW);
	clean = make("c", 0);
	fake_write(&e, f, 100);
	assert_int_equal(ns_counts(e.ns, &before), 0);
	txn = ns_txn(e.ns);
	e.fake.owns = 0;
	e.fake.stat_error = -NS_PARKED;
	as(C);
	assert_int_equal(do_getattr(&e, clean), 0);
	assert_int_equal(do_getattr(&e, f), -NS_PARKED);
	assert_int_equal(do_open(&e, f, true), -NS_PARKED);
	assert_int_equal(do_open(&e, clean, true), -NS_PARKED);
	assert_int_equal(do_open(&e, clean, false), 0);
	assert_int_equal(do_unlink(&e, ROOT, "f", 0), -NS_PARKED);
	assert_int_equal(do_rename(&e, ROOT, "c", ROOT, "f", 0), -NS_PARKED);
	assert_int_equal(do_link(&e, f, ROOT, "f2"), -NS_PARKED);
	rq = env_req(&e, K(SETATTR), 2);
	rq.node = f;
	rq.valid = ORCHFS_SET_MTIME | ORCHFS_SET_UID;
	rq.attr.uid = 3;
	assert_int_equal(env_run(&e, &rq), -NS_PARKED);
	assert_int_equal(e.fake.owns, 0);
	assert_int_equal(ns_txn(e.ns), txn);
	/* a listing asks for all of them at once */
	e.fake.stats = 0;
	assert_int_equal(do_readdir(&e, ROOT, 0, 0), -NS_PARKED);
	assert_int_equal(e.fake.stats, 2);
	e.fake.stat_error = 0;
	assert_int_equal(do_readdir(&e, ROOT, 0, 0), 0);
	assert_int_equal(e.rep.nr_entries, 3);
	assert_int_equal(env_run(&e, &rq), 0);
	assert_int_equal(e.fake.owns, 1);
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.size, 100);
	/* a home that is away is no damage */
	e.fake.stat_error = -NS_AWAY;
	assert_int_equal(do_getattr(&e, f), 0);
	assert_int_equal(e.rep.attr.size, 0);
	assert_int_equal(do_open(&e, clean, true), -EIO);
	assert_int_equal(ns_counts(e.ns, &after), 0);
	assert_int_equal(after.damaged, before.damaged);
	assert_int_equal(after.orphans, 0);
	e.fake.stat_error = 0;
	end();
}

/* What comes back is settled when the home has told; its own kernel knows. */
static void test_far_settle(void **state)
{
	uint64_t f, g, gf, gg;

	begin(state, false);
	go_far();
	as(B);
	f = make("f", RW);
	gf = e.rep.layout.generation;
	as(C);
	g = make("g", RW);
	gg = e.rep.layout.generation;
	fake_write(&e, f, 100);
	fake_write(&e, g, 200);
	e.fake.stat_error = -NS_PARKED;
	return_sized(B, f, gf, 100);
	assert_false(dirty(f));
	assert_int_equal(e.fake.stats, 0);
	return_sized(C, g, gg, 1);
	assert_true(dirty(g));
	assert_int_equal(e.fake.unsettled, 1);
	assert_int_equal(ns_settle_all(e.ns), 0);
	assert_int_equal(e.fake.unsettled, 2);
	assert_true(dirty(g));
	/* not while it is written again */
	e.fake.stat_error = 0;
	gg = open_as(C, g, true);
	assert_int_equal(ns_settle_dirty(e.ns, g), 0);
	assert_true(dirty(g));
	e.fake.stat_error = -NS_PARKED;
	return_sized(C, g, gg, 1);
	e.fake.stat_error = 0;
	assert_int_equal(ns_settle_dirty(e.ns, g), 0);
	assert_false(dirty(g));
	assert_int_equal(do_getattr(&e, g), 0);
	assert_int_equal(e.rep.attr.size, 200);
	/* at the home's side nobody else counts, but for who wrote too */
	gf = open_as(B, f, true);
	gg = open_as(0, f, true);
	e.fake.stat_error = -NS_PARKED;
	return_sized(0, f, gg, 5);
	return_sized(B, f, gf, 5);
	assert_true(dirty(f));
	e.fake.stat_error = 0;
	assert_int_equal(ns_settle_all(e.ns), 0);
	assert_false(dirty(f));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_live),
		BOTH(test_returns),
		BOTH(test_unsent),
		BOTH(test_unlink_open),
		BOTH(test_unlink_dies),
		BOTH(test_tmpfile),
		BOTH(test_sessions),
		BOTH(test_unheard),
		BOTH(test_gone),
		BOTH(test_reconcile),
		BOTH(test_restart),
		BOTH(test_move),
		BOTH(test_format),
		BOTH(test_far_create),
		BOTH(test_far_owned_late),
		BOTH(test_far_utimes_away),
		BOTH(test_far_parked),
		BOTH(test_far_settle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
