/* SPDX-License-Identifier: MIT */
/*
 * Lets a program that sends SCSI commands with SG_IO use our SCSI layer instead of a device. As an
 * LD_PRELOAD library it takes over open() of SGIO_DEVICE and ioctl() on it: commands run on a disk
 * in the file SGIO_FILE, in the process of the program. No guest, no VMBus, no root.
 *
 * Environment: SGIO_DEVICE, SGIO_FILE (an image; its contents are changed).
 * Thread: one; the program must not send commands from several.
 */
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/fs.h>
#include <scsi/sg.h>

#include "scsi/reserve.h"
#include "scsi/scsi.h"

#define PAGE         4096u
#define TRANSFER_MAX (1u << 20)
#define SG_VERSION   30536

#define STATUS_CHECK_CONDITION      0x02u
#define STATUS_RESERVATION_CONFLICT 0x18u

static struct {
	int fd; /* stands for the device; 0: not open */
	struct loop loop;
	struct disk *disk;
	struct disk_queue *queue;
	struct scsi_unit unit;
	struct scsi_reservation *reservation;
	_Atomic uint64_t luns;
	struct scsi_task task;
	struct iovec iov[TRANSFER_MAX / PAGE];
	uint8_t data[TRANSFER_MAX];
	bool done;
} d;

/* ---- the unit ------------------------------------------------------------ */

static void unit_init(void)
{
	struct scsi_name name = scsi_name_of("FOREIGN1", d.disk, "0:0");

	d.luns = 1;
	d.unit = (struct scsi_unit){
		.present = true,
		.luns = &d.luns,
		.serial = "FOREIGN1",
		.transfer_bytes_max = TRANSFER_MAX,
		.info = d.disk->info,
		.size = disk_size(d.disk),
		.reservation = d.reservation,
		.fence = scsi_fence_create(),
	};
	scsi_identify(d.unit.id, &name);
	d.task.req = aligned_alloc(16, disk_req_size(d.disk));
}

static int device_open(struct err *e)
{
	const struct disk_file_options options = {0};
	const char *file = getenv("SGIO_FILE");
	int ret = loop_init(&d.loop, "sgio", e);

	if (!ret)
		ret = disk_file_open(&d.disk, file ? file : "", &options, e);
	if (!ret)
		ret = disk_queue_open(d.disk, &d.loop, &d.queue);
	if (!ret)
		ret = scsi_reservation_open(&d.reservation, NULL, e);
	if (!ret)
		unit_init();
	return ret;
}

/* ---- commands ------------------------------------------------------------ */

static void task_done(struct scsi_task *task)
{
	d.done = true;
	loop_stop(&d.loop);
}

static void take_data(const sg_io_hdr_t *h)
{
	const struct iovec *pieces = h->dxferp;
	uint32_t at = 0;

	memset(d.data, 0, h->dxfer_len);
	if (h->dxfer_direction != SG_DXFER_TO_DEV)
		return;
	if (!h->iovec_count)
		memcpy(d.data, h->dxferp, h->dxfer_len);
	for (uint32_t i = 0; i < h->iovec_count; i++) {
		memcpy(d.data + at, pieces[i].iov_base, pieces[i].iov_len);
		at += (uint32_t)pieces[i].iov_len;
	}
}

static void take_command(const sg_io_hdr_t *h)
{
	struct scsi_input *in = &d.task.in;
	bool moves =
		h->dxfer_direction == SG_DXFER_TO_DEV || h->dxfer_direction == SG_DXFER_FROM_DEV;

	*in = (struct scsi_input){.cdb_length = h->cmd_len};
	memcpy(in->cdb, h->cmdp, h->cmd_len < SCSI_CDB_SIZE ? h->cmd_len : SCSI_CDB_SIZE);
	in->length = moves ? h->dxfer_len : 0;
	if (in->length)
		in->dir = h->dxfer_direction == SG_DXFER_TO_DEV ? SCSI_DIR_OUT : SCSI_DIR_IN;
	d.task.unit = &d.unit;
	d.task.queue = d.queue;
	d.task.done = task_done;
	d.task.iov = d.iov;
	d.task.iov_max = TRANSFER_MAX / PAGE;
	d.task.iov_count = 0;
	for (uint32_t at = 0; at < in->length; at += PAGE) {
		uint32_t size = in->length - at < PAGE ? in->length - at : PAGE;

		d.iov[d.task.iov_count++] = (struct iovec){d.data + at, size};
	}
}

static void put_result(sg_io_hdr_t *h)
{
	if (d.task.in.dir == SCSI_DIR_IN)
		memcpy(h->dxferp, d.data, d.task.transferred);
	h->status = h->masked_status = h->sb_len_wr = 0;
	h->host_status = h->driver_status = 0;
	h->resid = (int)(d.task.in.length - d.task.transferred);
	if (d.task.error == SCSI_ERR_CONFLICT) {
		h->status = STATUS_RESERVATION_CONFLICT;
	} else if (d.task.error) {
		h->status = STATUS_CHECK_CONDITION;
		h->sb_len_wr = h->mx_sb_len < SCSI_SENSE_SIZE ? h->mx_sb_len : SCSI_SENSE_SIZE;
		memcpy(h->sbp, d.task.sense, h->sb_len_wr);
	}
	h->masked_status = h->status >> 1;
}

static int command(sg_io_hdr_t *h)
{
	if (h->dxfer_len > TRANSFER_MAX) {
		errno = EINVAL;
		return -1;
	}
	take_data(h);
	take_command(h);
	d.done = false;
	scsi_execute(&d.task);
	loop_run(&d.loop);
	assert(d.done);
	put_result(h);
	return 0;
}

/* ---- the calls of the program -------------------------------------------- */

/* The real function behind the one defined here. */
static void *next(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);

	assert(function);
	return function;
}

int open(const char *path, int flags, ...)
{
	int (*real)(const char *path, int flags, ...) = next("open");
	const char *device = getenv("SGIO_DEVICE");
	struct err e = {0};
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	if (!device || strcmp(path, device))
		return real(path, flags, mode);
	if (!d.disk && device_open(&e)) {
		fprintf(stderr, "sgio: %s\n", e.text);
		errno = EIO;
		return -1;
	}
	d.fd = real("/dev/null", O_RDWR | O_CLOEXEC);
	return d.fd;
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int ioctl(int fd, unsigned long request, ...)
{
	int (*real)(int fd, unsigned long request, ...) = next("ioctl");
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (!d.fd || fd != d.fd)
		return real(fd, request, arg);
	switch (request) {
	case SG_IO:
		return command(arg);
	case SG_GET_VERSION_NUM:
		*(int *)arg = SG_VERSION;
		return 0;
	case BLKSECTGET:
		*(unsigned short *)arg = TRANSFER_MAX / 512;
		return 0;
	default:
		errno = ENOTTY;
		return -1;
	}
}
