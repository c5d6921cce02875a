/* SPDX-License-Identifier: MIT */
#include "bench/io/fio.h"
#include "bench/io/die.h"

#include <jansson.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define ARGS_MAX 24
#define OUTPUT   "build/bench/fio.json"

extern char **environ;

/* Returns the seconds of processor time it took: fio itself does not count what the kernel's
 * io-wq threads do for it. */
static double spawn(char *const *args)
{
	struct rusage used;
	pid_t pid;
	int status;
	int ret = posix_spawnp(&pid, "fio", NULL, NULL, args, environ);

	if (ret)
		die("fio cannot be started: %s", strerror(ret));
	if (wait4(pid, &status, 0, &used) != pid || status)
		die("fio failed, see " OUTPUT);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static double number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_number(value))
		die("fio says no %s, see " OUTPUT, key);
	return json_number_value(value);
}

static void read_result(bool write, double cpu_seconds, struct fio_result *r)
{
	json_error_t error;
	json_t *root = json_load_file(OUTPUT, 0, &error);
	const json_t *job = json_array_get(json_object_get(root, "jobs"), 0);
	const json_t *side = json_object_get(job, write ? "write" : "read");

	r->iops = number(side, "iops");
	r->cpu_us = cpu_seconds * 1e6 / number(side, "total_ios");
	json_decref(root);
}

/* gtod_reduce: no clock is read per command, since our client reads none either. */
void fio_run(const struct fio_load *load, struct fio_result *r)
{
	char name[512], block[32], depth[32], runtime[32];
	double cpu_seconds;
	char *args[ARGS_MAX] = {
		"fio",
		"--name=peer",
		name,
		block,
		depth,
		runtime,
		load->write ? "--rw=randwrite" : "--rw=randread",
		load->direct ? "--direct=1" : "--direct=0",
		"--ioengine=io_uring",
		"--time_based",
		"--norandommap",
		"--randrepeat=0",
		"--invalidate=0",
		"--allow_file_create=0",
		"--gtod_reduce=1",
		"--output-format=json",
		"--output=" OUTPUT,
		load->batch ? "--iodepth_batch=32" : NULL, /* NULL ends the list */
		"--iodepth_batch_complete_max=32",
	};

	snprintf(name, sizeof(name), "--filename=%s", load->path);
	snprintf(block, sizeof(block), "--bs=%u", load->block);
	snprintf(depth, sizeof(depth), "--iodepth=%u", load->depth);
	snprintf(runtime, sizeof(runtime), "--runtime=%u", load->seconds);
	cpu_seconds = spawn(args);
	read_result(load->write, cpu_seconds, r);
}
