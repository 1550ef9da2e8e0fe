// SPDX-License-Identifier: Apache-2.0
/* Records of far volumes, and what their homes say of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "arena.h"
#include "backing.h"
#include "cluster.h"
#include "config.h"
#include "data.h"
#include "exec.h"
#include "home_impl.h"
#include "log.h"

#define PATH_LEN_MAX	4000
#define NEWS_MS		1000		/* until it is told again */

static void done_reply(struct peer_request *r)
{
	Orchfs__Peer__Empty m = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(DONE);

	f.done = &m;
	peer_reply(r, &f);
}

/* --- volumes are told --- */

struct volumes_ask {
	struct home_ask ask;
	uint32_t removed;		/* number of the one that is; 0: none */
};

static void told(struct served *sv, struct home_ask *a, int rc,
		 const peer_frame *f)
{
	struct volumes_ask *k = container_of(a, struct volumes_ask, ask);
	struct home *h = home_find(sv, a->node);

	(void)f;
	if (h && !rc && h->removed && h->removed->id == k->removed) {
		free(h->removed);
		h->removed = NULL;
	}
	if (!h || !rc || !a->q.wait.failure)
		return;		/* a new link is told anyway */
	if (!h->news_at)
		log_warn(sv->name, "node %u doesn't take its volumes: %s; it "
			 "is told again", a->node, strerror(-rc));
	h->news = true;
	h->news_at = now_ms() + NEWS_MS;
}

static Orchfs__Peer__Volume *put_volume(struct arena *a,
					const struct ns_volume *rec,
					Orchfs__Peer__Volumes *m)
{
	Orchfs__Peer__Volume *v = arena_zalloc(a, sizeof(*v));

	if (!v)
		return NULL;
	orchfs__peer__volume__init(v);
	v->number = rec->id;
	v->uuid.data = (uint8_t *)rec->uuid;
	v->uuid.len = sizeof(rec->uuid);
	v->name = (char *)rec->name;
	v->path = (char *)rec->path;
	v->tier = rec->tier;
	v->reserve = rec->reserve;
	v->draining = rec->draining;
	m->volume[m->n_volume++] = v;
	return v;
}

static int put_known(struct served *sv, struct arena *a, const struct home *h,
		     struct volume *v, Orchfs__Peer__Volumes *m)
{
	int rc = data_far_key(sv, v, h->rekey);
	Orchfs__Peer__Volume *out;

	out = rc ? NULL : put_volume(a, &v->rec, m);
	if (!out)
		return rc ? rc : -ENOMEM;
	out->key.data = v->key;
	out->key.len = sizeof(v->key);
	out->key_id = v->key_id;
	return 0;
}

static int put_volumes(struct served *sv, struct arena *a, struct home *h,
		       Orchfs__Peer__Volumes *m)
{
	Orchfs__Peer__Volume *gone;
	struct volume *v;
	int rc = 0;

	m->volume = arena_alloc(a, (VOLUMES_MAX + 2) * sizeof(*m->volume));
	if (!m->volume)
		return -ENOMEM;
	for (v = sv->volumes; v && !rc; v = v->next)
		if (v->rec.home == h->node && m->n_volume < VOLUMES_MAX)
			rc = put_known(sv, a, h, v, m);
	if (rc || !h->removed)
		return rc;
	gone = put_volume(a, h->removed, m);
	if (!gone)
		return -ENOMEM;
	gone->removed = true;
	return 0;
}

int home_tell_volumes(struct served *sv, struct home *h)
{
	Orchfs__Peer__Volumes m = ORCHFS__PEER__VOLUMES__INIT;
	peer_frame f = PEER_FRAME_INIT(VOLUMES);
	struct volumes_ask *k = calloc(1, sizeof(*k));
	struct arena *a = arena_new();
	int rc = -ENOMEM;

	if (a && k && sv->data)
		rc = put_volumes(sv, a, h, &m);
	if (!rc) {
		f.volumes = &m;
		k->ask.done = told;
		k->removed = h->removed ? h->removed->id : 0;
		rc = home_ask(sv, h->node, &f, PEER_BODY(DONE), &k->ask);
	}
	if (rc)
		free(k);
	else
		h->rekey = false;
	arena_free(a);
	return rc;
}

static void name_removed(struct served *sv, const struct ns_volume *rec)
{
	struct home *h = home_find(sv, rec->home);

	if (!h)
		return;
	h->news = true;
	/* while one is to be told yet another one keeps its marker */
	if (!h->removed)
		h->removed = malloc(sizeof(*rec));
	if (h->removed)
		*h->removed = *rec;
}

/* Files made ahead that nobody has taken. */
struct leftover {
	struct served *sv;
	struct volume *volume;
	unsigned int parts;
	struct backing_file files[];
};

static void leftover_gone(void *ctx)
{
	struct leftover *l = ctx;

	if (--l->parts)
		return;
	if (l->sv->homes)
		name_removed(l->sv, &l->volume->rec);
	volume_put(l->volume);
	free(l);
}

void home_removed(struct served *sv, struct volume *v)
{
	struct leftover *l = calloc(1, sizeof(*l) + v->pool_nr *
				    sizeof(*l->files));
	size_t n;

	if (!l)
		return;		/* it stays what it is there */
	l->sv = sv;
	l->volume = volume_get(v);
	l->parts = 1;
	for (size_t i = 0; i < v->pool_nr; i++)
		l->files[i] = (struct backing_file){
			.ino = v->pool[i].ino, .version = 1,
			.instance = v->pool[i].instance,
		};
	for (size_t at = 0; at < v->pool_nr; at += n) {
		n = v->pool_nr - at < HOME_DELETES ? v->pool_nr - at :
		    HOME_DELETES;
		if (!home_delete(sv, v, l->files + at, n, leftover_gone, l))
			l->parts++;
	}
	leftover_gone(l);
}

/* --- states --- */

void home_away(const struct served *sv, struct volume *v)
{
	v->up = false;
	v->tried = false;
	v->silent = false;
	v->owes_look = true;
	v->left = sv->ns && home_left(sv, v->rec.home);
	if (v->left)
		snprintf(v->problem, sizeof(v->problem), "volume %s: its node "
			 "%u was removed from the cluster, and what lies there "
			 "is lost: remove those files, then orchctl volume "
			 "remove %s", v->rec.name, v->rec.home, v->rec.name);
	else
		snprintf(v->problem, sizeof(v->problem), "volume %s: its node "
			 "%u is not connected: see that orchd runs there; "
			 "orchctl node list tells when it is", v->rec.name,
			 v->rec.home);
}

static void set_problem(struct served *sv, struct volume *v, const char *text,
			bool fine)
{
	char why[VOLUME_WHY] = "";

	if (*text)
		snprintf(why, sizeof(why), "%.500s (node %u)", text,
			 v->rec.home);
	else if (!fine)
		snprintf(why, sizeof(why), "volume %s: node %u can't use %.200s",
			 v->rec.name, v->rec.home, v->rec.path);
	if (strcmp(why, v->problem) && *why)
		log_err(sv->name, "%s", why);
	strcpy(v->problem, why);
}

static enum volume_health health_of(uint32_t state)
{
	switch (state) {
	case HOME_READONLY:
		return VOLUME_READONLY;
	case HOME_LOST:
		return VOLUME_LOST;
	default:
		return VOLUME_SOUND;
	}
}

static void now_online(struct served *sv, struct volume *v)
{
	log_info(sv->name, "volume %s of node %u is in use: %s", v->rec.name,
		 v->rec.home, v->rec.path);
	v->pool_error = 0;
	v->pool_retry = 0;
	v->owes_look = true;
	sv->homes->ask = true;
	sv->homes->unsettled = true;
	deleter_again(sv);
}

static void now_offline(struct served *sv, struct volume *v)
{
	pool_unload(sv, v);
	if (atomic_load(&v->health) == VOLUME_LOST)
		flush_lost(sv);
}

static void apply(struct served *sv, struct volume *v,
		  const Orchfs__Peer__VolumeState *m)
{
	bool was = volume_online(v);

	if (v->left)
		return;		/* it was on its way when its node was removed */
	v->tried = m->state != HOME_AWAY;
	if (!v->tried)
		return;		/* it begins to */
	v->up = m->state == HOME_ONLINE || m->state == HOME_READONLY ||
		m->state == HOME_LOST || m->state == HOME_SILENT;
	v->silent = m->state == HOME_SILENT;
	atomic_store(&v->health, health_of(m->state));
	set_problem(sv, v, m->problem, m->state == HOME_ONLINE);
	snprintf(v->fstype, sizeof(v->fstype), "%s", m->fstype);
	volume_measure(v);
	v->place.size = m->size;
	v->place.free = m->free;
	v->place.inodes = m->inodes;
	v->files = m->files;
	v->dev = (dev_t)m->device;
	v->quarantined = m->quarantined;
	if (!was && volume_online(v))
		now_online(sv, v);
	else if (was && !volume_online(v))
		now_offline(sv, v);
}

void home_states(struct served *sv, struct home *h, struct peer_request *r)
{
	const Orchfs__Peer__VolumeStates *m = r->f->volume_states;
	struct address a;
	struct volume *v;

	for (size_t i = 0; i < m->n_volume; i++) {
		v = served_volume(sv, m->volume[i]->number);
		if (v && v->rec.home == h->node)
			apply(sv, v, m->volume[i]);
	}
	h->told |= m->n_volume > 0;
	if (*m->address && strlen(m->address) < NS_NODE_ADDRESS &&
	    !address_parse(m->address, &a))
		cluster_set_data_address(sv->cluster, h->node, m->address);
	done_reply(r);
	if (sv->attached)
		attach_tell(sv);
	deleter_kick(sv);
	exec_unpark(sv);
}

/* --- a new one --- */

static int add_check(struct served *sv, const struct ns_volume *rec,
		     const ProtobufCBinaryData *uuid, char *why)
{
	unsigned int nr = 0;
	struct volume *v;

	for (v = sv->volumes; v; v = v->next, nr++) {
		if (volume_clash(v, rec, why))
			return -EEXIST;
		if (uuid->len == sizeof(v->rec.uuid) &&
		    !memcmp(uuid->data, v->rec.uuid, uuid->len)) {
			snprintf(why, VOLUME_WHY, "%.200s is volume %s "
				 "already: choose another directory for "
				 "another volume", rec->path, v->rec.name);
			return -EEXIST;
		}
	}
	if (nr < VOLUMES_MAX)
		return 0;
	snprintf(why, VOLUME_WHY, "a namespace has at most %d volumes: remove "
		 "one first", VOLUMES_MAX);
	return -ENOSPC;
}

static int add_begin(struct served *sv, struct home *h, struct ns_volume *rec,
		     struct peer_request *r)
{
	Orchfs__Peer__VolumeAdded m = ORCHFS__PEER__VOLUME_ADDED__INIT;
	peer_frame f = PEER_FRAME_INIT(VOLUME_ADDED);
	uint64_t id;
	int rc;

	if (h->added || h->leaving)
		return -EBUSY;		/* one after the other */
	if (!h->adding)
		h->adding = malloc(sizeof(*h->adding));
	if (!h->adding)
		return -ENOMEM;
	h->adding->id = 0;
	rc = ns_reserve(sv->ns, "volume", 1, &id);
	if (rc < 0)
		return rc;
	rec->id = (uint32_t)id;
	if (getrandom(rec->uuid, 16, 0) != 16)
		return -EIO;
	rec->uuid[6] = (rec->uuid[6] & 0x0f) | 0x40;
	rec->uuid[8] = (rec->uuid[8] & 0x3f) | 0x80;
	*h->adding = *rec;
	m.number = rec->id;
	m.uuid.data = rec->uuid;
	m.uuid.len = sizeof(rec->uuid);
	m.epoch = sv->epoch;
	m.durable = store_durable(sv->st);
	f.volume_added = &m;
	peer_reply(r, &f);
	return 0;
}

/* The marker is there. */
static int add_end(struct served *sv, struct home *h,
		   const struct ns_volume *rec, uint32_t number,
		   struct peer_request *r, char *why)
{
	struct volume *v, **p;
	int rc;

	if (h->leaving)
		return -EBUSY;
	if (!h->adding || !h->adding->id || h->adding->id != number ||
	    strcmp(h->adding->name, rec->name) ||
	    strcmp(h->adding->path, rec->path) || h->added) {
		snprintf(why, VOLUME_WHY, "volume %u was not begun to be "
			 "added: try again", number);
		return -ESTALE;
	}
	v = volume_new(h->adding);
	if (!v)
		return -ENOMEM;
	home_away(sv, v);
	rc = ns_volume_put(sv->ns, h->adding);
	if (rc < 0) {
		volume_put(v);
		return rc;
	}
	h->adding->id = 0;
	for (p = &sv->volumes; *p; p = &(*p)->next)
		;
	*p = v;
	h->news = true;
	h->added = r;
	h->added_txn = ns_txn(sv->ns);
	log_info(sv->name, "volume %s of node %u added: %s", v->rec.name,
		 h->node, v->rec.path);
	served_txn(sv);
	if (h->added_txn <= store_durable(sv->st))
		home_added(sv, h);
	else
		sync_request(sv, h->added_txn);
	return 0;
}

void home_added(struct served *sv, struct home *h)
{
	Orchfs__Peer__VolumeAdded m = ORCHFS__PEER__VOLUME_ADDED__INIT;
	peer_frame f = PEER_FRAME_INIT(VOLUME_ADDED);

	m.number = h->added->f->volume_add->volume->number;
	m.uuid.data = h->adding->uuid;
	m.uuid.len = sizeof(h->adding->uuid);
	m.epoch = sv->epoch;
	m.durable = store_durable(sv->st);
	f.volume_added = &m;
	peer_reply(h->added, &f);
	h->added = NULL;
}

static int add_record(const Orchfs__Peer__Volume *m, uint32_t node,
		      struct ns_volume *rec, char *why)
{
	memset(rec, 0, sizeof(*rec));
	if (!m || !config_name_valid(m->name) || m->tier > UINT8_MAX ||
	    m->path[0] != '/' || strlen(m->path) > PATH_LEN_MAX) {
		snprintf(why, VOLUME_WHY, "the name, path or tier of the "
			 "volume is none");
		return -EINVAL;
	}
	strcpy(rec->name, m->name);
	strcpy(rec->path, m->path);
	rec->tier = m->tier;
	rec->reserve = m->reserve;
	rec->home = node;
	return 0;
}

void home_add(struct served *sv, struct home *h, struct peer_request *r)
{
	const Orchfs__Peer__Volume *m = r->f->volume_add->volume;
	char why[VOLUME_WHY] = "";
	struct ns_volume rec;
	int rc;

	rc = add_record(m, h->node, &rec, why);
	if (!rc)
		rc = add_check(sv, &rec, &m->uuid, why);
	if (!rc)
		rc = m->number ? add_end(sv, h, &rec, m->number, r, why) :
		     add_begin(sv, h, &rec, r);
	if (rc)
		peer_fail(r, rc, *why ? why : strerror(-rc));
}
