// SPDX-License-Identifier: Apache-2.0
/*
 * Which keys belong together. RocksDB's memtable is a hash table of such
 * groups: a put costs a hash and a few comparisons with the keys of its own
 * group, where one ordered list of everything costs some twenty comparisons
 * in each of several levels. The price is paid by a scan over several groups,
 * which sorts a copy of the memtable first; so whatever an operation scans
 * must be one group. Writing out a memtable is such a scan: each group begins
 * with a search, the rest of it follows in order. So a group of one row is
 * dear, and rows that come in order anyway cost least in one large group.
 *
 * Tables that operations scan by inode or directory: names are grouped by the
 * directory, the rest by 256 inodes, which were often made together. The
 * indexes and small tables are one group each, or one for a value that is
 * indexed: their rows are mostly put in order.
 */
#include <string.h>

#include "store_impl.h"

#define GROUP_MAX	14

static size_t group_len(uint8_t table)
{
	switch (table) {
	case 'S':	/* a few */
	case 'A':
	case 'L':
	case 'P':
	case 'M':
	case 'K':
	case 'Q':
	case 'O':	/* scanned when a node attaches */
	case 'D':	/* scanned in batches */
	case 'C':	/* change, inode: put in order */
		return 1;
	case 'U':	/* owner, inode */
		return 1 + 4;
	case 'H':	/* tier, day, inode */
		return 1 + 1 + 4;
	case 'T':	/* session, slot */
		return 1 + 4 + 8;
	case 'E':	/* directory, cookie */
		return 1 + 8;
	default:	/* inode: 256 of them */
		return 1 + 7;
	}
}

size_t store_prefix_len(struct store_key k)
{
	size_t len;

	if (!k.len)
		return 0;
	len = group_len(*(const uint8_t *)k.p);
	return k.len < len ? k.len : len;
}

/* The first key behind all that begin with prefix; 0: there is none. */
static size_t successor(struct store_key prefix, uint8_t *out)
{
	size_t len = prefix.len;

	memcpy(out, prefix.p, len);
	while (len && ++out[len - 1] == 0)
		len--;
	return len;
}

bool store_range_is_group(struct store_key lo, struct store_key hi)
{
	struct store_key prefix = { lo.p, store_prefix_len(lo) };
	uint8_t end[GROUP_MAX];
	size_t len, both;
	int order;

	if (!lo.len || !hi.len || prefix.len < group_len(*(uint8_t *)lo.p))
		return false;
	len = successor(prefix, end);
	if (!len)
		return true;
	both = len < hi.len ? len : hi.len;
	order = memcmp(hi.p, end, both);
	return order < 0 || (!order && hi.len <= len);
}
