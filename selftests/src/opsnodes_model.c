// SPDX-License-Identifier: GPL-2.0-only
/* opsnodes: the model, and whether an answer is the right one. */
#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/xattr.h>
#include "opsnodes.h"

#define NOREPLACE	1
#define EXCHANGE	2

char why[600];

__attribute__((format(printf, 1, 2)))
static bool no(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return false;
}

/* ---- states ---- */

void model_root(struct model *m, uint32_t mode, int64_t now)
{
	struct inode *root = &m->in[1];

	root->mode = mode;
	root->nlink = 2;
	root->mtime.ns = now;
	root->ctime.ns = now;
}

static void blob_put(struct blob *b)
{
	if (b && !--b->refs)
		free(b);
}

struct model *model_clone(const struct model *m)
{
	struct model *c = xalloc(sizeof(*c));
	unsigned int i;

	memcpy(c, m, sizeof(*c));
	for (i = 0; i < INODES; i++)
		if (c->in[i].blob)
			c->in[i].blob->refs++;
	return c;
}

void model_free(struct model *m)
{
	unsigned int i;

	if (!m)
		return;
	for (i = 0; i < INODES; i++)
		blob_put(m->in[i].blob);
	free(m);
}

static bool blob_equal(const struct blob *a, const struct blob *b)
{
	if (a == b)
		return true;
	return a && b && a->size == b->size &&
	       !memcmp(a->data, b->data, a->size);
}

bool model_equal(const struct model *a, const struct model *b)
{
	const size_t from = offsetof(struct inode, ino);
	unsigned int i;

	for (i = 0; i < INODES; i++) {
		if (memcmp((char *)&a->in[i] + from, (char *)&b->in[i] + from,
			   sizeof(a->in[i]) - from))
			return false;
		if (!blob_equal(a->in[i].blob, b->in[i].blob))
			return false;
	}
	return a->undone == b->undone &&
	       !memcmp(a->slot, b->slot, sizeof(a->slot));
}

/* A blob of that size with the old bytes, for this inode alone. */
static struct blob *blob_own(struct inode *in, uint32_t size)
{
	struct blob *old = in->blob, *b;
	uint32_t keep = old ? old->size : 0;

	b = xalloc(sizeof(*b) + size);
	b->refs = 1;
	b->size = size;
	if (keep)
		memcpy(b->data, old->data, keep < size ? keep : size);
	blob_put(old);
	in->blob = b;
	return b;
}

static void resize(struct inode *in, uint32_t size)
{
	if (size) {
		blob_own(in, size);
		return;
	}
	blob_put(in->blob);
	in->blob = NULL;
}

/* ---- names ---- */

static int step(const struct model *m, uint16_t *in, uint8_t name)
{
	const struct inode *dir = &m->in[*in];

	/* a symlink in the middle is followed, to nothing */
	if (S_ISLNK(dir->mode))
		return ENOENT;
	if (!is_dir(dir))
		return ENOTDIR;
	*in = dir->ent[name];
	return *in ? 0 : ENOENT;
}

static int walk(const struct model *m, const struct path *p, unsigned int n,
		uint16_t *in)
{
	unsigned int i;
	int rc;

	*in = 1;
	for (i = 0; i < n; i++) {
		rc = step(m, in, p->c[i]);
		if (rc)
			return rc;
	}
	return 0;
}

int model_find(const struct model *m, const struct path *p, uint16_t *in)
{
	return walk(m, p, p->n, in);
}

/* The directory of the last component, which may be free. */
static int find_place(const struct model *m, const struct path *p,
		      uint16_t *dir)
{
	int rc = walk(m, p, p->n - 1, dir);

	if (rc)
		return rc;
	if (S_ISLNK(m->in[*dir].mode))
		return ENOENT;
	return is_dir(&m->in[*dir]) ? 0 : ENOTDIR;
}

/* The same of a deed, whose names may be bound. */
static int deed_place(const struct model *m, const struct deed *d,
		      unsigned int second, uint16_t *dir)
{
	const struct path *p = second ? &d->cmd.b : &d->cmd.a;

	if (!d->bound || !d->dir[second])
		return find_place(m, p, dir);
	*dir = d->dir[second];
	return is_dir(&m->in[*dir]) ? 0 : ENOENT;
}

static int deed_find(const struct model *m, const struct deed *d, uint16_t *in)
{
	if (!d->bound || !d->file)
		return model_find(m, &d->cmd.a, in);
	*in = d->file;
	return m->in[*in].mode ? 0 : ENOENT;
}

/* The last component is followed: no symlink leads anywhere. */
static int find_follow(const struct model *m, const struct deed *d,
		       uint16_t *in)
{
	int rc = deed_find(m, d, in);

	return rc ? rc : S_ISLNK(m->in[*in].mode) ? ENOENT : 0;
}

void model_bind(const struct model *m, struct deed *d)
{
	const struct cmd *c = &d->cmd;

	if (c->op > OP_OPEN)
		d->file = m->slot[c->worker][c->slot].inode;
	else if (model_find(m, &c->a, &d->file))
		d->file = 0;
	if (c->op > OP_OPEN || !c->a.n || find_place(m, &c->a, &d->dir[0]))
		d->dir[0] = 0;
	if (!c->b.n || find_place(m, &c->b, &d->dir[1]))
		d->dir[1] = 0;
}

bool model_above(const struct model *m, uint16_t a, uint16_t of)
{
	for (; of; of = m->in[of].parent)
		if (of == a)
			return true;
	return false;
}

static bool empty(const struct inode *dir)
{
	unsigned int i;

	for (i = 1; i < NAMES; i++)
		if (dir->ent[i])
			return false;
	return true;
}

static void touch_c(struct inode *in, int64_t t0)
{
	in->ctime = (struct stamp){ t0, 0 };
}

static void touch_m(struct inode *in, int64_t t0)
{
	in->mtime = (struct stamp){ t0, 0 };
	touch_c(in, t0);
}

/* Times are what they were, or new: file systems differ. */
static void loosen(struct inode *in, int64_t t0)
{
	if (in->mtime.ns > t0)
		in->mtime.ns = t0;
	in->mtime.exact = 0;
	in->ctime.exact = 0;
}

static void truncate_to(struct inode *in, uint32_t size, int64_t t0)
{
	if (size == size_of(in)) {
		loosen(in, t0);
		return;
	}
	resize(in, size);
	touch_m(in, t0);
}

static void collect(struct model *m, uint16_t i)
{
	struct inode *in = &m->in[i];

	if (in->fds || (is_dir(in) ? in->parent != 0 : in->nlink > 0))
		return;
	blob_put(in->blob);
	memset(in, 0, sizeof(*in));
}

static void dir_add(struct model *m, uint16_t dir, uint8_t name, uint16_t i,
		    int64_t t0)
{
	struct inode *in = &m->in[i];

	m->in[dir].ent[name] = i;
	if (is_dir(in)) {
		in->parent = dir;
		m->in[dir].nlink++;
	} else {
		in->nlink++;
	}
	touch_m(&m->in[dir], t0);
}

static void dir_del(struct model *m, uint16_t dir, uint8_t name, int64_t t0)
{
	struct inode *in = &m->in[m->in[dir].ent[name]];

	m->in[dir].ent[name] = 0;
	if (is_dir(in)) {
		in->parent = 0;
		m->in[dir].nlink--;
	} else {
		in->nlink--;
	}
	touch_m(&m->in[dir], t0);
}

static struct inode *make(struct model *m, const struct deed *d, uint16_t dir,
			  uint32_t mode)
{
	const struct cmd *c = &d->cmd;
	struct inode *in = &m->in[c->newino];

	memset(in, 0, sizeof(*in));
	in->mode = mode;
	in->nlink = S_ISDIR(mode) ? 2 : 0;
	touch_m(in, d->t0);
	dir_add(m, dir, c->a.c[c->a.n - 1], c->newino, d->t0);
	return in;
}

/* ---- answers ---- */

static const char *err_name(int err)
{
	return err ? strerrorname_np(err) : "success";
}

/* POSIX or the kernel's walk through names, which is no one act, allow both. */
static bool same_error(const struct deed *d, int want, int got)
{
	if (want == got)
		return true;
	if (want == ENOTEMPTY && got == EEXIST)
		return true;
	if (d->cmd.op == OP_LINK && want == EEXIST && got == EPERM)
		return true;
	if (d->cmd.op != OP_RENAME)
		return false;
	if (want == EEXIST && got == EINVAL)
		return true;
	/* the other directory has moved below this one */
	return d->racing && want == ENOENT &&
	       (got == EINVAL || got == ENOTEMPTY);
}

static bool answered(const struct deed *d, int want)
{
	if (d->blind)
		return !want;
	if (same_error(d, want, d->res.err))
		return true;
	return no("%s, should be %s", err_name(d->res.err), err_name(want));
}

static bool check_time(struct stamp *s, int64_t t, const char *which)
{
	if (s->exact ? t != s->ns : t < s->ns)
		return no("%s is %lld.%09lld, should be %s %lld.%09lld", which,
			  (long long)t / 1000000000, (long long)t % 1000000000,
			  s->exact ? "exactly" : "at least",
			  (long long)s->ns / 1000000000,
			  (long long)s->ns % 1000000000);
	*s = (struct stamp){ t, 1 };
	return true;
}

static bool check_ino(struct model *m, uint16_t i, uint64_t ino)
{
	struct inode *in = &m->in[i];
	unsigned int k;

	if (in->ino == ino)
		return true;
	if (in->ino)
		return no("inode number is %llu, should be %llu",
			  (unsigned long long)ino, (unsigned long long)in->ino);
	for (k = 1; k < INODES; k++)
		if (m->in[k].mode && m->in[k].ino == ino && !m->undone)
			return no("inode number %llu is another file's",
				  (unsigned long long)ino);
	in->ino = ino;
	return true;
}

/*
 * While others are at work a name's file is one thing and what that file's
 * attributes are another.
 */
static bool check_stat(struct model *m, uint16_t i, const struct deed *d)
{
	const struct result *r = &d->res;
	struct inode *in = &m->in[i];
	char target[64];

	if (d->blind)
		return true;
	if (!check_ino(m, i, r->ino))
		return false;
	if ((r->mode ^ in->mode) & S_IFMT)
		return no("type is %o, should be %o", r->mode, in->mode);
	if (d->racing || d->stale)
		return true;
	if (r->mode != in->mode)
		return no("mode is %o, should be %o", r->mode, in->mode);
	if (r->uid != in->uid || r->gid != in->gid)
		return no("owner is %u:%u, should be %u:%u", r->uid, r->gid,
			  in->uid, in->gid);
	if (r->nlink != in->nlink)
		return no("nlink is %u, should be %u", r->nlink, in->nlink);
	if (is_reg(in) && r->size != size_of(in))
		return no("size is %llu, should be %u",
			  (unsigned long long)r->size, size_of(in));
	target_text(in->target, target);
	if (S_ISLNK(in->mode) && r->size != strlen(target))
		return no("size of the symlink is %llu, should be %zu",
			  (unsigned long long)r->size, strlen(target));
	/* nodes may differ in ctime by a tick: only that it isn't old counts */
	if (r->ctime < in->ctime.ns)
		return check_time(&in->ctime, r->ctime, "ctime");
	return check_time(&in->mtime, r->mtime, "mtime");
}

static bool check_bytes(const struct deed *d, const unsigned char *want,
			uint64_t off, uint64_t len)
{
	const unsigned char *got = d->data;
	uint64_t i, a, w = 0, g = 0;

	if (d->res.len != len)
		return no("%u bytes read, should be %llu", d->res.len,
			  (unsigned long long)len);
	if (!len || !memcmp(want, got, len))
		return true;
	for (i = 0; want[i] == got[i]; i++)
		;
	a = i & ~7ULL;
	memcpy(&w, want + a, len - a < 8 ? len - a : 8);
	memcpy(&g, got + a, len - a < 8 ? len - a : 8);
	return no("byte %llu is %02x, of operation %u; should be %02x, of operation %u",
		  (unsigned long long)(off + i), got[i],
		  (unsigned int)(g >> 24), want[i], (unsigned int)(w >> 24));
}

static bool check_content(struct model *m, uint16_t i, const struct deed *d,
			  uint64_t off, uint64_t len)
{
	struct inode *in = &m->in[i];
	uint64_t size = size_of(in);

	if (off > size)
		off = size;
	if (len > size - off)
		len = size - off;
	return check_stat(m, i, d) &&
	       (d->racing || check_bytes(d, in->blob ? in->blob->data + off :
						       NULL, off, len));
}

static bool check_list(struct model *m, uint16_t i, const struct deed *d)
{
	const struct listed *l = (const struct listed *)d->data;
	unsigned int k, n = d->res.len / sizeof(*l);
	bool seen[NAMES] = { false };
	struct inode *dir = &m->in[i];
	uint16_t e;

	for (k = 0; k < n; k++, l++) {
		e = l->name ? dir->ent[l->name] : 0;
		if (!e)
			return no("lists '%s', which should not exist",
				  name_text(l->name));
		if (seen[l->name])
			return no("lists '%s' twice", name_text(l->name));
		seen[l->name] = true;
		if (l->type != DT_UNKNOWN && l->type != IFTODT(m->in[e].mode))
			return no("type of '%s' is %u", name_text(l->name),
				  l->type);
		if (!check_ino(m, e, l->ino))
			return false;
	}
	for (k = 1; k < NAMES; k++)
		if (dir->ent[k] && !seen[k])
			return no("does not list '%s'", name_text(k));
	return true;
}

/* ---- operations on names ---- */

static bool apply_create(struct model *m, const struct deed *d)
{
	const struct cmd *c = &d->cmd;
	struct inode *in;
	uint16_t dir, i;
	int rc;

	rc = deed_place(m, d, 0, &dir);
	i = rc ? 0 : m->in[dir].ent[c->a.c[c->a.n - 1]];
	in = &m->in[i];
	if (i && (c->flags & O_EXCL))
		rc = EEXIST;
	else if (i && is_dir(in))
		rc = EISDIR;
	else if (i && S_ISLNK(in->mode))
		rc = ELOOP;
	if (!answered(d, rc))
		return false;
	if (rc)
		return true;
	if (!i) {
		make(m, d, dir, S_IFREG | c->mode);
		i = c->newino;
	} else if (c->flags & O_TRUNC) {
		truncate_to(in, 0, d->t0);
	}
	return check_stat(m, i, d);
}

static bool apply_make(struct model *m, const struct deed *d, uint32_t mode)
{
	const struct cmd *c = &d->cmd;
	uint16_t dir;
	int rc;

	rc = deed_place(m, d, 0, &dir);
	if (!rc && m->in[dir].ent[c->a.c[c->a.n - 1]])
		rc = EEXIST;
	if (!answered(d, rc))
		return false;
	if (!rc)
		make(m, d, dir, mode)->target = S_ISLNK(mode) ? c->id : 0;
	return true;
}

static bool apply_link(struct model *m, const struct deed *d)
{
	const struct cmd *c = &d->cmd;
	uint16_t i, dir;
	int rc;

	rc = deed_find(m, d, &i);
	if (!rc)
		rc = deed_place(m, d, 1, &dir);
	if (!rc && m->in[dir].ent[c->b.c[c->b.n - 1]])
		rc = EEXIST;
	else if (!rc && is_dir(&m->in[i]))
		rc = EPERM;
	if (!answered(d, rc))
		return false;
	if (rc)
		return true;
	dir_add(m, dir, c->b.c[c->b.n - 1], i, d->t0);
	touch_c(&m->in[i], d->t0);
	return true;
}

static bool apply_remove(struct model *m, const struct deed *d)
{
	const struct cmd *c = &d->cmd;
	bool rmdir = c->op == OP_RMDIR;
	struct inode *in;
	uint16_t dir, i;
	int rc;

	rc = deed_place(m, d, 0, &dir);
	i = rc ? 0 : m->in[dir].ent[c->a.c[c->a.n - 1]];
	in = &m->in[i];
	if (!rc && !i)
		rc = ENOENT;
	else if (!rc && !rmdir && is_dir(in))
		rc = EISDIR;
	else if (!rc && rmdir && !is_dir(in))
		rc = ENOTDIR;
	else if (!rc && rmdir && !empty(in))
		rc = ENOTEMPTY;
	if (!answered(d, rc))
		return false;
	if (rc)
		return true;
	dir_del(m, dir, c->a.c[c->a.n - 1], d->t0);
	touch_c(in, d->t0);
	collect(m, i);
	return true;
}

struct move {
	uint16_t d1, d2, src, dst;
	uint8_t n1, n2;
	uint32_t flags;
};

static int move_error(const struct model *m, const struct move *v)
{
	bool sdir = is_dir(&m->in[v->src]), ddir = is_dir(&m->in[v->dst]);
	bool exchange = v->flags & EXCHANGE;

	if (!v->src)
		return ENOENT;
	if ((v->flags & NOREPLACE) && v->dst)
		return EEXIST;
	if (exchange && !v->dst)
		return ENOENT;
	if (v->d1 != v->d2 && sdir && model_above(m, v->src, v->d2))
		return EINVAL;
	if (v->d1 != v->d2 && v->dst && ddir && model_above(m, v->dst, v->d1))
		return exchange ? EINVAL : ENOTEMPTY;
	if (v->src == v->dst || exchange || !v->dst)
		return 0;
	if (sdir && !ddir)
		return ENOTDIR;
	if (!sdir && ddir)
		return EISDIR;
	return ddir && !empty(&m->in[v->dst]) ? ENOTEMPTY : 0;
}

static void move_do(struct model *m, const struct move *v, int64_t t0)
{
	if (v->src == v->dst)
		return;
	dir_del(m, v->d1, v->n1, t0);
	if (v->dst)
		dir_del(m, v->d2, v->n2, t0);
	dir_add(m, v->d2, v->n2, v->src, t0);
	if (v->flags & EXCHANGE) {
		dir_add(m, v->d1, v->n1, v->dst, t0);
		loosen(&m->in[v->src], t0);
		loosen(&m->in[v->dst], t0);
		return;
	}
	touch_c(&m->in[v->src], t0);
	if (v->dst) {
		touch_c(&m->in[v->dst], t0);
		collect(m, v->dst);
	}
}

static bool apply_rename(struct model *m, const struct deed *d)
{
	const struct cmd *c = &d->cmd;
	struct move v = { .flags = c->flags };
	int rc;

	rc = deed_place(m, d, 0, &v.d1);
	if (!rc)
		rc = deed_place(m, d, 1, &v.d2);
	if (!rc) {
		v.n1 = c->a.c[c->a.n - 1];
		v.n2 = c->b.c[c->b.n - 1];
		v.src = m->in[v.d1].ent[v.n1];
		v.dst = m->in[v.d2].ent[v.n2];
		rc = move_error(m, &v);
	}
	/* see coherence.md, "A directory that is moved by two nodes" */
	if (!d->blind && d->res.err == ESTALE && v.d1 != v.d2 &&
	    (d->racing || is_dir(&m->in[v.src]) || is_dir(&m->in[v.dst])))
		return true;
	if (!answered(d, rc))
		return false;
	if (!rc)
		move_do(m, &v, d->t0);
	return true;
}

/* ---- operations on an inode ---- */

static int want_reg(const struct model *m, uint16_t i)
{
	return is_dir(&m->in[i]) ? EISDIR : 0;
}

/* open with O_NOFOLLOW */
static int find_open(const struct model *m, const struct deed *d, uint16_t *i)
{
	int rc = deed_find(m, d, i);

	if (rc)
		return rc;
	return S_ISLNK(m->in[*i].mode) ? ELOOP : want_reg(m, *i);
}

static bool write_at(struct model *m, uint16_t i, const struct deed *d,
		     bool append)
{
	const struct cmd *c = &d->cmd;
	struct inode *in = &m->in[i];
	uint64_t off = append ? size_of(in) : c->off;
	uint32_t size = size_of(in);

	if (!d->blind && d->res.value != c->len)
		return no("%lld bytes written, should be %u",
			  (long long)d->res.value, c->len);
	if (off + c->len > size)
		size = off + c->len;
	blob_own(in, size);
	fill(in->blob->data + off, c->id, append ? 0 : off, c->len);
	touch_m(in, d->t0);
	return true;
}

static bool apply_open(struct model *m, const struct deed *d)
{
	const struct cmd *c = &d->cmd;
	uint16_t i;
	int rc = find_open(m, d, &i);

	if (!answered(d, rc))
		return false;
	if (rc)
		return true;
	m->slot[c->worker][c->slot] = (struct slot){ i, c->flags };
	m->in[i].fds++;
	return check_stat(m, i, d);
}

static bool apply_slot(struct model *m, const struct deed *d)
{
	const struct cmd *c = &d->cmd;
	struct slot *s = &m->slot[c->worker][c->slot];
	uint16_t i = d->blind ? d->file : s->inode;

	if (!i || !m->in[i].mode)
		return no("a race has left the descriptor closed");
	if (!answered(d, 0))
		return false;
	switch (c->op) {
	case OP_CLOSE:
		m->in[i].fds--;
		*s = (struct slot){ 0 };
		collect(m, i);
		return true;
	case OP_PREAD:
		return check_content(m, i, d, c->off, c->len);
	case OP_PWRITE: case OP_FAPPEND:
		return write_at(m, i, d, c->op == OP_FAPPEND);
	case OP_FTRUNC:
		truncate_to(&m->in[i], c->off, d->t0);
		return true;
	case OP_FSTAT:
		return check_stat(m, i, d);
	}
	return true;
}

static bool apply_data(struct model *m, const struct deed *d)
{
	const struct cmd *c = &d->cmd;
	uint16_t i;
	int rc;

	if (c->op == OP_TRUNCATE) {
		rc = find_follow(m, d, &i);
		if (!rc)
			rc = want_reg(m, i);
	} else {
		rc = find_open(m, d, &i);
	}
	if (!answered(d, rc))
		return false;
	if (rc)
		return true;
	switch (c->op) {
	case OP_READ:
		return check_content(m, i, d, 0, DATA_MAX);
	case OP_TRUNCATE:
		truncate_to(&m->in[i], c->off, d->t0);
		return true;
	}
	return write_at(m, i, d, c->op == OP_APPEND);
}

static bool apply_xattr(struct model *m, const struct deed *d)
{
	const struct cmd *c = &d->cmd;
	unsigned char val[XATTR_LEN];
	unsigned int k, bits = 0;
	struct xval *x;
	uint16_t i;
	int rc = find_follow(m, d, &i);

	x = &m->in[rc ? 0 : i].xa[c->xname];
	if (!rc && c->op == OP_SETX && (c->flags & XATTR_CREATE) && x->set)
		rc = EEXIST;
	else if (!rc && c->op != OP_LISTX && !x->set &&
		 (c->op != OP_SETX || (c->flags & XATTR_REPLACE)))
		rc = ENODATA;
	if (!answered(d, rc))
		return false;
	if (rc)
		return true;
	switch (c->op) {
	case OP_GETX:
		xattr_fill(val, x->op, x->len);
		return check_bytes(d, val, 0, x->len);
	case OP_LISTX:
		for (k = 0; k < XATTRS; k++)
			bits |= m->in[i].xa[k].set << k;
		return bits == d->res.value ||
		       no("lists xattrs %x, should be %x",
			  (unsigned int)d->res.value, bits);
	case OP_SETX:
		*x = (struct xval){ c->id, c->len, 1 };
		break;
	case OP_RMX:
		*x = (struct xval){ 0 };
		break;
	}
	touch_c(&m->in[i], d->t0);
	return true;
}

static void chown_to(struct inode *in, const struct cmd *c)
{
	if (c->uid != (uid_t)-1)
		in->uid = c->uid;
	if (c->gid != (gid_t)-1)
		in->gid = c->gid;
}

static bool apply_attr(struct model *m, const struct deed *d)
{
	const struct cmd *c = &d->cmd;
	struct inode *in;
	uint16_t i;
	int rc = c->op == OP_CHMOD ? find_follow(m, d, &i) :
				     deed_find(m, d, &i);

	if (!answered(d, rc))
		return false;
	if (rc)
		return true;
	in = &m->in[i];
	touch_c(in, d->t0);
	if (c->op == OP_CHMOD)
		in->mode = (in->mode & S_IFMT) | c->mode;
	else if (c->op == OP_CHOWN)
		chown_to(in, c);
	else
		in->mtime = (struct stamp){ c->mtime, 1 };
	return true;
}

static bool apply_look(struct model *m, const struct deed *d)
{
	const struct cmd *c = &d->cmd;
	char target[64];
	uint16_t i;
	int rc = c->op == OP_READDIR ? find_follow(m, d, &i) :
				       deed_find(m, d, &i);

	if (!rc && c->op == OP_READDIR && !is_dir(&m->in[i]))
		rc = ENOTDIR;
	if (!rc && c->op == OP_READLINK && !S_ISLNK(m->in[i].mode))
		rc = EINVAL;
	if (!answered(d, rc))
		return false;
	if (rc)
		return true;
	if (c->op == OP_LSTAT)
		return check_stat(m, i, d);
	if (c->op == OP_READDIR)
		return check_list(m, i, d);
	target_text(m->in[i].target, target);
	return check_bytes(d, (unsigned char *)target, 0, strlen(target));
}

bool model_apply(struct model *m, const struct deed *d)
{
	switch (d->cmd.op) {
	case OP_CREATE:
		return apply_create(m, d);
	case OP_MKDIR:
		return apply_make(m, d, S_IFDIR | d->cmd.mode);
	case OP_SYMLINK:
		return apply_make(m, d, S_IFLNK | 0777);
	case OP_LINK:
		return apply_link(m, d);
	case OP_UNLINK: case OP_RMDIR:
		return apply_remove(m, d);
	case OP_RENAME:
		return apply_rename(m, d);
	case OP_LSTAT: case OP_READDIR: case OP_READLINK:
		return apply_look(m, d);
	case OP_READ: case OP_WRITE: case OP_APPEND: case OP_TRUNCATE:
		return apply_data(m, d);
	case OP_CHMOD: case OP_CHOWN: case OP_UTIMENS:
		return apply_attr(m, d);
	case OP_SETX: case OP_GETX: case OP_RMX: case OP_LISTX:
		return apply_xattr(m, d);
	case OP_OPEN:
		return apply_open(m, d);
	}
	return apply_slot(m, d);
}
