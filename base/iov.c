/* SPDX-License-Identifier: MIT */
/* See iov.h. */
#include "base/iov.h"

#include <assert.h>
#include <string.h>

/* ---- walking a range ----------------------------------------------------- */

/* A range of a list that is still to be visited. */
struct walk {
	const struct iovec *iov, *end;
	uint64_t at; /* in *iov */
	uint64_t left;
};

static struct walk walk_start(const struct iovec *iov, uint32_t count, uint64_t at, uint64_t length)
{
	return (struct walk){iov, iov + count, at, length};
}

/* The next contiguous piece, or NULL at the end of the range. */
static void *walk_next(struct walk *w, size_t *size)
{
	uint8_t *start;

	if (w->left == 0)
		return NULL;
	while (assert(w->iov < w->end), w->at >= w->iov->iov_len) {
		w->at -= w->iov->iov_len;
		w->iov++;
	}
	start = (uint8_t *)w->iov->iov_base + w->at;
	*size = w->iov->iov_len - w->at;
	if (*size > w->left)
		*size = w->left;
	w->at += *size;
	w->left -= *size;
	return start;
}

/* ---- bytes --------------------------------------------------------------- */

void iov_copy_from(const struct iovec *iov, uint32_t count, uint64_t at, void *to, uint64_t length)
{
	struct walk w = walk_start(iov, count, at, length);
	uint8_t *next = to;
	void *piece;
	size_t size;

	while ((piece = walk_next(&w, &size))) {
		memcpy(next, piece, size);
		next += size;
	}
}

void iov_copy_to(
	const struct iovec *iov, uint32_t count, uint64_t at, const void *from, uint64_t length)
{
	struct walk w = walk_start(iov, count, at, length);
	const uint8_t *next = from;
	void *piece;
	size_t size;

	while ((piece = walk_next(&w, &size))) {
		memcpy(piece, next, size);
		next += size;
	}
}

/* Index of the first difference; size: none. Bytes that change between the two passes count as
 * equal or different; the result stays in range. */
static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t size)
{
	size_t i = 0;

	if (!memcmp(a, b, size))
		return size;
	while (i < size - 1 && a[i] == b[i])
		i++;
	return i;
}

bool iov_equal(const struct iovec *iov, uint32_t count, uint64_t at, const void *bytes,
	uint64_t length, uint64_t *difference)
{
	struct walk w = walk_start(iov, count, at, length);
	const uint8_t *next = bytes;
	const uint8_t *piece;
	size_t size, same;

	while ((piece = walk_next(&w, &size))) {
		same = first_difference(piece, next, size);
		next += same;
		if (same < size) {
			*difference = at + (uint64_t)(next - (const uint8_t *)bytes);
			return false;
		}
	}
	return true;
}

/* ---- lists --------------------------------------------------------------- */

uint32_t iov_trim(struct iovec *iov, uint32_t count, uint64_t length)
{
	uint32_t i;

	for (i = 0; length; i++) {
		assert(i < count);
		if (iov[i].iov_len > length)
			iov[i].iov_len = length;
		length -= iov[i].iov_len;
	}
	return i;
}

void iov_advance(struct iovec **iov, uint32_t *count, uint64_t length)
{
	while (*count && length >= (*iov)->iov_len) {
		length -= (*iov)->iov_len;
		++*iov;
		--*count;
	}
	if (length == 0)
		return;
	assert(*count);
	(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + length;
	(*iov)->iov_len -= length;
}

uint32_t iov_slice(const struct iovec *iov, uint32_t count, uint64_t at, uint64_t *length,
	struct iovec *to, uint32_t room)
{
	struct walk w = walk_start(iov, count, at, *length);
	uint32_t n = 0;

	while (n < room && (to[n].iov_base = walk_next(&w, &to[n].iov_len)))
		n++;
	*length -= w.left;
	return n;
}
