/* SPDX-License-Identifier: Apache-2.0 */
/* Invitations as text, and addresses. Documentation/cluster.md. */
#ifndef ORCHD_CLUSTER_TOKEN_H
#define ORCHD_CLUSTER_TOKEN_H

#include <stdint.h>
#include <sys/socket.h>

#include "ns_cluster.h"

#define TOKEN_SECRET	16
#define TOKEN_ADDRESSES	4
#define TOKEN_MAX	1024		/* characters */

struct token {
	char ns[64];
	uint8_t uuid[16];
	uint8_t ca_sha256[32];
	uint8_t secret[TOKEN_SECRET];
	int64_t expires;
	uint32_t authority;		/* no other node may answer */
	char address[TOKEN_ADDRESSES][NS_NODE_ADDRESS];
	unsigned int nr_addresses;
};

/** token_text() - into TOKEN_MAX bytes; -ENOMEM. */
int token_text(const struct token *t, char *out);
/**
 * token_parse() - whatever a person has pasted
 * Return: 0; -EINVAL no token; -EBADMSG a part is missing or changed; -EPROTO
 * of a newer orchfs.
 */
int token_parse(const char *text, struct token *t);
void token_secret_hash(const uint8_t secret[TOKEN_SECRET],
		       uint8_t sha256[32]);

#define ADDRESS_PORT	7420

struct address {
	struct sockaddr_storage sa;
	socklen_t len;
};

/**
 * address_parse() - "10.0.0.1", "10.0.0.1:7420", "[fe80::1%eth0]:7420", "fd00::1"
 * Return: 0 or -EINVAL: no numeric address.
 */
int address_parse(const char *text, struct address *a);
/** address_text() - with the port, as address_parse() takes it. */
void address_text(const struct address *a, char out[NS_NODE_ADDRESS]);
/** address_host() - without the port */
void address_host(const struct address *a, char out[NS_NODE_ADDRESS]);
/** address_any() - one that no other node can connect to: 0.0.0.0, :: */
int address_any(const struct address *a);

#endif
