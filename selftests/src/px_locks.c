// SPDX-License-Identifier: GPL-2.0-only
/* posixcheck: flock, POSIX locks, OFD locks. */
#include <signal.h>
#include <sys/file.h>
#include "px.h"

static int lock(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock fl = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = start,
		.l_len = len,
	};

	return fcntl(fd, cmd, &fl);
}

static int new_file(void)
{
	return px_open("f", O_CREAT | O_RDWR);
}

static void flock_rules(void)
{
	int a = new_file(), b = new_file(), c = OK(dup(a));

	OK(flock(a, LOCK_EX));
	ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	ERR(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	OK(flock(c, LOCK_EX | LOCK_NB));
	OK(flock(a, LOCK_SH));
	OK(flock(b, LOCK_SH | LOCK_NB));
	ERR(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	OK(flock(b, LOCK_UN));
	OK(flock(a, LOCK_EX | LOCK_NB));
	OK(close(a));
	ERR(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	OK(close(c));
	OK(flock(b, LOCK_EX | LOCK_NB));
	ERR(flock(b, 0), EINVAL);
}

/* flock works on a descriptor without any right to write. */
static void flock_readonly(void)
{
	int a, b;

	px_put("f", "");
	a = px_open("f", O_RDONLY);
	b = px_open("f", O_RDONLY);
	OK(flock(a, LOCK_EX));
	ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	a = px_open(".", O_RDONLY);
	OK(flock(a, LOCK_EX));
}

static void flock_blocks(void)
{
	int a = new_file();
	pid_t pid;

	OK(flock(a, LOCK_EX));
	CHILD(pid) {
		int b = px_open("f", O_RDWR);
		char c = 0;

		OK(flock(b, LOCK_EX));
		EQ(pread(b, &c, 1, 0), 1);
		EQ(c, 'u');
	}
	px_wait_asleep(pid);
	EQ(write(a, "u", 1), 1);
	OK(flock(a, LOCK_UN));
	JOIN(pid);
}

static void on_alarm(int sig)
{
}

static void no_restart(int sig)
{
	struct sigaction sa = { .sa_handler = on_alarm };

	OK(sigaction(sig, &sa, NULL));
}

/* A waiting lock is given up by a signal. */
static void locks_interrupted(void)
{
	int a = new_file(), ready[2];
	char c;
	pid_t pid;

	OK(pipe(ready));
	OK(flock(a, LOCK_EX));
	OK(lock(a, F_SETLK, F_WRLCK, 0, 0));
	CHILD(pid) {
		int b = px_open("f", O_RDWR);

		no_restart(SIGUSR1);
		OK(write(ready[1], "x", 1));
		ERR(flock(b, LOCK_EX), EINTR);
		OK(write(ready[1], "x", 1));
		ERR(lock(b, F_SETLKW, F_WRLCK, 0, 0), EINTR);
	}
	OK(read(ready[0], &c, 1));
	px_wait_asleep(pid);
	OK(kill(pid, SIGUSR1));
	OK(read(ready[0], &c, 1));
	px_wait_asleep(pid);
	OK(kill(pid, SIGUSR1));
	JOIN(pid);
}

static void posix_rules(void)
{
	int fd = new_file();
	pid_t pid;

	OK(lock(fd, F_SETLK, F_WRLCK, 10, 10));
	OK(lock(fd, F_SETLK, F_RDLCK, 100, 10));
	CHILD(pid) {
		struct flock fl = { .l_type = F_RDLCK, .l_len = 1000 };
		int own = px_open("f", O_RDWR);

		OK(fcntl(own, F_GETLK, &fl));
		EQ(fl.l_type, F_WRLCK);
		EQ(fl.l_start, 10);
		EQ(fl.l_len, 10);
		EQ(fl.l_pid, getppid());
		ERR2(lock(own, F_SETLK, F_RDLCK, 15, 1), EAGAIN, EACCES);
		ERR2(lock(own, F_SETLK, F_WRLCK, 105, 1), EAGAIN, EACCES);
		OK(lock(own, F_SETLK, F_RDLCK, 105, 1));
		OK(lock(own, F_SETLK, F_WRLCK, 20, 80));
		OK(lock(own, F_SETLK, F_WRLCK, 0, 10));
	}
	JOIN(pid);
	OK(lock(fd, F_SETLK, F_UNLCK, 14, 2));
	CHILD(pid) {
		int own = px_open("f", O_RDWR);

		OK(lock(own, F_SETLK, F_WRLCK, 14, 2));
		ERR2(lock(own, F_SETLK, F_WRLCK, 13, 1), EAGAIN, EACCES);
		ERR2(lock(own, F_SETLK, F_WRLCK, 16, 1), EAGAIN, EACCES);
	}
	JOIN(pid);
	ERR(lock(px_open("f", O_RDONLY), F_SETLK, F_WRLCK, 0, 1), EBADF);
	ERR(lock(px_open("f", O_WRONLY), F_SETLK, F_RDLCK, 0, 1), EBADF);
	ERR(lock(fd, F_SETLK, F_WRLCK, -1, 1), EINVAL);
}

/* Closing any descriptor of a file drops the process's POSIX locks on it. */
static void posix_close(void)
{
	int fd = new_file();
	pid_t pid;

	OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	OK(close(px_open("f", O_RDONLY)));
	CHILD(pid)
		OK(lock(px_open("f", O_RDWR), F_SETLK, F_WRLCK, 0, 0));
	JOIN(pid);
}

static void posix_blocks(void)
{
	int fd = new_file();
	pid_t pid;

	OK(lock(fd, F_SETLK, F_WRLCK, 0, 100));
	CHILD(pid) {
		int own = px_open("f", O_RDWR);
		char c = 0;

		OK(lock(own, F_SETLKW, F_WRLCK, 50, 1));
		EQ(pread(own, &c, 1, 0), 1);
	}
	px_wait_asleep(pid);
	EQ(write(fd, "x", 1), 1);
	OK(lock(fd, F_SETLK, F_UNLCK, 0, 100));
	JOIN(pid);
}

static void posix_deadlock(void)
{
	int fd = new_file(), ready[2];
	pid_t pid;
	char c;

	OK(pipe(ready));
	OK(lock(fd, F_SETLK, F_WRLCK, 0, 1));
	CHILD(pid) {
		int own = px_open("f", O_RDWR);

		OK(lock(own, F_SETLK, F_WRLCK, 1, 1));
		OK(write(ready[1], "x", 1));
		OK(lock(own, F_SETLKW, F_WRLCK, 0, 1));
	}
	OK(read(ready[0], &c, 1));
	px_wait_asleep(pid);
	ERR(lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
	OK(lock(fd, F_SETLK, F_UNLCK, 0, 1));
	JOIN(pid);
}

static void posix_exit(void)
{
	int fd = new_file();
	pid_t pid;

	CHILD(pid)
		OK(lock(px_open("f", O_RDWR), F_SETLK, F_WRLCK, 0, 0));
	JOIN(pid);
	OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
}

static void ofd_rules(void)
{
	struct flock fl = { .l_type = F_WRLCK };
	int a = new_file(), b = new_file(), c = OK(dup(a));

	OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	ERR2(lock(b, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN, EACCES);
	OK(lock(b, F_OFD_SETLK, F_WRLCK, 10, 1));
	OK(lock(c, F_OFD_SETLK, F_RDLCK, 0, 10));
	OK(lock(b, F_OFD_SETLK, F_RDLCK, 0, 10));
	OK(fcntl(b, F_OFD_GETLK, &fl));
	EQ(fl.l_pid, -1);
	ERR2(lock(b, F_SETLK, F_WRLCK, 0, 1), EAGAIN, EACCES);
	OK(close(px_open("f", O_RDONLY)));
	OK(lock(b, F_OFD_SETLK, F_UNLCK, 0, 0));
	OK(close(a));
	ERR2(lock(b, F_OFD_SETLK, F_WRLCK, 0, 1), EAGAIN, EACCES);
	OK(close(c));
	OK(lock(b, F_OFD_SETLK, F_WRLCK, 0, 1));
}

static void ofd_blocks(void)
{
	int a = new_file();
	pid_t pid;

	OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0));
	CHILD(pid) {
		int own = px_open("f", O_RDWR);
		char c = 0;

		OK(lock(own, F_OFD_SETLKW, F_RDLCK, 0, 0));
		EQ(pread(own, &c, 1, 0), 1);
	}
	px_wait_asleep(pid);
	EQ(write(a, "x", 1), 1);
	OK(lock(a, F_OFD_SETLK, F_UNLCK, 0, 0));
	JOIN(pid);
}

/* flock and POSIX locks do not see each other on a local file system. */
static void kinds_apart(void)
{
	int a = new_file(), b = new_file();

	OK(flock(a, LOCK_EX));
	OK(lock(b, F_SETLK, F_WRLCK, 0, 0));
	OK(flock(a, LOCK_UN));
}

static void lock_unlinked(void)
{
	int a = new_file(), b = new_file(), c;

	OK(unlink("f"));
	OK(flock(a, LOCK_EX));
	ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	c = new_file();
	OK(flock(c, LOCK_EX | LOCK_NB));
}

const struct px px_locks[] = {
	{ "flock: rules", flock_rules },
	{ "flock: on read-only descriptors and directories", flock_readonly },
	{ "flock: waits", flock_blocks },
	{ "locks: waiting ends by a signal", locks_interrupted },
	{ "posix lock: rules", posix_rules },
	{ "posix lock: dropped by any close", posix_close },
	{ "posix lock: waits", posix_blocks },
	{ "posix lock: EDEADLK", posix_deadlock },
	{ "posix lock: dropped at exit", posix_exit },
	{ "OFD lock: rules", ofd_rules },
	{ "OFD lock: waits", ofd_blocks },
	{ "locks: flock and fcntl apart", kinds_apart },
	{ "locks: of an unlinked file", lock_unlinked },
	{ }
};
