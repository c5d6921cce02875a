/* SPDX-License-Identifier: MIT */
/* Events that concern a whole unit: resets, the loss of the initiator, a new size. */
#include "scsi/scsi_impl.h"

/* Reservation, size and tray position are kept. Why writes stay as durable as they were: mode.c. */
void scsi_unit_reset(struct scsi_unit *unit)
{
	uint32_t off = SCSI_CACHE_OFF;

	atomic_compare_exchange_strong(&unit->cache, &off, SCSI_CACHE_UNUSED);
	atomic_store_explicit(&unit->write_protect, false, memory_order_relaxed);
	scsi_tray_unlock(unit);
	scsi_unit_attention(unit, SCSI_ATTENTION_RESET);
}

/* Mode pages belong to the unit, not to the initiator: after hibernation Linux opens its channel
 * again without reading them. */
void scsi_unit_nexus_lost(struct scsi_unit *unit)
{
	scsi_tray_unlock(unit);
}

void scsi_unit_resize(struct scsi_unit *unit, uint64_t size)
{
	if (atomic_exchange_explicit(&unit->size, size, memory_order_acq_rel) != size)
		scsi_unit_attention(unit, SCSI_ATTENTION_CAPACITY);
}
