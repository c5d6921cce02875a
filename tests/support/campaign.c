/* SPDX-License-Identifier: MIT */
#include "tests/support/campaign.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "disk/filter/filter.h"
#include "disk/filter/filters.h"
#include "tests/support/check.h"
#include "tests/support/disk_rig.h"
#include "vsp/storvsp/storvsp.h"

#define LUN              7u
#define INSTANCE         0x55
#define KILL_MAX_US      60000u
#define OPEN_WAIT_MS     120000u
#define CUT_COMMANDS     160u
#define GUEST_VPS        3u
#define GUEST_IO_THREADS 2u

static uint8_t medium[IO_MODEL_BYTES];

static void __attribute__((format(printf, 2, 3)))
violation(struct campaign *c, const char *format, ...)
{
	va_list args;

	if (c->violations++)
		return;
	va_start(args, format);
	vsnprintf(c->first, sizeof(c->first), format, args);
	va_end(args);
}

/* ---- a disk that lies ---------------------------------------------------- */

static void lie_submit(struct disk_queue *queue, struct disk_req *req)
{
	if (req->op == DISK_FLUSH) {
		req->done(req, 0);
		return;
	}
	req->flags &= ~DISK_FLAG_FUA;
	filter_pass(queue, req);
}

static const struct disk_ops lie_ops = {
	.name = "lie",
	FILTER_OPS,
	.submit = lie_submit,
};

static struct disk *lie_over(struct disk *lower)
{
	struct disk *disk = filter_create(sizeof(*disk), &lie_ops, lower, NULL);

	check(disk);
	return disk;
}

/* ---- the guest ----------------------------------------------------------- */

struct host {
	struct guest g;
	struct guest_disk d;
	struct io_client client;
};

static struct host *host_start(
	struct disk *disk, struct io_model *m, struct io_counts *counts, uint32_t seed)
{
	struct guest_config config = {
		.ram = 96 << 20, .vps = GUEST_VPS, .io_threads = GUEST_IO_THREADS};
	struct storvsp_lun_config lun = {.lun = LUN, .disk = disk};
	struct storvsp_config storvsp = {.luns = &lun, .lun_count = 1};
	struct host *h = calloc(1, sizeof(*h));

	check(h);
	guest_start(&h->g, &config);
	guest_add_device(&h->g, &storvsp_ops, INSTANCE, &storvsp);
	guest_connect(&h->g, VMBUS_VERSION_WIN10_V5_3);
	guest_disk_init(&h->d, &h->g, INSTANCE);
	guest_disk_open(&h->d, VSTOR_VERSION_WIN10, GUEST_VPS - 1);
	io_client_init(&h->client, &h->d, LUN, m, counts, seed);
	return h;
}

static void host_stop(struct host *h)
{
	guest_disk_close(&h->d);
	guest_stop(&h->g);
	free(h);
}

/* ---- the judge ----------------------------------------------------------- */

static void judge(struct campaign *c, struct io_model *m, const uint8_t *bytes)
{
	for (uint32_t i = 0; i < IO_MODEL_SECTORS; i++) {
		struct io_sector before = m->sector[i];
		enum io_verdict verdict = io_model_settle(m, i, bytes + i * IO_MODEL_SECTOR);

		c->unflushed += before.completed > before.durable;
		c->old += verdict == IO_OLD;
		if (verdict == IO_LOST || verdict == IO_GARBAGE)
			violation(c,
				"round %u: sector %u: %s; submitted %u, completed %u, durable %u, decided %u",
				c->rounds_done, i, verdict == IO_LOST ? "lost" : "garbage",
				before.submitted, before.completed, before.durable, before.lost);
	}
}

static void check_counts(struct campaign *c)
{
	if (c->counts.mismatches)
		violation(c, "round %u: a read returned what was not written", c->rounds_done);
}

static void create_file(const char *dir, char path[256])
{
	int fd;

	snprintf(path, 256, "%s/enlite-campaign-XXXXXX", dir);
	fd = mkstemp(path);
	check(fd >= 0 && ftruncate(fd, IO_MODEL_BYTES) == 0);
	close(fd);
}

/* ---- power cuts ---------------------------------------------------------- */

static void powercut_round(struct campaign *c, struct host *h, struct disk *disk, uint64_t *random)
{
	struct io_counts *counts = &c->counts;
	uint64_t failed;

	h->client.depth = 1 + (uint32_t)(filter_random(random) % GUEST_DISK_SLOTS);
	io_client_run(&h->client, 1 + (uint32_t)(filter_random(random) % CUT_COMMANDS));
	failed = counts->failed;
	if (failed)
		violation(c, "round %u: %llu commands failed", c->rounds_done,
			(unsigned long long)failed);
	disk_volatile_power_off(disk);
	io_client_drain(&h->client);
	if (disk_volatile_cut(disk))
		violation(c, "round %u: the cut failed", c->rounds_done);
	counts->failed = 0;
	io_client_read_all(&h->client, medium);
	judge(c, h->client.m, medium);
	check_counts(c);
}

void campaign_powercut(struct campaign *c)
{
	struct disk_file_options o = {0};
	struct io_model *m = calloc(1, sizeof(*m));
	uint64_t random = c->seed;
	struct disk *disk, *top;
	char path[256];
	struct host *h;

	check(m);
	create_file(c->dir ? c->dir : "/dev/shm", path); /* the medium: slower than memory */
	check(!disk_file_open(&disk, path, &o, NULL));
	check(!disk_volatile_open(&disk, disk, c->seed, NULL));
	top = c->lie ? lie_over(disk) : disk;
	io_model_init(m);
	h = host_start(top, m, &c->counts, c->seed);
	unlink(path); /* the LUN's reservation needed the name */
	while (c->rounds_done < c->rounds && !c->violations) {
		powercut_round(c, h, disk, &random);
		c->rounds_done++;
	}
	host_stop(h);
	disk_close(top);
	free(m);
}

/* ---- kills --------------------------------------------------------------- */

/* Memory that outlives the child. */
struct shared {
	struct io_model model;
	struct io_counts counts;
	uint32_t failed; /* the child's last word */
};

static struct disk *open_file(const struct campaign *c, const char *path, bool direct)
{
	struct disk_file_options o = {.direct = direct};
	struct disk *disk;
	struct err e;

	if (disk_file_open(&disk, path, &o, &e)) {
		fprintf(stderr, "%s\n", e.text);
		abort();
	}
	if (!c->lie)
		return disk;
	check(!disk_volatile_open(&disk, disk, c->seed, NULL));
	return lie_over(disk);
}

static void child_main(const struct campaign *c, const char *path, struct shared *s)
{
	struct host *h;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	h = host_start(open_file(c, path, c->rounds_done % 2), &s->model, &s->counts,
		c->seed + c->rounds_done);
	for (;;) {
		io_client_run(&h->client, 100);
		if (s->counts.failed || s->counts.mismatches)
			_exit(1);
	}
}

static uint64_t commands_done(const struct shared *s)
{
	uint64_t sum = s->counts.failed + s->counts.mismatches;

	for (uint32_t kind = 0; kind < IO_KINDS; kind++)
		sum += __atomic_load_n(&s->counts.done[kind], __ATOMIC_RELAXED);
	return sum;
}

/* On a busy machine the child may not work yet when its time is up. */
static void wait_until_it_works(const struct shared *s, uint64_t before)
{
	for (uint32_t ms = 0; ms < OPEN_WAIT_MS && commands_done(s) == before; ms++)
		poll(NULL, 0, 1);
}

static void wait_us(uint64_t us)
{
	struct timespec ts = {.tv_nsec = (long)us * 1000};

	ppoll(NULL, 0, &ts, NULL);
}

/* The lock goes with the last reference to the file, which requests in flight hold: who gets it
 * knows that nothing of the dead is still writing. */
static struct disk *open_after_death(struct campaign *c, const char *path)
{
	struct disk_file_options o = {0};
	uint64_t start = loop_now_ns();
	struct disk *disk;
	uint64_t ms;
	int ret;

	do {
		ret = disk_file_open(&disk, path, &o, NULL);
		ms = (loop_now_ns() - start) / 1000000;
		if (ret == -EBUSY)
			poll(NULL, 0, 1);
	} while (ret == -EBUSY && ms < OPEN_WAIT_MS);
	if (ms > c->wait_ms_max)
		c->wait_ms_max = ms;
	if (!ret)
		return disk;
	violation(c, "round %u: the disk cannot be opened: %s", c->rounds_done, strerror(-ret));
	return NULL;
}

static void read_medium(struct disk *disk)
{
	static struct disk_rig rig;

	disk_rig_init(&rig, disk);
	check(!disk_rig_run(&rig, DISK_READ, 0, 0, IO_MODEL_BYTES, medium));
	disk_rig_fini(&rig, false);
}

static void kill_round(struct campaign *c, const char *path, struct shared *s, uint64_t *random)
{
	uint64_t before = commands_done(s);
	struct disk *disk;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	check(pid >= 0);
	if (pid == 0)
		child_main(c, path, s);
	if (filter_random(random) % 4) /* the others may die while they open the disk */
		wait_until_it_works(s, before);
	wait_us(filter_random(random) % KILL_MAX_US);
	kill(pid, SIGKILL);
	check(waitpid(pid, &status, 0) == pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		violation(c, "round %u: the process ended by itself, status %#x, %llu failed",
			c->rounds_done, status, (unsigned long long)s->counts.failed);
	disk = open_after_death(c, path);
	if (!disk)
		return;
	read_medium(disk);
	judge(c, &s->model, medium);
	/* The page cache outlives the process: nothing acknowledged may be gone at all. */
	if (c->old)
		violation(c, "round %u: acknowledged sectors are gone", c->rounds_done);
}

void campaign_kill(struct campaign *c)
{
	struct shared *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t random = c->seed;
	char path[256];

	check(s != MAP_FAILED);
	io_model_init(&s->model);
	create_file(c->dir ? c->dir : "/tmp", path);
	while (c->rounds_done < c->rounds && !c->violations) {
		kill_round(c, path, s, &random);
		c->rounds_done++;
	}
	c->counts = s->counts;
	unlink(path);
	munmap(s, sizeof(*s));
}

/* ---- programs ------------------------------------------------------------ */

static void print_figures(const struct campaign *c, const char *name)
{
	const uint64_t *done = c->counts.done;

	printf("%s: %u rounds, seed %u: %llu violations; %llu writes, %llu FUA, %llu zeroes, "
	       "%llu flushes, %llu reads checked; %llu acknowledged sectors were not flushed, "
	       "%llu of them lost; opened again within %llu ms\n",
		name, c->rounds_done, c->seed, (unsigned long long)c->violations,
		(unsigned long long)done[IO_WRITE], (unsigned long long)done[IO_WRITE_FUA],
		(unsigned long long)done[IO_ZEROES], (unsigned long long)done[IO_FLUSH],
		(unsigned long long)done[IO_READ], (unsigned long long)c->unflushed,
		(unsigned long long)c->old, (unsigned long long)c->wait_ms_max);
	if (c->violations)
		printf("%s: first violation: %s\n", name, c->first);
}

int campaign_main(
	int argc, char **argv, const char *name, uint32_t rounds, void (*run)(struct campaign *c))
{
	struct campaign c = {.rounds = rounds, .seed = 1};
	int option;

	while ((option = getopt(argc, argv, "n:s:d:l")) != -1) {
		switch (option) {
		case 'n':
			c.rounds = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 's':
			c.seed = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'd':
			c.dir = optarg;
			break;
		case 'l':
			c.lie = true;
			break;
		default:
			fprintf(stderr, "usage: %s [-n ROUNDS] [-s SEED] [-d DIR] [-l (lie)]\n",
				name);
			return 2;
		}
	}
	log_set_level(LOG_ERROR);
	run(&c);
	print_figures(&c, name);
	return c.violations != 0;
}
