/* SPDX-License-Identifier: GPL-2.0-only */
/* Keys of volumes and what is signed with them; see Documentation/remote.md. */
#ifndef _ORCHFS_TOKEN_H
#define _ORCHFS_TOKEN_H

#include "pdu.h"

struct crypto_shash;

/* What a token must be for, to be taken */
struct orchfs_token_for {
	u8 ns_uuid[16];
	u32 volume;
	u32 key_id;
	u32 node;
};

struct crypto_shash *orchfs_token_key(const u8 *key);
void orchfs_token_key_free(struct crypto_shash *tfm);
int orchfs_token_sign(struct crypto_shash *tfm, void *buf);
int orchfs_token_verify(struct crypto_shash *tfm,
			const struct orchfs_token_for *want, const void *buf,
			size_t len, struct orchfs_token *token);

#endif
