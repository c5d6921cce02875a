/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Synthetic keyboard: scan codes of set 1. Packets are messages, without a pipe header. The guest
 * begins.
 *
 * Source: Linux drivers/input/serio/hyperv-keyboard.c; FreeBSD sys/dev/hyperv/input.
 */
#ifndef KEYBOARD_REG_H
#define KEYBOARD_REG_H

#include "hv_types.h"

#define KEYBOARD_CLASS                                                                             \
	HV_GUID(0xf912ad6d, 0x2b17, 0x48ea, 0xbd, 0x65, 0xf9, 0x27, 0xa6, 0x1c, 0x76, 0x84)
#define KEYBOARD_INSTANCE                                                                          \
	HV_GUID(0xd34b2567, 0xb9b6, 0x42b9, 0x87, 0x78, 0x0a, 0x4e, 0xc0, 0xb9, 0x55, 0xbf)

enum keyboard_type {
	KEYBOARD_PROTOCOL_REQUEST = 1,  /* g2h */
	KEYBOARD_PROTOCOL_RESPONSE = 2, /* h2g */
	KEYBOARD_EVENT = 3,             /* h2g */
	KEYBOARD_LEDS = 4,              /* g2h: UEFI, Windows */
};

#define KEYBOARD_VERSION 0x00010000u /* 1.0: the high half is the major number */

struct keyboard_request {
	uint32_t type;
	uint32_t version;
};
HV_ASSERT_SIZE(struct keyboard_request, 8);

#define KEYBOARD_ACCEPTED 1u

struct keyboard_response {
	uint32_t type;
	uint32_t status; /* KEYBOARD_ACCEPTED or 0 */
};
HV_ASSERT_SIZE(struct keyboard_response, 8);

#define KEYBOARD_UNICODE 1u /* no guest understands it */
#define KEYBOARD_BREAK   2u
#define KEYBOARD_E0      4u
#define KEYBOARD_E1      8u

struct keyboard_event {
	uint32_t type;
	uint16_t code; /* 0x01 to 0x7F */
	uint16_t reserved;
	uint32_t flags;
};
HV_ASSERT_SIZE(struct keyboard_event, 12);

#endif
