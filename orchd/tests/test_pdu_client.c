// SPDX-License-Identifier: Apache-2.0
/* The client of data servers in user space: what it reads, how it ends. */
#include "pdu_util.h"

static int dial(uint32_t node, bool (*stop)(void *), struct pdu_client **c,
		char why[256])
{
	char text[NS_NODE_ADDRESS];
	struct pdu_dial d = {
		.tls = w.client.set.tls, .self = 2, .node = node,
		.address = text, .stopped = stop,
	};

	address_text(&w.address, text);
	memcpy(d.uuid, uuid, 16);
	return pdu_dial(&d, c, why, 256);
}

static struct pdu_client *dialled(bool (*stop)(void *))
{
	static const uint8_t token[ORCHFS_TOKEN_LEN] = "a token";
	struct pdu_client *c = NULL;
	char why[256];
	int rc = dial(1, stop, &c, why);

	if (rc)
		fail_msg("dial: %d %s", rc, why);
	assert_int_equal(pdu_bind(c, token), 0);
	return c;
}

struct sum {
	uint64_t next;
	int end_at;
};

static int take(void *ctx, char *buf, size_t len, off_t at)
{
	struct sum *x = ctx;

	assert_int_equal(at, x->next);
	for (size_t i = 0; i < len; i++)
		if (buf[i] != byte_at((uint64_t)at + i))
			fail_msg("byte %zu", (size_t)at + i);
	x->next += len;
	return x->end_at && (int)(x->next / CHUNK) >= x->end_at ? -ENOSPC : 0;
}

static void test_read(void **state)
{
	struct pdu_client *c = dialled(NULL);
	struct pdu_attr a;
	struct sum x = { 0 };

	(void)state;
	assert_int_equal(pdu_getattr(c, &a), 0);
	assert_int_equal(a.size, LENGTH);
	assert_int_equal(a.mtime.tv_sec, -3);
	assert_int_equal(a.mtime.tv_nsec, 7);
	assert_int_equal(pdu_read(c, 0, LENGTH, CHUNK, PDU_WINDOW, take, &x), 0);
	assert_int_equal(x.next, LENGTH);
	assert_int_equal(atomic_load(&s.most), PDU_WINDOW);
	/* a part, one after the other; again, by a newer token */
	assert_int_equal(pdu_bind(c, (const uint8_t[ORCHFS_TOKEN_LEN]){ 1 }),
			 0);
	atomic_store(&s.most, 0);
	x.next = 8192;
	assert_int_equal(pdu_read(c, 8192, 40000, 10000, 1, take, &x), 0);
	assert_int_equal(x.next, 40000);
	assert_int_equal(atomic_load(&s.most), 1);
	assert_int_equal(pdu_unbind(c), 0);
	assert_false(pdu_client_broken(c));
	pdu_client_free(c);
}

static void fails(enum fault f, unsigned int after, int want, bool broken)
{
	struct pdu_client *c = dialled(NULL);
	struct sum x = { 0 };

	s.fault = f;
	s.after = after;
	assert_int_equal(pdu_read(c, 0, LENGTH, CHUNK, 4, take, &x), want);
	assert_true(x.next < LENGTH);
	assert_int_equal(pdu_client_broken(c), broken);
	/* one that is whole is used again */
	s.fault = F_NONE;
	x.next = 0;
	if (!broken)
		assert_int_equal(pdu_read(c, 0, LENGTH, CHUNK, 8, take, &x), 0);
	else
		assert_true(pdu_read(c, 0, LENGTH, CHUNK, 8, take, &x) < 0);
	pdu_client_free(c);
}

static void test_faults(void **state)
{
	(void)state;
	fails(F_DAMAGE, 5, -ECONNRESET, true);
	fails(F_NO_SUM, 0, -EPROTO, true);
	fails(F_TAG, 2, -EPROTO, true);
	fails(F_LONG, 7, -EPROTO, true);
	fails(F_BREAK, 6, -ECONNRESET, true);
	fails(F_SHORT, 9, -ESTALE, false);
	fails(F_EIO, 3, -EIO, false);
}

/* Who reads has had enough. */
static void test_enough(void **state)
{
	struct pdu_client *c = dialled(NULL);
	struct sum x = { .end_at = 3 };

	(void)state;
	assert_int_equal(pdu_read(c, 0, LENGTH, CHUNK, 8, take, &x), -ENOSPC);
	assert_true(pdu_client_broken(c));
	pdu_client_free(c);
}

static atomic_uint asked;

static bool stop_soon(void *ctx)
{
	(void)ctx;
	return s.fault == F_SILENT && atomic_fetch_add(&asked, 1) > 3;
}

static void test_silent(void **state)
{
	struct pdu_client *c = dialled(stop_soon);
	struct sum x = { 0 };

	(void)state;
	s.fault = F_SILENT;
	assert_int_equal(pdu_read(c, 0, LENGTH, CHUNK, 8, take, &x), -ECANCELED);
	assert_true(pdu_client_broken(c));
	pdu_client_free(c);
}

static uint64_t later(void)
{
	static atomic_uint_fast64_t t = 1000000;

	return atomic_fetch_add(&t, 4000);
}

/* The same, and nobody stops it: time goes fast here. */
static void test_deadline(void **state)
{
	struct pdu_client *c = dialled(NULL);
	uint64_t (*clock)(void) = peer_clock;
	struct sum x = { 0 };

	(void)state;
	s.fault = F_SILENT;
	peer_clock = later;
	assert_int_equal(pdu_read(c, 0, LENGTH, CHUNK, 8, take, &x), -ETIMEDOUT);
	peer_clock = clock;
	pdu_client_free(c);
}

static void test_refused(void **state)
{
	struct pdu_client *c = NULL;
	char why[256];

	(void)state;
	s.fault = F_HELLO;
	assert_int_equal(dial(1, NULL, &c, why), -EPROTO);
	assert_string_not_equal(why, "");
	s.fault = F_NONE;
	/* another node answers there */
	assert_int_equal(dial(3, NULL, &c, why), -EKEYREJECTED);
	assert_non_null(strstr(why, "not node 3"));
	w.server.admit = -EKEYREVOKED;
	assert_int_equal(dial(1, NULL, &c, why), -EKEYREVOKED);
	assert_non_null(strstr(why, "told to refuse"));
	w.server.admit = 0;
	assert_int_equal(dial(1, NULL, &c, why), 0);
	s.fault = F_TOKEN;
	assert_int_equal(pdu_bind(c, (const uint8_t[ORCHFS_TOKEN_LEN]){ 1 }),
			 -EKEYEXPIRED);
	assert_false(pdu_client_broken(c));
	pdu_client_free(c);
}

/* Nobody listens there. */
static void test_nowhere(void **state)
{
	struct pdu_dial d = {
		.tls = w.client.set.tls, .self = 2, .node = 1,
		.address = "127.0.0.1:1",
	};
	struct pdu_client *c = NULL;
	char why[256];

	(void)state;
	memcpy(d.uuid, uuid, 16);
	assert_int_equal(pdu_dial(&d, &c, why, sizeof(why)), -ECONNRESET);
	assert_non_null(strstr(why, "refused"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, server_setup, \
						 server_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_read),
		TEST(test_faults),
		TEST(test_enough),
		TEST(test_silent),
		TEST(test_deadline),
		TEST(test_refused),
		TEST(test_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
