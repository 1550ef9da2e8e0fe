// SPDX-License-Identifier: Apache-2.0
/* Copies to an agent's volumes, for the authority's mover: a thread each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "cluster.h"
#include "copy.h"
#include "steward_impl.h"

#define COPIES_MAX	16

/* One that is under way. */
struct steward_copy {
	struct steward_copy *next;
	struct served *sv;
	struct peer_request *r;		/* to be answered */
	struct worker worker;
	struct work w;
	struct copy_batch b;
	struct copy_file file[COPY_BATCH];
};

/* --- what came of it --- */

static Orchfs__Peer__CopiedFile *put_file(struct arena *a,
					  const struct copy_file *f)
{
	Orchfs__Peer__CopiedFile *m = arena_zalloc(a, sizeof(*m));

	if (!m)
		return NULL;
	orchfs__peer__copied_file__init(m);
	m->status = f->rc;
	m->fatal = f->fatal;
	m->size = f->size;
	m->blocks = f->blocks;
	m->uid = f->owner.uid;
	m->gid = f->owner.gid;
	m->projid = f->owner.projid;
	return m;
}

static int reply(struct arena *a, const struct steward_copy *c)
{
	Orchfs__Peer__Copied m = ORCHFS__PEER__COPIED__INIT;
	peer_frame f = PEER_FRAME_INIT(COPIED);

	m.file = arena_zalloc(a, (c->b.nr + 1) * sizeof(*m.file));
	if (!m.file)
		return -ENOMEM;
	for (; m.n_file < c->b.nr; m.n_file++) {
		m.file[m.n_file] = put_file(a, &c->file[m.n_file]);
		if (!m.file[m.n_file])
			return -ENOMEM;
	}
	f.copied = &m;
	peer_reply(c->r, &f);
	return 0;
}

static void copy_free(struct steward_copy *c)
{
	for (size_t i = 0; i < c->b.nr; i++)
		volume_put(c->file[i].source);
	volume_put(c->b.to);
	copy_batch_end(&c->b);
	free(c);
}

/* namespace thread */
static void copied(struct work *w)
{
	struct steward_copy *c = container_of(w, struct steward_copy, w), **p;
	struct arena *a = arena_new();

	for (p = &c->sv->agency->steward.copies; *p != c; p = &(*p)->next)
		;
	*p = c->next;
	worker_stop(&c->worker);
	if (!a || reply(a, c) < 0)
		peer_reply(c->r, NULL);
	arena_free(a);
	copy_free(c);
}

static void copy_work(struct work *w)
{
	struct steward_copy *c = container_of(w, struct steward_copy, w);

	copy_run(&c->b);
	c->w.run = copied;
	work_post(&c->sv->queue, &c->w);
}

/* --- questions --- */

static int read_file(struct served *sv, struct steward_copy *c,
		     const Orchfs__Peer__CopyFile *m, struct copy_file *f)
{
	struct volume *v;

	copy_file_init(f);
	if (!m->from || !m->from->ino || !m->from->version ||
	    !m->from->instance || !m->to_instance || !m->home)
		return -EPROTO;
	f->ino = m->from->ino;
	f->version = m->from->version;
	f->from = m->from->instance;
	f->to = m->to_instance;
	f->owner = (struct ns_owner){ .uid = m->uid, .gid = m->gid,
				      .projid = m->projid };
	if (m->home == sv->cluster->node) {
		v = served_volume(sv, m->from_volume);
		if (v && volume_here(v))
			f->source = volume_get(v);
		else
			f->rc = -EIO;
		return 0;
	}
	if (m->token.len != ORCHFS_TOKEN_LEN)
		return -EPROTO;
	f->node = m->home;
	memcpy(f->token, m->token.data, ORCHFS_TOKEN_LEN);
	f->rc = copy_reach(&c->b, sv->cluster, f->node);
	return 0;
}

static int begin(struct served *sv, struct steward_copy *c)
{
	const Orchfs__Peer__Copy *m = c->r->f->copy;
	struct volume *v = served_volume(sv, m->to_volume);
	int rc = 0;

	if (!m->n_file || m->n_file > COPY_BATCH)
		return -EPROTO;
	if (!v || !volume_writable(v) || v->removing || v->opening)
		return -ENXIO;
	c->sv = sv;
	c->b.pace = &sv->agency->steward.pace;
	c->b.to = volume_get(v);
	c->b.rate = m->rate;
	for (; c->b.nr < m->n_file && !rc; c->b.nr++) {
		c->b.file[c->b.nr] = &c->file[c->b.nr];
		rc = read_file(sv, c, m->file[c->b.nr], &c->file[c->b.nr]);
	}
	return rc ? rc : worker_start(&c->worker, "orchd-copy");
}

static struct steward_copy *copy_of(struct served *sv, uint64_t job)
{
	struct steward_copy *c = sv->agency->steward.copies;

	while (c && (c->r->f->copy->job != job || atomic_load(&c->b.stop)))
		c = c->next;
	return c;
}

void steward_copy(struct served *sv, struct peer_request *r)
{
	struct steward *st = &sv->agency->steward;
	struct steward_copy *c;
	unsigned int nr = 0;
	int rc = -ENOMEM;

	for (c = st->copies; c; c = c->next)
		nr++;
	if (nr >= COPIES_MAX || copy_of(sv, r->f->copy->job)) {
		peer_fail(r, -EBUSY, "so many copies are under way");
		return;
	}
	c = calloc(1, sizeof(*c));
	if (c) {
		c->r = r;
		rc = begin(sv, c);
	}
	if (rc < 0) {
		if (c)
			copy_free(c);
		peer_fail(r, rc, rc == -ENXIO ? "the volume is not in use" :
			  "a copy");
		return;
	}
	c->next = st->copies;
	st->copies = c;
	c->w.run = copy_work;
	work_post(&c->worker.q, &c->w);
}

static void watch(struct steward *st, struct steward_copy *c,
		  const Orchfs__Peer__CopyWatch *m)
{
	if (m->stop)
		copy_stop(&st->pace, &c->b.stop);
	for (size_t i = 0; i < m->n_stop_file; i++)
		if (m->stop_file[i] < c->b.nr)
			copy_stop(&st->pace, &c->file[m->stop_file[i]].stop);
	for (size_t i = 0; i < m->n_token && i < c->b.nr; i++)
		if (m->token[i].len == ORCHFS_TOKEN_LEN)
			copy_token(&st->pace, &c->file[i], m->token[i].data);
}

void steward_copy_watch(struct served *sv, struct peer_request *r)
{
	Orchfs__Peer__CopyState m = ORCHFS__PEER__COPY_STATE__INIT;
	struct steward_copy *c = copy_of(sv, r->f->copy_watch->job);
	peer_frame f = PEER_FRAME_INIT(COPY_STATE);

	if (c) {
		watch(&sv->agency->steward, c, r->f->copy_watch);
		m.reading = atomic_load(&c->b.reading);
		m.verifying = atomic_load(&c->b.verifying);
	}
	f.copy_state = &m;
	peer_reply(r, &f);
}

bool steward_copy_stopping(const struct served *sv)
{
	const struct steward_copy *c = sv->agency->steward.copies;

	while (c && !atomic_load(&c->b.stop))
		c = c->next;
	return c;
}

void steward_copies_stop(struct served *sv)
{
	struct steward *st = &sv->agency->steward;

	for (struct steward_copy *c = st->copies; c; c = c->next)
		copy_stop(&st->pace, &c->b.stop);
}

void steward_copies_end(struct served *sv)
{
	struct steward_copy *c;

	steward_copies_stop(sv);
	while ((c = sv->agency->steward.copies)) {
		worker_stop(&c->worker);
		work_run(&sv->queue);	/* what it has posted: copied() */
	}
}
