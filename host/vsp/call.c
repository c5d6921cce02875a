/* SPDX-License-Identifier: MIT */
/*
 * Calls of a VSP from the control thread (C) to a channel's I/O thread (W), and
 * the other way. run() on the other thread, vsp_call_done() there, done() here:
 *
 *   vsp_channel_call   C --> W --> C   the channel's memory stays until done()
 *   vsp_control_call   W --> C --> W   the channel is held until done()
 */
#include "vsp/vsp_impl.h"

static void run_on_io_thread(struct loop_task *task)
{
	struct vsp_call *call = container_of(task, struct vsp_call, task);

	ON_IO_THREAD(call->ch);
	call->run(call);
}

static void run_on_control(struct loop_task *task)
{
	struct vsp_call *call = container_of(task, struct vsp_call, task);

	ON_CONTROL(call->ch->dev);
	call->run(call);
}

/* done() may call again: then the channel stays. */
static void done_on_control(struct loop_task *task)
{
	struct vsp_call *call = container_of(task, struct vsp_call, task);
	struct vsp_channel *ch = call->ch;

	ON_CONTROL(ch->dev);
	call->done(call);
	ch->calls--;
	vsp_channel_check_gone(ch);
}

static void done_on_io_thread(struct loop_task *task)
{
	struct vsp_call *call = container_of(task, struct vsp_call, task);
	struct vsp_channel *ch = call->ch;

	ON_IO_THREAD(ch);
	call->done(call);
	vsp_channel_release(ch);
}

static void call_init(struct vsp_call *call, struct vsp_channel *ch,
	void (*run)(struct vsp_call *call), void (*done)(struct vsp_call *call))
{
	call->ch = ch;
	call->run = run;
	call->done = done;
}

void vsp_channel_call(struct vsp_channel *ch, struct vsp_call *call,
	void (*run)(struct vsp_call *call), void (*done)(struct vsp_call *call))
{
	ON_CONTROL(ch->dev);
	call_init(call, ch, run, done);
	call->to_control = false;
	ch->calls++;
	vsp_post(ch->io_thread, &call->task, run_on_io_thread);
}

void vsp_control_call(struct vsp_channel *ch, struct vsp_call *call,
	void (*run)(struct vsp_call *call), void (*done)(struct vsp_call *call))
{
	vsp_channel_hold(ch);
	assert(ch->stage < VSP_STAGE_CLOSED);
	call_init(call, ch, run, done);
	call->to_control = true;
	vsp_post(ch->dev->host->control, &call->task, run_on_control);
}

void vsp_call_done(struct vsp_call *call)
{
	struct vsp_channel *ch = call->ch;

	if (call->to_control) {
		ON_CONTROL(ch->dev);
		vsp_post(ch->io_thread, &call->task, done_on_io_thread);
	} else {
		ON_IO_THREAD(ch);
		vsp_post(ch->dev->host->control, &call->task, done_on_control);
	}
}
