// SPDX-License-Identifier: Apache-2.0
/* orchctl volume add, list, show, set, remove */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "orchctl.h"
#include "conn.h"

typedef Orchfs__Control__VolumeInfo volume_info;

static struct json_object *volume_json(const volume_info *v)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "id", json_uint(v->id));
	json_object_object_add(o, "name", json_bytes(v->name, strlen(v->name)));
	json_object_object_add(o, "path", json_bytes(v->path, strlen(v->path)));
	json_object_object_add(o, "uuid", json_object_new_string(
				       uuid_text(v->uuid.data, v->uuid.len)));
	json_object_object_add(o, "kind", json_object_new_string(v->kind));
	json_object_object_add(o, "tier", json_uint(v->tier));
	json_object_object_add(o, "state", json_object_new_string(v->state));
	json_object_object_add(o, "problem", json_bytes(v->problem,
							strlen(v->problem)));
	json_object_object_add(o, "fstype", json_object_new_string(v->fstype));
	json_object_object_add(o, "size", json_uint(v->size));
	json_object_object_add(o, "free", json_uint(v->free));
	json_object_object_add(o, "reserve", json_uint(v->reserve));
	json_object_object_add(o, "instances", json_uint(v->instances));
	json_object_object_add(o, "quarantined", json_uint(v->quarantined));
	if (v->home) {
		json_object_object_add(o, "node", json_uint(v->home));
		json_object_object_add(o, "node_name",
				       json_bytes(v->home_name,
						  strlen(v->home_name)));
	}
	return o;
}

static void volume_print(const volume_info *v)
{
	printf("volume      %s (id %u)\n", v->name, v->id);
	printf("path        %s\n", v->path);
	if (v->home)
		printf("node        %s (%u)\n", v->home_name, v->home);
	printf("uuid        %s\n", uuid_text(v->uuid.data, v->uuid.len));
	printf("kind        %s%s%s\n", v->kind, *v->fstype ? " on " : "",
	       v->fstype);
	printf("tier        %u\n", v->tier);
	printf("state       %s%s%s\n", v->state, *v->problem ? ": " : "",
	       v->problem);
	printf("size        %s, %s free\n", human_size(v->size),
	       human_size(v->free));
	printf("reserve     %s\n", human_size(v->reserve));
	printf("instances   %llu\n", (unsigned long long)v->instances);
	printf("quarantined %llu\n", (unsigned long long)v->quarantined);
}

static int get_list(ctl_response **out)
{
	Orchfs__Control__NamespaceRef ref = ORCHFS__CONTROL__NAMESPACE_REF__INIT;

	CTL_REQUEST(req, VOLUME_LIST);
	ref.name = (char *)opts.ns;
	req.volume_list = &ref;
	return conn_once(&req, -1, out);
}

static void list_print(const Orchfs__Control__VolumeList *l)
{
	const volume_info *v;
	size_t i;

	if (!l || !l->n_volume) {
		printf("no volume: add one with 'orchctl volume add NAME DIRECTORY'\n");
		return;
	}
	printf("%-16s %4s %-9s %10s %10s %10s  %s\n", "NAME", "TIER", "STATE",
	       "SIZE", "FREE", "INSTANCES", "PATH");
	for (i = 0; i < l->n_volume; i++) {
		v = l->volume[i];
		printf("%-16s %4u %-9s %10s %10s %10llu  %s%s%s\n", v->name,
		       v->tier, v->state, human_size(v->size),
		       human_size(v->free), (unsigned long long)v->instances,
		       v->home_name, v->home ? ":" : "", v->path);
		if (*v->problem)
			printf("%-16s %s\n", "", v->problem);
	}
}

int cmd_volume_list(const struct command *cmd, int argc, char **argv)
{
	struct json_object *a;
	ctl_response *resp;
	size_t i;
	int rc;

	args_parse(cmd, NULL, &argc, argv);
	rc = get_list(&resp);
	if (rc)
		return rc;
	if (opts.json) {
		a = json_object_new_array();
		for (i = 0; resp->volumes && i < resp->volumes->n_volume; i++)
			json_object_array_add(a,
				volume_json(resp->volumes->volume[i]));
		print_json(a);
	} else {
		list_print(resp->volumes);
	}
	conn_free(resp);
	return RC_OK;
}

int cmd_volume_show(const struct command *cmd, int argc, char **argv)
{
	const volume_info *v = NULL;
	ctl_response *resp;
	size_t i;
	int rc;

	argv = args_parse(cmd, NULL, &argc, argv);
	rc = get_list(&resp);
	if (rc)
		return rc;
	for (i = 0; resp->volumes && i < resp->volumes->n_volume; i++)
		if (!strcmp(resp->volumes->volume[i]->name, argv[0]))
			v = resp->volumes->volume[i];
	if (!v)
		rc = fail(RC_FAILED, "no volume '%s': 'orchctl volume list' shows those that are there",
			  argv[0]);
	else if (opts.json)
		print_json(volume_json(v));
	else
		volume_print(v);
	conn_free(resp);
	return rc;
}

/* The daemon has a working directory of its own, and makes the last part. */
static char *absolute(const char *path)
{
	char *real = realpath(path, NULL), *cwd;

	if (real || errno != ENOENT)
		return real;
	if (path[0] == '/')
		return xasprintf("%s", path);
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return NULL;
	real = xasprintf("%s/%s", cwd, path);
	free(cwd);
	return real;
}

int cmd_volume_add(const struct command *cmd, int argc, char **argv)
{
	uint64_t tier = 0, reserve = 0;
	const struct opt extra[] = {
		{ "tier", "N", OPT_UINT,
		  "0 local NVMe (default), 1 slower or shared", &tier },
		{ "reserve", "SIZE", OPT_SIZE,
		  "space to keep free on it, like 10G", &reserve },
		{ 0 }
	};
	Orchfs__Control__VolumeAdd msg = ORCHFS__CONTROL__VOLUME_ADD__INIT;
	ctl_response *resp;
	char *path;
	int rc;

	CTL_REQUEST(req, VOLUME_ADD);
	argv = args_parse(cmd, extra, &argc, argv);
	if (!valid_name(argv[0]))
		return fail(RC_USAGE, "'%s' is no name for a volume: 1 to 63 of A-Z a-z 0-9 . _ - and none of . - in front",
			    argv[0]);
	if (tier > 255)
		return fail(RC_USAGE, "--tier: at most 255");
	path = absolute(argv[1]);
	if (!path)
		return fail(RC_FAILED, "%s: %s: make the directory, on the drive that it shall use",
			    argv[1], strerror(errno));
	msg.ns = (char *)opts.ns;
	msg.name = argv[0];
	msg.path = path;
	msg.tier = (uint32_t)tier;
	msg.reserve = reserve;
	req.volume_add = &msg;
	rc = conn_once(&req, -1, &resp);
	free(path);
	if (rc)
		return rc;
	if (opts.json && resp->volume)
		print_json(volume_json(resp->volume));
	else if (!opts.json)
		printf("volume %s is in use\nnext: mount -t orchfs %s /mnt\n",
		       argv[0], conn_namespace());
	conn_free(resp);
	return RC_OK;
}

int cmd_volume_set(const struct command *cmd, int argc, char **argv)
{
	uint64_t tier = UINT64_MAX, reserve = UINT64_MAX;
	const struct opt extra[] = {
		{ "tier", "N", OPT_UINT,
		  "lower tiers get new files first; needs an empty volume",
		  &tier },
		{ "reserve", "SIZE", OPT_SIZE,
		  "space to keep free of new files, like 10G", &reserve },
		{ 0 }
	};
	Orchfs__Control__VolumeSet msg = ORCHFS__CONTROL__VOLUME_SET__INIT;
	ctl_response *resp;
	int rc;

	CTL_REQUEST(req, VOLUME_SET);
	argv = args_parse(cmd, extra, &argc, argv);
	if (tier == UINT64_MAX && reserve == UINT64_MAX)
		return fail(RC_USAGE, "give --tier or --reserve");
	if (tier != UINT64_MAX && tier > 255)
		return fail(RC_USAGE, "--tier: at most 255");
	msg.ns = (char *)opts.ns;
	msg.name = argv[0];
	msg.set_tier = tier != UINT64_MAX;
	msg.tier = (uint32_t)tier;
	msg.set_reserve = reserve != UINT64_MAX;
	msg.reserve = reserve;
	req.volume_set = &msg;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	if (resp->volume && opts.json)
		print_json(volume_json(resp->volume));
	else if (resp->volume)
		volume_print(resp->volume);
	conn_free(resp);
	return RC_OK;
}

int cmd_volume_remove(const struct command *cmd, int argc, char **argv)
{
	Orchfs__Control__VolumeName msg = ORCHFS__CONTROL__VOLUME_NAME__INIT;
	int rc;

	CTL_REQUEST(req, VOLUME_REMOVE);
	argv = args_parse(cmd, NULL, &argc, argv);
	msg.ns = (char *)opts.ns;
	msg.name = argv[0];
	req.volume_remove = &msg;
	rc = conn_once(&req, -1, NULL);
	if (!rc && opts.json)
		print_done();
	else if (!rc)
		printf("volume %s is removed\n", argv[0]);
	return rc;
}
