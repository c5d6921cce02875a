/* SPDX-License-Identifier: MIT */
/*
 * Devices that need no back end: one row of a table each. They are offered to a
 * guest from devices_attach() to devices_detach().
 *
 * Thread: control.
 */
#ifndef VM_DEVICES_H
#define VM_DEVICES_H

#include "base/inspect.h"
#include "vm/device_group.h"

struct device_row {
	const struct vsp_ops *ops; /* NULL: the end of the table */
	const char *id;            /* in `inspect` */
	struct hv_guid instance; /* stable, so that guests name the device the same at each boot */
	const void *config;      /* of ops->create() */
};

/* The table of the product. */
extern const struct device_row device_rows[];

struct devices {
	const struct device_row *rows;
	struct vm_device *devices; /* one a row; NULL: no guest */
	struct device_group group;
};

/* A new guest: offers a device for each row. devices_detach() also after a failure. Errors:
 * vsp_device_create(). */
int devices_attach(
	struct devices *d, const struct device_row *rows, struct vsp_host *host, struct err *e);
/* The guest's bus is shut down. Harmless without devices_attach(). */
void devices_detach(struct devices *d);

/* One line in e: a device that is not at rest. */
void devices_name_busy(const struct devices *d, struct err *e);
/* Members of the array "devices". */
void devices_inspect(const struct devices *d, struct inspect *i);

#endif
