/* SPDX-License-Identifier: MIT */
#include "nic/user/stream.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

_Static_assert(STREAM_BUFFER >= 2 * (STREAM_PREFIX + NIC_FRAME_MAX), "a frame always fits");

void stream_reset(struct stream *s)
{
	s->start = s->end = 0;
}

/* At most one incomplete frame is moved to the front. */
uint8_t *stream_room(struct stream *s, uint32_t *length)
{
	if (s->start) {
		memmove(s->bytes, s->bytes + s->start, s->end - s->start);
		s->end -= s->start;
		s->start = 0;
	}
	*length = STREAM_BUFFER - s->end;
	assert(*length);
	return s->bytes + s->end;
}

void stream_received(struct stream *s, uint32_t length)
{
	assert(length <= STREAM_BUFFER - s->end);
	s->end += length;
}

static uint32_t prefix(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

int stream_next(struct stream *s, const uint8_t **frame)
{
	while (s->end - s->start >= STREAM_PREFIX) {
		uint32_t length = prefix(s->bytes + s->start);

		if (length > NIC_FRAME_MAX)
			return -EPROTO;
		if (s->end - s->start < STREAM_PREFIX + length)
			return 0;
		*frame = s->bytes + s->start + STREAM_PREFIX;
		if (length >= NIC_ETH_HEADER)
			return (int)length;
		stream_skip(s, (int)length);
		s->skipped++;
	}
	return 0;
}

void stream_skip(struct stream *s, int length)
{
	s->start += STREAM_PREFIX + (uint32_t)length;
	assert(s->start <= s->end);
}
