/* SPDX-License-Identifier: MIT */
/*
 * The guest's side of an integration service, scripted: it takes the host's
 * messages, checks what every message must be, and answers as the test says.
 */
#ifndef SUPPORT_GUEST_IC_H
#define SUPPORT_GUEST_IC_H

#include "tests/support/guest.h"
#include "vsp/ic/ic.h"

#define GUEST_IC_RAM        (16u << 20)
#define GUEST_IC_INSTANCE   0x51
#define GUEST_IC_RING_PAGES 4u /* as Linux has it */
#define GUEST_IC_PACKET     16384u

struct guest_ic {
	struct guest g;
	struct ic_config config;
	struct vsp_device *dev;
	struct guest_chan chan;
	/* The header has 28 bytes: it begins at 4, so that the body is aligned. */
	_Alignas(8) uint32_t len; /* of message */
	union {
		struct ic_header header;
		uint8_t bytes[GUEST_IC_PACKET];
	} message; /* the last one that was taken */
	uint8_t packet[GUEST_IC_PACKET];
};

/* A connected guest to which the service is offered; the channel is not open. */
struct guest_ic *guest_ic_create(const struct ic_config *config, uint32_t io_threads);
void guest_ic_destroy(struct guest_ic *s);

/* With fresh rings; takes the NEGOTIATE. */
void guest_ic_open(struct guest_ic *s);
/* open, and the answer with the last framework and message version of the host's list. */
void guest_ic_open_ready(struct guest_ic *s);

/* False: there is none. */
bool guest_ic_take(struct guest_ic *s);
/* Waits for one, which must be of this type. Its body. */
void *guest_ic_expect(struct guest_ic *s, enum ic_type type);
/* Nothing comes, though the host has run. */
bool guest_ic_is_silent(struct guest_ic *s);

/* Sends the message back, as Linux does. */
void guest_ic_answer(struct guest_ic *s, uint32_t status);
/* Any bytes. */
void guest_ic_send(struct guest_ic *s, const void *bytes, uint32_t len);
void guest_ic_answer_versions(
	struct guest_ic *s, struct ic_version framework, struct ic_version message);

/* ---- requests of the host ------------------------------------------------ */

/* A request whose done() only notes. */
struct guest_ic_request {
	struct ic_request r;
	struct guest_ic *s;
	uint8_t body[8192];
	bool done; /* guest_ic_is_done() */
};

/* The caller has filled r.body or nothing: then `size` zeroes. */
void guest_ic_start(
	struct guest_ic *s, struct guest_ic_request *q, uint32_t size, uint64_t timeout_ns);
void guest_ic_wait(struct guest_ic *s, struct guest_ic_request *q);
/* Any thread's bool: waits until it is true. */
void guest_ic_wait_flag(struct guest_ic *s, const bool *flag);
/* The state of the channel as `status` shows it. */
const char *guest_ic_state(struct guest_ic *s);
/* A member of the channel's node in `inspect`. */
uint64_t guest_ic_count(struct guest_ic *s, const char *key);

#endif
