/* SPDX-License-Identifier: MIT */
#include "tests/support/storvsp_rig.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Slot n works in its own part of the disk, so that what it reads is known. */
#define AREA_BLOCKS (RIG_BLOCKS / GUEST_DISK_SLOTS)

static uint8_t scratch[AREA_BLOCKS * RIG_BLOCK];

void storvsp_rig_add_controller(struct storvsp_rig *rig)
{
	struct storvsp_lun_config luns[] = {
		{.lun = RIG_LUN_LAST, .disk = rig->last},
		{.lun = RIG_LUN, .disk = &rig->disk->disk, .serial = "SERIAL-5"},
	};
	struct storvsp_config config = {.luns = luns, .lun_count = 2};

	rig->dev = guest_add_device(&rig->g, &storvsp_ops, RIG_INSTANCE, &config);
}

struct storvsp_rig *storvsp_rig_create(uint32_t vps)
{
	struct guest_config config = {.ram = RIG_RAM, .vps = vps, .io_threads = 2};
	struct storvsp_rig *rig = calloc(1, sizeof(*rig));
	struct disk *memory;

	check(rig);
	rig->random = 1;
	rig->shadow = calloc(1, RIG_DISK_BYTES);
	check(rig->shadow);
	check(!disk_memory_open(&memory, RIG_DISK_BYTES, NULL));
	check(!disk_memory_open(&rig->last, RIG_DISK_BYTES, NULL));
	rig->disk = fault_disk_open(memory);
	rig->disk->disk.info.write_cache = true; /* so that it can be switched off */
	guest_start(&rig->g, &config);
	storvsp_rig_add_controller(rig);
	guest_connect(&rig->g, VMBUS_VERSION_WIN10_V5_3);
	guest_disk_init(&rig->d, &rig->g, RIG_INSTANCE);
	return rig;
}

void storvsp_rig_destroy(struct storvsp_rig *rig)
{
	guest_stop(&rig->g);
	disk_close(&rig->disk->disk);
	disk_close(rig->last);
	free(rig->shadow);
	free(rig);
}

uint64_t storvsp_rig_requests(const struct storvsp_rig *rig)
{
	uint64_t count = 0;

	for (enum disk_op op = 0; op < DISK_OP_COUNT; op++)
		count += atomic_load(&rig->disk->count[op]);
	return count;
}

/* ---- traffic ------------------------------------------------------------- */

static uint32_t next_random(struct storvsp_rig *rig)
{
	rig->random = rig->random * 1664525 + 1013904223;
	return rig->random >> 8;
}

static void fill_scratch(struct storvsp_rig *rig, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i += 4) {
		uint32_t v = next_random(rig);

		memcpy(scratch + i, &v, 4);
	}
}

/* Puts a random READ(10), WRITE(10), WRITE SAME(16) or UNMAP-like command into a slot. */
static void make_command(struct storvsp_rig *rig, uint32_t slot)
{
	struct guest_slot *s = &rig->d.slots[slot];
	uint32_t start = next_random(rig) % AREA_BLOCKS;
	uint32_t blocks = 1 + next_random(rig) % (AREA_BLOCKS - start);
	uint32_t lba = slot * AREA_BLOCKS + start;
	uint32_t kind = next_random(rig) % 8;

	s->byte_offset = next_random(rig) % 3 * 4;
	s->cmd = (struct storvsc_command){.lun = RIG_LUN,
		.data = VSTOR_DATA_IN,
		.length = blocks * RIG_BLOCK,
		.cdb_length = 10,
		.cdb = {0x28, 0, BE4(lba), 0, (uint8_t)(blocks >> 8), (uint8_t)blocks}};
	if (kind == 0) { /* zeroes, without data */
		s->cmd = (struct storvsc_command){.lun = RIG_LUN,
			.data = VSTOR_DATA_NONE,
			.cdb_length = 16,
			.cdb = {0x93, 0x09, 0, 0, 0, 0, BE4(lba), BE4(blocks)}};
		memset(rig->shadow + lba * RIG_BLOCK, 0, blocks * RIG_BLOCK);
	} else if (kind == 1) {
		s->cmd = (struct storvsc_command){
			.lun = RIG_LUN, .data = VSTOR_DATA_NONE, .cdb_length = 10, .cdb = {0x35}};
	} else if (kind < 5) {
		s->cmd.data = VSTOR_DATA_OUT;
		s->cmd.cdb[0] = 0x2A;
		s->cmd.cdb[1] = kind == 2 ? 0x08 : 0;
		fill_scratch(rig, blocks * RIG_BLOCK);
		guest_slot_put(&rig->d, slot, scratch, blocks * RIG_BLOCK);
		memcpy(rig->shadow + lba * RIG_BLOCK, scratch, blocks * RIG_BLOCK);
	}
}

static void check_done(struct storvsp_rig *rig, uint32_t slot)
{
	struct guest_slot *s = &rig->d.slots[slot];
	uint32_t lba = (uint32_t)s->cmd.cdb[2] << 24 | s->cmd.cdb[3] << 16 | s->cmd.cdb[4] << 8 |
		       s->cmd.cdb[5];

	check(s->parse_error == 0);
	check(s->result.srb_status == VSTOR_SRB_SUCCESS);
	check(s->result.transferred == s->cmd.length);
	if (s->cmd.cdb[0] == 0x28) {
		guest_slot_get(&rig->d, slot, scratch, s->cmd.length);
		check(!memcmp(scratch, rig->shadow + lba * RIG_BLOCK, s->cmd.length));
	}
	s->state = SLOT_FREE;
}

void storvsp_rig_traffic(struct storvsp_rig *rig, uint32_t commands)
{
	struct guest_disk *d = &rig->d;
	uint32_t started = 0;

	while (started < commands || guest_disk_in_flight(d)) {
		uint64_t seen = guest_events(&rig->g);

		for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++) {
			if (d->slots[slot].state == SLOT_DONE)
				check_done(rig, slot);
			if (d->slots[slot].state != SLOT_FREE || started == commands)
				continue;
			make_command(rig, slot);
			while (!guest_disk_submit(d, slot, next_random(rig) % d->channel_count))
				guest_disk_poll(d);
			started++;
		}
		if (!guest_disk_poll(d) && guest_disk_in_flight(d))
			guest_wait_events(&rig->g, seen);
	}
	for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++)
		if (d->slots[slot].state == SLOT_DONE)
			check_done(rig, slot);
}

/* ---- full rings ---------------------------------------------------------- */

#define PACKET_BYTES 88u  /* in a ring */
#define REQUESTS_MAX 512u /* of a channel */

uint64_t storvsp_rig_fill(struct storvsp_rig *rig)
{
	struct guest_chan *chan = &rig->d.channels[0];
	struct storvsc_command cmd = {.lun = RIG_LUN, .data = VSTOR_DATA_NONE, .cdb_length = 6};
	uint64_t most = 2 * ((chan->tx.size - 8) / PACKET_BYTES) + REQUESTS_MAX, sent = 0;
	struct vstor_packet packet;

	guest_disk_poll(&rig->d); /* frees the room of the replies so far */
	storvsc_command_build(&cmd, &packet);
	while (sent < most) {
		uint64_t seen = guest_events(&rig->g);

		if (guest_chan_send(chan, VMBUS_PKT_INBAND, VMBUS_PKT_FLAG_COMPLETION_REQUESTED,
			    sent + 1, NULL, &packet, sizeof(packet)))
			sent++;
		else
			guest_wait_events(&rig->g, seen);
	}
	return sent;
}

uint64_t storvsp_rig_take(struct storvsp_rig *rig, uint64_t received)
{
	struct vmbus_pkt pkt;

	while (guest_chan_receive(&rig->d.channels[0], &pkt))
		check(pkt.desc.trans_id == ++received);
	return received;
}

void storvsp_rig_take_all(struct storvsp_rig *rig, uint64_t received, uint64_t sent)
{
	while (received < sent) {
		uint64_t seen = guest_events(&rig->g);

		received = storvsp_rig_take(rig, received);
		if (received < sent)
			guest_wait_events(&rig->g, seen);
	}
}
