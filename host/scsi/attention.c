/* SPDX-License-Identifier: MIT */
/*
 * Pending unit attentions: each is reported once.
 *
 * The writer changes the unit first and then sets the bit (release); the command
 * that takes the bit (acquire) sees the change. Two commands on two I/O threads
 * never report the same bit, and a bit set while another is taken is not lost.
 */
#include <assert.h>

#include "scsi/scsi_impl.h"

void scsi_unit_attention(struct scsi_unit *unit, enum scsi_attention attention)
{
	assert(attention < SCSI_ATTENTION_COUNT);
	atomic_fetch_or_explicit(&unit->attentions, 1u << attention, memory_order_release);
}

void scsi_attention_forget(struct scsi_unit *unit, enum scsi_attention attention)
{
	uint32_t bit = 1u << attention;

	/* Usually none is pending: do not write to a line that all I/O threads read. */
	if (atomic_load_explicit(&unit->attentions, memory_order_relaxed) & bit)
		atomic_fetch_and_explicit(&unit->attentions, ~bit, memory_order_acquire);
}

enum scsi_error scsi_attention_take(struct scsi_unit *unit)
{
	uint32_t pending = atomic_load_explicit(&unit->attentions, memory_order_relaxed);

	while (pending) {
		/* Success means that the lowest bit was there and is gone. */
		if (atomic_compare_exchange_weak_explicit(&unit->attentions, &pending,
			    pending & (pending - 1), memory_order_acquire, memory_order_relaxed))
			return SCSI_ERR_ATTENTION + (enum scsi_error)__builtin_ctz(pending);
	}
	return SCSI_OK;
}
