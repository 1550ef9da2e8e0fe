// SPDX-License-Identifier: Apache-2.0
#include "peer_frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

uint8_t *frame_pack(const peer_frame *f, size_t *len)
{
	size_t n = orchfs__peer__frame__get_packed_size(f);
	uint8_t *out = malloc(n + 4);

	if (!out)
		return NULL;
	for (int i = 0; i < 4; i++)
		out[i] = n >> 8 * i & 0xff;
	orchfs__peer__frame__pack(f, out + 4);
	*len = n + 4;
	return out;
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
	*out = orchfs__peer__frame__unpack(NULL, *size, in->body);
	frame_in_free(in);
	return *out ? 1 : -EBADMSG;
}
