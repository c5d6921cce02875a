/* SPDX-License-Identifier: MIT */
/*
 * Fails some requests. The lower disk never sees a failed one: a write has
 * changed nothing, a flush has flushed nothing (the next one does).
 */
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "disk/filter/filter.h"
#include "disk/filter/filters.h"

#define MILLION 1000000u

struct error_disk {
	struct disk disk;
	struct disk_error_options o;
	_Atomic uint64_t seen;
	_Atomic uint64_t injected;
};

static bool unlucky(struct error_disk *d, struct disk_queue *queue)
{
	if (d->o.ppm)
		return filter_queue_random(queue) % MILLION < d->o.ppm;
	return (atomic_fetch_add_explicit(&d->seen, 1, memory_order_relaxed) + 1) % d->o.every == 0;
}

static void error_submit(struct disk_queue *queue, struct disk_req *req)
{
	struct error_disk *d = (struct error_disk *)queue->disk;

	if ((d->o.ops >> req->op & 1) && unlucky(d, queue)) {
		atomic_fetch_add_explicit(&d->injected, 1, memory_order_relaxed);
		req->done(req, d->o.error);
		return;
	}
	filter_pass(queue, req);
}

static void error_close(struct disk *disk)
{
	free(disk);
}

static const struct disk_ops error_ops = {
	.name = "error",
	.close = error_close,
	.queue_open = filter_queue_open,
	.queue_close = filter_queue_close,
	.submit = error_submit,
	.cancel = filter_cancel,
};

uint64_t disk_error_injected(struct disk *disk)
{
	assert(disk->ops == &error_ops);
	return atomic_load(&((struct error_disk *)disk)->injected);
}

int disk_error_open(
	struct disk **disk, struct disk *lower, const struct disk_error_options *o, struct err *e)
{
	struct error_disk *d = calloc(1, sizeof(*d));

	assert(o->error < 0 && o->ppm <= MILLION && (o->ppm || o->every));
	if (!d)
		return err_set(e, -ENOMEM, "disk filter error: out of memory");
	filter_init(&d->disk, &error_ops, lower);
	d->o = *o;
	*disk = &d->disk;
	return 0;
}
