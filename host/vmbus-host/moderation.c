/* SPDX-License-Identifier: MIT */
#include "vmbus-host/moderation.h"

#include "base/counter.h"

#define INTERVAL_MIN    8u
#define INTERVAL_MAX    256u
#define UNDERSHOOTS_MAX 4u
#define GAPS_MAX        16u /* the longest deferral, in gaps: a guest may send without end */

static void set_depth(struct moderation *m, uint64_t depth)
{
	if (depth != m->depth || !m->interval)
		m->interval = INTERVAL_MIN;
	else if (m->interval < INTERVAL_MAX)
		m->interval *= 2;
	counter_set(&m->depth, depth);
	m->confident = m->interval;
}

static void forget_undershoots(struct moderation *m)
{
	m->undershoots = 0;
	m->undershoot_max = 0;
}

static void estimate(struct moderation *m, uint64_t outstanding)
{
	if (outstanding > m->undershoot_max)
		m->undershoot_max = outstanding;
	if (outstanding < m->depth && ++m->undershoots < UNDERSHOOTS_MAX)
		return;
	set_depth(m, m->undershoot_max);
	forget_undershoots(m);
}

bool moderation_defer(
	struct moderation *m, const struct moderation_view *view, uint64_t now_ns, uint64_t gap_ns)
{
	uint64_t unsignalled = view->answers - m->signalled;
	uint64_t outstanding = view->in_flight + unsignalled;

	if (m->confident && m->depth >= view->patience && outstanding >= m->depth &&
		2 * unsignalled >= m->depth) {
		m->confident--;
		forget_undershoots(m);
		return false;
	}
	if (!m->begin_ns)
		m->begin_ns = m->idle_ns = now_ns;
	if (view->packets + view->answers != m->progress)
		m->idle_ns = now_ns;
	m->progress = view->packets + view->answers;
	if (now_ns - m->idle_ns < gap_ns && now_ns - m->begin_ns < GAPS_MAX * gap_ns)
		return true;
	estimate(m, outstanding);
	return false;
}

void moderation_interrupted(struct moderation *m, uint64_t answers)
{
	m->signalled = answers;
	m->begin_ns = 0;
}
