/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by steward*.c. */
#ifndef ORCHD_STEWARD_IMPL_H
#define ORCHD_STEWARD_IMPL_H

#include "agent.h"
#include "steward.h"

/* So much may be asked at once: Documentation/locality.md. */
#define STEWARD_MAKE	512
#define STEWARD_LOOK	4096
#define STEWARD_GLIMPSE	1024
#define STEWARD_DELETE	512

void steward_done(struct peer_request *r);

/* steward_volume.c */

/** steward_volumes() - all that are this node's from now on; takes @r */
void steward_volumes(struct served *sv, struct peer_request *r);
void steward_volumes_tick(struct served *sv);
/** steward_tell() - what state they are in */
void steward_tell(struct served *sv);

/* steward_work.c: done by threads of the volumes; takes @r */
void steward_work(struct served *sv, struct peer_request *r);
void steward_flush(struct served *sv, struct peer_request *r);

/* steward_copy.c */

/** steward_copy(), steward_copy_watch() - take @r */
void steward_copy(struct served *sv, struct peer_request *r);
void steward_copy_watch(struct served *sv, struct peer_request *r);
/** steward_copy_stopping() - may one still make files that aren't wanted? */
bool steward_copy_stopping(const struct served *sv);
void steward_copies_stop(struct served *sv);
void steward_copies_end(struct served *sv);

#endif
