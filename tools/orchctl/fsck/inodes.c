// SPDX-License-Identifier: Apache-2.0
/* Inodes with what is kept by their number: versions, instances, attributes. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "orchctl.h"
#include "fsck.h"

#define VERSIONS_MAX 64
#define XATTR_FLAGS 15u	/* those that tell of xattrs */

/* The tables that run along with I. */
struct along {
	struct row v, n, o, x, w;
};

void see_change(struct fsck *f, uint64_t change)
{
	if (change > f->max_change)
		f->max_change = change;
}

uint32_t index_day(int64_t sec)
{
	if (sec < 0)
		return 0;
	return sec / 86400 > UINT32_MAX ? UINT32_MAX : (uint32_t)(sec / 86400);
}

struct fino *fino_of(struct fsck *f, uint64_t ino)
{
	size_t lo = 0, hi = f->nr_inos, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (f->inos[mid].ino == ino)
			return &f->inos[mid];
		if (f->inos[mid].ino < ino)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static struct fino *fino_add(struct fsck *f, uint64_t ino)
{
	struct fino *fi;

	if (f->nr_inos == f->max_inos) {
		f->max_inos += f->max_inos / 4 + 1024;
		fi = realloc(f->inos, f->max_inos * sizeof(*fi));
		if (!fi)
			exit(fail(RC_FAILED, "out of memory"));
		f->inos = fi;
	}
	fi = &f->inos[f->nr_inos++];
	memset(fi, 0, sizeof(*fi));
	fi->ino = ino;
	fi->tier = -1;
	return fi;
}

bool may_fix(const struct fino *fi)
{
	return !(fi->flags & (F_TOUCHED | F_BAD));
}

/* Writes record and index C; the old index row goes. */
static void put_inode(struct fsck *f, uint64_t ino, uint64_t old, pb_inode *rec)
{
	struct fkey k = key_num('C', 2, old, ino);

	op_del(f, &k);
	rec->change = f->next_seq;
	k = key_num('C', 2, f->next_seq, ino);
	op_put(f, &k, "", 0);
	k = key_num('I', 1, ino);
	op_put_msg(f, &k, &rec->base);
}

void fix_inode(struct fsck *f, struct fino *fi, inode_fn fn, const void *arg)
{
	struct fkey k = key_num('I', 1, fi->ino);
	pb_inode *rec;
	size_t len;
	void *v;

	v = db_get(f, &k, &len);
	rec = v ? orchfs__store__inode__unpack(NULL, len, v) : NULL;
	free(v);
	if (!rec)
		return;
	fn(rec, arg);
	put_inode(f, fi->ino, fi->change, rec);
	fi->flags |= F_TOUCHED;
	orchfs__store__inode__free_unpacked(rec, NULL);
}

void new_directory(struct fsck *f, uint64_t ino, uint64_t parent, uint32_t perm)
{
	Orchfs__Store__Time t = ORCHFS__STORE__TIME__INIT;
	pb_inode rec = ORCHFS__STORE__INODE__INIT;
	struct fkey k;

	t.sec = time(NULL);
	rec.generation = (uint32_t)t.sec;
	rec.mode = S_IFDIR | perm;
	rec.nlink = 2;
	rec.parent = parent;
	rec.atime = rec.mtime = rec.ctime = rec.btime = &t;
	put_inode(f, ino, 0, &rec);
	key_u64(key_u32(key_begin(&k, 'U'), 0), ino);
	op_put(f, &k, "", 0);
}

uint64_t new_ino(struct fsck *f)
{
	Orchfs__Store__Counter c = ORCHFS__STORE__COUNTER__INIT;
	uint64_t ino = f->limit_ino > f->max_ino ? f->limit_ino :
		       f->max_ino + 1;
	struct fkey k;

	c.limit = ino + 1;
	op_put_msg(f, key_bytes(key_begin(&k, 'A'), "ino", 3), &c.base);
	f->limit_ino = c.limit;
	return ino;
}

static void set_flags(pb_inode *rec, const void *arg)
{
	const uint32_t *flags = arg;

	rec->flags = (rec->flags & ~XATTR_FLAGS) | *flags;
}

static void set_target_size(pb_inode *rec, const void *arg)
{
	(void)arg;
	rec->size = rec->target.len;
}

static bool type_ok(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return true;
	}
	return false;
}

/* A row whose inode is not there: its own table tells what it was. */
static void stray(struct fsck *f, const struct row *r, uint64_t ino)
{
	static const struct {
		char table;
		enum rule rule;
		const char *what;
	} kinds[] = {
		{ 'V', RULE_VERSION, "a version" },
		{ 'N', RULE_INSTANCE, "an instance" },
		{ 'O', RULE_ORPHAN, "an orphan record" },
		{ 'W', RULE_INDEX_W, "a note of unsettled contents" },
		{ 'X', RULE_XATTR, "an extended attribute" },
	};
	struct fkey k = { .len = 0 };
	size_t i = 0;

	while (i < 4 && kinds[i].table != (char)r->key[0])
		i++;
	if (problem(f, kinds[i].rule, ino, r->klen <= sizeof(k.b),
		    "%s of inode %" PRIu64 ", which does not exist",
		    kinds[i].what, ino))
		op_del(f, key_bytes(&k, r->key, r->klen));
}

/* To the rows of ino; those before it belong to no inode. */
static bool advance(struct fsck *f, struct row *r, uint64_t ino)
{
	uint64_t at;

	for (; rows_valid(r); rows_next(r)) {
		if (r->klen < 9) {
			problem(f, RULE_RECORD, 0, false,
				"a key of table %c is too short", r->key[0]);
			continue;
		}
		at = get_be64(r->key + 1);
		if (at >= ino)
			return at == ino;
		stray(f, r, at);
	}
	return false;
}

static void drain(struct fsck *f, struct row *r)
{
	for (; rows_valid(r); rows_next(r))
		if (r->klen >= 9)
			stray(f, r, get_be64(r->key + 1));
	rows_end(f, r);
}

static size_t read_versions(struct fsck *f, struct row *r, struct fino *fi,
			    uint64_t versions[VERSIONS_MAX])
{
	Orchfs__Store__Version *m;
	size_t n = 0;

	for (; advance(f, r, fi->ino); rows_next(r)) {
		m = r->klen == 17 ?
		    orchfs__store__version__unpack(NULL, r->vlen, r->val) :
		    NULL;
		if (!m) {
			problem(f, RULE_RECORD, fi->ino, false,
				"a version of inode %" PRIu64 " cannot be understood",
				fi->ino);
			continue;
		}
		see_change(f, m->change);
		orchfs__store__version__free_unpacked(m, NULL);
		if (!S_ISREG(fi->mode) && !(fi->flags & F_BAD))
			stray(f, r, fi->ino);
		else if (n < VERSIONS_MAX)
			versions[n++] = get_be64(r->key + 9);
	}
	return n;
}

static void put_version(struct fsck *f, uint64_t ino, uint64_t version,
			bool head)
{
	Orchfs__Store__Version m = ORCHFS__STORE__VERSION__INIT;
	struct fkey k = key_num('V', 2, ino, version);

	m.change = f->next_seq;
	m.state = head ? ORCHFS__STORE__VERSION_STATE__VERSION_HEAD :
		  ORCHFS__STORE__VERSION_STATE__VERSION_SEALED;
	op_put_msg(f, &k, &m.base);
}

static bool among(const uint64_t *v, size_t n, uint64_t x)
{
	while (n--)
		if (v[n] == x)
			return true;
	/* More versions than are remembered: not known to be missing. */
	return false;
}

/* Index H goes by the first valid instance of the current version. */
static void note_tier(struct fino *fi, const struct fvol *vol,
		      const pb_instance *m, bool current)
{
	bool valid = m->state == ORCHFS__STORE__INSTANCE_STATE__INSTANCE_VALID;

	if (!current || fi->flags & F_VALID || (fi->tier >= 0 && !valid))
		return;
	fi->tier = (int16_t)(vol->tier & 0xff);
	if (valid)
		fi->flags |= F_VALID;
}

/* A move keeps a second instance of a version for a while. */
static void note_copy(struct fsck *f, const struct fino *fi, uint64_t version,
		      uint64_t instance, const pb_instance *m,
		      struct fcopies *c)
{
	if (version != c->version)
		return;
	c->any = true;
	if (m->state == ORCHFS__STORE__INSTANCE_STATE__INSTANCE_VALID)
		c->valid++;
	else if (!in_jobs(f, fi->ino, version, instance) &&
		 c->nr < sizeof(c->stray) / sizeof(c->stray[0]))
		c->stray[c->nr++] = instance;
}

static void one_instance(struct fsck *f, const struct row *r, struct fino *fi,
			 struct fcopies *copies, uint64_t *versions, size_t *nr)
{
	uint64_t current = copies->version;
	uint64_t version = get_be64(r->key + 9);
	uint64_t instance = get_be64(r->key + 17);
	const struct fvol *vol;
	pb_instance *m;

	m = orchfs__store__instance__unpack(NULL, r->vlen, r->val);
	if (!m || (unsigned int)m->state > 3) {
		problem(f, RULE_RECORD, fi->ino, false,
			"instance %" PRIu64 " of inode %" PRIu64 " cannot be understood",
			instance, fi->ino);
		goto out;
	}
	f->n.instances++;
	see_change(f, m->change);
	if (instance > f->max_instance)
		f->max_instance = instance;
	vol = volume_of(f, m->volume);
	if (!vol)
		problem(f, RULE_INSTANCE, fi->ino, false,
			"instance %" PRIu64 " of inode %" PRIu64 " is on volume %u, which is not there",
			instance, fi->ino, m->volume);
	else
		note_tier(fi, vol, m, version == current);
	note_copy(f, fi, version, instance, m, copies);
	if (m->dirty)
		fi->flags |= F_DIRTY;
	if (*nr < VERSIONS_MAX && !among(versions, *nr, version) &&
	    problem(f, RULE_VERSION, fi->ino, true,
		    "version %" PRIu64 " of inode %" PRIu64 " has an instance but no record",
		    version, fi->ino)) {
		put_version(f, fi->ino, version, version == current);
		versions[(*nr)++] = version;
	}
out:
	if (m)
		orchfs__store__instance__free_unpacked(m, NULL);
}

static void read_instances(struct fsck *f, struct along *a, struct fino *fi,
			   uint64_t current)
{
	uint64_t versions[VERSIONS_MAX];
	struct fcopies copies = { .version = current };
	bool any = false, regular = S_ISREG(fi->mode) || fi->flags & F_BAD;
	size_t nr = read_versions(f, &a->v, fi, versions);

	for (; advance(f, &a->n, fi->ino); rows_next(&a->n)) {
		if (a->n.klen != 25) {
			problem(f, RULE_RECORD, fi->ino, false,
				"a key of an instance of inode %" PRIu64 " cannot be understood",
				fi->ino);
			continue;
		}
		if (!regular) {
			stray(f, &a->n, fi->ino);
			continue;
		}
		any |= get_be64(a->n.key + 9) == current;
		if (!(fi->flags & F_BAD))
			one_instance(f, &a->n, fi, &copies, versions, &nr);
	}
	if (!regular || fi->flags & F_BAD)
		return;
	check_copies(f, fi->ino, &copies);
	/* Mended where its backing file is found; see check_unknown(). */
	if (!any)
		problem(f, RULE_INSTANCE, fi->ino, false,
			"inode %" PRIu64 " has no instance of its version %" PRIu64 ": its contents are not known",
			fi->ino, current);
	else if (nr < VERSIONS_MAX && !among(versions, nr, current) &&
		 problem(f, RULE_VERSION, fi->ino, true,
			 "inode %" PRIu64 " has no record of its version %" PRIu64,
			 fi->ino, current))
		put_version(f, fi->ino, current, true);
}

static void read_orphan(struct fsck *f, struct row *r, struct fino *fi)
{
	Orchfs__Store__Orphan *m;

	if (!advance(f, r, fi->ino))
		return;
	m = orchfs__store__orphan__unpack(NULL, r->vlen, r->val);
	if (!m || r->klen != 9) {
		problem(f, RULE_RECORD, fi->ino, false,
			"the orphan record of inode %" PRIu64 " cannot be understood",
			fi->ino);
	} else {
		see_change(f, m->change);
		fi->flags |= F_ORPHAN;
		f->n.orphans++;
	}
	if (m)
		orchfs__store__orphan__free_unpacked(m, NULL);
	rows_next(r);
}

/* W: the inodes that the daemon looks at again when it starts. */
static void read_dirty(struct fsck *f, struct row *r, struct fino *fi)
{
	struct fkey k = key_num('W', 1, fi->ino);
	bool noted = advance(f, r, fi->ino), dirty = fi->flags & F_DIRTY;

	if (noted)
		rows_next(r);
	if (noted == dirty || fi->flags & F_BAD)
		return;
	if (!problem(f, RULE_INDEX_W, fi->ino, true, dirty ?
		     "inode %" PRIu64 " has an unsettled instance that is not in the index of these" :
		     "inode %" PRIu64 " is in the index of unsettled instances but has none",
		     fi->ino))
		return;
	if (dirty)
		op_put(f, &k, "", 0);
	else
		op_del(f, &k);
}

static uint32_t read_xattrs(struct fsck *f, struct row *r, uint64_t ino)
{
	static const char *const known[] = {	/* flags 2, 4, 8 */
		"security.capability", "system.posix_acl_access",
		"system.posix_acl_default",
	};
	uint32_t flags = 0;
	unsigned int i;

	for (; advance(f, r, ino); rows_next(r)) {
		flags |= ORCHFS__STORE__INODE_FLAG__INODE_HAS_XATTR;
		for (i = 0; i < 3; i++)
			if (r->klen - 9 == strlen(known[i]) &&
			    !memcmp(r->key + 9, known[i], strlen(known[i])))
				flags |= 2u << i;
	}
	return flags;
}

static void check_shape(struct fsck *f, struct fino *fi, const pb_inode *rec)
{
	if (!type_ok(rec->mode))
		problem(f, RULE_INODE, fi->ino, false,
			"inode %" PRIu64 " has no valid type (mode %o)",
			fi->ino, rec->mode);
	if (S_ISREG(rec->mode) != !!rec->version)
		problem(f, RULE_INODE, fi->ino, false,
			"inode %" PRIu64 " has version %" PRIu64 ", which does not go with its type",
			fi->ino, rec->version);
	if (S_ISLNK(rec->mode) && !rec->target.len)
		problem(f, RULE_INODE, fi->ino, false,
			"the symbolic link with inode %" PRIu64 " leads nowhere",
			fi->ino);
	else if (S_ISLNK(rec->mode) && rec->size != rec->target.len &&
		 may_fix(fi) &&
		 problem(f, RULE_SIZE, fi->ino, true,
			 "the symbolic link with inode %" PRIu64 " has size %" PRIu64 " instead of %zu",
			 fi->ino, rec->size, rec->target.len))
		fix_inode(f, fi, set_target_size, NULL);
}

static void fill(struct fino *fi, const pb_inode *rec)
{
	fi->change = rec->change;
	fi->parent = rec->parent;
	fi->mode = rec->mode;
	fi->uid = rec->uid;
	fi->nlink = rec->nlink;
	fi->day = index_day(rec->mtime ? rec->mtime->sec : 0);
}

static void one_inode(struct fsck *f, const struct row *r, struct along *a)
{
	uint64_t ino = get_be64(r->key + 1);
	struct fino *fi = fino_add(f, ino);
	pb_inode *rec;
	uint32_t flags;

	rec = orchfs__store__inode__unpack(NULL, r->vlen, r->val);
	f->n.inodes++;
	if (ino > f->max_ino)
		f->max_ino = ino;
	if (rec) {
		fill(fi, rec);
		see_change(f, rec->change);
		if (rec->layout_generation > f->max_layout)
			f->max_layout = rec->layout_generation;
		f->n.directories += S_ISDIR(rec->mode);
		f->n.files += S_ISREG(rec->mode);
	} else {
		fi->flags |= F_BAD;
		problem(f, RULE_RECORD, ino, false,
			"inode %" PRIu64 " cannot be understood: restore from a backup",
			ino);
	}
	read_instances(f, a, fi, rec ? rec->version : 0);
	read_orphan(f, &a->o, fi);
	read_dirty(f, &a->w, fi);
	flags = read_xattrs(f, &a->x, ino);
	if (!rec)
		return;
	check_shape(f, fi, rec);
	if ((rec->flags & XATTR_FLAGS) != flags && may_fix(fi) &&
	    problem(f, RULE_XATTR, ino, true,
		    "inode %" PRIu64 " says it has %s extended attributes%s, which is wrong",
		    ino, rec->flags & 1 ? "some" : "no",
		    rec->flags & 2 ? " and capabilities" : ""))
		fix_inode(f, fi, set_flags, &flags);
	orchfs__store__inode__free_unpacked(rec, NULL);
}

static void check_root(struct fsck *f)
{
	struct fino *root = fino_of(f, 1);

	if (root && (root->flags & F_BAD || S_ISDIR(root->mode)))
		return;
	if (root)
		problem(f, RULE_INODE, 1, false,
			"inode 1, the root, is no directory: restore from a backup");
	else if (problem(f, RULE_INODE, 1, true, "the root directory is missing"))
		new_directory(f, 1, 1, 0755);
}

void check_inodes(struct fsck *f)
{
	struct along a;
	struct row r;

	f->nr_inos = 0;
	rows_table(f, &a.v, 'V');
	rows_table(f, &a.n, 'N');
	rows_table(f, &a.o, 'O');
	rows_table(f, &a.x, 'X');
	rows_table(f, &a.w, 'W');
	for (rows_table(f, &r, 'I'); rows_valid(&r); rows_next(&r)) {
		if (r.klen == 9)
			one_inode(f, &r, &a);
		else
			problem(f, RULE_RECORD, 0, false,
				"a key of an inode has %zu bytes instead of 9",
				r.klen);
	}
	rows_end(f, &r);
	drain(f, &a.v);
	drain(f, &a.n);
	drain(f, &a.o);
	drain(f, &a.x);
	drain(f, &a.w);
	check_root(f);
}
