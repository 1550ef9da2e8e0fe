// SPDX-License-Identifier: Apache-2.0
/* Findings: kept in order, a limited number of each rule. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "orchctl.h"
#include "fsck.h"

#define SHOWN_PER_RULE 1000

const char *const rule_names[NR_RULES] = {
	[RULE_RECORD] = "record",
	[RULE_SUPER] = "super",
	[RULE_NUMBER] = "number",
	[RULE_CHANGE] = "change",
	[RULE_INODE] = "inode",
	[RULE_ENTRY] = "entry",
	[RULE_REVERSE] = "reverse",
	[RULE_COOKIE] = "cookie",
	[RULE_PARENT] = "parent",
	[RULE_NLINK] = "nlink",
	[RULE_ORPHAN] = "orphan",
	[RULE_REACH] = "reachability",
	[RULE_VERSION] = "version",
	[RULE_INSTANCE] = "instance",
	[RULE_XATTR] = "xattr",
	[RULE_INDEX_C] = "index-change",
	[RULE_INDEX_H] = "index-heat",
	[RULE_INDEX_U] = "index-owner",
	[RULE_INDEX_W] = "index-dirty",
	[RULE_VOLUME] = "volume",
	[RULE_BACKING] = "backing",
	[RULE_SIZE] = "size",
	[RULE_JOB] = "job",
	[RULE_NODE] = "node",
	[RULE_UNKNOWN] = "unknown-file",
};

static const char *const state_names[] = {
	[FOUND] = "found", [REPAIRED] = "repaired", [LEFT] = "left",
};

static void keep(struct fsck *f, enum rule rule, int state, uint64_t ino,
		 const char *fmt, va_list ap)
{
	struct finding *grown, *g;

	grown = realloc(f->findings, (f->nr_findings + 1) * sizeof(*grown));
	if (!grown)
		return;
	f->findings = grown;
	g = &grown[f->nr_findings];
	if (vasprintf(&g->text, fmt, ap) < 0)
		return;
	g->rule = rule;
	g->state = state;
	g->ino = ino;
	g->sticky = f->sticky;
	f->nr_findings++;
}

bool problem(struct fsck *f, enum rule rule, uint64_t ino, bool mendable,
	     const char *fmt, ...)
{
	bool mend = f->repair && mendable;
	int state = mend ? REPAIRED : f->repair ? LEFT : FOUND;
	va_list ap;

	if (f->per_rule[rule]++ < SHOWN_PER_RULE) {
		va_start(ap, fmt);
		keep(f, rule, state, ino, fmt, ap);
		va_end(ap);
	}
	f->found += state == FOUND;
	f->repaired += state == REPAIRED;
	f->left += state == LEFT;
	f->left_sticky += state == LEFT && f->sticky;
	return mend;
}

/* What is left is found again in the next round. */
void findings_new_round(struct fsck *f)
{
	size_t i, n = 0;

	for (i = 0; i < f->nr_findings; i++) {
		if (f->findings[i].state == LEFT && !f->findings[i].sticky) {
			f->per_rule[f->findings[i].rule]--;
			free(f->findings[i].text);
		} else {
			f->findings[n++] = f->findings[i];
		}
	}
	f->nr_findings = n;
	f->left = f->left_sticky;
}

void findings_move(struct fsck *to, struct fsck *from)
{
	struct finding *g;
	size_t i;

	for (i = 0; i < from->nr_findings; i++) {
		g = &from->findings[i];
		if (g->rule >= RULE_VOLUME)
			problem(to, g->rule, g->ino, false, "%s", g->text);
	}
}

void findings_free(struct fsck *f)
{
	while (f->nr_findings)
		free(f->findings[--f->nr_findings].text);
	free(f->findings);
	f->findings = NULL;
}

static uint64_t total(const struct fsck *f)
{
	return f->found + f->repaired + f->left;
}

static void print_findings(const struct fsck *f)
{
	const struct finding *g;
	size_t i;

	for (i = 0; i < f->nr_findings; i++) {
		g = &f->findings[i];
		printf("  %s: %s%s\n", rule_names[g->rule], g->text,
		       g->state == REPAIRED ? " [repaired]" :
		       g->state == LEFT ? " [left]" : "");
	}
	if (total(f) > f->nr_findings)
		printf("  and %" PRIu64 " more\n", total(f) - f->nr_findings);
}

void report_print(struct fsck *f)
{
	size_t i;

	printf("namespace %s in %s (%s, transaction %" PRIu64 ")\n",
	       f->name ? f->name : "?", f->store,
	       f->online ? "served, a copy of now" : "not served", f->seq);
	print_findings(f);
	printf("  %" PRIu64 " inodes: %" PRIu64 " directories, %" PRIu64
	       " regular files; %" PRIu64 " names, %" PRIu64 " instances, %"
	       PRIu64 " orphans, %" PRIu64 " deletions under way\n",
	       f->n.inodes, f->n.directories, f->n.files, f->n.names,
	       f->n.instances, f->n.orphans, f->n.deletions);
	for (i = 0; i < f->nr_vols; i++)
		if (f->vols[i].quarantined)
			printf("  volume %s: %" PRIu64 " unknown files are in %s/quarantine: look at them, then delete them\n",
			       f->vols[i].name, f->vols[i].quarantined,
			       f->vols[i].path);
	for (i = 0; i < f->nr_vols; i++)
		if (f->vols[i].home)
			printf("  volume %s is on node %u: its %" PRIu64 " files were not looked at\n",
			       f->vols[i].name, f->vols[i].home,
			       f->vols[i].unseen);
	if (!total(f))
		printf("  clean\n");
	else if (f->repair)
		printf("  %" PRIu64 " repaired, %" PRIu64 " left\n",
		       f->repaired, f->left);
	else
		printf("  %" PRIu64 " problems; %s\n", f->found, f->online ?
		       "stop the daemon, then run 'orchctl fsck --repair'" :
		       "'orchctl fsck --repair' mends what can be mended");
}

static struct json_object *findings_json(const struct fsck *f)
{
	struct json_object *a = json_object_new_array(), *o;
	const struct finding *g;
	size_t i;

	for (i = 0; i < f->nr_findings; i++) {
		g = &f->findings[i];
		o = json_object_new_object();
		json_object_object_add(o, "rule", json_object_new_string(
					       rule_names[g->rule]));
		json_object_object_add(o, "state", json_object_new_string(
					       state_names[g->state]));
		if (g->ino)
			json_object_object_add(o, "ino", json_uint(g->ino));
		json_object_object_add(o, "message", json_bytes(g->text,
							strlen(g->text)));
		json_object_array_add(a, o);
	}
	return a;
}

static struct json_object *volumes_json(const struct fsck *f)
{
	struct json_object *a = json_object_new_array(), *o;
	const struct fvol *v;
	size_t i;

	for (i = 0; i < f->nr_vols; i++) {
		v = &f->vols[i];
		o = json_object_new_object();
		json_object_object_add(o, "name", json_bytes(v->name,
							     strlen(v->name)));
		json_object_object_add(o, "path", json_bytes(v->path,
							     strlen(v->path)));
		json_object_object_add(o, "checked",
				       json_object_new_boolean(v->root >= 0));
		json_object_object_add(o, "quarantined",
				       json_uint(v->quarantined));
		json_object_object_add(o, "unseen", json_uint(v->unseen));
		if (v->home)
			json_object_object_add(o, "node", json_uint(v->home));
		json_object_array_add(a, o);
	}
	return a;
}

struct json_object *report_json(struct fsck *f)
{
	struct json_object *o = json_object_new_object();
	const char *name = f->name ? f->name : "";

	json_object_object_add(o, "namespace", json_bytes(name, strlen(name)));
	json_object_object_add(o, "store", json_bytes(f->store,
						      strlen(f->store)));
	json_object_object_add(o, "online", json_object_new_boolean(f->online));
	json_object_object_add(o, "txn", json_uint(f->seq));
	json_object_object_add(o, "inodes", json_uint(f->n.inodes));
	json_object_object_add(o, "directories", json_uint(f->n.directories));
	json_object_object_add(o, "files", json_uint(f->n.files));
	json_object_object_add(o, "names", json_uint(f->n.names));
	json_object_object_add(o, "instances", json_uint(f->n.instances));
	json_object_object_add(o, "orphans", json_uint(f->n.orphans));
	json_object_object_add(o, "deletions", json_uint(f->n.deletions));
	json_object_object_add(o, "found", json_uint(f->found));
	json_object_object_add(o, "repaired", json_uint(f->repaired));
	json_object_object_add(o, "left", json_uint(f->left));
	json_object_object_add(o, "problems", findings_json(f));
	json_object_object_add(o, "volumes", volumes_json(f));
	return o;
}
