// SPDX-License-Identifier: Apache-2.0
/* Messages, texts, and the daemon's offline modes. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <json-c/json.h>

#include "orchctl.h"

static void vmessage(const char *fmt, va_list ap)
{
	fflush(stdout);
	fputs("orchctl: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int fail(int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vmessage(fmt, ap);
	va_end(ap);
	return rc;
}

void warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vmessage(fmt, ap);
	va_end(ap);
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		exit(fail(RC_FAILED, "out of memory"));
	return p;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		exit(fail(RC_FAILED, "out of memory"));
	return s;
}

const char *human_size(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB",
					     "PiB", "EiB" };
	static char bufs[4][32];
	static unsigned int next;
	char *buf = bufs[next++ % 4];
	double v = (double)bytes;
	size_t u = 0;

	while (v >= 1024 && u < 6) {
		v /= 1024;
		u++;
	}
	snprintf(buf, sizeof(bufs[0]), u ? "%.1f %s" : "%.0f %s", v, units[u]);
	return buf;
}

const char *uuid_text(const void *uuid, size_t len)
{
	static char bufs[2][37];
	static unsigned int next;
	const unsigned char *u = uuid;
	char *buf = bufs[next++ % 2];

	if (len != 16)
		return "-";
	snprintf(buf, sizeof(bufs[0]),
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9],
		 u[10], u[11], u[12], u[13], u[14], u[15]);
	return buf;
}

char *store_dir(const char *ns, const char *store)
{
	return store ? xasprintf("%s", store) :
	       xasprintf("%s/%s", opts.state_dir, ns);
}

int lock_store(const char *dir, bool exclusive)
{
	char *path = xasprintf("%s/lock", dir);
	int fd, err;

	fd = open(path, (exclusive ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC,
		  0600);
	err = -errno;
	free(path);
	if (fd < 0)
		return err;
	if (!flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB))
		return fd;
	err = errno == EWOULDBLOCK ? -EBUSY : -errno;
	close(fd);
	return err;
}

static bool usable(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

/* ORCHD, then beside orchctl, as installed and as built, then PATH. */
static char *find_orchd(void)
{
	static const char *const near[] = {
		"orchd", "../sbin/orchd", "../../orchd/orchd",
	};
	const char *env = getenv("ORCHD");
	char self[4096], *slash, *path;
	ssize_t n;
	size_t i;

	if (env && *env)
		return xasprintf("%s", env);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0) {
		self[n] = 0;
		slash = strrchr(self, '/');
		if (slash)
			*slash = 0;
		for (i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
			path = xasprintf("%s/%s", self, near[i]);
			if (usable(path))
				return path;
			free(path);
		}
	}
	if (usable("/usr/local/sbin/orchd"))
		return xasprintf("/usr/local/sbin/orchd");
	if (usable("/usr/sbin/orchd"))
		return xasprintf("/usr/sbin/orchd");
	return xasprintf("orchd");
}

/* @quiet: stdout is kept for what orchctl itself has to say. */
static int spawn_orchd(const char *const *args, int nr, int in, bool quiet)
{
	const char **argv = xcalloc(nr + 2, sizeof(*argv));
	char *orchd = find_orchd();
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		free(orchd);
		free(argv);
		return fail(RC_FAILED, "fork: %s", strerror(errno));
	}
	if (!pid) {
		if (in >= 0 && dup2(in, 0) < 0)
			_exit(126);
		if (quiet && dup2(2, 1) < 0)
			_exit(126);
		argv[0] = orchd;
		memcpy(argv + 1, args, nr * sizeof(*argv));
		execvp(orchd, (char *const *)argv);
		fprintf(stderr, "orchctl: %s: %s: install orchd, or name it by the variable ORCHD\n",
			orchd, strerror(errno));
		_exit(127);
	}
	free(orchd);
	free(argv);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return fail(RC_FAILED, "waiting for orchd: %s",
				    strerror(errno));
	if (WIFSIGNALED(status))
		return fail(RC_FAILED, "orchd %s was killed by signal %d", args[0],
			    WTERMSIG(status));
	return WEXITSTATUS(status) ? RC_FAILED : RC_OK;
}

int run_orchd_args(const char *const *args, int nr, int in)
{
	return spawn_orchd(args, nr, in, false);
}

int run_orchd(const char *mode, const char *ns, const char *dir, int in)
{
	const char *const args[] = { mode, ns, "--store", dir };

	return spawn_orchd(args, 4, in, opts.json);
}

void print_json(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_SPACED |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

void print_done(void)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "done", json_object_new_boolean(true));
	print_json(o);
}

static bool utf8_follows(const unsigned char *s, size_t left, size_t n)
{
	size_t i;

	if (left <= n)
		return false;
	for (i = 1; i <= n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return false;
	return true;
}

/* Bytes of the UTF-8 sequence at s, 0 when it is none. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		return utf8_follows(s, left, 1) ? 2 : 0;
	if (s[0] >= 0xe0 && s[0] <= 0xef)
		return utf8_follows(s, left, 2) &&
		       !(s[0] == 0xe0 && s[1] < 0xa0) &&
		       !(s[0] == 0xed && s[1] > 0x9f) ? 3 : 0;
	if (s[0] >= 0xf0 && s[0] <= 0xf4)
		return utf8_follows(s, left, 3) &&
		       !(s[0] == 0xf0 && s[1] < 0x90) &&
		       !(s[0] == 0xf4 && s[1] > 0x8f) ? 4 : 0;
	return 0;
}

/*
 * File names are bytes, JSON is UTF-8: a byte that is part of no sequence
 * becomes \xHH as text.
 */
struct json_object *json_bytes(const void *p, size_t len)
{
	const unsigned char *s = p;
	char *buf = xcalloc(len, 4), *out = buf;
	struct json_object *o;
	size_t n, i;

	for (i = 0; i < len; i += n) {
		n = utf8_len(s + i, len - i);
		if (n) {
			memcpy(out, s + i, n);
			out += n;
		} else {
			out += sprintf(out, "\\x%02x", s[i]);
			n = 1;
		}
	}
	o = json_object_new_string_len(buf, out - buf);
	free(buf);
	return o;
}

struct json_object *json_uint(uint64_t v)
{
	return json_object_new_uint64(v);
}
