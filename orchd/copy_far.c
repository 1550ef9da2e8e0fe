// SPDX-License-Identifier: Apache-2.0
/*
 * The bytes of a file that another node has: by a data connection of the
 * worker's own, which is made anew where it breaks.
 */
#include "copy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pdu_client.h"
#include "peer_conn.h"

#define BLOCK		4096
#define RUNS_MAX	(1U << 20)	/* then holes are filled */
#define PAUSE_MS	500

static bool is_stopped(void *ctx)
{
	struct copy_batch *b = ctx;

	return copy_stopped(b, b->now);
}

void copy_far_end(struct copy_batch *b)
{
	pdu_client_free(b->client);
	b->client = NULL;
}

static const char *address_of(const struct copy_batch *b, uint32_t node)
{
	for (size_t i = 0; i < b->net.nr; i++)
		if (b->net.peer[i].node == node)
			return b->net.peer[i].address;
	return "";
}

static int bind_file(struct copy_batch *b, struct copy_file *f)
{
	uint8_t token[ORCHFS_TOKEN_LEN];

	pthread_mutex_lock(&b->pace->lock);
	memcpy(token, f->token, sizeof(token));
	f->token_new = false;
	pthread_mutex_unlock(&b->pace->lock);
	return pdu_bind(b->client, token);
}

/* The file can be asked about. */
static int reach(struct copy_batch *b, struct copy_file *f)
{
	const struct pdu_dial d = {
		.tls = b->net.tls, .self = b->net.self, .node = f->node,
		.address = address_of(b, f->node), .stopped = is_stopped,
		.ctx = b,
	};
	struct pdu_dial dial = d;
	int rc;

	if (b->client && (b->client_node != f->node ||
			  pdu_client_broken(b->client)))
		copy_far_end(b);
	if (b->client && b->now == f)
		return 0;
	b->now = f;
	if (b->client) {
		rc = pdu_unbind(b->client);
		return rc ? rc : bind_file(b, f);
	}
	memcpy(dial.uuid, b->net.uuid, 16);
	rc = pdu_dial(&dial, &b->client, b->why, sizeof(b->why));
	b->client_node = f->node;
	return rc ? rc : bind_file(b, f);
}

static bool is_zero(const char *p, size_t len)
{
	return !*p && !memcmp(p, p + 1, len - 1);
}

/* Holes can't be asked for: what is zero becomes one. */
static int put_data(struct copy_file *f, char *buf, size_t len, off_t at)
{
	const bool all = f->nr_runs >= RUNS_MAX;
	size_t begin = 0, end;
	int rc = 0;

	while (begin < len && !rc) {
		for (; begin < len && !all; begin += BLOCK) {
			end = len - begin < BLOCK ? len - begin : BLOCK;
			if (!is_zero(buf + begin, end))
				break;
		}
		for (end = begin; end < len; end += BLOCK)
			if (!all && is_zero(buf + end, len - end < BLOCK ?
					    len - end : BLOCK))
				break;
		end = end < len ? end : len;
		if (begin >= end)
			break;
		rc = copy_add_run(f, at + (off_t)begin, at + (off_t)end);
		if (!rc)
			rc = copy_put(f, buf + begin, end - begin,
				      at + (off_t)begin);
		begin = end;
	}
	return rc;
}

static int take(void *ctx, char *buf, size_t len, off_t at)
{
	struct copy_batch *b = ctx;
	struct copy_file *f = b->now;
	int rc = put_data(f, buf, len, at);

	if (rc)
		return rc;
	f->at = at + (off_t)len;
	return copy_throttle(b, f, len);
}

static int begin(struct copy_batch *b, struct copy_file *f)
{
	struct pdu_attr a;
	int rc = pdu_getattr(b->client, &a);

	if (rc)
		return rc;
	f->size = a.size;
	f->times[0] = a.atime;
	f->times[1] = a.mtime;
	return copy_make(b, f, a.blocks * 512);
}

static bool has_new_token(struct copy_batch *b, struct copy_file *f)
{
	bool is;

	pthread_mutex_lock(&b->pace->lock);
	is = f->token_new;
	pthread_mutex_unlock(&b->pace->lock);
	return is;
}

/* As far as one connection and one token get. */
static int go_on(struct copy_batch *b, struct copy_file *f)
{
	const bool slow = copy_chunk_len(b) < ORCHFS_PDU_DATA_MAX;
	const off_t step = PDU_WINDOW * (off_t)ORCHFS_PDU_DATA_MAX * 8;
	int rc = reach(b, f);

	if (!rc && f->dst < 0)
		rc = begin(b, f);
	while (!rc && f->at < (off_t)f->size) {
		off_t end = f->at + step < (off_t)f->size ? f->at + step :
			    (off_t)f->size;

		if (has_new_token(b, f))
			rc = bind_file(b, f);
		if (!rc)
			rc = pdu_read(b->client, f->at, end,
				      copy_chunk_len(b), slow ? 1 :
				      PDU_WINDOW, take, b);
	}
	return rc;
}

/* The server has begun anew, or is about to; or a newer token will come. */
static bool not_now(int rc)
{
	return rc == -EAGAIN || rc == -EKEYEXPIRED || rc == -EBADF ||
	       rc == -ENXIO;
}

static bool again(const struct copy_batch *b, const struct copy_file *f,
		  int rc)
{
	if (f->fatal || rc == -ECANCELED)
		return false;
	return !b->client || pdu_client_broken(b->client) || not_now(rc);
}

static void pause_for(struct copy_batch *b, struct copy_file *f)
{
	const uint64_t end = peer_now() + PAUSE_MS;
	struct timespec t;

	pthread_mutex_lock(&b->pace->lock);
	while (!copy_stopped(b, f) && peer_now() < end) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		t.tv_nsec += 100000000;
		if (t.tv_nsec >= 1000000000) {
			t.tv_nsec -= 1000000000;
			t.tv_sec++;
		}
		pthread_cond_timedwait(&b->pace->cond, &b->pace->lock, &t);
	}
	pthread_mutex_unlock(&b->pace->lock);
}

int copy_far(struct copy_batch *b, struct copy_file *f)
{
	uint64_t end = peer_now() + COPY_LOST_MS;
	off_t was = 0;
	int rc;

	f->at = 0;
	f->sum = 0;
	b->now = NULL;
	while ((rc = go_on(b, f)) && again(b, f, rc) && peer_now() < end) {
		if (f->at > was)
			end = peer_now() + COPY_LOST_MS;
		was = f->at;
		if (not_now(rc))
			copy_far_end(b);
		pause_for(b, f);
		if (copy_stopped(b, f))
			return -ECANCELED;
	}
	/* of no use any more: with another token it is begun anew */
	return not_now(rc) || rc == -EKEYREJECTED ? -EHOSTDOWN : rc;
}

int copy_far_unchanged(struct copy_batch *b, struct copy_file *f)
{
	struct pdu_attr a;
	int rc = reach(b, f);

	if (!rc)
		rc = pdu_getattr(b->client, &a);
	if (rc && rc != -ECANCELED)
		return -EHOSTDOWN;
	if (rc)
		return rc;
	return a.size == f->size &&
	       a.mtime.tv_sec == f->times[1].tv_sec &&
	       a.mtime.tv_nsec == f->times[1].tv_nsec ? 0 : -ESTALE;
}
