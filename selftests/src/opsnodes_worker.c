// SPDX-License-Identifier: GPL-2.0-only
/* opsnodes: a worker does what it is told through one mount. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include "opsnodes.h"

#define PATH_LEN	8192

static const char *const odd_names[] = {
	"with space", "line\nbreak", "\xc3\xa4\xc3\xb6", "\xff\xfe", "-rf",
	"...", ".hidden",
};

const char *name_text(unsigned int name)
{
	static char text[NAMES][256];
	unsigned int odd = name - NAMES_DIRS;
	char *s = text[name];

	if (*s)
		return s;
	if (name < NAMES_DIRS)
		sprintf(s, "%c%u", 'a' + name % 4, name / 4);
	else if (odd < ARRAY_SIZE(odd_names))
		strcpy(s, odd_names[odd]);
	else
		memset(s, 'n', 255);
	return s;
}

static unsigned int name_number(const char *text)
{
	unsigned int i;

	for (i = 1; i < NAMES; i++)
		if (!strcmp(text, name_text(i)))
			return i;
	return 0;
}

/* Below the root; "." is the root. */
char *path_text(const struct path *p, char *buf)
{
	unsigned int i;

	strcpy(buf, ".");
	for (i = 0; i < p->n; i++) {
		if (i)
			strcat(buf, "/");
		strcpy(i ? buf + strlen(buf) : buf, name_text(p->c[i]));
	}
	return buf;
}

/* Eight bytes that tell which operation wrote them, and where. */
void fill(unsigned char *buf, uint32_t id, uint64_t off, size_t len)
{
	size_t i, part, skip;
	uint64_t w;

	for (i = 0; i < len; i += part) {
		skip = (off + i) & 7;
		part = 8 - skip < len - i ? 8 - skip : len - i;
		w = (uint64_t)id << 24 | ((off + i) >> 3 & 0xffffff);
		memcpy(buf + i, (unsigned char *)&w + skip, part);
	}
}

void xattr_fill(unsigned char *buf, uint32_t id, size_t len)
{
	struct rng r = { id };
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = rnd(&r);
}

/* A name that nobody makes, so whoever follows finds nothing. */
void target_text(uint32_t id, char *buf)
{
	sprintf(buf, "%s%u", id % 7 ? "to-" : "to-none/of/these/names/", id);
}

bool read_all(int fd, void *buf, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = read(fd, (char *)buf + done, len - done);
		if (n <= 0)
			return false;
		done += n;
	}
	return true;
}

bool write_all(int fd, const void *buf, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = write(fd, (const char *)buf + done, len - done);
		if (n <= 0)
			return false;
		done += n;
	}
	return true;
}

struct worker {
	const char *dir;
	int slot[SLOTS];
	struct cmd c;
	struct result r;
	unsigned char *data, *buf;
	char a[PATH_LEN], b[PATH_LEN];
};

static int64_t ns(struct timespec t)
{
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void put_stat(struct worker *w, const struct stat *st)
{
	w->r.ino = st->st_ino;
	w->r.size = st->st_size;
	w->r.mode = st->st_mode;
	w->r.nlink = st->st_nlink;
	w->r.uid = st->st_uid;
	w->r.gid = st->st_gid;
	w->r.mtime = ns(st->st_mtim);
	w->r.ctime = ns(st->st_ctim);
}

static int do_fstat(struct worker *w, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	put_stat(w, &st);
	return 0;
}

static int do_lstat(struct worker *w)
{
	struct stat st;

	if (lstat(w->a, &st) < 0)
		return -1;
	put_stat(w, &st);
	return 0;
}

/* The call that was made has failed, or closing is its end. */
static int close_after(int fd, int rc)
{
	int err = errno;

	if (fd >= 0 && close(fd) < 0 && rc >= 0)
		return -1;
	errno = err;
	return rc;
}

static int do_create(struct worker *w)
{
	int fd = open(w->a, w->c.flags | O_CREAT | O_NOFOLLOW | O_RDWR |
			    O_CLOEXEC, w->c.mode);

	return close_after(fd, fd < 0 ? -1 : do_fstat(w, fd));
}

static int do_open(struct worker *w)
{
	int *slot = &w->slot[w->c.slot];

	*slot = open(w->a, w->c.flags | O_NOFOLLOW | O_CLOEXEC);
	if (*slot < 0)
		return -1;
	if (do_fstat(w, *slot) < 0)
		return close_after(*slot, -1);
	if (!S_ISDIR(w->r.mode))
		return 0;
	errno = EISDIR;
	return close_after(*slot, -1);
}

static int do_close(struct worker *w)
{
	int fd = w->slot[w->c.slot];

	w->slot[w->c.slot] = -1;
	return close(fd);
}

static int do_pread(struct worker *w, int fd)
{
	ssize_t n;

	while (w->r.len < w->c.len) {
		n = pread(fd, w->data + w->r.len, w->c.len - w->r.len,
			  w->c.off + w->r.len);
		if (n < 0)
			return -1;
		if (!n)
			break;
		w->r.len += n;
	}
	return do_fstat(w, fd);
}

static int do_read(struct worker *w)
{
	int fd = open(w->a, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), rc;

	if (fd < 0)
		return -1;
	w->c.off = 0;
	w->c.len = DATA_MAX;
	rc = do_pread(w, fd);
	return close_after(fd, rc);
}

/* One call: it is what has to be atomic. */
static int do_write(struct worker *w, int fd, bool append)
{
	uint64_t off = append ? 0 : w->c.off;

	fill(w->buf, w->c.id, off, w->c.len);
	w->r.value = append ? write(fd, w->buf, w->c.len) :
			      pwrite(fd, w->buf, w->c.len, off);
	return w->r.value < 0 ? -1 : 0;
}

static int do_write_path(struct worker *w, bool append)
{
	int fd = open(w->a, O_WRONLY | O_NOFOLLOW | O_CLOEXEC |
			    (append ? O_APPEND : 0));

	return close_after(fd, fd < 0 ? -1 : do_write(w, fd, append));
}

static int do_readdir(struct worker *w)
{
	struct listed *l = (struct listed *)w->data;
	struct dirent *de;
	DIR *d = opendir(w->a);
	int err;

	if (!d)
		return -1;
	for (errno = 0; (de = readdir(d)); errno = 0) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if (w->r.len + sizeof(*l) > DATA_MAX)
			break;
		l->ino = de->d_ino;
		l->type = de->d_type;
		l->name = name_number(de->d_name);
		l++;
		w->r.len += sizeof(*l);
	}
	err = errno;
	closedir(d);
	errno = err;
	return err ? -1 : 0;
}

static char *xname(struct worker *w, char *buf)
{
	sprintf(buf, "user.x%u", w->c.xname);
	return buf;
}

static int do_xattr(struct worker *w)
{
	char name[32], list[4096], *s;
	ssize_t n;

	xname(w, name);
	switch (w->c.op) {
	case OP_SETX:
		xattr_fill(w->buf, w->c.id, w->c.len);
		return setxattr(w->a, name, w->buf, w->c.len, w->c.flags);
	case OP_RMX:
		return removexattr(w->a, name);
	case OP_GETX:
		n = getxattr(w->a, name, w->data, DATA_MAX);
		if (n < 0)
			return -1;
		w->r.len = n;
		return 0;
	}
	n = listxattr(w->a, list, sizeof(list));
	if (n < 0)
		return -1;
	for (s = list; s < list + n; s += strlen(s) + 1)
		if (!strncmp(s, "user.x", 6))
			w->r.value |= 1 << (s[6] - '0');
	return 0;
}

static int do_utimens(struct worker *w)
{
	struct timespec ts[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ w->c.mtime / 1000000000, w->c.mtime % 1000000000 },
	};

	return utimensat(AT_FDCWD, w->a, ts, AT_SYMLINK_NOFOLLOW);
}

static int do_symlink(struct worker *w)
{
	char target[64];

	target_text(w->c.id, target);
	return symlink(target, w->a);
}

static int do_readlink(struct worker *w)
{
	ssize_t n = readlink(w->a, (char *)w->data, DATA_MAX);

	if (n < 0)
		return -1;
	w->r.len = n;
	return 0;
}

static int do_slot(struct worker *w)
{
	int fd = w->slot[w->c.slot];

	switch (w->c.op) {
	case OP_OPEN:	return do_open(w);
	case OP_CLOSE:	return do_close(w);
	case OP_PREAD:	return do_pread(w, fd);
	case OP_PWRITE:	return do_write(w, fd, false);
	case OP_FAPPEND: return do_write(w, fd, true);
	case OP_FTRUNC:	return ftruncate(fd, w->c.off);
	case OP_FSTAT:	return do_fstat(w, fd);
	case OP_FSYNC:	return fsync(fd);
	}
	errno = ENOSYS;
	return -1;
}

static int do_path(struct worker *w)
{
	switch (w->c.op) {
	case OP_CREATE:	return do_create(w);
	case OP_MKDIR:	return mkdir(w->a, w->c.mode);
	case OP_SYMLINK: return do_symlink(w);
	case OP_LINK:	return link(w->a, w->b);
	case OP_UNLINK:	return unlink(w->a);
	case OP_RMDIR:	return rmdir(w->a);
	case OP_RENAME:	return renameat2(AT_FDCWD, w->a, AT_FDCWD, w->b,
					 w->c.flags);
	case OP_LSTAT:	return do_lstat(w);
	case OP_READDIR: return do_readdir(w);
	case OP_READLINK: return do_readlink(w);
	case OP_READ:	return do_read(w);
	case OP_WRITE:	return do_write_path(w, false);
	case OP_APPEND:	return do_write_path(w, true);
	case OP_TRUNCATE: return truncate(w->a, w->c.off);
	case OP_CHMOD:	return chmod(w->a, w->c.mode);
	case OP_CHOWN:	return lchown(w->a, w->c.uid, w->c.gid);
	case OP_UTIMENS: return do_utimens(w);
	case OP_SETX: case OP_GETX: case OP_RMX: case OP_LISTX:
		return do_xattr(w);
	}
	return do_slot(w);
}

bool op_reads(unsigned int op)
{
	switch (op) {
	case OP_LSTAT: case OP_READDIR: case OP_READLINK: case OP_READ:
	case OP_GETX: case OP_LISTX: case OP_PREAD: case OP_FSTAT:
	case OP_OPEN: case OP_FSYNC: case OP_CLOSE:
		return true;
	}
	return false;
}

/* --lie: says that it did what it did not, or tells what isn't so. */
static void lie(struct worker *w)
{
	if (!op_reads(w->c.op)) {
		w->r.value = w->c.len;
		return;
	}
	if (do_path(w) < 0) {
		w->r.err = errno;
		return;
	}
	if (w->c.op == OP_READDIR && w->r.len)
		w->r.len -= sizeof(struct listed);
	else if (w->r.len)
		w->data[w->r.len - 1] ^= 1;
	w->r.nlink++;
	w->r.value++;
}

/* --pretend: fails, carried out or not, or takes its time. */
static void pretend(struct worker *w)
{
	if (w->c.lie == PRETEND_LATE)
		usleep(w->c.len % 3 * 200000 + 200000);
	if (w->c.lie != PRETEND_NOT_DONE && do_path(w) < 0)
		w->r.err = errno;
	if (w->c.lie == PRETEND_LATE)
		return;
	/* a descriptor that its caller doesn't hear of */
	if (w->c.op == OP_OPEN && !w->r.err && w->c.lie == PRETEND_DONE)
		do_close(w);
	if (w->c.op == OP_CLOSE && w->c.lie == PRETEND_NOT_DONE)
		do_close(w);
	w->r.err = EIO;
}

/* The longest paths are reached in steps: relative to the root's folder. */
int worker_main(int fd, const char *dir)
{
	struct worker *w = xalloc(sizeof(*w));
	unsigned int i;

	umask(0);
	w->dir = dir;
	w->data = xalloc(DATA_MAX);
	w->buf = xalloc(DATA_MAX);
	for (i = 0; i < SLOTS; i++)
		w->slot[i] = -1;
	while (read_all(fd, &w->c, sizeof(w->c))) {
		memset(&w->r, 0, sizeof(w->r));
		sprintf(w->a, "%s/", dir);
		sprintf(w->b, "%s/", dir);
		path_text(&w->c.a, w->a + strlen(w->a));
		path_text(&w->c.b, w->b + strlen(w->b));
		if (w->c.lie == LIE)
			lie(w);
		else if (w->c.lie)
			pretend(w);
		else if (do_path(w) < 0)
			w->r.err = errno;
		if (w->r.err)
			w->r.len = 0;
		if (!write_all(fd, &w->r, sizeof(w->r)) ||
		    !write_all(fd, w->data, w->r.len))
			return 1;
	}
	return 0;
}
