// SPDX-License-Identifier: GPL-2.0-only
/*
 * Life of a request: every order in which delivery, answer, signal, deadline
 * and the end of the daemon can meet. A test plays all sides itself, so each
 * order is explicit; what must happen while a message is being sent is done
 * by a hook in place of the socket.
 */
#include <kunit/test.h>
#include <kunit/test-bug.h>
#include <linux/kthread.h>
#include <net/net_namespace.h>

#include "channel.h"

#define PORT	4711

/* What stands for the daemon's socket. */
struct fake {
	struct orchfs_channel *ch;
	u64 got[16];			/* ids in the order of delivery */
	u32 flags[16];
	unsigned int nr_got;
	unsigned int room;		/* messages that the socket takes */
	void (*hook)(struct kunit *test, struct orchfs_request *req);
	struct orchfs_request *hook_req;
};

static int fake_send(struct orchfs_channel *ch, struct sk_buff *skb,
		     u32 portid)
{
	struct kunit *test = kunit_get_current_test();
	struct fake *f = test->priv;
	struct nlmsghdr *nlh = nlmsg_hdr(skb);
	const struct nlattr *id, *flags;
	void (*hook)(struct kunit *test, struct orchfs_request *req) = f->hook;
	int ret = -EAGAIN;

	f->hook = NULL;
	if (hook)
		hook(test, f->hook_req);
	if (f->room) {
		KUNIT_ASSERT_LT(test, f->nr_got, ARRAY_SIZE(f->got));
		id = nlmsg_find_attr(nlh, GENL_HDRLEN,
				     ORCHFS_A_MSG_REQUEST_ID);
		flags = nlmsg_find_attr(nlh, GENL_HDRLEN, ORCHFS_A_MSG_FLAGS);
		KUNIT_ASSERT_NOT_NULL(test, id);
		KUNIT_ASSERT_NOT_NULL(test, flags);
		f->room--;
		f->flags[f->nr_got] = nla_get_u32(flags);
		f->got[f->nr_got++] = nla_get_u64(id);
		ret = 0;
	}
	kfree_skb(skb);
	return ret;
}

static void come(struct orchfs_channel *ch)
{
	spin_lock(&ch->lock);
	ch->state = ORCHFS_READY;
	ch->portid = PORT;
	ch->attach++;
	spin_unlock(&ch->lock);
	orchfs_channel_get(ch);
}

static int setup(struct kunit *test)
{
	static const u8 uuid[16] = "request-kunit..";
	struct fake *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, f);
	f->ch = orchfs_channel_new(&init_net, uuid, "kunit");
	KUNIT_ASSERT_NOT_NULL(test, f->ch);
	f->ch->send = fake_send;
	f->room = ARRAY_SIZE(f->got);
	test->priv = f;
	/* Only tells that one is bound; nothing looks into it. */
	f->ch->sb = (struct super_block *)f;
	come(f->ch);
	return 0;
}

static void teardown(struct kunit *test)
{
	struct fake *f = test->priv;

	if (!f)
		return;
	orchfs_channel_detach(f->ch, PORT);
	orchfs_channel_put(f->ch);
}

static struct orchfs_request *admit(struct kunit *test, u32 kind)
{
	struct fake *f = test->priv;
	struct orchfs_args args = { .kind = kind, .node = 1 };
	struct orchfs_request *req;

	req = orchfs_request_new(f->ch, kind, 0, jiffies);
	KUNIT_ASSERT_FALSE(test, IS_ERR(req));
	KUNIT_ASSERT_EQ(test, orchfs_message_request(f->ch, &args, req), 0);
	return req;
}

static struct orchfs_request *enter(struct kunit *test, u32 kind)
{
	struct fake *f = test->priv;
	struct orchfs_request *req = admit(test, kind);

	KUNIT_ASSERT_EQ(test, orchfs_request_enter(f->ch, req), 0);
	return req;
}

static bool answer(struct fake *f, struct orchfs_request *req, int status)
{
	struct orchfs_result res = { .txn = 7 };

	return orchfs_request_complete(f->ch, req, status, &res);
}

static void expect_empty(struct kunit *test)
{
	struct fake *f = test->priv;

	KUNIT_EXPECT_EQ(test, f->ch->requests, 0);
	KUNIT_EXPECT_TRUE(test, xa_empty(&f->ch->table));
	KUNIT_EXPECT_TRUE(test, list_empty(&f->ch->waiting));
	KUNIT_EXPECT_TRUE(test, bitmap_empty(f->ch->slots, ORCHFS_SLOTS));
}

static void test_answered(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req = enter(test, ORCHFS_KIND_CREATE);
	struct orchfs_request *found;

	KUNIT_EXPECT_EQ(test, req->state, ORCHFS_REQ_WAITING);
	KUNIT_EXPECT_NULL(test, orchfs_request_expect(f->ch, req->id));
	orchfs_request_deliver(f->ch);
	KUNIT_EXPECT_EQ(test, f->nr_got, 1);
	KUNIT_EXPECT_EQ(test, f->got[0], req->id);
	KUNIT_EXPECT_EQ(test, f->flags[0] & ORCHFS_REQ_FLAG_RESENT, 0);

	found = orchfs_request_expect(f->ch, req->id);
	KUNIT_ASSERT_PTR_EQ(test, found, req);
	KUNIT_EXPECT_TRUE(test, answer(f, found, 0));
	orchfs_request_put(found);
	KUNIT_EXPECT_TRUE(test, completion_done(&req->done));
	KUNIT_EXPECT_EQ(test, req->res.txn, 7);
	orchfs_request_put(req);
	expect_empty(test);
}

/* An answer of an error, twice, and one to a request that never was. */
static void test_answered_twice(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req = enter(test, ORCHFS_KIND_LOOKUP);

	orchfs_request_deliver(f->ch);
	KUNIT_EXPECT_TRUE(test, answer(f, req, -ENOENT));
	KUNIT_EXPECT_FALSE(test, answer(f, req, 0));
	KUNIT_EXPECT_EQ(test, req->status, -ENOENT);
	KUNIT_EXPECT_NULL(test, orchfs_request_expect(f->ch, req->id));
	KUNIT_EXPECT_NULL(test, orchfs_request_expect(f->ch, req->id + 100));
	orchfs_request_put(req);
	expect_empty(test);
}

static void test_answer_beats_signal(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req = enter(test, ORCHFS_KIND_UNLINK);
	u64 epoch = atomic64_read(&f->ch->epoch);

	orchfs_request_deliver(f->ch);
	KUNIT_EXPECT_TRUE(test, answer(f, req, 0));
	KUNIT_EXPECT_FALSE(test, orchfs_request_give_up(f->ch, req));
	KUNIT_EXPECT_EQ(test, atomic64_read(&f->ch->epoch), epoch);
	orchfs_request_put(req);
	expect_empty(test);
}

static void test_signal_beats_answer(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req = enter(test, ORCHFS_KIND_RENAME);
	u64 epoch = atomic64_read(&f->ch->epoch);
	struct orchfs_result res = { .txn = 9 };
	struct orchfs_request *found;

	orchfs_request_deliver(f->ch);
	KUNIT_EXPECT_TRUE(test, orchfs_request_give_up(f->ch, req));
	KUNIT_EXPECT_EQ(test, req->state, ORCHFS_REQ_GIVEN_UP);
	KUNIT_EXPECT_GT(test, atomic64_read(&f->ch->epoch), epoch);
	/* The entry and its slot stay until the answer. */
	KUNIT_EXPECT_EQ(test, f->ch->requests, 1);
	KUNIT_EXPECT_TRUE(test, test_bit(req->slot, f->ch->slots));

	epoch = atomic64_read(&f->ch->epoch);
	found = orchfs_request_expect(f->ch, req->id);
	KUNIT_ASSERT_PTR_EQ(test, found, req);
	KUNIT_EXPECT_FALSE(test, orchfs_request_complete(f->ch, found, 0,
							 &res));
	KUNIT_EXPECT_EQ(test, res.txn, 9);
	KUNIT_EXPECT_GT(test, atomic64_read(&f->ch->epoch), epoch);
	KUNIT_EXPECT_FALSE(test, completion_done(&req->done));
	orchfs_request_put(found);
	orchfs_request_put(req);
	expect_empty(test);
}

/* Nobody has the file that a late answer to O_TMPFILE brings. */
static void test_late_tmpfile(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req = enter(test, ORCHFS_KIND_CREATE);
	struct orchfs_result res = { .has_attr = true, .attr.ino = 77 };
	u64 epoch = atomic64_read(&f->ch->epoch);
	struct orchfs_note *note;

	req->flags = ORCHFS_REQ_FLAG_TMPFILE;
	req->nodes[0] = 1;
	orchfs_request_deliver(f->ch);
	spin_lock(&f->ch->lock);
	f->ch->sb = NULL;
	/* Notices wait for the daemon to be ready. */
	f->ch->state = ORCHFS_ATTACHING;
	spin_unlock(&f->ch->lock);
	KUNIT_EXPECT_TRUE(test, orchfs_request_give_up(f->ch, req));
	KUNIT_EXPECT_FALSE(test, orchfs_request_complete(f->ch, req, 0, &res));
	KUNIT_EXPECT_EQ(test, atomic64_read(&f->ch->epoch), epoch);
	KUNIT_ASSERT_EQ(test, f->ch->nr_notes, 1);
	note = list_first_entry(&f->ch->notes, struct orchfs_note, link);
	KUNIT_EXPECT_EQ(test, note->kind, ORCHFS_KIND_NOTE_FORGET);
	KUNIT_EXPECT_EQ(test, note->node, 77);
	orchfs_request_put(req);
	expect_empty(test);
}

/* Layouts that come too late: the daemon is to read the handles now and then. */
static void test_late_layouts(struct kunit *test)
{
	struct orchfs_result res = { .layout = (void *)&res };
	struct fake *f = test->priv;
	struct orchfs_request *req;
	unsigned int i;

	for (i = 0; i < ORCHFS_STRAYS_MAX; i++) {
		KUNIT_ASSERT_FALSE(test, f->ch->notes_lost);
		f->nr_got = 0;
		f->room = 1;
		req = enter(test, ORCHFS_KIND_OPEN);
		orchfs_request_deliver(f->ch);
		KUNIT_EXPECT_TRUE(test, orchfs_request_give_up(f->ch, req));
		KUNIT_EXPECT_FALSE(test, orchfs_request_complete(f->ch, req, 0,
								 &res));
		orchfs_request_put(req);
	}
	KUNIT_EXPECT_TRUE(test, f->ch->notes_lost);
	KUNIT_EXPECT_EQ(test, f->ch->strays, 0);
	expect_empty(test);
}

/* What the daemon never got is simply gone. */
static void test_withdrawn(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req = enter(test, ORCHFS_KIND_CREATE);
	u64 epoch = atomic64_read(&f->ch->epoch);

	KUNIT_EXPECT_TRUE(test, orchfs_request_give_up(f->ch, req));
	KUNIT_EXPECT_EQ(test, atomic64_read(&f->ch->epoch), epoch);
	orchfs_request_put(req);
	expect_empty(test);
	orchfs_request_deliver(f->ch);
	KUNIT_EXPECT_EQ(test, f->nr_got, 0);
}

static void test_socket_full(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req[3];
	int i;

	f->room = 1;
	for (i = 0; i < 3; i++)
		req[i] = enter(test, ORCHFS_KIND_GETATTR);
	orchfs_request_deliver(f->ch);
	KUNIT_EXPECT_EQ(test, f->nr_got, 1);
	KUNIT_EXPECT_EQ(test, req[1]->state, ORCHFS_REQ_WAITING);

	f->room = 8;
	orchfs_request_deliver(f->ch);
	KUNIT_ASSERT_EQ(test, f->nr_got, 3);
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, f->got[i], req[i]->id);
		/* A delivery that failed doesn't count as one. */
		KUNIT_EXPECT_EQ(test, f->flags[i], 0);
		KUNIT_EXPECT_TRUE(test, answer(f, req[i], 0));
		orchfs_request_put(req[i]);
	}
	expect_empty(test);
}

static void hook_answer(struct kunit *test, struct orchfs_request *req)
{
	KUNIT_EXPECT_TRUE(test, answer(test->priv, req, 0));
}

static void test_answer_before_send_returns(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req = enter(test, ORCHFS_KIND_SETATTR);

	f->hook = hook_answer;
	f->hook_req = req;
	orchfs_request_deliver(f->ch);
	KUNIT_EXPECT_EQ(test, f->nr_got, 1);
	KUNIT_EXPECT_EQ(test, req->state, ORCHFS_REQ_DONE);
	orchfs_request_put(req);
	expect_empty(test);
}

static void hook_give_up(struct kunit *test, struct orchfs_request *req)
{
	struct fake *f = test->priv;

	KUNIT_EXPECT_TRUE(test, orchfs_request_give_up(f->ch, req));
}

/* Given up while a delivery that fails is under way: nobody will answer. */
static void test_give_up_in_failing_send(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req = enter(test, ORCHFS_KIND_LINK);

	f->room = 0;
	f->hook = hook_give_up;
	f->hook_req = req;
	orchfs_request_deliver(f->ch);
	KUNIT_EXPECT_EQ(test, req->state, ORCHFS_REQ_DONE);
	orchfs_request_put(req);
	expect_empty(test);
}

static void hook_die(struct kunit *test, struct orchfs_request *req)
{
	struct fake *f = test->priv;

	orchfs_channel_detach(f->ch, PORT);
	KUNIT_EXPECT_EQ(test, req->state, ORCHFS_REQ_WAITING);
}

static void hook_die_and_come(struct kunit *test, struct orchfs_request *req)
{
	struct fake *f = test->priv;

	hook_die(test, req);
	come(f->ch);
	f->room = 1;
	KUNIT_EXPECT_TRUE(test, orchfs_request_deliver_one(f->ch));
	KUNIT_EXPECT_EQ(test, req->state, ORCHFS_REQ_SENT);
	f->room = 0;
}

static void test_daemon_dies_in_send(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req = enter(test, ORCHFS_KIND_CREATE);

	f->room = 0;
	f->hook = hook_die;
	f->hook_req = req;
	orchfs_request_deliver(f->ch);
	KUNIT_EXPECT_EQ(test, req->state, ORCHFS_REQ_WAITING);
	KUNIT_EXPECT_TRUE(test, list_is_singular(&f->ch->waiting));

	come(f->ch);
	f->room = 1;
	orchfs_request_deliver(f->ch);
	KUNIT_ASSERT_EQ(test, f->nr_got, 1);
	KUNIT_EXPECT_TRUE(test, f->flags[0] & ORCHFS_REQ_FLAG_RESENT);
	KUNIT_EXPECT_TRUE(test, answer(f, req, 0));
	orchfs_request_put(req);
	expect_empty(test);
}

/* The failure of the old delivery mustn't undo the new one. */
static void test_daemon_replaced_in_send(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req = enter(test, ORCHFS_KIND_CREATE);

	f->hook = hook_die_and_come;
	f->hook_req = req;
	orchfs_request_deliver(f->ch);
	KUNIT_EXPECT_EQ(test, f->nr_got, 1);
	KUNIT_EXPECT_EQ(test, req->state, ORCHFS_REQ_SENT);
	KUNIT_EXPECT_TRUE(test, answer(f, req, 0));
	orchfs_request_put(req);
	expect_empty(test);
}

static void test_resend_order(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req[4];
	int i;

	f->room = 2;
	for (i = 0; i < 3; i++)
		req[i] = enter(test, ORCHFS_KIND_SETXATTR);
	orchfs_request_deliver(f->ch);
	orchfs_channel_detach(f->ch, PORT);
	KUNIT_EXPECT_EQ(test, f->ch->state, ORCHFS_DETACHED);
	req[3] = enter(test, ORCHFS_KIND_SETXATTR);
	orchfs_request_deliver(f->ch);
	KUNIT_EXPECT_EQ(test, f->nr_got, 2);

	come(f->ch);
	f->room = 8;
	orchfs_request_deliver(f->ch);
	KUNIT_ASSERT_EQ(test, f->nr_got, 6);
	for (i = 0; i < 4; i++) {
		KUNIT_EXPECT_EQ(test, f->got[2 + i], req[i]->id);
		KUNIT_EXPECT_EQ(test, f->flags[2 + i],
				i < 2 ? ORCHFS_REQ_FLAG_RESENT : 0);
		KUNIT_EXPECT_TRUE(test, answer(f, req[i], 0));
		orchfs_request_put(req[i]);
	}
	expect_empty(test);
}

/* An answer to what is on its way to the next daemon is not believed. */
static void test_answer_while_waiting(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req = enter(test, ORCHFS_KIND_CREATE);

	orchfs_request_deliver(f->ch);
	orchfs_channel_detach(f->ch, PORT);
	KUNIT_EXPECT_NULL(test, orchfs_request_expect(f->ch, req->id));
	KUNIT_EXPECT_FALSE(test, answer(f, req, 0));
	KUNIT_EXPECT_EQ(test, req->state, ORCHFS_REQ_WAITING);
	/* It was sent once, so it may have been carried out. */
	KUNIT_EXPECT_TRUE(test, orchfs_request_give_up(f->ch, req));
	KUNIT_EXPECT_GT(test, atomic64_read(&f->ch->epoch), 1);
	orchfs_request_put(req);
	expect_empty(test);
}

static void test_given_up_goes_with_daemon(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req = enter(test, ORCHFS_KIND_UNLINK);

	orchfs_request_deliver(f->ch);
	KUNIT_EXPECT_TRUE(test, orchfs_request_give_up(f->ch, req));
	orchfs_request_put(req);
	orchfs_channel_detach(f->ch, PORT);
	KUNIT_EXPECT_TRUE(test, f->ch->unsure);
	expect_empty(test);
}

static void test_slots(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req[ORCHFS_SLOTS], *more;
	DECLARE_BITMAP(seen, ORCHFS_SLOTS);
	int i;

	bitmap_zero(seen, ORCHFS_SLOTS);
	for (i = 0; i < ORCHFS_SLOTS; i++) {
		req[i] = admit(test, ORCHFS_KIND_CREATE);
		KUNIT_EXPECT_EQ(test, req[i]->sequence, 1);
		KUNIT_EXPECT_FALSE(test, test_and_set_bit(req[i]->slot, seen));
	}
	more = orchfs_request_new(f->ch, ORCHFS_KIND_CREATE, 0, jiffies);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(more), -ETIME);
	/* Open and lookup take none. */
	more = admit(test, ORCHFS_KIND_OPEN);
	KUNIT_EXPECT_EQ(test, more->slot, ORCHFS_NO_SLOT);
	orchfs_request_discard(f->ch, more);

	/* A slot that wasn't used keeps its sequence, a used one counts. */
	i = req[5]->slot;
	orchfs_request_discard(f->ch, req[5]);
	req[5] = enter(test, ORCHFS_KIND_LINK);
	KUNIT_EXPECT_EQ(test, req[5]->slot, i);
	KUNIT_EXPECT_EQ(test, req[5]->sequence, 1);
	orchfs_request_deliver(f->ch);
	KUNIT_EXPECT_TRUE(test, answer(f, req[5], 0));
	orchfs_request_put(req[5]);
	req[5] = admit(test, ORCHFS_KIND_LINK);
	KUNIT_EXPECT_EQ(test, req[5]->slot, i);
	KUNIT_EXPECT_EQ(test, req[5]->sequence, 2);

	for (i = 0; i < ORCHFS_SLOTS; i++)
		orchfs_request_discard(f->ch, req[i]);
	expect_empty(test);
}

static void test_table_full(struct kunit *test)
{
	struct orchfs_request **req, *more;
	struct fake *f = test->priv;
	int i;

	req = kvmalloc_array(ORCHFS_REQUESTS_MAX, sizeof(*req), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, req);
	for (i = 0; i < ORCHFS_REQUESTS_MAX; i++) {
		req[i] = orchfs_request_new(f->ch, ORCHFS_KIND_GETATTR, 0,
					    jiffies);
		KUNIT_ASSERT_FALSE(test, IS_ERR(req[i]));
	}
	more = orchfs_request_new(f->ch, ORCHFS_KIND_GETATTR, 0, jiffies);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(more), -ETIME);
	for (i = 0; i < ORCHFS_REQUESTS_MAX; i++)
		orchfs_request_discard(f->ch, req[i]);
	kvfree(req);
	expect_empty(test);
}

/* A waiter for a slot, in a thread of its own. */
struct waiter {
	struct orchfs_channel *ch;
	struct orchfs_request *req;
	struct completion started, done;
};

static int waiter_thread(void *arg)
{
	struct waiter *w = arg;

	complete(&w->started);
	w->req = orchfs_request_new(w->ch, ORCHFS_KIND_CREATE, 0,
				    jiffies + 30 * HZ);
	complete(&w->done);
	return 0;
}

/* Two waiters, two slots: whoever leaves the queue wakes the next. */
static void test_waiters(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req[ORCHFS_SLOTS];
	struct waiter w[2];
	int i;

	for (i = 0; i < ORCHFS_SLOTS; i++)
		req[i] = admit(test, ORCHFS_KIND_CREATE);
	for (i = 0; i < 2; i++) {
		w[i].ch = f->ch;
		w[i].req = NULL;
		init_completion(&w[i].started);
		init_completion(&w[i].done);
		KUNIT_ASSERT_FALSE(test, IS_ERR(kthread_run(waiter_thread,
							    &w[i], "waiter")));
		wait_for_completion(&w[i].started);
	}
	orchfs_request_discard(f->ch, req[0]);
	orchfs_request_discard(f->ch, req[1]);
	for (i = 0; i < 2; i++) {
		wait_for_completion(&w[i].done);
		KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(w[i].req));
		orchfs_request_discard(f->ch, w[i].req);
	}
	for (i = 2; i < ORCHFS_SLOTS; i++)
		orchfs_request_discard(f->ch, req[i]);
	expect_empty(test);
}

static void test_dead(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_request *req = admit(test, ORCHFS_KIND_CREATE);

	orchfs_channel_detach(f->ch, PORT);
	orchfs_channel_unbind(f->ch);
	KUNIT_EXPECT_EQ(test, f->ch->state, ORCHFS_DEAD);
	KUNIT_EXPECT_EQ(test, orchfs_request_enter(f->ch, req), -EIO);
	orchfs_request_discard(f->ch, req);
	req = orchfs_request_new(f->ch, ORCHFS_KIND_GETATTR, 0,
				 jiffies + 30 * HZ);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(req), -EIO);
	expect_empty(test);
}

static void test_ready(struct kunit *test)
{
	struct fake *f = test->priv;
	struct orchfs_channel *ch = f->ch;
	u64 epoch;

	ch->incarnation = 1;
	ch->state = ORCHFS_ATTACHING;
	KUNIT_EXPECT_EQ(test, orchfs_channel_ready(ch, PORT + 1, 5),
			-ENOTCONN);
	KUNIT_EXPECT_EQ(test, orchfs_channel_ready(ch, PORT, 5), 0);
	orchfs_channel_durable(ch, 9);
	orchfs_channel_durable(ch, 8);
	KUNIT_EXPECT_EQ(test, atomic64_read(&ch->durable), 9);

	/* The same one again: nothing changes. */
	epoch = atomic64_read(&ch->epoch);
	ch->state = ORCHFS_ATTACHING;
	KUNIT_EXPECT_EQ(test, orchfs_channel_ready(ch, PORT, 6), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&ch->epoch), epoch);
	KUNIT_EXPECT_EQ(test, atomic64_read(&ch->durable), 9);

	/* Another one, whose store knows less. */
	ch->incarnation = 2;
	ch->state = ORCHFS_ATTACHING;
	KUNIT_EXPECT_EQ(test, orchfs_channel_ready(ch, PORT, 3), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&ch->epoch), epoch + 1);
	KUNIT_EXPECT_EQ(test, atomic64_read(&ch->durable), 3);

	/* A change that was given up may have been carried out. */
	ch->unsure = true;
	ch->state = ORCHFS_ATTACHING;
	KUNIT_EXPECT_EQ(test, orchfs_channel_ready(ch, PORT, 3), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&ch->epoch), epoch + 2);
}

static struct kunit_case request_cases[] = {
	KUNIT_CASE(test_answered),
	KUNIT_CASE(test_answered_twice),
	KUNIT_CASE(test_answer_beats_signal),
	KUNIT_CASE(test_signal_beats_answer),
	KUNIT_CASE(test_late_tmpfile),
	KUNIT_CASE(test_late_layouts),
	KUNIT_CASE(test_withdrawn),
	KUNIT_CASE(test_socket_full),
	KUNIT_CASE(test_answer_before_send_returns),
	KUNIT_CASE(test_give_up_in_failing_send),
	KUNIT_CASE(test_daemon_dies_in_send),
	KUNIT_CASE(test_daemon_replaced_in_send),
	KUNIT_CASE(test_resend_order),
	KUNIT_CASE(test_answer_while_waiting),
	KUNIT_CASE(test_given_up_goes_with_daemon),
	KUNIT_CASE(test_slots),
	KUNIT_CASE(test_table_full),
	KUNIT_CASE(test_waiters),
	KUNIT_CASE(test_dead),
	KUNIT_CASE(test_ready),
	{}
};

static struct kunit_suite request_suite = {
	.name = "orchfs-request",
	.init = setup,
	.exit = teardown,
	.test_cases = request_cases,
};

kunit_test_suite(request_suite);
