// SPDX-License-Identifier: Apache-2.0
/* Drained volumes: where files go, what is told, how it is taken back. */
#include "mover_util.h"

static void test_drain(void **state)
{
	uint32_t volume = 1;
	struct served *sv;
	struct begin b;
	struct ns_job j;
	uint64_t d;

	(void)state;
	sv = start_with_tree(&d);
	assert_int_equal(new_file_on(sv), 1);
	b = drain(sv, 1, 0);
	assert_int_equal(b.rc, 0);
	assert_int_equal(new_file_on(sv), 2);
	j = wait_for(sv, b.id, false);
	assert_int_equal(j.state, NS_JOB_DONE);
	assert_int_equal(j.moved, FILES);
	assert_int_equal(j.bytes, FILES * SIZE);
	assert_non_null(strstr(j.text, "orchctl volume remove v1"));
	expect_all_on(sv, 2);
	in_ns(sv, no_instance, &volume);
	b = move_to(sv, d, 1, 0);
	assert_int_equal(b.rc, -EBUSY);
	assert_non_null(strstr(b.why, "being drained"));
	stop(sv);
	/* so it stays, until it is taken back */
	sv = start();
	assert_int_equal(new_file_on(sv), 2);
	assert_int_equal(undrain(sv, 1).rc, 0);
	assert_int_equal(undrain(sv, 1).rc, -EINVAL);
	assert_int_equal(new_file_on(sv), 1);
	b = drain(sv, 2, 0);
	j = wait_for(sv, b.id, false);
	assert_int_equal(j.moved, FILES);
	expect_all_on(sv, 1);
	stop(sv);
}

static void drain_text(struct served *sv, void *arg)
{
	mover_drain_text(sv, served_volume(sv, 1), arg);
}

/* Jobs that have ended come and go: one says why a volume gets no new files. */
static void other_jobs(struct served *sv, void *arg)
{
	struct ns_job j = { .ino = ORCHFS_ROOT_INO, .state = NS_JOB_DONE };

	(void)arg;
	strcpy(j.label, "another one");
	for (int i = 0; i < MOVER_KEPT + 10; i++)
		assert_int_equal(ns_job_new(sv->ns, &j), 0);
}

static void is_pruned(struct served *sv, void *arg)
{
	const struct mover_job *j = sv->mover->jobs;
	unsigned int n = 0;

	jobs_prune(sv);
	for (; j; j = j->next)
		n++;
	assert_int_equal(n, MOVER_KEPT);
	*(bool *)arg = mover_drain_of(sv, 1);
}

static void drop_job(struct served *sv, void *arg)
{
	assert_int_equal(ns_job_del(sv->ns, *(uint64_t *)arg), 0);
}

static void test_drain_told(void **state)
{
	char text[VOLUME_WHY];
	struct served *sv;
	struct begin b;
	bool told;
	uint64_t d;

	(void)state;
	sv = start_with_tree(&d);
	b = drain(sv, 1, 0);
	wait_for(sv, b.id, false);
	in_ns(sv, drain_text, text);
	assert_non_null(strstr(text, "volume v1 is drained"));
	in_ns(sv, other_jobs, NULL);
	stop(sv);
	sv = start();
	in_ns(sv, is_pruned, &told);
	assert_true(told);
	in_ns(sv, drain_text, text);
	assert_non_null(strstr(text, "volume v1 is drained"));
	/* an older daemon has pruned it */
	in_ns(sv, drop_job, &b.id);
	stop(sv);
	sv = start();
	in_ns(sv, drain_text, text);
	assert_null(strstr(text, "is drained"));
	assert_non_null(strstr(text, "orchctl volume drain v1 goes on"));
	assert_int_equal(undrain(sv, 1).rc, 0);
	assert_int_equal(new_file_on(sv), 1);
	stop(sv);
}

/* Given up in the middle: what was moved stays moved. */
static void test_drain_back(void **state)
{
	struct served *sv;
	struct begin b;
	struct ns_job j;
	uint64_t d;

	(void)state;
	sv = start_with_tree(&d);
	b = drain(sv, 1, 4096);
	assert_int_equal(b.rc, 0);
	wait_for(sv, b.id, true);
	assert_int_equal(drain(sv, 1, 0).rc, -EALREADY);
	assert_int_equal(drain(sv, 2, 0).rc, -ENOSPC);
	stop(sv);
	sv = start();
	j = wait_for(sv, b.id, true);
	assert_int_equal(j.state, NS_JOB_RUNNING);
	assert_int_equal(new_file_on(sv), 2);
	b = undrain(sv, 1);
	assert_int_equal(b.rc, 0);
	assert_int_equal(b.id, 1);
	assert_int_equal(new_file_on(sv), 1);
	j = wait_for(sv, b.id, false);
	assert_int_equal(j.state, NS_JOB_CANCELLED);
	expect_all_on(sv, 1);
	stop(sv);
}

static void forget_it(struct served *sv, void *arg)
{
	struct ns_note note = { .kind = ORCHFS_KIND_NOTE_FORGET };

	note.node = *(uint64_t *)arg;
	assert_int_equal(ns_note(sv->ns, 0, &note, 1), 0);
}

static void unlink_only(struct served *sv, void *arg)
{
	struct op_req rq = {
		.kind = ORCHFS_KIND_UNLINK, .node = *(uint64_t *)arg,
		.name = { "f0", 2 },
	};
	struct op_reply rep;

	assert_int_equal(execute(sv, &rq, &rep), 0);
}

static int one_left(void *ctx, const struct ns_move *m)
{
	if (m->step != NS_MOVE_LEFT)
		return 0;
	assert_int_equal(m->ino, inos[0]);
	assert_non_null(strstr(m->text, "deleted"));
	++*(int *)ctx;
	return 0;
}

static void look_left(struct served *sv, void *arg)
{
	struct mover_job *j = mover_find(sv, 1);
	int n = 0;

	assert_int_equal(ns_job_moves(sv->ns, 1, 100, one_left, &n), 0);
	*(bool *)arg = j->phase == JOB_WAIT && j->again_at && n == 1 &&
		       j->left == 1;
}

/* It waits for a file that somebody has open, and names it. */
static void test_drain_waits(void **state)
{
	uint64_t d, end = now_ms() + WAIT_MS;
	struct served *sv;
	bool waits = false;
	struct begin b;
	struct ns_job j;

	(void)state;
	sv = start_with_tree(&d);
	in_ns(sv, unlink_only, &d);
	b = drain(sv, 1, 0);
	assert_int_equal(b.rc, 0);
	while (!waits) {
		assert_true(now_ms() < end);
		sync_wait(sv, atomic_load(&sv->last_txn));
		in_ns(sv, look_left, &waits);
	}
	in_ns(sv, forget_it, &inos[0]);
	j = wait_for(sv, b.id, false);
	assert_int_equal(j.state, NS_JOB_DONE);
	assert_int_equal(j.moved, FILES - 1);
	assert_int_equal(j.skipped, 0);
	check_clean(sv);
	stop(sv);
}

static void test_drain_refused(void **state)
{
	struct served *sv;
	struct begin b;
	uint64_t d;

	(void)state;
	make_namespace(1ULL << 60);
	sv = start();
	in_ns(sv, make_tree, &d);
	b = drain(sv, 1, 0);
	assert_int_equal(b.rc, -ENOSPC);
	assert_non_null(strstr(b.why, "orchctl volume add"));
	assert_int_equal(new_file_on(sv), 1);
	assert_int_equal(undrain(sv, 1).rc, -EINVAL);
	stop(sv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_drain),
		TEST(test_drain_told),
		TEST(test_drain_back),
		TEST(test_drain_waits),
		TEST(test_drain_refused),
	};

	return cmocka_run_group_tests_name("mover_drain", tests, NULL, NULL);
}
