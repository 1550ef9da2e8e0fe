/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An arena: memory that is handed out in pieces and freed all at once. Not
 * for several threads at a time.
 */
#ifndef ORCHD_ARENA_H
#define ORCHD_ARENA_H

#include <stddef.h>

struct arena;

/** arena_new() - an empty arena, NULL without memory. */
struct arena *arena_new(void);
/** arena_free() - all its memory and itself; accepts NULL. */
void arena_free(struct arena *a);
/** arena_reset() - forget every piece, keep the first chunk for reuse. */
void arena_reset(struct arena *a);
/** arena_alloc() - @n bytes, aligned for any type; NULL without memory. */
void *arena_alloc(struct arena *a, size_t n);
/** arena_zalloc() - arena_alloc(), zeroed. */
void *arena_zalloc(struct arena *a, size_t n);
/** arena_dup() - a copy of @n bytes, followed by a NUL byte. */
void *arena_dup(struct arena *a, const void *p, size_t n);
/**
 * arena_grow() - a piece of @want bytes that begins with the @have bytes of
 * @p. The old piece stays until the arena is reset or freed.
 */
void *arena_grow(struct arena *a, const void *p, size_t have, size_t want);
/** arena_own() - free(p) with the arena. On -ENOMEM p is freed at once. */
int arena_own(struct arena *a, void *p);
/** arena_failed() - true when an allocation failed since the last reset. */
int arena_failed(const struct arena *a);

#endif
