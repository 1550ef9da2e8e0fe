// SPDX-License-Identifier: Apache-2.0
/*
 * What the authority has done on an agent's drives. Each volume has two
 * threads, so that nobody who asks for a file's size waits for what takes long;
 * a drive that hangs holds up nothing else.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"
#include "backing.h"
#include "log.h"
#include "steward_impl.h"

typedef Orchfs__Peer__File peer_file;
typedef Orchfs__Peer__Stat peer_stat;

struct chore {
	struct work w;
	struct served *sv;
	struct volume *v;
	struct peer_request *r;
	void (*run)(struct chore *c);
	size_t nr;
	int rc;
	uint32_t made;
	struct {
		int rc;
		struct ns_backing_stat st;
	} out[];
};

/* --- in the volume's threads --- */

static void run_make(struct chore *c)
{
	const Orchfs__Peer__Make *m = c->r->f->make;

	c->rc = backing_make(c->v, m->first_ino, m->first_instance, m->count,
			     &c->sv->leaving, &c->made);
	volume_error(c->v, c->rc);
	for (uint32_t i = 0; i < c->made; i++)
		c->out[i].rc = volume_stat(c->v, m->first_ino + i, 1,
					   m->first_instance + i,
					   &c->out[i].st);
}

static void run_look(struct chore *c)
{
	const Orchfs__Peer__Look *m = c->r->f->look;
	int rc;

	for (size_t i = 0; i < c->nr; i++) {
		rc = backing_look(c->v, m->file[i]->ino, m->file[i]->instance,
				  true, &c->out[i].st);
		if (rc == 1)
			log_warn(c->sv->name, "volume %s: backing file "
				 "%llx.1.%llx has contents and no record: "
				 "moved to quarantine", c->v->rec.name,
				 (unsigned long long)m->file[i]->ino,
				 (unsigned long long)m->file[i]->instance);
		c->out[i].rc = rc == 1 ? -ENOENT : rc;
	}
	/* who made them may have been killed before they were durable */
	rc = 0;
	for (size_t i = 0; i < c->nr && !rc; i++)
		if (!i || backing_dir(m->file[i]->ino) !=
			  backing_dir(m->file[i - 1]->ino))
			rc = backing_sync(c->v, m->file[i]->ino,
					  m->file[i]->ino);
	c->rc = rc;
}

static void run_glimpse(struct chore *c)
{
	peer_file *const *f = c->r->f->glimpse->file;

	for (size_t i = 0; i < c->nr; i++)
		c->out[i].rc = volume_stat(c->v, f[i]->ino, f[i]->version,
					   f[i]->instance, &c->out[i].st);
}

static void run_delete(struct chore *c)
{
	peer_file *const *f = c->r->f->delete_->file;
	struct backing_file *b = calloc(c->nr + 1, sizeof(*b));

	if (!b) {
		c->rc = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < c->nr; i++)
		b[i] = (struct backing_file){
			.volume = c->v, .ino = f[i]->ino,
			.version = f[i]->version, .instance = f[i]->instance,
		};
	backing_remove(b, c->nr);
	for (size_t i = 0; i < c->nr; i++)
		c->out[i].rc = b[i].rc;
	free(b);
}

static void run_own(struct chore *c)
{
	const Orchfs__Peer__Own *m = c->r->f->own;
	const struct ns_owner o = {
		.uid = m->uid, .gid = m->gid, .projid = m->projid,
		.project = m->project, .force = true,
	};
	const peer_file *f = m->file;
	int rc;

	rc = backing_own(c->v, f->ino, f->version, f->instance, &o);
	if (rc < 0)
		log_warn(c->sv->name, "volume %s: backing file %llx.%llx.%llx "
			 "is not given to %u:%u: %s", c->v->rec.name,
			 (unsigned long long)f->ino,
			 (unsigned long long)f->version,
			 (unsigned long long)f->instance, m->uid, m->gid,
			 strerror(-rc));
	c->out[0].rc = volume_stat(c->v, f->ino, f->version, f->instance,
				   &c->out[0].st);
}

/* --- answers --- */

static peer_stat *put_stat(struct arena *a, const struct chore *c, size_t i)
{
	const struct ns_backing_stat *st = &c->out[i].st;
	peer_stat *m = arena_zalloc(a, sizeof(*m));

	if (!m)
		return NULL;
	orchfs__peer__stat__init(m);
	m->status = c->out[i].rc;
	if (m->status)
		return m;
	m->size = st->size;
	m->blocks = st->blocks;
	m->mtime = st->mtime.sec;
	m->mtime_nsec = st->mtime.nsec;
	m->ctime = st->ctime.sec;
	m->ctime_nsec = st->ctime.nsec;
	return m;
}

static int put_stats(struct arena *a, const struct chore *c, size_t nr,
		     peer_stat ***out, size_t *n)
{
	*out = arena_zalloc(a, (nr + 1) * sizeof(**out));
	if (!*out)
		return -ENOMEM;
	for (*n = 0; *n < nr; ++*n) {
		(*out)[*n] = put_stat(a, c, *n);
		if (!(*out)[*n])
			return -ENOMEM;
	}
	return 0;
}

static int reply_made(struct arena *a, const struct chore *c, peer_frame *f)
{
	Orchfs__Peer__Made *m = arena_zalloc(a, sizeof(*m));

	if (!m)
		return -ENOMEM;
	orchfs__peer__made__init(m);
	m->count = c->made;
	m->status = c->rc;
	f->body_case = PEER_BODY(MADE);
	f->made = m;
	return put_stats(a, c, c->made, &m->stat, &m->n_stat);
}

static int reply_looked(struct arena *a, const struct chore *c, peer_frame *f)
{
	Orchfs__Peer__Looked *m = arena_zalloc(a, sizeof(*m));

	if (!m || c->rc)
		return m ? c->rc : -ENOMEM;
	orchfs__peer__looked__init(m);
	f->body_case = PEER_BODY(LOOKED);
	f->looked = m;
	return put_stats(a, c, c->nr, &m->stat, &m->n_stat);
}

static int reply_glimpsed(struct arena *a, const struct chore *c,
			  peer_frame *f)
{
	Orchfs__Peer__Glimpsed *m = arena_zalloc(a, sizeof(*m));

	if (!m)
		return -ENOMEM;
	orchfs__peer__glimpsed__init(m);
	f->body_case = PEER_BODY(GLIMPSED);
	f->glimpsed = m;
	return put_stats(a, c, c->nr, &m->stat, &m->n_stat);
}

static int reply_deleted(struct arena *a, const struct chore *c,
			 peer_frame *f)
{
	Orchfs__Peer__Deleted *m = arena_zalloc(a, sizeof(*m));

	if (!m || c->rc)
		return m ? c->rc : -ENOMEM;
	orchfs__peer__deleted__init(m);
	f->body_case = PEER_BODY(DELETED);
	f->deleted = m;
	m->status = arena_zalloc(a, (c->nr + 1) * sizeof(*m->status));
	if (!m->status)
		return -ENOMEM;
	for (m->n_status = 0; m->n_status < c->nr; m->n_status++)
		m->status[m->n_status] = c->out[m->n_status].rc;
	return 0;
}

static int reply(struct arena *a, const struct chore *c, peer_frame *f)
{
	switch ((int)c->r->f->body_case) {
	case PEER_BODY(MAKE):
		return reply_made(a, c, f);
	case PEER_BODY(LOOK):
		return reply_looked(a, c, f);
	case PEER_BODY(DELETE):
		return reply_deleted(a, c, f);
	default:
		return reply_glimpsed(a, c, f);
	}
}

/* namespace thread */
static void chore_done(struct work *w)
{
	struct chore *c = container_of(w, struct chore, w);
	peer_frame f = PEER_FRAME_INIT(DONE);
	struct arena *a = arena_new();
	int rc = a ? reply(a, c, &f) : -ENOMEM;

	if (rc < 0)
		peer_fail(c->r, rc, strerror(-rc));
	else
		peer_reply(c->r, &f);
	arena_free(a);
	volume_put(c->v);
	free(c);
}

static void chore_run(struct work *w)
{
	struct chore *c = container_of(w, struct chore, w);

	c->run(c);
	c->w.run = chore_done;
	work_post(&c->sv->queue, &c->w);
}

/* --- questions --- */

static bool files_ok(peer_file *const *f, size_t nr, size_t max)
{
	if (nr > max)
		return false;
	for (size_t i = 0; i < nr; i++)
		if (!f[i] || !f[i]->ino || !f[i]->version || !f[i]->instance)
			return false;
	return true;
}

struct asked {
	uint32_t volume;
	size_t nr;
	bool ok, quick;
	void (*run)(struct chore *c);
};

static struct asked read_question(const peer_frame *f)
{
	switch ((int)f->body_case) {
	case PEER_BODY(MAKE):
		return (struct asked){
			f->make->volume, f->make->count,
			f->make->first_ino && f->make->first_instance &&
			f->make->count <= STEWARD_MAKE, false, run_make };
	case PEER_BODY(LOOK):
		return (struct asked){
			f->look->volume, f->look->n_file,
			files_ok(f->look->file, f->look->n_file,
				 STEWARD_LOOK), false, run_look };
	case PEER_BODY(GLIMPSE):
		return (struct asked){
			f->glimpse->volume, f->glimpse->n_file,
			files_ok(f->glimpse->file, f->glimpse->n_file,
				 STEWARD_GLIMPSE), true, run_glimpse };
	case PEER_BODY(DELETE):
		return (struct asked){
			f->delete_->volume, f->delete_->n_file,
			files_ok(f->delete_->file, f->delete_->n_file,
				 STEWARD_DELETE), false, run_delete };
	default:
		return (struct asked){
			f->own->volume, 1, files_ok(&f->own->file, 1, 1),
			true, run_own };
	}
}

static int quick_worker(struct volume *v)
{
	return v->quick.started ? 0 : worker_start(&v->quick, "orchd-glimpse");
}

void steward_work(struct served *sv, struct peer_request *r)
{
	const struct asked q = read_question(r->f);
	struct volume *v = served_volume(sv, q.volume);
	struct chore *c;

	if (!q.ok || !v) {
		peer_fail(r, q.ok ? -ENODEV : -EPROTO, q.ok ? "this node has "
			  "no such volume" : "malformed, or too many files");
		return;
	}
	if (!volume_online(v) || v->opening || v->removing ||
	    sv->pool.stopped) {
		peer_fail(r, -EIO, "the volume is not in use");
		return;
	}
	c = calloc(1, sizeof(*c) + q.nr * sizeof(c->out[0]));
	if (!c || (q.quick ? quick_worker(v) : health_worker(v)) < 0) {
		free(c);
		peer_fail(r, -ENOMEM, "out of memory");
		return;
	}
	c->w.run = chore_run;
	c->sv = sv;
	c->v = volume_get(v);
	c->r = r;
	c->run = q.run;
	c->nr = q.nr;
	work_post(q.quick ? &v->quick.q : &v->worker.q, &c->w);
}

/* --- write-back --- */

struct flushing {
	struct work w;
	struct served *sv;
	struct peer_request *r;
	int rc;
	size_t nr;
	struct volume *v[];
};

/* namespace thread */
static void flush_done(struct work *w)
{
	struct flushing *f = container_of(w, struct flushing, w);

	if (f->rc < 0)
		peer_fail(f->r, f->rc, "a volume can't be written back");
	else
		steward_done(f->r);
	for (size_t i = 0; i < f->nr; i++)
		volume_put(f->v[i]);
	free(f);
}

/* orchd-flush */
static void flush_run(struct work *w)
{
	struct flushing *f = container_of(w, struct flushing, w);

	for (size_t i = 0; i < f->nr; i++) {
		struct volume *v = f->v[i];

		if (!syncfs(v->root_fd))
			continue;
		f->rc = -errno;
		volume_error(v, f->rc);
		log_err(f->sv->name, "volume %s: cannot write it back: %s",
			v->rec.name, strerror(-f->rc));
	}
	f->w.run = flush_done;
	work_post(&f->sv->queue, &f->w);
}

/* Two volumes on one file system are written back at once. */
static void flush_add(struct flushing *f, struct volume *v)
{
	for (size_t i = 0; i < f->nr; i++)
		if (f->v[i]->dev == v->dev)
			return;
	f->v[f->nr++] = volume_get(v);
}

void steward_flush(struct served *sv, struct peer_request *r)
{
	const Orchfs__Peer__Flush *m = r->f->flush;
	struct worker *to = &sv->flusher.worker;
	struct flushing *f = NULL;
	struct volume *v;

	if (m->n_volume <= VOLUMES_MAX && !sv->pool.stopped)
		f = calloc(1, sizeof(*f) + m->n_volume * sizeof(f->v[0]));
	if (!f || (!to->started && worker_start(to, "orchd-flush") < 0)) {
		free(f);
		peer_fail(r, -ENOMEM, "it can't be written back now");
		return;
	}
	f->sv = sv;
	f->r = r;
	for (size_t i = 0; i < m->n_volume; i++) {
		v = served_volume(sv, m->volume[i]);
		if (v && volume_online(v) && !v->opening)
			flush_add(f, v);
		else
			f->rc = -EIO;	/* and who knows what it has lost */
	}
	f->w.run = flush_run;
	work_post(&to->q, &f->w);
}
