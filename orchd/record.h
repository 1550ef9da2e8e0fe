/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and values of the store (Documentation/store-format.md): building
 * keys, packing and unpacking records. Whatever is read is checked here; a
 * value that can't be right is -EUCLEAN.
 */
#ifndef ORCHD_RECORD_H
#define ORCHD_RECORD_H

#include <linux/orchfs.h>

#include "arena.h"
#include "proto/store.pb-c.h"
#include "store.h"

/* The longest key is 'X' ino name. */
#define KEY_MAX		(1 + 8 + 255)

struct key {
	uint8_t b[KEY_MAX];
	size_t len;
};

static inline struct store_key key_of(const struct key *k)
{
	return (struct store_key){ k->b, k->len };
}

/* A key is a table and then numbers and bytes. Each returns @k. */
struct key *key_begin(struct key *k, char table);
struct key *key_u8(struct key *k, uint8_t x);
struct key *key_u32(struct key *k, uint32_t x);
struct key *key_u64(struct key *k, uint64_t x);
struct key *key_bytes(struct key *k, const void *p, size_t len);
/** key_after() - make it the first key beyond all that begin with it. */
struct key *key_after(struct key *k);

struct key *key_table(struct key *k, char table);
struct key *key_num(struct key *k, char table, uint64_t a);
struct key *key_num2(struct key *k, char table, uint64_t a, uint64_t b);
struct key *key_num3(struct key *k, char table, uint64_t a, uint64_t b,
		     uint64_t c);

/* The n-th 8-byte number of a key after its table byte. */
uint64_t key_num_at(struct store_key k, size_t n);

/* 'I'. target and target_len of a symlink lie in an arena. */
struct inode {
	uint64_t ino;
	uint64_t change;
	uint32_t generation;
	uint32_t mode;
	uint32_t uid, gid;
	uint32_t nlink;
	uint32_t flags;
	uint64_t size, blocks;
	struct orchfs_time atime, mtime, ctime, btime;
	uint32_t rdev_major, rdev_minor;
	const uint8_t *target;
	size_t target_len;
	uint64_t version;
	uint64_t layout_generation;
	uint64_t parent;
	uint32_t projid;
};

/* 'E' */
struct entry {
	uint64_t cookie;
	uint64_t change;
	uint64_t ino;
	uint32_t type;
	const uint8_t *name;
	size_t name_len;
};

/* 'N' */
struct instance {
	uint64_t version, instance;
	uint64_t change;
	uint32_t volume;
	uint32_t state;
	bool dirty;
	struct orchfs_time base_mtime, base_ctime;
	bool has_mtime_after;
	struct orchfs_time mtime_after;
};

/**
 * record_pack() - serialise into the arena.
 * Return: 0 or -ENOMEM.
 */
int record_pack(struct arena *a, const ProtobufCMessage *m, void **p,
		size_t *len);
/**
 * record_unpack() - parse into the arena.
 * Return: 0, -EUCLEAN, -ENOMEM.
 */
int record_unpack(struct arena *a, const ProtobufCMessageDescriptor *d,
		  struct store_key v, void **m);

int record_pack_inode(struct arena *a, const struct inode *i, void **p,
		      size_t *len);
int record_unpack_inode(struct arena *a, uint64_t ino, struct store_key v,
			struct inode *i);
int record_pack_entry(struct arena *a, const struct entry *e, void **p,
		      size_t *len);
int record_unpack_entry(struct arena *a, uint64_t cookie, struct store_key v,
			struct entry *e);
int record_pack_instance(struct arena *a, const struct instance *n, void **p,
			 size_t *len);
/* @k: the key, which holds version and instance. */
int record_unpack_instance(struct arena *a, struct store_key k,
			   struct store_key v, struct instance *n);

#endif
