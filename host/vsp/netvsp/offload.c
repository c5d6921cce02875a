/* SPDX-License-Identifier: MIT */
#include "vsp/netvsp/offload.h"

#include <errno.h>
#include <string.h>

#define IP6_HEADER 40u

static uint32_t get16(const uint8_t *at)
{
	return (uint32_t)(at[0] << 8 | at[1]);
}

/* ---- from the guest ------------------------------------------------------ */

/* Bytes from the TCP or UDP header to the end of the IP packet, which may be shorter than the
 * frame. False: it is longer than the frame, or than itself. */
static bool l4_length(
	const uint8_t *headers, const struct nic_headers *h, uint32_t length, uint32_t *l4)
{
	const uint8_t *ip = headers + h->l3;
	uint32_t end = h->l3 + (h->version == 4 ? get16(ip + 2) : IP6_HEADER + get16(ip + 4));

	if (end > length || end < h->payload)
		return false;
	*l4 = end - h->l4;
	return true;
}

static int tx_l4_csum(uint32_t csum, uint8_t *headers, const struct nic_headers *h, uint32_t length,
	struct nic_offload *o)
{
	bool tcp = csum & RNDIS_CSUM_TX_TCP;
	uint32_t l4;

	if (tcp == !!(csum & RNDIS_CSUM_TX_UDP))
		return -EINVAL;
	if (!h->l4 || h->protocol != (tcp ? NIC_PROTO_TCP : NIC_PROTO_UDP))
		return -EINVAL;
	if (!(csum & (h->version == 4 ? RNDIS_CSUM_TX_IPV4 : RNDIS_CSUM_TX_IPV6)))
		return -EINVAL;
	if (!l4_length(headers, h, length, &l4))
		return -EINVAL;
	nic_csum_prepare(headers, h, l4, o);
	return 0;
}

static int tx_csum(
	uint32_t csum, uint8_t *headers, uint32_t have, uint32_t length, struct nic_offload *o)
{
	uint32_t versions = csum & (RNDIS_CSUM_TX_IPV4 | RNDIS_CSUM_TX_IPV6);
	struct nic_headers h;

	if (!(csum & (RNDIS_CSUM_TX_TCP | RNDIS_CSUM_TX_UDP | RNDIS_CSUM_TX_IP_HEADER)))
		return 0;
	if (versions == (RNDIS_CSUM_TX_IPV4 | RNDIS_CSUM_TX_IPV6) || !versions)
		return -EINVAL;
	nic_parse(headers, have, &h);
	if (csum & RNDIS_CSUM_TX_IP_HEADER) {
		if (h.version != 4 || have < h.l3 + 20u || have < h.l3 + (headers[h.l3] & 15u) * 4)
			return -EINVAL;
		nic_ip_checksum(headers, &h);
	}
	if (!(csum & (RNDIS_CSUM_TX_TCP | RNDIS_CSUM_TX_UDP)))
		return 0;
	return tx_l4_csum(csum, headers, &h, length, o);
}

/* Guests leave lengths and sums of the headers to us. */
static int tx_lso(
	uint32_t lso, uint8_t *headers, uint32_t have, uint32_t length, struct nic_offload *o)
{
	struct nic_headers h;

	if (!(lso & RNDIS_LSO_V2) || !nic_parse(headers, have, &h) ||
		h.version != (lso & RNDIS_LSO_IPV6 ? 6 : 4))
		return -EINVAL;
	return nic_tso_prepare(headers, have, length, lso & RNDIS_LSO_MSS_MASK, o);
}

int offload_tx(const struct rndis_tx_info *info, uint8_t *headers, uint32_t have, uint32_t length,
	struct nic_offload *o)
{
	*o = (struct nic_offload){0};
	if (info->has_vlan) {
		o->flags |= NIC_VLAN;
		o->vlan_tci = rndis_vlan_to_tci(info->vlan);
	}
	if (info->has_lso)
		return tx_lso(info->lso, headers, have, length, o);
	if (info->has_csum)
		return tx_csum(info->csum, headers, have, length, o);
	return 0;
}

/* ---- to the guest -------------------------------------------------------- */

static uint32_t l4_ok(const struct nic_headers *h)
{
	if (!h->l4)
		return 0;
	return (h->protocol == NIC_PROTO_TCP ? RNDIS_CSUM_RX_TCP_OK : RNDIS_CSUM_RX_UDP_OK) |
	       (h->version == 4 ? RNDIS_CSUM_RX_IP_OK : 0);
}

/* The TCP field of a frame that was not segmented holds no final sum. Zero: nothing is known. */
static uint32_t rx_csum(const struct nic_offload *o, const struct nic_headers *h)
{
	if (o->gso)
		return RNDIS_CSUM_RX_TCP_OK | RNDIS_CSUM_RX_TCP_VALUE_WRONG |
		       (o->gso == NIC_GSO_TCP4 ? RNDIS_CSUM_RX_IP_OK : 0);
	return o->flags & NIC_CSUM_VALID ? l4_ok(h) : 0;
}

void offload_rx(
	const struct nic_offload *o, const struct nic_headers *h, struct rndis_rx_info *info)
{
	info->csum = rx_csum(o, h);
	info->has_csum = info->csum;
	info->has_vlan = o->flags & NIC_VLAN;
	if (info->has_vlan)
		info->vlan = rndis_vlan_from_tci(o->vlan_tci);
}
