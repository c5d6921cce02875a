/* SPDX-License-Identifier: MIT */
/*
 * A SCSI driver for the guest of guest.h: guest/storvsc/proto.c on real rings.
 *
 * Each slot is a command with a data buffer of its own. A completion must name
 * a slot in flight by its current generation, or the program aborts: so every
 * command completes exactly once, or not at all when its channel is closed.
 */
#ifndef SUPPORT_GUEST_DISK_H
#define SUPPORT_GUEST_DISK_H

#include "guest/storvsc/proto.h"
#include "tests/support/guest.h"

#define GUEST_DISK_SLOTS    64u
#define GUEST_DISK_CHANNELS 64u
#define GUEST_DISK_BUFFER   (1u << 20) /* bytes of one slot's buffer, and a page */

enum guest_slot_state {
	SLOT_FREE,
	SLOT_IN_FLIGHT,
	SLOT_DONE, /* result is there; the owner frees it */
};

struct guest_slot {
	enum guest_slot_state state;
	uint32_t generation;
	uint32_t channel;
	struct storvsc_command cmd;
	uint64_t gpa;         /* pages of the buffer, in reverse order: nothing is contiguous */
	uint32_t byte_offset; /* of the data in the first page */
	int parse_error;
	struct storvsc_completion result;
};

struct guest_disk {
	struct guest *g;
	struct storvsc_conn conn;
	uint8_t instance;
	uint32_t channel_count; /* open ones */
	struct guest_chan channels[GUEST_DISK_CHANNELS];
	struct guest_slot slots[GUEST_DISK_SLOTS];
	uint64_t completions;
	uint64_t enumerations; /* ENUMERATE_BUS packets */
};

void guest_disk_init(struct guest_disk *d, struct guest *g, uint8_t instance);

/* Opens the primary channel, negotiates from `newest` down, opens the sub-channels. */
void guest_disk_open(struct guest_disk *d, uint16_t newest, uint16_t sub_channels);
void guest_disk_open_primary(struct guest_disk *d);
/* Sub-channels, then the primary. What was in flight is forgotten: the host is done with it. */
void guest_disk_close(struct guest_disk *d);
/* The same without messages: the host has ended the channels. */
void guest_disk_forget(struct guest_disk *d);

/* One packet on the primary and its reply; *reply is zero beyond its size. Returns that size. */
uint32_t guest_disk_packet(
	struct guest_disk *d, const void *packet, uint32_t size, struct vstor_packet *reply);

/* Bytes to and from a slot's buffer, as the host sees it: from byte_offset on. */
void guest_slot_put(struct guest_disk *d, uint32_t slot, const void *bytes, uint32_t len);
void guest_slot_get(struct guest_disk *d, uint32_t slot, void *bytes, uint32_t len);
/* The GPA-direct header of a slot's buffer; false when it has no data. */
struct storvsc_range *guest_slot_range(struct guest_disk *d, uint32_t slot, uint32_t *len);

/* Makes it a READ(10) of so many blocks of 512 bytes, to the start of its buffer. */
void guest_slot_read(
	struct guest_disk *d, uint32_t slot, uint8_t lun, uint32_t lba, uint16_t blocks);

/* Starts slots[slot].cmd. False: no room in the ring. */
bool guest_disk_submit(struct guest_disk *d, uint32_t slot, uint32_t channel);
/* Takes what completions there are; returns how many. */
uint32_t guest_disk_poll(struct guest_disk *d);
/* A completion somebody else has received. */
void guest_disk_take(struct guest_disk *d, uint32_t channel, const struct vmbus_pkt *pkt);
/* Until the slot is done; frees it. */
const struct storvsc_completion *guest_disk_wait(struct guest_disk *d, uint32_t slot);
uint32_t guest_disk_in_flight(const struct guest_disk *d);

/* One command in slot 0 on the primary, waited for. */
const struct storvsc_completion *guest_disk_run(struct guest_disk *d, uint8_t lun, uint8_t data,
	uint32_t length, size_t cdb_length, const uint8_t *cdb);

#endif
