/* SPDX-License-Identifier: MIT */
/*
 * Port I/O: a table of port ranges and their devices. Filled before the VPs
 * start, read-only afterwards; device callbacks run on VP threads and lock
 * their own state. Reads of a port nobody owns give all ones, writes vanish.
 * An access that only partly lies in a range is owned by nobody.
 */
#ifndef HYPER_PIO_H
#define HYPER_PIO_H

#include <stdint.h>

struct pio_ops {
	/* size 1, 2 or 4. Value in the low bytes; bits above size are cut off by pio_read(). */
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

#define PIO_NOBODY 0xFFFFFFFFu /* what a read finds on an idle bus */

/* Adds [first, first + count). -EINVAL: empty or past port 0xFFFF; -EEXIST: overlap; -ENOSPC. */
int pio_add(struct pio *pio, uint16_t first, uint16_t count, const struct pio_ops *ops, void *ctx);
uint32_t pio_read(const struct pio *pio, uint16_t port, unsigned size);
void pio_write(const struct pio *pio, uint16_t port, uint32_t value, unsigned size);

#endif
