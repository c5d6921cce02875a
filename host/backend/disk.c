/* SPDX-License-Identifier: MIT */
/* What all disks share: stacking, request sizes, and the gate every request passes. */
#include "backend/disk.h"

#include <assert.h>

#define DISK_SCRATCH_ALIGN 16u

static size_t scratch_size(const struct disk *disk)
{
	return (disk->ops->req_size + DISK_SCRATCH_ALIGN - 1) & ~(size_t)(DISK_SCRATCH_ALIGN - 1);
}

size_t disk_req_size(const struct disk *disk)
{
	size_t size = 0;

	for (; disk; disk = disk->lower)
		size += sizeof(struct disk_req) + scratch_size(disk);
	return size;
}

struct disk_req *disk_req_lower(const struct disk *disk, struct disk_req *req)
{
	assert(disk->lower);
	return (struct disk_req *)((char *)disk_req_scratch(req) + scratch_size(disk));
}

void disk_close(struct disk *disk)
{
	while (disk) {
		struct disk *lower = disk->lower;

		disk->ops->close(disk);
		disk = lower;
	}
}

/* The submitter's promises. A guest cannot break them: what it asked was checked before. */
static void assert_request(const struct disk_info *info, const struct disk_req *req)
{
	assert(req->op < DISK_OP_COUNT);
	assert(req->done);
	if (req->op == DISK_FLUSH)
		return;
	assert(req->offset % info->block_size == 0 && req->length % info->block_size == 0);
	assert(req->length > 0 && req->length <= info->size);
	assert(req->offset <= info->size - req->length);
	assert(req->op == DISK_READ || !info->read_only);
	if (req->op == DISK_READ || req->op == DISK_WRITE)
		assert(req->iov_count > 0);
}

void disk_submit(struct disk_queue *queue, struct disk_req *req)
{
	ON_LOOP(queue->loop);
	assert_request(&queue->disk->info, req);
	queue->disk->ops->submit(queue, req);
}
