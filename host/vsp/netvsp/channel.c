/* SPDX-License-Identifier: MIT */
/*
 * The device and its channels: create, open, stop, pause, and the way of settings
 * to all channels.
 *
 *   netvsp_apply()   primary  --next-->  control: published
 *                    each channel        <--published--   takes its copy
 *                    primary             <--all have it-- then()
 *
 * The primary exists before all others and outlives them. Sub-channels come with
 * the settings that are published when they open (prepare).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hv/vmbus_guids.h"
#include "vsp/netvsp/netvsp_impl.h"

/* ---- device (control thread) --------------------------------------------- */

bool netvsp_link_up(struct netvsp *d)
{
	return atomic_load(&d->cable) && nic_link_up(d->nic);
}

static void link_on_io_thread(struct vsp_call *call)
{
	struct netvsp_channel *c = container_of(call, struct netvsp_channel, link_call);

	indicate_changes(c);
	vsp_call_done(call);
}

static void link_changed(struct netvsp *d);

static void link_called(struct vsp_call *call)
{
	struct netvsp *d = vsp_device_priv(vsp_channel_device(call->ch));
	bool again = d->link_again;

	d->link_calling = d->link_again = false;
	if (again)
		link_changed(d);
}

static void link_changed(struct netvsp *d)
{
	struct vsp_channel *primary = vsp_device_primary(d->dev);

	if (d->link_calling) {
		d->link_again = true;
		return;
	}
	if (!primary)
		return;
	d->link_calling = true;
	vsp_channel_call(primary, &((struct netvsp_channel *)vsp_channel_priv(primary))->link_call,
		link_on_io_thread, link_called);
}

static void nic_changed(struct nic_watcher *watcher, uint32_t what)
{
	if (what & NIC_CHANGED_LINK)
		link_changed(container_of(watcher, struct netvsp, watcher));
}

void netvsp_set_link(struct vsp_device *dev, bool up)
{
	struct netvsp *d = vsp_device_priv(dev);

	ON_CONTROL(dev);
	atomic_store(&d->cable, up);
	nic_set_carrier(d->nic, up && d->published.filter);
	link_changed(d);
}

void netvsp_set_speed(struct vsp_device *dev, uint64_t bits_per_second)
{
	struct netvsp *d = vsp_device_priv(dev);

	ON_CONTROL(dev);
	atomic_store(&d->speed_bps, bits_per_second);
	link_changed(d);
}

void netvsp_set_mtu_max(struct vsp_device *dev, uint32_t mtu_max)
{
	struct netvsp *d = vsp_device_priv(dev);

	ON_CONTROL(dev);
	assert(mtu_max >= NETVSP_MTU_MIN && mtu_max <= NETVSP_MTU_MAX);
	atomic_store(&d->mtu_max, mtu_max);
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static int netvsp_create(struct vsp_device *dev, const void *config, struct err *e)
{
	struct netvsp *d = vsp_device_priv(dev);
	uint32_t queues;

	d->dev = dev;
	d->config = *(const struct netvsp_config *)config;
	d->nic = d->config.nic;
	if (d->config.name)
		strncpy(d->name, d->config.name, sizeof(d->name) - 1);
	d->config.name = NULL;
	d->contacts = UINT64_MAX; /* no driver has connected yet */
	atomic_init(&d->mtu_max, d->config.mtu_max ? d->config.mtu_max : NETVSP_MTU_MAX);
	if (d->mtu_max < NETVSP_MTU_MIN || d->mtu_max > NETVSP_MTU_MAX)
		return err_set(e, -EINVAL, "mtu: must be %u to %u", NETVSP_MTU_MIN, NETVSP_MTU_MAX);
	queues = smaller(vsp_device_vps(dev), d->nic->info.queues_max);
	if (d->config.queues)
		queues = smaller(queues, d->config.queues);
	d->channels_max = smaller(queues, NETVSP_CHANNELS_MAX);
	atomic_init(
		&d->speed_bps, d->config.speed_bps ? d->config.speed_bps : d->nic->info.speed_bps);
	atomic_init(&d->cable, !d->config.unplugged);
	d->watcher.changed = nic_changed;
	nic_watch(d->nic, &d->watcher);
	return 0;
}

static void netvsp_destroy(struct vsp_device *dev)
{
	struct netvsp *d = vsp_device_priv(dev);

	nic_watch(d->nic, NULL);
	loop_timer_cancel(&d->quiesce.timer);
	recv_put(d->published.recv);
	send_put(d->published.send);
	recv_put(d->next.recv);
	send_put(d->next.send);
}

static bool netvsp_monitored(struct vsp_device *dev)
{
	return ((struct netvsp *)vsp_device_priv(dev))->config.monitored;
}

static void netvsp_request_class(
	struct vsp_device *dev, uint32_t number, struct vsp_request_class *class)
{
	static const struct vsp_request_class classes[CLASSES] = {
		[CLASS_TX] = {sizeof(struct netvsp_tx), NETVSP_TX_REQUESTS, false},
		[CLASS_COMMAND] = {sizeof(struct netvsp_command), NETVSP_COMMANDS, false},
		[CLASS_REPLY] = {sizeof(struct netvsp_reply), RECV_CONTROL_SECTIONS, true},
		[CLASS_TRANSFER] = {sizeof(struct netvsp_transfer), NETVSP_TRANSFERS, true},
		[CLASS_TOKEN] = {1, 1, false},
	};

	*class = classes[number];
}

void netvsp_counters(struct vsp_device *dev, struct netvsp_counters *sum)
{
	struct netvsp *d = vsp_device_priv(dev);
	uint64_t *to = (uint64_t *)sum;

	memset(sum, 0, sizeof(*sum));
	for (uint32_t c = 0; c < NETVSP_CHANNELS_MAX; c++)
		for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
			to[i] += __atomic_load_n((uint64_t *)&d->counters[c] + i, __ATOMIC_RELAXED);
}

void netvsp_info(struct vsp_device *dev, struct netvsp_info *info)
{
	struct netvsp *d = vsp_device_priv(dev);
	const struct netvsp_settings *s = &d->published;

	ON_CONTROL(dev);
	*info = (struct netvsp_info){
		.version = s->version,
		.mtu = s->mtu,
		.channels = atomic_load(&d->open_channels),
		.filter = s->filter,
		.link = netvsp_link_up(d),
		.rsc4 = s->rsc4,
		.rsc6 = s->rsc6,
		.rss = s->rss.enabled,
		.sections = s->recv ? s->recv->sections : 0,
		.section_size = s->recv ? s->recv->section_size : 0,
	};
	memcpy(info->mac, s->version ? s->mac : d->config.mac, sizeof(info->mac));
}

/* ---- settings ------------------------------------------------------------ */

static void apply_on_io_thread(struct vsp_call *call)
{
	struct netvsp_channel *c = container_of(call, struct netvsp_channel, apply_call);

	if (c->open && !c->stopping) {
		c->settings = c->device->published;
		rx_apply(c);
		tx_apply(c);
	}
	vsp_call_done(call);
}

static void apply_put(struct netvsp *d)
{
	if (!--d->apply.waiting)
		vsp_call_done(&d->apply.call);
}

static void applied(struct vsp_call *call)
{
	apply_put(vsp_device_priv(vsp_channel_device(call->ch)));
}

static void apply_to(void *ctx, struct vsp_channel *ch)
{
	struct netvsp *d = ctx;
	struct netvsp_channel *c = vsp_channel_priv(ch);

	d->apply.waiting++;
	vsp_channel_call(ch, &c->apply_call, apply_on_io_thread, applied);
}

static void set_published(struct netvsp *d)
{
	struct netvsp_settings was = d->published;

	recv_get(d->next.recv);
	send_get(d->next.send);
	d->published = d->next;
	recv_put(was.recv);
	send_put(was.send);
}

void netvsp_restore_settings(struct netvsp_channel *c)
{
	struct netvsp *d = c->device;

	ON_CONTROL(d->dev);
	set_published(d);
	c->settings = d->published;
	nic_set_queues(d->nic, c->sub_channels_requested ? d->next.parts : 1);
	nic_set_rx_offloads(d->nic, oid_rx_offloads(&d->next));
	nic_set_carrier(d->nic, atomic_load(&d->cable) && d->next.filter);
}

/* The primary waits, and only it changes `next`. */
static void publish(struct vsp_call *call)
{
	struct netvsp *d = container_of(call, struct netvsp, apply.call);

	set_published(d);
	/* The cable may have been put in while the filter was on its way. */
	nic_set_carrier(d->nic, atomic_load(&d->cable) && d->published.filter);
	d->apply.waiting = 1;
	vsp_device_each_channel(d->dev, apply_to, d);
	apply_put(d);
}

static void all_applied(struct vsp_call *call)
{
	struct netvsp_channel *c = vsp_channel_priv(call->ch);
	struct netvsp_command *cmd = container_of(c->commands.next, struct netvsp_command, link);

	cmd->then(cmd);
}

void netvsp_apply(struct netvsp_command *cmd, void (*then)(struct netvsp_command *cmd))
{
	struct netvsp_channel *c = cmd->channel;

	ON_IO_THREAD(c);
	cmd->then = then;
	vsp_control_call(c->ch, &c->device->apply.call, publish, all_applied);
}

/* ---- opening (control thread, then the I/O thread) ----------------------- */

/* Linux opens the channel anew to change its MTU or the number of its channels, and does not say
 * again which address it has chosen: that stays until the guest contacts the bus anew; after
 * hibernation it must be set again. */
static void reset_mac(struct netvsp *d, const uint8_t was[6])
{
	uint64_t contacts = vsp_device_contacts(d->dev);

	memcpy(d->next.mac, contacts == d->contacts ? was : d->config.mac, sizeof(d->next.mac));
	d->contacts = contacts;
}

/* A new driver of the guest: everything else is as at first. */
static void reset_settings(struct netvsp *d)
{
	struct netvsp_settings was = d->next;

	recv_put(was.recv);
	send_put(was.send);
	d->next = (struct netvsp_settings){
		.mtu = smaller(NETVSP_MTU_DEFAULT, atomic_load(&d->mtu_max)),
		.parts = d->channels_max,
	};
	reset_mac(d, was.mac);
	set_published(d);
	nic_set_rx_offloads(d->nic, 0);
	nic_set_queues(d->nic, 1);
}

/* The buffers are those of the primary, which has references on them. */
static void attach_buffers(struct netvsp_channel *c)
{
	c->rx.recv = c->settings.recv;
	c->send = c->settings.send;
	recv_get(c->rx.recv);
	send_get(c->send);
	c->rx.view = c->rx.recv;
	c->send_view = c->send;
	if (c->rx.view)
		vsp_gpadl_get(c->rx.recv->gpadl);
	if (c->send_view)
		vsp_gpadl_get(c->send->gpadl);
}

static void netvsp_prepare(struct vsp_channel *ch)
{
	struct netvsp_channel *c = vsp_channel_priv(ch);
	uint16_t index = vsp_channel_index(ch);

	c->ch = ch;
	c->device = vsp_device_priv(vsp_channel_device(ch));
	c->primary = !index;
	c->counters = &c->device->counters[index];
	list_init(&c->commands);
	if (c->primary)
		reset_settings(c->device);
	c->settings = c->device->published;
	attach_buffers(c);
}

/* Before the channel's own hook, which publishes what this one sends. */
static void end_of_turn(struct loop_hook *hook)
{
	struct netvsp_channel *c = container_of(hook, struct netvsp_channel, hook);

	if (c->batch_count)
		tx_flush(c);
	if (c->rx.resume) {
		c->rx.resume = false;
		rx_resume(c);
	}
	rx_turn(c);
}

static void nic_stopped(struct nic_client *client)
{
	struct netvsp_channel *c = container_of(client, struct netvsp_channel, client);

	nic_queue_close(c->queue);
	c->queue = NULL;
	rx_turn(c);
	rx_release_view(c);
	tx_apply(c);
	vsp_channel_release(c->ch);
}

static const struct nic_client_ops client_ops = {
	.tx_done = tx_done,
	.rx_get = rx_get,
	.rx = rx_frames,
	.rx_put = rx_put,
	.stopped = nic_stopped,
};

static void release_buffers(struct netvsp_channel *c)
{
	c->stopping = true;
	rx_release_view(c);
	tx_apply(c);
	rx_fini(c);
	send_put(c->send);
	c->send = NULL;
}

static int netvsp_open(struct vsp_channel *ch)
{
	struct netvsp_channel *c = vsp_channel_priv(ch);
	struct netvsp *d = c->device;
	uint16_t index = vsp_channel_index(ch);
	int ret = rx_init(c);

	ON_IO_THREAD(c);
	c->client.ops = &client_ops;
	if (!ret && c->primary) {
		c->teardown.cmd = calloc(1, sizeof(*c->teardown.cmd));
		ret = c->teardown.cmd ? 0 : -ENOMEM;
	}
	if (!ret)
		ret = netvsp_has_share(c) ? nic_queue_open(d->nic, index, vsp_channel_loop(ch),
						    &c->client, &c->queue)
					  : -EINVAL;
	if (ret) {
		netvsp_restore_free(c);
		free(c->teardown.cmd);
		release_buffers(c);
		return ret;
	}
	c->hook.fn = end_of_turn;
	loop_hook_add(vsp_channel_loop(ch), &c->hook);
	atomic_fetch_add(&d->open_channels, 1);
	c->open = true;
	rx_apply(c);
	if (netvsp_restore_open(c))
		log_event(LOG_ERROR, "netvsp: no memory for what is with the guest");
	return 0;
}

/* ---- closing ------------------------------------------------------------- */

static void netvsp_stop(struct vsp_channel *ch)
{
	struct netvsp_channel *c = vsp_channel_priv(ch);

	ON_IO_THREAD(c);
	tx_flush(c);
	c->stopping = true;
	vsp_channel_hold(ch); /* until nic_stopped() */
	nic_queue_stop(c->queue);
	nvsp_stop(c);
	control_stop(c);
	rx_stop(c);
}

static void netvsp_close(struct vsp_channel *ch)
{
	struct netvsp_channel *c = vsp_channel_priv(ch);

	ON_IO_THREAD(c);
	c->open = false;
	loop_hook_del(vsp_channel_loop(ch), &c->hook);
	atomic_fetch_sub(&c->device->open_channels, 1);
	release_buffers(c);
	free(c->teardown.cmd);
}

/* ---- pausing ------------------------------------------------------------- */

/* The NIC returns the buffers it has; the token makes the pause wait for them. */
static void netvsp_pause(struct vsp_channel *ch)
{
	struct netvsp_channel *c = vsp_channel_priv(ch);

	c->paused = true;
	tx_flush(c);
	if (!c->rx.out)
		rx_turn(c);
}

static void netvsp_resume(struct vsp_channel *ch)
{
	struct netvsp_channel *c = vsp_channel_priv(ch);

	c->paused = false;
	rx_resume(c);
	indicate_changes(c);
}

/* ---- packets ------------------------------------------------------------- */

static int completed(struct netvsp_channel *c, uint64_t id)
{
	bool known = id < RECV_CONTROL_SECTIONS ? control_completed(c, id) : rx_completed(c, id);

	if (known)
		return 0;
	log_guest("netvsp: completion %#llx of nothing", (unsigned long long)id);
	return -EPROTO;
}

static int netvsp_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt)
{
	struct netvsp_channel *c = vsp_channel_priv(ch);
	struct nvsp_message m = {0};

	if (pkt->desc.type == VMBUS_PKT_COMPLETION)
		return completed(c, pkt->desc.trans_id);
	if (pkt->desc.type != VMBUS_PKT_INBAND && pkt->desc.type != VMBUS_PKT_GPA_DIRECT)
		return -EPROTO;
	if (pkt->payload_len < sizeof(m.type))
		return -EPROTO;
	memcpy(&m, pkt->payload, pkt->payload_len < sizeof(m) ? pkt->payload_len : sizeof(m));
	if (m.type == NVSP_SEND_RNDIS_PKT && m.rndis_pkt.channel_type == NVSP_CHANNEL_DATA &&
		pkt->payload_len >= sizeof(m.type) + sizeof(m.rndis_pkt))
		return tx_packet(c, pkt, &m);
	return c->primary ? nvsp_packet(c, pkt, &m) : -EPROTO;
}

const struct vsp_ops netvsp_ops = {
	.name = "netvsp",
	.class_id = VMBUS_GUID_NIC,
	.offer_flags = VMBUS_OFFER_ENUMERATE_DEVICE,
	.interrupts = VSP_INTERRUPTS_PATIENT,
	.device_size = sizeof(struct netvsp),
	.channel_size = sizeof(struct netvsp_channel),
	.packet_max = NETVSP_PACKET_MAX,
	.request_classes = CLASSES,
	.create = netvsp_create,
	.destroy = netvsp_destroy,
	.request_class = netvsp_request_class,
	.monitored = netvsp_monitored,
	.prepare = netvsp_prepare,
	.open = netvsp_open,
	.packet = netvsp_packet,
	.stop = netvsp_stop,
	.close = netvsp_close,
	.pause = netvsp_pause,
	.resume = netvsp_resume,
	.inspect = netvsp_inspect,
	.inspect_channel = netvsp_inspect_channel,
	.archive = netvsp_archive,
	.archive_channel = netvsp_archive_channel,
	.sub_channels_max = netvsp_sub_channels_max,
};
