// SPDX-License-Identifier: Apache-2.0
/* orchctl rebuild: backing files without records, records without files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "rebuild.h"
#include "served.h"

#define RANGE_MAX	4096	/* files of a pool's range */

static struct volume *volume_of(const struct rebuild *r, uint32_t id)
{
	struct volume *v = r->volumes;

	while (v && v->rec.id != id)
		v = v->next;
	return v;
}

static int op_stat(void *ctx, uint32_t volume, uint64_t ino, uint64_t version,
		   uint64_t instance, struct ns_backing_stat *out)
{
	struct volume *v = volume_of(ctx, volume);

	return v ? volume_stat(v, ino, version, instance, out) : -ENODEV;
}

static int op_take(void *ctx, uint32_t origin, struct ns_backing *out)
{
	(void)ctx;
	(void)origin;
	(void)out;
	return -ENODEV;
}

/* No regular file is made here. */
const struct ns_backing_ops rebuild_backing_ops = {
	.take = op_take,
	.stat = op_stat,
};

static int look_file(void *ctx, const char *subdir, const char *name)
{
	struct ns_seen *seen = ctx;
	uint64_t ino, version, instance;

	(void)subdir;
	if (!backing_parse(name, &ino, &version, &instance))
		return 0;
	if (ino > seen->ino)
		seen->ino = ino;
	if (instance > seen->instance)
		seen->instance = instance;
	return 0;
}

int rebuild_look(struct rebuild *r, struct volume *v)
{
	int rc = backing_each(v, look_file, &r->seen);

	if (rc < 0)
		snprintf(r->why, VOLUME_WHY, "volume %.200s cannot be read: "
			 "%s: check the drive", v->rec.path, strerror(-rc));
	if (v->marker.epoch > r->seen.epoch)
		r->seen.epoch = v->marker.epoch;
	if (v->rec.id > r->seen.volume)
		r->seen.volume = v->rec.id;
	return rc;
}

struct found_list {
	struct ns_found *f;
	size_t nr, max;
};

struct scan_ctx {
	struct rebuild *r;
	struct volume *v;
	struct sweep_deletions *deletions;
	struct found_list files;	/* without a valid record */
	struct found_list empty;	/* of these, without contents */
	struct pool_range *pools;	/* made ahead, as the export says */
};

static int add_pool(void *ctx, uint32_t volume, uint64_t first_ino,
		    uint64_t first_instance, uint32_t count)
{
	struct scan_ctx *c = ctx;
	struct pool_range *p = malloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct pool_range){
		.next = c->pools, .volume = volume, .first_ino = first_ino,
		.first_instance = first_instance, .count = count,
	};
	c->pools = p;
	return 0;
}

static bool made_ahead(const struct scan_ctx *c, const struct ns_found *f)
{
	const struct pool_range *p = c->pools;

	while (p && !(p->volume == f->volume && f->version == 1 &&
		      f->ino - p->first_ino < p->count &&
		      f->ino - p->first_ino ==
		      f->instance - p->first_instance))
		p = p->next;
	return p;
}

static void free_pools(struct scan_ctx *c)
{
	struct pool_range *p;

	while ((p = c->pools)) {
		c->pools = p->next;
		free(p);
	}
}

static void set_time(struct orchfs_time *to, const struct timespec *from)
{
	to->sec = from->tv_sec;
	to->nsec = (uint32_t)from->tv_nsec;
}

static int stat_file(const struct volume *v, struct ns_found *f)
{
	char path[BACKING_PATH_MAX];
	struct stat st;

	backing_path(path, f->ino, f->version, f->instance);
	if (fstatat(v->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOENT;
	f->mode = st.st_mode;
	f->uid = st.st_uid;
	f->gid = st.st_gid;
	f->stat.size = (uint64_t)st.st_size;
	f->stat.blocks = (uint64_t)st.st_blocks;
	set_time(&f->atime, &st.st_atim);
	set_time(&f->stat.mtime, &st.st_mtim);
	set_time(&f->stat.ctime, &st.st_ctim);
	return 0;
}

static int keep(struct found_list *l, const struct ns_found *f)
{
	if (l->nr == l->max) {
		size_t max = l->max * 2 + 1024;
		void *p = realloc(l->f, max * sizeof(*l->f));

		if (!p)
			return -ENOMEM;
		l->f = p;
		l->max = max;
	}
	l->f[l->nr++] = *f;
	return 0;
}

static bool is_empty(const struct ns_found *f)
{
	return !f->stat.size && !f->stat.blocks;
}

static int scan_file(void *ctx, const char *subdir, const char *name)
{
	struct scan_ctx *c = ctx;
	struct ns_found f = { .volume = c->v->rec.id };
	enum ns_found_as as;
	int rc;

	(void)subdir;
	if (!backing_parse(name, &f.ino, &f.version, &f.instance) ||
	    sweep_deletions_has(c->deletions, f.volume, f.ino, f.version,
				f.instance))
		return 0;
	rc = ns_rebuild_judge(c->r->ns, &f, &as);
	if (rc < 0 || as == NS_FOUND_RECORDED)
		return rc;
	if (c->r->restore && as != NS_FOUND_LACKING)
		return 0;	/* to quarantine, by the sweep */
	rc = stat_file(c->v, &f);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	if (as == NS_FOUND_NEW && is_empty(&f) && ns_found_whole(&f))
		return made_ahead(c, &f) ? 0 : keep(&c->empty, &f);
	return keep(&c->files, &f);
}

/* The newest of an inode first, but for what is not whole. */
static int compare(const void *a, const void *b)
{
	const struct ns_found *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	if (ns_found_whole(x) != ns_found_whole(y))
		return ns_found_whole(x) ? -1 : 1;
	if (x->version != y->version)
		return x->version > y->version ? -1 : 1;
	if (x->instance != y->instance)
		return x->instance > y->instance ? -1 : 1;
	return 0;
}

static int compare_empty(const void *a, const void *b)
{
	const struct ns_found *x = a, *y = b;

	if (x->volume != y->volume)
		return x->volume < y->volume ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* A range may have gaps: what is not there, or has a record, isn't used. */
static bool same_range(const struct ns_found *first, const struct ns_found *f)
{
	return f->volume == first->volume && f->version == 1 &&
	       f->ino - first->ino < RANGE_MAX &&
	       f->ino - first->ino == f->instance - first->instance;
}

/*
 * A number is used for one file. Of an empty file that was moved there are
 * two; and the inode may have been found by another copy, with contents.
 */
static int drop_known(struct scan_ctx *c)
{
	struct found_list *l = &c->empty;
	enum ns_found_as as = NS_FOUND_NEW;
	int rc = 0;

	if (l->nr)
		qsort(l->f, l->nr, sizeof(*l->f), compare);
	for (size_t i = 0; i < l->nr && !rc; i++) {
		if (!i || l->f[i].ino != l->f[i - 1].ino)
			rc = ns_rebuild_judge(c->r->ns, &l->f[i], &as);
		else
			as = NS_FOUND_SPARE;
		if (rc || as == NS_FOUND_NEW)
			continue;
		l->f[i].version = 0;
		c->r->spare++;
		c->r->empty--;
	}
	return rc;
}

/* Files without contents, made ahead or not, are used for new ones. */
static int make_ranges(struct scan_ctx *c)
{
	struct found_list *l = &c->empty;
	size_t first = 0, next;
	int rc;

	c->r->empty = l->nr;
	rc = drop_known(c);
	if (l->nr)
		qsort(l->f, l->nr, sizeof(*l->f), compare_empty);
	for (; first < l->nr && !rc; first = next) {
		const struct ns_found *f = &l->f[first];

		next = first + 1;
		if (f->version != 1)
			continue;
		while (next < l->nr && same_range(f, &l->f[next]))
			next++;
		rc = ns_pool_put(c->r->ns, f->volume, f->ino, f->instance,
				 (uint32_t)(l->f[next - 1].ino - f->ino + 1));
	}
	return rc;
}

/* Judged again: the one before it may have been taken for the inode. */
static int settle_file(struct rebuild *r, uint64_t *dir,
		       const struct ns_found *f)
{
	enum ns_found_as as;
	int rc;

	rc = ns_rebuild_judge(r->ns, f, &as);
	if (rc < 0)
		return rc;
	if (!ns_found_whole(f)) {
		if (as == NS_FOUND_NEW && is_empty(f))
			as = NS_FOUND_SPARE;
		r->part += as == NS_FOUND_NEW || as == NS_FOUND_LACKING;
	}
	switch (as) {
	case NS_FOUND_RECORDED:
		break;
	case NS_FOUND_SPARE:
		r->spare++;
		break;
	case NS_FOUND_LACKING:
		r->placed++;
		return ns_rebuild_place(r->ns, f);
	case NS_FOUND_NEW:
		if (!*dir)
			rc = ns_rebuild_dir(r->ns, dir);
		r->lost++;
		r->lost_bytes += f->stat.size;
		return rc < 0 ? rc : ns_rebuild_name(r->ns, *dir, f);
	}
	return 0;
}

static void told_missing(void *ctx, uint64_t ino)
{
	struct rebuild *r = ctx;
	char **paths = NULL, **list;
	size_t nr = 0;

	if (r->nr_missing == REBUILD_NAMED)
		return;
	list = realloc(r->missing, (r->nr_missing + 1) * sizeof(*list));
	if (!list)
		return;
	r->missing = list;
	if (ns_paths(r->ns, ino, &paths, &nr, 1) < 0 || !nr)
		return;		/* no name is left: an orphan */
	list[r->nr_missing++] = paths[0];
	free(paths);
}

int rebuild_scan(struct rebuild *r)
{
	struct scan_ctx c = { .r = r };
	uint64_t dir = 0;
	int rc;

	rc = sweep_deletions_load(r->ns, &c.deletions);
	if (!rc)
		rc = ns_pools(r->ns, add_pool, &c);
	for (c.v = r->volumes; c.v && !rc; c.v = c.v->next)
		rc = backing_each(c.v, scan_file, &c);
	if (!rc && c.files.nr)
		qsort(c.files.f, c.files.nr, sizeof(*c.files.f), compare);
	for (size_t i = 0; i < c.files.nr && !rc; i++)
		rc = settle_file(r, &dir, &c.files.f[i]);
	if (!rc)
		rc = make_ranges(&c);
	if (!rc)
		rc = ns_rebuild_records(r->ns, &r->when, told_missing, r,
					&r->sums);
	sweep_deletions_free(c.deletions);
	free_pools(&c);
	free(c.files.f);
	free(c.empty.f);
	if (rc < 0)
		snprintf(r->why, VOLUME_WHY, "comparing the volumes with the "
			 "new store: %s", strerror(-rc));
	return rc;
}
