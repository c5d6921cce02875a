/* SPDX-License-Identifier: MIT */
/* Common to all disks: stacking, request sizes, and the checks of every submitted request. */
#include "disk/disk.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <assert.h>

#include "base/iov.h"

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

/* Requests checked against the old size may arrive until their submitters have read the new one. */
static void size_set(struct disk *disk, uint64_t size)
{
	uint64_t old = disk_size(disk);

	if (old > disk->size_highest)
		__atomic_store_n(&disk->size_highest, old, __ATOMIC_RELEASE);
	__atomic_store_n(&disk->info.size, size, __ATOMIC_RELEASE);
}

int disk_refresh(struct disk *disk, struct err *e)
{
	uint64_t size = disk_size(disk);
	int ret;

	if (disk->lower) {
		ret = disk_refresh(disk->lower, e);
		if (ret)
			return ret;
		size = disk_size(disk->lower);
	}
	if (disk->ops->refresh) {
		ret = disk->ops->refresh(disk, &size, e);
		if (ret)
			return ret;
	}
	size_set(disk, size);
	return 0;
}

const char *disk_path(const struct disk *disk)
{
	while (disk->lower)
		disk = disk->lower;
	return disk->path;
}

static const struct disk *bottom(const struct disk *disk)
{
	while (disk->lower)
		disk = disk->lower;
	return disk;
}

uint64_t disk_change_time(const struct disk *disk)
{
	disk = bottom(disk);
	return disk->ops->change_time ? disk->ops->change_time(disk) : 0;
}

uint64_t disk_change_time_opened(const struct disk *disk)
{
	return bottom(disk)->changed_ns;
}

const char *disk_identity(const struct disk *disk)
{
	while (disk->lower)
		disk = disk->lower;
	return disk->identity;
}

bool disk_maps(const struct disk *disk)
{
	while (disk && !disk->ops->map)
		disk = disk->lower;
	return disk;
}

int disk_map(struct disk *disk, uint64_t offset, uint64_t *length, bool *mapped)
{
	for (; disk; disk = disk->lower)
		if (disk->ops->map)
			return disk->ops->map(disk, offset, length, mapped);
	*mapped = true;
	return 0;
}

/* Load the size first: if it is the new, smaller one, size_highest is already stored. */
static uint64_t size_limit(const struct disk *disk)
{
	uint64_t size = __atomic_load_n(&disk->info.size, __ATOMIC_ACQUIRE);
	uint64_t highest = __atomic_load_n(&disk->size_highest, __ATOMIC_RELAXED);

	return size > highest ? size : highest;
}

/* Preconditions of struct disk_req. A guest cannot violate them: its commands were checked. */
static void assert_request(const struct disk *disk, const struct disk_req *req)
{
	const struct disk_info *info = &disk->info;
	uint64_t size = size_limit(disk);

	assert(req->op < DISK_OP_COUNT);
	assert(req->done);
	if (req->op == DISK_FLUSH)
		return;
	assert(req->offset % info->block_size == 0 && req->length % info->block_size == 0);
	assert(req->length > 0 && req->length <= size);
	assert(req->offset <= size - req->length);
	assert(req->op == DISK_READ || !info->read_only);
	if (req->op == DISK_READ || req->op == DISK_WRITE)
		assert(req->iov_count > 0);
}

void disk_submit(struct disk_queue *queue, struct disk_req *req)
{
	ON_LOOP(queue->loop);
	assert_request(queue->disk, req);
	req->disk = queue->disk;
	queue->disk->ops->submit(queue, req);
}

void disk_cancel(struct disk_queue *queue, struct disk_req *req)
{
	ON_LOOP(queue->loop);
	if (queue->disk->ops->cancel)
		queue->disk->ops->cancel(queue, req);
}

int disk_plain_queue_open(struct disk *disk, struct loop *loop, struct disk_queue **queue)
{
	struct disk_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->disk = disk;
	q->loop = loop;
	*queue = q;
	return 0;
}

void disk_plain_queue_close(struct disk_queue *queue)
{
	free(queue);
}

void disk_set_budget(struct disk *disk, struct budget *budget)
{
	for (; disk; disk = disk->lower)
		disk->budget = budget;
}

void disk_req_copy(const struct disk_req *req, uint8_t *buffer, bool into_buffer)
{
	if (into_buffer)
		iov_copy_from(req->iov, req->iov_count, 0, buffer, req->length);
	else
		iov_copy_to(req->iov, req->iov_count, 0, buffer, req->length);
	__atomic_fetch_add(&req->disk->copied_bytes, req->length, __ATOMIC_RELAXED);
}

uint64_t disk_copied_bytes(const struct disk *disk)
{
	uint64_t bytes = 0;

	for (; disk; disk = disk->lower)
		bytes += __atomic_load_n(&disk->copied_bytes, __ATOMIC_RELAXED);
	return bytes;
}
