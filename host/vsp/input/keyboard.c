/* SPDX-License-Identifier: MIT */
#include "vsp/input/keyboard.h"

#include <errno.h>
#include <string.h>

#include "base/counter.h"
#include "base/inspect.h"
#include "vsp/input/queue.h"

const struct hv_guid keyboard_instance = KEYBOARD_INSTANCE;

/* What goes down must find room to come up again: so much of the queue is for that. */
#define KEYS_DOWN_MAX 64u
#define KEYS          256u

struct keyboard_device {
	struct input_queue events;
	bool down[KEYS];
	uint32_t downs;
	uint64_t dropped;
};

/*
 *   CLOSED --open--> REQUEST --accepted--> READY --close--> CLOSED
 *                       ^ |                  |
 *                       | `-- refused -.     | request
 *                       `--------------'-----'
 */
struct keyboard_channel {
	struct input_channel events; /* first */
	struct vsp_out out;
	struct keyboard_response response;
	bool sending;
	uint64_t requests, leds, ignored; /* counters */
};

/* ---- keys (control) ------------------------------------------------------ */

static void push(struct keyboard_device *d, uint32_t code, uint32_t flags)
{
	const struct keyboard_event event = {
		.type = KEYBOARD_EVENT, .code = (uint16_t)code, .flags = flags};

	input_queue_push(&d->events, &event);
}

static bool drop(struct keyboard_device *d)
{
	d->dropped++;
	return false;
}

/* As a real one sends it, when the key goes down. */
static bool push_pause(struct keyboard_device *d)
{
	if (input_queue_room(&d->events) < KEYS_DOWN_MAX + 4)
		return drop(d);
	push(d, 0x1D, KEYBOARD_E1);
	push(d, 0x45, 0);
	push(d, 0x1D, KEYBOARD_E1 | KEYBOARD_BREAK);
	push(d, 0x45, KEYBOARD_BREAK);
	return true;
}

static bool press(struct keyboard_device *d, uint32_t key)
{
	bool again = d->down[key];

	if (input_queue_room(&d->events) <= KEYS_DOWN_MAX || (!again && d->downs == KEYS_DOWN_MAX))
		return drop(d);
	d->downs += !again;
	d->down[key] = true;
	push(d, key & ~KEYBOARD_KEY_E0, key & KEYBOARD_KEY_E0 ? KEYBOARD_E0 : 0);
	return true;
}

static bool release(struct keyboard_device *d, uint32_t key)
{
	if (!d->down[key])
		return true;
	d->down[key] = false;
	d->downs--;
	push(d, key & ~KEYBOARD_KEY_E0, KEYBOARD_BREAK | (key & KEYBOARD_KEY_E0 ? KEYBOARD_E0 : 0));
	return true;
}

bool keyboard_key(struct vsp_device *dev, uint32_t key, bool down)
{
	struct keyboard_device *d = vsp_device_priv(dev);

	ON_LOOP(vsp_device_control(dev));
	if (!input_queue_is_taken(&d->events))
		return drop(d);
	if (key == KEYBOARD_KEY_PAUSE)
		return down ? push_pause(d) : true;
	if (key >= KEYS || !(key & ~KEYBOARD_KEY_E0))
		return drop(d);
	return down ? press(d, key) : release(d, key);
}

bool keyboard_is_ready(struct vsp_device *dev)
{
	struct keyboard_device *d = vsp_device_priv(dev);

	return input_queue_is_taken(&d->events);
}

uint32_t keyboard_room(struct vsp_device *dev)
{
	struct keyboard_device *d = vsp_device_priv(dev);
	uint32_t room = input_queue_room(&d->events);

	return room > KEYS_DOWN_MAX ? (room - KEYS_DOWN_MAX) / 2 : 0;
}

bool keyboard_is_idle(struct vsp_device *dev)
{
	struct keyboard_device *d = vsp_device_priv(dev);

	return !d->events.count && !d->events.batched;
}

/* ---- the guest's messages ------------------------------------------------ */

static void response_sent(struct vsp_channel *ch, struct vsp_out *out)
{
	struct keyboard_channel *c = vsp_channel_priv(ch);

	c->sending = false;
	counter_set(&c->events.ready, c->response.status == KEYBOARD_ACCEPTED);
	vsp_channel_resume(ch);
}

static void on_request(struct keyboard_channel *c, const struct keyboard_request *m)
{
	counter_add(&c->requests, 1);
	c->response = (struct keyboard_response){
		.type = KEYBOARD_PROTOCOL_RESPONSE,
		.status = m->version == KEYBOARD_VERSION ? KEYBOARD_ACCEPTED : 0,
	};
	c->sending = true;
	c->out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_INBAND,
			.payload = {&c->response, sizeof(c->response)}},
		.sent = response_sent,
	};
	vsp_send(c->events.ch, &c->out);
}

/* Linux asks for a completion and does not wait for it; others complain about one. */
static int packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt)
{
	struct keyboard_channel *c = vsp_channel_priv(ch);
	const struct keyboard_request *m = (const void *)pkt->payload;

	if (c->sending)
		return -EAGAIN;
	if (pkt->desc.type != VMBUS_PKT_INBAND || pkt->payload_len < sizeof(*m))
		counter_add(&c->ignored, 1);
	else if (m->type == KEYBOARD_PROTOCOL_REQUEST)
		on_request(c, m);
	else if (m->type == KEYBOARD_LEDS)
		counter_add(&c->leds, 1);
	else
		counter_add(&c->ignored, 1);
	return 0;
}

/* ---- life ---------------------------------------------------------------- */

static int create(struct vsp_device *dev, const void *config, struct err *e)
{
	struct keyboard_device *d = vsp_device_priv(dev);

	input_queue_init(&d->events, dev, sizeof(struct keyboard_event));
	return 0;
}

static void destroy(struct vsp_device *dev)
{
	struct keyboard_device *d = vsp_device_priv(dev);

	input_queue_fini(&d->events);
}

/* Another driver, for which no key is down. */
static void prepare(struct vsp_channel *ch)
{
	struct keyboard_device *d = vsp_device_priv(vsp_channel_device(ch));

	input_queue_clear(&d->events);
	memset(d->down, 0, sizeof(d->down));
	d->downs = 0;
}

static int open_channel(struct vsp_channel *ch)
{
	input_channel_open(vsp_channel_priv(ch), ch);
	return 0;
}

static void inspect(struct vsp_device *dev, struct inspect *i)
{
	struct keyboard_device *d = vsp_device_priv(dev);

	inspect_u64(i, "keys_down", d->downs);
	inspect_u64(i, "events_waiting", d->events.count);
	inspect_u64(i, "keys_dropped", d->dropped);
}

static void inspect_channel(struct vsp_channel *ch, struct inspect *i)
{
	struct keyboard_channel *c = vsp_channel_priv(ch);

	inspect_text(i, "state", counter_get(&c->events.ready) ? "ready" : "negotiating");
	inspect_u64(i, "requests", counter_get(&c->requests));
	inspect_u64(i, "leds", counter_get(&c->leds));
	inspect_u64(i, "ignored", counter_get(&c->ignored));
}

const struct vsp_ops keyboard_ops = {
	.name = "keyboard",
	.class_id = KEYBOARD_CLASS,
	.interrupts = VSP_INTERRUPTS_PLAIN,
	.device_size = sizeof(struct keyboard_device),
	.channel_size = sizeof(struct keyboard_channel),
	.packet_max = 256,
	.create = create,
	.destroy = destroy,
	.prepare = prepare,
	.open = open_channel,
	.packet = packet,
	.stop = input_channel_stop,
	.pause = input_channel_pause,
	.resume = input_channel_resume,
	.inspect = inspect,
	.inspect_channel = inspect_channel,
};
