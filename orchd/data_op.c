// SPDX-License-Identifier: Apache-2.0
/*
 * What the kernel is asked about data servers. No answer is waited for: each
 * comes by the channel, as its events do, some after a serve-done.
 */
#include "data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <netlink/msg.h>

#include "data_impl.h"
#include "log.h"
#include "nl.h"
#include "nl_serve.h"

struct data_op *data_op_new(struct data *d, enum data_op_kind kind)
{
	struct data_op *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->kind = kind;
	if (kind == DATA_OP_UNSERVE || kind == DATA_OP_FENCE)
		o->id = ++d->next_id ? d->next_id : ++d->next_id;
	return o;
}

int data_op_send(struct served *sv, struct data_op *o, struct nl_msg *m)
{
	int rc = -ENOMEM;

	if (o && m)
		rc = channel_send(&sv->ch, m, &o->seq);
	else
		nlmsg_free(m);
	if (rc < 0) {
		free(o);
		return rc;
	}
	o->next = sv->data->ops;
	sv->data->ops = o;
	return 0;
}

void data_ops_drop(struct served *sv)
{
	struct data *d = sv->data;
	struct data_node *n;
	struct data_op *o;

	while ((o = d->ops)) {
		d->ops = o->next;
		n = o->kind == DATA_OP_FENCE ? data_node_get(d, o->node) : NULL;
		if (n)
			n->waiting = true;
		if (o->kind == DATA_OP_ADD_PEER)
			data_add_done(sv, o->node, 0, -ENOTCONN);
		free(o);
	}
}

static struct data_op *take(struct data *d, uint32_t seq, uint64_t id)
{
	struct data_op **p, *o;

	for (p = &d->ops; (o = *p); p = &o->next) {
		if (!(seq && o->seq == seq) && !(id && o->id == id))
			continue;
		*p = o->next;
		return o;
	}
	return NULL;
}

static void put_back(struct data *d, struct data_op *o)
{
	o->seq = 0;
	o->next = d->ops;
	d->ops = o;
}

/* Takes @o. */
static void ended(struct served *sv, struct data_op *o, int rc,
		  uint64_t connection)
{
	switch (o->kind) {
	case DATA_OP_TIME:
		data_time_done(sv, rc);
		break;
	case DATA_OP_SERVE:
		data_serve_done(sv, o, rc);
		break;
	case DATA_OP_UNSERVE:
		data_unserve_done(sv, o, rc);
		break;
	case DATA_OP_FENCE:
		if (rc < 0) {
			log_err(sv->name, "the kernel did not fence node %u off "
				"volume %u: %s: tried again", o->node,
				o->volume, strerror(-rc));
			o->again = true;
			put_back(sv->data, o);
			return;
		}
		break;
	case DATA_OP_DROP:
		break;		/* its end is told for each connection */
	case DATA_OP_SERVE_PEER:
		data_peer_done(sv, o, rc, connection);
		break;
	case DATA_OP_ADD_PEER:
		data_add_done(sv, o->node, connection, rc);
		break;
	}
	free(o);
}

static bool error_event(struct served *sv, struct nlmsghdr *nlh)
{
	struct data_op *o = take(sv->data, nlh->nlmsg_seq, 0);
	int rc;

	if (!o)
		return false;
	rc = channel_error(&sv->ch, nlh);
	if (!rc && o->id) {
		put_back(sv->data, o);	/* serve-done comes */
		return true;
	}
	if (o->kind == DATA_OP_TIME && (rc == -ENOENT || rc == -ENOTCONN)) {
		free(o);
		return false;	/* the kernel doesn't know this daemon */
	}
	ended(sv, o, rc, 0);
	return true;
}

static void connection_event(struct served *sv, struct nlmsghdr *nlh)
{
	struct data_op *o = take(sv->data, nlh->nlmsg_seq, 0);
	uint64_t id = 0;
	int rc;

	if (!o)
		return;
	rc = nl_decode_connection(nlh, &id);
	ended(sv, o, rc, id);
}

static void done_event(struct served *sv, struct nlmsghdr *nlh)
{
	struct data_op *o;
	uint64_t id;
	int status;

	if (nl_decode_serve_done(nlh, &id, &status) < 0)
		return;
	o = take(sv->data, 0, id);
	if (o)
		ended(sv, o, status, 0);
}

bool data_event(struct served *sv, struct nlmsghdr *nlh)
{
	struct nl_serve s;
	int cmd;

	if (!sv->data)
		return false;
	if (nlh->nlmsg_type == NLMSG_ERROR)
		return error_event(sv, nlh);
	if (nlh->nlmsg_type != sv->ch.family)
		return false;
	cmd = nl_cmd(nlh);
	switch (cmd) {
	case ORCHFS_CMD_SERVE_PEER:
	case ORCHFS_CMD_PEER_ADD:
		connection_event(sv, nlh);
		return true;
	case ORCHFS_CMD_SERVE_DONE:
		done_event(sv, nlh);
		return true;
	case ORCHFS_CMD_SERVE_GONE:
	case ORCHFS_CMD_PEER_GONE:
	case ORCHFS_CMD_PEER_WANT:
		break;
	default:
		return false;
	}
	if (nl_decode_serve(nlh, &s) < 0)
		return true;
	if (cmd == ORCHFS_CMD_SERVE_GONE)
		data_gone(sv, &s);
	else if (cmd == ORCHFS_CMD_PEER_GONE)
		data_peer_gone(sv, &s);
	else
		data_want(sv, s.peer);
	return true;
}
