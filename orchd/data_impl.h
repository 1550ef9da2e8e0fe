/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by data*.c. */
#ifndef ORCHD_DATA_IMPL_H
#define ORCHD_DATA_IMPL_H

#include "data.h"
#include "served.h"

/* A volume that other nodes may use. */
struct data_volume {
	struct data_volume *next;
	uint32_t id, key_id;
	uint8_t key[ORCHFS_KEY_LEN];
};

/* A node whose tokens were made worthless. */
struct data_node {
	uint32_t node;
	uint32_t fenced;		/* so many times since the start */
};

struct data {
	uint64_t epoch;			/* of the authority */
	struct data_volume *volumes;
	struct data_node *nodes;
	size_t nr_nodes;
	uint32_t key_id;		/* the last that was given */
};

#endif
