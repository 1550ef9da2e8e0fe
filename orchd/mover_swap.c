// SPDX-License-Identifier: Apache-2.0
/*
 * One file's layout at all kernels that have one: this machine's, and those of
 * other nodes by layout-set. All layouts of an inode are of one instance, so
 * where one kernel can't change (the file is mapped there) none may.
 * Namespace thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "exec.h"
#include "mover.h"
#include "op_wire.h"
#include "peer.h"

#define ASK_MS	(4 * MOVER_DRAIN_MS)

/* A question to a node; f is NULL when nobody waits any more. */
struct mover_far {
	struct peer_question q;
	struct mover_file *f;
};

static void round_next(struct mover_file *f);

void round_free(struct mover_file *f)
{
	if (f->round.far)
		f->round.far->f = NULL;
	free(f->round.node);
}

/* --- one kernel --- */

static void say_node(struct mover_round *r, const char *text)
{
	if (r->node[r->at])
		snprintf(r->text, sizeof(r->text), "node %u: %.200s",
			 r->node[r->at], text);
	else
		snprintf(r->text, sizeof(r->text), "%s", text);
}

/* The others keep what they have; those that have the new one lose it. */
static void refused(struct mover_file *f, int status, const char *text)
{
	struct mover_round *r = &f->round;
	struct op_layout lay;

	r->failed = status;
	r->refused = r->node[r->at];
	say_node(r, text);
	r->nr = r->at;
	r->at = 0;
	r->back = true;
	if (!r->nr || f->sm.state == MOVE_PLAN)
		r->nr = 0;
	else if (ns_move_layout(f->job->sv->ns, &f->m, !f->forward, &lay))
		r->mixed = true;
	else
		r->lay = lay;
	if (r->mixed)
		r->nr = 0;
}

static void one_done(struct mover_file *f, int status, uint32_t writers,
		     const char *text)
{
	struct mover_round *r = &f->round;

	ns_move_swapped_at(f->job->sv->ns, &f->m, r->node[r->at],
			   r->lay.generation, status);
	r->writers += writers;
	if (!status || status == -ENOENT) {
		r->at++;
	} else if (r->back) {
		r->mixed = true;
		r->at++;
	} else {
		refused(f, status, text);
	}
	round_next(f);
}

static void own_done(struct served *sv, struct swap *s)
{
	struct mover_round *r = container_of(s, struct mover_round, swap);
	struct mover_file *f = container_of(r, struct mover_file, round);

	(void)sv;
	r->own = false;
	one_done(f, s->status, s->writers, s->text);
}

static void far_done(struct peer_question *q, int rc, const char *why,
		     peer_frame *a)
{
	struct mover_far *far = container_of(q, struct mover_far, q);
	struct mover_file *f = far->f;
	int status = -ENOTCONN;
	uint32_t writers = 0;
	char text[200];

	snprintf(text, sizeof(text), "%s", why);
	if (!rc && (int)a->body_case == PEER_BODY(LAYOUT_END) &&
	    a->layout_end->status <= 0) {
		status = a->layout_end->status;
		writers = a->layout_end->writers;
		snprintf(text, sizeof(text), "%s", a->layout_end->text);
	}
	frame_free(a);
	free(far);
	if (!f)
		return;
	f->round.far = NULL;
	if (f->job->sv->ns)
		one_done(f, status, writers, text);
}

static int send_far(struct mover_file *f, uint32_t node,
		    const struct op_layout *l)
{
	Orchfs__Peer__LayoutSet m = ORCHFS__PEER__LAYOUT_SET__INIT;
	peer_frame q = PEER_FRAME_INIT(LAYOUT_SET);
	struct served *sv = f->job->sv;
	struct mover_far *far;
	struct arena *a;
	int rc = -ENOMEM;

	far = calloc(1, sizeof(*far));
	a = arena_new();
	m.layout = a ? op_wire_layout(a, l) : NULL;
	if (far && m.layout) {
		m.ino = f->m.ino;
		m.timeout_ms = MOVER_DRAIN_MS;
		q.layout_set = &m;
		far->f = f;
		far->q.done = far_done;
		rc = sessions_ask(sv, node, &q, ASK_MS, &far->q);
	}
	arena_free(a);
	if (rc)
		free(far);
	else
		f->round.far = far;
	return rc;
}

static int send_own(struct mover_file *f, const struct op_layout *l)
{
	struct served *sv = f->job->sv;
	struct mover_round *r = &f->round;
	int rc;

	/* Without the module nothing is open. */
	if (!sv->attached)
		return sv->no_module ? -ENOENT : -ENOTCONN;
	memset(&r->swap, 0, sizeof(r->swap));
	r->swap.fn = own_done;
	r->deadline = now_ms() + ASK_MS;
	rc = nl_ops_layout_set(sv, &r->swap, f->m.ino, l, MOVER_DRAIN_MS);
	r->own = !rc;
	return rc;
}

/* --- all of them --- */

static void round_next(struct mover_file *f)
{
	struct mover_round *r = &f->round;
	struct served *sv = f->job->sv;
	struct op_layout l = r->lay;
	const struct volume *v;
	uint32_t node;
	int rc;

	if (r->at == r->nr) {
		r->done(f, r->mixed ? -ENOTCONN : r->failed);
		return;
	}
	node = r->node[r->at];
	r->swap.text[0] = 0;
	v = served_volume(sv, l.volume);
	rc = !v ? -EIO : !node && !volume_far(v) ? 0 :
	     layout_place(sv, node, v, f->m.ino, &l);
	if (!rc)
		rc = node ? send_far(f, node, &l) : send_own(f, &l);
	if (!rc)
		return;
	if (node && rc == -ENOTCONN)
		one_done(f, rc, 0, "it is not connected");
	else
		one_done(f, rc, 0, node || !r->swap.text[0] ? strerror(-rc) :
			 r->swap.text);
}

/* This machine first, but who refused the last time before all others. */
static int list_nodes(struct mover_file *f)
{
	struct mover_round *r = &f->round;
	struct ns *ns = f->job->sv->ns;
	size_t nr = ns_move_holders(ns, f->m.ino, NULL, 0);

	if (nr + 1 > r->max) {
		void *p = realloc(r->node, (nr + 1) * sizeof(*r->node));

		if (!p)
			return -ENOMEM;
		r->node = p;
		r->max = nr + 1;
	}
	r->node[0] = 0;
	r->nr = 1 + ns_move_holders(ns, f->m.ino, r->node + 1, nr);
	for (size_t i = 1; i < r->nr; i++) {
		if (r->node[i] != r->refused)
			continue;
		r->node[i] = r->node[0];
		r->node[0] = r->refused;
	}
	return 0;
}

void round_begin(struct mover_file *f, const struct op_layout *lay)
{
	struct mover_round *r = &f->round;
	int rc = list_nodes(f);

	r->lay = *lay;
	r->at = 0;
	r->failed = 0;
	r->back = r->mixed = false;
	if (rc)
		r->done(f, rc);
	else
		round_next(f);
}

/* A swap whose end was never told. */
void round_tick(struct mover_file *f, uint64_t now)
{
	if (f->round.own && now > f->round.deadline)
		swap_lost(f->job->sv, &f->round.swap);
}
