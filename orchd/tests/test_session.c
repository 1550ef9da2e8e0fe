// SPDX-License-Identifier: Apache-2.0
/*
 * Sessions of nodes: what a change makes known to whom, which answers wait.
 */
#include "session_util.h"

#include <errno.h>
#include <string.h>

#include "arena.h"
#include "cluster.h"
#include "data.h"

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
	no_fence = true;
	pass(1);
	turn();
	assert_true(b.answered);
	note(B, K(NOTE_FORGET), f, &g);
	assert_int_equal(exec_notes(&sv, 0, &(struct ns_note){
			 .kind = K(NOTE_FORGET), .node = f }, 1), 0);
	sessions_tick(&sv);
	turn();
	assert_int_equal(fences, 0);
	assert_int_equal(orphans(), 1);
	no_fence = false;
	fencing = true;
	sessions_tick(&sv);
	turn();
	assert_int_equal(fences, 1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_attach),
		TEST(test_change),
		TEST(test_layouts),
		TEST(test_unlinked),
		TEST(test_deadline),
		TEST(test_pause),
		TEST(test_away),
		TEST(test_restart),
		TEST(test_no_files),
		TEST(test_links),
		TEST(test_mount),
		TEST(test_own_away),
		TEST(test_own_asks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
