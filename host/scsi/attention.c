/* SPDX-License-Identifier: MIT */
/*
 * Unit attentions: news of the unit, each reported once. And what makes them: resets, new sizes.
 *
 * The writer changes the unit first and then sets the bit (release); who takes
 * the bit (acquire) sees the change. Two commands on two I/O threads never both
 * report one bit, and none is lost: it is set again while it is being taken, or
 * it is taken.
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

	/* Nearly always there is none: do not write to a line all I/O threads read. */
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

/* The reservation and the size stay, and so does the tray's position. Why the writes stay as
 * durable as they are: scsi_mode.c. */
void scsi_unit_reset(struct scsi_unit *unit)
{
	uint32_t off = SCSI_CACHE_OFF;

	atomic_compare_exchange_strong(&unit->cache, &off, SCSI_CACHE_UNUSED);
	scsi_tray_unlock(unit);
	scsi_unit_attention(unit, SCSI_ATTENTION_RESET);
}

/* Mode pages belong to the unit and not to the initiator: a Linux that wakes from hibernation opens
 * its channel again and does not look at them. */
void scsi_unit_nexus_lost(struct scsi_unit *unit)
{
	scsi_tray_unlock(unit);
}

void scsi_unit_resize(struct scsi_unit *unit, uint64_t size)
{
	if (atomic_exchange_explicit(&unit->size, size, memory_order_acq_rel) != size)
		scsi_unit_attention(unit, SCSI_ATTENTION_CAPACITY);
}
