// SPDX-License-Identifier: GPL-2.0-only
/*
 * Segments of layouts against a naive model, with layouts and damage chosen at
 * random; and the table of I/O modes.
 */
#include <kunit/test.h>
#include <linux/prandom.h>
#include <linux/random.h>

#include "iomode.h"
#include "layout_map.h"

#define ROUNDS	2000

static u64 random_u64(struct rnd_state *rnd)
{
	u64 high = prandom_u32_state(rnd);

	return high << 32 | prandom_u32_state(rnd);
}

static u32 random_layout(struct rnd_state *rnd, struct orchfs_segment *segs)
{
	u32 nr = 1 + prandom_u32_state(rnd) % ORCHFS_SEGMENTS_MAX;
	/* Small segments, or large ones; the last one takes the rest. */
	u64 most = prandom_u32_state(rnd) % 2 ? 16 : ORCHFS_LAYOUT_END / nr;
	u64 at = 0;
	u32 i;

	for (i = 0; i < nr; i++) {
		segs[i].offset = at;
		segs[i].length = i + 1 == nr ? ORCHFS_LAYOUT_END - at :
					       1 + random_u64(rnd) % most;
		segs[i].first_mirror = i;
		segs[i].nr_mirrors = 1;
		at += segs[i].length;
	}
	return nr;
}

/* A position that is likely to be near an edge. */
static u64 random_pos(struct rnd_state *rnd, const struct orchfs_segment *segs,
		      u32 nr)
{
	u64 pos = segs[prandom_u32_state(rnd) % nr].offset;

	switch (prandom_u32_state(rnd) % 4) {
	case 0:
		return pos;
	case 1:
		return pos ? pos - 1 : 0;
	case 2:
		return pos + prandom_u32_state(rnd) % 32;
	default:
		return random_u64(rnd) >> 1;
	}
}

static u64 naive_map(const struct orchfs_segment *segs, u32 nr, u64 pos,
		     u64 len, u32 *seg)
{
	u32 i;

	for (i = 0; i < nr; i++) {
		u64 end = segs[i].offset + segs[i].length;

		if (pos < segs[i].offset || pos >= end)
			continue;
		*seg = i;
		return min(len, end - pos);
	}
	return 0;
}

static void test_map(struct kunit *test)
{
	struct orchfs_segment segs[ORCHFS_SEGMENTS_MAX];
	u32 seed = get_random_u32();
	struct rnd_state rnd;
	unsigned int i;

	kunit_info(test, "seed %u", seed);
	prandom_seed_state(&rnd, seed);
	for (i = 0; i < ROUNDS; i++) {
		u32 nr = random_layout(&rnd, segs), seg = U32_MAX, want = 0;
		u64 pos = random_pos(&rnd, segs, nr);
		u64 len = random_u64(&rnd) >> prandom_u32_state(&rnd) % 64;
		u64 n = naive_map(segs, nr, pos, len, &want);
		const char *why;

		KUNIT_ASSERT_EQ(test, orchfs_layout_check(segs, nr, nr, &why),
				0);
		KUNIT_ASSERT_EQ(test, orchfs_layout_map(segs, nr, pos, len,
							&seg), n);
		if (n)
			KUNIT_ASSERT_EQ(test, seg, want);
	}
}

/* A walk over any range meets each byte once, in order. */
static void test_walk(struct kunit *test)
{
	struct orchfs_segment segs[ORCHFS_SEGMENTS_MAX];
	u32 seed = get_random_u32();
	struct rnd_state rnd;
	unsigned int i;

	kunit_info(test, "seed %u", seed);
	prandom_seed_state(&rnd, seed);
	for (i = 0; i < ROUNDS / 10; i++) {
		u32 nr = random_layout(&rnd, segs), seg, next = 0;
		u64 pos = 0, left = ORCHFS_LAYOUT_END, n;

		while ((n = orchfs_layout_map(segs, nr, pos, left, &seg))) {
			KUNIT_ASSERT_EQ(test, seg, next++);
			KUNIT_ASSERT_EQ(test, pos, segs[seg].offset);
			pos += n;
			left -= n;
		}
		KUNIT_EXPECT_EQ(test, left, 0);
		KUNIT_EXPECT_EQ(test, next, nr);
	}
}

static void test_map_edges(struct kunit *test)
{
	struct orchfs_segment one = {
		.length = ORCHFS_LAYOUT_END, .nr_mirrors = 1,
	};
	u32 seg;

	KUNIT_EXPECT_EQ(test, orchfs_layout_map(&one, 1, 0, 0, &seg), 0);
	KUNIT_EXPECT_EQ(test, orchfs_layout_map(&one, 1, 0, U64_MAX, &seg),
			ORCHFS_LAYOUT_END);
	KUNIT_EXPECT_EQ(test, orchfs_layout_map(&one, 1, ORCHFS_LAYOUT_END - 1,
						9, &seg), 1);
	KUNIT_EXPECT_EQ(test, orchfs_layout_map(&one, 1, ORCHFS_LAYOUT_END, 1,
						&seg), 0);
	KUNIT_EXPECT_EQ(test, orchfs_layout_map(&one, 1, U64_MAX, 1, &seg), 0);
}

/* Damage one member; what isn't a layout any more must be refused. */
static void damage(struct rnd_state *rnd, struct orchfs_segment *segs, u32 nr)
{
	struct orchfs_segment *s = &segs[prandom_u32_state(rnd) % nr];

	switch (prandom_u32_state(rnd) % 6) {
	case 0:
		s->length = 0;
		break;
	case 1:
		s->length += 1 + random_u64(rnd) % (U64_MAX - 1);
		break;
	case 2:
		s->offset += 1 + random_u64(rnd) % (U64_MAX - 1);
		break;
	case 3:
		s->nr_mirrors = 0;
		break;
	case 4:
		s->nr_mirrors = ORCHFS_MIRRORS_MAX + 1;
		break;
	case 5:
		s->first_mirror = nr + prandom_u32_state(rnd) % 8;
		break;
	}
}

static void test_check_damage(struct kunit *test)
{
	struct orchfs_segment segs[ORCHFS_SEGMENTS_MAX];
	u32 seed = get_random_u32();
	struct rnd_state rnd;
	unsigned int i;

	kunit_info(test, "seed %u", seed);
	prandom_seed_state(&rnd, seed);
	for (i = 0; i < ROUNDS; i++) {
		u32 nr = random_layout(&rnd, segs);
		const char *why = NULL;

		damage(&rnd, segs, nr);
		KUNIT_ASSERT_EQ(test, orchfs_layout_check(segs, nr, nr, &why),
				-EPROTO);
		KUNIT_ASSERT_NOT_NULL(test, why);
	}
}

static void test_check_edges(struct kunit *test)
{
	struct orchfs_segment segs[2] = {
		{ .length = ORCHFS_LAYOUT_END, .nr_mirrors = 4 },
	};
	const char *why;

	KUNIT_EXPECT_EQ(test, orchfs_layout_check(segs, 0, 0, &why), 0);
	KUNIT_EXPECT_EQ(test, orchfs_layout_check(segs, 1, 4, &why), 0);
	KUNIT_EXPECT_EQ(test, orchfs_layout_check(segs, 1, 3, &why), -EPROTO);
	segs[0].first_mirror = U32_MAX;
	KUNIT_EXPECT_EQ(test, orchfs_layout_check(segs, 1, 4, &why), -EPROTO);
	segs[0].first_mirror = 0;
	KUNIT_EXPECT_EQ(test, orchfs_layout_check(segs, 2, 8, &why), -EPROTO);
	KUNIT_EXPECT_EQ(test, orchfs_layout_check(segs, ORCHFS_SEGMENTS_MAX + 1,
						  8, &why), -EPROTO);
	segs[0].length--;
	KUNIT_EXPECT_EQ(test, orchfs_layout_check(segs, 1, 4, &why), -EPROTO);
}

#define NONE	ORCHFS_IOMODE_NONE
#define PASS	ORCHFS_IOMODE_PASSTHROUGH
#define CACHED	ORCHFS_IOMODE_CACHED

/* All that can happen, in all states. */
static const struct iomode_step {
	enum orchfs_iomode mode;
	unsigned int users;
	bool mapped;
	enum orchfs_iomode want;
	int ret;
} iomode_steps[] = {
	{ NONE,   0, false, PASS,   0 },
	{ NONE,   0, true,  PASS,   0 },
	{ NONE,   0, false, CACHED, 0 },
	{ NONE,   0, true,  CACHED, -EBUSY },
	{ PASS,   0, false, PASS,   0 },
	{ PASS,   1, true,  PASS,   0 },
	{ PASS,   0, false, CACHED, 0 },
	{ PASS,   1, false, CACHED, -EBUSY },
	{ PASS,   0, true,  CACHED, -EBUSY },
	{ CACHED, 0, false, PASS,   0 },
	{ CACHED, 1, false, PASS,   -EBUSY },
	{ CACHED, 0, true,  PASS,   -EBUSY },
	{ CACHED, 1, true,  CACHED, 0 },
	{ PASS,   0, false, NONE,   -EINVAL },
	{ PASS,   0, false, ORCHFS_NR_IOMODES, -EINVAL },
};

static void test_iomode_get(struct kunit *test)
{
	const struct iomode_step *t;

	for (t = iomode_steps; t < iomode_steps + ARRAY_SIZE(iomode_steps);
	     t++) {
		struct orchfs_iomode_state s = { t->mode, t->users };

		KUNIT_EXPECT_EQ_MSG(test,
				    orchfs_iomode_get(&s, t->want, t->mapped),
				    t->ret, "step %td", t - iomode_steps);
		KUNIT_EXPECT_EQ(test, s.users, t->users + !t->ret);
		KUNIT_EXPECT_EQ(test, s.mode, t->ret ? t->mode : t->want);
	}
}

static void test_iomode_life(struct kunit *test)
{
	struct orchfs_iomode_state s = {};

	KUNIT_EXPECT_EQ(test, orchfs_iomode_get(&s, PASS, false), 0);
	KUNIT_EXPECT_EQ(test, orchfs_iomode_reset(&s, false), -EBUSY);
	orchfs_iomode_put(&s);
	/* The mapping that the file left behind keeps the mode. */
	KUNIT_EXPECT_EQ(test, s.mode, PASS);
	KUNIT_EXPECT_EQ(test, orchfs_iomode_reset(&s, true), -EBUSY);
	KUNIT_EXPECT_EQ(test, orchfs_iomode_get(&s, CACHED, true), -EBUSY);
	KUNIT_EXPECT_EQ(test, orchfs_iomode_reset(&s, false), 0);
	KUNIT_EXPECT_EQ(test, s.mode, NONE);
}

static struct kunit_case layout_map_cases[] = {
	KUNIT_CASE(test_map),
	KUNIT_CASE(test_walk),
	KUNIT_CASE(test_map_edges),
	KUNIT_CASE(test_check_damage),
	KUNIT_CASE(test_check_edges),
	KUNIT_CASE(test_iomode_get),
	KUNIT_CASE(test_iomode_life),
	{}
};

static struct kunit_suite layout_map_suite = {
	.name = "orchfs-layout-map",
	.test_cases = layout_map_cases,
};

kunit_test_suite(layout_map_suite);
