// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * PDUs and tokens between bytes and numbers. What a peer sends is believed in
 * nothing: each field has a bound, and what an opcode doesn't use must be 0.
 */
#include "pdu.h"

#define NSECS	1000000000U

static_assert(sizeof(struct orchfs_wire_pdu) == ORCHFS_PDU_LEN);
static_assert(offsetof(struct orchfs_wire_pdu, header_crc) ==
	      ORCHFS_PDU_LEN - 4);
static_assert(sizeof(struct orchfs_wire_token) == ORCHFS_TOKEN_LEN);
static_assert(offsetof(struct orchfs_wire_token, mac) ==
	      ORCHFS_TOKEN_SIGNED_LEN);
static_assert(sizeof(struct orchfs_wire_hello) == 32);
static_assert(sizeof(struct orchfs_wire_attr) == 64);

/*
 * What a PDU may carry. Fields that aren't named must be 0; data_len lies
 * between data_min and data_max, count between count_min and count_max. Of
 * ALLOCATE and SEEK the count is what is to be done.
 */
struct pdu_rule {
	u16 flags;
	bool handle, offset, verifier, length;
	u32 count_min, count_max;
	u32 data_min, data_max;
};

static const struct pdu_rule request_rules[ORCHFS_NR_OPS] = {
	[ORCHFS_OP_HELLO] = {
		.flags = ORCHFS_PDU_DATA_CRC,
		.data_min = sizeof(struct orchfs_wire_hello),
		.data_max = sizeof(struct orchfs_wire_hello),
	},
	[ORCHFS_OP_BIND] = {
		.flags = ORCHFS_PDU_DATA_CRC, .handle = true,
		.data_min = ORCHFS_TOKEN_LEN, .data_max = ORCHFS_TOKEN_LEN,
	},
	[ORCHFS_OP_UNBIND] = { .handle = true },
	[ORCHFS_OP_READ] = {
		.flags = ORCHFS_PDU_DATA_CRC, .handle = true, .offset = true,
		.count_min = 1, .count_max = ORCHFS_PDU_DATA_MAX,
	},
	[ORCHFS_OP_WRITE] = {
		.flags = ORCHFS_PDU_DATA_CRC | ORCHFS_PDU_FUA |
			ORCHFS_PDU_APPEND,
		.handle = true, .offset = true,
		.data_min = 1, .data_max = ORCHFS_PDU_DATA_MAX,
	},
	[ORCHFS_OP_COMMIT] = { .handle = true },
	[ORCHFS_OP_GETATTR] = { .handle = true },
	[ORCHFS_OP_TRUNCATE] = { .handle = true, .offset = true },
	[ORCHFS_OP_PING] = {},
	[ORCHFS_OP_END] = { .handle = true },
	[ORCHFS_OP_ALLOCATE] = {
		.handle = true, .offset = true, .length = true,
		.count_max = ORCHFS_ALLOC_ZERO_RANGE | ORCHFS_ALLOC_KEEP_SIZE,
	},
	[ORCHFS_OP_SEEK] = {
		.handle = true, .offset = true, .count_max = ORCHFS_SEEK_HOLE,
	},
};

static const struct pdu_rule reply_rules[ORCHFS_NR_OPS] = {
	[ORCHFS_OP_HELLO] = {
		.data_min = sizeof(struct orchfs_wire_hello),
		.data_max = sizeof(struct orchfs_wire_hello),
	},
	[ORCHFS_OP_BIND] = { .handle = true, .verifier = true },
	[ORCHFS_OP_UNBIND] = {},
	[ORCHFS_OP_READ] = {
		.flags = ORCHFS_PDU_DATA_CRC,
		.data_max = ORCHFS_PDU_DATA_MAX,
	},
	[ORCHFS_OP_WRITE] = {
		.flags = ORCHFS_PDU_APPEND, .offset = true, .verifier = true,
		.count_min = 1, .count_max = ORCHFS_PDU_DATA_MAX,
	},
	[ORCHFS_OP_COMMIT] = { .verifier = true },
	[ORCHFS_OP_GETATTR] = {
		.data_min = sizeof(struct orchfs_wire_attr),
		.data_max = sizeof(struct orchfs_wire_attr),
	},
	[ORCHFS_OP_TRUNCATE] = { .verifier = true },
	[ORCHFS_OP_PING] = {},
	[ORCHFS_OP_END] = {},
	[ORCHFS_OP_ALLOCATE] = { .verifier = true },
	[ORCHFS_OP_SEEK] = { .offset = true },
};

/*
 * Where an append begins is for the server to say: a request has no offset
 * then, and no other reply to a WRITE has one.
 */
static bool pdu_offset_allowed(const struct orchfs_pdu *pdu)
{
	bool append = pdu->flags & ORCHFS_PDU_APPEND;

	return pdu->opcode != ORCHFS_OP_WRITE ||
		append == !!(pdu->flags & ORCHFS_PDU_REPLY);
}

/* Of a reply that tells an error. */
static const struct pdu_rule error_rule;

/**
 * orchfs_pdu_crc() - CRC32C
 * @crc: of what comes before, 0 at the beginning
 * @buf: bytes
 * @len: so many
 *
 * Return: the sum of both parts.
 */
u32 orchfs_pdu_crc(u32 crc, const void *buf, size_t len)
{
	return ~__crc32c_le(~crc, buf, len);
}

/**
 * orchfs_pdu_encode() - make the bytes of a header
 * @pdu: what it says; it isn't checked
 * @buf: gets ORCHFS_PDU_LEN bytes
 */
void orchfs_pdu_encode(const struct orchfs_pdu *pdu, void *buf)
{
	struct orchfs_wire_pdu w = {
		.magic = cpu_to_le32(ORCHFS_PDU_MAGIC),
		.version = ORCHFS_PDU_VERSION,
		.opcode = pdu->opcode,
		.flags = cpu_to_le16(pdu->flags),
		.tag = cpu_to_le32(pdu->tag),
		.status = cpu_to_le32(pdu->status),
		.handle = cpu_to_le64(pdu->handle),
		.offset = cpu_to_le64(pdu->offset),
		.count = cpu_to_le32(pdu->count),
		.data_len = cpu_to_le32(pdu->data_len),
		.verifier = cpu_to_le64(pdu->verifier),
		.data_crc = cpu_to_le32(pdu->data_crc),
		.length = { cpu_to_le32(lower_32_bits(pdu->length)),
			    cpu_to_le32(upper_32_bits(pdu->length)) },
	};

	w.header_crc = cpu_to_le32(orchfs_pdu_crc(0, &w, ORCHFS_PDU_LEN - 4));
	memcpy(buf, &w, sizeof(w));
}

/* What all PDUs have in common. 0, or the reason why it is none. */
static int pdu_decode(const void *buf, size_t len, struct orchfs_pdu *pdu)
{
	struct orchfs_wire_pdu w;

	if (len < sizeof(w))
		return ORCHFS_REASON_LENGTH;
	memcpy(&w, buf, sizeof(w));
	if (w.magic != cpu_to_le32(ORCHFS_PDU_MAGIC))
		return ORCHFS_REASON_MAGIC;
	if (le32_to_cpu(w.header_crc) !=
	    orchfs_pdu_crc(0, &w, ORCHFS_PDU_LEN - 4))
		return ORCHFS_REASON_HEADER_CRC;
	if (w.version != ORCHFS_PDU_VERSION)
		return ORCHFS_REASON_VERSION;
	if (!w.opcode || w.opcode >= ORCHFS_NR_OPS)
		return ORCHFS_REASON_OPCODE;
	*pdu = (struct orchfs_pdu){
		.opcode = w.opcode,
		.flags = le16_to_cpu(w.flags),
		.tag = le32_to_cpu(w.tag),
		.status = le32_to_cpu(w.status),
		.handle = le64_to_cpu(w.handle),
		.offset = le64_to_cpu(w.offset),
		.count = le32_to_cpu(w.count),
		.data_len = le32_to_cpu(w.data_len),
		.verifier = le64_to_cpu(w.verifier),
		.data_crc = le32_to_cpu(w.data_crc),
		.length = (u64)le32_to_cpu(w.length[1]) << 32 |
			le32_to_cpu(w.length[0]),
	};
	return 0;
}

static bool pdu_mode_allowed(const struct orchfs_pdu *pdu)
{
	switch (pdu->count) {
	case 0:
	case ORCHFS_ALLOC_KEEP_SIZE:
	case ORCHFS_ALLOC_KEEP_SIZE | ORCHFS_ALLOC_PUNCH_HOLE:
	case ORCHFS_ALLOC_ZERO_RANGE:
	case ORCHFS_ALLOC_ZERO_RANGE | ORCHFS_ALLOC_KEEP_SIZE:
		return true;
	default:
		return pdu->opcode != ORCHFS_OP_ALLOCATE;
	}
}

/* How far behind its offset it reaches */
static u64 pdu_reach(const struct orchfs_pdu *pdu)
{
	switch (pdu->opcode) {
	case ORCHFS_OP_ALLOCATE:
		return pdu->length;
	case ORCHFS_OP_SEEK:
		return 0;
	default:
		return pdu->data_len ? pdu->data_len : pdu->count;
	}
}

static int pdu_check(const struct orchfs_pdu *pdu, const struct pdu_rule *rule)
{
	u64 len = pdu_reach(pdu);

	if (pdu->flags & ~(rule->flags | ORCHFS_PDU_REPLY))
		return ORCHFS_REASON_FLAGS;
	if ((pdu->handle && !rule->handle) ||
	    (pdu->offset && !(rule->offset && pdu_offset_allowed(pdu))) ||
	    (pdu->verifier && !rule->verifier) ||
	    (pdu->length && !rule->length) || !pdu_mode_allowed(pdu) ||
	    (pdu->count && !rule->count_max) ||
	    (pdu->data_len && !rule->data_max) ||
	    (pdu->data_crc && (!(pdu->flags & ORCHFS_PDU_DATA_CRC) ||
			       !pdu->data_len)))
		return ORCHFS_REASON_FIELD;
	if (pdu->count < rule->count_min || pdu->count > rule->count_max ||
	    pdu->data_len < rule->data_min || pdu->data_len > rule->data_max ||
	    (!pdu->length && rule->length))
		return ORCHFS_REASON_LENGTH;
	if (len > S64_MAX || pdu->offset > S64_MAX - len)
		return ORCHFS_REASON_OFFSET;
	return 0;
}

/**
 * orchfs_pdu_decode_request() - read and check a header that a client sent
 * @buf: its bytes
 * @len: at least ORCHFS_PDU_LEN, or it is refused
 * @pdu: filled on success; every field is within its bound then, offset and
 *	length together too
 *
 * Return: 0, or the ORCHFS_REASON_* to end the connection for.
 */
int orchfs_pdu_decode_request(const void *buf, size_t len,
			      struct orchfs_pdu *pdu)
{
	struct orchfs_pdu p;
	int reason = pdu_decode(buf, len, &p);

	if (reason)
		return reason;
	if (p.flags & ORCHFS_PDU_REPLY)
		return ORCHFS_REASON_FLAGS;
	if (p.status)
		return ORCHFS_REASON_FIELD;
	reason = pdu_check(&p, &request_rules[p.opcode]);
	if (!reason)
		*pdu = p;
	return reason;
}

/**
 * orchfs_pdu_decode_reply() - read and check a header that a server sent
 * @buf: its bytes
 * @len: at least ORCHFS_PDU_LEN, or it is refused
 * @pdu: filled on success. Whether its tag, opcode and length are those that
 *	were asked for is for the caller to see
 *
 * Return: 0, or the ORCHFS_REASON_* to end the connection for.
 */
int orchfs_pdu_decode_reply(const void *buf, size_t len, struct orchfs_pdu *pdu)
{
	struct orchfs_pdu p;
	int reason = pdu_decode(buf, len, &p);

	if (reason)
		return reason;
	if (!(p.flags & ORCHFS_PDU_REPLY))
		return ORCHFS_REASON_FLAGS;
	if (p.status >= ORCHFS_NR_STATUSES)
		return ORCHFS_REASON_FIELD;
	reason = pdu_check(&p, p.status ? &error_rule :
			   &reply_rules[p.opcode]);
	if (!reason)
		*pdu = p;
	return reason;
}

static const int status_errnos[ORCHFS_NR_STATUSES] = {
	[ORCHFS_STATUS_EXPIRED]		= EKEYEXPIRED,
	[ORCHFS_STATUS_STALE]		= ESTALE,
	[ORCHFS_STATUS_UNHEARD]		= EAGAIN,
	[ORCHFS_STATUS_TOKEN]		= EKEYREJECTED,
	[ORCHFS_STATUS_VOLUME]		= ENXIO,
	[ORCHFS_STATUS_HANDLE]		= EBADF,
	[ORCHFS_STATUS_RIGHTS]		= EACCES,
	[ORCHFS_STATUS_CHECKSUM]	= EBADMSG,
	[ORCHFS_STATUS_HANDLES]		= ENFILE,
	[ORCHFS_STATUS_VERSION]		= EPROTONOSUPPORT,
	[ORCHFS_STATUS_NOENT]		= ENOENT,
	[ORCHFS_STATUS_IO]		= EIO,
	[ORCHFS_STATUS_NOSPC]		= ENOSPC,
	[ORCHFS_STATUS_DQUOT]		= EDQUOT,
	[ORCHFS_STATUS_FBIG]		= EFBIG,
	[ORCHFS_STATUS_ROFS]		= EROFS,
	[ORCHFS_STATUS_NOMEM]		= ENOMEM,
	[ORCHFS_STATUS_INVAL]		= EINVAL,
	[ORCHFS_STATUS_TXTBSY]		= ETXTBSY,
	[ORCHFS_STATUS_NOTSUPP]		= EOPNOTSUPP,
	[ORCHFS_STATUS_NODATA]		= ENODATA,
};

/**
 * orchfs_pdu_status() - how a reply tells an error
 * @err: 0 or a negative errno
 *
 * Return: the status; that of EIO for errors that have none.
 */
u32 orchfs_pdu_status(int err)
{
	u32 status;

	for (status = 0; status < ORCHFS_NR_STATUSES; status++)
		if (status_errnos[status] == -err)
			return status;
	return ORCHFS_STATUS_IO;
}

/**
 * orchfs_pdu_errno() - what a status of a reply means
 * @status: of a reply that was decoded
 *
 * Return: 0 or a negative errno.
 */
int orchfs_pdu_errno(u32 status)
{
	return status < ORCHFS_NR_STATUSES ? -status_errnos[status] : -EIO;
}

/**
 * orchfs_hello_encode() - make the data of a HELLO
 * @hello: what it says
 * @buf: gets sizeof(struct orchfs_wire_hello) bytes
 */
void orchfs_hello_encode(const struct orchfs_hello *hello, void *buf)
{
	struct orchfs_wire_hello w = {
		.version_min = cpu_to_le32(hello->version_min),
		.version_max = cpu_to_le32(hello->version_max),
		.max_data = cpu_to_le32(hello->max_data),
		.max_requests = cpu_to_le32(hello->max_requests),
		.max_handles = cpu_to_le32(hello->max_handles),
		.max_bytes = cpu_to_le32(hello->max_bytes),
		.unit = cpu_to_le32(hello->unit),
		.id = cpu_to_le32(hello->id),
	};

	memcpy(buf, &w, sizeof(w));
}

/**
 * orchfs_hello_decode() - read the data of a HELLO
 * @buf: bytes
 * @len: so many
 * @hello: filled on success
 *
 * What a newer peer has put into fields that are unknown here is ignored: it
 * sees from the versions that they were.
 *
 * Return: 0, or ORCHFS_REASON_LENGTH, ORCHFS_REASON_VERSION for an empty range.
 */
int orchfs_hello_decode(const void *buf, size_t len, struct orchfs_hello *hello)
{
	struct orchfs_wire_hello w;

	if (len != sizeof(w))
		return ORCHFS_REASON_LENGTH;
	memcpy(&w, buf, sizeof(w));
	if (le32_to_cpu(w.version_min) > le32_to_cpu(w.version_max))
		return ORCHFS_REASON_VERSION;
	*hello = (struct orchfs_hello){
		.version_min = le32_to_cpu(w.version_min),
		.version_max = le32_to_cpu(w.version_max),
		.max_data = le32_to_cpu(w.max_data),
		.max_requests = le32_to_cpu(w.max_requests),
		.max_handles = le32_to_cpu(w.max_handles),
		.max_bytes = le32_to_cpu(w.max_bytes),
		.unit = le32_to_cpu(w.unit),
		.id = le32_to_cpu(w.id),
	};
	return 0;
}

/**
 * orchfs_token_encode() - make the bytes of a token, but for its MAC
 * @token: what it says
 * @buf: gets ORCHFS_TOKEN_LEN bytes, zeros for the MAC
 */
void orchfs_token_encode(const struct orchfs_token *token, void *buf)
{
	struct orchfs_wire_token w = {
		.magic = cpu_to_le32(ORCHFS_TOKEN_MAGIC),
		.token_version = cpu_to_le32(ORCHFS_TOKEN_VERSION),
		.volume = cpu_to_le32(token->volume),
		.key_id = cpu_to_le32(token->key_id),
		.ino = cpu_to_le64(token->ino),
		.version = cpu_to_le64(token->version),
		.instance = cpu_to_le64(token->instance),
		.node = cpu_to_le32(token->node),
		.rights = cpu_to_le32(token->rights),
		.epoch = cpu_to_le64(token->epoch),
		.expiry_ms = cpu_to_le64(token->expiry_ms),
	};

	memcpy(w.ns_uuid, token->ns_uuid, sizeof(w.ns_uuid));
	memcpy(buf, &w, sizeof(w));
}

/**
 * orchfs_token_decode() - read a token; nothing is known of its MAC
 * @buf: bytes
 * @len: so many
 * @token: filled on success
 *
 * Return: 0; -EINVAL for what is no token of a version that is known.
 */
int orchfs_token_decode(const void *buf, size_t len, struct orchfs_token *token)
{
	struct orchfs_wire_token w;

	if (len != sizeof(w))
		return -EINVAL;
	memcpy(&w, buf, sizeof(w));
	if (w.magic != cpu_to_le32(ORCHFS_TOKEN_MAGIC) ||
	    w.token_version != cpu_to_le32(ORCHFS_TOKEN_VERSION) ||
	    w.reserved || !w.rights ||
	    le32_to_cpu(w.rights) & ~ORCHFS_RIGHTS_ALL ||
	    !w.ino || !w.version || !w.instance || !w.node)
		return -EINVAL;
	*token = (struct orchfs_token){
		.volume = le32_to_cpu(w.volume),
		.key_id = le32_to_cpu(w.key_id),
		.ino = le64_to_cpu(w.ino),
		.version = le64_to_cpu(w.version),
		.instance = le64_to_cpu(w.instance),
		.node = le32_to_cpu(w.node),
		.rights = le32_to_cpu(w.rights),
		.epoch = le64_to_cpu(w.epoch),
		.expiry_ms = le64_to_cpu(w.expiry_ms),
	};
	memcpy(token->ns_uuid, w.ns_uuid, sizeof(token->ns_uuid));
	return 0;
}

/**
 * orchfs_remote_attr_encode() - make the data of a reply to GETATTR
 * @attr: what it says
 * @buf: gets sizeof(struct orchfs_wire_attr) bytes
 */
void orchfs_remote_attr_encode(const struct orchfs_remote_attr *attr,
			       void *buf)
{
	struct orchfs_wire_attr w = {
		.size = cpu_to_le64(attr->size),
		.blocks = cpu_to_le64(attr->blocks),
		.change = cpu_to_le64(attr->change),
		.atime_sec = cpu_to_le64(attr->atime_sec),
		.mtime_sec = cpu_to_le64(attr->mtime_sec),
		.ctime_sec = cpu_to_le64(attr->ctime_sec),
		.atime_nsec = cpu_to_le32(attr->atime_nsec),
		.mtime_nsec = cpu_to_le32(attr->mtime_nsec),
		.ctime_nsec = cpu_to_le32(attr->ctime_nsec),
	};

	memcpy(buf, &w, sizeof(w));
}

/**
 * orchfs_remote_attr_decode() - read the data of a reply to GETATTR
 * @buf: bytes
 * @len: so many
 * @attr: filled on success
 *
 * Return: 0, or the ORCHFS_REASON_* to end the connection for.
 */
int orchfs_remote_attr_decode(const void *buf, size_t len,
			      struct orchfs_remote_attr *attr)
{
	struct orchfs_wire_attr w;

	if (len != sizeof(w))
		return ORCHFS_REASON_LENGTH;
	memcpy(&w, buf, sizeof(w));
	if (w.reserved || le64_to_cpu(w.size) > S64_MAX ||
	    le32_to_cpu(w.atime_nsec) >= NSECS ||
	    le32_to_cpu(w.mtime_nsec) >= NSECS ||
	    le32_to_cpu(w.ctime_nsec) >= NSECS)
		return ORCHFS_REASON_FIELD;
	*attr = (struct orchfs_remote_attr){
		.size = le64_to_cpu(w.size),
		.blocks = le64_to_cpu(w.blocks),
		.change = le64_to_cpu(w.change),
		.atime_sec = le64_to_cpu(w.atime_sec),
		.mtime_sec = le64_to_cpu(w.mtime_sec),
		.ctime_sec = le64_to_cpu(w.ctime_sec),
		.atime_nsec = le32_to_cpu(w.atime_nsec),
		.mtime_nsec = le32_to_cpu(w.mtime_nsec),
		.ctime_nsec = le32_to_cpu(w.ctime_nsec),
	};
	return 0;
}
