/* SPDX-License-Identifier: MIT */
/* The answer to `enlite ctl NAME disk list` and `nic list` as tables. Thread: the main thread. */
#ifndef CLI_LIST_TABLES_H
#define CLI_LIST_TABLES_H

#include <jansson.h>
#include <stdio.h>

/* list: the reply to the command. */
void nic_table_print(FILE *out, json_t *list);
void disk_tables_print(FILE *out, json_t *list);

#endif
