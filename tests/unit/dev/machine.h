/* SPDX-License-Identifier: MIT */
/* The machine around a device under test: ports, one interrupt line, and what was asked of it. */
#ifndef TESTS_UNIT_DEV_MACHINE_H
#define TESTS_UNIT_DEV_MACHINE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after its prerequisites */
#include <cmocka.h>

#include "hyper/dev/dev.h"

struct machine {
	struct pio pio;
	bool line;
	unsigned line_changes;
	unsigned power_offs, resets, exits;
	int exit_status;
};

static inline void machine_set_line(void *ctx, bool level)
{
	struct machine *m = ctx;

	assert_int_not_equal(m->line, level); /* told only when it changes */
	m->line = level;
	m->line_changes++;
}

static inline void machine_power_off(void *ctx)
{
	((struct machine *)ctx)->power_offs++;
}

static inline void machine_reset(void *ctx)
{
	((struct machine *)ctx)->resets++;
}

static inline void machine_exit(void *ctx, int status)
{
	struct machine *m = ctx;

	m->exits++;
	m->exit_status = status;
}

static inline struct dev_irq machine_irq(struct machine *m)
{
	return (struct dev_irq){machine_set_line, m};
}

static inline struct machine_control machine_ctl(struct machine *m)
{
	return (struct machine_control){machine_power_off, machine_reset, machine_exit, m};
}

static inline uint8_t machine_in(struct machine *m, uint16_t port)
{
	return (uint8_t)pio_read(&m->pio, port, 1);
}

static inline void machine_out(struct machine *m, uint16_t port, uint8_t value)
{
	pio_write(&m->pio, port, value, 1);
}

#endif
