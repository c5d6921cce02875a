/* SPDX-License-Identifier: MIT */
/*
 * tsc - print the frequency of this machine's TSC in kHz.
 *
 * L1 has the same TSC, and would measure it while it boots, against a timer that QEMU emulates: on
 * a busy machine it was wrong by a factor of 15, and every time limit in L1 with it.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define TRIES     32
#define PERIOD_NS 100000000

struct moment {
	uint64_t tsc, ns;
};

/* Both clocks at the same moment: the try that was interrupted least. */
static struct moment now(void)
{
	uint64_t least = UINT64_MAX;
	struct moment moment = {0};
	struct timespec ts;
	int i;

	for (i = 0; i < TRIES; i++) {
		uint64_t before = __rdtsc(), took;

		clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
		took = __rdtsc() - before;
		if (took >= least)
			continue;
		least = took;
		moment.tsc = before + took / 2;
		moment.ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	}
	return moment;
}

int main(void)
{
	const struct timespec period = {.tv_nsec = PERIOD_NS};
	struct moment begin = now(), end;

	nanosleep(&period, NULL);
	end = now();
	printf("%.0f\n", (double)(end.tsc - begin.tsc) * 1e6 / (double)(end.ns - begin.ns));
	return 0;
}
