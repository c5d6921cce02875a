/* SPDX-License-Identifier: MIT */
#include "vsp/video/video.h"

#include <string.h>

#include "hv/ic_reg.h"
#include "vsp/video/video_impl.h"

const struct hv_guid video_instance = VIDEO_INSTANCE;

/* ---- what the guest is asked for ----------------------------------------- */

static void feature_sent(struct vsp_channel *ch, struct vsp_out *out)
{
	struct video_channel *c = vsp_channel_priv(ch);

	c->feature_sending = false;
	if (c->feature_again)
		video_send_feature(c);
}

void video_send_feature(struct video_channel *c)
{
	c->feature_again = c->feature_sending || c->paused;
	if (c->feature_again || c->stopping || c->state != VIDEO_RUNNING)
		return;
	c->feature = (struct video_feature_change){
		.header = {{PIPE_DATA, sizeof(c->feature) - sizeof(struct pipe_header)},
			VIDEO_FEATURE_CHANGE, sizeof(c->feature) - sizeof(struct pipe_header)},
		.dirt = video_device_of(c)->watch,
		.situation = true,
	};
	c->feature_sending = true;
	c->feature_out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_INBAND, .payload = {&c->feature, sizeof(c->feature)}},
		.sent = feature_sent,
	};
	vsp_send(c->ch, &c->feature_out);
}

static void watch_on_io_thread(struct vsp_call *call)
{
	struct video_channel *c = vsp_channel_priv(call->ch);

	if (c->ch)
		video_send_feature(c);
	vsp_call_done(call);
}

static void call_channel(struct vsp_device *dev);

/* The channel of this call may be gone by now; another may be open. */
static void watch_done(struct vsp_call *call)
{
	struct vsp_device *dev = vsp_channel_device(call->ch);
	struct video_device *d = vsp_device_priv(dev);

	d->calling = false;
	if (d->call_again)
		call_channel(dev);
}

static void call_channel(struct vsp_device *dev)
{
	struct video_device *d = vsp_device_priv(dev);
	struct vsp_channel *ch = vsp_device_primary(dev);

	d->call_again = d->calling;
	if (d->calling || !ch)
		return;
	d->calling = true;
	vsp_channel_call(ch, &d->call, watch_on_io_thread, watch_done);
}

void video_watch(struct vsp_device *dev, bool watch)
{
	struct video_device *d = vsp_device_priv(dev);

	ON_LOOP(vsp_device_control(dev));
	if (d->watch == watch)
		return;
	d->watch = watch;
	call_channel(dev);
}

/* ---- state (control) ----------------------------------------------------- */

static const char *state_name(enum video_state state)
{
	static const char *const names[] = {
		[VIDEO_CLOSED] = "closed",
		[VIDEO_VERSION] = "negotiating",
		[VIDEO_CHOSEN] = "negotiating",
		[VIDEO_MAPPING] = "mapping",
		[VIDEO_RUNNING] = "running",
	};

	return names[state];
}

const char *video_state(struct vsp_device *dev)
{
	struct vsp_channel *ch = vsp_device_primary(dev);
	struct video_channel *c = ch ? vsp_channel_priv(ch) : NULL;
	enum video_state state = VIDEO_CLOSED;

	ON_LOOP(vsp_device_control(dev));
	if (c)
		state = counter_get(&c->state);
	return state_name(state);
}

static void inspect_channel(struct vsp_channel *ch, struct inspect *i)
{
	struct video_channel *c = vsp_channel_priv(ch);
	uint32_t version = counter_get(&c->version);

	inspect_text(i, "state", state_name(counter_get(&c->state)));
	inspect_u64(i, "version_major", VIDEO_VERSION_MAJOR(version));
	inspect_u64(i, "version_minor", VIDEO_VERSION_MINOR(version));
	inspect_u64(i, "gpa", counter_get(&c->gpa));
	inspect_u64(i, "width", counter_get(&c->width));
	inspect_u64(i, "height", counter_get(&c->height));
	inspect_u64(i, "modes", counter_get(&c->modes));
	inspect_u64(i, "dirts", counter_get(&c->dirts));
	inspect_u64(i, "ignored", counter_get(&c->ignored));
	inspect_u64(i, "refused", counter_get(&c->refused));
}

/* ---- life ---------------------------------------------------------------- */

static int create(struct vsp_device *dev, const void *config, struct err *e)
{
	struct video_device *d = vsp_device_priv(dev);

	d->config = *(const struct video_config *)config;
	return 0;
}

static void offer(struct vsp_device *dev, struct vsp_offer_params *params)
{
	struct video_device *d = vsp_device_priv(dev);

	params->user[0] = VMBUS_PIPE_MODE_MESSAGE;
	params->mmio_megabytes = (uint16_t)d->config.megabytes;
}

static void request_class(struct vsp_device *dev, uint32_t number, struct vsp_request_class *class)
{
	static const struct vsp_request_class classes[VIDEO_CLASSES] = {
		[VIDEO_REPLY] = {.size = sizeof(struct video_reply), .count = VIDEO_REPLIES},
		[VIDEO_MAP] = {.size = sizeof(struct video_map), .count = 1},
	};

	*class = classes[number];
}

static int open_channel(struct vsp_channel *ch)
{
	struct video_channel *c = vsp_channel_priv(ch);

	c->ch = ch;
	counter_set(&c->state, VIDEO_VERSION);
	return 0;
}

/* The memory stays where it is: UEFI and kernels that come by kexec draw on. */
static void stop(struct vsp_channel *ch)
{
	struct video_channel *c = vsp_channel_priv(ch);

	const struct video_config *config = &video_device_of(c)->config;

	c->stopping = true;
	counter_set(&c->state, VIDEO_CLOSED);
	config->closed(config->ctx);
}

static void pause_channel(struct vsp_channel *ch)
{
	struct video_channel *c = vsp_channel_priv(ch);

	c->paused = true;
}

static void resume_channel(struct vsp_channel *ch)
{
	struct video_channel *c = vsp_channel_priv(ch);

	c->paused = false;
	if (c->feature_again)
		video_send_feature(c);
}

const struct vsp_ops video_ops = {
	.name = "video",
	.class_id = VIDEO_CLASS,
	.offer_flags = VMBUS_OFFER_NAMED_PIPE,
	.interrupts = VSP_INTERRUPTS_PLAIN,
	.device_size = sizeof(struct video_device),
	.channel_size = sizeof(struct video_channel),
	.packet_max = sizeof(struct vmbus_pkt_desc) + VIDEO_PACKET_MAX,
	.request_classes = VIDEO_CLASSES,
	.create = create,
	.offer = offer,
	.request_class = request_class,
	.open = open_channel,
	.packet = video_packet,
	.stop = stop,
	.pause = pause_channel,
	.resume = resume_channel,
	.inspect_channel = inspect_channel,
};
