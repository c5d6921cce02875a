/* SPDX-License-Identifier: MIT */
/* AF_VSOCK sockets of the guest of guest.h. */
#ifndef SUPPORT_GUEST_SOCKET_H
#define SUPPORT_GUEST_SOCKET_H

#include "hv/hvsock_reg.h"
#include "tests/support/guest.h"

/* As Linux has them: data bytes in a packet that it sends, pages of its rings. */
#define GUEST_SOCKET_SEND_MAX   4088u
#define GUEST_SOCKET_RING_PAGES 7u

struct guest_socket {
	struct guest *g;
	struct guest_chan chan;
	bool fin;            /* the host sends no more */
	uint32_t at, length; /* of data: received and not read */
	uint8_t data[HVSOCK_DATA_MAX];
	uint8_t packet[HVSOCK_DATA_MAX + 64];
};

/* Asks for a connection, with a port of its own that no other live socket has. */
void guest_socket_ask(struct guest *g, uint32_t own_port, uint32_t port);
/* Waits for the offer, and opens it. */
void guest_socket_connected(
	struct guest_socket *s, struct guest *g, uint32_t own_port, uint32_t port);
/* Both. */
void guest_socket_connect(
	struct guest_socket *s, struct guest *g, uint32_t own_port, uint32_t port);
/* Waits for the refusal. */
void guest_socket_refused(struct guest *g, uint32_t own_port, uint32_t port);
/* Waits for a connection by the host, and opens it. */
void guest_socket_accept(struct guest_socket *s, struct guest *g, uint32_t port);

void guest_socket_send(struct guest_socket *s, const void *bytes, size_t length);
void guest_socket_send_fin(struct guest_socket *s);
/* One packet with this header and length; false: no room. */
bool guest_socket_send_packet(
	struct guest_socket *s, struct hvsock_header header, const void *data, uint32_t length);

/* Waits for a byte, or the end: 0. */
size_t guest_socket_receive(struct guest_socket *s, void *bytes, size_t length);
/* Waits for all of them; false: the end came before. */
bool guest_socket_receive_all(struct guest_socket *s, void *bytes, size_t length);

/* Waits for the rescind, closes and releases. */
void guest_socket_close(struct guest_socket *s);

#endif
