/* SPDX-License-Identifier: MIT */
/* What a running machine tells about itself; every figure is read on the spot. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "vm/vm.h"
#include "vsp/storvsp/storvsp.h"

#define KIB 1024

static void set_count(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

/* A member of a structure of counters, told under its own name. */
struct field {
	const char *name;
	size_t offset;
};

/* clang-format off */
#define FIELD(type, member) {#member, offsetof(struct type, member)}
/* clang-format on */

static uint64_t field_value(const void *counters, const struct field *field)
{
	return *(const uint64_t *)((const char *)counters + field->offset);
}

static void set_fields(json_t *object, const void *counters, const struct field *fields)
{
	for (const struct field *f = fields; f->name; f++)
		set_count(object, f->name, field_value(counters, f));
}

/* ---- memory -------------------------------------------------------------- */

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

/* Guest RAM is a shared memfd (RssShmem); everything else is the I/O thread's own. */
static json_t *memory_stats(struct vm *m)
{
	json_t *memory = json_object();

	set_count(memory, "guest_ram", m->options->memory);
	set_count(memory, "guest_ram_resident", status_bytes("RssShmem"));
	set_count(memory, "worker_anonymous", status_bytes("RssAnon"));
	set_count(memory, "worker_file", status_bytes("RssFile"));
	return memory;
}

/* ---- VPs and bus --------------------------------------------------------- */

/* clang-format off */
static const struct field exit_fields[] = {
	FIELD(partition_exits, io),
	FIELD(partition_exits, mmio),
	FIELD(partition_exits, msr),
	FIELD(partition_exits, hypercall),
	FIELD(partition_exits, signal),
	FIELD(partition_exits, interrupted),
	FIELD(partition_exits, other),
	{NULL, 0},
};

static const struct field bus_fields[] = {
	FIELD(bus_counters, messages),
	FIELD(bus_counters, bad_messages),
	FIELD(bus_counters, offers),
	FIELD(bus_counters, opens),
	FIELD(bus_counters, closes),
	FIELD(bus_counters, gpadls_created),
	FIELD(bus_counters, gpadls_failed),
	FIELD(bus_counters, resets),
	FIELD(bus_counters, dropped),
	{NULL, 0},
};
/* clang-format on */

static json_t *exit_stats(struct partition *p)
{
	struct partition_exits x;
	json_t *exits = json_object();
	uint64_t total = 0;

	partition_exits(p, &x);
	set_fields(exits, &x, exit_fields);
	for (const struct field *f = exit_fields; f->name; f++)
		total += field_value(&x, f);
	set_count(exits, "total", total);
	return exits;
}

static json_t *bus_stats(struct bus *bus)
{
	uint32_t version = bus_version(bus);
	json_t *stats = json_object();
	char text[16];

	snprintf(text, sizeof(text), "%u.%u", version >> 16, version & 0xFFFF);
	json_object_set_new(stats, "version", json_string(text));
	set_fields(stats, bus_counters(bus), bus_fields);
	return stats;
}

/* ---- I/O of a LUN or a channel ------------------------------------------- */

/* clang-format off */
static const struct field io_fields[] = {
	FIELD(storvsp_counters, reads),
	FIELD(storvsp_counters, read_bytes),
	FIELD(storvsp_counters, writes),
	FIELD(storvsp_counters, written_bytes),
	FIELD(storvsp_counters, flushes),
	FIELD(storvsp_counters, unmaps),
	FIELD(storvsp_counters, others),
	FIELD(storvsp_counters, errors),
	FIELD(storvsp_counters, copied_bytes),
	FIELD(storvsp_counters, depth),
	FIELD(storvsp_counters, depth_highest),
	{NULL, 0},
};

static const char *const latency_names[STORVSP_LATENCIES] = {
	[STORVSP_LATENCY_READ] = "read",
	[STORVSP_LATENCY_WRITE] = "write",
	[STORVSP_LATENCY_FLUSH] = "flush",
	[STORVSP_LATENCY_OTHER] = "other",
};

static const struct {
	const char *name;
	uint32_t of_100000;
} percentiles[] = {
	{"p50_ns", 50000},
	{"p90_ns", 90000},
	{"p99_ns", 99000},
	{"p99_9_ns", 99900},
	{"p99_99_ns", 99990},
};
/* clang-format on */

static json_t *bucket_stats(const struct hist_sum *sum)
{
	json_t *buckets = json_array();

	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		if (sum->bucket[i])
			json_array_append_new(buckets, json_pack("[I,I]", (json_int_t)hist_start(i),
							       (json_int_t)sum->bucket[i]));
	return buckets;
}

static json_t *latency_stats(const struct hist_sum *sum)
{
	json_t *latency = json_object();

	set_count(latency, "count", sum->count);
	set_count(latency, "mean_ns", sum->count ? sum->sum_ns / sum->count : 0);
	for (uint32_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
		set_count(latency, percentiles[i].name,
			hist_percentile(sum, percentiles[i].of_100000));
	set_count(latency, "highest_ns", sum->highest_ns);
	json_object_set_new(latency, "buckets", bucket_stats(sum));
	return latency;
}

static void set_io(json_t *object, const struct storvsp_counters *c)
{
	json_t *latencies = json_object();

	set_fields(object, c, io_fields);
	for (uint32_t i = 0; i < STORVSP_LATENCIES; i++)
		json_object_set_new(latencies, latency_names[i], latency_stats(&c->latency[i]));
	json_object_set_new(object, "latency", latencies);
}

/* ---- devices ------------------------------------------------------------- */

/* clang-format off */
static const struct field channel_fields[] = {
	FIELD(chan_counters, packets),
	FIELD(chan_counters, batches),
	FIELD(chan_counters, sent),
	FIELD(chan_counters, sent_batches),
	FIELD(chan_counters, doorbells),
	FIELD(chan_counters, polls),
	FIELD(chan_counters, interrupts),
	FIELD(chan_counters, interrupts_masked),
	FIELD(chan_counters, interrupts_unneeded),
	FIELD(chan_counters, tx_full),
	FIELD(chan_counters, stalls),
	{NULL, 0},
};

static const struct field ring_fields[] = {
	FIELD(chan_rings, rx_used),
	FIELD(chan_rings, rx_highest),
	FIELD(chan_rings, rx_size),
	FIELD(chan_rings, tx_used),
	FIELD(chan_rings, tx_highest),
	FIELD(chan_rings, tx_size),
	{NULL, 0},
};
/* clang-format on */

struct channels {
	const struct storage_controller *controller;
	json_t *array;
};

static void add_channel(void *ctx, const struct vsp_channel_stats *s)
{
	struct channels *channels = ctx;
	json_t *channel = json_object();
	struct storvsp_counters c;

	set_count(channel, "controller", channels->controller->number);
	set_count(channel, "index", s->index);
	set_count(channel, "relid", s->relid);
	set_count(channel, "target_vp", s->target_vp);
	set_count(channel, "requests_in_use", s->requests_in_use);
	set_fields(channel, &s->counters, channel_fields);
	set_fields(channel, &s->rings, ring_fields);
	if (!storvsp_channel_counters(channels->controller->dev, s->index, &c))
		set_io(channel, &c);
	json_array_append_new(channels->array, channel);
}

static json_t *lun_stats(struct vm *m)
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
		set_io(object, &c);
		json_array_append_new(luns, object);
	}
	return luns;
}

static void add_scsi(struct vm *m, json_t *stats)
{
	struct channels channels = {.array = json_array()};
	uint32_t controllers = 0;
	uint64_t faults = 0;

	for (uint32_t i = 0; i < VM_CONTROLLERS_MAX; i++) {
		const struct storage_controller *controller = &m->storage.controllers[i];

		if (!controller->dev)
			continue;
		controllers++;
		faults += vsp_device_faults(controller->dev);
		channels.controller = controller;
		vsp_device_stats(controller->dev, add_channel, &channels);
	}
	if (controllers) {
		json_object_set_new(stats, "luns", lun_stats(m));
		set_count(stats, "channel_faults", faults);
	}
	json_object_set_new(stats, "channels", channels.array);
}

json_t *vm_stats(struct vm *m)
{
	json_t *stats = json_object();

	set_count(stats, "boots", m->boots);
	set_count(stats, "cpus", m->options->cpus);
	set_count(stats, "io_threads", m->io_threads);
	json_object_set_new(stats, "memory", memory_stats(m));
	if (m->state != VM_BOOTED)
		return stats;
	json_object_set_new(stats, "exits", exit_stats(m->partition));
	json_object_set_new(stats, "bus", bus_stats(m->bus->bus));
	add_scsi(m, stats);
	return stats;
}
