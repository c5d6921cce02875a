/* SPDX-License-Identifier: MIT */
/*
 * Token buckets for requests and for bytes, kept as time: `busy_until` is when
 * all admitted requests would be complete at the limit's rate. A request starts
 * if that is at most one burst after now, else a timer starts it at that moment.
 * Each request reserves its time when it is submitted, so there is no queue and
 * the order is first in, first out. A cancelled request keeps its reservation,
 * because later requests have reserved after it.
 */
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "disk/filter/filter.h"
#include "disk/filter/filters.h"

#define BURST_DEFAULT_NS  (NS_PER_S / 10)
#define BYTES_COUNTED_MAX DISK_LIMIT_BURST_MAX /* of one request: the products fit 64 bits */

struct bucket {
	uint64_t per_second; /* 0: no limit */
	uint64_t burst_ns;
	_Atomic uint64_t busy_until;
};

struct limit_disk {
	struct disk disk;
	struct bucket requests;
	struct bucket bytes;
};

/* The time at which a request of this amount may start. */
static uint64_t reserve(struct bucket *b, uint64_t amount, uint64_t now)
{
	uint64_t cost, old, from;

	if (!b->per_second || !amount)
		return now;
	cost = amount * NS_PER_S / b->per_second;
	old = atomic_load_explicit(&b->busy_until, memory_order_relaxed);
	do
		from = old > now ? old : now;
	while (!atomic_compare_exchange_weak_explicit(
		&b->busy_until, &old, from + cost, memory_order_relaxed, memory_order_relaxed));
	return from > now + b->burst_ns ? from - b->burst_ns : now;
}

static uint64_t bytes_of(const struct disk_req *req)
{
	if (req->op != DISK_READ && req->op != DISK_WRITE)
		return 0;
	return req->length < BYTES_COUNTED_MAX ? req->length : BYTES_COUNTED_MAX;
}

static void limit_submit(struct disk_queue *queue, struct disk_req *req)
{
	struct limit_disk *d = (struct limit_disk *)queue->disk;
	uint64_t now = loop_now_ns();
	uint64_t start = reserve(&d->requests, 1, now);
	uint64_t bytes_start = reserve(&d->bytes, bytes_of(req), now);

	if (bytes_start > start)
		start = bytes_start;
	if (start == now)
		filter_pass_now(queue, req);
	else
		filter_pass_later(queue, req, start - now);
}

static void limit_inspect(const struct disk *disk, struct inspect *i)
{
	const struct limit_disk *d = (const struct limit_disk *)disk;

	inspect_u64(i, "iops", d->requests.per_second);
	inspect_u64(i, "iops_burst_ns", d->requests.burst_ns);
	inspect_u64(i, "bps", d->bytes.per_second);
	inspect_u64(i, "bps_burst_ns", d->bytes.burst_ns);
}

static const struct disk_ops limit_ops = {
	.name = "limit",
	.req_size = sizeof(struct filter_wait),
	.close = filter_close,
	.queue_open = filter_queue_open,
	.queue_close = filter_queue_close,
	.submit = limit_submit,
	.cancel = filter_wait_cancel,
	.inspect = limit_inspect,
};

/* A burst of n starts n requests at once: n - 1 ahead of the rate. */
static void bucket_init(struct bucket *b, uint64_t per_second, uint64_t burst, uint64_t least)
{
	b->per_second = per_second;
	if (!per_second)
		return;
	if (!burst)
		b->burst_ns = BURST_DEFAULT_NS;
	else
		b->burst_ns = (burst > least ? burst - least : 0) * NS_PER_S / per_second;
}

int disk_limit_open(
	struct disk **disk, struct disk *lower, const struct disk_limit_options *o, struct err *e)
{
	struct limit_disk *d = filter_create(sizeof(*d), &limit_ops, lower, e);

	assert(o->iops <= DISK_LIMIT_IOPS_MAX && o->iops_burst <= DISK_LIMIT_IOPS_MAX);
	assert(!o->bps || (o->bps >= DISK_LIMIT_BPS_MIN && o->bps <= DISK_LIMIT_BPS_MAX));
	assert(o->bps_burst <= DISK_LIMIT_BURST_MAX);
	if (!d)
		return -ENOMEM;
	bucket_init(&d->requests, o->iops, o->iops_burst, 1);
	bucket_init(&d->bytes, o->bps, o->bps_burst, 0);
	*disk = &d->disk;
	return 0;
}

/* ---- configuration: iops=N[:BURST], bps=SIZE[:BURST] --------------------- */

static const struct schema_key iops_keys[] = {
	{
		.name = "rate",
		.type = &schema_number,
		SCHEMA_FIELD(struct disk_limit_options, iops),
		.min = 1,
		.max = DISK_LIMIT_IOPS_MAX,
		.required = true,
		.arg = "N",
		.help = "requests per second",
	},
	{
		.name = "burst",
		.type = &schema_number,
		SCHEMA_FIELD(struct disk_limit_options, iops_burst),
		.min = 1,
		.max = DISK_LIMIT_IOPS_MAX,
		.arg = "BURST",
		.help = "requests at once after a pause; without it a tenth of a second's",
	},
	{0},
};

static const struct schema_key bps_keys[] = {
	{
		.name = "rate",
		.type = &schema_size,
		SCHEMA_FIELD(struct disk_limit_options, bps),
		.min = DISK_LIMIT_BPS_MIN,
		.max = DISK_LIMIT_BPS_MAX,
		.step = 1,
		.required = true,
		.arg = "SIZE",
		.help = "bytes per second",
	},
	{
		.name = "burst",
		.type = &schema_size,
		SCHEMA_FIELD(struct disk_limit_options, bps_burst),
		.min = 1,
		.max = DISK_LIMIT_BURST_MAX,
		.step = 1,
		.arg = "BURST",
		.help = "bytes at once after a pause; without it a tenth of a second's",
	},
	{0},
};

static int filter_open(struct disk **disk, struct disk *lower, const void *options, struct err *e)
{
	return disk_limit_open(disk, lower, options, e);
}

const struct disk_filter_ops disk_iops_filter = {
	.schema =
		{
			.name = "iops",
			.help = "limits requests per second",
			.keys = iops_keys,
			.size = sizeof(struct disk_limit_options),
		},
	.open = filter_open,
};

const struct disk_filter_ops disk_bps_filter = {
	.schema =
		{
			.name = "bps",
			.help = "limits bytes read and written per second",
			.keys = bps_keys,
			.size = sizeof(struct disk_limit_options),
		},
	.open = filter_open,
};
