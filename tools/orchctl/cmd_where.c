// SPDX-License-Identifier: Apache-2.0
/* orchctl where, swap */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "orchctl.h"
#include "conn.h"

static struct json_object *instance_json(const Orchfs__Control__InstanceInfo *n)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "version", json_uint(n->version));
	json_object_object_add(o, "version_state",
			       json_object_new_string(n->version_state));
	json_object_object_add(o, "instance", json_uint(n->instance));
	json_object_object_add(o, "volume", json_bytes(n->volume,
						       strlen(n->volume)));
	json_object_object_add(o, "tier", json_uint(n->tier));
	json_object_object_add(o, "state", json_object_new_string(n->state));
	json_object_object_add(o, "backing", json_bytes(n->backing,
							strlen(n->backing)));
	json_object_object_add(o, "size", json_uint(n->size));
	json_object_object_add(o, "dirty", json_object_new_boolean(n->dirty));
	if (n->home) {
		json_object_object_add(o, "node", json_uint(n->home));
		json_object_object_add(o, "node_name",
				       json_bytes(n->home_name,
						  strlen(n->home_name)));
	}
	return o;
}

static void where_json(const Orchfs__Control__WhereInfo *w)
{
	struct json_object *o = json_object_new_object();
	struct json_object *insts = json_object_new_array();
	struct json_object *paths = json_object_new_array();
	size_t i;

	json_object_object_add(o, "namespace", json_bytes(w->ns, strlen(w->ns)));
	json_object_object_add(o, "ino", json_uint(w->ino));
	json_object_object_add(o, "version", json_uint(w->version));
	json_object_object_add(o, "layout_generation",
			       json_uint(w->layout_generation));
	for (i = 0; i < w->n_instance; i++)
		json_object_array_add(insts, instance_json(w->instance[i]));
	json_object_object_add(o, "instances", insts);
	for (i = 0; i < w->n_path; i++)
		json_object_array_add(paths, json_bytes(w->path[i],
							strlen(w->path[i])));
	json_object_object_add(o, "paths", paths);
	print_json(o);
}

static void where_print(const Orchfs__Control__WhereInfo *w)
{
	const Orchfs__Control__InstanceInfo *n;
	size_t i;

	printf("inode       %" PRIu64 " of %s\n", w->ino, w->ns);
	for (i = 0; i < w->n_path; i++)
		printf("%-11s %s\n", i ? "" : "name", w->path[i]);
	if (!w->n_path)
		printf("name        none (deleted, or made without one)\n");
	if (!w->n_instance) {
		printf("contents    none outside the store: not a regular file\n");
		return;
	}
	printf("version     %" PRIu64 "\n", w->version);
	printf("layout      generation %" PRIu64 "\n", w->layout_generation);
	for (i = 0; i < w->n_instance; i++) {
		n = w->instance[i];
		printf("instance    %" PRIu64 ": %s, version %" PRIu64
		       " (%s), volume %s, tier %u, %s%s\n            %s%s%s\n",
		       n->instance, n->state, n->version, n->version_state,
		       n->volume, n->tier, human_size(n->size),
		       n->dirty ? ", open for writing or not settled" : "",
		       n->home_name, n->home ? ":" : "", n->backing);
	}
}

int cmd_where(const struct command *cmd, int argc, char **argv)
{
	Orchfs__Control__Where msg = ORCHFS__CONTROL__WHERE__INIT;
	ctl_response *resp;
	struct target t;
	int rc;

	CTL_REQUEST(req, WHERE);
	argv = args_parse(cmd, NULL, &argc, argv);
	rc = target_resolve(argv[0], &t);
	if (rc)
		return rc;
	msg.ns = t.ns;
	msg.ino = t.ino;
	req.where = &msg;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	if (!resp->where)
		rc = fail(RC_FAILED, "%s: an answer without a place",
			  opts.socket);
	else if (opts.json)
		where_json(resp->where);
	else
		where_print(resp->where);
	conn_free(resp);
	return rc;
}

int cmd_swap(const struct command *cmd, int argc, char **argv)
{
	uint64_t timeout = 5000;
	const struct opt extra[] = {
		{ "timeout", "MS", OPT_UINT,
		  "give up and keep the old layout after MS (5000)", &timeout },
		{ 0 }
	};
	Orchfs__Control__Swap msg = ORCHFS__CONTROL__SWAP__INIT;
	ctl_response *resp;
	struct target t;
	int rc;

	CTL_REQUEST(req, SWAP);
	argv = args_parse(cmd, extra, &argc, argv);
	if (timeout > UINT32_MAX)
		return fail(RC_USAGE, "--timeout: at most %u", UINT32_MAX);
	rc = target_resolve(argv[0], &t);
	if (rc)
		return rc;
	msg.ns = t.ns;
	msg.ino = t.ino;
	msg.timeout_ms = (uint32_t)timeout;
	req.swap = &msg;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	if (opts.json && resp->where)
		where_json(resp->where);
	else if (resp->where)
		printf("inode %" PRIu64 " has layout generation %" PRIu64 "\n",
		       t.ino, resp->where->layout_generation);
	conn_free(resp);
	return RC_OK;
}
