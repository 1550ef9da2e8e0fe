// SPDX-License-Identifier: Apache-2.0
/* orchctl mounts, upcalls */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "orchctl.h"
#include "kernel.h"

/* As enum orchfs_channel_state of the module. */
static const char *state_name(uint32_t state)
{
	static const char *const names[] = {
		"detached", "attaching", "ready", "dead",
	};

	return state < sizeof(names) / sizeof(names[0]) ? names[state] :
	       "unknown";
}

static bool is_notice(unsigned int kind)
{
	return kind >= ORCHFS_KIND_NOTE_FORGET &&
	       kind <= ORCHFS_KIND_NOTE_UMOUNT;
}

struct where_mounted {
	const char *ns;
	struct json_object *list;	/* or NULL: print */
};

static int add_mount(void *ctx, const char *source, const char *dir,
		     const char *options)
{
	struct where_mounted *w = ctx;
	size_t len = strcspn(source, ":");
	struct json_object *o;

	if (strlen(w->ns) != len || strncmp(source, w->ns, len))
		return 0;
	if (!w->list) {
		printf("mounted     %s on %s (%s)\n", source, dir, options);
		return 0;
	}
	o = json_object_new_object();
	json_object_object_add(o, "source", json_bytes(source, strlen(source)));
	json_object_object_add(o, "dir", json_bytes(dir, strlen(dir)));
	json_object_object_add(o, "options", json_bytes(options,
							strlen(options)));
	json_object_array_add(w->list, o);
	return 0;
}

static struct json_object *mounts_json(const struct kernel_ns *n)
{
	struct json_object *o = json_object_new_object();
	struct where_mounted w = { n->name, json_object_new_array() };
	char session[32];

	snprintf(session, sizeof(session), "%016" PRIx64, n->session);
	json_object_object_add(o, "namespace", json_bytes(n->name,
							  strlen(n->name)));
	json_object_object_add(o, "uuid",
			       json_object_new_string(uuid_text(n->uuid, 16)));
	json_object_object_add(o, "session", json_object_new_string(session));
	json_object_object_add(o, "state",
			       json_object_new_string(state_name(n->state)));
	json_object_object_add(o, "waiting", json_uint(n->waiting));
	json_object_object_add(o, "opens", json_uint(n->opens));
	each_mount(add_mount, &w);
	json_object_object_add(o, "mounts", w.list);
	return o;
}

static void mounts_print(const struct kernel_ns *n)
{
	struct where_mounted w = { n->name, NULL };

	printf("namespace   %s  %s\n", n->name, uuid_text(n->uuid, 16));
	printf("daemon      %s%s\n", state_name(n->state), n->state ? "" :
	       ": start orchd, or see in orchctl status why it is away");
	printf("session     %016" PRIx64 "\n", n->session);
	printf("requests    %u waiting\n", n->waiting);
	printf("open files  %u\n", n->opens);
	each_mount(add_mount, &w);
}

int cmd_mounts(const struct command *cmd, int argc, char **argv)
{
	struct json_object *a;
	struct kernel_ns *ns;
	size_t nr, i;
	int rc;

	args_parse(cmd, NULL, &argc, argv);
	rc = kernel_namespaces(&ns, &nr);
	if (rc)
		return rc;
	if (opts.json) {
		a = json_object_new_array();
		for (i = 0; i < nr; i++)
			json_object_array_add(a, mounts_json(&ns[i]));
		print_json(a);
	} else if (!nr) {
		printf("the kernel knows no namespace%s%s: neither a daemon nor a mount is there\n",
		       *opts.ns ? " " : "", opts.ns);
	}
	for (i = 0; i < nr && !opts.json; i++) {
		if (i)
			putchar('\n');
		mounts_print(&ns[i]);
	}
	free(ns);
	return RC_OK;
}

struct totals {
	uint64_t requests, notices, errors;
};

static struct totals add_up(const struct kernel_ns *n)
{
	struct totals t = { 0 };
	unsigned int k;

	for (k = 1; k < NR_KINDS; k++) {
		*(is_notice(k) ? &t.notices : &t.requests) += n->count[k];
		t.errors += n->errors[k];
	}
	return t;
}

static struct json_object *upcalls_json(const struct kernel_ns *n)
{
	struct json_object *o = json_object_new_object();
	struct json_object *kinds = json_object_new_object(), *one;
	struct totals t = add_up(n);
	unsigned int k;

	for (k = 1; k < NR_KINDS; k++) {
		one = json_object_new_object();
		json_object_object_add(one, "count", json_uint(n->count[k]));
		json_object_object_add(one, "errors", json_uint(n->errors[k]));
		json_object_object_add(kinds, kind_names[k], one);
	}
	json_object_object_add(o, "namespace", json_bytes(n->name,
							  strlen(n->name)));
	json_object_object_add(o, "total", json_uint(t.requests));
	json_object_object_add(o, "notices", json_uint(t.notices));
	json_object_object_add(o, "errors", json_uint(t.errors));
	json_object_object_add(o, "kinds", kinds);
	return o;
}

static void upcalls_print(const struct kernel_ns *n)
{
	struct totals t = add_up(n);
	unsigned int k;

	printf("namespace %s\n%-14s %12s %10s\n", n->name, "KIND", "COUNT",
	       "ERRORS");
	for (k = 1; k < NR_KINDS; k++)
		if (n->count[k])
			printf("%-14s %12" PRIu64 " %10" PRIu64 "\n",
			       kind_names[k], n->count[k], n->errors[k]);
	printf("%-14s %12" PRIu64 " %10" PRIu64 "\n", "total", t.requests,
	       t.errors);
}

/* A bare number for scripts: of one kind, or of all that wait for an answer. */
static int print_kind(const struct kernel_ns *ns, size_t nr, const char *kind)
{
	uint64_t sum = 0;
	unsigned int k;
	size_t i;

	for (k = 1; k < NR_KINDS && strcmp(kind_names[k], kind); k++)
		;
	if (k == NR_KINDS && strcmp(kind, "total")) {
		warn("no kind of upcall is named '%s'; there are:", kind);
		for (k = 1; k < NR_KINDS; k++)
			fprintf(stderr, " %s", kind_names[k]);
		fprintf(stderr, " total\n");
		return RC_USAGE;
	}
	for (i = 0; i < nr; i++)
		sum += k == NR_KINDS ? add_up(&ns[i]).requests :
		       ns[i].count[k];
	printf("%" PRIu64 "\n", sum);
	return RC_OK;
}

int cmd_upcalls(const struct command *cmd, int argc, char **argv)
{
	const char *kind = NULL;
	const struct opt extra[] = {
		{ "kind", "KIND", OPT_STRING,
		  "print the bare count of one kind, or of 'total'", &kind },
		{ 0 }
	};
	struct json_object *a;
	struct kernel_ns *ns;
	size_t nr, i;
	int rc;

	args_parse(cmd, extra, &argc, argv);
	rc = kernel_namespaces(&ns, &nr);
	if (rc)
		return rc;
	if (*opts.ns && !nr)
		rc = fail(RC_FAILED, "the kernel knows no namespace '%s': see 'orchctl mounts'",
			  opts.ns);
	else if (kind)
		rc = print_kind(ns, nr, kind);
	else if (opts.json) {
		a = json_object_new_array();
		for (i = 0; i < nr; i++)
			json_object_array_add(a, upcalls_json(&ns[i]));
		print_json(a);
	} else {
		for (i = 0; i < nr; i++)
			upcalls_print(&ns[i]);
	}
	free(ns);
	return rc;
}
