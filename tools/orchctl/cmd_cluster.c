// SPDX-License-Identifier: Apache-2.0
/* orchctl cluster init; node invite, join, list, show, remove */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include "orchctl.h"
#include "adopt.h"
#include "conn.h"

typedef Orchfs__Control__NodeInfo node_info;
typedef Orchfs__Control__DataInfo data_info;

static struct json_object *json_text(const char *s)
{
	return json_bytes(s, strlen(s));
}

static struct json_object *data_json(const data_info *d)
{
	struct json_object *o = json_object_new_object(), *a, *e;
	size_t i;

	json_object_object_add(o, "volumes", json_uint(d->volumes));
	a = json_object_new_array();
	for (i = 0; i < d->n_served; i++) {
		const Orchfs__Control__DataConn *m = d->served[i];

		e = json_object_new_object();
		json_object_object_add(e, "node", json_uint(m->node));
		json_object_object_add(e, "connection",
				       json_uint(m->connection));
		json_object_object_add(e, "requests", json_uint(m->requests));
		json_object_object_add(e, "refused", json_uint(m->refused));
		json_object_object_add(e, "bytes_read",
				       json_uint(m->bytes_read));
		json_object_object_add(e, "bytes_written",
				       json_uint(m->bytes_written));
		json_object_object_add(e, "in_flight",
				       json_uint(m->in_flight));
		json_object_object_add(e, "handles", json_uint(m->handles));
		json_object_array_add(a, e);
	}
	json_object_object_add(o, "served", a);
	a = json_object_new_array();
	for (i = 0; i < d->n_used; i++) {
		e = json_object_new_object();
		json_object_object_add(e, "node", json_uint(d->used[i]->node));
		json_object_object_add(e, "connections",
				       json_uint(d->used[i]->connections));
		json_object_object_add(e, "problem",
				       json_text(d->used[i]->problem));
		json_object_array_add(a, e);
	}
	json_object_object_add(o, "used", a);
	return o;
}

static struct json_object *sessions_json(const cluster_info *c)
{
	struct json_object *a = json_object_new_array(), *e;
	size_t i;

	for (i = 0; i < c->n_session; i++) {
		const Orchfs__Control__NodeSession *m = c->session[i];

		e = json_object_new_object();
		json_object_object_add(e, "node", json_uint(m->node));
		json_object_object_add(e, "state", json_text(m->state));
		json_object_object_add(e, "lease_ms",
				       json_object_new_int64(m->lease_ms));
		json_object_object_add(e, "rows", json_uint(m->rows));
		json_object_object_add(e, "stale", json_uint(m->stale));
		json_object_object_add(e, "layouts", json_uint(m->layouts));
		json_object_object_add(e, "written", json_uint(m->written));
		json_object_object_add(e, "nameless", json_uint(m->nameless));
		json_object_object_add(e, "requests", json_uint(m->requests));
		json_object_object_add(e, "questions",
				       json_uint(m->questions));
		json_object_array_add(a, e);
	}
	return a;
}

struct json_object *cluster_json(const cluster_info *c)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "node", json_uint(c->node));
	json_object_object_add(o, "name", json_text(c->name));
	json_object_object_add(o, "role", json_text(c->agent ? "agent" :
						    "authority"));
	json_object_object_add(o, "authority", json_uint(c->authority));
	json_object_object_add(o, "authority_name",
			       json_text(c->authority_name));
	json_object_object_add(o, "address", json_text(c->address));
	json_object_object_add(o, "epoch", json_uint(c->epoch));
	json_object_object_add(o, "certificate_expires",
			       json_object_new_int64(c->expires));
	json_object_object_add(o, "problem", json_text(c->problem));
	if (c->agent) {
		json_object_object_add(o, "connected",
				json_object_new_boolean(c->connected));
		json_object_object_add(o, "since",
				       json_object_new_int64(c->since));
	} else {
		json_object_object_add(o, "nodes", json_uint(c->nodes));
		json_object_object_add(o, "nodes_connected",
				       json_uint(c->nodes_connected));
		json_object_object_add(o, "sessions", sessions_json(c));
	}
	if (c->data)
		json_object_object_add(o, "data", data_json(c->data));
	return o;
}

/* "2026-11-22 09:10:00", in a static buffer. */
static const char *time_text(int64_t s)
{
	static char bufs[2][32];
	static unsigned int next;
	char *buf = bufs[next++ % 2];
	time_t t = s;
	struct tm tm;

	if (!s || !localtime_r(&t, &tm) ||
	    !strftime(buf, sizeof(bufs[0]), "%Y-%m-%d %H:%M:%S", &tm))
		return "-";
	return buf;
}

static void data_print(const data_info *d)
{
	size_t i;

	if (d->volumes || d->n_served)
		printf("data        %" PRIu32 " volumes served to other nodes, %zu connections\n",
		       d->volumes, d->n_served);
	for (i = 0; i < d->n_used; i++)
		printf("data        %" PRIu32 " connections to node %" PRIu32
		       "%s%s\n", d->used[i]->connections, d->used[i]->node,
		       *d->used[i]->problem ? ": " : "", d->used[i]->problem);
}

/* Between this node and that one. */
static void data_print_node(const data_info *d, uint32_t node)
{
	size_t i;

	for (i = 0; i < d->n_used; i++)
		if (d->used[i]->node == node)
			printf("data        %" PRIu32 " connections from here to it%s%s\n",
			       d->used[i]->connections,
			       *d->used[i]->problem ? ": " : "",
			       d->used[i]->problem);
	for (i = 0; i < d->n_served; i++) {
		const Orchfs__Control__DataConn *m = d->served[i];

		if (m->node == node)
			printf("data        connection %" PRIu64 " from it: %"
			       PRIu64 " requests, %" PRIu64 " refused, %"
			       PRIu32 " under way; %" PRIu64 " bytes read, %"
			       PRIu64 " written; %" PRIu32 " handles\n",
			       m->connection, m->requests, m->refused,
			       m->in_flight, m->bytes_read, m->bytes_written,
			       m->handles);
	}
}

static void session_print(const Orchfs__Control__NodeSession *m)
{
	if (!strcmp(m->state, "awaited")) {
		printf("session     node %" PRIu32 ": may have leases of before "
		       "the restart for %" PRId64 " s\n", m->node,
		       m->lease_ms / 1000);
		return;
	}
	printf("session     node %" PRIu32 ": %s, lease for %" PRId64
	       " s; knows %" PRIu64 " inodes, holds %" PRIu64 " layouts (%"
	       PRIu64 " to write), uses %" PRIu64 " removed files; %" PRIu64
	       " requests\n", m->node, m->state, m->lease_ms / 1000, m->rows,
	       m->layouts, m->written, m->nameless, m->requests);
}

static void session_print_node(const cluster_info *c, uint32_t node)
{
	size_t i;

	for (i = 0; i < c->n_session; i++)
		if (c->session[i]->node == node)
			session_print(c->session[i]);
}

void cluster_print(const cluster_info *c)
{
	size_t i;

	if (!c->agent) {
		printf("cluster     node %" PRIu32 " (%s), the authority, at %s\n",
		       c->node, c->name, c->address);
		printf("nodes       %" PRIu32 ", %" PRIu32 " of the others connected\n",
		       c->nodes, c->nodes_connected);
	} else {
		printf("cluster     node %" PRIu32 " (%s), agent of node %"
		       PRIu32 " (%s) at %s\n", c->node, c->name,
		       c->authority, c->authority_name, c->address);
		printf("authority   %s%s%s\n", c->connected ? "connected" :
		       "unreachable", c->since ? " since " : "",
		       c->since ? time_text(c->since) : "");
	}
	if (*c->problem)
		printf("problem     %s\n", c->problem);
	for (i = 0; i < c->n_session; i++)
		session_print(c->session[i]);
	if (c->data)
		data_print(c->data);
}

/* A namespace that the daemon has already needs no store. */
static int have_namespace(const char *name, bool *have)
{
	Orchfs__Control__Empty empty = ORCHFS__CONTROL__EMPTY__INIT;
	ctl_response *resp;
	size_t i;
	int rc;

	CTL_REQUEST(req, STATUS);
	req.status = &empty;
	*have = false;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	for (i = 0; resp->daemon && i < resp->daemon->n_ns; i++)
		if (!strcmp(resp->daemon->ns[i]->name, name))
			*have = true;
	conn_free(resp);
	return RC_OK;
}

static int make_namespace(const char *name)
{
	bool loaded;
	char *dir;
	int rc;

	rc = adopt_prepare(name, NULL);
	if (rc)
		return rc;
	dir = store_dir(name, NULL);
	rc = run_orchd("--init", name, dir, -1);
	if (!rc)
		rc = adopt_store(name, dir, &loaded);
	free(dir);
	return rc;
}

int cmd_cluster_init(const struct command *cmd, int argc, char **argv)
{
	Orchfs__Control__ClusterInit msg = ORCHFS__CONTROL__CLUSTER_INIT__INIT;
	const char *listen = NULL, *node = "";
	const struct opt extra[] = {
		{ "listen", "ADDRESS[:PORT]", OPT_STRING,
		  "where other nodes reach this one (port 7420)", &listen },
		{ "node", "NAME", OPT_STRING,
		  "name of this node (the host's)", &node },
		{ 0 }
	};
	ctl_response *resp;
	bool have;
	int rc;

	CTL_REQUEST(req, CLUSTER_INIT);
	argv = args_parse(cmd, extra, &argc, argv);
	if (!listen)
		return fail(RC_USAGE, "--listen is missing: name the address by which the other nodes reach this one");
	msg.ns = argv[0];
	msg.listen = (char *)listen;
	msg.node = (char *)node;
	req.cluster_init = &msg;
	rc = have_namespace(argv[0], &have);
	if (!rc && !have) {	/* nothing is made in vain */
		msg.check = true;
		rc = conn_once(&req, -1, NULL);
		msg.check = false;
		if (!rc)
			rc = make_namespace(argv[0]);
	}
	if (rc)
		return rc;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	if (resp->cluster && opts.json) {
		print_json(cluster_json(resp->cluster));
	} else if (resp->cluster) {
		cluster_print(resp->cluster);
		printf("next: orchctl node invite --namespace %s\n"
		       "then, on another machine: orchctl node join - (and paste the token)\n",
		       argv[0]);
	}
	conn_free(resp);
	return RC_OK;
}

/* "90", "30m", "2h", "7d" */
static int parse_time(const char *s, uint32_t *out)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 },
	};
	uint64_t v, factor = 1;
	char *end;
	size_t i;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	v = strtoull(s, &end, 10);
	if (*end) {
		for (i = 0; i < 4 && units[i].unit != *end; i++)
			;
		if (i == 4 || end[1])
			return -EINVAL;
		factor = units[i].seconds;
	}
	if (!v || v > UINT32_MAX / factor)
		return -EINVAL;
	*out = (uint32_t)(v * factor);
	return 0;
}

static void token_print(const ctl_response *resp)
{
	struct json_object *o;

	if (opts.json) {
		o = json_object_new_object();
		json_object_object_add(o, "namespace", json_text(resp->ns));
		json_object_object_add(o, "token", json_text(resp->token));
		json_object_object_add(o, "expires",
				       json_object_new_int64(resp->expires));
		print_json(o);
	} else {
		printf("%s\n", resp->token);
		fprintf(stderr, "valid for one node, until %s\n"
			"next, on that machine: orchctl node join - (and paste the token)\n",
			time_text(resp->expires));
	}
}

static void cancelled_print(const ctl_response *resp)
{
	uint32_t nr = resp->nodes ? resp->nodes->invitations : 0;
	struct json_object *o;

	if (opts.json) {
		o = json_object_new_object();
		json_object_object_add(o, "cancelled", json_uint(nr));
		print_json(o);
	} else {
		printf("%" PRIu32 " open invitations are cancelled\n", nr);
	}
}

int cmd_node_invite(const struct command *cmd, int argc, char **argv)
{
	Orchfs__Control__NodeInvite msg = ORCHFS__CONTROL__NODE_INVITE__INIT;
	const char *valid = NULL;
	bool cancel = false;
	const struct opt extra[] = {
		{ "valid", "TIME", OPT_STRING,
		  "how long, like 30m, 2h, 7d (1d)", &valid },
		{ "cancel-all", NULL, OPT_FLAG,
		  "instead: no token that is not used yet works any more",
		  &cancel },
		{ 0 }
	};
	ctl_response *resp;
	int rc;

	CTL_REQUEST(req, NODE_INVITE);
	args_parse(cmd, extra, &argc, argv);
	if (valid && parse_time(valid, &msg.valid))
		return fail(RC_USAGE, "--valid: '%s' is not a time like 30m, 2h or 7d",
			    valid);
	if (valid && cancel)
		return fail(RC_USAGE, "--valid is of a new token, --cancel-all makes none");
	msg.ns = (char *)opts.ns;
	msg.cancel_all = cancel;
	req.node_invite = &msg;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	if (cancel)
		cancelled_print(resp);
	else
		token_print(resp);
	conn_free(resp);
	return RC_OK;
}

/* Of "-": a line of standard input, which no list of processes shows. */
static int read_token(const char *word, char *buf, size_t len)
{
	if (strcmp(word, "-")) {
		if (strlen(word) >= len)
			return fail(RC_FAILED, "this is no token: get one with orchctl node invite");
		strcpy(buf, word);
		return RC_OK;
	}
	if (!fgets(buf, (int)len, stdin))
		buf[0] = 0;
	buf[strcspn(buf, "\r\n")] = 0;
	return *buf ? RC_OK : fail(RC_FAILED, "no token on standard input: give what orchctl node invite has printed");
}

int cmd_node_join(const struct command *cmd, int argc, char **argv)
{
	Orchfs__Control__NodeJoin msg = ORCHFS__CONTROL__NODE_JOIN__INIT;
	const char *node = "", *listen = "";
	char token[2048];
	const struct opt extra[] = {
		{ "node", "NAME", OPT_STRING,
		  "name of this node (the host's)", &node },
		{ "listen", "ADDRESS", OPT_STRING,
		  "where other nodes reach this one (the one it connects from)",
		  &listen },
		{ 0 }
	};
	struct json_object *o;
	ctl_response *resp;
	int rc;

	CTL_REQUEST(req, NODE_JOIN);
	argv = args_parse(cmd, extra, &argc, argv);
	rc = read_token(argv[0], token, sizeof(token));
	if (rc)
		return rc;
	msg.token = token;
	msg.node = (char *)node;
	msg.listen = (char *)listen;
	req.node_join = &msg;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	if (resp->cluster && opts.json) {
		o = cluster_json(resp->cluster);
		json_object_object_add(o, "namespace", json_text(resp->ns));
		print_json(o);
	} else if (resp->cluster) {
		printf("namespace   %s\n", resp->ns);
		printf("cluster     node %" PRIu32 " (%s), agent of node %"
		       PRIu32 " (%s) at %s\n", resp->cluster->node,
		       resp->cluster->name, resp->cluster->authority,
		       resp->cluster->authority_name, resp->cluster->address);
	}
	conn_free(resp);
	return RC_OK;
}

static struct json_object *node_json(const node_info *n)
{
	struct json_object *o = json_object_new_object();
	char serial[48] = "";
	size_t i;

	for (i = 0; i < n->serial.len && i < 20; i++)
		sprintf(serial + 2 * i, "%02x", n->serial.data[i]);
	json_object_object_add(o, "number", json_uint(n->number));
	json_object_object_add(o, "name", json_text(n->name));
	json_object_object_add(o, "address", json_text(n->address));
	json_object_object_add(o, "state", json_text(n->state));
	json_object_object_add(o, "since", json_object_new_int64(n->since));
	json_object_object_add(o, "joined", json_object_new_int64(n->joined));
	json_object_object_add(o, "serial", json_text(serial));
	return o;
}

static void node_print(const node_info *n)
{
	size_t i;

	printf("node        %" PRIu32 " (%s)\n", n->number, n->name);
	printf("address     %s\n", n->address);
	printf("state       %s%s%s\n", n->state, n->since ? " since " : "",
	       n->since ? time_text(n->since) : "");
	printf("joined      %s\n", time_text(n->joined));
	printf("certificate ");
	for (i = 0; i < n->serial.len; i++)
		printf("%02x", n->serial.data[i]);
	printf("\n");
}

int cmd_node_list(const struct command *cmd, int argc, char **argv)
{
	Orchfs__Control__NamespaceRef ref = ORCHFS__CONTROL__NAMESPACE_REF__INIT;
	const Orchfs__Control__NodeList *l;
	struct json_object *a;
	ctl_response *resp;
	size_t i;
	int rc;

	CTL_REQUEST(req, NODE_LIST);
	args_parse(cmd, NULL, &argc, argv);
	ref.name = (char *)opts.ns;
	req.node_list = &ref;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	l = resp->nodes;
	if (opts.json) {
		a = json_object_new_array();
		for (i = 0; l && i < l->n_node; i++)
			json_object_array_add(a, node_json(l->node[i]));
		print_json(a);
	} else {
		printf("%6s  %-20s %-11s %-19s  %s\n", "NUMBER", "NAME",
		       "STATE", "SINCE", "ADDRESS");
		for (i = 0; l && i < l->n_node; i++)
			printf("%6" PRIu32 "  %-20s %-11s %-19s  %s\n",
			       l->node[i]->number, l->node[i]->name,
			       l->node[i]->state,
			       time_text(l->node[i]->since),
			       l->node[i]->address);
		if (l && l->invitations)
			printf("%" PRIu32 " invitations are open: orchctl node invite --cancel-all ends them\n",
			       l->invitations);
	}
	conn_free(resp);
	return RC_OK;
}

int cmd_node_show(const struct command *cmd, int argc, char **argv)
{
	Orchfs__Control__NodeRef ref = ORCHFS__CONTROL__NODE_REF__INIT;
	ctl_response *resp;
	size_t i;
	int rc;

	CTL_REQUEST(req, NODE_SHOW);
	argv = args_parse(cmd, NULL, &argc, argv);
	ref.ns = (char *)opts.ns;
	ref.node = argv[0];
	req.node_show = &ref;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	for (i = 0; resp->nodes && i < resp->nodes->n_node; i++) {
		if (opts.json)
			print_json(node_json(resp->nodes->node[i]));
		else
			node_print(resp->nodes->node[i]);
		if (!opts.json && resp->cluster)
			session_print_node(resp->cluster,
					   resp->nodes->node[i]->number);
		if (!opts.json && resp->cluster && resp->cluster->data)
			data_print_node(resp->cluster->data,
					resp->nodes->node[i]->number);
	}
	conn_free(resp);
	return RC_OK;
}

static void file_print(const Orchfs__Control__NodeFile *f)
{
	struct json_object *o;

	if (opts.json) {	/* a line each: there may be many */
		o = json_object_new_object();
		json_object_object_add(o, "inode", json_uint(f->ino));
		json_object_object_add(o, "path", json_text(f->path));
		puts(json_object_to_json_string_ext(o,
						    JSON_C_TO_STRING_PLAIN));
		json_object_put(o);
	} else if (*f->path) {
		puts(f->path);
	} else {
		printf("inode %" PRIu64 ", which has no name any more\n",
		       f->ino);
	}
}

/* Page by page, as the daemon gives them. */
static int node_files(char *node)
{
	Orchfs__Control__NodeFiles m = ORCHFS__CONTROL__NODE_FILES__INIT;
	ctl_response *resp;
	size_t i;
	int rc;

	CTL_REQUEST(req, NODE_FILES);
	m.ns = (char *)opts.ns;
	m.node = node;
	req.node_files = &m;
	do {
		rc = conn_once(&req, -1, &resp);
		if (rc)
			return rc;
		for (i = 0; resp->files && i < resp->files->n_file; i++)
			file_print(resp->files->file[i]);
		m.after = resp->files ? resp->files->after : 0;
		conn_free(resp);
	} while (m.after && !ferror(stdout));
	return RC_OK;
}

int cmd_node_remove(const struct command *cmd, int argc, char **argv)
{
	Orchfs__Control__NodeRef ref = ORCHFS__CONTROL__NODE_REF__INIT;
	bool accept_loss = false, list = false;
	const struct opt extra[] = {
		{ "accept-loss", NULL, OPT_FLAG,
		  "also where it has the only copy of files", &accept_loss },
		{ "list", NULL, OPT_FLAG,
		  "instead: print the paths of those files", &list },
		{ 0 }
	};
	ctl_response *resp;
	int rc;

	CTL_REQUEST(req, NODE_REMOVE);
	argv = args_parse(cmd, extra, &argc, argv);
	if (list && accept_loss)
		return fail(RC_USAGE, "--list only prints, --accept-loss removes");
	if (list)
		return node_files(argv[0]);
	ref.ns = (char *)opts.ns;
	ref.accept_loss = accept_loss;
	ref.node = argv[0];
	req.node_remove = &ref;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	if (opts.json)
		print_done();
	else if (resp->nodes && resp->nodes->n_node)
		printf("node %" PRIu32 " (%s) is removed: its certificate is refused from now on\n",
		       resp->nodes->node[0]->number,
		       resp->nodes->node[0]->name);
	conn_free(resp);
	return RC_OK;
}
