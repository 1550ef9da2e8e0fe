// SPDX-License-Identifier: Apache-2.0
/* SipHash-2-4, CRC32C, and a set of numbers. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "orchctl.h"
#include "fsck.h"

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static void sip_rounds(uint64_t v[4], int n)
{
	while (n--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = ROTL(v[1], 13) ^ v[0];
		v[3] = ROTL(v[3], 16) ^ v[2];
		v[0] = ROTL(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = ROTL(v[1], 17) ^ v[2];
		v[3] = ROTL(v[3], 21) ^ v[0];
		v[2] = ROTL(v[2], 32);
	}
}

uint64_t siphash24(const uint8_t key[16], const void *p, size_t len)
{
	const uint8_t *in = p;
	uint64_t k[2], v[4], m;
	size_t left;

	memcpy(k, key, 16);
	k[0] = le64toh(k[0]);
	k[1] = le64toh(k[1]);
	v[0] = k[0] ^ 0x736f6d6570736575ULL;
	v[1] = k[1] ^ 0x646f72616e646f6dULL;
	v[2] = k[0] ^ 0x6c7967656e657261ULL;
	v[3] = k[1] ^ 0x7465646279746573ULL;
	for (left = len; left >= 8; left -= 8, in += 8) {
		memcpy(&m, in, 8);
		m = le64toh(m);
		v[3] ^= m;
		sip_rounds(v, 2);
		v[0] ^= m;
	}
	m = (uint64_t)(len & 0xff) << 56;
	while (left--)
		m |= (uint64_t)in[left] << (8 * left);
	v[3] ^= m;
	sip_rounds(v, 2);
	v[0] ^= m;
	v[2] ^= 0xff;
	sip_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint32_t crc32c(const void *p, size_t len)
{
	const uint8_t *c = p;
	uint32_t crc = ~0U;
	int bit;

	while (len--) {
		crc ^= *c++;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
	}
	return ~crc;
}

/* Open addressing; 0 marks an empty place. */
struct fset {
	uint64_t *v;
	size_t size, used;
	bool zero;
};

struct fset *fset_new(void)
{
	struct fset *s = xcalloc(1, sizeof(*s));

	s->size = 64;
	s->v = xcalloc(s->size, sizeof(*s->v));
	return s;
}

static bool place(uint64_t *v, size_t size, uint64_t x)
{
	size_t i = (x * 0x9e3779b97f4a7c15ULL) & (size - 1);

	while (v[i] && v[i] != x)
		i = (i + 1) & (size - 1);
	if (v[i])
		return false;
	v[i] = x;
	return true;
}

static void grow(struct fset *s)
{
	uint64_t *v = xcalloc(s->size * 2, sizeof(*v));
	size_t i;

	for (i = 0; i < s->size; i++)
		if (s->v[i])
			place(v, s->size * 2, s->v[i]);
	free(s->v);
	s->v = v;
	s->size *= 2;
}

bool fset_add(struct fset *s, uint64_t x)
{
	bool fresh;

	if (!x) {
		fresh = !s->zero;
		s->zero = true;
		return fresh;
	}
	if (s->used * 2 >= s->size)
		grow(s);
	fresh = place(s->v, s->size, x);
	s->used += fresh;
	return fresh;
}

void fset_free(struct fset *s)
{
	if (s)
		free(s->v);
	free(s);
}
