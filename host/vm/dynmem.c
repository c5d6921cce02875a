/* SPDX-License-Identifier: MIT */
#include "vm/dynmem.h"

#include <errno.h>

#include "base/parse.h"

void dynmem_init(struct dynmem *d, const struct vm_memory *memory,
	int (*add)(void *ctx, uint64_t size), bool (*is_ready)(void *ctx),
	bool (*is_dump)(void *ctx), void *ctx)
{
	device_group_init(&d->devices);
	d->offered = memory->dynamic;
	d->config = (struct dynmem_config){
		.min = memory->min,
		.max = memory->max,
		.buffer = memory->buffer,
		.add = add,
		.is_ready = is_ready,
		.is_dump = is_dump,
		.ctx = ctx,
	};
}

int dynmem_attach(struct dynmem *d, struct vsp_host *host, struct err *e)
{
	int ret;

	if (!d->offered)
		return 0;
	ret = vm_device_create(
		&d->device, &d->devices, host, &dynmem_ops, &dynmem_instance, &d->config, e);
	if (!ret)
		dynmem_set_wanted(d->device.vsp, d->wanted);
	return ret;
}

void dynmem_detach(struct dynmem *d)
{
	device_group_destroy_all(&d->devices);
}

int dynmem_set_target(struct dynmem *d, uint64_t bytes, struct err *e)
{
	char min[SIZE_TEXT_MAX], max[SIZE_TEXT_MAX];

	if (!d->offered)
		return err_set(e, -EOPNOTSUPP,
			"memory target: the memory is not dynamic; start with --memory SIZE,min=SIZE,max=SIZE");
	format_size(min, d->config.min);
	format_size(max, d->config.max);
	if (bytes && (bytes < d->config.min || bytes > d->config.max))
		return err_set(
			e, -ERANGE, "memory target: must be from %s to %s, or auto", min, max);
	d->wanted = bytes;
	if (d->device.vsp)
		dynmem_set_wanted(d->device.vsp, bytes);
	return 0;
}

bool dynmem_get_status(const struct dynmem *d, struct dynmem_status *status)
{
	if (d->device.vsp)
		dynmem_status(d->device.vsp, status);
	return d->device.vsp;
}

const char *dynmem_mode(const struct dynmem *d)
{
	return d->wanted ? "set" : "automatic";
}

void dynmem_inspect(const struct dynmem *d, struct inspect *i)
{
	struct dynmem_status s;

	if (!dynmem_get_status(d, &s))
		return;
	inspect_begin(i, "dynamic");
	inspect_u64(i, "min", d->config.min);
	inspect_u64(i, "max", d->config.max);
	inspect_u64(i, "buffer_percent", d->config.buffer);
	inspect_text(i, "driver", s.state);
	inspect_text(i, "mode", dynmem_mode(d));
	inspect_u64(i, "target", s.target);
	inspect_u64(i, "granted", s.granted);
	inspect_u64(i, "taken", s.out);
	inspect_u64(i, "added", s.added);
	inspect_text(i, "adding", s.adding);
	inspect_bool(i, "reported", s.reported);
	inspect_u64(i, "available", s.available);
	inspect_u64(i, "committed", s.committed);
	inspect_end(i);
}

void dynmem_inspect_device(const struct dynmem *d, struct inspect *i)
{
	if (!d->device.vsp)
		return;
	inspect_begin(i, NULL);
	inspect_text(i, "id", "memory");
	vsp_device_inspect(d->device.vsp, i);
	inspect_end(i);
}
