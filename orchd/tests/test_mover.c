// SPDX-License-Identifier: Apache-2.0
/*
 * Moves between two volumes without the module: what is where afterwards,
 * conflicts, and a daemon that ends at each step.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "arena.h"
#include "ctl.h"
#include "fault.h"
#include "log.h"
#include "mover.h"

#define WAIT_MS		60000
#define FILES		5
#define SIZE		(300 * 1024)

static const uint8_t uuid[16] = "namespace-uuid--";
static const char *const points[] = {
	"move-begun", "move-made", "move-copied", "move-verified",
	"move-switched", "move-swapped", "move-retired",
};
#define NR_POINTS	(sizeof(points) / sizeof(points[0]))

static char dir[256];
static uint64_t inos[FILES];

static char *sub(const char *name)
{
	static char path[4][512];
	static int turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void make_volume(struct ns *ns, uint32_t id, uint64_t reserve)
{
	struct ns_volume r = { .id = id, .tier = id - 1, .reserve = reserve };
	struct marker m = { .volume = id };
	char why[VOLUME_WHY] = "";

	snprintf(r.name, sizeof(r.name), "v%u", id);
	snprintf(r.path, sizeof(r.path), "%.400s/%s", dir, r.name);
	memset(r.uuid, (int)id, 16);
	memcpy(m.ns_uuid, uuid, 16);
	strcpy(m.ns_name, "t");
	memset(m.volume_uuid, (int)id, 16);
	assert_int_equal(volume_make(r.path, &m, why), 0);
	assert_int_equal(ns_volume_put(ns, &r), 0);
}

static struct store *store_of_test(bool create)
{
	struct store_opts o = { .create = create };
	struct store *st = NULL;

	assert_int_equal(store_open("rocksdb", sub("t"), &o, &st, NULL), 0);
	return st;
}

static void faults(const char *point)
{
	char env[100];

	snprintf(env, sizeof(env), "any-fs%s%s", *point ? "," : "", point);
	setenv("ORCHD_FAULT", env, 1);
	fault_init();
}

static void make_namespace(uint64_t reserve)
{
	struct store *st;
	struct ns *ns;

	mkdir(sub("t"), 0700);
	st = store_of_test(true);
	assert_int_equal(ns_format(st, "t", uuid), 0);
	assert_int_equal(ns_open(st, &pool_backing_ops, NULL, "boot", &ns,
				 NULL), 0);
	make_volume(ns, 1, 0);
	make_volume(ns, 2, reserve);
	assert_int_equal(ns_close(ns), 0);
	store_close(st);
}

static int setup(void **state)
{
	(void)state;
	log_init(LOG_CRIT);
	strcpy(dir, "/var/tmp/orchd-mover-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	faults("");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remove_tree(dir);
	return 0;
}

static struct served *start(void)
{
	struct served *sv = served_new(sub("t"));
	char problem[VOLUME_WHY];
	uint64_t end = now_ms() + WAIT_MS;

	assert_non_null(sv);
	assert_int_equal(served_start(sv), 0);
	pthread_mutex_lock(&sv->lock);
	while (sv->state == SERVED_STARTING && now_ms() < end)
		pthread_cond_wait(&sv->changed, &sv->lock);
	pthread_mutex_unlock(&sv->lock);
	if (served_get_state(sv, problem, sizeof(problem)) != SERVED_WAITING)
		fail_msg("not served: %s", problem);
	return sv;
}

static void stop(struct served *sv)
{
	served_stop(sv);
	served_join(sv);
	served_free(sv);
}

/* Run fn(arg) in the namespace thread. */
struct call {
	struct job j;
	void (*fn)(struct served *sv, void *arg);
	void *arg;
};

static int call_run(struct served *sv, struct job *j)
{
	struct call *c = container_of(j, struct call, j);

	c->fn(sv, c->arg);
	return 0;
}

static void in_ns(struct served *sv, void (*fn)(struct served *, void *),
		  void *arg)
{
	struct call *c = job_new(sizeof(*c), call_run);

	c->fn = fn;
	c->arg = arg;
	assert_int_equal(served_call(sv, &c->j, 0), 0);
	job_put(&c->j);
}

/* In the namespace thread: until a file can be made. */
static void pool_wait(struct served *sv)
{
	struct pollfd p = { .fd = sv->queue.efd, .events = POLLIN };

	while (!pool_ready(sv)) {
		assert_int_equal(poll(&p, 1, 60000), 1);
		work_run(&sv->queue);
	}
}

static int execute(struct served *sv, const struct op_req *rq,
		   struct op_reply *rep)
{
	memset(rep, 0, sizeof(*rep));
	if (rq->kind == ORCHFS_KIND_CREATE)
		pool_wait(sv);
	ns_execute(sv->ns, rq, rep);
	arena_free(rep->arena);
	return rep->status;
}

static char byte_at(unsigned int file, size_t at)
{
	return (char)(file * 31 + at / 7 + 1);
}

/* A hole in the middle, so that there are two runs. */
static void fill(struct served *sv, unsigned int n, uint64_t instance)
{
	struct volume *v = served_volume(sv, 1);
	int fd = backing_open(v, inos[n], 1, instance);
	char *buf = malloc(SIZE);

	assert_true(fd >= 0);
	for (size_t i = 0; i < SIZE; i++)
		buf[i] = byte_at(n, i);
	assert_int_equal(pwrite(fd, buf, 65536, 0), 65536);
	assert_int_equal(pwrite(fd, buf + 131072, SIZE - 131072, 131072),
			 SIZE - 131072);
	free(buf);
	close(fd);
}

static void make_file(struct served *sv, uint64_t parent, unsigned int n)
{
	char name[16];
	struct op_req rq = {
		.kind = ORCHFS_KIND_CREATE, .node = parent,
		.name = { name, (size_t)snprintf(name, sizeof(name), "f%u",
						 n) },
		.mode = S_IFREG | 0644,
		.flags = ORCHFS_REQ_FLAG_LAYOUT | ORCHFS_REQ_FLAG_WRITE,
		.now = { .sec = 1000 },
	};
	struct ns_note note = { .kind = ORCHFS_KIND_NOTE_RETURN };
	struct op_reply rep;

	assert_int_equal(execute(sv, &rq, &rep), 0);
	assert_int_equal(rep.layout.volume, 1);
	inos[n] = rep.attr.ino;
	fill(sv, n, rep.layout.instance);
	note.node = inos[n];
	note.generation = rep.layout.generation;
	assert_int_equal(ns_note(sv->ns, 0, &note, 1), 0);
}

/* d/f0 d/f1 d/f2 d/e/f3 d/e/f4; *arg: d */
static void make_tree(struct served *sv, void *arg)
{
	struct op_req rq = {
		.kind = ORCHFS_KIND_CREATE, .node = ORCHFS_ROOT_INO,
		.name = { "d", 1 }, .mode = S_IFDIR | 0755,
	};
	struct op_reply rep;
	uint64_t *d = arg;

	assert_int_equal(execute(sv, &rq, &rep), 0);
	*d = rep.attr.ino;
	rq.node = *d;
	rq.name.s = "e";
	assert_int_equal(execute(sv, &rq, &rep), 0);
	for (unsigned int n = 0; n < FILES; n++)
		make_file(sv, n < 3 ? *d : rep.attr.ino, n);
}

struct begin {
	struct ns_job want;
	uint64_t id;
	int rc;
	char why[VOLUME_WHY];
};

static void begin_job(struct served *sv, void *arg)
{
	struct begin *b = arg;

	b->rc = mover_new(sv, &b->want, b->why, &b->id);
}

static struct begin move_to(struct served *sv, uint64_t ino, uint32_t volume,
			    uint64_t rate)
{
	struct begin b = {
		.want = { .ino = ino, .volume = volume, .rate = rate },
	};

	strcpy(b.want.label, "it");
	in_ns(sv, begin_job, &b);
	return b;
}

struct look {
	uint64_t id;
	struct ns_job rec;
	enum mover_phase phase;
	bool copying;
};

static void look_at(struct served *sv, void *arg)
{
	struct look *l = arg;
	struct mover_job *j = mover_find(sv, l->id);

	assert_non_null(j);
	l->rec = j->rec;
	l->phase = j->phase;
	l->copying = j->copying && atomic_load(&j->reading);
}

/* Until it has ended, or until it copies. */
static struct ns_job wait_for(struct served *sv, uint64_t id, bool copying)
{
	uint64_t end = now_ms() + WAIT_MS;
	struct look l = { .id = id };
	struct timespec t;

	for (;;) {
		in_ns(sv, look_at, &l);
		if (l.phase == JOB_ENDED || (copying && l.copying))
			return l.rec;
		if (now_ms() > end)
			fail_msg("job %llu does not end: phase %d",
				 (unsigned long long)id, (int)l.phase);
		clock_gettime(CLOCK_MONOTONIC, &t);
		t.tv_nsec += 20000000;
		if (t.tv_nsec >= 1000000000) {
			t.tv_nsec -= 1000000000;
			t.tv_sec++;
		}
		pthread_mutex_lock(&sv->lock);
		pthread_cond_timedwait(&sv->changed, &sv->lock, &t);
		pthread_mutex_unlock(&sv->lock);
	}
}

/* Exactly one instance, valid, on this volume, with the right bytes. */
static void check_file(struct served *sv, unsigned int n, uint32_t volume)
{
	uint64_t version, generation;
	struct ns_instance *list;
	struct stat st;
	size_t nr;
	char *buf;
	int fd;

	assert_int_equal(ns_where(sv->ns, inos[n], &version, &generation,
				  &list, &nr), 0);
	assert_int_equal(nr, 1);
	assert_int_equal(list->volume, volume);
	assert_int_equal(list->state, 1);
	fd = backing_open(served_volume(sv, volume), inos[n], 1,
			  list->instance);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_int_equal(st.st_mode & 07777, BACKING_MODE);
	assert_true(st.st_blocks * 512 < SIZE);
	buf = malloc(SIZE);
	assert_int_equal(pread(fd, buf, SIZE, 0), SIZE);
	for (size_t i = 0; i < SIZE; i++) {
		bool hole = i >= 65536 && i < 131072;

		if (buf[i] != (hole ? 0 : byte_at(n, i)))
			fail_msg("file %u differs at %zu", n, i);
	}
	free(buf);
	close(fd);
	free(list);
}

static int count_one(void *ctx, const char *subdir, const char *name)
{
	struct served *sv = ((void **)ctx)[0];
	struct volume *v = ((void **)ctx)[1];
	uint64_t ino, version, instance;

	(void)subdir;
	assert_true(backing_parse(name, &ino, &version, &instance));
	if (!pool_has(v, ino, instance) &&
	    ns_has_instance(sv->ns, v->rec.id, ino, version, instance) != 1)
		fail_msg("%s of volume %s is known to nobody", name,
			 v->rec.name);
	return 0;
}

static void deletions_left(struct served *sv, void *arg)
{
	struct ns_deletion d;

	deleter_kick(sv);
	*(int *)arg = ns_deletions(sv->ns, 0, &d, 1);
}

/* No file on a volume that no record names. */
static void check_unknown(struct served *sv, void *arg)
{
	struct volume *v;

	(void)arg;
	for (v = sv->volumes; v; v = v->next)
		if (!v->pool_busy)
			assert_int_equal(backing_each(v, count_one,
					(void *[]){ sv, v }), 0);
	assert_int_equal(sv->damaged, 0);
}

static void check_clean(struct served *sv)
{
	uint64_t end = now_ms() + WAIT_MS;
	int left = 1;

	while (left) {
		assert_true(now_ms() < end);
		sync_wait(sv, atomic_load(&sv->last_txn));
		in_ns(sv, deletions_left, &left);
	}
	in_ns(sv, check_unknown, NULL);
}

static void check_all(struct served *sv, void *arg)
{
	for (unsigned int n = 0; n < FILES; n++)
		check_file(sv, n, *(uint32_t *)arg);
}

struct on {
	unsigned int file;
	uint32_t volume;
};

static void check_on(struct served *sv, void *arg)
{
	const struct on *o = arg;

	check_file(sv, o->file, o->volume);
}

static void expect_all_on(struct served *sv, uint32_t volume)
{
	check_clean(sv);
	in_ns(sv, check_all, &volume);
}

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

static struct served *start_with_tree(uint64_t *dir)
{
	struct served *sv;

	make_namespace(0);
	sv = start();
	in_ns(sv, make_tree, dir);
	return sv;
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

static void begin_drain(struct served *sv, void *arg)
{
	struct begin *b = arg;

	b->rc = mover_drain(sv, &b->want, b->why, &b->id);
}

static struct begin drain(struct served *sv, uint32_t volume, uint64_t rate)
{
	struct begin b = { .want = { .volume = volume, .rate = rate } };

	strcpy(b.want.label, "drain");
	in_ns(sv, begin_drain, &b);
	return b;
}

static void undrain_it(struct served *sv, void *arg)
{
	struct begin *b = arg;

	b->rc = mover_undrain(sv, served_volume(sv, b->want.volume), b->why,
			      &b->id);
}

static struct begin undrain(struct served *sv, uint32_t volume)
{
	struct begin b = { .want = { .volume = volume } };

	in_ns(sv, undrain_it, &b);
	return b;
}

/* Which volume a new file gets; it goes again. *arg: how it is called. */
static void new_file(struct served *sv, void *arg)
{
	struct op_req rq = {
		.kind = ORCHFS_KIND_CREATE, .node = ORCHFS_ROOT_INO,
		.name = { "new", 3 }, .mode = S_IFREG | 0644,
		.flags = ORCHFS_REQ_FLAG_LAYOUT | ORCHFS_REQ_FLAG_WRITE,
	};
	struct ns_note note = { .kind = ORCHFS_KIND_NOTE_FORGET };
	struct op_reply rep;

	assert_int_equal(execute(sv, &rq, &rep), 0);
	*(uint32_t *)arg = rep.layout.volume;
	note.node = rep.attr.ino;
	rq.kind = ORCHFS_KIND_UNLINK;
	assert_int_equal(execute(sv, &rq, &rep), 0);
	assert_int_equal(ns_note(sv->ns, 0, &note, 1), 0);
}

static uint32_t new_file_on(struct served *sv)
{
	uint32_t volume;

	in_ns(sv, new_file, &volume);
	return volume;
}

static void no_instance(struct served *sv, void *arg)
{
	uint64_t count;

	assert_int_equal(ns_volume_instances(sv->ns, *(uint32_t *)arg, &count),
			 0);
	assert_int_equal(count, 0);
}

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_states, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tree, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drain_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drain_back, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_drain_waits, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_drain_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_target_removed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_target_drained, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crash, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_job, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_cancel_after_crash, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_target_away, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_copy_lost, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_meanwhile, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_cancel_durable, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
