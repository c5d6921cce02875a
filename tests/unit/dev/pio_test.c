/* SPDX-License-Identifier: MIT */
/* The table of I/O ports: ownership, edges, idle bus. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after its prerequisites */
#include <cmocka.h>

#include "hyper/dev/pio.h"

struct device {
	unsigned reads, writes, size;
	uint16_t port;
	uint32_t value;
};

static uint32_t device_read(void *ctx, uint16_t port, unsigned size)
{
	struct device *d = ctx;

	d->reads++;
	d->port = port;
	d->size = size;
	return 0x12345678;
}

static void device_write(void *ctx, uint16_t port, uint32_t value, unsigned size)
{
	struct device *d = ctx;

	d->writes++;
	d->port = port;
	d->size = size;
	d->value = value;
}

static const struct pio_ops ops = {.read = device_read, .write = device_write};

static void idle_bus_reads_ones(void **state)
{
	struct pio pio = {.count = 0};

	assert_int_equal(pio_read(&pio, 0x80, 1), 0xFF);
	assert_int_equal(pio_read(&pio, 0x80, 2), 0xFFFF);
	assert_int_equal(pio_read(&pio, 0xFFFF, 4), 0xFFFFFFFF);
	pio_write(&pio, 0x80, 1, 1);
}

static void accesses_go_to_their_owner(void **state)
{
	struct pio pio = {.count = 0};
	struct device a = {0}, b = {0};

	assert_int_equal(pio_add(&pio, 0x100, 8, &ops, &a), 0);
	assert_int_equal(pio_add(&pio, 0x108, 8, &ops, &b), 0);
	assert_int_equal(pio_read(&pio, 0x107, 1), 0x78);
	assert_int_equal(pio_read(&pio, 0x106, 2), 0x5678);
	assert_int_equal(a.reads, 2);
	pio_write(&pio, 0x108, 0xAABBCCDD, 1);
	assert_int_equal(b.value, 0xDD);
	pio_write(&pio, 0x10C, 0xAABBCCDD, 4);
	assert_int_equal(b.value, 0xAABBCCDD);
	assert_int_equal(b.port, 0x10C);
	assert_int_equal(b.size, 4);
	assert_int_equal(a.writes, 0);
}

static void accesses_across_an_edge_have_no_owner(void **state)
{
	struct pio pio = {.count = 0};
	struct device a = {0}, b = {0};

	assert_int_equal(pio_add(&pio, 0x100, 8, &ops, &a), 0);
	assert_int_equal(pio_add(&pio, 0x108, 8, &ops, &b), 0);
	assert_int_equal(pio_read(&pio, 0x107, 2), 0xFFFF);
	assert_int_equal(pio_read(&pio, 0xFF, 4), 0xFFFFFFFF);
	pio_write(&pio, 0x10D, 0, 4);
	assert_int_equal(a.reads + b.reads + b.writes, 0);
}

static void last_port_of_all(void **state)
{
	struct pio pio = {.count = 0};
	struct device a = {0};

	assert_int_equal(pio_add(&pio, 0xFFFF, 1, &ops, &a), 0);
	assert_int_equal(pio_read(&pio, 0xFFFF, 1), 0x78);
	assert_int_equal(pio_read(&pio, 0xFFFF, 4), 0xFFFFFFFF); /* no wrap to port 0 */
	assert_int_equal(pio_read(&pio, 0, 1), 0xFF);
	assert_int_equal(a.reads, 1);
}

static void bad_ranges_are_refused(void **state)
{
	struct pio pio = {.count = 0};

	assert_int_equal(pio_add(&pio, 0x100, 0, &ops, NULL), -EINVAL);
	assert_int_equal(pio_add(&pio, 0, 0, &ops, NULL), -EINVAL);
	assert_int_equal(pio_add(&pio, 0xFFFF, 2, &ops, NULL), -EINVAL);
	assert_int_equal(pio_add(&pio, 0x100, 4, &ops, NULL), 0);
	assert_int_equal(pio_add(&pio, 0x103, 1, &ops, NULL), -EEXIST);
	assert_int_equal(pio_add(&pio, 0xF0, 0x100, &ops, NULL), -EEXIST);
	assert_int_equal(pio_add(&pio, 0xFF, 2, &ops, NULL), -EEXIST);
	assert_int_equal(pio_add(&pio, 0xFF, 1, &ops, NULL), 0);
	assert_int_equal(pio.count, 2);
}

static void table_is_bounded(void **state)
{
	struct pio pio = {.count = 0};

	for (uint16_t i = 0; i < PIO_RANGES_MAX; i++)
		assert_int_equal(pio_add(&pio, i, 1, &ops, NULL), 0);
	assert_int_equal(pio_add(&pio, 0x1000, 1, &ops, NULL), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle_bus_reads_ones),
		cmocka_unit_test(accesses_go_to_their_owner),
		cmocka_unit_test(accesses_across_an_edge_have_no_owner),
		cmocka_unit_test(last_port_of_all),
		cmocka_unit_test(bad_ranges_are_refused),
		cmocka_unit_test(table_is_bounded),
	};

	return cmocka_run_group_tests_name("hyper/pio", tests, NULL, NULL);
}
