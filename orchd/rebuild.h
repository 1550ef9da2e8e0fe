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
	bool restore;			/* of a backup; files keep their names */
	bool removed_known;		/* nodes, by the store that is replaced */

	/* the report */
	bool found;			/* an export */
	struct export_file from;
	struct volume *from_volume;
	struct orchfs_time when;
	char (*rejected)[512];
	size_t nr_rejected;
	char (*away)[64];		/* names of volumes that are not there */
	size_t nr_away;
	char (*undrained)[64];		/* whose drains have ended */
	size_t nr_undrained;
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

/**
 * rebuild_undrain() - the jobs are gone: no volume is being drained any more.
 * @recs: all volumes; changed, too.
 */
int rebuild_undrain(struct rebuild *r, struct ns_volume *recs, size_t nr);
void rebuild_release(struct rebuild *r);

/* rebuild_scan.c */
/** rebuild_look() - the highest numbers in use on a volume. */
int rebuild_look(struct rebuild *r, struct volume *v);
/** rebuild_scan() - backing files to records, records to backing files. */
int rebuild_scan(struct rebuild *r);
extern const struct ns_backing_ops rebuild_backing_ops;

/* restore_settle.c */
/**
 * restore_settle() - the store @dir, just read from a backup, is brought to
 * what lies on those of its volumes that are there. Tells on standard output.
 * @old: where the store was that is replaced: who it has removed stays out.
 * Return: 0, or -errno with a text in @why (VOLUME_WHY bytes).
 */
int restore_settle(const char *dir, const char *old, const char *name,
		   char *why);

/* rebuild_report.c */
void rebuild_report(const struct rebuild *r);

#endif
