/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * posixcheck: a row is a rule and a function or script (px_script.c) that
 * checks it. It runs in a process of its own, in an empty directory, as root,
 * with umask 0. The first thing that is not as it should be ends the row.
 */
#ifndef POSIXCHECK_H
#define POSIXCHECK_H

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include "util.h"

struct px {
	const char *name;
	void (*run)(void);
	const char *script;	/* where there is no function */
};

extern const struct px px_names[], px_data[], px_attr[], px_locks[];
extern const struct px px_rules[], px_rules_times[], px_events[];

void px_script(const char *script);

__attribute__((format(printf, 3, 4), noreturn))
void px_fail(const char *file, int line, const char *fmt, ...);
__attribute__((format(printf, 1, 2), noreturn))
void px_skip(const char *fmt, ...);
/* In the child 0, as that user; in the parent 1 after the child's success. */
int px_fork_user(const char *file, int line, uid_t uid, gid_t gid);
/* Like fork(); px_join() fails the row when the child failed. */
pid_t px_fork(void);
void px_join(const char *file, int line, pid_t pid);
/* Wait until a stamp made now is later than @ts. */
void px_tick(struct timespec ts);
/* Until the process sleeps in the kernel (state S or D). */
void px_wait_asleep(pid_t pid);

#define FAIL(...) px_fail(__FILE__, __LINE__, __VA_ARGS__)

/* The call works; gives what it gives. */
#define OK(call) ({						\
	errno = 0;						\
	long r_ = (long)(call);					\
	if (r_ < 0)						\
		FAIL("%s fails with %s", #call,			\
		     strerrorname_np(errno));			\
	r_; })

/* The call fails with that errno. */
#define ERR(call, e) do {					\
	errno = 0;						\
	long r_ = (long)(call);					\
	if (r_ >= 0)						\
		FAIL("%s works, should fail with %s", #call, #e); \
	if (errno != (e))					\
		FAIL("%s fails with %s, should be %s", #call,	\
		     strerrorname_np(errno), #e);		\
} while (0)

/* The call fails with one of two. */
#define ERR2(call, e, f) do {					\
	errno = 0;						\
	long r_ = (long)(call);					\
	if (r_ >= 0 || (errno != (e) && errno != (f)))		\
		FAIL("%s gives %ld %s, should be %s or %s", #call, r_, \
		     strerrorname_np(errno), #e, #f);		\
} while (0)

#define THAT(cond) do {						\
	if (!(cond))						\
		FAIL("not so: %s", #cond);			\
} while (0)

#define EQ(a, b) do {						\
	long long a_ = (long long)(a), b_ = (long long)(b);	\
	if (a_ != b_)						\
		FAIL("%s is %lld, should be %lld (%s)", #a, a_, b_, #b); \
} while (0)

#define MODE(path, want) do {					\
	unsigned int m_ = px_stat(path).st_mode & 07777;	\
	if (m_ != (want))					\
		FAIL("mode of %s is %04o, should be %04o", path, m_, want); \
} while (0)

#define AS_USER(uid, gid)					\
	for (int s_ = px_fork_user(__FILE__, __LINE__, uid, gid); !s_; \
	     _exit(0))

#define CHILD(pid)						\
	for (pid = px_fork(); pid == 0; _exit(0))

#define JOIN(pid) px_join(__FILE__, __LINE__, pid)

struct stat px_stat(const char *path);
struct stat px_fstat(int fd);
/* A file with @text, mode 0644; returns nothing open. */
void px_put(const char *path, const char *text);
/* Its contents are @text. */
void px_holds(const char *path, const char *text);
int px_open(const char *path, int flags);	/* mode 0644 */
bool px_exists(const char *path);

#endif
