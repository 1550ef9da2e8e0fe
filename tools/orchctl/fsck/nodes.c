// SPDX-License-Identifier: Apache-2.0
/* A cluster's records: itself, its nodes, invitations. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "orchctl.h"
#include "fsck.h"

struct nodes {
	uint32_t authority;	/* 0: the namespace is no cluster's */
	bool authority_in;
	char **names;		/* of those that are in */
	size_t nr, nr_names;
};

static void bad(struct fsck *f, const struct row *r, const char *what)
{
	problem(f, RULE_RECORD, 0, false,
		"a record of %s (key of %zu bytes) cannot be understood: restore from a backup, or report it",
		what, r->klen);
}

static void load_cluster(struct fsck *f, struct nodes *n)
{
	Orchfs__Store__Cluster *m;
	struct fkey k;
	size_t len;
	void *v;

	v = db_get(f, key_bytes(key_begin(&k, 'S'), "cluster", 7), &len);
	if (!v)
		return;
	m = orchfs__store__cluster__unpack(NULL, len, v);
	free(v);
	if (!m || !m->authority || !m->epoch || m->ca_sha256.len != 32)
		problem(f, RULE_NODE, 0, false,
			"the cluster's record is damaged: restore from a backup");
	if (!m)
		return;
	n->authority = m->authority;
	see_change(f, m->change);
	orchfs__store__cluster__free_unpacked(m, NULL);
}

static void name_once(struct fsck *f, struct nodes *n, uint32_t number,
		      const char *name)
{
	size_t i;

	for (i = 0; i < n->nr_names; i++)
		if (!strcmp(n->names[i], name))
			problem(f, RULE_NODE, 0, false,
				"node %" PRIu32 " has the name %s, which another one has: remove one of them with orchctl node remove NUMBER",
				number, name);
	n->names = grown(n->names, n->nr_names, sizeof(*n->names));
	n->names[n->nr_names++] = xasprintf("%s", name);
}

static void one_node(struct fsck *f, const struct row *r, struct nodes *n)
{
	Orchfs__Store__Node *m;
	uint32_t number;

	m = orchfs__store__node__unpack(NULL, r->vlen, r->val);
	if (!m || r->klen != 5 || m->serial.len > 20 ||
	    m->old_serial.len > 20) {
		bad(f, r, "a node");
	} else {
		number = get_be32(r->key + 1);
		n->nr++;
		see_change(f, m->change);
		if (number > f->max_node)
			f->max_node = number;
		if (m->state == ORCHFS__STORE__NODE_STATE__NODE_IN) {
			name_once(f, n, number, m->name);
			if (number == n->authority)
				n->authority_in = true;
		}
	}
	if (m)
		orchfs__store__node__free_unpacked(m, NULL);
}

static void one_invitation(struct fsck *f, const struct row *r)
{
	Orchfs__Store__Invitation *m;

	m = orchfs__store__invitation__unpack(NULL, r->vlen, r->val);
	if (!m || r->klen != 33)
		bad(f, r, "an invitation");
	else
		see_change(f, m->change);
	if (m)
		orchfs__store__invitation__free_unpacked(m, NULL);
}

void load_nodes(struct fsck *f)
{
	struct nodes n = { 0 };
	struct row r;

	load_cluster(f, &n);
	for (rows_table(f, &r, 'K'); rows_valid(&r); rows_next(&r))
		one_node(f, &r, &n);
	rows_end(f, &r);
	for (rows_table(f, &r, 'Q'); rows_valid(&r); rows_next(&r))
		one_invitation(f, &r);
	rows_end(f, &r);
	if (n.authority && !n.authority_in)
		problem(f, RULE_NODE, 0, false,
			"node %" PRIu32 ", the cluster's authority, has no record: restore from a backup",
			n.authority);
	if (n.nr && !n.authority)
		problem(f, RULE_NODE, 0, false,
			"there are %zu nodes, but no record of a cluster: restore from a backup",
			n.nr);
	while (n.nr_names)
		free(n.names[--n.nr_names]);
	free(n.names);
}
