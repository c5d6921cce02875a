/* SPDX-License-Identifier: MIT */
#include "tests/support/bus_rig.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "proto/vmbus_proto.h"
#include "tests/support/check.h"

/* ---- port ---------------------------------------------------------------- */

static int port_send(void *ctx, uint32_t vp, uint32_t sint, const void *bytes, uint32_t len)
{
	struct rig *rig = ctx;
	struct rig_msg msg = {.vp = vp, .sint = sint, .len = len};
	uint32_t type;

	check(vp < RIG_VPS && sint < 16 && len <= VMBUS_MESSAGE_SIZE_MAX);
	memcpy(msg.bytes, bytes, len);
	/* The version response comes without a connection, all else needs one that is new enough.
	 */
	check(vmbus_msg_check(bytes, len, VMBUS_H2G, VMBUS_VERSION_WIN10_V5_3, &type) ==
		VMBUS_CHECK_OK);
	check(len == vmbus_msg_info(type)->size_min && !msg.h.padding);
	check(type == VMBUS_MSG_VERSION_RESPONSE || type == VMBUS_MSG_UNLOAD_RESPONSE ||
		(bus_version(rig->bus) &&
			bus_version(rig->bus) >= vmbus_msg_info(type)->version_min));
	if (rig->port_full)
		return -ENOMEM;
	if (rig->on_sent) {
		rig->on_sent(rig, &msg);
		return 0;
	}
	if (rig->sent_end == rig->sent_size) {
		rig->sent_size = rig->sent_size ? 2 * rig->sent_size : 256;
		rig->sent = realloc(rig->sent, rig->sent_size * sizeof(rig->sent[0]));
		check(rig->sent);
	}
	rig->sent[rig->sent_end++] = msg;
	return 0;
}

static void port_flush(void *ctx)
{
	struct rig *rig = ctx;

	rig->flushes++;
	rig_forget_sent(rig);
}

static const struct bus_port_ops port_ops = {.send = port_send, .flush = port_flush};

/* ---- devices ------------------------------------------------------------- */

bool rig_dev_owes(const struct rig_dev *dev)
{
	return dev->state == DEV_OPENING || dev->state == DEV_RETARGETING ||
	       dev->state == DEV_CLOSING;
}

void rig_answer(struct rig_dev *dev, bool ok)
{
	enum rig_dev_state asked = dev->state;

	check(rig_dev_owes(dev));
	if (asked == DEV_CLOSING) {
		dev->state = DEV_CLOSED;
		bus_close_done(dev->chan);
	} else if (asked == DEV_OPENING) {
		dev->state = ok ? DEV_OPEN : DEV_CLOSED;
		bus_open_done(dev->chan, ok);
	} else {
		dev->state = DEV_OPEN;
		bus_retarget_done(dev->chan, ok);
	}
}

static struct rig_dev *dev_of(struct bus_channel *chan)
{
	struct rig_dev *dev = bus_channel_ctx(chan);

	/* chan itself is not known yet while bus_offer() runs. */
	check(!dev->chan || dev->chan == chan);
	dev->chan = chan;
	return dev;
}

/* Whether a sub-channel has not come as far as `state` (or released) yet. */
static bool subs_short_of(const struct rig_dev *primary, enum rig_dev_state state)
{
	list_for_each (pos, &primary->rig->devs) {
		struct rig_dev *dev = container_of(pos, struct rig_dev, link);

		if (dev->primary == primary && dev->state != state && dev->state != DEV_RELEASED)
			return true;
	}
	return false;
}

static void dev_open(struct bus_channel *chan, const struct bus_open_params *params)
{
	struct rig_dev *dev = dev_of(chan);

	check(dev->state == DEV_CLOSED);
	dev->state = DEV_OPENING;
	dev->opens++;
	dev->target_vp = params->target_vp;
	dev->downstream_page = params->downstream_page;
	gpadl_pfns(params->ring, &dev->ring_pages);
	check(gpadl_is_whole_pages(params->ring));
	check(params->downstream_page >= 2 && params->downstream_page + 2 <= dev->ring_pages);
	check(params->target_vp < RIG_VPS || params->target_vp == VMBUS_VP_NONE);
	memcpy(dev->user, params->user, sizeof(dev->user));
	if (dev->rig->answer_at_once)
		rig_answer(dev, !dev->rig->fail_opens);
}

static void dev_close(struct bus_channel *chan)
{
	struct rig_dev *dev = dev_of(chan);

	check(dev->state == DEV_OPEN && !subs_short_of(dev, DEV_CLOSED));
	dev->state = DEV_CLOSING;
	dev->closes++;
	if (dev->rig->answer_at_once)
		rig_answer(dev, true);
}

static void dev_retarget(struct bus_channel *chan, uint32_t target_vp)
{
	struct rig_dev *dev = dev_of(chan);

	check(dev->state == DEV_OPEN && target_vp < RIG_VPS);
	dev->state = DEV_RETARGETING;
	dev->retargets++;
	dev->target_vp = target_vp;
	if (dev->rig->answer_at_once)
		rig_answer(dev, true);
}

static void dev_teardown(struct bus_channel *chan, struct gpadl *gpadl)
{
	struct rig_dev *dev = dev_of(chan);

	dev->teardowns++;
	if (dev->rig->on_teardown)
		dev->rig->on_teardown(dev, gpadl);
}

static void dev_released(struct bus_channel *chan)
{
	struct rig_dev *dev = dev_of(chan);

	check(dev->state == DEV_CLOSED && !dev->released && !subs_short_of(dev, DEV_RELEASED));
	dev->state = DEV_RELEASED;
	dev->released++;
	dev->chan = NULL;
}

static const struct bus_device_ops device_ops = {
	.open = dev_open,
	.close = dev_close,
	.retarget = dev_retarget,
	.teardown = dev_teardown,
	.released = dev_released,
};

static struct rig_dev *dev_new(struct rig *rig)
{
	struct rig_dev *dev = calloc(1, sizeof(*dev));

	check(dev);
	dev->rig = rig;
	list_add_tail(&rig->devs, &dev->link);
	return dev;
}

static int dev_offered(struct rig_dev *dev, int ret, struct bus_channel *chan, struct rig_dev **out)
{
	if (ret) {
		list_del(&dev->link);
		free(dev);
		return ret;
	}
	/* A nested call may have released it already. */
	if (dev->state != DEV_RELEASED)
		dev->chan = chan;
	*out = dev;
	return 0;
}

int rig_try_offer(struct rig *rig, uint8_t class_byte, uint32_t instance, struct rig_dev **dev)
{
	struct bus_offer_params params = {.flags = VMBUS_OFFER_ENUMERATE_DEVICE};
	struct rig_dev *new = dev_new(rig);
	struct bus_channel *chan = NULL;
	int ret;

	memset(&params.class_id, class_byte, sizeof(params.class_id));
	for (uint32_t i = 0; i < 4; i++)
		params.instance_id.b[i] = instance >> (24 - 8 * i);
	ret = bus_offer(rig->bus, &params, &device_ops, new, &chan);
	return dev_offered(new, ret, chan, dev);
}

struct rig_dev *rig_offer(struct rig *rig, uint8_t class_byte, uint32_t instance)
{
	struct rig_dev *dev;

	check(!rig_try_offer(rig, class_byte, instance, &dev));
	return dev;
}

int rig_try_sub(struct rig_dev *primary, uint16_t index, struct rig_dev **dev)
{
	struct rig_dev *new = dev_new(primary->rig);
	struct bus_channel *chan = NULL;
	int ret;

	new->primary = primary;
	ret = bus_offer_subchannel(primary->chan, index, new, &chan);
	return dev_offered(new, ret, chan, dev);
}

struct rig_dev *rig_sub(struct rig_dev *primary, uint16_t index)
{
	struct rig_dev *dev;

	check(!rig_try_sub(primary, index, &dev));
	return dev;
}

/* ---- life ---------------------------------------------------------------- */

void rig_init(struct rig *rig, uint32_t max_version, uint64_t gpadl_pages_max)
{
	struct bus_config config = {
		.gmem = &rig->gmem,
		.vp_count = RIG_VPS,
		.max_version = max_version,
		.gpadl_pages_max = gpadl_pages_max,
		.budget = &rig->budget,
		.port = &port_ops,
		.port_ctx = rig,
	};

	memset(rig, 0, sizeof(*rig));
	rig->gmem.memfd = -1;
	rig->gmem.low_size = rig->gmem.high_size = RIG_RAM_PAGES * GMEM_PAGE_SIZE;
	budget_init(&rig->budget, BUDGET_DEFAULT);
	rig->answer_at_once = true;
	list_init(&rig->devs);
	check(!bus_create(&rig->bus, &config));
}

static void shutdown_done(void *ctx)
{
	struct rig *rig = ctx;

	rig->shutdowns_done++;
	list_for_each (pos, &rig->devs) {
		struct rig_dev *dev = container_of(pos, struct rig_dev, link);

		check(dev->state == DEV_CLOSED || dev->state == DEV_RELEASED);
	}
}

void rig_shutdown(struct rig *rig)
{
	rig->shut = true;
	bus_shutdown(rig->bus, shutdown_done, rig);
}

static bool answer_one(struct rig *rig)
{
	list_for_each (pos, &rig->devs) {
		struct rig_dev *dev = container_of(pos, struct rig_dev, link);

		if (rig_dev_owes(dev)) {
			rig_answer(dev, true);
			return true;
		}
	}
	return false;
}

void rig_fini(struct rig *rig)
{
	uint32_t gpadls;
	uint64_t pages;

	if (!rig->shut)
		rig_shutdown(rig);
	while (answer_one(rig))
		;
	check(rig->shutdowns_done == 1);
	bus_gpadl_usage(rig->bus, &gpadls, &pages);
	check(!gpadls && !pages);
	check(bus_counters(rig->bus)->opens == bus_counters(rig->bus)->closes);
	check(!budget_used(&rig->budget));
	bus_destroy(rig->bus);
	free(rig->sent);
	list_for_each_safe (pos, &rig->devs) {
		list_del(pos);
		free(container_of(pos, struct rig_dev, link));
	}
}

/* ---- guest --------------------------------------------------------------- */

void rig_post(struct rig *rig, uint32_t type, void *msg, uint32_t len)
{
	*(struct vmbus_msg_header *)msg = (struct vmbus_msg_header){.type = type};
	bus_message(rig->bus, msg, len);
}

void rig_contact(struct rig *rig, uint32_t version, uint32_t vp)
{
	struct vmbus_initiate_contact msg = {.version = version, .target_vp = vp};

	if (version >= VMBUS_VERSION_WIN10_V5)
		msg.sint = VMBUS_SINT;
	rig_post(rig, VMBUS_MSG_INITIATE_CONTACT, &msg, sizeof(msg));
}

void rig_simple(struct rig *rig, uint32_t type)
{
	struct vmbus_msg_header msg;

	rig_post(rig, type, &msg, sizeof(msg));
}

void rig_relid(struct rig *rig, uint32_t type, uint32_t relid)
{
	struct vmbus_relid_msg msg = {.relid = relid};

	rig_post(rig, type, &msg, sizeof(msg));
}

void rig_open_full(struct rig *rig, const struct vmbus_open *params)
{
	struct vmbus_open msg = *params;

	rig_post(rig, VMBUS_MSG_OPEN, &msg, sizeof(msg));
}

void rig_open(struct rig *rig, uint32_t relid, uint32_t open_id, uint32_t gpadl)
{
	const struct vmbus_open msg = {
		.relid = relid, .open_id = open_id, .ring_gpadl = gpadl, .downstream_offset = 4};

	rig_open_full(rig, &msg);
}

void rig_modify(struct rig *rig, uint32_t relid, uint32_t vp)
{
	struct vmbus_modify_channel msg = {.relid = relid, .target_vp = vp};

	rig_post(rig, VMBUS_MSG_MODIFY_CHANNEL, &msg, sizeof(msg));
}

void rig_teardown(struct rig *rig, uint32_t relid, uint32_t gpadl)
{
	struct vmbus_gpadl_teardown msg = {.relid = relid, .gpadl = gpadl};

	rig_post(rig, VMBUS_MSG_GPADL_TEARDOWN, &msg, sizeof(msg));
}

static void gpadl_header(
	struct rig *rig, uint32_t relid, uint32_t gpadl, const struct rig_ranges *r, uint32_t words)
{
	uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX];
	struct vmbus_gpadl_header *msg = (void *)bytes;

	check(sizeof(*msg) + words * 8 <= sizeof(bytes));
	*msg = (struct vmbus_gpadl_header){
		.relid = relid, .gpadl = gpadl, .range_buflen = r->buflen, .range_count = r->count};
	memcpy(msg->ranges, r->words, words * 8);
	rig_post(rig, VMBUS_MSG_GPADL_HEADER, bytes, sizeof(*msg) + words * 8);
}

void rig_gpadl_body(struct rig *rig, uint32_t gpadl, const uint64_t *words, uint32_t count)
{
	uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX];
	struct vmbus_gpadl_body *msg = (void *)bytes;

	check(sizeof(*msg) + count * 8 <= sizeof(bytes));
	*msg = (struct vmbus_gpadl_body){.gpadl = gpadl};
	memcpy(msg->ranges, words, count * 8);
	rig_post(rig, VMBUS_MSG_GPADL_BODY, bytes, sizeof(*msg) + count * 8);
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

void rig_gpadl_raw(struct rig *rig, uint32_t relid, uint32_t gpadl, const struct rig_ranges *r)
{
	uint32_t at = min_u32(r->header_words, r->word_count);

	gpadl_header(rig, relid, gpadl, r, at);
	while (at < r->word_count) {
		uint32_t n = min_u32(r->body_words, r->word_count - at);

		check(n);
		rig_gpadl_body(rig, gpadl, r->words + at, n);
		at += n;
	}
}

void rig_gpadl(struct rig *rig, uint32_t relid, uint32_t gpadl, uint32_t pages)
{
	static uint64_t words[8192];
	struct rig_ranges r = {
		.buflen = 8 * (pages + 1),
		.count = 1,
		.words = words,
		.word_count = pages + 1,
		.header_words = VMBUS_GPADL_HEADER_PFNS_MAX + 1,
		.body_words = VMBUS_GPADL_BODY_PFNS_MAX,
	};

	check(pages < 8192);
	words[0] = pages * GMEM_PAGE_SIZE; /* byte_offset 0 */
	for (uint32_t i = 0; i < pages; i++)
		words[i + 1] = i % RIG_RAM_PAGES;
	rig_gpadl_raw(rig, relid, gpadl, &r);
}

const struct rig_msg *rig_take(struct rig *rig)
{
	if (rig->sent_first == rig->sent_end) {
		rig_forget_sent(rig);
		return NULL;
	}
	return &rig->sent[rig->sent_first++];
}

void rig_forget_sent(struct rig *rig)
{
	rig->sent_first = rig->sent_end = 0;
}

void rig_connect(struct rig *rig)
{
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0);
	check(bus_version(rig->bus) == VMBUS_VERSION_WIN10_V5_3);
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	rig_forget_sent(rig);
}

void rig_open_dev(struct rig *rig, struct rig_dev *dev)
{
	uint32_t relid = bus_channel_relid(dev->chan);

	rig_gpadl(rig, relid, relid, 8);
	rig_open(rig, relid, relid, relid);
	check(dev->state == DEV_OPEN || dev->state == DEV_OPENING);
	rig_forget_sent(rig);
}

/* ---- heap ---------------------------------------------------------------- */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RIG_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define RIG_ASAN
#endif

#ifdef RIG_ASAN
/* Declared here: gcc comes without the header. */
size_t __sanitizer_get_current_allocated_bytes(void);

size_t rig_heap(void)
{
	return __sanitizer_get_current_allocated_bytes();
}
#else
size_t rig_heap(void)
{
	return mallinfo2().uordblks;
}
#endif
