/* SPDX-License-Identifier: MIT */
/*
 * One test for each class of storage and bus vulnerabilities that became public
 * in other hosts, named after it: what a hostile guest did there, done here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "tests/support/entries.h"
#include "tests/support/scsi_rig.h"
#undef CDB
#include "tests/support/storvsp_rig.h"

/* Of the sanitizers this is built with; gcc has no header for it. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

#define LUN     RIG_LUN
#define CANARY  0xC5
#define WATCHED 65536u /* of a slot's buffer: more than commands here use */
#define RING_ID 0x7777777777777777ull

static struct storvsp_rig *rig;

static int setup(void **state)
{
	rig = storvsp_rig_create(4);
	return 0;
}

static int teardown(void **state)
{
	storvsp_rig_destroy(rig);
	return 0;
}

/* ---- packets as a hostile guest makes them ------------------------------- */

struct raw {
	struct vmbus_gpa_direct direct;
	struct vmbus_gpa_range range;
	uint64_t pfns[8];
	uint32_t pfn_count;
	struct vstor_packet packet;
};

/* READ(10) of 8 blocks into the first pages of slot 0. */
static struct raw raw_read(void)
{
	static const uint8_t cdb[] = {0x28, 0, 0, 0, 0, 1, 0, 0, 8, 0};
	struct vstor_srb srb = {.length = 0x34,
		.lun = LUN,
		.cdb_length = sizeof(cdb),
		.data_in = VSTOR_DATA_IN,
		.data_transfer_length = 4096};
	struct raw raw = {.direct = {.range_count = 1},
		.range = {.byte_count = 4096},
		.pfn_count = 1,
		.packet = {.operation = VSTOR_OP_EXECUTE_SRB, .flags = 1}};

	memcpy(srb.cdb, cdb, sizeof(cdb));
	raw.packet.srb = srb;
	raw.pfns[0] = rig->d.slots[0].gpa / HV_PAGE_SIZE;
	return raw;
}

static bool raw_send(struct guest_chan *chan, const struct raw *raw)
{
	struct vmbus_vec extra = {raw, 16 + raw->pfn_count * 8};

	return guest_chan_send(chan, raw->pfn_count ? VMBUS_PKT_GPA_DIRECT : VMBUS_PKT_INBAND,
		VMBUS_PKT_FLAG_COMPLETION_REQUESTED, RING_ID, raw->pfn_count ? &extra : NULL,
		&raw->packet, sizeof(raw->packet));
}

static struct vstor_packet raw_receive(struct guest_chan *chan)
{
	struct vstor_packet reply;
	struct vmbus_pkt pkt;

	for (;;) {
		uint64_t seen = guest_events(&rig->g);

		if (guest_chan_receive(chan, &pkt))
			break;
		guest_wait_events(&rig->g, seen);
	}
	assert_int_equal(pkt.desc.type, VMBUS_PKT_COMPLETION);
	assert_int_equal(pkt.desc.trans_id, RING_ID);
	assert_int_equal(pkt.payload_len, sizeof(reply));
	memcpy(&reply, pkt.payload, sizeof(reply));
	return reply;
}

static struct vstor_packet raw_run(const struct raw *raw)
{
	assert_true(raw_send(&rig->d.channels[0], raw));
	return raw_receive(&rig->d.channels[0]);
}

/* On this channel alone: packets of others stay in their rings. */
static void assert_works(uint32_t channel)
{
	struct guest_chan *chan = &rig->d.channels[channel];
	struct raw raw = raw_read();

	raw.pfns[0] = rig->d.slots[1].gpa / HV_PAGE_SIZE;
	assert_true(raw_send(chan, &raw));
	assert_int_equal(raw_receive(chan).status, 0);
}

/* ---- CVE-2019-0620: a request completed twice ---------------------------- */

/* Many requests under one transaction id, slow ones and refused ones, and resets of all kinds among
 * them: each is answered once, and nothing comes later. */
static void double_completion_cve_2019_0620(void **state)
{
	struct guest_chan *chan;
	uint32_t sent = 0, answered = 0;
	struct vmbus_pkt pkt;

	atomic_store(&rig->disk->delay_ns, 300000);
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	chan = &rig->d.channels[0];
	for (uint32_t i = 0; i < 600; i++) {
		struct raw raw = raw_read();

		if (i % 5 == 1) {
			raw.pfn_count = 0;
			raw.packet = (struct vstor_packet){.operation = 4 + i % 3, .flags = 1};
		} else if (i % 5 == 2) {
			raw.pfns[0] = UINT64_MAX;
		} else if (i % 5 == 3) {
			raw.packet.srb.cdb[0] = 0xFE;
		}
		while (!raw_send(chan, &raw)) {
			raw_receive(chan);
			answered++;
		}
		sent++;
	}
	while (answered < sent) {
		raw_receive(chan);
		answered++;
	}
	assert_works(0); /* on a disk that is slower than any second answer */
	assert_false(guest_chan_receive(chan, &pkt));
	guest_disk_close(&rig->d);
	assert_false(guest_chan_receive(chan, &pkt));
}

/* ---- CVE-2019-0720: memory taken back while it is used ------------------- */

static void start_slow_reads(uint32_t count)
{
	atomic_store(&rig->disk->delay_ns, 500000);
	for (uint32_t slot = 0; slot < count; slot++) {
		guest_slot_read(&rig->d, slot, LUN, 0, 16);
		assert_true(guest_disk_submit(&rig->d, slot, slot % rig->d.channel_count));
	}
}

static uint8_t *memory_of(uint32_t slot)
{
	return guest_at(&rig->g, rig->d.slots[slot].gpa);
}

static uint8_t *rings_of(uint32_t channel, uint32_t *bytes)
{
	struct guest_chan *chan = &rig->d.channels[channel];

	*bytes = 2 * chan->ring_pages * HV_PAGE_SIZE;
	return guest_at(&rig->g, chan->gpa);
}

static void assert_canaries(uint32_t slots, uint32_t channels)
{
	uint32_t bytes;

	for (uint32_t slot = 0; slot < slots; slot++)
		for (uint32_t i = 0; i < WATCHED; i++)
			if (memory_of(slot)[i] != CANARY)
				fail_msg("slot %u has been written at %u", slot, i);
	for (uint32_t c = 0; c < channels; c++)
		for (uint32_t i = 0; i < (rings_of(c, &bytes), bytes); i++)
			if (rings_of(c, &bytes)[i] != CANARY)
				fail_msg("ring %u has been written at %u", c, i);
}

/* The GPADL of the primary's ring is torn down first, with reads in flight; then the channels are
 * closed. No answer comes while the host uses anything, and nothing is touched after the last. */
static void gpadl_unmapped_during_use_cve_2019_0720(void **state)
{
	struct vmbus_gpadl_torndown torndown;
	uint32_t bytes;

	for (uint32_t round = 0; round < 20; round++) {
		struct guest_chan *chan = &rig->d.channels[0];
		struct vmbus_gpadl_teardown teardown;
		struct vmbus_relid_msg close;

		guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 2);
		start_slow_reads(16);
		teardown = (struct vmbus_gpadl_teardown){
			.relid = chan->offer.relid, .gpadl = chan->gpadl};
		close = (struct vmbus_relid_msg){.relid = chan->offer.relid};
		guest_post(&rig->g, VMBUS_MSG_GPADL_TEARDOWN, &teardown, sizeof(teardown));
		for (uint32_t i = 1; i < 3; i++)
			guest_chan_close(&rig->d.channels[i]);
		pthread_mutex_lock(&rig->g.lock);
		assert_int_equal(rig->g.message_count, 0); /* still open */
		pthread_mutex_unlock(&rig->g.lock);
		guest_post(&rig->g, VMBUS_MSG_CLOSE, &close, sizeof(close));
		guest_expect(&rig->g, VMBUS_MSG_GPADL_TORNDOWN, &torndown, sizeof(torndown));
		assert_int_equal(torndown.gpadl, chan->gpadl);
		for (uint32_t i = 0; i < 3; i++)
			memset(rings_of(i, &bytes), CANARY, (rings_of(i, &bytes), bytes));
		for (uint32_t slot = 0; slot < 16; slot++)
			memset(memory_of(slot), CANARY, WATCHED);
		guest_disk_forget(&rig->d);
		/* what the host still had to do on its threads, it has done after this */
		for (uint32_t i = 1; i < 3; i++)
			guest_release(&rig->g, rig->d.channels[i].offer.relid);
		guest_connect(&rig->g, VMBUS_VERSION_WIN10_V5_3);
		assert_canaries(16, 3);
	}
}

/* ---- CVE-2021-28476: a number of the guest as an address or an index ----- */

static void check_refused(const struct raw *raw, const char *what, uint64_t value)
{
	struct vstor_packet reply;

	memset(memory_of(0), CANARY, HV_PAGE_SIZE);
	reply = raw_run(raw);
	if (reply.status == 0 && reply.srb.data_transfer_length)
		fail_msg("%s %#llx was believed", what, (unsigned long long)value);
	for (uint32_t i = 0; i < HV_PAGE_SIZE; i++)
		assert_int_equal(memory_of(0)[i], CANARY);
}

static void guest_value_as_address_or_index_cve_2021_28476(void **state)
{
	static const uint64_t values[] = {0x100000, RIG_RAM >> HV_PAGE_SHIFT, UINT64_MAX,
		1ull << 52, 1ull << 63, 0x7FFFFFFFFFFFF, 0x555555554, 0xFFFFFFFFFFFFEull, INT64_MAX,
		UINT32_MAX};
	struct raw raw;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	assert_int_equal(raw_run((raw = raw_read(), &raw)).status, 0);
	for (uint32_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		uint32_t v = (uint32_t)values[i];

		raw = raw_read();
		raw.pfns[0] = values[i];
		check_refused(&raw, "page", values[i]);
		raw = raw_read();
		raw.range.byte_offset = v | 0x1000;
		check_refused(&raw, "offset", v);
		raw = raw_read();
		raw.range.byte_count = v | 0x80000000;
		raw.packet.srb.data_transfer_length = v | 0x80000000;
		check_refused(&raw, "length", v);
		raw = raw_read();
		raw.direct.range_count = v;
		check_refused(&raw, "range count", v);
	}
	for (uint32_t v = 0; v < 256; v++) {
		raw = raw_read();
		raw.packet.srb.lun = (uint8_t)v;
		if (v != LUN && v != RIG_LUN_LAST)
			check_refused(&raw, "LUN", v);
		raw.packet.srb.lun = LUN;
		raw.packet.srb.target_id = (uint8_t)v;
		raw.packet.srb.path_id = (uint8_t)(v >> 4);
		if (v)
			check_refused(&raw, "target", v);
		raw = raw_read();
		raw.packet.srb.cdb_length = (uint8_t)v;
		if (v < 10 || v > 16)
			check_refused(&raw, "CDB length", v);
		raw = raw_read();
		raw.packet.operation = 0x100 + v;
		check_refused(&raw, "operation", v);
	}
	assert_works(0);
	guest_disk_close(&rig->d);
}

/* ---- VPCI, 2019: each failing message leaks a reference ------------------ */

static size_t heap_bytes(void)
{
	return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes()
						       : 0;
}

static void fail_many_times(uint32_t times)
{
	struct raw raw;

	for (uint32_t i = 0; i < times; i++) {
		raw = raw_read();
		switch (i % 6) {
		case 0:
			raw.pfns[0] = UINT64_MAX;
			break;
		case 1:
			raw.packet.srb.cdb_length = 17;
			break;
		case 2:
			raw.packet.srb.lun = 9;
			break;
		case 3:
			raw.packet.operation = VSTOR_OP_QUERY_PROPERTIES; /* not now */
			break;
		case 4:
			raw.packet.srb.cdb[2] = 0xFF; /* LBA */
			break;
		default:
			raw.direct.range_count = 2;
		}
		assert_int_not_equal(raw_run(&raw).status, 0);
	}
}

static void reference_leak_per_failing_message_vpci_2019(void **state)
{
	size_t bytes;
	uint32_t files;

	log_set_level(LOG_ERROR);
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	fail_many_times(600); /* more than there are requests in the pool */
	bytes = heap_bytes();
	files = open_files();
	fail_many_times(6000);
	assert_int_equal(heap_bytes(), bytes);
	assert_int_equal(open_files(), files);
	atomic_store(&rig->disk->delay_ns, 100000);
	storvsp_rig_traffic(rig, 256); /* and all requests are there */
	guest_disk_close(&rig->d);
	log_set_level(LOG_INFO);
}

/* ---- CVE-2010-3960, CVE-2011-1872: one packet, endless work -------------- */

static uint64_t disk_requests_of(const struct raw *raw)
{
	uint64_t before = storvsp_rig_requests(rig);

	raw_run(raw);
	return storvsp_rig_requests(rig) - before;
}

static void unbounded_work_per_packet_cve_2010_3960(void **state)
{
	struct raw raw;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	/* UNMAP: as many descriptors as 64 KiB hold, all of them empty or all the same */
	for (uint32_t length = 8; length <= 0xFFFF; length += 4093) {
		raw = raw_read();
		raw.packet.srb.data_in = VSTOR_DATA_OUT;
		memset(memory_of(0), 0, HV_PAGE_SIZE);
		memset(memory_of(0), 0xFF, 4);
		memcpy(raw.packet.srb.cdb, "\x42\0\0\0\0\0\0", 7);
		raw.packet.srb.cdb[7] = (uint8_t)(length >> 8);
		raw.packet.srb.cdb[8] = (uint8_t)length;
		assert_in_range(disk_requests_of(&raw), 0, SCSI_UNMAP_DESCRIPTORS_MAX);
	}
	/* WRITE SAME of a pattern, of each length from the one block there is */
	for (uint32_t blocks = 1; blocks; blocks <<= 1) {
		raw = raw_read();
		raw.packet.srb.data_in = VSTOR_DATA_OUT;
		memset(memory_of(0), 0x5A, HV_PAGE_SIZE);
		memset(raw.packet.srb.cdb, 0, 16);
		raw.packet.srb.cdb_length = 16;
		raw.packet.srb.cdb[0] = 0x93;
		for (uint32_t i = 0; i < 4; i++)
			raw.packet.srb.cdb[10 + i] = (uint8_t)(blocks >> (24 - 8 * i));
		assert_in_range(disk_requests_of(&raw), 0, SCSI_WRITE_SAME_BYTES_MAX / 512 / 256);
	}
	assert_works(0);
	guest_disk_close(&rig->d);
}

/* ---- CVE-2020-0751: the guest decides how deep the stack gets ------------ */

/* A disk that completes inside submit and measures the depth of the stack. */
static struct disk_ops deep_ops;
static uintptr_t deepest, highest;
static void (*real_submit)(struct disk_queue *queue, struct disk_req *req);

static void deep_submit(struct disk_queue *queue, struct disk_req *req)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	if (!highest || here > highest)
		highest = here;
	if (!deepest || here < deepest)
		deepest = here;
	real_submit(queue, req);
}

static void recursion_cve_2020_0751(void **state)
{
	static struct scsi_rig bench;
	static const uint8_t same[] = {0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0};
	static const uint8_t verify[] = {0x2F, 2, 0, 0, 0, 0, 0, 8, 0, 0};
	static const uint8_t unmap[] = {0x42, 0, 0, 0, 0, 0, 0, 0x04, 0x08, 0};

	scsi_rig_init(&bench);
	deep_ops = *bench.disk->disk.ops;
	real_submit = deep_ops.submit;
	deep_ops.submit = deep_submit;
	bench.disk->disk.ops = &deep_ops;
	bench.data[0] = 1; /* WRITE SAME: no zeroes */
	assert_int_equal(scsi_rig_run(&bench, SCSI_DIR_OUT, 512, 16, same), SCSI_OK);
	memset(bench.data, 0, SCSI_RIG_DATA);
	for (uint32_t i = 0; i < 2048; i++)
		bench.data[i * 512] = 1;
	assert_int_equal(scsi_rig_run(&bench, SCSI_DIR_OUT, 1 << 20, 10, verify), SCSI_OK);
	memset(bench.data, 0, 1032);
	memcpy(bench.data, "\x04\x06\x04\x00", 4);
	for (uint32_t i = 0; i < 64; i++)
		bench.data[8 + 16 * i + 11] = 1;
	assert_int_equal(scsi_rig_run(&bench, SCSI_DIR_OUT, 1032, 10, unmap), SCSI_OK);
	assert_in_range(atomic_load(&bench.disk->count[DISK_READ]), 256, 256);
	assert_int_equal(atomic_load(&bench.disk->count[DISK_DISCARD]), 64);
	assert_in_range(highest - deepest, 0, 2048);
	scsi_rig_fini(&bench);
}

/* ---- CVE-2018-0888: bytes of the host's memory in answers ---------------- */

static const uint8_t asks[][16] = {
	{0x03, 0, 0, 0, 255},
	{0x12, 0, 0, 0, 255},
	{0x12, 1, 0x00, 0, 255},
	{0x12, 1, 0x80, 0, 255},
	{0x12, 1, 0x83, 0, 255},
	{0x12, 1, 0xB0, 0, 255},
	{0x12, 1, 0xB1, 0, 255},
	{0x12, 1, 0xB2, 0, 255},
	{0x1A, 0, 0x3F, 0, 255},
	{0x5A, 0, 0x3F, 0xFF, 0, 0, 0, 0x0F, 255},
	{0x25},
	{0x4D, 0, 0x40, 0, 0, 0, 0, 0x0F, 255},
	{0x4D, 0, 0x6F, 0, 0, 0, 0, 0x0F, 255},
	{0x5E, 0, 0, 0, 0, 0, 0, 0x0F, 255},
	{0x5E, 1, 0, 0, 0, 0, 0, 0x0F, 255},
	{0x5E, 2, 0, 0, 0, 0, 0, 0x0F, 255},
	{0x5E, 3, 0, 0, 0, 0, 0, 0x0F, 255},
	{0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0F, 255},
	{0x9E, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0F, 255},
	{0xA0, 0, 0, 0, 0, 0, 0, 0, 0x0F, 255},
	{0xA3, 0x0C, 0, 0, 0, 0, 0, 0, 0x0F, 255},
	{0xA3, 0x0C, 1, 0x28, 0, 0, 0, 0, 0x0F, 255},
};

static uint32_t cdb_size(uint8_t opcode)
{
	static const uint8_t sizes[] = {6, 10, 10, 0, 16, 12, 0, 0};

	return sizes[opcode >> 5];
}

/* Leaves A5 in the memory of a request: a parameter list of that, which is refused. */
static void poison_request(void)
{
	struct raw raw = raw_read();

	memset(memory_of(0), 0xA5, HV_PAGE_SIZE);
	raw.packet.srb.data_in = VSTOR_DATA_OUT;
	memset(raw.packet.srb.cdb, 0, 16);
	raw.packet.srb.cdb[0] = 0x55;
	raw.packet.srb.cdb[1] = 0x10;
	raw.packet.srb.cdb[7] = 0x10; /* 4096 bytes */
	memset(raw.packet.srb.cdb + 10, 0xA5, 6);
	assert_int_equal(raw_run(&raw).srb.sense[12], 0x26);
}

static void assert_no_poison(const uint8_t *bytes, uint32_t length, const char *what, uint32_t n)
{
	for (uint32_t i = 0; i < length; i++)
		if (bytes[i] == 0xA5)
			fail_msg("%s %u: byte %u is not the host's to tell", what, n, i);
}

static void uninitialised_bytes_to_the_guest_cve_2018_0888(void **state)
{
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	for (uint32_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		struct raw raw = raw_read();
		struct vstor_packet reply;

		poison_request();
		memset(memory_of(0), CANARY, HV_PAGE_SIZE);
		memcpy(raw.packet.srb.cdb, asks[i], 16);
		raw.packet.srb.cdb_length = (uint8_t)cdb_size(asks[i][0]);
		reply = raw_run(&raw);
		if (reply.status)
			assert_int_equal(reply.srb.data_transfer_length, 0);
		assert_no_poison(memory_of(0), HV_PAGE_SIZE, "answer", i);
		for (uint32_t at = reply.srb.data_transfer_length; at < HV_PAGE_SIZE; at++)
			assert_int_equal(memory_of(0)[at], CANARY);
		assert_no_poison((uint8_t *)&reply, sizeof(reply), "completion", i);
	}
	for (uint32_t opcode = 0; opcode < 256; opcode++) { /* errors: sense data and all around */
		struct raw raw = raw_read();
		struct vstor_packet reply;

		poison_request();
		memset(raw.packet.srb.cdb, 0xFF, 16);
		raw.packet.srb.cdb[0] = (uint8_t)opcode;
		reply = raw_run(&raw);
		assert_no_poison((uint8_t *)&reply, sizeof(reply), "completion of", opcode);
		if (reply.srb.sense_info_length)
			assert_memory_equal(reply.srb.sense + 18, "\0\0", 2);
	}
	guest_disk_close(&rig->d);
}

/* ---- CVE-2024-20684, CVE-2025-60708: one guest stops all ----------------- */

/* A channel that takes no answers: the others go on, and so does it when it takes them. */
static void channel_that_takes_nothing_cve_2024_20684(void **state)
{
	struct guest_chan *greedy;
	uint32_t sent = 0;
	struct raw raw;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 3);
	greedy = &rig->d.channels[1];
	raw = raw_read();
	for (uint32_t full = 0; full < 200;) {
		if (raw_send(greedy, &raw)) {
			sent++;
			full = 0;
			continue;
		}
		guest_chan_signal(greedy);
		assert_works((full++ & 1) ? 0 : 3); /* one on each I/O thread */
	}
	for (uint32_t i = 0; i < sent; i++)
		assert_int_equal(raw_receive(greedy).status, 0);
	guest_disk_close(&rig->d);
}

/* Packets that mean nothing and signals without packets, as fast as they go. */
static void storm_of_nothing_cve_2025_60708(void **state)
{
	static const uint8_t nonsense[64];
	struct guest_chan *storm;

	log_set_level(LOG_ERROR);
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 3);
	storm = &rig->d.channels[1];
	for (uint32_t i = 0; i < 300; i++) {
		for (uint32_t k = 0; k < 100; k++) {
			guest_chan_signal(storm);
			guest_chan_send(storm, (uint16_t)(k % 3 ? VMBUS_PKT_INBAND : 0xBEEF), 0, k,
				NULL, nonsense, sizeof(nonsense));
		}
		assert_works(i & 1 ? 0 : 3);
	}
	assert_works(1);
	guest_disk_close(&rig->d);
	log_set_level(LOG_INFO);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(double_completion_cve_2019_0620),
		TEST(gpadl_unmapped_during_use_cve_2019_0720),
		TEST(guest_value_as_address_or_index_cve_2021_28476),
		TEST(reference_leak_per_failing_message_vpci_2019),
		TEST(unbounded_work_per_packet_cve_2010_3960),
		TEST(recursion_cve_2020_0751),
		TEST(uninitialised_bytes_to_the_guest_cve_2018_0888),
		TEST(channel_that_takes_nothing_cve_2024_20684),
		TEST(storm_of_nothing_cve_2025_60708),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
