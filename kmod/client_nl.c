// SPDX-License-Identifier: GPL-2.0-only
/*
 * The command and the events of connections to other nodes' data servers.
 */
#include "client_impl.h"
#include "nl_gen.h"

static int client_add(struct genl_info *info, struct socket *sock, u32 node,
		      u64 *id)
{
	struct orchfs_channel *ch = info->user_ptr[0];
	struct orchfs_peer *peer = orchfs_peer_get(ch->net, ch->uuid, node);
	int ret;

	if (!peer)
		return -ENOMEM;
	ret = orchfs_client_start(peer, sock, id);
	orchfs_peer_put(peer);
	if (ret == -EMFILE)
		NL_SET_ERR_MSG(info->extack,
			       "too many connections to that node: close some");
	return ret;
}

int orchfs_nl_peer_add_doit(struct sk_buff *skb, struct genl_info *info)
{
	return orchfs_nl_socket(info, client_add);
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
