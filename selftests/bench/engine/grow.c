// SPDX-License-Identifier: Apache-2.0
/*
 * How cost grows with the number of files: bytes of the store, resident memory,
 * operations, and the time of a start, also after SIGKILL. What a start takes is
 * measured in a process of its own.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define STEP_FIRST	100000U
#define PROBES		100000U	/* look-ups before memory is read again */
#define KILLS		3U
#define KILL_FILES	60000U	/* at most: several logs */

/* --- children --- */

uint64_t resident(void)
{
	unsigned long long size = 0, pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f || fscanf(f, "%llu %llu", &size, &pages) != 2)
		die("cannot read /proc/self/statm");
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Directories by name: a process that has just started has no numbers. */
static void probe(struct engine *e, uint64_t files, size_t nr)
{
	struct requests r = { 0 };
	struct outcome o = { 0 };
	char name[NAME_MAX_];
	uint64_t *dir = must_alloc(nr * sizeof(*dir));

	for (size_t i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "shot-%06llu", (unsigned long long)
			 (mix(bench_seed, i) % files / PER_DIR));
		requests_add(&r, &(struct request){
			.kind = ORCHFS_KIND_LOOKUP, .node = ORCHFS_ROOT_INO,
			.name = name });
	}
	o.ino = dir;
	engine_run(e, &r, 16, &o);
	o.ino = NULL;
	requests_clear(&r);
	for (size_t i = 0; i < nr; i++) {
		file_name(name, mix(bench_seed, i) % files);
		requests_add(&r, &(struct request){
			.kind = ORCHFS_KIND_LOOKUP, .node = dir[i],
			.name = name });
	}
	engine_run(e, &r, 16, &o);
	outcome_free(&o);
	requests_free(&r);
	free(dir);
}

void bench_start(const char *dir, uint64_t files, const char *label)
{
	const uint64_t begin = clock_ns(), before = resident();
	struct engine *e = engine_open("rocksdb", dir, false);
	const uint64_t ns = clock_ns() - begin;
	uint64_t after_open, after_use, cpu;

	cpu = clock_process();
	after_open = resident();
	if (files)
		probe(e, files, PROBES);
	malloc_trim(0);
	after_use = resident();
	printf("start %s %llu %llu %llu %llu %llu %llu %llu"
	       " %llu\n", label,
	       (unsigned long long)files, (unsigned long long)ns,
	       (unsigned long long)e->open_ns, (unsigned long long)e->ready_ns,
	       (unsigned long long)before, (unsigned long long)after_open,
	       (unsigned long long)after_use, (unsigned long long)cpu);
	fflush(stdout);
	engine_close(e);
}

void bench_kill(const char *dir, uint64_t files)
{
	struct engine *e = engine_open("rocksdb", dir, false);
	struct requests r = { 0 };
	struct outcome o = { 0 };
	char name[NAME_MAX_];
	uint64_t at;

	tree_dirs(e, clock_ns(), 1, &at);
	for (uint64_t i = 0; i < files; i++) {
		file_name(name, i);
		requests_add(&r, &(struct request){
			.kind = ORCHFS_KIND_CREATE, .node = at, .name = name,
			.mode = S_IFREG | 0644 });
	}
	engine_run(e, &r, CLIENTS_MAX, &o);
	kill(getpid(), SIGKILL);
	_exit(1);
}

/* --- the parent --- */

static void child(const char *self, const char *verb, const char *dir,
		  uint64_t files, const char *label, bool killed)
{
	char number[32], seed[32];
	int status;
	pid_t pid;

	snprintf(number, sizeof(number), "%llu", (unsigned long long)files);
	snprintf(seed, sizeof(seed), "%llu", (unsigned long long)bench_seed);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		execl(self, self, "--seed", seed, "--dir", dir, "--files",
		      number, verb, label, NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("cannot start %s %s", self, verb);
	if (killed ? !WIFSIGNALED(status) : status)
		die("%s %s has failed", self, verb);
}

static uint64_t sum;

static int add_size(const char *path, const struct stat *s, int flag,
		    struct FTW *f)
{
	(void)path;
	(void)f;
	/* space taken ahead for logs is not data */
	if (flag == FTW_F)
		sum += (uint64_t)s->st_size;
	return 0;
}

static uint64_t store_bytes(const char *dir)
{
	char db[4200];

	snprintf(db, sizeof(db), "%s/db", dir);
	sum = 0;
	if (nftw(db, add_size, 16, FTW_PHYS))
		die("cannot measure %s", db);
	return sum;
}

/* As after a boot: what is durable leaves the page cache. */
static int drop_file(const char *path, const struct stat *s, int flag,
		     struct FTW *f)
{
	int fd;

	(void)s;
	(void)f;
	if (flag != FTW_F)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	fsync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return 0;
}

struct timed {
	struct row row;
	struct requests r;
	struct outcome o;
};

static void timed_row(struct timed *t, struct engine *e, const char *work,
		      unsigned int rep)
{
	t->row.work = work;
	t->row.rep = rep;
	t->row.who = "orchd";
	t->row.store = "rocksdb";
	t->row.clients = 16;
	engine_run(e, &t->r, t->row.clients, &t->o);
	row_print(&t->row, &t->o, t->r.nr, 0);
}

/* The same few operations at each size. */
static void operations(struct tree *tree, const struct bench_opts *o)
{
	struct timed t = { .row.files = tree->files };
	static uint64_t chance;
	char name[NAME_MAX_];
	uint64_t dir;

	for (unsigned int rep = 0; rep < o->reps; rep++) {
		requests_clear(&t.r);
		for (size_t i = 0; i < o->ops; i++) {
			uint64_t n = mix(bench_seed, chance++) % tree->files;

			file_name(name, n);
			requests_add(&t.r, &(struct request){
				.kind = ORCHFS_KIND_LOOKUP, .name = name,
				.node = tree->dirs[n / PER_DIR] });
		}
		timed_row(&t, tree->e, "grow-lookup", rep);
		tree_dirs(tree->e, (1ULL << 40) + chance++, 1, &dir);
		for (int kind = 0; kind < 2; kind++) {
			requests_clear(&t.r);
			for (size_t i = 0; i < o->ops; i++) {
				file_name(name, i);
				requests_add(&t.r, &(struct request){
					.kind = kind ? ORCHFS_KIND_UNLINK :
						ORCHFS_KIND_CREATE,
					.name = name, .node = dir,
					.mode = kind ? 0 : S_IFREG | 0644 });
			}
			if (kind)
				t.o.ino = must_alloc(o->ops * sizeof(uint64_t));
			timed_row(&t, tree->e, kind ? "grow-unlink" :
				  "grow-create", rep);
			if (kind)
				engine_forget(tree->e, t.o.ino, o->ops);
			free(t.o.ino);
			t.o.ino = NULL;
		}
	}
	outcome_free(&t.o);
	requests_free(&t.r);
}

static void starts(const char *dir, uint64_t files, const char *self)
{
	const uint64_t most = files < KILL_FILES ? files : KILL_FILES;
	char label[32];

	child(self, "start", dir, files, "warm", false);
	nftw(dir, drop_file, 16, FTW_PHYS);
	child(self, "start", dir, files, "cold", false);
	for (unsigned int i = 0; i < KILLS; i++) {
		snprintf(label, sizeof(label), "killed-%u", i);
		child(self, "kill", dir, most / 2 +
		      mix(bench_seed, i) % (most / 2), label, true);
		child(self, "start", dir, files, label, false);
	}
}

static void size_row(uint64_t files, const char *dir)
{
	printf("size %llu %llu\n", (unsigned long long)files,
	       (unsigned long long)store_bytes(dir));
	fflush(stdout);
}

void bench_grow(const struct bench_opts *o, const char *self)
{
	uint64_t files = o->files < STEP_FIRST ? o->files : STEP_FIRST;
	char dir[4096];
	struct tree tree;

	snprintf(dir, sizeof(dir), "%s/grow-0", o->dir);
	engine_close(engine_open("rocksdb", dir, true));
	child(self, "start", dir, 0, "empty", false);
	for (; files <= o->files; files *= 10) {
		struct engine *e;
		uint64_t begin;

		snprintf(dir, sizeof(dir), "%s/grow-%llu", o->dir,
			 (unsigned long long)files);
		e = engine_open("rocksdb", dir, true);
		begin = clock_ns();
		tree_make(&tree, e, files, false, NULL, NULL);
		printf("fill %llu %llu\n", (unsigned long long)files,
		       (unsigned long long)(clock_ns() - begin));
		store_settle(e->sv.st);
		size_row(files, dir);
		operations(&tree, o);
		tree_free(&tree);
		engine_close(e);
		starts(dir, files, self);
	}
}
