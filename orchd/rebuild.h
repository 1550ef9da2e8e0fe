/* SPDX-License-Identifier: Apache-2.0 */
/* A new store from the volumes: Documentation/rebuild.md */
#ifndef ORCHD_REBUILD_H
#define ORCHD_REBUILD_H

#include "export.h"
#include "ns_rebuild.h"
#include "volume.h"

#define REBUILD_NAMED	1000	/* missing files told by name */

struct rebuild_opts {
	const char *name, *store;
	char *const *paths;		/* roots of the volumes */
	size_t nr_paths;
	bool dry_run, partial, json;
};

struct rebuild {
	const struct rebuild_opts *o;
	char *why;			/* VOLUME_WHY bytes */
	struct volume *volumes;
	uint8_t uuid[16];		/* of the namespace */
	struct ns_seen seen;
	struct ns *ns;

	/* the report */
	bool found;			/* an export */
	struct export_file from;
	struct volume *from_volume;
	struct orchfs_time when;
	char (*rejected)[512];
	size_t nr_rejected;
	char (*away)[64];		/* names of volumes that are not there */
	size_t nr_away;
	struct ns_rebuild_sums sums;
	uint64_t lost, lost_bytes, placed, part, spare, empty;
	char **missing;
	size_t nr_missing;
};

/**
 * rebuild_run() - make the store @o->store anew and report it on standard
 * output. Return: 0, or -errno with a text in @why (VOLUME_WHY bytes).
 */
int rebuild_run(const struct rebuild_opts *o, char *why);

/* rebuild_scan.c */
/** rebuild_look() - the highest numbers in use on the volumes. */
int rebuild_look(struct rebuild *r);
/** rebuild_scan() - backing files to records, records to backing files. */
int rebuild_scan(struct rebuild *r);
extern const struct ns_backing_ops rebuild_backing_ops;

/* rebuild_report.c */
void rebuild_report(const struct rebuild *r);

#endif
