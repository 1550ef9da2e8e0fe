// SPDX-License-Identifier: Apache-2.0
/*
 * What passes between a kernel and an authority once the agent is attached:
 * operations, what they make stale, locks, notes.
 */
#include "agent_util.h"

static struct peer_question question;

static void question_done(struct peer_question *q, int rc, const char *why,
			  peer_frame *f)
{
	(void)why;
	assert_ptr_equal(q, &question);
	if (!rc)
		w.answers++;
	else
		w.failures++;
	frame_free(f);
}

static void invalidate(const struct op_stale *s, size_t nr)
{
	struct arena *a = arena_new();
	peer_frame f = PEER_FRAME_INIT(INVALIDATE);

	question.done = question_done;
	f.invalidate = op_wire_invalidate(a, 1, s, nr);
	assert_int_equal(peer_send(w.cl.peer, w.link, &f, WAIT_MS,
				   &question), 0);
	arena_free(a);
}

static void invalidate_wait(const struct op_stale *s, size_t nr)
{
	unsigned int n = w.answers;

	invalidate(s, nr);
	while (w.answers == n)
		turn();
}

/* No more than may be under way; each is answered once. */
static void test_many(void **state)
{
	const unsigned int n = 3000;
	struct peer_request *r, *held[AGENT_OPS_MAX];
	static unsigned char seen[3002];
	struct op_reply rep = { .has_attr = true, .attr.nlink = 1 };
	struct op_req op;
	struct said s;

	(void)state;
	agent_start();
	memset(seen, 0, sizeof(seen));
	for (uint64_t i = 1; i <= n; i++)
		request(i, ORCHFS_KIND_GETATTR, 0);
	for (int i = 0; i < AGENT_OPS_MAX; i++) {
		op = next_op(&held[i]);
		assert_int_equal(op.id, i + 1);
		assert_int_equal(op.node, 1000 + op.id);
	}
	/* an acknowledgement shows that nothing else is on the way */
	request(n + 1, 99, 0);
	while (atomic_load(&w.agent->requests) <= n)
		invalidate_wait(&(struct op_stale){ .ino = 0 }, 1);
	invalidate_wait(&(struct op_stale){ .ino = 0 }, 1);
	assert_int_equal(w.nr, w.taken);
	for (unsigned int i = 1; i <= n; i++) {
		if (i <= AGENT_OPS_MAX)
			r = held[i - 1];
		else
			op = next_op(&r);
		rep.attr.ino = 1000 + r->f->op->id;
		rep.txn = 100 + i;
		reply_op(r, &rep);
	}
	for (unsigned int i = 0, answers = 0; i <= n; i++) {
		s = said(ORCHFS_CMD_REPLY, i);
		assert_in_range(s.id, 1, n + 1);
		assert_int_equal(seen[s.id]++, 0);
		assert_int_equal(s.status, s.id <= n ? 0 : -EPROTO);
		if (s.id > n)
			continue;
		assert_int_equal(s.ino, 1000 + s.id);
		assert_int_equal(s.durable, 100 + ++answers);
	}
	assert_int_equal(nr_said(ORCHFS_CMD_REPLY), n + 1);
}

static void test_layout(void **state)
{
	struct op_reply rep = {
		.has_attr = true, .attr = { .ino = 5, .nlink = 1 },
		.has_layout = true,
		.layout = { .generation = 1, .version = 2, .instance = 3,
			    .volume = 4, .home = 1 },
	};
	struct ns_note notes[OP_WIRE_NOTES_MAX];
	struct peer_request *r;
	struct said s;
	size_t nr;

	(void)state;
	agent_start();
	request(1, ORCHFS_KIND_OPEN, 0);
	next_op(&r);
	reply_op(r, &rep);
	s = said(ORCHFS_CMD_REPLY, 0);
	assert_int_equal(s.status, 0);
	assert_true(s.has_layout);
	assert_int_equal(s.kind, ORCHFS_MIRROR_KIND_REMOTE);
	assert_int_equal(s.peer, 1);
	assert_int_equal(s.instance, 3);
	/* this node has no volume: the authority is told that it came to nothing */
	rep.layout.home = 2;
	rep.layout.at_home = true;
	request(2, ORCHFS_KIND_OPEN, 0);
	next_op(&r);
	reply_op(r, &rep);
	s = said(ORCHFS_CMD_REPLY, 1);
	assert_int_equal(s.status, -EIO);
	r = next(PEER_BODY(NOTES));
	assert_int_equal(op_wire_get_notes(r->f->notes, notes, &nr), 0);
	assert_int_equal(nr, 1);
	assert_int_equal(notes[0].kind, ORCHFS_KIND_NOTE_RETURN);
	assert_int_equal(notes[0].node, 5);
	assert_int_equal(notes[0].generation, 1);
	reply_done(r);
	request(3, ORCHFS_KIND_GETATTR, 0);
	next_op(&r);
	reply_op(r, &rep);
	s = said(ORCHFS_CMD_REPLY, 2);
	assert_int_equal(s.status, 0);
	assert_true(s.has_attr);
	assert_false(s.has_layout);
	reply_done(next(PEER_BODY(NOTES)));
}

/* What isn't right is no answer for an application. */
static void test_bad_reply(void **state)
{
	Orchfs__Peer__OpReply m = ORCHFS__PEER__OP_REPLY__INIT;
	peer_frame f = PEER_FRAME_INIT(OP_REPLY);
	struct peer_request *r;

	(void)state;
	agent_start();
	for (uint64_t i = 1; i <= 3; i++)
		request(i, ORCHFS_KIND_GETATTR, 0);
	next_op(&r);
	m.status = 17;
	f.op_reply = &m;
	peer_reply(r, &f);
	assert_int_equal(said(ORCHFS_CMD_REPLY, 0).status, -EIO);
	next_op(&r);
	reply_done(r);
	assert_int_equal(said(ORCHFS_CMD_REPLY, 1).status, -EIO);
	next_op(&r);
	peer_fail(r, -EPROTO, "it makes no sense");
	assert_int_equal(said(ORCHFS_CMD_REPLY, 2).status, -EIO);
	assert_int_equal(w.downs, 0);
}

/* An answer, then what it made stale: the kernel hears them in that order. */
static void test_invalidate(void **state)
{
	struct op_reply rep = { .has_attr = true, .attr = { .ino = 5 } };
	const struct op_stale stale[] = {
		{ .ino = 5, .has_attr = true, .attr = { .ino = 5 } },
		{ .ino = 6 }, { .ino = 0 },
	};
	struct peer_request *r;

	(void)state;
	agent_start();
	for (uint64_t i = 1; i <= 100; i++) {
		size_t at;

		request(i, ORCHFS_KIND_GETATTR, 0);
		next_op(&r);
		pthread_mutex_lock(&k.lock);
		at = k.nr_said;
		pthread_mutex_unlock(&k.lock);
		reply_op(r, &rep);
		invalidate(stale, 3);
		while (w.answers < i)
			turn();
		pthread_mutex_lock(&k.lock);
		assert_int_equal(k.nr_said, at + 4);
		assert_int_equal(k.said[at].cmd, ORCHFS_CMD_REPLY);
		assert_int_equal(k.said[at].id, i);
		for (int n = 0; n < 3; n++) {
			assert_int_equal(k.said[at + 1 + n].cmd,
					 ORCHFS_CMD_INVALIDATE);
			assert_int_equal(k.said[at + 1 + n].node,
					 stale[n].ino);
			assert_int_equal(k.said[at + 1 + n].has_attr, !n);
		}
		pthread_mutex_unlock(&k.lock);
	}
	/* what can't be understood isn't acknowledged */
	invalidate(&(struct op_stale){ .ino = 5, .has_attr = true,
				       .attr = { .ino = 6 } }, 1);
	while (!w.failures)
		turn();
	assert_int_equal(w.answers, 100);
}

static void lock_request(uint64_t id, uint32_t flags)
{
	struct orchfs_lock l = a_lock(7, flags);
	struct nl_msg *m = message(ORCHFS_CMD_REQUEST);

	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, id);
	nla_put_u32(m, ORCHFS_A_MSG_KIND, ORCHFS_KIND_LOCK);
	nla_put_u64(m, ORCHFS_A_MSG_NODE, 55);
	nla_put(m, ORCHFS_A_MSG_LOCK, sizeof(l), &l);
	inject(m);
}

static void lock_recall(bool lost)
{
	Orchfs__Peer__LockRecall m = ORCHFS__PEER__LOCK_RECALL__INIT;
	peer_frame f = PEER_FRAME_INIT(LOCK_RECALL);

	m.ino = 55;
	m.number = 6;
	m.lost = lost;
	f.lock_recall = &m;
	question.done = question_done;
	assert_int_equal(peer_send(w.cl.peer, w.link, &f, WAIT_MS,
				   &question), 0);
}

/* What the kernel has is told before it is ready; then it asks. */
static void test_locks(void **state)
{
	const struct orchfs_lock held = a_lock(7, 0);
	struct op_reply rep = { .flags = ORCHFS_REQ_FLAG_LEASE };
	struct arena *a = arena_new();
	struct peer_request *r;
	struct op_locks v;
	struct nl_msg *m;
	struct said s;
	struct op_req op;

	(void)state;
	k.locked = 40;
	assert_int_equal(served_start(w.agent), 0);
	r = next(PEER_BODY(ATTACH));
	/* from now on it asks */
	assert_int_equal(said(ORCHFS_CMD_LOCK_RECALL, 0).node, 0);
	reply_done(r);
	r = next(PEER_BODY(LOCKS));
	assert_int_equal(r->f->locks->n_inode, 2);
	assert_int_equal(op_wire_get_locks(a, r->f->locks->inode[0], &v), 0);
	assert_int_equal(v.ino, 40);
	assert_int_equal(v.nr, 2);
	assert_int_equal(v.l[1].owner, 4);
	assert_int_equal(op_wire_get_locks(a, r->f->locks->inode[1], &v), 0);
	assert_int_equal(v.ino, 41);
	assert_true(v.lease);
	reply_done(r);
	reply_lease(next(PEER_BODY(READY)));
	said(ORCHFS_CMD_READY, 0);
	/* a request, its answer, and the recall of what that gave */
	lock_request(1, 0);
	op = next_op(&r);
	assert_int_equal(op.lock.owner, 7);
	reply_op(r, &rep);
	lock_recall(false);
	s = said(ORCHFS_CMD_LOCK_RECALL, 1);
	assert_int_equal(s.id, 6);
	assert_int_equal(s.node, 55);
	assert_int_equal(said(ORCHFS_CMD_REPLY, 0).status, 0);
	while (!w.answers)
		turn();
	m = message(ORCHFS_CMD_LOCK_HELD);
	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, 6);
	nla_put_u64(m, ORCHFS_A_MSG_NODE, 55);
	nla_put(m, ORCHFS_A_MSG_LOCKS, sizeof(held), &held);
	nla_put_flag(m, ORCHFS_A_MSG_EOF);
	inject(m);
	r = next(PEER_BODY(LOCK_HELD));
	assert_int_equal(op_wire_get_held(a, r->f->lock_held, &v), 0);
	assert_int_equal(r->f->lock_held->number, 6);
	assert_true(r->f->lock_held->eof);
	assert_int_equal(v.nr, 1);
	assert_memory_equal(v.l, &held, sizeof(held));
	reply_done(r);
	/* those that wait leave room for others */
	for (uint64_t i = 0; i <= AGENT_LOCK_WAITS_MAX; i++)
		lock_request(100 + i, ORCHFS_LOCK_WAIT);
	assert_int_equal(said(ORCHFS_CMD_REPLY, 1).status, -ENOLCK);
	for (uint64_t i = 0; i < AGENT_LOCK_WAITS_MAX; i++) {
		op = next_op(&r);
		assert_int_equal(op.id, 100 + i);
		reply_op(r, &rep);
	}
	arena_free(a);
}

static void test_notes(void **state)
{
	struct orchfs_attr attr = { .ino = 8, .size = 123 };
	struct nl_msg *m = message(ORCHFS_CMD_NOTICE);
	struct peer_request *r;
	struct ns_note notes[OP_WIRE_NOTES_MAX];
	struct nlattr *n;
	size_t nr;

	(void)state;
	agent_start();
	n = nla_nest_start(m, ORCHFS_A_MSG_NOTE);
	nla_put_u32(m, ORCHFS_A_NOTE_KIND, ORCHFS_KIND_NOTE_FORGET);
	nla_put_u64(m, ORCHFS_A_NOTE_NODE, 7);
	nla_nest_end(m, n);
	n = nla_nest_start(m, ORCHFS_A_MSG_NOTE);
	nla_put_u32(m, ORCHFS_A_NOTE_KIND, ORCHFS_KIND_NOTE_ATTR);
	nla_put_u64(m, ORCHFS_A_NOTE_NODE, 8);
	nla_put_u32(m, ORCHFS_A_NOTE_VALID, ORCHFS_SET_SIZE);
	nla_put(m, ORCHFS_A_NOTE_ATTR, sizeof(attr), &attr);
	nla_nest_end(m, n);
	inject(m);
	r = next(PEER_BODY(NOTES));
	assert_int_equal(op_wire_get_notes(r->f->notes, notes, &nr), 0);
	assert_int_equal(nr, 2);
	assert_int_equal(notes[0].kind, ORCHFS_KIND_NOTE_FORGET);
	assert_int_equal(notes[0].node, 7);
	assert_int_equal(notes[1].valid, ORCHFS_SET_SIZE);
	assert_int_equal(notes[1].attr.size, 123);
	/* not taken: the handles tell it */
	k.nr_handles = 1;
	k.handles[0] = 8;
	peer_fail(r, -ENOSPC, "the store is full");
	welcome(1);
	assert_int_equal(k.attaches, 2);
}

/* --- layouts that the authority publishes --- */

static struct {
	int rc, status;
	uint32_t writers;
} swap_end;

static void swap_ended(struct peer_question *q, int rc, const char *why,
		     peer_frame *f)
{
	(void)q;
	(void)why;
	swap_end.rc = rc;
	if (!rc) {
		assert_int_equal(f->body_case, PEER_BODY(LAYOUT_END));
		swap_end.status = f->layout_end->status;
		swap_end.writers = f->layout_end->writers;
		frame_free(f);
	}
	w.answers++;
}

static void layout_set(uint32_t home)
{
	Orchfs__Peer__LayoutSet m = ORCHFS__PEER__LAYOUT_SET__INIT;
	const struct op_layout l = {
		.generation = 9, .version = 1, .instance = 33, .volume = 4,
		.home = home, .at_home = home == 2, .token = "t",
	};
	struct arena *a = arena_new();
	peer_frame f = PEER_FRAME_INIT(LAYOUT_SET);

	m.ino = 77;
	m.timeout_ms = 3000;
	m.layout = op_wire_layout(a, &l);
	f.layout_set = &m;
	question.done = swap_ended;
	w.answers = 0;
	assert_int_equal(peer_send(w.cl.peer, w.link, &f, WAIT_MS,
				   &question), 0);
	arena_free(a);
}

static void layout_done(uint64_t id, int status, uint32_t writers)
{
	struct nl_msg *m = message(ORCHFS_CMD_LAYOUT_DONE);

	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, id);
	nla_put_u64(m, ORCHFS_A_MSG_NODE, 77);
	nla_put_s32(m, ORCHFS_A_MSG_STATUS, status);
	nla_put_u32(m, ORCHFS_A_MSG_OPENS, writers);
	inject(m);
	while (!w.answers)
		turn();
}

static void test_layout_set(void **state)
{
	struct nlmsgerr e = { .error = -ESTALE };
	struct nl_msg *m;
	struct said s;

	(void)state;
	agent_start();
	layout_set(1);
	s = said(ORCHFS_CMD_LAYOUT_SET, 0);
	assert_int_equal(s.node, 77);
	assert_true(s.has_layout);
	assert_int_equal(s.kind, ORCHFS_MIRROR_KIND_REMOTE);
	assert_int_equal(s.peer, 1);
	assert_int_equal(s.instance, 33);
	assert_int_equal(w.answers, 0);
	layout_done(s.id, 0, 3);
	assert_int_equal(swap_end.rc, 0);
	assert_int_equal(swap_end.status, 0);
	assert_int_equal(swap_end.writers, 3);
	layout_set(1);
	s = said(ORCHFS_CMD_LAYOUT_SET, 1);
	layout_done(s.id, -EBUSY, 0);
	assert_int_equal(swap_end.rc, 0);
	assert_int_equal(swap_end.status, -EBUSY);
	/* a volume of this node's that it hasn't: its kernel isn't asked */
	layout_set(2);
	while (!w.answers)
		turn();
	assert_int_equal(swap_end.rc, 0);
	assert_int_equal(swap_end.status, -EIO);
	assert_int_equal(nr_said(ORCHFS_CMD_LAYOUT_SET), 2);
	/* which one the kernel has isn't known where its daemon was detached */
	layout_set(1);
	said(ORCHFS_CMD_LAYOUT_SET, 2);
	m = nlmsg_alloc();
	assert_non_null(nlmsg_put(m, 0, 0, NLMSG_ERROR, 0, 0));
	assert_int_equal(nlmsg_append(m, &e, sizeof(e), 0), 0);
	inject(m);
	while (!w.answers)
		turn();
	assert_true(swap_end.rc < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_many),
		TEST(test_layout),
		TEST(test_bad_reply),
		TEST(test_invalidate),
		TEST(test_notes),
		TEST(test_locks),
		TEST(test_layout_set),
	};

	return cmocka_run_group_tests_name("agent_op", tests, NULL, NULL);
}
