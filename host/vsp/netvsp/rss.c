/* SPDX-License-Identifier: MIT */
#include "vsp/netvsp/rss.h"

#include <string.h>

#include "hv/rndis_reg.h"

#define ENTRY_SIZE 4u

/* ---- parameters ---------------------------------------------------------- */

static bool inside(uint32_t offset, uint32_t size, uint32_t len)
{
	return offset <= len && size <= len - offset;
}

static uint32_t take_key(
	struct rss *rss, const struct ndis_rss_parameters *p, const uint8_t *info, uint32_t len)
{
	if (p->flags & NDIS_RSS_KEY_UNCHANGED || !p->key_size)
		return RNDIS_STATUS_SUCCESS;
	if (p->key_size > RSS_KEY_SIZE || !inside(p->key_offset, p->key_size, len))
		return RNDIS_STATUS_INVALID_DATA;
	memset(rss->key, 0, sizeof(rss->key));
	memcpy(rss->key, info + p->key_offset, p->key_size);
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t take_table(struct rss *rss, const struct ndis_rss_parameters *p,
	const uint8_t *info, uint32_t len, uint32_t channels)
{
	uint32_t entries = p->table_size / ENTRY_SIZE;

	if (p->flags & NDIS_RSS_TABLE_UNCHANGED || !entries)
		return RNDIS_STATUS_SUCCESS;
	if (entries > RSS_TABLE_MAX || !inside(p->table_offset, p->table_size, len))
		return RNDIS_STATUS_INVALID_DATA;
	for (uint32_t i = 0; i < entries; i++) {
		uint32_t channel;

		memcpy(&channel, info + p->table_offset + i * ENTRY_SIZE, sizeof(channel));
		if (channel >= channels)
			return RNDIS_STATUS_INVALID_DATA;
		rss->table[i] = (uint8_t)channel;
	}
	rss->table_entries = entries;
	return RNDIS_STATUS_SUCCESS;
}

static void take_hash(struct rss *rss, const struct ndis_rss_parameters *p)
{
	uint32_t function = p->hash_information & NDIS_HASH_FUNCTION_MASK;

	rss->enabled = !(p->flags & NDIS_RSS_DISABLE) && function == NDIS_HASH_TOEPLITZ;
	if (!(p->flags & NDIS_RSS_HASH_UNCHANGED))
		rss->hash_types = p->hash_information & ~NDIS_HASH_FUNCTION_MASK;
}

/* With "disable" the rest has no meaning. */
uint32_t rss_set(struct rss *rss, const uint8_t *info, uint32_t len, uint32_t channels)
{
	struct ndis_rss_parameters p;
	struct rss new = *rss;
	uint32_t status;

	if (len < sizeof(p))
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&p, info, sizeof(p));
	if (p.header.type != NDIS_OBJECT_RSS_PARAMETERS)
		return RNDIS_STATUS_INVALID_DATA;
	if (p.flags & NDIS_RSS_DISABLE) {
		rss->enabled = false;
		return RNDIS_STATUS_SUCCESS;
	}
	take_hash(&new, &p);
	status = take_key(&new, &p, info, len);
	if (!status)
		status = take_table(&new, &p, info, len, channels);
	if (!status)
		*rss = new;
	return status;
}

uint32_t rss_channel(const struct rss *rss, uint32_t index, uint32_t channels)
{
	uint32_t channel = index;

	if (rss->enabled && rss->table_entries)
		channel = rss->table[index % rss->table_entries];
	return channel % channels;
}

/* ---- the hash ------------------------------------------------------------ */

/* For each bit of the input that is set, the 32 bits of the key that begin at that bit. */
uint32_t rss_toeplitz(const uint8_t *key, const uint8_t *input, uint32_t len)
{
	uint64_t window = 0;
	uint32_t hash = 0;

	for (uint32_t i = 0; i < 8; i++)
		window = window << 8 | key[i];
	for (uint32_t i = 0; i < len; i++) {
		for (uint32_t bit = 0; bit < 8; bit++, window <<= 1)
			if (input[i] << bit & 0x80)
				hash ^= (uint32_t)(window >> 32);
		window |= i + 8 < RSS_KEY_SIZE ? key[i + 8] : 0;
	}
	return hash;
}

static uint32_t ports_type(const struct nic_headers *h)
{
	if (!h->l4)
		return 0;
	if (h->version == 4)
		return h->protocol == NIC_PROTO_TCP ? NDIS_HASH_TCP4 : NDIS_HASH_UDP4;
	return h->protocol == NIC_PROTO_TCP ? NDIS_HASH_TCP6 : NDIS_HASH_UDP6;
}

bool rss_hash(const struct rss *rss, const uint8_t *bytes, const struct nic_headers *h,
	uint32_t *hash, uint32_t *type)
{
	uint32_t addresses = h->version == 4 ? 8 : 32;
	uint32_t at = h->l3 + (h->version == 4 ? 12u : 8u);
	uint8_t input[36];

	if (!h->version)
		return false;
	*type = ports_type(h) & rss->hash_types;
	memcpy(input, bytes + at, addresses);
	if (*type) {
		memcpy(input + addresses, bytes + h->l4, 4);
		*hash = rss_toeplitz(rss->key, input, addresses + 4);
		return true;
	}
	*type = (h->version == 4 ? NDIS_HASH_IPV4 : NDIS_HASH_IPV6) & rss->hash_types;
	if (!*type)
		return false;
	*hash = rss_toeplitz(rss->key, input, addresses);
	return true;
}
