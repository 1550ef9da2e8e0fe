// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tokens: the right one is taken, and no other.
 */
#include <kunit/test.h>
#include <linux/err.h>

#include "token.h"

static const struct orchfs_token good = {
	.ns_uuid = "0123456789abcde", .volume = 3, .key_id = 5, .ino = 7,
	.version = 1, .instance = 9, .node = 2,
	.rights = ORCHFS_RIGHT_READ | ORCHFS_RIGHT_WRITE, .epoch = 11,
	.expiry_ms = 1000000,
};

static const struct orchfs_token_for wanted = {
	.ns_uuid = "0123456789abcde", .volume = 3, .key_id = 5, .node = 2,
};

struct token_test {
	struct crypto_shash *key;
	u8 buf[ORCHFS_TOKEN_LEN];
};

static int token_test_init(struct kunit *test)
{
	struct token_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	u8 key[ORCHFS_KEY_LEN];
	int i;

	if (!t)
		return -ENOMEM;
	for (i = 0; i < ORCHFS_KEY_LEN; i++)
		key[i] = i;
	t->key = orchfs_token_key(key);
	if (IS_ERR(t->key))
		return PTR_ERR(t->key);
	test->priv = t;
	orchfs_token_encode(&good, t->buf);
	return orchfs_token_sign(t->key, t->buf);
}

static void token_test_exit(struct kunit *test)
{
	struct token_test *t = test->priv;

	if (t)
		orchfs_token_key_free(t->key);
}

static int verify(struct kunit *test, const struct orchfs_token_for *want)
{
	struct token_test *t = test->priv;
	struct orchfs_token token;

	return orchfs_token_verify(t->key, want, t->buf, sizeof(t->buf),
				   &token);
}

static void test_good(struct kunit *test)
{
	struct token_test *t = test->priv;
	struct orchfs_token token;

	KUNIT_ASSERT_EQ(test, orchfs_token_verify(t->key, &wanted, t->buf,
						  sizeof(t->buf), &token), 0);
	KUNIT_EXPECT_EQ(test, token.ino, good.ino);
	KUNIT_EXPECT_EQ(test, token.version, good.version);
	KUNIT_EXPECT_EQ(test, token.instance, good.instance);
	KUNIT_EXPECT_EQ(test, token.rights, good.rights);
	KUNIT_EXPECT_EQ(test, token.epoch, good.epoch);
	KUNIT_EXPECT_EQ(test, token.expiry_ms, good.expiry_ms);
}

/* Made with another implementation over the same 88 bytes. */
static void test_known(struct kunit *test)
{
	static const u8 mac[ORCHFS_TOKEN_MAC_LEN] = {
		0x13, 0xd9, 0x43, 0x74, 0xa4, 0xfd, 0xa1, 0x9c,
		0xd6, 0xc9, 0xbd, 0x96, 0xea, 0xb7, 0x3b, 0xae,
		0xc3, 0xdf, 0x7c, 0xc3, 0x5d, 0x57, 0x95, 0xbd,
		0x6f, 0xae, 0x0c, 0xfc, 0x53, 0x84, 0x16, 0xf3,
	};
	struct token_test *t = test->priv;

	KUNIT_EXPECT_MEMEQ(test, t->buf + ORCHFS_TOKEN_SIGNED_LEN, mac,
			   sizeof(mac));
}

static void test_each_bit(struct kunit *test)
{
	struct token_test *t = test->priv;
	int i;

	for (i = 0; i < ORCHFS_TOKEN_LEN * 8; i++) {
		t->buf[i / 8] ^= 1 << i % 8;
		KUNIT_EXPECT_EQ_MSG(test, verify(test, &wanted), -EKEYREJECTED,
				    "bit %d", i);
		t->buf[i / 8] ^= 1 << i % 8;
	}
	KUNIT_EXPECT_EQ(test, verify(test, &wanted), 0);
}

static void test_for_another(struct kunit *test)
{
	struct orchfs_token_for want = wanted;

	want.node++;
	KUNIT_EXPECT_EQ(test, verify(test, &want), -EKEYREJECTED);
	want = wanted;
	want.volume++;
	KUNIT_EXPECT_EQ(test, verify(test, &want), -EKEYREJECTED);
	want = wanted;
	want.key_id++;
	KUNIT_EXPECT_EQ(test, verify(test, &want), -EKEYREJECTED);
	want = wanted;
	want.ns_uuid[15]++;
	KUNIT_EXPECT_EQ(test, verify(test, &want), -EKEYREJECTED);
}

static void test_another_key(struct kunit *test)
{
	struct token_test *t = test->priv;
	u8 key[ORCHFS_KEY_LEN] = { 1 };
	struct crypto_shash *other = orchfs_token_key(key);
	struct orchfs_token token;

	KUNIT_ASSERT_FALSE(test, IS_ERR(other));
	KUNIT_EXPECT_EQ(test, orchfs_token_verify(other, &wanted, t->buf,
						  sizeof(t->buf), &token),
			-EKEYREJECTED);
	orchfs_token_key_free(other);
}

/* Signed well, but what it says can't be. */
static void test_impossible(struct kunit *test)
{
	static const struct {
		size_t at;
		u8 value;
	} rows[] = {
		{ offsetof(struct orchfs_wire_token, magic), 0 },
		{ offsetof(struct orchfs_wire_token, token_version), 2 },
		{ offsetof(struct orchfs_wire_token, rights), 0 },
		{ offsetof(struct orchfs_wire_token, rights), 8 },
		{ offsetof(struct orchfs_wire_token, ino), 0 },
		{ offsetof(struct orchfs_wire_token, version), 0 },
		{ offsetof(struct orchfs_wire_token, instance), 0 },
		{ offsetof(struct orchfs_wire_token, reserved), 1 },
	};
	struct token_test *t = test->priv;
	struct orchfs_token token;
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		orchfs_token_encode(&good, t->buf);
		t->buf[rows[i].at] = rows[i].value;
		KUNIT_ASSERT_EQ(test, orchfs_token_sign(t->key, t->buf), 0);
		KUNIT_EXPECT_EQ_MSG(test, verify(test, &wanted), -EKEYREJECTED,
				    "byte %zu", rows[i].at);
	}
	for (i = 0; i < ORCHFS_TOKEN_LEN; i++)
		KUNIT_EXPECT_EQ(test, orchfs_token_verify(t->key, &wanted,
							  t->buf, i, &token),
				-EKEYREJECTED);
}

static struct kunit_case token_cases[] = {
	KUNIT_CASE(test_good),
	KUNIT_CASE(test_known),
	KUNIT_CASE(test_each_bit),
	KUNIT_CASE(test_for_another),
	KUNIT_CASE(test_another_key),
	KUNIT_CASE(test_impossible),
	{}
};

static struct kunit_suite token_suite = {
	.name = "orchfs-token",
	.init = token_test_init,
	.exit = token_test_exit,
	.test_cases = token_cases,
};

kunit_test_suite(token_suite);
