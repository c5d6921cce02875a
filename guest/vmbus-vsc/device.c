/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices, their drivers, and sub-channels.
 *
 * A device comes and goes in its own work item, `life`: first it is added, which may call probe();
 * when the host has rescinded it the same item runs again and ends it, which may call remove().
 * Sub-channels are offered to the driver, and released, by another one, since probe() waits for
 * them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/slab.h>

#include "guest/vmbus-vsc/bus.h"

/* A driver of vsc.ko in the kernel's driver model. */
struct bus_driver {
	struct device_driver driver;
	struct vsc_driver *vsc;
};

static struct device *bus_parent;

static struct bus_channel *channel_of(struct conn_channel *conn)
{
	return container_of(conn, struct bus_channel, conn);
}

static struct bus_device *device_of(struct device *dev)
{
	return container_of(dev, struct bus_device, dev);
}

void bus_devices_init(struct device *parent)
{
	bus_parent = parent;
}

/* ---- sub-channels -------------------------------------------------------- */

static bool wants_release(const struct bus_channel *chan)
{
	return chan->conn.rescinded && !chan->ring;
}

static bool wants_offer(const struct bus_device *device, const struct bus_channel *chan)
{
	return device->accepting && !chan->offered && !chan->conn.rescinded;
}

/* One that is to be released is out of the list when this returns. */
static struct bus_channel *next_to_do(struct bus_device *device, bool *release)
{
	struct bus_channel *chan;

	lockdep_assert_held(&device->use_lock);
	mutex_lock(&bus_link.lock);
	list_for_each_entry (chan, &device->sub_channels, node) {
		*release = wants_release(chan);
		if (*release || wants_offer(device, chan))
			goto out;
	}
	chan = NULL;
out:
	if (chan && *release) {
		list_del(&chan->node);
		conn_release(&bus_link.conn, &chan->conn);
	}
	mutex_unlock(&bus_link.lock);
	return chan;
}

static void offer(struct bus_device *device, struct bus_channel *chan)
{
	const struct vsc_driver *driver = device->vsc.driver;

	chan->offered = true;
	if (driver && driver->sub_channel)
		driver->sub_channel(&device->vsc, &chan->vsc);
}

static void on_sub_work(struct work_struct *work)
{
	struct bus_device *device = container_of(work, struct bus_device, sub_work);
	struct bus_channel *chan;
	bool release;

	mutex_lock(&device->use_lock);
	while ((chan = next_to_do(device, &release))) {
		if (release)
			kfree(chan);
		else
			offer(device, chan);
	}
	mutex_unlock(&device->use_lock);
}

static void queue_sub_work(struct bus_device *device)
{
	lockdep_assert_held(&bus_link.lock);
	if (!device->ending)
		queue_work(bus_link.work, &device->sub_work);
}

void bus_device_check_sub_channels(struct bus_device *device)
{
	mutex_lock(&bus_link.lock);
	queue_sub_work(device);
	mutex_unlock(&bus_link.lock);
}

/* ---- the life of a device ------------------------------------------------ */

static void release_device(struct device *dev)
{
	kfree(device_of(dev));
}

/* Also of devices whose driver is gone: closed, with sub-channels that nothing uses. */
static void forget(struct bus_device *device)
{
	struct bus_channel *chan, *next;

	mutex_lock(&bus_link.lock);
	list_for_each_entry_safe (chan, next, &device->sub_channels, node) {
		conn_release(&bus_link.conn, &chan->conn);
		kfree(chan);
	}
	conn_release(&bus_link.conn, &device->primary.conn);
	list_del(&device->node);
	mutex_unlock(&bus_link.lock);
}

static void end_device(struct bus_device *device)
{
	if (device->added)
		device_del(&device->dev);
	mutex_lock(&bus_link.lock);
	device->ending = true;
	mutex_unlock(&bus_link.lock);
	cancel_work_sync(&device->sub_work);
	forget(device);
	put_device(&device->dev);
}

static void add_device(struct bus_device *device)
{
	int err = device_add(&device->dev);

	if (err)
		dev_err(&device->dev, "no device: error %d\n", err);
	else
		device->added = true;
}

static void on_life(struct work_struct *work)
{
	struct bus_device *device = container_of(work, struct bus_device, life);
	bool rescinded;

	mutex_lock(&bus_link.lock); /* also: the offer has been taken in */
	rescinded = device->primary.conn.rescinded;
	mutex_unlock(&bus_link.lock);
	if (rescinded)
		end_device(device);
	else if (!device->added)
		add_device(device);
}

/* Their work items are over, and no new one is queued: the connection takes no offers any more. */
void bus_devices_end(void)
{
	struct bus_device *device;

	mutex_lock(&bus_link.lock);
	bus_link.ending = true;
	mutex_unlock(&bus_link.lock);
	flush_workqueue(bus_link.work);
	while ((device = list_first_entry_or_null(&bus_link.devices, struct bus_device, node)))
		end_device(device);
}

/* ---- offers -------------------------------------------------------------- */

static void init_device(struct bus_device *device, const struct vmbus_offer *offer)
{
	struct device *dev = &device->dev;

	INIT_LIST_HEAD(&device->sub_channels);
	mutex_init(&device->use_lock);
	INIT_WORK(&device->life, on_life);
	INIT_WORK(&device->sub_work, on_sub_work);
	bus_channel_init(&device->primary, device, 0);
	device->vsc.bus = &bus_ops;
	device->vsc.dev = dev;
	device->vsc.class = offer->class_id;
	device->vsc.instance = offer->instance_id;
	device->vsc.primary = &device->primary.vsc;
	device_initialize(dev);
	dev->bus = &bus_devices;
	dev->parent = bus_parent;
	dev->release = release_device;
	dev->groups = bus_device_groups;
	dev->dma_parms = &device->dma_parms;
	dev->dma_mask = &device->dma_mask;
}

static struct conn_channel *offered_device(const struct vmbus_offer *offer)
{
	struct bus_device *device = kzalloc(sizeof(*device), GFP_KERNEL);

	if (!device)
		return NULL;
	init_device(device, offer);
	if (dev_set_name(&device->dev, "%pUl", &offer->instance_id) ||
		dma_set_mask_and_coherent(&device->dev, DMA_BIT_MASK(64))) {
		put_device(&device->dev);
		return NULL;
	}
	list_add_tail(&device->node, &bus_link.devices);
	queue_work(bus_link.work, &device->life);
	return &device->primary.conn;
}

static struct conn_channel *offered_sub_channel(
	const struct vmbus_offer *offer, struct bus_device *device)
{
	struct bus_channel *chan = kzalloc(sizeof(*chan), GFP_KERNEL);

	if (!chan)
		return NULL;
	bus_channel_init(chan, device, offer->sub_channel_index);
	list_add_tail(&chan->node, &device->sub_channels);
	queue_sub_work(device);
	return &chan->conn;
}

struct conn_channel *bus_device_offered(
	void *ctx, const struct vmbus_offer *offer, struct conn_channel *primary)
{
	struct conn_channel *conn = NULL;

	if (!bus_link.ending)
		conn = primary ? offered_sub_channel(offer, channel_of(primary)->device)
			       : offered_device(offer);
	if (!conn && !bus_link.ending)
		pr_err_ratelimited("no memory for what the host offers\n");
	return conn;
}

void bus_device_rescinded(void *ctx, struct conn_channel *conn)
{
	struct bus_device *device = channel_of(conn)->device;

	if (bus_link.ending)
		return;
	if (conn == &device->primary.conn)
		queue_work(bus_link.work, &device->life);
	else
		queue_sub_work(device);
}

/* ---- the kernel's driver model ------------------------------------------- */

static const struct vsc_driver *driver_of(const struct device_driver *driver)
{
	return container_of(driver, struct bus_driver, driver)->vsc;
}

static int match(struct device *dev, compat_match_driver *driver)
{
	const struct vsc_driver *vsc = driver_of(driver);
	const struct bus_device *device = device_of(dev);
	unsigned int i;

	for (i = 0; i < vsc->class_count; i++)
		if (!memcmp(&vsc->classes[i], &device->vsc.class, sizeof(device->vsc.class)))
			return 1;
	return 0;
}

static int uevent(compat_uevent_device *dev, struct kobj_uevent_env *env)
{
	const struct bus_device *device = container_of(dev, struct bus_device, dev);

	return add_uevent_var(
		env, "MODALIAS=vmbus:%*phN", (int)sizeof(device->vsc.class), &device->vsc.class);
}

static int probe(struct device *dev)
{
	struct bus_device *device = device_of(dev);
	int err;

	device->channels = kobject_create_and_add("channels", &dev->kobj);
	device->vsc.driver = driver_of(dev->driver);
	err = device->vsc.driver->probe(&device->vsc);
	if (err) {
		device->vsc.driver = NULL;
		kobject_put(device->channels);
	}
	return err;
}

static void remove(struct device *dev)
{
	struct bus_device *device = device_of(dev);

	device->vsc.driver->remove(&device->vsc);
	device->vsc.driver = NULL;
	kobject_put(device->channels);
}

struct bus_type bus_devices = {
	.name = "vmbus",
	.match = match,
	.uevent = uevent,
	.probe = probe,
	.remove = remove,
};

/* ---- drivers and the bus ------------------------------------------------- */

int bus_add_driver(struct vsc_driver *vsc)
{
	struct bus_driver *driver = kzalloc(sizeof(*driver), GFP_KERNEL);
	int err;

	if (!driver)
		return -ENOMEM;
	driver->vsc = vsc;
	driver->driver.name = vsc->name;
	driver->driver.owner = vsc->owner;
	driver->driver.bus = &bus_devices;
	vsc->bus_data = driver;
	err = driver_register(&driver->driver);
	if (err)
		kfree(driver);
	return err;
}

void bus_remove_driver(struct vsc_driver *vsc)
{
	struct bus_driver *driver = vsc->bus_data;

	driver_unregister(&driver->driver);
	kfree(driver);
}
