/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#include "agent/stream.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- in ------------------------------------------------------------------ */

int agent_stream_fill(struct agent_stream *s)
{
	ssize_t n;

	memmove(s->in, s->in + s->begin, s->end - s->begin);
	s->end -= s->begin;
	s->begin = 0;
	if (s->end == sizeof(s->in))
		return 1;
	n = read(s->fd, s->in + s->end, sizeof(s->in) - s->end);
	if (n > 0)
		s->end += (size_t)n;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return n ? 1 : -EPIPE;
}

int agent_stream_next(struct agent_stream *s, struct agent_frame *frame)
{
	int size = agent_frame_parse(s->in + s->begin, s->end - s->begin, frame);

	if (size <= 0)
		return size;
	s->begin += (size_t)size;
	return 1;
}

/* ---- out ----------------------------------------------------------------- */

bool agent_stream_is_flushed(const struct agent_stream *s)
{
	return s->out_begin == s->out_end;
}

bool agent_stream_has_room(const struct agent_stream *s, size_t length)
{
	size_t used = s->out_end - s->out_begin;

	return sizeof(struct agent_header) + length <= sizeof(s->out) - used;
}

static void append(struct agent_stream *s, const void *bytes, size_t length)
{
	if (length)
		memcpy(s->out + s->out_end, bytes, length);
	s->out_end += length;
}

void agent_stream_put(
	struct agent_stream *s, enum agent_type type, const void *payload, size_t length)
{
	struct agent_header h = {.length = (uint32_t)length, .type = (uint16_t)type};

	assert(length <= AGENT_PAYLOAD_MAX && agent_stream_has_room(s, length));
	memmove(s->out, s->out + s->out_begin, s->out_end - s->out_begin);
	s->out_end -= s->out_begin;
	s->out_begin = 0;
	append(s, &h, sizeof(h));
	append(s, payload, length);
}

int agent_stream_flush(struct agent_stream *s)
{
	ssize_t n;

	if (agent_stream_is_flushed(s))
		return 0;
	n = write(s->fd, s->out + s->out_begin, s->out_end - s->out_begin);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	s->out_begin += (size_t)n;
	return 0;
}
