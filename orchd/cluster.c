// SPDX-License-Identifier: Apache-2.0
/* A namespace's cluster: from its files to links, and its beginning. */
#include "cluster.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "arena.h"
#include "config.h"
#include "ctl.h"
#include "data.h"
#include "exec.h"
#include "log.h"
#include "peer.h"
#include "peer_conn.h"

#define CA_KEY		"ca.key"
#define CA_CRT		"ca.crt"
#define NODE_PEM	"node.pem"

static struct cluster *cluster_new(struct served *sv)
{
	struct cluster *cl = calloc(1, sizeof(*cl));

	if (!cl)
		return NULL;
	pthread_mutex_init(&cl->lock, NULL);
	cl->sv = sv;
	snprintf(cl->dir, sizeof(cl->dir), "%s/" CLUSTER_DIR, sv->dir);
	return cl;
}

static void cluster_free(struct cluster *cl)
{
	if (!cl)
		return;
	EVP_PKEY_free(cl->ca_key);
	EVP_PKEY_free(cl->key);
	X509_free(cl->ca);
	X509_free(cl->cert);
	free(cl->nodes);
	free(cl->data);
	pthread_mutex_destroy(&cl->lock);
	free(cl);
}

void cluster_set_problem(struct cluster *cl, const char *text)
{
	bool news;

	pthread_mutex_lock(&cl->lock);
	news = strcmp(cl->problem, text) != 0;
	snprintf(cl->problem, sizeof(cl->problem), "%s", text);
	pthread_mutex_unlock(&cl->lock);
	if (news && *text)
		log_warn(cl->ns, "cluster: %s", text);
}

void cluster_authority_text(struct cluster *cl, char *out, size_t len)
{
	snprintf(out, len, "node %u (%s%s%s)", cl->authority,
		 cl->authority_name, cl->nr_addresses ? ", at " : "",
		 cl->nr_addresses ? cl->address[0] : "");
}

static int read_file(struct cluster *cl, const char *name, EVP_PKEY **key,
		     X509 **cert, char *why, size_t len)
{
	int rc = pki_read(cl->dir, name, key, cert);

	if (rc < 0)
		snprintf(why, len, "%.300s/%s: %s: put a copy of it back, or "
			 "%s", cl->dir, name, rc == -EUCLEAN ? "damaged" :
			 strerror(-rc), cl->agent ? "join again with a new "
			 "token (orchctl node invite)" : "begin the cluster "
			 "anew on a new namespace");
	return rc;
}

static bool is_own(const struct cluster *cl, X509 *cert)
{
	uint32_t node;

	return !pki_identity(cert, cl->uuid, &node) && node == cl->node &&
	       X509_verify(cert, X509_get0_pubkey(cl->ca)) == 1;
}

static struct data_address *data_address(struct cluster *cl, uint32_t node)
{
	for (size_t i = 0; i < cl->nr_data; i++)
		if (cl->data[i].node == node)
			return &cl->data[i];
	return NULL;
}

int cluster_set_data_address(struct cluster *cl, uint32_t node,
			     const char *address)
{
	struct data_address *d;
	int rc = -ENOMEM;

	pthread_mutex_lock(&cl->lock);
	d = data_address(cl, node);
	if (!d) {
		d = realloc(cl->data, (cl->nr_data + 1) * sizeof(*d));
		if (!d)
			goto out;
		cl->data = d;
		d += cl->nr_data++;
		*d = (struct data_address){ .node = node };
	}
	rc = strcmp(d->address, address) != 0;
	snprintf(d->address, sizeof(d->address), "%s", address);
out:
	pthread_mutex_unlock(&cl->lock);
	return rc;
}

void cluster_listening(struct cluster *cl, char out[NS_NODE_ADDRESS])
{
	pthread_mutex_lock(&cl->lock);
	strcpy(out, cl->listening);
	pthread_mutex_unlock(&cl->lock);
}

void cluster_data_address(struct cluster *cl, uint32_t node,
			  char out[NS_NODE_ADDRESS])
{
	const struct data_address *d;

	*out = 0;
	pthread_mutex_lock(&cl->lock);
	for (size_t i = 0; i < cl->nr_nodes; i++)
		if (cl->nodes[i].number == node && !cl->nodes[i].removed)
			strcpy(out, cl->nodes[i].address);
	d = data_address(cl, node);
	if (d && *d->address)
		strcpy(out, d->address);
	pthread_mutex_unlock(&cl->lock);
}

struct peer_tls *cluster_tls(struct cluster *cl)
{
	struct peer_tls *t;

	pthread_mutex_lock(&cl->lock);
	t = peer_tls_new(cl->key, cl->cert, cl->ca, NULL);
	pthread_mutex_unlock(&cl->lock);
	return t;
}

/* Keys and certificates of an agent; they must be its own. */
static int read_keys(struct cluster *cl, char *why, size_t len)
{
	int rc;

	rc = read_file(cl, CA_CRT, NULL, &cl->ca, why, len);
	if (!rc)
		rc = read_file(cl, NODE_PEM, &cl->key, &cl->cert, why, len);
	if (rc < 0)
		return rc;
	if (is_own(cl, cl->cert))
		return 0;
	snprintf(why, len, "%.300s/" NODE_PEM " is of another node: put the "
		 "right one back", cl->dir);
	return -EKEYREJECTED;
}

/* The CA's key makes what is missing of the authority's own. */
static int issue_own(struct cluster *cl, struct ns *ns)
{
	struct pki_issue i = {
		.ca = cl->ca, .ca_key = cl->ca_key, .uuid = cl->uuid,
		.node = cl->node, .name = cl->name, .now = pki_time(),
		.seconds = PKI_YEAR,
	};
	struct ns_serial used = { .len = 0 }, serial;
	int rc;

	for (size_t n = 0; n < cl->nr_nodes; n++)
		if (cl->nodes[n].number == cl->node)
			used = cl->nodes[n].serial;
	cl->key = pki_key_new();
	i.key = cl->key;
	cl->cert = i.key ? pki_issue(&i, &serial) : NULL;
	rc = cl->cert ? ns_node_renew(ns, cl->node, &used, &serial) : -ENOMEM;
	if (!rc)
		rc = pki_write(cl->dir, NODE_PEM, cl->key, cl->cert);
	if (!rc)
		log_info(cl->ns, "the authority has a new key and certificate, "
			 "as %.300s/" NODE_PEM " was not its own", cl->dir);
	return rc;
}

static int read_ca(struct cluster *cl, const uint8_t sha256[32], char *why,
		   size_t len)
{
	uint8_t have[32];
	const char *bad = NULL;
	int rc;

	rc = read_file(cl, CA_CRT, NULL, &cl->ca, why, len);
	if (!rc)
		rc = read_file(cl, CA_KEY, &cl->ca_key, NULL, why, len);
	if (rc < 0)
		return rc;
	pki_fingerprint(cl->ca, have);
	if (memcmp(have, sha256, 32))
		bad = CA_CRT;
	else if (X509_check_private_key(cl->ca, cl->ca_key) != 1)
		bad = CA_KEY;
	if (!bad)
		return 0;
	snprintf(why, len, "%.300s/%s is of another cluster: put the right one "
		 "back", cl->dir, bad);
	return -EKEYREJECTED;
}

static int read_own(struct cluster *cl, struct ns *ns, char *why, size_t len)
{
	int rc = pki_read(cl->dir, NODE_PEM, &cl->key, &cl->cert);

	if (!rc && is_own(cl, cl->cert))
		return 0;
	if (rc && rc != -ENOENT && rc != -EUCLEAN) {
		snprintf(why, len, "%.300s/" NODE_PEM ": %s", cl->dir,
			 strerror(-rc));
		return rc;
	}
	EVP_PKEY_free(cl->key);
	X509_free(cl->cert);
	cl->key = NULL;
	cl->cert = NULL;
	rc = issue_own(cl, ns);
	if (rc < 0)
		snprintf(why, len, "%.300s/" NODE_PEM " was not made anew: %s",
			 cl->dir, strerror(-rc));
	return rc;
}

/* The authority: who it is, from the store. */
static int from_store(struct cluster *cl, struct ns *ns, char *why, size_t len)
{
	const struct ns_cluster *c = ns_cluster(ns);
	const struct ns_node *nodes;
	size_t nr;
	int rc;

	strcpy(cl->ns, ns_name(ns));
	memcpy(cl->uuid, ns_uuid(ns), 16);
	cl->incarnation = ns_incarnation(ns);
	cl->node = cl->authority = c->authority;
	cl->epoch = c->epoch;
	nodes = ns_nodes(ns, &nr);
	cl->nodes = calloc(nr + 1, sizeof(*nodes));
	if (!cl->nodes)
		return -ENOMEM;
	memcpy(cl->nodes, nodes, nr * sizeof(*nodes));
	cl->nr_nodes = nr;
	for (size_t i = 0; i < nr; i++) {
		if (nodes[i].number != c->authority)
			continue;
		strcpy(cl->name, nodes[i].name);
		strcpy(cl->authority_name, nodes[i].name);
		strcpy(cl->address[0], nodes[i].address);
		cl->nr_addresses = 1;
	}
	if (!cl->nr_addresses) {
		snprintf(why, len, "the authority has no record: run orchctl "
			 "fsck");
		return -EUCLEAN;
	}
	rc = read_ca(cl, c->ca_sha256, why, len);
	return rc ? rc : read_own(cl, ns, why, len);
}

static void start(struct served *sv, struct cluster *cl)
{
	int rc;

	memcpy(cl->boot_id, sv->boot_id, sizeof(cl->boot_id));
	if (sv->agent)
		cl->handler = &agent_handler;
	rc = peer_start(cl, &cl->peer);
	if (rc < 0)
		cluster_set_problem(cl, strerror(-rc));
}

void cluster_start(struct served *sv)
{
	char why[VOLUME_WHY] = "";
	struct cluster *cl = sv->cluster;
	int rc;

	if (!sv->agent) {
		if (!ns_cluster(sv->ns))
			return;
		/* what nodes may hold has an end, whatever the files are */
		rc = sessions_start(sv);
		cl = cluster_new(sv);
		if (!cl) {
			log_err(sv->name, "cluster: out of memory");
			return;
		}
		if (!rc)
			rc = from_store(cl, sv->ns, why, sizeof(why));
		cl->handler = &sessions_handler;
		if (rc < 0)
			cluster_set_problem(cl, *why ? why : strerror(-rc));
		else
			start(sv, cl);
		pthread_mutex_lock(&sv->lock);
		sv->cluster = cl;
		pthread_mutex_unlock(&sv->lock);
	} else {
		start(sv, cl);
	}
	if (data_start(sv) < 0)
		log_err(sv->name, "cluster: out of memory");
}

void cluster_stop(struct served *sv)
{
	struct cluster *cl;

	data_dial_stop(sv);
	pthread_mutex_lock(&sv->lock);
	cl = sv->cluster;
	sv->cluster = NULL;
	pthread_mutex_unlock(&sv->lock);
	if (cl && cl->peer)
		peer_stop(cl->peer);
	cluster_free(cl);
}

int cluster_agent(struct served *sv, char *why, size_t len)
{
	struct cluster *cl = cluster_new(sv);
	struct agent_file a;
	int rc;

	if (!cl)
		return -ENOMEM;
	rc = agent_file_read(cl->dir, &a);
	if (rc < 0) {
		snprintf(why, len, "%.300s/agent: %s: move the directory away "
			 "and join again with a new token", cl->dir,
			 rc == -EUCLEAN ? "damaged" : strerror(-rc));
		cluster_free(cl);
		return rc;
	}
	cl->agent = true;
	cl->incarnation = peer_now();	/* of this boot */
	strcpy(cl->ns, a.ns);
	memcpy(cl->uuid, a.uuid, 16);
	cl->node = a.node;
	strcpy(cl->name, a.name);
	cl->authority = a.authority;
	strcpy(cl->authority_name, a.authority_name);
	memcpy(cl->address, a.address, sizeof(cl->address));
	cl->nr_addresses = a.nr_addresses;
	strcpy(cl->listen, a.listen);
	cl->epoch = a.epoch;
	rc = read_keys(cl, why, len);
	if (!rc && served_claim(sv, cl->ns, cl->uuid) < 0) {
		rc = -EEXIST;
		snprintf(why, len, "%.300s is an agent's part of namespace "
			 "%s, which is served from another directory: remove "
			 "one of the two", sv->dir, cl->ns);
	}
	if (rc < 0) {
		cluster_free(cl);
		return rc;
	}
	pthread_mutex_lock(&sv->lock);
	sv->cluster = cl;
	pthread_mutex_unlock(&sv->lock);
	return 0;
}

int cluster_check(const char *listen, struct address *a, char *why, size_t len)
{
	char text[NS_NODE_ADDRESS];
	int one = 1, fd, rc = 0;

	if (address_parse(listen, a) < 0) {
		snprintf(why, len, "\"%.100s\" is no address: use one like "
			 "10.0.0.1, 10.0.0.1:7420 or [fd00::1]:7420", listen);
		return -EINVAL;
	}
	address_text(a, text);
	if (address_any(a)) {
		snprintf(why, len, "%s: name one address of this machine, by "
			 "which the other nodes reach it", text);
		return -EINVAL;
	}
	if (a->sa.ss_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(
	    &((const struct sockaddr_in6 *)&a->sa)->sin6_addr)) {
		snprintf(why, len, "%s is good on one link only: use another "
			 "address of this machine, such as one of fd00::/8 or "
			 "of IPv4", text);
		return -EINVAL;
	}
	fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&a->sa, a->len) < 0)
		rc = -errno;
	close(fd);
	if (rc < 0)
		snprintf(why, len, "cannot listen at %s: %s: use an address "
			 "of this machine and a free port", text,
			 strerror(-rc));
	return rc;
}

struct begin {
	uint8_t ca_sha256[32];
	struct ns_node first;
	EVP_PKEY *ca_key, *key;
	X509 *ca, *cert;
};

static int make_keys(struct begin *b, const char *ns, const uint8_t uuid[16])
{
	struct pki_issue i = {
		.uuid = uuid, .node = b->first.number, .name = b->first.name,
		.now = pki_time(), .seconds = PKI_YEAR,
	};

	b->ca_key = pki_key_new();
	b->key = pki_key_new();
	if (!b->ca_key || !b->key)
		return -ENOMEM;
	b->ca = pki_ca_new(b->ca_key, ns, i.now);
	if (!b->ca)
		return -ENOMEM;
	i.ca = b->ca;
	i.ca_key = b->ca_key;
	i.key = b->key;
	b->cert = pki_issue(&i, &b->first.serial);
	pki_fingerprint(b->ca, b->ca_sha256);
	return b->cert ? 0 : -ENOMEM;
}

/* A directory that is there is of an attempt that was cut short. */
static int write_keys(const struct begin *b, const char *store,
		      const char *dir)
{
	int rc;

	remove_tree(dir);
	if (mkdir(dir, 0700) < 0)
		return -errno;
	rc = pki_write(dir, CA_KEY, b->ca_key, NULL);
	if (!rc)
		rc = pki_write(dir, CA_CRT, NULL, b->ca);
	if (!rc)
		rc = pki_write(dir, NODE_PEM, b->key, b->cert);
	return rc ? rc : dir_sync(store);
}

struct begin_job {
	struct job j;
	struct begin *b;
	int rc;
};

/* In the namespace thread: it is a cluster's from here on. */
static int begin_run(struct served *sv, struct job *j)
{
	struct begin_job *bj = container_of(j, struct begin_job, j);
	char dir[4200];
	int rc;

	if (ns_cluster(sv->ns))
		return -EEXIST;
	snprintf(dir, sizeof(dir), "%s/" CLUSTER_DIR, sv->dir);
	rc = write_keys(bj->b, sv->dir, dir);
	if (!rc)
		rc = ns_cluster_begin(sv->ns, bj->b->ca_sha256,
				      &bj->b->first);
	if (!rc)
		rc = store_barrier(sv->st);
	if (!rc)
		cluster_start(sv);
	return rc;
}

int cluster_init(struct served *sv, const char *listen, const char *name,
		 char *why, size_t len)
{
	struct begin b = { .first.number = 1 };
	struct begin_job *j;
	struct address a;
	int rc;

	rc = cluster_check(listen, &a, why, len);
	if (rc < 0)
		return rc;
	snprintf(b.first.name, sizeof(b.first.name), "%s", name);
	address_text(&a, b.first.address);
	b.first.joined.sec = pki_time();
	rc = make_keys(&b, sv->name, sv->uuid);
	j = rc ? NULL : job_new(sizeof(*j), begin_run);
	if (j) {
		j->b = &b;
		rc = served_call(sv, &j->j, 0);
		job_put(&j->j);
	} else if (!rc) {
		rc = -ENOMEM;
	}
	EVP_PKEY_free(b.ca_key);
	EVP_PKEY_free(b.key);
	X509_free(b.ca);
	X509_free(b.cert);
	if (rc == -EEXIST)
		snprintf(why, len, "the namespace is a cluster's already: "
			 "orchctl node list");
	else if (rc < 0)
		snprintf(why, len, "the cluster was not made: %s",
			 strerror(-rc));
	return rc;
}

/* Here: what another node would get over its link. */
static int ask_here(struct cluster *cl, struct arena *a, const peer_frame *f,
		    peer_frame **out, char *why, size_t len)
{
	const struct cluster_from from = { .node = cl->node };
	peer_frame *r = arena_zalloc(a, sizeof(*r));
	bool recheck = false;
	int rc;

	if (!r)
		return -ENOMEM;
	orchfs__peer__frame__init(r);
	rc = cluster_op(cl, a, &from, f, r, &recheck, why, len);
	if (recheck)
		peer_recheck(cl->peer);
	*out = r;
	return rc;
}

static void *in_arena(void *a, size_t n)
{
	return arena_alloc(a, n);
}

static void not_alone(void *a, void *p)
{
	(void)a;
	(void)p;
}

int cluster_ask(struct cluster *cl, struct arena *a, peer_frame *f,
		peer_frame **out, char *why, size_t len)
{
	return cluster_ask_for(cl, a, f, CLUSTER_ASK_MS, out, why, len);
}

int cluster_ask_for(struct cluster *cl, struct arena *a, peer_frame *f,
		    uint32_t ms, peer_frame **out, char *why, size_t len)
{
	ProtobufCAllocator alloc = { in_arena, not_alone, a };
	peer_frame *r;
	uint8_t *buf;
	size_t n;
	int rc;

	if (!cl->peer) {
		pthread_mutex_lock(&cl->lock);
		snprintf(why, len, "%.500s", cl->problem);
		pthread_mutex_unlock(&cl->lock);
		return -ENOTCONN;
	}
	if (!cl->agent)
		return ask_here(cl, a, f, out, why, len);
	rc = peer_call(cl->peer, f, ms, &r, why, len);
	if (rc < 0)
		return rc;
	n = orchfs__peer__frame__get_packed_size(r);
	buf = arena_alloc(a, n);
	if (buf)
		orchfs__peer__frame__pack(r, buf);
	frame_free(r);
	*out = buf ? orchfs__peer__frame__unpack(&alloc, n, buf) : NULL;
	return *out ? 0 : -ENOMEM;
}
