/* SPDX-License-Identifier: Apache-2.0 */
/* Many backing files at once; a thread that may wait for drives. */
#ifndef ORCHD_BACKING_H
#define ORCHD_BACKING_H

#include "volume.h"

/**
 * backing_make() - files for a pool, durable
 * @leaving: it is to end early
 * @made: so many are there, from the first on
 * Return: 0, or why there aren't more.
 */
int backing_make(struct volume *v, uint64_t first_ino, uint64_t first_instance,
		 uint32_t count, const atomic_bool *leaving, uint32_t *made);
/**
 * backing_look() - is a file of a pool there, and empty?
 * One that has contents is of a create that a power cut undid: it goes to
 * quarantine.
 * @unclean: a create that was cut short may have given it away
 * Return: 0 it is; 1 it has gone to quarantine; -ENOENT; other -errno.
 */
int backing_look(struct volume *v, uint64_t ino, uint64_t instance,
		 bool unclean, struct ns_backing_stat *st);

struct backing_file {
	struct volume *volume;		/* NULL: removed, nothing to do */
	uint64_t ino, version, instance;
	int rc;				/* 0 also where none was */
};

/** backing_remove() - unlink them, durably */
void backing_remove(struct backing_file *f, size_t nr);

#endif
