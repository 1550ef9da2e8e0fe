// SPDX-License-Identifier: Apache-2.0
/* What status and node show tell of other nodes' sessions. */
#include <stdlib.h>

#include "arena.h"
#include "ctl.h"
#include "exec.h"

#define ASK_MS		3000
#define SESSIONS_MAX	1024

typedef Orchfs__Control__NodeSession node_session;

struct sessions_job {
	struct job j;
	size_t nr;
	struct session_info s[SESSIONS_MAX];
};

static int sessions_run(struct served *sv, struct job *j)
{
	struct sessions_job *l = container_of(j, struct sessions_job, j);

	l->nr = sessions_info(sv, l->s, SESSIONS_MAX);
	return 0;
}

static node_session *session_message(struct ctl_call *c,
				     const struct session_info *s)
{
	node_session *m = arena_zalloc(c->a, sizeof(*m));

	if (!m)
		return NULL;
	orchfs__control__node_session__init(m);
	m->node = s->node;
	m->state = ctl_strdup(c, s->awaited ? "awaited" :
			      s->up ? "up" : "down");
	m->lease_ms = s->lease_ms;
	m->rows = s->rows;
	m->stale = s->stale;
	m->layouts = s->held.layouts;
	m->written = s->held.written;
	m->nameless = s->held.nameless;
	m->requests = s->requests;
	m->questions = s->questions;
	return m;
}

static void fill(struct ctl_call *c, const struct sessions_job *l,
		 Orchfs__Control__ClusterInfo *i)
{
	i->session = arena_zalloc(c->a, (l->nr + 1) * sizeof(*i->session));
	for (size_t n = 0; i->session && n < l->nr; n++) {
		i->session[n] = session_message(c, &l->s[n]);
		if (!i->session[n])
			break;
		i->n_session++;
	}
}

void ctl_session_info(struct ctl_call *c, struct served *sv,
		      Orchfs__Control__ClusterInfo *i)
{
	struct sessions_job *l;

	if (served_hold(sv))
		return;		/* an agent has none */
	l = job_new(sizeof(*l), sessions_run);
	if (l && !served_call(sv, &l->j, ASK_MS))
		fill(c, l, i);
	if (l)
		job_put(&l->j);
	served_release(sv);
}
