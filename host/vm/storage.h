/* SPDX-License-Identifier: MIT */
/*
 * The machine's disks and SCSI controllers. They outlive boots: what was added
 * or removed while a guest ran stays so after its reset. Controllers are offered
 * to the guest from storage_attach() to storage_detach().
 *
 *   disk        (none) --add--> OPENING --> ADDING --> PRESENT --remove--> REMOVING --> (none)
 *   controller  NONE --first disk--> PRESENT --remove--> REMOVING --> NONE, with its disks
 *
 * A controller stays when its last disk goes. While it is REMOVING none of its
 * disks can be changed; what was under way ends before it does.
 *
 * Thread: control; but opening a disk may take as long as a server far away, so
 * that each disk that is added is opened in a thread of its own.
 */
#ifndef HOST_STORAGE_H
#define HOST_STORAGE_H

#include "config/config.h"
#include "disk/disk.h"
#include "scsi/scsi.h"
#include "vsp/vsp_device.h"

/* The end of a change. e: why it was not made; NULL: it was. */
typedef void storage_done_fn(void *ctx, const struct err *e);

struct storage_change {
	storage_done_fn *done; /* NULL: nobody waits */
	void *ctx;
};

enum storage_state {
	STORAGE_NONE,
	STORAGE_OPENING,
	STORAGE_ADDING,
	STORAGE_PRESENT,
	STORAGE_REMOVING,
};

struct storage;

struct storage_controller {
	struct storage *storage;
	uint8_t number;
	enum storage_state state;
	struct vsp_device *dev; /* NULL: no guest, or NONE */
	struct storage_change change;
};

struct storage_disk {
	struct list link; /* storage.disks */
	struct storage_controller *controller;
	uint8_t lun;
	struct disk_config config;
	struct disk *disk;        /* NULL: OPENING */
	uint8_t id[SCSI_ID_SIZE]; /* zeros: OPENING */
	enum storage_state state;
	struct storage_change change;
	/* OPENING */
	pthread_t thread;
	struct loop_task opened;
	int open_result;
	struct err open_error;
};

struct storage {
	struct list disks; /* in the order they came */
	struct storage_controller controllers[VM_CONTROLLERS_MAX];
	struct loop *control;
	struct vsp_host *host; /* NULL: no guest */
};

/* storage_id.c: gives an open disk its identifier. */
void storage_identify(const struct storage *s, struct storage_disk *d);

/* Opens the disks of the options. storage_close() also after a failure. */
int storage_open(struct storage *s, struct loop *control, const struct vm_config *o, struct err *e);
void storage_close(struct storage *s);

/* A new guest: offers all controllers. storage_detach() also after a failure. */
int storage_attach(struct storage *s, struct vsp_host *host, struct err *e);
/* The guest's bus is shut down. */
void storage_detach(struct storage *s);

/* Changes while a guest runs. 0: change->done later, or before this returns; else not at all. What
 * is under way when the guest resets comes to its end all the same. */

/* Takes config over, also after an error. *place is set before done() can be called. */
struct storage_place {
	uint8_t controller, lun;
};
int storage_add(struct storage *s, struct disk_config *config, const struct storage_change *change,
	struct storage_place *place, struct err *e);
int storage_remove(struct storage *s, const struct storage_place *place,
	const struct storage_change *change, struct err *e);
int storage_remove_controller(
	struct storage *s, uint32_t number, const struct storage_change *change, struct err *e);
/* At once. */
int storage_resize(
	struct storage *s, const struct storage_place *place, uint64_t *size, struct err *e);

#endif
