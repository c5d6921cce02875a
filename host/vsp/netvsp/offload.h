/* SPDX-License-Identifier: MIT */
/* Per-packet information of RNDIS and struct nic_offload, one into the other. Pure. */
#ifndef NETVSP_OFFLOAD_H
#define NETVSP_OFFLOAD_H

#include "nic/offload.h"
#include "vsp/netvsp/rndis.h"

/* A frame from the guest: fills *o and finishes the headers, which are the first `have` bytes in
 * private memory, of `length`. 0 or -EINVAL: the information does not fit the frame. */
int offload_tx(const struct rndis_tx_info *info, uint8_t *headers, uint32_t have, uint32_t length,
	struct nic_offload *o);

/* A frame to the guest: its checksum and VLAN information. h: of its headers. */
void offload_rx(
	const struct nic_offload *o, const struct nic_headers *h, struct rndis_rx_info *info);

#endif
