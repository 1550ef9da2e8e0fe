// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is a token what the authority signed? The MAC is compared before anything
 * else of it is, in a time that tells nothing.
 */
#include <crypto/hash.h>
#include <crypto/utils.h>
#include <linux/err.h>

#include "token.h"

/**
 * orchfs_token_key() - make a volume's key ready for use
 * @key: ORCHFS_KEY_LEN bytes
 *
 * Return: the key, to be freed by orchfs_token_key_free(); may be used by
 * several at once. Or an ERR_PTR.
 */
struct crypto_shash *orchfs_token_key(const u8 *key)
{
	struct crypto_shash *tfm = crypto_alloc_shash("hmac(sha256)", 0, 0);
	int ret;

	if (IS_ERR(tfm))
		return tfm;
	ret = crypto_shash_setkey(tfm, key, ORCHFS_KEY_LEN);
	if (!ret)
		return tfm;
	crypto_free_shash(tfm);
	return ERR_PTR(ret);
}

/**
 * orchfs_token_key_free() - undo orchfs_token_key()
 * @tfm: the key
 */
void orchfs_token_key_free(struct crypto_shash *tfm)
{
	crypto_free_shash(tfm);
}

static int token_mac(struct crypto_shash *tfm, const void *buf, u8 *mac)
{
	return crypto_shash_tfm_digest(tfm, buf, ORCHFS_TOKEN_SIGNED_LEN, mac);
}

/**
 * orchfs_token_sign() - put the MAC into a token
 * @tfm: the key
 * @buf: ORCHFS_TOKEN_LEN bytes
 *
 * Return: 0 or a negative errno.
 */
int orchfs_token_sign(struct crypto_shash *tfm, void *buf)
{
	return token_mac(tfm, buf, buf + ORCHFS_TOKEN_SIGNED_LEN);
}

/**
 * orchfs_token_verify() - read a token that a peer sent
 * @tfm: the volume's key
 * @want: what it must be for
 * @buf: its bytes
 * @len: so many
 * @token: filled on success; whether it has expired or is fenced is for the
 *	caller to see
 *
 * Return: 0; -EKEYREJECTED for one that isn't to be taken; -ENOMEM.
 */
int orchfs_token_verify(struct crypto_shash *tfm,
			const struct orchfs_token_for *want, const void *buf,
			size_t len, struct orchfs_token *token)
{
	u8 mac[ORCHFS_TOKEN_MAC_LEN];
	struct orchfs_token t;
	int ret;

	if (len != ORCHFS_TOKEN_LEN)
		return -EKEYREJECTED;
	ret = token_mac(tfm, buf, mac);
	if (ret)
		return ret;
	if (crypto_memneq(mac, buf + ORCHFS_TOKEN_SIGNED_LEN, sizeof(mac)) ||
	    orchfs_token_decode(buf, len, &t))
		return -EKEYREJECTED;
	if (memcmp(t.ns_uuid, want->ns_uuid, sizeof(t.ns_uuid)) ||
	    t.volume != want->volume || t.key_id != want->key_id ||
	    t.node != want->node)
		return -EKEYREJECTED;
	*token = t;
	return 0;
}
