/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#include "agent/frame.h"

#include <errno.h>
#include <string.h>

int agent_frame_parse(const uint8_t *bytes, size_t have, struct agent_frame *frame)
{
	struct agent_header h;

	if (have < sizeof(h))
		return 0;
	memcpy(&h, bytes, sizeof(h));
	if (h.length > AGENT_PAYLOAD_MAX || h.reserved || h.type < AGENT_START ||
		h.type > AGENT_EXIT)
		return -EPROTO;
	if (have - sizeof(h) < h.length)
		return 0;
	frame->type = (enum agent_type)h.type;
	frame->length = h.length;
	frame->payload = bytes + sizeof(h);
	return (int)(sizeof(h) + h.length);
}

bool agent_frame_read(const struct agent_frame *frame, void *into, size_t size)
{
	if (frame->length != size)
		return false;
	memcpy(into, frame->payload, size);
	return true;
}

/* ---- START --------------------------------------------------------------- */

struct cursor {
	const char *at;
	size_t left;
};

/* `count` strings; list gets one more entry, NULL. */
static int take_strings(struct cursor *c, uint32_t count, const char **list)
{
	if (count > AGENT_STRINGS_MAX)
		return -E2BIG;
	for (uint32_t i = 0; i < count; i++) {
		size_t length = strnlen(c->at, c->left);

		if (length == c->left)
			return -EPROTO;
		list[i] = c->at;
		c->at += length + 1;
		c->left -= length + 1;
	}
	list[count] = NULL;
	return 0;
}

int agent_command_parse(const struct agent_frame *frame, struct agent_command *c)
{
	struct cursor cursor = {
		(const char *)frame->payload + sizeof(c->start), frame->length - sizeof(c->start)};
	int ret;

	if (frame->length < sizeof(c->start))
		return -EPROTO;
	memcpy(&c->start, frame->payload, sizeof(c->start));
	if (c->start.version != AGENT_VERSION || c->start.flags & ~AGENT_TERMINAL)
		return -EOPNOTSUPP;
	ret = take_strings(&cursor, c->start.arguments, c->arguments);
	if (!ret)
		ret = take_strings(&cursor, c->start.variables, c->variables);
	return ret || !cursor.left ? ret : -EPROTO;
}

/* How many; or -E2BIG. */
static int put_strings(uint8_t *space, size_t *at, const char *const *list)
{
	int count = 0;

	for (; list[count]; count++) {
		size_t size = strlen(list[count]) + 1;

		if (count == AGENT_STRINGS_MAX || size > AGENT_PAYLOAD_MAX - *at)
			return -E2BIG;
		memcpy(space + *at, list[count], size);
		*at += size;
	}
	return count;
}

int agent_command_put(uint8_t space[AGENT_PAYLOAD_MAX], const struct agent_start *start,
	const char *const *arguments, const char *const *variables)
{
	struct agent_start s = *start;
	size_t at = sizeof(s);
	int argument_count = put_strings(space, &at, arguments);
	int variable_count = argument_count < 0 ? -1 : put_strings(space, &at, variables);

	if (variable_count < 0)
		return -E2BIG;
	s.version = AGENT_VERSION;
	s.arguments = (uint32_t)argument_count;
	s.variables = (uint32_t)variable_count;
	memcpy(space, &s, sizeof(s));
	return (int)at;
}
