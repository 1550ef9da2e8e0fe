/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes of other nodes, at the authority: what their homes are asked and
 * what they tell. Namespace thread. Documentation/locality.md.
 */
#ifndef ORCHD_HOME_H
#define ORCHD_HOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a home says of one of its volumes: in VolumeState.state. */
enum home_state {
	HOME_AWAY,		/* nothing was told yet */
	HOME_ONLINE,
	HOME_READONLY,
	HOME_REFUSED,		/* not mounted, another drive, ... */
	HOME_LOST,		/* its drive fails */
	HOME_SILENT,		/* it doesn't answer */
};

struct backing_file;
struct ns_backing_stat;
struct ns_owner;
struct peer_request;
struct pool_range;
struct served;
struct volume;

/* home.c: nodes and what they tell of their volumes */

int homes_start(struct served *sv);
void homes_stop(struct served *sv);
/** homes_arrived() - a request comes now. Return: its place in time. */
uint64_t homes_arrived(struct served *sv);
/** homes_asking() - that one is executed; 0: no more */
void homes_asking(struct served *sv, uint64_t arrived);
void homes_turn(struct served *sv);	/* what is to be asked is */
void homes_tick(struct served *sv);	/* each second */
void homes_durable(struct served *sv);	/* more of the store is */
/** home_up() - a node's session is up, by that link */
void home_up(struct served *sv, uint32_t node, uint64_t link);
/** home_down() - the link is gone; the session goes on */
void home_down(struct served *sv, uint32_t node);
/** home_fences_expire() - each second: of homes that serve nobody any more */
void home_fences_expire(struct served *sv);
/** home_over() - and that has ended, too */
void home_over(struct served *sv, uint32_t node);
/** home_request() - what a home tells or asks; takes @r */
void home_request(struct served *sv, struct peer_request *r);
/** home_away() - nothing is known of a volume */
void home_away(const struct served *sv, struct volume *v);

/* home_lost.c: nodes that leave */

/** home_left() - was it removed from the cluster? */
bool home_left(const struct served *sv, uint32_t node);
/**
 * home_leave_check() - not the namespace thread: does it have the only copy of
 * files?
 * Return: 0: it gets none from now on, home_leave() or home_stay() follows;
 * -ENOTEMPTY, and @why names some; other -errno.
 */
int home_leave_check(struct served *sv, uint32_t node, char *why, size_t len);
/** home_leave() - not the namespace thread: it was removed */
void home_leave(struct served *sv, uint32_t node);
/** home_stay() - not the namespace thread: it was not */
void home_stay(struct served *sv, uint32_t node);
/** home_linked() - can it be asked? */
bool home_linked(const struct served *sv, uint32_t node);
/** home_questions() - that a node was asked since the start, for people */
uint64_t home_questions(const struct served *sv, uint32_t node);
/** home_news() - volumes of a node have changed: it is told */
void home_news(struct served *sv, uint32_t node);
/**
 * home_removed() - a volume's record is gone, durably: its home takes away what
 * was made ahead, and its marker
 */
void home_removed(struct served *sv, struct volume *v);
/** home_pending() - has a node just come, and is its volume about to? */
bool home_pending(const struct served *sv, uint32_t node);

/* home_pool.c: files made ahead */

/** home_make() - once the range's record is durable. Return: 0 or -ENOMEM. */
int home_make(struct served *sv, struct volume *v, const struct pool_range *r);

/* home_stat.c: what files are like, and whose */

/** home_stat() - ns_backing_ops.stat of a far volume */
int home_stat(struct served *sv, struct volume *v, uint64_t ino,
	      uint64_t version, uint64_t instance,
	      struct ns_backing_stat *out);
/** home_unsettled() - ns_backing_ops.unsettled */
void home_unsettled(void *sv, uint32_t volume, uint64_t ino, uint64_t version,
		    uint64_t instance);
/** home_own() - ns_backing_ops.own of a far volume: always 0 */
int home_own(struct served *sv, struct volume *v, uint64_t ino,
	     uint64_t version, uint64_t instance,
	     const struct ns_owner *owner);
/** home_owns_full() - so much of that is under way that requests wait */
bool home_owns_full(const struct served *sv);

/* home_io.c: deletions, write-back, fences */

/**
 * home_delete() - unlink files of one far volume
 * @done: in a later turn; b[i].rc tell
 * Return: 0, or -errno and @done isn't called.
 */
int home_delete(struct served *sv, struct volume *v, struct backing_file *b,
		size_t nr, void (*done)(void *ctx), void *ctx);
/**
 * home_flush() - all homes write their volumes back
 * @done: once for each that was asked, in a later turn: 0 or -errno
 * @nr: how many were asked. Return: 0, or -EIO: one can't be, or -ENOMEM.
 */
int home_flush(struct served *sv, void (*done)(void *ctx, int rc), void *ctx,
	       unsigned int *nr);
/** home_fence() - a node's tokens are worth nothing any more */
void home_fence(struct served *sv, uint32_t node);
/** home_fencing() - may requests of before be under way? */
bool home_fencing(const struct served *sv, uint32_t node);

#endif
