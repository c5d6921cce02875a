/* SPDX-License-Identifier: MIT */
/*
 * What confinement costs: 4 KiB random reads and writes through ring, I/O thread and file back end
 * (bench/io/client.h), in a process that is confined as a worker is, and in one that is not, in
 * turn. A ratio is confined to unconfined of the same round.
 *
 *   confine [ROUNDS [SECONDS]]
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/parse.h"
#include "bench/io/client.h"
#include "bench/io/die.h"
#include "confine/confine.h"
#include "disk/stack.h"

#define ROUNDS_MAX 99u
#define FILE_BYTES (64u << 20)
#define CHUNK      (1u << 20)
#define NS         1000000000ull

struct load {
	const char *name;
	bool write;
	uint32_t depth;
};

/* In memory, a request takes the fewest system calls; the page cache takes io_uring's. */
static const struct {
	const char *name, *path;
} places[] = {
	{"tmpfs", "/dev/shm/enlite-confine.img"},
	{"page cache", "build/bench/confine.img"},
};

static const struct load loads[] = {
	{"randread, depth 1", false, 1},
	{"randread, depth 32", false, 32},
	{"randwrite, depth 32", true, 32},
};

/* The test guest's watchdog calls it; a confined process may not, and nothing here needs it. */
unsigned int alarm(unsigned int seconds)
{
	return 0;
}

static void make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char *chunk = calloc(1, CHUNK);

	if (fd < 0 || !chunk)
		die("%s: %s", path, strerror(errno));
	memset(chunk, 0xA5, CHUNK);
	for (uint32_t at = 0; at < FILE_BYTES; at += CHUNK)
		if (pwrite(fd, chunk, CHUNK, at) != CHUNK)
			die("%s: %s", path, strerror(errno));
	free(chunk);
	close(fd);
}

static void confine_for(const char *path)
{
	static struct vm_config config;
	char *argv[] = {
		"run", "--sandbox", "require", "--kernel", "none", "--disk", (char *)path, NULL};
	struct err e;

	if (vm_config_init(&config, &e) || vm_config_args(&config, 7, argv, &e) ||
		vm_config_complete(&config, &e) || confine(&config, &e))
		die("%s", e.text);
}

/* In a process of its own. */
static double measure(const char *path, const struct load *l, uint64_t seconds)
{
	struct disk_file_options options = {.read_only = false};
	struct bench_load load = {
		.write = l->write, .block = 4096, .depth = l->depth, .ns = seconds * NS};
	struct bench_result r;
	struct bench_client *c;
	struct disk *disk;
	struct err e;

	if (disk_file_open(&disk, path, &options, &e))
		die("%s", e.text);
	c = bench_client_create(disk, 0);
	bench_client_run(c, &load, &r);
	bench_client_destroy(c);
	disk_close(disk);
	return r.iops;
}

static double run(const char *path, const struct load *l, uint64_t seconds, bool confined)
{
	double iops = 0;
	int ends[2], status;
	pid_t pid;

	fflush(stdout);
	if (pipe2(ends, O_CLOEXEC))
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		int out = dup2(ends[1], STDOUT_FILENO); /* descriptors above are closed */

		if (confined)
			confine_for(path);
		iops = measure(path, l, seconds);
		_exit(write(out, &iops, sizeof(iops)) != sizeof(iops));
	}
	close(ends[1]);
	if (read(ends[0], &iops, sizeof(iops)) != sizeof(iops) || waitpid(pid, &status, 0) < 0)
		die("a process that measures ended without a result");
	close(ends[0]);
	return iops;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The order changes with each round. */
static void run_pairs(const char *place, const char *path, const struct load *l, uint64_t rounds,
	uint64_t seconds)
{
	double ratio[ROUNDS_MAX], iops[2] = {0, 0};

	for (uint64_t i = 0; i < rounds; i++) {
		for (unsigned int half = 0; half < 2; half++) {
			bool confined = (half + i) % 2;

			iops[confined] = run(path, l, seconds, confined);
		}
		ratio[i] = iops[1] / iops[0];
	}
	qsort(ratio, rounds, sizeof(ratio[0]), compare);
	printf("%-11s %-20s ratio %.3f (%.3f to %.3f), last %.0f and %.0f IOPS\n", place, l->name,
		ratio[rounds / 2], ratio[0], ratio[rounds - 1], iops[1], iops[0]);
}

int main(int argc, char **argv)
{
	uint64_t rounds = 7, seconds = 1;

	if ((argc > 1 && parse_number(argv[1], 1, ROUNDS_MAX, &rounds)) ||
		(argc > 2 && parse_number(argv[2], 1, 60, &seconds)) || argc > 3)
		die("usage: confine [ROUNDS [SECONDS]]");
	if (mkdir("build/bench", 0777) && errno != EEXIST)
		die("build/bench: %s", strerror(errno));
	for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
		make_file(places[p].path);
		for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
			run_pairs(places[p].name, places[p].path, &loads[i], rounds, seconds);
		unlink(places[p].path);
	}
	return 0;
}
