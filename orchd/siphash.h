/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ORCHD_SIPHASH_H
#define ORCHD_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/** siphash24() - SipHash-2-4 of @len bytes at @p under a 16-byte key. */
uint64_t siphash24(const uint8_t key[16], const void *p, size_t len);

#endif
