/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ordered keys with atomic multi-key writes. Back ends: "rocksdb", "memory".
 *
 * Threads: one writer at a time; reads, snapshots and store_barrier() from
 * any thread.
 */
#ifndef ORCHD_STORE_H
#define ORCHD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct store_batch;
struct store_iter;
struct store_snap;

struct store_key {
	const void *p;
	size_t len;
};

struct store_opts {
	bool create;		/* -EEXIST when there is one */
	bool read_only;
};

/**
 * store_open() - open or create.
 * @dir: directory of the store (unused by "memory").
 * Takes the flock on DIR/lock unless read_only. Compares the last sequence with DIR/synced.
 * Return: 0; -ENOENT none there; -EBUSY locked by another; -EUCLEAN damaged
 * (*why tells what); other -errno.
 */
int store_open(const char *engine, const char *dir, const struct store_opts *o,
	       struct store **out, const char **why);
/** store_close() - without a barrier; accepts NULL. */
void store_close(struct store *st);

/** store_get() - *val is malloced. -ENOENT. @sn: NULL or a snapshot. */
int store_get(struct store *st, struct store_snap *sn, struct store_key k,
	      void **val, size_t *len);

struct store_batch *store_batch_new(struct store *st);
void store_batch_free(struct store_batch *b);
/** store_batch_clear() - empty it, also of a failed commit. */
void store_batch_clear(struct store_batch *b);
/**
 * store_batch_urgent() - deletions, and what fsync and truncate need: this
 * batch may use the reserve when the drive is full. Until cleared.
 */
void store_batch_urgent(struct store_batch *b);
void store_put(struct store_batch *b, struct store_key k, const void *v,
	       size_t len);
void store_del(struct store_batch *b, struct store_key k);
/* Preconditions, checked atomically with the write. */
void store_expect_absent(struct store_batch *b, struct store_key k);
void store_expect_value(struct store_batch *b, struct store_key k,
			const void *v, size_t len);
/**
 * store_commit() - write the batch, all or nothing, with the next sequence
 * number ('S' "seq" is set in the same write). On return it was write(2)n.
 * Return: 0 and *seq; -EAGAIN a precondition failed; -ENOSPC; -EIO. The batch
 * is emptied on success.
 */
int store_commit(struct store_batch *b, uint64_t *seq);
/** store_next_seq() - the sequence that the next commit will get. */
uint64_t store_next_seq(struct store *st);
uint64_t store_durable(struct store *st);
/**
 * store_barrier() - return when everything committed before the call is
 * durable; callers at the same time share one sync. -EIO is final.
 */
int store_barrier(struct store *st);
/** store_failed() - 0, or the -EIO that is final: the daemon must stop. */
int store_failed(struct store *st);

struct store_snap *store_snapshot(struct store *st);
void store_snapshot_free(struct store *st, struct store_snap *sn);

/* Keys k with lo <= k < hi (hi.len 0: no end), in order. */
struct store_iter *store_scan(struct store *st, struct store_snap *sn,
			      struct store_key lo, struct store_key hi);
bool store_iter_valid(const struct store_iter *it);
void store_iter_next(struct store_iter *it);
struct store_key store_iter_key(const struct store_iter *it);
struct store_key store_iter_value(const struct store_iter *it);
int store_iter_error(const struct store_iter *it);
void store_iter_free(struct store_iter *it);

/**
 * store_settle() - leave little to be replayed by the next store_open()
 *
 * Any thread; commits go on. Best effort, of a few seconds at most.
 */
void store_settle(struct store *st);

/**
 * store_checkpoint() - a consistent, durable copy in @dir (must not exist),
 * which store_open() takes. Commits wait meanwhile. -EOPNOTSUPP: "memory".
 */
int store_checkpoint(struct store *st, const char *dir);

#endif
