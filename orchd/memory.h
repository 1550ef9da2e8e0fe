/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that buffers and caches are sized for. */
#ifndef ORCHD_MEMORY_H
#define ORCHD_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/** memory_configure() - what the person says; before any store is opened. */
void memory_configure(uint64_t bytes);
/** memory_size() - that, or the machine's, or what our control group may use. */
uint64_t memory_size(void);
/** memory_share() - a @part of memory_size(), within two bounds. */
size_t memory_share(unsigned int part, size_t min, size_t max);
/** memory_parse_group() - the path in a line of /proc/PID/cgroup, or NULL. */
const char *memory_parse_group(char *line);

#endif
