/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation on a namespace, as the channel delivers it and as the
 * metadata engine answers it. nl.c translates netlink messages to these;
 * ns_*.c know nothing of netlink; Documentation/protocol-channel.md tells
 * which members each kind uses.
 */
#ifndef ORCHD_OP_H
#define ORCHD_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/orchfs.h>
#include <linux/orchfs_nl.h>

struct op_name {
	const char *s;		/* not NUL-terminated */
	size_t len;
};

struct op_xattr {
	struct op_name name;
	const void *value;
	size_t len;
};

#define OP_XATTRS_MAX	4
#define OP_XATTR_MAX	65536		/* one value */

struct op_req {
	uint32_t origin;	/* node; 0: this machine's own kernel */
	uint64_t id;
	uint32_t kind;		/* enum orchfs_kind */
	uint32_t flags;		/* ORCHFS_REQ_FLAG_* */
	uint64_t session;
	uint32_t slot;
	uint64_t sequence;	/* 0: not a slotted request */
	uint64_t node;
	struct op_name name;
	uint64_t node2;
	struct op_name name2;
	uint32_t mode, uid, gid, rdev_major, rdev_minor;
	struct op_name target;
	uint32_t valid;
	struct orchfs_attr attr;
	struct orchfs_time now;
	uint64_t cookie;
	uint32_t max_entries;
	struct op_name xattr_name;
	const void *xattr_value;
	size_t xattr_len;
	/* create: it begins with these; setattr: they change with it */
	struct op_xattr xattrs[OP_XATTRS_MAX];
	size_t nr_xattrs;
	struct orchfs_lock lock;	/* of kind lock */
};

/* One entry of a listing. name and target live in op_reply.arena. */
struct op_entry {
	struct op_name name;
	uint64_t cookie;
	struct orchfs_attr attr;
	struct op_name target;
};

#define OP_TOKEN_LEN	120	/* remote.md, "Tokens" */

/*
 * Where one instance lies. This machine's kernel gets its file's descriptor,
 * another node's the node that is its home and a token for that.
 */
struct op_layout {
	uint64_t generation;
	uint64_t version;
	uint64_t instance;
	uint32_t volume;
	bool writable;
	uint32_t home;		/* node of the volume; 0: this machine */
	bool at_home;		/* it is for that node's kernel: no token */
	uint8_t token[OP_TOKEN_LEN];	/* with another home */
	/* what the kernel holds if this one can't be sent; 0: none */
	uint64_t held, held_instance;
	bool written;		/* before it was granted */
};

struct op_reply {
	int status;		/* 0 or -errno */
	uint32_t flags;		/* ORCHFS_REQ_FLAG_EXISTING, LEASE */
	uint64_t txn;		/* 0: nothing was written */
	bool has_attr, has_attr2, has_layout, has_statfs, eof;
	struct orchfs_attr attr, attr2;
	struct op_name target;
	struct op_name name;	/* of a lookup of ".." */
	struct op_layout layout;
	struct orchfs_statfs statfs;
	bool has_lock;			/* of a test */
	struct orchfs_lock lock;
	struct op_entry *entries;
	size_t nr_entries;
	void *value;		/* xattr value or list */
	size_t value_len;
	/* Owns entries, names, target, value. ns_execute() takes the one that
	 * it finds here or makes one; the caller frees it. */
	struct arena *arena;
};

/* op_check.c: of what comes from outside */
bool op_attr_ok(const struct orchfs_attr *a);
bool op_time_ok(const struct orchfs_time *t);
bool op_name_ok(const struct op_name *n);	/* of an entry */
/**
 * op_check() - has a request what its kind needs, and good names?
 * Return: 0, -EPROTO, -EINVAL.
 */
int op_check(const struct op_req *op, bool has_attr, bool has_now);

#endif
