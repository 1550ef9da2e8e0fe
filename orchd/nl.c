// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include "fault.h"
#include "nl.h"
#include "nl_gen.h"
#include "nl_msg.h"
#include "op_wire.h"

#define NL_ATTR(len)	(NLA_ALIGN((len)) + NLA_HDRLEN)
#define LAYOUT_END	((1ULL << 63) - 1)

int nl_cmd(const struct nlmsghdr *nlh)
{
	if (!genlmsg_valid_hdr((struct nlmsghdr *)nlh, 0))
		return -EBADMSG;
	return genlmsg_hdr((struct nlmsghdr *)nlh)->cmd;
}

static struct op_name get_name(struct nlattr **tb, int a)
{
	struct op_name n = { NULL, 0 };

	if (tb[a]) {
		n.s = nla_data(tb[a]);
		n.len = (size_t)nla_len(tb[a]);
	}
	return n;
}

static int get_attr(const struct nlattr *a, struct orchfs_attr *out)
{
	if (nla_len(a) != sizeof(*out))
		return -EPROTO;
	memcpy(out, nla_data(a), sizeof(*out));
	return op_attr_ok(out) ? 0 : -EPROTO;
}

static int get_time(const struct nlattr *a, struct orchfs_time *out)
{
	memcpy(out, nla_data(a), sizeof(*out));
	return op_time_ok(out) ? 0 : -EPROTO;
}

static struct nlattr *first_attr(struct nlmsghdr *nlh, int *rem)
{
	*rem = genlmsg_attrlen(genlmsg_hdr(nlh), 0);
	return genlmsg_attrdata(genlmsg_hdr(nlh), 0);
}

/* One more chunk of the value at hand, which may be the first. */
static void add_chunk(struct op_xattr *x, const struct nlattr *a, char **buf)
{
	size_t len = (size_t)nla_len(a);

	if (!*buf) {
		x->value = nla_data(a);
		x->len = len;
		return;
	}
	if (!x->value)
		x->value = *buf;
	if (len)
		memcpy(*buf, nla_data(a), len);
	*buf += len;
	x->len += len;
}

/* Space for the values if one of them comes in several chunks. */
static int join_buffer(struct nlmsghdr *nlh, struct nl_request *r)
{
	size_t total = 0, names = 0, chunks = 0;
	struct nlattr *a;
	int rem;

	for (a = first_attr(nlh, &rem); nla_ok(a, rem);
	     a = nla_next(a, &rem)) {
		names += nla_type(a) == ORCHFS_A_MSG_XATTR_NAME;
		if (nla_type(a) != ORCHFS_A_MSG_XATTR_VALUE)
			continue;
		total += (size_t)nla_len(a);
		chunks++;
	}
	if (total > OP_XATTR_MAX * OP_XATTRS_MAX)
		return -E2BIG;
	if (chunks <= names)
		return 0;
	r->owned = malloc(total ? total : 1);
	return r->owned ? 0 : -ENOMEM;
}

/*
 * A name, then its value, which is the concatenation of the xattr-value
 * attributes that follow; then the next name.
 */
static int get_xattrs(struct nlmsghdr *nlh, struct nl_request *r)
{
	struct op_xattr *x = NULL;
	struct nlattr *a;
	char *buf;
	int rem, rc;

	rc = join_buffer(nlh, r);
	if (rc)
		return rc;
	buf = r->owned;
	for (a = first_attr(nlh, &rem); nla_ok(a, rem);
	     a = nla_next(a, &rem)) {
		if (nla_type(a) == ORCHFS_A_MSG_XATTR_NAME) {
			if (r->op.nr_xattrs == OP_XATTRS_MAX)
				return -E2BIG;
			x = &r->op.xattrs[r->op.nr_xattrs++];
			x->name.s = nla_data(a);
			x->name.len = (size_t)nla_len(a);
			if (!x->name.len ||
			    memchr(x->name.s, 0, x->name.len))
				return -EINVAL;
		} else if (nla_type(a) == ORCHFS_A_MSG_XATTR_VALUE) {
			if (!x)
				return -EPROTO;
			if (x->len + (size_t)nla_len(a) > OP_XATTR_MAX)
				return -E2BIG;
			add_chunk(x, a, &buf);
		}
	}
	return 0;
}

/* Setxattr has one name and a value. */
static void one_xattr(struct op_req *op)
{
	op->xattr_value = op->xattrs[0].value;
	op->xattr_len = op->xattrs[0].len;
	op->nr_xattrs = 0;
}

int nl_decode_request(struct nlmsghdr *nlh, struct nl_request *r)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];
	struct op_req *op = &r->op;
	int rc;

	memset(r, 0, sizeof(*r));
	rc = msg_parse(nlh, tb);
	if (rc < 0)
		return rc;
	op->id = msg_u64(tb, ORCHFS_A_MSG_REQUEST_ID);
	if (!tb[ORCHFS_A_MSG_REQUEST_ID] || !tb[ORCHFS_A_MSG_KIND])
		return -EPROTO;
	op->kind = msg_u32(tb, ORCHFS_A_MSG_KIND);
	op->flags = msg_u32(tb, ORCHFS_A_MSG_FLAGS);
	op->session = msg_u64(tb, ORCHFS_A_MSG_SESSION);
	op->slot = msg_u32(tb, ORCHFS_A_MSG_SLOT);
	op->sequence = msg_u64(tb, ORCHFS_A_MSG_SEQUENCE);
	op->node = msg_u64(tb, ORCHFS_A_MSG_NODE);
	op->node2 = msg_u64(tb, ORCHFS_A_MSG_NODE2);
	op->name = get_name(tb, ORCHFS_A_MSG_NAME);
	op->name2 = get_name(tb, ORCHFS_A_MSG_NAME2);
	op->target = get_name(tb, ORCHFS_A_MSG_TARGET);
	op->xattr_name = get_name(tb, ORCHFS_A_MSG_XATTR_NAME);
	op->mode = msg_u32(tb, ORCHFS_A_MSG_MODE);
	op->uid = msg_u32(tb, ORCHFS_A_MSG_UID);
	op->gid = msg_u32(tb, ORCHFS_A_MSG_GID);
	op->rdev_major = msg_u32(tb, ORCHFS_A_MSG_RDEV_MAJOR);
	op->rdev_minor = msg_u32(tb, ORCHFS_A_MSG_RDEV_MINOR);
	op->valid = msg_u32(tb, ORCHFS_A_MSG_VALID);
	op->cookie = msg_u64(tb, ORCHFS_A_MSG_COOKIE);
	op->max_entries = msg_u32(tb, ORCHFS_A_MSG_MAX_ENTRIES);
	if (tb[ORCHFS_A_MSG_ATTR])
		rc = get_attr(tb[ORCHFS_A_MSG_ATTR], &op->attr);
	if (!rc && tb[ORCHFS_A_MSG_NOW])
		rc = get_time(tb[ORCHFS_A_MSG_NOW], &op->now);
	if (op->kind == ORCHFS_KIND_LOCK && !tb[ORCHFS_A_MSG_LOCK])
		rc = -EPROTO;
	else if (op->kind == ORCHFS_KIND_LOCK)
		memcpy(&op->lock, nla_data(tb[ORCHFS_A_MSG_LOCK]),
		       sizeof(op->lock));
	if (!rc)
		rc = op_check(op, tb[ORCHFS_A_MSG_ATTR],
			      tb[ORCHFS_A_MSG_NOW]);
	if (!rc && tb[ORCHFS_A_MSG_XATTR_NAME])
		rc = get_xattrs(nlh, r);
	if (!rc && op->kind == ORCHFS_KIND_SETXATTR)
		one_xattr(op);
	return rc;
}

void nl_request_release(struct nl_request *r)
{
	free(r->owned);
	r->owned = NULL;
}

static int decode_note(struct nlattr *a, struct ns_note *n)
{
	struct nlattr *tb[ORCHFS_A_NOTE_MAX + 1];

	if (nla_parse_nested(tb, ORCHFS_A_NOTE_MAX, a,
			     (struct nla_policy *)orchfs_note_nl_policy) < 0)
		return -EPROTO;
	memset(n, 0, sizeof(*n));
	n->kind = msg_u32(tb, ORCHFS_A_NOTE_KIND);
	n->node = msg_u64(tb, ORCHFS_A_NOTE_NODE);
	n->generation = msg_u64(tb, ORCHFS_A_NOTE_GENERATION);
	n->session = msg_u64(tb, ORCHFS_A_NOTE_SESSION);
	n->valid = msg_u32(tb, ORCHFS_A_NOTE_VALID);
	if (n->kind < ORCHFS_KIND_NOTE_FORGET ||
	    n->kind > ORCHFS_KIND_NOTE_UMOUNT)
		return -EPROTO;
	if (!tb[ORCHFS_A_NOTE_ATTR])
		return n->valid ? -EPROTO : 0;
	return get_attr(tb[ORCHFS_A_NOTE_ATTR], &n->attr);
}

int nl_decode_notices(struct nlmsghdr *nlh, nl_notes_fn fn, void *ctx)
{
	struct ns_note notes[64];
	size_t nr = 0;
	struct nlattr *a;
	int rem, rc, bad = 0;

	if (!genlmsg_valid_hdr(nlh, 0))
		return -EPROTO;
	nla_for_each_attr(a, genlmsg_attrdata(genlmsg_hdr(nlh), 0),
			  genlmsg_attrlen(genlmsg_hdr(nlh), 0), rem) {
		if (nla_type(a) != ORCHFS_A_MSG_NOTE)
			continue;
		if (decode_note(a, &notes[nr]) < 0) {
			bad = -EPROTO;
			continue;
		}
		if (++nr < 64)
			continue;
		rc = fn(ctx, notes, nr);
		if (rc < 0)
			bad = rc;
		nr = 0;
	}
	rc = nr ? fn(ctx, notes, nr) : 0;
	return rc < 0 ? rc : bad;
}

int nl_decode_layout_done(struct nlmsghdr *nlh, struct nl_layout_done *d)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];

	if (msg_parse(nlh, tb) < 0 || !tb[ORCHFS_A_MSG_REQUEST_ID])
		return -EPROTO;
	d->id = msg_u64(tb, ORCHFS_A_MSG_REQUEST_ID);
	d->node = msg_u64(tb, ORCHFS_A_MSG_NODE);
	d->generation = msg_u64(tb, ORCHFS_A_MSG_GENERATION);
	d->status = (int)msg_u32(tb, ORCHFS_A_MSG_STATUS);
	d->writers = msg_u32(tb, ORCHFS_A_MSG_OPENS);
	return 0;
}

int nl_decode_attached(struct nlmsghdr *nlh, struct nl_attached *r)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];

	if (msg_parse(nlh, tb) < 0 || !tb[ORCHFS_A_MSG_VERSION])
		return -EPROTO;
	memset(r, 0, sizeof(*r));
	r->version = msg_u32(tb, ORCHFS_A_MSG_VERSION);
	r->state = msg_u32(tb, ORCHFS_A_MSG_STATE);
	if (tb[ORCHFS_A_MSG_BOOT_ID])
		memcpy(r->boot_id, nla_data(tb[ORCHFS_A_MSG_BOOT_ID]), 16);
	return 0;
}

int nl_decode_mount(struct nlmsghdr *nlh, struct nl_mount *m)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];

	if (msg_parse(nlh, tb) < 0 || !tb[ORCHFS_A_MSG_NS_UUID])
		return -EPROTO;
	memset(m, 0, sizeof(*m));
	memcpy(m->uuid, nla_data(tb[ORCHFS_A_MSG_NS_UUID]), 16);
	if (tb[ORCHFS_A_MSG_NS_NAME])
		nla_strlcpy(m->name, tb[ORCHFS_A_MSG_NS_NAME],
			    sizeof(m->name));
	m->session = msg_u64(tb, ORCHFS_A_MSG_SESSION);
	m->state = msg_u32(tb, ORCHFS_A_MSG_STATE);
	m->waiting = msg_u32(tb, ORCHFS_A_MSG_WAITING);
	m->opens = msg_u32(tb, ORCHFS_A_MSG_OPENS);
	return 0;
}

static int get_locks(struct nlmsghdr *nlh, struct op_locks *v)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];
	const struct nlattr *a;
	size_t len;

	if (msg_parse(nlh, tb) < 0)
		return -EPROTO;
	a = tb[ORCHFS_A_MSG_LOCKS];
	len = a ? (size_t)nla_len(a) : 0;
	*v = (struct op_locks){
		.ino = msg_u64(tb, ORCHFS_A_MSG_NODE),
		.lease = msg_u32(tb, ORCHFS_A_MSG_FLAGS) &
			 ORCHFS_REQ_FLAG_LEASE,
		.nr = len / ORCHFS_LOCK_LEN,
	};
	if (!v->ino || len > ORCHFS_CHUNK_MAX || len % ORCHFS_LOCK_LEN)
		return -EPROTO;
	v->l = malloc(len + 1);
	if (!v->l)
		return -ENOMEM;
	if (a)
		memcpy(v->l, nla_data(a), len);
	return 0;
}

int nl_decode_locks(struct nlmsghdr *nlh, struct op_locks *v)
{
	return get_locks(nlh, v);
}

int nl_decode_held(struct nlmsghdr *nlh, struct op_locks *v, uint64_t *number,
		   bool *eof)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];

	if (msg_parse(nlh, tb) < 0)
		return -EPROTO;
	*number = msg_u64(tb, ORCHFS_A_MSG_REQUEST_ID);
	*eof = tb[ORCHFS_A_MSG_EOF];
	return get_locks(nlh, v);
}

int nl_decode_handle(struct nlmsghdr *nlh, struct ns_handle *h)
{
	struct nlattr *tb[ORCHFS_A_MSG_MAX + 1];

	if (msg_parse(nlh, tb) < 0 || !tb[ORCHFS_A_MSG_NODE])
		return -EPROTO;
	memset(h, 0, sizeof(*h));
	h->ino = msg_u64(tb, ORCHFS_A_MSG_NODE);
	h->opens = msg_u32(tb, ORCHFS_A_MSG_OPENS);
	h->generation = msg_u64(tb, ORCHFS_A_MSG_GENERATION);
	if (tb[ORCHFS_A_MSG_ATTR])
		return get_attr(tb[ORCHFS_A_MSG_ATTR], &h->attr);
	return 0;
}

/* Another one for a test of daemon and module of different releases. */
static uint32_t protocol_version(void)
{
	if (fault_enabled("older-protocol"))
		return ORCHFS_PROTOCOL_VERSION - 1;
	return ORCHFS_PROTOCOL_VERSION + fault_enabled("newer-protocol");
}

struct nl_msg *nl_encode_attach(uint16_t family, const uint8_t uuid[16],
				const char *name, uint64_t incarnation)
{
	struct nl_msg *m = msg_new(family, ORCHFS_CMD_ATTACH, NLM_F_ACK, 256);
	int rc;

	if (!m)
		return NULL;
	rc = nla_put_u32(m, ORCHFS_A_MSG_VERSION_MIN, protocol_version()) ||
	     nla_put_u32(m, ORCHFS_A_MSG_VERSION_MAX, protocol_version()) ||
	     nla_put(m, ORCHFS_A_MSG_NS_UUID, 16, uuid) ||
	     nla_put_string(m, ORCHFS_A_MSG_NS_NAME, name) ||
	     nla_put_u64(m, ORCHFS_A_MSG_INCARNATION, incarnation);
	return msg_end(m, rc);
}

struct nl_msg *nl_encode_durable(uint16_t family, uint8_t cmd,
				 uint64_t durable, uint64_t lease_until_ms)
{
	struct nl_msg *m = msg_new(family, cmd, 0, 32);
	int rc;

	if (!m)
		return NULL;
	rc = nla_put_u64(m, ORCHFS_A_MSG_DURABLE, durable);
	if (!rc && lease_until_ms != NL_LEASE_KEEP)
		rc = nla_put_u64(m, ORCHFS_A_MSG_LEASE_UNTIL_MS,
				 lease_until_ms);
	return msg_end(m, rc);
}

struct nl_msg *nl_encode_dump(uint16_t family, uint8_t cmd)
{
	return msg_new(family, cmd, NLM_F_DUMP, 0);
}

static int put_mirror(struct nl_msg *m, uint64_t ino,
		      const struct op_layout *l, int fd)
{
	struct nlattr *n = nla_nest_start(m, ORCHFS_A_SEGMENT_MIRROR);

	if (!n || nla_put_u32(m, ORCHFS_A_MIRROR_KIND, l->home ?
			      ORCHFS_MIRROR_KIND_REMOTE :
			      ORCHFS_MIRROR_KIND_LOCAL) ||
	    nla_put_u32(m, ORCHFS_A_MIRROR_VOLUME, l->volume) ||
	    nla_put_u64(m, ORCHFS_A_MIRROR_INSTANCE, l->instance))
		return -EMSGSIZE;
	if (!l->home && nla_put_u32(m, ORCHFS_A_MIRROR_FD, (uint32_t)fd))
		return -EMSGSIZE;
	if (l->home && (nla_put_u32(m, ORCHFS_A_MIRROR_PEER, l->home) ||
			nla_put_u64(m, ORCHFS_A_MIRROR_NODE, ino) ||
			nla_put_u64(m, ORCHFS_A_MIRROR_VERSION, l->version) ||
			nla_put(m, ORCHFS_A_MIRROR_TOKEN, sizeof(l->token),
				l->token)))
		return -EMSGSIZE;
	nla_nest_end(m, n);
	return 0;
}

static int put_layout(struct nl_msg *m, uint64_t ino,
		      const struct op_layout *l, int fd)
{
	struct nlattr *n = nla_nest_start(m, ORCHFS_A_MSG_LAYOUT);
	struct nlattr *seg;

	if (!n || nla_put_u64(m, ORCHFS_A_LAYOUT_GENERATION, l->generation) ||
	    nla_put_u64(m, ORCHFS_A_LAYOUT_VERSION, l->version) ||
	    nla_put_u32(m, ORCHFS_A_LAYOUT_WRITABLE, l->writable))
		return -EMSGSIZE;
	seg = nla_nest_start(m, ORCHFS_A_LAYOUT_SEGMENT);
	if (!seg || nla_put_u64(m, ORCHFS_A_SEGMENT_OFFSET, 0) ||
	    nla_put_u64(m, ORCHFS_A_SEGMENT_LENGTH, LAYOUT_END) ||
	    put_mirror(m, ino, l, fd))
		return -EMSGSIZE;
	nla_nest_end(m, seg);
	nla_nest_end(m, n);
	return 0;
}

static size_t entry_size(const struct op_entry *e)
{
	return NL_ATTR(NL_ATTR(e->name.len) + NL_ATTR(8) +
		       NL_ATTR(sizeof(e->attr)) + NL_ATTR(e->target.len));
}

static int put_entry(struct nl_msg *m, const struct op_entry *e)
{
	struct nlattr *n = nla_nest_start(m, ORCHFS_A_MSG_ENTRY);

	if (!n || nla_put(m, ORCHFS_A_ENTRY_NAME, (int)e->name.len,
			  e->name.s) ||
	    nla_put_u64(m, ORCHFS_A_ENTRY_COOKIE, e->cookie) ||
	    nla_put(m, ORCHFS_A_ENTRY_ATTR, sizeof(e->attr), &e->attr))
		return -EMSGSIZE;
	if (e->target.len && nla_put(m, ORCHFS_A_ENTRY_TARGET,
				     (int)e->target.len, e->target.s))
		return -EMSGSIZE;
	nla_nest_end(m, n);
	return 0;
}

static int put_value(struct nl_msg *m, const char *p, size_t len)
{
	do {
		size_t n = len < ORCHFS_CHUNK_MAX ? len : ORCHFS_CHUNK_MAX;

		if (nla_put(m, ORCHFS_A_MSG_XATTR_VALUE, (int)n, p))
			return -EMSGSIZE;
		p += n;
		len -= n;
	} while (len);
	return 0;
}

static int put_reply(struct nl_msg *m, const struct op_reply *rep, int fd,
		     size_t entries, bool eof)
{
	if (rep->flags &&
	    nla_put_u32(m, ORCHFS_A_MSG_FLAGS, rep->flags))
		return -EMSGSIZE;
	if (rep->txn && nla_put_u64(m, ORCHFS_A_MSG_TXN, rep->txn))
		return -EMSGSIZE;
	if (rep->name.len && nla_put(m, ORCHFS_A_MSG_NAME,
				     (int)rep->name.len, rep->name.s))
		return -EMSGSIZE;
	if (rep->has_attr && nla_put(m, ORCHFS_A_MSG_ATTR, sizeof(rep->attr),
				     &rep->attr))
		return -EMSGSIZE;
	if (rep->has_attr2 && nla_put(m, ORCHFS_A_MSG_ATTR2,
				      sizeof(rep->attr2), &rep->attr2))
		return -EMSGSIZE;
	if (rep->target.len && nla_put(m, ORCHFS_A_MSG_TARGET,
				       (int)rep->target.len, rep->target.s))
		return -EMSGSIZE;
	if (rep->has_layout && (fd >= 0 || rep->layout.home) &&
	    put_layout(m, rep->attr.ino, &rep->layout, fd))
		return -EMSGSIZE;
	for (size_t i = 0; i < entries; i++)
		if (put_entry(m, &rep->entries[i]))
			return -EMSGSIZE;
	if (eof && nla_put_flag(m, ORCHFS_A_MSG_EOF))
		return -EMSGSIZE;
	if (rep->value && put_value(m, rep->value, rep->value_len))
		return -EMSGSIZE;
	if (rep->has_lock && nla_put(m, ORCHFS_A_MSG_LOCK, sizeof(rep->lock),
				     &rep->lock))
		return -EMSGSIZE;
	if (rep->has_statfs && nla_put(m, ORCHFS_A_MSG_STATFS,
				       sizeof(rep->statfs), &rep->statfs))
		return -EMSGSIZE;
	return 0;
}

struct nl_msg *nl_encode_reply(uint16_t family, uint64_t id,
			       const struct op_reply *rep, uint64_t durable,
			       int fd)
{
	size_t size = 1024 + rep->target.len, entries = 0;
	bool eof = rep->eof;
	struct nl_msg *m;
	int rc;

	for (; entries < rep->nr_entries; entries++) {
		size_t n = entry_size(&rep->entries[entries]);

		if (size + n > NL_REPLY_MAX) {
			eof = false;
			break;
		}
		size += n;
	}
	if (rep->value)
		size += rep->value_len + 16 *
			(rep->value_len / ORCHFS_CHUNK_MAX + 1);
	m = msg_new(family, ORCHFS_CMD_REPLY, 0, size);
	if (!m)
		return NULL;
	rc = nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, id) ||
	     nla_put_s32(m, ORCHFS_A_MSG_STATUS, rep->status) ||
	     nla_put_u64(m, ORCHFS_A_MSG_DURABLE, durable) ||
	     put_reply(m, rep, fd, entries, eof);
	return msg_end(m, rc);
}

struct nl_msg *nl_encode_layout_set(uint16_t family, uint64_t id,
				    uint64_t node,
				    const struct op_layout *layout, int fd,
				    uint32_t timeout_ms)
{
	struct nl_msg *m = msg_new(family, ORCHFS_CMD_LAYOUT_SET, NLM_F_ACK,
				   512);
	int rc;

	if (!m)
		return NULL;
	rc = nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, id) ||
	     nla_put_u64(m, ORCHFS_A_MSG_NODE, node) ||
	     nla_put_u32(m, ORCHFS_A_MSG_TIMEOUT_MS, timeout_ms) ||
	     put_layout(m, node, layout, fd);
	return msg_end(m, rc);
}

struct nl_msg *nl_encode_lock_recall(uint16_t family, uint64_t number,
				     uint64_t node, bool lost)
{
	struct nl_msg *m = msg_new(family, ORCHFS_CMD_LOCK_RECALL, 0, 64);
	int rc;

	if (!m)
		return NULL;
	rc = nla_put_u64(m, ORCHFS_A_MSG_REQUEST_ID, number) ||
	     (node && nla_put_u64(m, ORCHFS_A_MSG_NODE, node)) ||
	     (lost && nla_put_flag(m, ORCHFS_A_MSG_LOST));
	return msg_end(m, rc);
}

struct nl_msg *nl_encode_layout_drop(uint16_t family, uint32_t volume)
{
	struct nl_msg *m = msg_new(family, ORCHFS_CMD_LAYOUT_DROP, 0, 32);

	if (!m)
		return NULL;
	return msg_end(m, nla_put_u32(m, ORCHFS_A_MSG_VOLUME, volume));
}

struct nl_msg *nl_encode_invalidate(uint16_t family, uint64_t node,
				    const struct orchfs_attr *attr)
{
	struct nl_msg *m = msg_new(family, ORCHFS_CMD_INVALIDATE, 0,
				   64 + sizeof(*attr));
	int rc = 0;

	if (!m)
		return NULL;
	if (node)
		rc = nla_put_u64(m, ORCHFS_A_MSG_NODE, node);
	if (!rc && attr)
		rc = nla_put(m, ORCHFS_A_MSG_ATTR, sizeof(*attr), attr);
	return msg_end(m, rc);
}
