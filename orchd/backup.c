// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "backup.h"
#include "marker.h"
#include "proto/store.pb-c.h"
#include "store.h"

#define OUT_BUF	(256 << 10)

struct out {
	int fd;
	bool (*stop)(void *ctx);
	void *ctx;
	EVP_MD_CTX *md;
	bool summed;		/* what comes now is the sum itself */
	uint8_t *buf;
	size_t len;
	struct backup_stats *stats;
	int rc;
};

/*
 * What is in the buffer goes into the sum and out. A pipe that nobody reads
 * must not hold the daemon up when it stops.
 */
static int out_flush(struct out *o)
{
	struct pollfd p = { .fd = o->fd, .events = POLLOUT };
	size_t pos = 0;

	if (!o->summed)
		EVP_DigestUpdate(o->md, o->buf, o->len);
	while (!o->rc && pos < o->len) {
		ssize_t n;

		if (o->stop && o->stop(o->ctx)) {
			o->rc = -ECANCELED;
			break;
		}
		if (poll(&p, 1, 500) <= 0)
			continue;
		n = write(o->fd, o->buf + pos, o->len - pos);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			o->rc = -errno;
		if (n > 0)
			pos += (size_t)n;
	}
	o->stats->bytes += pos;
	o->len = 0;
	return o->rc;
}

static void out_put(struct out *o, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len && !o->rc) {
		size_t n = OUT_BUF - o->len < len ? OUT_BUF - o->len : len;

		memcpy(o->buf + o->len, p, n);
		o->len += n;
		p += n;
		len -= n;
		if (o->len == OUT_BUF)
			out_flush(o);
	}
}

static void put_le(uint8_t *p, uint64_t v, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = v >> 8 * i & 0xff;
}

static int out_header(struct out *o, struct store *st, struct store_snap *sn)
{
	struct store_key k = { "Ssuper", 6 };
	Orchfs__Store__Super *s;
	char line[256], u[37];
	size_t len;
	void *val;
	int n, rc;

	rc = store_get(st, sn, k, &val, &len);
	if (rc < 0)
		return rc;
	s = orchfs__store__super__unpack(NULL, len, val);
	free(val);
	if (!s || s->uuid.len != 16) {
		orchfs__store__super__free_unpacked(s, NULL);
		return -EUCLEAN;
	}
	o->stats->epoch = s->epoch;
	uuid_text(s->uuid.data, u);
	n = snprintf(line, sizeof(line), "orchfs backup 1 %s %.63s\n", u,
		     s->name);
	orchfs__store__super__free_unpacked(s, NULL);
	out_put(o, line, (size_t)n);
	return 0;
}

static int out_seq(struct out *o, struct store *st, struct store_snap *sn)
{
	struct store_key k = { "Sseq", 4 };
	uint8_t *p;
	size_t len;
	void *val;
	int rc;

	rc = store_get(st, sn, k, &val, &len);
	if (rc < 0)
		return rc;
	p = val;
	for (size_t i = 0; len == 8 && i < len; i++)
		o->stats->seq |= (uint64_t)p[i] << 8 * i;
	free(val);
	return len == 8 ? 0 : -EUCLEAN;
}

static int out_records(struct out *o, struct store *st, struct store_snap *sn)
{
	struct store_key all = { "", 0 };
	struct store_iter *it = store_scan(st, sn, all, all);
	uint8_t head[16] = { 0 };
	int rc;

	if (!it)
		return -ENOMEM;
	for (; !o->rc && store_iter_valid(it); store_iter_next(it)) {
		struct store_key k = store_iter_key(it);
		struct store_key v = store_iter_value(it);

		put_le(head, k.len, 4);
		put_le(head + 4, v.len, 4);
		out_put(o, head, 8);
		out_put(o, k.p, k.len);
		out_put(o, v.p, v.len);
		o->stats->records++;
	}
	rc = store_iter_error(it);
	store_iter_free(it);
	if (rc < 0)
		return rc;
	put_le(head, 0, 8);
	put_le(head + 8, o->stats->records, 8);
	out_put(o, head, 16);
	return o->rc;
}

int backup_write(struct store *st, int fd, bool (*stop)(void *ctx), void *ctx,
		 struct backup_stats *stats)
{
	struct out o = { .fd = fd, .stop = stop, .ctx = ctx, .stats = stats };
	struct store_snap *sn = store_snapshot(st);
	uint8_t sum[EVP_MAX_MD_SIZE];
	unsigned int sum_len = 0;
	int rc = -ENOMEM;

	memset(stats, 0, sizeof(*stats));
	o.md = EVP_MD_CTX_new();
	o.buf = malloc(OUT_BUF);
	if (sn && o.md && o.buf &&
	    EVP_DigestInit_ex(o.md, EVP_sha256(), NULL) == 1)
		rc = out_header(&o, st, sn);
	if (!rc)
		rc = out_seq(&o, st, sn);
	if (!rc)
		rc = out_records(&o, st, sn);
	if (!rc)
		rc = out_flush(&o);
	if (!rc) {
		o.summed = true;
		EVP_DigestFinal_ex(o.md, sum, &sum_len);
		out_put(&o, sum, sum_len);
		rc = out_flush(&o);
	}
	if (!rc && fsync(fd) < 0 && errno != EINVAL && errno != EROFS)
		rc = -errno;
	if (sn)
		store_snapshot_free(st, sn);
	EVP_MD_CTX_free(o.md);
	free(o.buf);
	return rc;
}
