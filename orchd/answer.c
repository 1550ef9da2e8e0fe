// SPDX-License-Identifier: Apache-2.0
/*
 * Answers: to the own kernel by the channel, to another node by the link that
 * the request came by; at once, or when what they tell is durable and nobody
 * believes anything else any more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"
#include "cluster.h"
#include "data.h"
#include "exec.h"
#include "log.h"
#include "nl.h"
#include "peer.h"

/* A sync doesn't wait longer for deletions. */
#define DELETIONS_MS	10000

struct waiter {
	struct waiter *next;
	struct lease_wait lease;
	struct asker who;
	uint64_t txn;
	uint64_t deletion, until;	/* to be tried first; 0: none */
	struct op_reply rep;
};

/*
 * A request that cannot be answered must not be forgotten: the channel is
 * closed, so that the kernel hands it out again. What it has done by then is
 * in its slot.
 */
static void unanswered(struct served *sv, const struct asker *who, int rc)
{
	if (who->peer) {
		log_err(sv->name, "cannot answer a request of node %u: %s",
			who->origin, strerror(-rc));
		peer_reply(who->peer, NULL);
		return;
	}
	log_err(sv->name, "cannot answer request %llu: %s",
		(unsigned long long)who->id, strerror(-rc));
	sv->need_detach = true;
}

static bool transient(int rc)
{
	return rc == -ENOMEM || rc == -ENOBUFS || rc == -EAGAIN;
}

static void kernel_status(struct served *sv, const struct asker *who,
			  int status)
{
	struct op_reply rep = { .status = status };
	int rc;

	rc = channel_send(&sv->ch,
			  nl_encode_reply(sv->ch.family, who->id, &rep,
					  store_durable(sv->st), -1), NULL);
	if (rc < 0)
		unanswered(sv, who, rc);
}

/* names stay usable: only what needs the contents fails */
static void without_layout(struct served *sv, const struct asker *who,
			   struct op_reply *rep, int rc)
{
	ns_layout_unsent(sv->ns, who->origin, rep->attr.ino, &rep->layout);
	rep->has_layout = false;
	if (who->kind != ORCHFS_KIND_OPEN)
		return;
	rep->has_attr = false;
	rep->status = rc == -EMFILE || rc == -ENFILE || rc == -EROFS ||
		      rc == -ENOMEM ? rc : -EIO;
}

/*
 * The bytes come from the volume's home, by a token; from this machine's kernel
 * where the volume isn't far. A home's own kernel needs none.
 */
int layout_place(struct served *sv, uint32_t node, const struct volume *v,
		 uint64_t ino, struct op_layout *l)
{
	const uint32_t self = sv->cluster ? sv->cluster->node : 0;

	l->home = v->rec.home ? v->rec.home : self;
	l->at_home = v->rec.home && v->rec.home == node;
	if (l->at_home)
		return 0;
	if (!self)
		return -ENODEV;
	return token_make(sv, node ? node : self, l->volume, ino, l->version,
			  l->instance, l->writable, l->token);
}

static void give_layout(struct served *sv, const struct asker *who,
			struct op_reply *rep)
{
	const struct volume *v = served_volume(sv, rep->layout.volume);
	int rc = -EIO;

	/* of a volume that is away the kernel waits for its home */
	if (v && (volume_far(v) ? !v->left : volume_online(v)))
		rc = layout_place(sv, who->origin, v, rep->attr.ino,
				  &rep->layout);
	if (!rc)
		return;
	log_err(sv->name, "inode %llu: volume %s can't be used by node %u: %s",
		(unsigned long long)rep->attr.ino, v ? v->rec.name : "(gone)",
		who->origin, v && !volume_online(v) ? "it is not in use" :
		rc == -ENODEV ? "it isn't served to other nodes now" :
		strerror(-rc));
	without_layout(sv, who, rep, rc);
}

static int open_layout(struct served *sv, const struct asker *who,
		       struct op_reply *rep)
{
	const struct op_layout *l = &rep->layout;
	struct volume *v = served_volume(sv, l->volume);
	uint64_t ino = rep->attr.ino;
	int fd;

	if (v && volume_far(v)) {
		give_layout(sv, who, rep);
		return -1;
	}
	fd = v ? backing_open(v, ino, l->version, l->instance) : -EIO;
	if (fd == -EROFS && !l->writable)
		fd = backing_open_read(v, ino, l->version, l->instance);
	if (fd >= 0)
		return fd;
	log_err(sv->name, "inode %llu: backing file %llx.%llx.%llx on volume "
		"%s: %s", (unsigned long long)ino, (unsigned long long)ino,
		(unsigned long long)l->version,
		(unsigned long long)l->instance, v ? v->rec.name : "(gone)",
		v && !volume_online(v) ? "the volume is not in use" :
		fd == -ENOENT ? "missing" : strerror(-fd));
	without_layout(sv, who, rep, fd);
	return -1;
}

static void answer_kernel(struct served *sv, const struct asker *who,
			  struct op_reply *rep)
{
	uint64_t durable = store_durable(sv->st);
	int fd = -1, rc;

	if (rep->has_layout && !rep->status)
		fd = open_layout(sv, who, rep);
	rc = channel_send(&sv->ch, nl_encode_reply(sv->ch.family, who->id, rep,
						   durable, fd), NULL);
	if (fd >= 0)
		close(fd);	/* the kernel has taken its own reference */
	if (!rc)
		sv->told_durable = durable;
	else if (transient(rc))
		unanswered(sv, who, rc);
	else
		kernel_status(sv, who, rc == -EMSGSIZE ? -EIO : rc);
}

static void answer_node(struct served *sv, const struct asker *who,
			struct op_reply *rep)
{
	peer_frame f = PEER_FRAME_INIT(OP_REPLY);
	struct arena *a = rep->arena ? rep->arena : arena_new();

	if (rep->has_layout && !rep->status)
		give_layout(sv, who, rep);
	f.op_reply = a ? op_wire_reply(a, rep) : NULL;
	if (f.op_reply)
		peer_reply(who->peer, &f);
	else
		unanswered(sv, who, -ENOMEM);
	if (!rep->arena)
		arena_free(a);
}

void answer_now(struct served *sv, const struct asker *who,
		struct op_reply *rep)
{
	if (who->peer)
		answer_node(sv, who, rep);
	else
		answer_kernel(sv, who, rep);
}

void answer_status(struct served *sv, const struct asker *who, int status)
{
	struct op_reply rep = { .status = status };

	if (who->peer)
		answer_node(sv, who, &rep);
	else
		kernel_status(sv, who, status);
}

static struct waiter *waiter_new(const struct asker *who, uint64_t txn)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->who = *who;
	w->txn = txn;
	return w;
}

static void waiter_free(struct waiter *w)
{
	lease_wait_drop(&w->lease);
	arena_free(w->rep.arena);
	free(w);
}

static void waiter_put(struct served *sv, struct waiter *w,
		       const struct op_reply *rep)
{
	w->rep = *rep;
	*sv->waiters_tail = w;
	sv->waiters_tail = &w->next;
	if (w->txn > store_durable(sv->st))
		sync_request(sv, w->txn);
}

/* slower, but the promise holds */
static void answer_slowly(struct served *sv, const struct asker *who,
			  struct op_reply *rep)
{
	int rc = store_barrier(sv->st);

	if (rc < 0)
		sync_fatal(sv, rc);
	answer_now(sv, who, rep);
}

/* All that the answer tells of, or its error: names of node and node2. */
static int wait_for_told(struct served *sv, struct lease_wait *w,
			 uint32_t origin, const struct op_req *op,
			 const struct op_reply *rep)
{
	const uint64_t inos[] = {
		op->node, op->node2, rep->has_attr ? rep->attr.ino : 0,
		rep->has_attr2 ? rep->attr2.ino : 0,
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof(inos) / sizeof(*inos) && !rc; i++)
		if (inos[i])
			rc = lease_wait_for(sv->lease, w, origin, inos[i]);
	for (size_t i = 0; i < rep->nr_entries && !rc; i++)
		rc = lease_wait_for(sv->lease, w, origin,
				    rep->entries[i].attr.ino);
	return rc;
}

bool answer(struct served *sv, const struct asker *who,
	    const struct op_req *op, struct op_reply *rep, uint64_t txn)
{
	const bool alone = lease_none(sv->lease);
	struct waiter *w = NULL;
	int rc = 0;

	if (txn <= store_durable(sv->st))
		txn = 0;
	if (txn || !alone)
		w = waiter_new(who, txn);
	if (!alone && w) {
		rc = wait_for_told(sv, &w->lease, who->origin, op, rep);
		lease_answer(sv->lease, &w->lease);
	}
	if (!rc && w && (txn || w->lease.nr)) {
		waiter_put(sv, w, rep);
		lease_flush(sv->lease);
		return true;
	}
	if (rc || (!alone && !w))
		unanswered(sv, who, -ENOMEM);
	else if (txn)
		answer_slowly(sv, who, rep);
	else
		answer_now(sv, who, rep);
	if (w && !rc)
		lease_sent(&w->lease);
	if (w)
		waiter_free(w);
	return false;
}

static bool wait_is_over(struct served *sv, const struct waiter *w,
			 uint64_t durable)
{
	if (w->txn > durable || w->lease.nr)
		return false;
	return !w->deletion || now_ms() >= w->until ||
	       deleter_tried(sv, w->deletion);
}

void answer_ready(void *ctx, struct lease_wait *w)
{
	struct served *sv = ctx;

	(void)w;
	sv->answers_due = true;
}

void answer_run(struct served *sv)
{
	uint64_t durable = store_durable(sv->st);
	struct waiter *w, **p = &sv->waiters;

	sv->answers_due = false;
	while ((w = *p)) {
		if (!wait_is_over(sv, w, durable)) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		if (w->who.peer || sv->attached) {
			answer_now(sv, &w->who, &w->rep);
			lease_sent(&w->lease);
		}
		waiter_free(w);
	}
	sv->waiters_tail = p;
	lease_flush(sv->lease);
	if (sv->attached && sv->told_durable < store_durable(sv->st))
		nl_ops_poll(sv);
}

bool asker_gone(const struct asker *who, uint32_t origin, uint64_t link)
{
	return who->origin == origin && (!origin || who->peer->link == link);
}

void answer_drop(struct served *sv, uint32_t origin, uint64_t link)
{
	struct waiter *w, **p = &sv->waiters;

	while ((w = *p)) {
		if (!asker_gone(&w->who, origin, link)) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		if (w->rep.has_layout && !w->rep.status)
			ns_layout_unsent(sv->ns, origin, w->rep.attr.ino,
					 &w->rep.layout);
		if (w->who.peer)
			peer_fail(w->who.peer, -ENOTCONN, "the link is down");
		waiter_free(w);
	}
	sv->waiters_tail = p;
}

/* @deletion: sequence of one that shall have been tried, too; or 0 */
static void wait_durable(struct served *sv, const struct asker *who,
			 uint64_t txn, uint64_t deletion)
{
	struct waiter *w = waiter_new(who, txn);
	struct op_reply rep = { 0 };

	if (!w) {
		answer_slowly(sv, who, &rep);
		return;
	}
	w->deletion = deletion;
	w->until = now_ms() + DELETIONS_MS;
	waiter_put(sv, w, &rep);
}

void answer_barrier(struct served *sv, const struct asker *who)
{
	uint64_t txn = ns_txn(sv->ns);

	if (txn <= store_durable(sv->st))
		answer_status(sv, who, 0);
	else
		wait_durable(sv, who, txn, 0);
}

/* Who syncs finds the space of what was removed before. */
void answer_flushed(struct served *sv, const struct asker *who, int rc)
{
	uint64_t last = ns_deletion_last(sv->ns);

	if (rc < 0) {
		answer_status(sv, who, rc);
	} else if (deleter_tried(sv, last)) {
		answer_barrier(sv, who);
	} else {
		wait_durable(sv, who, ns_txn(sv->ns), last);
		deleter_kick(sv);
	}
}
