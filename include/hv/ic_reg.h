/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Integration components: services that a guest's operating system offers its
 * host. Each has a channel in pipe mode. The host asks; the guest sends the same
 * message back with the answer filled in, so a request has room for its answer.
 *
 * Source: Linux include/linux/hyperv.h, include/uapi/linux/hyperv.h,
 * drivers/hv/{hv_util,hv_kvp,hv_snapshot,hv_fcopy}.c, tools/hv.
 * h2g = host to guest, g2h = guest to host; without a mark: both.
 */
#ifndef IC_REG_H
#define IC_REG_H

#include "hv_types.h"

/* ---- offers -------------------------------------------------------------- */

#define IC_HEARTBEAT_CLASS                                                                         \
	HV_GUID(0x57164f39, 0x9115, 0x4e78, 0xab, 0x55, 0x38, 0x2f, 0x3b, 0xd5, 0x42, 0x2d)
#define IC_HEARTBEAT_INSTANCE                                                                      \
	HV_GUID(0xfd149e91, 0x82e0, 0x4a7d, 0xaf, 0xa6, 0x2a, 0x41, 0x66, 0xcb, 0xd7, 0xc0)
#define IC_SHUTDOWN_CLASS                                                                          \
	HV_GUID(0x0e0b6031, 0x5213, 0x4934, 0x81, 0x8b, 0x38, 0xd9, 0x0c, 0xed, 0x39, 0xdb)
#define IC_SHUTDOWN_INSTANCE                                                                       \
	HV_GUID(0xb6650ff7, 0x33bc, 0x4840, 0x80, 0x48, 0xe0, 0x67, 0x67, 0x86, 0xf3, 0x93)
#define IC_TIMESYNC_CLASS                                                                          \
	HV_GUID(0x9527e630, 0xd0ae, 0x497b, 0xad, 0xce, 0xe8, 0x0a, 0xb0, 0x17, 0x5c, 0xaf)
#define IC_TIMESYNC_INSTANCE                                                                       \
	HV_GUID(0x2dd1ce17, 0x079e, 0x403c, 0xb3, 0x52, 0xa1, 0x92, 0x1e, 0xe2, 0x07, 0xee)
#define IC_KVP_CLASS                                                                               \
	HV_GUID(0xa9a0f4e7, 0x5a45, 0x4d96, 0xb8, 0x27, 0x8a, 0x84, 0x1e, 0x8c, 0x03, 0xe6)
#define IC_KVP_INSTANCE                                                                            \
	HV_GUID(0x242ff919, 0x07db, 0x4180, 0x9c, 0x2e, 0xb8, 0x6c, 0xb6, 0x8c, 0x8c, 0x55)
#define IC_VSS_CLASS                                                                               \
	HV_GUID(0x35fa2e29, 0xea23, 0x4236, 0x96, 0xae, 0x3a, 0x6e, 0xba, 0xcb, 0xa4, 0x40)
#define IC_VSS_INSTANCE                                                                            \
	HV_GUID(0x2450ee40, 0x33bf, 0x4fbd, 0x89, 0x2e, 0x9f, 0xb0, 0x6e, 0x92, 0x14, 0xcf)
#define IC_COPY_CLASS                                                                              \
	HV_GUID(0x34d14be3, 0xdee4, 0x41c8, 0x9a, 0xe7, 0x6b, 0x17, 0x49, 0x77, 0xc1, 0x92)
/* Linux 6.12's daemon knows its device by this very instance. */
#define IC_COPY_INSTANCE                                                                           \
	HV_GUID(0xeb765408, 0x105f, 0x49b6, 0xb4, 0xaa, 0xc1, 0x23, 0xb6, 0x4d, 0x17, 0xd4)

/* vmbus_offer.user of a channel in pipe mode begins with a u32. */
#define VMBUS_PIPE_MODE_MESSAGE 4u

/* ---- every message ------------------------------------------------------- */

struct ic_version {
	uint16_t major, minor;
};
HV_ASSERT_SIZE(struct ic_version, 4);

struct ic_header {
	uint32_t pipe_type;          /* IC_PIPE_DATA */
	uint32_t pipe_length;        /* bytes behind this field */
	struct ic_version framework; /* 0 in NEGOTIATE, then the negotiated one */
	uint16_t type;               /* enum ic_type */
	struct ic_version message;   /* as framework */
	uint16_t body_size;          /* bytes behind the header; some guests fill it in wrong */
	uint32_t status;             /* g2h: IC_STATUS_* */
	uint8_t transaction;         /* the host's choice, echoed */
	uint8_t flags;               /* IC_FLAG_* */
	uint16_t reserved;
} HV_PACKED;
HV_ASSERT_SIZE(struct ic_header, 28);
HV_ASSERT_OFFSET(struct ic_header, type, 12);
HV_ASSERT_OFFSET(struct ic_header, status, 20);

#define IC_PIPE_DATA        1u
#define IC_PIPE_HEADER_SIZE 8u

enum ic_type {
	IC_NEGOTIATE = 0,
	IC_HEARTBEAT = 1,
	IC_KVP = 2,
	IC_SHUTDOWN = 3,
	IC_TIMESYNC = 4,
	IC_VSS = 5,
	IC_COPY = 7,
};

#define IC_FLAG_TRANSACTION 1u
#define IC_FLAG_REQUEST     2u
#define IC_FLAG_RESPONSE    4u

#define IC_STATUS_OK             0x00000000u
#define IC_STATUS_FAIL           0x80004005u
#define IC_STATUS_GUID_NOT_FOUND 0x80041002u
#define IC_STATUS_NOT_SUPPORTED  0x80070032u
#define IC_STATUS_ALREADY_EXISTS 0x80070050u
#define IC_STATUS_INVALID        0x80070057u
#define IC_STATUS_DISK_FULL      0x80070070u
#define IC_STATUS_NO_MORE_ITEMS  0x80070103u
#define IC_STATUS_LOCKED         0x800704F7u
#define IC_STATUS_NOT_CONNECTED  0x8007048Fu

/* Body of IC_NEGOTIATE: both lists, frameworks first. In the answer both counts are 1, or both 0
 * when there is no common version. */
struct ic_negotiate {
	uint16_t frameworks, messages;
	uint32_t reserved;
	struct ic_version versions[];
};
HV_ASSERT_SIZE(struct ic_negotiate, 8);

/* ---- heartbeat ----------------------------------------------------------- */

struct ic_heartbeat {
	uint64_t sequence;    /* g2h: the request's plus 1 */
	uint32_t application; /* IC_APPLICATION_*, of Windows guests */
	uint8_t reserved[28];
};
HV_ASSERT_SIZE(struct ic_heartbeat, 40);

/* ---- shutdown ------------------------------------------------------------ */

struct ic_shutdown {
	uint32_t reason; /* SHTDN_REASON_* of Windows */
	uint32_t timeout_s;
	uint32_t flags; /* IC_SHUTDOWN_* */
	uint16_t text[1024];
};
HV_ASSERT_SIZE(struct ic_shutdown, 2060);

#define IC_SHUTDOWN_PLANNED   0x80000000u
#define IC_SHUTDOWN_FORCE     1u
#define IC_SHUTDOWN_RESTART   2u
#define IC_SHUTDOWN_HIBERNATE 4u

/* ---- time ---------------------------------------------------------------- */

/* Message version 4.0. The first 17 bytes are enough for a sync. */
struct ic_timesync {
	uint64_t host_time; /* UTC, 100 ns since 1601-01-01 */
	uint64_t ref_time;  /* the guest's HV_MSR_TIME_REF_COUNT at that moment */
	uint8_t flags;      /* IC_TIMESYNC_* */
	uint8_t leap, stratum;
	uint8_t reserved[5];
};
HV_ASSERT_SIZE(struct ic_timesync, 24);
HV_ASSERT_OFFSET(struct ic_timesync, flags, 16);

/* Message versions 1.0 and 3.0. */
struct ic_timesync_3 {
	uint64_t host_time;
	uint64_t guest_time; /* 0 */
	uint64_t round_trip; /* 100 ns */
	uint8_t flags;
	uint8_t reserved[3];
} HV_PACKED;
HV_ASSERT_SIZE(struct ic_timesync_3, 28);

#define IC_TIMESYNC_PROBE  0u
#define IC_TIMESYNC_SYNC   1u /* set the clock */
#define IC_TIMESYNC_SAMPLE 2u
/* 100 ns units from 1601-01-01 to 1970-01-01. */
#define IC_TIME_UNIX_EPOCH 116444736000000000ull

/* ---- key-value pairs ----------------------------------------------------- */

enum ic_kvp_operation {
	IC_KVP_GET,
	IC_KVP_SET,
	IC_KVP_DELETE,
	IC_KVP_ENUMERATE,
	IC_KVP_GET_IP,
	IC_KVP_SET_IP,
};

/* Guests index an array with it, unchecked: never another number. */
enum ic_kvp_pool {
	IC_KVP_EXTERNAL,      /* from the host's administrator */
	IC_KVP_GUEST,         /* from the guest's administrator */
	IC_KVP_AUTO,          /* what the guest says of itself */
	IC_KVP_AUTO_EXTERNAL, /* what the host says of itself */
	IC_KVP_AUTO_INTERNAL,
	IC_KVP_POOLS,
};

#define IC_KVP_KEY_MAX   512u  /* bytes of UTF-16, NUL included */
#define IC_KVP_VALUE_MAX 2048u /* the same */
#define IC_KVP_TEXT      1u    /* value type; all guests understand it */

struct ic_kvp_value {
	uint32_t type;
	uint32_t key_size, value_size; /* bytes, NUL included */
	uint8_t key[IC_KVP_KEY_MAX];   /* UTF-16, as the value is */
	uint8_t value[IC_KVP_VALUE_MAX];
};
HV_ASSERT_SIZE(struct ic_kvp_value, 2572);

struct ic_kvp {
	uint8_t operation; /* enum ic_kvp_operation */
	uint8_t pool;      /* enum ic_kvp_pool */
	uint16_t reserved;
	union {
		struct ic_kvp_value value; /* GET, SET */
		struct {
			uint32_t index;
			struct ic_kvp_value value;
		} item; /* ENUMERATE */
		struct {
			uint32_t key_size;
			uint8_t key[IC_KVP_KEY_MAX];
		} removal; /* DELETE */
	};
};
HV_ASSERT_SIZE(struct ic_kvp, 2580);
HV_ASSERT_OFFSET(struct ic_kvp, item.value, 8);

#define IC_KVP_IPV4 1u
#define IC_KVP_IPV6 2u

/* Lists are separated by ';'. All texts are UTF-16 with a NUL. */
struct ic_kvp_ip {
	uint8_t operation; /* IC_KVP_GET_IP, IC_KVP_SET_IP */
	uint8_t pool;
	uint16_t adapter[128]; /* GET: the MAC, 00:15:5D:01:02:03; SET: {instance GUID} */
	uint8_t family;        /* IC_KVP_IPV4 | IC_KVP_IPV6 */
	uint8_t dhcp;
	uint16_t addresses[1024];
	uint16_t subnets[1024]; /* 255.255.255.0, or /64 */
	uint16_t gateways[512];
	uint16_t dns[1024];
} HV_PACKED;
HV_ASSERT_SIZE(struct ic_kvp_ip, 7428);
HV_ASSERT_OFFSET(struct ic_kvp_ip, addresses, 260);

/* ---- volume snapshots ---------------------------------------------------- */

enum ic_vss_operation {
	IC_VSS_HOT_BACKUP = 2, /* is a backup of the running guest possible? */
	IC_VSS_BACKUP_COMPLETE = 4,
	IC_VSS_FREEZE = 5,
	IC_VSS_THAW = 6,
};

struct ic_vss {
	uint8_t operation; /* enum ic_vss_operation */
	uint8_t reserved[7];
	uint32_t flags_or_type; /* g2h, HOT_BACKUP: kinds of backup; FREEZE: type */
	uint32_t flags;         /* FREEZE */
	uint32_t lun_count;     /* FREEZE: 0 for all that the guest can freeze */
};
HV_ASSERT_SIZE(struct ic_vss, 20);

/* ---- file copy ----------------------------------------------------------- */

enum ic_copy_operation {
	IC_COPY_START,
	IC_COPY_WRITE,
	IC_COPY_COMPLETE,
	IC_COPY_CANCEL,
};

struct ic_copy_header {
	uint32_t operation; /* enum ic_copy_operation */
	struct hv_guid reserved[2];
};
HV_ASSERT_SIZE(struct ic_copy_header, 36);

struct ic_copy_start {
	struct ic_copy_header h;
	uint16_t name[260]; /* UTF-16 with a NUL, as the path is */
	uint16_t path[260]; /* a directory in the guest's own form */
	uint32_t flags;     /* IC_COPY_OVERWRITE, IC_COPY_CREATE_PATH */
	uint64_t size;      /* of the whole file */
} HV_PACKED;
HV_ASSERT_SIZE(struct ic_copy_start, 1088);
HV_ASSERT_OFFSET(struct ic_copy_start, size, 1080);

#define IC_COPY_OVERWRITE   1u
#define IC_COPY_CREATE_PATH 2u

#define IC_COPY_DATA_MAX 6144u

struct ic_copy_write {
	struct ic_copy_header h;
	uint32_t padding;
	uint64_t offset;
	uint32_t size;
	uint8_t data[IC_COPY_DATA_MAX];
} HV_PACKED;
HV_ASSERT_SIZE(struct ic_copy_write, 6196);

#endif
