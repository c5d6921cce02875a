/* SPDX-License-Identifier: MIT */
/* ACPI fixed hardware: power button, power off, reset, register widths. */
#include "dev_test.h"

#define STATUS 0x600
#define ENABLE 0x602
#define CNT    0x604
#define PWRBTN 0x100
#define SLP_EN 0x2000

static struct dev_rig m;
static struct acpi_pm pm;

static int setup(void **state)
{
	memset(&m, 0, sizeof(m));
	return acpi_pm_init(&pm, &m.pio, rig_ctl(&m), rig_irq(&m));
}

static uint16_t in(uint16_t port)
{
	return (uint16_t)pio_read(&m.pio, port, 2);
}

static void out(uint16_t port, uint16_t value)
{
	pio_write(&m.pio, port, value, 2);
}

static void always_in_acpi_mode(void **state)
{
	assert_int_equal(in(CNT), 1);
	out(CNT, 0);
	assert_int_equal(in(CNT), 1);
}

static void button_raises_the_sci(void **state)
{
	out(ENABLE, PWRBTN);
	assert_false(m.line);
	acpi_pm_power_button(&pm);
	assert_true(m.line);
	assert_int_equal(in(STATUS), PWRBTN);
	acpi_pm_power_button(&pm); /* again: still one level */
	out(STATUS, 0);
	assert_true(m.line); /* only ones clear */
	out(STATUS, PWRBTN);
	assert_false(m.line);
	assert_int_equal(in(STATUS), 0);
	assert_int_equal(m.line_changes, 2);
}

static void disabled_button_waits(void **state)
{
	acpi_pm_power_button(&pm);
	assert_false(m.line);
	out(ENABLE, PWRBTN);
	assert_true(m.line);
	out(ENABLE, 0);
	assert_false(m.line);
	assert_int_equal(in(STATUS), PWRBTN);
}

/* ACPICA enables an event and reads it back; missing events must read as disabled. */
static void enables_read_back(void **state)
{
	out(ENABLE, 0xFFFF);
	assert_int_equal(in(ENABLE), 0x0720);
	assert_false(m.line);
	out(STATUS, 0xFFFF);
	assert_int_equal(in(STATUS), 0);
}

static void sleep_5_powers_off(void **state)
{
	out(CNT, 5 << 10); /* as ACPICA does: the type first, then the trigger */
	assert_int_equal(m.power_offs, 0);
	assert_int_equal(in(CNT), 5 << 10 | 1);
	out(CNT, 5 << 10 | SLP_EN);
	assert_int_equal(m.power_offs, 1);
	assert_int_equal(in(CNT), 5 << 10 | 1); /* SLP_EN reads 0 */
}

static void other_sleeps_do_nothing(void **state)
{
	for (uint16_t type = 0; type < 8; type++)
		if (type != 5)
			out(CNT, (uint16_t)(type << 10 | SLP_EN));
	assert_int_equal(m.power_offs, 0);
	out(CNT, 5 << 10);
	assert_int_equal(m.power_offs, 0); /* no trigger left over */
}

static void any_width_means_the_same(void **state)
{
	pio_write(&m.pio, STATUS, (uint32_t)PWRBTN << 16 | 0xFFFF, 4);
	assert_int_equal(pio_read(&m.pio, STATUS, 4), (uint32_t)PWRBTN << 16);
	pio_write(&m.pio, ENABLE, 0x20, 1); /* low byte: the high one stays */
	assert_int_equal(in(ENABLE), PWRBTN | 0x20);
	acpi_pm_power_button(&pm);
	assert_int_equal(rig_in(&m, STATUS + 1), 1);
	rig_out(&m, STATUS, 0xFF);
	assert_int_equal(in(STATUS), PWRBTN);
	rig_out(&m, STATUS + 1, 0x01);
	assert_int_equal(in(STATUS), 0);
	rig_out(&m, CNT + 1, (5 << 10 | SLP_EN) >> 8);
	assert_int_equal(m.power_offs, 1);
	assert_int_equal(pio_read(&m.pio, CNT, 4), 0xFFFFFFFF); /* two bytes too long */
}

static void reset_register(void **state)
{
	rig_out(&m, 0x608, 0);
	assert_int_equal(m.resets, 0);
	rig_out(&m, 0x608, 1);
	assert_int_equal(m.resets, 1);
	assert_int_equal(rig_in(&m, 0x608), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		T(always_in_acpi_mode),
		T(button_raises_the_sci),
		T(disabled_button_waits),
		T(enables_read_back),
		T(sleep_5_powers_off),
		T(other_sleeps_do_nothing),
		T(any_width_means_the_same),
		T(reset_register),
	};

	return cmocka_run_group_tests_name("dev/acpi_pm", tests, NULL, NULL);
}
