/* SPDX-License-Identifier: GPL-2.0-only */
/* remotefile: files whose contents are at a data server, as applications see
 * them. A process plays their daemon (rf_daemon.c).
 */
#ifndef SELFTEST_RF_H
#define SELFTEST_RF_H

#include "ds.h"
#include <linux/orchfs_nl.h>

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof(*(a)))
#endif

#define FILES	17
#define FIRST	0x1900		/* inode of f0 */
#define HOME	7		/* node that serves them */
#define CONNS	2

/* Seen by both processes. */
struct rf {
	int backing[FILES];
	u64 clock_ms, expiry_ms, epoch;
	bool deaf;		/* no connection for who wants one */
	bool live;		/* another node may write */
	u32 asked[64];		/* upcalls by kind */
};

extern struct rf *rf;

void rf_daemon(int ctl);

#endif
