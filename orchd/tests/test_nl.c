// SPDX-License-Identifier: Apache-2.0
/* Messages of the channel: what the kernel would send, what it would read. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include "nl.h"
#include "nl_gen.h"
#include "nl_serve.h"

#define FAMILY	0x25

static struct nl_msg *event(uint8_t cmd)
{
	struct nl_msg *m = nlmsg_alloc_size(256 << 10);

	assert_non_null(m);
	assert_non_null(genlmsg_put(m, 0, 0, FAMILY, 0, 0, cmd, 1));
	return m;
}

static void put_time(struct nl_msg *m)
{
	struct orchfs_time t = { .sec = 1700000000, .nsec = 5 };

	nla_put(m, ORCHFS_A_MSG_NOW, sizeof(t), &t);
}

static struct nl_msg *create_event(void)
{
	struct nl_msg *m = event(ORCHFS_CMD_REQUEST);

	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, 42);
	nla_put_u32(m, ORCHFS_A_MSG_KIND, ORCHFS_KIND_CREATE);
	nla_put_u32(m, ORCHFS_A_MSG_FLAGS,
		    ORCHFS_REQ_FLAG_LAYOUT | ORCHFS_REQ_FLAG_WRITE);
	nla_put_u64(m, ORCHFS_A_MSG_SESSION, 7);
	nla_put_u32(m, ORCHFS_A_MSG_SLOT, 3);
	nla_put_u64(m, ORCHFS_A_MSG_SEQUENCE, 9);
	nla_put_u64(m, ORCHFS_A_MSG_NODE, 1);
	nla_put(m, ORCHFS_A_MSG_NAME, 5, "hello");
	nla_put_u32(m, ORCHFS_A_MSG_MODE, 0100644);
	nla_put_u32(m, ORCHFS_A_MSG_UID, 1000);
	put_time(m);
	return m;
}

static void test_request(void **state)
{
	struct nl_msg *m = create_event();
	struct nl_request r;

	(void)state;
	assert_int_equal(nl_cmd(nlmsg_hdr(m)), ORCHFS_CMD_REQUEST);
	assert_int_equal(nl_decode_request(nlmsg_hdr(m), &r), 0);
	assert_int_equal(r.op.id, 42);
	assert_int_equal(r.op.kind, ORCHFS_KIND_CREATE);
	assert_int_equal(r.op.session, 7);
	assert_int_equal(r.op.slot, 3);
	assert_int_equal(r.op.sequence, 9);
	assert_int_equal(r.op.name.len, 5);
	assert_memory_equal(r.op.name.s, "hello", 5);
	assert_int_equal(r.op.mode, 0100644);
	assert_int_equal(r.op.now.sec, 1700000000);
	nl_request_release(&r);
	nlmsg_free(m);
}

static int decode_one(uint32_t kind, uint64_t node, const char *name,
		      size_t len, bool now)
{
	struct nl_msg *m = event(ORCHFS_CMD_REQUEST);
	struct nl_request r;
	int rc;

	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, 1);
	nla_put_u32(m, ORCHFS_A_MSG_KIND, kind);
	if (node)
		nla_put_u64(m, ORCHFS_A_MSG_NODE, node);
	if (name)
		nla_put(m, ORCHFS_A_MSG_NAME, (int)len, name);
	if (now)
		put_time(m);
	rc = nl_decode_request(nlmsg_hdr(m), &r);
	assert_int_equal(r.op.id, 1);
	nl_request_release(&r);
	nlmsg_free(m);
	return rc;
}

static void test_request_refused(void **state)
{
	char name[256];

	(void)state;
	memset(name, 'n', sizeof(name));
	assert_int_equal(decode_one(ORCHFS_KIND_LOOKUP, 1, name, 255, 0), 0);
	assert_int_equal(decode_one(ORCHFS_KIND_LOOKUP, 1, NULL, 0, 0),
			 -EPROTO);
	assert_int_equal(decode_one(ORCHFS_KIND_LOOKUP, 0, "a", 1, 0),
			 -EPROTO);
	assert_int_equal(decode_one(ORCHFS_KIND_LOOKUP, 1, "a/b", 3, 0),
			 -EINVAL);
	assert_int_equal(decode_one(ORCHFS_KIND_LOOKUP, 1, "a\0b", 3, 0),
			 -EINVAL);
	assert_int_equal(decode_one(ORCHFS_KIND_LOOKUP, 1, "..", 2, 0), 0);
	assert_int_equal(decode_one(ORCHFS_KIND_LOOKUP, 1, ".", 1, 0),
			 -EINVAL);
	assert_int_equal(decode_one(ORCHFS_KIND_UNLINK, 1, "..", 2, 1),
			 -EINVAL);
	assert_int_equal(decode_one(ORCHFS_KIND_CREATE, 1, "a", 1, 0),
			 -EPROTO);
	assert_int_equal(decode_one(ORCHFS_KIND_CREATE, 1, "a", 1, 1), 0);
	assert_int_equal(decode_one(ORCHFS_KIND_CREATE, 1, NULL, 0, 1),
			 -EPROTO);
	assert_int_equal(decode_one(0, 1, "a", 1, 1), -EPROTO);
	assert_int_equal(decode_one(ORCHFS_KIND_NOTE_ATTR, 1, "a", 1, 1),
			 -EPROTO);
	assert_int_equal(decode_one(UINT32_MAX, 1, "a", 1, 1), -EPROTO);
	assert_int_equal(decode_one(ORCHFS_KIND_BARRIER, 0, NULL, 0, 0), 0);
}

static void put_xattr(struct nl_msg *m, const char *name, const void *value,
		      int len)
{
	nla_put(m, ORCHFS_A_MSG_XATTR_NAME, (int)strlen(name), name);
	nla_put(m, ORCHFS_A_MSG_XATTR_VALUE, len, value);
}

static int decode_xattrs(unsigned int nr, struct nl_request *r)
{
	struct nl_msg *m = event(ORCHFS_CMD_REQUEST);
	char name[] = "user.0";
	int rc;

	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, 1);
	nla_put_u32(m, ORCHFS_A_MSG_KIND, ORCHFS_KIND_CREATE);
	nla_put_u64(m, ORCHFS_A_MSG_NODE, 1);
	nla_put(m, ORCHFS_A_MSG_NAME, 1, "a");
	put_time(m);
	for (; nr; nr--, name[5]++)
		put_xattr(m, name, name + 4, 2);
	rc = nl_decode_request(nlmsg_hdr(m), r);
	nl_request_release(r);
	nlmsg_free(m);
	return rc;
}

/* A create takes several, some of them in pieces. */
static void test_xattrs(void **state)
{
	struct nl_msg *m = event(ORCHFS_CMD_REQUEST);
	struct nl_request r;

	(void)state;
	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, 1);
	nla_put_u32(m, ORCHFS_A_MSG_KIND, ORCHFS_KIND_CREATE);
	nla_put_u64(m, ORCHFS_A_MSG_NODE, 1);
	nla_put(m, ORCHFS_A_MSG_NAME, 1, "a");
	put_time(m);
	put_xattr(m, "user.a", "first", 5);
	put_xattr(m, "user.b", "", 0);
	put_xattr(m, "user.c", "thi", 3);
	nla_put(m, ORCHFS_A_MSG_XATTR_VALUE, 2, "rd");
	assert_int_equal(nl_decode_request(nlmsg_hdr(m), &r), 0);
	assert_int_equal(r.op.nr_xattrs, 3);
	assert_int_equal(r.op.xattrs[0].name.len, 6);
	assert_int_equal(r.op.xattrs[0].len, 5);
	assert_memory_equal(r.op.xattrs[0].value, "first", 5);
	assert_int_equal(r.op.xattrs[1].len, 0);
	assert_int_equal(r.op.xattrs[2].len, 5);
	assert_memory_equal(r.op.xattrs[2].value, "third", 5);
	assert_memory_equal(r.op.xattrs[2].name.s, "user.c", 6);
	nl_request_release(&r);
	nlmsg_free(m);
	assert_int_equal(decode_xattrs(OP_XATTRS_MAX, &r), 0);
	assert_int_equal(decode_xattrs(OP_XATTRS_MAX + 1, &r), -E2BIG);
}

/* A value of 64 KiB comes in two pieces. */
static void test_xattr_pieces(void **state)
{
	struct nl_msg *m = event(ORCHFS_CMD_REQUEST);
	uint8_t value[OP_XATTR_MAX];
	struct nl_request r;

	(void)state;
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)(i * 7 + i / 256);
	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, 1);
	nla_put_u32(m, ORCHFS_A_MSG_KIND, ORCHFS_KIND_SETXATTR);
	nla_put_u64(m, ORCHFS_A_MSG_NODE, 5);
	nla_put(m, ORCHFS_A_MSG_XATTR_NAME, 6, "user.a");
	put_time(m);
	nla_put(m, ORCHFS_A_MSG_XATTR_VALUE, 32768, value);
	nla_put(m, ORCHFS_A_MSG_XATTR_VALUE, 32768, value + 32768);
	assert_int_equal(nl_decode_request(nlmsg_hdr(m), &r), 0);
	assert_int_equal(r.op.xattr_len, sizeof(value));
	assert_memory_equal(r.op.xattr_value, value, sizeof(value));
	nl_request_release(&r);
	nla_put(m, ORCHFS_A_MSG_XATTR_VALUE, 1, value);
	assert_int_equal(nl_decode_request(nlmsg_hdr(m), &r), -E2BIG);
	nl_request_release(&r);
	nlmsg_free(m);
}

/* Every prefix and every flipped byte: an answer, never a crash. */
static void test_request_damage(void **state)
{
	struct nl_msg *m = create_event();
	size_t len = nlmsg_hdr(m)->nlmsg_len;
	struct nl_request r;
	uint8_t *copy;

	(void)state;
	for (size_t n = 0; n < len; n++) {
		copy = malloc(len);
		assert_non_null(copy);
		memcpy(copy, nlmsg_hdr(m), len);
		copy = realloc(copy, n > NLMSG_HDRLEN ? n : NLMSG_HDRLEN);
		assert_non_null(copy);
		((struct nlmsghdr *)copy)->nlmsg_len =
			n > NLMSG_HDRLEN ? (uint32_t)n : NLMSG_HDRLEN;
		nl_decode_request((struct nlmsghdr *)copy, &r);
		nl_request_release(&r);
		free(copy);
	}
	for (size_t n = NLMSG_HDRLEN; n < len; n++) {
		copy = malloc(len);
		assert_non_null(copy);
		memcpy(copy, nlmsg_hdr(m), len);
		copy[n] ^= 0xff;
		nl_decode_request((struct nlmsghdr *)copy, &r);
		nl_request_release(&r);
		free(copy);
	}
	nlmsg_free(m);
}

struct seen {
	size_t nr, calls;
	uint64_t last;
};

static int see_notes(void *ctx, const struct ns_note *notes, size_t nr)
{
	struct seen *s = ctx;

	s->nr += nr;
	s->calls++;
	s->last = notes[nr - 1].node;
	return 0;
}

static void put_note(struct nl_msg *m, uint32_t kind, uint64_t node,
		     const struct orchfs_attr *a)
{
	struct nlattr *n = nla_nest_start(m, ORCHFS_A_MSG_NOTE);

	nla_put_u32(m, ORCHFS_A_NOTE_KIND, kind);
	nla_put_u64(m, ORCHFS_A_NOTE_NODE, node);
	if (a) {
		nla_put_u32(m, ORCHFS_A_NOTE_VALID, ORCHFS_SET_SIZE);
		nla_put(m, ORCHFS_A_NOTE_ATTR, sizeof(*a), a);
	}
	nla_nest_end(m, n);
}

static void test_notices(void **state)
{
	struct nl_msg *m = event(ORCHFS_CMD_NOTICE);
	struct orchfs_attr a = { .ino = 5, .size = 100 };
	struct seen s = { 0 };

	(void)state;
	for (uint64_t i = 1; i <= 70; i++)
		put_note(m, i % 2 ? ORCHFS_KIND_NOTE_ATTR :
			 ORCHFS_KIND_NOTE_FORGET, i, i % 2 ? &a : NULL);
	assert_int_equal(nl_decode_notices(nlmsg_hdr(m), see_notes, &s), 0);
	assert_int_equal(s.nr, 70);
	assert_int_equal(s.calls, 2);
	assert_int_equal(s.last, 70);
	/* a bad one is told, the good ones count */
	put_note(m, ORCHFS_KIND_LOOKUP, 1, NULL);
	put_note(m, ORCHFS_KIND_NOTE_FORGET, 99, NULL);
	assert_int_equal(nl_decode_notices(nlmsg_hdr(m), see_notes, &s),
			 -EPROTO);
	assert_int_equal(s.last, 99);
	nlmsg_free(m);
}

static void parse(struct nl_msg *m, uint8_t cmd, struct nlattr **tb)
{
	assert_non_null(m);
	assert_int_equal(nlmsg_hdr(m)->nlmsg_type, FAMILY);
	assert_int_equal(nl_cmd(nlmsg_hdr(m)), cmd);
	assert_int_equal(genlmsg_parse(nlmsg_hdr(m), 0, tb, ORCHFS_A_MSG_MAX,
			(struct nla_policy *)orchfs_msg_nl_policy), 0);
}

static void test_attach(void **state)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];
	const uint8_t uuid[16] = "0123456789abcdef";
	struct nl_msg *m;

	(void)state;
	m = nl_encode_attach(FAMILY, uuid, "studio", 77);
	parse(m, ORCHFS_CMD_ATTACH, tb);
	assert_memory_equal(nla_data(tb[ORCHFS_A_MSG_NS_UUID]), uuid, 16);
	assert_string_equal(nla_get_string(tb[ORCHFS_A_MSG_NS_NAME]),
			    "studio");
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_INCARNATION]), 77);
	nlmsg_free(m);
	m = nl_encode_dump(FAMILY, ORCHFS_CMD_HANDLES);
	assert_true((nlmsg_hdr(m)->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP);
	nlmsg_free(m);
}

static void test_durable(void **state)
{
	static const struct {
		uint8_t cmd;
		uint64_t lease;
	} cases[] = {
		{ ORCHFS_CMD_POLL, NL_LEASE_KEEP }, { ORCHFS_CMD_POLL, 0 },
		{ ORCHFS_CMD_READY, 0 }, { ORCHFS_CMD_READY, 123456789012 },
	};
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1], *lease;
	struct nl_msg *m;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		m = nl_encode_durable(FAMILY, cases[i].cmd, 5,
				      cases[i].lease);
		parse(m, cases[i].cmd, tb);
		assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_DURABLE]), 5);
		assert_false(nlmsg_hdr(m)->nlmsg_flags & NLM_F_ACK);
		lease = tb[ORCHFS_A_MSG_LEASE_UNTIL_MS];
		if (cases[i].lease == NL_LEASE_KEEP) {
			assert_null(lease);
		} else {
			assert_non_null(lease);
			assert_true(nla_get_u64(lease) == cases[i].lease);
		}
		nlmsg_free(m);
	}
}

static void test_invalidate(void **state)
{
	const struct orchfs_attr attr = { .ino = 9, .change = 4,
					  .mode = 0100644 };
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];
	struct nl_msg *m;

	(void)state;
	m = nl_encode_invalidate(FAMILY, 0, NULL);
	parse(m, ORCHFS_CMD_INVALIDATE, tb);
	assert_null(tb[ORCHFS_A_MSG_NODE]);
	assert_null(tb[ORCHFS_A_MSG_ATTR]);
	nlmsg_free(m);
	m = nl_encode_invalidate(FAMILY, 9, NULL);
	parse(m, ORCHFS_CMD_INVALIDATE, tb);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_NODE]), 9);
	assert_null(tb[ORCHFS_A_MSG_ATTR]);
	nlmsg_free(m);
	m = nl_encode_invalidate(FAMILY, 9, &attr);
	parse(m, ORCHFS_CMD_INVALIDATE, tb);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_NODE]), 9);
	assert_int_equal(nla_len(tb[ORCHFS_A_MSG_ATTR]), sizeof(attr));
	assert_memory_equal(nla_data(tb[ORCHFS_A_MSG_ATTR]), &attr,
			    sizeof(attr));
	nlmsg_free(m);
}

static void parse_mirror(struct nlattr **tb, struct nlattr **k)
{
	struct nlattr *l[ORCHFS_A_LAYOUT_MAX + 1];
	struct nlattr *s[ORCHFS_A_SEGMENT_MAX + 1];

	nla_parse_nested(l, ORCHFS_A_LAYOUT_MAX, tb[ORCHFS_A_MSG_LAYOUT],
			 (struct nla_policy *)orchfs_layout_nl_policy);
	assert_int_equal(nla_get_u64(l[ORCHFS_A_LAYOUT_GENERATION]), 8);
	nla_parse_nested(s, ORCHFS_A_SEGMENT_MAX, l[ORCHFS_A_LAYOUT_SEGMENT],
			 (struct nla_policy *)orchfs_segment_nl_policy);
	assert_int_equal(nla_get_u64(s[ORCHFS_A_SEGMENT_OFFSET]), 0);
	assert_true(nla_get_u64(s[ORCHFS_A_SEGMENT_LENGTH]) ==
		    (1ULL << 63) - 1);
	nla_parse_nested(k, ORCHFS_A_MIRROR_MAX, s[ORCHFS_A_SEGMENT_MIRROR],
			 (struct nla_policy *)orchfs_mirror_nl_policy);
}

static void test_reply_layout(void **state)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];
	struct nlattr *k[ORCHFS_A_MIRROR_MAX + 1];
	struct op_reply rep = {
		.txn = 12, .has_attr = true, .has_layout = true,
		.attr = { .ino = 5, .size = 3 },
		.layout = { .generation = 8, .version = 1, .instance = 6,
			    .volume = 2, .writable = true },
	};
	struct nl_msg *m = nl_encode_reply(FAMILY, 42, &rep, 11, 9);

	(void)state;
	parse(m, ORCHFS_CMD_REPLY, tb);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_REQUEST_ID]), 42);
	assert_int_equal(nla_get_s32(tb[ORCHFS_A_MSG_STATUS]), 0);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_TXN]), 12);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_DURABLE]), 11);
	parse_mirror(tb, k);
	assert_int_equal(nla_get_u32(k[ORCHFS_A_MIRROR_KIND]),
			 ORCHFS_MIRROR_KIND_LOCAL);
	assert_int_equal(nla_get_u32(k[ORCHFS_A_MIRROR_FD]), 9);
	assert_int_equal(nla_get_u32(k[ORCHFS_A_MIRROR_VOLUME]), 2);
	assert_int_equal(nla_get_u64(k[ORCHFS_A_MIRROR_INSTANCE]), 6);
	nlmsg_free(m);
	/* without a descriptor there is no layout */
	m = nl_encode_reply(FAMILY, 42, &rep, 11, -1);
	parse(m, ORCHFS_CMD_REPLY, tb);
	assert_null(tb[ORCHFS_A_MSG_LAYOUT]);
	nlmsg_free(m);
	/* but for one that is on another node */
	rep.layout.home = 3;
	memset(rep.layout.token, 0x5a, sizeof(rep.layout.token));
	m = nl_encode_reply(FAMILY, 42, &rep, 11, -1);
	parse(m, ORCHFS_CMD_REPLY, tb);
	parse_mirror(tb, k);
	assert_int_equal(nla_get_u32(k[ORCHFS_A_MIRROR_KIND]),
			 ORCHFS_MIRROR_KIND_REMOTE);
	assert_int_equal(nla_get_u32(k[ORCHFS_A_MIRROR_PEER]), 3);
	assert_int_equal(nla_get_u64(k[ORCHFS_A_MIRROR_NODE]), 5);
	assert_int_equal(nla_get_u32(k[ORCHFS_A_MIRROR_VOLUME]), 2);
	assert_int_equal(nla_get_u64(k[ORCHFS_A_MIRROR_VERSION]), 1);
	assert_int_equal(nla_get_u64(k[ORCHFS_A_MIRROR_INSTANCE]), 6);
	assert_int_equal(nla_len(k[ORCHFS_A_MIRROR_TOKEN]), 120);
	assert_memory_equal(nla_data(k[ORCHFS_A_MIRROR_TOKEN]),
			    rep.layout.token, 120);
	assert_null(k[ORCHFS_A_MIRROR_FD]);
	nlmsg_free(m);
}

static size_t count(struct nl_msg *m, int type, size_t *bytes)
{
	struct nlattr *a;
	size_t n = 0;
	int rem;

	nla_for_each_attr(a, genlmsg_attrdata(nlmsg_data(nlmsg_hdr(m)), 0),
			  genlmsg_attrlen(nlmsg_data(nlmsg_hdr(m)), 0), rem) {
		if (nla_type(a) != type)
			continue;
		n++;
		if (bytes)
			*bytes += (size_t)nla_len(a);
	}
	return n;
}

/* A listing that is too large is cut, and then it is not the end. */
static void test_reply_listing(void **state)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];
	struct op_entry *e = calloc(4096, sizeof(*e));
	struct op_reply rep = { .entries = e, .eof = true };
	char name[255];
	struct nl_msg *m;
	size_t n;

	(void)state;
	assert_non_null(e);
	memset(name, 'x', sizeof(name));
	for (size_t i = 0; i < 4096; i++) {
		e[i].name.s = name;
		e[i].name.len = sizeof(name);
		e[i].cookie = i + 1;
	}
	rep.nr_entries = 500;
	m = nl_encode_reply(FAMILY, 1, &rep, 0, -1);
	parse(m, ORCHFS_CMD_REPLY, tb);
	assert_int_equal(count(m, ORCHFS_A_MSG_ENTRY, NULL), 500);
	assert_non_null(tb[ORCHFS_A_MSG_EOF]);
	nlmsg_free(m);
	rep.nr_entries = 4096;
	m = nl_encode_reply(FAMILY, 1, &rep, 0, -1);
	parse(m, ORCHFS_CMD_REPLY, tb);
	n = count(m, ORCHFS_A_MSG_ENTRY, NULL);
	assert_true(n >= 500 && n < 4096);
	assert_null(tb[ORCHFS_A_MSG_EOF]);
	assert_true(nlmsg_hdr(m)->nlmsg_len <= NL_REPLY_MAX + 4096);
	nlmsg_free(m);
	free(e);
}

static void test_reply_value(void **state)
{
	static const size_t sizes[] = { 0, 1, 32768, 32769, 65536 };
	static char value[65536];

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct op_reply rep = {
			.value = value, .value_len = sizes[i],
		};
		struct nl_msg *m = nl_encode_reply(FAMILY, 1, &rep, 0, -1);
		size_t bytes = 0;

		assert_non_null(m);
		assert_int_equal(count(m, ORCHFS_A_MSG_XATTR_VALUE, &bytes),
				 sizes[i] ? (sizes[i] + 32767) / 32768 : 1);
		assert_int_equal(bytes, sizes[i]);
		nlmsg_free(m);
	}
}

/* What the daemon says of data servers, as the kernel reads it. */
static void test_serve_encode(void **state)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];
	uint8_t key[ORCHFS_KEY_LEN] = { 1, 2, [31] = 9 };
	struct nl_msg *m;

	(void)state;
	m = nl_encode_serve_volume(FAMILY, 3, 8, key, 77);
	assert_true(nlmsg_hdr(m)->nlmsg_flags & NLM_F_ACK);
	parse(m, ORCHFS_CMD_SERVE_VOLUME, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_VOLUME]), 3);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_FD]), 8);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_KEY_ID]), 77);
	assert_memory_equal(nla_data(tb[ORCHFS_A_MSG_KEY]), key, sizeof(key));
	nlmsg_free(m);
	m = nl_encode_serve_unvolume(FAMILY, 1ULL << 33, 3);
	parse(m, ORCHFS_CMD_SERVE_UNVOLUME, tb);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_REQUEST_ID]), 1ULL << 33);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_VOLUME]), 3);
	nlmsg_free(m);
	m = nl_encode_socket(FAMILY, ORCHFS_CMD_PEER_ADD, 9, 4);
	/* its answer is the end */
	assert_false(nlmsg_hdr(m)->nlmsg_flags & NLM_F_ACK);
	parse(m, ORCHFS_CMD_PEER_ADD, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_FD]), 9);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_PEER]), 4);
	nlmsg_free(m);
	m = nl_encode_serve_drop(FAMILY, 4, 0);
	parse(m, ORCHFS_CMD_SERVE_DROP, tb);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_PEER]), 4);
	assert_null(tb[ORCHFS_A_MSG_CONNECTION]);
	nlmsg_free(m);
	m = nl_encode_serve_drop(FAMILY, 4, 5);
	parse(m, ORCHFS_CMD_SERVE_DROP, tb);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_CONNECTION]), 5);
	nlmsg_free(m);
	m = nl_encode_serve_fence(FAMILY, 6, 3, 0, 4, 1ULL << 40, 1ULL << 41);
	parse(m, ORCHFS_CMD_SERVE_FENCE, tb);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_REQUEST_ID]), 6);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_VOLUME]), 3);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_INSTANCE]), 0);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_PEER]), 4);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_EPOCH]), 1ULL << 40);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_EXPIRY_MS]), 1ULL << 41);
	nlmsg_free(m);
	m = nl_encode_serve_time(FAMILY, 1ULL << 42, 1000, 10000);
	parse(m, ORCHFS_CMD_SERVE_TIME, tb);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_AUTHORITY_MS]),
			 1ULL << 42);
	assert_int_equal(nla_get_u64(tb[ORCHFS_A_MSG_BOOT_MS]), 1000);
	assert_int_equal(nla_get_u32(tb[ORCHFS_A_MSG_LEASE_MS]), 10000);
	nlmsg_free(m);
}

static struct nl_msg *serve_event(uint8_t cmd)
{
	struct nl_msg *m = event(cmd);
	struct nlattr *n;

	nla_put_u32(m, ORCHFS_A_MSG_PEER, 4);
	nla_put_u64(m, ORCHFS_A_MSG_CONNECTION, 1ULL << 35);
	nla_put_u32(m, ORCHFS_A_MSG_REASON, ORCHFS_REASON_SOCKET);
	n = nla_nest_start(m, ORCHFS_A_MSG_SERVER);
	nla_put_u64(m, ORCHFS_A_SERVER_REQUESTS, 1);
	nla_put_u64(m, ORCHFS_A_SERVER_REFUSED, 2);
	nla_put_u64(m, ORCHFS_A_SERVER_BYTES_READ, 1ULL << 34);
	nla_put_u64(m, ORCHFS_A_SERVER_BYTES_WRITTEN, 1ULL << 36);
	nla_put_u32(m, ORCHFS_A_SERVER_IN_FLIGHT, 5);
	nla_put_u32(m, ORCHFS_A_SERVER_HANDLES, 6);
	nla_put_u64(m, ORCHFS_A_SERVER_WAITS, 7);
	nla_nest_end(m, n);
	return m;
}

/* What the kernel tells of them. */
static void test_serve_decode(void **state)
{
	struct nl_msg *m = serve_event(ORCHFS_CMD_SERVE_GONE);
	struct nl_serve s;
	uint64_t id = 0;
	int status = 0;

	(void)state;
	assert_int_equal(nl_decode_serve(nlmsg_hdr(m), &s), 0);
	assert_int_equal(s.peer, 4);
	assert_int_equal(s.connection, 1ULL << 35);
	assert_int_equal(s.reason, ORCHFS_REASON_SOCKET);
	assert_int_equal(s.requests, 1);
	assert_int_equal(s.refused, 2);
	assert_int_equal(s.bytes_read, 1ULL << 34);
	assert_int_equal(s.bytes_written, 1ULL << 36);
	assert_int_equal(s.in_flight, 5);
	assert_int_equal(s.handles, 6);
	assert_int_equal(s.waits, 7);
	assert_int_equal(nl_decode_connection(nlmsg_hdr(m), &id), 0);
	assert_int_equal(id, 1ULL << 35);
	assert_int_equal(nl_decode_serve_done(nlmsg_hdr(m), &id, &status),
			 -EPROTO);
	nlmsg_free(m);
	m = event(ORCHFS_CMD_SERVE_LIST);
	nla_put(m, ORCHFS_A_MSG_NS_UUID, 16, "namespace-uuid--");
	assert_int_equal(nl_decode_serve(nlmsg_hdr(m), &s), -EPROTO);
	assert_int_equal(nl_decode_connection(nlmsg_hdr(m), &id), -EPROTO);
	nla_put_u32(m, ORCHFS_A_MSG_VOLUME, 3);
	nla_put_u32(m, ORCHFS_A_MSG_KEY_ID, 77);
	assert_int_equal(nl_decode_serve(nlmsg_hdr(m), &s), 0);
	assert_memory_equal(s.uuid, "namespace-uuid--", 16);
	assert_int_equal(s.volume, 3);
	assert_int_equal(s.key_id, 77);
	assert_int_equal(s.peer, 0);
	nlmsg_free(m);
	m = event(ORCHFS_CMD_SERVE_DONE);
	nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, 1ULL << 33);
	nla_put_s32(m, ORCHFS_A_MSG_STATUS, -EIO);
	assert_int_equal(nl_decode_serve_done(nlmsg_hdr(m), &id, &status), 0);
	assert_int_equal(id, 1ULL << 33);
	assert_int_equal(status, -EIO);
	nlmsg_free(m);
}

static void test_dumps(void **state)
{
	struct nl_msg *m = event(ORCHFS_CMD_MOUNTS);
	struct nl_mount mount;
	struct ns_handle h;
	struct orchfs_attr a = { .ino = 4, .nlink = 0 };
	uint8_t uuid[16] = "0123456789abcdef";

	(void)state;
	nla_put(m, ORCHFS_A_MSG_NS_UUID, 16, uuid);
	nla_put_string(m, ORCHFS_A_MSG_NS_NAME, "studio");
	nla_put_u64(m, ORCHFS_A_MSG_SESSION, 99);
	assert_int_equal(nl_decode_mount(nlmsg_hdr(m), &mount), 0);
	assert_string_equal(mount.name, "studio");
	assert_int_equal(mount.session, 99);
	nlmsg_free(m);
	m = event(ORCHFS_CMD_HANDLES);
	nla_put_u64(m, ORCHFS_A_MSG_NODE, 4);
	nla_put_u32(m, ORCHFS_A_MSG_OPENS, 2);
	nla_put_u64(m, ORCHFS_A_MSG_GENERATION, 3);
	nla_put(m, ORCHFS_A_MSG_ATTR, sizeof(a), &a);
	assert_int_equal(nl_decode_handle(nlmsg_hdr(m), &h), 0);
	assert_int_equal(h.ino, 4);
	assert_int_equal(h.opens, 2);
	assert_int_equal(h.generation, 3);
	nlmsg_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_request_refused),
		cmocka_unit_test(test_xattrs),
		cmocka_unit_test(test_xattr_pieces),
		cmocka_unit_test(test_request_damage),
		cmocka_unit_test(test_notices),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_durable),
		cmocka_unit_test(test_invalidate),
		cmocka_unit_test(test_reply_layout),
		cmocka_unit_test(test_reply_listing),
		cmocka_unit_test(test_reply_value),
		cmocka_unit_test(test_serve_encode),
		cmocka_unit_test(test_serve_decode),
		cmocka_unit_test(test_dumps),
	};

	return cmocka_run_group_tests_name("nl", tests, NULL, NULL);
}
