/* SPDX-License-Identifier: MIT */
/* Which flush must fail after a server was lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "disk/nbd/nbd_impl.h"

static struct nbd_ledger ledger;

static int setup(void **state)
{
	nbd_ledger_init(&ledger);
	return 0;
}

static int teardown(void **state)
{
	nbd_ledger_fini(&ledger);
	return 0;
}

static int flush(void)
{
	struct nbd_flush f;

	nbd_ledger_flush_begin(&ledger, &f);
	return nbd_ledger_flush_end(&ledger, &f, 0);
}

static void nothing_unflushed_nothing_lost(void **state)
{
	nbd_ledger_lost(&ledger);
	assert_int_equal(flush(), 0);
	nbd_ledger_acked(&ledger);
	assert_int_equal(flush(), 0);
	nbd_ledger_lost(&ledger);
	assert_int_equal(flush(), 0);
}

static void a_loss_is_told_once(void **state)
{
	nbd_ledger_acked(&ledger);
	nbd_ledger_lost(&ledger); /* it ends */
	nbd_ledger_lost(&ledger); /* and begins: the same writes */
	assert_int_equal(flush(), -EIO);
	assert_int_equal(flush(), 0);
	nbd_ledger_acked(&ledger);
	nbd_ledger_lost(&ledger);
	nbd_ledger_lost(&ledger);
	assert_int_equal(flush(), -EIO);
	assert_int_equal(flush(), 0);
}

/* Two flushes that both cover the lost write: neither may say that it is safe. */
static void flushes_in_flight_all_tell(void **state)
{
	struct nbd_flush a, b, c;

	nbd_ledger_acked(&ledger);
	nbd_ledger_flush_begin(&ledger, &a);
	nbd_ledger_flush_begin(&ledger, &b);
	nbd_ledger_lost(&ledger);
	nbd_ledger_flush_begin(&ledger, &c);
	assert_int_equal(nbd_ledger_flush_end(&ledger, &a, 0), -EIO);
	assert_int_equal(nbd_ledger_flush_end(&ledger, &b, 0), -EIO);
	assert_int_equal(nbd_ledger_flush_end(&ledger, &c, 0), -EIO);
	assert_int_equal(flush(), 0);
}

/* A flush covers what was acknowledged before it was submitted, not what came meanwhile. */
static void a_flush_covers_what_was_before_it(void **state)
{
	struct nbd_flush f;

	nbd_ledger_acked(&ledger);
	nbd_ledger_flush_begin(&ledger, &f);
	nbd_ledger_acked(&ledger);
	assert_int_equal(nbd_ledger_flush_end(&ledger, &f, 0), 0);
	nbd_ledger_lost(&ledger);
	assert_int_equal(flush(), -EIO);
}

static void a_flush_the_server_failed_is_final(void **state)
{
	struct nbd_flush f;

	nbd_ledger_flush_begin(&ledger, &f);
	assert_int_equal(nbd_ledger_flush_end(&ledger, &f, -ENOSPC), -ENOSPC);
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
