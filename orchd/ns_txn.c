// SPDX-License-Identifier: Apache-2.0
/*
 * A transaction: the inodes that an operation changes, each loaded once, and
 * the records that it puts and deletes. The commit writes the changed inodes
 * with their index rows (C, H, U), so no operation can forget one.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ns_impl.h"

#define DAY	86400

void txn_begin(struct txn *t, struct ns *ns)
{
	memset(t, 0, sizeof(*t));
	t->ns = ns;
	t->b = ns->batch;
	t->seq = store_next_seq(ns->st);
	ns->ino.used = false;
	ns->deletion.used = false;
	store_batch_clear(t->b);
}

/* Deletions, and what truncate and fsync need: works on a full drive. */
void txn_urgent(struct txn *t)
{
	store_batch_urgent(t->b);
}

static struct tnode *add_node(struct txn *t)
{
	struct tnode *n = arena_zalloc(t->ns->scratch, sizeof(*n));

	if (!n)
		return NULL;
	n->next = t->nodes;
	t->nodes = n;
	return n;
}

/* -ENOENT when there is no such inode (any more). */
int txn_inode(struct txn *t, uint64_t ino, struct tnode **out)
{
	struct inode i;
	struct tnode *n;
	int rc;

	for (n = t->nodes; n; n = n->next) {
		if (n->i.ino == ino) {
			*out = n;
			return n->removed ? -ENOENT : 0;
		}
	}
	rc = inode_load(t->ns, ino, &i);
	if (rc)
		return rc;
	n = add_node(t);
	if (!n)
		return -ENOMEM;
	n->old = i;
	n->i = i;
	*out = n;
	return 0;
}

struct tnode *txn_new_inode(struct txn *t, uint64_t ino)
{
	struct tnode *n = add_node(t);

	if (!n)
		return NULL;
	n->i.ino = ino;
	n->is_new = true;
	n->dirty = true;
	t->inodes++;
	return n;
}

void txn_put(struct txn *t, const struct key *k, const void *v, size_t len)
{
	store_put(t->b, key_of(k), v, len);
}

void txn_del(struct txn *t, const struct key *k)
{
	store_del(t->b, key_of(k));
}

void txn_put_msg(struct txn *t, const struct key *k, const ProtobufCMessage *m)
{
	size_t len;
	void *p;

	if (record_pack(t->ns->scratch, m, &p, &len))
		t->error = -ENOMEM;
	else
		txn_put(t, k, p, len);
}

/* n->change becomes that of the transaction. */
void txn_put_instance(struct txn *t, uint64_t ino, const struct instance *n)
{
	struct instance copy = *n;
	struct key k;
	size_t len;
	void *p;

	copy.change = t->seq;
	if (record_pack_instance(t->ns->scratch, &copy, &p, &len))
		t->error = -ENOMEM;
	else
		txn_put(t, key_num3(&k, 'N', ino, n->version, n->instance),
			p, len);
}

/* The 'W' row, and what memory knows of it once that is committed. */
int txn_set_dirty(struct txn *t, uint64_t ino, bool dirty)
{
	struct live_change *c;
	struct key k;

	c = arena_alloc(t->ns->scratch, sizeof(*c));
	/* The entry is made now, so that nothing can fail afterwards. */
	if (!c || !live_get(t->ns, ino))
		return -ENOMEM;
	c->ino = ino;
	c->dirty = dirty;
	c->next = t->live;
	t->live = c;
	key_num(&k, 'W', ino);
	if (dirty)
		txn_put(t, &k, NULL, 0);
	else
		txn_del(t, &k);
	return 0;
}

static int add_nameless(struct txn *t, struct live *l, uint32_t origin)
{
	struct hold *h = hold_get(t->ns, l, origin);
	struct nameless *u;

	u = arena_alloc(t->ns->scratch, sizeof(*u));
	if (!h || !u)
		return -ENOMEM;
	if (h->nameless)
		return 0;
	h->nameless = true;
	u->ino = l->ino;
	u->origin = origin;
	u->next = t->nameless;
	t->nameless = u;
	return 0;
}

/*
 * An inode has no name any more: it stays until who asks has told to be done
 * with it, and with @others any other that may have it in memory.
 */
int txn_nameless(struct txn *t, uint64_t ino, bool others)
{
	struct ns *ns = t->ns;
	struct live *l = live_get(ns, ino);
	uint32_t nodes[NS_NODES_MAX];
	size_t nr = 0;
	int rc;

	if (!l)
		return -ENOMEM;
	if (others && ns->ops->holders)
		nr = ns->ops->holders(ns->ctx, ino, nodes, NS_NODES_MAX);
	rc = add_nameless(t, l, ns->origin);
	for (size_t i = 0; i < nr && !rc; i++)
		rc = add_nameless(t, l, nodes[i]);
	if (rc)
		live_drop_idle(ns, ino);
	return rc;
}

static void undo_nameless(struct txn *t)
{
	for (struct nameless *u = t->nameless; u; u = u->next) {
		struct live *l = live_find(t->ns, u->ino);
		struct hold *h = l ? hold_find(l, u->origin) : NULL;

		if (h)
			h->nameless = false;
		live_drop_idle(t->ns, u->ino);
	}
	t->nameless = NULL;
}

/* It has a name again, or is gone: nobody has to tell anything. */
static void forget_holds(struct ns *ns, const struct tnode *n)
{
	struct live *l = live_find(ns, n->i.ino);
	struct hold *h = NULL;

	if (!n->removed && (n->is_new || n->old.nlink || !n->i.nlink))
		return;
	while (l && (h = hold_next(l, h))) {
		h->nameless = false;
		if (n->removed)
			h->out = h->written = false;
	}
	live_drop_idle(ns, n->i.ino);
}

/* Of the inode's current version; found out when an H row needs it. */
int txn_tier(struct txn *t, struct tnode *n, uint8_t *tier)
{
	const struct ns_volume *v;
	struct instance in;
	int rc;

	if (!n->have_tier) {
		rc = instance_valid(t->ns, &n->i, &in);
		if (rc)
			return rc;
		v = volume_find(t->ns, in.volume);
		n->tier = v ? (uint8_t)v->tier : 0;
		n->have_tier = true;
	}
	*tier = n->tier;
	return 0;
}

/* Days before 1970 and beyond 2^32 go to the ends. */
static uint32_t heat_day(const struct inode *i)
{
	int64_t day = i->mtime.sec / DAY;

	if (day < 0)
		return 0;
	return day > UINT32_MAX ? UINT32_MAX : (uint32_t)day;
}

/* The row of index H. */
struct key *heat_row(struct key *k, uint8_t tier, const struct inode *i)
{
	key_begin(k, 'H');
	key_u8(k, tier);
	key_u32(k, heat_day(i));
	return key_u64(k, i->ino);
}

static int write_heat(struct txn *t, struct tnode *n)
{
	struct key k;
	uint8_t tier;
	int rc;

	if (!S_ISREG(n->i.mode))
		return 0;
	if (!n->is_new && !n->removed && !n->retiered &&
	    heat_day(&n->i) == heat_day(&n->old))
		return 0;
	rc = txn_tier(t, n, &tier);
	if (rc)
		return rc;
	if (!n->is_new) {
		heat_row(&k, n->retiered ? n->tier_before : tier, &n->old);
		txn_del(t, &k);
	}
	if (!n->removed) {
		heat_row(&k, tier, &n->i);
		txn_put(t, &k, NULL, 0);
	}
	return 0;
}

static void owner_key(struct key *k, uint32_t uid, uint64_t ino)
{
	key_u64(key_u32(key_begin(k, 'U'), uid), ino);
}

static void write_owner(struct txn *t, struct tnode *n)
{
	struct key k;

	if (!n->is_new && !n->removed && n->i.uid == n->old.uid)
		return;
	if (!n->is_new) {
		owner_key(&k, n->old.uid, n->i.ino);
		txn_del(t, &k);
	}
	if (!n->removed) {
		owner_key(&k, n->i.uid, n->i.ino);
		txn_put(t, &k, NULL, 0);
	}
}

static int write_inode(struct txn *t, struct tnode *n)
{
	struct key k;
	size_t len;
	void *p;
	int rc;

	if (n->is_new && n->removed)
		return 0;
	if (!n->is_new)
		txn_del(t, key_num2(&k, 'C', n->old.change, n->i.ino));
	write_owner(t, n);
	rc = write_heat(t, n);
	if (rc)
		return rc;
	if (n->removed) {
		txn_del(t, key_num(&k, 'I', n->i.ino));
		return 0;
	}
	n->i.change = t->seq;
	txn_put(t, key_num2(&k, 'C', t->seq, n->i.ino), NULL, 0);
	rc = record_pack_inode(t->ns->scratch, &n->i, &p, &len);
	if (rc)
		return rc;
	txn_put(t, key_num(&k, 'I', n->i.ino), p, len);
	return 0;
}

/*
 * A kernel that has seen the record before a notice, or another change that no
 * reply tells of, has missed nothing since.
 */
static void remember_untold(struct ns *ns, const struct tnode *n)
{
	struct live *l = live_find(ns, n->i.ino);

	if (!l)
		return;
	if (l->untold_to != n->old.change)
		l->untold_from = n->old.change;
	l->untold_to = n->i.change;
}

static void committed(struct txn *t, uint64_t ino_limit, uint64_t del_limit)
{
	struct ns *ns = t->ns;

	for (const struct tnode *n = t->nodes; n; n = n->next) {
		if (n->untold && !n->removed) {
			remember_untold(ns, n);
			if (ns->ops->untold)
				ns->ops->untold(ns->ctx, n->i.ino);
		}
		forget_holds(ns, n);
	}

	for (struct live_change *c = t->live; c; c = c->next) {
		struct live *l = live_find(ns, c->ino);

		if (l)
			l->dirty = c->dirty;
		if (l && !c->dirty)
			l->shared = false;
		live_drop_idle(ns, c->ino);
	}
	number_committed(&ns->ino, ino_limit, t->seq);
	number_committed(&ns->deletion, del_limit, t->seq);
	ns->inodes += (uint64_t)t->inodes;
	deletion_committed(t);
	slot_committed(t);
}

/**
 * txn_commit() - write it, all or nothing.
 * @seq: gets its sequence; may be NULL. On failure nothing has changed, in
 * memory neither, but for numbers used up. The transaction has ended in
 * either case.
 */
int txn_commit(struct txn *t, uint64_t *seq)
{
	uint64_t ino_limit = 0, del_limit = 0, got;
	int rc = 0;

	for (struct tnode *n = t->nodes; n && !rc; n = n->next) {
		if (n->dirty)
			rc = write_inode(t, n);
	}
	if (!rc)
		rc = t->error;
	if (!rc) {
		number_refill(t, &t->ns->ino, &ino_limit);
		number_refill(t, &t->ns->deletion, &del_limit);
		rc = t->error;
	}
	if (!rc)
		rc = store_commit(t->b, &got);
	if (rc) {
		txn_abort(t);
		return rc == -EAGAIN ? -EIO : rc;
	}
	committed(t, ino_limit, del_limit);
	if (seq)
		*seq = got;
	return 0;
}

void txn_abort(struct txn *t)
{
	store_batch_clear(t->b);
	for (struct live_change *c = t->live; c; c = c->next)
		live_drop_idle(t->ns, c->ino);
	t->live = NULL;
	undo_nameless(t);
}
