/* SPDX-License-Identifier: MIT */
/*
 * The disks and controllers of a VM over several guests, for the tests of host/vm/storage.h: a
 * guest that boots and resets, and changes made on the control thread.
 */
#ifndef STORAGE_RIG_H
#define STORAGE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after its prerequisites */
#include <cmocka.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/support/guest_disk.h"
#include "vm/storage.h"
#include "vsp/storvsp/storvsp.h"

#define IN       VSTOR_DATA_IN
#define NONE     VSTOR_DATA_NONE
#define INSTANCE 0x65 /* last byte of controller 0, then one by one */
#define SUBS     2u

#define CDB(...)                                                                                   \
	sizeof((uint8_t[]){__VA_ARGS__}), (uint8_t[])                                              \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

/* ---- rig ----------------------------------------------------------------- */

static struct guest g;
static struct guest_disk d;
static struct storage s;
static struct vm_config options;
static struct disk_config first;
static char dir[] = "/tmp/enlite-storage-XXXXXX";

/* One change, made on the control thread. */
static struct change {
	const char *spec;
	struct lun_address at;
	uint32_t controller;
	uint64_t size;
	int ret;
	struct err e;
	_Atomic uint32_t done;
	_Atomic bool good;
} change;

static inline void change_done(void *ctx, const struct err *e)
{
	struct change *c = ctx;

	if (e)
		c->e = *e;
	c->good = !e;
	c->done++;
}

static inline struct storage_change told(struct change *c)
{
	return (struct storage_change){.done = change_done, .ctx = c};
}

static inline void do_add(void *arg)
{
	struct change *c = arg;
	struct storage_change t = told(c);

	struct disk_config disk;

	c->ret = disk_config_parse(&disk, c->spec, dir, &c->e);
	if (!c->ret)
		c->ret = storage_add(&s, &disk, &t, &c->at, &c->e);
}

static inline void do_remove(void *arg)
{
	struct change *c = arg;
	struct storage_change t = told(c);

	c->ret = storage_remove(&s, &c->at, &t, &c->e);
}

static inline void do_remove_controller(void *arg)
{
	struct change *c = arg;
	struct storage_change t = told(c);

	c->ret = storage_remove_controller(&s, c->controller, &t, &c->e);
}

static inline void do_resize(void *arg)
{
	struct change *c = arg;

	c->ret = storage_resize(&s, &c->at, &c->size, &c->e);
}

static inline void do_attach(void *arg)
{
	struct err e = {""};

	if (storage_attach(&s, &g.host, &e))
		fail_msg("%s", e.text);
}

static inline void do_detach(void *arg)
{
	storage_detach(&s);
}

static inline void nothing(void *arg)
{
}

static inline void run(void (*fn)(void *arg))
{
	change.done = 0;
	change.e.text[0] = '\0';
	guest_control(&g, fn, &change);
}

static inline void wait_told(void)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;

	while (!change.done && loop_now_ns() < until) {
		for (uint32_t i = 0; i < g.host.io_thread_count; i++)
			loop_call(g.host.io_threads[i], nothing, NULL);
		guest_control(&g, nothing, NULL);
	}
	assert_int_equal(change.done, 1);
}

static inline void wait_done(void)
{
	wait_told();
	if (!change.good)
		fail_msg("%s", change.e.text);
}

static inline void add(const char *spec, uint8_t controller, uint8_t lun)
{
	change.spec = spec;
	run(do_add);
	if (change.ret)
		fail_msg("%s", change.e.text);
	wait_done();
	assert_int_equal(change.at.controller, controller);
	assert_int_equal(change.at.lun, lun);
}

static inline void remove_disk(uint8_t controller, uint8_t lun)
{
	change.at = (struct lun_address){.controller = controller, .lun = lun};
	run(do_remove);
	assert_int_equal(change.ret, 0);
	wait_done();
}

static inline void refused(void (*fn)(void *arg), int ret, const char *says)
{
	run(fn);
	assert_int_equal(change.ret, ret);
	if (!strstr(change.e.text, says))
		fail_msg("'%s' does not say '%s'", change.e.text, says);
	assert_int_equal(change.done, 0);
}

/* At once, or when it was tried to open it. */
static inline void refuses_to_add(const char *spec, const char *says)
{
	change.spec = spec;
	run(do_add);
	if (!change.ret) {
		wait_told();
		assert_false(change.good);
	}
	if (!strstr(change.e.text, says))
		fail_msg("'%s' does not say '%s'", change.e.text, says);
}

/* A machine that boots: a new partition and bus each time. */
static inline void boot(void)
{
	struct guest_config config = {.ram = 96 << 20, .vps = SUBS + 1, .io_threads = 2};

	guest_start(&g, &config);
	guest_control(&g, do_attach, NULL);
	guest_connect(&g, VMBUS_VERSION_WIN10_V5_3);
	guest_disk_init(&d, &g, INSTANCE);
}

static inline void count_closing(void *arg)
{
	uint32_t *count = arg;

	*count = 0;
	for (uint32_t i = 0; i < VM_CONTROLLERS_MAX; i++)
		*count += s.controllers[i].closing;
}

static inline void halt(void)
{
	guest_shut_down(&g);
	guest_control(&g, do_detach, NULL);
	guest_stop(&g);
}

/* A VM's control loop lives on when its guest resets, this one does not: disks that helper threads
 * close are waited for. */
static inline void wait_closed(void)
{
	uint32_t closing;

	do
		guest_control(&g, count_closing, &closing);
	while (closing);
}

/* What the units of a VM do when its guest resets. */
static inline void reset(void)
{
	guest_shut_down(&g);
	guest_control(&g, do_detach, NULL);
	wait_closed();
	guest_stop(&g);
	boot();
}

static char image[64], other[64];

static inline void make_image(char path[64], const char *name, off_t size)
{
	FILE *f;

	snprintf(path, 64, "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(ftruncate(fileno(f), size), 0);
	fclose(f);
}

static inline int setup(void **state)
{
	make_image(image, "image", 1 << 20);
	make_image(other, "other", 1 << 20);
	if (disk_config_parse(&first, image, NULL, &change.e))
		fail_msg("%s", change.e.text);
	first.lun = 0;
	options = (struct vm_config){.disks = &first, .disk_count = 1};
	if (storage_open(&s, &g.control, &options, &change.e))
		fail_msg("%s", change.e.text);
	boot();
	return 0;
}

static inline int teardown(void **state)
{
	halt();
	storage_close(&s);
	disk_config_free(&first);
	unlink(image);
	unlink(other);
	return 0;
}

static inline int group_setup(void **state)
{
	return !mkdtemp(dir);
}

static inline int group_teardown(void **state)
{
	return rmdir(dir);
}

static inline bool ready(uint8_t lun)
{
	return guest_disk_run(&d, lun, NONE, 0, CDB(0, 0, 0, 0, 0, 0))->srb_status !=
	       VSTOR_SRB_INVALID_LUN;
}

static inline void give_back(struct guest_disk *disk)
{
	for (uint32_t i = 0; i < disk->channel_count; i++)
		guest_wait_rescind(&g, disk->channels[i].offer.relid);
	for (uint32_t i = disk->channel_count; i-- > 0;)
		guest_release(&g, disk->channels[i].offer.relid);
	guest_disk_forget(disk);
}

static inline void read_all(uint8_t lun)
{
	for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++) {
		guest_slot_read(&d, slot, lun, 0, 8);
		while (!guest_disk_submit(&d, slot, slot % d.channel_count))
			guest_disk_poll(&d);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
