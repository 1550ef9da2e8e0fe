// SPDX-License-Identifier: GPL-2.0-only
/*
 * The command and the events of connections to other nodes' data servers.
 */
#include <linux/net.h>
#include <net/sock.h>

#include "client_impl.h"
#include "nl_gen.h"

static int client_refuse(struct genl_info *info, int attr, const char *why)
{
	NL_SET_BAD_ATTR(info->extack, info->attrs[attr]);
	if (info->extack)
		info->extack->_msg = why;
	return -EINVAL;
}

static int client_add(struct genl_info *info, struct socket *sock, u64 *id)
{
	struct orchfs_channel *ch = info->user_ptr[0];
	u32 node = nla_get_u32(info->attrs[ORCHFS_A_MSG_PEER]);
	struct orchfs_peer *peer;
	const char *fault;
	int ret;

	if (!node)
		return client_refuse(info, ORCHFS_A_MSG_PEER, "no such node");
	fault = orchfs_tcp_fault(sock, ch->net);
	if (fault)
		return client_refuse(info, ORCHFS_A_MSG_FD, fault);
	peer = orchfs_peer_get(ch->net, ch->uuid, node);
	if (!peer)
		return -ENOMEM;
	ret = orchfs_client_start(peer, sock, id);
	orchfs_peer_put(peer);
	if (ret == -EBUSY)
		NL_SET_ERR_MSG(info->extack,
			       "somebody in the kernel uses the socket already");
	else if (ret == -EMFILE)
		NL_SET_ERR_MSG(info->extack,
			       "too many connections to that node: close some");
	return ret;
}

static int client_answer(struct genl_info *info, u64 id)
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

int orchfs_nl_peer_add_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct socket *sock;
	u64 id;
	int ret;

	if (GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_FD) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_PEER))
		return -EINVAL;
	sock = sockfd_lookup(nla_get_u32(info->attrs[ORCHFS_A_MSG_FD]), &ret);
	if (!sock)
		return client_refuse(info, ORCHFS_A_MSG_FD,
				     "descriptor is no socket");
	ret = client_add(info, sock, &id);
	if (ret) {
		sockfd_put(sock);
		return ret;
	}
	return client_answer(info, id);
}

/**
 * orchfs_client_event() - tell the daemon, if there is one
 * @peer: of its namespace
 * @skb: what; consumed. NULL: there was no memory for it
 */
void orchfs_client_event(struct orchfs_peer *peer, struct sk_buff *skb)
{
	struct orchfs_channel *ch = orchfs_channel_by_uuid(peer->net,
							   peer->uuid);

	if (!ch) {
		kfree_skb(skb);
		return;
	}
	orchfs_event_queue(ch, skb);
	orchfs_channel_put(ch);
}

static struct sk_buff *client_message(u8 cmd, u32 node, void **head)
{
	struct sk_buff *skb = genlmsg_new(2 * nla_total_size(sizeof(u32)) +
					  nla_total_size(sizeof(u64)),
					  GFP_KERNEL);

	if (!skb)
		return NULL;
	*head = genlmsg_put(skb, 0, 0, &orchfs_nl_family, 0, cmd);
	if (!*head || nla_put_u32(skb, ORCHFS_A_MSG_PEER, node)) {
		kfree_skb(skb);
		return NULL;
	}
	return skb;
}

/**
 * orchfs_message_peer_gone() - make the message that tells of an end
 * @conn: a connection that has ended
 *
 * Return: the message or NULL.
 */
struct sk_buff *orchfs_message_peer_gone(const struct orchfs_client_conn *conn)
{
	u64 id = conn->id;
	void *head;
	struct sk_buff *skb = client_message(ORCHFS_CMD_PEER_GONE,
					     conn->peer->node, &head);

	if (!skb)
		return NULL;
	if (nla_put(skb, ORCHFS_A_MSG_CONNECTION, sizeof(id), &id) ||
	    nla_put_u32(skb, ORCHFS_A_MSG_REASON, conn->reason)) {
		kfree_skb(skb);
		return NULL;
	}
	genlmsg_end(skb, head);
	return skb;
}

/**
 * orchfs_message_peer_want() - make the message that asks for a connection
 * @peer: to which
 *
 * Return: the message or NULL.
 */
struct sk_buff *orchfs_message_peer_want(const struct orchfs_peer *peer)
{
	void *head;
	struct sk_buff *skb = client_message(ORCHFS_CMD_PEER_WANT, peer->node,
					     &head);

	if (skb)
		genlmsg_end(skb, head);
	return skb;
}
