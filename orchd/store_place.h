/* SPDX-License-Identifier: Apache-2.0 */
/* A new store, made aside and put into its place when it is whole. */
#ifndef ORCHD_STORE_PLACE_H
#define ORCHD_STORE_PLACE_H

#include <stdbool.h>
#include <stddef.h>

#define STORE_PLACE_PATH	4400

struct store_place {
	char dir[4096];		/* without links */
	char parent[4096];	/* of tmp */
	char tmp[STORE_PLACE_PATH];	/* where the new store is to be made */
	bool inside;		/* DIR is a mount point: tmp is in it */
	bool empty, store;	/* what is in DIR: nothing; a store */
	int lock_fd;		/* of that store */
};

/**
 * store_place_begin() - may a store be made in @dir? Changes nothing.
 * @replace: what is there may be moved aside, unless it is a store in use.
 * Return: 0, or -errno with a text in @why (@len bytes). In any case
 * store_place_end() is to be called.
 */
int store_place_begin(struct store_place *p, const char *dir, bool replace,
		      char *why, size_t len);
/**
 * store_place_commit() - the store in @p->tmp, closed, takes its place,
 * durably. All its volumes owe a sweep.
 * @aside: gets the path of what was there, or "" (STORE_PLACE_PATH bytes).
 */
int store_place_commit(struct store_place *p, char *aside, char *why,
		       size_t len);
/** store_place_end() - drop what was not put into its place. */
void store_place_end(struct store_place *p);

#endif
