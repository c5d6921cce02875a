/* SPDX-License-Identifier: MIT */
/* RTC: the host's clock in BCD, and registers a guest cannot break. */
#include <time.h>

#include "dev_test.h"

static struct dev_rig m;
static struct rtc rtc;

static int setup(void **state)
{
	memset(&m, 0, sizeof(m));
	return rtc_init(&rtc, &m.pio);
}

static uint8_t get(uint8_t reg)
{
	rig_out(&m, 0x70, reg);
	return rig_in(&m, 0x71);
}

static void set(uint8_t reg, uint8_t value)
{
	rig_out(&m, 0x70, reg);
	rig_out(&m, 0x71, value);
}

static int from_bcd(uint8_t value)
{
	assert_true((value & 0xF) < 10 && value >> 4 < 10);
	return (value >> 4) * 10 + (value & 0xF);
}

/* As drivers read it: again if the second changed meanwhile. */
static time_t read_time(void)
{
	struct tm tm;
	uint8_t seconds;

	do {
		seconds = get(0x00);
		tm = (struct tm){
			.tm_sec = from_bcd(seconds),
			.tm_min = from_bcd(get(0x02)),
			.tm_hour = from_bcd(get(0x04)),
			.tm_mday = from_bcd(get(0x07)),
			.tm_mon = from_bcd(get(0x08)) - 1,
			.tm_year = from_bcd(get(0x32)) * 100 + from_bcd(get(0x09)) - 1900,
		};
	} while (get(0x00) != seconds);
	return timegm(&tm);
}

static void tells_utc(void **state)
{
	time_t before = time(NULL), now = read_time(), after = time(NULL);

	assert_in_range(now, before, after);
}

/* 1 January 1970 was a Thursday; the chip counts from Sunday = 1. */
static void knows_the_weekday(void **state)
{
	time_t day;
	uint8_t weekday;

	do {
		day = time(NULL) / 86400;
		weekday = get(0x06);
	} while (time(NULL) / 86400 != day);
	assert_int_equal(weekday, (day + 4) % 7 + 1);
}

static void guest_cannot_set_it(void **state)
{
	time_t before;

	set(0x0B, 0x80); /* SET, then write all of it, as Linux does */
	for (uint8_t reg = 0; reg < 10; reg++)
		set(reg, 0x11);
	set(0x32, 0x11);
	set(0x0B, 0x00);
	before = time(NULL);
	assert_in_range(read_time(), before, before + 2);
}

static void status_registers(void **state)
{
	assert_int_equal(get(0x0A), 0x26);
	assert_int_equal(get(0x0B) & 0x06, 0x02); /* 24 hours, BCD */
	assert_int_equal(get(0x0C), 0);
	assert_int_equal(get(0x0D), 0x80); /* valid RAM and time */
	for (uint8_t reg = 0x0A; reg <= 0x0D; reg++)
		set(reg, 0xFF);
	assert_int_equal(get(0x0A) & 0x80, 0); /* never an update in progress */
	assert_int_equal(get(0x0B) & 0x06, 0x02);
	assert_int_equal(get(0x0C), 0);
	assert_int_equal(get(0x0D), 0x80);
}

static void the_rest_is_ram(void **state)
{
	for (uint8_t reg = 0x0E; reg < 0x80; reg++)
		if (reg != 0x32)
			set(reg, (uint8_t)(reg * 3));
	for (uint8_t reg = 0x0E; reg < 0x80; reg++)
		if (reg != 0x32)
			assert_int_equal(get(reg), (uint8_t)(reg * 3));
	set(0x01, 0x59); /* an alarm register */
	assert_int_equal(get(0x01), 0x59);
}

static void bit_7_of_the_index_is_not_index(void **state)
{
	set(0x8F, 0x42);
	assert_int_equal(get(0x0F), 0x42);
	set(0xFF, 0x43);
	assert_int_equal(get(0x7F), 0x43);
}

static void odd_accesses(void **state)
{
	assert_int_equal(rig_in(&m, 0x70), 0xFF);
	set(0x20, 7);
	pio_write(&m.pio, 0x70, 0x0820, 2);
	assert_int_equal(get(0x20), 7);
	assert_int_equal(pio_read(&m.pio, 0x70, 2), 0xFFFF);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		T(tells_utc),
		T(knows_the_weekday),
		T(guest_cannot_set_it),
		T(status_registers),
		T(the_rest_is_ram),
		T(bit_7_of_the_index_is_not_index),
		T(odd_accesses),
	};

	return cmocka_run_group_tests_name("dev/rtc", tests, NULL, NULL);
}
