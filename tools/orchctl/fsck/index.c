// SPDX-License-Identifier: Apache-2.0
/* The indexes by change (C), by tier and day (H), by owner (U). */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "orchctl.h"
#include "fsck.h"

struct index {
	char table;
	enum rule rule;
	uint16_t seen;
	size_t klen;
	const char *what;
	bool (*fits)(const struct fino *fi, const uint8_t *key);
	void (*make)(const struct fino *fi, struct fkey *k);
};

static bool fits_c(const struct fino *fi, const uint8_t *key)
{
	return get_be64(key + 1) == fi->change;
}

static void make_c(const struct fino *fi, struct fkey *k)
{
	key_u64(key_u64(k, fi->change), fi->ino);
}

/* Without an instance the tier is not known, then any will do. */
static bool fits_h(const struct fino *fi, const uint8_t *key)
{
	return S_ISREG(fi->mode) && get_be32(key + 2) == fi->day &&
	       (fi->tier < 0 || key[1] == fi->tier);
}

static void make_h(const struct fino *fi, struct fkey *k)
{
	uint8_t tier = fi->tier < 0 ? 0 : (uint8_t)fi->tier;

	key_u64(key_u32(key_bytes(k, &tier, 1), fi->day), fi->ino);
}

static bool fits_u(const struct fino *fi, const uint8_t *key)
{
	return get_be32(key + 1) == fi->uid;
}

static void make_u(const struct fino *fi, struct fkey *k)
{
	key_u64(key_u32(k, fi->uid), fi->ino);
}

static const struct index indexes[] = {
	{ 'C', RULE_INDEX_C, F_SEEN_C, 17, "changes", fits_c, make_c },
	{ 'H', RULE_INDEX_H, F_SEEN_H, 14, "tiers and days", fits_h, make_h },
	{ 'U', RULE_INDEX_U, F_SEEN_U, 13, "owners", fits_u, make_u },
};

static void scan_index(struct fsck *f, const struct index *ix)
{
	struct fkey k = { .len = 0 };
	struct fino *fi;
	uint64_t ino;
	struct row r;

	for (rows_table(f, &r, ix->table); rows_valid(&r); rows_next(&r)) {
		if (r.klen != ix->klen) {
			problem(f, RULE_RECORD, 0, false,
				"a key of the index of %s has %zu bytes instead of %zu",
				ix->what, r.klen, ix->klen);
			continue;
		}
		ino = get_be64(r.key + r.klen - 8);
		fi = fino_of(f, ino);
		if (fi && fi->flags & F_BAD)
			continue;
		if (fi && !(fi->flags & ix->seen) && ix->fits(fi, r.key)) {
			fi->flags |= ix->seen;
			continue;
		}
		if (problem(f, ix->rule, ino, true,
			    fi ? "the index of %s has a wrong row for inode %" PRIu64 :
			    "the index of %s has a row for inode %" PRIu64 ", which does not exist",
			    ix->what, ino)) {
			k.len = 0;
			op_del(f, key_bytes(&k, r.key, r.klen));
		}
	}
	rows_end(f, &r);
}

static void find_missing(struct fsck *f, const struct index *ix)
{
	struct fino *fi;
	struct fkey k;
	size_t i;

	for (i = 0; i < f->nr_inos; i++) {
		fi = &f->inos[i];
		if (fi->flags & (ix->seen | F_BAD) ||
		    (ix->table == 'H' && !S_ISREG(fi->mode)))
			continue;
		if (!problem(f, ix->rule, fi->ino, true,
			     "inode %" PRIu64 " is not in the index of %s",
			     fi->ino, ix->what))
			continue;
		ix->make(fi, key_begin(&k, ix->table));
		op_put(f, &k, "", 0);
	}
}

void check_indexes(struct fsck *f)
{
	size_t i;

	for (i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
		scan_index(f, &indexes[i]);
		find_missing(f, &indexes[i]);
	}
}
