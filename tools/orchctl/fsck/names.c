// SPDX-License-Identifier: Apache-2.0
/* Entries and reverse entries. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "orchctl.h"
#include "fsck.h"

#define BUCKET 256

/* The names of the bucket under way, to find one that is there twice. */
struct bucket {
	uint64_t parent, first;
	size_t nr;
	struct {
		size_t len;
		uint8_t name[255];
	} names[BUCKET];
};

struct entries {
	uint64_t matched;	/* entries that have their reverse entry */
	uint64_t multi;		/* directories with several names */
	struct bucket bucket;
};

bool name_ok(const void *name, size_t len)
{
	const char *s = name;

	if (!len || len > 255 || memchr(s, '/', len) || memchr(s, 0, len))
		return false;
	return !(s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.')));
}

const char *name_text(const void *name, size_t len)
{
	static char buf[255 * 4 + 1];
	const uint8_t *s = name;
	char *out = buf;

	for (len = len > 255 ? 255 : len; len; len--, s++)
		if (*s < ' ' || *s == 0x7f || *s == '\\')
			out += sprintf(out, "\\%03o", *s);
		else
			*out++ = (char)*s;
	*out = 0;
	return buf;
}

uint64_t name_bucket(const struct fsck *f, const void *name, size_t len)
{
	uint64_t hash = siphash24(f->hash_key, name, len) >> 9;

	return (hash ? hash : 1) << 8;
}

static uint32_t dt_of(const struct fino *fi)
{
	return (fi->mode & S_IFMT) >> 12;
}

static void put_entry(struct fsck *f, uint64_t parent, uint64_t cookie,
		      const void *name, size_t len, uint64_t ino, uint32_t type)
{
	pb_entry m = ORCHFS__STORE__ENTRY__INIT;
	struct fkey k = key_num('E', 2, parent, cookie);

	m.change = f->next_seq;
	m.ino = ino;
	m.type = type;
	m.name.data = (uint8_t *)name;
	m.name.len = len;
	op_put_msg(f, &k, &m.base);
}

static void put_reverse(struct fsck *f, uint64_t parent, uint64_t cookie,
			const void *name, size_t len, uint64_t ino)
{
	Orchfs__Store__Reverse m = ORCHFS__STORE__REVERSE__INIT;
	struct fkey k = key_num('R', 3, ino, parent, cookie);

	m.change = f->next_seq;
	m.name.data = (uint8_t *)name;
	m.name.len = len;
	op_put_msg(f, &k, &m.base);
}

void remove_name(struct fsck *f, uint64_t parent, uint64_t cookie, uint64_t ino)
{
	struct fkey k = key_num('E', 2, parent, cookie);

	op_del(f, &k);
	k = key_num('R', 3, ino, parent, cookie);
	op_del(f, &k);
}

bool insert_name(struct fsck *f, uint64_t parent, const void *name, size_t len,
		 const struct fino *child)
{
	uint64_t cookie = name_bucket(f, name, len);
	struct fkey k = key_num('E', 2, parent, cookie);
	int i;

	if (!f->hash_key_ok || !fset_add(f->inserted, parent ^ cookie))
		return false;
	for (i = 0; i < BUCKET && db_has(f, &k); i++)
		k = key_num('E', 2, parent, ++cookie);
	if (i == BUCKET)
		return false;
	put_entry(f, parent, cookie, name, len, child->ino, dt_of(child));
	put_reverse(f, parent, cookie, name, len, child->ino);
	return true;
}

static bool is_dir(const struct fino *fi)
{
	return fi && (fi->flags & F_BAD || S_ISDIR(fi->mode));
}

/* Where the name leads from and to. false: the entry is to go. */
static bool check_ends(struct fsck *f, uint64_t parent, const pb_entry *e,
		       const struct fino *dir, const struct fino *child)
{
	const char *name = name_text(e->name.data, e->name.len);

	if (!is_dir(dir))
		return !problem(f, RULE_ENTRY, e->ino, true,
				"name '%s' is in inode %" PRIu64 ", which is no directory",
				name, parent);
	if (!child)
		return !problem(f, RULE_ENTRY, e->ino, true,
				"name '%s' in directory %" PRIu64 " leads to inode %" PRIu64 ", which does not exist",
				name, parent, e->ino);
	if (e->ino == 1)
		return !problem(f, RULE_ENTRY, 1, true,
				"name '%s' in directory %" PRIu64 " leads to the root",
				name, parent);
	if (!name_ok(e->name.data, e->name.len))
		return !problem(f, RULE_ENTRY, e->ino, true,
				"'%s' in directory %" PRIu64 " is no valid name (inode %" PRIu64 ")",
				name, parent, e->ino);
	return true;
}

/* false: a second entry of the same name, it is to go. */
static bool check_twice(struct fsck *f, struct bucket *b, uint64_t parent,
			uint64_t cookie, const pb_entry *e)
{
	uint64_t first = cookie & ~(uint64_t)(BUCKET - 1);
	size_t i;

	if (b->parent != parent || b->first != first) {
		b->parent = parent;
		b->first = first;
		b->nr = 0;
	}
	for (i = 0; i < b->nr; i++)
		if (b->names[i].len == e->name.len &&
		    !memcmp(b->names[i].name, e->name.data, e->name.len))
			return !problem(f, RULE_ENTRY, e->ino, true,
					"name '%s' is twice in directory %" PRIu64 " (inode %" PRIu64 ")",
					name_text(e->name.data, e->name.len),
					parent, e->ino);
	if (b->nr < BUCKET && e->name.len <= 255) {
		b->names[b->nr].len = e->name.len;
		memcpy(b->names[b->nr++].name, e->name.data, e->name.len);
	}
	return true;
}

/* A name that is not where a look-up seeks it moves there. */
static bool check_cookie(struct fsck *f, uint64_t parent, uint64_t cookie,
			 const pb_entry *e, const struct fino *child)
{
	uint64_t bucket;

	if (!f->hash_key_ok)
		return true;
	bucket = name_bucket(f, e->name.data, e->name.len);
	if (bucket == (cookie & ~(uint64_t)(BUCKET - 1)))
		return true;
	if (f->repair &&
	    !insert_name(f, parent, e->name.data, e->name.len, child))
		return false;	/* its place is taken now: in a later round */
	if (!problem(f, RULE_COOKIE, e->ino, true,
		     "name '%s' in directory %" PRIu64 " is not where its hash puts it",
		     name_text(e->name.data, e->name.len), parent))
		return true;
	remove_name(f, parent, cookie, e->ino);
	return false;
}

static void check_back(struct fsck *f, struct entries *es, uint64_t parent,
		       uint64_t cookie, const pb_entry *e)
{
	struct fkey k = key_num('R', 3, e->ino, parent, cookie);
	Orchfs__Store__Reverse *m;
	bool same = false;
	size_t len;
	void *v;

	v = db_get(f, &k, &len);
	m = v ? orchfs__store__reverse__unpack(NULL, len, v) : NULL;
	if (m) {
		see_change(f, m->change);
		same = m->name.len == e->name.len &&
		       !memcmp(m->name.data, e->name.data, e->name.len);
		orchfs__store__reverse__free_unpacked(m, NULL);
	}
	es->matched += v != NULL;
	if (!same &&
	    problem(f, RULE_REVERSE, e->ino, true,
		    "name '%s' in directory %" PRIu64 " has %s reverse entry (inode %" PRIu64 ")",
		    name_text(e->name.data, e->name.len), parent,
		    v ? "a wrong" : "no", e->ino))
		put_reverse(f, parent, cookie, e->name.data, e->name.len,
			    e->ino);
	free(v);
}

static void count_name(struct entries *es, uint64_t parent, struct fino *dir,
		       struct fino *child)
{
	child->refs++;
	dir->flags |= F_ENTRIES;
	if (!S_ISDIR(child->mode) || child->flags & F_BAD)
		return;
	dir->subdirs++;
	if (child->named_in && !(child->flags & F_MULTI)) {
		child->flags |= F_MULTI;
		es->multi++;
	}
	if (child->parent == parent)
		child->flags |= F_MATCH;
	if (!child->named_in || child->parent == parent)
		child->named_in = parent;
}

static void one_entry(struct fsck *f, const struct row *r, struct entries *es)
{
	uint64_t parent = get_be64(r->key + 1), cookie = get_be64(r->key + 9);
	struct fino *dir = fino_of(f, parent), *child;
	pb_entry *e;

	e = orchfs__store__entry__unpack(NULL, r->vlen, r->val);
	if (!e) {
		problem(f, RULE_RECORD, 0, false,
			"an entry of directory %" PRIu64 " cannot be understood",
			parent);
		return;
	}
	f->n.names++;
	see_change(f, e->change);
	child = fino_of(f, e->ino);
	if (!check_ends(f, parent, e, dir, child) ||
	    !check_twice(f, &es->bucket, parent, cookie, e)) {
		remove_name(f, parent, cookie, e->ino);
		goto out;
	}
	if (!is_dir(dir) || !child ||
	    !check_cookie(f, parent, cookie, e, child))
		goto out;
	if (e->type != dt_of(child) && !(child->flags & F_BAD) &&
	    problem(f, RULE_ENTRY, e->ino, true,
		    "name '%s' in directory %" PRIu64 " says type %u, inode %" PRIu64 " is of type %u",
		    name_text(e->name.data, e->name.len), parent, e->type,
		    e->ino, dt_of(child)))
		put_entry(f, parent, cookie, e->name.data, e->name.len, e->ino,
			  dt_of(child));
	check_back(f, es, parent, cookie, e);
	count_name(es, parent, dir, child);
out:
	orchfs__store__entry__free_unpacked(e, NULL);
}

/* A directory keeps the name that is in the directory it says, or the first. */
static void drop_second_names(struct fsck *f)
{
	struct fino *child;
	uint64_t parent;
	struct row r;
	pb_entry *e;

	for (rows_table(f, &r, 'E'); rows_valid(&r); rows_next(&r)) {
		e = r.klen == 17 ?
		    orchfs__store__entry__unpack(NULL, r.vlen, r.val) : NULL;
		child = e ? fino_of(f, e->ino) : NULL;
		if (child && child->flags & F_MULTI) {
			parent = get_be64(r.key + 1);
			if (!(child->flags & F_KEPT) &&
			    (!(child->flags & F_MATCH) ||
			     child->parent == parent))
				child->flags |= F_KEPT;
			else if (problem(f, RULE_ENTRY, e->ino, true,
					 "directory %" PRIu64 " has a second name '%s' in directory %" PRIu64,
					 e->ino, name_text(e->name.data,
							   e->name.len),
					 parent))
				remove_name(f, parent, get_be64(r.key + 9),
					    e->ino);
		}
		if (e)
			orchfs__store__entry__free_unpacked(e, NULL);
	}
	rows_end(f, &r);
}

void check_entries(struct fsck *f)
{
	struct entries *es = xcalloc(1, sizeof(*es));
	struct row r;

	for (rows_table(f, &r, 'E'); rows_valid(&r); rows_next(&r)) {
		if (r.klen == 17)
			one_entry(f, &r, es);
		else
			problem(f, RULE_RECORD, 0, false,
				"a key of an entry has %zu bytes instead of 17",
				r.klen);
	}
	rows_end(f, &r);
	if (es->multi)
		drop_second_names(f);
	f->n.reverse = es->matched;
	free(es);
}

/* Is there a name that this reverse entry goes with? */
static bool has_entry(struct fsck *f, uint64_t ino, uint64_t parent,
		      uint64_t cookie)
{
	struct fkey k = key_num('E', 2, parent, cookie);
	bool yes = false;
	pb_entry *e;
	size_t len;
	void *v;

	v = db_get(f, &k, &len);
	e = v ? orchfs__store__entry__unpack(NULL, len, v) : NULL;
	if (e) {
		yes = e->ino == ino;
		orchfs__store__entry__free_unpacked(e, NULL);
	}
	free(v);
	return yes;
}

/*
 * Whether a lost name is to be made again: the link count decides. The place
 * must be free and the right one.
 */
static bool entry_lost(struct fsck *f, const struct fino *fi, uint64_t parent,
		       uint64_t cookie, const Orchfs__Store__Reverse *m)
{
	struct fkey k = key_num('E', 2, parent, cookie);
	const struct fino *dir = fino_of(f, parent);

	if (!fi || !m || !dir || !S_ISDIR(dir->mode) ||
	    (fi->flags | dir->flags) & (F_BAD | F_ORPHAN) || fi->ino == 1)
		return false;
	if (S_ISDIR(fi->mode) ? fi->refs > 0 : fi->refs >= fi->nlink)
		return false;
	return name_ok(m->name.data, m->name.len) && f->hash_key_ok &&
	       name_bucket(f, m->name.data, m->name.len) ==
	       (cookie & ~(uint64_t)(BUCKET - 1)) && !db_has(f, &k);
}

static void one_reverse(struct fsck *f, const struct row *r)
{
	uint64_t ino = get_be64(r->key + 1), parent = get_be64(r->key + 9);
	uint64_t cookie = get_be64(r->key + 17);
	struct fino *fi = fino_of(f, ino);
	Orchfs__Store__Reverse *m;
	const char *name;
	struct fkey k;

	if (has_entry(f, ino, parent, cookie))
		return;
	m = orchfs__store__reverse__unpack(NULL, r->vlen, r->val);
	name = m ? name_text(m->name.data, m->name.len) : "?";
	if (entry_lost(f, fi, parent, cookie, m)) {
		if (problem(f, RULE_REVERSE, ino, true,
			    "inode %" PRIu64 " lost its name '%s' in directory %" PRIu64,
			    ino, name, parent)) {
			put_entry(f, parent, cookie, m->name.data, m->name.len,
				  ino, dt_of(fi));
			fi->refs++;
		}
	} else if (problem(f, RULE_REVERSE, ino, true,
			   "the reverse entry of inode %" PRIu64 " for '%s' in directory %" PRIu64 " goes with no name",
			   ino, name, parent)) {
		k = key_num('R', 3, ino, parent, cookie);
		op_del(f, &k);
	}
	if (m)
		orchfs__store__reverse__free_unpacked(m, NULL);
}

/*
 * Each entry was matched with its reverse entry. Where there are no more of
 * these than were matched, none is without an entry.
 */
void check_reverse(struct fsck *f)
{
	uint64_t nr = 0;
	struct row r;

	for (rows_table(f, &r, 'R'); rows_valid(&r); rows_next(&r)) {
		if (r.klen != 25)
			problem(f, RULE_RECORD, 0, false,
				"a key of a reverse entry has %zu bytes instead of 25",
				r.klen);
		else
			nr++;
	}
	rows_end(f, &r);
	if (nr == f->n.reverse)
		return;
	for (rows_table(f, &r, 'R'); rows_valid(&r); rows_next(&r))
		if (r.klen == 25)
			one_reverse(f, &r);
	rows_end(f, &r);
}
