// SPDX-License-Identifier: GPL-2.0-only
/*
 * The client where things go wrong: handles that are no good any more, callers
 * that are killed, limits, and servers that answer what they shouldn't.
 */
#include "client_kunit.h"

/* --- handles --- */

/* A newer token is at hand when the handle is refused: nobody notices. */
static void test_renewed(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_READ, 0, 100);
	struct socket *sock = ck_bound(test);
	struct ck *ck = test->priv;
	struct orchfs_token t;
	struct ck_got *got;

	ck_submit(ck->r, ask);
	got = ck_request(test, sock, ORCHFS_OP_READ);
	ck_token(test, ck->r, ORCHFS_RIGHTS_ALL, 2);
	ck_reply(test, sock, got, .status = ORCHFS_STATUS_EXPIRED);
	KUNIT_EXPECT_EQ(test, ck_request(test, sock,
					 ORCHFS_OP_UNBIND)->pdu.handle,
			CK_HANDLE);
	got = ck_request(test, sock, ORCHFS_OP_BIND);
	KUNIT_ASSERT_EQ(test, orchfs_token_decode(got->data, got->pdu.data_len,
						  &t), 0);
	KUNIT_EXPECT_EQ(test, t.epoch, 2);
	ck_reply(test, sock, got, .handle = CK_HANDLE + 1);
	got = ck_request(test, sock, ORCHFS_OP_READ);
	KUNIT_EXPECT_EQ(test, got->pdu.handle, CK_HANDLE + 1);
	ck_reply_read(test, sock, got, 100);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	KUNIT_EXPECT_TRUE(test, ck_filled(ask->buf, 0, 100));
	ck_hang_up(sock);
}

/* Without one the caller is told, and brings one. */
static void test_expired(struct kunit *test)
{
	static const struct {
		u32 status;
		int err;
	} rows[] = {
		{ ORCHFS_STATUS_EXPIRED, -EKEYEXPIRED },
		{ ORCHFS_STATUS_STALE, -ESTALE },
	};
	struct socket *sock = ck_bound(test);
	struct ck *ck = test->priv;
	struct ck_ask *ask;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		ask = ck_ask(test, ORCHFS_OP_READ, 0, 100);
		ck_submit(ck->r, ask);
		ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_READ),
			 .status = rows[i].status);
		KUNIT_EXPECT_EQ(test, ck_end(test, ask), rows[i].err);
		ck_request(test, sock, ORCHFS_OP_UNBIND);
		/* the server's word */
		ask = ck_ask(test, ORCHFS_OP_READ, 0, 100);
		ck_submit(ck->r, ask);
		ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_BIND),
			 .status = rows[i].status);
		KUNIT_EXPECT_EQ(test, ck_end(test, ask), rows[i].err);
		ck_token(test, ck->r, ORCHFS_RIGHTS_ALL, 2 + i);
		ask = ck_ask(test, ORCHFS_OP_READ, 0, 100);
		ck_submit(ck->r, ask);
		ck_bind(test, sock, CK_HANDLE);
		ck_reply_read(test, sock, ck_request(test, sock,
						     ORCHFS_OP_READ), 100);
		KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	}
	ck_hang_up(sock);
}

/* A server that forgot the handle is given the token again, not for ever. */
static void test_forgotten(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_READ, 0, 100);
	struct socket *sock = ck_bound(test);
	struct ck *ck = test->priv;
	int i;

	ck_submit(ck->r, ask);
	for (i = 0; i < ORCHFS_CLIENT_TRIES; i++) {
		ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_READ),
			 .status = ORCHFS_STATUS_HANDLE);
		ck_request(test, sock, ORCHFS_OP_UNBIND);
		ck_bind(test, sock, CK_HANDLE + i + 1);
	}
	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_READ),
		 .status = ORCHFS_STATUS_HANDLE);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), -EIO);
	ck_hang_up(sock);
}

/* More rights: another handle. Fewer: those that are there are kept. */
static void test_rights(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_WRITE, 0, 100);
	struct ck *ck = test->priv;
	struct orchfs_token t;
	struct socket *sock;
	struct ck_got *got;

	ck_token(test, ck->r, ORCHFS_RIGHT_READ, 1);
	sock = ck_bound(test);
	ck_token(test, ck->r, ORCHFS_RIGHT_READ | ORCHFS_RIGHT_WRITE, 1);
	ck_token(test, ck->r, ORCHFS_RIGHT_READ, 1);
	ck_submit(ck->r, ask);
	ck_request(test, sock, ORCHFS_OP_UNBIND);
	got = ck_request(test, sock, ORCHFS_OP_BIND);
	KUNIT_ASSERT_EQ(test, orchfs_token_decode(got->data, got->pdu.data_len,
						  &t), 0);
	KUNIT_EXPECT_EQ(test, t.rights,
			ORCHFS_RIGHT_READ | ORCHFS_RIGHT_WRITE);
	ck_reply(test, sock, got, .handle = CK_HANDLE + 1);
	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_WRITE),
		 .count = 100);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	ck_hang_up(sock);
}

static void test_tokens(struct kunit *test)
{
	u8 buf[ORCHFS_TOKEN_LEN];
	struct ck *ck = test->priv;
	struct orchfs_token t;

	ck_token_of(&t, &ck_id, ORCHFS_RIGHT_READ, 1);
	orchfs_token_encode(&t, buf);
	KUNIT_EXPECT_EQ(test, orchfs_remote_token(ck->r, buf), 0);
	KUNIT_EXPECT_EQ(test, ck->r->token_nr, 1);
	/* the same is no newer one */
	KUNIT_EXPECT_EQ(test, orchfs_remote_token(ck->r, buf), 0);
	KUNIT_EXPECT_EQ(test, ck->r->token_nr, 1);
	buf[0] ^= 1;
	KUNIT_EXPECT_EQ(test, orchfs_remote_token(ck->r, buf), -EINVAL);
	t.instance++;
	orchfs_token_encode(&t, buf);
	KUNIT_EXPECT_EQ(test, orchfs_remote_token(ck->r, buf), -EINVAL);
	/* one of an earlier epoch overtook it */
	ck_token(test, ck->r, ORCHFS_RIGHTS_ALL, 3);
	ck_token(test, ck->r, ORCHFS_RIGHTS_ALL, 2);
	KUNIT_EXPECT_EQ(test, ck->r->epoch, 3);
}

static struct orchfs_remote *another(struct kunit *test)
{
	struct orchfs_remote_id id = ck_id;
	struct ck *ck = test->priv;
	struct orchfs_remote *r;

	id.instance++;
	r = orchfs_remote_new(ck->peer, &id);
	KUNIT_ASSERT_NOT_NULL(test, r);
	ck_token(test, r, ORCHFS_RIGHTS_ALL, 1);
	return r;
}

/* One request and one handle at a time: the other waits, then takes its. */
static void test_limits(struct kunit *test)
{
	struct ck_ask *first = ck_ask(test, ORCHFS_OP_READ, 0, 100);
	struct ck_ask *second = ck_ask(test, ORCHFS_OP_READ, 500, 100);
	struct orchfs_remote *r = another(test);
	struct socket *sock = ck_connect(test);
	struct ck *ck = test->priv;
	struct ck_got *got;

	ck_greet_limits(test, sock, 1, 1);
	ck_token(test, ck->r, ORCHFS_RIGHTS_ALL, 1);
	ck_submit(ck->r, first);
	ck_submit(r, second);
	ck_bind(test, sock, CK_HANDLE);
	got = ck_request(test, sock, ORCHFS_OP_READ);
	KUNIT_EXPECT_EQ(test, got->pdu.offset, 0);
	ck_reply_read(test, sock, got, 100);
	KUNIT_EXPECT_EQ(test, ck_end(test, first), 0);
	got = ck_request(test, sock, ORCHFS_OP_UNBIND);
	KUNIT_EXPECT_EQ(test, got->pdu.handle, CK_HANDLE);
	ck_reply(test, sock, got);
	ck_bind(test, sock, CK_HANDLE + 1);
	got = ck_request(test, sock, ORCHFS_OP_READ);
	KUNIT_EXPECT_EQ(test, got->pdu.handle, CK_HANDLE + 1);
	ck_reply_read(test, sock, got, 100);
	KUNIT_EXPECT_EQ(test, ck_end(test, second), 0);
	KUNIT_EXPECT_TRUE(test, ck_filled(second->buf, 500, 100));
	ck_hang_up(sock);
	orchfs_remote_put(r);
}

/* The last user's handle is given up. */
static void test_put(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_GETATTR, 0, 0);
	struct orchfs_remote *r = another(test);
	struct socket *sock = ck_connected(test);
	struct ck_got *got;

	ck_submit(r, ask);
	ck_bind(test, sock, CK_HANDLE);
	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_GETATTR),
		 .status = ORCHFS_STATUS_IO);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), -EIO);
	orchfs_remote_put(r);
	got = ck_request(test, sock, ORCHFS_OP_UNBIND);
	KUNIT_EXPECT_EQ(test, got->pdu.handle, CK_HANDLE);
	ck_reply(test, sock, got);
	ck_hang_up(sock);
}

/* --- callers that are killed --- */

static void victim_kill(struct kunit *test, struct ck_victim *v)
{
	ck_victim_kill(v);
	KUNIT_EXPECT_EQ(test, ck_victim_end(test, v), -EINTR);
}

/* Whatever was left in the way would be in that of this one. */
static void works(struct kunit *test, struct socket *sock)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_READ, 300, 100);
	struct ck *ck = test->priv;

	ck_submit(ck->r, ask);
	ck_reply_read(test, sock, ck_request(test, sock, ORCHFS_OP_READ), 100);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	KUNIT_EXPECT_TRUE(test, ck_filled(ask->buf, 300, 100));
}

static bool waits(struct ck *ck)
{
	bool ret;

	spin_lock(&ck->peer->lock);
	ret = !list_empty(&ck->peer->waiting);
	spin_unlock(&ck->peer->lock);
	return ret;
}

/* While it waits for a connection, for the reply, in the middle of that. */
static void test_killed(struct kunit *test)
{
	struct ck *ck = test->priv;
	struct ck_got *got;
	struct socket *sock;
	struct ck_victim v;
	u8 half[500];

	ck_token(test, ck->r, ORCHFS_RIGHTS_ALL, 1);
	ck_victim_start(test, &v, ck->r, ck_ask(test, ORCHFS_OP_READ, 0, 1000));
	while (!waits(ck))
		cond_resched();
	victim_kill(test, &v);
	KUNIT_EXPECT_FALSE(test, waits(ck));

	sock = ck_bound(test);
	ck_victim_start(test, &v, ck->r, ck_ask(test, ORCHFS_OP_READ, 0, 1000));
	got = ck_request(test, sock, ORCHFS_OP_READ);
	victim_kill(test, &v);
	ck_reply_read(test, sock, got, 1000);
	KUNIT_EXPECT_EQ(test, v.ask->buf[999], 0);
	works(test, sock);

	ck_victim_start(test, &v, ck->r, ck_ask(test, ORCHFS_OP_READ, 0, 1000));
	got = ck_request(test, sock, ORCHFS_OP_READ);
	memset(half, 1, sizeof(half));
	ck_reply(test, sock, got, .data_len = 1000);
	ck_give(test, sock, half, sizeof(half));
	victim_kill(test, &v);
	ck_give(test, sock, half, sizeof(half));
	works(test, sock);
	KUNIT_EXPECT_EQ(test, v.ask->buf[999], 0);
	ck_hang_up(sock);
}

static u32 in_flight(struct orchfs_client_conn *conn)
{
	u32 nr;

	spin_lock(&conn->peer->lock);
	nr = conn->in_flight;
	spin_unlock(&conn->peer->lock);
	return nr;
}

static bool is_queued(struct ck *ck, const struct ck_ask *ask)
{
	bool queued;

	spin_lock(&ck->peer->lock);
	queued = ask->rio.call.state == ORCHFS_CALL_QUEUED;
	spin_unlock(&ck->peer->lock);
	return queued;
}

/* A BIND that nobody waits for any more, and wasn't sent, leaves its slot. */
static void test_put_unsent(struct kunit *test)
{
	const u32 len = 512 << 10;
	struct ck_ask *first = ck_ask(test, ORCHFS_OP_READ, 0, 1);
	struct ck_ask *wr = ck_ask(test, ORCHFS_OP_WRITE, 0, len);
	struct ck_ask *rd = ck_ask(test, ORCHFS_OP_READ, 0, 100);
	struct orchfs_remote *r = another(test);
	struct socket *sock = ck_connect(test);
	struct orchfs_client_conn *conn;
	struct ck *ck = test->priv;
	u8 head[ORCHFS_PDU_LEN];
	struct ck_victim v;

	ck_greet_limits(test, sock, 2, 10);
	ck_token(test, ck->r, ORCHFS_RIGHTS_ALL, 1);
	ck_submit(ck->r, first);
	ck_bind(test, sock, CK_HANDLE);
	ck_reply_read(test, sock, ck_request(test, sock, ORCHFS_OP_READ), 0);
	KUNIT_ASSERT_EQ(test, ck_end(test, first), 0);
	conn = list_first_entry(&ck->peer->conns, struct orchfs_client_conn,
				link);
	ck_narrow(ck);
	ck_submit(ck->r, wr);
	KUNIT_ASSERT_EQ(test, ck_take(sock, head, sizeof(head)),
			(int)sizeof(head));
	ck_victim_start(test, &v, r, ck_ask(test, ORCHFS_OP_READ, 0, 10));
	while (in_flight(conn) < 2)
		cond_resched();
	ck_submit(ck->r, rd);
	KUNIT_EXPECT_FALSE(test, is_queued(ck, rd));
	victim_kill(test, &v);
	orchfs_remote_put(r);
	KUNIT_EXPECT_TRUE(test, is_queued(ck, rd));
	KUNIT_EXPECT_EQ(test, in_flight(conn), 2);
	ck_write_rest(test, sock, head, len);
	KUNIT_EXPECT_EQ(test, ck_end(test, wr), 0);
	ck_reply_read(test, sock, ck_request(test, sock, ORCHFS_OP_READ), 100);
	KUNIT_EXPECT_EQ(test, ck_end(test, rd), 0);
	ck_hang_up(sock);
}

/* No more than what the server goes on reading behind. */
static void test_budget(struct kunit *test)
{
	const struct orchfs_hello hello = {
		.version_min = 1, .version_max = 1,
		.max_data = ORCHFS_PDU_DATA_MAX, .max_requests = 256,
		.max_handles = 10, .unit = 4096,
		.max_bytes = ORCHFS_PDU_DATA_MAX + 2 * 4096,
	};
	struct ck_ask *asks[] = {
		ck_ask(test, ORCHFS_OP_READ, 4095, 1),
		ck_ask(test, ORCHFS_OP_READ, 4095, 2),
		ck_ask(test, ORCHFS_OP_READ, 0, 4096),
	};
	struct socket *sock = ck_connect(test);
	struct ck *ck = test->priv;
	struct ck_got *got[2];

	ck_greet_hello(test, sock, &hello);
	ck_token(test, ck->r, ORCHFS_RIGHTS_ALL, 1);
	ck_submit(ck->r, asks[0]);
	ck_bind(test, sock, CK_HANDLE);
	got[0] = ck_request(test, sock, ORCHFS_OP_READ);
	ck_submit(ck->r, asks[1]);
	got[1] = ck_request(test, sock, ORCHFS_OP_READ);
	ck_submit(ck->r, asks[2]);
	KUNIT_EXPECT_FALSE(test, is_queued(ck, asks[2]));
	KUNIT_EXPECT_TRUE(test, waits(ck));
	ck_reply_read(test, sock, got[0], 1);
	KUNIT_EXPECT_EQ(test, ck_end(test, asks[0]), 0);
	KUNIT_EXPECT_TRUE(test, waits(ck));
	ck_reply_read(test, sock, got[1], 2);
	KUNIT_EXPECT_EQ(test, ck_end(test, asks[1]), 0);
	ck_reply_read(test, sock, ck_request(test, sock, ORCHFS_OP_READ), 4096);
	KUNIT_EXPECT_EQ(test, ck_end(test, asks[2]), 0);
	ck_hang_up(sock);
}

/* A server that takes its time answers PINGs, one that hangs doesn't. */
static void test_silent(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_READ, 300, 100);
	struct socket *sock = ck_bound(test);
	struct ck *ck = test->priv;
	struct ck_got *got;
	int i;

	ck_hurry(ck);
	ck_submit(ck->r, ask);
	got = ck_request(test, sock, ORCHFS_OP_READ);
	for (i = 0; i < 5; i++)
		ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_PING));
	ck_reply_read(test, sock, got, 100);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);

	ask = ck_ask(test, ORCHFS_OP_READ, 300, 100);
	ck_submit(ck->r, ask);
	ck_request(test, sock, ORCHFS_OP_READ);
	ck_request(test, sock, ORCHFS_OP_PING);
	ck_gone(test, ORCHFS_REASON_SILENT);
	ck_hang_up(sock);
	sock = ck_connected(test);
	ck_bind(test, sock, CK_HANDLE);
	ck_reply_read(test, sock, ck_request(test, sock, ORCHFS_OP_READ), 100);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	ck_hang_up(sock);
}

/* Nor does one that doesn't even take the request. */
static void test_deaf(struct kunit *test)
{
	struct ck_ask *ask = ck_ask(test, ORCHFS_OP_WRITE, 0, 512 << 10);
	struct socket *sock = ck_bound(test);
	struct ck *ck = test->priv;

	ck_narrow(ck);
	ck_hurry(ck);
	ck_submit(ck->r, ask);
	ck_gone(test, ORCHFS_REASON_SILENT);
	KUNIT_EXPECT_FALSE(test, completion_done(&ask->done));
	ck_hang_up(sock);
	sock = ck_connected(test);
	ck_bind(test, sock, CK_HANDLE);
	ck_write_taken(test, sock, 512 << 10);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), 0);
	ck_hang_up(sock);
}

/* --- replies that can't be --- */

struct bad_row {
	const char *what;
	u8 opcode;
	struct orchfs_pdu pdu;
	u32 tag;			/* is added */
	int damage;			/* this byte of the header, if not 0 */
	u32 reason;
};

static const struct bad_row bad_rows[] = {
	{ "tag", ORCHFS_OP_READ, { }, .tag = 1,
	  .reason = ORCHFS_REASON_TAG },
	{ "tag of before", ORCHFS_OP_READ, { }, .tag = -256,
	  .reason = ORCHFS_REASON_TAG },
	{ "opcode", ORCHFS_OP_READ, { .opcode = ORCHFS_OP_COMMIT },
	  .reason = ORCHFS_REASON_OPCODE },
	{ "ping that wasn't asked", ORCHFS_OP_READ,
	  { .opcode = ORCHFS_OP_PING }, .reason = ORCHFS_REASON_TAG },
	{ "read too long", ORCHFS_OP_READ, { .data_len = 101 },
	  .reason = ORCHFS_REASON_LENGTH },
	{ "read with a sum", ORCHFS_OP_READ,
	  { .data_len = 1, .flags = ORCHFS_PDU_DATA_CRC },
	  .reason = ORCHFS_REASON_FLAGS },
	{ "write too long", ORCHFS_OP_WRITE, { .count = 101 },
	  .reason = ORCHFS_REASON_LENGTH },
	{ "write of nothing", ORCHFS_OP_WRITE, { },
	  .reason = ORCHFS_REASON_LENGTH },
	{ "write appended", ORCHFS_OP_WRITE,
	  { .count = 100, .flags = ORCHFS_PDU_APPEND },
	  .reason = ORCHFS_REASON_FLAGS },
	{ "attributes short", ORCHFS_OP_GETATTR, { .data_len = 63 },
	  .reason = ORCHFS_REASON_LENGTH },
	{ "status", ORCHFS_OP_READ, { .status = ORCHFS_NR_STATUSES },
	  .reason = ORCHFS_REASON_FIELD },
	{ "magic", ORCHFS_OP_READ, { }, .damage = 1,
	  .reason = ORCHFS_REASON_MAGIC },
	{ "sum", ORCHFS_OP_READ, { }, .damage = 63,
	  .reason = ORCHFS_REASON_HEADER_CRC },
};

static void bad_reply(struct kunit *test, const struct bad_row *row)
{
	u32 len = row->opcode == ORCHFS_OP_GETATTR ? 0 : 100;
	struct ck_ask *ask = ck_ask(test, row->opcode, 0, len);
	struct socket *sock = ck_bound(test);
	struct orchfs_pdu pdu = row->pdu;
	struct ck *ck = test->priv;
	u8 head[ORCHFS_PDU_LEN];
	struct ck_got *got;

	ck_submit(ck->r, ask);
	got = ck_request(test, sock, row->opcode);
	pdu.opcode = pdu.opcode ?: row->opcode;
	pdu.flags |= ORCHFS_PDU_REPLY;
	pdu.tag = got->pdu.tag + row->tag;
	orchfs_pdu_encode(&pdu, head);
	head[row->damage] ^= row->damage ? 1 : 0;
	ck_give(test, sock, head, sizeof(head));
	kunit_info(test, "%s", row->what);
	ck_gone(test, row->reason);
	ck_hang_up(sock);

	/* it isn't believed, but asked again */
	sock = ck_connected(test);
	ck_bind(test, sock, CK_HANDLE);
	ck_reply(test, sock, ck_request(test, sock, row->opcode),
		 .status = ORCHFS_STATUS_NOSPC);
	KUNIT_EXPECT_EQ(test, ck_end(test, ask), -ENOSPC);
	ck_hang_up(sock);
	ck_gone(test, ORCHFS_REASON_CLOSED);
}

static void test_bad_replies(struct kunit *test)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad_rows); i++)
		bad_reply(test, &bad_rows[i]);
}

/* Before it was asked, and to what was answered. */
static void test_unasked(struct kunit *test)
{
	struct socket *sock = ck_bound(test);
	struct ck_got *got = kunit_kzalloc(test, sizeof(*got), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, got);
	got->pdu.opcode = ORCHFS_OP_READ;
	got->pdu.tag = 256;
	ck_reply(test, sock, got);
	ck_gone(test, ORCHFS_REASON_TAG);
	ck_hang_up(sock);
	sock = ck_connect(test);
	ck_reply(test, sock, got);
	ck_gone(test, ORCHFS_REASON_TAG);
	ck_hang_up(sock);
}

static const struct {
	u32 status, version_min, version_max, max_data;
	u32 reason;
} hello_rows[] = {
	{ ORCHFS_STATUS_VERSION, 0, 0, 0, ORCHFS_REASON_VERSION },
	{ 0, ORCHFS_HELLO_VERSION + 1, ORCHFS_HELLO_VERSION + 1, 1 << 20,
	  ORCHFS_REASON_VERSION },
	{ 0, 0, 0, 1 << 20, ORCHFS_REASON_VERSION },
	{ 0, 1, 2, 1 << 20, ORCHFS_REASON_VERSION },
	{ 0, 2, 1, 4096, ORCHFS_REASON_VERSION },
	{ 0, 1, 1, 0, ORCHFS_REASON_FIELD },
	{ 0, 1, 1, ORCHFS_PDU_DATA_MIN - 1, ORCHFS_REASON_FIELD },
};

static void test_bad_hello(struct kunit *test)
{
	u8 buf[sizeof(struct orchfs_wire_hello)];
	struct orchfs_hello hello = { .max_requests = 1, .max_handles = 1 };
	struct socket *sock;
	struct ck_got *got;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(hello_rows); i++) {
		hello.version_min = hello_rows[i].version_min;
		hello.version_max = hello_rows[i].version_max;
		hello.max_data = hello_rows[i].max_data;
		sock = ck_connect(test);
		got = ck_request(test, sock, ORCHFS_OP_HELLO);
		if (hello_rows[i].status) {
			ck_reply(test, sock, got,
				 .status = hello_rows[i].status);
		} else {
			orchfs_hello_encode(&hello, buf);
			ck_reply(test, sock, got, .data_len = sizeof(buf));
			ck_give(test, sock, buf, sizeof(buf));
		}
		ck_gone(test, hello_rows[i].reason);
		ck_hang_up(sock);
	}
}

static struct kunit_case client_bad_cases[] = {
	KUNIT_CASE(test_renewed),
	KUNIT_CASE(test_expired),
	KUNIT_CASE(test_forgotten),
	KUNIT_CASE(test_rights),
	KUNIT_CASE(test_tokens),
	KUNIT_CASE(test_limits),
	KUNIT_CASE(test_put),
	KUNIT_CASE(test_put_unsent),
	KUNIT_CASE(test_killed),
	KUNIT_CASE(test_budget),
	KUNIT_CASE(test_silent),
	KUNIT_CASE(test_deaf),
	KUNIT_CASE(test_bad_replies),
	KUNIT_CASE(test_unasked),
	KUNIT_CASE(test_bad_hello),
	{}
};

static struct kunit_suite client_bad_suite = {
	.name = "orchfs-client-bad",
	.init = ck_init,
	.exit = ck_exit,
	.test_cases = client_bad_cases,
};

kunit_test_suite(client_bad_suite);
