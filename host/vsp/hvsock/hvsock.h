/* SPDX-License-Identifier: MIT */
/*
 * A connection between a stream socket of the host and an AF_VSOCK socket of the guest, as a
 * VSP: one device, and one channel, per connection. Who wants a connection, and with which socket,
 * is decided above (host/vm/vsock.h).
 *
 * No byte is lost or reordered while both ends read, and each side can block the other: a program
 * that does not read stalls the guest's ring, a guest that does not read leaves the bytes in the
 * socket. A connection costs sizeof(struct hvsock_channel), about 80 KiB, and no more, whatever the
 * guest does.
 */
#ifndef VSP_HVSOCK_H
#define VSP_HVSOCK_H

#include "vsp/vsp.h"

/* A guest that has closed its socket waits for the host to withdraw the offer, and looks like one
 * that only sends no more. So a host program of which the guest gets nothing for this long, when
 * all that the guest has sent is in its socket, is cut off. Pauses do not count. */
#define HVSOCK_LINGER_NS (30 * NS_PER_S)
/* The same before all is in its socket: a program may read late, but not never. What it reads
 * counts like what it sends. */
#define HVSOCK_UNREAD_NS (600 * NS_PER_S)

struct hvsock_config {
	/* Connected, of SOCK_STREAM; stays the caller's, who keeps it open while the device exists.
	 */
	int fd;
	bool host_connects;
	struct hv_guid service; /* of the listener */
	/* Sent to fd when the guest opens the channel, before all data; at most
	 * HVSOCK_GREETING_MAX bytes. NULL: nothing. */
	const char *greeting;
	/* ON_CONTROL. The guest opens the channel. At most once. */
	void (*opened)(void *ctx);
	/* ON_CONTROL. The connection is over, and vsp_device_remove() is due. At most once; after
	 * opened(), unless that channel could not be opened. */
	void (*ended)(void *ctx);
	void *ctx;
};

#define HVSOCK_GREETING_MAX 32u

/* Config: struct hvsock_config, copied. The instance id of the device is the GUID of the side that
 * connects. */
extern const struct vsp_ops hvsock_ops;

/* The service GUID of a port. */
void hvsock_port_guid(uint32_t port, struct hv_guid *service);
/* False: the GUID is no port. */
bool hvsock_guid_port(const struct hv_guid *service, uint32_t *port);

#endif
