/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent's volumes: what the authority wants done with them. Namespace
 * thread. Documentation/locality.md.
 */
#ifndef ORCHD_STEWARD_H
#define ORCHD_STEWARD_H

struct peer_request;
struct served;

/** steward_request() - of the authority, VOLUMES to COPY_END; takes @r */
void steward_request(struct served *sv, struct peer_request *r);

#endif
