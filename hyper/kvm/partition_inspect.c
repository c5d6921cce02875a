/* SPDX-License-Identifier: MIT */
#include "base/inspect.h"
#include "hyper/kvm/partition_impl.h"

/* clang-format off */
static const struct inspect_field exit_fields[] = {
	INSPECT_FIELD(partition_exits, io),
	INSPECT_FIELD(partition_exits, mmio),
	INSPECT_FIELD(partition_exits, msr),
	INSPECT_FIELD(partition_exits, hypercall),
	INSPECT_FIELD(partition_exits, signal),
	INSPECT_FIELD(partition_exits, interrupted),
	INSPECT_FIELD(partition_exits, bus_lock),
	INSPECT_FIELD(partition_exits, other),
	{NULL, 0},
};
/* clang-format on */

static uint64_t total(const struct partition_exits *x)
{
	return x->io + x->mmio + x->msr + x->hypercall + x->signal + x->interrupted + x->bus_lock +
	       x->other;
}

static void exits_inspect(const struct partition_exits *exits, struct inspect *i)
{
	inspect_begin(i, "exits");
	inspect_fields(i, exits, exit_fields);
	inspect_u64(i, "total", total(exits));
	inspect_end(i);
}

static void auto_eoi_inspect(const struct vp_auto_eoi *a, struct inspect *i)
{
	inspect_begin(i, "auto_eoi");
	inspect_u64(i, "delivered", atomic_load_explicit(&a->delivered, memory_order_relaxed));
	inspect_u64(i, "retries", atomic_load_explicit(&a->retries, memory_order_relaxed));
	inspect_end(i);
}

void partition_inspect(struct partition *p, struct inspect *i)
{
	struct partition_exits exits;

	partition_exits(p, &exits);
	exits_inspect(&exits, i);
	inspect_begin_array(i, "vps");
	for (uint32_t n = 0; n < p->vps_created; n++) {
		partition_vp_exits(p, n, &exits);
		inspect_begin(i, NULL);
		exits_inspect(&exits, i);
		auto_eoi_inspect(&p->vps[n].auto_eoi, i);
		inspect_end(i);
	}
	inspect_end(i);
	inspect_begin(i, "serial");
	serial_inspect(&p->serial, i);
	inspect_end(i);
	inspect_begin(i, "hv");
	hv_inspect(&p->hv, i);
	inspect_end(i);
}
