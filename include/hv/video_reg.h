/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Synthetic video: the guest chooses where its video memory is, reports the mode and the
 * rectangles it has drawn. Each message is one packet in pipe mode. The guest begins.
 *
 * Source: Linux drivers/gpu/drm/hyperv/hyperv_drm_proto.c; OpenVMM for what Linux does not use.
 * h2g = host to guest, g2h = guest to host. Sizes are of the whole packet, pipe header included.
 */
#ifndef VIDEO_REG_H
#define VIDEO_REG_H

#include "pipe_reg.h"

#define VIDEO_CLASS                                                                                \
	HV_GUID(0xda0a7802, 0xe377, 0x4aac, 0x8e, 0x77, 0x05, 0x58, 0xeb, 0x10, 0x73, 0xf8)
#define VIDEO_INSTANCE                                                                             \
	HV_GUID(0x5620e0c7, 0x8062, 0x4dce, 0xae, 0xb7, 0x52, 0x0c, 0x7e, 0xf7, 0x61, 0x71)

#define VIDEO_PACKET_MAX 0x4000u

enum video_type {
	VIDEO_VERSION_REQUEST = 1,      /* g2h */
	VIDEO_VERSION_RESPONSE = 2,     /* h2g */
	VIDEO_VRAM_LOCATION = 3,        /* g2h */
	VIDEO_VRAM_ACK = 4,             /* h2g */
	VIDEO_SITUATION = 5,            /* g2h: the mode */
	VIDEO_SITUATION_ACK = 6,        /* h2g */
	VIDEO_POINTER_POSITION = 7,     /* g2h */
	VIDEO_POINTER_SHAPE = 8,        /* g2h */
	VIDEO_FEATURE_CHANGE = 9,       /* h2g: what the host wants to hear of */
	VIDEO_DIRT = 10,                /* g2h */
	VIDEO_BIOS_INFO_REQUEST = 11,   /* g2h */
	VIDEO_BIOS_INFO_RESPONSE = 12,  /* h2g */
	VIDEO_RESOLUTION_REQUEST = 13,  /* g2h */
	VIDEO_RESOLUTION_RESPONSE = 14, /* h2g */
	VIDEO_CAPABILITY_REQUEST = 15,  /* g2h: Windows */
	VIDEO_CAPABILITY_RESPONSE = 16, /* h2g */
};

struct video_header {
	struct pipe_header pipe;
	uint32_t type; /* enum video_type */
	uint32_t size; /* from type on; not used */
};
HV_ASSERT_SIZE(struct video_header, 16);

/* The low half is the major number, unlike that of keyboard and mouse. */
#define VIDEO_VERSION(major, minor) ((uint32_t)(minor) << 16 | (major))
#define VIDEO_VERSION_MAJOR(v)      ((v)&0xFFFF)
#define VIDEO_VERSION_MINOR(v)      ((v) >> 16)
#define VIDEO_MAJOR                 3u
#define VIDEO_MINOR_MIN             2u
#define VIDEO_MINOR_MAX             5u

struct video_version_request {
	struct video_header header;
	uint32_t version;
};
HV_ASSERT_SIZE(struct video_version_request, 20);

#define VIDEO_ACCEPTED 2u /* UEFI wants exactly this */

struct video_version_response {
	struct video_header header;
	uint32_t version;
	uint8_t accepted; /* VIDEO_ACCEPTED or 0 */
	uint8_t outputs;
} HV_PACKED;
HV_ASSERT_SIZE(struct video_version_response, 22);

struct video_vram_location {
	struct video_header header;
	uint64_t context; /* the answer has it, too, if the memory is there */
	uint8_t given;
	uint64_t gpa;
} HV_PACKED;
HV_ASSERT_SIZE(struct video_vram_location, 33);

/* Both acknowledgements. */
struct video_ack {
	struct video_header header;
	uint64_t context;
};
HV_ASSERT_SIZE(struct video_ack, 24);

#define VIDEO_DEPTH 32u

struct video_situation {
	struct video_header header;
	uint64_t context;
	uint8_t outputs;
	uint8_t active; /* UEFI draws with 0 */
	uint32_t offset;
	uint8_t depth;
	uint32_t width, height;
	uint32_t pitch; /* bytes */
} HV_PACKED;
HV_ASSERT_SIZE(struct video_situation, 43);

struct video_feature_change {
	struct video_header header;
	uint8_t dirt, pointer_position, pointer_shape, situation;
};
HV_ASSERT_SIZE(struct video_feature_change, 20);

struct video_rectangle {
	int32_t left, top, right, bottom; /* right and bottom are outside */
};
HV_ASSERT_SIZE(struct video_rectangle, 16);

struct video_dirt {
	struct video_header header;
	uint8_t output;
	uint8_t count;
	struct video_rectangle rectangles[];
} HV_PACKED;
HV_ASSERT_SIZE(struct video_dirt, 18);

struct video_bios_info {
	struct video_header header;
	uint32_t stop_supported;
	uint8_t reserved[12];
};
HV_ASSERT_SIZE(struct video_bios_info, 32);

#define VIDEO_RESOLUTIONS_MAX 64u
#define VIDEO_EDID_SIZE       128u

struct video_resolution {
	uint16_t width, height;
};

struct video_resolutions {
	struct video_header header;
	uint8_t edid[VIDEO_EDID_SIZE]; /* zeros: Linux does not use it */
	uint8_t count;
	uint8_t preferred; /* index */
	uint8_t standard;
	struct video_resolution list[];
} HV_PACKED;
HV_ASSERT_SIZE(struct video_resolutions, 147);

struct video_capabilities {
	struct video_header header;
	uint32_t lock_on_disconnect;
	uint32_t reserved[15];
};
HV_ASSERT_SIZE(struct video_capabilities, 80);

#endif
