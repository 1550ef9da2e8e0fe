// SPDX-License-Identifier: Apache-2.0
/* Readdir: names with attributes and symlink targets, by cookie. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ns_impl.h"
#include "ns_move.h"

/* Of one entry in a message, beside name and target. */
#define ENTRY_BYTES	176
#define FIRST_ENTRIES	64

static int grow(struct op_reply *rep, size_t *size)
{
	const size_t have = rep->nr_entries * sizeof(*rep->entries);
	size_t want = *size ? *size * 2 : FIRST_ENTRIES;
	struct op_entry *p;

	p = arena_grow(rep->arena, rep->entries, have, want * sizeof(*p));
	if (!p)
		return -ENOMEM;
	rep->entries = p;
	*size = want;
	return 0;
}

static int dup_name(struct arena *a, struct op_name *to, const void *s,
		    size_t len)
{
	to->s = arena_dup(a, s, len);
	to->len = len;
	return to->s ? 0 : -ENOMEM;
}

static int fill_entry(struct ns *ns, struct arena *a, const struct entry *e,
		      struct op_entry *out)
{
	struct inode i;
	int rc;

	rc = inode_load(ns, e->ino, &i);
	if (rc)
		return rc == -ENOENT ? -EUCLEAN : rc;
	memset(out, 0, sizeof(*out));
	out->cookie = e->cookie;
	rc = inode_fill(ns, &i, &out->attr);
	if (!rc)
		rc = dup_name(a, &out->name, e->name, e->name_len);
	if (!rc && S_ISLNK(i.mode))
		rc = dup_name(a, &out->target, i.target, i.target_len);
	return rc;
}

/* One entry of the scan; *bytes grows by its size. */
static int add_entry(struct ns *ns, struct scan *s, struct op_reply *rep,
		     size_t *size, size_t *bytes)
{
	struct op_entry *out;
	struct entry e;
	int rc;

	if (scan_key(s).len != 1 + 2 * 8)
		return -EUCLEAN;
	rc = record_unpack_entry(ns->scratch, key_num_at(scan_key(s), 1),
				 scan_value(s), &e);
	if (!rc && rep->nr_entries == *size)
		rc = grow(rep, size);
	if (rc)
		return rc;
	out = &rep->entries[rep->nr_entries];
	rc = fill_entry(ns, rep->arena, &e, out);
	if (rc && rc != -NS_PARKED)
		return rc;
	rep->nr_entries++;
	*bytes += ENTRY_BYTES + e.name_len + out->target.len;
	return rc;
}

static int list(struct ns *ns, const struct op_req *rq, struct op_reply *rep)
{
	size_t max = rq->max_entries, size = 0, bytes = 0;
	struct key lo, hi;
	bool parked = false;
	struct scan s;
	int rc;

	if (!max || max > NS_READDIR_MAX)
		max = NS_READDIR_MAX;
	key_num2(&lo, 'E', rq->node, rq->cookie + 1);
	key_after(key_num(&hi, 'E', rq->node));
	rc = scan_from(ns, &s, &lo, &hi);
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		if (rep->nr_entries == max || bytes >= NS_READDIR_BYTES)
			return scan_end(&s, parked ? -NS_PARKED : 0);
		rc = add_entry(ns, &s, rep, &size, &bytes);
		arena_reset(ns->scratch);
		/* homes are asked about all entries at once */
		if (rc == -NS_PARKED) {
			parked = true;
			rc = 0;
		}
	}
	rc = scan_end(&s, rc ? rc : parked ? -NS_PARKED : 0);
	rep->eof = !rc;
	return rc;
}

int ns_op_readdir(struct ns *ns, const struct op_req *rq, struct op_reply *rep)
{
	struct inode i;
	int rc;

	rc = inode_load(ns, rq->node, &i);
	if (rc)
		return rc == -ENOENT ? -ESTALE : rc;
	if (!S_ISDIR(i.mode))
		return -ENOTDIR;
	if (rq->cookie >= INT64_MAX) {
		rep->eof = true;
		return 0;
	}
	return list(ns, rq, rep);
}
