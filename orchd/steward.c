// SPDX-License-Identifier: Apache-2.0
/* An agent's volumes: what the authority asks, and when that is answered. */
#include "steward_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "data.h"
#include "log.h"

#define NODES_MAX	65536		/* removed ones are among them */

/* Answered when requests by tokens that are worthless now have ended. */
struct steward_fence {
	struct steward_fence *next;
	struct peer_request *r;
};

void steward_done(struct peer_request *r)
{
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(DONE);

	f.done = &empty;
	peer_reply(r, &f);
}

/* --- fences --- */

static void fence(struct served *sv, struct peer_request *r)
{
	const Orchfs__Peer__Fence *m = r->f->fence;
	struct steward_fence *w = calloc(1, sizeof(*w));

	if (!m->node || !w ||
	    data_fence_told(sv, m->node, m->epoch, m->expiry_ms) < 0) {
		peer_fail(r, m->node ? -ENOMEM : -EPROTO, "a fence");
		free(w);
		return;
	}
	w->r = r;
	w->next = sv->agency->steward.fences;
	sv->agency->steward.fences = w;
}

static void fences_done(struct served *sv, bool lost)
{
	struct steward_fence **pp = &sv->agency->steward.fences, *w;

	while ((w = *pp)) {
		if (!lost && data_fencing(sv, w->r->f->fence->node)) {
			pp = &w->next;
			continue;
		}
		*pp = w->next;
		if (lost)
			peer_fail(w->r, -ENOTCONN, "the link is down");
		else
			steward_done(w->r);
		free(w);
	}
}

/* --- other nodes --- */

static void copy_serial(struct ns_serial *out, const ProtobufCBinaryData *in)
{
	if (in->len > sizeof(out->b))
		return;
	memcpy(out->b, in->data, in->len);
	out->len = (uint8_t)in->len;
}

static void copy_node(struct ns_node *n, const Orchfs__Peer__NodeInfo *m)
{
	n->number = m->number;
	n->removed = m->removed;
	snprintf(n->name, sizeof(n->name), "%s", m->name);
	snprintf(n->address, sizeof(n->address), "%s", m->address);
	copy_serial(&n->serial, &m->serial);
	copy_serial(&n->old_serial, &m->old_serial);
}

/* Who may come for data, and where this node goes for it. */
static void peers(struct served *sv, struct peer_request *r)
{
	const Orchfs__Peer__Nodes *m = r->f->peers;
	struct cluster *cl = sv->cluster;
	struct ns_node *n, *old;

	n = m->n_node <= NODES_MAX ? calloc(m->n_node + 1, sizeof(*n)) : NULL;
	if (!n) {
		peer_fail(r, -ENOMEM, "so many nodes");
		return;
	}
	for (size_t i = 0; i < m->n_node; i++) {
		copy_node(&n[i], m->node[i]);
		cluster_set_data_address(cl, n[i].number, n[i].address);
	}
	pthread_mutex_lock(&cl->lock);
	old = cl->nodes;
	cl->nodes = n;
	cl->nr_nodes = m->n_node;
	pthread_mutex_unlock(&cl->lock);
	free(old);
	data_tick(sv);		/* those that were removed are dropped */
	steward_done(r);
}

/* --- all of it --- */

void steward_news(struct served *sv)
{
	sv->agency->steward.news = true;
}

void steward_request(struct served *sv, struct peer_request *r)
{
	switch ((int)r->f->body_case) {
	case PEER_BODY(VOLUMES):
		steward_volumes(sv, r);
		break;
	case PEER_BODY(COPY):
		steward_copy(sv, r);
		break;
	case PEER_BODY(COPY_WATCH):
		steward_copy_watch(sv, r);
		break;
	case PEER_BODY(DELETE):
		if (steward_copy_stopping(sv)) {
			peer_fail(r, -EBUSY, "a copy has yet to stop");
			break;
		}
		steward_work(sv, r);
		break;
	case PEER_BODY(MAKE):
	case PEER_BODY(LOOK):
	case PEER_BODY(GLIMPSE):
	case PEER_BODY(OWN):
		steward_work(sv, r);
		break;
	case PEER_BODY(FLUSH):
		steward_flush(sv, r);
		break;
	case PEER_BODY(FENCE):
		fence(sv, r);
		break;
	case PEER_BODY(PEERS):
		peers(sv, r);
		break;
	default:
		peer_fail(r, -EOPNOTSUPP, "this node doesn't know that "
			  "request");
	}
}

void steward_turn(struct served *sv)
{
	struct steward *st = &sv->agency->steward;

	if (st->fences)
		fences_done(sv, false);
	if (st->news)
		steward_tell(sv);
}

void steward_tick(struct served *sv)
{
	steward_volumes_tick(sv);
	health_tick(sv);
}

void steward_lost(struct served *sv)
{
	struct steward *st = &sv->agency->steward;

	fences_done(sv, true);
	steward_copies_stop(sv);
	st->heard = st->telling = false;
}

void steward_stop(struct served *sv)
{
	struct volume *v;

	sv->pool.stopped = true;
	steward_copies_end(sv);
	for (v = sv->volumes; v; v = v->next) {
		worker_stop(&v->worker);
		worker_stop(&v->quick);
	}
	worker_stop(&sv->flusher.worker);
}

void steward_free(struct served *sv)
{
	struct volume *v;

	while ((v = sv->volumes)) {
		sv->volumes = v->next;
		volume_put(v);
	}
}
