/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which volume a new file gets: a pure function over a table of volumes.
 * The rule is in Documentation/volumes.md.
 */
#ifndef ORCHD_PLACEMENT_H
#define ORCHD_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct placement {
	bool usable;		/* takes new files at all */
	bool ready;		/* has a file made ahead */
	uint32_t tier;
	uint64_t size, free;	/* bytes of its file system */
	uint64_t inodes;	/* free ones */
	uint64_t reserve;	/* bytes to keep free */
	unsigned int distance;	/* from who asks: nearer ones come first */
	int64_t credit;		/* kept from call to call; starts at 0 */
};

enum placement_room {
	PLACEMENT_ROOM,		/* more than the reserve and a margin */
	PLACEMENT_TIGHT,	/* more than the reserve */
	PLACEMENT_FULL,
};

enum placement_room placement_room(const struct placement *p);

/**
 * placement_wanted() - the best volume, whether it is ready or not
 * Return: its index, or -1: none has room.
 */
int placement_wanted(const struct placement *p, size_t nr);

/** placement_ready() - the best of those that are ready, or -1 */
int placement_ready(const struct placement *p, size_t nr);

/**
 * placement_take() - a volume for one new file, of those that are ready
 *
 * Deals files out: credits change. Return: its index, or -1.
 */
int placement_take(struct placement *p, size_t nr);

/** placement_same_rank() - neither is to be preferred: distance, tier, room */
bool placement_same_rank(const struct placement *a,
			 const struct placement *b);

#endif
