// SPDX-License-Identifier: Apache-2.0
/* The way of bytes: tokens as the kernel reads them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "data.h"
#include "pdu.h"	/* the module's own */

static const struct data_token some_token = {
	.uuid = "namespace-uuid--", .volume = 3, .key_id = 0x01020304,
	.ino = 0x1122334455667788, .version = 2, .instance = 1ULL << 40,
	.node = 7, .rights = ORCHFS_RIGHTS_ALL, .epoch = 5 << 20,
	.expiry_ms = 1ULL << 41,
};

/* Every field arrives, and the MAC is that of the key over what is signed. */
static void test_token(void **state)
{
	uint8_t key[ORCHFS_KEY_LEN], mac[32], out[ORCHFS_TOKEN_LEN];
	struct orchfs_token t;
	unsigned int len = sizeof(mac);

	(void)state;
	memset(key, 0x4b, sizeof(key));
	assert_int_equal(data_token_sign(key, &some_token, out), 0);
	assert_int_equal(orchfs_token_decode(out, sizeof(out), &t), 0);
	assert_memory_equal(t.ns_uuid, some_token.uuid, 16);
	assert_int_equal(t.volume, 3);
	assert_int_equal(t.key_id, 0x01020304);
	assert_int_equal(t.ino, 0x1122334455667788);
	assert_int_equal(t.version, 2);
	assert_int_equal(t.instance, 1ULL << 40);
	assert_int_equal(t.node, 7);
	assert_int_equal(t.rights, ORCHFS_RIGHTS_ALL);
	assert_int_equal(t.epoch, 5 << 20);
	assert_int_equal(t.expiry_ms, 1ULL << 41);
	assert_non_null(HMAC(EVP_sha256(), key, sizeof(key), out,
			     ORCHFS_TOKEN_SIGNED_LEN, mac, &len));
	assert_memory_equal(mac, out + ORCHFS_TOKEN_SIGNED_LEN, 32);
	key[31] ^= 1;
	assert_int_equal(data_token_sign(key, &some_token, out), 0);
	assert_memory_not_equal(mac, out + ORCHFS_TOKEN_SIGNED_LEN, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
