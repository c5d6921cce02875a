/* SPDX-License-Identifier: GPL-2.0-only */
/* What collect() found, as tables. */
#include <inttypes.h>
#include <string.h>

#include "guest/tools/tool.h"

#define CELL_SIZE 24u
#define NAME_SIZE 64u

static const char *text_of(const json_t *object, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : otherwise;
}

static json_int_t number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* ---- tables -------------------------------------------------------------- */

struct column {
	const char *title;
	const char *key;
	/* NULL: the number at `key`. */
	void (*format)(const json_t *row, char cell[CELL_SIZE]);
};

static void format_cell(const struct column *column, const json_t *row, char cell[CELL_SIZE])
{
	const json_t *value = json_object_get(row, column->key);

	if (column->format)
		column->format(row, cell);
	else if (value)
		snprintf(cell, CELL_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		snprintf(cell, CELL_SIZE, "-");
}

/* A column is as wide as the widest cell of its table. */
static int width_of(const struct column *column, const json_t *rows)
{
	int width = (int)strlen(column->title), len;
	char cell[CELL_SIZE];
	size_t i;
	json_t *row;

	json_array_foreach(rows, i, row)
	{
		format_cell(column, row, cell);
		len = (int)strlen(cell);
		width = len > width ? len : width;
	}
	return width;
}

/* `columns` ends with one without a title. */
static void print_table(FILE *out, const struct column *columns, const json_t *rows)
{
	char cell[CELL_SIZE];
	size_t i;
	json_t *row;

	if (!json_array_size(rows))
		return;
	for (const struct column *c = columns; c->title; c++)
		fprintf(out, "  %*s", width_of(c, rows), c->title);
	putc('\n', out);
	json_array_foreach(rows, i, row)
	{
		for (const struct column *c = columns; c->title; c++) {
			format_cell(c, row, cell);
			fprintf(out, "  %*s", width_of(c, rows), cell);
		}
		putc('\n', out);
	}
}

/* ---- queues of storvsc --------------------------------------------------- */

static void format_ratio(json_int_t part, json_int_t whole, char cell[CELL_SIZE])
{
	if (whole)
		snprintf(cell, CELL_SIZE, "%.3f", (double)part / (double)whole);
	else
		snprintf(cell, CELL_SIZE, "-");
}

static void doorbells_per_request(const json_t *row, char cell[CELL_SIZE])
{
	format_ratio(number_of(row, "doorbells"), number_of(row, "sent"), cell);
}

static void interrupts_per_request(const json_t *row, char cell[CELL_SIZE])
{
	format_ratio(number_of(row, "interrupts"), number_of(row, "sent"), cell);
}

static json_int_t requests_of(const json_t *buckets)
{
	json_int_t all = 0;
	size_t i;
	json_t *bucket;

	json_array_foreach(buckets, i, bucket) all += json_integer_value(json_array_get(bucket, 1));
	return all;
}

/* The bound that `percent` of the requests are below. */
static void format_latency(const json_t *row, unsigned percent, char cell[CELL_SIZE])
{
	const json_t *buckets = json_object_get(row, "latency_us");
	json_int_t wanted = requests_of(buckets), seen = 0;
	size_t i;
	json_t *bucket;

	snprintf(cell, CELL_SIZE, "-");
	json_array_foreach(buckets, i, bucket)
	{
		seen += json_integer_value(json_array_get(bucket, 1));
		if (seen * 100 < wanted * percent)
			continue;
		snprintf(cell, CELL_SIZE, "<%" JSON_INTEGER_FORMAT,
			json_integer_value(json_array_get(bucket, 0)));
		return;
	}
}

static void median_latency(const json_t *row, char cell[CELL_SIZE])
{
	format_latency(row, 50, cell);
}

static void tail_latency(const json_t *row, char cell[CELL_SIZE])
{
	format_latency(row, 99, cell);
}

static const struct column queue_columns[] = {
	{"queue", "queue", NULL},
	{"cpu", "cpu", NULL},
	{"in flight", "in_flight", NULL},
	{"requests", "sent", NULL},
	{"polled", "polled", NULL},
	{"errors", "errors", NULL},
	{"ring full", "ring_full", NULL},
	{"doorbells/req", NULL, doorbells_per_request},
	{"interrupts/req", NULL, interrupts_per_request},
	{"us, half", NULL, median_latency},
	{"us, 99%", NULL, tail_latency},
	{NULL, NULL, NULL},
};

/* ---- channels of netvsc -------------------------------------------------- */

static const struct column nic_columns[] = {
	{"queue", "queue", NULL},
	{"frames out", "tx_packets", NULL},
	{"doorbells", "tx_doorbells", NULL},
	{"ring full", "tx_ring_full", NULL},
	{"stopped", "tx_stopped", NULL},
	{"frames in", "rx_packets", NULL},
	{"interrupts", "interrupts", NULL},
	{"polls", "polls", NULL},
	{"dropped in", "rx_dropped", NULL},
	{"dropped out", "tx_dropped", NULL},
	{NULL, NULL, NULL},
};

/* "chan3_tx_packets": a row for each channel. */
static json_t *rows_of_nic(const json_t *counters)
{
	json_t *rows = json_array(), *row, *value;
	char name[NAME_SIZE];

	for (unsigned i = 0;; i++) {
		snprintf(name, sizeof(name), "chan%u_tx_packets", i);
		if (!json_object_get(counters, name))
			return rows;
		row = json_pack("{s:i}", "queue", (int)i);
		for (const struct column *c = nic_columns + 1; c->title; c++) {
			snprintf(name, sizeof(name), "chan%u_%s", i, c->key);
			value = json_object_get(counters, name);
			if (value)
				json_object_set(row, c->key, value);
		}
		json_array_append_new(rows, row);
	}
}

static void print_nic(FILE *out, const json_t *device)
{
	json_t *rows = rows_of_nic(json_object_get(device, "counters"));

	print_table(out, nic_columns, rows);
	json_decref(rows);
}

/* ---- devices ------------------------------------------------------------- */

static const struct column channel_columns[] = {
	{"channel", "id", NULL},
	{"sub", "sub_channel", NULL},
	{"cpu", "cpu", NULL},
	{"interrupts", "interrupts", NULL},
	{"bytes in", "in_used", NULL},
	{"bytes out", "out_used", NULL},
	{"free out", "out_free", NULL},
	{"full", "out_full", NULL},
	{NULL, NULL, NULL},
};

static void print_device(FILE *out, const json_t *device)
{
	fprintf(out, "\n%s %s: %s%s%s%s\n", text_of(device, "kind", "device"),
		text_of(device, "instance", "?"), text_of(device, "driver", "no driver"),
		json_object_get(device, "interface") || json_object_get(device, "host") ? ", " : "",
		text_of(device, "interface", ""), text_of(device, "host", ""));
	print_table(out, channel_columns, json_object_get(device, "channels"));
	print_table(out, queue_columns, json_object_get(device, "queues"));
	print_nic(out, device);
}

void show(FILE *out, const json_t *all)
{
	const json_t *devices = json_object_get(all, "devices");
	fprintf(out, "bus %s, %zu devices\n", text_of(all, "bus", "?"), json_array_size(devices));
	for (size_t i = 0; i < json_array_size(devices); i++)
		print_device(out, json_array_get(devices, i));
}
