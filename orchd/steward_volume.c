// SPDX-License-Identifier: Apache-2.0
/*
 * Which volumes an agent has: opened by their own threads, tried again while
 * they can't be used, let go of when the authority doesn't name them any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "arena.h"
#include "cluster.h"
#include "config.h"
#include "data.h"
#include "home.h"
#include "log.h"
#include "nl.h"
#include "steward_impl.h"

#define OPEN_MS		5000
#define STATES_MS	5000
#define STATES_WAIT_MS	30000

bool steward_waits(const struct served *sv, uint32_t volume)
{
	const struct volume *v;

	for (v = sv->volumes; v; v = v->next)
		if (v->rec.id == volume)
			return !v->tried;
	return false;
}

/* --- opening --- */

struct opening {
	struct work w;
	struct served *sv;
	struct volume *v, *probe;
};

/* namespace thread */
static void open_done(struct work *w)
{
	struct opening *o = container_of(w, struct opening, w);
	struct served *sv = o->sv;
	struct volume *v = o->v;

	v->opening = false;
	v->tried = true;
	v->open_at = now_ms() + OPEN_MS;
	if (o->probe->root_fd >= 0) {
		volume_take(v, o->probe);
		log_info(sv->name, "volume %s: %s", v->rec.name, v->rec.path);
		if (sv->agency->steward.heard)
			data_heard(sv);
	} else if (strcmp(v->problem, o->probe->problem)) {
		strcpy(v->problem, o->probe->problem);
		log_err(sv->name, "%s", v->problem);
	}
	steward_news(sv);
	agent_answer_kept(sv);
	volume_put(o->probe);
	volume_put(v);
	free(o);
}

/* The volume's thread: the path of a drive that is gone may hang. */
static void open_run(struct work *w)
{
	struct opening *o = container_of(w, struct opening, w);

	volume_open(o->probe, o->sv->uuid);
	o->w.run = open_done;
	work_post(&o->sv->queue, &o->w);
}

static void open_begin(struct served *sv, struct volume *v)
{
	struct opening *o = calloc(1, sizeof(*o));

	if (o)
		o->probe = volume_new(&v->rec);
	if (!o || !o->probe || health_worker(v) < 0) {
		if (o)
			volume_put(o->probe);
		free(o);
		return;		/* at the next tick */
	}
	o->w.run = open_run;
	o->sv = sv;
	o->v = volume_get(v);
	v->opening = true;
	work_post(&v->worker.q, &o->w);
}

/* --- letting go --- */

static int unlink_empty(void *ctx, const char *subdir, const char *name)
{
	const struct volume *v = ctx;
	char path[600];
	struct stat st;

	if (!subdir)
		return 0;
	snprintf(path, sizeof(path), "data/%s/%s", subdir, name);
	if (!fstatat(v->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) &&
	    S_ISREG(st.st_mode) && !st.st_size && !st.st_blocks)
		unlinkat(v->root_fd, path, 0);
	return 0;
}

/* namespace thread */
static void unmake_done(struct work *w)
{
	struct opening *o = container_of(w, struct opening, w);

	o->v->removed = false;	/* whatever came of it */
	o->v->opening = false;
	volume_put(o->v);
	free(o);
}

/* the volume's thread */
static void unmake_run(struct work *w)
{
	struct opening *o = container_of(w, struct opening, w);
	struct volume *v = o->v;
	int rc;

	backing_each(v, unlink_empty, v);
	rc = volume_unmake(v);
	if (rc < 0)
		log_warn(o->sv->name, "volume %s is removed; its directory %s "
			 "could not be cleaned: %s", v->rec.name, v->rec.path,
			 strerror(-rc));
	o->w.run = unmake_done;
	work_post(&o->sv->queue, &o->w);
}

static void unmake(struct served *sv, struct volume *v)
{
	struct opening *o = calloc(1, sizeof(*o));

	if (!o || health_worker(v) < 0) {
		free(o);
		return;
	}
	o->w.run = unmake_run;
	o->sv = sv;
	o->v = volume_get(v);
	v->opening = true;
	work_post(&v->worker.q, &o->w);
}

/* Its marker is to go. */
static bool untried(const struct volume *v)
{
	return v->removed && !v->tried;
}

/* Return: it is gone, nobody uses it any more. */
static bool let_go(struct served *sv, struct volume *v)
{
	data_release(sv, v->rec.id, false);
	if (v->opening || v->look_busy || atomic_load(&v->refs) != 1 ||
	    data_holds(sv, v->rec.id) || untried(v))
		return false;
	if (v->removed && volume_writable(v)) {
		unmake(sv, v);
		return false;
	}
	data_forget(sv, v->rec.id);
	log_info(sv->name, "volume %s is let go of: %s", v->rec.name,
		 v->rec.path);
	return true;
}

static void let_go_all(struct served *sv)
{
	struct volume **pp = &sv->volumes, *v;

	while ((v = *pp)) {
		if (!v->removing || !let_go(sv, v)) {
			pp = &v->next;
			continue;
		}
		*pp = v->next;
		volume_put(v);
	}
}

/* Layouts of files that nobody has open would keep a drive mounted. */
static void drop_layouts(struct served *sv)
{
	struct steward *st = &sv->agency->steward;
	struct volume *v;

	if (!sv->attached || now_ms() < st->drop_at)
		return;
	st->drop_at = now_ms() + OPEN_MS;
	for (v = sv->volumes; v; v = v->next)
		if (v->removing || (v->tried && !volume_online(v)))
			channel_send(&sv->ch,
				     nl_encode_layout_drop(sv->ch.family,
							   v->rec.id), NULL);
}

void steward_volumes_tick(struct served *sv)
{
	struct steward *st = &sv->agency->steward;
	struct volume *v;

	drop_layouts(sv);
	let_go_all(sv);
	for (v = sv->volumes; v; v = v->next)
		if (v->root_fd < 0 && !v->opening && now_ms() >= v->open_at &&
		    (!v->removing || untried(v)))
			open_begin(sv, v);
	if (now_ms() >= st->told_at + STATES_MS)
		steward_news(sv);
}

/* --- what the authority says --- */

static int check_one(const Orchfs__Peer__Volume *m)
{
	if (!m->number || m->uuid.len != 16 || m->tier > 255 ||
	    !config_name_valid(m->name) || m->path[0] != '/' ||
	    strlen(m->path) >= sizeof(((struct ns_volume *)0)->path))
		return -EPROTO;
	return m->removed || m->key.len == ORCHFS_KEY_LEN ? 0 : -EPROTO;
}

static int check(struct served *sv, const Orchfs__Peer__Volumes *m)
{
	int rc = m->n_volume > 2 * VOLUMES_MAX ? -E2BIG : 0;

	for (size_t i = 0; i < m->n_volume && !rc; i++) {
		const struct volume *v = served_volume(sv,
						       m->volume[i]->number);

		rc = check_one(m->volume[i]);
		if (!rc && v && (memcmp(v->rec.uuid, m->volume[i]->uuid.data,
					16) ||
				 strcmp(v->rec.path, m->volume[i]->path)))
			rc = -EBUSY;	/* until it is let go of */
	}
	return rc;
}

static int take_one(struct served *sv, const Orchfs__Peer__Volume *m)
{
	struct volume *v = served_volume(sv, m->number);
	struct ns_volume rec = { .id = m->number };	/* its home is here */

	if (!v) {
		memcpy(rec.uuid, m->uuid.data, 16);
		strcpy(rec.name, m->name);
		strcpy(rec.path, m->path);
		v = volume_new(&rec);
		if (!v)
			return -ENOMEM;
		v->next = sv->volumes;
		sv->volumes = v;
	}
	v->named = true;
	v->removed = m->removed;
	v->removing = m->removed;
	v->rec.tier = m->tier;
	v->rec.reserve = m->reserve;
	v->rec.draining = m->draining;
	return m->removed ? 0 : data_key_told(sv, v->rec.id, m->key.data,
					      m->key_id);
}

void steward_volumes(struct served *sv, struct peer_request *r)
{
	const Orchfs__Peer__Volumes *m = r->f->volumes;
	struct volume *v;
	int rc = check(sv, m);

	for (v = sv->volumes; v; v = v->next)
		v->named = false;
	for (size_t i = 0; i < m->n_volume && !rc; i++)
		rc = take_one(sv, m->volume[i]);
	if (rc < 0) {
		peer_fail(r, rc, "volumes: malformed, too many, or still in "
			  "use at another place");
		return;
	}
	for (v = sv->volumes; v; v = v->next)
		v->removing |= !v->named;
	sv->agency->steward.heard = true;
	steward_done(r);
	steward_volumes_tick(sv);
	data_heard(sv);
	steward_news(sv);
}

/* --- what it hears --- */

static uint32_t state_of(const struct volume *v)
{
	if (atomic_load(&v->health) == VOLUME_LOST)
		return HOME_LOST;
	if (v->root_fd < 0)
		return HOME_REFUSED;
	if (v->silent)
		return HOME_SILENT;
	return atomic_load(&v->health) == VOLUME_READONLY ? HOME_READONLY :
							    HOME_ONLINE;
}

static Orchfs__Peer__VolumeState *state(struct arena *a, struct volume *v)
{
	Orchfs__Peer__VolumeState *m = arena_zalloc(a, sizeof(*m));
	struct statvfs s;

	if (!m)
		return NULL;
	orchfs__peer__volume_state__init(m);
	m->number = v->rec.id;
	m->state = state_of(v);
	m->problem = v->problem;
	m->fstype = v->fstype;
	m->unclean = v->unclean;
	if (!volume_online(v) || fstatvfs(v->root_fd, &s) < 0)
		return m;
	volume_measure(v);
	m->size = v->place.size;
	m->free = v->place.free;
	m->inodes = v->place.inodes;
	m->files = s.f_files;
	m->device = v->dev;
	m->quarantined = v->quarantined;
	return m;
}

/* A link that is lost is told all by the next one. */
static bool states_done(struct served *sv, struct agent_call *c, int rc,
			const char *why, peer_frame *f)
{
	(void)c;
	(void)f;
	sv->agency->steward.telling = false;
	if (rc < 0)
		log_warn(sv->name, "the authority doesn't hear of volumes: %s",
			 why);
	return false;
}

static int fill(struct served *sv, struct arena *a,
		Orchfs__Peer__VolumeStates *m)
{
	struct volume *v;
	size_t nr = 0;

	for (v = sv->volumes; v; v = v->next)
		nr++;
	m->address = arena_zalloc(a, NS_NODE_ADDRESS);
	m->volume = arena_zalloc(a, (nr + 1) * sizeof(*m->volume));
	if (!m->address || !m->volume)
		return -ENOMEM;
	cluster_listening(sv->cluster, m->address);
	for (v = sv->volumes; v; v = v->next) {
		if (v->removing || !v->tried)
			continue;
		m->volume[m->n_volume] = state(a, v);
		if (!m->volume[m->n_volume++])
			return -ENOMEM;
	}
	return 0;
}

void steward_tell(struct served *sv)
{
	struct steward *st = &sv->agency->steward;
	Orchfs__Peer__VolumeStates m = ORCHFS__PEER__VOLUME_STATES__INIT;
	peer_frame f = PEER_FRAME_INIT(VOLUME_STATES);
	struct agent_call *c;
	struct arena *a;
	int rc;

	if (!st->heard || st->telling)
		return;
	a = arena_new();
	c = calloc(1, sizeof(*c));
	rc = a && c ? fill(sv, a, &m) : -ENOMEM;
	if (!rc) {
		c->done = states_done;
		f.volume_states = &m;
		rc = agent_ask(sv, c, &f, STATES_WAIT_MS);
	}
	if (rc < 0)
		free(c);
	st->telling = !rc;
	st->news = false;
	st->told_at = now_ms();
	arena_free(a);
}
