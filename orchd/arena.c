// SPDX-License-Identifier: Apache-2.0
#include "arena.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE	16384
#define ALIGN		(_Alignof(max_align_t))

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(max_align_t) unsigned char data[];
};

/* A malloced block that the arena frees. */
struct owned {
	struct owned *next;
	void *p;
};

struct arena {
	struct chunk *first;	/* survives a reset */
	struct chunk *last;	/* where the next piece comes from */
	struct owned *owned;
	int failed;
};

static struct chunk *chunk_new(size_t size)
{
	struct chunk *c = malloc(sizeof(*c) + size);

	if (!c)
		return NULL;
	c->next = NULL;
	c->used = 0;
	c->size = size;
	return c;
}

struct arena *arena_new(void)
{
	struct arena *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->first = chunk_new(CHUNK_SIZE);
	if (!a->first) {
		free(a);
		return NULL;
	}
	a->last = a->first;
	return a;
}

static void release(struct arena *a)
{
	struct chunk *c = a->first->next;

	/* The list lies in the chunks: it comes first. */
	for (struct owned *o = a->owned; o; o = o->next)
		free(o->p);
	while (c) {
		struct chunk *next = c->next;

		free(c);
		c = next;
	}
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	release(a);
	free(a->first);
	free(a);
}

void arena_reset(struct arena *a)
{
	release(a);
	a->first->next = NULL;
	a->first->used = 0;
	a->last = a->first;
	a->owned = NULL;
	a->failed = 0;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct chunk *c = a->last;
	void *p;

	if (n > SIZE_MAX / 2) {
		a->failed = 1;
		return NULL;
	}
	n = (n + ALIGN - 1) / ALIGN * ALIGN;
	if (n > c->size - c->used) {
		c = chunk_new(n > CHUNK_SIZE ? n : CHUNK_SIZE);
		if (!c) {
			a->failed = 1;
			return NULL;
		}
		a->last->next = c;
		a->last = c;
	}
	p = c->data + c->used;
	c->used += n;
	return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
	void *p = arena_alloc(a, n);

	return p ? memset(p, 0, n) : NULL;
}

void *arena_dup(struct arena *a, const void *p, size_t n)
{
	unsigned char *d = arena_alloc(a, n + 1);

	if (!d)
		return NULL;
	if (n)
		memcpy(d, p, n);
	d[n] = 0;
	return d;
}

void *arena_grow(struct arena *a, const void *p, size_t have, size_t want)
{
	void *d = arena_alloc(a, want);

	if (d && have)
		memcpy(d, p, have);
	return d;
}

int arena_own(struct arena *a, void *p)
{
	struct owned *o = arena_alloc(a, sizeof(*o));

	if (!o) {
		free(p);
		return -ENOMEM;
	}
	o->p = p;
	o->next = a->owned;
	a->owned = o;
	return 0;
}

int arena_failed(const struct arena *a)
{
	return a->failed;
}
