/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The connection to the host: messages in and out, and waiting for answers.
 *
 * An interrupt copies a message into a queue of fixed size and frees its slot; with the queue full
 * the message stays in its slot, where the host keeps all others behind it. The worker asks for it
 * when the queue is empty again.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kfifo.h>

#include "guest/vmbus-vsc/bus.h"
#include "guest/winhv/winhv.h"

#define CREATE_TRACE_POINTS
#include "guest/vmbus-vsc/trace.h"

#define QUEUE_MESSAGES 64
#define POST_TRIES     200u
#define POST_SLEEP_US  20000u /* at most, between two of them */
#define CRASH_MS       30000u /* until the host has answered an unload */

struct bus_link bus_link = {
	.lock = __MUTEX_INITIALIZER(bus_link.lock),
	.retarget_lock = __MUTEX_INITIALIZER(bus_link.retarget_lock),
	.changed = __WAIT_QUEUE_HEAD_INITIALIZER(bus_link.changed),
	.devices = LIST_HEAD_INIT(bus_link.devices),
};

/* Pages that only old hosts write to; all want to know where they are. */
enum { PAGE_INTERRUPT, PAGE_MONITOR_H2G, PAGE_MONITOR_G2H, PAGES };
static unsigned long pages[PAGES];

static DEFINE_KFIFO(queue, struct hv_message, QUEUE_MESSAGES);
static DEFINE_SPINLOCK(queue_lock);
static bool queue_was_full; /* messages wait in slots */
static struct workqueue_struct *message_work;

/* ---- from the host ------------------------------------------------------- */

static void handle(const struct hv_message *message)
{
	if (message->type != HV_MESSAGE_TYPE_VMBUS)
		return;
	trace_vmbus_vsc_message(message->payload, message->payload_size);
	mutex_lock(&bus_link.lock);
	conn_message(&bus_link.conn, message->payload, message->payload_size);
	mutex_unlock(&bus_link.lock);
}

static void on_messages(struct work_struct *work)
{
	struct hv_message message;

	while (kfifo_out_spinlocked(&queue, &message, 1, &queue_lock)) {
		handle(&message);
		cond_resched();
	}
	if (xchg(&queue_was_full, false))
		winhv_synic_poll();
}

static DECLARE_WORK(messages, on_messages);

static bool on_message(const struct hv_message *message)
{
	bool room = kfifo_in_spinlocked(&queue, message, 1, &queue_lock);

	if (!room)
		WRITE_ONCE(queue_was_full, true);
	queue_work(message_work, &messages);
	return room;
}

/* ---- to the host --------------------------------------------------------- */

/* A host that has no buffer has one soon; and there are some that know a connection only a little
 * after they have named it. */
static bool try_again(int err, bool contact)
{
	return err == -EAGAIN || err == -ENOMEM || (err == -ENXIO && !contact);
}

static int post(void *ctx, u32 connection_id, const void *msg, u32 len)
{
	const struct vmbus_msg_header *header = msg;
	bool contact = header->type == VMBUS_MSG_INITIATE_CONTACT;
	unsigned int tries, us = 10;
	int err = 0;

	for (tries = 0; tries < POST_TRIES; tries++) {
		err = winhv_post_message(connection_id, HV_MESSAGE_TYPE_VMBUS, msg, len);
		if (!try_again(err, contact))
			break;
		usleep_range(us, 2 * us);
		us = min(2 * us, POST_SLEEP_US);
	}
	trace_vmbus_vsc_post(msg, len, connection_id, err);
	if (err && !contact)
		pr_err_ratelimited("message %u: error %d\n", header->type, err);
	return err;
}

static void changed(void *ctx)
{
	wake_up_all(&bus_link.changed);
}

static const struct conn_ops conn_ops = {
	.post = post,
	.offered = bus_device_offered,
	.rescinded = bus_device_rescinded,
	.changed = changed,
};

/* ---- the connection ------------------------------------------------------ */

static bool in_state(enum conn_state state)
{
	return READ_ONCE(bus_link.conn.state) == state;
}

static int connect(u32 newest)
{
	struct conn_contact contact = {
		.newest = newest,
		.target_vp = winhv_vp_index(bus_link.cpu),
		.interrupt_page = virt_to_phys((void *)pages[PAGE_INTERRUPT]),
		.monitor_page_h2g = virt_to_phys((void *)pages[PAGE_MONITOR_H2G]),
		.monitor_page_g2h = virt_to_phys((void *)pages[PAGE_MONITOR_G2H]),
	};
	int err;

	mutex_lock(&bus_link.lock);
	err = conn_connect(&bus_link.conn, &contact);
	mutex_unlock(&bus_link.lock);
	if (err)
		return err;
	if (!bus_wait(!in_state(CONN_CONTACTING), BUS_ANSWER_SECONDS))
		return -ETIMEDOUT;
	return in_state(CONN_CONNECTED) ? 0 : -EPROTONOSUPPORT;
}

static int request_offers(void)
{
	int err;

	mutex_lock(&bus_link.lock);
	err = conn_request_offers(&bus_link.conn);
	mutex_unlock(&bus_link.lock);
	if (err)
		return err;
	return bus_wait(READ_ONCE(bus_link.conn.offers_delivered), BUS_ANSWER_SECONDS) ? 0
										       : -ETIMEDOUT;
}

/* False: the host may still write to this guest's pages. */
static bool unload(void)
{
	int err;

	mutex_lock(&bus_link.lock);
	err = conn_unload(&bus_link.conn);
	mutex_unlock(&bus_link.lock);
	if (err)
		return err == -ENOTCONN;
	if (bus_wait(in_state(CONN_IDLE), BUS_ANSWER_SECONDS))
		return true;
	pr_err("the host does not answer the unload\n");
	return false;
}

/* ---- the end of this kernel ---------------------------------------------- */

static int on_cpu_offline(unsigned int cpu)
{
	if (cpu == bus_link.cpu) {
		pr_warn_ratelimited("CPU %u gets the host's messages and must stay\n", cpu);
		return -EBUSY;
	}
	return bus_channels_leave(cpu);
}

static void on_shutdown(void)
{
	mutex_lock(&bus_link.lock);
	bus_link.ending = true;
	mutex_unlock(&bus_link.lock);
	unload();
}

static bool post_in_crash(const struct vmbus_msg_header *msg)
{
	unsigned int tries;

	for (tries = 0; tries < POST_TRIES; tries++) {
		if (!winhv_post_message(
			    bus_link.conn.message_id, HV_MESSAGE_TYPE_VMBUS, msg, sizeof(*msg)))
			return true;
		mdelay(1);
	}
	return false;
}

static bool is_unload_response(const struct hv_message *message)
{
	struct vmbus_msg_header header;

	memcpy(&header, message->payload, sizeof(header));
	return message->type == HV_MESSAGE_TYPE_VMBUS && message->payload_size >= sizeof(header) &&
	       header.type == VMBUS_MSG_UNLOAD_RESPONSE;
}

/* The host stops writing into this kernel's memory when it answers. All CPUs' slots must be read,
 * since any of them may hold a message, and the answer is behind it. */
static void on_crash(void)
{
	static const struct vmbus_msg_header msg = {.type = VMBUS_MSG_UNLOAD};
	struct hv_message message;
	unsigned int ms;

	if (in_state(CONN_IDLE) || !post_in_crash(&msg))
		return;
	for (ms = 0; ms < CRASH_MS; ms++) {
		while (winhv_synic_crash_poll(&message))
			if (is_unload_response(&message))
				return;
		mdelay(1);
	}
}

static const struct winhv_synic_client synic_client = {
	.name = KBUILD_MODNAME,
	.sint = VMBUS_SINT,
	.message = on_message,
	.event = bus_channel_event,
	.cpu_offline = on_cpu_offline,
	.shutdown = on_shutdown,
	.crash = on_crash,
};

/* ---- start and end ------------------------------------------------------- */

static void release_memory(bool pages_too)
{
	unsigned int i;

	if (bus_link.work)
		destroy_workqueue(bus_link.work);
	if (message_work)
		destroy_workqueue(message_work);
	for (i = 0; i < PAGES && pages_too; i++)
		free_page(pages[i]);
}

static int alloc_memory(void)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		pages[i] = get_zeroed_page(GFP_KERNEL);
		if (!pages[i])
			return -ENOMEM;
	}
	message_work = alloc_ordered_workqueue("vmbus_vsc_messages", WQ_HIGHPRI);
	bus_link.work = alloc_workqueue("vmbus_vsc", WQ_UNBOUND, 0);
	return message_work && bus_link.work ? 0 : -ENOMEM;
}

static const char *why(int err)
{
	switch (err) {
	case -ETIMEDOUT:
		return "the host does not answer";
	case -EPROTONOSUPPORT:
		return "the host refuses all versions of VMBus from here on";
	default:
		return "no connection to the host";
	}
}

static int prepare(void)
{
	int err = alloc_memory();

	cpus_read_lock();
	bus_link.cpu = cpumask_first(cpu_online_mask);
	cpus_read_unlock();
	conn_init(&bus_link.conn, &conn_ops, NULL);
	if (!err)
		err = winhv_synic_start(&synic_client);
	if (err)
		release_memory(true);
	return err;
}

int bus_link_start(u32 newest)
{
	int err = prepare();

	if (err)
		return err;
	err = connect(newest);
	if (!err)
		err = request_offers();
	if (err) {
		pr_err("%s: error %d\n", why(err), err);
		bus_devices_end();
		bus_link_stop();
		return err;
	}
	pr_info("Vmbus version:%u.%u\n", bus_link.conn.version >> 16,
		bus_link.conn.version & 0xFFFF);
	return 0;
}

void bus_link_stop(void)
{
	bool unloaded = unload();

	winhv_synic_stop();
	release_memory(unloaded);
}
