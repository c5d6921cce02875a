/* SPDX-License-Identifier: MIT */
/*
 * When to interrupt a guest that is still sending.
 *
 * A VP that sends a burst of requests cannot look at answers before it is done; an interrupt in the
 * middle costs it exits and tells it nothing it has time for. So the interrupt is held back while
 * there is progress, packets or answers, as long as somebody looks (see chan.c). What the guest has
 * outstanding at most, its depth, is learned, so that the interrupt goes out when half of that is
 * answered and nothing more will come, and not some time after it:
 *
 *   sure      as much is outstanding as before: raise at once. After some of these: learning
 *   learning  raise when there was no progress for a while; what is outstanding then is the depth
 *
 * Quiet with less outstanding than the depth is a miss: the guest may send less now, or be busy
 * with what it was told before and go on sending after that. The first misses in a row change
 * nothing, the last one sets the depth to the most there was in them.
 *
 * One request at a time is a depth of one: no interrupt waits, except when it is learned anew.
 *
 * No lock, no allocation, no clock: the channel's I/O thread calls it.
 */
#ifndef VMBUS_HOST_HOLD_H
#define VMBUS_HOST_HOLD_H

#include <stdbool.h>
#include <stdint.h>

/* All zero is a valid beginning. */
struct hold {
	uint64_t told;     /* answers there were when the guest was last interrupted */
	uint64_t seen;     /* packets and answers when we last looked */
	uint64_t begin_ns; /* of waiting; 0: not waiting */
	uint64_t quiet_ns; /* since when there was no progress */
	uint64_t depth;    /* requests outstanding as the guest sees it, as learned */
	uint64_t missed;   /* most outstanding in misses */
	uint32_t misses;   /* in a row */
	uint32_t sure;     /* interrupts until it is learned anew */
	uint32_t interval; /* what `sure` starts from */
};

/* What the channel has done up to now. */
struct hold_view {
	uint64_t packets;   /* received */
	uint64_t answers;   /* published */
	uint64_t in_flight; /* packets that are to be answered and are not */
};

/* There are answers for the guest. True: do not interrupt yet, ask again soon. gap_ns: without
 * progress for so long, a burst is over. */
bool hold_wait(struct hold *hold, const struct hold_view *view, uint64_t now_ns, uint64_t gap_ns);
/* The guest was interrupted. */
void hold_raised(struct hold *hold, uint64_t answers);

#endif
