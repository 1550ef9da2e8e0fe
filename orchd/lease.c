// SPDX-License-Identifier: Apache-2.0
/*
 * Rows are a hash set of inode numbers for each node; a row stays when its
 * inode is invalidated, as the kernel may still have it in memory, and is then
 * not cached. Invalidations are found by inode, with the answers that wait. So
 * are echoes: changes that their own node may not know of yet, as the answer to
 * it is to be given, or on its way. A message to it that is acknowledged tells
 * that all before it has arrived.
 */
#include "lease.h"

#include <errno.h>
#include <stdlib.h>

#define BUCKETS		1024U
#define ROWS_FIRST	1024U
#define CACHED		(1ULL << 63)
#define INO(row)	((row) & ~CACHED)

struct stale {
	struct stale *next;		/* of the node, in order */
	struct stale *chain, **at;	/* of the bucket */
	struct node *node;
	struct op_stale what;
	uint64_t seq;			/* 0: to be sent */
	uint64_t since;
	struct lease_ref *refs;
	/* of an echo: */
	bool echo;
	struct lease_wait *answer;	/* NULL: it was given, or dropped */
	struct stale *same;		/* of that answer */
	uint64_t after;			/* number of the message after it */
};

/* An answer and what it waits for. */
struct lease_ref {
	struct lease_ref *next, **at;	/* of the stale one */
	struct lease_ref *more;		/* of the answer */
	struct stale *stale;		/* NULL: it has ended */
	struct lease_wait *wait;
};

struct node {
	struct node *next;
	struct lease *lease;
	uint32_t number;
	bool up;
	bool awaited;			/* of an earlier run */
	bool unsure;			/* rows were dropped */
	uint64_t deadline;
	uint64_t *rows;			/* 0: none */
	size_t size, nr;
	struct stale *stale, **tail, *unsent;
	size_t nr_stale;
	struct stale *echo;		/* any order */
	size_t nr_echo;
	bool fence;			/* what has arrived is to be asked */
	struct stale all;		/* the one of the whole namespace */
	bool all_used;
	unsigned int asked;
};

struct lease {
	const struct lease_ops *ops;
	void *ctx;
	struct node *nodes;
	struct node own;		/* number 0; has echoes, and may be lost */
	struct stale *fresh;		/* echoes whose answer isn't known */
	uint64_t now;			/* of the last lease_now(); 0: none */
	uint64_t next_seq;		/* of a message to any node */
	struct stale *buckets[BUCKETS];
};

static size_t hash(uint64_t ino)
{
	return (size_t)((ino * 0x9e3779b97f4a7c15ULL) >> 24);
}

struct lease *lease_new(const struct lease_ops *ops, void *ctx)
{
	struct lease *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->ops = ops;
	l->ctx = ctx;
	l->own.lease = l;
	l->next_seq = 1;
	l->own.tail = &l->own.stale;
	return l;
}

bool lease_none(const struct lease *l)
{
	return !l || !l->nodes;
}

static struct node *node_find(const struct lease *l, uint32_t number)
{
	struct node *n = l ? l->nodes : NULL;

	while (n && n->number != number)
		n = n->next;
	return n;
}

static struct node *node_get(struct lease *l, uint32_t number)
{
	struct node *n = node_find(l, number);

	if (n)
		return n;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->lease = l;
	n->number = number;
	n->tail = &n->stale;
	n->next = l->nodes;
	l->nodes = n;
	return n;
}

/* --- rows --- */

/* Where it is, or would be. */
static uint64_t *row_at(const struct node *n, uint64_t ino)
{
	size_t i = hash(ino) & (n->size - 1);

	while (n->rows[i] && INO(n->rows[i]) != ino)
		i = (i + 1) & (n->size - 1);
	return &n->rows[i];
}

static uint64_t *row_find(const struct node *n, uint64_t ino)
{
	uint64_t *row = n->size ? row_at(n, ino) : NULL;

	return row && *row ? row : NULL;
}

static void rows_clear(struct node *n)
{
	free(n->rows);
	n->rows = NULL;
	n->size = n->nr = 0;
}

static int rows_grow(struct node *n)
{
	struct node old = *n;

	if (old.nr >= LEASE_ROWS_MAX)
		return -ENOSPC;
	if (old.nr * 4 < old.size * 3)
		return 0;
	n->size = old.size ? old.size * 2 : ROWS_FIRST;
	n->rows = calloc(n->size, sizeof(*n->rows));
	if (!n->rows) {
		*n = old;
		return -ENOMEM;
	}
	for (size_t i = 0; i < old.size; i++) {
		if (old.rows[i])
			*row_at(n, INO(old.rows[i])) = old.rows[i];
	}
	free(old.rows);
	return 0;
}

/* Those behind it move up, as far as they may. */
static void row_del(struct node *n, uint64_t *row)
{
	size_t mask = n->size - 1, hole = (size_t)(row - n->rows), i = hole;

	for (;;) {
		i = (i + 1) & mask;
		if (!n->rows[i])
			break;
		if (((i - hash(INO(n->rows[i]))) & mask) < ((i - hole) & mask))
			continue;
		n->rows[hole] = n->rows[i];
		hole = i;
	}
	n->rows[hole] = 0;
	n->nr--;
}

/* --- invalidations --- */

static void ref_unlink(struct lease_ref *r)
{
	*r->at = r->next;
	if (r->next)
		r->next->at = r->at;
	r->stale = NULL;
}

static void refs_free(struct lease_wait *w)
{
	struct lease_ref *r;

	while ((r = w->refs)) {
		w->refs = r->more;
		if (r->stale)
			ref_unlink(r);
		free(r);
	}
	w->nr = 0;
}

static void bucket_put(struct lease *l, struct stale *s)
{
	struct stale **b = &l->buckets[hash(s->what.ino) % BUCKETS];

	s->chain = *b;
	s->at = b;
	if (*b)
		(*b)->at = &s->chain;
	*b = s;
}

/* Who waited for it may go on. */
static void bucket_del(struct lease *l, struct stale *s)
{
	struct lease_ref *r;

	*s->at = s->chain;
	if (s->chain)
		s->chain->at = s->at;
	while ((r = s->refs)) {
		struct lease_wait *w = r->wait;

		ref_unlink(r);
		if (--w->nr)
			continue;
		refs_free(w);
		l->ops->ready(l->ctx, w);
	}
}

/* It is acknowledged, or needn't be. */
static void stale_end(struct lease *l, struct stale *s)
{
	bucket_del(l, s);
	s->node->nr_stale--;
	if (s == &s->node->all)
		s->node->all_used = false;
	else
		free(s);
}

/* Out of the node's list. */
static void stale_pop(struct lease *l, struct node *n, struct stale **pp)
{
	struct stale *s = *pp;

	*pp = s->next;
	if (!*pp)
		n->tail = pp;
	if (n->unsent == s)
		n->unsent = s->next;
	stale_end(l, s);
}

static void stale_put(struct lease *l, struct node *n, struct stale *s)
{
	s->node = n;
	bucket_put(l, s);
	*n->tail = s;
	n->tail = &s->next;
	n->nr_stale++;
	if (!n->unsent)
		n->unsent = s;
}

/* Nothing was sent: what is acknowledged from now on are later messages. */
static void resend(struct node *n)
{
	for (struct stale *s = n->stale; s; s = s->next)
		s->seq = 0;
	n->unsent = n->stale;
}

/*
 * A node is told to believe nothing: it knows too much, or there is no memory
 * to tell it what. Who knows then what it has in memory.
 */
static void stale_all(struct lease *l, struct node *n, uint64_t now)
{
	rows_clear(n);
	n->unsure = true;
	if (n->all_used) {
		if (n->all.seq)
			resend(n);
		return;
	}
	n->all_used = true;
	n->all = (struct stale){ .since = now };
	stale_put(l, n, &n->all);
}

static void stale_add(struct lease *l, struct node *n,
		      const struct op_stale *what, uint64_t now)
{
	struct stale *s = calloc(1, sizeof(*s));

	if (!s) {
		stale_all(l, n, now);
		return;
	}
	s->what = *what;
	s->since = now;
	stale_put(l, n, s);
}

/* --- echoes --- */

#define LOST	UINT64_MAX	/* of .after: the link was lost */

static void echo_del(struct stale **list, struct stale *s)
{
	while (*list != s)
		list = &(*list)->same;
	*list = s->same;
}

/* The one at *@pp of its node's list. */
static void echo_end(struct stale **pp)
{
	struct stale *s = *pp;
	struct node *n = s->node;

	*pp = s->next;
	n->nr_echo--;
	if (s->answer)
		echo_del(&s->answer->echo, s);
	else if (!s->after)
		echo_del(&n->lease->fresh, s);
	bucket_del(n->lease, s);
	free(s);
}

/* Those whose answer has arrived with message @seq. */
static void echoes_arrived(struct node *n, uint64_t seq)
{
	struct stale **pp = &n->echo;

	while (*pp) {
		if ((*pp)->after && (*pp)->after <= seq)
			echo_end(pp);
		else
			pp = &(*pp)->next;
	}
}

/* Without memory the gap is as long as the answer's way. */
void lease_echo(struct lease *l, uint32_t origin, uint64_t ino)
{
	struct node *n = origin ? node_find(l, origin) : &l->own;
	struct stale *s = n ? calloc(1, sizeof(*s)) : NULL;

	if (!s)
		return;
	s->echo = true;
	s->what.ino = ino;
	s->node = n;
	s->next = n->echo;
	n->echo = s;
	n->nr_echo++;
	s->same = l->fresh;
	l->fresh = s;
	bucket_put(l, s);
}

void lease_answer(struct lease *l, struct lease_wait *w)
{
	w->echo = l->fresh;
	l->fresh = NULL;
	for (struct stale *s = w->echo; s; s = s->same)
		s->answer = w;
}

/* Its node gets the answer before that message, or has attached since. */
static void answer_gone(struct lease_wait *w, bool given)
{
	struct stale *s;

	while ((s = w->echo)) {
		struct node *n = s->node;

		w->echo = s->same;
		s->answer = NULL;
		s->same = NULL;
		s->after = given || n->up ? n->lease->next_seq : LOST;
		n->fence |= s->refs || n->nr_echo > LEASE_ECHO_MAX;
		if (n == &n->lease->own)
			echoes_arrived(n, LOST);
	}
}

void lease_sent(struct lease_wait *w)
{
	answer_gone(w, true);
}

/* --- sessions --- */

static void node_drop(struct lease *l, struct node *n)
{
	while (n->stale)
		stale_pop(l, n, &n->stale);
	while (n->echo)
		echo_end(&n->echo);
	rows_clear(n);
	n->asked = 0;
	n->up = n->awaited = n->unsure = n->fence = false;
}

static void node_free(struct lease *l, struct node *n)
{
	struct node **pp = &l->nodes;

	while (*pp != n)
		pp = &(*pp)->next;
	*pp = n->next;
	node_drop(l, n);
	free(n);
}

void lease_free(struct lease *l)
{
	if (!l)
		return;
	while (l->nodes)
		node_free(l, l->nodes);
	node_drop(l, &l->own);
	free(l);
}

int lease_await(struct lease *l, uint32_t node, uint64_t deadline)
{
	struct node *n = node_get(l, node);

	if (!n)
		return -ENOMEM;
	n->awaited = true;
	n->deadline = deadline;
	stale_all(l, n, 0);
	return 0;
}

int lease_attach(struct lease *l, uint32_t node, bool same, uint64_t deadline)
{
	struct node *n = node_get(l, node);

	if (!n)
		return -ENOMEM;
	if (!same)
		node_drop(l, n);
	n->awaited = n->unsure = false;
	n->deadline = deadline;
	return 0;
}

void lease_up(struct lease *l, uint32_t node, uint64_t deadline)
{
	struct node *n = node_find(l, node);

	if (!n)
		return;
	n->up = true;
	n->deadline = deadline;
	/* its kernel believes nothing of before when it hears of that */
	for (struct stale *s = n->echo; s; s = s->next) {
		if (s->after == LOST)
			s->after = l->next_seq;
		n->fence |= s->after != 0;
	}
}

void lease_down(struct lease *l, uint32_t node)
{
	struct node *n = node_find(l, node);

	if (!n)
		return;
	n->up = false;
	n->asked = 0;
	resend(n);
	for (struct stale *s = n->echo; s; s = s->next)
		if (s->after)
			s->after = LOST;
}

void lease_own_lost(struct lease *l)
{
	if (l && !l->own.all_used)
		stale_all(l, &l->own, 0);
}

void lease_own_back(struct lease *l)
{
	if (l && l->own.all_used)
		stale_pop(l, &l->own, &l->own.stale);
}

int lease_renew(struct lease *l, uint32_t node, uint64_t since,
		uint64_t deadline)
{
	struct node *n = node_find(l, node);

	if (!n || !n->up)
		return -ENOENT;
	if (n->stale && n->stale->since < since)
		return -EBUSY;
	if (n->deadline < deadline)
		n->deadline = deadline;
	return 0;
}

bool lease_awaits(const struct lease *l)
{
	const struct node *n;

	for (n = l ? l->nodes : NULL; n; n = n->next)
		if (n->awaited)
			return true;
	return false;
}

void lease_leave(struct lease *l, uint32_t node)
{
	struct node *n = node_find(l, node);

	if (n)
		node_free(l, n);
}

void lease_end(struct lease *l, uint32_t node)
{
	struct node *n = node_find(l, node);

	if (!n)
		return;
	node_free(l, n);
	l->ops->ended(l->ctx, node);
}

void lease_now(struct lease *l, uint64_t now)
{
	const uint64_t last = l->now;

	l->now = now;
	if (!last || now <= last + LEASE_PAUSE_MS)
		return;
	for (struct node *n = l->nodes; n; n = n->next)
		n->deadline += now - last;
}

void lease_tick(struct lease *l, uint64_t now)
{
	struct node *n = l ? l->nodes : NULL;

	if (l)
		lease_now(l, now);
	while (n) {
		struct node *next = n->next;

		n->fence |= n->echo != NULL;
		if (now >= n->deadline)
			lease_end(l, n->number);
		n = next;
	}
	lease_flush(l);
}

/* --- what they know --- */

void lease_told(struct lease *l, uint32_t node, uint64_t ino)
{
	struct node *n = node_find(l, node);
	uint64_t *row;

	if (!n || !ino || ino & CACHED)
		return;
	row = row_find(n, ino);
	if (row) {
		*row |= CACHED;
		return;
	}
	if (rows_grow(n)) {
		stale_all(l, n, l->now);
		if (rows_grow(n))
			return;
	}
	*row_at(n, ino) = ino | CACHED;
	n->nr++;
}

void lease_forgot(struct lease *l, uint32_t node, uint64_t ino)
{
	struct node *n = node_find(l, node);
	uint64_t *row = n ? row_find(n, ino) : NULL;

	if (row)
		row_del(n, row);
}

size_t lease_holders(const struct lease *l, uint64_t ino, uint32_t *nodes,
		     size_t max)
{
	size_t nr = 0;

	for (const struct node *n = l ? l->nodes : NULL; n && nr < max;
	     n = n->next) {
		if (!n->awaited && (n->unsure || row_find(n, ino)))
			nodes[nr++] = n->number;
	}
	return nr;
}

void lease_tell(struct lease *l, uint32_t node, uint64_t ino,
		const struct orchfs_attr *attr, uint64_t now)
{
	const struct op_stale what = {
		.ino = ino, .has_attr = true, .attr = *attr,
	};
	struct node *n = node_find(l, node);

	if (n)
		stale_add(l, n, &what, now);
}

void lease_changed(struct lease *l, uint32_t origin, uint64_t ino,
		   const struct orchfs_attr *attr, uint64_t now)
{
	struct op_stale what = { .ino = ino, .has_attr = attr };

	if (attr)
		what.attr = *attr;
	for (struct node *n = l ? l->nodes : NULL; n; n = n->next) {
		uint64_t *row;

		if (n->number == origin || n->awaited)
			continue;
		row = row_find(n, ino);
		if (!(row && (*row & CACHED || attr)) && !(attr && n->unsure))
			continue;
		if (row)
			*row = INO(*row);
		stale_add(l, n, &what, now);
	}
}

/* Return: -errno when its link goes down. */
static int send_batch(struct lease *l, struct node *n)
{
	struct op_stale what[LEASE_BATCH];
	struct stale *s = n->unsent;
	size_t nr = 0;

	for (; s && nr < LEASE_BATCH; s = s->next) {
		s->seq = l->next_seq;
		what[nr++] = s->what;
	}
	n->unsent = s;
	n->fence = false;
	n->asked++;
	return l->ops->send(l->ctx, n->number, l->next_seq++, what, nr);
}

void lease_flush(struct lease *l)
{
	for (struct node *n = l ? l->nodes : NULL; n; n = n->next) {
		while (n->up && (n->unsent || n->fence) &&
		       n->asked < LEASE_ASKED_MAX) {
			if (send_batch(l, n))
				lease_down(l, n->number);
		}
	}
}

void lease_acked(struct lease *l, uint32_t node, uint64_t seq)
{
	struct node *n = node_find(l, node);
	struct stale **pp;

	if (!n)
		return;
	if (n->asked)
		n->asked--;
	for (pp = &n->stale; *pp && *pp != n->unsent; ) {
		if ((*pp)->seq == seq)
			stale_pop(l, n, pp);
		else
			pp = &(*pp)->next;
	}
	echoes_arrived(n, seq);
}

static int wait_add(struct lease_wait *w, struct stale *s)
{
	struct lease_ref *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->wait = w;
	r->stale = s;
	r->next = s->refs;
	r->at = &s->refs;
	if (s->refs)
		s->refs->at = &r->next;
	s->refs = r;
	r->more = w->refs;
	w->refs = r;
	w->nr++;
	return 0;
}

/*
 * What was sent to @origin itself comes there before the answer, and what it
 * has changed itself its tasks are about to hear anyway.
 */
static bool needs_no_wait(const struct stale *s, uint32_t origin)
{
	return s->node->number == origin && (s->echo || s->seq);
}

static int wait_bucket(struct lease *l, struct lease_wait *w, uint32_t origin,
		       uint64_t ino)
{
	int rc = 0;

	for (struct stale *s = l->buckets[hash(ino) % BUCKETS]; s && !rc;
	     s = s->chain) {
		if (s->what.ino != ino || needs_no_wait(s, origin) ||
		    (s->refs && s->refs->wait == w))
			continue;
		rc = wait_add(w, s);
		s->node->fence |= s->echo && s->after;
	}
	return rc;
}

int lease_wait_for(struct lease *l, struct lease_wait *w, uint32_t origin,
		   uint64_t ino)
{
	int rc = 0;

	if (lease_none(l))
		return 0;
	if (ino)
		rc = wait_bucket(l, w, origin, ino);
	return rc ? rc : wait_bucket(l, w, origin, 0);
}

void lease_wait_drop(struct lease_wait *w)
{
	refs_free(w);
	answer_gone(w, false);
}

int lease_info(const struct lease *l, uint32_t node, struct lease_info *out)
{
	const struct node *n = node_find(l, node);

	if (!n)
		return -ENOENT;
	*out = (struct lease_info){
		.up = n->up, .awaited = n->awaited, .deadline = n->deadline, .rows = n->nr,
		.stale = n->nr_stale,
	};
	return 0;
}
