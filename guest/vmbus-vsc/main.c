/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmbus_vsc.ko: our own VMBus, in place of hv_vmbus. Either has the SynIC, ACPI's device and the
 * bus's name in sysfs, so that the other cannot be loaded: all three are taken before the host is
 * written to.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/module.h>

#include "guest/vmbus-vsc/bus.h"
#include "guest/winhv/winhv.h"

static uint max_version = VMBUS_VERSION_WIN10_V5_3;
module_param(max_version, uint, 0444);
MODULE_PARM_DESC(max_version, "Newest version of VMBus to ask for: major << 16 | minor");

static void doorbell(struct vsc_channel *vsc)
{
	winhv_signal_event(bus_channel_of(vsc)->conn.offer.connection_id);
}

static bool rescinded(const struct vsc_channel *vsc)
{
	const struct conn_channel *conn = &container_of(vsc, struct bus_channel, vsc)->conn;

	return READ_ONCE(conn->rescinded);
}

static unsigned int cpu(const struct vsc_channel *vsc)
{
	return READ_ONCE(container_of(vsc, struct bus_channel, vsc)->cpu);
}

const struct vsc_bus bus_ops = {
	.name = KBUILD_MODNAME,
	.owner = THIS_MODULE,
	.add_driver = bus_add_driver,
	.remove_driver = bus_remove_driver,
	.open = bus_channel_open,
	.close = bus_channels_close,
	.doorbell = doorbell,
	.rescinded = rescinded,
	.cpu = cpu,
	.set_cpu = bus_channel_set_cpu,
	.create_gpadl = bus_gpadl_create,
	.destroy_gpadl = bus_gpadl_destroy,
};

static int take_names(void)
{
	struct device *parent;
	int err;

	if (winhv_synic_busy(VMBUS_SINT)) {
		pr_err("another driver has VMBus already: unload hv_vmbus first, or use vsc_hv\n");
		return -EBUSY;
	}
	err = bus_register(&bus_devices);
	if (err)
		return err;
	parent = bus_acpi_bind();
	if (!IS_ERR(parent)) {
		bus_devices_init(parent);
		return 0;
	}
	bus_unregister(&bus_devices);
	pr_err("there is no free VMBus device: error %ld\n", PTR_ERR(parent));
	return PTR_ERR(parent);
}

static void leave_names(void)
{
	bus_acpi_unbind();
	bus_unregister(&bus_devices);
}

static int __init vmbus_vsc_init(void)
{
	int err = take_names();

	if (err)
		return err;
	err = bus_link_start(max_version);
	if (err)
		goto names;
	err = vsc_bus_register(&bus_ops);
	if (err)
		goto link;
	return 0;

link:
	bus_devices_end();
	bus_link_stop();
names:
	leave_names();
	return err;
}

static void __exit vmbus_vsc_exit(void)
{
	vsc_bus_unregister(&bus_ops);
	bus_devices_end();
	bus_link_stop();
	leave_names();
}

module_init(vmbus_vsc_init);
module_exit(vmbus_vsc_exit);
MODULE_DESCRIPTION("VMBus of Hyper-V hosts, for Enlite's drivers");
MODULE_AUTHOR("The Enlite authors");
MODULE_LICENSE("GPL");
