// SPDX-License-Identifier: Apache-2.0
/*
 * What is done with many backing files of volumes at once, by threads of
 * volumes: at the authority for its own (pool.c, deleter.c), at an agent for
 * the authority (steward.c).
 */
#include "backing.h"

#include <errno.h>

#include "fault.h"

/* Return: 0, or why there aren't more. */
static int make_each(struct volume *v, uint64_t ino, uint64_t instance,
		     uint32_t count, const atomic_bool *leaving,
		     uint32_t *made)
{
	int rc = 0;

	while (!rc && *made < count && !atomic_load(leaving)) {
		rc = backing_create(v, ino + *made, 1, instance + *made);
		if (!rc)
			++*made;
		atomic_fetch_add(&v->pool_steps, 1);
		if (*made == count / 2)
			fault_point("mid-pool-refill");
	}
	return rc;
}

int backing_make(struct volume *v, uint64_t first_ino, uint64_t first_instance,
		 uint32_t count, const atomic_bool *leaving, uint32_t *made)
{
	int rc, synced;

	*made = 0;
	atomic_fetch_add(&v->pool_steps, 1);
	rc = make_each(v, first_ino, first_instance, count, leaving, made);
	if (!*made)
		return rc;
	synced = backing_sync(v, first_ino, first_ino + *made - 1);
	if (!synced)
		return rc;
	*made = 0;		/* quarantined by the next sweep */
	return synced;
}

int backing_look(struct volume *v, uint64_t ino, uint64_t instance,
		 bool unclean, struct ns_backing_stat *st)
{
	const struct ns_owner nobody = { .project = true };
	char path[BACKING_PATH_MAX];
	int rc;

	rc = volume_stat(v, ino, 1, instance, st);
	if (rc < 0)
		return rc;
	if (!st->size && !st->blocks) {
		if (unclean)
			rc = backing_own(v, ino, 1, instance, &nobody);
		if (unclean && !rc)
			rc = volume_stat(v, ino, 1, instance, st);
		return rc;
	}
	backing_path(path, ino, 1, instance);
	path[7] = 0;		/* data/XX/NAME */
	rc = backing_quarantine(v, path + 5, path + 8);
	return rc < 0 ? rc : 1;
}

/* Also what an earlier run has unlinked. Those of one directory are together. */
static void remove_sync(struct backing_file *f, size_t nr)
{
	struct volume *v = NULL;
	uint64_t dir = 0;
	int rc = 0;

	for (; nr; f++, nr--) {
		if (f->rc || !f->volume)
			continue;
		if (f->volume != v || backing_dir(f->ino) != dir) {
			v = f->volume;
			dir = backing_dir(f->ino);
			rc = backing_sync(v, f->ino, f->ino);
			volume_error(v, rc);
		}
		f->rc = rc;
	}
}

void backing_remove(struct backing_file *f, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		int rc = 0;

		fault_point("before-delete");
		if (f[i].volume)
			rc = backing_unlink(f[i].volume, f[i].ino,
					    f[i].version, f[i].instance);
		f[i].rc = rc == -ENOENT ? 0 : rc;
		if (f[i].volume)
			volume_error(f[i].volume, rc);
	}
	remove_sync(f, nr);
}
