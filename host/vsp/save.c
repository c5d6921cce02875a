/* SPDX-License-Identifier: MIT */
/*
 * Saving and restoring devices and their channels: between the bus (bus_save.c) and the VSPs.
 *
 * A device is saved while all its channels are paused: their I/O threads do not touch them, and
 * what they wrote before they reported that is visible to the control thread. What is saved of a
 * channel: the VSP's own state, and packets that wait for room in the ring. Rings are in guest
 * memory; requests are none, but those whose answer waits.
 *
 * A channel is restored as it is opened: its I/O thread gets it with the state of the image
 * (ops->archive_channel) and calls ops->open, which finds it there. The packets that waited belong
 * to the core then, and are freed when they are sent.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vsp/vsp_impl.h"

#define PACKETS_MAX     65536u
#define PACKET_SIZE_MAX (1u << 20)

/* A packet of an image. */
struct restored_packet {
	struct vsp_out out;
	uint8_t bytes[];
};

static void refuse(const struct vsp_device *dev, struct archive *a)
{
	archive_fail(a, "the %s device cannot be saved%s", dev->ops->name,
		dev->ops->archive_channel ? "" : " while the guest uses it");
}

/* ---- packets that wait --------------------------------------------------- */

static void packet_write(const struct chan_out *out, struct archive *a)
{
	uint16_t type = out->type, flags = out->flags;
	uint64_t trans_id = out->trans_id;
	uint32_t header_len = out->header.len, len = out->payload.len;

	archive_u16(a, "type", &type);
	archive_u16(a, "flags", &flags);
	archive_u64(a, "trans_id", &trans_id);
	archive_data(a, "header", out->header.base, &header_len, PACKET_SIZE_MAX);
	archive_data(a, "payload", out->payload.base, &len, PACKET_SIZE_MAX);
}

static void packet_sent(struct vsp_channel *ch, struct vsp_out *out)
{
	free(container_of(out, struct restored_packet, out));
}

/* As the host makes them: a packet of another kind, or one that no ring holds, is none of ours. */
static bool packet_ok(const struct vsp_channel *ch, const struct chan_out *head,
	uint32_t header_len, uint32_t len)
{
	bool known = head->type == VMBUS_PKT_INBAND || head->type == VMBUS_PKT_COMPLETION ||
		     head->type == VMBUS_PKT_XFER_PAGES;

	return known && !(head->flags & ~VMBUS_PKT_FLAG_COMPLETION_REQUESTED) &&
	       (head->type == VMBUS_PKT_XFER_PAGES) == (header_len != 0) && header_len % 8 == 0 &&
	       vmbus_pkt_ring_size(header_len, len) < ch->chan.tx.size &&
	       sizeof(struct vmbus_pkt_desc) + header_len + (uint64_t)len <= VMBUS_PKT_LEN_MAX;
}

/* An answer takes its request with it when it is sent. */
static void packet_add(struct vsp_channel *ch, struct restored_packet *p)
{
	if (p->out.packet.type == VMBUS_PKT_COMPLETION)
		ch->chan.in_flight++;
	list_add_tail(&ch->chan.out, &p->out.packet.link);
}

static void packet_read(struct vsp_channel *ch, struct archive *a)
{
	struct restored_packet *p;
	struct chan_out head = {0};
	const void *header, *payload;
	uint32_t header_len, len;

	archive_u16(a, "type", &head.type);
	archive_u16(a, "flags", &head.flags);
	archive_u64(a, "trans_id", &head.trans_id);
	header = archive_data(a, "header", NULL, &header_len, PACKET_SIZE_MAX);
	payload = archive_data(a, "payload", NULL, &len, PACKET_SIZE_MAX);
	if (!a->error && !packet_ok(ch, &head, header_len, len))
		archive_fail(a, "type %u with %u and %u bytes", head.type, header_len, len);
	p = a->error ? NULL : calloc(1, sizeof(*p) + header_len + len);
	if (!p) {
		archive_fail(a, "out of memory");
		return;
	}
	memcpy(p->bytes, header, header_len);
	memcpy(p->bytes + header_len, payload, len);
	p->out.packet = head;
	p->out.packet.header = (struct vmbus_vec){p->bytes, header_len};
	p->out.packet.payload = (struct vmbus_vec){p->bytes + header_len, len};
	p->out.sent = packet_sent;
	packet_add(ch, p);
}

static void packets_archive(struct vsp_channel *ch, struct archive *a)
{
	struct list *pos = &ch->chan.out;
	uint32_t count = 0;

	if (!a->reading)
		list_for_each (item, &ch->chan.out)
			count++;
	count = archive_list(a, "packets", count, PACKETS_MAX);
	for (uint32_t i = 0; i < count && !a->error; i++) {
		archive_begin(a, NULL, 1);
		if (a->reading) {
			packet_read(ch, a);
		} else {
			pos = pos->next;
			packet_write(container_of(pos, struct chan_out, link), a);
		}
		archive_end(a);
	}
	archive_end(a);
}

static uint16_t sub_channels_max(struct vsp_device *dev)
{
	return dev->ops->sub_channels_max ? dev->ops->sub_channels_max(dev) : 0;
}

/* ---- channels ------------------------------------------------------------ */

void vsp_channel_archive(struct vsp_channel *ch, struct archive *a)
{
	const struct vsp_ops *ops = ch->dev->ops;

	ON_CONTROL(ch->dev);
	archive_begin(a, ops->name, 1);
	archive_u16(a, "sub_channels", &ch->subs_count);
	if (a->reading && ch->subs_count > sub_channels_max(ch->dev)) {
		archive_fail(a, "%u sub-channels", ch->subs_count);
		ch->subs_count = 0;
	}
	if (ops->archive_channel)
		ops->archive_channel(ch, a);
	else
		refuse(ch->dev, a);
	packets_archive(ch, a);
	archive_end(a);
}

void vsp_bus_archive_channel(struct bus_channel *bus_chan, struct archive *a)
{
	struct vsp_offer *offer = bus_channel_ctx(bus_chan);
	struct vsp_channel *ch = offer->ch;

	if (ch && ch->state == VSP_CHANNEL_OPEN && ch->pause == VSP_PAUSED)
		vsp_channel_archive(ch, a);
	else
		archive_fail(a, "the %s device is not at rest", offer->dev->ops->name);
}

/* ---- devices ------------------------------------------------------------- */

void vsp_bus_archive_device(struct bus_channel *bus_chan, struct archive *a)
{
	struct vsp_offer *offer = bus_channel_ctx(bus_chan);
	struct vsp_device *dev = offer->dev;

	ON_CONTROL(dev);
	archive_begin(a, "device", 1);
	if (dev->ops->archive)
		dev->ops->archive(dev, a);
	archive_end(a);
}

struct bus_channel *vsp_bus_restore_sub(struct bus_channel *primary, uint16_t index)
{
	struct vsp_offer *offer = bus_channel_ctx(primary);
	struct vsp_device *dev = offer->dev;
	struct vsp_offer *sub;

	ON_CONTROL(dev);
	if (index > sub_channels_max(dev))
		return NULL;
	sub = calloc(1, sizeof(*sub));
	if (!sub)
		return NULL;
	sub->dev = dev;
	list_add_tail(&dev->subs, &sub->link);
	if (!bus_restore_subchannel(primary, index, sub, &sub->bus_chan))
		return sub->bus_chan;
	list_del(&sub->link);
	free(sub);
	return NULL;
}
