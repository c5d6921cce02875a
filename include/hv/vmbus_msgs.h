/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The message table: the single source of types, sizes and versions.
 *
 * VMBUS_MESSAGES(X) expands X(NAME, number, direction, struct, min_size, min_version)
 * for each message. min_size counts the header; a shorter message is rejected,
 * a longer one accepted (some guests always post 240 bytes). A message below
 * its min_version is rejected as unknown. Source: Linux include/linux/hyperv.h.
 */
#ifndef VMBUS_MSGS_H
#define VMBUS_MSGS_H

#include "vmbus_reg.h"

#define VMBUS_V_ANY 0u

/* clang-format off */
#define VMBUS_MESSAGES(X)                                                                       \
	X(OFFER,                    1, H2G, vmbus_offer,                   196, VMBUS_V_ANY)    \
	X(RESCIND,                  2, H2G, vmbus_relid_msg,                12, VMBUS_V_ANY)    \
	X(REQUEST_OFFERS,           3, G2H, vmbus_msg_header,                8, VMBUS_V_ANY)    \
	X(ALL_OFFERS_DELIVERED,     4, H2G, vmbus_msg_header,                8, VMBUS_V_ANY)    \
	X(OPEN,                     5, G2H, vmbus_open,                    148, VMBUS_V_ANY)    \
	X(OPEN_RESULT,              6, H2G, vmbus_open_result,              20, VMBUS_V_ANY)    \
	X(CLOSE,                    7, G2H, vmbus_relid_msg,                12, VMBUS_V_ANY)    \
	X(GPADL_HEADER,             8, G2H, vmbus_gpadl_header,             20, VMBUS_V_ANY)    \
	X(GPADL_BODY,               9, G2H, vmbus_gpadl_body,               16, VMBUS_V_ANY)    \
	X(GPADL_CREATED,           10, H2G, vmbus_gpadl_created,            20, VMBUS_V_ANY)    \
	X(GPADL_TEARDOWN,          11, G2H, vmbus_gpadl_teardown,           16, VMBUS_V_ANY)    \
	X(GPADL_TORNDOWN,          12, H2G, vmbus_gpadl_torndown,           12, VMBUS_V_ANY)    \
	X(RELID_RELEASED,          13, G2H, vmbus_relid_msg,                12, VMBUS_V_ANY)    \
	X(INITIATE_CONTACT,        14, G2H, vmbus_initiate_contact,         40, VMBUS_V_ANY)    \
	X(VERSION_RESPONSE,        15, H2G, vmbus_version_response,         16, VMBUS_V_ANY)    \
	X(UNLOAD,                  16, G2H, vmbus_msg_header,                8, VMBUS_V_ANY)    \
	X(UNLOAD_RESPONSE,         17, H2G, vmbus_msg_header,                8, VMBUS_V_ANY)    \
	X(OPEN_RESERVED,           18, G2H, vmbus_open_reserved,            28, VMBUS_VERSION_WIN10) \
	X(CLOSE_RESERVED,          19, G2H, vmbus_close_reserved,           20, VMBUS_V_ANY)    \
	X(CLOSE_RESERVED_RESPONSE, 20, H2G, vmbus_relid_msg,                12, VMBUS_VERSION_WIN10) \
	X(TL_CONNECT,              21, G2H, vmbus_tl_connect,               40, VMBUS_VERSION_WIN10) \
	X(MODIFY_CHANNEL,          22, G2H, vmbus_modify_channel,           16, VMBUS_VERSION_WIN10_RS3) \
	X(TL_CONNECT_RESULT,       23, H2G, vmbus_tl_connect_result,        44, VMBUS_VERSION_WIN10_RS3) \
	X(MODIFY_CHANNEL_RESPONSE, 24, H2G, vmbus_modify_channel_response,  16, VMBUS_VERSION_WIN10_V5_3)
/* clang-format on */

enum vmbus_msg_type {
#define X(name, num, dir, strct, min, ver) VMBUS_MSG_##name = (num),
	VMBUS_MESSAGES(X)
#undef X
};
#define VMBUS_MSG_TYPE_MAX 24u

#endif
