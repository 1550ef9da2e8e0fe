/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by data*.c. */
#ifndef ORCHD_DATA_IMPL_H
#define ORCHD_DATA_IMPL_H

#include "data.h"
#include "ns_cluster.h"
#include "served.h"

#define DATA_CONNS_NODE	8	/* of one node that are served */

enum data_state {
	DATA_OFF,
	DATA_ASKED,		/* the kernel is to serve it */
	DATA_SERVED,
	DATA_ENDING,		/* it is to let go of it */
};

/* A volume that other nodes may use. */
struct data_volume {
	struct data_volume *next;
	uint32_t id, key_id;
	enum data_state state;
	bool held;			/* the kernel has it, by whatever key */
	bool release;			/* it is to be removed */
	bool listed;			/* by serve-list, as it was served */
	bool told;			/* that it can't be served */
	uint8_t key[ORCHFS_KEY_LEN];
};

/* A node whose tokens were made worthless. */
struct data_node {
	uint32_t node;
	uint32_t fenced;		/* so many times since the start */
	uint64_t until;			/* by then they have expired, too */
	bool waiting;			/* for a kernel to be told */
	bool out;			/* it was removed, which was seen */
	uint64_t epoch, expiry_ms;	/* an agent's: of the last fence */
};

/* A connection that this kernel serves. */
struct data_conn {
	struct data_conn *next;
	uint32_t node;
	uint64_t id;
};

enum data_op_kind {
	DATA_OP_TIME,
	DATA_OP_SERVE,
	DATA_OP_UNSERVE,
	DATA_OP_FENCE,
	DATA_OP_DROP,
	DATA_OP_SERVE_PEER,
	DATA_OP_ADD_PEER,
};

/* What the kernel was asked and hasn't answered. */
struct data_op {
	struct data_op *next;
	enum data_op_kind kind;
	uint32_t seq;			/* of the message; 0: acknowledged */
	uint64_t id;			/* of its serve-done; 0: none comes */
	bool again;			/* refused: to be sent again */
	uint32_t volume, node;
	char address[NS_NODE_ADDRESS];
};

struct data_dial;

struct data {
	uint64_t epoch;			/* of the authority */
	struct data_volume *volumes;
	struct data_node *nodes;
	size_t nr_nodes;
	uint32_t key_id;		/* the last that was given */
	bool begun;			/* this kernel knows what it serves */
	bool heard;			/* an agent's: what is to be served */
	bool again;			/* but what is could not be asked */
	struct data_conn *conns;	/* newest first */
	struct data_op *ops;
	uint64_t next_id;
	uint64_t heard_at;		/* ms, boot time: the last serve-time */
	bool time_refused;
	uint64_t looked_at;		/* ms: what it serves was read */
	struct data_dial *dial;		/* changes under sv->lock */
};

/* data.c */
struct data_volume *data_volume(const struct data *d, uint32_t id);
/** data_volume_key() - a new one; also for a volume that isn't known yet */
struct data_volume *data_volume_key(struct data *d, uint32_t id);
void data_volume_del(struct data *d, uint32_t id);
uint64_t data_node_epoch(const struct served *sv, uint32_t node);
struct data_node *data_node_get(struct data *d, uint32_t node);

/* data_op.c */
struct data_op *data_op_new(struct data *d, enum data_op_kind kind);
/** data_op_send() - takes both; NULL of either: -ENOMEM */
int data_op_send(struct served *sv, struct data_op *o, struct nl_msg *m);
void data_ops_drop(struct served *sv);

/* data_serve.c: how they ended */
void data_time_done(struct served *sv, int rc);
void data_serve_done(struct served *sv, const struct data_op *o, int rc);
void data_unserve_done(struct served *sv, const struct data_op *o, int rc);

/* data_conn.c */
/** data_removed() - may that node have no connection? */
bool data_removed(const struct served *sv, uint32_t node);
void data_conn_add(struct served *sv, uint32_t node, uint64_t id);
void data_conns_drop(struct data *d);
void data_drop(struct served *sv, uint32_t node, uint64_t connection);
void data_peer_done(struct served *sv, const struct data_op *o, int rc,
		    uint64_t connection);
/** data_socket() - a dead peer is found within 15 s, with data under way or not */
void data_socket(int fd);
void data_gone(struct served *sv, const struct nl_serve *s);

/* data_dial.c */
void data_want(struct served *sv, uint32_t node);
void data_add_done(struct served *sv, uint32_t node, uint64_t connection,
		   int rc);
void data_peer_gone(struct served *sv, const struct nl_serve *s);

#endif
