/* SPDX-License-Identifier: MIT */
#include "tests/support/guest_socket.h"

#include <string.h>

#include "tests/support/check.h"

static struct hv_guid port_guid(uint32_t port)
{
	return (struct hv_guid)HVSOCK_PORT_GUID(port);
}

/* ---- connecting ---------------------------------------------------------- */

void guest_socket_ask(struct guest *g, uint32_t own_port, uint32_t port)
{
	struct vmbus_tl_connect msg = {
		.guest_endpoint = port_guid(own_port), .host_service = port_guid(port)};

	guest_post(g, VMBUS_MSG_TL_CONNECT, &msg, sizeof(msg));
}

static void open_offer(struct guest_socket *s, struct guest *g, const struct vmbus_offer *offer)
{
	s->g = g;
	s->fin = false;
	s->at = s->length = 0;
	check(offer->flags == (VMBUS_OFFER_TLNPI_PROVIDER | VMBUS_OFFER_NAMED_PIPE |
				      VMBUS_OFFER_ENUMERATE_DEVICE));
	check(guest_chan_open(&s->chan, g, offer, GUEST_SOCKET_RING_PAGES, 0));
}

void guest_socket_connected(
	struct guest_socket *s, struct guest *g, uint32_t own_port, uint32_t port)
{
	const struct hv_guid endpoint = port_guid(own_port), service = port_guid(port);
	struct vmbus_offer offer = guest_wait_offer_of(g, &service, &endpoint);

	check(offer.user[HVSOCK_USER_DIRECTION] == HVSOCK_USER_GUEST_CONNECTS);
	open_offer(s, g, &offer);
}

void guest_socket_connect(struct guest_socket *s, struct guest *g, uint32_t own_port, uint32_t port)
{
	guest_socket_ask(g, own_port, port);
	guest_socket_connected(s, g, own_port, port);
}

void guest_socket_refused(struct guest *g, uint32_t own_port, uint32_t port)
{
	const struct hv_guid endpoint = port_guid(own_port), service = port_guid(port);
	struct vmbus_tl_connect_result result;

	guest_expect(g, VMBUS_MSG_TL_CONNECT_RESULT, &result, sizeof(result));
	check(!memcmp(&result.guest_endpoint, &endpoint, sizeof(endpoint)));
	check(!memcmp(&result.host_service, &service, sizeof(service)));
	check(result.status == VMBUS_STATUS_CONNECTION_REFUSED);
}

void guest_socket_accept(struct guest_socket *s, struct guest *g, uint32_t port)
{
	const struct hv_guid service = port_guid(port);
	struct vmbus_offer offer = guest_wait_offer_of(g, &service, NULL);

	check(offer.user[HVSOCK_USER_DIRECTION] == HVSOCK_USER_HOST_CONNECTS);
	open_offer(s, g, &offer);
}

/* ---- sending ------------------------------------------------------------- */

bool guest_socket_send_packet(
	struct guest_socket *s, struct hvsock_header header, const void *data, uint32_t length)
{
	uint8_t packet[sizeof(header) + HVSOCK_DATA_MAX + 8];

	check(length <= HVSOCK_DATA_MAX + 8);
	memcpy(packet, &header, sizeof(header));
	memcpy(packet + sizeof(header), data, length);
	return guest_chan_send(
		&s->chan, VMBUS_PKT_INBAND, 0, 0, NULL, packet, (uint32_t)sizeof(header) + length);
}

static void send_one(struct guest_socket *s, const void *bytes, uint32_t length)
{
	const struct hvsock_header header = {.type = HVSOCK_PACKET_DATA, .size = length};
	uint64_t seen;

	while (seen = guest_events(s->g), !guest_socket_send_packet(s, header, bytes, length))
		guest_wait_events(s->g, seen);
}

void guest_socket_send(struct guest_socket *s, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	while (length) {
		uint32_t piece =
			length < GUEST_SOCKET_SEND_MAX ? (uint32_t)length : GUEST_SOCKET_SEND_MAX;

		send_one(s, at, piece);
		at += piece;
		length -= piece;
	}
}

void guest_socket_send_fin(struct guest_socket *s)
{
	send_one(s, "", 0);
}

/* ---- receiving ----------------------------------------------------------- */

static void take_packet(struct guest_socket *s, const struct vmbus_pkt *pkt)
{
	struct hvsock_header header;

	check(pkt->desc.type == VMBUS_PKT_INBAND && pkt->payload_len >= sizeof(header));
	check(!s->fin); /* the FIN is the last packet */
	memcpy(&header, pkt->payload, sizeof(header));
	check(header.type == HVSOCK_PACKET_DATA && header.size <= sizeof(s->data) &&
		header.size <= pkt->payload_len - sizeof(header));
	memcpy(s->data, (const uint8_t *)pkt->payload + sizeof(header), header.size);
	s->at = 0;
	s->length = header.size;
	s->fin = !header.size;
}

static void wait_packet(struct guest_socket *s)
{
	struct vmbus_pkt pkt;
	uint64_t seen;

	while (seen = guest_events(s->g),
		!guest_chan_receive_into(&s->chan, &pkt, s->packet, sizeof(s->packet)))
		guest_wait_events(s->g, seen);
	take_packet(s, &pkt);
}

size_t guest_socket_receive(struct guest_socket *s, void *bytes, size_t length)
{
	if (s->at == s->length && !s->fin)
		wait_packet(s);
	if (length > s->length - s->at)
		length = s->length - s->at;
	memcpy(bytes, s->data + s->at, length);
	s->at += (uint32_t)length;
	return length;
}

bool guest_socket_receive_all(struct guest_socket *s, void *bytes, size_t length)
{
	uint8_t *at = bytes;

	while (length) {
		size_t piece = guest_socket_receive(s, at, length);

		if (!piece)
			return false;
		at += piece;
		length -= piece;
	}
	return true;
}

void guest_socket_close(struct guest_socket *s)
{
	guest_wait_rescind(s->g, s->chan.offer.relid);
	guest_chan_close(&s->chan);
	guest_release(s->g, s->chan.offer.relid);
}
