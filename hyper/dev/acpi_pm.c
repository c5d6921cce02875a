/* SPDX-License-Identifier: MIT */
/*
 * ACPI fixed hardware: PM1 status/enable and control, and the FADT's reset
 * register. The VM is always in ACPI mode: SCI_EN reads 1, and the FADT has no
 * SMI command port. There is no PM timer and no GPE block.
 *
 * The power button sets PWRBTN_STS; the SCI stays up while an enabled status
 * bit is set, and the guest writes 1 to clear it.
 *
 * Blocks may be accessed in any width: a register is its two bytes.
 */
#include <string.h>

#include "hyper/dev/dev.h"

#define PM1_GBL     (1u << 5)
#define PM1_PWRBTN  (1u << 8)
#define PM1_SLPBTN  (1u << 9)
#define PM1_RTC     (1u << 10)
#define PM1_ENABLES (PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC)

#define CNT_SCI_EN        (1u << 0)
#define CNT_BM_RLD        (1u << 1)
#define CNT_SLP_TYP_SHIFT 10
#define CNT_SLP_TYP_MASK  7u
#define CNT_SLP_EN        (1u << 13)
#define CNT_KEPT          (CNT_BM_RLD | CNT_SLP_TYP_MASK << CNT_SLP_TYP_SHIFT)

/* Bytes of the two blocks, from ACPI_PM1_EVT_PORT on. */
enum { PM_STATUS = 0, PM_ENABLE = 2, PM_CNT = 4, PM_BLOCK_SIZE = 6 };

_Static_assert(ACPI_PM1_EVT_PORT + PM_CNT == ACPI_PM1_CNT_PORT, "the blocks are one range");

static void update_sci(struct acpi_pm *pm)
{
	bool level = pm->status & pm->enable;

	if (level == pm->line)
		return;
	pm->line = level;
	pm->sci.set(pm->sci.ctx, level);
}

/* Writes bits [shift, shift + 8) of a register. */
static uint16_t merge(uint16_t reg, uint8_t byte, unsigned shift)
{
	return (uint16_t)((reg & ~(0xFFu << shift)) | (unsigned)byte << shift);
}

static uint8_t read_byte(const struct acpi_pm *pm, unsigned offset)
{
	unsigned shift = 8 * (offset % 2);

	switch (offset & ~1u) {
	case PM_STATUS:
		return (uint8_t)(pm->status >> shift);
	case PM_ENABLE:
		return (uint8_t)(pm->enable >> shift);
	default:
		return (uint8_t)((pm->cnt | CNT_SCI_EN) >> shift);
	}
}

static void write_byte(struct acpi_pm *pm, unsigned offset, uint8_t byte)
{
	unsigned shift = 8 * (offset % 2);

	switch (offset & ~1u) {
	case PM_STATUS: /* write 1 to clear */
		pm->status &= (uint16_t) ~((unsigned)byte << shift);
		break;
	case PM_ENABLE:
		pm->enable = merge(pm->enable, byte, shift) & PM1_ENABLES;
		break;
	default:
		pm->cnt = merge(pm->cnt, byte, shift) & (CNT_KEPT | CNT_SLP_EN);
		break;
	}
}

/* SLP_EN is a trigger and always reads 0. S5 is the only sleep state the DSDT offers. */
static bool take_power_off(struct acpi_pm *pm)
{
	bool sleep = pm->cnt & CNT_SLP_EN;

	pm->cnt &= CNT_KEPT;
	return sleep && (pm->cnt >> CNT_SLP_TYP_SHIFT & CNT_SLP_TYP_MASK) == ACPI_SLP_TYP_S5;
}

static uint32_t pm_read(void *ctx, uint16_t port, unsigned size)
{
	struct acpi_pm *pm = ctx;
	uint32_t value = 0;

	pthread_mutex_lock(&pm->lock);
	for (unsigned i = 0; i < size; i++)
		value |= (uint32_t)read_byte(pm, port - ACPI_PM1_EVT_PORT + i) << 8 * i;
	pthread_mutex_unlock(&pm->lock);
	return value;
}

static void pm_write(void *ctx, uint16_t port, uint32_t value, unsigned size)
{
	struct acpi_pm *pm = ctx;
	bool power_off;

	pthread_mutex_lock(&pm->lock);
	for (unsigned i = 0; i < size; i++)
		write_byte(pm, port - ACPI_PM1_EVT_PORT + i, (uint8_t)(value >> 8 * i));
	update_sci(pm);
	power_off = take_power_off(pm);
	pthread_mutex_unlock(&pm->lock);
	if (power_off)
		pm->control.power_off(pm->control.ctx);
}

static uint32_t reset_read(void *ctx, uint16_t port, unsigned size)
{
	return 0;
}

static void reset_write(void *ctx, uint16_t port, uint32_t value, unsigned size)
{
	struct acpi_pm *pm = ctx;

	if (value == ACPI_RESET_VALUE)
		pm->control.reset(pm->control.ctx);
}

static const struct pio_ops pm_ops = {
	.read = pm_read,
	.write = pm_write,
};

static const struct pio_ops reset_ops = {
	.read = reset_read,
	.write = reset_write,
};

int acpi_pm_init(
	struct acpi_pm *pm, struct pio *pio, struct power_control control, struct dev_irq sci)
{
	int ret;

	memset(pm, 0, sizeof(*pm));
	pthread_mutex_init(&pm->lock, NULL);
	pm->control = control;
	pm->sci = sci;
	ret = pio_add(pio, ACPI_PM1_EVT_PORT, PM_BLOCK_SIZE, &pm_ops, pm);
	if (ret)
		return ret;
	return pio_add(pio, ACPI_RESET_PORT, 1, &reset_ops, pm);
}

void acpi_pm_power_button(struct acpi_pm *pm)
{
	pthread_mutex_lock(&pm->lock);
	pm->status |= PM1_PWRBTN;
	update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
}

void acpi_pm_archive(struct acpi_pm *pm, struct archive *a)
{
	pthread_mutex_lock(&pm->lock);
	archive_begin(a, "acpi_pm", 1);
	archive_u16(a, "status", &pm->status);
	archive_u16(a, "enable", &pm->enable);
	archive_u16(a, "control", &pm->cnt);
	archive_end(a);
	if (a->reading)
		update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
}
