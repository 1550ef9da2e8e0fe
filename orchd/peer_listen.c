// SPDX-License-Identifier: Apache-2.0
/*
 * The listener, an agent's for data alone, and the renewal of a node's own
 * certificate.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "peer_impl.h"

#define RENEW_MS	60000	/* between two tries */
#define RENEW_SOON_MS	1000	/* and where nothing can be done before */
#define BACKLOG		128

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

void peer_renew_tick(struct peer *p)
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

static void stop_listening(struct peer *p)
{
	if (p->listen_source.fd >= 0)
		close(p->listen_source.fd);
	p->listen_source.fd = -1;
	p->listening = false;
}

static void listens(struct peer *p, const char *at)
{
	struct cluster *cl = p->cl;

	pthread_mutex_lock(&cl->lock);
	if (cl->agent)
		strcpy(cl->listening, at);
	pthread_mutex_unlock(&cl->lock);
}

/* The end of the link that the authority reaches it by, so others do, too. */
void peer_listen_beside(struct peer *p, const struct peer_conn *c)
{
	struct address a = { .len = sizeof(a.sa) };

	if (*p->cl->listen ||
	    getsockname(c->source.fd, (struct sockaddr *)&a.sa, &a.len) < 0)
		return;
	if (a.sa.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&a.sa)->sin6_port = htons(ADDRESS_PORT);
	else
		((struct sockaddr_in *)&a.sa)->sin_port = htons(ADDRESS_PORT);
	if (a.len == p->where.len && !memcmp(&a.sa, &p->where.sa, a.len))
		return;
	if (p->listening)
		loop_del(&p->loop, &p->listen_source);
	stop_listening(p);
	listens(p, "");
	p->where = a;
	peer_listen(p);
}

void peer_listen(struct peer *p)
{
	char why[VOLUME_WHY], at[NS_NODE_ADDRESS];
	int rc;

	if (p->listening || !p->where.len ||
	    (!p->cl->agent && !presentable(p)))
		return;
	address_text(&p->where, at);
	rc = listen_at(&p->where);
	if (rc >= 0) {
		p->listen_source.fd = rc;
		p->listen_source.fn = accept_event;
		rc = loop_add(&p->loop, &p->listen_source, EPOLLIN);
	}
	if (rc < 0) {
		snprintf(why, sizeof(why), "cannot listen at %s: %s: tried "
			 "again each second", at, strerror(-rc));
		cluster_set_problem(p->cl, why);
		stop_listening(p);
		return;
	}
	p->listening = true;
	cluster_set_problem(p->cl, "");
	listens(p, at);
	log_info(p->cl->ns, "listening for %s at %s", p->cl->agent ?
		 "data connections" : "nodes", at);
}
