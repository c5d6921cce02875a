/* SPDX-License-Identifier: MIT */
/*
 * Calls: what a VSP's control side asks of open channels. A call goes to the
 * I/O thread and comes back; until then the channel's memory stays, whatever
 * happens to the channel meanwhile.
 */
#include "vsp/vsp_impl.h"

void vsp_device_each_channel(
	struct vsp_device *dev, void (*fn)(void *ctx, struct vsp_channel *ch), void *ctx)
{
	ON_CONTROL(dev);
	if (dev->offer.ch)
		fn(ctx, dev->offer.ch);
	list_for_each (item, &dev->subs) {
		struct vsp_offer *sub = container_of(item, struct vsp_offer, link);

		if (sub->ch)
			fn(ctx, sub->ch);
	}
}

static void run_on_io_thread(struct loop_task *task)
{
	struct vsp_call *call = container_of(task, struct vsp_call, task);

	ON_IO_THREAD(call->ch);
	call->run(call);
}

void vsp_channel_call(struct vsp_channel *ch, struct vsp_call *call,
	void (*run)(struct vsp_call *call), void (*done)(struct vsp_call *call))
{
	ON_CONTROL(ch->dev);
	call->ch = ch;
	call->run = run;
	call->done = done;
	ch->calls++;
	vsp_post(ch->io_thread, &call->task, run_on_io_thread);
}

/* done() may call again: then the channel stays. */
static void done_on_control(struct loop_task *task)
{
	struct vsp_call *call = container_of(task, struct vsp_call, task);
	struct vsp_channel *ch = call->ch;

	ON_CONTROL(ch->dev);
	call->done(call);
	if (--ch->calls == 0 && ch->gone)
		ch->gone(ch);
}

void vsp_call_done(struct vsp_call *call)
{
	ON_IO_THREAD(call->ch);
	vsp_post(call->ch->dev->host->control, &call->task, done_on_control);
}

void vsp_channel_let_go(struct vsp_channel *ch, void (*gone)(struct vsp_channel *ch))
{
	ON_CONTROL(ch->dev);
	ch->gone = gone;
	if (!ch->calls)
		gone(ch);
}
