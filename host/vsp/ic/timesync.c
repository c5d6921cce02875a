/* SPDX-License-Identifier: MIT */
/*
 * Time: what the host's clock says at a moment of the guest's reference time.
 *
 * A sync sets the guest's clock. It is sent once after the negotiation, once after
 * a pause and once after a step of the host's clock; more would fight the guest's
 * own NTP. A sample is sent every IC_TIMESYNC_NS and only feeds the guest's PTP
 * device, where chrony can use it; Linux takes none that is older than 600 s.
 */
#include <string.h>
#include <time.h>

#include "base/time.h"
#include "vsp/ic/ic_impl.h"

/* Slewing by NTP moves the host's clock by 2.5 ms in a period at most. */
#define STEP_NS 100000000

#define RETRY_NS 10000000ull /* while the guest's clock stands still, which is not for long */

/* Two clocks are read at one moment: again when this thread was preempted in between. */
#define READS_MAX     4u
#define READ_TOGETHER 500u /* 100 ns units */

struct timesync_channel {
	struct ic_channel ic;
	bool sync_due, sample_due;
	int64_t offset_ns; /* wall clock minus loop_now_ns() at the last message */
	struct loop_timer retry;
	uint64_t syncs, samples, steps; /* counters */
	_Alignas(8) uint8_t message[IC_MESSAGE(sizeof(struct ic_timesync_3))];
};

static struct timesync_channel *timesync_of(struct ic_channel *c)
{
	return container_of(c, struct timesync_channel, ic);
}

/* ---- clocks -------------------------------------------------------------- */

static uint64_t wall_clock(const struct ic_timesync_settings *s)
{
	struct timespec now;

	if (s->wall_clock)
		return s->wall_clock(s->ctx);
	clock_gettime(CLOCK_REALTIME, &now);
	return timespec_ns(now);
}

static int64_t wall_offset(const struct ic_timesync_settings *s)
{
	uint64_t before, wall_ns;
	uint32_t reads = 0;

	do {
		before = loop_now_ns();
		wall_ns = wall_clock(s);
	} while (loop_now_ns() - before > READ_TOGETHER * 100 && ++reads < READS_MAX);
	return (int64_t)(wall_ns - before);
}

static bool clock_stepped(struct timesync_channel *t)
{
	int64_t offset = wall_offset(ic_settings(&t->ic)), change = offset - t->offset_ns;

	t->offset_ns = offset;
	return change > STEP_NS || change < -STEP_NS;
}

/* False: the guest's clock stands still. */
static bool read_clocks(const struct ic_timesync_settings *s, uint64_t *wall_ns, uint64_t *ref)
{
	uint64_t before, after;
	uint32_t reads = 0;

	do {
		if (!s->ref_time(s->ctx, &before))
			return false;
		*wall_ns = wall_clock(s);
		if (!s->ref_time(s->ctx, &after))
			return false;
	} while (after - before > READ_TOGETHER && ++reads < READS_MAX);
	*ref = before + (after - before) / 2;
	return true;
}

/* ---- messages ------------------------------------------------------------ */

static uint32_t fill(const struct ic_channel *c, void *body, const struct ic_timesync *t)
{
	if (c->version.major >= 4) {
		memcpy(body, t, sizeof(*t));
		return sizeof(*t);
	}
	*(struct ic_timesync_3 *)body =
		(struct ic_timesync_3){.host_time = t->host_time, .flags = t->flags};
	return sizeof(struct ic_timesync_3);
}

static void retry(struct loop_timer *timer)
{
	ic_send_next(&container_of(timer, struct timesync_channel, retry)->ic);
}

static uint32_t produce(struct ic_channel *c, void *body)
{
	struct timesync_channel *t = timesync_of(c);
	struct ic_timesync message = {0};
	uint64_t wall_ns;

	if (!t->sync_due && !t->sample_due)
		return 0;
	if (!read_clocks(ic_settings(c), &wall_ns, &message.ref_time)) {
		loop_timer_start(vsp_channel_loop(c->ch), &t->retry, RETRY_NS, retry);
		return 0;
	}
	message.host_time = wall_ns / 100 + IC_TIME_UNIX_EPOCH;
	message.flags = t->sync_due ? IC_TIMESYNC_SYNC : IC_TIMESYNC_SAMPLE;
	counter_add(t->sync_due ? &t->syncs : &t->samples, 1);
	t->sync_due = t->sample_due = false;
	return fill(c, body, &message);
}

/* ---- events -------------------------------------------------------------- */

static void ready(struct ic_channel *c)
{
	struct timesync_channel *t = timesync_of(c);

	clock_stepped(t);
	t->sync_due = true;
}

static void tick(struct ic_channel *c)
{
	struct timesync_channel *t = timesync_of(c);

	t->sample_due = true;
	if (!clock_stepped(t))
		return;
	counter_add(&t->steps, 1);
	t->sync_due = true;
}

static void resumed(struct ic_channel *c)
{
	timesync_of(c)->sync_due = true;
}

static void stopped(struct ic_channel *c)
{
	loop_timer_cancel(&timesync_of(c)->retry);
}

static void inspect(struct ic_channel *c, struct inspect *i)
{
	struct timesync_channel *t = timesync_of(c);

	inspect_u64(i, "syncs", counter_get(&t->syncs));
	inspect_u64(i, "samples", counter_get(&t->samples));
	inspect_u64(i, "host_clock_steps", counter_get(&t->steps));
}

const struct ic_service ic_timesync = {
	.vsp = IC_VSP("timesync", IC_TIMESYNC_CLASS, struct timesync_channel),
	.name = "timesync",
	.needs = "the module hv_utils",
	.instance = IC_TIMESYNC_INSTANCE,
	.type = IC_TIMESYNC,
	.version_count = 2,
	.versions = {{3, 0}, {4, 0}},
	.body_max = sizeof(struct ic_timesync_3),
	.message = offsetof(struct timesync_channel, message),
	.tick_ns = IC_TIMESYNC_NS,
	.lazy = true,
	.ready = ready,
	.tick = tick,
	.resumed = resumed,
	.stopped = stopped,
	.produce = produce,
	.inspect = inspect,
};
