// SPDX-License-Identifier: GPL-2.0-only
/*
 * dataserver: the module's data server, with this program as its daemon and as
 * its peers, in a network namespace of its own.
 *
 * --root DIR is the volume (default: a tmpfs of our own); --seed repeats a run;
 * --rounds N is how many random operations to do. With --tls the
 * connections have kernel TLS on them. --measure: the memory of idle ones. With --hold it streams until the
 * connection ends.
 */
#include <fcntl.h>
#include <getopt.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "ds.h"

#define MODEL_LEN	(3U << 20)
#define RW		(ORCHFS_RIGHT_READ | ORCHFS_RIGHT_WRITE)

struct rng ds_rng;
int ds_root;
static unsigned int rounds = 400;
static u64 next_request = 100;
static bool measure;

static void fill(u8 *buf, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = rnd(&ds_rng);
}

static void free_answer(struct answer *a)
{
	free(a->data);
	free(a);
}

/* --- contents --- */

struct model {
	u8 *data;
	u32 size;
	int fd;
	struct peer p;
	u64 handle;
	struct answer *a;
};

static void model_read(struct model *m)
{
	u32 offset = below(&ds_rng, MODEL_LEN + 5000);
	u32 count = 1 + below(&ds_rng, one_in(&ds_rng, 3) ?
			      ORCHFS_PDU_DATA_MAX : 9000);
	u32 want = offset >= m->size ? 0 : m->size - offset;

	if (want > count)
		want = count;
	must(!peer_read(&m->p, m->handle, offset, count, m->a), "read");
	must(m->a->pdu.data_len == want, "%u at %u of %u: %u came", count,
	     offset, m->size, m->a->pdu.data_len);
	must(!memcmp(m->a->data, m->data + offset, want), "content at %u",
	     offset);
}

static void model_write(struct model *m)
{
	static u8 buf[ORCHFS_PDU_DATA_MAX];
	u32 offset = below(&ds_rng, MODEL_LEN - 1);
	u32 len = 1 + below(&ds_rng, one_in(&ds_rng, 3) ?
			    ORCHFS_PDU_DATA_MAX : 9000);
	u16 flags = (one_in(&ds_rng, 2) ? ORCHFS_PDU_DATA_CRC : 0) |
		(one_in(&ds_rng, 10) ? ORCHFS_PDU_FUA : 0);

	if (len > MODEL_LEN - offset)
		len = MODEL_LEN - offset;
	fill(buf, len);
	must(!peer_write(&m->p, m->handle, offset, buf, len, flags), "write");
	memcpy(m->data + offset, buf, len);
	if (offset + len > m->size)
		m->size = offset + len;
}

static void model_append(struct model *m)
{
	static u8 buf[9000];
	struct orchfs_pdu pdu = {
		.opcode = ORCHFS_OP_WRITE, .handle = m->handle,
		.flags = ORCHFS_PDU_APPEND,
		.data_len = 1 + below(&ds_rng, sizeof(buf)),
	};

	if (pdu.data_len > MODEL_LEN - m->size)
		return;
	fill(buf, pdu.data_len);
	must(!peer_call(&m->p, &pdu, buf, m->a), "append");
	must(m->a->pdu.count == pdu.data_len && m->a->pdu.offset == m->size,
	     "%u bytes were appended at %llu, should be %u at %u",
	     m->a->pdu.count, (unsigned long long)m->a->pdu.offset,
	     pdu.data_len, m->size);
	memcpy(m->data + m->size, buf, pdu.data_len);
	m->size += pdu.data_len;
}

static void model_truncate(struct model *m)
{
	struct orchfs_pdu pdu = {
		.opcode = ORCHFS_OP_TRUNCATE, .handle = m->handle,
		.offset = below(&ds_rng, MODEL_LEN),
	};

	must(!peer_call(&m->p, &pdu, NULL, m->a), "truncate");
	if (pdu.offset < m->size)
		memset(m->data + pdu.offset, 0, m->size - pdu.offset);
	m->size = pdu.offset;
}

static void model_getattr(struct model *m)
{
	struct orchfs_pdu pdu = {
		.opcode = ORCHFS_OP_GETATTR, .handle = m->handle,
	};
	struct orchfs_remote_attr attr;
	struct stat st;

	must(!peer_call(&m->p, &pdu, NULL, m->a), "getattr");
	must(!orchfs_remote_attr_decode(m->a->data, m->a->pdu.data_len, &attr),
	     "attributes");
	must(!fstat(m->fd, &st), "fstat: %m");
	must(attr.size == m->size && attr.size == (u64)st.st_size &&
	     attr.mtime_sec == st.st_mtim.tv_sec &&
	     attr.mtime_nsec == (u32)st.st_mtim.tv_nsec &&
	     attr.ctime_sec == st.st_ctim.tv_sec,
	     "size %llu, should be %u", (unsigned long long)attr.size,
	     m->size);
}

static void model_commit(struct model *m)
{
	struct orchfs_pdu pdu = {
		.opcode = ORCHFS_OP_COMMIT, .handle = m->handle,
	};

	must(!peer_call(&m->p, &pdu, NULL, m->a), "commit");
	must(m->a->pdu.verifier && m->a->pdu.verifier == m->p.verifier,
	     "the verifier has changed");
}

/* Also what somebody else does to the file, and what is in it at the end. */
static void test_contents(void)
{
	static void (*const ops[])(struct model *m) = {
		model_read, model_read, model_write, model_write, model_commit,
		model_append, model_truncate, model_getattr,
	};
	struct model m = { .data = xalloc(MODEL_LEN + ORCHFS_PDU_DATA_MAX) };
	u8 *buf = xalloc(MODEL_LEN);
	struct orchfs_token t;
	unsigned int i;

	m.a = answer_new();
	m.fd = backing_make(0x1201);
	token_make(&t, 0x1201, ORCHFS_RIGHTS_ALL, 1);
	peer_start(&m.p, NODE, NULL);
	must(!peer_bind(&m.p, &t, &m.handle), "bind");
	for (i = 0; i < rounds; i++)
		ops[below(&ds_rng, ARRAY_SIZE(ops))](&m);
	must(pread(m.fd, buf, MODEL_LEN, 0) == m.size &&
	     !memcmp(buf, m.data, m.size), "the backing file differs");
	/* a hole, and what is written beside the server */
	must(!ftruncate(m.fd, 0) && !ftruncate(m.fd, MODEL_LEN) &&
	     pwrite(m.fd, "here", 4, 1 << 20) == 4, "backing file: %m");
	memset(m.data, 0, MODEL_LEN);
	memcpy(m.data + (1 << 20), "here", 4);
	m.size = MODEL_LEN;
	for (i = 0; i < 50; i++)
		model_read(&m);
	peer_close(&m.p);
	must(daemon_wait_gone(m.p.connection) == ORCHFS_REASON_CLOSED,
	     "its own end");
	close(m.fd);
	free_answer(m.a);
	free(m.data);
	free(buf);
}

#define PIPELINE	200

/* Many in flight: each reply has its tag, and its own data. */
static void test_pipeline(void)
{
	const u32 block = 8192;
	struct orchfs_pdu pdu = { .count = block };
	struct answer *a = answer_new();
	bool seen[PIPELINE] = {};
	struct orchfs_token t;
	struct peer p;
	u32 i, first, n;
	u8 *buf = xalloc(block);

	close(backing_make(0x1301));
	token_make(&t, 0x1301, RW, 1);
	peer_start(&p, NODE, NULL);
	must(!peer_bind(&p, &t, &pdu.handle), "bind");
	pdu.opcode = ORCHFS_OP_WRITE;
	pdu.count = 0;
	pdu.data_len = block;
	for (i = 0; i < PIPELINE; i++) {
		memset(buf, i, block);
		pdu.offset = (u64)i * block;
		peer_send(&p, &pdu, buf);
	}
	for (i = 0; i < PIPELINE; i++)
		must(peer_recv(&p, a) && !a->pdu.status, "write");
	pdu.opcode = ORCHFS_OP_READ;
	pdu.count = block;
	pdu.data_len = 0;
	first = p.tag;
	for (i = 0; i < PIPELINE; i++) {
		pdu.offset = (u64)i * block;
		peer_send(&p, &pdu, NULL);
	}
	for (i = 0; i < PIPELINE; i++) {
		must(peer_recv(&p, a) && !a->pdu.status, "read");
		n = a->pdu.tag - first;
		must(n < PIPELINE && !seen[n], "tag %u", a->pdu.tag);
		seen[n] = true;
		memset(buf, n, block);
		must(a->pdu.data_len == block && !memcmp(a->data, buf, block),
		     "block %u", n);
	}
	peer_close(&p);
	free_answer(a);
	free(buf);
}

/* --- who is slow --- */

static void check_ones(struct peer *p, struct answer *a, unsigned int nr,
		       u32 len)
{
	unsigned int i;
	u32 j;

	for (i = 0; i < nr; i++) {
		must(peer_recv(p, a) && !a->pdu.status &&
		     a->pdu.data_len == len, "read %u", i);
		for (j = 0; j < len; j++)
			must(a->data[j] == 1, "byte %u of read %u", j, i);
	}
}

/*
 * One doesn't read its replies: it stops itself, not the other; it holds what
 * it may, and gets all of it in the end.
 */
static void slow_peer(const struct limits *limits, unsigned int nr, u32 len)
{
	struct answer *a = answer_new();
	struct orchfs_pdu pdu = {
		.opcode = ORCHFS_OP_READ, .count = len,
	};
	u8 *ones = xalloc(ORCHFS_PDU_DATA_MAX);
	struct peer slow, quick;
	struct conn_stats stats;
	struct orchfs_token t;
	u64 handle = 0;
	unsigned int i;

	close(backing_make(0x1401));
	memset(ones, 1, ORCHFS_PDU_DATA_MAX);
	token_make(&t, 0x1401, RW, 1);
	peer_start(&slow, NODE, limits);
	peer_start(&quick, NODE, NULL);
	must(!peer_bind(&slow, &t, &pdu.handle) &&
	     !peer_bind(&quick, &t, &handle), "bind");
	must(!peer_write(&quick, handle, 0, ones, ORCHFS_PDU_DATA_MAX, 0),
	     "write");
	for (i = 0; i < nr; i++)
		peer_send(&slow, &pdu, NULL);
	/* until it waits */
	do {
		must(!peer_read(&quick, handle, 0, 65536, a) &&
		     a->pdu.data_len == 65536, "the quick one");
		must(daemon_stats(slow.connection, &stats), "statistics");
	} while (!stats.waits);
	for (i = 0; i < 50; i++)
		must(!peer_read(&quick, handle, 0, 65536, a) &&
		     a->pdu.data_len == 65536, "the quick one");
	check_ones(&slow, a, nr, len);
	must(daemon_stats(slow.connection, &stats), "statistics");
	must(stats.held_most <= limits->max_bytes && stats.held_most >= len,
	     "held %u of %u", stats.held_most, limits->max_bytes);
	must(stats.bytes_read == (u64)nr * len, "%llu bytes were read",
	     (unsigned long long)stats.bytes_read);
	peer_close(&slow);
	peer_close(&quick);
	free_answer(a);
	free(ones);
}

static void test_slow_peers(void)
{
	static const struct limits normal = { .max_bytes = 8 << 20 };
	static const struct limits tiny = { .max_bytes = 65536 };

	slow_peer(&normal, 60, ORCHFS_PDU_DATA_MAX);
	slow_peer(&tiny, 250, 65536);
}

#define MANY	100

static void test_many(void)
{
	struct peer *p = xalloc(MANY * sizeof(*p));
	struct answer *a = answer_new();
	u64 handle[MANY] = {};
	struct orchfs_token t;
	u32 i, n;

	for (i = 0; i < MANY; i++) {
		close(backing_make(0x2000 + i));
		token_make(&t, 0x2000 + i, RW, 1);
		peer_start(&p[i], NODE, NULL);
		must(!peer_bind(&p[i], &t, &handle[i]), "bind");
		must(!peer_write(&p[i], handle[i], 0, &i, sizeof(i), 0),
		     "write");
	}
	must(daemon_connections() >= MANY, "%u connections are listed",
	     daemon_connections());
	for (i = 0; i < MANY; i++) {
		must(!peer_read(&p[i], handle[i], 0, 100, a) &&
		     a->pdu.data_len == sizeof(n), "read");
		memcpy(&n, a->data, sizeof(n));
		must(n == i, "connection %u reads what %u wrote", i, n);
	}
	/* another node's is not there to be dropped */
	must(daemon_drop(NODE + 1, 0) == -ENOENT, "drop of nobody");
	must(!daemon_drop(NODE, p[0].connection), "drop of one");
	must(daemon_wait_gone(p[0].connection) == ORCHFS_REASON_DROPPED &&
	     !peer_recv(&p[0], a), "the one that is dropped");
	must(!peer_read(&p[1], handle[1], 0, 100, a), "another");
	must(!daemon_drop(NODE, 0), "drop of all");
	for (i = 1; i < MANY; i++)
		must(daemon_wait_gone(p[i].connection) ==
		     ORCHFS_REASON_DROPPED, "drop of all");
	must(!daemon_connections(), "connections are left");
	for (i = 0; i < MANY; i++)
		peer_close(&p[i]);
	free_answer(a);
	free(p);
}

static u64 available_kib(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	unsigned long long kib = 0;
	char line[128];

	must(f, "/proc/meminfo: %m");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

#define IDLE	400

/* What connections cost that have nothing to do: of both ends here. */
static void test_idle(void)
{
	struct peer *p = xalloc(IDLE * sizeof(*p));
	u64 before, after, each;
	struct conn_stats stats;
	unsigned int i;

	/* what the first one allocates for all */
	peer_start(&p[0], NODE, NULL);
	peer_close(&p[0]);
	daemon_wait_gone(p[0].connection);
	before = available_kib();
	for (i = 0; i < IDLE; i++)
		peer_start(&p[i], NODE, NULL);
	after = available_kib();
	must(daemon_connections() == IDLE, "%u connections",
	     daemon_connections());
	must(daemon_stats(p[0].connection, &stats) && !stats.held &&
	     !stats.in_flight, "an idle connection holds %u", stats.held);
	each = before > after ? (before - after) / IDLE : 0;
	printf("dataserver: %llu KiB for each of %u idle connections\n",
	       (unsigned long long)each, IDLE);
	must(each <= 64, "too much");
	for (i = 0; i < IDLE; i++)
		peer_close(&p[i]);
	for (i = 0; i < IDLE; i++)
		must(daemon_wait_gone(p[i].connection) ==
		     ORCHFS_REASON_CLOSED, "end of one");
	free(p);
}

/* --- fences and clocks --- */

static u64 counter_of(int fd)
{
	u64 n;

	must(pread(fd, &n, sizeof(n), 0) == sizeof(n), "backing file: %m");
	return n;
}

/*
 * A peer writes a counter without a pause. When the fence is acknowledged the
 * file doesn't change any more, whatever the peer still sends.
 */
static void test_fence(void)
{
	struct orchfs_pdu pdu = {
		.opcode = ORCHFS_OP_WRITE, .data_len = sizeof(u64),
	};
	u64 i, sent = 0, stale = 0, last = 0, fence = next_request++;
	struct answer *a = answer_new();
	int fd = backing_make(0x1501);
	struct orchfs_token t;
	struct peer p;

	token_make(&t, 0x1501, RW, 5);
	peer_start(&p, NODE, NULL);
	must(!peer_bind(&p, &t, &pdu.handle), "bind");
	for (i = 0; i < 2000; i++) {
		if (i == 1000)
			must(!daemon_fence(fence, 0x1501, NODE, 6), "fence");
		peer_send(&p, &pdu, &i);
		sent++;
		if (i > 1000 && !last && daemon_done(fence))
			last = 1 + counter_of(fd);
		if (sent < 100)
			continue;
		must(peer_recv(&p, a), "reply");
		stale += a->pdu.status == ORCHFS_STATUS_STALE;
		sent--;
	}
	must(!daemon_wait_done(fence), "end of the fence");
	if (!last)
		last = 1 + counter_of(fd);
	while (sent--) {
		must(peer_recv(&p, a), "reply");
		stale += a->pdu.status == ORCHFS_STATUS_STALE;
	}
	must(stale >= 900, "%llu of 1000 were refused",
	     (unsigned long long)stale);
	must(counter_of(fd) == last - 1, "a write came after the fence");
	/* nor do reads; a token of a later epoch does; of others anything */
	must(peer_read(&p, pdu.handle, 0, 8, a) == ORCHFS_STATUS_STALE,
	     "read after the fence");
	must(peer_bind(&p, &t, &pdu.handle) == ORCHFS_STATUS_STALE,
	     "the same token again");
	t.epoch = 6;
	must(!peer_bind(&p, &t, &pdu.handle), "renewal");
	must(!peer_read(&p, pdu.handle, 0, 8, a), "read after renewal");
	/* every node; nothing is admitted, so it ends at once */
	fence = next_request++;
	must(!daemon_fence(fence, 0x1501, 0, 7) && !daemon_wait_done(fence),
	     "fence of all");
	must(peer_read(&p, pdu.handle, 0, 8, a) == ORCHFS_STATUS_STALE,
	     "read after the fence of all");
	peer_close(&p);
	close(fd);
	free_answer(a);
}

static void test_clock(void)
{
	struct answer *a = answer_new();
	struct orchfs_token t;
	u64 handle = 0, boot;
	struct peer p;
	u8 byte = 1;

	close(backing_make(0x1601));
	daemon_clock(1000000);
	token_make(&t, 0x1601, RW, 1);
	t.expiry_ms = 10000000;
	peer_start(&p, NODE, NULL);
	must(!peer_bind(&p, &t, &handle), "bind");
	must(!peer_write(&p, handle, 0, &byte, 1, 0), "write");
	/* the authority's clock passes the expiry */
	daemon_clock(10000000);
	must(peer_read(&p, handle, 0, 1, a) == ORCHFS_STATUS_EXPIRED &&
	     peer_write(&p, handle, 0, &byte, 1, 0) == ORCHFS_STATUS_EXPIRED,
	     "an expired token");
	t.expiry_ms = FOREVER;
	must(!peer_bind(&p, &t, &handle), "renewal");
	must(!peer_read(&p, handle, 0, 1, a) && a->pdu.data_len == 1,
	     "read after renewal");
	/* not heard for a lease time; what is told late changes nothing */
	boot = boot_ms();
	must(!daemon_time(10000000, boot, 0), "serve-time");
	must(!daemon_time(10000000, boot - 5, 100000), "serve-time");
	must(daemon_time(10000000, boot, 600001) == -EINVAL, "a long lease");
	must(peer_write(&p, handle, 0, &byte, 1, 0) == ORCHFS_STATUS_UNHEARD,
	     "write without a lease");
	must(!peer_read(&p, handle, 0, 1, a), "read without a lease");
	must(daemon_time(1, boot_ms() + 100000, 1) == -EINVAL,
	     "a time to come");
	daemon_clock(10000000);
	must(!peer_write(&p, handle, 0, &byte, 1, 0), "write with a lease");
	peer_close(&p);
	free_answer(a);
}

/* --- ends --- */

struct loader {
	struct peer p;
	u64 handle;
	pthread_t thread;
};

/* Reads and writes as long as it may; tells with what status it ended. */
static void *load(void *arg)
{
	struct loader *l = arg;
	struct answer *a = answer_new();
	u8 *buf = xalloc(65536);
	u32 status;

	do {
		status = peer_write(&l->p, l->handle, 0, buf, 65536, 0);
		if (!status)
			status = peer_read(&l->p, l->handle, 0, 65536, a);
	} while (!status);
	free(buf);
	free_answer(a);
	return (void *)(uintptr_t)status;
}

#define LOADERS	4

static void test_unvolume(const char *dir)
{
	struct loader loaders[LOADERS] = {}, *l;
	u64 request = next_request++, handle = 0;
	struct conn_stats stats;
	struct orchfs_token t;
	void *status;

	close(backing_make(0x1701));
	token_make(&t, 0x1701, RW, 1);
	for (l = loaders; l < loaders + LOADERS; l++) {
		peer_start(&l->p, NODE, NULL);
		must(!peer_bind(&l->p, &t, &l->handle), "bind");
		pthread_create(&l->thread, NULL, load, l);
	}
	do {
		must(daemon_stats(loaders[LOADERS - 1].p.connection, &stats),
		     "statistics");
	} while (stats.bytes_read < 1 << 20);
	must(daemon_unvolume(VOLUME + 1, request) == -ENOENT, "no volume");
	must(!daemon_unvolume(VOLUME, request), "unvolume");
	must(!daemon_wait_done(request), "end of the volume");
	/* nothing keeps it, though the connections are there */
	close(ds_root);
	if (dir)
		must(!umount2(dir, 0), "unmount of %s: %m", dir);
	for (l = loaders; l < loaders + LOADERS; l++) {
		pthread_join(l->thread, &status);
		must((uintptr_t)status == ORCHFS_STATUS_VOLUME ||
		     (uintptr_t)status == ORCHFS_STATUS_HANDLE,
		     "status %u", (u32)(uintptr_t)status);
		must(peer_bind(&l->p, &t, &handle) == ORCHFS_STATUS_VOLUME,
		     "bind without the volume");
		peer_close(&l->p);
	}
}

/* A daemon that goes: with a lease all goes on, without one all ends. */
static void test_daemon_gone(void)
{
	struct answer *a = answer_new();
	struct orchfs_pdu ping = { .opcode = ORCHFS_OP_PING };
	struct conn_stats stats;
	struct peer p;

	daemon_clock(10000000);
	peer_start(&p, NODE, NULL);
	daemon_leave();
	must(!peer_call(&p, &ping, NULL, a), "ping without a daemon");
	daemon_attach();
	must(daemon_stats(p.connection, &stats) && stats.requests == 2,
	     "the new daemon doesn't see the connection");
	must(!daemon_time(10000000, boot_ms(), 0), "serve-time");
	must(!peer_call(&p, &ping, NULL, a), "ping with a daemon");
	daemon_leave();
	must(!peer_recv(&p, a), "the connection goes on");
	peer_close(&p);
	daemon_attach();
	free_answer(a);
}

/* Until the module goes. */
static void hold(void)
{
	struct peer p;
	u64 handle = 0;
	struct orchfs_token t;
	struct answer *a = answer_new();
	struct orchfs_pdu pdu = { .opcode = ORCHFS_OP_READ, .count = 65536 };
	unsigned int i;
	int fd;

	fd = backing_make(0x1801);
	must(!ftruncate(fd, 1 << 20), "truncate: %m");
	close(fd);
	token_make(&t, 0x1801, RW, 1);
	peer_start(&p, NODE, NULL);
	must(!peer_bind(&p, &t, &handle), "bind");
	pdu.handle = handle;
	for (i = 0; i < 100; i++)
		peer_send(&p, &pdu, NULL);
	printf("dataserver: streaming\n");
	fflush(stdout);
	while (peer_recv(&p, a)) {
		must(!a->pdu.status, "status %u", a->pdu.status);
		peer_send(&p, &pdu, NULL);
	}
	printf("dataserver: the connection has ended\n");
	exit(0);
}

static void own_network(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (unshare(CLONE_NEWNET))
		die("unshare: %m");
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr))
		die("lo: %m");
	close(fd);
}

static const char *own_volume(void)
{
	static const char dir[] = "/tmp/ds-volume";

	mkdir(dir, 0700);
	if (mount("ds", dir, "tmpfs", 0, "size=64m"))
		die("tmpfs: %m");
	return dir;
}

static void run(const char *what, void (*test)(void))
{
	printf("dataserver: %s\n", what);
	fflush(stdout);
	test();
}

/* Those that were closed last may be ending just now. */
static void no_connections(void)
{
	time_t end = time(NULL) + WAIT_SECONDS;

	while (daemon_connections())
		must(time(NULL) < end, "connections are left");
}

static void all_tests(const char *own)
{
	if (measure)
		run("idle connections", test_idle);
	run("bad commands", test_bad_commands);
	run("contents", test_contents);
	run("pipeline", test_pipeline);
	run("bad input", test_bad_input);
	run("refusals", test_refusals);
	run("slow peers", test_slow_peers);
	run("many connections", test_many);
	run("fence", test_fence);
	run("clock", test_clock);
	run("a frozen volume", test_frozen);
	run("expired tokens", test_expired);
	run("a list while connections end", test_list);
	printf("dataserver: unvolume\n");
	test_unvolume(own);
	run("daemon gone", test_daemon_gone);
	no_connections();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "root", required_argument, NULL, 'r' },
		{ "seed", required_argument, NULL, 's' },
		{ "rounds", required_argument, NULL, 'n' },
		{ "hold", no_argument, NULL, 'h' },
		{ "tls", no_argument, NULL, 't' },
		{ "measure", no_argument, NULL, 'm' },
		{}
	};
	const char *root = NULL, *own = NULL;
	uint64_t seed = default_seed();
	bool holding = false;
	size_t i;
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'r')
			root = optarg;
		else if (opt == 's')
			seed = parse_num("--seed", optarg);
		else if (opt == 'n')
			rounds = parse_num("--rounds", optarg);
		else if (opt == 'h')
			holding = true;
		else if (opt == 't')
			ds_tls = true;
		else if (opt == 'm')
			measure = true;
		else
			return 2;
	}
	printf("dataserver: seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	ds_rng.state = seed;
	for (i = 0; i < sizeof(ds_uuid); i++)
		ds_uuid[i] = rnd(&ds_rng);
	fill(ds_key, sizeof(ds_key));
	own_network();
	if (!root)
		root = own = own_volume();
	ds_root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ds_root < 0)
		die("%s: %m", root);
	daemon_attach();
	ret = daemon_serve_volume(VOLUME, ds_root, 1);
	must(!ret, "serve-volume: %s", strerror(-ret));
	daemon_clock(1000);
	if (holding)
		hold();
	all_tests(own);
	printf("dataserver: passed\n");
	return 0;
}
