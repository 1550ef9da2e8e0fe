/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * opsrand: a stupid model of a file system in memory. A tree of nodes whose
 * contents are plain arrays of bytes.
 */
#ifndef OPSRAND_MODEL_H
#define OPSRAND_MODEL_H

#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/types.h>
#include "util.h"

#define XA_MAX		4
#define XA_LEN_MAX	600
#define FDS_MAX		12
#define SIZE_SMALL	(96 << 10)
#define SIZE_MAX_FILE	(1 << 20)
#define NODES_MAX	220	/* beyond it removals are preferred */
#define DEPTH_MAX	7
#define PATH_LEN	8192

struct xa {
	char *name;
	unsigned int len;
	unsigned char *val;
};

/* A time that is known exactly, or only that it is not before @t. */
struct mtime {
	struct timespec t;
	bool exact;
};

struct node;

struct entry {
	char *name;
	struct node *node;
};

struct node {
	unsigned int id;
	unsigned int index;	/* in proc.nodes */
	mode_t mode;
	uid_t uid;
	gid_t gid;
	unsigned int nlink;
	ino_t ino;
	dev_t rdev;
	size_t size;
	unsigned char *data;
	size_t cap;
	char *target;
	struct xa xa[XA_MAX];
	unsigned int nxa;
	struct mtime mtime, ctime;
	struct timespec btime;
	unsigned int fds;
	/* directories */
	struct node *parent;
	char *dname;
	struct entry *ents;
	unsigned int nents, cents;
};

struct ofd {
	int fd;
	int flags;
	struct node *n;
	off_t pos;
};

struct hist {
	unsigned int op, id1, id2;
	char *text;
};

/* Shared with the parent, which looks for hung operations. */
struct progress {
	_Atomic unsigned int op;
	_Atomic uint64_t since;		/* seconds, monotonic */
	char what[64];
};

struct proc {
	unsigned int num;
	uint64_t seed;
	struct rng rng;			/* own subtree */
	struct rng srng;		/* shared directory */
	unsigned int ops, op;
	const char *opname;
	struct progress *progress;
	char root[1024];		/* own subtree */
	char shared[1024];
	struct node *tree;
	struct node **nodes;		/* all that exist or are open */
	unsigned int nnodes, cnodes;
	unsigned int next_id;
	struct ofd ofd[FDS_MAX];
	unsigned int nofd;
	struct hist *hist;
	unsigned int nhist, chist;
	struct timespec t0;		/* before the operation */
	unsigned char *buf, *buf2;	/* SIZE_MAX_FILE + slack, aligned */
	unsigned int unsupported;	/* bits, see UNSUP_* */
	unsigned int tokens;
	unsigned int appended;
	bool drop;
};

enum {
	UNSUP_PUNCH = 1, UNSUP_ZERO = 2, UNSUP_COLLAPSE = 4, UNSUP_INSERT = 8,
	UNSUP_FALLOC = 16, UNSUP_COPY = 32, UNSUP_DIRECT = 64,
	UNSUP_TMPFILE = 128, UNSUP_XATTR = 256, UNSUP_EXCHANGE = 512,
	UNSUP_CLONE = 1024,
};

/* history and failure */
__attribute__((format(printf, 4, 5)))
void note(struct proc *p, const struct node *a, const struct node *b,
	  const char *fmt, ...);
__attribute__((format(printf, 3, 4), noreturn))
void fail(struct proc *p, const struct node *n, const char *fmt, ...);
/* The call gave rc and errno; want is 0 or the errno that it should give. */
void expect(struct proc *p, const struct node *n, const char *call, long rc,
	    int want);

/* nodes */
struct node *node_new(struct proc *p, mode_t mode, struct node *parent);
void node_unref(struct proc *p, struct node *n);	/* free if unused */
struct entry *dir_find(struct node *dir, const char *name);
void dir_add(struct proc *p, struct node *dir, const char *name,
	     struct node *n);
void dir_del(struct proc *p, struct node *dir, const char *name);
bool is_ancestor(const struct node *a, const struct node *of);
unsigned int node_depth(const struct node *n);
char *dir_path(struct proc *p, struct node *dir, char *buf);
char *entry_path(struct proc *p, struct node *dir, const char *name,
		 char *buf);
struct node *pick_dir(struct proc *p);
/* An entry whose node's type is @type (S_IFMT bits, 0: any), or NULL. */
struct entry *pick_entry(struct proc *p, mode_t type, struct node **dir);
void pick_name(struct proc *p, char *name);

/* contents */
void fill(struct proc *p, const struct node *n, unsigned char *buf, off_t off,
	  size_t len);
void content_set(struct node *n, const unsigned char *buf, off_t off,
		 size_t len);
void content_resize(struct node *n, size_t size);
void content_check(struct proc *p, const struct node *n,
		   const unsigned char *got, off_t off, size_t len,
		   const char *how);

/* times */
void touch_m(struct proc *p, struct node *n);	/* mtime and ctime */
void touch_c(struct proc *p, struct node *n);
/* mtime is what it was or new */
void loosen_m(struct proc *p, struct node *n);

/* comparing with the file system */
void check_stat(struct proc *p, struct node *n, const struct stat *st);
void check_path(struct proc *p, struct node *n, const char *path);
void check_dir(struct proc *p, struct node *dir);
void check_content(struct proc *p, struct node *n, const char *path);
void check_xattrs(struct proc *p, struct node *n, const char *path);
void check_all(struct proc *p);
void adopt(struct proc *p, struct node *n, const char *path);

static inline bool is_reg(const struct node *n)
{
	return S_ISREG(n->mode);
}

static inline bool is_dir(const struct node *n)
{
	return S_ISDIR(n->mode);
}

/* operations: opsrand_ns.c, opsrand_data.c, opsrand_shared.c */
void op_create(struct proc *p);
void op_open_creat(struct proc *p);
void op_mkdir(struct proc *p);
void op_symlink(struct proc *p);
void op_mknod(struct proc *p);
void op_link(struct proc *p);
void op_unlink(struct proc *p);
void op_rmdir(struct proc *p);
void op_rename(struct proc *p);
void op_tmpfile(struct proc *p);
void op_badname(struct proc *p);
void op_chmod(struct proc *p);
void op_chown(struct proc *p);
void op_utimens(struct proc *p);
void op_xattr(struct proc *p);
void op_stat(struct proc *p);
void op_readdir(struct proc *p);

void op_write(struct proc *p);
void op_append(struct proc *p);
void op_truncate(struct proc *p);
void op_fallocate(struct proc *p);
void op_mmap(struct proc *p);
void op_copy(struct proc *p);
void op_seek(struct proc *p);
void op_read(struct proc *p);
void op_verify(struct proc *p);
void op_open(struct proc *p);
void op_close(struct proc *p);
void op_fd(struct proc *p);
void op_fsync(struct proc *p);
void close_all(struct proc *p);

void shared_setup(const char *shared, unsigned int procs);
void shared_verify(const char *shared, unsigned int procs,
		   const unsigned int *counts);
void op_shared(struct proc *p);

#endif
