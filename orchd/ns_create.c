// SPDX-License-Identifier: Apache-2.0
/*
 * Create: files, directories, symlinks, nodes, and files without a name. One
 * transaction: inode, version and instance, entry and reverse (or orphan),
 * parent, slot.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ns_impl.h"
#include "siphash.h"

#define TAKE_TRIES	8

struct creation {
	const struct op_req *rq;
	struct op_reply *rep;
	struct tnode *dir, *node;
	uint64_t cookie;
	struct ns_backing file;		/* of a regular one */
	struct ns_backing_stat stat;
	uint32_t home;			/* of its volume; 0: here */
	bool has_file;
};

static bool wants(const struct op_req *rq, uint32_t flag)
{
	return rq->flags & flag;
}

static int check_target(const struct op_name *target)
{
	if (!target->len)
		return -EINVAL;
	if (target->len > ORCHFS_TARGET_MAX)
		return -ENAMETOOLONG;
	return memchr(target->s, 0, target->len) ? -EINVAL : 0;
}

static int check_request(const struct op_req *rq)
{
	if (rq->now.nsec >= 1000000000U ||
	    rq->mode & ~(uint32_t)(S_IFMT | 07777))
		return -EINVAL;
	switch (rq->mode & S_IFMT) {
	case S_IFREG:
		break;
	case S_IFLNK:
		if (check_target(&rq->target))
			return check_target(&rq->target);
		/* fallthrough */
	case S_IFDIR:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		if (wants(rq, ORCHFS_REQ_FLAG_TMPFILE))
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	if (wants(rq, ORCHFS_REQ_FLAG_TMPFILE))
		return 0;
	return name_check(&rq->name);
}

/* The name is there. A plain open with O_CREAT goes on with it. */
static int open_existing(struct ns *ns, struct creation *c, uint64_t ino)
{
	struct inode i;
	int rc;

	if (wants(c->rq, ORCHFS_REQ_FLAG_EXCL) || !S_ISREG(c->rq->mode))
		return -EEXIST;
	rc = inode_load(ns, ino, &i);
	if (rc)
		return rc == -ENOENT ? -EUCLEAN : rc;
	rc = inode_reply(ns, &i, c->rep);
	if (!rc && wants(c->rq, ORCHFS_REQ_FLAG_LAYOUT))
		rc = layout_grant_early(ns, &i,
					wants(c->rq, ORCHFS_REQ_FLAG_WRITE),
					c->rep);
	c->rep->flags |= ORCHFS_REQ_FLAG_EXISTING;
	return rc;
}

static bool wants_write(const struct op_req *rq)
{
	return wants(rq, ORCHFS_REQ_FLAG_LAYOUT) &&
	       wants(rq, ORCHFS_REQ_FLAG_WRITE);
}

/* Whose the file will be; pool files are nobody's, that is, root's. */
static struct ns_owner owner_of(const struct creation *c)
{
	const struct inode *dir = &c->dir->i;
	struct ns_owner o = { .uid = c->rq->uid, .gid = c->rq->gid };

	if (dir->flags & ORCHFS_ATTR_PROJINHERIT)
		o.projid = dir->projid;
	o.project = o.projid;
	return o;
}

static bool owned(const struct ns_owner *o)
{
	return o->uid || o->gid || o->projid;
}

static void put_back(struct ns *ns, struct creation *c)
{
	struct ns_owner o = owner_of(c);

	if (owned(&o) && !c->home) {
		/* the next start tries it again */
		o.uid = o.gid = o.projid = 0;
		ns->ops->own(ns->ctx, c->file.volume, c->file.ino, 1,
			     c->file.instance, &o);
	}
	ns->ops->put_back(ns->ctx, &c->file);
}

static int prepare_file(struct ns *ns, struct creation *c)
{
	const struct ns_owner o = owner_of(c);
	const struct instance n = {
		.version = 1,
		.volume = c->file.volume,
		.instance = c->file.instance,
	};
	int rc = 0;

	c->home = volume_home(ns, n.volume);
	if (owned(&o) && !c->home)
		rc = ns->ops->own(ns->ctx, n.volume, c->file.ino, 1,
				  n.instance, &o);
	if (rc || !wants_write(c->rq))
		return rc;
	if (!c->file.timed)
		return backing_stat(ns, c->file.ino, &n, &c->stat);
	c->stat.mtime = c->file.mtime;
	c->stat.ctime = c->file.ctime;
	return 0;
}

/*
 * On a far volume, now that the record is there. A home whose kernel asked for
 * the file opens it, and gives it its owner then.
 */
static void own_far(struct ns *ns, const struct creation *c)
{
	const struct ns_owner o = owner_of(c);

	if (owned(&o) && c->home &&
	    !(c->home == ns->origin && c->rep->has_layout))
		ns->ops->own(ns->ctx, c->file.volume, c->file.ino, 1,
			     c->file.instance, &o);
}

/*
 * A pool file. One that has gone missing is passed over; when its volume
 * fails, the next one comes from another.
 */
static int take_file(struct ns *ns, struct creation *c)
{
	int rc = -EIO;

	for (int i = 0; i < TAKE_TRIES; i++) {
		rc = ns->ops->take(ns->ctx, ns->origin, &c->file);
		if (rc)
			return rc;
		rc = prepare_file(ns, c);
		if (!rc)
			break;
		if (rc != -ENOENT)
			put_back(ns, c);
		if (rc == -EDQUOT)
			break;
	}
	if (rc)
		return rc == -EDQUOT || rc == -ENOSPC || rc == -EOPNOTSUPP ?
		       rc : -EIO;
	c->has_file = true;
	return 0;
}

/**
 * inode_generation() - of an inode that begins with this number. A restored or
 * rebuilt store may give a number out again, in another epoch.
 */
uint32_t inode_generation(const struct ns *ns, uint64_t ino)
{
	const uint64_t in[] = { ino, ns->epoch };
	uint32_t g = (uint32_t)siphash24(ns->hash_key, in, sizeof(in));

	return g ? g : 1;
}

/* What a new inode has of its directory beside the group. */
static void inherit(const struct inode *dir, struct inode *i)
{
	uint32_t flags = 0;

	if (S_ISDIR(i->mode) || S_ISREG(i->mode))
		flags = ORCHFS_ATTR_NODUMP | ORCHFS_ATTR_NOATIME |
			ORCHFS_ATTR_SYNC;
	if (S_ISDIR(i->mode))
		flags |= ORCHFS_ATTR_PROJINHERIT;
	i->flags = dir->flags & flags;
	if (dir->flags & ORCHFS_ATTR_PROJINHERIT)
		i->projid = dir->projid;
}

static void fill_inode(const struct ns *ns, const struct op_req *rq,
		       struct inode *i)
{
	i->generation = inode_generation(ns, i->ino);
	i->mode = rq->mode;
	i->uid = rq->uid;
	i->gid = rq->gid;
	i->nlink = 1;
	i->atime = i->mtime = i->ctime = i->btime = rq->now;
	if (S_ISDIR(rq->mode)) {
		i->nlink = 2;
		i->size = NS_DIR_SIZE;
		i->blocks = NS_DIR_BLOCKS;
		i->parent = rq->node;
	} else if (S_ISLNK(rq->mode)) {
		i->target = (const uint8_t *)rq->target.s;
		i->target_len = rq->target.len;
		i->size = rq->target.len;
	} else if (S_ISCHR(rq->mode) || S_ISBLK(rq->mode)) {
		i->rdev_major = rq->rdev_major;
		i->rdev_minor = rq->rdev_minor;
	}
}

bool project_fits(const struct inode *dir, const struct inode *i)
{
	return !(dir->flags & ORCHFS_ATTR_PROJINHERIT) ||
	       dir->projid == i->projid;
}

/**
 * whiteout_new() - the inode of a whiteout.
 * @rq: the rename, with mode, uid and gid. The caller has made sure that
 * there is an inode number. NULL without memory.
 */
struct tnode *whiteout_new(struct txn *t, const struct op_req *rq,
			   const struct inode *dir)
{
	struct tnode *n = txn_new_inode(t, number_take(&t->ns->ino));

	if (!n)
		return NULL;
	fill_inode(t->ns, rq, &n->i);
	inherit(dir, &n->i);
	n->i.change = t->seq;
	return n;
}

/* Version 1, a head, with its only instance; and the layout, if asked. */
static int put_content(struct txn *t, struct creation *c)
{
	Orchfs__Store__Version v = ORCHFS__STORE__VERSION__INIT;
	struct inode *i = &c->node->i;
	struct instance n = {
		.version = 1,
		.instance = c->file.instance,
		.volume = c->file.volume,
		.state = ORCHFS__STORE__INSTANCE_STATE__INSTANCE_VALID,
		.dirty = wants_write(c->rq),
		.base_mtime = c->stat.mtime,
		.base_ctime = c->stat.ctime,
	};
	const struct ns_volume *vol = volume_find(t->ns, n.volume);
	struct live *l;
	struct key k;

	i->version = 1;
	c->node->tier = vol ? (uint8_t)vol->tier : 0;
	c->node->have_tier = true;
	v.change = t->seq;
	v.state = ORCHFS__STORE__VERSION_STATE__VERSION_HEAD;
	txn_put_msg(t, key_num2(&k, 'V', i->ino, 1), &v.base);
	txn_put_instance(t, i->ino, &n);
	if (n.dirty && txn_set_dirty(t, i->ino, true))
		return -ENOMEM;
	if (!wants(c->rq, ORCHFS_REQ_FLAG_LAYOUT))
		return 0;
	l = live_get(t->ns, i->ino);
	if (!l || !hold_get(t->ns, l, t->ns->origin))
		return -ENOMEM;
	i->layout_generation = live_generation(t->ns, 0);
	c->rep->has_layout = true;
	c->rep->layout = (struct op_layout){
		.generation = i->layout_generation,
		.version = 1,
		.instance = n.instance,
		.volume = n.volume,
		.writable = n.dirty,
	};
	return 0;
}

/* The granted layout is outside once the transaction is. */
static void note_grant(struct ns *ns, const struct creation *c)
{
	struct live *l = live_find(ns, c->file.ino);
	struct hold *h = l ? hold_find(l, ns->origin) : NULL;

	if (!c->rep->has_layout || !h)
		return;
	h->out = true;
	h->written = c->rep->layout.writable;
	l->shared |= h->written && ns->origin != c->home;
	h->generation = c->rep->layout.generation;
}

static int link_in(struct txn *t, struct creation *c)
{
	struct inode *i = &c->node->i;

	if (wants(c->rq, ORCHFS_REQ_FLAG_TMPFILE)) {
		i->nlink = 0;
		orphan_put(t, i->ino, c->rq->session);
		return txn_nameless(t, i->ino, false);
	}
	entry_put(t, c->dir->i.ino, c->cookie, &c->rq->name, i);
	if (S_ISDIR(i->mode)) {
		if (c->dir->i.nlink == UINT32_MAX)
			return -EMLINK;
		c->dir->i.nlink++;
	}
	dir_touch(c->dir, &c->rq->now);
	return 0;
}

static int make(struct txn *t, struct creation *c)
{
	struct ns *ns = t->ns;
	uint64_t ino;
	int rc;

	ino = c->has_file ? c->file.ino : number_take(&ns->ino);
	c->node = txn_new_inode(t, ino);
	if (!c->node)
		return -ENOMEM;
	fill_inode(ns, c->rq, &c->node->i);
	inherit(&c->dir->i, &c->node->i);
	rc = link_in(t, c);
	if (!rc)
		rc = xattrs_put(t, c->node, c->rq->xattrs, c->rq->nr_xattrs);
	if (!rc && c->has_file)
		rc = put_content(t, c);
	if (rc)
		return rc;
	c->node->i.change = t->seq;
	rc = inode_reply(ns, &c->node->i, c->rep);
	if (!rc)
		rc = slot_store(t, c->rq, c->rep);
	if (rc)
		return rc;
	return txn_commit(t, &c->rep->txn);
}

int ns_op_create(struct ns *ns, const struct op_req *rq, struct op_reply *rep)
{
	struct creation c = { .rq = rq, .rep = rep };
	struct entry e;
	struct txn t;
	int rc;

	rc = check_request(rq);
	if (!rc && !S_ISREG(rq->mode))
		rc = number_ensure(ns, &ns->ino, 1);
	if (rc)
		return rc;
	txn_begin(&t, ns);
	rc = dir_get(&t, rq->node, &c.dir);
	if (rc)
		return rc;
	if (!wants(rq, ORCHFS_REQ_FLAG_TMPFILE)) {
		rc = entry_find_or_free(ns, rq->node, &rq->name, &e,
					&c.cookie);
		if (!rc)
			return open_existing(ns, &c, e.ino);
		if (rc != -ENOENT)
			return rc;
	}
	if (S_ISREG(rq->mode)) {
		rc = take_file(ns, &c);
		if (rc)
			return rc;
	}
	rc = make(&t, &c);
	if (rc) {
		txn_abort(&t);
		if (c.has_file) {
			live_drop_idle(ns, c.file.ino);
			put_back(ns, &c);
		}
		return rc;
	}
	note_grant(ns, &c);
	if (c.has_file) {
		own_far(ns, &c);
		live_drop_idle(ns, c.file.ino);
	}
	return 0;
}
