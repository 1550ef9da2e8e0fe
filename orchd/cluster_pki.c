// SPDX-License-Identifier: Apache-2.0
#include "cluster_pki.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "fault.h"
#include "marker.h"

#define DAY		86400L
#define CA_YEARS	20
#define BACKDATE	(DAY / 24)	/* clocks differ */
#define URI_MAX		96

time_t pki_time(void)
{
	return time(NULL) + fault_value("clock-days") * DAY;
}

EVP_PKEY *pki_key_new(void)
{
	return EVP_EC_gen("P-256");
}

static int add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;
	int ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!e)
		return -EINVAL;
	ok = X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
	return ok ? 0 : -ENOMEM;
}

/* 127 bits, so that it is positive and has 16 bytes at most. */
static int set_serial(X509 *cert)
{
	BIGNUM *bn = BN_new();
	uint8_t b[16];
	int rc = -ENOMEM;

	if (bn && RAND_bytes(b, sizeof(b)) == 1) {
		b[0] = (b[0] & 0x7f) | 0x40;
		if (BN_bin2bn(b, sizeof(b), bn) &&
		    BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)))
			rc = 0;
	}
	BN_free(bn);
	return rc;
}

/* @name may hold any of the characters of a node's or namespace's name. */
static int set_name(X509_NAME *n, const char *name)
{
	return X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC,
					  (const uint8_t *)name, -1, -1, 0) ?
	       0 : -ENOMEM;
}

static X509 *new_cert(EVP_PKEY *key, const char *name, X509 *issuer,
		      time_t now, time_t seconds)
{
	X509 *x = X509_new();

	if (!x)
		return NULL;
	if (X509_set_version(x, X509_VERSION_3) && !set_serial(x) &&
	    ASN1_TIME_set(X509_getm_notBefore(x), now - BACKDATE) &&
	    ASN1_TIME_set(X509_getm_notAfter(x), now + seconds) &&
	    X509_set_pubkey(x, key) &&
	    !set_name(X509_get_subject_name(x), name) &&
	    X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer :
							    x)))
		return x;
	X509_free(x);
	return NULL;
}

X509 *pki_ca_new(EVP_PKEY *key, const char *ns, time_t now)
{
	char name[128];
	X509 *x;

	/* a common name has 64 characters at most */
	snprintf(name, sizeof(name), "orchfs %.50s", ns);
	x = new_cert(key, name, NULL, now, CA_YEARS * PKI_YEAR);
	if (!x)
		return NULL;
	if (!add_ext(x, x, NID_basic_constraints,
		     "critical,CA:TRUE,pathlen:0") &&
	    !add_ext(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	    !add_ext(x, x, NID_subject_key_identifier, "hash") &&
	    X509_sign(x, key, EVP_sha256()))
		return x;
	X509_free(x);
	return NULL;
}

uint8_t *pki_csr_new(EVP_PKEY *key, size_t *len)
{
	X509_REQ *r = X509_REQ_new();
	uint8_t *der = NULL, *p;
	int n = -1;

	if (r && X509_REQ_set_version(r, X509_REQ_VERSION_1) &&
	    X509_REQ_set_pubkey(r, key) && X509_REQ_sign(r, key, EVP_sha256()))
		n = i2d_X509_REQ(r, NULL);
	if (n > 0)
		der = malloc((size_t)n);
	p = der;
	if (der)
		*len = (size_t)i2d_X509_REQ(r, &p);
	X509_REQ_free(r);
	return der;
}

static bool key_fits(EVP_PKEY *key)
{
	char group[32];
	size_t len;

	return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
	       EVP_PKEY_get_group_name(key, group, sizeof(group), &len) &&
	       !strcmp(group, "prime256v1");
}

EVP_PKEY *pki_csr_key(const uint8_t *der, size_t len)
{
	const uint8_t *p = der;
	EVP_PKEY *key = NULL;
	X509_REQ *r;

	if (len > PKI_CSR_MAX)
		return NULL;
	r = d2i_X509_REQ(NULL, &p, (long)len);
	if (r && p == der + len)
		key = X509_REQ_get_pubkey(r);
	if (key && (!key_fits(key) || X509_REQ_verify(r, key) != 1)) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	X509_REQ_free(r);
	return key;
}

/* orchfs://UUID/node/N */
static void identity_uri(const uint8_t uuid[16], uint32_t node,
			 char out[URI_MAX])
{
	char text[37];

	uuid_text(uuid, text);
	snprintf(out, URI_MAX, "orchfs://%s/node/%u", text, node);
}

X509 *pki_issue(const struct pki_issue *i, struct ns_serial *serial)
{
	char uri[URI_MAX], san[URI_MAX + 8];
	X509 *x;

	identity_uri(i->uuid, i->node, uri);
	snprintf(san, sizeof(san), "URI:%s", uri);
	x = new_cert(i->key, i->name, i->ca, i->now, i->seconds);
	if (!x)
		return NULL;
	if (!add_ext(x, i->ca, NID_basic_constraints, "critical,CA:FALSE") &&
	    !add_ext(x, i->ca, NID_key_usage, "critical,digitalSignature") &&
	    !add_ext(x, i->ca, NID_ext_key_usage, "serverAuth,clientAuth") &&
	    !add_ext(x, i->ca, NID_subject_alt_name, san) &&
	    !add_ext(x, i->ca, NID_subject_key_identifier, "hash") &&
	    !add_ext(x, i->ca, NID_authority_key_identifier, "keyid") &&
	    X509_sign(x, i->ca_key, EVP_sha256()) && !pki_serial(x, serial))
		return x;
	X509_free(x);
	return NULL;
}

int pki_serial(const X509 *cert, struct ns_serial *serial)
{
	const ASN1_INTEGER *n = X509_get0_serialNumber(cert);
	int len = ASN1_STRING_length(n);

	if (len <= 0 || len > NS_SERIAL_MAX)
		return -EKEYREJECTED;
	serial->len = (size_t)len;
	memcpy(serial->b, ASN1_STRING_get0_data(n), serial->len);
	return 0;
}

static int parse_uri(const char *uri, const uint8_t uuid[16], uint32_t *node)
{
	char want[URI_MAX];
	unsigned long n;
	const char *last = strrchr(uri, '/');

	if (!last || last[1] < '1' || last[1] > '9' || strlen(last) > 11)
		return -EKEYREJECTED;
	n = strtoul(last + 1, NULL, 10);
	if (n > UINT32_MAX)
		return -EKEYREJECTED;
	identity_uri(uuid, (uint32_t)n, want);
	if (strcmp(uri, want))
		return -EKEYREJECTED;
	*node = (uint32_t)n;
	return 0;
}

int pki_identity(X509 *cert, const uint8_t uuid[16], uint32_t *node)
{
	GENERAL_NAMES *names;
	const GENERAL_NAME *g;
	char uri[URI_MAX] = "";
	int rc = -EKEYREJECTED, len;

	if (!(X509_get_extension_flags(cert) & EXFLAG_KUSAGE) ||
	    !(X509_get_key_usage(cert) & KU_DIGITAL_SIGNATURE) ||
	    X509_check_ca(cert))
		return rc;
	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	if (names && sk_GENERAL_NAME_num(names) == 1) {
		g = sk_GENERAL_NAME_value(names, 0);
		len = g->type == GEN_URI ? ASN1_STRING_length(g->d.ia5) : 0;
		if (len > 0 && len < URI_MAX) {
			memcpy(uri, ASN1_STRING_get0_data(g->d.ia5),
			       (size_t)len);
			rc = strlen(uri) == (size_t)len ?
				parse_uri(uri, uuid, node) : rc;
		}
	}
	GENERAL_NAMES_free(names);
	return rc;
}

time_t pki_expires(const X509 *cert)
{
	struct tm tm;

	return ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) ?
	       timegm(&tm) : 0;
}

static time_t begins(const X509 *cert)
{
	struct tm tm;

	return ASN1_TIME_to_tm(X509_get0_notBefore(cert), &tm) ?
	       timegm(&tm) : 0;
}

bool pki_in_time(const X509 *cert, time_t now)
{
	return now >= begins(cert) && now <= pki_expires(cert);
}

/* Before its time, too: it is of a clock that was ahead. */
bool pki_renew_due(const X509 *cert, time_t now)
{
	time_t end = pki_expires(cert), begin = begins(cert);

	return now < begin || now >= begin + (end - begin) / 3 * 2;
}

void pki_fingerprint(const X509 *cert, uint8_t sha256[32])
{
	unsigned int len = 32;

	memset(sha256, 0, 32);
	X509_digest(cert, EVP_sha256(), sha256, &len);
}

int pki_key_fingerprint(EVP_PKEY *key, uint8_t sha256[32])
{
	uint8_t *der = NULL;
	int len = i2d_PUBKEY(key, &der), rc = -ENOMEM;

	if (len > 0 && EVP_Digest(der, (size_t)len, sha256, NULL,
				  EVP_sha256(), NULL))
		rc = 0;
	OPENSSL_free(der);
	return rc;
}

uint8_t *pki_der(X509 *cert, size_t *len)
{
	int n = i2d_X509(cert, NULL);
	uint8_t *der, *p;

	der = n > 0 ? malloc((size_t)n) : NULL;
	p = der;
	if (der)
		*len = (size_t)i2d_X509(cert, &p);
	return der;
}

X509 *pki_from_der(const uint8_t *der, size_t len)
{
	const uint8_t *p = der;
	X509 *x;

	if (len > 65536)
		return NULL;
	x = d2i_X509(NULL, &p, (long)len);
	if (x && p != der + len) {
		X509_free(x);
		return NULL;
	}
	return x;
}
