// SPDX-License-Identifier: Apache-2.0
/*
 * Connections between daemons: who is refused and why, signs of life,
 * deadlines, flow control. Time is the test's own.
 */
#include "peer_util.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "fault.h"

/* A test's clock. */
static uint64_t now = 1000000;

static uint64_t test_clock(void)
{
	return now;
}

static void answer(struct end *e, unsigned int i)
{
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(DONE);

	f.done = &empty;
	peer_answer(&e->set, e->conn, e->ids[i], e->sizes[i], &f);
}

static void end_request(struct peer_set *s, struct peer_conn *c,
			peer_frame *f, size_t size)
{
	struct end *e = s->ctx;

	assert_true(e->requests < 2 * PEER_REQUESTS_MAX);
	e->conn = c->id;
	e->ids[e->requests] = f->id;
	e->sizes[e->requests] = size;
	e->requests++;
	frame_free(f);
	if (!e->mute)
		answer(e, e->requests - 1);
}

static void end_away(struct peer_set *s, const char *address, const char *why)
{
	struct end *e = s->ctx;

	(void)address;
	e->away++;
	snprintf(e->why, sizeof(e->why), "%s", why);
}

static const struct peer_ops end_ops = {
	.admit = end_admit,
	.up = end_up,
	.request = end_request,
	.closed = end_closed,
	.turned_away = end_away,
};

static int setup(void **state)
{
	(void)state;
	peer_clock = test_clock;
	ends_setup(&end_ops);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ends_teardown();
	unsetenv("ORCHD_FAULT");
	fault_init();
	return 0;
}

static void dial(void)
{
	assert_int_equal(peer_dial(&w.client.set, &w.address), 0);
}

static struct peer_conn *up(void)
{
	dial();
	until(&w.client.ups, 1);
	until(&w.server.ups, 1);
	return peer_of_node(&w.client.set, 1);
}

static void test_up(void **state)
{
	struct peer_conn *c;

	(void)state;
	c = up();
	assert_non_null(c);
	assert_int_equal(c->hello.epoch, 1);
	c = peer_of_node(&w.server.set, 2);
	assert_non_null(c);
	assert_string_equal(c->hello.boot_id, "boot");
	assert_int_equal(w.server.set.nr_up, 1);
	assert_int_equal(w.server.set.nr_new, 0);
	peer_end(c, -EKEYREVOKED, "node 2 was removed");
	until(&w.client.closes, 1);
	assert_int_equal(w.client.rc, -EKEYREVOKED);
	assert_string_equal(w.client.why, "node 2 was removed");
	assert_int_equal(w.server.set.nr_up, 0);
	settle();
	assert_null(w.server.set.conns);
}

/* --- who is refused --- */

static void test_stranger(void **state)
{
	EVP_PKEY *key = pki_key_new();
	X509 *ca = pki_ca_new(key, "t", pki_time());

	(void)state;
	/* it believes the server, and has another CA's certificate */
	new_client(credentials(ca, key, w.ca, 2, uuid, 1000));
	dial();
	refused_by(&w.server, -EKEYREJECTED, "of another cluster");
	refused_by(&w.client, -EKEYREJECTED, "certificate is of another");
	X509_free(ca);
	EVP_PKEY_free(key);
}

/* A server of another cluster is not believed either. */
static void test_false_server(void **state)
{
	EVP_PKEY *key = pki_key_new();
	X509 *ca = pki_ca_new(key, "t", pki_time());

	(void)state;
	new_client(credentials(ca, key, ca, 2, uuid, 1000));
	dial();
	refused_by(&w.client, -EKEYREJECTED, "of another cluster");
	until(&w.server.closes, 1);
	assert_int_equal(w.server.ups, 0);
	X509_free(ca);
	EVP_PKEY_free(key);
}

static void test_expired(void **state)
{
	(void)state;
	new_client(credentials(w.ca, w.ca_key, w.ca, 2, uuid, -60));
	dial();
	refused_by(&w.server, -EKEYEXPIRED, "has expired");
	refused_by(&w.client, -EKEYEXPIRED, "has expired");
}

/* By the daemon's clock, which a test moves. */
static void test_clock_ahead(void **state)
{
	(void)state;
	setenv("ORCHD_FAULT", "clock-days:364", 1);
	fault_init();
	up();
	setenv("ORCHD_FAULT", "clock-days:366", 1);
	fault_init();
	w.client.ups = w.server.ups = 0;
	dial();
	refused_by(&w.client, -EKEYEXPIRED, "its certificate has expired");
}

/* A link doesn't outlive the certificates that it was made with. */
static void test_expires_open(void **state)
{
	(void)state;
	new_client(credentials(w.ca, w.ca_key, w.ca, 2, uuid, 10 * 86400));
	up();
	setenv("ORCHD_FAULT", "clock-days:9", 1);
	fault_init();
	peer_tick(&w.server.set);
	settle();
	assert_int_equal(w.server.closes + w.client.closes, 0);
	setenv("ORCHD_FAULT", "clock-days:11", 1);
	fault_init();
	peer_tick(&w.client.set);
	assert_int_equal(w.client.closes, 0);
	peer_tick(&w.server.set);
	assert_int_equal(w.server.closes, 1);
	assert_int_equal(w.server.rc, -EKEYEXPIRED);
	until(&w.client.closes, 1);
	assert_int_equal(w.client.rc, -EKEYEXPIRED);
}

/* The server's: it has another one by now, so the agent only connects again. */
static void test_server_expires_open(void **state)
{
	(void)state;
	peer_tls_put(w.server.set.tls);
	w.server.set.tls = credentials(w.ca, w.ca_key, w.ca, 1, uuid,
				       10 * 86400);
	up();
	setenv("ORCHD_FAULT", "clock-days:11", 1);
	fault_init();
	peer_tick(&w.server.set);
	assert_int_equal(w.server.closes, 0);
	peer_tick(&w.client.set);
	assert_int_equal(w.client.closes, 1);
	assert_int_equal(w.client.rc, -ESHUTDOWN);
}

static void test_not_yet(void **state)
{
	(void)state;
	setenv("ORCHD_FAULT", "clock-days:-10", 1);
	fault_init();
	dial();
	refused_by(&w.client, -EKEYEXPIRED, "not valid yet");
	/* the other end's remedy is the same */
	refused_by(&w.server, -EKEYREJECTED, "compare the clocks");
}

static void test_other_namespace(void **state)
{
	(void)state;
	new_client(credentials(w.ca, w.ca_key, w.ca, 2,
			       (const uint8_t *)"another-namespac", 1000));
	dial();
	refused_by(&w.server, -EKEYREJECTED, "no node of this namespace");
}

static void test_false_hello(void **state)
{
	(void)state;
	w.client.set.self.node = 3;
	dial();
	refused_by(&w.server, -EKEYREJECTED, "calls itself node 3");
	until(&w.client.closes, 1);
	assert_int_equal(w.client.rc, -EKEYREJECTED);
	assert_non_null(strstr(w.client.why, "calls itself node 3"));
}

static void test_not_admitted(void **state)
{
	(void)state;
	w.server.admit = -EKEYREVOKED;
	dial();
	refused_by(&w.server, -EKEYREVOKED, "told to refuse");
	until(&w.client.closes, 1);
	assert_int_equal(w.client.rc, -EKEYREVOKED);
	assert_string_equal(w.client.why, "told to refuse");
}

static void test_versions(void **state)
{
	(void)state;
	w.client.set.self.version_min = 2;
	w.client.set.self.version_max = 3;
	dial();
	until(&w.client.closes, 1);
	until(&w.server.closes, 1);
	assert_int_equal(w.server.ups + w.client.ups, 0);
	assert_int_equal(w.client.rc, -EPROTONOSUPPORT);
	assert_int_equal(w.server.rc, -EPROTONOSUPPORT);
	assert_non_null(strstr(w.server.why, "upgrade orchd"));
}

/* Without a certificate one may ask to join, and nothing else. */
static void joiner(const uint8_t sha256[32])
{
	new_client(peer_tls_new(NULL, NULL, NULL, sha256));
	w.client.set.self.node = 0;
	dial();
}

static void no_done(struct peer_wait *wait, int rc, const char *why,
		    peer_frame *f)
{
	(void)wait;
	(void)rc;
	(void)why;
	frame_free(f);
}

static void test_join_only(void **state)
{
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	Orchfs__Peer__Join join = ORCHFS__PEER__JOIN__INIT;
	peer_frame list = PEER_FRAME_INIT(NODE_LIST);
	peer_frame f = PEER_FRAME_INIT(JOIN);
	struct peer_wait a = { .done = no_done }, b = { .done = no_done };
	uint8_t sha256[32];
	struct peer_conn *c;

	(void)state;
	pki_fingerprint(w.ca, sha256);
	joiner(sha256);
	until(&w.client.ups, 1);
	until(&w.server.ups, 1);
	assert_int_equal(w.server.set.nr_up, 0);
	assert_int_equal(w.server.set.nr_new, 1);
	c = w.client.set.conns;
	assert_int_equal(c->node, 1);
	f.join = &join;
	assert_int_equal(peer_ask(c, &f, 1000, &a), 0);
	until(&w.server.requests, 1);
	list.node_list = &empty;
	assert_int_equal(peer_ask(c, &list, 1000, &b), 0);
	until(&w.server.closes, 1);
	assert_int_equal(w.server.rc, -EACCES);
	until(&w.client.closes, 1);
	assert_int_equal(w.client.rc, -EACCES);
}

/* One request at a time, and few of them. */
static void test_join_bounds(void **state)
{
	Orchfs__Peer__Join join = ORCHFS__PEER__JOIN__INIT;
	static struct peer_wait a[PEER_JOIN_REQUESTS + 1];
	peer_frame f = PEER_FRAME_INIT(JOIN);
	uint8_t sha256[32];

	(void)state;
	f.join = &join;
	pki_fingerprint(w.ca, sha256);
	joiner(sha256);
	until(&w.client.ups, 1);
	until(&w.server.ups, 1);
	for (unsigned int i = 0; i <= PEER_JOIN_REQUESTS; i++) {
		a[i] = (struct peer_wait){ .done = no_done };
		assert_int_equal(w.server.closes, 0);
		assert_int_equal(peer_ask(w.client.set.conns, &f, 1000,
					  &a[i]), 0);
		settle();
	}
	assert_int_equal(w.server.closes, 1);
	assert_int_equal(w.server.rc, -E2BIG);
	assert_int_equal(w.server.requests, PEER_JOIN_REQUESTS);
	settle();
	assert_null(w.client.set.conns);

	w.server.mute = true;
	w.client.ups = w.server.ups = w.server.requests = 0;
	joiner(sha256);
	until(&w.client.ups, 1);
	until(&w.server.ups, 1);
	assert_int_equal(peer_ask(w.client.set.conns, &f, 1000, &a[0]), 0);
	assert_int_equal(peer_ask(w.client.set.conns, &f, 1000, &a[1]), 0);
	until(&w.server.closes, 2);
	assert_int_equal(w.server.rc, -E2BIG);
	assert_int_equal(w.server.requests, 1);
}

static void test_join_false_ca(void **state)
{
	uint8_t sha256[32];

	(void)state;
	pki_fingerprint(w.ca, sha256);
	sha256[31] ^= 1;
	joiner(sha256);
	refused_by(&w.client, -EKEYREJECTED, "of another cluster");
}

struct joiner {
	struct token token;
	unsigned int done;
	int rc;
	char why[PEER_WHY];
};

static void *join_main(void *arg)
{
	struct joiner *j = arg;
	const struct join_opts o = {
		.token = &j->token, .name = "b", .address = "",
		.dir = "/nowhere",
	};

	j->rc = cluster_join(&o, j->why, sizeof(j->why));
	__atomic_store_n(&j->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void join_with(struct joiner *j, uint32_t authority)
{
	pthread_t t;

	memset(j, 0, sizeof(*j));
	strcpy(j->token.ns, "models");
	memcpy(j->token.uuid, uuid, 16);
	pki_fingerprint(w.ca, j->token.ca_sha256);
	j->token.authority = authority;
	address_text(&w.address, j->token.address[0]);
	j->token.nr_addresses = 1;
	assert_int_equal(pthread_create(&t, NULL, join_main, j), 0);
	while (!__atomic_load_n(&j->done, __ATOMIC_ACQUIRE))
		loop_turn(&w.loop, 20);
	pthread_join(t, NULL);
	settle();
}

/* A node, perhaps one that was removed, in the place of the authority. */
static void test_join_false_authority(void **state)
{
	struct joiner j;

	(void)state;
	peer_tls_put(w.server.set.tls);
	w.server.set.tls = credentials(w.ca, w.ca_key, w.ca, 2, uuid,
				       PKI_YEAR);
	w.server.set.self.node = 2;
	join_with(&j, 1);
	assert_int_equal(j.rc, -EKEYREJECTED);
	assert_non_null(strstr(j.why, "node 2 answers there"));
	assert_int_equal(w.server.requests, 0);
	/* the same server gets the request of who has a token of its own */
	join_with(&j, 2);
	assert_int_equal(w.server.requests, 1);
}

/* --- others' words --- */

static void say_bye(struct peer_conn *c, const char *text)
{
	Orchfs__Peer__Bye bye = ORCHFS__PEER__BYE__INIT;
	peer_frame f = PEER_FRAME_INIT(BYE);

	bye.status = -EPROTO;
	bye.text = (char *)text;
	f.bye = &bye;
	assert_int_equal(conn_send(c, &f), 0);
	conn_watch(c);
}

static void test_bye_text(void **state)
{
	uint8_t sha256[32];
	struct peer_conn *c;

	(void)state;
	c = up();
	say_bye(c, "one\ntwo\x1b[2J\x7f");
	until(&w.server.closes, 1);
	assert_int_equal(w.server.rc, -EPROTO);
	assert_string_equal(w.server.why, "one?two?[2J?");
	settle();
	/* who has no certificate is not quoted */
	pki_fingerprint(w.ca, sha256);
	w.client.ups = w.server.ups = 0;
	joiner(sha256);
	until(&w.client.ups, 1);
	until(&w.server.ups, 1);
	for (c = w.client.set.conns; c->state != PEER_UP; c = c->next)
		;
	say_bye(c, "words");
	until(&w.server.closes, 2);
	assert_int_equal(w.server.rc, -ESHUTDOWN);
	assert_null(strstr(w.server.why, "words"));
}

static void test_log_line(void **state)
{
	int fd[2], old = dup(STDERR_FILENO);
	char line[64] = "";

	(void)state;
	assert_int_equal(pipe(fd), 0);
	dup2(fd[1], STDERR_FILENO);
	log_msg(LOG_CRIT, "t", "%s", "a\nb\rc\x1b\x7f\xc3\xa9");
	dup2(old, STDERR_FILENO);
	assert_true(read(fd[0], line, sizeof(line) - 1) > 0);
	assert_non_null(strstr(line, "orchd: t: a?b?c??\xc3\xa9\n"));
	close(fd[0]);
	close(fd[1]);
	close(old);
}

/* --- what is no orchd --- */

static void says(const void *p, size_t len, int rc, const char *text)
{
	int fd = raw();

	assert_int_equal(send(fd, p, len, MSG_NOSIGNAL), len);
	shutdown(fd, SHUT_WR);
	refused_by(&w.server, rc, text);
	w.server.closes = 0;
	settle();
	close(fd);
	settle();
	assert_null(w.server.set.conns);
}

static void test_plaintext(void **state)
{
	char noise[300];

	(void)state;
	says("GET / HTTP/1.1\r\n\r\n", 18, -EPROTO, "speaks HTTP");
	says("hello, is there anybody in there?\n", 34, -EPROTO,
	     "does not speak TLS");
	says("\x08\0\0\0\x22\x06\x08\x01\x10\x01\x20\x02", 12, -EPROTO,
	     "does not speak TLS");
	memset(noise, 0xff, sizeof(noise));
	says(noise, sizeof(noise), -EPROTO, "does not speak TLS");
	says("", 0, -ECONNRESET, "was closed");
	says("\x16\x03\x01", 3, -ECONNRESET, "was closed");
	/* the server is as it was */
	up();
}

static void test_old_tls(void **state)
{
	struct raw_tls r = raw_tls(TLS1_2_VERSION, "\x08" PEER_ALPN);

	(void)state;
	assert_int_not_equal(raw_handshake(&r), 1);
	refused_by(&w.server, -EPROTO, "does not speak TLS 1.3");
	raw_free(&r);
}

static void test_alpn(void **state)
{
	struct raw_tls r = raw_tls(TLS1_3_VERSION, "\x08http/1.1");

	(void)state;
	assert_int_not_equal(raw_handshake(&r), 1);
	refused_by(&w.server, -EPROTO, "does not speak orchfs/1");
	raw_free(&r);
	w.server.closes = 0;
	r = raw_tls(TLS1_3_VERSION, NULL);
	raw_handshake(&r);
	refused_by(&w.server, -EPROTO, "does not speak orchfs/1");
	raw_free(&r);
}

/* Whatever comes through TLS of somebody without a certificate. */
static void tls_says(const void *p, size_t len, int rc, const char *text)
{
	struct raw_tls r = raw_tls(TLS1_3_VERSION, "\x08" PEER_ALPN);
	size_t n;

	assert_int_equal(raw_handshake(&r), 1);
	assert_int_equal(SSL_write_ex(r.ssl, p, len, &n), 1);
	refused_by(&w.server, rc, text);
	raw_free(&r);
	w.server.closes = 0;
	assert_int_equal(w.server.set.nr_new, 0);
}

static void test_bad_messages(void **state)
{
	uint8_t big[4] = { 1, 0x40, 0, 0 };	/* 16 KiB and 1 */

	(void)state;
	tls_says(big, 4, -EMSGSIZE, "longer than 16384");
	tls_says("\4\0\0\0zzzz", 8, -EBADMSG, "malformed");
	tls_says("\2\0\0\0\x08\1", 6, -EBADMSG, "no hello");
	tls_says("\4\0\0\0\x1a\x02\x08\1", 8, -EPROTONOSUPPORT, "upgrade");
}

/* --- bounds and deadlines --- */

static void test_too_many(void **state)
{
	int fd[PEER_NEW_ADDRESS_MAX + 1];

	(void)state;
	for (int i = 0; i <= PEER_NEW_ADDRESS_MAX; i++)
		fd[i] = raw();
	until(&w.server.away, 1);
	assert_non_null(strstr(w.server.why, "of this address"));
	assert_int_equal(w.server.set.nr_new, PEER_NEW_ADDRESS_MAX);
	/* they say nothing, and make room */
	now += PEER_HELLO_MS - 1;
	peer_tick(&w.server.set);
	assert_int_equal(w.server.closes, 0);
	now += 1;
	peer_tick(&w.server.set);
	assert_int_equal(w.server.closes, PEER_NEW_ADDRESS_MAX);
	assert_int_equal(w.server.rc, -ETIMEDOUT);
	for (int i = 0; i <= PEER_NEW_ADDRESS_MAX; i++)
		close(fd[i]);
	settle();
	up();
}

static void test_ping(void **state)
{
	struct peer_conn *c;

	(void)state;
	c = up();
	for (int i = 0; i < 20; i++) {
		now += PEER_PING_MS;
		peer_tick(&w.client.set);
		settle();
		assert_int_equal(c->heard, now);
	}
	assert_int_equal(w.client.closes + w.server.closes, 0);
}

static void test_silence(void **state)
{
	struct peer_conn *c;

	(void)state;
	c = up();
	/* the other end is gone without a word */
	loop_del(&w.loop, &peer_of_node(&w.server.set, 2)->source);
	now += PEER_DEAD_MS - 1;
	peer_tick(&w.client.set);
	settle();
	assert_int_equal(w.client.closes, 0);
	now += 1;
	peer_tick(&w.client.set);
	assert_int_equal(w.client.closes, 1);
	assert_int_equal(w.client.rc, -ETIMEDOUT);
	assert_string_equal(c->why, "nothing was heard of it for 15 seconds");
	/* it doesn't wait for ever for the other to read */
	now += PEER_LINGER_MS;
	peer_tick(&w.client.set);
	assert_null(w.client.set.conns);
}

static void test_half_frame(void **state)
{
	struct peer_conn *c;
	size_t n;

	(void)state;
	c = up();
	assert_int_equal(SSL_write_ex(c->ssl, "\0\x40\0\0", 4, &n), 1);
	settle();
	for (int i = 1; i < PEER_FRAME_MS / 1000; i++) {
		now += 1000;
		peer_tick(&w.server.set);
		settle();	/* pings are answered: it isn't silent */
		assert_int_equal(w.server.closes, 0);
	}
	now += 1000;
	peer_tick(&w.server.set);
	assert_int_equal(w.server.closes, 1);
	assert_non_null(strstr(w.server.why, "completely within 10"));
}

struct ask {
	struct peer_wait wait;
	unsigned int done;
	int rc;
	char why[PEER_WHY];
};

static void ask_done(struct peer_wait *wait, int rc, const char *why,
		     peer_frame *f)
{
	struct ask *a = (struct ask *)wait;

	a->done++;
	a->rc = rc;
	snprintf(a->why, sizeof(a->why), "%s", why);
	assert_true((rc < 0) == !f);
	frame_free(f);
}

static int ask(struct peer_conn *c, struct ask *a, const char *text)
{
	Orchfs__Peer__NodeRef ref = ORCHFS__PEER__NODE_REF__INIT;
	peer_frame f = PEER_FRAME_INIT(NODE_SHOW);

	*a = (struct ask){ .wait.done = ask_done };
	ref.node = (char *)text;
	f.node_show = &ref;
	return peer_ask(c, &f, 3000, &a->wait);
}

static void test_deadline(void **state)
{
	struct peer_conn *c;
	struct ask a, b;

	(void)state;
	c = up();
	w.server.mute = true;
	assert_int_equal(ask(c, &a, "x"), 0);
	until(&w.server.requests, 1);
	now += 2999;
	peer_tick(&w.client.set);
	assert_int_equal(a.done, 0);
	now += 1;
	peer_tick(&w.client.set);
	assert_int_equal(a.done, 1);
	assert_int_equal(a.rc, -ETIMEDOUT);
	/* its answer comes late and is dropped, the link goes on */
	answer(&w.server, 0);
	settle();
	assert_int_equal(a.done, 1);
	w.server.mute = false;
	assert_int_equal(ask(c, &b, "y"), 0);
	until(&b.done, 1);
	assert_int_equal(b.rc, 0);
	assert_int_equal(w.client.closes + w.server.closes, 0);
}

/* Who waits is told when the link is lost. */
static void test_lost(void **state)
{
	struct peer_conn *c;
	struct ask a;

	(void)state;
	c = up();
	w.server.mute = true;
	assert_int_equal(ask(c, &a, "x"), 0);
	until(&w.server.requests, 1);
	peer_set_free(&w.server.set);
	until(&a.done, 1);
	assert_int_equal(a.rc, -ESHUTDOWN);
	assert_string_equal(a.why, "orchd stops");
	assert_int_equal(ask(c, &a, "x"), -ENOTCONN);
}

/* An answer that nobody asked for ends the link. */
static void test_unasked(void **state)
{
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(DONE);
	struct peer_conn *c;

	(void)state;
	up();
	c = peer_of_node(&w.server.set, 2);
	f.id = 1;
	f.done = &empty;
	assert_int_equal(conn_send(c, &f), 0);
	conn_watch(c);
	until(&w.client.closes, 1);
	assert_int_equal(w.client.rc, -EBADMSG);
	assert_non_null(strstr(w.client.why, "what was not asked"));
}

static void test_flow(void **state)
{
	static struct ask asks[PEER_REQUESTS_MAX + 1];
	struct peer_conn *c;

	(void)state;
	c = up();
	w.server.mute = true;
	for (int i = 0; i < PEER_REQUESTS_MAX; i++)
		assert_int_equal(ask(c, &asks[i], "x"), 0);
	assert_int_equal(ask(c, &asks[PEER_REQUESTS_MAX], "x"), -EAGAIN);
	until(&w.server.requests, PEER_REQUESTS_MAX);
	answer(&w.server, 5);
	until(&asks[5].done, 1);
	assert_int_equal(ask(c, &asks[PEER_REQUESTS_MAX], "x"), 0);
	until(&w.server.requests, PEER_REQUESTS_MAX + 1);
	assert_int_equal(w.server.closes, 0);
	/* one that doesn't keep to it is dropped with the reason */
	c->asked_max++;
	assert_int_equal(ask(c, &asks[5], "x"), 0);
	until(&w.server.closes, 1);
	assert_int_equal(w.server.rc, -E2BIG);
	until(&w.client.closes, 1);
	assert_int_equal(w.client.rc, -E2BIG);
	assert_non_null(strstr(w.client.why, "more requests than 1024"));
	for (int i = 0; i < PEER_REQUESTS_MAX; i++)
		assert_int_equal(asks[i].done, 1);
}

static void test_flow_bytes(void **state)
{
	const size_t len = PEER_FRAME_MAX - 1024;
	char *text = malloc(len + 1);
	static struct ask asks[PEER_BYTES_MAX / PEER_FRAME_MAX + 2];
	struct peer_conn *c;
	int rc, n = 0;

	(void)state;
	memset(text, 'x', len);
	text[len] = 0;
	c = up();
	w.server.mute = true;
	while (!(rc = ask(c, &asks[n], text)))
		assert_in_range(++n, 1, PEER_BYTES_MAX / PEER_FRAME_MAX + 1);
	assert_int_equal(rc, -EAGAIN);
	assert_int_equal(n, PEER_BYTES_MAX / len);
	until(&w.server.requests, (unsigned int)n);
	c->asked_bytes_max *= 2;
	assert_int_equal(ask(c, &asks[n], text), 0);
	until(&w.server.closes, 1);
	assert_int_equal(w.server.rc, -E2BIG);
	assert_int_equal(w.server.set.owed_bytes, 0);
	free(text);
}

static int ask_packed(struct peer_conn *c, struct ask *a, uint32_t ms)
{
	Orchfs__Peer__NodeRef ref = ORCHFS__PEER__NODE_REF__INIT;
	peer_frame f = PEER_FRAME_INIT(NODE_SHOW);
	uint8_t *buf;
	size_t len;

	*a = (struct ask){ .wait.done = ask_done };
	ref.node = "n";
	f.node_show = &ref;
	f.wait_ms = ms;
	buf = frame_pack(&f, &len);
	assert_non_null(buf);
	return peer_ask_packed(c, buf, len, ms, &a->wait);
}

/* What the peer doesn't take yet goes out as answers come, in order. */
static void test_flow_later(void **state)
{
	static struct ask asks[PEER_REQUESTS_MAX + 20];
	const unsigned int n = PEER_REQUESTS_MAX + 20;
	struct peer_conn *c;
	struct ask last;

	(void)state;
	c = up();
	w.server.mute = true;
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(ask_packed(c, &asks[i], i < n - 5 ? 9000 :
					    3000), 0);
	until(&w.server.requests, PEER_REQUESTS_MAX);
	settle();
	assert_int_equal(w.server.requests, PEER_REQUESTS_MAX);
	for (unsigned int i = 0; i < 10; i++)
		answer(&w.server, i);
	until(&w.server.requests, PEER_REQUESTS_MAX + 10);
	settle();
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(asks[i].done, i < 10);
		assert_int_equal(asks[i].wait.id, i < n - 10 ? i + 1 : 0);
		if (i < n - 10)
			assert_int_equal(w.server.ids[i], i + 1);
	}
	/* those that were not sent have their time, too */
	now += 3000;
	peer_tick(&w.client.set);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(asks[i].done, i < 10 || i >= n - 5);
	assert_int_equal(asks[n - 1].rc, -ETIMEDOUT);
	assert_int_equal(ask_packed(c, &last, 9000), 0);
	for (unsigned int i = 10; i < 16; i++)
		answer(&w.server, i);
	until(&w.server.requests, PEER_REQUESTS_MAX + 16);
	assert_int_equal(last.wait.id, n - 4);
	/* all are told, sent or not, when the link is lost */
	assert_int_equal(ask_packed(c, &asks[n - 1], 9000), 0);
	peer_set_free(&w.server.set);
	until(&last.done, 1);
	assert_int_equal(asks[n - 1].done, 1);
	assert_int_equal(asks[n - 1].rc, -ESHUTDOWN);
	assert_int_equal(c->asked, 0);
	assert_int_equal(ask_packed(c, &last, 9000), -ENOTCONN);
}

/* All peers together: what is too much is declined, the link goes on. */
static void test_flow_all(void **state)
{
	struct peer_conn *c;
	struct ask a;

	(void)state;
	c = up();
	w.server.set.owed_bytes += PEER_ALL_MAX;
	assert_int_equal(ask(c, &a, "x"), 0);
	until(&a.done, 1);
	assert_int_equal(a.rc, -EBUSY);
	assert_int_equal(w.server.requests, 0);
	w.server.set.owed_bytes -= PEER_ALL_MAX;
	assert_int_equal(ask(c, &a, "x"), 0);
	until(&a.done, 1);
	assert_int_equal(a.rc, 0);
	assert_int_equal(w.server.set.owed_bytes, 0);
}

/* More than a frame may hold isn't sent at all. */
static void test_too_long(void **state)
{
	char *text = malloc(PEER_FRAME_MAX + 1);
	struct peer_conn *c;
	struct ask a;

	(void)state;
	memset(text, 'x', PEER_FRAME_MAX);
	text[PEER_FRAME_MAX] = 0;
	c = up();
	assert_int_equal(ask(c, &a, text), -EMSGSIZE);
	assert_int_equal(ask(c, &a, "x"), 0);
	until(&a.done, 1);
	assert_int_equal(a.rc, 0);
	free(text);
}

#define world(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		world(test_up),
		world(test_stranger),
		world(test_false_server),
		world(test_expired),
		world(test_clock_ahead),
		world(test_expires_open),
		world(test_server_expires_open),
		world(test_not_yet),
		world(test_other_namespace),
		world(test_false_hello),
		world(test_not_admitted),
		world(test_versions),
		world(test_join_only),
		world(test_join_bounds),
		world(test_join_false_ca),
		world(test_join_false_authority),
		world(test_bye_text),
		cmocka_unit_test(test_log_line),
		world(test_plaintext),
		world(test_old_tls),
		world(test_alpn),
		world(test_bad_messages),
		world(test_too_many),
		world(test_ping),
		world(test_silence),
		world(test_half_frame),
		world(test_deadline),
		world(test_lost),
		world(test_unasked),
		world(test_flow),
		world(test_flow_bytes),
		world(test_flow_later),
		world(test_flow_all),
		world(test_too_long),
	};

	signal(SIGPIPE, SIG_IGN);
	log_init(LOG_CRIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
