// SPDX-License-Identifier: Apache-2.0
#include "op_wire.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "arena.h"

#define FLAGS_REPLY	(ORCHFS_REQ_FLAG_EXISTING | ORCHFS_REQ_FLAG_LEASE)
#define FLAGS_ALL	(2U * ORCHFS_REQ_FLAG_UNSEEN - 1)
#define SLOTS		64
#define DEV_MAX		0xfffff		/* major and minor */
#define ERRNO_MAX	EHWPOISON	/* the last */

/* --- structures in little endian: 64-bit members, then 32-bit ones --- */

static ProtobufCBinaryData put_struct(struct arena *a, const void *p,
				      size_t nr64, size_t nr32)
{
	ProtobufCBinaryData out = { .len = nr64 * 8 + nr32 * 4 };
	uint8_t *to = out.data = arena_alloc(a, out.len);
	const uint8_t *from = p;

	for (; to && nr64; nr64--, from += 8, to += 8) {
		uint64_t v;

		memcpy(&v, from, 8);
		v = htole64(v);
		memcpy(to, &v, 8);
	}
	for (; to && nr32; nr32--, from += 4, to += 4) {
		uint32_t v;

		memcpy(&v, from, 4);
		v = htole32(v);
		memcpy(to, &v, 4);
	}
	return out;
}

static int get_struct(const ProtobufCBinaryData *b, void *p, size_t nr64,
		      size_t nr32)
{
	const uint8_t *from = b->data;
	uint8_t *to = p;

	if (b->len != nr64 * 8 + nr32 * 4)
		return -EPROTO;
	for (; nr64; nr64--, from += 8, to += 8) {
		uint64_t v;

		memcpy(&v, from, 8);
		v = le64toh(v);
		memcpy(to, &v, 8);
	}
	for (; nr32; nr32--, from += 4, to += 4) {
		uint32_t v;

		memcpy(&v, from, 4);
		v = le32toh(v);
		memcpy(to, &v, 4);
	}
	return 0;
}

static ProtobufCBinaryData put_attr(struct arena *a,
				    const struct orchfs_attr *attr)
{
	return put_struct(a, attr, 9, 14);
}

static int get_attr(const ProtobufCBinaryData *b, struct orchfs_attr *attr)
{
	int rc = get_struct(b, attr, 9, 14);

	if (rc)
		return rc;
	return op_attr_ok(attr) && !(attr->flags & ~ORCHFS_ATTR_ALL) &&
	       attr->mode <= 0177777 && attr->rdev_major <= DEV_MAX &&
	       attr->rdev_minor <= DEV_MAX ? 0 : -EPROTO;
}

static ProtobufCBinaryData put_lock(struct arena *a,
				    const struct orchfs_lock *l)
{
	return put_struct(a, l, 4, 4);
}

static int get_lock(const ProtobufCBinaryData *b, struct orchfs_lock *l)
{
	int rc = get_struct(b, l, 4, 4);

	if (rc)
		return rc;
	return l->type <= ORCHFS_LOCK_WRITE && l->start <= l->end &&
	       l->end <= INT64_MAX && !(l->flags & ~ORCHFS_LOCK_ALL) ?
	       0 : -EPROTO;
}

/* Of an inode, not what one is to be given. */
static int get_inode(const ProtobufCBinaryData *b, struct orchfs_attr *attr)
{
	int rc = get_attr(b, attr);

	return rc ? rc : attr->ino ? 0 : -EPROTO;
}

/* --- texts --- */

static ProtobufCBinaryData put_bytes(const void *p, size_t len)
{
	return (ProtobufCBinaryData){ .len = len, .data = (uint8_t *)p };
}

static ProtobufCBinaryData put_name(const struct op_name *n)
{
	return put_bytes(n->s, n->len);
}

/* Without NUL; it may be empty. */
static int get_text(const ProtobufCBinaryData *b, size_t max,
		    struct op_name *n)
{
	n->s = (const char *)b->data;
	n->len = b->len;
	return b->len > max || (b->len && memchr(b->data, 0, b->len)) ?
	       -EPROTO : 0;
}

/* --- requests --- */

static int put_xattrs(struct arena *a, const struct op_req *op,
		      Orchfs__Peer__Op *m)
{
	Orchfs__Peer__Xattr *x;

	if (!op->nr_xattrs)
		return 0;
	m->xattr = arena_alloc(a, op->nr_xattrs * sizeof(*m->xattr));
	x = arena_alloc(a, op->nr_xattrs * sizeof(*x));
	if (!m->xattr || !x)
		return -ENOMEM;
	for (size_t i = 0; i < op->nr_xattrs; i++) {
		orchfs__peer__xattr__init(&x[i]);
		x[i].name = put_name(&op->xattrs[i].name);
		x[i].value = put_bytes(op->xattrs[i].value,
				       op->xattrs[i].len);
		m->xattr[i] = &x[i];
	}
	m->n_xattr = op->nr_xattrs;
	return 0;
}

static bool carries_attr(const struct op_req *op)
{
	return op->valid || op->kind == ORCHFS_KIND_SETATTR;
}

Orchfs__Peer__Op *op_wire_op(struct arena *a, const struct op_req *op)
{
	Orchfs__Peer__Op *m = arena_alloc(a, sizeof(*m));

	if (!m)
		return NULL;
	orchfs__peer__op__init(m);
	m->id = op->id;
	m->kind = op->kind;
	m->flags = op->flags;
	m->session = op->session;
	m->slot = op->slot;
	m->sequence = op->sequence;
	m->node = op->node;
	m->name = put_name(&op->name);
	m->node2 = op->node2;
	m->name2 = put_name(&op->name2);
	m->mode = op->mode;
	m->uid = op->uid;
	m->gid = op->gid;
	m->rdev_major = op->rdev_major;
	m->rdev_minor = op->rdev_minor;
	m->target = put_name(&op->target);
	m->valid = op->valid;
	if (carries_attr(op))
		m->attr = put_attr(a, &op->attr);
	m->now = put_struct(a, &op->now, 1, 2);
	if (op->kind == ORCHFS_KIND_LOCK)
		m->lock = put_lock(a, &op->lock);
	m->cookie = op->cookie;
	m->max_entries = op->max_entries;
	m->xattr_name = put_name(&op->xattr_name);
	m->xattr_value = put_bytes(op->xattr_value, op->xattr_len);
	if (put_xattrs(a, op, m) < 0 || !m->now.data ||
	    (carries_attr(op) && !m->attr.data) ||
	    (op->kind == ORCHFS_KIND_LOCK && !m->lock.data))
		return NULL;
	return m;
}

/* One without bytes is a value, too. */
static void *value_of(const ProtobufCBinaryData *b)
{
	return b->data ? (void *)b->data : "";
}

static int get_xattrs(const Orchfs__Peer__Op *m, struct op_req *op)
{
	if (m->n_xattr > OP_XATTRS_MAX ||
	    m->xattr_value.len > OP_XATTR_MAX)
		return -E2BIG;
	op->xattr_value = value_of(&m->xattr_value);
	op->xattr_len = m->xattr_value.len;
	for (size_t i = 0; i < m->n_xattr; i++) {
		struct op_xattr *x = &op->xattrs[op->nr_xattrs++];

		if (get_text(&m->xattr[i]->name, ORCHFS_NAME_MAX, &x->name) ||
		    !x->name.len)
			return -EPROTO;
		if (m->xattr[i]->value.len > OP_XATTR_MAX)
			return -E2BIG;
		x->value = value_of(&m->xattr[i]->value);
		x->len = m->xattr[i]->value.len;
	}
	return 0;
}

static int get_texts(const Orchfs__Peer__Op *m, struct op_req *op)
{
	if (get_text(&m->name, ORCHFS_NAME_MAX, &op->name) ||
	    get_text(&m->name2, ORCHFS_NAME_MAX, &op->name2) ||
	    get_text(&m->target, ORCHFS_TARGET_MAX, &op->target) ||
	    get_text(&m->xattr_name, ORCHFS_NAME_MAX, &op->xattr_name))
		return -EPROTO;
	return 0;
}

static bool ranges_ok(const struct op_req *op)
{
	return op->id && !(op->flags & ~FLAGS_ALL) && op->slot < SLOTS &&
	       !(op->valid & ~ORCHFS_SET_ALL) && op->mode <= 0177777 &&
	       op->rdev_major <= DEV_MAX && op->rdev_minor <= DEV_MAX &&
	       (!op->sequence || op->session);
}

int op_wire_get_op(const Orchfs__Peer__Op *m, struct op_req *op)
{
	int rc;

	*op = (struct op_req){
		.id = m->id, .kind = m->kind, .flags = m->flags,
		.session = m->session, .slot = m->slot,
		.sequence = m->sequence, .node = m->node, .node2 = m->node2,
		.mode = m->mode, .uid = m->uid, .gid = m->gid,
		.rdev_major = m->rdev_major, .rdev_minor = m->rdev_minor,
		.valid = m->valid, .cookie = m->cookie,
		.max_entries = m->max_entries,
	};
	if (!ranges_ok(op) || get_texts(m, op))
		return -EPROTO;
	if (m->attr.len ? get_attr(&m->attr, &op->attr) : carries_attr(op))
		return -EPROTO;
	if (m->now.len && (get_struct(&m->now, &op->now, 1, 2) ||
			   !op_time_ok(&op->now)))
		return -EPROTO;
	if (op->kind == ORCHFS_KIND_LOCK && get_lock(&m->lock, &op->lock))
		return -EPROTO;
	rc = op_check(op, m->attr.len, m->now.len);
	return rc ? rc : get_xattrs(m, op);
}

/* --- replies --- */

static int put_entries(struct arena *a, const struct op_reply *rep,
		       Orchfs__Peer__OpReply *m)
{
	Orchfs__Peer__Entry *e;
	size_t size = 0;

	if (!rep->nr_entries)
		return 0;
	m->entry = arena_alloc(a, rep->nr_entries * sizeof(*m->entry));
	e = arena_alloc(a, rep->nr_entries * sizeof(*e));
	if (!m->entry || !e)
		return -ENOMEM;
	for (size_t i = 0; i < rep->nr_entries; i++, e++) {
		const struct op_entry *from = &rep->entries[i];

		size += from->name.len + from->target.len +
			sizeof(from->attr) + 32;
		if (size > OP_WIRE_LISTING_MAX) {
			m->eof = false;
			break;
		}
		orchfs__peer__entry__init(e);
		e->name = put_name(&from->name);
		e->cookie = from->cookie;
		e->attr = put_attr(a, &from->attr);
		e->target = put_name(&from->target);
		if (!e->attr.data)
			return -ENOMEM;
		m->entry[m->n_entry++] = e;
	}
	return 0;
}

Orchfs__Peer__Layout *op_wire_layout(struct arena *a,
				     const struct op_layout *l)
{
	Orchfs__Peer__Layout *m = arena_alloc(a, sizeof(*m));

	if (!m)
		return NULL;
	orchfs__peer__layout__init(m);
	m->generation = l->generation;
	m->version = l->version;
	m->instance = l->instance;
	m->volume = l->volume;
	m->writable = l->writable;
	m->home = l->home;
	m->token = put_bytes(l->token, l->home && !l->at_home ?
			     sizeof(l->token) : 0);
	return m;
}

static Orchfs__Peer__Statfs *put_statfs(struct arena *a,
					const struct orchfs_statfs *s)
{
	Orchfs__Peer__Statfs *m = arena_alloc(a, sizeof(*m));

	if (!m)
		return NULL;
	orchfs__peer__statfs__init(m);
	m->blocks = s->blocks;
	m->bfree = s->bfree;
	m->bavail = s->bavail;
	m->files = s->files;
	m->ffree = s->ffree;
	m->bsize = s->bsize;
	m->namelen = s->namelen;
	return m;
}

static int put_structs(struct arena *a, const struct op_reply *rep,
		       Orchfs__Peer__OpReply *m)
{
	if (rep->has_attr) {
		m->attr = put_attr(a, &rep->attr);
		if (!m->attr.data)
			return -ENOMEM;
	}
	if (rep->has_attr2) {
		m->attr2 = put_attr(a, &rep->attr2);
		if (!m->attr2.data)
			return -ENOMEM;
	}
	if (rep->has_statfs) {
		m->statfs = put_statfs(a, &rep->statfs);
		if (!m->statfs)
			return -ENOMEM;
	}
	if (rep->has_lock) {
		m->lock = put_lock(a, &rep->lock);
		if (!m->lock.data)
			return -ENOMEM;
	}
	if (rep->has_layout) {
		m->layout = op_wire_layout(a, &rep->layout);
		if (!m->layout)
			return -ENOMEM;
	}
	return 0;
}

Orchfs__Peer__OpReply *op_wire_reply(struct arena *a,
				     const struct op_reply *rep)
{
	Orchfs__Peer__OpReply *m = arena_alloc(a, sizeof(*m));

	if (!m)
		return NULL;
	orchfs__peer__op_reply__init(m);
	m->status = rep->status;
	m->flags = rep->flags;
	m->txn = rep->txn;
	m->target = put_name(&rep->target);
	m->name = put_name(&rep->name);
	m->eof = rep->eof;
	m->has_value = rep->value != NULL;
	m->value = put_bytes(rep->value, rep->value_len);
	if (put_structs(a, rep, m) < 0 || put_entries(a, rep, m) < 0)
		return NULL;
	return m;
}

static int get_entries(const Orchfs__Peer__OpReply *m, struct op_reply *rep)
{
	struct op_entry *e;

	if (!m->n_entry)
		return 0;
	/* each has more bytes on the wire than here, or is refused */
	e = arena_alloc(rep->arena, m->n_entry * sizeof(*e));
	if (!e)
		return -ENOMEM;
	rep->entries = e;
	for (size_t i = 0; i < m->n_entry; i++, e++) {
		const Orchfs__Peer__Entry *from = m->entry[i];

		e->cookie = from->cookie;
		if (get_text(&from->name, ORCHFS_NAME_MAX, &e->name) ||
		    !op_name_ok(&e->name) ||
		    get_inode(&from->attr, &e->attr) ||
		    get_text(&from->target, ORCHFS_TARGET_MAX, &e->target))
			return -EPROTO;
	}
	rep->nr_entries = m->n_entry;
	return 0;
}

int op_wire_get_layout(const Orchfs__Peer__Layout *m, struct op_layout *l)
{
	*l = (struct op_layout){
		.generation = m->generation, .version = m->version,
		.instance = m->instance, .volume = m->volume,
		.writable = m->writable, .home = m->home,
	};
	if (!l->generation || !l->version || !l->instance || !l->volume ||
	    (m->token.len && (m->token.len != sizeof(l->token) || !l->home)))
		return -EPROTO;
	l->at_home = l->home && !m->token.len;
	if (m->token.len)
		memcpy(l->token, m->token.data, sizeof(l->token));
	return 0;
}

static void get_statfs(const Orchfs__Peer__Statfs *m, struct orchfs_statfs *s)
{
	*s = (struct orchfs_statfs){
		.blocks = m->blocks, .bfree = m->bfree, .bavail = m->bavail,
		.files = m->files, .ffree = m->ffree, .bsize = m->bsize,
		.namelen = m->namelen,
	};
}

static int get_structs(const Orchfs__Peer__OpReply *m, struct op_reply *rep)
{
	rep->has_attr = m->attr.len;
	rep->has_attr2 = m->attr2.len;
	rep->has_layout = m->layout;
	rep->has_statfs = m->statfs;
	rep->has_lock = m->lock.len;
	if ((rep->has_attr && get_inode(&m->attr, &rep->attr)) ||
	    (rep->has_attr2 && get_inode(&m->attr2, &rep->attr2)) ||
	    (rep->has_lock && get_lock(&m->lock, &rep->lock)) ||
	    (rep->has_layout && op_wire_get_layout(m->layout, &rep->layout)))
		return -EPROTO;
	/* it is the layout of that inode */
	if (rep->has_layout && !rep->has_attr)
		return -EPROTO;
	if (rep->has_statfs)
		get_statfs(m->statfs, &rep->statfs);
	return 0;
}

int op_wire_get_reply(const Orchfs__Peer__OpReply *m, struct op_reply *rep)
{
	*rep = (struct op_reply){
		.status = m->status, .flags = m->flags, .txn = m->txn,
		.eof = m->eof, .arena = rep->arena,
	};
	if (rep->status > 0 || rep->status < -ERRNO_MAX ||
	    rep->flags & ~FLAGS_REPLY || m->value.len > OP_XATTR_MAX ||
	    (m->value.len && !m->has_value) ||
	    get_text(&m->target, ORCHFS_TARGET_MAX, &rep->target) ||
	    get_text(&m->name, ORCHFS_NAME_MAX, &rep->name) ||
	    (rep->name.len && !op_name_ok(&rep->name)) ||
	    get_structs(m, rep))
		return -EPROTO;
	if (m->has_value) {
		rep->value = value_of(&m->value);
		rep->value_len = m->value.len;
	}
	return get_entries(m, rep);
}

/* --- what an agent's kernel holds and tells --- */

Orchfs__Peer__Handles *op_wire_handles(struct arena *a,
				       const struct ns_handle *h, size_t nr)
{
	Orchfs__Peer__Handles *m = arena_alloc(a, sizeof(*m));
	Orchfs__Peer__Handle *to = arena_alloc(a, nr * sizeof(*to));

	if (!m || !to)
		return NULL;
	orchfs__peer__handles__init(m);
	m->handle = arena_alloc(a, nr * sizeof(*m->handle));
	if (!m->handle)
		return NULL;
	for (; m->n_handle < nr; m->n_handle++, h++, to++) {
		orchfs__peer__handle__init(to);
		to->ino = h->ino;
		to->opens = h->opens;
		to->generation = h->generation;
		to->attr = put_attr(a, &h->attr);
		if (!to->attr.data)
			return NULL;
		m->handle[m->n_handle] = to;
	}
	return m;
}

int op_wire_get_handles(const Orchfs__Peer__Handles *m, struct ns_handle *h,
			size_t *nr)
{
	if (m->n_handle > OP_WIRE_HANDLES_MAX)
		return -E2BIG;
	for (*nr = 0; *nr < m->n_handle; ++*nr, h++) {
		const Orchfs__Peer__Handle *from = m->handle[*nr];

		*h = (struct ns_handle){
			.ino = from->ino, .opens = from->opens,
			.generation = from->generation,
		};
		if (!h->ino || get_attr(&from->attr, &h->attr))
			return -EPROTO;
	}
	return 0;
}

static ProtobufCBinaryData put_all(struct arena *a,
				   const struct orchfs_lock *l, size_t nr)
{
	ProtobufCBinaryData out = { .len = nr * ORCHFS_LOCK_LEN };

	out.data = arena_alloc(a, out.len ? out.len : 1);
	for (size_t i = 0; out.data && i < nr; i++) {
		ProtobufCBinaryData one = put_lock(a, &l[i]);

		if (!one.data)
			return one;
		memcpy(out.data + i * ORCHFS_LOCK_LEN, one.data, one.len);
	}
	return out;
}

static int get_all(struct arena *a, const ProtobufCBinaryData *b,
		   struct op_locks *v)
{
	if (b->len > ORCHFS_CHUNK_MAX || b->len % ORCHFS_LOCK_LEN)
		return -EPROTO;
	v->l = arena_alloc(a, b->len + 1);
	if (!v->l)
		return -ENOMEM;
	for (v->nr = 0; v->nr < b->len / ORCHFS_LOCK_LEN; v->nr++) {
		const ProtobufCBinaryData one = {
			.len = ORCHFS_LOCK_LEN,
			.data = b->data + v->nr * ORCHFS_LOCK_LEN,
		};

		if (get_lock(&one, &v->l[v->nr]))
			return -EPROTO;
	}
	return 0;
}

Orchfs__Peer__Locks *op_wire_locks(struct arena *a, const struct op_locks *v,
				   size_t nr)
{
	Orchfs__Peer__Locks *m = arena_alloc(a, sizeof(*m));
	Orchfs__Peer__InodeLocks *to = arena_alloc(a, nr * sizeof(*to));

	if (!m || !to)
		return NULL;
	orchfs__peer__locks__init(m);
	m->inode = arena_alloc(a, nr * sizeof(*m->inode));
	if (!m->inode)
		return NULL;
	for (; m->n_inode < nr; m->n_inode++, v++, to++) {
		orchfs__peer__inode_locks__init(to);
		to->ino = v->ino;
		to->lease = v->lease;
		to->locks = put_all(a, v->l, v->nr);
		if (!to->locks.data)
			return NULL;
		m->inode[m->n_inode] = to;
	}
	return m;
}

int op_wire_get_locks(struct arena *a, const Orchfs__Peer__InodeLocks *m,
		      struct op_locks *v)
{
	*v = (struct op_locks){ .ino = m->ino, .lease = m->lease };
	return v->ino ? get_all(a, &m->locks, v) : -EPROTO;
}

Orchfs__Peer__LockHeld *op_wire_held(struct arena *a, const struct op_locks *v,
				     uint64_t number, bool eof)
{
	Orchfs__Peer__LockHeld *m = arena_alloc(a, sizeof(*m));

	if (!m)
		return NULL;
	orchfs__peer__lock_held__init(m);
	m->ino = v->ino;
	m->number = number;
	m->eof = eof;
	m->locks = put_all(a, v->l, v->nr);
	return m->locks.data ? m : NULL;
}

int op_wire_get_held(struct arena *a, const Orchfs__Peer__LockHeld *m,
		     struct op_locks *v)
{
	*v = (struct op_locks){ .ino = m->ino };
	return v->ino ? get_all(a, &m->locks, v) : -EPROTO;
}

Orchfs__Peer__Notes *op_wire_notes(struct arena *a, const struct ns_note *n,
				   size_t nr)
{
	Orchfs__Peer__Notes *m = arena_alloc(a, sizeof(*m));
	Orchfs__Peer__Note *to = arena_alloc(a, nr * sizeof(*to));

	if (!m || !to)
		return NULL;
	orchfs__peer__notes__init(m);
	m->note = arena_alloc(a, nr * sizeof(*m->note));
	if (!m->note)
		return NULL;
	for (; m->n_note < nr; m->n_note++, n++, to++) {
		orchfs__peer__note__init(to);
		to->kind = n->kind;
		to->node = n->node;
		to->generation = n->generation;
		to->session = n->session;
		to->valid = n->valid;
		if (n->valid) {
			to->attr = put_attr(a, &n->attr);
			if (!to->attr.data)
				return NULL;
		}
		m->note[m->n_note] = to;
	}
	return m;
}

static int get_note(const Orchfs__Peer__Note *m, struct ns_note *n)
{
	*n = (struct ns_note){
		.kind = m->kind, .node = m->node, .session = m->session,
		.generation = m->generation, .valid = m->valid,
	};
	if (n->kind < ORCHFS_KIND_NOTE_FORGET ||
	    n->kind > ORCHFS_KIND_NOTE_UMOUNT || n->valid & ~ORCHFS_SET_ALL)
		return -EPROTO;
	if (n->kind == ORCHFS_KIND_NOTE_UMOUNT ? !n->session : !n->node)
		return -EPROTO;
	return n->valid ? get_attr(&m->attr, &n->attr) : 0;
}

int op_wire_get_notes(const Orchfs__Peer__Notes *m, struct ns_note *n,
		      size_t *nr)
{
	if (m->n_note > OP_WIRE_NOTES_MAX)
		return -E2BIG;
	for (*nr = 0; *nr < m->n_note; ++*nr)
		if (get_note(m->note[*nr], &n[*nr]))
			return -EPROTO;
	return 0;
}

/* --- what an agent's kernel must not believe any more --- */

Orchfs__Peer__Invalidate *op_wire_invalidate(struct arena *a, uint64_t seq,
					     const struct op_stale *s,
					     size_t nr)
{
	Orchfs__Peer__Invalidate *m = arena_alloc(a, sizeof(*m));
	Orchfs__Peer__Stale *to = arena_alloc(a, nr * sizeof(*to));

	if (!m || !to)
		return NULL;
	orchfs__peer__invalidate__init(m);
	m->seq = seq;
	m->stale = arena_alloc(a, nr * sizeof(*m->stale));
	if (!m->stale)
		return NULL;
	for (; m->n_stale < nr; m->n_stale++, s++, to++) {
		orchfs__peer__stale__init(to);
		to->ino = s->ino;
		if (s->has_attr) {
			to->attr = put_attr(a, &s->attr);
			if (!to->attr.data)
				return NULL;
		}
		m->stale[m->n_stale] = to;
	}
	return m;
}

int op_wire_get_stale(const Orchfs__Peer__Stale *m, struct op_stale *s)
{
	*s = (struct op_stale){ .ino = m->ino, .has_attr = m->attr.len };
	if (!s->has_attr)
		return 0;
	if (get_inode(&m->attr, &s->attr) || s->attr.ino != s->ino ||
	    s->attr.nlink)
		return -EPROTO;
	return 0;
}
