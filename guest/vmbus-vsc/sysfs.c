/* SPDX-License-Identifier: GPL-2.0-only */
/* /sys/bus/vmbus/devices/INSTANCE as lsvmbus and udev's rules know it from hv_vmbus. */
#include <linux/slab.h>

#include "guest/vmbus-vsc/bus.h"

/* ---- devices ------------------------------------------------------------- */

static struct bus_device *device_of(struct device *dev)
{
	return container_of(dev, struct bus_device, dev);
}

static ssize_t id_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", device_of(dev)->primary.conn.offer.relid);
}
static DEVICE_ATTR_RO(id);

static ssize_t class_id_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "{%pUl}\n", &device_of(dev)->vsc.class);
}
static DEVICE_ATTR_RO(class_id);

static ssize_t device_id_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "{%pUl}\n", &device_of(dev)->vsc.instance);
}
static DEVICE_ATTR_RO(device_id);

static ssize_t modalias_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	const struct hv_guid *class = &device_of(dev)->vsc.class;

	return sysfs_emit(buf, "vmbus:%*phN\n", (int)sizeof(*class), class);
}
static DEVICE_ATTR_RO(modalias);

static int emit_channel(char *buf, int at, const struct bus_channel *chan)
{
	return sysfs_emit_at(buf, at, "%u:%u\n", chan->conn.offer.relid, READ_ONCE(chan->cpu));
}

static ssize_t channel_vp_mapping_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct bus_device *device = device_of(dev);
	struct bus_channel *chan;
	int at;

	mutex_lock(&bus_link.lock);
	at = emit_channel(buf, 0, &device->primary);
	list_for_each_entry (chan, &device->sub_channels, node)
		if (chan->ring)
			at += emit_channel(buf, at, chan);
	mutex_unlock(&bus_link.lock);
	return at;
}
static DEVICE_ATTR_RO(channel_vp_mapping);

static struct attribute *device_attrs[] = {
	&dev_attr_id.attr,
	&dev_attr_class_id.attr,
	&dev_attr_device_id.attr,
	&dev_attr_modalias.attr,
	&dev_attr_channel_vp_mapping.attr,
	NULL,
};

static const struct attribute_group device_group = {.attrs = device_attrs};
const struct attribute_group *bus_device_groups[] = {&device_group, NULL};

/* ---- open channels ------------------------------------------------------- */

/* Taking it out of sysfs waits for its readers, so `chan` is valid in them. */
struct entry {
	struct kobject kobj;
	struct bus_channel *chan;
};

struct entry_attribute {
	struct attribute attr;
	ssize_t (*show)(const struct bus_channel *chan, char *buf);
};

static ssize_t entry_show(struct kobject *kobj, struct attribute *attr, char *buf)
{
	const struct entry_attribute *which = container_of(attr, struct entry_attribute, attr);

	return which->show(container_of(kobj, struct entry, kobj)->chan, buf);
}

static void entry_release(struct kobject *kobj)
{
	kfree(container_of(kobj, struct entry, kobj));
}

static ssize_t cpu_show(const struct bus_channel *chan, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(chan->cpu));
}

static ssize_t subchannel_id_show(const struct bus_channel *chan, char *buf)
{
	return sysfs_emit(buf, "%u\n", chan->vsc.index);
}

static ssize_t interrupts_show(const struct bus_channel *chan, char *buf)
{
	return sysfs_emit(buf, "%llu\n", READ_ONCE(chan->interrupts));
}

/* Bytes in the ring, as its indices say, which the host may have written. */
static ssize_t out_used_show(const struct bus_channel *chan, char *buf)
{
	return sysfs_emit(buf, "%u\n", vmbus_ring_fill(chan->vsc.tx.ctl, chan->vsc.tx.size));
}

static ssize_t in_used_show(const struct bus_channel *chan, char *buf)
{
	return sysfs_emit(buf, "%u\n", vmbus_ring_fill(chan->vsc.rx.ctl, chan->vsc.rx.size));
}

#define ENTRY_ATTR(name_)                                                                          \
	static struct entry_attribute entry_##name_ = {                                            \
		.attr = {.name = #name_, .mode = 0444}, .show = name_##_show}
ENTRY_ATTR(cpu);
ENTRY_ATTR(subchannel_id);
ENTRY_ATTR(interrupts);
ENTRY_ATTR(out_used);
ENTRY_ATTR(in_used);

static struct attribute *entry_attrs[] = {
	&entry_cpu.attr,
	&entry_subchannel_id.attr,
	&entry_interrupts.attr,
	&entry_out_used.attr,
	&entry_in_used.attr,
	NULL,
};
ATTRIBUTE_GROUPS(entry);

static const struct sysfs_ops entry_ops = {.show = entry_show};

static const struct kobj_type entry_type = {
	.sysfs_ops = &entry_ops,
	.release = entry_release,
	.default_groups = entry_groups,
};

void bus_sysfs_add(struct bus_channel *chan)
{
	struct kobject *parent = chan->device->channels;
	struct entry *entry = parent ? kzalloc(sizeof(*entry), GFP_KERNEL) : NULL;

	if (!entry)
		return;
	entry->chan = chan;
	if (kobject_init_and_add(&entry->kobj, &entry_type, parent, "%u", chan->conn.offer.relid)) {
		kobject_put(&entry->kobj);
		return;
	}
	chan->entry = &entry->kobj;
}

void bus_sysfs_remove(struct bus_channel *chan)
{
	if (!chan->entry)
		return;
	kobject_del(chan->entry);
	kobject_put(chan->entry);
	chan->entry = NULL;
}
