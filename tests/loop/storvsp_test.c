/* SPDX-License-Identifier: MIT */
/*
 * A guest driver (guest/storvsc/proto.c) against the real controller: shared
 * rings, real bus, real channels, two I/O threads, memory disks. Every completion is
 * checked to be the only one of its command (guest_disk.c); each wait is bounded.
 *
 * Here: the initialization, addresses of units, and invalid packets. Traffic, and
 * ends under load, are in storvsp_load_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "hv/vmbus_guids.h"
#include "tests/support/storvsp_rig.h"

#define LUN      RIG_LUN
#define LUN_LAST RIG_LUN_LAST
#define INSTANCE RIG_INSTANCE

#define IN   VSTOR_DATA_IN
#define OUT  VSTOR_DATA_OUT
#define NONE VSTOR_DATA_NONE

static const struct hv_guid scsi_class = VMBUS_GUID_SCSI;

static int setup(void **state)
{
	*state = storvsp_rig_create(3);
	return 0;
}

static int setup_one_vp(void **state)
{
	*state = storvsp_rig_create(1);
	return 0;
}

static int teardown(void **state)
{
	storvsp_rig_destroy(*state);
	return 0;
}

/* ---- initialization ------------------------------------------------------ */

static const struct storvsc_completion *inquiry(struct guest_disk *d, uint8_t lun)
{
	return guest_disk_run(d, lun, IN, 96, CDB(0x12, 0, 0, 0, 96, 0));
}

static void every_version_works(void **state)
{
	struct storvsp_rig *rig = *state;
	static const uint16_t versions[] = {VSTOR_VERSION_WIN10, VSTOR_VERSION_WIN8_1,
		VSTOR_VERSION_WIN8, VSTOR_VERSION_WIN7, VSTOR_VERSION_WIN6};
	uint8_t data[96];

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		bool old = versions[i] < VSTOR_VERSION_WIN8;

		guest_disk_open(&rig->d, versions[i], 8);
		assert_int_equal(rig->d.conn.version, versions[i]);
		assert_int_equal(rig->d.conn.transfer_max, 0x100000);
		assert_int_equal(rig->d.conn.sub_channels, old ? 0 : 2);
		assert_int_equal(storvsc_packet_size(&rig->d.conn), old ? 48 : 64);
		assert_int_equal(inquiry(&rig->d, LUN)->transferred, 96);
		guest_slot_get(&rig->d, 0, data, sizeof(data));
		assert_memory_equal(data + 8, "Msft    ", 8);
		guest_disk_close(&rig->d);
	}
}

/* vCPUs - 1 sub-channels; with none, the flag must not be there: some guests wait for zero. */
static void one_vp_means_one_channel(void **state)
{
	struct storvsp_rig *rig = *state;
	struct vstor_packet packet = {.operation = VSTOR_OP_CREATE_SUB_CHANNELS}, reply;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 8);
	assert_int_equal(rig->d.conn.sub_channels, 0);
	packet.sub_channel_count = 1;
	guest_disk_packet(&rig->d, &packet, 64, &reply);
	assert_int_equal(reply.status, VSTOR_STATUS_INVALID_PARAMETER);
	guest_disk_close(&rig->d);
}

static uint32_t status_of(
	struct storvsp_rig *rig, uint32_t operation, uint16_t argument, uint32_t size)
{
	struct vstor_packet packet = {.operation = operation}, reply;

	packet.sub_channel_count = argument; /* or the version: the same bytes */
	assert_true(guest_disk_packet(&rig->d, &packet, size, &reply) <= 64);
	assert_int_equal(reply.operation, VSTOR_OP_COMPLETE_IO);
	assert_int_equal(reply.flags, 0);
	return reply.status;
}

/* In every state, every operation but the right ones is refused and changes nothing. */
static void wrong_order_is_refused(void **state)
{
	struct storvsp_rig *rig = *state;
	static const struct {
		uint32_t operation;
		uint16_t argument;
		uint32_t also; /* mask of other operations that are legal here */
	} steps[] = {
		{VSTOR_OP_BEGIN_INITIALIZATION, 0, 0},
		{VSTOR_OP_QUERY_PROTOCOL_VERSION, VSTOR_VERSION_WIN10, 0},
		{VSTOR_OP_QUERY_PROPERTIES, 0, 0},
		{VSTOR_OP_END_INITIALIZATION, 0, 1u << VSTOR_OP_CREATE_SUB_CHANNELS},
	};

	guest_disk_open_primary(&rig->d);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		for (uint32_t op = 0; op < 20; op++) {
			if (op == steps[i].operation || (steps[i].also & (1u << op)))
				continue;
			assert_int_equal(
				status_of(rig, op, 0, 64), VSTOR_STATUS_INVALID_DEVICE_STATE);
		}
		assert_int_equal(
			status_of(rig, 0xFFFFFFFF, 0, 64), VSTOR_STATUS_INVALID_DEVICE_STATE);
		assert_int_equal(status_of(rig, steps[i].operation, steps[i].argument, 64),
			VSTOR_STATUS_SUCCESS);
	}
	assert_int_equal(status_of(rig, VSTOR_OP_RESET_BUS, 0, 64), VSTOR_STATUS_SUCCESS);
	assert_int_equal(status_of(rig, VSTOR_OP_RESET_LUN, 0, 64), VSTOR_STATUS_NO_SUCH_DEVICE);
	assert_int_equal(status_of(rig, VSTOR_OP_RESET_LUN, 0, 16), VSTOR_STATUS_INVALID_PARAMETER);
	assert_int_equal(status_of(rig, VSTOR_OP_RESET_ADAPTER, 0, 64), VSTOR_STATUS_SUCCESS);
	assert_int_equal(storvsp_rig_requests(rig), 0);
	guest_disk_close(&rig->d);
}

static uint32_t version_reply(struct storvsp_rig *rig, uint16_t version, uint32_t size)
{
	struct vstor_packet packet = {.operation = VSTOR_OP_QUERY_PROTOCOL_VERSION}, reply;
	uint32_t got;

	packet.version.major_minor = version;
	got = guest_disk_packet(&rig->d, &packet, size, &reply);
	assert_int_equal(reply.version.major_minor, version);
	assert_int_equal(reply.status, version == VSTOR_VERSION_WIN10
					       ? VSTOR_STATUS_SUCCESS
					       : VSTOR_STATUS_REVISION_MISMATCH);
	return got;
}

/* Some guests send 48 bytes until they know better; replies must not be longer than that. */
static void replies_have_the_size_of_requests_until_agreed(void **state)
{
	struct storvsp_rig *rig = *state;
	struct vstor_packet packet = {.operation = VSTOR_OP_BEGIN_INITIALIZATION}, reply;

	guest_disk_open_primary(&rig->d);
	assert_int_equal(guest_disk_packet(&rig->d, &packet, 48, &reply), 48);
	assert_int_equal(version_reply(rig, 0x0700, 48), 48);
	assert_int_equal(version_reply(rig, 0x0601, 64), 64);
	assert_int_equal(version_reply(rig, VSTOR_VERSION_WIN10, 48), 48);
	packet.operation = VSTOR_OP_QUERY_PROPERTIES;
	assert_int_equal(guest_disk_packet(&rig->d, &packet, 48, &reply), 64);
	assert_int_equal(reply.status, VSTOR_STATUS_SUCCESS);
	guest_disk_close(&rig->d);
}

static void short_packets_are_refused(void **state)
{
	struct storvsp_rig *rig = *state;

	guest_disk_open_primary(&rig->d);
	assert_int_equal(status_of(rig, VSTOR_OP_BEGIN_INITIALIZATION, 0, 0),
		VSTOR_STATUS_INVALID_PARAMETER);
	assert_int_equal(status_of(rig, VSTOR_OP_BEGIN_INITIALIZATION, 0, 8),
		VSTOR_STATUS_INVALID_PARAMETER);
	assert_int_equal(
		status_of(rig, VSTOR_OP_BEGIN_INITIALIZATION, 0, 16), VSTOR_STATUS_SUCCESS);
	assert_int_equal(status_of(rig, VSTOR_OP_QUERY_PROTOCOL_VERSION, VSTOR_VERSION_WIN8, 16),
		VSTOR_STATUS_SUCCESS);
	assert_int_equal(status_of(rig, VSTOR_OP_QUERY_PROPERTIES, 0, 16), VSTOR_STATUS_SUCCESS);
	assert_int_equal(status_of(rig, VSTOR_OP_END_INITIALIZATION, 0, 16), VSTOR_STATUS_SUCCESS);
	assert_int_equal(
		status_of(rig, VSTOR_OP_EXECUTE_SRB, 0, 40), VSTOR_STATUS_INVALID_PARAMETER);
	guest_disk_close(&rig->d);
}

static void sub_channel_count_is_checked(void **state)
{
	struct storvsp_rig *rig = *state;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	assert_int_equal(status_of(rig, VSTOR_OP_CREATE_SUB_CHANNELS, 3, 64),
		VSTOR_STATUS_INVALID_PARAMETER);
	assert_int_equal(status_of(rig, VSTOR_OP_CREATE_SUB_CHANNELS, 0xFFFF, 64),
		VSTOR_STATUS_INVALID_PARAMETER);
	assert_int_equal(status_of(rig, VSTOR_OP_CREATE_SUB_CHANNELS, 0, 64), VSTOR_STATUS_SUCCESS);
	assert_int_equal(status_of(rig, VSTOR_OP_CREATE_SUB_CHANNELS, 1, 64), VSTOR_STATUS_SUCCESS);
	assert_int_equal(status_of(rig, VSTOR_OP_CREATE_SUB_CHANNELS, 1, 64),
		VSTOR_STATUS_INVALID_DEVICE_STATE);
	guest_wait_offer(&rig->g, &scsi_class, INSTANCE, 1);
	guest_disk_close(&rig->d);
}

/* Windows asks for sub-channels before END: what comes on them then must wait, not fail. */
static void early_sub_channel_waits(void **state)
{
	struct storvsp_rig *rig = *state;
	struct guest_disk *d = &rig->d;
	struct vmbus_offer offer;

	assert_int_equal(storvsc_conn_init(&d->conn, VSTOR_VERSION_WIN10, 0), 0);
	guest_disk_open_primary(d);
	status_of(rig, VSTOR_OP_BEGIN_INITIALIZATION, 0, 64);
	status_of(rig, VSTOR_OP_QUERY_PROTOCOL_VERSION, VSTOR_VERSION_WIN10, 64);
	status_of(rig, VSTOR_OP_QUERY_PROPERTIES, 0, 64);
	assert_int_equal(status_of(rig, VSTOR_OP_CREATE_SUB_CHANNELS, 2, 64), VSTOR_STATUS_SUCCESS);
	for (uint16_t i = 1; i <= 2; i++) {
		offer = guest_wait_offer(&rig->g, &scsi_class, INSTANCE, i);
		assert_true(guest_chan_open(&d->channels[i], &rig->g, &offer, 9, i));
		d->channel_count++;
		d->slots[i].cmd = (struct storvsc_command){
			.lun = LUN, .cdb_length = 6, .data = NONE}; /* TEST UNIT READY */
		assert_true(guest_disk_submit(d, i, i));
	}
	/* Primary and a sub-channel share an I/O thread: its reply comes after it has looked at
	 * both. */
	status_of(rig, VSTOR_OP_QUERY_PROPERTIES, 0, 64);
	assert_int_equal(guest_disk_poll(d), 0);
	status_of(rig, VSTOR_OP_END_INITIALIZATION, 0, 64);
	for (uint16_t i = 1; i <= 2; i++)
		assert_int_equal(guest_disk_wait(d, i)->srb_status, VSTOR_SRB_SUCCESS);
	guest_disk_close(d);
}

/* The same, closed before END ever comes. */
static void early_sub_channel_can_close(void **state)
{
	struct storvsp_rig *rig = *state;
	struct guest_disk *d = &rig->d;
	struct vmbus_offer offer;

	for (uint32_t round = 0; round < 5; round++) {
		assert_int_equal(storvsc_conn_init(&d->conn, VSTOR_VERSION_WIN10, 0), 0);
		guest_disk_open_primary(d);
		status_of(rig, VSTOR_OP_BEGIN_INITIALIZATION, 0, 64);
		status_of(rig, VSTOR_OP_QUERY_PROTOCOL_VERSION, VSTOR_VERSION_WIN10, 64);
		status_of(rig, VSTOR_OP_QUERY_PROPERTIES, 0, 64);
		status_of(rig, VSTOR_OP_CREATE_SUB_CHANNELS, 1, 64);
		offer = guest_wait_offer(&rig->g, &scsi_class, INSTANCE, 1);
		assert_true(guest_chan_open(&d->channels[1], &rig->g, &offer, 9, 1));
		d->channel_count++;
		d->slots[1].cmd =
			(struct storvsc_command){.lun = LUN, .cdb_length = 6, .data = NONE};
		assert_true(guest_disk_submit(d, 1, 1));
		if (round % 2) /* the barrier opens while the channel closes */
			status_of(rig, VSTOR_OP_END_INITIALIZATION, 0, 64);
		guest_disk_close(d);
	}
}

/* ---- LUNs ---------------------------------------------------------------- */

static void units_are_at_their_addresses(void **state)
{
	struct storvsp_rig *rig = *state;
	struct guest_disk *d = &rig->d;
	uint8_t data[512];

	guest_disk_open(d, VSTOR_VERSION_WIN10, 0);
	for (uint32_t lun = 0; lun < 256; lun++) {
		bool there = lun == LUN || lun == LUN_LAST;
		const struct storvsc_completion *c =
			guest_disk_run(d, (uint8_t)lun, NONE, 0, CDB(0, 0, 0, 0, 0, 0));

		assert_int_equal(c->srb_status, there ? VSTOR_SRB_SUCCESS : VSTOR_SRB_INVALID_LUN);
		assert_int_equal(c->scsi_status, 0);
		assert_int_equal(c->sense_length, 0);
		assert_int_equal(
			c->status, there ? VSTOR_STATUS_SUCCESS : VSTOR_STATUS_NO_SUCH_DEVICE);
		c = inquiry(d, (uint8_t)lun);
		assert_int_equal(c->srb_status, VSTOR_SRB_SUCCESS);
		assert_int_equal(c->transferred, 96);
		guest_slot_get(d, 0, data, 96);
		assert_int_equal(data[0], there ? 0x00 : 0x7F);
		assert_int_equal(data[8], there || lun == 0 ? 'M' : 0);
		c = guest_disk_run(
			d, (uint8_t)lun, IN, 512, CDB(0xA0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0));
		assert_int_equal(c->transferred, 8 + 16);
		guest_slot_get(d, 0, data, 24);
		assert_int_equal(data[3], 16);
		assert_int_equal(data[9], LUN);
		assert_int_equal(data[17], LUN_LAST);
	}
	guest_disk_close(d);
}

/* Linux scans 8 paths and 2 targets: the units must not be found once for each. */
static void other_targets_are_empty(void **state)
{
	struct storvsp_rig *rig = *state;
	struct guest_disk *d = &rig->d;
	struct storvsc_command *cmd = &d->slots[0].cmd;
	uint8_t data[8];

	guest_disk_open(d, VSTOR_VERSION_WIN10, 0);
	for (uint8_t i = 1; i < 16; i++) {
		*cmd = (struct storvsc_command){
			.path = i % 8, .target = i / 8, .lun = LUN, .data = NONE, .cdb_length = 6};
		assert_true(guest_disk_submit(d, 0, 0));
		assert_int_equal(guest_disk_wait(d, 0)->srb_status, VSTOR_SRB_INVALID_LUN);
		*cmd = (struct storvsc_command){.path = i % 8,
			.target = i / 8,
			.lun = LUN,
			.data = IN,
			.cdb_length = 12,
			.length = 512,
			.cdb = {0xA0, [8] = 2}};
		assert_true(guest_disk_submit(d, 0, 0));
		assert_int_equal(guest_disk_wait(d, 0)->transferred, 8);
		guest_slot_get(d, 0, data, 8);
		assert_memory_equal(data, "\0\0\0\0\0\0\0\0", 8);
		*cmd = (struct storvsc_command){.path = i % 8,
			.target = i / 8,
			.lun = LUN,
			.data = IN,
			.cdb_length = 6,
			.length = 36,
			.cdb = {0x12, [4] = 36}};
		assert_true(guest_disk_submit(d, 0, 0));
		assert_int_equal(guest_disk_wait(d, 0)->transferred, 36);
		guest_slot_get(d, 0, data, 1);
		assert_int_equal(data[0], 0x7F);
	}
	guest_disk_close(d);
}

static void identities_differ(void **state)
{
	struct storvsp_rig *rig = *state;
	uint8_t first[52], second[52];

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	guest_disk_run(&rig->d, LUN, IN, 252, CDB(0x12, 1, 0x83, 0, 252, 0));
	guest_slot_get(&rig->d, 0, first, sizeof(first));
	guest_disk_run(&rig->d, LUN_LAST, IN, 252, CDB(0x12, 1, 0x83, 0, 252, 0));
	guest_slot_get(&rig->d, 0, second, sizeof(second));
	assert_memory_not_equal(first + 16, second + 16, 8);
	assert_memory_not_equal(first + 24, second + 24, 8);
	assert_memory_not_equal(first + 40, second + 40, 12);
	assert_int_equal(
		guest_disk_run(&rig->d, LUN, IN, 252, CDB(0x12, 1, 0x80, 0, 252, 0))->transferred,
		4 + 8);
	guest_slot_get(&rig->d, 0, first, 12);
	assert_memory_equal(first + 4, "SERIAL-5", 8);
	assert_int_equal(guest_disk_run(&rig->d, LUN_LAST, IN, 252, CDB(0x12, 1, 0x80, 0, 252, 0))
				 ->transferred,
		0);
	guest_disk_close(&rig->d);
}

static void check_condition_as_guests_want_it(void **state)
{
	struct storvsp_rig *rig = *state;
	const struct storvsc_completion *c;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	c = guest_disk_run(&rig->d, LUN, IN, 192, CDB(0x1A, 0, 0x0B, 0, 192, 0));
	assert_int_equal(c->srb_status, VSTOR_SRB_ERROR);
	assert_int_equal(c->scsi_status, 2);
	assert_int_equal(c->status, VSTOR_STATUS_IO_DEVICE_ERROR);
	assert_int_equal(c->sense_length, 18);
	assert_int_equal(c->sense[0], 0x70);
	assert_int_equal(c->sense[2], 5);
	assert_int_equal(c->sense[12], 0x24);
	assert_int_equal(c->transferred, 0);
	guest_disk_close(&rig->d);
}

/* ---- hostile packets ----------------------------------------------------- */

struct hostile {
	const char *what;
	uint32_t range_count, byte_offset, byte_count;
	uint64_t pfn;
	uint32_t length; /* in the SRB */
	uint8_t cdb_length;
};

/* A WRITE(10) of one block with a wrong description. */
static void send_hostile(struct guest_disk *d, const struct hostile *h)
{
	struct storvsc_command *cmd = &d->slots[0].cmd;
	struct {
		struct vmbus_gpa_direct direct;
		struct vmbus_gpa_range range;
		uint64_t pfn;
	} range = {{0xDEADBEEF, h->range_count}, {h->byte_count, h->byte_offset}, h->pfn};
	struct vmbus_vec extra = {&range, sizeof(range)};
	struct vstor_packet packet;

	*cmd = (struct storvsc_command){.lun = LUN,
		.data = OUT,
		.length = h->length,
		.cdb_length = h->cdb_length,
		.cdb = {0x2A, [8] = 1}};
	storvsc_command_build(cmd, &packet);
	assert_int_equal(d->slots[0].state, SLOT_FREE);
	d->slots[0].generation++;
	d->slots[0].state = SLOT_IN_FLIGHT;
	d->slots[0].channel = 0;
	assert_true(guest_chan_send(&d->channels[0],
		h->range_count == UINT32_MAX ? VMBUS_PKT_INBAND : VMBUS_PKT_GPA_DIRECT,
		VMBUS_PKT_FLAG_COMPLETION_REQUESTED, ((uint64_t)d->slots[0].generation << 16) + 1,
		h->range_count == UINT32_MAX ? NULL : &extra, &packet, sizeof(packet)));
}

static void wrong_descriptions_are_refused(void **state)
{
	struct storvsp_rig *rig = *state;
	static const struct hostile rows[] = {
		{"CDB of 17", 1, 0, 512, 16, 512, 17},
		{"CDB of 255", 1, 0, 512, 16, 512, 255},
		{"no range", 0, 0, 512, 16, 512, 10},
		{"in-band with a length", UINT32_MAX, 0, 0, 0, 512, 10},
		{"two ranges", 2, 0, 512, 16, 512, 10},
		{"2^32 - 2 ranges", UINT32_MAX - 1, 0, 512, 16, 512, 10},
		{"range shorter than the SRB says", 1, 0, 511, 16, 512, 10},
		{"empty range", 1, 0, 0, 16, 512, 10},
		{"offset outside the page", 1, 4096, 512, 16, 512, 10},
		{"huge offset", 1, UINT32_MAX, 512, 16, 512, 10},
		{"more pages than PFNs", 1, 0, 8192, 16, 512, 10},
		{"beyond the largest transfer", 1, 0, 0x100001, 16, 0x100001, 10},
		{"4 GiB - 1", 1, 0, UINT32_MAX, 16, UINT32_MAX, 10},
		{"PFN not RAM", 1, 0, 512, 0x80000, 512, 10},
		{"PFN behind RAM", 1, 0, 512, RIG_RAM >> 12, 512, 10},
		{"PFN overflows", 1, 0, 512, 1ull << 52, 512, 10},
		{"all ones", 1, 0, 512, UINT64_MAX, 512, 10},
	};

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct storvsc_completion *c;

		send_hostile(&rig->d, &rows[i]);
		c = guest_disk_wait(&rig->d, 0);
		if (c->srb_status != VSTOR_SRB_INVALID_REQUEST)
			fail_msg("%s: SRB status %#x", rows[i].what, c->srb_status);
		assert_int_equal(c->scsi_status, 2);
		assert_int_equal(c->sense[2], 5);
		assert_int_equal(c->sense[12], 0x24);
	}
	assert_int_equal(storvsp_rig_requests(rig), 0);
	assert_int_equal(inquiry(&rig->d, LUN)->srb_status, VSTOR_SRB_SUCCESS);
	guest_disk_close(&rig->d);
}

/* Sends a packet of this type that looks like SYNCHRONIZE CACHE. */
static void send_flush(struct storvsp_rig *rig, uint16_t type, uint16_t flags, uint64_t id)
{
	struct storvsc_command cmd = {.lun = LUN, .data = NONE, .cdb_length = 10, .cdb = {0x35}};
	struct vstor_packet packet;

	storvsc_command_build(&cmd, &packet);
	assert_true(guest_chan_send(&rig->d.channels[0], type, flags, id, NULL, &packet, 64));
}

static void packets_without_a_completion_are_ignored(void **state)
{
	struct storvsp_rig *rig = *state;
	static const uint16_t types[] = {VMBUS_PKT_INBAND, VMBUS_PKT_XFER_PAGES, 0xFFFF};

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		send_flush(rig, types[i], 0, 77);
	assert_int_equal(inquiry(&rig->d, LUN)->srb_status, VSTOR_SRB_SUCCESS);
	assert_int_equal(atomic_load(&rig->disk->count[DISK_FLUSH]), 0);
	guest_disk_close(&rig->d);
}

static void wait_packet(struct storvsp_rig *rig, struct vmbus_pkt *pkt)
{
	uint64_t seen = guest_events(&rig->g);

	while (!guest_chan_receive(&rig->d.channels[0], pkt)) {
		guest_wait_events(&rig->g, seen);
		seen = guest_events(&rig->g);
	}
}

/* A guest that waits for the completion of an unknown packet gets one, and no effect. */
static void unknown_packets_are_answered(void **state)
{
	struct storvsp_rig *rig = *state;
	static const uint16_t types[] = {
		VMBUS_PKT_XFER_PAGES, VMBUS_PKT_GPADL, VMBUS_PKT_COMPLETION, 0, 0xFFFF};

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct vstor_packet reply;
		struct vmbus_pkt pkt;

		send_flush(rig, types[i], VMBUS_PKT_FLAG_COMPLETION_REQUESTED, 77 + i);
		wait_packet(rig, &pkt);
		assert_int_equal(pkt.desc.type, VMBUS_PKT_COMPLETION);
		assert_int_equal(pkt.desc.trans_id, 77 + i);
		assert_int_equal(pkt.payload_len, sizeof(reply));
		memcpy(&reply, pkt.payload, sizeof(reply));
		assert_int_equal(reply.operation, VSTOR_OP_COMPLETE_IO);
		assert_int_equal(reply.status, VSTOR_STATUS_INVALID_PARAMETER);
	}
	assert_int_equal(inquiry(&rig->d, LUN)->srb_status, VSTOR_SRB_SUCCESS);
	assert_int_equal(atomic_load(&rig->disk->count[DISK_FLUSH]), 0);
	guest_disk_close(&rig->d);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_version_works),
		cmocka_unit_test_setup_teardown(one_vp_means_one_channel, setup_one_vp, teardown),
		TEST(wrong_order_is_refused),
		TEST(replies_have_the_size_of_requests_until_agreed),
		TEST(short_packets_are_refused),
		TEST(sub_channel_count_is_checked),
		TEST(early_sub_channel_waits),
		TEST(early_sub_channel_can_close),
		TEST(units_are_at_their_addresses),
		TEST(other_targets_are_empty),
		TEST(identities_differ),
		TEST(check_condition_as_guests_want_it),
		TEST(wrong_descriptions_are_refused),
		TEST(packets_without_a_completion_are_ignored),
		TEST(unknown_packets_are_answered),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
