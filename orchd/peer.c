// SPDX-License-Identifier: Apache-2.0
/*
 * orchd-peer: listens and keeps who comes (authority), or keeps one link
 * (agent). Documentation/cluster.md, "Threads".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "data.h"
#include "log.h"
#include "peer_impl.h"

#define TICK_MS		500
#define PAUSE_MIN_MS	500
#define PAUSE_MAX_MS	3000	/* an authority waits a lease for its nodes */
#define PAUSE_NO_MS	600000	/* it was told that it may not */
#define STEADY_MS	5000	/* a link that was worth it */
#define LOG_BURST	10
#define LOG_EACH_MS	10000

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

void peer_log_refused(struct peer *p, const char *address, const char *why)
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
	} else if (n->serial.len && !ns_node_known(n, &c->serial)) {
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

	if (cl->agent && !c->server)
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
	if (!peer_ns_up(p, c))
		c->heard = 0;	/* the next tick ends it */
	link_set(p, c->node, true, c->address_text, 0, "");
	if (p->cl->agent) {
		p->up_at = peer_now();
		p->renew_at = 0;
		peer_listen_beside(p, c);
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

	peer_ns_down(p, c, rc);
	if (p->stopping)
		return;
	if (p->cl->agent && !c->server) {
		lost_authority(p, c, rc);
	} else if (!c->was_up || !c->node) {
		/* whoever looks whether the port is open, or has joined */
		if (rc != -ECONNRESET && rc != -ESHUTDOWN)
			peer_log_refused(p, c->address_text, c->why);
	} else if (!peer_of_node(s, c->node)) {
		link_set(p, c->node, false, c->address_text, rc, c->why);
		log_info(p->cl->ns, "node %u at %s: %s", c->node,
			 c->address_text, c->why);
	}
}

static void peer_turned_away(struct peer_set *s, const char *address,
			     const char *why)
{
	peer_log_refused(of(s), address, why);
}

/* Who is connected may have to go. */
void peer_recheck_now(struct peer *p)
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

static void peer_asked(struct peer_set *s, struct peer_conn *c, peer_frame *f,
		       size_t size)
{
	if (!peer_ns_takes(of(s), c, f, size))
		peer_op(of(s), c, f, size);
}

/* Its kernel is to be served by ours. */
static void peer_data(struct peer_set *s, struct peer_conn *c, int fd)
{
	data_peer(of(s)->cl->sv, fd, c->node, c->address_text);
}

static const struct peer_ops peer_ops = {
	.admit = peer_admit,
	.up = peer_up,
	.request = peer_asked,
	.closed = peer_closed,
	.data = peer_data,
	.turned_away = peer_turned_away,
};

static void recheck_run(struct work *w)
{
	struct peer *p = container_of(w, struct peer, recheck_work);

	atomic_store(&p->recheck_posted, false);
	peer_recheck_now(p);
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
	if (t && cl->agent)
		peer_tls_only_data(t);
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

static void timer_event(struct loop_source *s, uint32_t events)
{
	struct peer *p = container_of(s, struct peer, timer_source);

	(void)events;
	loop_timer_read(s->fd);
	peer_tick(&p->set);
	peer_listen(p);
	if (p->cl->agent && !p->dialling && peer_now() >= p->dial_at)
		dial(p);
	peer_renew_tick(p);
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

	peer_listen(p);
	if (p->cl->agent)
		dial(p);
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

void peer_put(struct peer *p)
{
	if (atomic_fetch_sub(&p->refs, 1) == 1)
		peer_free(p);
}

int peer_start(struct cluster *cl, struct peer **out)
{
	struct peer *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return -ENOMEM;
	p->cl = cl;
	p->handler = cl->handler;
	p->sv = cl->sv;
	atomic_init(&p->refs, 1);
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
	if (!rc && (!cl->agent || *cl->listen))
		rc = address_parse(cl->agent ? cl->listen : cl->address[0],
				   &p->where);
	*out = p;	/* the threads use it */
	if (!rc)
		rc = worker_start(&p->ops, "orchd-peerop");
	if (!rc)
		rc = thread_start(&p->thread, "orchd-peer", peer_main, p);
	if (rc < 0) {
		*out = NULL;
		worker_stop(&p->ops);
		peer_put(p);
	}
	return rc;
}

void peer_stop(struct peer *p)
{
	work_post(&p->queue, &p->stop_work);
	pthread_join(p->thread, NULL);
	worker_stop(&p->ops);	/* what it has to answer is dropped */
	p->stopped = true;
	peer_put(p);
}
