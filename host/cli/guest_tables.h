/* SPDX-License-Identifier: MIT */
/* Answers of `status`, `memory` and `kvp ...` for people. Thread: the main thread. */
#ifndef CLI_GUEST_TABLES_H
#define CLI_GUEST_TABLES_H

#include <jansson.h>
#include <stdio.h>

#include "cli/table.h"

/* The row of dynamic memory, which other answers have, too; nothing unless it is an object. */
void dynamic_memory_print(struct table_page *page, json_t *memory);
void status_print(FILE *out, json_t *reply);
void memory_print(FILE *out, json_t *reply);
void kvp_pairs_print(FILE *out, json_t *reply);
/* The value alone; control characters, which a guest may have put there, as '?'. */
void kvp_value_print(FILE *out, json_t *reply);

#endif
