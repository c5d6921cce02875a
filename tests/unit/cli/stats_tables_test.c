/* SPDX-License-Identifier: MIT */
/* The tables of `enlite ctl NAME stats`, from the JSON they are made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cli/stats_tables.h"

static char *text;

static void print(const char *json)
{
	json_t *stats = json_loads(json, 0, NULL);
	size_t size;
	FILE *out;

	assert_non_null(stats);
	free(text);
	out = open_memstream(&text, &size);
	stats_tables_print(out, stats);
	fclose(out);
	json_decref(stats);
}

static int teardown(void **state)
{
	free(text);
	text = NULL;
	return 0;
}

static void what_is_not_there_is_left_out(void **state)
{
	print("{}");
	assert_string_equal(text, "state  boots  VPs  I/O threads\n"
				  "-          -    -            -\n");
}

static void columns_are_as_wide_as_their_cells(void **state)
{
	print("{\"state\": \"running\", \"boots\": 1, \"cpus\": 4, \"io_threads\": [{\"turns\": 7, \"polling\": true, \"poll_window_ns\": 1500}, {}], \"exits\": {\"io\": 1234567, \"mmio\": 0, \"msr\": 5, \"hypercall\": 0, \"signal\": 0, \"interrupted\": 7, \"bus_lock\": 2, \"other\": 0, \"total\": 1234579}}");
	assert_string_equal(text,
		"state    boots  VPs  I/O threads\n"
		"running      1    4            2\n"
		"\n"
		"I/O thread turns  polling  window\n"
		"               7  yes      1.50us\n"
		"               -  -             -\n"
		"\n"
		"  exits       io  mmio  msr  hypercall  signal  interrupted  bus lock  other\n"
		"1234579  1234567     0    5          0       0            7         2      0\n");
}

static const char *cell(const char *json, const char *wanted)
{
	print(json);
	return strstr(text, wanted);
}

static void bytes_have_units(void **state)
{
	assert_non_null(cell("{\"memory\": {\"guest_ram\": 1023}}", "\n     1023  "));
	assert_non_null(cell("{\"memory\": {\"guest_ram\": 1024}}", "\n    1.00K  "));
	assert_non_null(cell("{\"memory\": {\"guest_ram\": 67108864}}", "\n    64.0M  "));
	assert_non_null(cell("{\"memory\": {\"guest_ram\": 858993459200}}", "\n     800G  "));
	assert_non_null(cell("{\"memory\": {\"guest_ram\": 9223372036854775807}}", "\n    8192P"));
}

/* Latencies only of what happened; numbers stay three digits. */
static void latencies_are_rows(void **state)
{
	print("{\"devices\": [{\"id\": \"scsi0\", \"luns\": [{\"lun\": 0, \"latency\": {\"write\": {\"count\": 3, \"mean_ns\": 1234, \"p50_ns\": 9994, \"p90_ns\": 99940, \"p99_ns\": 999400, \"p99_9_ns\": 2500000, \"p99_99_ns\": 30000000, \"highest_ns\": 200000000000},\"read\": {\"count\": 0}, \"other\": {\"count\": 1}}}]},{\"id\": \"scsi1\", \"luns\": [{\"lun\": 63, \"latency\": {\"flush\": {\"count\": 12}}}]}]}");
	assert_non_null(strstr(text,
		"device  LUN  latency  count    mean     p50     p90    p99   p99.9  p99.99  highest\n"
		"scsi0     0  write        3  1.23us  9.99us  99.9us  999us  2.50ms  30.0ms     200s\n"
		"scsi0     0  other        1       -       -       -      -       -       -        -\n"
		"scsi1    63  flush       12       -       -       -      -       -       -        -\n"));
	assert_null(strstr(text, "0  read "));
}

static void channels_without_interrupts(void **state)
{
	print("{\"devices\": [{\"id\": \"scsi0\", \"channels\": [{\"index\": 0, \"target_vp\": 4294967295}, {\"index\": 1, \"target_vp\": 0}]}]}");
	assert_non_null(strstr(text, "scsi0         0  none "));
	assert_non_null(strstr(text, "scsi0         1     0 "));
}

/* Another version of enlite may have answered. */
static void other_types_do_no_harm(void **state)
{
	print("{\"boots\": \"x\", \"memory\": [], \"exits\": 3, \"io_threads\": 7, \"devices\": [1, null, {\"luns\": {\"lun\": 1}, \"channels\": [1, null, {\"index\": []}]}, {\"luns\": [{\"latency\": 3}, []]}], \"bus\": {\"version\": 5}}");
	assert_non_null(strstr(text, "VMBus"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_is_not_there_is_left_out, teardown),
		cmocka_unit_test_teardown(columns_are_as_wide_as_their_cells, teardown),
		cmocka_unit_test_teardown(bytes_have_units, teardown),
		cmocka_unit_test_teardown(latencies_are_rows, teardown),
		cmocka_unit_test_teardown(channels_without_interrupts, teardown),
		cmocka_unit_test_teardown(other_types_do_no_harm, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
