/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A data server in a thread of its own, node 1 of peer_util.h, which does as
 * told: answers in another order, damages, falls silent, breaks.
 */
#ifndef PDU_UTIL_H
#define PDU_UTIL_H

#include "peer_util.h"

#include <pthread.h>
#include <stdatomic.h>

#include "pdu_client.h"

#define CHUNK	ORCHFS_PDU_DATA_MAX
#define LENGTH	(20 * CHUNK + 12345)

enum fault {
	F_NONE,
	F_DAMAGE,		/* a byte of what it reads */
	F_NO_SUM,
	F_TAG,			/* answers what was not asked */
	F_LONG,			/* more than was asked */
	F_SHORT,		/* the file was cut */
	F_BREAK,		/* in the middle of the data */
	F_SILENT,
	F_TOKEN,		/* refuses the token */
	F_EIO,
	F_WRITTEN,		/* while it was read */
	F_HANDLE,		/* knows the handle no more */
	F_KEY,			/* nor the key of the token */
	F_HELLO,		/* another version */
};

struct pdu_server {
	pthread_t thread;
	atomic_bool end;
	enum fault fault;
	bool once;		/* then it is well */
	unsigned int after;	/* so many READs are answered well */
	atomic_uint most;	/* READs that were asked before one's answer */
	atomic_uint given;	/* connections */
	bool bound;
	uint8_t token[ORCHFS_TOKEN_LEN];	/* the last */
	atomic_uint refused, asked;		/* tokens; times */
};
extern struct pdu_server s;

/* Each fifth block of 4 KiB is zero. */
char byte_at(uint64_t at);

int server_setup(void **state);
int server_teardown(void **state);

#endif
