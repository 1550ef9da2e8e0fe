// SPDX-License-Identifier: Apache-2.0
/*
 * A restored store and the volumes, which have gone on since the backup. What
 * the backup was in the middle of must not go on: its copies, deletions and
 * orphans may be names of files that somebody wants. Nothing on a volume is
 * changed here, and none of its files has a record that lets it be deleted:
 * what no file of the store needs goes to quarantine at the next start.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup.h"
#include "ns_cluster.h"
#include "rebuild.h"
#include "store.h"

#define TOLD	20	/* missing files; nodes */

static int fail(struct rebuild *r, int rc, const char *what, const char *why)
{
	snprintf(r->why, VOLUME_WHY, "the new store: %.200s%s%.400s", what,
		 *what ? ": " : "", why ? why : strerror(-rc));
	return rc;
}

/* One that isn't there can't be looked at. */
static int open_volumes(struct rebuild *r, const struct ns_volume *recs,
			size_t nr)
{
	struct volume **tail = &r->volumes, *v;

	for (size_t i = 0; i < nr; i++) {
		v = volume_new(&recs[i]);
		if (!v)
			return fail(r, -ENOMEM, "", NULL);
		if (volume_far(v)) {
			printf("not looked at: volume %s is on node %u\n",
			       v->rec.name, v->rec.home);
		} else if (volume_open(v, r->uuid) < 0) {
			printf("not looked at: %s\n", v->problem);
		} else if (rebuild_look(r, v) < 0) {
			printf("not looked at: %s\n", r->why);
		} else {
			*tail = v;
			tail = &v->next;
			continue;
		}
		volume_put(v);
		r->nr_away++;
	}
	return 0;
}

static int find_volumes(struct rebuild *r, struct store *st)
{
	struct ns_volume *recs = NULL;
	const char *why = NULL;
	size_t nr = 0;
	int rc;

	rc = ns_open(st, &rebuild_backing_ops, r, "restore", &r->ns, &why);
	if (rc < 0)
		return fail(r, rc, "", why);
	memcpy(r->uuid, ns_uuid(r->ns), 16);
	rc = ns_volumes(r->ns, &recs, &nr);
	if (!rc)
		rc = ns_close(r->ns);
	else
		ns_close(r->ns);
	r->ns = NULL;
	if (rc < 0)
		fail(r, rc, "its volumes", NULL);
	else
		rc = open_volumes(r, recs, nr);
	free(recs);
	return rc;
}

static int settle(struct rebuild *r)
{
	struct ns_volume *recs;
	size_t nr;
	int rc;

	rc = ns_volumes(r->ns, &recs, &nr);
	if (rc < 0)
		return fail(r, rc, "its volumes", NULL);
	rc = rebuild_undrain(r, recs, nr);
	free(recs);
	if (rc < 0)
		return rc;
	rc = ns_rebuild_orphans(r->ns);
	if (rc < 0)
		return fail(r, rc, "its orphans", NULL);
	return rebuild_scan(r);
}

/* What was removed stays so, if the store that is replaced can tell. */
static void keep_removed(struct rebuild *r, struct store *st, const char *old)
{
	const struct store_opts so = { .read_only = true };
	struct store *was;

	if (store_open("rocksdb", old, &so, &was, NULL) < 0)
		return;
	r->removed_known = !ns_rebuild_removed(st, was, &r->seen);
	store_close(was);
}

/* Else only people know. */
static void tell_nodes(const struct rebuild *r)
{
	const struct ns_cluster *c = ns_cluster(r->ns);
	const struct ns_node *n;
	unsigned int in = 0;
	size_t nr;

	if (!c || r->removed_known)
		return;
	n = ns_nodes(r->ns, &nr);
	for (size_t i = 0; i < nr; i++) {
		if (n[i].removed || n[i].number == c->authority)
			continue;
		if (!in)
			printf("Nodes that are in, as the backup has it:\n");
		if (in++ < TOLD)
			printf("                %s\n", n[i].name);
	}
	if (in > TOLD)
		printf("                and %u more: orchctl node list names "
		       "them\n", in - TOLD);
	if (in)
		printf("Was one removed after the backup? Remove it again: "
		       "orchctl node remove NAME\n");
}

/*
 * Deletions are dropped last: they tell which file isn't the one that is
 * missing. Numbers that were kept for files not yet made may be in use.
 */
static int change_store(struct rebuild *r, struct store *st)
{
	const char *why = NULL;
	int rc, end;

	rc = ns_rebuild_renew(st, &r->seen);
	if (!rc)
		rc = ns_rebuild_drop(st, 'P');
	/* tokens may have been used since */
	if (!rc)
		rc = ns_rebuild_drop(st, 'Q');
	if (!rc)
		rc = ns_open(st, &rebuild_backing_ops, r, "restore", &r->ns,
			     &why);
	if (rc < 0)
		return fail(r, rc, "", why);
	rc = settle(r);
	if (!rc)
		tell_nodes(r);
	end = ns_close(r->ns);
	r->ns = NULL;
	if (rc < 0)
		return rc;
	if (!end)
		end = ns_rebuild_drop(st, 'D');
	if (!end)
		end = store_barrier(st);
	return end < 0 ? fail(r, end, "", NULL) : 0;
}

static void report(const struct rebuild *r)
{
	if (r->placed)
		printf("%12" PRIu64 "  files were moved after the backup: "
		       "found where they are now\n", r->placed);
	if (r->part)
		printf("%12" PRIu64 "  of these are copies that a move had "
		       "not finished, with holes\n", r->part);
	if (r->sums.missing)
		printf("%12" PRIu64 "  names whose contents are on no volume: "
		       "removed or replaced after\n              the backup, "
		       "or lost. They give EIO:\n", r->sums.missing);
	for (size_t i = 0; i < r->nr_missing && i < TOLD; i++)
		printf("                %s\n", r->missing[i]);
	if (r->sums.missing > TOLD)
		printf("                and %" PRIu64 " more: orchctl fsck "
		       "names them\n", r->sums.missing - TOLD);
	for (size_t i = 0; i < r->nr_undrained; i++)
		printf("volume %s was being drained: orchctl volume drain %s "
		       "goes on\n", r->undrained[i], r->undrained[i]);
	if (r->nr_away)
		printf("Files that were moved to volumes not looked at will "
		       "give EIO, as their copies there\ngo to quarantine: "
		       "mount those and restore again before orchd runs.\n");
}

int restore_settle(const char *dir, const char *old, const char *name,
		   char *why)
{
	const struct rebuild_opts o = { .name = name, .store = dir };
	const struct store_opts so = { 0 };
	struct rebuild r = {
		.o = &o,
		.why = why,
		.restore = true,
		/* none: the sweep looks at all */
		.when = { .sec = INT64_MAX },
	};
	const char *text = NULL;
	struct store *st = NULL;
	int rc;

	rc = store_open("rocksdb", dir, &so, &st, &text);
	if (rc < 0)
		fail(&r, rc, "", text);
	else
		rc = find_volumes(&r, st);
	if (!rc) {
		keep_removed(&r, st, old);
		rc = change_store(&r, st);
	}
	store_close(st);
	if (!rc)
		report(&r);
	rebuild_release(&r);
	return rc;
}
