/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends of connections between daemons, which run in one loop. */
#ifndef PEER_UTIL_H
#define PEER_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those above */
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster.h"
#include "log.h"
#include "peer_conn.h"

extern const uint8_t uuid[16];

struct end {
	struct peer_set set;
	unsigned int ups, closes, away;
	int rc;			/* of the last close */
	char why[PEER_WHY];
	int admit;		/* what to say */
	/* requests */
	unsigned int requests;
	bool mute;		/* answer nothing */
	uint64_t conn;		/* of the last request */
	uint64_t ids[2 * PEER_REQUESTS_MAX];
	size_t sizes[2 * PEER_REQUESTS_MAX];
	/* connections for data */
	unsigned int given;
	int fd;			/* the last that was given; -1: none */
	uint32_t node;		/* whose */
};

struct ends {
	struct loop loop;
	struct loop_source listen;
	struct address address;
	EVP_PKEY *ca_key, *key;
	X509 *ca;
	struct end server, client;	/* nodes 1 and 2 */
};
extern struct ends w;

/* What both kinds of ends do. */
int end_admit(struct peer_set *s, struct peer_conn *c, char *why, size_t len);
void end_up(struct peer_set *s, struct peer_conn *c);
void end_closed(struct peer_set *s, struct peer_conn *c, int rc);

void ends_setup(const struct peer_ops *ops);
void ends_teardown(void);

/* Of node @node, signed by @ca, for @seconds; it believes those of @trusted. */
struct peer_tls *credentials(X509 *ca, EVP_PKEY *ca_key, X509 *trusted,
			     uint32_t node, const uint8_t id[16],
			     long seconds);
void new_client(struct peer_tls *t);

/* Turn the loop until *n is at least @want. */
void until(const unsigned int *n, unsigned int want);
/* What is under way is done. */
void settle(void);

void refused_by(struct end *e, int rc, const char *text);

/* --- what is no orchd --- */

/* Connected, nothing said. */
int raw(void);

struct raw_tls {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
};

/* A client without a certificate. */
struct raw_tls raw_tls(int version, const char *alpn);
/* Until the handshake has ended on both sides, in one thread. */
int raw_handshake(struct raw_tls *r);
void raw_free(struct raw_tls *r);

#endif
