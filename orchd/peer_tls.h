/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.3 between daemons, by OpenSSL: who may speak, and why another may not.
 * Documentation/cluster.md, "Certificates".
 */
#ifndef ORCHD_PEER_TLS_H
#define ORCHD_PEER_TLS_H

#include <openssl/ssl.h>

#include "cluster_pki.h"

#define PEER_ALPN	"orchfs/1"
#define PEER_ALPN_DATA	"orchfs-data/1"	/* for the kernels */

/* One node's credentials for both ends; not changed once made. */
struct peer_tls;

/**
 * peer_tls_new() - references to its arguments are taken
 * @key, @cert: NULL for a node that has none yet; then @ca is NULL, too, and
 *	@ca_sha256 is what the server's chain must end in
 * Return: NULL without memory.
 */
struct peer_tls *peer_tls_new(EVP_PKEY *key, X509 *cert, X509 *ca,
			      const uint8_t ca_sha256[32]);
/** peer_tls_only_data() - before it is used: who connects gets no link */
void peer_tls_only_data(struct peer_tls *t);
struct peer_tls *peer_tls_get(struct peer_tls *t);
void peer_tls_put(struct peer_tls *t);

/** peer_tls_session() - one connection's, on @fd; NULL without memory. */
SSL *peer_tls_session(struct peer_tls *t, int fd, bool server);
/** peer_tls_data() - a client's, before the handshake: PEER_ALPN_DATA. */
bool peer_tls_data(SSL *ssl);
/**
 * peer_tls_why() - what the last call that failed on @ssl failed of
 * Clears the thread's queue of errors. Return: -errno that fits.
 */
int peer_tls_why(SSL *ssl, bool server, char *why, size_t len);

#endif
