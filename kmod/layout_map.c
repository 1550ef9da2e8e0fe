// SPDX-License-Identifier: GPL-2.0-only
/*
 * Check the segments of a layout and split an I/O over them. Pure: no locks,
 * no memory, no kernel objects.
 */
#include <linux/errno.h>
#include "layout_map.h"

/**
 * orchfs_layout_check() - are these the segments of a layout?
 * @segs: in the order in which they came
 * @nr: how many; 0 is a layout that blocks all I/O
 * @nr_mirrors: size of the table that they index
 * @why: on failure a text for a person, never freed
 *
 * They must follow each other without hole or overlap from 0 to
 * ORCHFS_LAYOUT_END, and each must name at least one mirror in the table.
 *
 * Return: 0 or -EPROTO.
 */
int orchfs_layout_check(const struct orchfs_segment *segs, __u32 nr,
			__u32 nr_mirrors, const char **why)
{
	__u64 next = 0;
	__u32 i;

	*why = "layout has more segments than the limit";
	if (nr > ORCHFS_SEGMENTS_MAX)
		return -EPROTO;
	if (!nr)
		return 0;
	for (i = 0; i < nr; i++) {
		const struct orchfs_segment *s = &segs[i];

		*why = "layout's segments overlap, leave a hole or are unsorted";
		if (s->offset != next)
			return -EPROTO;
		*why = "layout has an empty segment or goes past the end";
		if (!s->length || s->length > ORCHFS_LAYOUT_END - next)
			return -EPROTO;
		*why = "segment has no mirror or more than the limit";
		if (!s->nr_mirrors || s->nr_mirrors > ORCHFS_MIRRORS_MAX)
			return -EPROTO;
		if (s->nr_mirrors > nr_mirrors ||
		    s->first_mirror > nr_mirrors - s->nr_mirrors)
			return -EPROTO;
		next += s->length;
	}
	*why = "layout doesn't cover the whole file";
	if (next != ORCHFS_LAYOUT_END)
		return -EPROTO;
	return 0;
}

/**
 * orchfs_layout_map() - the first part of an I/O
 * @segs: segments that orchfs_layout_check() accepted
 * @nr: how many, not 0
 * @pos: first byte of the I/O
 * @len: bytes
 * @seg: index of the segment that holds @pos
 *
 * Return: how many of the bytes lie in that segment; 0 when @len is 0 or
 * @pos is past the end.
 */
__u64 orchfs_layout_map(const struct orchfs_segment *segs, __u32 nr,
			__u64 pos, __u64 len, __u32 *seg)
{
	__u32 low = 0, high = nr - 1;
	__u64 left;

	if (!len || pos >= ORCHFS_LAYOUT_END)
		return 0;
	while (low < high) {
		__u32 mid = low + (high - low + 1) / 2;

		if (segs[mid].offset <= pos)
			low = mid;
		else
			high = mid - 1;
	}
	*seg = low;
	left = segs[low].length - (pos - segs[low].offset);
	return len < left ? len : left;
}
