/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a driver of a synthetic device (a VSC) needs from VMBus, whichever bus is there:
 *
 *   vsc_hv.ko     over the kernel's own bus, hv_vmbus
 *   vmbus_vsc.ko  our own bus, on ACPI's VMBUS:00
 *
 * Drivers (storvsc, netvsc) and buses meet in vsc.ko, so one driver binary works on either bus, and
 * both may be loaded in any order. One bus at a time.
 *
 * A driver uses the rings itself: packets are written and read with common/ring, without a call
 * into the bus. The bus is called to open and close, and for the doorbell.
 *
 * Life of a device, all in process context, one call at a time per device:
 *
 *   probe -> vsc_open(primary) -> ... -> sub_channel() for each one that the host offers, at any
 * time after the driver has asked for them -> vsc_open() there -> ... -> remove -> vsc_close()
 *
 * Functions return 0 or -errno.
 */
#ifndef VSC_H
#define VSC_H

#include <linux/device.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/types.h>

#include "hv/vmbus_guids.h"
#include "ring/vmbus_ring.h"

struct vsc_bus;
struct vsc_channel;
struct vsc_device;
struct vsc_driver;

/* ---- devices and channels ------------------------------------------------ */

/**
 * struct vsc_device - a device that the host offers, with its primary channel
 * @bus:      who found it
 * @driver:   whose probe() it went to
 * @dev:      the bus's device: parent for what the driver registers, DMA mapping, log lines
 * @class:    GUID of the kind of device
 * @instance: GUID of this one; the same after every boot
 * @primary:  its first channel, not open when probe() is called
 * @data:     the driver's
 *
 * Owned by the bus; valid from probe() until remove() returns.
 */
struct vsc_device {
	const struct vsc_bus *bus;
	const struct vsc_driver *driver;
	struct device *dev;
	struct hv_guid class;
	struct hv_guid instance;
	struct vsc_channel *primary;
	void *data;
};

/**
 * struct vsc_channel - one channel of a device
 * @device:    whose
 * @index:     0: the primary channel; else the host's number of the sub-channel, unchecked
 * @tx:        our end of the ring to the host; the driver serialises its use
 * @rx:        our end of the ring from the host; one user at a time
 * @interrupt: set by vsc_open()
 * @data:      the driver's
 *
 * Owned by the bus. The driver uses tx and rx from vsc_open() on until it calls vsc_close().
 */
struct vsc_channel {
	struct vsc_device *device;
	u16 index;
	struct vmbus_tx tx;
	struct vmbus_rx rx;
	void (*interrupt)(struct vsc_channel *chan);
	void *data;
};

/* ---- drivers ------------------------------------------------------------- */

/**
 * struct vsc_driver - a driver of one or more classes
 * @name:        in sysfs and in log lines
 * @owner:       THIS_MODULE
 * @classes:     GUIDs of the classes
 * @class_count: how many
 * @probe:       a device is there. Not 0: the driver does not want it, and holds nothing of it.
 * @remove:      the device goes, because the driver is unloaded or unbound, or because the host has
 *               rescinded it: then vsc_rescinded() is true and no request will be answered any
 * more. Ends with vsc_close().
 * @sub_channel: optional; the host has offered one. The driver opens it here, or it is gone when
 * this returns. May run beside probe() and remove(), but neither starts nor runs once vsc_close()
 * of the device has returned.
 * @retargeted:  optional; interrupts of the channel now arrive on another CPU, see vsc_cpu()
 * @node:        of vsc.ko
 * @bus_data:    of the bus
 */
struct vsc_driver {
	const char *name;
	struct module *owner;
	const struct hv_guid *classes;
	unsigned int class_count;
	int (*probe)(struct vsc_device *device);
	void (*remove)(struct vsc_device *device);
	void (*sub_channel)(struct vsc_device *device, struct vsc_channel *chan);
	void (*retargeted)(struct vsc_channel *chan);
	struct list_head node;
	void *bus_data;
};

/**
 * vsc_driver_register() - offer a driver to the bus, now or as soon as there is one
 * @driver: stays the caller's, and in place until vsc_driver_unregister()
 *
 * probe() may be called before this returns. While a driver is registered, the bus's module cannot
 * be unloaded. Process context. -errno: of the bus; nothing is registered then.
 */
int vsc_driver_register(struct vsc_driver *driver);

/**
 * vsc_driver_unregister() - remove() for all devices of the driver, then forget it
 * @driver: a registered driver
 */
void vsc_driver_unregister(struct vsc_driver *driver);

/* ---- buses --------------------------------------------------------------- */

/**
 * struct vsc_gpadl - memory that the host may use, by a number
 * @id:       what messages to the host call it
 * @buffer:   page aligned, from vmalloc() or the page allocator; the caller's
 * @bytes:    a page multiple
 * @bus_data: of the bus
 */
struct vsc_gpadl {
	u32 id;
	void *buffer;
	u32 bytes;
	void *bus_data;
};

/**
 * struct vsc_bus - what a bus does for vsc.ko and for drivers; const after registration
 * @name:          for log lines
 * @owner:         THIS_MODULE
 * @add_driver:    match it with all devices, now and from now on
 * @remove_driver: the reverse; all its devices are removed when this returns
 * @open:          see vsc_open(). Gives the rings to vsc_channel_init_rings().
 * @close:         see vsc_close()
 * @doorbell:      see vsc_doorbell()
 * @rescinded:     see vsc_rescinded()
 * @cpu:           see vsc_cpu()
 * @set_cpu:       see vsc_set_cpu()
 * @create_gpadl:  see vsc_create_gpadl()
 * @destroy_gpadl: see vsc_destroy_gpadl()
 */
struct vsc_bus {
	const char *name;
	struct module *owner;
	int (*add_driver)(struct vsc_driver *driver);
	void (*remove_driver)(struct vsc_driver *driver);
	int (*open)(struct vsc_channel *chan, u32 tx_bytes, u32 rx_bytes);
	void (*close)(struct vsc_device *device);
	void (*doorbell)(struct vsc_channel *chan);
	bool (*rescinded)(const struct vsc_channel *chan);
	unsigned int (*cpu)(const struct vsc_channel *chan);
	int (*set_cpu)(struct vsc_channel *chan, unsigned int cpu);
	int (*create_gpadl)(struct vsc_channel *chan, struct vsc_gpadl *gpadl);
	void (*destroy_gpadl)(struct vsc_channel *chan, struct vsc_gpadl *gpadl);
};

/**
 * vsc_bus_register() - the bus is ready; it gets all drivers that wait
 * @bus: in place until vsc_bus_unregister()
 *
 * -EBUSY: there is a bus already.
 */
int vsc_bus_register(const struct vsc_bus *bus);

/**
 * vsc_bus_unregister() - from the bus's module exit, so no driver is registered with it
 * @bus: the registered bus
 */
void vsc_bus_unregister(const struct vsc_bus *bus);

/**
 * vsc_channel_init_rings() - for a bus's open(): makes chan->tx and chan->rx
 * @chan:     the channel
 * @tx_ring:  ring to the host, virtually contiguous: control page, data
 * @tx_bytes: of both
 * @rx_ring:  ring from the host
 * @rx_bytes: of both
 */
int vsc_channel_init_rings(
	struct vsc_channel *chan, void *tx_ring, u32 tx_bytes, void *rx_ring, u32 rx_bytes);

/* ---- what a driver asks of its bus --------------------------------------- */

/**
 * vsc_open() - open a channel
 * @chan:      not open
 * @tx_bytes:  of the ring to the host with its control page: a page multiple of at least two
 * @rx_bytes:  of the other one
 * @interrupt: called for new data in rx and, after -EAGAIN of vmbus_tx_write(), for room in tx.
 *             Hard interrupt context, on vsc_cpu(), not twice at the same time. May be called
 * before vsc_open() returns. The ring is not masked: do that, or drain it.
 *
 * Memory of the rings is the bus's. Sleeps until the host has answered. -ENODEV: rescinded.
 */
static inline int vsc_open(struct vsc_channel *chan, u32 tx_bytes, u32 rx_bytes,
	void (*interrupt)(struct vsc_channel *chan))
{
	chan->interrupt = interrupt;
	return chan->device->bus->open(chan, tx_bytes, rx_bytes);
}

/**
 * vsc_close() - close all channels of a device, sub-channels first
 * @device: a device some of whose channels may be open
 *
 * Sleeps until the host has answered. Afterwards no interrupt() and no sub_channel() runs, the
 * rings are gone, and the host uses no memory of the device's requests: unless it has not answered
 * for so long (on our bus: return_timeout) that it must be taken for gone. The primary channel may
 * be opened again; sub-channels are gone.
 */
static inline void vsc_close(struct vsc_device *device)
{
	device->bus->close(device);
}

/**
 * vsc_doorbell() - signal the host
 * @chan: an open channel whose vmbus_tx_commit() or vmbus_rx_commit() has returned true
 *
 * Any context. Harmless when there is nothing new, but it costs an exit.
 */
static inline void vsc_doorbell(struct vsc_channel *chan)
{
	chan->device->bus->doorbell(chan);
}

/**
 * vsc_rescinded() - has the host taken the channel back?
 * @chan: any channel
 *
 * Becomes true before remove() is called. Any context.
 */
static inline bool vsc_rescinded(const struct vsc_channel *chan)
{
	return chan->device->bus->rescinded(chan);
}

/**
 * vsc_cpu() - the CPU that gets the channel's interrupts
 * @chan: any channel
 */
static inline unsigned int vsc_cpu(const struct vsc_channel *chan)
{
	return chan->device->bus->cpu(chan);
}

/**
 * vsc_set_cpu() - interrupts to another CPU
 * @chan: an open channel
 * @cpu:  an online CPU
 *
 * Process context. -EOPNOTSUPP: the negotiated VMBus version cannot do that.
 */
static inline int vsc_set_cpu(struct vsc_channel *chan, unsigned int cpu)
{
	return chan->device->bus->set_cpu(chan, cpu);
}

/**
 * vsc_create_gpadl() - give the host memory
 * @chan:  a channel of the device, open or not
 * @gpadl: buffer and bytes are set; the rest is filled
 *
 * Process context; sleeps until the host has answered. The host may write there from now on.
 * -ETIMEDOUT: it has not answered; if gpadl->buffer has become NULL, it may write there all the
 * same, and the memory must be kept for ever.
 */
static inline int vsc_create_gpadl(struct vsc_channel *chan, struct vsc_gpadl *gpadl)
{
	return chan->device->bus->create_gpadl(chan, gpadl);
}

/**
 * vsc_destroy_gpadl() - take it back
 * @chan:  as at its creation
 * @gpadl: with id not 0
 *
 * Process context; sleeps until the host has answered. Afterwards the memory may be freed, unless
 * gpadl->buffer has become NULL: then it could not be taken back and must be kept for ever.
 */
static inline void vsc_destroy_gpadl(struct vsc_channel *chan, struct vsc_gpadl *gpadl)
{
	chan->device->bus->destroy_gpadl(chan, gpadl);
}

#endif
