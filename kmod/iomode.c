// SPDX-License-Identifier: GPL-2.0-only
/*
 * The I/O mode of an inode. One at a time: pages of a mapped area belong to
 * the backing file or to orchfs, and can't be redirected while they are
 * mapped.
 */
#include <linux/bug.h>
#include <linux/errno.h>

#include "iomode.h"

/* What has to hold for a change from one mode to another. */
enum iomode_rule {
	IOMODE_FREE,		/* always */
	IOMODE_UNUSED,		/* no open file, no mapping */
};

static const enum iomode_rule
iomode_rules[ORCHFS_NR_IOMODES][ORCHFS_NR_IOMODES] = {
	[ORCHFS_IOMODE_NONE] = {
		[ORCHFS_IOMODE_NONE]		= IOMODE_FREE,
		[ORCHFS_IOMODE_PASSTHROUGH]	= IOMODE_FREE,
		[ORCHFS_IOMODE_CACHED]		= IOMODE_UNUSED,
	},
	[ORCHFS_IOMODE_PASSTHROUGH] = {
		[ORCHFS_IOMODE_NONE]		= IOMODE_UNUSED,
		[ORCHFS_IOMODE_PASSTHROUGH]	= IOMODE_FREE,
		[ORCHFS_IOMODE_CACHED]		= IOMODE_UNUSED,
	},
	[ORCHFS_IOMODE_CACHED] = {
		[ORCHFS_IOMODE_NONE]		= IOMODE_UNUSED,
		[ORCHFS_IOMODE_PASSTHROUGH]	= IOMODE_UNUSED,
		[ORCHFS_IOMODE_CACHED]		= IOMODE_FREE,
	},
};

static int iomode_move(struct orchfs_iomode_state *s, enum orchfs_iomode to,
		       bool mapped)
{
	if (iomode_rules[s->mode][to] == IOMODE_UNUSED && (s->users || mapped))
		return -EBUSY;
	s->mode = to;
	return 0;
}

/**
 * orchfs_iomode_get() - a file opens and wants this mode
 * @s: of the inode
 * @want: not ORCHFS_IOMODE_NONE
 * @mapped: is the instance mapped anywhere?
 *
 * Return: 0; -EBUSY when the inode is in another mode and can't leave it now;
 * -EINVAL for a mode that isn't one.
 */
int orchfs_iomode_get(struct orchfs_iomode_state *s, enum orchfs_iomode want,
		      bool mapped)
{
	int ret;

	if (want <= ORCHFS_IOMODE_NONE || want >= ORCHFS_NR_IOMODES)
		return -EINVAL;
	ret = iomode_move(s, want, mapped);
	if (!ret)
		s->users++;
	return ret;
}

/**
 * orchfs_iomode_put() - that file is closed
 * @s: of the inode
 */
void orchfs_iomode_put(struct orchfs_iomode_state *s)
{
	if (!WARN_ON_ONCE(!s->users))
		s->users--;
}

/**
 * orchfs_iomode_reset() - forget the mode
 * @s: of the inode
 * @mapped: is the instance mapped anywhere?
 *
 * Return: 0 or -EBUSY.
 */
int orchfs_iomode_reset(struct orchfs_iomode_state *s, bool mapped)
{
	return iomode_move(s, ORCHFS_IOMODE_NONE, mapped);
}
