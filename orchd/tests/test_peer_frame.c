// SPDX-License-Identifier: Apache-2.0
/* Frames between daemons: cut anywhere, malformed, unknown, too large. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"
#include "log.h"
#include "peer_frame.h"

static uint8_t *some_frame(size_t *len)
{
	Orchfs__Peer__NodeRef ref = ORCHFS__PEER__NODE_REF__INIT;
	peer_frame f = PEER_FRAME_INIT(NODE_SHOW);

	ref.node = "a-node";
	f.id = 77;
	f.node_show = &ref;
	return frame_pack(&f, len);
}

/* Whole, in two parts cut at every byte, and byte by byte. */
static void test_frame_parts(void **state)
{
	struct frame_in in = { .max = PEER_FRAME_MAX };
	peer_frame *f = NULL;
	size_t len, n, size;
	const uint8_t *p;
	uint8_t *buf;

	(void)state;
	buf = some_frame(&len);
	for (size_t cut = 0; cut <= len; cut++) {
		p = buf;
		n = cut;
		if (cut < len)
			assert_int_equal(frame_feed(&in, &p, &n, &f, &size),
					 0);
		assert_int_equal(n, cut < len ? 0 : cut);
		n = len - (size_t)(p - buf);
		assert_int_equal(frame_feed(&in, &p, &n, &f, &size), 1);
		assert_int_equal(n, 0);
		assert_int_equal(size, len - 4);
		assert_int_equal(f->id, 77);
		assert_string_equal(f->node_show->node, "a-node");
		frame_free(f);
	}
	p = buf;
	for (size_t i = 0; i < len; i++) {
		n = 1;
		assert_int_equal(frame_feed(&in, &p, &n, &f, &size),
				 i == len - 1);
	}
	frame_free(f);
	free(buf);
}

static void test_frame_bad(void **state)
{
	static const uint32_t lengths[] = {
		PEER_FRAME_NEW + 1, PEER_FRAME_MAX, 1U << 31, UINT32_MAX,
	};
	struct frame_in in = { .max = PEER_FRAME_NEW };
	uint8_t buf[64];
	peer_frame *f;
	const uint8_t *p;
	size_t n, size, good = 0;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		for (int b = 0; b < 4; b++)
			buf[b] = lengths[i] >> 8 * b & 0xff;
		p = buf;
		n = 4;
		assert_int_equal(frame_feed(&in, &p, &n, &f, &size),
				 -EMSGSIZE);
		frame_in_free(&in);
	}
	srandom(4);
	for (int i = 0; i < 20000; i++) {
		int rc;

		for (size_t b = 0; b < sizeof(buf); b++)
			buf[b] = (uint8_t)random();
		buf[0] = (uint8_t)(random() % 48);
		buf[1] = buf[2] = buf[3] = 0;
		p = buf;
		n = sizeof(buf);
		rc = frame_feed(&in, &p, &n, &f, &size);
		assert_true(rc == 1 || rc == -EBADMSG);
		if (rc == 1) {
			frame_free(f);
			good++;
		}
	}
	assert_in_range(good, 1, 19999);
}

/* Fields that nobody knows cost memory: few are passed over, many refused. */
static void test_frame_unknown(void **state)
{
	struct frame_in in = { .max = PEER_FRAME_MAX };
	const size_t max = 60000;
	uint8_t *buf = malloc(4 + max);
	const uint8_t *p;
	peer_frame *f;
	size_t n, size;

	(void)state;
	for (size_t len = 20; len <= max; len = len == 20 ? max : max + 1) {
		for (int b = 0; b < 4; b++)
			buf[b] = len >> 8 * b & 0xff;
		for (size_t i = 0; i < len; i += 2) {
			buf[4 + i] = 15 << 3;	/* a number: 1 */
			buf[5 + i] = 1;
		}
		p = buf;
		n = 4 + len;
		assert_int_equal(frame_feed(&in, &p, &n, &f, &size),
				 len == max ? -EBADMSG : 1);
		assert_int_equal(n, 0);
		if (len < max)
			frame_free(f);
	}
	free(buf);
}

/* As many nodes as there may be, with what each has at least. */
static void test_frame_nodes(void **state)
{
	static Orchfs__Peer__NodeInfo info[NS_NODES_MAX];
	static Orchfs__Peer__NodeInfo *list[NS_NODES_MAX];
	Orchfs__Peer__Nodes m = ORCHFS__PEER__NODES__INIT;
	peer_frame f = PEER_FRAME_INIT(NODES), *back;
	struct frame_in in = { .max = PEER_FRAME_MAX };
	uint8_t serial[16] = { 1 }, *buf;
	const uint8_t *p;
	size_t n, size;

	(void)state;
	for (size_t i = 0; i < NS_NODES_MAX; i++) {
		orchfs__peer__node_info__init(&info[i]);
		info[i].number = (uint32_t)i + 1;
		info[i].name = "b";
		info[i].address = "::1";
		info[i].serial.data = serial;
		info[i].serial.len = sizeof(serial);
		list[i] = &info[i];
	}
	m.node = list;
	m.n_node = NS_NODES_MAX;
	f.nodes = &m;
	buf = frame_pack(&f, &n);
	p = buf;
	assert_int_equal(frame_feed(&in, &p, &n, &back, &size), 1);
	assert_int_equal(back->nodes->n_node, NS_NODES_MAX);
	frame_free(back);
	free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_parts),
		cmocka_unit_test(test_frame_bad),
		cmocka_unit_test(test_frame_unknown),
		cmocka_unit_test(test_frame_nodes),
	};

	log_init(LOG_CRIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
