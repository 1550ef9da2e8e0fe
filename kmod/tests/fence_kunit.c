// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fences: random ones against a list that is read from end to end.
 */
#include <kunit/test.h>
#include <linux/prandom.h>
#include <linux/slab.h>

#include "fence.h"

static int raise(struct orchfs_fences *f, u64 instance, u32 node, u64 epoch,
		 u64 expiry_ms, u64 now_ms)
{
	struct orchfs_fence *fence = kzalloc(sizeof(*fence), GFP_KERNEL);

	if (!fence)
		return -ENOMEM;
	fence->instance = instance;
	fence->node = node;
	fence->epoch = epoch;
	fence->expiry_ms = expiry_ms;
	return orchfs_fences_raise(f, fence, now_ms);
}

static void test_floor(struct kunit *test)
{
	struct orchfs_fences *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, f);
	orchfs_fences_init(f);
	KUNIT_EXPECT_EQ(test, orchfs_fences_floor(f, 1, 1), 0ULL);
	KUNIT_EXPECT_EQ(test, raise(f, 1, 1, 5, 100, 0), 0);
	KUNIT_EXPECT_EQ(test, orchfs_fences_floor(f, 1, 1), 5ULL);
	KUNIT_EXPECT_EQ(test, orchfs_fences_floor(f, 1, 2), 0ULL);
	KUNIT_EXPECT_EQ(test, orchfs_fences_floor(f, 2, 1), 0ULL);
	KUNIT_EXPECT_EQ(test, raise(f, 1, 0, 7, 100, 0), 0);
	KUNIT_EXPECT_EQ(test, orchfs_fences_floor(f, 1, 1), 7ULL);
	KUNIT_EXPECT_EQ(test, orchfs_fences_floor(f, 1, 2), 7ULL);
	/* never back */
	KUNIT_EXPECT_EQ(test, raise(f, 1, 0, 3, 50, 0), 0);
	KUNIT_EXPECT_EQ(test, orchfs_fences_floor(f, 1, 2), 7ULL);
	KUNIT_EXPECT_EQ(test, f->nr, 2U);
	/* of a node, whatever the instance */
	KUNIT_EXPECT_EQ(test, raise(f, 0, 2, 9, 50, 0), 0);
	KUNIT_EXPECT_EQ(test, orchfs_fences_floor(f, 1, 2), 9ULL);
	KUNIT_EXPECT_EQ(test, orchfs_fences_floor(f, 3, 2), 9ULL);
	KUNIT_EXPECT_EQ(test, orchfs_fences_floor(f, 1, 1), 7ULL);
	orchfs_fences_exit(f);
	KUNIT_EXPECT_EQ(test, f->nr, 0U);
}

#define INSTANCES	20
#define NODES		5

static void test_model(struct kunit *test)
{
	struct orchfs_fences *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	u64 model[INSTANCES][NODES] = {}, want;
	struct rnd_state rnd;
	u32 i, n, node;
	u64 epoch;

	KUNIT_ASSERT_NOT_NULL(test, f);
	orchfs_fences_init(f);
	prandom_seed_state(&rnd, 17);
	for (n = 0; n < 20000; n++) {
		i = prandom_u32_state(&rnd) % INSTANCES;
		node = prandom_u32_state(&rnd) % NODES;
		epoch = prandom_u32_state(&rnd) % 1000;
		if (n % 3 == 0) {
			KUNIT_ASSERT_EQ(test, raise(f, i, node, epoch, 1, 0),
					0);
			model[i][node] = max(model[i][node], epoch);
			continue;
		}
		want = max(max(model[i][node], model[i][0]),
			   max(model[0][node], model[0][0]));
		KUNIT_ASSERT_EQ(test, orchfs_fences_floor(f, i, node), want);
	}
	orchfs_fences_exit(f);
}

static void test_full(struct kunit *test)
{
	struct orchfs_fences *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	u64 i;

	KUNIT_ASSERT_NOT_NULL(test, f);
	orchfs_fences_init(f);
	for (i = 0; i < ORCHFS_FENCES_MAX; i++)
		KUNIT_ASSERT_EQ(test, raise(f, i, 1, 1, i < 10 ? 5 : 9, 1), 0);
	KUNIT_EXPECT_EQ(test, raise(f, i, 1, 1, 9, 4), -ENOSPC);
	/* an old one may still be raised, and ten have had their time */
	KUNIT_EXPECT_EQ(test, raise(f, 20, 1, 2, 9, 4), 0);
	KUNIT_EXPECT_EQ(test, raise(f, i, 1, 1, 9, 5), 0);
	KUNIT_EXPECT_EQ(test, f->nr, (u32)ORCHFS_FENCES_MAX - 9);
	KUNIT_EXPECT_EQ(test, orchfs_fences_floor(f, 9, 1), 0ULL);
	KUNIT_EXPECT_EQ(test, orchfs_fences_floor(f, 20, 1), 2ULL);
	orchfs_fences_exit(f);
}

static struct kunit_case fence_cases[] = {
	KUNIT_CASE(test_floor),
	KUNIT_CASE(test_model),
	KUNIT_CASE(test_full),
	{}
};

static struct kunit_suite fence_suite = {
	.name = "orchfs-fence",
	.test_cases = fence_cases,
};

kunit_test_suite(fence_suite);
