// SPDX-License-Identifier: GPL-2.0-only
/*
 * iou: io_uring reads and writes with many in flight, on registered files and
 * buffers, buffered and O_DIRECT mixed on the same file. Each block carries
 * its file, number and version, so that a read tells what it got. Raw system
 * calls: nothing but the kernel's header is needed.
 */
#include <fcntl.h>
#include <getopt.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "util.h"

#define BLOCK		4096
#define FILES		4		/* each buffered and O_DIRECT */
#define BLOCKS_MAX	8		/* of one operation */
#define DEPTH_MAX	256

struct ring {
	int fd;
	unsigned int *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail,
		     *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	unsigned int queued;
};

struct slot {
	bool busy, write, sync;
	unsigned int file, first, blocks;
	struct io_uring_sqe sqe;	/* to send it again */
};

struct block {
	uint32_t magic, file, number, version;
	uint32_t rest[(BLOCK - 16) / 4];
};

#define MAGIC 0x696f7572

static struct {
	const char *dir;
	uint64_t seed;
	unsigned int ops, depth, blocks;
	bool direct, buffered;
} opt = { .ops = 5000, .depth = 32, .blocks = 1024, .direct = true,
	  .buffered = true };

static struct ring ring;
static struct rng rng;
static struct slot slots[DEPTH_MAX];
static struct block *bufs;		/* DEPTH_MAX * BLOCKS_MAX */
static int fds[2 * FILES];		/* buffered, then O_DIRECT */
static uint32_t *version[FILES];	/* 0: never written */
static bool *busy[FILES];
static unsigned int in_flight, done, issued, again;

static void ring_init(unsigned int entries)
{
	struct io_uring_params p = { 0 };
	size_t sq, cq;
	void *m, *c;

	ring.fd = syscall(SYS_io_uring_setup, entries, &p);
	if (ring.fd < 0 && (errno == ENOSYS || errno == EPERM)) {
		printf("iou: no io_uring here\n");
		exit(KSFT_SKIP);
	}
	if (ring.fd < 0)
		die("iou: io_uring_setup: %m");
	sq = p.sq_off.array + p.sq_entries * sizeof(unsigned int);
	cq = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	m = mmap(NULL, sq, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd,
		 IORING_OFF_SQ_RING);
	c = mmap(NULL, cq, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd,
		 IORING_OFF_CQ_RING);
	ring.sqes = mmap(NULL, p.sq_entries * sizeof(*ring.sqes),
			 PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd,
			 IORING_OFF_SQES);
	if (m == MAP_FAILED || c == MAP_FAILED || ring.sqes == MAP_FAILED)
		die("iou: mmap: %m");
	ring.sq_tail = m + p.sq_off.tail;
	ring.sq_mask = m + p.sq_off.ring_mask;
	ring.sq_array = m + p.sq_off.array;
	ring.cq_head = c + p.cq_off.head;
	ring.cq_tail = c + p.cq_off.tail;
	ring.cq_mask = c + p.cq_off.ring_mask;
	ring.cqes = c + p.cq_off.cqes;
}

static void ring_register(void)
{
	struct iovec *v = xalloc(opt.depth * sizeof(*v));
	unsigned int i;

	for (i = 0; i < opt.depth; i++) {
		v[i].iov_base = &bufs[i * BLOCKS_MAX];
		v[i].iov_len = BLOCKS_MAX * BLOCK;
	}
	if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_FILES, fds,
		    2 * FILES) < 0)
		die("iou: register files: %m");
	if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, v,
		    opt.depth) < 0)
		die("iou: register buffers: %m");
	free(v);
}

static struct io_uring_sqe *next_sqe(void)
{
	unsigned int tail = *ring.sq_tail, at = tail & *ring.sq_mask;
	struct io_uring_sqe *sqe = &ring.sqes[at];

	memset(sqe, 0, sizeof(*sqe));
	ring.sq_array[at] = at;
	__atomic_store_n(ring.sq_tail, tail + 1, __ATOMIC_RELEASE);
	ring.queued++;
	return sqe;
}

static void submit(unsigned int wait)
{
	int rc;

	do {
		rc = syscall(SYS_io_uring_enter, ring.fd, ring.queued, wait,
			     wait ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
	} while (rc < 0 && errno == EINTR);
	if (rc < 0)
		die("iou: io_uring_enter: %m");
	ring.queued -= rc;
}

static void stamp(struct block *b, unsigned int file, unsigned int number,
		  uint32_t ver)
{
	unsigned int i;

	b->magic = MAGIC;
	b->file = file;
	b->number = number;
	b->version = ver;
	for (i = 0; i < ARRAY_SIZE(b->rest); i++)
		b->rest[i] = ver * 2654435761u + number + i;
}

static void verify(const struct block *b, unsigned int file,
		   unsigned int number, const char *how)
{
	static struct block want;

	if (version[file][number])
		stamp(&want, file, number, version[file][number]);
	else
		memset(&want, 0, sizeof(want));
	if (!memcmp(b, &want, sizeof(want)))
		return;
	die("iou: FAILED seed %llu: %s of file %u block %u: should be version %u, is magic %x file %u block %u version %u",
	    (unsigned long long)opt.seed, how, file, number,
	    version[file][number], b->magic, b->file, b->number, b->version);
}

/* A range without I/O under way; false when none is found quickly. */
static bool pick_range(struct slot *s)
{
	unsigned int tries, i;

	for (tries = 0; tries < 20; tries++) {
		s->file = below(&rng, FILES);
		s->blocks = 1 + below(&rng, BLOCKS_MAX);
		s->first = below(&rng, opt.blocks - s->blocks);
		for (i = 0; i < s->blocks && !busy[s->file][s->first + i]; i++)
			;
		if (i == s->blocks)
			return true;
	}
	return false;
}

static void prepare(struct slot *s, unsigned int index)
{
	struct io_uring_sqe *sqe = next_sqe();
	struct block *b = &bufs[index * BLOCKS_MAX];
	bool fixed = one_in(&rng, 2), direct = opt.direct;
	unsigned int i;

	if (opt.direct && opt.buffered)
		direct = one_in(&rng, 2);
	for (i = 0; i < s->blocks; i++) {
		busy[s->file][s->first + i] = true;
		if (s->write)
			stamp(&b[i], s->file, s->first + i,
			      ++version[s->file][s->first + i]);
		else
			memset(&b[i], 0x5a, BLOCK);
	}
	if (s->write)
		sqe->opcode = fixed ? IORING_OP_WRITE_FIXED : IORING_OP_WRITE;
	else
		sqe->opcode = fixed ? IORING_OP_READ_FIXED : IORING_OP_READ;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->fd = s->file + (direct ? FILES : 0);
	sqe->addr = (uintptr_t)b;
	sqe->len = s->blocks * BLOCK;
	sqe->off = (uint64_t)s->first * BLOCK;
	sqe->buf_index = fixed ? index : 0;
	sqe->user_data = index;
	if (one_in(&rng, 10))
		sqe->flags |= IOSQE_ASYNC;
	s->sqe = *sqe;
}

static void prepare_sync(struct slot *s, unsigned int index)
{
	struct io_uring_sqe *sqe = next_sqe();

	s->sync = true;
	sqe->opcode = IORING_OP_FSYNC;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->fd = below(&rng, FILES);
	sqe->fsync_flags = one_in(&rng, 2) ? IORING_FSYNC_DATASYNC : 0;
	sqe->user_data = index;
}

static void fill_queue(void)
{
	unsigned int i;

	for (i = 0; i < opt.depth && issued < opt.ops; i++) {
		struct slot *s = &slots[i];

		if (s->busy)
			continue;
		memset(s, 0, sizeof(*s));
		if (one_in(&rng, 200)) {
			prepare_sync(s, i);
		} else {
			s->write = one_in(&rng, 2);
			if (!pick_range(s))
				return;
			prepare(s, i);
		}
		s->busy = true;
		in_flight++;
		issued++;
	}
}

static void complete(const struct io_uring_cqe *cqe)
{
	unsigned int index = cqe->user_data, i;
	struct slot *s = &slots[index];
	int want = s->sync ? 0 : (int)s->blocks * BLOCK;

	/* the drive's queue was full, and this shows on any file system */
	if (cqe->res == -EAGAIN && !s->sync) {
		*next_sqe() = s->sqe;
		again++;
		return;
	}
	if (cqe->res < 0)
		die("iou: FAILED seed %llu: %s of file %u block %u+%u: %s",
		    (unsigned long long)opt.seed, s->sync ? "fsync" :
		    s->write ? "write" : "read", s->file, s->first, s->blocks,
		    strerror(-cqe->res));
	if (cqe->res != want)
		die("iou: FAILED seed %llu: %s of %d bytes at block %u gives %d",
		    (unsigned long long)opt.seed, s->write ? "write" : "read",
		    want, s->first, cqe->res);
	for (i = 0; i < s->blocks; i++) {
		busy[s->file][s->first + i] = false;
		if (!s->write)
			verify(&bufs[index * BLOCKS_MAX + i], s->file,
			       s->first + i, "io_uring read");
	}
	s->busy = false;
	in_flight--;
	done++;
}

static void reap(void)
{
	unsigned int head = *ring.cq_head;

	while (head != __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE)) {
		complete(&ring.cqes[head & *ring.cq_mask]);
		__atomic_store_n(ring.cq_head, ++head, __ATOMIC_RELEASE);
	}
}

static void open_files(void)
{
	char path[4200];
	unsigned int i;

	for (i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/iou.%u", opt.dir, i);
		fds[i] = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
		if (fds[i] < 0)
			die("iou: %s: %m", path);
		if (ftruncate(fds[i], (off_t)opt.blocks * BLOCK) < 0)
			die("iou: ftruncate %s: %m", path);
		fds[FILES + i] = open(path, O_RDWR |
				      (opt.direct ? O_DIRECT : 0));
		if (fds[FILES + i] < 0)
			die("iou: %s with O_DIRECT: %m", path);
		version[i] = xalloc(opt.blocks * sizeof(uint32_t));
		busy[i] = xalloc(opt.blocks);
	}
}

static void final_check(void)
{
	struct block *b = xpages(BLOCK);
	unsigned int i, k;

	for (i = 0; i < 2 * FILES; i++) {
		for (k = 0; k < opt.blocks; k++) {
			if (pread(fds[i], b, BLOCK, (off_t)k * BLOCK) != BLOCK)
				die("iou: pread of block %u: %m", k);
			verify(b, i % FILES, k, "pread");
		}
	}
}

static const struct option longopts[] = {
	{ "dir", required_argument, NULL, 'd' },
	{ "seed", required_argument, NULL, 's' },
	{ "ops", required_argument, NULL, 'n' },
	{ "depth", required_argument, NULL, 'q' },
	{ "mode", required_argument, NULL, 'm' },
	{ }
};

static void parse(int argc, char **argv)
{
	int c;

	opt.seed = default_seed();
	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 'd': opt.dir = optarg; break;
		case 's': opt.seed = parse_num("--seed", optarg); break;
		case 'n': opt.ops = parse_num("--ops", optarg); break;
		case 'q': opt.depth = parse_num("--depth", optarg); break;
		case 'm':
			opt.direct = strcmp(optarg, "buffered");
			opt.buffered = strcmp(optarg, "direct");
			break;
		default: opt.dir = NULL;
		}
	}
	if (!opt.dir || !opt.depth || opt.depth > DEPTH_MAX)
		die("usage: iou --dir DIR [--seed N] [--ops N] [--depth N] [--mode buffered|direct|mixed]");
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	printf("iou: seed %llu, %u operations, %u in flight, %s\n",
	       (unsigned long long)opt.seed, opt.ops, opt.depth,
	       !opt.direct ? "buffered" : !opt.buffered ? "direct" : "mixed");
	rng.state = opt.seed;
	bufs = xpages(DEPTH_MAX * BLOCKS_MAX * sizeof(*bufs));
	open_files();
	ring_init(opt.depth);
	ring_register();
	while (done < opt.ops) {
		fill_queue();
		submit(in_flight ? 1 : 0);
		reap();
	}
	final_check();
	printf("iou: passed, %u sent again\n", again);
	return 0;
}
