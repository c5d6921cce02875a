/* SPDX-License-Identifier: MIT */
/* The state of the NICs, for `enlite ctl NAME inspect` and `stats`. */
#include <stdio.h>

#include "vm/network.h"

static void layer_inspect(const struct nic *nic, struct inspect *i)
{
	struct nic_stats s;

	nic_stats(nic, &s);
	inspect_begin(i, NULL);
	inspect_text(i, "kind", nic->ops->name);
	inspect_u64(i, "tx_frames", s.tx.frames);
	inspect_u64(i, "tx_bytes", s.tx.bytes);
	inspect_u64(i, "tx_gso_frames", s.tx.gso_frames);
	inspect_u64(i, "rx_frames", s.rx.frames);
	inspect_u64(i, "rx_bytes", s.rx.bytes);
	inspect_u64(i, "rx_gso_frames", s.rx.gso_frames);
	for (uint32_t d = 0; d < NIC_DROP_COUNT; d++) {
		char name[48];

		snprintf(name, sizeof(name), "tx_dropped_%s", nic_drop_names[d]);
		if (s.tx.dropped[d])
			inspect_u64(i, name, s.tx.dropped[d]);
		snprintf(name, sizeof(name), "rx_dropped_%s", nic_drop_names[d]);
		if (s.rx.dropped[d])
			inspect_u64(i, name, s.rx.dropped[d]);
	}
	inspect_end(i);
}

static void nic_inspect(const struct network_nic *nic, struct inspect *i)
{
	inspect_begin(i, NULL);
	inspect_textf(i, "id", "nic%u", nic->number);
	vsp_device_inspect(nic->device.vsp, i);
	inspect_begin_array(i, "layers");
	for (const struct nic *layer = nic->nic; layer; layer = layer->lower)
		layer_inspect(layer, i);
	inspect_end(i);
	inspect_end(i);
}

void network_inspect(const struct network *n, struct inspect *i)
{
	for (uint32_t k = 0; k < VM_NICS_MAX; k++)
		if (n->nics[k].device.vsp)
			nic_inspect(&n->nics[k], i);
}
