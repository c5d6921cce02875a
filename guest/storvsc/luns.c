/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * LUNs that come, go and change. Completions only set bits; one ordered work queue per controller
 * does what sleeps. What the host can make it do is one pass more, never memory.
 */
#include "guest/storvsc/storvsc.h"

static unsigned int bit_of(const struct scsi_device *sdev)
{
	return sdev->id * STORVSC_LUNS + (unsigned int)sdev->lun;
}

static struct scsi_device *lookup(struct storvsc *s, unsigned int bit)
{
	return scsi_device_lookup(s->host, 0, bit / STORVSC_LUNS, bit % STORVSC_LUNS);
}

static void remove_lun(struct storvsc *s, unsigned int bit)
{
	struct scsi_device *sdev = lookup(s, bit);

	if (!sdev)
		return;
	scsi_remove_device(sdev);
	scsi_device_put(sdev);
}

static void rescan_lun(struct storvsc *s, unsigned int bit)
{
	struct scsi_device *sdev = lookup(s, bit);

	if (!sdev)
		return;
	scsi_rescan_device(sdev);
	scsi_device_put(sdev);
}

static void on_luns(struct work_struct *work)
{
	struct storvsc *s = container_of(work, struct storvsc, luns);
	unsigned int bit;

	for_each_set_bit (bit, s->luns_gone, STORVSC_TARGETS * STORVSC_LUNS)
		if (test_and_clear_bit(bit, s->luns_gone))
			remove_lun(s, bit);
	for_each_set_bit (bit, s->luns_changed, STORVSC_TARGETS * STORVSC_LUNS)
		if (test_and_clear_bit(bit, s->luns_changed))
			rescan_lun(s, bit);
}

/* A LUN that is gone answers a command with that, which removes it. */
static void on_scan(struct work_struct *work)
{
	struct storvsc *s = container_of(work, struct storvsc, scan);
	struct scsi_device *sdev;

	shost_for_each_device (sdev, s->host)
		scsi_test_unit_ready(sdev, 10 * HZ, 1, NULL);
	scsi_scan_host(s->host);
}

void storvsc_luns_scan(struct storvsc *s)
{
	if (READ_ONCE(s->added))
		queue_work(s->work, &s->scan);
}

/* A device that is still being scanned is dropped by the scan itself. */
void storvsc_lun_gone(struct storvsc *s, const struct scsi_device *sdev)
{
	if (sdev->sdev_state == SDEV_CREATED)
		return;
	set_bit(bit_of(sdev), s->luns_gone);
	queue_work(s->work, &s->luns);
}

void storvsc_lun_changed(struct storvsc *s, const struct scsi_device *sdev)
{
	if (sdev->sdev_state == SDEV_CREATED)
		return;
	set_bit(bit_of(sdev), s->luns_changed);
	queue_work(s->work, &s->luns);
}

int storvsc_luns_init(struct storvsc *s)
{
	INIT_WORK(&s->scan, on_scan);
	INIT_WORK(&s->luns, on_luns);
	s->work = alloc_ordered_workqueue("storvsc_%u", 0, s->host->host_no);
	return s->work ? 0 : -ENOMEM;
}

/* After the channels are closed, so nothing is queued any more. */
void storvsc_luns_end(struct storvsc *s)
{
	if (s->work)
		destroy_workqueue(s->work);
}
