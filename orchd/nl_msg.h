/* SPDX-License-Identifier: Apache-2.0 */
/* What the encoders and decoders of nl.h and nl_serve.h are made of. */
#ifndef ORCHD_NL_MSG_H
#define ORCHD_NL_MSG_H

#include <stddef.h>
#include <stdint.h>

struct nl_msg;
struct nlattr;
struct nlmsghdr;

/** msg_parse() - @tb: of ORCHFS_A_MSG_MAX + 1; 0 or -EPROTO */
int msg_parse(struct nlmsghdr *nlh, struct nlattr **tb);
/* 0 where there is none. */
uint64_t msg_u64(struct nlattr **tb, int a);
uint32_t msg_u32(struct nlattr **tb, int a);

/** msg_new() - for @payload bytes of attributes; NULL without memory */
struct nl_msg *msg_new(uint16_t family, uint8_t cmd, int flags,
		       size_t payload);
/** msg_end() - @m, or NULL after it is freed when @rc isn't 0 */
struct nl_msg *msg_end(struct nl_msg *m, int rc);

#endif
