/* SPDX-License-Identifier: MIT */
/*
 * The LUNs of a controller: built at its creation, added and removed while guests
 * use it. All of it on the control thread.
 *
 *   (none) --add--> ADDING --attached to every channel--> PRESENT --remove--> REMOVING --> (none)
 *                     |                                                          ^
 *                     '--- a channel cannot attach it; removed meanwhile --------'
 *
 * Two things make a LUN usable. Its bit in `visible` is what guests see, on all
 * channels at once; it is set in PRESENT only. Its attachment to each channel
 * (chan_luns.c) is what makes it safe: an I/O thread uses a unit only while it is
 * attached, and a unit is freed when it is detached from every channel. A channel
 * that is opened meanwhile starts with all LUNs but those in REMOVING; one that
 * closes detaches all.
 *
 * So a removal takes effect at once: later commands find no unit. Those in flight
 * are cancelled and waited for, channel by channel; then removed(ctx) is called.
 */
#include "vsp/storvsp/storvsp_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "base/log.h"

static int lun_error(const struct storvsp_lun_config *config, struct err *e, const char *what)
{
	return err_set(e, -EINVAL, "storage controller: LUN %u: %s", config->lun, what);
}

/* Without an identifier from the VM, which knows all disks, serial, medium or LUN give one. */
static void unit_identify(struct scsi_unit *unit, const struct storvsp_lun_config *config,
	const struct hv_guid *instance)
{
	struct scsi_name name;
	char guid[UUID_STR_LEN], address[UUID_STR_LEN + 8];

	if (config->id) {
		memcpy(unit->id, config->id, sizeof(unit->id));
		return;
	}
	uuid_unparse_lower(instance->b, guid);
	snprintf(address, sizeof(address), "%s/%u", guid, unit->lun);
	name = scsi_name_of(config->serial, config->disk, address);
	scsi_identify(unit->id, &name);
}

static void unit_init_absent(struct scsi_unit *unit, uint8_t lun, const _Atomic uint64_t *luns)
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

/* ---- one LUN ------------------------------------------------------------- */

static int lun_check(const struct storvsp_lun_config *config, struct err *e)
{
	if (config->lun >= SCSI_LUNS_MAX)
		return lun_error(config, e, "must be below 64");
	if (config->serial && !scsi_serial_valid(config->serial))
		return lun_error(config, e, "serial must be " SCSI_SERIAL_RULE);
	if (config->cdrom && disk_size(config->disk) < SCSI_CDROM_BLOCK_SIZE)
		return lun_error(config, e, "a disc has at least one block of 2048 bytes");
	if (config->disk->info.block_size > SCSI_BLOCK_SIZE_MAX)
		return lun_error(config, e, "blocks of the disk are too large; 512 bytes work");
	return 0;
}

static int reservation_get(
	struct scsi_reservation **r, const struct storvsp_lun_config *config, struct err *e)
{
	if (!config->reservation)
		return scsi_reservation_open(r, disk_path(config->disk), e);
	scsi_reservation_restart(config->reservation);
	*r = config->reservation;
	return 0;
}

static int lun_fill(struct storvsp_lun *lun, const struct storvsp_lun_config *config, struct err *e)
{
	struct storvsp *s = vsp_device_priv(lun->dev);
	struct scsi_unit *scsi = &lun->scsi;
	int ret;

	if (!config->cdrom) {
		ret = reservation_get(&scsi->reservation, config, e);
		if (ret)
			return ret;
		scsi->fence = scsi_fence_create();
		if (!scsi->fence) {
			scsi_reservation_close(scsi->reservation);
			return lun_error(config, e, "out of memory");
		}
	}
	scsi->present = true;
	scsi->lun = config->lun;
	scsi->luns = &s->visible;
	scsi->transfer_bytes_max = STORVSP_TRANSFER_MAX;
	scsi->info = config->disk->info;
	scsi->size = disk_size(config->disk);
	if (config->cdrom)
		unit_make_cdrom(scsi);
	if (config->serial)
		memcpy(scsi->serial, config->serial, strlen(config->serial));
	unit_identify(scsi, config, vsp_device_instance(lun->dev));
	return 0;
}

static int lun_create(
	struct vsp_device *dev, const struct storvsp_lun_config *config, struct err *e)
{
	struct storvsp *s = vsp_device_priv(dev);
	struct storvsp_lun *lun;
	int ret = lun_check(config, e);

	if (ret)
		return ret;
	if (s->luns[config->lun])
		return lun_error(config, e, "has a disk already");
	lun = aligned_alloc(_Alignof(struct storvsp_lun), sizeof(*lun));
	if (!lun)
		return lun_error(config, e, "out of memory");
	memset(lun, 0, sizeof(*lun));
	lun->dev = dev;
	lun->disk = config->disk;
	disk_set_budget(lun->disk, vsp_device_budget(dev));
	lun->copied_before = disk_copied_bytes(config->disk);
	ret = lun_fill(lun, config, e);
	if (ret) {
		free(lun);
		return ret;
	}
	s->luns[config->lun] = lun;
	return 0;
}

static void lun_destroy(struct storvsp *s, struct storvsp_lun *lun)
{
	assert(!lun->calls);
	s->luns[lun->scsi.lun] = NULL;
	if (lun->scsi.fence)
		scsi_fence_destroy(lun->scsi.fence);
	if (lun->scsi.reservation)
		scsi_reservation_close(lun->scsi.reservation);
	free(lun);
}

/* ---- with the controller ------------------------------------------------- */

static int lun_begin(struct vsp_device *dev, const struct storvsp_lun_config *config, struct err *e)
{
	struct storvsp *s = vsp_device_priv(dev);
	int ret = lun_create(dev, config, e);

	if (ret)
		return ret;
	s->luns[config->lun]->state = LUN_PRESENT;
	s->visible |= 1ull << config->lun;
	s->ever_present = s->visible;
	if (disk_req_size(config->disk) > s->disk_req_size)
		s->disk_req_size = disk_req_size(config->disk);
	return 0;
}

int storvsp_luns_create(struct vsp_device *dev, const struct storvsp_config *config, struct err *e)
{
	struct storvsp *s = vsp_device_priv(dev);

	ON_CONTROL(dev);
	/* REPORT LUNS works at any LUN of the target, present or not. */
	for (uint8_t lun = 0; lun < SCSI_LUNS_MAX; lun++)
		unit_init_absent(&s->absent[lun], lun, &s->visible);
	unit_init_absent(&s->beyond, UINT8_MAX, &s->visible);
	unit_init_absent(&s->nowhere, UINT8_MAX, NULL);
	s->disk_req_size = config->disk_req_size;
	for (uint32_t i = 0; i < config->lun_count; i++) {
		int ret = lun_begin(dev, &config->luns[i], e);

		if (ret) {
			storvsp_luns_destroy(s);
			return ret;
		}
	}
	return 0;
}

void storvsp_luns_destroy(struct storvsp *s)
{
	for (uint32_t lun = 0; lun < SCSI_LUNS_MAX; lun++)
		if (s->luns[lun])
			lun_destroy(s, s->luns[lun]);
}

/* ---- notifying the guest ------------------------------------------------- */

static void notify(struct storvsp_channel *c);

static void notified(struct vsp_call *call)
{
	struct storvsp_channel *c = container_of(call, struct storvsp_channel, notify.call);

	c->notify.running = false;
	if (c->notify.again)
		notify(c);
}

/* A change made while the call is running may be too late for it. */
static void notify(struct storvsp_channel *c)
{
	c->notify.again = c->notify.running;
	if (c->notify.running)
		return;
	c->notify.running = true;
	vsp_channel_call(c->ch, &c->notify.call, storvsp_enumerate, notified);
}

/* Linux takes any unit attention of a removable medium for a change of it, and fails reads. */
static void set_luns_attention(struct storvsp *s, uint8_t lun)
{
	struct scsi_unit *unit = &s->luns[lun]->scsi;

	if (!unit->cdrom)
		scsi_unit_attention(unit, SCSI_ATTENTION_LUNS);
}

/* A guest that has not finished its initialization enumerates by itself. */
static void luns_changed(struct vsp_device *dev, uint8_t changed)
{
	struct storvsp *s = vsp_device_priv(dev);
	struct vsp_channel *primary = vsp_device_primary(dev);

	if (!primary || !barrier_is_open(&s->barrier))
		return;
	for (uint8_t lun = 0; lun < SCSI_LUNS_MAX; lun++)
		if (lun != changed && storvsp_is_visible(s, lun))
			set_luns_attention(s, lun);
	notify(vsp_channel_priv(primary));
}

static void set_visible(struct vsp_device *dev, uint8_t lun, bool visible)
{
	struct storvsp *s = vsp_device_priv(dev);

	if (visible)
		atomic_fetch_or(&s->visible, 1ull << lun);
	else
		atomic_fetch_and(&s->visible, ~(1ull << lun));
	luns_changed(dev, lun);
}

/* ---- adding and removing ------------------------------------------------- */

struct change {
	struct storvsp_lun *lun;
	void (*run)(struct vsp_call *call);
};

static void change_done(struct storvsp_lun *lun);

static void call_done(struct vsp_call *call)
{
	struct storvsp_chan_lun *l = container_of(call, struct storvsp_chan_lun, change.call);
	struct storvsp_lun *lun = l->change.lun;

	if (l->change.error && !lun->error)
		lun->error = l->change.error;
	change_done(lun);
}

static void call_channel(void *ctx, struct vsp_channel *ch)
{
	struct change *change = ctx;
	struct storvsp_channel *c = vsp_channel_priv(ch);
	struct storvsp_chan_lun *l = &c->luns[change->lun->scsi.lun];

	l->change.lun = change->lun;
	change->lun->calls++;
	vsp_channel_call(ch, &l->change.call, change->run, call_done);
}

static void call_all(struct storvsp_lun *lun, void (*run)(struct vsp_call *call))
{
	struct change change = {.lun = lun, .run = run};

	assert(!lun->calls);
	lun->calls = 1; /* ours: not finished before all channels are called */
	vsp_device_each_channel(lun->dev, call_channel, &change);
	change_done(lun);
}

static void begin_removal(struct storvsp_lun *lun)
{
	lun->state = LUN_REMOVING;
	call_all(lun, chan_lun_detach);
}

/* The guest may not have noticed that another disk was at this LUN: the unit attention makes it
 * identify the new one. */
static void announce(struct storvsp_lun *lun)
{
	struct storvsp *s = vsp_device_priv(lun->dev);
	struct scsi_unit *scsi = &lun->scsi;

	if (s->ever_present >> scsi->lun & 1)
		scsi_unit_attention(
			scsi, scsi->cdrom ? SCSI_ATTENTION_MEDIUM : SCSI_ATTENTION_CAPACITY);
	s->ever_present |= 1ull << scsi->lun;
}

static void finish_adding(struct storvsp_lun *lun)
{
	void (*added)(void *ctx, int error) = lun->added;

	if (lun->removed)
		lun->error = -ECANCELED;
	if (lun->error) {
		begin_removal(lun);
		return;
	}
	lun->added = NULL;
	lun->state = LUN_PRESENT;
	announce(lun);
	set_visible(lun->dev, lun->scsi.lun, true);
	added(lun->added_ctx, 0); /* may remove it */
}

static void finish_removal(struct storvsp_lun *lun)
{
	const struct storvsp_lun was = {
		.added = lun->added,
		.added_ctx = lun->added_ctx,
		.removed = lun->removed,
		.removed_ctx = lun->removed_ctx,
		.error = lun->error,
	};

	lun_destroy(vsp_device_priv(lun->dev), lun);
	if (was.added)
		was.added(was.added_ctx, was.error);
	if (was.removed)
		was.removed(was.removed_ctx);
}

static void change_done(struct storvsp_lun *lun)
{
	if (--lun->calls)
		return;
	if (lun->state == LUN_ADDING)
		finish_adding(lun);
	else
		finish_removal(lun);
}

int storvsp_add(struct vsp_device *dev, const struct storvsp_lun_config *config,
	void (*added)(void *ctx, int error), void *ctx, struct err *e)
{
	struct storvsp *s = vsp_device_priv(dev);
	struct storvsp_lun *lun;
	int ret;

	ON_CONTROL(dev);
	if (disk_req_size(config->disk) > s->disk_req_size)
		return lun_error(config, e, "the disk has more filters than can be added now");
	ret = lun_create(dev, config, e);
	if (ret)
		return ret;
	lun = s->luns[config->lun];
	lun->state = LUN_ADDING;
	lun->added = added;
	lun->added_ctx = ctx;
	counts_reset(&s->counts, config->lun);
	call_all(lun, chan_lun_attach);
	return 0;
}

static struct storvsp_lun *find(struct vsp_device *dev, uint8_t lun)
{
	struct storvsp *s = vsp_device_priv(dev);

	return lun < SCSI_LUNS_MAX ? s->luns[lun] : NULL;
}

static int no_disk(uint8_t lun, struct err *e)
{
	return err_set(e, -ENOENT, "storage controller: there is no disk on LUN %u", lun);
}

int storvsp_remove(struct vsp_device *dev, uint8_t number, void (*removed)(void *ctx), void *ctx,
	struct err *e)
{
	struct storvsp_lun *lun = find(dev, number);

	ON_CONTROL(dev);
	if (!lun)
		return no_disk(number, e);
	if (lun->removed || lun->state == LUN_REMOVING)
		return err_set(e, -EALREADY, "storage controller: LUN %u: is being removed already",
			number);
	lun->removed = removed;
	lun->removed_ctx = ctx;
	if (lun->state == LUN_ADDING)
		return 0; /* finish_adding() removes it */
	set_visible(dev, number, false);
	begin_removal(lun);
	return 0;
}

int storvsp_resize(struct vsp_device *dev, uint8_t number, struct err *e)
{
	struct storvsp_lun *lun = find(dev, number);
	int ret;

	ON_CONTROL(dev);
	if (!lun || lun->state != LUN_PRESENT)
		return no_disk(number, e);
	ret = disk_refresh(lun->disk, e);
	if (ret)
		return ret;
	if (disk_size(lun->disk) < lun->scsi.info.block_size)
		return err_set(e, -EINVAL, "storage controller: LUN %u: smaller than one block now",
			number);
	scsi_unit_resize(&lun->scsi, disk_size(lun->disk));
	return 0;
}
