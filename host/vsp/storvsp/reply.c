/* SPDX-License-Identifier: MIT */
/* Packets to the guest: completions, and the request to enumerate LUNs. */
#include "vsp/storvsp/storvsp_impl.h"

#include <string.h>

/* Guests compare the size of a completion with the negotiated version's. Before there is one, they
 * expect the size they sent, of which there are only two. */
static uint32_t reply_size(const struct storvsp_channel *c, uint32_t request_size)
{
	if (c->version)
		return c->version < VSTOR_VERSION_WIN8 ? VSTOR_PACKET_SIZE_WIN7 : VSTOR_PACKET_SIZE;
	return request_size < VSTOR_PACKET_SIZE ? VSTOR_PACKET_SIZE_WIN7 : VSTOR_PACKET_SIZE;
}

void storvsp_reply_init(struct storvsp_request *r, const struct vmbus_pkt *pkt)
{
	r->out = (struct vsp_out){
		.packet =
			{
				.type = VMBUS_PKT_COMPLETION,
				.trans_id = pkt->desc.trans_id,
				.payload = {&r->packet, reply_size(r->channel, pkt->payload_len)},
			},
		.request = r,
	};
}

void storvsp_reply(struct storvsp_request *r, uint32_t status)
{
	ON_IO_THREAD(r->channel);
	r->packet.operation = VSTOR_OP_COMPLETE_IO;
	r->packet.flags = 0;
	r->packet.status = status;
	vsp_send(r->channel->ch, &r->out);
}

static void enumerate_sent(struct vsp_channel *ch, struct vsp_out *out)
{
	struct storvsp_channel *c = vsp_channel_priv(ch);

	c->enumerate.queued = false;
}

static void enumerate_send(struct storvsp_channel *c)
{
	c->enumerate.packet = (struct vstor_packet){.operation = VSTOR_OP_ENUMERATE_BUS};
	c->enumerate.out = (struct vsp_out){
		.packet =
			{
				.type = VMBUS_PKT_INBAND,
				.payload = {&c->enumerate.packet, reply_size(c, 0)},
			},
		.sent = enumerate_sent,
	};
	c->enumerate.queued = true;
	vsp_send(c->ch, &c->enumerate.out);
}

/* A guest that is not ready, or too old for the packet, enumerates by itself. One that has not read
 * the last such packet enumerates after it has. */
void storvsp_enumerate(struct vsp_call *call)
{
	struct storvsp_channel *c = container_of(call, struct storvsp_channel, notify.call);

	ON_IO_THREAD(c);
	if (c->state == STATE_READY && c->version >= VSTOR_VERSION_WIN7 && !c->stopping &&
		!c->enumerate.queued)
		enumerate_send(c);
	vsp_call_done(call);
}
