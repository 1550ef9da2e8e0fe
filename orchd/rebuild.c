// SPDX-License-Identifier: Apache-2.0
/*
 * orchctl rebuild: the store is lost, the volumes are left. Nothing on them is
 * changed here.
 */
#include "rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"
#include "store.h"
#include "store_place.h"

struct candidate {
	struct export_file f;
	struct volume *v;
};

__attribute__((format(printf, 3, 4)))
static int fail(struct rebuild *r, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, VOLUME_WHY, fmt, ap);
	va_end(ap);
	return rc;
}

/* Whose volume it is, is all that is known of it so far. */
static int open_volume(struct rebuild *r, const char *path, struct volume **out)
{
	struct ns_volume rec = { 0 };
	struct volume *v;
	int rc;

	if (!realpath(path, rec.path))
		return fail(r, -errno, "%.400s: %s: name the root directory "
			    "of a volume", path, strerror(errno));
	v = volume_new(&rec);
	if (!v)
		return fail(r, -ENOMEM, "out of memory");
	*out = v;
	v->root_fd = open(rec.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = v->root_fd < 0 ? -errno : marker_read(v->root_fd, &v->marker);
	if (rc == -ENOENT)
		return fail(r, rc, "%.400s has no " MARKER_FILE ": it is not "
			    "the root of a volume, or its drive is not "
			    "mounted", rec.path);
	if (rc < 0)
		return fail(r, rc, "%.400s/" MARKER_FILE ": %s", rec.path,
			    rc == -EUCLEAN ? "damaged: check the drive" :
			    rc == -EPROTO ? "of a newer orchfs: upgrade orchd" :
			    strerror(-rc));
	v->rec.id = v->marker.volume;
	memcpy(v->rec.uuid, v->marker.volume_uuid, 16);
	return 0;
}

/* All of one namespace, no two alike. */
static int check_volume(struct rebuild *r, const struct volume *v)
{
	const struct marker *m = &v->marker, *first = &r->volumes->marker;

	if (strcmp(m->ns_name, r->o->name))
		return fail(r, -EXDEV, "%.400s is a volume of namespace %s, "
			    "not of %s", v->rec.path, m->ns_name, r->o->name);
	if (memcmp(m->ns_uuid, first->ns_uuid, 16))
		return fail(r, -EXDEV, "%.250s and %.250s are volumes of two "
			    "namespaces of that name: give those of one",
			    r->volumes->rec.path, v->rec.path);
	for (const struct volume *o = r->volumes; o != v; o = o->next)
		if (o->rec.id == v->rec.id)
			return fail(r, -EEXIST, "%.250s and %.250s are the "
				    "same volume: a copied drive? Give the "
				    "newer one", o->rec.path, v->rec.path);
	return 0;
}

static int open_volumes(struct rebuild *r)
{
	struct volume **tail = &r->volumes;
	int rc;

	for (size_t i = 0; i < r->o->nr_paths; i++) {
		rc = open_volume(r, r->o->paths[i], tail);
		if (!rc)
			rc = check_volume(r, *tail);
		if (rc < 0)
			return rc;
		tail = &(*tail)->next;
	}
	memcpy(r->uuid, r->volumes->marker.ns_uuid, 16);
	return 0;
}

static int compare(const void *a, const void *b)
{
	return export_newer(&((const struct candidate *)a)->f,
			    &((const struct candidate *)b)->f);
}

static int list_exports(struct rebuild *r, struct candidate **out, size_t *nr)
{
	*out = NULL;
	*nr = 0;
	for (struct volume *v = r->volumes; v; v = v->next) {
		struct export_file *list;
		struct candidate *p;
		size_t n;
		int rc;

		rc = export_list(v->root_fd, &list, &n);
		if (rc < 0)
			return fail(r, rc, "%.400s/" EXPORT_DIR ": %s",
				    v->rec.path, strerror(-rc));
		p = realloc(*out, (*nr + n + 1) * sizeof(*p));
		if (!p) {
			free(list);
			return fail(r, -ENOMEM, "out of memory");
		}
		*out = p;
		for (size_t i = 0; i < n; i++)
			p[(*nr)++] = (struct candidate){ list[i], v };
		free(list);
	}
	qsort(*out, *nr, sizeof(**out), compare);
	return 0;
}

static int reject(struct rebuild *r, const struct candidate *c,
		  const char *why)
{
	char (*p)[512];

	p = realloc(r->rejected, (r->nr_rejected + 1) * sizeof(*p));
	if (!p)
		return fail(r, -ENOMEM, "out of memory");
	r->rejected = p;
	snprintf(p[r->nr_rejected++], sizeof(*p), "%.250s/%s: %.200s",
		 c->v->rec.path, c->f.path, why);
	return 0;
}

/* 1 it is in @tmp, 0 it is no good, -errno. */
static int try_export(struct rebuild *r, const struct candidate *c,
		      const char *tmp)
{
	char why[VOLUME_WHY] = "";
	struct stat st;
	int fd, rc;

	fd = openat(c->v->root_fd, c->f.path, O_RDONLY | O_CLOEXEC |
		    O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0) {
		rc = reject(r, c, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	rc = backup_read(fd, r->o->name, r->uuid, tmp, why, sizeof(why));
	close(fd);
	if (rc < 0) {
		remove_tree(tmp);
		/* the new store's own trouble is not the export's */
		if (rc == -EUCLEAN || rc == -EINVAL || rc == -EPROTO)
			return reject(r, c, why);
		return fail(r, rc, "%s", why);
	}
	r->found = true;
	r->from = c->f;
	r->from_volume = c->v;
	r->when.sec = st.st_mtim.tv_sec;
	r->when.nsec = (uint32_t)st.st_mtim.tv_nsec;
	return 1;
}

static int format(struct rebuild *r, const char *tmp)
{
	struct store_opts o = { .create = true };
	const char *why = NULL;
	struct store *st;
	int rc;

	rc = mkdir(tmp, 0700) < 0 ? -errno : 0;
	if (!rc)
		rc = store_open("rocksdb", tmp, &o, &st, &why);
	if (!rc) {
		rc = ns_format(st, r->o->name, r->uuid);
		store_close(st);
	}
	if (rc < 0)
		return fail(r, rc, "the new store in %.400s: %s", tmp,
			    why ? why : strerror(-rc));
	return 0;
}

static int fill_store(struct rebuild *r, const char *tmp)
{
	struct candidate *list;
	size_t nr;
	int rc;

	rc = list_exports(r, &list, &nr);
	for (size_t i = 0; i < nr && !rc; i++)
		rc = try_export(r, &list[i], tmp);
	free(list);
	if (rc)
		return rc < 0 ? rc : 0;
	return format(r, tmp);
}

/* The record of a volume takes its path; one without a record gets one. */
static int adopt_volume(struct rebuild *r, struct volume *v,
			const struct ns_volume *recs, size_t nr)
{
	struct ns_volume rec = v->rec;
	int rc;

	snprintf(rec.name, sizeof(rec.name), "volume-%u", rec.id);
	for (size_t i = 0; i < nr; i++) {
		if (recs[i].id != rec.id)
			continue;
		if (memcmp(recs[i].uuid, rec.uuid, 16))
			return fail(r, -EXDEV, "%.400s is not the volume %s "
				    "that the export knows by its number %u: "
				    "give the right one", rec.path,
				    recs[i].name, rec.id);
		rec = recs[i];
		memcpy(rec.path, v->rec.path, sizeof(rec.path));
		rec.home = 0;		/* wherever it was */
	}
	v->rec = rec;
	rc = ns_volume_put(r->ns, &rec);
	if (rc < 0)
		return fail(r, rc, "volume %s: its record: %s", rec.name,
			    strerror(-rc));
	return 0;
}

static bool given(const struct rebuild *r, uint32_t id)
{
	for (const struct volume *v = r->volumes; v; v = v->next)
		if (v->rec.id == id)
			return true;
	return false;
}

int rebuild_undrain(struct rebuild *r, struct ns_volume *recs, size_t nr)
{
	char (*p)[64];
	int rc = 0;

	for (size_t i = 0; i < nr && !rc; i++) {
		if (!recs[i].draining)
			continue;
		p = realloc(r->undrained, (r->nr_undrained + 1) * sizeof(*p));
		if (!p)
			return fail(r, -ENOMEM, "out of memory");
		r->undrained = p;
		strcpy(p[r->nr_undrained++], recs[i].name);
		recs[i].draining = false;
		rc = ns_volume_put(r->ns, &recs[i]);
		if (rc < 0)
			fail(r, rc, "volume %s: its record: %s", recs[i].name,
			     strerror(-rc));
	}
	return rc;
}

static int adopt_volumes(struct rebuild *r)
{
	struct ns_volume *recs;
	size_t nr;
	int rc;

	rc = ns_volumes(r->ns, &recs, &nr);
	if (rc < 0)
		return fail(r, rc, "the export's volumes: %s", strerror(-rc));
	r->away = calloc(nr + 1, sizeof(*r->away));
	if (!r->away)
		rc = fail(r, -ENOMEM, "out of memory");
	if (!rc)
		rc = rebuild_undrain(r, recs, nr);
	for (size_t i = 0; i < nr && !rc; i++) {
		if (given(r, recs[i].id))
			continue;
		strcpy(r->away[r->nr_away++], recs[i].name);
		/* another node's can't be */
		if (!r->o->partial && !recs[i].home)
			rc = fail(r, -ENXIO, "volume %s is not among those "
				  "given (it was at %.300s): give its root "
				  "too, or --partial to go on without it",
				  recs[i].name, recs[i].path);
	}
	for (struct volume *v = r->volumes; v && !rc; v = v->next)
		rc = adopt_volume(r, v, recs, nr);
	free(recs);
	return rc;
}

static int change_store(struct rebuild *r, const char *tmp)
{
	struct store_opts o = { 0 };
	const char *why = NULL;
	struct store *st;
	int rc, end;

	rc = store_open("rocksdb", tmp, &o, &st, &why);
	if (rc < 0)
		return fail(r, rc, "the new store in %.400s: %s", tmp,
			    why ? why : strerror(-rc));
	rc = ns_rebuild_renew(st, &r->seen);
	if (!rc)
		rc = ns_open(st, &rebuild_backing_ops, r, "rebuild", &r->ns,
			     &why);
	if (rc < 0)
		fail(r, rc, "the new store in %.400s: %s", tmp,
		     why ? why : strerror(-rc));
	if (!rc) {
		rc = adopt_volumes(r);
		if (!rc)
			rc = ns_rebuild_orphans(r->ns);
		if (!rc)
			rc = rebuild_scan(r);
		end = ns_close(r->ns);
		if (!rc && end < 0)
			rc = fail(r, end, "the new store in %.400s: %s", tmp,
				  strerror(-end));
	}
	store_close(st);
	return rc;
}

static int make(struct rebuild *r, struct store_place *p)
{
	char aside[STORE_PLACE_PATH];
	int rc;

	rc = fill_store(r, p->tmp);
	if (!rc)
		rc = change_store(r, p->tmp);
	if (!rc && !r->o->dry_run)
		rc = store_place_commit(p, aside, r->why, VOLUME_WHY);
	return rc;
}

void rebuild_release(struct rebuild *r)
{
	struct volume *v;

	while ((v = r->volumes)) {
		r->volumes = v->next;
		volume_put(v);
	}
	for (size_t i = 0; i < r->nr_missing; i++)
		free(r->missing[i]);
	free(r->missing);
	free(r->rejected);
	free(r->away);
	free(r->undrained);
}

int rebuild_run(const struct rebuild_opts *o, char *why)
{
	struct rebuild r = { .o = o, .why = why };
	struct store_place p;
	int rc;

	rc = store_place_begin(&p, o->store, false, why, VOLUME_WHY);
	if (!rc)
		rc = open_volumes(&r);
	for (struct volume *v = r.volumes; v && !rc; v = v->next)
		rc = rebuild_look(&r, v);
	if (!rc)
		rc = make(&r, &p);
	if (!rc)
		rebuild_report(&r);
	store_place_end(&p);
	rebuild_release(&r);
	return rc;
}
