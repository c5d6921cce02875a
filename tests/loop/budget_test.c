/* SPDX-License-Identifier: MIT */
/*
 * What a hostile guest can make its VM allocate: 64 VPs, a channel each, a disk that needs a copy
 * of every transfer, and replies that the guest does not take. The budget bounds it, the process's
 * memory shows it, every command is still answered once, and in the end nothing is used.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/support/guest_disk.h"
#include "vsp/storvsp/storvsp.h"

#define MIB       (1ull << 20)
#define RAM       (192 * MIB)
#define INSTANCE  0x42
#define LUN       0u
#define DISK_SIZE (64 * MIB)
#define SMALL     (64u << 10)
#define LARGE     (1u << 20)
/* Of memory that is not charged: stacks, the loops' rings, the heap's fragments. */
#define SLACK (12 * MIB)

static struct guest g;
static struct guest_disk d;
static struct disk *disk;
static struct vsp_device *dev;
static char path[] = "build/enlite-budget-XXXXXX";

/* ---- memory of this process ---------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__)
const char *__asan_default_options(void);
/* Freed memory would stay resident. */
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=1";
}
#endif

/* Resident, without the guest's RAM, which is shared memory. */
static uint64_t own_memory(void)
{
	unsigned long size, resident, shared;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu %lu", &size, &resident, &shared), 3);
	fclose(f);
	return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ThreadSanitizer keeps several bytes for each. */
static bool memory_is_real(void)
{
#if defined(__SANITIZE_THREAD__)
	return false;
#else
	return true;
#endif
}

/* Enough to use up any budget below; ThreadSanitizer is slow. */
static uint32_t many_vps(void)
{
	return memory_is_real() ? 64 : 16;
}

/* ---- rig ----------------------------------------------------------------- */

static void start(uint32_t vps, uint64_t limit)
{
	struct guest_config config = {
		.ram = RAM, .vps = vps, .io_threads = 2, .budget = limit, .shared = true};
	struct storvsp_lun_config lun = {.lun = LUN, .disk = disk};
	struct storvsp_config controller = {.luns = &lun, .lun_count = 1};

	guest_start(&g, &config);
	dev = guest_add_device(&g, &storvsp_ops, INSTANCE, &controller);
	guest_connect(&g, VMBUS_VERSION_WIN10_V5_3);
	guest_disk_init(&d, &g, INSTANCE);
	guest_disk_open(&d, VSTOR_VERSION_WIN10, (uint16_t)(vps - 1));
}

/* All that was taken is given back. */
static void stop(void)
{
	guest_stop(&g);
	assert_int_equal(budget_used(&g.budget), 0);
	assert_int_equal(g.budget.common, 0);
}

static int setup(void **state)
{
	struct err e;
	int fd;

	fd = mkstemp(path);
	if (fd < 0 || ftruncate(fd, DISK_SIZE))
		return -1;
	close(fd);
	if (disk_file_open(&disk, path, &(struct disk_file_options){.direct = true}, &e)) {
		print_message("# skipped: %s\n", e.text);
		disk = NULL;
	}
	return 0;
}

static int teardown(void **state)
{
	if (disk)
		disk_close(disk);
	return unlink(path);
}

/* ---- traffic ------------------------------------------------------------- */

struct traffic {
	uint64_t sent, good, full;
	uint64_t memory; /* highest */
};

/* A READ into pages at an offset that O_DIRECT cannot use. All of a channel use the same pages. */
static bool send_read(uint32_t channel, uint32_t bytes, uint64_t id)
{
	struct vstor_packet packet;
	struct vmbus_vec extra;
	struct guest_slot *s = &d.slots[channel];

	guest_slot_read(&d, channel, LUN, 0, (uint16_t)(bytes / 512));
	s->byte_offset = 4;
	storvsc_command_build(&s->cmd, &packet);
	extra.base = guest_slot_range(&d, channel, &extra.len);
	return guest_chan_send(&d.channels[channel], VMBUS_PKT_GPA_DIRECT,
		VMBUS_PKT_FLAG_COMPLETION_REQUESTED, id, &extra, &packet,
		storvsc_packet_size(&d.conn));
}

static void nothing(void *arg)
{
}

static void note_memory(struct traffic *t)
{
	uint64_t now = own_memory();

	if (now > t->memory)
		t->memory = now;
}

/* Fills all rings; false: they were full. */
static bool send_all(struct traffic *t, uint32_t bytes)
{
	uint64_t before = t->sent;

	for (uint32_t c = 0; c < d.channel_count; c++)
		while (send_read(c, bytes, t->sent + 1))
			t->sent++;
	note_memory(t);
	return t->sent != before;
}

static void let_host_run(void)
{
	for (uint32_t i = 0; i < g.host.io_thread_count; i++)
		loop_call(g.host.io_threads[i], nothing, NULL);
}

/* Until the host takes no more: its requests wait for room, and none is at the disk. */
static void send_until_stalled(struct traffic *t, uint32_t bytes)
{
	uint32_t idle = 0;

	while (idle < 3) {
		idle = send_all(t, bytes) || g.budget.accounts[BUDGET_BOUNCES].used ? 0 : idle + 1;
		let_host_run();
	}
}

static void take_reply(struct traffic *t, const struct vmbus_pkt *pkt)
{
	struct vstor_packet reply = {0};
	struct vstor_srb srb;

	if (pkt->desc.type != VMBUS_PKT_COMPLETION)
		return;
	memcpy(&reply, pkt->payload, pkt->payload_len);
	srb = reply.srb;
	if (srb.srb_status == VSTOR_SRB_SUCCESS)
		t->good++;
	else if (srb.srb_status == VSTOR_SRB_BUSY)
		t->full++;
	else
		fail_msg("SRB status %#x", srb.srb_status);
}

static void take_all_replies(struct traffic *t)
{
	struct vmbus_pkt pkt;

	while (t->good + t->full < t->sent) {
		uint64_t seen = guest_events(&g), before = t->good + t->full;

		for (uint32_t c = 0; c < d.channel_count; c++)
			while (guest_chan_receive(&d.channels[c], &pkt))
				take_reply(t, &pkt);
		note_memory(t);
		if (t->good + t->full == before)
			guest_wait_events(&g, seen);
	}
}

/* ---- tests --------------------------------------------------------------- */

static void check_memory(const struct traffic *t, uint64_t before, uint64_t limit)
{
	print_message("# %llu commands, %llu of them refused for now; budget %llu KiB, peak %llu "
		      "KiB; resident %llu KiB more than before\n",
		(unsigned long long)t->sent, (unsigned long long)t->full,
		(unsigned long long)(limit >> 10),
		(unsigned long long)(budget_peak(&g.budget) >> 10),
		(unsigned long long)((t->memory - before) >> 10));
	if (memory_is_real())
		assert_true(t->memory - before <= limit + SLACK);
	assert_true(budget_peak(&g.budget) <= limit);
}

static void untaken_replies(uint64_t limit)
{
	uint64_t before = own_memory();
	struct traffic t = {0};

	if (!disk)
		skip();
	start(many_vps(), limit);
	send_until_stalled(&t, SMALL);
	assert_true(budget_refusals(&g.budget, BUDGET_REQUESTS) > 0);
	take_all_replies(&t);
	assert_int_equal(t.good + t.full, t.sent);
	check_memory(&t, before, limit);
	stop();
}

static void replies_that_are_not_taken(void **state)
{
	untaken_replies(BUDGET_DEFAULT);
}

static void the_smallest_budget_serves_64_channels(void **state)
{
	untaken_replies(BUDGET_MIN);
}

/* More at once than the budget has room for: some are refused, and all of them can be repeated. */
static void copies_for_direct_io(void **state)
{
	uint64_t before = own_memory();
	struct traffic t = {0};

	if (!disk)
		skip();
	start(4, BUDGET_MIN);
	while (t.sent < 4000) {
		send_all(&t, LARGE);
		take_all_replies(&t);
	}
	assert_true(t.good > 100);
	check_memory(&t, before, BUDGET_MIN);
	t = (struct traffic){.memory = t.memory};
	assert_true(send_read(0, LARGE, 1));
	t.sent = 1;
	take_all_replies(&t);
	assert_int_equal(t.good, 1);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_that_are_not_taken),
		cmocka_unit_test(the_smallest_budget_serves_64_channels),
		cmocka_unit_test(copies_for_direct_io),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
