// SPDX-License-Identifier: GPL-2.0-only
/* opsnodes: which operations are done, one by one and at the same time. */
#include <fcntl.h>
#include <sys/xattr.h>
#include "opsnodes.h"

#define DIRS_DEPTH	6
#define WRITE_MAX	8192
#define OFF_MAX		(FILE_MAX - 4 * WRITE_MAX)
#define CROWD		120	/* inodes; beyond it less is made */

static const uint8_t weights[OP_COUNT] = {
	[OP_CREATE] = 9, [OP_MKDIR] = 4, [OP_SYMLINK] = 2, [OP_LINK] = 4,
	[OP_UNLINK] = 8, [OP_RMDIR] = 3, [OP_RENAME] = 9, [OP_LSTAT] = 9,
	[OP_READDIR] = 5, [OP_READLINK] = 1, [OP_READ] = 8, [OP_WRITE] = 6,
	[OP_APPEND] = 5, [OP_TRUNCATE] = 3, [OP_CHMOD] = 3, [OP_CHOWN] = 2,
	[OP_UTIMENS] = 2, [OP_SETX] = 3, [OP_GETX] = 3, [OP_RMX] = 1,
	[OP_LISTX] = 1, [OP_OPEN] = 6, [OP_CLOSE] = 4, [OP_PREAD] = 6,
	[OP_PWRITE] = 5, [OP_FAPPEND] = 4, [OP_FTRUNC] = 2, [OP_FSTAT] = 5,
	[OP_FSYNC] = 1,
};

static const struct model *now(const struct gen *g)
{
	return g->cand[0];
}

unsigned int mount_of(const struct gen *g, unsigned int worker)
{
	return worker % g->mounts;
}

bool gen_usable(const struct gen *g, unsigned int worker)
{
	return !(g->avoid & 1u << mount_of(g, worker)) &&
	       !(g->busy & 1u << worker);
}

bool gen_any_usable(const struct gen *g)
{
	unsigned int w;

	for (w = 0; w < g->workers && !gen_usable(g, w); w++)
		;
	return w < g->workers;
}

unsigned int gen_worker(struct gen *g)
{
	unsigned int w;

	do
		w = below(&g->rng, g->workers);
	while (!gen_usable(g, w));
	return w;
}

static uint16_t free_inode(struct gen *g)
{
	unsigned int i, k;

	for (i = 2; i < INODES; i++) {
		for (k = 0; k < g->ncand && !g->cand[k]->in[i].mode; k++)
			;
		if (k == g->ncand && !g->taken[i] && !g->reserved[i])
			return i;
	}
	die("opsnodes: the model is full");
}

static unsigned int crowd(const struct gen *g)
{
	unsigned int i, n = 0;

	for (i = 1; i < INODES; i++)
		n += now(g)->in[i].mode != 0;
	return n;
}

void gen_start(struct gen *g, struct cmd *c, unsigned int op,
	       unsigned int worker)
{
	memset(c, 0, sizeof(*c));
	c->id = ++g->next_id;
	c->op = op;
	c->worker = worker;
	if (op != OP_CREATE && op != OP_MKDIR && op != OP_SYMLINK)
		return;
	c->newino = free_inode(g);
	g->taken[c->newino] = true;
}

/* ---- names ---- */

struct path path_to(const struct model *m, uint16_t in)
{
	struct path p = { 0 }, up;
	uint16_t dir = m->in[in].parent;
	unsigned int k;

	if (in == 1)
		return p;
	up = path_to(m, dir);
	for (k = 1; k < NAMES && m->in[dir].ent[k] != in; k++)
		;
	up.c[up.n++] = k;
	return up;
}

static unsigned int depth(const struct model *m, uint16_t in)
{
	unsigned int n = 0;

	for (; in != 1; in = m->in[in].parent)
		n++;
	return n;
}

static unsigned int height(const struct model *m, uint16_t in)
{
	unsigned int k, h, max = 0;

	for (k = 1; k < NAMES; k++) {
		if (!m->in[in].ent[k] || !is_dir(&m->in[m->in[in].ent[k]]))
			continue;
		h = 1 + height(m, m->in[in].ent[k]);
		max = h > max ? h : max;
	}
	return max;
}

static uint16_t pick_dir(struct gen *g)
{
	const struct inode *in;
	unsigned int i, k;

	for (k = 0; k < 40; k++) {
		i = 1 + below(&g->rng, INODES - 1);
		in = &now(g)->in[i];
		if (is_dir(in) && (i == 1 || in->parent))
			return i;
	}
	return 1;
}

static struct path below_dir(const struct gen *g, uint16_t dir, uint8_t name)
{
	struct path p = path_to(now(g), dir);

	p.c[p.n++] = name;
	return p;
}

/* Few names, so that they are used again; few odd ones, for files only. */
static uint8_t pick_name(struct gen *g, bool for_dir)
{
	if (!for_dir && one_in(&g->rng, 16))
		return NAMES_DIRS + below(&g->rng, NAMES - NAMES_DIRS);
	return 1 + below(&g->rng, NAMES_DIRS - 1);
}

static struct path pick_place(struct gen *g, bool for_dir)
{
	return below_dir(g, pick_dir(g), pick_name(g, for_dir));
}

/* A name that exists, of that type (0: any); else any name. */
static struct path pick_entry(struct gen *g, uint32_t type)
{
	const struct model *m = now(g);
	unsigned int i, k, n, first;
	uint16_t dir, in;

	for (k = 0; k < 20; k++) {
		dir = pick_dir(g);
		first = below(&g->rng, NAMES);
		for (i = 0; i < NAMES; i++) {
			n = (first + i) % NAMES;
			in = m->in[dir].ent[n];
			if (in && (!type || (m->in[in].mode & S_IFMT) == type))
				return below_dir(g, dir, n);
		}
	}
	return pick_place(g, true);
}

/* Now and then one that isn't there, or isn't what is wanted. */
static struct path pick_target(struct gen *g, uint32_t type)
{
	struct path p;

	if (one_in(&g->rng, 8))
		return pick_place(g, false);
	p = pick_entry(g, one_in(&g->rng, 12) ? 0 : type);
	if (one_in(&g->rng, 60) && p.n < DIRS_DEPTH)
		p.c[p.n++] = pick_name(g, true);
	return p;
}

static uint16_t at(struct gen *g, const struct path *p)
{
	uint16_t in;

	return model_find(now(g), p, &in) ? 0 : in;
}

/* ---- one operation ---- */

static void set_data(struct gen *g, struct cmd *c)
{
	c->len = 1 + below(&g->rng, one_in(&g->rng, 4) ? WRITE_MAX : 600);
	c->off = below(&g->rng, one_in(&g->rng, 6) ? OFF_MAX : 6000);
	if (one_in(&g->rng, 4))
		c->off &= ~4095ULL;
}

static void set_attr(struct gen *g, struct cmd *c)
{
	c->mode = below(&g->rng, 512);
	c->uid = one_in(&g->rng, 4) ? (uid_t)-1 : 1000 * below(&g->rng, 4);
	c->gid = one_in(&g->rng, 4) ? (gid_t)-1 : 1000 * below(&g->rng, 4);
	c->mtime = below(&g->rng, 2000000000) * 1000000000LL +
		   below(&g->rng, 1000000000);
}

static void set_xattr(struct gen *g, struct cmd *c)
{
	c->xname = below(&g->rng, XATTRS);
	c->len = c->op == OP_SETX ? below(&g->rng, XATTR_LEN + 1) : 0;
	if (c->op == OP_SETX && one_in(&g->rng, 3))
		c->flags = one_in(&g->rng, 2) ? XATTR_CREATE : XATTR_REPLACE;
}

/* Does a move keep the tree low, and long names from directories? */
static bool move_fits(struct gen *g, const struct cmd *c)
{
	const struct model *m = now(g);
	uint16_t s = at(g, &c->a), d = at(g, &c->b);
	bool sdir = s && is_dir(&m->in[s]), ddir = d && is_dir(&m->in[d]);

	if (sdir && (c->b.c[c->b.n - 1] >= NAMES_DIRS ||
		     c->b.n + height(m, s) > DIRS_DEPTH))
		return false;
	if (!(c->flags & 2))
		return true;
	return !ddir || (c->a.c[c->a.n - 1] < NAMES_DIRS &&
			 c->a.n + height(m, d) <= DIRS_DEPTH);
}

static void set_move(struct gen *g, struct cmd *c)
{
	do {
		c->a = pick_target(g, one_in(&g->rng, 3) ? S_IFDIR : 0);
		c->b = one_in(&g->rng, 3) ?
			pick_entry(g, one_in(&g->rng, 2) ? S_IFDIR : 0) :
			pick_place(g, false);
		c->flags = one_in(&g->rng, 4) ? 1 + below(&g->rng, 2) : 0;
	} while (!move_fits(g, c));
}

static void set_path_op(struct gen *g, struct cmd *c)
{
	set_attr(g, c);
	switch (c->op) {
	case OP_CREATE:
		c->a = one_in(&g->rng, 4) ? pick_entry(g, 0) :
					    pick_place(g, false);
		c->flags = one_in(&g->rng, 2) ? O_EXCL :
			   one_in(&g->rng, 4) ? O_TRUNC : 0;
		return;
	case OP_MKDIR:
		do
			c->a = pick_place(g, true);
		while (c->a.n > DIRS_DEPTH);
		return;
	case OP_SYMLINK:
		c->a = pick_place(g, false);
		return;
	case OP_LINK:
		c->a = pick_target(g, S_IFREG);
		c->b = pick_place(g, false);
		return;
	case OP_RENAME:
		set_move(g, c);
		return;
	case OP_RMDIR: case OP_READDIR:
		c->a = pick_target(g, S_IFDIR);
		return;
	case OP_READLINK:
		c->a = pick_target(g, S_IFLNK);
		return;
	case OP_READ: case OP_WRITE: case OP_APPEND: case OP_TRUNCATE:
	case OP_OPEN:
		c->a = pick_target(g, S_IFREG);
		set_data(g, c);
		return;
	case OP_SETX: case OP_GETX: case OP_RMX: case OP_LISTX:
		c->a = pick_target(g, one_in(&g->rng, 4) ? S_IFDIR : S_IFREG);
		set_xattr(g, c);
		return;
	}
	c->a = pick_target(g, 0);
}

static bool slot_suits(const struct gen *g, const struct slot *s,
		       unsigned int op)
{
	unsigned int acc = s->flags & O_ACCMODE;

	if (op == OP_OPEN)
		return !s->inode;
	if (!s->inode)
		return false;
	switch (op) {
	case OP_PREAD:
		return acc != O_WRONLY;
	case OP_FTRUNC:
		return acc != O_RDONLY;
	case OP_PWRITE:
		return acc != O_RDONLY && !(s->flags & O_APPEND);
	case OP_FAPPEND:
		return acc != O_RDONLY && (s->flags & O_APPEND) &&
		       size_of(&now(g)->in[s->inode]) < OFF_MAX;
	}
	return true;
}

static bool pick_slot(struct gen *g, struct cmd *c)
{
	unsigned int i, k, w;

	for (k = 0; k < 16; k++) {
		w = gen_worker(g);
		i = below(&g->rng, SLOTS);
		if (!slot_suits(g, &now(g)->slot[w][i], c->op))
			continue;
		c->worker = w;
		c->slot = i;
		return true;
	}
	return false;
}

static uint32_t open_flags(struct gen *g)
{
	static const uint32_t flags[] = {
		O_RDONLY, O_RDWR, O_RDWR, O_WRONLY, O_RDWR | O_APPEND,
		O_WRONLY | O_APPEND,
	};

	return flags[below(&g->rng, ARRAY_SIZE(flags))];
}

static bool set_slot_op(struct gen *g, struct cmd *c)
{
	if (!pick_slot(g, c))
		return false;
	set_data(g, c);
	if (c->op == OP_PREAD && one_in(&g->rng, 2)) {
		c->off = 0;
		c->len = DATA_MAX;
	}
	if (c->op == OP_OPEN) {
		c->a = pick_target(g, S_IFREG);
		c->flags = open_flags(g);
	}
	return true;
}

static unsigned int pick_op(struct gen *g)
{
	static unsigned int total;
	unsigned int i, w;

	if (!total)
		for (i = 0; i < OP_COUNT; i++)
			total += weights[i];
	w = below(&g->rng, total);
	for (i = 0; w >= weights[i]; i++)
		w -= weights[i];
	return i;
}

static bool too_big(struct gen *g, const struct cmd *c)
{
	uint16_t in = at(g, &c->a);

	return c->op == OP_APPEND && in && size_of(&now(g)->in[in]) > OFF_MAX;
}

static bool try_one(struct gen *g, struct cmd *c)
{
	unsigned int op = pick_op(g);

	if ((op == OP_CREATE || op == OP_MKDIR || op == OP_SYMLINK) &&
	    crowd(g) > CROWD)
		op = one_in(&g->rng, 3) ? OP_RMDIR : OP_UNLINK;
	if (g->look_only && !op_reads(op))
		return false;
	gen_start(g, c, op, gen_worker(g));
	if (op >= OP_OPEN)
		return set_slot_op(g, c);
	set_path_op(g, c);
	return !too_big(g, c);
}

void gen_one(struct gen *g, struct cmd *c)
{
	memset(g->taken, 0, sizeof(g->taken));
	while (!try_one(g, c))
		;
}

static unsigned int other_worker(struct gen *g, unsigned int than)
{
	unsigned int k, w = than;

	for (k = 0; k < 20 && mount_of(g, w) == mount_of(g, than); k++)
		w = gen_worker(g);
	return w;
}

/* Another descriptor of the same file, to read by. */
static bool find_reader(struct gen *g, unsigned int inode, struct cmd *c)
{
	const struct model *m = now(g);
	unsigned int i, w, s, first = below(&g->rng, g->workers);

	for (i = 0; i < g->workers * SLOTS; i++) {
		w = (first + i / SLOTS) % g->workers;
		s = i % SLOTS;
		if (!gen_usable(g, w) || m->slot[w][s].inode != inode ||
		    !slot_suits(g, &m->slot[w][s], OP_PREAD))
			continue;
		c->worker = w;
		c->slot = s;
		return true;
	}
	return false;
}

static bool look_slot(struct gen *g, struct cmd *c, const struct cmd *of)
{
	gen_start(g, c, OP_PREAD, 0);
	c->len = DATA_MAX;
	return find_reader(g, now(g)->slot[of->worker][of->slot].inode, c);
}

bool gen_look(struct gen *g, struct cmd *c, const struct cmd *of)
{
	static const uint8_t ops[] = {
		OP_LSTAT, OP_LSTAT, OP_READ, OP_READDIR,
	};
	unsigned int op = ops[below(&g->rng, ARRAY_SIZE(ops))];

	if (of->op > OP_OPEN)
		return look_slot(g, c, of);
	if (of->op == OP_APPEND || of->op == OP_WRITE || of->op == OP_TRUNCATE)
		op = OP_READ;
	else if (of->op == OP_SETX && one_in(&g->rng, 2))
		op = OP_GETX;
	gen_start(g, c, op, other_worker(g, of->worker));
	c->a = of->b.n && one_in(&g->rng, 2) ? of->b : of->a;
	c->xname = of->xname;
	if (op == OP_READDIR && c->a.n)
		c->a.n--;
	return true;
}

/* ---- operations at the same time ---- */

/*
 * The kernel's walk through names isn't one act together with what is done at
 * its end. So in a round no name in the middle of a path changes, nor the
 * source of a link, but where the comment of a round says why that can be
 * explained.
 */
struct round {
	struct gen *g;
	struct cmd *c;
	unsigned int n, max;
	uint8_t worker[ROUND];
};

static struct cmd *add(struct round *r, unsigned int op, struct path a)
{
	struct cmd *c = &r->c[r->n];

	gen_start(r->g, c, op, r->worker[r->n++]);
	c->a = a;
	set_attr(r->g, c);
	return c;
}

static bool full(const struct round *r)
{
	return r->n == r->max;
}

/* One name is made by all. */
static bool round_claim(struct round *r)
{
	struct path p = pick_place(r->g, true);
	bool mixed = one_in(&r->g->rng, 3);
	unsigned int op = OP_CREATE;

	while (!full(r)) {
		if (mixed)
			op = OP_CREATE + below(&r->g->rng, 3);
		if (p.n > DIRS_DEPTH)
			op = OP_CREATE;
		add(r, op, p)->flags = op == OP_CREATE ? O_EXCL : 0;
	}
	return true;
}

/* Two names of one directory: made, moved to each other, removed. */
static bool round_names(struct round *r)
{
	static const uint8_t ops[] = {
		OP_CREATE, OP_CREATE, OP_MKDIR, OP_SYMLINK, OP_LINK,
		OP_UNLINK, OP_UNLINK, OP_RMDIR, OP_RENAME, OP_RENAME,
		OP_RENAME, OP_LSTAT,
	};
	struct gen *g = r->g;
	uint16_t dir = pick_dir(g);
	struct path p[2], from;
	struct cmd *c;
	unsigned int op, k;

	p[0] = below_dir(g, dir, pick_name(g, true));
	p[1] = below_dir(g, dir, pick_name(g, true));
	from = pick_entry(g, S_IFREG);
	if (p[0].n > DIRS_DEPTH - 2 || !at(g, &from) ||
	    !memcmp(&from, &p[0], sizeof(from)) ||
	    !memcmp(&from, &p[1], sizeof(from)))
		return false;
	/* nor may the link's source be below what moves */
	for (k = 0; k < 2; k++)
		if (at(g, &p[k]) && (is_dir(&now(g)->in[at(g, &p[k])])))
			from.n = 0;
	while (!full(r)) {
		op = ops[below(&g->rng, ARRAY_SIZE(ops))];
		k = below(&g->rng, 2);
		if (op == OP_LINK && !from.n)
			op = OP_CREATE;
		c = add(r, op, op == OP_LINK ? from : p[k]);
		if (op == OP_LINK)
			c->b = p[k];
		if (op == OP_RENAME) {
			c->b = p[!k];
			c->flags = below(&g->rng, 3);
		}
		if (op == OP_CREATE && one_in(&g->rng, 2))
			c->flags = O_EXCL;
	}
	return true;
}

/* Directories move into each other: never a cycle. */
static bool round_cycle(struct round *r)
{
	struct gen *g = r->g;
	const struct model *m = now(g);
	unsigned int i, k, n = r->max > 2 && one_in(&g->rng, 2) ? 3 : 2;
	unsigned int high = 0;
	uint16_t dir[3];
	struct path p;

	for (i = 0; i < n; i++) {
		dir[i] = pick_dir(g);
		high += depth(m, dir[i]) + height(m, dir[i]) + 2;
		for (k = 0; k < i; k++)
			if (model_above(m, dir[i], dir[k]) ||
			    model_above(m, dir[k], dir[i]))
				return false;
	}
	if (high > DEPTH - 2 || dir[0] == 1)
		return false;
	for (i = 0; i < n; i++) {
		p = path_to(m, dir[i]);
		add(r, OP_RENAME, p)->b =
			below_dir(g, dir[(i + 1) % n], pick_name(g, true));
		r->c[r->n - 1].flags = 0;
	}
	return true;
}

/* A directory goes while something is put into it. */
static bool round_rmdir(struct round *r)
{
	static const uint8_t ops[] = { OP_CREATE, OP_MKDIR, OP_SYMLINK };
	struct gen *g = r->g;
	struct path dir = pick_entry(g, S_IFDIR), p;
	uint16_t in = at(g, &dir);
	unsigned int op;

	if (!in || !is_dir(&now(g)->in[in]) || dir.n >= DIRS_DEPTH)
		return false;
	add(r, OP_RMDIR, dir);
	while (!full(r)) {
		p = dir;
		p.c[p.n++] = pick_name(g, true);
		op = ops[below(&g->rng, ARRAY_SIZE(ops))];
		add(r, op, p)->flags = op == OP_CREATE ? O_EXCL : 0;
	}
	return true;
}

/*
 * A directory moves while something is done in it by its old name: that was
 * before then. With a third operation this wouldn't hold.
 */
static bool round_move_dir(struct round *r)
{
	static const uint8_t ops[] = {
		OP_CREATE, OP_MKDIR, OP_LSTAT, OP_READ, OP_APPEND, OP_SETX,
	};
	struct gen *g = r->g;
	struct path dir = pick_entry(g, S_IFDIR), p = dir;
	uint16_t in = at(g, &dir);
	unsigned int op;
	struct cmd *c;

	if (!in || !is_dir(&now(g)->in[in]) || dir.n >= DIRS_DEPTH - 1)
		return false;
	c = add(r, OP_RENAME, dir);
	c->b = pick_place(g, true);
	if (!move_fits(g, c))
		return false;
	p.c[p.n++] = pick_name(g, true);
	op = ops[below(&g->rng, ARRAY_SIZE(ops))];
	c = add(r, op, p);
	if (op == OP_APPEND)
		c->len = 1 + below(&g->rng, 500);
	return op != OP_APPEND || !too_big(g, c);
}

/* Data of one file: each change is whole, records at the end aren't lost. */
static bool round_data(struct round *r)
{
	static const uint8_t ops[] = {
		OP_APPEND, OP_APPEND, OP_WRITE, OP_WRITE, OP_TRUNCATE, OP_READ,
	};
	struct gen *g = r->g;
	struct path p = pick_entry(g, S_IFREG);
	bool append = one_in(&g->rng, 2);
	uint16_t in = at(g, &p);
	struct cmd *c;
	unsigned int op;

	if (!in || !is_reg(&now(g)->in[in]) ||
	    size_of(&now(g)->in[in]) > OFF_MAX)
		return false;
	while (!full(r)) {
		op = append ? OP_APPEND : ops[below(&g->rng, ARRAY_SIZE(ops))];
		c = add(r, op, p);
		set_data(g, c);
	}
	return true;
}

/* The same through descriptors that have been open for long. */
static bool round_slots(struct round *r)
{
	struct gen *g = r->g;
	const struct model *m = now(g);
	unsigned int w, s, i;
	uint16_t in = 0;
	struct cmd *c, look;

	for (i = 0; i < 20 && !in; i++) {
		w = r->worker[0];
		in = m->slot[w][below(&g->rng, SLOTS)].inode;
	}
	if (!in || size_of(&m->in[in]) > OFF_MAX || !find_reader(g, in, &look))
		return false;
	for (w = 0; w < g->workers && !full(r); w++) {
		for (s = 0; s < SLOTS && m->slot[w][s].inode != in; s++)
			;
		if (s == SLOTS || !gen_usable(g, w))
			continue;
		r->worker[r->n] = w;
		c = add(r, OP_FSTAT, (struct path){ 0 });
		c->slot = s;
		c->op = slot_suits(g, &m->slot[w][s], OP_FAPPEND) ? OP_FAPPEND :
			slot_suits(g, &m->slot[w][s], OP_PWRITE) ? OP_PWRITE :
			OP_PREAD;
		set_data(g, c);
	}
	return r->n > 1;
}

/* Attributes of one file. */
static bool round_attr(struct round *r)
{
	static const uint8_t ops[] = {
		OP_CHMOD, OP_CHOWN, OP_SETX, OP_SETX, OP_RMX,
		OP_CHMOD, OP_GETX,
	};
	struct gen *g = r->g;
	struct path p = pick_entry(g, one_in(&g->rng, 4) ? S_IFDIR : S_IFREG);
	struct cmd *c;

	while (!full(r)) {
		c = add(r, ops[below(&g->rng, ARRAY_SIZE(ops))], p);
		if (c->op == OP_SETX || c->op == OP_RMX || c->op == OP_GETX)
			set_xattr(g, c);
	}
	return true;
}

/* A name goes, or gets another file, while it is opened. */
static bool round_open(struct round *r)
{
	struct gen *g = r->g;
	const struct model *m = now(g);
	struct path p = pick_entry(g, S_IFREG), q;
	struct cmd *c;
	unsigned int s;

	if (one_in(&g->rng, 2)) {
		add(r, OP_UNLINK, p);
	} else {
		q = pick_entry(g, S_IFREG);
		if (q.n != p.n || memcmp(q.c, p.c, p.n - 1))
			return false;
		add(r, OP_RENAME, q)->b = p;
		r->c[0].flags = 0;
	}
	while (!full(r)) {
		for (s = 0; s < SLOTS && m->slot[r->worker[r->n]][s].inode; s++)
			;
		if (s == SLOTS)
			break;
		c = add(r, OP_OPEN, p);
		c->slot = s;
		c->flags = open_flags(g);
	}
	return r->n > 1;
}

/* Workers of different mounts first. */
static void pick_workers(struct round *r)
{
	struct gen *g = r->g;
	unsigned int i, k, n = 0, first = below(&g->rng, g->workers);

	for (i = 0; i < g->workers && n < r->max; i++) {
		k = (first + i) % g->workers;
		if (gen_usable(g, k))
			r->worker[n++] = k;
	}
	r->max = n;
}

unsigned int gen_round(struct gen *g, struct cmd *c)
{
	static bool (*const rounds[])(struct round *r) = {
		round_claim, round_names, round_names, round_names, round_cycle,
		round_cycle, round_rmdir, round_move_dir, round_data,
		round_data, round_slots, round_attr, round_open,
	};
	struct round r;
	unsigned int k;

	if (crowd(g) > CROWD + 40 || g->no_rounds)
		return 0;
	for (k = 0; k < 20; k++) {
		memset(g->taken, 0, sizeof(g->taken));
		r = (struct round){ .g = g, .c = c };
		r.max = 2 + below(&g->rng, ROUND - 1);
		pick_workers(&r);
		if (r.max > 1 && rounds[below(&g->rng, ARRAY_SIZE(rounds))](&r))
			return r.n;
	}
	return 0;
}
