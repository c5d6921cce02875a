/* SPDX-License-Identifier: GPL-2.0-only */
/* storvsc.ko: from an offer of the bus to a SCSI host, and the end of it. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpumask.h>
#include <linux/dma-mapping.h>
#include <linux/mod_devicetable.h>

#include "guest/storvsc/storvsc.h"

#define CREATE_TRACE_POINTS
#include "guest/storvsc/trace.h"

#define SUB_CHANNEL_SECONDS 10u

static unsigned int channels;
module_param(channels, uint, 0444);
MODULE_PARM_DESC(channels, "Channels of a controller (0: one for each CPU)");

static bool poll = true;
module_param(poll, bool, 0444);
MODULE_PARM_DESC(poll, "A poll queue for each channel (Y)");

/* ---- channels ------------------------------------------------------------ */

static unsigned int sub_channels_wanted(void)
{
	unsigned int all = channels ? channels : num_online_cpus();

	return min(all, STORVSC_CHANNELS_MAX) - 1;
}

static int add_channel(struct storvsc *s, struct vsc_channel *vsc)
{
	struct storvsc_chan *chan = storvsc_chan_create(s, vsc);
	int err;

	if (!chan)
		return -ENOMEM;
	chan->index = s->chan_count;
	s->chans[chan->index] = chan;
	err = storvsc_chan_open(chan);
	if (err) {
		s->chans[chan->index] = NULL;
		storvsc_chan_free(chan);
		return err;
	}
	s->chan_count++;
	return 0;
}

/* Before the host is added: later ones would have no queue. */
static void storvsc_sub_channel(struct vsc_device *device, struct vsc_channel *vsc)
{
	struct storvsc *s = device->data;
	int err;

	mutex_lock(&s->chans_lock);
	if (s->chan_count < s->chans_wanted) {
		err = add_channel(s, vsc);
		if (err)
			dev_warn(device->dev, "a sub-channel cannot be opened: %d\n", err);
		if (s->chan_count == s->chans_wanted)
			complete(&s->chans_there);
	}
	mutex_unlock(&s->chans_lock);
}

static void storvsc_retargeted(struct vsc_channel *vsc)
{
	struct storvsc_chan *chan = vsc->data;

	WRITE_ONCE(chan->cpu, vsc_cpu(vsc));
}

/* One channel is enough to live. */
static void await_sub_channels(struct storvsc *s)
{
	unsigned int wanted = 1 + s->conn.sub_channels;

	mutex_lock(&s->chans_lock);
	s->chans_wanted = wanted; /* the host may have granted fewer than were asked for */
	if (s->chan_count < wanted) {
		mutex_unlock(&s->chans_lock);
		wait_for_completion_timeout(&s->chans_there, SUB_CHANNEL_SECONDS * HZ);
		mutex_lock(&s->chans_lock);
	}
	s->chans_wanted = 0;
	mutex_unlock(&s->chans_lock);
	if (s->chan_count < wanted)
		dev_warn(s->device->dev, "%u of %u channels\n", s->chan_count, wanted);
}

static void free_channels(struct storvsc *s)
{
	unsigned int i;

	for (i = 0; i < s->chan_count; i++)
		storvsc_chan_free(s->chans[i]);
}

/* ---- a controller -------------------------------------------------------- */

static struct storvsc *controller_alloc(struct vsc_device *device)
{
	struct Scsi_Host *host = scsi_host_alloc(&storvsc_template, sizeof(struct storvsc));
	struct storvsc *s;

	if (!host)
		return NULL;
	s = shost_priv(host);
	s->host = host;
	s->device = device;
	s->polling = poll;
	s->chans_wanted = 1 + sub_channels_wanted();
	mutex_init(&s->chans_lock);
	init_completion(&s->chans_there);
	storvsc_control_init(&s->control);
	storvsc_recovery_init(s);
	device->data = s;
	return s;
}

static void set_limits(struct storvsc *s)
{
	struct Scsi_Host *host = s->host;

	host->max_cmd_len = VSTOR_CDB_SIZE;
	host->max_channel = 0;
	host->max_id = STORVSC_TARGETS;
	host->max_lun = STORVSC_LUNS;
	host->max_sectors = s->conn.transfer_max >> SECTOR_SHIFT;
	host->sg_tablesize = s->conn.transfer_max / HV_PAGE_SIZE + 1;
	host->nr_hw_queues = s->chan_count * (s->polling ? 2 : 1);
	host->nr_maps = s->polling ? HCTX_TYPE_POLL + 1 : 1;
	/* A bounce buffer keeps the offset in the page, or a page list would not describe it. */
	dma_set_min_align_mask(s->device->dev, HV_PAGE_SIZE - 1);
}

static int connect(struct storvsc *s)
{
	int err = add_channel(s, s->device->primary);

	if (err)
		return err;
	err = storvsc_negotiate(s, s->chans_wanted - 1);
	if (!err)
		await_sub_channels(s);
	return err;
}

static int storvsc_probe(struct vsc_device *device)
{
	struct storvsc *s = controller_alloc(device);
	int err;

	if (!s)
		return -ENOMEM;
	err = storvsc_luns_init(s);
	if (!err)
		err = connect(s);
	if (!err) {
		set_limits(s);
		err = scsi_add_host(s->host, device->dev);
	}
	if (err)
		goto undo;
	storvsc_stats_add(s);
	WRITE_ONCE(s->added, true); /* earlier news are covered by the scan */
	scsi_scan_host(s->host);
	return 0;

undo:
	dev_err(device->dev, "no controller: error %d\n", err);
	if (s->chan_count)
		storvsc_shut(s);
	cancel_work_sync(&s->failure);
	storvsc_luns_end(s);
	free_channels(s);
	scsi_host_put(s->host);
	return err;
}

/* A channel that the host has rescinded answers nothing: what is in flight must fail before the
 * disks are removed, which waits for it. Otherwise disks write their caches first. */
static void storvsc_remove(struct vsc_device *device)
{
	struct storvsc *s = device->data;

	if (vsc_rescinded(device->primary))
		storvsc_shut(s);
	scsi_remove_host(s->host);
	storvsc_shut(s);
	flush_work(&s->failure);
	storvsc_stats_remove(s);
	storvsc_luns_end(s);
	free_channels(s);
	scsi_host_put(s->host);
}

/* ---- module -------------------------------------------------------------- */

static const struct hv_guid classes[] = {VMBUS_GUID_SCSI};

static struct vsc_driver storvsc_driver = {
	.name = "storvsc",
	.owner = THIS_MODULE,
	.classes = classes,
	.class_count = ARRAY_SIZE(classes),
	.probe = storvsc_probe,
	.remove = storvsc_remove,
	.sub_channel = storvsc_sub_channel,
	.retargeted = storvsc_retargeted,
};

/* For udev and modprobe: the class of SCSI controllers. */
static const struct hv_vmbus_device_id __maybe_unused storvsc_ids[] = {
	{.guid = GUID_INIT(
		 0xba6163d9, 0x04a1, 0x4d29, 0xb6, 0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f)},
	{},
};
MODULE_DEVICE_TABLE(vmbus, storvsc_ids);

static int __init storvsc_init(void)
{
	int err;

	storvsc_stats_module_init();
	err = vsc_driver_register(&storvsc_driver);
	if (err)
		storvsc_stats_module_exit();
	return err;
}

static void __exit storvsc_exit(void)
{
	vsc_driver_unregister(&storvsc_driver);
	storvsc_stats_module_exit();
}

module_init(storvsc_init);
module_exit(storvsc_exit);
MODULE_DESCRIPTION("Synthetic SCSI controllers of Hyper-V hosts");
MODULE_AUTHOR("The Enlite authors");
MODULE_LICENSE("GPL");
