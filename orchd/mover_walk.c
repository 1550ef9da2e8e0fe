// SPDX-License-Identifier: Apache-2.0
/*
 * The files of a job, in the order of the directories' cookies. The tree may
 * change meanwhile: a directory that is moved may be met twice or not at all,
 * which the next walk makes good.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "mover.h"

void walk_restart(struct mover_walk *w)
{
	w->depth = 0;
	w->pos = w->nr = 0;
	w->begun = false;
	w->after = w->rows = w->cost = 0;
}

void walk_free(struct mover_walk *w)
{
	free(w->stack);
	free(w->ahead);
	*w = (struct mover_walk){ 0 };
}

int walk_room(struct mover_walk *w)
{
	if (!w->ahead)
		w->ahead = malloc(MOVER_AHEAD * sizeof(*w->ahead));
	return w->ahead ? 0 : -ENOMEM;
}

static int push(struct mover_walk *w, uint64_t dir)
{
	if (w->depth == w->max) {
		size_t max = w->max * 2 + 16;
		void *p = realloc(w->stack, max * sizeof(*w->stack));

		if (!p)
			return -ENOMEM;
		w->stack = p;
		w->max = max;
	}
	w->stack[w->depth++] = (struct mover_place){ .dir = dir };
	w->pos = w->nr = 0;
	return 0;
}

static int begin(struct mover_job *j, struct ns_move_entry *out)
{
	int rc = ns_move_stat(j->sv->ns, j->rec.ino, out);

	j->walk.begun = true;
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	if (S_ISDIR(out->mode))
		return push(&j->walk, j->rec.ino);
	return S_ISREG(out->mode) ? 1 : 0;
}

static int read_ahead(struct mover_job *j, unsigned int *budget)
{
	struct mover_walk *w = &j->walk;
	struct mover_place *p = &w->stack[w->depth - 1];
	size_t max = *budget < MOVER_AHEAD ? *budget : MOVER_AHEAD;
	int n;

	if (w->pos < w->nr)
		return 0;
	n = walk_room(w);
	if (n)
		return n;
	w->pos = w->nr = 0;
	n = ns_move_list(j->sv->ns, p->dir, p->cookie, w->ahead, max);
	if (n <= 0) {
		w->depth--;
		return n;
	}
	w->nr = (size_t)n;
	*budget -= (unsigned int)n;
	return 0;
}

/* The next file or directory of what follows in the topmost one. */
static int step(struct mover_job *j, unsigned int *budget,
		struct ns_move_entry *out)
{
	struct mover_walk *w = &j->walk;
	int rc = read_ahead(j, budget);

	while (!rc && w->pos < w->nr) {
		const struct ns_move_entry *e = &w->ahead[w->pos++];

		w->stack[w->depth - 1].cookie = e->cookie;
		if (S_ISDIR(e->mode))
			return push(w, e->ino);
		if (S_ISREG(e->mode)) {
			*out = *e;
			return 1;
		}
	}
	return rc;
}

int walk_next(struct mover_job *j, unsigned int *budget,
	      struct ns_move_entry *out)
{
	int rc = 0;

	if (j->rec.drain)
		return drain_next(j, budget, out);
	if (!j->walk.begun)
		rc = begin(j, out);
	while (!rc && j->walk.depth) {
		if (!*budget)
			return -EAGAIN;
		rc = step(j, budget, out);
	}
	return rc;
}
