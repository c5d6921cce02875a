/* SPDX-License-Identifier: MIT */
/*
 * The null VSP: the template to be copied. It echoes packets, and has one command
 * for each thing that the core offers and an echo does not need.
 */
#ifndef NULL_VSP_H
#define NULL_VSP_H

#include "vsp/vsp.h"

/* Longer payloads fault the channel. */
#define NULL_PAYLOAD_MAX 256u

/* Made up for this project; no guest has a driver for it. */
#define NULL_CLASS_GUID                                                                            \
	HV_GUID(0x6e756c6c, 0x0ec4, 0x4f0e, 0x9c, 0x11, 0x65, 0x6e, 0x6c, 0x69, 0x74, 0x65)

/*
 * The protocol. An in-band packet that asks for a completion gets one with its own
 * payload, except when that begins with a command of NULL_COMMAND: then with
 * struct null_result. One without is ignored.
 */
#define NULL_COMMAND 0x6c6c756eu

enum null_op {
	NULL_OP_MAP,      /* use the GPADL `handle` as the channel's buffer */
	NULL_OP_UNMAP,    /* stop using it */
	NULL_OP_FILL,     /* fill the range of the buffer with `pattern` */
	NULL_OP_CHANNELS, /* value: the device's channels, counted on the control thread */
};

struct null_command {
	uint32_t magic; /* NULL_COMMAND */
	uint32_t op;    /* enum null_op */
	uint32_t handle;
	uint32_t offset; /* bytes in the buffer */
	uint32_t length;
	uint32_t pattern; /* its low byte */
};

struct null_result {
	int32_t error; /* 0 or -errno */
	uint32_t value;
};

/* A FILL sends a VMBUS_PKT_XFER_PAGES packet with one range before its completion. The guest
 * answers it with a VMBUS_PKT_COMPLETION of the same transaction id; at most so many are
 * unanswered, then FILL fails with -EBUSY. */
#define NULL_TRANSFERS 4u

/* Payload of in-band packets that the guest has not asked for. */
struct null_event {
	uint32_t kind; /* enum null_event_kind */
	uint32_t value;
};

enum null_event_kind {
	NULL_EVENT_TICK,   /* value: how many there were */
	NULL_EVENT_NOTIFY, /* value: of null_notify() */
};

/* The config of vsp_device_create(); NULL: all zero. */
struct null_config {
	uint64_t tick_ns; /* period of NULL_EVENT_TICK on the primary channel; 0: none */
	bool lazy;        /* packets wait for the tick */
};

/* ON_CONTROL: a NULL_EVENT_NOTIFY packet on each open channel. -EBUSY: the last is not done. */
int null_notify(struct vsp_device *dev, uint32_t value);

extern const struct vsp_ops null_ops;

#endif
