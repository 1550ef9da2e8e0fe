// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands that a daemon sends. genl holds its lock across a handler, so
 * none of them waits for inode locks, folios, drains or I/O: they record and
 * queue.
 */
#include <linux/capability.h>
#include <linux/ctype.h>
#include <linux/file.h>
#include <linux/net.h>
#include <net/sock.h>

#include "channel.h"
#include "nl_gen.h"

/**
 * orchfs_nl_permitted() - may the sender speak for a daemon
 * @skb: its message
 * @extack: gets the text of an error
 *
 * Who attaches supplies file contents, so it needs CAP_SYS_ADMIN in the
 * initial user namespace. The opener of the socket needs it too: it might have
 * kept a copy of the descriptor and read what is sent to the daemon.
 *
 * Return: true when it may.
 */
bool orchfs_nl_permitted(const struct sk_buff *skb,
			 struct netlink_ext_ack *extack)
{
	struct socket *sock = NETLINK_CB(skb).sk->sk_socket;

	if (netlink_capable(skb, CAP_SYS_ADMIN) && sock && sock->file &&
	    file_ns_capable(sock->file, &init_user_ns, CAP_SYS_ADMIN))
		return true;
	NL_SET_ERR_MSG(extack,
		       "CAP_SYS_ADMIN in the initial user namespace is needed: run orchd as root, outside containers");
	return false;
}

/* All but attach are for the daemon that is attached. */
int orchfs_nl_pre_doit(const struct genl_split_ops *ops,
		       struct sk_buff *skb, struct genl_info *info)
{
	if (!orchfs_nl_permitted(skb, info->extack))
		return -EPERM;
	if (ops->cmd == ORCHFS_CMD_ATTACH)
		return 0;
	info->user_ptr[0] = orchfs_channel_by_port(genl_info_net(info),
						   info->snd_portid);
	if (info->user_ptr[0])
		return 0;
	NL_SET_ERR_MSG(info->extack, "this socket is no daemon: attach first");
	return -ENOTCONN;
}

/* Any message tells that the daemon has room again. */
void orchfs_nl_post_doit(const struct genl_split_ops *ops,
			 struct sk_buff *skb, struct genl_info *info)
{
	struct orchfs_channel *ch = info->user_ptr[0];

	if (!ch)
		return;
	orchfs_channel_kick(ch);
	orchfs_channel_put(ch);
}

static int orchfs_check_ns_name(const char *name,
				struct netlink_ext_ack *extack)
{
	const char *s;

	if (!*name) {
		NL_SET_ERR_MSG(extack, "name of the namespace is empty");
		return -EINVAL;
	}
	for (s = name; *s; s++) {
		if (*s != '/' && *s != ':' && !iscntrl(*s))
			continue;
		NL_SET_ERR_MSG(extack,
			       "name of the namespace holds '/', ':' or a control character");
		return -EINVAL;
	}
	return 0;
}

static int orchfs_check_version(struct genl_info *info)
{
	u32 min = nla_get_u32(info->attrs[ORCHFS_A_MSG_VERSION_MIN]);
	u32 max = nla_get_u32(info->attrs[ORCHFS_A_MSG_VERSION_MAX]);

	if (min > max) {
		NL_SET_ERR_MSG(info->extack, "range of versions is empty");
		return -EINVAL;
	}
	if (min <= ORCHFS_PROTOCOL_VERSION && max >= ORCHFS_PROTOCOL_VERSION)
		return 0;
	NL_SET_ERR_MSG_FMT(info->extack,
			   "module speaks version %u, daemon %u to %u: update the %s",
			   ORCHFS_PROTOCOL_VERSION, min, max,
			   min > ORCHFS_PROTOCOL_VERSION ? "module" : "daemon");
	return -EPROTO;
}

static struct sk_buff *orchfs_attach_reply(struct genl_info *info)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);

	if (!skb)
		return NULL;
	if (!genlmsg_iput(skb, info) ||
	    nla_put_u32(skb, ORCHFS_A_MSG_VERSION, ORCHFS_PROTOCOL_VERSION) ||
	    nla_put(skb, ORCHFS_A_MSG_BOOT_ID, sizeof(orchfs_boot_id),
		    orchfs_boot_id)) {
		kfree_skb(skb);
		return NULL;
	}
	return skb;
}

/* The answer could not be sent: the daemon doesn't know that it is one. */
static void orchfs_attach_undo(struct genl_info *info)
{
	struct orchfs_channel *ch;

	ch = orchfs_channel_by_port(genl_info_net(info), info->snd_portid);
	if (!ch)
		return;
	orchfs_channel_detach(ch, info->snd_portid);
	orchfs_channel_put(ch);
}

int orchfs_nl_attach_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct sk_buff *reply;
	bool mounted = false;
	const char *name;
	int ret;

	if (GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_VERSION_MIN) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_VERSION_MAX) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_NS_UUID) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_NS_NAME) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_INCARNATION))
		return -EINVAL;
	ret = orchfs_check_version(info);
	if (ret)
		return ret;
	name = nla_data(info->attrs[ORCHFS_A_MSG_NS_NAME]);
	ret = orchfs_check_ns_name(name, info->extack);
	if (ret)
		return ret;

	reply = orchfs_attach_reply(info);
	if (!reply)
		return -ENOMEM;
	ret = orchfs_channel_attach(genl_info_net(info),
				    nla_data(info->attrs[ORCHFS_A_MSG_NS_UUID]),
				    name,
				    nla_get_u64(info->attrs[ORCHFS_A_MSG_INCARNATION]),
				    info->snd_portid, info->extack, &mounted);
	if (ret)
		goto err_free_reply;
	ret = nla_put_u32(reply, ORCHFS_A_MSG_STATE, mounted);
	if (ret)
		goto err_attach_undo;
	nlmsg_end(reply, nlmsg_hdr(reply));
	ret = genlmsg_reply(reply, info);
	if (ret)
		orchfs_attach_undo(info);
	return ret;

err_attach_undo:
	orchfs_attach_undo(info);
err_free_reply:
	kfree_skb(reply);
	return ret;
}

static void orchfs_note_durable(struct orchfs_channel *ch,
				struct genl_info *info)
{
	if (info->attrs[ORCHFS_A_MSG_DURABLE])
		orchfs_channel_durable(ch,
			nla_get_u64(info->attrs[ORCHFS_A_MSG_DURABLE]));
}

static void orchfs_note_lease(struct orchfs_channel *ch,
			      struct genl_info *info)
{
	if (info->attrs[ORCHFS_A_MSG_LEASE_UNTIL_MS])
		orchfs_channel_lease(ch,
			nla_get_u64(info->attrs[ORCHFS_A_MSG_LEASE_UNTIL_MS]));
}

int orchfs_nl_ready_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *durable = info->attrs[ORCHFS_A_MSG_DURABLE];
	struct orchfs_channel *ch = info->user_ptr[0];
	int ret;

	ret = orchfs_channel_ready(ch, info->snd_portid,
				   durable ? nla_get_u64(durable) : 0);
	if (!ret)
		orchfs_note_lease(ch, info);
	return ret;
}

/* What the caller of a request gets; res is filled when it is 0. */
static int orchfs_reply_status(struct sk_buff *skb, struct genl_info *info,
			       const struct orchfs_request *req,
			       struct orchfs_result *res, int *err)
{
	int status = nla_get_s32(info->attrs[ORCHFS_A_MSG_STATUS]);

	*err = 0;
	/* EHWPOISON is the last; from 512 on they are the kernel's own. */
	if (status > 0 || status < -EHWPOISON) {
		NL_SET_ERR_MSG_ATTR(info->extack,
				    info->attrs[ORCHFS_A_MSG_STATUS],
				    "status is neither 0 nor a negative errno");
		*err = -EPROTO;
	} else if (!status) {
		*err = orchfs_message_reply(skb, info, req, res);
	}
	if (*err)
		return *err == -ENOMEM ? -ENOMEM : -EPROTO;
	return status;
}

int orchfs_nl_reply_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct orchfs_channel *ch = info->user_ptr[0];
	struct orchfs_result res = {};
	struct orchfs_request *req;
	int status, err;

	if (GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_REQUEST_ID) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_STATUS))
		return -EINVAL;
	orchfs_note_durable(ch, info);
	req = orchfs_request_expect(ch,
			nla_get_u64(info->attrs[ORCHFS_A_MSG_REQUEST_ID]));
	if (!req)
		return 0;
	status = orchfs_reply_status(skb, info, req, &res, &err);
	if (err)
		orchfs_request_unusable(ch, req);
	if (!orchfs_request_complete(ch, req, status, &res))
		orchfs_result_free(&res);
	orchfs_request_put(req);
	return err;
}

int orchfs_nl_poll_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct orchfs_channel *ch = info->user_ptr[0];

	orchfs_note_durable(ch, info);
	orchfs_note_lease(ch, info);
	/* This answer may find no room; only the dump tells that it arrived. */
	if (!READ_ONCE(ch->notes_lost))
		return 0;
	NL_SET_ERR_MSG(info->extack,
		       "notices were lost: read the handles again");
	return -ESTALE;
}

/* Is that of the inode, and has it lost its last name? */
static int orchfs_check_unlinked(struct genl_info *info,
				 struct orchfs_attr *attr)
{
	const struct nlattr *node = info->attrs[ORCHFS_A_MSG_NODE];
	struct nlattr *a = info->attrs[ORCHFS_A_MSG_ATTR];

	nla_memcpy(attr, a, sizeof(*attr));
	if (node && !info->attrs[ORCHFS_A_MSG_NAME] && !attr->nlink &&
	    (!attr->ino || attr->ino == nla_get_u64(node))) {
		attr->ino = nla_get_u64(node);
		return 0;
	}
	NL_SET_ERR_MSG_ATTR(info->extack, a,
			    "attr is another inode's than node's, or has links left");
	return -EINVAL;
}

int orchfs_nl_invalidate_doit(struct sk_buff *skb, struct genl_info *info)
{
	const struct nlattr *name = info->attrs[ORCHFS_A_MSG_NAME];
	const struct nlattr *node = info->attrs[ORCHFS_A_MSG_NODE];
	const struct nlattr *attr = info->attrs[ORCHFS_A_MSG_ATTR];
	struct orchfs_channel *ch = info->user_ptr[0];
	struct orchfs_attr unlinked;
	struct super_block *sb;
	struct qstr qname;
	int ret;

	if (name && (!node || !orchfs_name_valid(nla_data(name),
						 nla_len(name)))) {
		NL_SET_ERR_MSG_ATTR(info->extack, name,
				    "name is impossible or lacks its directory");
		return -EINVAL;
	}
	if (attr) {
		ret = orchfs_check_unlinked(info, &unlinked);
		if (ret)
			return ret;
	}
	sb = orchfs_channel_sb_get(ch);
	if (attr)
		orchfs_unlinked(ch, sb, &unlinked);
	if (attr || !sb)
		goto out;
	if (name)
		qname = (struct qstr)QSTR_INIT(nla_data(name), nla_len(name));
	orchfs_super_invalidate(sb, node ? nla_get_u64(node) : 0,
				name ? &qname : NULL);
out:
	orchfs_channel_sb_put(ch, sb);
	return 0;
}

int orchfs_nl_layout_drop_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct orchfs_channel *ch = info->user_ptr[0];
	struct super_block *sb;
	int ret;

	if (GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_VOLUME))
		return -EINVAL;
	sb = orchfs_channel_sb_get(ch);
	if (!sb)
		return 0;
	ret = orchfs_layout_drop_volume(sb,
			nla_get_u32(info->attrs[ORCHFS_A_MSG_VOLUME]));
	orchfs_channel_sb_put(ch, sb);
	return ret;
}

int orchfs_nl_layout_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct orchfs_channel *ch = info->user_ptr[0];
	struct orchfs_layout *lay = NULL;
	struct super_block *sb;
	int ret;

	if (GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_REQUEST_ID) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_NODE) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_LAYOUT) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_TIMEOUT_MS))
		return -EINVAL;
	sb = orchfs_channel_sb_get(ch);
	if (!sb) {
		NL_SET_ERR_MSG(info->extack, "namespace is not mounted");
		return -ENOENT;
	}
	ret = orchfs_layout_decode(ch, info->attrs[ORCHFS_A_MSG_LAYOUT], &lay,
				   info->extack);
	if (!ret)
		ret = orchfs_layout_set(sb,
			nla_get_u64(info->attrs[ORCHFS_A_MSG_NODE]), lay,
			nla_get_u64(info->attrs[ORCHFS_A_MSG_REQUEST_ID]),
			nla_get_u32(info->attrs[ORCHFS_A_MSG_TIMEOUT_MS]));
	orchfs_channel_sb_put(ch, sb);
	return ret;
}
