/* SPDX-License-Identifier: MIT */
/* The peer: fio with its io_uring engine, a process of its own. */
#ifndef BENCH_IO_FIO_H
#define BENCH_IO_FIO_H

#include <stdbool.h>
#include <stdint.h>

struct fio_load {
	const char *path;
	bool direct;
	bool write;
	uint32_t block; /* bytes */
	uint32_t depth;
	uint32_t seconds;
	bool batch; /* submit and take many at once, not one by one, fio's default */
};

struct fio_result {
	double iops;
	double cpu_us; /* processor time per command, fio's start included */
};

void fio_run(const struct fio_load *load, struct fio_result *r);

#endif
