/* SPDX-License-Identifier: MIT */
/*
 * A request is taken from a pool for each packet that asks for a completion; it
 * is put when the completion is in the ring. When none is left, packet() returns
 * -EAGAIN and the core gives it the packet again later: a guest that never reads
 * its completions stops itself.
 *
 *   echo        NULL_CLASS_ECHO      one packet, its completion
 *   transfer    NULL_CLASS_TRANSFER  a range of the guest's buffer, until the guest answers
 */
#include "vsp/null/null.h"

#include <errno.h>
#include <string.h>

#define ECHOES  64u
#define IOV_MAX 18u /* pieces of a range to fill: 64 KiB of scattered pages */

enum null_class {
	NULL_CLASS_ECHO,
	NULL_CLASS_TRANSFER,
	NULL_CLASSES,
};

struct null_device {
	struct null_config config;
	uint32_t notifying; /* control thread: calls of null_notify() not done */
	uint32_t value;     /* of the last one; set before the calls are made */
};

/* A packet the guest has not asked for. One at a time. */
struct null_event_out {
	struct vsp_out out;
	struct null_event event;
	bool queued;
};

/* I/O thread. */
struct null_transfer {
	struct vsp_out out;
	struct vsp_gpadl *buffer; /* with a reference */
	bool sent;
	struct {
		struct vmbus_xfer_pages pages;
		struct vmbus_xfer_range range;
	} header;
};

/* Private memory of an open channel; zeroed by the core. I/O thread, except where noted. */
struct null_channel {
	uint64_t ignored;         /* packets that asked for nothing */
	struct vsp_gpadl *buffer; /* with a reference; NULL: none */
	bool mapping;
	bool stopping;
	struct null_transfer *transfers[NULL_TRANSFERS]; /* by transaction id */
	struct vsp_channel *ch;
	struct loop_timer ticker;
	struct null_event_out tick;
	struct null_event_out notify;
	struct vsp_call notify_call; /* the control thread's, see call.c */
};

struct null_request {
	struct vsp_out out;
	struct vsp_channel *ch;
	struct vsp_gpadl_map map;
	struct vsp_call call;
	struct null_result result;
	uint8_t payload[NULL_PAYLOAD_MAX];
};

/* ---- device (control thread) --------------------------------------------- */

static int null_create(struct vsp_device *dev, const void *config, struct err *e)
{
	struct null_device *d = vsp_device_priv(dev);

	if (config)
		d->config = *(const struct null_config *)config;
	return 0;
}

static void null_destroy(struct vsp_device *dev)
{
}

static void null_request_class(
	struct vsp_device *dev, uint32_t number, struct vsp_request_class *class)
{
	static const struct vsp_request_class classes[NULL_CLASSES] = {
		[NULL_CLASS_ECHO] = {.size = sizeof(struct null_request), .count = ECHOES},
		[NULL_CLASS_TRANSFER] = {.size = sizeof(struct null_transfer),
			.count = NULL_TRANSFERS,
			.with_guest = true},
	};

	*class = classes[number];
}

/* ---- events: packets the guest has not asked for ------------------------- */

static void event_sent(struct vsp_channel *ch, struct vsp_out *out)
{
	container_of(out, struct null_event_out, out)->queued = false;
}

/* One that the guest has no room for stands for those that follow. */
static void event_send(
	struct vsp_channel *ch, struct null_event_out *e, enum null_event_kind kind, uint32_t value)
{
	if (e->queued)
		return;
	e->queued = true;
	e->event = (struct null_event){.kind = kind, .value = value};
	e->out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_INBAND, .payload = {&e->event, sizeof(e->event)}},
		.sent = event_sent,
	};
	vsp_send(ch, &e->out);
}

/* Also on a channel that closes: the packet is dropped. */
static void notify_on_io_thread(struct vsp_call *call)
{
	struct null_channel *c = container_of(call, struct null_channel, notify_call);
	struct null_device *d = vsp_device_priv(vsp_channel_device(call->ch));

	if (!c->stopping)
		event_send(call->ch, &c->notify, NULL_EVENT_NOTIFY, d->value);
	vsp_call_done(call);
}

static void notified(struct vsp_call *call)
{
	struct null_device *d = vsp_device_priv(vsp_channel_device(call->ch));

	d->notifying--;
}

static void notify_channel(void *ctx, struct vsp_channel *ch)
{
	struct null_device *d = ctx;
	struct null_channel *c = vsp_channel_priv(ch);

	d->notifying++;
	vsp_channel_call(ch, &c->notify_call, notify_on_io_thread, notified);
}

int null_notify(struct vsp_device *dev, uint32_t value)
{
	struct null_device *d = vsp_device_priv(dev);

	ON_LOOP(vsp_device_control(dev));
	if (d->notifying)
		return -EBUSY;
	d->value = value;
	vsp_device_each_channel(dev, notify_channel, d);
	return 0;
}

/* ---- ticks: a source of work of the VSP's own ---------------------------- */

static void tick_start(struct null_channel *c);

static void tick(struct loop_timer *timer)
{
	struct null_channel *c = container_of(timer, struct null_channel, ticker);

	vsp_channel_look(c->ch);
	event_send(c->ch, &c->tick, NULL_EVENT_TICK, c->tick.event.value + 1);
	tick_start(c);
}

static void tick_start(struct null_channel *c)
{
	struct null_device *d = vsp_device_priv(vsp_channel_device(c->ch));

	if (d->config.tick_ns && !vsp_channel_index(c->ch))
		loop_timer_start(vsp_channel_loop(c->ch), &c->ticker, d->config.tick_ns, tick);
}

/* ---- commands ------------------------------------------------------------ */

static void reply(struct null_request *r, const void *payload, uint32_t len)
{
	r->out.packet.payload = (struct vmbus_vec){payload, len};
	vsp_send(r->ch, &r->out);
}

static void reply_result(struct null_request *r, int error, uint32_t value)
{
	r->result = (struct null_result){.error = error, .value = value};
	reply(r, &r->result, sizeof(r->result));
}

/* The guest may have closed the channel meanwhile. */
static void mapped(struct vsp_gpadl_map *map, struct vsp_gpadl *gpadl, int error)
{
	struct null_request *r = container_of(map, struct null_request, map);
	struct null_channel *c = vsp_channel_priv(r->ch);

	c->mapping = false;
	if (c->stopping && gpadl)
		vsp_gpadl_put(gpadl);
	else
		c->buffer = gpadl;
	reply_result(r, error, 0);
}

static void unmap(struct null_channel *c)
{
	if (c->buffer)
		vsp_gpadl_put(c->buffer);
	c->buffer = NULL;
}

/* Transfers that the guest has not answered keep their references. */
static void torn_down(struct vsp_channel *ch, struct vsp_gpadl *gpadl)
{
	struct null_channel *c = vsp_channel_priv(ch);

	if (c->buffer == gpadl)
		unmap(c);
}

static void map(struct null_request *r, uint32_t handle)
{
	struct null_channel *c = vsp_channel_priv(r->ch);

	if (c->buffer || c->mapping) {
		reply_result(r, -EBUSY, 0);
		return;
	}
	c->mapping = true;
	r->map = (struct vsp_gpadl_map){.handle = handle, .mapped = mapped, .torn_down = torn_down};
	vsp_gpadl_map(r->ch, &r->map);
}

static void count_channel(void *ctx, struct vsp_channel *ch)
{
	++*(uint32_t *)ctx;
}

static void count_on_control(struct vsp_call *call)
{
	struct null_request *r = container_of(call, struct null_request, call);

	r->result.value = 0;
	vsp_device_each_channel(vsp_channel_device(call->ch), count_channel, &r->result.value);
	vsp_call_done(call);
}

static void counted(struct vsp_call *call)
{
	struct null_request *r = container_of(call, struct null_request, call);

	reply_result(r, 0, r->result.value);
}

/* ---- transfers ----------------------------------------------------------- */

static void transfer_sent(struct vsp_channel *ch, struct vsp_out *out)
{
	container_of(out, struct null_transfer, out)->sent = true;
}

static void transfer_end(struct vsp_channel *ch, uint64_t id)
{
	struct null_channel *c = vsp_channel_priv(ch);
	struct null_transfer *t = c->transfers[id];

	c->transfers[id] = NULL;
	vsp_gpadl_put(t->buffer);
	vsp_request_put(ch, t);
}

/* The guest answers a transfer. One that is not in the ring yet cannot be answered. */
static int transfer_answered(struct vsp_channel *ch, uint64_t id)
{
	struct null_channel *c = vsp_channel_priv(ch);

	if (id >= NULL_TRANSFERS || !c->transfers[id] || !c->transfers[id]->sent)
		return -EPROTO;
	transfer_end(ch, id);
	return 0;
}

static uint32_t free_id(const struct null_channel *c)
{
	uint32_t id = 0;

	while (c->transfers[id])
		id++;
	return id;
}

static void transfer_send(
	struct vsp_channel *ch, struct null_transfer *t, const struct null_command *cmd)
{
	struct null_channel *c = vsp_channel_priv(ch);
	uint32_t id = free_id(c);

	c->transfers[id] = t;
	t->buffer = c->buffer;
	vsp_gpadl_get(t->buffer);
	t->sent = false;
	t->header.pages = (struct vmbus_xfer_pages){.range_count = 1};
	t->header.range = (struct vmbus_xfer_range){cmd->length, cmd->offset};
	t->out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_XFER_PAGES,
			.flags = VMBUS_PKT_FLAG_COMPLETION_REQUESTED,
			.trans_id = id,
			.header = {&t->header, sizeof(t->header)}},
		.sent = transfer_sent,
	};
	vsp_send(ch, &t->out);
}

static int fill(struct null_channel *c, const struct null_command *cmd)
{
	struct iovec iov[IOV_MAX];
	int pieces;

	if (!c->buffer)
		return -ENOENT;
	pieces = vsp_gpadl_iov(c->buffer, cmd->offset, cmd->length, iov, IOV_MAX);
	for (int i = 0; i < pieces; i++)
		memset(iov[i].iov_base, (int)cmd->pattern, iov[i].iov_len);
	return pieces < 0 ? pieces : 0;
}

/* Not -EAGAIN when there is no transfer: the guest's answers come behind this packet in the ring.
 */
static void fill_and_send(struct null_request *r, const struct null_command *cmd)
{
	struct null_transfer *t = vsp_request_get(r->ch, NULL_CLASS_TRANSFER);
	int error = t ? fill(vsp_channel_priv(r->ch), cmd) : -EBUSY;

	if (!error)
		transfer_send(r->ch, t, cmd);
	else if (t)
		vsp_request_put(r->ch, t);
	reply_result(r, error, 0);
}

/* ---- packets ------------------------------------------------------------- */

static bool is_command(const struct null_request *r, uint32_t len, struct null_command *cmd)
{
	if (len < sizeof(*cmd))
		return false;
	memcpy(cmd, r->payload, sizeof(*cmd));
	return cmd->magic == NULL_COMMAND;
}

static void run(struct null_request *r, const struct null_command *cmd)
{
	switch (cmd->op) {
	case NULL_OP_MAP:
		map(r, cmd->handle);
		break;
	case NULL_OP_UNMAP:
		unmap(vsp_channel_priv(r->ch));
		reply_result(r, 0, 0);
		break;
	case NULL_OP_FILL:
		fill_and_send(r, cmd);
		break;
	case NULL_OP_CHANNELS:
		vsp_control_call(r->ch, &r->call, count_on_control, counted);
		break;
	default:
		reply_result(r, -EINVAL, 0);
	}
}

/* pkt is a private copy, gone when this returns: what is needed later is copied. */
static int null_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt)
{
	struct null_channel *c = vsp_channel_priv(ch);
	struct null_command cmd;
	struct null_request *r;

	if (pkt->desc.type == VMBUS_PKT_COMPLETION)
		return transfer_answered(ch, pkt->desc.trans_id);
	if (pkt->desc.type != VMBUS_PKT_INBAND || pkt->payload_len > NULL_PAYLOAD_MAX)
		return -EPROTO;
	if (!(pkt->desc.flags & VMBUS_PKT_FLAG_COMPLETION_REQUESTED)) {
		c->ignored++;
		return 0;
	}
	r = vsp_request_get(ch, NULL_CLASS_ECHO);
	if (!r)
		return -EAGAIN;
	memcpy(r->payload, pkt->payload, pkt->payload_len);
	r->ch = ch;
	r->out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_COMPLETION, .trans_id = pkt->desc.trans_id},
		.request = r,
	};
	if (is_command(r, pkt->payload_len, &cmd))
		run(r, &cmd);
	else
		reply(r, r->payload, pkt->payload_len);
	return 0;
}

/* ---- channel (its I/O thread) -------------------------------------------- */

static int null_open(struct vsp_channel *ch)
{
	struct null_device *d = vsp_device_priv(vsp_channel_device(ch));
	struct null_channel *c = vsp_channel_priv(ch);

	c->ch = ch;
	vsp_channel_set_lazy(ch, d->config.lazy);
	tick_start(c);
	return 0;
}

static void null_stop(struct vsp_channel *ch)
{
	struct null_channel *c = vsp_channel_priv(ch);

	c->stopping = true;
	loop_timer_cancel(&c->ticker);
	for (uint32_t id = 0; id < NULL_TRANSFERS; id++)
		if (c->transfers[id])
			transfer_end(ch, id);
	unmap(c);
}

static void null_pause(struct vsp_channel *ch)
{
	struct null_channel *c = vsp_channel_priv(ch);

	loop_timer_cancel(&c->ticker);
}

static void null_resume(struct vsp_channel *ch)
{
	tick_start(vsp_channel_priv(ch));
}

const struct vsp_ops null_ops = {
	.name = "null",
	.class_id = NULL_CLASS_GUID,
	.offer_flags = VMBUS_OFFER_ENUMERATE_DEVICE,
	.interrupts = VSP_INTERRUPTS_MODERATED,
	.device_size = sizeof(struct null_device),
	.channel_size = sizeof(struct null_channel),
	.packet_max = sizeof(struct vmbus_pkt_desc) + NULL_PAYLOAD_MAX,
	.request_classes = NULL_CLASSES,
	.create = null_create,
	.destroy = null_destroy,
	.request_class = null_request_class,
	.open = null_open,
	.packet = null_packet,
	.stop = null_stop,
	.pause = null_pause,
	.resume = null_resume,
};
