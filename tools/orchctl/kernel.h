/* SPDX-License-Identifier: Apache-2.0 */
/* What the module tells about its namespaces, by generic netlink. */
#ifndef ORCHCTL_KERNEL_H
#define ORCHCTL_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include <linux/orchfs_nl.h>

#define NR_KINDS (ORCHFS_KIND_LOCK + 1)

struct kernel_ns {
	char name[ORCHFS_NS_NAME_MAX + 1];
	uint8_t uuid[16];
	uint64_t session;
	uint32_t state;
	uint32_t waiting;
	uint32_t opens;
	uint64_t count[NR_KINDS];
	uint64_t errors[NR_KINDS];
};

extern const char *const kind_names[NR_KINDS];

/**
 * kernel_namespaces() - those of this network namespace that --namespace
 * admits. Return: an exit code, after a message when it is not 0; *out is
 * malloced.
 */
int kernel_namespaces(struct kernel_ns **out, size_t *nr);

#endif
