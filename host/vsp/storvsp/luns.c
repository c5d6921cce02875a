/* SPDX-License-Identifier: MIT */
/*
 * The units of a controller: built at its creation, added and removed while
 * guests use it. All of it on the control thread.
 *
 *   (none) --add--> ADDING --every channel has it--> PRESENT --remove--> REMOVING --> (none)
 *                     |                                                     ^
 *                     '--- a channel cannot; removed meanwhile -------------'
 *
 * Two things make a unit known. The bit in `luns` is what guests see, on all
 * channels at once; it is set in PRESENT only. The channels' places are what
 * makes it safe: a channel that has the unit may use it, a unit is freed when no
 * channel has it any more. A channel that is opened meanwhile starts with all
 * units but those that are being removed; one that closes lets go of all.
 *
 * So a removal has effect at once: a command that comes after it finds no unit.
 * Those in flight are cancelled and waited for, channel by channel; only then
 * removed(ctx).
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "base/log.h"
#include "vsp/storvsp/storvsp_impl.h"

static int lun_error(const struct storvsp_lun *lun, struct err *e, const char *what)
{
	return err_set(e, -EINVAL, "storage controller: LUN %u: %s", lun->lun, what);
}

/* Without an identifier from the VM, which knows all disks, serial, medium or LUN give one. */
static void unit_identify(
	struct scsi_unit *unit, const struct storvsp_lun *lun, const struct hv_guid *instance)
{
	struct scsi_name name;
	char guid[UUID_STR_LEN], place[UUID_STR_LEN + 8];

	if (lun->id) {
		memcpy(unit->id, lun->id, sizeof(unit->id));
		return;
	}
	uuid_unparse_lower(instance->b, guid);
	snprintf(place, sizeof(place), "%s/%u", guid, unit->lun);
	name = scsi_name_of(lun->serial, lun->disk, place);
	scsi_identify(unit->id, &name);
}

static void unit_absent(struct scsi_unit *unit, uint8_t lun, const _Atomic uint64_t *luns)
{
	unit->lun = lun;
	unit->luns = luns;
	unit->transfer_bytes_max = STORVSP_TRANSFER_MAX;
}

static void unit_make_cdrom(struct scsi_unit *unit)
{
	unit->cdrom = true;
	unit->info.block_size = SCSI_CDROM_BLOCK_SIZE;
	unit->info.physical_block_size = SCSI_CDROM_BLOCK_SIZE;
	unit->info.read_only = true;
	unit->info.write_cache = false;
	unit->info.discard = false;
}

/* ---- one unit ------------------------------------------------------------ */

static int lun_check(const struct storvsp_lun *lun, struct err *e)
{
	if (lun->lun >= SCSI_LUNS_MAX)
		return lun_error(lun, e, "must be below 64");
	if (lun->serial && !scsi_serial_valid(lun->serial))
		return lun_error(lun, e, "serial must be " SCSI_SERIAL_RULE);
	if (lun->cdrom && disk_size(lun->disk) < SCSI_CDROM_BLOCK_SIZE)
		return lun_error(lun, e, "a disc has at least one block of 2048 bytes");
	if (lun->disk->info.block_size > SCSI_BLOCK_SIZE_MAX)
		return lun_error(lun, e, "blocks of the disk are too large; 512 bytes work");
	return 0;
}

static int unit_fill(struct storvsp_unit *unit, const struct storvsp_lun *lun, struct err *e)
{
	struct storvsp *s = vsp_device_priv(unit->dev);
	struct scsi_unit *scsi = &unit->scsi;
	int ret;

	if (!lun->cdrom) {
		ret = scsi_reservation_init(&unit->reservation, disk_path(lun->disk), e);
		if (ret)
			return ret;
		scsi->reservation = &unit->reservation;
		scsi->fence = scsi_fence_create();
		if (!scsi->fence) {
			scsi_reservation_fini(&unit->reservation);
			return lun_error(lun, e, "out of memory");
		}
	}
	scsi->present = true;
	scsi->lun = lun->lun;
	scsi->luns = &s->luns;
	scsi->transfer_bytes_max = STORVSP_TRANSFER_MAX;
	scsi->info = lun->disk->info;
	scsi->size = disk_size(lun->disk);
	if (lun->cdrom)
		unit_make_cdrom(scsi);
	if (lun->serial)
		memcpy(scsi->serial, lun->serial, strlen(lun->serial));
	unit_identify(scsi, lun, vsp_device_instance(unit->dev));
	return 0;
}

static int unit_create(struct vsp_device *dev, const struct storvsp_lun *lun, struct err *e)
{
	struct storvsp *s = vsp_device_priv(dev);
	struct storvsp_unit *unit;
	int ret = lun_check(lun, e);

	if (ret)
		return ret;
	if (s->units[lun->lun])
		return lun_error(lun, e, "has a disk already");
	unit = aligned_alloc(_Alignof(struct storvsp_unit), sizeof(*unit));
	if (!unit)
		return lun_error(lun, e, "out of memory");
	memset(unit, 0, sizeof(*unit));
	unit->dev = dev;
	unit->disk = lun->disk;
	unit->copied_before = disk_copied_bytes(lun->disk);
	ret = unit_fill(unit, lun, e);
	if (ret) {
		free(unit);
		return ret;
	}
	s->units[lun->lun] = unit;
	return 0;
}

static void unit_destroy(struct storvsp *s, struct storvsp_unit *unit)
{
	assert(!unit->calls);
	s->units[unit->scsi.lun] = NULL;
	if (unit->scsi.fence)
		scsi_fence_destroy(unit->scsi.fence);
	if (unit->scsi.reservation)
		scsi_reservation_fini(unit->scsi.reservation);
	free(unit);
}

/* ---- with the controller ------------------------------------------------- */

static int unit_begin(struct vsp_device *dev, const struct storvsp_lun *lun, struct err *e)
{
	struct storvsp *s = vsp_device_priv(dev);
	int ret = unit_create(dev, lun, e);

	if (ret)
		return ret;
	s->units[lun->lun]->state = UNIT_PRESENT;
	s->luns |= 1ull << lun->lun;
	s->luns_ever = s->luns;
	if (disk_req_size(lun->disk) > s->disk_req_size)
		s->disk_req_size = disk_req_size(lun->disk);
	return 0;
}

int storvsp_units_create(struct vsp_device *dev, const struct storvsp_config *config, struct err *e)
{
	struct storvsp *s = vsp_device_priv(dev);

	/* The LUN list is the target's: any of its LUNs, there or not, tells it. */
	for (uint8_t lun = 0; lun < SCSI_LUNS_MAX; lun++)
		unit_absent(&s->absent[lun], lun, &s->luns);
	unit_absent(&s->beyond, UINT8_MAX, &s->luns);
	unit_absent(&s->nowhere, UINT8_MAX, NULL);
	s->disk_req_size = config->disk_req_size;
	for (uint32_t i = 0; i < config->lun_count; i++) {
		int ret = unit_begin(dev, &config->luns[i], e);

		if (ret) {
			storvsp_units_destroy(s);
			return ret;
		}
	}
	return 0;
}

void storvsp_units_destroy(struct storvsp *s)
{
	for (uint32_t lun = 0; lun < SCSI_LUNS_MAX; lun++)
		if (s->units[lun])
			unit_destroy(s, s->units[lun]);
}

/* ---- telling the guest --------------------------------------------------- */

static void ask_enumerate(struct storvsp_channel *c);

static void enumerate_done(struct vsp_call *call)
{
	struct storvsp_channel *c = container_of(call, struct storvsp_channel, enumerate_call);

	c->enumerate_asked = false;
	if (c->enumerate_again)
		ask_enumerate(c);
}

/* What is asked while the call is under way may have come too late for it. */
static void ask_enumerate(struct storvsp_channel *c)
{
	c->enumerate_again = c->enumerate_asked;
	if (c->enumerate_asked)
		return;
	c->enumerate_asked = true;
	vsp_channel_call(c->ch, &c->enumerate_call, storvsp_enumerate, enumerate_done);
}

/* Linux takes any attention of a removable medium for a change of it, and fails what is read. */
static void attention_of_luns(struct storvsp *s, uint8_t lun)
{
	struct scsi_unit *unit = &s->units[lun]->scsi;

	if (!unit->cdrom)
		scsi_unit_attention(unit, SCSI_ATTENTION_LUNS);
}

/* A guest that has not finished its initialization will look by itself. */
static void luns_changed(struct vsp_device *dev, uint8_t changed)
{
	struct storvsp *s = vsp_device_priv(dev);
	struct vsp_channel *primary = vsp_device_primary(dev);

	if (!primary || !gate_is_open(&s->gate))
		return;
	for (uint8_t lun = 0; lun < SCSI_LUNS_MAX; lun++)
		if (lun != changed && storvsp_has_lun(s, lun))
			attention_of_luns(s, lun);
	ask_enumerate(vsp_channel_priv(primary));
}

static void set_lun(struct vsp_device *dev, uint8_t lun, bool there)
{
	struct storvsp *s = vsp_device_priv(dev);

	if (there)
		atomic_fetch_or(&s->luns, 1ull << lun);
	else
		atomic_fetch_and(&s->luns, ~(1ull << lun));
	luns_changed(dev, lun);
}

/* ---- adding and removing ------------------------------------------------- */

struct change {
	struct storvsp_unit *unit;
	void (*run)(struct vsp_call *call);
};

static void change_answered(struct storvsp_unit *unit);

static void call_answered(struct vsp_call *call)
{
	struct storvsp_place *place = container_of(call, struct storvsp_place, call);
	struct storvsp_unit *unit = place->changes;

	if (place->error && !unit->error)
		unit->error = place->error;
	change_answered(unit);
}

static void call_channel(void *ctx, struct vsp_channel *ch)
{
	struct change *change = ctx;
	struct storvsp_channel *c = vsp_channel_priv(ch);
	struct storvsp_place *place = &c->places[change->unit->scsi.lun];

	place->changes = change->unit;
	change->unit->calls++;
	vsp_channel_call(ch, &place->call, change->run, call_answered);
}

static void call_all(struct storvsp_unit *unit, void (*run)(struct vsp_call *call))
{
	struct change change = {.unit = unit, .run = run};

	assert(!unit->calls);
	unit->calls = 1; /* ours: it is not finished before all are asked */
	vsp_device_each_channel(unit->dev, call_channel, &change);
	change_answered(unit);
}

static void begin_removal(struct storvsp_unit *unit)
{
	unit->state = UNIT_REMOVING;
	call_all(unit, storvsp_place_leave);
}

/* The guest may not have noticed that another disk was there before: it must ask what this one is.
 */
static void announce(struct storvsp_unit *unit)
{
	struct storvsp *s = vsp_device_priv(unit->dev);
	struct scsi_unit *scsi = &unit->scsi;

	if (s->luns_ever >> scsi->lun & 1)
		scsi_unit_attention(
			scsi, scsi->cdrom ? SCSI_ATTENTION_MEDIUM : SCSI_ATTENTION_CAPACITY);
	s->luns_ever |= 1ull << scsi->lun;
}

static void finish_adding(struct storvsp_unit *unit)
{
	void (*added)(void *ctx, int error) = unit->added;

	if (unit->removed)
		unit->error = -ECANCELED;
	if (unit->error) {
		begin_removal(unit);
		return;
	}
	unit->added = NULL;
	unit->state = UNIT_PRESENT;
	announce(unit);
	set_lun(unit->dev, unit->scsi.lun, true);
	added(unit->added_ctx, 0); /* may remove it */
}

static void finish_removal(struct storvsp_unit *unit)
{
	struct storvsp_unit was = {
		.added = unit->added,
		.added_ctx = unit->added_ctx,
		.removed = unit->removed,
		.removed_ctx = unit->removed_ctx,
		.error = unit->error,
	};

	unit_destroy(vsp_device_priv(unit->dev), unit);
	if (was.added)
		was.added(was.added_ctx, was.error);
	if (was.removed)
		was.removed(was.removed_ctx);
}

static void change_answered(struct storvsp_unit *unit)
{
	if (--unit->calls)
		return;
	if (unit->state == UNIT_ADDING)
		finish_adding(unit);
	else
		finish_removal(unit);
}

int storvsp_add(struct vsp_device *dev, const struct storvsp_lun *lun,
	void (*added)(void *ctx, int error), void *ctx, struct err *e)
{
	struct storvsp *s = vsp_device_priv(dev);
	struct storvsp_unit *unit;
	int ret;

	if (disk_req_size(lun->disk) > s->disk_req_size)
		return lun_error(lun, e, "the disk has more filters than can be added now");
	ret = unit_create(dev, lun, e);
	if (ret)
		return ret;
	unit = s->units[lun->lun];
	unit->state = UNIT_ADDING;
	unit->added = added;
	unit->added_ctx = ctx;
	counts_reset(&s->counts, lun->lun);
	call_all(unit, storvsp_place_arrive);
	return 0;
}

static struct storvsp_unit *find(struct vsp_device *dev, uint8_t lun)
{
	struct storvsp *s = vsp_device_priv(dev);

	return lun < SCSI_LUNS_MAX ? s->units[lun] : NULL;
}

static int no_disk(uint8_t lun, struct err *e)
{
	return err_set(e, -ENOENT, "storage controller: there is no disk on LUN %u", lun);
}

int storvsp_remove(
	struct vsp_device *dev, uint8_t lun, void (*removed)(void *ctx), void *ctx, struct err *e)
{
	struct storvsp_unit *unit = find(dev, lun);

	if (!unit)
		return no_disk(lun, e);
	if (unit->removed || unit->state == UNIT_REMOVING)
		return err_set(
			e, -EALREADY, "storage controller: LUN %u: is being removed already", lun);
	unit->removed = removed;
	unit->removed_ctx = ctx;
	if (unit->state == UNIT_ADDING)
		return 0; /* goes on from there */
	set_lun(dev, lun, false);
	begin_removal(unit);
	return 0;
}

int storvsp_resize(struct vsp_device *dev, uint8_t lun, struct err *e)
{
	struct storvsp_unit *unit = find(dev, lun);
	int ret;

	if (!unit || unit->state != UNIT_PRESENT)
		return no_disk(lun, e);
	ret = disk_refresh(unit->disk, e);
	if (ret)
		return ret;
	if (disk_size(unit->disk) < unit->scsi.info.block_size)
		return err_set(
			e, -EINVAL, "storage controller: LUN %u: not one block is left", lun);
	scsi_unit_resize(&unit->scsi, disk_size(unit->disk));
	return 0;
}
