// SPDX-License-Identifier: Apache-2.0
/*
 * orchd-data: connects to other nodes' data servers for this node's kernel,
 * begun when that wants the first. Documentation/remote.md, "The daemon".
 */
#include "data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "cluster.h"
#include "data_impl.h"
#include "log.h"
#include "nl_gen.h"
#include "nl_serve.h"
#include "peer_conn.h"

#define CONNS		2	/* one is spare, and both are used */
#define TICK_MS		250
#define PAUSE_MIN_MS	250
#define PAUSE_MAX_MS	5000
#define STEADY_MS	5000	/* a connection that was worth it */
#define WANTED_MS	60000	/* then nobody waits for it any more */

/* A connection that the kernel has, or will have. */
struct dial_conn {
	uint64_t id;			/* of the kernel; 0: not yet */
	uint64_t since;
	bool used;
};

struct dial_peer {
	struct dial_peer *next;
	uint32_t node;
	struct dial_conn conn[CONNS];
	unsigned int dialling;		/* or on the way to the kernel */
	uint64_t wanted_at, dial_at, pause;
	unsigned int turn;
	char why[256];			/* of the last failure */
};

struct data_dial {
	struct served *sv;
	struct cluster *cl;
	pthread_t thread;
	struct loop loop;
	struct work_queue queue;
	struct loop_source queue_source, timer_source;
	struct peer_set set;
	struct work stop_work;
	bool stopping;

	pthread_mutex_t lock;		/* the peers, for who asks; a leaf */
	struct dial_peer *peers;
};

/* What the namespace thread tells. */
struct dial_note {
	struct work w;
	struct data_dial *dd;
	void (*fn)(struct data_dial *dd, const struct dial_note *n);
	uint32_t node;
	uint64_t connection;
	int rc;
};

/* What the kernel gets. */
struct dial_given {
	struct work w;
	struct served *sv;
	int fd;
	uint32_t node;
};

static struct dial_peer *peer_find_node(struct data_dial *dd, uint32_t node)
{
	struct dial_peer *p;

	for (p = dd->peers; p && p->node != node; p = p->next)
		;
	return p;
}

static unsigned int peer_up(const struct dial_peer *p)
{
	unsigned int up = 0;

	for (int i = 0; i < CONNS; i++)
		up += p->conn[i].used;
	return up;
}

static void set_why(struct data_dial *dd, struct dial_peer *p, const char *why)
{
	bool news = strcmp(p->why, why) != 0;

	pthread_mutex_lock(&dd->lock);
	snprintf(p->why, sizeof(p->why), "%s", why);
	pthread_mutex_unlock(&dd->lock);
	if (news && *why)	/* once, not at each try */
		log_warn(dd->cl->ns, "no connection for data to node %u: %s",
			 p->node, why);
}

static void later(struct dial_peer *p)
{
	uint32_t random = 0;
	uint64_t now = peer_now();

	p->pause = p->pause ? 2 * p->pause : PAUSE_MIN_MS;
	if (p->pause > PAUSE_MAX_MS)
		p->pause = PAUSE_MAX_MS;
	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint32_t)now;
	p->dial_at = now + p->pause / 2 + random % (p->pause / 2 + 1);
}

static void failed(struct data_dial *dd, uint32_t node, const char *why)
{
	struct dial_peer *p = peer_find_node(dd, node);

	if (!p)
		return;
	if (p->dialling)
		p->dialling--;
	set_why(dd, p, why);
	later(p);
}

/* --- dialling --- */

/* The credentials of now; -ENOMEM. */
static int renew_tls(struct data_dial *dd)
{
	struct peer_tls *t = cluster_tls(dd->cl);

	if (!t)
		return -ENOMEM;
	peer_tls_put(dd->set.tls);
	dd->set.tls = t;
	return 0;
}

/* Where a node listens; "" where it doesn't. */
static void address_of(struct data_dial *dd, struct dial_peer *p,
		       char out[NS_NODE_ADDRESS])
{
	struct cluster *cl = dd->cl;

	if (p->node == cl->authority && cl->nr_addresses)
		strcpy(out, cl->address[p->turn++ % cl->nr_addresses]);
	else
		cluster_data_address(cl, p->node, out);
}

static void dial(struct data_dial *dd, struct dial_peer *p)
{
	char text[NS_NODE_ADDRESS], why[sizeof(p->why)];
	struct address a;
	int rc;

	address_of(dd, p, text);
	p->dialling++;
	if (!*text) {
		failed(dd, p->node, "it serves no data to other nodes");
		return;
	}
	rc = address_parse(text, &a);
	if (!rc)
		rc = renew_tls(dd);
	if (!rc)
		rc = peer_dial_data(&dd->set, &a, p->node);
	if (rc < 0) {
		snprintf(why, sizeof(why), "%s: %s", text, strerror(-rc));
		failed(dd, p->node, why);
	}
}

static void given_run(struct work *w)
{
	struct dial_given *g = container_of(w, struct dial_given, w);
	struct served *sv = g->sv;
	struct data_op *o;
	int rc = -ENOTCONN;

	if (sv->data && sv->attached && !sv->stopping) {
		o = data_op_new(sv->data, DATA_OP_ADD_PEER);
		if (o)
			o->node = g->node;
		rc = data_op_send(sv, o, nl_encode_socket(sv->ch.family,
							  ORCHFS_CMD_PEER_ADD,
							  g->fd, g->node));
	}
	if (rc < 0)
		data_add_done(sv, g->node, 0, rc);
	close(g->fd);		/* the kernel has its own reference */
	free(g);
}

static void dial_data(struct peer_set *s, struct peer_conn *c, int fd)
{
	struct dial_given *g = calloc(1, sizeof(*g));
	struct data_dial *dd = s->ctx;

	data_socket(fd);
	if (g) {
		g->w.run = given_run;
		g->sv = dd->sv;
		g->fd = fd;
		g->node = c->data_to;
		if (work_post(&dd->sv->queue, &g->w))
			return;
	}
	free(g);
	close(fd);
	failed(dd, c->data_to, strerror(ENOMEM));
}

static void dial_closed(struct peer_set *s, struct peer_conn *c, int rc)
{
	struct data_dial *dd = s->ctx;
	char why[sizeof(((struct dial_peer *)NULL)->why)];

	(void)rc;
	if (dd->stopping)
		return;
	snprintf(why, sizeof(why), "%s: %.160s", c->address_text, c->why);
	failed(dd, c->data_to, why);
}

static const struct peer_ops dial_ops = {
	.data = dial_data,
	.closed = dial_closed,
};

/* --- what the namespace thread tells --- */

static struct dial_peer *peer_get(struct data_dial *dd, uint32_t node)
{
	struct dial_peer *p = peer_find_node(dd, node);

	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return NULL;
		p->node = node;
		pthread_mutex_lock(&dd->lock);
		p->next = dd->peers;
		dd->peers = p;
		pthread_mutex_unlock(&dd->lock);
	}
	p->wanted_at = peer_now();
	return p;
}

/* The kernel has none: the end of those that it had went unheard. */
static void note_want(struct data_dial *dd, const struct dial_note *n)
{
	struct dial_peer *p = peer_get(dd, n->node);

	if (!p)
		return;		/* it is told again */
	pthread_mutex_lock(&dd->lock);
	for (int i = 0; i < CONNS; i++)
		if (p->wanted_at >= p->conn[i].since + STEADY_MS)
			p->conn[i].used = false;
	pthread_mutex_unlock(&dd->lock);
}

static void note_added(struct data_dial *dd, const struct dial_note *n)
{
	struct dial_peer *p = peer_find_node(dd, n->node);
	char why[256];

	if (!p)
		return;
	if (n->rc < 0) {
		snprintf(why, sizeof(why), "the kernel does not take it: %s",
			 strerror(-n->rc));
		failed(dd, n->node, why);
		return;
	}
	if (p->dialling)
		p->dialling--;
	set_why(dd, p, "");
	pthread_mutex_lock(&dd->lock);
	for (int i = 0; i < CONNS; i++) {
		if (p->conn[i].used)
			continue;
		p->conn[i] = (struct dial_conn){ n->connection, peer_now(),
						 true };
		break;
	}
	pthread_mutex_unlock(&dd->lock);
	log_info(dd->cl->ns, "connection %llu for data to node %u",
		 (unsigned long long)n->connection, n->node);
}

/* Also one of an earlier daemon, of whose kernel this is. */
static void note_gone(struct data_dial *dd, const struct dial_note *n)
{
	struct dial_peer *p = peer_get(dd, n->node);
	bool steady = true;

	if (!p)
		return;
	pthread_mutex_lock(&dd->lock);
	for (int i = 0; i < CONNS; i++) {
		if (!p->conn[i].used || p->conn[i].id != n->connection)
			continue;
		steady = peer_now() >= p->conn[i].since + STEADY_MS;
		p->conn[i].used = false;
	}
	pthread_mutex_unlock(&dd->lock);
	if (steady)
		p->pause = 0;
	later(p);
}

static void note_run(struct work *w)
{
	struct dial_note *n = container_of(w, struct dial_note, w);

	n->fn(n->dd, n);
	free(n);
}

static void note(struct served *sv, uint32_t node, uint64_t connection, int rc,
		 void (*fn)(struct data_dial *dd, const struct dial_note *n))
{
	struct data_dial *dd = sv->data->dial;
	struct dial_note *n = dd ? calloc(1, sizeof(*n)) : NULL;

	if (!n)
		return;
	n->w.run = note_run;
	n->dd = dd;
	n->fn = fn;
	n->node = node;
	n->connection = connection;
	n->rc = rc;
	if (!work_post(&dd->queue, &n->w))
		free(n);
}

/* --- the thread --- */

/* Nobody waits for it, nothing is there of it. */
static bool forget(struct data_dial *dd, struct dial_peer **pp)
{
	struct dial_peer *p = *pp;

	if (peer_up(p) || p->dialling || peer_now() < p->wanted_at + WANTED_MS)
		return false;
	pthread_mutex_lock(&dd->lock);
	*pp = p->next;
	pthread_mutex_unlock(&dd->lock);
	free(p);
	return true;
}

static void tick(struct data_dial *dd)
{
	struct dial_peer **pp, *p;

	peer_tick(&dd->set);
	for (pp = &dd->peers; (p = *pp); ) {
		while (peer_now() >= p->dial_at &&
		       peer_up(p) + p->dialling < CONNS)
			dial(dd, p);
		if (!forget(dd, pp))
			pp = &p->next;
	}
}

static void timer_event(struct loop_source *s, uint32_t events)
{
	(void)events;
	loop_timer_read(s->fd);
	tick(container_of(s, struct data_dial, timer_source));
}

static void queue_event(struct loop_source *s, uint32_t events)
{
	struct data_dial *dd = container_of(s, struct data_dial, queue_source);

	(void)events;
	work_run(&dd->queue);
	if (!dd->stopping)
		tick(dd);	/* at once, where somebody waits */
}

static void stop_run(struct work *w)
{
	container_of(w, struct data_dial, stop_work)->stopping = true;
}

static void *dial_main(void *arg)
{
	struct data_dial *dd = arg;

	while (!dd->stopping && loop_turn(&dd->loop, -1) >= 0)
		;
	dd->stopping = true;
	peer_set_free(&dd->set);
	work_close(&dd->queue);
	work_run(&dd->queue);
	return NULL;
}

static void dial_free(struct data_dial *dd)
{
	struct dial_peer *p;

	while ((p = dd->peers)) {
		dd->peers = p->next;
		free(p);
	}
	if (dd->timer_source.fd >= 0)
		close(dd->timer_source.fd);
	loop_destroy(&dd->loop);
	work_queue_destroy(&dd->queue);
	peer_tls_put(dd->set.tls);
	pthread_mutex_destroy(&dd->lock);
	free(dd);
}

static int watch(struct data_dial *dd)
{
	int rc = loop_init(&dd->loop);

	if (rc < 0)
		return rc;
	dd->timer_source.fd = loop_timer(TICK_MS);
	if (dd->timer_source.fd < 0)
		return dd->timer_source.fd;
	dd->timer_source.fn = timer_event;
	dd->queue_source.fd = dd->queue.efd;
	dd->queue_source.fn = queue_event;
	rc = loop_add(&dd->loop, &dd->timer_source, EPOLLIN);
	return rc ? rc : loop_add(&dd->loop, &dd->queue_source, EPOLLIN);
}

static int dial_start(struct served *sv)
{
	struct data_dial *dd = calloc(1, sizeof(*dd));
	int rc;

	if (!dd)
		return -ENOMEM;
	dd->sv = sv;
	dd->cl = sv->cluster;
	dd->loop.epfd = dd->timer_source.fd = -1;
	dd->stop_work.run = stop_run;
	rc = work_queue_init(&dd->queue);
	if (rc < 0) {
		free(dd);
		return rc;
	}
	pthread_mutex_init(&dd->lock, NULL);
	dd->set.loop = &dd->loop;
	dd->set.ops = &dial_ops;
	dd->set.ctx = dd;
	memcpy(dd->set.self.uuid, dd->cl->uuid, 16);
	dd->set.self.node = dd->cl->node;
	rc = watch(dd);
	if (!rc)
		rc = thread_start(&dd->thread, "orchd-data", dial_main, dd);
	if (rc < 0) {
		dial_free(dd);
		return rc;
	}
	pthread_mutex_lock(&sv->lock);
	sv->data->dial = dd;
	pthread_mutex_unlock(&sv->lock);
	return 0;
}

void data_dial_stop(struct served *sv)
{
	struct data_dial *dd;

	if (!sv->data || !sv->data->dial)
		return;
	pthread_mutex_lock(&sv->lock);
	dd = sv->data->dial;
	sv->data->dial = NULL;
	pthread_mutex_unlock(&sv->lock);
	work_post(&dd->queue, &dd->stop_work);
	pthread_join(dd->thread, NULL);
	dial_free(dd);
}

/* --- the namespace thread --- */

static bool begun(struct served *sv)
{
	return sv->data->dial ||
	       (sv->cluster && !sv->stopping && !dial_start(sv));
}

/* The kernel tells it again each second, so what fails here is tried then. */
void data_want(struct served *sv, uint32_t node)
{
	if (begun(sv))
		note(sv, node, 0, 0, note_want);
}

void data_add_done(struct served *sv, uint32_t node, uint64_t connection,
		   int rc)
{
	note(sv, node, connection, rc, note_added);
}

void data_peer_gone(struct served *sv, const struct nl_serve *s)
{
	const char *why = orchfs_reason_name(s->reason);

	log_msg(s->reason >= ORCHFS_REASON_MEMORY ? LOG_WARNING : LOG_INFO,
		sv->name, "connection %llu for data to node %u ended: %s",
		(unsigned long long)s->connection, s->peer, why ? why : "?");
	if (begun(sv))
		note(sv, s->peer, s->connection, 0, note_gone);
}

size_t data_dial_info(struct served *sv, struct data_peer_info *out,
		      size_t max)
{
	struct data_dial *dd;
	size_t nr = 0;

	pthread_mutex_lock(&sv->lock);
	dd = sv->data ? sv->data->dial : NULL;
	if (dd) {
		pthread_mutex_lock(&dd->lock);
		for (struct dial_peer *p = dd->peers; p && nr < max;
		     p = p->next) {
			out[nr].node = p->node;
			out[nr].up = peer_up(p);
			snprintf(out[nr].why, sizeof(out[nr].why), "%s",
				 p->why);
			nr++;
		}
		pthread_mutex_unlock(&dd->lock);
	}
	pthread_mutex_unlock(&sv->lock);
	return nr;
}
