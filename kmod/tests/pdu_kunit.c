// SPDX-License-Identifier: GPL-2.0-only
/*
 * PDUs: what is sent arrives, what is out of bounds doesn't.
 */
#include <kunit/test.h>

#include "pdu.h"

static void test_crc(struct kunit *test)
{
	u32 crc = orchfs_pdu_crc(0, "1234", 4);

	KUNIT_EXPECT_EQ(test, orchfs_pdu_crc(0, "123456789", 9), 0xe3069283U);
	KUNIT_EXPECT_EQ(test, orchfs_pdu_crc(crc, "56789", 5), 0xe3069283U);
	KUNIT_EXPECT_EQ(test, orchfs_pdu_crc(0, "", 0), 0U);
}

struct pdu_row {
	const char *what;
	struct orchfs_pdu pdu;
	int reason;
};

#define DATA_MAX	ORCHFS_PDU_DATA_MAX
#define CRC	ORCHFS_PDU_DATA_CRC
#define READ_OF(...)	{ .opcode = ORCHFS_OP_READ, .handle = 1, __VA_ARGS__ }
#define WRITE_OF(...)	{ .opcode = ORCHFS_OP_WRITE, .handle = 1, __VA_ARGS__ }

static const struct pdu_row request_rows[] = {
	{ "ping", { .opcode = ORCHFS_OP_PING, .tag = -1 } },
	{ "end", { .opcode = ORCHFS_OP_END, .handle = -1 } },
	{ "hello", { .opcode = ORCHFS_OP_HELLO, .data_len = 32 } },
	{ "bind", { .opcode = ORCHFS_OP_BIND, .data_len = 120 } },
	{ "renewal", { .opcode = ORCHFS_OP_BIND, .data_len = 120,
		       .handle = 7, .flags = CRC, .data_crc = 3 } },
	{ "allocation", { .opcode = ORCHFS_OP_ALLOCATE, .handle = 1,
			  .offset = 5, .length = S64_MAX - 5 } },
	{ "hole", { .opcode = ORCHFS_OP_ALLOCATE, .handle = 1, .length = 1,
		    .count = ORCHFS_ALLOC_PUNCH_HOLE |
			     ORCHFS_ALLOC_KEEP_SIZE } },
	{ "hole that is cut", { .opcode = ORCHFS_OP_ALLOCATE, .handle = 1,
				.length = 1,
				.count = ORCHFS_ALLOC_PUNCH_HOLE },
	  ORCHFS_REASON_FIELD },
	{ "collapse", { .opcode = ORCHFS_OP_ALLOCATE, .handle = 1,
			.length = 4096, .count = 8 }, ORCHFS_REASON_FIELD },
	{ "allocation of nothing", { .opcode = ORCHFS_OP_ALLOCATE,
				     .handle = 1 }, ORCHFS_REASON_LENGTH },
	{ "allocation past 2^63", { .opcode = ORCHFS_OP_ALLOCATE, .handle = 1,
				    .offset = 6, .length = S64_MAX - 5 },
	  ORCHFS_REASON_OFFSET },
	{ "allocation of -1", { .opcode = ORCHFS_OP_ALLOCATE, .handle = 1,
				.length = -1 }, ORCHFS_REASON_OFFSET },
	{ "write with length", WRITE_OF(.data_len = 1, .length = 1),
	  ORCHFS_REASON_FIELD },
	{ "seek", { .opcode = ORCHFS_OP_SEEK, .handle = 1, .offset = S64_MAX,
		    .count = ORCHFS_SEEK_HOLE } },
	{ "seek for something else", { .opcode = ORCHFS_OP_SEEK, .handle = 1,
				       .count = 2 }, ORCHFS_REASON_LENGTH },
	{ "unbind", { .opcode = ORCHFS_OP_UNBIND, .handle = -1 } },
	{ "commit", { .opcode = ORCHFS_OP_COMMIT, .handle = 1 } },
	{ "getattr", { .opcode = ORCHFS_OP_GETATTR, .handle = 1 } },
	{ "truncate", { .opcode = ORCHFS_OP_TRUNCATE, .handle = 1,
			.offset = S64_MAX } },
	{ "truncate too far", { .opcode = ORCHFS_OP_TRUNCATE, .handle = 1,
				.offset = 1ULL << 63 },
	  ORCHFS_REASON_OFFSET },
	{ "read", READ_OF(.count = DATA_MAX, .flags = CRC) },
	{ "last read", READ_OF(.count = DATA_MAX,
			       .offset = S64_MAX - DATA_MAX) },
	{ "read past 2^63", READ_OF(.count = DATA_MAX,
				    .offset = S64_MAX - DATA_MAX + 1),
	  ORCHFS_REASON_OFFSET },
	{ "read at -1", READ_OF(.count = 1, .offset = -1),
	  ORCHFS_REASON_OFFSET },
	{ "read of nothing", READ_OF(), ORCHFS_REASON_LENGTH },
	{ "read of too much", READ_OF(.count = DATA_MAX + 1), ORCHFS_REASON_LENGTH },
	{ "read of 4 GiB", READ_OF(.count = -1), ORCHFS_REASON_LENGTH },
	{ "read with data", READ_OF(.count = 1, .data_len = 1),
	  ORCHFS_REASON_FIELD },
	{ "durable read", READ_OF(.count = 1, .flags = ORCHFS_PDU_FUA),
	  ORCHFS_REASON_FLAGS },
	{ "write", WRITE_OF(.data_len = DATA_MAX, .data_crc = 9,
			    .flags = CRC | ORCHFS_PDU_FUA) },
	{ "append", WRITE_OF(.data_len = DATA_MAX,
			     .flags = ORCHFS_PDU_APPEND | ORCHFS_PDU_FUA) },
	{ "append with offset", WRITE_OF(.data_len = 1, .offset = 1,
					 .flags = ORCHFS_PDU_APPEND),
	  ORCHFS_REASON_FIELD },
	{ "appending read", READ_OF(.count = 1, .flags = ORCHFS_PDU_APPEND),
	  ORCHFS_REASON_FLAGS },
	{ "write of nothing", WRITE_OF(), ORCHFS_REASON_LENGTH },
	{ "write of too much", WRITE_OF(.data_len = DATA_MAX + 1),
	  ORCHFS_REASON_LENGTH },
	{ "write past 2^63", WRITE_OF(.data_len = 2, .offset = S64_MAX - 1),
	  ORCHFS_REASON_OFFSET },
	{ "sum without flag", WRITE_OF(.data_len = 1, .data_crc = 1),
	  ORCHFS_REASON_FIELD },
	{ "count of a write", WRITE_OF(.data_len = 1, .count = 1),
	  ORCHFS_REASON_FIELD },
	{ "verifier", WRITE_OF(.data_len = 1, .verifier = 1),
	  ORCHFS_REASON_FIELD },
	{ "status", WRITE_OF(.data_len = 1, .status = 1),
	  ORCHFS_REASON_FIELD },
	{ "a reply", WRITE_OF(.data_len = 1, .flags = ORCHFS_PDU_REPLY),
	  ORCHFS_REASON_FLAGS },
	{ "unknown flag", { .opcode = ORCHFS_OP_PING, .flags = 0x8000 },
	  ORCHFS_REASON_FLAGS },
	{ "ping with handle", { .opcode = ORCHFS_OP_PING, .handle = 1 },
	  ORCHFS_REASON_FIELD },
	{ "opcode 0", { .opcode = 0 }, ORCHFS_REASON_OPCODE },
	{ "opcode 13", { .opcode = ORCHFS_NR_OPS }, ORCHFS_REASON_OPCODE },
	{ "short token", { .opcode = ORCHFS_OP_BIND, .data_len = 119 },
	  ORCHFS_REASON_LENGTH },
};

#define REPLY	ORCHFS_PDU_REPLY

static const struct pdu_row reply_rows[] = {
	{ "ping", { .opcode = ORCHFS_OP_PING, .flags = REPLY } },
	{ "read", { .opcode = ORCHFS_OP_READ, .flags = REPLY,
		    .data_len = DATA_MAX } },
	{ "read at the end", { .opcode = ORCHFS_OP_READ, .flags = REPLY } },
	{ "read with sum", { .opcode = ORCHFS_OP_READ, .flags = REPLY | CRC,
			     .data_len = 1, .data_crc = 1 } },
	{ "read, too much", { .opcode = ORCHFS_OP_READ, .flags = REPLY,
			      .data_len = DATA_MAX + 1 }, ORCHFS_REASON_LENGTH },
	{ "failed read", { .opcode = ORCHFS_OP_READ, .flags = REPLY,
			   .status = ORCHFS_STATUS_STALE } },
	{ "failed read with data", { .opcode = ORCHFS_OP_READ, .flags = REPLY,
				     .status = ORCHFS_STATUS_STALE,
				     .data_len = 1 }, ORCHFS_REASON_FIELD },
	{ "unknown status", { .opcode = ORCHFS_OP_PING, .flags = REPLY,
			      .status = ORCHFS_NR_STATUSES },
	  ORCHFS_REASON_FIELD },
	{ "write", { .opcode = ORCHFS_OP_WRITE, .flags = REPLY, .count = 5,
		     .verifier = 9 } },
	{ "write with offset", { .opcode = ORCHFS_OP_WRITE, .flags = REPLY,
				 .count = 5, .offset = 1 },
	  ORCHFS_REASON_FIELD },
	{ "append", { .opcode = ORCHFS_OP_WRITE, .count = 5, .offset = 7,
		      .flags = REPLY | ORCHFS_PDU_APPEND, .verifier = 9 } },
	{ "append past 2^63", { .opcode = ORCHFS_OP_WRITE, .count = 2,
				.flags = REPLY | ORCHFS_PDU_APPEND,
				.offset = S64_MAX - 1 },
	  ORCHFS_REASON_OFFSET },
	{ "allocated", { .opcode = ORCHFS_OP_ALLOCATE, .flags = REPLY,
			 .verifier = 9 } },
	{ "found", { .opcode = ORCHFS_OP_SEEK, .flags = REPLY,
		     .offset = S64_MAX } },
	{ "found with length", { .opcode = ORCHFS_OP_SEEK, .flags = REPLY,
				 .length = 1 }, ORCHFS_REASON_FIELD },
	{ "a request", { .opcode = ORCHFS_OP_PING }, ORCHFS_REASON_FLAGS },
	{ "short attr", { .opcode = ORCHFS_OP_GETATTR, .flags = REPLY,
			  .data_len = 63 }, ORCHFS_REASON_LENGTH },
};

static void check_rows(struct kunit *test, const struct pdu_row *rows,
		       size_t nr, int (*decode)(const void *, size_t,
						struct orchfs_pdu *))
{
	u8 buf[ORCHFS_PDU_LEN];
	struct orchfs_pdu got;
	size_t i, j;

	for (i = 0; i < nr; i++) {
		orchfs_pdu_encode(&rows[i].pdu, buf);
		KUNIT_EXPECT_EQ_MSG(test, decode(buf, sizeof(buf), &got),
				    rows[i].reason, "%s", rows[i].what);
		if (rows[i].reason)
			continue;
		KUNIT_EXPECT_TRUE_MSG(test, got.tag == rows[i].pdu.tag &&
				      got.handle == rows[i].pdu.handle &&
				      got.offset == rows[i].pdu.offset &&
				      got.count == rows[i].pdu.count &&
				      got.data_len == rows[i].pdu.data_len &&
				      got.data_crc == rows[i].pdu.data_crc &&
				      got.verifier == rows[i].pdu.verifier &&
				      got.status == rows[i].pdu.status &&
				      got.flags == rows[i].pdu.flags &&
				      got.opcode == rows[i].pdu.opcode,
				      "%s", rows[i].what);
		/* no byte may change unseen */
		for (j = 0; j < sizeof(buf); j++) {
			buf[j] ^= 0x10;
			KUNIT_EXPECT_NE_MSG(test, decode(buf, sizeof(buf),
							 &got), 0,
					    "%s, byte %zu", rows[i].what, j);
			buf[j] ^= 0x10;
			KUNIT_EXPECT_EQ(test, decode(buf, j, &got),
					ORCHFS_REASON_LENGTH);
		}
	}
}

static void test_requests(struct kunit *test)
{
	check_rows(test, request_rows, ARRAY_SIZE(request_rows),
		   orchfs_pdu_decode_request);
}

static void test_replies(struct kunit *test)
{
	check_rows(test, reply_rows, ARRAY_SIZE(reply_rows),
		   orchfs_pdu_decode_reply);
}

static void test_newer_peer(struct kunit *test)
{
	struct orchfs_pdu pdu = { .opcode = ORCHFS_OP_PING };
	struct orchfs_wire_pdu w;

	orchfs_pdu_encode(&pdu, &w);
	w.version++;
	w.header_crc = cpu_to_le32(orchfs_pdu_crc(0, &w, sizeof(w) - 4));
	KUNIT_EXPECT_EQ(test, orchfs_pdu_decode_request(&w, sizeof(w), &pdu),
			ORCHFS_REASON_VERSION);
}

static void test_statuses(struct kunit *test)
{
	u32 status;

	for (status = 0; status < ORCHFS_NR_STATUSES; status++)
		KUNIT_EXPECT_EQ(test, status,
				orchfs_pdu_status(orchfs_pdu_errno(status)));
	KUNIT_EXPECT_EQ(test, orchfs_pdu_status(-ELOOP), ORCHFS_STATUS_IO);
	KUNIT_EXPECT_EQ(test, orchfs_pdu_errno(ORCHFS_NR_STATUSES), -EIO);
}

static void test_attr(struct kunit *test)
{
	struct orchfs_remote_attr a = {
		.size = S64_MAX, .blocks = 2, .change = -1, .atime_sec = -3,
		.mtime_sec = 4, .ctime_sec = 5, .atime_nsec = 999999999,
	}, b;
	struct orchfs_wire_attr w;

	orchfs_remote_attr_encode(&a, &w);
	KUNIT_EXPECT_EQ(test, orchfs_remote_attr_decode(&w, sizeof(w), &b), 0);
	KUNIT_EXPECT_EQ(test, b.size, a.size);
	KUNIT_EXPECT_EQ(test, b.change, a.change);
	KUNIT_EXPECT_EQ(test, b.atime_sec, a.atime_sec);
	KUNIT_EXPECT_EQ(test, b.atime_nsec, a.atime_nsec);
	KUNIT_EXPECT_NE(test, orchfs_remote_attr_decode(&w, 63, &b), 0);
	a.size++;
	orchfs_remote_attr_encode(&a, &w);
	KUNIT_EXPECT_NE(test, orchfs_remote_attr_decode(&w, sizeof(w), &b), 0);
	a.size = 0;
	a.mtime_nsec = 1000000000;
	orchfs_remote_attr_encode(&a, &w);
	KUNIT_EXPECT_NE(test, orchfs_remote_attr_decode(&w, sizeof(w), &b), 0);
}

static struct kunit_case pdu_cases[] = {
	KUNIT_CASE(test_crc),
	KUNIT_CASE(test_requests),
	KUNIT_CASE(test_replies),
	KUNIT_CASE(test_newer_peer),
	KUNIT_CASE(test_statuses),
	KUNIT_CASE(test_attr),
	{}
};

static struct kunit_suite pdu_suite = {
	.name = "orchfs-pdu",
	.test_cases = pdu_cases,
};

kunit_test_suite(pdu_suite);
