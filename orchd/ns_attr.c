// SPDX-License-Identifier: Apache-2.0
/*
 * Setattr. An explicit mtime of a file that is open for writing holds until
 * its backing file is written again: the instance's base time becomes what
 * the backing file has now.
 */
#include <errno.h>
#include <sys/stat.h>

#include "ns_impl.h"
#include "ns_move.h"

#define SETTABLE	(ORCHFS_SET_MODE | ORCHFS_SET_UID | ORCHFS_SET_GID | \
			 ORCHFS_SET_ATIME | ORCHFS_SET_MTIME | \
			 ORCHFS_SET_CTIME | ORCHFS_SET_FLAGS | \
			 ORCHFS_SET_PROJID)
#define NSEC_MAX	1000000000U

static int check_request(const struct op_req *rq)
{
	if (rq->valid & ~SETTABLE || rq->now.nsec >= NSEC_MAX)
		return -EINVAL;
	if (rq->valid & ORCHFS_SET_ATIME && rq->attr.atime_nsec >= NSEC_MAX)
		return -EINVAL;
	if (rq->valid & ORCHFS_SET_MTIME && rq->attr.mtime_nsec >= NSEC_MAX)
		return -EINVAL;
	return 0;
}

static void apply(struct inode *i, const struct op_req *rq)
{
	const struct orchfs_attr *a = &rq->attr;

	if (rq->valid & ORCHFS_SET_MODE)
		i->mode = (i->mode & S_IFMT) | (a->mode & 07777);
	if (rq->valid & ORCHFS_SET_UID)
		i->uid = a->uid;
	if (rq->valid & ORCHFS_SET_GID)
		i->gid = a->gid;
	if (rq->valid & ORCHFS_SET_ATIME) {
		i->atime.sec = a->atime;
		i->atime.nsec = a->atime_nsec;
	}
	if (rq->valid & ORCHFS_SET_MTIME) {
		i->mtime.sec = a->mtime;
		i->mtime.nsec = a->mtime_nsec;
	}
	if (rq->valid & ORCHFS_SET_FLAGS)
		i->flags = (i->flags & ~(uint32_t)ORCHFS_ATTR_SETTABLE) |
			   (a->flags & ORCHFS_ATTR_SETTABLE);
	if (rq->valid & ORCHFS_SET_PROJID)
		i->projid = a->projid;
	time_forward(&i->ctime, &rq->now);
}

#define SET_OWNER	(ORCHFS_SET_UID | ORCHFS_SET_GID | ORCHFS_SET_PROJID)

static struct ns_owner owner_of(const struct inode *i, bool project)
{
	return (struct ns_owner) {
		.uid = i->uid, .gid = i->gid, .projid = i->projid,
		.project = project,
	};
}

/*
 * Backing files belong to whom their space is accounted to. That of a copy
 * which is being filled is looked at by ns_move_valid().
 * @far: those on far volumes, else the others
 */
static int own_instances(struct ns *ns, uint64_t ino, const struct ns_owner *o,
			 bool far, bool back)
{
	struct instance n;
	struct scan s;
	struct key k;
	int rc;

	if (far && !volumes_far(ns))
		return 0;
	rc = scan_begin(ns, &s, key_num(&k, 'N', ino));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		rc = record_unpack_instance(ns->scratch, scan_key(&s),
					    scan_value(&s), &n);
		if (!rc && n.state != INSTANCE(FILLING) &&
		    far == (volume_home(ns, n.volume) != 0))
			rc = ns->ops->own(ns->ctx, n.volume, ino, n.version,
					  n.instance, o);
		/* a damaged file can still be given away */
		if (rc == -ENOENT || rc == -EIO || back)
			rc = 0;
	}
	return scan_end(&s, rc);
}

/*
 * The reply, and the base times with it where the instance is dirty. Where its
 * home is away what is written before it comes back, but after now, counts.
 */
static int reply_dirty(struct txn *t, const struct op_req *rq,
		       struct tnode *n, struct op_reply *rep)
{
	struct ns_backing_stat s;
	struct inode now = n->i;
	struct instance in;
	int rc;

	rc = instance_load(t->ns, &n->i, &in);
	if (rc && rc != -EIO)
		return rc;
	if (!rc && in.dirty)
		rc = backing_stat(t->ns, n->i.ino, &in, &s);
	if (rc == -NS_PARKED)
		return rc;
	if (rc == -NS_AWAY && rq->valid & ORCHFS_SET_MTIME) {
		in.has_mtime_after = true;
		in.mtime_after = n->i.ctime;
		txn_put_instance(t, n->i.ino, &in);
	}
	if (!rc && in.dirty) {
		if (rq->valid & ORCHFS_SET_MTIME) {
			in.base_mtime = s.mtime;
			in.has_mtime_after = false;
		}
		if (rq->valid & SET_OWNER)
			in.base_ctime = s.ctime;
		txn_put_instance(t, n->i.ino, &in);
		inode_from_backing(&now, &in, &s);
	}
	inode_attr(t->ns, &now, &rep->attr);
	rep->has_attr = true;
	return 0;
}

static int setattr_commit(struct txn *t, const struct op_req *rq,
			  struct tnode *n, struct op_reply *rep)
{
	int rc;

	if (rq->valid & (ORCHFS_SET_MTIME | SET_OWNER) &&
	    live_dirty(t->ns, n->i.ino))
		rc = reply_dirty(t, rq, n, rep);
	else
		rc = inode_reply(t->ns, &n->i, rep);
	if (!rc)
		rc = slot_store(t, rq, rep);
	return rc ? rc : txn_commit(t, &rep->txn);
}

/* All of it or nothing: the files, and the record. */
static int setattr_owner(struct txn *t, const struct op_req *rq,
			 struct tnode *n, struct op_reply *rep)
{
	const bool project = rq->valid & ORCHFS_SET_PROJID;
	const struct ns_owner before = owner_of(&n->old, project);
	const struct ns_owner after = owner_of(&n->i, project);
	int rc;

	rc = own_instances(t->ns, rq->node, &after, false, false);
	if (!rc)
		rc = setattr_commit(t, rq, n, rep);
	if (rc)
		own_instances(t->ns, rq->node, &before, false, true);
	else
		own_instances(t->ns, rq->node, &after, true, true);
	return rc;
}

static int do_setattr(struct txn *t, const struct op_req *rq,
		      struct op_reply *rep)
{
	struct tnode *n;
	int rc;

	rc = txn_inode(t, rq->node, &n);
	if (rc)
		return rc == -ENOENT ? -ESTALE : rc;
	if (!rq->valid)
		return inode_reply(t->ns, &n->i, rep);
	apply(&n->i, rq);
	rc = xattrs_put(t, n, rq->xattrs, rq->nr_xattrs);
	if (rc)
		return rc;
	n->i.change = t->seq;
	n->dirty = true;
	if (S_ISREG(n->i.mode) && rq->valid & SET_OWNER)
		return setattr_owner(t, rq, n, rep);
	return setattr_commit(t, rq, n, rep);
}

int ns_op_setattr(struct ns *ns, const struct op_req *rq, struct op_reply *rep)
{
	struct txn t;
	int rc;

	rc = check_request(rq);
	if (rc)
		return rc;
	txn_begin(&t, ns);
	txn_urgent(&t);
	rc = do_setattr(&t, rq, rep);
	if (rc)
		txn_abort(&t);
	return rc;
}
