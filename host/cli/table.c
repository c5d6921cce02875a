/* SPDX-License-Identifier: MIT */
#include "cli/table.h"

#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>
#include <string.h>

/* ---- cells --------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static char *text(const char *format, ...)
{
	char *cell = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&cell, format, args) < 0)
		cell = NULL;
	va_end(args);
	return cell;
}

char *cell_text(const json_t *value)
{
	const char *string = json_string_value(value);

	return strdup(string ? string : "");
}

char *cell_count(const json_t *value)
{
	return text("%" JSON_INTEGER_FORMAT, json_integer_value(value));
}

/* Three digits and the largest unit of `units` that leaves one before the point. */
static char *scaled(double value, double step, const char *const *units)
{
	while (value >= step && units[1]) {
		value /= step;
		units++;
	}
	return text("%.*f%s", value < 9.995 ? 2 : value < 99.95, value, *units);
}

char *cell_bytes(const json_t *value)
{
	static const char *const units[] = {"K", "M", "G", "T", "P", NULL};
	json_int_t bytes = json_integer_value(value);

	return bytes < 1024 ? cell_count(value) : scaled((double)bytes / 1024, 1024, units);
}

char *cell_time_ns(const json_t *value)
{
	static const char *const units[] = {"us", "ms", "s", NULL};

	return scaled((double)json_integer_value(value) / 1000, 1000, units);
}

char *cell_flag(const json_t *value)
{
	return strdup(json_is_true(value) ? "yes" : "no");
}

/* ---- tables -------------------------------------------------------------- */

static struct libscols_table *table_new(FILE *out)
{
	struct libscols_table *table = scols_new_table();

	if (!table)
		return NULL;
	scols_table_set_stream(table, out);
	scols_table_set_column_separator(table, "  ");
	scols_table_enable_ascii(table, 1);
	return table;
}

static bool is_text(const struct table_column *column)
{
	return !column->title[0] || column->format == cell_text || column->format == cell_flag;
}

static int add_columns(struct libscols_table *table, const struct table_column *columns)
{
	for (const struct table_column *c = columns; c->title; c++)
		if (!scols_table_new_column(table, c->title, 0, is_text(c) ? 0 : SCOLS_FL_RIGHT))
			return -1;
	return 0;
}

static int add_row(
	struct libscols_table *table, const struct table_column *columns, const json_t *row)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);

	if (!line)
		return -1;
	for (size_t i = 0; columns[i].title; i++) {
		const json_t *value = json_object_get(row, columns[i].key);
		char *cell = value ? columns[i].format(value) : strdup("-");

		if (!cell || scols_line_refer_data(line, i, cell))
			return -1;
	}
	return 0;
}

static int fill(
	struct libscols_table *table, const struct table_column *columns, const json_t *rows)
{
	int ret = add_columns(table, columns);

	for (size_t i = 0; !ret && i < json_array_size(rows); i++)
		ret = add_row(table, columns, json_array_get(rows, i));
	return ret;
}

/* What a table lacks for want of memory is not printed. */
void table_print(struct table_page *page, const struct table_column *columns, const json_t *rows)
{
	struct libscols_table *table;

	if (!json_array_size(rows))
		return;
	table = table_new(page->out);
	if (!table)
		return;
	if (page->begun)
		putc('\n', page->out);
	page->begun = true;
	if (!fill(table, columns, rows))
		scols_print_table(table);
	scols_unref_table(table);
}

void table_print_row(struct table_page *page, const struct table_column *columns, json_t *row)
{
	json_t *rows = json_array();

	if (row && !json_array_append(rows, row))
		table_print(page, columns, rows);
	json_decref(rows);
}

/* ---- trees --------------------------------------------------------------- */

static void add_children(
	struct libscols_table *table, struct libscols_line *parent, const json_t *value);

/* The value of a leaf, "" for a node. Texts are printed without their quotes. */
static char *leaf_text(const json_t *value)
{
	if (json_is_string(value))
		return cell_text(value);
	if (json_is_object(value) || json_is_array(value))
		return strdup("");
	return json_dumps(value, JSON_ENCODE_ANY);
}

static void add_node(struct libscols_table *table, struct libscols_line *parent, const char *name,
	const json_t *value)
{
	struct libscols_line *line = scols_table_new_line(table, parent);

	if (!line)
		return;
	scols_line_set_data(line, 0, name);
	scols_line_refer_data(line, 1, leaf_text(value));
	add_children(table, line, value);
}

static void add_children(
	struct libscols_table *table, struct libscols_line *parent, const json_t *value)
{
	json_t *object = (json_t *)value; /* iterating changes nothing */
	char index[24];

	for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at))
		add_node(table, parent, json_object_iter_key(at), json_object_iter_value(at));
	for (size_t i = 0; i < json_array_size(value); i++) {
		snprintf(index, sizeof(index), "%zu", i);
		add_node(table, parent, index, json_array_get(value, i));
	}
}

static void print_leaf(FILE *out, const json_t *value)
{
	char *leaf = leaf_text(value);

	if (leaf)
		fprintf(out, "%s\n", leaf);
	free(leaf);
}

static void print_tree(struct libscols_table *table, const json_t *value)
{
	scols_table_enable_noheadings(table, 1);
	if (!scols_table_new_column(table, "name", 0, SCOLS_FL_TREE) ||
		!scols_table_new_column(table, "value", 0, 0))
		return;
	add_children(table, NULL, value);
	scols_print_table(table);
}

void tree_print(FILE *out, const json_t *value)
{
	struct libscols_table *table;

	if (!json_is_object(value) && !json_is_array(value)) {
		print_leaf(out, value);
		return;
	}
	table = table_new(out);
	if (!table)
		return;
	print_tree(table, value);
	scols_unref_table(table);
}
