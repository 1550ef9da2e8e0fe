// SPDX-License-Identifier: Apache-2.0
/*
 * The client of data servers in user space, against a server in a thread of
 * its own, which does as told: answers in another order, damages, falls silent,
 * breaks.
 */
#include "peer_util.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include "pdu.h"
#include "pdu_client.h"

#define CHUNK	ORCHFS_PDU_DATA_MAX
#define SIZE	(20 * CHUNK + 12345)

enum fault {
	F_NONE,
	F_DAMAGE,		/* a byte of what it reads */
	F_NO_SUM,
	F_TAG,			/* answers what was not asked */
	F_LONG,			/* more than was asked */
	F_SHORT,		/* the file was cut */
	F_BREAK,		/* in the middle of the data */
	F_SILENT,
	F_TOKEN,		/* refuses the token */
	F_EIO,
	F_HELLO,		/* another version */
};

static struct {
	pthread_t thread;
	atomic_bool end;
	enum fault fault;
	unsigned int after;	/* so many READs are answered well */
	atomic_uint most;	/* READs that were asked before one's answer */
	bool bound;
} s;

static char byte_at(uint64_t at)
{
	return (char)(at / 4096 * 31 + at % 251);
}

/* --- the server --- */

static bool get(int fd, void *buf, size_t len)
{
	return recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len;
}

static void put(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

static void put_reply(int fd, struct orchfs_pdu *p, const void *data)
{
	char head[ORCHFS_PDU_LEN];

	p->flags |= ORCHFS_PDU_REPLY;
	orchfs_pdu_encode(p, head);
	put(fd, head, sizeof(head));
	put(fd, data, p->data_len);
}

static void do_hello(int fd, struct orchfs_pdu *p)
{
	struct orchfs_hello h = {
		.version_min = s.fault == F_HELLO ? 2 : 1, .version_max = 1,
		.max_data = CHUNK, .max_requests = 32, .max_handles = 4,
	};
	char buf[sizeof(struct orchfs_wire_hello)];

	h.version_max = h.version_min;
	orchfs_hello_encode(&h, buf);
	put_reply(fd, p, buf);
}

static void do_bind(int fd, struct orchfs_pdu *p)
{
	struct orchfs_pdu r = {
		.opcode = p->opcode, .tag = p->tag, .handle = 77,
		.verifier = 5,
	};

	assert_int_equal(p->handle, s.bound ? 77 : 0);
	if (s.fault == F_TOKEN) {
		r.status = ORCHFS_STATUS_EXPIRED;
		r.handle = r.verifier = 0;
	}
	s.bound = !r.status;
	put_reply(fd, &r, NULL);
}

static void do_getattr(int fd, struct orchfs_pdu *p)
{
	const struct orchfs_remote_attr a = {
		.size = SIZE, .blocks = 40, .change = 9, .mtime_sec = -3,
		.mtime_nsec = 7, .atime_sec = 11,
	};
	struct orchfs_pdu r = {
		.opcode = p->opcode, .tag = p->tag,
		.data_len = sizeof(struct orchfs_wire_attr),
	};
	char buf[sizeof(struct orchfs_wire_attr)];

	orchfs_remote_attr_encode(&a, buf);
	put_reply(fd, &r, buf);
}

/* Return: false: the connection ends. */
static bool do_read(int fd, const struct orchfs_pdu *p)
{
	struct orchfs_pdu r = {
		.opcode = p->opcode, .tag = p->tag,
		.flags = ORCHFS_PDU_DATA_CRC,
	};
	const enum fault f = s.after ? F_NONE : s.fault;
	char *buf = malloc(CHUNK);
	bool go_on = true;

	assert_int_equal(p->handle, 77);
	assert_true(p->flags & ORCHFS_PDU_DATA_CRC);
	r.data_len = p->offset >= SIZE ? 0 : SIZE - p->offset < p->count ?
		     (uint32_t)(SIZE - p->offset) : p->count;
	for (size_t i = 0; i < r.data_len; i++)
		buf[i] = byte_at(p->offset + i);
	if (f == F_SHORT)
		r.data_len /= 2;
	r.data_crc = orchfs_pdu_crc(0, buf, r.data_len);
	if (f == F_DAMAGE)
		buf[r.data_len / 2] ^= 4;
	if (f == F_TAG)
		r.tag += 1000;
	if (f == F_LONG)
		r.data_len++;
	if (f == F_NO_SUM)
		r.flags = r.data_crc = 0;
	if (f == F_EIO)
		r = (struct orchfs_pdu){ .opcode = p->opcode, .tag = p->tag,
					 .status = ORCHFS_STATUS_IO };
	if (f == F_BREAK) {
		char head[ORCHFS_PDU_LEN];

		r.flags |= ORCHFS_PDU_REPLY;
		orchfs_pdu_encode(&r, head);
		put(fd, head, sizeof(head));
		put(fd, buf, 1000);
		go_on = false;
	} else if (f != F_SILENT) {
		put_reply(fd, &r, buf);
	}
	s.after -= s.after > 0;
	free(buf);
	return go_on;
}

/* As many as come without waiting for an answer, then the last one first. */
static bool do_reads(int fd, const struct orchfs_pdu *first)
{
	struct orchfs_pdu p[PDU_WINDOW] = { *first };
	char head[ORCHFS_PDU_LEN];
	unsigned int n = 1;

	while (n < PDU_WINDOW) {
		const struct timeval t = { .tv_usec = 30000 };
		ssize_t got;

		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
		got = recv(fd, head, sizeof(head), MSG_WAITALL);
		if (got != sizeof(head))
			break;
		assert_int_equal(orchfs_pdu_decode_request(head, sizeof(head),
							   &p[n]), 0);
		assert_int_equal(p[n].opcode, ORCHFS_OP_READ);
		n++;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ 0 },
		   sizeof(struct timeval));
	if (n > atomic_load(&s.most))
		atomic_store(&s.most, n);
	while (n--)
		if (!do_read(fd, &p[n]))
			return false;
	return true;
}

static void serve(int fd)
{
	char head[ORCHFS_PDU_LEN], data[4096];
	struct orchfs_pdu p;
	bool go_on = true;

	s.bound = false;
	while (go_on && get(fd, head, sizeof(head))) {
		assert_int_equal(orchfs_pdu_decode_request(head, sizeof(head),
							   &p), 0);
		assert_true(p.data_len <= sizeof(data));
		if (p.data_len && !get(fd, data, p.data_len))
			break;
		if (p.opcode == ORCHFS_OP_HELLO)
			do_hello(fd, &p);
		else if (p.opcode == ORCHFS_OP_BIND)
			do_bind(fd, &p);
		else if (p.opcode == ORCHFS_OP_GETATTR)
			do_getattr(fd, &p);
		else if (p.opcode == ORCHFS_OP_READ)
			go_on = do_reads(fd, &p);
		else
			put_reply(fd, &(struct orchfs_pdu){
				  .opcode = p.opcode, .tag = p.tag }, NULL);
	}
	close(fd);
}

static void end_data(struct peer_set *set, struct peer_conn *c, int fd)
{
	struct end *e = set->ctx;

	e->node = c->node;
	e->given++;
	e->fd = fd;
}

static void *server_main(void *arg)
{
	(void)arg;
	while (!atomic_load(&s.end)) {
		assert_true(loop_turn(&w.loop, 20) >= 0);
		if (w.server.fd < 0)
			continue;
		assert_int_equal(w.server.node, 2);
		/* the client's end doesn't block, this one does */
		fcntl(w.server.fd, F_SETFL, 0);
		serve(w.server.fd);
		w.server.fd = -1;
	}
	return NULL;
}

static const struct peer_ops ops = {
	.admit = end_admit, .data = end_data, .closed = end_closed,
};

static int setup(void **state)
{
	(void)state;
	log_init(LOG_CRIT);
	memset(&s, 0, sizeof(s));
	ends_setup(&ops);
	assert_int_equal(pthread_create(&s.thread, NULL, server_main, NULL),
			 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	atomic_store(&s.end, true);
	pthread_join(s.thread, NULL);
	ends_teardown();
	return 0;
}

/* --- the client --- */

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
	assert_int_equal(a.size, SIZE);
	assert_int_equal(a.mtime.tv_sec, -3);
	assert_int_equal(a.mtime.tv_nsec, 7);
	assert_int_equal(pdu_read(c, 0, SIZE, CHUNK, PDU_WINDOW, take, &x), 0);
	assert_int_equal(x.next, SIZE);
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
	assert_int_equal(pdu_read(c, 0, SIZE, CHUNK, 4, take, &x), want);
	assert_true(x.next < SIZE);
	assert_int_equal(pdu_client_broken(c), broken);
	/* one that is whole is used again */
	s.fault = F_NONE;
	x.next = 0;
	if (!broken)
		assert_int_equal(pdu_read(c, 0, SIZE, CHUNK, 8, take, &x), 0);
	else
		assert_true(pdu_read(c, 0, SIZE, CHUNK, 8, take, &x) < 0);
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
	assert_int_equal(pdu_read(c, 0, SIZE, CHUNK, 8, take, &x), -ENOSPC);
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
	assert_int_equal(pdu_read(c, 0, SIZE, CHUNK, 8, take, &x), -ECANCELED);
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
	assert_int_equal(pdu_read(c, 0, SIZE, CHUNK, 8, take, &x), -ETIMEDOUT);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
