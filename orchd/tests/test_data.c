// SPDX-License-Identifier: Apache-2.0
/*
 * The way of bytes: tokens as the kernel reads them; who gets a connection for
 * data, and that its socket is handed over with every byte that is the
 * kernels'. Then orchd-data, against a kernel that writes down what it is
 * given (channel_send() is the test's).
 */
#include "peer_util.h"

#include <signal.h>
#include <stdio.h>

#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <openssl/hmac.h>

#include "data.h"
#include "nl.h"
#include "pdu.h"	/* the module's own */

static const struct data_token some_token = {
	.uuid = "namespace-uuid--", .volume = 3, .key_id = 0x01020304,
	.ino = 0x1122334455667788, .version = 2, .instance = 1ULL << 40,
	.node = 7, .rights = ORCHFS_RIGHTS_ALL, .epoch = 5 << 20,
	.expiry_ms = 1ULL << 41,
};

/* Every field arrives, and the MAC is that of the key over what is signed. */
static void test_token(void **state)
{
	uint8_t key[ORCHFS_KEY_LEN], mac[32], out[ORCHFS_TOKEN_LEN];
	struct orchfs_token t;
	unsigned int len = sizeof(mac);

	(void)state;
	memset(key, 0x4b, sizeof(key));
	assert_int_equal(data_token_sign(key, &some_token, out), 0);
	assert_int_equal(orchfs_token_decode(out, sizeof(out), &t), 0);
	assert_memory_equal(t.ns_uuid, some_token.uuid, 16);
	assert_int_equal(t.volume, 3);
	assert_int_equal(t.key_id, 0x01020304);
	assert_int_equal(t.ino, 0x1122334455667788);
	assert_int_equal(t.version, 2);
	assert_int_equal(t.instance, 1ULL << 40);
	assert_int_equal(t.node, 7);
	assert_int_equal(t.rights, ORCHFS_RIGHTS_ALL);
	assert_int_equal(t.epoch, 5 << 20);
	assert_int_equal(t.expiry_ms, 1ULL << 41);
	assert_non_null(HMAC(EVP_sha256(), key, sizeof(key), out,
			     ORCHFS_TOKEN_SIGNED_LEN, mac, &len));
	assert_memory_equal(mac, out + ORCHFS_TOKEN_SIGNED_LEN, 32);
	key[31] ^= 1;
	assert_int_equal(data_token_sign(key, &some_token, out), 0);
	assert_memory_not_equal(mac, out + ORCHFS_TOKEN_SIGNED_LEN, 32);
}

/* --- connections --- */

static void end_data(struct peer_set *s, struct peer_conn *c, int fd)
{
	struct end *e = s->ctx;

	assert_int_equal(e->fd, -1);
	e->fd = fd;
	e->node = c->node;
	e->given++;
}

static void end_away(struct peer_set *s, const char *address, const char *why)
{
	(void)s;
	fail_msg("%s was turned away: %s", address, why);
}

static const struct peer_ops end_ops = {
	.admit = end_admit,
	.up = end_up,
	.closed = end_closed,
	.data = end_data,
	.turned_away = end_away,
};

static int setup(void **state)
{
	(void)state;
	ends_setup(&end_ops);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ends_teardown();
	return 0;
}

static void dial(uint32_t node)
{
	assert_int_equal(peer_dial_data(&w.client.set, &w.address, node), 0);
}

/* All of @text comes out of @fd, in the order that it was put in. */
static void receives(int fd, const char *text)
{
	char buf[64];
	ssize_t n;

	n = recv(fd, buf, sizeof(buf), 0);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, n);
}

/* What the kernels say to each other goes over the plain socket. */
static void test_handover(void **state)
{
	(void)state;
	dial(1);
	until(&w.client.given, 1);
	/* at once, as the client's kernel would */
	assert_int_equal(send(w.client.fd, "HELLO", 5, 0), 5);
	until(&w.server.given, 1);
	settle();
	assert_int_equal(w.client.node, 1);
	assert_int_equal(w.server.node, 2);
	receives(w.server.fd, "HELLO");
	assert_int_equal(send(w.server.fd, "WELCOME", 7, 0), 7);
	receives(w.client.fd, "WELCOME");
	assert_int_equal(w.client.closes + w.server.closes, 0);
	assert_int_equal(w.client.ups + w.server.ups, 0);
	assert_null(w.client.set.conns);
	assert_null(w.server.set.conns);
	assert_int_equal(w.client.set.nr_new + w.server.set.nr_new, 0);
}

/* --- who is refused --- */

/* And neither end hands anything over. */
static void not_given(struct end *e, int rc, const char *text)
{
	refused_by(e, rc, text);
	settle();
	assert_int_equal(w.client.given + w.server.given, 0);
	assert_int_equal(w.client.ups + w.server.ups, 0);
}

static void test_stranger(void **state)
{
	EVP_PKEY *key = pki_key_new();
	X509 *ca = pki_ca_new(key, "t", pki_time());

	(void)state;
	/* it believes the server, and has another CA's certificate */
	new_client(credentials(ca, key, w.ca, 2, uuid, 1000));
	dial(1);
	not_given(&w.server, -EKEYREJECTED, "of another cluster");
	not_given(&w.client, -EKEYREJECTED, "certificate is of another");
	X509_free(ca);
	EVP_PKEY_free(key);
}

static void test_false_server(void **state)
{
	EVP_PKEY *key = pki_key_new();
	X509 *ca = pki_ca_new(key, "t", pki_time());

	(void)state;
	new_client(credentials(ca, key, ca, 2, uuid, 1000));
	dial(1);
	not_given(&w.client, -EKEYREJECTED, "of another cluster");
	X509_free(ca);
	EVP_PKEY_free(key);
}

static void test_expired(void **state)
{
	(void)state;
	new_client(credentials(w.ca, w.ca_key, w.ca, 2, uuid, -60));
	dial(1);
	not_given(&w.server, -EKEYEXPIRED, "has expired");
	not_given(&w.client, -EKEYEXPIRED, "has expired");
}

static void test_other_namespace(void **state)
{
	(void)state;
	new_client(credentials(w.ca, w.ca_key, w.ca, 2,
			       (const uint8_t *)"another-namespac", 1000));
	dial(1);
	not_given(&w.server, -EKEYREJECTED, "no node of this namespace");
}

/* The client hears why, as on a link. */
static void test_removed(void **state)
{
	(void)state;
	w.server.admit = -EKEYREVOKED;
	dial(1);
	not_given(&w.server, -EKEYREVOKED, "told to refuse");
	not_given(&w.client, -EKEYREVOKED, "told to refuse");
}

static void test_wrong_node(void **state)
{
	(void)state;
	dial(3);
	not_given(&w.client, -EKEYREJECTED, "node 1 answers there");
	not_given(&w.server, -EKEYREJECTED, "not node 3");
}

/* One that takes none, such as an agent without volumes. */
static void test_not_taken(void **state)
{
	struct peer_ops ops = end_ops;

	(void)state;
	ops.data = NULL;
	w.server.set.ops = &ops;
	dial(1);
	not_given(&w.client, -EPROTO, "takes no connections for data");
	w.server.set.ops = &end_ops;
}

/* --- what is no orchd --- */

/* A client that is node 2. */
static struct raw_tls raw_node(void)
{
	struct raw_tls r = { .fd = raw() };

	r.ssl = peer_tls_session(w.client.set.tls, r.fd, false);
	assert_true(peer_tls_data(r.ssl));
	return r;
}

static void test_no_certificate(void **state)
{
	struct raw_tls r = raw_tls(TLS1_3_VERSION, "\x0d" PEER_ALPN_DATA);

	(void)state;
	assert_int_equal(raw_handshake(&r), 1);
	not_given(&w.server, -EACCES, "no certificate");
	raw_free(&r);
}

/* Nothing but its close_notify is expected of a client. */
static void test_garbage(void **state)
{
	struct raw_tls r = raw_node();
	size_t n;

	(void)state;
	assert_int_equal(raw_handshake(&r), 1);
	assert_int_equal(SSL_write_ex(r.ssl, "\x02\0\0\0\x08\1", 6, &n), 1);
	not_given(&w.server, -EBADMSG, "no bye");
	raw_free(&r);
	w.server.closes = 0;
	r = raw_node();
	assert_int_equal(raw_handshake(&r), 1);
	/* plain bytes without a close_notify before them */
	assert_int_equal(send(r.fd, "HELLO, server", 13, 0), 13);
	not_given(&w.server, -EPROTO, "");
	raw_free(&r);
}

/* Gone before it has said yes. */
static void test_half_way(void **state)
{
	struct raw_tls r = raw_node();

	(void)state;
	assert_int_equal(raw_handshake(&r), 1);
	assert_int_equal(w.server.set.nr_new, 1);
	raw_free(&r);
	not_given(&w.server, -ECONNRESET, "closed");
	assert_int_equal(w.server.set.nr_new, 0);
}

/* Or says nothing at all. */
static void test_silent(void **state)
{
	struct raw_tls r = raw_node();

	(void)state;
	assert_int_equal(raw_handshake(&r), 1);
	w.server.set.conns->deadline = peer_now();
	peer_tick(&w.server.set);
	not_given(&w.server, -ETIMEDOUT, "longer than 10 seconds");
	raw_free(&r);
}

/*
 * A client whose close_notify and first bytes come in one segment: the record
 * is OpenSSL's, the bytes are the kernel's, each of them.
 */
static void test_bytes_behind(void **state)
{
	static const char text[] = "ORCH and 40 more bytes that are no TLS";
	struct raw_tls r = raw_node();
	uint8_t buf[256];
	BIO *b = BIO_new(BIO_s_mem());
	int n;

	(void)state;
	assert_int_equal(raw_handshake(&r), 1);
	SSL_set0_wbio(r.ssl, b);
	assert_int_equal(SSL_shutdown(r.ssl), 0);	/* ours is said */
	n = BIO_read(b, buf, sizeof(buf));
	assert_in_range(n, 1, sizeof(buf) - sizeof(text));
	memcpy(buf + n, text, sizeof(text) - 1);
	n += (int)sizeof(text) - 1;
	assert_int_equal(send(r.fd, buf, (size_t)n, 0), n);
	until(&w.server.given, 1);
	receives(w.server.fd, text);
	raw_free(&r);
}

/* The other way round, and byte by byte. */
static void test_bytes_in_parts(void **state)
{
	struct raw_tls r = raw_node();
	BIO *b = BIO_new(BIO_s_mem());
	uint8_t buf[256];
	int n;

	(void)state;
	assert_int_equal(raw_handshake(&r), 1);
	SSL_set0_wbio(r.ssl, b);
	assert_int_equal(SSL_shutdown(r.ssl), 0);
	n = BIO_read(b, buf, sizeof(buf));
	for (int i = 0; i < n; i++) {
		assert_int_equal(w.server.given, 0);
		assert_int_equal(send(r.fd, buf + i, 1, 0), 1);
		settle();
	}
	assert_int_equal(w.server.given, 1);
	assert_int_equal(send(r.fd, "x", 1, 0), 1);
	receives(w.server.fd, "x");
	raw_free(&r);
}

/* --- a node whose kernel wants data --- */

#define FAMILY	0x25
#define GIVEN	16

static struct served sv;
static struct cluster cl;
static atomic_uint_fast64_t ahead;	/* ms */

static uint64_t test_clock(void)
{
	return now_ms() + atomic_load(&ahead);
}

/* What its kernel was given. */
static struct {
	unsigned int nr;
	uint32_t peer[GIVEN], seq[GIVEN];
	int fd[GIVEN];
} k;

int __wrap_channel_send(struct channel *ch, struct nl_msg *m, uint32_t *seq);
int __wrap_channel_send(struct channel *ch, struct nl_msg *m, uint32_t *seq)
{
	struct nlmsghdr *nlh = nlmsg_hdr(m);

	(void)ch;
	assert_int_equal(nl_cmd(nlh), ORCHFS_CMD_PEER_ADD);
	assert_true(k.nr < GIVEN);
	k.peer[k.nr] = nla_get_u32(nlmsg_find_attr(nlh, GENL_HDRLEN,
						   ORCHFS_A_MSG_PEER));
	k.fd[k.nr] = dup((int)nla_get_u32(nlmsg_find_attr(nlh, GENL_HDRLEN,
							  ORCHFS_A_MSG_FD)));
	assert_true(k.fd[k.nr] >= 0);
	k.nr++;
	*seq = k.seq[k.nr - 1] = k.nr;
	nlmsg_free(m);
	return 0;
}

/* The server's kernel has no use for them here. */
static void drop_data(struct peer_set *s, struct peer_conn *c, int fd)
{
	struct end *e = s->ctx;

	e->given++;
	e->node = c->node;
	close(fd);
}

static struct peer_ops server_ops;

static int dial_setup(void **state)
{
	struct pki_issue i = { .uuid = uuid, .node = 2, .name = "n" };
	struct ns_serial serial;

	setup(state);
	server_ops = end_ops;
	server_ops.data = drop_data;
	w.server.set.ops = &server_ops;
	memset(&k, 0, sizeof(k));
	memset(&sv, 0, sizeof(sv));
	memset(&cl, 0, sizeof(cl));
	pthread_mutex_init(&sv.lock, NULL);
	pthread_mutex_init(&cl.lock, NULL);
	assert_int_equal(work_queue_init(&sv.queue), 0);
	sv.ch.family = FAMILY;
	sv.agent = sv.attached = true;
	sv.cluster = &cl;
	strcpy(cl.ns, "t");
	memcpy(cl.uuid, uuid, 16);
	cl.node = 2;
	cl.authority = 1;
	address_text(&w.address, cl.address[0]);
	cl.nr_addresses = 1;
	cl.key = w.key;
	cl.ca = w.ca;
	i.ca = w.ca;
	i.ca_key = w.ca_key;
	i.key = w.key;
	i.now = pki_time();
	i.seconds = PKI_YEAR;
	cl.cert = pki_issue(&i, &serial);
	peer_clock = test_clock;
	assert_int_equal(data_start(&sv), 0);
	return data_attached(&sv);
}

static int dial_teardown(void **state)
{
	data_dial_stop(&sv);
	work_close(&sv.queue);
	work_run(&sv.queue);
	data_free(&sv);
	work_queue_destroy(&sv.queue);
	X509_free(cl.cert);
	for (unsigned int i = 0; i < k.nr; i++)
		close(k.fd[i]);
	return teardown(state);
}

static void turn(void)
{
	loop_turn(&w.loop, 10);
	work_run(&sv.queue);
}

static void until_given(unsigned int nr)
{
	while (k.nr < nr)
		turn();
}

static struct nl_msg *event(uint8_t cmd, uint32_t seq, uint32_t peer,
			    uint64_t connection)
{
	struct nl_msg *m = nlmsg_alloc_size(4096);

	assert_non_null(genlmsg_put(m, 0, seq, FAMILY, 0, 0, cmd, 1));
	nla_put_u32(m, ORCHFS_A_MSG_PEER, peer);
	if (connection)
		nla_put_u64(m, ORCHFS_A_MSG_CONNECTION, connection);
	return m;
}

static void tell(struct nl_msg *m)
{
	assert_true(data_event(&sv, nlmsg_hdr(m)));
	nlmsg_free(m);
}

static void want(uint32_t peer)
{
	tell(event(ORCHFS_CMD_PEER_WANT, 0, peer, 0));
}

/* The kernel takes the @i-th. */
static void take(unsigned int i, uint64_t connection)
{
	tell(event(ORCHFS_CMD_PEER_ADD, k.seq[i], k.peer[i], connection));
}

static void until_up(unsigned int up)
{
	struct data_peer_info p = { .up = UINT32_MAX };

	while (data_dial_info(&sv, &p, 1) != 1 || p.up != up)
		turn();
	assert_int_equal(p.node, 1);
	assert_string_equal(p.why, "");
}

static void until_why(const char *why)
{
	struct data_peer_info p;

	do {
		turn();
	} while (data_dial_info(&sv, &p, 1) != 1 || !strstr(p.why, why));
	assert_int_equal(p.up, 0);
}

/* Two, which are real; wanted again they are enough; one that ends is replaced. */
static void test_dial(void **state)
{
	(void)state;
	want(1);
	until_given(2);
	assert_int_equal(k.peer[0], 1);
	assert_int_equal(k.peer[1], 1);
	take(0, 11);
	want(1);
	take(1, 12);
	until_up(2);
	want(1);
	until(&w.server.given, 2);
	settle();
	assert_int_equal(w.server.given, 2);
	assert_int_equal(w.server.node, 2);
	tell(event(ORCHFS_CMD_PEER_GONE, 0, 1, 11));
	until_given(3);
	take(2, 13);
	until_up(2);
	/* of an earlier daemon: nobody waits for it, and it is known now */
	tell(event(ORCHFS_CMD_PEER_GONE, 0, 1, 7));
	until_up(2);
	assert_int_equal(k.nr, 3);
	/* wanted while there should be some: their ends were not heard */
	atomic_fetch_add(&ahead, 60000);
	want(1);
	until_given(5);
	take(3, 14);
	take(4, 15);
	until_up(2);
}

static void test_dial_refused(void **state)
{
	(void)state;
	w.server.admit = -EKEYREVOKED;
	want(1);
	until_why("told to refuse");
	assert_int_equal(k.nr, 0);
	w.server.admit = 0;
	until_given(2);
	take(0, 11);
	take(1, 12);
	until_up(2);
}

static void test_dial_kernel_refuses(void **state)
{
	struct nl_msg *m = nlmsg_alloc_size(4096);
	struct nlmsgerr e = { .error = -EMFILE };

	(void)state;
	want(1);
	until_given(1);
	memcpy(nlmsg_data(nlmsg_put(m, 0, k.seq[0], NLMSG_ERROR, sizeof(e),
				    NLM_F_CAPPED)), &e, sizeof(e));
	tell(m);
	until_why("kernel does not take it: Too many open files");
	until_given(3);
	/* nobody answers any more what was asked on a channel that is lost */
	data_lost(&sv);
	until_given(5);
}

static void test_dial_nowhere(void **state)
{
	struct data_peer_info p;

	(void)state;
	want(3);
	do {
		turn();
	} while (data_dial_info(&sv, &p, 1) != 1 || !*p.why);
	assert_int_equal(p.node, 3);
	assert_non_null(strstr(p.why, "serves no data"));
	assert_int_equal(w.server.given, 0);
}

#define dialler(f) cmocka_unit_test_setup_teardown(f, dial_setup, dial_teardown)
#define world(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token),
		world(test_handover),
		world(test_stranger),
		world(test_false_server),
		world(test_expired),
		world(test_other_namespace),
		world(test_removed),
		world(test_wrong_node),
		world(test_not_taken),
		world(test_no_certificate),
		world(test_garbage),
		world(test_half_way),
		world(test_silent),
		world(test_bytes_behind),
		world(test_bytes_in_parts),
		dialler(test_dial),
		dialler(test_dial_refused),
		dialler(test_dial_kernel_refuses),
		dialler(test_dial_nowhere),
	};

	signal(SIGPIPE, SIG_IGN);
	log_init(LOG_EMERG);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
