/* SPDX-License-Identifier: MIT */
#include "vsp/input/mouse.h"

#include <errno.h>
#include <string.h>

#include "base/counter.h"
#include "base/inspect.h"
#include "hv/ic_reg.h"
#include "vsp/input/queue.h"

const struct hv_guid mouse_instance = MOUSE_INSTANCE;

/* Each line is one item. The byte at offset 14 is not 0x25, which Linux would change. */
static const uint8_t report_descriptor[] = {
	0x05, 0x01,       /* usage page: generic desktop */
	0x09, 0x02,       /* usage: mouse */
	0xA1, 0x01,       /* collection: application */
	0x09, 0x01,       /*  usage: pointer */
	0xA1, 0x00,       /*  collection: physical */
	0x05, 0x09,       /*   usage page: buttons */
	0x19, 0x01,       /*   usage minimum: 1 */
	0x29, 0x05,       /*   usage maximum: 5 */
	0x15, 0x00,       /*   logical minimum: 0 */
	0x25, 0x01,       /*   logical maximum: 1 */
	0x75, 0x01,       /*   report size: 1 bit */
	0x95, 0x05,       /*   report count: 5 */
	0x81, 0x02,       /*   input: data, variable, absolute */
	0x75, 0x03,       /*   report size: 3 bits */
	0x95, 0x01,       /*   report count: 1 */
	0x81, 0x03,       /*   input: constant */
	0x05, 0x01,       /*   usage page: generic desktop */
	0x09, 0x30,       /*   usage: X */
	0x09, 0x31,       /*   usage: Y */
	0x15, 0x00,       /*   logical minimum: 0 */
	0x26, 0xFF, 0x7F, /*   logical maximum: 32767 */
	0x75, 0x10,       /*   report size: 16 bits */
	0x95, 0x02,       /*   report count: 2 */
	0x81, 0x02,       /*   input: data, variable, absolute */
	0x09, 0x38,       /*   usage: wheel */
	0x16, 0x01, 0x80, /*   logical minimum: -32767 */
	0x26, 0xFF, 0x7F, /*   logical maximum: 32767 */
	0x75, 0x10,       /*   report size: 16 bits */
	0x95, 0x01,       /*   report count: 1 */
	0x81, 0x06,       /*   input: data, variable, relative */
	0xC0,             /*  end */
	0xC0,             /* end */
};

#define DEVICE_INFO_SIZE (sizeof(struct mouse_device_info) + sizeof(report_descriptor))

struct mouse_device {
	struct input_queue events;
	uint64_t dropped;
};

/*
 *   CLOSED --open--> REQUEST --accepted--> INFO --its acknowledgement--> READY --close--> CLOSED
 *                      ^  ^                 |                             |
 *                      |  `---- request ----'-----------------------------'
 *                      `-- refused
 */
enum mouse_state { MOUSE_CLOSED, MOUSE_REQUEST, MOUSE_INFO, MOUSE_READY };

struct mouse_channel {
	struct input_channel events; /* first */
	enum mouse_state state;      /* counter */
	struct vsp_out response_out, info_out;
	/* Padding that is sent is zero: FreeBSD reads it. */
	_Alignas(8) uint8_t response[24];
	_Alignas(8) uint8_t info[(DEVICE_INFO_SIZE + 7) / 8 * 8];
	uint32_t sending;
	uint64_t requests, ignored; /* counters */
};

/* ---- reports (control) --------------------------------------------------- */

/* One that waits, moves no wheel and has the same buttons, gets the new place. */
static bool merge(struct mouse_device *d, const struct mouse_report *report)
{
	struct mouse_input *last = input_queue_last(&d->events);

	if (!last || last->report.buttons != report->buttons || last->report.wheel)
		return false;
	last->report = *report;
	return true;
}

/* A button that came up when the queue was full does not stay down. */
static void replace_last(struct mouse_device *d, const struct mouse_report *report)
{
	struct mouse_input *last = input_queue_last(&d->events);

	last->report = *report;
	d->dropped++;
}

bool mouse_move(struct vsp_device *dev, const struct mouse_report *report)
{
	struct mouse_device *d = vsp_device_priv(dev);
	const struct mouse_input input = {
		.header = {{PIPE_DATA, sizeof(input) - sizeof(struct pipe_header)},
			MOUSE_INPUT_REPORT, sizeof(input.report)},
		.report = *report,
	};

	ON_LOOP(vsp_device_control(dev));
	if (!input_queue_is_taken(&d->events)) {
		d->dropped++;
		return false;
	}
	if (!input_queue_room(&d->events)) {
		replace_last(d, report);
		return false;
	}
	if (!merge(d, report))
		input_queue_push(&d->events, &input);
	return true;
}

bool mouse_is_ready(struct vsp_device *dev)
{
	struct mouse_device *d = vsp_device_priv(dev);

	return input_queue_is_taken(&d->events);
}

/* ---- the guest's messages ------------------------------------------------ */

static void sent(struct vsp_channel *ch, struct vsp_out *out)
{
	struct mouse_channel *c = vsp_channel_priv(ch);

	if (!--c->sending)
		vsp_channel_resume(ch);
}

static void send_message(
	struct mouse_channel *c, struct vsp_out *out, const void *bytes, uint32_t size)
{
	c->sending++;
	*out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_INBAND, .payload = {bytes, size}},
		.sent = sent,
	};
	vsp_send(c->events.ch, out);
}

static struct mouse_header header(enum mouse_type type, size_t size)
{
	return (struct mouse_header){
		.pipe = {PIPE_DATA, (uint32_t)(size - sizeof(struct pipe_header))},
		.type = type,
		.size = (uint32_t)(size - sizeof(struct mouse_header)),
	};
}

static void send_info(struct mouse_channel *c)
{
	struct mouse_device_info *m = (void *)c->info;

	memset(c->info, 0, sizeof(c->info));
	m->header = header(MOUSE_DEVICE_INFO, DEVICE_INFO_SIZE);
	m->info_size = 32;
	m->vendor = MOUSE_VENDOR;
	m->product = MOUSE_PRODUCT;
	m->version = 1;
	m->length = 9;
	m->type = MOUSE_HID_DESCRIPTOR;
	m->hid_version = 0x0101;
	m->descriptors = 1;
	m->report_type = MOUSE_REPORT_DESCRIPTOR;
	m->report_size = sizeof(report_descriptor);
	memcpy(m->report_descriptor, report_descriptor, sizeof(report_descriptor));
	send_message(c, &c->info_out, c->info, sizeof(c->info));
}

static void on_request(struct mouse_channel *c, uint32_t version)
{
	struct mouse_response *m = (void *)c->response;
	bool known = version == MOUSE_VERSION;

	counter_add(&c->requests, 1);
	counter_set(&c->events.ready, false);
	memset(c->response, 0, sizeof(c->response));
	m->header = header(MOUSE_PROTOCOL_RESPONSE, sizeof(*m));
	m->version = version;
	m->approved = known;
	counter_set(&c->state, known ? MOUSE_INFO : MOUSE_REQUEST);
	send_message(c, &c->response_out, c->response, sizeof(c->response));
	if (known)
		send_info(c);
}

static void on_ack(struct mouse_channel *c)
{
	counter_set(&c->state, MOUSE_READY);
	counter_set(&c->events.ready, true);
}

static void take_message(struct mouse_channel *c, const struct mouse_header *h, uint32_t len)
{
	uint32_t version;

	if (h->type == MOUSE_PROTOCOL_REQUEST && len >= sizeof(struct mouse_request)) {
		memcpy(&version, h + 1, sizeof(version));
		on_request(c, version);
	} else if (h->type == MOUSE_DEVICE_INFO_ACK && c->state == MOUSE_INFO) {
		on_ack(c);
	} else {
		counter_add(&c->ignored, 1);
	}
}

/* No completions, as with the keyboard. */
static int packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt)
{
	struct mouse_channel *c = vsp_channel_priv(ch);
	const struct mouse_header *h = (const void *)pkt->payload;

	if (c->sending)
		return -EAGAIN;
	if (pkt->desc.type != VMBUS_PKT_INBAND || pkt->payload_len < sizeof(*h) ||
		h->pipe.type != PIPE_DATA || h->pipe.length < sizeof(*h) - sizeof(h->pipe) ||
		h->pipe.length > pkt->payload_len - sizeof(h->pipe))
		counter_add(&c->ignored, 1);
	else
		take_message(c, h, h->pipe.length + (uint32_t)sizeof(h->pipe));
	return 0;
}

/* ---- life ---------------------------------------------------------------- */

static int create(struct vsp_device *dev, const void *config, struct err *e)
{
	struct mouse_device *d = vsp_device_priv(dev);

	input_queue_init(&d->events, dev, sizeof(struct mouse_input));
	return 0;
}

static void destroy(struct vsp_device *dev)
{
	struct mouse_device *d = vsp_device_priv(dev);

	input_queue_fini(&d->events);
}

static void offer(struct vsp_device *dev, struct vsp_offer_params *params)
{
	params->user[0] = VMBUS_PIPE_MODE_MESSAGE;
}

static void prepare(struct vsp_channel *ch)
{
	struct mouse_device *d = vsp_device_priv(vsp_channel_device(ch));

	input_queue_clear(&d->events);
}

static int open_channel(struct vsp_channel *ch)
{
	struct mouse_channel *c = vsp_channel_priv(ch);

	input_channel_open(&c->events, ch);
	counter_set(&c->state, MOUSE_REQUEST);
	return 0;
}

static void stop(struct vsp_channel *ch)
{
	struct mouse_channel *c = vsp_channel_priv(ch);

	input_channel_stop(ch);
	counter_set(&c->state, MOUSE_CLOSED);
}

static void inspect(struct vsp_device *dev, struct inspect *i)
{
	struct mouse_device *d = vsp_device_priv(dev);

	inspect_u64(i, "events_waiting", d->events.count);
	inspect_u64(i, "events_dropped", d->dropped);
}

static void inspect_channel(struct vsp_channel *ch, struct inspect *i)
{
	static const char *const names[] = {"closed", "negotiating", "negotiating", "ready"};
	struct mouse_channel *c = vsp_channel_priv(ch);

	inspect_text(i, "state", names[counter_get(&c->state)]);
	inspect_u64(i, "requests", counter_get(&c->requests));
	inspect_u64(i, "ignored", counter_get(&c->ignored));
}

const struct vsp_ops mouse_ops = {
	.name = "mouse",
	.class_id = MOUSE_CLASS,
	.offer_flags = VMBUS_OFFER_NAMED_PIPE,
	.interrupts = VSP_INTERRUPTS_PLAIN,
	.device_size = sizeof(struct mouse_device),
	.channel_size = sizeof(struct mouse_channel),
	.packet_max = 256,
	.create = create,
	.destroy = destroy,
	.offer = offer,
	.prepare = prepare,
	.open = open_channel,
	.packet = packet,
	.stop = stop,
	.pause = input_channel_pause,
	.resume = input_channel_resume,
	.inspect = inspect,
	.inspect_channel = inspect_channel,
};
