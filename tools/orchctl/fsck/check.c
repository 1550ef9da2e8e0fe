// SPDX-License-Identifier: Apache-2.0
/* The order of checks, and the rounds of a repair. */
#include <stdlib.h>

#include "orchctl.h"
#include "fsck.h"

/* Each round mends at least one kind of damage for good. */
#define ROUNDS_MAX 32

static void (*const stages[])(struct fsck *f) = {
	load_small, check_inodes, check_entries, check_reverse, check_tree,
	check_links, check_indexes, check_numbers,
};

static int one_round(struct fsck *f)
{
	size_t i;
	int rc;

	fset_free(f->inserted);
	f->inserted = fset_new();
	f->n = (struct fcounts){ 0 };
	rc = load_super(f);
	for (i = 0; i < sizeof(stages) / sizeof(stages[0]) && !rc; i++) {
		stages[i](f);
		if (f->read_error)
			rc = RC_FAILED;
		/* What follows would report the consequences. */
		if (f->nr_ops)
			break;
	}
	return rc;
}

static int rounds(struct fsck *f)
{
	int i, rc;

	for (i = 0; i < ROUNDS_MAX; i++) {
		findings_new_round(f);
		rc = one_round(f);
		if (rc || !db_apply(f))
			return rc;
	}
	return fail(RC_FAILED, "%s: the repair finds no end, nothing was changed: restore from a backup (orchctl restore)",
		    f->store);
}

static int repair_write(struct fsck *f)
{
	int rc = RC_OK;

	if (rocksdb_writebatch_wi_count(f->overlay))
		rc = db_commit(f);
	/* Only now: what the store said before may have named these files. */
	return rc ? rc : quarantine_moves(f);
}

int fsck_run(struct fsck *f)
{
	int rc = rounds(f);

	if (rc)
		return rc;
	fset_free(f->inserted);
	f->inserted = fset_new();
	f->sticky = true;
	volumes_open(f);
	check_backing(f);
	check_unknown(f);
	f->sticky = false;
	if (f->read_error)
		return RC_FAILED;
	if (!f->repair)
		return RC_OK;
	if (db_apply(f))
		rc = rounds(f);
	return rc ? rc : repair_write(f);
}
