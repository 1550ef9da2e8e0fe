// SPDX-License-Identifier: GPL-2.0-only
/* posixcheck: contents: read, write, truncate, mmap, direct, copies. */
#include <linux/falloc.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include "px.h"

#define PAGE 4096

static int new_file(const char *name)
{
	return px_open(name, O_CREAT | O_TRUNC | O_RDWR);
}

/* fd holds @len bytes of @c at @off. */
static void holds(int fd, off_t off, size_t len, int c)
{
	unsigned char *buf = xpages(len);
	size_t i;

	EQ(pread(fd, buf, len, off), len);
	for (i = 0; i < len; i++)
		if (buf[i] != c)
			FAIL("byte %zu is %02x, should be %02x",
			     (size_t)off + i, buf[i], c);
	free(buf);
}

static void put(int fd, off_t off, size_t len, int c)
{
	unsigned char *buf = xpages(len);

	memset(buf, c, len);
	EQ(pwrite(fd, buf, len, off), len);
	free(buf);
}

/* ---- read and write ---- */

static void rw_errors(void)
{
	void *volatile wild = (void *)8;
	char buf[16];
	int fd;

	px_put("f", "x");
	fd = px_open("f", O_RDONLY);
	ERR(write(fd, "x", 1), EBADF);
	ERR(pwrite(fd, "x", 1, 0), EBADF);
	ERR(ftruncate(fd, 0), EINVAL);
	fd = px_open("f", O_WRONLY);
	ERR(read(fd, buf, 1), EBADF);
	ERR(pread(fd, buf, 1, -1), EINVAL);
	fd = px_open("f", O_RDWR);
	ERR(pread(fd, buf, 1, -1), EINVAL);
	ERR(pwrite(fd, buf, 1, -1), EINVAL);
	ERR(read(fd, wild, 1), EFAULT);
	ERR(write(fd, wild, 1), EFAULT);
	EQ(read(fd, buf, 0), 0);
	EQ(write(fd, buf, 0), 0);
	fd = px_open(".", O_RDONLY);
	ERR(read(fd, buf, 1), EISDIR);
}

static void rw_two_fds(void)
{
	int a = new_file("f"), b = px_open("f", O_RDWR);
	char buf[8] = "";

	EQ(write(a, "one", 3), 3);
	EQ(read(b, buf, 8), 3);
	THAT(!strcmp(buf, "one"));
	EQ(write(b, "two", 3), 3);
	EQ(read(a, buf, 3), 3);
	THAT(!strcmp(buf, "two"));
	EQ(px_fstat(a).st_size, 6);
}

static void rw_offsets(void)
{
	int fd = new_file("f"), d;

	EQ(write(fd, "abcdef", 6), 6);
	EQ(lseek(fd, 0, SEEK_CUR), 6);
	EQ(lseek(fd, -2, SEEK_END), 4);
	EQ(lseek(fd, 100, SEEK_SET), 100);
	ERR(lseek(fd, -101, SEEK_CUR), EINVAL);
	ERR(lseek(fd, 0, 99), EINVAL);
	EQ(px_fstat(fd).st_size, 6);
	d = OK(dup(fd));
	EQ(lseek(d, 1, SEEK_SET), 1);
	EQ(lseek(fd, 0, SEEK_CUR), 1);
	EQ(pwrite(fd, "X", 1, 3), 1);
	EQ(lseek(fd, 0, SEEK_CUR), 1);
}

static void rw_past_end(void)
{
	int fd = new_file("f");
	char c;

	EQ(pwrite(fd, "x", 1, 10000), 1);
	EQ(px_fstat(fd).st_size, 10001);
	holds(fd, 0, 10000, 0);
	EQ(pread(fd, &c, 1, 10001), 0);
	EQ(pread(fd, &c, 1, 1LL << 40), 0);
}

static void rw_beyond_4g(void)
{
	off_t far = (5LL << 30) + 123;
	int fd = new_file("f");

	put(fd, far, 5000, 'f');
	EQ(px_fstat(fd).st_size, far + 5000);
	holds(fd, far, 5000, 'f');
	holds(fd, far - 4000, 4000, 0);
	THAT(px_fstat(fd).st_blocks < 1000);
	OK(ftruncate(fd, 3LL << 30));
	EQ(px_stat("f").st_size, 3LL << 30);
}

static void rw_too_far(void)
{
	int fd = new_file("f");

	ERR2(pwrite(fd, "xx", 2, 0x7fffffffffffffffLL), EFBIG, EINVAL);
	ERR(ftruncate(fd, -1), EINVAL);
}

static void rlimit_fsize(void)
{
	struct rlimit rl = { 8192, 8192 };
	char *buf = xalloc(10000);
	int fd = new_file("f");

	signal(SIGXFSZ, SIG_IGN);
	OK(setrlimit(RLIMIT_FSIZE, &rl));
	EQ(pwrite(fd, buf, 10000, 0), 8192);
	ERR(pwrite(fd, "x", 1, 8192), EFBIG);
	ERR(ftruncate(fd, 8193), EFBIG);
	OK(ftruncate(fd, 8192));
}

/* Space that comes back is no reason to go on beyond the limit. */
static void rlimit_fsize_crossed(void)
{
	struct rlimit rl = { 8192, 8192 };
	char *buf = xalloc(10000);
	int fd = new_file("f");

	px_put("gone", "x");
	OK(unlink("gone"));
	signal(SIGXFSZ, SIG_DFL);
	OK(setrlimit(RLIMIT_FSIZE, &rl));
	EQ(pwrite(fd, buf, 10000, 0), 8192);
}

static void append(void)
{
	int a, b;

	px_put("f", "start ");
	a = px_open("f", O_WRONLY | O_APPEND);
	b = px_open("f", O_RDWR | O_APPEND);
	EQ(write(a, "a", 1), 1);
	EQ(write(b, "b", 1), 1);
	EQ(lseek(a, 0, SEEK_SET), 0);
	EQ(write(a, "c", 1), 1);
	EQ(lseek(a, 0, SEEK_CUR), 9);
	EQ(pwrite(b, "d", 1, 0), 1);
	px_holds("f", "start abcd");
	OK(fcntl(a, F_SETFL, 0));
	EQ(pwrite(a, "S", 1, 0), 1);
	px_holds("f", "Start abcd");
	OK(fcntl(a, F_SETFL, O_APPEND));
	EQ(write(a, "e", 1), 1);
	px_holds("f", "Start abcde");
}

#define APPENDS 400

static void append_concurrent(void)
{
	unsigned int i, k, next[4] = { 0 };
	struct { uint32_t who, seq; char pad[92]; } r = { 0 };
	pid_t pid[4];
	int fd = new_file("f");

	for (i = 0; i < 4; i++) {
		CHILD(pid[i]) {
			fd = px_open("f", O_WRONLY | O_APPEND);
			r.who = i;
			for (k = 0; k < APPENDS; k++) {
				r.seq = k;
				EQ(write(fd, &r, sizeof(r)), sizeof(r));
			}
		}
	}
	for (i = 0; i < 4; i++)
		JOIN(pid[i]);
	EQ(px_fstat(fd).st_size, 4 * APPENDS * sizeof(r));
	while (read(fd, &r, sizeof(r)) == sizeof(r)) {
		THAT(r.who < 4);
		EQ(r.seq, next[r.who]++);
	}
	for (i = 0; i < 4; i++)
		EQ(next[i], APPENDS);
}

static void vectors(void)
{
	char a[3] = "ab", b[4] = "cde", c[6] = "";
	struct iovec w[2] = { { a, 2 }, { b, 3 } }, r = { c, 5 };
	int fd = new_file("f");
	volatile int minus = -1;

	EQ(writev(fd, w, 2), 5);
	EQ(preadv(fd, &r, 1, 0), 5);
	THAT(!strcmp(c, "abcde"));
	EQ(pwritev2(fd, w, 2, 0, RWF_APPEND), 5);
	px_holds("f", "abcdeabcde");
	EQ(pwritev2(fd, w, 1, 0, RWF_DSYNC), 2);
	EQ(pwritev2(fd, w, 1, -1, RWF_SYNC), 2);
	ERR(writev(fd, w, minus), EINVAL);
	ERR(pwritev2(fd, w, 1, 0, 0x4000000), EOPNOTSUPP);
}

static void nowait(void)
{
	char buf[PAGE];
	struct iovec v = { buf, PAGE };
	int fd = new_file("f");
	ssize_t rc;

	put(fd, 0, PAGE, 'n');
	holds(fd, 0, PAGE, 'n');
	rc = preadv2(fd, &v, 1, 0, RWF_NOWAIT);
	if (rc < 0 && errno == EOPNOTSUPP)
		px_skip("no RWF_NOWAIT");
	if (rc < 0)
		EQ(errno, EAGAIN);
	else
		EQ(rc, PAGE);
}

static void sync_calls(void)
{
	int fd = px_open("f", O_CREAT | O_RDWR | O_SYNC), d;

	EQ(write(fd, "sync", 4), 4);
	OK(fsync(fd));
	OK(fdatasync(fd));
	OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE |
			   SYNC_FILE_RANGE_WAIT_AFTER));
	OK(syncfs(fd));
	OK(close(fd));
	fd = px_open("f", O_RDONLY);
	OK(fsync(fd));
	d = px_open(".", O_RDONLY | O_DIRECTORY);
	OK(fsync(d));
	OK(fdatasync(d));
	fd = px_open("f", O_RDWR | O_DSYNC);
	EQ(write(fd, "dsync", 5), 5);
	OK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	OK(readahead(fd, 0, 4096));
	px_holds("f", "dsync");
}

/* ---- truncate ---- */

static void truncate_rules(void)
{
	int fd = new_file("f");

	put(fd, 0, 10000, 't');
	OK(ftruncate(fd, 5000));
	EQ(px_fstat(fd).st_size, 5000);
	OK(ftruncate(fd, 10000));
	holds(fd, 0, 5000, 't');
	holds(fd, 5000, 5000, 0);
	OK(truncate("f", 0));
	EQ(px_stat("f").st_size, 0);
	EQ(px_stat("f").st_blocks, 0);
	OK(truncate("f", 100));
	holds(fd, 0, 100, 0);
	ERR(truncate(".", 0), EISDIR);
	ERR(truncate("none", 0), ENOENT);
	ERR(truncate("f", -1), EINVAL);
	OK(mkfifo("p", 0600));
	ERR(truncate("p", 0), EINVAL);
}

static void truncate_right(void)
{
	px_put("f", "text");
	OK(chmod("f", 0444));
	AS_USER(1000, 1000)
		ERR(truncate("f", 0), EACCES);
	px_holds("f", "text");
}

/* ---- fallocate ---- */

static void falloc(int fd, int mode, off_t off, off_t len)
{
	if (fallocate(fd, mode, off, len) == 0)
		return;
	if (errno == EOPNOTSUPP)
		px_skip("no fallocate mode %d", mode);
	FAIL("fallocate mode %d fails with %s", mode, strerrorname_np(errno));
}

static void fallocate_plain(void)
{
	int fd = new_file("f"), ro;

	falloc(fd, 0, 0, 100000);
	EQ(px_fstat(fd).st_size, 100000);
	THAT(px_fstat(fd).st_blocks * 512 >= 100000);
	holds(fd, 0, 100000, 0);
	falloc(fd, FALLOC_FL_KEEP_SIZE, 100000, 100000);
	EQ(px_fstat(fd).st_size, 100000);
	THAT(px_fstat(fd).st_blocks * 512 >= 190000);
	ERR(fallocate(fd, 0, 0, 0), EINVAL);
	ERR(fallocate(fd, 0, -1, 10), EINVAL);
	ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
	ro = px_open("f", O_RDONLY);
	ERR(fallocate(ro, 0, 0, 10), EBADF);
}

static void fallocate_punch(void)
{
	int fd = new_file("f");
	blkcnt_t before;

	put(fd, 0, 200000, 'p');
	OK(fsync(fd));
	before = px_fstat(fd).st_blocks;
	falloc(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5000, 100000);
	EQ(px_fstat(fd).st_size, 200000);
	holds(fd, 0, 5000, 'p');
	holds(fd, 5000, 100000, 0);
	holds(fd, 105000, 95000, 'p');
	THAT(px_fstat(fd).st_blocks < before);
	falloc(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 190000, 100000);
	EQ(px_fstat(fd).st_size, 200000);
	holds(fd, 190000, 10000, 0);
}

static void fallocate_zero(void)
{
	int fd = new_file("f");

	put(fd, 0, 50000, 'z');
	falloc(fd, FALLOC_FL_ZERO_RANGE, 10000, 60000);
	EQ(px_fstat(fd).st_size, 70000);
	holds(fd, 0, 10000, 'z');
	holds(fd, 10000, 60000, 0);
}

static void fallocate_shift(void)
{
	int fd = new_file("f");

	put(fd, 0, 2 * PAGE, '1');
	put(fd, 2 * PAGE, 2 * PAGE, '2');
	falloc(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 2 * PAGE);
	EQ(px_fstat(fd).st_size, 2 * PAGE);
	holds(fd, 0, 2 * PAGE, '2');
	falloc(fd, FALLOC_FL_INSERT_RANGE, PAGE, PAGE);
	EQ(px_fstat(fd).st_size, 3 * PAGE);
	holds(fd, 0, PAGE, '2');
	holds(fd, PAGE, PAGE, 0);
	holds(fd, 2 * PAGE, PAGE, '2');
	ERR(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 1, PAGE), EINVAL);
}

/* ext4 has files of 16 TiB at most. */
static void fallocate_far(void)
{
	int fd = new_file("f");

	put(fd, 0, PAGE, 'a');
	OK(fsync(fd));
	if (fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		      1LL << 44, PAGE) < 0)
		THAT(errno == EFBIG || errno == EOPNOTSUPP);
	EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	holds(fd, 0, PAGE, 'a');
}

static void fallocate_space(void)
{
	int fd = new_file("f");

	ERR2(fallocate(fd, 0, 0, 1LL << 50), ENOSPC, EFBIG);
	THAT(px_fstat(fd).st_size == 0);
}

static void seek_data_hole(void)
{
	int fd = new_file("f");
	off_t mb = 1 << 20, d, h;

	put(fd, mb, 100000, 'd');
	OK(ftruncate(fd, 4 * mb));
	d = OK(lseek(fd, 0, SEEK_DATA));
	h = OK(lseek(fd, mb, SEEK_HOLE));
	if (d == 0 && h == 4 * mb)
		px_skip("no holes");
	THAT(d > 0 && d <= mb);
	THAT(h >= mb + 100000 && h < 4 * mb);
	EQ(lseek(fd, 0, SEEK_HOLE), 0);
	EQ(lseek(fd, mb + 5, SEEK_DATA), mb + 5);
	ERR(lseek(fd, 3 * mb, SEEK_DATA), ENXIO);
	ERR(lseek(fd, 4 * mb, SEEK_DATA), ENXIO);
	ERR(lseek(fd, 4 * mb, SEEK_HOLE), ENXIO);
	ERR(lseek(fd, -1, SEEK_DATA), ENXIO);
}

static void blocks_sparse(void)
{
	int fd = new_file("f");

	OK(ftruncate(fd, 1 << 30));
	THAT(px_fstat(fd).st_blocks < 64);
	put(fd, 1 << 29, 1 << 20, 'b');
	OK(fsync(fd));
	THAT(px_fstat(fd).st_blocks >= 2048);
	THAT(px_fstat(fd).st_blocks < 20000);
	OK(close(fd));
	THAT(px_stat("f").st_blocks >= 2048);
}

/* ---- mmap ---- */

static unsigned char *map(int fd, size_t len, int prot, int flags)
{
	void *m = mmap(NULL, len, prot, flags, fd, 0);

	if (m == MAP_FAILED)
		FAIL("mmap fails with %s", strerrorname_np(errno));
	return m;
}

static void mmap_shared(void)
{
	int fd = new_file("f");
	unsigned char *m;

	put(fd, 0, 3 * PAGE, 'm');
	m = map(fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	EQ(m[PAGE], 'm');
	m[5] = 'X';
	holds(fd, 5, 1, 'X');
	put(fd, PAGE + 7, 3, 'Y');
	EQ(m[PAGE + 8], 'Y');
	memset(m + 2 * PAGE, 'Z', PAGE);
	OK(msync(m, 3 * PAGE, MS_SYNC));
	holds(fd, 2 * PAGE, PAGE, 'Z');
	OK(close(fd));
	m[6] = 'W';
	OK(munmap(m, 3 * PAGE));
	fd = px_open("f", O_RDONLY);
	holds(fd, 6, 1, 'W');
}

static void mmap_private(void)
{
	int fd = new_file("f");
	unsigned char *m;

	put(fd, 0, 2 * PAGE, 'm');
	m = map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	m[0] = 'X';
	holds(fd, 0, 2 * PAGE, 'm');
	put(fd, PAGE, PAGE, 'n');
	EQ(m[0], 'X');
	EQ(m[PAGE], 'n');
}

static void mmap_processes(void)
{
	int fd = new_file("f");
	unsigned char *m;
	pid_t pid;

	put(fd, 0, PAGE, 0);
	m = map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	CHILD(pid) {
		int own = px_open("f", O_RDWR);
		unsigned char *c = map(own, PAGE, PROT_READ | PROT_WRITE,
				       MAP_SHARED);

		c[10] = 'c';
	}
	JOIN(pid);
	EQ(m[10], 'c');
}

static void mmap_rights(void)
{
	int ro, wo;

	px_put("f", "x");
	ro = px_open("f", O_RDONLY);
	wo = px_open("f", O_WRONLY);
	ERR((long)mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0),
	    EACCES);
	ERR((long)mmap(NULL, 1, PROT_READ, MAP_SHARED, wo, 0), EACCES);
	map(ro, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE)[0] = 'y';
	ERR((long)mmap(NULL, 0, PROT_READ, MAP_SHARED, ro, 0), EINVAL);
	ERR(mprotect(map(ro, 1, PROT_READ, MAP_SHARED), 1,
		     PROT_READ | PROT_WRITE), EACCES);
	ERR((long)mmap(NULL, 1, PROT_READ, MAP_SHARED, px_open(".", O_RDONLY),
		       0), ENODEV);
}

static sigjmp_buf bus;

static void on_bus(int sig)
{
	siglongjmp(bus, 1);
}

static bool gives_bus(volatile unsigned char *p)
{
	signal(SIGBUS, on_bus);
	if (sigsetjmp(bus, 1))
		return true;
	(void)*p;
	return false;
}

static void mmap_past_end(void)
{
	int fd = new_file("f");
	unsigned char *m;

	put(fd, 0, PAGE + 100, 'e');
	m = map(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	EQ(m[PAGE + 99], 'e');
	EQ(m[PAGE + 100], 0);
	THAT(gives_bus(m + 2 * PAGE));
	OK(ftruncate(fd, 3 * PAGE));
	EQ(m[2 * PAGE], 0);
	OK(ftruncate(fd, 10));
	THAT(gives_bus(m + PAGE));
	EQ(m[9], 'e');
	EQ(m[10], 0);
	OK(ftruncate(fd, 2 * PAGE));
	EQ(m[PAGE], 0);
	holds(fd, 10, 2 * PAGE - 10, 0);
}

static void mmap_unlinked(void)
{
	int fd = new_file("f");
	unsigned char *m;

	put(fd, 0, PAGE, 'u');
	m = map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	OK(close(fd));
	OK(unlink("f"));
	EQ(m[100], 'u');
	m[100] = 'v';
	OK(msync(m, PAGE, MS_SYNC));
	EQ(m[100], 'v');
}

/* Read from a file into its own mapping. */
static void mmap_read_into(void)
{
	int fd = new_file("f");
	unsigned char *m;

	put(fd, 0, PAGE, 'a');
	put(fd, PAGE, PAGE, 'b');
	m = map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	EQ(pread(fd, m, PAGE, PAGE), PAGE);
	EQ(m[0], 'b');
	EQ(pwrite(fd, m, PAGE, PAGE), PAGE);
	holds(fd, 0, 2 * PAGE, 'b');
}

/* ---- exec ---- */

static void copy_self(const char *to)
{
	int in = px_open("/proc/self/exe", O_RDONLY);
	int out = px_open(to, O_CREAT | O_WRONLY);
	off_t size = px_fstat(in).st_size;

	while (size > 0)
		size -= OK(sendfile(out, in, NULL, size));
	OK(fchmod(out, 0755));
	OK(close(out));
}

static void exec_file(void)
{
	char *args[] = { "./prog", NULL };
	int status;
	pid_t pid;

	copy_self("prog");
	pid = px_fork();
	if (pid == 0) {
		close(1);
		close(2);
		execv("./prog", args);
		_exit(99);
	}
	THAT(waitpid(pid, &status, 0) == pid);
	EQ(WEXITSTATUS(status), 1);	/* the usage message */
	OK(chmod("prog", 0644));
	ERR(execv("./prog", args), EACCES);
	px_put("bad", "not a program");
	OK(chmod("bad", 0755));
	ERR(execv("./bad", args), ENOEXEC);
}

static void exec_script(void)
{
	int status;

	px_put("s", "#!/bin/sh\nexit 7\n");
	OK(chmod("s", 0755));
	status = system("./s");
	EQ(WEXITSTATUS(status), 7);
}

static void exec_busy(void)
{
	char *args[] = { "./sleep", "60", NULL }, c;
	int fd, running[2];
	pid_t pid;

	fd = open("/bin/sleep", O_RDONLY);
	if (fd < 0)
		px_skip("no /bin/sleep");
	OK(close(fd));
	EQ(system("cp /bin/sleep sleep"), 0);
	OK(pipe2(running, O_CLOEXEC));
	pid = px_fork();
	if (pid == 0) {
		execv("./sleep", args);
		OK(write(running[1], "f", 1));
		_exit(99);
	}
	OK(close(running[1]));
	EQ(read(running[0], &c, 1), 0);		/* closed by exec */
	ERR(open("sleep", O_WRONLY), ETXTBSY);
	ERR(truncate("sleep", 0), ETXTBSY);
	OK(kill(pid, SIGKILL));
	waitpid(pid, NULL, 0);
	fd = px_open("sleep", O_WRONLY);
	ERR(execv("./sleep", args), ETXTBSY);
}

/* ---- O_DIRECT ---- */

static int direct(const char *name, int flags)
{
	int fd = open(name, flags | O_DIRECT, 0644);

	if (fd < 0 && errno == EINVAL)
		px_skip("no O_DIRECT");
	return OK(fd);
}

static void direct_rw(void)
{
	int fd = direct("f", O_CREAT | O_RDWR), b = px_open("f", O_RDWR);
	unsigned char *buf = xpages(16 * PAGE);

	memset(buf, 'd', 16 * PAGE);
	EQ(pwrite(fd, buf, 16 * PAGE, 0), 16 * PAGE);
	holds(b, 0, 16 * PAGE, 'd');
	put(b, PAGE, PAGE, 'b');
	EQ(pread(fd, buf, 4 * PAGE, 0), 4 * PAGE);
	EQ(buf[0], 'd');
	EQ(buf[PAGE], 'b');
	memset(buf, 'e', PAGE);
	EQ(pwrite(fd, buf, PAGE, 2 * PAGE), PAGE);
	holds(b, 2 * PAGE, PAGE, 'e');
	EQ(pread(fd, buf, 16 * PAGE, 15 * PAGE), PAGE);
	EQ(pread(fd, buf, PAGE, 16 * PAGE), 0);
	put(b, 16 * PAGE, 100, 't');
	EQ(pread(fd, buf, 2 * PAGE, 16 * PAGE), 100);
}

static void direct_unaligned(void)
{
	int fd = direct("f", O_CREAT | O_RDWR);
	unsigned char *buf = xpages(2 * PAGE);

	EQ(pwrite(fd, buf, PAGE, 0), PAGE);
	ERR(pread(fd, buf, PAGE, 1), EINVAL);
	ERR(pread(fd, buf, 100, 0), EINVAL);
	ERR(pwrite(fd, buf + 1, PAGE, 0), EINVAL);
}

static void direct_append(void)
{
	int fd = direct("f", O_CREAT | O_WRONLY | O_APPEND), i, b;
	unsigned char *buf = xpages(PAGE);

	for (i = 0; i < 3; i++) {
		memset(buf, '0' + i, PAGE);
		EQ(write(fd, buf, PAGE), PAGE);
	}
	b = px_open("f", O_RDONLY);
	for (i = 0; i < 3; i++)
		holds(b, i * PAGE, PAGE, '0' + i);
}

static void direct_switch(void)
{
	int fd = direct("f", O_CREAT | O_RDWR);
	unsigned char *buf = xpages(PAGE);

	memset(buf, 's', PAGE);
	EQ(pwrite(fd, buf, PAGE, 0), PAGE);
	OK(fcntl(fd, F_SETFL, 0));
	EQ(pwrite(fd, "odd", 3, 11), 3);
	OK(fcntl(fd, F_SETFL, O_DIRECT));
	EQ(pread(fd, buf, PAGE, 0), PAGE);
	THAT(!memcmp(buf + 11, "odds", 4));
	ERR(pread(fd, buf, 10, 3), EINVAL);
}

static void direct_mmap(void)
{
	int fd = direct("f", O_CREAT | O_RDWR);
	unsigned char *buf = xpages(PAGE), *m;

	memset(buf, '1', PAGE);
	EQ(pwrite(fd, buf, PAGE, 0), PAGE);
	m = map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	m[0] = '2';
	EQ(pread(fd, buf, PAGE, 0), PAGE);
	EQ(buf[0], '2');
	memset(buf, '3', PAGE);
	EQ(pwrite(fd, buf, PAGE, 0), PAGE);
	EQ(m[0], '3');
}

/* ---- moving bytes between files ---- */

static void splice_rw(void)
{
	int in = new_file("in"), out = new_file("out"), p[2];
	off_t off = 100;
	long got, put_;

	put(in, 0, 30000, 's');
	OK(pipe(p));
	got = OK(splice(in, &off, p[1], NULL, 20000, 0));
	THAT(got > 0);
	EQ(off, 100 + got);
	off = 500;
	put_ = OK(splice(p[0], NULL, out, &off, got, 0));
	EQ(put_, got);
	EQ(px_fstat(out).st_size, 500 + got);
	holds(out, 500, got, 's');
	holds(out, 0, 500, 0);
}

static void sendfile_rw(void)
{
	int in = new_file("in"), out = new_file("out");
	off_t off = 10;

	put(in, 0, 100000, 'f');
	EQ(sendfile(out, in, &off, 50000), 50000);
	EQ(off, 50010);
	holds(out, 0, 50000, 'f');
	EQ(lseek(in, 99990, SEEK_SET), 99990);
	EQ(sendfile(out, in, NULL, 50000), 10);
	EQ(px_fstat(out).st_size, 50010);
}

static void copy_range(void)
{
	int in = new_file("in"), out = new_file("out");
	off_t a = 1000, b = 2000;

	put(in, 0, 100000, 'c');
	EQ(copy_file_range(in, &a, out, &b, 50000, 0), 50000);
	EQ(a, 51000);
	EQ(b, 52000);
	holds(out, 0, 2000, 0);
	holds(out, 2000, 50000, 'c');
	a = 100000;
	EQ(copy_file_range(in, &a, out, &b, 10, 0), 0);
	a = 99000;
	EQ(copy_file_range(in, &a, out, &b, 5000, 0), 1000);
	a = 0;
	b = 200000;
	EQ(copy_file_range(in, &a, in, &b, 1000, 0), 1000);
	a = 0;
	b = 500;
	ERR(copy_file_range(in, &a, in, &b, 1000, 0), EINVAL);
	ERR(copy_file_range(in, &a, out, &b, 1000, 1), EINVAL);
	ERR(copy_file_range(in, &a, px_open("in", O_RDONLY), &b, 10, 0), EBADF);
	ERR(copy_file_range(in, &a, px_open("out", O_RDWR | O_APPEND), &b, 10,
			    0), EBADF);
	ERR2(copy_file_range(px_open(".", O_RDONLY), NULL, out, &b, 10, 0),
	     EISDIR, EINVAL);
}

static void clone_file(void)
{
	int in = new_file("in"), out = new_file("out");
	int immutable = FS_IMMUTABLE_FL, none = 0, err;
	struct file_clone_range r = { 0 };

	put(in, 0, 10 * PAGE, 'k');
	if (ioctl(out, FICLONE, in) < 0) {
		if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EXDEV)
			px_skip("no FICLONE");
		FAIL("FICLONE fails with %s", strerrorname_np(errno));
	}
	holds(out, 0, 10 * PAGE, 'k');
	put(in, 0, PAGE, 'K');
	holds(out, 0, PAGE, 'k');
	r.src_fd = in;
	r.src_length = PAGE;
	r.dest_offset = 2 * PAGE;
	OK(ioctl(out, FICLONERANGE, &r));
	holds(out, 2 * PAGE, PAGE, 'K');
	r.src_offset = 1;
	ERR(ioctl(out, FICLONERANGE, &r), EINVAL);
	OK(ioctl(out, FS_IOC_SETFLAGS, &immutable));
	err = ioctl(out, FICLONE, in) < 0 ? errno : 0;
	OK(ioctl(out, FS_IOC_SETFLAGS, &none));
	EQ(err, EPERM);
	holds(out, 2 * PAGE, PAGE, 'K');
}

const struct px px_data[] = {
	{ "rw: errors", rw_errors },
	{ "rw: two descriptors see each other", rw_two_fds },
	{ "rw: file offsets", rw_offsets },
	{ "rw: past the end", rw_past_end },
	{ "rw: beyond 4 GiB", rw_beyond_4g },
	{ "rw: beyond the largest size", rw_too_far },
	{ "rw: RLIMIT_FSIZE", rlimit_fsize },
	{ "rw: RLIMIT_FSIZE crossed after a removal", rlimit_fsize_crossed },
	{ "rw: O_APPEND", append },
	{ "rw: O_APPEND from four processes", append_concurrent },
	{ "rw: vectors and RWF flags", vectors },
	{ "rw: RWF_NOWAIT", nowait },
	{ "rw: fsync, fdatasync, syncfs, O_SYNC, O_DSYNC", sync_calls },
	{ "truncate: rules", truncate_rules },
	{ "truncate: needs the right to write", truncate_right },
	{ "fallocate: plain and KEEP_SIZE", fallocate_plain },
	{ "fallocate: PUNCH_HOLE", fallocate_punch },
	{ "fallocate: ZERO_RANGE", fallocate_zero },
	{ "fallocate: COLLAPSE_RANGE and INSERT_RANGE", fallocate_shift },
	{ "fallocate: beyond what the volume has", fallocate_far },
	{ "fallocate: more than there is", fallocate_space },
	{ "seek: SEEK_DATA and SEEK_HOLE", seek_data_hole },
	{ "stat: blocks of sparse files", blocks_sparse },
	{ "mmap: shared is coherent with read and write", mmap_shared },
	{ "mmap: private is private", mmap_private },
	{ "mmap: shared by processes", mmap_processes },
	{ "mmap: rights", mmap_rights },
	{ "mmap: past the end, after truncate", mmap_past_end },
	{ "mmap: of an unlinked file", mmap_unlinked },
	{ "mmap: reading a file into its own mapping", mmap_read_into },
	{ "exec: a program", exec_file },
	{ "exec: a script", exec_script },
	{ "exec: ETXTBSY", exec_busy },
	{ "direct: coherent with buffered", direct_rw },
	{ "direct: unaligned gives EINVAL", direct_unaligned },
	{ "direct: O_APPEND", direct_append },
	{ "direct: switched by fcntl", direct_switch },
	{ "direct: and a shared mapping", direct_mmap },
	{ "copy: splice", splice_rw },
	{ "copy: sendfile", sendfile_rw },
	{ "copy: copy_file_range", copy_range },
	{ "copy: FICLONE", clone_file },
	{ }
};
