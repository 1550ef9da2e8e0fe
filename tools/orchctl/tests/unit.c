// SPDX-License-Identifier: Apache-2.0
/* Units: sizes, names, texts, hashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#undef fail
#include <json-c/json.h>

#include "orchctl.h"
#include "fsck.h"

struct options opts;

static void sizes(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(parse_size("4096", &v), 0);
	assert_int_equal(v, 4096);
	assert_int_equal(parse_size("10G", &v), 0);
	assert_int_equal(v, 10ULL << 30);
	assert_int_equal(parse_size("3MiB", &v), 0);
	assert_int_equal(v, 3 << 20);
	assert_int_equal(parse_size("1k", &v), 0);
	assert_int_equal(v, 1024);
	assert_int_not_equal(parse_size("", &v), 0);
	assert_int_not_equal(parse_size("-1", &v), 0);
	assert_int_not_equal(parse_size("1x", &v), 0);
	assert_int_not_equal(parse_size("1Mx", &v), 0);
	assert_int_not_equal(parse_size("16E", &v), 0);
	assert_int_not_equal(parse_size("99999999999999999999", &v), 0);
}

static void names(void **state)
{
	char longest[65];

	(void)state;
	memset(longest, 'n', 64);
	longest[64] = 0;
	assert_false(valid_name(longest));
	longest[63] = 0;
	assert_true(valid_name(longest));
	assert_true(valid_name("orch-1.a_b"));
	assert_false(valid_name(""));
	assert_false(valid_name(".hidden"));
	assert_false(valid_name("-x"));
	assert_false(valid_name("a/b"));
	assert_false(valid_name("a:b"));
	assert_false(valid_name("a b"));
	assert_true(name_ok("a", 1));
	assert_true(name_ok("...", 3));
	assert_false(name_ok("..", 2));
	assert_false(name_ok(".", 1));
	assert_false(name_ok("a\0b", 3));
	assert_false(name_ok("a/b", 3));
}

static void json_is_utf8(void **state)
{
	struct json_object *o;

	(void)state;
	o = json_bytes("a\xff\xc3\xa9\xed\xa0\x80\"", 8);
	assert_string_equal(json_object_get_string(o),
			    "a\\xff\xc3\xa9\\xed\\xa0\\x80\"");
	json_object_put(o);
	o = json_bytes("\xc3", 1);
	assert_string_equal(json_object_get_string(o), "\\xc3");
	json_object_put(o);
}

static void texts(void **state)
{
	(void)state;
	assert_string_equal(human_size(0), "0 B");
	assert_string_equal(human_size(1536), "1.5 KiB");
	assert_string_equal(human_size(1ULL << 40), "1.0 TiB");
	assert_string_equal(uuid_text("0123456789abcdef", 16),
			    "30313233-3435-3637-3839-616263646566");
	assert_string_equal(uuid_text("x", 1), "-");
	assert_string_equal(name_text("a\nb", 3), "a\\012b");
}

/* The vectors of the SipHash paper and of RFC 3720. */
static void hashes(void **state)
{
	uint8_t key[16], in[15], zero[32] = { 0 };
	int i;

	(void)state;
	for (i = 0; i < 16; i++)
		key[i] = (uint8_t)i;
	for (i = 0; i < 15; i++)
		in[i] = (uint8_t)i;
	assert_true(siphash24(key, in, 15) == 0xa129ca6149be45e5ULL);
	assert_true(siphash24(key, in, 0) == 0x726fdb47dd0e0e31ULL);
	assert_int_equal(crc32c("123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(zero, 32), 0x8a9136aa);
}

static void sets(void **state)
{
	struct fset *s = fset_new();
	uint64_t i;

	(void)state;
	for (i = 0; i < 10000; i++)
		assert_true(fset_add(s, i * i));
	for (i = 0; i < 10000; i++)
		assert_false(fset_add(s, i * i));
	fset_free(s);
	fset_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(names),
		cmocka_unit_test(json_is_utf8),
		cmocka_unit_test(texts),
		cmocka_unit_test(hashes),
		cmocka_unit_test(sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
