/* SPDX-License-Identifier: MIT */
/*
 * The LUNs of a channel: for each its unit and a queue on its disk. Only the
 * channel's I/O thread uses and changes them, without a lock; the control thread
 * makes changes by calls.
 *
 *   EMPTY --attach: queue opened--> ATTACHED --detach--> DETACHING --last command done--> EMPTY
 *
 * In DETACHING no command gets the unit any more, and those that use it are
 * cancelled: their disk may keep them for long. The queue is closed, and the
 * call done, by a task of its own: a disk may be freed as soon as the call is
 * done, and the completion of its last request must have returned by then.
 * A channel that closes has no command left and empties all at once.
 */
#include "vsp/storvsp/storvsp_impl.h"

#include <string.h>

#include "base/log.h"

/* Of the VM's budget for a disk's queue: an estimate, disks differ. */
#define QUEUE_BYTES 1024u

static uint8_t lun_of(const struct storvsp_chan_lun *l)
{
	return (uint8_t)(l - l->channel->luns);
}

static struct loop *loop_of(const struct storvsp_chan_lun *l)
{
	return vsp_channel_loop(l->channel->ch);
}

static struct budget *budget_of(const struct storvsp_chan_lun *l)
{
	return vsp_device_budget(vsp_channel_device(l->channel->ch));
}

static int queue_open(struct storvsp_chan_lun *l, struct disk *disk)
{
	int ret;

	if (!budget_take(budget_of(l), BUDGET_CHANNELS, QUEUE_BYTES))
		return -ENOMEM;
	ret = disk_queue_open(disk, loop_of(l), &l->queue);
	if (ret)
		budget_give(budget_of(l), BUDGET_CHANNELS, QUEUE_BYTES);
	return ret;
}

static void queue_close(struct storvsp_chan_lun *l)
{
	disk_queue_close(l->queue);
	budget_give(budget_of(l), BUDGET_CHANNELS, QUEUE_BYTES);
}

static int attach(struct storvsp_chan_lun *l, struct scsi_unit *unit)
{
	struct storvsp_lun *lun = container_of(unit, struct storvsp_lun, scsi);
	int ret = queue_open(l, lun->disk);

	l->unit = ret ? NULL : unit;
	if (!ret)
		return 0;
	l->queue = NULL;
	log_event(LOG_ERROR, "storage controller: LUN %u: cannot open a queue: %s", lun_of(l),
		strerror(-ret));
	return ret;
}

static void empty(struct storvsp_chan_lun *l)
{
	assert(!l->in_flight);
	if (l->queue)
		queue_close(l);
	l->queue = NULL;
	l->unit = NULL;
}

/* ---- all of them --------------------------------------------------------- */

static void detached(struct loop_task *task)
{
	struct storvsp_chan_lun *l = container_of(task, struct storvsp_chan_lun, detached_task);

	ON_IO_THREAD(l->channel);
	empty(l);
	l->detaching = false;
	vsp_call_done(&l->change.call);
}

/* Changes made after this come as calls. */
void chan_luns_init(struct storvsp_channel *c)
{
	for (uint32_t i = 0; i < SCSI_LUNS_MAX; i++) {
		struct storvsp_lun *lun = c->device->luns[i];

		c->luns[i].channel = c;
		c->luns[i].detached_task.fn = detached;
		if (lun && lun->state != LUN_REMOVING)
			c->luns[i].unit = &lun->scsi;
	}
}

void chan_luns_close(struct storvsp_channel *c)
{
	ON_IO_THREAD(c);
	for (uint32_t i = 0; i < SCSI_LUNS_MAX; i++)
		empty(&c->luns[i]);
}

int chan_luns_open(struct storvsp_channel *c)
{
	ON_IO_THREAD(c);
	for (uint32_t i = 0; i < SCSI_LUNS_MAX; i++) {
		int ret = c->luns[i].unit ? attach(&c->luns[i], c->luns[i].unit) : 0;

		if (ret) {
			chan_luns_close(c);
			return ret;
		}
	}
	return 0;
}

/* ---- calls --------------------------------------------------------------- */

/* A channel that stops needs no new unit. */
void chan_lun_attach(struct vsp_call *call)
{
	struct storvsp_chan_lun *l = container_of(call, struct storvsp_chan_lun, change.call);

	ON_IO_THREAD(l->channel);
	l->change.error = 0;
	if (!l->channel->stopping) {
		assert(!l->unit);
		l->change.error = attach(l, &l->change.lun->scsi);
	}
	vsp_call_done(call);
}

void chan_lun_detach(struct vsp_call *call)
{
	struct storvsp_chan_lun *l = container_of(call, struct storvsp_chan_lun, change.call);

	ON_IO_THREAD(l->channel);
	l->change.error = 0;
	l->detaching = l->in_flight;
	if (l->detaching) {
		inflight_cancel_lun(l);
		return;
	}
	empty(l);
	vsp_call_done(call);
}

/* ---- commands ------------------------------------------------------------ */

void chan_lun_get(struct storvsp_request *r, uint8_t lun)
{
	struct storvsp_chan_lun *l = &r->channel->luns[lun];
	struct storvsp *s = r->channel->device;

	ON_IO_THREAD(r->channel);
	if (!l->unit || l->detaching || !storvsp_is_visible(s, lun)) {
		r->task.unit = &s->absent[lun];
		return;
	}
	l->in_flight++;
	r->lun = l;
	r->task.unit = l->unit;
	r->task.queue = l->queue;
}

void chan_lun_put(struct storvsp_request *r)
{
	struct storvsp_chan_lun *l = r->lun;

	ON_IO_THREAD(r->channel);
	if (!l)
		return;
	r->lun = NULL;
	if (--l->in_flight == 0 && l->detaching)
		loop_post(loop_of(l), &l->detached_task);
}
