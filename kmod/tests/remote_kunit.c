// SPDX-License-Identifier: GPL-2.0-only
/*
 * Remote instances as backing files, against a server that the test plays.
 */
#include <linux/fadvise.h>
#include <linux/fs.h>
#include <net/sock.h>

#include "remote_kunit.h"

static int synced(struct kunit *test, struct socket *sock, struct file *file,
		  u64 verifier)
{
	struct rk_op *op = rk_fsync(test, file);

	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_COMMIT),
		 .verifier = verifier);
	return rk_end(test, op);
}

/* Each opener hears once of what was lost. */
static void test_lost(struct kunit *test)
{
	struct socket *sock = rk_bound(test, 1);

	KUNIT_EXPECT_EQ(test, synced(test, sock, rk.a, 1), 0);
	rk_written(test, sock, rk.a, 1);
	KUNIT_EXPECT_EQ(test, synced(test, sock, rk.a, 2), -EIO);
	KUNIT_EXPECT_EQ(test, synced(test, sock, rk.a, 2), 0);
	KUNIT_EXPECT_EQ(test, synced(test, sock, rk.b, 2), -EIO);
	KUNIT_EXPECT_EQ(test, synced(test, sock, rk.b, 2), 0);
	ck_hang_up(sock);
}

/* Also who was refused meanwhile, and asked again. */
static void test_lost_refused(struct kunit *test)
{
	struct socket *sock = rk_bound(test, 1);
	struct rk_op *op;

	KUNIT_EXPECT_EQ(test, synced(test, sock, rk.a, 2), -EIO);
	op = rk_fsync(test, rk.b);
	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_COMMIT),
		 .status = ORCHFS_STATUS_EXPIRED);
	KUNIT_EXPECT_EQ(test, rk_end(test, op), -EKEYEXPIRED);
	ck_request(test, sock, ORCHFS_OP_UNBIND);
	rk_token(test, ORCHFS_RIGHTS_ALL, 2);
	op = rk_fsync(test, rk.b);
	ck_bind(test, sock, CK_HANDLE + 1);
	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_COMMIT),
		 .verifier = 2);
	KUNIT_EXPECT_EQ(test, rk_end(test, op), -EIO);
	ck_hang_up(sock);
}

/* A write is answered, the server starts again, and answers the commit. */
static void test_lost_overlapping(struct kunit *test)
{
	struct socket *sock = rk_bound(test, 1);
	struct rk_op *write, *fsync;
	struct ck_got *wr, *commit;

	KUNIT_EXPECT_EQ(test, synced(test, sock, rk.a, 1), 0);
	write = rk_write(test, rk.a, 0, 100);
	wr = ck_request(test, sock, ORCHFS_OP_WRITE);
	fsync = rk_fsync(test, rk.b);
	commit = ck_request(test, sock, ORCHFS_OP_COMMIT);
	ck_reply(test, sock, wr, .count = 100, .verifier = 1);
	KUNIT_EXPECT_EQ(test, rk_end(test, write), 100);
	ck_reply(test, sock, commit, .verifier = 2);
	rk_end(test, fsync);
	KUNIT_EXPECT_EQ(test, synced(test, sock, rk.a, 2), -EIO);
	KUNIT_EXPECT_EQ(test, synced(test, sock, rk.a, 2), 0);
	ck_hang_up(sock);
}

static void reply_size(struct kunit *test, struct socket *sock,
		       const struct ck_got *to, u64 size)
{
	u8 buf[sizeof(struct orchfs_wire_attr)];
	struct orchfs_remote_attr attr = { .size = size };

	orchfs_remote_attr_encode(&attr, buf);
	ck_reply(test, sock, to, .data_len = sizeof(buf));
	ck_give(test, sock, buf, sizeof(buf));
}

/* What was asked for before an own write doesn't know its end. */
static void test_size(struct kunit *test)
{
	struct socket *sock = rk_bound(test, 1);
	const struct inode *inode = &rk.ri->netfs.inode;
	struct rk_op *getattr = rk_getattr(test);
	struct ck_got *got;

	got = ck_request(test, sock, ORCHFS_OP_GETATTR);
	rk_written(test, sock, rk.a, 1);
	reply_size(test, sock, got, 50);
	KUNIT_EXPECT_EQ(test, rk_end(test, getattr), 0);
	KUNIT_EXPECT_EQ(test, i_size_read(inode), 100);
	getattr = rk_getattr(test);
	reply_size(test, sock, ck_request(test, sock, ORCHFS_OP_GETATTR), 50);
	KUNIT_EXPECT_EQ(test, rk_end(test, getattr), 0);
	KUNIT_EXPECT_EQ(test, i_size_read(inode), 50);
	ck_hang_up(sock);
}

/* The last layout goes while a server doesn't answer what is read ahead. */
static void test_evict(struct kunit *test)
{
	struct socket *sock = rk_bound(test, 1);
	struct ck_got *got;

	KUNIT_ASSERT_EQ(test, vfs_fadvise(rk.a, 0, 100, POSIX_FADV_WILLNEED),
			0);
	got = ck_request(test, sock, ORCHFS_OP_READ);
	rk_close();
	ck_request(test, sock, ORCHFS_OP_UNBIND);
	/* it comes to nobody */
	ck_reply_read(test, sock, got, 100);
	ck_hang_up(sock);
	ck_gone(test, ORCHFS_REASON_CLOSED);
}

/* Likewise while there is no connection. */
static void test_evict_waiting(struct kunit *test)
{
	i_size_write(&rk.ri->netfs.inode, 100);
	KUNIT_ASSERT_EQ(test, vfs_fadvise(rk.a, 0, 100, POSIX_FADV_WILLNEED),
			0);
	rk_close();
}

static struct kunit_case remote_cases[] = {
	KUNIT_CASE(test_lost),
	KUNIT_CASE(test_lost_refused),
	KUNIT_CASE(test_lost_overlapping),
	KUNIT_CASE(test_size),
	KUNIT_CASE(test_evict),
	KUNIT_CASE(test_evict_waiting),
	{}
};

static struct kunit_suite remote_suite = {
	.name = "orchfs-remote",
	.init = rk_init,
	.exit = rk_exit,
	.test_cases = remote_cases,
};

kunit_test_suite(remote_suite);
