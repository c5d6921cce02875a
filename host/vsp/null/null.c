/* SPDX-License-Identifier: MIT */
/*
 * A request is taken from the pool for each packet that asks for a completion
 * and put back when the completion is in the ring. When none is left, packet()
 * says so and the core gives the packet again later: a guest that never reads
 * its completions stops itself.
 */
#include "vsp/null/null.h"

#include <errno.h>
#include <string.h>

#define NULL_REQUESTS 64u

/* Private memory of an open channel; zeroed by the core. Owner: the channel's I/O thread. */
struct null_channel {
	uint64_t ignored; /* packets that asked for nothing */
};

struct null_request {
	struct chan_out out;
	struct vsp_channel *ch;
	uint8_t payload[NULL_PAYLOAD_MAX];
};

/* ---- device (control thread) --------------------------------------------- */

static int null_create(struct vsp_device *dev, const void *config, struct err *e)
{
	return 0;
}

static void null_destroy(struct vsp_device *dev)
{
}

static size_t null_request_size(struct vsp_device *dev, uint32_t *count)
{
	*count = NULL_REQUESTS;
	return sizeof(struct null_request);
}

/* ---- channel (its I/O thread) -------------------------------------------- */

static int null_open(struct vsp_channel *ch)
{
	return 0;
}

/* Nothing waits anywhere: what the ring had no room for was dropped before this call. */
static void null_close(struct vsp_channel *ch)
{
	vsp_channel_closed(ch);
}

static void null_sent(struct chan *chan, struct chan_out *out)
{
	struct null_request *request = container_of(out, struct null_request, out);

	vsp_request_put(request->ch, request);
}

/* pkt is a private copy, gone when this returns: what is needed later is copied. */
static int null_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt)
{
	struct null_channel *channel = vsp_channel_priv(ch);
	struct null_request *request;

	if (pkt->desc.type != VMBUS_PKT_INBAND || pkt->payload_len > NULL_PAYLOAD_MAX)
		return -EPROTO;
	if (!(pkt->desc.flags & VMBUS_PKT_FLAG_COMPLETION_REQUESTED)) {
		channel->ignored++;
		return 0;
	}
	request = vsp_request_get(ch);
	if (!request)
		return -EAGAIN;
	memcpy(request->payload, pkt->payload, pkt->payload_len);
	request->ch = ch;
	request->out = (struct chan_out){
		.type = VMBUS_PKT_COMPLETION,
		.trans_id = pkt->desc.trans_id,
		.payload = request->payload,
		.payload_len = pkt->payload_len,
		.sent = null_sent,
	};
	chan_send(vsp_channel_chan(ch), &request->out);
	return 0;
}

const struct vsp_ops null_ops = {
	.name = "null",
	.class_id = NULL_CLASS_GUID,
	.offer_flags = VMBUS_OFFER_ENUMERATE_DEVICE,
	.channel_size = sizeof(struct null_channel),
	.packet_max = sizeof(struct vmbus_pkt_desc) + NULL_PAYLOAD_MAX,
	.create = null_create,
	.destroy = null_destroy,
	.request_size = null_request_size,
	.open = null_open,
	.close = null_close,
	.packet = null_packet,
};
