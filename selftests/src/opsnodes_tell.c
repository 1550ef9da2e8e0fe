// SPDX-License-Identifier: GPL-2.0-only
/* opsnodes: what it tells of operations, and remembers for that. */
#include "opsnodes_run.h"

#define HISTORY		4000

struct told {
	struct cmd cmd;
	uint64_t ino;
	int32_t err;
	bool racing, late;
};

static struct told history[HISTORY];

const char *const op_names[OP_COUNT] = {
	"create", "mkdir", "symlink", "link", "unlink", "rmdir", "rename",
	"lstat", "readdir", "readlink", "read", "write", "append", "truncate",
	"chmod", "chown", "utimens", "setxattr", "getxattr", "removexattr",
	"listxattr", "open", "close", "pread", "pwrite", "fappend",
	"ftruncate", "fstat", "fsync",
};

void print_cmd(const struct cmd *c)
{
	char a[8192], b[8192];

	fprintf(stderr, "  op %u mount %u worker %u %s", c->id,
		mount_of(&gen, c->worker) + 1, c->worker, op_names[c->op]);
	if (c->op < OP_OPEN || c->op == OP_OPEN)
		fprintf(stderr, " '%s'", path_text(&c->a, a));
	if (c->op >= OP_OPEN)
		fprintf(stderr, " slot %u", c->slot);
	if (c->b.n)
		fprintf(stderr, " '%s'", path_text(&c->b, b));
	if (c->flags)
		fprintf(stderr, " flags %#x", c->flags);
	switch (c->op) {
	case OP_WRITE: case OP_PWRITE: case OP_PREAD:
		fprintf(stderr, " %u at %llu", c->len,
			(unsigned long long)c->off);
		break;
	case OP_APPEND: case OP_FAPPEND:
		fprintf(stderr, " %u", c->len);
		break;
	case OP_TRUNCATE: case OP_FTRUNC:
		fprintf(stderr, " to %llu", (unsigned long long)c->off);
		break;
	case OP_SETX: case OP_GETX: case OP_RMX:
		fprintf(stderr, " user.x%u", c->xname);
		break;
	}
}

static void print_told(const struct told *t)
{
	print_cmd(&t->cmd);
	fprintf(stderr, ": %s", t->late ? "not answered at once" :
		t->err ? strerrorname_np(t->err) : "ok");
	if (t->ino)
		fprintf(stderr, ", inode %llu", (unsigned long long)t->ino);
	fprintf(stderr, "%s\n", t->racing ? " (at the same time)" : "");
}

static bool same_path(const struct path *a, const struct path *b)
{
	return a->n == b->n && !memcmp(a->c, b->c, a->n);
}

static bool concerns(const struct cmd *c, const struct cmd *of)
{
	if (c->op >= OP_OPEN && of->op >= OP_OPEN)
		return c->worker == of->worker && c->slot == of->slot;
	if (of->op > OP_OPEN)
		return false;
	return same_path(&c->a, &of->a) ||
	       (c->b.n && same_path(&c->b, &of->a)) ||
	       (of->b.n && same_path(&c->a, &of->b));
}

void print_history(const struct cmd *of)
{
	unsigned int from = done > HISTORY ? done - HISTORY : 0, i, n = 0;

	fprintf(stderr, " what concerned the same name or descriptor:\n");
	for (i = done; i > from && n < 25; i--)
		n += concerns(&history[(i - 1) % HISTORY].cmd, of);
	for (; i < done; i++)
		if (concerns(&history[i % HISTORY].cmd, of))
			print_told(&history[i % HISTORY]);
	fprintf(stderr, " the last operations:\n");
	for (i = done > from + 15 ? done - 15 : from; i < done; i++)
		print_told(&history[i % HISTORY]);
}

void remember(const struct deed *d, bool late)
{
	struct told *t = &history[done++ % HISTORY];

	t->cmd = d->cmd;
	t->err = d->res.err;
	t->ino = d->res.ino;
	t->racing = d->racing;
	t->late = late;
	counts[d->cmd.op]++;
	errors += d->res.err != 0;
}

void failed_head(void)
{
	fprintf(stderr, "opsnodes: FAILED seed %llu after %u operations: ",
		(unsigned long long)opt.seed, done);
}
