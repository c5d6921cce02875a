/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Synthetic mouse: a HID device with an absolute position. Each message is one packet in pipe mode.
 * The guest begins.
 *
 * Source: Linux drivers/hid/hid-hyperv.c; FreeBSD sys/dev/hyperv/input.
 */
#ifndef MOUSE_REG_H
#define MOUSE_REG_H

#include "pipe_reg.h"

#define MOUSE_CLASS                                                                                \
	HV_GUID(0xcfa8b69e, 0x5b4a, 0x4cc0, 0xb9, 0x8b, 0x8b, 0xa1, 0xa1, 0xf3, 0xf9, 0x5a)
#define MOUSE_INSTANCE                                                                             \
	HV_GUID(0x58f75a6d, 0xd949, 0x4320, 0x99, 0xe1, 0xa2, 0xa2, 0x57, 0x6d, 0x58, 0x1c)

enum mouse_type {
	MOUSE_PROTOCOL_REQUEST = 0,  /* g2h */
	MOUSE_PROTOCOL_RESPONSE = 1, /* h2g */
	MOUSE_DEVICE_INFO = 2,       /* h2g, at once behind the response */
	MOUSE_DEVICE_INFO_ACK = 3,   /* g2h */
	MOUSE_INPUT_REPORT = 4,      /* h2g */
};

#define MOUSE_VERSION 0x00020000u /* 2.0: the high half is the major number */

struct mouse_header {
	struct pipe_header pipe;
	uint32_t type;
	uint32_t size; /* of the body, behind this header */
};
HV_ASSERT_SIZE(struct mouse_header, 16);

struct mouse_request {
	struct mouse_header header;
	uint32_t version;
};
HV_ASSERT_SIZE(struct mouse_request, 20);

struct mouse_response {
	struct mouse_header header;
	uint32_t version;
	uint8_t approved; /* FreeBSD reads 4 bytes: what pads the packet is zero */
} HV_PACKED;
HV_ASSERT_SIZE(struct mouse_response, 21);

/* Linux's driver binds to no other. */
#define MOUSE_VENDOR  0x045Eu
#define MOUSE_PRODUCT 0x0621u

#define MOUSE_HID_DESCRIPTOR    0x21u
#define MOUSE_REPORT_DESCRIPTOR 0x22u

struct mouse_device_info {
	struct mouse_header header;
	uint32_t info_size; /* 32: of info_size to reserved */
	uint16_t vendor, product, version;
	uint16_t reserved[11];
	/* the HID descriptor */
	uint8_t length; /* 9 */
	uint8_t type;   /* MOUSE_HID_DESCRIPTOR */
	uint16_t hid_version;
	uint8_t country;
	uint8_t descriptors; /* 1 */
	uint8_t report_type; /* MOUSE_REPORT_DESCRIPTOR */
	uint16_t report_size;
	uint8_t report_descriptor[];
} HV_PACKED;
HV_ASSERT_SIZE(struct mouse_device_info, 57);

#define MOUSE_POSITION_MAX 32767u

struct mouse_report {
	uint8_t buttons; /* bit 0 left, 1 right, 2 middle, 3 side, 4 extra */
	uint16_t x, y;   /* 0 to MOUSE_POSITION_MAX */
	int16_t wheel;   /* steps, up is positive */
} HV_PACKED;
HV_ASSERT_SIZE(struct mouse_report, 7);

struct mouse_input {
	struct mouse_header header;
	struct mouse_report report;
} HV_PACKED;
HV_ASSERT_SIZE(struct mouse_input, 23);

#endif
