/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Sockets over VMBus (AF_VSOCK in Linux, AF_HYPERV in Windows): one channel per connection.
 * Source: Linux net/vmw_vsock/hyperv_transport.c.
 */
#ifndef HVSOCK_REG_H
#define HVSOCK_REG_H

#include "hv_types.h"

/* A port is a service GUID whose first group is the port; only this family of GUIDs is a port. */
#define HVSOCK_PORT_GUID(port)                                                                     \
	HV_GUID((port), 0xfacb, 0x11e6, 0xbd, 0x58, 0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3)

/* An offer's user area is that of a pipe: its mode (4 bytes), then a byte that says who connects.
 */
#define HVSOCK_USER_DIRECTION      4u
#define HVSOCK_USER_GUEST_CONNECTS 0u /* the answer to TL_CONNECT_REQUEST */
#define HVSOCK_USER_HOST_CONNECTS  1u

#define HVSOCK_PACKET_DATA 1u     /* the only type of packet */
#define HVSOCK_DATA_MAX    16384u /* bytes in one packet */

/* In-band. Followed by `size` bytes; none: the sender sends no more (a FIN). Then it is the last
 * packet, and there is exactly one. */
struct hvsock_header {
	uint32_t type; /* HVSOCK_PACKET_DATA */
	uint32_t size;
};
HV_ASSERT_SIZE(struct hvsock_header, 8);

#endif
