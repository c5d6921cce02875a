/* SPDX-License-Identifier: MIT */
/*
 * COMPARE AND WRITE from several channels on several I/O threads at once, among other
 * writes. Each slot adds one to a counter on the disk as lock-free programs do:
 * compare and write, and again when somebody was faster. A swap that is not atomic
 * loses an addition. (Nobody reads the block in between: reads are not fenced.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/support/storvsp_rig.h"

#define SLOTS     12u
#define NOISE     4u /* of them: write elsewhere */
#define ADDITIONS 2000u
#define COUNTER   77u /* block */

static struct storvsp_rig *rig;
static uint64_t known[SLOTS]; /* what the slot thinks the counter is */
static uint64_t newest;       /* what any slot knows */
static uint32_t additions, misses;

static void block_of(uint64_t value, uint8_t *block)
{
	for (uint32_t i = 0; i < RIG_BLOCK; i += 8)
		memcpy(block + i, &value, 8);
}

static void start_swap(uint32_t slot)
{
	uint8_t blocks[2 * RIG_BLOCK];

	block_of(known[slot], blocks);
	block_of(known[slot] + 1, blocks + RIG_BLOCK);
	guest_slot_put(&rig->d, slot, blocks, sizeof(blocks));
	rig->d.slots[slot].cmd = (struct storvsc_command){.lun = RIG_LUN,
		.data = VSTOR_DATA_OUT,
		.length = sizeof(blocks),
		.cdb_length = 16,
		.cdb = {0x89, 0, 0, 0, 0, 0, BE4(COUNTER), 0, 0, 0, 1}};
}

static void start_transfer(uint32_t slot, uint8_t opcode, uint32_t lba)
{
	rig->d.slots[slot].cmd = (struct storvsc_command){.lun = RIG_LUN,
		.data = opcode == 0x28 ? VSTOR_DATA_IN : VSTOR_DATA_OUT,
		.length = RIG_BLOCK,
		.cdb_length = 10,
		.cdb = {opcode, 0, BE4(lba), 0, 0, 1}};
}

/* What comes after what is done. */
static void next(uint32_t slot)
{
	struct guest_slot *s = &rig->d.slots[slot];
	uint8_t last = s->state == SLOT_DONE ? s->cmd.cdb[0] : 0;
	bool good = s->result.srb_status == VSTOR_SRB_SUCCESS;

	s->state = SLOT_FREE;
	if (slot < NOISE) {
		assert_true(!last || good);
		start_transfer(slot, 0x2A, 1000 + slot);
		return;
	}
	if (last && good) {
		additions++;
		if (known[slot] + 1 > newest)
			newest = known[slot] + 1;
	} else if (last) {
		misses++;
		assert_int_equal(s->result.sense[2], 0x0E);
	}
	known[slot] = newest;
	start_swap(slot);
}

static void wait_for_something(void)
{
	uint64_t seen = guest_events(&rig->g);

	if (!guest_disk_poll(&rig->d))
		guest_wait_events(&rig->g, seen);
}

static void settle(void)
{
	while (guest_disk_in_flight(&rig->d))
		wait_for_something();
	for (uint32_t slot = NOISE; slot < SLOTS; slot++)
		if (rig->d.slots[slot].cmd.cdb[0] == 0x89)
			additions += rig->d.slots[slot].result.srb_status == VSTOR_SRB_SUCCESS;
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		rig->d.slots[slot].state = SLOT_FREE;
}

static uint64_t counter(void)
{
	uint64_t value;

	start_transfer(0, 0x28, COUNTER);
	assert_true(guest_disk_submit(&rig->d, 0, 0));
	assert_int_equal(guest_disk_wait(&rig->d, 0)->srb_status, VSTOR_SRB_SUCCESS);
	guest_slot_get(&rig->d, 0, &value, 8);
	return value;
}

static void no_addition_is_lost(void **state)
{
	rig = storvsp_rig_create(4);
	atomic_store(&rig->disk->delay_ns, 20000); /* room for others between the halves */
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 3);
	while (additions < ADDITIONS) {
		for (uint32_t slot = 0; slot < SLOTS; slot++) {
			if (rig->d.slots[slot].state == SLOT_IN_FLIGHT)
				continue;
			next(slot);
			assert_true(guest_disk_submit(
				&rig->d, slot, (slot + additions) % rig->d.channel_count));
		}
		wait_for_something();
	}
	settle();
	assert_int_equal(counter(), additions);
	assert_true(misses > 0);
	guest_disk_close(&rig->d);
	storvsp_rig_destroy(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_addition_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
