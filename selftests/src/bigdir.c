// SPDX-License-Identifier: GPL-2.0-only
/*
 * bigdir: a directory with many entries. Lists it, remembers positions, goes
 * back to them after --between CMD (a remount, a new daemon) and while names
 * come and go, then removes what readdir gives.
 */
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "util.h"

static struct {
	const char *dir;
	const char *between;
	uint64_t seed;
	unsigned int count, procs, remove;
} opt = { .count = 100000, .procs = 2, .remove = -1 };

static struct rng rng;
static unsigned char *seen;
static char path[4200];

static const char *entry(const char *kind, unsigned int i)
{
	snprintf(path, sizeof(path), "%s/%s%07u", opt.dir, kind, i);
	return path;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Every process makes its share; most are symlinks, which cost least. */
static void make_share(unsigned int from, unsigned int to)
{
	unsigned int i;
	int rc;

	for (i = from; i < to; i++) {
		entry("f", i);
		if (i % 64 == 2)
			rc = mkdir(path, 0755);
		else if (i % 4)
			rc = symlink("target", path);
		else
			rc = mknod(path, S_IFREG | 0644, 0);
		if (rc < 0)
			die("bigdir: FAILED to make %s: %m", path);
	}
}

static void make_all(void)
{
	unsigned int i, share = opt.count / opt.procs;
	int status, bad = 0;

	for (i = 0; i < opt.procs; i++) {
		if (fork() == 0) {
			make_share(i * share, i == opt.procs - 1 ? opt.count :
				   (i + 1) * share);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		bad += status != 0;
	if (bad)
		die("bigdir: FAILED in %d processes", bad);
}

static DIR *open_dir(void)
{
	DIR *d = opendir(opt.dir);

	if (!d)
		die("bigdir: opendir %s: %m", opt.dir);
	return d;
}

static bool number(const struct dirent *de, unsigned int *i)
{
	return sscanf(de->d_name, "f%u", i) == 1 && *i < opt.count;
}

#define MARKS 400
#define CHECKS 20

struct mark {
	long pos;
	char name[16];		/* the next one from there */
};

static struct mark marks[MARKS];
static unsigned int nmarks;

/* Lists all; each of the first @count names must come once. */
static void list_all(void)
{
	unsigned int every = opt.count / MARKS + 1, i, n = 0;
	struct dirent *de;
	DIR *d = open_dir();
	long pos = telldir(d);

	memset(seen, 0, opt.count);
	for (errno = 0; (de = readdir(d)); errno = 0, pos = telldir(d)) {
		if (!number(de, &i))
			continue;
		if (seen[i])
			die("bigdir: FAILED: %s is listed twice", de->d_name);
		seen[i] = 1;
		if (n++ % every)
			continue;
		marks[nmarks].pos = pos;
		strcpy(marks[nmarks++].name, de->d_name);
	}
	if (errno)
		die("bigdir: FAILED: readdir: %m");
	if (n != opt.count)
		die("bigdir: FAILED: %u of %u names are listed", n, opt.count);
	closedir(d);
}

/* Going to a mark gives the name that was there; new names may come before. */
static void check_marks(const char *when)
{
	unsigned int k, i;
	struct dirent *de;
	DIR *d = open_dir();

	for (k = 0; k < CHECKS; k++) {
		const struct mark *m = &marks[below(&rng, nmarks)];

		seekdir(d, m->pos);
		do {
			de = readdir(d);
		} while (de && !number(de, &i));
		if (!de || strcmp(de->d_name, m->name))
			die("bigdir: FAILED %s: position %ld gives %s, should give %s",
			    when, m->pos, de ? de->d_name : "the end", m->name);
	}
	closedir(d);
}

/* Names come and go while a listing is under way. */
static void list_while_changing(void)
{
	unsigned int i, n = 0, k = 0;
	struct dirent *de;
	DIR *d = open_dir();

	memset(seen, 0, opt.count);
	while ((de = readdir(d))) {
		if (!number(de, &i))
			continue;
		if (seen[i])
			die("bigdir: FAILED: %s is listed twice", de->d_name);
		seen[i] = 1;
		if (n++ % 100)
			continue;
		if (mknod(entry("n", k), S_IFREG | 0600, 0) < 0)
			die("bigdir: FAILED to make %s: %m", path);
		if (k++ % 2 && unlink(path) < 0)
			die("bigdir: FAILED to remove %s: %m", path);
	}
	if (n != opt.count)
		die("bigdir: FAILED: %u of %u names are listed while others come and go",
		    n, opt.count);
	closedir(d);
}

/* As rm -r does: remove what readdir gives. */
static void remove_some(void)
{
	struct dirent *de;
	DIR *d = open_dir();
	unsigned int i, n = 0;

	while ((de = readdir(d)) && n++ < opt.remove) {
		int flags = 0;

		if (de->d_name[0] == '.')
			continue;
		if (de->d_type == DT_DIR ||
		    (number(de, &i) && i % 64 == 2))
			flags = AT_REMOVEDIR;
		if (unlinkat(dirfd(d), de->d_name, flags) < 0)
			die("bigdir: FAILED to remove %s: %m", de->d_name);
	}
	closedir(d);
	if (!de && rmdir(opt.dir) < 0)
		die("bigdir: FAILED rmdir after removing all: %m");
}

static double phase(const char *what, double since)
{
	double now = seconds();

	printf("bigdir: %-28s %.1f s\n", what, now - since);
	return now;
}

static const struct option longopts[] = {
	{ "dir", required_argument, NULL, 'd' },
	{ "count", required_argument, NULL, 'n' },
	{ "procs", required_argument, NULL, 'p' },
	{ "between", required_argument, NULL, 'b' },
	{ "remove", required_argument, NULL, 'r' },
	{ "seed", required_argument, NULL, 's' },
	{ }
};

static void parse(int argc, char **argv)
{
	int c;

	opt.seed = default_seed();
	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 'd': opt.dir = optarg; break;
		case 'n': opt.count = parse_num("--count", optarg); break;
		case 'p': opt.procs = parse_num("--procs", optarg); break;
		case 'b': opt.between = optarg; break;
		case 'r': opt.remove = parse_num("--remove", optarg); break;
		case 's': opt.seed = parse_num("--seed", optarg); break;
		default: opt.dir = NULL; optind = argc;
		}
	}
	if (!opt.dir || !opt.count || opt.count > 9999999 || !opt.procs)
		die("usage: bigdir --dir NEW [--count N] [--procs N] [--remove N] [--between CMD] [--seed N]");
}

int main(int argc, char **argv)
{
	double t;

	parse(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("bigdir: seed %llu, %u entries\n", (unsigned long long)opt.seed,
	       opt.count);
	rng.state = opt.seed;
	seen = xalloc(opt.count);
	t = seconds();
	if (mkdir(opt.dir, 0755) < 0)
		die("bigdir: mkdir %s: %m", opt.dir);
	make_all();
	t = phase("made", t);
	list_all();
	t = phase("listed", t);
	check_marks("positions");
	t = phase("positions", t);
	if (opt.between) {
		if (system(opt.between) != 0)
			die("bigdir: FAILED '%s'", opt.between);
		t = phase(opt.between, t);
		check_marks("positions after it");
		t = phase("positions after it", t);
	}
	list_while_changing();
	check_marks("positions after changes");
	t = phase("listed while names change", t);
	remove_some();
	phase("removed", t);
	printf("bigdir: passed\n");
	return 0;
}
