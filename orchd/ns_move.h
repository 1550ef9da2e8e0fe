/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves of files between volumes: jobs, and what each step of a file writes.
 * Documentation/moves.md. Like the rest of the engine it touches no volume.
 */
#ifndef ORCHD_NS_MOVE_H
#define ORCHD_NS_MOVE_H

#include "ns.h"

/*
 * Status of a request for a layout that is being fenced or swapped: nothing
 * was done; execute it again after ns_move_swapped() of that inode.
 */
#define NS_PARKED	EINPROGRESS

#define NS_JOB_LABEL	1024
#define NS_JOB_TEXT	320

enum ns_job_state {
	NS_JOB_RUNNING,
	NS_JOB_DONE,
	NS_JOB_FAILED,
	NS_JOB_CANCELLED,
};

struct ns_job {
	uint64_t id;
	uint64_t ino;			/* a file or a directory; 0: a drain */
	uint64_t rate;			/* bytes a second, 0: no limit */
	uint64_t moved, bytes, there, skipped;
	struct orchfs_time started, ended;
	uint32_t volume;		/* where to; a drain: where from */
	enum ns_job_state state;
	bool cancel, drain;
	char label[NS_JOB_LABEL];	/* as the person named it */
	char text[NS_JOB_TEXT];		/* why it failed */
};

enum ns_move_step {
	NS_MOVE_COPY,			/* the new instance is filling */
	NS_MOVE_SWITCH,			/* it is valid */
	NS_MOVE_LEFT,			/* the file was left where it is */
};

/* A file of a job. */
struct ns_move {
	uint64_t job, ino;
	uint64_t version, from, to;	/* to 0: not begun */
	uint32_t from_volume, to_volume;
	enum ns_move_step step;
	int rc;				/* of ns_move_begin() */
	char text[NS_JOB_TEXT];		/* NS_MOVE_LEFT: why */
};

/** ns_job_new() - its number is put into @j. */
int ns_job_new(struct ns *ns, struct ns_job *j);
int ns_job_put(struct ns *ns, const struct ns_job *j);
/** ns_job_del() - with the rows of its files. */
int ns_job_del(struct ns *ns, uint64_t id);

typedef int (*ns_job_fn)(void *ctx, const struct ns_job *j);
typedef int (*ns_move_fn)(void *ctx, const struct ns_move *m);
/** ns_jobs() - all jobs, by number; stops when fn returns non-zero. */
int ns_jobs(struct ns *ns, ns_job_fn fn, void *ctx);
/** ns_job_moves() - up to @max of its files. */
int ns_job_moves(struct ns *ns, uint64_t id, size_t max, ns_move_fn fn,
		 void *ctx);

/* What a walk meets: mode has the type; volume is that of a regular file. */
struct ns_move_entry {
	uint64_t ino, cookie, size, blocks;
	uint32_t mode, volume;
	struct ns_owner owner;
};
/** ns_move_stat() - -ENOENT: deleted, or nobody's but an orphan. */
int ns_move_stat(struct ns *ns, uint64_t ino, struct ns_move_entry *out);
/** ns_move_list() - names of a directory after @cookie. Return: number. */
int ns_move_list(struct ns *ns, uint64_t dir, uint64_t cookie,
		 struct ns_move_entry *out, size_t max);

/**
 * ns_move_watch() - from now on remember whether writing is granted.
 * Fills in version, from, from_volume of @m.
 * Return: 0; -EBUSY: another job is at it; -ENOENT; -EIO: no valid instance.
 */
int ns_move_watch(struct ns *ns, struct ns_move *m);
void ns_move_unwatch(struct ns *ns, uint64_t ino);
bool ns_move_written(struct ns *ns, uint64_t ino);
/** ns_move_dirty() - the backing file may be ahead of the record */
bool ns_move_dirty(struct ns *ns, uint64_t ino);

/**
 * ns_move_layout() - a layout that isn't writable of the new or the old
 * instance, to be published. Requests for one are parked from here to
 * ns_move_swapped().
 */
int ns_move_layout(struct ns *ns, const struct ns_move *m, bool new,
		   struct op_layout *out);
/**
 * ns_move_look() - at step switch, while nobody has written: is the file of the
 * new or the old instance there?
 * Return: 0; -ENOENT: not there, or not as long as recorded; other -errno.
 */
int ns_move_look(struct ns *ns, const struct ns_move *m, bool new);
/**
 * ns_move_park() - the same after a start: what is in use isn't known, unless
 * it was opened for writing: then ns_move_written() is true.
 */
int ns_move_park(struct ns *ns, const struct ns_move *m);
/** ns_move_holders() - nodes that have a layout, but for this machine */
size_t ns_move_holders(struct ns *ns, uint64_t ino, uint32_t *nodes,
		       size_t max);
/**
 * ns_move_swapped_at() - it has ended at one node's kernel (0: this machine's)
 * with @status: 0; -ENOENT: that has no layout; another error: as before
 */
void ns_move_swapped_at(struct ns *ns, const struct ns_move *m, uint32_t node,
			uint64_t generation, int status);
/**
 * ns_move_swapped() - it has ended everywhere: 0: all kernels that have a layout
 * have that one; -EBUSY: all have the other instance's; -ENOTCONN: not known;
 * another error: they have what they had. Where it isn't known which that is,
 * requests stay parked.
 */
void ns_move_swapped(struct ns *ns, const struct ns_move *m, bool new,
		     int status);
/** ns_move_known() - is it known which instance is in use? */
bool ns_move_known(struct ns *ns, const struct ns_move *m);
/** ns_move_in_use() - is the new instance the one that kernels use? */
bool ns_move_in_use(struct ns *ns, const struct ns_move *m, bool new);

/*
 * The records of a step, one transaction. m->step follows. Fenced and watched
 * files only.
 */
/**
 * ns_move_begin() - plan to copy, @nr files. Each m->to is a fresh number.
 * m->rc tells of each whether it was begun: -ENOENT deleted, -EBUSY written
 * meanwhile, -EIO no backing file.
 */
int ns_move_begin(struct ns *ns, struct ns_move *const *m, size_t nr,
		  uint64_t *txn);
/**
 * ns_move_valid() - verify to switch. @blocks, @owner: of the new backing file,
 * which gets the inode's owner where that is another one by now.
 * Return: 0; -EBUSY: written meanwhile; -ENOENT: deleted; -EDQUOT and others
 * when it can't belong to that owner.
 */
int ns_move_valid(struct ns *ns, struct ns_move *m, uint64_t blocks,
		  const struct ns_owner *owner);
/** ns_move_retire() - switch to done; @j is written, too. */
int ns_move_retire(struct ns *ns, const struct ns_move *m,
		   const struct ns_job *j);
/**
 * ns_move_abort() - whatever was begun is taken back. With m->text the file's
 * row stays and tells why it was left.
 * Return: 0; -EINPROGRESS: it has gone too far: the old instance is no good.
 */
int ns_move_abort(struct ns *ns, struct ns_move *m, const struct ns_job *j);

/* ns_drain.c: all files of a volume */
/**
 * ns_drain_new() - no new files for the volume @j->volume, and a job
 * The number of the job is put into @j, which is a drain.
 */
int ns_drain_new(struct ns *ns, struct ns_job *j);
/** ns_drain_back() - it gets new files again; @j, or NULL, is cancelled */
int ns_drain_back(struct ns *ns, uint32_t volume, const struct ns_job *j);
/**
 * ns_drain_list() - files with an instance on a volume, after inode *@after
 * @out: volume is 0 where the valid instance isn't there, mode is 0 where the
 *	inode has no name any more
 * @budget: records that may be looked at, counted down
 * Return: their number; *@after is the last inode that was looked at, or
 * UINT64_MAX at the end.
 */
int ns_drain_list(struct ns *ns, uint32_t volume, uint64_t *after,
		  unsigned int *budget, struct ns_move_entry *out, size_t max);
/** ns_drain_prune() - forget files that a job left and that have gone since */
int ns_drain_prune(struct ns *ns, const struct ns_job *j);

#endif
