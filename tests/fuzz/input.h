/* SPDX-License-Identifier: MIT */
/* What fuzz targets share: bytes off the front of the fuzzer's input. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

struct input {
	const uint8_t *at;
	size_t left;
};

/* A number; what is missing at the end is zero. */
static inline uint64_t take(struct input *in, size_t bytes)
{
	uint64_t v = 0;

	if (bytes > in->left)
		bytes = in->left;
	memcpy(&v, in->at, bytes);
	in->at += bytes;
	in->left -= bytes;
	return v;
}

static inline void take_bytes(struct input *in, void *to, size_t bytes)
{
	size_t have = bytes < in->left ? bytes : in->left;

	memset(to, 0, bytes);
	memcpy(to, in->at, have);
	in->at += have;
	in->left -= have;
}

/* The next packet: so many bytes of length, then the packet, which the caller frees. It lies at the
 * end of a buffer of its own size, so that reading past it is seen. NULL: there is none. */
static inline uint8_t *take_sized(
	struct input *in, size_t length_bytes, uint32_t length_max, uint32_t *len)
{
	uint8_t *packet;

	if (in->left < length_bytes)
		return NULL;
	*len = (uint32_t)take(in, length_bytes) & length_max;
	if (*len > in->left)
		*len = (uint32_t)in->left;
	packet = malloc(*len ? *len : 1);
	check(packet);
	take_bytes(in, packet, *len);
	return packet;
}

/* A check that says what did not hold. */
static inline void require(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz: this does not hold: %s\n", what);
	abort();
}

#endif
