// SPDX-License-Identifier: Apache-2.0
/*
 * Backing files made ahead, so that create needs none of its own and a file
 * is durable before the record that names it. Order: numbers reserved, range
 * record durable, files made, directories synced, then the namespace thread
 * gets them. Neither waits for the other: a create that finds no file is
 * parked (exec.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "backing.h"
#include "exec.h"
#include "home.h"
#include "log.h"
#include "served.h"

#define POOL_LOW	512
#define POOL_BATCH	512
#define POOL_FIRST	64	/* of the first batch: creates wait for it */
#define POOL_RETRY_MS	1000
#define POOL_WAIT_MS	10000	/* without a step: another volume will do */
#define NUMBERS		8192	/* reserved at a time */

struct pool_batch {
	struct work w;
	struct pool_batch *next;
	struct served *sv;
	struct volume *volume;
	struct pool_range *range;
	uint32_t made;
	int rc;
};

struct pool_range *pool_range(struct served *sv, uint32_t volume, uint64_t ino)
{
	struct pool_range *r;

	for (r = sv->pool.ranges; r; r = r->next)
		if (r->volume == volume && ino - r->first_ino < r->count)
			return r;
	return NULL;
}

int pool_push(struct volume *v, const struct ns_backing *b)
{
	if (v->pool_nr == v->pool_max) {
		size_t max = v->pool_max ? v->pool_max * 2 : 2048;
		void *p = realloc(v->pool, max * sizeof(*v->pool));

		if (!p)
			return -ENOMEM;
		v->pool = p;
		v->pool_max = max;
	}
	v->pool[v->pool_nr++] = *b;
	return 0;
}

static int push(struct volume *v, uint64_t ino, uint64_t instance)
{
	const struct ns_backing b = {
		.ino = ino, .instance = instance, .volume = v->rec.id,
	};

	return pool_push(v, &b);
}

bool pool_has(const struct volume *v, uint64_t ino, uint64_t instance)
{
	for (size_t i = 0; i < v->pool_nr; i++)
		if (v->pool[i].ino == ino && v->pool[i].instance == instance)
			return true;
	return false;
}

/* worker */
static void batch_run(struct work *w)
{
	struct pool_batch *b = container_of(w, struct pool_batch, w);
	struct pool_range *r = b->range;
	struct served *sv = b->sv;
	struct pool *pool = &sv->pool;
	int rc;

	rc = store_barrier(sv->st);	/* the range record */
	if (rc < 0)
		sync_fatal(sv, rc);
	/* what isn't made is passed over at the next start */
	b->rc = backing_make(b->volume, r->first_ino, r->first_instance,
			     r->count, &sv->leaving, &b->made);
	pthread_mutex_lock(&pool->lock);
	b->next = pool->done;
	pool->done = b;
	pthread_mutex_unlock(&pool->lock);
	if (!atomic_exchange(&pool->done_posted, true) &&
	    !work_post(&sv->queue, &pool->done_work))
		atomic_store(&pool->done_posted, false);
}

static void range_retire(struct served *sv, struct pool_range *r)
{
	struct pool_range **p;

	if (ns_pool_del(sv->ns, r->volume, r->first_ino) < 0)
		return;		/* tried again by pool_maintain() */
	for (p = &sv->pool.ranges; *p != r; p = &(*p)->next)
		;
	*p = r->next;
	free(r);
}

void pool_made(struct served *sv, struct volume *v, int rc)
{
	v->pool_busy = false;
	v->pool_late = false;
	if (rc < 0) {
		if (v->pool_error != rc)
			log_err(sv->name, "volume %s: cannot make backing "
				"files in %s: %s", v->rec.name, v->rec.path,
				strerror(-rc));
		v->pool_error = rc;
		v->pool_retry = now_ms() + POOL_RETRY_MS;
	} else {
		v->pool_error = 0;
	}
}

static void batch_collect(struct served *sv, struct pool_batch *b)
{
	struct volume *v = b->volume;
	struct pool_range *r = b->range;

	volume_error(v, b->rc);
	pool_made(sv, v, b->rc);
	volume_measure(v);
	/* the highest first: taken from the end, so in order of number */
	for (uint32_t i = b->made; i-- > 0;)
		if (!push(v, r->first_ino + i, r->first_instance + i))
			r->left++;
	volume_put(v);
	free(b);
}

static void pool_collect(struct served *sv)
{
	struct pool_batch *b, *next;

	pthread_mutex_lock(&sv->pool.lock);
	b = sv->pool.done;
	sv->pool.done = NULL;
	pthread_mutex_unlock(&sv->pool.lock);
	for (; b; b = next) {
		next = b->next;
		batch_collect(sv, b);
	}
}

static void pool_done(struct work *w)
{
	struct pool *pool = container_of(w, struct pool, done_work);
	struct served *sv = container_of(pool, struct served, pool);

	atomic_store(&pool->done_posted, false);
	pool_collect(sv);
	exec_unpark(sv);
}

static int numbers_take(struct served *sv, const char *what, uint64_t *next,
			uint64_t *left, uint32_t n, uint64_t *first)
{
	int rc;

	if (*left < n) {
		rc = ns_reserve(sv->ns, what, NUMBERS, next);
		if (rc < 0)
			return rc;
		*left = NUMBERS;
	}
	*first = *next;
	*next += n;
	*left -= n;
	return 0;
}

static int range_new(struct served *sv, struct volume *v, uint32_t count,
		     struct pool_range **out)
{
	struct pool *pool = &sv->pool;
	struct pool_range *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return -ENOMEM;
	r->volume = v->rec.id;
	r->count = count;
	rc = numbers_take(sv, "ino", &pool->ino, &pool->ino_left, count,
			  &r->first_ino);
	if (!rc)
		rc = numbers_take(sv, "instance", &pool->instance,
				  &pool->instance_left, count,
				  &r->first_instance);
	if (!rc)
		rc = ns_pool_put(sv->ns, r->volume, r->first_ino,
				 r->first_instance, count);
	if (rc < 0) {
		free(r);
		return rc;
	}
	r->next = pool->ranges;
	pool->ranges = r;
	*out = r;
	return 0;
}

/* Without memory the range is retired, as nothing is left of it. */
static int batch_begin(struct served *sv, struct volume *v,
		       struct pool_range *r)
{
	struct pool_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->w.run = batch_run;
	b->sv = sv;
	b->volume = volume_get(v);
	b->range = r;
	work_post(&v->worker.q, &b->w);
	return 0;
}

static int pool_refill(struct served *sv, struct volume *v, uint32_t count)
{
	struct pool_range *r;
	int rc = 0;

	volume_measure(v);
	if (count > v->place.inodes)
		count = (uint32_t)v->place.inodes;
	if (v->place.free < v->rec.reserve + 4096 || !count)
		rc = -ENOSPC;
	if (!rc && !volume_far(v))
		rc = health_worker(v);
	if (!rc)
		rc = range_new(sv, v, count, &r);
	if (!rc)
		rc = volume_far(v) ? home_make(sv, v, r) :
				     batch_begin(sv, v, r);
	if (rc < 0) {
		v->pool_error = rc;
		v->pool_retry = now_ms() + POOL_RETRY_MS;
		return rc;
	}
	v->pool_busy = true;
	v->pool_moved = now_ms();
	return 0;
}

static bool in_doubt(const struct volume *v)
{
	return atomic_load(&v->doubt) || v->doubted;
}

/* Is there one that answers? If not, one that doesn't is waited for. */
static bool any_usable(struct served *sv)
{
	struct volume *v;

	for (v = sv->volumes; v; v = v->next)
		if (volume_usable(v))
			return true;
	return false;
}

void pool_maintain(struct served *sv)
{
	struct pool_range *r, *next;
	struct volume *v;
	bool heard;

	if (sv->pool.stopped || !sv->ns)
		return;
	for (r = sv->pool.ranges; r; r = next) {
		next = r->next;
		v = served_volume(sv, r->volume);
		/* its takers have committed: this runs between requests */
		if (!r->left && v && !v->pool_busy)
			range_retire(sv, r);
	}
	heard = any_usable(sv);
	for (v = sv->volumes; v; v = v->next) {
		if (!(heard ? volume_usable(v) : volume_takes(v)) ||
		    in_doubt(v) || v->pool_busy || v->owes_look ||
		    v->pool_nr >= POOL_LOW ||
		    (v->pool_error && now_ms() < v->pool_retry))
			continue;
		pool_refill(sv, v, v->pool_nr ? POOL_BATCH : POOL_FIRST);
	}
}

struct choice {
	struct placement p[VOLUMES_MAX];
	struct volume *v[VOLUMES_MAX];
	size_t nr;
};

/* Who asks has the file on its own drive if it can, else at the authority. */
static unsigned int distance(const struct volume *v, uint32_t origin)
{
	if (v->rec.home == origin)
		return 0;
	return volume_far(v) ? 2 : 1;
}

/* Those in doubt or silent are left out while there are others. */
static void choose_from(struct served *sv, uint32_t origin, struct choice *c)
{
	bool sure = false, heard = any_usable(sv);
	struct volume *v;

	for (v = sv->volumes; v; v = v->next)
		sure |= volume_usable(v) && !in_doubt(v);
	c->nr = 0;
	for (v = sv->volumes; v && c->nr < VOLUMES_MAX; v = v->next) {
		struct placement *p = &c->p[c->nr];

		*p = v->place;
		p->ready = v->pool_nr;
		p->distance = distance(v, origin);
		p->usable = (heard ? volume_usable(v) : volume_takes(v)) &&
			    !(sure && in_doubt(v)) &&
			    (v->pool_nr || (!v->pool_late && !v->pool_error));
		c->v[c->nr++] = v;
	}
}

/* Files that are moved need none that were made ahead. */
struct volume *pool_choose(struct served *sv, uint32_t but, uint64_t bytes,
			   bool take)
{
	const struct volume *from = served_volume(sv, but);
	struct choice c;
	int got;

	choose_from(sv, from ? from->rec.home : 0, &c);
	for (size_t i = 0; i < c.nr; i++) {
		const struct volume *v = c.v[i];

		c.p[i].ready = true;
		c.p[i].usable = volume_usable(v) && !in_doubt(v) &&
				v->rec.id != but &&
				c.p[i].free > c.p[i].reserve + bytes;
	}
	if (!take) {
		got = placement_wanted(c.p, c.nr);
		return got < 0 ? NULL : c.v[got];
	}
	got = placement_take(c.p, c.nr);
	for (size_t i = 0; i < c.nr && got >= 0; i++)
		c.v[i]->place.credit = c.p[i].credit;
	return got < 0 ? NULL : c.v[got];
}

static bool pool_any_busy(struct served *sv)
{
	struct volume *v;

	for (v = sv->volumes; v; v = v->next)
		if (volume_takes(v) && v->pool_busy)
			return true;
	return false;
}

/* A slow one is worth waiting for as long as it gets on. */
void pool_tick(struct served *sv)
{
	uint64_t now = now_ms();
	struct volume *v;

	for (v = sv->volumes; v; v = v->next) {
		unsigned int steps = atomic_load(&v->pool_steps);

		if (steps != v->pool_seen) {
			v->pool_seen = steps;
			v->pool_moved = now;
		} else if (v->pool_busy && now > v->pool_moved + POOL_WAIT_MS) {
			v->pool_late = true;
		}
	}
}

/*
 * The pool of the volume that the next file should go to may be empty: that
 * one is waited for, unless it takes long and another one can do it.
 */
bool pool_ready(struct served *sv, uint32_t origin)
{
	struct choice c;
	int want, have;

	if (origin && home_pending(sv, origin))
		return false;
	for (;;) {
		choose_from(sv, origin, &c);
		want = placement_wanted(c.p, c.nr);
		have = placement_ready(c.p, c.nr);
		if (have >= 0 && placement_same_rank(&c.p[want], &c.p[have]))
			return true;
		if (sv->pool.stopped)
			return false;	/* the next daemon does it */
		pool_maintain(sv);
		if (want < 0)
			return !pool_any_busy(sv);	/* take() tells why */
		/* one in doubt makes none until it was looked at */
		if (c.v[want]->pool_busy || in_doubt(c.v[want]))
			return false;
		if (!c.v[want]->pool_error)
			return true;		/* it could not be started */
	}
}

/* Why there is no file for a new one. */
static int take_error(struct served *sv)
{
	struct volume *v;
	int rc = -ENODEV;

	for (v = sv->volumes; v; v = v->next) {
		if (volume_writable(v) && !v->removing && !v->silent &&
		    !v->rec.draining)
			return v->pool_error ? v->pool_error : -ENOSPC;
		if (atomic_load(&v->health) == VOLUME_READONLY)
			rc = -EROFS;
		else if (rc == -ENODEV && !v->removing)
			rc = v->rec.draining && volume_online(v) ? -ENOSPC :
								   -EIO;
	}
	return rc;
}

static int ops_take(void *ctx, uint32_t origin, struct ns_backing *out)
{
	struct served *sv = ctx;
	struct pool_range *r;
	struct volume *v;
	struct choice c;
	int got;

	choose_from(sv, origin, &c);
	got = placement_take(c.p, c.nr);
	if (got < 0)
		return take_error(sv);
	for (size_t i = 0; i < c.nr; i++)
		c.v[i]->place.credit = c.p[i].credit;
	v = c.v[got];
	*out = v->pool[--v->pool_nr];
	r = pool_range(sv, out->volume, out->ino);
	if (r)
		r->left--;
	return 0;
}

static void ops_put_back(void *ctx, const struct ns_backing *b)
{
	struct served *sv = ctx;
	struct volume *v = served_volume(sv, b->volume);
	struct pool_range *r = pool_range(sv, b->volume, b->ino);

	if (v && r && !pool_push(v, b))
		r->left++;
}

static int ops_stat(void *ctx, uint32_t volume, uint64_t ino,
		    uint64_t version, uint64_t instance,
		    struct ns_backing_stat *out)
{
	struct volume *v = served_volume(ctx, volume);

	if (v && volume_far(v))
		return home_stat(ctx, v, ino, version, instance, out);
	return v ? volume_stat(v, ino, version, instance, out) : -EIO;
}

static int ops_own(void *ctx, uint32_t volume, uint64_t ino, uint64_t version,
		   uint64_t instance, const struct ns_owner *owner)
{
	struct volume *v = served_volume(ctx, volume);

	if (v && volume_far(v))
		return home_own(ctx, v, ino, version, instance, owner);
	return v ? backing_own(v, ino, version, instance, owner) : -EIO;
}

/* Two volumes on one file system share its space. */
static bool counted(struct served *sv, struct volume *v,
		    bool (*counts)(const struct volume *))
{
	struct volume *o;

	for (o = sv->volumes; o != v; o = o->next)
		if (counts(o) && o->dev == v->dev &&
		    o->rec.home == v->rec.home)
			return true;
	return false;
}

static void add_far(const struct volume *v, struct orchfs_statfs *out)
{
	const uint64_t keep = v->rec.reserve / 4096;
	const uint64_t avail = v->place.free / 4096;

	out->blocks += v->place.size / 4096;
	out->bfree += avail;
	out->files += v->files;
	out->ffree += v->files ? v->place.inodes : 0;
	if (volume_usable(v) && avail > keep)
		out->bavail += avail - keep;
}

static void add_space(struct volume *v, struct orchfs_statfs *out)
{
	uint64_t keep = v->rec.reserve / 4096, avail;
	struct statvfs s;

	if (volume_far(v)) {
		add_far(v, out);
		return;
	}
	if (fstatvfs(v->root_fd, &s) < 0)
		return;
	out->blocks += s.f_blocks * s.f_frsize / 4096;
	out->bfree += s.f_bfree * s.f_frsize / 4096;
	out->files += s.f_files;
	out->ffree += s.f_ffree;
	avail = s.f_bavail * s.f_frsize / 4096;
	if (volume_usable(v) && avail > keep)
		out->bavail += avail - keep;
}

static int ops_statfs(void *ctx, struct orchfs_statfs *out)
{
	bool (*counts)(const struct volume *) = volume_online;
	struct served *sv = ctx;
	struct volume *v;

	memset(out, 0, sizeof(*out));
	out->bsize = 4096;
	out->namelen = 255;
	for (v = sv->volumes; v; v = v->next)
		if (volume_usable(v))
			counts = volume_usable;
	for (v = sv->volumes; v; v = v->next)
		if (counts(v) && !counted(sv, v, counts))
			add_space(v, out);
	return 0;
}

const struct ns_backing_ops pool_backing_ops = {
	.take = ops_take,
	.put_back = ops_put_back,
	.stat = ops_stat,
	.unsettled = home_unsettled,
	.own = ops_own,
	.statfs = ops_statfs,
	.holders = exec_holders,
	.untold = exec_untold,
};

struct pool_range *pool_range_add(struct served *sv, uint32_t volume,
				  uint64_t first_ino, uint64_t first_instance,
				  uint32_t count)
{
	struct pool_range *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	*r = (struct pool_range) {
		.next = sv->pool.ranges, .volume = volume,
		.first_ino = first_ino, .first_instance = first_instance,
		.count = count,
	};
	sv->pool.ranges = r;
	return r;
}

struct load_ctx {
	struct served *sv;
	struct volume *v;
	const struct sweep_deletions *deletions;
	bool unclean;
};

int pool_spare(struct served *sv, const struct sweep_deletions *d,
	       const struct volume *v, uint64_t ino, uint64_t instance)
{
	int rc;

	rc = ns_has_instance(sv->ns, v->rec.id, ino, 1, instance);
	/* an old copy of what was moved since, where a store was rebuilt */
	if (!rc)
		rc = ns_has_inode(sv->ns, ino);
	if (rc)
		return rc < 0 ? rc : 0;
	return !sweep_deletions_has(d, v->rec.id, ino, 1, instance);
}

static int load_file(struct load_ctx *c, struct volume *v,
		     struct pool_range *r, uint32_t i)
{
	uint64_t ino = r->first_ino + i, instance = r->first_instance + i;
	struct ns_backing_stat st;
	char path[BACKING_PATH_MAX];
	int rc;

	rc = pool_spare(c->sv, c->deletions, v, ino, instance);
	if (rc <= 0)
		return rc;
	rc = backing_look(v, ino, instance, c->unclean, &st);
	if (rc == -ENOENT || rc == -EIO)
		return 0;	/* never made, or used and gone */
	if (!rc)
		rc = push(v, ino, instance);
	if (!rc) {
		r->left++;
	} else if (rc == 1) {
		backing_path(path, ino, 1, instance);
		log_warn(c->sv->name, "volume %s: backing file %s has "
			 "contents and no record: moved to quarantine",
			 v->rec.name, path + 8);
		rc = 0;
	}
	return rc;
}

static int load_range(void *ctx, uint32_t volume, uint64_t first_ino,
		      uint64_t first_instance, uint32_t count)
{
	struct load_ctx *c = ctx;
	struct pool_range *r;
	int rc = 0;

	if (volume != c->v->rec.id)
		return 0;
	r = pool_range_add(c->sv, volume, first_ino, first_instance, count);
	if (!r)
		return -ENOMEM;
	for (uint32_t i = count; !rc && i-- > 0;)
		rc = load_file(c, c->v, r, i);
	/* a daemon that was killed may have made them and not synced */
	if (!rc && r->left && c->unclean)
		rc = backing_sync(c->v, first_ino, first_ino + count - 1);
	return rc;
}

int pool_load(struct served *sv, struct volume *v,
	      const struct sweep_deletions *d, bool unclean)
{
	struct load_ctx c = {
		.sv = sv, .v = v, .deletions = d, .unclean = unclean,
	};
	int rc = ns_pools(sv->ns, load_range, &c);

	if (rc < 0)
		pool_unload(sv, v);
	return rc;
}

void pool_unload(struct served *sv, struct volume *v)
{
	struct pool_range *r, **p = &sv->pool.ranges;

	v->pool_nr = 0;
	while ((r = *p)) {
		if (r->volume != v->rec.id) {
			p = &r->next;
			continue;
		}
		*p = r->next;
		free(r);
	}
}

int pool_drop_volume(struct served *sv, struct volume *v)
{
	struct pool_range *r, **p = &sv->pool.ranges;
	int rc;

	while ((r = *p)) {
		if (r->volume != v->rec.id) {
			p = &r->next;
			continue;
		}
		rc = ns_pool_del(sv->ns, r->volume, r->first_ino);
		if (rc < 0)
			return rc;
		*p = r->next;
		free(r);
	}
	return 0;
}

void pool_start(struct served *sv)
{
	struct pool *pool = &sv->pool;
	pthread_mutex_init(&pool->lock, NULL);
	pool->done_work.run = pool_done;
	pool->stopped = false;
	pool->started = true;
}

void pool_stop(struct served *sv)
{
	struct pool_range *r;

	struct volume *v;

	sv->pool.stopped = true;
	if (!sv->pool.started)
		return;
	for (v = sv->volumes; v; v = v->next)
		worker_stop(&v->worker);
	pool_collect(sv);
	while ((r = sv->pool.ranges)) {
		sv->pool.ranges = r->next;
		free(r);
	}
}
