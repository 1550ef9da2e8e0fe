// SPDX-License-Identifier: Apache-2.0
/* Deletions, write-back and fences at the homes of far volumes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backing.h"
#include "data_impl.h"
#include "exec.h"
#include "home_impl.h"
#include "log.h"

#define FENCE_MS	1000		/* until a refused one is asked again */

/* --- deletions --- */

struct delete_ask {
	struct home_ask ask;
	struct backing_file *files;
	size_t nr;
	void (*done)(void *ctx);
	void *ctx;
};

static void deleted(struct served *sv, struct home_ask *a, int rc,
		    const peer_frame *f)
{
	struct delete_ask *k = container_of(a, struct delete_ask, ask);

	if (!rc && f->deleted->n_status != k->nr) {
		home_refused(sv, a, "it deleted other files than it was "
			     "asked to");
		rc = -EPROTO;
	}
	for (size_t i = 0; i < k->nr; i++) {
		int status = rc ? rc : f->deleted->status[i];

		k->files[i].rc = status == -ENOENT ? 0 : status;
	}
	k->done(k->ctx);
}

int home_delete(struct served *sv, struct volume *v, struct backing_file *b,
		size_t nr, void (*done)(void *ctx), void *ctx)
{
	Orchfs__Peer__Delete m = ORCHFS__PEER__DELETE__INIT;
	Orchfs__Peer__File files[HOME_DELETES], *list[HOME_DELETES];
	peer_frame f = PEER_FRAME_INIT(DELETE);
	struct delete_ask *k;
	int rc;

	if (nr > HOME_DELETES)
		return -E2BIG;
	if (!volume_writable(v) || v->silent)
		return -ENXIO;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->ask.done = deleted;
	k->files = b;
	k->nr = nr;
	k->done = done;
	k->ctx = ctx;
	for (size_t i = 0; i < nr; i++) {
		orchfs__peer__file__init(&files[i]);
		files[i].ino = b[i].ino;
		files[i].version = b[i].version;
		files[i].instance = b[i].instance;
		list[i] = &files[i];
	}
	m.volume = v->rec.id;
	m.file = list;
	m.n_file = nr;
	f.delete_ = &m;
	rc = home_ask(sv, v->rec.home, &f, PEER_BODY(DELETED), &k->ask);
	if (rc)
		free(k);
	return rc;
}

/* --- write-back --- */

struct flush_ask {
	struct home_ask ask;
	void (*done)(void *ctx, int rc);
	void *ctx;
};

static void flushed(struct served *sv, struct home_ask *a, int rc,
		    const peer_frame *f)
{
	struct flush_ask *k = container_of(a, struct flush_ask, ask);

	(void)f;
	if (rc)
		log_err(sv->name, "node %u: its volumes are not written back: "
			"%s", a->node, strerror(-rc));
	k->done(k->ctx, rc ? -EIO : 0);
}

/* Return: 0 also where it has nothing to write. */
static int flush_node(struct served *sv, uint32_t node,
		      void (*done)(void *ctx, int rc), void *ctx,
		      unsigned int *nr)
{
	Orchfs__Peer__Flush m = ORCHFS__PEER__FLUSH__INIT;
	peer_frame f = PEER_FRAME_INIT(FLUSH);
	uint32_t list[VOLUMES_MAX];
	struct flush_ask *k;
	struct volume *v;
	int rc;

	for (v = sv->volumes; v; v = v->next)
		if (v->rec.home == node && volume_online(v) &&
		    m.n_volume < VOLUMES_MAX)
			list[m.n_volume++] = v->rec.id;
	if (!m.n_volume)
		return 0;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->ask.done = flushed;
	k->done = done;
	k->ctx = ctx;
	m.volume = list;
	f.flush = &m;
	rc = home_ask(sv, node, &f, PEER_BODY(DONE), &k->ask);
	if (rc)
		free(k);
	else
		++*nr;
	return rc;
}

/* The first volume of each home stands for it. */
static bool is_first(struct served *sv, const struct volume *v)
{
	struct volume *o;

	for (o = sv->volumes; o != v; o = o->next)
		if (o->rec.home == v->rec.home)
			return false;
	return true;
}

int home_flush(struct served *sv, void (*done)(void *ctx, int rc), void *ctx,
	       unsigned int *nr)
{
	struct volume *v;
	int rc = 0;

	*nr = 0;
	for (v = sv->volumes; v; v = v->next) {
		int err;

		if (!volume_far(v) || !is_first(sv, v))
			continue;
		err = home_linked(sv, v->rec.home) ?
		      flush_node(sv, v->rec.home, done, ctx, nr) : -EIO;
		if (!err)
			continue;
		log_err(sv->name, "node %u: its volumes are not written back: "
			"it is not connected", v->rec.home);
		rc = -EIO;
	}
	return rc;
}

/* --- fences --- */

struct fence_ask {
	struct home_ask ask;
	uint32_t fenced;
	uint64_t epoch;
};

static bool has_volume(struct served *sv, uint32_t node)
{
	struct volume *v;

	for (v = sv->volumes; v; v = v->next)
		if (v->rec.home == node)
			return true;
	return false;
}

static struct home_fence **fence_at(struct home *h, uint32_t node)
{
	struct home_fence **p = &h->fences;

	while (*p && (*p)->node != node)
		p = &(*p)->next;
	return p;
}

static void fenced(struct served *sv, struct home_ask *a, int rc,
		   const peer_frame *f)
{
	struct fence_ask *k = container_of(a, struct fence_ask, ask);
	struct home *h = home_find(sv, a->node);
	struct home_fence **p, *x;

	(void)f;
	if (!h)
		return;
	p = fence_at(h, k->fenced);
	x = *p;
	if (!x || !x->asked)
		return;
	if (!rc && k->epoch == data_node_epoch(sv, k->fenced)) {
		*p = x->next;
		free(x);
	} else {
		x->asked = false;
		h->fences_at = rc ? now_ms() + FENCE_MS : 0;
	}
}

static int fence_ask(struct served *sv, struct home *h, uint32_t node)
{
	Orchfs__Peer__Fence m = ORCHFS__PEER__FENCE__INIT;
	peer_frame f = PEER_FRAME_INIT(FENCE);
	struct fence_ask *k = calloc(1, sizeof(*k));
	int rc;

	if (!k)
		return -ENOMEM;
	k->ask.done = fenced;
	k->fenced = node;
	k->epoch = data_node_epoch(sv, node);
	m.node = node;
	m.epoch = k->epoch;
	m.expiry_ms = data_clock(sv) + DATA_TOKEN_MS;
	f.fence = &m;
	rc = home_ask(sv, h->node, &f, PEER_BODY(DONE), &k->ask);
	if (rc)
		free(k);
	return rc;
}

static bool fence_add(struct home *h, uint32_t node)
{
	struct home_fence **p = fence_at(h, node);

	if (!*p)
		*p = calloc(1, sizeof(**p));
	if (*p) {
		(*p)->node = node;
		(*p)->asked = false;
	}
	return *p;
}

void home_fences_again(struct served *sv, struct home *h)
{
	const struct data *d = sv->data;

	h->unfenced = false;
	if (!has_volume(sv, h->node))
		return;
	for (size_t i = 0; d && i < d->nr_nodes; i++)
		if (d->nodes[i].node != h->node &&
		    d->nodes[i].until > peer_now() &&
		    !fence_add(h, d->nodes[i].node))
			h->unfenced = true;
}

void home_fences_ask(struct served *sv, struct home *h)
{
	if (now_ms() < h->fences_at)
		return;
	if (h->unfenced)
		home_fences_again(sv, h);
	for (struct home_fence *x = h->fences; x; x = x->next)
		if (!x->asked)
			x->asked = !fence_ask(sv, h, x->node);
}

void home_fences_drop(struct home *h)
{
	struct home_fence *x;

	h->unfenced = false;
	while ((x = h->fences)) {
		h->fences = x->next;
		free(x);
	}
}

/*
 * May its kernel take writes of others? One without a mount has no session. It
 * gets other keys when it comes back.
 */
static bool serves(const struct served *sv, const struct home *h)
{
	return h->link || home_session(sv, h->node) ||
	       peer_now() < h->serves_until;
}

void home_fences_expire(struct served *sv)
{
	struct home *h = sv->homes ? sv->homes->list : NULL;

	for (; h; h = h->next) {
		if ((!h->fences && !h->unfenced) || serves(sv, h))
			continue;
		home_fences_drop(h);
		h->rekey = true;
	}
}

void home_fence(struct served *sv, uint32_t node)
{
	struct home *h = sv->homes ? sv->homes->list : NULL;

	for (; h; h = h->next) {
		if (h->node == node || !has_volume(sv, h->node))
			continue;
		if (!serves(sv, h))
			h->rekey = true;
		else if (!fence_add(h, node))
			h->unfenced = true;
	}
}

bool home_fencing(const struct served *sv, uint32_t node)
{
	struct home *h = sv->homes ? sv->homes->list : NULL;

	/* of one that was removed nothing will be heard, nor does it serve */
	for (; h; h = h->next)
		if ((*fence_at(h, node) || h->unfenced) &&
		    !home_left(sv, h->node))
			return true;
	return false;
}
