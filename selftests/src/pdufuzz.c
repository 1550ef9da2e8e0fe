// SPDX-License-Identifier: GPL-2.0-only
/*
 * pdufuzz: PDUs, tokens and what else a peer sends, as kmod/pdu.c reads them.
 *
 * A case is a valid thing with some damage, or noise, given in a buffer of its
 * very length, and cut at each byte. What is taken must be within the bounds
 * that Documentation/remote.md states, and give the same bytes when it is
 * encoded again. --cases N or --seconds N; --seed repeats a run. The build
 * target `fuzz' has the sanitizers; with -DORCHFS_LIBFUZZER main() is left to
 * clang's -fsanitize=fuzzer.
 */
#include "util.h"
#undef ARRAY_SIZE
#include "../../kmod/pdu.c"

#define LEN_MAX	160

static void broken(const char *what, const uint8_t *buf, size_t len)
{
	size_t i;

	printf("FAIL: %s:", what);
	for (i = 0; i < len; i++)
		printf(" %02x", buf[i]);
	printf("\n");
	fflush(stdout);
	abort();
}

#define must(cond, buf, len) do {					\
	if (!(cond))							\
		broken(#cond, buf, len);				\
} while (0)

static void check_header(const uint8_t *buf, size_t len,
			 const struct orchfs_pdu *p)
{
	uint8_t again[ORCHFS_PDU_LEN];
	bool count = p->opcode != ORCHFS_OP_ALLOCATE &&
		p->opcode != ORCHFS_OP_SEEK;
	__int128 end = (__int128)p->offset + p->length + p->data_len +
		(count ? p->count : 0);

	must(len >= ORCHFS_PDU_LEN, buf, len);
	must(p->data_len <= ORCHFS_PDU_DATA_MAX, buf, len);
	must(p->count <= ORCHFS_PDU_DATA_MAX, buf, len);
	must(end <= INT64_MAX, buf, len);
	must(p->opcode && p->opcode < ORCHFS_NR_OPS, buf, len);
	must(p->status < ORCHFS_NR_STATUSES, buf, len);
	must(!p->status || !p->data_len, buf, len);
	orchfs_pdu_encode(p, again);
	must(!memcmp(again, buf, sizeof(again)), buf, len);
}

/* Of a request */
static bool count_allowed(const struct orchfs_pdu *p)
{
	switch (p->opcode) {
	case ORCHFS_OP_READ:
		return p->count;
	case ORCHFS_OP_ALLOCATE:
		return !(p->count & ~(ORCHFS_ALLOC_KEEP_SIZE |
				      ORCHFS_ALLOC_PUNCH_HOLE |
				      ORCHFS_ALLOC_ZERO_RANGE)) &&
			(!(p->count & ORCHFS_ALLOC_PUNCH_HOLE) ||
			 p->count == (ORCHFS_ALLOC_PUNCH_HOLE |
				      ORCHFS_ALLOC_KEEP_SIZE));
	case ORCHFS_OP_SEEK:
		return p->count <= ORCHFS_SEEK_HOLE;
	default:
		return !p->count;
	}
}

static void one(const uint8_t *buf, size_t len)
{
	uint8_t again[LEN_MAX];
	struct orchfs_remote_attr a;
	struct orchfs_hello h;
	struct orchfs_token t;
	struct orchfs_pdu p;
	int request, reply;

	request = orchfs_pdu_decode_request(buf, len, &p);
	if (!request) {
		check_header(buf, len, &p);
		must(!(p.flags & ORCHFS_PDU_REPLY) && !p.status, buf, len);
		must(count_allowed(&p), buf, len);
		must((p.opcode == ORCHFS_OP_ALLOCATE) == !!p.length, buf, len);
		must(p.length <= INT64_MAX - p.offset, buf, len);
		must(!(p.flags & ORCHFS_PDU_APPEND) ||
		     (p.opcode == ORCHFS_OP_WRITE && !p.offset), buf, len);
	}
	reply = orchfs_pdu_decode_reply(buf, len, &p);
	if (!reply) {
		check_header(buf, len, &p);
		must(!p.offset || p.opcode == ORCHFS_OP_SEEK ||
		     (p.opcode == ORCHFS_OP_WRITE &&
		      p.flags & ORCHFS_PDU_APPEND), buf, len);
		must(!p.length, buf, len);
	}
	must(request || reply, buf, len);
	if (!orchfs_hello_decode(buf, len, &h)) {
		must(h.version_min <= h.version_max, buf, len);
		orchfs_hello_encode(&h, again);
		must(!memcmp(again, buf, len), buf, len);
	}
	if (!orchfs_token_decode(buf, len, &t)) {
		must(t.rights && t.rights <= ORCHFS_RIGHTS_ALL, buf, len);
		orchfs_token_encode(&t, again);
		must(!memcmp(again, buf, ORCHFS_TOKEN_SIGNED_LEN), buf, len);
	}
	if (!orchfs_remote_attr_decode(buf, len, &a)) {
		must(a.size <= INT64_MAX, buf, len);
		orchfs_remote_attr_encode(&a, again);
		must(!memcmp(again, buf, len), buf, len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	one(data, size);
	return 0;
}

#ifndef ORCHFS_LIBFUZZER
#include <getopt.h>

static struct rng rng;
static unsigned long taken;

/* Small, near a power of two, near a limit, or anything. */
static uint64_t number(void)
{
	switch (below(&rng, 5)) {
	case 0:
		return below(&rng, 8);
	case 1:
		return (1ULL << below(&rng, 64)) - 2 + below(&rng, 4);
	case 2:
		return ORCHFS_PDU_DATA_MAX - 2 + below(&rng, 4);
	case 3:
		return INT64_MAX - 2ULL + below(&rng, 4) -
			below(&rng, 3) * (uint64_t)ORCHFS_PDU_DATA_MAX;
	default:
		return rnd(&rng);
	}
}

static uint64_t maybe(unsigned int n)
{
	return one_in(&rng, n) ? number() : 0;
}

/* Mostly what its rule allows. */
static void make_header(uint8_t *buf)
{
	struct orchfs_pdu p = { .tag = rnd(&rng) };
	const struct pdu_rule *r;

	p.opcode = 1 + below(&rng, ORCHFS_NR_OPS - 1);
	p.flags = one_in(&rng, 2) ? ORCHFS_PDU_REPLY : 0;
	r = p.flags ? &reply_rules[p.opcode] : &request_rules[p.opcode];
	if (p.flags && one_in(&rng, 3)) {
		p.status = 1 + below(&rng, ORCHFS_NR_STATUSES);
		r = &error_rule;
	}
	p.flags |= rnd(&rng) & r->flags;
	p.handle = r->handle ? rnd(&rng) : maybe(50);
	p.offset = r->offset ? number() : maybe(50);
	p.verifier = r->verifier ? rnd(&rng) : maybe(50);
	p.length = r->length ? number() : maybe(50);
	p.count = r->count_min + below(&rng, r->count_max - r->count_min + 1);
	p.data_len = r->data_min + below(&rng, r->data_max - r->data_min + 1);
	if (p.flags & ORCHFS_PDU_DATA_CRC && p.data_len)
		p.data_crc = rnd(&rng);
	if (one_in(&rng, 8))
		p.count = number();
	if (one_in(&rng, 8))
		p.data_len = number();
	if (one_in(&rng, 16))
		p.flags = rnd(&rng);
	if (one_in(&rng, 16))
		p.opcode = rnd(&rng);
	orchfs_pdu_encode(&p, buf);
}

static void make_token(uint8_t *buf)
{
	struct orchfs_token t = {
		.volume = number(), .key_id = number(), .ino = number(),
		.version = number(), .instance = number(), .node = number(),
		.rights = 1 + below(&rng, ORCHFS_RIGHTS_ALL + 1),
		.epoch = number(), .expiry_ms = number(),
	};

	orchfs_token_encode(&t, buf);
}

static void make_attr(uint8_t *buf)
{
	struct orchfs_remote_attr a = {
		.size = number(), .blocks = number(), .change = number(),
		.atime_sec = number(), .mtime_sec = number(),
		.ctime_sec = number(), .atime_nsec = below(&rng, NSECS + 2),
	};

	orchfs_remote_attr_encode(&a, buf);
}

static size_t make(uint8_t *buf)
{
	size_t i, len;

	switch (below(&rng, 8)) {
	case 0:
		len = below(&rng, LEN_MAX + 1);
		for (i = 0; i < len; i++)
			buf[i] = rnd(&rng);
		return len;
	case 1:
		make_token(buf);
		return ORCHFS_TOKEN_LEN;
	case 2:
		make_attr(buf);
		return sizeof(struct orchfs_wire_attr);
	case 3:
		for (i = 0; i < sizeof(struct orchfs_wire_hello); i++)
			buf[i] = below(&rng, 3);
		return sizeof(struct orchfs_wire_hello);
	default:
		make_header(buf);
		return ORCHFS_PDU_LEN;
	}
}

/* Bytes are changed; the sum is mostly made right again, or it guards all. */
static void damage(uint8_t *buf, size_t len)
{
	uint32_t crc;

	if (!len || one_in(&rng, 3))
		return;
	do {
		buf[below(&rng, len)] ^= 1 << below(&rng, 8);
	} while (one_in(&rng, 2));
	if (len != ORCHFS_PDU_LEN || one_in(&rng, 8))
		return;
	crc = htole32(orchfs_pdu_crc(0, buf, ORCHFS_PDU_LEN - 4));
	memcpy(buf + ORCHFS_PDU_LEN - 4, &crc, 4);
}

/* In memory of its very length, so that the sanitizer sees a byte too many. */
static void try_case(const uint8_t *buf, size_t len)
{
	uint8_t *exact = xalloc(len);
	struct orchfs_pdu p;

	memcpy(exact, buf, len);
	one(exact, len);
	if (!orchfs_pdu_decode_request(exact, len, &p) ||
	    !orchfs_pdu_decode_reply(exact, len, &p))
		taken++;
	free(exact);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "cases", required_argument, NULL, 'c' },
		{ "seconds", required_argument, NULL, 't' },
		{}
	};
	uint64_t seed = default_seed(), cases = 200000, done = 0;
	time_t end = 0;
	uint8_t buf[LEN_MAX];
	size_t len, cut;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 's')
			seed = parse_num("--seed", optarg);
		else if (opt == 'c')
			cases = parse_num("--cases", optarg);
		else if (opt == 't')
			end = time(NULL) + parse_num("--seconds", optarg);
		else
			return 2;
	}
	printf("pdufuzz: seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	rng.state = seed;
	while (end ? done % 4096 || time(NULL) < end : done < cases) {
		len = make(buf);
		damage(buf, len);
		try_case(buf, len);
		if (one_in(&rng, 16))
			for (cut = 0; cut < len; cut++)
				try_case(buf, cut);
		done++;
	}
	printf("pdufuzz: %llu cases, %lu headers taken\n",
	       (unsigned long long)done, taken);
	if (taken < done / 20)
		die("pdufuzz: almost nothing was taken: the cases are no good");
	return 0;
}
#endif
