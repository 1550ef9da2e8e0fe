// SPDX-License-Identifier: Apache-2.0
/*
 * What the kernel's data server has to know: volumes and their keys, the
 * authority's clock, fences. What should be is compared with what is at each
 * tick, so whatever failed is tried again.
 */
#include "data.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "data_impl.h"
#include "home.h"
#include "log.h"
#include "nl.h"
#include "nl_serve.h"
#include "ns_cluster.h"
#include "peer_conn.h"

#define STOP_MS		2000
#define LOOK_MS		30000	/* is it still as it was told? */

/* An agent is told what to serve, and with which keys, by each link. */
static bool serves(const struct served *sv)
{
	return sv->data && sv->attached && (sv->ns || sv->data->heard);
}

static bool used(const struct data_volume *dv)
{
	return dv->state == DATA_ASKED || dv->state == DATA_SERVED;
}

/* --- volumes --- */

static bool wanted(const struct volume *v, const struct data_volume *dv)
{
	return v && volume_here(v) && !(dv && dv->release);
}

/*
 * To be given back: but not what an earlier daemon of an agent had served, while
 * it isn't known yet whether this one can open it.
 */
static bool unwanted(const struct served *sv, const struct volume *v,
		     const struct data_volume *dv)
{
	if (wanted(v, dv) || dv->state == DATA_ENDING)
		return false;
	if (used(dv))
		return true;
	return dv->held && (sv->ns || !v || v->tried || v->removing);
}

static void serve(struct served *sv, const struct volume *v)
{
	struct data_volume *dv = sv->ns ?
				 data_volume_key(sv->data, v->rec.id) :
				 data_volume(sv->data, v->rec.id);
	struct data_op *o = data_op_new(sv->data, DATA_OP_SERVE);

	if (!dv) {
		free(o);
		return;
	}
	if (o)
		o->volume = dv->id;
	if (!data_op_send(sv, o, nl_encode_serve_volume(sv->ch.family, dv->id,
							v->root_fd, dv->key,
							dv->key_id)))
		dv->state = DATA_ASKED;
}

void data_serve_done(struct served *sv, const struct data_op *o, int rc)
{
	struct data_volume *dv = data_volume(sv->data, o->volume);

	if (!dv || dv->state != DATA_ASKED)
		return;		/* it was given back meanwhile */
	dv->state = rc < 0 ? DATA_OFF : DATA_SERVED;
	/* from another directory the kernel gives it back, then it is busy */
	dv->held = !rc || (dv->held && rc != -EBUSY);
	if (rc < 0 && !dv->told)
		log_err(sv->name, "the kernel does not serve volume %u to "
			"other nodes: %s: tried again each second", dv->id,
			sv->ch.error[0] ? sv->ch.error : strerror(-rc));
	dv->told = rc < 0;
}

/* Return: 0 once the kernel is asked. */
static int unserve(struct served *sv, uint32_t volume)
{
	struct data_op *o = data_op_new(sv->data, DATA_OP_UNSERVE);

	if (!o)
		return -ENOMEM;
	o->volume = volume;
	return data_op_send(sv, o, nl_encode_serve_unvolume(sv->ch.family,
							    o->id, volume));
}

void data_unserve_done(struct served *sv, const struct data_op *o, int rc)
{
	struct data_volume *dv = data_volume(sv->data, o->volume);

	if (!dv || dv->state != DATA_ENDING)
		return;
	dv->state = rc < 0 && rc != -ENOENT ? DATA_SERVED : DATA_OFF;
	dv->held = dv->state == DATA_SERVED;
	/* an agent's key is the authority's */
	if (dv->state == DATA_OFF && !dv->release &&
	    (sv->ns || sv->stopping))
		data_volume_del(sv->data, dv->id);
}

static void volumes(struct served *sv)
{
	struct data_volume *dv, *next;
	struct volume *v;

	for (v = sv->volumes; v; v = v->next) {
		dv = data_volume(sv->data, v->rec.id);
		if (wanted(v, dv) && (!dv || dv->state == DATA_OFF))
			serve(sv, v);
	}
	for (dv = sv->data->volumes; dv; dv = next) {
		next = dv->next;
		v = served_volume(sv, dv->id);
		if (unwanted(sv, v, dv)) {
			if (!unserve(sv, dv->id))
				dv->state = DATA_ENDING;
		} else if (dv->state == DATA_OFF && !v) {
			data_volume_del(sv->data, dv->id);
		}
	}
}

bool data_holds(const struct served *sv, uint32_t volume)
{
	const struct data_volume *dv = sv->data ?
				       data_volume(sv->data, volume) : NULL;

	return dv && (dv->state != DATA_OFF || dv->held);
}

void data_release(struct served *sv, uint32_t volume, bool back)
{
	struct data_volume *dv;

	if (!sv->data)
		return;
	dv = data_volume(sv->data, volume);
	if (!dv && !back && sv->ns)
		dv = data_volume_key(sv->data, volume);
	if (dv)
		dv->release = !back;
	if (serves(sv))
		volumes(sv);
}

/* All that tokens are left for; before the volumes are served. */
static void fences_anew(struct data *d)
{
	for (size_t i = 0; i < d->nr_nodes; i++)
		if (d->nodes[i].until > peer_now())
			d->nodes[i].waiting = true;
}

int data_key_told(struct served *sv, uint32_t volume,
		  const uint8_t key[ORCHFS_KEY_LEN], uint32_t key_id)
{
	struct data_volume *dv;

	if (!sv->data)
		return -ENOMEM;
	dv = data_volume(sv->data, volume);
	if (!dv) {
		dv = data_volume_key(sv->data, volume);
		fences_anew(sv->data);
	}
	if (!dv)
		return -ENOMEM;
	dv->release = false;
	if (dv->key_id == key_id && !memcmp(dv->key, key, sizeof(dv->key)))
		return 0;
	memcpy(dv->key, key, sizeof(dv->key));
	dv->key_id = key_id;
	if (used(dv))
		dv->state = DATA_OFF;	/* told again, which replaces it */
	return 0;
}

void data_forget(struct served *sv, uint32_t volume)
{
	if (sv->data)
		data_volume_del(sv->data, volume);
}

/* --- the clock --- */

static void tell_time(struct served *sv)
{
	uint64_t boot = peer_now();	/* no later than the clock is read */

	if (!data_op_send(sv, data_op_new(sv->data, DATA_OP_TIME),
			  nl_encode_serve_time(sv->ch.family, data_clock(sv),
					       boot, DATA_LEASE_MS)))
		sv->data->heard_at = boot;
}

void data_time_told(struct served *sv, uint64_t authority_ms, uint64_t asked,
		    uint32_t lease_ms)
{
	if (sv->data && sv->attached)
		data_op_send(sv, data_op_new(sv->data, DATA_OP_TIME),
			     nl_encode_serve_time(sv->ch.family, authority_ms,
						  asked, lease_ms));
}

void data_time_done(struct served *sv, int rc)
{
	if (rc < 0 && !sv->data->time_refused)
		log_err(sv->name, "the kernel's data server does not take the "
			"time: %s: other nodes' writes wait",
			sv->ch.error[0] ? sv->ch.error : strerror(-rc));
	sv->data->time_refused = rc < 0;
}

/* --- fences --- */

static int fence_volume(struct served *sv, uint32_t volume, uint32_t node,
			uint64_t expiry_ms)
{
	struct data_op *o = data_op_new(sv->data, DATA_OP_FENCE);

	if (!o)
		return -ENOMEM;
	o->volume = volume;
	o->node = node;
	return data_op_send(sv, o,
			    nl_encode_serve_fence(sv->ch.family, o->id, volume,
						  0, node,
						  data_node_epoch(sv, node),
						  expiry_ms));
}

static void fence_volumes(struct served *sv, struct data_node *n)
{
	const uint64_t expiry = sv->ns ? data_clock(sv) + DATA_TOKEN_MS :
					 n->expiry_ms;
	uint32_t node = n->node;
	struct data_volume *dv;
	int rc = 0;

	n->waiting = false;
	/* also one that an earlier daemon had served and this one can't */
	for (dv = sv->data->volumes; dv && !rc; dv = dv->next)
		rc = fence_volume(sv, dv->id, node, expiry);
	if (rc < 0)
		n->waiting = true;	/* at the next tick */
}

int data_fence_node(struct served *sv, uint32_t node)
{
	struct data_node *n;

	if (!sv->data || !sv->ns)
		return 0;
	n = data_node_get(sv->data, node);
	if (!n)
		return -ENOMEM;
	n->fenced++;
	n->until = peer_now() + DATA_TOKEN_MS;
	n->waiting = true;
	home_fence(sv, node);
	if (serves(sv)) {
		fence_volumes(sv, n);
		data_drop(sv, node, 0);
	}
	return 0;
}

int data_fence_told(struct served *sv, uint32_t node, uint64_t epoch,
		    uint64_t expiry_ms)
{
	struct data_node *n = sv->data ? data_node_get(sv->data, node) : NULL;
	bool news = n && epoch > n->epoch;

	if (!n)
		return -ENOMEM;
	if (news)
		n->epoch = epoch;
	if (expiry_ms > n->expiry_ms)
		n->expiry_ms = expiry_ms;
	n->until = peer_now() + DATA_TOKEN_MS;
	n->waiting = true;
	if (!serves(sv))
		return 0;
	fence_volumes(sv, n);
	if (news)
		data_drop(sv, node, 0);
	return 0;
}

bool data_fencing(const struct served *sv, uint32_t node)
{
	const struct data *d = sv->data;

	if (!d || sv->no_module)
		return false;
	for (size_t i = 0; i < d->nr_nodes; i++)
		if (d->nodes[i].node == node && d->nodes[i].waiting)
			return true;
	for (const struct data_op *o = d->ops; o; o = o->next)
		if (o->kind == DATA_OP_FENCE && o->node == node)
			return true;
	return false;
}

static void fences_again(struct served *sv)
{
	struct data *d = sv->data;
	struct data_op **p, *o;

	for (p = &d->ops; (o = *p); ) {
		struct data_node *n;

		if (!o->again) {
			p = &o->next;
			continue;
		}
		*p = o->next;
		n = data_node_get(d, o->node);
		if (n)
			n->waiting = true;
		free(o);
	}
	for (size_t i = 0; i < d->nr_nodes; i++)
		if (d->nodes[i].waiting)
			fence_volumes(sv, &d->nodes[i]);
}

/* Those that were removed from the cluster are served no more. */
static void removed_nodes(struct served *sv)
{
	struct data_node *n;

	for (struct data_conn *c = sv->data->conns; c; c = c->next) {
		if (!data_removed(sv, c->node))
			continue;
		n = data_node_get(sv->data, c->node);
		if (!n || n->out)
			continue;
		n->out = true;
		if (sv->ns)
			data_fence_node(sv, n->node);
		else	/* the authority has it fenced */
			data_drop(sv, n->node, 0);
	}
}

/* --- the channel --- */

struct listing {
	struct served *sv;
	void (*fn)(void *ctx, const struct nl_serve *s);
	void *ctx;
};

static void list_message(void *ctx, struct nlmsghdr *nlh)
{
	struct listing *l = ctx;
	struct nl_serve s;

	if (!nl_decode_serve(nlh, &s) && !memcmp(s.uuid, l->sv->uuid, 16))
		l->fn(l->ctx, &s);
}

int data_list(struct served *sv, void (*fn)(void *ctx,
					    const struct nl_serve *s),
	      void *ctx)
{
	struct listing l = { sv, fn, ctx };

	return channel_call(&sv->ch, nl_encode_dump(sv->ch.family,
						    ORCHFS_CMD_SERVE_LIST),
			    list_message, &l);
}

struct found {
	struct served *sv;
	uint32_t strange[VOLUMES_MAX];	/* not to be served */
	size_t nr;
};

static void found(void *ctx, const struct nl_serve *s)
{
	struct found *f = ctx;
	struct data_volume *dv;

	if (!s->volume) {
		data_conn_add(f->sv, s->peer, s->connection);
		return;
	}
	dv = data_volume(f->sv->data, s->volume);
	if (dv) {
		dv->held = true;
		dv->listed = used(dv) && dv->key_id == s->key_id;
	} else if (!wanted(served_volume(f->sv, s->volume), dv) &&
		   f->nr < VOLUMES_MAX) {
		f->strange[f->nr++] = s->volume;
	}
}

/* What an earlier daemon had served goes on with another key, or ends. */
static int adopt(struct served *sv)
{
	struct found f = { .sv = sv };
	struct data *d = sv->data;
	struct data_volume *dv;
	int rc;

	data_conns_drop(d);
	d->looked_at = peer_now();
	for (dv = d->volumes; dv; dv = dv->next)
		dv->listed = dv->held = false;
	rc = data_list(sv, found, &f);
	if (rc < 0)
		return rc;
	for (dv = d->volumes; dv; dv = dv->next)
		dv->state = dv->listed ? DATA_SERVED : DATA_OFF;
	if (sv->ns)
		tell_time(sv);
	for (size_t i = 0; i < f.nr; i++)
		unserve(sv, f.strange[i]);
	fences_anew(d);
	fences_again(sv);
	volumes(sv);
	return 0;
}

int data_attached(struct served *sv)
{
	struct data *d = sv->data;

	if (!d)
		return 0;
	data_ops_drop(sv);
	data_conns_drop(d);
	d->begun = true;
	return sv->ns ? adopt(sv) : 0;
}

void data_heard(struct served *sv)
{
	struct data *d = sv->data;

	if (!d || !sv->attached || !d->begun)
		return;
	if (!d->heard) {
		d->heard = !adopt(sv);
		d->again = !d->heard;
	} else {
		fences_again(sv);
		volumes(sv);
	}
	channel_deferred(&sv->ch, attach_events(sv), sv);
}

static void look_entry(void *ctx, const struct nl_serve *s)
{
	struct data_volume *dv = s->volume ? data_volume(ctx, s->volume) : NULL;

	if (!dv)
		return;
	dv->held = true;
	dv->listed |= dv->key_id == s->key_id;
}

/*
 * A data server ends by itself in the moment when the lease of a daemon that
 * died runs out, and may take with it what the next one has just told it.
 */
static void look(struct served *sv)
{
	struct data *d = sv->data;
	struct data_volume *dv;
	int rc;

	d->looked_at = peer_now();
	for (dv = d->volumes; dv; dv = dv->next) {
		dv->listed = dv->state != DATA_SERVED;
		dv->held &= dv->listed;
	}
	rc = data_list(sv, look_entry, d);
	for (dv = d->volumes; !rc && dv; dv = dv->next) {
		if (dv->listed)
			continue;
		log_warn(sv->name, "the kernel serves volume %u no more: told "
			 "again", dv->id);
		dv->state = DATA_OFF;
	}
	channel_deferred(&sv->ch, attach_events(sv), sv);
}

void data_lost(struct served *sv)
{
	struct data_volume *dv;

	if (!sv->data)
		return;
	/* the module has let go of all */
	for (dv = sv->data->volumes; sv->no_module && dv; dv = dv->next) {
		dv->state = DATA_OFF;
		dv->held = false;
	}
	if (!sv->data->begun)
		return;
	sv->data->begun = sv->data->heard = sv->data->again = false;
	data_ops_drop(sv);
	data_conns_drop(sv->data);
}

void data_tick(struct served *sv)
{
	if (!sv->data || !sv->attached)
		return;
	if (!sv->data->begun) {		/* it has just become a cluster's */
		data_attached(sv);
		channel_deferred(&sv->ch, attach_events(sv), sv);
	}
	if (sv->data->again)
		data_heard(sv);
	if (!serves(sv))
		return;
	if (sv->ns && peer_now() >= sv->data->heard_at + DATA_LEASE_MS / 3)
		tell_time(sv);
	if (peer_now() >= sv->data->looked_at + LOOK_MS)
		look(sv);
	if (!serves(sv))
		return;
	fences_again(sv);
	volumes(sv);
	removed_nodes(sv);
}

/* --- the end --- */

static atomic_bool keeping;

void data_keep(bool keep)
{
	atomic_store(&keeping, keep);
}

/* The kernel's answers, until @n is empty or it has taken too long. */
static void stop_wait(struct served *sv, uint64_t end, bool conns)
{
	struct pollfd p = { .fd = sv->ch.fd, .events = POLLIN };

	while (sv->attached && now_ms() < end &&
	       (conns ? sv->data->conns != NULL : sv->data->volumes != NULL)) {
		if (poll(&p, 1, 100) > 0 &&
		    channel_receive(&sv->ch, 64, attach_events(sv), sv) < 0)
			return;
	}
}

/*
 * Connections are dropped first, so that nobody is told that the volumes have
 * gone: who asks for them waits for the next daemon.
 */
void data_stop(struct served *sv)
{
	uint64_t end = now_ms() + STOP_MS;
	struct data_volume *dv, *next;
	struct data_conn *c;

	if (!serves(sv) || sv->pausing || atomic_load(&keeping))
		return;
	for (c = sv->data->conns; c; c = c->next)
		data_drop(sv, c->node, c->id);
	stop_wait(sv, end, true);
	if (!serves(sv))
		return;
	for (dv = sv->data->volumes; dv; dv = next) {
		next = dv->next;
		dv->release = false;
		if ((used(dv) || dv->held) && dv->state != DATA_ENDING &&
		    !unserve(sv, dv->id))
			dv->state = DATA_ENDING;
		else if (dv->state == DATA_OFF)
			data_volume_del(sv->data, dv->id);
	}
	stop_wait(sv, end, false);
	if (sv->attached && sv->data->volumes)
		log_warn(sv->name, "other nodes' requests to volume %u have "
			 "not ended: it can be unmounted when they have",
			 sv->data->volumes->id);
}
