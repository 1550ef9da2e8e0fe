// SPDX-License-Identifier: Apache-2.0
/* What a request must have, whether a kernel sends it or another node. */
#include <errno.h>
#include <string.h>

#include "op.h"

bool op_attr_ok(const struct orchfs_attr *a)
{
	return !a->reserved && a->atime_nsec <= 999999999 &&
	       a->mtime_nsec <= 999999999 && a->ctime_nsec <= 999999999 &&
	       a->btime_nsec <= 999999999;
}

bool op_time_ok(const struct orchfs_time *t)
{
	return !t->reserved && t->nsec <= 999999999;
}

bool op_name_ok(const struct op_name *n)
{
	if (!n->len || n->len > ORCHFS_NAME_MAX)
		return false;
	if (memchr(n->s, '/', n->len) || memchr(n->s, 0, n->len))
		return false;
	return !(n->s[0] == '.' &&
		 (n->len == 1 || (n->len == 2 && n->s[1] == '.')));
}

/* Where an inode is, is looked up under that name. */
static bool is_dotdot(const struct op_req *op)
{
	return op->kind == ORCHFS_KIND_LOOKUP && op->name.len == 2 &&
	       op->name.s[0] == '.' && op->name.s[1] == '.';
}

enum {
	NEED_NODE = 1, NEED_NAME = 2, NEED_NODE2 = 4, NEED_NAME2 = 8,
	NEED_NOW = 16, NEED_ATTR = 32, NEED_XNAME = 64, NEED_SESSION = 128,
};

static const uint8_t needs[] = {
	[ORCHFS_KIND_MOUNT] = NEED_SESSION,
	[ORCHFS_KIND_LOOKUP] = NEED_NODE | NEED_NAME,
	[ORCHFS_KIND_GETATTR] = NEED_NODE,
	[ORCHFS_KIND_OPEN] = NEED_NODE,
	[ORCHFS_KIND_CREATE] = NEED_NODE | NEED_NOW,
	[ORCHFS_KIND_LINK] = NEED_NODE | NEED_NODE2 | NEED_NAME2 | NEED_NOW,
	[ORCHFS_KIND_UNLINK] = NEED_NODE | NEED_NAME | NEED_NOW,
	[ORCHFS_KIND_RENAME] = NEED_NODE | NEED_NAME | NEED_NODE2 |
			       NEED_NAME2 | NEED_NOW,
	[ORCHFS_KIND_SETATTR] = NEED_NODE | NEED_ATTR | NEED_NOW,
	[ORCHFS_KIND_READDIR] = NEED_NODE,
	[ORCHFS_KIND_GETXATTR] = NEED_NODE | NEED_XNAME,
	[ORCHFS_KIND_SETXATTR] = NEED_NODE | NEED_XNAME | NEED_NOW,
	[ORCHFS_KIND_LISTXATTR] = NEED_NODE,
	[ORCHFS_KIND_BARRIER] = 0,
	[ORCHFS_KIND_STATFS] = 0,
	[ORCHFS_KIND_LOCK] = NEED_NODE,
};

static bool is_notice(uint32_t kind)
{
	return kind >= ORCHFS_KIND_NOTE_FORGET &&
	       kind <= ORCHFS_KIND_NOTE_UMOUNT;
}

int op_check(const struct op_req *op, bool has_attr, bool has_now)
{
	uint32_t n;

	if (!op->kind || op->kind >= sizeof(needs) || is_notice(op->kind))
		return -EPROTO;
	n = needs[op->kind];
	if (op->kind == ORCHFS_KIND_CREATE &&
	    !(op->flags & ORCHFS_REQ_FLAG_TMPFILE))
		n |= NEED_NAME;
	if ((n & NEED_NODE && !op->node) || (n & NEED_NODE2 && !op->node2) ||
	    (n & NEED_NAME && !op->name.len) ||
	    (n & NEED_NAME2 && !op->name2.len) ||
	    (n & NEED_XNAME && !op->xattr_name.len) ||
	    (n & NEED_NOW && !has_now) || (n & NEED_ATTR && !has_attr) ||
	    (n & NEED_SESSION && !op->session))
		return -EPROTO;
	if ((op->name.len && !op_name_ok(&op->name) && !is_dotdot(op)) ||
	    (op->name2.len && !op_name_ok(&op->name2)))
		return -EINVAL;
	if (op->xattr_name.len &&
	    memchr(op->xattr_name.s, 0, op->xattr_name.len))
		return -EINVAL;
	return 0;
}
