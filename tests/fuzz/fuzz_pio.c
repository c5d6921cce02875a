/* SPDX-License-Identifier: MIT */
/*
 * Arbitrary port accesses on all devices at once. Input: a list of struct op.
 * dev_irq is called only for changes; reads have no bits above their size; only
 * the ports for it request a reset or power off.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hyper/dev/dev.h"
#include "tests/fuzz/input.h"

enum op_kind { OP_READ, OP_WRITE, OP_INPUT, OP_BUTTON, OP_KINDS };

struct op {
	uint8_t kind; /* bits 7:4 choose where `port` counts from; 0: from 0 */
	uint8_t size;
	uint16_t port;
	uint32_t value;
} __attribute__((packed));
_Static_assert(sizeof(struct op) == 8, "");

static const uint16_t bases[] = {0, SERIAL_PORT, RTC_PORT, ACPI_PM1_EVT_PORT, ACPI_PM1_CNT_PORT,
	ACPI_RESET_PORT, I8042_STATUS_PORT, PCI_CONFIG_PORT, DEBUG_EXIT_PORT, SHUTDOWN_PORT};
#define BASES (sizeof(bases) / sizeof(bases[0]))

struct line {
	bool level;
};

struct machine {
	struct pio pio;
	struct serial serial;
	struct rtc rtc;
	struct acpi_pm pm;
	struct i8042 i8042;
	struct debug_exit debug_exit;
	struct line com1, sci;
	uint16_t port; /* of the write under way */
	unsigned long bytes;
};

static void line_set(void *ctx, bool level)
{
	struct line *line = ctx;

	require(line->level != level, "a line was told its level again");
	line->level = level;
}

static void power_off(void *ctx)
{
	struct machine *m = ctx;

	require(m->port == SHUTDOWN_PORT ||
			(m->port >= ACPI_PM1_EVT_PORT && m->port < ACPI_PM1_EVT_PORT + 6),
		"power off by another port");
}

static void reset(void *ctx)
{
	struct machine *m = ctx;

	require(m->port == ACPI_RESET_PORT || m->port == I8042_STATUS_PORT ||
			m->port == PCI_CONFIG_PORT + 1,
		"reset by another port");
}

static void debug_exit(void *ctx, int status)
{
	struct machine *m = ctx;

	require(m->port == DEBUG_EXIT_PORT, "exit by another port");
	require((status & 1) && status > 0 && status < 256, "not an exit status");
}

static void console(void *ctx, uint8_t byte)
{
	struct machine *m = ctx;

	m->bytes++;
}

static void create(struct machine *m)
{
	struct power_control control = {power_off, reset, debug_exit, m};
	int ret = 0;

	memset(m, 0, sizeof(*m));
	ret |= serial_init(&m->serial, &m->pio, (struct dev_irq){line_set, &m->com1}, console, m);
	ret |= rtc_init(&m->rtc, &m->pio);
	ret |= acpi_pm_init(&m->pm, &m->pio, control, (struct dev_irq){line_set, &m->sci});
	ret |= i8042_init(&m->i8042, &m->pio, control);
	ret |= debug_exit_init(&m->debug_exit, &m->pio, control);
	require(ret == 0, "devices do not fit together");
}

static void run(struct machine *m, const struct op *op)
{
	unsigned size = 1u << op->size % 3;
	uint32_t value;

	m->port = (uint16_t)(bases[(op->kind >> 4) % BASES] + op->port);
	switch ((enum op_kind)((op->kind & 0xF) % OP_KINDS)) {
	case OP_READ:
		value = pio_read(&m->pio, m->port, size);
		require(size == 4 || value >> 8 * size == 0, "a read has bits above its size");
		break;
	case OP_WRITE:
		pio_write(&m->pio, m->port, op->value, size);
		break;
	case OP_INPUT:
		require(serial_input(&m->serial, (const uint8_t *)op, sizeof(*op)) <= sizeof(*op),
			"took more input than there was");
		break;
	case OP_BUTTON:
		acpi_pm_power_button(&m->pm);
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct machine m;
	struct op op;

	create(&m);
	for (; size >= sizeof(op); data += sizeof(op), size -= sizeof(op)) {
		memcpy(&op, data, sizeof(op));
		run(&m, &op);
	}
	return 0;
}
