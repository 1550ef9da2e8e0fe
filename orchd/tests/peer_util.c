// SPDX-License-Identifier: Apache-2.0
#include "peer_util.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>

#include <openssl/err.h>

#define TURN_MS	20000	/* then what is waited for doesn't come */

const uint8_t uuid[16] = "namespace-uuid--";

struct ends w;

int end_admit(struct peer_set *s, struct peer_conn *c, char *why, size_t len)
{
	(void)c;
	snprintf(why, len, "told to refuse");
	return ((struct end *)s->ctx)->admit;
}

void end_up(struct peer_set *s, struct peer_conn *c)
{
	(void)c;
	((struct end *)s->ctx)->ups++;
}

void end_closed(struct peer_set *s, struct peer_conn *c, int rc)
{
	struct end *e = s->ctx;

	e->closes++;
	e->rc = rc;
	snprintf(e->why, sizeof(e->why), "%s", c->why);
}

static void accept_event(struct loop_source *s, uint32_t events)
{
	struct address a = { .len = sizeof(a.sa) };
	int fd = accept4(s->fd, (struct sockaddr *)&a.sa, &a.len,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	assert_true(fd >= 0);
	peer_accept(&w.server.set, fd, &a);
}

struct peer_tls *credentials(X509 *ca, EVP_PKEY *ca_key, X509 *trusted,
			     uint32_t node, const uint8_t id[16], long seconds)
{
	struct pki_issue i = {
		.ca = ca, .ca_key = ca_key, .key = w.key, .uuid = id,
		.node = node, .name = "n", .now = pki_time(),
		.seconds = seconds,
	};
	struct ns_serial serial;
	X509 *x = pki_issue(&i, &serial);
	struct peer_tls *t = peer_tls_new(w.key, x, trusted, NULL);

	assert_non_null(t);
	X509_free(x);
	return t;
}

static void end_init(struct end *e, uint32_t node, const struct peer_ops *ops)
{
	memset(e, 0, sizeof(*e));
	e->fd = -1;
	e->set.loop = &w.loop;
	e->set.ops = ops;
	e->set.ctx = e;
	e->set.self = (struct peer_self){
		.version_min = 1, .version_max = 1, .node = node,
		.boot_id = "boot", .epoch = 1, .authority = 1,
	};
	memcpy(e->set.self.uuid, uuid, 16);
	e->set.tls = credentials(w.ca, w.ca_key, w.ca, node, uuid, PKI_YEAR);
}

void ends_setup(const struct peer_ops *ops)
{
	struct sockaddr_in *in = (void *)&w.address.sa;

	w.ca_key = pki_key_new();
	w.key = pki_key_new();
	w.ca = pki_ca_new(w.ca_key, "t", pki_time());
	assert_int_equal(loop_init(&w.loop), 0);
	assert_int_equal(address_parse("127.0.0.1:1", &w.address), 0);
	in->sin_port = 0;
	w.listen.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC |
			     SOCK_NONBLOCK, 0);
	w.listen.fn = accept_event;
	assert_int_equal(bind(w.listen.fd, (void *)in, w.address.len), 0);
	assert_int_equal(listen(w.listen.fd, 128), 0);
	assert_int_equal(getsockname(w.listen.fd, (void *)in,
				     &w.address.len), 0);
	assert_int_equal(loop_add(&w.loop, &w.listen, EPOLLIN), 0);
	end_init(&w.server, 1, ops);
	end_init(&w.client, 2, ops);
}

static void end_exit(struct end *e)
{
	peer_set_free(&e->set);
	peer_tls_put(e->set.tls);
	if (e->fd >= 0)
		close(e->fd);
}

void ends_teardown(void)
{
	end_exit(&w.client);
	end_exit(&w.server);
	close(w.listen.fd);
	loop_destroy(&w.loop);
	EVP_PKEY_free(w.ca_key);
	EVP_PKEY_free(w.key);
	X509_free(w.ca);
}

void until(const unsigned int *n, unsigned int want)
{
	while (*n < want)
		assert_int_equal(loop_turn(&w.loop, TURN_MS), 1);
}

void settle(void)
{
	while (loop_turn(&w.loop, 20) == 1)
		;
}

void new_client(struct peer_tls *t)
{
	peer_tls_put(w.client.set.tls);
	w.client.set.tls = t;
}

void refused_by(struct end *e, int rc, const char *text)
{
	until(&e->closes, 1);
	if (e->rc != rc || !strstr(e->why, text))
		print_error("refused with %d: %s\n", e->rc, e->why);
	assert_int_equal(e->rc, rc);
	assert_non_null(strstr(e->why, text));
	assert_int_equal(e->ups, 0);
}

int raw(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (void *)&w.address.sa, w.address.len), 0);
	return fd;
}

struct raw_tls raw_tls(int version, const char *alpn)
{
	struct raw_tls r = { SSL_CTX_new(TLS_client_method()), NULL, raw() };

	SSL_CTX_set_max_proto_version(r.ctx, version);
	if (alpn)
		SSL_CTX_set_alpn_protos(r.ctx, (const void *)alpn,
					(unsigned int)strlen(alpn));
	r.ssl = SSL_new(r.ctx);
	SSL_set_fd(r.ssl, r.fd);
	SSL_set_connect_state(r.ssl);
	return r;
}

int raw_handshake(struct raw_tls *r)
{
	const struct timeval t = { .tv_usec = 20000 };
	int n;

	setsockopt(r->fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	do {
		n = SSL_do_handshake(r->ssl);
		settle();
	} while (n != 1 && SSL_get_error(r->ssl, n) == SSL_ERROR_WANT_READ);
	return n;
}

void raw_free(struct raw_tls *r)
{
	ERR_clear_error();
	SSL_free(r->ssl);
	SSL_CTX_free(r->ctx);
	close(r->fd);
	settle();
}
