/* SPDX-License-Identifier: MIT */
/*
 * Lists of pieces of memory (struct iovec): measuring, copying, cutting, comparing.
 *
 * All lengths and offsets are bytes. An empty piece is legal anywhere. A range that
 * a caller names must lie inside the list: this is asserted, since every list here
 * was checked when it was built. The memory may belong to the guest and change at
 * any time; nothing here reads a byte twice to decide where to write.
 *
 * No allocation, no lock. Thread: belongs to its caller.
 */
#ifndef BASE_IOV_H
#define BASE_IOV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* Copies `length` bytes between a buffer and the list, from byte `at` of the list on. */
void iov_copy_from(const struct iovec *iov, uint32_t count, uint64_t at, void *to, uint64_t length);
void iov_copy_to(
	const struct iovec *iov, uint32_t count, uint64_t at, const void *from, uint64_t length);

/* Whether the list has `bytes` from byte `at` on. When it has not, *difference is the byte of the
 * list where they first differ; in memory that changes meanwhile, some byte of the range. */
bool iov_equal(const struct iovec *iov, uint32_t count, uint64_t at, const void *bytes,
	uint64_t length, uint64_t *difference);

/* Cuts the list to its first `length` bytes; returns how many pieces are left. */
uint32_t iov_trim(struct iovec *iov, uint32_t count, uint64_t length);
/* Drops the first `length` bytes. Empty pieces at the new beginning are dropped, too. */
void iov_advance(struct iovec **iov, uint32_t *count, uint64_t length);
/* Fills `to`, an array of `room` pieces, with the pieces of [at, at + *length). Returns their
 * number. When the array is too short, *length becomes the bytes that are in it. */
uint32_t iov_slice(const struct iovec *iov, uint32_t count, uint64_t at, uint64_t *length,
	struct iovec *to, uint32_t room);

#endif
