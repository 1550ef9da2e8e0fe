// SPDX-License-Identifier: Apache-2.0
#include "peer_frame.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define ALLOC_COST	8	/* of malloc itself */
#define ID_ROOM		11	/* a field with the id, behind the others */
#define ID_TAG		0x08	/* Frame.id, a varint */

void frame_in_free(struct frame_in *in)
{
	free(in->body);
	in->body = NULL;
	in->have = in->want = 0;
}

void frame_free(peer_frame *f)
{
	if (f)
		orchfs__peer__frame__free_unpacked(f, NULL);
}

static void put_length(uint8_t *out, size_t n)
{
	for (int i = 0; i < 4; i++)
		out[i] = n >> 8 * i & 0xff;
}

uint8_t *frame_pack(const peer_frame *f, size_t *len)
{
	size_t n = orchfs__peer__frame__get_packed_size(f);
	uint8_t *out = malloc(n + 4 + ID_ROOM);

	if (!out)
		return NULL;
	put_length(out, n);
	orchfs__peer__frame__pack(f, out + 4);
	*len = n + 4;
	return out;
}

/* Who packs doesn't know it yet, and fields may come in any order. */
void frame_set_id(uint8_t *buf, size_t *len, uint64_t id)
{
	buf[(*len)++] = ID_TAG;
	for (; id >= 0x80; id >>= 7)
		buf[(*len)++] = (id & 0x7f) | 0x80;
	buf[(*len)++] = (uint8_t)id;
	put_length(buf, *len - 4);
}

/*
 * Each field that is not known is an allocation of its own: 2 bytes on the wire
 * cost more than 40. What takes much more memory than its length isn't unpacked.
 */
struct budget {
	size_t left;
};

static void *budget_alloc(void *ctx, size_t n)
{
	struct budget *b = ctx;
	void *p = n <= b->left ? malloc(n) : NULL;

	if (!p)
		return NULL;
	n = malloc_usable_size(p) + ALLOC_COST;
	b->left -= n < b->left ? n : b->left;
	return p;
}

static void budget_free(void *ctx, void *p)
{
	if (p)
		((struct budget *)ctx)->left += malloc_usable_size(p) +
						ALLOC_COST;
	free(p);
}

static peer_frame *frame_unpack(const uint8_t *p, size_t len)
{
	struct budget b = { .left = 8 * len + 65536 };
	ProtobufCAllocator a = { budget_alloc, budget_free, &b };

	return orchfs__peer__frame__unpack(&a, len, p);
}

static int take_head(struct frame_in *in, const uint8_t **p, size_t *len)
{
	const uint8_t *h = in->head;
	uint32_t n;

	while (in->have < 4 && *len) {
		in->head[in->have++] = *(*p)++;
		--*len;
	}
	if (in->have < 4)
		return 0;
	n = h[0] | h[1] << 8 | h[2] << 16 | (uint32_t)h[3] << 24;
	if (n > in->max)
		return -EMSGSIZE;
	in->body = malloc(n + 1);
	if (!in->body)
		return -ENOMEM;
	in->want = 4 + (size_t)n;
	return 0;
}

int frame_feed(struct frame_in *in, const uint8_t **p, size_t *len,
	       peer_frame **out, size_t *size)
{
	size_t n;
	int rc;

	if (!in->want) {
		rc = take_head(in, p, len);
		if (rc < 0 || !in->want)
			return rc;
	}
	n = in->want - in->have < *len ? in->want - in->have : *len;
	memcpy(in->body + in->have - 4, *p, n);
	in->have += n;
	*p += n;
	*len -= n;
	if (in->have < in->want)
		return 0;
	*size = in->want - 4;
	*out = frame_unpack(in->body, *size);
	frame_in_free(in);
	return *out ? 1 : -EBADMSG;
}
