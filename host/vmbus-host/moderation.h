/* SPDX-License-Identifier: MIT */
/*
 * Interrupt moderation for channels that carry requests and answers: when to
 * interrupt a guest that is still sending.
 *
 * A VP that sends a burst of requests cannot handle answers before the burst is
 * sent; an interrupt in the middle only costs exits. So the interrupt is deferred
 * while there is progress (packets or answers), and only while the channel is
 * polled (chan.c). The guest's depth, the most requests it keeps outstanding, is
 * estimated, so that the interrupt goes out as soon as half of them are answered
 * and no more can come, instead of after an idle time:
 *
 *   confident    at least depth is outstanding: interrupt at once. After a number of these:
 *   estimating   interrupt after an idle gap; what is outstanding then is the depth
 *
 * Idle with less outstanding than the depth is an undershoot: the guest may send
 * less now, or be busy with earlier answers and send more after that. The first
 * undershoots in a row change nothing, the last sets the depth to the largest
 * of them.
 *
 * One request at a time is a depth of one: no interrupt waits, except while the
 * depth is estimated. That is so for a guest that waits for its answers. One that
 * sends frames waits only when it has filled a queue: as long as its depth is small,
 * all interrupts wait for the idle gap, or for the frames it receives (chan.c).
 *
 * No lock, allocation or clock. Thread: the channel's I/O thread.
 */
#ifndef VMBUS_HOST_MODERATION_H
#define VMBUS_HOST_MODERATION_H

#include <stdbool.h>
#include <stdint.h>

/* All zero is a valid beginning. */
struct moderation {
	uint64_t signalled;      /* answers published when the guest was last interrupted */
	uint64_t progress;       /* packets and answers at the last check */
	uint64_t begin_ns;       /* of deferring; 0: not deferring */
	uint64_t idle_ns;        /* time of the last progress */
	uint64_t depth;          /* estimated requests outstanding, as the guest counts them */
	uint64_t undershoot_max; /* most outstanding in the undershoots in a row */
	uint32_t undershoots;    /* in a row */
	uint32_t confident;      /* interrupts left until the depth is estimated again */
	uint32_t interval;       /* what `confident` starts from */
};

/* The channel's totals. */
struct moderation_view {
	uint64_t packets;   /* received */
	uint64_t answers;   /* published */
	uint64_t in_flight; /* packets that need an answer and have none */
	uint64_t patience;  /* a guest with a smaller depth does not wait for answers; 0: it does */
};

/* There are unsignalled answers. True: defer the interrupt, ask again soon. gap_ns: a burst is over
 * after so long without progress. */
bool moderation_defer(
	struct moderation *m, const struct moderation_view *view, uint64_t now_ns, uint64_t gap_ns);
/* The guest was interrupted, with so many answers published. */
void moderation_interrupted(struct moderation *m, uint64_t answers);

#endif
