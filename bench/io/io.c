/* SPDX-License-Identifier: MIT */
/*
 * Storage without a virtual machine: random reads and writes of 4 and 128 KiB through
 * ring, channel, storvsp and the file back end, beside fio's io_uring engine on
 * the same file, in turn. A ratio is ours to fio's of the same round.
 *
 *   ring       our client, the I/O thread sleeps when it has nothing to do (--poll off)
 *   ring-poll  the same with an I/O thread that looks around before it sleeps (--poll auto)
 *   ring-busy  and with a guest that looks all the time, like a polled driver in user space
 *   fio        one thread, fio's defaults: submits and takes commands one by one
 *   fio-batch  one thread, up to 32 commands at a time
 *
 * Our side is two threads, guest and I/O thread, that wake each other; fio is one,
 * which is why processor time per command is printed too.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/wakeup.h"
#include "bench/io/client.h"
#include "bench/io/die.h"
#include "bench/io/fio.h"

#define ROUNDS_MAX 99u
#define REPORT     "build/bench/io.json"
#define CHUNK      (1u << 20)
#define NS         1000000000ull

struct options {
	uint64_t rounds, seconds, mib;
	const char *only;
};

struct place {
	const char *name;
	const char *path;
	bool direct;
};

struct bench {
	const struct options *o;
	const struct place *place;
	struct disk *disk;
	struct bench_load load;
	uint64_t poll_ns; /* of an I/O thread that polls */
};

enum series { RING, RING_POLL, RING_BUSY, FIO, FIO_BATCH, SERIES };

static const struct {
	const char *name;
	bool ours;
	bool io_thread_polls, guest_polls; /* of ours */
	bool batch;                        /* of fio */
} all_series[SERIES] = {
	[RING] = {.name = "ring", .ours = true},
	[RING_POLL] = {.name = "ring-poll", .ours = true, .io_thread_polls = true},
	[RING_BUSY] = {.name = "ring-busy",
		.ours = true,
		.io_thread_polls = true,
		.guest_polls = true},
	[FIO] = {.name = "fio"},
	[FIO_BATCH] = {.name = "fio-batch", .batch = true},
};

struct figures {
	double value[ROUNDS_MAX];
};

struct outcome {
	struct figures iops[SERIES];
	struct figures cpu_us[SERIES];
	struct figures host_cpu_us[SERIES]; /* ours only */
	struct bench_result last[SERIES];
};

/* ---- files --------------------------------------------------------------- */

static void fill(int fd, const char *path, uint64_t bytes)
{
	uint8_t *chunk = malloc(CHUNK);
	uint32_t random = 1;

	if (!chunk)
		die("out of memory");
	for (uint32_t i = 0; i < CHUNK; i++) {
		random = random * 1664525 + 1013904223;
		chunk[i] = (uint8_t)(random >> 16);
	}
	for (uint64_t at = 0; at < bytes; at += CHUNK)
		if (pwrite(fd, chunk, CHUNK, (off_t)at) != CHUNK)
			die("%s: %s", path, strerror(errno));
	free(chunk);
}

/* Written, not sparse: a hole is no I/O. */
static void make_file(const char *path, uint64_t bytes)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	fill(fd, path, bytes);
	if (fsync(fd))
		die("%s: %s", path, strerror(errno));
	close(fd);
}

/* No case starts with the dirty pages of another. */
static void settle(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || fsync(fd))
		die("%s: %s", path, strerror(errno));
	close(fd);
}

/* ---- rounds -------------------------------------------------------------- */

static void run_ours(const struct bench *b, enum series s, struct bench_result *r)
{
	uint64_t poll_ns = all_series[s].io_thread_polls ? b->poll_ns : 0;
	struct bench_client *c = bench_client_create(b->disk, poll_ns);
	struct bench_load load = b->load;

	load.polled = all_series[s].guest_polls;
	bench_client_run(c, &load, r);
	bench_client_destroy(c);
}

static void run_fio(const struct bench *b, enum series s, struct bench_result *r)
{
	struct fio_load load = {
		.path = b->place->path,
		.direct = b->place->direct,
		.write = b->load.write,
		.block = b->load.block,
		.depth = b->load.depth,
		.seconds = (uint32_t)b->o->seconds,
		.batch = all_series[s].batch,
	};
	struct fio_result result;

	fio_run(&load, &result);
	*r = (struct bench_result){.iops = result.iops, .cpu_us = result.cpu_us};
}

static void run_series(const struct bench *b, enum series s, struct bench_result *r)
{
	settle(b->place->path);
	if (all_series[s].ours)
		run_ours(b, s, r);
	else
		run_fio(b, s, r);
}

/* Every second round the other way around. */
static void run_round(const struct bench *b, uint32_t round, struct outcome *out)
{
	for (uint32_t i = 0; i < SERIES; i++) {
		enum series s = round % 2 ? SERIES - 1 - i : i;

		run_series(b, s, &out->last[s]);
		out->iops[s].value[round] = out->last[s].iops;
		out->cpu_us[s].value[round] = out->last[s].cpu_us;
		out->host_cpu_us[s].value[round] = out->last[s].host_cpu_us;
	}
}

/* ---- report -------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct spread {
	double min, median, max;
};

static struct spread spread_of(const struct figures *f, uint64_t rounds)
{
	struct figures sorted = *f;

	qsort(sorted.value, rounds, sizeof(double), compare);
	return (struct spread){sorted.value[0], sorted.value[rounds / 2], sorted.value[rounds - 1]};
}

static struct spread ratio_of(
	const struct outcome *out, enum series ours, enum series theirs, uint64_t rounds)
{
	struct figures ratio;

	for (uint64_t i = 0; i < rounds; i++)
		ratio.value[i] = out->iops[ours].value[i] / out->iops[theirs].value[i];
	return spread_of(&ratio, rounds);
}

static json_t *json_spread(struct spread s)
{
	return json_pack("{s:f, s:f, s:f}", "min", s.min, "median", s.median, "max", s.max);
}

static json_t *json_rounds(const struct figures *f, uint64_t rounds)
{
	json_t *array = json_array();

	for (uint64_t i = 0; i < rounds; i++)
		json_array_append_new(array, json_real(f->value[i]));
	return array;
}

static json_t *json_series(const struct outcome *out, enum series s, uint64_t rounds)
{
	json_t *j =
		json_pack("{s:o, s:o, s:o}", "iops", json_spread(spread_of(&out->iops[s], rounds)),
			"iops_rounds", json_rounds(&out->iops[s], rounds), "cpu_us_per_command",
			json_spread(spread_of(&out->cpu_us[s], rounds)));

	if (all_series[s].ours) {
		json_object_set_new(j, "host_cpu_us_per_command",
			json_spread(spread_of(&out->host_cpu_us[s], rounds)));
		json_object_set_new(
			j, "commands_per_doorbell", json_real(out->last[s].per_doorbell));
		json_object_set_new(
			j, "commands_per_interrupt", json_real(out->last[s].per_interrupt));
	}
	return j;
}

static json_t *json_case(const struct bench *b, const struct outcome *out)
{
	uint64_t rounds = b->o->rounds;
	json_t *j = json_pack("{s:s, s:b, s:s, s:i, s:i}", "place", b->place->name, "direct",
		b->place->direct, "rw", b->load.write ? "randwrite" : "randread", "block",
		(int)b->load.block, "iodepth", (int)b->load.depth);

	for (enum series s = 0; s < SERIES; s++)
		json_object_set_new(j, all_series[s].name, json_series(out, s, rounds));
	json_object_set_new(j, "ratio", json_spread(ratio_of(out, RING, FIO, rounds)));
	json_object_set_new(j, "ratio_poll", json_spread(ratio_of(out, RING_POLL, FIO, rounds)));
	json_object_set_new(j, "ratio_busy", json_spread(ratio_of(out, RING_BUSY, FIO, rounds)));
	json_object_set_new(j, "ratio_batch", json_spread(ratio_of(out, RING, FIO_BATCH, rounds)));
	return j;
}

static void print_head(const struct options *o)
{
	printf("# median IOPS (processor time per command) of %llu rounds of %llu s; of ours the ratio to fio\n# %-10s %-14s %2s",
		(unsigned long long)o->rounds, (unsigned long long)o->seconds, "where", "what",
		"qd");
	for (enum series s = 0; s < SERIES; s++)
		printf(all_series[s].ours ? " %-35s" : " %-17s", all_series[s].name);
	printf("\n");
}

static void print_case(const struct bench *b, const char *what, const struct outcome *out)
{
	uint64_t rounds = b->o->rounds;

	printf("%-12s %-14s %2u", b->place->name, what, b->load.depth);
	for (enum series s = 0; s < SERIES; s++) {
		struct spread ratio = ratio_of(out, s, FIO, rounds);

		printf(" %7.0f (%4.1f us)", spread_of(&out->iops[s], rounds).median,
			spread_of(&out->cpu_us[s], rounds).median);
		if (all_series[s].ours)
			printf(" %.2f (%.2f-%.2f)", ratio.median, ratio.min, ratio.max);
	}
	printf("\n");
	fflush(stdout);
}

/* ---- cases --------------------------------------------------------------- */

struct load {
	const char *name;
	bool write;
	uint32_t block, depth;
};

static const struct load loads[] = {
	{"randread", false, 4096, 32},
	{"randwrite", true, 4096, 32},
	{"randread", false, 4096, 1},
	{"randwrite", true, 4096, 1},
	{"randread-128k", false, BENCH_BLOCK_MAX, 32},
	{"randwrite-128k", true, BENCH_BLOCK_MAX, 32},
};

static void run_case(struct bench *b, const struct load *load, json_t *cases)
{
	struct outcome *out = calloc(1, sizeof(*out));
	char name[96];

	if (!out)
		die("out of memory");
	b->load = (struct bench_load){.write = load->write,
		.block = load->block,
		.depth = load->depth,
		.ns = b->o->seconds * NS};
	snprintf(name, sizeof(name), "%s %s %u", b->place->name, load->name, load->depth);
	if (!b->o->only || strstr(name, b->o->only)) {
		for (uint32_t round = 0; round < b->o->rounds; round++)
			run_round(b, round, out);
		print_case(b, load->name, out);
		json_array_append_new(cases, json_case(b, out));
	}
	free(out);
}

/* As a VM has at its start. */
static uint64_t poll_window_ns(void)
{
	struct err e;
	struct wakeup_meter *meter = wakeup_meter_new(&e);
	uint64_t ns;

	if (!meter)
		die("%s", e.text);
	ns = wakeup_poll_window_ns(wakeup_meter_ns(meter));
	wakeup_meter_free(meter);
	return ns;
}

static void run_place(const struct options *o, const struct place *place, json_t *cases)
{
	struct bench b = {.o = o, .place = place, .poll_ns = poll_window_ns()};
	struct disk_file_options disk_options = {.direct = place->direct};
	struct err e;

	if (disk_file_open(&b.disk, place->path, &disk_options, &e)) {
		printf("%-12s skipped: %s\n", place->name, e.text);
		return;
	}
	for (size_t i = 0; i < sizeof(loads) / sizeof(*loads); i++)
		run_case(&b, &loads[i], cases);
	disk_close(b.disk);
}

static void run_all(const struct options *o, json_t *cases)
{
	static const struct place places[] = {
		{"tmpfs", "/dev/shm/enlite-bench-io.img", false},
		{"file", "build/bench/io.img", false},
		{"file-direct", "build/bench/io.img", true},
	};

	make_file(places[0].path, o->mib << 20);
	make_file(places[1].path, o->mib << 20);
	print_head(o);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		run_place(o, &places[i], cases);
	unlink(places[0].path);
	unlink(places[1].path);
}

static void save(const struct options *o, json_t *cases)
{
	struct utsname host;
	json_t *root;

	uname(&host);
	root = json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:o}", "bench", "io", "kernel",
		host.release, "cpus", (int)sysconf(_SC_NPROCESSORS_ONLN), "rounds", (int)o->rounds,
		"seconds", (int)o->seconds, "file_mib", (int)o->mib, "cases", cases);
	if (json_dump_file(root, REPORT, JSON_INDENT(1)))
		die(REPORT ": %s", strerror(errno));
	json_decref(root);
	printf("# " REPORT "\n");
}

static void parse_options(int argc, char **argv, struct options *o)
{
	int c;
	bool bad = false;

	while ((c = getopt(argc, argv, "r:s:m:c:")) != -1) {
		if (c == 'r')
			bad |= parse_number(optarg, 1, ROUNDS_MAX, &o->rounds) != 0;
		else if (c == 's')
			bad |= parse_number(optarg, 1, 3600, &o->seconds) != 0;
		else if (c == 'm')
			bad |= parse_number(optarg, 1, 1 << 20, &o->mib) != 0;
		else if (c == 'c')
			o->only = optarg;
		else
			bad = true;
	}
	if (bad || optind != argc)
		die("usage: io [-r ROUNDS] [-s SECONDS] [-m MIB_OF_FILE] [-c PART_OF_A_CASE]");
}

int main(int argc, char **argv)
{
	struct options o = {.rounds = 5, .seconds = 2, .mib = 512};
	json_t *cases = json_array();

	parse_options(argc, argv, &o);
	if (mkdir("build/bench", 0777) && errno != EEXIST)
		die("build/bench: %s", strerror(errno));
	run_all(&o, cases);
	save(&o, cases);
	return 0;
}
