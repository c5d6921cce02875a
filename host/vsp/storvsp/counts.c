/* SPDX-License-Identifier: MIT */
#include "vsp/storvsp/counts.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* ---- the table ----------------------------------------------------------- */

static size_t counts_size(const struct storvsp_counts *counts)
{
	return sizeof(*counts->rows) * SCSI_LUNS_MAX * counts->channels;
}

/* Most of the 64 LUNs of a channel are never present: pages are allocated when written. */
int counts_init(struct storvsp_counts *counts, uint32_t channels)
{
	void *rows;

	counts->channels = channels;
	rows = mmap(NULL, counts_size(counts), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (rows == MAP_FAILED)
		return -ENOMEM;
	counts->rows = rows;
	return 0;
}

void counts_fini(struct storvsp_counts *counts)
{
	if (counts->rows)
		munmap(counts->rows, counts_size(counts));
}

struct storvsp_count_row *counts_of_channel(struct storvsp_counts *counts, uint32_t channel)
{
	return counts->rows + (size_t)channel * SCSI_LUNS_MAX;
}

/* ---- writing ------------------------------------------------------------- */

static uint64_t get(const struct storvsp_count_row *row, enum storvsp_count kind)
{
	return atomic_load_explicit(&row->count[kind], memory_order_relaxed);
}

static void set(struct storvsp_count_row *row, enum storvsp_count kind, uint64_t value)
{
	atomic_store_explicit(&row->count[kind], value, memory_order_relaxed);
}

/* One writer: no read-modify-write needed. */
static void add(struct storvsp_count_row *row, enum storvsp_count kind, uint64_t amount)
{
	set(row, kind, get(row, kind) + amount);
}

static enum storvsp_count kind_of(enum scsi_action action)
{
	switch (action) {
	case SCSI_ACTION_READ:
		return COUNT_READS;
	case SCSI_ACTION_WRITE:
	case SCSI_ACTION_WRITE_ZEROES:
	case SCSI_ACTION_WRITE_PATTERN:
	case SCSI_ACTION_COMPARE_WRITE:
	case SCSI_ACTION_WRITE_VERIFY:
	case SCSI_ACTION_OR_WRITE:
		return COUNT_WRITES;
	case SCSI_ACTION_FLUSH:
		return COUNT_FLUSHES;
	case SCSI_ACTION_UNMAP:
		return COUNT_UNMAPS;
	case SCSI_ACTION_NONE:
	case SCSI_ACTION_REPLY:
	case SCSI_ACTION_COMPARE:
	case SCSI_ACTION_LBA_STATUS:
	case SCSI_ACTION_RESERVE:
	case SCSI_ACTION_TRAY:
		break;
	}
	return COUNT_OTHERS;
}

static enum storvsp_latency latency_of(enum storvsp_count kind)
{
	switch (kind) {
	case COUNT_READS:
		return STORVSP_LATENCY_READ;
	case COUNT_WRITES:
		return STORVSP_LATENCY_WRITE;
	case COUNT_FLUSHES:
		return STORVSP_LATENCY_FLUSH;
	default:
		return STORVSP_LATENCY_OTHER;
	}
}

void count_begin(struct storvsp_count_row *row)
{
	uint64_t depth = get(row, COUNT_DEPTH) + 1;

	set(row, COUNT_DEPTH, depth);
	if (depth > get(row, COUNT_DEPTH_HIGHEST))
		set(row, COUNT_DEPTH_HIGHEST, depth);
}

void count_end(struct storvsp_count_row *row, const struct scsi_task *task, uint64_t ns)
{
	enum storvsp_count kind = kind_of(task->cmd.action);
	uint64_t bytes = task->cmd.blocks * task->unit->info.block_size;

	add(row, COUNT_COPIED_BYTES, task->copied);
	set(row, COUNT_DEPTH, get(row, COUNT_DEPTH) - 1);
	if (task->error == SCSI_ERR_FULL) /* the guest retries */
		return;
	hist_add(&row->latency[latency_of(kind)], ns);
	if (task->error) {
		add(row, COUNT_ERRORS, 1);
		return;
	}
	add(row, kind, 1);
	if (kind == COUNT_READS)
		add(row, COUNT_READ_BYTES, bytes);
	else if (kind == COUNT_WRITES)
		add(row, COUNT_WRITTEN_BYTES, bytes);
}

static void row_reset(struct storvsp_count_row *row)
{
	for (uint32_t kind = 0; kind < COUNT_KINDS; kind++)
		set(row, kind, 0);
	for (uint32_t i = 0; i < STORVSP_LATENCIES; i++)
		hist_reset(&row->latency[i]);
}

/* What was never written stays without memory. */
void counts_reset(struct storvsp_counts *counts, uint8_t lun)
{
	for (uint32_t channel = 0; channel < counts->channels; channel++) {
		struct storvsp_count_row *row = counts_of_channel(counts, channel) + lun;

		if (get(row, COUNT_DEPTH_HIGHEST))
			row_reset(row);
	}
}

/* ---- reading ------------------------------------------------------------- */

void counts_collect(struct storvsp_counters *sum, const struct storvsp_count_row *row)
{
	uint64_t highest = get(row, COUNT_DEPTH_HIGHEST);

	if (!highest) /* no command ever began: do not touch its pages */
		return;
	sum->reads += get(row, COUNT_READS);
	sum->read_bytes += get(row, COUNT_READ_BYTES);
	sum->writes += get(row, COUNT_WRITES);
	sum->written_bytes += get(row, COUNT_WRITTEN_BYTES);
	sum->flushes += get(row, COUNT_FLUSHES);
	sum->unmaps += get(row, COUNT_UNMAPS);
	sum->others += get(row, COUNT_OTHERS);
	sum->errors += get(row, COUNT_ERRORS);
	sum->copied_bytes += get(row, COUNT_COPIED_BYTES);
	sum->depth += get(row, COUNT_DEPTH);
	if (highest > sum->depth_highest)
		sum->depth_highest = highest;
	for (uint32_t i = 0; i < STORVSP_LATENCIES; i++)
		hist_collect(&sum->latency[i], &row->latency[i]);
}
