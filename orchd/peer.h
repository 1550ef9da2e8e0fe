/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that owns a namespace's connections (orchd-peer), and the one
 * that carries out what comes by them (orchd-peerop).
 */
#ifndef ORCHD_PEER_H
#define ORCHD_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peer_frame.h"

struct cluster;
struct peer;

/* One node's link, as told to people. */
struct peer_link {
	uint32_t node;
	bool up;
	int64_t since;			/* wall clock, s; 0: never was */
	char address[80];
	char why[256];			/* it is not up */
	bool refused;			/* told that it may not */
};

/** peer_start() - listen (authority) or connect (agent). */
int peer_start(struct cluster *cl, struct peer **out);
void peer_stop(struct peer *p);

/**
 * peer_call() - any other thread: ask the authority and wait
 * Return: 0 and *out, to be freed by frame_free(); -errno and a text.
 */
int peer_call(struct peer *p, const peer_frame *f, uint32_t ms,
	      peer_frame **out, char *why, size_t len);
/** peer_recheck() - any thread: close links of nodes that were removed. */
void peer_recheck(struct peer *p);
/** peer_new_tls() - any thread: the node has another certificate. */
int peer_new_tls(struct peer *p);
/** peer_link() - any thread: of a node; of an agent: its only one. */
void peer_link(struct peer *p, uint32_t node, struct peer_link *out);

#endif
