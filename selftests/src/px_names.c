// SPDX-License-Identifier: GPL-2.0-only
/* posixcheck: names, open, links, rename, directories, special files. */
#include <dirent.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include "px.h"

#define NOREPLACE	1
#define EXCHANGE	2
#define WHITEOUT	4

static char name255[256], name256[257];

static void long_names(void)
{
	memset(name255, 'n', 255);
	memset(name256, 'n', 256);
}

/* ---- open ---- */

static void excl_existing(void)
{
	px_put("f", "x");
	ERR(open("f", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	OK(symlink("nowhere", "l"));
	ERR(open("l", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	OK(mkdir("d", 0700));
	ERR(open("d", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	px_holds("f", "x");
}

static void excl_new(void)
{
	int fd = OK(open("f", O_CREAT | O_EXCL | O_RDWR, 0));
	char c;

	EQ(px_fstat(fd).st_nlink, 1);
	OK(write(fd, "a", 1));
	EQ(pread(fd, &c, 1, 0), 1);
	MODE("f", 0);
	OK(close(fd));
}

static void open_missing(void)
{
	ERR(open("f", O_RDONLY), ENOENT);
	ERR(open("d/f", O_CREAT | O_RDWR, 0600), ENOENT);
	ERR(open("", O_RDONLY), ENOENT);
	OK(symlink("nowhere", "l"));
	ERR(open("l", O_RDONLY), ENOENT);
	ERR(open("f", O_RDONLY), ENOENT);
}

static void creat_through_symlink(void)
{
	OK(symlink("f", "l"));
	OK(close(OK(open("l", O_CREAT | O_RDWR, 0600))));
	THAT(S_ISREG(px_stat("f").st_mode));
	THAT(S_ISLNK(px_stat("l").st_mode));
}

static void open_directory(void)
{
	OK(mkdir("d", 0755));
	px_put("f", "");
	ERR(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
	ERR(open("d", O_RDWR), EISDIR);
	ERR(open("d", O_CREAT | O_RDONLY, 0600), EISDIR);
	OK(close(OK(open("d", O_RDONLY | O_DIRECTORY))));
	ERR(open("f/", O_RDONLY), ENOTDIR);
	ERR(open("new/", O_CREAT | O_RDWR, 0600), EISDIR);
}

static void open_nofollow(void)
{
	px_put("f", "");
	OK(symlink("f", "l"));
	ERR(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
	OK(close(OK(open("l", O_PATH | O_NOFOLLOW))));
}

static void open_trunc(void)
{
	px_put("f", "some text");
	OK(close(OK(open("f", O_WRONLY | O_TRUNC))));
	EQ(px_stat("f").st_size, 0);
	px_put("f", "some text");
	OK(close(OK(open("f", O_CREAT | O_WRONLY | O_TRUNC, 0600))));
	EQ(px_stat("f").st_size, 0);
	EQ(px_stat("f").st_blocks, 0);
}

static void open_path(void)
{
	char c;
	int fd;

	px_put("f", "x");
	fd = OK(open("f", O_PATH));
	EQ(px_fstat(fd).st_size, 1);
	ERR(read(fd, &c, 1), EBADF);
	ERR(fchmod(fd, 0600), EBADF);
	OK(close(fd));
}

static void open_umask(void)
{
	umask(027);
	OK(close(OK(open("f", O_CREAT | O_RDWR, 0777))));
	MODE("f", 0750);
	OK(mkdir("d", 0777));
	MODE("d", 0750);
	OK(mknod("p", S_IFIFO | 0666, 0));
	MODE("p", 0640);
}

static void open_readonly_creat(void)
{
	int fd = OK(open("f", O_CREAT | O_RDONLY, 0200));

	ERR(write(fd, "x", 1), EBADF);
	OK(close(fd));
	fd = OK(open("f", O_CREAT | O_WRONLY, 0200));
	ERR(read(fd, name255, 1), EBADF);
}

static void open_mode_ignored(void)
{
	px_put("f", "");
	OK(close(OK(open("f", O_CREAT | O_RDWR, 0777))));
	MODE("f", 0644);
}

static void tmpfile_works(void)
{
	int fd = open(".", O_TMPFILE | O_RDWR, 0640);
	char path[64], buf[8] = "";
	struct stat st;

	if (fd < 0 && errno == EOPNOTSUPP)
		px_skip("no O_TMPFILE");
	OK(fd);
	EQ(px_fstat(fd).st_nlink, 0);
	EQ(write(fd, "secret", 6), 6);
	EQ(pread(fd, buf, 7, 0), 6);
	THAT(!strcmp(buf, "secret"));
	sprintf(path, "/proc/self/fd/%d", fd);
	OK(linkat(AT_FDCWD, path, AT_FDCWD, "f", AT_SYMLINK_FOLLOW));
	st = px_stat("f");
	EQ(st.st_nlink, 1);
	EQ(st.st_mode & 07777, 0640);
	EQ(st.st_ino, px_fstat(fd).st_ino);
	ERR(linkat(AT_FDCWD, path, AT_FDCWD, "f", AT_SYMLINK_FOLLOW), EEXIST);
	OK(linkat(AT_FDCWD, path, AT_FDCWD, "g", AT_SYMLINK_FOLLOW));
	EQ(px_stat("g").st_nlink, 2);
	OK(close(fd));
	px_holds("f", "secret");
}

static void tmpfile_rules(void)
{
	char path[64];
	int fd;

	fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
	if (fd < 0 && errno == EOPNOTSUPP)
		px_skip("no O_TMPFILE");
	OK(fd);
	sprintf(path, "/proc/self/fd/%d", fd);
	ERR(linkat(AT_FDCWD, path, AT_FDCWD, "f", AT_SYMLINK_FOLLOW), ENOENT);
	ERR(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
	px_put("f", "");
	ERR(open("f", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
	ERR(open("none", O_TMPFILE | O_RDWR, 0600), ENOENT);
}

/* ---- names ---- */

static void name_255(void)
{
	long_names();
	px_put(name255, "long");
	px_holds(name255, "long");
	OK(rename(name255, "a"));
	OK(rename("a", name255));
	OK(link(name255, "b"));
	OK(unlink(name255));
	OK(mkdir(name255, 0700));
	OK(rmdir(name255));
	OK(symlink("x", name255));
	OK(unlink(name255));
}

static void name_256(void)
{
	struct stat st;

	long_names();
	px_put("f", "");
	ERR(open(name256, O_CREAT | O_RDWR, 0600), ENAMETOOLONG);
	ERR(open(name256, O_RDONLY), ENAMETOOLONG);
	ERR(lstat(name256, &st), ENAMETOOLONG);
	ERR(mkdir(name256, 0700), ENAMETOOLONG);
	ERR(rmdir(name256), ENAMETOOLONG);
	ERR(unlink(name256), ENAMETOOLONG);
	ERR(symlink("x", name256), ENAMETOOLONG);
	ERR(mknod(name256, S_IFIFO | 0600, 0), ENAMETOOLONG);
	ERR(link("f", name256), ENAMETOOLONG);
	ERR(rename("f", name256), ENAMETOOLONG);
	ERR(rename(name256, "f"), ENAMETOOLONG);
}

static void path_too_long(void)
{
	char path[4200];
	struct stat st;
	int i;

	for (i = 0; i < 4096; i += 2)
		memcpy(path + i, "./", 2);
	path[4096] = 'f';
	path[4097] = '\0';
	ERR(stat(path, &st), ENAMETOOLONG);
	ERR(open(path, O_CREAT | O_RDWR, 0600), ENAMETOOLONG);
}

static void name_bytes(void)
{
	char name[4] = "a_b";
	unsigned int c, count = 0;
	struct dirent *de;
	DIR *d;

	for (c = 1; c < 256; c++) {
		if (c == '/')
			continue;
		name[1] = c;
		OK(mknod(name, S_IFREG | 0600, 0));
	}
	d = opendir(".");
	while ((de = readdir(d)))
		count += de->d_name[0] == 'a' && de->d_name[2] == 'b';
	EQ(count, 254);
	closedir(d);
}

static void names_distinct(void)
{
	px_put("File", "upper");
	px_put("file", "lower");
	px_holds("File", "upper");
	px_put("e\xcc\x81", "decomposed");
	px_put("\xc3\xa9", "composed");
	px_holds("e\xcc\x81", "decomposed");
}

static void component_not_dir(void)
{
	struct stat st;

	px_put("f", "");
	ERR(lstat("f/x", &st), ENOTDIR);
	ERR(open("f/x", O_CREAT | O_RDWR, 0600), ENOTDIR);
	ERR(mkdir("f/x", 0700), ENOTDIR);
	ERR(unlink("f/x"), ENOTDIR);
	ERR(rename("f", "f/x"), ENOTDIR);
	ERR(symlink("x", "f/x"), ENOTDIR);
	ERR(chdir("f"), ENOTDIR);
	OK(mkdir("d", 0700));
	ERR(lstat("d/none/x", &st), ENOENT);
}

static void symlink_loop(void)
{
	char a[16], b[16];
	struct stat st;
	int i;

	OK(symlink("b", "a"));
	OK(symlink("a", "b"));
	ERR(stat("a", &st), ELOOP);
	ERR(open("a", O_RDONLY), ELOOP);
	px_put("s0", "end");
	for (i = 0; i < 41; i++) {
		sprintf(a, "s%d", i);
		sprintf(b, "s%d", i + 1);
		OK(symlink(a, b));
	}
	OK(stat("s40", &st));
	ERR(stat("s41", &st), ELOOP);
}

/* ---- directories ---- */

static void mkdir_rules(void)
{
	px_put("f", "");
	OK(mkdir("d", 0750));
	MODE("d", 0750);
	ERR(mkdir("d", 0700), EEXIST);
	ERR(mkdir("f", 0700), EEXIST);
	OK(symlink("nowhere", "l"));
	ERR(mkdir("l", 0700), EEXIST);
	ERR(mkdir(".", 0700), EEXIST);
	ERR(mkdir("none/d", 0700), ENOENT);
	OK(mkdir("slash/", 0700));
}

static void rmdir_rules(void)
{
	px_put("f", "");
	OK(mkdir("d", 0700));
	px_put("d/f", "");
	ERR(rmdir("d"), ENOTEMPTY);
	ERR(rmdir("f"), ENOTDIR);
	ERR(rmdir("none"), ENOENT);
	ERR(rmdir("d/."), EINVAL);
	ERR(rmdir("d/.."), ENOTEMPTY);
	OK(unlink("d/f"));
	OK(symlink("d", "l"));
	ERR(rmdir("l"), ENOTDIR);
	OK(rmdir("d"));
	THAT(!px_exists("d"));
}

static void rmdir_current(void)
{
	struct stat st;

	OK(mkdir("d", 0700));
	OK(chdir("d"));
	OK(rmdir("../d"));
	OK(stat(".", &st));
	EQ(st.st_nlink, 0);
	ERR(open("f", O_CREAT | O_RDWR, 0600), ENOENT);
	ERR(mkdir("e", 0700), ENOENT);
	OK(chdir(".."));
}

static void rmdir_open(void)
{
	struct dirent *de;
	int n = 0;
	DIR *d;

	OK(mkdir("d", 0700));
	d = opendir("d");
	THAT(d);
	OK(rmdir("d"));
	ERR(openat(dirfd(d), "f", O_CREAT | O_RDWR, 0600), ENOENT);
	while ((de = readdir(d)))
		n += de->d_name[0] != '.';
	EQ(n, 0);
	closedir(d);
}

static void unlink_rules(void)
{
	OK(mkdir("d", 0700));
	ERR(unlink("d"), EISDIR);
	ERR(unlink("none"), ENOENT);
	px_put("f", "");
	ERR(unlink("f/"), ENOTDIR);
	OK(symlink("f", "l"));
	OK(unlink("l"));
	THAT(px_exists("f"));
	ERR(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR), ENOTDIR);
	OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
}

static void dir_nlink(void)
{
	OK(mkdir("d", 0700));
	EQ(px_stat("d").st_nlink, 2);
	OK(mkdir("d/a", 0700));
	OK(mkdir("d/b", 0700));
	px_put("d/f", "");
	EQ(px_stat("d").st_nlink, 4);
	OK(mkdir("e", 0700));
	OK(rename("d/a", "e/a"));
	EQ(px_stat("d").st_nlink, 3);
	EQ(px_stat("e").st_nlink, 3);
	OK(rmdir("d/b"));
	EQ(px_stat("d").st_nlink, 2);
	OK(mkdir("d/c", 0700));
	OK(rename("e/a", "d/c"));
	EQ(px_stat("d").st_nlink, 3);
	EQ(px_stat("e").st_nlink, 2);
}

static void dot_dot(void)
{
	ino_t up, self;
	struct dirent *de;
	int dots = 0;
	DIR *d;

	OK(mkdir("a", 0700));
	OK(mkdir("b", 0700));
	OK(mkdir("a/d", 0700));
	EQ(px_stat("a/d/..").st_ino, px_stat("a").st_ino);
	OK(rename("a/d", "b/d"));
	EQ(px_stat("b/d/..").st_ino, px_stat("b").st_ino);
	up = px_stat("b").st_ino;
	self = px_stat("b/d").st_ino;
	d = opendir("b/d");
	THAT(d);
	while ((de = readdir(d))) {
		if (!strcmp(de->d_name, "."))
			EQ(de->d_ino, self);
		else if (!strcmp(de->d_name, ".."))
			EQ(de->d_ino, up);
		else
			continue;
		dots++;
	}
	EQ(dots, 2);
	closedir(d);
}

static void getcwd_works(void)
{
	char before[PATH_MAX], after[PATH_MAX];

	OK(mkdir("d", 0700));
	OK(mkdir("d/e", 0700));
	THAT(getcwd(before, sizeof(before)));
	OK(chdir("d/e"));
	OK(rename("../../d", "../../moved"));
	THAT(getcwd(after, sizeof(after)));
	strcat(before, "/moved/e");
	THAT(!strcmp(before, after));
}

static void readdir_types(void)
{
	unsigned int seen = 0;
	struct dirent *de;
	struct stat st;
	DIR *d;

	px_put("reg", "");
	OK(mkdir("dir", 0700));
	OK(symlink("x", "lnk"));
	OK(mknod("fifo", S_IFIFO | 0600, 0));
	OK(mknod("chr", S_IFCHR | 0600, makedev(1, 3)));
	OK(mknod("blk", S_IFBLK | 0600, makedev(7, 0)));
	OK(mknod("sock", S_IFSOCK | 0600, 0));
	d = opendir(".");
	while ((de = readdir(d))) {
		st = px_stat(de->d_name);
		if (strcmp(de->d_name, ".."))
			EQ(de->d_ino, st.st_ino);
		if (de->d_type != DT_UNKNOWN)
			EQ(de->d_type, IFTODT(st.st_mode));
		seen++;
	}
	EQ(seen, 9);
	closedir(d);
}

static unsigned int fill_dir(const char *dir, unsigned int count)
{
	char path[64];
	unsigned int i;

	OK(mkdir(dir, 0777));
	for (i = 0; i < count; i++) {
		sprintf(path, "%s/f%05u", dir, i);
		OK(mknod(path, S_IFREG | 0600, 0));
	}
	return count;
}

#define BIG 1500

static void readdir_large(void)
{
	unsigned char seen[BIG] = { 0 };
	unsigned int i, n = 0;
	struct dirent *de;
	DIR *d;

	fill_dir("d", BIG);
	d = opendir("d");
	THAT(d);
	while ((de = readdir(d))) {
		if (sscanf(de->d_name, "f%u", &i) != 1)
			continue;
		THAT(i < BIG && !seen[i]);
		seen[i] = 1;
		n++;
	}
	EQ(n, BIG);
	closedir(d);
}

static void readdir_small_buffer(void)
{
	int fd, n = 0;
	char buf[280];
	long len, at;

	fill_dir("d", 300);
	fd = px_open("d", O_RDONLY | O_DIRECTORY);
	ERR(syscall(SYS_getdents64, fd, buf, 8), EINVAL);
	while ((len = OK(syscall(SYS_getdents64, fd, buf, sizeof(buf)))) > 0)
		for (at = 0; at < len; n++)
			at += *(unsigned short *)(buf + at + 16);
	EQ(n, 302);
}

/* Every entry that is there all the time is seen once from each position. */
static void seekdir_stable(void)
{
	char path[64], first[300][16];
	long pos[300];
	unsigned int n = 0, i;
	struct dirent *de;
	DIR *d;

	fill_dir("d", 300);
	d = opendir("d");
	THAT(d);
	for (;;) {
		long at = telldir(d);

		de = readdir(d);
		if (!de)
			break;
		if (de->d_name[0] != 'f')
			continue;
		THAT(n < 300);
		pos[n] = at;
		strcpy(first[n++], de->d_name);
	}
	EQ(n, 300);
	for (i = 0; i < 200; i++) {
		sprintf(path, "d/g%u", i);
		OK(mknod(path, S_IFREG | 0600, 0));
	}
	for (i = 1; i < 300; i += 2) {
		sprintf(path, "d/%s", first[i]);
		OK(unlink(path));
	}
	for (i = 0; i < 300; i += 14) {
		seekdir(d, pos[i]);
		do {
			de = readdir(d);
			THAT(de);
		} while (de->d_name[0] != 'f');
		if (strcmp(de->d_name, first[i]))
			FAIL("seekdir to %s gives %s", first[i], de->d_name);
	}
	closedir(d);
}

static void readdir_while_changing(void)
{
	unsigned char seen[1000] = { 0 };
	unsigned int i, n = 0, k = 0;
	struct dirent *de;
	char path[64];
	DIR *d;

	fill_dir("d", 1000);
	d = opendir("d");
	THAT(d);
	while ((de = readdir(d))) {
		if (sscanf(de->d_name, "f%u", &i) != 1)
			continue;
		THAT(i < 1000);
		if (seen[i])
			FAIL("%s is listed twice", de->d_name);
		seen[i] = 1;
		n++;
		if (k >= 1000)
			continue;
		sprintf(path, "d/n%05u", k++);
		OK(mknod(path, S_IFREG | 0600, 0));
		if (k % 2)
			OK(unlink(path));
	}
	EQ(n, 1000);
	closedir(d);
}

/* rm -r: unlink what readdir gives, as it comes. */
static void readdir_while_removing(void)
{
	unsigned int n = 0;
	struct dirent *de;
	DIR *d;

	fill_dir("d", 1200);
	d = opendir("d");
	THAT(d);
	while ((de = readdir(d))) {
		if (de->d_name[0] != 'f')
			continue;
		OK(unlinkat(dirfd(d), de->d_name, 0));
		n++;
	}
	closedir(d);
	EQ(n, 1200);
	OK(rmdir("d"));
}

static void rewinddir_news(void)
{
	struct dirent *de;
	int n = 0;
	DIR *d;

	OK(mkdir("d", 0700));
	d = opendir("d");
	while (readdir(d))
		;
	px_put("d/new", "");
	rewinddir(d);
	while ((de = readdir(d)))
		n += !strcmp(de->d_name, "new");
	EQ(n, 1);
	closedir(d);
}

/* ---- links ---- */

static void link_rules(void)
{
	px_put("f", "x");
	OK(mkdir("d", 0700));
	OK(link("f", "g"));
	EQ(px_stat("f").st_nlink, 2);
	EQ(px_stat("f").st_ino, px_stat("g").st_ino);
	ERR(link("f", "g"), EEXIST);
	ERR(link("f", "d"), EEXIST);
	ERR(link("d", "e"), EPERM);
	ERR(link("none", "e"), ENOENT);
	ERR(link("f", "none/e"), ENOENT);
	px_put("g", "changed");
	px_holds("f", "changed");
	OK(unlink("f"));
	EQ(px_stat("g").st_nlink, 1);
}

static void link_symlink(void)
{
	int fd;

	px_put("f", "");
	OK(symlink("f", "l"));
	OK(link("l", "m"));
	THAT(S_ISLNK(px_stat("m").st_mode));
	EQ(px_stat("l").st_nlink, 2);
	OK(linkat(AT_FDCWD, "l", AT_FDCWD, "n", AT_SYMLINK_FOLLOW));
	THAT(S_ISREG(px_stat("n").st_mode));
	fd = px_open("f", O_RDONLY);
	OK(linkat(fd, "", AT_FDCWD, "o", AT_EMPTY_PATH));
	EQ(px_stat("o").st_nlink, 3);
}

static void link_other_fs(void)
{
	struct stat st;

	if (stat("/dev/shm", &st) < 0 || st.st_dev == px_stat(".").st_dev)
		px_skip("no other file system");
	px_put("f", "");
	ERR(link("f", "/dev/shm/px-link"), EXDEV);
	ERR(rename("f", "/dev/shm/px-link"), EXDEV);
	ERR(link("/proc/version", "v"), EXDEV);
}

static void link_many(void)
{
	char name[16];
	int i;

	px_put("f", "");
	for (i = 0; i < 150; i++) {
		sprintf(name, "l%d", i);
		OK(link("f", name));
	}
	EQ(px_stat("l7").st_nlink, 151);
	for (i = 0; i < 150; i++) {
		sprintf(name, "l%d", i);
		OK(unlink(name));
	}
	EQ(px_stat("f").st_nlink, 1);
}

static void symlink_rules(void)
{
	char target[5000], buf[5000];

	memset(target, 't', sizeof(target));
	target[1000] = '\0';
	OK(symlink(target, "l"));
	EQ(readlink("l", buf, sizeof(buf)), 1000);
	THAT(!memcmp(buf, target, 1000));
	EQ(px_stat("l").st_size, 1000);
	EQ(readlink("l", buf, 10), 10);
	EQ(px_stat("l").st_mode & 0777, 0777);
	ERR(symlink("x", "l"), EEXIST);
	ERR(symlink("", "m"), ENOENT);
	target[1000] = 't';
	target[4999] = '\0';
	ERR(symlink(target, "m"), ENAMETOOLONG);
	px_put("f", "");
	ERR(readlink("f", buf, sizeof(buf)), EINVAL);
	ERR(readlink("none", buf, sizeof(buf)), ENOENT);
}

static void symlink_walk(void)
{
	OK(mkdir("d", 0755));
	px_put("d/f", "x");
	OK(symlink("d", "rel"));
	px_holds("rel/f", "x");
	OK(symlink("../d/f", "d/up"));
	px_holds("rel/up", "x");
	OK(symlink("/proc/self/status", "abs"));
	OK(close(px_open("abs", O_RDONLY)));
	OK(chdir("rel"));
	px_holds("../d/f", "x");
}

/* ---- rename ---- */

static void rename_file(void)
{
	ino_t ino;

	px_put("a", "A");
	ino = px_stat("a").st_ino;
	OK(rename("a", "b"));
	THAT(!px_exists("a"));
	EQ(px_stat("b").st_ino, ino);
	px_holds("b", "A");
	px_put("c", "C");
	OK(rename("b", "c"));
	px_holds("c", "A");
	EQ(px_stat("c").st_nlink, 1);
	ERR(rename("none", "c"), ENOENT);
	ERR(rename("c", "none/c"), ENOENT);
	ERR(rename("c", "d/"), ENOTDIR);
}

static void rename_types(void)
{
	px_put("f", "");
	OK(mkdir("d", 0700));
	OK(mkdir("e", 0700));
	OK(mkdir("full", 0700));
	px_put("full/f", "");
	ERR(rename("f", "d"), EISDIR);
	ERR(rename("d", "f"), ENOTDIR);
	ERR2(rename("d", "full"), ENOTEMPTY, EEXIST);
	OK(rename("full", "d"));
	THAT(px_exists("d/f"));
	THAT(!px_exists("full"));
	OK(symlink("d", "l"));
	OK(rename("f", "l"));
	THAT(S_ISREG(px_stat("l").st_mode));
}

static void rename_into_self(void)
{
	OK(mkdir("d", 0700));
	OK(mkdir("d/e", 0700));
	OK(mkdir("d/e/f", 0700));
	ERR(rename("d", "d/x"), EINVAL);
	ERR(rename("d", "d/e/x"), EINVAL);
	ERR(rename("d", "d/e"), EINVAL);
	ERR(rename("d/e/f", "d"), ENOTEMPTY);
	ERR(renameat2(AT_FDCWD, "d", AT_FDCWD, "d/e/f", EXCHANGE), EINVAL);
	ERR2(rename("d/.", "x"), EBUSY, EINVAL);
	ERR2(rename("d", "d/e/.."), EBUSY, ENOTEMPTY);
	OK(rename("d", "d"));
}

static void rename_same_inode(void)
{
	px_put("f", "x");
	OK(link("f", "g"));
	OK(rename("f", "g"));
	THAT(px_exists("f") && px_exists("g"));
	EQ(px_stat("f").st_nlink, 2);
	OK(rename("f", "f"));
}

static void rename_noreplace(void)
{
	px_put("a", "A");
	px_put("b", "B");
	ERR(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", NOREPLACE), EEXIST);
	px_holds("b", "B");
	OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", NOREPLACE));
	px_holds("c", "A");
	ERR(renameat2(AT_FDCWD, "c", AT_FDCWD, "c", NOREPLACE), EEXIST);
	ERR(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", NOREPLACE | EXCHANGE),
	    EINVAL);
	ERR(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", 128), EINVAL);
}

static void rename_exchange(void)
{
	px_put("a", "A");
	OK(mkdir("d", 0700));
	OK(mkdir("p", 0700));
	OK(mkdir("d/sub", 0700));
	px_put("p/b", "B");
	ERR(renameat2(AT_FDCWD, "a", AT_FDCWD, "none", EXCHANGE), ENOENT);
	OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "p/b", EXCHANGE));
	px_holds("a", "B");
	px_holds("p/b", "A");
	OK(renameat2(AT_FDCWD, "p/b", AT_FDCWD, "d", EXCHANGE));
	px_holds("d", "A");
	THAT(S_ISDIR(px_stat("p/b/sub").st_mode));
	EQ(px_stat("p").st_nlink, 3);
	EQ(px_stat("p/b/..").st_ino, px_stat("p").st_ino);
	OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "a", EXCHANGE));
}

static void rename_whiteout(void)
{
	struct stat st;

	px_put("a", "A");
	if (renameat2(AT_FDCWD, "a", AT_FDCWD, "b", WHITEOUT) < 0) {
		EQ(errno, EINVAL);
		px_skip("no RENAME_WHITEOUT");
	}
	st = px_stat("a");
	THAT(S_ISCHR(st.st_mode) && st.st_rdev == 0);
	px_holds("b", "A");
}

static void rename_over_open(void)
{
	char buf[8] = "";
	int fd;

	px_put("a", "new");
	px_put("b", "old");
	fd = px_open("b", O_RDWR);
	OK(rename("a", "b"));
	EQ(px_fstat(fd).st_nlink, 0);
	EQ(pread(fd, buf, 8, 0), 3);
	THAT(!strcmp(buf, "old"));
	EQ(pwrite(fd, "OLD", 3, 0), 3);
	px_holds("b", "new");
}

static void rename_slashes(void)
{
	px_put("f", "");
	OK(mkdir("d", 0700));
	ERR(rename("f/", "g"), ENOTDIR);
	ERR(rename("f", "g/"), ENOTDIR);
	OK(rename("d/", "e/"));
	THAT(S_ISDIR(px_stat("e").st_mode));
}

/* ---- unlinked and open ---- */

/* What isn't in memory is asked for, or left to the operation itself. */
static void forget_names(void)
{
	int fd;

	sync();
	fd = OK(open("/proc/sys/vm/drop_caches", O_WRONLY));
	OK(write(fd, "3", 1));
	OK(close(fd));
}

static void rename_over_cold(void)
{
	px_put("a", "new");
	px_put("b", "old");
	OK(link("b", "other"));
	OK(mkdir("d", 0777));
	OK(mkdir("e", 0777));
	OK(mkdir("full", 0777));
	px_put("full/x", "");
	forget_names();
	ERR(rename("a", "full"), EISDIR);
	forget_names();
	ERR(rename("d", "b"), ENOTDIR);
	forget_names();
	ERR2(rename("d", "full"), ENOTEMPTY, EEXIST);
	forget_names();
	OK(rename("d", "e"));
	EQ(px_stat(".").st_nlink, 4);
	THAT(!px_exists("d"));
	forget_names();
	OK(rename("a", "b"));
	px_holds("b", "new");
	px_holds("other", "old");
	EQ(px_stat("other").st_nlink, 1);
	OK(unlink("other"));
	forget_names();
	px_put("c", "last");
	OK(rename("c", "b"));
	px_holds("b", "last");
}

/* One name of it is open, the one that is replaced isn't known. */
static void rename_over_cold_link(void)
{
	int fd;

	px_put("a", "new");
	px_put("b", "old");
	OK(link("b", "c"));
	forget_names();
	fd = px_open("b", O_RDONLY);
	OK(rename("a", "c"));
	EQ(px_fstat(fd).st_nlink, 1);
	forget_names();
	px_put("a", "newer");
	OK(link("b", "d"));
	OK(unlink("b"));
	forget_names();
	OK(rename("a", "d"));
	EQ(px_fstat(fd).st_nlink, 0);
	px_holds("d", "newer");
	OK(close(fd));
}

static void rename_cold_same_inode(void)
{
	px_put("f", "");
	OK(link("f", "g"));
	forget_names();
	OK(rename("f", "g"));
	THAT(px_exists("f"));
	THAT(px_exists("g"));
	EQ(px_stat("g").st_nlink, 2);
}

static void rename_cold_sticky(void)
{
	OK(mkdir("d", 0777));
	OK(chmod("d", 01777));
	px_put("d/mine", "m");
	px_put("d/mine2", "m");
	px_put("d/root", "r");
	OK(chown("d/mine", 1000, 1000));
	OK(chown("d/mine2", 1000, 1000));
	forget_names();
	AS_USER(1000, 1000)
		ERR(rename("d/mine", "d/root"), EPERM);
	forget_names();
	AS_USER(1000, 1000)
		ERR(renameat2(AT_FDCWD, "d/mine", AT_FDCWD, "d/root",
			      EXCHANGE), EPERM);
	forget_names();
	AS_USER(1001, 1001)
		ERR(rename("d/mine", "d/mine2"), EPERM);
	forget_names();
	AS_USER(1000, 1000)
		OK(rename("d/mine", "d/mine2"));
	px_holds("d/mine2", "m");
	forget_names();
	OK(rename("d/mine2", "d/root"));
	px_holds("d/root", "m");
	OK(chown("d", 1000, 1000));
	px_put("d/x", "x");
	px_put("d/y", "y");
	forget_names();
	AS_USER(1000, 1000)
		OK(rename("d/x", "d/y"));
	px_holds("d/y", "x");
}

static void unlink_open(void)
{
	char buf[16] = "", path[64];
	ino_t ino;
	int fd;

	px_put("f", "first");
	fd = px_open("f", O_RDWR);
	ino = px_fstat(fd).st_ino;
	OK(unlink("f"));
	THAT(!px_exists("f"));
	EQ(px_fstat(fd).st_nlink, 0);
	px_put("f", "second");
	THAT(px_stat("f").st_ino != ino);
	EQ(pread(fd, buf, 16, 0), 5);
	THAT(!strcmp(buf, "first"));
	EQ(pwrite(fd, "more", 4, 5), 4);
	EQ(px_fstat(fd).st_size, 9);
	OK(ftruncate(fd, 3));
	OK(fchmod(fd, 0600));
	OK(fsync(fd));
	sprintf(path, "/proc/self/fd/%d", fd);
	ERR(linkat(AT_FDCWD, path, AT_FDCWD, "g", AT_SYMLINK_FOLLOW), ENOENT);
	OK(close(px_open(path, O_RDWR)));
	px_holds("f", "second");
	OK(close(fd));
}

/* ---- special files ---- */

static void device_node(void)
{
	char c;
	int fd;

	OK(mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	OK(mknod("zero", S_IFCHR | 0666, makedev(1, 5)));
	EQ(px_stat("null").st_rdev, makedev(1, 3));
	OK(mknod("big", S_IFBLK | 0600, makedev(511, 262143)));
	EQ(px_stat("big").st_rdev, makedev(511, 262143));
	ERR(mknod("null", S_IFCHR | 0666, makedev(1, 3)), EEXIST);
	fd = open("null", O_RDWR);
	if (fd < 0 && errno == EACCES)
		px_skip("mounted with nodev");
	OK(fd);
	EQ(write(fd, "x", 1), 1);
	EQ(read(fd, &c, 1), 0);
	fd = px_open("zero", O_RDONLY);
	EQ(read(fd, &c, 1), 1);
	EQ(c, 0);
	AS_USER(1000, 1000)
		ERR(mknod("own", S_IFCHR | 0666, makedev(1, 3)), EPERM);
}

static void fifo(void)
{
	char buf[8] = "";
	pid_t pid;
	int fd;

	OK(mkfifo("p", 0600));
	ERR(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
	CHILD(pid) {
		fd = px_open("p", O_WRONLY);
		EQ(write(fd, "hello", 5), 5);
	}
	fd = px_open("p", O_RDONLY);
	EQ(read(fd, buf, 8), 5);
	THAT(!strcmp(buf, "hello"));
	JOIN(pid);
	EQ(read(fd, buf, 8), 0);
	EQ(px_stat("p").st_size, 0);
}

static void unix_socket(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "s" };
	int s = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	int c = OK(socket(AF_UNIX, SOCK_STREAM, 0));

	OK(bind(s, (void *)&sa, sizeof(sa)));
	THAT(S_ISSOCK(px_stat("s").st_mode));
	ERR(open("s", O_RDWR), ENXIO);
	OK(listen(s, 1));
	OK(connect(c, (void *)&sa, sizeof(sa)));
	ERR(bind(OK(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&sa, sizeof(sa)),
	    EADDRINUSE);
	OK(unlink("s"));
}

static void file_handle(void)
{
	struct {
		struct file_handle fh;
		unsigned char bytes[MAX_HANDLE_SZ];
	} h = { .fh.handle_bytes = MAX_HANDLE_SZ };
	int mount_id, dir, fd;

	px_put("f", "x");
	if (name_to_handle_at(AT_FDCWD, "f", &h.fh, &mount_id, 0) < 0) {
		EQ(errno, EOPNOTSUPP);
		px_skip("no file handles");
	}
	OK(rename("f", "g"));
	dir = px_open(".", O_RDONLY);
	fd = OK(open_by_handle_at(dir, &h.fh, O_RDONLY));
	EQ(px_fstat(fd).st_ino, px_stat("g").st_ino);
	OK(close(fd));
	OK(unlink("g"));
	ERR(open_by_handle_at(dir, &h.fh, O_RDONLY), ESTALE);
}

static void statfs_rules(void)
{
	struct statfs s;
	struct statvfs v;
	int fd;

	OK(statfs(".", &s));
	THAT(s.f_type != 0);
	EQ(s.f_namelen, 255);
	THAT(s.f_bsize >= 512);
	THAT(s.f_blocks > 0 && s.f_bfree <= s.f_blocks);
	THAT(s.f_bavail <= s.f_bfree && s.f_bavail > 0);
	THAT(s.f_ffree <= s.f_files);
	OK(statvfs(".", &v));
	THAT(v.f_frsize > 0 && v.f_blocks > 0);
	fd = px_open("f", O_CREAT | O_RDWR);
	OK(fstatfs(fd, &s));
	ERR(statfs("none", &s), ENOENT);
}

const struct px px_names[] = {
	{ "open: O_EXCL with an existing name gives EEXIST", excl_existing },
	{ "open: O_EXCL makes a new file, also of mode 0", excl_new },
	{ "open: what is missing gives ENOENT", open_missing },
	{ "open: O_CREAT through a symlink", creat_through_symlink },
	{ "open: directories", open_directory },
	{ "open: O_NOFOLLOW", open_nofollow },
	{ "open: O_TRUNC", open_trunc },
	{ "open: O_PATH", open_path },
	{ "open: umask", open_umask },
	{ "open: O_CREAT with rights that the mode does not give",
	  open_readonly_creat },
	{ "open: O_CREAT does not change an existing mode", open_mode_ignored },
	{ "tmpfile: has no name, gets one by linkat", tmpfile_works },
	{ "tmpfile: O_EXCL and wrong uses", tmpfile_rules },
	{ "name: of 255 bytes", name_255 },
	{ "name: of 256 bytes gives ENAMETOOLONG", name_256 },
	{ "name: path of more than 4095 bytes", path_too_long },
	{ "name: any byte but slash", name_bytes },
	{ "name: case and form are kept apart", names_distinct },
	{ "name: through what is not a directory", component_not_dir },
	{ "name: loop of symlinks gives ELOOP", symlink_loop },
	{ "dir: mkdir", mkdir_rules },
	{ "dir: rmdir", rmdir_rules },
	{ "dir: rmdir of the current directory", rmdir_current },
	{ "dir: rmdir of an open directory", rmdir_open },
	{ "dir: unlink", unlink_rules },
	{ "dir: link counts of directories", dir_nlink },
	{ "dir: dot and dot-dot follow a rename", dot_dot },
	{ "dir: getcwd follows a rename", getcwd_works },
	{ "readdir: types and inode numbers", readdir_types },
	{ "readdir: large directory, each name once", readdir_large },
	{ "readdir: small buffer", readdir_small_buffer },
	{ "readdir: positions stay valid while entries come and go",
	  seekdir_stable },
	{ "readdir: names that stay are listed once while others come and go",
	  readdir_while_changing },
	{ "readdir: removing each name as it comes removes all",
	  readdir_while_removing },
	{ "readdir: rewinddir shows what is new", rewinddir_news },
	{ "link: rules", link_rules },
	{ "link: symlinks and AT_EMPTY_PATH", link_symlink },
	{ "link: to another file system gives EXDEV", link_other_fs },
	{ "link: many", link_many },
	{ "symlink: rules", symlink_rules },
	{ "symlink: walked in the middle of a path", symlink_walk },
	{ "rename: files", rename_file },
	{ "rename: types", rename_types },
	{ "rename: into itself gives EINVAL", rename_into_self },
	{ "rename: two names of one inode", rename_same_inode },
	{ "rename: NOREPLACE", rename_noreplace },
	{ "rename: EXCHANGE", rename_exchange },
	{ "rename: WHITEOUT", rename_whiteout },
	{ "rename: over an open file", rename_over_open },
	{ "rename: trailing slashes", rename_slashes },
	{ "rename: over what isn't in memory", rename_over_cold },
	{ "rename: over a name that isn't in memory of an open file",
	  rename_over_cold_link },
	{ "rename: two names of one inode, one not in memory",
	  rename_cold_same_inode },
	{ "rename: sticky directory, over what isn't in memory",
	  rename_cold_sticky },
	{ "unlink: an open file lives on", unlink_open },
	{ "special: device nodes", device_node },
	{ "special: FIFO", fifo },
	{ "special: unix socket", unix_socket },
	{ "handle: name_to_handle_at", file_handle },
	{ "statfs", statfs_rules },
	{ }
};
