/* SPDX-License-Identifier: MIT */
#include "cli/guest_tables.h"

/* clang-format off */
static const struct table_column status_columns[] = {
	{"state", "state", cell_text},
	{"boots", "boots", cell_count},
	{"heartbeat", "heartbeat", cell_text},
	{NULL, NULL, NULL},
};

static const struct table_column dynamic_columns[] = {
	{"dynamic memory", "driver", cell_text},
	{"mode", "mode", cell_text},
	{"target", "target", cell_bytes},
	{"granted", "granted", cell_bytes},
	{"taken", "taken", cell_bytes},
	{"added", "added", cell_bytes},
	{NULL, NULL, NULL},
};

static const struct table_column service_columns[] = {
	{"service", "service", cell_text},
	{"state", "state", cell_text},
	{"detail", "detail", cell_text},
	{NULL, NULL, NULL},
};

static const struct table_column pair_columns[] = {
	{"pool", "pool", cell_text},
	{"key", "key", cell_text},
	{"value", "value", cell_text},
	{NULL, NULL, NULL},
};
/* clang-format on */

void dynamic_memory_print(struct table_page *page, json_t *memory)
{
	if (json_is_object(memory))
		table_print_row(page, dynamic_columns, memory);
}

void memory_print(FILE *out, json_t *reply)
{
	struct table_page page = {.out = out};

	dynamic_memory_print(&page, json_object_get(reply, "memory"));
}

void status_print(FILE *out, json_t *reply)
{
	struct table_page page = {.out = out};

	table_print_row(&page, status_columns, reply);
	dynamic_memory_print(&page, json_object_get(reply, "memory"));
	table_print(&page, service_columns, json_object_get(reply, "services"));
}

void kvp_pairs_print(FILE *out, json_t *reply)
{
	struct table_page page = {.out = out};

	table_print(&page, pair_columns, json_object_get(reply, "pairs"));
}

/* C0, DEL, and C1, which is C2 80 to C2 9F in UTF-8. */
static int control_bytes(const unsigned char *at)
{
	if (*at < 0x20 || *at == 0x7F)
		return 1;
	return at[0] == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0 ? 2 : 0;
}

void kvp_value_print(FILE *out, json_t *reply)
{
	const char *value = json_string_value(json_object_get(reply, "value"));
	const unsigned char *at = (const unsigned char *)(value ? value : "");

	while (*at) {
		int skip = control_bytes(at);

		fputc(skip ? '?' : *at, out);
		at += skip ? skip : 1;
	}
	fputc('\n', out);
}
