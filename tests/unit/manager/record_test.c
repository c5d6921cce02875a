/* SPDX-License-Identifier: MIT */
/* What is asked of a worker is recorded first: RUN/enlite may be full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/support/manager_rig.h"
#include "tests/support/replace_calls.h"

static void runs_as_before(struct mvm *v)
{
	char name[STORE_NAME_MAX];
	json_t *json;

	assert_non_null(strstr(mgr.e.text, "\"failed\""));
	assert_non_null(strstr(mgr.e.text, mvm_file(v, "run", name)));
	assert_int_equal(v->state, VMMS_RUNNING);
	assert_int_equal(v->asked, 0);
	assert_int_equal(store_read(&mgr.m.run, name, &json, &mgr.e), 0);
	assert_true(json_is_false(json_object_get(json, "paused")));
	assert_true(json_is_false(json_object_get(json, "wanted")));
	assert_false(v->run.paused || v->run.saving || v->run.wanted);
	json_decref(json);
}

/* The next manager could not know of it: a VM would stay paused, or an image not be used. */
static void nothing_is_asked_that_cannot_be_recorded(void **state)
{
	unsigned named;
	struct mvm *v;

	mgr_define_vm();
	v = manager_find(&mgr.m, "a");
	v->state = VMMS_RUNNING;
	mgr.m.run.calls = &replace_calls;
	replace_calls_fail(0, false);
	mvm_record(v);
	named = (unsigned)strcspn(replace_calls_seen.order, "d") + 1;
	for (unsigned i = 0; i < 2; i++) {
		replace_calls_fail(i ? named : 1, !i);
		mgr_expect(202, "POST", "/vms/a/snapshots", MGR_TAKE);
		assert_true(list_empty(&mgr.m.operations) && list_empty(&mgr.m.snapshots));
		runs_as_before(v);
		replace_calls_fail(i ? named : 1, !i);
		mgr_expect(202, "PUT", "/vms/a/state", "{\"request\": \"save\"}");
		runs_as_before(v);
	}
	replace_calls_fail(0, false);
	v->state = VMMS_OFF;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			nothing_is_asked_that_cannot_be_recorded, mgr_setup, mgr_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
