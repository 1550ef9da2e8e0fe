// SPDX-License-Identifier: GPL-2.0-only
/*
 * The client against a server that the test plays itself, so that each order
 * of requests, replies and ends is explicit.
 */

#include "client_kunit.h"

/* --- what is asked and answered --- */

static void test_read(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_READ, 4096, 5000);
	struct socket *sock = ck_connected(test);
	struct ck *ck = test->priv;
	struct orchfs_token t;
	struct ck_got *got;

	ck_token(test, ck->r, ORCHFS_RIGHT_READ, 4);
	ck_submit(ck->r, ask);
	got = ck_request(test, sock, ORCHFS_OP_BIND);
	KUNIT_EXPECT_EQ(test, got->pdu.handle, 0);
	KUNIT_ASSERT_EQ(test, orchfs_token_decode(got->data, got->pdu.data_len,
						  &t), 0);
	KUNIT_EXPECT_EQ(test, t.instance, ck_id.instance);
	KUNIT_EXPECT_EQ(test, t.epoch, 4);
	ck_reply(test, sock, got, .handle = CK_HANDLE);
	got = ck_request(test, sock, ORCHFS_OP_READ);
	KUNIT_EXPECT_EQ(test, got->pdu.handle, CK_HANDLE);
	KUNIT_EXPECT_EQ(test, got->pdu.offset, 4096);
	KUNIT_EXPECT_EQ(test, got->pdu.count, 5000);
	KUNIT_EXPECT_EQ(test, got->pdu.flags, 0);
	ck_reply_read(test, sock, got, 5000);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	KUNIT_EXPECT_EQ(test, ask->rio.done_bytes, 5000);
	KUNIT_EXPECT_TRUE(test, ck_filled(ask->buf, 4096, 5000));

	/* short, at the end of the file */
	ask = ck_ask(test, ORCHFS_OP_READ, 9000, 5000);
	ck_submit(ck->r, ask);
	ck_reply_read(test, sock, ck_request(test, sock, ORCHFS_OP_READ), 96);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	KUNIT_EXPECT_EQ(test, ask->rio.done_bytes, 96);
	KUNIT_EXPECT_TRUE(test, ck_filled(ask->buf, 9000, 96));
	KUNIT_EXPECT_EQ(test, ask->buf[96], 0);
	ck_hang_up(sock);
}

static void write_one(struct kunit *test, struct socket *sock,
		      struct ck_ask *ask, u32 done)
{
	struct ck *ck = test->priv;
	struct ck_got *got;

	ask->rio.flags = ORCHFS_PDU_FUA;
	ck_submit(ck->r, ask);
	got = ck_request(test, sock, ORCHFS_OP_WRITE);
	KUNIT_EXPECT_EQ(test, got->pdu.flags, ORCHFS_PDU_FUA);
	KUNIT_EXPECT_EQ(test, got->pdu.offset, 100);
	KUNIT_EXPECT_EQ(test, got->pdu.data_len, 5000);
	KUNIT_EXPECT_TRUE(test, ck_filled(got->data, 100, 5000));
	ck_reply(test, sock, got, .count = done, .verifier = 77);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	KUNIT_EXPECT_EQ(test, ask->rio.done_bytes, done);
	KUNIT_EXPECT_EQ(test, ask->rio.verifier, 77);
}

/* Copied from memory, and as pages; a part, too. */
static void test_write(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_WRITE, 100, 5000);
	struct socket *sock = ck_bound(test);
	struct page *page = alloc_pages(GFP_KERNEL, 1);
	struct bio_vec bv;

	ck_fill(ask->buf, 100, 5000);
	write_one(test, sock, ask, 5000);

	KUNIT_ASSERT_NOT_NULL(test, page);
	ck_fill((u8 *)page_address(page) + 9, 100, 5000);
	ask = ck_ask(test, ORCHFS_OP_WRITE, 100, 5000);
	bvec_set_page(&bv, page, 5000, 9);
	iov_iter_bvec(&ask->rio.iter, ITER_SOURCE, &bv, 1, 5000);
	write_one(test, sock, ask, 1);
	ck_hang_up(sock);
	ck_end_conns(test->priv);
	KUNIT_EXPECT_EQ(test, page_count(page), 1);
	__free_pages(page, 1);
}

static void test_others(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_COMMIT, 0, 0);
	struct orchfs_remote_attr attr = { .size = 123, .mtime_nsec = 5 };
	u8 buf[sizeof(struct orchfs_wire_attr)];
	struct socket *sock = ck_bound(test);
	struct ck *ck = test->priv;
	struct ck_got *got;

	ck_submit(ck->r, ask);
	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_COMMIT),
		 .verifier = 6);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	KUNIT_EXPECT_EQ(test, ask->rio.verifier, 6);

	ask = ck_ask(test, ORCHFS_OP_TRUNCATE, 1ULL << 40, 0);
	ck_submit(ck->r, ask);
	got = ck_request(test, sock, ORCHFS_OP_TRUNCATE);
	KUNIT_EXPECT_EQ(test, got->pdu.offset, 1ULL << 40);
	ck_reply(test, sock, got, .verifier = 7);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	KUNIT_EXPECT_EQ(test, ask->rio.verifier, 7);

	ask = ck_ask(test, ORCHFS_OP_GETATTR, 0, 0);
	ck_submit(ck->r, ask);
	orchfs_remote_attr_encode(&attr, buf);
	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_GETATTR),
		 .data_len = sizeof(buf));
	ck_give(test, sock, buf, sizeof(buf));
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	KUNIT_EXPECT_EQ(test, ask->rio.attr.size, 123);
	KUNIT_EXPECT_EQ(test, ask->rio.attr.mtime_nsec, 5);
	ck_hang_up(sock);
}

/* What a status is for the caller; some are tried again first. */
static void test_statuses(struct kunit *test)
{
	static const struct {
		u32 status;
		int err;
	} rows[] = {
		{ ORCHFS_STATUS_NOSPC, -ENOSPC }, { ORCHFS_STATUS_IO, -EIO },
		{ ORCHFS_STATUS_DQUOT, -EDQUOT },
		{ ORCHFS_STATUS_RIGHTS, -EACCES },
	};
	static const u32 again[] = {
		ORCHFS_STATUS_UNHEARD, ORCHFS_STATUS_VOLUME,
	};
	struct socket *sock = ck_bound(test);
	struct ck *ck = test->priv;
	struct ck_ask *ask;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		ask = ck_ask(test, ORCHFS_OP_WRITE, 0, 10);
		ck_submit(ck->r, ask);
		ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_WRITE),
			 .status = rows[i].status);
		KUNIT_EXPECT_EQ(test, ck_end(test, ask), rows[i].err);
		KUNIT_EXPECT_EQ(test, ask->rio.done_bytes, 0);
	}
	for (i = 0; i < ARRAY_SIZE(again); i++) {
		ask = ck_ask(test, ORCHFS_OP_WRITE, 0, 10);
		ck_submit(ck->r, ask);
		ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_WRITE),
			 .status = again[i]);
		ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_WRITE),
			 .count = 10);
		KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	}
	/* but not for ever */
	ask = ck_ask(test, ORCHFS_OP_WRITE, 0, 10);
	ask->rio.deadline = jiffies;
	ck_submit(ck->r, ask);
	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_WRITE),
		 .status = ORCHFS_STATUS_VOLUME);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), -ENXIO);
	ck_hang_up(sock);
}

#define MANY	5

static void test_out_of_order(struct kunit *test)
{
	struct socket *sock = ck_bound(test);
	struct ck_ask *ask[MANY];
	struct ck_got *got[MANY];
	struct ck *ck = test->priv;
	int i;

	for (i = 0; i < MANY; i++) {
		ask[i] = ck_ask(test, ORCHFS_OP_READ, i * 1000, 1000);
		ck_submit(ck->r, ask[i]);
	}
	for (i = 0; i < MANY; i++) {
		got[i] = ck_request(test, sock, ORCHFS_OP_READ);
		KUNIT_EXPECT_EQ(test, got[i]->pdu.offset, i * 1000);
	}
	for (i = MANY - 1; i >= 0; i--)
		ck_reply_read(test, sock, got[i], 1000);
	for (i = 0; i < MANY; i++) {
		KUNIT_EXPECT_EQ(test, ck_end(test, ask[i]), 0);
		KUNIT_EXPECT_TRUE(test, ck_filled(ask[i]->buf, i * 1000, 1000));
	}
	ck_hang_up(sock);
}

/* The one with the least in flight gets the next. */
static void test_two_connections(struct kunit *test)
{
	struct ck_ask *first = ck_ask(test, ORCHFS_OP_READ, 0, 1000);
	struct ck_ask *second = ck_ask(test, ORCHFS_OP_READ, 1000, 1000);
	struct socket *a = ck_bound(test), *b = ck_connected(test);
	struct ck_got *got_a, *got_b;
	struct ck *ck = test->priv;

	ck_usable(test, 2);
	ck_submit(ck->r, first);
	got_a = ck_request(test, a, ORCHFS_OP_READ);
	ck_submit(ck->r, second);
	ck_bind(test, b, CK_HANDLE + 1);
	got_b = ck_request(test, b, ORCHFS_OP_READ);
	KUNIT_EXPECT_EQ(test, got_b->pdu.handle, CK_HANDLE + 1);
	KUNIT_EXPECT_EQ(test, got_b->pdu.offset, 1000);
	ck_reply_read(test, b, got_b, 1000);
	KUNIT_EXPECT_EQ(test, ck_end(test, second), 0);
	ck_reply_read(test, a, got_a, 1000);
	KUNIT_EXPECT_EQ(test, ck_end(test, first), 0);
	KUNIT_EXPECT_TRUE(test, ck_filled(first->buf, 0, 1000));
	KUNIT_EXPECT_TRUE(test, ck_filled(second->buf, 1000, 1000));
	ck_hang_up(a);
	ck_hang_up(b);
}

/* --- connections end --- */

/* In the middle of a reply: again, on another that comes later. */
static void test_lost(struct kunit *test)
{
	struct ck_ask *rd = ck_ask(test, ORCHFS_OP_READ, 500, 1000);
	struct ck_ask *wr = ck_ask(test, ORCHFS_OP_WRITE, 700, 1000);
	struct socket *sock = ck_bound(test);
	struct ck *ck = test->priv;
	struct ck_got *got;
	u8 half[500];

	ck_fill(wr->buf, 700, 1000);
	memset(half, 0xff, sizeof(half));
	ck_submit(ck->r, rd);
	ck_submit(ck->r, wr);
	got = ck_request(test, sock, ORCHFS_OP_READ);
	ck_request(test, sock, ORCHFS_OP_WRITE);
	ck_reply(test, sock, got, .data_len = 1000);
	ck_give(test, sock, half, sizeof(half));
	ck_hang_up(sock);
	ck_gone(test, ORCHFS_REASON_SOCKET);
	KUNIT_EXPECT_FALSE(test, completion_done(&rd->done));

	sock = ck_connected(test);
	ck_bind(test, sock, CK_HANDLE + 9);
	got = ck_request(test, sock, ORCHFS_OP_READ);
	KUNIT_EXPECT_EQ(test, got->pdu.handle, CK_HANDLE + 9);
	KUNIT_EXPECT_EQ(test, got->pdu.offset, 500);
	ck_reply_read(test, sock, got, 1000);
	got = ck_request(test, sock, ORCHFS_OP_WRITE);
	KUNIT_EXPECT_TRUE(test, ck_filled(got->data, 700, 1000));
	ck_reply(test, sock, got, .count = 1000);
	KUNIT_EXPECT_EQ(test, ck_end(test, rd), 0);
	KUNIT_EXPECT_TRUE(test, ck_filled(rd->buf, 500, 1000));
	KUNIT_EXPECT_EQ(test, ck_end(test, wr), 0);
	ck_hang_up(sock);
}

/* An append may have been carried out, if all of it was sent. */
static void test_append(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_WRITE, 0, 1000);
	struct socket *sock = ck_bound(test);
	struct ck *ck = test->priv;
	struct ck_got *got;

	ask->rio.flags = ORCHFS_PDU_APPEND;
	ck_submit(ck->r, ask);
	got = ck_request(test, sock, ORCHFS_OP_WRITE);
	KUNIT_EXPECT_EQ(test, got->pdu.flags, ORCHFS_PDU_APPEND);
	ck_reply(test, sock, got, .count = 1000, .offset = 333,
		 .flags = ORCHFS_PDU_APPEND);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	KUNIT_EXPECT_EQ(test, ask->rio.reply_offset, 333);

	ask = ck_ask(test, ORCHFS_OP_WRITE, 0, 1000);
	ask->rio.flags = ORCHFS_PDU_APPEND;
	ck_submit(ck->r, ask);
	ck_request(test, sock, ORCHFS_OP_WRITE);
	ck_hang_up(sock);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), -EIO);
}

/* One of which a part was sent wasn't carried out: again. */
static void test_append_part(struct kunit *test)
{
	const u32 len = 512 << 10;
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_WRITE, 0, len);
	struct socket *sock = ck_bound(test);
	struct ck *ck = test->priv;
	u8 head[ORCHFS_PDU_LEN], *buf;
	struct ck_got *got = kunit_kzalloc(test, sizeof(*got), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, got);
	ck_narrow(ck);
	buf = kunit_kzalloc(test, len, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	ck_fill(ask->buf, 0, len);
	ask->rio.flags = ORCHFS_PDU_APPEND;
	ck_submit(ck->r, ask);
	KUNIT_ASSERT_EQ(test, ck_take(sock, head, sizeof(head)),
			(int)sizeof(head));
	ck_hang_up(sock);
	KUNIT_EXPECT_FALSE(test, completion_done(&ask->done));

	sock = ck_connected(test);
	ck_bind(test, sock, CK_HANDLE);
	KUNIT_ASSERT_EQ(test, ck_take(sock, head, sizeof(head)),
			(int)sizeof(head));
	KUNIT_ASSERT_EQ(test, orchfs_pdu_decode_request(head, sizeof(head),
							&got->pdu), 0);
	KUNIT_ASSERT_EQ(test, ck_take(sock, buf, len), (int)len);
	KUNIT_EXPECT_TRUE(test, ck_filled(buf, 0, len));
	ck_reply(test, sock, got, .count = len, .flags = ORCHFS_PDU_APPEND);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	ck_hang_up(sock);
}

/* Nobody connects: the daemon is asked, until the deadline. */
static void test_no_connection(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_READ, 0, 10);
	struct ck *ck = test->priv;

	KUNIT_EXPECT_EQ(test, ck_do(test, ck->r, ask), -EKEYREJECTED);
	ck_token(test, ck->r, ORCHFS_RIGHTS_ALL, 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&ck->wants), 0);
	ask = ck_ask(test, ORCHFS_OP_READ, 0, 10);
	ask->rio.deadline = jiffies + HZ / 20;
	KUNIT_EXPECT_EQ(test, ck_do(test, ck->r, ask), -EIO);
	KUNIT_EXPECT_TRUE(test, time_after_eq(jiffies, ask->rio.deadline));
	flush_workqueue(orchfs_channel_wq);
	KUNIT_EXPECT_EQ(test, atomic_read(&ck->wants), 1);
	/* not more than once in a second */
	ask = ck_ask(test, ORCHFS_OP_READ, 0, 10);
	ask->rio.deadline = jiffies;
	KUNIT_EXPECT_EQ(test, ck_do(test, ck->r, ask), -EIO);
	flush_workqueue(orchfs_channel_wq);
	KUNIT_EXPECT_EQ(test, atomic_read(&ck->wants), 1);
}

/* A daemon that comes later doesn't know what the last has brought. */
static void test_replaced(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_READ, 0, 1000);
	struct socket *old = ck_bound(test), *sock;
	struct ck *ck = test->priv;
	struct ck_got *got;

	ck_submit(ck->r, ask);
	got = ck_request(test, old, ORCHFS_OP_READ);
	orchfs_client_detached(ck->ch);
	sock = ck_connected(test);
	/* what is under way goes on */
	ck_reply_read(test, old, got, 1000);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	ck_gone(test, ORCHFS_REASON_REPLACED);
	ask = ck_ask(test, ORCHFS_OP_READ, 0, 1000);
	ck_submit(ck->r, ask);
	ck_bind(test, sock, CK_HANDLE);
	ck_reply_read(test, sock, ck_request(test, sock, ORCHFS_OP_READ), 1000);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	ck_hang_up(old);
	ck_hang_up(sock);
}

static struct kunit_case client_cases[] = {
	KUNIT_CASE(test_read),
	KUNIT_CASE(test_write),
	KUNIT_CASE(test_others),
	KUNIT_CASE(test_statuses),
	KUNIT_CASE(test_out_of_order),
	KUNIT_CASE(test_two_connections),
	KUNIT_CASE(test_lost),
	KUNIT_CASE(test_append),
	KUNIT_CASE(test_append_part),
	KUNIT_CASE(test_no_connection),
	KUNIT_CASE(test_replaced),
	{}
};

static struct kunit_suite client_suite = {
	.name = "orchfs-client",
	.init = ck_init,
	.exit = ck_exit,
	.test_cases = client_cases,
};

kunit_test_suite(client_suite);
