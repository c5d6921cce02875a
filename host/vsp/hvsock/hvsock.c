/* SPDX-License-Identifier: MIT */
/*
 * The bytes of one connection, on its channel's I/O thread. Both directions are
 * independent until both have ended:
 *
 *   socket --recv--> one of two packets --vsp_send--> ring      recv waits for a free packet
 *   ring --packet()--> filling --flush--> sending --send--> socket
 *                                         packet() stalls while its data does not fit
 *
 *   host to guest   FLOWING --end of file--> DRAINING --FIN in the ring--> FIN
 *   guest to host   FLOWING --FIN--> DRAINING --all bytes sent--> SHUT (of the socket)
 *
 * A program that is gone, or only reads no more, is deaf: what the guest sends is thrown away, but
 * what the program has sent before is still the guest's.
 *
 * The connection ends when the FIN is in the ring and the socket shut or the program deaf, when the
 * linger time is over, or when the channel closes. What waits for room in the ring at the end is
 * lost.
 */
#include "vsp/hvsock/hvsock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/counter.h"
#include "base/inspect.h"
#include "hv/hvsock_reg.h"

/* Two packets fit into the smallest ring that Linux opens, of 24 KiB. */
#define RECV_MAX 8192u
/* The largest packet, and then as many of a usual guest's 4 KiB as one system call should carry. */
#define SEND_MAX 32768u

struct hvsock_device {
	struct hvsock_config config;
	char greeting[HVSOCK_GREETING_MAX];
	bool opened; /* control thread */
	struct loop_task ended_task;
};

struct recv_packet {
	struct vsp_out out;
	bool queued; /* the core has it */
	struct {
		struct hvsock_header header;
		uint8_t data[RECV_MAX];
	} payload;
};

struct send_buffer {
	uint32_t length;
	uint32_t sent;
	uint8_t data[SEND_MAX];
};

enum inward {
	IN_FLOWING,
	IN_DRAINING, /* the program sends no more */
	IN_FIN,      /* and the ring has it all */
};

enum outward {
	OUT_FLOWING,
	OUT_DRAINING, /* the guest sends no more */
	OUT_SHUT,     /* and the socket has it all */
};

struct hvsock_channel {
	struct vsp_channel *ch;
	struct hvsock_device *dev;
	bool again;    /* the device was open before: a connection opens once */
	bool ending;   /* the control thread is asked to remove the device */
	bool paused;   /* nothing reaches the guest */
	bool stopping; /* the channel closes */

	/* host to guest */
	struct loop_op recv_op;
	bool receiving;
	enum inward inward;
	uint32_t next;
	struct recv_packet packets[2];
	struct vsp_out fin_out;
	struct hvsock_header fin;

	/* guest to host */
	enum outward outward;
	bool deaf; /* the socket takes no more */
	struct loop_op send_op;
	struct loop_task flush_task;
	bool flush_posted;
	bool sending; /* buffers[!filling] is in the ring */
	bool stalled;
	uint32_t filling;
	struct send_buffer buffers[2];
	struct loop_timer linger;

	/* any thread with counter_get() */
	uint64_t to_guest_bytes, from_guest_bytes;
};

/* ---- the end ------------------------------------------------------------- */

static void ended_on_control(struct loop_task *task)
{
	struct hvsock_device *d = container_of(task, struct hvsock_device, ended_task);

	d->config.ended(d->config.ctx);
}

static void end(struct hvsock_channel *c)
{
	if (c->ending)
		return;
	c->ending = true;
	c->dev->ended_task.fn = ended_on_control;
	loop_post(vsp_device_control(vsp_channel_device(c->ch)), &c->dev->ended_task);
}

static void end_if_both_have(struct hvsock_channel *c)
{
	if (c->inward == IN_FIN && (c->outward == OUT_SHUT || c->deaf))
		end(c);
}

static void lingered(struct loop_timer *timer)
{
	end(container_of(timer, struct hvsock_channel, linger));
}

/* Once the guest sends no more, again with each progress. Before the program has been given all
 * that the guest sent, it may be slow to read. Not in a pause, in which nothing reaches the guest.
 */
static void linger(struct hvsock_channel *c)
{
	uint64_t time = c->outward == OUT_SHUT ? HVSOCK_LINGER_NS : HVSOCK_UNREAD_NS;

	if (c->outward != OUT_FLOWING && !c->paused && !c->stopping)
		loop_timer_start(vsp_channel_loop(c->ch), &c->linger, time, lingered);
}

/* ---- host to guest ------------------------------------------------------- */

static void receive(struct hvsock_channel *c);

static void packet_sent(struct vsp_channel *ch, struct vsp_out *out)
{
	container_of(out, struct recv_packet, out)->queued = false;
	receive(vsp_channel_priv(ch));
}

static void receive(struct hvsock_channel *c)
{
	struct recv_packet *p = &c->packets[c->next];

	if (c->receiving || c->inward != IN_FLOWING || c->stopping || p->queued)
		return;
	c->receiving = true;
	vsp_channel_hold(c->ch);
	io_uring_prep_recv(loop_sqe(vsp_channel_loop(c->ch), &c->recv_op), c->dev->config.fd,
		p->payload.data, sizeof(p->payload.data), 0);
}

static void send_packet(struct hvsock_channel *c, uint32_t length)
{
	struct recv_packet *p = &c->packets[c->next];

	c->next = !c->next;
	p->queued = true;
	p->payload.header = (struct hvsock_header){.type = HVSOCK_PACKET_DATA, .size = length};
	p->out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_INBAND,
			.payload = {&p->payload, (uint32_t)sizeof(p->payload.header) + length}},
		.sent = packet_sent,
	};
	counter_add(&c->to_guest_bytes, length);
	linger(c);
	vsp_send(c->ch, &p->out);
}

static void fin_sent(struct vsp_channel *ch, struct vsp_out *out)
{
	struct hvsock_channel *c = vsp_channel_priv(ch);

	c->inward = IN_FIN;
	end_if_both_have(c);
}

static void send_fin(struct hvsock_channel *c)
{
	c->inward = IN_DRAINING;
	c->fin = (struct hvsock_header){.type = HVSOCK_PACKET_DATA};
	c->fin_out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_INBAND, .payload = {&c->fin, sizeof(c->fin)}},
		.sent = fin_sent,
	};
	vsp_send(c->ch, &c->fin_out);
}

/* An error comes behind all bytes: the program is gone, and there is something that it has not
 * read. */
static void received(struct loop_op *op, int res)
{
	struct hvsock_channel *c = container_of(op, struct hvsock_channel, recv_op);

	c->receiving = false;
	if (!c->stopping && res > 0) {
		send_packet(c, (uint32_t)res);
	} else if (!c->stopping && res != -EINTR) {
		c->deaf |= res < 0;
		send_fin(c);
	}
	if (!c->ending)
		receive(c);
	vsp_channel_release(c->ch);
}

/* ---- guest to host ------------------------------------------------------- */

static void flush(struct hvsock_channel *c);

static void send_rest(struct hvsock_channel *c)
{
	struct send_buffer *b = &c->buffers[!c->filling];

	vsp_channel_hold(c->ch);
	io_uring_prep_send(loop_sqe(vsp_channel_loop(c->ch), &c->send_op), c->dev->config.fd,
		b->data + b->sent, b->length - b->sent, MSG_NOSIGNAL);
}

static void shut(struct hvsock_channel *c)
{
	c->outward = OUT_SHUT;
	shutdown(c->dev->config.fd, SHUT_WR);
	linger(c);
	end_if_both_have(c);
}

static void buffer_sent(struct hvsock_channel *c)
{
	struct send_buffer *b = &c->buffers[!c->filling];

	b->length = b->sent = 0;
	c->sending = false;
	flush(c);
	if (!c->stalled)
		return;
	c->stalled = false;
	vsp_channel_resume(c->ch);
}

static void nobody_reads(struct hvsock_channel *c)
{
	c->deaf = true;
	c->buffers[c->filling].length = 0;
	buffer_sent(c);
	end_if_both_have(c);
}

static void sent(struct loop_op *op, int res)
{
	struct hvsock_channel *c = container_of(op, struct hvsock_channel, send_op);
	struct send_buffer *b = &c->buffers[!c->filling];

	if (res > 0) {
		b->sent += (uint32_t)res;
		linger(c);
	}
	if (c->stopping)
		;
	else if (res < 0 && res != -EINTR)
		nobody_reads(c);
	else if (b->sent < b->length)
		send_rest(c);
	else
		buffer_sent(c);
	vsp_channel_release(c->ch);
}

static void flush(struct hvsock_channel *c)
{
	if (c->sending || c->stopping)
		return;
	if (c->buffers[c->filling].length) {
		c->filling = !c->filling;
		c->sending = true;
		send_rest(c);
	} else if (c->outward == OUT_DRAINING) {
		shut(c);
	}
}

static void flush_on_loop(struct loop_task *task)
{
	struct hvsock_channel *c = container_of(task, struct hvsock_channel, flush_task);

	c->flush_posted = false;
	flush(c);
	vsp_channel_release(c->ch);
}

/* Later in the same turn, when all packets that the guest has signalled together are taken. */
static void flush_soon(struct hvsock_channel *c)
{
	if (c->flush_posted)
		return;
	c->flush_posted = true;
	c->flush_task.fn = flush_on_loop;
	vsp_channel_hold(c->ch);
	loop_post(vsp_channel_loop(c->ch), &c->flush_task);
}

/* Not 0: it does not fit. */
static int append(struct hvsock_channel *c, const uint8_t *data, uint32_t length)
{
	struct send_buffer *b = &c->buffers[c->filling];

	if (length > sizeof(b->data) - b->length)
		return -EAGAIN;
	memcpy(b->data + b->length, data, length);
	b->length += length;
	return 0;
}

static int take_data(struct hvsock_channel *c, const uint8_t *data, uint32_t length)
{
	if (c->deaf)
		return 0;
	c->stalled = append(c, data, length) != 0;
	if (c->stalled)
		return -EAGAIN;
	counter_add(&c->from_guest_bytes, length);
	flush_soon(c);
	return 0;
}

static void take_fin(struct hvsock_channel *c)
{
	c->outward = OUT_DRAINING;
	linger(c);
	flush_soon(c);
}

static int hvsock_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt)
{
	struct hvsock_channel *c = vsp_channel_priv(ch);
	struct hvsock_header header;

	if (pkt->desc.type != VMBUS_PKT_INBAND || pkt->payload_len < sizeof(header))
		return -EPROTO;
	memcpy(&header, pkt->payload, sizeof(header));
	if (header.type != HVSOCK_PACKET_DATA || header.size > HVSOCK_DATA_MAX ||
		header.size > pkt->payload_len - sizeof(header) || c->outward != OUT_FLOWING)
		return -EPROTO;
	if (header.size)
		return take_data(c, (const uint8_t *)pkt->payload + sizeof(header), header.size);
	take_fin(c);
	return 0;
}

/* ---- device (control thread) --------------------------------------------- */

static int hvsock_create(struct vsp_device *dev, const void *config, struct err *e)
{
	struct hvsock_device *d = vsp_device_priv(dev);

	d->config = *(const struct hvsock_config *)config;
	if (d->config.greeting)
		snprintf(d->greeting, sizeof(d->greeting), "%s", d->config.greeting);
	return 0;
}

static void hvsock_offer(struct vsp_device *dev, struct vsp_offer_params *params)
{
	struct hvsock_device *d = vsp_device_priv(dev);

	params->class_id = d->config.service;
	params->user[HVSOCK_USER_DIRECTION] =
		d->config.host_connects ? HVSOCK_USER_HOST_CONNECTS : HVSOCK_USER_GUEST_CONNECTS;
}

static void hvsock_prepare(struct vsp_channel *ch)
{
	struct hvsock_channel *c = vsp_channel_priv(ch);
	struct hvsock_device *d = vsp_device_priv(vsp_channel_device(ch));

	c->again = d->opened;
	d->opened = true;
	if (!c->again)
		d->config.opened(d->config.ctx);
}

/* As long as the guest knows the offer, open or not: where an image is restored there is no such
 * device. */
static void hvsock_archive(struct vsp_device *dev, struct archive *a)
{
	archive_fail(a,
		"the guest has, or has not released yet, a socket connection (--vsock): end it and try again");
}

/* ---- channel (its I/O thread) -------------------------------------------- */

static int hvsock_open(struct vsp_channel *ch)
{
	struct hvsock_channel *c = vsp_channel_priv(ch);
	struct hvsock_device *d = vsp_device_priv(vsp_channel_device(ch));

	if (c->again)
		return -ESHUTDOWN;
	c->ch = ch;
	c->dev = d;
	c->recv_op.done = received;
	c->send_op.done = sent;
	append(c, (const uint8_t *)d->greeting, (uint32_t)strlen(d->greeting));
	flush_soon(c);
	receive(c);
	return 0;
}

/* Operations in the ring end at once, and release their holds. */
static void hvsock_stop(struct vsp_channel *ch)
{
	struct hvsock_channel *c = vsp_channel_priv(ch);

	c->stopping = true;
	loop_timer_cancel(&c->linger);
	shutdown(c->dev->config.fd, SHUT_RDWR);
}

static void hvsock_close(struct vsp_channel *ch)
{
	end(vsp_channel_priv(ch));
}

static void hvsock_pause(struct vsp_channel *ch)
{
	struct hvsock_channel *c = vsp_channel_priv(ch);

	c->paused = true;
	loop_timer_cancel(&c->linger);
}

static void hvsock_resume(struct vsp_channel *ch)
{
	struct hvsock_channel *c = vsp_channel_priv(ch);

	c->paused = false;
	linger(c);
}

static void hvsock_inspect_channel(struct vsp_channel *ch, struct inspect *i)
{
	const struct hvsock_channel *c = vsp_channel_priv(ch);

	inspect_u64(i, "to_guest_bytes", counter_get(&c->to_guest_bytes));
	inspect_u64(i, "from_guest_bytes", counter_get(&c->from_guest_bytes));
}

const struct vsp_ops hvsock_ops = {
	.name = "hvsock",
	.offer_flags =
		VMBUS_OFFER_TLNPI_PROVIDER | VMBUS_OFFER_NAMED_PIPE | VMBUS_OFFER_ENUMERATE_DEVICE,
	.interrupts = VSP_INTERRUPTS_MODERATED,
	.device_size = sizeof(struct hvsock_device),
	.channel_size = sizeof(struct hvsock_channel),
	.packet_max =
		sizeof(struct vmbus_pkt_desc) + sizeof(struct hvsock_header) + HVSOCK_DATA_MAX,
	.create = hvsock_create,
	.offer = hvsock_offer,
	.prepare = hvsock_prepare,
	.open = hvsock_open,
	.packet = hvsock_packet,
	.pause = hvsock_pause,
	.resume = hvsock_resume,
	.stop = hvsock_stop,
	.close = hvsock_close,
	.archive = hvsock_archive,
	.inspect_channel = hvsock_inspect_channel,
};
