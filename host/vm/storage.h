/* SPDX-License-Identifier: MIT */
/*
 * The disks and SCSI controllers of a VM. They outlive boots: a disk that was added
 * or removed while a guest ran stays so after its reset. Controllers are offered
 * to the guest from storage_attach() to storage_detach().
 *
 *   disk        (none) --add--> OPENING --> ADDING --> PRESENT --remove--> REMOVING --> CLOSING
 *                                                                              --> (none)
 *   controller  NONE --first disk--> PRESENT --remove--> REMOVING --> NONE, with its disks
 *
 * A controller stays when its last disk goes. While it is REMOVING none of its
 * disks can be changed; changes that began before end before it is removed.
 *
 * A pause brings every controller to rest. Changes that began before go on, but a disk that is
 * opened meanwhile is added only at the resume.
 *
 * Thread: control. Opening a disk may wait for a remote server, so each disk that is added is
 * opened in a thread of its own, which also reads its reservation; closing one may wait for its
 * file system, and is a blocking call. Only the last close, at the end of the process, is not.
 */
#ifndef VM_STORAGE_H
#define VM_STORAGE_H

#include "base/archive.h"
#include "base/blocking.h"
#include "config/config.h"
#include "disk/disk.h"
#include "scsi/scsi.h"
#include "vm/device_group.h"

/* The end of a change. e: NULL, or why it was not made. */
typedef void storage_done_fn(void *ctx, const struct err *e);

struct storage_change {
	storage_done_fn *done; /* NULL: no callback */
	void *ctx;
};

enum storage_state {
	STORAGE_NONE,
	STORAGE_OPENING,
	STORAGE_ADDING,
	STORAGE_PRESENT,
	STORAGE_REMOVING,
	STORAGE_CLOSING, /* no guest has it any more */
};

struct storage;

struct storage_controller {
	struct storage *storage;
	uint8_t number;
	enum storage_state state;
	struct vm_device device;
	struct storage_change change;
	uint32_t closing; /* disks in CLOSING */
};

struct storage_disk {
	struct list link; /* storage.disks */
	struct storage_controller *controller;
	uint8_t lun;
	struct disk_config config;
	struct disk *disk;                    /* NULL: OPENING; the helper thread's: CLOSING */
	struct scsi_reservation *reservation; /* NULL: a DVD, or OPENING */
	struct blocking_call close_call;
	uint8_t id[SCSI_ID_SIZE]; /* zeros: OPENING */
	enum storage_state state;
	struct storage_change change;
	/* OPENING */
	bool deferred; /* it is open, and its thread joined: resume adds it */
	pthread_t thread;
	bool posted, abandoned; /* under the lock of storage.c */
	struct loop_task opened;
	int open_result;
	struct err open_error;
};

struct storage {
	struct list disks; /* in the order they were added */
	struct storage_controller controllers[VM_CONTROLLERS_MAX];
	struct loop *control;
	struct vsp_host *host; /* NULL: no guest */
	bool trusted;          /* disks are taken for those of an image */
	bool paused;           /* from storage_pause() to storage_resume() or storage_detach() */
	struct device_group devices; /* the controllers that are offered */
};

/* storage_id.c: gives an open disk its identifier. */
void storage_identify(const struct storage *s, struct storage_disk *d);

/* Opens the disks of the options. storage_close() also after a failure. */
int storage_open(struct storage *s, struct loop *control, const struct vm_config *o, struct err *e);
void storage_close(struct storage *s);

/* A new guest: offers all controllers. storage_detach() also after a failure. */
int storage_attach(struct storage *s, struct vsp_host *host, struct err *e);
/* Between the two: a controller without disks, unless it is there. */
int storage_offer(struct storage *s, uint32_t number, struct err *e);
/* The guest's bus is shut down. Ends a pause, too. */
void storage_detach(struct storage *s);

/* Between storage_attach() and storage_detach(). at_rest(ctx) when no request is in flight,
 * possibly before this returns. */
void storage_pause(struct storage *s, void (*at_rest)(void *ctx), void *ctx);
/* Also before at_rest() was called: then it is not called any more. */
void storage_resume(struct storage *s);
/* While storage_pause() waits: e names a disk that does not complete its requests. */
void storage_name_busy(const struct storage *s, struct err *e);

/* storage_save.c. Between storage_pause() and storage_resume(). */
/* What the disks are, either direction; reading compares, and fails for a disk that is missing, one
 * too many, or not what it was. */
void storage_archive(struct storage *s, struct archive *a);
/* done(ctx, e), possibly before this returns: all writes of guests are durable, or e says of which
 * disk they are not. */
void storage_flush(struct storage *s, void (*done)(void *ctx, const struct err *e), void *ctx);
/* The configuration of all disks there are now; copies that own nothing. -E2BIG. */
int storage_configs(
	const struct storage *s, struct disk_config *configs, uint32_t max, uint32_t *count);

/* Changes. Only storage_add() is allowed without a guest, too. 0: change->done runs later, or
 * before this returns; else never. A change that began before the guest resets ends all the same.
 */

struct lun_address {
	uint8_t controller, lun;
};
/* Takes config over, also after an error. *at is set before change->done can run. */
int storage_add(struct storage *s, struct disk_config *config, const struct storage_change *change,
	struct lun_address *at, struct err *e);
int storage_remove(struct storage *s, const struct lun_address *at,
	const struct storage_change *change, struct err *e);
int storage_remove_controller(
	struct storage *s, uint32_t number, const struct storage_change *change, struct err *e);
/* At once: reads the image's size again. */
int storage_resize(struct storage *s, const struct lun_address *at, uint64_t *size, struct err *e);

#endif
