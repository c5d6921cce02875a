/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmbus_vsc.ko inside: our own VMBus.
 *
 *   conn.c     the channel messages, without an operating system
 *   link.c     the connection: messages in and out, waiting for answers
 *   channel.c  a channel: rings, interrupts, CPUs; memory that the host may use
 *   device.c   devices in the kernel's driver model, their drivers and sub-channels
 *   sysfs.c    what lsvmbus and udev read
 *   acpi.c     the device of ACPI that stands for the bus
 *   main.c     the module
 *
 * Contexts: a message is taken out of its slot by an interrupt, and handled by the one message
 * worker. Devices come and go in work items of their own, since probe() and remove() wait for
 * answers, which the message worker brings. So the message worker waits for nothing but link.lock.
 *
 * Locks, outer first:
 *   cpus_read_lock()   a CPU of interrupts stays while a channel opens or is retargeted
 *   device.use_lock    the driver's use of sub-channels; held while a device is closed
 *   link.retarget_lock one retarget at a time; no channel ends meanwhile
 *   link.lock          the connection and the lists of devices and channels; not held while waiting
 *   channel.interrupt_lock   the driver's interrupt(), one at a time
 */
#ifndef VMBUS_VSC_BUS_H
#define VMBUS_VSC_BUS_H

#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "guest/vmbus-vsc/conn.h"
#include "guest/vmbus-vsc/vsc.h"

/* Until an answer, when the host has one to give; then it is said to be lost. */
#define BUS_ANSWER_SECONDS 60u
/* A host that has rescinded a channel need not answer a teardown. */
#define BUS_RESCINDED_SECONDS 5u

struct bus_device;

struct bus_channel {
	struct conn_channel conn; /* under link.lock */
	struct vsc_channel vsc;
	struct bus_device *device;
	struct list_head node; /* of device->sub_channels; under link.lock */
	bool offered;          /* to the driver; under use_lock */
	/* while open */
	void *ring; /* both rings; not NULL: the driver has opened it. Under link.lock */
	struct conn_gpadl ring_gpadl;
	struct kobject *entry; /* in sysfs */
	bool open;             /* may be retargeted; under retarget_lock */
	unsigned int cpu;      /* of its interrupts */
	spinlock_t interrupt_lock;
	bool listening; /* under interrupt_lock */
	u64 interrupts; /* under interrupt_lock */
};

struct bus_device {
	struct device dev;
	struct device_dma_parameters dma_parms;
	u64 dma_mask;
	struct vsc_device vsc;
	struct bus_channel primary;
	struct list_head node;         /* of link.devices; under link.lock */
	struct list_head sub_channels; /* under link.lock */
	struct mutex use_lock;
	bool accepting; /* sub-channels go to the driver; under use_lock */
	bool ending;    /* no work is queued any more; under link.lock */
	bool added;     /* to the driver model; of `life` */
	struct kobject *channels;
	struct work_struct life;     /* comes, or goes */
	struct work_struct sub_work; /* sub-channels have come or gone */
};

/* ---- link.c -------------------------------------------------------------- */

struct bus_link {
	struct mutex lock;
	struct mutex retarget_lock;
	struct conn conn;
	wait_queue_head_t changed;
	struct list_head devices;
	bool ending;                   /* offers are not wanted any more */
	unsigned int cpu;              /* gets the host's messages; cannot go */
	struct workqueue_struct *work; /* of devices */
};

extern struct bus_link bus_link;

/* Connects, and has all offers of the beginning. newest: VMBUS_VERSION_*. */
int bus_link_start(u32 newest);
/* Without devices. Waits for the host's answer. */
void bus_link_stop(void);

/* Waits until the condition, which must need no lock, is true, at most `seconds`. */
#define bus_wait(condition, seconds)                                                               \
	wait_event_timeout(bus_link.changed, condition, (unsigned long)(seconds)*HZ)

/* ---- channel.c ----------------------------------------------------------- */

void bus_channel_init(struct bus_channel *chan, struct bus_device *device, u16 index);
/* An event flag of the host. Hard interrupt. */
void bus_channel_event(unsigned int flag);
/* Interrupts of this CPU's channels to other CPUs. */
int bus_channels_leave(unsigned int cpu);

int bus_channel_open(struct vsc_channel *vsc, u32 tx_bytes, u32 rx_bytes);
void bus_channels_close(struct vsc_device *vsc);
int bus_channel_set_cpu(struct vsc_channel *vsc, unsigned int cpu);
int bus_gpadl_create(struct vsc_channel *vsc, struct vsc_gpadl *gpadl);
void bus_gpadl_destroy(struct vsc_channel *vsc, struct vsc_gpadl *gpadl);

/* ---- device.c ------------------------------------------------------------ */

extern struct bus_type bus_devices;

/* For the connection; the message worker, with link.lock. */
struct conn_channel *bus_device_offered(
	void *ctx, const struct vmbus_offer *offer, struct conn_channel *primary);
void bus_device_rescinded(void *ctx, struct conn_channel *chan);
/* Sub-channels are to be offered to the driver, or released. Any context. */
void bus_device_check_sub_channels(struct bus_device *device);
/* All devices end; no driver is left. */
void bus_devices_end(void);
/* Parent of all devices from now on. */
void bus_devices_init(struct device *parent);

int bus_add_driver(struct vsc_driver *driver);
void bus_remove_driver(struct vsc_driver *driver);

static inline struct bus_channel *bus_channel_of(const struct vsc_channel *vsc)
{
	return container_of(vsc, struct bus_channel, vsc);
}

static inline struct bus_device *bus_device_of(struct vsc_device *vsc)
{
	return container_of(vsc, struct bus_device, vsc);
}

/* ---- sysfs.c ------------------------------------------------------------- */

extern const struct attribute_group *bus_device_groups[];

/* A directory for an open channel. Failures are not worth a channel. */
void bus_sysfs_add(struct bus_channel *chan);
void bus_sysfs_remove(struct bus_channel *chan);

/* ---- main.c -------------------------------------------------------------- */

extern const struct vsc_bus bus_ops;

/* ---- acpi.c -------------------------------------------------------------- */

/* Binds the device that stands for the bus, so that hv_vmbus cannot. Returns it, or ERR_PTR(). */
struct device *bus_acpi_bind(void);
void bus_acpi_unbind(void);

#endif
