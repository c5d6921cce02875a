// SPDX-License-Identifier: MIT
/* What a running machine tells about itself; every figure is read on the spot. */
#include <stdio.h>
#include <string.h>

#include "machine.h"

#define KIB 1024

/* A "Name:   123 kB" line of /proc/self/status, in bytes; -1 when there is none. */
static json_int_t status_bytes(const char *name)
{
	FILE *f = fopen("/proc/self/status", "re");
	size_t len = strlen(name);
	json_int_t value = -1;
	char line[256];

	if (!f)
		return -1;
	while (value < 0 && fgets(line, sizeof(line), f)) {
		long long kib;

		if (!strncmp(line, name, len) && line[len] == ':' &&
			sscanf(line + len + 1, "%lld", &kib) == 1)
			value = kib * KIB;
	}
	fclose(f);
	return value;
}

/* Guest RAM is a shared memfd (RssShmem); everything else is the worker's own. */
static json_t *memory_stats(struct machine *m)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "guest_ram", (json_int_t)m->options->memory,
		"guest_ram_resident", status_bytes("RssShmem"), "worker_anonymous",
		status_bytes("RssAnon"), "worker_file", status_bytes("RssFile"));
}

static json_t *exit_stats(struct partition *p)
{
	struct partition_exits x;

	partition_exits(p, &x);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "io", (json_int_t)x.io, "mmio",
		(json_int_t)x.mmio, "msr", (json_int_t)x.msr, "hypercall", (json_int_t)x.hypercall,
		"signal", (json_int_t)x.signal, "interrupted", (json_int_t)x.interrupted, "other",
		(json_int_t)x.other, "total",
		(json_int_t)(x.io + x.mmio + x.msr + x.hypercall + x.signal + x.interrupted + x.other));
}

static json_t *bus_stats(struct bus *bus)
{
	const struct bus_counters *c = bus_counters(bus);
	uint32_t version = bus_version(bus);
	char text[16];

	snprintf(text, sizeof(text), "%u.%u", version >> 16, version & 0xFFFF);
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "version", text, "messages",
		(json_int_t)c->messages, "bad_messages", (json_int_t)c->bad_messages, "offers",
		(json_int_t)c->offers, "opens", (json_int_t)c->opens, "closes", (json_int_t)c->closes,
		"gpadls_created", (json_int_t)c->gpadls_created, "gpadls_failed",
		(json_int_t)c->gpadls_failed, "resets", (json_int_t)c->resets);
}

json_t *machine_stats(struct machine *m)
{
	json_t *stats = json_object();

	json_object_set_new(stats, "boots", json_integer(m->boots));
	json_object_set_new(stats, "cpus", json_integer(m->options->cpus));
	json_object_set_new(stats, "workers", json_integer(m->workers));
	json_object_set_new(stats, "memory", memory_stats(m));
	if (m->state != MACHINE_BOOTED)
		return stats;
	json_object_set_new(stats, "exits", exit_stats(m->partition));
	json_object_set_new(stats, "bus", bus_stats(m->bus->bus));
	return stats;
}
