/* SPDX-License-Identifier: MIT */
/* The guest's messages: copied once by the core, checked here, then used. What is wrong is counted
 * and ignored, as it only concerns the guest's own picture; a request has exactly one answer, since
 * Linux takes a late or doubled one for the answer to its next request. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "vsp/video/video_impl.h"

/* Each stalls all VPs for a moment. */
#define MOVES_PER_SECOND 4u
#define SECOND_NS        1000000000ull

/* Linux offers its user all modes up to the largest width and height of these. The preferred one is
 * in front. */
static const struct video_resolution resolutions[] = {
	{800, 600},
	{1024, 768},
	{1280, 720},
	{1280, 1024},
	{1600, 900},
	{1920, 1080},
};

#define RESOLUTIONS (sizeof(resolutions) / sizeof(resolutions[0]))

/* ---- answers ------------------------------------------------------------- */

/* All zero. There is one: video_packet() has seen to it. */
static struct video_reply *reply_new(struct video_channel *c)
{
	struct video_reply *r = vsp_request_get(c->ch, VIDEO_REPLY);

	assert(r);
	memset(r, 0, sizeof(*r));
	return r;
}

static void reply_send(
	struct video_channel *c, struct video_reply *r, enum video_type type, uint32_t size)
{
	uint32_t length = size - (uint32_t)sizeof(struct pipe_header);

	r->message.header = (struct video_header){{PIPE_DATA, length}, type, length};
	r->out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_INBAND, .payload = {&r->message, size}},
		.request = r,
	};
	vsp_send(c->ch, &r->out);
}

static void acknowledge(struct video_channel *c, enum video_type type, uint64_t context)
{
	struct video_reply *r = reply_new(c);

	r->message.ack.context = context;
	reply_send(c, r, type, sizeof(r->message.ack));
}

static void ignore(struct video_channel *c)
{
	counter_add(&c->ignored, 1);
}

/* ---- the beginning ------------------------------------------------------- */

static void on_version(struct video_channel *c, const void *message, uint32_t len)
{
	const struct video_version_request *m = message;
	struct video_reply *r = reply_new(c);
	uint32_t minor = VIDEO_VERSION_MINOR(m->version);
	bool known = VIDEO_VERSION_MAJOR(m->version) == VIDEO_MAJOR && minor >= VIDEO_MINOR_MIN &&
		     minor <= VIDEO_MINOR_MAX;

	r->message.version.version = m->version;
	r->message.version.accepted = known ? VIDEO_ACCEPTED : 0;
	r->message.version.outputs = 1;
	counter_set(&c->version, known ? m->version : 0);
	counter_set(&c->state, known ? VIDEO_CHOSEN : VIDEO_VERSION);
	reply_send(c, r, VIDEO_VERSION_RESPONSE, sizeof(r->message.version));
}

static uint8_t preferred(const struct video_config *config)
{
	for (uint8_t i = 0; i < RESOLUTIONS; i++)
		if (resolutions[i].width == config->width &&
			resolutions[i].height == config->height)
			return i;
	return 1;
}

/* The guest says for how many it has room; Linux for 64. */
static void on_resolutions(struct video_channel *c, const void *message, uint32_t len)
{
	struct video_reply *r = reply_new(c);

	r->message.resolutions.count = RESOLUTIONS;
	r->message.resolutions.preferred = preferred(&video_device_of(c)->config);
	memcpy(r->message.resolutions.list, resolutions, sizeof(resolutions));
	reply_send(c, r, VIDEO_RESOLUTION_RESPONSE,
		sizeof(r->message.resolutions) + sizeof(resolutions));
}

static void on_bios_info(struct video_channel *c, const void *message, uint32_t len)
{
	struct video_reply *r = reply_new(c);

	r->message.bios.stop_supported = 1;
	reply_send(c, r, VIDEO_BIOS_INFO_RESPONSE, sizeof(r->message.bios));
}

static void on_capabilities(struct video_channel *c, const void *message, uint32_t len)
{
	reply_send(c, reply_new(c), VIDEO_CAPABILITY_RESPONSE, sizeof(struct video_capabilities));
}

/* ---- video memory -------------------------------------------------------- */

/* The guest may write as soon as it has the answer, so the memory is there before. The answer to a
 * location that is refused has another context: hyperv_fb fails, hyperv_drm says so. */
static void located(struct video_channel *c, uint64_t gpa, uint64_t context, int error)
{
	if (error) {
		log_guest("video: the guest wants its memory at %#llx: %s", (unsigned long long)gpa,
			strerror(-error));
		counter_add(&c->refused, 1);
	} else {
		counter_set(&c->gpa, gpa);
	}
	counter_set(&c->state, error ? VIDEO_CHOSEN : VIDEO_RUNNING);
	acknowledge(c, VIDEO_VRAM_ACK, error ? ~context : context);
	video_send_feature(c);
}

static void map_run(struct blocking_call *call)
{
	struct video_map *m = container_of(call, struct video_map, call);
	struct video_device *d = vsp_device_priv(vsp_channel_device(m->ch));

	m->error = d->config.map(d->config.ctx, m->gpa);
}

static void map_done(struct blocking_call *call)
{
	struct video_map *m = container_of(call, struct video_map, call);
	struct vsp_channel *ch = m->ch;
	struct video_channel *c = vsp_channel_priv(ch);
	struct video_map done = *m;

	if (!c->stopping)
		located(c, done.gpa, done.context, done.error);
	vsp_request_put(ch, m);
}

static bool may_move(struct video_device *d)
{
	uint64_t now = loop_now_ns();

	if (now - d->moves_since > SECOND_NS) {
		d->moves_since = now;
		d->moves = 0;
	}
	return d->moves++ < MOVES_PER_SECOND;
}

static int map_start(struct video_channel *c, uint64_t gpa, uint64_t context)
{
	struct video_map *m;
	int ret;

	if (!may_move(video_device_of(c)))
		return -EBUSY;
	m = vsp_request_get(c->ch, VIDEO_MAP);
	assert(m); /* one at a time, as the state says */
	*m = (struct video_map){.call = {.run = map_run, .done = map_done},
		.ch = c->ch,
		.gpa = gpa,
		.context = context};
	counter_set(&c->state, VIDEO_MAPPING);
	ret = blocking_start(&m->call, vsp_channel_loop(c->ch));
	if (ret)
		vsp_request_put(c->ch, m);
	return ret;
}

/* Without an address the guest gives the memory up; it stays, which does no harm. */
static void on_location(struct video_channel *c, const void *message, uint32_t len)
{
	const struct video_vram_location *m = message;
	uint64_t gpa = m->gpa, context = m->context;
	int ret;

	if (!m->given) {
		acknowledge(c, VIDEO_VRAM_ACK, context);
		return;
	}
	ret = c->gpa && c->gpa == gpa ? 0 : map_start(c, gpa, context);
	if (ret || c->state != VIDEO_MAPPING)
		located(c, gpa, context, ret);
}

/* ---- the picture --------------------------------------------------------- */

/* Whether the mode is active does not matter: UEFI says no and draws. */
static void on_situation(struct video_channel *c, const void *message, uint32_t len)
{
	const struct video_situation *m = message;
	const struct video_config *config = &video_device_of(c)->config;
	const struct picture_mode mode = {m->offset, m->width, m->height, m->pitch};

	if (m->outputs && m->depth == VIDEO_DEPTH &&
		picture_mode_is_valid(&mode, (uint64_t)config->megabytes << 20)) {
		counter_set(&c->width, mode.width);
		counter_set(&c->height, mode.height);
		counter_add(&c->modes, 1);
		config->mode(config->ctx, &mode);
	} else {
		ignore(c);
	}
	acknowledge(c, VIDEO_SITUATION_ACK, m->context);
}

static uint32_t clip(int32_t value)
{
	if (value < 0)
		return 0;
	return value > (int32_t)PICTURE_SIDE_MAX ? PICTURE_SIDE_MAX : (uint32_t)value;
}

/* One rectangle around all of them: who shows the picture compares, and finds what changed. */
static void on_dirt(struct video_channel *c, const void *message, uint32_t len)
{
	const struct video_config *config = &video_device_of(c)->config;
	const struct video_dirt *m = message;
	struct picture_rect all = {PICTURE_SIDE_MAX, PICTURE_SIDE_MAX, 0, 0};

	if (len < sizeof(*m) + m->count * sizeof(struct video_rectangle)) {
		ignore(c);
		return;
	}
	counter_add(&c->dirts, 1);
	for (uint32_t i = 0; i < m->count; i++) {
		struct video_rectangle r;

		memcpy(&r, (const uint8_t *)(m + 1) + i * sizeof(r), sizeof(r));
		if (clip(r.left) >= clip(r.right) || clip(r.top) >= clip(r.bottom))
			continue;
		all.left = clip(r.left) < all.left ? clip(r.left) : all.left;
		all.top = clip(r.top) < all.top ? clip(r.top) : all.top;
		all.right = clip(r.right) > all.right ? clip(r.right) : all.right;
		all.bottom = clip(r.bottom) > all.bottom ? clip(r.bottom) : all.bottom;
	}
	if (all.left < all.right && all.top < all.bottom)
		config->dirt(config->ctx, &all);
}

/* Linux only hides the pointer, and sends it again whenever it is asked for dirt. */
static void on_pointer(struct video_channel *c, const void *message, uint32_t len)
{
}

/* ---- the table ----------------------------------------------------------- */

#define STATE(name) (1u << VIDEO_##name)
#define NEGOTIATED  (STATE(CHOSEN) | STATE(RUNNING))

static const struct {
	uint32_t type;
	uint32_t size;   /* at least */
	uint32_t states; /* in which it means something */
	void (*take)(struct video_channel *c, const void *message, uint32_t len);
} messages[] = {
	{VIDEO_VERSION_REQUEST, sizeof(struct video_version_request), STATE(VERSION) | NEGOTIATED,
		on_version},
	{VIDEO_RESOLUTION_REQUEST, sizeof(struct video_header) + 1, NEGOTIATED, on_resolutions},
	{VIDEO_BIOS_INFO_REQUEST, sizeof(struct video_header), NEGOTIATED, on_bios_info},
	{VIDEO_CAPABILITY_REQUEST, sizeof(struct video_header), NEGOTIATED, on_capabilities},
	{VIDEO_VRAM_LOCATION, sizeof(struct video_vram_location), NEGOTIATED, on_location},
	{VIDEO_SITUATION, sizeof(struct video_situation), STATE(RUNNING), on_situation},
	{VIDEO_DIRT, sizeof(struct video_dirt), STATE(RUNNING), on_dirt},
	{VIDEO_POINTER_POSITION, sizeof(struct video_header), NEGOTIATED, on_pointer},
	{VIDEO_POINTER_SHAPE, sizeof(struct video_header), NEGOTIATED, on_pointer},
};

static void take_message(struct video_channel *c, const struct video_header *h, uint32_t len)
{
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		if (messages[i].type != h->type || len < messages[i].size ||
			!(messages[i].states >> c->state & 1))
			continue;
		messages[i].take(c, h, len);
		return;
	}
	ignore(c);
}

/* A message is as long as its pipe header says; the packet may be padded. */
int video_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt)
{
	struct video_channel *c = vsp_channel_priv(ch);
	const struct video_header *h = (const void *)pkt->payload;

	if (c->state == VIDEO_MAPPING || vsp_requests_in_use(ch, VIDEO_REPLY) >= VIDEO_REPLIES)
		return -EAGAIN;
	if (pkt->desc.type != VMBUS_PKT_INBAND || pkt->payload_len < sizeof(*h) ||
		h->pipe.type != PIPE_DATA ||
		h->pipe.length < sizeof(*h) - sizeof(struct pipe_header) ||
		h->pipe.length > pkt->payload_len - sizeof(struct pipe_header)) {
		ignore(c);
		return 0;
	}
	take_message(c, h, h->pipe.length + (uint32_t)sizeof(struct pipe_header));
	return 0;
}
