/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames on the wire: a 32-bit little-endian length and one Frame of
 * proto/peer.proto. Pure: bytes in, frames out.
 */
#ifndef ORCHD_PEER_FRAME_H
#define ORCHD_PEER_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "proto/peer.pb-c.h"

#define PEER_FRAME_MAX	(1U << 20)
#define PEER_FRAME_NEW	(16U << 10)	/* from who is not authenticated */

typedef Orchfs__Peer__Frame peer_frame;
#define PEER_FRAME_INIT(which) {					\
	PROTOBUF_C_MESSAGE_INIT(&orchfs__peer__frame__descriptor),	\
	.body_case = ORCHFS__PEER__FRAME__BODY_##which }
#define PEER_BODY(which)	ORCHFS__PEER__FRAME__BODY_##which

/* The frame that is coming in. */
struct frame_in {
	uint32_t max;
	uint8_t head[4];
	uint8_t *body;
	size_t have, want;	/* with the head */
};

void frame_in_free(struct frame_in *in);
/**
 * frame_feed() - take from *p what belongs to the frame at hand
 * @p, @len: move over what was taken
 * @size: of the frame that *out is
 * Return: 1 and *out is a whole one; 0 more is needed; -EMSGSIZE it is longer
 * than in->max; -EBADMSG it is no frame; -ENOMEM.
 */
int frame_feed(struct frame_in *in, const uint8_t **p, size_t *len,
	       peer_frame **out, size_t *size);
void frame_free(peer_frame *f);
/** frame_pack() - with its length in front; malloced. NULL: no memory. */
uint8_t *frame_pack(const peer_frame *f, size_t *len);
/** frame_set_id() - of one that frame_pack() has made without an id */
void frame_set_id(uint8_t *buf, size_t *len, uint64_t id);

#endif
