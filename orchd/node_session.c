// SPDX-License-Identifier: Apache-2.0
/*
 * Sessions of other nodes: what each of their kernels holds is told when its
 * link is up, from then on it may ask and believe for as long as its lease.
 * Documentation/coherence.md.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "cluster.h"
#include "ctl_remote.h"
#include "data.h"
#include "exec.h"
#include "fault.h"
#include "home.h"
#include "locks.h"
#include "log.h"
#include "nl.h"
#include "ns_cluster.h"
#include "peer.h"

#define LEASE_MS	10000U
#define LEASE_MS_MAX	600000U
#define HANDLES_MAX	(1U << 20)	/* inodes that a kernel may hold */
#define TELL_MS		600000U		/* its session ends long before */

enum session_state {
	SESSION_NEW,			/* nothing is known of it */
	SESSION_TELLING,		/* attach was heard, handles come */
	SESSION_READY,			/* its record is made durable */
	SESSION_UP,
};

struct session_node {
	struct session_node *next;
	uint32_t node;
	enum session_state state;
	uint64_t link;			/* 0: down */
	uint8_t boot_id[16];		/* of the kernel of its session */
	bool known;			/* it is of this run */
	bool ending;			/* its writes may be under way, ... */
	uint64_t over;			/* ... or its end isn't durable */
	bool unheard;			/* ends without having told its locks */
	bool locks_lost;		/* what it had before */
	bool unfenced;			/* for want of memory */
	uint8_t boot_new[16];
	uint64_t sessions[OP_WIRE_SESSIONS_MAX];
	size_t nr_sessions;
	uint64_t mount;
	struct ns_handle *handles;
	size_t nr_handles, max_handles;
	struct peer_request *ready;	/* to be answered when ... */
	uint64_t txn;			/* ... that is durable */
	uint64_t requests;
};

/* An invalidation on its way. */
struct tell {
	struct peer_question q;
	struct served *sv;
	uint32_t node;
	uint64_t link, seq;
};

static uint32_t lease_ms(void)
{
	long ms = fault_value("lease-ms");

	return ms > 0 && ms <= LEASE_MS_MAX ? (uint32_t)ms : LEASE_MS;
}

/* A holder counts from when it asked, this end from now, by another clock. */
static uint64_t lease_end_at(struct served *sv, uint32_t ms)
{
	const uint64_t now = peer_now();

	lease_now(sv->lease, now);
	return now + ms + ms / 100 + 100;
}

static struct session_node *session_find(struct served *sv, uint32_t node)
{
	struct session_node *s = sv->sessions;

	while (s && s->node != node)
		s = s->next;
	return s;
}

static struct session_node *session_get(struct served *sv, uint32_t node)
{
	struct session_node **pp = &sv->sessions, *s;

	while (*pp && (*pp)->node < node)
		pp = &(*pp)->next;
	if (*pp && (*pp)->node == node)
		return *pp;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->node = node;
	s->next = *pp;
	*pp = s;
	return s;
}

static void drop_handles(struct session_node *s)
{
	free(s->handles);
	s->handles = NULL;
	s->nr_handles = s->max_handles = 0;
}

static void reply_done(struct peer_request *r)
{
	Orchfs__Peer__Empty m = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(DONE);

	f.done = &m;
	peer_reply(r, &f);
}

static void reply_lease(struct served *sv, struct peer_request *r)
{
	Orchfs__Peer__Lease m = ORCHFS__PEER__LEASE__INIT;
	peer_frame f = PEER_FRAME_INIT(LEASE);

	m.lease_ms = lease_ms();
	m.authority_ms = data_clock(sv);
	m.durable = store_durable(sv->st);
	f.lease = &m;
	peer_reply(r, &f);
}

/* --- what lease.c wants done --- */

static void told(struct peer_question *q, int rc, const char *why,
		 peer_frame *f)
{
	struct tell *t = container_of(q, struct tell, q);
	struct session_node *s = session_find(t->sv, t->node);

	if (s && s->link == t->link) {
		if (!rc) {
			lease_acked(t->sv->lease, t->node, t->seq);
			lease_flush(t->sv->lease);
		} else if ((q->wait.failure || rc == -ETIMEDOUT) &&
			   t->sv->cluster && t->sv->cluster->peer) {
			/* else the link is down, which is told */
			log_warn(t->sv->name, "node %u doesn't take an "
				 "invalidation: %s", t->node, why);
			peer_drop(t->sv->cluster->peer, t->link, rc, why);
		}
	}
	frame_free(f);
	free(t);
}

static int send_tell(struct served *sv, struct peer *p, struct tell *t,
		     const struct op_stale *what, size_t nr)
{
	peer_frame f = PEER_FRAME_INIT(INVALIDATE);
	struct arena *a = arena_new();
	int rc = -ENOMEM;

	t->q.done = told;
	t->sv = sv;
	f.invalidate = a ? op_wire_invalidate(a, t->seq, what, nr) : NULL;
	if (f.invalidate)
		rc = peer_send(p, t->link, &f, TELL_MS, &t->q);
	arena_free(a);
	return rc;
}

static int ops_send(void *ctx, uint32_t node, uint64_t seq,
		    const struct op_stale *what, size_t nr)
{
	struct served *sv = ctx;
	struct peer *p = sv->cluster ? sv->cluster->peer : NULL;
	struct session_node *s = session_find(sv, node);
	struct tell *t;
	int rc = -ENOMEM;

	if (!p || !s || !s->link)
		return -ENOTCONN;
	t = calloc(1, sizeof(*t));
	if (t) {
		t->node = node;
		t->link = s->link;
		t->seq = seq;
		rc = send_tell(sv, p, t, what, nr);
	}
	if (!rc)
		return 0;
	free(t);
	peer_drop(p, s->link, rc, "an invalidation can't be sent");
	return rc;
}

struct sent {
	struct peer_question q;
};

static void sent_done(struct peer_question *q, int rc, const char *why,
		      peer_frame *f)
{
	(void)rc;
	(void)why;
	frame_free(f);
	free(container_of(q, struct sent, q));
}

int sessions_send(struct served *sv, uint32_t node, peer_frame *f,
		  bool telling)
{
	struct peer *p = sv->cluster ? sv->cluster->peer : NULL;
	struct session_node *s = session_find(sv, node);
	struct sent *t;
	int rc;

	if (!p || !s || !s->link || (s->state != SESSION_UP && !telling))
		return -ENOTCONN;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->q.done = sent_done;
	rc = peer_send(p, s->link, f, TELL_MS, &t->q);
	if (rc)
		free(t);
	return rc;
}

int sessions_ask(struct served *sv, uint32_t node, peer_frame *f, uint32_t ms,
		 struct peer_question *q)
{
	const struct session_node *s = session_find(sv, node);

	if (!s || s->state != SESSION_UP || !sv->cluster || !sv->cluster->peer)
		return -ENOTCONN;
	return peer_send(sv->cluster->peer, s->link, f, ms, q);
}

/*
 * No write of it can come any more: what it held is free. It may still come
 * back and ask again for what was done. Returns the transaction by which the
 * next daemon knows of its end.
 */
static uint64_t session_over(struct served *sv, uint32_t node)
{
	uint64_t txn = 0;
	int rc;

	rc = ns_node_gone(sv->ns, node);
	if (!rc)
		rc = ns_node_leases(sv->ns, node, 0, &txn);
	if (rc < 0 && rc != -ENOENT)
		log_err(sv->name, "the end of node %u's session: %s", node,
			strerror(-rc));
	served_txn(sv);
	exec_unpark(sv);
	return txn;
}

/* Durably, so its locks aren't given back to it whatever happens. */
static void session_ended(struct served *sv, struct session_node *s)
{
	s->ending = s->unheard = false;
	s->over = 0;
	lock_gone(sv, s->node);
	exec_unpark(sv);
}

/* It may ask for nothing any more, whatever it believes. */
static void ops_ended(void *ctx, uint32_t node)
{
	struct served *sv = ctx;
	struct session_node *s = session_get(sv, node);
	bool unfenced;

	log_warn(sv->name, "the session of node %u has ended: its lease was "
		 "not renewed", node);
	if (s && s->link && sv->cluster && sv->cluster->peer)
		peer_drop(sv->cluster->peer, s->link, -ETIMEDOUT,
			  "its lease has ended: attach again");
	home_over(sv, node);
	unfenced = data_fence_node(sv, node) < 0;
	if (unfenced)
		log_err(sv->name, "node %u: cannot fence it: out of memory",
			node);
	if (!s) {
		session_over(sv, node);
		lock_gone(sv, node);
		return;
	}
	s->state = SESSION_NEW;
	s->unheard = !s->known;
	s->known = false;
	s->mount = 0;
	s->ending = true;
	s->unfenced = unfenced;
	s->over = 0;
	s->locks_lost = true;
}

static void end_fenced(struct served *sv)
{
	for (struct session_node *s = sv->sessions; s; s = s->next) {
		if (!s->ending || s->over)
			continue;
		if (s->unfenced)
			s->unfenced = data_fence_node(sv, s->node) < 0;
		if (s->unfenced || data_fencing(sv, s->node) ||
		    home_fencing(sv, s->node))
			continue;
		s->over = session_over(sv, s->node);
		if (s->over <= store_durable(sv->st))
			session_ended(sv, s);
		else
			sync_request(sv, s->over);
	}
}

bool sessions_unheard(const struct served *sv)
{
	const struct session_node *s = sv->sessions;

	while (s && !s->unheard)
		s = s->next;
	return s;
}

/* What it had is somebody else's if its last session has ended. */
static bool had_no_session(struct served *sv, uint32_t node)
{
	const struct ns_node *n;
	size_t nr;

	n = ns_nodes(sv->ns, &nr);
	for (size_t i = 0; i < nr; i++)
		if (n[i].number == node)
			return !n[i].lease_ms;
	return true;
}

static const struct lease_ops lease_ops = {
	.send = ops_send, .ready = answer_ready, .ended = ops_ended,
};

/* --- a node attaches --- */

static const char *own_problem(const struct served *sv)
{
	return sv->attached || sv->no_module ? NULL :
	       "the authority isn't attached to its own kernel yet";
}

static void do_attach(struct served *sv, struct session_node *s,
		      struct peer_request *r)
{
	const Orchfs__Peer__Attach *m = r->f->attach;
	const char *problem = own_problem(sv);

	if (!problem && s->ending)
		problem = "its last session is still being ended";
	if (problem) {
		peer_fail(r, -EAGAIN, problem);
		return;
	}
	if (m->boot_id.len != sizeof(s->boot_new) ||
	    m->n_session > OP_WIRE_SESSIONS_MAX || s->ready) {
		peer_fail(r, -EPROTO, "attach: malformed");
		return;
	}
	drop_handles(s);
	memcpy(s->boot_new, m->boot_id.data, sizeof(s->boot_new));
	memcpy(s->sessions, m->session, m->n_session * sizeof(*m->session));
	s->nr_sessions = m->n_session;
	s->state = SESSION_TELLING;
	s->locks_lost |= had_no_session(sv, s->node);
	locks_reclaim_begin(sv->locks, s->node);
	reply_done(r);
}

static int add_handles(struct session_node *s, const Orchfs__Peer__Handles *m)
{
	size_t want = s->nr_handles + OP_WIRE_HANDLES_MAX, nr = 0;
	int rc;

	if (want > s->max_handles) {
		size_t max = want > s->max_handles * 2 ? want :
			     s->max_handles * 2;
		void *p;

		if (s->nr_handles >= HANDLES_MAX)
			return -E2BIG;
		p = realloc(s->handles, max * sizeof(*s->handles));
		if (!p)
			return -ENOMEM;
		s->handles = p;
		s->max_handles = max;
	}
	rc = op_wire_get_handles(m, s->handles + s->nr_handles, &nr);
	if (!rc)
		s->nr_handles += nr;
	return rc;
}

static void do_handles(struct session_node *s, struct peer_request *r)
{
	int rc = -EPROTO;

	if (s->state == SESSION_TELLING)
		rc = add_handles(s, r->f->handles);
	if (rc)
		peer_fail(r, rc, "handles: not expected, malformed or too "
			  "many");
	else
		reply_done(r);
}

static int reclaim_locks(struct served *sv, struct session_node *s,
			 const Orchfs__Peer__Locks *m)
{
	struct arena *a = arena_new();
	struct op_locks v;
	int rc = a ? 0 : -ENOMEM;

	if (m->n_inode > OP_WIRE_LOCKS_MAX)
		rc = -E2BIG;
	for (size_t i = 0; i < m->n_inode && !rc; i++) {
		arena_reset(a);
		rc = op_wire_get_locks(a, m->inode[i], &v);
		if (!rc)
			locks_reclaim(sv->locks, s->node, v.ino, v.lease, v.l,
				      v.nr, s->locks_lost);
	}
	arena_free(a);
	return rc;
}

static void do_locks(struct served *sv, struct session_node *s,
		     struct peer_request *r)
{
	int rc = -EPROTO;

	if (s->state == SESSION_TELLING)
		rc = reclaim_locks(sv, s, r->f->locks);
	if (rc)
		peer_fail(r, rc, "locks: not expected, malformed or too many");
	else
		reply_done(r);
}

struct nameless_tell {
	struct served *sv;
	uint32_t node;
};

static int tell_nameless(void *ctx, const struct orchfs_attr *a)
{
	const struct nameless_tell *t = ctx;

	lease_tell(t->sv->lease, t->node, a->ino, a, peer_now());
	return 0;
}

static int tell_own(void *ctx, const struct orchfs_attr *a)
{
	struct served *sv = ctx;

	return channel_send(&sv->ch, nl_encode_invalidate(sv->ch.family,
							  a->ino, a), NULL);
}

int sessions_attached(struct served *sv)
{
	lease_own_back(sv->lease);
	return sv->lease ? ns_nameless(sv->ns, 0, tell_own, sv) : 0;
}

/* A namespace has one session in a kernel: it holds what that has. */
static int session_begin(struct served *sv, struct session_node *s, bool same)
{
	int rc = ns_node_leases(sv->ns, s->node, lease_ms(), &s->txn);

	return rc ? rc : lease_attach(sv->lease, s->node, same,
				      lease_end_at(sv, lease_ms()));
}

static int session_leave(struct served *sv, struct session_node *s)
{
	lease_leave(sv->lease, s->node);
	return ns_node_leases(sv->ns, s->node, 0, &s->txn);
}

int sessions_mounted(struct served *sv, uint32_t origin, uint64_t session)
{
	struct session_node *s = origin ? session_find(sv, origin) : NULL;
	int rc = 0;

	if (!origin) {
		sv->own_mount = session;
		return 0;
	}
	if (!s)
		return -ENOTCONN;
	if (!s->mount)
		rc = session_begin(sv, s, true);
	if (rc)
		return rc;
	s->mount = session;
	lease_up(sv->lease, origin, lease_end_at(sv, lease_ms()));
	if (!sv->attached)
		exec_own_lost(sv);
	return 0;
}

int sessions_unmounted(struct served *sv, uint32_t origin, uint64_t session)
{
	struct session_node *s = origin ? session_find(sv, origin) : NULL;
	uint64_t *mount = s ? &s->mount : &sv->own_mount;
	int rc;

	/* the next may have begun */
	if (*mount != session)
		return -ENOENT;
	*mount = 0;
	lock_gone(sv, origin);
	if (!s)
		return lease_none(sv->lease) ? 0 :
		       ns_reconcile(sv->ns, 0, NULL, 0, NULL, 0);
	rc = ns_reconcile(sv->ns, origin, NULL, 0, NULL, 0);
	return rc ? rc : session_leave(sv, s);
}

/* From here on it is told; it hears of that when it may believe again. */
static int take_over(struct served *sv, struct session_node *s)
{
	struct nameless_tell t = { sv, s->node };
	bool same = !s->known || !memcmp(s->boot_id, s->boot_new, 16);
	int rc;

	rc = ns_reconcile(sv->ns, s->node, s->sessions, s->nr_sessions,
			  s->handles, s->nr_handles);
	if (!rc)
		rc = s->nr_sessions ? session_begin(sv, s, same) :
		     session_leave(sv, s);
	if (rc)
		return rc;
	memcpy(s->boot_id, s->boot_new, sizeof(s->boot_id));
	s->known = true;
	s->mount = s->nr_sessions ? s->sessions[0] : 0;
	locks_reclaim_end(sv->locks, s->node, peer_now());
	s->locks_lost = false;
	for (size_t i = 0; i < s->nr_handles; i++)
		lease_told(sv->lease, s->node, s->handles[i].ino);
	drop_handles(s);
	return ns_nameless(sv->ns, s->node, tell_nameless, &t);
}

static void now_up(struct served *sv, struct session_node *s)
{
	struct peer_request *r = s->ready;

	s->ready = NULL;
	s->state = SESSION_UP;
	lease_up(sv->lease, s->node, lease_end_at(sv, lease_ms()));
	reply_lease(sv, r);
	home_up(sv, s->node, s->link);
	lease_flush(sv->lease);
	log_info(sv->name, "node %u has attached", s->node);
}

static void do_ready(struct served *sv, struct session_node *s,
		     struct peer_request *r)
{
	int rc = -EPROTO;

	if (s->state == SESSION_TELLING)
		rc = take_over(sv, s);
	served_txn(sv);
	if (rc) {
		if (rc != -EPROTO)
			log_err(sv->name, "node %u attaches: %s", s->node,
				strerror(-rc));
		s->state = SESSION_NEW;
		peer_fail(r, rc, "the authority can't take over what it holds");
		return;
	}
	s->ready = r;
	s->state = SESSION_READY;
	if (s->txn <= store_durable(sv->st))
		now_up(sv, s);
	else
		sync_request(sv, s->txn);
}

void sessions_durable(struct served *sv)
{
	const uint64_t durable = store_durable(sv->st);
	struct session_node *s = sv->sessions;

	for (; s; s = s->next) {
		if (s->ready && s->txn <= durable)
			now_up(sv, s);
		if (s->over && s->over <= durable)
			session_ended(sv, s);
	}
}

/* --- what it asks and tells then --- */

static void do_renew(struct served *sv, struct session_node *s,
		     struct peer_request *r)
{
	const uint64_t now = peer_now(), ms = lease_ms();
	int rc = 0;

	if (s->mount)
		rc = lease_renew(sv->lease, s->node, now > ms ? now - ms : 0,
				 lease_end_at(sv, lease_ms()));
	if (rc) {
		peer_fail(r, rc, rc == -EBUSY ? "an invalidation is not "
			  "acknowledged for a whole lease" :
			  "it has no session: attach again");
		return;
	}
	/* what it asked again when it had attached came before */
	attach_asked(sv, s->node);
	reply_lease(sv, r);
}

/* What isn't taken is asked for: it attaches again, and lists what it holds. */
static void do_notes(struct served *sv, struct session_node *s,
		     struct peer_request *r)
{
	struct ns_note *n = malloc(OP_WIRE_NOTES_MAX * sizeof(*n));
	size_t nr = 0;
	int rc = -ENOMEM;

	if (n)
		rc = op_wire_get_notes(r->f->notes, n, &nr);
	if (!rc)
		rc = exec_notes(sv, s->node, n, nr);
	free(n);
	if (!rc) {
		reply_done(r);
		return;
	}
	log_err(sv->name, "notices of node %u: %s", s->node, strerror(-rc));
	peer_reply(r, NULL);
}

static void do_lock_held(struct served *sv, struct session_node *s,
			 struct peer_request *r)
{
	const Orchfs__Peer__LockHeld *m = r->f->lock_held;
	struct arena *a = arena_new();
	struct op_locks v;
	int rc = a ? op_wire_get_held(a, m, &v) : -ENOMEM;

	if (!rc)
		locks_held(sv->locks, s->node, v.ino, m->number, v.l, v.nr,
			   m->eof, peer_now());
	arena_free(a);
	if (rc)
		peer_fail(r, rc, "locks that are held: malformed");
	else
		reply_done(r);
}

static void on_request(struct served *sv, struct peer_request *r)
{
	struct session_node *s = session_find(sv, r->node);

	if (!s || s->link != r->link) {
		peer_fail(r, -ENOTCONN, "the link is down");
		return;
	}
	switch ((int)r->f->body_case) {
	case PEER_BODY(ATTACH):
		do_attach(sv, s, r);
		return;
	case PEER_BODY(HANDLES):
		do_handles(s, r);
		return;
	case PEER_BODY(LOCKS):
		do_locks(sv, s, r);
		return;
	case PEER_BODY(READY):
		do_ready(sv, s, r);
		return;
	case PEER_BODY(CONTROL):	/* an agent without a module has them, too */
		if (s->ending || home_left(sv, r->node))
			peer_fail(r, -ENOTCONN, "its session is ending");
		else
			ctl_remote(sv, r);
		return;
	}
	if (s->state != SESSION_UP) {
		peer_fail(r, -ENOTCONN, "it has no session: attach first");
		return;
	}
	switch ((int)r->f->body_case) {
	case PEER_BODY(OP):
		s->requests++;
		exec_node(sv, r);
		break;
	case PEER_BODY(NOTES):
		do_notes(sv, s, r);
		break;
	case PEER_BODY(LOCK_HELD):
		do_lock_held(sv, s, r);
		break;
	case PEER_BODY(RENEW_LEASE):
		do_renew(sv, s, r);
		break;
	default:
		home_request(sv, r);
	}
}

static void link_gone(struct served *sv, struct session_node *s)
{
	const uint64_t link = s->link;

	if (!link)
		return;
	s->link = 0;
	s->state = SESSION_NEW;
	drop_handles(s);
	home_down(sv, s->node);
	lease_down(sv->lease, s->node);
	if (s->ready)
		peer_fail(s->ready, -ENOTCONN, "the link is down");
	s->ready = NULL;
	exec_drop(sv, s->node, link);
	flush_drop(sv, s->node, link);
	answer_drop(sv, s->node, link);
	lock_drop(sv, s->node);
}

static void on_up(struct served *sv, uint32_t node, uint64_t link)
{
	struct session_node *s = session_get(sv, node);

	if (!s) {
		peer_drop(sv->cluster->peer, link, -ENOMEM, "out of memory");
		return;
	}
	link_gone(sv, s);
	s->link = link;
	s->state = SESSION_NEW;
}

static void on_down(struct served *sv, uint32_t node, uint64_t link,
		    const char *why)
{
	struct session_node *s = session_find(sv, node);

	if (!s || s->link != link)
		return;
	if (s->state == SESSION_UP)
		log_warn(sv->name, "node %u is not connected: %s", node, why);
	link_gone(sv, s);
}

const struct peer_handler sessions_handler = {
	.up = on_up, .down = on_down, .request = on_request,
};

/* --- start and end --- */

int sessions_start(struct served *sv)
{
	const struct ns_node *n;
	size_t nr;
	int rc = 0;

	if (sv->lease)
		return 0;
	rc = lock_start(sv);
	if (rc)
		return rc;
	sv->lease = lease_new(&lease_ops, sv);
	if (!sv->lease || homes_start(sv))
		return -ENOMEM;
	n = ns_nodes(sv->ns, &nr);
	for (size_t i = 0; i < nr && !rc; i++)
		if (n[i].lease_ms)
			rc = lease_await(sv->lease, n[i].number,
					 lease_end_at(sv, n[i].lease_ms));
	return rc;
}

void sessions_stop(struct served *sv)
{
	struct session_node *s;

	while ((s = sv->sessions)) {
		link_gone(sv, s);
		sv->sessions = s->next;
		free(s);
	}
	homes_stop(sv);
	lease_free(sv->lease);
	sv->lease = NULL;
	lock_stop(sv);
}

void sessions_tick(struct served *sv)
{
	lease_tick(sv->lease, peer_now());
	home_fences_expire(sv);
	end_fenced(sv);
	lock_tick(sv);
}

size_t sessions_info(struct served *sv, struct session_info *out, size_t max)
{
	const uint64_t now = peer_now();
	const struct ns_node *n;
	struct lease_info i;
	size_t nr, done = 0;

	n = ns_nodes(sv->ns, &nr);
	for (size_t k = 0; k < nr && done < max; k++) {
		const struct session_node *s = session_find(sv, n[k].number);

		if (lease_info(sv->lease, n[k].number, &i))
			continue;
		out[done] = (struct session_info){
			.node = n[k].number,
			.up = i.up,
			.awaited = i.awaited,
			.lease_ms = (int64_t)(i.deadline - now),
			.rows = i.rows,
			.stale = i.stale,
			.requests = s ? s->requests : 0,
			.questions = home_questions(sv, n[k].number),
		};
		ns_held(sv->ns, n[k].number, &out[done].held);
		done++;
	}
	return done;
}
