/* SPDX-License-Identifier: MIT */
#include "vm/ic.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct ic_service *const services[VM_IC_SERVICES] = {
	[VM_IC_HEARTBEAT] = &ic_heartbeat,
	[VM_IC_SHUTDOWN] = &ic_shutdown,
	[VM_IC_TIMESYNC] = &ic_timesync,
	[VM_IC_KVP] = &ic_kvp,
	[VM_IC_VSS] = &ic_vss,
	[VM_IC_COPY] = &ic_copy,
};

/* The names that Hyper-V uses. */
static void fill_facts(struct ic *ic, const struct vm_config *options)
{
	uint32_t n = 0;

	if (gethostname(ic->host_name, sizeof(ic->host_name) - 1))
		ic->host_name[0] = '\0';
#define FACT(name, text)                                                                           \
	ic->kvp.facts[n].key = (name);                                                             \
	ic->kvp.facts[n++].value = (text)
	FACT("HostName", ic->host_name);
	FACT("PhysicalHostName", ic->host_name);
	if (options->name) {
		FACT("VirtualMachineName", options->name);
	}
	FACT("VirtualMachineDynamicMemoryBalancingEnabled", options->memory.dynamic ? "1" : "0");
#undef FACT
}

static const void *settings_of(const struct ic *ic, enum vm_ic service)
{
	switch (service) {
	case VM_IC_TIMESYNC:
		return &ic->timesync;
	case VM_IC_KVP:
		return &ic->kvp;
	default:
		return NULL;
	}
}

void ic_init(struct ic *ic, struct loop *control, const struct vm_config *options,
	bool (*ref_time)(void *ctx, uint64_t *time), void *ctx)
{
	ic->timesync = (struct ic_timesync_settings){.ref_time = ref_time, .ctx = ctx};
	fill_facts(ic, options);
	device_group_init(&ic->devices);
	ic_freeze_init(&ic->freeze, control, &ic->services[VM_IC_VSS].device.vsp);
	for (uint32_t n = 0; n < VM_IC_SERVICES; n++)
		ic->services[n].config = (struct ic_config){
			.service = services[n],
			.settings = settings_of(ic, n),
		};
}

int ic_attach(struct ic *ic, const struct vm_config *options, struct vsp_host *host, struct err *e)
{
	int ret = 0;

	for (uint32_t n = 0; !ret && n < VM_IC_SERVICES; n++)
		if (options->ic >> n & 1)
			ret = vm_device_create(&ic->services[n].device, &ic->devices, host,
				ic_vsp_ops(services[n]), ic_instance(services[n]),
				&ic->services[n].config, e);
	return ret;
}

void ic_detach(struct ic *ic)
{
	device_group_destroy_all(&ic->devices);
	ic_freeze_guest_gone(&ic->freeze);
	if (ic->copy)
		ic_copy_guest_gone(ic->copy);
}

void ic_close(struct ic *ic)
{
	if (ic->copy)
		ic_copy_abandon(ic->copy);
	ic->copy = NULL;
}

const char *ic_service_name(enum vm_ic service)
{
	return ic_name(services[service]);
}

struct vsp_device *ic_device(struct ic *ic, enum vm_ic service)
{
	return ic->services[service].device.vsp;
}

void ic_inspect(const struct ic *ic, struct inspect *i)
{
	for (uint32_t n = 0; n < VM_IC_SERVICES; n++) {
		if (!ic->services[n].device.vsp)
			continue;
		inspect_begin(i, NULL);
		inspect_text(i, "id", ic_name(services[n]));
		vsp_device_inspect(ic->services[n].device.vsp, i);
		inspect_end(i);
	}
}
