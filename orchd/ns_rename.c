// SPDX-License-Identifier: Apache-2.0
/*
 * Rename, in one transaction with all its checks: also that no directory
 * becomes its own ancestor, whatever other renames came before.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ns_impl.h"

#define DEPTH_MAX	100000

struct renaming {
	const struct op_req *rq;
	struct op_reply *rep;
	struct tnode *odir, *ndir;
	struct tnode *src, *dst;	/* dst: NULL when the name is free */
	uint64_t ocookie, ncookie;
	bool exchange;
};

static bool is_dir(const struct tnode *n)
{
	return S_ISDIR(n->i.mode);
}

static int find_both(struct txn *t, struct renaming *r)
{
	const struct op_req *rq = r->rq;
	struct entry e;
	int rc;

	rc = dir_get(t, rq->node, &r->odir);
	if (!rc)
		rc = dir_get(t, rq->node2, &r->ndir);
	if (!rc)
		rc = entry_find(t->ns, rq->node, &rq->name, &e);
	if (rc)
		return rc;
	r->ocookie = e.cookie;
	rc = txn_inode(t, e.ino, &r->src);
	if (rc)
		return rc == -ENOENT ? -EUCLEAN : rc;
	rc = entry_find_or_free(t->ns, rq->node2, &rq->name2, &e,
				&r->ncookie);
	if (rc == -ENOENT)
		return 0;
	if (rc)
		return rc;
	r->ncookie = e.cookie;
	rc = txn_inode(t, e.ino, &r->dst);
	return rc == -ENOENT ? -EUCLEAN : rc;
}

/* Is @what the directory @dir, or above it? 1, 0 or -errno. */
static int is_above(struct ns *ns, uint64_t what, uint64_t dir)
{
	struct inode i;
	int rc;

	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		if (dir == what)
			return 1;
		if (dir == ORCHFS_ROOT_INO)
			return 0;
		rc = inode_load(ns, dir, &i);
		if (rc)
			return rc == -ENOENT ? -EUCLEAN : rc;
		dir = i.parent;
	}
	return -EUCLEAN;
}

static int check_ancestors(struct ns *ns, const struct renaming *r)
{
	int rc;

	if (r->odir == r->ndir)
		return 0;
	if (is_dir(r->src)) {
		rc = is_above(ns, r->src->i.ino, r->ndir->i.ino);
		if (rc)
			return rc < 0 ? rc : -EINVAL;
	}
	if (r->exchange && is_dir(r->dst)) {
		rc = is_above(ns, r->dst->i.ino, r->odir->i.ino);
		if (rc)
			return rc < 0 ? rc : -EINVAL;
	}
	return 0;
}

/* A victim that the VFS has not judged: may the caller remove it? */
static bool removable(const struct renaming *r)
{
	const struct inode *i = &r->dst->i;

	if (!(r->rq->flags & ORCHFS_REQ_FLAG_UNSEEN))
		return true;
	return !(i->flags & (ORCHFS_ATTR_IMMUTABLE | ORCHFS_ATTR_APPEND)) &&
	       (r->rq->uid == (uint32_t)-1 || r->rq->uid == i->uid);
}

static int check_replace(struct ns *ns, const struct renaming *r)
{
	int rc;

	if (!removable(r))
		return -EEXIST;
	if (!is_dir(r->src))
		return is_dir(r->dst) ? -EISDIR : 0;
	if (!is_dir(r->dst))
		return -ENOTDIR;
	rc = dir_empty(ns, r->dst->i.ino);
	if (rc < 0)
		return rc;
	return rc ? 0 : -ENOTEMPTY;
}

/* Anything that forbids it; changes nothing. */
static int check(struct ns *ns, const struct renaming *r)
{
	int rc;

	if (r->exchange && !r->dst)
		return -ENOENT;
	if (r->dst && r->rq->flags & ORCHFS_REQ_FLAG_NOREPLACE)
		return -EEXIST;
	if (!project_fits(&r->ndir->i, &r->src->i) ||
	    (r->exchange && !project_fits(&r->odir->i, &r->dst->i)))
		return -EXDEV;
	rc = check_ancestors(ns, r);
	if (rc || !r->dst || r->exchange || r->src == r->dst)
		return rc;
	return check_replace(ns, r);
}

/* A directory leaves one parent for another. */
static int move_parent(struct tnode *n, struct tnode *from, struct tnode *to)
{
	if (!is_dir(n) || from == to)
		return 0;
	if (from->i.nlink <= 2)
		return -EUCLEAN;
	if (to->i.nlink == UINT32_MAX)
		return -EMLINK;
	from->i.nlink--;
	to->i.nlink++;
	n->i.parent = to->i.ino;
	return 0;
}

static void touch(struct txn *t, struct tnode *n, const struct op_req *rq)
{
	time_forward(&n->i.ctime, &rq->now);
	n->i.change = t->seq;
	n->dirty = true;
}

static int do_exchange(struct txn *t, struct renaming *r)
{
	const struct op_req *rq = r->rq;

	entry_del(t, rq->node, r->ocookie, r->src->i.ino);
	entry_del(t, rq->node2, r->ncookie, r->dst->i.ino);
	entry_put(t, rq->node, r->ocookie, &rq->name, &r->dst->i);
	entry_put(t, rq->node2, r->ncookie, &rq->name2, &r->src->i);
	touch(t, r->dst, rq);
	if (is_dir(r->src) && is_dir(r->dst)) {
		/* Each parent loses one and gains one. */
		r->src->i.parent = r->ndir->i.ino;
		r->dst->i.parent = r->odir->i.ino;
		return 0;
	}
	if (is_dir(r->src))
		return move_parent(r->src, r->odir, r->ndir);
	return move_parent(r->dst, r->ndir, r->odir);
}

/* The old name: gone, or a whiteout's. */
static int leave(struct txn *t, struct renaming *r)
{
	const struct op_req *rq = r->rq;
	struct tnode *w;

	entry_del(t, rq->node, r->ocookie, r->src->i.ino);
	if (!(rq->flags & ORCHFS_REQ_FLAG_WHITEOUT))
		return 0;
	w = whiteout_new(t, rq, &r->odir->i);
	if (!w)
		return -ENOMEM;
	entry_put(t, rq->node, r->ocookie, &rq->name, &w->i);
	return 0;
}

static int do_move(struct txn *t, struct renaming *r)
{
	const struct op_req *rq = r->rq;
	struct key k;
	int rc;

	rc = leave(t, r);
	if (rc)
		return rc;
	if (r->dst) {
		txn_del(t, key_num3(&k, 'R', r->dst->i.ino, rq->node2,
				    r->ncookie));
		rc = inode_drop_name(t, r->dst, r->ndir, rq);
		if (rc)
			return rc;
	}
	entry_put(t, rq->node2, r->ncookie, &rq->name2, &r->src->i);
	return move_parent(r->src, r->odir, r->ndir);
}

static int do_rename(struct txn *t, struct renaming *r)
{
	int rc;

	rc = find_both(t, r);
	if (!rc)
		rc = check(t->ns, r);
	if (rc)
		return rc;
	/* Two names of one inode, or one name twice: nothing to do. */
	if (r->src == r->dst)
		return inode_reply(t->ns, &r->src->i, r->rep);
	rc = r->exchange ? do_exchange(t, r) : do_move(t, r);
	if (rc)
		return rc;
	dir_touch(r->odir, &r->rq->now);
	dir_touch(r->ndir, &r->rq->now);
	touch(t, r->src, r->rq);
	rc = inode_reply(t->ns, &r->src->i, r->rep);
	if (!rc && r->dst)
		rc = inode_reply2(t->ns, &r->dst->i, r->rep);
	if (!rc)
		rc = slot_store(t, r->rq, r->rep);
	return rc ? rc : txn_commit(t, &r->rep->txn);
}

int ns_op_rename(struct ns *ns, const struct op_req *rq, struct op_reply *rep)
{
	struct renaming r = {
		.rq = rq,
		.rep = rep,
		.exchange = rq->flags & ORCHFS_REQ_FLAG_EXCHANGE,
	};
	struct txn t;
	int rc;

	if (r.exchange && rq->flags & (ORCHFS_REQ_FLAG_NOREPLACE |
				       ORCHFS_REQ_FLAG_WHITEOUT))
		return -EINVAL;
	rc = name_check(&rq->name);
	if (!rc)
		rc = name_check(&rq->name2);
	if (!rc && rq->flags & ORCHFS_REQ_FLAG_WHITEOUT)
		rc = S_ISCHR(rq->mode) ? number_ensure(ns, &ns->ino, 1) :
		     -EINVAL;
	if (rc)
		return rc;
	txn_begin(&t, ns);
	rc = do_rename(&t, &r);
	if (rc)
		txn_abort(&t);
	return rc;
}
