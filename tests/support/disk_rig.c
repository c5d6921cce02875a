/* SPDX-License-Identifier: MIT */
#include "tests/support/disk_rig.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void disk_rig_init(struct disk_rig *rig, struct disk *disk)
{
	int ret;

	memset(rig, 0, sizeof(*rig));
	ret = loop_init(&rig->loop, "rig", NULL);
	assert(!ret);
	rig->disk = disk;
	ret = disk_queue_open(disk, &rig->loop, &rig->queue);
	assert(!ret);
	for (uint32_t i = 0; i < DISK_RIG_REQUESTS; i++) {
		rig->slots[i].rig = rig;
		rig->slots[i].req = aligned_alloc(16, disk_req_size(disk));
		assert(rig->slots[i].req);
	}
}

void disk_rig_fini(struct disk_rig *rig, bool keep)
{
	assert(!rig->in_flight);
	disk_queue_close(rig->queue);
	loop_stop(&rig->loop); /* what closing has posted still runs */
	loop_run(&rig->loop);
	loop_fini(&rig->loop);
	if (!keep)
		disk_close(rig->disk);
	for (uint32_t i = 0; i < DISK_RIG_REQUESTS; i++)
		free(rig->slots[i].req);
}

static void request_done(struct disk_req *req, int error)
{
	struct disk_rig_slot *slot = req->owner;

	assert(slot->busy);
	slot->busy = false;
	slot->error = error;
	slot->done_ns = loop_now_ns();
	slot->rig->in_flight--;
	loop_stop(&slot->rig->loop);
}

void disk_rig_start(struct disk_rig *rig, uint32_t slot, enum disk_op op, uint32_t flags,
	uint64_t offset, uint64_t length, const void *bytes)
{
	struct disk_rig_slot *s = &rig->slots[slot];

	assert(!s->busy);
	s->busy = true;
	s->iov = (struct iovec){.iov_base = (void *)bytes, .iov_len = length};
	*s->req = (struct disk_req){
		.op = op,
		.flags = flags,
		.offset = offset,
		.length = length,
		.iov = bytes ? &s->iov : NULL,
		.iov_count = bytes ? 1 : 0,
		.done = request_done,
		.owner = s,
	};
	rig->in_flight++;
	disk_submit(rig->queue, s->req);
}

void disk_rig_wait(struct disk_rig *rig, uint32_t left)
{
	while (rig->in_flight > left)
		loop_run(&rig->loop);
}

void disk_rig_cancel(struct disk_rig *rig, uint32_t slot)
{
	assert(rig->slots[slot].busy);
	disk_cancel(rig->queue, rig->slots[slot].req);
	assert(rig->slots[slot].busy);
}

int disk_rig_run(struct disk_rig *rig, enum disk_op op, uint32_t flags, uint64_t offset,
	uint64_t length, const void *bytes)
{
	assert(!rig->in_flight);
	disk_rig_start(rig, 0, op, flags, offset, length, bytes);
	disk_rig_wait(rig, 0);
	return rig->slots[0].error;
}
