// SPDX-License-Identifier: Apache-2.0
/* What other nodes may use of this one's volumes, and by which tokens. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cluster.h"
#include "data_impl.h"
#include "peer_conn.h"

#define CLOCK_SHIFT	40	/* 34 years of ms for each authority */
#define EPOCH_SHIFT	20	/* fences of a node in one run */

int data_start(struct served *sv)
{
	if (sv->data)
		return 0;
	sv->data = calloc(1, sizeof(*sv->data));
	if (!sv->data)
		return -ENOMEM;
	sv->data->epoch = sv->cluster->epoch;
	return 0;
}

void data_free(struct served *sv)
{
	struct data *d = sv->data;
	struct data_volume *v;

	if (!d)
		return;
	while ((v = d->volumes)) {
		d->volumes = v->next;
		explicit_bzero(v, sizeof(*v));
		free(v);
	}
	free(d->nodes);
	free(d);
	sv->data = NULL;
}

uint64_t data_clock(const struct served *sv)
{
	return sv->data ? (sv->data->epoch << CLOCK_SHIFT) + peer_now() : 0;
}

/*
 * Higher than what any earlier run gave out: the kernel's fences and handles
 * outlive the daemon.
 */
static uint64_t node_epoch(const struct served *sv, uint32_t node)
{
	const struct data *d = sv->data;
	uint64_t epoch = ns_incarnation(sv->ns) << EPOCH_SHIFT;

	for (size_t i = 0; i < d->nr_nodes; i++)
		if (d->nodes[i].node == node)
			epoch += d->nodes[i].fenced;
	return epoch;
}

static struct data_volume *volume_find(struct data *d, uint32_t id)
{
	struct data_volume *v;

	for (v = d->volumes; v && v->id != id; v = v->next)
		;
	return v;
}

static struct data_volume *volume_add(struct data *d, uint32_t id)
{
	struct data_volume *v = calloc(1, sizeof(*v));

	if (!v || getrandom(v->key, sizeof(v->key), 0) != sizeof(v->key)) {
		free(v);
		return NULL;
	}
	v->id = id;
	v->key_id = ++d->key_id;
	v->next = d->volumes;
	d->volumes = v;
	return v;
}

int token_make(struct served *sv, uint32_t node, uint32_t volume,
	       uint64_t ino, uint64_t version, uint64_t instance, bool write,
	       uint8_t out[ORCHFS_TOKEN_LEN])
{
	struct volume *v = served_volume(sv, volume);
	struct data *d = sv->data;
	struct data_token t = {
		.volume = volume, .ino = ino, .version = version,
		.instance = instance, .node = node,
		.rights = write ? ORCHFS_RIGHTS_ALL : ORCHFS_RIGHT_READ,
	};
	struct data_volume *dv;

	if (!d || !v || !volume_online(v))
		return -ENODEV;
	dv = volume_find(d, volume);
	if (!dv)
		dv = volume_add(d, volume);
	if (!dv)
		return -ENOMEM;
	memcpy(t.uuid, sv->uuid, 16);
	t.key_id = dv->key_id;
	t.epoch = node_epoch(sv, node);
	t.expiry_ms = data_clock(sv) + DATA_TOKEN_MS;
	return data_token_sign(dv->key, &t, out);
}
