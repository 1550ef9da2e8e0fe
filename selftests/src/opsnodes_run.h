/* SPDX-License-Identifier: GPL-2.0-only */
/* opsnodes: what its one process that asks, hears and compares has in common. */
#ifndef OPSNODES_RUN_H
#define OPSNODES_RUN_H

#include "opsnodes.h"

#define CANDS		4096
#define DOUBTS		8	/* bits of model.undone */
#define DOUBTS_LOOK	2	/* with so many nothing is changed any more */

struct options {
	const char *mount[MOUNTS], *run[MOUNTS];
	unsigned int mounts, each, stuck, slow, hook_every, lie, pretend;
	uint64_t seed;
	unsigned int ops, seconds, rounds;
	const char *hook;
};

extern struct options opt;
extern struct gen gen;
extern struct model *cand[CANDS];
extern int fds[WORKERS];
extern unsigned int done, rounds, errors, counts[OP_COUNT];

/* opsnodes.c */
int64_t clock_ns(clockid_t clock);
void send_cmd(const struct cmd *c);
void receive(const struct cmd *c, struct result *r, unsigned char *to);
/* Waits up to @ms for an answer of a worker of @busy, or (@hook) for that. */
void await(unsigned int busy, bool hook, int ms);
void look_at(unsigned int worker, unsigned int op, struct path p,
	     unsigned int xname);
void look_slot(unsigned int worker, unsigned int slot);
/* Finds out which order it was, or states become more and more. */
void settle(const struct cmd *c, struct path p, unsigned int before);

/* opsnodes_tell.c */
extern const char *const op_names[OP_COUNT];
void print_cmd(const struct cmd *c);
void print_history(const struct cmd *of);
void remember(const struct deed *d, bool late);
void failed_head(void);

/* opsnodes_explain.c */
void explain(const struct deed *d, unsigned int n);
/*
 * Each state becomes several: of its doubts some have been done, @done among
 * them; false: that can't be.
 */
bool explain_doubts(uint32_t done);

/*
 * opsnodes_doubt.c: of a doubt it isn't known whether it was done, or will be:
 * it has been answered so, or has no answer yet.
 */
struct doubt {
	struct deed deed;
	bool used, open;	/* not answered yet */
};

extern struct doubt doubts[DOUBTS];

/* An answer that may be wrong while faults go on. */
bool unsure_answer(const struct deed *d);
/* Does doubt @j in @m; false: there it can't have been. @bound: see deed. */
bool doubt_do(struct model *m, unsigned int j, bool bound);
/* Has no answer yet, or one that may be wrong: explained from now on so. */
void doubt_add(struct deed *d, bool open);
bool doubts_concern(const struct deed *d);
void doubt_drop(unsigned int j);
void doubts_hear(void);		/* late answers, without waiting */
void doubts_answered(void);	/* waits until there are all */
void doubts_end(void);		/* what wasn't done yet never will be */

/* opsnodes_hook.c */
extern unsigned int hooks;
extern bool unsure, unsynced;	/* by what the hook has said */
int hook_poll_fd(void);
bool hook_runs(void);
int64_t hook_began(void);	/* 0: never */
void hook_due(void);		/* starts it, if it is */
void hook_hear(void);
void hook_finish(void);		/* waits for its end */

#endif
