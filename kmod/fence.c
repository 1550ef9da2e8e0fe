// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fences of a volume. An entry is of use until its expiry, when no token
 * of a lower epoch is left; it goes when the authority was heard after that.
 */
#include <linux/slab.h>

#include "fence.h"

/**
 * orchfs_fences_init() - make an empty table
 * @f: the table
 */
void orchfs_fences_init(struct orchfs_fences *f)
{
	hash_init(f->heads);
	f->nr = 0;
}

static void fences_remove(struct orchfs_fences *f, struct orchfs_fence *fence)
{
	hash_del(&fence->link);
	f->nr--;
	kfree(fence);
}

/**
 * orchfs_fences_exit() - empty a table
 * @f: the table
 */
void orchfs_fences_exit(struct orchfs_fences *f)
{
	struct orchfs_fence *fence;
	struct hlist_node *next;
	int i;

	hash_for_each_safe(f->heads, i, next, fence, link)
		fences_remove(f, fence);
}

static struct orchfs_fence *fences_find(const struct orchfs_fences *f,
					u64 instance, u32 node)
{
	struct orchfs_fence *fence;

	/* all nodes of an instance have one head */
	hash_for_each_possible(f->heads, fence, link, instance)
		if (fence->instance == instance && fence->node == node)
			return fence;
	return NULL;
}

static u64 fences_floor_of(const struct orchfs_fences *f, u64 instance,
			   u32 node)
{
	struct orchfs_fence *fence;
	u64 floor = 0;

	hash_for_each_possible(f->heads, fence, link, instance)
		if (fence->instance == instance &&
		    (!fence->node || fence->node == node))
			floor = max(floor, fence->epoch);
	return floor;
}

/**
 * orchfs_fences_floor() - the least epoch that is taken
 * @f: the table
 * @instance: of this one, not 0
 * @node: of this node
 *
 * Return: that epoch; 0 without a fence.
 */
u64 orchfs_fences_floor(const struct orchfs_fences *f, u64 instance, u32 node)
{
	/* a table is empty as a rule */
	return f->nr ? max(fences_floor_of(f, instance, node),
			   fences_floor_of(f, 0, node)) : 0;
}

/**
 * orchfs_fences_expire() - drop those that no token is left for
 * @f: the table
 * @now_ms: the authority's clock
 */
void orchfs_fences_expire(struct orchfs_fences *f, u64 now_ms)
{
	struct orchfs_fence *fence;
	struct hlist_node *next;
	int i;

	if (!f->nr)
		return;
	hash_for_each_safe(f->heads, i, next, fence, link)
		if (fence->expiry_ms <= now_ms)
			fences_remove(f, fence);
}

/**
 * orchfs_fences_raise() - put a fence up, or higher
 * @f: the table
 * @fence: kmalloced; the table's from now on, or freed
 * @now_ms: the authority's clock
 *
 * One that is there already keeps the higher epoch and the later expiry.
 *
 * Return: 0, or -ENOSPC when the table is full of fences that are needed.
 */
int orchfs_fences_raise(struct orchfs_fences *f, struct orchfs_fence *fence,
			u64 now_ms)
{
	struct orchfs_fence *old = fences_find(f, fence->instance,
					       fence->node);

	if (old) {
		old->epoch = max(old->epoch, fence->epoch);
		old->expiry_ms = max(old->expiry_ms, fence->expiry_ms);
		kfree(fence);
		return 0;
	}
	if (f->nr >= ORCHFS_FENCES_MAX)
		orchfs_fences_expire(f, now_ms);
	if (f->nr >= ORCHFS_FENCES_MAX) {
		kfree(fence);
		return -ENOSPC;
	}
	hash_add(f->heads, &fence->link, fence->instance);
	f->nr++;
	return 0;
}
