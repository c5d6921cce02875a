/* SPDX-License-Identifier: MIT */
/* What `enlite ctl NAME stats` says, as tables for people. Thread: any. */
#ifndef MGMT_STATS_TABLE_H
#define MGMT_STATS_TABLE_H

#include <jansson.h>
#include <stdio.h>

/* stats: the reply to the command. What it lacks is left out. */
void stats_table_print(FILE *out, json_t *stats);

#endif
