/* SPDX-License-Identifier: GPL-2.0-only */
/* Requests that are no SCSI commands: one at a time, on the primary channel, in process context. */
#include "guest/storvsc/storvsc.h"

#define NEGOTIATION_SECONDS 60u

void storvsc_control_init(struct storvsc_control *control)
{
	mutex_init(&control->lock);
	init_completion(&control->answered);
}

/* The id is set before the answer can arrive, and cleared at the end of the request. */
static int send(struct storvsc *s, const struct vstor_packet *packet)
{
	struct storvsc_chan *chan = s->chans[0];
	struct storvsc_send send = {.packet = packet};
	int err;

	reinit_completion(&s->control.answered);
	spin_lock(&chan->lock);
	chan->generation = storvsc_next_generation(chan->generation);
	send.id = storvsc_id(chan->generation, STORVSC_TABLE_CONTROL, 0);
	atomic64_set(&s->control.id, send.id);
	err = storvsc_chan_send(chan, &send);
	storvsc_chan_commit(chan);
	spin_unlock(&chan->lock);
	return err;
}

void storvsc_control_answer(struct storvsc *s, u64 id, const struct vmbus_pkt *pkt)
{
	struct storvsc_control *control = &s->control;

	if (atomic64_cmpxchg(&control->id, id, 0) != id) {
		s->chans[0]->counts.stray++;
		return;
	}
	control->reply_length = min_t(u32, pkt->payload_len, sizeof(control->reply));
	memcpy(control->reply, pkt->payload, control->reply_length);
	complete(&control->answered);
}

/* Polls as well: the ring may be masked, and an interrupt may be lost. */
static bool answered(struct storvsc *s, unsigned int seconds)
{
	unsigned long end = jiffies + seconds * HZ;

	while (time_before(jiffies, end)) {
		if (wait_for_completion_timeout(&s->control.answered, HZ / 10))
			return true;
		if (READ_ONCE(s->dead) || vsc_rescinded(s->device->primary))
			return false;
		storvsc_chan_drain(s->chans[0]);
	}
	return false;
}

static int request(struct storvsc *s, const struct vstor_packet *packet, unsigned int seconds)
{
	int err = send(s, packet);

	if (err) {
		atomic64_set(&s->control.id, 0);
		return err;
	}
	if (answered(s, seconds))
		return 0;
	/* An answer that arrives from now on is a stray one; one that is being taken is waited for.
	 */
	if (atomic64_xchg(&s->control.id, 0))
		return -ETIMEDOUT;
	wait_for_completion(&s->control.answered);
	return 0;
}

int storvsc_control_request(
	struct storvsc *s, const struct vstor_packet *packet, unsigned int seconds)
{
	int err;

	mutex_lock(&s->control.lock);
	err = request(s, packet, seconds);
	mutex_unlock(&s->control.lock);
	return err;
}

int storvsc_negotiate(struct storvsc *s, unsigned int sub_channels)
{
	struct vstor_packet packet;
	int err = storvsc_conn_init(&s->conn, VSTOR_VERSION_WIN10, sub_channels);

	while (!err && s->conn.state != STORVSC_INIT_DONE) {
		storvsc_init_request(&s->conn, &packet);
		err = storvsc_control_request(s, &packet, NEGOTIATION_SECONDS);
		if (!err)
			err = storvsc_init_reply(
				&s->conn, s->control.reply, s->control.reply_length);
	}
	return err;
}
