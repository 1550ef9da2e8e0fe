// SPDX-License-Identifier: Apache-2.0
/* What the engine writes and reads, so that RocksDB alone can do the same. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

static struct store_ops watched;
static const struct store_ops *real;
static struct capture *to_writes, *to_gets;

static void add(struct capture *c, const void *p, size_t len)
{
	c->p = must_grow(c->p, &c->size, c->len + len, 1);
	c->end = must_grow(c->end, &c->nr_size, c->nr + 1, sizeof(*c->end));
	memcpy(c->p + c->len, p, len);
	c->len += len;
	c->end[c->nr++] = c->len;
}

static int write_watched(struct store *st, const struct store_buf *ops)
{
	if (to_writes)
		add(to_writes, ops->p, ops->len);
	return real->write(st, ops);
}

static int get_watched(struct store *st, struct store_snap *sn,
		       struct store_key k, void **val, size_t *len)
{
	if (to_gets)
		add(to_gets, k.p, k.len);
	return real->get(st, sn, k, val, len);
}

void capture_store(struct store *st, struct capture *writes,
		   struct capture *gets)
{
	if (st->ops == &watched)
		st->ops = real;
	to_writes = writes;
	to_gets = gets;
	if (!writes && !gets)
		return;
	real = st->ops;
	watched = *real;
	watched.write = write_watched;
	watched.get = get_watched;
	st->ops = &watched;
}

struct store_buf capture_at(const struct capture *c, size_t i)
{
	const size_t from = i ? c->end[i - 1] : 0;

	return (struct store_buf){ .p = c->p + from, .len = c->end[i] - from };
}

void capture_clear(struct capture *c)
{
	c->len = c->nr = 0;
}

void capture_free(struct capture *c)
{
	free(c->p);
	free(c->end);
	*c = (struct capture){ 0 };
}
