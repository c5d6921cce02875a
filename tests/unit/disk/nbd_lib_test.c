/* SPDX-License-Identifier: MIT */
/* Loading libnbd: what a user is told when it is missing or lacks something, and that it works. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "disk/disk.h"
#include "disk/nbd/nbd_lib.h"

static bool one_line(const struct err *e)
{
	return *e->text && !strchr(e->text, '\n');
}

/* First: once it is loaded, it stays. */
static void a_missing_library_names_its_package(void **state)
{
	struct err e;

	assert_int_equal(nbd_lib_load("libnbd-nowhere.so.0", &e), -ENOENT);
	assert_true(one_line(&e));
	assert_non_null(strstr(e.text, "libnbd0"));
	assert_non_null(strstr(e.text, "libnbd-nowhere.so.0"));
	assert_null(libnbd.create);
}

static void a_library_without_the_functions_is_refused(void **state)
{
	struct err e;

	assert_int_equal(nbd_lib_load("libm.so.6", &e), -ENOSYS);
	assert_true(one_line(&e));
	assert_non_null(strstr(e.text, "libm.so.6 has no nbd_"));
	assert_non_null(strstr(e.text, "libnbd0"));
	assert_null(libnbd.create);
}

static void *load_it(void *barrier)
{
	struct err e;

	pthread_barrier_wait(barrier);
	return (void *)(intptr_t)nbd_lib_load(NBD_LIB_SONAME, &e);
}

/* Each disk is opened by a thread of its own. */
static void several_threads_load_it(void **state)
{
	pthread_t threads[8];
	pthread_barrier_t barrier;
	void *ret;

	pthread_barrier_init(&barrier, NULL, 8);
	for (uint32_t i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, load_it, &barrier);
	for (uint32_t i = 0; i < 8; i++) {
		pthread_join(threads[i], &ret);
		assert_null(ret);
	}
	pthread_barrier_destroy(&barrier);
}

static void the_library_loads_once(void **state)
{
	struct nbd_handle *h;
	struct err e;

	assert_int_equal(nbd_lib_load(NBD_LIB_SONAME, &e), 0);
	assert_int_equal(nbd_lib_load("libnbd-nowhere.so.0", &e), 0);
	h = libnbd.create();
	assert_non_null(h);
	assert_false(libnbd.aio_is_ready(h));
	libnbd.close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_missing_library_names_its_package),
		cmocka_unit_test(a_library_without_the_functions_is_refused),
		cmocka_unit_test(several_threads_load_it),
		cmocka_unit_test(the_library_loads_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
