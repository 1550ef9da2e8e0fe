// SPDX-License-Identifier: Apache-2.0
/* What other nodes may use of this one's volumes, and by which tokens. */
#include "data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cluster.h"
#include "data_impl.h"
#include "peer_conn.h"

#define CLOCK_SHIFT	40	/* 34 years of ms for each authority */
#define EPOCH_SHIFT	32	/* fences of a node in one run */

int data_start(struct served *sv)
{
	struct data *d;

	if (sv->data)
		return 0;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->epoch = sv->cluster->epoch;
	/* the kernel may still end what an earlier daemon asked for */
	if (getrandom(&d->next_id, sizeof(d->next_id), 0) < 0)
		d->next_id = peer_now() << 20;
	pthread_mutex_lock(&sv->lock);
	sv->data = d;
	pthread_mutex_unlock(&sv->lock);
	return 0;
}

void data_free(struct served *sv)
{
	struct data *d = sv->data;

	if (!d)
		return;
	while (d->volumes)
		data_volume_del(d, d->volumes->id);
	data_ops_drop(sv);
	data_conns_drop(d);
	free(d->nodes);
	free(d);
	sv->data = NULL;
}

uint64_t data_clock(const struct served *sv)
{
	return sv->data ? (sv->data->epoch << CLOCK_SHIFT) + peer_now() : 0;
}

struct data_node *data_node_get(struct data *d, uint32_t node)
{
	struct data_node *n;

	for (size_t i = 0; i < d->nr_nodes; i++)
		if (d->nodes[i].node == node)
			return &d->nodes[i];
	n = realloc(d->nodes, (d->nr_nodes + 1) * sizeof(*n));
	if (!n)
		return NULL;
	d->nodes = n;
	n += d->nr_nodes++;
	*n = (struct data_node){ .node = node };
	return n;
}

/*
 * Higher than what any earlier run gave out: the kernel's fences and handles
 * outlive the daemon.
 */
uint64_t data_node_epoch(const struct served *sv, uint32_t node)
{
	const struct data *d = sv->data;
	uint64_t epoch = 0;

	if (sv->ns)
		epoch = ns_incarnation(sv->ns) << EPOCH_SHIFT;
	for (size_t i = 0; i < d->nr_nodes; i++)
		if (d->nodes[i].node == node)
			epoch += d->nodes[i].fenced + d->nodes[i].epoch;
	return epoch;
}

struct data_volume *data_volume(const struct data *d, uint32_t id)
{
	struct data_volume *v;

	for (v = d->volumes; v && v->id != id; v = v->next)
		;
	return v;
}

struct data_volume *data_volume_key(struct data *d, uint32_t id)
{
	struct data_volume *v = data_volume(d, id);
	uint8_t key[ORCHFS_KEY_LEN];

	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return NULL;
	if (!v) {
		v = calloc(1, sizeof(*v));
		if (!v)
			return NULL;
		v->id = id;
		v->next = d->volumes;
		d->volumes = v;
	}
	memcpy(v->key, key, sizeof(key));
	explicit_bzero(key, sizeof(key));
	v->key_id = ++d->key_id;
	return v;
}

void data_volume_del(struct data *d, uint32_t id)
{
	struct data_volume **p, *v;

	for (p = &d->volumes; (v = *p); p = &v->next) {
		if (v->id != id)
			continue;
		*p = v->next;
		explicit_bzero(v->key, sizeof(v->key));
		free(v);
		return;
	}
}

int data_far_key(struct served *sv, struct volume *v, bool another)
{
	if (!sv->data)
		return -ENODEV;
	if (v->key_id && !another)
		return 0;
	if (getrandom(v->key, sizeof(v->key), 0) != sizeof(v->key))
		return -EIO;
	v->key_id = ++sv->data->key_id;
	return 0;
}

static const uint8_t *token_key(struct served *sv, uint32_t volume,
				uint32_t *id)
{
	struct data_volume *dv = data_volume(sv->data, volume);
	struct volume *v = sv->volumes;

	while (v && v->rec.id != volume)
		v = v->next;
	/* its home is told when it comes */
	if (v && volume_far(v)) {
		if (data_far_key(sv, v, false))
			return NULL;
		*id = v->key_id;
		return v->key;
	}
	if (!dv || (dv->state != DATA_ASKED && dv->state != DATA_SERVED))
		return NULL;
	*id = dv->key_id;
	return dv->key;
}

int token_make(struct served *sv, uint32_t node, uint32_t volume,
	       uint64_t ino, uint64_t version, uint64_t instance, bool write,
	       uint8_t out[ORCHFS_TOKEN_LEN])
{
	struct data_token t = {
		.volume = volume, .ino = ino, .version = version,
		.instance = instance, .node = node,
		.rights = write ? ORCHFS_RIGHTS_ALL : ORCHFS_RIGHT_READ,
	};

	const uint8_t *key;

	key = sv->data ? token_key(sv, volume, &t.key_id) : NULL;
	if (!key)
		return -ENODEV;
	memcpy(t.uuid, sv->uuid, 16);
	t.epoch = data_node_epoch(sv, node);
	t.expiry_ms = data_clock(sv) + DATA_TOKEN_MS;
	return data_token_sign(key, &t, out);
}
