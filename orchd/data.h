/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's part in the way of bytes from kernel to kernel: keys and tokens
 * of volumes, what is served, connections that are handed over.
 * Documentation/remote.md, "The daemon". Unless told otherwise for the
 * namespace thread.
 */
#ifndef ORCHD_DATA_H
#define ORCHD_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/orchfs_nl.h>
#include <linux/orchfs_wire.h>

struct nl_serve;
struct nlmsghdr;
struct served;
struct volume;

#define DATA_TOKEN_MS	3600000U	/* a token is good for so long */
#define DATA_LEASE_MS	10000U		/* a server believes what it heard */

/** data_start() - the namespace is a cluster's from now on; again: nothing. */
int data_start(struct served *sv);
/** data_stop() - orderly, not for an upgrade: nothing is served any more. */
void data_stop(struct served *sv);
/** data_keep() - any thread: what is served is the next daemon's, if one comes */
void data_keep(bool keep);
void data_free(struct served *sv);

/* data.c: at the authority */

/**
 * data_clock() - the authority's clock, in ms: CLOCK_BOOTTIME of its machine,
 * and higher at each later authority. 0 where the namespace is no cluster's.
 */
uint64_t data_clock(const struct served *sv);
/**
 * data_far_key() - that of a far volume's tokens, if it has none; or @another
 * Return: 0 or -errno.
 */
int data_far_key(struct served *sv, struct volume *v, bool another);
/**
 * token_make() - a node may use an instance
 * @write: and change it
 * Return: 0; -ENODEV the namespace is no cluster's, or the volume isn't
 * served to other nodes at the moment; -ENOMEM: @out is untouched.
 */
int token_make(struct served *sv, uint32_t node, uint32_t volume,
	       uint64_t ino, uint64_t version, uint64_t instance, bool write,
	       uint8_t out[ORCHFS_TOKEN_LEN]);

/* data_serve.c */

/**
 * data_fence_node() - at the authority: none of the tokens that a node has is good any more
 * Its connections are dropped. What it had under way ends: data_fencing().
 * Return: 0; -ENOMEM: nothing was done.
 */
int data_fence_node(struct served *sv, uint32_t node);
/** data_fencing() - may requests of before data_fence_node() be under way? */
bool data_fencing(const struct served *sv, uint32_t node);
/**
 * data_holds() - does the kernel serve that volume, or not have closed it yet?
 * It can't be unmounted then. One that goes offline is given back by itself.
 */
bool data_holds(const struct served *sv, uint32_t volume);
/** data_release() - a volume is to go; or, @back, it stays. */
void data_release(struct served *sv, uint32_t volume, bool back);

/* data_serve.c: at an agent, as the authority has told */

/** data_key_told() - of a volume of this node. Return: 0 or -ENOMEM. */
int data_key_told(struct served *sv, uint32_t volume,
		  const uint8_t key[ORCHFS_KEY_LEN], uint32_t key_id);
/** data_forget() - a volume that is let go of */
void data_forget(struct served *sv, uint32_t volume);
/** data_heard() - all volumes are known: others aren't served any more */
void data_heard(struct served *sv);
/** data_time_told() - its clock, when it was asked at (ms, boot time) */
void data_time_told(struct served *sv, uint64_t authority_ms, uint64_t asked,
		    uint32_t lease_ms);
/**
 * data_fence_told() - tokens of a node below @epoch are good no more
 * Until data_fencing() they may still be used. Return: 0 or -ENOMEM.
 */
int data_fence_told(struct served *sv, uint32_t node, uint64_t epoch,
		    uint64_t expiry_ms);

/* What the channel has to do with it. */

/** data_attached() - the kernel may be asked; before ready, and on ESTALE */
int data_attached(struct served *sv);
void data_lost(struct served *sv);
/** data_event() - is it about this? Then it was dealt with. */
bool data_event(struct served *sv, struct nlmsghdr *nlh);
void data_tick(struct served *sv);	/* each second */
/**
 * data_list() - volumes and connections of this kernel's data server
 * channel_deferred() has to follow.
 */
int data_list(struct served *sv, void (*fn)(void *ctx,
					    const struct nl_serve *s),
	      void *ctx);

/* data_conn.c */

/** data_peer() - any thread: a node's kernel is to be served; takes @fd. */
void data_peer(struct served *sv, int fd, uint32_t node, const char *address);

/* data_dial.c: connections to other nodes' data servers */

/* Of a node, as told to people. */
struct data_peer_info {
	uint32_t node;
	unsigned int up;		/* connections that the kernel has */
	char why[256];			/* there are none */
};

/** data_dial_stop() - before the cluster's keys go */
void data_dial_stop(struct served *sv);
/** data_dial_info() - who holds the cluster; Return: how many, up to @max */
size_t data_dial_info(struct served *sv, struct data_peer_info *out,
		      size_t max);

/* data_token.c: any thread */

/* What a token says; its rights are ORCHFS_RIGHT_*. */
struct data_token {
	uint8_t uuid[16];
	uint32_t volume, key_id;
	uint64_t ino, version, instance;
	uint32_t node, rights;
	uint64_t epoch, expiry_ms;
};

/** data_token_sign() - Return: 0 or -ENOMEM. */
int data_token_sign(const uint8_t key[ORCHFS_KEY_LEN],
		    const struct data_token *t, uint8_t out[ORCHFS_TOKEN_LEN]);

#endif
