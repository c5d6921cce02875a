/* SPDX-License-Identifier: MIT */
/* What `enlite probe` says about made-up machines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after its prerequisites */
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cmd_probe.h"

static struct probe_result good_machine(void)
{
	struct probe_result r = {
		.path = "/dev/kvm",
		.present = true,
		.usable = true,
		.api_version = 12,
		.kind = PROBE_KIND_SVM,
		.hypervisor = "TCGTCGTCGTCG",
		.distro_kernel = true,
		.capability_count = 2,
		.instruction_count = 2,
	};

	r.capability[0] = (struct probe_capability){"IRQFD", "interrupts", 32, true, 1};
	r.capability[1] = (struct probe_capability){"SYNC_REGS", "speed", 74, false, 0};
	r.instruction[0] = (struct probe_instruction){"popcnt", "bit counts", true, PROBE_WORKS, 2};
	r.instruction[1] = (struct probe_instruction){"rdpid", "entries", true, PROBE_FAULTED, 6};
	return r;
}

static char *printed(const struct probe_result *r)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	assert_non_null(to);
	probe_print(r, to);
	fclose(to);
	return text;
}

static void status_follows_what_can_run(void **state)
{
	struct probe_result r = good_machine();

	assert_int_equal(probe_status(&r), 0);
	r.distro_kernel = false;
	assert_int_equal(probe_status(&r), 1);
	r.usable = false;
	assert_int_equal(probe_status(&r), 2);
	r.distro_kernel = true; /* contradicts itself: unusable wins */
	assert_int_equal(probe_status(&r), 2);
}

static void advice_names_the_way_out(void **state)
{
	struct probe_result r = good_machine();

	r.distro_kernel = false;
	assert_non_null(strstr(probe_advice(&r), "bed/run"));
	r.usable = false;
	assert_non_null(strstr(probe_advice(&r), "5.10"));
	r.open_error = EACCES;
	assert_non_null(strstr(probe_advice(&r), "group"));
	r.open_error = EBUSY;
	assert_non_null(strstr(probe_advice(&r), "Another hypervisor"));
	r.open_error = ENOENT;
	r.present = false;
	assert_non_null(strstr(probe_advice(&r), "modprobe"));
}

static void table_shows_missing_and_needed(void **state)
{
	struct probe_result r = good_machine();
	char *text = printed(&r);

	assert_non_null(strstr(text, "API version 12, backed by svm"));
	assert_non_null(strstr(text, "TCGTCGTCGTCG"));
	assert_non_null(strstr(text, "IRQFD           32        1  needed    interrupts"));
	assert_non_null(strstr(text, "SYNC_REGS       74  missing  optional  speed"));
	assert_non_null(strstr(text, "faulted (6)  needed  entries"));
	assert_non_null(strstr(text, "stock kernels: yes"));
	free(text);
}

static void table_of_no_kvm_is_short(void **state)
{
	struct probe_result r = {.path = "/dev/kvm", .open_error = ENOENT};
	char *text = printed(&r);

	assert_non_null(strstr(text, "/dev/kvm: missing"));
	assert_null(strstr(text, "capability"));
	assert_non_null(strstr(text, "stock kernels: no"));
	free(text);
}

static void json_keys_are_stable(void **state)
{
	struct probe_result r = good_machine();
	json_t *object = probe_json(&r), *kvm, *caps, *insns;

	assert_non_null(object);
	kvm = json_object_get(object, "kvm");
	assert_string_equal(json_string_value(json_object_get(kvm, "path")), "/dev/kvm");
	assert_true(json_is_true(json_object_get(kvm, "present")));
	assert_true(json_is_true(json_object_get(kvm, "usable")));
	assert_int_equal(json_integer_value(json_object_get(kvm, "api_version")), 12);
	assert_string_equal(json_string_value(json_object_get(kvm, "kind")), "svm");
	caps = json_object_get(object, "capabilities");
	assert_int_equal(json_array_size(caps), 2);
	assert_true(json_is_false(json_object_get(json_array_get(caps, 1), "have")));
	assert_true(json_is_true(json_object_get(json_array_get(caps, 0), "needed")));
	insns = json_object_get(object, "instructions");
	assert_int_equal(json_array_size(insns), 2);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(insns, 1), "result")), "faulted");
	assert_int_equal(
		json_integer_value(json_object_get(json_array_get(insns, 1), "detail")), 6);
	assert_true(json_is_true(json_object_get(object, "distro_kernel")));
	assert_string_equal(json_string_value(json_object_get(object, "advice")), probe_advice(&r));
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_follows_what_can_run),
		cmocka_unit_test(advice_names_the_way_out),
		cmocka_unit_test(table_shows_missing_and_needed),
		cmocka_unit_test(table_of_no_kvm_is_short),
		cmocka_unit_test(json_keys_are_stable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
