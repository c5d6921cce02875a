/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Frames in and out of a descriptor, for both ends. Bounded: one frame that is not whole yet, and
 * AGENT_OUT_MAX bytes that the other end has not taken.
 */
#ifndef AGENT_STREAM_H
#define AGENT_STREAM_H

#include "agent/frame.h"

#define AGENT_FRAME_MAX (sizeof(struct agent_header) + AGENT_PAYLOAD_MAX)
#define AGENT_OUT_MAX   (2 * AGENT_FRAME_MAX)

struct agent_stream {
	int fd; /* the caller's; non-blocking */
	size_t begin, end;
	uint8_t in[AGENT_FRAME_MAX]; /* from begin to end: read, not parsed */
	size_t out_begin, out_end;
	uint8_t out[AGENT_OUT_MAX]; /* from out_begin to out_end: to be written */
};

/* Reads once. 1: there are more bytes; 0: not now; -EPIPE: the end; -errno. */
int agent_stream_fill(struct agent_stream *s);
/* 1: a frame, whose payload stands until the next fill; 0: none is whole; -EPROTO. */
int agent_stream_next(struct agent_stream *s, struct agent_frame *frame);

bool agent_stream_is_flushed(const struct agent_stream *s);
/* Room for a frame of this many bytes. */
bool agent_stream_has_room(const struct agent_stream *s, size_t length);
/* The caller has asked for room. */
void agent_stream_put(
	struct agent_stream *s, enum agent_type type, const void *payload, size_t length);
/* Writes what the descriptor takes. 0, or -errno. */
int agent_stream_flush(struct agent_stream *s);

#endif
