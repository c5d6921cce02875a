/* SPDX-License-Identifier: MIT */
#include "vmbus-host/hold.h"

#define INTERVAL_MIN 8u
#define INTERVAL_MAX 256u
#define MISSES_MAX   4u
#define GAPS_MAX     16u /* the longest wait, in gaps: a guest may send without end */

static void set_depth(struct hold *hold, uint64_t depth)
{
	if (depth != hold->depth || !hold->interval)
		hold->interval = INTERVAL_MIN;
	else if (hold->interval < INTERVAL_MAX)
		hold->interval *= 2;
	hold->depth = depth;
	hold->sure = hold->interval;
}

static void forget_misses(struct hold *hold)
{
	hold->misses = 0;
	hold->missed = 0;
}

static void learn(struct hold *hold, uint64_t outstanding)
{
	if (outstanding > hold->missed)
		hold->missed = outstanding;
	if (outstanding < hold->depth && ++hold->misses < MISSES_MAX)
		return;
	set_depth(hold, hold->missed);
	forget_misses(hold);
}

bool hold_wait(struct hold *hold, const struct hold_view *view, uint64_t now_ns, uint64_t gap_ns)
{
	uint64_t untold = view->answers - hold->told;
	uint64_t outstanding = view->in_flight + untold;

	if (hold->sure && outstanding >= hold->depth && 2 * untold >= hold->depth) {
		hold->sure--;
		forget_misses(hold);
		return false;
	}
	if (!hold->begin_ns)
		hold->begin_ns = hold->quiet_ns = now_ns;
	if (view->packets + view->answers != hold->seen)
		hold->quiet_ns = now_ns;
	hold->seen = view->packets + view->answers;
	if (now_ns - hold->quiet_ns < gap_ns && now_ns - hold->begin_ns < GAPS_MAX * gap_ns)
		return true;
	learn(hold, outstanding);
	return false;
}

void hold_raised(struct hold *hold, uint64_t answers)
{
	hold->told = answers;
	hold->begin_ns = 0;
}
