/* SPDX-License-Identifier: MIT */
#include "vm/storage.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "scsi/reserve.h"
#include "vsp/storvsp/storvsp.h"

/* Stable instance ids, so that guests name the disks the same at each boot. */
#define INSTANCE(number)                                                                           \
	HV_GUID(0xe417e001, 0x5c51, 0x4e17, 0x9a, 0x01, 0x65, 0x6e, 0x6c, 0x69, 0x74,              \
		0x65 + (number))

static const struct hv_guid instances[VM_CONTROLLERS_MAX] = {
	INSTANCE(0), INSTANCE(1), INSTANCE(2), INSTANCE(3)};

/* A thread that opens a disk posts under it, so that no loop is used when it is abandoned. A leaf.
 */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;

/* The change has ended: e NULL, or why it was not made. */
static void finish_change(struct storage_change *change, const struct err *e)
{
	struct storage_change was = *change;

	*change = (struct storage_change){0};
	if (was.done)
		was.done(was.ctx, e);
}

/* ---- disks --------------------------------------------------------------- */

static void disk_free(struct storage_disk *d)
{
	list_del(&d->link);
	if (d->disk)
		disk_close(d->disk);
	if (d->reservation)
		scsi_reservation_close(d->reservation);
	disk_config_free(&d->config);
	free(d);
}

/* Takes config over, also when there is no memory. */
static struct storage_disk *disk_new(struct storage *s, struct disk_config *config)
{
	struct storage_disk *d = calloc(1, sizeof(*d));

	if (!d) {
		disk_config_free(config);
		return NULL;
	}
	d->controller = &s->controllers[config->controller];
	d->lun = (uint8_t)config->lun;
	d->config = *config;
	list_init(&d->link);
	return d;
}

static int disk_open(struct storage_disk *d, struct err *e)
{
	int ret = disk_config_open(&d->disk, &d->config, e);

	if (!ret && !d->config.cdrom)
		ret = scsi_reservation_open(&d->reservation, disk_path(d->disk), e);
	return ret;
}

static struct storage_disk *disk_at(
	struct storage *s, const struct storage_controller *controller, uint8_t lun)
{
	list_for_each (item, &s->disks) {
		struct storage_disk *d = container_of(item, struct storage_disk, link);

		if (d->controller == controller && d->lun == lun)
			return d;
	}
	return NULL;
}

/* A guest finds it, or did until its removal. */
static bool has_lun(const struct storage_disk *d)
{
	return d->state != STORAGE_OPENING && d->state != STORAGE_CLOSING;
}

static struct storvsp_lun_config lun_of(const struct storage_disk *d)
{
	return (struct storvsp_lun_config){
		.lun = d->lun,
		.disk = d->disk,
		.cdrom = d->config.cdrom,
		.serial = d->config.serial,
		.id = d->id,
		.reservation = d->reservation,
	};
}

/* ---- controllers --------------------------------------------------------- */

/* Offers a controller with the disks it has. */
static int controller_create(struct storage_controller *c, struct err *e)
{
	struct storage *s = c->storage;
	struct storvsp_lun_config luns[SCSI_LUNS_MAX];
	struct storvsp_config config = {.luns = luns, .disk_req_size = disk_stack_req_size_max()};

	list_for_each (item, &s->disks) {
		struct storage_disk *d = container_of(item, struct storage_disk, link);

		if (d->controller == c && has_lun(d))
			luns[config.lun_count++] = lun_of(d);
	}
	return vm_device_create(
		&c->device, &s->devices, s->host, &storvsp_ops, &instances[c->number], &config, e);
}

int storage_attach(struct storage *s, struct vsp_host *host, struct err *e)
{
	ON_LOOP(s->control);
	assert(!s->host);
	s->host = host;
	for (uint32_t i = 0; i < VM_CONTROLLERS_MAX; i++) {
		int ret = 0;

		if (s->controllers[i].state == STORAGE_PRESENT)
			ret = controller_create(&s->controllers[i], e);
		if (ret)
			return ret;
	}
	return 0;
}

int storage_offer(struct storage *s, uint32_t number, struct err *e)
{
	struct storage_controller *c = &s->controllers[number];
	int ret = 0;

	ON_LOOP(s->control);
	if (c->state == STORAGE_NONE) {
		ret = controller_create(c, e);
		if (!ret)
			c->state = STORAGE_PRESENT;
	}
	return ret;
}

static void add_deferred(struct storage *s);

void storage_detach(struct storage *s)
{
	ON_LOOP(s->control);
	for (uint32_t i = 0; i < VM_CONTROLLERS_MAX; i++)
		assert(s->controllers[i].state != STORAGE_REMOVING);
	device_group_destroy_all(&s->devices);
	s->host = NULL;
	s->paused = false;
	add_deferred(s);
}

/* ---- pause --------------------------------------------------------------- */

void storage_pause(struct storage *s, void (*at_rest)(void *ctx), void *ctx)
{
	ON_LOOP(s->control);
	assert(s->host && !s->paused);
	s->paused = true;
	device_group_pause(&s->devices, at_rest, ctx);
}

void storage_resume(struct storage *s)
{
	ON_LOOP(s->control);
	assert(s->paused);
	s->paused = false;
	device_group_resume(&s->devices);
	add_deferred(s);
}

static bool is_busy(const struct storage_disk *d)
{
	struct storvsp_counters c;

	return d->controller->device.pausing && has_lun(d) &&
	       !storvsp_counters(d->controller->device.vsp, d->lun, &c) && c.depth > 0;
}

static void name_busy(const struct storage_disk *d, struct err *e)
{
	char *source = disk_config_source(&d->config);

	err_set(e, -ETIMEDOUT,
		"pause: disk %u:%u (%s) did not complete its requests within 10 s; the VM runs on",
		d->controller->number, d->lun, source ? source : "");
	free(source);
}

void storage_name_busy(const struct storage *s, struct err *e)
{
	ON_LOOP(s->control);
	list_for_each (item, &s->disks) {
		const struct storage_disk *d = container_of(item, struct storage_disk, link);

		if (!is_busy(d))
			continue;
		name_busy(d, e);
		return;
	}
}

/* ---- closing ------------------------------------------------------------- */

/* The change of a controller ends with its last disk. */
static void closed_one(struct storage_controller *c)
{
	if (!--c->closing && c->state != STORAGE_REMOVING)
		finish_change(&c->change, NULL);
}

static struct storage_disk *disk_of(struct blocking_call *call)
{
	return container_of(call, struct storage_disk, close_call);
}

static void close_run(struct blocking_call *call)
{
	struct storage_disk *d = disk_of(call);

	disk_close(d->disk);
	d->disk = NULL;
}

static void close_done(struct blocking_call *call)
{
	struct storage_disk *d = disk_of(call);
	struct storage_controller *c = d->controller;
	struct storage_change change = d->change;

	disk_free(d);
	finish_change(&change, NULL);
	closed_one(c);
}

static void close_release(struct blocking_call *call)
{
	disk_free(disk_of(call));
}

/* Without a helper thread it is closed here: better late than never. */
static void close_start(struct storage_disk *d)
{
	struct loop *control = d->controller->storage->control;

	ON_LOOP(control);
	d->state = STORAGE_CLOSING;
	d->controller->closing++;
	d->close_call.run = close_run;
	d->close_call.done = close_done;
	d->close_call.release = close_release;
	if (!blocking_start(&d->close_call, control))
		return;
	close_run(&d->close_call);
	close_done(&d->close_call);
}

/* The loop does not run any more. A close that hangs must not delay our end. */
static void close_abandon(struct storage_disk *d)
{
	finish_change(&d->change, NULL);
	list_del(&d->link);
	if (!blocking_abandon(&d->close_call))
		disk_free(d);
}

/* ---- the beginning and the end ------------------------------------------- */

static int open_configured(struct storage *s, const struct disk_config *from, struct err *e)
{
	struct disk_config config;
	struct storage_disk *d;
	int ret = disk_config_copy(&config, from);

	d = ret ? NULL : disk_new(s, &config);
	if (!d)
		return err_set(e, -ENOMEM, "disks: out of memory");
	list_add_tail(&s->disks, &d->link);
	ret = disk_open(d, e);
	if (ret)
		return ret;
	storage_identify(s, d);
	d->state = STORAGE_PRESENT;
	d->controller->state = STORAGE_PRESENT;
	return 0;
}

int storage_open(struct storage *s, struct loop *control, const struct vm_config *o, struct err *e)
{
	int ret = 0;

	ON_LOOP(control);
	s->control = control;
	s->trusted = o->restore_disks == VM_RESTORE_DISKS_TRUST;
	list_init(&s->disks);
	device_group_init(&s->devices);
	for (uint32_t i = 0; i < VM_CONTROLLERS_MAX; i++)
		s->controllers[i] = (struct storage_controller){.storage = s, .number = (uint8_t)i};
	for (uint32_t i = 0; i < o->disk_count && !ret; i++)
		ret = open_configured(s, &o->disks[i], e);
	return ret;
}

/* The task that an open posts does not run any more. One that hangs (a file system that does not
 * answer) must not delay our end: its thread frees the disk. */
static void open_abandon(struct storage_disk *d)
{
	struct err e;
	bool posted;

	err_set(&e, -ESHUTDOWN, "disk add: the partition has ended");
	finish_change(&d->change, &e);
	list_del(&d->link);
	pthread_mutex_lock(&open_lock);
	posted = d->posted;
	d->abandoned = !posted;
	if (!posted)
		pthread_detach(d->thread);
	pthread_mutex_unlock(&open_lock);
	if (!posted)
		return;
	if (!d->deferred)
		pthread_join(d->thread, NULL);
	disk_free(d);
}

void storage_close(struct storage *s)
{
	if (!s->disks.next)
		return; /* never opened */
	ON_LOOP(s->control);
	while (!list_empty(&s->disks)) {
		struct storage_disk *d = container_of(s->disks.next, struct storage_disk, link);

		if (d->state == STORAGE_OPENING)
			open_abandon(d);
		else if (d->state == STORAGE_CLOSING)
			close_abandon(d);
		else
			disk_free(d);
	}
}

/* ---- adding -------------------------------------------------------------- */

/* The lowest free LUN unless one is asked for. */
static int choose_lun(struct storage *s, struct disk_config *config, struct err *e)
{
	const struct storage_controller *c = &s->controllers[config->controller];

	if (c->state == STORAGE_REMOVING)
		return err_set(e, -EBUSY, "disk add: controller %u is being removed", c->number);
	if (config->lun >= 0 && disk_at(s, c, (uint8_t)config->lun))
		return err_set(e, -EEXIST,
			"disk add: lun: LUN %d of controller %u has a disk; choose another",
			(int)config->lun, c->number);
	for (uint32_t lun = 0; config->lun < 0 && lun < SCSI_LUNS_MAX; lun++)
		if (!disk_at(s, c, (uint8_t)lun))
			config->lun = lun;
	if (config->lun < 0)
		return err_set(e, -ENOSPC, "disk add: controller %u has no LUN left", c->number);
	return 0;
}

static void disk_failed(struct storage_disk *d, const struct err *e)
{
	struct storage_change change = d->change;

	disk_free(d);
	finish_change(&change, e);
}

static void disk_added(void *ctx, int error)
{
	struct storage_disk *d = ctx;
	struct err e;

	ON_LOOP(d->controller->storage->control);
	if (!error) {
		d->state = STORAGE_PRESENT;
		finish_change(&d->change, NULL);
		return;
	}
	err_set(&e, error, "disk add: %s", strerror(-error));
	disk_failed(d, &e);
}

/* Adds the disk to its controller, or offers a new controller with it. Without a guest the next
 * storage_attach() offers both. */
static int disk_attach(struct storage_disk *d, struct err *e)
{
	struct storage_controller *c = d->controller;
	struct storvsp_lun_config lun = lun_of(d);
	int ret = 0;

	if (c->state == STORAGE_REMOVING)
		return err_set(e, -EBUSY, "disk add: controller %u is being removed", c->number);
	storage_identify(c->storage, d);
	d->state = STORAGE_ADDING;
	if (c->device.vsp)
		return storvsp_add(c->device.vsp, &lun, disk_added, d, e);
	if (c->storage->host)
		ret = controller_create(c, e);
	if (ret)
		return ret;
	c->state = STORAGE_PRESENT;
	disk_added(d, 0);
	return 0;
}

static void disk_finish_open(struct storage_disk *d)
{
	struct err e = d->open_error;
	int ret = d->open_result;

	if (!ret)
		ret = disk_attach(d, &e);
	if (ret)
		disk_failed(d, &e);
}

static void disk_opened(struct loop_task *task)
{
	struct storage_disk *d = container_of(task, struct storage_disk, opened);

	ON_LOOP(d->controller->storage->control);
	pthread_join(d->thread, NULL); /* posting was about the last it did */
	if (d->controller->storage->paused)
		d->deferred = true;
	else
		disk_finish_open(d);
}

static void add_deferred(struct storage *s)
{
	list_for_each_safe (item, &s->disks) {
		struct storage_disk *d = container_of(item, struct storage_disk, link);

		if (!d->deferred)
			continue;
		d->deferred = false;
		disk_finish_open(d);
	}
}

static void *open_main(void *arg)
{
	struct storage_disk *d = arg;
	bool abandoned;

	thread_enter(THREAD_HELPER, "opener");
	d->open_result = disk_open(d, &d->open_error);
	pthread_mutex_lock(&open_lock);
	abandoned = d->abandoned;
	d->posted = !abandoned;
	if (!abandoned)
		loop_post(d->controller->storage->control, &d->opened);
	pthread_mutex_unlock(&open_lock);
	if (abandoned)
		disk_free(d);
	return NULL;
}

static int open_start(struct storage *s, struct storage_disk *d, struct err *e)
{
	int ret;

	d->opened.fn = disk_opened;
	ret = thread_create(&d->thread, NULL, open_main, d);
	if (ret)
		return err_set(e, ret, "disk add: cannot start a thread: %s", strerror(-ret));
	d->state = STORAGE_OPENING;
	list_add_tail(&s->disks, &d->link);
	return 0;
}

int storage_add(struct storage *s, struct disk_config *config, const struct storage_change *change,
	struct lun_address *at, struct err *e)
{
	struct storage_disk *d;
	int ret;

	ON_LOOP(s->control);
	ret = choose_lun(s, config, e);
	if (ret) {
		disk_config_free(config);
		return ret;
	}
	d = disk_new(s, config);
	if (!d)
		return err_set(e, -ENOMEM, "disk add: out of memory");
	d->change = *change;
	at->controller = d->controller->number;
	at->lun = d->lun;
	ret = open_start(s, d, e);
	if (ret)
		disk_free(d);
	return ret;
}

/* ---- removing ------------------------------------------------------------ */

static int find(
	struct storage *s, const struct lun_address *at, struct storage_disk **d, struct err *e)
{
	ON_LOOP(s->control);
	assert(s->host);
	*d = NULL;
	if (at->controller < VM_CONTROLLERS_MAX)
		*d = disk_at(s, &s->controllers[at->controller], at->lun);
	if (!*d)
		return err_set(e, -ENOENT, "there is no disk %u:%u; see `disk list`",
			at->controller, at->lun);
	if ((*d)->controller->state == STORAGE_REMOVING || (*d)->state == STORAGE_REMOVING ||
		(*d)->state == STORAGE_CLOSING)
		return err_set(e, -EALREADY, "disk %u:%u is being removed already", at->controller,
			at->lun);
	if ((*d)->state != STORAGE_PRESENT)
		return err_set(e, -EBUSY, "disk %u:%u is still being added; try again",
			at->controller, at->lun);
	return 0;
}

static void disk_removed(void *ctx)
{
	close_start(ctx);
}

int storage_remove(struct storage *s, const struct lun_address *at,
	const struct storage_change *change, struct err *e)
{
	struct storage_disk *d;
	int ret = find(s, at, &d, e);

	if (ret)
		return ret;
	d->state = STORAGE_REMOVING;
	d->change = *change;
	ret = storvsp_remove(d->controller->device.vsp, d->lun, disk_removed, d, e);
	assert(!ret); /* the controller has the disk, since it is PRESENT */
	return ret;
}

/* No channel is left, so all changes of its disks have ended. A disk that is still being opened
 * will create a new controller. */
static void controller_removed(void *ctx)
{
	struct storage_controller *c = ctx;
	struct storage *s = c->storage;

	ON_LOOP(s->control);
	vm_device_destroy(&c->device);
	c->closing++; /* until all have begun */
	list_for_each_safe (item, &s->disks) {
		struct storage_disk *d = container_of(item, struct storage_disk, link);

		if (d->controller != c || !has_lun(d))
			continue;
		assert(d->state == STORAGE_PRESENT);
		close_start(d);
	}
	c->state = STORAGE_NONE;
	closed_one(c);
}

int storage_remove_controller(
	struct storage *s, uint32_t number, const struct storage_change *change, struct err *e)
{
	struct storage_controller *c;

	ON_LOOP(s->control);
	assert(s->host);
	if (number >= VM_CONTROLLERS_MAX || s->controllers[number].state == STORAGE_NONE)
		return err_set(e, -ENOENT, "there is no controller %u; see `disk list`", number);
	c = &s->controllers[number];
	if (c->state == STORAGE_REMOVING)
		return err_set(e, -EALREADY, "controller %u is being removed already", number);
	if (c->change.done)
		return err_set(e, -EBUSY,
			"controller %u: disks of its last removal are still being closed; try again",
			number);
	c->state = STORAGE_REMOVING;
	c->change = *change;
	vsp_device_remove(c->device.vsp, controller_removed, c);
	return 0;
}

/* ---- resizing ------------------------------------------------------------ */

int storage_resize(struct storage *s, const struct lun_address *at, uint64_t *size, struct err *e)
{
	struct storage_disk *d;
	int ret = find(s, at, &d, e);

	if (!ret)
		ret = storvsp_resize(d->controller->device.vsp, d->lun, e);
	if (!ret)
		*size = disk_size(d->disk);
	return ret;
}
