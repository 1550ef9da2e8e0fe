// SPDX-License-Identifier: Apache-2.0
#include "pdu_util.h"

#include <fcntl.h>
#include <signal.h>

#include "pdu.h"

struct pdu_server s;

char byte_at(uint64_t at)
{
	return at / 4096 % 5 == 3 ? 0 : (char)(at / 4096 * 31 + at % 251 + 1);
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

static void do_bind(int fd, struct orchfs_pdu *p, const char *token)
{
	struct orchfs_pdu r = {
		.opcode = p->opcode, .tag = p->tag, .handle = 77,
		.verifier = 5,
	};

	assert_int_equal(p->handle, s.bound ? 77 : 0);
	memcpy(s.token, token, sizeof(s.token));
	if (s.fault == F_TOKEN || s.fault == F_KEY) {
		r.status = s.fault == F_KEY ? ORCHFS_STATUS_TOKEN :
					      ORCHFS_STATUS_EXPIRED;
		r.handle = r.verifier = 0;
		atomic_fetch_add(&s.refused, 1);
	}
	s.bound = !r.status;
	put_reply(fd, &r, NULL);
}

static void do_getattr(int fd, struct orchfs_pdu *p)
{
	struct orchfs_remote_attr a = {
		.size = LENGTH, .blocks = 40, .change = 9, .mtime_sec = -3,
		.mtime_nsec = 7, .atime_sec = 11,
	};
	struct orchfs_pdu r = {
		.opcode = p->opcode, .tag = p->tag,
		.data_len = sizeof(struct orchfs_wire_attr),
	};
	char buf[sizeof(struct orchfs_wire_attr)];

	if (s.fault == F_WRITTEN && atomic_fetch_add(&s.asked, 1))
		a.mtime_sec++;
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
	r.data_len = p->offset >= LENGTH ? 0 : LENGTH - p->offset < p->count ?
		     (uint32_t)(LENGTH - p->offset) : p->count;
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
	if (f == F_EIO || f == F_HANDLE)
		r = (struct orchfs_pdu){ .opcode = p->opcode, .tag = p->tag,
					 .status = f == F_EIO ?
						   ORCHFS_STATUS_IO :
						   ORCHFS_STATUS_HANDLE };
	if (f != F_NONE && s.once)
		s.fault = F_NONE;
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
			do_bind(fd, &p, data);
		else if (p.opcode == ORCHFS_OP_GETATTR)
			do_getattr(fd, &p);
		else if (p.opcode == ORCHFS_OP_READ)
			go_on = do_reads(fd, &p);
		else if (p.opcode == ORCHFS_OP_UNBIND)
			s.bound = false;
		if (p.opcode == ORCHFS_OP_UNBIND)
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
		atomic_fetch_add(&s.given, 1);
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

int server_setup(void **state)
{
	(void)state;
	log_init(LOG_CRIT);
	signal(SIGPIPE, SIG_IGN);
	memset(&s, 0, sizeof(s));
	ends_setup(&ops);
	assert_int_equal(pthread_create(&s.thread, NULL, server_main, NULL),
			 0);
	return 0;
}

int server_teardown(void **state)
{
	(void)state;
	atomic_store(&s.end, true);
	pthread_join(s.thread, NULL);
	ends_teardown();
	return 0;
}
