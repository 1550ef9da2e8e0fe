// SPDX-License-Identifier: GPL-2.0-only
/* Do not edit: tools/nlgen/regen makes this from Documentation/netlink/specs/orchfs.yaml */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "nl_gen.h"

const struct nla_policy orchfs_entry_nl_policy[ORCHFS_A_ENTRY_TARGET + 1] = {
	[ORCHFS_A_ENTRY_NAME] = { .type = NLA_BINARY, .len = ORCHFS_NAME_MAX, },
	[ORCHFS_A_ENTRY_COOKIE] = { .type = NLA_U64, },
	[ORCHFS_A_ENTRY_ATTR] = NLA_POLICY_EXACT_LEN(ORCHFS_ATTR_LEN),
	[ORCHFS_A_ENTRY_TARGET] = { .type = NLA_BINARY, .len = ORCHFS_TARGET_MAX, },
};

const struct nla_policy orchfs_mirror_nl_policy[ORCHFS_A_MIRROR_TOKEN + 1] = {
	[ORCHFS_A_MIRROR_KIND] = NLA_POLICY_RANGE(NLA_U32, 1, 2),
	[ORCHFS_A_MIRROR_VOLUME] = { .type = NLA_U32, },
	[ORCHFS_A_MIRROR_INSTANCE] = { .type = NLA_U64, },
	[ORCHFS_A_MIRROR_FD] = { .type = NLA_U32, },
	[ORCHFS_A_MIRROR_PEER] = { .type = NLA_U32, },
	[ORCHFS_A_MIRROR_NODE] = { .type = NLA_U64, },
	[ORCHFS_A_MIRROR_VERSION] = { .type = NLA_U64, },
	[ORCHFS_A_MIRROR_TOKEN] = NLA_POLICY_EXACT_LEN(ORCHFS_MIRROR_TOKEN_LEN),
};

const struct nla_policy orchfs_segment_nl_policy[ORCHFS_A_SEGMENT_MIRROR + 1] = {
	[ORCHFS_A_SEGMENT_OFFSET] = { .type = NLA_U64, },
	[ORCHFS_A_SEGMENT_LENGTH] = { .type = NLA_U64, },
	[ORCHFS_A_SEGMENT_MIRROR] = NLA_POLICY_NESTED(orchfs_mirror_nl_policy),
};

const struct nla_policy orchfs_layout_nl_policy[ORCHFS_A_LAYOUT_SEGMENT + 1] = {
	[ORCHFS_A_LAYOUT_GENERATION] = { .type = NLA_U64, },
	[ORCHFS_A_LAYOUT_VERSION] = { .type = NLA_U64, },
	[ORCHFS_A_LAYOUT_WRITABLE] = { .type = NLA_U32, },
	[ORCHFS_A_LAYOUT_SEGMENT] = NLA_POLICY_NESTED(orchfs_segment_nl_policy),
};

const struct nla_policy orchfs_counter_nl_policy[ORCHFS_A_COUNTER_ERRORS + 1] = {
	[ORCHFS_A_COUNTER_KIND] = NLA_POLICY_RANGE(NLA_U32, 1, 20),
	[ORCHFS_A_COUNTER_COUNT] = { .type = NLA_U64, },
	[ORCHFS_A_COUNTER_ERRORS] = { .type = NLA_U64, },
};

const struct nla_policy orchfs_note_nl_policy[ORCHFS_A_NOTE_ATTR + 1] = {
	[ORCHFS_A_NOTE_KIND] = NLA_POLICY_RANGE(NLA_U32, 1, 20),
	[ORCHFS_A_NOTE_NODE] = { .type = NLA_U64, },
	[ORCHFS_A_NOTE_GENERATION] = { .type = NLA_U64, },
	[ORCHFS_A_NOTE_SESSION] = { .type = NLA_U64, },
	[ORCHFS_A_NOTE_VALID] = { .type = NLA_U32, },
	[ORCHFS_A_NOTE_ATTR] = NLA_POLICY_EXACT_LEN(ORCHFS_ATTR_LEN),
};

const struct nla_policy orchfs_server_nl_policy[ORCHFS_A_SERVER_FENCES + 1] = {
	[ORCHFS_A_SERVER_REQUESTS] = { .type = NLA_U64, },
	[ORCHFS_A_SERVER_REFUSED] = { .type = NLA_U64, },
	[ORCHFS_A_SERVER_BYTES_READ] = { .type = NLA_U64, },
	[ORCHFS_A_SERVER_BYTES_WRITTEN] = { .type = NLA_U64, },
	[ORCHFS_A_SERVER_IN_FLIGHT] = { .type = NLA_U32, },
	[ORCHFS_A_SERVER_HANDLES] = { .type = NLA_U32, },
	[ORCHFS_A_SERVER_HELD] = { .type = NLA_U32, },
	[ORCHFS_A_SERVER_HELD_MOST] = { .type = NLA_U32, },
	[ORCHFS_A_SERVER_WAITS] = { .type = NLA_U64, },
	[ORCHFS_A_SERVER_FENCES] = { .type = NLA_U32, },
};

/* ORCHFS_CMD_ATTACH */
static const struct nla_policy orchfs_attach_nl_policy[ORCHFS_A_MSG_INCARNATION + 1] = {
	[ORCHFS_A_MSG_VERSION_MIN] = { .type = NLA_U32, },
	[ORCHFS_A_MSG_VERSION_MAX] = { .type = NLA_U32, },
	[ORCHFS_A_MSG_NS_UUID] = NLA_POLICY_EXACT_LEN(16),
	[ORCHFS_A_MSG_NS_NAME] = { .type = NLA_NUL_STRING, .len = ORCHFS_NS_NAME_MAX, },
	[ORCHFS_A_MSG_INCARNATION] = { .type = NLA_U64, },
};

/* ORCHFS_CMD_READY */
static const struct nla_policy orchfs_ready_nl_policy[ORCHFS_A_MSG_LEASE_UNTIL_MS + 1] = {
	[ORCHFS_A_MSG_DURABLE] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_LEASE_UNTIL_MS] = { .type = NLA_U64, },
};

/* ORCHFS_CMD_REPLY */
static const struct nla_policy orchfs_reply_nl_policy[ORCHFS_A_MSG_LOCK + 1] = {
	[ORCHFS_A_MSG_REQUEST_ID] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_STATUS] = { .type = NLA_S32, },
	[ORCHFS_A_MSG_FLAGS] = NLA_POLICY_MASK(NLA_U32, 0xffff),
	[ORCHFS_A_MSG_TXN] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_DURABLE] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_NAME] = { .type = NLA_BINARY, .len = ORCHFS_NAME_MAX, },
	[ORCHFS_A_MSG_ATTR] = NLA_POLICY_EXACT_LEN(ORCHFS_ATTR_LEN),
	[ORCHFS_A_MSG_ATTR2] = NLA_POLICY_EXACT_LEN(ORCHFS_ATTR_LEN),
	[ORCHFS_A_MSG_TARGET] = { .type = NLA_BINARY, .len = ORCHFS_TARGET_MAX, },
	[ORCHFS_A_MSG_ENTRY] = NLA_POLICY_NESTED(orchfs_entry_nl_policy),
	[ORCHFS_A_MSG_EOF] = { .type = NLA_FLAG, },
	[ORCHFS_A_MSG_LAYOUT] = NLA_POLICY_NESTED(orchfs_layout_nl_policy),
	[ORCHFS_A_MSG_XATTR_VALUE] = { .type = NLA_BINARY, .len = ORCHFS_CHUNK_MAX, },
	[ORCHFS_A_MSG_STATFS] = NLA_POLICY_EXACT_LEN(ORCHFS_STATFS_LEN),
	[ORCHFS_A_MSG_LOCK] = NLA_POLICY_EXACT_LEN(ORCHFS_LOCK_LEN),
};

/* ORCHFS_CMD_POLL */
static const struct nla_policy orchfs_poll_nl_policy[ORCHFS_A_MSG_LEASE_UNTIL_MS + 1] = {
	[ORCHFS_A_MSG_DURABLE] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_LEASE_UNTIL_MS] = { .type = NLA_U64, },
};

/* ORCHFS_CMD_INVALIDATE */
static const struct nla_policy orchfs_invalidate_nl_policy[ORCHFS_A_MSG_ATTR + 1] = {
	[ORCHFS_A_MSG_NODE] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_NAME] = { .type = NLA_BINARY, .len = ORCHFS_NAME_MAX, },
	[ORCHFS_A_MSG_ATTR] = NLA_POLICY_EXACT_LEN(ORCHFS_ATTR_LEN),
};

/* ORCHFS_CMD_LAYOUT_SET */
static const struct nla_policy orchfs_layout_set_nl_policy[ORCHFS_A_MSG_TIMEOUT_MS + 1] = {
	[ORCHFS_A_MSG_REQUEST_ID] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_NODE] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_LAYOUT] = NLA_POLICY_NESTED(orchfs_layout_nl_policy),
	[ORCHFS_A_MSG_TIMEOUT_MS] = { .type = NLA_U32, },
};

/* ORCHFS_CMD_LAYOUT_DROP */
static const struct nla_policy orchfs_layout_drop_nl_policy[ORCHFS_A_MSG_VOLUME + 1] = {
	[ORCHFS_A_MSG_VOLUME] = { .type = NLA_U32, },
};

/* ORCHFS_CMD_SERVE_VOLUME */
static const struct nla_policy orchfs_serve_volume_nl_policy[ORCHFS_A_MSG_KEY_ID + 1] = {
	[ORCHFS_A_MSG_VOLUME] = { .type = NLA_U32, },
	[ORCHFS_A_MSG_FD] = { .type = NLA_U32, },
	[ORCHFS_A_MSG_KEY] = NLA_POLICY_EXACT_LEN(ORCHFS_KEY_LEN),
	[ORCHFS_A_MSG_KEY_ID] = { .type = NLA_U32, },
};

/* ORCHFS_CMD_SERVE_UNVOLUME */
static const struct nla_policy orchfs_serve_unvolume_nl_policy[ORCHFS_A_MSG_VOLUME + 1] = {
	[ORCHFS_A_MSG_REQUEST_ID] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_VOLUME] = { .type = NLA_U32, },
};

/* ORCHFS_CMD_SERVE_PEER */
static const struct nla_policy orchfs_serve_peer_nl_policy[ORCHFS_A_MSG_MAX_HANDLES + 1] = {
	[ORCHFS_A_MSG_FD] = { .type = NLA_U32, },
	[ORCHFS_A_MSG_PEER] = { .type = NLA_U32, },
	[ORCHFS_A_MSG_MAX_REQUESTS] = { .type = NLA_U32, },
	[ORCHFS_A_MSG_MAX_BYTES] = { .type = NLA_U32, },
	[ORCHFS_A_MSG_MAX_HANDLES] = { .type = NLA_U32, },
};

/* ORCHFS_CMD_SERVE_DROP */
static const struct nla_policy orchfs_serve_drop_nl_policy[ORCHFS_A_MSG_CONNECTION + 1] = {
	[ORCHFS_A_MSG_PEER] = { .type = NLA_U32, },
	[ORCHFS_A_MSG_CONNECTION] = { .type = NLA_U64, },
};

/* ORCHFS_CMD_SERVE_FENCE */
static const struct nla_policy orchfs_serve_fence_nl_policy[ORCHFS_A_MSG_EXPIRY_MS + 1] = {
	[ORCHFS_A_MSG_REQUEST_ID] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_VOLUME] = { .type = NLA_U32, },
	[ORCHFS_A_MSG_INSTANCE] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_PEER] = { .type = NLA_U32, },
	[ORCHFS_A_MSG_EPOCH] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_EXPIRY_MS] = { .type = NLA_U64, },
};

/* ORCHFS_CMD_SERVE_TIME */
static const struct nla_policy orchfs_serve_time_nl_policy[ORCHFS_A_MSG_LEASE_MS + 1] = {
	[ORCHFS_A_MSG_AUTHORITY_MS] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_BOOT_MS] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_LEASE_MS] = { .type = NLA_U32, },
};

/* ORCHFS_CMD_PEER_ADD */
static const struct nla_policy orchfs_peer_add_nl_policy[ORCHFS_A_MSG_PEER + 1] = {
	[ORCHFS_A_MSG_FD] = { .type = NLA_U32, },
	[ORCHFS_A_MSG_PEER] = { .type = NLA_U32, },
};

/* ORCHFS_CMD_LOCK_RECALL */
static const struct nla_policy orchfs_lock_recall_nl_policy[ORCHFS_A_MSG_LOST + 1] = {
	[ORCHFS_A_MSG_REQUEST_ID] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_NODE] = { .type = NLA_U64, },
	[ORCHFS_A_MSG_LOST] = { .type = NLA_FLAG, },
};

static const struct genl_split_ops orchfs_nl_ops[] = {
	{
		.cmd		= ORCHFS_CMD_ATTACH,
		.pre_doit	= orchfs_nl_pre_doit,
		.doit		= orchfs_nl_attach_doit,
		.post_doit	= orchfs_nl_post_doit,
		.policy		= orchfs_attach_nl_policy,
		.maxattr	= ORCHFS_A_MSG_INCARNATION,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ORCHFS_CMD_READY,
		.pre_doit	= orchfs_nl_pre_doit,
		.doit		= orchfs_nl_ready_doit,
		.post_doit	= orchfs_nl_post_doit,
		.policy		= orchfs_ready_nl_policy,
		.maxattr	= ORCHFS_A_MSG_LEASE_UNTIL_MS,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ORCHFS_CMD_REPLY,
		.pre_doit	= orchfs_nl_pre_doit,
		.doit		= orchfs_nl_reply_doit,
		.post_doit	= orchfs_nl_post_doit,
		.policy		= orchfs_reply_nl_policy,
		.maxattr	= ORCHFS_A_MSG_LOCK,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ORCHFS_CMD_POLL,
		.pre_doit	= orchfs_nl_pre_doit,
		.doit		= orchfs_nl_poll_doit,
		.post_doit	= orchfs_nl_post_doit,
		.policy		= orchfs_poll_nl_policy,
		.maxattr	= ORCHFS_A_MSG_LEASE_UNTIL_MS,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ORCHFS_CMD_INVALIDATE,
		.pre_doit	= orchfs_nl_pre_doit,
		.doit		= orchfs_nl_invalidate_doit,
		.post_doit	= orchfs_nl_post_doit,
		.policy		= orchfs_invalidate_nl_policy,
		.maxattr	= ORCHFS_A_MSG_ATTR,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ORCHFS_CMD_LAYOUT_SET,
		.pre_doit	= orchfs_nl_pre_doit,
		.doit		= orchfs_nl_layout_set_doit,
		.post_doit	= orchfs_nl_post_doit,
		.policy		= orchfs_layout_set_nl_policy,
		.maxattr	= ORCHFS_A_MSG_TIMEOUT_MS,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ORCHFS_CMD_MOUNTS,
		.start		= orchfs_nl_mounts_start,
		.dumpit		= orchfs_nl_mounts_dumpit,
		.done		= orchfs_nl_mounts_done,
		.flags		= GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= ORCHFS_CMD_HANDLES,
		.start		= orchfs_nl_handles_start,
		.dumpit		= orchfs_nl_handles_dumpit,
		.done		= orchfs_nl_handles_done,
		.flags		= GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= ORCHFS_CMD_LAYOUT_DROP,
		.pre_doit	= orchfs_nl_pre_doit,
		.doit		= orchfs_nl_layout_drop_doit,
		.post_doit	= orchfs_nl_post_doit,
		.policy		= orchfs_layout_drop_nl_policy,
		.maxattr	= ORCHFS_A_MSG_VOLUME,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ORCHFS_CMD_SERVE_VOLUME,
		.pre_doit	= orchfs_nl_pre_doit,
		.doit		= orchfs_nl_serve_volume_doit,
		.post_doit	= orchfs_nl_post_doit,
		.policy		= orchfs_serve_volume_nl_policy,
		.maxattr	= ORCHFS_A_MSG_KEY_ID,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ORCHFS_CMD_SERVE_UNVOLUME,
		.pre_doit	= orchfs_nl_pre_doit,
		.doit		= orchfs_nl_serve_unvolume_doit,
		.post_doit	= orchfs_nl_post_doit,
		.policy		= orchfs_serve_unvolume_nl_policy,
		.maxattr	= ORCHFS_A_MSG_VOLUME,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ORCHFS_CMD_SERVE_PEER,
		.pre_doit	= orchfs_nl_pre_doit,
		.doit		= orchfs_nl_serve_peer_doit,
		.post_doit	= orchfs_nl_post_doit,
		.policy		= orchfs_serve_peer_nl_policy,
		.maxattr	= ORCHFS_A_MSG_MAX_HANDLES,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ORCHFS_CMD_SERVE_DROP,
		.pre_doit	= orchfs_nl_pre_doit,
		.doit		= orchfs_nl_serve_drop_doit,
		.post_doit	= orchfs_nl_post_doit,
		.policy		= orchfs_serve_drop_nl_policy,
		.maxattr	= ORCHFS_A_MSG_CONNECTION,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ORCHFS_CMD_SERVE_FENCE,
		.pre_doit	= orchfs_nl_pre_doit,
		.doit		= orchfs_nl_serve_fence_doit,
		.post_doit	= orchfs_nl_post_doit,
		.policy		= orchfs_serve_fence_nl_policy,
		.maxattr	= ORCHFS_A_MSG_EXPIRY_MS,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ORCHFS_CMD_SERVE_TIME,
		.pre_doit	= orchfs_nl_pre_doit,
		.doit		= orchfs_nl_serve_time_doit,
		.post_doit	= orchfs_nl_post_doit,
		.policy		= orchfs_serve_time_nl_policy,
		.maxattr	= ORCHFS_A_MSG_LEASE_MS,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ORCHFS_CMD_SERVE_LIST,
		.start		= orchfs_nl_serve_list_start,
		.dumpit		= orchfs_nl_serve_list_dumpit,
		.done		= orchfs_nl_serve_list_done,
		.flags		= GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= ORCHFS_CMD_PEER_ADD,
		.pre_doit	= orchfs_nl_pre_doit,
		.doit		= orchfs_nl_peer_add_doit,
		.post_doit	= orchfs_nl_post_doit,
		.policy		= orchfs_peer_add_nl_policy,
		.maxattr	= ORCHFS_A_MSG_PEER,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ORCHFS_CMD_LOCK_RECALL,
		.pre_doit	= orchfs_nl_pre_doit,
		.doit		= orchfs_nl_lock_recall_doit,
		.post_doit	= orchfs_nl_post_doit,
		.policy		= orchfs_lock_recall_nl_policy,
		.maxattr	= ORCHFS_A_MSG_LOST,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= ORCHFS_CMD_LOCKS,
		.start		= orchfs_nl_locks_start,
		.dumpit		= orchfs_nl_locks_dumpit,
		.done		= orchfs_nl_locks_done,
		.flags		= GENL_CMD_CAP_DUMP,
	},
};

struct genl_family orchfs_nl_family __ro_after_init = {
	.name		= ORCHFS_FAMILY_NAME,
	.version	= ORCHFS_FAMILY_VERSION,
	.netnsok	= true,
	.parallel_ops	= true,
	.module		= THIS_MODULE,
	.split_ops	= orchfs_nl_ops,
	.n_split_ops	= ARRAY_SIZE(orchfs_nl_ops),
};
