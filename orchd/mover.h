/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mover: works off jobs (Documentation/moves.md).
 *
 * All of it belongs to the namespace thread, but for what a job's worker does
 * between copy_start() and its end: see struct mover_file.
 */
#ifndef ORCHD_MOVER_H
#define ORCHD_MOVER_H

#include "copy.h"
#include "ns_move.h"
#include "served.h"
#include "sm.h"

#define MOVER_RUNNING		4	/* jobs at a time */
#define MOVER_KEPT		100	/* jobs that have ended */
#define MOVER_BATCH		COPY_BATCH	/* files between two records */
#define MOVER_BATCH_BYTES	(32ULL << 20)
#define MOVER_LEFT		1000	/* files a job tells of */
#define MOVER_WALKS		3
#define MOVER_AHEAD		512	/* entries that a walk reads at once */
#define MOVER_DRAIN_MS		3000
#define MOVER_RETRY_MS		1000
#define MOVER_TRIES		3
#define MOVER_AGAIN_MS		5000	/* between walks of a drain */
#define MOVER_AGAIN_MAX_MS	60000

enum move_state {
	MOVE_PLAN, MOVE_COPY, MOVE_VERIFY, MOVE_SWITCH, MOVE_RETIRE,
	MOVE_DONE, MOVE_FAILED, MOVE_CANCELLED,
};
extern const struct sm_state move_states[];

struct mover_file;
struct mover_job;

struct mover_far;
struct mover_remote;

/*
 * A layout is published at one kernel after the other, until one refuses: then
 * those before it get back what they had (mover_swap.c).
 */
struct mover_round {
	void (*done)(struct mover_file *f, int status);
	struct op_layout lay;
	uint32_t *node;			/* of these nodes; 0: this machine's */
	size_t nr, max, at;
	struct swap swap;		/* at this machine's kernel */
	bool own;			/* which is under way until: */
	uint64_t deadline;		/* ms */
	struct mover_far *far;		/* at another's, the same */
	bool back, mixed;		/* taking back; and that failed */
	int failed;
	uint32_t refused;		/* who did so last: asked first */
	uint32_t writers;
	char text[256];			/* why it failed */
};

/* A file that a job is at. */
struct mover_file {
	struct mover_file *next;	/* in mover_job.waiting */
	struct mover_job *job;
	struct sm sm;
	struct ns_move m;
	uint64_t size;
	struct mover_round round;
	bool swapping, fenced, forward, aborting, tried_back;
	bool lost;			/* the copy, at switch */
	uint64_t retry_at;		/* ms */
	uint64_t arrived;		/* homes_arrived(): looks are as new */
	bool looking;			/* its home is asked */
	unsigned int tries;
	int told;			/* why it was not swapped, last */
	/* the worker's from copy_start() on, ours again in copy_done */
	struct copy_file c;
};

/* Where a walk is. */
struct mover_walk {
	struct mover_place {
		uint64_t dir, cookie;
	} *stack;
	size_t depth, max;
	struct ns_move_entry *ahead;	/* of the last place; MOVER_AHEAD */
	size_t pos, nr;
	bool begun;
	/* a drain's: inodes in order of number */
	uint64_t after;
	uint64_t rows;			/* inodes found on the volume */
	uint64_t cost;			/* ms */
};

enum mover_phase {
	JOB_QUEUED, JOB_COUNT, JOB_WALK, JOB_WAIT, JOB_UNWIND, JOB_ENDED,
};

struct mover_job {
	struct mover_job *next;
	struct served *sv;
	struct ns_job rec;
	enum mover_phase phase;
	struct worker worker;
	struct work w;			/* to the worker and back */
	struct volume *to;		/* a reference while files are copied */
	struct mover_file *batch[MOVER_BATCH];
	size_t nr;			/* of them; 0: no batch under way */
	size_t fencing;			/* of them */
	bool copying;			/* the worker has them */
	struct copy_batch copy;
	struct mover_remote *remote;	/* another node copies; the question */
	struct mover_remote *watch;	/* and how far it is */
	uint64_t renewed_at;		/* ms: its tokens */
	bool settling;			/* dirty ones of other homes: until */
	uint64_t settle_by;		/* ms */
	uint64_t arrived;		/* homes_arrived() */
	bool lost;			/* what it needs isn't reachable: */
	uint64_t pause_until;		/* ms: then it is tried again */
	uint64_t txn;			/* of the batch's record */
	struct mover_file *waiting;	/* switch: mapped, or I/O goes on */
	size_t nr_waiting;
	struct mover_walk walk;
	unsigned int walks;
	bool again;			/* this walk found work */
	bool single;			/* the job is one file */
	/* of a drain */
	uint64_t used, room;		/* bytes of the batch, for the target */
	uint64_t moved_at;		/* files, at the begin of the walk */
	uint64_t again_at;		/* ms: the next walk; 0: one goes on */
	size_t waited;			/* nr_waiting at the end of the last */
	uint64_t files, total;		/* to do, as counted first */
	uint64_t there, moved_before, left;
	enum ns_job_state end;		/* of JOB_UNWIND */
	char text[NS_JOB_TEXT];		/* what it waits for */
	char last[NS_JOB_TEXT];		/* why a file was left */
};

struct mover {
	struct served *sv;
	struct mover_job *jobs;		/* by number */
	struct mover_file *dead;	/* freed at the end of a turn */
	uint64_t instance, instances;	/* numbers reserved */
	struct work turn_work;
	bool turn_posted, stopped;
	struct copy_pace pace;
};

/* mover_job.c */
int mover_start(struct served *sv);	/* before attaching */
void mover_stop(struct served *sv);
int mover_new(struct served *sv, const struct ns_job *want, char *why,
	      uint64_t *id);
int mover_cancel(struct served *sv, uint64_t id, char *why);
struct mover_job *mover_find(struct served *sv, uint64_t id);
/* For those who watch: at once; when they look again. */
void mover_changed(struct served *sv);
void mover_stepped(struct served *sv);
void job_fail(struct mover_job *j, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** job_unwind() - what is at hand is taken back, then it ends as @end. */
void job_unwind(struct mover_job *j, enum ns_job_state end);
void job_end(struct mover_job *j, enum ns_job_state state);
void jobs_prune(struct served *sv);	/* those that ended long ago */

struct mover_job *job_add(struct served *sv, const struct ns_job *rec);
void job_begins(struct ns_job *rec);	/* now */

/* mover_drain.c */
int mover_drain(struct served *sv, const struct ns_job *want, char *why,
		uint64_t *id);
/** mover_undrain() - *id: the job that is cancelled for that, or 0 */
int mover_undrain(struct served *sv, struct volume *v, char *why,
		  uint64_t *id);
/** mover_drain_of() - the last drain of a volume, or NULL */
struct mover_job *mover_drain_of(struct served *sv, uint32_t volume);
/** mover_drain_text() - what is to be said of a volume that is drained */
void mover_drain_text(struct served *sv, const struct volume *v, char *text);
int drain_next(struct mover_job *j, unsigned int *budget,
	       struct ns_move_entry *out);
bool drain_ready(struct mover_job *j);
/**
 * drain_take() - may this file join the batch? Chooses its target.
 * Return: 0; -ENOENT: not this one; -EAGAIN: the batch is full, it comes again.
 */
int drain_take(struct mover_job *j, const struct ns_move_entry *e);
bool drain_ended(struct mover_job *j);

/* mover.c */
/** job_leave() - a file that isn't begun stays where it is, and why */
void job_leave(struct mover_job *j, uint64_t ino, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** jobs_running() - MOVER_RUNNING of them, and the next one waits */
unsigned int jobs_running(const struct served *sv);
void mover_tick(struct served *sv);	/* each second */
void mover_kick(struct served *sv);	/* something may go on */
void mover_free_dead(struct mover *mv);

/* mover_walk.c */
/** walk_room() - memory for what is read ahead. Return: 0 or -ENOMEM. */
int walk_room(struct mover_walk *w);
void walk_restart(struct mover_walk *w);
void walk_free(struct mover_walk *w);
/**
 * walk_next() - the next regular file of the job. @budget: entries that may
 * be looked at, counted down.
 * Return: 1; 0: the end; -EAGAIN: the budget is used up; other -errno.
 */
int walk_next(struct mover_job *j, unsigned int *budget,
	      struct ns_move_entry *out);

/* mover_file.c: steps of a file */
struct mover_file *file_new(struct mover_job *j, const struct ns_move *m);
void file_free(struct mover_file *f);
void file_fence(struct mover_file *f);
void file_copied(struct mover_file *f);	/* what the worker says */
void file_switch(struct mover_file *f);
void file_say(struct mover_file *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void file_give_up(struct mover_file *f);
/** source_away() - its home can't be reached */
bool source_away(const struct mover_file *f);
/* mover.c again: a file of the batch is fenced or not; has ended or waits */
void batch_fenced(struct mover_job *j);
void file_ended(struct mover_file *f);
void file_waits(struct mover_file *f);

/* mover_swap.c */

/**
 * round_begin() - @lay is published at all kernels that hold a layout
 * round.done is called once, maybe at once: 0: all of them have it; -EBUSY or
 * another error: none; -ENOTCONN: not known.
 */
void round_begin(struct mover_file *f, const struct op_layout *lay);
void round_tick(struct mover_file *f, uint64_t now);
void round_free(struct mover_file *f);

/* mover_copy.c: the worker */
void copy_start(struct mover_job *j);
/** copy_done() - mover.c, namespace thread. */
void copy_done(struct mover_job *j);

/* mover_far.c: a batch that another node copies */
void far_copy(struct mover_job *j);
void far_tick(struct mover_job *j);
void far_free(struct mover_job *j);

/** mover_looked() - homes have told what files are like */
void mover_looked(struct served *sv);

#endif
