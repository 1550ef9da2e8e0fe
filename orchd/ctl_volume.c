// SPDX-License-Identifier: Apache-2.0
/* orchctl volume add, list, set, remove. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "arena.h"
#include "config.h"
#include "ctl.h"
#include "ctl_remote.h"
#include "data.h"
#include "export.h"
#include "home.h"
#include "log.h"
#include "mover.h"
#include "ns_cluster.h"
#include "served.h"

#define AGAIN_MS	15000

struct volume_job {
	struct job j;
	struct ctl_call *c;
	struct ns_volume rec;
	struct marker marker;	/* found at the path, or to be written */
	struct stat st;		/* of the directory, where it exists */
	struct volume *volume;
	bool again;		/* the name and path of a refused volume */
	bool busy;		/* with a round that began before */
	uint64_t rounds;
};

static int run(struct volume_job *v, struct served *sv,
	       int (*fn)(struct served *, struct job *))
{
	v->j.fn = fn;
	v->j.done = false;
	return served_call(sv, &v->j, 0);
}

static const char *state_name(const struct served *sv, const struct volume *v)
{
	if (v->removing)
		return "removing";
	if (atomic_load(&v->health) == VOLUME_LOST)
		return "lost";
	if (volume_far(v) && !home_linked(sv, v->rec.home))
		return "away";
	if (!volume_there(v))
		return "refused";
	if (v->silent)
		return "silent";
	if (atomic_load(&v->health) == VOLUME_READONLY)
		return "read-only";
	if (v->rec.draining)
		return "draining";
	return volume_full(v) ? "full" : "online";
}

static char *problem_text(struct ctl_call *c, struct served *sv,
			  struct volume *v)
{
	char text[VOLUME_WHY];

	if (!v->problem[0] && v->rec.draining) {
		mover_drain_text(sv, v, text);
		return ctl_strdup(c, text);
	}
	if (v->problem[0] || !volume_online(v) || !volume_full(v))
		return ctl_strdup(c, v->problem);
	if (v->place.free <= v->rec.reserve + 4096 || !v->pool_error)
		snprintf(text, sizeof(text), "volume %s is full: it has %llu "
			 "MiB free and a reserve of %llu MiB, new files go "
			 "elsewhere. Remove or move files, or lower the "
			 "reserve with orchctl volume set", v->rec.name,
			 (unsigned long long)v->place.free >> 20,
			 (unsigned long long)v->rec.reserve >> 20);
	else
		snprintf(text, sizeof(text), "volume %s: no files can be made "
			 "in %.200s: %s: new ones go elsewhere. Remove or "
			 "move files", v->rec.name, v->rec.path,
			 strerror(-v->pool_error));
	return ctl_strdup(c, text);
}

uint32_t ctl_home(struct ctl_call *c, struct served *sv,
		  const struct volume *v, char **name)
{
	const struct ns_cluster *cl = ns_cluster(sv->ns);
	const uint32_t home = v->rec.home ? v->rec.home :
			      cl ? cl->authority : 0;
	const struct ns_node *n;
	size_t nr;

	n = ns_nodes(sv->ns, &nr);
	for (size_t i = 0; i < nr; i++)
		if (n[i].number == home)
			*name = ctl_strdup(c, n[i].name);
	return home;
}

static Orchfs__Control__VolumeInfo *volume_info(struct ctl_call *c,
						struct served *sv,
						struct volume *v)
{
	Orchfs__Control__VolumeInfo *i = arena_zalloc(c->a, sizeof(*i));
	struct statvfs s;

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
	i->state = ctl_strdup(c, state_name(sv, v));
	i->problem = problem_text(c, sv, v);
	i->fstype = ctl_strdup(c, v->fstype);
	i->home = ctl_home(c, sv, v, &i->home_name);
	if (volume_far(v)) {
		i->size = v->place.size;
		i->free = v->place.free;
		i->quarantined = v->quarantined;
	} else if (volume_online(v) && !fstatvfs(v->root_fd, &s)) {
		i->size = (uint64_t)s.f_blocks * s.f_frsize;
		i->free = (uint64_t)s.f_bavail * s.f_frsize;
		i->quarantined = volume_count_quarantined(v);
	}
	return i;
}

/* Here and not in the namespace thread: it takes long with many files. */
static void count_instances(struct served *sv,
			    Orchfs__Control__VolumeInfo *i)
{
	ns_count_instances(sv->st, i->id, &i->instances);
}

static int list_run(struct served *sv, struct job *j)
{
	struct ctl_call *c = container_of(j, struct volume_job, j)->c;
	Orchfs__Control__VolumeList *l = arena_zalloc(c->a, sizeof(*l));
	struct volume *v;
	size_t nr = 0;

	for (v = sv->volumes; v; v = v->next)
		nr++;
	if (!l)
		return -ENOMEM;
	orchfs__control__volume_list__init(l);
	l->volume = arena_zalloc(c->a, (nr + 1) * sizeof(*l->volume));
	if (!l->volume)
		return -ENOMEM;
	for (v = sv->volumes; v; v = v->next) {
		l->volume[l->n_volume] = volume_info(c, sv, v);
		if (l->volume[l->n_volume])
			l->n_volume++;
	}
	c->resp.volumes = l;
	return 0;
}

int ctl_volume_list(struct ctl_call *c)
{
	struct volume_job *v = job_new(sizeof(*v), NULL);
	struct served *sv;
	int rc;

	if (!v)
		return -ENOMEM;
	v->c = c;
	rc = ctl_served(c, c->req->volume_list->name, &sv);
	if (!rc) {
		rc = run(v, sv, list_run);
		for (size_t i = 0; !rc && i < c->resp.volumes->n_volume; i++)
			count_instances(sv, c->resp.volumes->volume[i]);
		served_release(sv);
	}
	job_put(&v->j);
	return rc;
}

static int add_clash(struct volume_job *j, const struct volume *v)
{
	char *why = j->c->message;

	if (volume_clash(v, &j->rec, why))
		return -EEXIST;
	if ((j->marker.volume &&
	     !memcmp(j->marker.volume_uuid, v->rec.uuid, 16)) ||
	    (volume_here(v) && j->st.st_ino && v->dev == j->st.st_dev &&
	     v->ino == j->st.st_ino)) {
		snprintf(why, VOLUME_WHY, "%.200s is volume %s already: choose "
			 "another directory for another volume", j->rec.path,
			 v->rec.name);
		return -EEXIST;
	}
	return 0;
}

static int add_check(struct served *sv, struct job *job)
{
	struct volume_job *j = container_of(job, struct volume_job, j);
	unsigned int nr = 0;
	struct volume *v;
	int rc = 0;

	for (v = sv->volumes; v && !rc; v = v->next, nr++)
		rc = add_clash(j, v);
	if (rc || nr < VOLUMES_MAX)
		return rc;
	snprintf(j->c->message, VOLUME_WHY, "a namespace has at most %d "
		 "volumes: remove one first", VOLUMES_MAX);
	return -ENOSPC;
}

static int add_number(struct served *sv, struct job *job)
{
	struct volume_job *j = container_of(job, struct volume_job, j);
	uint64_t id;
	int rc;

	rc = ns_reserve(sv->ns, "volume", 1, &id);
	if (rc < 0)
		return rc;
	j->rec.id = (uint32_t)id;
	j->marker = (struct marker) {
		.volume = j->rec.id,
		.durable_txn = store_durable(sv->st),
		.epoch = sv->epoch,
	};
	memcpy(j->marker.ns_uuid, sv->uuid, 16);
	strcpy(j->marker.ns_name, sv->name);
	memcpy(j->marker.volume_uuid, j->rec.uuid, 16);
	return 0;
}

static int add_record(struct served *sv, struct job *job)
{
	struct volume_job *j = container_of(job, struct volume_job, j);
	struct volume *v, **p;
	int rc;

	rc = add_check(sv, job);	/* two at once */
	if (rc < 0)
		return rc;
	v = volume_new(&j->rec);
	if (!v)
		return -ENOMEM;
	rc = volume_open(v, sv->uuid);
	if (rc < 0)
		snprintf(j->c->message, VOLUME_WHY, "%s", v->problem);
	else
		rc = ns_volume_put(sv->ns, &j->rec);
	if (rc < 0) {
		volume_put(v);
		return rc;
	}
	for (p = &sv->volumes; *p; p = &(*p)->next)
		;
	*p = v;
	j->volume = v;
	exporter_want(sv);
	j->c->resp.volume = volume_info(j->c, sv, v);
	log_info(sv->name, "volume %s added: %s", v->rec.name, v->rec.path);
	return 0;
}

static void random_uuid(uint8_t u[16])
{
	if (getrandom(u, 16, 0) != 16)
		abort();
	u[6] = (u[6] & 0x0f) | 0x40;
	u[8] = (u[8] & 0x3f) | 0x80;
}

static int again_begin(struct served *sv, struct job *job)
{
	struct volume_job *j = container_of(job, struct volume_job, j);
	struct volume *v;

	for (v = sv->volumes; v; v = v->next)
		if (!strcmp(v->rec.name, j->rec.name) &&
		    !strcmp(v->rec.path, j->rec.path))
			break;
	if (!v || volume_far(v) || volume_online(v) || v->removing)
		return 0;
	j->again = true;
	j->busy = sv->readmit.busy;
	j->rounds = sv->readmit.rounds;
	readmit_kick(sv);
	return 1;
}

static int again_end(struct served *sv, struct job *job)
{
	struct volume_job *j = container_of(job, struct volume_job, j);
	struct volume *v;

	for (v = sv->volumes; v; v = v->next)
		if (!strcmp(v->rec.name, j->rec.name))
			break;
	if (!v)
		return -ENOENT;
	if (!volume_online(v)) {
		snprintf(j->c->message, VOLUME_WHY, "%s", v->problem);
		return -ENXIO;
	}
	j->c->resp.volume = volume_info(j->c, sv, v);
	return 0;
}

/* A volume that is known and refused: has its drive come back? */
static int add_again(struct volume_job *j, struct served *sv, const char *path)
{
	struct timespec end;
	int rc;

	if (!realpath(path, j->rec.path))
		snprintf(j->rec.path, sizeof(j->rec.path), "%.4000s", path);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += AGAIN_MS / 1000;
	/* of a round that was under way the answer may be an old one */
	do {
		rc = run(j, sv, again_begin);
		if (rc <= 0)
			break;
		rc = 0;
		pthread_mutex_lock(&sv->lock);
		while (!rc && !sv->closing && sv->readmit.rounds == j->rounds)
			rc = -pthread_cond_timedwait(&sv->changed, &sv->lock,
						     &end);
		pthread_mutex_unlock(&sv->lock);
	} while (!rc && j->busy);
	if (!j->again)
		return rc;
	rc = run(j, sv, again_end);
	if (!rc && j->c->resp.volume)
		count_instances(sv, j->c->resp.volume);
	return rc;
}

static int add_held(struct volume_job *j, struct served *sv, const char *path)
{
	struct ctl_call *c = j->c;
	char why[VOLUME_WHY] = "";
	int check, rc;

	rc = add_again(j, sv, path);
	if (rc < 0 || j->again)
		return rc;
	check = volume_check_new(path, j->rec.reserve, sv->uuid, j->rec.path,
				 &j->marker, why);
	if (!check || check == -EEXIST) {
		if (stat(j->rec.path, &j->st) < 0)
			memset(&j->st, 0, sizeof(j->st));
		rc = run(j, sv, add_check);
		if (rc < 0)
			return rc;
	}
	if (check < 0) {
		snprintf(c->message, sizeof(c->message), "%s", why);
		return check;
	}
	random_uuid(j->rec.uuid);
	rc = run(j, sv, add_number);
	if (!rc)
		rc = volume_make(j->rec.path, &j->marker, c->message);
	if (!rc) {
		/* its own marker is no clash */
		memset(&j->marker, 0, sizeof(j->marker));
		rc = run(j, sv, add_record);
	}
	if (!rc)
		rc = sync_wait(sv, atomic_load(&sv->last_txn));
	return rc;
}

int ctl_volume_add(struct ctl_call *c)
{
	const Orchfs__Control__VolumeAdd *a = c->req->volume_add;
	struct volume_job *j;
	struct served *sv;
	int rc;

	if (!config_name_valid(a->name)) {
		snprintf(c->message, sizeof(c->message), "\"%.80s\" is no "
			 "name for a volume: use 1 to 63 of A-Z a-z 0-9 . _ -",
			 a->name);
		return -EINVAL;
	}
	if (a->tier > 255) {
		snprintf(c->message, sizeof(c->message), "tier %u: use 0 to "
			 "255", a->tier);
		return -EINVAL;
	}
	if (ctl_agent(c, a->ns, &sv)) {
		rc = ctl_steward_add(c, sv);
		served_release(sv);
		return rc;
	}
	rc = ctl_served(c, a->ns, &sv);
	if (rc < 0)
		return rc;
	j = job_new(sizeof(*j), NULL);
	if (j) {
		j->c = c;
		strcpy(j->rec.name, a->name);
		j->rec.tier = a->tier;
		j->rec.reserve = a->reserve;
		rc = add_held(j, sv, a->path);
		job_put(&j->j);
	} else {
		rc = -ENOMEM;
	}
	served_release(sv);
	return rc;
}

static struct volume *find_name(struct served *sv, const char *name)
{
	struct volume *v;

	for (v = sv->volumes; v && strcmp(v->rec.name, name); v = v->next)
		;
	return v;
}

static struct volume *find_said(struct served *sv, struct volume_job *j)
{
	struct volume *v = find_name(sv, j->rec.name);

	if (!v)
		snprintf(j->c->message, VOLUME_WHY, "there is no volume %s; "
			 "see orchctl volume list", j->rec.name);
	return v;
}

static int set_run(struct served *sv, struct job *job)
{
	struct volume_job *j = container_of(job, struct volume_job, j);
	const Orchfs__Control__VolumeSet *s = j->c->req->volume_set;
	struct volume *v = find_said(sv, j);
	struct ns_volume rec;
	int rc;

	if (!v)
		return -ENOENT;
	rec = v->rec;
	if (s->set_tier)
		rec.tier = s->tier;
	if (s->set_reserve)
		rec.reserve = s->reserve;
	rc = ns_volume_put(sv->ns, &rec);
	if (rc == -EBUSY)
		snprintf(j->c->message, VOLUME_WHY, "volume %s holds files: "
			 "its tier can be changed while it is empty; move "
			 "them away first", v->rec.name);
	if (rc < 0)
		return rc;
	/* workers read the rest of the record */
	v->rec.tier = rec.tier;
	v->rec.reserve = rec.reserve;
	v->pool_error = 0;
	volume_measure(v);
	home_news(sv, v->rec.home);
	j->c->resp.volume = volume_info(j->c, sv, v);
	return 0;
}

int ctl_volume_set(struct ctl_call *c)
{
	const Orchfs__Control__VolumeSet *s = c->req->volume_set;
	struct volume_job *j;
	struct served *sv;
	int rc;

	if (s->set_tier && s->tier > 255) {
		snprintf(c->message, sizeof(c->message), "tier %u: use 0 to "
			 "255", s->tier);
		return -EINVAL;
	}
	j = job_new(sizeof(*j), NULL);
	if (!j)
		return -ENOMEM;
	j->c = c;
	snprintf(j->rec.name, sizeof(j->rec.name), "%.63s", s->name);
	rc = ctl_served(c, s->ns, &sv);
	if (!rc) {
		rc = run(j, sv, set_run);
		if (!rc)
			rc = sync_wait(sv, atomic_load(&sv->last_txn));
		if (!rc && c->resp.volume)
			count_instances(sv, c->resp.volume);
		served_release(sv);
	}
	job_put(&j->j);
	return rc;
}

static int remove_begin(struct served *sv, struct job *job)
{
	struct volume_job *j = container_of(job, struct volume_job, j);
	struct volume *v = find_said(sv, j);

	if (!v)
		return -ENOENT;
	if (v->removing)
		return -EALREADY;
	v->removing = true;
	j->volume = volume_get(v);
	return 0;
}

#define REMOVE_S	60

/* What a removal waits for. */
enum { REMOVE_MAKES = 1, REMOVE_UNLINKS, REMOVE_SERVED, REMOVE_AWAY };

/*
 * Deletions of its files and a batch of its pool may still be under way; other
 * nodes may use it, who have nothing there to use any more.
 */
static int remove_quiet(struct served *sv, struct job *job)
{
	struct volume_job *j = container_of(job, struct volume_job, j);
	struct ns_deletion d[64];
	uint64_t after = 0;
	int n;

	deleter_kick(sv);
	if (j->volume->pool_busy)
		return REMOVE_MAKES;
	if (volume_far(j->volume) && !j->volume->left &&
	    !home_linked(sv, j->volume->rec.home))
		return REMOVE_AWAY;
	if (!volume_far(j->volume))
		data_release(sv, j->volume->rec.id, false);
	if (data_holds(sv, j->volume->rec.id))
		return REMOVE_SERVED;
	while ((n = ns_deletions(sv->ns, after, d, 64)) > 0) {
		for (int i = 0; i < n; i++)
			if (d[i].volume == j->volume->rec.id)
				return volume_online(j->volume) ?
					REMOVE_UNLINKS : 0;
		after = d[n - 1].seq;
	}
	return n;
}

static int remove_record(struct served *sv, struct job *job)
{
	struct volume_job *j = container_of(job, struct volume_job, j);
	struct volume *v = j->volume, **p;
	int rc;

	rc = pool_drop_volume(sv, v);
	if (!rc)
		rc = ns_volume_del(sv->ns, v->rec.id);
	if (rc < 0)
		return rc;
	for (p = &sv->volumes; *p != v; p = &(*p)->next)
		;
	*p = v->next;
	volume_put(v);		/* the list's; ours keeps it */
	return 0;
}

static int remove_abandon(struct served *sv, struct job *job)
{
	struct volume_job *j = container_of(job, struct volume_job, j);

	j->volume->removing = false;
	data_release(sv, j->volume->rec.id, true);
	return 0;
}

static const char *const remove_late[] = {
	[REMOVE_MAKES] = "volume %s: its drive has been making files for %d "
			 "seconds: check it, then try again",
	[REMOVE_UNLINKS] = "volume %s: some of its files could not be unlinked "
			   "within %d seconds: see orchd's log, then try again",
	[REMOVE_SERVED] = "volume %s: other nodes' requests there did not end "
			  "within %d seconds: check its drive, then try again",
	[REMOVE_AWAY] = "volume %s: its node was not connected for %d seconds: "
			"see that orchd runs there, then try again",
};

static int remove_wait(struct volume_job *j, struct served *sv)
{
	uint64_t end = now_ms() + REMOVE_S * 1000;
	struct timespec t;
	int rc;

	while ((rc = run(j, sv, remove_quiet)) > 0) {
		if (now_ms() > end) {
			snprintf(j->c->message, VOLUME_WHY, remove_late[rc],
				 j->rec.name, REMOVE_S);
			return -ETIMEDOUT;
		}
		clock_gettime(CLOCK_MONOTONIC, &t);
		t.tv_nsec += 100000000;
		if (t.tv_nsec >= 1000000000) {
			t.tv_sec++;
			t.tv_nsec -= 1000000000;
		}
		pthread_mutex_lock(&sv->lock);
		if (!sv->closing)
			pthread_cond_timedwait(&sv->changed, &sv->lock, &t);
		rc = sv->closing ? -ESHUTDOWN : 0;
		pthread_mutex_unlock(&sv->lock);
		if (rc < 0)
			return rc;
	}
	return rc;
}

/* The record is gone, durably: what was made for the volume may go. */
static void remove_files(struct volume_job *j)
{
	struct volume *v = j->volume;
	int rc;

	for (size_t i = 0; i < v->pool_nr; i++)
		backing_unlink(v, v->pool[i].ino, 1, v->pool[i].instance);
	rc = volume_unmake(v);
	if (rc < 0)
		snprintf(j->c->message, VOLUME_WHY, "volume %s is removed; "
			 "its directory %.200s could not be cleaned: %s",
			 v->rec.name, v->rec.path, strerror(-rc));
}

/* By its home; what can't be asked any more is left there. */
static int remove_far(struct served *sv, struct job *job)
{
	struct volume_job *j = container_of(job, struct volume_job, j);

	home_removed(sv, j->volume);
	return 0;
}

/* No new files come to it from now on. */
static int remove_check(struct volume_job *j, struct served *sv)
{
	uint64_t count;
	int rc = ns_count_instances(sv->st, j->volume->rec.id, &count);

	if (rc < 0 || !count)
		return rc;
	if (j->volume->left)
		snprintf(j->c->message, sizeof(j->c->message), "volume %s of "
			 "a node that was removed holds the contents of %llu "
			 "files: remove them first; those that are removed "
			 "go when no node has them open", j->rec.name,
			 (unsigned long long)count);
	else
		snprintf(j->c->message, sizeof(j->c->message), "volume %s "
			 "holds the contents of %llu files: move them away "
			 "with orchctl volume drain %s first", j->rec.name,
			 (unsigned long long)count, j->rec.name);
	return -EBUSY;
}

static int remove_held(struct volume_job *j, struct served *sv)
{
	int rc;

	rc = run(j, sv, remove_begin);
	if (rc < 0)
		return rc;
	rc = remove_check(j, sv);
	if (!rc)
		rc = sync_wait(sv, atomic_load(&sv->last_txn));
	if (!rc)
		rc = remove_wait(j, sv);
	if (!rc)
		rc = run(j, sv, remove_record);
	if (rc < 0) {
		run(j, sv, remove_abandon);
		volume_put(j->volume);
		return rc;
	}
	rc = sync_wait(sv, atomic_load(&sv->last_txn));
	if (!rc && volume_far(j->volume))
		rc = run(j, sv, remove_far);
	else if (!rc)
		remove_files(j);
	volume_put(j->volume);
	return rc;
}

int ctl_volume_remove(struct ctl_call *c)
{
	struct volume_job *j = job_new(sizeof(*j), NULL);
	struct served *sv;
	int rc;

	if (!j)
		return -ENOMEM;
	j->c = c;
	snprintf(j->rec.name, sizeof(j->rec.name), "%.63s",
		 c->req->volume_remove->name);
	rc = ctl_served(c, c->req->volume_remove->ns, &sv);
	if (!rc) {
		rc = remove_held(j, sv);
		served_release(sv);
	}
	job_put(&j->j);
	return rc;
}
