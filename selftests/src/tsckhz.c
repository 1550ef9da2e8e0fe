// SPDX-License-Identifier: GPL-2.0-only
/*
 * tsckhz: prints this machine's TSC frequency in kHz. The emulator hands the
 * host's TSC on, and a guest that measures it at boot on a busy host may find
 * a value that is many times too low: its clock then runs as much too fast.
 */
#include <x86intrin.h>
#include "util.h"

struct sample {
	uint64_t tsc, ns;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* The pair that was read closest together: nobody ran in between. */
static struct sample take(void)
{
	uint64_t before, after, ns, least = -1;
	struct sample s = { 0 };
	int i;

	for (i = 0; i < 2000; i++) {
		before = __rdtsc();
		ns = now_ns();
		after = __rdtsc();
		if (after - before >= least)
			continue;
		least = after - before;
		s.tsc = before + least / 2;
		s.ns = ns;
	}
	return s;
}

int main(void)
{
	struct sample first = take(), last;

	do {
		last = take();
	} while (last.ns - first.ns < 50000000);
	printf("%.0f\n", (last.tsc - first.tsc) * 1e6 / (last.ns - first.ns));
	return 0;
}
