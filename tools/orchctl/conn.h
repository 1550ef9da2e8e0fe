/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's control socket, orchd/proto/control.proto. */
#ifndef ORCHCTL_CONN_H
#define ORCHCTL_CONN_H

#include "control.pb-c.h"

typedef Orchfs__Control__Request ctl_request;
typedef Orchfs__Control__Response ctl_response;
typedef Orchfs__Control__ClusterInfo cluster_info;

/* cmd_cluster.c: of a namespace's status */
struct json_object *cluster_json(const cluster_info *c);
void cluster_print(const cluster_info *c);

/** conn_open() - Return: fd, or -(exit code) after a message. */
int conn_open(void);
/** conn_reachable() - is there a daemon? No message. */
bool conn_reachable(void);
/**
 * conn_call() - send a request and read to the last response.
 * @pass: descriptor that goes with it, or -1.
 * Return: an exit code, after a message when it is not 0; *out is the last
 * response, to be freed by conn_free(), and untouched on failure.
 */
int conn_call(int fd, ctl_request *req, int pass, ctl_response **out);
/** conn_once() - open, call, close. @out may be NULL. */
int conn_once(ctl_request *req, int pass, ctl_response **out);
/**
 * conn_quiet() - the same for commands that wait: a daemon that isn't there, or
 * starts, is no message. Return: 0; -EAGAIN: ask again; -EIO after a message.
 */
int conn_quiet(ctl_request *req, ctl_response **out);
void conn_free(ctl_response *resp);
/**
 * conn_namespace() - --namespace, or the only one that is served, for texts
 * that tell what to type next. In a static buffer.
 */
const char *conn_namespace(void);

#define CTL_REQUEST(req, which)						\
	ctl_request req = {						\
		PROTOBUF_C_MESSAGE_INIT(				\
			&orchfs__control__request__descriptor),		\
		.version = 1,						\
		.op_case = ORCHFS__CONTROL__REQUEST__OP_##which,	\
	}

#endif
