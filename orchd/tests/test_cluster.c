// SPDX-License-Identifier: Apache-2.0
/* Tokens, addresses, certificates, and the records of a cluster. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/x509v3.h>

#include "cluster_pki.h"
#include "cluster_token.h"
#include "ctl.h"
#include "log.h"
#include "served.h"
#include "store.h"

#define NOW	1800000000LL

static const uint8_t uuid[16] = "namespace-uuid--";
static const uint8_t other[16] = "another-namespac";

static struct token some_token(void)
{
	struct token t = {
		.ns = "models", .expires = NOW, .authority = 1,
		.nr_addresses = 2,
	};

	memcpy(t.uuid, uuid, 16);
	memset(t.ca_sha256, 0xc5, 32);
	memset(t.secret, 0x5e, 16);
	strcpy(t.address[0], "10.0.0.1:7420");
	strcpy(t.address[1], "[fd00::1]:7421");
	return t;
}

static void test_token(void **state)
{
	struct token t = some_token(), back;
	char text[TOKEN_MAX];

	(void)state;
	assert_int_equal(token_text(&t, text), 0);
	assert_int_equal(token_parse(text, &back), 0);
	assert_memory_equal(&t, &back, sizeof(t));
	assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl"
				"mnopqrstuvwxyz0123456789-_"), strlen(text));
}

/* Cut anywhere, any character changed, or more behind it: none is taken. */
static void test_token_damaged(void **state)
{
	struct token t = some_token(), back;
	char text[TOKEN_MAX], bad[TOKEN_MAX + 8];
	size_t len;

	(void)state;
	assert_int_equal(token_text(&t, text), 0);
	len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		strcpy(bad, text);
		bad[i] = 0;
		assert_true(token_parse(bad, &back) < 0);
		strcpy(bad, text);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		assert_true(token_parse(bad, &back) < 0);
		bad[i] = '\x80';
		assert_true(token_parse(bad, &back) < 0);
	}
	snprintf(bad, sizeof(bad), "%sAAAA", text);
	assert_int_equal(token_parse(bad, &back), -EBADMSG);
	assert_int_equal(token_parse("hello", &back), -EINVAL);
	assert_int_equal(token_parse("", &back), -EINVAL);
	assert_int_equal(token_parse("orchfs2-AAAA", &back), -EPROTO);
}

/* What is whole but can't be right. */
static void test_token_contents(void **state)
{
	struct token t = some_token(), back;
	char text[TOKEN_MAX];

	(void)state;
	strcpy(t.ns, "../etc");
	assert_int_equal(token_text(&t, text), 0);
	assert_int_equal(token_parse(text, &back), -EBADMSG);
	t = some_token();
	strcpy(t.address[1], "somewhere:1");
	assert_int_equal(token_text(&t, text), 0);
	assert_int_equal(token_parse(text, &back), -EBADMSG);
	t = some_token();
	t.authority = 0;
	assert_int_equal(token_text(&t, text), 0);
	assert_int_equal(token_parse(text, &back), -EBADMSG);
	t = some_token();
	t.nr_addresses = 0;
	assert_int_equal(token_text(&t, text), 0);
	assert_int_equal(token_parse(text, &back), -EBADMSG);
}

static void test_address(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {
		{ "10.0.0.1", "10.0.0.1:7420" },
		{ "10.0.0.1:99", "10.0.0.1:99" },
		{ "::1", "[::1]:7420" },
		{ "fd00::12", "[fd00::12]:7420" },
		{ "[::1]", "[::1]:7420" },
		{ "[fd00::12]:65535", "[fd00::12]:65535" },
	};
	static const char *const bad[] = {
		"", ":", ":7420", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536",
		"10.0.0.1:1x", "host", "host:1", "[::1", "[::1]x", "[]:1",
		"10.0.0.256", "10.0.0.1:-1", "10.0.0.1 ",
	};
	char text[NS_NODE_ADDRESS];
	struct address a;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(address_parse(good[i].in, &a), 0);
		address_text(&a, text);
		assert_string_equal(text, good[i].out);
		assert_false(address_any(&a));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(address_parse(bad[i], &a), -EINVAL);
	assert_int_equal(address_parse("0.0.0.0", &a), 0);
	assert_true(address_any(&a));
	assert_int_equal(address_parse("::", &a), 0);
	assert_true(address_any(&a));
}

struct authority {
	EVP_PKEY *ca_key, *key;
	X509 *ca;
};

static struct authority authority_new(void)
{
	struct authority a = { pki_key_new(), pki_key_new(), NULL };

	a.ca = pki_ca_new(a.ca_key, "models", NOW);
	assert_non_null(a.ca);
	return a;
}

static void authority_free(struct authority *a)
{
	EVP_PKEY_free(a->ca_key);
	EVP_PKEY_free(a->key);
	X509_free(a->ca);
}

static X509 *issue(struct authority *a, uint32_t node, long seconds,
		   struct ns_serial *serial)
{
	struct pki_issue i = {
		.ca = a->ca, .ca_key = a->ca_key, .key = a->key, .uuid = uuid,
		.node = node, .name = "b", .now = NOW, .seconds = seconds,
	};
	X509 *x = pki_issue(&i, serial);

	assert_non_null(x);
	return x;
}

/* X509_V_OK, or why not. */
static int verify(X509 *ca, X509 *x, time_t now, int purpose)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_STORE *s = X509_STORE_new();
	int rc;

	X509_STORE_add_cert(s, ca);
	X509_STORE_CTX_init(ctx, s, x, NULL);
	X509_STORE_CTX_set_purpose(ctx, purpose);
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), now);
	rc = X509_verify_cert(ctx) == 1 ? X509_V_OK :
	     X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(s);
	return rc;
}

static void test_certificate(void **state)
{
	struct authority a = authority_new(), b = authority_new();
	struct ns_serial s1, s2, s;
	X509 *x = issue(&a, 7, PKI_YEAR, &s1), *y = issue(&a, 8, PKI_YEAR,
							     &s2);
	uint32_t node = 0;

	(void)state;
	assert_int_equal(pki_identity(x, uuid, &node), 0);
	assert_int_equal(node, 7);
	assert_int_equal(pki_identity(x, other, &node), -EKEYREJECTED);
	assert_int_equal(pki_identity(a.ca, uuid, &node), -EKEYREJECTED);
	assert_int_equal(pki_serial(x, &s), 0);
	assert_memory_equal(s.b, s1.b, s.len);
	assert_memory_not_equal(s1.b, s2.b, 16);
	assert_int_equal(verify(a.ca, x, NOW, X509_PURPOSE_SSL_CLIENT), 0);
	assert_int_equal(verify(a.ca, x, NOW, X509_PURPOSE_SSL_SERVER), 0);
	assert_int_equal(verify(a.ca, x, NOW + PKI_YEAR + 1,
				X509_PURPOSE_SSL_CLIENT),
			 X509_V_ERR_CERT_HAS_EXPIRED);
	assert_int_equal(verify(a.ca, x, NOW - 2 * 86400,
				X509_PURPOSE_SSL_CLIENT),
			 X509_V_ERR_CERT_NOT_YET_VALID);
	assert_int_not_equal(verify(b.ca, x, NOW, X509_PURPOSE_SSL_CLIENT),
			     X509_V_OK);
	/* a node is no authority */
	assert_int_not_equal(verify(x, y, NOW, X509_PURPOSE_SSL_CLIENT),
			     X509_V_OK);
	assert_false(pki_renew_due(x, NOW + 240 * 86400));
	assert_true(pki_renew_due(x, NOW + 245 * 86400));
	/* made by a clock that was ahead */
	assert_false(pki_renew_due(x, NOW));
	assert_true(pki_renew_due(x, NOW - 2 * 86400));
	assert_false(pki_in_time(x, NOW - 2 * 86400));
	assert_true(pki_in_time(x, NOW + PKI_YEAR - 1));
	assert_false(pki_in_time(x, NOW + PKI_YEAR + 1));
	X509_free(x);
	X509_free(y);
	authority_free(&a);
	authority_free(&b);
}

static void test_csr(void **state)
{
	EVP_PKEY *key = pki_key_new(), *back, *rsa;
	uint8_t *der, bad[PKI_CSR_MAX];
	size_t len = 0;

	(void)state;
	der = pki_csr_new(key, &len);
	assert_non_null(der);
	back = pki_csr_key(der, len);
	assert_int_equal(EVP_PKEY_eq(key, back), 1);
	EVP_PKEY_free(back);
	for (size_t i = 0; i < len; i++)
		assert_null(pki_csr_key(der, i));
	/* the signature covers the rest */
	for (size_t i = 0; i < len; i++) {
		memcpy(bad, der, len);
		bad[i] ^= 1;
		back = pki_csr_key(bad, len);
		if (back)	/* ECDSA leaves no other choice */
			assert_int_equal(EVP_PKEY_eq(key, back), 1);
		EVP_PKEY_free(back);
	}
	free(der);
	EVP_PKEY_free(key);
	rsa = EVP_RSA_gen(2048);
	der = pki_csr_new(rsa, &len);
	assert_null(pki_csr_key(der, len));
	free(der);
	EVP_PKEY_free(rsa);
}

static void test_files(void **state)
{
	char dir[] = "/tmp/orchd-cluster-XXXXXX", path[64];
	struct authority a = authority_new();
	EVP_PKEY *key;
	struct stat st;
	X509 *x;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(pki_read(dir, "node.pem", &key, &x), -ENOENT);
	assert_int_equal(pki_write(dir, "ca.pem", a.ca_key, a.ca), 0);
	assert_int_equal(pki_read(dir, "ca.pem", &key, &x), 0);
	assert_int_equal(EVP_PKEY_eq(key, a.ca_key), 1);
	assert_int_equal(X509_cmp(x, a.ca), 0);
	EVP_PKEY_free(key);
	X509_free(x);
	snprintf(path, sizeof(path), "%s/ca.pem", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* another's key, a file cut short, garbage */
	assert_int_equal(pki_write(dir, "ca.pem", a.key, a.ca), 0);
	assert_int_equal(pki_read(dir, "ca.pem", &key, &x), -EUCLEAN);
	assert_int_equal(pki_write(dir, "ca.pem", a.ca_key, a.ca), 0);
	assert_int_equal(truncate(path, st.st_size / 2), 0);
	assert_int_equal(pki_read(dir, "ca.pem", &key, &x), -EUCLEAN);
	assert_int_equal(file_write(dir, "ca.pem", "x", 1), 0);
	assert_int_equal(pki_read(dir, "ca.pem", &key, NULL), -EUCLEAN);
	remove_tree(dir);
	authority_free(&a);
}

struct records {
	char dir[32];
	struct store *st;
	struct ns *ns;
};

static void records_open(struct records *r, bool create)
{
	struct store_opts o = { .create = create };

	assert_int_equal(store_open("rocksdb", r->dir, &o, &r->st, NULL), 0);
	if (create)
		assert_int_equal(ns_format(r->st, "models", uuid), 0);
	assert_int_equal(ns_open(r->st, &pool_backing_ops, NULL, "boot",
				 &r->ns, NULL), 0);
}

static void records_close(struct records *r)
{
	assert_int_equal(ns_close(r->ns), 0);
	store_close(r->st);
}

static struct ns_join some_join(const char *name, uint8_t secret)
{
	struct ns_join j = { .now = NOW };

	memset(j.secret_sha256, secret, 32);
	memset(j.key_sha256, name[0], 32);
	strcpy(j.name, name);
	j.serial.len = 16;
	memset(j.serial.b, name[0], 16);
	return j;
}

static void begin(struct records *r)
{
	struct ns_node first = { .number = 1, .name = "a" };
	uint8_t sha256[32] = { 1 };

	strcpy(r->dir, "/tmp/orchd-nodes-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	records_open(r, true);
	assert_null(ns_cluster(r->ns));
	assert_int_equal(ns_invite(r->ns, sha256, 1, NOW, NOW + 1), -ENOENT);
	assert_int_equal(ns_cluster_begin(r->ns, sha256, &first), 0);
	assert_int_equal(ns_cluster_begin(r->ns, sha256, &first), -EEXIST);
}

static void test_join_records(void **state)
{
	struct ns_join b = some_join("b", 1), c = some_join("c", 2);
	const struct ns_node *nodes;
	struct records r;
	uint32_t number;
	size_t nr;

	(void)state;
	begin(&r);
	assert_int_equal(ns_join(r.ns, &b, &number), -ENOENT);
	assert_int_equal(ns_invited(r.ns, b.secret_sha256), -ENOENT);
	assert_int_equal(ns_invite(r.ns, b.secret_sha256, 1, NOW, NOW + 60), 0);
	assert_int_equal(ns_invited(r.ns, b.secret_sha256), 0);
	assert_int_equal(ns_invite(r.ns, c.secret_sha256, 1, NOW, NOW + 60), 0);
	c.now = NOW + 60;
	assert_int_equal(ns_join(r.ns, &c, &number), -ETIME);
	c.now = NOW;
	strcpy(c.name, "a");
	assert_int_equal(ns_join(r.ns, &c, &number), -EEXIST);
	strcpy(c.name, "c");
	assert_int_equal(ns_join_number(r.ns, &b, &number), 0);
	assert_int_equal(number, 2);
	assert_int_equal(ns_join(r.ns, &b, &number), 0);
	assert_int_equal(number, 2);

	/* with the key that it had, also later; with another one never */
	records_close(&r);
	records_open(&r, false);
	b.now = NOW + 1000;
	memset(b.serial.b, 9, 16);
	assert_int_equal(ns_join(r.ns, &b, &number), 0);
	assert_int_equal(number, 2);
	nodes = ns_nodes(r.ns, &nr);
	assert_int_equal(nr, 2);
	assert_true(ns_node_known(&nodes[1], &b.serial));
	memset(b.key_sha256, 77, 32);
	assert_int_equal(ns_join(r.ns, &b, &number), -ESTALE);

	assert_int_equal(ns_node_remove(r.ns, 1, 1, NOW), -EPERM);
	assert_int_equal(ns_node_remove(r.ns, 3, 1, NOW), -ENOENT);
	assert_int_equal(ns_node_remove(r.ns, 2, 1, NOW), 0);
	assert_int_equal(ns_node_remove(r.ns, 2, 1, NOW), -EALREADY);
	assert_int_equal(ns_node_renew(r.ns, 2, &b.serial, &b.serial), -ENOENT);
	memset(b.key_sha256, 'b', 32);
	assert_int_equal(ns_join(r.ns, &b, &number), -ESTALE);

	/* the name is free again, the number isn't */
	strcpy(c.name, "b");
	records_close(&r);
	records_open(&r, false);
	assert_int_equal(ns_join(r.ns, &c, &number), 0);
	assert_int_equal(number, 3);
	nodes = ns_nodes(r.ns, &nr);
	assert_int_equal(nr, 3);
	assert_true(nodes[1].removed);
	assert_int_equal(nodes[1].removed_at.sec, NOW);
	assert_string_equal(nodes[2].name, "b");
	assert_int_equal(ns_cluster(r.ns)->authority, 1);
	assert_int_equal(ns_cluster(r.ns)->epoch, 1);
	records_close(&r);
	remove_tree(r.dir);
}

/* Who was removed has no guests, and asks for nothing more. */
static void test_removed(void **state)
{
	struct ns_join b = some_join("b", 1), c = some_join("c", 2);
	struct ns_join d = some_join("d", 3), e = some_join("e", 4);
	struct records r;
	uint32_t number;
	size_t nr;

	(void)state;
	begin(&r);
	assert_int_equal(ns_invite(r.ns, b.secret_sha256, 1, NOW, NOW + 60), 0);
	assert_int_equal(ns_invite(r.ns, c.secret_sha256, 1, NOW, NOW + 60), 0);
	assert_int_equal(ns_join(r.ns, &b, &number), 0);
	assert_int_equal(number, 2);
	assert_int_equal(ns_join(r.ns, &c, &number), 0);
	assert_int_equal(ns_invite(r.ns, d.secret_sha256, 2, NOW, NOW + 60), 0);
	assert_int_equal(ns_invite(r.ns, e.secret_sha256, 3, NOW, NOW + 60), 0);
	assert_int_equal(ns_invites_open(r.ns, NOW, &nr), 0);
	assert_int_equal(nr, 2);
	assert_int_equal(ns_invites_open(r.ns, NOW + 60, &nr), 0);
	assert_int_equal(nr, 0);
	assert_int_equal(ns_node_remove(r.ns, 2, 3, NOW), 0);

	records_close(&r);
	records_open(&r, false);
	assert_int_equal(ns_join(r.ns, &d, &number), -ENOENT);
	assert_int_equal(ns_invites_open(r.ns, NOW, &nr), 0);
	assert_int_equal(nr, 1);
	assert_int_equal(ns_invite(r.ns, d.secret_sha256, 2, NOW, NOW + 60),
			 -EKEYREVOKED);
	assert_int_equal(ns_invite(r.ns, d.secret_sha256, 9, NOW, NOW + 60),
			 -EKEYREVOKED);
	assert_int_equal(ns_node_remove(r.ns, 3, 2, NOW), -EKEYREVOKED);
	assert_int_equal(ns_invites_cancel(r.ns, 2, NOW, &nr), -EKEYREVOKED);
	/* one that was used stays the other way to the same node */
	assert_int_equal(ns_join(r.ns, &c, &number), 0);
	assert_int_equal(number, 3);
	assert_int_equal(ns_join(r.ns, &e, &number), 0);
	assert_int_equal(number, 4);
	records_close(&r);
	remove_tree(r.dir);
}

/* What it asked for and never got doesn't make it a stranger. */
static void test_renew_records(void **state)
{
	struct ns_join b = some_join("b", 1);
	const struct ns_node *n;
	struct ns_serial s[4];
	struct records r;
	uint32_t number;
	size_t nr;

	(void)state;
	begin(&r);
	s[0] = b.serial;
	assert_int_equal(ns_invite(r.ns, b.secret_sha256, 1, NOW, NOW + 60), 0);
	assert_int_equal(ns_join(r.ns, &b, &number), 0);
	for (int i = 1; i < 4; i++) {
		s[i].len = 16;
		memset(s[i].b, i, 16);
		assert_int_equal(ns_node_renew(r.ns, 2, &s[0], &s[i]), 0);
	}
	records_close(&r);
	records_open(&r, false);
	n = ns_nodes(r.ns, &nr) + 1;
	assert_true(ns_node_known(n, &s[0]));
	assert_false(ns_node_known(n, &s[1]));
	assert_false(ns_node_known(n, &s[2]));
	assert_true(ns_node_known(n, &s[3]));
	/* now it has one, and the one before goes at the next */
	assert_int_equal(ns_node_renew(r.ns, 2, &s[3], &s[1]), 0);
	assert_int_equal(ns_node_renew(r.ns, 2, &s[0], &s[2]), -EKEYREJECTED);
	n = ns_nodes(r.ns, &nr) + 1;
	assert_false(ns_node_known(n, &s[0]));
	assert_true(ns_node_known(n, &s[3]));
	assert_true(ns_node_known(n, &s[1]));
	/* an answer to a join that got lost, several times */
	for (int i = 4; i < 7; i++) {
		memset(b.serial.b, i, 16);
		assert_int_equal(ns_join(r.ns, &b, &number), 0);
	}
	n = ns_nodes(r.ns, &nr) + 1;
	assert_true(ns_node_known(n, &s[3]));
	assert_true(ns_node_known(n, &b.serial));
	assert_int_equal(ns_node_renew(r.ns, 1, &s[1], &s[2]), 0);
	s[0].len = 0;
	assert_int_equal(ns_node_renew(r.ns, 2, &s[0], &s[2]), -EKEYREJECTED);
	assert_false(ns_node_known(n, &s[0]));
	records_close(&r);
	remove_tree(r.dir);
}

static void test_cancel(void **state)
{
	struct ns_join b = some_join("b", 1), c = some_join("c", 2);
	struct records r;
	uint32_t number;
	size_t nr;

	(void)state;
	begin(&r);
	assert_int_equal(ns_invite(r.ns, b.secret_sha256, 1, NOW, NOW + 60), 0);
	assert_int_equal(ns_invite(r.ns, c.secret_sha256, 1, NOW, NOW + 60), 0);
	assert_int_equal(ns_join(r.ns, &b, &number), 0);
	assert_int_equal(ns_invites_cancel(r.ns, 1, NOW, &nr), 0);
	assert_int_equal(nr, 1);
	assert_int_equal(ns_invites_open(r.ns, NOW, &nr), 0);
	assert_int_equal(nr, 0);
	assert_int_equal(ns_join(r.ns, &c, &number), -ENOENT);
	assert_int_equal(ns_join(r.ns, &b, &number), 0);
	assert_int_equal(number, 2);
	records_close(&r);
	remove_tree(r.dir);
}

static void test_invitations(void **state)
{
	struct ns_join j = some_join("b", 0);
	struct records r;
	uint32_t number;

	(void)state;
	begin(&r);
	for (int i = 0; i < NS_INVITES_MAX; i++) {
		memset(j.secret_sha256, i, 32);
		assert_int_equal(ns_invite(r.ns, j.secret_sha256, 1, NOW,
					   NOW + 60), 0);
	}
	memset(j.secret_sha256, 200, 32);
	assert_int_equal(ns_invite(r.ns, j.secret_sha256, 1, NOW, NOW + 60),
			 -ENOSPC);
	/* those that are over make room, and are forgotten later */
	assert_int_equal(ns_invite(r.ns, j.secret_sha256, 1, NOW + 61,
				   NOW + 120), 0);
	memset(j.secret_sha256, 3, 32);
	j.now = NOW + 61;
	assert_int_equal(ns_join(r.ns, &j, &number), -ETIME);
	memset(j.secret_sha256, 201, 32);
	j.now = NOW + 61 + NS_INVITE_KEEP;
	assert_int_equal(ns_invite(r.ns, j.secret_sha256, 1, j.now, j.now + 60),
			 0);
	memset(j.secret_sha256, 3, 32);
	assert_int_equal(ns_join(r.ns, &j, &number), -ENOENT);
	records_close(&r);
	remove_tree(r.dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_token_damaged),
		cmocka_unit_test(test_token_contents),
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_certificate),
		cmocka_unit_test(test_csr),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_join_records),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_renew_records),
		cmocka_unit_test(test_invitations),
		cmocka_unit_test(test_cancel),
	};

	log_init(LOG_CRIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
