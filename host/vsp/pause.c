/* SPDX-License-Identifier: MIT */
/*
 * Pause and resume, between the control thread (C) and the I/O thread (W) of each
 * channel that is open.
 *
 *   state      C                          W
 *   RUNNING    vsp_device_pause()
 *   PAUSING                        -->    chan_pause, ops->pause
 *                                         ... requests in flight: 0
 *                                         chan_freeze
 *   PAUSED                         <--    quiescent
 *              vsp_device_resume()
 *   RESUMING   (also from PAUSING) -->    chan_resume, ops->resume
 *   RUNNING    or PAUSING again    <--    resumed
 *
 * Both tasks are back on C in RUNNING: when W gets "resume" it has either posted
 * "quiescent" before, which arrives first, or drops it.
 *
 * A request is in flight until it is put or its answer is sent (vsp_out.request);
 * requests that are with the guest are not waited for.
 *
 * A channel that is OPENING is paused when it is open, before it has taken a
 * packet; it starts when it is resumed. A CLOSING one is waited for until it is
 * gone. So paused() comes when each channel is either PAUSED or gone.
 */
#include "vsp/vsp_impl.h"

/* ---- on the I/O thread --------------------------------------------------- */

static void quiescent_on_control(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, pause_task);

	ON_CONTROL(ch->dev);
	if (ch->pause != VSP_PAUSING)
		return;
	ch->pause = VSP_PAUSED;
	vsp_device_check_paused(ch->dev);
}

void vsp_channel_check_quiescent(struct vsp_channel *ch)
{
	if (!ch->pausing || ch->working)
		return;
	ch->pausing = false;
	chan_freeze(&ch->chan);
	vsp_post(ch->dev->host->control, &ch->pause_task, quiescent_on_control);
}

static void pause_on_io_thread(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, pause_task);

	ON_IO_THREAD(ch);
	assert(ch->stage == VSP_STAGE_RUNNING);
	chan_pause(&ch->chan);
	if (ch->dev->ops->pause)
		ch->dev->ops->pause(ch);
	ch->pausing = true;
	vsp_channel_check_quiescent(ch);
}

static void resumed_on_control(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, resume_task);

	ON_CONTROL(ch->dev);
	ch->pause = VSP_RUNNING;
	if (ch->state != VSP_CHANNEL_OPEN)
		return;
	if (ch->dev->pause_wanted) {
		vsp_channel_pause(ch);
	} else if (ch->start_waits) {
		ch->start_waits = false;
		vsp_channel_start(ch);
	}
}

static void resume_on_io_thread(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, resume_task);

	ON_IO_THREAD(ch);
	assert(ch->stage == VSP_STAGE_RUNNING);
	ch->pausing = false;
	chan_resume(&ch->chan);
	if (ch->dev->ops->resume)
		ch->dev->ops->resume(ch);
	vsp_post(ch->dev->host->control, &ch->resume_task, resumed_on_control);
}

/* ---- on the control thread ----------------------------------------------- */

void vsp_channel_pause(struct vsp_channel *ch)
{
	ON_CONTROL(ch->dev);
	if (ch->state != VSP_CHANNEL_OPEN || ch->pause != VSP_RUNNING)
		return;
	ch->pause = VSP_PAUSING;
	vsp_post(ch->io_thread, &ch->pause_task, pause_on_io_thread);
}

static void pause_channel(void *ctx, struct vsp_channel *ch)
{
	vsp_channel_pause(ch);
}

static void resume_channel(void *ctx, struct vsp_channel *ch)
{
	if (ch->state != VSP_CHANNEL_OPEN || (ch->pause != VSP_PAUSING && ch->pause != VSP_PAUSED))
		return;
	ch->pause = VSP_RESUMING;
	vsp_post(ch->io_thread, &ch->resume_task, resume_on_io_thread);
}

static void check_channel(void *ctx, struct vsp_channel *ch)
{
	bool *all = ctx;

	*all &= ch->state == VSP_CHANNEL_OPEN && ch->pause == VSP_PAUSED;
}

void vsp_device_check_paused(struct vsp_device *dev)
{
	void (*paused)(void *ctx) = dev->paused;
	bool all = true;

	if (!paused)
		return;
	vsp_device_each_channel(dev, check_channel, &all);
	if (!all)
		return;
	dev->paused = NULL;
	paused(dev->paused_ctx);
}

void vsp_device_pause(struct vsp_device *dev, void (*paused)(void *ctx), void *ctx)
{
	ON_CONTROL(dev);
	assert(!dev->pause_wanted);
	dev->pause_wanted = true;
	dev->paused = paused;
	dev->paused_ctx = ctx;
	vsp_device_each_channel(dev, pause_channel, NULL);
	vsp_device_check_paused(dev);
}

void vsp_device_resume(struct vsp_device *dev)
{
	ON_CONTROL(dev);
	assert(dev->pause_wanted);
	dev->pause_wanted = false;
	dev->paused = NULL;
	vsp_device_each_channel(dev, resume_channel, NULL);
	if (dev->reoffer_waits)
		vsp_device_reoffer(dev);
}
