/* SPDX-License-Identifier: MIT */
/*
 * Frames in a byte stream, as passt and QEMU's stream sockets have them: length
 * (32 bits, big endian), then so many bytes. Received bytes are cut anywhere.
 * Pure; one thread.
 */
#ifndef NIC_USER_STREAM_H
#define NIC_USER_STREAM_H

#include "nic/nic.h"

#define STREAM_PREFIX 4u
#define STREAM_BUFFER (256u << 10)

struct stream {
	uint8_t bytes[STREAM_BUFFER];
	uint32_t start, end; /* what is not yet taken */
	uint64_t skipped;    /* frames shorter than an Ethernet header */
};

void stream_reset(struct stream *s);

/* Room for received bytes: at least one. Call after stream_next() returned 0. */
uint8_t *stream_room(struct stream *s, uint32_t *length);
void stream_received(struct stream *s, uint32_t length);

/* Length of the next frame, *frame its bytes, valid until stream_room(); 0: it is not complete;
 * -EPROTO: a length that is none, the stream is lost. */
int stream_next(struct stream *s, const uint8_t **frame);
/* Past the frame that stream_next() returned. */
void stream_skip(struct stream *s, int length);

#endif
