// SPDX-License-Identifier: GPL-2.0-only
/* opsrand: the model, and how it is compared with the file system. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/xattr.h>
#include "model.h"

/* ---- history and failure ---- */

/* Long runs of one letter in names: aaaa...aaaa becomes a{200}. */
static void squeeze(char *s)
{
	char *in = s, *out = s;
	size_t n;

	while (*in) {
		for (n = 1; in[n] == *in; n++)
			;
		if (n > 12) {
			out += sprintf(out, "%c{%zu}", *in, n);
		} else {
			memmove(out, in, n);
			out += n;
		}
		in += n;
	}
	*out = '\0';
}

void note(struct proc *p, const struct node *a, const struct node *b,
	  const char *fmt, ...)
{
	struct hist *h;
	va_list ap;
	int rc;

	if (p->nhist == p->chist) {
		p->chist = p->chist ? p->chist * 2 : 1024;
		p->hist = realloc(p->hist, p->chist * sizeof(*p->hist));
		if (!p->hist)
			die("out of memory");
	}
	h = &p->hist[p->nhist++];
	h->op = p->op;
	h->id1 = a ? a->id : 0;
	h->id2 = b ? b->id : 0;
	va_start(ap, fmt);
	rc = vasprintf(&h->text, fmt, ap);
	va_end(ap);
	if (rc < 0)
		die("out of memory");
	squeeze(h->text);
	snprintf(p->progress->what, sizeof(p->progress->what), "%s", h->text);
}

static void print_hist(const struct proc *p, const struct hist *h)
{
	fprintf(stderr, "  op %u #%u", h->op, h->id1);
	if (h->id2)
		fprintf(stderr, " #%u", h->id2);
	fprintf(stderr, " %s\n", h->text);
}

static void print_history(const struct proc *p, unsigned int id, int max)
{
	unsigned int i, from = p->nhist;
	int count = 0;

	for (i = p->nhist; i-- > 0 && count < max;) {
		if (id && p->hist[i].id1 != id && p->hist[i].id2 != id)
			continue;
		from = i;
		count++;
	}
	for (i = from; i < p->nhist; i++)
		if (!id || p->hist[i].id1 == id || p->hist[i].id2 == id)
			print_hist(p, &p->hist[i]);
}

void fail(struct proc *p, const struct node *n, const char *fmt, ...)
{
	static bool failing;
	va_list ap;

	if (failing)
		exit(1);
	failing = true;
	fprintf(stderr, "opsrand: FAILED seed %llu process %u op %u (%s): ",
		(unsigned long long)p->seed, p->num, p->op, p->opname);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (n) {
		fprintf(stderr, " file #%u, ino %lu, mode %o, model size %zu, nlink %u; its last operations:\n",
			n->id, (unsigned long)n->ino, n->mode, n->size,
			n->nlink);
		print_history(p, n->id, 30);
	}
	fprintf(stderr, " last operations of the process:\n");
	print_history(p, 0, 12);
	exit(1);
}

void expect(struct proc *p, const struct node *n, const char *call, long rc,
	    int want)
{
	int err = rc < 0 ? errno : 0;

	if (err == want)
		return;
	/* POSIX allows both */
	if (want == ENOTEMPTY && err == EEXIST)
		return;
	if (want && !err)
		fail(p, n, "%s succeeded, should fail with %s", call,
		     strerrorname_np(want));
	if (want)
		fail(p, n, "%s failed with %s, should fail with %s", call,
		     strerrorname_np(err), strerrorname_np(want));
	fail(p, n, "%s failed: %s", call, strerrorname_np(err));
}

/* ---- nodes ---- */

struct node *node_new(struct proc *p, mode_t mode, struct node *parent)
{
	struct node *n = xalloc(sizeof(*n));

	n->id = ++p->next_id;
	n->mode = mode;
	n->ctime.t = p->t0;
	n->mtime.t = p->t0;
	if (parent && (parent->mode & S_ISGID)) {
		n->gid = parent->gid;
		if (S_ISDIR(mode))
			n->mode |= S_ISGID;
	}
	if (S_ISDIR(mode))
		n->nlink = 2;
	if (p->nnodes == p->cnodes) {
		p->cnodes = p->cnodes ? p->cnodes * 2 : 64;
		p->nodes = realloc(p->nodes, p->cnodes * sizeof(*p->nodes));
		if (!p->nodes)
			die("out of memory");
	}
	n->index = p->nnodes;
	p->nodes[p->nnodes++] = n;
	return n;
}

void node_unref(struct proc *p, struct node *n)
{
	unsigned int i;

	if (n->fds || (is_dir(n) ? n->parent != NULL : n->nlink > 0))
		return;
	p->nodes[n->index] = p->nodes[--p->nnodes];
	p->nodes[n->index]->index = n->index;
	for (i = 0; i < n->nxa; i++) {
		free(n->xa[i].name);
		free(n->xa[i].val);
	}
	free(n->ents);
	free(n->data);
	free(n->target);
	free(n);
}

struct entry *dir_find(struct node *dir, const char *name)
{
	unsigned int i;

	for (i = 0; i < dir->nents; i++)
		if (!strcmp(dir->ents[i].name, name))
			return &dir->ents[i];
	return NULL;
}

void dir_add(struct proc *p, struct node *dir, const char *name,
	     struct node *n)
{
	struct entry *e;

	if (dir->nents == dir->cents) {
		dir->cents = dir->cents ? dir->cents * 2 : 8;
		dir->ents = realloc(dir->ents, dir->cents * sizeof(*e));
		if (!dir->ents)
			die("out of memory");
	}
	e = &dir->ents[dir->nents++];
	e->name = xstrdup(name);
	e->node = n;
	if (is_dir(n)) {
		n->parent = dir;
		n->dname = e->name;
		dir->nlink++;
	} else {
		n->nlink++;
	}
	touch_m(p, dir);
}

void dir_del(struct proc *p, struct node *dir, const char *name)
{
	struct entry *e = dir_find(dir, name);
	struct node *n = e->node;

	if (is_dir(n)) {
		n->parent = NULL;
		n->dname = NULL;
		dir->nlink--;
	} else {
		n->nlink--;
	}
	free(e->name);
	*e = dir->ents[--dir->nents];
	touch_m(p, dir);
}

/* Is @a the same as or above @of? */
bool is_ancestor(const struct node *a, const struct node *of)
{
	for (; of; of = of->parent)
		if (of == a)
			return true;
	return false;
}

unsigned int node_depth(const struct node *n)
{
	unsigned int depth = 0;

	for (; n->parent; n = n->parent)
		depth++;
	return depth;
}

char *dir_path(struct proc *p, struct node *dir, char *buf)
{
	if (!dir->parent) {
		strcpy(buf, p->root);
	} else {
		dir_path(p, dir->parent, buf);
		strcat(buf, "/");
		strcat(buf, dir->dname);
	}
	return buf;
}

char *entry_path(struct proc *p, struct node *dir, const char *name, char *buf)
{
	dir_path(p, dir, buf);
	strcat(buf, "/");
	strcat(buf, name);
	return buf;
}

struct node *pick_dir(struct proc *p)
{
	unsigned int i;
	struct node *n;

	for (i = 0; i < 12; i++) {
		n = p->nodes[below(&p->rng, p->nnodes)];
		if (is_dir(n))
			return n;
	}
	return p->tree;
}

struct entry *pick_entry(struct proc *p, mode_t type, struct node **dir)
{
	unsigned int i;
	struct entry *e;
	struct node *d;

	for (i = 0; i < 24; i++) {
		d = pick_dir(p);
		if (!d->nents)
			continue;
		e = &d->ents[below(&p->rng, d->nents)];
		if (type && (e->node->mode & S_IFMT) != type)
			continue;
		*dir = d;
		return e;
	}
	return NULL;
}

static const char *const odd_names[] = {
	"with space", "line\nbreak", "tab\t", "\xc3\xa4\xc3\xb6\xc3\xbc",
	"\xff\xfe", "-rf", "a:b", "...", ".hidden", "x\\y", "q'\"", "*",
};

void pick_name(struct proc *p, char *name)
{
	unsigned int len;

	switch (below(&p->rng, 24)) {
	case 0:
		strcpy(name, odd_names[below(&p->rng, ARRAY_SIZE(odd_names))]);
		return;
	case 1:
		len = one_in(&p->rng, 2) ? 255 : 100 + below(&p->rng, 155);
		memset(name, 'a' + below(&p->rng, 3), len);
		name[len] = '\0';
		return;
	default:
		sprintf(name, "%c%u", 'a' + below(&p->rng, 5),
			below(&p->rng, 12));
	}
}

/* ---- contents ---- */

/* Eight bytes that tell where they come from. */
static uint64_t word_at(const struct proc *p, const struct node *n, off_t off)
{
	return (uint64_t)(p->num + 1) << 56 | (uint64_t)(n->id & 0xfffff) << 36 |
	       (uint64_t)(p->op & 0xffffff) << 12 | (uint64_t)(off >> 3 & 0xfff);
}

void fill(struct proc *p, const struct node *n, unsigned char *buf, off_t off,
	  size_t len)
{
	size_t i = 0;
	uint64_t w;

	while (i < len) {
		size_t skip = (off + i) & 7, part = 8 - skip;

		w = word_at(p, n, (off + i) & ~7ULL);
		if (part > len - i)
			part = len - i;
		memcpy(buf + i, (unsigned char *)&w + skip, part);
		i += part;
	}
}

void content_resize(struct node *n, size_t size)
{
	if (size > n->cap) {
		size_t cap = (size + 16383) & ~16383UL;

		n->data = realloc(n->data, cap);
		if (!n->data)
			die("out of memory");
		memset(n->data + n->cap, 0, cap - n->cap);
		n->cap = cap;
	}
	if (size < n->size)
		memset(n->data + size, 0, n->size - size);
	n->size = size;
}

void content_set(struct node *n, const unsigned char *buf, off_t off,
		 size_t len)
{
	if (off + len > n->size)
		content_resize(n, off + len);
	memcpy(n->data + off, buf, len);
}

static void describe(const unsigned char *word, char *out, size_t size)
{
	uint64_t w;

	memcpy(&w, word, 8);
	if (!w)
		snprintf(out, size, "zeros");
	else
		snprintf(out, size, "process %u file #%u op %u",
			 (unsigned int)(w >> 56) - 1,
			 (unsigned int)(w >> 36 & 0xfffff),
			 (unsigned int)(w >> 12 & 0xffffff));
}

void content_check(struct proc *p, const struct node *n,
		   const unsigned char *got, off_t off, size_t len,
		   const char *how)
{
	char want_s[64] = "?", got_s[64] = "?";
	size_t i, end, a;

	if (!len || !memcmp(n->data + off, got, len))
		return;
	for (i = 0; n->data[off + i] == got[i]; i++)
		;
	for (end = len; n->data[off + end - 1] == got[end - 1]; end--)
		;
	a = (off + i) & ~7ULL;
	if (a >= (size_t)off && a + 8 <= off + len) {
		describe(n->data + a, want_s, sizeof(want_s));
		describe(got + a - off, got_s, sizeof(got_s));
	}
	fail(p, n, "%s: bytes %lld to %lld differ in a read of %lld+%zu: at first should be %02x (%s), is %02x (%s)",
	     how, (long long)(off + i), (long long)(off + end),
	     (long long)off, len, n->data[off + i], want_s, got[i], got_s);
}

/* ---- times ---- */

void touch_m(struct proc *p, struct node *n)
{
	n->mtime = (struct mtime){ p->t0, false };
	touch_c(p, n);
}

void touch_c(struct proc *p, struct node *n)
{
	n->ctime = (struct mtime){ p->t0, false };
}

void loosen_m(struct proc *p, struct node *n)
{
	if (ts_cmp(n->mtime.t, p->t0) > 0)
		n->mtime.t = p->t0;
	n->mtime.exact = false;
	n->ctime.exact = false;
}

static void check_time(struct proc *p, struct node *n, struct mtime *m,
		       struct timespec t, const char *which)
{
	int cmp = ts_cmp(t, m->t);

	if (m->exact ? cmp != 0 : cmp < 0)
		fail(p, n, "%s is %lld.%09ld, should be %s %lld.%09ld", which,
		     (long long)t.tv_sec, t.tv_nsec,
		     m->exact ? "exactly" : "at least", (long long)m->t.tv_sec,
		     m->t.tv_nsec);
	m->t = t;
	m->exact = true;
}

/* ---- comparing ---- */

void check_stat(struct proc *p, struct node *n, const struct stat *st)
{
	if (st->st_mode != n->mode)
		fail(p, n, "mode is %o, should be %o", st->st_mode, n->mode);
	if (st->st_uid != n->uid || st->st_gid != n->gid)
		fail(p, n, "owner is %u:%u, should be %u:%u", st->st_uid,
		     st->st_gid, n->uid, n->gid);
	if (st->st_nlink != n->nlink)
		fail(p, n, "nlink is %lu, should be %u",
		     (unsigned long)st->st_nlink, n->nlink);
	if (st->st_ino != n->ino)
		fail(p, n, "inode number is %lu, should be %lu",
		     (unsigned long)st->st_ino, (unsigned long)n->ino);
	if (is_reg(n) && (size_t)st->st_size != n->size)
		fail(p, n, "size is %lld, should be %zu",
		     (long long)st->st_size, n->size);
	if (S_ISLNK(n->mode) && (size_t)st->st_size != strlen(n->target))
		fail(p, n, "size of the symlink is %lld, should be %zu",
		     (long long)st->st_size, strlen(n->target));
	if (st->st_rdev != n->rdev)
		fail(p, n, "device number is %lx, should be %lx",
		     (unsigned long)st->st_rdev, (unsigned long)n->rdev);
	check_time(p, n, &n->mtime, st->st_mtim, "mtime");
	check_time(p, n, &n->ctime, st->st_ctim, "ctime");
}

void check_path(struct proc *p, struct node *n, const char *path)
{
	char buf[PATH_MAX];
	struct stat st;
	ssize_t len;

	if (lstat(path, &st) < 0)
		fail(p, n, "stat of %s failed: %m", path);
	check_stat(p, n, &st);
	if (!S_ISLNK(n->mode))
		return;
	len = readlink(path, buf, sizeof(buf));
	if (len < 0)
		fail(p, n, "readlink of %s failed: %m", path);
	if ((size_t)len != strlen(n->target) || memcmp(buf, n->target, len))
		fail(p, n, "readlink gives '%.*s', should be '%s'", (int)len,
		     buf, n->target);
}

/* A new node: learn what only the file system can know. */
void adopt(struct proc *p, struct node *n, const char *path)
{
	struct statx stx;
	struct stat st;
	unsigned int i;

	if (lstat(path, &st) < 0)
		fail(p, n, "stat of new %s failed: %m", path);
	n->ino = st.st_ino;
	for (i = 0; i < p->nnodes; i++)
		if (p->nodes[i] != n && p->nodes[i]->ino == n->ino)
			fail(p, n, "inode number %lu of new %s is in use by #%u",
			     (unsigned long)n->ino, path, p->nodes[i]->id);
	check_stat(p, n, &st);
	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &stx) == 0 &&
	    (stx.stx_mask & STATX_BTIME)) {
		n->btime.tv_sec = stx.stx_btime.tv_sec;
		n->btime.tv_nsec = stx.stx_btime.tv_nsec;
	}
}

static unsigned char dtype(const struct node *n)
{
	return IFTODT(n->mode);
}

void check_dir(struct proc *p, struct node *dir)
{
	unsigned int i, found = 0, dots = 0;
	char path[PATH_LEN];
	bool *seen = xalloc(dir->nents);
	struct dirent *de;
	struct entry *e;
	DIR *d;

	d = opendir(dir_path(p, dir, path));
	if (!d)
		fail(p, dir, "opendir of %s failed: %m", path);
	for (errno = 0; (de = readdir(d)); errno = 0) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, "..")) {
			dots++;
			continue;
		}
		e = dir_find(dir, de->d_name);
		if (!e)
			fail(p, dir, "%s lists '%s', which should not exist",
			     path, de->d_name);
		if (seen[e - dir->ents])
			fail(p, dir, "%s lists '%s' twice", path, de->d_name);
		seen[e - dir->ents] = true;
		found++;
		if (de->d_ino != e->node->ino)
			fail(p, e->node, "readdir gives inode %lu for '%s', should be %lu",
			     (unsigned long)de->d_ino, de->d_name,
			     (unsigned long)e->node->ino);
		if (de->d_type != DT_UNKNOWN && de->d_type != dtype(e->node))
			fail(p, e->node, "readdir gives type %u for '%s', should be %u",
			     de->d_type, de->d_name, dtype(e->node));
	}
	if (errno)
		fail(p, dir, "readdir of %s failed: %m", path);
	closedir(d);
	for (i = 0; i < dir->nents; i++)
		if (!seen[i])
			fail(p, dir->ents[i].node, "%s does not list '%s'",
			     path, dir->ents[i].name);
	if (dots != 2)
		fail(p, dir, "%s lists . and .. %u times together", path, dots);
	free(seen);
	(void)found;
}

void check_content(struct proc *p, struct node *n, const char *path)
{
	size_t done = 0;
	ssize_t got;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail(p, n, "open of %s failed: %m", path);
	do {
		got = read(fd, p->buf, SIZE_MAX_FILE + 4096);
		if (got < 0)
			fail(p, n, "read of %s at %zu failed: %m", path, done);
		if (done + got > n->size)
			fail(p, n, "read of %s gives %zu bytes, should be %zu",
			     path, done + got, n->size);
		content_check(p, n, p->buf, done, got, "read");
		done += got;
	} while (got > 0);
	if (done != n->size)
		fail(p, n, "read of %s ends at %zu, should be %zu", path, done,
		     n->size);
	close(fd);
}

static struct xa *find_xa(struct node *n, const char *name)
{
	unsigned int i;

	for (i = 0; i < n->nxa; i++)
		if (!strcmp(n->xa[i].name, name))
			return &n->xa[i];
	return NULL;
}

void check_xattrs(struct proc *p, struct node *n, const char *path)
{
	char list[4096], *s;
	unsigned char val[XA_LEN_MAX + 1];
	unsigned int count = 0;
	ssize_t len, i;
	struct xa *xa;

	if (p->unsupported & UNSUP_XATTR)
		return;
	len = llistxattr(path, list, sizeof(list));
	if (len < 0)
		fail(p, n, "listxattr of %s failed: %m", path);
	for (i = 0; i < len; i += strlen(s) + 1) {
		s = list + i;
		if (!strncmp(s, "security.", 9) || !strncmp(s, "system.", 7))
			continue;
		xa = find_xa(n, s);
		if (!xa)
			fail(p, n, "%s has xattr '%s', which should not exist",
			     path, s);
		count++;
	}
	if (count != n->nxa)
		fail(p, n, "%s lists %u xattrs, should be %u", path, count,
		     n->nxa);
	for (i = 0; i < n->nxa; i++) {
		xa = &n->xa[i];
		len = lgetxattr(path, xa->name, val, sizeof(val));
		if (len < 0)
			fail(p, n, "getxattr %s of %s failed: %m", xa->name,
			     path);
		if (len != xa->len || memcmp(val, xa->val, len))
			fail(p, n, "value of xattr %s is wrong (%zd bytes, should be %u)",
			     xa->name, len, xa->len);
	}
}

static void check_btime(struct proc *p, struct node *n, const char *path)
{
	struct statx stx;

	if (!n->btime.tv_sec ||
	    statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &stx) < 0)
		return;
	if (stx.stx_btime.tv_sec != n->btime.tv_sec ||
	    stx.stx_btime.tv_nsec != n->btime.tv_nsec)
		fail(p, n, "birth time of %s changed", path);
}

static void check_tree(struct proc *p, struct node *dir)
{
	char path[PATH_LEN];
	unsigned int i;

	check_path(p, dir, dir_path(p, dir, path));
	check_xattrs(p, dir, path);
	check_dir(p, dir);
	for (i = 0; i < dir->nents; i++) {
		struct node *n = dir->ents[i].node;

		if (is_dir(n)) {
			check_tree(p, n);
			continue;
		}
		entry_path(p, dir, dir->ents[i].name, path);
		check_path(p, n, path);
		check_btime(p, n, path);
		if (is_reg(n)) {
			check_content(p, n, path);
			check_xattrs(p, n, path);
		}
	}
}

void check_all(struct proc *p)
{
	p->opname = "final check";
	check_tree(p, p->tree);
}
