/* SPDX-License-Identifier: MIT */
/*
 * The counters of a controller: a row for each LUN on each channel. A row is written by its
 * channel's I/O thread only and read by any thread; counting allocates nothing, takes no lock and
 * shares no cache line.
 */
#ifndef STORVSP_COUNTS_H
#define STORVSP_COUNTS_H

#include "base/hist.h"
#include "scsi/scsi.h"
#include "vsp/storvsp/storvsp.h"

enum storvsp_count {
	COUNT_READS,
	COUNT_READ_BYTES,
	COUNT_WRITES,
	COUNT_WRITTEN_BYTES,
	COUNT_FLUSHES,
	COUNT_UNMAPS,
	COUNT_OTHERS,
	COUNT_ERRORS,
	COUNT_COPIED_BYTES,
	COUNT_DEPTH,
	COUNT_DEPTH_HIGHEST,
	COUNT_KINDS,
};

struct storvsp_count_row {
	_Atomic uint64_t count[COUNT_KINDS];
	struct hist latency[STORVSP_LATENCIES];
} __attribute__((aligned(64)));

struct storvsp_counts {
	struct storvsp_count_row *rows; /* [channel][LUN] */
	uint32_t channels;
};

/* 0 or -ENOMEM. Rows that are never written take no memory. */
int counts_init(struct storvsp_counts *counts, uint32_t channels);
/* Also of zeroed memory. */
void counts_fini(struct storvsp_counts *counts);

/* The rows of a channel: one per LUN. */
struct storvsp_count_row *counts_of_channel(struct storvsp_counts *counts, uint32_t channel);

/* ON_LOOP of the row's channel: a command begins, and is done after so long. */
void count_begin(struct storvsp_count_row *row);
void count_end(struct storvsp_count_row *row, const struct scsi_task *task, uint64_t ns);

/* No channel counts for this LUN now: its next disk begins at zero. */
void counts_reset(struct storvsp_counts *counts, uint8_t lun);

/* Any thread. Adds the row to the sum. */
void counts_collect(struct storvsp_counters *sum, const struct storvsp_count_row *row);

#endif
