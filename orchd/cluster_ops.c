// SPDX-License-Identifier: Apache-2.0
/*
 * What a node asks of the authority. Runs in a thread that may wait: orchd-peerop
 * for other nodes, a control thread for this one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "arena.h"
#include "cluster.h"
#include "config.h"
#include "home.h"
#include "log.h"
#include "peer.h"
#include "work.h"

struct op_ctx {
	struct cluster *cl;
	struct arena *a;
	const struct cluster_from *from;
	const peer_frame *f;
	peer_frame *out;
	bool *recheck;
	char *why;
	size_t len;
};

struct do_job {
	struct job j;
	struct cluster *cl;
	int (*fn)(struct ns *ns, void *arg);
	void *arg;
};

/* The copy that admits peers is as new as the store before anybody is told. */
static void use_nodes(struct cluster *cl, struct ns *ns, struct ns_node *copy)
{
	const struct ns_node *nodes;
	struct ns_node *old;
	size_t nr;

	nodes = ns_nodes(ns, &nr);
	memcpy(copy, nodes, nr * sizeof(*copy));
	pthread_mutex_lock(&cl->lock);
	old = cl->nodes;
	cl->nodes = copy;
	cl->nr_nodes = nr;
	pthread_mutex_unlock(&cl->lock);
	free(old);
}

/* What was committed can't fail any more: room for one more node before. */
static int do_run(struct served *sv, struct job *j)
{
	struct do_job *d = container_of(j, struct do_job, j);
	struct ns_node *copy;
	size_t nr;
	int rc;

	ns_nodes(sv->ns, &nr);
	copy = malloc((nr + 2) * sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	rc = d->fn(sv->ns, d->arg);
	if (rc)
		free(copy);
	else
		use_nodes(d->cl, sv->ns, copy);
	return rc;
}

int cluster_do(struct cluster *cl, int (*fn)(struct ns *ns, void *arg),
	       void *arg)
{
	struct served *sv = cl->sv;
	struct do_job *d;
	int rc;

	rc = served_hold(sv);
	if (rc < 0)
		return rc;
	d = job_new(sizeof(*d), do_run);
	rc = -ENOMEM;
	if (d) {
		d->cl = cl;
		d->fn = fn;
		d->arg = arg;
		rc = served_call(sv, &d->j, 0);
		job_put(&d->j);
	}
	if (!rc)
		rc = sync_wait(sv, atomic_load(&sv->last_txn));
	served_release(sv);
	return rc;
}

__attribute__((format(printf, 3, 4)))
static int say(struct op_ctx *c, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, c->len, fmt, ap);
	va_end(ap);
	return rc;
}

/* By the time that its request's turn came. */
static int revoked(struct op_ctx *c)
{
	return say(c, -EKEYREVOKED, "node %u is not in the cluster any more",
		   c->from->node);
}

static char *dup_text(struct op_ctx *c, const char *s)
{
	char *p = arena_dup(c->a, s, strlen(s));

	return p ? p : (char *)"";
}

static X509 *issue(struct cluster *cl, EVP_PKEY *key, uint32_t node,
		   const char *name, struct ns_serial *serial)
{
	const struct pki_issue i = {
		.ca = cl->ca, .ca_key = cl->ca_key, .key = key,
		.uuid = cl->uuid, .node = node, .name = name,
		.now = pki_time(), .seconds = PKI_YEAR,
	};

	return pki_issue(&i, serial);
}

static int put_cert(struct op_ctx *c, X509 *x, ProtobufCBinaryData *out)
{
	uint8_t *der = pki_der(x, &out->len);

	if (!der)
		return -ENOMEM;
	out->data = der;
	return arena_own(c->a, der);
}

/* --- join --- */

struct join {
	struct ns_join j;
	uint32_t number;
};

static int join_invited(struct ns *ns, void *arg)
{
	return ns_invited(ns, ((struct join *)arg)->j.secret_sha256);
}

static int join_number(struct ns *ns, void *arg)
{
	struct join *j = arg;

	return ns_join_number(ns, &j->j, &j->number);
}

static int join_record(struct ns *ns, void *arg)
{
	struct join *j = arg;
	uint32_t number;
	int rc = ns_join(ns, &j->j, &number);

	/* joins are done one after the other */
	return rc ? rc : number == j->number ? 0 : -EAGAIN;
}

static int join_refused(struct op_ctx *c, const struct join *j, int rc)
{
	switch (rc) {
	case -ENOENT:
		return say(c, rc, "the invitation is not known here: it is of "
			   "another cluster or long over. Get a new token: "
			   "orchctl node invite");
	case -ESTALE:
		return say(c, rc, "the token was used before, and works only "
			   "once. Get a new one: orchctl node invite");
	case -ETIME:
		return say(c, rc, "the token has expired. Get a new one: "
			   "orchctl node invite");
	case -EEXIST:
		return say(c, rc, "there is a node %s already: choose another "
			   "name with --node, or remove that one: orchctl "
			   "node remove %s", j->j.name, j->j.name);
	case -ENOSPC:
		return say(c, rc, "the cluster has %u nodes, which is the "
			   "most that there can be", NS_NODES_MAX);
	}
	return say(c, rc, "the node was not taken in: %s", strerror(-rc));
}

/* What costs comes last: anybody may ask. */
static int join_check(struct op_ctx *c, struct join *j, EVP_PKEY **key)
{
	const Orchfs__Peer__Join *m = c->f->join;
	struct address a;
	int rc;

	if (m->secret.len != TOKEN_SECRET || !config_name_valid(m->name))
		return say(c, -EINVAL, "\"%.64s\" is no name for a node: use "
			   "1 to 63 of A-Z a-z 0-9 . _ - and begin with none "
			   "of . -", m->name);
	if (*m->address && (strlen(m->address) >= NS_NODE_ADDRESS ||
			    address_parse(m->address, &a) < 0))
		return say(c, -EINVAL, "\"%.80s\" is no address: use one like "
			   "10.0.0.2", m->address);
	token_secret_hash(m->secret.data, j->j.secret_sha256);
	rc = cluster_do(c->cl, join_invited, j);
	if (rc < 0)
		return join_refused(c, j, rc);
	*key = pki_csr_key(m->csr.data, m->csr.len);
	if (!*key || pki_key_fingerprint(*key, j->j.key_sha256) < 0) {
		EVP_PKEY_free(*key);
		*key = NULL;
		return say(c, -EBADMSG, "the signing request is malformed: "
			   "use the same release of orchd on all nodes");
	}
	j->j.now = pki_time();
	strcpy(j->j.name, m->name);
	if (*m->address)
		strcpy(j->j.address, m->address);
	else if (!address_parse(c->from->address, &a))
		address_host(&a, j->j.address);
	return 0;
}

static int join_answer(struct op_ctx *c, const struct join *j, X509 *x)
{
	Orchfs__Peer__Joined *m = arena_zalloc(c->a, sizeof(*m));
	int rc;

	if (!m)
		return -ENOMEM;
	orchfs__peer__joined__init(m);
	m->node = j->number;
	m->authority = c->cl->node;
	m->authority_name = c->cl->name;
	m->epoch = c->cl->epoch;
	rc = put_cert(c, x, &m->certificate);
	if (!rc)
		rc = put_cert(c, c->cl->ca, &m->ca);
	c->out->body_case = PEER_BODY(JOINED);
	c->out->joined = m;
	return rc;
}

static int op_join(struct op_ctx *c)
{
	struct join j = { .number = 0 };
	EVP_PKEY *key = NULL;
	X509 *x = NULL;
	int rc;

	rc = join_check(c, &j, &key);
	if (rc < 0)
		return rc;
	rc = cluster_do(c->cl, join_number, &j);
	if (!rc) {
		x = issue(c->cl, key, j.number, j.j.name, &j.j.serial);
		rc = x ? 0 : -ENOMEM;
	}
	if (!rc)
		rc = cluster_do(c->cl, join_record, &j);
	if (rc < 0)
		rc = join_refused(c, &j, rc);
	else
		rc = join_answer(c, &j, x);
	if (!rc)
		log_info(c->cl->ns, "node %u (%s) has joined from %s",
			 j.number, j.j.name, c->from->address);
	X509_free(x);
	EVP_PKEY_free(key);
	return rc;
}

/* --- renew --- */

struct renew {
	uint32_t node;
	struct ns_serial used, serial;
};

static int renew_record(struct ns *ns, void *arg)
{
	struct renew *r = arg;

	return ns_node_renew(ns, r->node, &r->used, &r->serial);
}

/* Its name is in the record. */
static void name_of(struct cluster *cl, uint32_t node, char name[NS_NODE_NAME])
{
	strcpy(name, "?");
	pthread_mutex_lock(&cl->lock);
	for (size_t i = 0; i < cl->nr_nodes; i++)
		if (cl->nodes[i].number == node)
			strcpy(name, cl->nodes[i].name);
	pthread_mutex_unlock(&cl->lock);
}

static int renew(struct cluster *cl, uint32_t node,
		 const struct ns_serial *used, EVP_PKEY *key, X509 **out)
{
	struct renew r = { .node = node, .used = *used };
	char name[NS_NODE_NAME];
	int rc;

	name_of(cl, node, name);
	*out = issue(cl, key, node, name, &r.serial);
	if (!*out)
		return -ENOMEM;
	rc = cluster_do(cl, renew_record, &r);
	if (rc < 0) {
		X509_free(*out);
		*out = NULL;
	} else {
		log_info(cl->ns, "node %u (%s) has a new certificate", node,
			 name);
	}
	return rc;
}

static int op_renew(struct op_ctx *c)
{
	Orchfs__Peer__Renewed *m = arena_zalloc(c->a, sizeof(*m));
	EVP_PKEY *key;
	X509 *x;
	int rc;

	if (!m)
		return -ENOMEM;
	key = pki_csr_key(c->f->renew->csr.data, c->f->renew->csr.len);
	if (!key)
		return say(c, -EBADMSG, "the signing request is malformed");
	rc = renew(c->cl, c->from->node, &c->from->serial, key, &x);
	EVP_PKEY_free(key);
	if (rc < 0)
		return say(c, rc, "the certificate was not renewed: %s",
			   strerror(-rc));
	orchfs__peer__renewed__init(m);
	rc = put_cert(c, x, &m->certificate);
	X509_free(x);
	c->out->body_case = PEER_BODY(RENEWED);
	c->out->renewed = m;
	return rc;
}

/* The files first: a daemon that dies here comes up with the new pair. */
static int use_certificate(struct cluster *cl, EVP_PKEY *key, X509 *x)
{
	EVP_PKEY *old_key;
	uint32_t node;
	X509 *old;
	int rc;

	if (pki_identity(x, cl->uuid, &node) < 0 || node != cl->node ||
	    X509_check_private_key(x, key) != 1 ||
	    X509_verify(x, X509_get0_pubkey(cl->ca)) != 1)
		return -EKEYREJECTED;
	rc = pki_write(cl->dir, "node.pem", key, x);
	if (rc < 0)
		return rc;
	EVP_PKEY_up_ref(key);
	X509_up_ref(x);
	pthread_mutex_lock(&cl->lock);
	old_key = cl->key;
	old = cl->cert;
	cl->key = key;
	cl->cert = x;
	pthread_mutex_unlock(&cl->lock);
	EVP_PKEY_free(old_key);
	X509_free(old);
	return peer_new_tls(cl->peer);
}

static int renew_there(struct cluster *cl, EVP_PKEY *key, X509 **x, char *why,
		       size_t len)
{
	Orchfs__Peer__Renew m = ORCHFS__PEER__RENEW__INIT;
	peer_frame f = PEER_FRAME_INIT(RENEW), *r;
	int rc;

	m.csr.data = pki_csr_new(key, &m.csr.len);
	if (!m.csr.data)
		return -ENOMEM;
	f.renew = &m;
	rc = peer_call(cl->peer, &f, CLUSTER_ASK_MS, &r, why, len);
	free(m.csr.data);
	if (rc < 0)
		return rc;
	if (r->body_case == PEER_BODY(RENEWED))
		*x = pki_from_der(r->renewed->certificate.data,
				  r->renewed->certificate.len);
	frame_free(r);
	return *x ? 0 : -EBADMSG;
}

void cluster_renew(struct cluster *cl)
{
	char why[VOLUME_WHY] = "";
	EVP_PKEY *key;
	struct ns_serial used;
	X509 *x = NULL;
	bool due;
	int rc;

	pthread_mutex_lock(&cl->lock);
	due = pki_renew_due(cl->cert, pki_time());
	rc = pki_serial(cl->cert, &used);
	pthread_mutex_unlock(&cl->lock);
	if (!due)
		return;
	key = pki_key_new();
	if (!rc && !key)
		rc = -ENOMEM;
	if (!rc)
		rc = cl->agent ? renew_there(cl, key, &x, why, sizeof(why)) :
				 renew(cl, cl->node, &used, key, &x);
	if (!rc)
		rc = use_certificate(cl, key, x);
	if (rc < 0)
		log_warn(cl->ns, "this node's certificate was not renewed: "
			 "%s: tried again", *why ? why : strerror(-rc));
	else
		log_info(cl->ns, "this node's certificate was renewed");
	X509_free(x);
	EVP_PKEY_free(key);
}

/* --- nodes --- */

static Orchfs__Peer__NodeInfo *node_info(struct op_ctx *c,
					 const struct ns_node *n)
{
	Orchfs__Peer__NodeInfo *i = arena_zalloc(c->a, sizeof(*i));
	struct peer_link link;

	if (!i)
		return NULL;
	orchfs__peer__node_info__init(i);
	i->number = n->number;
	i->name = dup_text(c, n->name);
	i->address = dup_text(c, n->address);
	i->removed = n->removed;
	i->authority = n->number == c->cl->node;
	i->serial.data = arena_dup(c->a, n->serial.b, n->serial.len);
	i->serial.len = i->serial.data ? n->serial.len : 0;
	i->joined = n->joined.sec;
	i->removed_at = n->removed_at.sec;
	if (!i->authority) {
		peer_link(c->cl->peer, n->number, &link);
		i->connected = link.up;
		i->since = link.since;
	}
	return i;
}

static bool node_is(const struct ns_node *n, const char *text)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", n->number);
	return !strcmp(text, number) || (!n->removed && !strcmp(text, n->name));
}

/* @text: NULL for all that are in. */
static int nodes(struct op_ctx *c, const char *text)
{
	struct cluster *cl = c->cl;
	Orchfs__Peer__Nodes *m = arena_zalloc(c->a, sizeof(*m));
	struct ns_node *copy;
	size_t nr = 0;

	pthread_mutex_lock(&cl->lock);
	copy = arena_alloc(c->a, (cl->nr_nodes + 1) * sizeof(*copy));
	for (size_t i = 0; copy && i < cl->nr_nodes; i++)
		if (text ? node_is(&cl->nodes[i], text) :
			   !cl->nodes[i].removed)
			copy[nr++] = cl->nodes[i];
	pthread_mutex_unlock(&cl->lock);
	if (!m || !copy)
		return -ENOMEM;
	if (text && !nr)
		return say(c, -ENOENT, "there is no node %.64s: orchctl node "
			   "list shows those that there are", text);
	orchfs__peer__nodes__init(m);
	m->node = arena_zalloc(c->a, (nr + 1) * sizeof(*m->node));
	for (size_t i = 0; m->node && i < nr; i++) {
		m->node[m->n_node] = node_info(c, &copy[i]);
		if (m->node[m->n_node])
			m->n_node++;
	}
	c->out->body_case = PEER_BODY(NODES);
	c->out->nodes = m;
	return m->n_node == nr ? 0 : -ENOMEM;
}

struct open_invites {
	size_t nr;
};

static int invites_open(struct ns *ns, void *arg)
{
	return ns_invites_open(ns, pki_time(),
			       &((struct open_invites *)arg)->nr);
}

static int op_node_list(struct op_ctx *c)
{
	struct open_invites open;
	int rc;

	rc = nodes(c, NULL);
	if (!rc)
		rc = cluster_do(c->cl, invites_open, &open);
	if (!rc)
		c->out->nodes->invitations = (uint32_t)open.nr;
	return rc;
}

static int op_node_show(struct op_ctx *c)
{
	return nodes(c, c->f->node_show->node);
}

struct removal {
	uint32_t number, by;
};

static int remove_record(struct ns *ns, void *arg)
{
	const struct removal *r = arg;

	return ns_node_remove(ns, r->number, r->by, pki_time());
}

/*
 * Of any cluster: what one removal finds on the node's volumes, the end of
 * another would make untrue.
 */
static pthread_mutex_t removals = PTHREAD_MUTEX_INITIALIZER;

static int remove_locked(struct op_ctx *c, uint32_t number)
{
	struct removal r = { .by = c->from->node, .number = number };
	bool check = !c->f->node_remove->accept_loss;
	int rc = 0;

	if (check)
		rc = home_leave_check(c->cl->sv, number, c->why, c->len);
	if (rc < 0)
		return rc;
	rc = cluster_do(c->cl, remove_record, &r);
	if (rc < 0 && check)
		home_stay(c->cl->sv, number);
	if (rc == -EKEYREVOKED)
		return revoked(c);
	if (rc == -EPERM)
		return say(c, rc, "node %u is the authority of the cluster "
			   "and cannot be removed", number);
	if (rc == -EALREADY)
		return say(c, rc, "node %u was removed before", number);
	if (rc < 0)
		return say(c, rc, "node %u was not removed: %s", number,
			   strerror(-rc));
	*c->recheck = true;
	home_leave(c->cl->sv, number);
	return 0;
}

static int op_node_remove(struct op_ctx *c)
{
	const char *text = c->f->node_remove->node;
	uint32_t number;
	int rc;

	rc = nodes(c, text);
	if (rc < 0)
		return rc;
	number = c->out->nodes->node[0]->number;
	if (c->out->nodes->n_node > 1)
		return say(c, -EINVAL, "%.64s is the name of one node and the "
			   "number of another: use the number of the first, or "
			   "the name of the second", text);
	pthread_mutex_lock(&removals);
	rc = remove_locked(c, number);
	pthread_mutex_unlock(&removals);
	if (!rc)
		log_info(c->cl->ns, "node %u (%s) was removed, asked by node "
			 "%u", number, c->out->nodes->node[0]->name,
			 c->from->node);
	return rc;
}

/* --- invite --- */

struct invite {
	uint8_t sha256[32];
	uint32_t by;
	int64_t now, expires;
	size_t nr;
};

static int invite_record(struct ns *ns, void *arg)
{
	const struct invite *i = arg;

	return ns_invite(ns, i->sha256, i->by, i->now, i->expires);
}

static int invite_cancel(struct ns *ns, void *arg)
{
	struct invite *i = arg;

	return ns_invites_cancel(ns, i->by, i->now, &i->nr);
}

static int op_invite_cancel(struct op_ctx *c)
{
	Orchfs__Peer__Cancelled *m = arena_zalloc(c->a, sizeof(*m));
	struct invite i = { .by = c->from->node, .now = pki_time() };
	int rc;

	if (!m)
		return -ENOMEM;
	rc = cluster_do(c->cl, invite_cancel, &i);
	if (rc == -EKEYREVOKED)
		return revoked(c);
	if (rc < 0)
		return say(c, rc, "the invitations were not cancelled: %s",
			   strerror(-rc));
	log_info(c->cl->ns, "%zu invitations were cancelled, asked by node %u",
		 i.nr, c->from->node);
	orchfs__peer__cancelled__init(m);
	m->invitations = (uint32_t)i.nr;
	c->out->body_case = PEER_BODY(CANCELLED);
	c->out->cancelled = m;
	return 0;
}

static int op_invite(struct op_ctx *c)
{
	Orchfs__Peer__Invited *m = arena_zalloc(c->a, sizeof(*m));
	struct token t = {
		.authority = c->cl->node,
		.nr_addresses = c->cl->nr_addresses,
	};
	uint32_t valid = c->f->invite->valid;
	struct invite i = { .by = c->from->node };
	char text[TOKEN_MAX];
	int rc;

	if (!m)
		return -ENOMEM;
	valid = valid ? valid : CLUSTER_VALID;
	if (valid > CLUSTER_VALID_MAX)
		return say(c, -EINVAL, "a token is valid for 30 days at most");
	if (RAND_bytes(t.secret, sizeof(t.secret)) != 1)
		return -EIO;
	token_secret_hash(t.secret, i.sha256);
	i.now = pki_time();
	i.expires = t.expires = i.now + valid;
	rc = cluster_do(c->cl, invite_record, &i);
	if (rc == -EKEYREVOKED)
		return revoked(c);
	if (rc == -ENOSPC)
		return say(c, rc, "there are %d invitations that nobody has "
			   "used: use one of these, or cancel them all: "
			   "orchctl node invite --cancel-all",
			   NS_INVITES_MAX);
	if (rc < 0)
		return say(c, rc, "the invitation was not stored: %s",
			   strerror(-rc));
	strcpy(t.ns, c->cl->ns);
	memcpy(t.uuid, c->cl->uuid, 16);
	pki_fingerprint(c->cl->ca, t.ca_sha256);
	memcpy(t.address, c->cl->address, sizeof(t.address));
	rc = token_text(&t, text);
	OPENSSL_cleanse(&t, sizeof(t));
	orchfs__peer__invited__init(m);
	m->token = dup_text(c, text);
	m->expires = i.expires;
	c->out->body_case = PEER_BODY(INVITED);
	c->out->invited = m;
	return rc;
}

static const struct {
	Orchfs__Peer__Frame__BodyCase body;
	int (*run)(struct op_ctx *c);
} ops[] = {
	{ PEER_BODY(JOIN), op_join },
	{ PEER_BODY(RENEW), op_renew },
	{ PEER_BODY(NODE_LIST), op_node_list },
	{ PEER_BODY(NODE_SHOW), op_node_show },
	{ PEER_BODY(NODE_REMOVE), op_node_remove },
	{ PEER_BODY(INVITE), op_invite },
	{ PEER_BODY(INVITE_CANCEL), op_invite_cancel },
};

int cluster_op(struct cluster *cl, struct arena *a,
	       const struct cluster_from *from, const peer_frame *f,
	       peer_frame *out, bool *recheck, char *why, size_t len)
{
	struct op_ctx c = {
		.cl = cl, .a = a, .from = from, .f = f, .out = out,
	 .recheck = recheck, .why = why, .len = len,
	};

	if (cl->agent)
		return say(&c, -EPERM, "node %u is not the authority",
			   cl->node);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (ops[i].body == f->body_case)
			return ops[i].run(&c);
	return say(&c, -EOPNOTSUPP, "unknown request: upgrade orchd on the "
		   "authority");
}
