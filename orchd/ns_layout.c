// SPDX-License-Identifier: Apache-2.0
/*
 * Granting layouts. A grant for reading writes nothing. The first one for
 * writing marks the instance dirty, with the times that its backing file has
 * then: from now on the backing file may be ahead of the record.
 */
#include <errno.h>
#include <sys/stat.h>

#include "ns_impl.h"
#include "ns_move.h"

/* The inode's own record, and so its change, stays as it is. */
static int mark_dirty(struct ns *ns, const struct inode *i, struct instance *n)
{
	struct ns_backing_stat s;
	struct txn t;
	int rc;

	rc = backing_stat(ns, i->ino, n, &s);
	if (rc)
		return rc == -NS_PARKED ? rc : -EIO;
	txn_begin(&t, ns);
	/* Truncating a file is a way out of a full drive. */
	txn_urgent(&t);
	n->dirty = true;
	n->state = INSTANCE(VALID);
	n->base_mtime = s.mtime;
	n->base_ctime = s.ctime;
	n->has_mtime_after = false;
	txn_put_instance(&t, i->ino, n);
	rc = move_written(&t, i, n);
	if (!rc)
		rc = txn_set_dirty(&t, i->ino, true);
	if (rc) {
		txn_abort(&t);
		return rc;
	}
	return txn_commit(&t, &n->change);
}

/**
 * layout_grant() - put a new layout for an inode into a reply.
 * Nothing for other types than regular files. For writing rep->txn becomes
 * that of the instance's record, so that an fsync comes after it.
 * Return: 0; -EIO when no copy is usable; -NS_PARKED; other -errno.
 */
int layout_grant(struct ns *ns, const struct inode *i, bool write,
		 struct op_reply *rep)
{
	struct live *l = live_find(ns, i->ino);
	struct instance n;
	struct hold *h;
	int rc;

	if (!S_ISREG(i->mode))
		return 0;
	if (l && l->parked)
		return -NS_PARKED;
	rc = instance_load(ns, i, &n);
	if (!rc && write && !n.dirty)
		rc = mark_dirty(ns, i, &n);
	if (rc)
		return rc;
	l = live_get(ns, i->ino);
	h = l ? hold_get(ns, l, ns->origin) : NULL;
	if (!h)
		return -ENOMEM;
	rep->layout = (struct op_layout){
		.version = n.version,
		.instance = n.instance,
		.volume = n.volume,
		.writable = write,
		.held = h->out ? h->generation : 0,
		.held_instance = l->instance,
		.written = h->out && h->written,
	};
	h->written = write || rep->layout.written;
	h->out = true;
	l->instance = n.instance;
	l->written |= write;
	l->shared |= write && ns->origin != volume_home(ns, n.volume);
	h->generation = live_generation(ns, i->layout_generation);
	rep->layout.generation = h->generation;
	if (write && rep->txn < n.change)
		rep->txn = n.change;
	rep->has_layout = true;
	return 0;
}

void ns_layout_unsent(struct ns *ns, uint32_t origin, uint64_t ino,
		      const struct op_layout *lay)
{
	struct ns_note back = {
		.kind = ORCHFS_KIND_NOTE_RETURN, .node = ino,
		.generation = lay->generation,
	};
	struct live *l = live_find(ns, ino);
	struct hold *h = l ? hold_find(l, origin) : NULL;

	/* a newer one went out since */
	if (!h || h->generation != lay->generation)
		return;
	h->written = lay->written;
	l->written = live_written(l);
	if (lay->held) {
		h->generation = lay->held;
		l->instance = lay->held_instance;
	} else {
		ns_note(ns, origin, &back, 1);
	}
}

/*
 * With a look-up, before the kernel has judged whether the caller may. A grant
 * for writing counts as a writer, so where that hurts nothing is granted, and
 * the kernel asks for it when it has judged.
 */
int layout_grant_early(struct ns *ns, const struct inode *i, bool write,
		       struct op_reply *rep)
{
	const struct live *l = live_find(ns, i->ino);

	if (write && l && l->moving)
		return 0;
	if (write && i->flags & ORCHFS_ATTR_IMMUTABLE)
		return 0;
	return layout_grant(ns, i, write, rep);
}

int ns_grant(struct ns *ns, uint64_t ino, bool write, struct op_layout *out)
{
	struct op_reply rep = { 0 };
	struct inode i;
	int rc;

	arena_reset(ns->scratch);
	ns->origin = 0;
	rc = inode_load(ns, ino, &i);
	if (rc)
		return rc;
	if (!S_ISREG(i.mode))
		return -EINVAL;
	rc = layout_grant(ns, &i, write, &rep);
	if (!rc)
		*out = rep.layout;
	return rc;
}

int ns_op_open(struct ns *ns, const struct op_req *rq, struct op_reply *rep)
{
	struct inode i;
	int rc;

	rc = inode_load(ns, rq->node, &i);
	if (rc)
		return rc == -ENOENT ? -ESTALE : rc;
	if (!S_ISREG(i.mode))
		return -EINVAL;
	rc = inode_reply(ns, &i, rep);
	if (rc)
		return rc;
	return layout_grant(ns, &i, rq->flags & ORCHFS_REQ_FLAG_WRITE, rep);
}
