/* SPDX-License-Identifier: MIT */
/* The end of flat guests. */
#include "dev_test.h"

static struct dev_rig m;
static struct debug_exit d;

static int setup(void **state)
{
	memset(&m, 0, sizeof(m));
	return debug_exit_init(&d, &m.pio, rig_ctl(&m));
}

static void text(const char *bytes)
{
	for (; *bytes; bytes++)
		rig_out(&m, 0x8900, (uint8_t)*bytes);
}

static void exit_code_becomes_status(void **state)
{
	const struct {
		uint32_t code;
		int status;
	} rows[] = {{0, 1}, {1, 3}, {38, 77}, {127, 255}, {128, 1}, {0xFFFFFFFF, 255}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pio_write(&m.pio, 0xF4, rows[i].code, 4);
		assert_int_equal(m.exits, i + 1);
		assert_int_equal(m.exit_status, rows[i].status);
	}
}

static void only_the_first_port_exits(void **state)
{
	rig_out(&m, 0xF5, 1);
	pio_write(&m.pio, 0xF6, 1, 2);
	assert_int_equal(m.exits, 0);
	rig_out(&m, 0xF4, 1);
	assert_int_equal(m.exits, 1);
}

static void shutdown_text_powers_off(void **state)
{
	text("Shutdow");
	assert_int_equal(m.power_offs, 0);
	text("n");
	assert_int_equal(m.power_offs, 1);
	text("Shutdown");
	assert_int_equal(m.power_offs, 2);
}

static void other_text_does_not(void **state)
{
	text("shutdown Shut down ShutShutdow\n");
	assert_int_equal(m.power_offs, 0);
	text("SShutShutdown"); /* restarts in the middle */
	assert_int_equal(m.power_offs, 1);
	assert_int_equal(m.exits, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		T(exit_code_becomes_status),
		T(only_the_first_port_exits),
		T(shutdown_text_powers_off),
		T(other_text_does_not),
	};

	return cmocka_run_group_tests_name("dev/debugexit", tests, NULL, NULL);
}
