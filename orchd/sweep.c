// SPDX-License-Identifier: Apache-2.0
/*
 * After a power cut: every backing file of a volume against the instance
 * records. Nothing is deleted here. At a start it is made in one go; while the
 * namespace is served, in steps between its requests.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "served.h"

#define LOG_MAX	20	/* missing files named in the log */

struct sweep_deletions {
	struct ns_deletion *d;
	size_t nr, max;
};

static int deletion_cmp(const void *a, const void *b)
{
	const struct ns_deletion *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	if (x->version != y->version)
		return x->version < y->version ? -1 : 1;
	if (x->instance != y->instance)
		return x->instance < y->instance ? -1 : 1;
	if (x->volume != y->volume)
		return x->volume < y->volume ? -1 : 1;
	return 0;
}

int sweep_deletions_load(struct ns *ns, struct sweep_deletions **out)
{
	struct sweep_deletions *s = calloc(1, sizeof(*s));
	uint64_t after = 0;
	int n = 0;

	if (!s)
		return -ENOMEM;
	for (;;) {
		if (s->nr + 1024 > s->max) {
			size_t max = s->max * 2 + 2048;
			void *p = realloc(s->d, max * sizeof(*s->d));

			if (!p) {
				n = -ENOMEM;
				break;
			}
			s->d = p;
			s->max = max;
		}
		n = ns_deletions(ns, after, s->d + s->nr, 1024);
		if (n <= 0)
			break;
		s->nr += (size_t)n;
		after = s->d[s->nr - 1].seq;
	}
	if (n < 0) {
		sweep_deletions_free(s);
		return n;
	}
	qsort(s->d, s->nr, sizeof(*s->d), deletion_cmp);
	*out = s;
	return 0;
}

bool sweep_deletions_has(const struct sweep_deletions *s, uint32_t volume,
			 uint64_t ino, uint64_t version, uint64_t instance)
{
	struct ns_deletion key = {
		.volume = volume, .ino = ino, .version = version,
		.instance = instance,
	};

	return s->nr && bsearch(&key, s->d, s->nr, sizeof(*s->d),
				deletion_cmp);
}

void sweep_deletions_free(struct sweep_deletions *s)
{
	if (!s)
		return;
	free(s->d);
	free(s);
}

struct sweep {
	struct served *sv;
	struct volume *v;
	struct sweep_deletions *deletions;
	char **names;			/* SUBDIR, NUL, NAME */
	size_t nr_names, max_names, next_name;
	struct ns_instance_pos pos;
	struct sweep_file {
		uint64_t ino, version, instance;
	} *files;			/* of a step */
	size_t nr, max;
	uint64_t instances, quarantined, missing;
};

/* 1 known, 0 unknown, -errno */
static int sweep_known(struct sweep *s, const char *name)
{
	uint64_t ino, version, instance;

	if (!backing_parse(name, &ino, &version, &instance))
		return 0;
	if (version == 1 && pool_has(s->v, ino, instance))
		return 1;
	if (sweep_deletions_has(s->deletions, s->v->rec.id, ino, version,
				instance))
		return 1;
	return ns_has_instance(s->sv->ns, s->v->rec.id, ino, version,
			       instance);
}

/* What was removed since the sweep began is known to the latest deletions. */
static int sweep_known_now(struct sweep *s, const char *name)
{
	struct sweep_deletions *d;
	int rc = sweep_known(s, name);

	if (rc || !s->sv->deleter.worker.started)
		return rc;
	rc = sweep_deletions_load(s->sv->ns, &d);
	if (rc)
		return rc;
	sweep_deletions_free(s->deletions);
	s->deletions = d;
	return sweep_known(s, name);
}

static int sweep_name(struct sweep *s, const char *subdir, const char *name)
{
	int rc = sweep_known_now(s, name);

	if (rc)
		return rc < 0 ? rc : 0;
	rc = backing_quarantine(s->v, *subdir ? subdir : NULL, name);
	if (rc == -ENOENT)
		return 0;	/* unlinked since it was listed */
	if (rc < 0) {
		log_err(s->sv->name, "volume %s: cannot move %s to "
			"quarantine: %s", s->v->rec.name, name, strerror(-rc));
		return rc;
	}
	s->quarantined++;
	return 0;
}

static int sweep_push(void *ctx, const char *subdir, const char *name)
{
	struct sweep *s = ctx;
	size_t head = subdir ? strlen(subdir) : 0;
	char *p;

	if (s->nr_names == s->max_names) {
		size_t max = s->max_names * 2 + 4096;
		void *q = realloc(s->names, max * sizeof(*s->names));

		if (!q)
			return -ENOMEM;
		s->names = q;
		s->max_names = max;
	}
	p = malloc(head + strlen(name) + 2);
	if (!p)
		return -ENOMEM;
	memcpy(p, subdir ? subdir : "", head + 1);
	strcpy(p + head + 1, name);
	s->names[s->nr_names++] = p;
	return 0;
}

static int sweep_collect(void *ctx, uint64_t ino, uint64_t version,
			 uint64_t instance, uint32_t volume, bool valid)
{
	struct sweep *s = ctx;

	/* The copies of a job may not be there yet, or not any more. */
	if (volume != s->v->rec.id || !valid)
		return 0;
	if (s->nr == s->max) {
		size_t max = s->max * 2 + 256;
		void *p = realloc(s->files, max * sizeof(*s->files));

		if (!p)
			return -ENOMEM;
		s->files = p;
		s->max = max;
	}
	s->files[s->nr++] = (struct sweep_file) { ino, version, instance };
	return 0;
}

static int sweep_check(struct sweep *s, const struct sweep_file *f)
{
	struct ns_backing_stat st;
	char path[BACKING_PATH_MAX];
	int rc;

	rc = volume_stat(s->v, f->ino, f->version, f->instance, &st);
	if (rc == -ENOENT) {
		backing_path(path, f->ino, f->version, f->instance);
		if (s->missing++ < LOG_MAX)
			log_err(s->sv->name, "volume %s: backing file %s of "
				"inode %llu is missing: its contents are "
				"lost; see orchctl fsck", s->v->rec.name,
				path, (unsigned long long)f->ino);
		return 0;
	}
	if (!rc)
		rc = ns_settle(s->sv->ns, f->ino);
	return rc;
}

int sweep_new(struct served *sv, struct volume *v, struct sweep **out)
{
	struct sweep *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	log_info(sv->name, "volume %s: comparing backing files with records "
		 "after an unclean stop", v->rec.name);
	s->sv = sv;
	s->v = volume_get(v);
	rc = sweep_deletions_load(sv->ns, &s->deletions);
	if (rc)
		sweep_free(s);
	else
		*out = s;
	return rc;
}

void sweep_free(struct sweep *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nr_names; i++)
		free(s->names[i]);
	free(s->names);
	free(s->files);
	sweep_deletions_free(s->deletions);
	volume_put(s->v);
	free(s);
}

int sweep_list(struct sweep *s)
{
	return backing_each(s->v, sweep_push, s);
}

static void sweep_report(struct sweep *s)
{
	s->sv->damaged += s->missing;
	log_info(s->sv->name, "volume %s: %llu instances, %llu missing, %llu "
		 "unknown files moved to quarantine", s->v->rec.name,
		 (unsigned long long)s->instances,
		 (unsigned long long)s->missing,
		 (unsigned long long)s->quarantined);
}

int sweep_step(struct sweep *s, size_t max)
{
	int rc = 0, more;

	for (; !rc && max && s->next_name < s->nr_names; max--) {
		const char *p = s->names[s->next_name++];

		rc = sweep_name(s, p, p + strlen(p) + 1);
	}
	if (rc || !max)
		return rc ? rc : 1;
	/* Nothing comes between reading records and looking at their files. */
	s->nr = 0;
	more = ns_some_instances(s->sv->ns, &s->pos, max, sweep_collect, s);
	if (more < 0)
		return more;
	for (size_t i = 0; !rc && i < s->nr; i++)
		rc = sweep_check(s, &s->files[i]);
	s->instances += s->nr;
	if (!rc && !more)
		sweep_report(s);
	return rc ? rc : more;
}
