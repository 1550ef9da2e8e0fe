// SPDX-License-Identifier: Apache-2.0
/* Extended attributes: user., trusted., security. and the ACLs of system. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ns_impl.h"

#define HAS_XATTR	ORCHFS__STORE__INODE_FLAG__INODE_HAS_XATTR

/* Those that a flag of the inode tells of. */
static const struct {
	const char *name;
	uint32_t flag;
} known[] = {
	{ "security.capability", ORCHFS__STORE__INODE_FLAG__INODE_HAS_CAP },
	{ "system.posix_acl_access",
	  ORCHFS__STORE__INODE_FLAG__INODE_HAS_ACL },
	{ "system.posix_acl_default",
	  ORCHFS__STORE__INODE_FLAG__INODE_HAS_DEFACL },
};

/* HAS_XATTR and what else the name means. */
static uint32_t flags_of(const struct op_name *n)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (n->len == strlen(known[i].name) &&
		    !memcmp(n->s, known[i].name, n->len))
			return HAS_XATTR | known[i].flag;
	return HAS_XATTR;
}

static bool has_prefix(const struct op_name *n, const char *prefix)
{
	const size_t len = strlen(prefix);

	return n->len > len && !memcmp(n->s, prefix, len);
}

static int check_name(const struct op_name *n)
{
	if (!n->len || memchr(n->s, 0, n->len))
		return -EINVAL;
	if (n->len > ORCHFS_NAME_MAX)
		return -ERANGE;
	if (has_prefix(n, "system."))
		return flags_of(n) == HAS_XATTR ? -EOPNOTSUPP : 0;
	if (!has_prefix(n, "user.") && !has_prefix(n, "trusted.") &&
	    !has_prefix(n, "security."))
		return -EOPNOTSUPP;
	return 0;
}

static struct key *xattr_key(struct key *k, uint64_t ino,
			     const struct op_name *n)
{
	return key_bytes(key_num(k, 'X', ino), n->s, n->len);
}

/* The name in a key of the scan. */
static struct op_name name_in(struct store_key k)
{
	struct op_name n = { (const char *)k.p + 9, k.len - 9 };

	return n;
}

int ns_op_getxattr(struct ns *ns, const struct op_req *rq,
		   struct op_reply *rep)
{
	struct store_key v;
	struct key k;
	int rc;

	rc = check_name(&rq->xattr_name);
	if (rc)
		return rc;
	rc = ns_get(ns, xattr_key(&k, rq->node, &rq->xattr_name), &v);
	if (rc == -ENOENT) {
		rc = ns_exists(ns, key_num(&k, 'I', rq->node));
		if (rc >= 0)
			rc = rc ? -ENODATA : -ESTALE;
	}
	if (rc)
		return rc;
	rep->value = arena_dup(rep->arena, v.p, v.len);
	if (!rep->value)
		return -ENOMEM;
	rep->value_len = v.len;
	return 0;
}

/* What an inode has beside one name. */
struct others {
	size_t names, values;
	uint32_t flags;
	bool has_name;		/* the one left out is there */
};

static int look_at_others(struct ns *ns, uint64_t ino,
			  const struct op_name *name, struct others *o)
{
	struct scan s;
	struct key k;
	int rc;

	memset(o, 0, sizeof(*o));
	rc = scan_begin(ns, &s, key_num(&k, 'X', ino));
	if (rc)
		return rc;
	for (; scan_valid(&s); scan_next(&s)) {
		struct op_name n = name_in(scan_key(&s));

		if (n.len == name->len && !memcmp(n.s, name->s, n.len)) {
			o->has_name = true;
			continue;
		}
		o->names += n.len + 1;
		o->values += scan_value(&s).len;
		o->flags |= flags_of(&n);
	}
	return scan_end(&s, 0);
}

static int check_room(const struct op_xattr *x, const struct others *o)
{
	if (x->len > NS_XATTR_MAX)
		return -E2BIG;
	if (o->names + x->name.len + 1 > NS_XATTR_MAX ||
	    o->values + x->len > NS_XATTR_TOTAL)
		return -ENOSPC;
	return 0;
}

static int check_set(const struct op_req *rq, const struct others *o)
{
	if (rq->flags & ORCHFS_REQ_FLAG_XATTR_REMOVE)
		/* an ACL that the mode says all of: the mode is the point */
		return o->has_name || rq->valid ? 0 : -ENODATA;
	if (rq->flags & ORCHFS_REQ_FLAG_XATTR_CREATE && o->has_name)
		return -EEXIST;
	if (rq->flags & ORCHFS_REQ_FLAG_XATTR_REPLACE && !o->has_name)
		return -ENODATA;
	return 0;
}

static int xattr_put(struct txn *t, struct tnode *n, const struct op_xattr *x,
		     const struct others *o)
{
	struct key k;
	int rc = check_room(x, o);

	if (rc)
		return rc;
	txn_put(t, xattr_key(&k, n->i.ino, &x->name), x->value, x->len);
	n->i.flags |= flags_of(&x->name);
	n->dirty = true;
	return 0;
}

/**
 * xattrs_put() - put xattrs on an inode of the transaction.
 * @n: a new one, or one that a setattr changes. No name comes twice.
 */
int xattrs_put(struct txn *t, struct tnode *n, const struct op_xattr *x,
	       size_t nr)
{
	struct others o = { 0 };
	int rc = 0;

	for (size_t i = 0; i < nr && !rc; i++) {
		rc = check_name(&x[i].name);
		if (!rc && !n->is_new)
			rc = look_at_others(t->ns, n->i.ino, &x[i].name, &o);
		if (!rc)
			rc = xattr_put(t, n, &x[i], &o);
		o.names += x[i].name.len + 1;
		o.values += x[i].len;
	}
	return rc;
}

static int do_setxattr(struct txn *t, const struct op_req *rq,
		       struct op_reply *rep)
{
	const struct op_xattr x = { rq->xattr_name, rq->xattr_value,
				    rq->xattr_len };
	struct others o;
	struct tnode *n;
	struct key k;
	int rc;

	rc = txn_inode(t, rq->node, &n);
	if (rc)
		return rc == -ENOENT ? -ESTALE : rc;
	rc = look_at_others(t->ns, rq->node, &x.name, &o);
	if (!rc)
		rc = check_set(rq, &o);
	if (rc)
		return rc;
	n->i.flags = (n->i.flags & ~(uint32_t)NS_HAS_ALL) | o.flags;
	if (!(rq->flags & ORCHFS_REQ_FLAG_XATTR_REMOVE))
		rc = xattr_put(t, n, &x, &o);
	else if (o.has_name)
		txn_del(t, xattr_key(&k, rq->node, &x.name));
	if (rc)
		return rc;
	if (rq->valid & ORCHFS_SET_MODE)
		n->i.mode = (n->i.mode & S_IFMT) | (rq->attr.mode & 07777);
	time_forward(&n->i.ctime, &rq->now);
	n->i.change = t->seq;
	n->dirty = true;
	rc = inode_reply(t->ns, &n->i, rep);
	if (!rc)
		rc = slot_store(t, rq, rep);
	return rc ? rc : txn_commit(t, &rep->txn);
}

int ns_op_setxattr(struct ns *ns, const struct op_req *rq,
		   struct op_reply *rep)
{
	struct txn t;
	int rc;

	rc = check_name(&rq->xattr_name);
	if (rc)
		return rc;
	if (rq->now.nsec >= 1000000000U || rq->valid & ~ORCHFS_SET_MODE)
		return -EINVAL;
	txn_begin(&t, ns);
	if (rq->flags & ORCHFS_REQ_FLAG_XATTR_REMOVE)
		txn_urgent(&t);
	rc = do_setxattr(&t, rq, rep);
	if (rc)
		txn_abort(&t);
	return rc;
}

static int append(struct op_reply *rep, size_t *size, const struct op_name *n)
{
	char *p = rep->value;

	if (rep->value_len + n->len + 1 > *size) {
		*size = *size * 2 + n->len + 1;
		p = arena_grow(rep->arena, p, rep->value_len, *size);
		if (!p)
			return -ENOMEM;
		rep->value = p;
	}
	memcpy(p + rep->value_len, n->s, n->len);
	rep->value_len += n->len;
	p[rep->value_len++] = 0;
	return 0;
}

int ns_op_listxattr(struct ns *ns, const struct op_req *rq,
		    struct op_reply *rep)
{
	size_t size = 256;
	struct inode i;
	struct scan s;
	struct key k;
	int rc;

	rc = inode_load(ns, rq->node, &i);
	if (rc)
		return rc == -ENOENT ? -ESTALE : rc;
	rep->value = arena_alloc(rep->arena, size);
	if (!rep->value)
		return -ENOMEM;
	if (!(i.flags & HAS_XATTR))
		return 0;
	rc = scan_begin(ns, &s, key_num(&k, 'X', rq->node));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		struct op_name n = name_in(scan_key(&s));

		rc = append(rep, &size, &n);
	}
	return scan_end(&s, rc);
}
