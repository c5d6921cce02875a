/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vsc.ko: where drivers meet the bus, in whatever order they are loaded. It also carries the ring's
 * code for all of them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mutex.h>

#include "guest/vmbus-vsc/hypervisor.h"
#include "guest/vmbus-vsc/vsc.h"

/* Held over probe() and remove(): these are as slow as the host is. */
static DEFINE_MUTEX(vsc_lock);
static LIST_HEAD(drivers);
static const struct vsc_bus *the_bus;

/* ---- drivers and the bus ------------------------------------------------- */

/* The driver keeps the bus's module in place: its devices need it. */
static int attach(struct vsc_driver *driver)
{
	int err;

	if (!try_module_get(the_bus->owner))
		return -ENODEV;
	err = the_bus->add_driver(driver);
	if (err)
		module_put(the_bus->owner);
	return err;
}

int vsc_driver_register(struct vsc_driver *driver)
{
	int err = 0;

	mutex_lock(&vsc_lock);
	if (the_bus)
		err = attach(driver);
	else
		pr_info("%s waits for a bus: load vsc_hv or vmbus_vsc\n", driver->name);
	if (!err)
		list_add_tail(&driver->node, &drivers);
	mutex_unlock(&vsc_lock);
	return err;
}
EXPORT_SYMBOL_GPL(vsc_driver_register);

void vsc_driver_unregister(struct vsc_driver *driver)
{
	mutex_lock(&vsc_lock);
	list_del(&driver->node);
	if (the_bus) {
		the_bus->remove_driver(driver);
		module_put(the_bus->owner);
	}
	mutex_unlock(&vsc_lock);
}
EXPORT_SYMBOL_GPL(vsc_driver_unregister);

static void detach_before(const struct vsc_driver *end)
{
	struct vsc_driver *driver;

	list_for_each_entry (driver, &drivers, node) {
		if (driver == end)
			break;
		the_bus->remove_driver(driver);
		module_put(the_bus->owner);
	}
}

static int attach_all(void)
{
	struct vsc_driver *driver;
	int err;

	list_for_each_entry (driver, &drivers, node) {
		err = attach(driver);
		if (err) {
			detach_before(driver);
			return err;
		}
	}
	return 0;
}

int vsc_bus_register(const struct vsc_bus *bus)
{
	int err = -EBUSY;

	mutex_lock(&vsc_lock);
	if (the_bus) {
		pr_err("%s: there is a bus already: %s\n", bus->name, the_bus->name);
		goto out;
	}
	the_bus = bus;
	err = attach_all();
	if (err)
		the_bus = NULL;
out:
	mutex_unlock(&vsc_lock);
	return err;
}
EXPORT_SYMBOL_GPL(vsc_bus_register);

void vsc_bus_unregister(const struct vsc_bus *bus)
{
	mutex_lock(&vsc_lock);
	WARN_ON(the_bus != bus);
	the_bus = NULL;
	mutex_unlock(&vsc_lock);
}
EXPORT_SYMBOL_GPL(vsc_bus_unregister);

/* ---- rings --------------------------------------------------------------- */

int vsc_channel_init_rings(
	struct vsc_channel *chan, void *tx_ring, u32 tx_bytes, void *rx_ring, u32 rx_bytes)
{
	int err = vmbus_tx_init(&chan->tx, (RING_FORCE void RING_SHARED *)tx_ring, tx_bytes);

	if (err)
		return err;
	return vmbus_rx_init(&chan->rx, (RING_FORCE void RING_SHARED *)rx_ring, rx_bytes);
}
EXPORT_SYMBOL_GPL(vsc_channel_init_rings);

EXPORT_SYMBOL_GPL(vmbus_tx_write);
EXPORT_SYMBOL_GPL(vmbus_tx_commit);
EXPORT_SYMBOL_GPL(vmbus_tx_room);
EXPORT_SYMBOL_GPL(vmbus_tx_used);
EXPORT_SYMBOL_GPL(vmbus_tx_masked);
EXPORT_SYMBOL_GPL(vmbus_rx_next);
EXPORT_SYMBOL_GPL(vmbus_rx_untake);
EXPORT_SYMBOL_GPL(vmbus_rx_commit);
EXPORT_SYMBOL_GPL(vmbus_rx_mask);
EXPORT_SYMBOL_GPL(vmbus_rx_unmask);
EXPORT_SYMBOL_GPL(vmbus_rx_pending);
EXPORT_SYMBOL_GPL(vmbus_rx_used);
EXPORT_SYMBOL_GPL(vmbus_ring_fill);

/* ---- module -------------------------------------------------------------- */

static int __init vsc_init(void)
{
	if (vsc_on_hyperv())
		return 0;
	pr_err("this machine is not a Hyper-V guest\n");
	return -ENODEV;
}

/* Without an exit a module cannot be unloaded. Users hold it, so there is nothing to undo. */
static void __exit vsc_exit(void)
{
}

module_init(vsc_init);
module_exit(vsc_exit);
MODULE_DESCRIPTION("Where drivers of synthetic Hyper-V devices meet a VMBus");
MODULE_AUTHOR("The Enlite authors");
MODULE_LICENSE("GPL");
