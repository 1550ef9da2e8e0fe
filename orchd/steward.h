/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent's volumes: what the authority wants done with them. Namespace
 * thread. Documentation/locality.md.
 */
#ifndef ORCHD_STEWARD_H
#define ORCHD_STEWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "copy.h"

struct peer_request;
struct served;
struct steward_copy;
struct steward_fence;

/* A part of struct agent. */
struct steward {
	bool heard;			/* volumes, by this link */
	bool news;			/* states are to be told */
	bool telling;			/* they are on their way */
	uint64_t told_at;		/* ms */
	uint64_t drop_at;		/* ms: layouts of volumes that aren't used */
	struct steward_fence *fences;	/* to be answered */
	struct steward_copy *copies;	/* the same */
	struct copy_pace pace;
};

/** steward_request() - of the authority, VOLUMES to COPY_WATCH; takes @r */
void steward_request(struct served *sv, struct peer_request *r);
/** steward_news() - a volume's state has changed */
void steward_news(struct served *sv);
/** steward_waits() - isn't it known yet whether that volume can be used? */
bool steward_waits(const struct served *sv, uint32_t volume);
void steward_turn(struct served *sv);	/* after each event */
void steward_tick(struct served *sv);	/* each second, or more often */
/** steward_lost() - the link, and what was to be answered by it */
void steward_lost(struct served *sv);
/** steward_stop() - its threads; before the links go */
void steward_stop(struct served *sv);
void steward_free(struct served *sv);

#endif
