/* SPDX-License-Identifier: MIT */
/*
 * Stacks of disks as users write them (host/config/spec.c), under the real storvsp:
 * verified traffic on three channels; injected errors reach the guest one for one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "config/config.h"
#include "disk/filter/filters.h"

#include "tests/support/io_client.h"
#include "tests/support/nbd_server.h"
#include "vsp/storvsp/storvsp.h"

#define LUN      9u
#define INSTANCE 0x66

struct rig {
	struct guest g;
	struct guest_disk d;
	struct io_client client;
	struct io_model model;
	struct io_counts counts;
	struct disk *disk, *other;
	struct vsp_device *dev;
};

static struct disk *open_spec(const char *text)
{
	struct disk_config config;
	struct disk *disk;
	struct err e;

	if (disk_config_parse(&config, text, NULL, &e) || disk_config_open(&disk, &config, &e))
		fail_msg("%s", e.text);
	disk_config_free(&config);
	return disk;
}

static struct rig *begin(const char *text)
{
	struct guest_config config = {.ram = 96 << 20, .vps = 3, .io_threads = 2};
	struct rig *rig = calloc(1, sizeof(*rig));
	struct storvsp_lun_config luns[2];
	struct storvsp_config storvsp = {.luns = luns, .lun_count = 2};

	assert_non_null(rig);
	rig->disk = open_spec(text);
	rig->other = open_spec("memory:1M");
	luns[0] = (struct storvsp_lun_config){.lun = LUN, .disk = rig->disk};
	luns[1] = (struct storvsp_lun_config){.lun = LUN + 1, .disk = rig->other};
	io_model_init(&rig->model);
	guest_start(&rig->g, &config);
	rig->dev = guest_add_device(&rig->g, &storvsp_ops, INSTANCE, &storvsp);
	guest_connect(&rig->g, VMBUS_VERSION_WIN10_V5_3);
	guest_disk_init(&rig->d, &rig->g, INSTANCE);
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 2);
	io_client_init(&rig->client, &rig->d, LUN, &rig->model, &rig->counts, 5);
	return rig;
}

static void end(struct rig *rig)
{
	guest_disk_close(&rig->d);
	guest_stop(&rig->g);
	disk_close(rig->disk);
	disk_close(rig->other);
	free(rig);
}

static void run(struct rig *rig, uint32_t commands)
{
	io_client_run(&rig->client, commands);
	io_client_drain(&rig->client);
	assert_int_equal(rig->counts.mismatches, 0);
}

static uint64_t all_done(const struct rig *rig)
{
	uint64_t sum = rig->counts.failed;

	for (uint32_t kind = 0; kind < IO_KINDS; kind++)
		sum += rig->counts.done[kind];
	return sum;
}

static void verified_over(const char *text, uint32_t commands)
{
	struct rig *rig = begin(text);

	run(rig, commands);
	assert_int_equal(rig->counts.failed, 0);
	assert_int_equal(all_done(rig), commands);
	end(rig);
}

static void delays(void **state)
{
	verified_over("memory:1M,delay=10-500us", 1500);
}

static void limits(void **state)
{
	verified_over("memory:1M,iops=20000,bps=256M", 1500);
}

static void volatile_cache(void **state)
{
	verified_over("memory:1M,delay=10-200us,volatile=3,delay=1-100us:flush", 1500);
}

static void every_filter_at_once(void **state)
{
	verified_over(
		"memory:1M,delay=0-50us,volatile,log=/dev/null,iops=100000,bps=1G,error=0.0001%:flush,delay=0-50us:read",
		600);
}

/* Row M3: what was injected is what the guest has seen, to the last one. A failed write changes
 * nothing, a failed flush promises nothing, and reads still give what was acknowledged. */
static void injected_errors_are_counted_errors(void **state)
{
	struct rig *rig = begin("memory:1M,error=5%");
	struct storvsp_counters c;

	run(rig, 4000);
	assert_true(rig->counts.failed > 100);
	assert_int_equal(rig->counts.failed, disk_error_injected(rig->disk));
	assert_int_equal(all_done(rig), 4000);
	assert_int_equal(storvsp_counters(rig->dev, LUN, &c), 0);
	assert_int_equal(c.errors, rig->counts.failed);
	end(rig);
}

static void no_space_is_told_as_such(void **state)
{
	static const uint8_t write_one[10] = {0x2A, [8] = 1};
	struct rig *rig = begin("memory:1M,error=1/1:write:ENOSPC");
	const struct storvsc_completion *r =
		guest_disk_run(&rig->d, LUN, VSTOR_DATA_OUT, 512, 10, write_one);

	assert_int_equal(r->scsi_status, 2);
	assert_int_equal(r->sense[2], 0x07);
	assert_int_equal(r->sense[12], 0x27);
	assert_int_equal(r->sense[13], 0x07);
	end(rig);
}

/* Row S4: one LUN does not answer, until the channel is closed; the other one does. */
static void a_stuck_unit_holds_nobody_else(void **state)
{
	static const uint8_t read_one[10] = {0x28, [8] = 1};
	struct rig *rig = begin("memory:1M,delay=3600s");
	struct guest_slot *s = &rig->d.slots[GUEST_DISK_SLOTS - 1];

	guest_slot_read(&rig->d, GUEST_DISK_SLOTS - 1, LUN, 0, 1);
	assert_true(guest_disk_submit(&rig->d, GUEST_DISK_SLOTS - 1, 0));
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(guest_disk_run(&rig->d, LUN + 1, VSTOR_DATA_IN, 512, 10, read_one)
					 ->srb_status,
			VSTOR_SRB_SUCCESS);
	assert_int_equal(s->state, SLOT_IN_FLIGHT);
	end(rig);
}

static void nbd_under_storvsp(void **state)
{
	static const char *const args[] = {"file", "FILE", NULL};
	static const char *const single[] = {
		"--filter=multi-conn", "file", "FILE", "multi-conn-mode=disable", NULL};
	struct nbd_server server;

	if (!nbd_server_available()) {
		print_message("# skipped: no nbdkit here\n");
		skip();
	}
	for (uint32_t i = 0; i < 2; i++) {
		struct rig *rig;

		nbd_server_init(&server, i ? single : args, IO_MODEL_BYTES);
		nbd_server_start(&server);
		rig = begin(server.uri);
		for (uint32_t kills = 0; kills < 3; kills++) {
			run(rig, 400);
			io_client_run(&rig->client, 100);
			nbd_server_kill(&server);
			nbd_server_start(&server);
			io_client_drain(&rig->client);
		}
		run(rig, 400);
		assert_int_equal(all_done(rig), 3 * 500 + 400);
		/* Only flushes may have failed, and these tell of a server that was lost. */
		assert_true(rig->counts.failed > 0 && rig->counts.failed < 3 * 64);
		end(rig);
		nbd_server_fini(&server);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delays),
		cmocka_unit_test(limits),
		cmocka_unit_test(volatile_cache),
		cmocka_unit_test(every_filter_at_once),
		cmocka_unit_test(injected_errors_are_counted_errors),
		cmocka_unit_test(no_space_is_told_as_such),
		cmocka_unit_test(a_stuck_unit_holds_nobody_else),
		cmocka_unit_test(nbd_under_storvsp),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
