// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a super block knows of remote instances that were written, against a
 * server that the test plays.
 */
#include "remote_kunit.h"

static struct orchfs_unsynced *un;
static errseq_t un_err;

static void un_start(struct kunit *test, unsigned long age)
{
	un = orchfs_unsynced_new(NULL, &un_err, age);
	KUNIT_ASSERT_NOT_NULL(test, un);
	rk.ri->unsynced_in = un;
}

static int un_init(struct kunit *test)
{
	int ret = rk_init(test);

	un_err = 0;
	un = NULL;
	if (!ret)
		un_start(test, MAX_JIFFY_OFFSET);
	return ret;
}

static void un_exit(struct kunit *test)
{
	orchfs_unsynced_stop(un);
	orchfs_unsynced_end(un);
	rk_exit(test);
	orchfs_unsynced_free(un);
}

/* Nobody has the file or a layout of it any more. */
static void test_kept(struct kunit *test)
{
	struct socket *sock = rk_bound(test, 1);
	struct rk_op *sync;

	rk_close();
	sync = rk_sync(test, un);
	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_COMMIT),
		 .verifier = 1);
	KUNIT_EXPECT_EQ(test, rk_end(test, sync), 0);
	ck_request(test, sock, ORCHFS_OP_UNBIND);
	KUNIT_EXPECT_EQ(test, errseq_check(&un_err, 0), 0);
	/* and there is nothing any more */
	KUNIT_EXPECT_EQ(test, orchfs_unsynced_commit(un, 1), 0);
	ck_hang_up(sock);
}

/* An fsync has been there before. */
static void test_committed(struct kunit *test)
{
	struct socket *sock = rk_bound(test, 1);
	struct rk_op *fsync = rk_fsync(test, rk.a);

	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_COMMIT),
		 .verifier = 1);
	KUNIT_EXPECT_EQ(test, rk_end(test, fsync), 0);
	KUNIT_EXPECT_EQ(test, orchfs_unsynced_commit(un, 1), 0);
	rk_close();
	ck_request(test, sock, ORCHFS_OP_UNBIND);
	ck_hang_up(sock);
}

static const struct {
	u32 status;
	int ret;			/* of a sync */
	int err;			/* that syncfs is told */
	bool kept;			/* the next one asks again */
} rows[] = {
	{ 0, 0, -EIO, false },		/* with another verifier */
	{ ORCHFS_STATUS_IO, -EIO, -EIO, false },
	{ ORCHFS_STATUS_NOSPC, -ENOSPC, -ENOSPC, false },
	{ ORCHFS_STATUS_NOENT, 0, 0, false },
	{ ORCHFS_STATUS_NOMEM, -ENOMEM, 0, true },
	{ ORCHFS_STATUS_STALE, -EIO, -EIO, false },
};

/* What a COMMIT may be answered. */
static void test_answers(struct kunit *test)
{
	struct socket *sock = rk_bound(test, 1);
	struct rk_op *sync;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		un_err = 0;
		orchfs_remote_written(rk.ri, 1, false, 0);
		sync = rk_sync(test, un);
		ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_COMMIT),
			 .status = rows[i].status,
			 .verifier = rows[i].status ? 0 : 2);
		KUNIT_EXPECT_EQ(test, rk_end(test, sync), rows[i].ret);
		KUNIT_EXPECT_EQ(test, errseq_check(&un_err, 0), rows[i].err);
		if (!rows[i].kept) {
			KUNIT_EXPECT_EQ(test, orchfs_unsynced_commit(un, 1), 0);
			continue;
		}
		sync = rk_sync(test, un);
		ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_COMMIT),
			 .verifier = 1);
		KUNIT_EXPECT_EQ(test, rk_end(test, sync), 0);
	}
	ck_hang_up(sock);
}

/* Who waits for a peer that doesn't answer can be killed, or is patient. */
static void test_silent(struct kunit *test)
{
	struct socket *sock = rk_bound(test, 1);
	struct rk_op *sync = rk_sync(test, un);

	ck_request(test, sock, ORCHFS_OP_COMMIT);
	rk_kill(sync);
	KUNIT_EXPECT_EQ(test, rk_end(test, sync), -EINTR);
	KUNIT_EXPECT_EQ(test, orchfs_unsynced_commit(un, HZ / 10), -EIO);
	ck_request(test, sock, ORCHFS_OP_COMMIT);
	KUNIT_EXPECT_EQ(test, errseq_check(&un_err, 0), 0);
	KUNIT_EXPECT_EQ(test, orchfs_unsynced_end(un), 1);
	ck_hang_up(sock);
}

/* A file without names goes with its last user: nothing is to be committed. */
static void test_forgotten(struct kunit *test)
{
	struct socket *sock = rk_bound(test, 1);

	orchfs_remote_forget(&rk.ri->netfs.inode);
	KUNIT_EXPECT_EQ(test, orchfs_unsynced_commit(un, 1), 0);
	rk_close();
	ck_request(test, sock, ORCHFS_OP_UNBIND);
	ck_hang_up(sock);
}

/* Nobody syncs; and the work is stopped while a peer doesn't answer. */
static void test_work(struct kunit *test)
{
	struct socket *sock = rk_bound(test, 1);

	orchfs_unsynced_stop(un);
	orchfs_unsynced_end(un);
	orchfs_unsynced_free(un);
	un_start(test, 1);
	orchfs_remote_written(rk.ri, 1, false, 0);
	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_COMMIT),
		 .verifier = 1);
	orchfs_remote_written(rk.ri, 1, false, 0);
	ck_request(test, sock, ORCHFS_OP_COMMIT);
	orchfs_unsynced_stop(un);
	KUNIT_EXPECT_EQ(test, orchfs_unsynced_end(un), 1);
	ck_hang_up(sock);
}

#define MANY	40
#define AT_ONCE	16

static void answer(struct kunit *test, struct socket *sock,
		   const struct ck_got *got)
{
	static u64 handle = CK_HANDLE;

	if (got->pdu.opcode == ORCHFS_OP_BIND)
		ck_reply(test, sock, got, .handle = ++handle, .verifier = 1);
	else if (got->pdu.opcode == ORCHFS_OP_COMMIT)
		ck_reply(test, sock, got, .verifier = 1);
	else
		ck_reply(test, sock, got);
}

static struct path *many_written(struct kunit *test)
{
	struct path *paths = kunit_kcalloc(test, MANY, sizeof(*paths),
					   GFP_KERNEL);
	struct orchfs_remote_id id = ck_id;
	u8 token[ORCHFS_TOKEN_LEN];
	struct orchfs_rinode *ri;
	struct orchfs_token t;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, paths);
	for (i = 0; i < MANY; i++) {
		id.instance = ck_id.instance + 1 + i;
		ck_token_of(&t, &id, ORCHFS_RIGHTS_ALL, 1);
		orchfs_token_encode(&t, token);
		KUNIT_ASSERT_EQ(test, orchfs_remote_anchor(&init_net, ck_uuid,
							   CK_NODE, &id, token,
							   &paths[i]), 0);
		ri = ORCHFS_RI(d_inode(paths[i].dentry));
		ri->patience = CK_WAIT / HZ;
		ri->unsynced_in = un;
		orchfs_remote_written(ri, 1, false, 0);
	}
	return paths;
}

/* Many at once, but not all. */
static void test_many(struct kunit *test)
{
	struct path *paths = many_written(test);
	struct socket *sock = ck_connected(test);
	struct rk_op *sync = rk_sync(test, un);
	struct orchfs_client_conn *conn;
	struct ck_got *got[AT_ONCE];
	struct ck *ck = test->priv;
	int i, commits = 0;

	for (i = 0; i < AT_ONCE; i++)
		got[i] = ck_request(test, sock, ORCHFS_OP_BIND);
	conn = list_first_entry(&ck->peer->conns, struct orchfs_client_conn,
				link);
	KUNIT_EXPECT_EQ(test, READ_ONCE(conn->in_flight), AT_ONCE);
	for (i = 0; i < AT_ONCE; i++)
		answer(test, sock, got[i]);
	while (commits < MANY) {
		got[0] = ck_any(test, sock);
		commits += got[0]->pdu.opcode == ORCHFS_OP_COMMIT;
		answer(test, sock, got[0]);
	}
	KUNIT_EXPECT_EQ(test, rk_end(test, sync), 0);
	for (i = 0; i < MANY; i++)
		path_put(&paths[i]);
	KUNIT_EXPECT_EQ(test, orchfs_unsynced_end(un), 0);
	ck_hang_up(sock);
}

static struct kunit_case remote_sync_cases[] = {
	KUNIT_CASE(test_kept),
	KUNIT_CASE(test_committed),
	KUNIT_CASE(test_answers),
	KUNIT_CASE(test_silent),
	KUNIT_CASE(test_forgotten),
	KUNIT_CASE(test_work),
	KUNIT_CASE(test_many),
	{}
};

static struct kunit_suite remote_sync_suite = {
	.name = "orchfs-remote-sync",
	.init = un_init,
	.exit = un_exit,
	.test_cases = remote_sync_cases,
};

kunit_test_suite(remote_sync_suite);
