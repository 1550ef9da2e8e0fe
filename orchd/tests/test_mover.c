// SPDX-License-Identifier: Apache-2.0
/*
 * Moves between two volumes without the module: what is where afterwards, and
 * conflicts.
 */
#include "mover_util.h"

#include <sys/wait.h>

#include "arena.h"
#include "ctl.h"
#include "ns_cluster.h"

static void test_states(void **state)
{
	struct sm sm;
	pid_t pid;
	int st;

	(void)state;
	sm_init(&sm, move_states, MOVE_PLAN);
	for (unsigned int s = MOVE_COPY; s <= MOVE_DONE; s++) {
		assert_false(sm_final(&sm));
		sm_move(&sm, s);
		assert_int_equal(sm.state, s);
	}
	assert_true(sm_final(&sm));
	/* what is retired is neither failed nor cancelled any more */
	assert_int_equal(move_states[MOVE_RETIRE].next, SM_BIT(MOVE_DONE));
	for (unsigned int s = MOVE_PLAN; s < MOVE_RETIRE; s++)
		assert_true(move_states[s].next & SM_BIT(MOVE_FAILED) &&
			    move_states[s].next & SM_BIT(MOVE_CANCELLED));
	pid = fork();
	if (!pid) {
		sm_init(&sm, move_states, MOVE_PLAN);
		sm_move(&sm, MOVE_SWITCH);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFSIGNALED(st));
}

static void test_tree(void **state)
{
	struct served *sv;
	struct begin b;
	struct ns_job j;
	uint64_t d;

	(void)state;
	sv = start_with_tree(&d);
	b = move_to(sv, inos[1], 2, 0);
	assert_int_equal(b.rc, 0);
	j = wait_for(sv, b.id, false);
	assert_int_equal(j.state, NS_JOB_DONE);
	assert_int_equal(j.moved, 1);
	assert_int_equal(j.bytes, SIZE);
	assert_int_equal(move_to(sv, inos[1], 2, 0).rc, -EEXIST);
	b = move_to(sv, d, 2, 0);
	assert_int_equal(b.rc, 0);
	j = wait_for(sv, b.id, false);
	assert_int_equal(j.state, NS_JOB_DONE);
	assert_int_equal(j.moved, FILES - 1);
	assert_int_equal(j.there, 1);
	assert_int_equal(j.skipped, 0);
	expect_all_on(sv, 2);
	stop(sv);
	/* the other way round, after a restart */
	sv = start();
	expect_all_on(sv, 2);
	b = move_to(sv, ORCHFS_ROOT_INO, 1, 0);
	j = wait_for(sv, b.id, false);
	assert_int_equal(j.moved, FILES);
	expect_all_on(sv, 1);
	stop(sv);
}

/* A job whose first file is fenced when its target is @gone. */
struct too_late {
	struct begin b;
	bool (*gone)(struct volume *v, bool on);
};

static bool is_removed(struct volume *v, bool on)
{
	return v->removing = on;
}

static bool is_drained(struct volume *v, bool on)
{
	return v->rec.draining = on;
}

static void fenced_too_late(struct served *sv, void *arg)
{
	struct too_late *t = arg;
	struct begin *b = &t->b;
	struct ns_move m = { .ino = inos[0], .to_volume = 2 };
	struct volume *v = served_volume(sv, 2);
	struct mover_job *j;
	struct mover_file *f;
	uint32_t volume = 2;

	if (b->want.drain)
		begin_drain(sv, b);
	else
		begin_job(sv, b);
	assert_int_equal(b->rc, 0);
	j = mover_find(sv, b->id);
	m.job = b->id;
	j->phase = JOB_WALK;
	j->to = volume_get(v);
	f = j->batch[j->nr++] = file_new(j, &m);
	assert_int_equal(ns_move_watch(sv->ns, &f->m), 0);
	f->fenced = true;
	j->fencing = 1;
	t->gone(v, true);
	batch_fenced(j);
	assert_int_equal(j->nr, 0);
	no_instance(sv, &volume);
	t->gone(v, false);
	if (b->want.drain)
		j->phase = JOB_QUEUED;
}

static void job_too_late(struct served *sv, bool (*gone)(struct volume *, bool),
			 const char *text)
{
	struct too_late t = {
		.b.want = { .volume = 2, .ino = inos[0] }, .gone = gone,
	};
	struct ns_job j;

	strcpy(t.b.want.label, "it");
	in_ns(sv, fenced_too_late, &t);
	j = wait_for(sv, t.b.id, false);
	assert_int_equal(j.state, NS_JOB_FAILED);
	assert_non_null(strstr(j.text, text));
	expect_all_on(sv, 1);
}

static void drain_too_late(struct served *sv,
			   bool (*gone)(struct volume *, bool))
{
	struct too_late t = {
		.b.want = { .volume = 1, .drain = true }, .gone = gone,
	};
	struct ns_job j;

	strcpy(t.b.want.label, "drain");
	in_ns(sv, fenced_too_late, &t);
	j = wait_for(sv, t.b.id, false);
	assert_int_equal(j.state, NS_JOB_DONE);
	assert_int_equal(j.moved, FILES);
	expect_all_on(sv, 2);
}

static void test_target_removed(void **state)
{
	struct served *sv;
	uint64_t d;

	(void)state;
	sv = start_with_tree(&d);
	job_too_late(sv, is_removed, "volume v2 is being removed");
	drain_too_late(sv, is_removed);
	stop(sv);
}

static void test_target_drained(void **state)
{
	struct served *sv;
	uint64_t d;

	(void)state;
	sv = start_with_tree(&d);
	job_too_late(sv, is_drained, "volume v2 is being drained");
	drain_too_late(sv, is_drained);
	stop(sv);
}

/* A file that is missing is no answer of the kernel's. */
static void publish_missing(struct served *sv, void *arg)
{
	struct op_layout lay = {
		.version = 1, .instance = 999999, .volume = 1,
	};
	struct swap s = { 0 };

	(void)arg;
	assert_int_equal(nl_ops_layout_set(sv, &s, inos[0], &lay, 0), -EIO);
	assert_non_null(strstr(s.text, "volume v1: No such file"));
	assert_null(sv->swaps);
	lay.volume = 99;
	assert_int_equal(nl_ops_layout_set(sv, &s, inos[0], &lay, 0), -EIO);
}

static void test_missing(void **state)
{
	struct served *sv;
	uint64_t d;

	(void)state;
	sv = start_with_tree(&d);
	in_ns(sv, publish_missing, NULL);
	stop(sv);
}

static void open_for_writing(struct served *sv, void *arg)
{
	struct op_req rq = {
		.kind = ORCHFS_KIND_OPEN, .node = inos[0],
		.flags = ORCHFS_REQ_FLAG_WRITE,
	};
	struct op_reply rep;

	(void)arg;
	assert_int_equal(execute(sv, &rq, &rep), 0);
	assert_int_equal(rep.layout.volume, 1);
	assert_true(rep.layout.writable);
}

static void delete_it(struct served *sv, void *arg)
{
	struct op_req rq = {
		.kind = ORCHFS_KIND_UNLINK, .node = *(uint64_t *)arg,
		.name = { "f0", 2 },
	};
	struct ns_note note = {
		.kind = ORCHFS_KIND_NOTE_FORGET, .node = inos[0],
	};
	struct op_reply rep;

	assert_int_equal(execute(sv, &rq, &rep), 0);
	assert_int_equal(ns_note(sv->ns, 0, &note, 1), 0);
}

static void cancel_it(struct served *sv, void *arg)
{
	char why[VOLUME_WHY];

	assert_int_equal(mover_cancel(sv, *(uint64_t *)arg, why), 0);
}

/* A copy that takes minutes is met in the middle. */
static void test_meanwhile(void **state)
{
	struct served *sv;
	struct begin b, b2;
	struct ns_job j;
	uint64_t d;

	(void)state;
	sv = start_with_tree(&d);

	b = move_to(sv, inos[0], 2, 4096);
	assert_int_equal(b.rc, 0);
	wait_for(sv, b.id, true);
	b2 = move_to(sv, inos[0], 2, 0);
	assert_int_equal(b2.rc, -EBUSY);
	assert_non_null(strstr(b2.why, "job 1 is moving it"));
	in_ns(sv, open_for_writing, NULL);
	j = wait_for(sv, b.id, false);
	assert_int_equal(j.state, NS_JOB_FAILED);
	assert_non_null(strstr(j.text, "opened for writing"));
	expect_all_on(sv, 1);

	b = move_to(sv, inos[1], 2, 4096);
	wait_for(sv, b.id, true);
	in_ns(sv, cancel_it, &b.id);
	j = wait_for(sv, b.id, false);
	assert_int_equal(j.state, NS_JOB_CANCELLED);
	expect_all_on(sv, 1);

	b = move_to(sv, inos[0], 2, 4096);
	wait_for(sv, b.id, true);
	in_ns(sv, delete_it, &d);
	j = wait_for(sv, b.id, false);
	assert_int_equal(j.state, NS_JOB_FAILED);
	assert_non_null(strstr(j.text, "deleted"));
	check_clean(sv);
	stop(sv);
}

/* In a process of its own: what is registered once stays so. */
static bool cancel_lasts(void)
{
	Orchfs__Control__JobRef ref = ORCHFS__CONTROL__JOB_REF__INIT;
	Orchfs__Control__Request req = ORCHFS__CONTROL__REQUEST__INIT;
	struct ctl_call c = { .req = &req, .a = arena_new(), .fd = -1 };
	struct served *sv = start();
	struct begin b;
	uint64_t d, before;

	in_ns(sv, make_tree, &d);
	served_register(sv);
	b = move_to(sv, d, 2, 4096);
	wait_for(sv, b.id, true);
	ref.ns = "";
	ref.id = b.id;
	req.job_cancel = &ref;
	before = atomic_load(&sv->last_txn);
	return !ctl_job_cancel(&c) && store_durable(sv->st) > before;
}

/* A power cut forgets no cancel that was confirmed. */
static void test_cancel_durable(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	make_namespace(0);
	pid = fork();
	if (!pid)
		_exit(cancel_lasts() ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_no_room(void **state)
{
	struct served *sv;
	struct begin b;
	struct ns_job j;
	uint64_t d;

	(void)state;
	make_namespace(1ULL << 60);
	sv = start();
	in_ns(sv, make_tree, &d);
	b = move_to(sv, d, 2, 0);
	j = wait_for(sv, b.id, false);
	assert_int_equal(j.state, NS_JOB_FAILED);
	assert_non_null(strstr(j.text, "no room"));
	assert_int_equal(j.moved, 0);
	expect_all_on(sv, 1);
	assert_int_equal(move_to(sv, 999999, 2, 0).rc, -ENOENT);
	stop(sv);
}

/* A node of the last run may have files open: none is left for that. */
static void test_awaited(void **state)
{
	const struct ns_node first = { .number = 1, .name = "a" };
	struct ns_join join = { .name = "b" };
	const uint8_t ca[32] = { 1 };
	struct store *st;
	struct served *sv;
	struct begin b;
	struct ns_job j;
	uint64_t d, txn;
	uint32_t node;
	struct ns *ns;

	(void)state;
	sv = start_with_tree(&d);
	stop(sv);
	st = store_of_test(false);
	assert_int_equal(ns_open(st, &pool_backing_ops, NULL, "boot", &ns,
				 NULL), 0);
	assert_int_equal(ns_cluster_begin(ns, ca, &first), 0);
	assert_int_equal(ns_invite(ns, join.secret_sha256, 1, 0, 1), 0);
	assert_int_equal(ns_join(ns, &join, &node), 0);
	assert_int_equal(ns_node_leases(ns, node, 1000, &txn), 0);
	assert_int_equal(ns_close(ns), 0);
	store_close(st);
	sv = start();
	b = move_to(sv, d, 2, 0);
	j = wait_for(sv, b.id, false);
	assert_int_equal(j.state, NS_JOB_DONE);
	assert_int_equal(j.moved, FILES);
	assert_int_equal(j.skipped, 0);
	expect_all_on(sv, 2);
	stop(sv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_states),
		TEST(test_tree),
		TEST(test_target_removed),
		TEST(test_target_drained),
		TEST(test_missing),
		TEST(test_meanwhile),
		TEST(test_cancel_durable),
		TEST(test_no_room),
		TEST(test_awaited),
	};

	return cmocka_run_group_tests_name("mover", tests, NULL, NULL);
}
