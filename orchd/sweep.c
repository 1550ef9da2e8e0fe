// SPDX-License-Identifier: Apache-2.0
/*
 * After a power cut: every backing file of a volume against the instance
 * records. Nothing is deleted here.
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

bool sweep_deletions_has(const struct sweep_deletions *s, uint64_t ino,
			 uint64_t version, uint64_t instance)
{
	struct ns_deletion key = {
		.ino = ino, .version = version, .instance = instance,
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
	struct sweep_file {
		uint64_t ino, version, instance;
	} *files;
	size_t nr, max;
	uint64_t quarantined, missing;
};

/* 1 known, 0 unknown, -errno */
static int sweep_known(struct sweep *s, const char *name)
{
	uint64_t ino, version, instance;

	if (!backing_parse(name, &ino, &version, &instance))
		return 0;
	if (version == 1 && pool_has(s->v, ino, instance))
		return 1;
	if (sweep_deletions_has(s->deletions, ino, version, instance))
		return 1;
	return ns_has_instance(s->sv->ns, ino, version, instance);
}

static int sweep_file(void *ctx, const char *subdir, const char *name)
{
	struct sweep *s = ctx;
	int rc = sweep_known(s, name);

	if (rc)
		return rc < 0 ? rc : 0;
	rc = backing_quarantine(s->v, subdir, name);
	if (rc < 0) {
		log_err(s->sv->name, "volume %s: cannot move %s to "
			"quarantine: %s", s->v->rec.name, name, strerror(-rc));
		return rc;
	}
	s->quarantined++;
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
		size_t max = s->max * 2 + 4096;
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

int sweep_volume(struct served *sv, struct volume *v)
{
	struct sweep s = { .sv = sv, .v = v };
	int rc;

	log_info(sv->name, "volume %s: comparing backing files with records "
		 "after an unclean stop", v->rec.name);
	rc = sweep_deletions_load(sv->ns, &s.deletions);
	if (!rc)
		rc = backing_each(v, sweep_file, &s);
	if (!rc)
		rc = ns_each_instance(sv->ns, sweep_collect, &s);
	for (size_t i = 0; !rc && i < s.nr; i++)
		rc = sweep_check(&s, &s.files[i]);
	sweep_deletions_free(s.deletions);
	free(s.files);
	sv->damaged += s.missing;
	log_info(sv->name, "volume %s: %zu instances, %llu missing, %llu "
		 "unknown files moved to quarantine", v->rec.name, s.nr,
		 (unsigned long long)s.missing,
		 (unsigned long long)s.quarantined);
	return rc;
}
