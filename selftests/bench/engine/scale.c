// SPDX-License-Identifier: Apache-2.0
/*
 * What an authority spends on its nodes, piece by piece: the inputs of
 * Documentation/scale.md. The table of leases, messages, TLS and what a node
 * tells when it attaches are the daemon's own; there is no network.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena.h"
#include "bench.h"
#include "lease.h"
#include "ns_cluster.h"
#include "op_wire.h"
#include "peer_tls.h"

#define NODES_MAX	1000U
#define ROWS		20000U	/* inodes that each node was told of */
#define COMMON		1U	/* an inode of which all were */
#define FIRST_OWN	1000U	/* of each node's own */
#define HANDLES		20000U
#define JOINED		20U	/* nodes of the cluster in the store */
#define LINKS		100U
#define RECORD		256	/* bytes of a message */
#define BIG		16384	/* and of a piece of a long one */
#define FOREVER		(1ULL << 60)

/* The best of some turns, each of that many calls. */
static void cost_row(const char *what, unsigned int nodes, uint64_t ns,
		     uint64_t calls)
{
	printf("cost %s %u %.1f\n", what, nodes, (double)ns / (double)calls);
	fflush(stdout);
}

struct best {
	uint64_t begin, least;
};

static void best_begin(struct best *b)
{
	b->begin = clock_cpu();
}

static void best_end(struct best *b)
{
	const uint64_t ns = clock_cpu() - b->begin;

	if (!b->least || ns < b->least)
		b->least = ns;
}

/* --- leases --- */

static uint64_t told[NODES_MAX + 2];		/* last message to each node */
static uint64_t messages;

static int lease_send(void *ctx, uint32_t node, uint64_t seq,
		      const struct op_stale *s, size_t nr)
{
	(void)ctx;
	(void)s;
	(void)nr;
	told[node] = seq;
	messages++;
	return 0;
}

static void lease_ready(void *ctx, struct lease_wait *w)
{
	(void)ctx;
	(void)w;
}

static void lease_over(void *ctx, uint32_t node)
{
	(void)ctx;
	die("the session of node %u has ended", node);
}

static const struct lease_ops lease_ops = {
	.send = lease_send, .ready = lease_ready, .ended = lease_over,
};

/* Node n's own inodes. */
static uint64_t own_ino(uint32_t node, uint64_t i)
{
	return FIRST_OWN + (uint64_t)node * (ROWS + 50000) + i;
}

static struct lease *lease_fill(unsigned int nodes)
{
	struct lease *l = lease_new(&lease_ops, NULL);

	if (!l)
		die("out of memory");
	for (uint32_t n = 1; n <= nodes; n++) {
		must(lease_attach(l, n, false, FOREVER), "attach");
		lease_up(l, n, FOREVER);
		lease_flush(l);
		lease_acked(l, n, told[n]);
		lease_told(l, n, COMMON);
		for (uint64_t i = 0; i < ROWS; i++)
			lease_told(l, n, own_ino(n, i));
	}
	return l;
}

/* A create of a node in its own directory, as exec.c and answer.c tell it. */
static void own_create(struct lease *l, uint32_t n, uint64_t i)
{
	const uint64_t dir = own_ino(n, 0), file = own_ino(n, ROWS + i);
	struct lease_wait w = { 0 };

	lease_told(l, n, dir);
	lease_told(l, n, file);
	lease_changed(l, n, dir, NULL, 1);
	lease_echo(l, n, dir);
	lease_flush(l);
	must(lease_wait_for(l, &w, n, dir), "wait");
	must(lease_wait_for(l, &w, n, file), "wait");
	lease_answer(l, &w);
	lease_sent(&w);
	lease_wait_drop(&w);
}

static void change_all(struct lease *l, unsigned int nodes)
{
	messages = 0;
	lease_changed(l, 0, COMMON, NULL, 1);
	lease_flush(l);
	if (messages != nodes)
		die("%llu messages to %u nodes", (unsigned long long)messages,
		    nodes);
	for (uint32_t n = 1; n <= nodes; n++)
		lease_acked(l, n, told[n]);
	for (uint32_t n = 1; n <= nodes; n++)
		lease_told(l, n, COMMON);
}

static void leases(unsigned int nodes)
{
	struct best create = { 0 }, all = { 0 }, renew = { 0 }, tell = { 0 };
	struct lease *l = lease_fill(nodes);
	uint64_t made = 0;

	for (uint32_t turn = 0; turn < 5; turn++) {
		const uint32_t n = mix(bench_seed, turn) % nodes + 1;

		best_begin(&tell);
		for (uint64_t i = 0; i < 1000; i++)
			lease_told(l, n, own_ino(NODES_MAX + 1 + turn, i));
		best_end(&tell);
		best_begin(&create);
		for (int i = 0; i < 1000; i++, made++)
			own_create(l, (uint32_t)(mix(bench_seed, made) %
						 nodes) + 1, made % 50000);
		best_end(&create);
		best_begin(&all);
		for (int i = 0; i < 20; i++)
			change_all(l, nodes);
		best_end(&all);
		best_begin(&renew);
		for (uint32_t i = 0; i < 1000; i++)
			must(lease_renew(l, i % nodes + 1, 0, FOREVER),
			     "renew");
		best_end(&renew);
	}
	cost_row("lease-told", nodes, tell.least, 1000);
	cost_row("lease-create", nodes, create.least, 1000);
	cost_row("lease-change-all", nodes, all.least, 20);
	cost_row("lease-renew", nodes, renew.least, 1000);
	lease_free(l);
}

/* --- messages --- */

static void wire(void)
{
	const struct op_req op = {
		.kind = ORCHFS_KIND_CREATE, .id = 1, .session = 7, .slot = 3,
		.sequence = 9, .node = 1234567, .mode = S_IFREG | 0644,
		.name = { "frame-00001234.exr", 18 },
		.now = { .sec = 1700000000, .nsec = 5 },
	};
	struct op_reply rep = {
		.txn = 1234567, .has_attr = true,
		.attr = { .ino = 7654321, .mode = S_IFREG | 0644, .nlink = 1 },
	};
	struct best take = { 0 }, give = { 0 };
	struct arena *a = arena_new();
	uint8_t buf[4096], out[4096];
	size_t len = orchfs__peer__op__pack(op_wire_op(a, &op), buf), outlen = 0;

	for (int turn = 0; turn < 5; turn++) {
		best_begin(&take);
		for (int i = 0; i < 10000; i++) {
			Orchfs__Peer__Op *m;
			struct op_req got;

			m = orchfs__peer__op__unpack(NULL, len, buf);
			must(m ? op_wire_get_op(m, &got) : -EPROTO, "request");
			orchfs__peer__op__free_unpacked(m, NULL);
		}
		best_end(&take);
		best_begin(&give);
		for (int i = 0; i < 10000; i++) {
			arena_reset(a);
			outlen = orchfs__peer__op_reply__pack(
				op_wire_reply(a, &rep), out);
		}
		best_end(&give);
	}
	cost_row("wire-request", 1, take.least, 10000);
	cost_row("wire-reply", 1, give.least, 10000);
	cost_row("bytes-request", 1, len, 1);
	cost_row("bytes-reply", 1, outlen, 1);
	arena_free(a);
}

/* --- TLS --- */

struct pki {
	EVP_PKEY *ca_key, *key;
	X509 *ca, *cert;
	struct peer_tls *tls;
};

static void pki_make(struct pki *p)
{
	static const uint8_t uuid[16] = "0123456789abcdef";
	const time_t now = pki_time();
	struct ns_serial serial;
	uint8_t sha256[32];

	p->ca_key = pki_key_new();
	p->key = pki_key_new();
	p->ca = p->ca_key ? pki_ca_new(p->ca_key, "bench", now) : NULL;
	if (!p->ca || !p->key)
		die("cannot make keys");
	pki_fingerprint(p->ca, sha256);
	p->cert = pki_issue(&(struct pki_issue){
		.ca = p->ca, .ca_key = p->ca_key, .key = p->key, .uuid = uuid,
		.node = 1, .name = "bench", .now = now, .seconds = PKI_YEAR,
	}, &serial);
	p->tls = p->cert ? peer_tls_new(p->key, p->cert, p->ca, sha256) : NULL;
	if (!p->tls)
		die("cannot make certificates");
}

static void pki_free(struct pki *p)
{
	peer_tls_put(p->tls);
	X509_free(p->cert);
	X509_free(p->ca);
	EVP_PKEY_free(p->key);
	EVP_PKEY_free(p->ca_key);
}

/* What the server's end takes of the handshake. */
static uint64_t handshake(SSL *server, SSL *client)
{
	uint64_t begin, ns = 0;
	int a = 0, b = 0;

	for (int i = 0; i < 20 && (a != 1 || b != 1); i++) {
		a = SSL_do_handshake(client);
		begin = clock_cpu();
		b = SSL_do_handshake(server);
		ns += clock_cpu() - begin;
	}
	if (a != 1 || b != 1)
		die("no handshake");
	return ns;
}

static void records(SSL *from, SSL *to, int size, const char *send,
		    const char *receive)
{
	struct best write = { 0 }, read = { 0 };
	uint8_t buf[BIG] = { 0 };

	for (int turn = 0; turn < 50; turn++) {
		best_begin(&write);
		for (int i = 0; i < 8; i++)
			if (SSL_write(from, buf, size) != size)
				die("cannot send");
		best_end(&write);
		best_begin(&read);
		for (int i = 0; i < 8; i++)
			if (SSL_read(to, buf, size) != size)
				die("cannot receive");
		best_end(&read);
	}
	cost_row(send, 1, write.least, 8);
	cost_row(receive, 1, read.least, 8);
}

static void links(void)
{
	SSL *server[LINKS], *client[LINKS];
	int fds[LINKS][2];
	uint64_t least = UINT64_MAX, before;
	struct pki p;

	pki_make(&p);
	before = resident();
	for (unsigned int i = 0; i < LINKS; i++) {
		uint64_t ns;

		must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK |
				SOCK_CLOEXEC, 0, fds[i]) ? -errno : 0,
		     "socketpair");
		server[i] = peer_tls_session(p.tls, fds[i][0], true);
		client[i] = peer_tls_session(p.tls, fds[i][1], false);
		if (!server[i] || !client[i])
			die("out of memory");
		SSL_set_accept_state(server[i]);
		SSL_set_connect_state(client[i]);
		ns = handshake(server[i], client[i]);
		if (ns < least)
			least = ns;
	}
	cost_row("tls-handshake", 1, least, 1);
	cost_row("tls-memory", 1, resident() - before, (uint64_t)2 * LINKS);
	records(client[0], server[0], RECORD, "tls-send", "tls-receive");
	records(client[0], server[0], BIG, "tls-send-16k", "tls-receive-16k");
	for (unsigned int i = 0; i < LINKS; i++) {
		SSL_free(server[i]);
		SSL_free(client[i]);
		close(fds[i][0]);
		close(fds[i][1]);
	}
	pki_free(&p);
}

/* --- what a node tells when it attaches --- */


/* Nodes that had leases when the authority ended. */
static void join(struct ns *ns)
{
	const struct ns_node first = { .number = 1, .name = "n1" };
	static const uint8_t ca[32] = { 1 };
	struct ns_join j = { .secret_sha256 = { 7 } };
	uint64_t txn;
	uint32_t n;

	must(ns_cluster_begin(ns, ca, &first), "cluster");
	for (unsigned int i = 2; i <= JOINED; i++) {
		j.secret_sha256[1] = j.key_sha256[1] = (uint8_t)i;
		snprintf(j.name, sizeof(j.name), "n%u", i);
		must(ns_invite(ns, j.secret_sha256, 1, 0, 9), "invite");
		must(ns_join(ns, &j, &n), "join");
		must(ns_node_leases(ns, n, 10000, &txn), "lease");
	}
}

/* Each node of @from..@to comes for the first time since the start. */
static uint64_t attach(struct ns *ns, uint32_t from, uint32_t to,
		       const struct ns_handle *h, size_t nr)
{
	struct best b = { 0 };

	for (uint32_t n = from; n <= to; n++) {
		const uint64_t session = n;

		best_begin(&b);
		must(ns_reconcile(ns, n, &session, 1, h, nr), "attach");
		best_end(&b);
	}
	return b.least;
}

/*
 * After a restart: nodes that hold nothing, those that hold much, and others
 * that hold nothing again, to see what they pay for the rest. One is missing.
 */
static void storm(struct ns *ns, const struct ns_handle *h)
{
	const uint64_t alone = attach(ns, 2, 6, NULL, 0);
	const uint64_t full = attach(ns, 7, 11, h, HANDLES);
	const uint64_t beside = attach(ns, 12, JOINED - 1, NULL, 0);

	cost_row("attach", 1, alone, 1);
	cost_row("attach-inode", 1, full - alone, HANDLES);
	cost_row("attach-other-inode", 1, beside > alone ? beside - alone : 0,
		 HANDLES);
}

static void handles(const struct ns_handle *h)
{
	struct ns_handle *got = must_alloc(OP_WIRE_HANDLES_MAX * sizeof(*got));
	struct arena *a = arena_new();
	Orchfs__Peer__Handles *m = op_wire_handles(a, h, 1000);
	size_t len = orchfs__peer__handles__get_packed_size(m), nr;
	uint8_t *buf = must_alloc(len);
	struct best take = { 0 };

	orchfs__peer__handles__pack(m, buf);
	for (int turn = 0; turn < 5; turn++) {
		best_begin(&take);
		m = orchfs__peer__handles__unpack(NULL, len, buf);
		must(m ? op_wire_get_handles(m, got, &nr) : -EPROTO,
		     "handles");
		orchfs__peer__handles__free_unpacked(m, NULL);
		best_end(&take);
	}
	cost_row("wire-inode", 1, take.least, 1000);
	cost_row("bytes-inode", 1, len, 1000);
	free(buf);
	free(got);
	arena_free(a);
}

static void reclaim(const char *dir)
{
	struct ns_handle *h = must_alloc(HANDLES * sizeof(*h));
	struct best create = { 0 };
	struct engine *e;
	struct tree t;

	e = engine_open("rocksdb", dir, true);
	join(e->sv.ns);
	best_begin(&create);
	tree_make(&t, e, HANDLES, true, NULL, NULL);
	best_end(&create);
	cost_row("create", 1, create.least, HANDLES);
	for (size_t i = 0; i < HANDLES; i++)
		h[i] = (struct ns_handle){ .ino = t.inos[i], .opens = 1,
			.generation = 1, .attr = { .ino = t.inos[i],
			.mode = S_IFREG | 0644, .nlink = 1 } };
	tree_free(&t);
	handles(h);
	engine_close(e);
	e = engine_open("rocksdb", dir, false);
	storm(e->sv.ns, h);
	engine_close(e);
	free(h);
}

void bench_scale(const struct bench_opts *o)
{
	char dir[4096];

	for (unsigned int nodes = 1; nodes <= NODES_MAX; nodes *= 10)
		leases(nodes);
	wire();
	links();
	snprintf(dir, sizeof(dir), "%s/scale", o->dir);
	reclaim(dir);
}
