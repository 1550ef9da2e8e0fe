// SPDX-License-Identifier: Apache-2.0
/* Volumes of an agent: orchctl volume add there, and status. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent.h"
#include "arena.h"
#include "cluster.h"
#include "ctl_remote.h"
#include "log.h"

#define OPEN_MS		15000
#define POLL_NS		50000000

typedef Orchfs__Control__VolumeInfo volume_info;

struct steward_job {
	struct job j;
	struct ctl_call *c;
	const char *name, *path;
	uint64_t since;			/* a try that began then has an end */
	uint32_t number;
	bool found, again;
};

static const char *state_name(const struct volume *v)
{
	if (v->removing)
		return "removing";
	if (!v->tried)
		return "starting";
	if (atomic_load(&v->health) == VOLUME_LOST)
		return "lost";
	if (v->root_fd < 0)
		return "refused";
	if (v->silent)
		return "silent";
	return atomic_load(&v->health) == VOLUME_READONLY ? "read-only" :
							    "online";
}

static volume_info *info(struct ctl_call *c, const struct volume *v)
{
	volume_info *i = arena_zalloc(c->a, sizeof(*i));

	if (!i)
		return NULL;
	orchfs__control__volume_info__init(i);
	i->id = v->rec.id;
	i->name = ctl_strdup(c, v->rec.name);
	i->path = ctl_strdup(c, v->rec.path);
	i->uuid.data = arena_dup(c->a, v->rec.uuid, 16);
	i->uuid.len = i->uuid.data ? 16 : 0;
	i->kind = ctl_strdup(c, "local");
	i->tier = v->rec.tier;
	i->reserve = v->rec.reserve;
	i->state = ctl_strdup(c, state_name(v));
	i->problem = ctl_strdup(c, v->problem);
	i->fstype = ctl_strdup(c, v->fstype);
	i->size = v->place.size;
	i->free = v->place.free;
	i->quarantined = v->quarantined;
	return i;
}

static int run(struct steward_job *s, struct served *sv,
	       int (*fn)(struct served *, struct job *))
{
	s->j.fn = fn;
	s->j.done = false;
	return served_call(sv, &s->j, 0);
}

/* --- volume add --- */

/* Of those that this node has; the authority compares with all. */
static int clash_run(struct served *sv, struct job *j)
{
	struct steward_job *s = container_of(j, struct steward_job, j);
	struct volume *v;

	for (v = sv->volumes; v; v = v->next) {
		if (v->removing || strcmp(v->rec.path, s->path))
			continue;
		s->found = true;
		if (strcmp(v->rec.name, s->name)) {
			snprintf(s->c->message, sizeof(s->c->message),
				 "%.200s is volume %s already: choose another "
				 "directory for another volume", s->path,
				 v->rec.name);
			return -EEXIST;
		}
		if (volume_online(v)) {
			snprintf(s->c->message, sizeof(s->c->message),
				 "there is a volume %s already (%.200s)",
				 v->rec.name, v->rec.path);
			return -EEXIST;
		}
		s->again = true;
		s->number = v->rec.id;
		s->since = now_ms();
		v->open_at = 0;
		steward_tick(sv);
	}
	return 0;
}

/* -EAGAIN: it isn't known yet */
static int online_run(struct served *sv, struct job *j)
{
	struct steward_job *s = container_of(j, struct steward_job, j);
	struct volume *v = served_volume(sv, s->number);

	if (!v || v->opening || v->open_at < s->since)
		return -EAGAIN;
	s->c->resp.volume = info(s->c, v);
	if (volume_online(v))
		return 0;
	snprintf(s->c->message, sizeof(s->c->message), "%s", v->problem);
	return -ENXIO;
}

static int wait_online(struct steward_job *s, struct served *sv)
{
	const struct timespec t = { .tv_nsec = POLL_NS };
	uint64_t end = now_ms() + OPEN_MS;
	int rc;

	while ((rc = run(s, sv, online_run)) == -EAGAIN) {
		if (now_ms() >= end || served_closing(sv)) {
			snprintf(s->c->message, sizeof(s->c->message),
				 "volume %s is added, and isn't open here yet: "
				 "see orchctl status", s->name);
			return -ETIMEDOUT;
		}
		nanosleep(&t, NULL);
	}
	return rc;
}

/* Number 0: what its marker shall say; else: the marker is there. */
static int ask_add(struct ctl_call *c, struct served *sv, const char *path,
		   Orchfs__Peer__VolumeAdded *out)
{
	const Orchfs__Control__VolumeAdd *a = c->req->volume_add;
	Orchfs__Peer__VolumeAdd m = ORCHFS__PEER__VOLUME_ADD__INIT;
	Orchfs__Peer__Volume v = ORCHFS__PEER__VOLUME__INIT;
	peer_frame f = PEER_FRAME_INIT(VOLUME_ADD), *r;
	int rc;

	v.number = out->number;
	v.uuid = out->uuid;
	v.name = a->name;
	v.path = (char *)path;
	v.tier = a->tier;
	v.reserve = a->reserve;
	m.volume = &v;
	f.volume_add = &m;
	rc = ctl_ask_authority(c, sv, &f, &r);
	if (rc < 0)
		return rc;
	if (r->body_case != PEER_BODY(VOLUME_ADDED) ||
	    !r->volume_added->number || r->volume_added->uuid.len != 16)
		return -EBADMSG;
	*out = *r->volume_added;
	return 0;
}

static int make(struct ctl_call *c, struct served *sv, const char *path,
		const Orchfs__Peer__VolumeAdded *added)
{
	struct marker m = {
		.volume = added->number, .epoch = added->epoch,
		.durable_txn = added->durable,
	};

	memcpy(m.ns_uuid, sv->uuid, 16);
	strcpy(m.ns_name, sv->name);
	memcpy(m.volume_uuid, added->uuid.data, 16);
	return volume_make(path, &m, c->message);
}

static int add_new(struct steward_job *s, struct served *sv)
{
	Orchfs__Peer__VolumeAdded added = ORCHFS__PEER__VOLUME_ADDED__INIT;
	struct ctl_call *c = s->c;
	int rc;

	rc = ask_add(c, sv, s->path, &added);
	if (!rc)
		rc = make(c, sv, s->path, &added);
	s->since = now_ms();
	if (!rc)
		rc = ask_add(c, sv, s->path, &added);
	if (rc < 0)
		return rc;
	log_info(sv->name, "volume %s added: %s", s->name, s->path);
	s->number = added.number;
	return wait_online(s, sv);
}

static int add(struct steward_job *s, struct served *sv)
{
	const Orchfs__Control__VolumeAdd *a = s->c->req->volume_add;
	char real[PATH_MAX], why[VOLUME_WHY] = "";
	struct marker found;
	int rc, check;

	s->name = a->name;
	check = volume_check_new(a->path, a->reserve, sv->uuid, real, &found,
				 why);
	s->path = real;
	rc = check && check != -EEXIST ? 0 : run(s, sv, clash_run);
	if (rc < 0)
		return rc;
	if (s->again)
		return wait_online(s, sv);
	if (!check)
		return add_new(s, sv);
	snprintf(s->c->message, sizeof(s->c->message), "%s", why);
	return check;
}

int ctl_steward_add(struct ctl_call *c, struct served *sv)
{
	struct steward_job *s = job_new(sizeof(*s), NULL);
	int rc;

	if (!s)
		return -ENOMEM;
	s->c = c;
	rc = add(s, sv);
	job_put(&s->j);
	return rc;
}

/* --- status --- */

struct status_job {
	struct job j;
	struct ctl_call *c;
	Orchfs__Control__NamespaceStatus *n;
};

static int status_run(struct served *sv, struct job *j)
{
	struct status_job *s = container_of(j, struct status_job, j);
	Orchfs__Control__NamespaceStatus *n = s->n;
	struct volume *v;
	size_t nr = 0;

	for (v = sv->volumes; v; v = v->next)
		nr++;
	n->volume = arena_zalloc(s->c->a, (nr + 1) * sizeof(*n->volume));
	for (v = sv->volumes; v && n->volume; v = v->next) {
		n->volume[n->n_volume] = info(s->c, v);
		n->n_volume += n->volume[n->n_volume] != NULL;
	}
	return 0;
}

void ctl_steward_status(struct ctl_call *c, struct served *sv,
			Orchfs__Control__NamespaceStatus *n)
{
	struct status_job *s = job_new(sizeof(*s), status_run);

	if (!s)
		return;
	s->c = c;
	s->n = n;
	served_call(sv, &s->j, 0);	/* it waits for no drive */
	job_put(&s->j);
}
