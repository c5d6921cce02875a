/* SPDX-License-Identifier: MIT */
#include "vm/stats.h"

#include <stddef.h>

/* clang-format off */
static const struct stats_key dynamic_keys[] = {
	{"min", NULL}, {"max", NULL}, {"driver", NULL}, {"mode", NULL}, {"target", NULL},
	{"granted", NULL}, {"taken", NULL}, {"added", NULL}, {"available", NULL},
	{"committed", NULL},
	{NULL, NULL},
};

static const struct stats_key memory_keys[] = {
	{"guest_ram", NULL}, {"guest_ram_kind", NULL}, {"guest_ram_resident", NULL},
	{"guest_ram_huge", NULL}, {"worker_anonymous", NULL}, {"worker_file", NULL},
	{"dynamic", dynamic_keys},
	{NULL, NULL},
};

static const struct stats_key budget_user_keys[] = {
	{"user", NULL}, {"share", NULL}, {"used", NULL}, {"refusals", NULL},
	{NULL, NULL},
};

static const struct stats_key budget_keys[] = {
	{"limit", NULL}, {"used", NULL}, {"peak", NULL}, {"users", budget_user_keys},
	{NULL, NULL},
};

static const struct stats_key io_thread_keys[] = {
	{"turns", NULL}, {"polling", NULL}, {"poll_window_ns", NULL},
	{NULL, NULL},
};

static const struct stats_key exit_keys[] = {
	{"io", NULL}, {"mmio", NULL}, {"msr", NULL}, {"hypercall", NULL}, {"signal", NULL},
	{"interrupted", NULL}, {"bus_lock", NULL}, {"other", NULL}, {"total", NULL},
	{NULL, NULL},
};

static const struct stats_key bus_keys[] = {
	{"version", NULL}, {"messages", NULL}, {"bad_messages", NULL}, {"offers", NULL},
	{"opens", NULL}, {"closes", NULL}, {"gpadls_created", NULL}, {"gpadls_failed", NULL},
	{"resets", NULL}, {"dropped", NULL},
	{NULL, NULL},
};

#define IO_KEYS                                                                \
	{"reads", NULL}, {"read_bytes", NULL}, {"writes", NULL},               \
	{"written_bytes", NULL}, {"flushes", NULL}, {"unmaps", NULL},          \
	{"others", NULL}, {"errors", NULL}, {"copied_bytes", NULL},            \
	{"depth", NULL}, {"depth_highest", NULL}, {"latency", NULL}

static const struct stats_key lun_keys[] = {
	{"lun", NULL}, IO_KEYS,
	{NULL, NULL},
};

#define FRAME_KEYS                                                             \
	{"tx_frames", NULL}, {"tx_bytes", NULL}, {"tx_dropped", NULL},         \
	{"rx_frames", NULL}, {"rx_bytes", NULL}, {"rx_dropped", NULL}

static const struct stats_key layer_keys[] = {
	{"kind", NULL}, FRAME_KEYS, {"tx_gso_frames", NULL}, {"rx_gso_frames", NULL},
	{"tx_segmented", NULL}, {"rx_segmented", NULL},
	{NULL, NULL},
};

static const struct stats_key channel_keys[] = {
	{"index", NULL}, {"relid", NULL}, {"target_vp", NULL}, {"requests_in_use", NULL},
	{"packets", NULL}, {"batches", NULL}, {"sent", NULL}, {"sent_batches", NULL},
	{"doorbells", NULL}, {"polls", NULL}, {"interrupts", NULL},
	{"interrupts_masked", NULL}, {"interrupts_unneeded", NULL}, {"tx_full", NULL},
	{"stalls", NULL}, {"rx_used", NULL}, {"rx_highest", NULL}, {"rx_size", NULL},
	{"tx_used", NULL}, {"tx_highest", NULL}, {"tx_size", NULL}, IO_KEYS,
	FRAME_KEYS, {"tx_invalid", NULL}, {"tx_spoofed", NULL}, {"rx_filtered", NULL},
	{"rx_packets", NULL}, {"rx_starved", NULL}, {"sections_with_guest", NULL},
	{NULL, NULL},
};

static const struct stats_key device_keys[] = {
	{"id", NULL}, {"class", NULL}, {"instance", NULL}, {"channel_faults", NULL},
	{"channels", channel_keys}, {"controller", NULL}, {"luns", lun_keys},
	{"state", NULL}, {"version", NULL}, {"mac", NULL}, {"mtu", NULL}, {"link", NULL},
	{"backend", NULL}, {"layers", layer_keys},
	{NULL, NULL},
};

const struct stats_key stats_keys[] = {
	{"state", NULL}, {"boots", NULL}, {"cpus", NULL}, {"memory", memory_keys},
	{"budget", budget_keys},
	{"io_threads", io_thread_keys}, {"exits", exit_keys}, {"bus", bus_keys},
	{"devices", device_keys},
	{NULL, NULL},
};
/* clang-format on */

static json_t *array_view(json_t *array, const struct stats_key *keys)
{
	json_t *view = json_array();

	for (size_t i = 0; i < json_array_size(array); i++)
		if (json_array_append_new(view, stats_view(json_array_get(array, i), keys)))
			break;
	if (json_array_size(view) == json_array_size(array))
		return view;
	json_decref(view);
	return NULL;
}

static json_t *value_view(json_t *value, const struct stats_key *keys)
{
	if (!keys)
		return json_incref(value);
	return json_is_array(value) ? array_view(value, keys) : stats_view(value, keys);
}

json_t *stats_view(json_t *inspection, const struct stats_key *keys)
{
	json_t *view = json_object();

	for (const struct stats_key *k = keys; k->key; k++) {
		json_t *value = json_object_get(inspection, k->key);

		if (!value || !json_object_set_new(view, k->key, value_view(value, k->keys)))
			continue;
		json_decref(view);
		return NULL;
	}
	return view;
}
