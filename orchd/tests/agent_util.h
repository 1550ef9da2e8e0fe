/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent between a kernel and an authority. The daemon and its link are
 * real; the test is the kernel, in the place of nl_sock.c, and the authority's
 * namespace thread.
 */
#ifndef AGENT_UTIL_H
#define AGENT_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those above */
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <netlink/msg.h>

#include "agent.h"
#include "arena.h"
#include "cluster.h"
#include "nl.h"
#include "op_wire.h"

#define WAIT_MS	20000
#define LOG_MAX	8192

extern const uint8_t uuid[16];

/* --- the kernel --- */

/* What the daemon has sent. */
struct said {
	uint8_t cmd;
	uint64_t id, node, durable, lease_until, ino, instance;
	int status;
	uint32_t kind, peer;
	bool has_layout, has_attr;
	uint32_t volume, key_id;
	uint64_t epoch, file;		/* inode of a layout's backing file */
};

struct agent_kernel {
	pthread_mutex_t lock;		/* the rest */
	bool loaded, attached;
	int fd;				/* the daemon's */
	unsigned int attaches, closes;
	uint64_t incarnation;
	struct nl_msg *in[LOG_MAX];	/* for the daemon */
	size_t nr_in, next_in;
	struct said said[LOG_MAX];
	size_t nr_said;
	uint64_t sessions[3];
	size_t nr_sessions;
	uint64_t handles[5000];
	size_t nr_handles;
	uint64_t locked;		/* an inode with two locks; 0: none */
};
extern struct agent_kernel k;

struct nl_msg *message(uint8_t cmd);
/* Messages for the daemon; they are lost when it isn't attached. */
void inject(struct nl_msg *m);
void request(uint64_t id, uint32_t kind, uint32_t flags);
struct orchfs_lock a_lock(uint64_t owner, uint32_t flags);

/* --- the authority --- */

extern char dir[64];

struct agent_world {
	EVP_PKEY *ca_key, *key;
	X509 *ca;
	struct ns_node nodes[2];
	struct served sv, *agent;
	struct cluster cl;
	int port;
	char listen[NS_NODE_ADDRESS];	/* of the agent, for data */
	uint64_t link;
	unsigned int ups, downs;
	/* what came, in order; NULL once it is answered */
	struct peer_request *req[LOG_MAX];
	size_t nr, taken;
	uint32_t lease_ms;
	unsigned int renewals, answers, failures;
};
extern struct agent_world w;

/* One turn of the authority's thread. */
void turn(void);

size_t nr_said(uint8_t cmd);
/* The @n-th message of that command, once it is there. */
struct said said(uint8_t cmd, size_t n);

/* What the agent asks next. */
struct peer_request *next(int body);
struct op_req next_op(struct peer_request **r);

void reply_done(struct peer_request *r);
void reply_lease(struct peer_request *r);
void reply_op(struct peer_request *r, const struct op_reply *rep);

/* What an agent says at first is heard. */
void welcome(size_t handles);

int free_port(void);

/* A kernel and a directory, and nobody there. */
int begin(void);
void end(void);

void agent_start(void);
void agent_stop(void);

int setup(void **state);
int teardown(void **state);

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
