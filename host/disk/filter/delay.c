/* SPDX-License-Identifier: MIT */
/* Holds requests before it passes them on. Each has a timer of its own, so later ones overtake. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "disk/filter/filter.h"
#include "disk/filter/filters.h"

struct delay_disk {
	struct disk disk;
	struct disk_delay_options o;
};

static uint64_t choose(struct disk_queue *queue, const struct disk_delay_options *o)
{
	uint64_t span = o->max_ns - o->min_ns;

	return o->min_ns + (span ? filter_queue_random(queue) % (span + 1) : 0);
}

static void delay_submit(struct disk_queue *queue, struct disk_req *req)
{
	struct delay_disk *d = (struct delay_disk *)queue->disk;

	if (d->o.ops >> req->op & 1)
		filter_pass_later(queue, req, choose(queue, &d->o));
	else
		filter_pass_now(queue, req);
}

static void delay_close(struct disk *disk)
{
	free(disk);
}

static const struct disk_ops delay_ops = {
	.name = "delay",
	.req_size = sizeof(struct filter_wait),
	.close = delay_close,
	.queue_open = filter_queue_open,
	.queue_close = filter_queue_close,
	.submit = delay_submit,
	.cancel = filter_wait_cancel,
};

int disk_delay_open(
	struct disk **disk, struct disk *lower, const struct disk_delay_options *o, struct err *e)
{
	struct delay_disk *d = calloc(1, sizeof(*d));

	assert(o->min_ns <= o->max_ns && o->max_ns < UINT64_MAX);
	if (!d)
		return err_set(e, -ENOMEM, "disk filter delay: out of memory");
	filter_init(&d->disk, &delay_ops, lower);
	d->o = *o;
	*disk = &d->disk;
	return 0;
}
