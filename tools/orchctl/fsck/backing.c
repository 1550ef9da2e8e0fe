// SPDX-License-Identifier: Apache-2.0
/* Instances against their backing files, and files that nothing names. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orchctl.h"
#include "fsck.h"

#define SUSPECTS_MAX 100000

/* What the records say of one instance of the current version. */
struct claim {
	struct fback b;
	uint64_t change_i, change_n;
	uint64_t size;
	bool settled;		/* the size is that of the backing file */
};

void backing_name(char out[96], const struct fback *b)
{
	snprintf(out, 96, "%02x/%" PRIx64 ".%" PRIx64 ".%" PRIx64,
		 (unsigned int)(b->ino >> 8 & 0xff), b->ino, b->version,
		 b->instance);
}

void suspect_add(struct fsck *f, const struct fsuspect *s)
{
	struct fsuspect *n;

	if (f->nr_suspects == SUSPECTS_MAX) {
		f->suspects_dropped++;
		return;
	}
	f->suspects = grown(f->suspects, f->nr_suspects, sizeof(*s));
	n = &f->suspects[f->nr_suspects++];
	*n = *s;
	n->text = s->text ? xasprintf("%s", s->text) : NULL;
}

void suspects_free(struct fsck *f)
{
	while (f->nr_suspects)
		free(f->suspects[--f->nr_suspects].text);
	free(f->suspects);
	f->suspects = NULL;
}

static int stat_backing(const struct fvol *v, const struct fback *b,
			struct stat *st)
{
	char name[96], path[104];

	backing_name(name, b);
	snprintf(path, sizeof(path), "data/%s", name);
	return fstatat(v->root, path, st, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

/* One step up: the directory and name of an inode. */
static bool one_name(struct fsck *f, uint64_t ino, uint64_t *parent, char *name)
{
	struct fkey k = key_num('R', 1, ino);
	Orchfs__Store__Reverse *m = NULL;
	struct row r;

	rows_begin(f, &r, &k);
	if (rows_valid(&r) && r.klen == 25) {
		*parent = get_be64(r.key + 9);
		m = orchfs__store__reverse__unpack(NULL, r.vlen, r.val);
	}
	rows_end(f, &r);
	if (!m)
		return false;
	strcpy(name, name_text(m->name.data, m->name.len));
	orchfs__store__reverse__free_unpacked(m, NULL);
	return true;
}

const char *path_of(struct fsck *f, uint64_t ino)
{
	static char buf[4096];
	char name[255 * 4 + 1], *at = buf + sizeof(buf) - 1;
	int depth;
	size_t n;

	*at = 0;
	for (depth = 0; ino != 1 && depth < 1000; depth++) {
		if (!one_name(f, ino, &ino, name))
			return *at ? at : "no name";
		n = strlen(name) + 1;
		if ((size_t)(at - buf) < n)
			return at;
		at -= n;
		*at = '/';
		memcpy(at + 1, name, n - 1);
	}
	return *at ? at : "/";
}

static void set_size(pb_inode *rec, const void *arg)
{
	const struct stat *st = arg;

	rec->size = (uint64_t)st->st_size;
	rec->blocks = (uint64_t)st->st_blocks;
}

static bool is_head(struct fsck *f, const struct fback *b)
{
	struct fkey k = key_num('V', 2, b->ino, b->version);
	Orchfs__Store__Version *m;
	bool head = false;
	size_t len;
	void *v;

	v = db_get(f, &k, &len);
	m = v ? orchfs__store__version__unpack(NULL, len, v) : NULL;
	free(v);
	if (m) {
		head = m->state == ORCHFS__STORE__VERSION_STATE__VERSION_HEAD;
		orchfs__store__version__free_unpacked(m, NULL);
	}
	return head;
}

static void report_missing(struct fsck *f, const struct fvol *v,
			   const struct fback *b, int err)
{
	char name[96];

	backing_name(name, b);
	problem(f, RULE_BACKING, b->ino, false,
		"the contents of inode %" PRIu64 " (%s) are missing: %s/data/%s: %s; the name stays, bring the file back from a copy or delete it",
		b->ino, path_of(f, b->ino), v->path, name,
		err ? strerror(-err) : "is no regular file");
}

/* A head's backing file wins over the record; a sealed one's does not. */
static void report_size(struct fsck *f, const struct fback *b, uint64_t said,
			const struct stat *st)
{
	struct fino *fi = fino_of(f, b->ino);
	bool mendable = !f->online && fi && may_fix(fi) && is_head(f, b);

	if (problem(f, RULE_SIZE, b->ino, mendable,
		    "inode %" PRIu64 " (%s) has %" PRIu64 " bytes, its backing file has %" PRIu64 "%s",
		    b->ino, path_of(f, b->ino), said, (uint64_t)st->st_size,
		    (uint64_t)st->st_size < said ? ": the end is lost" : ""))
		fix_inode(f, fi, set_size, st);
}

static void check_claim(struct fsck *f, const struct claim *c)
{
	struct fvol *v = volume_of(f, c->b.volume);
	struct fsuspect s = {
		.b = c->b, .change_i = c->change_i, .change_n = c->change_n,
	};
	struct stat st;
	int err;

	if (!v || v->root < 0) {
		if (v)
			v->unseen++;
		return;
	}
	err = stat_backing(v, &c->b, &st);
	if (err || !S_ISREG(st.st_mode)) {
		s.rule = RULE_BACKING;
		if (f->online)
			suspect_add(f, &s);
		else
			report_missing(f, v, &c->b, err);
	} else if (c->settled && (uint64_t)st.st_size != c->size) {
		s.rule = RULE_SIZE;
		s.value = c->size;
		if (f->online)
			suspect_add(f, &s);
		else
			report_size(f, &c->b, c->size, &st);
	}
}

/* The inode record that goes with a row of N; both tables are in order. */
static void next_inode(struct row *r, uint64_t ino, struct claim *c,
		       uint64_t *version)
{
	pb_inode *rec;

	while (rows_valid(r) &&
	       (r->klen != 9 || get_be64(r->key + 1) < ino))
		rows_next(r);
	c->b.ino = ino;
	c->change_i = 0;
	*version = 0;
	if (!rows_valid(r) || get_be64(r->key + 1) != ino)
		return;
	rec = orchfs__store__inode__unpack(NULL, r->vlen, r->val);
	if (!rec)
		return;
	c->change_i = rec->change;
	c->size = rec->size;
	*version = rec->version;
	orchfs__store__inode__free_unpacked(rec, NULL);
}

void check_backing(struct fsck *f)
{
	struct claim c = { .b.ino = 0 };
	uint64_t current = 0;
	struct row n, i;
	pb_instance *m;
	bool valid;

	rows_table(f, &i, 'I');
	for (rows_table(f, &n, 'N'); rows_valid(&n); rows_next(&n)) {
		if (n.klen != 25)
			continue;
		if (get_be64(n.key + 1) != c.b.ino)
			next_inode(&i, get_be64(n.key + 1), &c, &current);
		m = orchfs__store__instance__unpack(NULL, n.vlen, n.val);
		if (!m)
			continue;
		c.b.version = get_be64(n.key + 9);
		c.b.instance = get_be64(n.key + 17);
		c.b.volume = m->volume;
		c.change_n = m->change;
		valid = m->state ==
			ORCHFS__STORE__INSTANCE_STATE__INSTANCE_VALID;
		c.settled = valid && !m->dirty && c.b.version == current;
		orchfs__store__instance__free_unpacked(m, NULL);
		/* A copy of a job may not be there yet, or not any more. */
		if (valid || !in_jobs(f, c.b.ino, c.b.version, c.b.instance))
			check_claim(f, &c);
	}
	rows_end(f, &n);
	rows_end(f, &i);
}

/* Lower-case hex without zeros in front, as the daemon writes it. */
static const char *parse_hex(const char *s, uint64_t *out)
{
	int digits;

	*out = 0;
	for (digits = 0; *s && strchr("0123456789abcdef", *s); digits++, s++)
		*out = *out << 4 | (uint64_t)(*s <= '9' ? *s - '0' :
					      *s - 'a' + 10);
	return digits && digits <= 16 ? s : NULL;
}

static bool parse_backing(const char *sub, const char *name, struct fback *b)
{
	const char *s = parse_hex(name, &b->ino);
	char back[96];

	if (s && *s == '.')
		s = parse_hex(s + 1, &b->version);
	else
		return false;
	if (!s || *s != '.')
		return false;
	s = parse_hex(s + 1, &b->instance);
	if (!s || *s)
		return false;
	backing_name(back, b);
	return !strncmp(back, sub, 2) && !strcmp(back + 3, name);
}

static bool recorded(struct fsck *f, const struct fback *b)
{
	struct fkey k = key_num('N', 3, b->ino, b->version, b->instance);
	pb_instance *m = NULL;
	bool here = false;
	size_t len;
	void *v;

	v = db_get(f, &k, &len);
	if (v)
		m = orchfs__store__instance__unpack(NULL, len, v);
	/* One that can't be read may name it. */
	here = v && (!m || m->volume == b->volume);
	if (m)
		orchfs__store__instance__free_unpacked(m, NULL);
	free(v);
	return here || in_pool(f, b) || in_deletions(f, b);
}

/* Is it what an inode without an instance misses? */
static bool missed(struct fsck *f, const struct fback *b)
{
	struct fkey k = key_num('I', 1, b->ino);
	pb_inode *rec;
	bool yes = false;
	struct row r;
	size_t len;
	void *v;

	v = db_get(f, &k, &len);
	rec = v ? orchfs__store__inode__unpack(NULL, len, v) : NULL;
	free(v);
	if (!rec)
		return false;
	if (S_ISREG(rec->mode) && rec->version == b->version) {
		k = key_num('N', 2, b->ino, b->version);
		rows_begin(f, &r, &k);
		yes = !rows_valid(&r);
		rows_end(f, &r);
	}
	orchfs__store__inode__free_unpacked(rec, NULL);
	return yes;
}

static void adopt(struct fsck *f, const struct fback *b)
{
	pb_instance m = ORCHFS__STORE__INSTANCE__INIT;
	struct fkey k = key_num('N', 3, b->ino, b->version, b->instance);

	m.change = f->next_seq;
	m.volume = b->volume;
	m.state = ORCHFS__STORE__INSTANCE_STATE__INSTANCE_VALID;
	m.dirty = 1;	/* its size is the one that counts */
	op_put_msg(f, &k, &m.base);
	k = key_num('W', 1, b->ino);
	op_put(f, &k, "", 0);
}

/* @b: NULL when the name is none of a backing file. */
static void report_unknown(struct fsck *f, const struct fvol *v,
			   const struct fback *b, const char *path)
{
	if (b && missed(f, b) && fset_add(f->inserted, b->ino)) {
		if (problem(f, RULE_UNKNOWN, b->ino, true,
			    "%s/data/%s is what inode %" PRIu64 " (%s) misses",
			    v->path, path, b->ino, path_of(f, b->ino)))
			adopt(f, b);
		return;
	}
	if (!problem(f, RULE_UNKNOWN, b ? b->ino : 0, true,
		     "%s/data/%s belongs to nothing%s", v->path, path,
		     f->repair ? ": it goes to quarantine" : ""))
		return;
	f->moves = grown(f->moves, f->nr_moves, sizeof(*f->moves));
	f->moves[f->nr_moves].volume = v->id;
	f->moves[f->nr_moves++].path = xasprintf("%s", path);
}

static void one_file(struct fsck *f, const struct fvol *v, const char *sub,
		     const char *name)
{
	struct fsuspect s = { .rule = RULE_UNKNOWN };
	bool parsed = parse_backing(sub, name, &s.b);

	s.b.volume = v->id;
	if (parsed && recorded(f, &s.b))
		return;
	s.text = xasprintf("%s/%s", sub, name);
	if (!parsed)
		s.b.ino = 0;
	if (f->online)
		suspect_add(f, &s);
	else
		report_unknown(f, v, parsed ? &s.b : NULL, s.text);
	free(s.text);
}

static DIR *dir_at(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
			O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

static bool dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static void one_folder(struct fsck *f, const struct fvol *v, DIR *data,
		       const char *sub)
{
	bool ours = strlen(sub) == 2 && strspn(sub, "0123456789abcdef") == 2;
	DIR *d = ours ? dir_at(dirfd(data), sub) : NULL;
	struct fsuspect s = { .rule = RULE_UNKNOWN, .b.volume = v->id };
	struct dirent *e;

	if (!d) {
		s.text = (char *)sub;
		if (f->online)
			suspect_add(f, &s);
		else
			report_unknown(f, v, NULL, sub);
		return;
	}
	while ((e = readdir(d)))
		if (!dots(e->d_name))
			one_file(f, v, sub, e->d_name);
	closedir(d);
}

void check_unknown(struct fsck *f)
{
	const struct fvol *v;
	struct dirent *e;
	size_t i;
	DIR *d;

	for (i = 0; i < f->nr_vols; i++) {
		v = &f->vols[i];
		d = v->root < 0 ? NULL : dir_at(v->root, "data");
		if (!d)
			continue;	/* then its files are missing: reported */
		while ((e = readdir(d)))
			if (!dots(e->d_name))
				one_folder(f, v, d, e->d_name);
		closedir(d);
	}
}

/*
 * The instance's record at the second copy; suspects were seen between the
 * copies. Numbers are never used again, so a record in both was there then.
 */
static pb_instance *record_now(struct fsck *f, const struct fback *b)
{
	struct fkey k = key_num('N', 3, b->ino, b->version, b->instance);
	pb_instance *m;
	size_t len;
	void *v;

	v = db_get(f, &k, &len);
	m = v ? orchfs__store__instance__unpack(NULL, len, v) : NULL;
	free(v);
	if (m && m->volume != b->volume) {
		orchfs__store__instance__free_unpacked(m, NULL);
		m = NULL;
	}
	return m;
}

static uint64_t inode_change(struct fsck *f, uint64_t ino)
{
	struct fkey k = key_num('I', 1, ino);
	uint64_t change = 0;
	pb_inode *rec;
	size_t len;
	void *v;

	v = db_get(f, &k, &len);
	rec = v ? orchfs__store__inode__unpack(NULL, len, v) : NULL;
	free(v);
	if (rec) {
		change = rec->change;
		orchfs__store__inode__free_unpacked(rec, NULL);
	}
	return change;
}

static void confirm_instance(struct fsck *f, const struct fvol *v,
			     const struct fsuspect *s)
{
	pb_instance *m = record_now(f, &s->b);
	bool same;
	struct stat st;
	int err;

	if (!m)
		return;
	same = m->change == s->change_n &&
	       inode_change(f, s->b.ino) == s->change_i;
	orchfs__store__instance__free_unpacked(m, NULL);
	err = stat_backing(v, &s->b, &st);
	if (s->rule == RULE_BACKING) {
		if (err || !S_ISREG(st.st_mode))
			report_missing(f, v, &s->b, err);
	} else if (same && !err && (uint64_t)st.st_size != s->value) {
		report_size(f, &s->b, s->value, &st);
	}
}

static void confirm_unknown(struct fsck *f, const struct fvol *v,
			    const struct fsuspect *s)
{
	char *path;
	struct stat st;

	if (s->b.ino && recorded(f, &s->b))
		return;
	path = xasprintf("data/%s", s->text);
	if (!fstatat(v->root, path, &st, AT_SYMLINK_NOFOLLOW))
		report_unknown(f, v, s->b.ino ? &s->b : NULL, s->text);
	free(path);
}

void suspects_confirm(struct fsck *f, const struct fsuspect *s, size_t nr)
{
	const struct fvol *v;
	size_t i;

	for (i = 0; i < nr; i++) {
		v = volume_of(f, s[i].b.volume);
		if (!v)
			continue;
		if (s[i].rule == RULE_VOLUME) {
			if (s[i].value > f->seq)
				problem(f, RULE_VOLUME, 0, false, "%s",
					s[i].text);
		} else if (v->root >= 0) {
			if (s[i].rule == RULE_UNKNOWN)
				confirm_unknown(f, v, &s[i]);
			else
				confirm_instance(f, v, &s[i]);
		}
	}
}
