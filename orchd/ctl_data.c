// SPDX-License-Identifier: Apache-2.0
/* What status and node show tell of connections for data. */
#include <stdlib.h>

#include "arena.h"
#include "ctl.h"
#include "data.h"
#include "nl_serve.h"
#include "served.h"

#define LIST_MS		3000
#define CONNS_MAX	512	/* of a data server */
#define PEERS_MAX	64

typedef Orchfs__Control__DataConn data_conn;
typedef Orchfs__Control__DataPeer data_peer_msg;

struct list_job {
	struct job j;
	unsigned int volumes;
	size_t nr;
	struct nl_serve conn[CONNS_MAX];
};

static void list_entry(void *ctx, const struct nl_serve *s)
{
	struct list_job *l = ctx;

	if (s->volume)
		l->volumes++;
	else if (l->nr < CONNS_MAX)
		l->conn[l->nr++] = *s;
}

static int list_run(struct served *sv, struct job *j)
{
	struct list_job *l = container_of(j, struct list_job, j);
	int rc;

	if (!sv->data || !sv->attached)
		return 0;
	rc = data_list(sv, list_entry, l);
	channel_deferred(&sv->ch, attach_events(sv), sv);
	return rc;
}

static void fill_served(struct ctl_call *c, const struct list_job *l,
		       Orchfs__Control__DataInfo *d)
{
	data_conn *m;

	d->volumes = l->volumes;
	d->served = arena_zalloc(c->a, (l->nr + 1) * sizeof(*d->served));
	for (size_t i = 0; d->served && i < l->nr; i++) {
		const struct nl_serve *s = &l->conn[i];

		m = arena_zalloc(c->a, sizeof(*m));
		if (!m)
			break;
		orchfs__control__data_conn__init(m);
		m->node = s->peer;
		m->connection = s->connection;
		m->requests = s->requests;
		m->refused = s->refused;
		m->bytes_read = s->bytes_read;
		m->bytes_written = s->bytes_written;
		m->in_flight = s->in_flight;
		m->handles = s->handles;
		d->served[d->n_served++] = m;
	}
}

static void served(struct ctl_call *c, struct served *sv,
		   Orchfs__Control__DataInfo *d)
{
	struct list_job *l;

	if (served_hold_cluster(sv))
		return;
	l = job_new(sizeof(*l), list_run);
	if (l && !served_call(sv, &l->j, LIST_MS))
		fill_served(c, l, d);
	if (l)
		job_put(&l->j);
	served_release(sv);
}

static void used(struct ctl_call *c, struct served *sv,
		 Orchfs__Control__DataInfo *d)
{
	struct data_peer_info *p = calloc(PEERS_MAX, sizeof(*p));
	size_t nr = p ? data_dial_info(sv, p, PEERS_MAX) : 0;
	data_peer_msg *m;

	d->used = arena_zalloc(c->a, (nr + 1) * sizeof(*d->used));
	for (size_t i = 0; d->used && i < nr; i++) {
		m = arena_zalloc(c->a, sizeof(*m));
		if (!m)
			break;
		orchfs__control__data_peer__init(m);
		m->node = p[i].node;
		m->connections = p[i].up;
		m->problem = ctl_strdup(c, p[i].why);
		d->used[d->n_used++] = m;
	}
	free(p);
}

Orchfs__Control__DataInfo *ctl_data_info(struct ctl_call *c,
					 struct served *sv)
{
	Orchfs__Control__DataInfo *d = arena_zalloc(c->a, sizeof(*d));

	if (!d)
		return NULL;
	orchfs__control__data_info__init(d);
	served(c, sv, d);
	used(c, sv, d);
	return d;
}
