// SPDX-License-Identifier: Apache-2.0
/* Operations on the wire between daemons: there and back, and refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arena.h"
#include "op_wire.h"

static struct arena *arena;

static int begin(void **state)
{
	(void)state;
	arena = arena_new();
	return arena ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

/* What the other end has. */
static peer_frame *cross(const peer_frame *f)
{
	struct frame_in in = { .max = PEER_FRAME_MAX };
	size_t len, left, size;
	peer_frame *out = NULL;
	const uint8_t *p;
	uint8_t *buf;

	buf = frame_pack(f, &len);
	assert_non_null(buf);
	p = buf;
	left = len;
	assert_int_equal(frame_feed(&in, &p, &left, &out, &size), 1);
	free(buf);
	return out;
}

static struct op_name name(const char *s)
{
	return (struct op_name){ s, strlen(s) };
}

static void assert_name(struct op_name a, struct op_name b)
{
	assert_int_equal(a.len, b.len);
	if (a.len)
		assert_memory_equal(a.s, b.s, a.len);
}

static struct orchfs_attr some_attr(uint64_t ino)
{
	return (struct orchfs_attr){
		.ino = ino, .change = 0x1122334455667788, .size = 1ULL << 62,
		.blocks = 8, .version = 3, .atime = -5, .mtime = 1700000000,
		.ctime = 1, .btime = 2, .atime_nsec = 999999999,
		.mtime_nsec = 6, .ctime_nsec = 7, .btime_nsec = 8,
		.generation = 9, .mode = 0100644, .uid = 1000, .gid = ~0U,
		.nlink = 1, .flags = ORCHFS_ATTR_NO_CAP, .rdev_major = 8,
		.rdev_minor = 0xfffff, .projid = 12,
	};
}

static struct op_req full_op(uint32_t kind)
{
	struct op_req op = {
		.id = 1ULL << 63, .kind = kind,
		.flags = ORCHFS_REQ_FLAG_RESENT | ORCHFS_REQ_FLAG_UNSEEN,
		.session = ~0ULL, .slot = 63, .sequence = 5, .node = 77,
		.name = name("a name"), .node2 = 78, .name2 = name("b"),
		.mode = 0100644, .uid = 1, .gid = 2, .rdev_major = 3,
		.rdev_minor = 4, .target = name("/where/it/is"),
		.valid = ORCHFS_SET_MODE, .attr = some_attr(0),
		.now = { .sec = -1, .nsec = 5 }, .cookie = ~0ULL >> 1,
		.max_entries = 500, .xattr_name = name("user.x"),
		.xattr_value = "\0\1\2", .xattr_len = 3, .nr_xattrs = 2,
	};

	op.xattrs[0] = (struct op_xattr){ name("user.a"), "12", 2 };
	op.xattrs[1] = (struct op_xattr){ name("user.b"), "", 0 };
	return op;
}

static void assert_op(const struct op_req *a, const struct op_req *b)
{
	struct op_req x = *a, y = *b;

	assert_name(x.name, y.name);
	assert_name(x.name2, y.name2);
	assert_name(x.target, y.target);
	assert_name(x.xattr_name, y.xattr_name);
	assert_int_equal(x.xattr_len, y.xattr_len);
	if (x.xattr_len)
		assert_memory_equal(x.xattr_value, y.xattr_value,
				    x.xattr_len);
	assert_int_equal(x.nr_xattrs, y.nr_xattrs);
	for (size_t i = 0; i < x.nr_xattrs; i++) {
		assert_name(x.xattrs[i].name, y.xattrs[i].name);
		assert_int_equal(x.xattrs[i].len, y.xattrs[i].len);
		assert_non_null(y.xattrs[i].value);
		assert_memory_equal(x.xattrs[i].value, y.xattrs[i].value,
				    x.xattrs[i].len);
	}
	x.name = y.name;
	x.name2 = y.name2;
	x.target = y.target;
	x.xattr_name = y.xattr_name;
	x.xattr_value = y.xattr_value;
	memcpy(x.xattrs, y.xattrs, sizeof(x.xattrs));
	assert_memory_equal(&x, &y, sizeof(x));
}

static struct orchfs_lock some_lock(uint64_t owner)
{
	return (struct orchfs_lock){
		.owner = owner, .start = 1ULL << 40, .end = INT64_MAX,
		.id = 9, .type = ORCHFS_LOCK_WRITE, .flags = ORCHFS_LOCK_WAIT,
		.pid = -1, .node = 3,
	};
}

static void test_locks(void **state)
{
	struct orchfs_lock list[3] = { some_lock(1), some_lock(~0ULL),
				       some_lock(1ULL << 63) };
	const struct op_locks v[2] = {
		{ .ino = 5, .nr = 3, .l = list }, { .ino = 6, .lease = true },
	};
	struct op_req op = full_op(ORCHFS_KIND_LOCK), back;
	struct op_reply rep = { .has_lock = true, .lock = some_lock(2),
				.flags = ORCHFS_REQ_FLAG_LEASE };
	struct op_reply rep_back = { .arena = arena };
	peer_frame f = PEER_FRAME_INIT(LOCKS), *got;
	struct op_locks one;

	(void)state;
	f.locks = op_wire_locks(arena, v, 2);
	assert_non_null(f.locks);
	got = cross(&f);
	assert_int_equal(got->locks->n_inode, 2);
	assert_int_equal(op_wire_get_locks(arena, got->locks->inode[0], &one),
			 0);
	assert_int_equal(one.ino, 5);
	assert_false(one.lease);
	assert_int_equal(one.nr, 3);
	assert_memory_equal(one.l, list, sizeof(list));
	assert_int_equal(op_wire_get_locks(arena, got->locks->inode[1], &one),
			 0);
	assert_true(one.lease);
	assert_int_equal(one.nr, 0);
	/* neither a part of one, nor one that can't be */
	got->locks->inode[0]->locks.len--;
	assert_int_equal(op_wire_get_locks(arena, got->locks->inode[0], &one),
			 -EPROTO);
	got->locks->inode[0]->locks.len++;
	got->locks->inode[0]->locks.data[32] = 3;
	assert_int_equal(op_wire_get_locks(arena, got->locks->inode[0], &one),
			 -EPROTO);
	frame_free(got);

	op.lock = some_lock(7);
	f = (peer_frame)PEER_FRAME_INIT(OP);
	f.op = op_wire_op(arena, &op);
	got = cross(&f);
	assert_int_equal(op_wire_get_op(got->op, &back), 0);
	assert_op(&op, &back);
	got->op->lock.len = 0;
	assert_int_equal(op_wire_get_op(got->op, &back), -EPROTO);
	frame_free(got);

	f = (peer_frame)PEER_FRAME_INIT(OP_REPLY);
	f.op_reply = op_wire_reply(arena, &rep);
	got = cross(&f);
	assert_int_equal(op_wire_get_reply(got->op_reply, &rep_back), 0);
	assert_int_equal(rep_back.flags, ORCHFS_REQ_FLAG_LEASE);
	assert_memory_equal(&rep_back.lock, &rep.lock, sizeof(rep.lock));
	frame_free(got);
}

static void test_op(void **state)
{
	(void)state;
	for (uint32_t k = ORCHFS_KIND_MOUNT; k <= ORCHFS_KIND_STATFS; k++) {
		peer_frame f = PEER_FRAME_INIT(OP), *got;
		struct op_req op = full_op(k), back;

		f.op = op_wire_op(arena, &op);
		assert_non_null(f.op);
		got = cross(&f);
		assert_int_equal(got->body_case, PEER_BODY(OP));
		assert_int_equal(op_wire_get_op(got->op, &back), 0);
		assert_op(&op, &back);
		frame_free(got);
	}
}

/* The least of each kind: what isn't set isn't invented. */
static void test_op_small(void **state)
{
	struct op_req op = { .id = 1, .kind = ORCHFS_KIND_GETATTR, .node = 2 };
	peer_frame f = PEER_FRAME_INIT(OP), *got;
	struct op_req back;

	(void)state;
	f.op = op_wire_op(arena, &op);
	got = cross(&f);
	assert_int_equal(got->op->attr.len, 0);
	assert_int_equal(op_wire_get_op(got->op, &back), 0);
	back.xattr_value = NULL;
	assert_op(&op, &back);
	frame_free(got);
	op.kind = ORCHFS_KIND_LOOKUP;
	op.name = name("..");
	f.op = op_wire_op(arena, &op);
	assert_int_equal(op_wire_get_op(f.op, &back), 0);
	op.name = name(".");
	f.op = op_wire_op(arena, &op);
	assert_int_equal(op_wire_get_op(f.op, &back), -EINVAL);
}

/* A node of another byte order reads the same. */
static void test_byte_order(void **state)
{
	struct op_req op = full_op(ORCHFS_KIND_SETATTR);
	static const uint8_t change[] = { 0x88, 0x77, 0x66, 0x55, 0x44, 0x33,
					  0x22, 0x11 };
	Orchfs__Peer__Op *m = op_wire_op(arena, &op);

	(void)state;
	assert_int_equal(m->attr.len, 128);
	assert_memory_equal(m->attr.data + 8, change, 8);
	assert_memory_equal(m->attr.data + 72, "\xff\xc9\x9a\x3b", 4);
	assert_memory_equal(m->attr.data + 92, "\xa4\x81\0\0", 4);
	assert_int_equal(m->now.len, 16);
	assert_memory_equal(m->now.data, "\xff\xff\xff\xff\xff\xff\xff\xff"
			    "\5\0\0\0\0\0\0\0", 16);
}

static char big[OP_XATTR_MAX + 2];

static void set_bytes(ProtobufCBinaryData *b, const char *s, size_t len)
{
	b->data = (uint8_t *)s;
	b->len = len;
}

static int spoil_op(int n, Orchfs__Peer__Op *m)
{
	static Orchfs__Peer__Xattr *five[5];

	switch (n) {
	case 0: m->id = 0; break;
	case 1: m->kind = 0; break;
	case 2: m->kind = ORCHFS_KIND_NOTE_FORGET; break;
	case 3: m->kind = ~0U; break;
	case 4: m->flags |= ORCHFS_REQ_FLAG_UNSEEN << 1; break;
	case 5: m->slot = 64; break;
	case 6: m->session = 0; break;
	case 7: m->node = 0; break;
	case 8: m->node2 = 0; break;
	case 9: m->name.len = 0; break;
	case 10: m->name2.len = 0; break;
	case 11: set_bytes(&m->name, big, 256); break;
	case 12: set_bytes(&m->name2, "a\0b", 3); break;
	case 13: m->mode = 0200000; break;
	case 14: m->rdev_major = 0x100000; break;
	case 15: m->rdev_minor = ~0U; break;
	case 16: m->valid = ORCHFS_SET_ALL + 1; break;
	case 17: m->attr.len = 127; break;
	case 18: m->attr.len = 0; break;
	case 19: m->now.len = 15; break;
	case 20: m->now.len = 0; break;
	case 21: m->now.data[11] = 0x40; break;
	case 22: m->now.data[12] = 1; break;
	case 23: m->attr.data[127] = 1; break;
	case 24: m->attr.data[75] = 0x40; break;
	case 25: m->attr.data[109] = 0x80; break;
	case 26: set_bytes(&m->target, big, 4096); break;
	case 27: set_bytes(&m->target, "a\0b", 3); break;
	case 28: set_bytes(&m->xattr_name, "user.\0", 6); break;
	case 29: set_bytes(&m->xattr[1]->name, big, 256); break;
	case 30: m->xattr[0]->name.len = 0; break;
	/* with another code */
	case 31: set_bytes(&m->name, "a/b", 3); return -EINVAL;
	case 32: set_bytes(&m->name2, "..", 2); return -EINVAL;
	case 33: set_bytes(&m->name, ".", 1); return -EINVAL;
	case 34: m->xattr_value.len = OP_XATTR_MAX + 1; return -E2BIG;
	case 35: m->xattr[0]->value.len = OP_XATTR_MAX + 1; return -E2BIG;
	case 36:
		for (int i = 0; i < 5; i++)
			five[i] = m->xattr[0];
		m->xattr = five;
		m->n_xattr = 5;
		return -E2BIG;
	default: return 1;
	}
	return -EPROTO;
}

static void test_op_refused(void **state)
{
	struct op_req op = full_op(ORCHFS_KIND_RENAME), back;
	int want;

	(void)state;
	memset(big, 'x', sizeof(big));
	for (int n = 0; ; n++) {
		Orchfs__Peer__Op *m = op_wire_op(arena, &op);

		assert_int_equal(op_wire_get_op(m, &back), 0);
		want = spoil_op(n, m);
		if (want == 1)
			break;
		assert_int_equal(op_wire_get_op(m, &back), want);
	}
}

static struct op_reply full_reply(void)
{
	struct op_reply rep = {
		.status = -ENOENT, .flags = ORCHFS_REQ_FLAG_EXISTING,
		.txn = 1ULL << 40, .has_attr = true, .has_attr2 = true,
		.has_layout = true, .has_statfs = true, .eof = true,
		.attr = some_attr(5), .attr2 = some_attr(6),
		.target = name("target"), .name = name("name"),
		.layout = {
			.generation = 7, .version = 8, .instance = 9,
			.volume = 10, .writable = true, .home = 11,
		},
		.statfs = { .blocks = 1ULL << 50, .bfree = 2, .bavail = 3,
			    .files = 4, .ffree = 5, .bsize = 4096,
			    .namelen = 255 },
		.value = "value", .value_len = 5, .nr_entries = 3,
	};

	memset(rep.layout.token, 0xa5, sizeof(rep.layout.token));
	rep.entries = arena_zalloc(arena, 3 * sizeof(*rep.entries));
	for (size_t i = 0; i < 3; i++)
		rep.entries[i] = (struct op_entry){
			.name = name(&"abc"[i]), .cookie = (1ULL << 62) + i,
			.attr = some_attr(100 + i),
			.target = i ? name("t") : name(""),
		};
	return rep;
}

static void assert_reply(const struct op_reply *a, const struct op_reply *b)
{
	assert_int_equal(a->status, b->status);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->txn, b->txn);
	assert_int_equal(a->eof, b->eof);
	assert_int_equal(a->has_attr, b->has_attr);
	assert_int_equal(a->has_attr2, b->has_attr2);
	assert_int_equal(a->has_layout, b->has_layout);
	assert_int_equal(a->has_statfs, b->has_statfs);
	assert_memory_equal(&a->attr, &b->attr, sizeof(a->attr));
	assert_memory_equal(&a->attr2, &b->attr2, sizeof(a->attr2));
	assert_memory_equal(&a->layout, &b->layout, sizeof(a->layout));
	assert_memory_equal(&a->statfs, &b->statfs, sizeof(a->statfs));
	assert_name(a->target, b->target);
	assert_name(a->name, b->name);
	assert_int_equal(!a->value, !b->value);
	assert_int_equal(a->value_len, b->value_len);
	if (a->value_len)
		assert_memory_equal(a->value, b->value, a->value_len);
	assert_int_equal(a->nr_entries, b->nr_entries);
	for (size_t i = 0; i < a->nr_entries; i++) {
		const struct op_entry *x = &a->entries[i], *y = &b->entries[i];

		assert_name(x->name, y->name);
		assert_name(x->target, y->target);
		assert_int_equal(x->cookie, y->cookie);
		assert_memory_equal(&x->attr, &y->attr, sizeof(x->attr));
	}
}

static void reply_round(const struct op_reply *rep)
{
	struct op_reply back = { .arena = arena };
	peer_frame f = PEER_FRAME_INIT(OP_REPLY), *got;

	f.op_reply = op_wire_reply(arena, rep);
	assert_non_null(f.op_reply);
	got = cross(&f);
	assert_int_equal(op_wire_get_reply(got->op_reply, &back), 0);
	assert_ptr_equal(back.arena, arena);
	assert_reply(rep, &back);
	frame_free(got);
}

static void test_reply(void **state)
{
	struct op_reply rep = full_reply();

	(void)state;
	reply_round(&rep);
	rep.layout.at_home = true;
	memset(rep.layout.token, 0, sizeof(rep.layout.token));
	reply_round(&rep);
	rep.layout.home = 0;
	rep.layout.at_home = false;
	reply_round(&rep);
	rep.value_len = 0;
	reply_round(&rep);
	rep.value = NULL;
	rep.nr_entries = 0;
	reply_round(&rep);
	memset(&rep, 0, sizeof(rep));
	reply_round(&rep);
	rep.status = -EHWPOISON;
	reply_round(&rep);
}

/* The last entries of a long listing are asked for again. */
static void test_reply_long(void **state)
{
	struct op_reply rep = { .eof = true, .nr_entries = 4096 }, back;
	peer_frame f = PEER_FRAME_INIT(OP_REPLY), *got;

	(void)state;
	memset(big, 'x', sizeof(big));
	rep.entries = arena_zalloc(arena, 4096 * sizeof(*rep.entries));
	for (size_t i = 0; i < 4096; i++) {
		rep.entries[i].name = (struct op_name){ big, 255 };
		rep.entries[i].attr = some_attr(1 + i);
	}
	f.op_reply = op_wire_reply(arena, &rep);
	got = cross(&f);
	back.arena = arena;
	assert_int_equal(op_wire_get_reply(got->op_reply, &back), 0);
	assert_false(back.eof);
	assert_int_equal(back.nr_entries,
			 OP_WIRE_LISTING_MAX / (255 + 128 + 32));
	assert_int_equal(back.entries[back.nr_entries - 1].attr.ino,
			 back.nr_entries);
	frame_free(got);
}

static bool spoil_reply(int n, Orchfs__Peer__OpReply *m)
{
	switch (n) {
	case 0: m->status = 1; break;
	case 1: m->status = -EHWPOISON - 1; break;
	case 2: m->flags = ORCHFS_REQ_FLAG_RESENT; break;
	case 3: m->attr.len = 64; break;
	case 4: m->attr2.len = 129; break;
	case 5: memset(m->attr.data, 0, 8); break;
	case 6: m->attr.len = 0; break;		/* of the layout */
	case 7: set_bytes(&m->name, "a/b", 3); break;
	case 8: set_bytes(&m->name, "..", 2); break;
	case 9: set_bytes(&m->target, big, 4096); break;
	case 10: m->value.len = OP_XATTR_MAX + 1; break;
	case 11: m->has_value = false; break;
	case 12: m->layout->generation = 0; break;
	case 13: m->layout->version = 0; break;
	case 14: m->layout->instance = 0; break;
	case 15: m->layout->volume = 0; break;
	case 16: m->layout->home = 0; break;	/* it has a token */
	case 17: m->layout->token.len = 119; break;
	case 18: m->layout->token.len = 121; break;
	case 19: m->entry[2]->name.len = 0; break;
	case 20: set_bytes(&m->entry[0]->name, "..", 2); break;
	case 21: set_bytes(&m->entry[0]->name, "a\0", 2); break;
	case 22: set_bytes(&m->entry[1]->name, big, 256); break;
	case 23: m->entry[1]->attr.len = 0; break;
	case 24: set_bytes(&m->entry[1]->target, big, 4096); break;
	case 25: m->entry[0]->attr.data[127] = 1; break;
	default: return false;
	}
	return true;
}

static void test_reply_refused(void **state)
{
	struct op_reply rep = full_reply(), back = { .arena = arena };

	(void)state;
	memset(big, 'x', sizeof(big));
	for (int n = 0; ; n++) {
		Orchfs__Peer__OpReply *m = op_wire_reply(arena, &rep);

		assert_int_equal(op_wire_get_reply(m, &back), 0);
		if (!spoil_reply(n, m))
			break;
		assert_int_equal(op_wire_get_reply(m, &back), -EPROTO);
	}
}

static void test_handles(void **state)
{
	static struct ns_handle in[OP_WIRE_HANDLES_MAX];
	static struct ns_handle out[OP_WIRE_HANDLES_MAX];
	peer_frame f = PEER_FRAME_INIT(HANDLES), *got;
	size_t nr;

	(void)state;
	for (size_t i = 0; i < OP_WIRE_HANDLES_MAX; i++)
		in[i] = (struct ns_handle){
			.ino = 1 + i, .opens = (uint32_t)i, .generation = i,
			.attr = some_attr(1 + i),
		};
	f.handles = op_wire_handles(arena, in, OP_WIRE_HANDLES_MAX);
	got = cross(&f);
	assert_int_equal(op_wire_get_handles(got->handles, out, &nr), 0);
	assert_int_equal(nr, OP_WIRE_HANDLES_MAX);
	assert_memory_equal(in, out, sizeof(in));
	got->handles->handle[7]->ino = 0;
	assert_int_equal(op_wire_get_handles(got->handles, out, &nr),
			 -EPROTO);
	got->handles->handle[7]->ino = 7;
	got->handles->handle[8]->attr.len--;
	assert_int_equal(op_wire_get_handles(got->handles, out, &nr),
			 -EPROTO);
	f.handles->n_handle = OP_WIRE_HANDLES_MAX + 1;
	assert_int_equal(op_wire_get_handles(f.handles, out, &nr), -E2BIG);
	frame_free(got);
}

static void test_notes(void **state)
{
	const struct ns_note in[] = {
		{ .kind = ORCHFS_KIND_NOTE_FORGET, .node = 5 },
		{ .kind = ORCHFS_KIND_NOTE_ATTR, .node = 6, .generation = 3,
		  .valid = ORCHFS_SET_SIZE, .attr = some_attr(6) },
		{ .kind = ORCHFS_KIND_NOTE_RETURN, .node = ~0ULL,
		  .generation = 4 },
		{ .kind = ORCHFS_KIND_NOTE_UMOUNT, .session = 1ULL << 63 },
	};
	struct ns_note out[OP_WIRE_NOTES_MAX];
	peer_frame f = PEER_FRAME_INIT(NOTES), *got;
	size_t nr;

	(void)state;
	for (int n = 0; n < 7; n++) {
		Orchfs__Peer__Notes *m;
		int want = n ? -EPROTO : 0;

		f.notes = op_wire_notes(arena, in, 4);
		got = cross(&f);
		m = got->notes;
		switch (n) {
		case 1: m->note[0]->kind = ORCHFS_KIND_STATFS; break;
		case 2: m->note[0]->kind = ORCHFS_KIND_NOTE_UMOUNT + 1; break;
		case 3: m->note[0]->node = 0; break;
		case 4: m->note[3]->session = 0; break;
		case 5: m->note[1]->valid = ORCHFS_SET_ALL + 1; break;
		case 6: m->note[2]->valid = ORCHFS_SET_SIZE; break;
		}
		assert_int_equal(op_wire_get_notes(m, out, &nr), want);
		if (!n) {
			assert_int_equal(nr, 4);
			assert_memory_equal(in, out, sizeof(in));
		}
		frame_free(got);
	}
	f.notes->n_note = OP_WIRE_NOTES_MAX + 1;
	assert_int_equal(op_wire_get_notes(f.notes, out, &nr), -E2BIG);
}

static void test_invalidate(void **state)
{
	struct op_stale in[] = {
		{ .ino = 5 }, { .ino = 6, .has_attr = true,
				.attr = some_attr(6) }, { .ino = 0 },
	}, out;
	peer_frame f = PEER_FRAME_INIT(INVALIDATE), *got;

	(void)state;
	in[1].attr.nlink = 0;
	f.invalidate = op_wire_invalidate(arena, 1234, in, 3);
	got = cross(&f);
	assert_int_equal(got->invalidate->seq, 1234);
	assert_int_equal(got->invalidate->n_stale, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(op_wire_get_stale(got->invalidate->stale[i],
						   &out), 0);
		assert_memory_equal(&in[i], &out, sizeof(out));
	}
	got->invalidate->stale[1]->ino = 5;
	assert_int_equal(op_wire_get_stale(got->invalidate->stale[1], &out),
			 -EPROTO);
	frame_free(got);
	in[1].attr.nlink = 1;
	f.invalidate = op_wire_invalidate(arena, 1, in, 3);
	assert_int_equal(op_wire_get_stale(f.invalidate->stale[1], &out),
			 -EPROTO);
}

static bool text_ok(struct op_name n, size_t max)
{
	return n.len <= max && (!n.len || !memchr(n.s, 0, n.len));
}

/* Any bytes: what is let through is within its bounds. */
static void test_damage(void **state)
{
	struct op_req op = full_op(ORCHFS_KIND_RENAME), req;
	struct op_reply rep = full_reply(), back = { .arena = arena };
	uint8_t buf[2][4096], bad[4096];
	size_t len[2], passed = 0;

	(void)state;
	len[0] = orchfs__peer__op__pack(op_wire_op(arena, &op), buf[0]);
	len[1] = orchfs__peer__op_reply__pack(op_wire_reply(arena, &rep),
					      buf[1]);
	srandom(5);
	for (int i = 0; i < 40000; i++) {
		Orchfs__Peer__OpReply *r = NULL;
		Orchfs__Peer__Op *o = NULL;
		size_t n = len[i & 1];

		memcpy(bad, buf[i & 1], n);
		for (long c = random() % 3; c >= 0; c--)
			bad[(size_t)random() % n] ^= 1 << random() % 8;
		if (i & 1)
			r = orchfs__peer__op_reply__unpack(NULL, n, bad);
		else
			o = orchfs__peer__op__unpack(NULL, n, bad);
		if (o && !op_wire_get_op(o, &req)) {
			passed++;
			assert_true(text_ok(req.name, 255));
			assert_true(text_ok(req.name2, 255));
			assert_true(req.slot < 64 && req.nr_xattrs <= 4);
		}
		if (r && !op_wire_get_reply(r, &back)) {
			passed++;
			assert_in_range(-back.status, 0, EHWPOISON);
			for (size_t e = 0; e < back.nr_entries; e++)
				assert_true(text_ok(back.entries[e].name,
						    255));
		}
		if (o)
			orchfs__peer__op__free_unpacked(o, NULL);
		if (r)
			orchfs__peer__op_reply__free_unpacked(r, NULL);
		if (i % 256 == 255)
			arena_reset(arena);
	}
	assert_in_range(passed, 1000, 39000);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(test_op),
		TEST(test_locks),
		TEST(test_op_small),
		TEST(test_byte_order),
		TEST(test_op_refused),
		TEST(test_reply),
		TEST(test_reply_long),
		TEST(test_reply_refused),
		TEST(test_handles),
		TEST(test_notes),
		TEST(test_invalidate),
		TEST(test_damage),
	};

	return cmocka_run_group_tests_name("op_wire", tests, NULL, NULL);
}
