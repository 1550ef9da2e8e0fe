// SPDX-License-Identifier: Apache-2.0
/* What passes between an agent's kernel and the authority. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/netlink.h>

#include "agent.h"
#include "arena.h"
#include "cluster.h"
#include "data.h"
#include "log.h"
#include "nl.h"
#include "nl_gen.h"
#include "op_wire.h"
#include "steward.h"

#define OP_MS		600000		/* then the link is of no use */
#define NOTES_MS	60000
#define LOCK_WAIT_MS	INT32_MAX	/* it may take as long as it likes */

/* A request of the kernel: under way, or in the queue. */
struct agent_op {
	struct agent_call c;		/* first: it is freed by that */
	struct agent_op *next;
	uint64_t id;
	uint32_t kind;
	bool lock_wait;
	struct nlmsghdr nlh;		/* and what belongs to it */
};

/* --- answers to the kernel --- */

static void remember(struct agent *ag, uint64_t ino)
{
	ag->recent[ag->recent_pos].ino = ino;
	ag->recent[ag->recent_pos].at = peer_now();
	ag->recent_pos = (ag->recent_pos + 1) % AGENT_RECENT;
}

static int send_reply(struct served *sv, uint64_t id,
		      const struct op_reply *rep)
{
	return channel_send(&sv->ch,
			    nl_encode_reply(sv->ch.family, id, rep,
					    sv->agency->durable, -1), NULL);
}

static void send_status(struct served *sv, uint64_t id, int status)
{
	struct op_reply rep = { .status = status };

	if (send_reply(sv, id, &rep) < 0)
		sv->need_detach = true;	/* the kernel asks again */
}

/* This node has no volume, whatever the authority thinks. */
static void check_layout(struct served *sv, uint32_t kind,
			 struct op_reply *rep)
{
	if (!rep->has_layout || (rep->layout.home && !rep->layout.at_home &&
				 rep->layout.home != sv->cluster->node))
		return;
	log_err(sv->name, "inode %llu: its layout names volume %u of this "
		"node, which has none", (unsigned long long)rep->attr.ino,
		rep->layout.volume);
	rep->has_layout = false;
	if (kind == ORCHFS_KIND_OPEN) {
		rep->has_attr = false;
		rep->status = -EIO;
	}
}

static void answer(struct served *sv, const struct agent_op *op,
		   struct op_reply *rep)
{
	struct agent *ag = sv->agency;
	int rc;

	/* a node is answered when it is durable */
	if (rep->txn > ag->durable)
		ag->durable = rep->txn;
	check_layout(sv, op->kind, rep);
	if (!rep->status && rep->has_attr &&
	    (rep->has_layout || !rep->attr.nlink))
		remember(ag, rep->attr.ino);
	if (rep->has_attr2 && !rep->attr2.nlink)
		remember(ag, rep->attr2.ino);
	rc = send_reply(sv, op->id, rep);
	if (rc == -ENOMEM || rc == -ENOBUFS || rc == -EAGAIN)
		sv->need_detach = true;
	else if (rc < 0)
		send_status(sv, op->id, rc == -EMSGSIZE ? -EIO : rc);
}

static void hear_reply(struct served *sv, const struct agent_op *op,
		       const peer_frame *f)
{
	struct op_reply rep = { .arena = sv->agency->arena };
	int rc = -EPROTO;

	arena_reset(rep.arena);
	if (f->body_case == PEER_BODY(OP_REPLY))
		rc = op_wire_get_reply(f->op_reply, &rep);
	if (!rc) {
		answer(sv, op, &rep);
		return;
	}
	log_err(sv->name, "the authority's answer to request %llu: %s",
		(unsigned long long)op->id, strerror(-rc));
	send_status(sv, op->id, -EIO);
}

/* --- requests --- */

static void queue_push(struct agent *ag, struct agent_op *op)
{
	op->next = NULL;
	*ag->queue_tail = op;
	ag->queue_tail = &op->next;
	ag->queued++;
}

void agent_drop_queue(struct served *sv)
{
	struct agent *ag = sv->agency;
	struct agent_op *op;

	while ((op = ag->queue)) {
		ag->queue = op->next;
		free(op);
	}
	ag->queue_tail = &ag->queue;
	ag->queued = 0;
}

static bool op_done(struct served *sv, struct agent_call *c, int rc,
		    const char *why, peer_frame *f)
{
	struct agent_op *op = container_of(c, struct agent_op, c);
	struct agent *ag = sv->agency;

	ag->under_way--;
	ag->bytes -= op->nlh.nlmsg_len;
	ag->lock_waits -= op->lock_wait;
	if (rc == -EBUSY) {	/* not now: at the next tick */
		queue_push(ag, op);
		return true;
	}
	if (rc == -ETIMEDOUT) {
		agent_lost(sv, "the authority does not answer");
		return false;
	}
	if (rc < 0) {
		log_err(sv->name, "the authority refuses request %llu: %s",
			(unsigned long long)op->id, why);
		send_status(sv, op->id, -EIO);
	} else {
		hear_reply(sv, op, f);
	}
	agent_go(sv);
	return false;
}

static void refuse(struct served *sv, const struct agent_op *op, int rc)
{
	const char *kind = orchfs_kind_name(op->kind);

	log_err(sv->name, "request %llu (%s) refused: %s",
		(unsigned long long)op->id, kind ? kind : "unknown",
		strerror(-rc));
	if (op->id)
		send_status(sv, op->id, rc);
}

static int op_send(struct served *sv, struct agent_op *op)
{
	struct agent *ag = sv->agency;
	peer_frame f = PEER_FRAME_INIT(OP);
	struct nl_request r;
	int rc;

	rc = nl_decode_request(&op->nlh, &r);
	if (!rc && !op->id && r.op.flags & ORCHFS_REQ_FLAG_RESENT)
		atomic_fetch_add(&sv->resent, 1);
	op->id = r.op.id;
	op->kind = r.op.kind;
	op->lock_wait = op->kind == ORCHFS_KIND_LOCK &&
			r.op.lock.flags & ORCHFS_LOCK_WAIT;
	if (!rc && op->lock_wait && ag->lock_waits >= AGENT_LOCK_WAITS_MAX)
		rc = -ENOLCK;
	if (!rc) {
		arena_reset(ag->arena);
		f.op = op_wire_op(ag->arena, &r.op);
		op->c.done = op_done;
		rc = f.op ? agent_ask(sv, &op->c, &f, op->lock_wait ?
				      LOCK_WAIT_MS : OP_MS) : -ENOMEM;
	}
	nl_request_release(&r);
	if (rc < 0)
		return rc;
	ag->under_way++;
	ag->bytes += op->nlh.nlmsg_len;
	ag->lock_waits += op->lock_wait;
	return 0;
}

void agent_go(struct served *sv)
{
	struct agent *ag = sv->agency;
	unsigned int n = ag->queued;
	struct agent_op *op;
	int rc;

	while (n-- && (op = ag->queue) && sv->attached &&
	       ag->under_way < AGENT_OPS_MAX && ag->bytes < AGENT_BYTES_MAX) {
		ag->queue = op->next;
		if (!ag->queue)
			ag->queue_tail = &ag->queue;
		ag->queued--;
		rc = op_send(sv, op);
		if (rc < 0) {
			refuse(sv, op, rc);
			free(op);
		}
	}
}

static void do_request(struct served *sv, const struct nlmsghdr *nlh)
{
	struct agent *ag = sv->agency;
	struct agent_op *op;

	if (ag->queued >= AGENT_QUEUE_MAX) {
		agent_lost(sv, "the kernel has sent more requests than it has");
		return;
	}
	op = calloc(1, offsetof(struct agent_op, nlh) + nlh->nlmsg_len);
	if (!op) {
		sv->need_detach = true;
		return;
	}
	memcpy(&op->nlh, nlh, nlh->nlmsg_len);
	atomic_fetch_add(&sv->requests, 1);
	queue_push(ag, op);
	agent_go(sv);
}

/* --- notices --- */

static bool notes_done(struct served *sv, struct agent_call *c, int rc,
		       const char *why, peer_frame *f)
{
	(void)c;
	(void)f;
	/* what they said is in the handles */
	if (rc < 0)
		agent_lost(sv, why);
	return false;
}

static int do_notes(void *ctx, const struct ns_note *notes, size_t nr)
{
	struct served *sv = ctx;
	struct agent_call *c = calloc(1, sizeof(*c));
	peer_frame f = PEER_FRAME_INIT(NOTES);
	int rc = -ENOMEM;

	arena_reset(sv->agency->arena);
	f.notes = op_wire_notes(sv->agency->arena, notes, nr);
	if (c && f.notes) {
		c->done = notes_done;
		rc = agent_ask(sv, c, &f, NOTES_MS);
	}
	if (rc < 0)
		free(c);
	return rc;
}

static int do_held(struct served *sv, struct nlmsghdr *nlh)
{
	struct agent_call *c = calloc(1, sizeof(*c));
	peer_frame f = PEER_FRAME_INIT(LOCK_HELD);
	struct op_locks v = { .nr = 0 };
	uint64_t number;
	bool eof;
	int rc;

	rc = nl_decode_held(nlh, &v, &number, &eof);
	arena_reset(sv->agency->arena);
	f.lock_held = rc ? NULL : op_wire_held(sv->agency->arena, &v, number,
					       eof);
	if (!rc && (!c || !f.lock_held))
		rc = -ENOMEM;
	if (!rc) {
		c->done = notes_done;
		rc = agent_ask(sv, c, &f, NOTES_MS);
	}
	if (rc < 0)
		free(c);
	free(v.l);
	return rc;
}

static void do_error(struct served *sv, struct nlmsghdr *nlh)
{
	int error = channel_error(&sv->ch, nlh);

	if (!error)
		return;
	if (error == -ESTALE) {
		agent_lost(sv, "the kernel dropped notices");
		return;
	}
	if (error == -ENOENT || error == -ENOTCONN) {
		agent_lost(sv, "the kernel no longer knows this daemon");
		return;
	}
	nl_ops_refused(sv, nlh->nlmsg_seq, error);
}

void agent_event(void *ctx, struct nlmsghdr *nlh)
{
	struct served *sv = ctx;
	int rc = 0;

	if (data_event(sv, nlh))
		return;
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		do_error(sv, nlh);
		return;
	}
	if (nlh->nlmsg_type != sv->ch.family)
		return;
	switch (nl_cmd(nlh)) {
	case ORCHFS_CMD_REQUEST:
		do_request(sv, nlh);
		break;
	case ORCHFS_CMD_NOTICE:
		rc = nl_decode_notices(nlh, do_notes, sv);
		break;
	case ORCHFS_CMD_LOCK_HELD:
		rc = do_held(sv, nlh);
		break;
	}
	if (rc < 0) {
		log_err(sv->name, "notices of the kernel: %s", strerror(-rc));
		sv->need_detach |= rc == -ENOMEM;
	}
}

/* --- requests of the authority --- */

/* All or none: what isn't known to have arrived isn't acknowledged. */
static int invalidate(struct served *sv, const Orchfs__Peer__Invalidate *m)
{
	struct op_stale s;
	int rc = 0;

	if (m->n_stale > OP_WIRE_STALE_MAX)
		return -E2BIG;
	for (size_t i = 0; i < m->n_stale && !rc; i++) {
		rc = op_wire_get_stale(m->stale[i], &s);
		if (!rc)
			rc = channel_send(&sv->ch, nl_encode_invalidate(
					sv->ch.family, s.ino,
					s.has_attr ? &s.attr : NULL), NULL);
	}
	return rc;
}

static int lock_recall(struct served *sv, const Orchfs__Peer__LockRecall *m)
{
	if (!m->ino)
		return -EPROTO;
	return channel_send(&sv->ch, nl_encode_lock_recall(sv->ch.family,
							   m->number, m->ino,
							   m->lost), NULL);
}

void agent_request(struct served *sv, struct peer_request *r)
{
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(DONE);
	int rc;

	if (r->link != sv->agency->link) {
		peer_reply(r, NULL);
		return;
	}
	if (r->f->body_case >= PEER_BODY(VOLUMES)) {
		steward_request(sv, r);
		return;
	}
	if (!sv->attached) {
		peer_fail(r, -ENOTCONN, "the node's kernel is not attached");
		return;
	}
	if (r->f->body_case == PEER_BODY(LOCK_RECALL))
		rc = lock_recall(sv, r->f->lock_recall);
	else
		rc = invalidate(sv, r->f->invalidate);
	if (rc < 0) {
		log_err(sv->name, "telling the kernel what the authority "
			"wants: %s", strerror(-rc));
		peer_reply(r, NULL);
		sv->need_detach = true;
		return;
	}
	f.done = &empty;
	peer_reply(r, &f);
}
