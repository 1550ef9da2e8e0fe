/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's part in the way of bytes from kernel to kernel: keys and tokens
 * of volumes, what is served, connections that are handed over.
 * Documentation/remote.md. Unless told otherwise for the namespace thread.
 */
#ifndef ORCHD_DATA_H
#define ORCHD_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/orchfs_nl.h>
#include <linux/orchfs_wire.h>

struct served;

#define DATA_TOKEN_MS	3600000U	/* a token is good for so long */

/** data_start() - the namespace is a cluster's from now on; again: nothing. */
int data_start(struct served *sv);
void data_free(struct served *sv);

/**
 * data_clock() - the authority's clock, in ms: CLOCK_BOOTTIME of its machine,
 * and higher at each later authority. 0 where the namespace is no cluster's.
 */
uint64_t data_clock(const struct served *sv);
/**
 * token_make() - at the authority: a node may use an instance
 * @write: and change it
 * Return: 0; -ENODEV the namespace is no cluster's, or the volume isn't
 * served to other nodes at the moment; -ENOMEM: @out is untouched.
 */
int token_make(struct served *sv, uint32_t node, uint32_t volume,
	       uint64_t ino, uint64_t version, uint64_t instance, bool write,
	       uint8_t out[ORCHFS_TOKEN_LEN]);

/* data_token.c: any thread */

/* What a token says; its rights are ORCHFS_RIGHT_*. */
struct data_token {
	uint8_t uuid[16];
	uint32_t volume, key_id;
	uint64_t ino, version, instance;
	uint32_t node, rights;
	uint64_t epoch, expiry_ms;
};

/** data_token_sign() - Return: 0 or -ENOMEM. */
int data_token_sign(const uint8_t key[ORCHFS_KEY_LEN],
		    const struct data_token *t, uint8_t out[ORCHFS_TOKEN_LEN]);

#endif
