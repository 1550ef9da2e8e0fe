// SPDX-License-Identifier: Apache-2.0
/* Reachability, /lost+found, link counts, parents, orphans. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "orchctl.h"
#include "fsck.h"

/* Directories on the way up that are looked at in this walk. */
#define F_WALK F_KEPT

static bool is_dir(const struct fino *fi)
{
	return S_ISDIR(fi->mode) && !(fi->flags & F_BAD);
}

static struct fino *above(struct fsck *f, const struct fino *fi)
{
	return fi->ino != 1 && fi->named_in ? fino_of(f, fi->named_in) : NULL;
}

/*
 * Walks up from a directory until the answer is known, then notes it for all
 * on the way. A walk that meets itself has found a ring.
 */
static void walk_up(struct fsck *f, struct fino *start)
{
	uint16_t known = F_REACHED | F_LOST;
	struct fino *fi = start, *next;
	uint16_t answer;

	for (;;) {
		if (fi->flags & known)
			break;
		if (fi->flags & F_WALK) {
			fi->flags |= F_CYCLE;
			break;
		}
		fi->flags |= F_WALK;
		next = above(f, fi);
		if (!next)
			break;
		fi = next;
	}
	answer = fi->flags & F_REACHED || fi->ino == 1 ? F_REACHED : F_LOST;
	for (fi = start; fi && fi->flags & F_WALK;
	     fi = above(f, fi)) {
		fi->flags &= (uint16_t)~F_WALK;
		fi->flags |= answer;
	}
}

static void walk_all(struct fsck *f)
{
	size_t i;

	for (i = 0; i < f->nr_inos; i++)
		f->inos[i].flags &= (uint16_t)~F_WALK;
	for (i = 0; i < f->nr_inos; i++)
		if (is_dir(&f->inos[i]))
			walk_up(f, &f->inos[i]);
}

/* The ring is opened at one place; what hangs there is lost in a later round. */
static void cut_ring(struct fsck *f, const struct fino *fi)
{
	struct fkey k = key_num('R', 1, fi->ino);
	struct row r;

	for (rows_begin(f, &r, &k); rows_valid(&r); rows_next(&r))
		if (r.klen == 25)
			remove_name(f, get_be64(r.key + 9),
				    get_be64(r.key + 17), fi->ino);
	rows_end(f, &r);
}

/* Return: the inode under that name in the root, 0 when there is none. */
static uint64_t in_root(struct fsck *f, const char *name)
{
	uint64_t cookie = name_bucket(f, name, strlen(name));
	uint64_t ino = 0;
	struct row r;
	struct fkey k = key_num('E', 2, (uint64_t)1, cookie);
	pb_entry *e;

	k.len--;	/* all of the bucket */
	for (rows_begin(f, &r, &k); rows_valid(&r) && !ino; rows_next(&r)) {
		e = orchfs__store__entry__unpack(NULL, r.vlen, r.val);
		if (e && e->name.len == strlen(name) &&
		    !memcmp(e->name.data, name, e->name.len))
			ino = e->ino;
		if (e)
			orchfs__store__entry__free_unpacked(e, NULL);
	}
	rows_end(f, &r);
	return ino;
}

#define MADE_NOW UINT64_MAX

enum rescue { RESCUED, LATER, NEVER };

/* Finds or makes /lost+found; made now, it is for the next round to use. */
static enum rescue need_lost_found(struct fsck *f)
{
	struct fino made = { .mode = S_IFDIR | 0700 };
	const struct fino *there;
	char name[32];
	uint64_t ino;
	int i;

	if (f->lost_found)
		return f->lost_found == MADE_NOW ? LATER : RESCUED;
	for (i = 0; i < 10 && f->hash_key_ok; i++) {
		snprintf(name, sizeof(name), i ? "lost+found.%d" : "lost+found",
			 i);
		ino = in_root(f, name);
		there = ino ? fino_of(f, ino) : NULL;
		if (there && S_ISDIR(there->mode)) {
			f->lost_found = ino;
			return RESCUED;
		}
		if (ino)
			continue;
		made.ino = new_ino(f);
		if (!insert_name(f, 1, name, strlen(name), &made))
			return LATER;
		new_directory(f, made.ino, 1, 0700);
		f->lost_found = MADE_NOW;
		return LATER;
	}
	return NEVER;
}

static enum rescue rescue(struct fsck *f, const struct fino *fi)
{
	enum rescue how;
	char name[32];

	if (!f->repair)
		return NEVER;
	how = need_lost_found(f);
	if (how != RESCUED)
		return how;
	snprintf(name, sizeof(name), "#%" PRIu64, fi->ino);
	return insert_name(f, f->lost_found, name, strlen(name), fi) ?
	       RESCUED : LATER;
}

static void drop_orphan(struct fsck *f, const struct fino *fi)
{
	struct fkey k = key_num('O', 1, fi->ino);

	op_del(f, &k);
}

/* nlink 0 exactly when there is an orphan record, and then no name. */
static void check_orphan(struct fsck *f, struct fino *fi)
{
	Orchfs__Store__Orphan m = ORCHFS__STORE__ORPHAN__INIT;
	struct fkey k;

	if (fi->flags & F_ORPHAN) {
		if (fi->flags & F_ENTRIES && is_dir(fi) &&
		    problem(f, RULE_ORPHAN, fi->ino, true,
			    "directory %" PRIu64 " counts as deleted but has names in it",
			    fi->ino))
			drop_orphan(f, fi);
		else if ((fi->refs || (fi->nlink && !is_dir(fi))) &&
			 problem(f, RULE_ORPHAN, fi->ino, true,
				 "inode %" PRIu64 " counts as deleted but has %u names and link count %u",
				 fi->ino, fi->refs, fi->nlink))
			drop_orphan(f, fi);
		return;
	}
	if (fi->nlink || fi->refs || fi->ino == 1 || fi->flags & F_ENTRIES)
		return;
	if (!problem(f, RULE_ORPHAN, fi->ino, true,
		     "inode %" PRIu64 " is deleted (link count 0) but has no orphan record: its space would never be free",
		     fi->ino))
		return;
	m.change = f->next_seq;
	k = key_num('O', 1, fi->ino);
	op_put_msg(f, &k, &m.base);
}

static void check_lost(struct fsck *f, struct fino *fi)
{
	bool deleted = !fi->nlink && !(fi->flags & F_ENTRIES);
	enum rescue how;

	if (fi->ino == 1 || fi->flags & F_ORPHAN)
		return;
	if (is_dir(fi) && fi->flags & F_CYCLE) {
		if (problem(f, RULE_REACH, fi->ino, true,
			    "directory %" PRIu64 " is its own ancestor",
			    fi->ino))
			cut_ring(f, fi);
		return;
	}
	if (fi->refs || deleted)
		return;
	how = rescue(f, fi);
	if (how == LATER)
		return;
	problem(f, RULE_REACH, fi->ino, how == RESCUED,
		"inode %" PRIu64 " (%s) has no name%s", fi->ino,
		is_dir(fi) ? "a directory" : S_ISREG(fi->mode) ?
		"a regular file" : "a special file",
		how == RESCUED ? ": it is put into /lost+found" : "");
}

void check_tree(struct fsck *f)
{
	size_t i;

	f->lost_found = 0;
	walk_all(f);
	for (i = 0; i < f->nr_inos; i++) {
		if (f->inos[i].flags & F_BAD)
			continue;
		check_orphan(f, &f->inos[i]);
		check_lost(f, &f->inos[i]);
	}
}

static void set_nlink(pb_inode *rec, const void *arg)
{
	rec->nlink = *(const uint32_t *)arg;
}

static void set_parent(pb_inode *rec, const void *arg)
{
	rec->parent = *(const uint64_t *)arg;
}

static void check_link(struct fsck *f, struct fino *fi)
{
	uint64_t parent = fi->ino == 1 ? 1 : fi->named_in;
	uint32_t want = fi->refs;

	if (is_dir(fi))
		want = fi->flags & F_ORPHAN ? 0 : 2 + fi->subdirs;
	if (fi->nlink != want && may_fix(fi) &&
	    problem(f, RULE_NLINK, fi->ino, true,
		    "inode %" PRIu64 " has link count %u instead of %u",
		    fi->ino, fi->nlink, want))
		fix_inode(f, fi, set_nlink, &want);
	if (is_dir(fi) && parent && fi->parent != parent && may_fix(fi) &&
	    problem(f, RULE_PARENT, fi->ino, true,
		    "directory %" PRIu64 " says that it is in %" PRIu64 ", but it is in %" PRIu64,
		    fi->ino, fi->parent, parent))
		fix_inode(f, fi, set_parent, &parent);
}

void check_links(struct fsck *f)
{
	size_t i;

	for (i = 0; i < f->nr_inos; i++)
		if (!(f->inos[i].flags & F_BAD))
			check_link(f, &f->inos[i]);
}
