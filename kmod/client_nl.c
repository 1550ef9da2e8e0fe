// SPDX-License-Identifier: GPL-2.0-only
/*
 * The command and the events of connections to other nodes' data servers.
 */
#include <linux/net.h>
#include <net/sock.h>

#include "channel.h"
#include "client.h"
#include "nl_gen.h"

int orchfs_nl_peer_add_doit(struct sk_buff *skb, struct genl_info *info)
{
	if (GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_FD) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_PEER))
		return -EINVAL;
	NL_SET_ERR_MSG(info->extack, "other nodes' data servers can't be asked yet");
	return -EOPNOTSUPP;
}
