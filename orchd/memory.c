// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"

static uint64_t configured;

void memory_configure(uint64_t bytes)
{
	configured = bytes;
}

const char *memory_parse_group(char *line)
{
	line[strcspn(line, "\n")] = 0;
	return strncmp(line, "0::/", 4) ? NULL : line + 4;
}

static uint64_t read_limit(const char *group)
{
	uint64_t limit = 0;
	char path[4200];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/memory.max", group);
	f = fopen(path, "re");
	if (!f)
		return 0;
	/* "max": there is none */
	if (fscanf(f, "%" SCNu64, &limit) != 1)
		limit = 0;
	fclose(f);
	return limit;
}

/* The least of our group and those above it. */
static uint64_t group_limit(void)
{
	uint64_t least = UINT64_MAX, limit;
	const char *found = NULL;
	char line[4096], group[4096];
	FILE *f = fopen("/proc/self/cgroup", "re");
	char *slash;

	while (f && !found && fgets(line, sizeof(line), f))
		found = memory_parse_group(line);
	if (f)
		fclose(f);
	if (!found)
		return least;
	strcpy(group, found);
	while (*group) {
		limit = read_limit(group);
		if (limit && limit < least)
			least = limit;
		slash = strrchr(group, '/');
		*(slash ? slash : group) = 0;
	}
	return least;
}

uint64_t memory_size(void)
{
	static uint64_t found;
	uint64_t group;

	if (configured)
		return configured;
	if (!found) {
		found = (uint64_t)sysconf(_SC_PHYS_PAGES) *
			(uint64_t)sysconf(_SC_PAGESIZE);
		group = group_limit();
		found = group < found ? group : found;
	}
	return found;
}

size_t memory_share(unsigned int part, size_t min, size_t max)
{
	uint64_t share = memory_size() / part;

	return share < min ? min : share > max ? max : (size_t)share;
}
