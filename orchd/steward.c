// SPDX-License-Identifier: Apache-2.0
/* An agent's volumes. */
#include "steward.h"

#include <errno.h>

#include "peer.h"

void steward_request(struct served *sv, struct peer_request *r)
{
	(void)sv;
	peer_fail(r, -EOPNOTSUPP, "this node doesn't know that request");
}
