/* SPDX-License-Identifier: GPL-2.0-only */
/* The least epochs that a volume takes; see Documentation/remote.md. */
#ifndef _ORCHFS_FENCE_H
#define _ORCHFS_FENCE_H

#include <linux/hashtable.h>
#include <linux/types.h>

#define ORCHFS_FENCES_MAX	65536

/* Requests of a node for an instance need this epoch */
struct orchfs_fence {
	struct hlist_node link;
	u64 instance;			/* 0: every instance */
	u32 node;			/* 0: every node */
	u64 epoch;
	u64 expiry_ms;			/* by the authority's clock */
};

/* Those of a volume; the caller has a lock around heads and nr */
struct orchfs_fences {
	struct list_head link;		/* orchfs_serve.fences */
	u32 volume;
	u32 users;			/* volumes that point here */
	DECLARE_HASHTABLE(heads, 9);
	u32 nr;
};

void orchfs_fences_init(struct orchfs_fences *f);
void orchfs_fences_exit(struct orchfs_fences *f);
void orchfs_fences_expire(struct orchfs_fences *f, u64 now_ms);
u64 orchfs_fences_floor(const struct orchfs_fences *f, u64 instance, u32 node);
int orchfs_fences_raise(struct orchfs_fences *f, struct orchfs_fence *fence,
			u64 now_ms);

#endif
