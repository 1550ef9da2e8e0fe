// SPDX-License-Identifier: Apache-2.0
/*
 * Locks of nodes and of the own kernel, as sessions come, end and come back.
 */
#include "session_util.h"

#include <errno.h>
#include <string.h>

#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include "arena.h"
#include "cluster.h"

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
	const struct CMUnitTest tests[] = {
		TEST(test_locks),
		TEST(test_own_locks),
		TEST(test_locks_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
