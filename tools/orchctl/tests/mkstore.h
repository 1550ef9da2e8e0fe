/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MKSTORE_H
#define MKSTORE_H

#include <stddef.h>
#include <stdint.h>

#include "store.pb-c.h"

struct k {
	uint8_t b[300];
	size_t n;
};

/* The inodes of the store that is made. */
enum {
	ROOT = 1, DIR_A = 2, DIR_B = 3, FILE_1 = 4, FILE_2 = 5, LINK = 6,
	FIFO = 7, ORPHAN = 8, CAP = 9, POOL_FIRST = 100, INO_LIMIT = 300,
	INSTANCE_LIMIT = 1300,
};
#define INSTANCE_OF(ino) (1000 + (ino))
#define SEQ 50

extern char *vol_path;

struct k key(char table, int numbers, ...);
void put(struct k k, const void *v, size_t len);
void put_msg(struct k k, const ProtobufCMessage *m);
void del(struct k k);
void *get(struct k k, size_t *len);
uint64_t cookie_of(const char *name);
void put_entry(uint64_t parent, uint64_t cookie, const char *name, uint64_t ino,
	       uint32_t type);
void put_reverse(uint64_t ino, uint64_t parent, uint64_t cookie,
		 const char *name);
void backing_file(uint64_t ino, uint64_t version, uint64_t instance,
		  const char *text);
void backing_path(char *out, size_t size, uint64_t ino, uint64_t version,
		  uint64_t instance);
void put_marker(uint64_t txn, uint32_t volume);
int damage(const char *kind);
void damage_list(void);

#endif
