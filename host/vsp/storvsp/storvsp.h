/* SPDX-License-Identifier: MIT */
/*
 * The synthetic SCSI controller. Up to 64 disks at path 0, target 0.
 * Source: spec sheet "storvsp"; wire in hv/vstor_reg.h.
 */
#ifndef STORVSP_H
#define STORVSP_H

#include "backend/disk.h"
#include "vsp/vsp.h"

struct storvsp_lun {
	uint8_t lun;        /* 0..63 */
	struct disk *disk;  /* stays the caller's; outlives the device */
	const char *serial; /* printable ASCII, at most 32; NULL: none */
};

/* The config of vsp_device_create(); copied. */
struct storvsp_config {
	const struct storvsp_lun *luns;
	uint32_t lun_count;
};

struct storvsp_counters {
	uint64_t reads, read_bytes;
	uint64_t writes, written_bytes; /* WRITE SAME counts what it writes */
	uint64_t flushes;
	uint64_t unmaps;
	uint64_t others;       /* commands that touch no data */
	uint64_t errors;       /* commands of any kind that ended with sense data */
	uint64_t copied_bytes; /* of data buffers, by us; READ and WRITE go without */
};

extern const struct vsp_ops storvsp_ops;

/* Any thread. Sums since the device was created; -ENOENT: no such LUN. */
int storvsp_counters(struct vsp_device *dev, uint8_t lun, struct storvsp_counters *sum);

#endif
