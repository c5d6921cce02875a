/* SPDX-License-Identifier: MIT */
/* Resets, and that PCI probing finds nothing. */
#include "dev_test.h"

static struct dev_rig m;
static struct i8042 k;

static int setup(void **state)
{
	memset(&m, 0, sizeof(m));
	return i8042_init(&k, &m.pio, rig_ctl(&m));
}

static void keyboard_reset(void **state)
{
	assert_int_equal(rig_in(&m, 0x64) & 0x02, 0); /* Linux waits for this before 0xFE */
	rig_out(&m, 0x64, 0xAA);
	assert_int_equal(m.resets, 0);
	rig_out(&m, 0x64, 0xFE);
	assert_int_equal(m.resets, 1);
}

/* Linux: cf9 = in & ~code; out cf9 | 2; out cf9 | code. */
static void cf9_reset(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		uint8_t code = i ? 0x0E : 0x06, cf9 = rig_in(&m, 0xCF9) & (uint8_t)~code;

		rig_out(&m, 0xCF9, cf9 | 2);
		assert_int_equal(m.resets, i);
		rig_out(&m, 0xCF9, cf9 | code);
		assert_int_equal(m.resets, i + 1);
	}
}

static void no_configuration_mechanism_1(void **state)
{
	rig_out(&m, 0xCFB, 0x01);
	pio_write(&m.pio, 0xCF8, 0x80000000, 4);
	assert_int_not_equal(pio_read(&m.pio, 0xCF8, 4), 0x80000000);
	assert_int_equal(m.resets, 0);
}

static void no_configuration_mechanism_2(void **state)
{
	rig_out(&m, 0xCFB, 0);
	rig_out(&m, 0xCF8, 0);
	rig_out(&m, 0xCFA, 0);
	assert_false(rig_in(&m, 0xCF8) == 0 && rig_in(&m, 0xCFA) == 0);
}

/* Early quirks read configuration space without a check for PCI. */
static void configuration_data_is_an_empty_bus(void **state)
{
	pio_write(&m.pio, 0xCF8, 0x8000FF08, 4); /* bytes at 0xCF9: 0xFF, but not a reset */
	assert_int_equal(m.resets, 0);
	assert_int_equal(pio_read(&m.pio, 0xCFC, 4), 0xFFFFFFFF);
	assert_int_equal(pio_read(&m.pio, 0xCFE, 2), 0xFFFF);
	assert_int_equal(rig_in(&m, 0xCFF), 0xFF);
	pio_write(&m.pio, 0xCFC, 0xFFFFFFFF, 4);
	pio_write(&m.pio, 0xCF9, 0xFFFF, 2);
	assert_int_equal(m.resets, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		T(keyboard_reset),
		T(cf9_reset),
		T(no_configuration_mechanism_1),
		T(no_configuration_mechanism_2),
		T(configuration_data_is_an_empty_bus),
	};

	return cmocka_run_group_tests_name("dev/i8042", tests, NULL, NULL);
}
