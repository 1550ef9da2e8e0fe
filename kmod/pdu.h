/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * PDUs and tokens between bytes and numbers; see Documentation/remote.md.
 * Nothing here allocates, sleeps or keeps anything. Compiles in user space too,
 * where it is fuzzed and tests use it.
 */
#ifndef _ORCHFS_PDU_H
#define _ORCHFS_PDU_H

#ifdef __KERNEL__
#include <asm/byteorder.h>
#include <linux/crc32.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/wordpart.h>
#else
#include "pdu_user.h"
#endif

#include <linux/orchfs_nl.h>
#include <linux/orchfs_wire.h>

/* A header */
struct orchfs_pdu {
	u8 opcode;			/* ORCHFS_OP_* */
	u16 flags;			/* ORCHFS_PDU_* */
	u32 tag;
	u32 status;			/* ORCHFS_STATUS_* */
	u64 handle;
	u64 offset;
	u32 count;
	u32 data_len;
	u64 verifier;
	u32 data_crc;
	u64 length;
};

/* What an end of a connection can do */
struct orchfs_hello {
	u32 version_min, version_max;
	u32 max_data;
	u32 max_requests;
	u32 max_handles;
	u32 max_bytes;
	u32 unit;
	u32 id;
};

/* Who may use an instance, how and until when */
struct orchfs_token {
	u8 ns_uuid[16];
	u32 volume;
	u32 key_id;
	u64 ino;
	u64 version;
	u64 instance;
	u32 node;
	u32 rights;			/* ORCHFS_RIGHT_* */
	u64 epoch;
	u64 expiry_ms;			/* by the authority's clock */
};

/* What GETATTR answers */
struct orchfs_remote_attr {
	u64 size;
	u64 blocks;
	u64 change;
	s64 atime_sec, mtime_sec, ctime_sec;
	u32 atime_nsec, mtime_nsec, ctime_nsec;
};

u32 orchfs_pdu_crc(u32 crc, const void *buf, size_t len);
void orchfs_pdu_encode(const struct orchfs_pdu *pdu, void *buf);
int orchfs_pdu_decode_request(const void *buf, size_t len,
			      struct orchfs_pdu *pdu);
int orchfs_pdu_decode_reply(const void *buf, size_t len,
			    struct orchfs_pdu *pdu);
u32 orchfs_pdu_status(int err);
int orchfs_pdu_errno(u32 status);

void orchfs_hello_encode(const struct orchfs_hello *hello, void *buf);
int orchfs_hello_decode(const void *buf, size_t len,
			struct orchfs_hello *hello);
void orchfs_token_encode(const struct orchfs_token *token, void *buf);
int orchfs_token_decode(const void *buf, size_t len,
			struct orchfs_token *token);
void orchfs_remote_attr_encode(const struct orchfs_remote_attr *attr,
			       void *buf);
int orchfs_remote_attr_decode(const void *buf, size_t len,
			      struct orchfs_remote_attr *attr);

#endif
