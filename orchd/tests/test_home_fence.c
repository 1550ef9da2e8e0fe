// SPDX-License-Identifier: Apache-2.0
/* Fences at the homes of volumes, and what homes refuse to hear. */
#include "home_impl.h"
#include "home_util.h"

#include <poll.h>

#include "data.h"

/* Allocations of that size fail; 0: none. */
static size_t no_memory;

void *__real_calloc(size_t nr, size_t size);
void *__wrap_calloc(size_t nr, size_t size);
void *__wrap_calloc(size_t nr, size_t size)
{
	return no_memory && nr * size == no_memory ? NULL :
	       __real_calloc(nr, size);
}

static void test_fence(void **state)
{
	uint64_t f, gf;

	(void)state;
	home_ready();
	attach(C);
	f = make(C, "f", &gf);
	assert_false(home_fencing(&sv, C));
	link_down(C);
	/* B renews, C doesn't */
	seconds(6);
	attach(B);
	seconds(6);
	assert_true(home_fencing(&sv, C));
	assert_int_equal(find(B, PEER_BODY(FENCE))->f->fence->node, C);
	assert_true(dirty(f));
	link_down(B);
	attach(B);
	assert_true(home_fencing(&sv, C));
	give_done(find(B, PEER_BODY(FENCE)));
	assert_false(home_fencing(&sv, C));
}

/* The clock of what is tried again is the machine's. */
static void wait_for(uint32_t node, int body)
{
	for (int ms = 0; !count(node, body); ms += 10) {
		assert_in_range(ms, 0, 20000);
		poll(NULL, 0, 10);
		turn();
	}
}

static void out_of_memory(struct asked *a)
{
	give(a, NULL, -ENOMEM);
	turn();
}

/* Which daemon is behind a new link isn't known, nor what it has heard. */
static void test_fence_again(void **state)
{
	size_t fence, volumes;

	(void)state;
	home_ready();
	attach(C);
	link_down(C);
	seconds(6);
	attach(B);
	seconds(6);
	give_done(find(B, PEER_BODY(FENCE)));
	assert_false(home_fencing(&sv, C));
	link_down(B);
	attach(B);
	assert_int_equal(find(B, PEER_BODY(FENCE))->f->fence->node, C);
	/* it has them before it serves */
	fence = (size_t)(find(B, PEER_BODY(FENCE)) - asked);
	volumes = (size_t)(find(B, PEER_BODY(VOLUMES)) - asked);
	assert_true(fence < volumes);
	/* refused: not at once again */
	out_of_memory(find(B, PEER_BODY(FENCE)));
	assert_int_equal(count(B, PEER_BODY(FENCE)), 0);
	wait_for(B, PEER_BODY(FENCE));
	give_done(find(B, PEER_BODY(FENCE)));
	/* and none that all tokens have outlived */
	link_down(B);
	clock_ms += DATA_TOKEN_MS;
	attach(B);
	assert_int_equal(count(B, PEER_BODY(FENCE)), 0);
}

/* What a home refuses to hear is told again. */
static void test_told_again(void **state)
{
	(void)state;
	attach(B);
	out_of_memory(find(B, PEER_BODY(VOLUMES)));
	assert_int_equal(count(B, PEER_BODY(VOLUMES)), 0);
	wait_for(B, PEER_BODY(VOLUMES));
	give_done(find(B, PEER_BODY(VOLUMES)));
	turn();
	assert_int_equal(count(B, PEER_BODY(VOLUMES)), 0);
}

/* Nothing is given away before there was memory for the fence. */
static void test_fence_no_memory(void **state)
{
	uint64_t f, gf;

	(void)state;
	home_ready();
	attach(C);
	f = make(C, "f", &gf);
	link_down(C);
	seconds(6);
	attach(B);
	no_memory = sizeof(struct home_fence);
	seconds(6);
	assert_int_equal(count(B, PEER_BODY(FENCE)), 0);
	assert_true(home_fencing(&sv, C));
	assert_true(dirty(f));
	no_memory = 0;
	turn();
	give_done(find(B, PEER_BODY(FENCE)));
	assert_false(home_fencing(&sv, C));
}

/* A home that has nothing mounted serves all the same. */
static void test_fence_bare(void **state)
{
	uint64_t f, gf;

	(void)state;
	home_ready();
	attach(C);
	f = make(C, "f", &gf);
	over(B);
	attach_bare(B);
	assert_false(home_session(&sv, B));
	attach(C);
	link_down(C);
	over(C);
	assert_true(home_fencing(&sv, C));
	assert_int_equal(find(B, PEER_BODY(FENCE))->f->fence->node, C);
	/* and no longer than its kernel believes what it heard */
	link_down(B);
	seconds(9);
	assert_true(home_fencing(&sv, C));
	seconds(3);
	assert_false(home_fencing(&sv, C));
	assert_true(dirty(f));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, home_setup, home_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_fence),
		CASE(test_fence_again),
		CASE(test_told_again),
		CASE(test_fence_no_memory),
		CASE(test_fence_bare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
