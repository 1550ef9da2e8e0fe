// SPDX-License-Identifier: GPL-2.0-only
/*
 * fsbench: what an operation costs, in nanoseconds of the machine's clock; in
 * a machine that counts instructions (vm --icount) that is instructions. For
 * each work it prints
 *
 *	WORK OPERATIONS NANOSECONDS BUSY
 *
 * NANOSECONDS is the time of the loop. BUSY is the time that the processor ran
 * anything, from the loop's start until the machine was idle again, less what
 * an idle machine uses: with one processor BUSY - NANOSECONDS is work that
 * went on behind the caller's back.
 *
 * usage: fsbench [--quick] [--only WORK]... DIR|DEVICE
 * DIR is made if need be, and emptied before and after. Of a block device,
 * whose contents are lost, only O_DIRECT is measured.
 */
#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "util.h"

#define KIB		1024UL
#define MIB		(1024UL * KIB)
#define FILE_SIZE	(64 * MIB)
#define PAGE		4096UL
#define SETTLE_SECONDS	4

static bool quick;
static const char *device;		/* NULL: a directory */
static int fd = -1;
static char *page, *mib;
static struct rng rng;

#define OK(call) ({						\
	long r_ = (long)(call);					\
	if (r_ < 0)						\
		die("fsbench: %s: %m", #call);			\
	r_; })

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Nanoseconds in which the first processor ran a task. */
static uint64_t busy(void)
{
	FILE *f = fopen("/proc/schedstat", "r");
	unsigned long long v[9] = { 0 };
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "cpu0 %llu %llu %llu %llu %llu %llu %llu",
			   &v[0], &v[1], &v[2], &v[3], &v[4], &v[5],
			   &v[6]) == 7)
			break;
	}
	if (f)
		fclose(f);
	return v[6];
}

static void name_of(char *buf, int i)
{
	sprintf(buf, "file%05d", i);
}

static int make(const char *name)
{
	return OK(open(name, O_CREAT | O_RDWR | O_TRUNC, 0644));
}

static void make_many(int n, size_t size)
{
	char name[32];

	for (int i = 0; i < n; i++) {
		int f;

		name_of(name, i);
		f = make(name);
		if (size)
			OK(write(f, page, size));
		OK(close(f));
	}
	sync();
}

static void remove_all(void)
{
	DIR *d = device ? NULL : opendir(".");
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0))
			OK(unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR));
	}
	if (d)
		closedir(d);
}

static void forget(void)
{
	int f;

	sync();
	f = OK(open("/proc/sys/vm/drop_caches", O_WRONLY));
	OK(write(f, "3", 1));
	OK(close(f));
}

static void big_file(int flags)
{
	const char *name = device ? device : "big";

	fd = OK(open(name, (device ? 0 : O_CREAT) | O_RDWR, 0644));
	for (size_t at = 0; at < FILE_SIZE; at += MIB)
		OK(pwrite(fd, mib, MIB, (off_t)at));
	OK(fsync(fd));
	OK(close(fd));
	fd = OK(open(name, O_RDWR | flags));
}

static void p_cached(int n)
{
	big_file(0);
	for (size_t at = 0; at < FILE_SIZE; at += MIB)
		OK(pread(fd, mib, MIB, (off_t)at));
}

static void p_direct(int n)
{
	big_file(O_DIRECT);
}

static void p_cold(int n)
{
	big_file(0);
	forget();
}

static void p_none(int n)
{
}

static void p_empty(int n)
{
	make_many(n, 0);
}

static void p_small(int n)
{
	char name[32], buf[PAGE];

	make_many(n, PAGE);
	for (int i = 0; i < n; i++) {
		int f;

		name_of(name, i);
		f = OK(open(name, O_RDONLY));
		OK(read(f, buf, PAGE));
		OK(close(f));
	}
}

static void p_small_cold(int n)
{
	make_many(n, PAGE);
	forget();
}

static void o_read(int n)
{
	for (int i = 0; i < n; i++)
		OK(pread(fd, page, PAGE,
			 (off_t)((size_t)i * PAGE % FILE_SIZE)));
}

static void o_read_random(int n)
{
	for (int i = 0; i < n; i++)
		OK(pread(fd, page, PAGE,
			 below(&rng, FILE_SIZE / PAGE) * (off_t)PAGE));
}

static void o_write(int n)
{
	for (int i = 0; i < n; i++)
		OK(pwrite(fd, page, PAGE,
			  (off_t)((size_t)i * PAGE % FILE_SIZE)));
}

static void o_read_mib(int n)
{
	for (int i = 0; i < n; i++)
		OK(pread(fd, mib, MIB, (off_t)((size_t)i * MIB % FILE_SIZE)));
}

static void o_write_mib(int n)
{
	for (int i = 0; i < n; i++)
		OK(pwrite(fd, mib, MIB,
			  (off_t)((size_t)i * MIB % FILE_SIZE)));
}

static void o_fault(int n)
{
	volatile char sum = 0;
	char *map = NULL;

	for (int i = 0; i < n; i++) {
		size_t at = (size_t)i * PAGE % MIB;

		if (!at) {
			map = mmap(NULL, MIB, PROT_READ, MAP_SHARED, fd,
				   (off_t)((size_t)i * PAGE % FILE_SIZE));
			if (map == MAP_FAILED)
				die("fsbench: mmap: %m");
		}
		sum += map[at];
		if (at + PAGE == MIB)
			OK(munmap(map, MIB));
	}
}

static void o_stat(int n)
{
	char name[32];
	struct stat st;

	for (int i = 0; i < n; i++) {
		name_of(name, i);
		OK(stat(name, &st));
	}
}

static void p_stat(int n)
{
	make_many(n, 0);
	o_stat(n);
}

static void p_stat_cold(int n)
{
	make_many(n, 0);
	forget();
}

static void o_open(int n)
{
	char name[32];

	for (int i = 0; i < n; i++) {
		name_of(name, i);
		OK(close(OK(open(name, O_RDONLY))));
	}
}

static void p_open(int n)
{
	make_many(n, 0);
	o_open(n);
}

static void o_open_read(int n)
{
	char name[32];

	for (int i = 0; i < n; i++) {
		int f;

		name_of(name, i);
		f = OK(open(name, O_RDONLY));
		OK(read(f, page, PAGE));
		OK(close(f));
	}
}

static void o_create(int n)
{
	char name[32];

	for (int i = 0; i < n; i++) {
		int f;

		name_of(name, i);
		f = OK(open(name, O_CREAT | O_EXCL | O_WRONLY, 0644));
		OK(write(f, page, PAGE));
		OK(close(f));
	}
}

static void o_unlink(int n)
{
	char name[32];

	for (int i = 0; i < n; i++) {
		name_of(name, i);
		OK(unlink(name));
	}
}

static void o_rename(int n)
{
	char name[32], to[32];

	for (int i = 0; i < n; i++) {
		name_of(name, i);
		sprintf(to, "to%05d", i);
		OK(rename(name, to));
	}
}

static void o_chmod(int n)
{
	char name[32];

	for (int i = 0; i < n; i++) {
		name_of(name, i);
		OK(chmod(name, 0600));
	}
}

static void o_mkdir(int n)
{
	char name[32];

	for (int i = 0; i < n; i++) {
		name_of(name, i);
		OK(mkdir(name, 0755));
	}
}

static void o_list(int n)
{
	struct dirent *e;
	struct stat st;
	DIR *d = opendir(".");
	int seen = 0;

	if (!d)
		die("fsbench: opendir: %m");
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		OK(fstatat(dirfd(d), e->d_name, &st, 0));
		seen++;
	}
	closedir(d);
	if (seen != n)
		die("fsbench: %d of %d names listed", seen, n);
}

static void p_list(int n)
{
	make_many(n, 0);
	o_list(n);
}

static void p_fsync(int n)
{
	make_many(n, PAGE);
}

static void o_fsync(int n)
{
	char name[32];

	for (int i = 0; i < n; i++) {
		int f;

		name_of(name, i);
		f = OK(open(name, O_WRONLY));
		OK(pwrite(f, page, PAGE, 0));
		OK(fsync(f));
		OK(close(f));
	}
}

static const struct work {
	const char *name;
	int n, quick;
	void (*prepare)(int n);
	void (*run)(int n);
} works[] = {
	{ "read-4k-cached", 20000, 4000, p_cached, o_read },
	{ "read-4k-cached-random", 20000, 4000, p_cached, o_read_random },
	{ "read-4k-direct", 8000, 2000, p_direct, o_read },
	{ "write-4k-cached", 16000, 4000, p_cached, o_write },
	{ "write-4k-direct", 8000, 2000, p_direct, o_write },
	{ "read-1m-cached", 512, 128, p_cached, o_read_mib },
	{ "read-1m-cold", 64, 32, p_cold, o_read_mib },
	{ "read-1m-direct", 256, 64, p_direct, o_read_mib },
	{ "write-1m-cached", 128, 64, p_cached, o_write_mib },
	{ "write-1m-direct", 128, 64, p_direct, o_write_mib },
	{ "mmap-fault", 16384, 16384, p_cached, o_fault },
	{ "stat-warm", 1000, 1000, p_stat, o_stat },
	{ "stat-cold", 1000, 300, p_stat_cold, o_stat },
	{ "open-close-warm", 1000, 1000, p_open, o_open },
	{ "open-close-cold", 1000, 300, p_stat_cold, o_open },
	{ "open-read-close", 1000, 1000, p_small, o_open_read },
	{ "open-read-close-cold", 1000, 300, p_small_cold, o_open_read },
	{ "create-write-close", 1000, 300, p_none, o_create },
	{ "unlink", 1000, 300, p_small, o_unlink },
	{ "rename", 1000, 300, p_empty, o_rename },
	{ "chmod", 1000, 300, p_empty, o_chmod },
	{ "mkdir", 1000, 300, p_none, o_mkdir },
	{ "list-stat", 10000, 1000, p_list, o_list },
	{ "list-stat-cold", 10000, 1000, p_stat_cold, o_list },
	{ "rewrite-fsync", 1000, 300, p_fsync, o_fsync },
};

/* What the machine does by itself while nobody wants anything. */
static void settle(void)
{
	sleep(SETTLE_SECONDS);
}

static void measure(const struct work *w)
{
	int n = quick ? w->quick : w->n;
	uint64_t b0, b1, b2, t0, t1, idle;

	remove_all();
	w->prepare(n);
	sync();
	settle();
	b0 = busy();
	settle();
	idle = busy() - b0;
	b1 = busy();
	t0 = now();
	w->run(n);
	t1 = now();
	settle();
	b2 = busy();
	b2 = b2 - b1 > idle ? b2 - b1 - idle : 0;
	printf("%s %d %llu %llu\n", w->name, n,
	       (unsigned long long)(t1 - t0), (unsigned long long)b2);
	fflush(stdout);
	if (fd >= 0)
		close(fd);
	fd = -1;
	remove_all();
}

static bool wanted(char **only, int nr, const char *name)
{
	for (int i = 0; i < nr; i++) {
		if (!fnmatch(only[i], name, 0))
			return true;
	}
	return !nr;
}

int main(int argc, char **argv)
{
	char *only[ARRAY_SIZE(works)];
	struct stat st;
	int nr = 0, i;

	for (i = 1; i < argc - 1; i++) {
		if (!strcmp(argv[i], "--quick"))
			quick = true;
		else if (!strcmp(argv[i], "--only") && i + 2 < argc &&
			 nr < (int)ARRAY_SIZE(works))
			only[nr++] = argv[++i];
		else
			break;
	}
	if (i != argc - 1)
		die("usage: fsbench [--quick] [--only WORK]... DIR|DEVICE");
	page = xpages(PAGE);
	mib = xpages(MIB);
	memset(page, 'p', PAGE);
	memset(mib, 'm', MIB);
	rng.state = 1;
	if (!stat(argv[i], &st) && S_ISBLK(st.st_mode))
		device = argv[i];
	else if (mkdir(argv[i], 0755) && errno != EEXIST)
		die("fsbench: %s: %m", argv[i]);
	if (!device && chdir(argv[i]))
		die("fsbench: %s: %m", argv[i]);
	for (size_t w = 0; w < ARRAY_SIZE(works); w++) {
		if (wanted(only, nr, works[w].name) &&
		    (!device || works[w].prepare == p_direct))
			measure(&works[w]);
	}
	return 0;
}
