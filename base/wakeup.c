/* SPDX-License-Identifier: MIT */
#include "base/wakeup.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/loop.h"

#define ROUNDS        15u
#define WINDOW_ROUNDS 20u      /* docs/adr/0007 */
#define WINDOW_MIN_NS 50000u   /* wake-up from a deep sleep state of the CPU */
#define WINDOW_MAX_NS 2000000u /* covers a nested machine */

struct pair {
	int there, back;
};

static void wait_for(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0)
		; /* interrupted */
}

static void *echo(void *arg)
{
	struct pair *pair = arg;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		wait_for(pair->there);
		loop_event_signal(pair->back);
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median_round(struct pair *pair)
{
	uint64_t ns[ROUNDS];

	for (uint32_t i = 0; i < ROUNDS; i++) {
		ns[i] = loop_now_ns();
		loop_event_signal(pair->there);
		wait_for(pair->back);
		ns[i] = loop_now_ns() - ns[i];
	}
	qsort(ns, ROUNDS, sizeof(*ns), compare);
	return ns[ROUNDS / 2];
}

uint64_t wakeup_measure_ns(void)
{
	struct pair pair = {.there = eventfd(0, EFD_CLOEXEC), .back = eventfd(0, EFD_CLOEXEC)};
	uint64_t ns = 0;
	pthread_t thread;

	if (pair.there >= 0 && pair.back >= 0 && !pthread_create(&thread, NULL, echo, &pair)) {
		ns = median_round(&pair);
		pthread_join(thread, NULL);
	}
	if (pair.there >= 0)
		close(pair.there);
	if (pair.back >= 0)
		close(pair.back);
	return ns;
}

uint64_t wakeup_poll_window_ns(void)
{
	uint64_t ns = WINDOW_ROUNDS * wakeup_measure_ns();

	if (ns < WINDOW_MIN_NS)
		return WINDOW_MIN_NS;
	return ns < WINDOW_MAX_NS ? ns : WINDOW_MAX_NS;
}
