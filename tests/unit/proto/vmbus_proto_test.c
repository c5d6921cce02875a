/* SPDX-License-Identifier: MIT */
/* Channel message checks against the table of spec sheet "vmbus" section 3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "proto/vmbus_proto.h"

#define V_MAX VMBUS_VERSION_WIN10_V5_3

/* The spec's table, duplicated by hand: number, direction, shortest size, first version. */
static const struct {
	uint32_t type;
	enum vmbus_dir dir;
	uint32_t size;
	uint32_t version;
} spec[] = {
	{1, VMBUS_H2G, 196, 0},
	{2, VMBUS_H2G, 12, 0},
	{3, VMBUS_G2H, 8, 0},
	{4, VMBUS_H2G, 8, 0},
	{5, VMBUS_G2H, 148, 0},
	{6, VMBUS_H2G, 20, 0},
	{7, VMBUS_G2H, 12, 0},
	{8, VMBUS_G2H, 20, 0},
	{9, VMBUS_G2H, 16, 0},
	{10, VMBUS_H2G, 20, 0},
	{11, VMBUS_G2H, 16, 0},
	{12, VMBUS_H2G, 12, 0},
	{13, VMBUS_G2H, 12, 0},
	{14, VMBUS_G2H, 40, 0},
	{15, VMBUS_H2G, 16, 0},
	{16, VMBUS_G2H, 8, 0},
	{17, VMBUS_H2G, 8, 0},
	{18, VMBUS_G2H, 28, 0x40000},
	{19, VMBUS_G2H, 20, 0},
	{20, VMBUS_H2G, 12, 0x40000},
	{21, VMBUS_G2H, 40, 0x40000},
	{22, VMBUS_G2H, 16, 0x40001},
	{23, VMBUS_H2G, 44, 0x40001},
	{24, VMBUS_H2G, 16, 0x50003},
};
#define SPEC_COUNT (sizeof(spec) / sizeof(spec[0]))

/* Checks a message of exactly `len` bytes: one read too many is a sanitizer report. */
static enum vmbus_check check(uint32_t type, uint32_t len, enum vmbus_dir dir, uint32_t version)
{
	uint8_t *msg = calloc(1, len ? len : 1);
	enum vmbus_check verdict;
	uint32_t got = 0xAAAAAAAA;

	assert_non_null(msg);
	memcpy(msg, &type, len < sizeof(type) ? len : sizeof(type));
	verdict = vmbus_msg_check(msg, len, dir, version, &got);
	assert_int_equal(got, len < 8 ? 0 : type);
	free(msg);
	return verdict;
}

static void test_sizes(void **state)
{
	uint32_t len;
	size_t i;

	for (i = 0; i < SPEC_COUNT; i++)
		for (len = 0; len <= 300; len++) {
			enum vmbus_check expect = len < 8              ? VMBUS_CHECK_NO_HEADER
						  : len > 240          ? VMBUS_CHECK_TOO_LONG
						  : len < spec[i].size ? VMBUS_CHECK_TOO_SHORT
								       : VMBUS_CHECK_OK;

			assert_int_equal(check(spec[i].type, len, spec[i].dir, V_MAX), expect);
		}
}

static void test_direction(void **state)
{
	size_t i;

	for (i = 0; i < SPEC_COUNT; i++)
		assert_int_equal(
			check(spec[i].type, 240, !spec[i].dir, V_MAX), VMBUS_CHECK_WRONG_DIRECTION);
}

static void test_versions(void **state)
{
	static const uint32_t versions[] = {0, 0xD, VMBUS_VERSION(1, 1), VMBUS_VERSION_WIN8,
		VMBUS_VERSION_WIN8_1, VMBUS_VERSION_WIN10, VMBUS_VERSION_WIN10_RS3,
		VMBUS_VERSION_WIN10_V5, VMBUS_VERSION_WIN10_V5_1, VMBUS_VERSION_WIN10_V5_2,
		VMBUS_VERSION_WIN10_V5_3, VMBUS_VERSION(6, 0), 0xFFFFFFFF};
	size_t i, v;

	for (i = 0; i < SPEC_COUNT; i++)
		for (v = 0; v < sizeof(versions) / sizeof(versions[0]); v++)
			assert_int_equal(check(spec[i].type, 240, spec[i].dir, versions[v]),
				versions[v] < spec[i].version ? VMBUS_CHECK_WRONG_VERSION
							      : VMBUS_CHECK_OK);
}

static void test_unknown_types(void **state)
{
	static const uint32_t types[] = {
		0, 25, 26, 29, 30, 0x100, 0x10003, 0x01000000, 0x80000003, 0xFFFFFFFF};
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		assert_int_equal(check(types[i], 240, VMBUS_G2H, V_MAX), VMBUS_CHECK_UNKNOWN);
		assert_int_equal(check(types[i], 8, VMBUS_H2G, V_MAX), VMBUS_CHECK_UNKNOWN);
		assert_null(vmbus_msg_info(types[i]));
	}
}

/* Messages come from slots and queues: no alignment is promised. The padding word is ignored. */
static void test_unaligned(void **state)
{
	uint8_t bytes[1 + 12] = {0};
	const uint32_t header[2] = {VMBUS_MSG_CLOSE, 0xDEADBEEF};
	uint32_t type;

	memcpy(bytes + 1, header, sizeof(header));
	assert_int_equal(vmbus_msg_check(bytes + 1, 12, VMBUS_G2H, V_MAX, &type), VMBUS_CHECK_OK);
	assert_int_equal(type, VMBUS_MSG_CLOSE);
}

static void test_names(void **state)
{
	int c;

	assert_string_equal(vmbus_msg_info(VMBUS_MSG_OFFER)->name, "OFFER");
	assert_string_equal(vmbus_check_name(VMBUS_CHECK_OK), "ok");
	for (c = 0; c < VMBUS_CHECK_VERDICTS; c++)
		assert_string_not_equal(vmbus_check_name((enum vmbus_check)c), "?");
	assert_string_equal(vmbus_check_name(VMBUS_CHECK_VERDICTS), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_direction),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_unknown_types),
		cmocka_unit_test(test_unaligned),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
