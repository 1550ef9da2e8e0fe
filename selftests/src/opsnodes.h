/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * opsnodes: random operations through several mounts of one namespace against
 * one model. The model is flat, but for contents, so that it is copied for
 * each order of operations that ran at the same time.
 */
#ifndef OPSNODES_H
#define OPSNODES_H

#include <sys/stat.h>
#include <sys/types.h>
#include "util.h"

#define NAMES		40	/* a name is its number; 0: no name */
#define NAMES_DIRS	32	/* those below it are short */
#define DEPTH		16
#define INODES		192	/* 0: none, 1: the root */
#define MOUNTS		8
#define WORKERS		16
#define SLOTS		4	/* descriptors that a worker keeps open */
#define XATTRS		3
#define XATTR_LEN	300
#define ROUND		4	/* operations at the same time */
#define FILE_MAX	65536
#define DATA_MAX	(FILE_MAX + 4096)

enum {
	OP_CREATE, OP_MKDIR, OP_SYMLINK, OP_LINK, OP_UNLINK, OP_RMDIR,
	OP_RENAME, OP_LSTAT, OP_READDIR, OP_READLINK, OP_READ, OP_WRITE,
	OP_APPEND, OP_TRUNCATE, OP_CHMOD, OP_CHOWN, OP_UTIMENS, OP_SETX,
	OP_GETX, OP_RMX, OP_LISTX, OP_OPEN, OP_CLOSE, OP_PREAD, OP_PWRITE,
	OP_FAPPEND, OP_FTRUNC, OP_FSTAT, OP_FSYNC, OP_COUNT,
};

/* What a worker does otherwise than it is told: cmd.lie. */
enum { LIE = 1, PRETEND_NOT_DONE, PRETEND_DONE, PRETEND_LATE };

struct path {
	uint8_t n, c[DEPTH];
};

/* What a worker is told to do. */
struct cmd {
	uint32_t id;		/* of the operation; makes its data, too */
	uint8_t op, worker, slot, xname;
	uint16_t newino;	/* where the model puts what it makes */
	uint8_t lie, pad;
	uint32_t flags;		/* of open, rename, setxattr */
	uint32_t mode, uid, gid;
	uint32_t len;
	uint64_t off;
	int64_t mtime;
	struct path a, b;
};

/* And what it answers, with @len bytes behind. */
struct result {
	int32_t err;
	uint32_t len;
	int64_t value;
	uint64_t ino, size;
	uint32_t mode, nlink, uid, gid;
	int64_t mtime, ctime;	/* nanoseconds */
};

/* An entry as READDIR tells it. */
struct listed {
	uint64_t ino;
	uint32_t type, name;	/* 0: a name that nobody makes */
};

struct blob {
	unsigned int refs;
	uint32_t size;
	unsigned char data[];
};

/* A time that is known exactly, or only that it is not before @ns. */
struct stamp {
	int64_t ns, exact;
};

struct xval {
	uint32_t op;
	uint16_t len, set;
};

struct inode {
	struct blob *blob;	/* regular files; NULL: empty */
	uint64_t ino;		/* 0: nobody has looked yet */
	uint32_t mode;		/* 0: free */
	uint32_t uid, gid, nlink, fds;
	uint32_t target;	/* of a symlink: the operation that made it */
	struct stamp mtime, ctime;
	struct xval xa[XATTRS];
	uint64_t parent;	/* of a directory */
	uint16_t ent[NAMES];
};

struct slot {
	uint32_t inode, flags;
};

struct model {
	struct inode in[INODES];
	struct slot slot[WORKERS][SLOTS];
	uint32_t undone;	/* bits: doubts that may still be done */
};

/*
 * One operation that was done: what was asked, answered, and after when.
 * @blind: what was answered isn't known, it has succeeded. @bound: on what its
 * names were when it was asked, else on what they are now.
 */
struct deed {
	struct cmd cmd;
	struct result res;
	unsigned char *data;
	int64_t t0;
	bool racing;		/* with others */
	bool stale;		/* attributes may be those of before */
	bool blind, bound;
	uint16_t file, dir[2];
};

static inline bool is_dir(const struct inode *in)
{
	return S_ISDIR(in->mode);
}

static inline bool is_reg(const struct inode *in)
{
	return S_ISREG(in->mode);
}

static inline uint32_t size_of(const struct inode *in)
{
	return in->blob ? in->blob->size : 0;
}

/* opsnodes_model.c */
extern char why[600];		/* what the last deed contradicted */
void model_root(struct model *m, uint32_t mode, int64_t now);
struct model *model_clone(const struct model *m);
void model_free(struct model *m);
bool model_equal(const struct model *a, const struct model *b);
/* Does it, and tells if the answer is the right one; @m is spoilt if not. */
bool model_apply(struct model *m, const struct deed *d);
/* Finds what its names are now, for @bound. */
void model_bind(const struct model *m, struct deed *d);
int model_find(const struct model *m, const struct path *p, uint16_t *in);
bool model_above(const struct model *m, uint16_t a, uint16_t of);

/* opsnodes_gen.c */
struct gen {
	struct rng rng;
	struct model **cand;	/* the states that are possible */
	unsigned int ncand;
	unsigned int workers, mounts;
	unsigned int avoid;	/* bits: mounts that are not used now */
	unsigned int busy;	/* bits: workers that haven't answered yet */
	bool look_only;		/* nothing is to be changed now */
	bool no_rounds;
	uint32_t next_id;
	bool taken[INODES];	/* by this round */
	bool reserved[INODES];	/* by what may be done later */
};

unsigned int mount_of(const struct gen *g, unsigned int worker);
bool gen_usable(const struct gen *g, unsigned int worker);
bool gen_any_usable(const struct gen *g);
unsigned int gen_worker(struct gen *g);	/* one that is usable */
void gen_one(struct gen *g, struct cmd *c);
/* Another mount looks at what @of has done; false: no way to. */
bool gen_look(struct gen *g, struct cmd *c, const struct cmd *of);
unsigned int gen_round(struct gen *g, struct cmd *c);
struct path path_to(const struct model *m, uint16_t in);
void gen_start(struct gen *g, struct cmd *c, unsigned int op,
	       unsigned int worker);

/* opsnodes_worker.c */
const char *name_text(unsigned int name);
char *path_text(const struct path *p, char *buf);
void fill(unsigned char *buf, uint32_t id, uint64_t off, size_t len);
void xattr_fill(unsigned char *buf, uint32_t id, size_t len);
void target_text(uint32_t id, char *buf);
bool op_reads(unsigned int op);
bool read_all(int fd, void *buf, size_t len);
bool write_all(int fd, const void *buf, size_t len);
int worker_main(int fd, const char *dir);

#endif
