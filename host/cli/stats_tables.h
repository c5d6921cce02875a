/* SPDX-License-Identifier: MIT */
/* The answer to `enlite ctl NAME stats` as tables. Thread: the main thread. */
#ifndef CLI_STATS_TABLES_H
#define CLI_STATS_TABLES_H

#include <jansson.h>
#include <stdio.h>

/* stats: the reply to the command. Keys that it lacks are left out. */
void stats_tables_print(FILE *out, json_t *stats);

#endif
