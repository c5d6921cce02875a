/* SPDX-License-Identifier: MIT */
/* A disk for benchmarks: reads return zeros, writes are discarded, all inside submit. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/disk.h"
#include "disk/stack.h"

#define NULL_BLOCK_SIZE          512u
#define NULL_PHYSICAL_BLOCK_SIZE 4096u

static void null_submit(struct disk_queue *queue, struct disk_req *req)
{
	if (req->op == DISK_READ)
		for (uint32_t i = 0; i < req->iov_count; i++)
			memset(req->iov[i].iov_base, 0, req->iov[i].iov_len);
	req->done(req, 0);
}

static void null_close(struct disk *disk)
{
	free(disk);
}

static const struct disk_ops null_ops = {
	.name = "null",
	.close = null_close,
	.queue_open = disk_plain_queue_open,
	.queue_close = disk_plain_queue_close,
	.submit = null_submit,
};

int disk_null_open(struct disk **disk, uint64_t size, struct err *e)
{
	struct disk *d;

	if (size == 0 || size % NULL_BLOCK_SIZE)
		return err_set(e, -EINVAL,
			"null disk: size %llu is not a positive multiple of %u bytes",
			(unsigned long long)size, NULL_BLOCK_SIZE);
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, -ENOMEM, "null disk: out of memory");
	d->ops = &null_ops;
	d->info = (struct disk_info){
		.size = size,
		.block_size = NULL_BLOCK_SIZE,
		.physical_block_size = NULL_PHYSICAL_BLOCK_SIZE,
		.discard = true,
	};
	*disk = d;
	return 0;
}

/* ---- configuration: null:SIZE -------------------------------------------- */

struct null_options {
	uint64_t size;
};

static const struct schema_key keys[] = {
	{
		.name = "null",
		.type = &schema_size,
		SCHEMA_FIELD(struct null_options, size),
		.min = NULL_BLOCK_SIZE,
		.max = DISK_SIZE_MAX,
		.step = NULL_BLOCK_SIZE,
		.required = true,
		.arg = "SIZE",
		.help = "reads zeros, forgets writes",
	},
	{0},
};

static int source_open(struct disk **disk, const void *options, bool read_only, struct err *e)
{
	const struct null_options *o = options;

	return disk_null_open(disk, o->size, e);
}

const struct disk_source_ops disk_null_source = {
	.schema =
		{
			.name = "null",
			.help = "reads zeros, forgets writes",
			.keys = keys,
			.size = sizeof(struct null_options),
		},
	.open = source_open,
};
