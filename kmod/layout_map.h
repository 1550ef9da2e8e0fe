/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Segments of a layout: the pure part. Needs nothing but fixed-width types,
 * so that tests and fuzzers drive it without a kernel around it.
 */
#ifndef _ORCHFS_LAYOUT_MAP_H
#define _ORCHFS_LAYOUT_MAP_H

#include <linux/types.h>

#define ORCHFS_SEGMENTS_MAX	64
#define ORCHFS_MIRRORS_MAX	4
/* Layouts cover [0, ORCHFS_LAYOUT_END), which is all that a loff_t can name. */
#define ORCHFS_LAYOUT_END	0x7fffffffffffffffULL

/**
 * struct orchfs_segment - bytes that lie together
 * @offset: first byte
 * @length: number of bytes, not 0
 * @first_mirror: index in the layout's table of mirrors
 * @nr_mirrors: how many follow each other there, in order of preference
 */
struct orchfs_segment {
	__u64 offset;
	__u64 length;
	__u32 first_mirror;
	__u32 nr_mirrors;
};

int orchfs_layout_check(const struct orchfs_segment *segs, __u32 nr,
			__u32 nr_mirrors, const char **why);
__u64 orchfs_layout_map(const struct orchfs_segment *segs, __u32 nr,
			__u64 pos, __u64 len, __u32 *seg);

#endif
