// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include "nl_gen.h"
#include "nl_msg.h"
#include "nl_serve.h"

#define PAYLOAD		192	/* more than any of these has */

static int get_counters(struct nlattr *a, struct nl_serve *s)
{
	struct nlattr *tb[ORCHFS_A_SERVER_MAX + 1];

	if (nla_parse_nested(tb, ORCHFS_A_SERVER_MAX, a,
			     (struct nla_policy *)orchfs_server_nl_policy) < 0)
		return -EPROTO;
	s->requests = msg_u64(tb, ORCHFS_A_SERVER_REQUESTS);
	s->refused = msg_u64(tb, ORCHFS_A_SERVER_REFUSED);
	s->bytes_read = msg_u64(tb, ORCHFS_A_SERVER_BYTES_READ);
	s->bytes_written = msg_u64(tb, ORCHFS_A_SERVER_BYTES_WRITTEN);
	s->in_flight = msg_u32(tb, ORCHFS_A_SERVER_IN_FLIGHT);
	s->handles = msg_u32(tb, ORCHFS_A_SERVER_HANDLES);
	s->held = msg_u32(tb, ORCHFS_A_SERVER_HELD);
	s->held_most = msg_u32(tb, ORCHFS_A_SERVER_HELD_MOST);
	s->waits = msg_u64(tb, ORCHFS_A_SERVER_WAITS);
	s->fences = msg_u32(tb, ORCHFS_A_SERVER_FENCES);
	return 0;
}

int nl_decode_serve(struct nlmsghdr *nlh, struct nl_serve *s)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];

	if (msg_parse(nlh, tb) < 0 ||
	    (!tb[ORCHFS_A_MSG_VOLUME] && !tb[ORCHFS_A_MSG_PEER]))
		return -EPROTO;
	memset(s, 0, sizeof(*s));
	if (tb[ORCHFS_A_MSG_NS_UUID])
		memcpy(s->uuid, nla_data(tb[ORCHFS_A_MSG_NS_UUID]), 16);
	s->volume = msg_u32(tb, ORCHFS_A_MSG_VOLUME);
	s->key_id = msg_u32(tb, ORCHFS_A_MSG_KEY_ID);
	s->peer = msg_u32(tb, ORCHFS_A_MSG_PEER);
	s->connection = msg_u64(tb, ORCHFS_A_MSG_CONNECTION);
	s->reason = msg_u32(tb, ORCHFS_A_MSG_REASON);
	return tb[ORCHFS_A_MSG_SERVER] ?
	       get_counters(tb[ORCHFS_A_MSG_SERVER], s) : 0;
}

int nl_decode_connection(struct nlmsghdr *nlh, uint64_t *connection)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];

	if (msg_parse(nlh, tb) < 0 || !tb[ORCHFS_A_MSG_CONNECTION])
		return -EPROTO;
	*connection = msg_u64(tb, ORCHFS_A_MSG_CONNECTION);
	return 0;
}

int nl_decode_serve_done(struct nlmsghdr *nlh, uint64_t *id, int *status)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];

	if (msg_parse(nlh, tb) < 0 || !tb[ORCHFS_A_MSG_REQUEST_ID])
		return -EPROTO;
	*id = msg_u64(tb, ORCHFS_A_MSG_REQUEST_ID);
	*status = (int)msg_u32(tb, ORCHFS_A_MSG_STATUS);
	return 0;
}

struct nl_msg *nl_encode_serve_volume(uint16_t family, uint32_t volume, int fd,
				      const uint8_t *key, uint32_t key_id)
{
	struct nl_msg *m = msg_new(family, ORCHFS_CMD_SERVE_VOLUME, NLM_F_ACK,
				   PAYLOAD);

	if (!m)
		return NULL;
	return msg_end(m, nla_put_u32(m, ORCHFS_A_MSG_VOLUME, volume) ||
		       nla_put_u32(m, ORCHFS_A_MSG_FD, (uint32_t)fd) ||
		       nla_put(m, ORCHFS_A_MSG_KEY, ORCHFS_KEY_LEN, key) ||
		       nla_put_u32(m, ORCHFS_A_MSG_KEY_ID, key_id));
}

struct nl_msg *nl_encode_serve_unvolume(uint16_t family, uint64_t id,
					uint32_t volume)
{
	struct nl_msg *m = msg_new(family, ORCHFS_CMD_SERVE_UNVOLUME,
				   NLM_F_ACK, PAYLOAD);

	if (!m)
		return NULL;
	return msg_end(m, nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, id) ||
		       nla_put_u32(m, ORCHFS_A_MSG_VOLUME, volume));
}

struct nl_msg *nl_encode_socket(uint16_t family, uint8_t cmd, int fd,
				uint32_t peer)
{
	struct nl_msg *m = msg_new(family, cmd, 0, PAYLOAD);

	if (!m)
		return NULL;
	return msg_end(m, nla_put_u32(m, ORCHFS_A_MSG_FD, (uint32_t)fd) ||
		       nla_put_u32(m, ORCHFS_A_MSG_PEER, peer));
}

struct nl_msg *nl_encode_serve_drop(uint16_t family, uint32_t peer,
				    uint64_t connection)
{
	struct nl_msg *m = msg_new(family, ORCHFS_CMD_SERVE_DROP, NLM_F_ACK,
				   PAYLOAD);
	int rc;

	if (!m)
		return NULL;
	rc = nla_put_u32(m, ORCHFS_A_MSG_PEER, peer);
	if (!rc && connection)
		rc = nla_put_u64(m, ORCHFS_A_MSG_CONNECTION, connection);
	return msg_end(m, rc);
}

struct nl_msg *nl_encode_serve_fence(uint16_t family, uint64_t id,
				     uint32_t volume, uint64_t instance,
				     uint32_t peer, uint64_t epoch,
				     uint64_t expiry_ms)
{
	struct nl_msg *m = msg_new(family, ORCHFS_CMD_SERVE_FENCE, NLM_F_ACK,
				   PAYLOAD);

	if (!m)
		return NULL;
	return msg_end(m, nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, id) ||
		       nla_put_u32(m, ORCHFS_A_MSG_VOLUME, volume) ||
		       nla_put_u64(m, ORCHFS_A_MSG_INSTANCE, instance) ||
		       nla_put_u32(m, ORCHFS_A_MSG_PEER, peer) ||
		       nla_put_u64(m, ORCHFS_A_MSG_EPOCH, epoch) ||
		       nla_put_u64(m, ORCHFS_A_MSG_EXPIRY_MS, expiry_ms));
}

struct nl_msg *nl_encode_serve_time(uint16_t family, uint64_t authority_ms,
				    uint64_t boot_ms, uint32_t lease_ms)
{
	struct nl_msg *m = msg_new(family, ORCHFS_CMD_SERVE_TIME, NLM_F_ACK,
				   PAYLOAD);

	if (!m)
		return NULL;
	return msg_end(m, nla_put_u64(m, ORCHFS_A_MSG_AUTHORITY_MS,
				      authority_ms) ||
		       nla_put_u64(m, ORCHFS_A_MSG_BOOT_MS, boot_ms) ||
		       nla_put_u32(m, ORCHFS_A_MSG_LEASE_MS, lease_ms));
}
