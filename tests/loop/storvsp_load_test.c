/* SPDX-License-Identifier: MIT */
/*
 * Traffic on all channels of the real controller, and everything that can end
 * it: close, a new contact, removal, faults. Each command completes
 * exactly once or its channel is gone; after that, no byte of its buffer changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "tests/support/storvsp_rig.h"

#define LUN RIG_LUN

#define IN   VSTOR_DATA_IN
#define NONE VSTOR_DATA_NONE

static uint8_t scratch[4096];

static int setup(void **state)
{
	*state = storvsp_rig_create(3);
	return 0;
}

static int teardown(void **state)
{
	storvsp_rig_destroy(*state);
	return 0;
}

/* ---- traffic ------------------------------------------------------------- */

static void random_traffic_on_all_channels(void **state)
{
	struct storvsp_rig *rig = *state;
	struct storvsp_counters c;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 2);
	assert_int_equal(rig->d.channel_count, 3);
	storvsp_rig_traffic(rig, 3000);
	assert_int_equal(rig->d.completions, 3000);
	assert_int_equal(storvsp_counters(rig->dev, LUN, &c), 0);
	assert_int_equal(c.reads + c.writes + c.flushes, 3000);
	assert_int_equal(c.reads, atomic_load(&rig->disk->count[DISK_READ]));
	assert_int_equal(c.flushes, atomic_load(&rig->disk->count[DISK_FLUSH]));
	assert_int_equal(c.writes, atomic_load(&rig->disk->count[DISK_WRITE]) +
					   atomic_load(&rig->disk->count[DISK_WRITE_ZEROES]));
	assert_int_equal(c.errors, 0);
	assert_int_equal(storvsp_counters(rig->dev, 0, &c), -ENOENT);
	guest_disk_close(&rig->d);
}

static void random_traffic_on_a_slow_disk(void **state)
{
	struct storvsp_rig *rig = *state;

	atomic_store(&rig->disk->delay_ns, 100000);
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN8, 2);
	storvsp_rig_traffic(rig, 600);
	guest_disk_close(&rig->d);
}

/* A guest that takes no replies: both rings and all requests fill up, and then all is there. */
static void unread_replies_hold_the_guest_back(void **state)
{
	struct storvsp_rig *rig = *state;
	struct vstor_packet none = {.operation = 0};
	uint64_t sent;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	sent = storvsp_rig_fill(rig);
	assert_false(guest_chan_send(&rig->d.channels[0], VMBUS_PKT_INBAND,
		VMBUS_PKT_FLAG_COMPLETION_REQUESTED, sent + 1, NULL, &none, sizeof(none)));
	storvsp_rig_take_all(rig, 0, sent);
	assert_int_equal(guest_disk_run(&rig->d, LUN, NONE, 0, CDB(0, 0, 0, 0, 0, 0))->srb_status,
		VSTOR_SRB_SUCCESS);
	guest_disk_close(&rig->d);
}

static void disk_errors_reach_the_guest(void **state)
{
	struct storvsp_rig *rig = *state;
	struct storvsp_counters c;
	const struct storvsc_completion *r;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	atomic_store(&rig->disk->error[DISK_READ], -EIO);
	r = guest_disk_run(&rig->d, LUN, IN, 512, CDB(0x28, 0, BE4(0x77), 0, 0, 1, 0));
	assert_int_equal(r->srb_status, VSTOR_SRB_ERROR);
	assert_memory_equal(r->sense, "\xF0\x00\x03\x00\x00\x00\x77", 7);
	assert_int_equal(r->sense[12], 0x11);
	atomic_store(&rig->disk->error[DISK_READ], 0);
	r = guest_disk_run(&rig->d, LUN, IN, 512, CDB(0x28, 0, BE4(0x77), 0, 0, 1, 0));
	assert_int_equal(r->transferred, 512);
	assert_int_equal(storvsp_counters(rig->dev, LUN, &c), 0);
	assert_int_equal(c.errors, 1);
	assert_int_equal(c.reads, 1);
	assert_int_equal(c.read_bytes, 512);
	guest_disk_close(&rig->d);
}

/* ---- ends under load ----------------------------------------------------- */

/* Reads of ones into buffers of zeroes, on a disk that takes its time. */
static void start_reads(struct storvsp_rig *rig)
{
	struct guest_disk *d = &rig->d;

	atomic_store(&rig->disk->delay_ns, 2000000);
	for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++) {
		memset(scratch, 0, 4096);
		guest_slot_put(d, slot, scratch, 4096);
		guest_slot_read(d, slot, LUN, slot * 8, 8);
		assert_true(guest_disk_submit(d, slot, slot % d->channel_count));
	}
}

/* Whatever was in flight: after the close the host must not touch the guest's memory. */
static void poison_buffers(struct storvsp_rig *rig)
{
	memset(scratch, 0xC3, 4096);
	for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++)
		guest_slot_put(&rig->d, slot, scratch, 4096);
}

static void assert_poison(struct storvsp_rig *rig)
{
	uint8_t page[4096];

	memset(scratch, 0xC3, 4096);
	for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++) {
		guest_slot_get(&rig->d, slot, page, sizeof(page));
		assert_memory_equal(page, scratch, sizeof(page));
	}
}

/* Long enough for anything forgotten to come: a whole life of the device. */
static void live_again(struct storvsp_rig *rig)
{
	assert_poison(rig);
	atomic_store(&rig->disk->delay_ns, 0);
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 2);
	assert_poison(rig);
	storvsp_rig_traffic(rig, 200);
	guest_disk_close(&rig->d);
}

static void close_with_commands_in_flight(void **state)
{
	struct storvsp_rig *rig = *state;

	for (uint32_t round = 0; round < 5; round++) {
		guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 2);
		start_reads(rig);
		guest_disk_close(&rig->d);
		poison_buffers(rig);
		live_again(rig);
	}
}

/* A guest that dies: its new kernel makes contact while the old one's channels are busy. */
static void contact_with_commands_in_flight(void **state)
{
	struct storvsp_rig *rig = *state;

	for (uint32_t round = 0; round < 5; round++) {
		guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 2);
		start_reads(rig);
		guest_connect(&rig->g, round % 2 ? VMBUS_VERSION_WIN10 : VMBUS_VERSION_WIN10_V5_2);
		guest_disk_forget(&rig->d);
		poison_buffers(rig);
		live_again(rig);
	}
}

static void give_back(struct storvsp_rig *rig)
{
	struct guest_disk *d = &rig->d;

	for (uint32_t i = 0; i < d->channel_count; i++)
		guest_wait_rescind(&rig->g, d->channels[i].offer.relid);
	poison_buffers(rig);
	for (uint32_t i = d->channel_count; i-- > 0;)
		guest_release(&rig->g, d->channels[i].offer.relid);
	guest_disk_forget(d);
}

static void removal_with_commands_in_flight(void **state)
{
	struct storvsp_rig *rig = *state;

	for (uint32_t round = 0; round < 5; round++) {
		guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 2);
		start_reads(rig);
		guest_remove_device(&rig->g, rig->dev);
		give_back(rig);
		guest_wait_removed(&rig->g, rig->dev);
		rig->g.device_count--;
		storvsp_rig_add_controller(rig); /* the same disks once more */
		live_again(rig);
	}
}

/* Corrupt packets end the channel; the device is offered again later. */
static void fault_with_commands_in_flight(void **state)
{
	struct storvsp_rig *rig = *state;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 2);
	start_reads(rig);
	__atomic_store_n(&rig->d.channels[1].tx.ctl->write_index, 12, __ATOMIC_RELEASE); /* odd */
	guest_chan_signal(&rig->d.channels[1]);
	give_back(rig);
	live_again(rig);
}

static void opens_and_closes_many_times(void **state)
{
	struct storvsp_rig *rig = *state;

	for (uint32_t round = 0; round < 30; round++) {
		guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, (uint16_t)(round % 3));
		storvsp_rig_traffic(rig, 20);
		guest_disk_close(&rig->d);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(random_traffic_on_all_channels),
		TEST(random_traffic_on_a_slow_disk),
		TEST(unread_replies_hold_the_guest_back),
		TEST(disk_errors_reach_the_guest),
		TEST(close_with_commands_in_flight),
		TEST(contact_with_commands_in_flight),
		TEST(removal_with_commands_in_flight),
		TEST(fault_with_commands_in_flight),
		TEST(opens_and_closes_many_times),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
