/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#include "proto/vmbus_proto.h"

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/string.h>
#else
#include <errno.h>
#include <string.h>
#endif

/* The minimal size of a message covers its struct: receivers copy the struct unconditionally. */
#define X(name, num, dir, strct, min, ver)                                                         \
	_Static_assert(sizeof(struct strct) == (min), "minimal size of " #name);                   \
	_Static_assert((min) <= VMBUS_MESSAGE_SIZE_MAX, "size of " #name);                         \
	_Static_assert((num) <= VMBUS_MSG_TYPE_MAX, "number of " #name);
VMBUS_MESSAGES(X)
#undef X

static const struct vmbus_msg_info msg_table[VMBUS_MSG_TYPE_MAX + 1] = {
#define X(name_, num, dir_, strct, min, ver)                                                       \
	[num] = {                                                                                  \
		.name = #name_,                                                                    \
		.dir = VMBUS_##dir_,                                                               \
		.size_min = (min),                                                                 \
		.version_min = (ver),                                                              \
	},
	VMBUS_MESSAGES(X)
#undef X
};

static const char *const check_names[VMBUS_CHECK_VERDICTS] = {
	[VMBUS_CHECK_OK] = "ok",
	[VMBUS_CHECK_NO_HEADER] = "no header",
	[VMBUS_CHECK_TOO_LONG] = "too long",
	[VMBUS_CHECK_UNKNOWN] = "unknown type",
	[VMBUS_CHECK_WRONG_DIRECTION] = "wrong direction",
	[VMBUS_CHECK_WRONG_VERSION] = "not in the negotiated version",
	[VMBUS_CHECK_TOO_SHORT] = "too short",
};

const struct vmbus_msg_info *vmbus_msg_info(uint32_t type)
{
	if (type > VMBUS_MSG_TYPE_MAX || !msg_table[type].name)
		return NULL;
	return &msg_table[type];
}

const char *vmbus_check_name(enum vmbus_check verdict)
{
	return (unsigned int)verdict < VMBUS_CHECK_VERDICTS ? check_names[verdict] : "?";
}

enum vmbus_check vmbus_msg_check(
	const void *msg, uint32_t len, enum vmbus_dir dir, uint32_t version, uint32_t *type)
{
	const struct vmbus_msg_info *info;
	struct vmbus_msg_header header;

	*type = 0;
	if (len < sizeof(header))
		return VMBUS_CHECK_NO_HEADER;
	memcpy(&header, msg, sizeof(header));
	*type = header.type;
	if (len > VMBUS_MESSAGE_SIZE_MAX)
		return VMBUS_CHECK_TOO_LONG;
	info = vmbus_msg_info(header.type);
	if (!info)
		return VMBUS_CHECK_UNKNOWN;
	if (info->dir != dir)
		return VMBUS_CHECK_WRONG_DIRECTION;
	if (version < info->version_min)
		return VMBUS_CHECK_WRONG_VERSION;
	if (len < info->size_min)
		return VMBUS_CHECK_TOO_SHORT;
	return VMBUS_CHECK_OK;
}

/* Reads the range header at `at`, unchecked; its PFNs follow. */
static void gpa_range_load(struct gpa_range *range, const uint8_t *at)
{
	struct vmbus_gpa_range header;
	uint64_t end;

	memcpy(&header, at, sizeof(header));
	end = (uint64_t)header.byte_offset + header.byte_count;
	range->byte_count = header.byte_count;
	range->byte_offset = header.byte_offset;
	range->page_count = (uint32_t)((end + HV_PAGE_SIZE - 1) >> HV_PAGE_SHIFT);
	range->pfns = at + sizeof(header);
}

static uint64_t gpa_range_size(const struct gpa_range *range)
{
	return sizeof(struct vmbus_gpa_range) + (uint64_t)range->page_count * sizeof(uint64_t);
}

/* After a success, gpa_range_load() of the same bytes cannot fail. */
static int gpa_range_decode(struct gpa_range *range, const uint8_t *at, uint32_t len)
{
	if (len < sizeof(struct vmbus_gpa_range))
		return -EPROTO;
	gpa_range_load(range, at);
	if (range->byte_offset >= HV_PAGE_SIZE || !range->byte_count)
		return -EPROTO;
	return gpa_range_size(range) <= len ? 0 : -EPROTO;
}

int gpa_list_parse(struct gpa_list *list, const void *bytes, uint32_t len, uint32_t count,
	const struct gpa_limits *limits)
{
	struct gpa_list l = {.range_count = count, .left = count, .at = bytes};
	struct gpa_range range;
	uint32_t i;
	int err;

	if (count < limits->ranges_min || count > limits->ranges_max)
		return -EMSGSIZE;
	/* Each range has at least 16 bytes, so a count that is too high ends the loop early. */
	for (i = 0; i < count; i++) {
		err = gpa_range_decode(&range, l.at + l.parsed, len - l.parsed);
		if (err)
			return err;
		l.parsed += (uint32_t)gpa_range_size(&range);
		l.page_count += range.page_count;
		l.byte_count += range.byte_count;
		if (l.byte_count > limits->bytes_max)
			return -EMSGSIZE;
	}
	*list = l;
	return 0;
}

int gpa_direct_parse(struct gpa_list *list, const void *extra, uint32_t extra_len,
	const struct gpa_limits *limits)
{
	struct vmbus_gpa_direct header;

	if (extra_len < sizeof(header))
		return -EPROTO;
	memcpy(&header, extra, sizeof(header));
	return gpa_list_parse(list, (const uint8_t *)extra + sizeof(header),
		extra_len - (uint32_t)sizeof(header), header.range_count, limits);
}

bool gpa_list_next(struct gpa_list *list, struct gpa_range *range)
{
	if (!list->left)
		return false;
	gpa_range_load(range, list->at);
	list->at += gpa_range_size(range);
	list->left--;
	return true;
}

uint64_t gpa_range_pfn(const struct gpa_range *range, uint32_t index)
{
	uint64_t pfn;

	memcpy(&pfn, range->pfns + (size_t)index * sizeof(pfn), sizeof(pfn));
	return pfn;
}
