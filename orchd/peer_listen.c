// SPDX-License-Identifier: Apache-2.0
/* The authority's listener, and the renewal of a node's own certificate. */
#include <errno.h>
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

void peer_listen(struct peer *p)
{
	char why[VOLUME_WHY];
	int rc;

	if (p->listening || !presentable(p))
		return;
	rc = listen_at(&p->where);
	if (rc >= 0) {
		p->listen_source.fd = rc;
		p->listen_source.fn = accept_event;
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
