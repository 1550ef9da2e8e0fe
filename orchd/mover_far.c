// SPDX-License-Identifier: Apache-2.0
/*
 * A batch whose target is another node's: that node copies it, and is asked
 * each second how far it is. Namespace thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "cluster.h"
#include "data.h"
#include "exec.h"
#include "mover.h"
#include "peer.h"

#define COPY_MS		(7 * 86400 * 1000U)	/* as long as its link lives */
#define WATCH_MS	10000
#define RENEW_MS	(DATA_TOKEN_MS / 2)

/* A question; j is NULL when nobody waits any more. */
struct mover_remote {
	struct peer_question q;
	struct mover_job *j;
};

/* --- what came of it --- */

static int status_of(int status)
{
	return status < 0 && status > -4096 ? status : status ? -EIO : 0;
}

static void take(struct copy_file *c, const Orchfs__Peer__CopiedFile *m)
{
	c->rc = status_of(m->status);
	c->fatal = m->fatal && c->rc;
	c->size = m->size;
	c->blocks = m->blocks;
	c->owner = (struct ns_owner){ .uid = m->uid, .gid = m->gid,
				      .projid = m->projid };
}

/* It was given up there, not here: the link, or the node's daemon. */
static bool given_up(const struct mover_job *j, const struct copy_file *c)
{
	return c->rc == -ECANCELED && !atomic_load(&c->stop) &&
	       !atomic_load(&j->copy.stop);
}

static void far_done(struct peer_question *q, int rc, const char *why,
		     peer_frame *f)
{
	struct mover_remote *m = container_of(q, struct mover_remote, q);
	struct mover_job *j = m->j;
	bool fatal = false;

	free(m);
	if (j && !rc && ((int)f->body_case != PEER_BODY(COPIED) ||
			 f->copied->n_file != j->nr))
		rc = -EPROTO;
	if (j) {
		j->remote = NULL;
		snprintf(j->text, sizeof(j->text), "%s", rc ? why : "");
	}
	for (size_t i = 0; j && i < j->nr; i++) {
		struct copy_file *c = &j->batch[i]->c;

		if (rc)
			c->rc = -EHOSTDOWN;
		else
			take(c, f->copied->file[i]);
		fatal |= c->fatal;
		/* what comes after a fatal one isn't begun */
		if (given_up(j, c) && !fatal)
			c->rc = -EHOSTDOWN;
	}
	frame_free(f);
	if (j)
		copy_done(j);
}

/* --- questions --- */

static int put_token(struct served *sv, struct arena *a, uint32_t node,
		     const struct ns_move *m, ProtobufCBinaryData *out)
{
	out->data = arena_alloc(a, ORCHFS_TOKEN_LEN);
	if (!out->data)
		return -ENOMEM;
	out->len = ORCHFS_TOKEN_LEN;
	return token_make(sv, node, m->from_volume, m->ino, m->version,
			  m->from, false, out->data);
}

static uint32_t home_of(struct served *sv, uint32_t volume)
{
	const struct volume *v = served_volume(sv, volume);

	return v && v->rec.home ? v->rec.home : sv->cluster->node;
}

static int put_file(struct mover_job *j, struct arena *a,
		    const struct mover_file *f, Orchfs__Peer__CopyFile **out)
{
	Orchfs__Peer__CopyFile *m = arena_zalloc(a, sizeof(*m));

	if (!m)
		return -ENOMEM;
	*out = m;
	orchfs__peer__copy_file__init(m);
	m->from = arena_zalloc(a, sizeof(*m->from));
	if (!m->from)
		return -ENOMEM;
	orchfs__peer__file__init(m->from);
	m->from->ino = f->m.ino;
	m->from->version = f->m.version;
	m->from->instance = f->m.from;
	m->to_instance = f->m.to;
	m->from_volume = f->m.from_volume;
	m->home = home_of(j->sv, f->m.from_volume);
	m->uid = f->c.owner.uid;
	m->gid = f->c.owner.gid;
	m->projid = f->c.owner.projid;
	return m->home == j->to->rec.home ? 0 :
	       put_token(j->sv, a, j->to->rec.home, &f->m, &m->token);
}

static int send_copy(struct mover_job *j, struct arena *a,
		     struct mover_remote *r)
{
	Orchfs__Peer__Copy m = ORCHFS__PEER__COPY__INIT;
	peer_frame f = PEER_FRAME_INIT(COPY);
	int rc = 0;

	m.job = j->rec.id;
	m.to_volume = j->to->rec.id;
	m.rate = j->rec.rate;
	m.file = arena_zalloc(a, (j->nr + 1) * sizeof(*m.file));
	if (!m.file)
		return -ENOMEM;
	for (; m.n_file < j->nr && !rc; m.n_file++)
		rc = put_file(j, a, j->batch[m.n_file], &m.file[m.n_file]);
	f.copy = &m;
	return rc ? rc : sessions_ask(j->sv, j->to->rec.home, &f, COPY_MS,
				      &r->q);
}

void far_copy(struct mover_job *j)
{
	struct mover_remote *r = calloc(1, sizeof(*r));
	struct arena *a = arena_new();
	int rc = -ENOMEM;

	j->renewed_at = now_ms();
	if (r && a) {
		r->j = j;
		r->q.done = far_done;
		rc = send_copy(j, a, r);
	}
	arena_free(a);
	if (!rc) {
		j->remote = r;
		return;
	}
	free(r);
	for (size_t i = 0; i < j->nr; i++)
		j->batch[i]->c.rc = -EHOSTDOWN;
	copy_done(j);
}

void far_free(struct mover_job *j)
{
	if (j->remote)
		j->remote->j = NULL;
	if (j->watch)
		j->watch->j = NULL;
}

/* --- meanwhile --- */

static void watched(struct peer_question *q, int rc, const char *why,
		    peer_frame *f)
{
	struct mover_remote *m = container_of(q, struct mover_remote, q);
	struct mover_job *j = m->j;

	(void)why;
	if (j)
		j->watch = NULL;
	if (j && !rc && j->remote &&
	    (int)f->body_case == PEER_BODY(COPY_STATE) &&
	    f->copy_state->reading) {
		atomic_store(&j->copy.reading, f->copy_state->reading);
		atomic_store(&j->copy.verifying, f->copy_state->verifying);
	}
	frame_free(f);
	free(m);
}

/* Tokens last an hour. */
static int renew(struct mover_job *j, struct arena *a,
		 Orchfs__Peer__CopyWatch *m)
{
	int rc = 0;

	if (now_ms() < j->renewed_at + RENEW_MS)
		return 0;
	m->token = arena_zalloc(a, (j->nr + 1) * sizeof(*m->token));
	if (!m->token)
		return -ENOMEM;
	for (; m->n_token < j->nr && !rc; m->n_token++)
		rc = put_token(j->sv, a, j->to->rec.home,
			       &j->batch[m->n_token]->m,
			       &m->token[m->n_token]);
	if (!rc)
		j->renewed_at = now_ms();
	return rc;
}

static int send_watch(struct mover_job *j, struct arena *a,
		      struct mover_remote *r)
{
	Orchfs__Peer__CopyWatch m = ORCHFS__PEER__COPY_WATCH__INIT;
	peer_frame f = PEER_FRAME_INIT(COPY_WATCH);
	uint32_t stop[COPY_BATCH];

	m.job = j->rec.id;
	m.stop = atomic_load(&j->copy.stop);
	m.stop_file = stop;
	for (size_t i = 0; i < j->nr; i++)
		if (atomic_load(&j->batch[i]->c.stop))
			stop[m.n_stop_file++] = (uint32_t)i;
	if (renew(j, a, &m) < 0)
		m.n_token = 0;	/* at the next tick */
	f.copy_watch = &m;
	return sessions_ask(j->sv, j->to->rec.home, &f, WATCH_MS, &r->q);
}

/* Those of other nodes' files that this machine copies. */
static void renew_here(struct mover_job *j)
{
	struct served *sv = j->sv;
	uint8_t token[ORCHFS_TOKEN_LEN];

	if (!j->copying || now_ms() < j->renewed_at + RENEW_MS)
		return;
	j->renewed_at = now_ms();
	for (size_t i = 0; i < j->nr; i++) {
		const struct ns_move *m = &j->batch[i]->m;

		if (j->batch[i]->c.node && sv->cluster &&
		    !token_make(sv, sv->cluster->node, m->from_volume, m->ino,
				m->version, m->from, false, token))
			copy_token(&sv->mover->pace, &j->batch[i]->c, token);
	}
}

void far_tick(struct mover_job *j)
{
	struct mover_remote *r;
	struct arena *a;

	if (!j->remote)
		renew_here(j);
	if (!j->remote || j->watch)
		return;
	r = calloc(1, sizeof(*r));
	a = arena_new();
	if (r && a) {
		r->j = j;
		r->q.done = watched;
		if (!send_watch(j, a, r)) {
			j->watch = r;
			r = NULL;
		}
	}
	free(r);
	arena_free(a);
}
