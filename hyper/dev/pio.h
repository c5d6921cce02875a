/* SPDX-License-Identifier: MIT */
/*
 * Port I/O: a table of port ranges and their devices. Filled before the VPs
 * start, read-only afterwards; device callbacks run on VP threads and lock
 * their own state. Reads of other ports return all ones, writes are ignored, as
 * for accesses that are only partly in a range.
 */
#ifndef HYPER_PIO_H
#define HYPER_PIO_H

#include <stdint.h>

struct pio_ops {
	/* size 1, 2 or 4. Value in the low bytes; pio_read() clears bits above size. */
	uint32_t (*read)(void *ctx, uint16_t port, unsigned size);
	void (*write)(void *ctx, uint16_t port, uint32_t value, unsigned size);
};

#define PIO_RANGES_MAX 16u
struct pio {
	struct pio_range {
		uint16_t first, last;
		const struct pio_ops *ops;
		void *ctx;
	} range[PIO_RANGES_MAX];
	unsigned count;
};

#define PIO_NOBODY 0xFFFFFFFFu /* a read from an idle bus */

/* Adds [first, first + count). -EINVAL: empty or past port 0xFFFF; -EEXIST: overlap; -ENOSPC. */
int pio_add(struct pio *pio, uint16_t first, uint16_t count, const struct pio_ops *ops, void *ctx);
uint32_t pio_read(const struct pio *pio, uint16_t port, unsigned size);
void pio_write(const struct pio *pio, uint16_t port, uint32_t value, unsigned size);

#endif
