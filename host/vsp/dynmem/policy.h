/* SPDX-License-Identifier: MIT */
/*
 * How much memory a guest is to have, and the next step to get there. Pure arithmetic on what is
 * known. Amounts are bytes. A guest's own numbers are hints: whatever they are, the target is
 * between min and max. Thread: any.
 */
#ifndef DYNMEM_POLICY_H
#define DYNMEM_POLICY_H

#include <stdbool.h>
#include <stdint.h>

/* Linux's balloon counts in these. */
#define DYNMEM_UNIT (2ull << 20)
/* One request asks for no more than that, so that a new target is soon followed. */
#define DYNMEM_STEP (128ull << 20)
/* Automatic: less than this, or a sixteenth of what it has, is not taken from a guest. */
#define DYNMEM_SLACK (32ull << 20)

struct dynmem_view {
	uint64_t min, max;
	uint32_t buffer; /* percent */
	uint64_t wanted; /* by the user; 0: automatic */
	/* The guest has `ram` bytes, of which `out` are with the host. */
	uint64_t ram, out;
	/* Automatic: what the guest said last; false: nothing yet. committed counts what is out,
	 * and what it cannot use since it was added and is not online. */
	bool reported;
	uint64_t committed, offline;
	/* What can be done now. alignment: of memory that is added; 0: none can be. */
	bool can_take;
	uint64_t alignment;
};

/* What the guest uses at most, now. */
uint64_t dynmem_granted(const struct dynmem_view *v);
uint64_t dynmem_target(const struct dynmem_view *v);

enum dynmem_action { DYNMEM_NOTHING, DYNMEM_TAKE, DYNMEM_GIVE, DYNMEM_ADD };

/* *bytes: how much; a multiple of DYNMEM_UNIT, or of pages (GIVE), or of the alignment (ADD). */
enum dynmem_action dynmem_next(const struct dynmem_view *v, uint64_t *bytes);

/* Of memory that was added: was it of no use? */
struct dynmem_added {
	uint64_t bytes;
	uint64_t took_ns;
	uint64_t available, committed; /* reported before */
};

/* True: the guest has it, but nothing there brings it online. A guest that waits for that does so
 * for seconds; then it counts the memory as committed, and has no more of it available. */
bool dynmem_is_offline(const struct dynmem_added *a, uint64_t available, uint64_t committed);

#endif
