/* SPDX-License-Identifier: MIT */
/*
 * A disk in anonymous memory: zero when opened, freed by close. Every operation
 * completes inside submit; nothing is volatile, so there is no write cache.
 *
 * Overlapping requests on different queues race on the bytes, as on a real
 * disk: which of two concurrent writes to a sector wins is not defined.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/iov.h"
#include "disk/disk.h"
#include "disk/stack.h"

#define MEMORY_BLOCK_SIZE          512u
#define MEMORY_PHYSICAL_BLOCK_SIZE 4096u
#define MEMORY_PAGE_SIZE           4096u
/* Below this, memset() is cheaper than freeing pages with madvise(). */
#define MEMORY_RELEASE_MIN (64u << 10)

struct memory_disk {
	struct disk disk;
	uint64_t mapped; /* bytes */
	uint8_t *bytes;
};

static struct memory_disk *memory_of(struct disk *disk)
{
	return (struct memory_disk *)disk;
}

/* Freed anonymous pages read as zero. */
static int clear(struct memory_disk *m, uint64_t offset, uint64_t length)
{
	uint64_t first = (offset + MEMORY_PAGE_SIZE - 1) & ~(uint64_t)(MEMORY_PAGE_SIZE - 1);
	uint64_t end = (offset + length) & ~(uint64_t)(MEMORY_PAGE_SIZE - 1);

	if (length < MEMORY_RELEASE_MIN || first >= end) {
		memset(m->bytes + offset, 0, length);
		return 0;
	}
	memset(m->bytes + offset, 0, first - offset);
	memset(m->bytes + end, 0, offset + length - end);
	return madvise(m->bytes + first, end - first, MADV_DONTNEED) ? -errno : 0;
}

static int perform(struct memory_disk *m, const struct disk_req *req)
{
	switch (req->op) {
	case DISK_READ:
		iov_copy_to(req->iov, req->iov_count, 0, m->bytes + req->offset, req->length);
		return 0;
	case DISK_WRITE:
		iov_copy_from(req->iov, req->iov_count, 0, m->bytes + req->offset, req->length);
		return 0;
	case DISK_DISCARD:
	case DISK_WRITE_ZEROES:
		return clear(m, req->offset, req->length);
	case DISK_FLUSH:
	case DISK_OP_COUNT:
		break;
	}
	return 0;
}

static void memory_submit(struct disk_queue *queue, struct disk_req *req)
{
	req->done(req, perform(memory_of(queue->disk), req));
}

static void memory_close(struct disk *disk)
{
	munmap(memory_of(disk)->bytes, memory_of(disk)->mapped);
	free(disk);
}

static const struct disk_ops memory_ops = {
	.name = "memory",
	.close = memory_close,
	.queue_open = disk_plain_queue_open,
	.queue_close = disk_plain_queue_close,
	.submit = memory_submit,
};

int disk_memory_open(struct disk **disk, uint64_t size, struct err *e)
{
	struct memory_disk *m;

	if (size == 0 || size % MEMORY_BLOCK_SIZE)
		return err_set(e, -EINVAL,
			"memory disk: size %llu is not a positive multiple of %u bytes",
			(unsigned long long)size, MEMORY_BLOCK_SIZE);
	m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(e, -ENOMEM, "memory disk: out of memory");
	m->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->bytes == MAP_FAILED) {
		free(m);
		return err_set(e, -ENOMEM, "memory disk: cannot reserve %llu bytes",
			(unsigned long long)size);
	}
	m->mapped = size;
	m->disk.ops = &memory_ops;
	m->disk.info = (struct disk_info){
		.size = size,
		.block_size = MEMORY_BLOCK_SIZE,
		.physical_block_size = MEMORY_PHYSICAL_BLOCK_SIZE,
		.discard = true,
	};
	*disk = &m->disk;
	return 0;
}

/* ---- configuration: memory:SIZE ------------------------------------------ */

struct memory_options {
	uint64_t size;
};

static const struct schema_key keys[] = {
	{
		.name = "memory",
		.type = &schema_size,
		SCHEMA_FIELD(struct memory_options, size),
		.min = MEMORY_BLOCK_SIZE,
		.max = DISK_SIZE_MAX,
		.step = MEMORY_BLOCK_SIZE,
		.required = true,
		.arg = "SIZE",
		.help = "memory: zeros at the start, lost at the end",
	},
	{0},
};

static int source_open(struct disk **disk, const void *options, bool read_only, struct err *e)
{
	const struct memory_options *o = options;

	return disk_memory_open(disk, o->size, e);
}

const struct disk_source_ops disk_memory_source = {
	.schema =
		{
			.name = "memory",
			.help = "memory: zeros at the start, lost at the end",
			.keys = keys,
			.size = sizeof(struct memory_options),
		},
	.open = source_open,
};
