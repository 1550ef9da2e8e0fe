// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "marker.h"
#include "proto/store.pb-c.h"

#define MARKER_HEAD	"orchfs volume 1\n"
#define MARKER_ANY	"orchfs volume "
#define MARKER_MAX	4096
#define MARKER_TMP	MARKER_FILE ".new"

uint32_t crc32c(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint32_t crc = ~0U;

	while (len--) {
		crc ^= *b++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (0x82f63b78U & -(crc & 1));
	}
	return ~crc;
}

void uuid_text(const uint8_t u[16], char out[37])
{
	char *p = out;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		p += sprintf(p, "%02x", u[i]);
	}
}

static int marker_decode(const uint8_t *p, size_t len, struct marker *m)
{
	const size_t head = strlen(MARKER_HEAD);
	Orchfs__Store__Marker *pb;
	uint32_t crc;
	int rc = -EUCLEAN;

	if (len < head + 4 || memcmp(p, MARKER_HEAD, head))
		return len > strlen(MARKER_ANY) + 1 &&
		       !memcmp(p, MARKER_ANY, strlen(MARKER_ANY)) &&
		       p[strlen(MARKER_ANY)] > '1' ? -EPROTO : -EUCLEAN;
	p += head;
	len -= head + 4;
	crc = p[len] | p[len + 1] << 8 | p[len + 2] << 16 |
	      (uint32_t)p[len + 3] << 24;
	if (crc != crc32c(p, len))
		return -EUCLEAN;
	pb = orchfs__store__marker__unpack(NULL, len, p);
	if (!pb)
		return -EUCLEAN;
	if (pb->format != 1)
		rc = -EPROTO;
	else if (pb->namespace_uuid.len == 16 && pb->volume_uuid.len == 16 &&
		 strlen(pb->namespace_name) < sizeof(m->ns_name))
		rc = 0;
	if (!rc) {
		memcpy(m->ns_uuid, pb->namespace_uuid.data, 16);
		strcpy(m->ns_name, pb->namespace_name);
		memcpy(m->volume_uuid, pb->volume_uuid.data, 16);
		m->volume = pb->volume;
		m->durable_txn = pb->durable_txn;
		m->epoch = pb->epoch;
	}
	orchfs__store__marker__free_unpacked(pb, NULL);
	return rc;
}

int marker_read(int dirfd, struct marker *m)
{
	uint8_t buf[MARKER_MAX];
	ssize_t n;
	int fd;

	fd = openat(dirfd, MARKER_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
		    O_NONBLOCK);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, sizeof(buf));
	if (n < 0)
		n = -errno;
	close(fd);
	return n < 0 ? (int)n : marker_decode(buf, (size_t)n, m);
}

static size_t marker_encode(const struct marker *m, uint8_t *buf)
{
	Orchfs__Store__Marker pb = ORCHFS__STORE__MARKER__INIT;
	const size_t head = strlen(MARKER_HEAD);
	uint32_t crc;
	size_t len;

	pb.format = 1;
	pb.namespace_uuid.data = (uint8_t *)m->ns_uuid;
	pb.namespace_uuid.len = 16;
	pb.namespace_name = (char *)m->ns_name;
	pb.volume_uuid.data = (uint8_t *)m->volume_uuid;
	pb.volume_uuid.len = 16;
	pb.volume = m->volume;
	pb.durable_txn = m->durable_txn;
	pb.epoch = m->epoch;
	memcpy(buf, MARKER_HEAD, head);
	len = orchfs__store__marker__pack(&pb, buf + head);
	crc = crc32c(buf + head, len);
	len += head;
	for (int i = 0; i < 4; i++)
		buf[len++] = crc >> 8 * i & 0xff;
	return len;
}

int marker_write(int dirfd, const struct marker *m)
{
	uint8_t buf[MARKER_MAX];
	size_t len = marker_encode(m, buf);
	int fd, rc = 0;
	ssize_t n;

	fd = openat(dirfd, MARKER_TMP, O_WRONLY | O_CREAT | O_TRUNC |
		    O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	n = write(fd, buf, len);
	if (n < 0)
		rc = -errno;
	else if ((size_t)n != len)
		rc = -ENOSPC;
	else if (fsync(fd) < 0)
		rc = -errno;
	close(fd);
	if (!rc && renameat(dirfd, MARKER_TMP, dirfd, MARKER_FILE) < 0)
		rc = -errno;
	if (rc) {
		unlinkat(dirfd, MARKER_TMP, 0);
		return rc;
	}
	return fsync(dirfd) < 0 ? -errno : 0;
}
