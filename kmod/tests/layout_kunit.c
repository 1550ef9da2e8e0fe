// SPDX-License-Identifier: GPL-2.0-only
/*
 * Swap and drain: orders in which I/O, swaps, deadlines and closes can meet,
 * one by one, and then many at random. I/O is played by entering and leaving
 * the gate.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "layout.h"

#define RACERS		4
#define RACE_SWAPS	300
#define RACE_LAYOUTS	(RACE_SWAPS + 2)
#define FOREVER		(jiffies + 60 * HZ)
#define NOW		jiffies

static struct orchfs_layout *make(struct kunit *test, u64 generation,
				  u64 instance, bool writable)
{
	struct orchfs_layout *lay = orchfs_layout_alloc(!!instance, !!instance);

	KUNIT_ASSERT_NOT_NULL(test, lay);
	lay->generation = generation;
	lay->instance = instance;
	lay->writable = writable;
	if (instance)
		lay->segs[0] = (struct orchfs_segment){
			.length = ORCHFS_LAYOUT_END, .nr_mirrors = 1,
		};
	return lay;
}

/* What orchfs_layout_swap() does, without an inode. Consumes lay. */
static int swap_to(struct orchfs_open_inode *oi, struct orchfs_layout *lay,
		   unsigned long deadline)
{
	struct orchfs_swap s;
	int ret;

	mutex_lock(&oi->swap_lock);
	ret = orchfs_swap_begin(oi, lay, deadline, &s);
	if (!ret) {
		ret = orchfs_swap_drain(oi, &s, deadline);
		if (ret)
			orchfs_swap_abandon(oi, &s);
		else
			orchfs_swap_commit(oi, &s);
	}
	mutex_unlock(&oi->swap_lock);
	orchfs_layout_put(lay);
	return ret;
}

static u64 current_generation(struct orchfs_open_inode *oi)
{
	struct orchfs_layout *lay = orchfs_gate_layout(oi);
	u64 generation = lay->generation;

	orchfs_layout_put(lay);
	return generation;
}

/* Enter and drop the layout: the gate alone must be enough for I/O. */
static struct orchfs_gate *enter(struct kunit *test,
				 struct orchfs_open_inode *oi, u64 generation)
{
	struct orchfs_layout *lay;
	struct orchfs_gate *gate = orchfs_gate_enter(oi, &lay);

	KUNIT_EXPECT_EQ(test, lay->generation, generation);
	orchfs_layout_put(lay);
	return gate;
}

static int setup(struct kunit *test)
{
	struct orchfs_open_inode *oi = orchfs_oi_alloc();
	struct orchfs_layout *lay;

	KUNIT_ASSERT_NOT_NULL(test, oi);
	lay = make(test, 1, 7, true);
	orchfs_oi_start(oi, NULL, lay);
	orchfs_layout_put(lay);
	test->priv = oi;
	return 0;
}

static void teardown(struct kunit *test)
{
	orchfs_oi_free(test->priv);
}

static void test_idle(struct kunit *test)
{
	struct orchfs_open_inode *oi = test->priv;

	KUNIT_EXPECT_EQ(test, swap_to(oi, make(test, 2, 8, true), FOREVER), 0);
	KUNIT_EXPECT_EQ(test, current_generation(oi), 2);
	orchfs_gate_leave(enter(test, oi, 2));
}

static void test_generation_grows(struct kunit *test)
{
	struct orchfs_open_inode *oi = test->priv;

	KUNIT_EXPECT_EQ(test, swap_to(oi, make(test, 1, 8, true), FOREVER),
			-ESTALE);
	KUNIT_EXPECT_EQ(test, swap_to(oi, make(test, 5, 7, true), FOREVER), 0);
	KUNIT_EXPECT_EQ(test, swap_to(oi, make(test, 4, 7, true), FOREVER),
			-ESTALE);
	KUNIT_EXPECT_EQ(test, current_generation(oi), 5);
}

static void test_io_holds_swap(struct kunit *test)
{
	struct orchfs_open_inode *oi = test->priv;
	struct orchfs_gate *io = enter(test, oi, 1);

	KUNIT_EXPECT_EQ(test, swap_to(oi, make(test, 2, 7, true), NOW),
			-ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, current_generation(oi), 1);
	/* The old gate is back: more I/O, then less, then a swap that ends. */
	orchfs_gate_leave(enter(test, oi, 1));
	orchfs_gate_leave(io);
	KUNIT_EXPECT_EQ(test, swap_to(oi, make(test, 2, 7, true), FOREVER), 0);
	KUNIT_EXPECT_EQ(test, current_generation(oi), 2);
}

static void test_put_back_again_and_again(struct kunit *test)
{
	struct orchfs_open_inode *oi = test->priv;
	struct orchfs_gate *io = enter(test, oi, 1);
	int i;

	for (i = 0; i < 5; i++) {
		/* Time for the gate of the swap before, none for I/O. */
		KUNIT_EXPECT_EQ(test, swap_to(oi, make(test, 2 + i, 7, true),
					      jiffies + HZ / 10), -ETIMEDOUT);
		KUNIT_EXPECT_EQ(test, current_generation(oi), 1);
	}
	orchfs_gate_leave(io);
}

struct second {
	struct orchfs_open_inode *oi;
	struct orchfs_layout *lay;
	struct completion begun, ended;
	int ret;
};

static int second_swaps(void *arg)
{
	struct second *s = arg;

	complete(&s->begun);
	s->ret = swap_to(s->oi, s->lay, FOREVER);
	complete(&s->ended);
	return 0;
}

static int second_waits(void *arg)
{
	struct second *s = arg;

	complete(&s->begun);
	s->ret = orchfs_gate_wait(s->oi);
	complete(&s->ended);
	return 0;
}

static void second_start(struct kunit *test, struct second *s,
			 int (*fn)(void *arg))
{
	struct task_struct *task;

	init_completion(&s->begun);
	init_completion(&s->ended);
	task = kthread_run(fn, s, "orchfs-kunit");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	wait_for_completion(&s->begun);
}

static void test_last_io_ends_swap(struct kunit *test)
{
	struct orchfs_open_inode *oi = test->priv;
	struct orchfs_gate *io = enter(test, oi, 1);
	struct second s = { .oi = oi, .lay = make(test, 2, 7, true) };

	second_start(test, &s, second_swaps);
	/* New I/O gets the new layout while the old one is drained. */
	while (current_generation(oi) != 2)
		schedule_timeout_uninterruptible(1);
	orchfs_gate_leave(enter(test, oi, 2));
	KUNIT_EXPECT_FALSE(test, completion_done(&s.ended));
	orchfs_gate_leave(io);
	wait_for_completion(&s.ended);
	KUNIT_EXPECT_EQ(test, s.ret, 0);
}

static void test_abandoned_with_io(struct kunit *test)
{
	struct orchfs_open_inode *oi = test->priv;
	struct orchfs_layout *lay = make(test, 2, 7, true);
	struct orchfs_gate *old = enter(test, oi, 1), *new;
	struct orchfs_swap s;

	mutex_lock(&oi->swap_lock);
	KUNIT_ASSERT_EQ(test, orchfs_swap_begin(oi, lay, NOW, &s), 0);
	orchfs_layout_put(lay);
	new = enter(test, oi, 2);
	KUNIT_EXPECT_EQ(test, orchfs_swap_drain(oi, &s, NOW), -ETIMEDOUT);
	orchfs_swap_abandon(oi, &s);
	mutex_unlock(&oi->swap_lock);
	orchfs_gate_leave(old);

	/* I/O through the abandoned gate keeps the next swap waiting. */
	KUNIT_EXPECT_EQ(test, swap_to(oi, make(test, 3, 7, true), NOW),
			-ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, current_generation(oi), 1);
	orchfs_gate_leave(new);
	KUNIT_EXPECT_EQ(test, swap_to(oi, make(test, 3, 7, true), FOREVER), 0);
}

static void test_abandoned_then_closed(struct kunit *test)
{
	struct orchfs_open_inode *oi = test->priv;
	struct orchfs_gate *io = enter(test, oi, 1);

	KUNIT_EXPECT_EQ(test, swap_to(oi, make(test, 2, 8, true), NOW),
			-ETIMEDOUT);
	orchfs_gate_leave(io);
	/* The abandoned gate is freed by whoever comes last. */
}

static void test_held_while_draining(struct kunit *test)
{
	struct orchfs_open_inode *oi = test->priv;
	struct orchfs_gate *io = enter(test, oi, 1), *gate;
	struct second swapper = { .oi = oi, .lay = make(test, 2, 8, true) };
	struct second waiter = { .oi = oi };

	second_start(test, &swapper, second_swaps);
	while (current_generation(oi) != 2)
		schedule_timeout_uninterruptible(1);
	gate = enter(test, oi, 2);
	KUNIT_EXPECT_TRUE(test, READ_ONCE(gate->held));
	orchfs_gate_leave(gate);
	second_start(test, &waiter, second_waits);
	KUNIT_EXPECT_FALSE(test, completion_done(&waiter.ended));
	orchfs_gate_leave(io);
	wait_for_completion(&swapper.ended);
	wait_for_completion(&waiter.ended);
	KUNIT_EXPECT_EQ(test, swapper.ret, 0);
	KUNIT_EXPECT_EQ(test, waiter.ret, 0);
	gate = enter(test, oi, 2);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(gate->held));
	orchfs_gate_leave(gate);
}

static int second_settles(void *arg)
{
	struct second *s = arg;

	complete(&s->begun);
	s->ret = orchfs_gate_wait_settled(s->oi);
	complete(&s->ended);
	return 0;
}

/* Reads go on while a sealed version moves, but nothing is mapped meanwhile. */
static void test_unsettled_while_draining(struct kunit *test)
{
	struct orchfs_open_inode *oi = test->priv;
	struct orchfs_gate *io, *gate;
	struct second swapper = { .oi = oi, .lay = make(test, 3, 9, false) };
	struct second waiter = { .oi = oi };

	KUNIT_ASSERT_EQ(test, swap_to(oi, make(test, 2, 8, false), FOREVER), 0);
	io = enter(test, oi, 2);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(io->unsettled));
	second_start(test, &swapper, second_swaps);
	while (current_generation(oi) != 3)
		schedule_timeout_uninterruptible(1);
	gate = enter(test, oi, 3);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(gate->held));
	KUNIT_EXPECT_TRUE(test, READ_ONCE(gate->unsettled));
	orchfs_gate_leave(gate);
	second_start(test, &waiter, second_settles);
	KUNIT_EXPECT_FALSE(test, completion_done(&waiter.ended));
	orchfs_gate_leave(io);
	wait_for_completion(&swapper.ended);
	wait_for_completion(&waiter.ended);
	KUNIT_EXPECT_EQ(test, swapper.ret, 0);
	KUNIT_EXPECT_EQ(test, waiter.ret, 0);
	gate = enter(test, oi, 3);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(gate->unsettled));
	/* One that is abandoned leaves what was there, settled. */
	KUNIT_EXPECT_EQ(test, swap_to(oi, make(test, 4, 8, false), NOW),
			-ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, orchfs_gate_wait_settled(oi), 0);
	orchfs_gate_leave(gate);
}

static void test_sealed_isnt_held(struct kunit *test)
{
	struct orchfs_open_inode *oi = test->priv;
	struct orchfs_layout *lay = make(test, 3, 9, false);
	struct orchfs_swap s;

	KUNIT_ASSERT_EQ(test, swap_to(oi, make(test, 2, 8, false), FOREVER), 0);
	mutex_lock(&oi->swap_lock);
	KUNIT_ASSERT_EQ(test, orchfs_swap_begin(oi, lay, FOREVER, &s), 0);
	KUNIT_EXPECT_FALSE(test, s.new->held);
	KUNIT_EXPECT_EQ(test, orchfs_swap_drain(oi, &s, FOREVER), 0);
	orchfs_swap_commit(oi, &s);
	mutex_unlock(&oi->swap_lock);
	orchfs_layout_put(lay);
}

static void test_blocked(struct kunit *test)
{
	struct orchfs_open_inode *oi = test->priv;
	struct second s = { .oi = oi };

	KUNIT_ASSERT_EQ(test, swap_to(oi, make(test, 2, 0, true), FOREVER), 0);
	second_start(test, &s, second_waits);
	KUNIT_EXPECT_FALSE(test, completion_done(&s.ended));
	KUNIT_ASSERT_EQ(test, swap_to(oi, make(test, 3, 8, true), FOREVER), 0);
	wait_for_completion(&s.ended);
	KUNIT_EXPECT_EQ(test, s.ret, 0);
}

static void test_upgrade(struct kunit *test)
{
	struct orchfs_open_inode *oi = test->priv;
	struct orchfs_layout *lay = make(test, 2, 7, true);
	struct orchfs_gate *io = enter(test, oi, 1), *more;

	mutex_lock(&oi->swap_lock);
	orchfs_gate_upgrade(oi, lay);
	mutex_unlock(&oi->swap_lock);
	orchfs_layout_put(lay);
	more = enter(test, oi, 2);
	KUNIT_EXPECT_PTR_EQ(test, io, more);
	orchfs_gate_leave(more);
	/* I/O from before the upgrade is drained like any other. */
	KUNIT_EXPECT_EQ(test, swap_to(oi, make(test, 3, 7, true), NOW),
			-ETIMEDOUT);
	orchfs_gate_leave(io);
	KUNIT_EXPECT_EQ(test, swap_to(oi, make(test, 3, 7, true), FOREVER), 0);
}

static void test_references(struct kunit *test)
{
	struct orchfs_open_inode *oi = test->priv;
	struct orchfs_layout *lay = make(test, 2, 8, true);

	orchfs_layout_get(lay);
	KUNIT_ASSERT_EQ(test, swap_to(oi, lay, FOREVER), 0);
	KUNIT_EXPECT_EQ(test, refcount_read(&lay->refs), 2);
	KUNIT_ASSERT_EQ(test, swap_to(oi, make(test, 3, 8, true), FOREVER), 0);
	/* The gate is freed after a grace period, the layout with it. */
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, refcount_read(&lay->refs), 1);
	orchfs_layout_put(lay);
}

/**
 * struct race - many readers against one swapper
 * @inside: I/O under way by generation
 * @drained: no I/O may be seen in generations below
 */
struct race {
	struct orchfs_open_inode *oi;
	atomic_t inside[RACE_LAYOUTS + 1];
	atomic64_t drained;
	atomic_t faults;
	atomic64_t ios;
	bool stop;
	struct completion ended[RACERS];
	u32 seed;
};

struct racer {
	struct race *race;
	unsigned int nr;
};

static void race_io(struct race *r, struct rnd_state *rnd)
{
	struct orchfs_layout *lay;
	struct orchfs_gate *gate = orchfs_gate_enter(r->oi, &lay);
	u64 generation = lay->generation;
	bool closed = orchfs_layout_blocked(lay) || READ_ONCE(gate->held);

	orchfs_layout_put(lay);
	if (!closed) {
		atomic_inc(&r->inside[generation]);
		if (generation < atomic64_read(&r->drained))
			atomic_inc(&r->faults);
		if (!(prandom_u32_state(rnd) % 8))
			schedule();
		if (generation < atomic64_read(&r->drained))
			atomic_inc(&r->faults);
		atomic_dec(&r->inside[generation]);
		atomic64_inc(&r->ios);
	}
	orchfs_gate_leave(gate);
	if (closed && orchfs_gate_wait(r->oi))
		atomic_inc(&r->faults);
}

static int race_run(void *arg)
{
	struct racer *me = arg;
	struct race *r = me->race;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, r->seed + me->nr);
	while (!READ_ONCE(r->stop)) {
		race_io(r, &rnd);
		cond_resched();
	}
	complete(&r->ended[me->nr]);
	return 0;
}

static void race_check(struct kunit *test, struct race *r, u64 generation)
{
	u64 g;

	atomic64_set(&r->drained, generation);
	for (g = 0; g < generation; g++)
		KUNIT_EXPECT_EQ(test, atomic_read(&r->inside[g]), 0);
}

static void race_swaps(struct kunit *test, struct race *r)
{
	struct rnd_state rnd;
	unsigned int done = 0;
	bool blocked = false;
	u64 g;

	prandom_seed_state(&rnd, r->seed);
	for (g = 2; g < RACE_LAYOUTS; g++) {
		u32 dice = prandom_u32_state(&rnd);
		/* None, so blocked; or one of two, writable or not. */
		u64 instance = dice % 4 ? 7 + dice / 4 % 2 : 0;
		struct orchfs_layout *lay = make(test, g, instance,
						 dice / 8 % 2);
		bool brief = dice / 16 % 4 == 0;

		if (!swap_to(r->oi, lay, brief ? NOW : FOREVER)) {
			race_check(test, r, g);
			blocked = !instance;
			done++;
		} else {
			KUNIT_EXPECT_TRUE(test, brief);
		}
	}
	if (blocked)
		KUNIT_EXPECT_EQ(test, swap_to(r->oi, make(test, g, 7, true),
					      FOREVER), 0);
	kunit_info(test, "%u of %u swaps done, %lld I/Os", done,
		   RACE_SWAPS, atomic64_read(&r->ios));
}

static void test_race(struct kunit *test)
{
	struct race *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);
	struct racer racers[RACERS];
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, r);
	r->oi = test->priv;
	r->seed = get_random_u32();
	kunit_info(test, "seed %u", r->seed);
	for (i = 0; i < RACERS; i++) {
		struct task_struct *task;

		init_completion(&r->ended[i]);
		racers[i] = (struct racer){ .race = r, .nr = i };
		task = kthread_run(race_run, &racers[i], "orchfs-racer");
		KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	}
	race_swaps(test, r);
	WRITE_ONCE(r->stop, true);
	for (i = 0; i < RACERS; i++)
		wait_for_completion(&r->ended[i]);
	KUNIT_EXPECT_EQ(test, atomic_read(&r->faults), 0);
}

static struct kunit_case layout_cases[] = {
	KUNIT_CASE(test_idle),
	KUNIT_CASE(test_generation_grows),
	KUNIT_CASE(test_io_holds_swap),
	KUNIT_CASE(test_put_back_again_and_again),
	KUNIT_CASE(test_last_io_ends_swap),
	KUNIT_CASE(test_abandoned_with_io),
	KUNIT_CASE(test_abandoned_then_closed),
	KUNIT_CASE(test_held_while_draining),
	KUNIT_CASE(test_sealed_isnt_held),
	KUNIT_CASE(test_unsettled_while_draining),
	KUNIT_CASE(test_blocked),
	KUNIT_CASE(test_upgrade),
	KUNIT_CASE(test_references),
	KUNIT_CASE_SLOW(test_race),
	{}
};

static struct kunit_suite layout_suite = {
	.name = "orchfs-layout",
	.init = setup,
	.exit = teardown,
	.test_cases = layout_cases,
};

kunit_test_suite(layout_suite);
