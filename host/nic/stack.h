/* SPDX-License-Identifier: MIT */
/*
 * A NIC as users write it: BACKEND[:ARGUMENT][,KEY=VALUE|,FILTER=VALUE]...
 *
 *   tap:net0,pcap=/tmp/net0.pcapng        user,forward=tcp:8080-:80,delay=5ms
 *
 * A filter wraps what stands before it: a frame to transmit meets the last one
 * first. Texts are split at commas by the caller, and outlive the spec.
 */
#ifndef HOST_NIC_STACK_H
#define HOST_NIC_STACK_H

#include "nic/type.h"

#define NIC_STACK_FILTERS_MAX  8u
#define NIC_STACK_SETTINGS_MAX 32u

struct nic_stack {
	const struct nic_type *type;
	const char *argument;
	struct nic_setting settings[NIC_STACK_SETTINGS_MAX];
	uint32_t setting_count;
	struct {
		const struct nic_type *type;
		const char *argument;
	} filters[NIC_STACK_FILTERS_MAX];
	uint32_t filter_count;
};

/* The first part: fills *s. 0 or -EINVAL. */
int nic_stack_backend(struct nic_stack *s, const char *text, struct err *e);

/* A further part. 0; 1: neither a key of the back end nor a filter;
 * -EINVAL. */
int nic_stack_option(struct nic_stack *s, const char *text, struct err *e);

/* Any thread. Mistakes of the back end: see nic_type. NULL, or the key that is wrong. */
const char *nic_stack_check(const struct nic_stack *s, struct err *e);
const char *nic_stack_check_host(const struct nic_stack *s, struct err *e);
const char *nic_stack_check_two(
	const struct nic_stack *s, const struct nic_stack *other, struct err *e);

/* Control. Opens all of it. */
int nic_stack_open(
	struct nic **nic, const struct nic_stack *s, const struct nic_env *env, struct err *e);

#endif
