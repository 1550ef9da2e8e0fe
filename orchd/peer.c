// SPDX-License-Identifier: Apache-2.0
/*
 * orchd-peer: listens and keeps who comes (authority), or keeps one link
 * (agent). Documentation/cluster.md, "Threads".
 */
#include "peer.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arena.h"
#include "cluster.h"
#include "fault.h"
#include "log.h"
#include "peer_conn.h"
#include "work.h"

#define TICK_MS		500
#define PAUSE_MIN_MS	500
#define PAUSE_MAX_MS	30000
#define PAUSE_NO_MS	600000	/* it was told that it may not */
#define STEADY_MS	5000	/* a link that was worth it */
#define RENEW_MS	60000	/* between two tries */
#define RENEW_SOON_MS	1000	/* and where nothing can be done before */
#define LOG_BURST	10
#define LOG_EACH_MS	10000
#define BACKLOG		128

struct peer {
	struct cluster *cl;
	pthread_t thread;
	struct worker ops;
	struct loop loop;
	struct work_queue queue;
	struct loop_source queue_source, timer_source, listen_source;
	struct peer_set set;
	struct address where;		/* the authority's own */
	bool listening, stopping;
	struct work stop_work, recheck_work;
	atomic_bool recheck_posted;

	/* an agent's */
	bool dialling;
	uint64_t dial_at, up_at, pause;
	unsigned int turn;

	uint64_t renew_at;
	struct work renew_work;
	bool renewing;

	/* lines of refusals */
	unsigned int log_left;
	uint64_t log_at, log_dropped;

	pthread_mutex_t lock;		/* the rest; a leaf */
	struct peer_link *links;
	size_t nr_links;
};

static struct peer *of(struct peer_set *s)
{
	return s->ctx;
}

static bool for_good(int rc)
{
	return rc == -EKEYREVOKED || rc == -EKEYREJECTED || rc == -EKEYEXPIRED;
}

/* --- what people are told --- */

static struct peer_link *link_get(struct peer *p, uint32_t node)
{
	struct peer_link *l;

	for (size_t i = 0; i < p->nr_links; i++)
		if (p->links[i].node == node)
			return &p->links[i];
	l = realloc(p->links, (p->nr_links + 1) * sizeof(*l));
	if (!l)
		return NULL;
	p->links = l;
	l += p->nr_links++;
	memset(l, 0, sizeof(*l));
	l->node = node;
	return l;
}

/* @rc: why it isn't up any more */
static void link_set(struct peer *p, uint32_t node, bool up,
		     const char *address, int rc, const char *why)
{
	struct peer_link *l;

	pthread_mutex_lock(&p->lock);
	l = link_get(p, node);
	if (l && (l->up != up || !l->since))
		l->since = time(NULL);
	if (l) {
		l->up = up;
		l->refused = for_good(rc);
		snprintf(l->address, sizeof(l->address), "%s", address);
		snprintf(l->why, sizeof(l->why), "%s", why);
	}
	pthread_mutex_unlock(&p->lock);
}

void peer_link(struct peer *p, uint32_t node, struct peer_link *out)
{
	memset(out, 0, sizeof(*out));
	out->node = node;
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < p->nr_links; i++)
		if (p->links[i].node == node)
			*out = p->links[i];
	pthread_mutex_unlock(&p->lock);
}

static void log_refused(struct peer *p, const char *address, const char *why)
{
	uint64_t now = peer_now();

	while (p->log_left < LOG_BURST && now >= p->log_at + LOG_EACH_MS) {
		p->log_left++;
		p->log_at += LOG_EACH_MS;
	}
	if (p->log_left == LOG_BURST)
		p->log_at = now;
	if (!p->log_left) {
		p->log_dropped++;
		return;
	}
	p->log_left--;
	log_warn(p->cl->ns, "refused %s: %s", address, why);
	if (p->log_dropped)
		log_warn(p->cl->ns, "refused %llu more before that",
			 (unsigned long long)p->log_dropped);
	p->log_dropped = 0;
}

/* --- who may --- */

static int admit_node(struct cluster *cl, const struct peer_conn *c, char *why,
		      size_t len)
{
	const struct ns_node *n = NULL;
	int rc = 0;

	pthread_mutex_lock(&cl->lock);
	for (size_t i = 0; i < cl->nr_nodes; i++)
		if (cl->nodes[i].number == c->node)
			n = &cl->nodes[i];
	if (!n || c->node == cl->node) {
		rc = -EKEYREJECTED;
		snprintf(why, len, "there is no such node %u", c->node);
	} else if (n->removed) {
		rc = -EKEYREVOKED;
		snprintf(why, len, "node %u (%s) was removed from the "
			 "cluster: invite it (orchctl node invite) and join "
			 "again", n->number, n->name);
	} else if (!ns_node_known(n, &c->serial)) {
		rc = -EKEYREJECTED;
		snprintf(why, len, "node %u (%s) has another certificate by "
			 "now", n->number, n->name);
	}
	pthread_mutex_unlock(&cl->lock);
	return rc;
}

static int admit_authority(struct cluster *cl, const struct peer_conn *c,
			   char *why, size_t len)
{
	int rc = 0;

	pthread_mutex_lock(&cl->lock);
	if (c->node != cl->authority) {
		rc = -EKEYREJECTED;
		snprintf(why, len, "node %u is not the authority", c->node);
	} else if (c->hello.epoch < cl->epoch) {
		rc = -ESTALE;
		snprintf(why, len, "its authority epoch %llu is over, the "
			 "present one is %llu",
			 (unsigned long long)c->hello.epoch,
			 (unsigned long long)cl->epoch);
	}
	pthread_mutex_unlock(&cl->lock);
	return rc;
}

static int peer_admit(struct peer_set *s, struct peer_conn *c, char *why,
		      size_t len)
{
	struct cluster *cl = of(s)->cl;

	if (cl->agent)
		return admit_authority(cl, c, why, len);
	return c->node ? admit_node(cl, c, why, len) : 0;
}

struct epoch_note {
	struct work w;
	struct peer *p;
	uint64_t epoch;
};

static void epoch_run(struct work *w)
{
	struct epoch_note *n = container_of(w, struct epoch_note, w);
	int rc = cluster_keep_epoch(n->p->cl, n->epoch);

	if (rc < 0)
		log_warn(n->p->cl->ns, "%s/agent: %s", n->p->cl->dir,
			 strerror(-rc));
	free(n);
}

/* One of an earlier epoch is refused from now on. */
static void see_epoch(struct peer *p, uint64_t epoch)
{
	struct epoch_note *n;
	bool news;

	pthread_mutex_lock(&p->cl->lock);
	news = epoch > p->cl->epoch;
	if (news)
		p->cl->epoch = epoch;
	pthread_mutex_unlock(&p->cl->lock);
	n = news ? calloc(1, sizeof(*n)) : NULL;
	if (!n)
		return;
	n->w.run = epoch_run;
	n->p = p;
	n->epoch = epoch;
	work_post(&p->ops.q, &n->w);
}

static void peer_up(struct peer_set *s, struct peer_conn *c)
{
	struct peer *p = of(s);
	struct peer_conn *o, *next;

	c->was_up = true;
	if (!c->node)
		return;
	for (o = s->conns; o; o = next) {
		next = o->next;
		if (o != c && o->node == c->node && o->state == PEER_UP)
			peer_end(o, -ESTALE, "it has a newer connection");
	}
	link_set(p, c->node, true, c->address_text, 0, "");
	if (p->cl->agent) {
		p->up_at = peer_now();
		p->renew_at = 0;
		see_epoch(p, c->hello.epoch);
		log_info(p->cl->ns, "connected to node %u at %s", c->node,
			 c->address_text);
	} else {
		log_info(p->cl->ns, "node %u connected from %s", c->node,
			 c->address_text);
	}
}

/* --- an agent's link --- */

static void dial_again(struct peer *p, int rc)
{
	uint32_t random = 0;
	uint64_t now = peer_now();

	if (p->up_at && now >= p->up_at + STEADY_MS)
		p->pause = 0;
	p->up_at = 0;
	p->dialling = false;
	p->pause = p->pause ? 2 * p->pause : PAUSE_MIN_MS;
	if (p->pause > PAUSE_MAX_MS)
		p->pause = PAUSE_MAX_MS;
	if (for_good(rc))
		p->pause = PAUSE_NO_MS;
	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint32_t)now;
	p->dial_at = now + p->pause / 2 + random % (p->pause / 2 + 1);
}

static void dial(struct peer *p)
{
	struct cluster *cl = p->cl;
	const char *text = cl->address[p->turn++ % cl->nr_addresses];
	char why[PEER_WHY];
	struct address a;
	int rc;

	rc = address_parse(text, &a);
	if (!rc)
		rc = peer_dial(&p->set, &a);
	if (!rc) {
		p->dialling = true;
		return;
	}
	snprintf(why, sizeof(why), "%s: %s", text, strerror(-rc));
	link_set(p, cl->authority, false, text, rc, why);
	dial_again(p, rc);
}

static void lost_authority(struct peer *p, struct peer_conn *c, int rc)
{
	struct peer_link before;

	peer_link(p, p->cl->authority, &before);
	link_set(p, p->cl->authority, false, c->address_text, rc, c->why);
	/* once, not at each try */
	if (c->was_up || strncmp(before.why, c->why, sizeof(before.why) - 1))
		log_warn(p->cl->ns, "no connection to node %u at %s: %s",
			 p->cl->authority, c->address_text, c->why);
	dial_again(p, rc);
}

static void peer_closed(struct peer_set *s, struct peer_conn *c, int rc)
{
	struct peer *p = of(s);

	if (p->stopping)
		return;
	if (p->cl->agent) {
		lost_authority(p, c, rc);
	} else if (!c->was_up || !c->node) {
		/* whoever looks whether the port is open, or has joined */
		if (rc != -ECONNRESET && rc != -ESHUTDOWN)
			log_refused(p, c->address_text, c->why);
	} else if (!peer_of_node(s, c->node)) {
		link_set(p, c->node, false, c->address_text, rc, c->why);
		log_info(p->cl->ns, "node %u at %s: %s", c->node,
			 c->address_text, c->why);
	}
}

static void peer_turned_away(struct peer_set *s, const char *address,
			     const char *why)
{
	log_refused(of(s), address, why);
}

/* --- requests --- */

struct request {
	struct work w;
	struct peer *p;
	uint64_t conn, id, deadline;
	struct cluster_from from;
	peer_frame *f, out;
	size_t size;
	struct arena *a;
	Orchfs__Peer__Failure failure;
	bool recheck;
	char why[VOLUME_WHY];
};

static void request_free(struct request *r)
{
	arena_free(r->a);
	frame_free(r->f);
	free(r);
}

static void recheck(struct peer *p)
{
	struct peer_conn *c, *next;
	char why[PEER_WHY];
	int rc;

	for (c = p->set.conns; c; c = next) {
		next = c->next;
		if (!c->node || c->state == PEER_CLOSING)
			continue;
		rc = peer_admit(&p->set, c, why, sizeof(why));
		if (rc < 0)
			peer_end(c, rc, why);
	}
}

/* In orchd-peer again. */
static void request_done(struct work *w)
{
	struct request *r = container_of(w, struct request, w);
	char why[PEER_WHY];
	struct peer_conn *c = peer_find(&r->p->set, r->conn);

	if (c && r->out.body_case == PEER_BODY(JOINED) &&
	    fault_hit("lose-joined"))
		peer_end(c, -ESHUTDOWN, "fault point lose-joined");
	if (r->f->body_case == PEER_BODY(JOIN) &&
	    r->out.body_case == PEER_BODY(FAILURE)) {
		snprintf(why, sizeof(why), "it does not join: %.480s",
			 r->failure.text);
		log_refused(r->p, r->from.address, why);
	}
	peer_answer(&r->p->set, r->conn, r->id, r->size, &r->out);
	if (r->recheck)
		recheck(r->p);
	request_free(r);
}

/* In orchd-peerop. */
static void request_run(struct work *w)
{
	struct request *r = container_of(w, struct request, w);
	int rc = -ETIMEDOUT;

	if (peer_now() < r->deadline)
		rc = cluster_op(r->p->cl, r->a, &r->from, r->f, &r->out,
				&r->recheck, r->why, sizeof(r->why));
	if (rc < 0) {
		orchfs__peer__failure__init(&r->failure);
		r->failure.status = rc;
		r->failure.text = *r->why ? r->why : strerror(-rc);
		r->out.body_case = PEER_BODY(FAILURE);
		r->out.failure = &r->failure;
	}
	r->w.run = request_done;
	if (!work_post(&r->p->queue, &r->w))
		request_free(r);
}

static void peer_request(struct peer_set *s, struct peer_conn *c,
			 peer_frame *f, size_t size)
{
	struct request *r = calloc(1, sizeof(*r));

	if (r)
		r->a = arena_new();
	if (!r || !r->a) {	/* who asked has a deadline */
		free(r);
		frame_free(f);
		return;
	}
	r->p = of(s);
	r->conn = c->id;
	r->id = f->id;
	r->from.node = c->node;
	r->from.serial = c->serial;
	strcpy(r->from.address, c->address_text);
	r->f = f;
	r->size = size;
	r->deadline = peer_now() + f->wait_ms;
	orchfs__peer__frame__init(&r->out);
	r->w.run = request_run;
	work_post(&r->p->ops.q, &r->w);
}

static const struct peer_ops peer_ops = {
	.admit = peer_admit,
	.up = peer_up,
	.request = peer_request,
	.closed = peer_closed,
	.turned_away = peer_turned_away,
};

/* --- calls of other threads --- */

struct call {
	struct work w;
	struct peer_wait wait;
	struct peer *p;
	const peer_frame *f;
	uint32_t ms;
	uint8_t *answer;
	size_t answer_len;
	char *why;
	size_t why_len;
	int rc;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
};

static void call_end(struct call *c, int rc)
{
	pthread_mutex_lock(&c->lock);
	c->rc = rc;
	c->done = true;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

static void call_done(struct peer_wait *w, int rc, const char *why,
		      const peer_frame *f)
{
	struct call *c = container_of(w, struct call, wait);

	if (f) {
		c->answer_len = orchfs__peer__frame__get_packed_size(f);
		c->answer = malloc(c->answer_len + 1);
		if (c->answer)
			orchfs__peer__frame__pack(f, c->answer);
		else
			rc = -ENOMEM;
	}
	snprintf(c->why, c->why_len, "%s", why);
	call_end(c, rc);
}

static void unreachable(struct call *c)
{
	struct peer_link l;
	char who[256];

	cluster_authority_text(c->p->cl, who, sizeof(who));
	peer_link(c->p, c->p->cl->authority, &l);
	snprintf(c->why, c->why_len, "no connection to the authority, %s%s%s%s",
		 who, *l.why ? ": " : "", l.why, l.refused ? "" :
		 ": see that orchd runs there and can be reached; orchctl "
		 "status tells when it is connected");
}

static void call_run(struct work *w)
{
	struct call *c = container_of(w, struct call, w);
	struct peer_conn *conn = peer_of_node(&c->p->set,
					      c->p->cl->authority);
	peer_frame f = *c->f;
	int rc = -ENOTCONN;

	if (conn)
		rc = peer_ask(conn, &f, c->ms, &c->wait);
	if (!rc)
		return;
	if (rc == -ENOTCONN)
		unreachable(c);
	else
		snprintf(c->why, c->why_len, "the authority was not asked: %s",
			 strerror(-rc));
	call_end(c, rc);
}

int peer_call(struct peer *p, const peer_frame *f, uint32_t ms,
	      peer_frame **out, char *why, size_t len)
{
	struct call c = {
		.w.run = call_run, .wait.done = call_done, .p = p, .f = f,
		.ms = ms, .why = why, .why_len = len,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};

	if (!work_post(&p->queue, &c.w))
		return -ESHUTDOWN;
	/* the peer thread ends each call, by its deadline at the latest */
	pthread_mutex_lock(&c.lock);
	while (!c.done)
		pthread_cond_wait(&c.changed, &c.lock);
	pthread_mutex_unlock(&c.lock);
	if (!c.rc) {
		*out = orchfs__peer__frame__unpack(NULL, c.answer_len,
						   c.answer);
		c.rc = *out ? 0 : -ENOMEM;
	}
	free(c.answer);
	return c.rc;
}

static void recheck_run(struct work *w)
{
	struct peer *p = container_of(w, struct peer, recheck_work);

	atomic_store(&p->recheck_posted, false);
	recheck(p);
}

void peer_recheck(struct peer *p)
{
	if (!atomic_exchange(&p->recheck_posted, true))
		work_post(&p->queue, &p->recheck_work);
}

static struct peer_tls *make_tls(struct cluster *cl)
{
	struct peer_tls *t;

	pthread_mutex_lock(&cl->lock);
	t = peer_tls_new(cl->key, cl->cert, cl->ca, NULL);
	pthread_mutex_unlock(&cl->lock);
	return t;
}

struct tls_note {
	struct work w;
	struct peer *p;
	struct peer_tls *tls;
};

static void tls_run(struct work *w)
{
	struct tls_note *n = container_of(w, struct tls_note, w);

	struct peer *p = n->p;
	struct peer_conn *c = p->cl->agent ?
			      peer_of_node(&p->set, p->cl->authority) : NULL;

	peer_tls_put(p->set.tls);
	p->set.tls = n->tls;
	free(n);
	if (!c)
		return;
	/* the link is one of the new certificate at once */
	peer_end(c, -ESHUTDOWN, "its certificate was renewed");
	dial(p);
}

int peer_new_tls(struct peer *p)
{
	struct tls_note *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->tls = make_tls(p->cl);
	n->w.run = tls_run;
	n->p = p;
	if (n->tls && work_post(&p->queue, &n->w))
		return 0;
	peer_tls_put(n->tls);
	free(n);
	return -ENOMEM;
}

/* --- the thread --- */

static void renew_done(struct work *w)
{
	container_of(w, struct peer, renew_work)->renewing = false;
}

static void renew_run(struct work *w)
{
	struct peer *p = container_of(w, struct peer, renew_work);

	cluster_renew(p->cl);
	p->renew_work.run = renew_done;
	work_post(&p->queue, &p->renew_work);
}

/* An authority can't listen with a certificate that nobody believes. */
static bool presentable(struct peer *p)
{
	bool out;

	if (p->renewing)
		return false;
	pthread_mutex_lock(&p->cl->lock);
	out = pki_in_time(p->cl->cert, pki_time());
	pthread_mutex_unlock(&p->cl->lock);
	if (!out)
		cluster_set_problem(p->cl, "the authority's certificate has "
				    "expired, or is of a clock that was "
				    "ahead: it is renewed first");
	return out;
}

static void renew_tick(struct peer *p)
{
	bool first = !p->cl->agent && !p->listening;

	if (p->renewing || peer_now() < p->renew_at ||
	    (p->cl->agent && !p->up_at))
		return;
	p->renew_at = peer_now() + (first ? RENEW_SOON_MS : RENEW_MS);
	p->renew_work.run = renew_run;
	p->renewing = work_post(&p->ops.q, &p->renew_work);
}

static void accept_event(struct loop_source *s, uint32_t events)
{
	struct peer *p = container_of(s, struct peer, listen_source);
	struct address a = { .len = sizeof(a.sa) };
	int fd = accept4(s->fd, (struct sockaddr *)&a.sa, &a.len,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0)
		peer_accept(&p->set, fd, &a);
}

static int listen_at(const struct address *a)
{
	int fd, one = 1, rc;

	fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC |
		    SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!bind(fd, (const struct sockaddr *)&a->sa, a->len) &&
	    !listen(fd, BACKLOG))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static void listen_try(struct peer *p)
{
	char why[VOLUME_WHY];
	int rc;

	rc = listen_at(&p->where);
	if (rc >= 0) {
		p->listen_source.fd = rc;
		rc = loop_add(&p->loop, &p->listen_source, EPOLLIN);
	}
	if (rc < 0) {
		snprintf(why, sizeof(why), "cannot listen at %s: %s: tried "
			 "again each second", p->cl->address[0],
			 strerror(-rc));
		cluster_set_problem(p->cl, why);
		if (p->listen_source.fd >= 0)
			close(p->listen_source.fd);
		p->listen_source.fd = -1;
		return;
	}
	p->listening = true;
	cluster_set_problem(p->cl, "");
	log_info(p->cl->ns, "listening for nodes at %s", p->cl->address[0]);
}

static void timer_event(struct loop_source *s, uint32_t events)
{
	struct peer *p = container_of(s, struct peer, timer_source);

	(void)events;
	loop_timer_read(s->fd);
	peer_tick(&p->set);
	if (!p->cl->agent && !p->listening && presentable(p))
		listen_try(p);
	if (p->cl->agent && !p->dialling && peer_now() >= p->dial_at)
		dial(p);
	renew_tick(p);
}

static void queue_event(struct loop_source *s, uint32_t events)
{
	(void)events;
	work_run(&container_of(s, struct peer, queue_source)->queue);
}

static void stop_run(struct work *w)
{
	container_of(w, struct peer, stop_work)->stopping = true;
}

static void *peer_main(void *arg)
{
	struct peer *p = arg;

	if (p->cl->agent)
		dial(p);
	else if (presentable(p))
		listen_try(p);
	while (!p->stopping && loop_turn(&p->loop, -1) >= 0)
		;
	p->stopping = true;
	peer_set_free(&p->set);
	work_close(&p->queue);
	work_run(&p->queue);	/* calls that came too late */
	return NULL;
}

static void self(struct peer *p)
{
	struct cluster *cl = p->cl;

	p->set.loop = &p->loop;
	p->set.ops = &peer_ops;
	p->set.ctx = p;
	p->set.self = (struct peer_self){
		.version_min = PEER_VERSION, .version_max = PEER_VERSION,
		.node = cl->node, .incarnation = cl->incarnation,
		.epoch = cl->epoch, .authority = cl->authority,
	};
	memcpy(p->set.self.uuid, cl->uuid, 16);
	memcpy(p->set.self.boot_id, cl->boot_id,
	       sizeof(p->set.self.boot_id));
}

static int watch(struct peer *p)
{
	int rc;

	p->timer_source.fd = loop_timer(TICK_MS);
	if (p->timer_source.fd < 0)
		return p->timer_source.fd;
	p->timer_source.fn = timer_event;
	p->listen_source.fn = accept_event;
	p->queue_source.fd = p->queue.efd;
	p->queue_source.fn = queue_event;
	rc = loop_add(&p->loop, &p->timer_source, EPOLLIN);
	return rc ? rc : loop_add(&p->loop, &p->queue_source, EPOLLIN);
}

static void peer_free(struct peer *p)
{
	if (p->listen_source.fd >= 0)
		close(p->listen_source.fd);
	if (p->timer_source.fd >= 0)
		close(p->timer_source.fd);
	loop_destroy(&p->loop);
	work_queue_destroy(&p->queue);
	peer_tls_put(p->set.tls);
	pthread_mutex_destroy(&p->lock);
	free(p->links);
	free(p);
}

int peer_start(struct cluster *cl, struct peer **out)
{
	struct peer *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return -ENOMEM;
	p->cl = cl;
	p->loop.epfd = p->timer_source.fd = p->listen_source.fd = -1;
	p->log_left = LOG_BURST;
	p->stop_work.run = stop_run;
	p->recheck_work.run = recheck_run;
	pthread_mutex_init(&p->lock, NULL);
	rc = work_queue_init(&p->queue);
	if (rc < 0) {
		free(p);
		return rc;
	}
	self(p);
	rc = loop_init(&p->loop);
	p->set.tls = make_tls(cl);
	if (!rc)
		rc = p->set.tls ? watch(p) : -ENOMEM;
	if (!rc && !cl->agent)
		rc = address_parse(cl->address[0], &p->where);
	*out = p;	/* the threads use it */
	if (!rc)
		rc = worker_start(&p->ops, "orchd-peerop");
	if (!rc)
		rc = thread_start(&p->thread, "orchd-peer", peer_main, p);
	if (rc < 0) {
		*out = NULL;
		worker_stop(&p->ops);
		peer_free(p);
	}
	return rc;
}

void peer_stop(struct peer *p)
{
	work_post(&p->queue, &p->stop_work);
	pthread_join(p->thread, NULL);
	worker_stop(&p->ops);	/* what it has to answer is dropped */
	peer_free(p);
}
