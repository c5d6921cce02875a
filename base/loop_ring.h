/* SPDX-License-Identifier: MIT */
/* How the ring of a loop is made. For loop.c only. */
#ifndef BASE_LOOP_RING_H
#define BASE_LOOP_RING_H

#include <liburing.h>

/* Disabled: it belongs to the thread that enables it. 0 or -errno. */
int loop_ring_create(struct io_uring *ring);
/* After loop_restrict_rings(): before it is enabled. 0 or -errno. */
int loop_ring_restrict(const struct io_uring *ring);

#endif
