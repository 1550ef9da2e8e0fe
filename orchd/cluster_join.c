// SPDX-License-Identifier: Apache-2.0
/* The joining side: a key, a request, the answer, the files. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cluster.h"
#include "peer_conn.h"
#include "work.h"

#define LOST_MS		30000	/* an answer that got lost is asked for again */
#define PAUSE_MS	1000	/* each so many */
#define TURN_MS		200

struct joining {
	const struct join_opts *o;
	struct peer_set set;
	struct loop loop;
	struct peer_wait wait;
	EVP_PKEY *key;
	uint8_t *csr;
	size_t csr_len;
	struct agent_file file;
	X509 *cert, *ca;
	uint64_t conn;			/* the one that counts */
	bool done, asked;
	bool ever_asked;		/* and perhaps recorded */
	int rc;			/* 0: joined */
	char *why;
	size_t len;
};

static void end(struct joining *j, int rc, const char *why)
{
	if (j->done)
		return;
	j->done = true;
	j->rc = rc;
	snprintf(j->why, j->len, "%s", why);
}

/*
 * Each node has a certificate that a server may have: one that was removed must
 * not get the secret.
 */
static int join_admit(struct peer_set *s, struct peer_conn *c, char *why,
		      size_t len)
{
	const struct joining *j = s->ctx;

	if (c->node == j->o->token->authority)
		return 0;
	snprintf(why, len, "node %u answers there, the token is one of node "
		 "%u: get a new token: orchctl node invite", c->node,
		 j->o->token->authority);
	return -EKEYREJECTED;
}

static int take_answer(struct joining *j, const Orchfs__Peer__Joined *m)
{
	uint8_t sha256[32];
	uint32_t node;

	j->cert = pki_from_der(m->certificate.data, m->certificate.len);
	j->ca = pki_from_der(m->ca.data, m->ca.len);
	if (!j->cert || !j->ca)
		return -EBADMSG;
	pki_fingerprint(j->ca, sha256);
	if (memcmp(sha256, j->o->token->ca_sha256, 32) ||
	    X509_verify(j->cert, X509_get0_pubkey(j->ca)) != 1 ||
	    X509_check_private_key(j->cert, j->key) != 1 ||
	    pki_identity(j->cert, j->o->token->uuid, &node) < 0 ||
	    node != m->node ||
	    m->authority != j->o->token->authority ||
	    strlen(m->authority_name) >= sizeof(j->file.authority_name))
		return -EKEYREJECTED;
	j->file.node = node;
	j->file.authority = m->authority;
	j->file.epoch = m->epoch;
	strcpy(j->file.authority_name, m->authority_name);
	return 0;
}

static void join_done(struct peer_wait *w, int rc, const char *why,
		      peer_frame *f)
{
	struct joining *j = container_of(w, struct joining, wait);

	if (rc < 0 || !f) {
		end(j, rc, why);
		return;
	}
	rc = f->body_case == PEER_BODY(JOINED) ? take_answer(j, f->joined) :
	     -EBADMSG;
	frame_free(f);
	end(j, rc, rc < 0 ? "its answer is not right: use the same release "
	    "of orchd on all nodes" : "");
}

static void join_up(struct peer_set *s, struct peer_conn *c)
{
	struct joining *j = s->ctx;
	Orchfs__Peer__Join m = ORCHFS__PEER__JOIN__INIT;
	peer_frame f = PEER_FRAME_INIT(JOIN);
	int rc;

	if (c->id != j->conn)
		return;
	m.secret.data = (uint8_t *)j->o->token->secret;
	m.secret.len = TOKEN_SECRET;
	m.csr.data = j->csr;
	m.csr.len = j->csr_len;
	m.name = (char *)j->o->name;
	m.address = (char *)j->o->address;
	f.join = &m;
	rc = peer_ask(c, &f, PEER_JOIN_MS, &j->wait);
	if (rc < 0)
		end(j, rc, strerror(-rc));
	else
		j->asked = j->ever_asked = true;
}

/* Nobody asks who has no number yet. */
static void join_request(struct peer_set *s, struct peer_conn *c,
			 peer_frame *f, size_t size)
{
	(void)s;
	(void)c;
	(void)size;
	frame_free(f);
}

static void join_closed(struct peer_set *s, struct peer_conn *c, int rc)
{
	struct joining *j = s->ctx;

	/* that of an earlier try may close later */
	if (c->id == j->conn)
		end(j, rc, c->why);
}

static void join_turned_away(struct peer_set *s, const char *address,
			     const char *why)
{
	(void)s;
	(void)address;
	(void)why;
}

static const struct peer_ops join_ops = {
	.admit = join_admit,
	.up = join_up,
	.request = join_request,
	.closed = join_closed,
	.turned_away = join_turned_away,
};

static bool stopped(struct joining *j, bool asked)
{
	return j->o->stop && j->o->stop(j->o->ctx, asked);
}

static int join_at(struct joining *j, const char *text)
{
	struct peer_conn *c;
	struct address a;
	int rc;

	j->conn = 0;
	j->done = j->asked = false;
	rc = address_parse(text, &a);
	if (!rc)
		rc = peer_dial(&j->set, &a);
	if (rc < 0)
		end(j, rc, strerror(-rc));
	else
		j->conn = j->set.next_id;
	while (!j->done) {
		loop_turn(&j->loop, TURN_MS);
		peer_tick(&j->set);
		if (stopped(j, j->asked))
			end(j, -ECANCELED, "orchd is stopping");
	}
	c = peer_find(&j->set, j->conn);
	if (c && j->rc)
		peer_end(c, -ESHUTDOWN, "it has given up");
	return j->rc;
}

/* The authority has spoken: another try would not change it. */
static bool answered(const struct joining *j)
{
	switch (j->rc) {
	case -ECONNRESET:
	case -ECONNREFUSED:
	case -ETIMEDOUT:
	case -ESHUTDOWN:
	case -EBUSY:
	case -EAGAIN:
	case -ENETUNREACH:
	case -EHOSTUNREACH:
	case -ECANCELED:
		return false;
	}
	return true;
}

/* Until the next try; the old connection may read its last words. */
static void rest(struct joining *j)
{
	uint64_t end = peer_now() + PAUSE_MS;

	while (peer_now() < end && !stopped(j, j->ever_asked)) {
		loop_turn(&j->loop, TURN_MS);
		peer_tick(&j->set);
	}
}

static void tell(struct joining *j, const char *address)
{
	char why[PEER_WHY];

	snprintf(why, sizeof(why), "%.400s", j->why);
	snprintf(j->why, j->len, "%s: %s%s%s%s", address, why,
		 j->rc == -ECONNRESET || j->rc == -ETIMEDOUT ? ": see that "
		 "orchd runs there and that this port can be reached" : "",
		 j->ever_asked && !answered(j) ? ". It was asked and the "
		 "answer got lost, so the node may be recorded: see orchctl "
		 "node list there, orchctl node remove " : "",
		 j->ever_asked && !answered(j) ? j->o->name : "");
}

/* Each address once; who was asked, again: only the answer may be lost. */
static int join_all(struct joining *j)
{
	const struct token *t = j->o->token;
	unsigned int n = t->nr_addresses;
	const char *at;
	uint64_t until = 0;
	int rc;

	for (unsigned int i = 0;; i++) {
		at = t->address[i % n];
		rc = join_at(j, at);
		if (!rc)
			return 0;
		if (answered(j) || rc == -ECANCELED)
			break;
		if (j->ever_asked && !until)
			until = peer_now() + LOST_MS;
		if (until ? peer_now() >= until : i + 1 >= n)
			break;
		if (until)
			rest(j);
	}
	tell(j, at);
	return rc;
}

static int write_files(struct joining *j)
{
	const struct token *t = j->o->token;
	char dir[4200];
	int rc;

	strcpy(j->file.ns, t->ns);
	memcpy(j->file.uuid, t->uuid, 16);
	snprintf(j->file.name, sizeof(j->file.name), "%s", j->o->name);
	snprintf(j->file.listen, sizeof(j->file.listen), "%s", j->o->address);
	memcpy(j->file.address, t->address, sizeof(t->address));
	j->file.nr_addresses = t->nr_addresses;
	snprintf(dir, sizeof(dir), "%s/" CLUSTER_DIR, j->o->dir);
	if (mkdir(dir, 0700) < 0)
		return -errno;
	rc = pki_write(dir, "ca.crt", NULL, j->ca);
	if (!rc)
		rc = pki_write(dir, "node.pem", j->key, j->cert);
	return rc ? rc : agent_file_write(dir, &j->file);
}

static int prepare(struct joining *j)
{
	j->key = pki_key_new();
	j->csr = j->key ? pki_csr_new(j->key, &j->csr_len) : NULL;
	j->set.tls = peer_tls_new(NULL, NULL, NULL, j->o->token->ca_sha256);
	if (!j->csr || !j->set.tls)
		return -ENOMEM;
	j->set.loop = &j->loop;
	j->set.ops = &join_ops;
	j->set.ctx = j;
	j->set.self.version_min = j->set.self.version_max = PEER_VERSION;
	memcpy(j->set.self.uuid, j->o->token->uuid, 16);
	j->wait.done = join_done;
	return loop_init(&j->loop);
}

int cluster_join(const struct join_opts *o, char *why, size_t len)
{
	struct joining j = {
		.o = o, .loop.epfd = -1, .why = why, .len = len,
	};
	int rc;

	rc = prepare(&j);
	if (!rc)
		rc = join_all(&j);
	if (!rc) {
		rc = write_files(&j);
		if (rc < 0)
			snprintf(why, len, "%.300s: %s: node %u is recorded "
				 "at the authority: remove it there before "
				 "it joins again", o->dir, strerror(-rc),
				 j.file.node);
	}
	j.done = true;
	peer_set_free(&j.set);
	peer_tls_put(j.set.tls);
	loop_destroy(&j.loop);
	EVP_PKEY_free(j.key);
	X509_free(j.cert);
	X509_free(j.ca);
	free(j.csr);
	return rc < 0 ? rc : (int)j.file.node;
}
