// SPDX-License-Identifier: Apache-2.0
/* Volumes of other nodes, at the authority. */
#include "home.h"

#include <errno.h>

#include "peer.h"

void home_request(struct served *sv, struct peer_request *r)
{
	(void)sv;
	peer_fail(r, -EOPNOTSUPP, "the authority doesn't know that request");
}
