// SPDX-License-Identifier: Apache-2.0
/*
 * Executing requests. One whose layout is being swapped, or for which no
 * backing file is there yet, is parked and tried again later.
 */
#include "exec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <linux/netlink.h>

#include "arena.h"
#include "export.h"
#include "fault.h"
#include "home.h"
#include "log.h"
#include "nl.h"
#include "nl_gen.h"
#include "ns_move.h"
#include "peer.h"

/* When a request came. */
struct seen {
	uint64_t since;			/* ms */
	uint64_t arrived;		/* homes_arrived() */
};

/* A copy of the own kernel's message, or another node's own. */
struct parked {
	struct parked *next;
	struct seen seen;		/* for the first time */
	struct asker who;
	struct nlmsghdr nlh;		/* and what belongs to it */
};

/* --- what was changed --- */

/* Its caches are good without a daemon, and so have no end by themselves. */
void exec_own_lost(struct served *sv)
{
	if (!sv->own_mount || lease_none(sv->lease))
		return;
	sv->missed++;
	lease_own_lost(sv->lease);
}

static void invalidate_own(struct served *sv, uint64_t ino,
			   const struct orchfs_attr *attr)
{
	int rc = -ENOTCONN;

	if (sv->attached)
		rc = channel_send(&sv->ch,
				  nl_encode_invalidate(sv->ch.family, ino,
						       attr), NULL);
	if (!rc)
		return;
	exec_own_lost(sv);
	sv->need_detach = sv->attached;
}

void exec_changed(struct served *sv, uint32_t origin, uint64_t ino,
		  const struct orchfs_attr *attr)
{
	if (lease_none(sv->lease))
		return;
	if (origin)
		invalidate_own(sv, ino, attr);
	lease_changed(sv->lease, origin, ino, attr, peer_now());
}

size_t exec_holders(void *ctx, uint64_t ino, uint32_t *nodes, size_t max)
{
	struct served *sv = ctx;
	size_t nr = 0;

	if (lease_none(sv->lease))
		return 0;
	if (sv->own_mount)		/* a session */
		nodes[nr++] = 0;
	return nr + lease_holders(sv->lease, ino, nodes + nr, max - nr);
}

static void has_changed(struct served *sv, const struct op_req *op,
			uint64_t ino, const struct orchfs_attr *attr)
{
	exec_changed(sv, op->origin, ino, attr);
	lease_echo(sv->lease, op->origin, ino);
}

/* What a request has changed, beside layouts. */
static void changed(struct served *sv, const struct op_req *op,
		    const struct op_reply *rep)
{
	switch (op->kind) {
	case ORCHFS_KIND_CREATE:
		if (!(rep->flags & ORCHFS_REQ_FLAG_EXISTING) &&
		    !(op->flags & ORCHFS_REQ_FLAG_TMPFILE))
			has_changed(sv, op, op->node, NULL);
		break;
	case ORCHFS_KIND_LINK:
	case ORCHFS_KIND_UNLINK:
	case ORCHFS_KIND_RENAME:
		has_changed(sv, op, op->node, NULL);
		if (op->node2 && op->kind != ORCHFS_KIND_UNLINK &&
		    op->node2 != op->node)
			has_changed(sv, op, op->node2, NULL);
		if (rep->has_attr && rep->attr.ino != op->node)
			has_changed(sv, op, rep->attr.ino, NULL);
		if (rep->has_attr2)
			has_changed(sv, op, rep->attr2.ino,
				    rep->attr2.nlink ? NULL : &rep->attr2);
		break;
	case ORCHFS_KIND_SETATTR:
	case ORCHFS_KIND_SETXATTR:
		has_changed(sv, op, op->node, NULL);
		break;
	}
}

/* What another node's kernel believes from now on. */
static void told(struct served *sv, const struct op_req *op,
		 const struct op_reply *rep)
{
	struct lease *l = sv->lease;

	lease_told(l, op->origin, op->node);
	lease_told(l, op->origin, op->node2);
	if (rep->has_attr)
		lease_told(l, op->origin, rep->attr.ino);
	if (rep->has_attr2)
		lease_told(l, op->origin, rep->attr2.ino);
	for (size_t i = 0; i < rep->nr_entries; i++)
		lease_told(l, op->origin, rep->entries[i].attr.ino);
}

/*
 * Executed: whoever asks from now on hears of it when nobody believes any more
 * what was before.
 */
static void make_known(struct served *sv, const struct op_req *op,
		       const struct op_reply *rep)
{
	if (lease_none(sv->lease))
		return;
	if (op->origin)
		told(sv, op, rep);
	if (rep->status)
		return;
	changed(sv, op, rep);
	/* its size and times change from now on; of a new one nobody knows */
	if (rep->has_layout && rep->layout.writable && !rep->layout.written &&
	    (op->kind != ORCHFS_KIND_CREATE ||
	     rep->flags & ORCHFS_REQ_FLAG_EXISTING))
		exec_changed(sv, op->origin, rep->attr.ino, NULL);
	lease_flush(sv->lease);
}

/* --- parked ones --- */

/* Without memory the channel or the link is closed, and it is asked again. */
static void park(struct served *sv, const struct asker *who,
		 const struct nlmsghdr *nlh, const struct seen *seen)
{
	struct parked *p;

	p = malloc(offsetof(struct parked, nlh) +
		   (nlh ? nlh->nlmsg_len : sizeof(p->nlh)));
	if (!p) {
		log_err(sv->name, "cannot park a request: out of memory");
		if (who->peer)
			peer_reply(who->peer, NULL);
		else
			sv->need_detach = true;
		return;
	}
	p->next = NULL;
	p->seen = *seen;
	p->who = *who;
	if (nlh)
		memcpy(&p->nlh, nlh, nlh->nlmsg_len);
	*sv->parked_tail = p;
	sv->parked_tail = &p->next;
}

void exec_drop(struct served *sv, uint32_t origin, uint64_t link)
{
	struct parked *p, **at = &sv->parked;

	while ((p = *at)) {
		if (!asker_gone(&p->who, origin, link)) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		if (p->who.peer)
			peer_fail(p->who.peer, -ENOTCONN, "the link is down");
		free(p);
	}
	sv->parked_tail = at;
}

static bool parked_is_of(struct parked *p, uint64_t session)
{
	struct nl_request r;
	bool is;

	if (p->who.peer)
		return p->who.peer->f->op->session == session;
	is = !nl_decode_request(&p->nlh, &r) && r.op.session == session;
	nl_request_release(&r);
	return is;
}

/* Nobody waits for them any more, but each has a slot until it is answered. */
static void drop_parked_of(struct served *sv, uint32_t origin,
			   uint64_t session)
{
	struct parked *p, **at = &sv->parked;

	while ((p = *at)) {
		if (p->who.origin != origin || !parked_is_of(p, session)) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		answer_status(sv, &p->who, -EINTR);
		free(p);
	}
	sv->parked_tail = at;
}

bool exec_cancel(struct served *sv, uint32_t origin, uint64_t id)
{
	struct parked *p, **at = &sv->parked;

	for (; (p = *at); at = &p->next) {
		if (p->who.origin != origin || p->who.kind != ORCHFS_KIND_LOCK ||
		    (p->who.peer ? p->who.peer->f->op->id : p->who.id) != id)
			continue;
		*at = p->next;
		if (!*at)
			sv->parked_tail = at;
		answer_status(sv, &p->who, -EINTR);
		free(p);
		return true;
	}
	return false;
}

static void do_kernel(struct served *sv, struct nlmsghdr *nlh,
		      const struct seen *seen);
static void do_node(struct served *sv, const struct asker *who,
		    const struct seen *seen);

/* Those that still can't be done are parked again. */
static void unpark_run(struct work *w)
{
	struct served *sv = container_of(w, struct served, unpark_work);
	struct parked *p, *next = sv->parked;

	sv->unpark_posted = false;
	sv->parked = NULL;
	sv->parked_tail = &sv->parked;
	while ((p = next)) {
		next = p->next;
		if (p->who.peer && sv->ns)
			do_node(sv, &p->who, &p->seen);
		else if (p->who.peer)
			peer_fail(p->who.peer, -ESHUTDOWN, "it is stopping");
		else if (sv->attached && sv->ns)
			do_kernel(sv, &p->nlh, &p->seen);
		free(p);
	}
}

void exec_unpark(struct served *sv)
{
	if (!sv->parked || sv->unpark_posted)
		return;
	sv->unpark_work.run = unpark_run;
	sv->unpark_posted = work_post(&sv->queue, &sv->unpark_work);
}

/* --- executing --- */

static void remember(struct served *sv, uint64_t ino)
{
	sv->recent[sv->recent_pos] = ino;
	sv->recent_pos = (sv->recent_pos + 1) % RECENT_MAX;
}

/* Answers to the own kernel that its handles don't show yet. */
static void remember_told(struct served *sv, const struct op_req *op,
			  const struct op_reply *rep)
{
	if (!op->origin && !rep->status &&
	    (rep->has_layout || (rep->has_attr && !rep->attr.nlink)))
		remember(sv, rep->attr.ino);
	if (!rep->has_attr2 || rep->attr2.nlink)
		return;
	if (!op->origin)
		remember(sv, rep->attr2.ino);
	sv->deleter.freed_at = now_ms();
}

/* No file for a new name: of that much of a failed create nothing is left. */
static bool lacks_space(const struct op_req *op, const struct op_reply *rep)
{
	return op->kind == ORCHFS_KIND_CREATE && S_ISREG(op->mode) &&
	       (rep->status == -ENOSPC || rep->status == -EDQUOT);
}

static bool can_begin(struct served *sv, const struct op_req *op)
{
	if (op->kind == ORCHFS_KIND_CREATE && S_ISREG(op->mode) &&
	    !pool_ready(sv, op->origin))
		return false;
	return (op->kind != ORCHFS_KIND_CREATE &&
		op->kind != ORCHFS_KIND_SETATTR) || !home_owns_full(sv);
}

static void do_execute(struct served *sv, const struct asker *who,
		       const struct op_req *op, const struct nlmsghdr *nlh,
		       const struct seen *seen)
{
	struct op_reply rep = { 0 };
	uint64_t txn = 0;

	if (!can_begin(sv, op)) {
		park(sv, who, nlh, seen);
		return;
	}
	if (!sv->arena)
		sv->arena = arena_new();
	rep.arena = sv->arena;
	if (!rep.arena) {
		answer_status(sv, who, -ENOMEM);
		return;
	}
	fault_point("before-commit");
	homes_asking(sv, seen->arrived);
	ns_execute(sv->ns, op, &rep);
	homes_asking(sv, 0);
	served_txn(sv);
	if (rep.status == -NS_PARKED ||
	    (lacks_space(op, &rep) && deleter_frees(sv, seen->since))) {
		park(sv, who, nlh, seen);
		arena_reset(sv->arena);
		return;
	}
	if (rep.txn)
		fault_point("after-commit-before-reply");
	remember_told(sv, op, &rep);
	make_known(sv, op, &rep);
	/* only callers on this machine may die with it */
	if (op->origin || op->flags & ORCHFS_REQ_FLAG_DURABLE)
		txn = op->kind == ORCHFS_KIND_MOUNT ? ns_txn(sv->ns) : rep.txn;
	if (answer(sv, who, op, &rep, txn))
		sv->arena = NULL;
	else
		arena_reset(sv->arena);
}

static void do_statfs(struct served *sv, const struct asker *who)
{
	struct op_reply rep = { .has_statfs = true };

	rep.status = pool_backing_ops.statfs(sv, &rep.statfs);
	rep.has_statfs = !rep.status;
	answer_now(sv, who, &rep);
}

/* An fsync of one file or directory waits for no volume. */
static void do_request(struct served *sv, const struct asker *who,
		       const struct op_req *op, const struct nlmsghdr *nlh,
		       const struct seen *again)
{
	const struct seen now = { now_ms(), homes_arrived(sv) };
	const struct seen *seen = again ? again : &now;
	int rc;

	if (!again) {
		atomic_fetch_add(&sv->requests, 1);
		if (op->flags & ORCHFS_REQ_FLAG_RESENT)
			atomic_fetch_add(&sv->resent, 1);
	}
	switch (op->kind) {
	case ORCHFS_KIND_BARRIER:
		if (op->node) {
			answer_barrier(sv, who);
			break;
		}
		rc = flush_request(sv, who);
		if (rc < 0)
			answer_status(sv, who, rc);
		break;
	case ORCHFS_KIND_STATFS:
		do_statfs(sv, who);
		break;
	case ORCHFS_KIND_LOCK:
		if (!lock_request(sv, who, op))
			park(sv, who, nlh, seen);
		break;
	case ORCHFS_KIND_MOUNT:
		rc = sessions_mounted(sv, op->origin, op->session);
		if (rc < 0) {
			answer_status(sv, who, rc);
			break;
		}
		/* fallthrough */
	default:
		do_execute(sv, who, op, nlh, seen);
	}
}

/* @seen: NULL: it has just come */
static void do_kernel(struct served *sv, struct nlmsghdr *nlh,
		      const struct seen *seen)
{
	struct asker who = { 0 };
	struct nl_request r;
	int rc;

	rc = nl_decode_request(nlh, &r);
	who.id = r.op.id;
	who.kind = r.op.kind;
	if (!rc) {
		do_request(sv, &who, &r.op, nlh, seen);
	} else {
		const char *kind = orchfs_kind_name(r.op.kind);

		log_err(sv->name, "request %llu (%s) refused: %s",
			(unsigned long long)r.op.id, kind ? kind : "unknown",
			strerror(-rc));
		if (r.op.id)
			answer_status(sv, &who, rc);
	}
	nl_request_release(&r);
}

void exec_kernel(struct served *sv, struct nlmsghdr *nlh)
{
	do_kernel(sv, nlh, NULL);
}

static void do_node(struct served *sv, const struct asker *who,
		    const struct seen *seen)
{
	struct op_req op;
	int rc;

	rc = op_wire_get_op(who->peer->f->op, &op);
	if (rc < 0) {
		log_warn(sv->name, "a request of node %u refused: %s",
			 who->origin, strerror(-rc));
		answer_status(sv, who, rc);
		return;
	}
	op.origin = who->origin;
	do_request(sv, who, &op, NULL, seen);
}

void exec_node(struct served *sv, struct peer_request *r)
{
	const struct asker who = {
		.origin = r->node, .kind = r->f->op->kind, .peer = r,
	};

	do_node(sv, &who, NULL);
}

/* --- notices --- */

void exec_untold(void *ctx, uint64_t ino)
{
	struct served *sv = ctx;

	exec_changed(sv, sv->telling, ino, NULL);
}

/* Of a kernel that has it mounted no more nothing else will be heard. */
static int unmounted(struct served *sv, uint32_t origin, uint64_t session)
{
	int rc = sessions_unmounted(sv, origin, session);

	if (!origin)
		exporter_want(sv);
	return rc == -ENOENT ? 0 : rc;
}

int exec_notes(struct served *sv, uint32_t origin,
	       const struct ns_note *notes, size_t nr)
{
	int rc;

	for (size_t i = 0; i < nr; i++)
		if (notes[i].kind == ORCHFS_KIND_NOTE_UMOUNT)
			drop_parked_of(sv, origin, notes[i].session);
	sv->telling = origin;
	rc = ns_note(sv->ns, origin, notes, nr);
	sv->telling = 0;
	for (size_t i = 0; i < nr; i++)
		if (notes[i].kind == ORCHFS_KIND_NOTE_FORGET)
			sv->deleter.freed_at = now_ms();
	for (size_t i = 0; i < nr; i++)
		if (notes[i].kind == ORCHFS_KIND_NOTE_FORGET && origin)
			lease_forgot(sv->lease, origin, notes[i].node);
	for (size_t i = 0; i < nr && !rc; i++)
		if (notes[i].kind == ORCHFS_KIND_NOTE_UMOUNT)
			rc = unmounted(sv, origin, notes[i].session);
	served_txn(sv);
	lease_flush(sv->lease);
	return rc;
}
