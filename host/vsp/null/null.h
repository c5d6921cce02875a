/* SPDX-License-Identifier: MIT */
/*
 * The null VSP: the smallest one that works, to be copied. It completes each
 * in-band packet that asks for it, with the packet's own payload.
 */
#ifndef NULL_VSP_H
#define NULL_VSP_H

#include "vsp/vsp.h"

/* Longer payloads fault the channel. */
#define NULL_PAYLOAD_MAX 256u

/* Made up for this project; no guest has a driver for it. */
#define NULL_CLASS_GUID                                                                            \
	HV_GUID(0x6e756c6c, 0x0ec4, 0x4f0e, 0x9c, 0x11, 0x65, 0x6e, 0x6c, 0x69, 0x74, 0x65)

/* vsp_device_create() takes no config. */
extern const struct vsp_ops null_ops;

#endif
