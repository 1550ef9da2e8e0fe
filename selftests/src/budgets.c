// SPDX-License-Identifier: GPL-2.0-only
/*
 * budgets: how often operations make the kernel ask the daemon. A row
 * prepares, then runs exactly the system calls that it is about, between two
 * readings of the kernel's counters.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/stat.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include "util.h"

#define MANY 50			/* repetitions of what must cost nothing */

static int fd = -1, dirfd_ = -1;
static char *map;

#define OK(call) ({						\
	long r_ = (long)(call);					\
	if (r_ < 0)						\
		die("budgets: %s: %m", #call);			\
	r_; })

static void put(const char *name, size_t len)
{
	char *buf = xalloc(len);
	int f = OK(open(name, O_CREAT | O_TRUNC | O_RDWR, 0644));

	if (len && write(f, buf, len) != (ssize_t)len)
		die("budgets: write %s: %m", name);
	OK(close(f));
	free(buf);
}

/* Everything that can be forgotten is forgotten. */
static void cold(void)
{
	int f;

	sync();
	f = OK(open("/proc/sys/vm/drop_caches", O_WRONLY));
	OK(write(f, "3", 1));
	OK(close(f));
}

static void p_open(void)
{
	put("f", 65536);
	fd = OK(open("f", O_RDWR));
}

static void p_file(void)
{
	struct stat st;

	put("f", 4096);
	OK(stat("f", &st));
}

static void p_none(void)
{
}

static void p_cold(void)
{
	put("f", 4096);
	cold();
	dirfd_ = OK(open(".", O_RDONLY | O_DIRECTORY));
}

static void p_durable(void)
{
	p_open();
	OK(fsync(fd));
	sync();
}

static void p_map(void)
{
	p_open();
	map = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		die("budgets: mmap: %m");
}

static void o_read(void)
{
	char buf[4096];
	int i;

	for (i = 0; i < MANY; i++)
		OK(pread(fd, buf, sizeof(buf), (i % 16) * 4096));
}

static void o_write(void)
{
	char buf[4096] = "";
	int i;

	for (i = 0; i < MANY; i++)
		OK(pwrite(fd, buf, sizeof(buf), (i % 16) * 4096));
}

static void o_append(void)
{
	char buf[5000] = "";
	int i;

	OK(lseek(fd, 0, SEEK_END));
	for (i = 0; i < MANY; i++)
		OK(write(fd, buf, sizeof(buf)));
}

static void o_fault(void)
{
	int i;

	for (i = 0; i < 16; i++)
		map[i * 4096] = 1;
	OK(msync(map, 65536, MS_ASYNC));
}

static void o_lseek_fstat(void)
{
	struct stat st;
	int i;

	for (i = 0; i < MANY; i++) {
		OK(lseek(fd, 0, SEEK_END));
		OK(lseek(fd, 0, SEEK_DATA));
		OK(fstat(fd, &st));
	}
}

static void o_falloc(void)
{
	OK(fallocate(fd, 0, 0, 200000));
	OK(fallocate(fd, 3, 4096, 8192));
}

static void o_ftruncate(void)
{
	OK(ftruncate(fd, 100));
}

static void o_close(void)
{
	OK(close(fd));
	fd = -1;
}

static void o_locks(void)
{
	struct flock fl = { .l_type = F_WRLCK };
	int i;

	for (i = 0; i < MANY; i++) {
		OK(flock(fd, LOCK_EX));
		OK(flock(fd, LOCK_UN));
		fl.l_type = F_WRLCK;
		OK(fcntl(fd, F_SETLK, &fl));
		fl.l_type = F_UNLCK;
		OK(fcntl(fd, F_SETLK, &fl));
		fl.l_type = F_WRLCK;
		OK(fcntl(fd, F_OFD_SETLK, &fl));
		fl.l_type = F_UNLCK;
		OK(fcntl(fd, F_OFD_SETLK, &fl));
	}
}

static void o_stat(void)
{
	struct statx sx;
	struct stat st;
	int i;

	for (i = 0; i < MANY; i++) {
		OK(stat("f", &st));
		OK(statx(AT_FDCWD, "f", 0, STATX_ALL, &sx));
		OK(access("f", R_OK));
	}
}

static void o_stat_none(void)
{
	struct stat st;
	int i;

	for (i = 0; i < MANY; i++)
		if (stat("none", &st) == 0)
			die("budgets: 'none' exists");
}

static void p_stat_none(void)
{
	struct stat st;

	if (stat("none", &st) == 0)
		die("budgets: 'none' exists");
}

static void o_create(void)
{
	char buf[4096] = "";

	fd = OK(open("new", O_CREAT | O_EXCL | O_RDWR, 0644));
	OK(write(fd, buf, sizeof(buf)));
	OK(close(fd));
	fd = -1;
}

static void o_open_cold(void)
{
	char buf[100];

	fd = OK(openat(dirfd_, "f", O_RDWR));
	OK(read(fd, buf, sizeof(buf)));
}

static void o_open_again(void)
{
	int i;

	for (i = 0; i < MANY; i++)
		OK(close(OK(open("f", O_RDWR))));
}

static void o_stat_cold(void)
{
	struct stat st;

	OK(fstatat(dirfd_, "f", &st, 0));
}

static void o_unlink(void)
{
	OK(unlink("f"));
}

static void o_link(void)
{
	OK(link("f", "second"));
}

static void o_mkdir(void)
{
	OK(mkdir("d", 0755));
}

static void p_dir(void)
{
	OK(mkdir("d", 0755));
}

static void o_rmdir(void)
{
	OK(rmdir("d"));
}

static void o_symlink(void)
{
	OK(symlink("target", "l"));
}

static void p_symlink(void)
{
	struct stat st;

	OK(symlink("target", "l"));
	OK(lstat("l", &st));
}

static void o_readlink(void)
{
	char buf[100];
	int i;

	for (i = 0; i < MANY; i++)
		OK(readlink("l", buf, sizeof(buf)));
}

static void o_mknod(void)
{
	OK(mkfifo("p", 0644));
}

static void o_chmod(void)
{
	OK(chmod("f", 0600));
}

static void o_chown(void)
{
	OK(chown("f", 1, 2));
}

/* What tar and rsync do to a file that they have written. */
static void o_settle(void)
{
	const struct timespec ts[2] = { { 0, UTIME_OMIT }, { 77, 88 } };
	struct stat st;

	OK(fstat(fd, &st));
	OK(futimens(fd, ts));
	OK(fchown(fd, st.st_uid, st.st_gid));
	OK(fchmod(fd, st.st_mode & 07777));
	OK(fstat(fd, &st));
	if (st.st_mtim.tv_sec != 77 || st.st_mtim.tv_nsec != 88)
		die("budgets: mtime is %lld", (long long)st.st_mtim.tv_sec);
}

static void o_utimens(void)
{
	struct timespec ts[2] = { { 1, 2 }, { 3, 4 } };

	OK(utimensat(AT_FDCWD, "f", ts, 0));
}

static void o_truncate(void)
{
	OK(truncate("f", 10));
}

static void o_rename(void)
{
	OK(rename("f", "renamed"));
}

static void p_rename_over(void)
{
	struct stat st;

	p_file();
	put("g", 10);
	OK(stat("g", &st));
}

static void o_rename_over(void)
{
	OK(rename("f", "g"));
}

/* Only the target is cold. */
static void p_rename_onto_cold(void)
{
	struct stat st;

	put("f", 10);
	put("g", 10);
	cold();
	OK(stat("f", &st));
}

/* Of a user, who may replace only what is his there. */
static void p_rename_sticky(void)
{
	struct stat st;

	OK(mkdir("d", 0777));
	OK(chmod("d", 01777));
	put("d/f", 10);
	put("d/g", 10);
	OK(chown("d/f", 1000, 1000));
	OK(chown("d/g", 1000, 1000));
	cold();
	OK(stat("d/f", &st));
}

static void o_rename_sticky(void)
{
	int status;

	if (fork() == 0)
		_exit(setresuid(1000, 1000, 1000) || rename("d/f", "d/g"));
	wait(&status);
	if (status)
		die("budgets: rename as a user failed");
}

static void p_rename_both_cold(void)
{
	put("g", 10);
	p_cold();
}

static void o_rename_both_cold(void)
{
	OK(renameat(dirfd_, "f", dirfd_, "g"));
}

static void p_rename_dir(void)
{
	struct stat st;

	OK(mkdir("d", 0755));
	OK(mkdir("e", 0755));
	cold();
	OK(stat("d", &st));
}

static void o_rename_dir(void)
{
	OK(rename("d", "e"));
}

static void o_rename_cold(void)
{
	OK(renameat(dirfd_, "f", dirfd_, "renamed"));
}

static void o_setxattr(void)
{
	OK(setxattr("f", "user.a", "b", 1, 0));
}

static void o_no_xattr(void)
{
	char buf[100];
	int i;

	for (i = 0; i < MANY; i++) {
		if (getxattr("f", "user.none", buf, sizeof(buf)) >= 0)
			die("budgets: an xattr is there");
		OK(listxattr("f", buf, sizeof(buf)));
	}
}

static void o_tmpfile(void)
{
	fd = OK(open(".", O_TMPFILE | O_RDWR, 0600));
	OK(write(fd, "x", 1));
	OK(close(fd));
	fd = -1;
}

static void o_fsync(void)
{
	OK(fsync(fd));
}

static void o_rewrite_fsync(void)
{
	int i;

	for (i = 0; i < 10; i++) {
		OK(pwrite(fd, "rewritten", 9, 0));
		OK(i % 2 ? fsync(fd) : fdatasync(fd));
	}
}

/* What was mapped is not any more, and was synced since. */
static void p_unmapped(void)
{
	p_map();
	memset(map, 1, 65536);
	OK(munmap(map, 65536));
	map = NULL;
	OK(close(fd));
	sync();
	fd = OK(open(".", O_RDONLY | O_DIRECTORY));
}

static void o_syncfs(void)
{
	int i;

	for (i = 0; i < 10; i++)
		OK(syncfs(fd));
}

static void p_dirfd(void)
{
	dirfd_ = OK(open(".", O_RDONLY | O_DIRECTORY));
	put("f", 0);
}

static void o_fsync_dir(void)
{
	OK(fsync(dirfd_));
}

static void o_statfs(void)
{
	struct statfs s;

	OK(statfs(".", &s));
}

static void p_suid(void)
{
	put("f", 10);
	OK(chmod("f", 06777));
	fd = OK(open("f", O_RDWR));
}

static void o_suid(void)
{
	int i, status;

	if (fork() == 0) {
		if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
			_exit(1);
		for (i = 0; i < MANY; i++)
			if (pwrite(fd, "x", 1, 0) != 1)
				_exit(1);
		_exit(0);
	}
	wait(&status);
	if (status)
		die("budgets: write as a user failed");
}

static void o_copy(void)
{
	off_t a = 0, b = 65536;

	OK(copy_file_range(fd, &a, fd, &b, 4096, 0));
	OK(lseek(fd, 0, SEEK_SET));
	OK(sendfile(fd, fd, &a, 100));
}

#define LIST 10000

static void p_list(void)
{
	char name[64];
	int i;

	OK(mkdir("big", 0755));
	for (i = 0; i < LIST; i++) {
		sprintf(name, "big/f%d", i);
		OK(mknod(name, S_IFREG | 0644, 0));
	}
	cold();
	dirfd_ = OK(open("big", O_RDONLY | O_DIRECTORY));
}

static void o_list(void)
{
	struct dirent *de;
	struct stat st;
	DIR *d = fdopendir(OK(openat(dirfd_, ".", O_RDONLY | O_DIRECTORY)));
	int n = 0;

	while ((de = readdir(d))) {
		OK(fstatat(dirfd_, de->d_name, &st, AT_SYMLINK_NOFOLLOW));
		n++;
	}
	closedir(d);
	if (n != LIST + 2)
		die("budgets: %d names are listed", n);
}

static void o_ls(void)
{
	if (system("ls -l big >/dev/null") != 0)
		die("budgets: ls -l failed");
}

struct row {
	const char *what;
	void (*prepare)(void);
	void (*op)(void);
	unsigned int budget;
	bool keep;		/* what the row before left is needed */
};

static const struct row rows[] = {
	{ "read of an open file", p_open, o_read, 0 },
	{ "write to an open file", p_open, o_write, 0 },
	{ "append to an open file", p_open, o_append, 0 },
	{ "fault of a shared mapping", p_map, o_fault, 0 },
	{ "lseek and fstat of an open file", p_open, o_lseek_fstat, 0 },
	{ "fallocate of an open file", p_open, o_falloc, 0 },
	{ "ftruncate of an open file", p_open, o_ftruncate, 0 },
	{ "copy_file_range and sendfile", p_open, o_copy, 0 },
	{ "first writes to a setuid file", p_suid, o_suid, 1 },
	{ "close", p_open, o_close, 0 },
	{ "locks", p_open, o_locks, 0 },
	{ "stat that is repeated", p_file, o_stat, 0 },
	{ "stat of nothing that is repeated", p_stat_none, o_stat_none, 0 },
	{ "stat of a cold file", p_cold, o_stat_cold, 1 },
	{ "create, write, close", p_none, o_create, 1 },
	{ "open and read of a cold file", p_cold, o_open_cold, 1 },
	{ "open that is repeated", p_open, o_open_again, 0 },
	{ "O_TMPFILE, write, close", p_none, o_tmpfile, 1 },
	{ "unlink", p_file, o_unlink, 1 },
	{ "link", p_file, o_link, 1 },
	{ "mkdir", p_none, o_mkdir, 1 },
	{ "rmdir", p_dir, o_rmdir, 1 },
	{ "symlink", p_none, o_symlink, 1 },
	{ "readlink that is repeated", p_symlink, o_readlink, 0 },
	{ "mkfifo", p_none, o_mknod, 1 },
	{ "chmod", p_file, o_chmod, 1 },
	{ "chown", p_file, o_chown, 1 },
	{ "utimensat", p_file, o_utimens, 1 },
	{ "mtime, owner, mode as they are, of an open file", p_open,
	  o_settle, 0 },
	{ "truncate", p_file, o_truncate, 1 },
	{ "setxattr", p_file, o_setxattr, 1 },
	{ "xattrs of a file without any", p_file, o_no_xattr, 0 },
	{ "rename", p_file, o_rename, 1 },
	{ "rename over a file", p_rename_over, o_rename_over, 1 },
	{ "rename of a cold file", p_cold, o_rename_cold, 2 },
	{ "rename over a cold file", p_rename_onto_cold, o_rename_over, 1 },
	{ "rename over one's own cold file in a sticky directory",
	  p_rename_sticky, o_rename_sticky, 1 },
	{ "rename of a directory over a cold one", p_rename_dir, o_rename_dir,
	  1 },
	{ "rename of a cold file over a cold one", p_rename_both_cold,
	  o_rename_both_cold, 2 },
	{ "fsync of a new file", p_open, o_fsync, 1 },
	{ "rewrite and fsync of a durable file", p_durable, o_rewrite_fsync,
	  0 },
	{ "fsync of a directory", p_dirfd, o_fsync_dir, 1 },
	{ "syncfs of what is durable, with a file open for writing", p_durable,
	  o_syncfs, 0 },
	{ "syncfs after a shared mapping", p_unmapped, o_syncfs, 0 },
	{ "statfs", p_none, o_statfs, 1 },
	/* one in 500, and one that finds the end */
	{ "readdir with stat of 10000 entries", p_list, o_list,
	  LIST / 500 + 1 },
	{ "ls -l after that", NULL, o_ls, 0, true },
};

/* ---- counters ---- */

#define KINDS 32

struct counts {
	char name[KINDS][32];
	unsigned long long count[KINDS];
	unsigned int nr;
};

static void read_counts(struct counts *c)
{
	char line[256], name[64];
	unsigned long long count;
	FILE *f = popen("orchctl upcalls", "r");

	c->nr = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %llu", name, &count) != 2 ||
		    !strncmp(name, "note-", 5) || !strcmp(name, "total") ||
		    !strcmp(name, "namespace") || c->nr == KINDS)
			continue;
		snprintf(c->name[c->nr], sizeof(c->name[0]), "%s", name);
		c->count[c->nr++] = count;
	}
	if (!f || pclose(f) != 0)
		die("budgets: 'orchctl upcalls' failed");
}

static unsigned long long count_of(const struct counts *c, const char *name)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		if (!strcmp(c->name[i], name))
			return c->count[i];
	return 0;
}

static bool run_row(const struct row *r, unsigned int index)
{
	struct counts before, after;
	unsigned long long sum = 0, d;
	char dir[32], detail[512] = "";
	unsigned int i;

	if (!r->keep) {
		sprintf(dir, "row%u", index);
		OK(mkdir(dir, 0777));
		OK(chdir(dir));
	}
	if (r->prepare)
		r->prepare();
	read_counts(&before);
	r->op();
	read_counts(&after);
	for (i = 0; i < after.nr; i++) {
		d = after.count[i] - count_of(&before, after.name[i]);
		sum += d;
		if (d)
			sprintf(detail + strlen(detail), " %s=%llu",
				after.name[i], d);
	}
	printf("%sok %u - %s: %llu of %u%s\n", sum > r->budget ? "not " : "",
	       index + 1, r->what, sum, r->budget, detail);
	if (map)
		munmap(map, 65536);
	map = NULL;
	if (fd >= 0)
		close(fd);
	if (dirfd_ >= 0)
		close(dirfd_);
	fd = dirfd_ = -1;
	if (index + 1 == ARRAY_SIZE(rows) || !rows[index + 1].keep)
		OK(chdir(".."));
	return sum <= r->budget;
}

int main(int argc, char **argv)
{
	unsigned int i, bad = 0;

	if (argc != 2)
		die("usage: budgets DIR");
	setvbuf(stdout, NULL, _IOLBF, 0);
	umask(0);
	OK(chdir(argv[1]));
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		bad += !run_row(&rows[i], i);
	printf("1..%zu\n", ARRAY_SIZE(rows));
	return bad ? 1 : 0;
}
