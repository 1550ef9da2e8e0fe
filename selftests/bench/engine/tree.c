// SPDX-License-Identifier: Apache-2.0
/* The files of a benchmark: PER_DIR in a directory, as frames of shots. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench.h"

#define CHUNK	(16 * 1024)

void file_name(char name[NAME_MAX_], uint64_t n)
{
	snprintf(name, NAME_MAX_, "frame-%08llx.exr", (unsigned long long)n);
}

void tree_dirs(struct engine *e, uint64_t first, size_t nr, uint64_t *out)
{
	struct requests r = { 0 };
	struct outcome o = { 0 };
	char name[NAME_MAX_];

	for (size_t i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "shot-%06llu",
			 (unsigned long long)(first + i));
		requests_add(&r, &(struct request){
			.kind = ORCHFS_KIND_CREATE, .node = ORCHFS_ROOT_INO,
			.name = name, .mode = S_IFDIR | 0755,
			.flags = ORCHFS_REQ_FLAG_EXCL });
	}
	o.ino = must_alloc(nr * sizeof(*o.ino));
	engine_run(e, &r, CLIENTS_MAX, &o);
	memcpy(out, o.ino, nr * sizeof(*out));
	outcome_free(&o);
	requests_free(&r);
}

void tree_make(struct tree *t, struct engine *e, uint64_t files, bool inos,
	       void (*made)(void *ctx), void *ctx)
{
	const size_t nr_dirs = (files + PER_DIR - 1) / PER_DIR;
	struct requests r = { 0 };
	struct outcome o = { 0 };
	char name[NAME_MAX_];

	*t = (struct tree){ .e = e, .files = files };
	t->dirs = must_alloc(nr_dirs * sizeof(*t->dirs));
	t->inos = inos ? must_alloc(files * sizeof(*t->inos)) : NULL;
	o.ino = must_alloc(CHUNK * sizeof(*o.ino));
	tree_dirs(e, 0, nr_dirs, t->dirs);
	if (made)
		made(ctx);
	for (uint64_t i = 0; i < files; ) {
		const uint64_t begin = i;

		requests_clear(&r);
		for (; i < files && r.nr < CHUNK; i++) {
			file_name(name, i);
			requests_add(&r, &(struct request){
				.kind = ORCHFS_KIND_CREATE,
				.node = t->dirs[i / PER_DIR], .name = name,
				.mode = S_IFREG | 0644,
				.flags = ORCHFS_REQ_FLAG_EXCL });
		}
		engine_run(e, &r, CLIENTS_MAX, &o);
		if (inos)
			memcpy(t->inos + begin, o.ino, r.nr * sizeof(*o.ino));
		if (made)
			made(ctx);
	}
	outcome_free(&o);
	requests_free(&r);
}

void tree_free(struct tree *t)
{
	free(t->dirs);
	free(t->inos);
}
