// SPDX-License-Identifier: Apache-2.0
/*
 * What the steps of a move write, and which instance counts meanwhile.
 * Documentation/moves.md.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ns_impl.h"
#include "ns_move.h"

static uint8_t tier_of(const struct ns *ns, uint32_t volume)
{
	const struct ns_volume *v = volume_find(ns, volume);

	return v ? (uint8_t)v->tier : 0;
}

/* -ENOENT when there is none. */
static int instance_get(struct ns *ns, uint64_t ino, uint64_t version,
			uint64_t instance, struct instance *n)
{
	struct store_key v;
	struct key k;
	int rc;

	key_num3(&k, 'N', ino, version, instance);
	rc = ns_get(ns, &k, &v);
	if (rc)
		return rc;
	return record_unpack_instance(ns->scratch, key_of(&k), v, n);
}

static void instance_drop(struct txn *t, uint64_t ino,
			  const struct instance *n)
{
	struct key k;
	int rc;

	txn_del(t, key_num3(&k, 'N', ino, n->version, n->instance));
	rc = deletion_add(t, ino, n);
	if (rc)
		t->error = rc;
}

/* Deletions of up to @nr instances can be added in the next transaction. */
static int prepare(struct ns *ns, size_t nr)
{
	arena_reset(ns->scratch);
	return number_ensure(ns, &ns->deletion, nr);
}

int ns_move_stat(struct ns *ns, uint64_t ino, struct ns_move_entry *out)
{
	struct instance n;
	struct inode i;
	int rc;

	arena_reset(ns->scratch);
	rc = inode_load(ns, ino, &i);
	if (!rc && !i.nlink)
		rc = -ENOENT;
	if (rc)
		return rc;
	*out = (struct ns_move_entry){
		.ino = ino,
		.size = i.size,
		.blocks = i.blocks,
		.mode = i.mode,
		.owner = { .uid = i.uid, .gid = i.gid, .projid = i.projid },
	};
	if (!S_ISREG(i.mode))
		return 0;
	rc = instance_valid(ns, &i, &n);
	if (rc == -EIO)
		return 0;	/* of volume 0: the move will tell */
	if (!rc)
		out->volume = n.volume;
	return rc;
}

int ns_move_list(struct ns *ns, uint64_t dir, uint64_t cookie,
		 struct ns_move_entry *out, size_t max)
{
	struct key lo, hi;
	struct entry e;
	struct scan s;
	size_t n = 0;
	int rc;

	if (cookie >= INT64_MAX)
		return 0;
	key_num2(&lo, 'E', dir, cookie + 1);
	key_after(key_num(&hi, 'E', dir));
	rc = scan_from(ns, &s, &lo, &hi);
	if (rc)
		return rc;
	for (; scan_valid(&s) && n < max && !rc; scan_next(&s)) {
		uint64_t at = key_num_at(scan_key(&s), 1);

		arena_reset(ns->scratch);
		rc = record_unpack_entry(ns->scratch, at, scan_value(&s), &e);
		if (!rc)
			rc = ns_move_stat(ns, e.ino, &out[n]);
		if (!rc)
			out[n++].cookie = at;
		else if (rc == -ENOENT)
			rc = 0;		/* damage, for fsck to tell */
	}
	rc = scan_end(&s, rc);
	return rc ? rc : (int)n;
}

int ns_move_watch(struct ns *ns, struct ns_move *m)
{
	struct instance n;
	struct inode i;
	struct live *l;
	int rc;

	arena_reset(ns->scratch);
	rc = inode_load(ns, m->ino, &i);
	if (!rc && !i.nlink)
		rc = -ENOENT;
	if (!rc && !S_ISREG(i.mode))
		rc = -EINVAL;
	if (!rc)
		rc = instance_valid(ns, &i, &n);
	if (rc)
		return rc;
	l = live_get(ns, m->ino);
	if (!l)
		return -ENOMEM;
	if (l->moving)
		return -EBUSY;
	l->moving = true;
	l->written = false;
	m->version = n.version;
	m->from = n.instance;
	m->from_volume = n.volume;
	return 0;
}

void ns_move_unwatch(struct ns *ns, uint64_t ino)
{
	struct live *l = live_find(ns, ino);

	if (!l)
		return;
	l->moving = l->written = l->parked = false;
	live_drop_idle(ns, ino);
}

bool ns_move_written(struct ns *ns, uint64_t ino)
{
	const struct live *l = live_find(ns, ino);

	return l && l->written;
}

bool ns_move_dirty(struct ns *ns, uint64_t ino)
{
	return live_dirty(ns, ino);
}

int ns_move_layout(struct ns *ns, const struct ns_move *m, bool new,
		   struct op_layout *out)
{
	struct live *l = live_find(ns, m->ino);
	struct inode i;
	int rc;

	arena_reset(ns->scratch);
	rc = inode_load(ns, m->ino, &i);
	if (rc)
		return rc;
	if (!l)
		return -ENOENT;
	l->parked = true;
	*out = (struct op_layout){
		.generation = live_generation(ns, i.layout_generation),
		.version = m->version,
		.instance = new ? m->to : m->from,
		.volume = new ? m->to_volume : m->from_volume,
	};
	return 0;
}

int ns_move_look(struct ns *ns, const struct ns_move *m, bool new)
{
	struct ns_backing_stat s;
	struct inode i;
	int rc;

	arena_reset(ns->scratch);
	rc = inode_load(ns, m->ino, &i);
	if (!rc)
		rc = ns->ops->stat(ns->ctx, new ? m->to_volume : m->from_volume,
				   m->ino, m->version, new ? m->to : m->from,
				   &s);
	return rc || s.size == i.size ? rc : -ENOENT;
}

/* The one that writing was granted of, so it is in use; 0: of none. */
static uint64_t written_instance(struct ns *ns, const struct ns_move *m)
{
	struct instance from, to;

	if (instance_get(ns, m->ino, m->version, m->from, &from) ||
	    instance_get(ns, m->ino, m->version, m->to, &to))
		return 0;
	if (from.state == INSTANCE(VALID))
		return m->from;
	return from.state == INSTANCE(STALE) ? m->to : 0;
}

int ns_move_park(struct ns *ns, const struct ns_move *m)
{
	struct live *l = live_get(ns, m->ino);

	if (!l)
		return -ENOMEM;
	arena_reset(ns->scratch);
	l->moving = true;
	l->instance = written_instance(ns, m);
	l->written = l->instance;
	l->parked = !l->instance;
	return 0;
}

size_t ns_move_holders(struct ns *ns, uint64_t ino, uint32_t *nodes,
		       size_t max)
{
	struct live *l = live_find(ns, ino);
	struct hold *h = l ? l->others : NULL;
	size_t nr = 0;

	for (; h; h = h->next) {
		if (!h->out)
			continue;
		if (nr < max)
			nodes[nr] = h->origin;
		nr++;
	}
	return nr;
}

void ns_move_swapped_at(struct ns *ns, const struct ns_move *m, uint32_t node,
			uint64_t generation, int status)
{
	struct live *l = live_find(ns, m->ino);
	struct hold *h = l ? hold_find(l, node) : NULL;

	if (!h)
		return;
	if (!status || status == -ENOENT)
		h->written = false;
	if (status == -ENOENT) {
		h->out = false;
	} else if (!status) {
		h->out = true;
		h->generation = generation;
	} else if (!node) {
		h->out = true;
	}
}

void ns_move_swapped(struct ns *ns, const struct ns_move *m, bool new,
		     int status)
{
	struct live *l = live_find(ns, m->ino);

	if (!l)
		return;
	if (!status)
		l->instance = new ? m->to : m->from;
	else if (!m->to)
		l->instance = m->from;		/* a fence: there is no other */
	else if (status == -EBUSY)
		l->instance = new ? m->from : m->to;
	else if (status == -ENOTCONN)
		l->instance = 0;
	l->parked = !l->instance;
}

bool ns_move_known(struct ns *ns, const struct ns_move *m)
{
	const struct live *l = live_find(ns, m->ino);

	return l && !l->parked;
}

bool ns_move_in_use(struct ns *ns, const struct ns_move *m, bool new)
{
	struct live *l = live_find(ns, m->ino);

	return l && live_out(l) && l->instance == (new ? m->to : m->from);
}

/* The inode's H row goes to another tier. */
static void retier(struct txn *t, struct tnode *n, uint32_t from, uint32_t to)
{
	n->have_tier = true;
	n->retiered = true;
	n->tier_before = tier_of(t->ns, from);
	n->tier = tier_of(t->ns, to);
	n->dirty = true;
	n->untold = true;
}

static int begin_one(struct txn *t, struct ns_move *m)
{
	struct instance from, to;
	struct tnode *n;
	int rc;

	rc = txn_inode(t, m->ino, &n);
	if (!rc && !n->i.nlink)
		rc = -ENOENT;
	if (!rc && (n->i.version != m->version ||
		    ns_move_written(t->ns, m->ino)))
		rc = -EBUSY;
	if (!rc)
		rc = instance_get(t->ns, m->ino, m->version, m->from, &from);
	if (rc)
		return rc;
	if (from.dirty) {
		rc = node_settle(t, n, true);
		if (rc || !n->settled)
			return rc ? rc : -EIO;
	}
	to = (struct instance){
		.version = m->version,
		.instance = m->to,
		.volume = m->to_volume,
		.state = INSTANCE(FILLING),
	};
	txn_put_instance(t, m->ino, &to);
	m->step = NS_MOVE_COPY;
	move_row_put(t, m);
	return 0;
}

int ns_move_begin(struct ns *ns, struct ns_move *const *m, size_t nr,
		  uint64_t *txn)
{
	struct txn t;

	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	for (size_t i = 0; i < nr; i++)
		m[i]->rc = begin_one(&t, m[i]);
	return txn_commit(&t, txn);
}

/* Who the source belonged to when it was read may have given it away. */
static int own_copy(struct ns *ns, const struct ns_move *m,
		    const struct inode *i, const struct ns_owner *has)
{
	const struct ns_owner o = {
		.uid = i->uid, .gid = i->gid, .projid = i->projid,
		.project = i->projid != has->projid,
	};
	int rc;

	if (o.uid == has->uid && o.gid == has->gid && !o.project)
		return 0;
	rc = ns->ops->own(ns->ctx, m->to_volume, m->ino, m->version, m->to, &o);
	return rc == -ENOENT ? -EIO : rc;
}

int ns_move_valid(struct ns *ns, struct ns_move *m, uint64_t blocks,
		  const struct ns_owner *owner)
{
	struct instance from, to;
	struct ns_move after = *m;
	struct tnode *n;
	struct txn t;
	int rc;

	arena_reset(ns->scratch);
	txn_begin(&t, ns);
	rc = txn_inode(&t, m->ino, &n);
	if (!rc && !n->i.nlink)
		rc = -ENOENT;
	if (!rc)
		rc = instance_get(ns, m->ino, m->version, m->from, &from);
	if (!rc)
		rc = instance_get(ns, m->ino, m->version, m->to, &to);
	if (!rc && (ns_move_written(ns, m->ino) || from.dirty ||
		    from.state != INSTANCE(VALID)))
		rc = -EBUSY;
	if (!rc)
		rc = own_copy(ns, m, &n->i, owner);
	if (rc) {
		txn_abort(&t);
		return rc;
	}
	from.state = INSTANCE(RETIRING);
	to.state = INSTANCE(VALID);
	txn_put_instance(&t, m->ino, &from);
	txn_put_instance(&t, m->ino, &to);
	n->i.blocks = blocks;
	retier(&t, n, m->from_volume, m->to_volume);
	after.step = NS_MOVE_SWITCH;
	move_row_put(&t, &after);
	rc = txn_commit(&t, NULL);
	if (!rc)
		m->step = NS_MOVE_SWITCH;
	return rc;
}

int ns_move_retire(struct ns *ns, const struct ns_move *m,
		   const struct ns_job *j)
{
	struct instance from;
	struct txn t;
	int rc;

	rc = prepare(ns, 1);
	if (rc)
		return rc;
	txn_begin(&t, ns);
	txn_urgent(&t);
	rc = instance_get(ns, m->ino, m->version, m->from, &from);
	if (!rc)
		instance_drop(&t, m->ino, &from);
	if (rc && rc != -ENOENT) {
		txn_abort(&t);
		return rc;
	}
	move_row_del(&t, m);
	move_job_put(&t, j);
	return txn_commit(&t, NULL);
}

/*
 * The new instance goes. Its file may exist though its record is gone, as an
 * inode that was removed takes the records of its instances along.
 */
static int abort_new(struct txn *t, const struct ns_move *m)
{
	struct instance to = {
		.version = m->version,
		.instance = m->to,
		.volume = m->to_volume,
		.state = INSTANCE(FILLING),
	};
	struct ns_backing_stat s;
	struct instance from;
	struct tnode *n;
	int rc;

	rc = instance_get(t->ns, m->ino, m->version, m->to, &to);
	if (rc && rc != -ENOENT)
		return rc;
	if (!rc && to.state == INSTANCE(VALID)) {
		rc = instance_get(t->ns, m->ino, m->version, m->from, &from);
		if (rc == -ENOENT || (!rc && from.state != INSTANCE(RETIRING)))
			return -EINPROGRESS;
		if (!rc)
			rc = txn_inode(t, m->ino, &n);
		if (rc)
			return rc;
		from.state = INSTANCE(VALID);
		txn_put_instance(t, m->ino, &from);
		if (!t->ns->ops->stat(t->ns->ctx, m->from_volume, m->ino,
				      m->version, m->from, &s))
			n->i.blocks = s.blocks;
		retier(t, n, m->to_volume, m->from_volume);
	}
	instance_drop(t, m->ino, &to);
	return 0;
}

int ns_move_abort(struct ns *ns, struct ns_move *m, const struct ns_job *j)
{
	struct ns_move after = *m;
	struct txn t;
	int rc;

	rc = prepare(ns, 1);
	if (rc)
		return rc;
	txn_begin(&t, ns);
	txn_urgent(&t);
	rc = m->to ? abort_new(&t, m) : 0;
	if (rc) {
		txn_abort(&t);
		return rc;
	}
	after.step = NS_MOVE_LEFT;
	after.to = 0;
	if (m->text[0])
		move_row_put(&t, &after);
	else
		move_row_del(&t, m);
	move_job_put(&t, j);
	rc = txn_commit(&t, NULL);
	if (!rc)
		*m = after;
	return rc;
}

static void heat_retier(struct txn *t, const struct inode *i, uint32_t from,
			uint32_t to)
{
	struct key k;

	txn_del(t, heat_row(&k, tier_of(t->ns, from), i));
	txn_put(t, heat_row(&k, tier_of(t->ns, to), i), NULL, 0);
}

/**
 * move_written() - writing instance @n is granted: no other one is any good.
 * In the transaction that marks it dirty. The copy that is being filled is
 * left to its job.
 */
int move_written(struct txn *t, const struct inode *i,
		 const struct instance *n)
{
	const struct live *l = live_find(t->ns, i->ino);
	struct instance one;
	struct scan s;
	struct key k;
	int rc;

	if (!l || !l->moving)
		return 0;
	rc = scan_begin(t->ns, &s, key_num2(&k, 'N', i->ino, i->version));
	if (rc)
		return rc;
	for (; scan_valid(&s) && !rc; scan_next(&s)) {
		rc = record_unpack_instance(t->ns->scratch, scan_key(&s),
					    scan_value(&s), &one);
		if (rc || one.instance == n->instance)
			continue;
		if (one.state == INSTANCE(VALID))
			heat_retier(t, i, one.volume, n->volume);
		if (one.state != INSTANCE(FILLING)) {
			one.state = INSTANCE(STALE);
			txn_put_instance(t, i->ino, &one);
		}
	}
	return scan_end(&s, rc);
}
