/* SPDX-License-Identifier: MIT */
#include "disk/filter/filter.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/inspect.h"
#include "disk/filter/filters.h"

void *filter_create(size_t size, const struct disk_ops *ops, struct disk *lower, struct err *e)
{
	struct disk *disk = calloc(1, size);

	if (!disk) {
		err_set(e, -ENOMEM, "disk filter %s: out of memory", ops->name);
		return NULL;
	}
	disk->ops = ops;
	disk->lower = lower;
	disk->info = lower->info;
	return disk;
}

void filter_close(struct disk *disk)
{
	free(disk);
}

/* Each queue has its own sequence, the same in every run. */
static uint64_t next_seed(void)
{
	static _Atomic uint64_t queues;

	return atomic_fetch_add(&queues, 1);
}

int filter_queue_open(struct disk *disk, struct loop *loop, struct disk_queue **queue)
{
	struct filter_queue *q = calloc(1, sizeof(*q));
	int ret;

	if (!q)
		return -ENOMEM;
	q->queue.disk = disk;
	q->queue.loop = loop;
	q->random = next_seed();
	ret = disk_queue_open(disk->lower, loop, &q->lower);
	if (ret) {
		free(q);
		return ret;
	}
	*queue = &q->queue;
	return 0;
}

void filter_queue_close(struct disk_queue *queue)
{
	disk_queue_close(filter_lower_queue(queue));
	free(queue);
}

static void passed(struct disk_req *lower, int error)
{
	struct disk_req *req = lower->owner;

	req->done(req, error);
}

void filter_pass(struct disk_queue *queue, struct disk_req *req)
{
	struct disk_req *lower = disk_req_lower(queue->disk, req);

	*lower = *req;
	lower->done = passed;
	lower->owner = req;
	disk_submit(filter_lower_queue(queue), lower);
}

void filter_cancel(struct disk_queue *queue, struct disk_req *req)
{
	disk_cancel(filter_lower_queue(queue), disk_req_lower(queue->disk, req));
}

void filter_ops_inspect(uint32_t ops, struct inspect *i)
{
	static const char *const names[DISK_OP_COUNT] = {
		[DISK_READ] = "read",
		[DISK_WRITE] = "write",
		[DISK_FLUSH] = "flush",
		[DISK_DISCARD] = "discard",
		[DISK_WRITE_ZEROES] = "zeroes",
	};

	inspect_begin_array(i, "operations");
	for (uint32_t op = 0; op < DISK_OP_COUNT; op++)
		if (ops >> op & 1)
			inspect_text(i, NULL, names[op]);
	inspect_end(i);
}

/* ---- delayed requests ---------------------------------------------------- */

static struct disk_req *waiting(struct loop_timer *t)
{
	return disk_req_of_scratch(container_of(t, struct filter_wait, timer));
}

static void wait_over(struct loop_timer *t)
{
	filter_pass(container_of(t, struct filter_wait, timer)->queue, waiting(t));
}

static void wait_cancelled(struct loop_timer *t)
{
	struct disk_req *req = waiting(t);

	req->done(req, -ECANCELED);
}

void filter_pass_later(struct disk_queue *queue, struct disk_req *req, uint64_t delay_ns)
{
	struct filter_wait *wait = disk_req_scratch(req);

	*wait = (struct filter_wait){.queue = queue};
	loop_timer_start(queue->loop, &wait->timer, delay_ns, wait_over);
}

void filter_pass_now(struct disk_queue *queue, struct disk_req *req)
{
	struct filter_wait *wait = disk_req_scratch(req);

	wait->timer.armed = false;
	filter_pass(queue, req);
}

void filter_wait_cancel(struct disk_queue *queue, struct disk_req *req)
{
	struct filter_wait *wait = disk_req_scratch(req);

	if (wait->timer.armed)
		loop_timer_start(queue->loop, &wait->timer, 0, wait_cancelled);
	else
		filter_cancel(queue, req);
}

/* ---- configuration ------------------------------------------------------- */

static const struct {
	const char *name;
	uint32_t ops;
} op_names[] = {
	{"read", 1u << DISK_READ},
	{"write", 1u << DISK_WRITE | 1u << DISK_WRITE_ZEROES | 1u << DISK_DISCARD},
	{"flush", 1u << DISK_FLUSH},
	{"all", DISK_OPS_ALL},
};

#define OP_NAME_COUNT (sizeof(op_names) / sizeof(op_names[0]))

static int ops_parse(const struct schema_key *key, const char *text, void *field)
{
	for (size_t i = 0; i < OP_NAME_COUNT; i++) {
		if (!strcmp(text, op_names[i].name)) {
			*(uint32_t *)field = op_names[i].ops;
			return 0;
		}
	}
	return -EINVAL;
}

static int ops_format(const struct schema_key *key, const void *field, char **text)
{
	size_t i = 0;

	while (op_names[i].ops != *(const uint32_t *)field)
		i++;
	*text = strdup(op_names[i].name);
	return *text ? 0 : -ENOMEM;
}

const struct schema_type filter_ops_type = {
	.json = SCHEMA_JSON_STRING,
	.parse = ops_parse,
	.format = ops_format,
};
