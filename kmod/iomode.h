/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The I/O mode of an inode on this node: see Documentation/layouts.md.
 */
#ifndef _ORCHFS_IOMODE_H
#define _ORCHFS_IOMODE_H

#include <linux/types.h>

enum orchfs_iomode {
	ORCHFS_IOMODE_NONE,		/* nobody decided yet */
	ORCHFS_IOMODE_PASSTHROUGH,	/* the backing file's page cache */
	ORCHFS_IOMODE_CACHED,		/* orchfs's own pages */
	ORCHFS_NR_IOMODES,
};

/**
 * struct orchfs_iomode_state - the mode and who relies on it
 * @mode: stays when @users falls to 0, until the next user or a reset
 * @users: open files
 *
 * The caller serialises (inode.i_lock).
 */
struct orchfs_iomode_state {
	enum orchfs_iomode mode;
	unsigned int users;
};

int orchfs_iomode_get(struct orchfs_iomode_state *s, enum orchfs_iomode want,
		      bool mapped);
void orchfs_iomode_put(struct orchfs_iomode_state *s);
int orchfs_iomode_reset(struct orchfs_iomode_state *s, bool mapped);

#endif
