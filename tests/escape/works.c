/* SPDX-License-Identifier: MIT */
/*
 * What must go on working: a guest's reads and writes to each disk, in a process that is confined
 * as a worker is. Prints TAP without numbers.
 *
 *   works SPEC...     disks, as --disk has them
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/io/client.h"
#include "confine/confine.h"

#define LOAD_NS 200000000ull

/* The test guest's watchdog calls it; a confined process may not. */
unsigned int alarm(unsigned int seconds)
{
	return 0;
}

static bool moves_data(struct bench_client *c, bool write)
{
	const struct bench_load load = {.write = write, .block = 4096, .depth = 8, .ns = LOAD_NS};
	struct bench_result r;

	bench_client_run(c, &load, &r);
	return r.iops > 0;
}

static int guest(char *spec)
{
	static struct vm_config config;
	char *argv[] = {"run", "--sandbox", "auto", "--kernel", "none", "--disk", spec, NULL};
	struct err e = {""};
	struct bench_client *c;
	struct disk *disk;
	bool moved;

	if (vm_config_init(&config, &e) || vm_config_args(&config, 7, argv, &e) ||
		vm_config_complete(&config, &e) || confine(&config, &e) ||
		disk_config_open(&disk, &config.disks[0], &e)) {
		fprintf(stderr, "%s\n", e.text);
		return EXIT_FAILURE;
	}
	c = bench_client_create(disk, 0);
	moved = moves_data(c, true) && moves_data(c, false);
	bench_client_destroy(c);
	disk_close(disk);
	return moved ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool works(char *spec)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(guest(spec));
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	int failures = 0;

	for (int i = 1; i < argc; i++) {
		bool ok = works(argv[i]);

		printf("%sok - escape: confined, I/O to disk %d works: %s\n", ok ? "" : "not ", i,
			argv[i]);
		failures += !ok;
	}
	return failures != 0;
}
