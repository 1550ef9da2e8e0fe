// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the commands of the data server and of its clients share: taking the
 * socket of a connection from the daemon.
 */
#include <linux/net.h>
#include <net/sock.h>

#include "channel.h"
#include "nl_gen.h"
#include "transport.h"

/**
 * orchfs_nl_refuse() - say what is wrong with an attribute
 * @info: the command
 * @attr: its attribute, ORCHFS_A_MSG_*
 * @why: a literal, for the daemon's log
 *
 * Return: -EINVAL.
 */
int orchfs_nl_refuse(struct genl_info *info, int attr, const char *why)
{
	NL_SET_BAD_ATTR(info->extack, info->attrs[attr]);
	if (info->extack)
		info->extack->_msg = why;
	return -EINVAL;
}

static int socket_use(struct genl_info *info, struct socket *sock,
		      orchfs_socket_fn use, u64 *id)
{
	struct orchfs_channel *ch = info->user_ptr[0];
	u32 node = nla_get_u32(info->attrs[ORCHFS_A_MSG_PEER]);
	const char *fault;
	int ret;

	if (!node)
		return orchfs_nl_refuse(info, ORCHFS_A_MSG_PEER,
					"no such node");
	fault = orchfs_tcp_fault(sock, ch->net);
	if (fault)
		return orchfs_nl_refuse(info, ORCHFS_A_MSG_FD, fault);
	ret = use(info, sock, node, id);
	if (ret == -EBUSY)
		NL_SET_ERR_MSG(info->extack,
			       "somebody in the kernel uses the socket already");
	return ret;
}

static int socket_answer(struct genl_info *info, u64 id)
{
	struct sk_buff *skb = genlmsg_new(nla_total_size(sizeof(u64)),
					  GFP_KERNEL);
	void *head;

	if (!skb)
		return -ENOMEM;
	head = genlmsg_iput(skb, info);
	if (!head || nla_put(skb, ORCHFS_A_MSG_CONNECTION, sizeof(id), &id)) {
		kfree_skb(skb);
		return -ENOMEM;
	}
	genlmsg_end(skb, head);
	return genlmsg_reply(skb, info);
}

/**
 * orchfs_nl_socket() - take a connection from the daemon
 * @info: the command; it has the socket's descriptor and the node at its end
 * @use: begins to use it
 *
 * The answer is the connection's number. Without one serve-list tells.
 *
 * Return: 0 or an error code.
 */
int orchfs_nl_socket(struct genl_info *info, orchfs_socket_fn use)
{
	struct socket *sock;
	u64 id;
	int ret;

	if (GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_FD) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_PEER))
		return -EINVAL;
	sock = sockfd_lookup(nla_get_u32(info->attrs[ORCHFS_A_MSG_FD]), &ret);
	if (!sock)
		return orchfs_nl_refuse(info, ORCHFS_A_MSG_FD,
					"descriptor is no socket");
	ret = socket_use(info, sock, use, &id);
	if (ret) {
		sockfd_put(sock);
		return ret;
	}
	return socket_answer(info, id);
}
