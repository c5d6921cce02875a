/* SPDX-License-Identifier: MIT */
#include "base/counter.h"
#include "base/inspect.h"
#include "vmbus-host/chan.h"

/* clang-format off */
static const struct inspect_field counter_fields[] = {
	INSPECT_FIELD(chan_counters, packets),
	INSPECT_FIELD(chan_counters, batches),
	INSPECT_FIELD(chan_counters, sent),
	INSPECT_FIELD(chan_counters, sent_batches),
	INSPECT_FIELD(chan_counters, doorbells),
	INSPECT_FIELD(chan_counters, polls),
	INSPECT_FIELD(chan_counters, interrupts),
	INSPECT_FIELD(chan_counters, interrupts_masked),
	INSPECT_FIELD(chan_counters, interrupts_unneeded),
	INSPECT_FIELD(chan_counters, tx_full),
	INSPECT_FIELD(chan_counters, stalls),
	{NULL, 0},
};

static const struct inspect_field ring_fields[] = {
	INSPECT_FIELD(chan_rings, rx_used),
	INSPECT_FIELD(chan_rings, rx_highest),
	INSPECT_FIELD(chan_rings, rx_size),
	INSPECT_FIELD(chan_rings, tx_used),
	INSPECT_FIELD(chan_rings, tx_highest),
	INSPECT_FIELD(chan_rings, tx_size),
	{NULL, 0},
};
/* clang-format on */

/* A VSP may answer more than it was asked. */
static uint64_t unanswered(const struct chan *chan)
{
	int64_t in_flight = counter_get(&chan->in_flight);

	return in_flight > 0 ? (uint64_t)in_flight : 0;
}

void chan_inspect(const struct chan *chan, struct inspect *i)
{
	struct chan_rings rings;

	chan_rings(chan, &rings);
	inspect_u64(i, "target_vp", chan->target_vp);
	inspect_u64(i, "unanswered", unanswered(chan));
	inspect_u64(i, "moderation_depth", counter_get(&chan->moderation.depth));
	inspect_fields(i, &chan->counters, counter_fields);
	inspect_fields(i, &rings, ring_fields);
}
