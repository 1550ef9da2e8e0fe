/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What kmod/pdu.c uses of the kernel, for programs. */
#ifndef PDU_USER_H
#define PDU_USER_H

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#define cpu_to_le16(v)	htole16(v)
#define cpu_to_le32(v)	htole32(v)
#define cpu_to_le64(v)	htole64(v)
#define le16_to_cpu(v)	le16toh(v)
#define le32_to_cpu(v)	le32toh(v)
#define le64_to_cpu(v)	le64toh(v)
#define S64_MAX		INT64_MAX
#define lower_32_bits(v) ((u32)(v))
#define upper_32_bits(v) ((u32)((v) >> 32))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define static_assert	_Static_assert

#ifdef __x86_64__
__attribute__((target("sse4.2")))
static inline u32 crc32c_by_cpu(u32 crc, const unsigned char *p, size_t len)
{
	u64 c = crc, v;

	for (; len >= sizeof(v); p += sizeof(v), len -= sizeof(v)) {
		memcpy(&v, p, sizeof(v));
		c = __builtin_ia32_crc32di(c, v);
	}
	while (len--)
		c = __builtin_ia32_crc32qi((u32)c, *p++);
	return (u32)c;
}

static inline bool cpu_has_crc32c(void)
{
	return __builtin_cpu_supports("sse4.2");
}
#else
static inline u32 crc32c_by_cpu(u32 crc, const unsigned char *p, size_t len)
{
	(void)p;
	(void)len;
	return crc;
}

static inline bool cpu_has_crc32c(void)
{
	return false;
}
#endif

/* Reflected, polynomial of Castagnoli, without the inversions. */
static inline u32 __crc32c_le(u32 crc, const unsigned char *p, size_t len)
{
	static _Thread_local u32 table[256];
	u32 i, j, v;

	if (cpu_has_crc32c())
		return crc32c_by_cpu(crc, p, len);
	if (!table[1]) {
		for (i = 0; i < 256; i++) {
			for (v = i, j = 0; j < 8; j++)
				v = v >> 1 ^ (v & 1 ? 0x82f63b78 : 0);
			table[i] = v;
		}
	}
	while (len--)
		crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
	return crc;
}

#endif
