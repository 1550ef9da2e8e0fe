// SPDX-License-Identifier: Apache-2.0
/*
 * Commands that only the authority can carry out: an agent passes them on, and
 * the authority runs them as if they had been said there.
 */
#include "ctl_remote.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "cluster.h"
#include "ctl.h"
#include "peer.h"
#include "served.h"

#define REMOTE_MS	180000	/* the longest that one may take */
#define REMOTE_MAX	32	/* at once */

static const Orchfs__Control__Request__OpCase allowed[] = {
	ORCHFS__CONTROL__REQUEST__OP_VOLUME_LIST,
	ORCHFS__CONTROL__REQUEST__OP_VOLUME_SET,
	ORCHFS__CONTROL__REQUEST__OP_VOLUME_REMOVE,
	ORCHFS__CONTROL__REQUEST__OP_VOLUME_DRAIN,
	ORCHFS__CONTROL__REQUEST__OP_WHERE,
	ORCHFS__CONTROL__REQUEST__OP_MOVE,
	ORCHFS__CONTROL__REQUEST__OP_JOB_LIST,
	ORCHFS__CONTROL__REQUEST__OP_JOB_GET,
	ORCHFS__CONTROL__REQUEST__OP_JOB_CANCEL,
	ORCHFS__CONTROL__REQUEST__OP_SYNC,
	ORCHFS__CONTROL__REQUEST__OP_NODE_FILES,
};

bool ctl_is_remote(const Orchfs__Control__Request *r)
{
	for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed); i++)
		if (allowed[i] == r->op_case)
			return true;
	return false;
}

static const char *ns_of(const Orchfs__Control__Request *r)
{
	switch ((int)r->op_case) {
	case ORCHFS__CONTROL__REQUEST__OP_VOLUME_LIST:
		return r->volume_list->name;
	case ORCHFS__CONTROL__REQUEST__OP_VOLUME_SET:
		return r->volume_set->ns;
	case ORCHFS__CONTROL__REQUEST__OP_VOLUME_REMOVE:
		return r->volume_remove->ns;
	case ORCHFS__CONTROL__REQUEST__OP_VOLUME_DRAIN:
		return r->volume_drain->ns;
	case ORCHFS__CONTROL__REQUEST__OP_WHERE:
		return r->where->ns;
	case ORCHFS__CONTROL__REQUEST__OP_MOVE:
		return r->move->ns;
	case ORCHFS__CONTROL__REQUEST__OP_JOB_LIST:
		return r->job_list->name;
	case ORCHFS__CONTROL__REQUEST__OP_JOB_GET:
		return r->job_get->ns;
	case ORCHFS__CONTROL__REQUEST__OP_JOB_CANCEL:
		return r->job_cancel->ns;
	case ORCHFS__CONTROL__REQUEST__OP_SYNC:
		return r->sync->name;
	case ORCHFS__CONTROL__REQUEST__OP_NODE_FILES:
		return r->node_files->ns;
	default:
		return "";
	}
}

/* --- at the agent --- */

bool ctl_agent(struct ctl_call *c, const char *name, struct served **out)
{
	struct served *sv = *name ? served_find(name) : NULL;

	if (!*name && ctl_only(c, &sv) < 0)
		return false;	/* who asks for the namespace says why */
	if (!sv || !sv->agent || served_hold_cluster(sv))
		return false;
	*out = sv;
	return true;
}

int ctl_ask_authority(struct ctl_call *c, struct served *sv, peer_frame *f,
		      peer_frame **out)
{
	return cluster_ask_for(sv->cluster, c->a, f, REMOTE_MS, out,
			       c->message, sizeof(c->message));
}

static int pass_on(struct ctl_call *c, struct served *sv)
{
	Orchfs__Peer__Control m = ORCHFS__PEER__CONTROL__INIT;
	peer_frame f = PEER_FRAME_INIT(CONTROL), *r;
	int rc;

	m.request.len = orchfs__control__request__get_packed_size(c->req);
	m.request.data = arena_alloc(c->a, m.request.len + 1);
	if (!m.request.data)
		return -ENOMEM;
	orchfs__control__request__pack(c->req, m.request.data);
	f.control = &m;
	rc = ctl_ask_authority(c, sv, &f, &r);
	if (rc < 0)
		return rc;
	if (r->body_case != PEER_BODY(CONTROLLED))
		return -EBADMSG;
	c->remote = orchfs__control__response__unpack(
			NULL, r->controlled->response.len,
			r->controlled->response.data);
	if (!c->remote)
		return -EBADMSG;
	c->resp = *c->remote;
	snprintf(c->message, sizeof(c->message), "%s", c->remote->message);
	return c->remote->status;
}

bool ctl_pass_on(struct ctl_call *c, int *rc)
{
	struct served *sv;

	if (c->sv || !ctl_is_remote(c->req) ||
	    !ctl_agent(c, ns_of(c->req), &sv))
		return false;
	*rc = pass_on(c, sv);
	served_release(sv);
	return true;
}

/* --- at the authority --- */

struct remote_call {
	struct ctl_call c;
	struct work w;
	struct peer_request *r;
	uint8_t *out;
	size_t len;
};

static atomic_uint under_way;

static void remote_free(struct remote_call *rc)
{
	if (rc->c.req)
		orchfs__control__request__free_unpacked(rc->c.req, NULL);
	arena_free(rc->c.a);
	free(rc->out);
	free(rc);
}

/* namespace thread */
static void remote_done(struct work *w)
{
	struct remote_call *rc = container_of(w, struct remote_call, w);
	Orchfs__Peer__Controlled m = ORCHFS__PEER__CONTROLLED__INIT;
	peer_frame f = PEER_FRAME_INIT(CONTROLLED);

	atomic_fetch_sub(&under_way, 1);
	m.response.data = rc->out;
	m.response.len = rc->len;
	f.controlled = &m;
	if (rc->out)
		peer_reply(rc->r, &f);
	else
		peer_fail(rc->r, -ENOMEM, "out of memory");
	remote_free(rc);
}

static void *remote_main(void *arg)
{
	struct remote_call *rc = arg;
	struct ctl_call *c = &rc->c;
	struct served *sv = c->sv;

	c->resp.status = ctl_run(c);
	if (!c->message[0] && c->resp.status < 0)
		snprintf(c->message, sizeof(c->message), "%s",
			 strerror(-c->resp.status));
	c->resp.message = c->message;
	c->resp.last = true;
	rc->len = orchfs__control__response__get_packed_size(&c->resp);
	rc->out = malloc(rc->len + 1);
	if (rc->out)
		orchfs__control__response__pack(&c->resp, rc->out);
	rc->w.run = remote_done;
	work_post(&sv->queue, &rc->w);	/* it is open while it is held */
	served_release(sv);
	return NULL;
}

static int remote_begin(struct remote_call *rc)
{
	const ProtobufCBinaryData *m = &rc->r->f->control->request;
	pthread_t t;

	rc->c.req = orchfs__control__request__unpack(NULL, m->len, m->data);
	rc->c.a = arena_new();
	if (!rc->c.req || !rc->c.a)
		return rc->c.a ? -EBADMSG : -ENOMEM;
	if (!ctl_is_remote(rc->c.req))
		return -EPERM;
	if (served_hold(rc->c.sv))
		return -ESHUTDOWN;
	if (thread_start(&t, "orchd-ctl", remote_main, rc) < 0) {
		served_release(rc->c.sv);
		return -EAGAIN;
	}
	pthread_detach(t);
	return 0;
}

void ctl_remote(struct served *sv, struct peer_request *r)
{
	struct remote_call *c = NULL;
	int rc = -EBUSY;

	if (atomic_fetch_add(&under_way, 1) < REMOTE_MAX) {
		c = calloc(1, sizeof(*c));
		rc = -ENOMEM;
	}
	if (c) {
		orchfs__control__response__init(&c->c.resp);
		c->c.fd = -1;
		c->c.sv = sv;
		c->r = r;
		rc = remote_begin(c);
	}
	if (!rc)
		return;
	atomic_fetch_sub(&under_way, 1);
	if (c)
		remote_free(c);
	peer_fail(r, rc, rc == -EPERM ? "such a command has to be said on "
		  "the authority" : strerror(-rc));
}
