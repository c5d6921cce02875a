/* SPDX-License-Identifier: MIT */
/* Receive side scaling: parameters, and the Toeplitz hash. Pure. */
#ifndef NETVSP_RSS_H
#define NETVSP_RSS_H

#include <stdbool.h>
#include <stdint.h>

#include "nic/offload.h"

#define RSS_KEY_SIZE  40u
#define RSS_TABLE_MAX 128u

struct rss {
	bool enabled;
	uint32_t hash_types; /* NDIS_HASH_* without the function */
	uint8_t key[RSS_KEY_SIZE];
	uint32_t table_entries;       /* 0: not set */
	uint8_t table[RSS_TABLE_MAX]; /* channel numbers */
};

/* The information buffer of OID_GEN_RSS_PARAMETERS: changes *rss. channels: how many there are.
 * RNDIS_STATUS_*; after an error *rss is unchanged. */
uint32_t rss_set(struct rss *rss, const uint8_t *info, uint32_t len, uint32_t channels);

/* The hash of a frame whose headers are `bytes` (private memory), by its addresses and, where the
 * guest wants that, its ports. False: not of a type that is hashed. *type: NDIS_HASH_*. */
bool rss_hash(const struct rss *rss, const uint8_t *bytes, const struct nic_headers *h,
	uint32_t *hash, uint32_t *type);

/* The Toeplitz hash of up to RSS_KEY_SIZE - 4 bytes. */
uint32_t rss_toeplitz(const uint8_t *key, const uint8_t *input, uint32_t len);

/* Channel number for an entry of the send indirection table. */
uint32_t rss_channel(const struct rss *rss, uint32_t index, uint32_t channels);

#endif
