/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and certificates of a cluster, all by OpenSSL. Any thread.
 * Documentation/cluster.md, "Certificates".
 */
#ifndef ORCHD_CLUSTER_PKI_H
#define ORCHD_CLUSTER_PKI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "ns_cluster.h"

#define PKI_YEAR	(365 * 86400L)
#define PKI_CSR_MAX	4096

/** pki_time() - the wall clock for certificates (fault point clock-days). */
time_t pki_time(void);

/** pki_key_new() - P-256; NULL without memory. */
EVP_PKEY *pki_key_new(void);
/** pki_ca_new() - a CA's own certificate, from @now for 20 years. */
X509 *pki_ca_new(EVP_PKEY *key, const char *ns, time_t now);
/** pki_csr_new() - a signing request in DER; malloced, NULL on failure. */
uint8_t *pki_csr_new(EVP_PKEY *key, size_t *len);
/** pki_csr_key() - the key in it, if the request is right; else NULL. */
EVP_PKEY *pki_csr_key(const uint8_t *der, size_t len);

struct pki_issue {
	X509 *ca;
	EVP_PKEY *ca_key;
	EVP_PKEY *key;			/* public, of the node */
	const uint8_t *uuid;		/* of the namespace */
	uint32_t node;
	const char *name;
	time_t now;
	long seconds;			/* that it is valid */
};

/** pki_issue() - a node's certificate; NULL on failure. */
X509 *pki_issue(const struct pki_issue *i, struct ns_serial *serial);
int pki_serial(const X509 *cert, struct ns_serial *serial);
/**
 * pki_identity() - whose certificate it is. It has been verified otherwise.
 * Return: 0; -EKEYREJECTED: no node of namespace @uuid.
 */
int pki_identity(X509 *cert, const uint8_t uuid[16], uint32_t *node);
/** pki_in_time() - it is valid at that time. */
bool pki_in_time(const X509 *cert, time_t now);
/** pki_renew_due() - two thirds of its life are over. */
bool pki_renew_due(const X509 *cert, time_t now);
/** pki_expires() - in seconds since 1970; 0 if it can't be told. */
time_t pki_expires(const X509 *cert);
void pki_fingerprint(const X509 *cert, uint8_t sha256[32]);
int pki_key_fingerprint(EVP_PKEY *key, uint8_t sha256[32]);

/** pki_der() - malloced; NULL on failure. */
uint8_t *pki_der(X509 *cert, size_t *len);
X509 *pki_from_der(const uint8_t *der, size_t len);

/**
 * pki_write() - @key, @cert or both into DIR/NAME, durably, mode 0600; it takes
 * the place of an older file at once. Return: 0 or -errno.
 */
int pki_write(const char *dir, const char *name, EVP_PKEY *key, X509 *cert);
/** pki_read() - what is asked for and there; -EUCLEAN: it is damaged. */
int pki_read(const char *dir, const char *name, EVP_PKEY **key, X509 **cert);
/** file_write() - the same for other contents. */
int file_write(const char *dir, const char *name, const void *p, size_t len);
/** file_read() - malloced, at most 64 KiB: else -EFBIG. */
int file_read(const char *dir, const char *name, void **p, size_t *len);
/** dir_sync() - the names in it are durable. */
int dir_sync(const char *dir);

/**
 * cluster_keep() - another store takes the place of @from: copy an authority's
 * keys to @to. Return: 0, also where there are none, or -errno.
 */
int cluster_keep(const char *from, const char *to);

#endif
