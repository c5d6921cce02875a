/* SPDX-License-Identifier: MIT */
/*
 * Guest memory registered with a loop's ring: the kernel then does not look up and
 * pin the pages of each request. All of guest RAM becomes resident and stays so
 * (see docs/adr/0006). The ring takes buffers of at most 1 GiB, so buffer n is GPA
 * gibibyte n; a request that crosses into the next is not pinned.
 */
#ifndef BASE_PIN_H
#define BASE_PIN_H

#include "base/gmem.h"
#include "base/loop.h"

#define PIN_SHIFT 30

/* ON_LOOP(loop). g stays valid until loop_unpin(). -errno: nothing is pinned (RLIMIT_MEMLOCK, no
 * memory, an old kernel), and requests work unpinned. */
int loop_pin(struct loop *loop, const struct gmem *g);
/* ON_LOOP(loop). No request uses guest memory. Idempotent. */
void loop_unpin(struct loop *loop);

/* ON_LOOP(loop). The buffer that holds all of [at, at + len), len > 0; -1: none. */
static inline int loop_pinned(const struct loop *loop, const void *at, uint64_t len)
{
	const struct gmem *g = loop->pinned;
	uint64_t gpa;

	if (!g)
		return -1;
	gpa = (uintptr_t)at - (uintptr_t)g->base;
	if (!gmem_contains(g, gpa, len) || gpa >> PIN_SHIFT != (gpa + len - 1) >> PIN_SHIFT)
		return -1;
	return (int)(gpa >> PIN_SHIFT);
}

#endif
