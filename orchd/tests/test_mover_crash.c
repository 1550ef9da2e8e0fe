// SPDX-License-Identifier: Apache-2.0
/* A daemon that ends at each step of a move, and what the next makes of it. */
#include "mover_util.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>

#include "ctl.h"
#include "store.h"

static const char *const points[] = {
	"move-begun", "move-made", "move-copied", "move-verified",
	"move-switched", "move-swapped", "move-retired",
};
#define NR_POINTS	(sizeof(points) / sizeof(points[0]))

struct on {
	unsigned int file;
	uint32_t volume;
};

static void check_on(struct served *sv, void *arg)
{
	const struct on *o = arg;

	check_file(sv, o->file, o->volume);
}

/* In a process of its own: make the tree, begin, and end at the point. */
static void run_to(const char *point, bool drains)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		struct served *sv;
		struct begin b;
		uint64_t d;

		sv = start();
		in_ns(sv, make_tree, &d);
		faults(point);
		b = drains ? drain(sv, 1, 0) : move_to(sv, d, 2, 0);
		wait_for(sv, b.id, false);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 99)
		fail_msg("%s was not met: status %x", point, status);
}

static void find_inos(struct served *sv, void *arg)
{
	struct ns_move_entry e[8];
	uint64_t d;
	int n;

	(void)arg;
	assert_int_equal(ns_move_list(sv->ns, ORCHFS_ROOT_INO, 0, e, 8), 1);
	d = e[0].ino;
	n = ns_move_list(sv->ns, d, 0, e, 8);
	assert_int_equal(n, 4);
	for (int i = 0; i < n; i++) {
		char **p;
		size_t nr;

		assert_int_equal(ns_paths(sv->ns, e[i].ino, &p, &nr, 1), 0);
		if (S_ISREG(e[i].mode))
			inos[p[0][4] - '0'] = e[i].ino;
		else
			d = e[i].ino;
		free(p[0]);
		free(p);
	}
	assert_int_equal(ns_move_list(sv->ns, d, 0, e, 8), 2);
	for (int i = 0; i < 2; i++) {
		char **p;
		size_t nr;

		assert_int_equal(ns_paths(sv->ns, e[i].ino, &p, &nr, 1), 0);
		inos[p[0][6] - '0'] = e[i].ino;
		free(p[0]);
		free(p);
	}
}

static int count_part(void *ctx, const char *subdir, const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "v2/data/%.8s/%.60s", subdir, name);
	assert_int_equal(stat(sub(path), &st), 0);
	*(unsigned int *)ctx += !(st.st_mode & 07777);
	return 0;
}

/* Copies by their mode: one that isn't verified is told from one that is. */
static unsigned int parts_on_target(void)
{
	struct volume v = { .root_fd = open(sub("v2"), O_RDONLY) };
	unsigned int n = 0;

	assert_int_equal(backing_each(&v, count_part, &n), 0);
	close(v.root_fd);
	return n;
}

static unsigned int parts_at(const char *point)
{
	return !strcmp(point, "move-made") ? 1 :
	       !strcmp(point, "move-made:3") ? 3 :
	       !strcmp(point, "move-copied") ? FILES : 0;
}

static void test_crash_at(const char *point, bool drains)
{
	struct served *sv;
	struct ns_job j;

	make_namespace(0);
	run_to(point, drains);
	assert_int_equal(parts_on_target(), parts_at(point));
	faults("");
	sv = start();
	in_ns(sv, find_inos, NULL);
	j = wait_for(sv, 1, false);
	if (j.state != NS_JOB_DONE || j.moved != FILES)
		fail_msg("after %s: state %d, %llu moved", point, j.state,
			 (unsigned long long)j.moved);
	expect_all_on(sv, 2);
	assert_int_equal(new_file_on(sv), drains ? 2 : 1);
	stop(sv);
	remove_tree(dir);
	mkdir(dir, 0700);
}

/* Each point, met first and met later. */
static void test_crash(void **state)
{
	char point[64];

	(void)state;
	for (size_t i = 0; i < NR_POINTS; i++) {
		test_crash_at(points[i], false);
		test_crash_at(points[i], true);
		if (!strcmp(points[i], "move-begun") ||
		    !strcmp(points[i], "move-copied") ||
		    !strcmp(points[i], "move-verified"))
			continue;	/* once a batch */
		snprintf(point, sizeof(point), "%s:3", points[i]);
		test_crash_at(point, i % 2);
	}
}

/* The person cancelled, and then the daemon was killed. */
static void cancel_in_store(void)
{
	struct store *st = store_of_test(false);
	struct ns_job j = { 0 };
	struct ns *ns;

	assert_int_equal(ns_open(st, &pool_backing_ops, NULL, "boot", &ns,
				 NULL), 0);
	j.id = 1;
	j.ino = 0;
	j.cancel = true;
	j.volume = 2;
	assert_int_equal(ns_job_put(ns, &j), 0);
	assert_int_equal(ns_close(ns), 0);
	store_close(st);
}

static void tried_to_switch(struct served *sv, void *arg)
{
	const struct mover_file *f = mover_find(sv, 1)->waiting;

	assert_non_null(f);
	assert_int_equal(f->sm.state, MOVE_SWITCH);
	*(bool *)arg = f->retry_at;
}

/* Until what waits at switch has been tried, which needs no kernel. */
static void wait_for_try(struct served *sv)
{
	uint64_t end = now_ms() + WAIT_MS;
	bool tried = false;

	while (!tried) {
		assert_true(now_ms() < end);
		sync_wait(sv, atomic_load(&sv->last_txn));
		in_ns(sv, tried_to_switch, &tried);
	}
}

/* Both copies of what was at switch are there. */
static void both_there(struct served *sv, void *arg)
{
	struct ns_move *m = arg;
	struct ns_backing_stat s;

	assert_int_equal(ns_has_instance(sv->ns, m->from_volume, m->ino, 1,
					 m->from), 1);
	assert_int_equal(ns_has_instance(sv->ns, m->to_volume, m->ino, 1,
					 m->to), 1);
	assert_int_equal(volume_stat(served_volume(sv, 1), m->ino, 1, m->from,
				     &s), 0);
	assert_int_equal(s.size, SIZE);
}

static int copy_switch(void *ctx, const struct ns_move *m)
{
	if (m->step == NS_MOVE_SWITCH)
		*(struct ns_move *)ctx = *m;
	return 0;
}

/* What a daemon that was killed had at switch. */
static struct ns_move at_switch(void)
{
	struct store *st = store_of_test(false);
	struct ns_move m = { 0 };
	struct ns *ns;

	assert_int_equal(ns_open(st, &pool_backing_ops, NULL, "boot", &ns,
				 NULL), 0);
	assert_int_equal(ns_job_moves(ns, 1, 100, copy_switch, &m), 0);
	assert_true(m.to);
	assert_int_equal(ns_close(ns), 0);
	store_close(st);
	return m;
}

static void look_for_volumes(struct served *sv, void *arg)
{
	(void)arg;
	readmit_kick(sv);
}

static void open_to_read(struct served *sv, void *arg)
{
	struct op_req rq = { .kind = ORCHFS_KIND_OPEN };
	struct op_reply rep;
	int rc;

	rq.node = *(uint64_t *)arg;
	rc = execute(sv, &rq, &rep);
	assert_true(!rc || rc == -NS_PARKED);
	*(uint64_t *)arg = rc ? 0 : rep.layout.volume;
}

/* The volume that it is granted of; it may be parked for some seconds. */
static uint64_t opened_on(struct served *sv, uint64_t ino)
{
	uint64_t end = now_ms() + WAIT_MS, got = 0;

	while (!got) {
		assert_true(now_ms() < end);
		sync_wait(sv, atomic_load(&sv->last_txn));
		got = ino;
		in_ns(sv, open_to_read, &got);
	}
	return got;
}

/* A start in which the volume that files go to isn't there. */
static void test_target_away(void **state)
{
	struct served *sv;
	struct ns_move m;
	struct ns_job j;

	(void)state;
	make_namespace(0);
	run_to("move-switched", false);
	faults("");
	m = at_switch();
	assert_int_equal(rename(sub("v2"), sub("away")), 0);
	sv = start();
	in_ns(sv, find_inos, NULL);
	wait_for_try(sv);
	assert_int_equal(opened_on(sv, m.ino), 1);
	in_ns(sv, both_there, &m);
	assert_int_equal(rename(sub("away"), sub("v2")), 0);
	in_ns(sv, look_for_volumes, NULL);
	j = wait_for(sv, 1, false);
	assert_int_equal(j.state, NS_JOB_DONE);
	assert_int_equal(j.moved, FILES);
	expect_all_on(sv, 2);
	stop(sv);
}

static int lost_copy(void *ctx, const struct ns_move *m)
{
	assert_int_equal(m->step, NS_MOVE_LEFT);
	assert_int_equal(m->ino, *(uint64_t *)ctx);
	assert_string_equal(m->text, "its copy was lost");
	*(uint64_t *)ctx = 0;
	return 0;
}

static void left_for_lost(struct served *sv, void *arg)
{
	assert_int_equal(ns_job_moves(sv->ns, 1, 100, lost_copy, arg), 0);
	assert_int_equal(*(uint64_t *)arg, 0);
}

/* A copy that its drive has lost, or a part of it: the old file stays. */
static void test_copy_lost(void **state)
{
	char path[BACKING_PATH_MAX], file[512];

	(void)state;
	for (int cut = 0; cut < 2; cut++) {
		struct served *sv;
		struct ns_move m;
		struct ns_job j;

		make_namespace(0);
		run_to("move-switched:5", false);
		faults("");
		m = at_switch();
		backing_path(path, m.ino, m.version, m.to);
		snprintf(file, sizeof(file), "%s/v2/%s", dir, path);
		assert_int_equal(cut ? truncate(file, SIZE - 1) : unlink(file),
				 0);
		sv = start();
		in_ns(sv, find_inos, NULL);
		j = wait_for(sv, 1, false);
		assert_int_equal(j.state, NS_JOB_DONE);
		assert_int_equal(j.moved, FILES - 1);
		assert_int_equal(j.skipped, 1);
		check_clean(sv);
		for (unsigned int n = 0; n < FILES; n++)
			if (inos[n] == m.ino)
				in_ns(sv, check_on, &(struct on){ n, 1 });
		in_ns(sv, left_for_lost, &m.ino);
		stop(sv);
		remove_tree(dir);
		mkdir(dir, 0700);
	}
}

struct places {
	unsigned int at[3];
};

static void count_places(struct served *sv, void *arg)
{
	struct places *p = arg;

	for (unsigned int n = 0; n < FILES; n++) {
		struct ns_move_entry e;

		assert_int_equal(ns_move_stat(sv->ns, inos[n], &e), 0);
		p->at[e.volume]++;
		check_file(sv, n, e.volume);
	}
}

static void test_cancel_after_crash(void **state)
{
	(void)state;
	for (size_t i = 0; i < NR_POINTS; i++) {
		struct places p = { 0 };
		struct served *sv;
		struct ns_job j;

		make_namespace(0);
		run_to(points[i], false);
		faults("");
		cancel_in_store();
		sv = start();
		in_ns(sv, find_inos, NULL);
		j = wait_for(sv, 1, false);
		assert_int_equal(j.state, NS_JOB_CANCELLED);
		check_clean(sv);
		in_ns(sv, count_places, &p);
		/* only what had been retired stays where it was to go */
		assert_int_equal(p.at[2], !strcmp(points[i], "move-retired"));
		stop(sv);
		remove_tree(dir);
		mkdir(dir, 0700);
	}
}

static void all_stay(struct served *sv, void *arg)
{
	struct ns_move_entry e;

	(void)arg;
	for (unsigned int n = 0; n < FILES; n++) {
		assert_int_equal(ns_move_stat(sv->ns, inos[n], &e), 0);
		assert_int_equal(e.volume, 1);
	}
}

/* What a job was at can't be read: it fails, and all else is served. */
static void test_damaged_job(void **state)
{
	uint8_t key[17] = { 'J' }, bad[3] = { 0xff, 0xff, 0xff };
	struct store_batch *b;
	struct served *sv;
	struct store *st;
	struct ns_job j;
	uint64_t seq;

	(void)state;
	make_namespace(0);
	run_to("move-made", false);
	faults("");
	st = store_of_test(false);
	key[8] = 1;	/* the job; a file that sorts first */
	b = store_batch_new(st);
	store_put(b, (struct store_key){ key, sizeof(key) }, bad, sizeof(bad));
	assert_int_equal(store_commit(b, &seq), 0);
	store_batch_free(b);
	store_close(st);
	sv = start();
	in_ns(sv, find_inos, NULL);
	j = wait_for(sv, 1, false);
	assert_int_equal(j.state, NS_JOB_FAILED);
	assert_non_null(strstr(j.text, "fsck"));
	in_ns(sv, all_stay, NULL);
	stop(sv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_crash),
		TEST(test_damaged_job),
		TEST(test_cancel_after_crash),
		TEST(test_target_away),
		TEST(test_copy_lost),
	};

	return cmocka_run_group_tests_name("mover_crash", tests, NULL, NULL);
}
