// SPDX-License-Identifier: MIT
/* What a running machine tells about itself; every figure is read on the spot. */
#include <stdio.h>
#include <string.h>

#include "machine.h"
#include "vsp/storvsp/storvsp.h"

#define KIB 1024

static void set_count(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

/* ---- memory ------------------------------------------------------------------------------ */

/* A "Name:   123 kB" line of /proc/self/status, in bytes; 0 when there is none. */
static uint64_t status_bytes(const char *name)
{
	FILE *f = fopen("/proc/self/status", "re");
	size_t len = strlen(name);
	unsigned long long kib = 0;
	char line[256];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && line[len] == ':' &&
			sscanf(line + len + 1, "%llu", &kib) == 1)
			break;
	fclose(f);
	return kib * KIB;
}

/* Guest RAM is a shared memfd (RssShmem); everything else is the worker's own. */
static json_t *memory_stats(struct machine *m)
{
	json_t *memory = json_object();

	set_count(memory, "guest_ram", m->options->memory);
	set_count(memory, "guest_ram_resident", status_bytes("RssShmem"));
	set_count(memory, "worker_anonymous", status_bytes("RssAnon"));
	set_count(memory, "worker_file", status_bytes("RssFile"));
	return memory;
}

/* ---- VPs and bus ---------------------------------------------------------------------------- */

static json_t *exit_stats(struct partition *p)
{
	struct partition_exits x;
	json_t *exits = json_object();

	partition_exits(p, &x);
	set_count(exits, "io", x.io);
	set_count(exits, "mmio", x.mmio);
	set_count(exits, "msr", x.msr);
	set_count(exits, "hypercall", x.hypercall);
	set_count(exits, "signal", x.signal);
	set_count(exits, "interrupted", x.interrupted);
	set_count(exits, "other", x.other);
	set_count(exits, "total",
		x.io + x.mmio + x.msr + x.hypercall + x.signal + x.interrupted + x.other);
	return exits;
}

static json_t *bus_stats(struct bus *bus)
{
	const struct bus_counters *c = bus_counters(bus);
	uint32_t version = bus_version(bus);
	json_t *stats = json_object();
	char text[16];

	snprintf(text, sizeof(text), "%u.%u", version >> 16, version & 0xFFFF);
	json_object_set_new(stats, "version", json_string(text));
	set_count(stats, "messages", c->messages);
	set_count(stats, "bad_messages", c->bad_messages);
	set_count(stats, "offers", c->offers);
	set_count(stats, "opens", c->opens);
	set_count(stats, "closes", c->closes);
	set_count(stats, "gpadls_created", c->gpadls_created);
	set_count(stats, "gpadls_failed", c->gpadls_failed);
	set_count(stats, "resets", c->resets);
	return stats;
}

/* ---- devices ----------------------------------------------------------------------------------
 */

static void add_channel(void *ctx, const struct vsp_channel_stats *s)
{
	json_t *channel = json_object();

	set_count(channel, "index", s->index);
	set_count(channel, "relid", s->relid);
	set_count(channel, "target_vp", s->target_vp);
	set_count(channel, "requests_in_use", s->requests_in_use);
	set_count(channel, "packets", s->counters.packets);
	set_count(channel, "sent", s->counters.sent);
	set_count(channel, "doorbells", s->counters.doorbells);
	set_count(channel, "polls", s->counters.polls);
	set_count(channel, "interrupts", s->counters.interrupts);
	set_count(channel, "tx_full", s->counters.tx_full);
	set_count(channel, "stalls", s->counters.stalls);
	json_array_append_new(ctx, channel);
}

static json_t *lun_stats(struct machine *m)
{
	json_t *luns = json_array();

	list_for_each (item, &m->storage.disks) {
		struct storage_disk *d = container_of(item, struct storage_disk, link);
		struct storvsp_counters c;
		json_t *object;

		if (!d->controller->dev || storvsp_counters(d->controller->dev, d->lun, &c))
			continue;
		object = json_object();
		set_count(object, "controller", d->controller->number);
		set_count(object, "lun", d->lun);
		set_count(object, "reads", c.reads);
		set_count(object, "read_bytes", c.read_bytes);
		set_count(object, "writes", c.writes);
		set_count(object, "written_bytes", c.written_bytes);
		set_count(object, "flushes", c.flushes);
		set_count(object, "unmaps", c.unmaps);
		set_count(object, "others", c.others);
		set_count(object, "errors", c.errors);
		set_count(object, "copied_bytes", c.copied_bytes);
		json_array_append_new(luns, object);
	}
	return luns;
}

static void add_channels(const struct storage_controller *controller, json_t *channels)
{
	size_t first = json_array_size(channels);

	vsp_device_for_each_channel(controller->dev, add_channel, channels);
	for (size_t i = first; i < json_array_size(channels); i++)
		set_count(json_array_get(channels, i), "controller", controller->number);
}

static void add_scsi(struct machine *m, json_t *stats)
{
	json_t *channels = json_array();
	uint32_t controllers = 0;
	uint64_t faults = 0;

	for (uint32_t i = 0; i < OPTIONS_CONTROLLERS_MAX; i++) {
		const struct storage_controller *controller = &m->storage.controllers[i];

		if (!controller->dev)
			continue;
		controllers++;
		faults += vsp_device_faults(controller->dev);
		add_channels(controller, channels);
	}
	if (controllers) {
		json_object_set_new(stats, "luns", lun_stats(m));
		set_count(stats, "channel_faults", faults);
	}
	json_object_set_new(stats, "channels", channels);
}

json_t *machine_stats(struct machine *m)
{
	json_t *stats = json_object();

	set_count(stats, "boots", m->boots);
	set_count(stats, "cpus", m->options->cpus);
	set_count(stats, "workers", m->workers);
	json_object_set_new(stats, "memory", memory_stats(m));
	if (m->state != MACHINE_BOOTED)
		return stats;
	json_object_set_new(stats, "exits", exit_stats(m->partition));
	json_object_set_new(stats, "bus", bus_stats(m->bus->bus));
	add_scsi(m, stats);
	return stats;
}
