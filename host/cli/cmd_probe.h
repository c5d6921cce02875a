/* SPDX-License-Identifier: MIT */
/*
 * `enlite probe`: prints the result of hyper/kvm/probe.h, as tables or as JSON,
 * and what to do about it. Thread: the main thread.
 */
#ifndef CLI_CMD_PROBE_H
#define CLI_CMD_PROBE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "hyper/kvm/probe.h"

/* Exit statuses of `enlite probe`. */
enum probe_status {
	PROBE_STATUS_DISTRO = 0, /* a stock kernel can run here */
	PROBE_STATUS_FLAT = 1,   /* only flat guests can */
	PROBE_STATUS_UNUSABLE = 2,
};

/* The parts of cmd_probe(): no KVM, no side effects. */
enum probe_status probe_status(const struct probe_result *r);
const char *probe_advice(const struct probe_result *r);
void probe_print(const struct probe_result *r, FILE *to);
/* NULL when out of memory. */
json_t *probe_json(const struct probe_result *r);

#endif
