// SPDX-License-Identifier: GPL-2.0-only
/*
 * remotefile: files of another node through a mount, against a model and against
 * the backing files, which lie on this machine.
 *
 *	remotefile [--seed N] [--rounds N]
 */
#include <fcntl.h>
#include <getopt.h>
#include <linux/aio_abi.h>
#include <linux/orchfs.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "rf.h"

#define MODEL_LEN	(3 << 20)
#define MNT		"/tmp/rf-mnt"
#define VOL		"/tmp/rf-volume"

struct rf *rf;
int ds_root;
struct rng ds_rng;
static int ctl;
static unsigned int rounds = 300;

static u64 tell(char what)
{
	u64 ret;

	must(write(ctl, &what, 1) == 1, "daemon: %m");
	must(read(ctl, &ret, sizeof(ret)) == sizeof(ret), "the daemon died");
	return ret;
}

static const char *path_of(unsigned int i)
{
	static char path[2][64];
	static int k;

	k = !k;
	snprintf(path[k], sizeof(path[k]), MNT "/f%u", i);
	return path[k];
}

static int open_file(unsigned int i, int flags)
{
	int fd = open(path_of(i), flags | O_CLOEXEC);

	must(fd >= 0, "open f%u: %m", i);
	return fd;
}

static void fill(u8 *buf, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = rnd(&ds_rng);
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* 0 in the child, which has nothing to say to the daemon. */
static pid_t spawn(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	must(pid >= 0, "fork: %m");
	if (!pid)
		close(ctl);
	return pid;
}

/* --- against a model --- */

static struct {
	u8 *data, *buf;
	size_t size;
	int fd, direct, append;
	void *map;
} m;

static size_t some_len(void)
{
	return 1 + below(&ds_rng, one_in(&ds_rng, 4) ? 1 << 20 :
			 one_in(&ds_rng, 2) ? 70000 : 5000);
}

static void grown(size_t at, size_t len)
{
	if (at > m.size)
		memset(m.data + m.size, 0, at - m.size);
	memcpy(m.data + at, m.buf, len);
	if (at + len > m.size)
		m.size = at + len;
}

static void op_read(void)
{
	size_t len = some_len(), at = below(&ds_rng, MODEL_LEN);
	size_t want = at >= m.size ? 0 : m.size - at;
	int fd = one_in(&ds_rng, 2) ? m.direct : m.fd;
	ssize_t ret = pread(fd, m.buf, len, at);

	if (want > len)
		want = len;
	must(ret == (ssize_t)want, "read %zu at %zu of %zu: %zd %m", len, at,
	     m.size, ret);
	must(!memcmp(m.buf, m.data + at, want), "contents at %zu", at);
}

static void op_write(void)
{
	size_t len = some_len(), at = below(&ds_rng, MODEL_LEN - len);
	int fd = one_in(&ds_rng, 2) ? m.direct : m.fd;

	fill(m.buf, len);
	must(pwrite(fd, m.buf, len, at) == (ssize_t)len, "write: %m");
	grown(at, len);
}

/* Many small pieces that are one record. */
static void op_append(void)
{
	struct iovec iov[100];
	size_t at = 0, len;
	unsigned int i;

	if (m.size + 100 * 700 > MODEL_LEN)
		return;
	for (i = 0; i < ARRAY_SIZE(iov); i++) {
		len = 1 + below(&ds_rng, 700);
		iov[i].iov_base = m.buf + at;
		iov[i].iov_len = len;
		at += len;
	}
	fill(m.buf, at);
	must(writev(m.append, iov, ARRAY_SIZE(iov)) == (ssize_t)at,
	     "append: %m");
	must(lseek(m.append, 0, SEEK_CUR) == (off_t)(m.size + at),
	     "position after an append");
	grown(m.size, at);
}

static void op_truncate(void)
{
	size_t size = below(&ds_rng, MODEL_LEN);

	must(one_in(&ds_rng, 2) ? !ftruncate(m.fd, size) :
	     !truncate(path_of(0), size), "truncate: %m");
	if (size > m.size)
		memset(m.data + m.size, 0, size - m.size);
	m.size = size;
}

static void op_sendfile(void)
{
	size_t len = some_len();
	off_t at = below(&ds_rng, MODEL_LEN - len);
	ssize_t ret, want = at >= (off_t)m.size ? 0 : m.size - at;
	int out = memfd_create("out", 0);
	size_t done = 0;

	if (want > (ssize_t)len)
		want = len;
	must(out >= 0, "memfd: %m");
	while ((ret = sendfile(out, m.fd, &at, len - done)) > 0)
		done += ret;
	must(!ret && done == (size_t)want, "sendfile: %zu of %zd, %zd %m",
	     done, want, ret);
	must(pread(out, m.buf, done, 0) == want &&
	     !memcmp(m.buf, m.data + at - done, done), "what was sent");
	close(out);
}

static void op_copy(void)
{
	size_t len = some_len() / 2;
	off_t from = below(&ds_rng, MODEL_LEN / 2 - len);
	off_t to = MODEL_LEN / 2 + below(&ds_rng, MODEL_LEN / 2 - len);
	ssize_t want = from >= (off_t)m.size ? 0 : m.size - from, ret;

	if (want > (ssize_t)len)
		want = len;
	memcpy(m.buf, m.data + from, want);
	ret = copy_file_range(m.fd, &from, m.fd, &to, len, 0);
	must(ret == want, "copy_file_range: %zd of %zd %m", ret, want);
	if (ret)
		grown(to - ret, ret);
}

static void op_stat(void)
{
	struct stat st;

	must(!fstat(m.fd, &st) && st.st_size == (off_t)m.size, "size %lld, not %zu: %m",
	     (long long)st.st_size, m.size);
	must(lseek(m.fd, 0, SEEK_END) == (off_t)m.size, "SEEK_END");
}

/* What isn't data is zero. */
static void op_seek(void)
{
	off_t at = below(&ds_rng, MODEL_LEN), end = m.size, hole, data;

	hole = lseek(m.fd, at, SEEK_HOLE);
	if (at >= end) {
		must(hole < 0 && errno == ENXIO, "SEEK_HOLE behind the end");
		must(lseek(m.fd, at, SEEK_DATA) < 0 && errno == ENXIO,
		     "SEEK_DATA behind the end");
		return;
	}
	must(hole >= at && hole <= end, "SEEK_HOLE: %lld %m", (long long)hole);
	data = lseek(m.fd, hole, SEEK_DATA);
	must(data >= hole || errno == ENXIO, "SEEK_DATA: %m");
	for (data = data < 0 ? end : data; hole < data; hole++)
		must(!m.data[hole], "data in a hole at %lld", (long long)hole);
}

static void op_fallocate(void)
{
	static const int modes[] = {
		0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	int mode = modes[below(&ds_rng, ARRAY_SIZE(modes))];
	size_t len = some_len(), at = below(&ds_rng, MODEL_LEN - len);
	size_t end = at + len;

	if (fallocate(m.fd, mode, at, len)) {
		must(errno == EOPNOTSUPP &&
		     fallocate(rf->backing[0], mode, at, len) &&
		     errno == EOPNOTSUPP, "fallocate %d: %m", mode);
		return;
	}
	if (end > m.size && !(mode & FALLOC_FL_KEEP_SIZE)) {
		memset(m.data + m.size, 0, end - m.size);
		m.size = end;
	}
	end = min_size(end, m.size);
	if (mode & ~FALLOC_FL_KEEP_SIZE && at < end)
		memset(m.data + at, 0, end - at);
	must(fallocate(m.fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096) < 0 &&
	     errno == EOPNOTSUPP, "a collapse: %m");
}

static void op_map(void)
{
	if (m.map)
		munmap(m.map, MODEL_LEN);
	m.map = mmap(NULL, MODEL_LEN, PROT_READ,
		     one_in(&ds_rng, 2) ? MAP_SHARED : MAP_PRIVATE, m.fd, 0);
	must(m.map != MAP_FAILED, "mmap: %m");
}

/* The mapping sees this node's writes at once. */
static void op_look(void)
{
	size_t len = some_len(), at = below(&ds_rng, MODEL_LEN);

	if (!m.map || at + len > m.size)
		return;
	must(!memcmp((u8 *)m.map + at, m.data + at, len), "mapping at %zu", at);
}

static void op_sync(void)
{
	must(!fsync(m.fd), "fsync: %m");
}

/* Another node writes, and one here looks. */
static void op_other(void)
{
	size_t len = some_len(), at = below(&ds_rng, MODEL_LEN - len);

	fill(m.buf, len);
	must(pwrite(rf->backing[0], m.buf, len, at) == (ssize_t)len, "%m");
	grown(at, len);
	op_stat();
}

static void test_model(void)
{
	static void (*const ops[])(void) = {
		op_read, op_read, op_write, op_write, op_append, op_truncate,
		op_sendfile, op_copy, op_stat, op_map, op_look, op_look,
		op_sync, op_other, op_fallocate, op_seek,
	};
	unsigned int i;

	m.data = xalloc(MODEL_LEN + (1 << 20));
	m.buf = xpages(1 << 20);
	m.fd = open_file(0, O_RDWR);
	m.direct = open_file(0, O_RDWR | O_DIRECT);
	m.append = open_file(0, O_WRONLY | O_APPEND);
	for (i = 0; i < rounds; i++)
		ops[below(&ds_rng, ARRAY_SIZE(ops))]();
	if (m.map)
		munmap(m.map, MODEL_LEN);
	close(m.fd);
	close(m.direct);
	close(m.append);
	must(rf->asked[ORCHFS_KIND_OPEN] == 1, "%u opens were asked for",
	     rf->asked[ORCHFS_KIND_OPEN]);
}

/* --- times --- */

static struct stat stat_of(unsigned int i)
{
	struct stat st;

	must(!stat(path_of(i), &st), "stat f%u: %m", i);
	return st;
}

/* Two changes in one tick of the clock look like one to who sees the times. */
static struct timespec next_tick(void)
{
	struct timespec old = now_coarse(), now;

	do {
		now = now_coarse();
	} while (!ts_cmp(now, old));
	return now;
}

static void test_times(void)
{
	struct timespec old[2] = { { 1000, 1 }, { 1000, 1 } }, before;
	int fd = open_file(1, O_RDWR);

	must(pwrite(fd, "x", 1, 0) == 1, "write: %m");
	must(!futimens(fd, old), "utimes: %m");
	must(!ts_cmp(stat_of(1).st_mtim, old[1]), "what utimes has set");
	close(fd);
	must(!ts_cmp(stat_of(1).st_mtim, old[1]), "after close");
	fd = open_file(1, O_RDWR);
	before = now_coarse();
	must(pwrite(fd, "y", 1, 1) == 1, "write: %m");
	must(ts_cmp(stat_of(1).st_mtim, before) >= 0, "mtime of a write");
	must(!futimens(fd, old), "utimes: %m");
	before = next_tick();
	must(pwrite(rf->backing[1], "z", 1, 2) == 1, "%m");
	must(ts_cmp(stat_of(1).st_mtim, before) >= 0,
	     "mtime of another node's write");
	must(stat_of(1).st_size == 3, "its size");
	must(!futimens(fd, old), "utimes: %m");
	before = now_coarse();
	must(!ftruncate(fd, 3), "truncate: %m");
	must(ts_cmp(stat_of(1).st_mtim, before) >= 0,
	     "mtime of a truncate to the same size");
	/* another node's utimes, of what was written here and not looked at */
	must(pwrite(fd, "w", 1, 0) == 1, "write: %m");
	tell('u');
	close(open_file(1, O_RDONLY));
	must(stat_of(1).st_mtim.tv_sec == 2000, "another node's utimes");
	before = next_tick();
	must(pwrite(fd, "w", 1, 0) == 1, "write: %m");
	must(ts_cmp(stat_of(1).st_mtim, before) >= 0, "a write after it");
	close(fd);
	/* somebody may write between the record's answer and the first look */
	rf->live = true;
	fd = open_file(14, O_RDONLY);
	before = next_tick();
	must(pwrite(rf->backing[14], "z", 1, 0) == 1, "%m");
	must(ts_cmp(stat_of(14).st_mtim, before) >= 0, "mtime before a look");
	rf->live = false;
	close(fd);
}

/* --- what it costs --- */

static void test_requests(void)
{
	int fd = open_file(15, O_RDWR);
	struct stat st;
	u64 requests;
	char *buf = xpages(1 << 20);
	unsigned int i;

	must(pwrite(fd, buf, 1 << 20, 0) == 1 << 20 && !fstat(fd, &st), "%m");
	requests = tell('n');
	for (i = 0; i < 100; i++)
		must(pread(fd, buf, 4096, i * 4096) == 4096, "read: %m");
	must(pread(fd, buf, 1 << 20, 0) == 1 << 20, "read: %m");
	must(pwrite(fd, buf, 1 << 20, 0) == 1 << 20, "write: %m");
	must(!fstat(fd, &st) && st.st_size == 1 << 20, "stat: %m");
	close(open_file(15, O_RDONLY));
	requests = tell('n') - requests;
	/* the other connection may have had to learn the token */
	must(requests >= 103 && requests <= 104, "%llu requests",
	     (unsigned long long)requests);
	close(fd);
	free(buf);
}

/* --- ends of processes --- */

enum last { CLOSES, EXITS, IS_KILLED };

/* Requests of a process that writes to f15 and ends so. */
static u64 requests_of(enum last last)
{
	u64 requests = tell('n');
	pid_t pid = spawn();
	int fd, status;

	if (!pid) {
		fd = open_file(15, O_RDWR);
		must(pwrite(fd, "abcd", 4, last * 100) == 4, "write: %m");
		if (last == CLOSES)
			close(fd);
		else if (last == IS_KILLED)
			kill(getpid(), SIGKILL);
		_exit(0);
	}
	must(waitpid(pid, &status, 0) == pid &&
	     (last == IS_KILLED ? WIFSIGNALED(status) : !status),
	     "writer %d: status %#x", last, status);
	return tell('n') - requests;
}

/* Who can't be killed any more asks nothing; what it wrote is seen. */
static void test_exits(void)
{
	struct timespec before;
	int fd = open_file(15, O_RDWR);
	enum last last;
	u64 requests;

	must(!ftruncate(fd, 0), "truncate: %m");
	for (last = CLOSES; last <= IS_KILLED; last++) {
		before = next_tick();
		requests = requests_of(last);
		must(requests == (last == CLOSES ? 2 : 1),
		     "writer %d: %llu requests", last,
		     (unsigned long long)requests);
		must(stat_of(15).st_size == last * 100 + 4 &&
		     ts_cmp(stat_of(15).st_mtim, before) >= 0,
		     "writer %d: size and time", last);
	}
	close(fd);
}

/* --- mappings --- */

static void test_map(void)
{
	const size_t len = 8 << 20;
	u8 *data = xalloc(len), *map;
	int fd = open_file(2, O_RDWR), prog;
	u64 requests;
	pid_t pid;
	int status;
	size_t i;

	fill(data, len);
	must(pwrite(rf->backing[2], data, len, 0) == (ssize_t)len, "%m");
	errno = 0;
	must(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) ==
	     MAP_FAILED && errno == ENODEV, "shared and writable: %m");
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	must(map != MAP_FAILED, "mmap: %m");
	must(mprotect(map, 4096, PROT_READ | PROT_WRITE) && errno == EACCES,
	     "mprotect: %m");
	requests = tell('n');
	for (i = 0; i < len; i += 4096)
		must(map[i] == data[i], "byte %zu", i);
	requests = tell('n') - requests;
	must(requests <= 40, "%llu requests for 8 MiB",
	     (unsigned long long)requests);
	must(!memcmp(map, data, len), "mapped contents");
	/* another node's write shows when somebody has looked */
	must(pwrite(rf->backing[2], "news", 4, 4096) == 4, "%m");
	stat_of(2);
	must(!memcmp(map + 4096, "news", 4), "stale after stat");
	must(pwrite(fd, "mine", 4, 8192) == 4, "write: %m");
	must(!memcmp(map + 8192, "mine", 4), "stale after a write");
	munmap(map, len);
	/* beyond the end that was known when it was mapped */
	must(!ftruncate(fd, 4096), "truncate: %m");
	map = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
	must(map != MAP_FAILED && map[5] == data[5], "mmap: %m");
	must(pwrite(rf->backing[2], "far", 3, 65536) == 3, "%m");
	must(!memcmp(map + 65536, "far", 3), "a file that grew");
	munmap(map, len);
	close(fd);
	/* a program */
	prog = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	fd = open_file(3, O_WRONLY);
	while (sendfile(fd, prog, NULL, 1 << 20) > 0)
		;
	must(lseek(fd, 0, SEEK_CUR) == lseek(prog, 0, SEEK_END), "copy: %m");
	close(prog);
	close(fd);
	pid = spawn();
	if (!pid) {
		execl(path_of(3), "remotefile", "--hello", NULL);
		_exit(1);
	}
	must(waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	     WEXITSTATUS(status) == 42, "program: status %#x", status);
	free(data);
}

/* --- asynchronous --- */

static long aio_do(aio_context_t ctx, int fd, int op, void *buf, size_t len,
		   off_t at)
{
	struct iocb cb = {
		.aio_fildes = fd, .aio_lio_opcode = op,
		.aio_buf = (uintptr_t)buf, .aio_nbytes = len,
		.aio_offset = at,
	}, *cbs = &cb;
	struct io_event ev;

	must(syscall(SYS_io_submit, ctx, 1, &cbs) == 1, "io_submit: %m");
	must(syscall(SYS_io_getevents, ctx, 1, 1, &ev, NULL) == 1,
	     "io_getevents: %m");
	return ev.res;
}

static void test_aio(void)
{
	const size_t len = 2 << 20;
	int fd = open_file(4, O_RDWR | O_DIRECT);
	u8 *out = xpages(len), *in = xpages(len);
	aio_context_t ctx = 0;
	u64 opens;
	size_t i;

	must(!syscall(SYS_io_setup, 8, &ctx), "io_setup: %m");
	for (i = 4096; i <= len; i *= 4) {
		fill(out, i);
		must(aio_do(ctx, fd, IOCB_CMD_PWRITE, out, i, 100) == (long)i,
		     "write %zu", i);
		must(aio_do(ctx, fd, IOCB_CMD_PREAD, in, i, 100) == (long)i &&
		     !memcmp(in, out, i), "read %zu", i);
	}
	/* the token runs out */
	rf->clock_ms += 1000;
	rf->expiry_ms = rf->clock_ms - 1;
	opens = rf->asked[ORCHFS_KIND_OPEN];
	must(!close(open_file(5, O_RDONLY)), "%m");
	must(rf->asked[ORCHFS_KIND_OPEN] == opens + 1, "f5's layout");
	rf->expiry_ms = FOREVER;
	tell('c');
	close(fd);
	fd = open_file(5, O_RDWR | O_DIRECT);
	must(aio_do(ctx, fd, IOCB_CMD_PWRITE, out, 4096, 0) == 4096,
	     "with an old token");
	must(rf->asked[ORCHFS_KIND_OPEN] == opens + 2, "%u opens",
	     rf->asked[ORCHFS_KIND_OPEN]);
	syscall(SYS_io_destroy, ctx);
	close(fd);
	free(out);
	free(in);
}

/* --- refusals --- */

/* Opens f that a token has run out for already; the next one is good. */
static int open_expired(unsigned int i, int flags)
{
	int fd;

	rf->clock_ms += 1000;
	rf->expiry_ms = rf->clock_ms - 1;
	tell('c');
	fd = open_file(i, flags);
	rf->expiry_ms = FOREVER;
	rf->asked[ORCHFS_KIND_OPEN] = 0;
	return fd;
}

static void one_open(const char *what)
{
	must(rf->asked[ORCHFS_KIND_OPEN] == 1, "%s: %u opens", what,
	     rf->asked[ORCHFS_KIND_OPEN]);
}

static void test_refused(void)
{
	struct stat st;
	char buf[4];
	void *map;
	int fd;

	fd = open_expired(6, O_RDWR);
	must(pread(fd, buf, 4, 0) == 0, "read: %m");
	one_open("read");
	close(fd);
	fd = open_expired(7, O_RDWR);
	must(pwrite(fd, "abcd", 4, 0) == 4, "write: %m");
	one_open("write");
	close(fd);
	fd = open_expired(8, O_RDWR);
	must(!fstat(fd, &st), "fstat: %m");
	one_open("fstat");
	close(fd);
	fd = open_expired(9, O_RDWR);
	must(!ftruncate(fd, 10000), "ftruncate: %m");
	one_open("ftruncate");
	close(fd);
	fd = open_expired(10, O_RDWR);
	must(!fsync(fd), "fsync: %m");
	one_open("fsync");
	close(fd);
	must(!ftruncate(rf->backing[11], 4096), "%m");
	fd = open_expired(11, O_RDWR);
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	must(map != MAP_FAILED && !*(char *)map, "mmap: %m");
	one_open("mmap");
	munmap(map, 4096);
	close(fd);
	/* fenced, and let in again */
	fd = open_file(0, O_RDWR);
	rf->epoch++;
	tell('f');
	rf->asked[ORCHFS_KIND_OPEN] = 0;
	must(pwrite(fd, "abcd", 4, 0) == 4, "write after a fence: %m");
	one_open("fence");
	/* for good */
	rf->epoch++;
	tell('f');
	rf->epoch--;
	must(pwrite(fd, "abcd", 4, 0) < 0 && errno == EIO, "fenced: %m");
	rf->epoch++;
	must(pwrite(fd, "abcd", 4, 0) == 4, "not fenced any more: %m");
	close(fd);
}

/* Many threads fault at once where a token has run out: none sees that. */
#define FAULTERS	4

struct faulter {
	pthread_t thread;
	pthread_barrier_t *start;
	const u8 *at;
	u8 seen;
};

static void *fault(void *data)
{
	struct faulter *f = data;

	pthread_barrier_wait(f->start);
	f->seen = *f->at;
	return NULL;
}

static void fault_together(const u8 *map, size_t step)
{
	struct faulter f[FAULTERS];
	pthread_barrier_t start;
	unsigned int i;

	must(!pthread_barrier_init(&start, NULL, FAULTERS), "barrier");
	for (i = 0; i < FAULTERS; i++) {
		f[i].start = &start;
		f[i].at = map + i * step;
		must(!pthread_create(&f[i].thread, NULL, fault, &f[i]),
		     "thread");
	}
	for (i = 0; i < FAULTERS; i++) {
		must(!pthread_join(f[i].thread, NULL), "join");
		must(f[i].seen == i + 1, "byte of thread %u", i);
	}
	pthread_barrier_destroy(&start);
}

static void test_faults_refused(void)
{
	const size_t step = 2 << 20, len = FAULTERS * step;
	int fd = open_expired(16, O_RDWR);
	unsigned int i;
	u8 *map, byte;

	rf->expiry_ms = rf->clock_ms + 500;
	must(!ftruncate(fd, len), "truncate: %m");
	for (i = 0; i < FAULTERS; i++) {
		byte = i + 1;
		must(pwrite(fd, &byte, 1, i * step) == 1, "write: %m");
	}
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	must(map != MAP_FAILED, "mmap: %m");
	for (i = 0; i < 30; i++) {
		/* that of the last round has run out */
		rf->clock_ms += 1000;
		rf->expiry_ms = rf->clock_ms + 500;
		tell('c');
		must(!madvise(map, len, MADV_DONTNEED) &&
		     !posix_fadvise(fd, 0, len, POSIX_FADV_DONTNEED),
		     "pages: %m");
		fault_together(map, step);
	}
	rf->expiry_ms = FOREVER;
	munmap(map, len);
	close(fd);
}

/* --- durability --- */

static void test_sync(void)
{
	int a = open_file(12, O_RDWR), b = open_file(12, O_RDWR);
	int s = open_file(12, O_RDWR | O_DSYNC), root;

	must(pwrite(a, "abcd", 4, 0) == 4 && !fsync(a), "fsync: %m");
	tell('v');
	must(!fsync(a), "nothing was lost: %m");
	must(pwrite(s, "abcd", 4, 0) == 4, "O_DSYNC: %m");
	tell('v');
	must(!fsync(a), "what was durable was lost: %m");
	must(pwrite(a, "abcd", 4, 0) == 4, "write: %m");
	tell('v');
	must(fsync(a) < 0 && errno == EIO, "fsync of what was lost: %m");
	must(!fsync(a), "told twice: %m");
	must(fsync(b) < 0 && errno == EIO, "not told to everybody: %m");
	must(!fsync(b), "told twice: %m");
	must(pwrite(a, "abcd", 4, 0) == 4, "write: %m");
	tell('v');
	must(pwrite(b, "abcd", 4, 0) == 4, "write: %m");
	must(fsync(b) < 0 && errno == EIO, "lost before another write: %m");
	close(a);
	close(b);
	close(s);
	root = open(MNT, O_RDONLY | O_DIRECTORY);
	must(root >= 0, MNT ": %m");
	/* it tells what other files have lost here */
	syncfs(root);
	a = open_file(12, O_RDWR);
	must(pwrite(a, "abcd", 4, 0) == 4, "write: %m");
	close(a);
	must(!syncfs(root), "syncfs: %m");
	tell('v');
	must(!syncfs(root), "syncfs when nothing was lost: %m");
	a = open_file(12, O_RDWR);
	must(pwrite(a, "abcd", 4, 0) == 4, "write: %m");
	close(a);
	tell('v');
	must(syncfs(root) < 0 && errno == EIO, "syncfs of what was lost: %m");
	must(!syncfs(root), "syncfs tells twice: %m");
	close(root);
}

/* --- together --- */

#define WRITERS		4
#define RECORDS		100

struct record {
	u32 len, writer, nr;
	u8 data[];
};

static void append_records(int fd, u32 writer)
{
	struct record *r = xalloc(100000);

	ds_rng.state += writer;
	for (r->nr = 0; r->nr < RECORDS; r->nr++) {
		r->len = sizeof(*r) + below(&ds_rng, one_in(&ds_rng, 5) ?
					    90000 : 300);
		r->writer = writer;
		memset(r->data, writer + r->nr, r->len - sizeof(*r));
		must(write(fd, r, r->len) == r->len, "append: %m");
	}
	exit(0);
}

static void wait_writers(void)
{
	int status, i;

	for (i = 0; i < WRITERS; i++)
		must(wait(&status) > 0 && WIFEXITED(status) &&
		     !WEXITSTATUS(status), "a writer: status %#x", status);
}

/* The last one writes where the file is. */
static void test_append(void)
{
	char path[64];
	u32 next[WRITERS] = {}, i;
	struct record *r;
	u8 *data, *p;
	off_t size;
	int fd;

	fd = open_file(11, O_WRONLY | O_TRUNC);
	close(fd);
	for (i = 0; i < WRITERS; i++) {
		if (spawn())
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d",
			 rf->backing[11]);
		fd = i == WRITERS - 1 ? open(path, O_WRONLY | O_APPEND) :
			open_file(11, O_WRONLY | O_APPEND);
		must(fd >= 0, "open: %m");
		append_records(fd, i);
	}
	wait_writers();
	fd = open_file(11, O_RDONLY);
	size = lseek(fd, 0, SEEK_END);
	data = xalloc(size);
	must(pread(fd, data, size, 0) == size, "read: %m");
	for (p = data; p < data + size; p += r->len) {
		r = (struct record *)p;
		must(r->writer < WRITERS && r->nr == next[r->writer]++ &&
		     r->len >= sizeof(*r) && p + r->len <= data + size,
		     "torn at %zd", p - data);
		for (i = sizeof(*r); i < r->len; i++)
			must(p[i] == (u8)(r->writer + r->nr),
			     "torn at %zd", p + i - data);
	}
	for (i = 0; i < WRITERS; i++)
		must(next[i] == RECORDS, "%u records of %u", next[i], i);
	close(fd);
	free(data);
}

static void write_and_read(u32 writer)
{
	size_t area = 1 << 20, len, at;
	u8 *buf = xpages(area), *data = xalloc(area);
	int fd = open_file(13, one_in(&ds_rng, 2) ? O_RDWR :
			   O_RDWR | O_DIRECT);
	unsigned int i;

	ds_rng.state += writer;
	must(pwrite(fd, data, area, writer * area) == (ssize_t)area, "%m");
	for (i = 0; i < 100; i++) {
		at = below(&ds_rng, area);
		len = 1 + below(&ds_rng, one_in(&ds_rng, 5) ? area - at :
				min_size(area - at, 9000));
		fill(data + at, len);
		must(pwrite(fd, data + at, len, writer * area + at) ==
		     (ssize_t)len, "write: %m");
		must(pread(fd, buf, area, writer * area) == (ssize_t)area &&
		     !memcmp(buf, data, area), "writer %u: contents", writer);
	}
	exit(0);
}

static void test_drops(void)
{
	unsigned int i;

	for (i = 0; i < WRITERS; i++)
		if (!spawn())
			write_and_read(i);
	for (i = 0; i < 20; i++)
		tell('d');
	wait_writers();
}

/* --- connections --- */

static void test_connections(void)
{
	int fd = open_file(13, O_RDWR), status;
	char buf[4];
	time_t start;
	pid_t pid;

	must(pwrite(fd, "abcd", 4, 0) == 4, "write: %m");
	tell('d');
	must(pread(fd, buf, 4, 0) == 4 && !memcmp(buf, "abcd", 4),
	     "on another connection: %m");
	/* nobody has one */
	rf->deaf = true;
	tell('d');
	pid = spawn();
	if (!pid) {
		pread(fd, buf, 4, 0);
		_exit(0);
	}
	start = time(NULL);
	must(pread(fd, buf, 4, 0) < 0 && errno == EIO, "without: %m");
	must(time(NULL) - start >= 2, "it didn't wait");
	must(waitpid(pid, &status, 0) == pid, "%m");
	pid = spawn();
	if (!pid) {
		while (pread(fd, buf, 4, 0) < 0)
			;
		_exit(0);
	}
	kill(pid, SIGKILL);
	must(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status),
	     "it can't be killed");
	rf->deaf = false;
	tell('a');
	must(pread(fd, buf, 4, 0) == 4, "again: %m");
	close(fd);
}

/* --- */

static void own_network(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		die("unshare: %m");
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr))
		die("lo: %m");
	close(fd);
}

static void start(void)
{
	int pair[2];
	u64 ready;
	unsigned int i;

	own_network();
	mkdir(VOL, 0700);
	mkdir(MNT, 0700);
	if (mount("rf", VOL, "tmpfs", 0, "size=64m"))
		die("tmpfs: %m");
	ds_root = open(VOL, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(ds_root >= 0, VOL ": %m");
	rf = mmap(NULL, sizeof(*rf), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(rf != MAP_FAILED, "mmap: %m");
	rf->epoch = 1;
	rf->expiry_ms = FOREVER;
	for (i = 0; i < FILES; i++)
		rf->backing[i] = backing_make(FIRST + i);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		die("socketpair: %m");
	if (!fork()) {
		close(pair[0]);
		rf_daemon(pair[1]);
	}
	close(pair[1]);
	ctl = pair[0];
	must(read(ctl, &ready, sizeof(ready)) == sizeof(ready),
	     "the daemon died");
}

static void run(const char *what, void (*test)(void))
{
	printf("remotefile: %s\n", what);
	fflush(stdout);
	test();
}

static void all_tests(void)
{
	char name[32];

	snprintf(name, sizeof(name), "ds-%02x%02x", ds_uuid[0], ds_uuid[1]);
	if (mount(name, MNT, "orchfs", 0, "upcall_timeout=2"))
		die("mount: %m");
	run("contents", test_model);
	run("times", test_times);
	run("requests", test_requests);
	run("ends of processes", test_exits);
	run("mappings", test_map);
	run("asynchronous", test_aio);
	run("refusals", test_refused);
	run("faults and refusals", test_faults_refused);
	run("durability", test_sync);
	run("records of several writers", test_append);
	run("connections that are lost", test_drops);
	run("connections", test_connections);
	must(!umount(MNT), "umount: %m");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "rounds", required_argument, NULL, 'n' },
		{ "hello", no_argument, NULL, 'h' },
		{}
	};
	uint64_t seed = default_seed();
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 's')
			seed = parse_num("--seed", optarg);
		else if (opt == 'n')
			rounds = parse_num("--rounds", optarg);
		else if (opt == 'h')
			return 42;
		else
			return 2;
	}
	printf("remotefile: seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	ds_rng.state = seed;
	fill(ds_uuid, sizeof(ds_uuid));
	fill(ds_key, sizeof(ds_key));
	start();
	all_tests();
	printf("remotefile: passed\n");
	return 0;
}
