/* SPDX-License-Identifier: MIT */
/* The state of the NICs, for `enlite ctl NAME inspect` and `stats`. */
#include <stdatomic.h>

#include "vm/network.h"

static uint64_t all_dropped(const struct nic_counts *c)
{
	uint64_t sum = 0;

	for (uint32_t d = 0; d < NIC_DROP_COUNT; d++)
		sum += c->dropped[d];
	return sum;
}

static void drops_inspect(const struct nic_counts *c, struct inspect *i, const char *key)
{
	inspect_begin(i, key);
	for (uint32_t d = 0; d < NIC_DROP_COUNT; d++)
		inspect_u64(i, nic_drop_names[d], c->dropped[d]);
	inspect_end(i);
}

static void counts_inspect(const struct nic_stats *s, struct inspect *i)
{
	inspect_u64(i, "tx_frames", s->tx.frames);
	inspect_u64(i, "tx_bytes", s->tx.bytes);
	inspect_u64(i, "tx_gso_frames", s->tx.gso_frames);
	inspect_u64(i, "tx_segmented", s->tx.segmented);
	inspect_u64(i, "tx_dropped", all_dropped(&s->tx));
	inspect_u64(i, "rx_frames", s->rx.frames);
	inspect_u64(i, "rx_bytes", s->rx.bytes);
	inspect_u64(i, "rx_gso_frames", s->rx.gso_frames);
	inspect_u64(i, "rx_segmented", s->rx.segmented);
	inspect_u64(i, "rx_dropped", all_dropped(&s->rx));
}

static void queue_inspect(const struct nic *nic, uint32_t index, struct inspect *i)
{
	struct nic_stats s;

	nic_queue_stats(nic, index, &s);
	inspect_begin(i, NULL);
	inspect_u64(i, "index", index);
	counts_inspect(&s, i);
	inspect_end(i);
}

static void layer_inspect(const struct nic *nic, struct inspect *i)
{
	struct nic_stats s;

	nic_stats(nic, &s);
	inspect_begin(i, NULL);
	inspect_text(i, "kind", nic->ops->name);
	counts_inspect(&s, i);
	drops_inspect(&s.tx, i, "tx_drops");
	drops_inspect(&s.rx, i, "rx_drops");
	inspect_textf(i, "rx_offloads", "%#x", atomic_load(&nic->rx_offloads));
	inspect_begin_array(i, "queues");
	for (uint32_t q = 0; q < nic->info.queues_max; q++)
		queue_inspect(nic, q, i);
	inspect_end(i);
	inspect_end(i);
}

static void back_end_inspect(const struct network_nic *nic, struct inspect *i)
{
	const struct nic_backend_options *o = nic->config.device.source.object;

	inspect_text(i, "backend", o->backend);
	inspect_bool(i, "backend_link", nic_link_up(nic->nic));
	inspect_u64(i, "backend_mtu", nic_mtu(nic->nic));
	inspect_u64(i, "backend_queues", nic->nic->queues);
	inspect_u64(i, "backend_queues_max", nic->nic->info.queues_max);
	inspect_u64(i, "speed_bps", nic->nic->info.speed_bps);
	inspect_begin_array(i, "layers");
	for (const struct nic *layer = nic->nic; layer; layer = layer->lower)
		layer_inspect(layer, i);
	inspect_end(i);
}

static void nic_inspect(const struct network_nic *nic, struct inspect *i)
{
	inspect_begin(i, NULL);
	inspect_textf(i, "id", "nic%u", nic->number);
	inspect_text(i, "state", network_state_names[nic->state]);
	vsp_device_inspect(nic->device.vsp, i);
	back_end_inspect(nic, i);
	inspect_end(i);
}

void network_inspect(const struct network *n, struct inspect *i)
{
	for (uint32_t k = 0; k < VM_NICS_MAX; k++)
		if (n->nics[k].device.vsp)
			nic_inspect(&n->nics[k], i);
}
