/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "base/inspect.h"
#include "vsp/storvsp/storvsp_impl.h"

/* ---- counters ------------------------------------------------------------ */

/* clang-format off */
static const struct inspect_field counter_fields[] = {
	INSPECT_FIELD(storvsp_counters, reads),
	INSPECT_FIELD(storvsp_counters, read_bytes),
	INSPECT_FIELD(storvsp_counters, writes),
	INSPECT_FIELD(storvsp_counters, written_bytes),
	INSPECT_FIELD(storvsp_counters, flushes),
	INSPECT_FIELD(storvsp_counters, unmaps),
	INSPECT_FIELD(storvsp_counters, others),
	INSPECT_FIELD(storvsp_counters, errors),
	INSPECT_FIELD(storvsp_counters, copied_bytes),
	INSPECT_FIELD(storvsp_counters, depth),
	INSPECT_FIELD(storvsp_counters, depth_highest),
	{NULL, 0},
};

static const char *const latency_names[STORVSP_LATENCIES] = {
	[STORVSP_LATENCY_READ] = "read",
	[STORVSP_LATENCY_WRITE] = "write",
	[STORVSP_LATENCY_FLUSH] = "flush",
	[STORVSP_LATENCY_OTHER] = "other",
};

static const struct {
	const char *key;
	uint32_t of_100000;
} percentiles[] = {
	{"p50_ns", 50000},
	{"p90_ns", 90000},
	{"p99_ns", 99000},
	{"p99_9_ns", 99900},
	{"p99_99_ns", 99990},
};
/* clang-format on */

static void buckets_inspect(const struct hist_sum *sum, struct inspect *i)
{
	for (uint32_t b = 0; b < HIST_BUCKETS; b++) {
		if (!sum->bucket[b])
			continue;
		inspect_begin_array(i, NULL);
		inspect_u64(i, NULL, hist_start(b));
		inspect_u64(i, NULL, sum->bucket[b]);
		inspect_end(i);
	}
}

static void latency_inspect(const struct hist_sum *sum, struct inspect *i)
{
	inspect_u64(i, "count", sum->count);
	inspect_u64(i, "mean_ns", sum->count ? sum->sum_ns / sum->count : 0);
	for (uint32_t p = 0; p < sizeof(percentiles) / sizeof(percentiles[0]); p++)
		inspect_u64(i, percentiles[p].key, hist_percentile(sum, percentiles[p].of_100000));
	inspect_u64(i, "highest_ns", sum->highest_ns);
	inspect_begin_array(i, "buckets");
	buckets_inspect(sum, i);
	inspect_end(i);
}

static void counters_inspect(const struct storvsp_counters *c, struct inspect *i)
{
	inspect_fields(i, c, counter_fields);
	inspect_begin(i, "latency");
	for (uint32_t l = 0; l < STORVSP_LATENCIES; l++) {
		inspect_begin(i, latency_names[l]);
		latency_inspect(&c->latency[l], i);
		inspect_end(i);
	}
	inspect_end(i);
}

/* ---- LUNs and channels --------------------------------------------------- */

static const char *const state_names[] = {
	[LUN_ADDING] = "adding",
	[LUN_PRESENT] = "present",
	[LUN_REMOVING] = "removing",
};

static void unit_id_inspect(const struct scsi_unit *unit, struct inspect *i)
{
	char text[2 * sizeof(unit->id) + 1];

	for (size_t b = 0; b < sizeof(unit->id); b++)
		snprintf(text + 2 * b, 3, "%02x", (uint8_t)unit->id[b]);
	inspect_text(i, "unit_id", text);
}

static void lun_inspect(const struct storvsp_lun *lun, struct inspect *i)
{
	struct storvsp_counters c;

	inspect_u64(i, "lun", lun->scsi.lun);
	inspect_text(i, "state", state_names[lun->state]);
	inspect_bool(i, "cdrom", lun->scsi.cdrom);
	inspect_textf(i, "serial", "%.*s", (int)sizeof(lun->scsi.serial), lun->scsi.serial);
	unit_id_inspect(&lun->scsi, i);
	if (!storvsp_counters(lun->dev, lun->scsi.lun, &c))
		counters_inspect(&c, i);
	inspect_begin(i, "disk");
	disk_inspect(lun->disk, i);
	inspect_end(i);
}

void storvsp_inspect(struct vsp_device *dev, struct inspect *i)
{
	const struct storvsp *s = vsp_device_priv(dev);

	inspect_u64(i, "sub_channels_max", s->sub_channels_max);
	inspect_begin_array(i, "luns");
	for (uint32_t n = 0; n < SCSI_LUNS_MAX; n++) {
		if (!s->luns[n])
			continue;
		inspect_begin(i, NULL);
		lun_inspect(s->luns[n], i);
		inspect_end(i);
	}
	inspect_end(i);
}

void storvsp_channel_inspect(struct vsp_channel *ch, struct inspect *i)
{
	struct storvsp_counters c;

	if (!storvsp_channel_counters(vsp_channel_device(ch), vsp_channel_index(ch), &c))
		counters_inspect(&c, i);
}
