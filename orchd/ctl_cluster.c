// SPDX-License-Identifier: Apache-2.0
/* Control requests about the cluster: Documentation/cluster.md. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena.h"
#include "cluster.h"
#include "config.h"
#include "ctl.h"
#include "handover.h"
#include "log.h"
#include "peer.h"

#define NODE_NAME_RULE	"use 1 to 63 of A-Z a-z 0-9 . _ - and begin with " \
			"none of . -"

__attribute__((format(printf, 3, 4)))
static int say(struct ctl_call *c, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->message, sizeof(c->message), fmt, ap);
	va_end(ap);
	return rc;
}

int ctl_say_agent(struct ctl_call *c, struct served *sv)
{
	char who[256] = "another node";

	if (!served_hold_cluster(sv)) {
		cluster_authority_text(sv->cluster, who, sizeof(who));
		served_release(sv);
	}
	return say(c, -EREMOTE, "this node is an agent of namespace %s and has "
		   "no store of it: run the command on %s", sv->name, who);
}

/* Fills what a hold of @sv keeps from changing. */
static void info_fill(struct ctl_call *c, struct cluster *cl,
		      Orchfs__Control__ClusterInfo *i)
{
	char both[sizeof(((struct peer_link *)0)->why) + VOLUME_WHY];
	struct peer_link l;
	uint32_t number;

	i->node = cl->node;
	i->name = ctl_strdup(c, cl->name);
	i->agent = cl->agent;
	i->authority = cl->authority;
	i->authority_name = ctl_strdup(c, cl->authority_name);
	i->address = ctl_strdup(c, cl->nr_addresses ? cl->address[0] : "");
	pthread_mutex_lock(&cl->lock);
	i->epoch = cl->epoch;
	i->problem = ctl_strdup(c, cl->problem);
	i->expires = cl->cert ? pki_expires(cl->cert) : 0;
	for (size_t n = 0; n < cl->nr_nodes; n++) {
		if (cl->nodes[n].removed)
			continue;
		i->nodes++;
		number = cl->nodes[n].number;
		peer_link(cl->peer, number, &l);
		i->nodes_connected += l.up;
	}
	pthread_mutex_unlock(&cl->lock);
	if (!cl->agent)
		return;
	peer_link(cl->peer, cl->authority, &l);
	i->connected = l.up;
	i->since = l.since;
	if (l.up || !*l.why)
		return;
	snprintf(both, sizeof(both), "%s%s%s", l.why, *i->problem ? "; " : "",
		 i->problem);
	i->problem = ctl_strdup(c, both);
}

Orchfs__Control__ClusterInfo *ctl_cluster_info(struct ctl_call *c,
					       struct served *sv)
{
	Orchfs__Control__ClusterInfo *i = NULL;

	if (served_hold_cluster(sv))
		return NULL;
	if (sv->cluster)
		i = arena_zalloc(c->a, sizeof(*i));
	if (i) {
		orchfs__control__cluster_info__init(i);
		info_fill(c, sv->cluster, i);
		i->data = ctl_data_info(c, sv);
		ctl_session_info(c, sv, i);
	}
	served_release(sv);
	return i;
}

/* The namespace's part in its cluster, held: served_release(). */
static int find(struct ctl_call *c, const char *name, struct served **out)
{
	struct served *sv = NULL;
	int rc;

	if (*name) {
		sv = served_find(name);
		if (!sv)
			return say(c, -ENOENT, "namespace %.64s is not served "
				   "here; orchctl status lists those that are",
				   name);
	} else {
		rc = ctl_only(c, &sv);
		if (rc < 0)
			return rc;
	}
	if (served_hold_cluster(sv))	/* it says why not */
		return ctl_served(c, name, out) < 0 ? -ESHUTDOWN :
		       (served_release(*out), say(c, -EAGAIN, "try again"));
	*out = sv;
	if (sv->cluster)
		return 0;
	served_release(sv);
	return say(c, -ENODEV, "namespace %s is no cluster's: make it one with "
		   "orchctl cluster init %s --listen ADDRESS", sv->name,
		   sv->name);
}

/* The one in the request, or the host's. */
static int node_name(struct ctl_call *c, const char *asked,
		     char out[NS_NODE_NAME])
{
	char host[NS_NODE_NAME] = "";

	if (!*asked) {
		if (gethostname(host, sizeof(host) - 1) < 0)
			host[0] = 0;
		host[strcspn(host, ".")] = 0;
		asked = host;
	}
	if (!config_name_valid(asked))
		return say(c, -EINVAL, "\"%.64s\" is no name for a node: "
			   NODE_NAME_RULE ", and give it with --node", asked);
	strcpy(out, asked);
	return 0;
}

int ctl_cluster_init(struct ctl_call *c)
{
	const Orchfs__Control__ClusterInit *m = c->req->cluster_init;
	char name[NS_NODE_NAME];
	struct served *sv;
	struct address a;
	int rc;

	rc = node_name(c, m->node, name);
	if (!rc && m->check)
		return cluster_check(m->listen, &a, c->message,
				     sizeof(c->message));
	if (!rc)
		rc = ctl_served(c, m->ns, &sv);
	if (rc < 0)
		return rc;
	rc = sv->cluster ? say(c, -EEXIST, "namespace %s is a cluster's "
			       "already: orchctl node list", sv->name) :
	     cluster_init(sv, m->listen, name, c->message,
			  sizeof(c->message));
	if (!rc) {
		c->resp.cluster = ctl_cluster_info(c, sv);
		c->resp.ns = ctl_strdup(c, sv->name);
	}
	served_release(sv);
	return rc;
}

static int ask(struct ctl_call *c, const char *ns, peer_frame *f,
	       peer_frame **out)
{
	struct served *sv;
	int rc;

	rc = find(c, ns, &sv);
	if (rc < 0)
		return rc;
	rc = cluster_ask(sv->cluster, c->a, f, out, c->message,
			 sizeof(c->message));
	c->resp.ns = ctl_strdup(c, sv->name);
	if (!rc && c->req->op_case == ORCHFS__CONTROL__REQUEST__OP_NODE_SHOW)
		c->resp.cluster = ctl_cluster_info(c, sv);
	served_release(sv);
	return rc;
}

static int cancel_invites(struct ctl_call *c)
{
	Orchfs__Peer__Empty m = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(INVITE_CANCEL), *r;
	Orchfs__Control__NodeList *l;
	int rc;

	f.invite_cancel = &m;
	rc = ask(c, c->req->node_invite->ns, &f, &r);
	if (rc < 0)
		return rc;
	if (r->body_case != PEER_BODY(CANCELLED))
		return -EBADMSG;
	l = arena_zalloc(c->a, sizeof(*l));
	if (!l)
		return -ENOMEM;
	orchfs__control__node_list__init(l);
	l->invitations = r->cancelled->invitations;
	c->resp.nodes = l;
	return 0;
}

int ctl_node_invite(struct ctl_call *c)
{
	Orchfs__Peer__Invite m = ORCHFS__PEER__INVITE__INIT;
	peer_frame f = PEER_FRAME_INIT(INVITE), *r;
	int rc;

	if (c->req->node_invite->cancel_all)
		return cancel_invites(c);
	m.valid = c->req->node_invite->valid;
	f.invite = &m;
	rc = ask(c, c->req->node_invite->ns, &f, &r);
	if (rc < 0)
		return rc;
	if (r->body_case != PEER_BODY(INVITED))
		return -EBADMSG;
	c->resp.token = r->invited->token;
	c->resp.expires = r->invited->expires;
	return 0;
}

static Orchfs__Control__NodeInfo *node_info(struct ctl_call *c,
				const Orchfs__Peer__NodeInfo *p)
{
	Orchfs__Control__NodeInfo *i = arena_zalloc(c->a, sizeof(*i));

	if (!i)
		return NULL;
	orchfs__control__node_info__init(i);
	i->number = p->number;
	i->name = p->name;
	i->address = p->address;
	i->state = (char *)(p->removed ? "removed" : p->authority ?
			    "authority" : p->connected ? "connected" :
			    "unreachable");
	i->since = p->removed ? p->removed_at : p->since;
	i->joined = p->joined;
	i->serial = p->serial;
	return i;
}

static int nodes(struct ctl_call *c, const peer_frame *r)
{
	Orchfs__Control__NodeList *l = arena_zalloc(c->a, sizeof(*l));
	const Orchfs__Peer__Nodes *m = r->nodes;

	if (r->body_case != PEER_BODY(NODES))
		return -EBADMSG;
	if (!l)
		return -ENOMEM;
	orchfs__control__node_list__init(l);
	l->invitations = m->invitations;
	l->node = arena_zalloc(c->a, (m->n_node + 1) * sizeof(*l->node));
	for (size_t i = 0; l->node && i < m->n_node; i++) {
		l->node[l->n_node] = node_info(c, m->node[i]);
		if (l->node[l->n_node])
			l->n_node++;
	}
	c->resp.nodes = l;
	return l->n_node == m->n_node ? 0 : -ENOMEM;
}

int ctl_node_list(struct ctl_call *c)
{
	Orchfs__Peer__Empty m = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(NODE_LIST), *r;
	int rc;

	f.node_list = &m;
	rc = ask(c, c->req->node_list->name, &f, &r);
	return rc < 0 ? rc : nodes(c, r);
}

int ctl_node_show(struct ctl_call *c)
{
	Orchfs__Peer__NodeRef m = ORCHFS__PEER__NODE_REF__INIT;
	peer_frame f = PEER_FRAME_INIT(NODE_SHOW), *r;
	int rc;

	m.node = c->req->node_show->node;
	f.node_show = &m;
	rc = ask(c, c->req->node_show->ns, &f, &r);
	return rc < 0 ? rc : nodes(c, r);
}

int ctl_node_remove(struct ctl_call *c)
{
	Orchfs__Peer__NodeRef m = ORCHFS__PEER__NODE_REF__INIT;
	peer_frame f = PEER_FRAME_INIT(NODE_REMOVE), *r;
	int rc;

	m.node = c->req->node_remove->node;
	m.accept_loss = c->req->node_remove->accept_loss;
	f.node_remove = &m;
	rc = ask(c, c->req->node_remove->ns, &f, &r);
	return rc < 0 ? rc : nodes(c, r);
}

/* --- join --- */

static int token(struct ctl_call *c, struct token *t)
{
	switch (token_parse(c->req->node_join->token, t)) {
	case 0:
		return 0;
	case -EPROTO:
		return say(c, -EPROTO, "the token is of another release of "
			   "orchfs: use the same on all nodes");
	case -EINVAL:
		return say(c, -EINVAL, "this is no token: get one with "
			   "orchctl node invite");
	}
	return say(c, -EBADMSG, "a part of the token is missing or changed: "
		   "copy all of it");
}

/* May be told off for good by its authority: then it may join anew. */
static bool expelled(struct served *sv)
{
	struct peer_link l = { .up = true };
	bool out = false;
	time_t now = pki_time();

	if (served_hold_cluster(sv))
		return false;
	if (sv->agent && sv->cluster) {
		peer_link(sv->cluster->peer, sv->cluster->authority, &l);
		pthread_mutex_lock(&sv->cluster->lock);
		out = !l.up && (l.refused ||
				pki_expires(sv->cluster->cert) <= now);
		pthread_mutex_unlock(&sv->cluster->lock);
	}
	served_release(sv);
	return out;
}

/* What is there of that namespace: nothing, or an agent that is out. */
static int check_room(struct ctl_call *c, const char *ns, const char *dir)
{
	struct served *sv = served_find(ns);

	if (sv && served_get_state(sv, NULL, 0) != SERVED_REFUSED &&
	    !(sv->agent && expelled(sv)))
		return say(c, -EEXIST, "this machine has a part in namespace "
			   "%s already: orchctl status shows it", ns);
	if (!access(dir, F_OK) && !cluster_is_agent(dir))
		return say(c, -EEXIST, "%.300s is there already: move it away",
			   dir);
	return 0;
}

/* Only who has joined needs the old one's place. */
static void make_room(const char *ns)
{
	struct served *sv = served_find(ns);

	if (!sv || !sv->agent)
		return;
	served_stop(sv);
	served_join(sv);
}

/* The new directory, whose files are durable, takes the old one's place. */
static int move_in(const char *tmp, const char *dir, const char *state)
{
	int rc = dir_sync(tmp);

	if (rc < 0)
		return rc;
	if (renameat2(AT_FDCWD, tmp, AT_FDCWD, dir, RENAME_EXCHANGE) < 0 &&
	    (errno != ENOENT || rename(tmp, dir) < 0))
		return -errno;
	rc = dir_sync(state);
	if (!rc)
		remove_tree(tmp);	/* the old one */
	return rc;
}

static int serve(struct ctl_call *c, const char *dir)
{
	struct served *sv;
	int rc;

	rc = served_begin(dir, &sv);
	if (rc == -ESHUTDOWN)
		return say(c, rc, "the node has joined, and orchd is stopping: "
			   "it is served when orchd runs again");
	if (!rc)
		rc = ctl_load_wait(c, sv);
	if (!rc) {
		c->resp.cluster = ctl_cluster_info(c, sv);
		c->resp.ns = ctl_strdup(c, sv->name);
	}
	return rc;
}

/* An upgrade can wait for the answer. */
static bool join_stop(void *ctx, bool asked)
{
	struct ctl_call *c = ctx;

	return ctl_stopping(c->ctl) || (!asked && handover_wanted());
}

static int join(struct ctl_call *c, const struct token *t, const char *name)
{
	char dir[PATH_MAX], tmp[PATH_MAX], state[PATH_MAX];
	struct join_opts o = {
		.token = t, .name = name, .dir = tmp,
		.address = c->req->node_join->listen,
		.stop = join_stop, .ctx = c,
	};
	int rc;

	if (!realpath(ctl_state_dir(c->ctl), state))
		return -errno;
	snprintf(dir, sizeof(dir), "%.3900s/%s", state, t->ns);
	snprintf(tmp, sizeof(tmp), "%.3900s/.join-%s", state, t->ns);
	rc = check_room(c, t->ns, dir);
	if (rc < 0)
		return rc;
	remove_tree(tmp);
	if (mkdir(tmp, 0700) < 0)
		return say(c, -errno, "cannot make %.300s: %s", tmp,
			   strerror(errno));
	rc = cluster_join(&o, c->message, sizeof(c->message));
	if (rc < 0) {
		remove_tree(tmp);
		return rc;
	}
	make_room(t->ns);
	rc = move_in(tmp, dir, state);
	if (rc < 0)
		return say(c, rc, "moving %.300s to %.300s: %s", tmp, dir,
			   strerror(-rc));
	return serve(c, dir);
}

int ctl_node_join(struct ctl_call *c)
{
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
	const Orchfs__Control__NodeJoin *m = c->req->node_join;
	char name[NS_NODE_NAME];
	struct address a;
	struct token t;
	int rc;

	rc = token(c, &t);
	if (!rc)
		rc = node_name(c, m->node, name);
	if (rc < 0)
		return rc;
	if (*m->listen && (address_parse(m->listen, &a) < 0 ||
			   address_any(&a)))
		return say(c, -EINVAL, "\"%.100s\" is no address of this "
			   "machine: use one like 10.0.0.2", m->listen);
	rc = handover_join_begin();
	if (rc < 0)
		return say(c, rc, "orchd is being replaced: try again");
	pthread_mutex_lock(&one);
	rc = join(c, &t, name);
	pthread_mutex_unlock(&one);
	handover_join_end();
	return rc;
}
