// SPDX-License-Identifier: GPL-2.0-only
/* opsrand: operations on contents. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include "model.h"

#define BLOCK 4096

static struct entry *pick_file(struct proc *p, char *path)
{
	struct node *dir;
	struct entry *e = pick_entry(p, S_IFREG, &dir);

	if (e)
		entry_path(p, dir, e->name, path);
	return e;
}

static size_t limit(struct proc *p)
{
	return one_in(&p->rng, 40) ? SIZE_MAX_FILE : SIZE_SMALL;
}

/* Where and how much; half the time block-aligned. */
static void pick_range(struct proc *p, off_t *off, size_t *len)
{
	size_t max = limit(p);

	*off = below(&p->rng, max);
	*len = 1 + below(&p->rng, one_in(&p->rng, 3) ? max - *off : 5000);
	if (one_in(&p->rng, 2)) {
		*off &= ~(off_t)(BLOCK - 1);
		*len = (*len + BLOCK - 1) & ~(size_t)(BLOCK - 1);
	}
	if (*off + *len > max)
		*len = max - *off;
}

static int open_file(struct proc *p, struct node *n, const char *path,
		     int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		fail(p, n, "open of %s flags %o failed: %m", path, flags);
	return fd;
}

/* One write call at off, checked; pwrite or write. */
static void write_at(struct proc *p, struct node *n, int fd, off_t off,
		     size_t len, bool seek)
{
	ssize_t rc;

	fill(p, n, p->buf, off, len);
	if (seek) {
		if (lseek(fd, off, SEEK_SET) != off)
			fail(p, n, "lseek to %lld failed: %m", (long long)off);
		rc = write(fd, p->buf, len);
	} else {
		rc = pwrite(fd, p->buf, len, off);
	}
	if (rc != (ssize_t)len)
		fail(p, n, "write of %zu at %lld gives %zd: %m", len,
		     (long long)off, rc);
	content_set(n, p->buf, off, len);
	touch_m(p, n);
}

void op_write(struct proc *p)
{
	char path[PATH_LEN];
	struct entry *e = pick_file(p, path);
	struct node *n;
	int fd, flags = O_WRONLY;
	size_t len;
	off_t off;

	if (!e)
		return;
	n = e->node;
	pick_range(p, &off, &len);
	if (!(off % BLOCK) && !(len % BLOCK) && one_in(&p->rng, 3) &&
	    !(p->unsupported & UNSUP_DIRECT))
		flags |= O_DIRECT;
	if (one_in(&p->rng, 25))
		flags |= one_in(&p->rng, 2) ? O_SYNC : O_DSYNC;
	note(p, n, NULL, "write %s %lld+%zu flags %o", path, (long long)off,
	     len, flags);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0 && errno == EINVAL && (flags & O_DIRECT)) {
		p->unsupported |= UNSUP_DIRECT;
		return;
	}
	expect(p, n, "open for writing", fd, 0);
	write_at(p, n, fd, off, len, one_in(&p->rng, 2));
	close(fd);
	if (one_in(&p->rng, 2))
		check_path(p, n, path);
}

void op_append(struct proc *p)
{
	char path[PATH_LEN];
	struct entry *e = pick_file(p, path);
	size_t len = 1 + below(&p->rng, 3000);
	struct node *n;
	int fd;

	if (!e || e->node->size + len > SIZE_MAX_FILE)
		return;
	n = e->node;
	note(p, n, NULL, "append %s %zu at %zu", path, len, n->size);
	fd = open_file(p, n, path, O_WRONLY | O_APPEND);
	fill(p, n, p->buf, n->size, len);
	if (write(fd, p->buf, len) != (ssize_t)len)
		fail(p, n, "append of %zu failed: %m", len);
	content_set(n, p->buf, n->size, len);
	touch_m(p, n);
	close(fd);
	check_path(p, n, path);
}

void op_truncate(struct proc *p)
{
	char path[PATH_LEN];
	struct entry *e = pick_file(p, path);
	struct node *n;
	size_t size;
	int fd;

	if (!e)
		return;
	n = e->node;
	size = one_in(&p->rng, 2) ? below(&p->rng, n->size + 1) :
				    below(&p->rng, limit(p));
	note(p, n, NULL, "truncate %s from %zu to %zu", path, n->size, size);
	if (one_in(&p->rng, 2)) {
		expect(p, n, "truncate", truncate(path, size), 0);
		if (size == n->size)
			loosen_m(p, n);
		else
			touch_m(p, n);
	} else {
		fd = open_file(p, n, path, O_RDWR);
		expect(p, n, "ftruncate", ftruncate(fd, size), 0);
		touch_m(p, n);
		close(fd);
	}
	content_resize(n, size);
	check_path(p, n, path);
}

/* ---- fallocate ---- */

struct fmode {
	int mode;
	unsigned int unsup;
	const char *name;
};

static const struct fmode fmodes[] = {
	{ 0, UNSUP_FALLOC, "extend" },
	{ FALLOC_FL_KEEP_SIZE, UNSUP_FALLOC, "keep size" },
	{ FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, UNSUP_PUNCH, "punch" },
	{ FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, UNSUP_PUNCH, "punch" },
	{ FALLOC_FL_ZERO_RANGE, UNSUP_ZERO, "zero" },
	{ FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, UNSUP_ZERO, "zero keep" },
	{ FALLOC_FL_COLLAPSE_RANGE, UNSUP_COLLAPSE, "collapse" },
	{ FALLOC_FL_INSERT_RANGE, UNSUP_INSERT, "insert" },
};

static void zero_range(struct node *n, size_t off, size_t end)
{
	if (end > n->size)
		end = n->size;
	if (off < end)
		memset(n->data + off, 0, end - off);
}

static void fallocate_apply(struct node *n, const struct fmode *f, off_t off,
			    size_t len)
{
	size_t end = off + len, old = n->size;

	if (f->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		zero_range(n, off, end);
	if (f->mode == FALLOC_FL_COLLAPSE_RANGE) {
		memmove(n->data + off, n->data + end, old - end);
		content_resize(n, old - len);
	} else if (f->mode == FALLOC_FL_INSERT_RANGE) {
		content_resize(n, old + len);
		memmove(n->data + end, n->data + off, old - off);
		memset(n->data + off, 0, len);
	} else if (!(f->mode & FALLOC_FL_KEEP_SIZE) && end > old) {
		content_resize(n, end);
	}
}

/* Move ranges of collapse and insert to where they are allowed. */
static bool fallocate_fits(const struct node *n, const struct fmode *f,
			   off_t *off, size_t *len)
{
	if (f->mode != FALLOC_FL_COLLAPSE_RANGE &&
	    f->mode != FALLOC_FL_INSERT_RANGE)
		return true;
	*off &= ~(off_t)(BLOCK - 1);
	*len = (*len + BLOCK - 1) & ~(size_t)(BLOCK - 1);
	if (f->mode == FALLOC_FL_COLLAPSE_RANGE)
		return *off + *len < n->size;
	return (size_t)*off < n->size && n->size + *len <= SIZE_MAX_FILE;
}

void op_fallocate(struct proc *p)
{
	char path[PATH_LEN];
	struct entry *e = pick_file(p, path);
	const struct fmode *f;
	struct node *n;
	size_t len;
	off_t off;
	int fd, rc;

	f = &fmodes[below(&p->rng, ARRAY_SIZE(fmodes))];
	pick_range(p, &off, &len);
	if (!e || (p->unsupported & f->unsup))
		return;
	n = e->node;
	if (!fallocate_fits(n, f, &off, &len))
		return;
	note(p, n, NULL, "fallocate %s %s %lld+%zu", f->name, path,
	     (long long)off, len);
	fd = open_file(p, n, path, O_RDWR);
	rc = fallocate(fd, f->mode, off, len);
	close(fd);
	if (rc < 0 && errno == EOPNOTSUPP) {
		p->unsupported |= f->unsup;
		return;
	}
	expect(p, n, "fallocate", rc, 0);
	fallocate_apply(n, f, off, len);
	loosen_m(p, n);
	check_path(p, n, path);
	if (one_in(&p->rng, 3))
		check_content(p, n, path);
}

/* ---- mmap ---- */

void op_mmap(struct proc *p)
{
	char path[PATH_LEN];
	struct entry *e = pick_file(p, path);
	struct node *n;
	unsigned char *m;
	size_t len, off;
	int fd;

	if (!e || !e->node->size)
		return;
	n = e->node;
	off = below(&p->rng, n->size);
	len = 1 + below(&p->rng, n->size - off);
	note(p, n, NULL, "mmap write %s %zu+%zu", path, off, len);
	fd = open_file(p, n, path, O_RDWR);
	m = mmap(NULL, n->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		fail(p, n, "mmap of %s failed: %m", path);
	content_check(p, n, m, 0, n->size, "shared mapping");
	fill(p, n, p->buf, off, len);
	memcpy(m + off, p->buf, len);
	content_set(n, p->buf, off, len);
	loosen_m(p, n);
	if (one_in(&p->rng, 4) && msync(m, n->size, MS_SYNC) < 0)
		fail(p, n, "msync failed: %m");
	if (one_in(&p->rng, 2)) {
		size_t at = below(&p->rng, n->size), part = n->size - at;

		if (part > 8000)
			part = 8000;
		write_at(p, n, fd, at, part, false);
		content_check(p, n, m + at, at, part,
			      "shared mapping after pwrite");
	}
	if (pread(fd, p->buf2, n->size, 0) != (ssize_t)n->size)
		fail(p, n, "short pread while mapped: %m");
	content_check(p, n, p->buf2, 0, n->size, "pread while mapped");
	munmap(m, n->size);
	close(fd);
	check_path(p, n, path);
}

/* ---- copies ---- */

static bool copy_unsupported(int err)
{
	return err == EXDEV || err == EOPNOTSUPP || err == ENOSYS ||
	       err == EINVAL || err == ENOTTY;
}

static size_t do_copy(struct proc *p, struct node *d, int in, int out,
		      off_t from, off_t to, size_t len)
{
	size_t done = 0;
	ssize_t rc;

	while (done < len) {
		off_t a = from + done, b = to + done;

		rc = copy_file_range(in, &a, out, &b, len - done, 0);
		if (rc < 0 && !done && copy_unsupported(errno)) {
			p->unsupported |= UNSUP_COPY;
			break;
		}
		if (rc < 0)
			fail(p, d, "copy_file_range failed: %m");
		if (rc == 0)
			break;
		done += rc;
	}
	return done;
}

static size_t do_sendfile(struct proc *p, struct node *d, int in, int out,
			  off_t from, off_t to, size_t len)
{
	size_t done = 0;
	ssize_t rc;

	if (lseek(out, to, SEEK_SET) != to)
		fail(p, d, "lseek failed: %m");
	while (done < len) {
		rc = sendfile(out, in, &from, len - done);
		if (rc < 0)
			fail(p, d, "sendfile failed: %m");
		if (rc == 0)
			break;
		done += rc;
	}
	return done;
}

static bool do_clone(struct proc *p, struct node *d, int in, int out)
{
	if (ioctl(out, FICLONE, in) == 0)
		return true;
	if (!copy_unsupported(errno))
		fail(p, d, "FICLONE failed: %m");
	p->unsupported |= UNSUP_CLONE;
	return false;
}

void op_copy(struct proc *p)
{
	char from[PATH_LEN], to[PATH_LEN];
	struct entry *e1 = pick_file(p, from), *e2 = pick_file(p, to);
	unsigned int how = below(&p->rng, 3);
	struct node *s, *d;
	size_t len, want, done = 0;
	off_t off, off2;
	int in, out;

	pick_range(p, &off, &len);
	off2 = one_in(&p->rng, 2) ? off : (off_t)below(&p->rng, SIZE_SMALL);
	if (!e1 || !e2 || e1->node == e2->node)
		return;
	s = e1->node;
	d = e2->node;
	if ((how == 0 && (p->unsupported & UNSUP_COPY)) ||
	    (how == 2 && (p->unsupported & UNSUP_CLONE)))
		how = 1;
	want = (size_t)off >= s->size ? 0 : s->size - off;
	if (want > len)
		want = len;
	if (off2 + want > SIZE_MAX_FILE)
		return;
	note(p, s, d, "%s %s %lld+%zu to %s at %lld",
	     how == 0 ? "copy_file_range" : how == 1 ? "sendfile" : "clone",
	     from, (long long)off, len, to, (long long)off2);
	in = open_file(p, s, from, O_RDONLY);
	out = open_file(p, d, to, O_RDWR);
	if (how == 2) {
		/* else an end inside a block must not go into the middle */
		expect(p, d, "ftruncate", ftruncate(out, 0), 0);
		content_resize(d, 0);
		touch_m(p, d);
		if (do_clone(p, d, in, out))
			content_set(d, s->data, 0, s->size);
	} else {
		done = how == 0 ? do_copy(p, d, in, out, off, off2, len) :
				  do_sendfile(p, d, in, out, off, off2, len);
		if (done != want && !(how == 0 && (p->unsupported & UNSUP_COPY)))
			fail(p, d, "copy of %zu gives %zu, should be %zu", len,
			     done, want);
		if (done) {
			content_set(d, s->data + off, off2, done);
			touch_m(p, d);
		}
	}
	close(in);
	close(out);
	check_path(p, d, to);
	check_content(p, d, to);
}

/* ---- reading ---- */

/* What lies outside the data segments is zeros; the end is a hole. */
void op_seek(struct proc *p)
{
	char path[PATH_LEN];
	struct entry *e = pick_file(p, path);
	off_t pos = 0, data, hole;
	struct node *n;
	int fd;

	if (!e)
		return;
	n = e->node;
	note(p, n, NULL, "seek data and hole %s", path);
	fd = open_file(p, n, path, O_RDONLY);
	memset(p->buf2, 0, n->size);
	while (pos < (off_t)n->size) {
		data = lseek(fd, pos, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			data = n->size;
		if (data < pos || data > (off_t)n->size)
			fail(p, n, "SEEK_DATA from %lld gives %lld: %m",
			     (long long)pos, (long long)data);
		content_check(p, n, p->buf2, pos, data - pos, "a hole");
		if (data == (off_t)n->size)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole <= data || hole > (off_t)n->size)
			fail(p, n, "SEEK_HOLE from %lld gives %lld: %m",
			     (long long)data, (long long)hole);
		pos = hole;
	}
	if (lseek(fd, n->size, SEEK_DATA) >= 0 || errno != ENXIO)
		fail(p, n, "SEEK_DATA at the end does not give ENXIO");
	close(fd);
}

void op_read(struct proc *p)
{
	char path[PATH_LEN];
	struct entry *e = pick_file(p, path);
	struct node *n;
	int fd, flags = O_RDONLY;
	ssize_t got, want;
	size_t len;
	off_t off;

	if (!e)
		return;
	n = e->node;
	pick_range(p, &off, &len);
	if (!(off % BLOCK) && !(len % BLOCK) && one_in(&p->rng, 2) &&
	    !(p->unsupported & UNSUP_DIRECT))
		flags |= O_DIRECT;
	note(p, n, NULL, "read %s %lld+%zu flags %o", path, (long long)off, len,
	     flags);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0 && errno == EINVAL && (flags & O_DIRECT)) {
		p->unsupported |= UNSUP_DIRECT;
		return;
	}
	expect(p, n, "open for reading", fd, 0);
	want = off >= (off_t)n->size ? 0 : (off_t)n->size - off;
	if (want > (ssize_t)len)
		want = len;
	got = pread(fd, p->buf, len, off);
	/*
	 * XFS gives EIO to a direct read across the end of a file behind which
	 * an append has left delayed allocation ("Direct I/O collision" in the
	 * kernel's log). Up to the end the same read must be right.
	 */
	if (got < 0 && errno == EIO && (flags & O_DIRECT) &&
	    off + len > n->size)
		got = pread(fd, p->buf, (n->size - off + 4095) & ~4095ul, off);
	if (got != want)
		fail(p, n, "pread of %zu at %lld gives %zd, should be %zd: %m",
		     len, (long long)off, got, want);
	content_check(p, n, p->buf, off, got,
		      flags & O_DIRECT ? "O_DIRECT pread" : "pread");
	close(fd);
}

void op_verify(struct proc *p)
{
	char path[PATH_LEN];
	struct entry *e = pick_file(p, path);
	struct node *n;
	void *m;
	int fd;

	if (!e)
		return;
	n = e->node;
	note(p, n, NULL, "verify %s", path);
	check_path(p, n, path);
	if (one_in(&p->rng, 3) && n->size) {
		fd = open_file(p, n, path, O_RDONLY);
		m = mmap(NULL, n->size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (m == MAP_FAILED)
			fail(p, n, "mmap of %s failed: %m", path);
		content_check(p, n, m, 0, n->size, "private mapping");
		munmap(m, n->size);
		close(fd);
	} else {
		check_content(p, n, path);
	}
}

/* ---- descriptors that stay open ---- */

void op_open(struct proc *p)
{
	static const int flags[] = {
		O_RDONLY, O_RDWR, O_WRONLY, O_RDWR | O_APPEND,
		O_RDWR | O_TRUNC, O_WRONLY | O_APPEND,
	};
	char path[PATH_LEN];
	struct entry *e;
	struct ofd *o;

	if (p->nofd == FDS_MAX) {
		op_close(p);
		return;
	}
	e = pick_file(p, path);
	if (!e)
		return;
	o = &p->ofd[p->nofd];
	o->n = e->node;
	o->pos = 0;
	o->flags = flags[below(&p->rng, ARRAY_SIZE(flags))];
	note(p, o->n, NULL, "open %s flags %o", path, o->flags);
	o->fd = open_file(p, o->n, path, o->flags);
	if (o->flags & O_TRUNC) {
		content_resize(o->n, 0);
		touch_m(p, o->n);
	}
	o->n->fds++;
	p->nofd++;
}

static void close_one(struct proc *p, unsigned int i)
{
	struct node *n = p->ofd[i].n;

	note(p, n, NULL, "close, nlink %u", n->nlink);
	expect(p, n, "close", close(p->ofd[i].fd), 0);
	p->ofd[i] = p->ofd[--p->nofd];
	n->fds--;
	node_unref(p, n);
}

void op_close(struct proc *p)
{
	if (p->nofd)
		close_one(p, below(&p->rng, p->nofd));
}

void close_all(struct proc *p)
{
	while (p->nofd)
		close_one(p, 0);
}

static void fd_read(struct proc *p, struct ofd *o)
{
	size_t len = 1 + below(&p->rng, 20000);
	struct node *n = o->n;
	ssize_t got, want;

	note(p, n, NULL, "fd read %lld+%zu", (long long)o->pos, len);
	got = read(o->fd, p->buf, len);
	if ((o->flags & O_ACCMODE) == O_WRONLY) {
		expect(p, n, "read of O_WRONLY", got, EBADF);
		return;
	}
	want = o->pos >= (off_t)n->size ? 0 : (off_t)n->size - o->pos;
	if (want > (ssize_t)len)
		want = len;
	if (got != want)
		fail(p, n, "read of %zu at %lld gives %zd, should be %zd: %m",
		     len, (long long)o->pos, got, want);
	content_check(p, n, p->buf, o->pos, got, "read of an open file");
	o->pos += got;
}

static void fd_write(struct proc *p, struct ofd *o)
{
	size_t len = 1 + below(&p->rng, 6000);
	struct node *n = o->n;
	off_t pos = o->flags & O_APPEND ? (off_t)n->size : o->pos;
	ssize_t rc;

	if (pos + len > SIZE_MAX_FILE)
		return;
	note(p, n, NULL, "fd write %lld+%zu", (long long)pos, len);
	fill(p, n, p->buf, pos, len);
	rc = write(o->fd, p->buf, len);
	if ((o->flags & O_ACCMODE) == O_RDONLY) {
		expect(p, n, "write of O_RDONLY", rc, EBADF);
		return;
	}
	if (rc != (ssize_t)len)
		fail(p, n, "write of %zu gives %zd: %m", len, rc);
	content_set(n, p->buf, pos, len);
	touch_m(p, n);
	o->pos = pos + len;
}

static void fd_seek(struct proc *p, struct ofd *o)
{
	off_t to = below(&p->rng, o->n->size + 1000);

	note(p, o->n, NULL, "fd lseek %lld", (long long)to);
	if (one_in(&p->rng, 3)) {
		to = o->n->size;
		if (lseek(o->fd, 0, SEEK_END) != to)
			fail(p, o->n, "SEEK_END is not %lld", (long long)to);
	} else if (lseek(o->fd, to, SEEK_SET) != to) {
		fail(p, o->n, "lseek failed: %m");
	}
	o->pos = to;
}

static void fd_truncate(struct proc *p, struct ofd *o)
{
	size_t size = below(&p->rng, SIZE_SMALL);
	int rc;

	note(p, o->n, NULL, "fd ftruncate %zu", size);
	rc = ftruncate(o->fd, size);
	if ((o->flags & O_ACCMODE) == O_RDONLY) {
		expect(p, o->n, "ftruncate of O_RDONLY", rc, EINVAL);
		return;
	}
	expect(p, o->n, "ftruncate", rc, 0);
	content_resize(o->n, size);
	touch_m(p, o->n);
}

static void fd_stat(struct proc *p, struct ofd *o)
{
	struct stat st;

	note(p, o->n, NULL, "fd fstat");
	if (fstat(o->fd, &st) < 0)
		fail(p, o->n, "fstat failed: %m");
	check_stat(p, o->n, &st);
}

void op_fd(struct proc *p)
{
	struct ofd *o;

	if (!p->nofd) {
		op_open(p);
		return;
	}
	o = &p->ofd[below(&p->rng, p->nofd)];
	switch (below(&p->rng, 8)) {
	case 0: case 1:
		fd_read(p, o);
		break;
	case 2: case 3: case 4:
		fd_write(p, o);
		break;
	case 5:
		fd_seek(p, o);
		break;
	case 6:
		fd_truncate(p, o);
		break;
	default:
		fd_stat(p, o);
	}
}

void op_fsync(struct proc *p)
{
	char path[PATH_LEN];
	struct entry *e;
	struct node *n;
	int fd;

	if (one_in(&p->rng, 3)) {
		n = pick_dir(p);
		dir_path(p, n, path);
	} else {
		e = pick_file(p, path);
		if (!e)
			return;
		n = e->node;
	}
	note(p, n, NULL, "fsync %s", path);
	fd = open_file(p, n, path, O_RDONLY);
	expect(p, n, "fsync", one_in(&p->rng, 2) ? fsync(fd) : fdatasync(fd),
	       0);
	close(fd);
}
