// SPDX-License-Identifier: Apache-2.0
#include "placement.h"

#define MARGIN_MAX	(64ULL << 20)

/* Files that were placed a moment ago have yet to grow. */
static uint64_t margin(const struct placement *p)
{
	return p->size / 64 < MARGIN_MAX ? p->size / 64 : MARGIN_MAX;
}

static uint64_t above_reserve(const struct placement *p)
{
	return p->free > p->reserve ? p->free - p->reserve : 0;
}

enum placement_room placement_room(const struct placement *p)
{
	if (p->reserve && p->free <= p->reserve)
		return PLACEMENT_FULL;
	return p->inodes && above_reserve(p) > margin(p) ? PLACEMENT_ROOM :
							   PLACEMENT_TIGHT;
}

/* Negative: a is better. */
static int compare(const struct placement *a, const struct placement *b)
{
	enum placement_room x = placement_room(a), y = placement_room(b);

	if (x != y)
		return x < y ? -1 : 1;
	if (a->distance != b->distance)
		return a->distance < b->distance ? -1 : 1;
	if (a->tier != b->tier)
		return a->tier < b->tier ? -1 : 1;
	return 0;
}

bool placement_same_rank(const struct placement *a,
			 const struct placement *b)
{
	return !compare(a, b);
}

static bool candidate(const struct placement *p, bool ready)
{
	return p->usable && (p->ready || !ready) &&
	       placement_room(p) != PLACEMENT_FULL;
}

static int best(const struct placement *p, size_t nr, bool ready)
{
	int found = -1;

	for (size_t i = 0; i < nr; i++)
		if (candidate(&p[i], ready) &&
		    (found < 0 || compare(&p[i], &p[found]) < 0))
			found = (int)i;
	return found;
}

int placement_wanted(const struct placement *p, size_t nr)
{
	return best(p, nr, false);
}

int placement_ready(const struct placement *p, size_t nr)
{
	return best(p, nr, true);
}

/* In MiB, so that sums and products of them are far from overflow. */
static int64_t weight(const struct placement *p)
{
	return (int64_t)(above_reserve(p) >> 20 & 0xffffffffffU) + 1;
}

/*
 * Of the best ones each gets files in proportion to its free space, evenly
 * spread over time: all earn their weight, the richest pays for the file.
 */
int placement_take(struct placement *p, size_t nr)
{
	int first = best(p, nr, true), found = -1;
	int64_t total = 0;

	if (first < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		/* those elsewhere have their turns with other nodes' files */
		if (p[i].distance != p[first].distance)
			continue;
		if (!candidate(&p[i], true) || compare(&p[i], &p[first])) {
			p[i].credit = 0;
			continue;
		}
		p[i].credit += weight(&p[i]);
		total += weight(&p[i]);
		if (found < 0 || p[i].credit > p[found].credit)
			found = (int)i;
	}
	p[found].credit -= total;
	return found;
}
