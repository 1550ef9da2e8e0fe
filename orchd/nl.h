/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the channel (Documentation/protocol-channel.md): decoding and
 * encoding, pure functions over buffers. nl_sock.h sends and receives them.
 */
#ifndef ORCHD_NL_H
#define ORCHD_NL_H

#include "ns.h"

struct nl_msg;
struct nlmsghdr;

#define NL_REPLY_MAX	(512 * 1024)	/* a listing is cut there */

/* A request as received. Names point into the message. */
struct nl_request {
	struct op_req op;
	void *owned;			/* a value that came in pieces */
};

/** nl_cmd() - ORCHFS_CMD_* of a message of the family, or -EBADMSG. */
int nl_cmd(const struct nlmsghdr *nlh);

/**
 * nl_decode_request() - check and translate. On -EPROTO op.id is set when the
 * message has one, so that it can be refused by number.
 */
int nl_decode_request(struct nlmsghdr *nlh, struct nl_request *r);
void nl_request_release(struct nl_request *r);

typedef int (*nl_notes_fn)(void *ctx, const struct ns_note *notes, size_t nr);
/** nl_decode_notices() - calls fn with up to 64 notices at a time. */
int nl_decode_notices(struct nlmsghdr *nlh, nl_notes_fn fn, void *ctx);

struct nl_layout_done {
	uint64_t id, node, generation;
	int status;
	uint32_t writers;	/* files open for writing */
};
int nl_decode_layout_done(struct nlmsghdr *nlh, struct nl_layout_done *d);

struct nl_attached {
	uint32_t version, state;
	uint8_t boot_id[16];
};
int nl_decode_attached(struct nlmsghdr *nlh, struct nl_attached *a);

struct nl_mount {
	uint8_t uuid[16];
	char name[64];
	uint64_t session;		/* 0: no superblock */
	uint32_t state, waiting, opens;
};
int nl_decode_mount(struct nlmsghdr *nlh, struct nl_mount *m);
int nl_decode_handle(struct nlmsghdr *nlh, struct ns_handle *h);
struct op_locks;
/** nl_decode_locks() - the caller frees v->l */
int nl_decode_locks(struct nlmsghdr *nlh, struct op_locks *v);
/** nl_decode_held() - likewise */
int nl_decode_held(struct nlmsghdr *nlh, struct op_locks *v, uint64_t *number,
		   bool *eof);

/* Encoders return NULL without memory. */
struct nl_msg *nl_encode_attach(uint16_t family, const uint8_t uuid[16],
				const char *name, uint64_t incarnation);
#define NL_LEASE_KEEP	UINT64_MAX	/* what the kernel was told before */
/**
 * nl_encode_durable() - ready or poll; a poll is answered if it fails.
 * @lease_until_ms: CLOCK_BOOTTIME until which the kernel may believe what it
 * has cached, 0: for ever, NL_LEASE_KEEP
 */
struct nl_msg *nl_encode_durable(uint16_t family, uint8_t cmd,
				 uint64_t durable, uint64_t lease_until_ms);
struct nl_msg *nl_encode_dump(uint16_t family, uint8_t cmd);
/** nl_encode_reply() - @fd: of a layout that is here, else -1. */
struct nl_msg *nl_encode_reply(uint16_t family, uint64_t id,
			       const struct op_reply *rep, uint64_t durable,
			       int fd);
struct nl_msg *nl_encode_layout_set(uint16_t family, uint64_t id,
				    uint64_t node,
				    const struct op_layout *layout, int fd,
				    uint32_t timeout_ms);
/**
 * nl_encode_lock_recall() - @node: 0: from now on the locks of each are to be
 * asked for
 */
struct nl_msg *nl_encode_lock_recall(uint16_t family, uint64_t number,
				     uint64_t node, bool lost);
struct nl_msg *nl_encode_layout_drop(uint16_t family, uint32_t volume);
/**
 * nl_encode_invalidate() - @node: 0 for the whole namespace; @attr: NULL, or
 * with nlink 0 when the inode has lost its last name
 */
struct nl_msg *nl_encode_invalidate(uint16_t family, uint64_t node,
				    const struct orchfs_attr *attr);

#endif
