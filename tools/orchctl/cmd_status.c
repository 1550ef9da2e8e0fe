// SPDX-License-Identifier: Apache-2.0
/* orchctl status, sync, stop, upgrade */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <json-c/json.h>

#include "orchctl.h"
#include "conn.h"

typedef Orchfs__Control__NamespaceStatus ns_status;

static struct json_object *volumes_json(const ns_status *n)
{
	struct json_object *a = json_object_new_array(), *o;

	for (size_t i = 0; i < n->n_volume; i++) {
		o = json_object_new_object();
		json_object_object_add(o, "name", json_bytes(
				n->volume[i]->name,
				strlen(n->volume[i]->name)));
		json_object_object_add(o, "path", json_bytes(
				n->volume[i]->path,
				strlen(n->volume[i]->path)));
		json_object_object_add(o, "state", json_object_new_string(
				n->volume[i]->state));
		json_object_object_add(o, "problem", json_bytes(
				n->volume[i]->problem,
				strlen(n->volume[i]->problem)));
		json_object_array_add(a, o);
	}
	return a;
}

static struct json_object *ns_json(const ns_status *n)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "name", json_bytes(n->name, strlen(n->name)));
	json_object_object_add(o, "uuid", json_object_new_string(
				       uuid_text(n->uuid.data, n->uuid.len)));
	json_object_object_add(o, "store", json_bytes(n->store,
						      strlen(n->store)));
	json_object_object_add(o, "state", json_object_new_string(n->state));
	json_object_object_add(o, "problem", json_bytes(n->problem,
							strlen(n->problem)));
	json_object_object_add(o, "incarnation", json_uint(n->incarnation));
	json_object_object_add(o, "txn", json_uint(n->txn));
	json_object_object_add(o, "durable", json_uint(n->durable));
	json_object_object_add(o, "inodes", json_uint(n->inodes));
	json_object_object_add(o, "mounts", json_uint(n->mounts));
	json_object_object_add(o, "orphans", json_uint(n->orphans));
	json_object_object_add(o, "deletions", json_uint(n->deletions));
	json_object_object_add(o, "requests", json_uint(n->requests));
	json_object_object_add(o, "resent", json_uint(n->resent));
	json_object_object_add(o, "replayed", json_uint(n->replayed));
	if (n->cluster)
		json_object_object_add(o, "cluster",
				       cluster_json(n->cluster));
	if (n->n_volume)
		json_object_object_add(o, "volumes", volumes_json(n));
	return o;
}

static void volume_line(const Orchfs__Control__VolumeInfo *v)
{
	printf("volume      %s, %s%s%s: %s\n", v->name, v->state,
	       *v->problem ? ": " : "", v->problem, v->path);
}

static void ns_print(const ns_status *n)
{
	printf("\nnamespace   %s  %s\n", n->name,
	       uuid_text(n->uuid.data, n->uuid.len));
	printf("state       %s%s%s\n", n->state, *n->problem ? ": " : "",
	       n->problem);
	if (n->cluster)
		cluster_print(n->cluster);
	if (n->cluster && n->cluster->agent) {
		printf("mounts      %u\n", n->mounts);
		printf("requests    %" PRIu64 ", %" PRIu64 " resent\n",
		       n->requests, n->resent);
		for (size_t i = 0; i < n->n_volume; i++)
			volume_line(n->volume[i]);
		return;
	}
	printf("store       %s\n", n->store);
	printf("mounts      %u\n", n->mounts);
	printf("inodes      about %" PRIu64 ", %" PRIu64 " orphans, %" PRIu64
	       " deletions under way\n", n->inodes, n->orphans, n->deletions);
	printf("transaction %" PRIu64 ", durable %" PRIu64 ", incarnation %"
	       PRIu64 "\n", n->txn, n->durable, n->incarnation);
	printf("requests    %" PRIu64 ", %" PRIu64 " resent, %" PRIu64
	       " answered from a record\n", n->requests, n->resent, n->replayed);
}

int cmd_status(const struct command *cmd, int argc, char **argv)
{
	Orchfs__Control__Empty empty = ORCHFS__CONTROL__EMPTY__INIT;
	const Orchfs__Control__Status *st;
	struct json_object *o, *a;
	ctl_response *resp;
	size_t i, shown = 0;
	int rc;

	CTL_REQUEST(req, STATUS);
	args_parse(cmd, NULL, &argc, argv);
	req.status = &empty;
	rc = conn_once(&req, -1, &resp);
	if (rc)
		return rc;
	st = resp->daemon;
	if (!st) {
		conn_free(resp);
		return fail(RC_FAILED, "%s: an answer without a status",
			    opts.socket);
	}
	o = json_object_new_object();
	a = json_object_new_array();
	json_object_object_add(o, "version", json_object_new_string(st->version));
	json_object_object_add(o, "pid", json_uint(st->pid));
	json_object_object_add(o, "namespaces", a);
	if (!opts.json)
		printf("daemon      orchd %s, process %" PRIu64 "\n",
		       st->version, st->pid);
	for (i = 0; i < st->n_ns; i++) {
		if (*opts.ns && strcmp(opts.ns, st->ns[i]->name))
			continue;
		shown++;
		if (opts.json)
			json_object_array_add(a, ns_json(st->ns[i]));
		else
			ns_print(st->ns[i]);
	}
	if (opts.json)
		print_json(json_object_get(o));
	json_object_put(o);
	conn_free(resp);
	if (*opts.ns && !shown)
		return fail(RC_FAILED, "the daemon serves no namespace '%s': 'orchctl init %s' makes it",
			    opts.ns, opts.ns);
	if (!shown && !opts.json)
		printf("no namespace: 'orchctl init NAME' makes one\n");
	return RC_OK;
}

int cmd_sync(const struct command *cmd, int argc, char **argv)
{
	Orchfs__Control__NamespaceRef ref = ORCHFS__CONTROL__NAMESPACE_REF__INIT;
	int rc;

	CTL_REQUEST(req, SYNC);
	args_parse(cmd, NULL, &argc, argv);
	ref.name = (char *)opts.ns;
	req.sync = &ref;
	rc = conn_once(&req, -1, NULL);
	if (!rc && opts.json)
		print_done();
	return rc;
}

/*
 * The daemon at the other end; its descriptor becomes readable when it ends.
 * The store is free only then.
 */
static int daemon_pidfd(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ||
	    cred.pid <= 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, cred.pid, 0);
}

static int wait_for_end(int pidfd, uint64_t seconds)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int n;

	do {
		n = poll(&p, 1, (int)(seconds * 1000));
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return RC_OK;
	return fail(RC_FAILED, "the daemon was told to stop and still runs: see 'journalctl -u orchd'");
}

int cmd_stop(const struct command *cmd, int argc, char **argv)
{
	Orchfs__Control__Empty empty = ORCHFS__CONTROL__EMPTY__INIT;
	uint64_t seconds = 60;
	const struct opt extra[] = {
		{ "timeout", "SECONDS", OPT_UINT,
		  "wait so long for its end (60)", &seconds },
		{ 0 }
	};
	ctl_response *resp;
	int fd, pidfd, rc;

	CTL_REQUEST(req, STOP);
	args_parse(cmd, extra, &argc, argv);
	if (seconds > 86400)
		return fail(RC_USAGE, "--timeout: at most 86400");
	fd = conn_open();
	if (fd < 0)
		return -fd;
	pidfd = daemon_pidfd(fd);
	req.stop = &empty;
	rc = conn_call(fd, &req, -1, &resp);
	close(fd);
	if (!rc) {
		conn_free(resp);
		if (pidfd >= 0)
			rc = wait_for_end(pidfd, seconds);
	}
	if (pidfd >= 0)
		close(pidfd);
	if (!rc && opts.json)
		print_done();
	return rc;
}

int cmd_upgrade(const struct command *cmd, int argc, char **argv)
{
	Orchfs__Control__Upgrade msg = ORCHFS__CONTROL__UPGRADE__INIT;
	struct json_object *o;
	ctl_response *resp;
	char *real = NULL;
	int rc;

	CTL_REQUEST(req, UPGRADE);
	argv = args_parse(cmd, NULL, &argc, argv);
	if (argc) {
		real = realpath(argv[0], NULL);
		if (!real)
			return fail(RC_FAILED, "%s: %s: name the program of the new orchd",
				    argv[0], strerror(errno));
		msg.program = real;
	}
	req.upgrade = &msg;
	rc = conn_once(&req, -1, &resp);
	free(real);
	if (rc)
		return rc;
	if (opts.json) {
		o = json_object_new_object();
		json_object_object_add(o, "pid", json_uint(resp->pid));
		print_json(o);
	} else {
		printf("process %" PRIu64 " has taken over\n", resp->pid);
	}
	conn_free(resp);
	return RC_OK;
}
