// SPDX-License-Identifier: Apache-2.0
/* The bytes of a token, as kmod/pdu.c and kmod/token.c read them. */
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "data.h"

_Static_assert(sizeof(struct orchfs_wire_token) == ORCHFS_TOKEN_LEN, "token");
_Static_assert(offsetof(struct orchfs_wire_token, mac) ==
	       ORCHFS_TOKEN_SIGNED_LEN, "token");

int data_token_sign(const uint8_t key[ORCHFS_KEY_LEN],
		    const struct data_token *t, uint8_t out[ORCHFS_TOKEN_LEN])
{
	struct orchfs_wire_token w = {
		.magic = htole32(ORCHFS_TOKEN_MAGIC),
		.token_version = htole32(ORCHFS_TOKEN_VERSION),
		.volume = htole32(t->volume),
		.key_id = htole32(t->key_id),
		.ino = htole64(t->ino),
		.version = htole64(t->version),
		.instance = htole64(t->instance),
		.node = htole32(t->node),
		.rights = htole32(t->rights),
		.epoch = htole64(t->epoch),
		.expiry_ms = htole64(t->expiry_ms),
	};
	unsigned int len = sizeof(w.mac);

	memcpy(w.ns_uuid, t->uuid, 16);
	if (!HMAC(EVP_sha256(), key, ORCHFS_KEY_LEN, (const void *)&w,
		  ORCHFS_TOKEN_SIGNED_LEN, w.mac, &len))
		return -ENOMEM;
	memcpy(out, &w, sizeof(w));
	return 0;
}
