/* SPDX-License-Identifier: MIT */
/*
 * What is in flight, over four channels and two I/O threads: resets abort it, close
 * cuts it short, a stuck LUN does not starve another. Each command and each reset
 * is answered exactly once: guest_disk_take() and take_reset() see to that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "base/log.h"
#include "tests/support/storvsp_rig.h"

#define CHANNELS 4u
#define RESETS   64u
#define RESET_ID 0xFFFFFFFF00000000ull
#define RAW_ID   0x1000000000ull /* commands that are no slots */
#define RAW_MAX  1024u
#define MS       1000000ull

#define IN   VSTOR_DATA_IN
#define OUT  VSTOR_DATA_OUT
#define NONE VSTOR_DATA_NONE

#define TASK_SET_FULL 0x28u
#define ATTENTION     0x06u
#define TEST_UNIT     CDB(0, 0, 0, 0, 0, 0)

static bool asked[RESETS];
static uint32_t resets_left;
static bool raw[RAW_MAX];
static uint32_t raw_left, raw_full;
static uint8_t page[4096];

static int setup(void **state)
{
	struct storvsp_rig *rig = storvsp_rig_create(CHANNELS);

	*state = rig;
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, CHANNELS - 1);
	assert_int_equal(rig->d.channel_count, CHANNELS);
	return 0;
}

static int teardown(void **state)
{
	struct storvsp_rig *rig = *state;

	atomic_store(&rig->disk->hold, false);
	guest_disk_close(&rig->d);
	storvsp_rig_destroy(rig);
	return 0;
}

/* ---- the guest's side ---------------------------------------------------- */

static void reset(
	struct storvsp_rig *rig, uint32_t channel, uint32_t n, uint32_t operation, uint8_t lun)
{
	struct vstor_packet packet;

	storvsc_reset_build(&packet);
	packet.operation = operation;
	packet.srb.lun = lun;
	assert_false(asked[n]);
	asked[n] = true;
	resets_left++;
	assert_true(guest_chan_send(&rig->d.channels[channel], VMBUS_PKT_INBAND,
		VMBUS_PKT_FLAG_COMPLETION_REQUESTED, RESET_ID + n, NULL, &packet, sizeof(packet)));
}

static void take_reset(const struct vmbus_pkt *pkt)
{
	uint64_t n = pkt->desc.trans_id - RESET_ID;
	struct vstor_packet packet;

	assert_true(n < RESETS && asked[n]);
	asked[n] = false;
	resets_left--;
	memcpy(&packet, pkt->payload, sizeof(packet));
	assert_int_equal(packet.status, VSTOR_STATUS_SUCCESS);
}

static void take_raw(const struct vmbus_pkt *pkt)
{
	uint64_t n = pkt->desc.trans_id - RAW_ID;
	struct vstor_packet packet;

	assert_true(n < RAW_MAX && raw[n]);
	raw[n] = false;
	raw_left--;
	memcpy(&packet, pkt->payload, sizeof(packet));
	if (packet.srb.scsi_status != TASK_SET_FULL)
		return;
	assert_int_equal(packet.srb.srb_status, VSTOR_SRB_BUSY);
	assert_int_equal(packet.status, VSTOR_STATUS_DEVICE_BUSY);
	raw_full++;
}

/* What has come on all channels; waits when there is nothing. */
static void take(struct storvsp_rig *rig)
{
	uint64_t seen = guest_events(&rig->g);
	struct vmbus_pkt pkt;
	bool any = false;

	for (uint32_t i = 0; i < rig->d.channel_count; i++) {
		while (guest_chan_receive(&rig->d.channels[i], &pkt)) {
			any = true;
			if (pkt.desc.trans_id >= RESET_ID)
				take_reset(&pkt);
			else if (pkt.desc.trans_id - RAW_ID < RAW_MAX)
				take_raw(&pkt);
			else
				guest_disk_take(&rig->d, i, &pkt);
		}
	}
	if (!any)
		guest_wait_events(&rig->g, seen);
}

static void start_read(struct storvsp_rig *rig, uint32_t slot, uint8_t lun)
{
	guest_slot_read(&rig->d, slot, lun, slot * 8, 8);
	while (!guest_disk_submit(&rig->d, slot, slot % rig->d.channel_count))
		sched_yield(); /* the ring is full, the I/O thread is at it */
}

static void start_reads(struct storvsp_rig *rig)
{
	for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++)
		start_read(rig, slot, RIG_LUN);
	while (atomic_load(&rig->disk->count[DISK_READ]) < GUEST_DISK_SLOTS)
		sched_yield();
}

static const struct storvsc_completion *result(struct storvsp_rig *rig, uint32_t slot)
{
	struct guest_slot *s = &rig->d.slots[slot];

	while (s->state == SLOT_IN_FLIGHT)
		take(rig);
	assert_int_equal(s->state, SLOT_DONE);
	assert_int_equal(s->parse_error, 0);
	s->state = SLOT_FREE;
	return &s->result;
}

static void assert_aborted(const struct storvsc_completion *r)
{
	assert_int_equal(r->srb_status, VSTOR_SRB_BUS_RESET);
	assert_int_equal(r->scsi_status, 0x02);
	assert_int_equal(r->sense[2], 0x0B);
	assert_int_equal(r->transferred, 0);
}

static void assert_attention(struct storvsp_rig *rig, uint8_t lun)
{
	const struct storvsc_completion *r = guest_disk_run(&rig->d, lun, NONE, 0, TEST_UNIT);

	assert_int_equal(r->srb_status, VSTOR_SRB_ERROR);
	assert_int_equal(r->sense[2], ATTENTION);
	assert_int_equal(r->sense[12], 0x29);
}

static void assert_ready(struct storvsp_rig *rig, uint8_t lun)
{
	assert_int_equal(
		guest_disk_run(&rig->d, lun, NONE, 0, TEST_UNIT)->srb_status, VSTOR_SRB_SUCCESS);
}

/* ---- resets -------------------------------------------------------------- */

static void reset_of(struct storvsp_rig *rig, uint32_t operation, bool all)
{
	atomic_store(&rig->disk->hold, true);
	start_reads(rig);
	reset(rig, 3, 0, operation, RIG_LUN);
	while (resets_left)
		take(rig);
	/* All commands came before it, in some channel's ring. */
	for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++)
		assert_aborted(result(rig, slot));
	assert_attention(rig, RIG_LUN);
	assert_ready(rig, RIG_LUN);
	if (all)
		assert_attention(rig, RIG_LUN_LAST);
	assert_ready(rig, RIG_LUN_LAST);
}

static void reset_lun_aborts_on_all_channels(void **state)
{
	reset_of(*state, VSTOR_OP_RESET_LUN, false);
}

static void reset_bus_aborts_on_all_channels(void **state)
{
	reset_of(*state, VSTOR_OP_RESET_BUS, true);
}

static void reset_adapter_aborts_on_all_channels(void **state)
{
	reset_of(*state, VSTOR_OP_RESET_ADAPTER, true);
}

static void another_lun_goes_on(void **state)
{
	struct storvsp_rig *rig = *state;

	atomic_store(&rig->disk->hold, true);
	start_reads(rig);
	reset(rig, 1, 0, VSTOR_OP_RESET_LUN, RIG_LUN_LAST);
	while (resets_left)
		take(rig);
	assert_int_equal(guest_disk_in_flight(&rig->d), GUEST_DISK_SLOTS);
	assert_int_equal(atomic_load(&rig->disk->cancels), 0);
	fault_disk_release_all(rig->disk);
	for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++)
		assert_int_equal(result(rig, slot)->transferred, 4096);
}

static void reservations_survive(void **state)
{
	struct storvsp_rig *rig = *state;
	static const uint8_t key[24] = {[8] = 0x12, [15] = 0x34};
	uint8_t reply[16];

	guest_slot_put(&rig->d, 0, key, sizeof(key));
	assert_int_equal(
		guest_disk_run(&rig->d, RIG_LUN, OUT, 24, CDB(0x5F, 0, 0, 0, 0, 0, 0, 0, 24, 0))
			->srb_status,
		VSTOR_SRB_SUCCESS);
	reset(rig, 0, 0, VSTOR_OP_RESET_LUN, RIG_LUN);
	reset(rig, 1, 1, VSTOR_OP_RESET_BUS, 0);
	while (resets_left)
		take(rig);
	assert_attention(rig, RIG_LUN);
	assert_int_equal(
		guest_disk_run(&rig->d, RIG_LUN, IN, 16, CDB(0x5E, 0, 0, 0, 0, 0, 0, 0, 16, 0))
			->srb_status,
		VSTOR_SRB_SUCCESS);
	guest_slot_get(&rig->d, 0, reply, sizeof(reply));
	assert_memory_equal(reply + 8, key + 8, 8);
}

static void set_cache(struct storvsp_rig *rig, bool on)
{
	const uint8_t list[24] = {0, 0, 0, 0, 0x08, 0x12, on ? 0x04 : 0};

	guest_slot_put(&rig->d, 0, list, sizeof(list));
	assert_int_equal(
		guest_disk_run(&rig->d, RIG_LUN, OUT, 24, CDB(0x15, 0x10, 0, 0, 24, 0))->srb_status,
		VSTOR_SRB_SUCCESS);
}

static bool cache_is_on(struct storvsp_rig *rig)
{
	uint8_t reply[24];

	assert_int_equal(
		guest_disk_run(&rig->d, RIG_LUN, IN, 24, CDB(0x1A, 0, 8, 0, 24, 0))->srb_status,
		VSTOR_SRB_SUCCESS);
	guest_slot_get(&rig->d, 0, reply, sizeof(reply));
	return reply[6] & 0x04;
}

static bool write_is_durable(struct storvsp_rig *rig)
{
	uint64_t before = atomic_load(&rig->disk->fua_count);

	assert_int_equal(guest_disk_run(&rig->d, RIG_LUN, OUT, RIG_BLOCK,
				 CDB(0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0))
				 ->srb_status,
		VSTOR_SRB_SUCCESS);
	return atomic_load(&rig->disk->fua_count) > before;
}

/* The guest gets a unit attention for the mode page, which a reset changes; the durability it was
 * promised before holds all the same. */
static void a_cache_switched_off_is_not_used_after_a_reset(void **state)
{
	static const uint32_t operations[] = {
		VSTOR_OP_RESET_LUN, VSTOR_OP_RESET_ADAPTER, VSTOR_OP_RESET_BUS};
	struct storvsp_rig *rig = *state;

	for (uint32_t i = 0; i < 3; i++) {
		assert_false(write_is_durable(rig));
		set_cache(rig, false);
		assert_false(cache_is_on(rig));
		assert_true(write_is_durable(rig));
		reset(rig, i, 0, operations[i], RIG_LUN);
		while (resets_left)
			take(rig);
		assert_attention(rig, RIG_LUN);
		assert_true(cache_is_on(rig));
		assert_true(write_is_durable(rig));
		set_cache(rig, true);
	}
}

/* A disk that gives nothing back: resets are answered all the same, commands only when it does. */
static void reset_does_not_wait_for_ever(void **state)
{
	struct storvsp_rig *rig = *state;

	atomic_store(&rig->disk->hold, true);
	atomic_store(&rig->disk->stubborn, true);
	start_reads(rig);
	for (uint32_t n = 0; n < 8; n++)
		reset(rig, n % CHANNELS, n, n % 2 ? VSTOR_OP_RESET_BUS : VSTOR_OP_RESET_LUN,
			RIG_LUN);
	reset(rig, 0, 8, VSTOR_OP_RESET_LUN, RIG_LUN_LAST);
	while (resets_left)
		take(rig);
	assert_int_equal(guest_disk_in_flight(&rig->d), GUEST_DISK_SLOTS);
	assert_int_equal(atomic_load(&rig->disk->cancels), GUEST_DISK_SLOTS);
	fault_disk_release_all(rig->disk);
	for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++)
		assert_int_equal(result(rig, slot)->transferred, 4096);
}

/* ---- commands that wait for others --------------------------------------- */

#define COMPARE_WRITE 1u
#define WRITES        CHANNELS /* slots; one a channel */

static void start_write(struct storvsp_rig *rig, uint32_t slot)
{
	struct guest_slot *s = &rig->d.slots[slot];

	s->byte_offset = 0;
	s->cmd = (struct storvsc_command){.lun = RIG_LUN,
		.data = OUT,
		.length = 2 * RIG_BLOCK,
		.cdb_length = 16,
		.cdb = {0x8A, 0, 0, 0, 0, 0, BE4(slot * 8), 0, 0, 0, 2}};
	if (slot == COMPARE_WRITE) {
		s->cmd.cdb[0] = 0x89;
		s->cmd.cdb[13] = 1;
	}
	assert_true(guest_disk_submit(&rig->d, slot, slot % rig->d.channel_count));
}

/* Returns when the I/O thread has had everything that came on this slot's channel. */
static void pass(struct storvsp_rig *rig, uint32_t slot)
{
	start_read(rig, slot + 2 * CHANNELS, RIG_LUN_LAST);
	assert_int_equal(result(rig, slot + 2 * CHANNELS)->transferred, 4096);
}

/* The disk has one write, behind which COMPARE AND WRITE waits, behind which other writes do. */
static void start_writes(struct storvsp_rig *rig)
{
	atomic_store(&rig->disk->hold, true);
	for (uint32_t slot = 0; slot < WRITES; slot++) {
		start_write(rig, slot);
		pass(rig, slot);
	}
	assert_int_equal(atomic_load(&rig->disk->count[DISK_WRITE]), 1);
	assert_int_equal(atomic_load(&rig->disk->count[DISK_READ]), 0);
}

static void assert_untouched(struct storvsp_rig *rig)
{
	assert_int_equal(atomic_load(&rig->disk->count[DISK_WRITE]), 1);
	assert_int_equal(atomic_load(&rig->disk->count[DISK_READ]), 0);
	assert_int_equal(atomic_load(&rig->disk->cancels), 1);
}

static void reset_aborts_what_waits_at_the_fence(void **state)
{
	struct storvsp_rig *rig = *state;

	start_writes(rig);
	reset(rig, 2, 0, VSTOR_OP_RESET_LUN, RIG_LUN);
	while (resets_left)
		take(rig);
	for (uint32_t slot = 0; slot < WRITES; slot++)
		assert_aborted(result(rig, slot));
	assert_untouched(rig);
}

/* The write does not complete: the others need not wait for it. */
static void a_stuck_write_keeps_nobody_at_the_fence(void **state)
{
	struct storvsp_rig *rig = *state;

	atomic_store(&rig->disk->stubborn, true);
	start_writes(rig);
	reset(rig, 2, 0, VSTOR_OP_RESET_BUS, 0);
	while (resets_left)
		take(rig);
	for (uint32_t slot = 1; slot < WRITES; slot++)
		assert_aborted(result(rig, slot));
	assert_int_equal(guest_disk_in_flight(&rig->d), 1);
	fault_disk_release_all(rig->disk);
	assert_int_equal(result(rig, 0)->transferred, 2 * RIG_BLOCK);
	assert_untouched(rig);
}

static void close_with_a_wait_at_the_fence(void **state)
{
	struct storvsp_rig *rig = *state;

	start_writes(rig);
	guest_disk_close(&rig->d);
	assert_untouched(rig);
	atomic_store(&rig->disk->hold, false);
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, CHANNELS - 1);
	assert_int_equal(guest_disk_run(&rig->d, RIG_LUN, OUT, RIG_BLOCK,
				 CDB(0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0))
				 ->srb_status,
		VSTOR_SRB_SUCCESS);
}

/* ---- storm --------------------------------------------------------------- */

static void check_storm(const struct storvsc_completion *r)
{
	if (r->srb_status == VSTOR_SRB_SUCCESS)
		assert_int_equal(r->transferred, 4096);
	else if (r->srb_status == VSTOR_SRB_ERROR)
		assert_int_equal(r->sense[12], 0x29);
	else
		assert_aborted(r);
}

/* Commands and resets on all channels, on a disk that takes its time. */
static void storm(void **state)
{
	struct storvsp_rig *rig = *state;
	uint32_t commands = 0, resets = 0, random = 1;

	atomic_store(&rig->disk->delay_ns, MS);
	while (commands < 4000) {
		for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++) {
			struct guest_slot *s = &rig->d.slots[slot];

			if (s->state == SLOT_DONE)
				check_storm(result(rig, slot));
			if (s->state != SLOT_FREE)
				continue;
			start_read(rig, slot, slot % 8 ? RIG_LUN : RIG_LUN_LAST);
			commands++;
		}
		random = random * 1664525 + 1013904223;
		if (!asked[random >> 26]) {
			reset(rig, (random >> 8) % CHANNELS, random >> 26,
				VSTOR_OP_RESET_LUN + (random >> 16) % 3, RIG_LUN);
			resets++;
		}
		take(rig);
	}
	while (guest_disk_in_flight(&rig->d) || resets_left)
		take(rig);
	for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++)
		check_storm(result(rig, slot));
	assert_true(resets > 50 && atomic_load(&rig->disk->cancels) > 0);
	print_message("# %u commands, %u resets, %u cancelled\n", commands, resets,
		(unsigned)atomic_load(&rig->disk->cancels));
}

/* ---- close --------------------------------------------------------------- */

/* The guest closes while a disk holds everything, and resets are on their way. */
static void close_cuts_short(void **state)
{
	struct storvsp_rig *rig = *state;
	uint8_t now[4096];

	memset(page, 0xC3, sizeof(page));
	for (uint32_t round = 0; round < 10; round++) {
		atomic_store(&rig->disk->hold, true);
		atomic_store(&rig->disk->count[DISK_READ], 0);
		start_reads(rig);
		for (uint32_t n = 0; n < round; n++)
			reset(rig, n % CHANNELS, n, VSTOR_OP_RESET_BUS, 0);
		guest_disk_close(&rig->d);
		memset(asked, 0, sizeof(asked));
		resets_left = 0;
		for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++)
			guest_slot_put(&rig->d, slot, page, sizeof(page));
		atomic_store(&rig->disk->hold, false);
		guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, CHANNELS - 1);
		for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++) {
			guest_slot_get(&rig->d, slot, now, sizeof(now));
			assert_memory_equal(now, page, sizeof(now));
		}
		if (round)
			assert_attention(rig, RIG_LUN);
		if (round)
			assert_attention(rig, RIG_LUN_LAST);
	}
}

/* The host stops with a stuck disk: what can be cancelled does not hold it up. */
static void stop_cuts_short(void **state)
{
	struct storvsp_rig *rig = *state;

	atomic_store(&rig->disk->delay_ns, 200000 * MS);
	start_reads(rig);
	storvsp_rig_destroy(rig);
}

/* ---- room ---------------------------------------------------------------- */

static void start_flushes(struct storvsp_rig *rig, uint32_t count)
{
	struct storvsc_command cmd = {
		.lun = RIG_LUN, .data = NONE, .cdb_length = 10, .cdb = {0x35}};
	struct vstor_packet packet;

	storvsc_command_build(&cmd, &packet);
	raw_full = 0;
	for (uint32_t n = 0; n < count; n++) {
		assert_false(raw[n]);
		raw[n] = true;
		raw_left++;
		while (!guest_chan_send(&rig->d.channels[0], VMBUS_PKT_INBAND,
			VMBUS_PKT_FLAG_COMPLETION_REQUESTED, RAW_ID + n, NULL, &packet,
			sizeof(packet)))
			take(rig);
	}
}

/* One LUN never answers and has as many commands as it can get; another one works. */
static void a_stuck_lun_starves_nobody(void **state)
{
	struct storvsp_rig *rig = *state;
	uint32_t held;

	atomic_store(&rig->disk->hold, true);
	start_flushes(rig, RAW_MAX);
	for (uint32_t round = 0; round < 50; round++) {
		for (uint32_t i = 0; i < 8; i++) { /* on the same channel */
			start_read(rig, i * CHANNELS, RIG_LUN_LAST);
			assert_int_equal(result(rig, i * CHANNELS)->transferred, 4096);
		}
		for (uint32_t i = 0; i < 8; i++)
			start_read(rig, i * CHANNELS, RIG_LUN_LAST);
		for (uint32_t i = 0; i < 8; i++)
			assert_int_equal(result(rig, i * CHANNELS)->transferred, 4096);
	}
	held = (uint32_t)atomic_load(&rig->disk->count[DISK_FLUSH]);
	assert_in_range(held, 200, 256); /* of 512 */
	assert_int_equal(raw_left, held);
	assert_int_equal(raw_full, RAW_MAX - held);
	/* Commands that do not wait for the disk are done; Linux could not handle anything else. */
	assert_ready(rig, RIG_LUN);
	fault_disk_release_all(rig->disk);
	while (raw_left)
		take(rig);
	/* And then there is room again. */
	atomic_store(&rig->disk->hold, false);
	start_flushes(rig, 200);
	while (raw_left)
		take(rig);
	assert_int_equal(raw_full, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reset_lun_aborts_on_all_channels),
		TEST(reset_bus_aborts_on_all_channels),
		TEST(reset_adapter_aborts_on_all_channels),
		TEST(another_lun_goes_on),
		TEST(reservations_survive),
		TEST(a_cache_switched_off_is_not_used_after_a_reset),
		TEST(reset_does_not_wait_for_ever),
		TEST(reset_aborts_what_waits_at_the_fence),
		TEST(a_stuck_write_keeps_nobody_at_the_fence),
		TEST(close_with_a_wait_at_the_fence),
		TEST(storm),
		TEST(close_cuts_short),
		TEST(a_stuck_lun_starves_nobody),
		cmocka_unit_test_setup(stop_cuts_short, setup),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
