/* SPDX-License-Identifier: MIT */
#include "cli/list_tables.h"

#include "cli/table.h"

/* clang-format off */
static const struct table_column disk_columns[] = {
	{"ID", "id", cell_text},
	{"state", "state", cell_text},
	{"size", "size", cell_bytes},
	{"read-only", "read_only", cell_flag},
	{"DVD", "cdrom", cell_flag},
	{"serial", "serial", cell_text},
	{"source", "source", cell_text},
	{NULL, NULL, NULL},
};

static const struct table_column controller_columns[] = {
	{"controller", "controller", cell_count},
	{"state", "state", cell_text},
	{NULL, NULL, NULL},
};

static const struct table_column nic_columns[] = {
	{"ID", "id", cell_text},
	{"state", "state", cell_text},
	{"link", "link", cell_text},
	{"back end up", "backend_link", cell_flag},
	{"MAC", "mac", cell_text},
	{"back end", "backend", cell_text},
	{NULL, NULL, NULL},
};
/* clang-format on */

void nic_table_print(FILE *out, json_t *list)
{
	struct table_page page = {.out = out};

	table_print(&page, nic_columns, json_object_get(list, "nics"));
}

void disk_tables_print(FILE *out, json_t *list)
{
	struct table_page page = {.out = out};

	table_print(&page, disk_columns, json_object_get(list, "disks"));
	table_print(&page, controller_columns, json_object_get(list, "controllers"));
}
