/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Class (interface type) GUIDs. Source: Linux include/linux/hyperv.h. */
#ifndef VMBUS_GUIDS_H
#define VMBUS_GUIDS_H

#include "hv_types.h"

#define VMBUS_GUID_SCSI                                                                            \
	HV_GUID(0xba6163d9, 0x04a1, 0x4d29, 0xb6, 0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f)
#define VMBUS_GUID_NIC                                                                             \
	HV_GUID(0xf8615163, 0xdf3e, 0x46c5, 0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e)
#define VMBUS_GUID_HEARTBEAT                                                                       \
	HV_GUID(0x57164f39, 0x9115, 0x4e78, 0xab, 0x55, 0x38, 0x2f, 0x3b, 0xd5, 0x42, 0x2d)

#endif
