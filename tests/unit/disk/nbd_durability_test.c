/* SPDX-License-Identifier: MIT */
/* Which flush must fail after a server was lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "disk/nbd/nbd_impl.h"

static struct nbd_durability durability;

static int setup(void **state)
{
	nbd_durability_init(&durability);
	return 0;
}

static int teardown(void **state)
{
	nbd_durability_fini(&durability);
	return 0;
}

static int flush(void)
{
	struct nbd_flush f;

	nbd_durability_flush_begin(&durability, &f);
	return nbd_durability_flush_end(&durability, &f, 0);
}

static void nothing_unflushed_nothing_lost(void **state)
{
	nbd_durability_lost(&durability);
	assert_int_equal(flush(), 0);
	nbd_durability_acked(&durability);
	assert_int_equal(flush(), 0);
	nbd_durability_lost(&durability);
	assert_int_equal(flush(), 0);
}

static void a_loss_is_told_once(void **state)
{
	nbd_durability_acked(&durability);
	nbd_durability_lost(&durability); /* it ends */
	nbd_durability_lost(&durability); /* and begins: the same writes */
	assert_int_equal(flush(), -EIO);
	assert_int_equal(flush(), 0);
	nbd_durability_acked(&durability);
	nbd_durability_lost(&durability);
	nbd_durability_lost(&durability);
	assert_int_equal(flush(), -EIO);
	assert_int_equal(flush(), 0);
}

/* Two flushes that both cover the lost write: neither may say that it is safe. */
static void flushes_in_flight_all_tell(void **state)
{
	struct nbd_flush a, b, c;

	nbd_durability_acked(&durability);
	nbd_durability_flush_begin(&durability, &a);
	nbd_durability_flush_begin(&durability, &b);
	nbd_durability_lost(&durability);
	nbd_durability_flush_begin(&durability, &c);
	assert_int_equal(nbd_durability_flush_end(&durability, &a, 0), -EIO);
	assert_int_equal(nbd_durability_flush_end(&durability, &b, 0), -EIO);
	assert_int_equal(nbd_durability_flush_end(&durability, &c, 0), -EIO);
	assert_int_equal(flush(), 0);
}

/* A flush covers what was acknowledged before it was submitted, not what came meanwhile. */
static void a_flush_covers_what_was_before_it(void **state)
{
	struct nbd_flush f;

	nbd_durability_acked(&durability);
	nbd_durability_flush_begin(&durability, &f);
	nbd_durability_acked(&durability);
	assert_int_equal(nbd_durability_flush_end(&durability, &f, 0), 0);
	nbd_durability_lost(&durability);
	assert_int_equal(flush(), -EIO);
}

static void a_flush_the_server_failed_is_final(void **state)
{
	struct nbd_flush f;

	nbd_durability_flush_begin(&durability, &f);
	assert_int_equal(nbd_durability_flush_end(&durability, &f, -ENOSPC), -ENOSPC);
	assert_int_equal(flush(), -ENOSPC);
	assert_int_equal(flush(), -ENOSPC);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_unflushed_nothing_lost),
		TEST(a_loss_is_told_once),
		TEST(flushes_in_flight_all_tell),
		TEST(a_flush_covers_what_was_before_it),
		TEST(a_flush_the_server_failed_is_final),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
