// SPDX-License-Identifier: GPL-2.0-only
/* opsrand: operations on names and attributes. */
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include "model.h"

#define RENAME_FLAGS_NOREPLACE 1
#define RENAME_FLAGS_EXCHANGE 2

static bool crowded(struct proc *p)
{
	return p->nnodes > NODES_MAX;
}

static bool too_deep(const struct node *dir)
{
	return node_depth(dir) >= DEPTH_MAX;
}

static mode_t pick_mode(struct proc *p)
{
	static const mode_t modes[] = {
		0644, 0600, 0755, 0777, 0400, 0000, 0640, 0666, 04755, 02755,
		01777, 06711,
	};

	return modes[below(&p->rng, ARRAY_SIZE(modes))];
}

/* A new name for a new node: directory, name and path. */
static struct node *new_place(struct proc *p, char *name, char *path)
{
	struct node *dir = pick_dir(p);

	pick_name(p, name);
	entry_path(p, dir, name, path);
	return dir;
}

void op_create(struct proc *p)
{
	char name[256], path[PATH_LEN];
	struct node *dir, *n;
	struct entry *e;
	mode_t mode;
	int fd;

	if (crowded(p)) {
		op_unlink(p);
		return;
	}
	dir = new_place(p, name, path);
	mode = pick_mode(p) & ~07000;
	e = dir_find(dir, name);
	note(p, dir, e ? e->node : NULL, "create excl %s mode %o", path, mode);
	fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, mode);
	expect(p, dir, "open(O_CREAT|O_EXCL)", fd, e ? EEXIST : 0);
	if (e)
		return;
	n = node_new(p, S_IFREG | mode, dir);
	dir_add(p, dir, name, n);
	note(p, n, dir, "is the new file");
	if (one_in(&p->rng, 2)) {
		size_t len = 1 + below(&p->rng, 9000);

		fill(p, n, p->buf, 0, len);
		if (write(fd, p->buf, len) != (ssize_t)len)
			fail(p, n, "write of %zu to new file failed: %m", len);
		content_set(n, p->buf, 0, len);
	}
	close(fd);
	adopt(p, n, path);
}

/* O_CREAT without O_EXCL, with or without O_TRUNC, on what may exist. */
void op_open_creat(struct proc *p)
{
	int flags = O_CREAT | O_RDWR | O_CLOEXEC;
	char name[256], path[PATH_LEN];
	struct node *dir, *n;
	struct entry *e;
	int fd, want = 0;

	if (crowded(p)) {
		op_unlink(p);
		return;
	}
	dir = new_place(p, name, path);
	e = dir_find(dir, name);
	if (e && !is_reg(e->node) && !is_dir(e->node))
		return;
	if (one_in(&p->rng, 3))
		flags |= O_TRUNC;
	if (e && is_dir(e->node))
		want = EISDIR;
	note(p, dir, e ? e->node : NULL, "open creat%s %s",
	     flags & O_TRUNC ? " trunc" : "", path);
	fd = open(path, flags, 0640);
	expect(p, e ? e->node : dir, "open(O_CREAT)", fd, want);
	if (want)
		return;
	if (e) {
		n = e->node;
		if (flags & O_TRUNC) {
			content_resize(n, 0);
			touch_m(p, n);
		}
		close(fd);
		check_path(p, n, path);
		return;
	}
	n = node_new(p, S_IFREG | 0640, dir);
	dir_add(p, dir, name, n);
	note(p, n, dir, "is the new file");
	close(fd);
	adopt(p, n, path);
}

void op_mkdir(struct proc *p)
{
	char name[256], path[PATH_LEN];
	struct node *dir, *n;
	struct entry *e;
	mode_t mode;
	int rc;

	dir = new_place(p, name, path);
	e = dir_find(dir, name);
	if (!e && (too_deep(dir) || crowded(p))) {
		op_rmdir(p);
		return;
	}
	mode = pick_mode(p) & 01777;
	note(p, dir, e ? e->node : NULL, "mkdir %s mode %o", path, mode);
	rc = mkdir(path, mode);
	expect(p, dir, "mkdir", rc, e ? EEXIST : 0);
	if (e)
		return;
	n = node_new(p, S_IFDIR | mode, dir);
	dir_add(p, dir, name, n);
	note(p, n, dir, "is the new directory");
	adopt(p, n, path);
}

void op_symlink(struct proc *p)
{
	char name[256], path[PATH_LEN], target[2000];
	struct node *dir, *n;
	struct entry *e;
	size_t len;
	int rc;

	dir = new_place(p, name, path);
	e = dir_find(dir, name);
	len = one_in(&p->rng, 8) ? 1 + below(&p->rng, 1000) :
				   1 + below(&p->rng, 60);
	memset(target, 'a' + below(&p->rng, 26), len);
	target[len] = '\0';
	note(p, dir, e ? e->node : NULL, "symlink %s target of %zu", path, len);
	rc = symlink(target, path);
	expect(p, dir, "symlink", rc, e ? EEXIST : 0);
	if (e)
		return;
	n = node_new(p, S_IFLNK | 0777, dir);
	n->target = xstrdup(target);
	dir_add(p, dir, name, n);
	note(p, n, dir, "is the new symlink");
	adopt(p, n, path);
	check_path(p, n, path);
}

void op_mknod(struct proc *p)
{
	char name[256], path[PATH_LEN];
	mode_t mode = S_IFIFO | 0600;
	struct node *dir, *n;
	struct entry *e;
	dev_t dev = 0;
	int rc;

	dir = new_place(p, name, path);
	e = dir_find(dir, name);
	if (one_in(&p->rng, 2) && geteuid() == 0) {
		mode = (one_in(&p->rng, 2) ? S_IFCHR : S_IFBLK) | 0640;
		dev = makedev(below(&p->rng, 512), below(&p->rng, 262144));
	}
	note(p, dir, e ? e->node : NULL, "mknod %s mode %o", path, mode);
	rc = mknod(path, mode, dev);
	expect(p, dir, "mknod", rc, e ? EEXIST : 0);
	if (e)
		return;
	n = node_new(p, mode, dir);
	n->rdev = dev;
	dir_add(p, dir, name, n);
	note(p, n, dir, "is the new node");
	adopt(p, n, path);
}

void op_link(struct proc *p)
{
	char name[256], path[PATH_LEN], from[PATH_LEN];
	struct node *dir, *sdir, *n;
	struct entry *e, *src;
	int rc, want = 0;

	src = pick_entry(p, one_in(&p->rng, 4) ? 0 : S_IFREG, &sdir);
	if (!src)
		return;
	n = src->node;
	entry_path(p, sdir, src->name, from);
	dir = new_place(p, name, path);
	e = dir_find(dir, name);
	if (e)
		want = EEXIST;
	else if (is_dir(n))
		want = EPERM;
	note(p, n, dir, "link %s to %s", from, path);
	rc = link(from, path);
	/* Both errors are right; which one comes first is not told. */
	if (want == EEXIST && is_dir(n) && rc < 0 && errno == EPERM)
		return;
	expect(p, n, "link", rc, want);
	if (want)
		return;
	dir_add(p, dir, name, n);
	touch_c(p, n);
	check_path(p, n, one_in(&p->rng, 2) ? path : from);
}

void op_unlink(struct proc *p)
{
	char path[PATH_LEN], name[256];
	struct node *dir, *n = NULL;
	struct entry *e;
	int rc, want = 0;

	if (one_in(&p->rng, 5)) {
		dir = new_place(p, name, path);
		e = dir_find(dir, name);
	} else {
		e = pick_entry(p, 0, &dir);
		if (!e)
			return;
		entry_path(p, dir, e->name, path);
	}
	if (!e)
		want = ENOENT;
	else if (is_dir(e->node))
		want = EISDIR;
	if (e)
		n = e->node;
	note(p, dir, n, "unlink %s", path);
	rc = unlink(path);
	expect(p, n ? n : dir, "unlink", rc, want);
	if (want)
		return;
	strcpy(name, e->name);
	dir_del(p, dir, name);
	touch_c(p, n);
	if (access(path, F_OK) == 0)
		fail(p, n, "%s exists after unlink", path);
	node_unref(p, n);
}

void op_rmdir(struct proc *p)
{
	struct node *dir, *n;
	char path[PATH_LEN], name[256];
	struct entry *e;
	int rc, want = 0;

	e = pick_entry(p, one_in(&p->rng, 8) ? 0 : S_IFDIR, &dir);
	if (!e)
		return;
	n = e->node;
	entry_path(p, dir, e->name, path);
	if (!is_dir(n))
		want = ENOTDIR;
	else if (n->nents)
		want = ENOTEMPTY;
	note(p, dir, n, "rmdir %s", path);
	rc = rmdir(path);
	expect(p, n, "rmdir", rc, want);
	if (want)
		return;
	strcpy(name, e->name);
	dir_del(p, dir, name);
	node_unref(p, n);
}

/* ---- rename ---- */

struct move {
	struct node *d1, *d2;
	char n1[256], n2[256];
	struct node *src, *dst;		/* dst may be NULL */
	unsigned int flags;
};

static int move_errno(const struct move *m)
{
	if (!m->src)
		return ENOENT;
	if ((m->flags & RENAME_FLAGS_NOREPLACE) && m->dst)
		return EEXIST;
	if ((m->flags & RENAME_FLAGS_EXCHANGE) && !m->dst)
		return ENOENT;
	if (m->d1 != m->d2 && is_dir(m->src) && is_ancestor(m->src, m->d2))
		return EINVAL;
	if (m->d1 != m->d2 && m->dst && is_dir(m->dst) &&
	    is_ancestor(m->dst, m->d1))
		return m->flags & RENAME_FLAGS_EXCHANGE ? EINVAL : ENOTEMPTY;
	if (m->src == m->dst || (m->flags & RENAME_FLAGS_EXCHANGE) || !m->dst)
		return 0;
	if (is_dir(m->src) && !is_dir(m->dst))
		return ENOTDIR;
	if (!is_dir(m->src) && is_dir(m->dst))
		return EISDIR;
	if (is_dir(m->dst) && m->dst->nents)
		return ENOTEMPTY;
	return 0;
}

static void move_apply(struct proc *p, const struct move *m)
{
	if (m->src == m->dst)
		return;
	dir_del(p, m->d1, m->n1);
	if (m->dst)
		dir_del(p, m->d2, m->n2);
	dir_add(p, m->d2, m->n2, m->src);
	if (m->flags & RENAME_FLAGS_EXCHANGE) {
		dir_add(p, m->d1, m->n1, m->dst);
		/* file systems differ in whose times they change */
		loosen_m(p, m->src);
		loosen_m(p, m->dst);
		return;
	}
	touch_c(p, m->src);
	if (m->dst) {
		touch_c(p, m->dst);
		node_unref(p, m->dst);
	}
}

static unsigned int height(const struct node *n)
{
	unsigned int i, h = 0, max = 0;

	for (i = 0; i < n->nents; i++) {
		if (!is_dir(n->ents[i].node))
			continue;
		h = 1 + height(n->ents[i].node);
		if (h > max)
			max = h;
	}
	return max;
}

static bool move_too_deep(const struct move *m)
{
	if (m->src && is_dir(m->src) &&
	    node_depth(m->d2) + 1 + height(m->src) > DEPTH_MAX + 1)
		return true;
	return (m->flags & RENAME_FLAGS_EXCHANGE) && m->dst && is_dir(m->dst) &&
	       node_depth(m->d1) + 1 + height(m->dst) > DEPTH_MAX + 1;
}

static bool move_pick(struct proc *p, struct move *m)
{
	struct entry *e;

	memset(m, 0, sizeof(*m));
	e = pick_entry(p, one_in(&p->rng, 4) ? S_IFDIR : 0, &m->d1);
	if (!e)
		return false;
	strcpy(m->n1, e->name);
	m->src = e->node;
	if (one_in(&p->rng, 20)) {
		pick_name(p, m->n1);
		e = dir_find(m->d1, m->n1);
		m->src = e ? e->node : NULL;
	}
	if (one_in(&p->rng, 3)) {
		e = pick_entry(p, m->src && is_dir(m->src) ? S_IFDIR : 0,
			       &m->d2);
		if (!e)
			return false;
		strcpy(m->n2, e->name);
	} else {
		m->d2 = one_in(&p->rng, 3) ? m->d1 : pick_dir(p);
		pick_name(p, m->n2);
		e = dir_find(m->d2, m->n2);
	}
	m->dst = e ? e->node : NULL;
	if (one_in(&p->rng, 4))
		m->flags = RENAME_FLAGS_NOREPLACE;
	else if (one_in(&p->rng, 4) && !(p->unsupported & UNSUP_EXCHANGE))
		m->flags = RENAME_FLAGS_EXCHANGE;
	return !move_too_deep(m);
}

void op_rename(struct proc *p)
{
	char from[PATH_LEN], to[PATH_LEN];
	struct move m;
	int rc, want;

	if (!move_pick(p, &m))
		return;
	entry_path(p, m.d1, m.n1, from);
	entry_path(p, m.d2, m.n2, to);
	want = move_errno(&m);
	note(p, m.src ? m.src : m.d1, m.dst, "rename%s %s to %s",
	     m.flags == 1 ? " noreplace" : m.flags ? " exchange" : "", from,
	     to);
	note(p, m.d1, m.d2, "are the directories");
	rc = renameat2(AT_FDCWD, from, AT_FDCWD, to, m.flags);
	if (rc < 0 && errno == EINVAL && want != EINVAL && m.flags == 2) {
		p->unsupported |= UNSUP_EXCHANGE;
		return;
	}
	/*
	 * Onto a taken name below itself: both errors are right, and a target
	 * that nobody looks at isn't known to be taken.
	 */
	if (rc < 0 && errno == EINVAL && want == EEXIST && is_dir(m.src) &&
	    is_ancestor(m.src, m.d2))
		return;
	expect(p, m.src ? m.src : m.d1, "rename", rc, want);
	if (want)
		return;
	move_apply(p, &m);
	if (m.src != m.dst) {
		if (m.src->nlink)
			check_path(p, m.src, entry_path(p, m.d2, m.n2, to));
		if (!(m.flags & RENAME_FLAGS_EXCHANGE) &&
		    access(entry_path(p, m.d1, m.n1, from), F_OK) == 0)
			fail(p, m.src, "%s exists after rename", from);
	}
}

/* O_TMPFILE, written, read back; half of them get a name by linkat. */
void op_tmpfile(struct proc *p)
{
	char name[256], path[PATH_LEN], dpath[PATH_LEN], proc_fd[64];
	struct node *dir, *n;
	struct entry *e;
	struct stat st;
	size_t len;
	int fd, rc;

	if ((p->unsupported & UNSUP_TMPFILE) || crowded(p))
		return;
	dir = new_place(p, name, path);
	e = dir_find(dir, name);
	dir_path(p, dir, dpath);
	note(p, dir, NULL, "O_TMPFILE in %s, name %s", dpath, name);
	fd = open(dpath, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
		p->unsupported |= UNSUP_TMPFILE;
		return;
	}
	expect(p, dir, "open(O_TMPFILE)", fd, 0);
	n = node_new(p, S_IFREG | 0600, dir);
	note(p, n, dir, "is the O_TMPFILE");
	len = 1 + below(&p->rng, 20000);
	fill(p, n, p->buf, 0, len);
	if (write(fd, p->buf, len) != (ssize_t)len)
		fail(p, n, "write of %zu to O_TMPFILE failed: %m", len);
	content_set(n, p->buf, 0, len);
	if (fstat(fd, &st) < 0 || st.st_nlink != 0)
		fail(p, n, "nlink of O_TMPFILE is %lu",
		     (unsigned long)st.st_nlink);
	if (pread(fd, p->buf2, len + 10, 0) != (ssize_t)len)
		fail(p, n, "short read of O_TMPFILE");
	content_check(p, n, p->buf2, 0, len, "pread of O_TMPFILE");
	if (one_in(&p->rng, 2)) {
		close(fd);
		node_unref(p, n);
		return;
	}
	sprintf(proc_fd, "/proc/self/fd/%d", fd);
	rc = linkat(AT_FDCWD, proc_fd, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
	expect(p, n, "linkat of O_TMPFILE", rc, e ? EEXIST : 0);
	close(fd);
	if (e) {
		node_unref(p, n);
		return;
	}
	dir_add(p, dir, name, n);
	adopt(p, n, path);
	check_content(p, n, path);
}

/* Names that can't work. */
void op_badname(struct proc *p)
{
	char path[PATH_LEN], name[300];
	struct node *dir = pick_dir(p);
	struct entry *e;
	struct stat st;

	dir_path(p, dir, path);
	strcat(path, "/");
	switch (below(&p->rng, 4)) {
	case 0:
		memset(name, 'n', 256);
		name[256] = '\0';
		strcat(path, name);
		note(p, dir, NULL, "stat of a 256-byte name");
		expect(p, dir, "stat(256 bytes)", lstat(path, &st),
		       ENAMETOOLONG);
		expect(p, dir, "mkdir(256 bytes)", mkdir(path, 0755),
		       ENAMETOOLONG);
		return;
	case 1:
		e = pick_entry(p, S_IFREG, &dir);
		if (!e)
			return;
		entry_path(p, dir, e->name, path);
		strcat(path, "/x");
		note(p, e->node, dir, "stat through a file");
		expect(p, e->node, "stat(file/x)", lstat(path, &st), ENOTDIR);
		return;
	default:
		sprintf(name, "none%u", below(&p->rng, 50));
		strcat(path, name);
		note(p, dir, NULL, "stat of nothing %s", name);
		expect(p, dir, "stat(no such name)", lstat(path, &st), ENOENT);
	}
}

/* ---- attributes ---- */

static struct entry *pick_any(struct proc *p, struct node **dir, char *path)
{
	struct entry *e = pick_entry(p, 0, dir);

	if (e)
		entry_path(p, *dir, e->name, path);
	return e;
}

void op_chmod(struct proc *p)
{
	char path[PATH_LEN];
	struct node *dir;
	struct entry *e = pick_any(p, &dir, path);
	mode_t mode = pick_mode(p);

	if (!e || S_ISLNK(e->node->mode))
		return;
	note(p, e->node, NULL, "chmod %s %o", path, mode);
	expect(p, e->node, "chmod", chmod(path, mode), 0);
	e->node->mode = (e->node->mode & S_IFMT) | mode;
	touch_c(p, e->node);
	check_path(p, e->node, path);
}

void op_chown(struct proc *p)
{
	char path[PATH_LEN];
	struct node *dir, *n;
	struct entry *e = pick_any(p, &dir, path);
	uid_t uid = one_in(&p->rng, 4) ? (uid_t)-1 : below(&p->rng, 5) * 1000;
	gid_t gid = one_in(&p->rng, 4) ? (gid_t)-1 : below(&p->rng, 5) * 1000;

	if (!e || geteuid() != 0)
		return;
	n = e->node;
	note(p, n, NULL, "chown %s %d:%d", path, (int)uid, (int)gid);
	expect(p, n, "chown", lchown(path, uid, gid), 0);
	if (uid != (uid_t)-1)
		n->uid = uid;
	if (gid != (gid_t)-1)
		n->gid = gid;
	if (!is_dir(n)) {
		n->mode &= ~S_ISUID;
		if (n->mode & S_IXGRP)
			n->mode &= ~S_ISGID;
	}
	touch_c(p, n);
	check_path(p, n, path);
}

void op_utimens(struct proc *p)
{
	struct timespec ts[2];
	char path[PATH_LEN];
	struct node *dir, *n;
	struct entry *e = pick_any(p, &dir, path);
	struct stat st;
	bool now = one_in(&p->rng, 5);

	if (!e)
		return;
	n = e->node;
	ts[0].tv_sec = below(&p->rng, 2000000000);
	ts[0].tv_nsec = below(&p->rng, 1000000000);
	ts[1].tv_sec = below(&p->rng, 2000000000);
	ts[1].tv_nsec = now ? UTIME_NOW : below(&p->rng, 1000000000);
	note(p, n, NULL, "utimens %s %ld.%09ld", path, ts[1].tv_sec,
	     ts[1].tv_nsec);
	expect(p, n, "utimensat",
	       utimensat(AT_FDCWD, path, ts, AT_SYMLINK_NOFOLLOW), 0);
	touch_m(p, n);
	if (!now)
		n->mtime = (struct mtime){ ts[1], true };
	check_path(p, n, path);
	if (lstat(path, &st) == 0 && ts_cmp(st.st_atim, ts[0]) &&
	    !S_ISLNK(n->mode))
		fail(p, n, "atime is %ld.%09ld after utimens, should be %ld.%09ld",
		     st.st_atim.tv_sec, st.st_atim.tv_nsec, ts[0].tv_sec,
		     ts[0].tv_nsec);
}

static void xattr_set(struct proc *p, struct node *n, const char *path,
		      const char *name, struct xa *xa)
{
	unsigned char val[XA_LEN_MAX];
	int flags = 0, want = 0, rc;
	unsigned int i, len;

	len = below(&p->rng, XA_LEN_MAX + 1);
	for (i = 0; i < len; i++)
		val[i] = rnd(&p->rng);
	if (one_in(&p->rng, 4))
		flags = one_in(&p->rng, 2) ? XATTR_CREATE : XATTR_REPLACE;
	if (flags == XATTR_CREATE && xa)
		want = EEXIST;
	if (flags == XATTR_REPLACE && !xa)
		want = ENODATA;
	if (!want && !xa && n->nxa == XA_MAX)
		return;
	note(p, n, NULL, "setxattr %s %s %u bytes flags %d", path, name, len,
	     flags);
	rc = setxattr(path, name, val, len, flags);
	if (rc < 0 && errno == EOPNOTSUPP) {
		p->unsupported |= UNSUP_XATTR;
		return;
	}
	expect(p, n, "setxattr", rc, want);
	if (want)
		return;
	if (!xa) {
		xa = &n->xa[n->nxa++];
		memset(xa, 0, sizeof(*xa));
		xa->name = xstrdup(name);
	}
	free(xa->val);
	xa->val = xalloc(len);
	memcpy(xa->val, val, len);
	xa->len = len;
	touch_c(p, n);
}

void op_xattr(struct proc *p)
{
	static const char *const prefix[] = { "user.", "trusted." };
	char path[PATH_LEN], name[64];
	struct node *dir, *n;
	struct xa *xa = NULL;
	struct entry *e = pick_any(p, &dir, path);
	unsigned int i;

	if (!e || !(is_reg(e->node) || is_dir(e->node)) ||
	    (p->unsupported & UNSUP_XATTR))
		return;
	n = e->node;
	sprintf(name, "%sx%u", prefix[below(&p->rng, geteuid() ? 1 : 2)],
		below(&p->rng, 6));
	for (i = 0; i < n->nxa; i++)
		if (!strcmp(n->xa[i].name, name))
			xa = &n->xa[i];
	if (!one_in(&p->rng, 3)) {
		xattr_set(p, n, path, name, xa);
	} else {
		note(p, n, NULL, "removexattr %s %s", path, name);
		expect(p, n, "removexattr", removexattr(path, name),
		       xa ? 0 : ENODATA);
		if (xa) {
			free(xa->name);
			free(xa->val);
			*xa = n->xa[--n->nxa];
			touch_c(p, n);
		}
	}
	check_xattrs(p, n, path);
}

void op_stat(struct proc *p)
{
	char path[PATH_LEN];
	struct node *dir;
	struct entry *e = pick_any(p, &dir, path);

	if (!e)
		return;
	note(p, e->node, NULL, "stat %s", path);
	check_path(p, e->node, path);
	check_path(p, dir, dir_path(p, dir, path));
}

void op_readdir(struct proc *p)
{
	struct node *dir = pick_dir(p);

	note(p, dir, NULL, "readdir");
	check_dir(p, dir);
}
