/* SPDX-License-Identifier: MIT */
#include "tests/support/scsi_rig.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void scsi_rig_init(struct scsi_rig *rig)
{
	struct disk *memory;
	int ret;

	memset(rig, 0, sizeof(*rig));
	ret = loop_init(&rig->loop, "rig", NULL);
	assert(!ret);
	ret = disk_memory_open(&memory, (uint64_t)SCSI_RIG_BLOCKS * SCSI_RIG_BLOCK, NULL);
	assert(!ret);
	rig->disk = fault_disk_open(memory);
	ret = disk_queue_open(&rig->disk->disk, &rig->loop, &rig->queue);
	assert(!ret);
	rig->luns = 1ull << 3 | 1ull << 63;
	rig->unit = (struct scsi_unit){
		.present = true,
		.lun = 3,
		.luns = &rig->luns,
		.transfer_bytes_max = SCSI_RIG_DATA,
		.info = rig->disk->disk.info,
		.size = rig->disk->disk.info.size,
	};
	for (uint8_t i = 0; i < SCSI_ID_SIZE; i++)
		rig->unit.id[i] = 0xA0 + i;
	rig->data = calloc(1, SCSI_RIG_DATA);
	rig->task.req = aligned_alloc(16, disk_req_size(&rig->disk->disk));
	assert(rig->data && rig->task.req);
}

void scsi_rig_fini(struct scsi_rig *rig)
{
	disk_queue_close(rig->queue);
	disk_close(&rig->disk->disk);
	loop_fini(&rig->loop);
	free(rig->data);
	free(rig->task.req);
}

int scsi_rig_setup(void **state)
{
	struct scsi_rig *rig = malloc(sizeof(*rig));

	if (!rig)
		return -1;
	scsi_rig_init(rig);
	*state = rig;
	return 0;
}

int scsi_rig_teardown(void **state)
{
	scsi_rig_fini(*state);
	free(*state);
	return 0;
}

static void task_done(struct scsi_task *task)
{
	struct scsi_rig *rig = container_of(task, struct scsi_rig, task);

	rig->done++;
	if (rig->waiting)
		loop_stop(&rig->loop);
}

void scsi_rig_wait(struct scsi_rig *rig)
{
	rig->waiting = true;
	while (!rig->done)
		loop_run(&rig->loop);
	rig->waiting = false;
}

/* Pieces of 4, 8, 12 ... bytes of pages' worth would hide errors at odd places: these do not. */
static void scatter(struct scsi_rig *rig, uint32_t length)
{
	uint32_t at = 0, size = 36;

	rig->task.iov_count = 0;
	while (at < length) {
		uint32_t piece = length - at < size ? length - at : size;

		assert(rig->task.iov_count < SCSI_RIG_IOV);
		rig->iov[rig->task.iov_count++] =
			(struct iovec){.iov_base = rig->data + at, .iov_len = piece};
		at += piece;
		size = 4096;
	}
}

void scsi_rig_start(struct scsi_rig *rig, enum scsi_dir dir, uint32_t length, size_t cdb_length,
	const uint8_t *cdb)
{
	struct scsi_task *task = &rig->task;

	assert(length <= SCSI_RIG_DATA);
	memset(&task->in, 0, sizeof(task->in));
	memcpy(task->in.cdb, cdb, cdb_length < SCSI_CDB_SIZE ? cdb_length : SCSI_CDB_SIZE);
	task->in.cdb_length = (uint8_t)cdb_length;
	task->in.dir = dir;
	task->in.length = length;
	task->unit = &rig->unit;
	task->queue = rig->unit.present ? rig->queue : NULL;
	task->iov = rig->iov;
	task->iov_max = SCSI_RIG_IOV;
	task->done = task_done;
	scatter(rig, length);
	rig->done = 0;
	scsi_execute(task);
}

enum scsi_error scsi_rig_run(struct scsi_rig *rig, enum scsi_dir dir, uint32_t length,
	size_t cdb_length, const uint8_t *cdb)
{
	scsi_rig_start(rig, dir, length, cdb_length, cdb);
	scsi_rig_wait(rig);
	assert(rig->done == 1);
	return rig->task.error;
}

static void raw_done(struct disk_req *req, int error)
{
	assert(!error);
	*(bool *)req->owner = true;
}

static void raw(struct scsi_rig *rig, enum disk_op op, uint64_t lba, uint32_t blocks, void *bytes)
{
	struct disk_req *req = aligned_alloc(16, disk_req_size(&rig->disk->disk));
	struct iovec iov = {.iov_base = bytes, .iov_len = (size_t)blocks * SCSI_RIG_BLOCK};
	uint64_t before = atomic_load(&rig->disk->count[op]);
	bool done = false;

	assert(req);
	*req = (struct disk_req){
		.op = op,
		.offset = lba * SCSI_RIG_BLOCK,
		.length = iov.iov_len,
		.iov = &iov,
		.iov_count = 1,
		.done = raw_done,
		.owner = &done,
	};
	disk_submit(rig->queue, req);
	assert(done);
	atomic_store(&rig->disk->count[op], before);
	free(req);
}

void scsi_rig_peek(struct scsi_rig *rig, uint64_t lba, uint32_t blocks, void *to)
{
	raw(rig, DISK_READ, lba, blocks, to);
}

void scsi_rig_poke(struct scsi_rig *rig, uint64_t lba, uint32_t blocks, const void *from)
{
	raw(rig, DISK_WRITE, lba, blocks, (void *)from);
}
