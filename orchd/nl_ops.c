// SPDX-License-Identifier: Apache-2.0
/* What the kernel sends, and the answers. Namespace thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/netlink.h>

#include "arena.h"
#include "data.h"
#include "export.h"
#include "fault.h"
#include "log.h"
#include "nl.h"
#include "nl_gen.h"
#include "ns_move.h"
#include "served.h"

/* A sync doesn't wait longer for deletions. */
#define DELETIONS_MS	10000

static void drop_parked(struct served *sv);
static void do_request(struct served *sv, struct nlmsghdr *nlh, uint64_t since);

struct parked {
	struct parked *next;
	uint64_t since;		/* ms: parked for the first time */
	struct nlmsghdr nlh;	/* and what belongs to it */
};

/*
 * A request that cannot be answered must not be forgotten: the channel is
 * closed, so that the kernel hands it out again. What it has done by then is
 * in its slot.
 */
static void unanswered(struct served *sv, uint64_t id, int rc)
{
	log_err(sv->name, "cannot answer request %llu: %s",
		(unsigned long long)id, strerror(-rc));
	sv->need_detach = true;
}

static bool transient(int rc)
{
	return rc == -ENOMEM || rc == -ENOBUFS || rc == -EAGAIN;
}

static void send_status(struct served *sv, uint64_t id, int status)
{
	struct op_reply rep = { .status = status };
	int rc;

	rc = channel_send(&sv->ch,
			  nl_encode_reply(sv->ch.family, id, &rep,
					  store_durable(sv->st), -1), NULL);
	if (rc < 0)
		unanswered(sv, id, rc);
}

static int open_layout(struct served *sv, uint32_t kind, uint64_t node,
		       struct op_reply *rep)
{
	const struct op_layout *l = &rep->layout;
	struct volume *v = served_volume(sv, l->volume);
	int fd;

	fd = v ? backing_open(v, node, l->version, l->instance) : -EIO;
	if (fd == -EROFS && !l->writable)
		fd = backing_open_read(v, node, l->version, l->instance);
	if (fd >= 0)
		return fd;
	log_err(sv->name, "inode %llu: backing file %llx.%llx.%llx on volume "
		"%s: %s", (unsigned long long)node, (unsigned long long)node,
		(unsigned long long)l->version,
		(unsigned long long)l->instance, v ? v->rec.name : "(gone)",
		v && !volume_online(v) ? "the volume is not in use" :
		fd == -ENOENT ? "missing" : strerror(-fd));
	ns_layout_unsent(sv->ns, 0, node, l);
	/* names stay usable: only what needs the contents fails */
	rep->has_layout = false;
	if (kind == ORCHFS_KIND_OPEN) {
		rep->has_attr = false;
		rep->status = fd == -EMFILE || fd == -ENFILE ||
			      fd == -EROFS ? fd : -EIO;
	}
	return -1;
}

static void send_reply(struct served *sv, uint64_t id, uint32_t kind,
		       struct op_reply *rep)
{
	uint64_t durable = store_durable(sv->st);
	int fd = -1, rc;

	if (rep->has_layout && !rep->status)
		fd = open_layout(sv, kind, rep->attr.ino, rep);
	rc = channel_send(&sv->ch, nl_encode_reply(sv->ch.family, id, rep,
						   durable, fd), NULL);
	if (fd >= 0)
		close(fd);	/* the kernel has taken its own reference */
	if (!rc)
		sv->told_durable = durable;
	else if (transient(rc))
		unanswered(sv, id, rc);
	else
		send_status(sv, id, rc == -EMSGSIZE ? -EIO : rc);
}

static void remember(struct served *sv, uint64_t ino)
{
	sv->recent[sv->recent_pos] = ino;
	sv->recent_pos = (sv->recent_pos + 1) % RECENT_MAX;
}

/* @deletion: sequence of one that shall have been tried, too; or 0 */
static void wait_durable(struct served *sv, const struct op_req *op,
			 uint64_t txn, uint64_t deletion,
			 const struct op_reply *rep)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (!w) {
		/* slower, but the promise holds */
		int rc = store_barrier(sv->st);
		struct op_reply copy = *rep;

		if (rc < 0)
			sync_fatal(sv, rc);
		send_reply(sv, op->id, op->kind, &copy);
		arena_free(rep->arena);
		return;
	}
	w->id = op->id;
	w->kind = op->kind;
	w->txn = txn;
	w->deletion = deletion;
	w->until = now_ms() + DELETIONS_MS;
	w->rep = *rep;
	*sv->waiters_tail = w;
	sv->waiters_tail = &w->next;
	sync_request(sv, txn);
}

static bool wait_is_over(struct served *sv, const struct waiter *w,
			 uint64_t durable)
{
	if (w->txn > durable)
		return false;
	return !w->deletion || now_ms() >= w->until ||
	       deleter_tried(sv, w->deletion);
}

void nl_ops_durable(struct served *sv)
{
	uint64_t durable = store_durable(sv->st);
	struct waiter *w, **p = &sv->waiters;

	while ((w = *p)) {
		if (!wait_is_over(sv, w, durable)) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		if (sv->attached)
			send_reply(sv, w->id, w->kind, &w->rep);
		arena_free(w->rep.arena);
		free(w);
	}
	sv->waiters_tail = p;
	if (sv->attached && sv->told_durable < store_durable(sv->st))
		nl_ops_poll(sv);
}

static void lose_swaps(struct served *sv);

void nl_ops_drop_waiters(struct served *sv)
{
	struct waiter *w;

	while ((w = sv->waiters)) {
		sv->waiters = w->next;
		arena_free(w->rep.arena);
		free(w);
	}
	sv->waiters_tail = &sv->waiters;
	drop_parked(sv);
	lose_swaps(sv);
}

void nl_ops_poll(struct served *sv)
{
	uint64_t durable = store_durable(sv->st);
	int rc;

	sv->ch.overrun = false;
	rc = channel_send(&sv->ch, nl_encode_durable(sv->ch.family,
						     ORCHFS_CMD_POLL, durable,
						     NL_LEASE_KEEP), NULL);
	if (rc < 0)
		log_warn(sv->name, "cannot poll the kernel: %s",
			 strerror(-rc));
	else
		sv->told_durable = durable;
}

/* An fsync of one file or directory waits for no volume. */
static void do_barrier(struct served *sv, const struct op_req *op)
{
	struct op_reply rep = { 0 };
	uint64_t txn = ns_txn(sv->ns);

	if (txn <= store_durable(sv->st))
		send_reply(sv, op->id, op->kind, &rep);
	else
		wait_durable(sv, op, txn, 0, &rep);
}

static void do_sync(struct served *sv, const struct op_req *op)
{
	int rc = flush_request(sv, op->id);

	if (rc < 0)
		send_status(sv, op->id, rc);
}

/* Who syncs finds the space of what was removed before. */
void nl_ops_flushed(struct served *sv, uint64_t id, int rc)
{
	struct op_req op = { .id = id, .kind = ORCHFS_KIND_BARRIER };
	uint64_t last = ns_deletion_last(sv->ns);
	struct op_reply rep = { 0 };

	if (rc < 0) {
		send_status(sv, id, rc);
	} else if (deleter_tried(sv, last)) {
		do_barrier(sv, &op);
	} else {
		wait_durable(sv, &op, ns_txn(sv->ns), last, &rep);
		deleter_kick(sv);
	}
}

static void do_statfs(struct served *sv, const struct op_req *op)
{
	struct op_reply rep = { .has_statfs = true };

	rep.status = pool_backing_ops.statfs(sv, &rep.statfs);
	rep.has_statfs = !rep.status;
	send_reply(sv, op->id, op->kind, &rep);
}

/* Without memory the channel is closed, and the kernel asks again. */
static void park(struct served *sv, uint64_t id, const struct nlmsghdr *nlh,
		 uint64_t since)
{
	struct parked *p = malloc(offsetof(struct parked, nlh) +
				  nlh->nlmsg_len);

	if (!p) {
		unanswered(sv, id, -ENOMEM);
		return;
	}
	p->next = NULL;
	p->since = since;
	memcpy(&p->nlh, nlh, nlh->nlmsg_len);
	*sv->parked_tail = p;
	sv->parked_tail = &p->next;
}

static void drop_parked(struct served *sv)
{
	struct parked *p;

	while ((p = sv->parked)) {
		sv->parked = p->next;
		free(p);
	}
	sv->parked_tail = &sv->parked;
}

static bool parked_is_of(struct parked *p, uint64_t session, uint64_t *id)
{
	struct nl_request r;
	bool is;

	is = !nl_decode_request(&p->nlh, &r) && r.op.session == session;
	*id = r.op.id;
	nl_request_release(&r);
	return is;
}

/* Nobody waits for them any more, but each has a slot until it is answered. */
static void drop_parked_of(struct served *sv, uint64_t session)
{
	struct parked *p, **at = &sv->parked;
	uint64_t id;

	while ((p = *at)) {
		if (!parked_is_of(p, session, &id)) {
			at = &p->next;
			continue;
		}
		send_status(sv, id, -EINTR);
		*at = p->next;
		free(p);
	}
	sv->parked_tail = at;
}

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
		if (sv->attached && sv->ns)
			do_request(sv, &p->nlh, p->since);
		free(p);
	}
}

void nl_ops_unpark(struct served *sv)
{
	if (!sv->parked || sv->unpark_posted)
		return;
	sv->unpark_work.run = unpark_run;
	sv->unpark_posted = work_post(&sv->queue, &sv->unpark_work);
}

/* No file for a new name: of that much of a failed create nothing is left. */
static bool lacks_space(const struct op_req *op, const struct op_reply *rep)
{
	return op->kind == ORCHFS_KIND_CREATE && S_ISREG(op->mode) &&
	       (rep->status == -ENOSPC || rep->status == -EDQUOT);
}

static void do_execute(struct served *sv, const struct op_req *op,
		       const struct nlmsghdr *nlh, uint64_t since)
{
	struct op_reply rep = { 0 };

	if (op->kind == ORCHFS_KIND_CREATE && S_ISREG(op->mode) &&
	    !pool_ready(sv)) {
		park(sv, op->id, nlh, since);
		return;
	}
	if (!sv->arena)
		sv->arena = arena_new();
	rep.arena = sv->arena;
	if (!rep.arena) {
		send_status(sv, op->id, -ENOMEM);
		return;
	}
	fault_point("before-commit");
	ns_execute(sv->ns, op, &rep);
	served_txn(sv);
	if (rep.status == -NS_PARKED ||
	    (lacks_space(op, &rep) && deleter_frees(sv, since))) {
		park(sv, op->id, nlh, since);
		arena_reset(sv->arena);
		return;
	}
	if (rep.txn)
		fault_point("after-commit-before-reply");
	if (!rep.status && (rep.has_layout ||
			    (rep.has_attr && !rep.attr.nlink)))
		remember(sv, rep.attr.ino);
	if (rep.has_attr2 && !rep.attr2.nlink) {
		remember(sv, rep.attr2.ino);
		sv->deleter.freed_at = now_ms();
	}
	if (op->flags & ORCHFS_REQ_FLAG_DURABLE &&
	    rep.txn > store_durable(sv->st)) {
		sv->arena = NULL;	/* the waiter's now */
		wait_durable(sv, op, rep.txn, 0, &rep);
		return;
	}
	send_reply(sv, op->id, op->kind, &rep);
	arena_reset(sv->arena);
}

/* @since: when it was parked first (ms); 0: it has just come */
static void do_request(struct served *sv, struct nlmsghdr *nlh, uint64_t since)
{
	struct nl_request r;
	int rc;

	rc = nl_decode_request(nlh, &r);
	if (rc < 0) {
		const char *kind = orchfs_kind_name(r.op.kind);

		log_err(sv->name, "request %llu (%s) refused: %s",
			(unsigned long long)r.op.id, kind ? kind : "unknown",
			strerror(-rc));
		if (r.op.id)
			send_status(sv, r.op.id, rc);
		nl_request_release(&r);
		return;
	}
	if (!since) {
		atomic_fetch_add(&sv->requests, 1);
		if (r.op.flags & ORCHFS_REQ_FLAG_RESENT)
			atomic_fetch_add(&sv->resent, 1);
	}
	if (r.op.kind == ORCHFS_KIND_BARRIER && r.op.node)
		do_barrier(sv, &r.op);
	else if (r.op.kind == ORCHFS_KIND_BARRIER)
		do_sync(sv, &r.op);
	else if (r.op.kind == ORCHFS_KIND_STATFS)
		do_statfs(sv, &r.op);
	else
		do_execute(sv, &r.op, nlh, since ? since : now_ms());
	nl_request_release(&r);
}

static int do_notes(void *ctx, const struct ns_note *notes, size_t nr)
{
	struct served *sv = ctx;
	int rc;

	for (size_t i = 0; i < nr; i++)
		if (notes[i].kind == ORCHFS_KIND_NOTE_UMOUNT)
			drop_parked_of(sv, notes[i].session);
	rc = ns_note(sv->ns, 0, notes, nr);
	for (size_t i = 0; i < nr; i++)
		if (notes[i].kind == ORCHFS_KIND_NOTE_FORGET)
			sv->deleter.freed_at = now_ms();
	served_txn(sv);
	/* a namespace has one session in a kernel */
	for (size_t i = 0; i < nr; i++)
		if (notes[i].kind == ORCHFS_KIND_NOTE_UMOUNT)
			exporter_want(sv);
	return rc;
}

static void do_notice(struct served *sv, struct nlmsghdr *nlh)
{
	int rc = nl_decode_notices(nlh, do_notes, sv);

	if (!rc)
		return;
	log_err(sv->name, "notices of the kernel: %s", strerror(-rc));
	/* what they said is asked for when something can be committed again */
	if (rc == -ENOSPC || transient(rc)) {
		sv->notes_lost = true;
		sv->notes_lost_txn = ns_txn(sv->ns);
	}
}

void nl_ops_tick(struct served *sv)
{
	if (!sv->ns || !sv->notes_lost || ns_txn(sv->ns) == sv->notes_lost_txn)
		return;
	sv->notes_lost = false;
	sv->need_resync = true;
}

static void swap_unlink_locked(struct served *sv, struct swap *s)
{
	struct swap **p;

	for (p = &sv->swaps; *p; p = &(*p)->next) {
		if (*p == s) {
			*p = s->next;
			break;
		}
	}
}

int nl_ops_layout_set(struct served *sv, struct swap *s, uint64_t ino,
		      const struct op_layout *lay, uint32_t timeout_ms)
{
	struct volume *v = served_volume(sv, lay->volume);
	int fd, rc;

	fd = v ? backing_open(v, ino, lay->version, lay->instance) : -EIO;
	if (fd < 0) {
		snprintf(s->text, sizeof(s->text), "its backing file on "
			 "volume %s: %s", v ? v->rec.name : "(gone)",
			 v && !volume_online(v) ? "the volume is not in use" :
			 strerror(-fd));
		/* the kernel alone says that it holds no layout */
		return fd == -ENOENT ? -EIO : fd;
	}
	pthread_mutex_lock(&sv->lock);
	s->id = ++sv->next_swap;
	s->next = sv->swaps;
	sv->swaps = s;
	pthread_mutex_unlock(&sv->lock);
	rc = channel_send(&sv->ch,
			  nl_encode_layout_set(sv->ch.family, s->id, ino, lay,
					       fd, timeout_ms), &s->seq);
	close(fd);
	if (rc < 0) {
		pthread_mutex_lock(&sv->lock);
		swap_unlink_locked(sv, s);
		pthread_mutex_unlock(&sv->lock);
	}
	return rc;
}

/* The swap that matches has ended; one with fn is not in the list then. */
static bool swap_ended(struct served *sv, bool (*match)(const struct swap *,
							const void *),
		       const void *key, int status, uint32_t writers,
		       const char *text)
{
	struct swap *s;
	bool mine;

	pthread_mutex_lock(&sv->lock);
	for (s = sv->swaps; s && (s->done || !match(s, key)); s = s->next)
		;
	mine = s && s->fn;
	if (s) {
		s->done = true;
		s->status = status;
		s->writers = writers;
		snprintf(s->text, sizeof(s->text), "%s", text);
		pthread_cond_broadcast(&sv->changed);
	}
	if (mine)
		swap_unlink_locked(sv, s);
	pthread_mutex_unlock(&sv->lock);
	if (mine)
		s->fn(sv, s);
	return s;
}

static bool match_id(const struct swap *s, const void *id)
{
	return s->id == *(const uint64_t *)id;
}

static bool match_seq(const struct swap *s, const void *seq)
{
	return s->seq == *(const uint32_t *)seq;
}

static bool match_fn(const struct swap *s, const void *key)
{
	(void)key;
	return s->fn;
}

void nl_ops_swap_lost(struct served *sv, struct swap *s)
{
	swap_ended(sv, match_id, &s->id, -ENOTCONN, 0, "");
}

static void lose_swaps(struct served *sv)
{
	while (swap_ended(sv, match_fn, NULL, -ENOTCONN, 0, ""))
		;
}

void nl_ops_drop_swaps(struct served *sv)
{
	struct swap **p;

	pthread_mutex_lock(&sv->lock);
	for (p = &sv->swaps; *p; ) {
		if ((*p)->fn)
			*p = (*p)->next;
		else
			p = &(*p)->next;
	}
	pthread_mutex_unlock(&sv->lock);
}

static void do_layout_done(struct served *sv, struct nlmsghdr *nlh)
{
	struct nl_layout_done d;

	if (nl_decode_layout_done(nlh, &d) < 0)
		return;
	swap_ended(sv, match_id, &d.id, d.status, d.writers, "");
}

/* An acknowledgement isn't the end, an error is. */
static bool swap_failed(struct served *sv, uint32_t seq, int error)
{
	bool found = false;
	struct swap *s;

	if (error)
		return swap_ended(sv, match_seq, &seq, error, 0, sv->ch.error);
	pthread_mutex_lock(&sv->lock);
	for (s = sv->swaps; s && !found; s = s->next)
		found = s->seq == seq && !s->done;
	pthread_mutex_unlock(&sv->lock);
	return found;
}

static void do_error(struct served *sv, struct nlmsghdr *nlh)
{
	int error = channel_error(&sv->ch, nlh);

	if (swap_failed(sv, nlh->nlmsg_seq, error) || !error)
		return;
	/* of a poll, maybe not of the last one */
	if (error == -ESTALE) {
		log_warn(sv->name, "the kernel dropped notices: reading its "
			 "open files again");
		sv->need_resync = true;
		return;
	}
	if (error == -ENOENT || error == -ENOTCONN) {
		log_warn(sv->name, "the kernel no longer knows this daemon: "
			 "attaching again");
		attach_lost(sv);
		sv->need_attach = true;
		return;
	}
	log_err(sv->name, "the kernel refused message %u: %s%s%s",
		nlh->nlmsg_seq, strerror(-error),
		sv->ch.error[0] ? ": " : "", sv->ch.error);
}

void nl_ops_event(void *ctx, struct nlmsghdr *nlh)
{
	struct served *sv = ctx;

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
		do_request(sv, nlh, 0);
		break;
	case ORCHFS_CMD_NOTICE:
		do_notice(sv, nlh);
		break;
	case ORCHFS_CMD_LAYOUT_DONE:
		do_layout_done(sv, nlh);
		break;
	}
}
