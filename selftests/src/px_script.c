// SPDX-License-Identifier: GPL-2.0-only
/*
 * posixcheck: rows that are scripts. Statements are separated by ";", words by
 * blanks. A call is followed by what it gives, "= ERRNO" or "= ERRNO|ERRNO";
 * without that it has to work. "as UID GID[,GID...]" before a call makes it as
 * that user. A word "@N" is a name of N bytes, "@/N" a path of N bytes that
 * leads to the name x.
 *
 *   note PATH...             remember the times of these, let the clock tick
 *   changed PATH WHICH [OLD] of m and c, exactly WHICH ("mc", "c", "-") are
 *                            later than those of PATH (or OLD) were
 *   is PATH FIELD VALUE      type, mode, nlink, uid, gid, size
 *   ro DIR                   DIR is on a read-only mount from now on
 *   cold                     the kernel forgets the names that nobody uses
 */
#include <grp.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include "px.h"

#define WORDS_MAX 16

struct call {
	int nr;
	char *word[WORDS_MAX];
	const char *text;		/* the statement, for messages */
};

static const char *arg(const struct call *c, int i)
{
	if (i >= c->nr)
		FAIL("%s: a word is missing", c->text);
	return c->word[i];
}

static long num(const struct call *c, int i)
{
	return strtol(arg(c, i), NULL, 0);
}

struct flag {
	const char *name;
	int value;
};

static int flags_of(const struct call *c, int i, const struct flag *table)
{
	char text[128], *save = NULL, *s;
	const struct flag *f;
	int flags = 0;

	snprintf(text, sizeof(text), "%s", arg(c, i));
	for (s = strtok_r(text, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
		for (f = table; f->name && strcmp(f->name, s); f++)
			;
		if (!f->name)
			FAIL("%s: unknown flag %s", c->text, s);
		flags |= f->value;
	}
	return flags;
}

static const struct flag open_flags[] = {
	{ "RDONLY", O_RDONLY }, { "WRONLY", O_WRONLY }, { "RDWR", O_RDWR },
	{ "CREAT", O_CREAT }, { "EXCL", O_EXCL }, { "TRUNC", O_TRUNC },
	{ "APPEND", O_APPEND }, { "DIRECTORY", O_DIRECTORY },
	{ "NOFOLLOW", O_NOFOLLOW }, { "PATH", O_PATH },
	{ "NOATIME", O_NOATIME }, { "TMPFILE", O_TMPFILE },
	{ "NONBLOCK", O_NONBLOCK }, { }
};

/* ---- calls ---- */

static int do_open(const struct call *c)
{
	int fd = open(arg(c, 1), flags_of(c, 2, open_flags) | O_CLOEXEC,
		      c->nr > 3 ? num(c, 3) : 0644);

	if (fd < 0)
		return -1;
	return close(fd);
}

static int do_put(const struct call *c)
{
	px_put(arg(c, 1), c->nr > 2 ? c->word[2] : "");
	return 0;
}

/* write PATH FLAGS TEXT */
static int do_write(const struct call *c)
{
	int fd = open(arg(c, 1), flags_of(c, 2, open_flags) | O_CLOEXEC);
	const char *text = c->nr > 3 ? c->word[3] : "";
	ssize_t len;

	if (fd < 0)
		return -1;
	len = write(fd, text, strlen(text));
	close(fd);
	return len == (ssize_t)strlen(text) ? 0 : -1;
}

static int do_read(const struct call *c)
{
	int fd = open(arg(c, 1), O_RDONLY | O_CLOEXEC);
	char buf[64];
	ssize_t len;

	if (fd < 0)
		return -1;
	len = read(fd, buf, sizeof(buf));
	close(fd);
	return len < 0 ? -1 : 0;
}

static int do_ftruncate(const struct call *c)
{
	int fd = open(arg(c, 1), flags_of(c, 2, open_flags) | O_CLOEXEC), rc;

	if (fd < 0)
		return -1;
	rc = ftruncate(fd, num(c, 3));
	close(fd);
	return rc;
}

static int do_fallocate(const struct call *c)
{
	int fd = open(arg(c, 1), flags_of(c, 2, open_flags) | O_CLOEXEC), rc;

	if (fd < 0)
		return -1;
	rc = posix_fallocate(fd, num(c, 3), num(c, 4));
	close(fd);
	errno = rc;
	return rc ? -1 : 0;
}

static int bind_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), rc;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	rc = bind(fd, (struct sockaddr *)&a, sizeof(a));
	close(fd);
	return rc;
}

static int do_mknod(const struct call *c)
{
	static const struct flag types[] = {
		{ "fifo", S_IFIFO }, { "chr", S_IFCHR }, { "blk", S_IFBLK },
		{ "sock", S_IFSOCK }, { "reg", S_IFREG }, { "dir", S_IFDIR },
		{ }
	};
	dev_t dev = c->nr > 5 ? makedev(num(c, 4), num(c, 5)) : 0;

	return mknod(arg(c, 1), flags_of(c, 2, types) | num(c, 3), dev);
}

/* make PATH TYPE: one of that type */
static int do_make(const struct call *c)
{
	const char *path = arg(c, 1), *type = arg(c, 2);

	switch (*type) {
	case 'f':
		return mknod(path, S_IFREG | 0644, 0);
	case 'd':
		return mkdir(path, 0755);
	case 'l':
		return symlink("none", path);
	case 'p':
		return mkfifo(path, 0644);
	case 'c':
		return mknod(path, S_IFCHR | 0644, makedev(1, 3));
	case 'b':
		return mknod(path, S_IFBLK | 0644, makedev(7, 99));
	case 's':
		return bind_socket(path);
	default:
		FAIL("%s: no such type", c->text);
	}
}

static void set_time(struct timespec *ts, const char *s)
{
	ts->tv_sec = 0;
	if (!strcmp(s, "now"))
		ts->tv_nsec = UTIME_NOW;
	else if (!strcmp(s, "omit"))
		ts->tv_nsec = UTIME_OMIT;
	else
		*ts = (struct timespec){ atoll(s), 5 };
}

/* utimes PATH ATIME MTIME [nofollow] */
static int do_utimes(const struct call *c)
{
	struct timespec ts[2];

	set_time(&ts[0], arg(c, 2));
	set_time(&ts[1], arg(c, 3));
	return utimensat(AT_FDCWD, arg(c, 1), ts,
			 c->nr > 4 ? AT_SYMLINK_NOFOLLOW : 0);
}

static int do_rename2(const struct call *c)
{
	static const struct flag flags[] = {
		{ "noreplace", RENAME_NOREPLACE },
		{ "exchange", RENAME_EXCHANGE },
		{ "whiteout", RENAME_WHITEOUT }, { "0", 0 }, { }
	};

	return renameat2(AT_FDCWD, arg(c, 1), AT_FDCWD, arg(c, 2),
			 flags_of(c, 3, flags));
}

/* flag PATH i|a|-: immutable, append-only, none */
static int do_flag(const struct call *c)
{
	static const struct flag flags[] = {
		{ "i", FS_IMMUTABLE_FL }, { "a", FS_APPEND_FL }, { "-", 0 },
		{ "d", FS_NODUMP_FL }, { "A", FS_NOATIME_FL },
		{ "S", FS_SYNC_FL }, { }
	};
	int fd = open(arg(c, 1), O_RDONLY | O_NONBLOCK | O_CLOEXEC), rc;
	int value, want = flags_of(c, 2, flags);

	if (fd < 0)
		return -1;
	rc = ioctl(fd, FS_IOC_GETFLAGS, &value);
	value = (value & ~(FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL |
			   FS_NOATIME_FL | FS_SYNC_FL)) | want;
	if (!rc)
		rc = ioctl(fd, FS_IOC_SETFLAGS, &value);
	close(fd);
	return rc;
}

static int do_ro(const struct call *c)
{
	const char *dir = arg(c, 1);

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(dir, dir, NULL, MS_BIND, NULL) < 0)
		FAIL("bind mount: %m");
	return mount("none", dir, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
}

static int do_cold(const struct call *c)
{
	px_put("/proc/sys/vm/drop_caches", "2");
	return 0;
}

static int do_simple(const struct call *c)
{
	const char *name = c->word[0];

#define CALL(n, expr) if (!strcmp(name, n)) return expr
	CALL("mkdir", mkdir(arg(c, 1), num(c, 2)));
	CALL("rmdir", rmdir(arg(c, 1)));
	CALL("unlink", unlink(arg(c, 1)));
	CALL("link", link(arg(c, 1), arg(c, 2)));
	CALL("symlink", symlink(arg(c, 1), arg(c, 2)));
	CALL("rename", rename(arg(c, 1), arg(c, 2)));
	CALL("mkfifo", mkfifo(arg(c, 1), num(c, 2)));
	CALL("chmod", chmod(arg(c, 1), num(c, 2)));
	CALL("chown", chown(arg(c, 1), num(c, 2), num(c, 3)));
	CALL("lchown", lchown(arg(c, 1), num(c, 2), num(c, 3)));
	CALL("truncate", truncate(arg(c, 1), num(c, 2)));
	CALL("access", access(arg(c, 1), num(c, 2)));
	CALL("chdir", chdir(arg(c, 1)));
	CALL("umask", (umask(num(c, 1)), 0));
	CALL("setxattr", setxattr(arg(c, 1), arg(c, 2), "v", 1, 0));
	CALL("removexattr", removexattr(arg(c, 1), arg(c, 2)));
#undef CALL
	FAIL("%s: no such call", c->text);
}

static int run_call(const struct call *c)
{
	static const struct {
		const char *name;
		int (*run)(const struct call *c);
	} calls[] = {
		{ "open", do_open }, { "put", do_put }, { "write", do_write },
		{ "read", do_read }, { "ftruncate", do_ftruncate },
		{ "fallocate", do_fallocate }, { "mknod", do_mknod },
		{ "make", do_make }, { "utimes", do_utimes },
		{ "rename2", do_rename2 }, { "flag", do_flag }, { "ro", do_ro },
		{ "cold", do_cold },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++)
		if (!strcmp(calls[i].name, c->word[0]))
			return calls[i].run(c);
	return do_simple(c);
}

/* 0 or the errno that it fails with */
static int result_of(const struct call *c)
{
	errno = 0;
	return run_call(c) < 0 ? errno : 0;
}

static int result_as(const struct call *c, char *uid, char *gids)
{
	gid_t gid[8];
	int n = 0, status;
	char *s;
	pid_t pid;

	for (s = strtok(gids, ","); s && n < 8; s = strtok(NULL, ","))
		gid[n++] = strtol(s, NULL, 0);
	pid = px_fork();
	if (!pid) {
		uid_t u = strtol(uid, NULL, 0);

		if (setgroups(n - 1, gid + 1) < 0 ||
		    setresgid(gid[0], gid[0], gid[0]) < 0 ||
		    setresuid(u, u, u) < 0)
			FAIL("cannot become user %s: %m", uid);
		_exit(result_of(c));
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		FAIL("%s: died of signal %d", c->text, WTERMSIG(status));
	return WEXITSTATUS(status);
}

/* ---- assertions ---- */

static struct {
	char path[256];
	struct stat st;
} noted[8];
static unsigned int nr_noted;

static void note(const struct call *c)
{
	struct timespec last = { 0 };
	int i;

	nr_noted = 0;
	for (i = 1; i < c->nr; i++, nr_noted++) {
		if (nr_noted == ARRAY_SIZE(noted))
			FAIL("%s: too many", c->text);
		snprintf(noted[nr_noted].path, sizeof(noted[0].path), "%s",
			 c->word[i]);
		noted[nr_noted].st = px_stat(c->word[i]);
		if (ts_cmp(noted[nr_noted].st.st_ctim, last) > 0)
			last = noted[nr_noted].st.st_ctim;
	}
	px_tick(last);
}

static const struct stat *noted_of(const struct call *c, const char *path)
{
	unsigned int i;

	for (i = 0; i < nr_noted; i++)
		if (!strcmp(noted[i].path, path))
			return &noted[i].st;
	FAIL("%s: %s was not noted", c->text, path);
}

static void changed(const struct call *c)
{
	const struct stat *old = noted_of(c, arg(c, c->nr > 3 ? 3 : 1));
	const char *which = arg(c, 2);
	struct stat st = px_stat(arg(c, 1));
	int m = ts_cmp(st.st_mtim, old->st_mtim);
	int t = ts_cmp(st.st_ctim, old->st_ctim);

	if (m != !!strchr(which, 'm'))
		FAIL("%s: mtime %s", c->text, m > 0 ? "changed" :
		     m ? "went back" : "did not change");
	if (t != !!strchr(which, 'c'))
		FAIL("%s: ctime %s", c->text, t > 0 ? "changed" :
		     t ? "went back" : "did not change");
}

static char type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return 'f';
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFIFO:
		return 'p';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	case S_IFSOCK:
		return 's';
	default:
		return '?';
	}
}

static void is(const struct call *c)
{
	struct stat st = px_stat(arg(c, 1));
	const char *field = arg(c, 2);
	long want = num(c, 3), got;

	if (!strcmp(field, "type")) {
		want = *arg(c, 3);
		got = type_of(st.st_mode);
	} else if (!strcmp(field, "mode")) {
		got = st.st_mode & 07777;
	} else if (!strcmp(field, "nlink")) {
		got = st.st_nlink;
	} else if (!strcmp(field, "uid")) {
		got = st.st_uid;
	} else if (!strcmp(field, "gid")) {
		got = st.st_gid;
	} else if (!strcmp(field, "size")) {
		got = st.st_size;
	} else {
		FAIL("%s: no such field", c->text);
	}
	if (got != want)
		FAIL("%s: it is %ld (%#lo)", c->text, got, got);
}

/* ---- statements ---- */

static void expect(const char *text, int got, char *want)
{
	char all[64], *s, *save = NULL;

	snprintf(all, sizeof(all), "%s", want);
	for (s = strtok_r(want, "|", &save); s; s = strtok_r(NULL, "|", &save))
		if (!strcmp(s, got ? strerrorname_np(got) : "0"))
			return;
	FAIL("%s: gives %s, should give %s", text,
	     got ? strerrorname_np(got) : "0", all);
}

/* "@N" and "@/N" */
static char *word_of(char *s)
{
	bool path = s[1] == '/';
	size_t i, n;
	char *w;

	if (*s != '@')
		return s;
	n = strtoul(s + 1 + path, NULL, 10);
	w = xalloc(n + 1);
	memset(w, path ? '/' : 'n', n);
	for (i = 0; path && i + 2 < n; i += 2)
		w[i] = '.';
	if (path)
		w[n - 1] = 'x';
	return w;
}

static void statement(char *text)
{
	char *copy = xstrdup(text), *save = NULL, *s, *want = NULL;
	char *uid = NULL, *gids = NULL;
	struct call c = { .text = copy };
	int got;

	for (s = strtok_r(text, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
		if (!strcmp(s, "=")) {
			want = strtok_r(NULL, " ", &save);
			break;
		}
		if (!strcmp(s, "as") && !c.nr) {
			uid = strtok_r(NULL, " ", &save);
			gids = strtok_r(NULL, " ", &save);
			continue;
		}
		if (c.nr == WORDS_MAX)
			FAIL("%s: too many words", copy);
		c.word[c.nr++] = word_of(s);
	}
	if (!c.nr)
		FAIL("'%s' has no call", copy);
	if (!strcmp(c.word[0], "note")) {
		note(&c);
	} else if (!strcmp(c.word[0], "changed")) {
		changed(&c);
	} else if (!strcmp(c.word[0], "is")) {
		is(&c);
	} else {
		got = uid ? result_as(&c, uid, gids) : result_of(&c);
		expect(copy, got, want ? want : (char [2]){ "0" });
	}
}

void px_script(const char *script)
{
	char *text = xstrdup(script), *save = NULL, *s;

	for (s = strtok_r(text, ";", &save); s; s = strtok_r(NULL, ";", &save))
		statement(s);
}
