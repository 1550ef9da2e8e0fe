// SPDX-License-Identifier: Apache-2.0
/*
 * A namespace that is served without the module: what a start finds on its
 * volumes, volumes that come back, the sync thread, and a failing barrier.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
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

#include <linux/netlink.h>

#include "arena.h"
#include "ctl.h"
#include "export.h"
#include "fault.h"
#include "log.h"
#include "proto/store.pb-c.h"
#include "served.h"
#include "store_impl.h"

#define WAIT_MS		20000

static const uint8_t uuid[16] = "namespace-uuid--";
static const char other_boot[] = "00000000-0000-0000-0000-000000000000";
static char dir[256];

static char *sub(const char *name)
{
	static char path[4][512];
	static int turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static struct ns_volume volume_rec(uint32_t id)
{
	struct ns_volume r = { .id = id };

	snprintf(r.name, sizeof(r.name), "v%u", id);
	snprintf(r.path, sizeof(r.path), "%.400s/%s", dir, r.name);
	memset(r.uuid, (int)id, 16);
	return r;
}

static void make_volume(struct ns *ns, uint32_t id)
{
	struct ns_volume r = volume_rec(id);
	struct marker m = { .volume = id };
	char why[VOLUME_WHY] = "";

	memcpy(m.ns_uuid, uuid, 16);
	strcpy(m.ns_name, "t");
	memset(m.volume_uuid, (int)id, 16);
	assert_int_equal(volume_make(r.path, &m, why), 0);
	assert_int_equal(ns_volume_put(ns, &r), 0);
}

static struct store *open_store(bool create)
{
	struct store_opts o = { .create = create };
	struct store *st = NULL;

	assert_int_equal(store_open("rocksdb", sub("t"), &o, &st, NULL), 0);
	return st;
}

/* A namespace with volumes v1 and v2, last used in @boot. */
static int setup(void **state)
{
	struct store *st;
	struct ns *ns;

	(void)state;
	log_init(LOG_CRIT);
	strcpy(dir, "/var/tmp/orchd-served-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	setenv("ORCHD_FAULT", "any-fs", 1);
	fault_init();
	mkdir(sub("t"), 0700);
	st = open_store(true);
	assert_int_equal(ns_format(st, "t", uuid), 0);
	assert_int_equal(ns_open(st, &pool_backing_ops, NULL, other_boot, &ns,
				 NULL), 0);
	make_volume(ns, 1);
	make_volume(ns, 2);
	assert_int_equal(ns_close(ns), 0);
	store_close(st);
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
	uint64_t end = now_ms() + WAIT_MS;

	assert_non_null(sv);
	assert_int_equal(served_start(sv), 0);
	pthread_mutex_lock(&sv->lock);
	while (sv->state == SERVED_STARTING && now_ms() < end)
		pthread_cond_wait(&sv->changed, &sv->lock);
	pthread_mutex_unlock(&sv->lock);
	return sv;
}

static void stop(struct served *sv)
{
	served_stop(sv);
	served_join(sv);
	served_free(sv);
}

/* Work that takes until it may end. */
struct stuck {
	struct work w;
	sem_t begun, end;
};

static void stuck_run(struct work *w)
{
	struct stuck *s = container_of(w, struct stuck, w);

	sem_post(&s->begun);
	sem_wait(&s->end);
}

static void test_pause(void **state)
{
	struct served *sv = start();
	struct stuck s = { .w.run = stuck_run };
	char why[VOLUME_WHY] = "";

	(void)state;
	sem_init(&s.begun, 0, 0);
	sem_init(&s.end, 0, 0);
	if (served_pause(sv, now_ms() + WAIT_MS, why, sizeof(why)))
		fail_msg("%s", why);
	served_resume(sv);
	work_post(&sv->flusher.worker.q, &s.w);
	sem_wait(&s.begun);
	assert_int_equal(served_pause(sv, now_ms() + 200, why, sizeof(why)),
			 -EBUSY);
	assert_non_null(strstr(why, "written back"));
	served_resume(sv);
	assert_false(sv->pausing);
	sem_post(&s.end);
	assert_int_equal(served_pause(sv, now_ms() + WAIT_MS, why,
				      sizeof(why)), 0);
	stop(sv);
	sem_destroy(&s.begun);
	sem_destroy(&s.end);
}

struct ask {
	struct job j;
	uint32_t volume;
	char problem[VOLUME_WHY];
	bool online, kick, commit;
	bool doubt, mark;
	int root_fd;
	uint32_t taken;			/* volume of a new file */
	bool busy;			/* with a round begun before */
	uint64_t quarantined, damaged, txn, rounds;
	uint64_t exported;
	bool exporting;
	bool unflushed;			/* something that was written is lost */
};

/* In the namespace thread: until that volume has files made ahead. */
static void pool_wait(struct served *sv, uint32_t volume)
{
	struct pollfd p = { .fd = sv->queue.efd, .events = POLLIN };

	while (!served_volume(sv, volume)->pool_nr) {
		assert_int_equal(poll(&p, 1, 60000), 1);
		work_run(&sv->queue);
	}
}

static int ask_run(struct served *sv, struct job *j)
{
	struct ask *a = container_of(j, struct ask, j);
	struct volume *v = served_volume(sv, a->volume);
	struct ns_backing file;

	a->busy = sv->readmit.busy;
	a->rounds = sv->readmit.rounds;
	if (a->kick)
		readmit_kick(sv);
	if (a->commit)
		assert_int_equal(ns_volume_put(sv->ns, &v->rec), 0);
	if (a->mark) {
		assert_int_equal(store_barrier(sv->st), 0);
		assert_int_equal(marker_update(v, sv, store_durable(sv->st)),
				 0);
	}
	if (a->doubt) {
		pool_wait(sv, 1);
		volume_error(v, -EIO);
		health_tick(sv);
		assert_true(pool_ready(sv, 0));
		assert_int_equal(pool_backing_ops.take(sv, 0, &file), 0);
		a->taken = file.volume;
	}
	a->root_fd = v->root_fd;
	a->online = volume_online(v);
	strcpy(a->problem, v->problem);
	a->quarantined = v->quarantined;
	a->damaged = sv->damaged;
	a->txn = ns_txn(sv->ns);
	a->exported = sv->exporter.txn;
	a->unflushed = sv->flusher.lost;
	a->exporting = sv->exporter.wanted || sv->exporter.busy;
	return 0;
}

static struct ask *ask_it(struct served *sv, struct ask what)
{
	static struct ask copy;
	struct ask *a = job_new(sizeof(*a), ask_run);

	memcpy((char *)a + sizeof(a->j), (char *)&what + sizeof(what.j),
	       sizeof(what) - sizeof(what.j));
	assert_int_equal(served_call(sv, &a->j, 0), 0);
	/* but the job, whose other reference is still being dropped */
	memcpy((char *)&copy + sizeof(copy.j), (char *)a + sizeof(a->j),
	       sizeof(copy) - sizeof(copy.j));
	job_put(&a->j);
	return &copy;
}

static struct ask *ask_for(struct served *sv, uint32_t volume, bool kick,
			   bool commit)
{
	return ask_it(sv, (struct ask) {
		.volume = volume, .kick = kick, .commit = commit,
	});
}

static struct ask *ask(struct served *sv, uint32_t volume, bool kick)
{
	return ask_for(sv, volume, kick, false);
}

/* Look again at refused volumes, and wait for the end of that. */
static struct ask *look_again(struct served *sv, uint32_t volume)
{
	struct ask *a;
	bool busy;

	do {
		a = ask(sv, volume, true);
		busy = a->busy;
		if (a->online)
			return a;
		pthread_mutex_lock(&sv->lock);
		while (sv->readmit.rounds == a->rounds)
			pthread_cond_wait(&sv->changed, &sv->lock);
		pthread_mutex_unlock(&sv->lock);
	} while (busy);
	return ask(sv, volume, false);
}

struct flush {
	struct work w;
	sem_t done;
};

static void flush_run(struct work *w)
{
	sem_post(&container_of(w, struct flush, w)->done);
}

/* What the deleter's thread was given is done: the markers of the start. */
static void deleter_flush(struct served *sv)
{
	struct flush f = { .w.run = flush_run };

	sem_init(&f.done, 0, 0);
	assert_true(work_post(&sv->deleter.worker.q, &f.w));
	sem_wait(&f.done);
	sem_destroy(&f.done);
}

/* What can't be read stands for a drive that fails. */
static void test_lost(void **state)
{
	struct ask doubt = { .volume = 2, .doubt = true };
	struct served *sv = start();
	uint64_t end = now_ms() + WAIT_MS;
	struct ask *a;

	(void)state;
	assert_true(ask(sv, 2, false)->online);
	deleter_flush(sv);
	/* its marker becomes newer than the store was at the start */
	assert_int_equal(ask_it(sv, (struct ask) {
		.volume = 2, .commit = true, .mark = true })->root_fd < 0, 0);
	/* no error, or one of no matter, and nothing happens */
	a = ask_it(sv, doubt);
	assert_int_equal(a->taken, 1);
	assert_false(a->unflushed);
	assert_int_equal(rename(sub("v2/.orchfs-volume"), sub("marker")), 0);
	assert_int_equal(mkdir(sub("v2/.orchfs-volume"), 0700), 0);
	do {
		a = ask_it(sv, doubt);
		assert_int_equal(a->taken, 1);
	} while ((a->online || a->root_fd >= 0) && now_ms() < end);
	assert_false(a->online);
	assert_int_equal(a->root_fd, -1);
	assert_non_null(strstr(a->problem, "v2"));
	assert_int_equal(access(sub("t/sweep.2"), F_OK), 0);
	assert_true(a->unflushed);
	assert_true(ask(sv, 1, false)->online);
	assert_false(look_again(sv, 2)->online);
	/* back, with a file of before that nobody knows */
	assert_int_equal(rmdir(sub("v2/.orchfs-volume")), 0);
	assert_int_equal(rename(sub("marker"), sub("v2/.orchfs-volume")), 0);
	mkdir(sub("v2/data/09"), 0700);
	close(open(sub("v2/data/09/9ab.1.3"), O_WRONLY | O_CREAT, 0600));
	a = look_again(sv, 2);
	assert_true(a->online);
	assert_string_equal(a->problem, "");
	assert_int_equal(a->quarantined, 1);
	assert_int_equal(access(sub("t/sweep.2"), F_OK), -1);
	stop(sv);
}

static void copy_marker(uint32_t from, uint32_t to)
{
	struct ns_volume a = volume_rec(from), b = volume_rec(to);
	struct marker m;
	int fd = open(a.path, O_RDONLY | O_DIRECTORY);

	assert_int_equal(marker_read(fd, &m), 0);
	close(fd);
	fd = open(b.path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(marker_write(fd, &m), 0);
	close(fd);
}

static void test_comes_back(void **state)
{
	struct served *sv;
	struct ask *a;

	(void)state;
	assert_int_equal(rename(sub("v2"), sub("away")), 0);
	sv = start();
	assert_int_equal(served_get_state(sv, NULL, 0), SERVED_WAITING);
	assert_true(ask(sv, 1, false)->online);
	a = ask(sv, 2, false);
	assert_false(a->online);
	assert_non_null(strstr(a->problem, "v2"));
	/* an empty directory is not the drive */
	assert_int_equal(mkdir(sub("v2"), 0700), 0);
	assert_false(look_again(sv, 2)->online);
	assert_int_equal(rmdir(sub("v2")), 0);
	/* that of another volume isn't either, and nothing is touched */
	assert_int_equal(rename(sub("away"), sub("v2")), 0);
	a = look_again(sv, 2);
	assert_true(a->online);
	assert_string_equal(a->problem, "");
	stop(sv);
}

static void test_cloned(void **state)
{
	struct served *sv;
	struct ask *a;

	(void)state;
	assert_int_equal(rename(sub("v2"), sub("real")), 0);
	assert_int_equal(mkdir(sub("v2"), 0700), 0);
	copy_marker(1, 2);
	sv = start();
	a = ask(sv, 1, false);
	assert_false(a->online);
	assert_non_null(strstr(a->problem, "same marker"));
	assert_false(ask(sv, 2, false)->online);
	a = look_again(sv, 1);
	assert_false(a->online);
	assert_non_null(strstr(a->problem, "same marker"));
	assert_int_equal(rename(sub("v2"), sub("clone")), 0);
	assert_int_equal(access(sub("clone/data"), F_OK), -1);
	assert_true(look_again(sv, 1)->online);
	assert_int_equal(rename(sub("real"), sub("v2")), 0);
	assert_true(look_again(sv, 2)->online);
	stop(sv);
}

/* A stop may cut an export short; the one that it makes itself is for all. */
static void test_export_cut(void **state)
{
	uint64_t end = now_ms() + WAIT_MS, seq[3];
	struct export_file *list;
	struct served *sv;
	struct ask *a;
	size_t nr;
	int fd;

	(void)state;
	setenv("ORCHD_FAULT", "any-fs,cut-export:2", 1);
	fault_init();
	sv = start();
	do {
		assert_true(now_ms() < end);
		a = ask_for(sv, 1, false, false);
	} while (a->exporting);
	assert_int_equal(a->exported, 0);
	stop(sv);
	for (int i = 1; i <= 2; i++) {
		fd = open(sub(i == 1 ? "v1" : "v2"), O_RDONLY | O_DIRECTORY);
		assert_int_equal(export_list(fd, &list, &nr), 0);
		assert_true(nr > 0);
		seq[i] = list[0].seq;
		free(list);
		close(fd);
	}
	assert_int_equal(seq[1], seq[2]);
}

static void test_newer_store(void **state)
{
	static const struct store_key super = { "Ssuper", 6 };
	struct store *st = open_store(false);
	char problem[VOLUME_WHY];
	Orchfs__Store__Super *m;
	struct store_batch *b;
	struct served *sv;
	uint8_t buf[512];
	uint64_t seq;
	size_t len;
	void *p;

	(void)state;
	assert_int_equal(store_get(st, NULL, super, &p, &len), 0);
	m = orchfs__store__super__unpack(NULL, len, p);
	m->format = ns_newest_format() + 1;
	b = store_batch_new(st);
	store_put(b, super, buf, orchfs__store__super__pack(m, buf));
	assert_int_equal(store_commit(b, &seq), 0);
	store_batch_free(b);
	orchfs__store__super__free_unpacked(m, NULL);
	free(p);
	store_close(st);
	sv = start();
	assert_int_equal(served_get_state(sv, problem, sizeof(problem)),
			 SERVED_REFUSED);
	assert_non_null(strstr(problem, "newer orchfs: upgrade orchd"));
	stop(sv);
}

static void raise_marker(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY);
	struct marker m;

	assert_int_equal(marker_read(fd, &m), 0);
	m.durable_txn = 1000000;
	assert_int_equal(marker_write(fd, &m), 0);
	close(fd);
}

static void test_older_store(void **state)
{
	char problem[VOLUME_WHY];
	struct served *sv;
	struct ask *a;

	(void)state;
	raise_marker(sub("v2"));
	sv = start();
	assert_int_equal(served_get_state(sv, problem, sizeof(problem)),
			 SERVED_REFUSED);
	assert_non_null(strstr(problem, "older than"));
	stop(sv);
	/* one that comes later is refused alone */
	assert_int_equal(rename(sub("v2"), sub("away")), 0);
	sv = start();
	assert_int_equal(rename(sub("away"), sub("v2")), 0);
	a = look_again(sv, 2);
	assert_false(a->online);
	assert_non_null(strstr(a->problem, "old copy"));
	assert_true(ask(sv, 1, false)->online);
	stop(sv);
}

static int take_pool(void *ctx, uint32_t origin, struct ns_backing *out)
{
	static uint64_t next = 100;

	(void)ctx;
	(void)origin;
	*out = (struct ns_backing) {
		.ino = next, .instance = next, .volume = 1,
	};
	next++;
	return 0;
}

static int no_stat(void *ctx, uint32_t v, uint64_t i, uint64_t w, uint64_t n,
		   struct ns_backing_stat *s)
{
	(void)ctx, (void)v, (void)i, (void)w, (void)n;
	memset(s, 0, sizeof(*s));
	return 0;
}

static int no_write(struct store *st, const struct store_buf *ops)
{
	(void)st, (void)ops;
	return -EIO;
}

/* A file that lost its contents, one nobody knows, and no orderly stop. */
static void power_cut(void)
{
	static const struct ns_backing_ops ops = {
		.take = take_pool, .stat = no_stat,
	};
	struct op_req rq = {
		.kind = ORCHFS_KIND_CREATE, .node = ORCHFS_ROOT_INO,
		.name = { "lost", 4 }, .mode = S_IFREG | 0644,
		.now = { .sec = 1 },
	};
	struct op_reply rep = { 0 };
	struct store *st = open_store(false);
	const struct store_ops *good = st->ops;
	struct store_ops bad = *good;
	struct ns *ns;
	int fd;

	assert_int_equal(ns_open(st, &ops, NULL, other_boot, &ns, NULL), 0);
	ns_execute(ns, &rq, &rep);
	assert_int_equal(rep.status, 0);
	assert_int_equal(store_barrier(st), 0);
	arena_free(rep.arena);
	/* so that no clean flag is written */
	bad.write = no_write;
	st->ops = &bad;
	assert_int_equal(ns_close(ns), -EIO);
	st->ops = good;
	store_close(st);
	mkdir(sub("v1/data/07"), 0700);
	fd = open(sub("v1/data/07/7ab.1.9"), O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "data", 4), 4);
	close(fd);
}

static void test_sweep(void **state)
{
	struct served *sv;
	struct ask *a;

	(void)state;
	assert_int_equal(rename(sub("v2"), sub("away")), 0);
	power_cut();
	sv = start();
	a = ask(sv, 1, false);
	assert_true(a->online);
	assert_int_equal(a->quarantined, 1);
	assert_int_equal(a->damaged, 1);
	assert_int_equal(access(sub("v1/quarantine/7ab.1.9"), F_OK), 0);
	/* the one that was away still owes its sweep, and pays it online */
	assert_int_equal(access(sub("t/sweep.1"), F_OK), -1);
	assert_int_equal(access(sub("t/sweep.2"), F_OK), 0);
	assert_int_equal(mkdir(sub("away/data/09"), 0700), 0);
	close(open(sub("away/data/09/9ab.1.3"), O_WRONLY | O_CREAT, 0600));
	assert_int_equal(rename(sub("away"), sub("v2")), 0);
	a = look_again(sv, 2);
	assert_true(a->online);
	assert_int_equal(a->quarantined, 1);
	assert_int_equal(access(sub("t/sweep.2"), F_OK), -1);
	stop(sv);
}

/* Others are served between the steps of a sweep. */
static void test_sweep_steps(void **state)
{
	unsigned int between = 0;
	char name[64];
	struct served *sv;
	struct ask *a;
	uint64_t rounds;

	(void)state;
	assert_int_equal(rename(sub("v2"), sub("away")), 0);
	power_cut();
	sv = start();
	assert_int_equal(mkdir(sub("away/data/09"), 0700), 0);
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "away/data/09/9ab.1.%x", i + 16);
		close(open(sub(name), O_WRONLY | O_CREAT, 0600));
	}
	assert_int_equal(rename(sub("away"), sub("v2")), 0);
	rounds = ask(sv, 2, true)->rounds;
	do {
		a = ask(sv, 2, false);
		if (a->online && !access(sub("t/sweep.2"), F_OK))
			between++;
	} while (a->rounds == rounds);
	assert_true(between > 1);
	assert_true(a->online);
	assert_int_equal(a->quarantined, 5000);
	assert_int_equal(access(sub("t/sweep.2"), F_OK), -1);
	stop(sv);
}

/* In the namespace thread: both have no file left, one fails in some way. */
static int empty_run(struct served *sv, struct job *j)
{
	struct pollfd p = { .fd = sv->queue.efd, .events = POLLIN };
	struct ns_backing file;
	struct volume *v;

	(void)j;
	for (v = sv->volumes; v; v = v->next) {
		while (v->pool_busy || v->look_busy || !v->pool_nr) {
			assert_int_equal(poll(&p, 1, 60000), 1);
			work_run(&sv->queue);
		}
		v->pool_nr = 0;
		v->rec.draining = v->rec.id == 2;
	}
	v = served_volume(sv, 1);
	volume_error(v, -EIO);
	assert_false(v->pool_busy);
	/* there is space, so who wants one waits for the look */
	assert_false(pool_ready(sv, 0));
	health_tick(sv);
	while (v->look_busy) {
		assert_false(pool_ready(sv, 0));
		assert_int_equal(poll(&p, 1, 60000), 1);
		work_run(&sv->queue);
	}
	while (!pool_ready(sv, 0)) {
		assert_int_equal(poll(&p, 1, 60000), 1);
		work_run(&sv->queue);
	}
	assert_int_equal(pool_backing_ops.take(sv, 0, &file), 0);
	assert_int_equal(file.volume, 1);
	return 0;
}

/* The only volume is in doubt, and has no file left. */
static void test_doubt(void **state)
{
	struct served *sv = start();
	struct job *j = job_new(sizeof(*j), empty_run);

	(void)state;
	assert_non_null(j);
	assert_int_equal(served_call(sv, j, 0), 0);
	job_put(j);
	stop(sv);
}

/* In the namespace thread. Nothing is ordered to be deleted. */
static int frees_run(struct served *sv, struct job *j)
{
	const uint64_t now = now_ms();

	(void)j;
	sv->deleter.freed_at = 0;
	assert_false(deleter_frees(sv, now));
	sv->deleter.freed_at = now;
	assert_true(deleter_frees(sv, now));
	assert_false(deleter_frees(sv, now - 10000));
	sv->deleter.freed_at = now - 3000;
	assert_false(deleter_frees(sv, now));
	return 0;
}

/* Who finds no space waits for what was removed, and not for nothing. */
static void test_frees(void **state)
{
	struct served *sv = start();
	struct job *j = job_new(sizeof(*j), frees_run);

	(void)state;
	assert_non_null(j);
	assert_int_equal(served_call(sv, j, WAIT_MS), 0);
	job_put(j);
	stop(sv);
}

/* Two threads make barriers: who waits for the sync thread is always told. */
static void test_sync_shared(void **state)
{
	struct served *sv = start();
	struct syncer *s = &sv->sync;

	(void)state;
	for (int i = 0; i < 50; i++) {
		uint64_t txn = ask_for(sv, 1, false, true)->txn;

		/* durable by another thread, then it is asked for */
		assert_int_equal(store_barrier(sv->st), 0);
		atomic_store(&s->dirty, false);
		sync_request(sv, txn);
		pthread_mutex_lock(&s->lock);
		while (s->told < txn)
			pthread_cond_wait(&s->done, &s->lock);
		pthread_mutex_unlock(&s->lock);
		assert_int_equal(sync_wait(sv, txn), 0);
	}
	stop(sv);
}

/* A process of its own: the store's threads do not outlive a fork. */
__attribute__((noreturn)) static void barrier_child(const char *where)
{
	log_init(LOG_CRIT);
	snprintf(dir, sizeof(dir), "%s", where);
	setenv("ORCHD_FAULT", "any-fs,fail-barrier", 1);
	fault_init();
	sync_request(start(), UINT64_MAX);
	for (;;)
		pause();
}

static void test_failed_barrier(void **state)
{
	struct served *sv;
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (!pid) {
		execl("/proc/self/exe", "test_served", dir, NULL);
		_exit(2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	/* and the next start is as after any kill */
	sv = start();
	assert_int_equal(served_get_state(sv, NULL, 0), SERVED_WAITING);
	stop(sv);
}

/* The kernel's refusals, as they come in. */
static void refusal(struct served *sv, int error, uint32_t seq)
{
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr e;
	} m = {
		.nlh = {
			.nlmsg_len = sizeof(m), .nlmsg_type = NLMSG_ERROR,
			.nlmsg_seq = seq,
		},
		.e = { .error = error },
	};

	nl_ops_event(sv, &m.nlh);
}

static uint64_t newest_export(uint32_t volume, size_t *nr)
{
	struct export_file *list;
	uint64_t seq = 0;
	int fd = open(volume == 1 ? sub("v1") : sub("v2"), O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(export_list(fd, &list, nr), 0);
	if (*nr)
		seq = list[0].seq;
	free(list);
	close(fd);
	return seq;
}

/* A stop with nothing mounted leaves the names on all volumes. */
static void test_exports(void **state)
{
	uint64_t last = 0, seq;
	struct served *sv;
	size_t nr;

	(void)state;
	for (size_t i = 1; i < 5; i++) {
		sv = start();
		seq = ask_for(sv, 1, false, true)->txn;
		stop(sv);
		assert_true(seq > last);
		last = newest_export(1, &nr);
		assert_true(last >= seq);
		assert_true(nr >= 1 && nr <= EXPORT_KEEP);
		assert_true(newest_export(2, &nr) == last);
	}
	assert_int_equal(nr, EXPORT_KEEP);
}

static void test_refusals(void **state)
{
	struct served *sv = served_new(sub("t"));

	(void)state;
	refusal(sv, 0, 5);
	refusal(sv, -EPROTO, 6);
	assert_false(sv->need_resync || sv->need_attach);
	/* whichever poll it answers: two may be under way */
	refusal(sv, -ESTALE, 7);
	assert_true(sv->need_resync);
	refusal(sv, -ENOTCONN, 8);
	assert_true(sv->need_attach);
	assert_false(sv->need_resync);
	served_free(sv);
}

/* A daemon that stops begins nothing that nobody would stop. */
static void test_closed(void **state)
{
	struct served *sv = NULL;

	(void)state;
	served_close_registry(true);
	assert_int_equal(served_begin(sub("t"), &sv), -ESHUTDOWN);
	assert_null(sv);
	assert_null(served_first());
	served_close_registry(false);
	assert_int_equal(served_begin(sub("t"), &sv), 0);
	assert_ptr_equal(served_find_dir(sub("t")), sv);
	stop(sv);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_comes_back, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_cloned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_export_cut, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_newer_store, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_older_store, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sweep_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_doubt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frees, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sync_shared, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_failed_barrier, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_exports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup,
						teardown),
		/* the last one: what it registered is gone */
		cmocka_unit_test_setup_teardown(test_closed, setup, teardown),
	};

	if (argc == 2)
		barrier_child(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
