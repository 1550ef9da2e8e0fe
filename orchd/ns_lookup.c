// SPDX-License-Identifier: Apache-2.0
/* Requests that only read: mount, lookup, getattr. */
#include <errno.h>
#include <sys/stat.h>

#include "ns_impl.h"

int ns_op_mount(struct ns *ns, const struct op_req *rq, struct op_reply *rep)
{
	struct inode i;
	int rc;

	(void)rq;
	rc = inode_load(ns, ORCHFS_ROOT_INO, &i);
	if (rc)
		return rc == -ENOENT ? -EUCLEAN : rc;
	return inode_reply(ns, &i, rep);
}

int ns_op_getattr(struct ns *ns, const struct op_req *rq, struct op_reply *rep)
{
	struct inode i;
	int rc;

	rc = inode_load(ns, rq->node, &i);
	if (rc)
		return rc == -ENOENT ? -ESTALE : rc;
	return inode_reply(ns, &i, rep);
}

/* Why is there no such name? A directory that is none has another error. */
static int explain_miss(struct ns *ns, uint64_t dir)
{
	struct inode i;
	int rc;

	rc = inode_load(ns, dir, &i);
	if (rc)
		return rc == -ENOENT ? -ESTALE : rc;
	return S_ISDIR(i.mode) ? -ENOENT : -ENOTDIR;
}

/* The first directory that a scan of reverse entries tells, and the name. */
static int read_parent(struct scan *s, uint64_t *dir, struct op_reply *rep)
{
	const Orchfs__Store__Reverse *m;
	void *p;
	int rc;

	if (!scan_valid(s))
		return -ENOENT;
	*dir = key_num_at(scan_key(s), 1);
	rc = record_unpack(rep->arena, &orchfs__store__reverse__descriptor,
			   scan_value(s), &p);
	if (rc)
		return rc;
	m = p;
	rep->name.s = (const char *)m->name.data;
	rep->name.len = m->name.len;
	return 0;
}

/* Where an inode is: in @node2, or in any directory that has it. */
static int lookup_parent(struct ns *ns, const struct op_req *rq,
			 struct op_reply *rep)
{
	uint64_t dir = 0;
	struct inode i;
	struct scan s;
	struct key k;
	int rc;

	if (rq->node2)
		key_num2(&k, 'R', rq->node, rq->node2);
	else
		key_num(&k, 'R', rq->node);
	rc = scan_begin(ns, &s, &k);
	if (!rc)
		rc = scan_end(&s, read_parent(&s, &dir, rep));
	if (!rc)
		rc = inode_load(ns, dir, &i);
	return rc ? rc : inode_reply(ns, &i, rep);
}

static bool is_dotdot(const struct op_name *n)
{
	return n->len == 2 && n->s[0] == '.' && n->s[1] == '.';
}

int ns_op_lookup(struct ns *ns, const struct op_req *rq, struct op_reply *rep)
{
	struct entry e;
	struct inode i;
	int rc;

	if (is_dotdot(&rq->name))
		return lookup_parent(ns, rq, rep);
	rc = name_check(&rq->name);
	if (rc)
		return rc;
	rc = entry_find(ns, rq->node, &rq->name, &e);
	if (rc)
		return rc == -ENOENT ? explain_miss(ns, rq->node) : rc;
	rc = inode_load(ns, e.ino, &i);
	if (rc)
		return rc == -ENOENT ? -EUCLEAN : rc;
	rc = inode_reply(ns, &i, rep);
	if (rc || !(rq->flags & ORCHFS_REQ_FLAG_LAYOUT))
		return rc;
	/* A damaged file can still be looked at and removed. */
	rc = layout_grant_early(ns, &i, rq->flags & ORCHFS_REQ_FLAG_WRITE, rep);
	return rc == -EIO ? 0 : rc;
}
