/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When the host does not answer. The SCSI layer asks for more each time, and each step ends:
 *
 *   timeout        the ring is read, in case an interrupt was lost
 *   abort          the protocol cannot abort one command; done if it has completed meanwhile
 *   LUN reset      the host cancels the commands of one LUN
 *   host reset     the host cancels all commands
 *   failure        the channels are closed, all commands fail, and so do all later ones
 *
 * A command whose memory the host may still use is not completed: after a close that the host has
 * answered it does not. Only if the host does not answer that either, for failure_timeout seconds,
 * are commands failed regardless, since a host that is gone for good must not hang the guest.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>

#include "guest/storvsc/storvsc.h"
#include "guest/storvsc/trace.h"

#define RESET_SECONDS     10u /* until a reset is answered */
#define LUN_DRAIN_SECONDS 5u  /* until the commands it cancels are complete */
#define DRAIN_SECONDS     20u

static unsigned int failure_timeout = 180;
module_param(failure_timeout, uint, 0644);
MODULE_PARM_DESC(
	failure_timeout, "Seconds until commands fail whose channel the host does not close (180)");

static struct storvsc *storvsc_of(struct scsi_cmnd *cmd)
{
	return shost_priv(cmd->device->host);
}

static void settle_all(struct storvsc *s)
{
	unsigned int i;

	for (i = 0; i < s->chan_count; i++)
		storvsc_chan_settle(s->chans[i]);
}

static void drain_all(struct storvsc *s)
{
	unsigned int i;

	for (i = 0; i < s->chan_count; i++)
		storvsc_chan_drain(s->chans[i]);
}

/* ---- steps --------------------------------------------------------------- */

static struct storvsc_slot *slot_of(struct scsi_cmnd *cmd, struct storvsc_chan **chan)
{
	u32 unique = blk_mq_unique_tag(scsi_cmd_to_rq(cmd));
	unsigned int queue = blk_mq_unique_tag_to_hwq(unique);
	struct storvsc *s = storvsc_of(cmd);

	*chan = s->chans[queue % s->chan_count];
	return &(*chan)->slots[queue / s->chan_count][blk_mq_unique_tag_to_tag(unique)];
}

compat_eh_timer_return storvsc_eh_timed_out(struct scsi_cmnd *cmd)
{
	struct storvsc_chan *chan;
	struct storvsc_slot *slot = slot_of(cmd, &chan);

	trace_storvsc_timeout(
		chan->index, atomic64_read(&slot->id), cmd->device->lun, cmd->cmnd[0]);
	storvsc_chan_drain(chan);
	return COMPAT_EH_NOT_HANDLED;
}

int storvsc_eh_abort(struct scsi_cmnd *cmd)
{
	struct storvsc_chan *chan;
	struct storvsc_slot *slot = slot_of(cmd, &chan);

	storvsc_chan_drain(chan);
	if (atomic64_read(&slot->id))
		return FAILED;
	storvsc_chan_settle(chan);
	return SUCCESS;
}

/* Until no command of the LUN (NULL: of all) is in flight. */
static bool wait_idle(struct storvsc *s, const struct scsi_device *sdev, unsigned int seconds)
{
	unsigned long end = jiffies + seconds * HZ;

	while (storvsc_scsi_in_flight(s, sdev)) {
		if (time_after(jiffies, end) || READ_ONCE(s->dead))
			return false;
		msleep(20);
		drain_all(s);
	}
	settle_all(s);
	return true;
}

int storvsc_eh_reset_lun(struct scsi_cmnd *cmd)
{
	struct scsi_device *sdev = cmd->device;
	struct storvsc *s = storvsc_of(cmd);
	struct vstor_packet packet;

	sdev_printk(KERN_INFO, sdev, "resetting the LUN\n");
	storvsc_reset_lun_build(sdev->channel, sdev->id, sdev->lun, &packet);
	if (storvsc_control_request(s, &packet, RESET_SECONDS))
		return FAILED;
	return wait_idle(s, sdev, LUN_DRAIN_SECONDS) ? SUCCESS : FAILED;
}

/* Waits for the failure as long as commands may not be completed without it. */
static void fail_now(struct storvsc *s)
{
	storvsc_die(s, "the host answers no reset");
	if (wait_for_completion_timeout(&s->failed, failure_timeout * HZ))
		return;
	shost_printk(KERN_ERR, s->host,
		"the host does not close the channel; commands fail whose memory it may still use\n");
	storvsc_scsi_fail_all(s);
}

int storvsc_eh_reset_host(struct scsi_cmnd *cmd)
{
	struct storvsc *s = storvsc_of(cmd);
	struct vstor_packet packet;

	shost_printk(KERN_INFO, s->host, "resetting the controller\n");
	storvsc_reset_build(&packet);
	if (!storvsc_control_request(s, &packet, RESET_SECONDS) &&
		wait_idle(s, NULL, DRAIN_SECONDS))
		return SUCCESS;
	fail_now(s);
	return FAILED;
}

/* ---- failure ------------------------------------------------------------- */

/* Nothing is sent or received when the channels are closed, and the host uses no memory of commands
 * when that is done. */
void storvsc_shut(struct storvsc *s)
{
	unsigned int i;

	mutex_lock(&s->shut_lock);
	if (!s->shut) {
		WRITE_ONCE(s->dead, true);
		for (i = 0; i < s->chan_count; i++)
			storvsc_chan_stop(s->chans[i]);
		vsc_close(s->device);
		storvsc_scsi_fail_all(s);
		s->shut = true;
		complete_all(&s->failed);
	}
	mutex_unlock(&s->shut_lock);
}

static void on_failure(struct work_struct *work)
{
	storvsc_shut(container_of(work, struct storvsc, failure));
}

void storvsc_die(struct storvsc *s, const char *why)
{
	if (xchg(&s->dead, true))
		return;
	dev_err(s->device->dev, "controller failed: %s\n", why);
	queue_work(system_unbound_wq, &s->failure);
}

void storvsc_recovery_init(struct storvsc *s)
{
	mutex_init(&s->shut_lock);
	INIT_WORK(&s->failure, on_failure);
	init_completion(&s->failed);
}
