// SPDX-License-Identifier: GPL-2.0-only
/* posixcheck: modes, owners, rights, times, extended attributes. */
#include <grp.h>
#include <linux/capability.h>
#include <linux/xattr.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include "px.h"

/* ---- modes and owners ---- */

static void chmod_rules(void)
{
	int fd;

	px_put("f", "");
	OK(chmod("f", 07777));
	MODE("f", 07777);
	fd = px_open("f", O_RDONLY);
	OK(fchmod(fd, 0));
	MODE("f", 0);
	AS_USER(1000, 1000)
		ERR(chmod("f", 0777), EPERM);
	OK(chown("f", 1000, 1000));
	AS_USER(1000, 1000)
		OK(chmod("f", 0640));
	MODE("f", 0640);
	ERR(chmod("none", 0600), ENOENT);
}

static void chmod_foreign_group(void)
{
	px_put("f", "");
	OK(chown("f", 1000, 2000));
	AS_USER(1000, 1000)
		OK(chmod("f", 02755));
	MODE("f", 0755);
	OK(chown("f", 1000, 1000));
	AS_USER(1000, 1000)
		OK(chmod("f", 02755));
	MODE("f", 02755);
}

static void chown_rules(void)
{
	px_put("f", "");
	OK(chown("f", 1000, 2000));
	EQ(px_stat("f").st_uid, 1000);
	EQ(px_stat("f").st_gid, 2000);
	OK(chown("f", -1, 3000));
	EQ(px_stat("f").st_uid, 1000);
	EQ(px_stat("f").st_gid, 3000);
	AS_USER(1000, 1000) {
		ERR(chown("f", 2000, -1), EPERM);
		ERR(chown("f", -1, 2000), EPERM);
		OK(chown("f", -1, 1000));
		OK(chown("f", 1000, 1000));
	}
	AS_USER(2000, 2000)
		ERR(chown("f", -1, 2000), EPERM);
	EQ(px_stat("f").st_gid, 1000);
	OK(symlink("f", "l"));
	OK(lchown("l", 7, 8));
	EQ(px_stat("l").st_uid, 7);
	EQ(px_stat("f").st_uid, 1000);
	OK(chown("f", 4294967293u, 4294967293u));
	EQ(px_stat("f").st_uid, 4294967293u);
}

static void chown_clears_suid(void)
{
	px_put("f", "");
	OK(chown("f", 1000, 1000));
	OK(chmod("f", 06755));
	AS_USER(1000, 1000)
		OK(chown("f", 1000, 1000));
	MODE("f", 0755);
	OK(chmod("f", 06755));
	OK(chown("f", 2000, 2000));
	MODE("f", 0755);
	OK(mkdir("d", 0));
	OK(chmod("d", 06755));
	OK(chown("d", 2000, 2000));
	MODE("d", 06755);
}

static void write_clears_suid(void)
{
	px_put("f", "text");
	OK(chown("f", 2000, 2000));
	OK(chmod("f", 06777));
	AS_USER(1000, 1000) {
		int fd = px_open("f", O_WRONLY);

		MODE("f", 06777);
		EQ(pwrite(fd, "x", 1, 0), 1);
		MODE("f", 0777);
	}
	MODE("f", 0777);
	OK(chmod("f", 06777));
	AS_USER(1000, 1000)
		OK(truncate("f", 2));
	MODE("f", 0777);
	OK(chmod("f", 06777));
	AS_USER(1000, 1000)
		EQ(write(px_open("f", O_WRONLY | O_APPEND), "y", 1), 1);
	MODE("f", 0777);
}

static void root_keeps_suid(void)
{
	int fd;

	px_put("f", "");
	OK(chmod("f", 06777));
	fd = px_open("f", O_WRONLY);
	EQ(write(fd, "x", 1), 1);
	MODE("f", 06777);
}

static void setgid_dir(void)
{
	OK(mkdir("d", 0777));
	OK(chown("d", 0, 3000));
	OK(chmod("d", 02777));
	px_put("d/f", "");
	EQ(px_stat("d/f").st_gid, 3000);
	OK(mkdir("d/e", 0755));
	EQ(px_stat("d/e").st_gid, 3000);
	MODE("d/e", 02755);
	OK(symlink("x", "d/l"));
	EQ(px_stat("d/l").st_gid, 3000);
	OK(mkfifo("d/p", 0600));
	EQ(px_stat("d/p").st_gid, 3000);
	AS_USER(1000, 1000) {
		OK(close(OK(open("d/g", O_CREAT | O_RDWR, 02775))));
		EQ(px_stat("d/g").st_gid, 3000);
		MODE("d/g", 0775);
	}
	px_put("plain", "");
	EQ(px_stat("plain").st_gid, 0);
}

static void sticky_dir(void)
{
	OK(mkdir("d", 0777));
	OK(chmod("d", 01777));
	OK(chown("d", 3000, 3000));
	px_put("d/f", "");
	OK(chmod("d/f", 0666));
	OK(chown("d/f", 2000, 2000));
	AS_USER(1000, 1000) {
		ERR(unlink("d/f"), EPERM);
		ERR(rename("d/f", "d/g"), EPERM);
		px_put("d/own", "");
		ERR(rename("d/own", "d/f"), EPERM);
		OK(unlink("d/own"));
	}
	AS_USER(2000, 2000)
		OK(rename("d/f", "d/g"));
	AS_USER(3000, 3000)
		OK(unlink("d/g"));
}

/* ---- rights ---- */

static void rights_classes(void)
{
	static const struct {
		uid_t uid;
		gid_t gid;
		mode_t mode;
		bool works;
	} t[] = {
		{ 1000, 1000, 0400, true }, { 1000, 1000, 0077, false },
		{ 2000, 5000, 0040, true }, { 2000, 5000, 0707, false },
		{ 2000, 2000, 0004, true }, { 2000, 2000, 0770, false },
	};
	unsigned int i;

	px_put("f", "x");
	OK(chown("f", 1000, 5000));
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		OK(chmod("f", t[i].mode));
		AS_USER(t[i].uid, t[i].gid) {
			if (t[i].works)
				OK(open("f", O_RDONLY));
			else
				ERR(open("f", O_RDONLY), EACCES);
			ERR(open("f", O_RDWR), EACCES);
			EQ(access("f", R_OK), t[i].works ? 0 : -1);
		}
	}
}

static void rights_supplementary(void)
{
	gid_t group = 5000;
	pid_t pid;

	px_put("f", "x");
	OK(chown("f", 0, 5000));
	OK(chmod("f", 0040));
	CHILD(pid) {
		OK(setgroups(1, &group));
		OK(setresgid(1000, 1000, 1000));
		OK(setresuid(1000, 1000, 1000));
		OK(open("f", O_RDONLY));
	}
	JOIN(pid);
}

static void rights_directory(void)
{
	OK(mkdir("d", 0755));
	px_put("d/f", "x");
	OK(mkdir("d/e", 0755));
	AS_USER(1000, 1000) {
		ERR(open("d/new", O_CREAT | O_RDWR, 0600), EACCES);
		ERR(mkdir("d/new", 0700), EACCES);
		ERR(symlink("x", "d/new"), EACCES);
		ERR(mkfifo("d/new", 0700), EACCES);
		ERR(unlink("d/f"), EACCES);
		ERR(rmdir("d/e"), EACCES);
		ERR(rename("d/f", "d/g"), EACCES);
		ERR(open("d", O_TMPFILE | O_RDWR, 0600), EACCES);
		OK(open("d/f", O_RDONLY));
	}
	OK(chmod("d", 0744));
	AS_USER(1000, 1000) {
		struct stat st;

		ERR(lstat("d/f", &st), EACCES);
		ERR(open("d/f", O_RDONLY), EACCES);
		ERR(chdir("d"), EACCES);
		OK(open("d", O_RDONLY | O_DIRECTORY));
	}
	OK(chmod("d", 0711));
	AS_USER(1000, 1000) {
		ERR(open("d", O_RDONLY | O_DIRECTORY), EACCES);
		OK(open("d/f", O_RDONLY));
	}
}

static void rights_after_open(void)
{
	px_put("f", "x");
	OK(chmod("f", 0666));
	AS_USER(1000, 1000) {
		int fd = px_open("f", O_RDWR);
		pid_t pid = getppid();

		(void)pid;
		EQ(write(fd, "y", 1), 1);
	}
	AS_USER(1000, 1000) {
		int fd = px_open("mine", O_CREAT | O_RDWR);
		char c;

		OK(fchmod(fd, 0));
		EQ(write(fd, "z", 1), 1);
		EQ(pread(fd, &c, 1, 0), 1);
		ERR(open("mine", O_RDONLY), EACCES);
	}
}

static void rights_exec(void)
{
	px_put("f", "");
	EQ(access("f", R_OK | W_OK), 0);
	ERR(access("f", X_OK), EACCES);
	OK(chmod("f", 0001));
	OK(access("f", X_OK));
	ERR(access("none", F_OK), ENOENT);
}

/* ---- times ---- */

struct times {
	struct timespec m, c;
};

static struct times times_of(const char *path)
{
	struct stat st = px_stat(path);

	return (struct times){ st.st_mtim, st.st_ctim };
}

static void t_write(void)
{
	EQ(write(px_open("d/f", O_WRONLY), "W", 1), 1);
}

static void t_append(void)
{
	EQ(write(px_open("d/f", O_WRONLY | O_APPEND), "W", 1), 1);
}

static void t_truncate(void)
{
	OK(truncate("d/f", 1));
}

static void t_grow(void)
{
	OK(truncate("d/f", 10000));
}

static void t_ftruncate_same(void)
{
	OK(ftruncate(px_open("d/f", O_RDWR), px_stat("d/f").st_size));
}

static void t_open_trunc(void)
{
	OK(close(px_open("d/f", O_WRONLY | O_TRUNC)));
}

static void t_mmap(void)
{
	int fd = px_open("d/f", O_RDWR);
	char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	THAT(m != MAP_FAILED);
	m[0] = 'M';
	OK(msync(m, 4096, MS_SYNC));
	OK(munmap(m, 4096));
	OK(close(fd));
}

static void t_chmod(void)
{
	OK(chmod("d/f", 0640));
}

static void t_chown(void)
{
	OK(chown("d/f", 5, 6));
}

static void t_link(void)
{
	OK(link("d/f", "d/l"));
}

static void t_unlink(void)
{
	OK(unlink("d/second"));
}

static void t_rename(void)
{
	OK(rename("d/second", "d/third"));
}

static void t_xattr(void)
{
	if (setxattr("d/f", "user.t", "v", 1, 0) < 0 && errno == EOPNOTSUPP)
		px_skip("no xattrs");
}

static void t_create(void)
{
	px_put("d/new", "");
}

static void t_mkdir(void)
{
	OK(mkdir("d/new", 0700));
}

static void t_rmdir(void)
{
	OK(rmdir("d/sub"));
}

static void t_symlink(void)
{
	OK(symlink("x", "d/new"));
}

static void t_mknod(void)
{
	OK(mkfifo("d/new", 0600));
}

static void t_read(void)
{
	char c;
	int fd = px_open("d/f", O_RDONLY);

	EQ(read(fd, &c, 1), 1);
	OK(fsync(fd));
	OK(close(fd));
}

static void t_failed(void)
{
	ERR(mkdir("d/sub", 0700), EEXIST);
	ERR(unlink("d/none"), ENOENT);
	ERR(open("d/f", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	OK(close(px_open("d/f", O_CREAT | O_RDWR)));
}

static void t_copy(void)
{
	off_t off = 0, to = 0;

	px_put("src", "copied");
	EQ(copy_file_range(px_open("src", O_RDONLY), &off,
			   px_open("d/f", O_RDWR), &to, 6, 0), 6);
}

/* What changes: mtime and ctime of the file d/f, of the directory d. */
static const struct {
	const char *name;
	void (*op)(void);
	int fm, fc, dm, dc;
} time_rows[] = {
	{ "write", t_write, 1, 1, 0, 0 },
	{ "append", t_append, 1, 1, 0, 0 },
	{ "truncate", t_truncate, 1, 1, 0, 0 },
	{ "truncate to more", t_grow, 1, 1, 0, 0 },
	{ "ftruncate to the same size", t_ftruncate_same, 1, 1, 0, 0 },
	{ "open O_TRUNC", t_open_trunc, 1, 1, 0, 0 },
	{ "write through a mapping", t_mmap, 1, 1, 0, 0 },
	{ "copy_file_range", t_copy, 1, 1, 0, 0 },
	{ "chmod", t_chmod, 0, 1, 0, 0 },
	{ "chown", t_chown, 0, 1, 0, 0 },
	{ "setxattr", t_xattr, 0, 1, 0, 0 },
	{ "link", t_link, 0, 1, 1, 1 },
	{ "unlink of another name", t_unlink, 0, 1, 1, 1 },
	{ "rename of another name", t_rename, 0, 1, 1, 1 },
	{ "create", t_create, 0, 0, 1, 1 },
	{ "mkdir", t_mkdir, 0, 0, 1, 1 },
	{ "rmdir", t_rmdir, 0, 0, 1, 1 },
	{ "symlink", t_symlink, 0, 0, 1, 1 },
	{ "mknod", t_mknod, 0, 0, 1, 1 },
	{ "read and fsync", t_read, 0, 0, 0, 0 },
	{ "operations that fail or do nothing", t_failed, 0, 0, 0, 0 },
};

static void one_time(const char *op, const char *what, struct timespec before,
		     struct timespec after, struct timespec start, int want)
{
	int cmp = ts_cmp(after, before);

	if (want && (cmp <= 0 || ts_cmp(after, start) < 0))
		FAIL("%s does not advance %s", op, what);
	if (want && after.tv_sec > time(NULL) + 1)
		FAIL("%s puts %s into the future", op, what);
	if (!want && cmp)
		FAIL("%s changes %s", op, what);
}

static void times_row(unsigned int i)
{
	struct timespec old[2] = { { 1000000000, 111 }, { 1000000000, 222 } };
	struct times f, d, f2, d2;
	struct timespec start;

	OK(mkdir("d", 0755));
	OK(mkdir("d/sub", 0755));
	px_put("d/f", "text");
	OK(link("d/f", "d/second"));
	OK(utimensat(AT_FDCWD, "d/f", old, 0));
	OK(utimensat(AT_FDCWD, "d", old, 0));
	f = times_of("d/f");
	d = times_of("d");
	px_tick(f.c);
	px_tick(d.c);
	start = now_coarse();
	time_rows[i].op();
	f2 = times_of("d/f");
	d2 = times_of("d");
	one_time(time_rows[i].name, "mtime", f.m, f2.m, start,
		 time_rows[i].fm);
	one_time(time_rows[i].name, "ctime", f.c, f2.c, start,
		 time_rows[i].fc);
	one_time(time_rows[i].name, "the directory's mtime", d.m, d2.m, start,
		 time_rows[i].dm);
	one_time(time_rows[i].name, "the directory's ctime", d.c, d2.c, start,
		 time_rows[i].dc);
}

/* The volume's file system gets a time of its own for a new owner. */
static void times_chown_again(void)
{
	struct timespec start;
	int i;

	px_put("f", "");
	for (i = 0; i < 300; i++) {
		OK(chown("f", 1 + i % 2, 3));
		start = now_coarse();
		OK(chown("f", -1, -1));
		if (ts_cmp(times_of("f").c, start) < 0)
			FAIL("in round %d ctime is older than the chown", i);
	}
}

static void times_of_operations(void)
{
	unsigned int i, bad = 0;
	int status;
	char dir[16];
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(time_rows); i++) {
		sprintf(dir, "t%u", i);
		OK(mkdir(dir, 0777));
		pid = px_fork();
		if (pid == 0) {
			OK(chdir(dir));
			times_row(i);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		bad += status && status != KSFT_SKIP << 8;
	}
	if (bad)
		FAIL("%u of %zu operations", bad, ARRAY_SIZE(time_rows));
}

static void times_rename(void)
{
	struct timespec c;

	OK(mkdir("d", 0755));
	px_put("f", "");
	c = px_stat("f").st_ctim;
	px_tick(c);
	OK(rename("f", "d/f"));
	THAT(ts_cmp(px_stat("d/f").st_ctim, c) > 0);
	c = px_stat("d").st_ctim;
	px_tick(c);
	OK(rename("d", "e"));
	THAT(ts_cmp(px_stat("e").st_ctim, c) > 0);
}

static void utimens_rules(void)
{
	struct timespec ts[2] = { { 1234567890, 123456789 },
				  { 987654321, 999999999 } };
	struct timespec omit[2] = { { 5, UTIME_OMIT }, { 77, 88 } };
	struct timespec both[2] = { { 0, UTIME_OMIT }, { 0, UTIME_OMIT } };
	struct timespec bad[2] = { { 0, 1000000000 }, { 0, 0 } };
	struct timespec start;
	struct stat st;

	px_put("f", "");
	OK(utimensat(AT_FDCWD, "f", ts, 0));
	st = px_stat("f");
	THAT(!ts_cmp(st.st_atim, ts[0]) && !ts_cmp(st.st_mtim, ts[1]));
	OK(utimensat(AT_FDCWD, "f", omit, 0));
	st = px_stat("f");
	THAT(!ts_cmp(st.st_atim, ts[0]) && !ts_cmp(st.st_mtim, omit[1]));
	OK(utimensat(AT_FDCWD, "f", both, 0));
	ERR(utimensat(AT_FDCWD, "f", bad, 0), EINVAL);
	start = now_coarse();
	OK(utimensat(AT_FDCWD, "f", NULL, 0));
	st = px_stat("f");
	THAT(ts_cmp(st.st_mtim, start) >= 0);
	THAT(!ts_cmp(st.st_mtim, st.st_atim));
	OK(symlink("f", "l"));
	OK(utimensat(AT_FDCWD, "l", ts, AT_SYMLINK_NOFOLLOW));
	st = px_stat("l");
	THAT(!ts_cmp(st.st_mtim, ts[1]));
	OK(mkdir("d", 0700));
	OK(utimensat(AT_FDCWD, "d", ts, 0));
	THAT(!ts_cmp(px_stat("d").st_mtim, ts[1]));
}

static void utimens_range(void)
{
	struct timespec past[2] = { { -86400, 5 }, { -86400, 5 } };
	struct timespec far[2] = { { 4000000000, 7 }, { 4000000000, 7 } };

	px_put("f", "");
	OK(utimensat(AT_FDCWD, "f", past, 0));
	THAT(!ts_cmp(px_stat("f").st_mtim, past[1]));
	OK(utimensat(AT_FDCWD, "f", far, 0));
	THAT(!ts_cmp(px_stat("f").st_mtim, far[1]));
}

static void utimens_rights(void)
{
	struct timespec ts[2] = { { 1, 2 }, { 3, 4 } };

	px_put("f", "");
	OK(chmod("f", 0644));
	AS_USER(1000, 1000) {
		ERR(utimensat(AT_FDCWD, "f", ts, 0), EPERM);
		ERR(utimensat(AT_FDCWD, "f", NULL, 0), EACCES);
	}
	OK(chmod("f", 0666));
	AS_USER(1000, 1000) {
		ERR(utimensat(AT_FDCWD, "f", ts, 0), EPERM);
		OK(utimensat(AT_FDCWD, "f", NULL, 0));
	}
	OK(chown("f", 1000, 1000));
	AS_USER(1000, 1000)
		OK(utimensat(AT_FDCWD, "f", ts, 0));
}

/* Times that were set stay, whatever is done to the contents later. */
static void utimens_stays(void)
{
	struct timespec ts[2] = { { 1000000000, 1 }, { 1000000001, 2 } };
	char buf[8];
	int fd;

	fd = px_open("f", O_CREAT | O_RDWR);
	EQ(write(fd, "data", 4), 4);
	OK(futimens(fd, ts));
	OK(fsync(fd));
	THAT(!ts_cmp(px_fstat(fd).st_mtim, ts[1]));
	OK(close(fd));
	THAT(!ts_cmp(px_stat("f").st_mtim, ts[1]));
	fd = px_open("f", O_RDWR);
	EQ(read(fd, buf, 8), 4);
	OK(close(fd));
	OK(chmod("f", 0600));
	OK(rename("f", "g"));
	THAT(!ts_cmp(px_stat("g").st_mtim, ts[1]));
	sync();
	THAT(!ts_cmp(px_stat("g").st_mtim, ts[1]));
}

static void atime_read(void)
{
	struct timespec ts[2] = { { 1000000000, 1 }, { 1000000001, 2 } };
	struct statvfs v;
	char c;

	OK(statvfs(".", &v));
	if (v.f_flag & ST_NOATIME)
		px_skip("mounted with noatime");
	px_put("f", "x");
	OK(utimensat(AT_FDCWD, "f", ts, 0));
	EQ(read(px_open("f", O_RDONLY | O_NOATIME), &c, 1), 1);
	EQ(px_stat("f").st_atim.tv_sec, 1000000000);
	EQ(read(px_open("f", O_RDONLY), &c, 1), 1);
	THAT(px_stat("f").st_atim.tv_sec > 1000000001);
	EQ(px_stat("f").st_mtim.tv_sec, 1000000001);
}

static void btime(void)
{
	struct timespec start = now_coarse(), b;
	struct statx s;

	px_put("f", "");
	OK(statx(AT_FDCWD, "f", 0, STATX_ALL, &s));
	if (!(s.stx_mask & STATX_BTIME))
		px_skip("no birth time");
	b = (struct timespec){ s.stx_btime.tv_sec, s.stx_btime.tv_nsec };
	THAT(ts_cmp(b, start) >= 0);
	px_tick(b);
	px_put("f", "more");
	OK(chmod("f", 0600));
	OK(rename("f", "g"));
	OK(statx(AT_FDCWD, "g", 0, STATX_ALL, &s));
	EQ(s.stx_btime.tv_sec, b.tv_sec);
	EQ(s.stx_btime.tv_nsec, b.tv_nsec);
}

static void statx_fields(void)
{
	struct statx s;
	struct stat st;

	px_put("f", "12345");
	st = px_stat("f");
	OK(statx(AT_FDCWD, "f", AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &s));
	EQ(s.stx_size, 5);
	EQ(s.stx_ino, st.st_ino);
	EQ(s.stx_nlink, 1);
	EQ(s.stx_mode, st.st_mode);
	OK(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, STATX_SIZE, &s));
	EQ(s.stx_size, 5);
	ERR(statx(AT_FDCWD, "f", 0x80000, STATX_SIZE, &s), EINVAL);
	EQ(st.st_dev, px_stat(".").st_dev);
	THAT(st.st_blksize >= 512);
}

/* What it tells of direct I/O is true. */
static void statx_dioalign(void)
{
	struct statx s;
	char *buf;
	int fd;

	px_put("f", "");
	OK(statx(AT_FDCWD, "f", 0, STATX_DIOALIGN, &s));
	if (!(s.stx_mask & STATX_DIOALIGN))
		px_skip("no STATX_DIOALIGN");
	THAT(s.stx_dio_offset_align > 0);
	buf = xpages(s.stx_dio_offset_align * 2);
	fd = px_open("f", O_RDWR | O_DIRECT);
	EQ(pwrite(fd, buf, s.stx_dio_offset_align, s.stx_dio_offset_align),
	   s.stx_dio_offset_align);
	EQ(pread(fd, buf + s.stx_dio_mem_align, s.stx_dio_offset_align, 0),
	   s.stx_dio_offset_align);
}

/* ---- extended attributes ---- */

static void need_xattr(void)
{
	px_put("f", "");
	if (setxattr("f", "user.probe", "1", 1, 0) < 0 && errno == EOPNOTSUPP)
		px_skip("no xattrs");
	OK(removexattr("f", "user.probe"));
}

static void xattr_rules(void)
{
	char buf[64] = "";

	need_xattr();
	OK(setxattr("f", "user.a", "value", 5, 0));
	EQ(getxattr("f", "user.a", NULL, 0), 5);
	EQ(getxattr("f", "user.a", buf, sizeof(buf)), 5);
	THAT(!strcmp(buf, "value"));
	ERR(getxattr("f", "user.a", buf, 3), ERANGE);
	ERR(getxattr("f", "user.b", buf, 3), ENODATA);
	ERR(setxattr("f", "user.a", "v", 1, XATTR_CREATE), EEXIST);
	ERR(setxattr("f", "user.b", "v", 1, XATTR_REPLACE), ENODATA);
	OK(setxattr("f", "user.a", "longer value", 12, XATTR_REPLACE));
	EQ(getxattr("f", "user.a", buf, sizeof(buf)), 12);
	OK(setxattr("f", "user.empty", "", 0, XATTR_CREATE));
	EQ(getxattr("f", "user.empty", buf, sizeof(buf)), 0);
	OK(removexattr("f", "user.a"));
	ERR(removexattr("f", "user.a"), ENODATA);
	ERR(setxattr("f", "user.", "v", 1, 0), EINVAL);
	ERR(setxattr("f", "unknown.a", "v", 1, 0), EOPNOTSUPP);
	ERR(setxattr("none", "user.a", "v", 1, 0), ENOENT);
	OK(mkdir("d", 0700));
	OK(setxattr("d", "user.a", "v", 1, 0));
	EQ(getxattr("d", "user.a", buf, 1), 1);
}

static void xattr_list(void)
{
	char list[20000], name[32], *s;
	unsigned int i, n = 0;
	ssize_t len;

	need_xattr();
	EQ(listxattr("f", NULL, 0), listxattr("f", list, sizeof(list)));
	for (i = 0; i < 50; i++) {
		sprintf(name, "user.number%u", i);
		OK(setxattr("f", name, name, strlen(name), 0));
	}
	len = OK(listxattr("f", list, sizeof(list)));
	EQ(listxattr("f", NULL, 0), len);
	ERR(listxattr("f", list, 20), ERANGE);
	for (s = list; s < list + len; s += strlen(s) + 1)
		n += !strncmp(s, "user.number", 11);
	EQ(n, 50);
	EQ(getxattr("f", "user.number49", list, sizeof(list)), 13);
}

static void xattr_sizes(void)
{
	char name[300] = "user.", *val = xalloc(70000), *got = xalloc(70000);
	unsigned int i;

	need_xattr();
	memset(name + 5, 'n', 250);
	OK(setxattr("f", name, "v", 1, 0));
	EQ(getxattr("f", name, got, 10), 1);
	name[255] = 'n';
	ERR(setxattr("f", name, "v", 1, 0), ERANGE);
	ERR(setxattr("f", "user.v", val, 65537, 0), E2BIG);
	for (i = 0; i < 65536; i++)
		val[i] = i * 7;
	if (setxattr("f", "user.v", val, 65536, 0) < 0) {
		ERR(setxattr("f", "user.v", val, 65536, 0), ENOSPC);
		px_skip("no xattrs of 64 KiB");
	}
	EQ(getxattr("f", "user.v", got, 70000), 65536);
	THAT(!memcmp(val, got, 65536));
	OK(setxattr("f", "user.v", val, 40000, 0));
	EQ(getxattr("f", "user.v", got, 70000), 40000);
	THAT(!memcmp(val, got, 40000));
}

static void xattr_types(void)
{
	need_xattr();
	OK(symlink("f", "l"));
	ERR(lsetxattr("l", "user.a", "v", 1, 0), EPERM);
	OK(mkfifo("p", 0666));
	ERR(setxattr("p", "user.a", "v", 1, 0), EPERM);
	OK(lsetxattr("l", "trusted.a", "v", 1, 0));
	OK(setxattr("p", "trusted.a", "v", 1, 0));
	EQ(lgetxattr("l", "trusted.a", NULL, 0), 1);
}

static void xattr_trusted(void)
{
	char list[1000];
	ssize_t len;

	need_xattr();
	OK(setxattr("f", "trusted.secret", "v", 1, 0));
	OK(setxattr("f", "user.open", "v", 1, 0));
	OK(chmod("f", 0666));
	AS_USER(1000, 1000) {
		ERR2(getxattr("f", "trusted.secret", list, 10), ENODATA, EPERM);
		ERR(setxattr("f", "trusted.x", "v", 1, 0), EPERM);
		len = OK(listxattr("f", list, sizeof(list)));
		THAT(!memmem(list, len, "trusted", 7));
		THAT(memmem(list, len, "user.open", 9));
		OK(setxattr("f", "user.open", "w", 1, 0));
	}
	OK(chmod("f", 0600));
	AS_USER(1000, 1000) {
		ERR(getxattr("f", "user.open", list, 10), EACCES);
		ERR(setxattr("f", "user.open", "x", 1, 0), EACCES);
	}
}

static void xattr_security(void)
{
	char buf[16] = "";

	need_xattr();
	OK(setxattr("f", "security.px", "label", 5, 0));
	EQ(getxattr("f", "security.px", buf, 16), 5);
	OK(chmod("f", 0666));
	AS_USER(1000, 1000) {
		ERR(setxattr("f", "security.px", "x", 1, 0), EPERM);
		EQ(getxattr("f", "security.px", buf, 16), 5);
	}
	OK(removexattr("f", "security.px"));
}

/* A write takes a file's capabilities away, whoever writes. */
static void capability_dropped(void)
{
	struct vfs_cap_data cap = {
		.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
		.data[0].permitted = 1 << 10,
	};
	char buf[64];

	need_xattr();
	OK(setxattr("f", "security.capability", &cap, sizeof(cap), 0));
	EQ(getxattr("f", "security.capability", buf, 64), sizeof(cap));
	EQ(write(px_open("f", O_WRONLY), "x", 1), 1);
	ERR(getxattr("f", "security.capability", buf, 64), ENODATA);
	OK(setxattr("f", "security.capability", &cap, sizeof(cap), 0));
	OK(truncate("f", 0));
	ERR(getxattr("f", "security.capability", buf, 64), ENODATA);
	OK(setxattr("f", "security.capability", &cap, sizeof(cap), 0));
	OK(chown("f", 1000, 1000));
	ERR(getxattr("f", "security.capability", buf, 64), ENODATA);
	px_put("f", "many");
	px_put("f", "writes");
}

static void xattr_follows(void)
{
	need_xattr();
	OK(setxattr("f", "user.a", "v", 1, 0));
	OK(rename("f", "g"));
	OK(link("g", "h"));
	EQ(getxattr("h", "user.a", NULL, 0), 1);
	OK(unlink("g"));
	OK(unlink("h"));
	px_put("f", "");
	ERR(getxattr("f", "user.a", NULL, 0), ENODATA);
}

const struct px px_attr[] = {
	{ "chmod: rules", chmod_rules },
	{ "chmod: setgid for a foreign group", chmod_foreign_group },
	{ "chown: rules", chown_rules },
	{ "chown: clears setuid and setgid", chown_clears_suid },
	{ "write: clears setuid and setgid for users", write_clears_suid },
	{ "write: keeps setuid for root", root_keeps_suid },
	{ "dir: setgid is inherited", setgid_dir },
	{ "dir: sticky", sticky_dir },
	{ "rights: owner, group, others", rights_classes },
	{ "rights: supplementary groups", rights_supplementary },
	{ "rights: directories", rights_directory },
	{ "rights: are checked at open", rights_after_open },
	{ "rights: access and execute", rights_exec },
	{ "times: each operation changes what it should", times_of_operations },
	{ "times: rename changes ctime", times_rename },
	{ "times: chown to nothing new changes ctime", times_chown_again },
	{ "times: utimensat", utimens_rules },
	{ "times: before 1970 and after 2038", utimens_range },
	{ "times: who may set them", utimens_rights },
	{ "times: that were set stay", utimens_stays },
	{ "times: atime", atime_read },
	{ "times: birth", btime },
	{ "statx: fields", statx_fields },
	{ "statx: STATX_DIOALIGN", statx_dioalign },
	{ "xattr: rules", xattr_rules },
	{ "xattr: list", xattr_list },
	{ "xattr: sizes of names and values", xattr_sizes },
	{ "xattr: types of files", xattr_types },
	{ "xattr: trusted is root's", xattr_trusted },
	{ "xattr: security", xattr_security },
	{ "xattr: a write drops capabilities", capability_dropped },
	{ "xattr: belong to the inode", xattr_follows },
	{ }
};
