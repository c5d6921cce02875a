/* SPDX-License-Identifier: MIT */
/*
 * Saving a controller: where each channel is in its initialization, and of each LUN what the guest
 * has set or has yet to report. A pause has completed all commands and resets; answers that wait
 * for room in a ring are kept by the core.
 */
#include "vsp/storvsp/storvsp_impl.h"

/* ---- reservations -------------------------------------------------------- */

static void reservation_archive(struct scsi_reservation *r, struct archive *a)
{
	struct scsi_reserve_state state;
	uint32_t generation;

	pthread_mutex_lock(&r->lock);
	state = r->state;
	generation = r->generation;
	pthread_mutex_unlock(&r->lock);
	archive_u64(a, "reservation_key", &state.key);
	archive_u8(a, "reservation_type", &state.type);
	archive_bool(a, "reservation_keep", &state.keep);
	archive_u32(a, "reservation_generation", &generation);
	if (state.type && !scsi_reserve_type_valid(state.type))
		archive_fail(a, "reservation of type %u", state.type);
	if (!a->reading || a->error)
		return;
	pthread_mutex_lock(&r->lock);
	r->state = state;
	r->generation = generation;
	pthread_mutex_unlock(&r->lock);
}

/* ---- LUNs ---------------------------------------------------------------- */

/* A disk that has another size now: it is reported as if it had grown while it ran. */
static void size_archive(struct scsi_unit *unit, struct archive *a)
{
	uint64_t now = atomic_load(&unit->size), size = now;

	archive_u64(a, "size", &size);
	if (!a->reading)
		return;
	atomic_store(&unit->size, size);
	scsi_unit_resize(unit, now);
}

static void unit_archive(struct scsi_unit *unit, struct archive *a)
{
	uint32_t attentions = atomic_load(&unit->attentions), tray = atomic_load(&unit->tray);
	uint32_t cache = atomic_load(&unit->cache);
	bool write_protect = atomic_load(&unit->write_protect);

	archive_u32(a, "attentions", &attentions);
	archive_u32(a, "tray", &tray);
	archive_u32(a, "cache", &cache);
	archive_bool(a, "write_protect", &write_protect);
	if (attentions >> SCSI_ATTENTION_COUNT || cache > SCSI_CACHE_UNUSED ||
		(!unit->cdrom && tray) || !scsi_tray_valid(tray))
		archive_fail(a, "a state that no unit has");
	if (a->reading && !a->error) {
		atomic_store(&unit->attentions, attentions);
		atomic_store(&unit->tray, tray);
		atomic_store(&unit->cache, cache);
		atomic_store(&unit->write_protect, write_protect);
	}
	size_archive(unit, a);
	if (unit->reservation)
		reservation_archive(unit->reservation, a);
}

/* The LUNs were checked by the VM, which knows their disks. */
static void lun_archive(struct storvsp *s, uint8_t number, struct archive *a)
{
	struct storvsp_lun *lun = NULL;

	archive_begin(a, NULL, 1);
	archive_u8(a, "lun", &number);
	if (number < SCSI_LUNS_MAX)
		lun = s->luns[number];
	if (lun && lun->state == LUN_PRESENT)
		unit_archive(&lun->scsi, a);
	else
		archive_fail(a, "LUN %u is not present", number);
	archive_end(a);
}

void storvsp_archive(struct vsp_device *dev, struct archive *a)
{
	struct storvsp *s = vsp_device_priv(dev);
	uint8_t numbers[SCSI_LUNS_MAX] = {0};
	uint32_t count = 0;

	ON_CONTROL(dev);
	for (uint8_t lun = 0; lun < SCSI_LUNS_MAX; lun++)
		if (s->luns[lun])
			numbers[count++] = lun;
	archive_u64(a, "ever_present", &s->ever_present);
	count = archive_list(a, "luns", count, SCSI_LUNS_MAX);
	for (uint32_t i = 0; i < count; i++)
		lun_archive(s, numbers[i], a);
	archive_end(a);
}

/* ---- channels ------------------------------------------------------------ */

static bool state_ok(const struct storvsp_channel *c, uint32_t state)
{
	if (vsp_channel_index(c->ch))
		return state == STATE_SUB_CHANNEL &&
		       vsp_channel_index(c->ch) <= c->device->sub_channels_max;
	return state <= STATE_READY && (c->version || state <= STATE_VERSION);
}

void storvsp_archive_channel(struct vsp_channel *ch, struct archive *a)
{
	struct storvsp_channel *c = vsp_channel_priv(ch);
	uint32_t state = c->state;

	archive_u32(a, "state", &state);
	archive_u16(a, "version", &c->version);
	archive_bool(a, "sub_channels_created", &c->sub_channels_created);
	if (!state_ok(c, state) || (!c->sub_channels_created && vsp_channel_sub_count(ch)))
		archive_fail(a, "a state that no channel has");
	if (a->reading)
		c->state = a->error ? STATE_BEGIN : state;
}

uint16_t storvsp_sub_channels_max(struct vsp_device *dev)
{
	const struct storvsp *s = vsp_device_priv(dev);

	return s->sub_channels_max;
}
