/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Channels: rings, interrupts and their CPUs, and memory that the host may use.
 *
 * Memory that the host has been given is freed when the host has returned it, or if it has
 * rescinded the channel and so has promised not to use it. Otherwise the host may write to it at
 * any time: it is lost on purpose when the host cannot be asked for it, does not return it within a
 * long time, or has not even said whether it has it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "guest/vmbus-vsc/bus.h"
#include "guest/winhv/winhv.h"

static unsigned int return_timeout = 600;
module_param(return_timeout, uint, 0644);
MODULE_PARM_DESC(
	return_timeout, "Seconds until memory that the host does not return is lost (600)");

/* Who gets an event flag; read by interrupts, so a channel leaves a grace period before it ends. */
static struct bus_channel *listeners[VMBUS_RELID_MAX + 1];

/* ---- interrupts ---------------------------------------------------------- */

void bus_channel_init(struct bus_channel *chan, struct bus_device *device, u16 index)
{
	INIT_LIST_HEAD(&chan->node);
	spin_lock_init(&chan->interrupt_lock);
	chan->device = device;
	chan->vsc.device = &device->vsc;
	chan->vsc.index = index;
}

/* The host may set the flag on two CPUs at once. */
void bus_channel_event(unsigned int flag)
{
	struct bus_channel *chan = flag <= VMBUS_RELID_MAX ? READ_ONCE(listeners[flag]) : NULL;

	if (!chan)
		return;
	spin_lock(&chan->interrupt_lock);
	if (chan->listening) {
		chan->interrupts++;
		chan->vsc.interrupt(&chan->vsc);
	}
	spin_unlock(&chan->interrupt_lock);
}

static void set_listening(struct bus_channel *chan, bool listening)
{
	spin_lock_irq(&chan->interrupt_lock);
	chan->listening = listening;
	spin_unlock_irq(&chan->interrupt_lock);
}

static void listen(struct bus_channel *chan)
{
	set_listening(chan, true);
	WRITE_ONCE(listeners[chan->conn.offer.relid], chan);
}

/* The channel may be freed after a grace period. */
static void unlisten(struct bus_channel *chan)
{
	WRITE_ONCE(listeners[chan->conn.offer.relid], NULL);
	set_listening(chan, false);
}

/* ---- waiting ------------------------------------------------------------- */

static bool rescinded(const struct bus_channel *chan)
{
	const struct conn_channel *primary = READ_ONCE(chan->conn.primary);

	return READ_ONCE(chan->conn.rescinded) || (primary && READ_ONCE(primary->rescinded));
}

/* There will be no answer. */
static bool gone(const struct bus_channel *chan)
{
	return rescinded(chan) || READ_ONCE(bus_link.conn.state) != CONN_CONNECTED;
}

/* Why an answer has not come. */
static int no_answer(const struct bus_channel *chan)
{
	return rescinded(chan) ? -ENODEV : -ETIMEDOUT;
}

/* ---- GPADLs -------------------------------------------------------------- */

static uint64_t buffer_pfn(const void *buffer, uint32_t index)
{
	const void *at = buffer + (size_t)index * HV_PAGE_SIZE;

	return is_vmalloc_addr(at) ? vmalloc_to_pfn(at) : virt_to_phys((void *)at) >> HV_PAGE_SHIFT;
}

static bool settled(const struct conn_gpadl *gpadl)
{
	enum conn_gpadl_state state = READ_ONCE(gpadl->state);

	return state != CONN_GPADL_CREATING && state != CONN_GPADL_DESTROYING;
}

static int create_result(struct bus_channel *chan, struct conn_gpadl *gpadl)
{
	int err = 0;

	mutex_lock(&bus_link.lock);
	if (gpadl->state == CONN_GPADL_CREATING) {
		err = no_answer(chan);
		conn_gpadl_forget(&bus_link.conn, gpadl);
	} else if (gpadl->state != CONN_GPADL_CREATED) {
		err = gone(chan) ? -ENODEV : -EIO;
	}
	mutex_unlock(&bus_link.lock);
	return err;
}

/* -ETIMEDOUT: the host may have the memory. */
static int gpadl_create(
	struct bus_channel *chan, struct conn_gpadl *gpadl, const void *buffer, u32 bytes)
{
	const struct conn_pages all = {bytes >> HV_PAGE_SHIFT, buffer_pfn, buffer};
	int err;

	memset(gpadl, 0, sizeof(*gpadl));
	mutex_lock(&bus_link.lock);
	err = conn_gpadl_create(&bus_link.conn, &chan->conn, gpadl, &all);
	mutex_unlock(&bus_link.lock);
	if (err)
		return err;
	bus_wait(settled(gpadl) || gone(chan), BUS_ANSWER_SECONDS);
	return create_result(chan, gpadl);
}

/* A host that has rescinded the channel need not answer. False: it may still use the memory. */
static bool await_return(struct bus_channel *chan, struct conn_gpadl *gpadl)
{
	unsigned int waited;

	for (waited = 0; !bus_wait(settled(gpadl), BUS_RESCINDED_SECONDS);) {
		waited += BUS_RESCINDED_SECONDS;
		if (gone(chan) || waited >= return_timeout)
			return rescinded(chan);
		if (waited == BUS_ANSWER_SECONDS)
			dev_err(&chan->device->dev, "the host does not return memory; waiting\n");
	}
	return true;
}

/* False: the memory must be kept for ever. */
static bool gpadl_destroy(struct bus_channel *chan, struct conn_gpadl *gpadl)
{
	bool returned;
	int err;

	mutex_lock(&bus_link.lock);
	err = gpadl->state == CONN_GPADL_CREATED ? conn_gpadl_destroy(&bus_link.conn, gpadl) : 0;
	mutex_unlock(&bus_link.lock);
	returned = err ? rescinded(chan) : await_return(chan, gpadl);
	mutex_lock(&bus_link.lock);
	conn_gpadl_forget(&bus_link.conn, gpadl);
	mutex_unlock(&bus_link.lock);
	if (!returned)
		dev_err(&chan->device->dev, "memory is lost: the host has not returned it\n");
	return returned;
}

int bus_gpadl_create(struct vsc_channel *vsc, struct vsc_gpadl *gpadl)
{
	struct conn_gpadl *conn;
	int err;

	if (!PAGE_ALIGNED(gpadl->buffer) || !PAGE_ALIGNED(gpadl->bytes))
		return -EINVAL;
	conn = kzalloc(sizeof(*conn), GFP_KERNEL);
	if (!conn)
		return -ENOMEM;
	err = gpadl_create(bus_channel_of(vsc), conn, gpadl->buffer, gpadl->bytes);
	if (err) {
		if (err == -ETIMEDOUT)
			gpadl->buffer = NULL;
		kfree(conn);
		return err;
	}
	gpadl->id = conn->id;
	gpadl->bus_data = conn;
	return 0;
}

void bus_gpadl_destroy(struct vsc_channel *vsc, struct vsc_gpadl *gpadl)
{
	if (!gpadl_destroy(bus_channel_of(vsc), gpadl->bus_data))
		gpadl->buffer = NULL;
	kfree(gpadl->bus_data);
	gpadl->id = 0;
	gpadl->bus_data = NULL;
}

/* ---- CPUs ---------------------------------------------------------------- */

static bool on_cpu(const struct bus_channel *chan, unsigned int cpu)
{
	return chan->ring && chan->cpu == cpu;
}

static unsigned int channels_on(const struct bus_device *device, unsigned int cpu)
{
	const struct bus_channel *chan;
	unsigned int count = on_cpu(&device->primary, cpu);

	list_for_each_entry (chan, &device->sub_channels, node)
		count += on_cpu(chan, cpu);
	return count;
}

static unsigned int all_channels_on(unsigned int cpu)
{
	const struct bus_device *device;
	unsigned int count = 0;

	list_for_each_entry (device, &bus_link.devices, node)
		count += channels_on(device, cpu);
	return count;
}

/* Each channel of a device has a CPU of its own if there are enough, and devices spread out. With
 * the lock of CPU hotplug. */
static unsigned int choose_cpu(const struct bus_device *device, unsigned int not_this)
{
	unsigned int cpu, best = nr_cpu_ids, cost, best_cost = UINT_MAX;

	mutex_lock(&bus_link.lock);
	for_each_online_cpu(cpu)
	{
		cost = (channels_on(device, cpu) << 16) + all_channels_on(cpu);
		if (cpu != not_this && cost < best_cost) {
			best = cpu;
			best_cost = cost;
		}
	}
	mutex_unlock(&bus_link.lock);
	return best;
}

static void set_cpu(struct bus_channel *chan, unsigned int cpu)
{
	const struct vsc_driver *driver = chan->vsc.device->driver;

	WRITE_ONCE(chan->cpu, cpu);
	if (driver && driver->retargeted)
		driver->retargeted(&chan->vsc);
}

static int await_retarget(struct bus_channel *chan)
{
	if (!bus_wait(!READ_ONCE(chan->conn.retargeting) || gone(chan), BUS_ANSWER_SECONDS))
		return -ETIMEDOUT;
	if (READ_ONCE(chan->conn.retargeting))
		return -ENODEV;
	return READ_ONCE(chan->conn.status) ? -EIO : 0;
}

/* With retarget_lock, so the channel stays, and the lock of CPU hotplug, so the CPU does.
 * Before 5.3 the host does not say when it has done it: until then it may signal the old CPU, and
 * what it signals there is lost once that one is gone. */
static int retarget(struct bus_channel *chan, unsigned int cpu)
{
	int err;

	if (READ_ONCE(bus_link.conn.version) < VMBUS_VERSION_WIN10_V5_3)
		return -EOPNOTSUPP;
	mutex_lock(&bus_link.lock);
	err = conn_retarget(&bus_link.conn, &chan->conn, winhv_vp_index(cpu));
	mutex_unlock(&bus_link.lock);
	if (!err)
		err = await_retarget(chan);
	if (err < 0)
		return err;
	set_cpu(chan, cpu);
	return 0;
}

int bus_channel_set_cpu(struct vsc_channel *vsc, unsigned int cpu)
{
	struct bus_channel *chan = bus_channel_of(vsc);
	int err = -EINVAL;

	cpus_read_lock();
	mutex_lock(&bus_link.retarget_lock);
	if (chan->open && cpu < nr_cpu_ids && cpu_online(cpu))
		err = retarget(chan, cpu);
	mutex_unlock(&bus_link.retarget_lock);
	cpus_read_unlock();
	return err;
}

static struct bus_channel *open_channel_on(struct bus_device *device, unsigned int cpu)
{
	struct bus_channel *chan;

	if (device->primary.open && on_cpu(&device->primary, cpu))
		return &device->primary;
	list_for_each_entry (chan, &device->sub_channels, node)
		if (chan->open && on_cpu(chan, cpu))
			return chan;
	return NULL;
}

static struct bus_channel *find_open_channel_on(unsigned int cpu)
{
	struct bus_device *device;
	struct bus_channel *chan = NULL;

	mutex_lock(&bus_link.lock);
	list_for_each_entry (device, &bus_link.devices, node) {
		chan = open_channel_on(device, cpu);
		if (chan)
			break;
	}
	mutex_unlock(&bus_link.lock);
	return chan;
}

/* One that the host has rescinded gets no interrupt any more, wherever it is. */
static int leave(struct bus_channel *chan, unsigned int cpu)
{
	unsigned int other = choose_cpu(chan->device, cpu);
	int err = other < nr_cpu_ids ? retarget(chan, other) : -EBUSY;

	if (err == -ENODEV && other < nr_cpu_ids) {
		set_cpu(chan, other);
		err = 0;
	}
	if (err)
		dev_warn_ratelimited(&chan->device->dev,
			"CPU %u must stay: a channel cannot leave it: error %d\n", cpu, err);
	return err;
}

int bus_channels_leave(unsigned int cpu)
{
	struct bus_channel *chan;
	int err = 0;

	mutex_lock(&bus_link.retarget_lock);
	while (!err && (chan = find_open_channel_on(cpu)))
		err = leave(chan, cpu);
	mutex_unlock(&bus_link.retarget_lock);
	return err;
}

/* ---- opening ------------------------------------------------------------- */

/* Channels on this CPU are counted by it and by `ring`. */
static void set_ring(struct bus_channel *chan, void *ring, unsigned int cpu)
{
	mutex_lock(&bus_link.lock);
	chan->ring = ring;
	chan->cpu = cpu;
	mutex_unlock(&bus_link.lock);
}

static void set_open(struct bus_channel *chan, bool open)
{
	mutex_lock(&bus_link.retarget_lock);
	chan->open = open;
	mutex_unlock(&bus_link.retarget_lock);
}

static int request_open(struct bus_channel *chan, u32 tx_bytes)
{
	const struct conn_open open = {
		.gpadl = chan->ring_gpadl.id,
		.target_vp = winhv_vp_index(chan->cpu),
		.downstream_page = tx_bytes >> HV_PAGE_SHIFT,
	};
	int err;

	mutex_lock(&bus_link.lock);
	err = conn_open(&bus_link.conn, &chan->conn, &open);
	mutex_unlock(&bus_link.lock);
	if (err)
		return err;
	bus_wait(READ_ONCE(chan->conn.state) != CONN_CHANNEL_OPENING || gone(chan),
		BUS_ANSWER_SECONDS);
	if (READ_ONCE(chan->conn.state) == CONN_CHANNEL_OPEN)
		return 0;
	if (READ_ONCE(chan->conn.state) == CONN_CHANNEL_OPENING || gone(chan))
		return no_answer(chan);
	dev_err(&chan->device->dev, "the host does not open the channel: status %x\n",
		chan->conn.status);
	return -EIO;
}

/* The host uses the rings no more. False: it may, and they must be kept for ever. */
static bool close(struct bus_channel *chan)
{
	mutex_lock(&bus_link.lock);
	conn_close(&bus_link.conn, &chan->conn);
	mutex_unlock(&bus_link.lock);
	return gpadl_destroy(chan, &chan->ring_gpadl);
}

/* With a ring that the host has. Interrupts may come before it is open. */
static int open_ring(struct bus_channel *chan, u32 tx_bytes, u32 rx_bytes)
{
	int err = vsc_channel_init_rings(
		&chan->vsc, chan->ring, tx_bytes, chan->ring + tx_bytes, rx_bytes);

	if (err)
		return err;
	listen(chan);
	err = request_open(chan, tx_bytes);
	if (err) {
		unlisten(chan);
		synchronize_rcu();
	}
	return err;
}

static int open_on(struct bus_channel *chan, unsigned int cpu, u32 tx_bytes, u32 rx_bytes)
{
	void *ring = vzalloc_node(tx_bytes + rx_bytes, cpu_to_node(cpu));
	int err;

	if (!ring)
		return -ENOMEM;
	set_ring(chan, ring, cpu);
	err = gpadl_create(chan, &chan->ring_gpadl, ring, tx_bytes + rx_bytes);
	if (err == -ETIMEDOUT)
		ring = NULL;
	if (!err) {
		err = open_ring(chan, tx_bytes, rx_bytes);
		if (err && !close(chan))
			ring = NULL;
	}
	if (err) {
		set_ring(chan, NULL, cpu);
		vfree(ring);
		return err;
	}
	set_open(chan, true);
	bus_sysfs_add(chan);
	return 0;
}

static void set_accepting(struct bus_device *device, bool accepting)
{
	mutex_lock(&device->use_lock);
	device->accepting = accepting;
	mutex_unlock(&device->use_lock);
}

static bool ring_size_fits(u32 bytes)
{
	return bytes >= 2 * HV_PAGE_SIZE && PAGE_ALIGNED(bytes) &&
	       bytes <= CONN_GPADL_PAGES_MAX / 2 * HV_PAGE_SIZE;
}

int bus_channel_open(struct vsc_channel *vsc, u32 tx_bytes, u32 rx_bytes)
{
	struct bus_channel *chan = bus_channel_of(vsc);
	bool primary = vsc == vsc->device->primary;
	int err;

	if (!ring_size_fits(tx_bytes) || !ring_size_fits(rx_bytes))
		return -EINVAL;
	if (chan->ring)
		return -EBUSY;
	if (primary)
		set_accepting(chan->device, true);
	cpus_read_lock();
	err = open_on(chan, choose_cpu(chan->device, nr_cpu_ids), tx_bytes, rx_bytes);
	cpus_read_unlock();
	if (err && primary)
		set_accepting(chan->device, false);
	return err;
}

/* ---- closing ------------------------------------------------------------- */

static void end(struct bus_channel *chan)
{
	void *ring = close(chan) ? chan->ring : NULL;

	set_ring(chan, NULL, chan->cpu);
	vfree(ring);
}

static void silence(struct bus_channel *chan)
{
	set_open(chan, false);
	bus_sysfs_remove(chan);
	unlisten(chan);
}

/* The next open sub-channel behind `chan`, or the first. use_lock keeps those that are open. */
static struct bus_channel *next_open(struct bus_device *device, struct bus_channel *chan)
{
	struct list_head *at;

	mutex_lock(&bus_link.lock);
	at = chan ? &chan->node : &device->sub_channels;
	chan = NULL;
	while (!chan && at->next != &device->sub_channels) {
		at = at->next;
		chan = list_entry(at, struct bus_channel, node);
		if (!chan->ring)
			chan = NULL;
	}
	mutex_unlock(&bus_link.lock);
	return chan;
}

/* Under use_lock: no sub-channel is being offered, and none is released. */
static void close_all(struct bus_device *device)
{
	struct bus_channel *chan = NULL;

	while ((chan = next_open(device, chan)))
		silence(chan);
	if (device->primary.ring)
		silence(&device->primary);
	synchronize_rcu();
	while ((chan = next_open(device, NULL)))
		end(chan);
	if (device->primary.ring)
		end(&device->primary);
}

void bus_channels_close(struct vsc_device *vsc)
{
	struct bus_device *device = bus_device_of(vsc);

	mutex_lock(&device->use_lock);
	device->accepting = false;
	close_all(device);
	mutex_unlock(&device->use_lock);
	bus_device_check_sub_channels(device);
}
