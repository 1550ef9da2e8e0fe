// SPDX-License-Identifier: Apache-2.0
/* Link: one more name of an inode, the first one of a tmpfile. */
#include <errno.h>
#include <sys/stat.h>

#include "ns_impl.h"

static int get_source(struct txn *t, uint64_t ino, struct tnode **out)
{
	int rc = txn_inode(t, ino, out);

	if (rc)
		return rc == -ENOENT ? -ESTALE : rc;
	if (S_ISDIR((*out)->i.mode))
		return -EPERM;
	return (*out)->i.nlink >= NS_LINK_MAX ? -EMLINK : 0;
}

static int do_link(struct txn *t, const struct op_req *rq,
		   struct op_reply *rep)
{
	struct tnode *dir, *n;
	uint64_t cookie = 0;
	struct entry e;
	int rc;

	rc = get_source(t, rq->node, &n);
	if (!rc)
		rc = dir_get(t, rq->node2, &dir);
	if (rc)
		return rc;
	if (!project_fits(&dir->i, &n->i))
		return -EXDEV;
	rc = entry_find_or_free(t->ns, rq->node2, &rq->name2, &e, &cookie);
	if (rc != -ENOENT)
		return rc ? rc : -EEXIST;
	if (!n->i.nlink)
		orphan_del(t, n->i.ino);
	n->i.nlink++;
	time_forward(&n->i.ctime, &rq->now);
	n->i.change = t->seq;
	n->dirty = true;
	entry_put(t, rq->node2, cookie, &rq->name2, &n->i);
	dir_touch(dir, &rq->now);
	rc = inode_reply(t->ns, &n->i, rep);
	if (!rc)
		rc = slot_store(t, rq, rep);
	return rc ? rc : txn_commit(t, &rep->txn);
}

int ns_op_link(struct ns *ns, const struct op_req *rq, struct op_reply *rep)
{
	struct txn t;
	int rc;

	rc = name_check(&rq->name2);
	if (rc)
		return rc;
	txn_begin(&t, ns);
	rc = do_link(&t, rq, rep);
	if (rc)
		txn_abort(&t);
	return rc;
}
