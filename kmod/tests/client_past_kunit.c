// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests that change a file where the connection ends, or their caller is
 * killed: none of them may be carried out behind what follows.
 */
#include <net/sock.h>
#include <net/tcp_states.h>

#include "client_kunit.h"

/* As lose(), after it has been under way for longer than it may wait. */
static u32 lose_at(struct kunit *test, struct ck_ask *ask, bool late)
{
	struct ck *ck = test->priv;
	struct socket *sock;
	u32 id;

	sock = ck_bound_new(test, &id);
	ck_submit(ck->r, ask);
	ck_request(test, sock, ask->rio.opcode);
	if (late)
		WRITE_ONCE(ask->rio.deadline, jiffies - HZ);
	ck_hang_up(sock);
	ck_gone(test, ORCHFS_REASON_CLOSED);
	return id;
}

/* A connection on which this request was sent, and ended; its number. */
static u32 lose(struct kunit *test, struct ck_ask *ask)
{
	return lose_at(test, ask, false);
}

static struct ck_got *ended(struct kunit *test, struct socket *sock, u32 id)
{
	struct ck_got *got = ck_request(test, sock, ORCHFS_OP_END);

	KUNIT_EXPECT_EQ(test, got->pdu.handle, id);
	return got;
}

static struct socket *connected(struct kunit *test)
{
	struct socket *sock = ck_connect(test);

	ck_greet_new(test, sock);
	return sock;
}

static const u8 changing[] = { ORCHFS_OP_WRITE, ORCHFS_OP_TRUNCATE };

/* It is asked again when the server says that it won't be carried out. */
static void test_ended(struct kunit *test)
{
	struct socket *sock;
	struct ck_ask *ask;
	struct ck_got *got;
	size_t i;
	u32 id;

	for (i = 0; i < ARRAY_SIZE(changing); i++) {
		ask = ck_ask(test, changing[i], 0, changing[i] ==
			     ORCHFS_OP_WRITE ? 100 : 0);
		id = lose(test, ask);
		sock = connected(test);
		got = ended(test, sock, id);
		KUNIT_EXPECT_FALSE(test, completion_done(&ask->done));
		ck_reply(test, sock, got);
		ck_bind(test, sock, CK_HANDLE);
		ck_reply(test, sock, ck_request(test, sock, changing[i]),
			 .count = ask->rio.count, .verifier = 3);
		KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
		KUNIT_EXPECT_EQ(test, ask->rio.verifier, 3);
		ck_hang_up(sock);
		ck_gone(test, ORCHFS_REASON_CLOSED);
	}
}

/* One END for all that were lost; what only reads doesn't wait for it. */
static void test_several(struct kunit *test)
{
	struct ck_ask *wr[2], *rd = ck_ask(test, ORCHFS_OP_READ, 0, 100);
	struct ck *ck = test->priv;
	struct ck_got *end, *got;
	struct socket *sock;
	int i;
	u32 id;

	sock = ck_bound_new(test, &id);
	for (i = 0; i < 2; i++) {
		wr[i] = ck_ask(test, ORCHFS_OP_WRITE, i * 100, 100);
		ck_submit(ck->r, wr[i]);
		ck_request(test, sock, ORCHFS_OP_WRITE);
	}
	ck_submit(ck->r, rd);
	ck_request(test, sock, ORCHFS_OP_READ);
	ck_hang_up(sock);
	sock = connected(test);
	end = ended(test, sock, id);
	ck_bind(test, sock, CK_HANDLE);
	got = ck_request(test, sock, ORCHFS_OP_READ);
	ck_reply_read(test, sock, got, 100);
	KUNIT_EXPECT_EQ(test, ck_end(test, rd), 0);
	ck_reply(test, sock, end);
	for (i = 0; i < 2; i++) {
		got = ck_request(test, sock, ORCHFS_OP_WRITE);
		KUNIT_EXPECT_EQ(test, got->pdu.offset, i * 100);
		ck_reply(test, sock, got, .count = 100);
		KUNIT_EXPECT_EQ(test, ck_end(test, wr[i]), 0);
	}
	ck_hang_up(sock);
}

/* An append isn't sent again, but told when it is over. */
static void test_append(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_WRITE, 0, 100);
	struct socket *sock;
	struct ck_got *got;
	u32 id;

	ask->rio.flags = ORCHFS_PDU_APPEND;
	id = lose(test, ask);
	sock = connected(test);
	got = ended(test, sock, id);
	KUNIT_EXPECT_FALSE(test, completion_done(&ask->done));
	ck_reply(test, sock, got);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), -EIO);
	ck_hang_up(sock);
}

/* The connection that END is asked on ends, too, after long. */
static void test_end_lost(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_WRITE, 0, 100);
	u32 id = lose(test, ask);
	struct socket *sock = connected(test);

	ended(test, sock, id);
	WRITE_ONCE(ask->rio.deadline, jiffies - HZ);
	ck_hang_up(sock);
	ck_gone(test, ORCHFS_REASON_CLOSED);
	sock = connected(test);
	ck_reply(test, sock, ended(test, sock, id));
	ck_bind(test, sock, CK_HANDLE);
	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_WRITE),
		 .count = 100);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	ck_hang_up(sock);
}

/* Nobody connects: it isn't known whether it was carried out. */
static void test_no_connection(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_WRITE, 0, 100);

	ask->rio.deadline = jiffies + HZ / 2;
	lose(test, ask);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), -EIO);
}

/* However long it was under way, it isn't given up without an END. */
static void test_late(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_WRITE, 0, 100);
	u32 id = lose_at(test, ask, true);
	struct socket *sock = connected(test);

	ck_reply(test, sock, ended(test, sock, id));
	ck_bind(test, sock, CK_HANDLE);
	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_WRITE),
		 .count = 100);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	ck_hang_up(sock);
}

/* A server that doesn't know END: as well as can be. */
static void test_old_server(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_WRITE, 0, 100);
	struct socket *sock;

	lose(test, ask);
	sock = ck_connected(test);
	ck_bind(test, sock, CK_HANDLE);
	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_WRITE),
		 .count = 100);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	ck_hang_up(sock);
	ck_gone(test, ORCHFS_REASON_CLOSED);

	/* an append isn't sent again */
	ask = ck_ask(test, ORCHFS_OP_WRITE, 0, 100);
	ask->rio.flags = ORCHFS_PDU_APPEND;
	lose(test, ask);
	sock = ck_connected(test);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), -EIO);
	ck_hang_up(sock);
}

/* --- callers that are killed --- */

/*
 * A caller's locks go to others when it ends: so it waits for the answer. What
 * it would write next isn't begun.
 */
static void test_killed(struct kunit *test)
{
	struct ck *ck = test->priv;
	struct ck_victim v;
	struct ck_ask *next = ck_ask(test, ORCHFS_OP_WRITE, 100, 100);
	struct ck_got *got;
	struct socket *sock;
	u32 id;

	sock = ck_bound_new(test, &id);
	ck_victim_start(test, &v, ck->r, ck_ask(test, ORCHFS_OP_WRITE, 0, 100));
	v.next = next;
	got = ck_request(test, sock, ORCHFS_OP_WRITE);
	ck_victim_kill(&v);
	KUNIT_EXPECT_EQ(test, wait_for_completion_timeout(&v.ended, HZ / 10),
			0);
	ck_reply(test, sock, got, .count = 100);
	KUNIT_EXPECT_EQ(test, ck_victim_end(test, &v), 0);
	KUNIT_EXPECT_EQ(test, next->rio.err, -EINTR);

	/* or for that of END, but it isn't sent again */
	ck_victim_start(test, &v, ck->r, ck_ask(test, ORCHFS_OP_WRITE, 0, 100));
	ck_request(test, sock, ORCHFS_OP_WRITE);
	ck_victim_kill(&v);
	ck_hang_up(sock);
	ck_gone(test, ORCHFS_REASON_CLOSED);
	sock = connected(test);
	got = ended(test, sock, id);
	KUNIT_EXPECT_FALSE(test, completion_done(&v.ended));
	ck_reply(test, sock, got);
	KUNIT_EXPECT_EQ(test, ck_victim_end(test, &v), -EINTR);
	ck_hang_up(sock);
}

/* A part of it was sent: the rest is, and the connection stays. */
static void test_killed_part(struct kunit *test)
{
	const u32 len = 512 << 10;
	struct ck *ck = test->priv;
	u8 head[ORCHFS_PDU_LEN];
	struct ck_victim v;
	struct socket *sock;
	u32 id;

	sock = ck_bound_new(test, &id);
	ck_narrow(ck);
	ck_victim_start(test, &v, ck->r, ck_ask(test, ORCHFS_OP_WRITE, 0, len));
	KUNIT_ASSERT_EQ(test, ck_take(sock, head, sizeof(head)),
			(int)sizeof(head));
	ck_victim_kill(&v);
	KUNIT_EXPECT_EQ(test, wait_for_completion_timeout(&v.ended, HZ / 10),
			0);
	ck_write_rest(test, sock, head, len);
	KUNIT_EXPECT_EQ(test, ck_victim_end(test, &v), 0);
	ck_hang_up(sock);
}

/* Unless the server doesn't take it; then it isn't carried out. */
static void test_killed_deaf(struct kunit *test)
{
	const u32 len = 512 << 10;
	struct ck *ck = test->priv;
	u8 head[ORCHFS_PDU_LEN];
	struct ck_victim v;
	struct socket *sock;
	u32 id;

	sock = ck_bound_new(test, &id);
	ck_narrow(ck);
	ck_victim_start(test, &v, ck->r, ck_ask(test, ORCHFS_OP_WRITE, 0, len));
	KUNIT_ASSERT_EQ(test, ck_take(sock, head, sizeof(head)),
			(int)sizeof(head));
	ck_hurry(ck);
	ck_victim_kill(&v);
	ck_gone(test, ORCHFS_REASON_SILENT);
	KUNIT_EXPECT_EQ(test, ck_victim_end(test, &v), -EINTR);
	ck_hang_up(sock);
}

/* --- sockets --- */

/* What is left in the socket isn't sent any more when others send again. */
static void test_reset(struct kunit *test)
{
	const u32 len = 512 << 10;
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_WRITE, 0, len);
	struct ck_got *got = kunit_kzalloc(test, sizeof(*got), GFP_KERNEL);
	struct orchfs_client_conn *conn;
	struct ck *ck = test->priv;
	struct socket *old, *sock;
	struct sock *sk;
	u32 id;

	KUNIT_ASSERT_NOT_NULL(test, got);
	old = ck_bound_new(test, &id);
	conn = list_first_entry(&ck->peer->conns, struct orchfs_client_conn,
				link);
	sk = conn->tcp.sock->sk;
	sock_hold(sk);
	sock = ck_connect(test);
	ck_greet_new(test, sock);
	ck_narrow(ck);
	ck_submit(ck->r, ask);
	/* a reply to nothing ends it */
	got->pdu.opcode = ORCHFS_OP_READ;
	got->pdu.tag = -1;
	ck_reply(test, old, got);
	ck_bind(test, sock, CK_HANDLE);
	KUNIT_EXPECT_EQ(test, sk->sk_state, TCP_CLOSE);
	sock_put(sk);
	ck_write_taken(test, sock, len);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	ck_hang_up(old);
	ck_hang_up(sock);
}

static struct kunit_case client_past_cases[] = {
	KUNIT_CASE(test_ended),
	KUNIT_CASE(test_several),
	KUNIT_CASE(test_append),
	KUNIT_CASE(test_end_lost),
	KUNIT_CASE(test_no_connection),
	KUNIT_CASE(test_late),
	KUNIT_CASE(test_old_server),
	KUNIT_CASE(test_killed),
	KUNIT_CASE(test_killed_part),
	KUNIT_CASE(test_killed_deaf),
	KUNIT_CASE(test_reset),
	{}
};

static struct kunit_suite client_past_suite = {
	.name = "orchfs-client-past",
	.init = ck_init,
	.exit = ck_exit,
	.test_cases = client_past_cases,
};

kunit_test_suite(client_past_suite);
