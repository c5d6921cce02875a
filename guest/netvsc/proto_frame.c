/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#include "proto.h"

/* ---- frames -------------------------------------------------------------- */

static uint32_t add_ppi(uint8_t *at, uint32_t type, uint32_t value)
{
	const struct rndis_ppi ppi = {sizeof(ppi) + sizeof(value), type, sizeof(ppi)};

	memcpy(at, &ppi, sizeof(ppi));
	memcpy(at + sizeof(ppi), &value, sizeof(value));
	return ppi.size;
}

uint32_t netvsc_frame_header_size(const struct netvsc_tx *tx)
{
	uint32_t count = tx->vlan + tx->lso + tx->csum;

	return (uint32_t)sizeof(struct rndis_packet) +
	       count * (uint32_t)(sizeof(struct rndis_ppi) + sizeof(uint32_t));
}

uint32_t netvsc_vlan_from_tci(uint16_t tci)
{
	return tci >> 13 | (tci >> 12 & 1u ? RNDIS_8021Q_DEI : 0) |
	       (tci & 0xFFFu) << RNDIS_8021Q_VID_SHIFT;
}

uint16_t netvsc_vlan_to_tci(uint32_t value)
{
	return (uint16_t)((value & RNDIS_8021Q_PRIORITY_MASK) << 13 |
			  (value & RNDIS_8021Q_DEI ? 1u << 12 : 0) |
			  (value >> RNDIS_8021Q_VID_SHIFT & 0xFFFu));
}

/* The order of Linux: VLAN, then segmentation or checksum. */
uint32_t netvsc_frame_header(uint8_t *to, const struct netvsc_tx *tx, uint32_t pad)
{
	struct rndis_packet p = {.header.type = RNDIS_PACKET, .data_length = tx->length};
	uint32_t at = sizeof(p);

	if (tx->vlan)
		at += add_ppi(to + at, RNDIS_PPI_8021Q, tx->vlan_value);
	if (tx->lso)
		at += add_ppi(to + at, RNDIS_PPI_LSO, tx->lso_value);
	if (tx->csum)
		at += add_ppi(to + at, RNDIS_PPI_CSUM, tx->csum_value);
	p.header.length = at + tx->length + pad;
	p.data_offset = at - RNDIS_OFFSET_BASE;
	p.ppi_offset = sizeof(p) - RNDIS_OFFSET_BASE;
	p.ppi_length = at - (uint32_t)sizeof(p);
	memcpy(to, &p, sizeof(p));
	return at;
}

static void take_ppi(const struct rndis_ppi *ppi, uint32_t value, struct netvsc_rx *rx)
{
	switch (ppi->type) {
	case RNDIS_PPI_CSUM:
		rx->csum = true;
		rx->csum_value = value;
		break;
	case RNDIS_PPI_8021Q:
		rx->vlan = true;
		rx->vlan_value = value;
		break;
	case RNDIS_PPI_HASH:
		rx->hash = true;
		rx->hash_value = value;
		break;
	case RNDIS_PPI_RSC_ID:
		rx->rsc = true;
		memcpy(&rx->rsc_id, &value, sizeof(value));
		break;
	}
}

/* The strictest of the guests there are: multiples of 4, value behind the header. */
static int parse_ppis(const uint8_t *at, uint32_t len, struct netvsc_rx *rx)
{
	while (len) {
		struct rndis_ppi ppi;
		uint32_t value;

		if (len < sizeof(ppi) + sizeof(value))
			return -EPROTO;
		memcpy(&ppi, at, sizeof(ppi));
		if (ppi.size < sizeof(ppi) + sizeof(value) || ppi.size > len || ppi.size % 4 ||
			ppi.offset != sizeof(ppi))
			return -EPROTO;
		memcpy(&value, at + ppi.offset, sizeof(value));
		take_ppi(&ppi, value, rx);
		at += ppi.size;
		len -= ppi.size;
	}
	return 0;
}

static bool range_inside(uint32_t offset, uint32_t length, uint32_t message)
{
	uint32_t body = message - RNDIS_OFFSET_BASE;

	return offset >= sizeof(struct rndis_packet) - RNDIS_OFFSET_BASE && offset <= body &&
	       length <= body - offset;
}

int netvsc_frame_begin(const void *packet, uint32_t len, struct netvsc_rx *rx)
{
	struct rndis_packet p;

	memset(rx, 0, sizeof(*rx));
	if (len < sizeof(p))
		return -EPROTO;
	memcpy(&p, packet, sizeof(p));
	if (p.header.type != RNDIS_PACKET || p.header.length < sizeof(p) || p.header.length > len ||
		p.oob_length || p.oob_count || !p.data_length)
		return -EPROTO;
	if (!range_inside(p.data_offset, p.data_length, p.header.length))
		return -EPROTO;
	rx->data_offset = p.data_offset + RNDIS_OFFSET_BASE;
	rx->data_length = p.data_length;
	if (!p.ppi_length)
		return 0;
	if (!range_inside(p.ppi_offset, p.ppi_length, p.header.length) || p.ppi_offset % 4 ||
		p.ppi_length > NETVSC_PPI_MAX ||
		p.ppi_offset + RNDIS_OFFSET_BASE + p.ppi_length > rx->data_offset)
		return -EPROTO;
	rx->ppi_offset = p.ppi_offset + RNDIS_OFFSET_BASE;
	rx->ppi_length = p.ppi_length;
	return 0;
}

int netvsc_frame_ppis(const void *ppis, struct netvsc_rx *rx)
{
	return parse_ppis(ppis, rx->ppi_length, rx);
}

int netvsc_frame_parse(const void *bytes, uint32_t len, struct netvsc_rx *rx)
{
	int err = netvsc_frame_begin(bytes, len, rx);

	return err ? err : netvsc_frame_ppis((const uint8_t *)bytes + rx->ppi_offset, rx);
}

/* ---- packets from the host ----------------------------------------------- */

int netvsc_transfer_parse(const void *extra, uint32_t extra_len, const void *payload,
	uint32_t payload_len, struct netvsc_transfer *transfer)
{
	struct vmbus_xfer_pages head;
	uint32_t type;

	if (extra_len < sizeof(head) || payload_len < sizeof(type))
		return -EPROTO;
	memcpy(&head, extra, sizeof(head));
	memcpy(&type, payload, sizeof(type));
	if (type != NVSP_SEND_RNDIS_PKT || head.pageset_id != NETVSC_RECV_ID || !head.range_count ||
		head.range_count > NETVSC_RANGES_MAX ||
		head.range_count > (extra_len - sizeof(head)) / sizeof(struct vmbus_xfer_range))
		return -EPROTO;
	transfer->ranges = (const uint8_t *)extra + sizeof(head);
	transfer->count = head.range_count;
	return 0;
}

int netvsc_transfer_range(const struct netvsc_conn *conn, const struct netvsc_transfer *transfer,
	uint32_t n, struct vmbus_xfer_range *range)
{
	memcpy(range, transfer->ranges + n * sizeof(*range), sizeof(*range));
	if (range->byte_count > conn->section_size || range->byte_offset > conn->recv_bytes ||
		range->byte_count > conn->recv_bytes - range->byte_offset)
		return -EPROTO;
	return 0;
}

int netvsc_sent_parse(const void *payload, uint32_t len)
{
	uint32_t message[2];

	if (len < sizeof(message))
		return -EPROTO;
	memcpy(message, payload, sizeof(message));
	if (message[0] != NVSP_SEND_RNDIS_PKT_COMPLETE)
		return -EPROTO;
	return message[1] == NVSP_STATUS_SUCCESS ? 0 : -EIO;
}
