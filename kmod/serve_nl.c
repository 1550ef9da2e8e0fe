// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands and events of the data server. genl holds its lock across a
 * handler, so none waits for I/O or for the end of anything.
 */
#include <linux/file.h>
#include <net/sock.h>

#include "nl_gen.h"
#include "serve.h"

static u32 serve_u32(struct genl_info *info, int attr, u32 otherwise)
{
	return info->attrs[attr] ? nla_get_u32(info->attrs[attr]) : otherwise;
}

static u64 serve_u64(struct genl_info *info, int attr, u64 otherwise)
{
	return info->attrs[attr] ? nla_get_u64(info->attrs[attr]) : otherwise;
}

/* The server, with the lock held when there is one; made with @make. */
static struct orchfs_serve *serve_lock(struct genl_info *info, bool make)
{
	struct orchfs_channel *ch = info->user_ptr[0];
	struct orchfs_net *on = orchfs_net_of(ch->net);
	struct orchfs_serve *serve;

	mutex_lock(&on->serve_lock);
	serve = make ? orchfs_serve_get(ch) : orchfs_serve_find(ch);
	if (!serve)
		serve = ERR_PTR(-ENOENT);
	if (IS_ERR(serve))
		mutex_unlock(&on->serve_lock);
	if (serve == ERR_PTR(-EAGAIN))
		NL_SET_ERR_MSG(info->extack,
			       "the data server is ending: try again");
	return serve;
}

static void serve_unlock(struct orchfs_serve *serve)
{
	mutex_unlock(&orchfs_net_of(serve->net)->serve_lock);
}

static int serve_volume(struct genl_info *info, const struct path *root,
			struct crypto_shash *key)
{
	struct orchfs_serve *serve = serve_lock(info, true);
	int ret;

	if (IS_ERR(serve))
		return PTR_ERR(serve);
	ret = orchfs_volume_serve(serve,
			nla_get_u32(info->attrs[ORCHFS_A_MSG_VOLUME]), root,
			key, nla_get_u32(info->attrs[ORCHFS_A_MSG_KEY_ID]));
	serve_unlock(serve);
	if (ret == -EBUSY)
		NL_SET_ERR_MSG(info->extack,
			       "requests to the volume as it was served before haven't ended: try again");
	return ret;
}

int orchfs_nl_serve_volume_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct crypto_shash *key;
	struct file *root;
	int ret;

	if (GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_VOLUME) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_FD) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_KEY) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_KEY_ID))
		return -EINVAL;
	root = fget(nla_get_u32(info->attrs[ORCHFS_A_MSG_FD]));
	if (!root)
		return orchfs_nl_refuse(info, ORCHFS_A_MSG_FD,
					"no such descriptor");
	if (!S_ISDIR(file_inode(root)->i_mode) ||
	    file_inode(root)->i_sb->s_magic == ORCHFS_SUPER_MAGIC) {
		ret = orchfs_nl_refuse(info, ORCHFS_A_MSG_FD,
				       "not the directory of a volume");
		goto out_fput;
	}
	key = orchfs_token_key(nla_data(info->attrs[ORCHFS_A_MSG_KEY]));
	if (IS_ERR(key)) {
		ret = PTR_ERR(key);
		NL_SET_ERR_MSG(info->extack,
			       "the kernel has no hmac(sha256) to check tokens");
		goto out_fput;
	}
	ret = serve_volume(info, &root->f_path, key);
	if (ret)
		orchfs_token_key_free(key);
out_fput:
	fput(root);
	return ret;
}

int orchfs_nl_serve_unvolume_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct orchfs_serve *serve;
	int ret;

	if (GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_REQUEST_ID) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_VOLUME))
		return -EINVAL;
	serve = serve_lock(info, false);
	if (IS_ERR(serve))
		return PTR_ERR(serve);
	ret = orchfs_volume_unserve(serve,
			nla_get_u32(info->attrs[ORCHFS_A_MSG_VOLUME]),
			nla_get_u64(info->attrs[ORCHFS_A_MSG_REQUEST_ID]));
	serve_unlock(serve);
	return ret;
}

static int serve_limits(struct genl_info *info,
			struct orchfs_serve_limits *limits)
{
	limits->max_requests = serve_u32(info, ORCHFS_A_MSG_MAX_REQUESTS,
					 ORCHFS_PDU_REQUESTS_MAX);
	limits->max_bytes = serve_u32(info, ORCHFS_A_MSG_MAX_BYTES,
				      ORCHFS_SERVE_BYTES);
	limits->max_handles = serve_u32(info, ORCHFS_A_MSG_MAX_HANDLES,
					ORCHFS_SERVE_HANDLES);
	if (!limits->max_requests ||
	    limits->max_requests > ORCHFS_PDU_REQUESTS_MAX)
		return orchfs_nl_refuse(info, ORCHFS_A_MSG_MAX_REQUESTS,
					"limit is not within 1 and 256");
	if (limits->max_bytes > S32_MAX)
		return orchfs_nl_refuse(info, ORCHFS_A_MSG_MAX_BYTES,
					"limit is above 2 GiB");
	if (!limits->max_handles ||
	    limits->max_handles > ORCHFS_SERVE_HANDLES_MAX)
		return orchfs_nl_refuse(info, ORCHFS_A_MSG_MAX_HANDLES,
					"limit is not within 1 and 4096");
	return 0;
}

static int serve_peer(struct genl_info *info, struct socket *sock, u32 peer,
		      u64 *id)
{
	struct orchfs_serve_limits limits;
	struct orchfs_serve *serve;
	int ret;

	ret = serve_limits(info, &limits);
	if (ret)
		return ret;
	serve = serve_lock(info, true);
	if (IS_ERR(serve))
		return PTR_ERR(serve);
	ret = orchfs_conn_start(serve, sock, peer, &limits, id);
	serve_unlock(serve);
	if (ret == -EMFILE)
		NL_SET_ERR_MSG(info->extack,
			       "too many connections: drop some");
	return ret;
}

int orchfs_nl_serve_peer_doit(struct sk_buff *skb, struct genl_info *info)
{
	return orchfs_nl_socket(info, serve_peer);
}

int orchfs_nl_serve_drop_doit(struct sk_buff *skb, struct genl_info *info)
{
	u64 id = serve_u64(info, ORCHFS_A_MSG_CONNECTION, 0);
	struct orchfs_serve_conn *conn;
	struct orchfs_serve *serve;
	int ret = -ENOENT;
	u32 peer;

	if (GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_PEER))
		return -EINVAL;
	peer = nla_get_u32(info->attrs[ORCHFS_A_MSG_PEER]);
	serve = serve_lock(info, false);
	if (IS_ERR(serve))
		return PTR_ERR(serve);
	list_for_each_entry(conn, &serve->conns, link) {
		if (conn->peer != peer || (id && conn->id != id))
			continue;
		orchfs_conn_end(conn, ORCHFS_REASON_DROPPED);
		ret = 0;
	}
	serve_unlock(serve);
	return ret;
}

int orchfs_nl_serve_fence_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct orchfs_fence fence = {};
	struct orchfs_serve *serve;
	int ret;

	if (GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_REQUEST_ID) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_VOLUME) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_INSTANCE) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_PEER) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_EPOCH) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_EXPIRY_MS))
		return -EINVAL;
	fence.instance = nla_get_u64(info->attrs[ORCHFS_A_MSG_INSTANCE]);
	fence.node = nla_get_u32(info->attrs[ORCHFS_A_MSG_PEER]);
	fence.epoch = nla_get_u64(info->attrs[ORCHFS_A_MSG_EPOCH]);
	fence.expiry_ms = nla_get_u64(info->attrs[ORCHFS_A_MSG_EXPIRY_MS]);
	serve = serve_lock(info, true);
	if (IS_ERR(serve))
		return PTR_ERR(serve);
	ret = orchfs_volume_fence(serve,
			nla_get_u32(info->attrs[ORCHFS_A_MSG_VOLUME]),
			nla_get_u64(info->attrs[ORCHFS_A_MSG_REQUEST_ID]),
			&fence);
	serve_unlock(serve);
	if (ret == -ENOSPC)
		NL_SET_ERR_MSG(info->extack,
			       "too many fences: wait the lease out instead");
	return ret;
}

int orchfs_nl_serve_time_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct orchfs_serve *serve;
	int ret;

	if (GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_AUTHORITY_MS) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_BOOT_MS) ||
	    GENL_REQ_ATTR_CHECK(info, ORCHFS_A_MSG_LEASE_MS))
		return -EINVAL;
	if (nla_get_u32(info->attrs[ORCHFS_A_MSG_LEASE_MS]) >
	    ORCHFS_SERVE_LEASE_MAX)
		return orchfs_nl_refuse(info, ORCHFS_A_MSG_LEASE_MS,
					"lease is longer than 10 minutes");
	serve = serve_lock(info, true);
	if (IS_ERR(serve))
		return PTR_ERR(serve);
	ret = orchfs_serve_heard(serve,
			nla_get_u64(info->attrs[ORCHFS_A_MSG_AUTHORITY_MS]),
			nla_get_u64(info->attrs[ORCHFS_A_MSG_BOOT_MS]),
			nla_get_u32(info->attrs[ORCHFS_A_MSG_LEASE_MS]));
	serve_unlock(serve);
	if (ret)
		NL_SET_ERR_MSG(info->extack, "a time that can't be");
	return ret;
}

/* --- what is told --- */

static int serve_put_u64(struct sk_buff *skb, int type, u64 value)
{
	return nla_put(skb, type, sizeof(value), &value);
}

static int serve_put_conn(struct sk_buff *skb, struct orchfs_serve_conn *conn)
{
	struct nlattr *nest;
	u32 in_flight, held, held_most;

	spin_lock(&conn->lock);
	in_flight = conn->in_flight;
	held = conn->held;
	held_most = conn->held_most;
	spin_unlock(&conn->lock);

	if (nla_put_u32(skb, ORCHFS_A_MSG_PEER, conn->peer) ||
	    serve_put_u64(skb, ORCHFS_A_MSG_CONNECTION, conn->id))
		return -EMSGSIZE;
	nest = nla_nest_start(skb, ORCHFS_A_MSG_SERVER);
	if (!nest ||
	    serve_put_u64(skb, ORCHFS_A_SERVER_REQUESTS,
			  atomic64_read(&conn->requests)) ||
	    serve_put_u64(skb, ORCHFS_A_SERVER_REFUSED,
			  atomic64_read(&conn->refused)) ||
	    serve_put_u64(skb, ORCHFS_A_SERVER_BYTES_READ,
			  atomic64_read(&conn->bytes_read)) ||
	    serve_put_u64(skb, ORCHFS_A_SERVER_BYTES_WRITTEN,
			  atomic64_read(&conn->bytes_written)) ||
	    nla_put_u32(skb, ORCHFS_A_SERVER_IN_FLIGHT, in_flight) ||
	    nla_put_u32(skb, ORCHFS_A_SERVER_HANDLES,
			READ_ONCE(conn->nr_handles)) ||
	    nla_put_u32(skb, ORCHFS_A_SERVER_HELD, held) ||
	    nla_put_u32(skb, ORCHFS_A_SERVER_HELD_MOST, held_most) ||
	    serve_put_u64(skb, ORCHFS_A_SERVER_WAITS,
			  atomic64_read(&conn->waits)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int serve_put_volume(struct sk_buff *skb,
			    struct orchfs_serve_volume *vol)
{
	struct nlattr *nest;

	if (nla_put_u32(skb, ORCHFS_A_MSG_VOLUME, vol->number) ||
	    nla_put_u32(skb, ORCHFS_A_MSG_KEY_ID, READ_ONCE(vol->key_id)))
		return -EMSGSIZE;
	nest = nla_nest_start(skb, ORCHFS_A_MSG_SERVER);
	if (!nest || nla_put_u32(skb, ORCHFS_A_SERVER_FENCES,
				 READ_ONCE(vol->fences->nr)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/**
 * orchfs_message_serve_done() - make the message that ends a command
 * @request_id: as the daemon gave it
 * @status: 0 or a negative errno
 *
 * Return: the message or NULL.
 */
struct sk_buff *orchfs_message_serve_done(u64 request_id, int status)
{
	struct sk_buff *skb = genlmsg_new(nla_total_size(sizeof(u64)) +
					  nla_total_size(sizeof(s32)),
					  GFP_KERNEL);
	void *head;

	if (!skb)
		return NULL;
	head = genlmsg_put(skb, 0, 0, &orchfs_nl_family, 0,
			   ORCHFS_CMD_SERVE_DONE);
	if (!head ||
	    serve_put_u64(skb, ORCHFS_A_MSG_REQUEST_ID, request_id) ||
	    nla_put_s32(skb, ORCHFS_A_MSG_STATUS, status)) {
		kfree_skb(skb);
		return NULL;
	}
	genlmsg_end(skb, head);
	return skb;
}

/**
 * orchfs_message_serve_gone() - make the message that tells of an end
 * @conn: a connection that has ended
 *
 * Return: the message or NULL.
 */
struct sk_buff *orchfs_message_serve_gone(struct orchfs_serve_conn *conn)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	void *head;

	if (!skb)
		return NULL;
	head = genlmsg_put(skb, 0, 0, &orchfs_nl_family, 0,
			   ORCHFS_CMD_SERVE_GONE);
	if (!head || nla_put_u32(skb, ORCHFS_A_MSG_REASON, conn->reason) ||
	    serve_put_conn(skb, conn)) {
		kfree_skb(skb);
		return NULL;
	}
	genlmsg_end(skb, head);
	return skb;
}

int orchfs_nl_serve_list_start(struct netlink_callback *cb)
{
	return orchfs_nl_permitted(cb->skb, cb->extack) ? 0 : -EPERM;
}

int orchfs_nl_serve_list_done(struct netlink_callback *cb)
{
	return 0;
}

static int serve_put_entry(struct sk_buff *skb, struct netlink_callback *cb,
			   struct orchfs_serve *serve,
			   struct orchfs_serve_volume *vol,
			   struct orchfs_serve_conn *conn)
{
	void *head = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
				 cb->nlh->nlmsg_seq, &orchfs_nl_family,
				 NLM_F_MULTI, ORCHFS_CMD_SERVE_LIST);

	if (!head)
		return -EMSGSIZE;
	if (nla_put(skb, ORCHFS_A_MSG_NS_UUID, sizeof(serve->uuid),
		    serve->uuid) ||
	    (vol ? serve_put_volume(skb, vol) : serve_put_conn(skb, conn))) {
		genlmsg_cancel(skb, head);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return 0;
}

/*
 * Servers and volumes are in order of their serial, connections of their
 * number; args have those of the last entries that were put. So none is left
 * out because others end meanwhile.
 */
static int serve_put_server(struct sk_buff *skb, struct netlink_callback *cb,
			    struct orchfs_serve *serve)
{
	struct orchfs_serve_volume *vol;
	struct orchfs_serve_conn *conn;
	int ret;

	if (serve->serial < cb->args[0])
		return 0;
	if (serve->serial > cb->args[0]) {
		cb->args[0] = serve->serial;
		cb->args[1] = 0;
		cb->args[2] = 0;
	}
	list_for_each_entry(vol, &serve->volumes, link) {
		if (vol->serial <= cb->args[1])
			continue;
		ret = serve_put_entry(skb, cb, serve, vol, NULL);
		if (ret)
			return ret;
		cb->args[1] = vol->serial;
	}
	list_for_each_entry(conn, &serve->conns, link) {
		if (conn->id <= cb->args[2])
			continue;
		ret = serve_put_entry(skb, cb, serve, NULL, conn);
		if (ret)
			return ret;
		cb->args[2] = conn->id;
	}
	return 0;
}

int orchfs_nl_serve_list_dumpit(struct sk_buff *skb,
				struct netlink_callback *cb)
{
	struct orchfs_net *on = orchfs_net_of(sock_net(cb->skb->sk));
	struct orchfs_serve *serve;
	int ret = 0;

	mutex_lock(&on->serve_lock);
	list_for_each_entry(serve, &on->serves, link) {
		ret = serve_put_server(skb, cb, serve);
		if (ret)
			break;
	}
	mutex_unlock(&on->serve_lock);
	/* A message without room for even one is an error. */
	return skb->len ?: ret;
}
