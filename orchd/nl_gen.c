// SPDX-License-Identifier: Apache-2.0
/* Do not edit: tools/nlgen/regen makes this from Documentation/netlink/specs/orchfs.yaml */

#include <stddef.h>
#include <netlink/attr.h>

#include "nl_gen.h"

const struct nla_policy orchfs_msg_nl_policy[ORCHFS_A_MSG_MAX + 1] = {
	[ORCHFS_A_MSG_VERSION_MIN] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_VERSION_MAX] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_VERSION] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_NS_UUID] = { .minlen = 16, .maxlen = 16 },
	[ORCHFS_A_MSG_NS_NAME] = { .type = NLA_STRING, .maxlen = ORCHFS_NS_NAME_MAX + 1 },
	[ORCHFS_A_MSG_INCARNATION] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_BOOT_ID] = { .minlen = 16, .maxlen = 16 },
	[ORCHFS_A_MSG_REQUEST_ID] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_KIND] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_FLAGS] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_SESSION] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_SLOT] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_SEQUENCE] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_STATUS] = { .type = NLA_S32 },
	[ORCHFS_A_MSG_TXN] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_DURABLE] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_NODE] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_NAME] = { .maxlen = ORCHFS_NAME_MAX },
	[ORCHFS_A_MSG_NODE2] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_NAME2] = { .maxlen = ORCHFS_NAME_MAX },
	[ORCHFS_A_MSG_MODE] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_UID] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_GID] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_RDEV_MAJOR] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_RDEV_MINOR] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_TARGET] = { .maxlen = ORCHFS_TARGET_MAX },
	[ORCHFS_A_MSG_VALID] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_ATTR] = { .minlen = ORCHFS_ATTR_LEN, .maxlen = ORCHFS_ATTR_LEN },
	[ORCHFS_A_MSG_ATTR2] = { .minlen = ORCHFS_ATTR_LEN, .maxlen = ORCHFS_ATTR_LEN },
	[ORCHFS_A_MSG_NOW] = { .minlen = ORCHFS_TIME_LEN, .maxlen = ORCHFS_TIME_LEN },
	[ORCHFS_A_MSG_COOKIE] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_MAX_ENTRIES] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_ENTRY] = { .type = NLA_NESTED },
	[ORCHFS_A_MSG_EOF] = { .type = NLA_FLAG },
	[ORCHFS_A_MSG_LAYOUT] = { .type = NLA_NESTED },
	[ORCHFS_A_MSG_XATTR_NAME] = { .maxlen = ORCHFS_NAME_MAX },
	[ORCHFS_A_MSG_XATTR_VALUE] = { .maxlen = ORCHFS_CHUNK_MAX },
	[ORCHFS_A_MSG_STATFS] = { .minlen = ORCHFS_STATFS_LEN, .maxlen = ORCHFS_STATFS_LEN },
	[ORCHFS_A_MSG_PATH] = { .type = NLA_STRING, .maxlen = ORCHFS_PATH_MAX + 1 },
	[ORCHFS_A_MSG_OPENS] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_GENERATION] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_TIMEOUT_MS] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_COUNTER] = { .type = NLA_NESTED },
	[ORCHFS_A_MSG_STATE] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_WAITING] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_NOTE] = { .type = NLA_NESTED },
	[ORCHFS_A_MSG_VOLUME] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_FD] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_KEY] = { .minlen = ORCHFS_KEY_LEN, .maxlen = ORCHFS_KEY_LEN },
	[ORCHFS_A_MSG_KEY_ID] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_PEER] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_CONNECTION] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_MAX_REQUESTS] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_MAX_BYTES] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_MAX_HANDLES] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_INSTANCE] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_EPOCH] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_EXPIRY_MS] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_AUTHORITY_MS] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_BOOT_MS] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_LEASE_MS] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_REASON] = { .type = NLA_U32 },
	[ORCHFS_A_MSG_SERVER] = { .type = NLA_NESTED },
	[ORCHFS_A_MSG_LEASE_UNTIL_MS] = { .type = NLA_U64 },
	[ORCHFS_A_MSG_LOCK] = { .minlen = ORCHFS_LOCK_LEN, .maxlen = ORCHFS_LOCK_LEN },
	[ORCHFS_A_MSG_LOCKS] = { .maxlen = ORCHFS_CHUNK_MAX },
	[ORCHFS_A_MSG_LOST] = { .type = NLA_FLAG },
};

const struct nla_policy orchfs_entry_nl_policy[ORCHFS_A_ENTRY_MAX + 1] = {
	[ORCHFS_A_ENTRY_NAME] = { .maxlen = ORCHFS_NAME_MAX },
	[ORCHFS_A_ENTRY_COOKIE] = { .type = NLA_U64 },
	[ORCHFS_A_ENTRY_ATTR] = { .minlen = ORCHFS_ATTR_LEN, .maxlen = ORCHFS_ATTR_LEN },
	[ORCHFS_A_ENTRY_TARGET] = { .maxlen = ORCHFS_TARGET_MAX },
};

const struct nla_policy orchfs_layout_nl_policy[ORCHFS_A_LAYOUT_MAX + 1] = {
	[ORCHFS_A_LAYOUT_GENERATION] = { .type = NLA_U64 },
	[ORCHFS_A_LAYOUT_VERSION] = { .type = NLA_U64 },
	[ORCHFS_A_LAYOUT_WRITABLE] = { .type = NLA_U32 },
	[ORCHFS_A_LAYOUT_SEGMENT] = { .type = NLA_NESTED },
};

const struct nla_policy orchfs_segment_nl_policy[ORCHFS_A_SEGMENT_MAX + 1] = {
	[ORCHFS_A_SEGMENT_OFFSET] = { .type = NLA_U64 },
	[ORCHFS_A_SEGMENT_LENGTH] = { .type = NLA_U64 },
	[ORCHFS_A_SEGMENT_MIRROR] = { .type = NLA_NESTED },
};

const struct nla_policy orchfs_mirror_nl_policy[ORCHFS_A_MIRROR_MAX + 1] = {
	[ORCHFS_A_MIRROR_KIND] = { .type = NLA_U32 },
	[ORCHFS_A_MIRROR_VOLUME] = { .type = NLA_U32 },
	[ORCHFS_A_MIRROR_INSTANCE] = { .type = NLA_U64 },
	[ORCHFS_A_MIRROR_FD] = { .type = NLA_U32 },
	[ORCHFS_A_MIRROR_PEER] = { .type = NLA_U32 },
	[ORCHFS_A_MIRROR_NODE] = { .type = NLA_U64 },
	[ORCHFS_A_MIRROR_VERSION] = { .type = NLA_U64 },
	[ORCHFS_A_MIRROR_TOKEN] = { .minlen = ORCHFS_MIRROR_TOKEN_LEN, .maxlen = ORCHFS_MIRROR_TOKEN_LEN },
};

const struct nla_policy orchfs_counter_nl_policy[ORCHFS_A_COUNTER_MAX + 1] = {
	[ORCHFS_A_COUNTER_KIND] = { .type = NLA_U32 },
	[ORCHFS_A_COUNTER_COUNT] = { .type = NLA_U64 },
	[ORCHFS_A_COUNTER_ERRORS] = { .type = NLA_U64 },
};

const struct nla_policy orchfs_server_nl_policy[ORCHFS_A_SERVER_MAX + 1] = {
	[ORCHFS_A_SERVER_REQUESTS] = { .type = NLA_U64 },
	[ORCHFS_A_SERVER_REFUSED] = { .type = NLA_U64 },
	[ORCHFS_A_SERVER_BYTES_READ] = { .type = NLA_U64 },
	[ORCHFS_A_SERVER_BYTES_WRITTEN] = { .type = NLA_U64 },
	[ORCHFS_A_SERVER_IN_FLIGHT] = { .type = NLA_U32 },
	[ORCHFS_A_SERVER_HANDLES] = { .type = NLA_U32 },
	[ORCHFS_A_SERVER_HELD] = { .type = NLA_U32 },
	[ORCHFS_A_SERVER_HELD_MOST] = { .type = NLA_U32 },
	[ORCHFS_A_SERVER_WAITS] = { .type = NLA_U64 },
	[ORCHFS_A_SERVER_FENCES] = { .type = NLA_U32 },
};

const struct nla_policy orchfs_note_nl_policy[ORCHFS_A_NOTE_MAX + 1] = {
	[ORCHFS_A_NOTE_KIND] = { .type = NLA_U32 },
	[ORCHFS_A_NOTE_NODE] = { .type = NLA_U64 },
	[ORCHFS_A_NOTE_GENERATION] = { .type = NLA_U64 },
	[ORCHFS_A_NOTE_SESSION] = { .type = NLA_U64 },
	[ORCHFS_A_NOTE_VALID] = { .type = NLA_U32 },
	[ORCHFS_A_NOTE_ATTR] = { .minlen = ORCHFS_ATTR_LEN, .maxlen = ORCHFS_ATTR_LEN },
};

const char *orchfs_kind_name(uint32_t value)
{
	static const char *const names[] = {
		[ORCHFS_KIND_MOUNT] = "mount",
		[ORCHFS_KIND_LOOKUP] = "lookup",
		[ORCHFS_KIND_GETATTR] = "getattr",
		[ORCHFS_KIND_OPEN] = "open",
		[ORCHFS_KIND_CREATE] = "create",
		[ORCHFS_KIND_LINK] = "link",
		[ORCHFS_KIND_UNLINK] = "unlink",
		[ORCHFS_KIND_RENAME] = "rename",
		[ORCHFS_KIND_SETATTR] = "setattr",
		[ORCHFS_KIND_READDIR] = "readdir",
		[ORCHFS_KIND_GETXATTR] = "getxattr",
		[ORCHFS_KIND_SETXATTR] = "setxattr",
		[ORCHFS_KIND_LISTXATTR] = "listxattr",
		[ORCHFS_KIND_BARRIER] = "barrier",
		[ORCHFS_KIND_STATFS] = "statfs",
		[ORCHFS_KIND_NOTE_FORGET] = "note-forget",
		[ORCHFS_KIND_NOTE_ATTR] = "note-attr",
		[ORCHFS_KIND_NOTE_RETURN] = "note-return",
		[ORCHFS_KIND_NOTE_UMOUNT] = "note-umount",
		[ORCHFS_KIND_LOCK] = "lock",
	};

	if (value >= sizeof(names) / sizeof(names[0]))
		return NULL;
	return names[value];
}

const char *orchfs_mirror_kind_name(uint32_t value)
{
	static const char *const names[] = {
		[ORCHFS_MIRROR_KIND_LOCAL] = "local",
		[ORCHFS_MIRROR_KIND_REMOTE] = "remote",
	};

	if (value >= sizeof(names) / sizeof(names[0]))
		return NULL;
	return names[value];
}

const char *orchfs_reason_name(uint32_t value)
{
	static const char *const names[] = {
		[ORCHFS_REASON_CLOSED] = "closed",
		[ORCHFS_REASON_SOCKET] = "socket",
		[ORCHFS_REASON_DROPPED] = "dropped",
		[ORCHFS_REASON_LAPSED] = "lapsed",
		[ORCHFS_REASON_ENDED] = "ended",
		[ORCHFS_REASON_MEMORY] = "memory",
		[ORCHFS_REASON_MAGIC] = "magic",
		[ORCHFS_REASON_HEADER_CRC] = "header-crc",
		[ORCHFS_REASON_VERSION] = "version",
		[ORCHFS_REASON_OPCODE] = "opcode",
		[ORCHFS_REASON_FLAGS] = "flags",
		[ORCHFS_REASON_FIELD] = "field",
		[ORCHFS_REASON_OFFSET] = "offset",
		[ORCHFS_REASON_LENGTH] = "length",
		[ORCHFS_REASON_ORDER] = "order",
		[ORCHFS_REASON_TAG] = "tag",
		[ORCHFS_REASON_TOO_MANY] = "too-many",
		[ORCHFS_REASON_STALLED] = "stalled",
		[ORCHFS_REASON_REPLACED] = "replaced",
		[ORCHFS_REASON_SILENT] = "silent",
	};

	if (value >= sizeof(names) / sizeof(names[0]))
		return NULL;
	return names[value];
}

const char *orchfs_cmd_name(uint32_t value)
{
	static const char *const names[] = {
		[ORCHFS_CMD_ATTACH] = "attach",
		[ORCHFS_CMD_READY] = "ready",
		[ORCHFS_CMD_REPLY] = "reply",
		[ORCHFS_CMD_POLL] = "poll",
		[ORCHFS_CMD_INVALIDATE] = "invalidate",
		[ORCHFS_CMD_LAYOUT_SET] = "layout-set",
		[ORCHFS_CMD_MOUNTS] = "mounts",
		[ORCHFS_CMD_HANDLES] = "handles",
		[ORCHFS_CMD_REQUEST] = "request",
		[ORCHFS_CMD_NOTICE] = "notice",
		[ORCHFS_CMD_LAYOUT_DONE] = "layout-done",
		[ORCHFS_CMD_LAYOUT_DROP] = "layout-drop",
		[ORCHFS_CMD_SERVE_VOLUME] = "serve-volume",
		[ORCHFS_CMD_SERVE_UNVOLUME] = "serve-unvolume",
		[ORCHFS_CMD_SERVE_PEER] = "serve-peer",
		[ORCHFS_CMD_SERVE_DROP] = "serve-drop",
		[ORCHFS_CMD_SERVE_FENCE] = "serve-fence",
		[ORCHFS_CMD_SERVE_TIME] = "serve-time",
		[ORCHFS_CMD_SERVE_LIST] = "serve-list",
		[ORCHFS_CMD_SERVE_DONE] = "serve-done",
		[ORCHFS_CMD_SERVE_GONE] = "serve-gone",
		[ORCHFS_CMD_PEER_ADD] = "peer-add",
		[ORCHFS_CMD_PEER_GONE] = "peer-gone",
		[ORCHFS_CMD_PEER_WANT] = "peer-want",
		[ORCHFS_CMD_LOCK_RECALL] = "lock-recall",
		[ORCHFS_CMD_LOCK_HELD] = "lock-held",
		[ORCHFS_CMD_LOCKS] = "locks",
	};

	if (value >= sizeof(names) / sizeof(names[0]))
		return NULL;
	return names[value];
}

const char *orchfs_req_flag_name(uint32_t flag)
{
	switch (flag) {
	case ORCHFS_REQ_FLAG_RESENT:
		return "resent";
	case ORCHFS_REQ_FLAG_LAYOUT:
		return "layout";
	case ORCHFS_REQ_FLAG_WRITE:
		return "write";
	case ORCHFS_REQ_FLAG_EXCL:
		return "excl";
	case ORCHFS_REQ_FLAG_TMPFILE:
		return "tmpfile";
	case ORCHFS_REQ_FLAG_DIR:
		return "dir";
	case ORCHFS_REQ_FLAG_NOREPLACE:
		return "noreplace";
	case ORCHFS_REQ_FLAG_EXCHANGE:
		return "exchange";
	case ORCHFS_REQ_FLAG_XATTR_CREATE:
		return "xattr-create";
	case ORCHFS_REQ_FLAG_XATTR_REPLACE:
		return "xattr-replace";
	case ORCHFS_REQ_FLAG_XATTR_REMOVE:
		return "xattr-remove";
	case ORCHFS_REQ_FLAG_DURABLE:
		return "durable";
	case ORCHFS_REQ_FLAG_EXISTING:
		return "existing";
	case ORCHFS_REQ_FLAG_WHITEOUT:
		return "whiteout";
	case ORCHFS_REQ_FLAG_UNSEEN:
		return "unseen";
	case ORCHFS_REQ_FLAG_LEASE:
		return "lease";
	default:
		return NULL;
	}
}
