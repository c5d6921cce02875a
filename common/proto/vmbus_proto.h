/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Checks on bytes from the other partition, shared by host, guest and fuzzers:
 * channel messages against the table in hv/vmbus_msgs.h, and range lists
 * (GPA-direct packets, GPADLs).
 *
 * Input is always a private copy, never shared memory, since checked bytes are
 * read again. No allocation, lock, log or sleep.
 */
#ifndef VMBUS_PROTO_H
#define VMBUS_PROTO_H

#include "hv/vmbus_msgs.h"
#include "hv/vmbus_ring_reg.h"

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#endif

/* ---- channel messages ---------------------------------------------------- */

enum vmbus_dir {
	VMBUS_G2H,
	VMBUS_H2G,
};

struct vmbus_msg_info {
	const char *name;     /* as in VMBUS_MSG_* */
	enum vmbus_dir dir;   /* who sends it */
	uint32_t size_min;    /* bytes, header included */
	uint32_t version_min; /* VMBUS_VERSION_* */
};

enum vmbus_check {
	VMBUS_CHECK_OK,
	VMBUS_CHECK_NO_HEADER,       /* shorter than any message */
	VMBUS_CHECK_TOO_LONG,        /* longer than a message slot */
	VMBUS_CHECK_UNKNOWN,         /* no such type */
	VMBUS_CHECK_WRONG_DIRECTION, /* only the receiver sends this type */
	VMBUS_CHECK_WRONG_VERSION,   /* newer than the negotiated version */
	VMBUS_CHECK_TOO_SHORT,       /* shorter than its type's minimum */
	VMBUS_CHECK_VERDICTS
};

/* The only reject point for channel messages. msg: `len` bytes, any alignment; dir: who sent it;
 * version: negotiated, 0 while not connected (messages newer than the first protocol are then
 * unknown). On VMBUS_CHECK_OK all bytes of the type's struct are present; the receiver checks
 * the fields against its state. *type is set whenever there is a header, also on rejects. */
enum vmbus_check vmbus_msg_check(
	const void *msg, uint32_t len, enum vmbus_dir dir, uint32_t version, uint32_t *type);

/* NULL: no such type. */
const struct vmbus_msg_info *vmbus_msg_info(uint32_t type);
/* For logs; never NULL. */
const char *vmbus_check_name(enum vmbus_check verdict);

/* ---- range lists --------------------------------------------------------- */

/* Limits of the receiver; a legal but larger list is -EMSGSIZE, not a protocol error. */
struct gpa_limits {
	uint32_t ranges_min;
	uint32_t ranges_max;
	uint64_t bytes_max; /* over all ranges */
};

/* A checked list of ranges, also the iterator over it. Points into the bytes it was parsed from. */
struct gpa_list {
	uint32_t range_count; /* ranges in the list */
	uint32_t page_count;  /* PFNs in all ranges */
	uint64_t byte_count;  /* data in all ranges */
	uint32_t parsed;      /* bytes of the list */
	uint32_t left;        /* ranges that gpa_list_next() has not returned yet */
	const uint8_t *at;    /* the next range */
};

struct gpa_range {
	uint32_t byte_count;  /* > 0 */
	uint32_t byte_offset; /* inside the first page, < HV_PAGE_SIZE */
	uint32_t page_count;  /* pages byte_offset + byte_count touch, > 0 */
	const uint8_t *pfns;  /* page_count u64, not aligned: use gpa_range_pfn() */
};

/* Checks `count` concatenated ranges in len bytes: byte_offset inside a page, byte_count not 0, no
 * overflow, all PFNs inside the bytes. Bytes after the list are allowed (see list->parsed). The
 * values of PFNs are not checked: that is up to the owner of guest memory.
 * -EPROTO: an invalid list. -EMSGSIZE: outside the limits. */
int gpa_list_parse(struct gpa_list *list, const void *bytes, uint32_t len, uint32_t count,
	const struct gpa_limits *limits);

/* The same for a GPA-direct packet: extra = vmbus_pkt.extra, extra_len = vmbus_pkt.extra_len. */
int gpa_direct_parse(struct gpa_list *list, const void *extra, uint32_t extra_len,
	const struct gpa_limits *limits);

/* Returns the ranges in order; false after the last. Cannot fail: the list is checked. Copy the
 * list to walk it more than once. */
bool gpa_list_next(struct gpa_list *list, struct gpa_range *range);

/* PFN of page `index` (< page_count) of the range. */
uint64_t gpa_range_pfn(const struct gpa_range *range, uint32_t index);

#endif
