/* SPDX-License-Identifier: MIT */
#include "vsp/netvsp/rndis.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* ---- streams ------------------------------------------------------------- */

void rndis_stream_peek(const struct rndis_stream *s, void *to, uint32_t len)
{
	const struct iovec *iov = s->iov;
	size_t offset = s->offset;
	uint8_t *at = to;

	assert(len <= s->left);
	while (len) {
		size_t n = iov->iov_len - offset < len ? iov->iov_len - offset : len;

		memcpy(at, (const uint8_t *)iov->iov_base + offset, n);
		at += n;
		len -= (uint32_t)n;
		offset = 0;
		iov++;
	}
}

void rndis_stream_skip(struct rndis_stream *s, uint32_t len)
{
	assert(len <= s->left);
	s->left -= len;
	while (len && len >= s->iov->iov_len - s->offset) {
		len -= (uint32_t)(s->iov->iov_len - s->offset);
		s->offset = 0;
		s->iov++;
		s->iov_count--;
	}
	s->offset += len;
}

int rndis_stream_slice(const struct rndis_stream *s, uint32_t len, struct iovec *iov, uint32_t max)
{
	const struct iovec *from = s->iov;
	size_t offset = s->offset;
	uint32_t count = 0;

	assert(len <= s->left);
	for (; len; from++, offset = 0) {
		size_t n = from->iov_len - offset < len ? from->iov_len - offset : len;

		if (!n)
			continue;
		if (count == max)
			return -EMSGSIZE;
		iov[count++] = (struct iovec){(uint8_t *)from->iov_base + offset, n};
		len -= (uint32_t)n;
	}
	return (int)count;
}

/* ---- data packets from the guest ----------------------------------------- */

static void take_ppi(const struct rndis_ppi *ppi, const uint8_t *at, struct rndis_tx_info *info)
{
	uint32_t value;

	if (ppi->offset < sizeof(*ppi) || ppi->offset > ppi->size ||
		ppi->size - ppi->offset < sizeof(value))
		return;
	memcpy(&value, at + ppi->offset, sizeof(value));
	switch (ppi->type) {
	case RNDIS_PPI_CSUM:
		info->has_csum = true;
		info->csum = value;
		break;
	case RNDIS_PPI_LSO:
		info->has_lso = true;
		info->lso = value;
		break;
	case RNDIS_PPI_8021Q:
		info->has_vlan = true;
		info->vlan = value;
		break;
	}
}

/* Of a type that is given twice the last counts; those we do not know are skipped. */
static int parse_ppis(const uint8_t *at, uint32_t len, struct rndis_tx_info *info)
{
	while (len) {
		struct rndis_ppi ppi;

		if (len < sizeof(ppi))
			return -EINVAL;
		memcpy(&ppi, at, sizeof(ppi));
		if (ppi.size < sizeof(ppi) || ppi.size > len)
			return -EINVAL;
		take_ppi(&ppi, at, info);
		at += ppi.size;
		len -= ppi.size;
	}
	return 0;
}

/* Both from the start of the message; inside [header, end). */
static bool range_inside(uint32_t offset, uint32_t len, uint32_t message_length)
{
	uint32_t body = message_length - RNDIS_OFFSET_BASE;

	return offset >= sizeof(struct rndis_packet) - RNDIS_OFFSET_BASE && offset <= body &&
	       len <= body - offset;
}

static int parse_header(const struct rndis_packet *p, uint32_t left, struct rndis_frame *frame)
{
	if (p->header.type != RNDIS_PACKET || p->header.length < sizeof(*p) ||
		p->header.length > left)
		return -EINVAL;
	if (!range_inside(p->data_offset, p->data_length, p->header.length))
		return -EINVAL;
	if (p->oob_length || p->oob_count)
		return -EINVAL;
	frame->message_length = p->header.length;
	frame->data_offset = p->data_offset + RNDIS_OFFSET_BASE;
	frame->data_length = p->data_length;
	return 0;
}

int rndis_frame_parse(const struct rndis_stream *s, struct rndis_frame *frame)
{
	uint8_t head[RNDIS_HEAD_MAX];
	uint32_t have = s->left < sizeof(head) ? s->left : (uint32_t)sizeof(head);
	struct rndis_packet p;
	int ret;

	if (have < sizeof(p))
		return -EINVAL;
	rndis_stream_peek(s, &p, sizeof(p));
	ret = parse_header(&p, s->left, frame);
	frame->info = (struct rndis_tx_info){0};
	if (ret || !p.ppi_length)
		return ret;
	if (!range_inside(p.ppi_offset, p.ppi_length, p.header.length) ||
		p.ppi_offset + RNDIS_OFFSET_BASE + p.ppi_length > have)
		return -EINVAL;
	rndis_stream_peek(s, head, p.ppi_offset + RNDIS_OFFSET_BASE + p.ppi_length);
	return parse_ppis(head + p.ppi_offset + RNDIS_OFFSET_BASE, p.ppi_length, &frame->info);
}

/* ---- data packets to the guest ------------------------------------------- */

static uint8_t *add_ppi(uint8_t *at, uint32_t type, uint32_t value)
{
	const struct rndis_ppi ppi = {
		.size = sizeof(ppi) + sizeof(value), .type = type, .offset = sizeof(ppi)};

	memcpy(at, &ppi, sizeof(ppi));
	memcpy(at + sizeof(ppi), &value, sizeof(value));
	return at + ppi.size;
}

static uint8_t *add_ppis(uint8_t *at, const struct rndis_rx_info *info)
{
	uint32_t rsc;

	if (info->has_csum)
		at = add_ppi(at, RNDIS_PPI_CSUM, info->csum);
	if (info->has_vlan)
		at = add_ppi(at, RNDIS_PPI_8021Q, info->vlan);
	if (info->has_hash) {
		at = add_ppi(at, RNDIS_PPI_HASH, info->hash);
		at = add_ppi(at, RNDIS_PPI_HASH_INFO, info->hash_info);
	}
	if (info->has_rsc) {
		memcpy(&rsc, &info->rsc, sizeof(rsc));
		at = add_ppi(at, RNDIS_PPI_RSC_ID, rsc);
	}
	return at;
}

_Static_assert(
	sizeof(struct rndis_packet) + 5 * (sizeof(struct rndis_ppi) + 4) <= RNDIS_RX_HEADROOM,
	"all PPIs fit");

/* Without PPIs their offset is 0, too: some guests complain about anything else. */
uint32_t rndis_rx_build(
	uint8_t *to, uint32_t data_offset, uint32_t length, const struct rndis_rx_info *info)
{
	uint8_t *ppis = to + sizeof(struct rndis_packet);
	uint32_t ppi_length = (uint32_t)(add_ppis(ppis, info) - ppis);
	const struct rndis_packet p = {
		.header = {RNDIS_PACKET, data_offset + length},
		.data_offset = data_offset - RNDIS_OFFSET_BASE,
		.data_length = length,
		.ppi_offset = ppi_length ? sizeof(p) - RNDIS_OFFSET_BASE : 0,
		.ppi_length = ppi_length,
	};

	memcpy(to, &p, sizeof(p));
	return p.header.length;
}

/* PPI: priority 3 bits, DEI, VLAN id 12 bits, from the lowest. TCI: the same from the highest. */
uint32_t rndis_vlan_from_tci(uint16_t tci)
{
	uint32_t ppi = (uint32_t)(tci >> 13) | (uint32_t)(tci & 0xfff) << RNDIS_8021Q_VID_SHIFT;

	return tci & 0x1000 ? ppi | RNDIS_8021Q_DEI : ppi;
}

uint16_t rndis_vlan_to_tci(uint32_t ppi)
{
	uint32_t tci =
		(ppi & RNDIS_8021Q_PRIORITY_MASK) << 13 | (ppi >> RNDIS_8021Q_VID_SHIFT & 0xfff);

	return (uint16_t)(ppi & RNDIS_8021Q_DEI ? tci | 0x1000 : tci);
}

/* ---- control messages ---------------------------------------------------- */

bool rndis_info(const uint8_t *message, uint32_t len, const uint8_t **info, uint32_t *info_len)
{
	struct rndis_oid_request r;
	uint32_t body = len - RNDIS_OFFSET_BASE;

	assert(len >= sizeof(r));
	memcpy(&r, message, sizeof(r));
	*info = message + RNDIS_OFFSET_BASE;
	*info_len = r.info_length;
	if (!r.info_length)
		return true;
	if (r.info_offset > body || r.info_length > body - r.info_offset)
		return false;
	*info += r.info_offset;
	return true;
}
