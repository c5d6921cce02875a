/* SPDX-License-Identifier: MIT */
/* What a VM does for its guest that another process cannot end: then it is not saved. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/archive.h"
#include "vm/vm_impl.h"

static void save(struct vm *vm, int ret, const char *says)
{
	struct archive a = {.reading = false};
	struct err e = {""};

	assert_int_equal(ic_unit.archive(vm, &a, &e), ret);
	if (!strstr(e.text, says))
		fail_msg("'%s' does not say '%s'", e.text, says);
}

static void an_idle_guest(void **state)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	save(vm, 0, "");
	free(vm);
}

static void frozen_file_systems(void **state)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	vm->ic.freeze.state = IC_FREEZE_THAWING;
	save(vm, -EBUSY, "thaw them first");
	free(vm);
}

static void a_file_that_is_half_copied(void **state)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	vm->ic.copy = (struct ic_copy_job *)vm; /* some job */
	save(vm, -EBUSY, "wait for its end");
	free(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_guest),
		cmocka_unit_test(frozen_file_systems),
		cmocka_unit_test(a_file_that_is_half_copied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
