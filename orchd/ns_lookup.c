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

int ns_op_lookup(struct ns *ns, const struct op_req *rq, struct op_reply *rep)
{
	struct entry e;
	struct inode i;
	int rc;

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
	rc = layout_grant(ns, &i, rq->flags & ORCHFS_REQ_FLAG_WRITE, rep);
	return rc == -EIO ? 0 : rc;
}
