// SPDX-License-Identifier: Apache-2.0
/* Drains: a volume that gets no new files, and the files that are left on it. */
#include <errno.h>
#include <string.h>

#include "ns_impl.h"
#include "ns_move.h"

/* The volume's record and the job's, in one transaction. */
static int drain_put(struct ns *ns, uint32_t volume, bool draining,
		     struct ns_job *j, bool is_new)
{
	struct ns_volume *v = (struct ns_volume *)volume_find(ns, volume);
	struct ns_volume after;
	struct txn t;
	int rc = 0;

	if (!v)
		return -ENOENT;
	after = *v;
	after.draining = draining;
	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	if (is_new)
		rc = move_job_number(&t, &j->id);
	if (!rc)
		rc = volume_row_put(&t, &after);
	if (rc) {
		txn_abort(&t);
		return rc;
	}
	if (j)
		move_job_put(&t, j);
	rc = txn_commit(&t, NULL);
	if (!rc)
		v->draining = draining;
	return rc;
}

int ns_drain_new(struct ns *ns, struct ns_job *j)
{
	return drain_put(ns, j->volume, true, j, true);
}

int ns_drain_back(struct ns *ns, uint32_t volume, const struct ns_job *j)
{
	struct ns_job after;

	if (!j)
		return drain_put(ns, volume, false, NULL, false);
	after = *j;
	after.cancel = true;
	return drain_put(ns, volume, false, &after, false);
}

static int entry_of(struct ns *ns, uint64_t ino, uint32_t volume,
		    struct ns_move_entry *e)
{
	int rc = ns_move_stat(ns, ino, e);

	if (rc == -ENOENT) {
		*e = (struct ns_move_entry){ .ino = ino };
		rc = 0;
	}
	if (!rc && e->volume != volume)
		e->volume = 0;
	return rc;
}

/* An inode's rows are looked at together. */
int ns_drain_list(struct ns *ns, uint32_t volume, uint64_t *after,
		  unsigned int *budget, struct ns_move_entry *out, size_t max)
{
	uint64_t ino, seen = *after, listed = *after;
	struct key lo, hi;
	struct instance n;
	struct scan s;
	size_t nr = 0;
	int rc;

	if (*after >= UINT64_MAX - 1)
		return 0;
	key_after(key_table(&hi, 'N'));
	rc = scan_from(ns, &s, key_num(&lo, 'N', *after + 1), &hi);
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		ino = key_num_at(scan_key(&s), 0);
		if (ino != seen && (nr == max || !*budget))
			break;
		seen = ino;
		*budget -= *budget > 0;
		arena_reset(ns->scratch);
		rc = record_unpack_instance(ns->scratch, scan_key(&s),
					    scan_value(&s), &n);
		if (rc || n.volume != volume || listed == ino)
			continue;
		rc = entry_of(ns, ino, volume, &out[nr]);
		listed = ino;
		nr += !rc;
	}
	*after = scan_valid(&s) ? seen : UINT64_MAX;
	rc = scan_end(&s, rc);
	return rc ? rc : (int)nr;
}

/* Return: 1, 0 or -errno. */
static int on_volume(struct ns *ns, uint64_t ino, uint32_t volume)
{
	struct instance n = { 0 };
	struct scan s;
	struct key k;
	int rc;

	rc = scan_begin(ns, &s, key_num(&k, 'N', ino));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc && n.volume != volume; scan_next(&s))
		rc = record_unpack_instance(ns->scratch, scan_key(&s),
					    scan_value(&s), &n);
	rc = scan_end(&s, rc);
	return rc ? rc : n.volume == volume;
}

struct prune {
	struct txn t;
	struct ns *ns;
	uint32_t volume;
};

static int prune_one(void *ctx, const struct ns_move *m)
{
	struct prune *p = ctx;
	int rc = 1;

	if (m->step == NS_MOVE_LEFT)
		rc = on_volume(p->ns, m->ino, p->volume);
	if (!rc)
		move_row_del(&p->t, m);
	return rc < 0 ? rc : 0;
}

int ns_drain_prune(struct ns *ns, const struct ns_job *j)
{
	struct prune p = { .ns = ns, .volume = j->volume };
	int rc;

	arena_reset(ns->scratch);
	txn_begin(&p.t, ns);
	txn_urgent(&p.t);
	rc = ns_job_moves(ns, j->id, SIZE_MAX, prune_one, &p);
	if (rc) {
		txn_abort(&p.t);
		return rc;
	}
	move_job_put(&p.t, j);
	return txn_commit(&p.t, NULL);
}
