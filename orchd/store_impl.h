/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What store.c and its back ends share. Nobody else includes this, tests
 * apart: they swap the ops of an open store to make its writes fail.
 */
#ifndef ORCHD_STORE_IMPL_H
#define ORCHD_STORE_IMPL_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "store.h"

/* One put or delete in a batch's buffer: this header, key, value. */
struct store_rec {
	uint32_t klen;
	uint32_t vlen;		/* STORE_DELETE: no value, delete */
};
#define STORE_DELETE	UINT32_MAX

struct store_buf {
	uint8_t *p;
	size_t len, size;
};

struct store_batch {
	struct store *st;
	struct store_buf ops;
	struct store_buf expects;	/* STORE_DELETE: expected absent */
	bool urgent;
	bool failed;			/* no memory for a put */
};

/**
 * struct store_ops - a back end
 * @name: as in store_open()
 * @on_disk: it lives in a directory, with lock, synced and reserve beside it
 * @open: open DIR/db, fill st->db; o as in store_open()
 * @close: free st->db
 * @get: as store_get()
 * @write: all records of the buffer or none, write(2)n on return. Called by
 *	one thread at a time
 * @sync: everything written before is durable on return
 * @snapshot, @snapshot_free: as store_snapshot()
 * @scan: makes an iterator that stands on the first key
 * @valid ... @iter_free: as store_iter_*()
 * @checkpoint: a copy of DIR/db at @dir; may be NULL
 * @settle: begin to write out what the log holds; as @write. May be NULL
 * @settling: that is still under way
 */
struct store_ops {
	const char *name;
	bool on_disk;
	int (*open)(struct store *st, const char *db,
		    const struct store_opts *o, const char **why);
	void (*close)(struct store *st);
	int (*get)(struct store *st, struct store_snap *sn,
		   struct store_key k, void **val, size_t *len);
	int (*write)(struct store *st, const struct store_buf *ops);
	int (*sync)(struct store *st);
	struct store_snap *(*snapshot)(struct store *st);
	void (*snapshot_free)(struct store *st, struct store_snap *sn);
	struct store_iter *(*scan)(struct store *st, struct store_snap *sn,
				   struct store_key lo, struct store_key hi);
	bool (*valid)(const struct store_iter *it);
	void (*next)(struct store_iter *it);
	struct store_key (*key)(const struct store_iter *it);
	struct store_key (*value)(const struct store_iter *it);
	int (*error)(const struct store_iter *it);
	void (*iter_free)(struct store_iter *it);
	int (*checkpoint)(struct store *st, const char *db);
	int (*settle)(struct store *st);
	bool (*settling)(struct store *st);
};

/* Beside the database; -1 where there is none. Written by store_dir.c. */
struct store_dir {
	char *path;
	int lock_fd, synced_fd, reserve_fd;
	uint64_t floor;		/* growth stops below this much free space */
	uint64_t reserve;	/* size of the reserve file when whole */
	uint64_t unchecked;	/* bytes written since free space was read */
	bool tight;
};

struct store {
	const struct store_ops *ops;
	void *db;
	bool read_only;
	struct store_dir dir;
	pthread_mutex_t write_lock;	/* commits; dir.* but the descriptors */
	atomic_uint_least64_t last;	/* sequence of the last commit */
	struct {
		pthread_mutex_t lock;
		pthread_cond_t cond;
		bool running;		/* a thread is in ops->sync */
		atomic_int failed;
	} sync;
	atomic_uint_least64_t durable;
};

/* Every iterator of a back end begins with this. */
struct store_iter {
	struct store *st;
};

extern const struct store_ops store_mem_ops;
extern const struct store_ops store_rocksdb_ops;

/** store_rocksdb_handle() - RocksDB's own, for benchmarks; NULL: another engine */
struct rocksdb_t *store_rocksdb_handle(struct store *st);

/* store_dir.c */
int store_dir_open(struct store *st, const char *path,
		   const struct store_opts *o, const char **why);
void store_dir_close(struct store *st);
int store_dir_read_synced(struct store *st, uint64_t *seq);
int store_dir_write_synced(struct store *st, uint64_t seq);
int store_dir_room(struct store *st, size_t bytes, bool urgent);
int store_dir_mark(const char *path, uint64_t seq);

/* store_prefix.c: length of the part of a key that names its group */
size_t store_prefix_len(struct store_key k);
/* All keys of [lo, hi) are of lo's group; an empty hi is the end. */
bool store_range_is_group(struct store_key lo, struct store_key hi);

/*
 * For a back end: what is on the drive is no longer known. A log that could
 * not be synced would seem clean at the next attempt, and a record whose
 * write failed may be in the log or not.
 */
static inline void store_fail(struct store *st)
{
	atomic_store(&st->sync.failed, -EIO);
}

/* Walk a buffer: false at its end. */
static inline bool store_buf_next(const struct store_buf *b, size_t *pos,
				  struct store_key *k, struct store_key *v,
				  bool *del)
{
	const struct store_rec *r;

	if (*pos >= b->len)
		return false;
	r = (const void *)(b->p + *pos);
	k->p = r + 1;
	k->len = r->klen;
	*del = r->vlen == STORE_DELETE;
	v->p = (const uint8_t *)(r + 1) + r->klen;
	v->len = *del ? 0 : r->vlen;
	*pos += sizeof(*r) + ((size_t)k->len + v->len + 3) / 4 * 4;
	return true;
}

#endif
