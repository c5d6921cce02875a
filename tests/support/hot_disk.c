/* SPDX-License-Identifier: MIT */
#include "tests/support/hot_disk.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "vsp/storvsp/storvsp_impl.h"

#define CHANNELS_MAX 8u

void hot_open_disk(struct hot *hot)
{
	struct disk *memory;

	if (disk_memory_open(&memory, HOT_SIZE, NULL))
		abort();
	hot->disk = fault_disk_open(memory);
	hot->disk->delay_ns = hot->delay_ns;
	hot->disk->queues_left = hot->queues_left;
}

void hot_close_disk(struct hot *hot)
{
	disk_close(&hot->disk->disk);
	hot->disk = NULL;
}

void hot_added(void *ctx, int error)
{
	struct hot *hot = ctx;

	hot->error = error;
	hot->additions++;
	if (error)
		hot_close_disk(hot);
	hot->state = error ? HOT_FAILED : HOT_ADDED;
}

void hot_removed(void *ctx)
{
	struct hot *hot = ctx;

	hot->removals++;
	if (hot->disk)
		hot_close_disk(hot);
	hot->state = HOT_NONE;
}

static uint8_t lun_of(const struct hot *hot)
{
	return hot->cdrom ? HOT_CD : HOT_LUN;
}

void hot_do_add(void *arg)
{
	struct hot *hot = arg;
	struct storvsp_lun_config lun = {.lun = lun_of(hot), .cdrom = hot->cdrom};
	struct err e = {""};

	hot_open_disk(hot);
	lun.disk = &hot->disk->disk;
	hot->state = HOT_ADDING;
	hot->ret = storvsp_add(hot->dev, &lun, hot_added, hot, &e);
	if (hot->ret) {
		hot_close_disk(hot);
		hot->state = HOT_FAILED;
	}
}

void hot_do_remove(void *arg)
{
	struct hot *hot = arg;
	struct err e = {""};

	hot->state = HOT_REMOVING;
	hot->ret = storvsp_remove(hot->dev, lun_of(hot), hot_removed, hot, &e);
}

void hot_control(struct hot *hot, void (*fn)(void *arg))
{
	guest_control(&hot->rig->g, fn, hot);
}

void hot_nothing(void *arg)
{
}

/* What the host does needs no event of the guest's: turns of its loops are waited for. */
void hot_wait(struct hot *hot, enum hot_state state)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;

	while (hot->state != state) {
		guest_disk_poll(&hot->rig->d);
		for (uint32_t i = 0; i < hot->rig->g.host.io_thread_count; i++)
			loop_call(hot->rig->g.host.io_threads[i], hot_nothing, NULL);
		hot_control(hot, hot_nothing);
		if (loop_now_ns() > until)
			check(!"the state never comes");
	}
}

void hot_add(struct hot *hot)
{
	hot_control(hot, hot_do_add);
	check(!hot->ret);
	hot_wait(hot, HOT_ADDED);
}

void hot_remove(struct hot *hot)
{
	hot_control(hot, hot_do_remove);
	check(!hot->ret);
	hot_wait(hot, HOT_NONE);
}

static void collect(void *ctx, struct vsp_channel *ch)
{
	struct vsp_channel ***next = ctx;

	*(*next)++ = ch;
}

struct held {
	struct hot *hot;
	struct vsp_channel *channels[CHANNELS_MAX];
	uint32_t index;
};

static void collect_all(void *arg)
{
	struct held *held = arg;
	struct vsp_channel **next = held->channels;

	vsp_device_each_channel(held->hot->dev, collect, &next);
}

static void release_one(void *arg)
{
	struct held *held = arg;
	struct storvsp_channel *c = vsp_channel_priv(held->channels[held->index]);

	if (c->luns[HOT_LUN].queue)
		fault_disk_release(c->luns[HOT_LUN].queue);
}

void hot_release(struct hot *hot)
{
	struct held held = {.hot = hot};

	hot->disk->hold = false;
	guest_control(&hot->rig->g, collect_all, &held);
	for (; held.channels[held.index]; held.index++)
		loop_call(vsp_channel_loop(held.channels[held.index]), release_one, &held);
}
