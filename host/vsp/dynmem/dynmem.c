/* SPDX-License-Identifier: MIT */
#include "vsp/dynmem/dynmem.h"

#include <errno.h>
#include <string.h>

#include "vsp/dynmem/dynmem_impl.h"

const struct hv_guid dynmem_instance = DM_INSTANCE;

/* Pages that are released at once: the guest's ring holds about three messages. */
#define RELEASES 4u

/* ---- what is known ------------------------------------------------------- */

/* Any thread. Without the state of a channel. */
static void device_view(const struct vsp_device *dev, struct dynmem_view *v)
{
	struct dynmem_device *d = vsp_device_priv((struct vsp_device *)dev);
	const struct gmem *g = vsp_device_gmem(dev);

	*v = (struct dynmem_view){
		.min = d->config.min,
		.max = d->config.max,
		.buffer = d->config.buffer,
		.wanted = d->wanted,
		.ram = g->low_size + g->high_size + d->accepted,
		.out = gmem_pages_out(g) * GMEM_PAGE_SIZE,
	};
}

/* Memory that stays offline is of no use: only a user's wish adds more. */
static bool may_add(struct dynmem_channel *c, const struct dynmem_view *v)
{
	enum dynmem_adding adding = counter_get(&c->adding);

	return adding == DYNMEM_ADD_POSSIBLE || (adding == DYNMEM_ADD_OFFLINE && v->wanted);
}

/* Any thread. */
static void view_report(struct dynmem_channel *c, struct dynmem_view *v)
{
	v->reported = counter_get(&c->reported);
	v->committed = counter_get(&c->committed);
	v->offline = counter_get(&c->offline);
}

void dynmem_channel_view(struct dynmem_channel *c, struct dynmem_view *v)
{
	device_view(vsp_channel_device(c->ch), v);
	view_report(c, v);
	v->can_take = c->can_take;
	v->alignment = may_add(c, v) && !c->clear && !c->tidying ? c->alignment : 0;
}

/* ---- the user's wish (control) ------------------------------------------- */

/* A guest that gave too little is asked at once. */
static void wish_changed(struct dynmem_channel *c)
{
	if (c->shortfalls)
		c->take_after_ns = 0;
	c->shortfalls = 0;
	dynmem_step(c);
}

static void wish_on_io_thread(struct vsp_call *call)
{
	struct dynmem_channel *c = vsp_channel_priv(call->ch);

	if (c->ch && !c->stopping)
		wish_changed(c);
	vsp_call_done(call);
}

static void call_channel(struct vsp_device *dev);

/* The channel of this call may be gone by now; another may be open. */
static void wish_done(struct vsp_call *call)
{
	struct vsp_device *dev = vsp_channel_device(call->ch);
	struct dynmem_device *d = vsp_device_priv(dev);

	d->calling = false;
	if (d->call_again)
		call_channel(dev);
}

static void call_channel(struct vsp_device *dev)
{
	struct dynmem_device *d = vsp_device_priv(dev);
	struct vsp_channel *ch = vsp_device_primary(dev);

	d->call_again = d->calling;
	if (d->calling || !ch)
		return;
	d->calling = true;
	vsp_channel_call(ch, &d->call, wish_on_io_thread, wish_done);
}

void dynmem_set_wanted(struct vsp_device *dev, uint64_t bytes)
{
	struct dynmem_device *d = vsp_device_priv(dev);

	ON_LOOP(vsp_device_control(dev));
	d->wanted = bytes;
	call_channel(dev);
}

/* ---- state (control) ----------------------------------------------------- */

static const char *state_name(enum dynmem_state state)
{
	static const char *const names[] = {
		[DYNMEM_CLOSED] = "closed",
		[DYNMEM_VERSION] = "negotiating",
		[DYNMEM_CAPABILITIES] = "negotiating",
		[DYNMEM_IDLE] = "idle",
		[DYNMEM_TAKING] = "taking",
		[DYNMEM_GIVING] = "giving",
		[DYNMEM_MAPPING] = "adding",
		[DYNMEM_ADDING] = "adding",
	};

	return names[state];
}

static const char *adding_name(enum dynmem_adding adding)
{
	static const char *const names[] = {
		[DYNMEM_ADD_POSSIBLE] = "possible",
		[DYNMEM_ADD_UNSUPPORTED] = "not supported",
		[DYNMEM_ADD_REFUSED] = "refused",
		[DYNMEM_ADD_OFFLINE] = "offline",
	};

	return names[adding];
}

static void fill_status(struct dynmem_channel *c, struct dynmem_status *status)
{
	status->state = state_name(counter_get(&c->state));
	status->adding = adding_name(counter_get(&c->adding));
	status->available = counter_get(&c->available);
}

void dynmem_status(struct vsp_device *dev, struct dynmem_status *status)
{
	struct vsp_channel *ch = vsp_device_primary(dev);
	struct dynmem_device *d = vsp_device_priv(dev);
	struct dynmem_view v;

	ON_LOOP(vsp_device_control(dev));
	*status = (struct dynmem_status){
		.state = state_name(DYNMEM_CLOSED),
		.adding = adding_name(DYNMEM_ADD_POSSIBLE),
	};
	device_view(dev, &v);
	if (ch) {
		view_report(vsp_channel_priv(ch), &v);
		fill_status(vsp_channel_priv(ch), status);
	}
	status->granted = dynmem_granted(&v);
	status->target = dynmem_target(&v);
	status->added = d->accepted;
	status->out = v.out;
	status->reported = v.reported;
	status->committed = v.committed;
}

static void inspect_channel(struct vsp_channel *ch, struct inspect *i)
{
	struct dynmem_channel *c = vsp_channel_priv(ch);

	inspect_text(i, "state", state_name(counter_get(&c->state)));
	inspect_text(i, "adding", adding_name(counter_get(&c->adding)));
	inspect_u64(i, "taken_pages", counter_get(&c->taken));
	inspect_u64(i, "given_pages", counter_get(&c->given));
	inspect_u64(i, "held_pages", counter_get(&c->held));
	inspect_u64(i, "statuses", counter_get(&c->statuses));
	inspect_u64(i, "out_of_order", counter_get(&c->out_of_order));
	inspect_u64(i, "release_errors", counter_get(&c->release_errors));
}

/* ---- life ---------------------------------------------------------------- */

static int create(struct vsp_device *dev, const void *config, struct err *e)
{
	struct dynmem_device *d = vsp_device_priv(dev);

	d->config = *(const struct dynmem_config *)config;
	return 0;
}

static void request_class(struct vsp_device *dev, uint32_t number, struct vsp_request_class *class)
{
	static const struct vsp_request_class classes[DYNMEM_CLASSES] = {
		[DYNMEM_RELEASE] = {.size = sizeof(struct dynmem_release), .count = RELEASES},
		[DYNMEM_MAP] = {.size = sizeof(struct dynmem_map), .count = 1},
		[DYNMEM_TIDY] = {.size = sizeof(struct dynmem_tidy), .count = 1},
	};

	*class = classes[number];
}

/* A kernel that comes by kexec has the RAM that the host booted with: what was added is mapped, but
 * is added anew. Until then the host has it back; unless a kernel was started to dump it. */
static void prepare(struct vsp_channel *ch)
{
	struct vsp_device *dev = vsp_channel_device(ch);
	struct dynmem_channel *c = vsp_channel_priv(ch);
	struct dynmem_device *d = vsp_device_priv(dev);
	uint64_t contacts = vsp_device_contacts(dev);

	if (contacts != d->contacts) {
		d->accepted = 0;
		c->clear = vsp_device_gmem(dev)->added_size &&
			   !(d->config.is_dump && d->config.is_dump(d->config.ctx));
	}
	d->contacts = contacts;
	c->ready = !d->config.is_ready || d->config.is_ready(d->config.ctx);
}

static int open_channel(struct vsp_channel *ch)
{
	struct dynmem_channel *c = vsp_channel_priv(ch);

	c->ch = ch;
	counter_set(&c->state, DYNMEM_VERSION);
	return 0;
}

static void stop(struct vsp_channel *ch)
{
	struct dynmem_channel *c = vsp_channel_priv(ch);

	c->stopping = true;
	loop_timer_cancel(&c->timer);
	counter_set(&c->state, DYNMEM_CLOSED);
}

/* Nothing is released any more. */
static void close_channel(struct vsp_channel *ch)
{
	gmem_pages_give_all(vsp_device_gmem(vsp_channel_device(ch)));
}

static void pause_channel(struct vsp_channel *ch)
{
	struct dynmem_channel *c = vsp_channel_priv(ch);

	c->paused = true;
	loop_timer_cancel(&c->timer);
}

static void resume_channel(struct vsp_channel *ch)
{
	struct dynmem_channel *c = vsp_channel_priv(ch);

	c->paused = false;
	dynmem_step(c);
}

const struct vsp_ops dynmem_ops = {
	.name = "dynamic memory",
	.class_id = DM_CLASS,
	.offer_flags = VMBUS_OFFER_ENUMERATE_DEVICE,
	.interrupts = VSP_INTERRUPTS_PLAIN,
	.device_size = sizeof(struct dynmem_device),
	.channel_size = sizeof(struct dynmem_channel),
	.packet_max = sizeof(struct vmbus_pkt_desc) + DM_MESSAGE_MAX,
	.request_classes = DYNMEM_CLASSES,
	.create = create,
	.request_class = request_class,
	.prepare = prepare,
	.open = open_channel,
	.packet = dynmem_packet,
	.stop = stop,
	.close = close_channel,
	.pause = pause_channel,
	.resume = resume_channel,
	.inspect_channel = inspect_channel,
};
