/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause) */
/*
 * What data servers and their clients say to each other: see
 * Documentation/remote.md. Little-endian.
 */
#ifndef _UAPI_LINUX_ORCHFS_WIRE_H
#define _UAPI_LINUX_ORCHFS_WIRE_H

#include <linux/types.h>

#define ORCHFS_PDU_MAGIC	0x4843524fU	/* "ORCH" */
#define ORCHFS_PDU_VERSION	1		/* of the header */
#define ORCHFS_PDU_LEN		64
#define ORCHFS_PDU_DATA_MAX	(1U << 20)
#define ORCHFS_PDU_DATA_MIN	(1U << 16)	/* that a server may allow */
#define ORCHFS_PDU_REQUESTS_MAX	256

/* versions of what follows, that HELLO agrees on */
#define ORCHFS_HELLO_VERSION_MIN	1
#define ORCHFS_HELLO_VERSION_END	2	/* opcodes from END on */
#define ORCHFS_HELLO_VERSION	2

#define ORCHFS_TOKEN_MAGIC	0x4b544f4fU	/* "OOTK" */
#define ORCHFS_TOKEN_VERSION	1
#define ORCHFS_TOKEN_LEN	120
#define ORCHFS_TOKEN_MAC_LEN	32
#define ORCHFS_TOKEN_SIGNED_LEN	(ORCHFS_TOKEN_LEN - ORCHFS_TOKEN_MAC_LEN)

/* opcodes */
enum {
	ORCHFS_OP_HELLO = 1,
	ORCHFS_OP_BIND,
	ORCHFS_OP_UNBIND,
	ORCHFS_OP_READ,
	ORCHFS_OP_WRITE,
	ORCHFS_OP_COMMIT,
	ORCHFS_OP_GETATTR,
	ORCHFS_OP_TRUNCATE,
	ORCHFS_OP_PING,
	ORCHFS_OP_END,
	ORCHFS_OP_ALLOCATE,
	ORCHFS_OP_SEEK,
	ORCHFS_NR_OPS,
};

/* flags */
#define ORCHFS_PDU_REPLY	0x1
#define ORCHFS_PDU_DATA_CRC	0x2
#define ORCHFS_PDU_FUA		0x4
#define ORCHFS_PDU_APPEND	0x8	/* WRITE: where the file ends */

/* modes of ALLOCATE, as fallocate's; those that may be done twice */
#define ORCHFS_ALLOC_KEEP_SIZE	0x1
#define ORCHFS_ALLOC_PUNCH_HOLE	0x2	/* with KEEP_SIZE */
#define ORCHFS_ALLOC_ZERO_RANGE	0x10

/* what SEEK looks for */
#define ORCHFS_SEEK_DATA	0
#define ORCHFS_SEEK_HOLE	1

/* rights of a token */
#define ORCHFS_RIGHT_READ	0x1
#define ORCHFS_RIGHT_WRITE	0x2
#define ORCHFS_RIGHT_TRUNCATE	0x4
#define ORCHFS_RIGHTS_ALL	0x7

/* statuses of replies */
enum {
	ORCHFS_STATUS_OK,
	ORCHFS_STATUS_EXPIRED,
	ORCHFS_STATUS_STALE,
	ORCHFS_STATUS_UNHEARD,
	ORCHFS_STATUS_TOKEN,
	ORCHFS_STATUS_VOLUME,
	ORCHFS_STATUS_HANDLE,
	ORCHFS_STATUS_RIGHTS,
	ORCHFS_STATUS_CHECKSUM,
	ORCHFS_STATUS_HANDLES,
	ORCHFS_STATUS_VERSION,
	ORCHFS_STATUS_NOENT,
	ORCHFS_STATUS_IO,
	ORCHFS_STATUS_NOSPC,
	ORCHFS_STATUS_DQUOT,
	ORCHFS_STATUS_FBIG,
	ORCHFS_STATUS_ROFS,
	ORCHFS_STATUS_NOMEM,
	ORCHFS_STATUS_INVAL,
	ORCHFS_STATUS_TXTBSY,
	ORCHFS_STATUS_NOTSUPP,
	ORCHFS_STATUS_NODATA,
	ORCHFS_NR_STATUSES,
};

struct orchfs_wire_pdu {
	__le32 magic;
	__u8 version;
	__u8 opcode;
	__le16 flags;
	__le32 tag;
	__le32 status;
	__le64 handle;
	__le64 offset;
	__le32 count;
	__le32 data_len;
	__le64 verifier;
	__le32 data_crc;
	__le32 length[2];	/* of ALLOCATE, low word first */
	__le32 header_crc;
};

/* data of HELLO and of its reply */
struct orchfs_wire_hello {
	__le32 version_min;
	__le32 version_max;
	__le32 max_data;
	__le32 max_requests;
	__le32 max_handles;
	__le32 max_bytes;	/* 0: unlimited */
	__le32 unit;		/* data count as so many, with what is before */
	__le32 id;		/* of a request: what END names it by */
};

/* data of BIND */
struct orchfs_wire_token {
	__le32 magic;
	__le32 token_version;
	__u8 ns_uuid[16];
	__le32 volume;
	__le32 key_id;
	__le64 ino;
	__le64 version;
	__le64 instance;
	__le32 node;
	__le32 rights;
	__le64 epoch;
	__le64 expiry_ms;
	__le64 reserved;
	__u8 mac[ORCHFS_TOKEN_MAC_LEN];
};

/* data of the reply to GETATTR */
struct orchfs_wire_attr {
	__le64 size;
	__le64 blocks;		/* of 512 bytes */
	__le64 change;
	__le64 atime_sec;
	__le64 mtime_sec;
	__le64 ctime_sec;
	__le32 atime_nsec;
	__le32 mtime_nsec;
	__le32 ctime_nsec;
	__le32 reserved;
};

#endif
