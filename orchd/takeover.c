// SPDX-License-Identifier: Apache-2.0
/* The new daemon's side of an upgrade. */
#include <errno.h>
#include <linux/orchfs_nl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "config.h"
#include "handover.h"
#include "ns.h"
#include "served.h"

#define WAIT_S	120	/* for one answer */

static int dial(const char *socket_path, char *why)
{
	const struct timeval t = { .tv_sec = WAIT_S };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd, rc;

	if (strlen(socket_path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	strcpy(a.sun_path, socket_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) < 0 ||
	    connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		rc = -errno;
		snprintf(why, VOLUME_WHY, "no daemon to take over from at "
			 "%.200s: %s: start orchd without --takeover",
			 socket_path, strerror(-rc));
		close(fd);
		return rc;
	}
	return fd;
}

static int send_request(int fd, const Orchfs__Control__Request *r)
{
	size_t len = orchfs__control__request__get_packed_size(r);
	uint8_t *buf = malloc(len + 4);
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	for (int i = 0; i < 4; i++)
		buf[i] = len >> 8 * i & 0xff;
	orchfs__control__request__pack(r, buf + 4);
	n = send(fd, buf, len + 4, MSG_NOSIGNAL);
	free(buf);
	if (n < 0)
		return -errno;
	return (size_t)n == len + 4 ? 0 : -EPIPE;
}

/* Descriptors come with the first byte. */
static int receive(struct takeover *t, void *p, size_t len)
{
	union {
		char buf[CMSG_SPACE(sizeof(t->fds))];
		struct cmsghdr align;
	} u;
	char *b = p;

	while (len) {
		struct iovec iov = { b, len };
		struct msghdr m = {
			.msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = u.buf, .msg_controllen = sizeof(u.buf),
		};
		ssize_t n = recvmsg(t->fd, &m, MSG_CMSG_CLOEXEC);
		struct cmsghdr *h;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		h = CMSG_FIRSTHDR(&m);
		if (h && h->cmsg_type == SCM_RIGHTS &&
		    h->cmsg_len == CMSG_LEN(sizeof(t->fds)))
			memcpy(t->fds, CMSG_DATA(h), sizeof(t->fds));
		b += n;
		len -= (size_t)n;
	}
	return 0;
}

static int receive_response(struct takeover *t,
			    Orchfs__Control__Response **out)
{
	uint8_t head[4], *buf;
	int len, rc;

	rc = receive(t, head, sizeof(head));
	if (rc < 0)
		return rc;
	len = ctl_frame_length(head);
	if (len < 0)
		return len;
	buf = malloc((size_t)len + 1);
	if (!buf)
		return -ENOMEM;
	rc = receive(t, buf, (size_t)len);
	if (!rc) {
		*out = orchfs__control__response__unpack(NULL, (size_t)len,
							 buf);
		rc = *out ? 0 : -EBADMSG;
	}
	free(buf);
	return rc;
}

static int ask(struct takeover *t, char *why)
{
	Orchfs__Control__TakeOver msg = ORCHFS__CONTROL__TAKE_OVER__INIT;
	Orchfs__Control__Request r = ORCHFS__CONTROL__REQUEST__INIT;
	int rc;

	msg.store_format = ns_newest_format();
	msg.protocol_min = ORCHFS_PROTOCOL_VERSION;
	msg.protocol_max = ORCHFS_PROTOCOL_VERSION;
	msg.version = (char *)ORCHD_VERSION;
	r.version = 1;
	r.op_case = ORCHFS__CONTROL__REQUEST__OP_TAKE_OVER;
	r.take_over = &msg;
	rc = send_request(t->fd, &r);
	if (!rc)
		rc = receive_response(t, &t->resp);
	if (rc < 0)
		return rc;
	if (t->resp->status < 0) {
		snprintf(why, VOLUME_WHY, "%.600s", t->resp->message);
		return t->resp->status;
	}
	return t->resp->handover && t->fds[0] >= 0 ? 0 : -EBADMSG;
}

int takeover_begin(struct takeover *t, const char *socket_path, char *why)
{
	int rc;

	*t = (struct takeover) { .fd = -1, .fds = { -1, -1 } };
	rc = t->fd = dial(socket_path, why);
	if (rc >= 0)
		rc = ask(t, why);
	if (rc < 0 && !*why)
		snprintf(why, VOLUME_WHY, "taking over at %.200s: %s",
			 socket_path, strerror(-rc));
	return rc;
}

bool takeover_lacks(const struct takeover *t, char *why)
{
	for (size_t i = 0; i < t->resp->handover->n_store; i++) {
		const char *dir = t->resp->handover->store[i];
		struct served *sv = served_find_dir(dir);

		if (sv && served_get_state(sv, why, VOLUME_WHY) !=
		    SERVED_REFUSED)
			continue;
		if (!sv)
			snprintf(why, VOLUME_WHY, "the store %.300s is not in "
				 "the new daemon's state directory", dir);
		return true;
	}
	return false;
}

int takeover_end(struct takeover *t, const char *text)
{
	Orchfs__Control__GiveBack back = ORCHFS__CONTROL__GIVE_BACK__INIT;
	Orchfs__Control__Empty empty = ORCHFS__CONTROL__EMPTY__INIT;
	Orchfs__Control__Request r = ORCHFS__CONTROL__REQUEST__INIT;
	Orchfs__Control__Response *resp = NULL;
	int rc;

	r.version = 1;
	if (text) {
		back.text = (char *)text;
		r.op_case = ORCHFS__CONTROL__REQUEST__OP_GIVE_BACK;
		r.give_back = &back;
	} else {
		r.op_case = ORCHFS__CONTROL__REQUEST__OP_TAKEN;
		r.taken = &empty;
	}
	rc = send_request(t->fd, &r);
	if (!rc)
		rc = receive_response(t, &resp);
	if (!rc)
		rc = resp->status;
	if (resp)
		orchfs__control__response__free_unpacked(resp, NULL);
	orchfs__control__response__free_unpacked(t->resp, NULL);
	t->resp = NULL;
	close(t->fd);
	t->fd = -1;
	/* an old daemon that has died needs not be asked */
	return rc == -EPIPE || rc == -ECONNRESET ? 0 : rc;
}
