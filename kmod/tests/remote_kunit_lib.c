// SPDX-License-Identifier: GPL-2.0-only
/*
 * A remote instance with two openers, and operations on it in tasks of their
 * own.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/namei.h>
#include <linux/sched/signal.h>

#include "remote_kunit.h"

struct rk rk;

static void rk_token_bytes(u32 rights, u64 epoch, u8 *buf)
{
	struct orchfs_token t;

	ck_token_of(&t, &ck_id, rights, epoch);
	orchfs_token_encode(&t, buf);
}

void rk_token(struct kunit *test, u32 rights, u64 epoch)
{
	u8 buf[ORCHFS_TOKEN_LEN];

	rk_token_bytes(rights, epoch, buf);
	KUNIT_ASSERT_EQ(test, orchfs_remote_token(rk.ri->remote, buf), 0);
}

static struct file *rk_open(struct kunit *test)
{
	struct file *file = dentry_open(&rk.path, O_RDWR | O_LARGEFILE,
					current_cred());

	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	return file;
}

int rk_init(struct kunit *test)
{
	u8 token[ORCHFS_TOKEN_LEN];
	int ret = ck_init(test);

	if (ret)
		return ret;
	memset(&rk, 0, sizeof(rk));
	rk_token_bytes(ORCHFS_RIGHTS_ALL, 1, token);
	KUNIT_ASSERT_EQ(test, orchfs_remote_anchor(&init_net, ck_uuid, CK_NODE,
						   &ck_id, token, &rk.path), 0);
	rk.ri = ORCHFS_RI(d_inode(rk.path.dentry));
	rk.ri->patience = CK_WAIT / HZ;
	rk.a = rk_open(test);
	rk.b = rk_open(test);
	return 0;
}

/* The last opener and the last layout. */
void rk_close(void)
{
	if (!IS_ERR_OR_NULL(rk.a))
		__fput_sync(rk.a);
	if (!IS_ERR_OR_NULL(rk.b))
		__fput_sync(rk.b);
	if (rk.path.dentry)
		path_put(&rk.path);
	memset(&rk, 0, sizeof(rk));
}

void rk_exit(struct kunit *test)
{
	rk_close();
	ck_exit(test);
}

static int rk_run(void *data)
{
	struct rk_op *op = data;

	allow_signal(SIGKILL);
	op->ret = op->run(op);
	complete(&op->ended);
	return 0;
}

static void rk_start(struct kunit *test, struct rk_op *op, struct file *file)
{
	op->file = file;
	init_completion(&op->ended);
	op->task = kthread_create(rk_run, op, "orchfs-op");
	KUNIT_ASSERT_FALSE(test, IS_ERR(op->task));
	get_task_struct(op->task);
	wake_up_process(op->task);
}

static struct rk_op *rk_op(struct kunit *test, int (*run)(struct rk_op *op))
{
	struct rk_op *op = kunit_kzalloc(test, sizeof(*op), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, op);
	op->run = run;
	return op;
}

static int run_fsync(struct rk_op *op)
{
	return vfs_fsync(op->file, 0);
}

struct rk_op *rk_fsync(struct kunit *test, struct file *file)
{
	struct rk_op *op = rk_op(test, run_fsync);

	rk_start(test, op, file);
	return op;
}

static int run_sync(struct rk_op *op)
{
	return orchfs_unsynced_commit(op->u, MAX_SCHEDULE_TIMEOUT);
}

struct rk_op *rk_sync(struct kunit *test, struct orchfs_unsynced *u)
{
	struct rk_op *op = rk_op(test, run_sync);

	op->u = u;
	rk_start(test, op, NULL);
	return op;
}

static int run_getattr(struct rk_op *op)
{
	struct kstat stat;

	return vfs_getattr_nosec(&op->file->f_path, &stat, STATX_BASIC_STATS,
				 AT_STATX_FORCE_SYNC);
}

struct rk_op *rk_getattr(struct kunit *test)
{
	struct rk_op *op = rk_op(test, run_getattr);

	rk_start(test, op, rk.a);
	return op;
}

static int run_write(struct rk_op *op)
{
	loff_t pos = op->pos;

	return kernel_write(op->file, op->buf, op->len, &pos);
}

struct rk_op *rk_write(struct kunit *test, struct file *file, loff_t pos,
		       size_t len)
{
	struct rk_op *op = rk_op(test, run_write);

	op->pos = pos;
	op->len = len;
	op->buf = kunit_kzalloc(test, len, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, op->buf);
	ck_fill(op->buf, pos, len);
	rk_start(test, op, file);
	return op;
}

int rk_end(struct kunit *test, struct rk_op *op)
{
	KUNIT_ASSERT_NE_MSG(test, wait_for_completion_timeout(&op->ended,
							      2 * CK_WAIT), 0,
			    "an operation didn't end");
	put_task_struct(op->task);
	return op->ret;
}

/* A write that is answered, with this verifier. */
void rk_written(struct kunit *test, struct socket *sock, struct file *file,
		u64 verifier)
{
	struct rk_op *op = rk_write(test, file, 0, 100);

	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_WRITE),
		 .count = 100, .verifier = verifier);
	KUNIT_ASSERT_EQ(test, rk_end(test, op), 100);
}

void rk_kill(struct rk_op *op)
{
	send_sig(SIGKILL, op->task, 1);
}

/* A connection on which the instance is bound, and was written. */
struct socket *rk_bound(struct kunit *test, u64 verifier)
{
	struct socket *sock = ck_connected(test);
	struct rk_op *op = rk_write(test, rk.a, 0, 100);

	ck_bind(test, sock, CK_HANDLE);
	ck_reply(test, sock, ck_request(test, sock, ORCHFS_OP_WRITE),
		 .count = 100, .verifier = verifier);
	KUNIT_ASSERT_EQ(test, rk_end(test, op), 100);
	return sock;
}
