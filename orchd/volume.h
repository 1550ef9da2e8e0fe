/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes: directories on local file systems that hold backing files.
 *
 * struct volume belongs to the namespace thread. Workers (pool, reaper) hold
 * a reference and use only rec, root_fd, which do not change while the volume
 * is online.
 */
#ifndef ORCHD_VOLUME_H
#define ORCHD_VOLUME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "marker.h"
#include "ns.h"

#define VOLUME_MIN_FREE		(64ULL << 20)
#define VOLUME_MIN_INODES	1000
#define VOLUME_WHY		640

struct volume {
	struct volume *next;
	atomic_int refs;
	struct ns_volume rec;
	int root_fd;			/* -1: refused */
	bool removing;			/* no new files on it */
	bool settling;			/* the same: a sweep is under way */
	char problem[VOLUME_WHY];	/* refused: why, and the remedy */
	char fstype[24];
	dev_t dev;
	ino_t ino;
	struct marker marker;
	uint64_t quarantined;
	/* pool.c, namespace thread only */
	struct ns_backing *pool;
	size_t pool_nr, pool_max;
	bool pool_busy;
	uint64_t pool_retry;		/* ms: not before, after a failure */
	int pool_error;
};

struct volume *volume_new(const struct ns_volume *rec);
struct volume *volume_get(struct volume *v);
void volume_put(struct volume *v);
static inline bool volume_online(const struct volume *v)
{
	return v->root_fd >= 0;
}

/** volume_fs_ok() - may backing files lie on a file system of this type? */
bool volume_fs_ok(long f_type, const char **name);

/**
 * volume_check_new() - may PATH become a volume? Touches nothing.
 * @path: as the person gave it; @real (4096 bytes) gets the resolved path.
 * @found: the marker that lies there; volume is 0 when none does.
 * Return: 0, or -errno with a text in @why (VOLUME_WHY bytes) that names the
 * thing and the remedy.
 */
int volume_check_new(const char *path, uint64_t reserve,
		     const uint8_t ns_uuid[16], char *real,
		     struct marker *found, char *why);
/** volume_make() - create directories and marker, durably. */
int volume_make(const char *real, const struct marker *m, char *why);
/**
 * volume_open() - check the marker against the record and open.
 * On failure the volume stays offline with problem set; nothing is touched.
 */
int volume_open(struct volume *v, const uint8_t ns_uuid[16]);
void volume_refuse(struct volume *v, const char *problem);
/** volume_take() - @v goes online with what the opened @from has found. */
void volume_take(struct volume *v, struct volume *from);
/** volume_pair_text() - what to say of two that carry the same marker. */
void volume_pair_text(const struct volume *a, const struct volume *b,
		      char *why);
/** volume_newer() - does its marker know more than such a store? */
bool volume_newer(const struct volume *v, uint64_t epoch, uint64_t txn);
/** volume_unmake() - after its record is gone: marker and empty directories. */
int volume_unmake(struct volume *v);

#define BACKING_PATH_MAX	96
void backing_path(char out[BACKING_PATH_MAX], uint64_t ino, uint64_t version,
		  uint64_t instance);
bool backing_parse(const char *name, uint64_t *ino, uint64_t *version,
		   uint64_t *instance);
int backing_open(struct volume *v, uint64_t ino, uint64_t version,
		 uint64_t instance);
/** backing_create() - empty, mode 0600; durable after backing_sync(). */
int backing_create(struct volume *v, uint64_t ino, uint64_t version,
		   uint64_t instance);
/** backing_sync() - make created files of inodes first..last durable. */
int backing_sync(struct volume *v, uint64_t first, uint64_t last);
int backing_unlink(struct volume *v, uint64_t ino, uint64_t version,
		   uint64_t instance);
/**
 * backing_own() - the owner that the volume's file system accounts to.
 * Return: 0; -EDQUOT when that owner may have no more; other -errno.
 */
int backing_own(struct volume *v, uint64_t ino, uint64_t version,
		uint64_t instance, const struct ns_owner *o);
int volume_stat(struct volume *v, uint64_t ino, uint64_t version,
		 uint64_t instance, struct ns_backing_stat *out);

typedef int (*backing_fn)(void *ctx, const char *subdir, const char *name);
/** backing_each() - each file below data/; stops when fn returns non-zero. */
int backing_each(struct volume *v, backing_fn fn, void *ctx);
/** backing_quarantine() - move data/SUBDIR/NAME to quarantine/. */
int backing_quarantine(struct volume *v, const char *subdir,
		       const char *name);
uint64_t volume_count_quarantined(struct volume *v);

#endif
