/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Dynamic memory: what the host says of the guest's RAM, and takes and gives of it. In-band packets
 * on a channel that is not in pipe mode. The guest begins.
 *
 * Source: Linux drivers/hv/hv_balloon.c.
 * h2g = host to guest, g2h = guest to host.
 */
#ifndef DM_REG_H
#define DM_REG_H

#include "hv_types.h"

#define DM_CLASS HV_GUID(0x525074dc, 0x8985, 0x46e2, 0x80, 0x57, 0xa3, 0x07, 0xdc, 0x18, 0xa5, 0x02)
#define DM_INSTANCE                                                                                \
	HV_GUID(0x1eccfd72, 0x4b41, 0x45ef, 0xb7, 0x3a, 0x4a, 0x6e, 0x44, 0xc1, 0x29, 0x24)

#define DM_PAGE_SHIFT  12
#define DM_MESSAGE_MAX 4096u /* Linux reads no more than that */

enum dm_type {
	DM_VERSION_REQUEST = 1,       /* g2h */
	DM_VERSION_RESPONSE = 2,      /* h2g */
	DM_CAPABILITIES = 3,          /* g2h */
	DM_CAPABILITIES_RESPONSE = 4, /* h2g */
	DM_STATUS = 5,                /* g2h, each second */
	DM_BALLOON_REQUEST = 6,       /* h2g */
	DM_BALLOON_RESPONSE = 7,      /* g2h, one or more */
	DM_UNBALLOON_REQUEST = 8,     /* h2g */
	DM_UNBALLOON_RESPONSE = 9,    /* g2h, only the header */
	DM_HOT_ADD_REQUEST = 10,      /* h2g */
	DM_HOT_ADD_RESPONSE = 11,     /* g2h */
	DM_INFO = 12,                 /* h2g */
};

struct dm_header {
	uint16_t type;        /* enum dm_type */
	uint16_t size;        /* of the whole message */
	uint32_t transaction; /* each side counts its own; an answer has the number of the other */
};
HV_ASSERT_SIZE(struct dm_header, 8);

struct dm_version_request {
	struct dm_header header;
	uint16_t minor, major;
	uint32_t flags; /* bit 0: the last one it knows */
};
HV_ASSERT_SIZE(struct dm_version_request, 16);

/* Versions of Windows 10, 8 and 7. */
#define DM_VERSION_MAJOR_MAX 2u

/* Both responses: of version and of capabilities. */
struct dm_response {
	struct dm_header header;
	uint64_t flags; /* DM_ACCEPTED */
};
HV_ASSERT_SIZE(struct dm_response, 16);

#define DM_ACCEPTED (1ull << 0)

struct dm_capabilities {
	struct dm_header header;
	uint64_t flags; /* DM_CAN_* */
	uint64_t min_pages;
	uint64_t max_page;
};
HV_ASSERT_SIZE(struct dm_capabilities, 32);

#define DM_CAN_BALLOON     (1ull << 0)
#define DM_CAN_HOT_ADD     (1ull << 1)
#define DM_ALIGNMENT_SHIFT 2 /* of what is added: 4 bits, the binary logarithm of MiB */
#define DM_ALIGNMENT_MASK  0xFull

/* Pages. Linux fills in the first two. */
struct dm_status {
	struct dm_header header;
	uint64_t available;
	uint64_t committed; /* with those that the host has, and a floor that the guest keeps */
	uint64_t page_file, zero_free;
	uint32_t page_file_writes, io_diff;
};
HV_ASSERT_SIZE(struct dm_status, 48);

struct dm_balloon_request {
	struct dm_header header;
	uint32_t pages; /* Linux warns when it is no multiple of DM_BALLOON_PAGES */
	uint32_t reserved;
};
HV_ASSERT_SIZE(struct dm_balloon_request, 16);

#define DM_BALLOON_PAGES 512u

/* Pages that follow each other: the first one, and from DM_RANGE_COUNT_SHIFT on how many. */
#define DM_RANGE_COUNT_SHIFT 40
#define DM_RANGE_PFN_MASK    ((1ull << DM_RANGE_COUNT_SHIFT) - 1)
#define DM_RANGE_COUNT_MAX   ((1u << 24) - 1)

/* Followed by the ranges. */
struct dm_balloon_response {
	struct dm_header header;
	uint32_t reserved;
	uint32_t count; /* bit 0: more messages follow; from bit 1 on, ranges */
};
HV_ASSERT_SIZE(struct dm_balloon_response, 16);

#define DM_RESPONSE_MORE        (1u << 0)
#define DM_RESPONSE_COUNT_SHIFT 1

/* Followed by the ranges. */
struct dm_unballoon_request {
	struct dm_header header;
	uint32_t flags; /* bit 0: more messages follow; only the last one is answered */
	uint32_t count;
};
HV_ASSERT_SIZE(struct dm_unballoon_request, 16);

#define DM_RANGES_MAX ((DM_MESSAGE_MAX - 16u) / 8u)

struct dm_hot_add_request {
	struct dm_header header;
	uint64_t range;
};
HV_ASSERT_SIZE(struct dm_hot_add_request, 16);

struct dm_hot_add_response {
	struct dm_header header;
	uint32_t pages;  /* that were added, from the begin of the range on */
	uint32_t result; /* DM_HOT_ADD_* */
};
HV_ASSERT_SIZE(struct dm_hot_add_response, 16);

#define DM_HOT_ADD_LATER 0u /* no page; it may be tried again */
#define DM_HOT_ADD_DONE  1u /* without a page: never again */

struct dm_info {
	struct dm_header header;
	uint32_t reserved;
	uint32_t info_size; /* of what follows */
	uint32_t type;      /* DM_INFO_MAX_PAGES */
	uint32_t data_size;
	uint64_t pages;
};
HV_ASSERT_SIZE(struct dm_info, 32);

#define DM_INFO_MAX_PAGES 0u

#endif
