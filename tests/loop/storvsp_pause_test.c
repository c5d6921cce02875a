/* SPDX-License-Identifier: MIT */
/*
 * A storage controller that is paused and resumed while its guest works, on four
 * channels of two I/O threads: no command is lost, cancelled or done twice, data
 * is verified, and a paused controller starts nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <string.h>

#include "base/log.h"
#include "tests/support/guest_pauser.h"
#include "tests/support/hot_disk.h"

#define SUBS     3u
#define CYCLES   1000u
#define RESET_ID 0x7000000000000000ull

static int setup(void **state)
{
	*state = storvsp_rig_create(SUBS + 1);
	return 0;
}

static int teardown(void **state)
{
	storvsp_rig_destroy(*state);
	return 0;
}

/* ---- 1,000 cycles -------------------------------------------------------- */

/* Requests that came to the disk, and interrupts. */
static uint64_t activity(void *ctx)
{
	struct storvsp_rig *rig = ctx;
	uint64_t interrupts;

	pthread_mutex_lock(&rig->g.lock);
	interrupts = rig->g.interrupts;
	pthread_mutex_unlock(&rig->g.lock);
	return storvsp_rig_requests(rig) + interrupts;
}

static void cycle(struct storvsp_rig *rig, uint32_t cycles)
{
	struct guest_pauser p = {.g = &rig->g,
		.dev = rig->dev,
		.pause_max_ns = 300000,
		.run_max_ns = 300000,
		.activity = activity,
		.ctx = rig};

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	guest_pauser_start(&p);
	while (p.cycles < cycles)
		storvsp_rig_traffic(rig, 100);
	guest_pauser_stop(&p);
	assert_true(p.paused > cycles / 2);
	storvsp_rig_traffic(rig, 100);
	guest_disk_close(&rig->d);
}

static void a_thousand_cycles_under_verified_io(void **state)
{
	cycle(*state, CYCLES);
}

/* Most requests are at the disk when the pause begins. */
static void cycles_with_a_slow_disk(void **state)
{
	struct storvsp_rig *rig = *state;

	atomic_store(&rig->disk->delay_ns, 200000);
	cycle(rig, 100);
}

/* ---- changes meanwhile --------------------------------------------------- */

static uint64_t disk_requests(void *ctx)
{
	return storvsp_rig_requests(ctx);
}

static void start_pauser(struct guest_pauser *p, struct storvsp_rig *rig)
{
	*p = (struct guest_pauser){.g = &rig->g,
		.dev = rig->dev,
		.pause_max_ns = 300000,
		.run_max_ns = 300000,
		.activity = disk_requests,
		.ctx = rig};
	guest_pauser_start(p);
}

static void opens_and_closes_meanwhile(void **state)
{
	struct storvsp_rig *rig = *state;
	struct guest_pauser p;

	start_pauser(&p, rig);
	for (uint32_t i = 0; i < 60; i++) {
		guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, (uint16_t)(i % (SUBS + 1)));
		storvsp_rig_traffic(rig, 30);
		for (uint32_t slot = 0; slot < i % 16; slot++) { /* closed in flight */
			guest_slot_read(&rig->d, slot, RIG_LUN, slot, 1);
			guest_disk_submit(&rig->d, slot, slot % rig->d.channel_count);
		}
		guest_disk_close(&rig->d);
	}
	guest_pauser_stop(&p);
	assert_true(p.paused > 0);
}

static void luns_come_and_go_meanwhile(void **state)
{
	struct storvsp_rig *rig = *state;
	struct hot hot = {.rig = rig, .dev = rig->dev};
	struct guest_pauser p;

	start_pauser(&p, rig);
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	for (uint32_t i = 0; i < 100; i++) {
		hot_add(&hot);
		for (uint32_t slot = 0; slot < 8; slot++) {
			guest_slot_read(&rig->d, slot, HOT_LUN, slot, 1);
			guest_disk_submit(&rig->d, slot, slot % rig->d.channel_count);
		}
		hot_remove(&hot);
		for (uint32_t slot = 0; slot < 8; slot++)
			guest_disk_wait(&rig->d, slot);
	}
	assert_int_equal(hot.additions, 100);
	assert_int_equal(hot.removals, 100);
	guest_disk_close(&rig->d);
	guest_pauser_stop(&p);
	assert_true(p.paused > 0);
}

static void send_reset(struct storvsp_rig *rig, uint32_t channel, uint64_t id)
{
	struct vstor_packet packet;

	storvsc_reset_build(&packet);
	packet.srb.lun = RIG_LUN;
	assert_true(guest_chan_send(&rig->d.channels[channel], VMBUS_PKT_INBAND,
		VMBUS_PKT_FLAG_COMPLETION_REQUESTED, RESET_ID + id, NULL, &packet, sizeof(packet)));
}

/* Until all commands and resets are answered. */
static void take_all(struct storvsp_rig *rig, uint32_t resets)
{
	struct vmbus_pkt pkt;

	while (resets || guest_disk_in_flight(&rig->d)) {
		uint64_t seen = guest_events(&rig->g);
		bool any = false;

		for (uint32_t i = 0; i < rig->d.channel_count; i++) {
			while (guest_chan_receive(&rig->d.channels[i], &pkt)) {
				any = true;
				if (pkt.desc.trans_id >= RESET_ID)
					resets--;
				else
					guest_disk_take(&rig->d, i, &pkt);
			}
		}
		if (!any && (resets || guest_disk_in_flight(&rig->d)))
			guest_wait_events(&rig->g, seen);
	}
}

static void resets_meanwhile(void **state)
{
	struct storvsp_rig *rig = *state;
	struct guest_pauser p;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	start_pauser(&p, rig);
	for (uint32_t i = 0; i < 200; i++) {
		for (uint32_t slot = 0; slot < 16; slot++) {
			guest_slot_read(&rig->d, slot, RIG_LUN, slot, 1);
			guest_disk_submit(&rig->d, slot, slot % rig->d.channel_count);
		}
		send_reset(rig, i % rig->d.channel_count, i);
		take_all(rig, 1);
		for (uint32_t slot = 0; slot < 16; slot++)
			rig->d.slots[slot].state = SLOT_FREE;
	}
	guest_pauser_stop(&p);
	assert_true(p.paused > 0);
	guest_disk_close(&rig->d);
}

/* ---- pauses that wait ---------------------------------------------------- */

struct waiting {
	struct storvsp_rig *rig;
	bool paused;
};

static void was_paused(void *ctx)
{
	((struct waiting *)ctx)->paused = true;
}

static void begin_pause(void *arg)
{
	struct waiting *w = arg;

	vsp_device_pause(w->rig->dev, was_paused, w);
}

static void end_pause(void *arg)
{
	struct waiting *w = arg;

	vsp_device_resume(w->rig->dev);
}

static void nothing(void *arg)
{
}

/* Each loop has run all that was posted before, and what that has posted. */
static void settle(struct storvsp_rig *rig)
{
	for (int i = 0; i < 4; i++) {
		for (uint32_t t = 0; t < rig->g.host.io_thread_count; t++)
			loop_call(rig->g.host.io_threads[t], nothing, NULL);
		guest_control(&rig->g, nothing, NULL);
	}
}

/* The pause waits for a stuck LUN; the others complete what they have and take no more. */
static void a_stuck_lun_delays_the_pause(void **state)
{
	struct storvsp_rig *rig = *state;
	struct waiting w = {.rig = rig};

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	atomic_store(&rig->disk->hold, true);
	guest_slot_read(&rig->d, 0, RIG_LUN, 0, 1);
	assert_true(guest_disk_submit(&rig->d, 0, 0));
	while (storvsp_rig_requests(rig) < 1)
		sched_yield();
	guest_control(&rig->g, begin_pause, &w);
	settle(rig);
	assert_false(w.paused);
	guest_slot_read(&rig->d, 1, RIG_LUN_LAST, 0, 1);
	assert_true(guest_disk_submit(&rig->d, 1, 0));
	settle(rig);
	assert_int_equal(guest_disk_poll(&rig->d), 0);
	/* The user goes on without it. */
	guest_control(&rig->g, end_pause, &w);
	assert_int_equal(guest_disk_wait(&rig->d, 1)->srb_status, VSTOR_SRB_SUCCESS);
	/* And once more: the disk completes. */
	guest_control(&rig->g, begin_pause, &w);
	settle(rig);
	assert_false(w.paused);
	atomic_store(&rig->disk->hold, false);
	fault_disk_release_all(rig->disk);
	assert_int_equal(guest_disk_wait(&rig->d, 0)->srb_status, VSTOR_SRB_SUCCESS);
	settle(rig);
	assert_true(w.paused);
	guest_control(&rig->g, end_pause, &w);
	storvsp_rig_traffic(rig, 50);
	guest_disk_close(&rig->d);
}

/* Neither replies that the guest does not read nor packets it goes on sending keep it from pausing.
 */
static void full_rings_do_not_delay_the_pause(void **state)
{
	struct storvsp_rig *rig = *state;
	uint64_t sent, received;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	sent = storvsp_rig_fill(rig);
	guest_pause(&rig->g, rig->dev);
	received = storvsp_rig_take(rig, 0);
	settle(rig);
	assert_int_equal(storvsp_rig_take(rig, received), received);
	assert_true(received < sent);
	guest_resume(&rig->g, rig->dev);
	storvsp_rig_take_all(rig, received, sent);
	guest_disk_close(&rig->d);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_thousand_cycles_under_verified_io),
		TEST(cycles_with_a_slow_disk),
		TEST(opens_and_closes_meanwhile),
		TEST(luns_come_and_go_meanwhile),
		TEST(resets_meanwhile),
		TEST(a_stuck_lun_delays_the_pause),
		TEST(full_rings_do_not_delay_the_pause),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
