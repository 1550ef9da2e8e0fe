/* SPDX-License-Identifier: Apache-2.0 */
/* Backups: Documentation/store-format.md, "A backup". */
#ifndef ORCHD_BACKUP_H
#define ORCHD_BACKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

struct backup_stats {
	uint64_t bytes, records;
	uint64_t epoch, seq;	/* Super.epoch, last transaction in it */
};

/**
 * backup_write() - everything in the store at this moment.
 * @stop: asked now and then; true ends it with -ECANCELED.
 */
int backup_write(struct store *st, int fd, bool (*stop)(void *ctx), void *ctx,
		 struct backup_stats *stats);
/**
 * backup_read() - make the store @dir, which must not exist, from the backup
 * on @fd; check that it is of namespace @name, and @uuid unless NULL.
 * On error @why (@len bytes) names the thing and the remedy; what there is of
 * @dir is the caller's to remove.
 */
int backup_read(int fd, const char *name, const uint8_t *uuid, const char *dir,
		char *why, size_t len);
/**
 * backup_restore() - make the store @dir from the backup on @fd. A store that
 * lies there is moved aside, as PARENT/.NAME.replaced-TIME. Of its volumes
 * nothing is changed. Tells on standard output what is not as it was.
 * On error @why (VOLUME_WHY bytes) names the thing and the remedy.
 */
int backup_restore(int fd, const char *name, const char *dir, char *why);

#endif
