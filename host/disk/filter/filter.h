/* SPDX-License-Identifier: MIT */
/* Common to all filters: a disk over a lower disk; each queue owns a queue of the lower disk. */
#ifndef BACKEND_FILTER_H
#define BACKEND_FILTER_H

#include "base/inspect.h"
#include "disk/stack.h"

struct filter_queue {
	struct disk_queue queue;
	struct disk_queue *lower;
	uint64_t random; /* state of filter_random() */
};

/* A new filter disk of `size` zeroed bytes, which begin with struct disk, with the geometry of the
 * lower one, which it owns from now on. NULL: out of memory, with e set. */
void *filter_create(size_t size, const struct disk_ops *ops, struct disk *lower, struct err *e);
/* disk_ops.close of filters that own nothing else; the others free themselves with it. */
void filter_close(struct disk *disk);

/* disk_ops.queue_open and .queue_close of filters. */
int filter_queue_open(struct disk *disk, struct loop *loop, struct disk_queue **queue);
void filter_queue_close(struct disk_queue *queue);

/* Submits a copy of the request to the lower disk; req->done gets its result. */
void filter_pass(struct disk_queue *queue, struct disk_req *req);

/* disk_ops.cancel of filters that do not delay requests. */
void filter_cancel(struct disk_queue *queue, struct disk_req *req);

/* The operations of a filter that owns only its memory and does not delay requests; what is left
 * is name, submit, and inspect. */
#define FILTER_OPS                                                                                 \
	.close = filter_close, .queue_open = filter_queue_open, .queue_close = filter_queue_close, \
	.cancel = filter_cancel

/* For disk_ops.inspect: the names of these operations, bits of 1 << enum disk_op. */
void filter_ops_inspect(uint32_t ops, struct inspect *i);

/* Scratch of filters that delay requests. */
struct filter_wait {
	struct loop_timer timer;
	struct disk_queue *queue;
};

/* filter_pass() after delay_ns. */
void filter_pass_later(struct disk_queue *queue, struct disk_req *req, uint64_t delay_ns);
/* filter_pass() in a filter with struct filter_wait as scratch. */
void filter_pass_now(struct disk_queue *queue, struct disk_req *req);
/* disk_ops.cancel of filters that delay requests. */
void filter_wait_cancel(struct disk_queue *queue, struct disk_req *req);

static inline struct disk_queue *filter_lower_queue(struct disk_queue *queue)
{
	return ((struct filter_queue *)queue)->lower;
}

/* splitmix64 (public domain, S. Vigna): any seed is good. */
static inline uint64_t filter_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9E3779B97F4A7C15ull);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
	return z ^ (z >> 31);
}

static inline uint64_t filter_queue_random(struct disk_queue *queue)
{
	return filter_random(&((struct filter_queue *)queue)->random);
}

/* ---- configuration ------------------------------------------------------- */

/* uint32_t: bits of 1 << enum disk_op, as "read", "write" (with discards and zeroes), "flush" or
 * "all". */
extern const struct schema_type filter_ops_type;

/* The key of filters that concern only some operations. */
#define FILTER_OPS_KEY(options, member)                                                            \
	{                                                                                          \
		.name = "op", .type = &filter_ops_type, SCHEMA_FIELD(options, member),             \
		.must_be = "read, write, flush or all", .preset = "all",                           \
		.arg = "read|write|flush|all",                                                     \
		.help = "these requests only; write includes discards and zeroes"                  \
	}

#endif
