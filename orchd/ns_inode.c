// SPDX-License-Identifier: Apache-2.0
/* Reading records, filling attributes, and the end of an inode. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ns_impl.h"
#include "ns_move.h"

/* The value stays until the scratch arena is reset. */
int ns_get(struct ns *ns, const struct key *k, struct store_key *v)
{
	size_t len;
	void *p;
	int rc;

	rc = store_get(ns->st, NULL, key_of(k), &p, &len);
	if (rc)
		return rc;
	rc = arena_own(ns->scratch, p);
	if (rc)
		return rc;
	v->p = p;
	v->len = len;
	return 0;
}

/* 1, 0 or -errno */
int ns_exists(struct ns *ns, const struct key *k)
{
	struct store_key v;
	int rc = ns_get(ns, k, &v);

	if (rc == -ENOENT)
		return 0;
	return rc ? rc : 1;
}

int scan_from(struct ns *ns, struct scan *s, const struct key *lo,
	      const struct key *hi)
{
	s->it = store_scan(ns->st, NULL, key_of(lo), key_of(hi));
	return s->it ? 0 : -ENOMEM;
}

int scan_begin(struct ns *ns, struct scan *s, const struct key *prefix)
{
	struct key hi = *prefix;

	return scan_from(ns, s, prefix, key_after(&hi));
}

bool scan_valid(const struct scan *s)
{
	return store_iter_valid(s->it);
}

struct store_key scan_key(const struct scan *s)
{
	return store_iter_key(s->it);
}

struct store_key scan_value(const struct scan *s)
{
	return store_iter_value(s->it);
}

void scan_next(struct scan *s)
{
	store_iter_next(s->it);
}

int scan_end(struct scan *s, int rc)
{
	if (!rc)
		rc = store_iter_error(s->it);
	store_iter_free(s->it);
	s->it = NULL;
	return rc;
}

/* -ENOENT when there is no such inode. */
int inode_load(struct ns *ns, uint64_t ino, struct inode *i)
{
	struct store_key v;
	struct key k;
	int rc;

	rc = ns_get(ns, key_num(&k, 'I', ino), &v);
	if (rc)
		return rc;
	return record_unpack_inode(ns->scratch, ino, v, i);
}

/* The retiring instance that is @in_use, else the valid one. */
static int instance_find(struct ns *ns, const struct inode *i, uint64_t in_use,
			 struct instance *n)
{
	struct instance one;
	struct scan s;
	struct key k;
	int rc, found = -EIO;

	rc = scan_begin(ns, &s, key_num2(&k, 'N', i->ino, i->version));
	if (rc)
		return rc;
	for (; scan_valid(&s); scan_next(&s)) {
		rc = record_unpack_instance(ns->scratch, scan_key(&s),
					    scan_value(&s), &one);
		if (rc)
			break;
		if (one.state == INSTANCE(VALID) && found) {
			*n = one;
			found = 0;
		}
		if (one.state == INSTANCE(RETIRING) &&
		    one.instance == in_use) {
			*n = one;
			found = 0;
			break;
		}
		if (!found && !in_use)
			break;
	}
	rc = scan_end(&s, rc);
	return rc ? rc : found;
}

/**
 * instance_load() - the instance to use of an inode's current version.
 * While a job switches it that is the one of the layout that is outside, or
 * was the last to be.
 * Return: 0; -EIO when none is valid; other -errno.
 */
int instance_load(struct ns *ns, const struct inode *i, struct instance *n)
{
	const struct live *l = live_find(ns, i->ino);

	return instance_find(ns, i, l && l->moving ? l->instance : 0, n);
}

/** instance_valid() - the valid one, in use or not. As above. */
int instance_valid(struct ns *ns, const struct inode *i, struct instance *n)
{
	return instance_find(ns, i, 0, n);
}

/*
 * A missing file is damage: counted, and the caller goes on without. One whose
 * home has yet to tell, or can't, is none.
 */
int backing_stat(struct ns *ns, uint64_t ino, const struct instance *n,
		 struct ns_backing_stat *s)
{
	int rc;

	memset(s, 0, sizeof(*s));
	rc = ns->ops->stat(ns->ctx, n->volume, ino, n->version, n->instance,
			   s);
	if (rc && rc != -NS_PARKED && rc != -NS_AWAY)
		ns->damaged++;
	return rc;
}

static bool same_time(const struct orchfs_time *a, const struct orchfs_time *b)
{
	return a->sec == b->sec && a->nsec == b->nsec;
}

bool time_later(const struct orchfs_time *a, const struct orchfs_time *b)
{
	return a->sec != b->sec ? a->sec > b->sec : a->nsec > b->nsec;
}

#define NSEC_PER_SEC 1000000000LL

/**
 * time_forward() - a change was made, at a time that its kernel tells. Requests
 * of several kernels are executed in another order than their times were
 * taken: where that is less than a second before @t, @t goes on by the least.
 * So all nodes see one order. A clock that was set back by more counts.
 */
void time_forward(struct orchfs_time *t, const struct orchfs_time *now)
{
	int64_t ahead;

	if (!__builtin_sub_overflow(t->sec, now->sec, &ahead) &&
	    ahead >= 0 && ahead <= 1) {
		ahead = ahead * NSEC_PER_SEC + t->nsec - now->nsec;
		if (ahead > 0 && ahead < NSEC_PER_SEC) {
			t->sec += t->nsec == NSEC_PER_SEC - 1;
			t->nsec = (t->nsec + 1) % NSEC_PER_SEC;
			return;
		}
	}
	*t = *now;
}

static void set_time(struct orchfs_time *t, const struct orchfs_time *from)
{
	t->sec = from->sec;
	t->nsec = from->nsec;
}

/**
 * inode_from_backing() - what the backing file of a dirty instance says.
 * Size and blocks are its own. Its times count once they have moved away
 * from those that were there when the instance became dirty. Giving it to
 * another owner makes its ctime of then the one that was there, and hides that
 * of a write before: so it counts, too, if mtime tells of one.
 */
void inode_from_backing(struct inode *i, const struct instance *n,
			const struct ns_backing_stat *s)
{
	const bool written = !same_time(&s->mtime, &n->base_mtime) &&
			     (!n->has_mtime_after ||
			      time_later(&s->mtime, &n->mtime_after));

	i->size = s->size;
	i->blocks = s->blocks;
	if (written)
		set_time(&i->mtime, &s->mtime);
	if ((written || !same_time(&s->ctime, &n->base_ctime)) &&
	    time_later(&s->ctime, &i->ctime))
		set_time(&i->ctime, &s->ctime);
}

/* What the record says, and whether another node may write meanwhile. */
void inode_attr(struct ns *ns, const struct inode *i, struct orchfs_attr *a)
{
	*a = (struct orchfs_attr){
		.ino = i->ino,
		.change = i->change,
		.size = i->size,
		.blocks = i->blocks,
		.version = i->version,
		.atime = i->atime.sec,
		.mtime = i->mtime.sec,
		.ctime = i->ctime.sec,
		.btime = i->btime.sec,
		.atime_nsec = i->atime.nsec,
		.mtime_nsec = i->mtime.nsec,
		.ctime_nsec = i->ctime.nsec,
		.btime_nsec = i->btime.nsec,
		.generation = i->generation,
		.mode = i->mode,
		.uid = i->uid,
		.gid = i->gid,
		.nlink = i->nlink,
		.rdev_major = i->rdev_major,
		.rdev_minor = i->rdev_minor,
		.projid = i->projid,
		/* the record says "has", the attributes say "has none" */
		.flags = ((i->flags & ORCHFS_ATTR_ALL) ^ NS_HAS_ALL) &
			 ~ORCHFS_ATTR_LIVE,
	};
	if (S_ISREG(i->mode) && live_written_elsewhere(ns, i->ino, ns->origin))
		a->flags |= ORCHFS_ATTR_LIVE;
}

/**
 * inode_fill() - an inode's attributes as a reply carries them. Where the
 * backing file of a dirty instance is gone they are the record's.
 * Return: 0; -NS_PARKED: the instance's home is asked; other -errno.
 */
int inode_fill(struct ns *ns, const struct inode *i, struct orchfs_attr *a)
{
	struct ns_backing_stat s;
	struct inode now = *i;
	struct instance n;
	int rc;

	if (S_ISREG(i->mode) && live_dirty(ns, i->ino)) {
		rc = instance_load(ns, i, &n);
		if (rc && rc != -EIO)
			return rc;
		if (!rc && n.dirty) {
			rc = backing_stat(ns, i->ino, &n, &s);
			if (rc == -NS_PARKED)
				return rc;
			if (!rc)
				inode_from_backing(&now, &n, &s);
		}
	}
	inode_attr(ns, &now, a);
	return 0;
}

/* Who hears of an inode without names tells when it is done with it. */
static int hear_nameless(struct ns *ns, const struct inode *i)
{
	struct live *l;
	struct hold *h;

	if (i->nlink)
		return 0;
	l = live_get(ns, i->ino);
	h = l ? hold_get(ns, l, ns->origin) : NULL;
	if (!h)
		return -ENOMEM;
	h->nameless = true;
	return 0;
}

int inode_reply(struct ns *ns, const struct inode *i, struct op_reply *rep)
{
	int rc = hear_nameless(ns, i);

	if (!rc)
		rc = inode_fill(ns, i, &rep->attr);
	if (rc)
		return rc;
	rep->has_attr = true;
	if (S_ISLNK(i->mode)) {
		rep->target.s = arena_dup(rep->arena, i->target,
					  i->target_len);
		if (!rep->target.s)
			return -ENOMEM;
		rep->target.len = i->target_len;
	}
	return 0;
}

int inode_reply2(struct ns *ns, const struct inode *i, struct op_reply *rep)
{
	int rc = hear_nameless(ns, i);

	if (!rc)
		rc = inode_fill(ns, i, &rep->attr2);
	rep->has_attr2 = !rc;
	return rc;
}

static int delete_prefix(struct txn *t, const struct key *prefix)
{
	struct scan s;
	int rc;

	rc = scan_begin(t->ns, &s, prefix);
	if (rc)
		return rc;
	for (; scan_valid(&s); scan_next(&s))
		store_del(t->b, scan_key(&s));
	return scan_end(&s, 0);
}

/* Most files have one version; that of others is found by a scan. */
static int delete_versions(struct txn *t, const struct inode *i)
{
	struct key k;

	if (i->version != 1)
		return delete_prefix(t, key_num(&k, 'V', i->ino));
	txn_del(t, key_num2(&k, 'V', i->ino, 1));
	return 0;
}

/* Every instance of every version becomes a deletion, or is just forgotten. */
static int delete_instances(struct txn *t, uint64_t ino, bool files)
{
	struct instance n;
	struct scan s;
	struct key k;
	int rc;

	rc = scan_begin(t->ns, &s, key_num(&k, 'N', ino));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		rc = record_unpack_instance(t->ns->scratch, scan_key(&s),
					    scan_value(&s), &n);
		if (!rc && files)
			rc = deletion_add(t, ino, &n);
		if (!rc)
			store_del(t->b, scan_key(&s));
	}
	return scan_end(&s, rc);
}

static int remove_records(struct txn *t, struct tnode *n, bool files)
{
	struct key k;
	int rc = 0;

	if (n->i.flags & ORCHFS__STORE__INODE_FLAG__INODE_HAS_XATTR)
		rc = delete_prefix(t, key_num(&k, 'X', n->i.ino));
	if (rc)
		return rc;
	if (S_ISREG(n->i.mode)) {
		rc = delete_versions(t, &n->i);
		if (!rc)
			rc = delete_instances(t, n->i.ino, files);
		if (!rc && live_dirty(t->ns, n->i.ino))
			rc = txn_set_dirty(t, n->i.ino, false);
		if (rc)
			return rc;
	}
	orphan_del(t, n->i.ino);
	n->dirty = true;
	n->removed = true;
	t->inodes--;
	return 0;
}

/**
 * inode_remove() - all records of an inode go, and then its backing files. The
 * caller has made sure that there are deletion numbers.
 */
int inode_remove(struct txn *t, struct tnode *n)
{
	return remove_records(t, n, true);
}

/** inode_forget() - its records go; its backing files stay as unknown ones. */
int inode_forget(struct txn *t, struct tnode *n)
{
	return remove_records(t, n, false);
}
