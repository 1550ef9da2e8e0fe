/* SPDX-License-Identifier: Apache-2.0 */
/* Backups: Documentation/store-format.md, "A backup". */
#ifndef ORCHD_BACKUP_H
#define ORCHD_BACKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

/**
 * backup_write() - everything in the store at this moment.
 * @stop: asked now and then; true ends it with -ECANCELED.
 */
int backup_write(struct store *st, int fd, bool (*stop)(void *ctx), void *ctx,
		 uint64_t *bytes);
/**
 * backup_restore() - make the store @dir from the backup on @fd. A store that
 * lies there is moved aside, as PARENT/.NAME.replaced-TIME.
 * On error @why (@len bytes) names the thing and the remedy.
 */
int backup_restore(int fd, const char *name, const char *dir, char *why,
		   size_t len);

#endif
