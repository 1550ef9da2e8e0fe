/* SPDX-License-Identifier: Apache-2.0 */
/* The file ROOT/.orchfs-volume: whose volume a directory is. */
#ifndef ORCHD_MARKER_H
#define ORCHD_MARKER_H

#include <stddef.h>
#include <stdint.h>

#define MARKER_FILE	".orchfs-volume"

struct marker {
	uint8_t ns_uuid[16];
	char ns_name[64];
	uint8_t volume_uuid[16];
	uint32_t volume;
	uint64_t durable_txn;
	uint64_t epoch;
};

/**
 * marker_read() - of the volume whose root is open as @dirfd.
 * Return: 0; -ENOENT none; -EUCLEAN damaged; -EPROTO from a newer version;
 * other -errno.
 */
int marker_read(int dirfd, struct marker *m);
/** marker_write() - replace it, durably. */
int marker_write(int dirfd, const struct marker *m);

uint32_t crc32c(const void *p, size_t len);
void uuid_text(const uint8_t uuid[16], char out[37]);

#endif
