// SPDX-License-Identifier: GPL-2.0-only
/* opsnodes: which orders of operations explain what was answered. */
#include "opsnodes_run.h"

#define WHYS		8

/* What a deed's names were before, in the first state; 0: absent. */
struct seen {
	uint64_t ino[2];
	uint32_t mode[2];
};

/*
 * What a deed looks at or changes, as bits: names, inodes at the end of its
 * paths, and directories in which it changes names.
 */
struct touched {
	uint64_t names[INODES * NAMES / 64], ends[INODES / 64], dirs[INODES / 64];
};

struct search {
	const struct deed *d;
	uint32_t doubts;	/* bits: those that these deeds may meet */
	uint32_t meets[DOUBTS];	/* and each other */
	uint32_t must;		/* bits: those that have been done */
	struct seen seen[ROUND];
	unsigned int n, nnew, nwhy;
	struct model *new[CANDS];
	char why[WHYS][600];	/* of the first states that were possible */
};

static void look_back(struct seen *s, unsigned int k, const struct path *p)
{
	uint16_t in;

	if (!p->n || model_find(cand[0], p, &in))
		return;
	s->mode[k] = cand[0]->in[in].mode;
	s->ino[k] = cand[0]->in[in].ino;
}

static void print_seen(const struct seen *s, const struct cmd *c)
{
	const struct path *p[] = { &c->a, &c->b };
	char buf[8192];
	unsigned int k;

	for (k = 0; k < 2; k++)
		if (p[k]->n)
			fprintf(stderr, "    before: '%s' mode %o, inode %llu\n",
				path_text(p[k], buf), s->mode[k],
				(unsigned long long)s->ino[k]);
}

static void contradicted(struct search *s, unsigned int state)
{
	if (state < WHYS && s->nwhy == state)
		strcpy(s->why[s->nwhy++], why);
}

static void keep(struct search *s, struct model *m)
{
	unsigned int i;

	for (i = 0; i < s->nnew; i++)
		if (model_equal(s->new[i], m))
			break;
	if (i < s->nnew)
		model_free(m);
	else if (s->nnew == CANDS)
		die("opsnodes: more than %u states are possible", CANDS);
	else
		s->new[s->nnew++] = m;
}

/* ---- doubts: those that meet a deed may be done before it ---- */

static void touch(uint64_t *bits, unsigned int n)
{
	bits[n / 64] |= 1ULL << n % 64;
}

static void touch_path(struct touched *t, const struct model *m,
		       const struct path *path, bool changes)
{
	struct path p = *path;
	uint16_t dir = 1, in;

	for (p.n = 1; p.n <= path->n; p.n++, dir = in) {
		touch(t->names, dir * NAMES + p.c[p.n - 1]);
		if (changes && p.n == path->n)
			touch(t->dirs, dir);
		if (model_find(m, &p, &in))
			return;
	}
	touch(t->ends, dir);
}

static bool changes_names(unsigned int op)
{
	return op <= OP_RENAME;
}

static void touched_by(struct touched *t, const struct deed *d)
{
	const struct cmd *c = &d->cmd;
	unsigned int k;

	memset(t, 0, sizeof(*t));
	touch(t->ends, c->newino);
	touch(t->ends, d->file);
	for (k = 0; k < 2; k++)
		if (d->dir[k] && changes_names(c->op))
			touch(t->dirs, d->dir[k]);
	for (k = 0; k < gen.ncand; k++) {
		if (c->op > OP_OPEN) {
			touch(t->ends, cand[k]->slot[c->worker][c->slot].inode);
			continue;
		}
		touch_path(t, cand[k], &c->a, changes_names(c->op));
		if (c->b.n)
			touch_path(t, cand[k], &c->b, true);
	}
	t->ends[0] &= ~1ULL;
}

static bool both(const uint64_t *a, const uint64_t *b, unsigned int n)
{
	unsigned int k;

	for (k = 0; k < n && !(a[k] & b[k]); k++)
		;
	return k < n;
}

static bool meet(const struct touched *a, const struct touched *b)
{
	const unsigned int n = ARRAY_SIZE(a->ends);

	return both(a->names, b->names, ARRAY_SIZE(a->names)) ||
	       both(a->ends, b->ends, n) || both(a->ends, b->dirs, n) ||
	       both(a->dirs, b->ends, n);
}

/* The doubts that meet one of these deeds, or such a doubt. */
static void find_doubts(struct search *s)
{
	static struct touched t[DOUBTS], of;
	uint32_t before;
	unsigned int k, j;

	for (j = 0; j < DOUBTS; j++) {
		if (!doubts[j].used)
			continue;
		touched_by(&t[j], &doubts[j].deed);
		for (k = 0; k < j; k++) {
			if (!doubts[k].used || !meet(&t[j], &t[k]))
				continue;
			s->meets[j] |= 1u << k;
			s->meets[k] |= 1u << j;
		}
		for (k = 0; k < s->n; k++) {
			touched_by(&of, &s->d[k]);
			if (meet(&t[j], &of))
				s->doubts |= 1u << j;
		}
	}
	do {
		before = s->doubts;
		for (j = 0; j < DOUBTS; j++)
			if (before & 1u << j)
				s->doubts |= s->meets[j];
	} while (s->doubts != before);
}

static void orders(struct search *s, struct model *m, uint32_t left,
		   unsigned int last, unsigned int state);

/* Of two in a row that don't meet the order is all the same. */
static void try_doubts(struct search *s, const struct model *m, uint32_t left,
		       unsigned int last, unsigned int state)
{
	struct model *next;
	unsigned int j, bound;

	for (j = 0; j < DOUBTS; j++) {
		if (!(m->undone & s->doubts & 1u << j) ||
		    (last > j && last < DOUBTS && !(s->meets[j] & 1u << last)))
			continue;
		for (bound = 0; bound < 2; bound++) {
			next = model_clone(m);
			if (doubt_do(next, j, bound))
				orders(s, next, left, j, state);
			else
				model_free(next);
		}
	}
}

/*
 * Every order of those that are left; takes @m. @last: the doubt just before,
 * @state: the number of the state that this began with.
 */
static void orders(struct search *s, struct model *m, uint32_t left,
		   unsigned int last, unsigned int state)
{
	struct model *next;
	unsigned int i;

	for (i = 0; i < s->n; i++) {
		if (!(left & 1u << i))
			continue;
		next = model_clone(m);
		if (model_apply(next, &s->d[i])) {
			orders(s, next, left & ~(1u << i), DOUBTS, state);
			continue;
		}
		contradicted(s, state);
		model_free(next);
	}
	if (left || !s->n)
		try_doubts(s, m, left, last, state);
	if (left || m->undone & s->must)
		model_free(m);
	else
		keep(s, m);
}

__attribute__((noreturn))
static void fail_deeds(const struct search *s)
{
	unsigned int i;

	failed_head();
	if (s->n == 1)
		fprintf(stderr, "%s\n", s->why[0]);
	else
		fprintf(stderr, "no order of %u operations at the same time explains their results (%s)\n",
			s->n, s->why[0]);
	for (i = 1; i < s->nwhy; i++)
		fprintf(stderr, "  or, had others been first: %s\n", s->why[i]);
	for (i = 0; i < s->n; i++) {
		print_cmd(&s->d[i].cmd);
		fprintf(stderr, ": %s, value %lld, inode %llu\n",
			s->d[i].res.err ? strerrorname_np(s->d[i].res.err) :
					  "ok",
			(long long)s->d[i].res.value,
			(unsigned long long)s->d[i].res.ino);
		print_seen(&s->seen[i], &s->d[i].cmd);
	}
	for (i = 0; i < DOUBTS; i++) {
		if (!doubts[i].used)
			continue;
		fprintf(stderr, " in doubt%s:\n",
			doubts[i].open ? ", as it isn't answered" : "");
		print_cmd(&doubts[i].deed.cmd);
		fprintf(stderr, ": %s\n",
			strerrorname_np(doubts[i].deed.res.err));
	}
	print_history(&s->d[0].cmd);
	exit(1);
}

/* What no state has undone isn't in doubt any more. */
static void drop_done(void)
{
	uint32_t undone = 0;
	unsigned int k, j;

	for (k = 0; k < gen.ncand; k++)
		undone |= cand[k]->undone;
	for (j = 0; j < DOUBTS; j++)
		if (doubts[j].used && !doubts[j].open && !(undone & 1u << j))
			doubt_drop(j);
}

static bool replace_states(struct search *s)
{
	unsigned int k;

	for (k = 0; k < gen.ncand; k++)
		orders(s, cand[k], (1u << s->n) - 1, DOUBTS, k);
	if (!s->nnew)
		return false;
	memcpy(cand, s->new, sizeof(cand));
	gen.ncand = s->nnew;
	drop_done();
	return true;
}

void explain(const struct deed *d, unsigned int n)
{
	struct search s = { .d = d, .n = n };
	unsigned int k;

	if (!n)
		return;
	for (k = 0; k < n; k++) {
		look_back(&s.seen[k], 0, &d[k].cmd.a);
		look_back(&s.seen[k], 1, &d[k].cmd.b);
	}
	find_doubts(&s);
	if (!replace_states(&s))
		fail_deeds(&s);
}

bool explain_doubts(uint32_t done)
{
	struct search s = { .must = done };

	find_doubts(&s);
	s.doubts = ~0;
	return replace_states(&s);
}
