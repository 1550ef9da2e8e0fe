// SPDX-License-Identifier: Apache-2.0
/* An agent's thread: its link, its kernel, and the lease. */
#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "cluster.h"
#include "data.h"
#include "log.h"
#include "nl.h"
#include "op_wire.h"

#define TICK_MS		1000
#define TELL_MS		120000		/* the authority may have a grace */
#define PATIENCE_MS	2000
#define RECENT_MS	10000
#define LEASE_MIN_MS	50
#define LEASE_MAX_MS	86400000

static void set_text(struct served *sv, const char *text)
{
	served_set_state(sv, SERVED_AGENT, text);
}

/* --- questions --- */

static void call_done(struct peer_question *q, int rc, const char *why,
		      peer_frame *f)
{
	struct agent_call *c = container_of(q, struct agent_call, q);
	struct served *sv = c->sv;
	bool kept = false;

	/* if the link is down, that is told next */
	if (c->link == sv->agency->link &&
	    (rc >= 0 || rc == -ETIMEDOUT || q->wait.failure))
		kept = c->done(sv, c, rc, why, f);
	frame_free(f);
	if (!kept)
		free(c);
}

int agent_ask(struct served *sv, struct agent_call *c, peer_frame *f,
	      uint32_t ms)
{
	c->q.done = call_done;
	c->sv = sv;
	c->link = sv->agency->link;
	c->asked_at = peer_now();
	return peer_send(sv->cluster->peer, c->link, f, ms, &c->q);
}

static int ask(struct served *sv, peer_frame *f, uint32_t ms,
	       bool (*done)(struct served *sv, struct agent_call *c, int rc,
			    const char *why, peer_frame *f))
{
	struct agent_call *c = calloc(1, sizeof(*c));
	int rc = -ENOMEM;

	if (c) {
		c->done = done;
		rc = agent_ask(sv, c, f, ms);
	}
	if (rc < 0)
		free(c);
	return rc;
}

/* --- detaching --- */

static void detach(struct served *sv)
{
	struct agent *ag = sv->agency;

	if (sv->attached)
		loop_del(&sv->loop, &sv->nl_source);
	sv->attached = false;
	channel_close(&sv->ch);
	data_lost(sv);
	steward_lost(sv);
	swaps_lost(sv);
	agent_drop_queue(sv);
	ag->under_way = 0;
	ag->bytes = 0;
	ag->lock_waits = 0;
	ag->renewing = false;
	ag->state = AGENT_AWAY;
	sv->need_detach = false;
	atomic_store(&sv->mounts, 0);
}

static void drop_link(struct served *sv, const char *why)
{
	struct agent *ag = sv->agency;

	/* without memory: at the next tick */
	if (ag->dropping)
		peer_drop(sv->cluster->peer, ag->dropping, -EIO, why);
}

void agent_lost(struct served *sv, const char *why)
{
	struct agent *ag = sv->agency;

	log_warn(sv->name, "%s: connecting anew", why);
	detach(sv);
	if (!ag->link)
		return;
	ag->dropping = ag->link;
	ag->link = 0;
	drop_link(sv, why);
}

/* --- the lease --- */

static void tell_kernel(struct served *sv, uint8_t cmd, uint64_t lease_until)
{
	int rc;

	sv->ch.overrun = false;
	rc = channel_send(&sv->ch, nl_encode_durable(sv->ch.family, cmd,
						     sv->agency->durable,
						     lease_until), NULL);
	if (rc < 0)
		log_warn(sv->name, "cannot poll the kernel: %s",
			 strerror(-rc));
}

static int hear_lease(struct served *sv, const struct agent_call *c,
		      const peer_frame *f)
{
	struct agent *ag = sv->agency;
	const Orchfs__Peer__Lease *m = f->lease;

	if (f->body_case != PEER_BODY(LEASE) || m->lease_ms < LEASE_MIN_MS ||
	    m->lease_ms > LEASE_MAX_MS)
		return -EPROTO;
	ag->lease_from = c->asked_at;
	ag->lease_ms = m->lease_ms;
	ag->lease_until = c->asked_at + m->lease_ms;
	if (m->durable > ag->durable)
		ag->durable = m->durable;
	data_time_told(sv, m->authority_ms, c->asked_at, m->lease_ms);
	return 0;
}

static bool renew_done(struct served *sv, struct agent_call *c, int rc,
		       const char *why, peer_frame *f)
{
	sv->agency->renewing = false;
	if (rc == -ETIMEDOUT || rc == -EBUSY)
		return false;	/* soon again */
	if (rc < 0)
		agent_lost(sv, why);
	else if (hear_lease(sv, c, f) < 0)
		agent_lost(sv, "the authority gives no lease");
	else
		tell_kernel(sv, ORCHFS_CMD_POLL, sv->agency->lease_until);
	return false;
}

static void renew(struct served *sv)
{
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	struct agent *ag = sv->agency;
	peer_frame f = PEER_FRAME_INIT(RENEW_LEASE);

	if (ag->state != AGENT_READY || ag->renewing ||
	    peer_now() < ag->lease_from + ag->lease_ms / 3)
		return;
	f.renew_lease = &empty;
	ag->renewing = !ask(sv, &f, (uint32_t)ag->lease_ms, renew_done);
}

/* --- attaching --- */

static bool ready_done(struct served *sv, struct agent_call *c, int rc,
		       const char *why, peer_frame *f)
{
	struct agent *ag = sv->agency;

	if (rc < 0 || hear_lease(sv, c, f) < 0) {
		agent_lost(sv, rc < 0 ? why : "the authority gives no lease");
		return false;
	}
	ag->state = AGENT_READY;
	loop_timer_set(sv->timer_source.fd, ag->lease_ms / 12 < TICK_MS ?
		       (unsigned int)ag->lease_ms / 12 + 1 : TICK_MS);
	set_text(sv, "");
	tell_kernel(sv, ORCHFS_CMD_READY, ag->lease_until);
	log_info(sv->name, "the kernel's requests go to node %u",
		 sv->cluster->authority);
	return false;
}

static bool told(struct served *sv, struct agent_call *c, int rc,
		 const char *why, peer_frame *f)
{
	(void)c;
	(void)f;
	if (rc < 0)
		agent_lost(sv, why);
	return false;
}

static int tell_attach(struct served *sv, const struct held *held,
		       const struct nl_attached *a)
{
	Orchfs__Peer__Attach m = ORCHFS__PEER__ATTACH__INIT;
	peer_frame f = PEER_FRAME_INIT(ATTACH);

	m.boot_id.data = (uint8_t *)a->boot_id;
	m.boot_id.len = sizeof(a->boot_id);
	m.session = (uint64_t *)held->sessions;
	m.n_session = held->nr_sessions;
	f.attach = &m;
	return ask(sv, &f, TELL_MS, told);
}

static int tell_handles(struct served *sv, const struct held *held)
{
	struct arena *a = sv->agency->arena;
	size_t n;
	int rc = 0;

	for (size_t at = 0; at < held->nr && !rc; at += n) {
		peer_frame f = PEER_FRAME_INIT(HANDLES);

		n = held->nr - at < OP_WIRE_HANDLES_MAX ? held->nr - at :
		    OP_WIRE_HANDLES_MAX;
		arena_reset(a);
		f.handles = op_wire_handles(a, held->handles + at, n);
		rc = f.handles ? ask(sv, &f, TELL_MS, told) : -ENOMEM;
	}
	return rc;
}

/* From now on the kernel asks for locks; before, it has none. */
static int tell_locks(struct served *sv)
{
	struct arena *a = sv->agency->arena;
	struct held_locks held = { .nr = 0 };
	size_t n;
	int rc;

	rc = channel_send(&sv->ch, nl_encode_lock_recall(sv->ch.family, 0, 0,
							 false), NULL);
	if (!rc)
		rc = attach_locks(sv, &held);
	for (size_t at = 0; at < held.nr && !rc; at += n) {
		peer_frame f = PEER_FRAME_INIT(LOCKS);

		n = held.nr - at < OP_WIRE_LOCKS_MAX ? held.nr - at :
		    OP_WIRE_LOCKS_MAX;
		arena_reset(a);
		f.locks = op_wire_locks(a, held.v + at, n);
		rc = f.locks ? ask(sv, &f, TELL_MS, told) : -ENOMEM;
	}
	held_locks_free(&held);
	return rc;
}

static int tell_ready(struct served *sv)
{
	Orchfs__Peer__Empty empty = ORCHFS__PEER__EMPTY__INIT;
	peer_frame f = PEER_FRAME_INIT(READY);

	f.ready = &empty;
	return ask(sv, &f, TELL_MS, ready_done);
}

/*
 * An answer may be on its way to a task that has not made its inode yet: that
 * counts as held. Its own forget or return notice follows.
 */
static int held_recent(struct served *sv, struct held *held)
{
	struct agent *ag = sv->agency;
	struct ns_handle h = { .opens = 1 };
	uint64_t now = peer_now();
	int rc = 0;

	for (size_t i = 0; i < AGENT_RECENT && !rc; i++) {
		h.ino = ag->recent[i].ino;
		if (h.ino && now < ag->recent[i].at + RECENT_MS)
			rc = held_push(held, &h);
	}
	return rc;
}

static int tell(struct served *sv, const struct nl_attached *a)
{
	struct held held = { .nr = 0 };
	int rc;

	rc = attach_held(sv, &held);
	if (!rc)
		rc = held_recent(sv, &held);
	if (!rc)
		rc = data_attached(sv);
	if (!rc)
		rc = tell_attach(sv, &held, a);
	if (!rc)
		rc = tell_handles(sv, &held);
	if (!rc)
		rc = tell_locks(sv);
	if (!rc)
		rc = tell_ready(sv);
	free(held.handles);
	return rc;
}

static void nl_readable(struct loop_source *s, uint32_t events)
{
	struct served *sv = container_of(s, struct served, nl_source);
	int rc;

	(void)events;
	rc = channel_receive(&sv->ch, 64, agent_event, sv);
	if (rc < 0 && sv->attached)
		agent_lost(sv, "the channel to the kernel is lost");
}

/* Another one each time, so that what is cached is asked for anew. */
static uint64_t new_incarnation(struct agent *ag)
{
	struct timespec t;
	uint64_t ns;

	clock_gettime(CLOCK_BOOTTIME, &t);
	ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	ag->incarnation = ns > ag->incarnation ? ns : ag->incarnation + 1;
	return ag->incarnation;
}

static int attach(struct served *sv, const char **remedy)
{
	struct nl_attached a;
	int rc;

	*remedy = NULL;
	rc = attach_hello(sv, new_incarnation(sv->agency), &a, remedy);
	if (rc < 0)
		return rc;
	sv->nl_source.fd = sv->ch.fd;
	sv->nl_source.fn = nl_readable;
	rc = loop_add(&sv->loop, &sv->nl_source, EPOLLIN);
	if (rc < 0)
		return rc;
	sv->attached = true;
	sv->agency->state = AGENT_TELLING;
	sv->agency->telling_at = peer_now();
	return tell(sv, &a);
}

static void attach_now(struct served *sv)
{
	char text[VOLUME_WHY];
	const char *remedy = NULL;
	int rc;

	if (!sv->agency->link || sv->attached)
		return;
	rc = channel_open(&sv->ch);
	if (rc == -ENOENT) {
		set_text(sv, "module orchfs is not loaded: modprobe orchfs");
		return;
	}
	if (!rc)
		rc = attach(sv, &remedy);
	if (!rc) {
		channel_deferred(&sv->ch, agent_event, sv);
		return;
	}
	if (remedy)
		attach_why(sv, rc, remedy, text);
	else
		snprintf(text, sizeof(text), "attaching to module orchfs: %s; "
			 "it is tried again each second", sv->ch.error[0] ?
			 sv->ch.error : strerror(-rc));
	set_text(sv, text);
	/* the authority may have been told a part */
	if (sv->attached)
		agent_lost(sv, text);
	else
		detach(sv);
}

/* --- links --- */

static void agent_up(struct served *sv, uint32_t node, uint64_t link)
{
	(void)node;
	sv->agency->link = link;
	attach_now(sv);
}

static void agent_down(struct served *sv, uint32_t node, uint64_t link,
		       const char *why)
{
	struct agent *ag = sv->agency;

	(void)node;
	(void)why;
	if (link == ag->dropping)
		ag->dropping = 0;
	if (link != ag->link)
		return;
	ag->link = 0;
	detach(sv);
}

const struct peer_handler agent_handler = {
	.up = agent_up,
	.down = agent_down,
	.request = agent_request,
};

/* --- the thread --- */

static void agent_turn(struct served *sv)
{
	if (sv->attached && (sv->ch.lost || sv->need_detach))
		agent_lost(sv, "a message between daemon and kernel is lost");
	if (sv->attached && sv->ch.overrun)
		tell_kernel(sv, ORCHFS_CMD_POLL, NL_LEASE_KEEP);
	if (sv->need_attach) {
		sv->need_attach = false;
		attach_now(sv);
	}
	steward_turn(sv);
}

static void still_telling(struct served *sv)
{
	struct agent *ag = sv->agency;

	if (ag->state == AGENT_TELLING &&
	    peer_now() >= ag->telling_at + PATIENCE_MS)
		set_text(sv, "the authority has not let this node in yet: "
			 "after a restart it waits for leases of other nodes");
}

static void queue_event(struct loop_source *s, uint32_t events)
{
	(void)events;
	work_run(&container_of(s, struct served, queue_source)->queue);
}

static void timer_event(struct loop_source *s, uint32_t events)
{
	struct served *sv = container_of(s, struct served, timer_source);

	(void)events;
	loop_timer_read(s->fd);
	drop_link(sv, "it begins anew");
	attach_now(sv);
	still_telling(sv);
	renew(sv);
	agent_go(sv);
	data_tick(sv);
	steward_tick(sv);
}

static int thread_setup(struct served *sv)
{
	int rc;

	sv->agency = calloc(1, sizeof(*sv->agency));
	if (!sv->agency)
		return -ENOMEM;
	sv->agency->queue_tail = &sv->agency->queue;
	sv->agency->kept_tail = &sv->agency->kept;
	copy_pace_init(&sv->agency->steward.pace);
	sv->agency->arena = arena_new();
	if (!sv->agency->arena)
		return -ENOMEM;
	rc = loop_init(&sv->loop);
	if (rc < 0)
		return rc;
	sv->timer_source.fd = loop_timer(TICK_MS);
	if (sv->timer_source.fd < 0)
		return sv->timer_source.fd;
	sv->timer_source.fn = timer_event;
	sv->queue_source.fd = sv->queue.efd;
	sv->queue_source.fn = queue_event;
	rc = loop_add(&sv->loop, &sv->timer_source, EPOLLIN);
	return rc ? rc : loop_add(&sv->loop, &sv->queue_source, EPOLLIN);
}

static int agent_open(struct served *sv)
{
	char why[VOLUME_WHY] = "";
	int rc;

	rc = thread_setup(sv);
	if (!rc)
		rc = read_boot_id(sv->boot_id);
	if (!rc)
		rc = cluster_agent(sv, why, sizeof(why));
	if (rc < 0)
		served_set_state(sv, SERVED_REFUSED, *why ? why :
				 strerror(-rc));
	return rc;
}

void agent_begin(struct served *sv)
{
	cluster_start(sv);
	set_text(sv, "");
}

static void agent_close(struct served *sv)
{
	if (served_get_state(sv, NULL, 0) != SERVED_REFUSED)
		served_set_state(sv, SERVED_STOPPING, "");
	served_wait_users(sv);
	data_stop(sv);	/* requests still reach the other nodes */
	if (sv->agency) {
		sv->agency->link = 0;
		detach(sv);
		steward_stop(sv);
	}
	cluster_stop(sv);
	family_unwatch(sv);
	pthread_mutex_lock(&sv->lock);
	sv->claimed = false;
	pthread_mutex_unlock(&sv->lock);
	if (served_get_state(sv, NULL, 0) != SERVED_REFUSED)
		served_set_state(sv, SERVED_REFUSED, "stopped");
	work_close(&sv->queue);
	work_run(&sv->queue);
	steward_free(sv);
	if (sv->timer_source.fd >= 0)
		close(sv->timer_source.fd);
	loop_destroy(&sv->loop);
}

void agent_main(struct served *sv)
{
	int rc = agent_open(sv);

	if (!rc)
		family_watch(sv);
	if (!rc && sv->held_back)
		served_set_state(sv, SERVED_WAITING, "until all namespaces "
				 "are taken over");
	else if (!rc)
		agent_begin(sv);
	while (!rc && !sv->stopping) {
		rc = loop_turn(&sv->loop, -1);
		rc = rc > 0 ? 0 : rc;
		agent_turn(sv);
	}
	agent_close(sv);
}

void agent_free(struct served *sv)
{
	if (sv->agency) {
		arena_free(sv->agency->arena);
		copy_pace_destroy(&sv->agency->steward.pace);
	}
	free(sv->agency);
}
