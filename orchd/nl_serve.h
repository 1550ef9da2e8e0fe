/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the channel about data servers and their clients, pure functions
 * as in nl.h. Documentation/remote.md, "Who does what".
 */
#ifndef ORCHD_NL_SERVE_H
#define ORCHD_NL_SERVE_H

#include <stdint.h>

struct nl_msg;
struct nlmsghdr;

/* What serve-list, serve-gone, peer-gone and peer-want tell. */
struct nl_serve {
	uint8_t uuid[16];		/* serve-list */
	uint32_t volume, key_id;	/* 0: it is about a connection */
	uint32_t peer;
	uint64_t connection;
	uint32_t reason;		/* of an end */
	uint64_t requests, refused, bytes_read, bytes_written, waits;
	uint32_t in_flight, handles, held, held_most, fences;
};

int nl_decode_serve(struct nlmsghdr *nlh, struct nl_serve *s);
/** nl_decode_connection() - the answer to serve-peer and peer-add */
int nl_decode_connection(struct nlmsghdr *nlh, uint64_t *connection);
int nl_decode_serve_done(struct nlmsghdr *nlh, uint64_t *id, int *status);

/*
 * Encoders return NULL without memory. All are acknowledged; serve-peer and
 * peer-add are answered or refused.
 */
struct nl_msg *nl_encode_serve_volume(uint16_t family, uint32_t volume, int fd,
				      const uint8_t *key, uint32_t key_id);
struct nl_msg *nl_encode_serve_unvolume(uint16_t family, uint64_t id,
					uint32_t volume);
/** nl_encode_socket() - @cmd: serve-peer or peer-add */
struct nl_msg *nl_encode_socket(uint16_t family, uint8_t cmd, int fd,
				uint32_t peer);
/** nl_encode_serve_drop() - @connection: 0: all of that peer */
struct nl_msg *nl_encode_serve_drop(uint16_t family, uint32_t peer,
				    uint64_t connection);
/** nl_encode_serve_fence() - @instance: 0: all of the volume */
struct nl_msg *nl_encode_serve_fence(uint16_t family, uint64_t id,
				     uint32_t volume, uint64_t instance,
				     uint32_t peer, uint64_t epoch,
				     uint64_t expiry_ms);
struct nl_msg *nl_encode_serve_time(uint16_t family, uint64_t authority_ms,
				    uint64_t boot_ms, uint32_t lease_ms);

#endif
