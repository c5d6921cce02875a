/* SPDX-License-Identifier: MIT */
/*
 * The guest's side of dynamic memory, scripted: it takes the host's messages, checks what every one
 * must be, and answers as the test says.
 */
#ifndef SUPPORT_GUEST_DM_H
#define SUPPORT_GUEST_DM_H

#include "hv/dm_reg.h"
#include "tests/support/guest.h"
#include "vsp/dynmem/dynmem.h"

#define GUEST_DM_RAM        (64ull << 20)
#define GUEST_DM_MIN        (16ull << 20)
#define GUEST_DM_MAX        (GUEST_DM_RAM + (512ull << 20))
#define GUEST_DM_INSTANCE   0x71
#define GUEST_DM_RING_PAGES 5u /* as Linux has it */
#define GUEST_DM_ALIGNMENT  7u /* 128 MiB, as Linux has it */

struct guest_dm {
	struct guest g;
	struct dynmem_config config;
	struct vsp_device *dev;
	struct guest_chan chan;
	int add_error;            /* what config.add() returns; 0: it adds */
	_Atomic uint32_t adds;    /* calls of it */
	_Alignas(8) uint32_t len; /* of message */
	uint32_t pad;
	union {
		struct dm_header header;
		struct dm_response response;
		struct dm_info info;
		struct dm_balloon_request take;
		struct dm_unballoon_request give;
		struct dm_hot_add_request add;
		uint8_t bytes[DM_MESSAGE_MAX + 64];
	} message; /* the last one that was taken */
	uint8_t packet[DM_MESSAGE_MAX + 64];
};

/* A connected guest to which the device is offered; the channel is not open. */
struct guest_dm *guest_dm_create(bool shared, uint32_t io_threads);
struct guest_dm *guest_dm_create_with(
	bool shared, uint32_t io_threads, bool (*is_ready)(void *ctx));
struct guest_dm *guest_dm_create_dump(bool (*is_dump)(void *ctx));
void guest_dm_destroy(struct guest_dm *s);

void guest_dm_open(struct guest_dm *s);
/* open, and both negotiations as Linux does them. */
void guest_dm_open_ready(struct guest_dm *s);

/* False: there is none. */
bool guest_dm_take(struct guest_dm *s);
/* Waits for one, which must be of this type. */
void guest_dm_expect(struct guest_dm *s, enum dm_type type);
/* Nothing comes, though the host has run. */
bool guest_dm_is_silent(struct guest_dm *s);
/* Until the host has rescinded the offer. */
void guest_dm_wait_fault(struct guest_dm *s);

/* Any bytes. False: no room, which only happens to a guest that does not wait. */
bool guest_dm_send(struct guest_dm *s, const void *bytes, uint32_t len);
/* A message with this type and size in its header. */
void guest_dm_say(struct guest_dm *s, enum dm_type type, void *message, uint32_t len);
void guest_dm_capabilities(struct guest_dm *s, uint64_t flags);
void guest_dm_report(struct guest_dm *s, uint64_t available, uint64_t committed); /* bytes */

#define GUEST_DM_RANGE(gpa, pages)                                                                 \
	((uint64_t)(gpa) >> DM_PAGE_SHIFT | (uint64_t)(pages) << DM_RANGE_COUNT_SHIFT)
void guest_dm_balloon(struct guest_dm *s, const uint64_t *ranges, uint32_t count, bool more);
void guest_dm_added(struct guest_dm *s, uint64_t bytes, uint32_t result);

/* ---- the host ------------------------------------------------------------ */

void guest_dm_target(struct guest_dm *s, uint64_t bytes);
struct dynmem_status guest_dm_status(struct guest_dm *s);
/* Until so much is granted, and nothing is asked. */
void guest_dm_wait_granted(struct guest_dm *s, uint64_t bytes);
/* A counter of the channel in `inspect`. */
uint64_t guest_dm_count(struct guest_dm *s, const char *key);

#endif
