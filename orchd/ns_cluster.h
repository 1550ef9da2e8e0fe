/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of a cluster: who belongs to it, and who is invited.
 * Documentation/cluster.md. Like the rest of the engine, for one thread.
 */
#ifndef ORCHD_NS_CLUSTER_H
#define ORCHD_NS_CLUSTER_H

#include "ns.h"

#define NS_NODE_NAME	64
#define NS_NODE_ADDRESS	80
#define NS_SERIAL_MAX	20
#define NS_NODES_MAX	1024
#define NS_INVITES_MAX	64
#define NS_INVITE_KEEP	(7 * 86400)	/* s after its end */

struct ns_cluster {
	uint8_t ca_sha256[32];
	uint64_t epoch;
	uint32_t authority;
};

struct ns_serial {
	uint8_t b[NS_SERIAL_MAX];
	size_t len;			/* 0: none */
};

struct ns_node {
	uint32_t number;
	bool removed;
	char name[NS_NODE_NAME];
	char address[NS_NODE_ADDRESS];
	struct ns_serial serial, old_serial;
	struct orchfs_time joined, removed_at;
	/* it may have leases as long, also of an earlier run; 0: it has none */
	uint32_t lease_ms;
	uint64_t lease_txn;		/* that wrote it; 0: of an earlier run */
	bool awaited;			/* and hasn't told since this start */
	bool asks;			/* has told, and not yet ns_asked() */
};

/* A node that comes by an invitation, or comes again with the same key. */
struct ns_join {
	uint8_t secret_sha256[32];
	uint8_t key_sha256[32];
	int64_t now;			/* wall clock, s */
	char name[NS_NODE_NAME];
	char address[NS_NODE_ADDRESS];
	struct ns_serial serial;	/* of the certificate to come */
};

/** ns_cluster() - NULL where the namespace is no cluster's. */
const struct ns_cluster *ns_cluster(const struct ns *ns);
/** ns_nodes() - all, in order of numbers; valid until the next change. */
const struct ns_node *ns_nodes(const struct ns *ns, size_t *nr);
/**
 * ns_node_leases() - durable before a node gets its first lease (@lease_ms),
 * and after its session has ended (0)
 * @txn: to wait for; 0: it was so at the start. Return: 0; -ENOENT; other -errno.
 */
int ns_node_leases(struct ns *ns, uint32_t number, uint32_t lease_ms,
		   uint64_t *txn);
/** ns_awaits() - a node may hold what it hasn't told since this start */
bool ns_awaits(const struct ns *ns);
/** ns_node_known() - is this the serial of its present or last certificate? */
bool ns_node_known(const struct ns_node *n, const struct ns_serial *s);

/**
 * ns_cluster_begin() - the namespace becomes a cluster's, @first its node 1
 * Return: 0; -EEXIST it is one already; other -errno.
 */
int ns_cluster_begin(struct ns *ns, const uint8_t ca_sha256[32],
		     const struct ns_node *first);
/**
 * ns_invite() - until @expires a node may join; old ones are forgotten
 * @by: the node that asks
 * Return: 0; -ENOSPC too many are open; -EKEYREVOKED @by is not in any more;
 * other -errno.
 */
int ns_invite(struct ns *ns, const uint8_t secret_sha256[32], uint32_t by,
	      int64_t now, int64_t expires);
/** ns_invites_open() - how many may still be used. */
int ns_invites_open(struct ns *ns, int64_t now, size_t *nr);
/**
 * ns_invites_cancel() - none of those that are open can be used any more
 * @by: as of ns_invite()
 */
int ns_invites_cancel(struct ns *ns, uint32_t by, int64_t now, size_t *nr);
/** ns_invited() - -ENOENT: nobody was invited with that secret. */
int ns_invited(struct ns *ns, const uint8_t secret_sha256[32]);
/** ns_join_number() - that ns_join() would give, for its certificate. */
int ns_join_number(struct ns *ns, const struct ns_join *j, uint32_t *number);
/**
 * ns_join() - use up the invitation and record the node
 * Return: 0; -EEXIST the name is taken; -ESTALE the invitation is used; -ETIME
 * it is over; -ENOENT there is none; -ENOSPC too many nodes; other -errno.
 */
int ns_join(struct ns *ns, const struct ns_join *j, uint32_t *number);
/**
 * ns_node_renew() - it gets another certificate
 * @used: that it is connected with. It stays good, whatever became of those
 * that it was given since
 * Return: 0; -ENOENT it isn't in; -EKEYREJECTED @used is none of its own; other
 * -errno.
 */
int ns_node_renew(struct ns *ns, uint32_t number, const struct ns_serial *used,
		  const struct ns_serial *s);
/**
 * ns_node_remove() - refused from now on; its number stays its own, its slots
 * go. Whom it has invited can't join any more
 * @by: the node that asks
 * Return: 0; -ENOENT; -EALREADY; -EPERM the authority; -EKEYREVOKED @by is not
 * in any more; other -errno.
 */
int ns_node_remove(struct ns *ns, uint32_t number, uint32_t by, int64_t now);

#endif
