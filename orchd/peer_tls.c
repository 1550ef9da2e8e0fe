// SPDX-License-Identifier: Apache-2.0
#include "peer_tls.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#define CHAIN_DEPTH	1

static const uint8_t alpn[] = "\x08" PEER_ALPN;
static const uint8_t alpn_data[] = "\x0d" PEER_ALPN_DATA;
/* of an authority, which takes both */
static const uint8_t alpn_served[] = "\x08" PEER_ALPN "\x0d" PEER_ALPN_DATA;

struct peer_tls {
	atomic_int refs;
	SSL_CTX *ctx;
	bool pinned, only_data;
	uint8_t ca_sha256[32];
};

static int select_alpn(SSL *ssl, const unsigned char **out,
		       unsigned char *out_len, const unsigned char *in,
		       unsigned int in_len, void *arg)
{
	const struct peer_tls *t = arg;
	unsigned char *sel;

	(void)ssl;
	if (SSL_select_next_proto(&sel, out_len,
				  t->only_data ? alpn_data : alpn_served,
				  t->only_data ? sizeof(alpn_data) - 1 :
				  sizeof(alpn_served) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = sel;
	return SSL_TLSEXT_ERR_OK;
}

/* The certificate that a token's fingerprint tells is the one to trust. */
static X509 *find_pinned(X509_STORE_CTX *ctx, const struct peer_tls *t)
{
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(ctx);
	uint8_t sha256[32];

	for (int i = 0; chain && i < sk_X509_num(chain); i++) {
		X509 *x = sk_X509_value(chain, i);

		pki_fingerprint(x, sha256);
		if (!memcmp(sha256, t->ca_sha256, 32))
			return x;
	}
	return NULL;
}

static int verify_pinned(X509_STORE_CTX *ctx, void *arg)
{
	STACK_OF(X509) *roots;
	X509 *ca = find_pinned(ctx, arg);
	int ok = 0;

	if (!ca) {
		X509_STORE_CTX_set_error(ctx,
				X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
		return 0;
	}
	roots = sk_X509_new_null();
	if (roots && sk_X509_push(roots, ca)) {
		X509_STORE_CTX_set0_trusted_stack(ctx, roots);
		ok = X509_verify_cert(ctx) == 1;
	}
	sk_X509_free(roots);
	return ok;
}

static int set_options(SSL_CTX *ctx, struct peer_tls *t)
{
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
			 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			 SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_alpn_select_cb(ctx, select_alpn, t);
	SSL_CTX_set_verify_depth(ctx, CHAIN_DEPTH);
	return SSL_CTX_set_num_tickets(ctx, 0) &&
	       SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) &&
	       SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) &&
	       !SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1);
}

static int set_keys(SSL_CTX *ctx, EVP_PKEY *key, X509 *cert, X509 *ca)
{
	if (ca && !X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca))
		return 0;
	/* who joins finds the CA in the chain */
	return !key || (SSL_CTX_use_certificate(ctx, cert) &&
			SSL_CTX_use_PrivateKey(ctx, key) &&
			SSL_CTX_add1_chain_cert(ctx, ca));
}

struct peer_tls *peer_tls_new(EVP_PKEY *key, X509 *cert, X509 *ca,
			      const uint8_t ca_sha256[32])
{
	struct peer_tls *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	atomic_init(&t->refs, 1);
	t->ctx = SSL_CTX_new(TLS_method());
	if (!t->ctx || !set_options(t->ctx, t) ||
	    !set_keys(t->ctx, key, cert, ca)) {
		ERR_clear_error();
		peer_tls_put(t);
		return NULL;
	}
	if (!ca) {
		t->pinned = true;
		memcpy(t->ca_sha256, ca_sha256, 32);
		SSL_CTX_set_cert_verify_callback(t->ctx, verify_pinned, t);
	}
	return t;
}

void peer_tls_only_data(struct peer_tls *t)
{
	t->only_data = true;
}

struct peer_tls *peer_tls_get(struct peer_tls *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

void peer_tls_put(struct peer_tls *t)
{
	if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}

SSL *peer_tls_session(struct peer_tls *t, int fd, bool server)
{
	SSL *ssl = SSL_new(t->ctx);

	if (!ssl)
		return NULL;
	X509_VERIFY_PARAM_set_time(SSL_get0_param(ssl), pki_time());
	/* one that joins has no certificate: peer_conn.c lets it do no more */
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	if (!SSL_set_fd(ssl, fd)) {
		SSL_free(ssl);
		return NULL;
	}
	if (server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	return ssl;
}

bool peer_tls_data(SSL *ssl)
{
	return !SSL_set_alpn_protos(ssl, alpn_data, sizeof(alpn_data) - 1);
}

static const struct {
	int reason, rc;
	const char *text;
} reasons[] = {
	{ SSL_R_HTTP_REQUEST, -EPROTO, "it speaks HTTP, not TLS" },
	{ SSL_R_HTTPS_PROXY_REQUEST, -EPROTO, "it speaks HTTP, not TLS" },
	{ SSL_R_WRONG_VERSION_NUMBER, -EPROTO, "it does not speak TLS" },
	{ SSL_R_BAD_RECORD_TYPE, -EPROTO, "it does not speak TLS" },
	{ SSL_R_PACKET_LENGTH_TOO_LONG, -EPROTO, "it does not speak TLS" },
	{ SSL_R_RECORD_LENGTH_MISMATCH, -EPROTO, "it does not speak TLS" },
	{ SSL_R_UNEXPECTED_MESSAGE, -EPROTO, "it does not speak TLS" },
	{ SSL_R_UNSUPPORTED_PROTOCOL, -EPROTO, "it does not speak TLS 1.3" },
	{ SSL_R_VERSION_TOO_LOW, -EPROTO, "it does not speak TLS 1.3" },
	{ SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, -EPROTO,
	  "it does not speak TLS 1.3" },
	{ SSL_R_NO_APPLICATION_PROTOCOL, -EPROTO,
	  "it does not speak " PEER_ALPN },
	{ SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, -EPROTO,
	  "it does not speak " PEER_ALPN },
	{ SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, -EKEYEXPIRED,
	  "it says that our certificate has expired, or is not valid yet: "
	  "compare the clocks; if they are right remove this node there, "
	  "invite it (orchctl node invite) and join again" },
	{ SSL_R_TLSV1_ALERT_UNKNOWN_CA, -EKEYREJECTED,
	  "it says that our certificate is of another cluster" },
	{ SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, -EKEYREJECTED,
	  "it does not take our certificate, which is perhaps not valid yet "
	  "there: compare the clocks" },
	{ SSL_R_TLSV1_ALERT_DECRYPT_ERROR, -EKEYREJECTED,
	  "it says that our certificate is of another cluster" },
	{ SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, -EKEYREJECTED,
	  "it says that our certificate is for another use" },
};

/* Of the peer's certificate. */
static int verify_why(long v, char *why, size_t len)
{
	switch (v) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		snprintf(why, len, "its certificate has expired");
		return -EKEYEXPIRED;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		snprintf(why, len, "its certificate is not valid yet: compare "
			 "the clocks");
		return -EKEYEXPIRED;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		snprintf(why, len, "its certificate is of another cluster");
		return -EKEYREJECTED;
	}
	snprintf(why, len, "its certificate: %s",
		 X509_verify_cert_error_string(v));
	return -EKEYREJECTED;
}

int peer_tls_why(SSL *ssl, bool server, char *why, size_t len)
{
	unsigned long e = ERR_peek_last_error();
	int reason = ERR_GET_REASON(e);
	long v = SSL_get_verify_result(ssl);

	ERR_clear_error();
	if (v != X509_V_OK)
		return verify_why(v, why, len);
	if (!e || ERR_GET_LIB(e) != ERR_LIB_SSL ||
	    reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		snprintf(why, len, "the connection was closed");
		return -ECONNRESET;
	}
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (reasons[i].reason != reason)
			continue;
		snprintf(why, len, "%s", reasons[i].text);
		return reasons[i].rc;
	}
	snprintf(why, len, "%s: %s", server ? "its TLS handshake" : "TLS",
		 ERR_reason_error_string(e));
	return -EPROTO;
}
