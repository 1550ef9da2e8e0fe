// SPDX-License-Identifier: Apache-2.0
/*
 * Notices, one transaction for a batch, and settling: once no node may write an
 * inode, its record takes over what the backing file has and the instance is
 * clean again.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ns_impl.h"
#include "ns_move.h"

#define BATCH		256
/* Instances that one inode may have when it is forgotten. */
#define INSTANCES	16
#define NSEC_MAX	1000000000U

/* What becomes of a note; memory changes once the rest is committed. */
enum verdict {
	NOTE_IGNORED,
	NOTE_DONE,		/* in the store only */
	NOTE_RETURNED,		/* its layout is no longer outside */
	NOTE_FORGOTTEN,		/* nor does it use the inode */
	NOTE_SESSION_ENDS,
};

static void change_untold(struct tnode *n)
{
	n->dirty = true;
	n->untold = true;
}

static void set_time(struct tnode *n, struct orchfs_time *t, int64_t sec,
		     uint32_t nsec)
{
	if (nsec >= NSEC_MAX || (t->sec == sec && t->nsec == nsec))
		return;
	t->sec = sec;
	t->nsec = nsec;
	change_untold(n);
}

static bool ctime_is_later(const struct orchfs_attr *a, const struct inode *i)
{
	if (a->ctime != i->ctime.sec)
		return a->ctime > i->ctime.sec;
	return a->ctime_nsec > i->ctime.nsec;
}

/*
 * Made before a change of the record that came in first: a utimes, say. Not
 * overtaken by earlier notices, of which the kernel hears nothing.
 */
static bool overtaken(struct txn *t, const struct tnode *n,
		      const struct orchfs_attr *a)
{
	const struct live *l = live_find(t->ns, n->i.ino);

	if (!a->change || a->change >= n->i.change)
		return false;
	return !l || l->untold_to != n->i.change ||
	       a->change < l->untold_from;
}

/*
 * ctime never goes back: the note may be older than a chmod. Of one that was
 * overtaken nothing else counts; the backing file has what was written.
 */
static void apply_attr(struct txn *t, struct tnode *n, uint32_t valid,
		       const struct orchfs_attr *a)
{
	if (overtaken(t, n, a))
		valid &= ORCHFS_SET_CTIME;
	if (valid & ORCHFS_SET_SIZE && S_ISREG(n->i.mode) &&
	    a->size <= INT64_MAX) {
		if (n->i.size != a->size || n->i.blocks != a->blocks)
			change_untold(n);
		n->i.size = a->size;
		n->i.blocks = a->blocks;
		n->sized = true;
	}
	if (valid & ORCHFS_SET_ATIME)
		set_time(n, &n->i.atime, a->atime, a->atime_nsec);
	if (valid & ORCHFS_SET_MTIME)
		set_time(n, &n->i.mtime, a->mtime, a->mtime_nsec);
	if (valid & ORCHFS_SET_CTIME && ctime_is_later(a, &n->i))
		set_time(n, &n->i.ctime, a->ctime, a->ctime_nsec);
}

/**
 * node_settle() - make an inode's instance clean in this transaction.
 * @from_backing: take size and times from the backing file; else the inode
 * has them already. A backing file that is missing leaves it dirty, and one
 * whose home is asked for as long as that takes.
 */
int node_settle(struct txn *t, struct tnode *n, bool from_backing)
{
	struct ns_backing_stat s;
	struct instance in;
	int rc;

	if (n->settled)
		return 0;
	rc = instance_load(t->ns, &n->i, &in);
	if (rc)
		return rc == -EIO ? 0 : rc;
	if (from_backing) {
		rc = backing_stat(t->ns, n->i.ino, &in, &s);
		if (rc == -NS_PARKED)
			t->ns->ops->unsettled(t->ns->ctx, in.volume, n->i.ino,
					      in.version, in.instance);
		if (rc)
			return 0;
		inode_from_backing(&n->i, &in, &s);
		change_untold(n);
	}
	n->settled = true;
	in.dirty = false;
	txn_put_instance(t, n->i.ino, &in);
	return txn_set_dirty(t, n->i.ino, false);
}

/* Is there a hold of another node, or may there be one? */
static bool held_elsewhere(struct ns *ns, uint64_t ino)
{
	struct live *l = live_find(ns, ino);
	struct hold *h = NULL;

	if (ns->awaited)
		return true;
	while (l && (h = hold_next(l, h))) {
		if (h->origin != ns->origin && (h->out || h->nameless))
			return true;
	}
	return false;
}

static int note_forget(struct txn *t, const struct ns_note *note,
		       enum verdict *v)
{
	struct tnode *n;
	int rc;

	rc = txn_inode(t, note->node, &n);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	if (n->i.nlink)
		return 0;
	*v = NOTE_FORGOTTEN;
	if (held_elsewhere(t->ns, note->node))
		return 0;
	return inode_remove(t, n);
}

/* Without the layout of who tells, may any node write by one? */
static bool may_be_written(struct ns *ns, uint64_t ino)
{
	return ns->awaited || live_written_elsewhere(ns, ino, ns->origin);
}

/* What a node tells of a size is no news where several could write. */
static int settle_told(struct txn *t, struct tnode *n, const struct live *l)
{
	return node_settle(t, n, !n->sized || l->shared);
}

static int note_attr(struct txn *t, const struct ns_note *note,
		     enum verdict *v)
{
	struct live *l = live_find(t->ns, note->node);
	const struct hold *h = l ? hold_find(l, t->ns->origin) : NULL;
	struct tnode *n;
	int rc;

	rc = txn_inode(t, note->node, &n);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	apply_attr(t, n, note->valid, &note->attr);
	if (l && l->dirty && !(h && h->out) &&
	    !may_be_written(t->ns, note->node) &&
	    (n->sized || overtaken(t, n, &note->attr)))
		rc = settle_told(t, n, l);
	if (n->dirty || n->settled)
		*v = NOTE_DONE;
	return rc;
}

static int note_return(struct txn *t, const struct ns_note *note,
		       enum verdict *v)
{
	struct live *l = live_find(t->ns, note->node);
	const struct hold *h = l ? hold_find(l, t->ns->origin) : NULL;
	struct tnode *n;
	int rc;

	/* A newer layout went out since. */
	if (h && note->generation < h->generation)
		return 0;
	rc = txn_inode(t, note->node, &n);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	*v = NOTE_RETURNED;
	apply_attr(t, n, note->valid, &note->attr);
	if (!l || !l->dirty || may_be_written(t->ns, note->node))
		return 0;
	return settle_told(t, n, l);
}

static int note_umount(struct txn *t, const struct ns_note *note,
		       enum verdict *v)
{
	int rc = session_is_of(t->ns, note->session, t->ns->origin);

	if (rc <= 0)
		return rc;
	*v = NOTE_SESSION_ENDS;
	return session_delete(t, note->session);
}

static int apply_note(struct txn *t, const struct ns_note *note,
		      enum verdict *v)
{
	switch (note->kind) {
	case ORCHFS_KIND_NOTE_FORGET:
		return note_forget(t, note, v);
	case ORCHFS_KIND_NOTE_ATTR:
		return note_attr(t, note, v);
	case ORCHFS_KIND_NOTE_RETURN:
		return note_return(t, note, v);
	case ORCHFS_KIND_NOTE_UMOUNT:
		return note_umount(t, note, v);
	default:
		return 0;
	}
}

static void note_committed(struct ns *ns, const struct ns_note *note,
			   enum verdict v)
{
	struct live *l;
	struct hold *h;

	if (v == NOTE_SESSION_ENDS)
		session_forget(ns, note->session);
	if (v != NOTE_RETURNED && v != NOTE_FORGOTTEN)
		return;
	l = live_find(ns, note->node);
	h = l ? hold_find(l, ns->origin) : NULL;
	if (!h)
		return;
	h->out = h->written = false;
	if (v == NOTE_FORGOTTEN)
		h->nameless = false;
	live_drop_idle(ns, note->node);
}

static bool has_work(const struct txn *t)
{
	for (const struct tnode *n = t->nodes; n; n = n->next) {
		if (n->dirty)
			return true;
	}
	return t->live;
}

static int note_batch(struct ns *ns, const struct ns_note *notes, size_t nr)
{
	enum verdict v[BATCH] = { NOTE_IGNORED };
	size_t forgets = 0;
	bool work = false;
	struct txn t;
	int rc;

	arena_reset(ns->scratch);
	for (size_t i = 0; i < nr; i++)
		forgets += notes[i].kind == ORCHFS_KIND_NOTE_FORGET;
	rc = number_ensure(ns, &ns->deletion, forgets * INSTANCES);
	if (rc)
		return rc;
	txn_begin(&t, ns);
	txn_urgent(&t);
	for (size_t i = 0; i < nr && !rc; i++) {
		rc = apply_note(&t, &notes[i], &v[i]);
		work |= v[i] == NOTE_SESSION_ENDS;
	}
	if (rc)
		txn_abort(&t);
	else if (work || has_work(&t))
		rc = txn_commit(&t, NULL);
	for (size_t i = 0; i < nr && !rc; i++)
		note_committed(ns, &notes[i], v[i]);
	return rc;
}

/* A damaged record of one inode is no reason to drop what is said of others. */
static int note_each(struct ns *ns, const struct ns_note *notes, size_t nr)
{
	int first = 0;

	for (size_t i = 0; i < nr; i++) {
		int rc = note_batch(ns, &notes[i], 1);

		if (!first)
			first = rc;
	}
	return first;
}

int ns_note(struct ns *ns, uint32_t origin, const struct ns_note *notes,
	    size_t nr)
{
	int first = 0;

	ns->origin = origin;
	while (nr) {
		size_t n = nr < BATCH ? nr : BATCH;
		int rc = note_batch(ns, notes, n);

		if (rc && n > 1)
			rc = note_each(ns, notes, n);
		if (!first)
			first = rc;
		notes += n;
		nr -= n;
	}
	return first;
}

int ns_settle(struct ns *ns, uint64_t ino)
{
	struct live *l = live_find(ns, ino);
	struct ns_backing_stat s;
	struct instance in;
	struct tnode *n;
	struct txn t;
	int rc;

	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	txn_urgent(&t);
	rc = txn_inode(&t, ino, &n);
	if (rc)
		return rc;
	if (!S_ISREG(n->i.mode))
		return -EINVAL;
	if (l && l->dirty && !live_written(l) && !ns->awaited) {
		rc = node_settle(&t, n, true);
		if (!rc && !n->settled)
			rc = -EIO;
	} else {
		/* Dirty it stays, or it wasn't and its times are right. */
		rc = instance_load(ns, &n->i, &in);
		if (!rc && backing_stat(ns, ino, &in, &s))
			rc = -EIO;
		if (!rc && in.dirty)
			inode_from_backing(&n->i, &in, &s);
		if (!rc) {
			n->dirty = in.dirty || n->i.size != s.size ||
				   n->i.blocks != s.blocks;
			n->untold = n->dirty;
			n->i.size = s.size;
			n->i.blocks = s.blocks;
		}
	}
	/* A sweep comes here for each file, and most are as recorded. */
	if (rc || !has_work(&t)) {
		txn_abort(&t);
		return rc;
	}
	return txn_commit(&t, NULL);
}

int ns_settle_dirty(struct ns *ns, uint64_t ino)
{
	struct live *l = live_find(ns, ino);
	struct tnode *n;
	struct txn t;
	int rc;

	if (!l || !l->dirty || live_written(l) || ns->awaited)
		return 0;
	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	txn_urgent(&t);
	rc = txn_inode(&t, ino, &n);
	if (!rc)
		rc = node_settle(&t, n, true);
	if (!rc && has_work(&t))
		return txn_commit(&t, NULL);
	txn_abort(&t);
	return rc == -ENOENT ? 0 : rc;
}

int ns_based(struct ns *ns, uint32_t volume, uint64_t ino, uint64_t version,
	     uint64_t instance, const struct ns_backing_stat *s, bool mtime)
{
	struct instance n;
	struct store_key v;
	struct inode i;
	struct txn t;
	struct key k;
	int rc;

	if (!live_dirty(ns, ino))
		return 0;
	arena_reset(ns->scratch);
	rc = inode_load(ns, ino, &i);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	key_num3(&k, 'N', ino, version, instance);
	rc = ns_get(ns, &k, &v);
	if (!rc)
		rc = record_unpack_instance(ns->scratch, key_of(&k), v, &n);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	if (n.volume != volume || !n.dirty)
		return 0;
	n.base_ctime = s->ctime;
	/* one that came after the file was made is a write's */
	if (mtime && !time_later(&s->mtime, &i.btime))
		n.base_mtime = s->mtime;
	txn_begin(&t, ns);
	txn_urgent(&t);
	txn_put_instance(&t, ino, &n);
	return txn_commit(&t, NULL);
}
