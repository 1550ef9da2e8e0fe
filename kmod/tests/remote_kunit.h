/* SPDX-License-Identifier: GPL-2.0-only */
/* A remote instance as a backing file, as tests use it. */
#ifndef _ORCHFS_REMOTE_KUNIT_H
#define _ORCHFS_REMOTE_KUNIT_H

#include "client_kunit.h"
#include "remote.h"

/* What a test of files has besides that of the client */
struct rk {
	struct path path;
	struct orchfs_rinode *ri;
	struct file *a, *b;		/* two openers */
};

/* An operation in a task of its own, as the test plays the server */
struct rk_op {
	int (*run)(struct rk_op *op);
	struct file *file;
	struct orchfs_unsynced *u;
	loff_t pos;
	size_t len;
	u8 *buf;
	struct task_struct *task;
	struct completion ended;
	int ret;
};

extern struct rk rk;

int rk_init(struct kunit *test);
void rk_exit(struct kunit *test);
void rk_close(void);
void rk_token(struct kunit *test, u32 rights, u64 epoch);
struct rk_op *rk_getattr(struct kunit *test);
struct rk_op *rk_fsync(struct kunit *test, struct file *file);
struct rk_op *rk_sync(struct kunit *test, struct orchfs_unsynced *u);
struct rk_op *rk_write(struct kunit *test, struct file *file, loff_t pos,
		       size_t len);
int rk_end(struct kunit *test, struct rk_op *op);
void rk_kill(struct rk_op *op);
struct socket *rk_bound(struct kunit *test, u64 verifier);
void rk_written(struct kunit *test, struct socket *sock, struct file *file,
		u64 verifier);

#endif
