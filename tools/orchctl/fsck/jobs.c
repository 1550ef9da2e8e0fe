// SPDX-License-Identifier: Apache-2.0
/* Moves: jobs, the files that they are at, and what these explain. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "orchctl.h"
#include "fsck.h"

struct jobs {
	uint64_t id;		/* of the last job seen */
	bool running;
};

static void bad(struct fsck *f, const struct row *r, const char *what)
{
	problem(f, RULE_RECORD, 0, false,
		"a record of %s (key of %zu bytes) cannot be understood: restore from a backup, or report it",
		what, r->klen);
}

static void one_job(struct fsck *f, const struct row *r, struct jobs *j)
{
	Orchfs__Store__Job *m;

	m = orchfs__store__job__unpack(NULL, r->vlen, r->val);
	if (!m) {
		bad(f, r, "a job");
		return;
	}
	see_change(f, m->change);
	j->id = get_be64(r->key + 1);
	j->running = m->state == ORCHFS__STORE__JOB_STATE__JOB_RUNNING;
	if (j->id > f->max_job)
		f->max_job = j->id;
	orchfs__store__job__free_unpacked(m, NULL);
}

static void one_move(struct fsck *f, const struct row *r,
		     const struct jobs *j)
{
	uint64_t id = get_be64(r->key + 1), ino = get_be64(r->key + 9);
	struct fkey k = { .len = 0 };
	Orchfs__Store__Move *m;
	struct fat *a;

	m = orchfs__store__move__unpack(NULL, r->vlen, r->val);
	if (!m) {
		bad(f, r, "a file of a job");
		return;
	}
	see_change(f, m->change);
	if (id != j->id || (!j->running && m->step !=
			    ORCHFS__STORE__MOVE_STEP__MOVE_LEFT)) {
		if (problem(f, RULE_JOB, ino, true,
			    "job %" PRIu64 " is at inode %" PRIu64 ", but %s",
			    id, ino, id != j->id ? "it does not exist" :
			    "it has ended"))
			op_del(f, key_bytes(&k, r->key, r->klen));
	} else if (m->step != ORCHFS__STORE__MOVE_STEP__MOVE_LEFT) {
		f->at = grown(f->at, f->nr_at, sizeof(*a));
		a = &f->at[f->nr_at++];
		a->ino = ino;
		a->version = m->version;
		a->from = m->from;
		a->to = m->to;
		/* its number was taken even if nothing has it any more */
		if (m->to > f->max_instance)
			f->max_instance = m->to;
	}
	orchfs__store__move__free_unpacked(m, NULL);
}

static int compare_at(const void *pa, const void *pb)
{
	const struct fat *a = pa, *b = pb;

	return a->ino < b->ino ? -1 : a->ino > b->ino;
}

void load_jobs(struct fsck *f)
{
	struct jobs j = { 0 };
	struct row r;

	for (rows_table(f, &r, 'J'); rows_valid(&r); rows_next(&r)) {
		if (r.klen == 9)
			one_job(f, &r, &j);
		else if (r.klen == 17)
			one_move(f, &r, &j);
		else
			bad(f, &r, "jobs");
	}
	rows_end(f, &r);
	if (f->nr_at)
		qsort(f->at, f->nr_at, sizeof(*f->at), compare_at);
}

/* Is a job at this inode that takes care of this instance? */
bool in_jobs(struct fsck *f, uint64_t ino, uint64_t version, uint64_t instance)
{
	const struct fat key = { .ino = ino }, *a;

	if (!f->nr_at)
		return false;
	/* At most one job is at a file. */
	a = bsearch(&key, f->at, f->nr_at, sizeof(*f->at), compare_at);
	return a && a->version == version &&
	       (a->from == instance || a->to == instance);
}

/*
 * The valid instance of the current version is the file; what else there is
 * must be named by a job, or it stays for ever.
 */
void check_copies(struct fsck *f, uint64_t ino, const struct fcopies *c)
{
	size_t i;

	if (c->any && !c->valid)
		problem(f, RULE_INSTANCE, ino, false,
			"inode %" PRIu64 " has no valid instance: restore from a backup, or delete it",
			ino);
	if (c->valid > 1)
		problem(f, RULE_INSTANCE, ino, false,
			"inode %" PRIu64 " has %u valid instances: it is not known which of them is the file",
			ino, c->valid);
	for (i = 0; i < c->nr; i++) {
		struct fkey k = key_num('N', 3, ino, c->version,
					c->stray[i]);

		if (problem(f, RULE_INSTANCE, ino, c->valid,
			    "instance %" PRIu64 " of inode %" PRIu64 " is a copy that no job is at",
			    c->stray[i], ino))
			op_del(f, &k);
	}
}
