/* SPDX-License-Identifier: MIT */
/*
 * A table is an array of JSON objects, one a row, and the columns to show of them. Columns are as
 * wide as what is in them, so every row is formatted twice.
 */
#include "cli/stats_table.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define CELL_MAX 32u
#define GAP      2

struct column {
	const char *title;
	const char *key;
	void (*format)(char cell[CELL_MAX], const json_t *value);
};

/* ---- cells --------------------------------------------------------------- */

static void as_text(char cell[CELL_MAX], const json_t *value)
{
	const char *text = json_string_value(value);

	snprintf(cell, CELL_MAX, "%s", text ? text : "");
}

static void as_count(char cell[CELL_MAX], const json_t *value)
{
	snprintf(cell, CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
}

/* Three digits and the largest unit of `units` that leaves one before the point. */
static void scaled(char cell[CELL_MAX], double value, double step, const char *const *units)
{
	while (value >= step && units[1]) {
		value /= step;
		units++;
	}
	snprintf(cell, CELL_MAX, "%.*f%s", value < 9.995 ? 2 : value < 99.95, value, *units);
}

static void as_bytes(char cell[CELL_MAX], const json_t *value)
{
	static const char *const units[] = {"K", "M", "G", "T", "P", NULL};
	json_int_t bytes = json_integer_value(value);

	if (bytes < 1024)
		as_count(cell, value);
	else
		scaled(cell, (double)bytes / 1024, 1024, units);
}

static void as_time(char cell[CELL_MAX], const json_t *value)
{
	static const char *const units[] = {"us", "ms", "s", NULL};

	scaled(cell, (double)json_integer_value(value) / 1000, 1000, units);
}

/* VMBUS_VP_NONE: the guest wants no interrupts. */
static void as_vp(char cell[CELL_MAX], const json_t *value)
{
	if (json_integer_value(value) == UINT32_MAX)
		snprintf(cell, CELL_MAX, "none");
	else
		as_count(cell, value);
}

/* ---- tables -------------------------------------------------------------- */

struct page {
	FILE *out;
	bool begun;
};

static void format(char cell[CELL_MAX], const struct column *column, const json_t *row)
{
	const json_t *value = json_object_get(row, column->key);

	if (value)
		column->format(cell, value);
	else
		snprintf(cell, CELL_MAX, "-");
}

static int width(const struct column *column, const json_t *rows)
{
	size_t widest = strlen(column->title);
	char cell[CELL_MAX];

	for (size_t i = 0; i < json_array_size(rows); i++) {
		format(cell, column, json_array_get(rows, i));
		if (strlen(cell) > widest)
			widest = strlen(cell);
	}
	return (int)widest;
}

static void print_line(
	FILE *out, const struct column *columns, const json_t *rows, const json_t *row)
{
	char cell[CELL_MAX];

	for (const struct column *c = columns; c->title; c++) {
		snprintf(cell, sizeof(cell), "%s", c->title);
		if (row)
			format(cell, c, row);
		fprintf(out, "%*s%*s", c == columns ? 0 : GAP, "", width(c, rows), cell);
	}
	putc('\n', out);
}

/* An empty line comes before each table but the first. */
static void print_table(struct page *page, const struct column *columns, const json_t *rows)
{
	if (!json_array_size(rows))
		return;
	if (page->begun)
		putc('\n', page->out);
	page->begun = true;
	print_line(page->out, columns, rows, NULL);
	for (size_t i = 0; i < json_array_size(rows); i++)
		print_line(page->out, columns, rows, json_array_get(rows, i));
}

static void print_row(struct page *page, const struct column *columns, json_t *row)
{
	json_t *rows = json_array();

	if (row && !json_array_append(rows, row))
		print_table(page, columns, rows);
	json_decref(rows);
}

/* ---- what is shown ------------------------------------------------------- */

/* clang-format off */
static const struct column vm_columns[] = {
	{"boots", "boots", as_count},
	{"VPs", "cpus", as_count},
	{"I/O threads", "io_threads", as_count},
	{"channel faults", "channel_faults", as_count},
	{NULL, NULL, NULL},
};

static const struct column memory_columns[] = {
	{"guest RAM", "guest_ram", as_bytes},
	{"resident", "guest_ram_resident", as_bytes},
	{"own anonymous", "worker_anonymous", as_bytes},
	{"own file", "worker_file", as_bytes},
	{NULL, NULL, NULL},
};

static const struct column exit_columns[] = {
	{"exits", "total", as_count},
	{"io", "io", as_count},
	{"mmio", "mmio", as_count},
	{"msr", "msr", as_count},
	{"hypercall", "hypercall", as_count},
	{"signal", "signal", as_count},
	{"interrupted", "interrupted", as_count},
	{"other", "other", as_count},
	{NULL, NULL, NULL},
};

static const struct column bus_columns[] = {
	{"VMBus", "version", as_text},
	{"messages", "messages", as_count},
	{"bad", "bad_messages", as_count},
	{"offers", "offers", as_count},
	{"opens", "opens", as_count},
	{"closes", "closes", as_count},
	{"GPADLs", "gpadls_created", as_count},
	{"failed", "gpadls_failed", as_count},
	{"resets", "resets", as_count},
	{"dropped", "dropped", as_count},
	{NULL, NULL, NULL},
};

#define IO_COLUMNS                             \
	{"reads", "reads", as_count},          \
	{"read", "read_bytes", as_bytes},      \
	{"writes", "writes", as_count},        \
	{"written", "written_bytes", as_bytes},\
	{"flushes", "flushes", as_count},      \
	{"unmaps", "unmaps", as_count},        \
	{"others", "others", as_count},        \
	{"errors", "errors", as_count},        \
	{"copied", "copied_bytes", as_bytes},  \
	{"depth", "depth", as_count},          \
	{"highest", "depth_highest", as_count}

static const struct column lun_columns[] = {
	{"controller", "controller", as_count},
	{"LUN", "lun", as_count},
	IO_COLUMNS,
	{NULL, NULL, NULL},
};

static const struct column channel_io_columns[] = {
	{"controller", "controller", as_count},
	{"channel", "index", as_count},
	IO_COLUMNS,
	{NULL, NULL, NULL},
};

static const struct column latency_columns[] = {
	{"controller", "controller", as_count},
	{"LUN", "lun", as_count},
	{"latency", "latency", as_text},
	{"count", "count", as_count},
	{"mean", "mean_ns", as_time},
	{"p50", "p50_ns", as_time},
	{"p90", "p90_ns", as_time},
	{"p99", "p99_ns", as_time},
	{"p99.9", "p99_9_ns", as_time},
	{"p99.99", "p99_99_ns", as_time},
	{"highest", "highest_ns", as_time},
	{NULL, NULL, NULL},
};

static const struct column channel_columns[] = {
	{"controller", "controller", as_count},
	{"channel", "index", as_count},
	{"VP", "target_vp", as_vp},
	{"packets", "packets", as_count},
	{"batches", "batches", as_count},
	{"doorbells", "doorbells", as_count},
	{"polls", "polls", as_count},
	{"sent", "sent", as_count},
	{"batches", "sent_batches", as_count},
	{"interrupts", "interrupts", as_count},
	{"masked", "interrupts_masked", as_count},
	{"unneeded", "interrupts_unneeded", as_count},
	{"stalls", "stalls", as_count},
	{"in use", "requests_in_use", as_count},
	{NULL, NULL, NULL},
};

static const struct column ring_columns[] = {
	{"controller", "controller", as_count},
	{"channel", "index", as_count},
	{"ring from guest", "rx_used", as_bytes},
	{"highest", "rx_highest", as_bytes},
	{"size", "rx_size", as_bytes},
	{"ring to guest", "tx_used", as_bytes},
	{"highest", "tx_highest", as_bytes},
	{"size", "tx_size", as_bytes},
	{"full", "tx_full", as_count},
	{NULL, NULL, NULL},
};
/* clang-format on */

/* The latencies of all LUNs in one array. Of what never happened there are none to be told. */
static json_t *latency_rows(const json_t *luns)
{
	static const char *const ops[] = {"read", "write", "flush", "other"};
	json_t *rows = json_array();

	for (size_t i = 0; i < json_array_size(luns) * 4; i++) {
		const json_t *lun = json_array_get(luns, i / 4);
		const json_t *latencies = json_object_get(lun, "latency");
		json_t *row = json_copy(json_object_get(latencies, ops[i % 4]));

		if (json_integer_value(json_object_get(row, "count"))) {
			json_object_set(row, "controller", json_object_get(lun, "controller"));
			json_object_set(row, "lun", json_object_get(lun, "lun"));
			json_object_set_new(row, "latency", json_string(ops[i % 4]));
			json_array_append(rows, row);
		}
		json_decref(row);
	}
	return rows;
}

void stats_table_print(FILE *out, json_t *stats)
{
	struct page page = {.out = out};
	json_t *luns = json_object_get(stats, "luns");
	json_t *channels = json_object_get(stats, "channels");
	json_t *latencies = latency_rows(luns);

	print_row(&page, vm_columns, stats);
	print_row(&page, memory_columns, json_object_get(stats, "memory"));
	print_row(&page, exit_columns, json_object_get(stats, "exits"));
	print_row(&page, bus_columns, json_object_get(stats, "bus"));
	print_table(&page, lun_columns, luns);
	print_table(&page, latency_columns, latencies);
	print_table(&page, channel_io_columns, channels);
	print_table(&page, channel_columns, channels);
	print_table(&page, ring_columns, channels);
	json_decref(latencies);
}
