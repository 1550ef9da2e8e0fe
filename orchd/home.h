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

struct peer_request;
struct served;

/** home_request() - what a home tells or asks; takes @r */
void home_request(struct served *sv, struct peer_request *r);

#endif
