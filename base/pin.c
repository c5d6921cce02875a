/* SPDX-License-Identifier: MIT */
#include "base/pin.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define PIN_SIZE (1ull << PIN_SHIFT)

_Static_assert(GMEM_HIGH_START % PIN_SIZE == 0, "no buffer holds both ranges of RAM");

/* The part of guest RAM in gibibyte i; empty in the hole below 4 GiB. */
static struct iovec piece_of(const struct gmem *g, uint64_t i)
{
	uint64_t start = i << PIN_SHIFT;
	uint64_t end = start < GMEM_HIGH_START ? g->low_size : GMEM_HIGH_START + g->high_size;

	if (start >= end)
		return (struct iovec){0};
	return (struct iovec){.iov_base = g->base + start,
		.iov_len = end - start < PIN_SIZE ? end - start : PIN_SIZE};
}

int loop_pin(struct loop *loop, const struct gmem *g)
{
	uint64_t end = g->high_size ? GMEM_HIGH_START + g->high_size : g->low_size;
	uint64_t count = (end + PIN_SIZE - 1) >> PIN_SHIFT;
	struct iovec *pieces;
	int ret;

	ON_LOOP(loop);
	assert(!loop->pinned);
	pieces = calloc(count, sizeof(*pieces));
	if (!pieces)
		return -ENOMEM;
	for (uint64_t i = 0; i < count; i++)
		pieces[i] = piece_of(g, i);
	ret = io_uring_register_buffers(&loop->ring, pieces, (unsigned int)count);
	free(pieces);
	if (!ret)
		loop->pinned = g;
	return ret;
}

void loop_unpin(struct loop *loop)
{
	ON_LOOP(loop);
	if (!loop->pinned)
		return;
	loop->pinned = NULL;
	io_uring_unregister_buffers(&loop->ring);
}
