/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A namespace's part in its cluster: Documentation/cluster.md. Members do not
 * change after cluster_start() unless told otherwise.
 */
#ifndef ORCHD_CLUSTER_H
#define ORCHD_CLUSTER_H

#include <pthread.h>

#include "cluster_pki.h"
#include "cluster_token.h"
#include "peer_frame.h"
#include "served.h"

#define CLUSTER_DIR	"cluster"
#define CLUSTER_ASK_MS	10000
#define CLUSTER_VALID	86400		/* of a token, s */
#define CLUSTER_VALID_MAX (30 * 86400)

struct arena;
struct peer;
struct peer_handler;

struct data_address {
	uint32_t node;
	char address[NS_NODE_ADDRESS];
};

struct cluster {
	struct served *sv;
	char dir[4200];			/* STORE/cluster */
	bool agent;
	char ns[64];
	uint8_t uuid[16];
	char boot_id[64];
	uint64_t incarnation;
	uint32_t node, authority;
	char name[NS_NODE_NAME], authority_name[NS_NODE_NAME];
	/* where the authority listens */
	char address[TOKEN_ADDRESSES][NS_NODE_ADDRESS];
	unsigned int nr_addresses;
	char listen[NS_NODE_ADDRESS];	/* an agent's; "": any */
	EVP_PKEY *ca_key;		/* of the authority alone */
	X509 *ca;
	struct peer *peer;		/* NULL: it could not be started */
	const struct peer_handler *handler;	/* peer.h; or NULL */

	pthread_mutex_t lock;		/* the rest; only peer.c's is taken in it */
	uint64_t epoch;
	EVP_PKEY *key;
	X509 *cert;
	struct ns_node *nodes;		/* as the store has them; an agent's: */
	size_t nr_nodes;		/* as peers has told */
	char listening[NS_NODE_ADDRESS];	/* an agent's, for data; or "" */
	struct data_address *data;	/* where nodes serve data */
	size_t nr_data;
	char problem[VOLUME_WHY];
};

/** cluster_is_agent() - no store in @dir, but files of an agent. */
bool cluster_is_agent(const char *dir);

/* The namespace thread: */

/**
 * cluster_start() - where the namespace is a cluster's: listen, or connect
 * What goes wrong is shown by status; the namespace serves all the same.
 */
void cluster_start(struct served *sv);
/** cluster_stop() - nobody uses it any more (served_wait_users()) */
void cluster_stop(struct served *sv);
/**
 * cluster_set_data_address() - any thread: a node has told, or was told of
 * Return: 1 that is news; 0; -ENOMEM.
 */
int cluster_set_data_address(struct cluster *cl, uint32_t node,
			     const char *address);
/**
 * cluster_data_address() - any thread: where a node serves data, as far as is
 * known: else where its record says that it is; "" where that says nothing
 */
void cluster_data_address(struct cluster *cl, uint32_t node,
			  char out[NS_NODE_ADDRESS]);
/** cluster_tls() - any thread: this node's credentials of now; NULL: no memory */
struct peer_tls *cluster_tls(struct cluster *cl);
/** cluster_listening() - any thread: where an agent serves data, or "" */
void cluster_listening(struct cluster *cl, char out[NS_NODE_ADDRESS]);
/** cluster_agent() - read an agent's files; its name and UUID are claimed. */
int cluster_agent(struct served *sv, char *why, size_t len);

/* Any other thread that holds the namespace (served_hold_cluster()): */

/** cluster_check() - could a cluster listen there? */
int cluster_check(const char *listen, struct address *a, char *why,
		  size_t len);
/** cluster_init() - make the CA and node 1 of a namespace that is none's. */
int cluster_init(struct served *sv, const char *listen, const char *name,
		 char *why, size_t len);
/**
 * cluster_ask() - carry out @f, here or at the authority
 * Return: 0 and *out, in the arena; -errno and a text in @why.
 */
int cluster_ask(struct cluster *cl, struct arena *a, peer_frame *f,
		peer_frame **out, char *why, size_t len);
/** cluster_ask_for() - the same, for what may take @ms */
int cluster_ask_for(struct cluster *cl, struct arena *a, peer_frame *f,
		    uint32_t ms, peer_frame **out, char *why, size_t len);
/** cluster_set_problem() - "" when it is over. */
void cluster_set_problem(struct cluster *cl, const char *text);
/** cluster_authority_text() - "node 1 (a, at 10.0.0.1:7420)" */
void cluster_authority_text(struct cluster *cl, char *out, size_t len);

/* cluster_ops.c: at the authority, in a thread that may wait */

/* Who asks. */
struct cluster_from {
	uint32_t node;			/* 0: it joins */
	struct ns_serial serial;	/* of its certificate */
	char address[NS_NODE_ADDRESS];
};

/** cluster_do() - fn in the namespace thread; on return it is durable. */
int cluster_do(struct cluster *cl, int (*fn)(struct ns *ns, void *arg),
	       void *arg);
/**
 * cluster_op() - carry out a request
 * @recheck: who is connected may have to go
 */
int cluster_op(struct cluster *cl, struct arena *a,
	       const struct cluster_from *from, const peer_frame *f,
	       peer_frame *out, bool *recheck, char *why, size_t len);
/** cluster_keep_epoch() - an agent's: what it has seen is not forgotten. */
int cluster_keep_epoch(struct cluster *cl, uint64_t epoch);
/** cluster_renew() - this node's certificate, where it is due. */
void cluster_renew(struct cluster *cl);

/* cluster_agent.c */

/* What an agent keeps. */
struct agent_file {
	char ns[64];
	uint8_t uuid[16];
	uint32_t node, authority;
	char name[NS_NODE_NAME], authority_name[NS_NODE_NAME];
	char address[TOKEN_ADDRESSES][NS_NODE_ADDRESS];
	unsigned int nr_addresses;
	char listen[NS_NODE_ADDRESS];	/* for data; "": any */
	uint64_t epoch;
};
int agent_file_write(const char *dir, const struct agent_file *a);
int agent_file_read(const char *dir, struct agent_file *a);

/* cluster_join.c: a thread that may wait */

struct join_opts {
	const struct token *token;
	const char *name;
	const char *address;		/* may be "" */
	const char *dir;		/* gets the files; is there */
	/* to be given up? @asked: it may be recorded; or NULL */
	bool (*stop)(void *ctx, bool asked);
	void *ctx;
};
/** cluster_join() - Return: the node's number, or -errno and a text. */
int cluster_join(const struct join_opts *o, char *why, size_t len);

#endif
