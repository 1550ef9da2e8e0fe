// SPDX-License-Identifier: Apache-2.0
/* Connections that this kernel serves: from the daemon that made them on. */
#include "data.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster.h"
#include "data_impl.h"
#include "log.h"
#include "nl_gen.h"
#include "nl_serve.h"
#include "ns_cluster.h"

void data_conn_add(struct served *sv, uint32_t node, uint64_t id)
{
	struct data_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return;		/* it isn't counted, no more */
	c->node = node;
	c->id = id;
	c->next = sv->data->conns;
	sv->data->conns = c;
}

void data_conns_drop(struct data *d)
{
	struct data_conn *c;

	while ((c = d->conns)) {
		d->conns = c->next;
		free(c);
	}
}

void data_drop(struct served *sv, uint32_t node, uint64_t connection)
{
	struct data_op *o = data_op_new(sv->data, DATA_OP_DROP);

	if (o)
		o->node = node;
	data_op_send(sv, o, nl_encode_serve_drop(sv->ch.family, node,
						 connection));
}

static bool removed_of(const struct ns_node *nodes, size_t nr, uint32_t node)
{
	for (size_t i = 0; i < nr; i++)
		if (nodes[i].number == node)
			return nodes[i].removed;
	return true;
}

bool data_removed(const struct served *sv, uint32_t node)
{
	struct cluster *cl = sv->cluster;
	const struct ns_node *nodes;
	size_t nr;
	bool out = true;

	if (sv->ns) {
		nodes = ns_nodes(sv->ns, &nr);
		return removed_of(nodes, nr, node);
	}
	if (cl) {
		pthread_mutex_lock(&cl->lock);
		out = node != cl->authority &&
		      removed_of(cl->nodes, cl->nr_nodes, node);
		pthread_mutex_unlock(&cl->lock);
	}
	return out;
}

/* One that comes again has lost the older ones, or will. */
static void make_room(struct served *sv, uint32_t node)
{
	const struct data_conn *oldest = NULL;
	unsigned int nr = 0;

	for (const struct data_op *o = sv->data->ops; o; o = o->next)
		nr += o->kind == DATA_OP_SERVE_PEER && o->node == node;
	for (const struct data_conn *c = sv->data->conns; c; c = c->next) {
		if (c->node != node)
			continue;
		oldest = c;
		nr++;
	}
	if (nr >= DATA_CONNS_NODE && oldest)
		data_drop(sv, node, oldest->id);
}

void data_socket(int fd)
{
	int on = 1, s = 5, nr = 2, ms = 15000;

	/* buffers are left to the kernel, which fits them to the network */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &s, sizeof(s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &s, sizeof(s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &nr, sizeof(nr));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

struct handover {
	struct work w;
	struct served *sv;
	int fd;
	uint32_t node;
	char address[NS_NODE_ADDRESS];
};

static void handover_run(struct work *w)
{
	struct handover *h = container_of(w, struct handover, w);
	struct served *sv = h->sv;
	struct data_op *o;

	/* who is told nothing dials again */
	if (sv->data && sv->data->begun && sv->attached && !sv->stopping &&
	    !data_removed(sv, h->node)) {
		make_room(sv, h->node);
		o = data_op_new(sv->data, DATA_OP_SERVE_PEER);
		if (o) {
			o->node = h->node;
			strcpy(o->address, h->address);
		}
		data_op_send(sv, o, nl_encode_socket(sv->ch.family,
						     ORCHFS_CMD_SERVE_PEER,
						     h->fd, h->node));
	}
	close(h->fd);		/* the kernel has its own reference */
	free(h);
}

void data_peer(struct served *sv, int fd, uint32_t node, const char *address)
{
	struct handover *h = calloc(1, sizeof(*h));

	data_socket(fd);
	if (h) {
		h->w.run = handover_run;
		h->sv = sv;
		h->fd = fd;
		h->node = node;
		snprintf(h->address, sizeof(h->address), "%s", address);
		if (work_post(&sv->queue, &h->w))
			return;
	}
	free(h);
	close(fd);
}

void data_peer_done(struct served *sv, const struct data_op *o, int rc,
		    uint64_t connection)
{
	if (rc < 0) {
		log_warn(sv->name, "the kernel does not serve node %u at %s: "
			 "%s", o->node, o->address, sv->ch.error[0] ?
			 sv->ch.error : strerror(-rc));
		return;
	}
	data_conn_add(sv, o->node, connection);
	log_info(sv->name, "serving data to node %u at %s, connection %llu",
		 o->node, o->address, (unsigned long long)connection);
}

void data_gone(struct served *sv, const struct nl_serve *s)
{
	const char *why = orchfs_reason_name(s->reason);
	struct data_conn **p, *c;

	for (p = &sv->data->conns; (c = *p); p = &c->next) {
		if (c->id != s->connection)
			continue;
		*p = c->next;
		free(c);
		break;
	}
	/* what a peer must not send is a fault, the rest happens */
	log_msg(s->reason >= ORCHFS_REASON_MEMORY ? LOG_WARNING : LOG_INFO,
		sv->name, "serving data to node %u, connection %llu, ended: "
		"%s; %llu requests, %llu refused", s->peer,
		(unsigned long long)s->connection, why ? why : "?",
		(unsigned long long)s->requests,
		(unsigned long long)s->refused);
}
