/* SPDX-License-Identifier: MIT */
/*
 * `enlite probe`: shows what hyper/probe.h found out, as a table for people or
 * as JSON for programs, and says what to do. Thread: control.
 */
#ifndef PROBE_PROBE_H
#define PROBE_PROBE_H

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

/* Probes, prints on stdout, returns the exit status. */
int probe_main(bool json);

/* The parts of it: no KVM, no side effects. */
enum probe_status probe_status(const struct probe_result *r);
const char *probe_advice(const struct probe_result *r);
void probe_print(const struct probe_result *r, FILE *to);
/* NULL when out of memory. */
json_t *probe_json(const struct probe_result *r);

#endif
