// SPDX-License-Identifier: Apache-2.0
/*
 * Homes of volumes: nodes with a session, what they are told when that is up,
 * and questions to them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "cluster.h"
#include "exec.h"
#include "data.h"
#include "home_impl.h"
#include "log.h"

#define PENDING_MS	10000	/* a create waits so long for its node's pool */

/* --- homes --- */

struct home *home_find(const struct served *sv, uint32_t node)
{
	struct home *h = sv->homes ? sv->homes->list : NULL;

	while (h && h->node != node)
		h = h->next;
	return h;
}

static struct home *home_get(struct served *sv, uint32_t node)
{
	struct home *h = home_find(sv, node);

	if (h || !sv->homes)
		return h;
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->node = node;
	h->rekey = true;
	h->next = sv->homes->list;
	sv->homes->list = h;
	return h;
}

bool home_linked(const struct served *sv, uint32_t node)
{
	const struct home *h = home_find(sv, node);

	return h && h->link;
}

uint64_t home_questions(const struct served *sv, uint32_t node)
{
	const struct home *h = home_find(sv, node);

	return h ? h->questions : 0;
}

bool home_session(const struct served *sv, uint32_t node)
{
	struct lease_info i;

	return sv->lease && !lease_info(sv->lease, node, &i);
}

bool home_pending(const struct served *sv, uint32_t node)
{
	const struct home *h = home_find(sv, node);
	const struct volume *v;

	if (!h || !h->link || now_ms() >= h->up_at + PENDING_MS)
		return false;
	for (v = sv->volumes; v; v = v->next)
		if (v->rec.home == node && !v->removing && !v->rec.draining &&
		    (!v->tried || (volume_online(v) && v->owes_look)))
			return true;
	return false;
}

/* --- questions --- */

static void ask_done(struct peer_question *q, int rc, const char *why,
		     peer_frame *f)
{
	struct home_ask *a = container_of(q, struct home_ask, q);
	struct served *sv = a->sv;
	const struct home *h = home_find(sv, a->node);

	(void)why;
	if (!rc && (int)f->body_case != a->body)
		rc = -EPROTO;
	if (rc == -EPROTO && h && h->link == a->link)
		home_refused(sv, a, "an answer that is none");
	a->done(sv, a, rc, rc ? NULL : f);
	frame_free(f);
	free(a);
}

int home_ask(struct served *sv, uint32_t node, peer_frame *f, int body,
	     struct home_ask *a)
{
	struct peer *p = sv->cluster ? sv->cluster->peer : NULL;
	struct home *h = home_find(sv, node);

	if (!p || !h || !h->link)
		return -ENOTCONN;
	h->questions++;
	a->q.done = ask_done;
	a->sv = sv;
	a->node = node;
	a->link = h->link;
	a->body = body;
	return peer_send(p, h->link, f, a->ms ? a->ms : HOME_ASK_MS, &a->q);
}

void home_refused(struct served *sv, struct home_ask *a, const char *why)
{
	struct peer *p = sv->cluster ? sv->cluster->peer : NULL;

	log_warn(sv->name, "node %u, asked about its volumes: %s", a->node,
		 why);
	if (p)
		peer_drop(p, a->link, -EPROTO, why);
}

static struct orchfs_time time_of(int64_t sec, uint32_t nsec)
{
	return (struct orchfs_time){ .sec = sec, .nsec = nsec % 1000000000 };
}

/* Whatever a node says of its files, a record can be made of it. */
void home_read_stat(const Orchfs__Peer__Stat *m, struct ns_backing_stat *s)
{
	*s = (struct ns_backing_stat){
		.size = m->size < INT64_MAX ? m->size : INT64_MAX,
		.blocks = m->blocks < INT64_MAX / 512 ? m->blocks :
			  INT64_MAX / 512,
		.mtime = time_of(m->mtime, m->mtime_nsec),
		.ctime = time_of(m->ctime, m->ctime_nsec),
	};
}

/* --- what all nodes are to know of each other --- */

static void sum(uint64_t *h, const void *p, size_t len)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < len; i++)
		*h = (*h ^ b[i]) * 0x100000001b3ULL;
}

/* Of all that they are told; never 0. */
static uint64_t peers_sum(struct served *sv)
{
	uint64_t h = 0xcbf29ce484222325ULL;
	char address[NS_NODE_ADDRESS];
	const struct ns_node *n;
	size_t nr;

	n = ns_nodes(sv->ns, &nr);
	for (size_t i = 0; i < nr; i++) {
		cluster_data_address(sv->cluster, n[i].number, address);
		sum(&h, &n[i].number, sizeof(n[i].number));
		sum(&h, &n[i].removed, sizeof(n[i].removed));
		sum(&h, address, strlen(address));
		sum(&h, n[i].serial.b, n[i].serial.len);
		sum(&h, n[i].old_serial.b, n[i].old_serial.len);
	}
	return h | 1;
}

static char *dup_text(struct arena *a, const char *s)
{
	char *p = arena_dup(a, s, strlen(s));

	return p ? p : (char *)"";
}

static Orchfs__Peer__NodeInfo *peer_info(struct served *sv, struct arena *a,
					 const struct ns_node *n)
{
	Orchfs__Peer__NodeInfo *m = arena_zalloc(a, sizeof(*m));
	char address[NS_NODE_ADDRESS];

	if (!m)
		return NULL;
	orchfs__peer__node_info__init(m);
	cluster_data_address(sv->cluster, n->number, address);
	m->number = n->number;
	m->name = dup_text(a, n->name);
	m->address = dup_text(a, address);
	m->removed = n->removed;
	m->authority = n->number == sv->cluster->node;
	m->serial.data = (uint8_t *)n->serial.b;
	m->serial.len = n->serial.len;
	m->old_serial.data = (uint8_t *)n->old_serial.b;
	m->old_serial.len = n->old_serial.len;
	return m;
}

static void told(struct served *sv, struct home_ask *a, int rc,
		 const peer_frame *f)
{
	(void)f;
	if (sv->homes && a->q.wait.failure)
		log_warn(sv->name, "node %u doesn't take what it is told of "
			 "other nodes: %s", a->node, strerror(-rc));
}

static void tell_peers(struct served *sv, struct home *h)
{
	Orchfs__Peer__Nodes m = ORCHFS__PEER__NODES__INIT;
	peer_frame f = PEER_FRAME_INIT(PEERS);
	struct home_ask *q = calloc(1, sizeof(*q));
	struct arena *a = arena_new();
	const struct ns_node *n;
	int rc = -ENOMEM;
	size_t nr;

	n = ns_nodes(sv->ns, &nr);
	if (a && q)
		m.node = arena_alloc(a, (nr + 1) * sizeof(*m.node));
	for (size_t i = 0; m.node && i < nr; i++) {
		m.node[m.n_node] = peer_info(sv, a, &n[i]);
		m.n_node += m.node[m.n_node] != NULL;
	}
	if (m.node && m.n_node == nr) {
		f.peers = &m;
		q->done = told;
		rc = home_ask(sv, h->node, &f, PEER_BODY(DONE), q);
	}
	if (rc)
		free(q);
	else
		h->peers = sv->homes->peers;
	arena_free(a);
}

/* --- links --- */

void home_up(struct served *sv, uint32_t node, uint64_t link)
{
	struct home *h = home_get(sv, node);

	if (!h) {
		log_err(sv->name, "node %u: its volumes aren't used: out of "
			"memory", node);
		return;
	}
	h->link = link;
	h->up_at = now_ms();
	h->told = false;
	h->news = true;
	h->news_at = h->fences_at = 0;
	h->peers = 0;
	/* its daemon may be another one, which knows of none */
	home_fences_again(sv, h);
	sv->homes->peers = sv->cluster ? peers_sum(sv) : 0;
}

void home_down(struct served *sv, uint32_t node)
{
	struct home *h = home_find(sv, node);
	struct volume *v;

	if (!h || !h->link)
		return;
	h->link = 0;
	h->told = false;
	/* with a mount or without: what its kernel heard last is no later */
	h->serves_until = peer_now() + DATA_LEASE_MS + DATA_LEASE_MS / 100 +
			  100;
	for (v = sv->volumes; v; v = v->next) {
		if (v->rec.home != node)
			continue;
		pool_unload(sv, v);
		home_away(sv, v);
	}
	for (struct home_fence *x = h->fences; x; x = x->next)
		x->asked = false;
	if (h->added)
		peer_fail(h->added, -ENOTCONN, "the link is down");
	h->added = NULL;
	if (sv->attached)
		attach_tell(sv);
}

void home_over(struct served *sv, uint32_t node)
{
	struct home *h = home_find(sv, node);

	if (!h)
		return;
	home_fences_drop(h);
	h->rekey = true;
	glimpses_drop(sv, node);
	exec_unpark(sv);
}

void home_news(struct served *sv, uint32_t node)
{
	struct home *h = home_find(sv, node);

	if (h)
		h->news = true;
}

void home_request(struct served *sv, struct peer_request *r)
{
	struct home *h = home_find(sv, r->node);

	if (!h || h->link != r->link) {
		peer_fail(r, -ENOTCONN, "it has no session");
		return;
	}
	switch ((int)r->f->body_case) {
	case PEER_BODY(VOLUME_STATES):
		home_states(sv, h, r);
		break;
	case PEER_BODY(VOLUME_ADD):
		home_add(sv, h, r);
		break;
	case PEER_BODY(OWNED):
		home_owned(sv, r);
		break;
	default:
		peer_fail(r, -EOPNOTSUPP, "the authority doesn't know that "
			  "request");
	}
}

/* --- all of them --- */

uint64_t homes_arrived(struct served *sv)
{
	return sv->homes ? ++sv->homes->clock : 0;
}

void homes_asking(struct served *sv, uint64_t arrived)
{
	if (sv->homes)
		sv->homes->since = arrived;
}

void homes_turn(struct served *sv)
{
	struct homes *hs = sv->homes;
	struct volume *v;

	if (!hs || !sv->cluster || sv->stopping)
		return;
	for (struct home *h = hs->list; h; h = h->next) {
		if (!h->link)
			continue;
		if (h->peers != hs->peers)
			tell_peers(sv, h);
		home_fences_ask(sv, h);		/* it has them when it serves */
		if (h->news && now_ms() >= h->news_at &&
		    !home_tell_volumes(sv, h))
			h->news = false;
	}
	for (v = sv->volumes; v; v = v->next)
		if (v->owes_look && volume_online(v) && !v->pool_busy &&
		    now_ms() >= v->pool_retry)
			home_look(sv, v);
	if (hs->ask)
		glimpses_ask(sv);
}

void homes_tick(struct served *sv)
{
	if (!sv->homes || !sv->homes->list || !sv->cluster)
		return;
	sv->homes->peers = peers_sum(sv);
	glimpses_tick(sv);
}

void homes_durable(struct served *sv)
{
	struct home *h;

	if (!sv->homes)
		return;
	home_makes_send(sv);
	for (h = sv->homes->list; h; h = h->next)
		if (h->added && h->added_txn <= store_durable(sv->st))
			home_added(sv, h);
}

int homes_start(struct served *sv)
{
	if (!sv->homes)
		sv->homes = calloc(1, sizeof(*sv->homes));
	if (!sv->homes)
		return -ENOMEM;
	sv->homes->clock = 1;
	return 0;
}

void homes_stop(struct served *sv)
{
	struct homes *hs = sv->homes;
	struct home *h;

	if (!hs)
		return;
	while ((h = hs->list)) {
		home_down(sv, h->node);
		home_fences_drop(h);
		hs->list = h->next;
		free(h->adding);
		free(h->removed);
		free(h);
	}
	home_makes_drop(sv);
	glimpses_free(sv);
	sv->homes = NULL;
	free(hs);
}
