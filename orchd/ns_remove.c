// SPDX-License-Identifier: Apache-2.0
/* Unlink and rmdir. The last name leaves an orphan behind. */
#include <errno.h>
#include <sys/stat.h>

#include "ns_impl.h"

static int check_victim(struct ns *ns, const struct op_req *rq,
			const struct inode *i)
{
	int rc;

	if (!(rq->flags & ORCHFS_REQ_FLAG_DIR))
		return S_ISDIR(i->mode) ? -EISDIR : 0;
	if (!S_ISDIR(i->mode))
		return -ENOTDIR;
	rc = dir_empty(ns, i->ino);
	if (rc < 0)
		return rc;
	return rc ? 0 : -ENOTEMPTY;
}

static int do_unlink(struct txn *t, const struct op_req *rq,
		     struct op_reply *rep)
{
	struct tnode *dir, *n;
	struct entry e;
	int rc;

	rc = dir_get(t, rq->node, &dir);
	if (!rc)
		rc = entry_find(t->ns, rq->node, &rq->name, &e);
	if (rc)
		return rc;
	if (rq->node2 && rq->node2 != e.ino)
		return -ESTALE;
	rc = txn_inode(t, e.ino, &n);
	if (rc)
		return rc == -ENOENT ? -EUCLEAN : rc;
	rc = check_victim(t->ns, rq, &n->i);
	if (rc)
		return rc;
	entry_del(t, rq->node, e.cookie, e.ino);
	dir_touch(dir, &rq->now);
	rc = inode_drop_name(t, n, dir, rq);
	if (!rc)
		rc = inode_reply2(t->ns, &n->i, rep);
	if (!rc)
		rc = slot_store(t, rq, rep);
	return rc ? rc : txn_commit(t, &rep->txn);
}

int ns_op_unlink(struct ns *ns, const struct op_req *rq, struct op_reply *rep)
{
	struct txn t;
	int rc;

	rc = name_check(&rq->name);
	if (rc)
		return rc;
	txn_begin(&t, ns);
	txn_urgent(&t);
	rc = do_unlink(&t, rq, rep);
	if (rc)
		txn_abort(&t);
	return rc;
}

/**
 * inode_drop_name() - an inode loses a name that is gone from @dir: link
 * counts of both, ctime, orphan record.
 */
int inode_drop_name(struct txn *t, struct tnode *n, struct tnode *dir,
		    const struct op_req *rq)
{
	if (!n->i.nlink)
		return -EUCLEAN;
	if (S_ISDIR(n->i.mode)) {
		if (dir->i.nlink <= 2)
			return -EUCLEAN;
		dir->i.nlink--;
		n->i.nlink = 0;
	} else {
		n->i.nlink--;
	}
	time_forward(&n->i.ctime, &rq->now);
	n->i.change = t->seq;
	n->dirty = true;
	if (n->i.nlink)
		return 0;
	orphan_put(t, n->i.ino, rq->session);
	return txn_nameless(t, n->i.ino, true);
}
