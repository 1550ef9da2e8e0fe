// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a peer may not do. Malformed: the connection ends with the reason that
 * Documentation/remote.md names. Refused: by status, and it goes on. Meanwhile
 * another connection streams, and must not notice.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "ds.h"

#define STREAM_INO	0x501
#define STREAM_LEN	(256U << 10)

/* --- from the daemon --- */

static void bad_socket(int fd, const char *what)
{
	s64 ret = daemon_serve_peer(fd, NODE, NULL);

	must(ret == -EINVAL, "%s: %lld", what, (long long)ret);
	close(fd);
}

static void bad_limits(void)
{
	static const struct limits rows[] = {
		{ .max_requests = ORCHFS_PDU_REQUESTS_MAX + 1 },
		{ .max_handles = 4097 }, { .max_bytes = 1U << 31 },
	};
	struct peer p, q;
	unsigned int i;
	s64 ret;

	peer_start(&p, NODE, NULL);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		ret = daemon_serve_peer(p.fd, NODE, &rows[i]);
		must(ret == -EINVAL, "limits %u: %lld", i, (long long)ret);
	}
	ret = daemon_serve_peer(p.fd, 0, NULL);
	must(ret == -EINVAL, "node 0: %lld", (long long)ret);
	/* our own end may be served, but once */
	ret = daemon_serve_peer(p.fd, NODE, NULL);
	must(ret > 0, "the other end: %lld", (long long)ret);
	q = p;
	q.connection = ret;
	ret = daemon_serve_peer(p.fd, NODE, NULL);
	must(ret == -EBUSY, "a socket twice: %lld", (long long)ret);
	must(!daemon_drop(NODE, 0), "drop");
	must(daemon_wait_gone(p.connection) && daemon_wait_gone(q.connection),
	     "ends");
	peer_close(&p);
}

void test_bad_commands(void)
{
	int fd = backing_make(0x401), l;

	must(daemon_serve_volume(VOLUME + 1, fd, 1) == -EINVAL, "a file");
	must(daemon_serve_volume(VOLUME + 1, 9999, 1) == -EINVAL,
	     "no descriptor");
	bad_socket(fd, "a file as socket");
	bad_socket(9999, "no descriptor as socket");
	bad_socket(socket(AF_INET, SOCK_STREAM, 0), "not connected");
	bad_socket(socket(AF_INET, SOCK_DGRAM, 0), "UDP");
	bad_socket(socket(AF_UNIX, SOCK_STREAM, 0), "a unix socket");
	l = socket(AF_INET, SOCK_STREAM, 0);
	must(!listen(l, 1), "listen: %m");
	bad_socket(l, "a listener");
	bad_limits();
	must(daemon_drop(NODE, 0) == -ENOENT, "drop of nobody");
	must(daemon_unvolume(VOLUME + 1, 1) == -ENOENT, "no volume");
	/* the same again is fine, and so is a new key */
	must(!daemon_serve_volume(VOLUME, ds_root, 2) &&
	     !daemon_serve_volume(VOLUME, ds_root, 1), "the same again");
}

/* --- from a peer --- */

static volatile bool stream_stop;

/* A reader that verifies all it gets. */
static void *stream(void *arg)
{
	struct peer *p = arg;
	struct answer *a = answer_new();
	u8 *want = xalloc(STREAM_LEN);
	struct orchfs_token t;
	u64 rounds = 0, handle = 0;

	memset(want, 0x5a, STREAM_LEN);
	token_make(&t, STREAM_INO, ORCHFS_RIGHT_READ | ORCHFS_RIGHT_WRITE, 1);
	must(!peer_bind(p, &t, &handle), "bind");
	must(!peer_write(p, handle, 0, want, STREAM_LEN, 0), "write");
	while (!stream_stop || !rounds) {
		must(!peer_read(p, handle, 0, STREAM_LEN, a), "read");
		must(a->pdu.data_len == STREAM_LEN &&
		     !memcmp(a->data, want, STREAM_LEN), "content");
		rounds++;
	}
	free(want);
	free(a->data);
	free(a);
	return (void *)(uintptr_t)rounds;
}

struct bad {
	const char *what;
	u32 reason;
	struct orchfs_pdu pdu;
	/* changes of the header: 0 none, else the byte and its new value */
	int byte;
	u8 value;
	bool sum;			/* made right again */
	bool early;			/* instead of HELLO */
	size_t only;			/* so many bytes, and then the end */
};

#define READ_OF(...)	{ .opcode = ORCHFS_OP_READ, .handle = 1, __VA_ARGS__ }
#define WRITE_OF(...)	{ .opcode = ORCHFS_OP_WRITE, .handle = 1, __VA_ARGS__ }

static const struct bad bads[] = {
	{ "magic", ORCHFS_REASON_MAGIC, { .opcode = ORCHFS_OP_PING },
	  .byte = 0, .value = 'X', .sum = true },
	{ "header's sum", ORCHFS_REASON_HEADER_CRC,
	  { .opcode = ORCHFS_OP_PING }, .byte = 60, .value = 1 },
	{ "newer version", ORCHFS_REASON_VERSION,
	  { .opcode = ORCHFS_OP_PING }, .byte = 4, .value = 2, .sum = true },
	{ "reserved byte", ORCHFS_REASON_FIELD, { .opcode = ORCHFS_OP_PING },
	  .byte = 52, .value = 1, .sum = true },
	{ "unknown opcode", ORCHFS_REASON_OPCODE, { .opcode = 77 } },
	{ "unknown flag", ORCHFS_REASON_FLAGS,
	  { .opcode = ORCHFS_OP_PING, .flags = 0x4000 } },
	{ "a reply", ORCHFS_REASON_FLAGS,
	  { .opcode = ORCHFS_OP_PING, .flags = ORCHFS_PDU_REPLY } },
	{ "status", ORCHFS_REASON_FIELD,
	  { .opcode = ORCHFS_OP_PING, .status = 1 } },
	{ "read of 4 GiB", ORCHFS_REASON_LENGTH, READ_OF(.count = -1) },
	{ "read of nothing", ORCHFS_REASON_LENGTH, READ_OF() },
	{ "write of 4 GiB", ORCHFS_REASON_LENGTH, WRITE_OF(.data_len = -1) },
	{ "write beyond 1 MiB", ORCHFS_REASON_LENGTH,
	  WRITE_OF(.data_len = ORCHFS_PDU_DATA_MAX + 1) },
	{ "read near 2^63", ORCHFS_REASON_OFFSET,
	  READ_OF(.count = 2, .offset = S64_MAX - 1) },
	{ "write at -1", ORCHFS_REASON_OFFSET,
	  WRITE_OF(.data_len = 1, .offset = -1) },
	{ "truncate at 2^63", ORCHFS_REASON_OFFSET,
	  { .opcode = ORCHFS_OP_TRUNCATE, .handle = 1,
	    .offset = 1ULL << 63 } },
	{ "second hello", ORCHFS_REASON_ORDER,
	  { .opcode = ORCHFS_OP_HELLO, .data_len = 32 } },
	{ "no hello", ORCHFS_REASON_ORDER, { .opcode = ORCHFS_OP_PING },
	  .early = true },
	{ "long token", ORCHFS_REASON_LENGTH,
	  { .opcode = ORCHFS_OP_BIND, .data_len = 4096 } },
	{ "the end", ORCHFS_REASON_CLOSED, {}, .only = 1 },
};

static void bad_one(const struct bad *b)
{
	u8 head[ORCHFS_PDU_LEN];
	struct answer *a = answer_new();
	struct peer p;
	u32 reason, crc;

	if (b->early)
		peer_open(&p, NODE, NULL);
	else
		peer_start(&p, NODE, NULL);
	if (b->only) {
		peer_close(&p);
	} else {
		orchfs_pdu_encode(&b->pdu, head);
		if (b->byte || b->value)
			head[b->byte] = b->value;
		if (b->sum) {
			crc = htole32(orchfs_pdu_crc(0, head, 60));
			memcpy(head + 60, &crc, 4);
		}
		peer_send_raw(&p, head, sizeof(head));
		must(!peer_recv(&p, a), "%s: was answered", b->what);
	}
	reason = daemon_wait_gone(p.connection);
	must(reason == b->reason, "%s: reason %u, want %u", b->what, reason,
	     b->reason);
	if (!b->only)
		peer_close(&p);
	free(a->data);
	free(a);
}

/* Whole PDUs, cut at each byte of the header and here and there in the data. */
static void bad_truncated(void)
{
	struct orchfs_pdu pdu = WRITE_OF(.data_len = 5000);
	u8 buf[ORCHFS_PDU_LEN + 5000] = {};
	struct peer p;
	u32 reason;
	size_t cut;

	orchfs_pdu_encode(&pdu, buf);
	for (cut = 1; cut < sizeof(buf);
	     cut += cut < ORCHFS_PDU_LEN ? 1 : 1 + below(&ds_rng, 700)) {
		peer_start(&p, NODE, NULL);
		peer_send_raw(&p, buf, cut);
		peer_close(&p);
		reason = daemon_wait_gone(p.connection);
		must(reason == ORCHFS_REASON_SOCKET, "cut at %zu: reason %u",
		     cut, reason);
	}
}

static void bad_random(unsigned int rounds)
{
	struct answer *a = answer_new();
	u8 buf[512];
	struct peer p;
	size_t i, len;

	while (rounds--) {
		peer_start(&p, NODE, NULL);
		len = 1 + below(&ds_rng, sizeof(buf));
		for (i = 0; i < len; i++)
			buf[i] = rnd(&ds_rng);
		peer_send_raw(&p, buf, len);
		shutdown(p.fd, SHUT_WR);
		must(!peer_recv(&p, a), "noise was answered");
		daemon_wait_gone(p.connection);
		peer_close(&p);
	}
	free(a->data);
	free(a);
}

/* Requests that stay in flight, as their replies aren't read. */
static void stall(struct peer *p, u64 handle, unsigned int nr)
{
	struct orchfs_pdu pdu = {
		.opcode = ORCHFS_OP_READ, .handle = handle,
		.count = ORCHFS_PDU_DATA_MAX,
	};

	while (nr--)
		peer_send(p, &pdu, NULL);
}

static u64 big_file(struct peer *p)
{
	const u64 ino = 0x502;
	struct orchfs_token t;
	int fd = backing_make(ino);
	u64 handle = 0;

	must(!ftruncate(fd, ORCHFS_PDU_DATA_MAX), "truncate: %m");
	close(fd);
	token_make(&t, ino, ORCHFS_RIGHT_READ, 1);
	must(!peer_bind(p, &t, &handle), "bind");
	return handle;
}

static void bad_tag(void)
{
	static const struct limits limits = { .max_bytes = 200 << 20 };
	struct orchfs_pdu ping = { .opcode = ORCHFS_OP_PING };
	struct peer p;
	u32 reason;

	peer_start(&p, NODE, &limits);
	stall(&p, big_file(&p), 24);
	p.tag--;
	peer_send(&p, &ping, NULL);
	reason = daemon_wait_gone(p.connection);
	must(reason == ORCHFS_REASON_TAG, "tag in flight: reason %u", reason);
	peer_close(&p);
}

static void bad_too_many(void)
{
	static const struct limits limits = {
		.max_requests = 4, .max_bytes = 200 << 20,
	};
	struct peer p;
	u32 reason;

	peer_start(&p, NODE, &limits);
	stall(&p, big_file(&p), 24);
	reason = daemon_wait_gone(p.connection);
	must(reason == ORCHFS_REASON_TOO_MANY, "too many: reason %u", reason);
	peer_close(&p);
}

/* One at a time, whatever else is in flight. */
static void bad_pings(void)
{
	static const struct limits limits = { .max_bytes = 200 << 20 };
	struct orchfs_pdu ping = { .opcode = ORCHFS_OP_PING };
	struct conn_stats stats;
	struct peer p;
	u32 reason;

	peer_start(&p, NODE, &limits);
	stall(&p, big_file(&p), 24);
	/* more than the socket takes is before its answer */
	do {
		must(daemon_stats(p.connection, &stats), "statistics");
	} while (stats.bytes_read < 24 * (u64)ORCHFS_PDU_DATA_MAX);
	peer_send(&p, &ping, NULL);
	peer_send(&p, &ping, NULL);
	reason = daemon_wait_gone(p.connection);
	must(reason == ORCHFS_REASON_TOO_MANY, "pings: reason %u", reason);
	peer_close(&p);
}

static u32 end_of(struct peer *p, u32 id)
{
	struct orchfs_pdu end = { .opcode = ORCHFS_OP_END, .handle = id };
	struct answer *a = answer_new();
	u32 status = peer_call(p, &end, NULL, a);

	free(a->data);
	free(a);
	return status;
}

/* A peer gives one of its connections up; none of another node's. */
static void test_end(void)
{
	struct orchfs_pdu ping = { .opcode = ORCHFS_OP_PING };
	struct answer *a = answer_new();
	struct peer old, p, other;
	u32 reason;

	peer_start(&old, NODE, NULL);
	peer_start(&p, NODE, NULL);
	peer_start(&other, NODE + 1, NULL);
	must(!end_of(&other, old.hello_id), "of another node");
	must(!end_of(&p, p.hello_id) && !end_of(&p, -1), "of itself");
	must(!peer_call(&old, &ping, NULL, a), "it has ended");
	stall(&old, big_file(&old), 24);
	must(!end_of(&p, old.hello_id), "END");
	reason = daemon_wait_gone(old.connection);
	must(reason == ORCHFS_REASON_REPLACED, "END: reason %u", reason);
	must(!end_of(&p, old.hello_id), "END again");
	peer_close(&old);
	peer_close(&p);
	peer_close(&other);
	/* which only a later version knows */
	ds_version = ORCHFS_HELLO_VERSION_END - 1;
	peer_start(&p, NODE, NULL);
	ds_version = 7;
	ping.opcode = ORCHFS_OP_END;
	peer_send(&p, &ping, NULL);
	reason = daemon_wait_gone(p.connection);
	must(reason == ORCHFS_REASON_OPCODE, "version: reason %u", reason);
	peer_close(&p);
	free(a->data);
	free(a);
}

static void bad_versions(void)
{
	struct orchfs_hello hello = {
		.version_min = ORCHFS_HELLO_VERSION + 1,
		.version_max = ORCHFS_HELLO_VERSION + 7,
	};
	struct orchfs_pdu pdu = { .opcode = ORCHFS_OP_HELLO, .data_len = 32 };
	struct answer *a = answer_new();
	struct peer p;
	u8 buf[32];
	u32 reason;

	peer_open(&p, NODE, NULL);
	orchfs_hello_encode(&hello, buf);
	must(peer_call(&p, &pdu, buf, a) == ORCHFS_STATUS_VERSION,
	     "no common version");
	must(!peer_recv(&p, a), "it goes on");
	reason = daemon_wait_gone(p.connection);
	must(reason == ORCHFS_REASON_VERSION, "reason %u", reason);
	peer_close(&p);
	free(a->data);
	free(a);
}

void test_bad_input(void)
{
	struct peer good;
	pthread_t thread;
	void *rounds;
	unsigned int i;

	close(backing_make(STREAM_INO));
	peer_start(&good, NODE, NULL);
	stream_stop = false;
	pthread_create(&thread, NULL, stream, &good);
	for (i = 0; i < ARRAY_SIZE(bads); i++)
		bad_one(&bads[i]);
	bad_truncated();
	bad_random(100);
	bad_tag();
	bad_too_many();
	bad_pings();
	test_end();
	bad_versions();
	stream_stop = true;
	pthread_join(thread, &rounds);
	must(rounds, "the other connection did nothing");
	peer_close(&good);
	must(daemon_wait_gone(good.connection) == ORCHFS_REASON_CLOSED,
	     "the good one");
}

static void refuse_token(struct peer *p, const struct orchfs_token *t,
			 u32 want, const char *what)
{
	u64 handle = 0;
	u32 status = peer_bind(p, t, &handle);

	must(status == want, "%s: status %u, want %u", what, status, want);
}

static void refuse_tokens(struct peer *p)
{
	struct orchfs_pdu pdu = {
		.opcode = ORCHFS_OP_BIND, .data_len = ORCHFS_TOKEN_LEN,
	};
	struct orchfs_token good, t;
	struct answer a = {};
	u8 buf[ORCHFS_TOKEN_LEN];
	int i;

	token_make(&good, 0x601, ORCHFS_RIGHT_READ, 1);
	refuse_token(p, &good, ORCHFS_STATUS_OK, "good token");
	for (i = 0; i < ORCHFS_TOKEN_LEN; i++) {
		/* another volume's number is another answer */
		if (i >= 24 && i < 28)
			continue;
		token_sign(&good, buf);
		buf[i] ^= 1 << below(&ds_rng, 8);
		must(peer_call(p, &pdu, buf, &a) == ORCHFS_STATUS_TOKEN,
		     "forged byte %d: status %u", i, a.pdu.status);
	}
	t = good;
	t.node++;
	refuse_token(p, &t, ORCHFS_STATUS_TOKEN, "another node's");
	t = good;
	t.key_id++;
	refuse_token(p, &t, ORCHFS_STATUS_TOKEN, "of another key");
	t = good;
	t.ns_uuid[3]++;
	refuse_token(p, &t, ORCHFS_STATUS_TOKEN, "another namespace's");
	t = good;
	t.volume++;
	refuse_token(p, &t, ORCHFS_STATUS_VOLUME, "another volume's");
	t = good;
	t.expiry_ms = 1;
	refuse_token(p, &t, ORCHFS_STATUS_EXPIRED, "expired");
	t = good;
	t.ino++;
	refuse_token(p, &t, ORCHFS_STATUS_NOENT, "of no file");
}

static void refuse_files(struct peer *p)
{
	struct orchfs_token t;

	token_make(&t, 0x602, ORCHFS_RIGHT_READ, 1);
	symlinkat("601.1.601", ds_root, "data/06/602.1.602");
	refuse_token(p, &t, ORCHFS_STATUS_INVAL, "of a symbolic link");
	token_make(&t, 0x603, ORCHFS_RIGHT_READ, 1);
	mkdirat(ds_root, "data/06/603.1.603", 0700);
	refuse_token(p, &t, ORCHFS_STATUS_INVAL, "of a directory");
	token_make(&t, 0x604, ORCHFS_RIGHT_READ, 1);
	mknodat(ds_root, "data/06/604.1.604", S_IFIFO | 0600, 0);
	refuse_token(p, &t, ORCHFS_STATUS_INVAL, "of a FIFO");
	symlinkat("06", ds_root, "data/07");
	token_make(&t, 0x701, ORCHFS_RIGHT_READ, 1);
	refuse_token(p, &t, ORCHFS_STATUS_INVAL, "below a symbolic link");
}

static void refuse_handles(struct peer *p)
{
	struct orchfs_pdu commit = { .opcode = ORCHFS_OP_COMMIT };
	struct orchfs_pdu trunc = { .opcode = ORCHFS_OP_TRUNCATE };
	struct orchfs_pdu unbind = { .opcode = ORCHFS_OP_UNBIND };
	struct answer *a = answer_new();
	struct orchfs_token t;
	u64 read = 0, other = 0, again;
	struct peer q;
	u8 byte = 1;

	token_make(&t, 0x601, ORCHFS_RIGHT_READ, 1);
	must(!peer_bind(p, &t, &read), "bind");
	must(peer_write(p, read, 0, &byte, 1, 0) == ORCHFS_STATUS_RIGHTS,
	     "write without the right");
	commit.handle = trunc.handle = unbind.handle = read;
	must(peer_call(p, &commit, NULL, a) == ORCHFS_STATUS_RIGHTS &&
	     peer_call(p, &trunc, NULL, a) == ORCHFS_STATUS_RIGHTS,
	     "commit and truncate without the right");
	peer_start(&q, NODE, NULL);
	must(peer_read(&q, read, 0, 1, a) == ORCHFS_STATUS_HANDLE,
	     "handle of another connection");
	must(!peer_bind(&q, &t, &other) && other != read, "bind");
	must(peer_read(p, other, 0, 1, a) == ORCHFS_STATUS_HANDLE,
	     "handle of another connection");
	must(peer_read(p, read ^ 1ULL << 40, 0, 1, a) == ORCHFS_STATUS_HANDLE,
	     "handle with other bits");
	peer_close(&q);
	/* a renewal gives no more than there was, and for nothing else */
	again = read;
	t.rights |= ORCHFS_RIGHT_WRITE;
	must(peer_bind(p, &t, &again) == ORCHFS_STATUS_INVAL, "more rights");
	token_make(&t, 0x605, ORCHFS_RIGHT_READ, 1);
	must(peer_bind(p, &t, &again) == ORCHFS_STATUS_INVAL, "another file");
	must(!peer_call(p, &unbind, NULL, a), "unbind");
	must(peer_call(p, &unbind, NULL, a) == ORCHFS_STATUS_HANDLE,
	     "unbind, again");
	must(peer_read(p, read, 0, 1, a) == ORCHFS_STATUS_HANDLE,
	     "handle that was given back");
	free(a->data);
	free(a);
}

static void refuse_data_sum(struct peer *p)
{
	struct orchfs_pdu pdu = {
		.opcode = ORCHFS_OP_WRITE, .data_len = 4,
		.flags = ORCHFS_PDU_DATA_CRC, .data_crc = 0xdead,
	};
	struct orchfs_token t;
	struct answer a = {};
	struct stat st;
	int fd = backing_make(0x606);

	token_make(&t, 0x606, ORCHFS_RIGHT_WRITE, 1);
	must(!peer_bind(p, &t, &pdu.handle), "bind");
	must(peer_call(p, &pdu, "data", &a) == ORCHFS_STATUS_CHECKSUM,
	     "wrong sum of data");
	must(!fstat(fd, &st) && !st.st_size, "it was written nonetheless");
	must(!peer_write(p, pdu.handle, 0, "data", 4, ORCHFS_PDU_DATA_CRC),
	     "right sum");
	must(!fstat(fd, &st) && st.st_size == 4, "it was not written");
	close(fd);
}

static void refuse_too_many_handles(void)
{
	static const struct limits limits = { .max_handles = 3 };
	struct orchfs_pdu unbind = { .opcode = ORCHFS_OP_UNBIND };
	struct orchfs_token t;
	struct answer a = {};
	struct peer p;
	u64 handle;
	int i;

	token_make(&t, 0x601, ORCHFS_RIGHT_READ, 1);
	peer_start(&p, NODE, &limits);
	for (i = 0; i < 3; i++) {
		handle = 0;
		must(!peer_bind(&p, &t, &handle), "bind");
	}
	refuse_token(&p, &t, ORCHFS_STATUS_HANDLES, "a fourth handle");
	unbind.handle = handle;
	must(!peer_call(&p, &unbind, NULL, &a), "unbind");
	refuse_token(&p, &t, ORCHFS_STATUS_OK, "one for the last");
	peer_close(&p);
}

void test_refusals(void)
{
	struct conn_stats stats;
	struct peer p;

	close(backing_make(0x601));
	close(backing_make(0x605));
	peer_start(&p, NODE, NULL);
	refuse_tokens(&p);
	refuse_files(&p);
	refuse_handles(&p);
	refuse_data_sum(&p);
	refuse_too_many_handles();
	must(daemon_stats(p.connection, &stats) && stats.refused > 120,
	     "%llu refusals are counted", (unsigned long long)stats.refused);
	peer_close(&p);
}
