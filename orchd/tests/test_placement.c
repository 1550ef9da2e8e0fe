// SPDX-License-Identifier: Apache-2.0
/* Which volume a new file gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "placement.h"

#define GB	(1ULL << 30)

static struct placement volume(uint32_t tier, uint64_t free_bytes,
			       uint64_t reserve)
{
	return (struct placement) {
		.usable = true, .ready = true, .tier = tier,
		.size = 1000 * GB, .free = free_bytes, .inodes = 1000000,
		.reserve = reserve,
	};
}

static void test_room(void **state)
{
	struct placement p = volume(0, 10 * GB, 0);

	(void)state;
	assert_int_equal(placement_room(&p), PLACEMENT_ROOM);
	p.free = 65 << 20;
	assert_int_equal(placement_room(&p), PLACEMENT_ROOM);
	p.free = 64 << 20;
	assert_int_equal(placement_room(&p), PLACEMENT_TIGHT);
	/* without a reserve its last bytes may be used */
	p.free = 0;
	assert_int_equal(placement_room(&p), PLACEMENT_TIGHT);
	p = volume(0, 10 * GB, 10 * GB);
	assert_int_equal(placement_room(&p), PLACEMENT_FULL);
	p.free++;
	assert_int_equal(placement_room(&p), PLACEMENT_TIGHT);
	p.free = 11 * GB;
	assert_int_equal(placement_room(&p), PLACEMENT_ROOM);
	p.inodes = 0;
	assert_int_equal(placement_room(&p), PLACEMENT_TIGHT);
	/* the margin of a small one is a part of it */
	p = volume(0, 4 << 20, 0);
	p.size = 128 << 20;
	assert_int_equal(placement_room(&p), PLACEMENT_ROOM);
}

static void test_order(void **state)
{
	struct placement none[1], p[3];

	(void)state;
	assert_int_equal(placement_take(none, 0), -1);
	assert_int_equal(placement_wanted(none, 0), -1);
	/* the lowest tier, however little it has */
	p[0] = volume(1, 900 * GB, 0);
	p[1] = volume(0, GB, 0);
	p[2] = volume(2, 900 * GB, 0);
	assert_int_equal(placement_take(p, 3), 1);
	/* unless it has no more than a margin above its reserve */
	p[1].free = 1 << 20;
	assert_int_equal(placement_take(p, 3), 0);
	p[1] = volume(0, 50 * GB, 50 * GB);
	assert_int_equal(placement_take(p, 3), 0);
	p[1].reserve = 49 * GB;
	assert_int_equal(placement_take(p, 3), 1);
	p[1].inodes = 0;
	assert_int_equal(placement_take(p, 3), 0);
	p[0].usable = false;
	assert_int_equal(placement_take(p, 3), 2);
	/* where all are tight the tier counts again */
	p[0] = volume(1, 1 << 20, 0);
	p[1] = volume(0, 1 << 20, 0);
	p[2] = volume(2, 1 << 20, 0);
	assert_int_equal(placement_take(p, 3), 1);
	/* a reserve is kept, even if nothing else is left */
	p[1].reserve = 1 << 20;
	assert_int_equal(placement_take(p, 3), 0);
	p[0].usable = p[2].usable = false;
	assert_int_equal(placement_take(p, 3), -1);
	assert_int_equal(placement_wanted(p, 3), -1);
}

static void test_ready(void **state)
{
	struct placement p[2] = { volume(0, GB, 0), volume(1, GB, 0) };

	(void)state;
	p[0].ready = false;
	assert_int_equal(placement_wanted(p, 2), 0);
	assert_int_equal(placement_take(p, 2), 1);
	assert_false(placement_same_rank(&p[0], &p[1]));
	p[1].tier = 0;
	assert_true(placement_same_rank(&p[0], &p[1]));
	p[1].ready = false;
	assert_int_equal(placement_take(p, 2), -1);
}

/* Files go where there is space, and never many in a row to one place. */
static void test_proportion(void **state)
{
	struct placement p[3] = {
		volume(0, 100 * GB, 0), volume(0, 350 * GB, 50 * GB),
		volume(0, 600 * GB, 0),
	};
	unsigned int got[3] = { 0 }, row = 0, longest = 0;
	int last = -1;

	(void)state;
	assert_int_equal(placement_take(p, 3), 2);
	got[2]++;
	for (int i = 1; i < 1000; i++) {
		int n = placement_take(p, 3);

		assert_in_range(n, 0, 2);
		got[n]++;
		row = n == last ? row + 1 : 1;
		longest = row > longest ? row : longest;
		last = n;
	}
	assert_int_equal(got[0], 100);
	assert_int_equal(got[1], 300);
	assert_int_equal(got[2], 600);
	assert_in_range(longest, 1, 3);
}

/* One that was away has earned nothing meanwhile. */
static void test_no_burst(void **state)
{
	struct placement p[2] = { volume(0, 10 * GB, 0), volume(0, 10 * GB, 0) };
	unsigned int got[2] = { 0 };

	(void)state;
	p[1].usable = false;
	for (int i = 0; i < 100; i++)
		assert_int_equal(placement_take(p, 2), 0);
	p[1].usable = true;
	for (int i = 0; i < 10; i++)
		got[placement_take(p, 2)]++;
	assert_int_equal(got[0], 5);
	assert_int_equal(got[1], 5);
}

/* Against the rule said in another way, over random tables. */
static void test_random(void **state)
{
	unsigned int seed = getenv("ORCH_SEED") ?
		(unsigned int)atoi(getenv("ORCH_SEED")) : 1;

	(void)state;
	print_message("seed %u\n", seed);
	srandom(seed);
	for (int round = 0; round < 20000; round++) {
		size_t nr = (size_t)random() % 6;
		struct placement p[6];
		int n;

		for (size_t i = 0; i < nr; i++) {
			p[i] = volume((uint32_t)random() % 3,
				      (uint64_t)(random() % 200) << 20,
				      (uint64_t)(random() % 100) << 20);
			p[i].usable = random() % 4;
			p[i].ready = random() % 4;
			p[i].inodes = (uint64_t)random() % 3;
			p[i].credit = random() % 1000;
		}
		n = placement_take(p, nr);
		for (size_t i = 0; i < nr; i++) {
			if (!p[i].usable || !p[i].ready ||
			    placement_room(&p[i]) == PLACEMENT_FULL)
				continue;
			assert_true(n >= 0);
			assert_true(placement_room(&p[i]) >=
				    placement_room(&p[n]));
			if (placement_room(&p[i]) == placement_room(&p[n]))
				assert_true(p[i].tier >= p[n].tier);
		}
		if (n >= 0)
			assert_true(p[n].usable && p[n].ready &&
				    placement_room(&p[n]) != PLACEMENT_FULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_ready),
		cmocka_unit_test(test_proportion),
		cmocka_unit_test(test_no_burst),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
