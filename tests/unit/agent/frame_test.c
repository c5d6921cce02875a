/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/stream.h"

static uint8_t space[AGENT_PAYLOAD_MAX];

static struct agent_frame frame_of(const uint8_t *payload, uint32_t length)
{
	return (struct agent_frame){AGENT_START, length, payload};
}

/* ---- frames -------------------------------------------------------------- */

static void a_frame_is_taken_when_it_is_whole(void **state)
{
	uint8_t bytes[] = {3, 0, 0, 0, AGENT_INPUT, 0, 0, 0, 'a', 'b', 'c', 'd'};
	struct agent_frame f;

	for (size_t have = 0; have < 11; have++)
		assert_int_equal(agent_frame_parse(bytes, have, &f), 0);
	assert_int_equal(agent_frame_parse(bytes, sizeof(bytes), &f), 11);
	assert_int_equal(f.type, AGENT_INPUT);
	assert_int_equal(f.length, 3);
	assert_memory_equal(f.payload, "abc", 3);
}

static void headers_that_are_none(void **state)
{
	static const struct agent_header wrong[] = {
		{AGENT_PAYLOAD_MAX + 1, AGENT_INPUT, 0},
		{UINT32_MAX, AGENT_INPUT, 0},
		{0, 0, 0},
		{0, AGENT_EXIT + 1, 0},
		{0, AGENT_INPUT, 1},
	};
	struct agent_frame f;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(
			agent_frame_parse((const uint8_t *)&wrong[i], sizeof(wrong[i]), &f),
			-EPROTO);
}

static void a_struct_has_its_size(void **state)
{
	struct agent_frame f = frame_of((const uint8_t *)"\1\0\0\0\0", 4);
	uint32_t value;

	assert_true(agent_frame_read(&f, &value, sizeof(value)));
	assert_int_equal(value, 1);
	f.length = 5;
	assert_false(agent_frame_read(&f, &value, sizeof(value)));
	f.length = 3;
	assert_false(agent_frame_read(&f, &value, sizeof(value)));
}

/* ---- START --------------------------------------------------------------- */

static void a_command_there_and_back(void **state)
{
	const char *arguments[] = {"ls", "", "a b", NULL}, *variables[] = {"TERM=x", NULL};
	const struct agent_start start = {.flags = AGENT_TERMINAL, .rows = 5, .columns = 7};
	int length = agent_command_put(space, &start, arguments, variables);
	struct agent_frame f = frame_of(space, (uint32_t)length);
	struct agent_command c;

	assert_int_equal(agent_command_parse(&f, &c), 0);
	assert_int_equal(c.start.rows, 5);
	assert_int_equal(c.start.columns, 7);
	for (int i = 0; i < 3; i++)
		assert_string_equal(c.arguments[i], arguments[i]);
	assert_null(c.arguments[3]);
	assert_string_equal(c.variables[0], "TERM=x");
	assert_null(c.variables[1]);
	for (uint32_t cut = 0; cut < (uint32_t)length; cut++) {
		f.length = cut;
		assert_int_equal(agent_command_parse(&f, &c), -EPROTO);
	}
	space[length] = 0;
	f.length = (uint32_t)length + 1; /* one string too much */
	assert_int_equal(agent_command_parse(&f, &c), -EPROTO);
}

static void commands_that_are_too_large(void **state)
{
	const char *many[AGENT_STRINGS_MAX + 2] = {NULL}, *none[] = {NULL}, *one[] = {NULL, NULL};
	const struct agent_start start = {0};
	char *large = malloc(AGENT_PAYLOAD_MAX);

	for (size_t i = 0; i <= AGENT_STRINGS_MAX; i++)
		many[i] = "x";
	assert_int_equal(agent_command_put(space, &start, many, none), -E2BIG);
	many[AGENT_STRINGS_MAX] = NULL;
	assert_true(agent_command_put(space, &start, many, none) > 0);
	memset(large, 'x', AGENT_PAYLOAD_MAX - 1);
	large[AGENT_PAYLOAD_MAX - 1] = '\0';
	one[0] = large;
	assert_int_equal(agent_command_put(space, &start, none, one), -E2BIG);
	large[AGENT_PAYLOAD_MAX - 1 - sizeof(start)] = '\0';
	assert_int_equal(agent_command_put(space, &start, none, one), AGENT_PAYLOAD_MAX);
	free(large);
}

static void commands_of_another_time(void **state)
{
	struct agent_start start = {.version = AGENT_VERSION + 1};
	struct agent_frame f = frame_of((const uint8_t *)&start, sizeof(start));
	struct agent_command c;

	assert_int_equal(agent_command_parse(&f, &c), -EOPNOTSUPP);
	start.version = AGENT_VERSION;
	start.flags = 2;
	assert_int_equal(agent_command_parse(&f, &c), -EOPNOTSUPP);
	start.flags = 0;
	start.arguments = AGENT_STRINGS_MAX + 1;
	assert_int_equal(agent_command_parse(&f, &c), -E2BIG);
}

/* ---- streams ------------------------------------------------------------- */

/* Frames of all sizes through a socket that takes little at once. */
static void frames_arrive_whole(void **state)
{
	static struct agent_stream from, to;
	struct agent_frame f;
	uint32_t sent = 0, received = 0;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	from = (struct agent_stream){.fd = fds[0]};
	to = (struct agent_stream){.fd = fds[1]};
	memset(space, 'x', sizeof(space));
	while (received < 2000) {
		uint32_t length = sent * 7919u % (AGENT_PAYLOAD_MAX + 1);

		if (sent < 2000 && agent_stream_has_room(&from, length)) {
			agent_stream_put(&from, AGENT_OUTPUT, space, length);
			sent++;
		}
		assert_int_equal(agent_stream_flush(&from), 0);
		assert_true(agent_stream_fill(&to) >= 0);
		while (agent_stream_next(&to, &f) > 0)
			assert_int_equal(f.length, received++ * 7919u % (AGENT_PAYLOAD_MAX + 1));
	}
	close(fds[0]);
	assert_int_equal(agent_stream_fill(&to), -EPIPE);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_taken_when_it_is_whole),
		cmocka_unit_test(headers_that_are_none),
		cmocka_unit_test(a_struct_has_its_size),
		cmocka_unit_test(a_command_there_and_back),
		cmocka_unit_test(commands_that_are_too_large),
		cmocka_unit_test(commands_of_another_time),
		cmocka_unit_test(frames_arrive_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
