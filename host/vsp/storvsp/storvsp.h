/* SPDX-License-Identifier: MIT */
/*
 * The synthetic SCSI controller. Up to 64 disks at path 0, target 0.
 * Source: Linux drivers/scsi/storvsc_drv.c; wire format in hv/vstor_reg.h.
 */
#ifndef STORVSP_H
#define STORVSP_H

#include "base/hist.h"
#include "disk/disk.h"
#include "vsp/vsp.h"

struct scsi_reservation;

struct storvsp_lun_config {
	uint8_t lun;        /* 0..63 */
	struct disk *disk;  /* stays the caller's; outlives the device */
	bool cdrom;         /* a DVD-ROM drive with the disk as its medium, read only */
	const char *serial; /* printable ASCII, at most 32; NULL: none */
	const uint8_t *id;  /* SCSI_ID_SIZE bytes, no other disk of the VM has them; or NULL */
	/* Of the disk, read before: a user of it more, restarted. NULL: read now, which may sleep.
	 */
	struct scsi_reservation *reservation;
};

/* The config of vsp_device_create(); copied. */
struct storvsp_config {
	const struct storvsp_lun_config *luns;
	uint32_t lun_count;
	size_t disk_req_size; /* at least; room for disks added later: their disk_req_size() */
};

/* Commands by what they wait for. */
enum storvsp_latency {
	STORVSP_LATENCY_READ,
	STORVSP_LATENCY_WRITE,
	STORVSP_LATENCY_FLUSH,
	STORVSP_LATENCY_OTHER, /* UNMAP, too */
	STORVSP_LATENCIES,
};

struct storvsp_counters {
	/* each command that is done is one of these */
	uint64_t reads, writes; /* WRITE SAME is a write, and counts what it writes */
	uint64_t flushes;
	uint64_t unmaps;
	uint64_t others; /* commands that touch no data */
	uint64_t errors; /* of any kind, ended with something else than GOOD */
	/* of those without an error */
	uint64_t read_bytes, written_bytes;
	uint64_t copied_bytes;  /* of data buffers, by us; READ and WRITE go without */
	uint64_t depth;         /* commands in flight now */
	uint64_t depth_highest; /* there ever were; of a LUN on several channels: on one of them */
	/* From the loop turn that took the packet to that in which the reply was made, of all
	 * commands that are done, errors included. */
	struct hist_sum latency[STORVSP_LATENCIES];
};

extern const struct vsp_ops storvsp_ops;

/* ON_CONTROL; any thread while no LUN is added or removed. Sums since the disk was added; -ENOENT:
 * no such LUN. */
int storvsp_counters(struct vsp_device *dev, uint8_t lun, struct storvsp_counters *sum);
/* The same for a channel, by its index (0 primary), over all present LUNs; without what disks
 * copied. */
int storvsp_channel_counters(
	struct vsp_device *dev, uint32_t channel, struct storvsp_counters *sum);

/* ON_CONTROL. Hot add: added(ctx, 0) when guests find the disk; the guest is notified. added(ctx,
 * -errno): it could not be added, or it was removed meanwhile. Possibly before this returns. After
 * an error here it is not called. After either error the disk is the caller's again. */
int storvsp_add(struct vsp_device *dev, const struct storvsp_lun_config *config,
	void (*added)(void *ctx, int error), void *ctx, struct err *e);

/* ON_CONTROL. Hot removal: later commands find no such LUN, and the guest is notified; those in
 * flight are cancelled. removed(ctx) when they are done and the disk is not used any more, possibly
 * before this returns, and always before bus_shutdown() or vsp_device_remove() are done. -ENOENT,
 * -EALREADY: removed is not called. */
int storvsp_remove(struct vsp_device *dev, uint8_t number, void (*removed)(void *ctx), void *ctx,
	struct err *e);

/* ON_CONTROL. Reads the size of the disk's storage again, which may have changed; the guest gets a
 * unit attention. On failure the old size stays. */
int storvsp_resize(struct vsp_device *dev, uint8_t number, struct err *e);

#endif
