// SPDX-License-Identifier: Apache-2.0
#include "cluster_token.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "config.h"
#include "proto/peer.pb-c.h"

#define PREFIX		"orchfs1-"
#define PREFIX_ANY	"orchfs"
#define SUM		4

static void sum_of(const uint8_t *p, size_t len, uint8_t sum[32])
{
	memset(sum, 0, 32);
	EVP_Digest(p, len, sum, NULL, EVP_sha256(), NULL);
}

void token_secret_hash(const uint8_t secret[TOKEN_SECRET], uint8_t sha256[32])
{
	sum_of(secret, TOKEN_SECRET, sha256);
}

/* base64url: no character that a shell or a URL minds. */
static void to_url(char *s)
{
	for (; *s; s++) {
		if (*s == '+')
			*s = '-';
		else if (*s == '/')
			*s = '_';
		else if (*s == '=')
			*s = 0;
	}
}

int token_text(const struct token *t, char *out)
{
	Orchfs__Peer__Token m = ORCHFS__PEER__TOKEN__INIT;
	char *address[TOKEN_ADDRESSES];
	uint8_t raw[TOKEN_MAX], sum[32];
	size_t len;

	for (unsigned int i = 0; i < t->nr_addresses; i++)
		address[i] = (char *)t->address[i];
	m.ns = (char *)t->ns;
	m.uuid.data = (uint8_t *)t->uuid;
	m.uuid.len = sizeof(t->uuid);
	m.ca_sha256.data = (uint8_t *)t->ca_sha256;
	m.ca_sha256.len = sizeof(t->ca_sha256);
	m.secret.data = (uint8_t *)t->secret;
	m.secret.len = sizeof(t->secret);
	m.expires = t->expires;
	m.authority = t->authority;
	m.address = address;
	m.n_address = t->nr_addresses;
	len = orchfs__peer__token__get_packed_size(&m);
	if (strlen(PREFIX) + (SUM + len + 2) / 3 * 4 >= TOKEN_MAX)
		return -EMSGSIZE;
	orchfs__peer__token__pack(&m, raw + SUM);
	sum_of(raw + SUM, len, sum);
	memcpy(raw, sum, SUM);
	strcpy(out, PREFIX);
	EVP_EncodeBlock((uint8_t *)out + strlen(PREFIX), raw,
			(int)(SUM + len));
	to_url(out + strlen(PREFIX));
	return 0;
}

/* Return: bytes, or -EBADMSG. */
static int from_url(const char *s, uint8_t raw[TOKEN_MAX])
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"abcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t len = strlen(s), pad = -len & 3;
	char b64[TOKEN_MAX + 4];
	int n;

	if (strspn(s, set) != len || pad == 3)
		return -EBADMSG;
	for (size_t i = 0; i < len; i++)
		b64[i] = s[i] == '-' ? '+' : s[i] == '_' ? '/' : s[i];
	memset(b64 + len, '=', pad);
	n = EVP_DecodeBlock(raw, (uint8_t *)b64, (int)(len + pad));
	return n < 0 ? -EBADMSG : n - (int)pad;
}

static int decode(const Orchfs__Peer__Token *m, struct token *t)
{
	if (!config_name_valid(m->ns) || m->uuid.len != sizeof(t->uuid) ||
	    m->ca_sha256.len != sizeof(t->ca_sha256) ||
	    m->secret.len != sizeof(t->secret) || !m->authority ||
	    !m->n_address || m->n_address > TOKEN_ADDRESSES)
		return -EBADMSG;
	memset(t, 0, sizeof(*t));
	strcpy(t->ns, m->ns);
	memcpy(t->uuid, m->uuid.data, sizeof(t->uuid));
	memcpy(t->ca_sha256, m->ca_sha256.data, sizeof(t->ca_sha256));
	memcpy(t->secret, m->secret.data, sizeof(t->secret));
	t->expires = m->expires;
	t->authority = m->authority;
	for (size_t i = 0; i < m->n_address; i++) {
		struct address a;

		if (strlen(m->address[i]) >= NS_NODE_ADDRESS ||
		    address_parse(m->address[i], &a) < 0)
			return -EBADMSG;
		strcpy(t->address[t->nr_addresses++], m->address[i]);
	}
	return 0;
}

int token_parse(const char *text, struct token *t)
{
	uint8_t raw[TOKEN_MAX + 4], sum[32];
	Orchfs__Peer__Token *m;
	int n, rc;

	if (strncmp(text, PREFIX, strlen(PREFIX)))
		return !strncmp(text, PREFIX_ANY, strlen(PREFIX_ANY)) &&
		       strchr(text, '-') ? -EPROTO : -EINVAL;
	if (strlen(text) >= TOKEN_MAX)
		return -EBADMSG;
	n = from_url(text + strlen(PREFIX), raw);
	if (n < SUM)
		return -EBADMSG;
	sum_of(raw + SUM, (size_t)n - SUM, sum);
	if (memcmp(raw, sum, SUM))
		return -EBADMSG;
	m = orchfs__peer__token__unpack(NULL, (size_t)n - SUM, raw + SUM);
	if (!m)
		return -EBADMSG;
	rc = decode(m, t);
	orchfs__peer__token__free_unpacked(m, NULL);
	return rc;
}

/* "[HOST]:PORT", "HOST:PORT", "[HOST]", "HOST"; more colons: it is IPv6. */
static int split(const char *text, char *host, size_t len, char port[8])
{
	const char *end, *colon;

	sprintf(port, "%d", ADDRESS_PORT);
	if (text[0] == '[') {
		end = strchr(++text, ']');
		colon = end && end[1] == ':' ? end + 1 : NULL;
		if (!end || (end[1] && !colon))
			return -EINVAL;
	} else {
		colon = strchr(text, ':');
		if (colon && strchr(colon + 1, ':'))
			colon = NULL;
		end = colon ? colon : text + strlen(text);
	}
	if (end == text || (size_t)(end - text) >= len)
		return -EINVAL;
	snprintf(host, len, "%.*s", (int)(end - text), text);
	if (!colon)
		return 0;
	colon++;
	if (!*colon || strlen(colon) > 5 ||
	    strspn(colon, "0123456789") != strlen(colon) ||
	    atoi(colon) < 1 || atoi(colon) > 65535)
		return -EINVAL;
	strcpy(port, colon);
	return 0;
}

int address_parse(const char *text, struct address *a)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	char host[NS_NODE_ADDRESS], port[8];
	struct addrinfo *r;

	if (split(text, host, sizeof(host), port) < 0 ||
	    getaddrinfo(host, port, &hints, &r))
		return -EINVAL;
	memset(a, 0, sizeof(*a));
	memcpy(&a->sa, r->ai_addr, r->ai_addrlen);
	a->len = r->ai_addrlen;
	freeaddrinfo(r);
	return 0;
}

void address_text(const struct address *a, char out[NS_NODE_ADDRESS])
{
	char host[NS_NODE_ADDRESS - 10], port[8];

	if (getnameinfo((const struct sockaddr *)&a->sa, a->len, host,
			sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		strcpy(out, "?");
	else
		snprintf(out, NS_NODE_ADDRESS,
			 a->sa.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
			 host, port);
}

void address_host(const struct address *a, char out[NS_NODE_ADDRESS])
{
	if (getnameinfo((const struct sockaddr *)&a->sa, a->len, out,
			NS_NODE_ADDRESS, NULL, 0, NI_NUMERICHOST))
		strcpy(out, "?");
}

int address_any(const struct address *a)
{
	const struct sockaddr_in6 *in6 = (const void *)&a->sa;
	const struct sockaddr_in *in = (const void *)&a->sa;

	if (a->sa.ss_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
	return in->sin_addr.s_addr == htonl(INADDR_ANY);
}
