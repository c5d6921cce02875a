/* SPDX-License-Identifier: MIT */
/*
 * Readable tables, from JSON by libsmartcols. A table is an array of objects,
 * one a row, and the columns to show of them. Thread: the main thread.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct table_column {
	const char *title; /* NULL: the end */
	const char *key;   /* of the row; what a row lacks is "-" */
	/* The cell's text, malloc'ed; NULL: out of memory. */
	char *(*format)(const json_t *value);
};

/* Formats. Values of another type do no harm. */
char *cell_text(const json_t *value);
char *cell_count(const json_t *value);
char *cell_bytes(const json_t *value);   /* three digits and K, M, G, T, P */
char *cell_time_ns(const json_t *value); /* three digits and us, ms, s */
char *cell_flag(const json_t *value);    /* yes, no */

/* A page: an empty line comes before each table but the first. */
struct table_page {
	FILE *out;
	bool begun;
};

/* Nothing when there are no rows. Numbers are aligned right, texts left. */
void table_print(struct table_page *page, const struct table_column *columns, const json_t *rows);
/* A table of one row. */
void table_print_row(struct table_page *page, const struct table_column *columns, json_t *row);

/* Any JSON value as a tree of names and values. */
void tree_print(FILE *out, const json_t *value);

#endif
