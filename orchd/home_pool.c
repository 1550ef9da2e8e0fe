// SPDX-License-Identifier: Apache-2.0
/*
 * Files made ahead on far volumes: their homes make them, as pool.c's workers
 * do here, and look at what was made by orders whose answers were lost.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exec.h"
#include "home_impl.h"
#include "log.h"

#define RETRY_MS	1000

/* Not at once, whatever it is that fails. */
static void look_later(struct volume *v)
{
	v->owes_look = true;
	v->pool_retry = now_ms() + RETRY_MS;
}

/* --- make --- */

struct home_make {
	struct home_ask ask;
	struct home_make *next;
	struct volume *volume;
	uint64_t txn;			/* of the range's record */
	uint64_t first_ino, first_instance;
	uint32_t count;
};

static struct ns_backing backing_of(const struct volume *v, uint64_t ino,
				    uint64_t instance,
				    const struct ns_backing_stat *s)
{
	return (struct ns_backing){
		.ino = ino, .instance = instance, .volume = v->rec.id,
		.timed = true, .mtime = s->mtime, .ctime = s->ctime,
	};
}

static void take_made(struct served *sv, const struct home_make *k,
		      const Orchfs__Peer__Made *m)
{
	struct pool_range *r = pool_range(sv, k->volume->rec.id,
					  k->first_ino);
	struct ns_backing_stat s;
	struct ns_backing b;

	/* the highest first: taken from the end, so in order of number */
	for (uint32_t i = m->count; r && i-- > 0;) {
		home_read_stat(m->stat[i], &s);
		b = backing_of(k->volume, k->first_ino + i,
			       k->first_instance + i, &s);
		if (!pool_push(k->volume, &b))
			r->left++;
	}
}

static void made(struct served *sv, struct home_ask *a, int rc,
		 const peer_frame *f)
{
	struct home_make *k = container_of(a, struct home_make, ask);
	const Orchfs__Peer__Made *m = f ? f->made : NULL;
	struct volume *v = k->volume;

	if (m && (m->count > k->count || m->count != m->n_stat)) {
		home_refused(sv, a, "it made other files than it was asked "
			     "for");
		rc = -EPROTO;
	}
	/* with the link the range has gone, and is looked at */
	if (rc) {
		v->pool_busy = false;
		look_later(v);
	} else {
		take_made(sv, k, m);
		pool_made(sv, v, m->status);
	}
	volume_put(v);
	if (sv->homes)
		exec_unpark(sv);
}

static void make_send(struct served *sv, struct home_make *k)
{
	Orchfs__Peer__Make m = ORCHFS__PEER__MAKE__INIT;
	peer_frame f = PEER_FRAME_INIT(MAKE);
	int rc;

	m.volume = k->volume->rec.id;
	m.first_ino = k->first_ino;
	m.first_instance = k->first_instance;
	m.count = k->count;
	f.make = &m;
	rc = home_ask(sv, k->volume->rec.home, &f, PEER_BODY(MADE), &k->ask);
	if (!rc)
		return;
	made(sv, &k->ask, rc, NULL);
	free(k);
}

int home_make(struct served *sv, struct volume *v, const struct pool_range *r)
{
	struct home_make *k = calloc(1, sizeof(*k));

	if (!k || !sv->homes) {
		free(k);
		return -ENOMEM;
	}
	k->ask.done = made;
	k->volume = volume_get(v);
	k->txn = ns_txn(sv->ns);
	k->first_ino = r->first_ino;
	k->first_instance = r->first_instance;
	k->count = r->count;
	k->next = sv->homes->makes;
	sv->homes->makes = k;
	sync_request(sv, k->txn);
	return 0;
}

void home_makes_send(struct served *sv)
{
	struct home_make **p = &sv->homes->makes, *k;

	while ((k = *p)) {
		if (k->txn > store_durable(sv->st)) {
			p = &k->next;
			continue;
		}
		*p = k->next;
		make_send(sv, k);
	}
}

void home_makes_drop(struct served *sv)
{
	struct home_make *k;

	while ((k = sv->homes->makes)) {
		sv->homes->makes = k->next;
		volume_put(k->volume);
		free(k);
	}
}

/* --- look --- */

struct look_file {
	uint64_t ino, instance;
};

/* Of one volume; as many frames as it takes. */
struct look {
	struct served *sv;
	struct volume *volume;
	struct sweep_deletions *deletions;
	struct look_file *files;
	size_t nr, max;
	unsigned int frames;
	bool failed;
};

struct look_ask {
	struct home_ask ask;
	struct look *look;
	size_t first, nr;
};

static int look_push(struct look *l, uint64_t ino, uint64_t instance)
{
	if (l->nr == l->max) {
		size_t max = l->max * 2 + 1024;
		void *p = realloc(l->files, max * sizeof(*l->files));

		if (!p)
			return -ENOMEM;
		l->files = p;
		l->max = max;
	}
	l->files[l->nr++] = (struct look_file){ ino, instance };
	return 0;
}

static int look_range(void *ctx, uint32_t volume, uint64_t first_ino,
		      uint64_t first_instance, uint32_t count)
{
	struct look *l = ctx;
	int rc = 0;

	if (volume != l->volume->rec.id)
		return 0;
	if (!pool_range_add(l->sv, volume, first_ino, first_instance, count))
		return -ENOMEM;
	for (uint32_t i = count; rc >= 0 && i-- > 0;) {
		rc = pool_spare(l->sv, l->deletions, l->volume, first_ino + i,
				first_instance + i);
		if (rc > 0)
			rc = look_push(l, first_ino + i, first_instance + i);
	}
	return rc < 0 ? rc : 0;
}

static void look_end(struct look *l)
{
	struct volume *v = l->volume;
	struct served *sv = l->sv;

	v->pool_busy = false;
	if (l->failed) {
		look_later(v);
		if (sv->homes)
			pool_unload(sv, v);
	}
	volume_put(v);
	sweep_deletions_free(l->deletions);
	free(l->files);
	free(l);
	if (sv->homes)
		exec_unpark(sv);
}

static void take_looked(struct served *sv, const struct look_ask *k,
			const Orchfs__Peer__Looked *m)
{
	struct volume *v = k->look->volume;
	struct ns_backing_stat s;
	struct pool_range *r;
	struct ns_backing b;

	for (size_t i = 0; i < k->nr; i++) {
		const struct look_file *f = &k->look->files[k->first + i];

		home_read_stat(m->stat[i], &s);
		r = pool_range(sv, v->rec.id, f->ino);
		if (m->stat[i]->status || s.size || s.blocks || !r)
			continue;
		b = backing_of(v, f->ino, f->instance, &s);
		if (!pool_push(v, &b))
			r->left++;
	}
}

static void looked(struct served *sv, struct home_ask *a, int rc,
		   const peer_frame *f)
{
	struct look_ask *k = container_of(a, struct look_ask, ask);
	struct look *l = k->look;

	if (!rc && f->looked->n_stat != k->nr) {
		home_refused(sv, a, "it looked at other files than it was "
			     "asked about");
		rc = -EPROTO;
	}
	if (rc)
		l->failed = true;
	else
		take_looked(sv, k, f->looked);
	if (!--l->frames)
		look_end(l);
}

static int look_ask(struct look *l, size_t first, size_t nr)
{
	Orchfs__Peer__Look m = ORCHFS__PEER__LOOK__INIT;
	peer_frame f = PEER_FRAME_INIT(LOOK);
	struct look_ask *k = calloc(1, sizeof(*k));
	Orchfs__Peer__File *files = calloc(nr, sizeof(*files));
	Orchfs__Peer__File **list = calloc(nr, sizeof(*list));
	int rc = -ENOMEM;

	for (size_t i = 0; k && files && list && i < nr; i++) {
		orchfs__peer__file__init(&files[i]);
		files[i].ino = l->files[first + i].ino;
		files[i].version = 1;
		files[i].instance = l->files[first + i].instance;
		list[i] = &files[i];
	}
	if (k && files && list) {
		k->ask.done = looked;
		k->look = l;
		k->first = first;
		k->nr = nr;
		m.volume = l->volume->rec.id;
		m.file = list;
		m.n_file = nr;
		f.look = &m;
		rc = home_ask(l->sv, l->volume->rec.home, &f,
			      PEER_BODY(LOOKED), &k->ask);
	}
	free(files);
	free(list);
	if (rc)
		free(k);
	else
		l->frames++;
	return rc;
}

void home_look(struct served *sv, struct volume *v)
{
	struct look *l = calloc(1, sizeof(*l));
	int rc = -ENOMEM;

	if (!l)
		return;		/* the next turn tries again */
	l->sv = sv;
	l->volume = volume_get(v);
	pool_unload(sv, v);
	v->owes_look = false;
	v->pool_busy = true;
	v->pool_moved = now_ms();
	l->frames = 1;		/* not before all are asked */
	rc = sweep_deletions_load(sv->ns, &l->deletions);
	if (!rc)
		rc = ns_pools(sv->ns, look_range, l);
	for (size_t at = 0; at < l->nr && !rc; at += HOME_FILES)
		rc = look_ask(l, at, l->nr - at < HOME_FILES ? l->nr - at :
			      HOME_FILES);
	if (rc < 0) {
		log_err(sv->name, "volume %s: its files made ahead can't be "
			"looked at: %s", v->rec.name, strerror(-rc));
		l->failed = true;
	}
	if (!--l->frames)
		look_end(l);
}
