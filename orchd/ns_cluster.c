// SPDX-License-Identifier: Apache-2.0
/* Records of a cluster (S "cluster", K) and of its invitations (Q). */
#include "ns_cluster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ns_impl.h"

static const char counter[] = "node";

static struct key *cluster_key(struct key *k)
{
	return key_bytes(key_begin(k, 'S'), "cluster", 7);
}

static struct key *node_key(struct key *k, uint32_t number)
{
	return key_u32(key_begin(k, 'K'), number);
}

static struct key *invite_key(struct key *k, const uint8_t sha256[32])
{
	return key_bytes(key_begin(k, 'Q'), sha256, 32);
}

static void time_from(struct orchfs_time *to, const Orchfs__Store__Time *t)
{
	*to = (struct orchfs_time){ 0 };
	if (!t)
		return;
	to->sec = t->sec;
	to->nsec = t->nsec;
}

static int serial_from(struct ns_serial *to, ProtobufCBinaryData b)
{
	if (b.len > sizeof(to->b))
		return -EUCLEAN;
	to->len = b.len;
	if (b.len)
		memcpy(to->b, b.data, b.len);
	return 0;
}

const struct ns_cluster *ns_cluster(const struct ns *ns)
{
	return ns->cluster;
}

const struct ns_node *ns_nodes(const struct ns *ns, size_t *nr)
{
	*nr = ns->nr_nodes;
	return ns->nodes;
}

static bool serial_is(const struct ns_serial *a, const struct ns_serial *b)
{
	return a->len && a->len == b->len && !memcmp(a->b, b->b, a->len);
}

bool ns_node_known(const struct ns_node *n, const struct ns_serial *s)
{
	return serial_is(&n->serial, s) || serial_is(&n->old_serial, s);
}

static int load_cluster(struct ns *ns)
{
	Orchfs__Store__Cluster *m;
	struct store_key v;
	struct key k;
	void *p;
	int rc;

	rc = ns_get(ns, cluster_key(&k), &v);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	rc = record_unpack(ns->scratch, &orchfs__store__cluster__descriptor,
			   v, &p);
	if (rc)
		return rc;
	m = p;
	if (m->ca_sha256.len != 32 || !m->epoch || !m->authority)
		return -EUCLEAN;
	ns->cluster = calloc(1, sizeof(*ns->cluster));
	if (!ns->cluster)
		return -ENOMEM;
	memcpy(ns->cluster->ca_sha256, m->ca_sha256.data, 32);
	ns->cluster->epoch = m->epoch;
	ns->cluster->authority = m->authority;
	return 0;
}

static int decode_node(struct ns *ns, struct store_key k, struct store_key v,
		       struct ns_node *out)
{
	const uint8_t *b = k.p;
	Orchfs__Store__Node *m;
	void *p;
	int rc;

	if (k.len != 5)
		return -EUCLEAN;
	rc = record_unpack(ns->scratch, &orchfs__store__node__descriptor, v,
			   &p);
	if (rc)
		return rc;
	m = p;
	if (strlen(m->name) >= sizeof(out->name) ||
	    strlen(m->address) >= sizeof(out->address))
		return -EUCLEAN;
	*out = (struct ns_node){
		.number = (uint32_t)b[1] << 24 | (uint32_t)b[2] << 16 |
			  (uint32_t)b[3] << 8 | b[4],
		.removed = m->state != ORCHFS__STORE__NODE_STATE__NODE_IN,
	};
	out->lease_ms = m->lease_ms;
	out->awaited = m->lease_ms;
	strcpy(out->name, m->name);
	strcpy(out->address, m->address);
	time_from(&out->joined, m->joined);
	time_from(&out->removed_at, m->removed);
	rc = serial_from(&out->serial, m->serial);
	return rc ? rc : serial_from(&out->old_serial, m->old_serial);
}

static int grow_nodes(struct ns *ns)
{
	struct ns_node *p;

	p = realloc(ns->nodes, (ns->nr_nodes + 1) * sizeof(*p));
	if (!p)
		return -ENOMEM;
	ns->nodes = p;
	return 0;
}

int cluster_load(struct ns *ns)
{
	struct scan s;
	struct key k;
	int rc;

	rc = load_cluster(ns);
	if (!rc)
		rc = scan_begin(ns, &s, key_table(&k, 'K'));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		rc = grow_nodes(ns);
		if (!rc)
			rc = decode_node(ns, scan_key(&s), scan_value(&s),
					 &ns->nodes[ns->nr_nodes]);
		if (!rc)
			ns->awaited += ns->nodes[ns->nr_nodes++].awaited;
	}
	return scan_end(&s, rc);
}

void cluster_unload(struct ns *ns)
{
	free(ns->cluster);
	free(ns->nodes);
}

/* Into the transaction. */
static void node_put(struct txn *t, const struct ns_node *n)
{
	Orchfs__Store__Node m = ORCHFS__STORE__NODE__INIT;
	Orchfs__Store__Time joined = ORCHFS__STORE__TIME__INIT;
	Orchfs__Store__Time removed = ORCHFS__STORE__TIME__INIT;
	struct key k;

	joined.sec = n->joined.sec;
	joined.nsec = n->joined.nsec;
	removed.sec = n->removed_at.sec;
	removed.nsec = n->removed_at.nsec;
	m.change = t->seq;
	m.state = n->removed ? ORCHFS__STORE__NODE_STATE__NODE_REMOVED :
			       ORCHFS__STORE__NODE_STATE__NODE_IN;
	m.name = (char *)n->name;
	m.address = (char *)n->address;
	m.serial.data = (uint8_t *)n->serial.b;
	m.serial.len = n->serial.len;
	m.old_serial.data = (uint8_t *)n->old_serial.b;
	m.old_serial.len = n->old_serial.len;
	m.joined = &joined;
	m.lease_ms = n->lease_ms;
	m.removed = n->removed ? &removed : NULL;
	txn_put_msg(t, node_key(&k, n->number), &m.base);
}

static struct ns_node *node_find(struct ns *ns, uint32_t number)
{
	for (size_t i = 0; i < ns->nr_nodes; i++) {
		if (ns->nodes[i].number == number)
			return &ns->nodes[i];
	}
	return NULL;
}

/* What it holds is known from now on, or it holds nothing. */
void cluster_node_told(struct ns *ns, uint32_t number)
{
	struct ns_node *n = node_find(ns, number);

	if (!n || !n->awaited)
		return;
	n->awaited = false;
	ns->awaited--;
}

bool ns_awaits(const struct ns *ns)
{
	return ns->awaited;
}

/* See ns_asked(). NULL: no such node. */
bool *cluster_asks(struct ns *ns, uint32_t number)
{
	struct ns_node *n = number ? node_find(ns, number) : NULL;

	if (!number)
		return &ns->asks;
	return n ? &n->asks : NULL;
}

int ns_node_leases(struct ns *ns, uint32_t number, uint32_t lease_ms,
		   uint64_t *txn)
{
	struct ns_node *n = node_find(ns, number);
	struct ns_node after;
	struct txn t;
	int rc;

	*txn = 0;
	if (!n)
		return -ENOENT;
	if (n->lease_ms == lease_ms) {
		*txn = n->lease_txn;
		return 0;
	}
	after = *n;
	after.lease_ms = lease_ms;
	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	txn_urgent(&t);
	node_put(&t, &after);
	rc = lease_ms ? super_put_leases(ns) : 0;
	if (rc) {
		txn_abort(&t);
		return rc;
	}
	rc = txn_commit(&t, txn);
	if (rc)
		return rc;
	if (lease_ms && ns->format < NS_FORMAT_LEASES)
		ns->format = NS_FORMAT_LEASES;
	after.lease_txn = *txn;
	*n = after;
	return 0;
}

int ns_cluster_begin(struct ns *ns, const uint8_t ca_sha256[32],
		     const struct ns_node *first)
{
	Orchfs__Store__Cluster m = ORCHFS__STORE__CLUSTER__INIT;
	struct ns_cluster *c;
	struct txn t;
	struct key k;
	int rc;

	if (ns->cluster)
		return -EEXIST;
	arena_reset(ns->scratch);
	rc = grow_nodes(ns);
	if (rc)
		return rc;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	memcpy(c->ca_sha256, ca_sha256, 32);
	c->epoch = 1;
	c->authority = first->number;
	txn_begin(&t, ns);
	m.change = t.seq;
	m.ca_sha256.data = c->ca_sha256;
	m.ca_sha256.len = 32;
	m.epoch = c->epoch;
	m.authority = c->authority;
	txn_put_msg(&t, cluster_key(&k), &m.base);
	node_put(&t, first);
	rc = number_put_limit(ns, counter, first->number + 1);
	if (rc)
		txn_abort(&t);
	else
		rc = txn_commit(&t, NULL);
	if (rc) {
		free(c);
		return rc;
	}
	ns->cluster = c;
	ns->nodes[ns->nr_nodes++] = *first;
	return 0;
}

/* A request may have waited since before the node that asks was removed. */
static int check_asker(struct ns *ns, uint32_t by)
{
	const struct ns_node *n = node_find(ns, by);

	return n && !n->removed ? 0 : -EKEYREVOKED;
}

static void invite_put(struct txn *t, const uint8_t secret_sha256[32],
		       int64_t expires, uint32_t by, const struct ns_join *j,
		       uint32_t node)
{
	Orchfs__Store__Invitation m = ORCHFS__STORE__INVITATION__INIT;
	Orchfs__Store__Time time = ORCHFS__STORE__TIME__INIT;
	struct key k;

	time.sec = expires;
	m.change = t->seq;
	m.expires = &time;
	m.inviter = by;
	if (j) {
		m.node = node;
		m.key_sha256.data = (uint8_t *)j->key_sha256;
		m.key_sha256.len = sizeof(j->key_sha256);
	}
	txn_put_msg(t, invite_key(&k, secret_sha256), &m.base);
}

/* Which invitations that are open invites_walk() deletes. */
enum { OF_NOBODY = 0, OF_ALL = UINT32_MAX };

static bool made_by(const Orchfs__Store__Invitation *m, uint32_t of)
{
	return of == OF_ALL || (of != OF_NOBODY &&
				(m->inviter == of || !m->inviter));
}

/*
 * Into the transaction, if there is one: those that ended long ago go, and those
 * that node @of has made, or nobody knows who. @open: that were to be used.
 */
static int invites_walk(struct ns *ns, struct txn *t, uint32_t of,
			int64_t now, size_t *open)
{
	Orchfs__Store__Invitation *m;
	bool usable;
	struct scan s;
	struct key k;
	void *p;
	int rc;

	*open = 0;
	rc = scan_begin(ns, &s, key_table(&k, 'Q'));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		rc = record_unpack(ns->scratch,
				   &orchfs__store__invitation__descriptor,
				   scan_value(&s), &p);
		if (rc)
			break;
		m = p;
		usable = !m->node && m->expires && m->expires->sec > now;
		if (t && (!m->expires ||
			  m->expires->sec + NS_INVITE_KEEP < now ||
			  (usable && made_by(m, of))))
			store_del(t->b, scan_key(&s));
		*open += usable;
	}
	return scan_end(&s, rc);
}

int ns_invites_open(struct ns *ns, int64_t now, size_t *nr)
{
	arena_reset(ns->scratch);
	return invites_walk(ns, NULL, OF_NOBODY, now, nr);
}

int ns_invites_cancel(struct ns *ns, uint32_t by, int64_t now, size_t *nr)
{
	struct txn t;
	int rc;

	rc = check_asker(ns, by);
	if (rc)
		return rc;
	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	rc = invites_walk(ns, &t, OF_ALL, now, nr);
	if (!rc)
		return txn_commit(&t, NULL);
	txn_abort(&t);
	return rc;
}

int ns_invite(struct ns *ns, const uint8_t secret_sha256[32], uint32_t by,
	      int64_t now, int64_t expires)
{
	struct txn t;
	size_t open;
	int rc;

	if (!ns->cluster)
		return -ENOENT;
	rc = check_asker(ns, by);
	if (rc)
		return rc;
	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	rc = invites_walk(ns, &t, OF_NOBODY, now, &open);
	if (!rc && open >= NS_INVITES_MAX)
		rc = -ENOSPC;
	if (rc) {
		txn_abort(&t);
		return rc;
	}
	invite_put(&t, secret_sha256, expires, by, NULL, 0);
	return txn_commit(&t, NULL);
}

static int check_room(struct ns *ns, const char *name)
{
	size_t in = 0;

	for (size_t i = 0; i < ns->nr_nodes; i++) {
		if (ns->nodes[i].removed)
			continue;
		in++;
		if (!strcmp(ns->nodes[i].name, name))
			return -EEXIST;
	}
	return in < NS_NODES_MAX ? 0 : -ENOSPC;
}

/* *again: it has joined by this invitation, with this key. */
static int check_join(struct ns *ns, const struct ns_join *j, uint32_t *number,
		      int64_t *expires, uint32_t *inviter, bool *again)
{
	const struct ns_node *n;
	Orchfs__Store__Invitation *m;
	struct store_key v;
	uint64_t limit;
	struct key k;
	void *p;
	int rc;

	rc = ns_get(ns, invite_key(&k, j->secret_sha256), &v);
	if (!rc)
		rc = record_unpack(ns->scratch,
				   &orchfs__store__invitation__descriptor, v,
				   &p);
	if (rc)
		return rc;
	m = p;
	*expires = m->expires ? m->expires->sec : 0;
	*inviter = m->inviter;
	*again = m->node != 0;
	if (m->node) {
		n = node_find(ns, m->node);
		*number = m->node;
		return n && !n->removed && !strcmp(n->name, j->name) &&
		       m->key_sha256.len == 32 &&
		       !memcmp(m->key_sha256.data, j->key_sha256, 32) ?
			0 : -ESTALE;
	}
	if (*expires <= j->now)
		return -ETIME;
	rc = check_room(ns, j->name);
	if (!rc)
		rc = number_read_limit(ns, counter, &limit);
	if (!rc && limit > UINT32_MAX - 1)
		rc = -ENOSPC;
	*number = rc ? 0 : (uint32_t)limit;
	return rc;
}

int ns_invited(struct ns *ns, const uint8_t secret_sha256[32])
{
	struct store_key v;
	struct key k;

	arena_reset(ns->scratch);
	return ns_get(ns, invite_key(&k, secret_sha256), &v);
}

int ns_join_number(struct ns *ns, const struct ns_join *j, uint32_t *number)
{
	int64_t expires;
	uint32_t inviter;
	bool again;

	arena_reset(ns->scratch);
	return check_join(ns, j, number, &expires, &inviter, &again);
}

static int node_change(struct ns *ns, struct ns_node *old,
		       const struct ns_node *changed)
{
	struct txn t;
	size_t open;
	int rc = 0;

	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	if (changed->removed) {
		txn_urgent(&t);
		rc = invites_walk(ns, &t, changed->number,
				  changed->removed_at.sec, &open);
		if (!rc)
			rc = session_delete_all(&t, changed->number);
	}
	if (rc) {
		txn_abort(&t);
		return rc;
	}
	node_put(&t, changed);
	rc = txn_commit(&t, NULL);
	if (!rc)
		*old = *changed;
	return rc;
}

/*
 * The certificate of a node that comes again was lost, perhaps; the one before is
 * what it may be connected with.
 */
static int join_again(struct ns *ns, const struct ns_join *j, uint32_t number)
{
	struct ns_node *old = node_find(ns, number), n = *old;

	n.serial = j->serial;
	return node_change(ns, old, &n);
}

int ns_join(struct ns *ns, const struct ns_join *j, uint32_t *number)
{
	struct ns_node n = { .serial = j->serial, .joined.sec = j->now };
	uint32_t inviter;
	int64_t expires;
	struct txn t;
	bool again;
	int rc;

	arena_reset(ns->scratch);
	rc = check_join(ns, j, &n.number, &expires, &inviter, &again);
	if (!rc)
		*number = n.number;
	if (!rc && again)
		return join_again(ns, j, n.number);
	if (!rc)
		rc = grow_nodes(ns);
	if (rc)
		return rc;
	strcpy(n.name, j->name);
	strcpy(n.address, j->address);
	txn_begin(&t, ns);
	node_put(&t, &n);
	invite_put(&t, j->secret_sha256, expires, inviter, j, n.number);
	rc = number_put_limit(ns, counter, (uint64_t)n.number + 1);
	if (rc)
		txn_abort(&t);
	else
		rc = txn_commit(&t, NULL);
	if (!rc)
		ns->nodes[ns->nr_nodes++] = n;
	return rc;
}

int ns_node_renew(struct ns *ns, uint32_t number, const struct ns_serial *used,
		  const struct ns_serial *s)
{
	struct ns_node *old = node_find(ns, number), n;

	if (!old || old->removed)
		return -ENOENT;
	/* a restored record may be older than the authority's own certificate */
	if (number != ns->cluster->authority && !ns_node_known(old, used))
		return -EKEYREJECTED;
	n = *old;
	n.old_serial = *used;
	n.serial = *s;
	return node_change(ns, old, &n);
}

int ns_node_remove(struct ns *ns, uint32_t number, uint32_t by, int64_t now)
{
	struct ns_node *old = node_find(ns, number), n;
	int rc;

	rc = check_asker(ns, by);
	if (rc)
		return rc;
	if (!old)
		return -ENOENT;
	if (old->removed)
		return -EALREADY;
	if (number == ns->cluster->authority)
		return -EPERM;
	n = *old;
	n.removed = true;
	n.removed_at.sec = now;
	return node_change(ns, old, &n);
}
