/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * enlite-guest: what a guest's VMBus does, as one JSON value.
 *
 *   {"bus": "vmbus_vsc", "devices": [{
 *       "instance": GUID, "class": GUID, "kind": "SCSI controller", "driver": "storvsc",
 *       "channels": [{"id": 14, "sub_channel": 0, "cpu": 0, "interrupts": 7, "in_used": 0, ...}],
 *       "queues":   [{"queue": 0, "cpu": 0, "sent": 9, ..., "latency_us": [[64, 9]]}],
 *       "counters": {"tx_packets": 3, ...}, "interface": "eth0", "host": "host0"}]}
 *
 * What a bus or driver does not show is left out. Numbers are those of the files.
 */
#ifndef GUEST_TOOL_H
#define GUEST_TOOL_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

#define TOOL_PATH_MAX 4096u

/* collect.c: from the tree at `root`, "" for that of this machine. NULL with a line on standard
 * error: there is no VMBus. The caller's. */
json_t *collect(const char *root);

/* The first line of a file, without its end; "": there is none. */
void read_line(const char *path, char *text, size_t size);

/* nic.c: statistics by name; NULL: none. The caller's. */
json_t *nic_counters(const char *root, const char *interface);

/* show.c */
void show(FILE *out, const json_t *all);

#endif
