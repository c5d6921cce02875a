/* SPDX-License-Identifier: MIT */
#include "cli/stats_tables.h"

#include <stdint.h>
#include <string.h>

#include "cli/guest_tables.h"
#include "cli/table.h"

/* VMBUS_VP_NONE: the guest wants no interrupts. */
static char *cell_vp(const json_t *value)
{
	return json_integer_value(value) == UINT32_MAX ? strdup("none") : cell_count(value);
}

static char *cell_length(const json_t *value)
{
	json_t *length = json_integer((json_int_t)json_array_size(value));
	char *cell = cell_count(length);

	json_decref(length);
	return cell;
}

/* ---- columns ------------------------------------------------------------- */

/* clang-format off */
static const struct table_column vm_columns[] = {
	{"state", "state", cell_text},
	{"boots", "boots", cell_count},
	{"VPs", "cpus", cell_count},
	{"I/O threads", "io_threads", cell_length},
	{NULL, NULL, NULL},
};

static const struct table_column memory_columns[] = {
	{"guest RAM", "guest_ram", cell_bytes},
	{"kind", "guest_ram_kind", cell_text},
	{"resident", "guest_ram_resident", cell_bytes},
	{"in huge pages", "guest_ram_huge", cell_bytes},
	{"own anonymous", "worker_anonymous", cell_bytes},
	{"own file", "worker_file", cell_bytes},
	{NULL, NULL, NULL},
};

static const struct table_column budget_columns[] = {
	{"budget", "limit", cell_bytes},
	{"used", "used", cell_bytes},
	{"peak", "peak", cell_bytes},
	{NULL, NULL, NULL},
};

static const struct table_column budget_user_columns[] = {
	{"budget for", "user", cell_text},
	{"share", "share", cell_bytes},
	{"used", "used", cell_bytes},
	{"refusals", "refusals", cell_count},
	{NULL, NULL, NULL},
};

static const struct table_column io_thread_columns[] = {
	{"I/O thread turns", "turns", cell_count},
	{"polling", "polling", cell_flag},
	{"window", "poll_window_ns", cell_time_ns},
	{NULL, NULL, NULL},
};

static const struct table_column exit_columns[] = {
	{"exits", "total", cell_count},
	{"io", "io", cell_count},
	{"mmio", "mmio", cell_count},
	{"msr", "msr", cell_count},
	{"hypercall", "hypercall", cell_count},
	{"signal", "signal", cell_count},
	{"interrupted", "interrupted", cell_count},
	{"bus lock", "bus_lock", cell_count},
	{"other", "other", cell_count},
	{NULL, NULL, NULL},
};

static const struct table_column bus_columns[] = {
	{"VMBus", "version", cell_text},
	{"messages", "messages", cell_count},
	{"bad", "bad_messages", cell_count},
	{"offers", "offers", cell_count},
	{"opens", "opens", cell_count},
	{"closes", "closes", cell_count},
	{"GPADLs", "gpadls_created", cell_count},
	{"failed", "gpadls_failed", cell_count},
	{"resets", "resets", cell_count},
	{"dropped", "dropped", cell_count},
	{NULL, NULL, NULL},
};

static const struct table_column device_columns[] = {
	{"device", "id", cell_text},
	{"class", "class", cell_text},
	{"instance", "instance", cell_text},
	{"channels", "channels", cell_length},
	{"faults", "channel_faults", cell_count},
	{NULL, NULL, NULL},
};

#define IO_COLUMNS                             \
	{"reads", "reads", cell_count},          \
	{"read", "read_bytes", cell_bytes},      \
	{"writes", "writes", cell_count},        \
	{"written", "written_bytes", cell_bytes},\
	{"flushes", "flushes", cell_count},      \
	{"unmaps", "unmaps", cell_count},        \
	{"others", "others", cell_count},        \
	{"errors", "errors", cell_count},        \
	{"copied", "copied_bytes", cell_bytes},  \
	{"depth", "depth", cell_count},          \
	{"highest", "depth_highest", cell_count}

static const struct table_column lun_columns[] = {
	{"device", "device", cell_text},
	{"LUN", "lun", cell_count},
	IO_COLUMNS,
	{NULL, NULL, NULL},
};

static const struct table_column channel_io_columns[] = {
	{"device", "device", cell_text},
	{"channel", "index", cell_count},
	IO_COLUMNS,
	{NULL, NULL, NULL},
};

#define FRAME_COLUMNS                         \
	{"tx frames", "tx_frames", cell_count}, \
	{"tx", "tx_bytes", cell_bytes},         \
	{"dropped", "tx_dropped", cell_count},  \
	{"rx frames", "rx_frames", cell_count}, \
	{"rx", "rx_bytes", cell_bytes},         \
	{"dropped", "rx_dropped", cell_count}

static const struct table_column nic_columns[] = {
	{"NIC", "id", cell_text},
	{"state", "state", cell_text},
	{"NVSP", "version", cell_text},
	{"link", "link", cell_flag},
	{"MTU", "mtu", cell_count},
	{"MAC", "mac", cell_text},
	{"back end", "backend", cell_text},
	{NULL, NULL, NULL},
};

static const struct table_column layer_columns[] = {
	{"device", "device", cell_text},
	{"layer", "kind", cell_text},
	FRAME_COLUMNS,
	{"tx GSO", "tx_gso_frames", cell_count},
	{"rx GSO", "rx_gso_frames", cell_count},
	{NULL, NULL, NULL},
};

static const struct table_column channel_frame_columns[] = {
	{"device", "device", cell_text},
	{"channel", "index", cell_count},
	FRAME_COLUMNS,
	{"invalid", "tx_invalid", cell_count},
	{"spoofed", "tx_spoofed", cell_count},
	{"filtered", "rx_filtered", cell_count},
	{"starved", "rx_starved", cell_count},
	{"sections", "sections_with_guest", cell_count},
	{NULL, NULL, NULL},
};

static const struct table_column latency_columns[] = {
	{"device", "device", cell_text},
	{"LUN", "lun", cell_count},
	{"latency", "latency", cell_text},
	{"count", "count", cell_count},
	{"mean", "mean_ns", cell_time_ns},
	{"p50", "p50_ns", cell_time_ns},
	{"p90", "p90_ns", cell_time_ns},
	{"p99", "p99_ns", cell_time_ns},
	{"p99.9", "p99_9_ns", cell_time_ns},
	{"p99.99", "p99_99_ns", cell_time_ns},
	{"highest", "highest_ns", cell_time_ns},
	{NULL, NULL, NULL},
};

static const struct table_column channel_columns[] = {
	{"device", "device", cell_text},
	{"channel", "index", cell_count},
	{"VP", "target_vp", cell_vp},
	{"packets", "packets", cell_count},
	{"batches", "batches", cell_count},
	{"doorbells", "doorbells", cell_count},
	{"polls", "polls", cell_count},
	{"sent", "sent", cell_count},
	{"batches", "sent_batches", cell_count},
	{"interrupts", "interrupts", cell_count},
	{"masked", "interrupts_masked", cell_count},
	{"unneeded", "interrupts_unneeded", cell_count},
	{"stalls", "stalls", cell_count},
	{"in use", "requests_in_use", cell_count},
	{NULL, NULL, NULL},
};

static const struct table_column ring_columns[] = {
	{"device", "device", cell_text},
	{"channel", "index", cell_count},
	{"ring from guest", "rx_used", cell_bytes},
	{"highest", "rx_highest", cell_bytes},
	{"size", "rx_size", cell_bytes},
	{"ring to guest", "tx_used", cell_bytes},
	{"highest", "tx_highest", cell_bytes},
	{"size", "tx_size", cell_bytes},
	{"full", "tx_full", cell_count},
	{NULL, NULL, NULL},
};
/* clang-format on */

/* ---- rows ---------------------------------------------------------------- */

/* The members of one array of all devices, each with its device's id. */
static json_t *device_rows(const json_t *devices, const char *key)
{
	json_t *rows = json_array();

	for (size_t d = 0; d < json_array_size(devices); d++) {
		const json_t *device = json_array_get(devices, d);
		const json_t *items = json_object_get(device, key);

		for (size_t i = 0; i < json_array_size(items); i++) {
			json_t *row = json_copy(json_array_get(items, i));

			json_object_set(row, "device", json_object_get(device, "id"));
			json_array_append_new(rows, row);
		}
	}
	return rows;
}

/* The elements that have this key. */
static json_t *rows_with(const json_t *rows, const char *key)
{
	json_t *some = json_array();

	for (size_t i = 0; i < json_array_size(rows); i++)
		if (json_object_get(json_array_get(rows, i), key))
			json_array_append(some, json_array_get(rows, i));
	return some;
}

static void print_rows_with(struct table_page *page, const struct table_column *columns,
	const json_t *rows, const char *key)
{
	json_t *some = rows_with(rows, key);

	table_print(page, columns, some);
	json_decref(some);
}

/* One for each LUN and kind of command; commands that never came have none. */
static json_t *latency_rows(const json_t *luns)
{
	static const char *const ops[] = {"read", "write", "flush", "other"};
	json_t *rows = json_array();

	for (size_t i = 0; i < json_array_size(luns) * 4; i++) {
		const json_t *lun = json_array_get(luns, i / 4);
		const json_t *latencies = json_object_get(lun, "latency");
		json_t *row = json_copy(json_object_get(latencies, ops[i % 4]));

		if (json_integer_value(json_object_get(row, "count"))) {
			json_object_set(row, "device", json_object_get(lun, "device"));
			json_object_set(row, "lun", json_object_get(lun, "lun"));
			json_object_set_new(row, "latency", json_string(ops[i % 4]));
			json_array_append(rows, row);
		}
		json_decref(row);
	}
	return rows;
}

static void print_channels(struct table_page *page, const json_t *devices)
{
	json_t *channels = device_rows(devices, "channels");

	print_rows_with(page, channel_io_columns, channels, "reads");
	print_rows_with(page, channel_frame_columns, channels, "tx_frames");
	table_print(page, channel_columns, channels);
	table_print(page, ring_columns, channels);
	json_decref(channels);
}

static void print_luns(struct table_page *page, const json_t *devices)
{
	json_t *luns = device_rows(devices, "luns");
	json_t *latencies = latency_rows(luns);

	table_print(page, lun_columns, luns);
	table_print(page, latency_columns, latencies);
	json_decref(latencies);
	json_decref(luns);
}

static void print_nics(struct table_page *page, const json_t *devices)
{
	json_t *layers = device_rows(devices, "layers");

	print_rows_with(page, nic_columns, devices, "layers");
	table_print(page, layer_columns, layers);
	json_decref(layers);
}

void stats_tables_print(FILE *out, json_t *stats)
{
	struct table_page page = {.out = out};
	const json_t *devices = json_object_get(stats, "devices");
	json_t *budget = json_object_get(stats, "budget");
	json_t *memory = json_object_get(stats, "memory");

	table_print_row(&page, vm_columns, stats);
	table_print_row(&page, memory_columns, memory);
	dynamic_memory_print(&page, json_object_get(memory, "dynamic"));
	table_print_row(&page, budget_columns, budget);
	table_print(&page, budget_user_columns, json_object_get(budget, "users"));
	table_print(&page, io_thread_columns, json_object_get(stats, "io_threads"));
	table_print_row(&page, exit_columns, json_object_get(stats, "exits"));
	table_print_row(&page, bus_columns, json_object_get(stats, "bus"));
	table_print(&page, device_columns, devices);
	print_luns(&page, devices);
	print_nics(&page, devices);
	print_channels(&page, devices);
}
