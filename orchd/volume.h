/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes: directories on local file systems that hold backing files.
 *
 * struct volume belongs to the namespace thread. Workers hold a reference and
 * use only rec and root_fd, which do not change while they do, and the atomic
 * members. What happens to a volume: Documentation/volumes.md. That of a far
 * one (Documentation/locality.md) has no root and no worker: its home tells.
 */
#ifndef ORCHD_VOLUME_H
#define ORCHD_VOLUME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "marker.h"
#include "ns.h"
#include "placement.h"
#include "work.h"

#define VOLUME_MIN_FREE		(64ULL << 20)
#define VOLUME_MIN_INODES	1000
#define VOLUME_WHY		640
#define VOLUMES_MAX		256	/* of a namespace */

enum volume_health {
	VOLUME_SOUND,
	VOLUME_READONLY,
	VOLUME_LOST,		/* root_fd is closed when no worker uses it */
};

struct volume {
	struct volume *next;
	atomic_int refs;
	struct ns_volume rec;
	int root_fd;			/* -1: refused */
	bool up;			/* of a far one: its home has it */
	bool owes_look;			/* and is to look at its pool */
	bool leaving;			/* removing, as its home may be removed */
	bool left;			/* its home was removed: it is lost */
	uint64_t files;			/* inodes in all; 0: not counted */
	uint32_t key_id;		/* data_far_key(); 0: none yet */
	uint8_t key[32];
	bool removing;			/* no new files on it */
	bool settling;			/* the same: a sweep is under way */
	atomic_int health;		/* written by the namespace thread */
	atomic_bool doubt;		/* an error: to be looked at soon */
	char problem[VOLUME_WHY];	/* what is wrong, and the remedy */
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
	bool pool_late;			/* not waited for */
	atomic_uint pool_steps;		/* of its batches, by its thread */
	unsigned int pool_seen;		/* of them, and since when (ms) */
	uint64_t pool_moved;
	struct placement place;
	/* health.c, namespace thread only */
	struct worker worker;		/* pool and looks */
	bool look_busy, silent;
	bool doubted;			/* that is why it is looked at */
	uint64_t looked_at;		/* ms: the last look began, or the */
	unsigned int look_steps;	/* batch that it waits for got on */
	bool unclean;			/* it was lost, since it was opened */
	/* steward.c, namespace thread only: of an agent */
	struct worker quick;		/* what doesn't wait for long work */
	bool opening, tried;		/* to open it */
	bool named, removed;		/* by the authority */
	uint64_t open_at;		/* ms: the next try */
};

struct volume *volume_new(const struct ns_volume *rec);
struct volume *volume_get(struct volume *v);
void volume_put(struct volume *v);
/** volume_far() - another node is its home */
static inline bool volume_far(const struct volume *v)
{
	return v->rec.home;
}

/** volume_there() - not refused, and not away */
static inline bool volume_there(const struct volume *v)
{
	return volume_far(v) ? v->up : v->root_fd >= 0;
}

/** volume_online() - what lies there can be used */
static inline bool volume_online(const struct volume *v)
{
	return volume_there(v) && atomic_load(&v->health) != VOLUME_LOST;
}

/** volume_here() - the same, and by its root */
static inline bool volume_here(const struct volume *v)
{
	return v->root_fd >= 0 && volume_online(v);
}

/** volume_writable() - deletions and markers can be written */
static inline bool volume_writable(const struct volume *v)
{
	return volume_there(v) && atomic_load(&v->health) == VOLUME_SOUND;
}

/** volume_takes() - new files may come, but it may not answer now */
static inline bool volume_takes(const struct volume *v)
{
	return volume_writable(v) && !v->removing && !v->settling &&
	       !v->rec.draining;
}

/** volume_usable() - new files may come, space permitting */
static inline bool volume_usable(const struct volume *v)
{
	return volume_takes(v) && !v->silent;
}

/** volume_full() - it gets no new files for lack of space or inodes */
bool volume_full(const struct volume *v);
/** volume_measure() - free space, for placement */
void volume_measure(struct volume *v);
/**
 * volume_look() - can it be read? From the drive, so it may take long.
 * @readonly: whether its file system is. Return: 0 or -errno.
 */
int volume_look(int root_fd, bool *readonly);
/** volume_error() - any thread: work on it failed; does that cast doubt? */
void volume_error(struct volume *v, int rc);

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
void volume_readonly(struct volume *v);
/** volume_take() - @v goes online with what the opened @from has found. */
void volume_take(struct volume *v, struct volume *from);
/** volume_clash() - has it that name or place? Then it says so in @why. */
bool volume_clash(const struct volume *v, const struct ns_volume *rec,
		  char *why);
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
/** backing_open_read() - may be on a read-only file system */
int backing_open_read(struct volume *v, uint64_t ino, uint64_t version,
		      uint64_t instance);
#define BACKING_MODE	0600
/** backing_create() - empty, BACKING_MODE; durable after backing_sync(). */
int backing_create(struct volume *v, uint64_t ino, uint64_t version,
		   uint64_t instance);
/**
 * backing_begin() - the same of mode 0, which it has until it is whole.
 * Return: a descriptor to read and write, or -errno.
 */
int backing_begin(struct volume *v, uint64_t ino, uint64_t version,
		  uint64_t instance);
/** backing_dir() - files of inodes with the same number share a directory */
static inline uint64_t backing_dir(uint64_t ino)
{
	return ino >> 8;
}

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
