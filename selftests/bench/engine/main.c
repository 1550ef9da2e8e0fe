// SPDX-License-Identifier: Apache-2.0
/*
 * nsbench: the metadata engine behind its channel, without a kernel. Prints
 * rows, which selftests/bench/orchd makes into a table.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

uint64_t bench_seed = 1;

void die(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("nsbench: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	_exit(1);
}

void must(int rc, const char *what)
{
	if (rc < 0)
		die("%s: %s", what, strerror(-rc));
}

void *must_alloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);

	if (!p)
		die("out of memory");
	return p;
}

void *must_grow(void *p, size_t *size, size_t want, size_t one)
{
	if (want <= *size)
		return p;
	*size = want * 2;
	p = realloc(p, *size * one);
	if (!p)
		die("out of memory");
	return p;
}

static uint64_t clock_of(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

uint64_t clock_ns(void)
{
	return clock_of(CLOCK_MONOTONIC);
}

uint64_t clock_cpu(void)
{
	return clock_of(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t clock_process(void)
{
	return clock_of(CLOCK_PROCESS_CPUTIME_ID);
}

/* Two rounds of multiplying and folding spread neighbours well. */
uint64_t mix(uint64_t seed, uint64_t n)
{
	uint64_t x = (n + 1) * 0x9e3779b97f4a7c15ULL ^ seed;

	for (int i = 0; i < 2; i++) {
		x ^= x >> 32;
		x *= 0xd6e8feb86659fd93ULL;
	}
	return x ^ x >> 32;
}

static int by_time(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Microseconds. Sorts the latencies. */
void row_print(const struct row *w, struct outcome *o, size_t nr,
	       uint64_t behind)
{
	static const double part[] = { 0.5, 0.9, 0.99, 1 };

	qsort(o->late, nr, sizeof(*o->late), by_time);
	printf("op %s %s %llu %u %u %s %u %zu %llu %llu %llu", w->work, w->store,
	       (unsigned long long)w->files, w->clients, w->durable, w->who,
	       w->rep, nr, (unsigned long long)o->ns,
	       (unsigned long long)o->cpu, (unsigned long long)behind);
	for (size_t i = 0; i < sizeof(part) / sizeof(*part); i++) {
		size_t at = (size_t)(part[i] * (double)nr);

		printf(" %.2f", o->late[at < nr ? at : nr - 1] / 1000.0);
	}
	printf("\n");
	fflush(stdout);
}

static const char usage[] =
	"usage: nsbench --dir DIR [--seed N] [--store memory|rocksdb]\n"
	"               [--files N] [--ops N] [--reps N] [--only WORK] "
	"               ops|grow|scale\n";

static uint64_t number(const char *s)
{
	char *end;
	unsigned long long x = strtoull(s, &end, 10);

	if (!*s || *end)
		die("'%s' is no number", s);
	return x;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "seed", required_argument, NULL, 's' },
		{ "store", required_argument, NULL, 'e' },
		{ "files", required_argument, NULL, 'f' },
		{ "ops", required_argument, NULL, 'n' },
		{ "reps", required_argument, NULL, 'r' },
		{ "only", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	struct bench_opts o = {
		.store = "rocksdb", .files = 100000, .ops = 20000, .reps = 3,
	};
	const char *verb;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (c) {
		case 'd': o.dir = optarg; break;
		case 's': bench_seed = number(optarg); break;
		case 'e': o.store = optarg; break;
		case 'f': o.files = number(optarg); break;
		case 'n': o.ops = number(optarg); break;
		case 'r': o.reps = (unsigned int)number(optarg); break;
		case 'o': o.only = optarg; break;
		default: fputs(usage, stderr); return 2;
		}
	}
	verb = optind < argc ? argv[optind] : "";
	if (!o.dir || !o.ops || !o.reps) {
		fputs(usage, stderr);
		return 2;
	}
	if (!strcmp(verb, "ops") && o.files)
		bench_ops(&o);
	else if (!strcmp(verb, "grow") && o.files)
		bench_grow(&o, argv[0]);
	else if (!strcmp(verb, "scale"))
		bench_scale(&o);
	else if (!strcmp(verb, "start") && optind + 1 < argc)
		bench_start(o.dir, o.files, argv[optind + 1]);
	else if (!strcmp(verb, "kill"))
		bench_kill(o.dir, o.files);
	else
		die("what shall be done? ops, grow or scale");
	return 0;
}
