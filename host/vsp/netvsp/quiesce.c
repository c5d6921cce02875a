/* SPDX-License-Identifier: MIT */
/*
 * Before hot removal. A Linux guest that reads RESCIND waits for the completion of
 * everything it has sent, without a time-out and holding a lock of its whole network,
 * but its driver does not read the ring any more. So it must have nothing to wait
 * for: the link goes down, which makes its driver stop sending, and what it has
 * sent is completed.
 *
 * Linux handles one change of the link per LINK_CHANGE_TICKS; a later one waits.
 *
 *   netvsp_quiesce() --> link down --seen by the guest, idle for QUIET_TICKS--> quiet()
 *                                  `------------- TICKS_MAX ------------------'
 *
 * Ticks do not count while the device is paused. ON_CONTROL.
 */
#include "vsp/netvsp/netvsp_impl.h"

#define QUIET_TICKS       4u  /* 200 ms */
#define LINK_CHANGE_TICKS 44u /* 2.2 s: the guest's 2 s, and its work queue's time */
#define TICKS_MAX         90u /* 4.5 s */

static uint64_t packets_of_guest(struct netvsp *d)
{
	struct netvsp_counters n;

	netvsp_counters(d->dev, &n);
	return n.tx_frames + n.tx_dropped + n.tx_invalid;
}

static void check_idle(void *ctx, struct vsp_channel *ch)
{
	bool *idle = ctx;

	*idle &= vsp_channel_is_idle(ch);
}

static bool is_quiet(struct netvsp *d)
{
	struct netvsp_quiesce *q = &d->quiesce;
	uint64_t packets = packets_of_guest(d);
	bool idle = packets == q->packets;

	vsp_device_each_channel(d->dev, check_idle, &idle);
	q->quiet_ticks = idle ? q->quiet_ticks + 1 : 0;
	q->packets = packets;
	return atomic_load(&d->link_down_seen) && q->quiet_ticks >= QUIET_TICKS &&
	       q->ticks >= q->ticks_min;
}

static void tick(struct loop_timer *timer);

static void arm(struct netvsp *d)
{
	loop_timer_start(vsp_device_control(d->dev), &d->quiesce.timer, d->quiesce.tick_ns, tick);
}

static void tick(struct loop_timer *timer)
{
	struct netvsp *d = container_of(timer, struct netvsp, quiesce.timer);
	struct netvsp_quiesce *q = &d->quiesce;

	if (vsp_device_pauses(d->dev)) {
		arm(d);
		return;
	}
	q->ticks++;
	if (d->published.running && !is_quiet(d) && q->ticks < TICKS_MAX)
		arm(d);
	else
		q->quiet(q->ctx);
}

void netvsp_quiesce(struct vsp_device *dev, uint64_t tick_ns, void (*quiet)(void *ctx), void *ctx)
{
	struct netvsp *d = vsp_device_priv(dev);
	struct netvsp_quiesce *q = &d->quiesce;
	uint64_t shown_ns = atomic_load(&d->link_shown_ns);

	ON_CONTROL(dev);
	q->tick_ns = tick_ns;
	q->quiet = quiet;
	q->ctx = ctx;
	q->packets = packets_of_guest(d);
	if (shown_ns && loop_now_ns() - shown_ns < LINK_CHANGE_TICKS * tick_ns)
		q->ticks_min = LINK_CHANGE_TICKS;
	netvsp_set_link(dev, false);
	if (d->published.running)
		arm(d);
	else
		quiet(ctx);
}
