// SPDX-License-Identifier: Apache-2.0
#include "mover_util.h"

#include <poll.h>
#include <stdio.h>

#include "arena.h"
#include "ctl.h"
#include "fault.h"
#include "log.h"

static const uint8_t uuid[16] = "namespace-uuid--";

char dir[256];
uint64_t inos[FILES];

char *sub(const char *name)
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

struct store *store_of_test(bool create)
{
	struct store_opts o = { .create = create };
	struct store *st = NULL;

	assert_int_equal(store_open("rocksdb", sub("t"), &o, &st, NULL), 0);
	return st;
}

void faults(const char *point)
{
	char env[100];

	snprintf(env, sizeof(env), "any-fs%s%s", *point ? "," : "", point);
	setenv("ORCHD_FAULT", env, 1);
	fault_init();
}

void make_namespace(uint64_t reserve)
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

int setup(void **state)
{
	(void)state;
	log_init(LOG_CRIT);
	strcpy(dir, "/var/tmp/orchd-mover-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	faults("");
	return 0;
}

int teardown(void **state)
{
	(void)state;
	remove_tree(dir);
	return 0;
}

struct served *start(void)
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

void stop(struct served *sv)
{
	served_stop(sv);
	served_join(sv);
	served_free(sv);
}

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

void in_ns(struct served *sv, void (*fn)(struct served *, void *), void *arg)
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

	while (!pool_ready(sv, 0)) {
		assert_int_equal(poll(&p, 1, 60000), 1);
		work_run(&sv->queue);
	}
}

int execute(struct served *sv, const struct op_req *rq, struct op_reply *rep)
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

void make_tree(struct served *sv, void *arg)
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

void begin_job(struct served *sv, void *arg)
{
	struct begin *b = arg;

	b->rc = mover_new(sv, &b->want, b->why, &b->id);
}

struct begin move_to(struct served *sv, uint64_t ino, uint32_t volume,
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
	bool (*fn)(const struct mover_job *j);
	struct ns_job rec;
	bool is;
};

static void look_at(struct served *sv, void *arg)
{
	struct look *l = arg;
	struct mover_job *j = mover_find(sv, l->id);

	assert_non_null(j);
	l->rec = j->rec;
	l->is = j->phase == JOB_ENDED || l->fn(j);
}

struct ns_job wait_until(struct served *sv, uint64_t id,
			 bool (*fn)(const struct mover_job *j))
{
	uint64_t end = now_ms() + WAIT_MS;
	struct look l = { .id = id, .fn = fn };
	struct timespec t;

	for (;;) {
		in_ns(sv, look_at, &l);
		if (l.is)
			return l.rec;
		if (now_ms() > end)
			fail_msg("job %llu does not end",
				 (unsigned long long)id);
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

static bool never(const struct mover_job *j)
{
	(void)j;
	return false;
}

static bool copies(const struct mover_job *j)
{
	return j->copying && atomic_load(&j->copy.reading);
}

struct ns_job wait_for(struct served *sv, uint64_t id, bool copying)
{
	return wait_until(sv, id, copying ? copies : never);
}

void check_file(struct served *sv, unsigned int n, uint32_t volume)
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

void check_clean(struct served *sv)
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

void expect_all_on(struct served *sv, uint32_t volume)
{
	check_clean(sv);
	in_ns(sv, check_all, &volume);
}

struct served *start_with_tree(uint64_t *dir)
{
	struct served *sv;

	make_namespace(0);
	sv = start();
	in_ns(sv, make_tree, dir);
	return sv;
}

void begin_drain(struct served *sv, void *arg)
{
	struct begin *b = arg;

	b->rc = mover_drain(sv, &b->want, b->why, &b->id);
}

struct begin drain(struct served *sv, uint32_t volume, uint64_t rate)
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

struct begin undrain(struct served *sv, uint32_t volume)
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

uint32_t new_file_on(struct served *sv)
{
	uint32_t volume;

	in_ns(sv, new_file, &volume);
	return volume;
}

void no_instance(struct served *sv, void *arg)
{
	uint64_t count;

	assert_int_equal(ns_volume_instances(sv->ns, *(uint32_t *)arg, &count),
			 0);
	assert_int_equal(count, 0);
}
