/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vsc_hv.ko: the bus over the kernel's hv_vmbus. The only file that sees <linux/hyperv.h>.
 *
 * hv_vmbus opens and closes channels and lends their ring pages; packets are read and written with
 * our ring. None of its packet functions is used on such a channel: two ring implementations with
 * private indices of their own cannot share one ring. Channels are in the mode in which hv_vmbus
 * calls from the interrupt and leaves the ring and its mask alone.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/hyperv.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>

#include <asm/mshyperv.h>

#include "guest/vmbus-vsc/vsc.h"

/* A driver of vsc.ko, as a driver of hv_vmbus; the list of classes ends with a zero. */
struct hv_client {
	struct hv_driver driver;
	struct vsc_driver *vsc;
	struct hv_vmbus_device_id ids[];
};

struct hv_channel {
	struct vsc_channel vsc;
	struct vmbus_channel *hv;
	bool open;             /* the rings may be used; interrupts before that are dropped */
	struct list_head node; /* of its device's sub-channels */
};

struct hv_vsc_device {
	struct vsc_device vsc;
	struct hv_channel primary;
	struct list_head sub_channels;
	bool closing; /* sub-channels that come now are left alone */
};

/* Offers of sub-channels against the end of their device: a work item of hv_vmbus may be anywhere.
 */
static DEFINE_MUTEX(sub_channels_lock);

static struct hv_channel *hv_channel_of(const struct vsc_channel *chan)
{
	return container_of(chan, struct hv_channel, vsc);
}

static struct vmbus_channel *hv_of(const struct vsc_channel *chan)
{
	return hv_channel_of(chan)->hv;
}

static struct hv_vsc_device *hv_device_of(struct vsc_device *device)
{
	return container_of(device, struct hv_vsc_device, vsc);
}

/* ---- opening ------------------------------------------------------------- */

/* Hard interrupt, with the channel's lock of hv_vmbus, which closing a channel takes, too. */
static void on_interrupt(void *context)
{
	struct hv_channel *chan = context;

	if (smp_load_acquire(&chan->open))
		chan->vsc.interrupt(&chan->vsc);
}

static void on_target_change(struct vmbus_channel *hv, u32 from, u32 to)
{
	struct hv_channel *chan = hv->per_channel_state;
	const struct vsc_driver *driver = chan->vsc.device->driver;

	if (driver->retargeted)
		driver->retargeted(&chan->vsc);
}

static int init_rings(struct hv_channel *chan)
{
	struct hv_ring_buffer_info *tx = &chan->hv->outbound, *rx = &chan->hv->inbound;

	return vsc_channel_init_rings(
		&chan->vsc, tx->ring_buffer, tx->ring_size, rx->ring_buffer, rx->ring_size);
}

/* After a close, or a failed open, no interrupt runs, so what it used needs no lock. */
static void forget(struct hv_channel *chan)
{
	chan->open = false;
	chan->hv->change_target_cpu_callback = NULL;
	chan->hv->per_channel_state = NULL;
}

static int connect(struct hv_channel *chan, u32 tx_bytes, u32 rx_bytes)
{
	int err = vmbus_open(chan->hv, tx_bytes, rx_bytes, NULL, 0, on_interrupt, chan);

	if (err)
		return chan->hv->rescind ? -ENODEV : err;
	err = init_rings(chan);
	if (err)
		vmbus_close(chan->hv);
	return err;
}

static void on_sub_channel(struct vmbus_channel *hv);

/* Before the primary channel is open the host offers none; closing it ends the callback. */
static void expect_sub_channels(struct hv_vsc_device *device)
{
	mutex_lock(&sub_channels_lock);
	device->closing = false;
	mutex_unlock(&sub_channels_lock);
	if (device->vsc.driver->sub_channel)
		vmbus_set_sc_create_callback(device->primary.hv, on_sub_channel);
}

static int hv_open(struct vsc_channel *vsc, u32 tx_bytes, u32 rx_bytes)
{
	struct hv_channel *chan = hv_channel_of(vsc);
	int err;

	if (vsc == vsc->device->primary)
		expect_sub_channels(hv_device_of(vsc->device));
	set_channel_read_mode(chan->hv, HV_CALL_ISR);
	chan->hv->per_channel_state = chan;
	chan->hv->change_target_cpu_callback = on_target_change;
	err = connect(chan, tx_bytes, rx_bytes);
	if (err)
		forget(chan);
	else
		smp_store_release(&chan->open, true);
	return err;
}

/* ---- closing ------------------------------------------------------------- */

static void forget_sub_channels(struct hv_vsc_device *device)
{
	struct hv_channel *chan, *next;

	list_for_each_entry_safe (chan, next, &device->sub_channels, node) {
		list_del(&chan->node);
		kfree(chan);
	}
}

/* vmbus_close() of the primary channel closes the sub-channels that are open, and hv_vmbus may free
 * them at once: they are not touched after it. */
static void hv_close(struct vsc_device *vsc)
{
	struct hv_vsc_device *device = hv_device_of(vsc);
	struct hv_channel *chan;

	mutex_lock(&sub_channels_lock);
	device->closing = true;
	mutex_unlock(&sub_channels_lock);
	list_for_each_entry (chan, &device->sub_channels, node)
		chan->hv->change_target_cpu_callback = NULL;
	vmbus_close(device->primary.hv);
	forget_sub_channels(device);
	forget(&device->primary);
}

/* ---- the other operations ------------------------------------------------ */

static void hv_doorbell(struct vsc_channel *chan)
{
	vmbus_setevent(hv_of(chan));
}

static bool hv_rescinded(const struct vsc_channel *chan)
{
	return READ_ONCE(hv_of(chan)->rescind);
}

static unsigned int hv_cpu(const struct vsc_channel *chan)
{
	return READ_ONCE(hv_of(chan)->target_cpu);
}

static int hv_set_cpu(struct vsc_channel *chan, unsigned int cpu)
{
	int err = -EINVAL;

	if (vmbus_proto_version < VERSION_WIN10_V4_1)
		return -EOPNOTSUPP;
	cpus_read_lock();
	if (cpu < nr_cpu_ids && cpu_online(cpu))
		err = vmbus_send_modifychannel(hv_of(chan), hv_cpu_number_to_vp_number(cpu));
	if (!err)
		WRITE_ONCE(hv_of(chan)->target_cpu, cpu);
	cpus_read_unlock();
	return err;
}

static int hv_create_gpadl(struct vsc_channel *chan, struct vsc_gpadl *gpadl)
{
	struct vmbus_gpadl *hv = kzalloc(sizeof(*hv), GFP_KERNEL);
	int err;

	if (!hv)
		return -ENOMEM;
	err = vmbus_establish_gpadl(hv_of(chan), gpadl->buffer, gpadl->bytes, hv);
	if (err) {
		kfree(hv);
		return err;
	}
	gpadl->id = hv->gpadl_handle;
	gpadl->bus_data = hv;
	return 0;
}

/* Memory that a confidential guest could not take back from the host must not be used again. */
static void hv_destroy_gpadl(struct vsc_channel *chan, struct vsc_gpadl *gpadl)
{
	struct vmbus_gpadl *hv = gpadl->bus_data;

	if (vmbus_teardown_gpadl(hv_of(chan), hv) || hv->decrypted)
		gpadl->buffer = NULL;
	kfree(hv);
	gpadl->id = 0;
	gpadl->bus_data = NULL;
}

/* ---- devices ------------------------------------------------------------- */

static void init_channel(
	struct hv_channel *chan, struct vsc_device *device, struct vmbus_channel *hv)
{
	chan->vsc.device = device;
	chan->vsc.index = hv->offermsg.offer.sub_channel_index;
	chan->hv = hv;
}

/* One that the driver does not open may be freed by hv_vmbus at any time: it is forgotten at once.
 */
static int offer(struct hv_vsc_device *device, struct vmbus_channel *hv)
{
	struct hv_channel *chan = kzalloc(sizeof(*chan), GFP_KERNEL);

	if (!chan)
		return -ENOMEM;
	init_channel(chan, &device->vsc, hv);
	device->vsc.driver->sub_channel(&device->vsc, &chan->vsc);
	if (chan->open)
		list_add_tail(&chan->node, &device->sub_channels);
	else
		kfree(chan);
	return 0;
}

static void on_sub_channel(struct vmbus_channel *hv)
{
	struct hv_vsc_device *device;

	mutex_lock(&sub_channels_lock);
	device = hv_get_drvdata(hv->primary_channel->device_obj);
	if (device && !device->closing && offer(device, hv))
		pr_err_ratelimited("no memory for a sub-channel\n");
	mutex_unlock(&sub_channels_lock);
}

static struct hv_vsc_device *device_alloc(
	struct hv_device *hv, const struct vsc_driver *driver, const struct vsc_bus *bus)
{
	struct hv_vsc_device *device = kzalloc(sizeof(*device), GFP_KERNEL);

	if (!device)
		return NULL;
	INIT_LIST_HEAD(&device->sub_channels);
	device->vsc.bus = bus;
	device->vsc.driver = driver;
	device->vsc.dev = &hv->device;
	device->vsc.primary = &device->primary.vsc;
	memcpy(&device->vsc.class, &hv->dev_type, sizeof(device->vsc.class));
	memcpy(&device->vsc.instance, &hv->dev_instance, sizeof(device->vsc.instance));
	init_channel(&device->primary, &device->vsc, hv->channel);
	return device;
}

static void device_free(struct hv_device *hv, struct hv_vsc_device *device)
{
	mutex_lock(&sub_channels_lock);
	hv_set_drvdata(hv, NULL);
	mutex_unlock(&sub_channels_lock);
	kfree(device);
}

static const struct vsc_bus hv_bus;

static int hv_probe(struct hv_device *hv, const struct hv_vmbus_device_id *id)
{
	const struct hv_client *client =
		container_of(drv_to_hv_drv(hv->device.driver), struct hv_client, driver);
	struct hv_vsc_device *device = device_alloc(hv, client->vsc, &hv_bus);
	int err;

	if (!device)
		return -ENOMEM;
	hv_set_drvdata(hv, device);
	err = client->vsc->probe(&device->vsc);
	if (err)
		device_free(hv, device);
	return err;
}

static compat_hv_remove hv_remove(struct hv_device *hv)
{
	struct hv_vsc_device *device = hv_get_drvdata(hv);

	device->vsc.driver->remove(&device->vsc);
	device_free(hv, device);
	return COMPAT_HV_REMOVED;
}

/* ---- drivers ------------------------------------------------------------- */

static int hv_add_driver(struct vsc_driver *driver)
{
	struct hv_client *client =
		kzalloc(struct_size(client, ids, driver->class_count + 1), GFP_KERNEL);
	unsigned int i;
	int err;

	if (!client)
		return -ENOMEM;
	for (i = 0; i < driver->class_count; i++)
		memcpy(&client->ids[i].guid, &driver->classes[i], sizeof(client->ids[i].guid));
	client->vsc = driver;
	client->driver.name = driver->name;
	client->driver.id_table = client->ids;
	client->driver.probe = hv_probe;
	client->driver.remove = hv_remove;
	driver->bus_data = client;
	err = __vmbus_driver_register(&client->driver, driver->owner, driver->name);
	if (err)
		kfree(client);
	return err;
}

static void hv_remove_driver(struct vsc_driver *driver)
{
	struct hv_client *client = driver->bus_data;

	vmbus_driver_unregister(&client->driver);
	kfree(client);
}

/* ---- module -------------------------------------------------------------- */

static const struct vsc_bus hv_bus = {
	.name = KBUILD_MODNAME,
	.owner = THIS_MODULE,
	.add_driver = hv_add_driver,
	.remove_driver = hv_remove_driver,
	.open = hv_open,
	.close = hv_close,
	.doorbell = hv_doorbell,
	.rescinded = hv_rescinded,
	.cpu = hv_cpu,
	.set_cpu = hv_set_cpu,
	.create_gpadl = hv_create_gpadl,
	.destroy_gpadl = hv_destroy_gpadl,
};

static int __init vsc_hv_init(void)
{
	return vsc_bus_register(&hv_bus);
}

static void __exit vsc_hv_exit(void)
{
	vsc_bus_unregister(&hv_bus);
}

module_init(vsc_hv_init);
module_exit(vsc_hv_exit);
MODULE_DESCRIPTION("The kernel's own VMBus, for Enlite's drivers");
MODULE_AUTHOR("The Enlite authors");
MODULE_LICENSE("GPL");
