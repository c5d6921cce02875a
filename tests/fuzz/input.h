/* SPDX-License-Identifier: MIT */
/* What the SCSI fuzz targets share: bytes off the front of the fuzzer's input. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
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

#endif
