// SPDX-License-Identifier: Apache-2.0
/*
 * Slots: one stored record for each (session, slot), written in the operation's
 * own transaction, so that a request sent again is answered and not repeated.
 * Only successes are stored. A failed operation changed nothing; carried out
 * again it may succeed, which is a legal end of a call that has no answer yet.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ns_impl.h"

static struct key *slot_key(struct key *k, uint64_t session, uint32_t slot)
{
	return key_u32(key_num(k, 'T', session), slot);
}

struct session *session_find(struct ns *ns, uint64_t id)
{
	struct session *s = ns->sessions;

	while (s && s->id != id)
		s = s->next;
	return s;
}

static int read_slot(struct ns *ns, struct store_key v,
		     Orchfs__Store__Slot **out)
{
	void *p;
	int rc;

	rc = record_unpack(ns->scratch, &orchfs__store__slot__descriptor, v,
			   &p);
	if (!rc)
		*out = p;
	return rc;
}

/* The sequences that an earlier daemon stored. */
static int load_slots(struct ns *ns, struct session *s)
{
	Orchfs__Store__Slot *m;
	struct scan scan;
	struct key k;
	int rc;

	rc = scan_begin(ns, &scan, key_num(&k, 'T', s->id));
	if (rc)
		return rc;
	for (; scan_valid(&scan) && !rc; scan_next(&scan)) {
		struct store_key sk = scan_key(&scan);
		const uint8_t *b = sk.p;

		if (sk.len != 13 || b[9] || b[10] || b[11] ||
		    b[12] >= NS_SLOTS) {
			rc = -EUCLEAN;
			break;
		}
		rc = read_slot(ns, scan_value(&scan), &m);
		if (!rc)
			s->sequence[b[12]] = m->sequence;
	}
	return scan_end(&scan, rc);
}

/* The node that it is of. -ENOENT: it isn't stored. */
static int session_read(struct ns *ns, uint64_t id, uint32_t *origin)
{
	struct store_key v;
	struct key k;
	void *p;
	int rc;

	rc = ns_get(ns, key_num(&k, 'M', id), &v);
	if (!rc)
		rc = record_unpack(ns->scratch,
				   &orchfs__store__session__descriptor, v, &p);
	if (!rc)
		*origin = ((Orchfs__Store__Session *)p)->node;
	return rc;
}

/* -EPROTO: it is another node's. */
static int session_load(struct ns *ns, uint64_t id, struct session **out)
{
	struct session *s = session_find(ns, id);
	int rc;

	if (s) {
		*out = s;
		return s->origin == ns->origin ? 0 : -EPROTO;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->id = id;
	s->origin = ns->origin;
	rc = session_read(ns, id, &s->origin);
	if (!rc) {
		s->stored = true;
		rc = load_slots(ns, s);
	} else if (rc == -ENOENT) {
		rc = 0;
	}
	if (!rc && s->origin != ns->origin)
		rc = -EPROTO;
	if (rc) {
		free(s);
		return rc;
	}
	s->next = ns->sessions;
	ns->sessions = s;
	*out = s;
	return 0;
}

/* Attributes of the reply: as they are now, or as they were. */
static int replay_attrs(struct ns *ns, const Orchfs__Store__Slot *m,
			struct op_reply *rep)
{
	struct inode i;
	int rc;

	if (m->node) {
		rc = inode_load(ns, m->node, &i);
		if (rc)
			return rc == -ENOENT ? -ESTALE : rc;
		rc = inode_reply(ns, &i, rep);
		if (rc)
			return rc;
	}
	if (!m->node2)
		return 0;
	rc = inode_load(ns, m->node2, &i);
	if (!rc)
		return inode_reply2(ns, &i, rep);
	if (rc != -ENOENT)
		return rc;
	if (m->attr2.len != sizeof(rep->attr2))
		return -EUCLEAN;
	memcpy(&rep->attr2, m->attr2.data, sizeof(rep->attr2));
	rep->has_attr2 = true;
	return 0;
}

static int replay(struct ns *ns, const struct op_req *req,
		  struct op_reply *rep)
{
	Orchfs__Store__Slot *m;
	struct store_key v;
	struct inode i;
	struct key k;
	int rc;

	rc = ns_get(ns, slot_key(&k, req->session, req->slot), &v);
	if (rc)
		return rc == -ENOENT ? -EUCLEAN : rc;
	rc = read_slot(ns, v, &m);
	if (rc)
		return rc;
	if (m->kind != req->kind || m->sequence != req->sequence)
		return -EPROTO;
	rc = replay_attrs(ns, m, rep);
	if (rc)
		return rc;
	rep->txn = m->txn;
	rep->flags = m->flags;
	ns->replayed++;
	if (!(req->flags & ORCHFS_REQ_FLAG_LAYOUT) || !m->node)
		return 0;
	rc = inode_load(ns, m->node, &i);
	if (rc)
		return rc;
	return layout_grant(ns, &i, req->flags & ORCHFS_REQ_FLAG_WRITE, rep);
}

/**
 * slot_check() - has this request been carried out?
 * Return: 0, with *replayed true when rep holds its answer; -errno is the
 * answer, too.
 */
int slot_check(struct ns *ns, const struct op_req *req, struct op_reply *rep,
	       bool *replayed)
{
	struct session *s;
	int rc;

	*replayed = false;
	if (!req->session || req->slot >= NS_SLOTS)
		return -EPROTO;
	rc = session_load(ns, req->session, &s);
	if (rc)
		return rc;
	if (req->sequence > s->sequence[req->slot])
		return 0;
	if (req->sequence < s->sequence[req->slot])
		return -EPROTO;
	*replayed = true;
	return replay(ns, req, rep);
}

/**
 * slot_store() - put the request's slot into its transaction. Called last:
 * the record is made from the reply.
 */
int slot_store(struct txn *t, const struct op_req *req,
	       const struct op_reply *rep)
{
	Orchfs__Store__Slot m = ORCHFS__STORE__SLOT__INIT;
	Orchfs__Store__Session sm = ORCHFS__STORE__SESSION__INIT;
	struct session *s;
	struct key k;

	if (!req->sequence)
		return 0;
	s = session_find(t->ns, req->session);
	if (!s || req->slot >= NS_SLOTS)
		return -EPROTO;
	if (!s->stored) {
		sm.boot_id = t->ns->boot_id;
		sm.node = s->origin;
		txn_put_msg(t, key_num(&k, 'M', s->id), &sm.base);
	}
	m.sequence = req->sequence;
	m.kind = req->kind;
	m.txn = t->seq;
	m.flags = rep->flags;
	if (rep->has_attr)
		m.node = rep->attr.ino;
	if (rep->has_attr2) {
		m.node2 = rep->attr2.ino;
		m.attr2.data = (uint8_t *)&rep->attr2;
		m.attr2.len = sizeof(rep->attr2);
	}
	txn_put_msg(t, slot_key(&k, s->id, req->slot), &m.base);
	t->session = s;
	t->slot = req->slot;
	t->sequence = req->sequence;
	return 0;
}

void slot_committed(struct txn *t)
{
	if (!t->session)
		return;
	t->session->stored = true;
	t->session->sequence[t->slot] = t->sequence;
}

/* The node that it is of. 0; -ENOENT: there is none; other -errno. */
int session_origin(struct ns *ns, uint64_t id, uint32_t *origin)
{
	const struct session *s = session_find(ns, id);

	if (!s)
		return session_read(ns, id, origin);
	*origin = s->origin;
	return 0;
}

/* Is there one, and of that node? 1, 0 or -errno. */
int session_is_of(struct ns *ns, uint64_t id, uint32_t origin)
{
	uint32_t of;
	int rc = session_origin(ns, id, &of);

	if (rc)
		return rc == -ENOENT ? 0 : rc;
	return of == origin;
}

/* Delete its records; session_forget() once that is committed. */
int session_delete(struct txn *t, uint64_t id)
{
	struct scan s;
	struct key k;
	int rc;

	txn_del(t, key_num(&k, 'M', id));
	rc = scan_begin(t->ns, &s, key_num(&k, 'T', id));
	if (rc)
		return rc;
	for (; scan_valid(&s); scan_next(&s))
		store_del(t->b, scan_key(&s));
	return scan_end(&s, 0);
}

void session_forget(struct ns *ns, uint64_t id)
{
	struct session **pp;

	for (pp = &ns->sessions; *pp; pp = &(*pp)->next) {
		struct session *s = *pp;

		if (s->id != id)
			continue;
		*pp = s->next;
		free(s);
		return;
	}
}

/* Of a node, all of them; the next request of one reads what is stored. */
int session_delete_all(struct txn *t, uint32_t origin)
{
	struct scan s;
	struct key k;
	uint64_t id;
	void *p;
	int rc;

	rc = scan_begin(t->ns, &s, key_table(&k, 'M'));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		if (scan_key(&s).len != 9)
			return scan_end(&s, -EUCLEAN);
		id = key_num_at(scan_key(&s), 0);
		rc = record_unpack(t->ns->scratch,
				   &orchfs__store__session__descriptor,
				   scan_value(&s), &p);
		if (rc || ((Orchfs__Store__Session *)p)->node != origin)
			continue;
		session_forget(t->ns, id);
		rc = session_delete(t, id);
	}
	return scan_end(&s, rc);
}

void session_free_all(struct ns *ns)
{
	while (ns->sessions)
		session_forget(ns, ns->sessions->id);
}
