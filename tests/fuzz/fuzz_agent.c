/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a stream between `enlite exec` and the agent, cut anywhere.
 *
 * Oracles: every frame lies within what was read; strings of a command are within the frame; cuts
 * make no difference to what is parsed.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/stream.h"
#include "tests/fuzz/input.h"
#include "tests/support/check.h"

#define FRAMES_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_strings(const struct agent_frame *f, const char *const *list, uint32_t count)
{
	const char *end = (const char *)f->payload + f->length;

	for (uint32_t i = 0; i < count; i++)
		check(list[i] >= (const char *)f->payload && list[i] + strlen(list[i]) < end);
	check(!list[count]);
}

static void check_command(const struct agent_frame *f)
{
	static struct agent_command c;

	if (agent_command_parse(f, &c))
		return;
	check_strings(f, c.arguments, c.start.arguments);
	check_strings(f, c.variables, c.start.variables);
}

/* The sizes of frames, in one piece. */
static uint32_t parse_whole(const uint8_t *data, size_t size, uint32_t sizes[FRAMES_MAX])
{
	struct agent_frame f;
	uint32_t count = 0;
	int ret;

	while (count < FRAMES_MAX && (ret = agent_frame_parse(data, size, &f)) > 0) {
		check((size_t)ret <= size && f.payload + f.length == data + ret);
		check_command(&f);
		sizes[count++] = (uint32_t)ret;
		data += ret;
		size -= (size_t)ret;
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct agent_stream s;
	struct input in = {data, size};
	size_t step = 1 + take(&in, 1), at = 0;
	uint32_t sizes[FRAMES_MAX], count = parse_whole(in.at, in.left, sizes), seen = 0;
	struct agent_frame f;
	int fds[2];

	check(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds));
	s = (struct agent_stream){.fd = fds[0]};
	while (at < in.left && seen < count) {
		size_t part = in.left - at < step ? in.left - at : step;

		check(write(fds[1], in.at + at, part) == (ssize_t)part);
		at += part;
		check(agent_stream_fill(&s) == 1);
		while (seen < count && agent_stream_next(&s, &f) > 0)
			check(sizeof(struct agent_header) + f.length == sizes[seen++]);
	}
	check(seen == count);
	close(fds[0]);
	close(fds[1]);
	return 0;
}
