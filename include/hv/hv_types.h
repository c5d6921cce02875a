/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Fixed-width types and layout asserts for wire headers.
 *
 * Everything under include/hv describes bytes shared with another partition
 * or with the hypervisor: little-endian, pages of 4096 bytes, no logic. The same
 * files are compiled by kernel modules and by user space.
 */
#ifndef HV_TYPES_H
#define HV_TYPES_H

#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>
#else
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#endif

#define HV_PAGE_SHIFT 12
#define HV_PAGE_SIZE  4096u
#define HV_PACKED     __attribute__((packed))

/* Every wire struct is followed by one of these. */
#define HV_ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), "wire size of " #type)
#define HV_ASSERT_OFFSET(type, field, off)                                                         \
	_Static_assert(offsetof(type, field) == (off), "wire offset of " #type "." #field)

/* A GUID on the wire: u32 LE, u16 LE, u16 LE, 8 bytes. */
struct hv_guid {
	uint8_t b[16];
};
HV_ASSERT_SIZE(struct hv_guid, 16);

/* hv_guid initialiser from the usual text groups: 12345678-1234-1234-1234-123456789abc */
#define HV_GUID(a, b_, c, d0, d1, d2, d3, d4, d5, d6, d7)                                          \
	{                                                                                          \
		{                                                                                  \
			(a) & 0xff, ((a) >> 8) & 0xff, ((a) >> 16) & 0xff, ((a) >> 24) & 0xff,     \
				(b_)&0xff, ((b_) >> 8) & 0xff, (c)&0xff, ((c) >> 8) & 0xff, d0,    \
				d1, d2, d3, d4, d5, d6, d7                                         \
		}                                                                                  \
	}

#endif
