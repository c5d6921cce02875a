/* SPDX-License-Identifier: MIT */
#include "hyper/dev/pio.h"

#include <errno.h>
#include <stddef.h>

int pio_add(struct pio *pio, uint16_t first, uint16_t count, const struct pio_ops *ops, void *ctx)
{
	uint32_t last = (uint32_t)first + count - 1;

	if (count == 0 || last > UINT16_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < pio->count; i++)
		if (first <= pio->range[i].last && last >= pio->range[i].first)
			return -EEXIST;
	if (pio->count == PIO_RANGES_MAX)
		return -ENOSPC;
	pio->range[pio->count++] = (struct pio_range){
		.first = first,
		.last = (uint16_t)last,
		.ops = ops,
		.ctx = ctx,
	};
	return 0;
}

/* A dozen ranges at most: a linear search is cheap compared with the exit. */
static const struct pio_range *find(const struct pio *pio, uint16_t port, unsigned size)
{
	for (unsigned i = 0; i < pio->count; i++) {
		const struct pio_range *range = &pio->range[i];

		if (port >= range->first && (uint32_t)port + size - 1 <= range->last)
			return range;
	}
	return NULL;
}

static uint32_t size_mask(unsigned size)
{
	return size >= 4 ? UINT32_MAX : (1u << (8 * size)) - 1;
}

uint32_t pio_read(const struct pio *pio, uint16_t port, unsigned size)
{
	const struct pio_range *range = find(pio, port, size);
	uint32_t value = range ? range->ops->read(range->ctx, port, size) : PIO_NOBODY;

	return value & size_mask(size);
}

void pio_write(const struct pio *pio, uint16_t port, uint32_t value, unsigned size)
{
	const struct pio_range *range = find(pio, port, size);

	if (range)
		range->ops->write(range->ctx, port, value & size_mask(size), size);
}
