// SPDX-License-Identifier: GPL-2.0-only
/*
 * posixcheck: rules that a POSIX file system on Linux keeps, one row each, in
 * TAP. Runs in any directory; a rule that a good local file system breaks is
 * wrong here.
 */
#include <dirent.h>
#include <fnmatch.h>
#include <ftw.h>
#include <getopt.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include "px.h"

#define ROW_SECONDS 120

static const char *base;

void px_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	printf("#   %s:%d: ", file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

void px_skip(const char *fmt, ...)
{
	va_list ap;

	printf("#   skipped: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	_exit(KSFT_SKIP);
}

pid_t px_fork(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		FAIL("fork: %m");
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

void px_join(const char *file, int line, pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		px_fail(file, line, "waitpid: %m");
	if (WIFSIGNALED(status))
		px_fail(file, line, "child died of signal %d",
			WTERMSIG(status));
	if (WEXITSTATUS(status) == KSFT_SKIP)
		_exit(KSFT_SKIP);
	if (WEXITSTATUS(status))
		px_fail(file, line, "... in the child started here");
}

int px_fork_user(const char *file, int line, uid_t uid, gid_t gid)
{
	pid_t pid = px_fork();

	if (pid) {
		px_join(file, line, pid);
		return 1;
	}
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		px_fail(file, line, "cannot become user %u: %m", uid);
	return 0;
}

void px_tick(struct timespec ts)
{
	while (ts_cmp(now_coarse(), ts) <= 0)
		;
}

void px_wait_asleep(pid_t pid)
{
	char path[64], line[512], *s;
	FILE *f;

	sprintf(path, "/proc/%d/stat", pid);
	for (;;) {
		f = fopen(path, "r");
		if (!f || !fgets(line, sizeof(line), f))
			FAIL("%s: %m", path);
		fclose(f);
		s = strrchr(line, ')');
		if (s && (s[2] == 'S' || s[2] == 'D'))
			return;
		sched_yield();
	}
}

struct stat px_stat(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		FAIL("stat of %s fails with %s", path, strerrorname_np(errno));
	return st;
}

struct stat px_fstat(int fd)
{
	struct stat st;

	OK(fstat(fd, &st));
	return st;
}

int px_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);

	if (fd < 0)
		FAIL("open of %s (flags %o) fails with %s", path, flags,
		     strerrorname_np(errno));
	return fd;
}

void px_put(const char *path, const char *text)
{
	int fd = px_open(path, O_CREAT | O_TRUNC | O_WRONLY);

	if (*text)
		EQ(write(fd, text, strlen(text)), strlen(text));
	OK(close(fd));
}

void px_holds(const char *path, const char *text)
{
	int fd = px_open(path, O_RDONLY);
	char buf[4096] = "";
	ssize_t len = OK(read(fd, buf, sizeof(buf) - 1));

	if (len != (ssize_t)strlen(text) || memcmp(buf, text, len))
		FAIL("%s holds '%s', should hold '%s'", path, buf, text);
	close(fd);
}

bool px_exists(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0)
		return true;
	if (errno != ENOENT)
		FAIL("stat of %s fails with %s", path, strerrorname_np(errno));
	return false;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	return remove(path);
}

/* 0, 1 or KSFT_SKIP */
static int run_row(const struct px *row)
{
	char dir[PATH_MAX];
	int status;
	pid_t pid;

	snprintf(dir, sizeof(dir), "%s/row", base);
	if (mkdir(dir, 0777) < 0)
		die("posixcheck: mkdir %s: %m", dir);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("posixcheck: fork: %m");
	if (pid == 0) {
		setpgid(0, 0);
		if (chdir(dir) < 0)
			FAIL("chdir %s: %m", dir);
		alarm(ROW_SECONDS);
		if (row->run)
			row->run();
		else
			px_script(row->script);
		fflush(stdout);
		_exit(0);
	}
	setpgid(pid, pid);
	if (waitpid(pid, &status, 0) != pid)
		die("posixcheck: waitpid: %m");
	kill(-pid, SIGKILL);
	if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0) {
		printf("#   cannot remove the row's directory: %m\n");
		if (!WIFEXITED(status) || !WEXITSTATUS(status))
			status = 1 << 8;
		snprintf(dir, sizeof(dir), "%s/left.%d", base, pid);
		rename("row", dir);
	}
	if (WIFSIGNALED(status)) {
		printf("#   died of signal %d%s\n", WTERMSIG(status),
		       WTERMSIG(status) == SIGALRM ? " (too slow)" : "");
		return 1;
	}
	return WEXITSTATUS(status);
}

static const struct px *const tables[] = {
	px_names, px_data, px_attr, px_locks, px_rules, px_rules_times,
	px_events,
};

static unsigned int failed, skipped, number;

static void run_tables(const char *pattern)
{
	const struct px *row;
	unsigned int i;
	int rc;

	for (i = 0; i < ARRAY_SIZE(tables); i++) {
		for (row = tables[i]; row->name; row++) {
			if (pattern && fnmatch(pattern, row->name, 0))
				continue;
			rc = run_row(row);
			number++;
			if (rc == KSFT_SKIP)
				skipped++;
			else if (rc)
				failed++;
			printf("%sok %u - %s%s\n",
			       rc && rc != KSFT_SKIP ? "not " : "", number,
			       row->name, rc == KSFT_SKIP ? " # SKIP" : "");
		}
	}
}

int main(int argc, char **argv)
{
	char dir[PATH_MAX];

	if (argc < 2 || argc > 3 || argv[1][0] == '-')
		die("usage: posixcheck DIR [PATTERN]");
	if (geteuid() != 0)
		die("posixcheck: run it as root: it changes owners and users");
	setvbuf(stdout, NULL, _IOLBF, 0);
	umask(0);
	snprintf(dir, sizeof(dir), "%s/posixcheck.%d", argv[1], getpid());
	if (mkdir(dir, 0777) < 0)
		die("posixcheck: mkdir %s: %m", dir);
	base = realpath(dir, NULL);
	run_tables(argc == 3 ? argv[2] : NULL);
	if (rmdir(base) < 0 && !failed) {
		printf("# cannot remove %s: %m\n", base);
		failed++;
	}
	printf("1..%u\n# %u passed, %u failed, %u skipped\n", number,
	       number - failed - skipped, failed, skipped);
	return failed ? 1 : 0;
}
