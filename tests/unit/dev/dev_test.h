/* SPDX-License-Identifier: MIT */
/* Environment of a device under test: ports, one interrupt line, recorded requests. */
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

struct dev_rig {
	struct pio pio;
	bool line;
	unsigned line_changes;
	unsigned power_offs, resets, exits;
	int exit_status;
};

static inline void rig_set_line(void *ctx, bool level)
{
	struct dev_rig *m = ctx;

	assert_int_not_equal(m->line, level); /* called only when it changes */
	m->line = level;
	m->line_changes++;
}

static inline void rig_power_off(void *ctx)
{
	((struct dev_rig *)ctx)->power_offs++;
}

static inline void rig_reset(void *ctx)
{
	((struct dev_rig *)ctx)->resets++;
}

static inline void rig_exit(void *ctx, int status)
{
	struct dev_rig *m = ctx;

	m->exits++;
	m->exit_status = status;
}

static inline struct dev_irq rig_irq(struct dev_rig *m)
{
	return (struct dev_irq){rig_set_line, m};
}

static inline struct power_control rig_ctl(struct dev_rig *m)
{
	return (struct power_control){rig_power_off, rig_reset, rig_exit, m};
}

static inline uint8_t rig_in(struct dev_rig *m, uint16_t port)
{
	return (uint8_t)pio_read(&m->pio, port, 1);
}

static inline void rig_out(struct dev_rig *m, uint16_t port, uint8_t value)
{
	pio_write(&m->pio, port, value, 1);
}

#endif
