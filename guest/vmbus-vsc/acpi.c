/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ACPI's device VMBUS: that it is there says that the host has a VMBus, and as long as it is bound
 * to us, hv_vmbus finds none.
 */
#include <linux/acpi.h>
#include <linux/err.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/platform_device.h>

#include "guest/vmbus-vsc/bus.h"

static const struct acpi_device_id ids[] = {
	{"VMBUS", 0},
	{"VMBus", 0},
	{"", 0},
};
MODULE_DEVICE_TABLE(acpi, ids);

static struct device *found;

#if COMPAT_VMBUS_ON_PLATFORM

static int probe(struct platform_device *device)
{
	if (found)
		return -EBUSY;
	found = &device->dev;
	return 0;
}

static compat_platform_remove remove(struct platform_device *device)
{
	return COMPAT_PLATFORM_REMOVED;
}

static struct platform_driver driver = {
	.probe = probe,
	.remove = remove,
	.driver =
		{
			.name = KBUILD_MODNAME,
			.acpi_match_table = ids,
			.probe_type = PROBE_FORCE_SYNCHRONOUS,
			.suppress_bind_attrs = true,
		},
};

static int register_driver(void)
{
	return platform_driver_register(&driver);
}

void bus_acpi_unbind(void)
{
	platform_driver_unregister(&driver);
	found = NULL;
}

#else

static int add(struct acpi_device *device)
{
	if (found)
		return -EBUSY;
	found = &device->dev;
	return 0;
}

static struct acpi_driver driver = {
	.name = KBUILD_MODNAME,
	.owner = THIS_MODULE,
	.ids = ids,
	.ops = {.add = add},
	.drv = {.suppress_bind_attrs = true},
};

static int register_driver(void)
{
	return acpi_bus_register_driver(&driver);
}

void bus_acpi_unbind(void)
{
	acpi_bus_unregister_driver(&driver);
	found = NULL;
}

#endif

struct device *bus_acpi_bind(void)
{
	int err = register_driver();

	if (err)
		return ERR_PTR(err);
	if (found)
		return found;
	bus_acpi_unbind();
	return ERR_PTR(-ENODEV);
}
