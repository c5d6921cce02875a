/* SPDX-License-Identifier: MIT */
/* What cannot be measured ends the bench, with one line. */
#ifndef BENCH_IO_DIE_H
#define BENCH_IO_DIE_H

#include <stdio.h>
#include <stdlib.h>

#define die(...)                                                                                   \
	do {                                                                                       \
		fprintf(stderr, "bench io: " __VA_ARGS__);                                         \
		fputc('\n', stderr);                                                               \
		exit(1);                                                                           \
	} while (0)

#endif
