// SPDX-License-Identifier: Apache-2.0
/* Frames on the control socket: 32-bit little-endian length, one message. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "orchctl.h"
#include "conn.h"

#define FRAME_MAX (1U << 20)

static int connect_socket(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(opts.socket) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, opts.socket);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

int conn_open(void)
{
	int fd = connect_socket();

	if (fd >= 0)
		return fd;
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return -fail(RC_NO_DAEMON,
			     "no daemon at %s: start it with 'systemctl start orchd'",
			     opts.socket);
	if (fd == -EACCES || fd == -EPERM)
		return -fail(RC_NO_DAEMON, "%s: %s: run orchctl as root",
			     opts.socket, strerror(-fd));
	return -fail(RC_NO_DAEMON, "%s: %s: name the daemon's socket with --socket",
		     opts.socket, strerror(-fd));
}

bool conn_reachable(void)
{
	int fd = connect_socket();

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static int send_all(int fd, const void *p, size_t len, int pass)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} ctl = { 0 };
	struct iovec iov = { (void *)p, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;
	ssize_t n;

	if (pass >= 0) {
		mh.msg_control = ctl.buf;
		mh.msg_controllen = sizeof(ctl.buf);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &pass, sizeof(int));
	}
	while (iov.iov_len) {
		n = sendmsg(fd, &mh, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= n;
		mh.msg_control = NULL;
		mh.msg_controllen = 0;
	}
	return 0;
}

static int recv_all(int fd, void *p, size_t len)
{
	char *c = p;
	ssize_t n;

	while (len) {
		n = recv(fd, c, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EPIPE;
		c += n;
		len -= n;
	}
	return 0;
}

static int recv_response(int fd, ctl_response **out)
{
	uint32_t len;
	void *buf;
	int err;

	err = recv_all(fd, &len, sizeof(len));
	if (err)
		return err;
	len = le32toh(len);
	if (len > FRAME_MAX)
		return -EPROTO;
	buf = xcalloc(len, 1);
	err = recv_all(fd, buf, len);
	if (!err) {
		*out = orchfs__control__response__unpack(NULL, len, buf);
		if (!*out)
			err = -EPROTO;
	}
	free(buf);
	return err;
}

static int send_request(int fd, ctl_request *req, int pass)
{
	size_t len = orchfs__control__request__get_packed_size(req);
	uint32_t head = htole32((uint32_t)len);
	char *buf;
	int err;

	if (len > FRAME_MAX)
		return -EMSGSIZE;
	buf = xcalloc(len + sizeof(head), 1);
	memcpy(buf, &head, sizeof(head));
	orchfs__control__request__pack(req, (uint8_t *)buf + sizeof(head));
	err = send_all(fd, buf, len + sizeof(head), pass);
	free(buf);
	return err;
}

static int transport_error(int err)
{
	if (err == -EPROTO)
		return fail(RC_NO_DAEMON,
			    "%s: not understood: orchctl and orchd are of different versions, or it is another program's socket",
			    opts.socket);
	if (err == -EPIPE || err == -ECONNRESET)
		return fail(RC_NO_DAEMON,
			    "the daemon at %s closed the connection: see 'journalctl -u orchd'",
			    opts.socket);
	return fail(RC_NO_DAEMON, "%s: %s", opts.socket, strerror(-err));
}

int conn_call(int fd, ctl_request *req, int pass, ctl_response **out)
{
	ctl_response *resp = NULL;
	int err;

	/* A refusal may come before the whole request was taken: read it. */
	err = send_request(fd, req, pass);
	if (err && err != -EPIPE && err != -ECONNRESET)
		return transport_error(err);
	do {
		conn_free(resp);
		resp = NULL;
		err = recv_response(fd, &resp);
		if (err)
			return transport_error(err);
	} while (!resp->last && !resp->status);
	if (resp->status) {
		fail(RC_FAILED, "%s", resp->message && *resp->message ?
		     resp->message : strerror(-resp->status));
		conn_free(resp);
		return RC_FAILED;
	}
	*out = resp;
	return RC_OK;
}

int conn_once(ctl_request *req, int pass, ctl_response **out)
{
	ctl_response *resp = NULL;
	int fd = conn_open(), rc;

	if (fd < 0)
		return -fd;
	rc = conn_call(fd, req, pass, &resp);
	close(fd);
	if (!rc && out)
		*out = resp;
	else
		conn_free(resp);
	return rc;
}

int conn_quiet(ctl_request *req, ctl_response **out)
{
	ctl_response *resp = NULL;
	int fd = connect_socket(), err;

	if (fd < 0)
		return -EAGAIN;
	err = send_request(fd, req, -1);
	if (!err)
		err = recv_response(fd, &resp);
	close(fd);
	if (err == -EPROTO) {
		transport_error(err);
		return -EIO;
	}
	if (err)
		return -EAGAIN;
	if (!resp->status) {
		*out = resp;
		return 0;
	}
	err = -EAGAIN;
	if (resp->status != -EAGAIN && resp->status != -ESHUTDOWN) {
		fail(RC_FAILED, "%s", resp->message && *resp->message ?
		     resp->message : strerror(-resp->status));
		err = -EIO;
	}
	conn_free(resp);
	return err;
}

void conn_free(ctl_response *resp)
{
	if (resp)
		orchfs__control__response__free_unpacked(resp, NULL);
}

const char *conn_namespace(void)
{
	Orchfs__Control__Empty empty = ORCHFS__CONTROL__EMPTY__INIT;
	static char name[64];
	ctl_response *resp;

	CTL_REQUEST(req, STATUS);
	if (*opts.ns)
		return opts.ns;
	snprintf(name, sizeof(name), "NAMESPACE");
	req.status = &empty;
	if (conn_once(&req, -1, &resp))
		return name;
	if (resp->daemon && resp->daemon->n_ns == 1)
		snprintf(name, sizeof(name), "%s", resp->daemon->ns[0]->name);
	conn_free(resp);
	return name;
}
